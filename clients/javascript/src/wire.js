// A session with the server: hello with a ticket, and after a break a resume that goes on with the next frame.

import { Connection } from "./connection.js";
import { WireError } from "./errors.js";
import { parseAudio } from "./frames.js";
import { Script } from "./script.js";

const BACKOFF_MS = [50, 250, 700, 1_500, 3_000, 5_000];
const REFUSED_FROM = 4500; // close codes from here to 4999 forbid to try again
const REFUSALS = {
  1009: "too_large",
  4009: "resumed_elsewhere",
  4501: "unauthorized",
  4502: "insufficient_credit",
  4503: "forbidden",
  4504: "no_hello",
};
const ENDS = new Set(["done", "cancelled", "error"]);

/**
 * Speaks over as many connections as it takes; there is one while something is to be said.
 *
 * `ticket()` resolves to a one-time ticket; a WireError of it is final, anything else is tried again.
 * `events`: `message(message)` for what the server says of an utterance, its end last;
 * `audio(context, packets, frameMs, {seq, pts})`; `lost(contexts)`, which cannot go on, though others may;
 * `status("connecting" | "open" | "reconnecting" | "closed", why)`: a connection, or a try at one, that fails is
 * "reconnecting" at once, with the WireError; `failed(WireError)`, which ended every utterance.
 * `options`: the `WebSocket` to connect with, if not the global one; `giveUpMs`, how long to try before giving up.
 */
export class Wire {
  #url;
  #ticket;
  #events;
  #options;
  #connection = null;
  #ready = false;
  #session = null; // {session, resume_token}: what a resume needs
  #live = new Map(); // context → what `live` gives: not ended by the server
  #attempt = 0;
  #retry = 0;
  #patienceMs; // left for being without a connection, until something is heard of an utterance
  #tryingSince = null;
  #deadline = 0;
  #refusal = null; // the last error without a context: why a close follows
  reconnects = 0; // connections that went on where another broke off
  limits = null;

  constructor(url, ticket, events, { WebSocket, giveUpMs = Infinity } = {}) {
    this.#url = url;
    this.#ticket = ticket;
    this.#events = events;
    this.#options = { WebSocket, giveUpMs };
    this.#patienceMs = giveUpMs;
  }

  /** Begin an utterance: `message` is a "speak" or an "open", with utf16 offsets. It is said again if it gets lost. */
  speak(message) {
    this.#live.set(message.context, live(message));
    this.#push(this.#live.get(message.context));
    this.connect();
  }

  /** Say more of an utterance: a "text", "flush" or "end", said again as well. */
  say(message) {
    if (this.isLive(message.context)) this.#add(message);
  }

  /** Stop `context`; without `playedMs`, all that was sent counts as heard. */
  cancel(context, playedMs = null) {
    if (!this.isLive(context)) return;
    this.#live.get(context).cancelled = true;
    this.#add({ type: "cancel", context, ...(playedMs !== null && { played_ms: Math.round(playedMs) }) });
  }

  playhead(context, playedMs, paused) {
    if (!this.isLive(context)) return;
    const playhead = { type: "playhead", context, played_ms: Math.round(playedMs), paused };
    this.#live.get(context).playhead = playhead;
    if (this.#ready) this.#connection.send(playhead);
  }

  /** Whether `context` still goes on. */
  isLive(context) {
    return this.#live.get(context)?.cancelled === false;
  }

  /** Connect now if there is no connection. */
  connect() {
    clearTimeout(this.#retry);
    if (this.#connection) return;
    this.#startClock();
    if (!this.#attempt) this.#events.status("connecting");
    const events = {
      message: (message) => this.#onMessage(message),
      audio: (buffer) => this.#onAudio(parseAudio(buffer)),
      closed: (code, error) => this.#onClosed(code, error),
    };
    const socket = this.#options.WebSocket ?? globalThis.WebSocket;
    this.#connection = new Connection(this.#url, () => this.#greeting(), events, socket);
  }

  /** Connect now rather than later, if something waits for it: the network is back. */
  hurry() {
    if (this.#wanted()) this.connect();
  }

  /** End every utterance and the connection. */
  close() {
    clearTimeout(this.#retry);
    this.#stopClock();
    this.#live.clear();
    if (this.#connection) this.#connection.close(1000);
    else if (this.#attempt) this.#rest(); // between two tries
  }

  #add(message) {
    const said = this.#live.get(message.context);
    said.script.say(message);
    this.#push(said);
  }

  #push({ script }) {
    if (!this.#ready) return;
    for (let message = script.next(); message; message = script.next()) this.#connection.send(message);
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
    else if (message.type === "call") this.#onCall(message);
  }

  #onReady({ session, resume_token, resumed, limits, contexts = {} }) {
    this.#stopClock();
    if (resumed) this.reconnects += 1;
    this.#ready = true;
    this.#session = { session, resume_token };
    this.limits = limits;
    this.#sayAgain(resumed ? contexts : {});
    this.#events.status("open");
  }

  /** After a break: say what did not arrive. What had begun and the server no longer knows is lost. */
  #sayAgain(arrived) {
    const lost = [...this.#live].filter(([context, { seq }]) => !(context in arrived) && seq >= 0);
    for (const [context] of lost) this.#live.delete(context);
    for (const [context, again] of this.#live) {
      again.script.rewind(arrived[context]?.accepted ?? null);
      this.#push(again);
      if (again.playhead && !again.cancelled) this.#connection.send(again.playhead);
    }
    if (lost.length) this.#events.lost(lost.map(([context]) => context));
  }

  #lose(context) {
    this.cancel(context);
    this.#events.lost([context]);
  }

  #onContext(message) {
    const { type, context } = message;
    const about = this.#live.get(context);
    if (!about) return;
    this.#goesOn();
    const channel = about.call ? -1 : message.channel; // a call's is no channel of this connection
    if (type === "opened") Object.assign(about, { channel, ...timing(message.format) });
    if (ENDS.has(type)) this.#live.delete(context);
    if (message.code === "resume_gone") this.#events.lost([context]);
    else if (!about.cancelled || ENDS.has(type)) this.#events.message(message);
  }

  /** A key, or the end, of a telephone call: all that are spoken into it are told. */
  #onCall(event) {
    for (const [context, { call }] of this.#live)
      if (call === event.call) this.#events.message({ ...event, context });
  }

  #onError(error) {
    this.#refusal = WireError.from(error);
    if (error.code !== "resume_gone" || this.#ready) return;
    this.#session = null;
    this.#connection.close(); // and begin a new session at once
  }

  #onAudio(audio) {
    for (const [context, about] of this.#live)
      if (about.channel === audio.channel) return void (about.cancelled || this.#take(context, about, audio));
  }

  #take(context, about, { seq, pts, packets }) {
    const known = about.seq + 1 - seq;
    if (known < 0) return this.#lose(context); // a hole: never play over it
    const fresh = packets.slice(known);
    about.seq += fresh.length;
    this.#goesOn();
    const place = { seq: seq + known, pts: pts + known * about.frameSamples };
    return fresh.length ? this.#events.audio(context, fresh, about.frameMs, place) : undefined;
  }

  #onClosed(code, error) {
    const refusal = error instanceof WireError ? error : this.#refused(code);
    const said = this.#refusal ?? unreachable(this.#url);
    this.#connection = null;
    this.#ready = false;
    this.#refusal = null;
    if (refusal) this.#giveUp(refusal);
    else if (!this.#wanted()) this.#rest();
    else this.#tryAgain(said);
  }

  /** Something was heard of an utterance: the next break gets all the patience again. */
  #goesOn() {
    this.#attempt = 0;
    this.#patienceMs = this.#options.giveUpMs;
  }

  #startClock() {
    if (this.#tryingSince !== null || this.#patienceMs === Infinity) return;
    this.#tryingSince = Date.now();
    this.#deadline = setTimeout(() => this.#runOut(), Math.max(0, this.#patienceMs));
  }

  #stopClock() {
    clearTimeout(this.#deadline);
    if (this.#tryingSince !== null) this.#patienceMs -= Date.now() - this.#tryingSince;
    this.#tryingSince = null;
  }

  #runOut() {
    clearTimeout(this.#retry);
    const error = this.#refusal ?? unreachable(this.#url);
    if (this.#connection) this.#connection.close(0, error);
    else this.#giveUp(error);
  }

  #wanted() {
    return this.#live.size > 0;
  }

  /** Nothing is to be said: the next utterance begins a new session. */
  #rest() {
    this.#session = null;
    this.#live.clear();
    this.#stopClock();
    this.#goesOn();
    this.#events.status("closed");
  }

  #refused(code) {
    if (!(code in REFUSALS) && (code < REFUSED_FROM || code > 4999)) return null;
    return this.#refusal ?? new WireError(REFUSALS[code] ?? "internal");
  }

  #giveUp(refusal) {
    this.#rest();
    this.#events.failed(refusal);
  }

  #tryAgain(why) {
    const backoff = BACKOFF_MS[Math.min(this.#attempt++, BACKOFF_MS.length - 1)];
    this.#startClock();
    this.#events.status("reconnecting", why);
    this.#retry = setTimeout(() => this.connect(), backoff * (0.75 + Math.random() / 2));
  }
}

function live(message) {
  const unheard = { channel: -1, seq: -1, frameMs: 0, frameSamples: 0 };
  const call = message.to?.replace(/^call:/, "") ?? "";
  return { script: new Script(message), cancelled: false, playhead: null, call, ...unheard };
}

function timing({ rate, frame_ms }) {
  return { frameMs: frame_ms, frameSamples: (rate * frame_ms) / 1_000 };
}

function unreachable(url) {
  return new WireError("unreachable", `there is no voicewire server at ${url}`, { retryable: true });
}
