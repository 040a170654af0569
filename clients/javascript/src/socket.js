// As much of a WebSocket (RFC 6455) as the client needs, for a Node without one: text out, text and binary in.

import { createHash, randomBytes } from "node:crypto";
import http from "node:http";
import https from "node:https";

const ACCEPT_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const CONNECT_MS = 10_000;
const CLOSE_MS = 1_000;
const MESSAGE_BYTES_MAX = 1 << 20;
const OPCODE = { more: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };
const STATE = { connecting: 0, open: 1, closing: 2, closed: 3 };

const NOTHING = Buffer.alloc(0);

export class Socket {
  readyState = STATE.connecting;
  onopen = null;
  onmessage = null;
  onclose = null;
  #stream = null;
  #request;
  #unread = NOTHING;
  #begun = NOTHING; // of a message that comes in fragments
  #kind = 0;
  #code = 1006; // unless the server says why it closes

  constructor(url, protocols) {
    const { protocol, host, pathname } = new URL(url);
    const key = randomBytes(16).toString("base64");
    const [make, scheme] = protocol === "wss:" ? [https, "https"] : [http, "http"];
    const headers = {
      Connection: "Upgrade",
      Upgrade: "websocket",
      "Sec-WebSocket-Key": key,
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Protocol": protocols.join(", "),
    };
    this.#request = make.get(`${scheme}://${host}${pathname}`, { headers, timeout: CONNECT_MS });
    this.#request.on("upgrade", (response, stream, head) => this.#onUpgrade(key, response, stream, head));
    this.#request.on("timeout", () => this.#request.destroy());
    this.#request.on("response", (response) => response.resume().on("end", () => this.#end()));
    this.#request.on("error", () => this.#end());
  }

  send(text) {
    if (this.readyState === STATE.open) this.#write(OPCODE.text, Buffer.from(text));
  }

  close() {
    if (this.readyState >= STATE.closing) return;
    const open = this.readyState === STATE.open;
    this.readyState = STATE.closing;
    if (!open) return void this.#request.destroy();
    this.#write(OPCODE.close, Buffer.from([1000 >> 8, 1000 & 255]));
    setTimeout(() => this.#stream.destroy(), CLOSE_MS).unref();
  }

  #onUpgrade(key, { headers }, stream, head) {
    const accept = createHash("sha1").update(key + ACCEPT_GUID).digest("base64");
    stream.on("error", () => stream.destroy());
    stream.on("close", () => this.#end());
    this.#stream = stream;
    if (headers["sec-websocket-accept"] !== accept || this.readyState !== STATE.connecting) return void stream.destroy();
    stream.setNoDelay(true);
    this.readyState = STATE.open;
    this.onopen?.({});
    stream.on("data", (data) => this.#onData(data));
    if (head.length) this.#onData(head);
  }

  #onData(data) {
    this.#unread = Buffer.concat([this.#unread, data]);
    for (let frame = this.#frame(); frame && !this.#stream.destroyed; frame = this.#frame()) this.#onFrame(frame);
  }

  /** Take one frame off what was read, or return null. A server masks nothing. */
  #frame() {
    const unread = this.#unread;
    if (unread.length < 2) return null;
    const short = unread[1] & 127;
    const header = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (unread.length < header) return null;
    const size = short < 126 ? short : short === 126 ? unread.readUInt16BE(2) : Number(unread.readBigUInt64BE(2));
    if (size > MESSAGE_BYTES_MAX || unread[1] & 128) return void this.#stream.destroy();
    if (unread.length < header + size) return null;
    this.#unread = unread.subarray(header + size);
    return { final: unread[0] >> 7, opcode: unread[0] & 15, body: unread.subarray(header, header + size) };
  }

  #onFrame({ final, opcode, body }) {
    if (opcode === OPCODE.ping) this.#write(OPCODE.pong, body);
    else if (opcode === OPCODE.close) this.#onClose(body);
    else if (opcode < OPCODE.close) this.#onPart(final, opcode, body);
  }

  #onPart(final, opcode, body) {
    if (opcode !== OPCODE.more) this.#kind = opcode;
    const whole = Buffer.concat([this.#begun, body]);
    this.#begun = final ? NOTHING : whole;
    if (whole.length > MESSAGE_BYTES_MAX) return void this.#stream.destroy();
    if (!final) return;
    const binary = whole.buffer.slice(whole.byteOffset, whole.byteOffset + whole.length);
    this.onmessage?.({ data: this.#kind === OPCODE.text ? whole.toString() : binary });
  }

  #onClose(body) {
    this.#code = body.length >= 2 ? body.readUInt16BE(0) : 1005;
    if (this.readyState === STATE.open) this.#write(OPCODE.close, body);
    this.readyState = STATE.closing;
    this.#stream.end();
  }

  #write(opcode, body) {
    const size = body.length < 126 ? Buffer.from([128 | body.length]) : Buffer.from([254, body.length >> 8, body.length & 255]);
    const mask = randomBytes(4);
    const masked = body.map((byte, index) => byte ^ mask[index & 3]);
    if (!this.#stream.destroyed) this.#stream.write(Buffer.concat([Buffer.from([128 | opcode]), size, mask, masked]));
  }

  #end() {
    if (this.readyState === STATE.closed) return;
    this.readyState = STATE.closed;
    this.onclose?.({ code: this.#code });
  }
}
