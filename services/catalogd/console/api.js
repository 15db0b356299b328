// Requests to this server, and nowhere else.

const BASE = new URL("v1/", document.baseURI);
const KEPT = "driftless token";

let token = kept();
let offsetMs = 0;

function kept() {
  try {
    return sessionStorage.getItem(KEPT);
  } catch {
    return null;
  }
}

/** Takes a token for this tab, or lets it go (`null`). */
export function setToken(next) {
  token = next;
  try {
    if (next === null) sessionStorage.removeItem(KEPT);
    else sessionStorage.setItem(KEPT, next);
  } catch {
    // Without storage it is kept until the page is left.
  }
}

export function hasToken() {
  return token !== null;
}

/** Now by the server's clock, ms since the epoch. */
export function now() {
  return Date.now() + offsetMs;
}

/** An answer that is no success. */
export class ApiError extends Error {
  constructor(status, error) {
    super(
      error?.message ??
        (status === 0 ? "the server does not answer" : `the server answered ${status}`),
    );
    this.status = status;
    this.type = error?.type ?? "unreachable";
    this.requestId = error?.details?.request_id ?? null;
  }
}

function headers(more) {
  return token === null ? { ...more } : { ...more, Authorization: `Bearer ${token}` };
}

async function send(url, options) {
  let response;
  try {
    response = await fetch(url, { credentials: "omit", redirect: "error", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, null);
  }
  const date = Date.parse(response.headers.get("date") ?? "");
  // The header has whole seconds: a smaller difference says nothing.
  if (Number.isFinite(date)) {
    const ahead = date + 500 - Date.now();
    offsetMs = Math.abs(ahead) > 1500 ? ahead : 0;
  }
  if (!response.ok) {
    const body = await response.json().catch(() => null);
    throw new ApiError(response.status, body?.error);
  }
  return response;
}

function address(path, query) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  return url;
}

/** Reads a resource. */
export async function get(path, query) {
  return (await read(path, query)).body;
}

/** Reads a resource with its entity tag. */
export async function read(path, query) {
  const response = await send(address(path, query), {
    headers: headers({ Accept: "application/json" }),
  });
  return { body: await response.json(), etag: response.headers.get("etag") };
}

/**
 * All of a list, up to `pages` pages; `whole` says whether that was all. `first`: told the items of
 * the first page, where more follow.
 */
export async function all(path, field, query, pages, first) {
  const items = [];
  let page = null;
  for (let number = 0; number < pages; number += 1) {
    const body = await get(path, { ...query, page_size: 1000, page_token: page });
    items.push(...body[field]);
    page = body.next_page_token;
    if (!page) return { items, whole: true };
    if (number === 0) first?.(items);
  }
  return { items, whole: false };
}

/** A key for one wish of a person: sent again, it has one effect. */
export function idempotencyKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Asks for a change of what was read with `etag`. */
export async function post(path, { etag, key }) {
  const more = { Accept: "application/json", "Idempotency-Key": key };
  if (etag) more["If-Match"] = etag;
  const response = await send(address(path), { method: "POST", headers: headers(more) });
  return response.json();
}

/** Who calls, and what it may do. */
export async function caller() {
  const url = new URL("console/caller", document.baseURI);
  return (await send(url, { headers: headers({ Accept: "application/json" }) })).json();
}

/** Opens the stream of events after `last`. */
export async function stream(last, signal) {
  const more = { Accept: "text/event-stream" };
  if (last !== null) more["Last-Event-ID"] = String(last);
  const response = await send(address("watch"), {
    headers: headers(more),
    signal,
    cache: "no-store",
  });
  return response.body;
}

/** A name as one part of a path. */
export function part(name) {
  return encodeURIComponent(name);
}
