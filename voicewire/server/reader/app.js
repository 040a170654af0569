// The reader: builds the parts of the page and carries what happens in one to the others.

import { Bar, nextSpeed } from "./bar.js";
import { complaint } from "./complaints.js";
import { bestCodec } from "./decode.js";
import { readText } from "./files.js";
import { openKeyboard } from "./keyboard.js";
import { firstVoice } from "./languages.js";
import { MediaControls } from "./media.js";
import { keep, keepText, recall } from "./memory.js";
import { Notice } from "./notice.js";
import { Player } from "./player.js";
import { Reading } from "./reading.js";
import { SAMPLES } from "./samples.js";
import { Key, fetchTicket, fetchVoices, streamUrl } from "./server.js";
import { Sheet } from "./sheet.js";
import { nextSentence, previousSentence, sentenceStart } from "./text.js";
import { VoiceMenu } from "./voices.js";
import { Wire } from "./wire.js";

const KEEP_TEXT_MS = 400;
const KEEP_PLACE_MS = 1_000;
const SPEED_SETTLES_MS = 250;
const PATIENCE_MS = 1_500; // before a lost connection is worth a word
const INTO_SENTENCE_CHARS = 30; // "back" goes to the start of this sentence first
const TITLE_CHARS = 40;

const part = (id) => document.getElementById(id);

class App {
  key = new Key();
  notice = new Notice(part("notice"));
  place = recall("place", 0);
  speed = recall("speed", 1);
  voices = [];
  voice = null;
  timers = {};

  constructor(codec) {
    this.player = new Player(codec, this.playerEvents());
    this.wire = new Wire(streamUrl(), () => fetchTicket(this.key), this.wireEvents());
    this.reading = new Reading(this.wire, this.player, this.readingEvents());
    this.sheet = new Sheet({
      typed: () => this.onTyped(),
      chosen: (offset) => this.play(offset),
      away: (away) => (part("follow").hidden = !away),
    });
    this.bar = new Bar({
      play: () => this.toggle(),
      back: () => this.back(),
      next: () => this.next(),
      seek: (fraction) => this.seek(fraction),
      speed: (speed) => this.setSpeed(speed),
      voice: () => this.menu.open(),
    });
    this.menu = new VoiceMenu(part("voices"), (voice) => this.setVoice(voice));
    this.openControls();
  }

  playerEvents() {
    return {
      report: () => this.reading.onReport(),
      ended: () => this.reading.onEnded(),
      interrupted: () => this.reading.pause(),
      failed: () => this.reading.fail("audio"),
    };
  }

  wireEvents() {
    return {
      message: (message) => this.reading.onMessage(message),
      audio: (...audio) => this.reading.onAudio(...audio),
      lost: () => this.reading.onLost(),
      status: (status) => this.onStatus(status),
      failed: ({ code }) => this.reading.fail(code),
    };
  }

  readingEvents() {
    return {
      state: (state) => this.onState(state),
      word: (word) => this.onWord(word),
      heard: () => this.onHeard(),
      finished: () => this.onFinished(),
      failed: (code) => this.onFailed(code),
    };
  }

  openControls() {
    const keys = {
      play: () => this.toggle(),
      playTyped: () => this.play(this.startingPlace()),
      back: () => this.back(),
      next: () => this.next(),
      faster: () => this.setSpeed(nextSpeed(this.speed, 1)),
      slower: () => this.setSpeed(nextSpeed(this.speed, -1)),
      stop: () => this.edit(),
    };
    openKeyboard(keys);
    this.media = new MediaControls({
      play: keys.play,
      pause: () => this.reading.pause(),
      stop: () => this.reading.stop(),
      previoustrack: keys.back,
      nexttrack: keys.next,
    });
    part("follow").addEventListener("click", () => this.sheet.back());
    part("edit").addEventListener("click", () => this.edit());
    part("new").addEventListener("click", () => this.clear());
    addEventListener("online", () => this.wire.hurry());
    addEventListener("pagehide", () => this.keepAll());
    openDialogs();
    this.openFiles();
    this.openSamples();
    this.openKeyForm();
  }

  openFiles() {
    part("open").addEventListener("click", () => part("file").click());
    part("file").addEventListener("change", ({ target }) => {
      this.load(target.files[0]);
      target.value = "";
    });
    addEventListener("dragover", (event) => this.onDrag(event, true));
    addEventListener("dragleave", (event) => event.relatedTarget || this.onDrag(event, false));
    addEventListener("drop", (event) => {
      this.onDrag(event, false);
      this.load(event.dataTransfer.files[0]);
    });
  }

  openSamples() {
    for (const button of document.querySelectorAll("[data-sample]"))
      button.addEventListener("click", () => this.trySample(SAMPLES[button.dataset.sample], button.lang));
  }

  openKeyForm() {
    part("settings").addEventListener("click", () => this.askForKey());
    part("key-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.saveKey();
    });
    part("forget").addEventListener("click", () => {
      this.key.forget();
      this.askForKey();
    });
  }

  /** Show what the last visit left, and what the server has. */
  async begin() {
    this.sheet.text = recall("text", "");
    this.bar.state = "idle";
    this.bar.speed = this.speed;
    this.bar.voice = recall("voice")?.name ?? "Voice";
    if (this.place > 0 && this.place < this.sheet.text.length) this.showPlace(this.place);
    this.refresh();
    await this.loadVoices();
  }

  async loadVoices() {
    try {
      this.voices = await fetchVoices(this.key);
      this.menu.voices = this.voices;
      this.useVoice(firstVoice(this.voices, recall("voice"), navigator.languages));
    } catch ({ code }) {
      if (code === "unauthorized") this.onFailed(code);
      else this.notice.error(complaint("no_voices"));
    }
  }

  // What the user does

  toggle() {
    const { state } = this.reading;
    if (state === "playing" || state === "loading") this.reading.pause();
    else if (state === "paused") this.reading.resume();
    else this.play(this.startingPlace());
  }

  /** Read from `offset`. */
  async play(offset) {
    const { text } = this.sheet;
    if (!text.trim()) return this.askForText();
    this.notice.hide();
    const opening = this.player.open(); // first of all, while the browser still sees the user's gesture
    this.media.show("playing", titleOf(text));
    if (!this.sheet.reading) this.sheet.read();
    this.sheet.focus();
    this.place = offset < text.trimEnd().length ? offset : 0;
    this.bar.waiting = true;
    await opening;
    this.reading.start(text, this.place, this.options());
    return this.refresh();
  }

  askForText() {
    this.edit();
    this.notice.info("Paste or type some text first.");
  }

  startingPlace() {
    return this.sheet.reading ? this.place : this.sheet.caret;
  }

  options() {
    const { model, id, language } = this.voice ?? {};
    return { model, voice: id, language, speed: this.speed };
  }

  /** Go to `offset`: go on reading there, or wait there. */
  jump(offset) {
    const { state } = this.reading;
    if (state === "playing" || state === "loading") this.play(offset);
    else {
      this.reading.stop();
      this.showPlace(offset);
    }
  }

  back() {
    const { text, locale } = this.sheet;
    const start = sentenceStart(text, this.place, locale);
    const far = this.place - start > INTO_SENTENCE_CHARS;
    this.jump(far ? start : previousSentence(text, this.place, locale));
  }

  next() {
    const { text, locale } = this.sheet;
    const offset = nextSentence(text, this.place, locale);
    if (offset < text.length) this.jump(offset);
  }

  seek(fraction) {
    const { text, locale } = this.sheet;
    this.jump(sentenceStart(text, Math.floor(fraction * text.length), locale));
  }

  setSpeed(speed) {
    this.speed = speed;
    this.bar.speed = speed;
    keep("speed", speed);
    clearTimeout(this.timers.speed);
    this.timers.speed = setTimeout(() => this.reading.change({ speed }), SPEED_SETTLES_MS);
  }

  setVoice(voice) {
    this.useVoice(voice);
    keep("voice", { id: voice.id, model: voice.model, name: voice.name });
    this.reading.change(this.options());
  }

  useVoice(voice) {
    if (!voice) return;
    this.voice = voice;
    this.menu.chosen = voice;
    this.bar.voice = voice.name;
    this.sheet.locale = voice.language;
  }

  edit() {
    this.reading.stop();
    this.sheet.edit(this.place);
    this.sheet.focus();
    this.refresh();
  }

  clear() {
    const [text, place] = [this.sheet.text, this.place];
    this.setText("");
    this.edit();
    this.notice.info("The text was cleared.", { label: "Undo", run: () => this.setText(text, place) });
  }

  async load(file) {
    if (!file) return;
    try {
      this.setText(await readText(file));
    } catch (error) {
      this.notice.error(complaint(error.message));
    }
  }

  trySample(text, language) {
    this.setText(text);
    if (language && !this.voice?.language.startsWith(language)) this.useVoice(firstVoice(this.voices, null, [language]));
    this.play(0);
  }

  setText(text, place = 0) {
    this.reading.stop();
    this.sheet.edit(0);
    this.sheet.text = text;
    this.place = place;
    this.keepAll();
    if (place > 0) this.showPlace(place);
    this.refresh();
  }

  saveKey() {
    this.key.set(part("key").value);
    part("about").close();
    this.notice.hide();
    this.loadVoices();
  }

  askForKey() {
    part("key").value = this.key.value;
    part("forget").hidden = !this.key.value;
    if (!part("about").open) part("about").showModal();
  }

  // What happens

  onTyped() {
    this.place = 0;
    this.refresh();
    clearTimeout(this.timers.text);
    this.timers.text = setTimeout(() => this.keepAll(), KEEP_TEXT_MS);
  }

  onDrag(event, over) {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    document.body.toggleAttribute("data-dropping", over);
  }

  onState(state) {
    this.bar.state = state;
    this.bar.waiting = state === "loading";
    const title = titleOf(this.sheet.text);
    document.title = state === "playing" ? `▶ ${title}` : `${title} · voicewire`;
    if (state === "paused" || state === "idle") this.media.show(state === "idle" ? "none" : "paused", title);
    this.keepPlace();
  }

  onWord(word) {
    this.place = word[0];
    this.sheet.mark(word);
    if (!this.timers.place) this.timers.place = setTimeout(() => this.keepPlace(), KEEP_PLACE_MS);
  }

  onHeard() {
    this.bar.waiting = this.reading.state === "loading" || this.player.report.dry;
    this.showTimes();
  }

  onFinished() {
    this.place = 0;
    this.sheet.unmark();
    this.keepPlace();
    this.showTimes();
    this.notice.info("That was the end.");
  }

  onFailed(code) {
    this.bar.waiting = false;
    this.notice.error(complaint(code));
    if (code === "unauthorized") this.askForKey();
  }

  onStatus(status) {
    clearTimeout(this.timers.status);
    if (status === "connecting") this.timers.status = setTimeout(() => this.onSlow(), PATIENCE_MS);
    else if (this.notice.kind === "busy") this.notice.hide();
  }

  onSlow() {
    this.notice.busy(navigator.onLine ? "Connecting to the server…" : "You are offline. The reading goes on when you are back.");
  }

  // What is shown and kept

  showPlace(offset) {
    this.place = offset;
    if (!this.sheet.reading) this.sheet.read();
    this.sheet.markAt(offset);
    this.keepPlace();
    this.showTimes();
  }

  refresh() {
    const { text, reading } = this.sheet;
    this.bar.enabled = Boolean(text.trim());
    part("edit").hidden = !reading;
    part("new").hidden = !text;
    this.showTimes();
  }

  showTimes() {
    const { length } = this.sheet.text;
    const { elapsedMs, totalMs } = this.reading.times(length, this.place);
    this.bar.show(length ? this.place / length : 0, elapsedMs, totalMs);
  }

  keepAll() {
    keepText(this.sheet.text);
    this.keepPlace();
  }

  keepPlace() {
    clearTimeout(this.timers.place);
    this.timers.place = 0;
    keep("place", this.place);
  }
}

function openDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close()); // its backdrop
  }
}

function titleOf(text) {
  const line = text.trimStart().split("\n", 1)[0].trim();
  return (line.length > TITLE_CHARS ? `${line.slice(0, TITLE_CHARS)}…` : line) || "voicewire";
}

/** What tests and curious people may look at; it changes nothing. */
function windowOnto({ reading, sheet, wire, player }) {
  return Object.freeze({
    get state() {
      return reading.state;
    },
    get reconnects() {
      return wire.reconnects;
    },
    get codec() {
      return player.codec.codec;
    },
    /** `{context, positionMs, words}`, words as [a, b, start_ms, end_ms] in the whole text. */
    get heard() {
      return reading.snapshot();
    },
    /** `{a, b, text}` of the marked word, or null. */
    get highlight() {
      return sheet.word && { a: sheet.word[0], b: sheet.word[1], text: sheet.markedText };
    },
  });
}

const app = new App(await bestCodec());
window.voicewire = windowOnto(app);
await app.begin();
