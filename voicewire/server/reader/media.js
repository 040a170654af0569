// The system's media controls: keys, headsets, lock screens. They follow a media element only, so a silent one plays along.

const RATE_HZ = 8_000;
const SECONDS = 10; // browsers show controls for media of five seconds and more
const HEADER_BYTES = 44;

/** `actions`: play, pause, stop, previoustrack, nexttrack. */
export class MediaControls {
  #silence = null;

  constructor(actions) {
    if (!navigator.mediaSession) return;
    for (const [action, run] of Object.entries(actions)) setHandler(action, run);
  }

  /** Show `title`, and whether it plays. Call it in a user's gesture the first time. */
  show(state, title) {
    if (!navigator.mediaSession) return;
    navigator.mediaSession.playbackState = state;
    navigator.mediaSession.metadata = new MediaMetadata({ title, artist: "voicewire" });
    if (state === "playing") this.#play();
    else this.#silence?.pause();
  }

  #play() {
    this.#silence ??= silence();
    this.#silence.play().catch(() => {}); // refused without a gesture: there are no controls then
  }
}

function setHandler(action, run) {
  try {
    navigator.mediaSession.setActionHandler(action, run);
  } catch {
    // this browser does not have the action
  }
}

function silence() {
  const audio = new Audio(URL.createObjectURL(new Blob([silentWav()], { type: "audio/wav" })));
  audio.loop = true;
  return audio;
}

/** A WAV file of silence: 8 bit, mono. */
function silentWav() {
  const size = RATE_HZ * SECONDS;
  const view = new DataView(new ArrayBuffer(HEADER_BYTES + size));
  const ascii = (at, text) => [...text].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  ascii(0, "RIFF");
  view.setUint32(4, HEADER_BYTES - 8 + size, true);
  ascii(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true);
  view.setUint32(24, RATE_HZ, true);
  view.setUint32(28, RATE_HZ, true);
  view.setUint16(32, 1, true);
  view.setUint16(34, 8, true);
  ascii(36, "data");
  view.setUint32(40, size, true);
  new Uint8Array(view.buffer, HEADER_BYTES).fill(128);
  return view.buffer;
}
