// Events as they happen, over server-sent events. EventSource cannot send a token, so the stream is
// read with fetch; like EventSource, it goes on after the last event that was seen.

import { stream } from "./api.js";

/** The server sends a comment every 15 seconds: silence of this length means that it is gone. */
const SILENCE_MS = 40_000;
const WAIT_MS = 1_000;
const WAIT_MAX_MS = 30_000;

/** Splits what arrives into events: `take(text)` gives those that are complete. */
export function parser() {
  let rest = "";
  let event = {};
  const line = (text, done) => {
    if (text === "") {
      if (event.data !== undefined) done.push(event);
      event = {};
      return;
    }
    const colon = text.indexOf(":");
    if (colon === 0) return;
    const field = colon === -1 ? text : text.slice(0, colon);
    const value = colon === -1 ? "" : text.slice(colon + 1).replace(/^ /, "");
    if (field === "data") event.data = event.data === undefined ? value : `${event.data}\n${value}`;
    else if (field === "id" || field === "event") event[field] = value;
  };
  return (text) => {
    const done = [];
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const one of lines) line(one, done);
    return done;
  };
}

/**
 * Follows events after number `last`. `on.event(event)`, `on.gap()` where events were missed,
 * `on.state("live" | "reconnecting")`, `on.refused(error)` where a token is needed.
 */
export class Watch {
  constructor(last, on) {
    this.last = last;
    this.on = on;
    this.wait = WAIT_MS;
    this.ended = false;
    this.open();
  }

  stop() {
    this.ended = true;
    clearTimeout(this.timer);
    clearTimeout(this.silence);
    this.abort?.abort();
  }

  async open() {
    this.abort = new AbortController();
    try {
      const body = await stream(this.last, this.abort.signal);
      this.on.state("live");
      await this.read(body.pipeThrough(new TextDecoderStream()).getReader());
    } catch (error) {
      if (this.ended) return;
      if (error.status === 401) {
        this.on.refused(error);
        return;
      }
    }
    clearTimeout(this.silence);
    if (this.ended) return;
    this.on.state("reconnecting");
    // Spread out, so that the tabs of many people do not come back at one moment.
    this.timer = setTimeout(() => this.open(), this.wait * (0.5 + Math.random() / 2));
    this.wait = Math.min(this.wait * 2, WAIT_MAX_MS);
  }

  async read(reader) {
    const take = parser();
    for (;;) {
      clearTimeout(this.silence);
      this.silence = setTimeout(() => this.abort.abort(), SILENCE_MS);
      const { value, done } = await reader.read();
      if (done || this.ended) return;
      this.wait = WAIT_MS;
      for (const frame of take(value)) this.take(frame);
    }
  }

  take(frame) {
    if (frame.id !== undefined) this.last = Number(frame.id);
    if (frame.event === "gap") {
      // What follows comes after the gap, whatever was seen before it.
      this.last = null;
      this.on.gap();
      return;
    }
    this.on.event(JSON.parse(frame.data));
  }
}
