// One utterance: what is said of it, and what comes of it, as an asynchronous iterable.

import { WireError } from "./errors.js";

const EVENTS_MAX = 4_096; // waiting for who iterates: more than a minute of sound, frame by frame
const PIECE_CHARS = 8_000; // of one text message: 64 KiB hold them whatever they are
const ENDS = new Set(["done", "cancelled"]);

/**
 * An utterance. To iterate gives its events, the last of which is "done" or "cancelled"; it throws WireError when the
 * server gives it up or the connection cannot be mended. To leave the loop early cancels it.
 */
export class Speech {
  #wire;
  #events = [];
  #wake = null; // who waits for an event
  #over = false;
  #error = null;
  #carry = ""; // half a character: the other half begins the next text
  #source = null; // the iterator of a text that comes by itself
  #words = 0; // where the last word ended
  #begunMs = -1; // when the last phoneme began
  #block = -1;
  #settle;

  /** What was written so far: words and spans are positions in it. */
  text = "";

  /** Resolves to the last event. */
  finished = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));

  constructor(wire, context) {
    this.#wire = wire;
    this.context = context;
    this.finished.catch(() => {}); // who iterates gets the error there
  }

  /** Say more; as little as a token. Throws TypeError for what is no string. */
  write(text) {
    if (typeof text !== "string") throw new TypeError(`a piece of text is a string, not ${kindOf(text)}`);
    const whole = this.#carry + text;
    const cut = endsInHalf(whole) ? whole.length - 1 : whole.length;
    this.#carry = whole.slice(cut);
    this.text += whole.slice(0, cut);
    for (const piece of pieces(whole.slice(0, cut))) this.#wire.say({ type: "text", context: this.context, text: piece });
  }

  /** Speak what is there, whether or not a sentence ends. */
  flush() {
    this.#wire.say({ type: "flush", context: this.context });
  }

  /** There is no more text. */
  end() {
    this.#wire.say({ type: "end", context: this.context });
  }

  /** Stop; resolves to the last event, "cancelled" unless it was done, which says what was heard by `playedMs`. */
  cancel(playedMs = null) {
    this.#leaveSource();
    this.#wire.cancel(this.context, playedMs);
    return this.finished;
  }

  /** Tell the server where the listener is; it stays a little ahead of that. While `paused`, nothing is made. */
  playhead(playedMs, { paused = false } = {}) {
    this.#wire.playhead(this.context, playedMs, paused);
  }

  /** The text of a span [a, b, …]: of a word, of a block, of what was heard or unheard. */
  textOf([a, b]) {
    return this.text.slice(a, b);
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  async next() {
    while (!this.#events.length && !this.#over) await new Promise((resolve) => (this.#wake = resolve));
    if (this.#events.length) return { value: this.#events.shift(), done: false };
    if (!this.#error) return { value: undefined, done: true };
    const error = this.#error;
    this.#error = null; // said once; then it is over
    throw error;
  }

  async return() {
    this.cancel();
    this.#events = [];
    return { value: undefined, done: true };
  }

  /** Take text from an iterable until its end: what it throws, the utterance throws. */
  async read(texts) {
    try {
      const source = texts[Symbol.asyncIterator]?.() ?? texts[Symbol.iterator]();
      this.#source = source;
      for (let text = await source.next(); !text.done; text = await source.next()) {
        if (this.#over) return;
        this.write(text.value);
      }
      this.end();
    } catch (error) {
      this.#wire.cancel(this.context);
      this.fail(error);
    }
  }

  /** Take what the connection has for it. After a break words, phonemes and blocks may come again: each is handed on once. */
  deliver(event) {
    if (event.type === "error") return this.fail(WireError.from(event));
    const news = this.#fresh(event);
    if (event.type === "block" && event.block <= this.#block) return undefined;
    if (event.type === "block") this.#block = event.block;
    return news && this.#hand(news);
  }

  fail(error) {
    if (this.#over) return;
    this.#error = error;
    this.#settle.reject(error);
    this.#end();
  }

  #fresh(event) {
    if (event.type === "words") return this.#freshWords(event);
    return event.type === "phonemes" ? this.#freshPhonemes(event) : event;
  }

  #freshPhonemes(event) {
    const phonemes = event.phonemes.filter(([, beginsMs]) => beginsMs > this.#begunMs);
    if (!phonemes.length) return null;
    this.#begunMs = phonemes.at(-1)[1];
    return { ...event, phonemes };
  }

  #freshWords(event) {
    const words = event.words.filter(([a]) => a >= this.#words);
    if (!words.length) return null;
    this.#words = words.at(-1)[1];
    return { ...event, words };
  }

  #hand(event) {
    if (this.#over) return;
    if (this.#events.length >= EVENTS_MAX) {
      this.#wire.cancel(this.context);
      return void this.fail(new WireError("slow_consumer", "nobody takes the events of the utterance"));
    }
    this.#events.push(event);
    if (ENDS.has(event.type)) {
      this.#settle.resolve(event);
      this.#end();
    }
    this.#wake?.();
  }

  #end() {
    this.#over = true;
    this.#leaveSource();
    this.#wake?.();
  }

  /** Let what makes the text end too, such as a language model that nobody listens to any more. */
  #leaveSource() {
    const source = this.#source;
    this.#source = null;
    Promise.resolve(source?.return?.()).catch(() => {});
  }
}

/** What a value is, for who gave a wrong one. */
export function kindOf(value) {
  return value === null || value === undefined ? String(value) : `of type ${typeof value}`;
}

function endsInHalf(text) {
  const last = text.charCodeAt(text.length - 1);
  return last >= 0xd800 && last <= 0xdbff;
}

function* pieces(text) {
  for (let at = 0; at < text.length; ) {
    const rest = text.slice(at, at + PIECE_CHARS);
    const piece = endsInHalf(rest) ? rest.slice(0, -1) : rest;
    at += piece.length;
    yield piece;
  }
}
