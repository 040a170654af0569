import assert from "node:assert/strict";
import { test } from "node:test";

import { Script } from "../src/script.js";

const text = (said) => ({ type: "text", context: "c", text: said });

function rest(script) {
  const said = [];
  for (let message = script.next(); message; message = script.next()) said.push(message.text ?? message.type);
  return said;
}

function said(...messages) {
  const script = new Script({ type: "open", context: "c" });
  messages.forEach((message) => script.say(message));
  rest(script);
  return script;
}

test("everything is said once, in order", () => {
  const script = new Script({ type: "open", context: "c" });
  script.say(text("ab"));
  assert.deepEqual(rest(script), ["open", "ab"]);
  script.say({ type: "end" });
  assert.deepEqual(rest(script), ["end"]);
});

for (const [accepted, expected] of [
  [null, ["open", "abc", "flush", "de", "end"]],
  [0, ["abc", "flush", "de", "end"]],
  [2, ["c", "flush", "de", "end"]],
  [3, ["flush", "de", "end"]],
  [4, ["e", "end"]],
  [5, ["end"]],
])
  test(`behind ${accepted} accepted characters the rest is said again`, () => {
    const script = said(text("abc"), { type: "flush" }, text("de"), { type: "end" });
    script.rewind(accepted);
    assert.deepEqual(rest(script), expected);
    script.rewind(accepted);
    assert.deepEqual(rest(script), expected);
  });

test("the text of a speak counts", () => {
  const script = new Script({ type: "speak", context: "c", text: "abc" });
  rest(script);
  script.say({ type: "cancel" });
  script.rewind(3);
  assert.deepEqual(rest(script), ["cancel"]);
});
