// Drives Chromium over one of the two pages and says what it saw, as JSON lines on stdout. Run by pages.rs:
//   node page.mjs live URL | node page.mjs report FILE-URL
// In `live` it prints a first line, waits for a line on stdin (a new report was pushed), and prints a second.
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";

const SETUP = "run scripts/setup";

function chromiumPath() {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const places = folders.flatMap((folder) => ["chromium", "chromium-browser"].map((name) => join(folder, name)));
  const path = places.find((place) => existsSync(place));
  if (!path) throw new Error(`no chromium on PATH: ${SETUP}`);
  return path;
}

async function launch() {
  const { chromium } = await import("playwright-core").catch(() => {
    throw new Error(`playwright-core is not in node_modules: ${SETUP}`);
  });
  const args = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"];
  return chromium.launch({ executablePath: chromiumPath(), args });
}

/** What a reader would count. Runs in the page. */
function count() {
  const texts = (selector) => [...document.querySelectorAll(selector)].map((node) => node.textContent);
  const cells = (row) => [...row.children].map((cell) => cell.textContent);
  const number = (selector) => document.querySelectorAll(selector).length;
  return {
    now: Number(document.querySelector("main").dataset.now),
    title: document.title,
    heading: texts("h1")[0],
    connection: texts(".connection:not([hidden])")[0] ?? null,
    cards: number(".card"),
    plans: number('[aria-label^="Plans"] tbody tr'),
    metered: number("#chart-power .bar.metered"),
    planned: number("#chart-power .bar.plan"),
    rects: number("#chart-power .bar rect"),
    limits: number("#chart-power line.limit"),
    uncontrolled: number("#chart-power path.uncontrolled"),
    prices: number("#chart-price path.buy") + number("#chart-price path.sell"),
    charge: number("#chart-charge path.soc"),
    sessions: number("#chart-gantt .session"),
    rows: Object.fromEntries([...document.querySelectorAll("tr[data-key]")].map((row) => [row.dataset.key, cells(row)])),
    overflow: document.documentElement.scrollWidth - window.innerWidth,
    unlabelled: number("svg.chart:not([aria-label])"),
  };
}

const [mode, url] = process.argv.slice(2);
const browser = await launch();
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  const [errors, requests] = [[], []];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && errors.push(message.text()));
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("request", (request) => request.url().startsWith("data:") || requests.push(request.url()));
  const say = async (extra = {}) => {
    const seen = await page.evaluate(count);
    console.log(JSON.stringify({ ...seen, errors, requests, ...extra }));
  };

  await page.goto(url);
  await page.waitForSelector("main[data-now] #chart-gantt .session");
  if (mode === "live") {
    const before = await page.$eval("main", (main) => main.dataset.now);
    await page.evaluate(() => (document.querySelector("tr[data-key]").marked = true));
    await say();
    await new Promise((resolve) => createInterface({ input: process.stdin }).once("line", resolve));
    await page.waitForFunction((old) => document.querySelector("main").dataset.now !== old, before);
    await say({ sameRow: await page.evaluate(() => document.querySelector("tr[data-key]").marked === true) });
  } else {
    await page.focus("#chart-power svg");
    await page.keyboard.press("ArrowRight");
    const tip = await page.$eval("#chart-power .tip", (node) => (node.hidden ? "" : node.textContent));
    await page.setViewportSize({ width: 360, height: 800 });
    await page.waitForFunction(() => document.querySelector("#chart-power svg").clientWidth < 360);
    await say({ tip });
  }
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  await browser.close();
  process.exit();
}
