// The console: pages by the address after `#`, one stream of events for all of them.
//
// Invariants:
// - What is shown says how old it is; where it cannot be read, that is said, and it stays.
// - A token lives in this tab only, and never in an address.

import { ApiError, caller, get, hasToken, now, setToken } from "./api.js";
import { h, swap } from "./dom.js";
import { duration, tick } from "./format.js";
import { alerts } from "./alerts.js";
import { operations } from "./operations.js";
import { overview } from "./overview.js";
import { shape } from "./status.js";
import { sites } from "./sites.js";
import { table } from "./table.js";
import { Throughput } from "./throughput.js";
import { Watch } from "./watch.js";

/** What is shown is read again this often, beside what events tell. */
const READ_MS = 10_000;
/** Older than this, it is called stale. */
const STALE_MS = 30_000;
/** Events that come together are answered by one reading. */
const GATHER_MS = 250;
/** Between two readings there is this, and this many times what the last one took. */
const REST_MS = 1_000;
const REST_TIMES = 4;
/** A page that nobody looks at lets its stream go. */
const HIDDEN_MS = 60_000;

const main = document.getElementById("main");
const connection = document.getElementById("connection");
const announcements = document.getElementById("announcements");
const signOut = document.getElementById("sign-out");

const context = {
  caller: null,
  throughput: new Throughput(),
  announce(text) {
    announcements.textContent = text;
  },
};

let page = null;
let watch = null;
let stream = "connecting";
let seen = null;
let loadedMs = null;
let restedMs = 0;
let wrong = null;
let reading = null;
let gathering = null;
let hiding = null;
let started = false;

const PAGES = [
  [/^\/$/, overview],
  [/^\/tables\/(.+)$/, table],
  [/^\/sites$/, sites],
  [/^\/alerts$/, alerts],
  [/^\/operations$/, operations],
];

/** The address after `#`: a path and its parameters. */
function place() {
  const text = location.hash.replace(/^#/, "") || "/";
  const [path, query] = text.split("?", 2);
  return { path, query: new URLSearchParams(query ?? "") };
}

function show() {
  const { path, query } = place();
  if (page !== null && page.path === path) {
    page.query?.(query);
    return;
  }
  page?.stop?.();
  loadedMs = null;
  wrong = null;
  page = made(path, query);
  page.path = path;
  for (const link of document.querySelectorAll("#pages a")) {
    const leads = link.getAttribute("href");
    if (leads === `#${path}`) link.setAttribute("aria-current", "page");
    else if (leads === "#/" && path.startsWith("/tables/"))
      link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  document.title = `${page.title} – Driftless`;
  main.replaceChildren(page.element);
  if (started) page.element.querySelector("h1")?.focus({ preventScroll: true });
  if (started) window.scrollTo(0, 0);
  started = true;
  read();
}

function made(path, query) {
  for (const [pattern, make] of PAGES) {
    const match = pattern.exec(path);
    if (match === null) continue;
    try {
      return make(context, query, ...match.slice(1).map(decodeURIComponent));
    } catch (error) {
      if (!(error instanceof URIError)) throw error;
    }
  }
  return {
    title: "No such page",
    element: h(
      "div",
      { class: "page" },
      h("h1", { tabindex: "-1" }, "No such page"),
      h("p", {}, h("a", { href: "#/" }, "Go to the overview")),
    ),
    async refresh() {},
  };
}

/** Reads what the page shows. One reading at a time: another wish is answered after it. */
async function read() {
  clearTimeout(gathering);
  gathering = null;
  if (reading !== null) {
    reading.again = true;
    return;
  }
  const turn = { again: false };
  reading = turn;
  const shown = page;
  const startMs = now();
  try {
    // A page that does not read everything each time says from when the oldest part is.
    const fromMs = (await shown.refresh()) ?? startMs;
    if (shown === page) {
      loadedMs = fromMs;
      wrong = null;
    }
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401) {
      signIn(hasToken());
      return;
    }
    if (shown === page) {
      wrong = error;
      shown.failed?.(error);
    }
  } finally {
    reading = null;
    restedMs = now() + Math.max(REST_MS, REST_TIMES * (now() - startMs));
    state();
  }
  if (shown !== page) read();
  else if (turn.again) soon();
}

function soon() {
  gathering ??= setTimeout(read, Math.max(GATHER_MS, Math.min(restedMs - now(), READ_MS)));
}

/** Says how current the page is: a shape, a word, an age. */
function state() {
  const age = loadedMs === null ? null : now() - loadedMs;
  const old = age !== null && age > STALE_MS;
  let [sign, tone, words] = ["ok", "good", "live"];
  if (stream !== "live") [sign, tone, words] = ["unknown", "late", stream];
  if (wrong !== null || old)
    [sign, tone, words] = ["stalled", "bad", old ? `stale, ${stream}` : "not read"];
  const aged = age === null ? "no data yet" : `data ${duration(Math.floor(age / 1000))} old`;
  const title = wrong === null ? null : `${wrong.message}`;
  const fresh = h("span", { class: `state ${tone}`, title }, shape(sign), words);
  swap(connection, fresh, h("span", { class: "soft" }, `· ${aged}`));
  connection.dataset.stream = stream;
  connection.dataset.stale = String(wrong !== null || old);
  main.classList.toggle("stale", wrong !== null || old);
}

function follow() {
  watch?.stop();
  watch = new Watch(seen, {
    event(event) {
      seen = event.seq;
      context.throughput.add(event);
      if (page.event?.(event) ?? true) soon();
      tell(event);
    },
    gap() {
      soon();
    },
    state(next) {
      const back = stream === "reconnecting" && next === "live";
      if (next === "reconnecting" && stream === "live")
        context.announce("connection lost, trying again");
      if (back) context.announce("connected again");
      stream = next;
      state();
      if (back) read();
    },
    refused() {
      signIn(true);
    },
  });
}

const TOLD = {
  "table.blocked": "is blocked",
  "table.rewound": "was rewound",
  "table.diverged": "has diverged",
  "table.recovered": "has recovered",
};

function tell(event) {
  const words = TOLD[event.kind];
  if (words !== undefined) context.announce(`${event.table} ${words} at ${event.site}`);
}

async function begin() {
  try {
    context.caller = await caller();
    const { events } = await get("events", { page_size: 1000 });
    seen = events[0]?.seq ?? 0;
    context.throughput.begin(events, now());
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401) {
      signIn(hasToken());
      return;
    }
    stream = "not connected";
    wrong = error;
    state();
    setTimeout(begin, 3_000);
    return;
  }
  document.body.classList.remove("signed-out");
  const { name, role, project } = context.caller;
  const scope = project ? `, project ${project}` : "";
  document.getElementById("caller").textContent = hasToken() ? `${name} (${role}${scope})` : "";
  signOut.hidden = !hasToken();
  follow();
  page?.stop?.();
  page = null;
  show();
}

function signIn(refused) {
  document.body.classList.add("signed-out");
  watch?.stop();
  watch = null;
  page?.stop?.();
  page = null;
  setToken(null);
  signOut.hidden = true;
  document.getElementById("caller").textContent = "";
  connection.replaceChildren();
  if (document.getElementById("dialog").open) document.getElementById("dialog").close();
  const wrongToken = h(
    "p",
    { class: "wrong", role: "alert" },
    refused ? "This token is not valid: it may have ended or been revoked." : "",
  );
  const field = h("input", {
    id: "token",
    type: "password",
    autocomplete: "off",
    required: true,
    spellcheck: "false",
  });
  const form = h(
    "form",
    {
      onsubmit: (event) => {
        event.preventDefault();
        const text = field.value.trim();
        if (text === "") return;
        // A header holds visible ASCII only: anything else is no token.
        if (!/^[\x21-\x7e]+$/.test(text)) {
          wrongToken.textContent = "This is no token: it has spaces or other characters.";
          return;
        }
        setToken(text);
        begin();
      },
    },
    h("label", { for: "token" }, "Token", field),
    wrongToken,
    h("div", {}, h("button", { type: "submit", class: "main" }, "Sign in")),
  );
  main.replaceChildren(
    h(
      "div",
      { class: "sign-in panel" },
      h("h1", { tabindex: "-1" }, "Sign in"),
      h(
        "p",
        { class: "soft" },
        "The token stays in this tab, and is gone when it is closed. ",
        h("code", {}, "driftless token create --name NAME --role operator"),
        " makes one.",
      ),
      form,
    ),
  );
  document.title = "Sign in – Driftless";
  field.focus();
}

document.getElementById("skip").addEventListener("click", () => main.focus());
signOut.addEventListener("click", () => signIn(false));
window.addEventListener("hashchange", () => {
  if (watch !== null) show();
});
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  if (document.visibilityState === "hidden") {
    hiding = setTimeout(() => {
      if (watch === null) return;
      watch.stop();
      watch.resting = true;
      stream = "paused while hidden";
    }, HIDDEN_MS);
  } else if (watch !== null) {
    if (watch.resting) {
      seen = watch.last;
      follow();
    }
    read();
  }
});
setInterval(() => {
  if (watch === null) return;
  tick(main, now());
  page?.tick?.();
  state();
}, 1_000);
setInterval(() => {
  if (watch !== null && document.visibilityState === "visible") read();
}, READ_MS);

begin();
