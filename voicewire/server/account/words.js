// Amounts, moments and errors, as one would say them to a person.

const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const NUMBER = new Intl.NumberFormat();

const SENTENCES = {
  unauthorized: "That did not fit. Check the address and the password.",
  forbidden: "You may not do this.",
  rate_limited: "That was a lot at once. Try again in a moment.",
  busy: "The server is busy. Try again in a moment.",
  conflict: "It was changed meanwhile. Reload the page.",
  payment_required: "This plan costs money, and payments are not set up here. Ask the operator.",
  insufficient_credit: "Your listening time is used up.",
  not_found: "This is not there any more.",
  link_gone: "This link is no longer good: each works once, and for a while only.",
};

export const date = (text) => (text ? DATE.format(new Date(text)) : "never");
export const moment = (text) => (text ? MOMENT.format(new Date(text)) : "never");
export const number = (value) => NUMBER.format(value);

/** Milliseconds as `12:05 min`, or `1:02:05 h`. */
export function time(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (value) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)} h` : `${minutes}:${two(seconds % 60)} min`;
}

/** A price a month. */
export function price(cents, currency) {
  if (cents === null) return "by agreement";
  if (!cents) return "free";
  return `${new Intl.NumberFormat(undefined, { style: "currency", currency, minimumFractionDigits: 0 }).format(cents / 100)} a month`;
}

/** What went wrong, by the error code; the server's own words where it knows better. */
export function complaint(code, message) {
  if (code === "bad_message" && message) return `${message[0].toUpperCase()}${message.slice(1)}.`;
  return SENTENCES[code] ?? message ?? "The server could not do this. Try again.";
}
