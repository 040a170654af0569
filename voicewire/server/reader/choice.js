// Which voice speaks: the user's choice, or the one that fits the user's language.

import { firstVoice } from "./languages.js";
import { keep, recall } from "./memory.js";
import { fetchVoices } from "./server.js";

/** Shows the voice in `bar` and offers the others in `menu`. */
export class VoiceChoice {
  #bar;
  #menu;
  #voices = [];
  voice = null; // null: the server's own choice

  constructor(bar, menu) {
    this.#bar = bar;
    this.#menu = menu;
    bar.voice = recall("voice")?.name ?? "Voice";
  }

  /** Fetch the list; throws WireError, or what `fetch` throws. */
  async load(key) {
    try {
      this.#voices = await fetchVoices(key);
    } finally {
      this.#menu.voices = this.#voices;
    }
    this.use(firstVoice(this.#voices, recall("voice"), navigator.languages));
  }

  use(voice) {
    if (!voice) return;
    this.voice = voice;
    this.#menu.chosen = voice;
    this.#bar.voice = voice.name;
  }

  /** Use `voice` now and at the next visit. */
  keep(voice) {
    this.use(voice);
    keep("voice", { id: voice.id, model: voice.model, name: voice.name });
  }

  /** Use a voice that speaks `language`, for this once. */
  suit(language) {
    if (language && !this.locale?.startsWith(language)) this.use(firstVoice(this.#voices, null, [language]));
  }

  get locale() {
    return this.voice?.language;
  }

  /** What an utterance asks for. */
  get options() {
    const { model, id, language } = this.voice ?? {};
    return { model, voice: id, language };
  }
}
