//! What a plan minimises, counted by the book of the problem and apart from the solver.

use optimizer::problem::{Problem, Storage};
use optimizer::schedule::Schedule;
use optimizer::units::MicroPerKwh;

/// Watt-seconds of a kWh, times the hundred of a per cent: [`money`] counts micro in parts of this.
pub(crate) const MICRO: i128 = 3_600_000 * 100;

fn seconds(problem: &Problem, k: usize) -> i128 {
    i128::from(if k == 0 { 900 - problem.elapsed_s } else { 900 })
}

fn priority(percent: i64) -> i128 {
    i128::from(if percent == 0 { 100 } else { percent })
}

/// Energy, demand charge, unmet needs, wear, less what batteries hold in the end; in micro / [`MICRO`].
pub(crate) fn money(problem: &Problem, schedule: &Schedule) -> i128 {
    let net: Vec<i128> =
        (0..problem.horizon).map(|k| schedule.column(k).iter().map(|power| i128::from(power.0)).sum()).collect();
    let mut sum = 0;
    for (k, net) in net.iter().enumerate() {
        let price = if *net > 0 { problem.import_price[k] } else { problem.feed_in_price[k] };
        sum += net * i128::from(price.0) * seconds(problem, k) * 100;
    }
    if let Some(peak) = &problem.peak {
        let above = net.iter().max().map_or(0, |most| (most - i128::from(peak.so_far_w.0)).max(0));
        sum += above * i128::from(peak.price.0) * MICRO / 1000;
    }
    for need in &problem.needs {
        let row = schedule.power_w[need.lane].iter().enumerate().take(need.until).skip(need.from);
        let given: i128 = row.map(|(k, power)| i128::from(power.0) * seconds(problem, k)).sum();
        let missing = (i128::from(need.energy_wh.0 * 2 / 5 * 9_000) - given).max(0);
        sum += missing * i128::from(problem.shortfall_penalty.0) * priority(need.priority_percent);
    }
    sum + problem.storages.iter().map(|storage| of_storage(problem, schedule, storage)).sum::<i128>()
}

fn of_storage(problem: &Problem, schedule: &Schedule, storage: &Storage) -> i128 {
    let (mut content, mut fed) = (i128::from(storage.content_wh.0) * 360_000, 0);
    for (k, power) in schedule.power_w[storage.lane].iter().enumerate() {
        let energy = i128::from(power.0) * seconds(problem, k);
        content += energy * i128::from(if power.0 > 0 { storage.charge_percent } else { storage.discharge_percent });
        fed += (-energy).max(0);
    }
    let missing = storage.target.as_ref().map_or(0, |target| {
        let missing = (i128::from(target.content_wh.0) * 360_000 - content).max(0);
        missing * i128::from(problem.shortfall_penalty.0) * priority(target.priority_percent) / 100
    });
    missing + fed * i128::from(storage.cycle_cost.0) * 100 - content * i128::from(storage.end_value.0)
}

/// By how much a plan may miss the optimum of [`money`]:
/// - ties: half a micro per kWh on everything that can move, both ways;
/// - rounding: nothing where the program is a network flow. Otherwise (batteries, rows, a peak, tapers, a partial interval)
///   a step of 10 W for every car and PV inverter, four for every battery and two for the peak in every interval, at the
///   highest price; with rows four times that, because their coefficients make a step of one class four of another.
pub(crate) fn tolerance(problem: &Problem) -> i128 {
    let horizon = problem.horizon as i128;
    let quantum = 9_000;
    let pv: i128 = problem.pv.iter().flat_map(|f| &f.power_w).map(|power| i128::from(power.0)).sum();
    let batteries: i128 = problem.storages.iter().map(|s| i128::from(s.max_w.0) * 2 * horizon).sum();
    let needs: i128 = problem.needs.iter().map(|need| i128::from(need.energy_wh.0) * 3_600).sum();
    let ties = ((pv + batteries) * 900 + needs) * 100 / 2 + MICRO;
    let is_flow = problem.storages.is_empty()
        && problem.rows.is_empty()
        && problem.peak.is_none()
        && problem.elapsed_s == 0
        && problem.needs.iter().all(|need| need.taper.is_none());
    let weights = problem.needs.iter().map(|need| priority(need.priority_percent));
    let highest = i128::from(problem.shortfall_penalty.0) * weights.max().unwrap_or(100).max(100);
    let steps = (problem.needs.len() + problem.pv.len() + 4 * problem.storages.len()) as i128 * horizon;
    let peak = problem.peak.as_ref().map_or(0, |peak| i128::from(peak.price.0) * 20 * MICRO / 1000);
    let MicroPerKwh(most) = problem.import_price.iter().max().copied().unwrap_or_default();
    let steps = if problem.rows.is_empty() { steps } else { 4 * steps };
    // Every step that rounding takes from a car may also be one that PV or grid has to make up for.
    let rounding = steps * quantum * (highest + 100 * i128::from(most.abs())) + peak;
    ties + if is_flow { 0 } else { rounding }
}
