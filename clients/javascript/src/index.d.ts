/** What can be wrong: the protocol's error codes, and those of the client itself. */
export type ErrorCode =
  | "bad_message"
  | "unknown_context"
  | "duplicate_context"
  | "too_many_contexts"
  | "text_too_long"
  | "unknown_model"
  | "unknown_voice"
  | "unsupported_format"
  | "unauthorized"
  | "issuer_failed"
  | "forbidden"
  | "terms_required"
  | "no_hello"
  | "rate_limited"
  | "too_many_streams"
  | "insufficient_credit"
  | "payment_required"
  | "busy"
  | "draining"
  | "engine_failed"
  | "slow_consumer"
  | "resume_gone"
  | "link_gone"
  | "resumed_elsewhere"
  | "too_large"
  | "not_found"
  | "method_not_allowed"
  | "range_not_satisfiable"
  | "upgrade_required"
  | "conflict"
  | "unknown_call"
  | "internal"
  | "unreachable"
  | "closed";

/** The server refused, or cannot be reached. */
export class WireError extends Error {
  readonly code: ErrorCode;
  /** Whether the same may work later. */
  readonly retryable: boolean;
  readonly retryAfterMs: number | null;
  constructor(code: ErrorCode, message?: string, options?: { retryable?: boolean; retryAfterMs?: number | null });
}

export type Codec = "opus" | "pcm_s16le" | "pcm_f32le" | "mulaw" | "alaw";

/** What is left out takes the server's default: Opus, 24 kHz, frames of 20 ms. */
export interface Format {
  codec?: Codec;
  rate?: number;
  frame_ms?: number;
  bitrate?: number;
  complexity?: number;
  /** Up to so many frames in one message, 50 at most. */
  bundle?: number;
}

export interface SpeechOptions {
  model?: string;
  voice?: string;
  language?: string;
  /** 0.5 to 2. */
  speed?: number;
  seed?: number;
  format?: Format;
  words?: boolean;
  /** Whether to say when each phoneme sounds, by models that know it. */
  phonemes?: boolean;
  /** How far the server may be ahead of the listener. */
  lead_ms?: number;
  /** `call:…`: speak into a telephone call; there is no audio then, and `call` events come. */
  to?: string;
  /** How often a call says what was heard. */
  marks?: "word" | "sentence" | "none";
}

/** [a, b): a part of the utterance's text; `speech.textOf(span)` is what it says. */
export type Span = [a: number, b: number];

/** Where a word is in the text, and when it is heard. */
export type Word = [a: number, b: number, start_ms: number, end_ms: number];

export interface Opened {
  type: "opened";
  context: string;
  channel: number;
  model: string;
  voice: string;
  format: Required<Format>;
  words: "measured" | "estimated" | "none";
  phonemes?: true;
}

export interface Block {
  type: "block";
  context: string;
  block: number;
  span: Span;
  start_ms: number;
  cached: boolean;
  audio?: string;
}

export interface Words {
  type: "words";
  context: string;
  block: number;
  words: Word[];
}

/** A speech sound in the letters of the IPA, and when it is heard. */
export type Phoneme = [symbol: string, start_ms: number, end_ms: number];

export interface Phonemes {
  type: "phonemes";
  context: string;
  block: number;
  phonemes: Phoneme[];
}

export interface Audio {
  type: "audio";
  context: string;
  /** Consecutive frames: an Opus packet each, or samples. */
  packets: Uint8Array[];
  frame_ms: number;
  /** Number of the first frame. */
  seq: number;
  /** Position of the first sample, at the granted rate. */
  pts: number;
}

export interface Done {
  type: "done";
  context: string;
  audio_ms: number;
  blocks: number;
  billed_ms: number;
  cached_ms: number;
  balance_ms: number | null;
  first_audio_ms: number | null;
}

export interface Cancelled {
  type: "cancelled";
  context: string;
  played_ms: number;
  heard: Span;
  unheard: Span;
  billed_ms: number;
  refunded_ms: number;
  balance_ms: number | null;
}

/** Of a telephone call that is spoken into. */
export interface Call {
  type: "call";
  context: string;
  call: string;
  event: "heard" | "digit" | "ended";
  heard?: Span;
  played_ms?: number;
  digit?: string;
}

export type SpeechEvent = Opened | Block | Words | Phonemes | Audio | Call | Done | Cancelled;

/**
 * An utterance. To iterate gives its events, the last of which is `Done` or `Cancelled`; it throws `WireError` when the
 * server gives it up or the connection cannot be mended. To leave the loop early cancels it.
 */
export class Speech implements AsyncIterableIterator<SpeechEvent> {
  private constructor();
  readonly context: string;
  /** What was written so far. */
  readonly text: string;
  /** The last event. */
  readonly finished: Promise<Done | Cancelled>;
  /** Say more; as little as a token. */
  write(text: string): void;
  /** Speak what is there, whether or not a sentence ends. */
  flush(): void;
  /** There is no more text. */
  end(): void;
  /** Stop; the last event says what was heard by `playedMs`. Without it, all that was sent counts as heard. */
  cancel(playedMs?: number | null): Promise<Done | Cancelled>;
  /** Tell the server where the listener is. While `paused`, nothing is made. */
  playhead(playedMs: number, options?: { paused?: boolean }): void;
  textOf(span: Span | Word): string;
  next(): Promise<IteratorResult<SpeechEvent>>;
  return(): Promise<IteratorResult<SpeechEvent>>;
  [Symbol.asyncIterator](): this;
}

/** As much of a WebSocket class as the client needs. */
export interface SocketClass {
  new (url: string, protocols: string[]): {
    readonly readyState: number;
    binaryType?: string;
    onopen: ((event: any) => void) | null;
    onmessage: ((event: any) => void) | null;
    onclose: ((event: any) => void) | null;
    send(text: string): void;
    close(): void;
  };
}

export interface ClientOptions {
  /** An API key: on servers only, never in a page. */
  key?: string;
  /** Gets a one-time ticket: in a page, from your own backend. A `WireError` that it throws is final. */
  ticket?: () => Promise<string>;
  /** Default: the global one, or under Node 20 one of this package. */
  WebSocket?: SocketClass;
  /** How long to be without a connection, in all, before an utterance of which nothing more comes fails; 32,000. */
  giveUpMs?: number;
  /** `why`: with "reconnecting", which comes as soon as a connection, or a try at one, fails. */
  onStatus?: (status: "connecting" | "open" | "reconnecting" | "closed", why?: WireError) => void;
}

/** A session with the server at `url` (http or https). It connects when something is to be said. */
export class Client {
  constructor(url: string, options?: ClientOptions);
  /** Connections that went on where another broke off. */
  readonly reconnects: number;
  /** What the server allows, once it was reached. */
  readonly limits: Record<string, number> | null;
  /** Speak a string, or an iterable of strings as they come. */
  speak(text: string | Iterable<string> | AsyncIterable<string>, options?: SpeechOptions): Speech;
  /** Begin an utterance that is written piece by piece. */
  open(options?: SpeechOptions): Speech;
  /** Connect again at once: the network is back. */
  hurry(): void;
  /** End every utterance and the connection. */
  close(): void;
}
