// The only place that builds: the parts of the page, and who hears of what.

import { Wire } from "/client/wire.js";
import { Bar, nextSpeed } from "./bar.js";
import { VoiceChoice } from "./choice.js";
import { complaint } from "./complaints.js";
import { bestCodec } from "./decode.js";
import { Settings, openDialogs } from "./dialogs.js";
import { openIntake } from "./intake.js";
import { openKeyboard } from "./keyboard.js";
import { MediaControls } from "./media.js";
import { Notice } from "./notice.js";
import { Player } from "./player.js";
import { Reader } from "./reader.js";
import { Reading } from "./reading.js";
import { Key, fetchTicket, streamUrl } from "./server.js";
import { Sheet } from "./sheet.js";
import { VoiceMenu } from "./voices.js";
import { windowOnto } from "./window.js";

const part = (id) => document.getElementById(id);

/** Build the reader that plays through `codec`. The events of the parts are heard once all of them are there. */
function build(codec) {
  const key = new Key();
  const player = new Player(codec, {
    report: () => reading.onReport(),
    ended: () => reading.onEnded(),
    interrupted: () => reading.pause(),
    failed: () => reading.fail("audio"),
  });
  const wire = new Wire(streamUrl(), () => fetchTicket(key), {
    message: (message) => reading.onMessage(message),
    audio: (...audio) => reading.onAudio(...audio),
    lost: (contexts) => reading.onLost(contexts),
    status: (status) => reader.onStatus(status),
    failed: ({ code }) => reading.fail(code),
  });
  const reading = new Reading(wire, player, {
    state: (state) => reader.onState(state),
    word: (word) => reader.onWord(word),
    heard: () => reader.onHeard(),
    finished: () => reader.onFinished(),
    failed: (code) => reader.onFailed(code),
  });
  const reader = new Reader({ key, player, wire, reading, ...buildPage(key, () => reader) });
  return reader;
}

function buildPage(key, reader) {
  const sheet = new Sheet({
    typed: () => reader().onTyped(),
    chosen: (offset) => reader().play(offset),
    away: (away) => (part("follow").hidden = !away),
  });
  const bar = new Bar({
    play: () => reader().toggle(),
    back: () => reader().back(),
    next: () => reader().next(),
    seek: (fraction) => reader().seek(fraction),
    speed: (speed) => reader().setSpeed(speed),
    voice: () => menu.open(),
  });
  const menu = new VoiceMenu(part("voices"), (voice) => reader().setVoice(voice));
  return {
    sheet,
    bar,
    choice: new VoiceChoice(bar, menu),
    settings: new Settings(key, () => reader().loadVoices()),
    notice: new Notice(part("notice")),
    media: new MediaControls(mediaActions(reader)),
    buttons: { edit: part("edit"), new: part("new") },
  };
}

function mediaActions(reader) {
  return {
    play: () => reader().toggle(),
    pause: () => reader().toggle(),
    stop: () => reader().stop(),
    previoustrack: () => reader().back(),
    nexttrack: () => reader().next(),
  };
}

function wireControls(reader) {
  openKeyboard({
    play: () => reader.toggle(),
    playTyped: () => reader.play(reader.startingPlace),
    back: () => reader.back(),
    next: () => reader.next(),
    faster: () => reader.setSpeed(nextSpeed(reader.speed, 1)),
    slower: () => reader.setSpeed(nextSpeed(reader.speed, -1)),
    stop: () => reader.edit(),
  });
  openIntake({
    text: (text) => reader.replace(text),
    sample: (text, language) => reader.trySample(text, language),
    failed: (code) => reader.notice.error(complaint(code)),
  });
  part("follow").addEventListener("click", () => reader.sheet.back());
  part("edit").addEventListener("click", () => reader.edit());
  part("new").addEventListener("click", () => reader.clear());
  addEventListener("online", () => reader.wire.hurry());
  addEventListener("pagehide", () => reader.keep());
  openDialogs();
}

const reader = build(await bestCodec());
wireControls(reader);
window.voicewire = windowOnto(reader);
await reader.begin();
