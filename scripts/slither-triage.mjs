// Compares a report of slither with contracts/slither.json, where everything it has found so far is judged: a finding
// without a reason fails. A reason without its finding is only named, because slither does not read every function in every
// run. Findings are told apart by their first line without line numbers, so that a line more above them changes nothing.
// Usage: slither-triage.mjs <report.json>
import { readFileSync } from "node:fs";

const report = JSON.parse(readFileSync(process.argv[2], "utf8"));
if (!report.success) throw new Error(`slither: ${report.error}`);
const judged = JSON.parse(readFileSync("contracts/slither.json", "utf8"));

const nameOf = (finding) => finding.description.split("\n")[0].replace(/ ?\([^()]*#[0-9-]+\)/g, "").trim();
const covers = (entry, finding) =>
  entry.check === finding.check && (entry.all || entry.findings.includes(nameOf(finding)));

const found = report.results.detectors ?? [];
const news = found.filter((finding) => !judged.some((entry) => covers(entry, finding)));
const gone = judged
  .filter((entry) => !entry.all)
  .flatMap((entry) => entry.findings.map((name) => ({ check: entry.check, name })))
  .filter(({ check, name }) => !found.some((finding) => finding.check === check && nameOf(finding) === name));

for (const finding of news) console.log(`new ${finding.check} (${finding.impact}): ${nameOf(finding)}`);
for (const { check, name } of gone) console.log(`gone ${check}: ${name}`);
console.log(`${found.length} findings, ${news.length} new, ${gone.length} gone`);
process.exit(news.length > 0 ? 1 : 0);
