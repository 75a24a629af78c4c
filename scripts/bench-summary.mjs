// Gathers the planner's figures, the real months where they were run, and the gas snapshots into one flat object,
// prints it as a table, and the planner's with what peers need beside them.
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [bench, snapshots, target] = process.argv.slice(2);
const read = (path) => JSON.parse(readFileSync(path));
const summary = {};
const put = (name, value, places = 4) => (summary[name] = Number(value.toFixed(places)));

for (const [name, value] of Object.entries(read(join(bench, "plan.json")))) put(name, value);

// A month's run of ours and what the optima of the same month came to, from `optimizer compare --json`.
const month = (name) => {
  const path = join(bench, `month_${name}.json`);
  if (!existsSync(path)) return undefined;
  const found = read(path);
  const by = (algorithm) => found.runs.find((run) => run.algorithm === algorithm);
  const broken = found.runs.filter((run) => run.algorithm !== "uncontrolled" && (run.limit_violations || run.plans_broken));
  if (broken.length) throw new Error(`${name}: ${broken.map((run) => run.algorithm)} break limits`);
  return { ours: by("ours"), optimum: by("optimum"), flexibility: found.flexibility };
};
for (const [key, name] of [["may_continuous", "may"], ["may_discrete", "may_discrete"], ["july_continuous", "july"], ["july_discrete", "july_discrete"]]) {
  const found = month(name);
  if (!found) continue;
  put(`caltech_${key}_profit_pct`, found.ours.profit_percent_of_optimum, 2);
  put(`caltech_${key}_met_pct`, found.ours.met_percent, 2);
}
for (const [key, name] of [["20kw", "may_20kw"], ["20kw_discrete", "may_20kw_discrete"]]) {
  const found = month(name);
  if (found) put(`caltech_${key}_energy_pct_of_optimum`, found.ours.energy_percent_of_most, 2);
}
const may = month("may");
if (may) {
  put("caltech_may_offline_optimum_usd", may.optimum.profit_micro / 1e6, 2);
  put("flex_value_correlation", may.flexibility.flex_value_correlation, 3);
}

for (const file of readdirSync(snapshots)) {
  for (const [name, gas] of Object.entries(read(join(snapshots, file)))) summary[`${name}_gas`] = Number(gas);
}

// Measured beside each other on another machine, on which the plain program of 50 cars takes 8 ms (FACTS of the project).
const peers = {
  plan_n50_ms: ["adacharge's program on HiGHS", 58, 8],
  plan_n1000_s: ["adacharge's program on HiGHS", 5.1, 8],
  discrete_n50_s: ["evcc's optimizer, CBC", 6.4, 8],
  discrete_n100_s: ["evcc's optimizer, CBC", 15.4, 8],
};
const names = Object.keys(summary).sort();
const width = Math.max(...names.map((name) => name.length));
for (const name of names) {
  const peer = peers[name];
  const beside = peer ? `  (${peer[0]}: ${peer[1]} where the plain program takes ${peer[2]} ms)` : "";
  console.log(`${name.padEnd(width)}  ${summary[name]}${beside}`);
}
writeFileSync(target, JSON.stringify(Object.fromEntries(names.map((name) => [name, summary[name]])), null, 2) + "\n");
