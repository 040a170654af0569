// What the user does, and what the page does about it.

import { nearestSpeed } from "./bar.js";
import { complaint } from "./complaints.js";
import { keep, keepText, recall } from "./memory.js";
import { nextSentence, previousSentence, sentenceStart } from "./text.js";

const KEEP_TEXT_MS = 400;
const KEEP_PLACE_MS = 1_000;
const SPEED_SETTLES_MS = 250;
const PATIENCE_MS = 1_500; // before a lost connection is worth a word
const INTO_SENTENCE_CHARS = 30; // "back" goes to the start of this sentence first
const TITLE_CHARS = 40;
const MEDIA_STATES = { idle: "none", paused: "paused", loading: "playing", playing: "playing" };

/** Conducts the parts of the page, which `app.js` builds and wires. */
export class Reader {
  place = recall("place", 0); // the offset of the word being heard, or of the next to be heard
  speed = nearestSpeed(recall("speed", 1));
  #timers = {};
  #turn = 0;

  constructor({ player, wire, reading, sheet, bar, choice, settings, notice, media, buttons, key }) {
    Object.assign(this, { player, wire, reading, sheet, bar, choice, settings, notice, media, buttons, key });
  }

  /** Show what the last visit left, and what the server has. */
  async begin() {
    this.sheet.load(recall("text", ""));
    this.bar.state = "idle";
    this.bar.speed = this.speed;
    if (this.place > 0 && this.place < this.sheet.text.length) this.#show(this.place);
    this.#refresh();
    await this.loadVoices();
  }

  async loadVoices() {
    try {
      await this.choice.load(this.key);
      this.sheet.locale = this.choice.locale;
    } catch ({ code }) {
      this.onFailed(code === "unauthorized" ? code : "no_voices");
    }
  }

  // What the user does

  toggle() {
    if (this.#sounding) this.reading.pause();
    else if (this.reading.state === "paused") this.reading.resume();
    else this.play(this.startingPlace);
  }

  /** Where reading begins if it begins now. */
  get startingPlace() {
    return this.sheet.reading ? this.place : this.sheet.caret;
  }

  /** Read from `offset`. */
  play(offset) {
    const { text } = this.sheet;
    if (!text.trim()) return this.#askForText();
    const opening = this.player.open(); // first of all, while the browser still sees the user's gesture
    this.media.show("playing", titleOf(text));
    this.notice.hide();
    if (!this.sheet.reading) this.sheet.read();
    this.sheet.focus();
    this.place = offset < text.trimEnd().length ? offset : 0;
    this.bar.waiting = true;
    this.#refresh();
    return this.#startWhen(opening, text);
  }

  stop() {
    this.#turn += 1; // what is still opening must not begin
    this.reading.stop();
    this.bar.waiting = false;
  }

  edit() {
    this.stop();
    if (this.sheet.reading) this.sheet.edit(this.place);
    this.sheet.focus();
    this.#refresh();
  }

  /** Go to `offset`: go on reading there, or wait there. */
  jump(offset) {
    if (this.#sounding) return this.play(offset);
    this.stop();
    return this.#show(offset);
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

  /** Go to the sentence at a fraction of the text. */
  seek(fraction) {
    const { text, locale } = this.sheet;
    this.jump(sentenceStart(text, Math.floor(fraction * text.length), locale));
  }

  setSpeed(speed) {
    this.speed = speed;
    this.bar.speed = speed;
    keep("speed", speed);
    this.#later("speed", SPEED_SETTLES_MS, () => this.reading.change({ speed }));
  }

  setVoice(voice) {
    this.choice.keep(voice);
    this.sheet.locale = this.choice.locale;
    this.reading.change(this.choice.options);
  }

  /** Begin with another text, which can be undone. */
  replace(text) {
    const [before, place] = [this.sheet.text, this.place];
    this.#setText(text);
    const done = text ? "The text was replaced." : "The text was cleared.";
    if (before) this.notice.info(done, { label: "Undo", run: () => this.#setText(before, place) });
  }

  clear() {
    this.replace("");
    this.sheet.focus();
  }

  trySample(text, language) {
    this.#setText(text);
    this.choice.suit(language);
    this.sheet.locale = this.choice.locale;
    this.play(0);
  }

  // What happens

  onTyped() {
    this.place = 0;
    this.#refresh();
    this.#later("text", KEEP_TEXT_MS, () => this.keep());
  }

  onState(state) {
    const title = titleOf(this.sheet.text);
    this.bar.state = state;
    this.bar.waiting = state === "loading";
    this.media.show(MEDIA_STATES[state], title);
    document.title = state === "playing" ? `▶ ${title}` : `${title} · voicewire`;
    this.#keepPlace();
  }

  onWord(word) {
    this.place = word[0];
    this.sheet.mark(word);
    if (!this.#timers.place) this.#later("place", KEEP_PLACE_MS, () => this.#keepPlace());
  }

  onHeard() {
    this.bar.waiting = this.reading.state === "loading" || this.player.report.dry;
    this.#showTimes();
  }

  onFinished() {
    this.place = 0;
    this.sheet.unmark();
    this.#keepPlace();
    this.#showTimes();
    this.notice.info("That was the end.");
  }

  onFailed(code) {
    this.bar.waiting = false;
    if (code === "unauthorized") this.settings.open(complaint(code));
    else this.notice.error(complaint(code));
  }

  /** The socket is "connecting", "open", "reconnecting" or "closed". */
  onStatus(status) {
    const trying = status.endsWith("connecting");
    if (status === "open") this.reading.onOpen();
    if (trying && this.#timers.status) return;
    this.#later("status", PATIENCE_MS, () => trying && this.#apologize());
    if (!trying && this.notice.kind === "busy") this.notice.hide();
  }

  /** Keep text and place for the next visit. */
  keep() {
    keepText(this.sheet.text);
    this.#keepPlace();
  }

  get #sounding() {
    return this.reading.state === "playing" || this.reading.state === "loading";
  }

  async #startWhen(opening, text) {
    const turn = ++this.#turn;
    try {
      await opening;
    } catch {
      return this.onFailed("audio");
    }
    if (turn !== this.#turn) return undefined;
    return this.reading.start(text, this.place, { ...this.choice.options, speed: this.speed });
  }

  #askForText() {
    this.edit();
    this.notice.info("Paste or type some text first.");
  }

  #apologize() {
    this.notice.busy(navigator.onLine ? "Connecting to the server…" : "You are offline. Reading goes on when you are back.");
  }

  #setText(text, place = 0) {
    this.stop();
    this.sheet.load(text);
    this.place = place;
    if (place > 0) this.#show(place);
    this.keep();
    this.#refresh();
  }

  #show(offset) {
    this.place = offset;
    if (!this.sheet.reading) this.sheet.read();
    this.sheet.markAt(offset);
    this.#keepPlace();
    this.#showTimes();
  }

  #refresh() {
    const { text, reading } = this.sheet;
    this.bar.enabled = Boolean(text.trim());
    this.buttons.edit.hidden = !reading;
    this.buttons.new.hidden = !text;
    this.#showTimes();
  }

  #showTimes() {
    const { length } = this.sheet.text;
    const { elapsedMs, totalMs } = this.reading.times(length, this.place);
    this.bar.show(length ? this.place / length : 0, elapsedMs, totalMs);
  }

  #keepPlace() {
    clearTimeout(this.#timers.place);
    this.#timers.place = 0;
    keep("place", this.place);
  }

  #later(name, ms, run) {
    clearTimeout(this.#timers[name]);
    this.#timers[name] = setTimeout(() => {
      this.#timers[name] = 0;
      run();
    }, ms);
  }
}

function titleOf(text) {
  const line = text.trimStart().split("\n", 1)[0].trim();
  return (line.length > TITLE_CHARS ? `${line.slice(0, TITLE_CHARS)}…` : line) || "voicewire";
}
