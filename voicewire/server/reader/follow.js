// Keeps the word being heard in view, unless the reader is looking elsewhere.

const COOLDOWN_MS = 5_000;
const FAR = 3; // panes: from here on it jumps instead of gliding
const LEAPS = 5;
const BAND = { top: 0.12, bottom: 0.68, rest: 0.3 }; // of the pane's height

const SCROLL_KEYS = new Set(["PageUp", "PageDown", "Home", "End", "ArrowUp", "ArrowDown"]);

/** Scrolls `pane`; `onAway(bool)` says whether the word is out of sight because the reader scrolled. */
export class Follow {
  #pane;
  #onAway;
  #range = null; // what is followed
  #freeUntil = 0; // until then the reader scrolls
  #away = false;

  constructor(pane, onAway) {
    this.#pane = pane;
    this.#onAway = onAway;
    for (const type of ["wheel", "touchmove"]) pane.addEventListener(type, () => this.#leave(), { passive: true });
    pane.addEventListener("pointerdown", ({ target }) => target === pane && this.#leave()); // its scrollbar
    pane.addEventListener("keydown", ({ key }) => SCROLL_KEYS.has(key) && this.#leave());
    pane.addEventListener("scroll", () => this.#look(), { passive: true });
  }

  /** Bring `range` into view if the reader lets us. */
  to(range) {
    this.#range = range;
    this.#look();
    if (!this.#free) this.#bring(range, this.#placeOf(range));
  }

  /** There is nothing to follow any more. */
  rest() {
    this.#range = null;
    this.#setAway(false);
  }

  /** Look at the word again at once. */
  back() {
    this.#freeUntil = 0;
    this.#setAway(false);
    if (this.#range) this.#bring(this.#range, this.#placeOf(this.#range));
  }

  get #free() {
    return performance.now() < this.#freeUntil;
  }

  #look() {
    const place = this.#range && this.#free ? this.#placeOf(this.#range) : 0;
    this.#setAway(place < 0 || place > 1);
  }

  #leave() {
    this.#freeUntil = performance.now() + COOLDOWN_MS;
  }

  #placeOf(range) {
    const word = range.getBoundingClientRect();
    const pane = this.#pane.getBoundingClientRect();
    return (word.top - pane.top) / pane.height;
  }

  #bring(range, place) {
    if (isIn(BAND, place)) return;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (Math.abs(place) > FAR) this.#leap(range, place, LEAPS);
    else this.#scroll(place, still ? "instant" : "smooth");
  }

  /** What is out of sight has an estimated height: once it is laid out, the word may stand elsewhere. */
  #leap(range, place, leaps) {
    if (isIn(BAND, place) || leaps === 0) return;
    this.#scroll(place, "instant");
    requestAnimationFrame(() => this.#leap(range, this.#placeOf(range), leaps - 1));
  }

  #scroll(place, behavior) {
    this.#pane.scrollBy({ top: (place - BAND.rest) * this.#pane.clientHeight, behavior });
  }

  #setAway(away) {
    if (away !== this.#away) this.#onAway((this.#away = away));
  }
}

function isIn({ top, bottom }, place) {
  return place >= top && place <= bottom;
}
