// What was used: a chart by day, and sums by voice, model or key.

import { chart } from "./chart.js";
import { h, table } from "./dom.js";
import { number, time } from "./words.js";

const SPANS = [["7", "7 days"], ["30", "30 days"], ["90", "90 days"]];
const BY = [["voice", "Voice"], ["model", "Model"], ["key", "Key"]];
const DAY_MS = 86_400_000;

export function usage(api, path = "/v1/usage") {
  const choice = { days: 30, by: "voice" };
  const [figures, picture, sums] = [h("div", { class: "cards" }), h("div"), h("div")];
  const load = async () => {
    const query = (by) => `${path}?by=${by}&from=${day(Date.now() - (choice.days - 1) * DAY_MS)}&to=${day(Date.now())}`;
    const [days, by] = await Promise.all([api.get(query("day")), api.get(query(choice.by))]);
    figures.replaceChildren(...totals(days.total));
    picture.replaceChildren(chart(filled(days)));
    sums.replaceChildren(breakdown(by));
    csv.dataset.path = `${query("day")}&format=csv`;
  };
  const csv = h("button", { type: "button", class: "quiet", onclick: () => download(api, csv.dataset.path) }, "Download CSV");
  load();
  return [
    h("div", { class: "row" }, h("h1", {}, "Usage"), h("div", { class: "row" }, csv, select("Days", SPANS, "30", (days) => { choice.days = Number(days); load(); }))),
    figures,
    h("section", { class: "card", id: "days" }, h("div", { class: "row" }, h("h2", {}, "By day"),
      h("p", { class: "key" }, h("span", {}, h("i"), "spoken"), h("span", {}, h("i", { class: "cached" }), "of it made before"))), picture),
    h("section", { class: "card" }, h("div", { class: "row" }, h("h2", {}, "By what"), select("By", BY, "voice", (by) => { choice.by = by; load(); })), sums),
  ];
}

const day = (ms) => new Date(ms).toISOString().slice(0, 10);

function select(label, options, value, change) {
  return h("select", { "aria-label": label, onchange: (event) => change(event.target.value) },
    options.map(([id, text]) => h("option", { value: id, selected: id === value }, text)));
}

function totals({ audio_ms, charged_ms, requests }) {
  return [["Listened", time(audio_ms)], ["Charged", time(charged_ms)], ["Requests", number(requests)]].map(([what, much]) =>
    h("section", { class: "card" }, h("h2", { class: "soft" }, what), h("p", { class: "figure" }, much)));
}

/** Every day from first to last, also those on which nothing was used. */
function filled(usage) {
  const found = new Map(usage.items.map((line) => [line.name, line]));
  const days = [];
  for (let at = Date.parse(usage.from); at <= Date.parse(usage.to); at += DAY_MS) {
    const { audio_ms = 0, cached_ms = 0 } = found.get(day(at)) ?? {};
    days.push({ day: day(at), audio_ms, cached_ms });
  }
  return days;
}

function breakdown({ by, items }) {
  return table(
    [[BY.find(([id]) => id === by)[1], ""], ["Requests", "number"], ["Listened", "number"], ["Charged", "number"]],
    items.map((line) => [line.label || line.name || "this machine", number(line.requests), time(line.audio_ms), time(line.charged_ms)]),
    "Nothing was spoken in these days.",
  );
}

async function download(api, path) {
  const link = h("a", { href: URL.createObjectURL(await api.file(path)), download: "usage.csv" });
  link.click();
  URL.revokeObjectURL(link.href);
}
