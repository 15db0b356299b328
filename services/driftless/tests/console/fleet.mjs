// What the overview costs with many tables: run by hand, against `cargo run -p driftless-catalogd
// --example console -- 10000`.
//
// Arguments: JSON with `chromium` and `modules`, as console.mjs has them, and the address.

import { browser } from "./browser.mjs";

const SECONDS = 60;
const [given, url] = [JSON.parse(process.argv[2]), process.argv[3]];
const chromium = await browser(given);
const page = await chromium.page(url);
await page.page.setCacheEnabled(false);
const client = await page.page.createCDPSession();
await client.send("Performance.enable");

let received = 0;
await client.send("Network.enable");
client.on("Network.loadingFinished", ({ encodedDataLength }) => {
  received += encodedDataLength;
});

async function figures() {
  const { metrics } = await client.send("Performance.getMetrics");
  const value = (name) => metrics.find((metric) => metric.name === name).value;
  return {
    requests: page.addresses.length,
    received_mb: Number((received / 1e6).toFixed(2)),
    script_seconds: Number(value("ScriptDuration").toFixed(2)),
    task_seconds: Number(value("TaskDuration").toFixed(2)),
    heap_mb: Number((value("JSHeapUsedSize") / 1e6).toFixed(1)),
    nodes: value("Nodes"),
  };
}

const begun = performance.now();
const since = () => Number(((performance.now() - begun) / 1000).toFixed(2));
await page.open();
await page.until("tr[data-table]");
const first = since();
await page.until(() => !document.querySelector("main").textContent.includes("…"));
const whole = since();
const opened = await figures();
await new Promise((done) => setTimeout(done, SECONDS * 1000));
await client.send("HeapProfiler.collectGarbage");
const later = await figures();
await page.page.type("#filter-text", "table_4242");
const typed = performance.now();
await page.until(() => document.querySelectorAll("tr[data-table]").length === 2);
console.log(
  JSON.stringify(
    {
      first_row_seconds: first,
      all_read_seconds: whole,
      opened,
      [`after_${SECONDS}_seconds`]: later,
      filtered_ms: Math.round(performance.now() - typed),
    },
    null,
    2,
  ),
);
await page.end();
await chromium.close();
