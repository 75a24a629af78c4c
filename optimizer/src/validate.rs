//! Whether a problem is one: the planner indexes without asking again, and never overflows.

use crate::problem::{Need, Problem};
use crate::units::POWER_MAX_W;

/// Largest amount, price or percentage that the planner takes: far above any site, far below what could overflow.
const MAGNITUDE_MAX: i64 = 1_000_000_000_000;

/// Whether every index and size in `problem` fits; the reason where it does not.
pub(crate) fn validate(problem: &Problem) -> Result<(), String> {
    validate_groups(problem)?;
    validate_series(problem)?;
    validate_needs(problem)?;
    for storage in &problem.storages {
        let amounts = [storage.max_w.0, storage.capacity_wh.0, storage.content_wh.0];
        let percents = [storage.charge_percent, storage.discharge_percent];
        if amounts.iter().any(|a| !(0..=MAGNITUDE_MAX).contains(a))
            || percents.iter().any(|p| !(0..=10_000).contains(p))
        {
            return Err(format!("battery in lane {} has a negative or absurd number", storage.lane));
        }
    }
    let mut taken = vec![false; problem.lanes];
    let forecasts = problem.pv.iter().chain(&problem.base_loads).map(|f| (f.lane, f.group));
    for (lane, group) in forecasts.chain(problem.storages.iter().map(|s| (s.lane, s.group))) {
        if lane >= problem.lanes || group >= problem.groups.len() {
            return Err(format!("lane {lane} or its group {group} does not exist"));
        }
        if std::mem::replace(&mut taken[lane], true) {
            return Err(format!("lane {lane} has two assets"));
        }
    }
    match problem.needs.iter().find(|need| taken[need.lane]) {
        Some(need) => Err(format!("session {} charges at lane {}, which is no EVSE", need.session, need.lane)),
        None => Ok(()),
    }
}

fn validate_groups(problem: &Problem) -> Result<(), String> {
    if problem.groups.first().is_none_or(|root| root.parent.is_some()) {
        return Err("group 0 is not the grid connection".to_owned());
    }
    for (g, group) in problem.groups.iter().enumerate() {
        if g > 0 && group.parent.is_none_or(|parent| parent >= g) {
            return Err(format!("group {g} does not come after its parent"));
        }
        if [group.import_w.0, group.export_w.0].iter().any(|limit| !(0..=MAGNITUDE_MAX).contains(limit)) {
            return Err(format!("group {g} has a negative or absurd limit"));
        }
    }
    Ok(())
}

fn validate_series(problem: &Problem) -> Result<(), String> {
    let prices = problem.import_price.iter().chain(&problem.feed_in_price);
    let end_values = problem.storages.iter().map(|s| &s.end_value);
    if prices.chain(end_values).chain([&problem.shortfall_penalty]).any(|price| price.0.abs() > MAGNITUDE_MAX) {
        return Err("a price is absurd".to_owned());
    }
    if problem.import_price.len() != problem.horizon || problem.feed_in_price.len() != problem.horizon {
        return Err("prices do not cover the horizon".to_owned());
    }
    for forecast in problem.pv.iter().chain(&problem.base_loads) {
        if forecast.power_w.len() != problem.horizon {
            return Err(format!("the forecast of lane {} does not cover the horizon", forecast.lane));
        }
        if forecast.power_w.iter().any(|power| !(0..=MAGNITUDE_MAX).contains(&power.0)) {
            return Err(format!("the forecast of lane {} has a negative or absurd power", forecast.lane));
        }
    }
    Ok(())
}

fn validate_needs(problem: &Problem) -> Result<(), String> {
    for (i, need) in problem.needs.iter().enumerate() {
        let name = &need.session;
        if need.lane >= problem.lanes || need.group >= problem.groups.len() {
            return Err(format!("session {name}: lane {} or group {} does not exist", need.lane, need.group));
        }
        if need.until > problem.horizon {
            return Err(format!("session {name} ends after the horizon"));
        }
        if !(0..=POWER_MAX_W).contains(&need.max_w.0) || !(0..=MAGNITUDE_MAX).contains(&need.energy_wh.0) {
            return Err(format!("session {name} has a negative or absurd number"));
        }
        let overlaps = |other: &Need| other.lane == need.lane && other.from < need.until && need.from < other.until;
        if problem.needs[..i].iter().any(overlaps) {
            return Err(format!("session {name} meets another one in lane {}", need.lane));
        }
    }
    Ok(())
}
