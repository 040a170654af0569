import assert from "node:assert/strict";
import { test } from "node:test";

import { Clock } from "../../../voicewire/server/reader/clock.js";
import { Feed } from "../../../voicewire/server/reader/feed.js";
import { Ring } from "../../../voicewire/server/reader/ring.js";

const RATE_HZ = 48_000;
const BLOCK = 128;
const CUSHION = RATE_HZ * 0.12;

/** A Feed with a hand on its clock: `run(blocks)` renders and returns the samples. */
function rig() {
  const reports = [];
  const feed = new Feed(RATE_HZ, (report) => reports.push(report));
  let frame = 0;
  const run = (blocks) => {
    const samples = [];
    for (let i = 0; i < blocks; i++, frame += BLOCK) {
      const out = new Float32Array(BLOCK).fill(9);
      feed.render(out, frame);
      samples.push(...out);
    }
    return samples;
  };
  return { feed, reports, run };
}

function ramp(length) {
  return Float32Array.from({ length }, (_, i) => (i + 1) / length);
}

test("a ring gives back what it took, around its end", () => {
  const ring = new Ring(10);
  const out = new Float32Array(4);
  for (let n = 0; n < 25; n += 3) {
    assert.ok(ring.push(Float32Array.of(n, n + 1, n + 2)));
    assert.equal(ring.read(out), 3);
    assert.deepEqual([...out.subarray(0, 3)], [n, n + 1, n + 2]);
  }
  assert.ok(!ring.push(new Float32Array(11)));
  assert.equal(ring.size, 0);
});

test("every sample is played once, in order, and counted", () => {
  const { feed, reports, run } = rig();
  const samples = ramp(20_000);
  feed.play();
  feed.push({ epoch: 0, samples: samples.subarray(0, 7_000) });
  feed.push({ epoch: 0, samples: samples.subarray(7_000) });
  feed.finish();
  const heard = run(200);
  assert.deepEqual(heard.slice(BLOCK, 20_000), [...samples.subarray(BLOCK)]); // behind the fade of the first block
  assert.ok(heard.slice(20_000).every((sample) => sample === 0));
  assert.equal(reports.at(-1).played, 20_000);
  assert.equal(reports.at(-1).dry, false);
});

test("nothing is played before the cushion is full, nor after it ran dry", () => {
  const { feed, reports, run } = rig();
  feed.play();
  feed.push({ epoch: 0, samples: new Float32Array(CUSHION - 1).fill(1) });
  assert.ok(run(20).every((sample) => sample === 0));
  feed.push({ epoch: 0, samples: new Float32Array(1).fill(1) });
  assert.ok(run(1).some((sample) => sample > 0));
  run(100);
  assert.equal(reports.at(-1).dry, true);
  assert.equal(reports.at(-1).played, CUSHION);
});

test("a pause fades within a block and loses nothing", () => {
  const { feed, reports, run } = rig();
  feed.play();
  feed.push({ epoch: 0, samples: new Float32Array(30_000).fill(1) });
  run(10);
  feed.pause();
  const fading = run(1);
  assert.ok(fading[0] > 0.9);
  assert.ok(fading.at(-1) < 0.1);
  assert.ok(run(20).every((sample) => sample === 0));
  assert.equal(reports.at(-1).played, 11 * BLOCK);
  feed.play();
  feed.finish();
  run(300);
  assert.equal(reports.at(-1).played, 30_000);
});

test("a flush begins a new count, and late audio of the old one is dropped", () => {
  const { feed, reports, run } = rig();
  feed.play();
  feed.push({ epoch: 0, samples: new Float32Array(30_000).fill(1) });
  run(10);
  feed.flush({ epoch: 1 });
  feed.push({ epoch: 0, samples: new Float32Array(9_000).fill(0.5) });
  assert.ok(run(1)[0] > 0.9, "what was sounding fades out");
  assert.ok(run(50).every((sample) => sample === 0));
  assert.deepEqual([reports.at(-1).epoch, reports.at(-1).played], [1, 0]);
});

test("more than fits is said", () => {
  const { feed, reports } = rig();
  feed.push({ epoch: 0, samples: new Float32Array(46 * RATE_HZ) });
  assert.deepEqual(reports, [{ overflow: true }]);
});

test("the clock knows what was played at any moment", () => {
  const clock = new Clock();
  assert.equal(clock.playedAt(500), 0);
  clock.add({ frame: 1_000, played: 0 }); // silence …
  clock.add({ frame: 2_000, played: 600 }); // … of which 600 samples were played at the end
  clock.add({ frame: 3_000, played: 1_600 });
  clock.add({ frame: 4_000, played: 1_600 }); // a pause
  assert.deepEqual([900, 1_200, 1_500, 2_000, 2_250, 3_500, 9_000].map((frame) => clock.playedAt(frame)), [
    0, 0, 100, 600, 850, 1_600, 1_600,
  ]);
});
