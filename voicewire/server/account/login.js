// Who is logged in, kept by the browser: the refresh token for weeks, the access token as long as the tab is there.

import { forget, keep, recall } from "/reader/memory.js";

const MARGIN_MS = 60_000; // a token that ends so soon is renewed first
const ACCESS = "voicewire.access";

export class Login {
  constructor() {
    this.held = held();
  }

  get access() {
    return this.held.token;
  }

  /** Whether the access token is missing or about to end. */
  get stale() {
    return !this.access || Date.now() > this.held.until - MARGIN_MS;
  }

  /** The newest refresh token, whichever window got it; "" when nobody is logged in. */
  get refresh() {
    return recall("refresh", "");
  }

  take({ access_token, expires_s, refresh_token }) {
    keep("refresh", refresh_token);
    this.held = { token: access_token, until: Date.now() + expires_s * 1000 };
    hold(this.held);
  }

  end() {
    forget("refresh");
    this.held = NONE;
    hold(NONE);
  }
}

const NONE = { token: "", until: 0 };

function held() {
  try {
    return JSON.parse(sessionStorage.getItem(ACCESS)) ?? NONE;
  } catch {
    return NONE; // storage is forbidden
  }
}

function hold(value) {
  try {
    sessionStorage.setItem(ACCESS, JSON.stringify(value));
  } catch {
    // storage is forbidden: a reload refreshes
  }
}
