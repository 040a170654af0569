// What went wrong, as one would say it to a person. The keys are the protocol's error codes and a few of our own.

const SENTENCES = {
  unauthorized: "This server wants an API key before it speaks.",
  forbidden: "Your API key may not do this.",
  insufficient_credit: "Your listening time is used up.",
  rate_limited: "That was a lot at once. Give it a moment, then press play again.",
  too_many_streams: "You are already listening in too many places. Stop one of them, then press play again.",
  too_many_contexts: "Too much was asked for at once. Press play to try again.",
  text_too_long: "This text is longer than the server takes.",
  unknown_voice: "This voice is no longer available. Please choose another one.",
  unknown_model: "This voice is no longer available. Please choose another one.",
  engine_failed: "The voice stumbled over this passage. Press play to try again, or skip a sentence.",
  busy: "All voices are busy right now. Press play to try again in a moment.",
  draining: "The server is being updated. Press play to try again in a moment.",
  resumed_elsewhere: "The reading goes on in another window.",
  unsupported_format: "The server cannot send audio that this browser plays.",
  slow_consumer: "The connection is too slow right now. Press play to try again.",
  audio: "This browser could not play the sound. Reload the page to try again.",
  file_type: "This file is not plain text. Try a .txt or .md file.",
  file_size: "This file is larger than 2 MB. Try a part of it.",
  file_read: "This file could not be read.",
  no_voices: "The list of voices could not be loaded. The server's own choice will speak.",
};

/** A friendly sentence for an error code. */
export function complaint(code) {
  return SENTENCES[code] ?? "Something went wrong on the server. Press play to try again.";
}
