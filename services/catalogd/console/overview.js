// The overview: how many tables are in which state, who waits for a person, and the worst lag.

import { ApiError, get, now, part } from "./api.js";
import { h, note, swap, table } from "./dom.js";
import { bytes, count, counted, duration, lag, rate, time } from "./format.js";
import { byState, pending, projectOf, readLag, worstFirst } from "./lag.js";
import { nodeList } from "./nodes.js";
import { bars } from "./plot.js";
import { NEEDS_PERSON, STATES, badge, rank, word } from "./status.js";

const ROWS = 50;
const REASONS = 5;
/** Heads and reasons of the rows that are shown are read again this often. */
const DETAIL_MS = 60_000;
const AT_ONCE = 4;
/** With more rows than this, what events tell is read for the rows that are shown only. */
const MANY = 1_000;
/** And all rows this often. */
const ALL_MS = 15_000;

export function overview(context, query) {
  const details = new Map();
  let rows = null;
  let whole = true;
  let reading = false;
  let readMs = 0;
  let nodes = null;
  let filter = parsed(query);

  const states = h("nav", { class: "counts", "aria-label": "Tables at sites, by state" });
  const waiting = h("section", { class: "panel", hidden: true, "aria-labelledby": "waiting" });
  const rest = h("div", {});
  const flow = h("div", {});
  const alive = h("div", {});
  const text = h("input", {
    type: "search",
    id: "filter-text",
    placeholder: "name or site",
    oninput: () => go({ q: text.value, page: 1 }),
  });
  const project = h("select", {
    id: "filter-project",
    onchange: () => go({ project: project.value, page: 1 }),
  });
  const state = h(
    "select",
    { id: "filter-state", onchange: () => go({ state: state.value, page: 1 }) },
    h("option", { value: "" }, "any"),
    Object.keys(STATES).map((status) => h("option", { value: status }, word(status))),
  );
  const filters = h(
    "form",
    {
      class: "filters",
      role: "search",
      "aria-label": "Filter tables",
      onsubmit: (event) => event.preventDefault(),
    },
    h("label", { class: "wide" }, "Find", text),
    h("label", {}, "Project", project),
    h("label", {}, "State", state),
  );
  const element = h(
    "div",
    { class: "page" },
    h("h1", { tabindex: "-1" }, "Overview"),
    states,
    waiting,
    h(
      "div",
      { class: "columns" },
      h(
        "section",
        { class: "panel", "aria-labelledby": "worst" },
        h("div", { class: "head" }, h("h2", { id: "worst" }, "Tables, worst lag first")),
        filters,
        rest,
      ),
      h(
        "div",
        { class: "aside" },
        h(
          "section",
          { class: "panel", "aria-labelledby": "flow" },
          h("h2", { id: "flow" }, "Throughput"),
          flow,
        ),
        h(
          "section",
          { class: "panel", "aria-labelledby": "nodes" },
          h("h2", { id: "nodes" }, "Nodes"),
          alive,
        ),
      ),
    ),
  );

  /** The filter is part of the address, so that it can be kept and sent. */
  function go(change) {
    filter = { ...filter, ...change };
    const address = new URLSearchParams();
    if (filter.q) address.set("q", filter.q);
    if (filter.project) address.set("project", filter.project);
    if (filter.state) address.set("state", filter.state);
    if (filter.page > 1) address.set("page", filter.page);
    const tail = address.size > 0 ? `?${address}` : "";
    history.replaceState(null, "", `#/${tail}`);
    render();
    void fetchDetails().then(render);
  }

  function shown() {
    const wanted = filter.q.toLowerCase();
    return rows.filter(
      (row) =>
        (filter.project === "" || projectOf(row) === filter.project) &&
        (filter.state === "" || row.status === filter.state) &&
        (wanted === "" ||
          row.table.toLowerCase().includes(wanted) ||
          row.site.toLowerCase().includes(wanted)),
    );
  }

  function paged() {
    const found = shown();
    const pages = Math.max(1, Math.ceil(found.length / ROWS));
    const page = Math.min(Math.max(1, filter.page), pages);
    return { found, page, pages, part: found.slice((page - 1) * ROWS, page * ROWS) };
  }

  function turn(by) {
    const { page, pages } = paged();
    if (page + by >= 1 && page + by <= pages) go({ page: page + by });
  }

  const calling = () =>
    rows
      .filter((row) => NEEDS_PERSON.includes(row.status))
      .sort((a, b) => rank(a.status) - rank(b.status) || worstFirst(a, b));

  /** Tables that wait for a person, with their sites together. */
  function callingTables() {
    const tables = new Map();
    for (const row of calling()) {
      const key = `${row.table} ${row.status}`;
      if (!tables.has(key)) tables.set(key, { ...row, sites: [] });
      tables.get(key).sites.push(row.site);
    }
    return [...tables.values()];
  }

  /** Heads and reasons of what is shown: a few requests, never one for each table that there is. */
  async function fetchDetails() {
    if (rows === null) return;
    const wanted = new Set(
      [...callingTables().slice(0, REASONS), ...paged().part].map((row) => row.table),
    );
    const due = [...wanted].filter((name) => (details.get(name)?.readMs ?? 0) < now() - DETAIL_MS);
    const next = async () => {
      for (let name = due.shift(); name !== undefined; name = due.shift()) {
        try {
          details.set(name, { readMs: now(), table: await get(`tables/${part(name)}`) });
        } catch (error) {
          if (!(error instanceof ApiError) || error.status === 401) throw error;
          details.delete(name);
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, next));
  }

  const siteOf = (row) => details.get(row.table)?.table.sites.find(({ site }) => site === row.site);

  function render() {
    if (rows === null) return;
    if (document.activeElement !== text) text.value = filter.q;
    const names = [...new Set(rows.map(projectOf))].sort();
    if (filter.project && !names.includes(filter.project)) names.push(filter.project);
    swap(
      project,
      h("option", { value: "" }, "any"),
      names.map((name) => h("option", { value: name }, name)),
    );
    project.value = filter.project;
    state.value = filter.state;
    renderStates();
    renderWaiting();
    renderRows();
  }

  function renderStates() {
    const tables = new Set(rows.map((row) => row.table)).size;
    const link = (status, figure, label) => {
      const address = new URLSearchParams(status === "" ? {} : { state: status });
      return h(
        "a",
        {
          href: `#/${address.size > 0 ? `?${address}` : ""}`,
          "aria-current": filter.state === status ? "true" : null,
          "data-key": `state ${status}`,
        },
        h("span", { class: "figure" }, `${count(figure)}${whole ? "" : "+"}`),
        label,
      );
    };
    swap(
      states,
      link("", rows.length, h("span", { class: "soft" }, `all, ${counted(tables, "table")}`)),
      byState(rows).map(([status, figure]) => link(status, figure, badge(status))),
    );
  }

  function renderWaiting() {
    const tables = callingTables();
    waiting.hidden = tables.length === 0;
    if (tables.length === 0) return;
    const items = tables.slice(0, REASONS).map((row) => {
      const reason = siteOf(row)?.reason;
      return h(
        "li",
        {},
        h(
          "p",
          { class: "first" },
          badge(row.status),
          h(
            "a",
            {
              href: `#/tables/${part(row.table)}`,
              class: "name",
              "data-key": `waiting ${row.table} ${row.status}`,
            },
            row.table,
          ),
          h("span", { class: "soft" }, `at ${row.sites.join(", ")}`),
        ),
        reason ? h("p", {}, reason.message ?? reason.code) : null,
        reason ? h("p", { class: "soft" }, `To do: ${reason.action}`) : null,
      );
    });
    const more = tables.length - items.length;
    swap(
      waiting,
      h("h2", { id: "waiting" }, `Waiting for a person: ${counted(tables.length, "table")}`),
      h("ul", { class: "attention" }, items),
      more > 0 ? note(`${counted(more, "other")}: choose a state above.`) : null,
    );
  }

  function renderRows() {
    const { found, page, pages, part: visible } = paged();
    if (rows.length === 0) {
      swap(
        rest,
        note(
          "No table is registered. ",
          h("code", {}, "driftless table register PROJECT.NAMESPACE.TABLE SOURCE --site SITE"),
          " registers one.",
        ),
      );
      return;
    }
    if (found.length === 0) {
      swap(
        rest,
        note(
          "No table is like this. ",
          h(
            "button",
            {
              type: "button",
              "data-key": "clear",
              onclick: () => go({ q: "", project: "", state: "", page: 1 }),
            },
            "Clear the filter",
          ),
        ),
      );
      return;
    }
    const body = h(
      "tbody",
      {},
      visible.map((row) => {
        const site = siteOf(row);
        return h(
          "tr",
          { "data-table": row.table, "data-site": row.site, "data-status": row.status },
          h(
            "th",
            { scope: "row" },
            h(
              "a",
              { href: `#/tables/${part(row.table)}`, "data-key": `${row.table} ${row.site}` },
              row.table,
            ),
            h("span", { class: "under" }, row.site),
          ),
          h("td", { class: "wide-only" }, row.site),
          h("td", {}, badge(row.status)),
          h("td", { class: "number" }, lag(row, now())),
          h("td", { class: "number wide-only" }, count(pending(row, row.pending_versions))),
          h(
            "td",
            { class: "number wide-only head-position" },
            site ? String(site.head ?? "none") : "…",
          ),
          h("td", { class: "tight wide-only" }, site ? time(site.since_ms, now()) : "…"),
        );
      }),
    );
    const step = (by, label) => {
      const there = page + by >= 1 && page + by <= pages;
      return h(
        "button",
        {
          type: "button",
          "data-key": label,
          "aria-disabled": there ? null : "true",
          onclick: () => turn(by),
        },
        label,
      );
    };
    const range = `${count((page - 1) * ROWS + 1)} to ${count((page - 1) * ROWS + visible.length)} of ${count(found.length)}`;
    swap(
      rest,
      table(
        "Tables at sites, worst lag first",
        [
          ["Table"],
          ["Site", "wide-only"],
          ["State"],
          ["Lag", "number"],
          ["Waiting commits", "number wide-only"],
          ["Head", "number wide-only"],
          ["Since", "wide-only"],
        ],
        body,
        { class: "tables" },
      ),
      h(
        "div",
        { class: "pager" },
        h("p", { class: "soft" }, range),
        pages > 1 ? h("div", {}, step(-1, "Previous"), step(1, "Next")) : null,
      ),
      whole
        ? null
        : note(
            reading ? "Reading… " : "Not all are read. ",
            `These are the first ${count(rows.length)} rows: those with the longest lag.`,
          ),
    );
  }

  function renderFlow() {
    const flowing = context.throughput.at(now());
    if (flowing === null) {
      swap(flow, note("unknown"));
      return;
    }
    const { versions, versionsPerMinute, bytesPerSecond, spanSeconds } = flowing;
    swap(
      flow,
      h(
        "dl",
        { class: "figures" },
        h("div", {}, h("dt", {}, "versions a minute"), h("dd", {}, rate(versionsPerMinute))),
        h("div", {}, h("dt", {}, "a second"), h("dd", {}, bytes(bytesPerSecond))),
      ),
      bars(
        flowing.bars,
        `${counted(versions, "version")} published in the last ${duration(spanSeconds)}`,
      ),
      note(`last ${duration(Math.round(spanSeconds))}, each version once at each site`),
    );
  }

  /** Brings the rows that are shown up to date from what was read of their tables since. */
  function patch() {
    for (const row of rows) {
      const known = details.get(row.table);
      if (known === undefined || known.readMs <= readMs) continue;
      const site = known.table.sites.find((one) => one.site === row.site);
      if (site === undefined) continue;
      const { status, lag_seconds, pending_versions, oldest_pending_ms } = site;
      Object.assign(row, { status, lag_seconds, pending_versions, oldest_pending_ms });
    }
    rows.sort(worstFirst);
  }

  /** The worst are shown while the others are read. */
  function begin(worst) {
    rows = [...worst].sort(worstFirst);
    whole = false;
    reading = true;
    render();
  }

  async function readNodes() {
    if (context.caller.project) {
      nodes = [];
      nodes.error = `your token is for the project ${context.caller.project} only`;
      return;
    }
    try {
      nodes = (await get("nodes")).nodes;
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 403) throw error;
      nodes = [];
      nodes.error = error.message;
    }
  }

  swap(rest, note("Reading…"));
  return {
    title: "Overview",
    element,
    async refresh() {
      if (rows === null || rows.length <= MANY || now() - readMs > ALL_MS) {
        const startMs = now();
        const [found] = await Promise.all([readLag(rows === null ? begin : null), readNodes()]);
        rows = found.rows.sort(worstFirst);
        whole = found.whole;
        reading = false;
        readMs = startMs;
      }
      render();
      renderFlow();
      if (nodes !== null) swap(alive, nodeList(nodes));
      await fetchDetails();
      patch();
      render();
      return readMs;
    },
    query(next) {
      filter = parsed(next);
      render();
      void fetchDetails().then(render);
    },
    event(event) {
      const known = details.get(event.table);
      if (known !== undefined) known.readMs = 0;
      return event.table !== null || event.kind.startsWith("table.");
    },
    failed(error) {
      if (rows === null) swap(rest, note(`Not read: ${error.message}`));
    },
    tick: renderFlow,
  };
}

function parsed(query) {
  return {
    q: query.get("q") ?? "",
    project: query.get("project") ?? "",
    state: query.get("state") ?? "",
    page: Number.parseInt(query.get("page") ?? "1", 10) || 1,
  };
}
