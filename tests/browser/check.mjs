// Hold the pages of a site against what they promise; exit 1 if one of them does not.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { createRequire } from "node:module";
import puppeteer from "puppeteer-core";

const site = process.argv[2];
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const files = readdirSync(site, { recursive: true }).filter((name) => name.endsWith(".html") && name !== join("api", "index.html")).sort();
const problems = [];
const expect = (good, text) => { if (!good) problems.push(text); };

const size = files.reduce((sum, name) => sum + statSync(join(site, name)).size, 0);
console.log(`${files.length} pages, ${(size / 1e6).toFixed(2)} MB`);
expect(size < 5e6, `the pages have ${size} bytes`);

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"],
});

const open = async (name, scheme = "light", width = 1000) => {
  const page = await browser.newPage();
  await page.setViewport({ width, height: 900 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  const url = pathToFileURL(join(site, name)).href;
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) problems.push(`${name}: console: ${message.text()}`); });
  page.on("pageerror", (error) => problems.push(`${name}: ${error.message}`));
  page.on("request", (request) => {
    if (request.url() !== url && !request.url().startsWith("data:")) problems.push(`${name}: request ${request.url()}`);
  });
  await page.goto(url, { waitUntil: "load" });
  return page;
};

// First paint, the median of five fresh loads of the index.
const paints = [];
for (let i = 0; i < 5; i += 1) {
  const page = await open("index.html");
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  paints.push(await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? Infinity));
  await page.close();
}
paints.sort((a, b) => a - b);
console.log(`first contentful paint: ${paints.map((time) => time.toFixed(0)).join(", ")} ms`);
expect(paints[2] < 1000, `first paint takes ${paints[2]} ms`);

// The filters.
const page = await open("index.html");
const shown = () => page.$$eval(".claim", (nodes) => nodes.filter((node) => !node.closest("[hidden]")).length);
const all = await shown();
const count = () => page.$eval("#count", (node) => node.textContent);
expect((await count()) === `${all} of ${all} claims`, `the count says ${await count()}`);
for (const [field, attribute] of [["outcome", "data-outcome"], ["evidence", "data-evidence"]]) {
  const values = await page.$$eval(`#by-${field} option`, (nodes) => nodes.map((node) => node.value).filter(Boolean));
  for (const value of values) {
    await page.select(`#by-${field}`, value);
    const wanted = await page.$$eval(`.claim[${attribute}~="${value}"], .claim[${attribute}="${value}"]`, (nodes) => nodes.length);
    expect((await shown()) === wanted, `${field} ${value}: ${await shown()} claims are shown, ${wanted} have it`);
    expect((await count()) === `${wanted} of ${all} claims`, `${field} ${value}: the count says ${await count()}`);
  }
  await page.click("button[type=reset]");
  await new Promise((done) => setTimeout(done, 100));
  expect((await shown()) === all, "Show all does not show all");
}
const papers = await page.$$eval("#by-paper option", (nodes) => nodes.map((node) => node.value).filter(Boolean));
await page.select("#by-paper", papers[0]);
expect((await shown()) === (await page.$$eval(`#${papers[0]} .claim`, (nodes) => nodes.length)), `paper ${papers[0]}`);
await page.click("button[type=reset]");
await page.focus("#by-text");
await page.keyboard.type("no such text anywhere");
expect((await shown()) === 0 && !(await page.$eval("#nothing", (node) => node.hidden)), "nothing is left, and nobody says so");
await page.close();
console.log(`filters: ${all} claims`);

// Accessibility and overflow, light and dark, wide and narrow.
for (const name of files) {
  for (const [scheme, width] of [["light", 1000], ["dark", 390]]) {
    const view = await open(name, scheme, width);
    await view.evaluate(axe);
    const { violations } = await view.evaluate(() => window.axe.run({ resultTypes: ["violations"] }));
    for (const violation of violations) {
      problems.push(`${name} (${scheme}): ${violation.id}: ${violation.help}: ${violation.nodes.length} x ${violation.nodes[0].html.slice(0, 120)}`);
    }
    const wide = await view.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(wide <= 0, `${name} at ${width}: ${wide} px wider than the window`);
    await view.close();
  }
}
console.log(`axe-core: ${files.length} pages, light and dark`);
await browser.close();
for (const problem of problems) console.error(problem);
console.log(problems.length ? `${problems.length} problems` : "no problems");
process.exit(problems.length ? 1 : 0);
