import assert from "node:assert/strict";
import { test } from "node:test";

import { parseAudio } from "../src/frames.js";

function message(flags, body) {
  const header = [7, 0, flags, 0, 42, 0, 0, 0, 0x40, 0x4e, 0, 0];
  return Uint8Array.from([...header, ...body]).buffer;
}

test("a single frame is the rest of the message", () => {
  const { channel, seq, pts, packets } = parseAudio(message(1, [1, 2, 3]));
  assert.deepEqual([channel, seq, pts], [7, 42, 20_032]);
  assert.deepEqual(packets.map((packet) => [...packet]), [[1, 2, 3]]);
});

test("a bundle is taken apart", () => {
  const { packets } = parseAudio(message(4, [2, 0, 8, 9, 0, 0, 1, 0, 5]));
  assert.deepEqual(packets.map((packet) => [...packet]), [[8, 9], [], [5]]);
});

test("lengths that do not add up are refused", () => {
  assert.throws(() => parseAudio(new ArrayBuffer(11)), RangeError);
  assert.throws(() => parseAudio(message(4, [200, 0, 1])), RangeError);
  assert.throws(() => parseAudio(message(4, [1])), RangeError);
});
