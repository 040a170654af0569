// What the audio thread does: play from a ring, count every sample it gives away, and never click.

import { Ring } from "./ring.js";

const CAPACITY_S = 45;
const CUSHION_S = 0.12; // audio in hand before it starts, and again after it ran dry
const REPORT_S = 0.02;
const FADE_SAMPLES = 128; // a render quantum of the Web Audio API

/**
 * The playing side of a reader. `post` receives `{epoch, frame, played, buffered, dry}`: when the context's
 * clock stood at `frame`, exactly `played` samples of this epoch had been given away. A flush begins an epoch.
 */
export class Feed {
  #ring;
  #post;
  #cushion;
  #reportEvery;
  #reportAt = 0;
  #epoch = 0;
  #played = 0;
  #playing = false;
  #sounding = false; // the last samples given away were at full level
  #waiting = true; // for the cushion
  #finished = false; // no more audio comes in this epoch
  #tail = null; // what a flush leaves to fade out

  constructor(rateHz, post) {
    this.#ring = new Ring(rateHz * CAPACITY_S);
    this.#post = post;
    this.#cushion = rateHz * CUSHION_S;
    this.#reportEvery = rateHz * REPORT_S;
  }

  /** Take one message of the page: its `type` is one of the methods below. */
  receive(message) {
    this[message.type](message);
  }

  push({ epoch, samples }) {
    if (epoch === this.#epoch && !this.#ring.push(samples)) this.#post({ overflow: true });
  }

  flush({ epoch }) {
    if (this.#sounding) this.#tail = this.#fading(new Float32Array(FADE_SAMPLES));
    this.#ring.clear();
    this.#epoch = epoch;
    this.#played = 0;
    this.#waiting = true;
    this.#finished = false;
  }

  play() {
    this.#playing = true;
  }

  pause() {
    this.#playing = false;
  }

  finish() {
    this.#finished = true;
  }

  /** Fill `out`, whose first sample is given away when the context's clock stands at `frame`. */
  render(out, frame) {
    out.fill(0);
    if (this.#tail) this.#fadeTail(out);
    else if (this.#mayPlay()) this.#fill(out);
    else if (this.#sounding) this.#played += this.#fading(out).length;
    this.#report(frame + out.length);
  }

  #mayPlay() {
    if (this.#ring.size >= this.#cushion || this.#finished) this.#waiting = false;
    return this.#playing && !this.#waiting;
  }

  #fill(out) {
    const count = this.#ring.read(out);
    this.#played += count;
    if (!this.#sounding) ramp(out.subarray(0, count), 0, 1);
    this.#sounding = count === out.length;
    if (!this.#sounding) this.#waiting = true;
  }

  #fading(out) {
    const samples = out.subarray(0, this.#ring.read(out));
    this.#sounding = false;
    return ramp(samples, 1, 0);
  }

  #fadeTail(out) {
    out.set(this.#tail);
    this.#tail = null;
  }

  #report(frame) {
    if (frame < this.#reportAt) return;
    this.#reportAt = frame + this.#reportEvery;
    const dry = this.#playing && this.#waiting && !this.#finished;
    this.#post({ epoch: this.#epoch, frame, played: this.#played, buffered: this.#ring.size, dry });
  }
}

function ramp(samples, from, to) {
  for (let i = 0; i < samples.length; i++) samples[i] *= from + ((to - from) * i) / samples.length;
  return samples;
}
