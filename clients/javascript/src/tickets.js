// What opens a session: a one-time ticket, which the server gives for a key, or to a page of its own.

import { WireError } from "./errors.js";

const TIMEOUT_MS = 8_000;

/** Return a function that gets a ticket from the server at `origin`. It throws WireError when asking again is no use. */
export function ticketsFrom(origin, key) {
  return async () => {
    const response = await fetch(`${origin}/v1/tickets`, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...(key && { Authorization: `Bearer ${key}` }) },
      body: "{}",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (response.ok) return (await response.json()).ticket;
    throw refusal(response.status, await response.json().catch(() => ({})));
  };
}

function refusal(status, { error }) {
  const { code = "internal", retryable = status >= 500 } = error ?? {};
  const message = error?.message ?? `the server answered with HTTP status ${status}`;
  return retryable ? new Error(message) : new WireError(code, message);
}
