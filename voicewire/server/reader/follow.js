// Keeps the word being heard in view, unless the reader is looking elsewhere.

const COOLDOWN_MS = 5_000;
const BAND = { top: 0.12, bottom: 0.68, rest: 0.3 }; // of the pane's height

/** Scrolls `pane`; `onAway(bool)` says whether the word is out of sight because the reader scrolled. */
export class Follow {
  #pane;
  #onAway;
  #freeUntil = 0;
  #away = false;

  constructor(pane, onAway) {
    this.#pane = pane;
    this.#onAway = onAway;
    for (const type of ["wheel", "touchmove"]) pane.addEventListener(type, () => this.#leave(), { passive: true });
    pane.addEventListener("pointerdown", ({ target }) => target === pane && this.#leave()); // its scrollbar
    pane.addEventListener("keydown", ({ key }) => SCROLL_KEYS.has(key) && this.#leave());
  }

  /** Bring `range` into view if the reader lets us. */
  to(range) {
    const place = this.#placeOf(range);
    const visible = place >= BAND.top && place <= BAND.bottom;
    const free = performance.now() < this.#freeUntil;
    this.#setAway(free && (place < 0 || place > 1));
    if (!visible && !free) this.#scroll(place);
  }

  /** Look at the word again at once. */
  back(range) {
    this.#freeUntil = 0;
    if (range) this.#scroll(this.#placeOf(range));
    this.#setAway(false);
  }

  #leave() {
    this.#freeUntil = performance.now() + COOLDOWN_MS;
  }

  #placeOf(range) {
    const word = range.getBoundingClientRect();
    const pane = this.#pane.getBoundingClientRect();
    return (word.top - pane.top) / pane.height;
  }

  #scroll(place) {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches || Math.abs(place) > 3;
    const top = (place - BAND.rest) * this.#pane.clientHeight;
    this.#pane.scrollBy({ top, behavior: calm ? "instant" : "smooth" });
  }

  #setAway(away) {
    if (away !== this.#away) this.#onAway((this.#away = away));
  }
}

const SCROLL_KEYS = new Set(["PageUp", "PageDown", "Home", "End", "ArrowUp", "ArrowDown"]);
