// What is known of one table, drawn: why it is not in step, its sites, its events, its policy.

import { now } from "./api.js";
import { h, note, table as grid } from "./dom.js";
import { bytes, count, duration, lag, time } from "./format.js";
import { pending } from "./lag.js";
import { summary } from "./receipt.js";
import { badge, rank, tone, word } from "./status.js";

/** Sites with one reason and one state share a note. */
export function reasons(state) {
  const notes = new Map();
  for (const site of state.sites) {
    if (site.reason === null) continue;
    const key = JSON.stringify([site.status, site.reason]);
    if (!notes.has(key)) notes.set(key, { ...site, names: [] });
    notes.get(key).names.push(site.site);
  }
  const sorted = [...notes.values()].sort((a, b) => rank(a.status) - rank(b.status));
  return sorted.map(({ status, reason, names, since_ms }) =>
    h(
      "section",
      {
        class: `reason ${tone(status)}`,
        "data-code": reason.code,
        "aria-label": `Why it is ${word(status)}`,
      },
      h(
        "h2",
        {},
        badge(status),
        `at ${names.join(", ")}`,
        h("span", { class: "soft" }, "since ", time(since_ms, now())),
      ),
      h(
        "dl",
        {},
        h("dt", {}, "What to do"),
        h("dd", { class: "do" }, reason.action),
        h("dt", {}, "What was found"),
        h("dd", {}, reason.message ?? "no more is known"),
        reason.position === null
          ? null
          : [h("dt", {}, "First position"), h("dd", {}, reason.position)],
        h("dt", {}, "Reason"),
        h("dd", {}, h("code", {}, reason.code)),
      ),
    ),
  );
}

/** The source's head, and the table at each site. */
export function atSites(state, common) {
  const first = state.sites[0];
  const known = (first?.source_head ?? null) !== null;
  const body = h(
    "tbody",
    {},
    state.sites.map((site) =>
      h(
        "tr",
        { "data-site": site.site, "data-status": site.status },
        h("th", { scope: "row" }, site.site),
        h("td", {}, badge(site.status)),
        h("td", { class: "number site-head" }, String(site.head ?? "none")),
        h(
          "td",
          { class: "number" },
          lag({ ...site, lag_target_seconds: state.lag_target_seconds }, now()),
        ),
        h("td", { class: "number" }, count(pending(site, site.pending_versions))),
        h("td", { class: "number" }, bytes(pending(site, site.pending_bytes))),
        h(
          "td",
          { class: "tight" },
          site.head === null ? "not yet" : time(site.published_ms, now()),
        ),
        h("td", { class: "tight" }, time(site.checked_ms, now())),
        h(
          "td",
          { class: "number" },
          site.headroom_seconds === null
            ? h("span", { class: "unknown" }, "unknown")
            : duration(site.headroom_seconds),
        ),
        h(
          "td",
          {},
          h("code", {}, site.location),
          site.serving
            ? h(
                "div",
                { class: "soft" },
                "Until this is whole, readers are shown ",
                h("code", {}, site.serving.location),
              )
            : null,
        ),
      ),
    ),
  );
  return [
    h(
      "p",
      { class: "soft" },
      "Source head ",
      h("strong", { class: "source-head" }, String(first?.source_head ?? "unknown")),
      known ? [", committed ", time(first.source_head_ms, now())] : null,
      state.sites.length > 1
        ? [". Newest at all sites: ", h("strong", {}, String(common?.position ?? "none"))]
        : null,
    ),
    grid(
      "The table at each site",
      [
        ["Site"],
        ["State"],
        ["Head", "number"],
        ["Lag", "number"],
        ["Waiting commits", "number"],
        ["Waiting bytes", "number"],
        ["Published"],
        ["Source looked at"],
        ["Headroom", "number"],
        ["Location"],
      ],
      body,
    ),
  ];
}

/** What happened, the newest first. */
export function happenings(events) {
  if (events.length === 0) {
    return note("None are kept.");
  }
  return h(
    "ul",
    { class: "events" },
    events.map((event) =>
      h(
        "li",
        { "data-seq": event.seq },
        h("p", {}, time(event.at_ms, now())),
        h(
          "p",
          {},
          h("strong", {}, event.kind),
          event.site ? ` at ${event.site}` : "",
          summary(event),
        ),
      ),
    ),
  );
}

/** How the table is to be kept in step. */
export function policyOf(state) {
  const entries = Object.entries(state.policy).filter(
    ([, value]) => value !== null && !(Array.isArray(value) && value.length === 0),
  );
  return h(
    "dl",
    { class: "facts" },
    h("dt", {}, "lag target"),
    h("dd", {}, duration(state.lag_target_seconds)),
    h("dt", {}, "registered"),
    h("dd", {}, time(state.created_ms, now())),
    state.rule ? [h("dt", {}, "by rule"), h("dd", {}, state.rule)] : null,
    entries
      .filter(([key]) => key !== "lag_target_seconds")
      .map(([key, value]) => [
        h("dt", {}, key.replaceAll("_", " ")),
        h("dd", {}, Array.isArray(value) ? value.join(", ") : String(value)),
      ]),
  );
}
