// Sites: where tables are published, and how they are there.

import { all, now } from "./api.js";
import { h, note, swap, table } from "./dom.js";
import { count, lag, time } from "./format.js";
import { byState, readLag, worstFirst } from "./lag.js";
import { badge } from "./status.js";

export function sites(context) {
  const content = h("div", {}, note("Reading…"));
  const element = h(
    "div",
    { class: "page" },
    h("h1", { tabindex: "-1" }, "Sites"),
    h("section", { class: "panel", "aria-label": "Sites" }, content),
  );
  let read = false;
  return {
    title: "Sites",
    element,
    async refresh() {
      const [found, { rows, whole }] = await Promise.all([
        all("sites", "sites", {}, 10),
        readLag(),
      ]);
      read = true;
      if (found.items.length === 0) {
        swap(
          content,
          note(
            "There is no site. ",
            h("code", {}, 'driftless put site NAME \'{"url":"…"}\''),
            " makes one.",
          ),
        );
        return;
      }
      const body = h(
        "tbody",
        {},
        found.items.map((site) => {
          const here = rows.filter((row) => row.site === site.name).sort(worstFirst);
          const worst = here[0];
          return h(
            "tr",
            { "data-site": site.name },
            h("th", { scope: "row" }, site.name),
            h("td", {}, site.region ?? h("span", { class: "soft" }, "not stated")),
            h("td", { class: "number" }, count(here.length)),
            h(
              "td",
              {},
              h(
                "ul",
                {},
                byState(here).map(([status, figure]) =>
                  h(
                    "li",
                    {},
                    h(
                      "a",
                      {
                        href: `#/?${new URLSearchParams({ state: status, q: site.name })}`,
                        "data-key": `${site.name} ${status}`,
                        "aria-label": `${count(figure)} ${status} at ${site.name}`,
                      },
                      count(figure),
                    ),
                    " ",
                    badge(status),
                  ),
                ),
              ),
            ),
            h(
              "td",
              {},
              worst
                ? [
                    lag(worst, now()),
                    " ",
                    h(
                      "a",
                      {
                        class: "name",
                        href: `#/tables/${encodeURIComponent(worst.table)}`,
                        "data-key": `${site.name} worst`,
                      },
                      worst.table,
                    ),
                  ]
                : h("span", { class: "soft" }, "no tables"),
            ),
            h("td", { class: "tight" }, time(site.created_ms, now())),
            h(
              "td",
              {},
              site.url
                ? h("code", {}, site.url)
                : h("span", { class: "soft" }, "not shown to this token"),
            ),
          );
        }),
      );
      swap(
        content,
        table(
          "Sites",
          [
            ["Site"],
            ["Region"],
            ["Tables", "number"],
            ["States"],
            ["Worst lag"],
            ["Made"],
            ["URL"],
          ],
          body,
        ),
        whole ? null : note(`Counts are of the ${count(rows.length)} rows with the longest lag.`),
      );
    },
    event: (event) => event.table !== null,
    failed(error) {
      if (!read) swap(content, note(`Not read: ${error.message}`));
    },
  };
}
