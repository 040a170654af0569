// The text as it is read: one element for each line, positions in it, and where on the screen they are.

import { lastAtMost, linesOf } from "./text.js";

const SLACK_PX = 12; // a finger need not hit a word exactly
const PART_LINES = 64; // what is laid out at once of a long text
const PART_CHARS = 16_000;

export class Page {
  #element;
  #lines = []; // [{a, b, element}]
  #byElement = new Map();
  text = null;
  estimated = false; // whether the height of what was not seen is a guess

  constructor(element) {
    this.#element = element;
  }

  /** Show `text`. */
  show(text) {
    if (text === this.text) return;
    this.text = text;
    this.#lines = linesOf(text).map(([a, b]) => ({ a, b, element: line(text.slice(a, b)) }));
    this.#byElement = new Map(this.#lines.map((each) => [each.element, each]));
    const parts = inParts(this.#lines);
    this.#element.replaceChildren(...parts);
    this.estimated = parts.length > 1;
    this.#element.classList.toggle("long", this.estimated);
  }

  /** The DOM range of [a, b). */
  range([a, b]) {
    const range = document.createRange();
    range.setStart(...this.#point(a, true));
    range.setEnd(...this.#point(b, false));
    return range;
  }

  /** The offset of the character at a point of the screen, or -1 where there is no text. */
  offsetAt(x, y) {
    const [node, at] = caretAt(x, y);
    const found = this.#byElement.get((node?.nodeType === Node.TEXT_NODE ? node.parentNode : node)?.closest?.(".line"));
    if (!found) return -1;
    const offset = found.a + lengthBefore(found.element, node, at);
    return this.#isNear(offset, x, y) ? offset : -1;
  }

  #isNear(offset, x, y) {
    const a = Math.max(0, offset - 1);
    const rects = [...this.range([a, Math.min(this.text.length, offset + 1)]).getClientRects()];
    return rects.some(
      ({ left, right, top, bottom }) =>
        x > left - SLACK_PX && x < right + SLACK_PX && y > top - SLACK_PX && y < bottom + SLACK_PX,
    );
  }

  #point(offset, after) {
    const { a, element } = this.#lines[lastAtMost(this.#lines, offset, (each) => each.a)];
    return textPoint(element, offset - a, after);
  }
}

function line(text) {
  const element = document.createElement("p");
  element.className = text.trim() ? "line" : "line blank";
  element.dir = "auto";
  element.append(text);
  return element;
}

/** Group lines, so that the browser has few parts to watch: one for each line would cost it 0.3 s a frame at a megabyte. */
function inParts(lines) {
  const parts = [];
  let from = 0;
  for (let to = 1; to <= lines.length; to++) {
    const full = to - from === PART_LINES || lines[to - 1].b - lines[from].a > PART_CHARS;
    if (!full && to < lines.length) continue;
    const part = document.createElement("div");
    part.className = "part";
    part.append(...lines.slice(from, to).map(({ element }) => element));
    parts.push(part);
    from = to;
  }
  return parts;
}

/** The text node and the place in it, `offset` characters into `element`: of two that touch, the one `after`, or before. */
function textPoint(element, offset, after) {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  let point = [element, 0];
  let rest = offset;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    point = [node, Math.min(rest, node.length)];
    if (rest < node.length || (rest === node.length && !after)) return point;
    rest -= node.length;
  }
  return point;
}

function lengthBefore(element, node, at) {
  const range = document.createRange();
  range.setStart(element, 0);
  range.setEnd(node, at);
  return range.toString().length;
}

function caretAt(x, y) {
  if (document.caretPositionFromPoint) {
    const caret = document.caretPositionFromPoint(x, y);
    return caret ? [caret.offsetNode, caret.offset] : [null, 0];
  }
  const range = document.caretRangeFromPoint?.(x, y);
  return range ? [range.startContainer, range.startOffset] : [null, 0];
}
