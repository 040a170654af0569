// The player bar: buttons, the place in the text, times, speed.

const SPEEDS = [0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2];
const SLIDER_STEPS = 1000;

/** `12:05`, or `1:02:05` from an hour on. */
export function clockTime(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const minutes = Math.floor(seconds / 60);
  const tail = String(seconds % 60).padStart(2, "0");
  if (minutes < 60) return `${minutes}:${tail}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${tail}`;
}

/** The speed on offer that is nearest to `speed`. */
export function nearestSpeed(speed) {
  return SPEEDS.reduce((best, each) => (Math.abs(each - speed) < Math.abs(best - speed) ? each : best), 1);
}

/** The speed next to `speed` in `direction`, 1 or -1. */
export function nextSpeed(speed, direction) {
  const index = SPEEDS.findIndex((value) => value >= speed - 1e-6);
  return SPEEDS[Math.min(Math.max(index + direction, 0), SPEEDS.length - 1)];
}

/** `on`: play, back, next, seek(fraction), speed(value), voice. */
export class Bar {
  #on;
  #part = (id) => document.getElementById(id);
  #dragging = false;

  constructor(on) {
    this.#on = on;
    for (const id of ["play", "back", "next", "voice"]) this.#part(id).addEventListener("click", () => on[id]());
    this.#openSpeed();
    this.#openSeek();
  }

  /** Show "idle", "loading", "playing" or "paused". */
  set state(state) {
    const playing = state === "playing" || state === "loading";
    document.body.dataset.state = state;
    this.#part("play").ariaLabel = playing ? "Pause" : "Play";
    this.#part("play").title = playing ? "Pause (space)" : "Play (space)";
  }

  set waiting(waiting) {
    document.body.toggleAttribute("data-waiting", waiting);
  }

  set speed(speed) {
    this.#part("speed").value = String(speed);
  }

  set voice(name) {
    this.#part("voice-name").textContent = name;
    this.#part("voice").ariaLabel = `Voice: ${name}`;
  }

  set enabled(enabled) {
    for (const id of ["back", "next", "seek"]) this.#part(id).disabled = !enabled;
  }

  /** Show the place: `fraction` of the text, and times in milliseconds. */
  show(fraction, elapsedMs, totalMs) {
    setText(this.#part("elapsed"), clockTime(elapsedMs));
    setText(this.#part("total"), clockTime(totalMs));
    if (!this.#dragging) this.#fill(Math.round(fraction * SLIDER_STEPS), `${clockTime(elapsedMs)} of ${clockTime(totalMs)}`);
  }

  #fill(value, spoken) {
    const seek = this.#part("seek");
    if (seek.value !== String(value)) seek.value = String(value);
    const fill = `${(100 * value) / SLIDER_STEPS}%`;
    if (seek.style.getPropertyValue("--fill") !== fill) seek.style.setProperty("--fill", fill);
    if (seek.getAttribute("aria-valuetext") !== spoken) seek.setAttribute("aria-valuetext", spoken);
  }

  #openSpeed() {
    const select = this.#part("speed");
    select.append(...SPEEDS.map((speed) => new Option(`${speed.toFixed(1)}×`, String(speed))));
    select.addEventListener("change", () => this.#on.speed(Number(select.value)));
  }

  #openSeek() {
    const seek = this.#part("seek");
    seek.addEventListener("input", () => {
      this.#dragging = true;
      this.#fill(Number(seek.value), `${Math.round(seek.value / 10)} percent`);
    });
    seek.addEventListener("change", () => {
      this.#dragging = false;
      this.#on.seek(Number(seek.value) / SLIDER_STEPS);
    });
  }
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
