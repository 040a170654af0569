// API keys: made, shown once, rotated, revoked.

import { field, form, h, table } from "./dom.js";
import { date, moment } from "./words.js";

const DAY_S = 86_400;

export async function keys(api) {
  const [made, list] = [h("div"), h("div")];
  const load = async () => list.replaceChildren(rows((await api.get("/v1/keys")).items, api, show, load));
  const show = async (key) => {
    made.replaceChildren(shown(key));
    await load();
  };
  const make = form(
    [h("div", { class: "inline" }, field("Label", { name: "label", maxLength: 100, placeholder: "the reading app" }),
      h("label", {}, "For", h("select", { name: "environment" }, h("option", { value: "live" }, "live use"), h("option", { value: "test" }, "tests"))))],
    "Make a key",
    async (wish, element) => {
      await show(await api.ask("POST", "/v1/keys", wish));
      element.reset();
    },
  );
  await load();
  return [h("h1", {}, "API keys"), made, h("section", { class: "card" }, make), h("section", { class: "card" }, list)];
}

function shown({ key, label }) {
  const copy = h("button", { type: "button", class: "quiet", onclick: async () => {
    await navigator.clipboard.writeText(key);
    copy.textContent = "Copied";
  } }, "Copy");
  return h("section", { class: "card made" },
    h("h2", {}, label ? `The key “${label}”` : "The new key"),
    h("p", { class: "soft" }, "It is shown only now: keep it where nobody else looks."),
    h("p", { class: "secret", id: "new-key" }, key),
    h("div", { class: "row" }, copy, h("a", { class: "solid", href: `/#key=${encodeURIComponent(key)}` }, "Use it in the reader")));
}

function rows(items, api, show, load) {
  const actions = (key) => !key.in_force ? null : [
    h("button", { type: "button", class: "quiet", onclick: async () =>
      show(await api.ask("POST", `/v1/keys/${key.id}/rotate`, { overlap_s: DAY_S })) }, "Rotate"),
    h("button", { type: "button", class: "quiet danger", onclick: async () => {
      if (!confirm(`Revoke ${key.label || key.id}? What uses it stops within seconds.`)) return;
      await api.ask("DELETE", `/v1/keys/${key.id}`);
      await load();
    } }, "Revoke"),
  ];
  return table(
    [["Label", ""], ["Key", ""], ["Made", ""], ["Last used", ""], ["State", ""], ["", ""]],
    items.map((key) => [key.label || "–", h("code", {}, `vw_${key.environment}_${key.id}_…`), date(key.created), moment(key.last_used), state(key), actions(key)].map((cell) => cell ?? "")),
    "There is no key yet. Programs need one; the reader does too.",
  );
}

function state({ in_force, revoked, expires }) {
  if (in_force && !expires) return h("span", { class: "tag" }, "in force");
  if (in_force) return h("span", { class: "tag" }, `until ${moment(expires)}`);
  return h("span", { class: "tag off" }, revoked ? "revoked" : "expired");
}
