// What sites have published and what happened, in words: receipts and events.

import { now } from "./api.js";
import { h } from "./dom.js";
import { bytes, count, counted, duration, exact, hash, time } from "./format.js";
import { badge } from "./status.js";

/** A row of the versions: one position, as each of these sites published it. */
export function versionRow(position, receipts, names) {
  const one = receipts.values().next().value;
  const several = names.length > 1;
  const each = (show) =>
    several
      ? h(
          "ul",
          {},
          names.map((site) =>
            h(
              "li",
              {},
              `${site} `,
              receipts.has(site)
                ? show(receipts.get(site))
                : h("span", { class: "soft" }, "not yet"),
            ),
          ),
        )
      : show(one);
  const latency = (version) =>
    version.committed_ms === null
      ? h("span", { class: "unknown" }, "unknown")
      : duration(Math.max(0, (version.published_ms - version.committed_ms) / 1000));
  return h(
    "tr",
    { "data-position": position },
    h("th", { scope: "row", class: "tight" }, position),
    h("td", { class: "tight" }, time(one.committed_ms, now())),
    h(
      "td",
      { class: "tight" },
      each((version) => time(version.published_ms, now())),
    ),
    h(
      "td",
      { class: "number" },
      several
        ? h(
            "ul",
            {},
            names.map((site) =>
              h("li", {}, receipts.has(site) ? latency(receipts.get(site)) : "–"),
            ),
          )
        : latency(one),
    ),
    h("td", { class: "number" }, count(one.files)),
    h("td", { class: "number" }, bytes(one.bytes)),
    h("td", {}, one.kind),
    h("td", {}, hash(one.chain_sha256, `chain hash of ${position}`)),
    several ? h("td", {}, agreement(receipts, names)) : null,
  );
}

/** Whether all sites hold the same, as far as their receipts say. */
function agreement(receipts, names) {
  const there = [...receipts.values()];
  if (there.length < names.length)
    return h("span", { class: "soft" }, `${there.length} of ${names.length}`);
  const same = (field) =>
    there.every((version) => version[field] !== null && version[field] === there[0][field]);
  const differ = (field) => there.every((version) => version[field] !== null) && !same(field);
  if (differ("commit_sha256"))
    return h(
      "span",
      { class: "state bad", title: "the commits differ" },
      badgeShape("diverged"),
      "differs",
    );
  if (same("chain_sha256"))
    return h(
      "span",
      { class: "state good", title: "equal commits, all the way from where the chain begins" },
      badgeShape("ok"),
      "same",
    );
  if (same("commit_sha256"))
    return h(
      "span",
      { title: "the commits are equal; the sites began at different versions" },
      "same commit",
    );
  return h("span", { class: "unknown" }, "unknown");
}

const badgeShape = (status) => badge(status).firstChild;

/** What an event says beside its kind and its site. */
export function summary(event) {
  const { body } = event;
  if (event.kind === "version.published") {
    const waited =
      body.committed_ms === null
        ? ""
        : `, ${duration(Math.max(0, (body.published_ms - body.committed_ms) / 1000))} after its commit`;
    return `: ${body.position} (${counted(body.files, "file")}, ${bytes(body.bytes)})${waited}`;
  }
  if (body?.message) return `: ${body.message}`;
  const rest = Object.entries(body ?? {})
    .filter(([, value]) => value !== null && typeof value !== "object")
    .map(([key, value]) =>
      key.endsWith("_ms")
        ? `${key.slice(0, -3)} ${exact(value)}`
        : `${key.replaceAll("_", " ")} ${value}`,
    );
  return rest.length > 0 ? `: ${rest.join(", ")}` : "";
}
