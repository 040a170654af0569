// Who is logged in, kept by the browser: the refresh token for weeks, the access token only while the page is open.

import { forget, keep, recall } from "/reader/memory.js";

const MARGIN_MS = 60_000; // a token that ends so soon is renewed first

export class Login {
  constructor() {
    this.access = "";
    this.until = 0;
  }

  /** Whether the access token is missing or about to end. */
  get stale() {
    return !this.access || Date.now() > this.until - MARGIN_MS;
  }

  get refresh() {
    return recall("refresh", "");
  }

  take({ access_token, expires_s, refresh_token }) {
    this.access = access_token;
    this.until = Date.now() + expires_s * 1000;
    keep("refresh", refresh_token);
  }

  end() {
    this.access = "";
    forget("refresh");
  }
}
