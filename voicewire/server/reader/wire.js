// A session with the server: hello with a ticket, and after a break a resume that goes on with the next frame.

import { Connection } from "./connection.js";
import { parseAudio } from "./frames.js";

const BACKOFF_MS = [50, 250, 700, 1_500, 3_000, 5_000];
const REFUSED_FROM = 4500; // close codes from here to 4999 forbid to try again
const RESUMED_ELSEWHERE = 4009;
const REFUSALS = { 4501: "unauthorized", 4502: "insufficient_credit", 4503: "forbidden" };

/** The server refused; `code` is one of the protocol's error codes. */
export class WireError extends Error {
  constructor(code, message = code) {
    super(message);
    this.code = code;
  }
}

/**
 * Speaks over as many connections as it takes.
 *
 * `ticket()` resolves to a one-time ticket; a WireError of it is final, anything else is tried again.
 * `events`: `message(message)` for what the server says of an utterance; `audio(context, packets, frameMs)`;
 * `lost()` when open utterances cannot go on; `status("connecting" | "open" | "closed")`; `failed(WireError)`.
 */
export class Wire {
  #url;
  #ticket;
  #events;
  #connection = null;
  #ready = false;
  #session = null; // {session, resume_token}: what a resume needs
  #live = new Map(); // context → {speak, cancel, channel, seq, frameMs}: not ended by the server
  #attempt = 0;
  #retry = 0;
  #refusal = null; // the last error without a context: why a close follows
  reconnects = 0; // connections that went on where another broke off
  limits = null;

  constructor(url, ticket, events) {
    this.#url = url;
    this.#ticket = ticket;
    this.#events = events;
  }

  /** Say `message`, a "speak". It is said again if the connection breaks before it arrives. */
  speak(message) {
    this.#live.set(message.context, { speak: message, cancel: null, channel: -1, seq: -1, frameMs: 0 });
    this.#say(message);
    this.connect();
  }

  /** Stop `context`; without `playedMs`, all that was sent counts as heard. */
  cancel(context, playedMs = null) {
    if (!this.isLive(context)) return;
    const live = this.#live.get(context);
    live.cancel = { type: "cancel", context, ...(playedMs !== null && { played_ms: Math.round(playedMs) }) };
    this.#say(live.cancel);
  }

  playhead(context, playedMs, paused) {
    if (this.isLive(context)) this.#say({ type: "playhead", context, played_ms: Math.round(playedMs), paused });
  }

  /** Whether `context` still goes on. */
  isLive(context) {
    return this.#live.get(context)?.cancel === null;
  }

  /** Connect now if there is no connection. */
  connect() {
    clearTimeout(this.#retry);
    if (this.#connection) return;
    this.#events.status("connecting");
    this.#connection = new Connection(this.#url, () => this.#greeting(), {
      message: (message) => this.#onMessage(message),
      audio: (buffer) => this.#onAudio(parseAudio(buffer)),
      closed: (code, error) => this.#onClosed(code, error),
    });
  }

  /** Connect now rather than later, if something waits for it: the network is back. */
  hurry() {
    if (this.#wanted()) this.connect();
  }

  #say(message) {
    if (this.#ready) this.#connection.send(message);
  }

  async #greeting() {
    if (!this.#session) return { type: "hello", ticket: await this.#ticket() };
    const received = {};
    for (const [context, { seq }] of this.#live) received[context] = { seq };
    return { type: "resume", ...this.#session, received };
  }

  #onMessage(message) {
    if (message.type === "ready") this.#onReady(message);
    else if (message.context) this.#onContext(message);
    else if (message.type === "error") this.#onError(message);
  }

  #onReady({ session, resume_token, resumed, limits, contexts = {} }) {
    if (resumed) this.reconnects += 1;
    this.#ready = true;
    this.#session = { session, resume_token };
    this.#attempt = 0;
    this.limits = limits;
    this.#sayAgain(resumed ? contexts : {});
    this.#events.status("open");
  }

  /** After a break: say what did not arrive. What had begun and the server no longer knows is lost. */
  #sayAgain(arrived) {
    const missing = [...this.#live].filter(([context]) => !(context in arrived));
    const lost = missing.some(([, { cancel, seq }]) => !cancel && seq >= 0);
    for (const [context, { cancel }] of missing) if (lost || cancel) this.#live.delete(context);
    if (lost) return this.#lose();
    for (const [context, { speak, cancel }] of this.#live)
      if (cancel || !(context in arrived)) this.#say(cancel ?? speak);
    return undefined;
  }

  #lose() {
    for (const context of this.#live.keys()) this.cancel(context);
    this.#events.lost();
  }

  #onContext(message) {
    const { type, context } = message;
    const live = this.#live.get(context);
    if (!live) return;
    if (type === "opened") Object.assign(live, { channel: message.channel, frameMs: message.format.frame_ms });
    if (type === "done" || type === "cancelled" || type === "error") this.#live.delete(context);
    if (live.cancel) return;
    if (message.code === "resume_gone") this.#lose();
    else this.#events.message(message);
  }

  #onError({ code, message }) {
    this.#refusal = new WireError(code, message);
    if (code !== "resume_gone" || this.#ready) return;
    this.#session = null;
    this.#connection.close(); // and begin a new session at once
  }

  #onAudio({ channel, seq, packets }) {
    for (const [context, live] of this.#live) {
      if (live.channel !== channel) continue;
      if (!live.cancel) this.#take(context, live, seq, packets);
      return;
    }
  }

  #take(context, live, seq, packets) {
    if (seq > live.seq + 1) return this.#lose(); // a hole: never play over it
    const fresh = packets.slice(live.seq + 1 - seq);
    live.seq += fresh.length;
    return this.#events.audio(context, fresh, live.frameMs);
  }

  #onClosed(code, error) {
    const refusal = error instanceof WireError ? error : this.#refused(code);
    this.#connection = null;
    this.#ready = false;
    this.#refusal = null;
    if (refusal) this.#giveUp(refusal);
    else if (this.#wanted()) this.#tryAgain();
    else this.#rest();
  }

  #wanted() {
    return [...this.#live.keys()].some((context) => this.isLive(context));
  }

  /** Nothing is to be said: the next utterance begins a new session. */
  #rest() {
    this.#session = null;
    this.#live.clear();
    this.#events.status("closed");
  }

  #refused(code) {
    if (code !== RESUMED_ELSEWHERE && (code < REFUSED_FROM || code > 4999)) return null;
    return this.#refusal ?? new WireError(REFUSALS[code] ?? "internal");
  }

  #giveUp(refusal) {
    this.#rest();
    this.#events.failed(refusal);
  }

  #tryAgain() {
    const backoff = BACKOFF_MS[Math.min(this.#attempt, BACKOFF_MS.length - 1)];
    this.#attempt += 1;
    this.#events.status("connecting");
    this.#retry = setTimeout(() => this.connect(), backoff * (0.75 + Math.random() / 2));
  }
}
