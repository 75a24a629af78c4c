//! Plans a garage that knows its sessions as currents, interval by interval: what [`crate::serve`] does for a simulator
//! outside and [`crate::compare`] for its own.
//!
//! Currents are planned, not powers: an ampere counts as [`AMPERE_W`], so that whole and half amperes are whole steps and
//! pilots and limits are met exactly. Energies and prices are converted by the true voltage.

use crate::problem::{Need, Peak, Problem};
use crate::rows::{Classes, Connection, Line, SIDES, classes};
use crate::schedule::Schedule;
use crate::solve::{Planner, SolveError};
use crate::units::{HORIZON, Interval, MicroPerKw, MicroPerKwh, WattHours, Watts};
use std::collections::BTreeMap;

/// What an ampere is planned as.
pub const AMPERE_W: i64 = 200;
/// Where an EVSE has no limit, what a car takes: 32 A, the most of a level-2 cable of its kind, and of the experiment's cars.
pub const CAR_MA: i64 = 32_000;
/// Unmet need costs the plan this many times what the driver would pay. A demand charge is paid once for a month and a
/// plan sees one day of it: at 4 a car is left short only where serving it would take a peak that its site will hardly use
/// again; above 10 the day of the most cars alone sets the month's peak.
const PENALTY: i64 = 4;
/// A plan that would leave more than this share of what the cars of the last day wanted, in per cent, is no matter of one day:
/// unmet need then costs [`SCARCE_PENALTY`] times as much, and the site gets the peak that its drivers need.
const SCARCE_PERCENT: i64 = 25;
/// See [`SCARCE_PERCENT`].
const SCARCE_PENALTY: i64 = 25;
/// The peak that a month is expected to need anyway, per mille of what all EVSEs draw together: up to it power costs its
/// energy only, above it the whole demand charge. It is a prior and not a forecast; the peak so far takes over where it
/// is higher. A charge spread over the days left would grow stale: the peak of a day early in the month is used again on
/// every day after it. Measured: the Caltech garage needs 73 per mille with foresight, 85 to meet 99 % of cars.
const EXPECTED_PEAK_PER_MILLE: i64 = 86;
/// Power later is dearer by this for every interval, micro per kWh: cars to come will want it too. Small against any
/// tariff with a peak price, and more than a day's difference between shoulder and night.
const WAITING_MICRO: i64 = 1_000;

/// A car, seen from the interval that is planned for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Car {
    /// Session id.
    pub session: String,
    /// Index of its EVSE.
    pub lane: usize,
    /// Intervals until it comes; 0 where it is there. Nobody tells of cars to come, except to plan with foresight.
    pub from: usize,
    /// Intervals until it leaves.
    pub until: usize,
    /// What it still wants, at the true voltage.
    pub remaining_wh: WattHours,
    /// Least current when any, mA.
    pub min_ma: i64,
    /// Most current, mA; above [`CAR_MA`] counts as that.
    pub max_ma: i64,
    /// The only currents beside 0, mA, rising; empty: all.
    pub pilots_ma: Vec<i64>,
}

/// What a plan is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The interval that is planned for.
    pub now: Interval,
    /// Voltage of all EVSEs, mV; above 0.
    pub voltage_mv: i64,
    /// Cars that are there; with foresight also those that will be.
    pub cars: Vec<Car>,
    /// Price of a kWh from now on; the last one repeats. No car stays for more intervals than there are prices.
    pub import_price: Vec<MicroPerKwh>,
    /// What a kW of the month's highest import costs.
    pub demand_charge: MicroPerKw,
    /// That import so far.
    pub peak_so_far_w: Watts,
    /// What a driver pays for a kWh.
    pub revenue: MicroPerKwh,
    /// What a kWh left out costs the plan; `None`: `PENALTY` times the revenue, and prices and peak are those of a plan
    /// that does not see what comes. With the revenue itself the plan maximises profit.
    pub shortfall: Option<MicroPerKwh>,
}

/// A garage and what is remembered of it.
#[derive(Debug, Default)]
pub struct Garage {
    classes: Classes,
    /// Cars of the last day: when they were first seen, and what they wanted then.
    wanted: BTreeMap<String, (Interval, WattHours)>,
    plan: Option<Schedule>,
}

impl Garage {
    /// A garage whose EVSEs draw currents at these angles (thousandths of a degree) through these lines.
    ///
    /// # Errors
    /// As [`classes`].
    pub fn new(angles_mdeg: &[i64], lines: &[Line]) -> Result<Self, String> {
        // As if every EVSE had that many volts.
        let connection = |&angle_mdeg: &i64| Connection { voltage_mv: 1000 * AMPERE_W, angle_mdeg };
        let connections: Vec<Connection> = angles_mdeg.iter().map(connection).collect();
        Ok(Self { classes: classes(&connections, lines, SIDES)?, ..Self::default() })
    }

    /// The current, mA, that a planned power stands for.
    pub fn current_ma(power: Watts) -> i64 {
        power.0 * 1000 / AMPERE_W
    }

    /// Plans the intervals from now on; the problem that was solved, and its schedule.
    ///
    /// # Errors
    /// The problem is invalid.
    pub fn plan(
        &mut self,
        facts: &Facts,
        planner: &mut Planner,
        limit_ms: u32,
    ) -> Result<(Problem, Schedule), SolveError> {
        let mut problem = self.problem(facts);
        let mut plan = planner.plan_or_fall_back(&problem, limit_ms)?;
        let missing: i64 = plan.shortfalls.iter().map(|short| short.energy_wh.0).sum();
        let wanted = self.wanted_wh(&problem);
        if facts.shortfall.is_none() && 100 * missing > SCARCE_PERCENT * wanted.0 {
            problem.shortfall_penalty.0 *= SCARCE_PENALTY;
            plan = planner.plan_or_fall_back(&problem, limit_ms)?;
        }
        self.plan = Some(plan.clone());
        Ok((problem, plan))
    }

    /// What is planned from `facts`.
    pub fn problem(&self, facts: &Facts) -> Problem {
        // A true kWh is this many planned ones, as a fraction.
        let planned = |true_amount: i64| true_amount * AMPERE_W * 1000 / facts.voltage_mv;
        let price = |per_true: i64| per_true * facts.voltage_mv / (AMPERE_W * 1000);
        let power = |current_ma: i64| Watts(current_ma * AMPERE_W / 1000);
        let most = facts.import_price.len().max(1);
        let need = |car: &Car| Need {
            session: car.session.clone(),
            lane: car.lane,
            group: self.classes.group_of[car.lane],
            from: car.from.min(most),
            until: car.until.clamp(1, most),
            max_w: power(car.max_ma.min(CAR_MA)).floor_to_step(),
            min_w: if car.pilots_ma.is_empty() { power(car.min_ma) } else { Watts::ZERO },
            pilots_w: car.pilots_ma.iter().map(|pilot| power(*pilot)).collect(),
            energy_wh: WattHours(planned(car.remaining_wh.0)),
            running_w: self.running(car.lane, facts.now),
            ..Need::default()
        };
        let needs: Vec<Need> = facts.cars.iter().map(need).collect();
        let horizon = needs.iter().map(|need| need.until).max().unwrap_or(1);
        let waiting = |k: usize| if facts.shortfall.is_some() { 0 } else { WAITING_MICRO * k as i64 };
        let listed = |k: usize| facts.import_price.get(k).or(facts.import_price.last()).map_or(0, |price| price.0);
        // With foresight the month's peak needs no guess.
        let expected = if facts.shortfall.is_some() { Watts::ZERO } else { self.expected_peak() };
        let penalty = facts.shortfall.map_or(facts.revenue.0 * PENALTY, |shortfall| shortfall.0);
        Problem {
            site: "garage".to_owned(),
            first: facts.now,
            horizon,
            lanes: self.classes.group_of.len(),
            groups: self.classes.groups.clone(),
            rows: self.classes.rows.clone(),
            needs,
            feed_in_price: vec![MicroPerKwh(0); horizon],
            import_price: (0..horizon).map(|k| MicroPerKwh(price(listed(k) + waiting(k)))).collect(),
            peak: Some(Peak {
                so_far_w: Watts(planned(facts.peak_so_far_w.0)).max(expected),
                price: MicroPerKw(price(facts.demand_charge.0)),
            }),
            shortfall_penalty: MicroPerKwh(price(penalty)),
            ..Problem::default()
        }
    }

    /// What the cars of the last day wanted when they came.
    fn wanted_wh(&mut self, problem: &Problem) -> WattHours {
        self.wanted.retain(|_, (seen, _)| seen.plus(HORIZON) > problem.first);
        for need in &problem.needs {
            self.wanted.entry(need.session.clone()).or_insert((problem.first, need.energy_wh));
        }
        self.wanted.values().map(|(_, energy)| *energy).sum()
    }

    /// The month's peak before anything is known of the month.
    pub fn expected_peak(&self) -> Watts {
        let evses = self.classes.group_of.len() as i64;
        Watts(CAR_MA * AMPERE_W / 1000 * evses * EXPECTED_PEAK_PER_MILLE / 1000)
    }

    fn running(&self, lane: usize, first: Interval) -> Vec<Watts> {
        let row = |plan: &Schedule| {
            let passed = first.offset_from(plan.first)?;
            Some(plan.power_w.get(lane)?.iter().skip(passed).copied().collect())
        };
        self.plan.as_ref().and_then(row).unwrap_or_default()
    }
}
