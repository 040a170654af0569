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

/** A table; `columns` are `[heading, "number" or ""]`, rows are lists of what stands in the cells.
 *
 * Its roles are said because a narrow screen shows every row as a card, and then browsers forget what it is.
 */
export function table(columns, rows, empty) {
  if (!rows.length) return h("p", { class: "empty" }, empty);
  const head = columns.map(([heading, kind]) => h("th", { class: kind, scope: "col", role: "columnheader" }, heading));
  const cell = (content, position) => h("td", { class: columns[position][1], role: "cell", "data-label": columns[position][0] || null }, content);
  return h("div", { class: "wide" },
    h("table", { role: "table" },
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)),
      h("tbody", { role: "rowgroup" }, rows.map((row) => h("tr", { role: "row" }, row.map(cell))))));
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
