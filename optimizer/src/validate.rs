//! Whether a problem is one: the planner indexes without asking again, and never overflows.

use crate::problem::{Dimming, Need, Problem, Storage};
use crate::units::{INTERVAL_S, POWER_MAX_W};

/// Largest amount, price or percentage that the planner takes: far above any site, far below what could overflow.
const MAGNITUDE_MAX: i64 = 1_000_000_000_000;

/// Largest coefficient of a row.
const COEFFICIENT_MAX: i64 = 1_000_000;
/// Largest energy that a car can take, Wh.
const ENERGY_MAX: i64 = 1_000_000_000;
/// Largest weight of a need, per cent.
const PRIORITY_MAX: i64 = 10_000;

/// Whether every index and size in `problem` fits; the reason where it does not.
pub(crate) fn validate(problem: &Problem) -> Result<(), String> {
    if !(0..INTERVAL_S).contains(&problem.elapsed_s) {
        return Err(format!("elapsed_s is {}, expected 0 to {}", problem.elapsed_s, INTERVAL_S - 1));
    }
    validate_groups(problem)?;
    validate_rows(problem)?;
    validate_series(problem)?;
    validate_needs(problem)?;
    problem.storages.iter().try_for_each(|storage| validate_storage(problem, storage))?;
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
        let dimmed = |d: &Dimming| [d.import_w.0, d.guaranteed_w.0].iter().all(|w| (0..=MAGNITUDE_MAX).contains(w));
        if !group.dimmed.iter().all(dimmed) {
            return Err(format!("group {g}: a dimming has a negative or absurd limit"));
        }
        if [group.import_w.0, group.export_w.0].iter().any(|limit| !(0..=MAGNITUDE_MAX).contains(limit)) {
            return Err(format!("group {g} has a negative or absurd limit"));
        }
    }
    Ok(())
}

fn validate_rows(problem: &Problem) -> Result<(), String> {
    for row in &problem.rows {
        let name = &row.name;
        if row.at_most.len() != 1 && row.at_most.len() != problem.horizon {
            let expected = problem.horizon;
            return Err(format!("row {name}: at_most has {} entries, expected 1 or {expected}", row.at_most.len()));
        }
        if row.at_most.iter().any(|bound| !(0..=MAGNITUDE_MAX * COEFFICIENT_MAX).contains(bound)) {
            return Err(format!("row {name}: at_most is negative or absurd"));
        }
        let mut seen = vec![false; problem.groups.len()];
        for term in &row.terms {
            match seen.get_mut(term.group) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(format!("row {name}: group {} does not exist or has two terms", term.group)),
            }
            if term.coefficient.abs() > COEFFICIENT_MAX {
                return Err(format!("row {name}: coefficient of group {} is above {COEFFICIENT_MAX}", term.group));
            }
        }
    }
    Ok(())
}

fn validate_storage(problem: &Problem, storage: &Storage) -> Result<(), String> {
    let amounts = [storage.max_w.0, storage.capacity_wh.0, storage.content_wh.0, storage.floor_wh.0];
    let percents = [storage.charge_percent, storage.discharge_percent];
    if amounts.iter().any(|a| !(0..=MAGNITUDE_MAX).contains(a)) || percents.iter().any(|p| !(0..=10_000).contains(p)) {
        return Err(format!("battery in lane {} has a negative or absurd number", storage.lane));
    }
    if storage.charge_percent > 100 || storage.discharge_percent < 100 {
        let (charge, discharge) = (storage.charge_percent, storage.discharge_percent);
        return Err(format!(
            "battery in lane {}: charge_percent {charge} and discharge_percent {discharge} make energy, expected Wh \
             stored per 100 Wh drawn (at most 100) and Wh taken out per 100 Wh fed (at least 100)",
            storage.lane
        ));
    }
    if storage.floor_wh > storage.capacity_wh {
        return Err(format!("battery in lane {}: floor_wh is above capacity_wh", storage.lane));
    }
    if storage.stay.is_some_and(|(from, until)| from >= until || until > problem.horizon) {
        return Err(format!("battery in lane {}: stay is empty or ends after the horizon", storage.lane));
    }
    let wanted = storage.target.as_ref();
    if wanted.is_some_and(|t| !(0..=storage.capacity_wh.0).contains(&t.content_wh.0)) {
        return Err(format!("battery in lane {}: target content_wh is not within its capacity", storage.lane));
    }
    if wanted.is_some_and(|t| !(0..=PRIORITY_MAX).contains(&t.priority_percent)) {
        return Err(format!("battery in lane {}: priority_percent is not within 0 to {PRIORITY_MAX}", storage.lane));
    }
    Ok(())
}

fn validate_series(problem: &Problem) -> Result<(), String> {
    let prices = problem.import_price.iter().chain(&problem.feed_in_price);
    let end_values = problem.storages.iter().map(|s| &s.end_value);
    let wear = problem.storages.iter().map(|s| &s.cycle_cost);
    if wear.clone().any(|price| price.0 < 0) {
        return Err("a cycle_cost is negative".to_owned());
    }
    let peak = problem.peak.as_ref();
    if peak.is_some_and(|p| [p.so_far_w.0, p.price.0].iter().any(|value| !(0..=MAGNITUDE_MAX).contains(value))) {
        return Err("the peak has a negative or absurd number".to_owned());
    }
    if let Some(reserve) = &problem.reserve {
        let powers = reserve.power_w.iter().map(|power| power.0);
        if reserve.power_w.len() != problem.horizon {
            return Err("the reserve does not cover the horizon".to_owned());
        }
        if powers.chain([reserve.price.0]).any(|value| !(0..=MAGNITUDE_MAX).contains(&value)) {
            return Err("the reserve has a negative or absurd number".to_owned());
        }
    }
    if problem.risk_price.0 < 0 {
        return Err("the risk_price is negative".to_owned());
    }
    if prices
        .chain(end_values)
        .chain(wear)
        .chain([&problem.shortfall_penalty, &problem.risk_price])
        .any(|price| price.0.abs() > MAGNITUDE_MAX)
    {
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
        let amounts = [need.min_w.0, need.car_w.0];
        if amounts.iter().chain(need.pilots_w.iter().map(|p| &p.0)).any(|w| !(0..=MAGNITUDE_MAX).contains(w)) {
            return Err(format!("session {name}: min_w, car_w or pilots_w is negative or absurd"));
        }
        if !(0..=PRIORITY_MAX).contains(&need.priority_percent) {
            return Err(format!("session {name}: priority_percent is not within 0 to {PRIORITY_MAX}"));
        }
        if let Some(taper) = &need.taper {
            let sizes = [taper.full_wh.0, taper.range_wh.0];
            let in_order = sizes.iter().all(|size| (1..=ENERGY_MAX).contains(size));
            if !in_order || !(0..=100).contains(&taper.end_percent) || taper.full_wh < need.energy_wh {
                return Err(format!("session {name}: its taper has an absurd number, or is full before energy_wh"));
            }
        }
        let overlaps = |other: &Need| other.lane == need.lane && other.from < need.until && need.from < other.until;
        if problem.needs[..i].iter().any(overlaps) {
            return Err(format!("session {name} meets another one in lane {}", need.lane));
        }
    }
    Ok(())
}
