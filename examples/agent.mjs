// A language model, spoken while it writes, and interrupted: VOICEWIRE_URL and VOICEWIRE_KEY say where.

import { Client } from "@voicewire/client";

/** Stands for yours: any asynchronous iterable of text. */
async function* languageModel() {
  yield* ["Well, ", "let me ", "tell you ", "a long story. "];
  for (;;) yield await new Promise((resolve) => setTimeout(resolve, 20, "And then it went on. "));
}

const client = new Client(process.env.VOICEWIRE_URL, { key: process.env.VOICEWIRE_KEY });
const speech = client.speak(languageModel(), { format: { codec: "pcm_s16le" }, lead_ms: 1000 });
let playedMs = 0;
for await (const event of speech) {
  if (event.type !== "audio") continue;
  playedMs += event.packets.length * event.frame_ms; // your loudspeaker's clock
  if (playedMs >= 2_000) speech.cancel(playedMs); // somebody spoke up
}
console.log("heard:", speech.textOf((await speech.finished).heard));
client.close();
