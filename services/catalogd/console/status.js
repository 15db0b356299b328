// The states of a table at a site: a word, a shape and a colour each, worst first.

import { h, svg } from "./dom.js";

const CIRCLE = "M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 1 0 0-13z";
const OCTAGON = "M5.3 1.5h5.4l3.8 3.8v5.4l-3.8 3.8H5.3l-3.8-3.8V5.3z";

/** By the API's name: word, tone, shape (paths that are stroked), what it means. */
export const STATES = {
  diverged: [
    "diverged",
    "bad",
    ["M3 2v4l5 4v4M13 2v4L8 10"],
    "the site holds something else than was published",
  ],
  rewound: [
    "rewound",
    "bad",
    ["M8 3.5 3 8l5 4.5zM14 3.5 9 8l5 4.5z"],
    "the source's history changed",
  ],
  blocked: ["blocked", "bad", [OCTAGON, "M4.8 8h6.4"], "waits for a person"],
  stalled: [
    "stalled",
    "bad",
    ["M2.5 2.5h11v11h-11z", "M5.5 5.5l5 5M10.5 5.5l-5 5"],
    "there is work, and nothing moves",
  ],
  stopped: ["stopped", "bad", ["M2.5 2.5h11v11h-11z"], "no process works on it"],
  unknown: [
    "unknown",
    "dim",
    [CIRCLE, "M6 6.3a2 2 0 1 1 2.6 1.9c-.4.2-.6.5-.6.9v.3M8 11.6v.2"],
    "the source was not looked at lately",
  ],
  lagging: [
    "lagging",
    "late",
    ["M8 2 14.5 13.5h-13z", "M8 6.5v3.2M8 11.6v.2"],
    "behind by more than the target",
  ],
  held: ["held", "wait", [CIRCLE, "M8 4.5V8l2.5 1.8"], "waits for the source to go on"],
  paused: ["paused", "wait", ["M5 3v10M11 3v10"], "a person has paused it"],
  catching_up: [
    "catching up",
    "move",
    ["M3.5 8 8 3.5 12.5 8M3.5 13 8 8.5l4.5 4.5"],
    "behind, and moving",
  ],
  ok: ["ok", "good", ["M2.5 8.5 6.5 12.5 13.5 4"], "caught up"],
};

const ORDER = Object.keys(STATES);

/** Those that do not end by themselves. */
export const NEEDS_PERSON = ["diverged", "rewound", "blocked", "stalled", "stopped"];

/** Less is worse. */
export function rank(status) {
  const place = ORDER.indexOf(status);
  return place === -1 ? 0 : place;
}

/** The word for a status. */
export function word(status) {
  return STATES[status]?.[0] ?? String(status);
}

/** The shape of a status. */
export function shape(status) {
  const paths = (STATES[status] ?? STATES.unknown)[2];
  return svg(
    "svg",
    { class: "shape", viewBox: "0 0 16 16", "aria-hidden": "true" },
    paths.map((d) => svg("path", { d })),
  );
}

/** The status as a word beside its shape. */
export function badge(status) {
  const [text, tone, , meaning] = STATES[status] ?? [String(status), "dim", [], ""];
  return h("span", { class: `state ${tone}`, title: meaning || null }, shape(status), text);
}

/** The tone of a status: which colour stands beside its word. */
export function tone(status) {
  return STATES[status]?.[1] ?? "dim";
}
