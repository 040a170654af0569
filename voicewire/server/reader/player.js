// Frames in, sound out, and the exact position of what is being heard.

import { Clock, heardFrame } from "./clock.js";
import { openDecoder } from "./decode.js";
import { openOutput } from "./output.js";

const SUSPEND_AFTER_MS = 1_000;
const DECODED_MS_MAX = 20_000; // a server keeps to the lead it was asked for, but the Feed must never overflow

/**
 * Plays the audio of utterances one behind the other, without a gap.
 *
 * `events`: `report({buffered, dry})` about 50 times a second while the audio device runs, also in a hidden
 * page; `ended()` once the last sample was heard; `interrupted()` when the system takes the device away;
 * `failed(error)`.
 */
export class Player {
  #events;
  #opening = null;
  #audio = null;
  #post = null;
  #decoder = null;
  #clock = new Clock();
  #epoch = 0;
  #starts = []; // [{context, timestamp, sample}]: where each utterance begins in this epoch
  #timestampUs = 0; // of the next packet in this epoch
  #pushed = 0; // samples decoded in this epoch
  #held = []; // [{context, packet, frameMs}]: not yet decoded, which would make them a hundred times larger
  #finishing = false; // what is held is the last of this epoch
  #finished = false; // all of it was decoded
  #playing = false;
  #suspending = 0;
  report = { buffered: 0, dry: false, played: 0 };
  gaps = 0; // times it ran dry after it had begun
  #playedBefore = 0; // samples given away before this epoch

  /** `codec` is what `bestCodec` found. */
  constructor(codec, events) {
    this.codec = codec;
    this.#events = events;
  }

  /**
   * Open the audio device. Resolves when it can take audio.
   *
   * The first call must be made directly in a user's gesture: browsers let only such a context sound.
   */
  open() {
    this.#opening ??= this.#open().catch((error) => {
      this.#opening = null;
      throw error;
    });
    this.#wake();
    return this.#opening;
  }

  async #open() {
    this.#audio = new AudioContext({ sampleRate: this.codec.rateHz, latencyHint: "interactive" });
    this.#audio.onstatechange = () => this.#onState();
    this.#post = await openOutput(this.#audio, (report) => this.#onReport(report));
    const { codec } = this;
    this.#decoder = openDecoder(codec, (...output) => this.#onSamples(...output), this.#events.failed);
    this.flush();
  }

  /** Take `packets`, the next frames of `context`, each `frameMs` long. */
  push(context, packets, frameMs) {
    for (const packet of packets) this.#held.push({ context, packet, frameMs });
    this.#decodeHeld();
  }

  /** Milliseconds of audio in hand that were not yet given to the loudspeaker. */
  get aheadMs() {
    const heldMs = this.#held.reduce((sum, { frameMs }) => sum + frameMs, 0);
    return heldMs + this.#decodedAheadMs;
  }

  /** No more audio comes before the next flush. */
  finish() {
    this.#finishing = true;
    this.#decodeHeld();
  }

  /** Drop what was not heard and begin anew. */
  flush() {
    this.#epoch += 1;
    this.#playedBefore += this.report.played;
    this.report = { buffered: 0, dry: false, played: 0 };
    this.#clock.clear();
    this.#starts = [];
    this.#timestampUs = 0;
    this.#pushed = 0;
    this.#held = [];
    this.#finishing = false;
    this.#finished = false;
    this.#decoder?.reset();
    this.#post?.({ type: "flush", epoch: this.#epoch });
  }

  play() {
    this.#playing = true;
    this.#wake();
    this.#post({ type: "play" });
  }

  pause() {
    this.#playing = false;
    this.#post?.({ type: "pause" });
    clearTimeout(this.#suspending);
    this.#suspending = setTimeout(() => this.#audio?.suspend(), SUSPEND_AFTER_MS);
  }

  /** What is being heard now: `{context, ms}`, or null before the first sample. */
  position() {
    const heard = this.#heard();
    const start = this.#starts.findLast(({ sample }) => sample <= heard);
    return start ? { context: start.context, ms: (1000 * (heard - start.sample)) / this.#audio.sampleRate } : null;
  }

  /** Milliseconds of audio given to the loudspeaker since the page was opened. */
  get playedMs() {
    return this.#audio ? (1000 * (this.#playedBefore + this.report.played)) / this.#audio.sampleRate : 0;
  }

  get #decodedAheadMs() {
    return this.#audio ? this.#timestampUs / 1000 - (1000 * this.report.played) / this.#audio.sampleRate : 0;
  }

  #decodeHeld() {
    let count = 0;
    for (; count < this.#held.length && this.#decodedAheadMs < DECODED_MS_MAX; count++) this.#decode(this.#held[count]);
    this.#held.splice(0, count);
    if (this.#finishing && this.#held.length === 0) this.#finish();
  }

  #decode({ context, packet, frameMs }) {
    if (this.#starts.at(-1)?.context !== context)
      this.#starts.push({ context, timestamp: this.#timestampUs, sample: Infinity });
    this.#decoder.decode(packet, this.#timestampUs);
    this.#timestampUs += frameMs * 1000;
  }

  async #finish() {
    this.#finishing = false;
    const epoch = this.#epoch;
    await this.#decoder.drain();
    if (epoch !== this.#epoch) return;
    this.#finished = true;
    this.#post({ type: "finish" });
  }

  #heard() {
    return this.#audio ? this.#clock.playedAt(heardFrame(this.#audio, performance.now())) : 0;
  }

  #wake() {
    clearTimeout(this.#suspending);
    if (this.#audio && this.#audio.state !== "running") this.#audio.resume();
  }

  #onState() {
    // A phone call takes the device away; a suspension of our own comes only while paused.
    if (this.#playing && this.#audio.state === "interrupted") this.#events.interrupted();
  }

  #onSamples(samples, timestamp) {
    const epoch = this.#epoch;
    for (const start of this.#starts)
      if (start.sample === Infinity && timestamp >= start.timestamp) start.sample = this.#pushed;
    this.#pushed += samples.length;
    this.#post({ type: "push", epoch, samples }, [samples.buffer]);
  }

  #onReport(report) {
    if (report.overflow) return this.#events.failed(new Error("the server sent more audio than fits"));
    if (report.epoch !== this.#epoch) return undefined;
    this.#clock.add(report);
    if (report.dry && !this.report.dry && report.played > 0) this.gaps += 1;
    this.report = report;
    this.#decodeHeld();
    this.#events.report(report);
    if (this.#finished && this.#heard() >= this.#pushed) this.#end();
    return undefined;
  }

  #end() {
    this.#finished = false;
    this.#events.ended();
  }
}
