// Reading a text aloud: a chain of utterances over it, and the place in it that is being heard.

import { lastAtMost, skipSpace, utteranceEnd } from "./text.js";

const LEAD_MS = { opus: 8_000, pcm_s16le: 4_000 }; // in hand, against a network that comes and goes
const AHEAD_MS = 10_000; // with more than that in hand, the next utterance can wait
const BUNDLE = 5;
const WIRE_RATE_HZ = 24_000;
const FRAME_MS = 20;
const PLAYHEAD_MS = 250;
const FIRST_PACE_MS = 65; // a character of speech at speed 1, until it is known better
const WORDLESS_MS = 1_000; // a block that has had no word for so long has none
const TRIES = 4; // of what the server says may be tried again
const TRY_AGAIN_MS = 700;

/**
 * Reads one text at a time.
 *
 * `events`: `state("idle" | "loading" | "playing" | "paused")`; `word([a, b])` when another word
 * is heard; `heard()` about 50 times a second; `finished()`; `failed(code, message)`.
 */
export class Reading {
  #wire;
  #player;
  #events;
  #text = "";
  #options = { speed: 1 };
  #from = 0; // where the chain begins
  #chain = []; // utterances in order: [{id, base, end, words, blocks, began, atMs, audioMs}]
  #names = 0;
  #pace = FIRST_PACE_MS;
  #word = null; // what is heard, in the whole text
  #heard = null; // the same, as the server gave it
  #reported = 0; // when the last playhead was sent
  #nextAt = -1; // where the next utterance begins, when a pause or a retry holds it back
  #tries = 0;
  #retry = 0;
  state = "idle";

  constructor(wire, player, events) {
    this.#wire = wire;
    this.#player = player;
    this.#events = events;
  }

  /** Read `text` from the word at `from`. `options`: `{model, voice, language, speed}`. */
  start(text, from, options) {
    this.#drop();
    this.#text = text;
    this.#from = skipSpace(text, from);
    this.#pace *= this.#options.speed / options.speed;
    this.#options = options;
    this.#setState("loading");
    this.#player.play();
    this.#speak(this.#from);
  }

  /** Read on from the word being heard, if `options` change anything. */
  change(options) {
    if (Object.entries(options).some(([name, value]) => this.#options[name] !== value)) this.#restart(options);
  }

  pause() {
    if (this.state !== "playing" && this.state !== "loading") return;
    this.#player.pause();
    this.#setState("paused");
    this.#sendPlayheads();
  }

  resume() {
    if (this.state !== "paused") return;
    this.#player.play();
    this.#setState(this.#player.position() ? "playing" : "loading");
    this.#sendPlayheads();
    this.#speakNext();
  }

  stop() {
    this.#drop();
    this.#player.pause();
    this.#setState("idle");
  }

  /** The offset in the text of what is being heard, or of what will be heard first. */
  place() {
    return this.#word?.[0] ?? this.#from;
  }

  /**
   * `{elapsedMs, totalMs}` of a text of `length` characters at `place`; what was not heard yet is estimated
   * from the pace so far.
   */
  times(length, place) {
    const now = this.state === "idle" ? null : this.#now();
    const elapsedMs = now ? now.utterance.atMs + now.ms : place * this.#pace;
    return { elapsedMs, totalMs: elapsedMs + (length - place) * this.#pace };
  }

  /** What the tests of the page look at. */
  snapshot() {
    const now = this.#now();
    const utterance = now?.utterance ?? this.#chain.at(0);
    const words = utterance?.words ?? [];
    return {
      context: utterance?.id ?? null,
      positionMs: now?.ms ?? 0,
      words: words.map(([a, b, startMs, endMs]) => [a + utterance.base, b + utterance.base, startMs, endMs]),
    };
  }

  /** Take what the server says of an utterance. */
  onMessage(message) {
    const utterance = this.#chain.find(({ id }) => id === message.context);
    if (!utterance) return;
    if (message.type === "words") add(utterance.words, message.words);
    else if (message.type === "block") add(utterance.blocks, [[...message.span, message.start_ms]]);
    else if (message.type === "done") this.#onDone(utterance, message);
    else if (message.type === "error") this.#onError(utterance, message);
  }

  onAudio(context, packets, frameMs) {
    const utterance = this.#chain.find(({ id }) => id === context);
    if (!utterance) return;
    utterance.began = true;
    this.#player.push(context, packets, frameMs);
  }

  /** The connection is there again: the server would otherwise think that all it sent was heard. */
  onOpen() {
    this.#sendPlayheads();
  }

  /** The server knows open utterances no more: begin again at the word being heard. */
  onLost(contexts) {
    if (this.#chain.some(({ id }) => contexts.includes(id))) this.#restart();
  }

  /** Look again at what is being heard: the player's `report`. */
  onReport() {
    const now = this.#now();
    if (now && this.state === "loading") this.#setState("playing");
    if (now && this.state === "playing") this.#hear(now);
    if (performance.now() - this.#reported >= PLAYHEAD_MS) this.#sendPlayheads();
    this.#speakNext();
    if (this.state !== "idle") this.#events.heard();
  }

  onEnded() {
    if (this.#chain.some(({ id }) => this.#wire.isLive(id)) || this.#nextAt >= 0) return;
    this.stop();
    this.#events.finished();
  }

  /** Stop for good because of an error; the place is kept. */
  fail(code, message) {
    this.stop();
    this.#events.failed(code, message);
  }

  #restart(options = {}) {
    if (this.state === "idle") return;
    const paused = this.state === "paused";
    this.start(this.#text, this.place(), { ...this.#options, ...options });
    if (paused) this.pause();
  }

  #speak(from) {
    const base = skipSpace(this.#text, from);
    if (base >= this.#text.length) return void this.#player.finish();
    const limit = this.#wire.limits?.text_chars ?? Infinity; // unknown before the first connection
    const end = utteranceEnd(this.#text, base, limit, this.#options.language);
    const utterance = { id: `u${++this.#names}`, base, end, words: [], blocks: [], began: false, atMs: this.#endMs(base) };
    this.#chain.push(utterance);
    return this.#wire.speak(this.#request(utterance));
  }

  #request({ id, base, end }) {
    const { codec } = this.#player.codec;
    const { model, voice, speed } = this.#options;
    return {
      type: "speak",
      context: id,
      text: this.#text.slice(base, end),
      ...(voice && { model, voice }),
      speed,
      offsets: "utf16",
      lead_ms: LEAD_MS[codec],
      format: { codec, rate: WIRE_RATE_HZ, frame_ms: FRAME_MS, bundle: BUNDLE },
    };
  }

  /** Where an utterance that begins at `base` stands on the time line of the whole text. */
  #endMs(base) {
    const before = this.#chain.at(-1);
    return before ? before.atMs + before.audioMs : base * this.#pace;
  }

  #speakNext() {
    const from = this.#nextAt;
    if (from < 0 || this.state === "paused" || this.#player.aheadMs > AHEAD_MS) return;
    this.#nextAt = -1;
    this.#speak(from);
  }

  #onDone(utterance, { audio_ms }) {
    utterance.audioMs = audio_ms;
    if (audio_ms > 0) this.#pace = audio_ms / (utterance.end - utterance.base);
    this.#tries = 0;
    this.#nextAt = utterance.end;
    this.#speakNext();
  }

  #onError(utterance, { code, message, retryable, retry_after_ms }) {
    const { base, end } = utterance;
    if (code === "text_too_long" && end - base > this.#wire.limits.text_chars) return void this.#again(utterance);
    if (!retryable || ++this.#tries > TRIES) return void this.fail(code, message);
    const wait = retry_after_ms ?? TRY_AGAIN_MS * this.#tries;
    this.#retry = setTimeout(() => this.#again(utterance), wait);
  }

  #again(utterance) {
    if (utterance.began) return this.#restart();
    this.#chain.splice(this.#chain.indexOf(utterance), 1);
    this.#nextAt = utterance.base;
    return this.#speakNext();
  }

  #now() {
    const position = this.#player.position();
    const utterance = position && this.#chain.find(({ id }) => id === position.context);
    return utterance ? { utterance, ms: position.ms } : null;
  }

  #hear({ utterance, ms }) {
    const { base } = utterance;
    const word = spokenAt(utterance, ms);
    if (!word || word === this.#heard) return;
    this.#heard = word;
    this.#word = [base + word[0], base + word[1]];
    this.#chain.splice(0, this.#chain.indexOf(utterance)); // what was heard to its end
    this.#events.word(this.#word);
  }

  #sendPlayheads() {
    this.#reported = performance.now();
    const now = this.#now();
    for (const utterance of this.#chain)
      this.#wire.playhead(utterance.id, utterance === now?.utterance ? now.ms : 0, this.state === "paused");
  }

  #drop() {
    clearTimeout(this.#retry);
    const now = this.#now();
    for (const utterance of this.#chain)
      this.#wire.cancel(utterance.id, utterance === now?.utterance ? now.ms : 0);
    this.#from = this.place();
    this.#chain = [];
    this.#nextAt = -1;
    this.#word = null;
    this.#heard = null;
    this.#player.flush();
  }

  #setState(state) {
    if (state === this.state) return;
    this.state = state;
    this.#events.state(state);
  }
}

/** The word [a, b, …] that is heard at `ms`, or the block, where the voice does not tell its words. */
function spokenAt({ words, blocks }, ms) {
  const startOf = ([, , startMs]) => startMs;
  const word = words[lastAtMost(words, ms, startOf)];
  const block = blocks[lastAtMost(blocks, ms - WORDLESS_MS, startOf)];
  return block && !(word && startOf(word) >= startOf(block)) ? block : word;
}

/** After a resume words and blocks may come again: take each once, in the order of the text. */
function add(spans, more) {
  const last = spans.at(-1)?.[0] ?? -1;
  spans.push(...more.filter(([a]) => a > last));
}
