// Asking the server, as the person who is logged in. Tokens are renewed when they end.

import { complaint } from "./words.js";

const TIMEOUT_MS = 15_000;

export class ApiError extends Error {
  constructor(status, code, message) {
    super(complaint(code, message));
    this.status = status;
    this.code = code;
  }
}

export class Api {
  /** `login` keeps the tokens; `ended` is called when nobody is logged in any more. */
  constructor(login, ended) {
    this.login = login;
    this.ended = ended;
    this.renewing = null;
  }

  get(path) {
    return this.ask("GET", path);
  }

  /** A token that shows who is logged in; "" when nobody is. Throws ApiError. */
  async token() {
    if (this.login.refresh && this.login.stale) await this.renew();
    return this.login.refresh && this.login.access;
  }

  /** Ask as the person; throws ApiError. */
  async ask(method, path, body) {
    if (this.login.stale) await this.renew();
    let response = await send(method, path, body, this.login.access);
    if (response.status === 401 && this.login.refresh) {
      await this.renew();
      response = await send(method, path, body, this.login.access);
    }
    return read(response);
  }

  /** A file, as the person. */
  async file(path) {
    if (this.login.stale) await this.renew();
    const response = await send("GET", path, undefined, this.login.access);
    return response.ok ? response.blob() : read(response);
  }

  /** Ask as nobody. */
  async open(method, path, body) {
    return read(await send(method, path, body));
  }

  /** Exchange the refresh token, once even if several ask: a token that comes twice may end the login. */
  renew() {
    this.renewing ??= alone(() => this.exchange())
      .catch((error) => {
        if (error.status === 401) this.ended();
        throw error;
      })
      .finally(() => (this.renewing = null));
    return this.renewing;
  }

  async exchange() {
    const { refresh } = this.login;
    if (!refresh) throw new ApiError(401, "unauthorized");
    try {
      this.login.take(await this.open("POST", "/v1/auth/refresh", { refresh_token: refresh }));
    } catch (error) {
      if (error.status !== 401 || this.login.refresh === refresh) throw error;
      await this.exchange(); // another window, where the browser has no locks, was faster
    }
  }
}

/** Do `work` while no other window of this browser does; where the browser has no locks, just do it. */
function alone(work) {
  return navigator.locks ? navigator.locks.request("voicewire.refresh", work) : work();
}

async function send(method, path, body, token) {
  const headers = { Accept: "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    return await fetch(path, { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch {
    throw new ApiError(0, "offline", "The server could not be reached.");
  }
}

async function read(response) {
  const said = response.headers.get("content-type")?.startsWith("application/json") ? await response.text() : "";
  const json = said ? JSON.parse(said) : null; // a 204 is called JSON, too, and is empty
  if (response.ok) return json;
  throw new ApiError(response.status, json?.error?.code ?? "", json?.error?.message);
}
