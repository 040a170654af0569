// One WebSocket connection, from its greeting to its end.

const PROTOCOL = "voicewire.v1";
const ANSWER_MS = 8_000; // a connection that answers neither greeting nor ping for so long is dead
const PING_MS = 15_000;
const OPEN = 1; // readyState of a WebSocket

/**
 * Connects with a `WebSocket` class, says `await greeting()` and pings.
 *
 * `events`: `message(object)`, `audio(ArrayBuffer)`, and once, at the end, `closed(code, error)` with the close
 * code or, when `greeting` threw, its error.
 */
export class Connection {
  #events;
  #socket = null;
  #ended = false;
  #deadline = 0;
  #pings = 0;

  constructor(url, greeting, events, WebSocket) {
    this.#events = events;
    this.#run(url, greeting, WebSocket);
  }

  send(message) {
    this.#socket.send(JSON.stringify(message));
  }

  /** End at once, without waiting for the other side: it may be gone. */
  close(code = 1006, error = null) {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#deadline);
    clearInterval(this.#pings);
    this.#socket?.close();
    this.#events.closed(code, error);
  }

  async #run(url, greeting, WebSocket) {
    try {
      const first = await greeting();
      if (!this.#ended) this.#connect(url, first, WebSocket);
    } catch (error) {
      this.close(0, error);
    }
  }

  #connect(url, first, WebSocket) {
    const socket = new WebSocket(url, [PROTOCOL]);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.send(first);
    socket.onmessage = ({ data }) => this.#onData(data);
    socket.onclose = ({ code }) => this.close(code);
    this.#socket = socket;
    this.#expectAnswer();
    this.#pings = setInterval(() => this.#ping(), PING_MS);
  }

  #ping() {
    if (this.#socket.readyState !== OPEN) return;
    this.send({ type: "ping" });
    this.#expectAnswer();
  }

  #expectAnswer() {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.close(), ANSWER_MS);
  }

  #onData(data) {
    if (this.#ended) return;
    clearTimeout(this.#deadline);
    if (typeof data === "string") this.#events.message(JSON.parse(data));
    else this.#events.audio(data);
  }
}
