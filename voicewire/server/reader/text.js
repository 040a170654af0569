// The text as the reader sees it. Every position is a UTF-16 offset, as in JavaScript's strings.

const CONTEXT_CHARS = 2_400; // about three minutes of speech
const WINDOW = 4_000; // how far to look for the edges of a sentence
const LINE_CHARS = 8_000;
const FULL_LINE_CHARS = 50;
const ABBREVIATED = /(?:^|[\s(])(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|vs|e\.g|i\.e|cf|No|Fig|\p{Lu})\.\s*$/u;
const NO_SPACES = /[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmr}\p{sc=Mymr}]/u; // scripts written so

/** Make `text` fit to be sent and shown: one kind of line break, no NUL, no half of a surrogate pair. */
export function normalize(text) {
  return wellFormed(text.replace(/\r\n?|\u2028|\u2029/g, "\n").replaceAll("\0", "\uFFFD"));
}

function wellFormed(text) {
  if (text.toWellFormed) return text.toWellFormed();
  return text.replace(/[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g, "\uFFFD");
}

/** The lines [a, b) of `text`, without their line breaks; a line too long to be laid out at once is cut at a space. */
export function linesOf(text) {
  const lines = [];
  for (let a = 0, b; a <= text.length; a = b + 1) {
    b = text.indexOf("\n", a);
    if (b < 0) b = text.length;
    for (const end of cuts(text, a, b)) a = lines[lines.push([a, end]) - 1][1];
  }
  return lines;
}

function cuts(text, a, b) {
  const ends = [];
  for (let at = a; b - at > LINE_CHARS; ) {
    const space = text.lastIndexOf(" ", at + LINE_CHARS);
    at = space > at ? space + 1 : at + LINE_CHARS;
    ends.push(at);
  }
  return [...ends, b];
}

/** The last index in ascending `values` whose value is at most `value`; -1 if there is none. */
export function lastAtMost(values, value, of = (item) => item) {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (of(values[middle]) <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** The first offset from `from` on that holds something to say; the text's length if there is none. */
export function skipSpace(text, from) {
  const found = text.slice(from).search(/\S/);
  return found < 0 ? text.length : from + found;
}

/** The word [a, b) around `offset`, or null between words. */
export function wordAt(text, offset, locale) {
  const before = /\S*$/.exec(text.slice(Math.max(0, offset - 200), offset))[0];
  const after = /^\S*/.exec(text.slice(offset, offset + 200))[0];
  if (!after && !before) return null;
  const a = offset - before.length;
  if (!NO_SPACES.test(before + after)) return [a, offset + after.length];
  const part = segmenter(locale, "word").segment(before + after).containing(before.length || 0);
  return part ? [a + part.index, a + part.index + part.segment.length] : null;
}

/** The sentences [[a, b), …] of the paragraph around `offset`, in order, without the space between them. */
export function sentencesAround(text, offset, locale) {
  const [from, to] = paragraphAt(text, offset);
  const sentences = [];
  let open = false; // the sentence before ended in an abbreviation
  for (const { segment, index } of segmenter(locale, "sentence").segment(unwrap(text.slice(from, to)))) {
    const a = from + index + segment.length - segment.trimStart().length;
    const b = from + index + segment.trimEnd().length;
    if (open) sentences.at(-1)[1] = b;
    else if (segment.trim()) sentences.push([a, b]);
    open = sentences.length > 0 && ABBREVIATED.test(segment);
  }
  return sentences;
}

/** Where the sentence around `offset` begins. */
export function sentenceStart(text, offset, locale) {
  const sentences = sentencesAround(text, offset, locale);
  return sentences[lastAtMost(sentences, offset, ([a]) => a)]?.[0] ?? offset;
}

/** Where the next sentence begins; the text's length if there is none. */
export function nextSentence(text, offset, locale) {
  const next = sentencesAround(text, offset, locale).find(([a]) => a > offset);
  return next ? next[0] : skipSpace(text, Math.max(offset, paragraphAt(text, offset)[1]));
}

/** Where the sentence before the one around `offset` begins; 0 if there is none. */
export function previousSentence(text, offset, locale) {
  const before = text.slice(0, sentenceStart(text, offset, locale)).trimEnd().length;
  return before ? sentenceStart(text, before - 1, locale) : 0;
}

/**
 * Where an utterance that begins at `from` should end so that the seam is not heard: at most `limit`
 * later, behind a paragraph, else a sentence, else a word.
 */
export function utteranceEnd(text, from, limit = CONTEXT_CHARS, locale = undefined) {
  const latest = from + Math.min(limit, CONTEXT_CHARS);
  if (latest >= text.length) return text.length;
  const earliest = from + (latest - from) / 3;
  const candidates = [text.lastIndexOf("\n\n", latest - 2) + 2, sentenceStart(text, latest, locale)];
  const space = text.slice(from, latest).search(/\s\S*$/);
  const best = [...candidates, from + space + 1].find((end) => end > earliest && end <= latest);
  return best ?? (isLowSurrogate(text, latest) ? latest - 1 : latest);
}

function paragraphAt(text, offset) {
  const from = Math.max(0, offset - WINDOW);
  const before = text.lastIndexOf("\n\n", Math.max(0, offset - 2));
  const after = text.indexOf("\n\n", offset);
  const to = Math.min(text.length, offset + WINDOW);
  return [before >= from && before + 2 <= offset ? before + 2 : from, after >= 0 && after < to ? after + 2 : to];
}

/** A newline behind a full line only wraps it: it must not end a sentence, as UAX #29 would have it. */
function unwrap(text) {
  return text.replace(new RegExp(`([^\\n]{${FULL_LINE_CHARS},})\\n(?=\\S)`, "g"), "$1 ");
}

function isLowSurrogate(text, at) {
  return (text.charCodeAt(at) & 0xfc00) === 0xdc00;
}

function segmenter(locale, granularity) {
  try {
    return new Intl.Segmenter(locale, { granularity });
  } catch {
    return new Intl.Segmenter(undefined, { granularity }); // a voice's language need not be one that the browser knows
  }
}
