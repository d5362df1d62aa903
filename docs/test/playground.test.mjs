import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { serve } from "vitepress";

const executablePath = (process.env.PATH ?? "")
  .split(delimiter)
  .flatMap((folder) => ["chromium-headless-shell", "chromium"].map((name) => join(folder, name)))
  .find((path) => existsSync(path));
const how = "install Chromium: apt-get install chromium-headless-shell";
if (executablePath === undefined && process.env.CI === "true") throw new Error(how);
const skip = executablePath === undefined && how;

const ALGORITHMS = ["Fixed window", "Two counters", "Token bucket", "sluicegate"];

/** Serves the built site. */
let site;
let browser;
before(async () => {
  if (skip) return;
  site = await serve({ root: fileURLToPath(new URL("../", import.meta.url)), port: 0 });
  // The flags keep Chromium from opening connections of its own.
  const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"];
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox", ...quiet] });
});
after(async () => {
  await browser?.close();
  site?.server.close();
});

/** Opens the playground for one test, which fails if the page reports an error. */
function playground(name, options, run) {
  test(name, { skip }, async () => {
    const page = await browser.newPage(options);
    const errors = [];
    page.on("console", (message) => {
      if (message.type() === "error") errors.push(`${message.text()} ${message.location().url}`);
    });
    page.on("pageerror", (error) => errors.push(error.message));
    const origin = `http://localhost:${site.server.address().port}`;
    page.on("request", (request) => {
      if (!/^(data|blob):/.test(request.url()) && !request.url().startsWith(origin)) errors.push(request.url());
    });
    await page.goto(`${origin}/playground`, { waitUntil: "networkidle" });
    try {
      await run(page);
      assert.deepEqual(errors, []);
    } finally {
      await page.close();
    }
  });
}

/** The most admitted in any window, from the table: one number for each algorithm. */
async function most(page) {
  const rows = ALGORITHMS.map((name) => page.locator(`tr[data-algorithm="${name}"] td`).first().textContent());
  return (await Promise.all(rows)).map(Number);
}

const waitForSummary = (page, text) =>
  page.waitForFunction((part) => document.querySelector("[role=status]").textContent.includes(part), text);

const hasOverflow = (page) => page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);

playground("the edge burst shows 200 at the counter and 100 at sluicegate", {}, async (page) => {
  assert.deepEqual(await most(page), [200, 109, 119, 100]);
  const labels = await page
    .locator(".lanes svg")
    .evaluateAll((pictures) => pictures.map((svg) => svg.getAttribute("aria-label")));
  assert.match(labels[0], /^Fixed window: 200 calls admitted, 0 refused. The fullest window holds 200 admitted calls/);
  assert.match(labels[3], /^sluicegate: 100 calls admitted, 100 refused. The fullest window holds 100 admitted calls/);
});

playground("the sliders change the limit and the period", {}, async (page) => {
  await page.getByRole("slider", { name: "Limit" }).fill("40");
  await waitForSummary(page, "the limit is 40 in 60 s");
  const [fixed, , , exact] = await most(page);
  assert.deepEqual([fixed, exact], [80, 40]);
  await page.getByRole("slider", { name: "Period" }).fill("10");
  await waitForSummary(page, "the limit is 40 in 10 s");
  assert.equal(
    await page
      .locator(".lanes .bracket-text")
      .first()
      .textContent()
      .then((text) => text.trim()),
    "80 in 10 s",
  );
});

playground("the keyboard reaches and moves every control", {}, async (page) => {
  await page.locator("input[name=pattern][value=edge]").focus();
  await page.keyboard.press("ArrowDown");
  await waitForSummary(page, "450 calls arrive");
  await page.keyboard.press("Tab");
  await page.keyboard.press("ArrowRight");
  await waitForSummary(page, "the limit is 101 in 60 s");
  await page.keyboard.press("Tab");
  await page.keyboard.press("ArrowLeft");
  await waitForSummary(page, "the limit is 101 in 59 s");
});

playground("an invalid list has a message, and keeps its text and the picture", {}, async (page) => {
  await page.getByRole("radio", { name: "Pasted times" }).check();
  const times = page.getByRole("textbox", { name: "Times of the calls" });
  await times.fill("1 2 3");
  await waitForSummary(page, "3 calls arrive");
  await times.fill("1 2 3\nfour");
  await page.getByText("Line 2: expected a time in seconds, 0 or more, got `four`.").waitFor();
  assert.equal(await times.getAttribute("aria-invalid"), "true");
  assert.deepEqual(await most(page), [3, 3, 3, 3]);
  await page.getByRole("radio", { name: "Attacker" }).check();
  await waitForSummary(page, "1100 calls arrive");
  await page.getByRole("radio", { name: "Pasted times" }).check();
  assert.equal(await times.inputValue(), "1 2 3\nfour");
  await times.fill("0 500 1000 60999");
  await page.getByRole("radio", { name: "milliseconds" }).check();
  await waitForSummary(page, "4 calls arrive");
  assert.deepEqual(await most(page), [3, 3, 3, 3]);
});

for (const colorScheme of ["light", "dark"]) {
  const phone = { viewport: { width: 360, height: 740 }, colorScheme, reducedMotion: "reduce" };
  playground(`a phone shows every pattern without horizontal scrolling, ${colorScheme}`, phone, async (page) => {
    for (const radio of await page.locator("input[name=pattern]").all()) {
      await radio.check();
      assert.equal(await hasOverflow(page), false);
      const table = page.getByRole("region", { name: "Results" });
      assert.equal(await table.evaluate((region) => region.scrollWidth > region.clientWidth), false);
    }
  });
}
