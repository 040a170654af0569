import assert from "node:assert/strict";
import { test } from "node:test";

import {
  lastAtMost,
  linesOf,
  nextSentence,
  normalize,
  previousSentence,
  sentenceStart,
  sentencesAround,
  skipSpace,
  utteranceEnd,
  wordAt,
} from "../../../voicewire/server/reader/text.js";

const TEXT =
  "Hello there, Mr. Smith. It cost $4.50! 😀 Fine.\n\n" +
  "A paragraph that is wrapped behind a line of full length,\nas old files are. Next one.";

const sentences = (text, at, locale) => sentencesAround(text, at, locale).map(([a, b]) => text.slice(a, b));

test("what is sent has one kind of line break and whole characters", () => {
  assert.equal(normalize("a\r\nb\rc\u2028d"), "a\nb\nc\nd");
  assert.equal(normalize("\ud83d\ude00 \ud83d x \ude00 \0"), "\ud83d\ude00 \ufffd x \ufffd \ufffd");
});

test("sentences keep abbreviations and wrapped lines together", () => {
  assert.deepEqual(sentences(TEXT, 0, "en"), ["Hello there, Mr. Smith.", "It cost $4.50!", "😀 Fine."]);
  assert.deepEqual(sentences(TEXT, TEXT.length - 1, "en").at(-1), "Next one.");
  assert.deepEqual(sentences("A title\nThen the text.", 0, "en"), ["A title", "Then the text."]);
  assert.deepEqual(sentences("你好。再见！", 0, "zh"), ["你好。", "再见！"]);
  assert.deepEqual(sentences("One. Two.", 0, "not a locale"), ["One.", "Two."]);
});

test("one can walk from sentence to sentence, forward and back", () => {
  const forward = [];
  for (let at = 0; at < TEXT.length; at = nextSentence(TEXT, at, "en")) forward.push(at);
  const back = [forward.at(-1)];
  while (back[0] > 0) back.unshift(previousSentence(TEXT, back[0], "en"));
  assert.equal(forward.length, 5);
  assert.deepEqual(back, forward);
  assert.equal(sentenceStart(TEXT, TEXT.indexOf("cost"), "en"), TEXT.indexOf("It"));
  assert.equal(nextSentence(TEXT, TEXT.length, "en"), TEXT.length);
  assert.equal(previousSentence("", 0, "en"), 0);
});

test("a word is what stands between spaces, or what the language says where there are none", () => {
  const word = (text, at, locale) => text.slice(...wordAt(text, at, locale));
  assert.equal(word(TEXT, TEXT.indexOf("4.50"), "en"), "$4.50!");
  assert.equal(word(TEXT, TEXT.indexOf("😀"), "en"), "😀");
  assert.equal(word("私は学生です。", 3, "ja"), "学生");
  assert.equal(wordAt("a  b", 2, "en"), null);
});

test("utterances join to the text, end where a seam is not heard, and keep to the limit", () => {
  const paragraph = "This is the first of two sentences. And this is the other one, a little longer. ".repeat(8);
  const text = `${paragraph}\n\n`.repeat(40);
  const ends = [];
  for (let at = 0; at < text.length; at = ends.at(-1)) ends.push(utteranceEnd(text, at, 10_000, "en"));
  assert.ok(ends.slice(0, -1).every((end) => text.slice(0, end).endsWith("\n\n")));
  for (const limit of [3, 40, 300]) {
    for (let at = 0, end; at < 3_000; at = end) {
      end = utteranceEnd(text, at, limit, "en");
      assert.ok(end > at && end - at <= limit);
    }
  }
});

test("no utterance ends inside a character", () => {
  const text = "😀".repeat(2_000);
  for (let at = 0, end; at < text.length; at = end) {
    end = utteranceEnd(text, at, 301, "en");
    assert.equal((end - at) % 2, 0);
  }
});

test("lines are as in the text, but for those that are too long", () => {
  assert.deepEqual(linesOf("a\n\nbc\n"), [[0, 1], [2, 2], [3, 5], [6, 6]]);
  const text = `${"long line ".repeat(5_000)}\nend`;
  const lines = linesOf(text).map(([a, b]) => text.slice(a, b));
  assert.equal(lines.slice(0, -1).join(""), text.slice(0, -4));
  assert.equal(lines.at(-1), "end");
  assert.ok(lines.every((line) => line.length <= 8_001));
});

test("small searches", () => {
  assert.deepEqual([0, 1, 2, 9].map((value) => lastAtMost([1, 2, 5], value)), [-1, 0, 1, 2]);
  assert.equal(skipSpace("ab \n c", 2), 5);
  assert.equal(skipSpace("ab  ", 2), 4);
});
