//! The least current of the first interval: a car that gets less than its minimum stops (IEC 61851-1).

use crate::draft::{Draft, fixed_at, quanta, steps};

/// In the first interval no car gets less than its minimum: those planned below it take turns, least laxity first.
/// Together they get about what the plan gave them, except that a car which cannot wait, or which has less to go than
/// one interval at its minimum, gets the minimum wherever the limits leave room.
pub(crate) fn apply(draft: &mut Draft<'_>, order: &[usize], dear_first: &dyn Fn(usize) -> Vec<usize>) {
    let problem = draft.problem;
    let below = |draft: &Draft<'_>, i: usize| {
        let power = draft.need[i].first().copied().unwrap_or(0);
        power > 0 && power < draft.minimum(i) && fixed_at(&problem.needs[i].fixed, 0).is_none()
    };
    let small: Vec<usize> = order.iter().copied().filter(|&i| below(draft, i)).collect();
    let mut budget = 0;
    for &i in &small {
        budget += draft.need[i][0];
        draft.set_need(i, 0, 0);
    }
    for &i in &small {
        let need = &problem.needs[i];
        let minimum = draft.minimum(i);
        let energy = quanta(need.energy_wh);
        let cannot_wait = energy > steps(need.max_w) * (need.until as i64 - 1);
        let wanted = energy <= minimum || cannot_wait || 2 * budget >= minimum;
        if wanted && minimum <= steps(need.max_w) && draft.import_room(need.group, 0) >= minimum {
            draft.set_need(i, 0, minimum);
            budget -= minimum;
            take_back(draft, i, &dear_first(i));
        }
    }
}

/// Takes from later intervals, dearest first, what the raised first one gives too much.
fn take_back(draft: &mut Draft<'_>, i: usize, dear_first: &[usize]) {
    let need = &draft.problem.needs[i];
    for &k in dear_first {
        if k > 0 && draft.missing(i) < 0 && fixed_at(&need.fixed, k).is_none() {
            let power = draft.need[i][k];
            draft.set_need(i, k, power - power.min(-draft.missing(i)));
        }
    }
    let later: i64 = draft.need[i].iter().skip(1).sum();
    if draft.missing(i) < 0 && later > 0 {
        draft.set_need(i, 0, 0);
    }
}
