//! Plans without a solver: least laxity first, and no plan at all.

use crate::draft::{Draft, fixed_at, need_max, steps};
use crate::problem::{Need, Problem};
use crate::schedule::{Schedule, Status};
use crate::units::{Micro, MicroPerKwh, Watts};
use crate::validate::validate;

/// Why [`uncontrolled`] is no plan, in its status.
const UNCONTROLLED: &str = "uncontrolled: every car at its maximum, limits ignored";

/// Serves the car with the least laxity first, inside all limits; PV as far as the reverse-flow limits allow; batteries
/// idle unless somebody else has posted them. Never fails: a problem that is not valid gives all zeros, and says so in
/// its status. Node prices are zero.
pub fn fallback(problem: &Problem, reason: &str) -> Schedule {
    if let Err(invalid) = validate(problem) {
        return nothing(problem, format!("{reason}; the problem is not valid: {invalid}"));
    }
    let mut draft = Draft::new(problem);
    for (j, storage) in problem.storages.iter().enumerate() {
        let max = steps(storage.max_w);
        for k in 0..problem.horizon {
            draft.set_storage(j, k, fixed_at(&storage.fixed, k).unwrap_or(0).clamp(-max, max));
        }
    }
    for (j, forecast) in problem.pv.iter().enumerate() {
        for (k, power) in forecast.power_w.iter().enumerate() {
            draft.set_pv(j, k, steps(*power));
        }
    }
    // What was posted comes first in all intervals, so that no energy is spent on others before it.
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
    let served = |need: &Need| need_max(need, k) > 0 && fixed_at(&need.fixed, k).is_some() == posted;
    let served = (0..problem.needs.len()).filter(|&i| served(&problem.needs[i])).collect();
    for i in draft.sorted_by_laxity(k, served) {
        let need = &problem.needs[i];
        let most = need_max(need, k);
        let power = draft.need[i][k];
        let room = draft.import_room(need.group, k);
        let mut given = power + (most - power).min(draft.missing(i)).min(room).max(0);
        let minimum = draft.minimum(i);
        if k == 0 && !posted && given < minimum && given > 0 {
            // The car takes no more than it needs, so the last fraction may get the minimum.
            let later: i64 = draft.need[i].iter().skip(1).sum();
            let last_fraction = draft.missing(i) + power < minimum && later == 0;
            let fits = minimum <= steps(need.max_w) && minimum - power <= room;
            given = if last_fraction && fits { minimum } else { 0 };
        }
        draft.set_need(i, k, given);
    }
}

/// Every car at its maximum from the start of its window until its need is met, whatever the limits; PV in full,
/// batteries idle. What happens without a planner: for comparison only, never to be posted. It has no status of its own:
/// it is a fallback whose reason starts with `uncontrolled`.
pub fn uncontrolled(problem: &Problem) -> Schedule {
    if let Err(invalid) = validate(problem) {
        return nothing(problem, format!("{UNCONTROLLED}; the problem is not valid: {invalid}"));
    }
    let mut draft = Draft::new(problem);
    for (j, forecast) in problem.pv.iter().enumerate() {
        for (k, power) in forecast.power_w.iter().enumerate() {
            draft.set_pv(j, k, steps(*power));
        }
    }
    for (i, need) in problem.needs.iter().enumerate() {
        for k in need.from..need.until {
            let power = steps(need.max_w).min(draft.missing(i)).max(0);
            draft.set_need(i, k, power);
        }
    }
    let price = vec![vec![MicroPerKwh::ZERO; problem.horizon]; problem.groups.len()];
    draft.finish(price, Status::Fallback { reason: UNCONTROLLED.to_owned() })
}

/// Zeros in the shape of the problem.
fn nothing(problem: &Problem, reason: String) -> Schedule {
    Schedule {
        site: problem.site.clone(),
        first: problem.first,
        power_w: vec![vec![Watts::ZERO; problem.horizon]; problem.lanes],
        shortfall_wh: problem.needs.iter().map(|need| (need.session.clone(), need.energy_wh)).collect(),
        cost: Micro::ZERO,
        node_price: vec![vec![MicroPerKwh::ZERO; problem.horizon]; problem.groups.len()],
        status: Status::Fallback { reason },
    }
}
