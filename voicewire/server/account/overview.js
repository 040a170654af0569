// The plan, what is left of it, and which others there are.

import { h, table } from "./dom.js";
import { date, number, price, time } from "./words.js";

export async function overview(api, me) {
  const [credits, offer] = await Promise.all([api.get("/v1/users/me/credits"), api.get("/v1/plans")]);
  const plan = offer.items.find(({ id }) => id === credits.plan);
  return [
    h("h1", {}, me.user?.name ? `Hello, ${me.user.name}` : "Overview"),
    h("div", { class: "cards" }, balance(credits), current(credits, plan, me)),
    me.terms.required && !me.terms.accepted ? terms(api, me) : null,
    credits.grants.length > 1 ? grants(credits.grants) : null,
    h("section", { class: "card" }, h("h2", {}, "Plans"), h("div", { class: "plans" }, offer.items.map((each) => planCard(each, credits.plan)))),
  ];
}

function balance({ balance_ms, held_ms, grants }) {
  const limited = balance_ms !== null;
  const all = grants.reduce((sum, { ms }) => sum + ms, 0);
  return h("section", { class: "card", id: "balance" },
    h("h2", { class: "soft" }, "Left to listen"),
    h("p", { class: "figure" }, limited ? time(balance_ms) : "no limit"),
    limited && all > 0 && h("meter", { min: 0, max: all, low: all * 0.15, optimum: all, value: Math.max(0, balance_ms), "aria-label": "Left to listen" }),
    h("p", { class: "soft" }, limited ? (balance_ms > 0 ? `of ${time(all)}${held_ms ? `, ${time(held_ms)} of it held by what is playing` : ""}` : "It is used up.") : "What you use is counted all the same."));
}

function current({ plan, period_end }, row, me) {
  return h("section", { class: "card" },
    h("h2", { class: "soft" }, "Your plan"),
    h("p", { class: "figure" }, row?.name ?? plan),
    h("p", { class: "soft" }, period_end ? `Renews on ${date(period_end)}. ` : "", `${number(me.limits.requests_minute)} requests a minute, ${number(me.limits.streams)} at once.`),
    h("p", {}, h("a", { href: "/" }, "Open the reader")));
}

function grants(rows) {
  return h("section", { class: "card" }, h("h2", {}, "Credit, in the order in which it is spent"), table(
    [["What", ""], ["Given", "number"], ["Left", "number"], ["Good until", ""]],
    rows.map((each) => [each.note || each.kind, time(each.ms), time(each.left_ms), each.expires ? date(each.expires) : "for ever"]), ""));
}

function planCard(plan, own) {
  return h("div", { class: "plan", "data-own": plan.id === own ? "" : null },
    h("span", { class: "soft" }, plan.name, plan.id === own ? " – yours" : ""),
    h("b", {}, price(plan.price_cents, plan.currency)),
    h("span", {}, plan.seconds === null ? "no limit" : `${time(plan.seconds * 1000)} a month`),
    h("span", { class: "soft" }, `${number(plan.requests_minute)} requests a minute, ${number(plan.streams)} at once`));
}

function terms(api, me) {
  const box = h("section", { class: "card" }, h("div", { class: "row" },
    h("div", {}, h("h2", {}, "Terms of service"), h("p", { class: "soft" }, `Version ${me.terms.required} must be accepted before anything is spoken.`)),
    h("button", { class: "solid", onclick: async () => {
      me.terms = await api.ask("POST", "/v1/me/terms", { version: me.terms.required });
      box.remove();
    } }, "Accept")));
  return box;
}
