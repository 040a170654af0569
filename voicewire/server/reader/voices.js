// The voice menu: a searchable list in a dialog, grouped by language.

import { groupVoices, searchVoices, voiceDetail } from "./languages.js";

const PAGE_ROWS = 8;

/** Shows `dialog`; `onChoose(voice)` once a voice was chosen. */
export class VoiceMenu {
  #dialog;
  #search;
  #list;
  #empty;
  #onChoose;
  #voices = null; // null: not fetched yet
  #rows = []; // the visible [{voice, element}]
  #active = -1;
  chosen = null;

  constructor(dialog, onChoose) {
    this.#dialog = dialog;
    this.#search = dialog.querySelector("input");
    this.#list = dialog.querySelector("[role=listbox]");
    this.#empty = dialog.querySelector(".empty");
    this.#onChoose = onChoose;
    this.#search.addEventListener("input", () => this.#render());
    this.#search.addEventListener("keydown", (event) => this.#onKey(event));
    this.#list.addEventListener("click", ({ target }) => this.#onClick(target));
  }

  set voices(voices) {
    this.#voices = voices;
    if (this.#dialog.open) this.#render();
  }

  open() {
    this.#search.value = "";
    this.#dialog.showModal();
    this.#render();
    this.#search.focus();
  }

  #render() {
    const found = searchVoices(this.#voices ?? [], this.#search.value);
    this.#rows = [];
    const groups = groupVoices(found, navigator.languages).map((group) => this.#group(group));
    this.#list.replaceChildren(...groups);
    this.#empty.hidden = found.length > 0;
    this.#empty.textContent = this.#voices ? "No voice fits. Try the name of a language." : "The voices are on their way…";
    const chosen = this.#rows.findIndex(({ voice }) => same(voice, this.chosen));
    this.#activate(this.#search.value ? 0 : Math.max(0, chosen));
  }

  #group({ name, voices }) {
    const group = document.createElement("div");
    group.role = "group";
    group.ariaLabel = name;
    group.append(node("div", "group-name", name), ...voices.map((voice) => this.#row(voice)));
    return group;
  }

  #row(voice) {
    const element = node("div", "voice", "");
    element.id = `voice-${this.#rows.length}`;
    element.role = "option";
    element.title = voice.description;
    element.ariaSelected = String(same(voice, this.chosen));
    element.append(node("span", "voice-name", voice.name), node("span", "voice-detail", voiceDetail(voice)));
    this.#rows.push({ voice, element });
    return element;
  }

  #activate(index) {
    this.#rows[this.#active]?.element.classList.remove("active");
    this.#active = Math.min(Math.max(index, 0), this.#rows.length - 1);
    const row = this.#rows[this.#active];
    row?.element.classList.add("active");
    row?.element.scrollIntoView({ block: "nearest" });
    this.#search.setAttribute("aria-activedescendant", row?.element.id ?? "");
  }

  #onKey(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: PAGE_ROWS, PageUp: -PAGE_ROWS };
    if (event.key in steps) this.#activate(this.#active + steps[event.key]);
    else if (event.key === "Enter") this.#choose(this.#rows[this.#active]?.voice);
    else return;
    event.preventDefault();
  }

  #onClick(target) {
    const element = target.closest("[role=option]");
    this.#choose(this.#rows.find((row) => row.element === element)?.voice);
  }

  #choose(voice) {
    if (!voice) return;
    this.chosen = voice;
    this.#dialog.close();
    this.#onChoose(voice);
  }
}

function same(voice, other) {
  return voice.id === other?.id && voice.model === other?.model;
}

function node(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}
