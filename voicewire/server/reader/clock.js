// How much was heard: the samples that the audio thread gave away, less what is still on its way to the ear.

const REPORTS_KEPT = 128; // 2.7 s, longer than any wireless headphone is late

/** The context time, in samples, of what leaves the loudspeaker now. */
export function heardFrame(audio, nowMs) {
  const rate = audio.sampleRate;
  const stamp = audio.getOutputTimestamp?.();
  if (stamp?.performanceTime > 0) {
    const since = audio.state === "running" ? Math.max(0, nowMs - stamp.performanceTime) / 1000 : 0;
    return Math.min(stamp.contextTime + since, audio.currentTime) * rate;
  }
  return (audio.currentTime - (audio.baseLatency || 0) - (audio.outputLatency || 0)) * rate;
}

/** The Feed's reports of one epoch, and what they say about any moment between them. */
export class Clock {
  #reports = [];

  /** Begin a new epoch. */
  clear() {
    this.#reports = [];
  }

  add({ frame, played }) {
    this.#reports.push({ frame, played });
    if (this.#reports.length > REPORTS_KEPT) this.#reports.shift();
  }

  /** Samples of the epoch that had been given away when the context's clock stood at `frame`. */
  playedAt(frame) {
    const reports = this.#reports;
    let i = reports.length - 1;
    while (i >= 0 && reports[i].frame > frame) i--;
    if (i < 0) return reports.length ? between({ frame: -Infinity, played: 0 }, reports[0], frame) : 0;
    return i === reports.length - 1 ? reports[i].played : between(reports[i], reports[i + 1], frame);
  }
}

function between(before, after, frame) {
  // Samples are given away one for one while it plays, so what was played counts back from the later report.
  return Math.max(before.played, after.played - (after.frame - frame));
}
