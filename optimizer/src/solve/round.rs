//! From the solver's floats to whole steps inside all limits.

use super::{Answer, CONTENT_PER_QUANTUM, WHOLE};
use crate::amounts::{content_change, content_start, fixed_at, priority, risk_price, seconds, steps, storage_max};
use crate::draft::Draft;
use crate::minimum;
use crate::network::Network;
use crate::problem::Problem;
use crate::schedule::Schedule;

/// From the solver's floats to whole steps inside all limits.
pub(super) fn round(problem: &Problem, network: &Network, answer: &Answer) -> Schedule {
    let mut draft = Draft::new(problem, network);
    if let Some(peak) = &problem.peak {
        draft.peak = steps(peak.so_far_w) + whole_below(answer.above_peak + 1.0 - 2.0 * WHOLE);
    }
    for (i, powers) in answer.need.iter().enumerate() {
        powers.iter().enumerate().for_each(|(k, power)| draft.set_need(i, k, whole_below(*power)));
    }
    // PV rounds up, because more of it leaves more room for the rest; it is at most what is available, a whole number.
    for (j, powers) in answer.pv.iter().enumerate() {
        powers.iter().enumerate().for_each(|(k, power)| draft.set_pv(j, k, -whole_below(-*power)));
    }
    for j in 0..problem.storages.len() {
        for (k, power) in follow_content(problem, j, answer).into_iter().enumerate() {
            draft.set_storage(j, k, power);
        }
    }
    let order = draft.by_laxity();
    let dear_first = |i: usize| {
        let need = &problem.needs[i];
        let price = |k: usize| answer.node_price[need.group][k] + risk_price(problem, need, k);
        let mut intervals: Vec<usize> = (need.from..need.until).collect();
        intervals.sort_by_key(|&k| (std::cmp::Reverse(price(k)), std::cmp::Reverse(k)));
        intervals
    };
    minimum::apply(&mut draft, &order, &dear_first);
    let cut_first: Vec<usize> = order.iter().rev().copied().collect();
    draft.settle(&cut_first);
    draft.refill(&order, |i| {
        let need = &problem.needs[i];
        let penalty = problem.shortfall_penalty.0 * priority(need.priority_percent);
        let price = |k: usize| problem.import_price[k].max(problem.feed_in_price[k]) + risk_price(problem, need, k);
        let worth_it = |k: &usize| price(*k).0 * 100 < penalty;
        dear_first(i).into_iter().rev().filter(worth_it).collect()
    });
    draft.finish(answer.node_price.clone(), answer.status.clone())
}

/// The whole number at or below `value`; one that the solver missed by its tolerance counts as reached.
fn whole_below(value: f64) -> i64 {
    (value + WHOLE).floor() as i64
}

/// Whole steps of battery `j` whose content stays next to the solver's, so that rounding errors do not add up.
fn follow_content(problem: &Problem, j: usize, answer: &Answer) -> Vec<i64> {
    let storage = &problem.storages[j];
    let mut content = content_start(storage);
    let mut powers = Vec::with_capacity(problem.horizon);
    for (k, (flow, target)) in answer.storage[j].iter().zip(&answer.content[j]).enumerate() {
        let net = flow.net();
        let change = target * CONTENT_PER_QUANTUM - content as f64;
        let (max, length) = (storage_max(storage, k), seconds(problem, k));
        let power = match fixed_at(&storage.fixed, k) {
            Some(_) => net.round() as i64,
            None if net > WHOLE && storage.charge_percent > 0 => {
                whole_below(change / (storage.charge_percent * length) as f64).clamp(0, max)
            }
            None if net < -WHOLE && storage.discharge_percent > 0 => {
                -whole_below(-change / (storage.discharge_percent * length) as f64).clamp(0, max)
            }
            None => whole_below(net.abs()) * net.signum() as i64,
        };
        content += content_change(problem, j, k, power);
        powers.push(power);
    }
    powers
}
