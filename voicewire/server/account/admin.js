// For an admin: who there is, what they have and what they used.

import { h, table } from "./dom.js";
import { date, number, time } from "./words.js";
import { usage } from "./usage.js";

export async function admin(api) {
  const [list, search] = [h("div"), h("input", { type: "search", placeholder: "Search by e-mail or name", "aria-label": "Search" })];
  const load = async () => {
    const query = new URLSearchParams({ search: search.value });
    const [users, used] = await Promise.all([api.get(`/admin/users?${query}`), api.get("/admin/usage?by=tenant")]);
    const byTenant = new Map(used.items.map((line) => [line.name, line]));
    list.replaceChildren(rows(users.items, byTenant, api, load));
  };
  search.addEventListener("input", debounced(load));
  await load();
  return [
    h("h1", {}, "Users"),
    h("section", { class: "card" }, h("div", { class: "row" }, h("h2", {}, "Who there is, and what they used in 30 days"), search), list),
    h("div", {}, usage(api, "/admin/usage")),
  ];
}

function rows(users, byTenant, api, load) {
  return table(
    [["E-mail", ""], ["Role", ""], ["Plan", ""], ["Since", ""], ["Requests", "number"], ["Listened", "number"], ["", ""]],
    users.map((user) => {
      const used = byTenant.get(user.tenant);
      return [user.email, user.role, plan(user), date(user.created), number(used?.requests ?? 0), time(used?.audio_ms ?? 0), suspension(user, api, load)];
    }),
    "Nobody fits.",
  );
}

const plan = (user) => (user.suspended ? h("span", { class: "tag off" }, "suspended") : h("span", { class: "tag" }, user.plan));

function suspension(user, api, load) {
  return h("button", { type: "button", class: "quiet", onclick: async () => {
    if (!user.suspended && !confirm(`Suspend ${user.email}? They are out within seconds.`)) return;
    await api.ask("PATCH", `/admin/users/${user.id}`, { suspended: !user.suspended });
    await load();
  } }, user.suspended ? "Let in again" : "Suspend");
}

function debounced(call, wait_ms = 250) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(call, wait_ms);
  };
}
