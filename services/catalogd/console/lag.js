// The lag of all tables, as far as it is read, and in which order it is shown.

import { all } from "./api.js";
import { rank } from "./status.js";

/** Rows of `/v1/lag` that are read: 1000 a page. */
const PAGES = 20;

/**
 * All rows: a table at a site each. `whole` is false where there are more. `first`: told those with
 * the longest lag, before the others are read.
 */
export async function readLag(first) {
  const { items, whole } = await all("lag", "lag", { sort: "-lag_seconds" }, PAGES, first);
  return { rows: items, whole };
}

/** Figures of what waits: where the lag is not known, a 0 says nothing. */
export function pending(row, figure) {
  return row.lag_seconds === null && figure === 0 ? null : figure;
}

export function projectOf(row) {
  return row.table.split(".", 1)[0];
}

/** Worst first: the longest lag, then what is not known, then what is in step. */
export function worstFirst(a, b) {
  const group = (row) => (row.lag_seconds === null ? 1 : row.lag_seconds > 0 ? 0 : 2);
  return (
    group(a) - group(b) ||
    (b.lag_seconds ?? 0) - (a.lag_seconds ?? 0) ||
    rank(a.status) - rank(b.status) ||
    (a.table < b.table ? -1 : a.table > b.table ? 1 : 0) ||
    (a.site < b.site ? -1 : 1)
  );
}

/** How many rows are in each state, worst first. */
export function byState(rows) {
  const counts = new Map();
  for (const { status } of rows) counts.set(status, (counts.get(status) ?? 0) + 1);
  return [...counts].sort(([a], [b]) => rank(a) - rank(b));
}
