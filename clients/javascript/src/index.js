// A client of voicewire: text in, audio and words out, over a connection that mends itself.

import { WireError } from "./errors.js";
import { kindOf, Speech } from "./speech.js";
import { ticketsFrom } from "./tickets.js";
import { Wire } from "./wire.js";

export { WireError } from "./errors.js";

const GIVE_UP_MS = 32_000; // as the client for Python
const PIECE_CHARS = 8_000;

/**
 * Speaks over one session with the server at `url` (http or https).
 *
 * `options`: `key`, an API key, which belongs on servers only; or `ticket`, an async function that gets a one-time
 * ticket for a browser (from your own backend); neither, on a page that the server itself delivers to who is logged in
 * on its own machine. `WebSocket`: the class to connect with. `giveUpMs`: how long to be without a connection before
 * what is being said fails. `onStatus("connecting" | "open" | "reconnecting" | "closed", why)`: "reconnecting" comes
 * as soon as a connection, or a try at one, fails, with the WireError.
 */
export class Client {
  #wire;
  #names = 0;
  #speeches = new Map();
  #closed = false;

  constructor(url, { key = "", ticket, WebSocket, giveUpMs = GIVE_UP_MS, onStatus } = {}) {
    if (!WebSocket && !globalThis.WebSocket) throw new TypeError("there is no WebSocket here: give one as `WebSocket`");
    const origin = originOf(url);
    const events = {
      message: (message) => this.#speeches.get(message.context)?.deliver(message),
      audio: (context, packets, frameMs, place) =>
        this.#speeches.get(context)?.deliver({ type: "audio", context, packets, frame_ms: frameMs, ...place }),
      lost: (contexts) => contexts.forEach((context) => this.#speeches.get(context)?.fail(gone())),
      status: (...status) => reported(() => onStatus?.(...status)),
      failed: (error) => this.#fail(error),
    };
    const stream = `${origin.replace(/^http/, "ws")}/v1/stream`;
    this.#wire = new Wire(stream, ticket ?? ticketsFrom(origin, key), events, { WebSocket, giveUpMs });
  }

  /** How often a connection went on where another broke off. */
  get reconnects() {
    return this.#wire.reconnects;
  }

  /** What the server allows, once it was reached; else null. */
  get limits() {
    return this.#wire.limits;
  }

  /**
   * Speak `text`: a string, or an iterable of strings, asynchronous or not, spoken as they come.
   * `options` are the fields of the protocol's `open`: voice, model, language, speed, format, ….
   * Throws TypeError for anything else.
   */
  speak(text, options = {}) {
    if (!isText(text)) throw new TypeError(`a text is a string, or an iterable of strings, not ${kindOf(text)}`);
    if (typeof text === "string" && text.length <= PIECE_CHARS && text.isWellFormed?.() !== false) {
      expectOptions(options);
      const speech = this.#begin({ ...options, type: "speak", text });
      speech.text = text;
      return speech;
    }
    const speech = this.open(options);
    speech.read(typeof text === "string" ? [text] : text);
    return speech;
  }

  /** Begin an utterance whose text is written piece by piece: `write`, `flush`, `end`. */
  open(options = {}) {
    expectOptions(options);
    return this.#begin({ ...options, type: "open" });
  }

  /** Try at once rather than later to connect again: the network is back. */
  hurry() {
    this.#wire.hurry();
  }

  /** End every utterance and the connection. */
  close() {
    this.#closed = true;
    this.#wire.close();
    this.#fail(new WireError("closed", "the client was closed"));
  }

  #begin(opening) {
    if (this.#closed) throw new WireError("closed", "the client was closed");
    const context = `c${++this.#names}`;
    const speech = new Speech(this.#wire, context);
    this.#speeches.set(context, speech);
    const forget = () => this.#speeches.delete(context);
    speech.finished.then(forget, forget);
    this.#wire.speak({ ...opening, context, offsets: "utf16" });
    return speech;
  }

  #fail(error) {
    for (const speech of this.#speeches.values()) speech.fail(error);
  }
}

/** Do what the application asked for; what it throws is its own, and disturbs no connection. */
function reported(work) {
  try {
    work();
  } catch (error) {
    (globalThis.reportError ?? console.error)(error);
  }
}

function isText(text) {
  return typeof text === "string" || typeof (text?.[Symbol.asyncIterator] ?? text?.[Symbol.iterator]) === "function";
}

function expectOptions(options) {
  if (options === null || typeof options !== "object")
    throw new TypeError(`options are an object such as { voice: "…" }, not ${kindOf(options)}`);
}

function originOf(url) {
  const { protocol, host, pathname } = new URL(url);
  if (protocol !== "http:" && protocol !== "https:") throw new TypeError(`${url} is not an http or https address`);
  return `${protocol}//${host}${pathname.replace(/\/$/, "")}`;
}

function gone() {
  return new WireError("resume_gone", "the utterance cannot be continued");
}
