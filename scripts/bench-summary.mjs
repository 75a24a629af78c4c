// Gathers criterion's estimates and the gas snapshots into one flat object, and prints it as a table.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [criterion, snapshots, target] = process.argv.slice(2);
const summary = {};

for (const group of readdirSync(join(criterion, "plan"), { withFileTypes: true })) {
  if (!group.isDirectory() || group.name === "report") continue;
  for (const size of readdirSync(join(criterion, "plan", group.name))) {
    if (!/^\d+$/.test(size)) continue;
    const estimates = JSON.parse(readFileSync(join(criterion, "plan", group.name, size, "new", "estimates.json")));
    summary[`plan_${group.name}_${size}_ms`] = Number((estimates.median.point_estimate / 1e6).toFixed(4));
  }
}
for (const key of Object.keys(summary)) {
  const plain = key.match(/^plan_solve_check_(\d+)_ms$/)?.[1];
  if (plain) summary[`plan_solve_check_over_plain_${plain}_ratio`] = Number((summary[key] / summary[`plan_plain_${plain}_ms`]).toFixed(3));
}
for (const file of readdirSync(snapshots)) {
  for (const [name, gas] of Object.entries(JSON.parse(readFileSync(join(snapshots, file))))) summary[`${name}_gas`] = Number(gas);
}

const names = Object.keys(summary).sort();
const width = Math.max(...names.map((name) => name.length));
for (const name of names) console.log(`${name.padEnd(width)}  ${summary[name]}`);
writeFileSync(target, JSON.stringify(Object.fromEntries(names.map((name) => [name, summary[name]])), null, 2) + "\n");
