// Operations: actions that take longer than a request.

import { confirm, refusal } from "./action.js";
import { get, now, part, read } from "./api.js";
import { h, note, swap, table } from "./dom.js";
import { time } from "./format.js";
import { shape } from "./status.js";

const STATES = {
  pending: ["held", "wait"],
  running: ["catching_up", "move"],
  succeeded: ["ok", "good"],
  failed: ["blocked", "bad"],
  cancelled: ["stopped", "dim"],
};
const SIZE = 100;

/** What was done so far, in words: it differs by kind. */
function progress(value) {
  if (Array.isArray(value)) return value.map(progress).join(", ");
  if (value === null || typeof value !== "object") return String(value ?? "unknown");
  return Object.entries(value)
    .map(([key, inner]) => `${key.replaceAll("_", " ")} ${progress(inner)}`)
    .join(", ");
}

export function operations(context) {
  const content = h("div", {}, note("Reading…"));
  const said = h("p", { class: "said", role: "status" });
  const element = h(
    "div",
    { class: "page" },
    h("h1", { tabindex: "-1" }, "Operations"),
    said,
    h("section", { class: "panel", "aria-label": "Operations" }, content),
  );
  let loaded = false;

  function tell(words, wrong) {
    said.textContent = words;
    said.classList.toggle("wrong", wrong);
  }

  async function cancel(id, words) {
    const no = refusal(context.caller);
    if (no !== null) {
      tell(no, true);
      return;
    }
    const { etag } = await read(`operations/${part(id)}`);
    confirm({
      title: `Cancel: ${words}?`,
      text: "It ends at its next safe point. What was published stays.",
      verb: "Cancel it",
      path: `operations/${part(id)}/cancel`,
      etag,
      said: tell,
      async done() {
        tell("cancelled, or about to be", false);
        await page.refresh();
      },
    });
  }

  function row(operation) {
    const [sign, tone] = STATES[operation.state] ?? ["unknown", "dim"];
    const words = `${operation.kind} ${operation.resource}`;
    const done = Object.entries(operation.progress ?? {})
      .filter(([, value]) => value !== null)
      .map(([key, value]) => `${key.replaceAll("_", " ")}: ${progress(value)}`);
    const open = operation.state === "pending" || operation.state === "running";
    return h(
      "tr",
      { "data-operation": operation.id, "data-state": operation.state },
      h(
        "td",
        {},
        h("span", { class: `state ${tone}` }, shape(sign), operation.state),
        operation.cancel && open ? h("div", { class: "soft" }, "to be cancelled") : null,
      ),
      h("th", { scope: "row" }, operation.kind),
      h(
        "td",
        {},
        operation.table_id
          ? h(
              "a",
              {
                class: "name",
                href: `#/tables/${part(operation.resource)}`,
                "data-key": `${operation.id} table`,
              },
              operation.resource,
            )
          : operation.resource,
      ),
      h(
        "td",
        { class: "words" },
        operation.error ? h("span", { class: "bad" }, operation.error) : done.join("; "),
      ),
      h("td", {}, operation.actor),
      h("td", { class: "tight" }, time(operation.created_ms, now())),
      h("td", { class: "tight" }, time(operation.updated_ms, now())),
      h(
        "td",
        {},
        open && !operation.cancel
          ? h(
              "button",
              {
                type: "button",
                class: "small",
                "data-key": `${operation.id} cancel`,
                "aria-label": `Cancel ${words}`,
                onclick: () => cancel(operation.id, words),
              },
              "Cancel",
            )
          : null,
      ),
    );
  }

  const page = {
    title: "Operations",
    element,
    async refresh() {
      const found = await get("operations", { page_size: SIZE });
      loaded = true;
      if (found.operations.length === 0) {
        swap(content, note("None: nobody asked for a sync, a resync or an unregistration."));
        return;
      }
      swap(
        content,
        table(
          "Operations, the newest first",
          [
            ["State"],
            ["What"],
            ["About"],
            ["How far"],
            ["Who"],
            ["Asked for"],
            ["Changed"],
            [h("span", { class: "heard" }, "Cancel")],
          ],
          h("tbody", {}, found.operations.map(row)),
        ),
        found.next_page_token ? note(`The newest ${SIZE} are shown.`) : null,
      );
    },
    failed(error) {
      if (!loaded) swap(content, note(`Not read: ${error.message}`));
    },
  };
  return page;
}
