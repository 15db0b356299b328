// A real Chromium, and what every scenario asks of a page: no error, no request elsewhere.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

/** Starts the browser with the packages of a folder: `puppeteer-core` and `axe-core`. */
export async function browser({ chromium, modules }) {
  const require = createRequire(path.join(modules, "none.js"));
  const { default: puppeteer } = await import(pathToFileURL(require.resolve("puppeteer-core")));
  // The sandbox needs a user that is not root; the pages are our own.
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  const started = await puppeteer.launch({ executablePath: chromium, args });
  return new Browser(started, readFileSync(require.resolve("axe-core/axe.min.js"), "utf8"));
}

class Browser {
  constructor(started, axe) {
    this.started = started;
    this.axe = axe;
  }

  /** A page of its own: nothing is shared with another one. */
  async page(url, { width = 1366, height = 850, scheme = "light", phone = false } = {}) {
    const context = await this.started.createBrowserContext();
    const page = await context.newPage();
    const features = [
      { name: "prefers-color-scheme", value: scheme },
      { name: "prefers-reduced-motion", value: "reduce" },
    ];
    await page.emulateMediaFeatures(features);
    const device = phone ? { isMobile: true, hasTouch: true, deviceScaleFactor: 2 } : {};
    await page.setViewport({ width, height, ...device });
    page.setDefaultTimeout(60_000);
    return new Page(page, context, url, this.axe);
  }

  close() {
    return this.started.close();
  }
}

class Page {
  constructor(page, context, url, axe) {
    Object.assign(this, { page, context, url, axe, errors: [], elsewhere: [], addresses: [] });
    page.on("console", (message) => {
      if (["error", "warn"].includes(message.type())) this.errors.push(message.text());
    });
    page.on("pageerror", (error) => this.errors.push(error.message));
    page.on("request", (request) => {
      this.addresses.push(request.url());
      if (new URL(request.url()).origin !== new URL(url).origin) this.elsewhere.push(request.url());
    });
  }

  open(hash = "") {
    return this.page.goto(this.url + hash);
  }

  /** Waits until the page has this; `what` is a function in the page, or a selector. */
  async until(what, ...given) {
    try {
      if (typeof what === "string") await this.page.waitForSelector(what);
      else await this.page.waitForFunction(what, {}, ...given);
    } catch (cause) {
      assert.fail(`waited in vain for ${what} ${JSON.stringify(given)}: ${cause.message}`);
    }
  }

  /** Waits for text in what a selector finds first. */
  text(selector, wanted) {
    return this.until(
      (one, words) => document.querySelector(one)?.textContent.includes(words),
      selector,
      wanted,
    );
  }

  in(what, ...given) {
    return this.page.evaluate(what, ...given);
  }

  /** Goes to an element by the Tab key alone; it must be visibly focused. */
  async tabTo(selector) {
    for (let steps = 0; steps < 80; steps += 1) {
      if (await this.in((one) => document.activeElement?.matches(one) ?? false, selector)) {
        const width = await this.in(() => getComputedStyle(document.activeElement).outlineWidth);
        assert.notEqual(width, "0px", `${selector} is not seen to be focused`);
        return;
      }
      await this.page.keyboard.press("Tab");
    }
    assert.fail(`the Tab key does not reach ${selector}`);
  }

  press(key) {
    return this.page.keyboard.press(key);
  }

  /** What axe finds that keeps people out. */
  async keptOut() {
    await this.in(this.axe);
    const { violations } = await this.in(() =>
      globalThis.axe.run(document, { resultTypes: ["violations"] }),
    );
    const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    return grave.map(
      ({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(" ")).join(", ")}`,
    );
  }

  /** Ends the page. Errors that a scenario expects are named by a pattern. */
  async end(expected = null) {
    await this.context.close();
    assert.deepEqual(this.elsewhere, [], "requests to another origin");
    assert.deepEqual(
      this.errors.filter((text) => !expected?.test(text)),
      [],
      "errors in the page",
    );
  }
}
