//! What the first interval can really hold: a car that gets less than its minimum stops (IEC 61851-1), and many EVSEs
//! know only some currents.

use crate::amounts::{allowed_above, allowed_below, energy, fixed_at, seconds, steps};
use crate::draft::Draft;
use crate::problem::Need;
use crate::units::INTERVAL_S;

/// In the first interval every car gets a power that its EVSE can hold: those planned at another one take turns, least
/// laxity first, at the next one above or below. Together they get about what the plan gave them, except that a car
/// which cannot wait, or which has less to go than the next power gives, gets it wherever the limits leave room: it takes
/// no more than it needs. Where the limits leave no room for a whole step, a car that can wait makes some, so that power
/// which is scarce is not left unused.
pub(crate) fn apply(draft: &mut Draft<'_>, order: &[usize], dear_first: &dyn Fn(usize) -> Vec<usize>) {
    let problem = draft.problem;
    let is_off = |draft: &Draft<'_>, i: usize| {
        let power = draft.need[i].first().copied().unwrap_or(0);
        let need = &problem.needs[i];
        power > 0 && allowed_below(need, power) != power && fixed_at(&need.fixed, 0).is_none()
    };
    let off: Vec<usize> = order.iter().copied().filter(|&i| is_off(draft, i)).collect();
    let mut planned = Vec::with_capacity(off.len());
    let cannot_wait = |need: &Need| energy(need.energy_wh) > steps(need.max_w) * (need.until as i64 - 1) * INTERVAL_S;
    let mut budget = 0;
    for &i in &off {
        let power = draft.need[i][0];
        let below = allowed_below(&problem.needs[i], power);
        budget += power - below;
        planned.push(power);
        draft.set_need(i, 0, below);
    }
    for (&i, &power) in off.iter().zip(&planned) {
        let need = &problem.needs[i];
        let below = draft.need[i][0];
        let Some(above) = allowed_above(need, power) else { continue };
        let last = energy(need.energy_wh) <= above * seconds(problem, 0);
        let step = above - below;
        let room = draft.spare_room(need.group, 0);
        if (last || cannot_wait(need) || 2 * budget >= step) && room >= step {
            draft.set_need(i, 0, above);
            budget -= step;
            take_back(draft, i, &dear_first(i));
        }
    }
    for (&i, &power) in off.iter().zip(&planned) {
        let need = &problem.needs[i];
        let below = draft.need[i][0];
        let Some(above) = allowed_above(need, power).filter(|_| below < power) else { continue };
        let step = above - below;
        for &j in order.iter().rev() {
            let (other, given) = (&problem.needs[j], draft.need[j][0]);
            let missing = step - draft.spare_room(need.group, 0);
            let lower = allowed_below(other, given - missing);
            let gain = step - (given - lower);
            let may = j != i && !cannot_wait(other) && fixed_at(&other.fixed, 0).is_none();
            if !may || missing <= 0 || lower <= 0 || gain <= 0 || gain > 2 * budget {
                continue;
            }
            draft.set_need(j, 0, lower);
            if draft.spare_room(need.group, 0) >= step {
                draft.set_need(i, 0, above);
                budget -= gain;
                take_back(draft, i, &dear_first(i));
                break;
            }
            draft.set_need(j, 0, given);
        }
    }
}

/// Takes from later intervals, dearest first, what the raised first one gives too much.
fn take_back(draft: &mut Draft<'_>, i: usize, dear_first: &[usize]) {
    let need = &draft.problem.needs[i];
    for &k in dear_first {
        if k > 0 && draft.missing(i) < 0 && fixed_at(&need.fixed, k).is_none() {
            let power = draft.need[i][k];
            let too_much = -(draft.missing(i).div_euclid(seconds(draft.problem, k)));
            draft.set_need(i, k, power - power.min(too_much));
        }
    }
    if draft.missing(i) < 0 && draft.later(i) > 0 {
        draft.set_need(i, 0, 0);
    }
}
