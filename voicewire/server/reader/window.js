// What tests, and curious people at the console, may look at: `window.voicewire`. It changes nothing.

export function windowOnto({ reading, sheet, wire, player }) {
  return Object.freeze({
    /** "idle", "loading", "playing" or "paused". */
    get state() {
      return reading.state;
    },
    get reconnects() {
      return wire.reconnects;
    },
    get codec() {
      return player.codec.codec;
    },
    /** `{context, positionMs, words}`, words as [a, b, start_ms, end_ms] with a and b in the whole text. */
    get heard() {
      return reading.snapshot();
    },
    /** How often the loudspeaker ran dry. */
    get gaps() {
      return player.gaps;
    },
    /** Milliseconds of audio given to the loudspeaker so far. */
    get playedMs() {
      return player.playedMs;
    },
    /** `{a, b, text}` of the marked word, or null. */
    get highlight() {
      return sheet.word && { a: sheet.word[0], b: sheet.word[1], text: sheet.markedText };
    },
  });
}
