// Bars for days, drawn as SVG at the width that there is: what is written in it keeps its size.

import { h, s } from "./dom.js";
import { time } from "./words.js";

const [HEIGHT, LEFT, BOTTOM, LABEL, NARROWEST] = [220, 44, 22, 72, 240];
const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 36000, 86400];

/** A bar chart of `[{day, audio_ms, cached_ms}]`, oldest first. */
export function chart(days) {
  const place = h("div", { class: "chart" });
  let drawn = 0;
  new ResizeObserver(([{ contentRect }]) => {
    const width = Math.max(NARROWEST, Math.floor(contentRect.width));
    if (width !== drawn) place.replaceChildren(draw(days, width));
    drawn = width;
  }).observe(place);
  return place;
}

function draw(days, width) {
  const most = Math.max(1000, ...days.map((day) => day.audio_ms));
  const step = (STEPS_S.find((each) => each * 1000 * 4 >= most) ?? 86400 * Math.ceil(most / 4 / 86400_000)) * 1000;
  const top = Math.ceil(most / step) * step;
  const y = (ms) => 8 + (HEIGHT - BOTTOM - 8) * (1 - ms / top);
  const slot = (width - LEFT) / days.length;
  const picture = s("svg", { width, height: HEIGHT, role: "img", "aria-label": summary(days) });
  for (let ms = 0; ms <= top; ms += step) {
    picture.append(
      s("line", { x1: LEFT, x2: width, y1: y(ms), y2: y(ms) }),
      s("text", { x: LEFT - 8, y: y(ms) + 4, "text-anchor": "end" }, axis(ms)),
    );
  }
  days.forEach((day, index) => picture.append(bar(day, LEFT + index * slot, slot, y)));
  const every = Math.ceil(LABEL / slot);
  days.forEach(({ day }, index) => {
    if (index % every) return;
    picture.append(s("text", { x: LEFT + (index + 0.5) * slot, y: HEIGHT - 4, "text-anchor": "middle" }, short(day)));
  });
  return picture;
}

function bar({ day, audio_ms, cached_ms }, left, slot, y) {
  const group = s("g", {}, s("title", {}, `${long(day)}: ${time(audio_ms)}`));
  const place = { x: left + slot * 0.15, width: slot * 0.7, rx: Math.min(3, slot * 0.2) };
  if (audio_ms) group.append(s("rect", { ...place, y: y(audio_ms), height: y(0) - y(audio_ms) }));
  if (cached_ms) group.append(s("rect", { ...place, class: "cached", y: y(cached_ms), height: y(0) - y(cached_ms) }));
  return group;
}

function axis(ms) {
  const seconds = ms / 1000;
  if (seconds >= 3600) return `${+(seconds / 3600).toFixed(1)} h`;
  return seconds >= 60 ? `${+(seconds / 60).toFixed(1)} min` : `${seconds} s`;
}

const utc = (day) => new Date(`${day}T00:00:00Z`);
const short = (day) => utc(day).toLocaleDateString(undefined, { day: "numeric", month: "short", timeZone: "UTC" });
const long = (day) => utc(day).toLocaleDateString(undefined, { dateStyle: "medium", timeZone: "UTC" });

function summary(days) {
  const total = days.reduce((sum, day) => sum + day.audio_ms, 0);
  return `Speech by day, ${time(total)} in ${days.length} days`;
}
