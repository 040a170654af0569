// Where samples become sound: an AudioWorklet, or a ScriptProcessor where the page came over plain HTTP
// from another machine and the browser therefore hides AudioWorklet (it is offered to secure contexts only).

import { Feed } from "./feed.js";

const SCRIPT_BLOCK = 1024;

/**
 * Open an output into `audio`, an AudioContext.
 *
 * Resolves to `post(message, transfer)`, which carries messages to the Feed; `onReport` gets what it posts.
 */
export async function openOutput(audio, onReport) {
  return audio.audioWorklet ? openWorklet(audio, onReport) : openScript(audio, onReport);
}

async function openWorklet(audio, onReport) {
  await audio.audioWorklet.addModule(new URL("./worklet.js", import.meta.url));
  const node = new AudioWorkletNode(audio, "voicewire-feed", { numberOfInputs: 0, outputChannelCount: [1] });
  node.port.onmessage = ({ data }) => onReport(data);
  node.connect(audio.destination);
  return (message, transfer = []) => node.port.postMessage(message, transfer);
}

function openScript(audio, onReport) {
  const feed = new Feed(audio.sampleRate, onReport);
  const node = audio.createScriptProcessor(SCRIPT_BLOCK, 0, 1);
  node.onaudioprocess = ({ outputBuffer, playbackTime }) =>
    feed.render(outputBuffer.getChannelData(0), Math.round(playbackTime * audio.sampleRate));
  node.connect(audio.destination);
  return (message) => feed.receive(message);
}
