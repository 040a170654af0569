// For an admin: who there is, what they have and what they used.

import { h, table } from "./dom.js";
import { date, time } from "./words.js";
import { usage } from "./usage.js";

export async function admin(api) {
  const [list, search] = [h("div"), h("input", { type: "search", placeholder: "Search by e-mail or name", "aria-label": "Search" })];
  const load = async () => list.replaceChildren(rows((await api.get(`/admin/users?${new URLSearchParams({ search: search.value })}`)).items, api, load));
  search.addEventListener("input", debounced(load));
  await load();
  return [
    h("h1", {}, "Users"),
    h("section", { class: "card" }, h("div", { class: "row" }, h("h2", {}, "Who there is, and what they used in 30 days"), search), list),
    h("div", {}, usage(api, "/admin/usage")),
  ];
}

function rows(users, api, load) {
  return table(
    [["E-mail", ""], ["Role", ""], ["Plan", ""], ["Since", ""], ["Listened", "number"], ["", ""]],
    users.map((user) => [user.email, user.role, plan(user), date(user.created), time(listened(user)), suspension(user, api, load)]),
    "Nobody fits.",
  );
}

const listened = ({ tenants }) => tenants.reduce((sum, { audio_ms }) => sum + audio_ms, 0);

function plan({ suspended, tenants }) {
  if (suspended) return h("span", { class: "tag off" }, "suspended");
  return tenants.map((tenant) => h("span", { class: "tag" }, tenant.plan ?? "none"));
}

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
