// The console in a real browser, on a real server with real tables.
//
// One argument: JSON with `open` and `closed` (a server without and one with tokens), `held` (files
// of a table's log that are not there yet), `chromium`, `modules`, `artifacts`. A second argument
// chooses scenarios by a part of their names.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync } from "node:fs";
import path from "node:path";
import { browser } from "./browser.mjs";

const given = JSON.parse(process.argv[2]);
const { open, closed } = given;
mkdirSync(given.artifacts, { recursive: true });
const chromium = await browser(given);

const MOVING = "lake.sales.moving";
const HOSTILE = "lake.sales.hostile";
const PAGES = [
  "#/",
  `#/tables/${MOVING}`,
  "#/tables/lake.sales.nothing",
  "#/sites",
  "#/alerts",
  "#/operations",
];
const READY = {
  "#/": `tr[data-table="${MOVING}"]`,
  [`#/tables/${MOVING}`]: "tr[data-position]",
  "#/tables/lake.sales.nothing": ".reason",
  "#/sites": "tr[data-site=east]",
  "#/alerts": "main .panel :not(:empty)",
  "#/operations": "main .panel :not(:empty)",
};

/** Opens a page and waits until it is live and shows what it is about. */
async function ready(page, hash) {
  await page.open(hash);
  await page.until(READY[hash]);
  await page.until(() => !document.querySelector("main").textContent.includes("Reading…"));
  await page.until('[data-stream="live"]');
}

const scenarios = {
  async "the files say what a browser may do, and are sent once"() {
    for (const file of ["", "console/console.js", "console/console.css"]) {
      const first = await fetch(open.url + file);
      const text = await first.text();
      const head = (name) => first.headers.get(name) ?? "";
      assert.equal(first.status, 200, file);
      assert.ok(text.length > 500, file);
      assert.match(head("content-security-policy"), /default-src 'self'.*frame-ancestors 'none'/);
      assert.equal(head("x-content-type-options"), "nosniff");
      assert.equal(head("referrer-policy"), "no-referrer");
      const again = await fetch(open.url + file, { headers: { "If-None-Match": head("etag") } });
      assert.equal(again.status, 304, file);
    }
    assert.equal((await fetch(`${open.url}console/none.js`)).status, 404);
    assert.equal((await fetch(`${closed.url}console/caller`)).status, 401);
    const described = await (await fetch(`${open.url}openapi.json`)).json();
    assert.deepEqual(
      Object.keys(described.paths).filter((name) => name.includes("console")),
      [],
    );
  },

  async "numbers have units, and what is unknown is no number"() {
    const page = await chromium.page(open.url);
    await page.open();
    const found = await page.in(async () => {
      const { bytes, count, duration, rate } = await import("./console/format.js");
      const { lagAt } = await import("./console/plot.js");
      const { parser } = await import("./console/watch.js");
      const waits = [
        [1_000, 9_000],
        [4_000, 6_000],
      ];
      const take = parser();
      const frames = [
        "id: 7\r",
        '\nevent: a\r\ndata: {"x":',
        "1}\r\n\r\n: still here\n\nid: 8\ndata: two\ndata: lines\n",
        "\n",
      ];
      return {
        duration: [null, undefined, NaN, 0, 0.25, 5.5, 59, 61, 3_600, 90_061].map(duration),
        bytes: [null, 0, 999, 1_000, 12_345_678, 5e12].map(bytes),
        count: [null, 0, 12_345].map(count),
        rate: [null, 0, 0.25, 120.4].map(rate),
        lag: [500, 1_000, 3_000, 8_000, 9_001].map((ms) => lagAt(waits, ms)),
        frames: frames.flatMap(take),
      };
    });
    assert.deepEqual(found, {
      duration: [
        "unknown",
        "unknown",
        "unknown",
        "0 s",
        "250 ms",
        "5.5 s",
        "59 s",
        "1 min 1 s",
        "1 h",
        "1 d 1 h",
      ],
      bytes: ["unknown", "0 B", "999 B", "1.0 kB", "12 MB", "5.0 TB"],
      count: ["unknown", "0", "12,345"],
      rate: ["unknown", "0", "0.3", "120"],
      lag: [0, 0, 2, 7, 0],
      frames: [
        { id: "7", event: "a", data: '{"x":1}' },
        { id: "8", data: "two\nlines" },
      ],
    });
    await page.end();
  },

  async "every page loads, and asks nobody else"() {
    for (const hash of PAGES) {
      const page = await chromium.page(open.url);
      await ready(page, hash);
      assert.equal(await page.in(() => document.querySelectorAll("h1").length), 1, hash);
      assert.notEqual(await page.in(() => document.title), "Driftless", hash);
      await page.end();
    }
  },

  async "a blocked table says why, and what to do, before anything else"() {
    const page = await chromium.page(open.url);
    await ready(page, "#/tables/lake.sales.nothing");
    await page.until('.reason[data-code="not_a_table"]');
    const words = await page.in(() => document.querySelector(".reason").innerText);
    assert.match(words, /blocked/);
    assert.match(words, /no table log/);
    assert.match(words, /What to do\s+check the table's source/);
    const first = await page.in(
      () =>
        document
          .querySelector(".reason")
          .compareDocumentPosition(document.querySelector("main .panel")) &
        Node.DOCUMENT_POSITION_FOLLOWING,
    );
    assert.notEqual(first, 0);
    await page.end();
  },

  async "no alert is not called well while tables wait for a person"() {
    const page = await chromium.page(open.url);
    await ready(page, "#/alerts");
    await page.until(
      () =>
        document.querySelector("tr[data-alert]") !== null ||
        document.querySelector("main").textContent.includes("2 tables wait for a person"),
    );
    await page.end();
  },

  async "text of a table is text"() {
    const page = await chromium.page(open.url);
    for (const hash of ["#/", `#/tables/${HOSTILE}`]) {
      await page.open(hash);
      await page.text("main", "<img src=x onerror=window.pwned=1>");
      assert.deepEqual(await page.in(() => [document.images.length, window.pwned === undefined]), [
        0,
        true,
      ]);
    }
    await page.end();
  },

  async "the filter is in the address, and counts lead to it"() {
    const page = await chromium.page(open.url);
    await ready(page, "#/");
    const shown = () =>
      page.in(() =>
        [...document.querySelectorAll("tr[data-table]")].map(
          (row) => `${row.dataset.table} ${row.dataset.status}`,
        ),
      );
    const all = (await shown()).length;
    await page.until(() => document.querySelectorAll('tr[data-status="blocked"]').length === 4);
    await page.in(() => document.querySelector('.counts a[href="#/?state=blocked"]').click());
    await page.until(() => document.querySelectorAll("tr[data-table]").length === 4);
    assert.ok((await shown()).every((row) => row.endsWith(" blocked")));
    await page.page.select("#filter-state", "");
    await page.until((rows) => document.querySelectorAll("tr[data-table]").length === rows, all);
    await page.page.type("#filter-text", "MOV");
    await page.until(() => document.querySelectorAll("tr[data-table]").length === 2);
    assert.equal(await page.in(() => location.hash), "#/?q=MOV");
    await page.page.type("#filter-text", "no such table");
    await page.text("main", "No table is like this.");
    await page.end();
  },

  async "a version that is published is seen at once"() {
    const page = await chromium.page(open.url);
    // Without its timer, the page learns of it from the stream alone.
    await page.page.evaluateOnNewDocument(() => {
      const every = window.setInterval;
      window.setInterval = (run, ms) => (ms >= 10_000 ? 0 : every(run, ms));
    });
    await ready(page, `#/tables/${MOVING}`);
    const head = given.held.length > 0 ? Number(path.basename(given.held.at(-1).to, ".json")) : 0;
    await page.until(
      (before) =>
        [...document.querySelectorAll(".site-head")].every(
          (cell) => Number(cell.textContent) === before,
        ),
      head - given.held.length,
    );
    await page.in(() => {
      window.loaded = "once";
    });
    for (const { from, to } of given.held) copyFileSync(from, to);
    await page.until((wanted) => {
      const cells = [...document.querySelectorAll(".site-head")];
      return cells.length === 2 && cells.every((cell) => Number(cell.textContent) === wanted);
    }, head);
    await page.until(`tr[data-position="${head}"]`);
    await page.text(`tr[data-position="${head}"]`, "same");
    assert.equal(await page.in(() => window.loaded), "once", "the page was loaded anew");
    await page.end();
  },

  async "a table is paused and resumed by the keyboard alone"() {
    const page = await chromium.page(open.url);
    await ready(page, `#/tables/${MOVING}`);
    const wish = '[data-key="wish"]';
    const turn = async (verb, after, state) => {
      await page.tabTo(wish);
      assert.equal(await page.in((one) => document.querySelector(one).textContent, wish), verb);
      await page.press("Enter");
      await page.until("dialog[open]");
      await page.press("Escape");
      await page.until(() => !document.querySelector("dialog").open);
      await page.tabTo(wish);
      await page.press("Enter");
      await page.until("dialog[open]");
      await page.tabTo("dialog .main");
      await page.press("Enter");
      await page.text(wish, after);
      await page.until(
        (words) =>
          [...document.querySelectorAll("[data-site] .state")].every(
            (cell) => (cell.textContent === "paused") === (words === "paused"),
          ),
        state,
      );
    };
    await turn("Pause", "Resume", "paused");
    await turn("Resume", "Pause", "going on");
    await page.end();
  },

  async "a sync that is asked for becomes an operation"() {
    const page = await chromium.page(open.url);
    await ready(page, `#/tables/${MOVING}`);
    await page.page.click('[data-key="sync"]');
    await page.until("dialog[open]");
    await page.page.click("dialog .main");
    await page.text(".said", "asked for");
    await page.in(() => {
      location.hash = "#/operations";
    });
    await page.until('[data-operation][data-state="succeeded"]');
    await page.end();
  },

  async "a change that was made meanwhile is not overrun"() {
    const page = await chromium.page(open.url);
    await ready(page, `#/tables/${MOVING}`);
    await page.page.click('[data-key="wish"]');
    await page.until("dialog[open]");
    const other = await fetch(`${open.url}v1/tables/${MOVING}/policy`, {
      method: "PUT",
      body: '{"share": 2, "poll_seconds": 1}',
      headers: { "Content-Type": "application/json" },
    });
    assert.equal(other.status, 200);
    await page.page.click("dialog .main");
    await page.text(".said", "it was changed since");
    assert.equal((await (await fetch(`${open.url}v1/tables/${MOVING}`)).json()).desired, "active");
    await page.end(/412/);
  },

  async "a phone shows every page without moving it sideways"() {
    for (const hash of PAGES) {
      const page = await chromium.page(open.url, { width: 360, height: 760, phone: true });
      await ready(page, hash);
      assert.deepEqual(
        await page.in(() => [document.documentElement.scrollWidth, innerWidth]),
        [360, 360],
        hash,
      );
      await page.end();
    }
  },

  async "nobody is kept out"() {
    for (const scheme of ["light", "dark"]) {
      for (const hash of PAGES) {
        const page = await chromium.page(open.url, { scheme });
        await ready(page, hash);
        assert.deepEqual(await page.keptOut(), [], `${hash} ${scheme}`);
        if (hash.includes(MOVING)) {
          await page.page.click('[data-key="wish"]');
          await page.until("dialog[open]");
          assert.deepEqual(await page.keptOut(), [], `dialog ${scheme}`);
        }
        await page.end();
      }
      const page = await chromium.page(closed.url, { scheme });
      await page.open();
      await page.until("#token");
      assert.deepEqual(await page.keptOut(), [], `sign-in ${scheme}`);
      await page.end(/401/);
    }
  },

  async pictures() {
    const laptop = {};
    const phone = { width: 390, height: 844, phone: true };
    const take = async (hash, name, device, scheme) => {
      const page = await chromium.page(open.url, {
        scheme,
        ...(device === "phone" ? phone : laptop),
      });
      await ready(page, hash);
      await page.until(() => !document.querySelector("main").textContent.includes("…"));
      await page.page.screenshot({
        path: path.join(given.artifacts, `${name}-${device}-${scheme}.png`),
        fullPage: true,
      });
      await page.end();
    };
    for (const [hash, name] of [
      ["#/", "overview"],
      [`#/tables/${MOVING}`, "table"],
      ["#/tables/lake.sales.nothing", "blocked"],
    ]) {
      for (const device of ["laptop", "phone"]) {
        for (const scheme of ["light", "dark"]) await take(hash, name, device, scheme);
      }
    }
    for (const name of ["sites", "operations", "alerts"]) {
      await take(`#/${name}`, name, "laptop", "light");
      await take(`#/${name}`, name, "phone", "dark");
    }
  },

  async "a token opens the console, and stays in its tab"() {
    const page = await chromium.page(closed.url);
    await page.open();
    const enter = async (token) => {
      await page.until("#token");
      await page.page.type("#token", token);
      await page.press("Enter");
    };
    await enter("dl_not-a-token");
    await page.text(".wrong", "not valid");
    await page.page.screenshot({ path: path.join(given.artifacts, "sign-in-laptop-light.png") });
    await enter(closed.reader);
    await page.until('tr[data-table="lake.sales.kept"]');
    await page.until('[data-stream="live"]');
    await page.text("#caller", "(reader)");
    await page.in(() => document.querySelector('tr[data-table="lake.sales.kept"] a').click());
    await page.until('[data-key="wish"][aria-disabled="true"]');
    await page.text(".said", "needs the role operator");
    await page.page.click('[data-key="wish"]');
    assert.equal(await page.in(() => document.querySelector("dialog").open), false);
    await page.page.reload();
    await page.until('[data-key="wish"][aria-disabled="true"]');
    await page.page.click("#sign-out");
    await enter(closed.operator);
    await page.until('[data-key="wish"]:not([aria-disabled])');
    const kept = await page.in(() => [
      document.cookie,
      localStorage.length,
      sessionStorage.length,
      location.href,
    ]);
    assert.deepEqual(kept.slice(0, 3), ["", 0, 1]);
    for (const secret of [closed.reader, closed.operator]) {
      assert.ok(
        !page.addresses.some((address) => address.includes(secret)),
        "a token is in an address",
      );
      assert.ok(!kept[3].includes(secret));
    }
    await page.end(/401/);
  },

  async "a server that is gone is not called live, and is found again"() {
    const page = await chromium.page(closed.url);
    await page.open();
    await page.until("#token");
    await page.page.type("#token", closed.reader);
    await page.press("Enter");
    await page.until('tr[data-table="lake.sales.kept"]');
    await page.until('[data-stream="live"][data-stale="false"]');
    process.kill(closed.pid, "SIGKILL");
    await page.until('[data-stream="reconnecting"]');
    await page.until('[data-stale="true"]');
    await page.text("main", "lake.sales.kept");
    const [program, ...words] = closed.again;
    const again = spawn(program, words, { cwd: closed.folder, stdio: "ignore" });
    try {
      await page.until('[data-stream="live"][data-stale="false"]');
    } finally {
      again.kill("SIGKILL");
    }
    await page.end(/401|Failed to load resource/);
  },
};

let failed = 0;
for (const [name, scenario] of Object.entries(scenarios)) {
  if (!name.includes(process.argv[3] ?? "")) continue;
  const begun = performance.now();
  try {
    await scenario();
    console.log(`ok      ${name} (${((performance.now() - begun) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n${error.stack}`);
  }
}
await chromium.close();
process.exitCode = failed === 0 ? 0 : 1;
