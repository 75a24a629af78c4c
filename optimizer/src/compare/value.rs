//! Whether the worth of flexibility at node prices (V, [`crate::flexibility`]) is what a driver really contributes: the
//! cost of the day with the driver's load at its baseline, everybody else planned anew around it, less the cost with the
//! driver flexible.

use super::Month;
use super::outcome::planned_wh;
use super::table::decimal;
use crate::flexibility::{Metered, measure};
use crate::import::json::number;
use crate::problem::{Forecast, Need, Problem};
use crate::report::mean_w;
use crate::schedule::Schedule;
use crate::solve::solve;
use crate::units::{INTERVALS_PER_HOUR, Micro, MicroPerKwh, WattHours, Watts};
use rayon::prelude::*;
use serde_json::{Value, json};
use std::fmt;

/// Longest time for a plan of a day.
const LIMIT_MS: u32 = 60_000;
/// A kWh left out costs this many times what drivers pay, so that the energy of all plans is the same.
const SERVED_FIRST: i64 = 100;

/// A driver's flexibility, valued twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Valued {
    /// Session.
    pub session: String,
    /// V at the plan's node prices.
    pub worth: Micro,
    /// What the day would cost more without it.
    pub contribution: Micro,
    /// F: energy moved off the baseline.
    pub shifted_wh: WattHours,
}

/// How well measures follow the true contribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Correlation {
    /// Sessions that were valued.
    pub sessions: usize,
    /// Pearson's coefficient of V, millionths.
    pub worth_micro: i64,
    /// Pearson's coefficient of the energy moved, millionths.
    pub shifted_micro: i64,
}

impl Correlation {
    /// As JSON.
    pub fn json(&self) -> Value {
        json!({
            "sessions": self.sessions,
            "flex_value_correlation": number(self.worth_micro, 6),
            "shifted_energy_correlation": number(self.shifted_micro, 6),
        })
    }
}

impl fmt::Display for Correlation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sessions, worth_micro, shifted_micro } = *self;
        let (worth, shifted) = (decimal(worth_micro, 6, 3), decimal(shifted_micro, 6, 3));
        write!(
            f,
            "flexibility of {sessions} sessions against their true contribution: correlation of its worth {worth}, "
        )?;
        write!(f, "of the energy moved {shifted}")
    }
}

/// Values every session of the first `days` weekdays of `month`, each day planned in one problem that knows it and gives
/// every car what it wants. The demand charge is the month's, so a day may draw without paying for it what the day of
/// the highest need takes anyway; that day itself is left out: at its peak a kW more costs the charge and a kW less saves
/// nothing, so that no single multiplier is right.
///
/// # Errors
/// A day that cannot be planned.
pub fn values(month: &Month, days: usize) -> Result<Vec<Valued>, String> {
    let problems: Vec<Problem> =
        (0..month.days().len() - 1).map(|day| problem_of(month, day)).collect::<Result<_, _>>()?;
    let peaks: Vec<Watts> =
        problems.par_iter().map(|problem| Ok(plan(problem)?.peak_w)).collect::<Result<_, String>>()?;
    let peak = peaks.iter().copied().max().unwrap_or_default();
    let chosen = month.weekdays().filter(|day| peaks[*day] < peak).take(days);
    let with_peak = |day: usize| {
        let mut problem = problems[day].clone();
        problem.peak.iter_mut().for_each(|month| month.so_far_w = peak);
        values_of(&problem)
    };
    chosen.map(with_peak).collect::<Result<Vec<_>, _>>().map(|values| values.concat())
}

/// A local day of the month, known ahead.
fn problem_of(month: &Month, day: usize) -> Result<Problem, String> {
    let (first, end) = (month.days()[day], month.days()[day + 1]);
    let cars = month.foreseen(first..end);
    let horizon = cars.iter().map(|car| car.until).max().unwrap_or(0);
    let mut facts = month.facts(first, horizon, cars);
    facts.shortfall = Some(MicroPerKwh(SERVED_FIRST * facts.revenue.0));
    Ok(month.garage()?.problem(&facts))
}

fn plan(problem: &Problem) -> Result<Schedule, String> {
    solve(problem, LIMIT_MS).map_err(|error| error.to_string())
}

fn values_of(problem: &Problem) -> Result<Vec<Valued>, String> {
    let schedule = plan(problem)?;
    let flexible = cost(problem, &schedule);
    let energy_wh = planned_wh(problem, &schedule);
    let cap = dearest(problem);
    let value = |(i, need): (usize, &Need)| {
        let metered = |k: usize| Metered {
            energy_wh: energy_wh[k][need.lane],
            node_price: Some(schedule.node_price[need.group][k]),
            least_price: problem.import_price[k].min(problem.feed_in_price[k]),
        };
        let stay: Vec<Metered> = (need.from..need.until).map(metered).collect();
        let found = measure(need.max_w, &stay, cap);
        let mut rigid = problem.clone();
        rigid.needs.remove(i);
        let mut power_w = vec![Watts::ZERO; problem.horizon];
        power_w[need.from..need.until].iter_mut().zip(&found.baseline_wh).for_each(|(w, wh)| *w = mean_w(*wh));
        // A lane of its own: another car may come to the same EVSE.
        rigid.base_loads.push(Forecast { lane: rigid.lanes, group: need.group, power_w });
        rigid.lanes += 1;
        Ok(Valued {
            session: need.session.clone(),
            worth: found.worth,
            contribution: cost(&rigid, &plan(&rigid)?) - flexible,
            shifted_wh: found.activated_wh,
        })
    };
    problem.needs.par_iter().enumerate().map(value).collect()
}

/// The most that a kWh can truly cost here: its price, and the charge for a peak that it makes within one interval. A
/// site caps the worth of flexibility by what it sets; a cap below this would hide what a demand charge is worth.
fn dearest(problem: &Problem) -> MicroPerKwh {
    let price = problem.import_price.iter().map(|price| price.0).max().unwrap_or(0);
    MicroPerKwh(price + problem.peak.as_ref().map_or(0, |peak| peak.price.0 * INTERVALS_PER_HOUR))
}

/// Everything that a plan costs: energy, what its peak adds, and what is left out.
fn cost(problem: &Problem, schedule: &Schedule) -> Micro {
    let peak = problem.peak.as_ref().map_or(0, |peak| (schedule.peak_w - peak.so_far_w).0.max(0) * peak.price.0 / 1000);
    let missing: WattHours = schedule.shortfalls.iter().map(|short| short.energy_wh).sum();
    schedule.cost + Micro(peak) + problem.shortfall_penalty.bill(missing)
}

/// How both measures follow the true contribution with the true contribution.
pub fn correlation(values: &[Valued]) -> Correlation {
    let of = |measure: fn(&Valued) -> i64| pearson_micro(values.iter().map(|v| (measure(v), v.contribution.0)));
    Correlation { sessions: values.len(), worth_micro: of(|v| v.worth.0), shifted_micro: of(|v| v.shifted_wh.0) }
}

/// Pearson's coefficient in millionths: covariance over the root of the variances' product. 0 where a side is constant.
fn pearson_micro(pairs: impl Iterator<Item = (i64, i64)> + Clone) -> i64 {
    let n = pairs.clone().count() as i128;
    let sum = |f: fn((i128, i128)) -> i128| -> i128 { pairs.clone().map(|(x, y)| f((x.into(), y.into()))).sum() };
    let (x, y) = (sum(|p| p.0), sum(|p| p.1));
    // Below 10¹⁷ each for some hundred values below ten credits; roots first, so that no product overflows.
    let root = |square: i128| (square * 1_000_000).max(0).isqrt();
    let (dx, dy) = (root(n * sum(|p| p.0 * p.0) - x * x), root(n * sum(|p| p.1 * p.1) - y * y));
    let covariance = n * sum(|p| p.0 * p.1) - x * y;
    if dx == 0 || dy == 0 {
        return 0;
    }
    i64::try_from(covariance * 1_000_000 / (dx * dy / 1_000_000)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pearson_is_one_on_a_line_and_zero_on_a_square() {
        let line = [(1_000_000, 2_500_000), (2_000_000, 4_500_000), (4_000_000, 8_500_000)];
        assert_eq!(pearson_micro(line.into_iter()), 1_000_000);
        assert_eq!(pearson_micro(line.into_iter().map(|(x, y)| (x, -y))), -1_000_000);
        let square = [(0, 0), (0, 1_000_000), (1_000_000, 0), (1_000_000, 1_000_000)];
        assert_eq!(pearson_micro(square.into_iter()), 0);
        assert_eq!(pearson_micro([(3, 1), (3, 2)].into_iter()), 0);
        // Known: r of (1,2), (2,3), (3,7) is 5/√28 = 0.944911.
        let known = [(1, 2), (2, 3), (3, 7)].map(|(x, y)| (x * 1_000_000, y * 1_000_000));
        assert!((pearson_micro(known.into_iter()) - 944_911).abs() <= 1);
    }
}
