// The ways in which a text comes to the page, other than typing: a file, a drop, a paste while reading, a sample.

import { readText } from "./files.js";
import { SAMPLES } from "./samples.js";

const TYPED_CHARS_MAX = 200_000; // a longer text is shown for reading, which lays out only what is seen
const TYPED_INTO = "input, textarea, dialog";

/** `on`: text(text), sample(text, language), failed(code). */
export function openIntake(on) {
  const load = (file) => file && readText(file).then(on.text, ({ message }) => on.failed(message));
  openPicker(load);
  openDrop(load);
  addEventListener("paste", (event) => {
    const text = event.clipboardData.getData("text/plain");
    if (!text || !replaces(event.target, text)) return;
    event.preventDefault();
    on.text(text);
  });
  for (const button of document.querySelectorAll("[data-sample]"))
    button.addEventListener("click", () => on.sample(SAMPLES[button.dataset.sample], button.lang));
}

/** Whether a paste is a new text to read, rather than part of what is being typed. */
function replaces(target, text) {
  if (target.id === "editor") return !target.value && text.length > TYPED_CHARS_MAX;
  return !target.closest?.(TYPED_INTO);
}

function openPicker(load) {
  const input = document.getElementById("file");
  document.getElementById("open").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    load(input.files[0]);
    input.value = "";
  });
}

function openDrop(load) {
  const show = (event, over) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    document.body.toggleAttribute("data-dropping", over);
  };
  addEventListener("dragover", (event) => show(event, true));
  addEventListener("dragleave", (event) => event.relatedTarget || show(event, false));
  addEventListener("drop", (event) => {
    show(event, false);
    load(event.dataTransfer?.files[0]);
  });
}
