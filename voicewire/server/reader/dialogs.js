// The dialogs' common manners, and the one that asks for the API key.

const part = (id) => document.getElementById(id);

/** Let every dialog be closed by its cross and by a press beside it. */
export function openDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
  }
}

/** The settings: `onChange()` when another `key` is to be used. */
export class Settings {
  #key;
  #hint = part("key-hint");
  #usualHint = this.#hint.textContent;

  constructor(key, onChange) {
    this.#key = key;
    part("settings").addEventListener("click", () => this.open());
    part("forget").addEventListener("click", () => this.#use("", onChange));
    part("key-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#use(part("key").value, onChange);
    });
  }

  /** Show them; `reason` says why a key is needed. */
  open(reason = "") {
    this.#hint.textContent = reason || this.#usualHint;
    this.#hint.classList.toggle("reason", Boolean(reason));
    part("key").value = this.#key.value;
    part("forget").hidden = !this.#key.value;
    if (!part("about").open) part("about").showModal();
    if (reason) part("key").focus();
  }

  #use(value, onChange) {
    this.#key.value = value;
    part("about").close();
    onChange();
  }
}
