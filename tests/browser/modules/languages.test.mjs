import assert from "node:assert/strict";
import { test } from "node:test";

import { clockTime, nextSpeed } from "../../../voicewire/server/reader/bar.js";
import {
  firstVoice,
  groupVoices,
  languageName,
  searchVoices,
  voiceDetail,
} from "../../../voicewire/server/reader/languages.js";

const VOICES = [
  { id: "en-us", name: "Sam", model: "espeak", language: "en-US", gender: "male", description: "" },
  { id: "en-gb", name: "Emma", model: "espeak", language: "en-GB", gender: "female", description: "" },
  { id: "en-029", name: "English (Caribbean)", model: "espeak", language: "en-029", gender: "male", description: "" },
  { id: "fr", name: "Chloé", model: "espeak", language: "fr-FR", gender: "female", description: "" },
  { id: "cmn", name: "Wei", model: "espeak", language: "cmn", gender: "male", description: "" },
];
const ids = (voices) => voices.map(({ id }) => id);

test("languages have names, also with parts that no browser knows", () => {
  assert.equal(languageName("en-US-x-nyc", "en"), "English (United States)");
  assert.equal(languageName("x", "en"), "x");
});

test("voices are grouped by language, one's own first", () => {
  const groups = groupVoices(VOICES, ["fr-CH", "en"]);
  assert.deepEqual(groups.map(({ language }) => language), ["fr", "en", "zh"]);
  assert.deepEqual(ids(groups[1].voices), ["en-us", "en-gb", "en-029"]);
});

test("a search looks at names, languages and gender, without accents", () => {
  assert.deepEqual(ids(searchVoices(VOICES, "chloe")), ["fr"]);
  assert.deepEqual(ids(searchVoices(VOICES, "English fem")), ["en-gb"]);
  assert.deepEqual(ids(searchVoices(VOICES, "français")), ["fr"]);
  assert.deepEqual(ids(searchVoices(VOICES, "klingon")), []);
});

test("the first voice is the kept one, else one of the reader's language, else the first", () => {
  assert.equal(firstVoice(VOICES, { id: "fr", model: "espeak" }, ["en"]).id, "fr");
  assert.equal(firstVoice(VOICES, { id: "gone", model: "espeak" }, ["en-GB", "fr"]).id, "en-gb");
  assert.equal(firstVoice(VOICES, null, ["zh-TW"]).id, "cmn");
  assert.equal(firstVoice(VOICES, null, ["tlh"]).id, "en-us");
  assert.equal(firstVoice([], null, ["en"]), null);
});

test("a voice's detail does not repeat its name", () => {
  assert.equal(voiceDetail(VOICES[2]), "Male · espeak");
  assert.match(voiceDetail(VOICES[1]), / · Female · espeak$/);
});

test("times and speeds as people read them", () => {
  assert.deepEqual([0, 59_999, 60_000, 3_725_000].map(clockTime), ["0:00", "0:59", "1:00", "1:02:05"]);
  assert.deepEqual([nextSpeed(1, 1), nextSpeed(1, -1), nextSpeed(2, 1), nextSpeed(0.5, -1)], [1.1, 0.9, 2, 0.5]);
});
