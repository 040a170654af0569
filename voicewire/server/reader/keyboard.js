// Keys that work wherever no text is being typed.

const TYPING = "input:not([type=range]), textarea, select, dialog, [contenteditable]";
const PRESSED_BY_SPACE = "button, a, input, summary";

/** `on`: play, back, next, faster, slower, stop, playTyped. */
export function openKeyboard(on) {
  const keys = { ArrowLeft: on.back, ArrowRight: on.next, "+": on.faster, "=": on.faster, "-": on.slower, "−": on.slower };
  addEventListener("keydown", (event) => {
    const run = find(event, keys, on);
    if (!run) return;
    event.preventDefault();
    run();
  });
}

function find({ key, target, ctrlKey, metaKey, altKey }, keys, on) {
  const typing = target.closest?.(TYPING);
  if (key === "Enter" && (ctrlKey || metaKey) && target.id === "editor") return on.playTyped;
  if (ctrlKey || metaKey || altKey || target.closest?.("dialog")) return null;
  if (key === "Escape") return on.stop;
  if (typing) return null;
  if (key === " ") return target.closest?.(PRESSED_BY_SPACE) ? null : on.play;
  return target.matches?.("input[type=range]") ? null : keys[key];
}
