//! Exact amounts: powers in steps of 10 W, energies in *step-seconds* (one step held for one second), so that also a
//! partial first interval counts exactly. A *quantum* is one step held for a whole interval: 10 W × 15 min = 2.5 Wh.
//! A battery's content is counted in hundredths of a step-second, so that its losses in percent are exact.

use crate::problem::{Need, Problem, Storage, Taper};
use crate::units::{INTERVAL_S, MicroPerKwh, POWER_STEP_W, WattHours, Watts};

/// Step-seconds per Wh.
pub(crate) const STEP_SECONDS_PER_WH: i64 = 3600 / POWER_STEP_W;
/// Hundredths of a step-second per Wh.
const CONTENT_PER_WH: i64 = 100 * STEP_SECONDS_PER_WH;

/// Whole steps of a power, rounded towards zero.
pub(crate) fn steps(power: Watts) -> i64 {
    power.0 / POWER_STEP_W
}

/// An energy in step-seconds, rounded down to whole quanta: an energy is never exceeded.
pub(crate) fn energy(energy: WattHours) -> i64 {
    energy.0.max(0) * STEP_SECONDS_PER_WH / INTERVAL_S * INTERVAL_S
}

/// Length of interval `k`, seconds.
pub(crate) fn seconds(problem: &Problem, k: usize) -> i64 {
    if k == 0 { INTERVAL_S - problem.elapsed_s } else { INTERVAL_S }
}

/// The power that an interval of a need or a battery was fixed to by somebody else.
pub(crate) fn fixed_at(fixed: &[(usize, Watts)], k: usize) -> Option<i64> {
    fixed.iter().find(|(at, _)| *at == k).map(|(_, power)| steps(*power))
}

/// Most steps that a need can take in interval `k`, leaving limits aside.
pub(crate) fn need_max(problem: &Problem, need: &Need, k: usize) -> i64 {
    if k < need.from || k >= need.until {
        return 0;
    }
    let most = steps(need.max_w).min(energy(need.energy_wh) / seconds(problem, k));
    fixed_at(&need.fixed, k).map_or(most, |power| power.clamp(0, most))
}

/// What energy of `need` in interval `k` costs the plan beyond its price, because the car may have gone.
pub(crate) fn risk_price(problem: &Problem, need: &Need, k: usize) -> MicroPerKwh {
    if need.likely_until.is_some_and(|likely| k >= likely) { problem.risk_price } else { MicroPerKwh::ZERO }
}

/// The end by which `need` is served where energy is scarce: when its car may have gone, or else the end of its window.
pub(crate) fn served_until(need: &Need) -> usize {
    need.likely_until.map_or(need.until, |likely| likely.min(need.until))
}

/// Most steps that the tapering car of `need` takes after `given` step-seconds.
pub(crate) fn taper_max(need: &Need, taper: &Taper, given: i64) -> i64 {
    let max = i128::from(steps(need.max_w));
    let range = i128::from(taper.range_wh.0 * STEP_SECONDS_PER_WH).max(1);
    let left = i128::from(taper.full_wh.0 * STEP_SECONDS_PER_WH - given).clamp(0, range);
    let end = i128::from(taper.end_percent);
    let most = max * (end * range + (100 - end) * left) / (100 * range);
    i64::try_from(most).unwrap_or(0)
}

/// Most steps of battery `j` in either direction in interval `k`: none where a car is not there.
pub(crate) fn storage_max(storage: &Storage, k: usize) -> i64 {
    let there = storage.stay.is_none_or(|(from, until)| k >= from && k < until);
    if there { steps(storage.max_w) } else { 0 }
}

/// Change of content by interval `k` at `power` steps, hundredths of a step-second.
pub(crate) fn content_change(problem: &Problem, j: usize, k: usize, power: i64) -> i64 {
    let storage = &problem.storages[j];
    power * seconds(problem, k) * if power > 0 { storage.charge_percent } else { storage.discharge_percent }
}

/// Largest content; a battery that starts above its capacity may stay there.
pub(crate) fn content_max(storage: &Storage) -> i64 {
    storage.capacity_wh.max(storage.content_wh).0 * CONTENT_PER_WH
}

/// Smallest content; a battery that starts below its floor may stay there.
pub(crate) fn content_min(storage: &Storage) -> i64 {
    storage.floor_wh.min(storage.content_wh).0 * CONTENT_PER_WH
}

/// Content at the start of the horizon, hundredths of a step-second.
pub(crate) fn content_start(storage: &Storage) -> i64 {
    storage.content_wh.0 * CONTENT_PER_WH
}

/// A content in Wh, rounded down.
pub(crate) fn content_wh(content: i64) -> WattHours {
    WattHours(content.div_euclid(CONTENT_PER_WH))
}

/// `power` as far as the battery has room for it or can give it in interval `k`.
pub(crate) fn clip_to_content(problem: &Problem, j: usize, k: usize, power: i64, content: i64) -> i64 {
    let storage = &problem.storages[j];
    let (max, length) = (storage_max(storage, k), seconds(problem, k));
    // A percentage of zero moves no content, so it sets no limit.
    let most = (content_max(storage) - content).checked_div(storage.charge_percent * length).unwrap_or(max);
    let least = (content_min(storage) - content).checked_div(storage.discharge_percent * length).unwrap_or(-max);
    power.clamp(least.clamp(-max, 0), most.clamp(0, max))
}

/// Weight of a need's shortfall, per cent.
pub(crate) fn priority(percent: i64) -> i64 {
    if percent == 0 { 100 } else { percent }
}

/// The powers at which an EVSE may hold `need` in the first interval are 0 and these: the pilots, or all from the minimum on.
/// The largest of them that is not above `power`.
pub(crate) fn allowed_below(need: &Need, power: i64) -> i64 {
    if need.pilots_w.is_empty() {
        let least = steps(need.min_w.ceil_to_step());
        return if power < least { 0 } else { power };
    }
    need.pilots_w.iter().map(|pilot| steps(pilot.ceil_to_step())).filter(|pilot| *pilot <= power).max().unwrap_or(0)
}

/// The smallest allowed power that is not below `power`; `None` where the EVSE has none.
pub(crate) fn allowed_above(need: &Need, power: i64) -> Option<i64> {
    let max = steps(need.max_w);
    if power <= 0 {
        return Some(0);
    }
    if need.pilots_w.is_empty() {
        let least = steps(need.min_w.ceil_to_step());
        return Some(power.max(least)).filter(|p| *p <= max);
    }
    let pilots = need.pilots_w.iter().map(|pilot| steps(pilot.ceil_to_step()));
    pilots.filter(|pilot| *pilot >= power && *pilot <= max && *pilot > 0).min()
}

/// The smallest power above zero that is allowed.
pub(crate) fn smallest(need: &Need) -> Option<i64> {
    allowed_above(need, 1)
}
