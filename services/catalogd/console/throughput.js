// What is published now, from the events of the last minutes.

const SPAN_MS = 5 * 60_000;
const BARS = 30;

/** The publications of the last five minutes. */
export class Throughput {
  constructor() {
    this.published = [];
    this.fromMs = null;
  }

  /** Begins with the newest events, newest first, as far as one page of them reaches. */
  begin(events, nowMs) {
    this.published = [];
    // A full page may end within the span: before its oldest event nothing is known.
    this.fromMs = events.length >= 1000 ? events.at(-1).at_ms : nowMs - SPAN_MS;
    for (const event of [...events].reverse()) this.add(event);
  }

  add(event) {
    if (event.kind !== "version.published") return;
    this.published.push({ ms: event.at_ms, bytes: event.body?.bytes ?? 0 });
  }

  /** Versions a minute, bytes a second, and versions by time; `null` = not known yet. */
  at(nowMs) {
    this.published = this.published.filter(({ ms }) => ms > nowMs - SPAN_MS);
    if (this.fromMs === null) return null;
    const spanMs = Math.min(SPAN_MS, Math.max(1000, nowMs - this.fromMs));
    const bytes = this.published.reduce((sum, one) => sum + one.bytes, 0);
    const bars = new Array(BARS).fill(0);
    for (const { ms } of this.published) {
      const place = BARS - 1 - Math.floor(((nowMs - ms) / SPAN_MS) * BARS);
      if (place < BARS) bars[Math.min(BARS - 1, Math.max(0, place))] += 1;
    }
    return {
      versions: this.published.length,
      versionsPerMinute: this.published.length / (spanMs / 60_000),
      bytesPerSecond: bytes / (spanMs / 1000),
      spanSeconds: spanMs / 1000,
      bars,
    };
  }
}
