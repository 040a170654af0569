// Coming in: log in, sign up, a forgotten password, and the links that are mailed.

import { field, form, h } from "./dom.js";

const PASSWORD = { name: "password", type: "password", required: true, maxLength: 256 };
const EMAIL = { name: "email", type: "email", required: true, autocomplete: "username", maxLength: 254 };
const NEW_PASSWORD = { ...PASSWORD, minLength: 10, autocomplete: "new-password" };

const OUTSIDE = {
  unauthorized: "Logging in there did not work. Try again, or use a password.",
  issuer_failed: "That service cannot be reached now. Try again later, or use a password.",
};
const ARRIVING = {
  unauthorized: "This login was not finished in time. Begin it again.",
  forbidden: "You have no account here, and none can be made for an address that was not checked there.",
};

const link = (text, onclick) => h("button", { type: "button", class: "link", onclick }, text);

function door(title, lead, ...rest) {
  return h("section", { class: "card door" }, h("h1", {}, title), lead && h("p", { class: "soft" }, lead), rest);
}

/** The first page for who is not logged in. `enter(login)` is called with the answer of a login. */
export async function entrance(api, show, enter) {
  const issuers = await api.open("GET", "/v1/auth/oidc").catch(() => []);
  const views = {
    login: () => door("Log in", "", loginForm(api, enter), outside(issuers), h("p", { class: "foot" },
      link("Make an account", () => show(views.register())), link("Forgot the password?", () => show(views.forgot())))),
    register: () => door("Make an account", "Listening is free for the first minutes of every month.",
      registerForm(api, (email) => show(sent(email, "finishes your account"))), outside(issuers),
      h("p", { class: "foot" }, link("Log in instead", () => show(views.login())))),
    forgot: () => door("A new password", "A link to set one will be mailed to you.",
      form([field("E-mail", EMAIL)], "Mail me the link", async ({ email }) => {
        await api.open("POST", "/v1/auth/password/forgot", { email });
        show(sent(email, "sets a new password"));
      }), h("p", { class: "foot" }, link("Back", () => show(views.login())))),
  };
  return views.login();
}

function loginForm(api, enter) {
  return form(
    [field("E-mail", EMAIL), field("Password", { ...PASSWORD, autocomplete: "current-password" })],
    "Log in",
    async ({ email, password }) => enter(await api.open("POST", "/v1/auth/login", { email, password })),
  );
}

function registerForm(api, done) {
  return form(
    [
      field("Name", { name: "name", autocomplete: "name", maxLength: 100 }),
      field("E-mail", EMAIL),
      field("Password", NEW_PASSWORD, "Ten characters or more. A few words are better than a riddle."),
    ],
    "Make the account",
    async ({ name, email, password }) => {
      await api.open("POST", "/v1/auth/register", { name, email, password });
      done(email);
    },
  );
}

function sent(email, purpose) {
  return door("Look into your mail", "", h("p", {}, "A message is on its way to ", h("b", {}, email), `. The link in it ${purpose}.`));
}

function outside(issuers) {
  if (!issuers.length) return null;
  const href = (issuer) => `/v1/auth/oidc/login?issuer=${encodeURIComponent(issuer)}`;
  return h("div", { class: "issuers" }, issuers.map(({ issuer, name }) => h("a", { href: href(issuer) }, `Go on with ${name}`)));
}

/** What a mailed link, or an issuer, has put behind the `#`; null when it is nothing of that. */
export async function arrival(api, fragment, enter) {
  const [, purpose, token] = /^#(verify|password|oidc|oidc_error)=(.+)$/.exec(fragment) ?? [];
  if (!purpose) return null;
  if (purpose === "verify") return confirmation(api, token, enter);
  if (purpose === "password") return reset(api, token);
  if (purpose === "oidc_error") return failed(OUTSIDE[token] ?? OUTSIDE.unauthorized);
  try {
    await enter(await api.open("POST", "/v1/auth/oidc/exchange", { code: token }));
    return true;
  } catch (error) {
    return failed(ARRIVING[error.code] ?? error.message);
  }
}

function failed(text) {
  return door("That did not work", text, h("p", { class: "foot" }, h("a", { href: "/account/" }, "To the beginning")));
}

/** Ask with what was mailed; where that is no longer good, this is said instead of `page`. */
async function spend(api, page, path, body) {
  try {
    return await api.open("POST", path, body);
  } catch (error) {
    if (error.code === "link_gone") page.replaceWith(failed(error.message));
    throw error.status === 401 ? new Error("This is not the password that was chosen then.") : error;
  }
}

function confirmation(api, token, enter) {
  const lead = "Give the password that was chosen for this account. If you asked for none, close this page: none is made.";
  const page = door("Confirm your address", lead, form(
    [field("Password", { ...PASSWORD, autocomplete: "current-password" })],
    "Confirm",
    async ({ password }) => enter(await spend(api, page, "/v1/auth/verify", { token, password })),
  ));
  return page;
}

function reset(api, token) {
  const page = door("Set a new password", "", form([field("New password", NEW_PASSWORD)], "Set it", async ({ password }) => {
    await spend(api, page, "/v1/auth/password/reset", { token, password });
    page.replaceWith(door("Done", "Your new password is set.", h("p", { class: "foot" }, h("a", { href: "/account/" }, "Log in"))));
  }));
  return page;
}
