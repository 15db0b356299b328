// One table: why it is not in step and what to do, its sites, its lag over time, its versions.

import { ApiError, get, now, part, read } from "./api.js";
import { confirm, refusal } from "./action.js";
import { h, note, swap, table as grid } from "./dom.js";
import { atSites, happenings, policyOf, reasons } from "./facts.js";
import { duration } from "./format.js";
import { legend, plot, waits } from "./plot.js";
import { versionRow } from "./receipt.js";

const WINDOWS = [
  ["15 min", 15 * 60_000],
  ["1 h", 3_600_000],
  ["24 h", 86_400_000],
  ["7 d", 7 * 86_400_000],
];
const VERSIONS = 50;
const EVENTS = 50;
const SAMPLES_MAX = 2_000;

export function table(context, query, name) {
  /** By site: versions (the newest first) by position, the token of the next page. */
  const published = new Map();
  /** By site: moments at which the lag was read, and whether it was known. */
  const samples = new Map();
  let state = null;
  let etag = null;
  let common = null;
  let events = [];
  /** `null` until something is known: what there is decides. */
  let windowMs = null;

  const title = h("h1", { tabindex: "-1" }, name);
  const facts = h("p", { class: "soft" });
  const why = h("div", { class: "reasons" });
  const said = h("p", { class: "said", role: "status" });
  const wish = h(
    "button",
    { type: "button", "data-key": "wish", onclick: () => pauseOrResume() },
    "Pause",
  );
  const sync = h(
    "button",
    { type: "button", "data-key": "sync", onclick: () => syncNow() },
    "Sync now",
  );
  const actions = h("div", { class: "actions", hidden: true }, sync, wish, said);
  const sites = h("div", {});
  const figure = h("figure", {});
  const choices = h(
    "div",
    { class: "choices", role: "group", "aria-label": "Time shown" },
    WINDOWS.map(([label, ms]) =>
      h(
        "button",
        {
          type: "button",
          "aria-pressed": "false",
          "data-window": ms,
          onclick: () => {
            choose(ms);
            renderPlot();
          },
        },
        label,
      ),
    ),
  );
  const versions = h("div", {});
  const happened = h("div", {});
  const policy = h("div", {});
  const element = h(
    "div",
    { class: "page" },
    h("div", { class: "head" }, h("div", {}, title, facts), actions),
    why,
    panel("sites", "Sites", sites),
    h(
      "section",
      { class: "panel", "aria-labelledby": "lag" },
      h("div", { class: "head" }, h("h2", { id: "lag" }, "Lag over time"), choices),
      figure,
    ),
    panel("versions", "Published versions", versions),
    h(
      "div",
      { class: "columns" },
      panel("events", "Events", happened),
      panel("policy", "Policy", policy),
    ),
  );

  function panel(id, heading, content) {
    return h(
      "section",
      { class: "panel", "aria-labelledby": id },
      h("h2", { id }, heading),
      content,
    );
  }

  function choose(ms) {
    windowMs = ms;
    for (const button of choices.children)
      button.setAttribute("aria-pressed", String(button.dataset.window === String(ms)));
  }

  function tell(words, wrong) {
    said.textContent = words;
    said.classList.toggle("wrong", wrong);
  }

  function ask(more) {
    const no = refusal(context.caller);
    if (no !== null) {
      tell(no, true);
      return;
    }
    confirm({
      etag,
      ...more,
      said(words, wrong, error) {
        tell(words, wrong);
        if (error?.status === 412) void page.refresh();
      },
    });
  }

  function pauseOrResume() {
    const paused = state.desired === "paused";
    ask({
      title: paused ? `Resume ${name}?` : `Pause ${name}?`,
      text: paused
        ? "Publishing goes on at all its sites, from where it stopped."
        : "Nothing more is published at any of its sites. The replicas stay readable; the lag goes on growing.",
      verb: paused ? "Resume" : "Pause",
      path: `tables/${part(name)}/${paused ? "resume" : "pause"}`,
      async done() {
        tell(paused ? "resumed" : "paused", false);
        await page.refresh();
      },
    });
  }

  function syncNow() {
    ask({
      title: `Sync ${name} now?`,
      text: "The source is looked at, and what is new is published at all sites, before the next look that is due.",
      verb: "Sync now",
      path: `tables/${part(name)}/sync`,
      async done(operation) {
        tell(`asked for; see operation ${operation.id} under Operations`, false);
      },
    });
  }

  async function readVersions(site, more) {
    const before = published.get(site) ?? { versions: new Map(), next: null };
    const token = more ? before.next : null;
    const body = await get(`tables/${part(name)}/versions`, {
      site,
      page_size: VERSIONS,
      page_token: token,
    });
    const known = new Map([
      ...before.versions,
      ...body.versions.map((version) => [String(version.position), version]),
    ]);
    // The first page of a table that moves meets what was read before, or there is a hole.
    const meets =
      before.versions.size === 0 ||
      more ||
      body.next_page_token === null ||
      body.versions.some((version) => before.versions.has(String(version.position)));
    if (meets) {
      const next = more || before.versions.size === 0 ? body.next_page_token : before.next;
      published.set(site, { versions: known, next });
    } else {
      published.set(site, {
        versions: new Map(body.versions.map((version) => [String(version.position), version])),
        next: body.next_page_token,
      });
    }
  }

  const list = (site) =>
    [...(published.get(site)?.versions.values() ?? [])].sort((a, b) => b.ordinal - a.ordinal);

  function render() {
    actions.hidden = false;
    title.textContent = state.name;
    swap(
      facts,
      `${state.format ?? "format unknown"} · ${state.priority} · source `,
      h("code", {}, state.source),
      ` · ${state.owner ? `worked on by ${state.owner}` : "no node works on it"}`,
    );
    const paused = state.desired === "paused";
    const leaving = state.desired === "unregistering";
    const no = refusal(context.caller) ?? (leaving ? "the table is being unregistered" : null);
    wish.textContent = paused ? "Resume" : "Pause";
    for (const [button, refused] of [
      [wish, no],
      [sync, no ?? (paused ? "resume the table first" : null)],
    ]) {
      if (refused) button.setAttribute("aria-disabled", "true");
      else button.removeAttribute("aria-disabled");
      button.title = refused ?? "";
    }
    if (no !== null) tell(no, false);
    swap(why, reasons(state));
    swap(sites, atSites(state, common));
    renderPlot();
    renderVersions();
    swap(happened, happenings(events));
    swap(policy, policyOf(state));
  }

  function renderPlot() {
    if (state === null) return;
    const nowMs = now();
    const series = state.sites.map((site) => {
      const done = list(site.site);
      const oldest = done.at(-1);
      const all = (published.get(site.site)?.next ?? null) === null;
      const since =
        oldest === undefined
          ? site.oldest_pending_ms
          : all
            ? (oldest.committed_ms ?? oldest.published_ms)
            : oldest.published_ms;
      return {
        site: site.site,
        versions: done,
        waiting: waits(done, site, nowMs),
        gaps: gaps(samples.get(site.site) ?? []),
        knownMs: site.lag_seconds === null ? site.checked_ms : nowMs,
        sinceMs: since,
      };
    });
    const reached = Math.min(...series.map(({ sinceMs }) => sinceMs ?? nowMs));
    if (windowMs === null) choose(nowMs - reached < WINDOWS[0][1] ? WINDOWS[0][1] : WINDOWS[1][1]);
    if (reached >= nowMs) {
      swap(figure, note("Nothing was published yet, and no commit is known to wait."));
      return;
    }
    const lags = state.sites
      .map(
        (site) =>
          `${site.site}: ${site.lag_seconds === null ? "unknown" : duration(site.lag_seconds)}`,
      )
      .join(", ");
    // Its own width, so that its text has the size of the page's.
    const width = Math.max(300, Math.round(figure.clientWidth || 800));
    swap(
      figure,
      plot({
        series,
        targetSeconds: state.lag_target_seconds,
        windowMs,
        nowMs,
        width,
        label: `Lag over the last ${duration(windowMs / 1000)}, logarithmic. Now ${lags}; target ${duration(state.lag_target_seconds)}. The versions below have the figures.`,
      }),
      h("figcaption", {}, legend(state.sites.map((site) => site.site))),
    );
  }

  function renderVersions() {
    const names = state.sites.map((site) => site.site);
    const positions = new Map();
    for (const site of names) {
      for (const version of list(site)) {
        const key = String(version.position);
        if (!positions.has(key)) positions.set(key, new Map());
        positions.get(key).set(site, version);
      }
    }
    if (positions.size === 0) {
      swap(versions, note("None yet."));
      return;
    }
    const newest = (receipts) =>
      Math.max(...[...receipts.values()].map((version) => version.ordinal));
    const rows = [...positions].sort(([, a], [, b]) => newest(b) - newest(a));
    const more = names.some((site) => published.get(site)?.next);
    const several = names.length > 1;
    const body = h(
      "tbody",
      {},
      rows.map(([position, receipts]) => versionRow(position, receipts, names)),
    );
    swap(
      versions,
      grid(
        "Published versions, the newest first",
        [
          ["Position"],
          ["Committed"],
          ["Published"],
          ["Latency", "number"],
          ["Files", "number"],
          ["Bytes", "number"],
          ["How"],
          ["Chain hash"],
          ...(several ? [["At all sites"]] : []),
        ],
        body,
        { class: "versions" },
      ),
      more
        ? h(
            "div",
            { class: "pager" },
            h(
              "button",
              { type: "button", "data-key": "older", onclick: older },
              "Show older versions",
            ),
          )
        : null,
    );
  }

  async function older() {
    await Promise.all(
      state.sites
        .filter(({ site }) => published.get(site)?.next)
        .map(({ site }) => readVersions(site, true)),
    );
    renderVersions();
    renderPlot();
  }

  function sample(site) {
    if (!samples.has(site.site)) samples.set(site.site, []);
    const taken = samples.get(site.site);
    taken.push({ ms: now(), known: site.lag_seconds !== null });
    if (taken.length > SAMPLES_MAX) taken.shift();
  }

  swap(sites, note("Reading…"));
  const resized = new ResizeObserver(() => renderPlot());
  resized.observe(figure);

  const page = {
    title: name,
    element,
    async refresh() {
      const found = await read(`tables/${part(name)}`);
      const [happening, at_all] = await Promise.all([
        get("events", { table: found.body.name, page_size: EVENTS }),
        get(`tables/${part(name)}/common-version`),
        ...found.body.sites.map((site) => readVersions(site.site, false)),
      ]);
      state = found.body;
      etag = found.etag;
      common = at_all;
      events = happening.events;
      state.sites.forEach(sample);
      render();
    },
    event: (event) => event.table === (state?.name ?? name),
    failed(error) {
      if (error instanceof ApiError && error.status === 404) {
        actions.hidden = true;
        swap(
          sites,
          note(
            "There is no such table, or your token does not see it. ",
            h("a", { href: "#/" }, "Go to the overview"),
          ),
        );
      } else if (state === null) {
        swap(sites, note(`Not read: ${error.message}`));
      }
    },
    stop() {
      resized.disconnect();
    },
  };
  return page;
}

/** Times between two readings of which one found the lag unknown. */
function gaps(samples) {
  const found = [];
  for (let place = 1; place < samples.length; place += 1) {
    const [before, after] = [samples[place - 1], samples[place]];
    if (!before.known && !after.known) found.push([before.ms, after.ms]);
  }
  return found;
}
