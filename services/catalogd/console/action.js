// What a person asks of a table or an operation: confirmed first, sent once.

import { ApiError, idempotencyKey, post } from "./api.js";
import { h } from "./dom.js";

const ROLES = ["reader", "operator", "admin"];

/** Why this caller may not change things; `null` = it may, or the server will say. */
export function refusal(caller) {
  const place = ROLES.indexOf(caller?.role);
  if (place === -1 || place >= ROLES.indexOf("operator")) return null;
  return `this needs the role operator; your token has ${caller.role}`;
}

/** What to say of a change that failed. */
export function failure(error) {
  if (error.status === 412)
    return "it was changed since this page read it; it is read again now: look, and try again";
  if (error.status === 403) return `not allowed: ${error.message}`;
  if (error.status === 0)
    return "the server does not answer; nothing is known of the change: look before you try again";
  const id = error.requestId ? ` (request ${error.requestId})` : "";
  return `${error.message}${id}`;
}

/**
 * Asks whether it is meant, then sends it. `said(text, wrong)` tells how it ended.
 * Sent again after a lost answer, it has the same key: one effect.
 */
export function confirm({ title, text, verb, path, etag, done, said }) {
  const dialog = document.getElementById("dialog");
  const key = idempotencyKey();
  const wrong = h("p", { class: "wrong", role: "alert" });
  let sending = false;
  const go = async () => {
    if (sending) return;
    sending = true;
    try {
      const answer = await post(path, { etag, key });
      dialog.close();
      await done(answer);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 0) {
        wrong.textContent = "the server does not answer. Try again: it has one effect";
      } else {
        dialog.close();
        said(failure(error), true, error);
      }
    } finally {
      sending = false;
    }
  };
  const yes = h("button", { type: "button", class: "main", onclick: go }, verb);
  const no = h("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
  dialog.replaceChildren(
    h("h2", { id: "dialog-title" }, title),
    h("p", {}, text),
    wrong,
    h("div", { class: "actions" }, no, yes),
  );
  dialog.showModal();
  yes.focus();
}
