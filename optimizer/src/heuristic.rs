//! The rules of thumb that a planner is measured against, as ACN-Sim has them (`acnportal.algorithms`): they look at the
//! cars that are there and at nothing that costs money. Every limit, minimum current and pilot holds.

use crate::amounts::{allowed_above, steps};
use crate::draft::Draft;
use crate::fallback::{greedy, waiting, wanted};
use crate::problem::Problem;
use crate::schedule::Schedule;
use crate::units::Watts;
use std::collections::VecDeque;

/// What a turn of [`Rule::RoundRobin`] adds where an EVSE knows more than its pilots: about an ampere on one phase.
const TURN_W: Watts = Watts(200);

/// Who is served first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Everybody in turn gets one more step, until nobody can get one.
    RoundRobin,
    /// Who leaves first gets all it can take.
    EarliestDeadline,
    /// Who can wait least (time left less energy missing / most power) gets all it can take.
    LeastLaxity,
}

/// Serves the cars of `problem` by `rule` in its first `intervals`, and not at all after them: a simulation that plans
/// anew acts on the first one only. Batteries idle and PV in full as in [`crate::solve::fallback`]; node prices are zero.
/// The last fraction of a need that is below the smallest pilot is not given, as in ACN-Sim.
pub fn plan(problem: &Problem, rule: Rule, intervals: usize) -> Schedule {
    greedy(problem, "served by a rule of thumb", i64::MAX, &|draft, k, posted| {
        let mut cars = if k < intervals { waiting(draft, k, posted) } else { Vec::new() };
        match rule {
            Rule::RoundRobin => return take_turns(draft, k, cars.into()),
            Rule::EarliestDeadline => cars.sort_by_key(|&i| (problem.needs[i].until, i)),
            Rule::LeastLaxity => cars = draft.sorted_by_laxity(k, cars),
        }
        for i in cars {
            fill(draft, i, k);
        }
    })
}

/// Whole steps only: a car that cannot get one more is out.
fn take_turns(draft: &mut Draft<'_>, k: usize, mut queue: VecDeque<usize>) {
    while let Some(i) = queue.pop_front() {
        let (need, power) = (&draft.problem.needs[i], draft.need[i][k]);
        let next = if need.pilots_w.is_empty() || k > 0 { power + steps(TURN_W) } else { power + 1 };
        let next = allowed_above(need, next).unwrap_or(i64::MAX);
        if next <= wanted(draft, i, k) && next - power <= draft.spare_room(need.group, k) {
            draft.set_need(i, k, next);
            queue.push_back(i);
        }
    }
}

/// Gives need `i` all it wants, as far as the limits allow and its EVSE knows.
fn fill(draft: &mut Draft<'_>, i: usize, k: usize) {
    let power = draft.need[i][k];
    let room = draft.spare_room(draft.problem.needs[i].group, k);
    let target = draft.allowed(i, k, wanted(draft, i, k).min(power.saturating_add(room)));
    draft.set_need(i, k, target.max(power));
}
