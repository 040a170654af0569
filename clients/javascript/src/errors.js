// What can go wrong, as one class.

/**
 * The server refused, or cannot be reached. `code` is one of the protocol's error codes, or `unreachable` or `closed`;
 * `retryable` says whether the same may work later, `retryAfterMs` (or null) when.
 */
export class WireError extends Error {
  constructor(code, message = code, { retryable = false, retryAfterMs = null } = {}) {
    super(message);
    this.name = "WireError";
    this.code = code;
    this.retryable = retryable;
    this.retryAfterMs = retryAfterMs;
  }

  /** The error that a message of the server, or the body of its HTTP answer, tells of. */
  static from({ code, message, retryable, retry_after_ms }) {
    return new WireError(code, message, { retryable, retryAfterMs: retry_after_ms ?? null });
  }
}
