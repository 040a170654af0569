// The sheet: one text, typed in one mode and read in the other, at the same place on the screen.

import { Follow } from "./follow.js";
import { openMark } from "./highlight.js";
import { Page } from "./page.js";
import { normalize, sentencesAround, wordAt } from "./text.js";

/** `on`: typed(), chosen(offset) when a word was clicked, away(bool). */
export class Sheet {
  #editor = document.getElementById("editor");
  #article = document.getElementById("page");
  #pane = document.getElementById("pane");
  #page = new Page(this.#article);
  #follow;
  #text = null; // until it is asked for again
  #sentence = [0, 0];
  #hovering = 0;
  #marks = { sentence: openMark("vw-sentence"), word: openMark("vw-word") };
  #hover = globalThis.CSS?.highlights ? openMark("vw-hover") : null;
  locale = undefined;
  word = null; // the marked [a, b)

  constructor(on) {
    this.#follow = new Follow(this.#pane, on.away);
    this.#editor.addEventListener("input", () => this.#typed(on));
    this.#article.addEventListener("click", (event) => this.#click(event, on));
    this.#article.addEventListener("pointermove", (event) => this.#pointAt(event));
    this.#article.addEventListener("pointerleave", () => this.#hover?.clear());
  }

  /** The text, fit to be sent. Its positions are those of the editor. */
  get text() {
    this.#text ??= normalize(this.#editor.value);
    return this.#text;
  }

  /** Take a new text, and show it for reading if there is any. */
  load(text) {
    this.unmark();
    this.#editor.hidden = true; // it would be laid out in vain
    this.#editor.value = normalize(text);
    this.#changed();
    if (text) this.read();
    else this.edit(0);
  }

  get reading() {
    return !this.#article.hidden;
  }

  /** Where the caret stands in the text while it is typed; 0 at its end, where typing leaves it. */
  get caret() {
    const at = this.#editor.selectionStart;
    return at < this.text.trimEnd().length ? (wordAt(this.text, at, this.locale)?.[0] ?? at) : 0;
  }

  /** Turn to reading. */
  read() {
    const { text } = this;
    this.unmark();
    this.#page.show(text);
    this.#turn(this.#editor, this.#article, "read");
  }

  /** Turn to typing, with the caret at `place`. */
  edit(place) {
    this.unmark();
    this.#turn(this.#article, this.#editor, "edit");
    this.#editor.setSelectionRange(place, place);
    if (this.#page.estimated) this.#pane.scrollTop = (this.#pane.scrollHeight * place) / this.text.length;
  }

  focus() {
    (this.reading ? this.#article : this.#editor).focus({ preventScroll: true });
  }

  /** Mark the word [a, b), and its sentence, and keep it in view. */
  mark(word) {
    const [from, to] = this.#sentence;
    if (word[0] < from || word[0] >= to || !this.word) this.#markSentence(word);
    this.word = word;
    this.#marks.word.set(() => this.#page.range(word));
    this.#follow.to(this.#marks.word.range);
  }

  /** Mark the word at `offset`. */
  markAt(offset) {
    this.mark(wordAt(this.#page.text, offset, this.locale) ?? [offset, offset]);
  }

  unmark() {
    this.word = null;
    this.#follow.rest();
    this.#marks.word.clear();
    this.#marks.sentence.clear();
  }

  /** Look at the marked word again, wherever the reader has scrolled to. */
  back() {
    this.#follow.back();
  }

  /** The text under the mark, as the page has it. */
  get markedText() {
    return this.#marks.word.range?.toString() ?? "";
  }

  #markSentence([a]) {
    const sentences = sentencesAround(this.#page.text, a, this.locale);
    this.#sentence = sentences.findLast(([start]) => start <= a) ?? [a, a];
    this.#marks.word.clear(); // a wrapped mark must not stand inside another
    this.#marks.sentence.set(() => this.#page.range(this.#sentence));
  }

  #turn(from, to, mode) {
    const top = this.#pane.scrollTop;
    from.hidden = true;
    to.hidden = false;
    document.body.dataset.mode = mode;
    this.#pane.scrollTop = top;
    this.#hover?.clear();
  }

  #typed(on) {
    this.#changed();
    on.typed();
  }

  #changed() {
    this.#text = null;
    document.body.toggleAttribute("data-empty", !this.#editor.value);
    if (CSS.supports("field-sizing", "content")) return;
    this.#editor.style.height = "auto";
    this.#editor.style.height = `${this.#editor.scrollHeight}px`;
  }

  #click({ clientX, clientY }, on) {
    if (!getSelection().isCollapsed) return; // the reader selects, to copy
    const offset = this.#page.offsetAt(clientX, clientY);
    const word = offset < 0 ? null : wordAt(this.#page.text, offset, this.locale);
    if (word) on.chosen(word[0]);
  }

  #pointAt({ clientX, clientY, pointerType }) {
    if (pointerType !== "mouse" || !this.#hover) return;
    cancelAnimationFrame(this.#hovering);
    this.#hovering = requestAnimationFrame(() => this.#underline(clientX, clientY));
  }

  #underline(x, y) {
    const offset = this.#page.offsetAt(x, y);
    const word = offset < 0 ? null : wordAt(this.#page.text, offset, this.locale);
    if (word) this.#hover.set(() => this.#page.range(word));
    else this.#hover.clear();
  }
}
