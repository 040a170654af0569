// What survives a reload. The browser may refuse to keep anything: then nothing is kept, and nothing fails.

const PREFIX = "voicewire.";
const TEXT_CHARS_MAX = 1_000_000; // browsers keep about 5 MB for a site

export function recall(name, otherwise = null) {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + name)) ?? otherwise;
  } catch {
    return otherwise; // storage is forbidden, or was written by something else
  }
}

/** Keep `value`; returns whether it is kept. */
export function keep(name, value) {
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify(value));
    return true;
  } catch {
    return false; // storage is forbidden or full
  }
}

export function forget(name) {
  try {
    localStorage.removeItem(PREFIX + name);
  } catch {
    // storage is forbidden: there is nothing to forget
  }
}

/** Keep a text for the next visit; a very long one is not kept. */
export function keepText(text) {
  if (text.length > TEXT_CHARS_MAX || !keep("text", text)) forget("text");
}
