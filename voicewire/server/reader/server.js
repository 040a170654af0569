// The server's HTTP resources that the reader needs, and what they are asked with: an API key, or the person's login.

import { Api } from "/account/api.js";
import { Login } from "/account/login.js";
import { WireError } from "/client/errors.js";
import { forget, keep, recall } from "./memory.js";

const TIMEOUT_MS = 8_000;
const KEY_IN_FRAGMENT = /^#key=(.+)$/;

/** The API key: from the page's address once, then from what this browser keeps. Without one, who is logged in asks. */
export class Key {
  #login = new Login();
  #person = new Api(this.#login, () => this.#login.end());

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

  /** Throws ApiError when the server cannot be asked whether the login is still good. */
  async headers() {
    const token = this.value || (await this.#person.token().catch(nobody));
    return token ? { Authorization: `Bearer ${token}` } : {};
  }
}

function nobody(error) {
  if (error.status === 401) return "";
  throw error;
}

/** A one-time ticket for the socket. Throws WireError when asking again would not help. */
export async function fetchTicket(key) {
  const response = await fetch("/v1/tickets", {
    method: "POST",
    headers: { "Content-Type": "application/json", ...(await key.headers()) },
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
  const response = await fetch("/v1/voices", { headers: await key.headers(), signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!response.ok) throw new WireError(response.status === 401 ? "unauthorized" : "no_voices");
  return (await response.json()).voices;
}

/** The address of the socket, beside the page. */
export function streamUrl() {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/stream`;
}
