// Marks on a text: by the CSS Custom Highlight API, which leaves the text alone, or by elements around it.

/**
 * Return a mark named `name`: `set(find)` moves it to the range that `find()` returns,
 * `clear()` takes it away, `range` is where it is. `find` is called when the mark no longer stands in the text.
 */
export function openMark(name) {
  return globalThis.CSS?.highlights && typeof Highlight === "function" ? new PaintedMark(name) : new WrappedMark(name);
}

class PaintedMark {
  constructor(name) {
    this.range = null;
    this.highlight = new Highlight();
    CSS.highlights.set(name, this.highlight);
  }

  set(find) {
    this.clear();
    this.range = find();
    this.highlight.add(this.range);
  }

  clear() {
    this.highlight.clear();
    this.range = null;
  }
}

class WrappedMark {
  constructor(name) {
    this.name = name;
    this.element = null;
  }

  get range() {
    if (!this.element) return null;
    const range = document.createRange();
    range.selectNodeContents(this.element);
    return range;
  }

  /** Only what stands in one text node can be wrapped; of a longer range, its first part is. */
  set(find) {
    this.clear();
    const { startContainer, startOffset, endContainer, endOffset } = find();
    const part = document.createRange();
    part.setStart(startContainer, startOffset);
    part.setEnd(startContainer, startContainer === endContainer ? endOffset : startContainer.length);
    this.element = document.createElement("mark");
    this.element.className = this.name;
    part.surroundContents(this.element);
  }

  clear() {
    const { element } = this;
    if (!element) return;
    const parent = element.parentNode;
    element.replaceWith(...element.childNodes);
    parent?.normalize();
    this.element = null;
  }
}
