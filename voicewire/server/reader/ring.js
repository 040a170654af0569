// Samples on their way to the loudspeaker. Runs inside the AudioWorklet, where nothing may be allocated per block.

/** A fixed buffer of float32 samples: first in, first out. */
export class Ring {
  #samples;
  #from = 0;

  constructor(capacity) {
    this.#samples = new Float32Array(capacity);
    this.size = 0;
  }

  /** Append all of `samples`; returns false, and takes none, when they do not fit. */
  push(samples) {
    const capacity = this.#samples.length;
    if (this.size + samples.length > capacity) return false;
    const to = (this.#from + this.size) % capacity;
    const head = Math.min(samples.length, capacity - to);
    this.#samples.set(samples.subarray(0, head), to);
    this.#samples.set(samples.subarray(head), 0);
    this.size += samples.length;
    return true;
  }

  /** Move up to `out.length` samples to the start of `out`; returns how many. */
  read(out) {
    const count = Math.min(out.length, this.size);
    const head = Math.min(count, this.#samples.length - this.#from);
    out.set(this.#samples.subarray(this.#from, this.#from + head), 0);
    out.set(this.#samples.subarray(0, count - head), head);
    this.#from = (this.#from + count) % this.#samples.length;
    this.size -= count;
    return count;
  }

  clear() {
    this.size = 0;
  }
}
