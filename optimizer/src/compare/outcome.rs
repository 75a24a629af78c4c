//! What an algorithm came to.

use super::Algorithm;
use crate::check::check;
use crate::problem::Problem;
use crate::report::PowerSeries;
use crate::schedule::{Schedule, Status};
use crate::units::{
    Grams, GramsPerMwh, INTERVALS_PER_HOUR, Interval, Micro, MicroPerKw, MicroPerKwh, WattHours, Watts,
};
use std::ops::Range;

/// A need counts as met when less than this is missing: ACN-Sim's own tolerance.
const MET_WITHIN: WattHours = WattHours(100);

/// One algorithm on one case. Series have one entry per interval from `first` on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Scenario or month.
    pub case: String,
    /// Local date of the first interval, `2019-05-01`.
    pub date: String,
    /// Site.
    pub site: String,
    /// Who planned.
    pub algorithm: Algorithm,
    /// First interval.
    pub first: Interval,
    /// First intervals of the local days, counted from `first`, and the end.
    pub days: Vec<usize>,
    /// Most import at the grid connection; `None` where no single number limits it.
    pub limit_w: Option<Watts>,
    /// Mean power of each interval; always four times a whole number of Wh.
    pub power: PowerSeries,
    /// What PV could have fed.
    pub pv_offered_w: Vec<Watts>,
    /// Price of a kWh from the grid.
    pub import_price: Vec<MicroPerKwh>,
    /// Price of a kWh fed in.
    pub feed_in_price: Vec<MicroPerKwh>,
    /// What a kW of the highest import costs; `None`: the tariff has no such charge.
    pub demand_charge: Option<MicroPerKw>,
    /// CO₂ of a kWh more; empty where it is not known.
    pub co2: Vec<GramsPerMwh>,
    /// By interval: limits exceeded by what flowed.
    pub violations: Vec<u32>,
    /// Sessions, by arrival.
    pub sessions: Vec<Served>,
    /// What batteries hold more at the end than at the beginning.
    pub stored_wh: WattHours,
    /// How plans were made.
    pub plans: Plans,
}

/// What a session got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Id.
    pub id: String,
    /// Interval of the arrival.
    pub arrival: Interval,
    /// What the car would have taken: the smaller of what it was declared to need and what it had room for.
    pub wanted_wh: WattHours,
    /// What it got.
    pub delivered_wh: WattHours,
    /// What it paid.
    pub paid: Micro,
}

/// How plans were made; all zero where nothing was planned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Plans {
    /// Plans.
    pub made: u32,
    /// Plans in which [`crate::check`] found anything.
    pub broken: u32,
    /// Plans that no linear program made: all of a rule of thumb.
    pub fallbacks: u32,
    /// Time for all of them, µs.
    pub total_us: u64,
    /// Time for the slowest, µs.
    pub slowest_us: u64,
}

impl Plans {
    /// Notes a plan that took `took_us`.
    pub(super) fn note(&mut self, problem: &Problem, schedule: &Schedule, took_us: u64) {
        self.made += 1;
        self.broken += u32::from(!check(problem, schedule).is_empty());
        self.fallbacks += u32::from(matches!(schedule.status, Status::Fallback { .. }));
        self.total_us += took_us;
        self.slowest_us = self.slowest_us.max(took_us);
    }
}

/// Sums over some intervals of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Sessions that arrived.
    pub sessions: usize,
    /// Those of them whose need was met, to 100 Wh.
    pub met: usize,
    /// What their cars would have taken.
    pub wanted_wh: WattHours,
    /// What they got, then or later.
    pub delivered_wh: WattHours,
    /// What they paid.
    pub revenue: Micro,
    /// Imports at the import price less exports at the feed-in price.
    pub energy_cost: Micro,
    /// The highest import at the demand charge; `None` where there is no charge, or for a part of its month.
    pub demand_cost: Option<Micro>,
    /// Highest mean import of an interval.
    pub peak_w: Watts,
    /// Energy from the grid.
    pub import_wh: WattHours,
    /// Energy into the grid.
    pub export_wh: WattHours,
    /// What PV could have fed.
    pub pv_offered_wh: WattHours,
    /// What PV fed and the site itself used.
    pub pv_used_wh: WattHours,
    /// CO₂ of the net import at marginal emissions.
    pub co2: Option<Grams>,
    /// Limits exceeded, by interval and limit.
    pub violations: u32,
}

impl Run {
    /// Number of intervals.
    pub fn intervals(&self) -> usize {
        self.power.net_w.len()
    }

    /// The whole of it.
    pub fn totals(&self) -> Totals {
        let demand_cost = self.demand_charge.map(|charge| {
            let peak = self.power.net_w.iter().map(|w| w.0).max().unwrap_or(0).max(0);
            Micro(peak * charge.0 / 1000)
        });
        Totals { demand_cost, ..self.totals_of(0..self.intervals()) }
    }

    /// The intervals of `range` (counted from `first`), without a demand charge.
    pub fn totals_of(&self, range: Range<usize>) -> Totals {
        let net: Vec<i64> = self.power.net_w[range.clone()].iter().map(|w| w.0).collect();
        let energy = |watts: i64| WattHours(watts / INTERVALS_PER_HOUR);
        let sum = |series: &[Watts]| energy(series[range.clone()].iter().map(|w| w.0).sum());
        let export = energy(net.iter().map(|w| (-w).max(0)).sum());
        let fed = WattHours(-sum(&self.power.pv_w).0);
        let arrived = |s: &&Served| s.arrival.offset_from(self.first).is_none_or(|at| range.contains(&at));
        let sessions: Vec<&Served> = self.sessions.iter().filter(arrived).collect();
        let cost = |(k, w): (usize, &i64)| {
            let price = if *w >= 0 { self.import_price[range.start + k] } else { self.feed_in_price[range.start + k] };
            i128::from(*w) * i128::from(price.0)
        };
        let co2 = |(k, w): (usize, &i64)| i128::from(*w) * i128::from(self.co2[range.start + k].0);
        let per = |sum: i128, divisor: i64| i64::try_from(sum.div_euclid(i128::from(divisor))).unwrap_or(i64::MAX);
        Totals {
            sessions: sessions.len(),
            met: sessions.iter().filter(|s| s.wanted_wh - s.delivered_wh < MET_WITHIN).count(),
            wanted_wh: sessions.iter().map(|s| s.wanted_wh).sum(),
            delivered_wh: sessions.iter().map(|s| s.delivered_wh).sum(),
            revenue: sessions.iter().map(|s| s.paid).sum(),
            energy_cost: Micro(per(net.iter().enumerate().map(cost).sum(), 1000 * INTERVALS_PER_HOUR)),
            demand_cost: None,
            peak_w: Watts(net.iter().copied().max().unwrap_or(0).max(0)),
            import_wh: energy(net.iter().map(|w| (*w).max(0)).sum()),
            export_wh: export,
            pv_offered_wh: sum(&self.pv_offered_w),
            pv_used_wh: (fed - export).max(WattHours::ZERO),
            co2: (!self.co2.is_empty())
                .then(|| Grams(per(net.iter().enumerate().map(co2).sum(), 1_000_000 * INTERVALS_PER_HOUR))),
            violations: self.violations[range].iter().sum(),
        }
    }
}

impl Totals {
    /// Everything that the grid charged.
    pub fn cost(&self) -> Micro {
        self.energy_cost + self.demand_cost.unwrap_or_default()
    }

    /// What is left of what drivers paid.
    pub fn profit(&self) -> Micro {
        self.revenue - self.cost()
    }

    /// Share of sessions met, in hundredths of a per cent; `None` where there were none.
    pub fn met_share(&self) -> Option<i64> {
        share(self.met as i64, self.sessions as i64)
    }

    /// Share of the wanted energy that was delivered, in hundredths of a per cent.
    pub fn energy_share(&self) -> Option<i64> {
        share(self.delivered_wh.0, self.wanted_wh.0)
    }

    /// Share of the offered sun that the site itself used, in hundredths of a per cent.
    pub fn self_consumption(&self) -> Option<i64> {
        share(self.pv_used_wh.0, self.pv_offered_wh.0)
    }
}

/// `part` of `whole` in hundredths of a per cent, rounded to the nearest; `None` of nothing.
pub(super) fn share(part: i64, whole: i64) -> Option<i64> {
    let (part, whole) = (i128::from(part) * 10_000, i128::from(whole));
    (whole > 0).then(|| i64::try_from((2 * part + whole).div_euclid(2 * whole)).unwrap_or(i64::MAX))
}

/// Power by interval and lane as a schedule has it.
pub(super) fn planned_wh(problem: &Problem, schedule: &Schedule) -> Vec<Vec<WattHours>> {
    // Steps of 10 W are 2.5 Wh in a quarter hour: what is rounded up in one interval is taken off in the next.
    let mut owed = vec![0; schedule.power_w.len()];
    let lanes = |k: usize, owed: &mut Vec<i64>| {
        let lane = |(power, owed): (&Vec<Watts>, &mut i64)| {
            *owed += power[k].0;
            let whole = owed.div_euclid(INTERVALS_PER_HOUR);
            *owed -= whole * INTERVALS_PER_HOUR;
            WattHours(whole)
        };
        schedule.power_w.iter().zip(owed.iter_mut()).map(lane).collect()
    };
    (0..problem.horizon).map(|k| lanes(k, &mut owed)).collect()
}
