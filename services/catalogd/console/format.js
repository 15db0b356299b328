// Numbers and times for people, with their units. What is not known is "unknown", never 0.

import { h } from "./dom.js";

export const UNKNOWN = "unknown";

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

const known = (value) => value !== null && value !== undefined && Number.isFinite(value);

/** A count. */
export function count(value) {
  return known(value) ? WHOLE.format(value) : UNKNOWN;
}

/** A count with the noun that it counts. */
export function counted(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** A rate: one decimal below ten. */
export function rate(value) {
  if (!known(value)) return UNKNOWN;
  return value > 0 && value < 10 ? value.toFixed(1) : WHOLE.format(value);
}

/** Bytes, in decimal units. */
export function bytes(value) {
  if (!known(value)) return UNKNOWN;
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let scaled = value;
  let unit = 0;
  while (scaled >= 999.5 && unit < units.length - 1) {
    scaled /= 1000;
    unit += 1;
  }
  const text = unit > 0 && scaled < 10 ? scaled.toFixed(1) : WHOLE.format(scaled);
  return `${text} ${units[unit]}`;
}

/** A length of time, in its two largest units. */
export function duration(seconds) {
  if (!known(seconds)) return UNKNOWN;
  const whole = Math.floor(Math.abs(seconds));
  const pair = (large, largeUnit, small, smallUnit) =>
    small > 0 ? `${large} ${largeUnit} ${small} ${smallUnit}` : `${large} ${largeUnit}`;
  if (seconds !== 0 && Math.abs(seconds) < 1) {
    return `${Math.max(1, Math.round(Math.abs(seconds) * 1000))} ms`;
  }
  if (whole < 60)
    return whole < 10 ? `${Math.abs(seconds).toFixed(1).replace(/\.0$/, "")} s` : `${whole} s`;
  if (whole < 3600) return pair(Math.floor(whole / 60), "min", whole % 60, "s");
  if (whole < 86400)
    return pair(Math.floor(whole / 3600), "h", Math.floor((whole % 3600) / 60), "min");
  return pair(Math.floor(whole / 86400), "d", Math.floor((whole % 86400) / 3600), "h");
}

/** How long ago, or how soon. Whole seconds, so that nothing flickers. */
export function relative(ms, nowMs) {
  const seconds = Math.trunc((nowMs - ms) / 1000);
  if (seconds === 0) return "just now";
  return seconds > 0 ? `${duration(seconds)} ago` : `in ${duration(seconds)}`;
}

/** The exact time, UTC. */
export function exact(ms) {
  return known(ms) ? new Date(ms).toISOString().replace("T", " ").replace("Z", " UTC") : UNKNOWN;
}

/** A time: relative to read, exact on demand. The clock keeps it current. */
export function time(ms, nowMs) {
  if (!known(ms)) return h("span", { class: "unknown" }, UNKNOWN);
  const attributes = { datetime: new Date(ms).toISOString(), title: exact(ms), "data-ms": ms };
  return h("time", attributes, relative(ms, nowMs));
}

/**
 * A lag. `at` is when the server stated it: while a commit waits, the lag grows from there. An idle
 * table's 0 stays what it is until the server says otherwise.
 */
export function lag(row, nowMs) {
  if (!known(row.lag_seconds)) return h("span", { class: "unknown" }, UNKNOWN);
  const grows = known(row.oldest_pending_ms);
  const attributes = {
    class: row.lag_seconds > row.lag_target_seconds ? "lag late" : "lag",
    "data-lag": grows ? row.oldest_pending_ms : null,
    "data-target": row.lag_target_seconds,
    title: `target ${duration(row.lag_target_seconds)}`,
  };
  return h("span", attributes, lagText(grows ? row.oldest_pending_ms : null, nowMs));
}

function lagText(oldestMs, nowMs) {
  return oldestMs === null ? "0 s" : duration(Math.max(0, Math.floor((nowMs - oldestMs) / 1000)));
}

/** Brings relative times and growing lags below `root` up to date. */
export function tick(root, nowMs) {
  for (const element of root.querySelectorAll("[data-ms]")) {
    const text = relative(Number(element.dataset.ms), nowMs);
    if (element.textContent !== text) element.textContent = text;
  }
  for (const element of root.querySelectorAll("[data-lag]")) {
    const oldestMs = Number(element.dataset.lag);
    const text = lagText(oldestMs, nowMs);
    if (element.textContent !== text) element.textContent = text;
    const late = (nowMs - oldestMs) / 1000 > Number(element.dataset.target);
    element.classList.toggle("late", late);
  }
}

/** A hash, short, with a button that copies all of it. */
export function hash(text, name) {
  if (!text) return h("span", { class: "unknown" }, UNKNOWN);
  const copy = async (event) => {
    const button = event.currentTarget;
    button.textContent = (await copied(text)) ? "copied" : "not copied";
    setTimeout(() => {
      button.textContent = "copy";
    }, 2000);
  };
  return h(
    "span",
    { class: "hash" },
    h("code", { title: text }, text.slice(0, 10)),
    h(
      "button",
      {
        type: "button",
        class: "small",
        "aria-label": `copy ${name}`,
        onclick: copy,
        "data-key": `copy ${name}`,
      },
      "copy",
    ),
  );
}

async function copied(text) {
  // The clipboard is there only on https and on loopback; elsewhere a selection is copied.
  if (navigator.clipboard !== undefined) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Refused: the older way may do.
    }
  }
  const area = h("textarea", { class: "heard", "aria-hidden": "true", tabindex: "-1" });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}
