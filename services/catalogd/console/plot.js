// The lag of a table over time, drawn from the receipts of its versions.
//
// A commit waits from when it was committed until it is published. The lag at a moment is the age
// of the oldest commit that waits then. Receipts hold both times, so the past can be drawn exactly
// as far as they reach; where the lag was seen to be unknown, there is no line.

import { h, svg } from "./dom.js";
import { duration, exact } from "./format.js";

const HEIGHT = 220;
const LEFT = 62;
const RIGHT = 14;
const TOP = 10;
const BOTTOM = 24;
const TICKS_S = [
  1,
  10,
  60,
  600,
  3600,
  6 * 3600,
  86400,
  7 * 86400,
  30 * 86400,
  365 * 86400,
  3650 * 86400,
];
const STEPS_MS = [1, 2, 5, 10, 15, 30, 60, 180, 360, 720, 1440, 2880, 10080].map(
  (min) => min * 60_000,
);
const POINTS = 240;

/** The waits of one site: `[from, to]`, ms; a commit that waits still ends at `now`. */
export function waits(versions, site, nowMs) {
  const past = versions
    .filter((version) => version.committed_ms !== null)
    .map((version) => [version.committed_ms, version.published_ms]);
  if (site.oldest_pending_ms !== null) past.push([site.oldest_pending_ms, nowMs]);
  return past;
}

/** The lag at a moment, in seconds: 0 where nothing waited. */
export function lagAt(waiting, ms) {
  let oldest = ms;
  for (const [from, to] of waiting) {
    if (from < oldest && ms <= to) oldest = from;
  }
  return (ms - oldest) / 1000;
}

/** The moments that a line needs: an even grid, and both sides of each publication. */
function moments(waiting, fromMs, toMs) {
  const step = (toMs - fromMs) / POINTS;
  const grid = Array.from({ length: POINTS + 1 }, (_, place) => fromMs + place * step);
  const edges = waiting.flatMap(([from, to]) => [from, from + 1000, to, to + 1]);
  return [...grid, ...edges.filter((ms) => ms >= fromMs && ms <= toMs)].sort((a, b) => a - b);
}

const marks = [
  (x, y) => svg("circle", { cx: x, cy: y, r: 3.5 }),
  (x, y) => svg("rect", { x: x - 3.2, y: y - 3.2, width: 6.4, height: 6.4 }),
  (x, y) => svg("path", { d: `M${x} ${y - 4.2}l4.2 7.4h-8.4z` }),
  (x, y) => svg("path", { d: `M${x} ${y - 4.6}l4.6 4.6-4.6 4.6-4.6-4.6z` }),
];

/**
 * Draws the plot. `series`: `{ site, versions, gaps, known }` per site, where `known` is the last
 * moment at which the lag was known and `gaps` are `[from, to]` in which it was not.
 */
export function plot({ series, targetSeconds, windowMs, nowMs, width, label }) {
  const fromMs = nowMs - windowMs;
  const drawn = series.map((one) => trace(one, fromMs, nowMs));
  const peak = Math.max(
    targetSeconds * 1.5,
    10,
    ...drawn.flatMap(({ points, dots }) => [
      ...points.map(([, lag]) => lag ?? 0),
      ...dots.map(({ latency }) => latency),
    ]),
  );
  const top = Math.log10(peak);
  const x = (ms) => LEFT + ((ms - fromMs) / windowMs) * (width - LEFT - RIGHT);
  // Below one second all is the same to a reader: the scale begins there.
  const y = (seconds) =>
    HEIGHT - BOTTOM - (Math.log10(Math.max(1, seconds)) / top) * (HEIGHT - TOP - BOTTOM);
  const parts = [
    ...levels(peak, targetSeconds, y, width),
    ...hours(fromMs, nowMs, x, width),
    ...target(targetSeconds, y, width),
  ];
  drawn.forEach(({ points, dots }, place) => {
    parts.push(svg("path", { class: `line series${place % 4}`, d: path(points, x, y) }));
    for (const { ms, latency, version, site } of dots) {
      const dot = marks[place % 4](x(ms), y(latency));
      dot.setAttribute("class", `dot series${place % 4}`);
      dot.append(
        svg(
          "title",
          {},
          `${site}: ${version.position} published ${exact(ms)}, ${duration(latency)} after its commit`,
        ),
      );
      parts.push(dot);
    }
  });
  return svg(
    "svg",
    {
      class: "plot",
      viewBox: `0 0 ${width} ${HEIGHT}`,
      height: HEIGHT,
      role: "img",
      "aria-label": label,
    },
    parts,
  );
}

function trace({ site, versions, waiting, gaps, knownMs, sinceMs }, fromMs, nowMs) {
  const start = Math.max(fromMs, sinceMs ?? nowMs);
  const end = Math.min(nowMs, knownMs ?? start);
  const gone = (ms) => gaps.some(([from, to]) => ms > from && ms < to);
  const points =
    start >= end
      ? []
      : moments(waiting, start, end).map((ms) => [ms, gone(ms) ? null : lagAt(waiting, ms)]);
  const dots = versions
    .filter((version) => version.committed_ms !== null && version.published_ms >= fromMs)
    .map((version) => ({
      site,
      version,
      ms: version.published_ms,
      latency: Math.max(0, (version.published_ms - version.committed_ms) / 1000),
    }));
  return { points, dots };
}

function path(points, x, y) {
  let pen = "M";
  let d = "";
  for (const [ms, lag] of points) {
    if (lag === null) {
      pen = "M";
      continue;
    }
    d += `${pen}${x(ms).toFixed(1)} ${y(lag).toFixed(1)}`;
    pen = "L";
  }
  return d;
}

function levels(peak, targetSeconds, y, width) {
  const shown = TICKS_S.filter((seconds) => seconds <= peak);
  const lines = [];
  let last = Infinity;
  for (const seconds of shown) {
    lines.push(
      svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(seconds), y2: y(seconds) }),
    );
    if (last - y(seconds) < 15) continue;
    last = y(seconds);
    const text = seconds === 1 ? "≤ 1 s" : duration(seconds);
    lines.push(svg("text", { x: LEFT - 8, y: y(seconds) + 4, "text-anchor": "end" }, text));
  }
  return lines;
}

function target(seconds, y, width) {
  const at = y(seconds);
  return [
    svg("line", { class: "target", x1: LEFT, x2: width - RIGHT, y1: at, y2: at }),
    svg("text", { class: "target-word", x: LEFT + 6, y: at - 5 }, `target ${duration(seconds)}`),
  ];
}

function hours(fromMs, nowMs, x, width) {
  const most = Math.max(2, Math.floor((width - LEFT) / 64));
  const step = STEPS_MS.find((ms) => (nowMs - fromMs) / ms <= most) ?? STEPS_MS.at(-1);
  const first = Math.ceil(fromMs / step) * step;
  const marks = [];
  for (let ms = first; ms <= nowMs; ms += step) {
    const date = new Date(ms);
    const text =
      step >= 86_400_000 ? date.toISOString().slice(5, 10) : date.toISOString().slice(11, 16);
    if (x(ms) < LEFT + 16 || x(ms) > width - RIGHT - 14) continue;
    marks.push(svg("text", { x: x(ms), y: HEIGHT - 6, "text-anchor": "middle" }, text));
  }
  return marks;
}

/** Which line and mark is which site's. */
export function legend(sites) {
  return h(
    "ul",
    { class: "legend" },
    sites.map((site, place) => {
      const mark = marks[place % 4](15, 6);
      mark.setAttribute("class", `dot series${place % 4}`);
      return h(
        "li",
        {},
        svg(
          "svg",
          { viewBox: "0 0 30 12", "aria-hidden": "true" },
          svg("path", { class: `series${place % 4}`, d: "M0 6h30" }),
          mark,
        ),
        site,
      );
    }),
    h("li", {}, "line: age of the oldest commit that waits"),
    h("li", {}, "mark: a published version, at its latency"),
    h("li", {}, "times in UTC"),
  );
}

/** Bars of a small chart: one value each, the newest last. */
export function bars(values, label) {
  const [width, height] = [268, 44];
  const peak = Math.max(1, ...values);
  const each = width / values.length;
  return svg(
    "svg",
    { class: "bars", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    svg("line", { x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5 }),
    values.map((value, place) => {
      const tall = value === 0 ? 0 : Math.max(2, (value / peak) * (height - 2));
      return svg("rect", {
        x: (place * each).toFixed(2),
        width: Math.max(1, each - 2).toFixed(2),
        y: (height - tall).toFixed(2),
        height: tall.toFixed(2),
      });
    }),
  );
}
