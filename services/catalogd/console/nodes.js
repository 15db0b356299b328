// The nodes that work on tables.

import { now } from "./api.js";
import { h, note, table } from "./dom.js";
import { count, time } from "./format.js";
import { badge } from "./status.js";

/** The nodes that work, and their last heartbeat; `nodes.error` says why they are not shown. */
export function nodeList(nodes) {
  if (nodes.error) {
    return note(`Not shown: ${nodes.error}`);
  }
  if (nodes.length === 0) {
    return [
      h("p", {}, badge("stopped")),
      note("No node works. Start one with driftless serve or driftless syncd."),
    ];
  }
  return table(
    "Nodes",
    [["Node"], ["Tables", "number"], ["Heartbeat"]],
    h(
      "tbody",
      {},
      nodes.map((node) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, node.name, h("div", { class: "soft" }, node.version)),
          h("td", { class: "number" }, count(node.tables)),
          h(
            "td",
            {},
            node.alive
              ? time(node.beat_ms, now())
              : [badge("stopped"), " ", time(node.beat_ms, now())],
          ),
        ),
      ),
    ),
    { region: false },
  );
}
