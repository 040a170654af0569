// The client against a real server, whose address and key are in the environment: tests/clients/test_javascript.py runs it.

import assert from "node:assert/strict";
import http from "node:http";
import net from "node:net";
import { after, test } from "node:test";

import { Client, WireError } from "@voicewire/client";

const { VOICEWIRE_URL: url, VOICEWIRE_KEY: key } = process.env;
const skip = url ? false : "there is no server to speak to";
const TEXT = "One thing after the other: 👍 it costs $4.50 today. The second sentence is shorter. And here it ends.";
const PCM = { codec: "pcm_s16le", rate: 24_000, frame_ms: 20, bundle: 5 };
const BYTES_PER_MS = 48;

/** A way to the server that can be cut. */
function tunnel() {
  const sockets = new Set();
  const { hostname, port } = new URL(url);
  const server = net.createServer((near) => {
    const far = net.connect(port, hostname);
    for (const [socket, other] of [[near, far], [far, near]]) {
      sockets.add(socket);
      socket.on("error", () => other.destroy()).on("close", () => other.destroy());
      socket.pipe(other);
    }
  });
  const cut = () => sockets.forEach((socket) => socket.destroy());
  return new Promise((resolve) =>
    server.listen(0, "127.0.0.1", () =>
      resolve({ url: `http://127.0.0.1:${server.address().port}`, cut, close: () => (cut(), server.close()) }),
    ),
  );
}

async function heard(speech, onAudio = () => {}) {
  const all = { bytes: 0, words: [], phonemes: [], seqs: [], types: [] };
  for await (const event of speech) {
    all.types.push(event.type);
    all.last = event;
    if (event.type === "phonemes") all.phonemes.push(...event.phonemes);
    if (event.type === "words") all.words.push(...event.words.map((word) => speech.textOf(word)));
    if (event.type !== "audio") continue;
    assert.equal(event.pts * 2, all.bytes, "audio stands where the audio before it ends");
    all.bytes += event.packets.reduce((size, packet) => size + packet.length, 0);
    event.packets.forEach((_, index) => all.seqs.push(event.seq + index));
    speech.playhead(all.bytes / BYTES_PER_MS);
    onAudio(all);
  }
  return all;
}

async function* tokens(text, size = 4) {
  for (let at = 0; at < text.length; at += size) yield text.slice(at, at + size);
}

function client(options = {}, at = url) {
  const made = new Client(at, { key, ...options });
  after(() => made.close());
  return made;
}

test("a text comes back as audio and words", { skip }, async () => {
  const all = await heard(client().speak(TEXT, { format: PCM }));
  assert.equal(all.last.type, "done");
  assert.equal(all.bytes, all.last.audio_ms * BYTES_PER_MS);
  assert.deepEqual(all.words.slice(0, 3), ["One", "thing", "after"]);
  assert.ok(all.words.includes("$4.50"), "positions are those of strings, behind an emoji too");
  assert.equal(all.types[0], "opened");
});

test("a stream of tokens is the same speech, halves of characters and all", { skip }, async () => {
  const speaking = client();
  const [whole, pieces] = await Promise.all([
    heard(speaking.speak(TEXT, { format: PCM })),
    heard(speaking.speak(tokens(TEXT, 3), { format: PCM })),
  ]);
  assert.equal(pieces.bytes, whole.bytes);
  assert.deepEqual(pieces.words, whole.words);
});

test("what is written is spoken when it is flushed", { skip }, async () => {
  const speech = client().open({ format: PCM });
  speech.write("No sentence ends here");
  speech.flush();
  const all = await heard(speech, () => speech.end());
  assert.equal(all.last.type, "done");
  assert.deepEqual(all.words, ["No", "sentence", "ends", "here"]);
});

test("a cancel says what was heard", { skip }, async () => {
  const speech = client().speak(TEXT, { format: PCM, lead_ms: 1_000 });
  for await (const event of speech) if (event.type === "audio") break;
  const cancelled = await speech.cancel();
  assert.equal(cancelled.type, "cancelled");
  assert.equal(speech.textOf(cancelled.heard) + speech.textOf(cancelled.unheard), TEXT);
});

test("a cancel with the listener's place splits the text there, and ends what makes it", { skip }, async () => {
  let ended = false;
  async function* endless() {
    try {
      for (;;) yield await new Promise((resolve) => setTimeout(resolve, 5, "and on, "));
    } finally {
      ended = true;
    }
  }
  const speech = client().speak(endless(), { format: PCM });
  for await (const event of speech) {
    if (event.type === "audio") speech.cancel(0);
    if (event.type === "cancelled") assert.deepEqual(event.heard, [0, 0]);
  }
  assert.equal((await speech.finished).type, "cancelled");
  assert.equal(speech.textOf((await speech.finished).heard), "");
  while (!ended) await new Promise((resolve) => setTimeout(resolve, 5));
});

test("it goes on exactly when the connection breaks", { skip }, async () => {
  const way = await tunnel();
  after(() => way.close());
  const steady = await heard(client().speak(TEXT, { format: PCM, phonemes: true }));
  const told = [];
  const speaking = client({ onStatus: (status) => told.push(status) }, way.url);
  let cuts = 0;
  const all = await heard(speaking.speak(tokens(TEXT), { format: PCM, lead_ms: 400, phonemes: true }), ({ bytes }) => {
    if (bytes > (cuts + 1) * 500 * BYTES_PER_MS && cuts < 3) way.cut(++cuts);
  });
  assert.equal(all.last.type, "done");
  assert.deepEqual(all.seqs, [...all.seqs.keys()]);
  assert.equal(all.bytes, steady.bytes);
  assert.deepEqual(all.words, steady.words);
  assert.deepEqual(all.phonemes, steady.phonemes);
  assert.ok(all.phonemes.length > all.words.length);
  assert.ok(speaking.reconnects >= 1);
  assert.deepEqual(told.slice(0, 4), ["connecting", "open", "reconnecting", "open"]);
});

test("what is wrong with an utterance is its own error", { skip }, async () => {
  const speaking = client();
  const wrong = speaking.speak(TEXT, { voice: "nobody" });
  await assert.rejects(heard(wrong), { name: "WireError", code: "unknown_voice", retryable: false });
  await assert.rejects(wrong.finished, WireError);
  assert.equal((await heard(speaking.speak("Yes.", { format: PCM }))).last.type, "done");
});

test("a wrong key is final", { skip }, async () => {
  await assert.rejects(heard(client({ key: "vw_live_wrong" }).speak(TEXT)), { code: "unauthorized" });
});

test("a ticket may come from somewhere else, and is asked for once for each session", { skip }, async () => {
  let asked = 0;
  const ticket = async () => {
    asked += 1;
    const options = { method: "POST", headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" } };
    return (await (await fetch(`${url}/v1/tickets`, { ...options, body: "{}" })).json()).ticket;
  };
  const speaking = client({ key: "", ticket });
  for (const text of ["One.", "Two."]) assert.equal((await heard(speaking.speak(text, { format: PCM }))).last.type, "done");
  assert.equal(asked, 1);
});

test("who throws in the middle of a text hears of it", { skip }, async () => {
  async function* failing() {
    yield "It begins, ";
    throw new Error("and fails");
  }
  await assert.rejects(heard(client().speak(failing(), { format: PCM })), /and fails/);
});

test("what is no text is refused where it is given", async () => {
  const speaking = client({ key: "vw_live_x" }, "http://127.0.0.1:9");
  for (const wrong of [null, undefined, 5, {}, true, () => {}])
    assert.throws(() => speaking.speak(wrong), { name: "TypeError", message: /^a text is a string, or an iterable/ });
  for (const wrong of [null, 5, "af_heart"]) {
    assert.throws(() => speaking.open(wrong), { name: "TypeError", message: /^options are an object/ });
    assert.throws(() => speaking.speak("Hello.", wrong), { name: "TypeError", message: /^options are an object/ });
  }
  const speech = speaking.open();
  for (const wrong of [null, undefined, 5, {}, ["a"]])
    assert.throws(() => speech.write(wrong), { name: "TypeError", message: /^a piece of text is a string, not / });
  assert.equal(speech.text, "");
});

test("what is no text among pieces ends the utterance, and nothing else", { skip }, async () => {
  const speaking = client();
  for (const wrong of [["Hello ", null], [5], { [Symbol.iterator]: () => 5 }])
    await assert.rejects(heard(speaking.speak(wrong, { format: PCM })), TypeError);
  assert.equal((await heard(speaking.speak("Yes.", { format: PCM }))).last.type, "done");
});

/** What a client is told while it cannot reach `at`, and what its utterance throws; a hang of the client's fails. */
async function unreached(at) {
  const told = [];
  const onStatus = (status, why) => told.push(why ? `${status}: ${why.code}` : status);
  const speaking = new Client(at, { key: "vw_live_x", giveUpMs: 1_000, onStatus });
  const hangs = new Promise((resolve) => setTimeout(resolve, 7_000, "hangs").unref());
  const outcome = heard(speaking.speak("Hello.")).catch((error) => error);
  const error = await Promise.race([outcome, hangs]);
  speaking.close();
  return { told, error };
}

test("nobody there is said at once, and then for good", async () => {
  const server = http.createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  const { told, error } = await unreached(`http://127.0.0.1:${port}`);
  assert.deepEqual([error.code, error.retryable], ["unreachable", true]);
  assert.deepEqual(told.slice(0, 2), ["connecting", "reconnecting: unreachable"]);
  assert.ok(!told.slice(1).includes("connecting"));
  assert.equal(told.at(-1), "closed");
});

test("who closes a client between two tries is told so", async () => {
  const told = [];
  const speaking = new Client("http://127.0.0.1:9", { key: "vw_live_x", onStatus: (status) => told.push(status) });
  const speech = speaking.speak("Hello.");
  while (told.at(-1) !== "reconnecting") await new Promise((resolve) => setTimeout(resolve, 5));
  speaking.close();
  assert.equal(told.at(-1), "closed");
  await assert.rejects(heard(speech));
  speaking.close();
  assert.equal(told.filter((status) => status === "closed").length, 1);
});

test("what the application's own listener throws is reported, and speech goes on", { skip }, async (t) => {
  const said = t.mock.method(console, "error", () => {});
  const mistake = new Error("of the application");
  const speaking = client({
    onStatus: () => {
      throw mistake;
    },
  });
  assert.equal((await heard(speaking.speak("Hello.", { format: PCM }))).last.type, "done");
  speaking.close();
  assert.deepEqual(said.mock.calls.map((call) => call.arguments), [[mistake], [mistake], [mistake]]);
});

test("a server that takes the connection and says nothing is given up as soon", async () => {
  const sockets = [];
  const silent = net.createServer((socket) => sockets.push(socket));
  await new Promise((resolve) => silent.listen(0, "127.0.0.1", resolve));
  after(() => (sockets.forEach((socket) => socket.destroy()), silent.close()));
  const { told, error } = await unreached(`http://127.0.0.1:${silent.address().port}`);
  assert.deepEqual([error.code, error.retryable], ["unreachable", true]);
  assert.deepEqual(told, ["connecting", "closed"]);
});

test("patience is for being without a connection, not for a text that is late", { skip }, async () => {
  const speech = client({ giveUpMs: 2_000 }).open({ format: PCM });
  await new Promise((resolve) => setTimeout(resolve, 2_200));
  speech.write("Here it is.");
  speech.end();
  assert.equal((await heard(speech)).last.type, "done");
});

test("a client that was closed ends what it said, and says no more", async () => {
  const speaking = new Client("http://127.0.0.1:9", { key: "vw_live_x" });
  const speech = speaking.speak("Hello.");
  speaking.close();
  await assert.rejects(heard(speech), { code: "closed" });
  assert.throws(() => speaking.speak("Hello."), { code: "closed" });
});
