//! The plan of a site as a linear program: the only module that names the solver or holds a float, and long for that.
//!
//! **Model.** For needs i, intervals k, groups g (formulas and words: `ARCHITECTURE.md`, the problem):
//! power `p(i,k) ∈ [0, max]` inside the need's window, `Σ_k p(i,k) ≤ energy`; PV used `∈ [0, available]`; battery charge
//! and discharge `∈ [0, max]`, content `100·s' = 100·s + charge_percent·charge − discharge_percent·discharge ∈ [0, capacity]`;
//! flow into each group from its parent `f(g,k) ∈ [−export, max(import, base load)]`, at the root import − export;
//! and one balance per group: `f(g) = base load + p + charge − discharge − PV + Σ f(children)`. Minimised is import at its
//! price less export at the feed-in price, plus unmet need at the penalty, less the end value of what batteries hold.
//! Needs are soft and all powers may be zero, so a plan always exists.
//!
//! **Scale.** Powers in steps of 10 W, energies in quanta of 2.5 Wh (one step for one interval), prices in 1000 micro
//! per kWh. Then all balances have coefficients ±1; without batteries they are the constraints of a network flow, so a
//! vertex solution is whole steps and rounding loses nothing.
//!
//! **Ties.** [`TIE`] is a tenth of the smallest price step; the preference for earlier charging grows to it over the horizon.
//! Two intervals whose prices differ at all differ by ten times as much, so it decides between equal prices only, and
//! it never costs more than 0.1 micro per kWh planned (where battery losses make finer differences than a price step).
//! The same weight uses sun that is worth nothing and keeps batteries still where moving them is worth nothing.
//!
//! **Posted setpoints** are upper bounds with a reward above every penalty: kept as far as the limits and the need's
//! energy allow, and never a cause of infeasibility.
//!
//! **Marginal prices.** The dual of a group's balance is by definition the cost of one more kWh of load there, limits
//! above it included. Where a limit cannot bind at all its group shares the balance, and so the price, of its parent.

use crate::draft::{self, Draft, fixed_at, need_max, quanta, steps};
use crate::minimum;
use crate::problem::Problem;
use crate::schedule::{Schedule, Status};
use crate::units::{MicroPerKwh, Watts};
use crate::validate::validate;
use good_lp::solvers::{DualValues, SolutionStatus, SolutionWithDual};
use good_lp::{
    Expression, ProblemVariables, ResolutionError, Solution, SolverModel, Variable, constraint::ConstraintReference,
    variable,
};

pub use crate::fallback::{fallback, uncontrolled};

/// Prices in the model are thousands of micro per kWh.
const PRICE_UNIT: f64 = 1000.0;
/// Weight of the tie breakers: 0.1 micro per kWh, ten times below a price step and a thousand times above the solver's
/// dual tolerance of 1e-7.
const TIE: f64 = 1e-4;
/// How much more it costs to depart from what somebody else has posted than to leave a need unmet. Above 1, and above
/// the ratio of a battery's losses, so that posted power gives way only to limits.
const FIXED_WEIGHT: f64 = 10.0;
/// What the solver calls whole may be this far from it.
const WHOLE: f64 = 1e-6;
/// A search over directions may stop this close to the best: as a share of what all energy would cost at the highest price.
const SEARCH_GAP: f64 = 1e-4;
/// Most intervals whose direction is searched. Half a day of them took 0.1 to 3 s for 10 to 100 cars, mostly before the
/// first branch; starting from three guesses took a tenth of that and found the same cost within 0.05 %.
const SEARCH_MAX: usize = 8;
/// A search over directions may stop after so many nodes: a count, and not a time, so that it ends the same everywhere.
const SEARCH_NODES: i32 = 200;
/// Most runs of the solver from one start; two or three are enough wherever one is not.
const ROUNDS: usize = 6;

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
/// problem gives the same schedule. `time_limit_ms` holds for each run of the solver: one, except where prices are
/// below zero or below the feed-in price. There it takes a few runs, and the optimum is that of the directions chosen
/// for grid connection and batteries.
///
/// In the first interval no car is given less than its minimum (but for setpoints that somebody else has posted): such
/// setpoints become the minimum or zero. A car with less than one interval at its minimum to go may get the minimum,
/// because it takes no more than it needs.
pub fn solve(problem: &Problem, time_limit_ms: u32) -> Result<Schedule, SolveError> {
    validate(problem).map_err(SolveError::Invalid)?;
    if problem.horizon == 0 {
        return Ok(Draft::new(problem).finish(vec![Vec::new(); problem.groups.len()], Status::Optimal));
    }
    Ok(round(problem, &optimise(problem, time_limit_ms)?))
}

/// The best of what the starting points of [`Ways::starts`] lead to.
fn optimise(problem: &Problem, time_limit_ms: u32) -> Result<Answer, SolveError> {
    let mut best: Option<Answer> = None;
    let mut failure = SolveError::Late { limit_ms: time_limit_ms };
    for start in Ways::starts(problem) {
        match follow(problem, start, time_limit_ms) {
            Ok(answer) if best.as_ref().is_none_or(|best| answer.objective < best.objective) => best = Some(answer),
            Ok(_) => {}
            Err(error) => failure = error,
        }
    }
    best.ok_or(failure)
}

/// Solves with `ways`, then with those that the answer took, until they are the same.
fn follow(problem: &Problem, mut ways: Ways, time_limit_ms: u32) -> Result<Answer, SolveError> {
    let mut answer = Model::build(problem, &ways).run(time_limit_ms)?;
    for _ in 1..ROUNDS {
        let next = ways.after(&answer);
        if next == ways {
            break;
        }
        answer = Model::build(problem, &next).run(time_limit_ms)?;
        ways = next;
    }
    Ok(answer)
}

/// Which way power goes, where cost alone would have it go both ways at once.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// The linear program needs no help.
    Free,
    /// A binary decides.
    Open,
    /// Import, or charge.
    In,
    /// Export, or discharge.
    Out,
}

/// The two places where the problem is not linear, and how [`follow`] gets it linear, and so marginal prices:
///
/// - Feeding in above the import price would pay for import and export at once. So one direction of the grid connection
///   is chosen for each such interval, and its price holds both ways: true of that direction, and no cheaper than the
///   truth of the other. Where a plan crosses over, the next round, at the other price, is cheaper still. A few such
///   intervals are started from a search by binaries; many from three guesses, of which the best result counts. One of
///   them is the fallback's directions, at which the fallback costs what it costs, so that no plan is dearer.
/// - A price below zero would pay for burning energy in a battery's losses by charging and discharging at once. Where a
///   plan does so, the battery gets the direction of its net power in the next round. Elsewhere [`TIE`] and the losses
///   keep one of both at zero.
#[derive(Clone, PartialEq)]
struct Ways {
    /// Grid connection, by interval.
    grid: Vec<Way>,
    /// By battery and interval.
    storage: Vec<Vec<Way>>,
}

impl Ways {
    /// Where to start from.
    fn starts(problem: &Problem) -> Vec<Self> {
        let prices = problem.import_price.iter().zip(&problem.feed_in_price);
        let inverted: Vec<bool> = prices.map(|(import, feed_in)| feed_in > import).collect();
        let start = |way: &dyn Fn(usize) -> Way| Self {
            grid: inverted.iter().enumerate().map(|(k, on)| if *on { way(k) } else { Way::Free }).collect(),
            storage: vec![vec![Way::Free; problem.horizon]; problem.storages.len()],
        };
        let count = inverted.iter().filter(|inverted| **inverted).count();
        if count <= SEARCH_MAX {
            return vec![start(&|_| Way::Open)];
        }
        let fallback = fallback(problem, "");
        let exports = |k| fallback.column(k).into_iter().sum::<Watts>() < Watts::ZERO;
        vec![start(&|_| Way::In), start(&|_| Way::Out), start(&|k| if exports(k) { Way::Out } else { Way::In })]
    }

    fn any_open(&self) -> bool {
        self.grid.contains(&Way::Open)
    }

    /// The directions that `answer` took.
    fn after(&self, answer: &Answer) -> Self {
        let grid = self.grid.iter().zip(&answer.grid).map(|(way, flow)| match way {
            Way::Free => Way::Free,
            Way::Open if flow.net() >= 0.0 => Way::In,
            Way::Open => Way::Out,
            Way::In if flow.net() < -WHOLE => Way::Out,
            Way::Out if flow.net() > WHOLE => Way::In,
            taken => *taken,
        });
        let row = |(ways, flows): (&Vec<Way>, &Vec<Flow>)| {
            let each = ways.iter().zip(flows).map(|(way, flow)| match way {
                Way::Free if flow.into > WHOLE && flow.out > WHOLE && flow.net() >= 0.0 => Way::In,
                Way::Free if flow.into > WHOLE && flow.out > WHOLE => Way::Out,
                taken => *taken,
            });
            each.collect()
        };
        Self { grid: grid.collect(), storage: self.storage.iter().zip(&answer.storage).map(row).collect() }
    }
}

/// Values of a [`Pair`].
struct Flow {
    into: f64,
    out: f64,
}

impl Flow {
    fn net(&self) -> f64 {
        self.into - self.out
    }
}

/// Two columns of which at most one is above zero: import and export, charge and discharge.
struct Pair {
    into: Variable,
    out: Variable,
}

/// The program and where its parts are.
struct Model<'a> {
    problem: &'a Problem,
    variables: ProblemVariables,
    objective: Expression,
    /// Left side ≤ bound.
    at_most: Vec<(Expression, f64)>,
    /// Left side = bound.
    equal: Vec<(Expression, f64)>,
    /// By need: the window's columns.
    need: Vec<Vec<(usize, Variable)>>,
    /// By PV inverter: where there is sun.
    pv: Vec<Vec<(usize, Variable)>>,
    /// By battery and interval.
    storage: Vec<Vec<Pair>>,
    /// By battery: content at the end of each interval.
    content: Vec<Vec<Variable>>,
    /// By interval.
    grid: Vec<Pair>,
    /// By interval and group: the equation that balances it.
    balance: Vec<Vec<usize>>,
    /// Whether there are binaries.
    searching: bool,
}

/// The solver's answer, in steps.
struct Answer {
    need: Vec<Vec<(usize, f64)>>,
    pv: Vec<Vec<(usize, f64)>>,
    /// Charge and discharge.
    storage: Vec<Vec<Flow>>,
    /// At the end of each interval.
    content: Vec<Vec<f64>>,
    /// Import and export.
    grid: Vec<Flow>,
    /// What the plan costs in truth, penalties and end values included, but for constants.
    objective: f64,
    node_price: Vec<Vec<MicroPerKwh>>,
}

/// What could at most be drawn and fed at each group in one interval, so that limits that cannot bind are left out.
struct Reach {
    most: i64,
    least: i64,
}

impl<'a> Model<'a> {
    fn build(problem: &'a Problem, ways: &Ways) -> Self {
        let mut model = Self {
            problem,
            variables: ProblemVariables::new(),
            objective: Expression::default(),
            at_most: Vec::new(),
            equal: Vec::new(),
            need: Vec::new(),
            pv: Vec::new(),
            storage: Vec::new(),
            content: Vec::new(),
            grid: Vec::new(),
            balance: Vec::new(),
            searching: ways.any_open(),
        };
        model.add_needs();
        model.add_pv();
        model.add_storages(ways);
        model.add_network(ways);
        model
    }

    fn column(&mut self, max: f64, cost: f64) -> Variable {
        let column = self.variables.add(variable().min(0.0).max(max));
        if cost != 0.0 {
            self.objective.add_mul(cost, column);
        }
        column
    }

    /// Unmet need is energy − Σ p, so that its penalty is a reward on p, and p up to the energy its only constraint.
    fn add_needs(&mut self) {
        let problem = self.problem;
        let penalty = price(problem.shortfall_penalty);
        let fixed_reward = FIXED_WEIGHT * highest_price(problem);
        let tie_per_interval = TIE / problem.horizon as f64;
        for need in &problem.needs {
            let mut columns = Vec::new();
            let mut most = 0;
            for k in need.from..need.until {
                let max = need_max(need, k);
                if max > 0 {
                    let posted = if fixed_at(&need.fixed, k).is_some() { fixed_reward } else { 0.0 };
                    let column = self.column(max as f64, tie_per_interval * k as f64 - penalty - posted);
                    columns.push((k, column));
                    most += max;
                }
            }
            let energy = quanta(need.energy_wh);
            if most > energy {
                let mut sum = Expression::with_capacity(columns.len());
                columns.iter().for_each(|(_, column)| sum.add_mul(1.0, *column));
                self.at_most.push((sum, energy as f64));
            }
            self.need.push(columns);
        }
    }

    fn add_pv(&mut self) {
        for forecast in &self.problem.pv {
            let mut columns = Vec::new();
            for (k, power) in forecast.power_w.iter().enumerate() {
                if steps(*power) > 0 {
                    // Where it is worth nothing either way, sun is used rather than curtailed.
                    columns.push((k, self.column(steps(*power) as f64, -TIE)));
                }
            }
            self.pv.push(columns);
        }
    }

    fn add_storages(&mut self, ways: &Ways) {
        let problem = self.problem;
        let fixed_reward = FIXED_WEIGHT * highest_price(problem);
        for (j, storage) in problem.storages.iter().enumerate() {
            let capacity = draft::content_max(problem, j) as f64 / 100.0;
            let mut pairs = Vec::with_capacity(problem.horizon);
            let mut contents: Vec<Variable> = Vec::with_capacity(problem.horizon);
            for k in 0..problem.horizon {
                let max = steps(storage.max_w);
                let posted = fixed_at(&storage.fixed, k);
                let limit = |sign: i64| posted.map_or(max, |power| (sign * power).clamp(0, max)) as f64;
                let cost = TIE - if posted.is_some() { fixed_reward } else { 0.0 };
                let (into, out) = (self.column(limit(1), cost), self.column(limit(-1), cost));
                match ways.storage[j][k] {
                    Way::In => self.close(out),
                    Way::Out => self.close(into),
                    Way::Free | Way::Open => {}
                }
                let worth = if k + 1 == problem.horizon { -price(storage.end_value) } else { 0.0 };
                let content = self.column(capacity, worth);
                let mut row = Expression::with_capacity(4);
                row.add_mul(1.0, content);
                row.add_mul(-(storage.charge_percent as f64) / 100.0, into);
                row.add_mul(storage.discharge_percent as f64 / 100.0, out);
                let start = match contents.last() {
                    Some(before) => {
                        row.add_mul(-1.0, *before);
                        0.0
                    }
                    None => draft::content_start(problem, j) as f64 / 100.0,
                };
                self.equal.push((row, start));
                pairs.push(Pair { into, out });
                contents.push(content);
            }
            self.storage.push(pairs);
            self.content.push(contents);
        }
    }

    /// Makes a column zero. A row of its own and not a bound, so that the columns of all rounds are alike.
    fn close(&mut self, column: Variable) {
        let mut row = Expression::with_capacity(1);
        row.add_mul(1.0, column);
        self.at_most.push((row, 0.0));
    }

    /// Lets at most one of two columns be positive, by a binary where that is open. The maxima are what the network lets
    /// through at most: the tighter, the faster the search.
    fn search(&mut self, pair: &Pair, into_max: f64, out_max: f64) {
        if out_max <= 0.0 {
            return self.close(pair.out);
        }
        if into_max <= 0.0 {
            return self.close(pair.into);
        }
        let inward = self.variables.add(variable().binary());
        let mut row = Expression::with_capacity(2);
        row.add_mul(1.0, pair.into);
        row.add_mul(-into_max, inward);
        self.at_most.push((row, 0.0));
        let mut row = Expression::with_capacity(2);
        row.add_mul(1.0, pair.out);
        row.add_mul(out_max, inward);
        self.at_most.push((row, out_max));
    }

    fn add_network(&mut self, ways: &Ways) {
        let idle = Draft::new(self.problem);
        let base = base_loads(self.problem);
        let reach = reach(self.problem, &idle, &base);
        let mut drawing: Vec<Vec<(usize, f64, Variable)>> = vec![Vec::new(); self.problem.horizon];
        for (need, columns) in self.problem.needs.iter().zip(&self.need) {
            columns.iter().for_each(|(k, column)| drawing[*k].push((need.group, -1.0, *column)));
        }
        for (forecast, columns) in self.problem.pv.iter().zip(&self.pv) {
            columns.iter().for_each(|(k, column)| drawing[*k].push((forecast.group, 1.0, *column)));
        }
        for (storage, pairs) in self.problem.storages.iter().zip(&self.storage) {
            for (k, pair) in pairs.iter().enumerate() {
                drawing[k].push((storage.group, -1.0, pair.into));
                drawing[k].push((storage.group, 1.0, pair.out));
            }
        }
        for (k, assets) in drawing.iter().enumerate() {
            self.add_interval(k, assets, &idle, &reach[k], &base[k], ways.grid[k]);
        }
    }

    /// The balances of interval `k`: one for the root and one for each group whose limits could bind.
    fn add_interval(
        &mut self,
        k: usize,
        assets: &[(usize, f64, Variable)],
        idle: &Draft<'_>,
        reach: &[Reach],
        base: &[i64],
        way: Way,
    ) {
        let groups = &self.problem.groups;
        let first = self.equal.len();
        // Row of each group: its own, or its parent's.
        let mut row_of: Vec<usize> = Vec::with_capacity(groups.len());
        for (g, group) in groups.iter().enumerate() {
            let limits = (idle.import_limit(g, k), idle.export_limit(g));
            match group.parent {
                Some(parent) if reach[g].most <= limits.0 && reach[g].least >= -limits.1 => row_of.push(row_of[parent]),
                parent => {
                    row_of.push(self.equal.len());
                    let mut row = Expression::with_capacity(8);
                    if let Some(parent) = parent {
                        let flow = self.variables.add(variable().min(-limits.1 as f64).max(limits.0 as f64));
                        row.add_mul(1.0, flow);
                        self.equal[row_of[parent]].0.add_mul(-1.0, flow);
                    }
                    self.equal.push((row, 0.0));
                }
            }
        }
        // The limits themselves and not what is within reach: a bound that only repeats others blurs the duals.
        let limits = (idle.import_limit(0, k), idle.export_limit(0));
        let (import, feed_in) = (price(self.problem.import_price[k]), price(self.problem.feed_in_price[k]));
        let (import, feed_in) = match way {
            Way::In => (import, import),
            Way::Out => (feed_in, feed_in),
            Way::Free | Way::Open => (import, feed_in),
        };
        let pair = Pair { into: self.column(limits.0 as f64, import), out: self.column(limits.1 as f64, -feed_in) };
        if way == Way::Open {
            let within = (limits.0.min(reach[0].most).max(0), limits.1.min(-reach[0].least).max(0));
            self.search(&pair, within.0 as f64, within.1 as f64);
        }
        self.equal[first].0.add_mul(1.0, pair.into);
        self.equal[first].0.add_mul(-1.0, pair.out);
        self.grid.push(pair);
        for (group, sign, column) in assets {
            self.equal[row_of[*group]].0.add_mul(*sign, *column);
        }
        for (g, power) in base.iter().enumerate() {
            self.equal[row_of[g]].1 += *power as f64;
        }
        self.balance.push(row_of);
    }

    fn run(self, time_limit_ms: u32) -> Result<Answer, SolveError> {
        let mut model = self
            .variables
            .minimise(self.objective)
            .using(good_lp::highs)
            .set_threads(1)
            .set_parallel(good_lp::solvers::highs::HighsParallelType::Off)
            .set_time_limit(f64::from(time_limit_ms) / 1000.0)
            .set_option("mip_rel_gap", 0.0)
            .set_option("mip_abs_gap", search_gap(self.problem))
            .set_option("mip_max_nodes", SEARCH_NODES);
        for (row, bound) in self.at_most {
            model.add_constraint(row.leq(bound));
        }
        let equal: Vec<ConstraintReference> =
            self.equal.into_iter().map(|(row, bound)| model.add_constraint(row.eq(bound))).collect();
        let mut solution = model.solve().map_err(|error| match error {
            // HiGHS has no solution to show when the time ends before it has a feasible one.
            ResolutionError::Other("NoSolutionFound") => SolveError::Late { limit_ms: time_limit_ms },
            other => SolveError::Solver(other.to_string()),
        })?;
        // A search that stopped early has directions to show; a linear program that did has nothing.
        if matches!(solution.status(), SolutionStatus::TimeLimit) && !self.searching {
            return Err(SolveError::Late { limit_ms: time_limit_ms });
        }
        let pairs = |rows: &[Pair]| -> Vec<Flow> {
            rows.iter().map(|pair| Flow { into: solution.value(pair.into), out: solution.value(pair.out) }).collect()
        };
        let sparse = |columns: &Vec<(usize, Variable)>| -> Vec<(usize, f64)> {
            columns.iter().map(|(k, column)| (*k, solution.value(*column))).collect()
        };
        let mut answer = Answer {
            need: self.need.iter().map(sparse).collect(),
            pv: self.pv.iter().map(sparse).collect(),
            storage: self.storage.iter().map(|rows| pairs(rows)).collect(),
            content: self.content.iter().map(|row| row.iter().map(|c| solution.value(*c)).collect()).collect(),
            grid: pairs(&self.grid),
            objective: 0.0,
            node_price: Vec::new(),
        };
        answer.objective = objective(self.problem, &answer);
        let dual = solution.compute_dual();
        let most = 2.0 * highest_price(self.problem);
        let node_price = |g: usize| -> Vec<MicroPerKwh> {
            self.balance.iter().map(|rows| micro(dual.dual(equal[rows[g]].clone()).clamp(-most, most))).collect()
        };
        answer.node_price = (0..self.problem.groups.len()).map(node_price).collect();
        Ok(answer)
    }
}

/// See [`Answer::objective`].
fn objective(problem: &Problem, answer: &Answer) -> f64 {
    let prices = problem.import_price.iter().zip(&problem.feed_in_price);
    let energy = answer
        .grid
        .iter()
        .zip(prices)
        .map(|(flow, (import, feed_in))| flow.net() * price(if flow.net() > 0.0 { *import } else { *feed_in }));
    let served: f64 = answer.need.iter().flatten().map(|(_, power)| power).sum();
    let ends = answer.content.iter().zip(&problem.storages);
    let stored = ends.map(|(row, storage)| row.last().unwrap_or(&0.0) * price(storage.end_value));
    energy.sum::<f64>() - served * price(problem.shortfall_penalty) - stored.sum::<f64>()
}

/// Own base load by interval and group, steps.
fn base_loads(problem: &Problem) -> Vec<Vec<i64>> {
    let mut base = vec![vec![0; problem.groups.len()]; problem.horizon];
    for load in &problem.base_loads {
        for (row, power) in base.iter_mut().zip(&load.power_w) {
            row[load.group] += steps(power.ceil_to_step());
        }
    }
    base
}

/// See [`Reach`]; by interval and group. A group passes on to its parent no more than its limits let through.
fn reach(problem: &Problem, idle: &Draft<'_>, base: &[Vec<i64>]) -> Vec<Vec<Reach>> {
    let battery = |group| -> i64 { problem.storages.iter().filter(|s| s.group == group).map(|s| steps(s.max_w)).sum() };
    let battery: Vec<i64> = (0..problem.groups.len()).map(battery).collect();
    let interval = |(k, base): (usize, &Vec<i64>)| {
        let mut reach: Vec<Reach> =
            base.iter().zip(&battery).map(|(base, b)| Reach { most: base + b, least: base - b }).collect();
        for need in &problem.needs {
            reach[need.group].most += need_max(need, k);
        }
        for forecast in &problem.pv {
            reach[forecast.group].least -= steps(forecast.power_w[k]);
        }
        for (g, group) in problem.groups.iter().enumerate().rev() {
            if let Some(parent) = group.parent {
                reach[parent].most += reach[g].most.min(idle.import_limit(g, k));
                reach[parent].least += reach[g].least.max(-idle.export_limit(g));
            }
        }
        reach
    };
    base.iter().enumerate().map(interval).collect()
}

/// [`SEARCH_GAP`] in the model's unit.
fn search_gap(problem: &Problem) -> f64 {
    let prices = problem.import_price.iter().chain(&problem.feed_in_price);
    let highest = price(MicroPerKwh(prices.map(|p| p.0.abs()).max().unwrap_or(0)));
    let energy: i64 = problem.needs.iter().map(|need| quanta(need.energy_wh)).sum();
    let base: i64 = base_loads(problem).iter().flatten().sum();
    SEARCH_GAP * highest * (energy + base) as f64
}

fn price(price: MicroPerKwh) -> f64 {
    price.0 as f64 / PRICE_UNIT
}

/// The nearest whole price. A cast from a float saturates, and the value was clamped.
fn micro(price: f64) -> MicroPerKwh {
    MicroPerKwh((price * PRICE_UNIT).round() as i64)
}

/// The largest magnitude of a price or penalty, in the model's unit; at least one.
fn highest_price(problem: &Problem) -> f64 {
    let prices = problem.import_price.iter().chain(&problem.feed_in_price);
    let end_values = problem.storages.iter().map(|s| &s.end_value);
    let highest = prices.chain(end_values).chain([&problem.shortfall_penalty]).map(|p| p.0.abs()).max();
    price(MicroPerKwh(highest.unwrap_or(0))).max(1.0)
}

/// From the solver's floats to whole steps inside all limits.
fn round(problem: &Problem, answer: &Answer) -> Schedule {
    let mut draft = Draft::new(problem);
    for (i, powers) in answer.need.iter().enumerate() {
        powers.iter().for_each(|(k, power)| draft.set_need(i, *k, whole_below(*power)));
    }
    // PV rounds up, because more of it leaves more room for the rest; it is at most what is available, a whole number.
    for (j, powers) in answer.pv.iter().enumerate() {
        powers.iter().for_each(|(k, power)| draft.set_pv(j, *k, -whole_below(-*power)));
    }
    for j in 0..problem.storages.len() {
        for (k, power) in follow_content(problem, j, answer).into_iter().enumerate() {
            draft.set_storage(j, k, power);
        }
    }
    let order = draft.by_laxity();
    let dear_first = |i: usize| {
        let need = &problem.needs[i];
        let price = &answer.node_price[need.group];
        let mut intervals: Vec<usize> = (need.from..need.until).collect();
        intervals.sort_by_key(|&k| (std::cmp::Reverse(price[k]), std::cmp::Reverse(k)));
        intervals
    };
    minimum::apply(&mut draft, &order, &dear_first);
    let cut_first: Vec<usize> = order.iter().rev().copied().collect();
    draft.settle(&cut_first);
    draft.refill(&order, |i| {
        let worth_it = |k: &usize| problem.import_price[*k].max(problem.feed_in_price[*k]) < problem.shortfall_penalty;
        dear_first(i).into_iter().rev().filter(worth_it).collect()
    });
    draft.finish(answer.node_price.clone(), Status::Optimal)
}

/// The whole number at or below `value`; one that the solver missed by its tolerance counts as reached.
fn whole_below(value: f64) -> i64 {
    (value + WHOLE).floor() as i64
}

/// Whole steps of battery `j` whose content stays next to the solver's, so that rounding errors do not add up.
fn follow_content(problem: &Problem, j: usize, answer: &Answer) -> Vec<i64> {
    let storage = &problem.storages[j];
    let max = steps(storage.max_w);
    let mut content = draft::content_start(problem, j);
    let mut powers = Vec::with_capacity(problem.horizon);
    for (k, (flow, target)) in answer.storage[j].iter().zip(&answer.content[j]).enumerate() {
        let net = flow.net();
        let change = target * 100.0 - content as f64;
        let power = match fixed_at(&storage.fixed, k) {
            Some(_) => net.round() as i64,
            None if net > WHOLE && storage.charge_percent > 0 => {
                whole_below(change / storage.charge_percent as f64).clamp(0, max)
            }
            None if net < -WHOLE && storage.discharge_percent > 0 => {
                -whole_below(-change / storage.discharge_percent as f64).clamp(0, max)
            }
            None => whole_below(net.abs()) * net.signum() as i64,
        };
        content += draft::content_change(problem, j, power);
        powers.push(power);
    }
    powers
}
