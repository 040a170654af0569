// Marks on a text: by the CSS Custom Highlight API, which leaves the text alone, or by elements around it.

/** Return a mark named `name`: `set(range)` moves it, `clear()` takes it away, `range` is where it is. */
export function openMark(name) {
  return globalThis.CSS?.highlights && typeof Highlight === "function" ? new PaintedMark(name) : new WrappedMark(name);
}

class PaintedMark {
  constructor(name) {
    this.range = null;
    this.highlight = new Highlight();
    CSS.highlights.set(name, this.highlight);
  }

  set(range) {
    this.clear();
    this.highlight.add(range);
    this.range = range;
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
    this.range = null;
  }

  /** Only what stands in one text node can be wrapped; of a longer range, its first part is. */
  set(range) {
    this.clear();
    const { startContainer, startOffset, endContainer, endOffset } = range;
    const part = document.createRange();
    part.setStart(startContainer, startOffset);
    part.setEnd(startContainer, startContainer === endContainer ? endOffset : startContainer.length);
    this.element = document.createElement("mark");
    this.element.className = this.name;
    part.surroundContents(this.element);
    this.range = part;
  }

  clear() {
    const { element } = this;
    if (!element) return;
    const parent = element.parentNode;
    element.replaceWith(...element.childNodes);
    parent?.normalize();
    this.element = null;
    this.range = null;
  }
}
