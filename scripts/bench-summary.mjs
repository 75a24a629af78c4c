// Gathers the planner's figures, the ACN-Sim months where they were run, and the gas snapshots into one flat object,
// prints it as a table, and the planner's with what peers need beside them.
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [bench, snapshots, target] = process.argv.slice(2);
const read = (path) => JSON.parse(readFileSync(path));
const summary = {};
const put = (name, value, places = 4) => (summary[name] = Number(value.toFixed(places)));

for (const [name, value] of Object.entries(read(join(bench, "plan.json")))) put(name, value);

const month = (name) => (existsSync(join(bench, `acn_${name}.json`)) ? read(join(bench, `acn_${name}.json`)) : undefined);
const [offline, offline20] = [month("offline"), month("offline_20kw")];
if (offline) put("caltech_may_offline_optimum_usd", offline.profit, 2);
for (const name of ["continuous", "discrete"]) {
  const run = month(name);
  if (!run || !offline) continue;
  if (!run.feasible) throw new Error(`ACN-Sim found the ${name} month infeasible`);
  put(`caltech_may_${name}_profit_pct`, (100 * run.profit) / offline.profit, 2);
  put(`caltech_may_${name}_met_pct`, run.sessions_met_pct, 2);
}
for (const [name, key] of [["20kw", "caltech_20kw_energy_pct_of_optimum"], ["20kw_discrete", "caltech_20kw_discrete_energy_pct_of_optimum"]]) {
  const run = month(name);
  if (run && offline20) put(key, (100 * run.delivered_pct) / offline20.delivered_pct, 2);
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
