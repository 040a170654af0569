// One sentence above the player, read out by screen readers.

const INFO_MS = 4_000;

export class Notice {
  #element;
  #text;
  #action;
  #close;
  #hiding = 0;

  constructor(element) {
    this.#element = element;
    this.#text = element.querySelector("p");
    this.#action = element.querySelector(".action");
    this.#close = element.querySelector(".icon");
    this.#close.addEventListener("click", () => this.hide());
  }

  /** Say what happened; it goes away by itself. `action`: `{label, run}`. */
  info(text, action = null) {
    this.#show("info", text, action);
    this.#hiding = setTimeout(() => this.hide(), action ? 2 * INFO_MS : INFO_MS);
  }

  /** Say what went wrong; it stays until it is dismissed. */
  error(text) {
    this.#show("error", text, null);
  }

  /** Say what is going on, until `hide`. */
  busy(text) {
    this.#show("busy", text, null);
  }

  get kind() {
    return this.#element.dataset.kind ?? "";
  }

  hide() {
    clearTimeout(this.#hiding);
    delete this.#element.dataset.kind;
    this.#text.textContent = "";
  }

  #show(kind, text, action) {
    clearTimeout(this.#hiding);
    this.#element.dataset.kind = kind;
    this.#text.textContent = text;
    this.#close.hidden = kind !== "error";
    this.#action.hidden = !action;
    this.#action.textContent = action?.label ?? "";
    this.#action.onclick = () => (this.hide(), action?.run());
  }
}
