// Making elements, in one way. Text is always text: nothing here reads markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element with properties (`on…` are listeners, `data-…` and `aria-…` attributes) and children. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.includes("-") || name === "for" || name === "role" || name === "colspan") element.setAttribute(name, value);
    else element[name === "class" ? "className" : name] = value;
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** The same for pictures: every property is an attribute. */
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A table; `columns` are `[heading, "number" or ""]`, rows are lists of what stands in the cells. */
export function table(columns, rows, empty) {
  if (!rows.length) return h("p", { class: "empty" }, empty);
  const cell = (tag, content, position) => h(tag, { class: columns[position][1] }, content);
  return h("div", { class: "wide" },
    h("table", {},
      h("thead", {}, h("tr", {}, columns.map(([heading, kind]) => h("th", { class: kind, scope: "col" }, heading)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map((content, position) => cell("td", content, position)))))));
}

/** A labelled input. */
export function field(label, properties, hint = "") {
  return h("label", {}, label, h("input", properties), hint && h("small", {}, hint));
}

/** A form that says what is wrong under its fields and cannot be sent twice at once. */
export function form(fields, button, send) {
  const problem = h("p", { class: "problem", role: "alert" });
  const submit = h("button", { class: "solid" }, button);
  const element = h("form", { novalidate: false, onsubmit: async (event) => {
    event.preventDefault();
    problem.textContent = "";
    submit.disabled = true;
    try {
      await send(Object.fromEntries(new FormData(element)), element);
    } catch (error) {
      problem.textContent = error.message;
    } finally {
      submit.disabled = false;
    }
  } }, fields, problem, submit);
  return element;
}
