//! The plan of a site as a linear program: the only module that names the solver or holds a float.
//!
//! **Model.** For needs i, intervals k, groups g (words: `ARCHITECTURE.md`): power `p(i,k) ∈ [0, max]` inside the need's
//! window, `Σ_k p(i,k) ≤ energy`; PV used `∈ [0, available]`; battery charge and discharge `∈ [0, max]`, content
//! `100·s' = 100·s + charge_percent·charge − discharge_percent·discharge ∈ [floor, capacity]`; flow into each group from its
//! parent `f(g,k) ∈ [−export, max(import, base load)]`, at the root import − export; one balance per group:
//! `f(g) = base load + p + charge − discharge − PV + Σ f(children)`; every row `Σ a(r,g) · load(g) ≤ b(r,k)`; and
//! `import − m ≤ peak so far`. Minimised is import at its price less export at the feed-in price, plus m at the peak's price,
//! plus unmet need at its penalty, energy for cars that may have gone at the risk price, import into the reserve at its own,
//! and wear, less the end value of what batteries hold. Needs are soft and all powers may be zero, so a plan always exists.
//!
//! **Scale.** Powers in steps of 10 W, energies in quanta of 2.5 Wh (one step for one interval), prices in 1000 micro
//! per kWh. Then all balances have coefficients ±1; without batteries, rows and a partial first interval they are the
//! constraints of a network flow, so a vertex solution is whole steps and rounding loses nothing.
//!
//! **Ties.** Money first, then the running plan (`STABLE` for every step that it gave too), then earlier charging
//! (`TIE` over the horizon). Both together are below half the smallest price step, so that they decide between equal
//! prices only. The weight of `TIE` also uses sun that is worth nothing and keeps batteries still.
//!
//! **Posted setpoints** are upper bounds with a reward above every penalty: kept as far as the limits and the need's
//! energy allow, and never a cause of infeasibility.
//!
//! **Rows** are many and few of them bind, so the program starts without them; those that the answer breaks are added,
//! and the next run starts from the basis of the last, until none is broken.
//!
//! **Start.** The program starts from the basis of the plan before, or else from the one that is best if only prices
//! counted: every need filled from its cheapest interval on, all limits slack. All columns are boxed, so it is dual
//! feasible, and the dual simplex method only repairs what limits and batteries change.
//!
//! **Marginal prices.** The dual of a group's balance is by definition the cost of one more kWh of load there, limits
//! above it included; rows add their coefficient times their own dual. Where a limit cannot bind at all its group shares
//! the balance, and so the price, of its parent.

mod highs;
mod model;
mod round;
mod ways;

use crate::amounts::{energy, priority, risk_price};
use crate::draft::Draft;
use crate::network::Network;
use crate::problem::Problem;
use crate::schedule::{Multipliers, Schedule, Status};
use crate::units::{INTERVAL_S, MicroPerKwh};
use crate::validate::validate;
use highs::{AT_LOWER, AT_UPPER, BASIC, Ended, Solver, UNKNOWN, Values};
use model::{CONTENT_PER_QUANTUM, Kind, Model, Pair, key, peak_price, reserved, weight};
use rayon::prelude::*;
use std::ffi::c_int;
use ways::Ways;

pub use crate::fallback::{fallback, uncontrolled};

/// Prices in the model are thousands of micro per kWh.
const PRICE_UNIT: f64 = 1000.0;
/// Weight of the last tie breakers: 0.1 micro per kWh, ten times below a price step and a thousand times above the
/// solver's dual tolerance of 1e-7.
const TIE: f64 = 1e-4;
/// Weight of what the running plan gave: above [`TIE`], and with it below half a price step.
const STABLE: f64 = 3e-4;
/// How much more it costs to depart from what somebody else has posted than to leave a need unmet. Above 1, and above
/// the ratio of a battery's losses, so that posted power gives way only to limits.
const FIXED_WEIGHT: f64 = 10.0;
/// What the solver calls whole may be this far from it.
const WHOLE: f64 = 1e-6;
/// A search over directions may stop this close to the best: as a share of what all energy would cost at the highest price.
const SEARCH_GAP: f64 = 1e-4;
/// A search over directions may stop after so many nodes: a count, and not a time, so that it ends the same everywhere.
const SEARCH_NODES: i32 = 200;
/// A search over directions may take this share of the time that is left.
const SEARCH_SHARE: f64 = 0.5;
/// Most times that broken rows are added; what is still broken then, rounding cuts away.
const CUT_ROUNDS: usize = 30;
/// A row counts as broken beyond this, in steps of its largest coefficient.
const CUT_SLACK: f64 = 1e-4;

/// Why there is no plan. The caller plans by [`fallback`] instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SolveError {
    /// An index or size in the problem does not fit, or a number is absurd.
    #[error("the problem is not valid: {0}")]
    Invalid(String),
    /// The solver ran out of time.
    #[error("the solver did not finish within {limit_ms} ms")]
    Late {
        /// The limit it was given.
        limit_ms: u32,
    },
    /// The solver failed.
    #[error("the solver failed: {0}")]
    Solver(String),
}

/// Plans `problem` to the optimum of its linear program, rounded to 10 W inside all limits. One thread, and the same
/// problem gives the same schedule. `time_limit_ms` holds for all its programs together: one; a few where prices are below
/// zero or below the feed-in price, and there the optimum is that of the directions chosen for grid connection and
/// batteries. Where only some of them end in time their best counts, and its status says so; where none does there is no
/// plan.
///
/// In the first interval no car is given a power that its EVSE cannot hold (but for setpoints that somebody else has
/// posted): it gets the next one above or below. A car with less than one interval at the next power to go may get that
/// power, because it takes no more than it needs.
pub fn solve(problem: &Problem, time_limit_ms: u32) -> Result<Schedule, SolveError> {
    Planner::new().plan(problem, time_limit_ms)
}

/// [`solve`] for many sites, on as many threads as the pool has: the same schedules on any number of them, in the order of
/// the problems.
pub fn solve_all(problems: &[Problem], time_limit_ms: u32) -> Vec<Result<Schedule, SolveError>> {
    problems.par_iter().map_init(Planner::new, |planner, problem| planner.plan(problem, time_limit_ms)).collect()
}

/// Plans one problem after the other and remembers where the last one ended, so that a plan of the same site a little
/// later starts there. With memory, equal optima may be told apart by where the search began: a plan that must be the
/// same on every machine comes from [`solve`].
#[derive(Debug)]
pub struct Planner {
    solver: Solver,
    model: Model,
    values: Values,
    /// Statuses of the last basis by key, sorted.
    memory: Vec<(u64, c_int)>,
    remembers: bool,
    guesses: bool,
    /// Whether the plan under way wants multipliers too.
    certifies: bool,
    /// Rows of the problem that bound in the last plan, with their intervals of the calendar.
    bound: Vec<(usize, u64)>,
    columns: Vec<c_int>,
    rows: Vec<c_int>,
    iterations: i32,
}

impl Default for Planner {
    fn default() -> Self {
        Self::new()
    }
}

impl Planner {
    /// A planner that starts every plan afresh.
    pub fn new() -> Self {
        Self {
            solver: Solver::new(),
            model: Model::default(),
            values: Values::default(),
            memory: Vec::new(),
            bound: Vec::new(),
            remembers: false,
            guesses: true,
            certifies: false,
            columns: Vec::new(),
            rows: Vec::new(),
            iterations: 0,
        }
    }

    /// A planner that leaves the start to the solver, presolve and all: to compare with.
    pub fn from_nothing() -> Self {
        Self { guesses: false, ..Self::new() }
    }

    /// A planner that starts every plan where the last one ended.
    pub fn with_memory() -> Self {
        Self { remembers: true, ..Self::new() }
    }

    /// Iterations of the simplex method that the last plan took.
    pub fn iterations(&self) -> i32 {
        self.iterations
    }

    /// See [`solve`].
    pub fn plan(&mut self, problem: &Problem, time_limit_ms: u32) -> Result<Schedule, SolveError> {
        self.certifies = false;
        self.plan_with_multipliers(problem, time_limit_ms).map(|(schedule, _)| schedule)
    }

    /// As [`Planner::plan`], the same schedule, and the multipliers that a certificate is made of: duals of the program
    /// once more without ties and posted setpoints' rewards, so that they speak of money alone.
    pub fn plan_to_certify(
        &mut self,
        problem: &Problem,
        time_limit_ms: u32,
    ) -> Result<(Schedule, Multipliers), SolveError> {
        self.certifies = true;
        self.plan_with_multipliers(problem, time_limit_ms)
    }

    fn plan_with_multipliers(
        &mut self,
        problem: &Problem,
        time_limit_ms: u32,
    ) -> Result<(Schedule, Multipliers), SolveError> {
        validate(problem).map_err(SolveError::Invalid)?;
        let network = Network::new(problem);
        if problem.horizon == 0 {
            let draft = Draft::new(problem, &network);
            let schedule = draft.finish(vec![Vec::new(); problem.groups.len()], Status::Optimal);
            return Ok((schedule, Multipliers::default()));
        }
        self.iterations = 0;
        self.solver.start_clock();
        let answer = ways::best(problem, &mut |ways| self.run(problem, &network, ways, time_limit_ms))?;
        Ok((round::round(problem, &network, &answer), answer.multipliers))
    }

    /// As [`Planner::plan`], and the [`fallback`] where that has no plan: fails only where the problem is invalid.
    pub fn plan_or_fall_back(&mut self, problem: &Problem, time_limit_ms: u32) -> Result<Schedule, SolveError> {
        match self.plan(problem, time_limit_ms) {
            Err(error) if !matches!(error, SolveError::Invalid(_)) => Ok(fallback(problem, &error.to_string())),
            outcome => outcome,
        }
    }

    fn run(&mut self, problem: &Problem, network: &Network, ways: &Ways, limit_ms: u32) -> Result<Answer, SolveError> {
        self.model.build(problem, network, ways);
        let first = u64::from(problem.first.0);
        let remembered = self.bound.iter().filter_map(|(index, at)| {
            let row = network.rows.iter().position(|row| row.index == *index)?;
            let k = usize::try_from(at.checked_sub(first)?).ok()?;
            (k < problem.horizon).then(|| Cut::new(network, row, k))
        });
        let mut cuts: Vec<Cut> = remembered.collect();
        let searching = !self.model.program.binary.is_empty();
        if !self.solver.load(&self.model.program) {
            return Err(SolveError::Solver("it refused the program".to_owned()));
        }
        let limit_s = f64::from(limit_ms) / 1000.0;
        self.solver.real(c"time_limit", limit_s);
        if searching {
            cuts.clear();
            // The clock of a search starts with it; the rest is for the program that follows.
            let left_s = (limit_s - self.solver.clock_s()).max(0.0);
            self.solver.real(c"time_limit", SEARCH_SHARE * left_s);
            self.solver.real(c"mip_rel_gap", 0.0);
            self.solver.real(c"mip_abs_gap", search_gap(problem, network));
            self.solver.whole(c"mip_max_nodes", SEARCH_NODES);
        } else {
            cuts.iter().for_each(|cut| self.add(network, problem, *cut));
            if self.guesses {
                self.recall(&cuts, first);
                self.solver.set_basis(&self.columns, &self.rows);
            }
        }
        let mut status = Status::Optimal;
        for _ in 0..CUT_ROUNDS {
            let mut ended = self.solver.run();
            if matches!(ended, Ended::Failed(_)) {
                // Seen once in some hundred starts from a basis of another program: clean-up stops short of the optimum.
                self.solver.forget();
                ended = self.solver.run();
            }
            match ended {
                // It cannot vouch for the last digit of the duals; what it has is feasible, and checked again.
                Ended::Failed(UNKNOWN) if self.solver.has_point() => {}
                Ended::Optimal => {}
                // A search that stopped early has directions to show; a linear program that did has nothing.
                Ended::TimeLimit if searching && self.solver.has_point() => status = Status::TimeLimit,
                Ended::TimeLimit => return Err(SolveError::Late { limit_ms }),
                Ended::Failed(status) => return Err(SolveError::Solver(format!("HiGHS ended with status {status}"))),
            }
            self.iterations += self.solver.iterations();
            self.solver.values(&mut self.values);
            let broken = self.broken(network, &cuts);
            if broken.is_empty() {
                break;
            }
            for cut in broken {
                self.add(network, problem, cut);
                cuts.push(cut);
            }
        }
        if self.remembers && !searching {
            self.remember(&cuts, first);
        }
        let mut answer = self.answer(problem, network, &cuts, status);
        if self.certifies && !searching {
            answer.multipliers = self.multipliers(problem, &cuts);
        }
        Ok(answer)
    }

    /// Duals of the program as it stands, at costs of money alone. Where that run fails they are those of the last one:
    /// any multipliers prove something.
    fn multipliers(&mut self, problem: &Problem, cuts: &[Cut]) -> Multipliers {
        if self.solver.set_costs(&self.model.program.money) && self.solver.run() == Ended::Optimal {
            self.iterations += self.solver.iterations();
            self.solver.values(&mut self.values);
        }
        let dual = |row: usize| whole_micro(self.values.row_dual[row]);
        let price = |g: usize| self.model.balance.iter().map(|rows| dual(rows[g])).collect();
        let mut rows = vec![Vec::new(); problem.rows.len()];
        let first_cut = self.model.row_key.len();
        for (at, cut) in cuts.iter().enumerate() {
            let row: &mut Vec<i64> = &mut rows[cut.index];
            row.resize(problem.horizon, 0);
            row[cut.k] = -dual(first_cut + at);
        }
        Multipliers {
            node_price: (0..problem.groups.len()).map(price).collect(),
            peak: self.model.above.iter().map(|row| row.map_or(0, |row| -dual(row))).collect(),
            stored: self.model.stored.iter().map(|rows| rows.iter().map(|row| -dual(*row)).collect()).collect(),
            rows,
        }
    }

    /// The basis to start from: what is remembered of each column and row, else the guess.
    fn recall(&mut self, cuts: &[Cut], first: u64) {
        let remembered = |key: u64| {
            let at = self.memory.binary_search_by_key(&key, |(key, _)| *key).ok()?;
            Some(self.memory[at].1)
        };
        let find = |keys: &[u64], guess: &[c_int], into: &mut Vec<c_int>| {
            into.clear();
            into.extend(keys.iter().zip(guess).map(|(key, guess)| remembered(*key).unwrap_or(*guess)));
        };
        find(&self.model.column_key, &self.model.column_start, &mut self.columns);
        // The running plan splits a need's columns anew: all that it gives is at its bound, or basic where one of them was.
        for (id, columns) in self.model.need_id.iter().zip(&self.model.need) {
            for parts in columns.chunk_by(|(k, _), (next, _)| k == next) {
                let name = |kind: Kind| key(kind, *id, first + parts[0].0 as u64);
                let before = [Kind::Running, Kind::Need].map(|kind| remembered(name(kind)));
                if before == [None, None] {
                    continue;
                }
                let mut basic = before.contains(&Some(BASIC));
                for (_, column) in parts {
                    let runs = self.model.column_key[*column] == name(Kind::Running);
                    let bound = if runs { AT_UPPER } else { AT_LOWER };
                    self.columns[*column] = if std::mem::take(&mut basic) { BASIC } else { bound };
                }
            }
        }
        find(&self.model.row_key, &self.model.row_start, &mut self.rows);
        self.rows.extend(cuts.iter().map(|cut| remembered(cut.key(first)).unwrap_or(BASIC)));
    }

    fn remember(&mut self, cuts: &[Cut], first: u64) {
        self.solver.basis(&mut self.columns, &mut self.rows);
        self.memory.clear();
        let cut_keys = cuts.iter().map(|cut| cut.key(first));
        // Rows that no longer bind are forgotten, or they would only pile up.
        let binds = |(at, _): &(usize, &Cut)| self.rows[self.model.row_key.len() + at] != BASIC;
        let bound = cuts.iter().enumerate().filter(binds);
        self.bound = bound.map(|(_, cut)| (cut.index, first + cut.k as u64)).collect();
        self.memory.extend(self.model.column_key.iter().copied().zip(self.columns.iter().copied()));
        let row_keys = self.model.row_key.iter().copied().chain(cut_keys);
        self.memory.extend(row_keys.zip(self.rows.iter().copied()));
        self.memory.sort_unstable();
    }

    /// Rows that the last run broke: of every interval the worst of each family that points the same way.
    fn broken(&self, network: &Network, cuts: &[Cut]) -> Vec<Cut> {
        let mut found = Vec::new();
        if network.rows.is_empty() {
            return found;
        }
        let mut load = vec![0.0; network.path.len()];
        for (k, drawing) in self.model.drawing.iter().enumerate() {
            for (group, base) in load.iter_mut().zip(&network.base) {
                *group = base[k] as f64;
            }
            drawing.iter().for_each(|(group, sign, column)| load[*group] += sign * self.values.column[*column]);
            let mut value = vec![0.0; network.rows.len()];
            for (group, rows) in network.rows_of.iter().enumerate() {
                rows.iter().for_each(|(row, coefficient)| value[*row] += *coefficient as f64 * load[group]);
            }
            let mut worst: Vec<Option<(f64, usize)>> = vec![None; value.len()];
            for (row, value) in value.iter().enumerate() {
                let active = &network.rows[row];
                let over = (value - active.bound[k] as f64) / active.scale as f64;
                let worst = &mut worst[active.family];
                if over > CUT_SLACK && worst.is_none_or(|(most, _)| over > most) {
                    *worst = Some((over, row));
                }
            }
            let new = worst.into_iter().flatten().map(|(_, row)| Cut::new(network, row, k));
            found.extend(new.filter(|new| !cuts.iter().any(|cut| cut.row == new.row && cut.k == k)));
        }
        found
    }

    fn add(&mut self, network: &Network, problem: &Problem, cut: Cut) {
        let row = &network.rows[cut.row];
        let scale = row.scale as f64;
        let coefficient = |group: usize| {
            let of = network.rows_of[group].iter().find(|(r, _)| *r == cut.row);
            of.map_or(0.0, |(_, coefficient)| *coefficient as f64 / scale)
        };
        let base: f64 =
            (0..problem.groups.len()).map(|group| coefficient(group) * network.base[group][cut.k] as f64).sum();
        let (mut index, mut value) = (Vec::new(), Vec::new());
        for (group, sign, column) in &self.model.drawing[cut.k] {
            let of = coefficient(*group);
            if of != 0.0 {
                index.push(*column as c_int);
                value.push(sign * of);
            }
        }
        self.solver.add_row(f64::NEG_INFINITY, row.bound[cut.k] as f64 / scale - base, &index, &value);
    }

    /// The answer of the last run.
    fn answer(&self, problem: &Problem, network: &Network, cuts: &[Cut], status: Status) -> Answer {
        let value = |column: usize| self.values.column[column];
        let dense = |columns: &Vec<(usize, usize)>| -> Vec<f64> {
            let mut row = vec![0.0; problem.horizon];
            columns.iter().for_each(|(k, column)| row[*k] += value(*column));
            row
        };
        let flows = |pairs: &[Pair]| -> Vec<Flow> {
            pairs.iter().map(|pair| Flow { into: value(pair.into), out: value(pair.out) }).collect()
        };
        let least = |j: usize| crate::amounts::content_min(&problem.storages[j]) as f64 / CONTENT_PER_QUANTUM;
        let content = |(j, row): (usize, &Vec<usize>)| row.iter().map(|c| value(*c) + least(j)).collect();
        let mut answer = Answer {
            need: self.model.need.iter().map(dense).collect(),
            pv: self.model.pv.iter().map(dense).collect(),
            storage: self.model.storage.iter().map(|pairs| flows(pairs)).collect(),
            content: self.model.content.iter().enumerate().map(content).collect(),
            grid: flows(&self.model.grid),
            above_peak: self.model.peak.map_or(0.0, value),
            objective: 0.0,
            node_price: self.node_prices(problem, cuts),
            multipliers: Multipliers::default(),
            status,
        };
        for (flow, reserved) in answer.grid.iter_mut().zip(&self.model.reserved) {
            flow.into += reserved.map_or(0.0, value);
        }
        answer.objective = objective(problem, network, &answer);
        answer
    }

    fn node_prices(&self, problem: &Problem, cuts: &[Cut]) -> Vec<Vec<MicroPerKwh>> {
        let first_cut = self.model.row_key.len();
        let mut extra = vec![0.0; if cuts.is_empty() { 0 } else { problem.groups.len() * problem.horizon }];
        for (at, cut) in cuts.iter().enumerate() {
            let row = &problem.rows[cut.index];
            let scale = row.terms.iter().map(|t| t.coefficient.abs()).max().unwrap_or(1) as f64;
            let dual = self.values.row_dual[first_cut + at];
            for term in &row.terms {
                extra[term.group * problem.horizon + cut.k] -= dual * term.coefficient as f64 / scale;
            }
        }
        let most = 2.0 * highest_price(problem);
        let at = |g: usize, k: usize| {
            let dual = self.values.row_dual[self.model.balance[k][g]];
            let rows = extra.get(g * problem.horizon + k).copied().unwrap_or(0.0);
            micro(((dual + rows) / weight(problem, k)).clamp(-most, most))
        };
        (0..problem.groups.len()).map(|g| (0..problem.horizon).map(|k| at(g, k)).collect()).collect()
    }
}

/// A row of the problem in one interval that the program had to be told of.
#[derive(Debug, Clone, Copy)]
struct Cut {
    /// Index into the network's rows.
    row: usize,
    /// Index into the problem's rows.
    index: usize,
    k: usize,
}

impl Cut {
    fn new(network: &Network, row: usize, k: usize) -> Self {
        Self { row, index: network.rows[row].index, k }
    }

    /// Its name in the calendar, where `first` is the problem's first interval.
    fn key(self, first: u64) -> u64 {
        key(Kind::Cut, self.index as u64, first + self.k as u64)
    }
}

/// Values of a [`Pair`].
#[derive(Debug)]
struct Flow {
    into: f64,
    out: f64,
}

impl Flow {
    fn net(&self) -> f64 {
        self.into - self.out
    }
}

/// The solver's answer, in steps.
#[derive(Debug)]
struct Answer {
    /// By need and interval.
    need: Vec<Vec<f64>>,
    /// By PV inverter and interval.
    pv: Vec<Vec<f64>>,
    /// Charge and discharge.
    storage: Vec<Vec<Flow>>,
    /// At the end of each interval, quanta.
    content: Vec<Vec<f64>>,
    /// Import and export.
    grid: Vec<Flow>,
    /// Import above the peak so far.
    above_peak: f64,
    /// What the plan costs in truth, penalties and end values included, but for constants.
    objective: f64,
    node_price: Vec<Vec<MicroPerKwh>>,
    multipliers: Multipliers,
    status: Status,
}

/// What an answer costs at the true prices, in the model's unit.
fn objective(problem: &Problem, network: &Network, answer: &Answer) -> f64 {
    let mut sum = problem.peak.as_ref().map_or(0.0, |peak| peak_price(peak) * answer.above_peak);
    for (k, flow) in answer.grid.iter().enumerate() {
        let net = flow.net() * weight(problem, k);
        sum += net * price(if net > 0.0 { problem.import_price[k] } else { problem.feed_in_price[k] });
        if let Some(reserve) = &problem.reserve {
            let free = (network.import[0][k] - reserved(problem, k)).max(0) as f64;
            sum += price(reserve.price) * (flow.net() - free).max(0.0) * weight(problem, k);
        }
    }
    let penalty = price(problem.shortfall_penalty) / 100.0;
    for (need, powers) in problem.needs.iter().zip(&answer.need) {
        let reward = penalty * priority(need.priority_percent) as f64;
        let worth = |k: usize| reward - price(risk_price(problem, need, k));
        sum -= powers.iter().enumerate().map(|(k, power)| worth(k) * power * weight(problem, k)).sum::<f64>();
    }
    for ((storage, flows), contents) in problem.storages.iter().zip(&answer.storage).zip(&answer.content) {
        let last = storage.stay.map_or(problem.horizon, |(_, until)| until).clamp(1, problem.horizon) - 1;
        sum -= price(storage.end_value) * contents[last];
        let fed: f64 = flows.iter().enumerate().map(|(k, flow)| (-flow.net()).max(0.0) * weight(problem, k)).sum();
        sum += price(storage.cycle_cost) * fed;
        if let Some(target) = &storage.target {
            let missing = (target.content_wh.0 as f64 / 2.5 - contents[last]).max(0.0);
            sum += penalty * priority(target.priority_percent) as f64 * missing;
        }
    }
    sum
}

/// [`SEARCH_GAP`] in the model's unit.
fn search_gap(problem: &Problem, network: &Network) -> f64 {
    let prices = problem.import_price.iter().chain(&problem.feed_in_price);
    let highest = price(MicroPerKwh(prices.map(|p| p.0.abs()).max().unwrap_or(0)));
    let quanta: i64 = problem.needs.iter().map(|need| energy(need.energy_wh) / INTERVAL_S).sum();
    let base: i64 = network.base.iter().flatten().sum();
    SEARCH_GAP * highest * (quanta + base) as f64
}

fn price(price: MicroPerKwh) -> f64 {
    price.0 as f64 / PRICE_UNIT
}

/// The nearest whole price. A cast from a float saturates, and the value was clamped.
fn micro(price: f64) -> MicroPerKwh {
    MicroPerKwh(whole_micro(price))
}

/// A price of the model in whole micro per kWh.
fn whole_micro(price: f64) -> i64 {
    (price * PRICE_UNIT).round() as i64
}

/// The largest magnitude of a price or penalty, in the model's unit; at least one.
fn highest_price(problem: &Problem) -> f64 {
    let prices = problem.import_price.iter().chain(&problem.feed_in_price);
    let end_values = problem.storages.iter().map(|s| &s.end_value);
    let highest = prices.chain(end_values).map(|p| p.0.abs()).max().unwrap_or(0);
    let targets = problem.storages.iter().filter_map(|s| s.target.as_ref()).map(|t| t.priority_percent);
    let priorities = problem.needs.iter().map(|need| need.priority_percent).chain(targets);
    let most = priorities.map(priority).max().unwrap_or(0).max(100);
    let penalty = price(problem.shortfall_penalty).abs() * most as f64 / 100.0;
    let peak = problem.peak.as_ref().map_or(0.0, peak_price);
    let reserve = problem.reserve.as_ref().map_or(0.0, |reserve| price(reserve.price));
    price(MicroPerKwh(highest)).max(penalty).max(peak).max(price(problem.risk_price)).max(reserve).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::{GroupLimit, Need};
    use crate::units::{WattHours, Watts};

    #[test]
    fn one_clock_runs_through_all_programs_of_a_plan() {
        let need = Need { until: 4, max_w: Watts(1_000), energy_wh: WattHours(500), ..Need::default() };
        let problem = Problem {
            horizon: 4,
            lanes: 1,
            groups: vec![GroupLimit { import_w: Watts(5_000), export_w: Watts(5_000), ..GroupLimit::default() }],
            needs: vec![need],
            import_price: vec![MicroPerKwh(1000); 4],
            feed_in_price: vec![MicroPerKwh::ZERO; 4],
            shortfall_penalty: MicroPerKwh(1_000_000),
            ..Problem::default()
        };
        let (network, mut planner) = (Network::new(&problem), Planner::new());
        let ways = ways::Ways { grid: vec![ways::Way::Free; 4], storage: Vec::new() };
        let mut clock_s = vec![0.0];
        for _ in 0..3 {
            assert!(planner.run(&problem, &network, &ways, 10_000).is_ok());
            clock_s.push(planner.solver.clock_s());
        }
        assert!(clock_s.is_sorted_by(|before, after| before < after), "{clock_s:?}");
        planner.solver.start_clock();
        assert!(planner.solver.clock_s() < clock_s[1], "and starts anew with the next");
    }
}
