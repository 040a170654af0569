// What was said of one utterance, in order, and how far it was sent: what does not arrive is said again.

export class Script {
  #said;
  #sent = 0;

  /** `opening` is an "open" or a "speak" whose offsets are utf16, so that positions are those of strings. */
  constructor(opening) {
    this.#said = [opening];
  }

  say(message) {
    this.#said.push(message);
  }

  /** The next message that was not sent, which then counts as sent; undefined when all were. */
  next() {
    const message = this.#said[this.#sent];
    if (message) this.#sent += 1;
    return message;
  }

  /**
   * Make unsent what did not arrive: what stands behind `accepted` characters, or everything if it is null.
   * What stands between the last accepted text and the next is said again; to flush or end twice does no harm.
   */
  rewind(accepted) {
    this.#sent = accepted === null ? 0 : 1;
    if (accepted === null) return;
    let position = this.#said[0].text?.length ?? 0;
    for (let index = 1; index < this.#said.length; index++) {
      const message = this.#said[index];
      if (message.type !== "text") continue;
      const arrived = accepted - position;
      if (arrived < message.text.length) return void this.#split(index, Math.max(0, arrived));
      position += message.text.length;
      this.#sent = index + 1;
    }
  }

  #split(index, at) {
    if (at === 0) return;
    const { text, ...rest } = this.#said[index];
    this.#said.splice(index, 1, { ...rest, text: text.slice(0, at) }, { ...rest, text: text.slice(at) });
    this.#sent = index + 1;
  }
}
