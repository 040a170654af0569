// The server's HTTP resources that the reader needs, and the API key they are asked with.

import { forget, keep, recall } from "./memory.js";
import { WireError } from "./wire.js";

const TIMEOUT_MS = 8_000;
const KEY_IN_FRAGMENT = /^#key=(.+)$/;

/** The API key: from the page's address once, then from what this browser keeps. */
export class Key {
  constructor() {
    const [, given] = KEY_IN_FRAGMENT.exec(location.hash) ?? [];
    if (!given) return;
    this.value = decodeURIComponent(given);
    history.replaceState(null, "", location.pathname + location.search); // a key in the address bar gets shared
  }

  get value() {
    return recall("key", "");
  }

  set value(value) {
    if (value.trim()) keep("key", value.trim());
    else forget("key");
  }

  get headers() {
    return this.value ? { Authorization: `Bearer ${this.value}` } : {};
  }
}

/** A one-time ticket for the socket. Throws WireError when asking again would not help. */
export async function fetchTicket(key) {
  const response = await fetch("/v1/tickets", {
    method: "POST",
    headers: { "Content-Type": "application/json", ...key.headers },
    body: "{}",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (response.ok) return (await response.json()).ticket;
  if (response.status === 401) throw new WireError("unauthorized");
  if (response.status === 403) throw new WireError("forbidden");
  throw new Error(`no ticket: ${response.status}`);
}

/** Every voice: `[{id, name, model, language, gender, description}]`. */
export async function fetchVoices(key) {
  const response = await fetch("/v1/voices", { headers: key.headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!response.ok) throw new WireError(response.status === 401 ? "unauthorized" : "no_voices");
  return (await response.json()).voices;
}

/** The address of the socket, beside the page. */
export function streamUrl() {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/stream`;
}
