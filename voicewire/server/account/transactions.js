// What became of the balance, the latest first.

import { h, table } from "./dom.js";
import { moment, time } from "./words.js";

const KINDS = { use: "Spoken", refund: "Given back", grant: "Credit", lapse: "Lapsed", reverse: "Taken back" };

const GIVEN = ["grant", "refund"];
const SOURCES = { plan: "Plan", pack: "Package", admin: "From the operator", refund: "For what was spoken" };

export async function transactions(api) {
  const items = [];
  const [list, more] = [h("div"), h("button", { type: "button", class: "quiet", hidden: true }, "Earlier ones")];
  const load = async (before) => {
    const page = await api.get(`/v1/transactions?limit=50${before ? `&before=${before}` : ""}`);
    items.push(...page.items);
    list.replaceChildren(rows(items));
    more.hidden = !page.next;
    more.onclick = () => load(page.next);
  };
  await load("");
  return [h("h1", {}, "Transactions"), h("section", { class: "card" }, list, more)];
}

function rows(items) {
  return table(
    [["When", ""], ["What", ""], ["Detail", ""], ["Amount", "number"]],
    items.map((each) => [moment(each.begins), KINDS[each.kind] ?? each.kind, each.voice || each.note || source(each), amount(each)]),
    "Nothing was spoken or credited yet.",
  );
}

const source = ({ grant }) => SOURCES[grant.split(":")[0]] ?? "";
const amount = ({ kind, ms }) => `${GIVEN.includes(kind) ? "+" : "−"}${time(Math.abs(ms))}`;
