// The page: who is logged in decides what is shown, what stands behind the `#` decides where.

import { admin } from "./admin.js";
import { Api } from "./api.js";
import { h } from "./dom.js";
import { arrival, entrance } from "./enter.js";
import { keys } from "./keys.js";
import { Login } from "./login.js";
import { overview } from "./overview.js";
import { transactions } from "./transactions.js";
import { usage } from "./usage.js";

const PLACES = [
  ["overview", "Overview", overview],
  ["usage", "Usage", (api) => usage(api)],
  ["keys", "Keys", keys],
  ["transactions", "Transactions", transactions],
];
const ADMIN_PLACES = [["users", "Users", admin]];
const NOTICE_MS = 6_000;

const view = document.getElementById("view");
const nav = document.getElementById("places");
const leave = document.getElementById("leave");
const notice = document.getElementById("notice");

const login = new Login();
const api = new Api(login, () => comeIn());
let me = null;
let invited = ""; // the token of an invitation that waits until somebody is logged in
let places = PLACES;

function show(...content) {
  view.replaceChildren(...content.flat().filter(Boolean));
  view.querySelector(".door input")?.focus(); // elsewhere it would open a phone's keyboard
}

function complain(text) {
  notice.textContent = text;
  notice.className = "problem";
  notice.hidden = false;
  setTimeout(() => (notice.hidden = true), NOTICE_MS);
}

async function comeIn() {
  login.end();
  me = null;
  nav.hidden = leave.hidden = true;
  show(await entrance(api, show, enter));
}

async function enter(answer) {
  login.take(answer);
  history.replaceState(null, "", location.pathname);
  await start();
}

async function join() {
  if (invited && confirm("Join the tenant that you were invited to?")) {
    await api.ask("POST", "/v1/me/members/accept", { token: invited }).catch((error) => {
      if (error.status === 401) throw error; // who logs in now is asked again
      complain(error.message);
    });
  }
  invited = "";
}

async function start() {
  await join();
  me = await api.get("/v1/me");
  places = me.admin ? [...PLACES, ...ADMIN_PLACES] : PLACES;
  nav.hidden = leave.hidden = false;
  await go();
}

async function go() {
  const [id, title, make] = places.find(([name]) => name === location.hash.slice(1)) ?? places[0];
  nav.replaceChildren(...places.map(([name, text]) => h("a", { href: `#${name}`, "aria-current": name === id ? "page" : null }, text)));
  document.title = `${title} – voicewire`;
  show(h("div", { class: "skeleton" }));
  show(await make(api, me));
}

leave.addEventListener("click", async () => {
  await api.ask("POST", "/v1/auth/logout").catch(() => {}); // it is forgotten here in any case
  await comeIn();
});
addEventListener("hashchange", () => follow().catch((error) => complain(error.message)));
addEventListener("unhandledrejection", ({ reason }) => complain(reason?.message ?? String(reason)));

/** Take what a mail, or an issuer, has put behind the `#`; return whether it is shown now. */
async function arrive() {
  const fragment = location.hash;
  invited = /^#join=(.+)$/.exec(fragment)?.[1] ?? invited;
  const arrived = await arrival(api, fragment, enter);
  if (arrived instanceof Node) show(arrived);
  if (arrived || fragment.startsWith("#join=")) history.replaceState(null, "", location.pathname); // it is nobody's business
  return Boolean(arrived);
}

/** Go where the `#` says, also when a mailed link was put into the address of a page that is open. */
async function follow() {
  if ((await arrive()) || !me) return;
  await (invited ? start() : go());
}

if (!(await arrive())) {
  await (login.refresh ? start() : comeIn()).catch((error) => (error.status === 401 ? null : complain(error.message)));
}
