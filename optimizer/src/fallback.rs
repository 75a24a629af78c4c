//! Plans without a solver: least laxity first, and no plan at all.

use crate::amounts::{allowed_above, allowed_below, fixed_at, need_max, seconds, steps, storage_max, taper_max};
use crate::draft::Draft;
use crate::network::Network;
use crate::problem::{Need, Problem};
use crate::schedule::{Cause, Schedule, Shortfall, Status};
use crate::units::{Micro, MicroPerKwh, Watts};
use crate::validate::validate;

/// Why [`uncontrolled`] is no plan, in its status.
const UNCONTROLLED: &str = "uncontrolled: every car at its maximum, limits ignored";

/// Serves the car with the least laxity first, inside all limits; PV as far as the reverse-flow limits allow; batteries
/// idle unless somebody else has posted them. Never fails: a problem that is not valid gives all zeros, and says so in
/// its status. Node prices are zero.
pub fn fallback(problem: &Problem, reason: &str) -> Schedule {
    // Where power above the peak so far is charged for, this is no place to buy some.
    let peak = problem.peak.as_ref().filter(|p| p.so_far_w.0 > 0).map_or(i64::MAX, |p| steps(p.so_far_w));
    greedy(problem, reason, peak, &serve)
}

/// Batteries idle, PV in full, and cars as `serve` gives them power: it is asked interval by interval, first for what
/// somebody else has posted (`true`), so that no energy is spent on others before it. No import above `peak` is added.
pub(crate) fn greedy(
    problem: &Problem,
    reason: &str,
    peak: i64,
    serve: &dyn Fn(&mut Draft<'_>, usize, bool),
) -> Schedule {
    if let Err(invalid) = validate(problem) {
        return nothing(problem, format!("{reason}; the problem is not valid: {invalid}"));
    }
    let network = Network::new(problem);
    let mut draft = Draft::new(problem, &network);
    draft.peak = peak;
    for (j, storage) in problem.storages.iter().enumerate() {
        for k in 0..problem.horizon {
            let max = storage_max(storage, k);
            draft.set_storage(j, k, fixed_at(&storage.fixed, k).unwrap_or(0).clamp(-max, max));
        }
    }
    for (j, forecast) in problem.pv.iter().enumerate() {
        for (k, power) in forecast.power_w.iter().enumerate() {
            draft.set_pv(j, k, steps(*power));
        }
    }
    for posted in [true, false] {
        for k in 0..problem.horizon {
            serve(&mut draft, k, posted);
        }
    }
    let order = draft.by_laxity();
    draft.settle(&order.iter().rev().copied().collect::<Vec<_>>());
    // Settling may have left room: curtailed sun first, then cars with it.
    for k in 0..problem.horizon {
        draft.raise_pv(k);
        serve(&mut draft, k, false);
        draft.raise_pv(k);
    }
    let price = vec![vec![MicroPerKwh::ZERO; problem.horizon]; problem.groups.len()];
    draft.finish(price, Status::Fallback { reason: reason.to_owned() })
}

/// Gives what the limits leave room for in interval `k`, least laxity first, where somebody else has `posted` it or not.
fn serve(draft: &mut Draft<'_>, k: usize, posted: bool) {
    let problem = draft.problem;
    for i in draft.sorted_by_laxity(k, waiting(draft, k, posted)) {
        let need = &problem.needs[i];
        let power = draft.need[i][k];
        let room = draft.spare_room(need.group, k);
        let mut given = power + (wanted(draft, i, k) - power).min(room);
        if k == 0 && !posted {
            // The car takes no more than it needs, so the last fraction may get the next power that the EVSE can hold.
            let above = allowed_above(need, given).filter(|above| {
                draft.missing(i) + power * seconds(problem, 0) <= above * seconds(problem, 0) && draft.later(i) == 0
            });
            given = match above {
                Some(above) if above - power <= room => above,
                _ => allowed_below(need, given),
            };
        }
        draft.set_need(i, k, given);
    }
}

/// Needs that can take power in interval `k`, where somebody else has `posted` it or not.
pub(crate) fn waiting(draft: &Draft<'_>, k: usize, posted: bool) -> Vec<usize> {
    let problem = draft.problem;
    let waits = |need: &Need| need_max(problem, need, k) > 0 && fixed_at(&need.fixed, k).is_some() == posted;
    (0..problem.needs.len()).filter(|&i| waits(&problem.needs[i])).collect()
}

/// The power that need `i` would take in interval `k`, leaving limits aside: at least what it has. What a tapering car
/// takes later follows from now, so it is served once.
pub(crate) fn wanted(draft: &Draft<'_>, i: usize, k: usize) -> i64 {
    let (problem, need, power) = (draft.problem, &draft.problem.needs[i], draft.need[i][k]);
    if need.taper.is_some() && draft.need[i][k..].iter().any(|power| *power > 0) {
        return power;
    }
    let taken: i64 = (0..k).map(|before| draft.need[i][before] * seconds(problem, before)).sum();
    let taper = need.taper.as_ref().map_or(i64::MAX, |taper| taper_max(need, taper, taken));
    let most = need_max(problem, need, k).min(taper);
    power + (most - power).min(draft.missing_power(i, k)).max(0)
}

/// Every car at its maximum from the start of its window until its need is met, whatever the limits; PV in full,
/// batteries idle. What happens without a planner: for comparison only, never to be posted. It has no status of its own:
/// it is a fallback whose reason starts with `uncontrolled`.
pub fn uncontrolled(problem: &Problem) -> Schedule {
    if let Err(invalid) = validate(problem) {
        return nothing(problem, format!("{UNCONTROLLED}; the problem is not valid: {invalid}"));
    }
    let network = Network::new(problem);
    let mut draft = Draft::new(problem, &network);
    for (j, forecast) in problem.pv.iter().enumerate() {
        for (k, power) in forecast.power_w.iter().enumerate() {
            draft.set_pv(j, k, steps(*power));
        }
    }
    for (i, need) in problem.needs.iter().enumerate() {
        for k in need.from..need.until {
            let power = steps(need.max_w).min(draft.missing_power(i, k)).max(0);
            draft.set_need(i, k, power);
        }
    }
    let price = vec![vec![MicroPerKwh::ZERO; problem.horizon]; problem.groups.len()];
    draft.finish(price, Status::Fallback { reason: UNCONTROLLED.to_owned() })
}

/// Zeros in the shape of the problem.
fn nothing(problem: &Problem, reason: String) -> Schedule {
    let all = |need: &Need| Shortfall { session: need.session.clone(), energy_wh: need.energy_wh, cause: Cause::Limit };
    Schedule {
        site: problem.site.clone(),
        first: problem.first,
        power_w: vec![vec![Watts::ZERO; problem.horizon]; problem.lanes],
        shortfalls: problem.needs.iter().map(all).collect(),
        cost: Micro::ZERO,
        peak_w: Watts::ZERO,
        node_price: vec![vec![MicroPerKwh::ZERO; problem.horizon]; problem.groups.len()],
        status: Status::Fallback { reason },
    }
}
