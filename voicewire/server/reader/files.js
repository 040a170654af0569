// A text file of the user's, as text.

const MAX_BYTES = 2_000_000;

/** The text of `file`. Throws Error whose message is a key of the complaints. */
export async function readText(file) {
  if (file.size > MAX_BYTES) throw new Error("file_size");
  const bytes = new Uint8Array(await file.arrayBuffer().catch(() => Promise.reject(new Error("file_read"))));
  const text = decode(bytes);
  if (text.includes("\0")) throw new Error("file_type");
  return text;
}

function decode(bytes) {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return new TextDecoder("utf-16le").decode(bytes);
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return new TextDecoder("utf-16be").decode(bytes);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes); // the usual encoding of text that is not UTF-8
  }
}
