// Alerts: what calls a person now.

import { ApiError, all, get, now, part } from "./api.js";
import { h, note, swap, table } from "./dom.js";
import { counted, time } from "./format.js";
import { readLag } from "./lag.js";
import { NEEDS_PERSON, shape } from "./status.js";

/** `page` calls a person at once, `ticket` during the day, `info` nobody. */
const SEVERITY = { page: ["blocked", "bad"], ticket: ["lagging", "late"], info: ["held", "wait"] };

export function alerts() {
  const content = h("div", {}, note("Reading…"));
  const element = h(
    "div",
    { class: "page" },
    h("h1", { tabindex: "-1" }, "Alerts"),
    h("section", { class: "panel", "aria-label": "Alerts" }, content),
  );
  let read = false;
  return {
    title: "Alerts",
    element,
    async refresh() {
      let found;
      try {
        const { endpoints } = await get("config");
        if (!endpoints.includes("GET /v1/alerts")) {
          read = true;
          swap(
            content,
            note(
              "No alert service: this server does not evaluate alerts. The overview shows which tables wait for a person.",
            ),
          );
          return;
        }
        found = (await all("alerts", "alerts", {}, 10)).items;
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 403) throw error;
        read = true;
        swap(content, note(`Not shown: ${error.message}`));
        return;
      }
      read = true;
      if (found.length === 0) {
        // No alert is no proof that all is well: it may be that no process evaluates them.
        const { rows } = await readLag();
        const calling = new Set(
          rows.filter(({ status }) => NEEDS_PERSON.includes(status)).map((row) => row.table),
        ).size;
        swap(
          content,
          h("p", {}, "No alert is recorded."),
          calling === 0
            ? null
            : note(
                h(
                  "a",
                  { href: "#/", "data-key": "calling" },
                  `${counted(calling, "table")} ${calling === 1 ? "waits" : "wait"} for a person`,
                ),
                " all the same. An alert begins a while after its cause, and only where a process evaluates alerts.",
              ),
        );
        return;
      }
      swap(
        content,
        table(
          "Alerts",
          [["Severity"], ["Alert"], ["About"], ["Since"], ["What it says"]],
          h("tbody", {}, found.map(row)),
        ),
      );
    },
    failed(error) {
      if (!read) swap(content, note(`Not read: ${error.message}`));
    },
  };
}

function row(alert) {
  const { name, severity, labels, annotations, starts_ms: startsMs } = alert;
  const [sign, tone] = SEVERITY[severity] ?? ["unknown", "dim"];
  const { table: about, site } = labels;
  const others = Object.entries(labels)
    .filter(([key]) => !["alertname", "severity", "table", "site"].includes(key))
    .map(([key, value]) => `${key} ${value}`);
  return h(
    "tr",
    { "data-alert": name },
    h("td", {}, h("span", { class: `state ${tone}` }, shape(sign), severity)),
    h("th", { scope: "row" }, name),
    h(
      "td",
      {},
      about
        ? h(
            "a",
            { class: "name", href: `#/tables/${part(about)}`, "data-key": alert.fingerprint },
            about,
          )
        : null,
      site ? ` at ${site}` : null,
      others.length > 0 ? h("div", { class: "soft" }, others.join(", ")) : null,
    ),
    h("td", { class: "tight" }, time(startsMs, now())),
    h(
      "td",
      { class: "words" },
      h("p", {}, annotations.summary ?? ""),
      annotations.action ? h("p", { class: "soft" }, `To do: ${annotations.action}`) : null,
    ),
  );
}
