// The client under Node, which has no WebSocket of its own before version 22.

import { Client as Anywhere } from "./index.js";
import { Socket } from "./socket.js";

export { WireError } from "./errors.js";

export class Client extends Anywhere {
  constructor(url, options = {}) {
    super(url, globalThis.WebSocket ? options : { WebSocket: Socket, ...options });
  }
}
