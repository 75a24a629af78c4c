//! An independent look at a schedule: does it break anything its problem demands? Shares no code with the planner, so
//! that an error would have to be made twice. Integers only; no number in a schedule can make it panic.

mod network;
mod violation;

pub use violation::{Cell, Violation};

use crate::problem::{Need, Problem, Storage};
use crate::schedule::{Cause, Schedule, Shortfall};
use crate::units::{INTERVAL_S, Micro, POWER_STEP_W, WattHours, Watts};
use serde::Serialize;
use std::collections::BTreeMap;

/// Watt-seconds per Wh.
const WS_PER_WH: i128 = 3600;
/// Watt-seconds of a quantum: one step of 10 W for one interval.
const QUANTUM_WS: i128 = (POWER_STEP_W * INTERVAL_S) as i128;

/// Everything that `schedule` breaks; empty where it can be posted.
///
/// - Energy is counted in quanta of 10 W × 15 min = 2.5 Wh, and a need is its energy rounded down to them. A plan may
///   give no more, with one allowance: a car with less to go than one interval at a power that its EVSE can hold may get the
///   smallest such power in the first interval and nothing later, because it takes no more than it needs.
/// - A shortfall is the quanta missing, in Wh, rounded down, and stated only where at least one quantum is missing.
/// - The minimum and the EVSE's pilot powers bind in the first interval only: later ones are planned anew before they start. What somebody else
///   has posted binds as an upper bound: whether less was given than posted for a limit's sake cannot be told here.
/// - A group's effective limit is the larger of its limit and the base load behind it; in dimmed hours the smaller of
///   that and the larger of the operator's limit and base load + what is guaranteed for every car there. A row's is the
///   larger of its bound and what base loads alone come to.
/// - A shortfall is for `Time` or `Rating` exactly where even full power for the whole stay would leave it.
/// - The cost is floor(Σ import · price − export · feed-in price) over the net power of group 0.
pub fn check(problem: &Problem, schedule: &Schedule) -> Vec<Violation> {
    let mut found = shape(problem, schedule);
    if !found.is_empty() {
        return found;
    }
    let assets = assets(problem);
    for (lane, row) in schedule.power_w.iter().enumerate() {
        let off = |(_, power): &(usize, &Watts)| power.0 % POWER_STEP_W != 0;
        let cell = |(k, power): (usize, &Watts)| Violation::OffStep(Cell { lane, k, power_w: *power });
        found.extend(row.iter().enumerate().filter(off).map(cell));
        found.extend(assets[lane].bounds(row, lane));
    }
    for need in &problem.needs {
        found.extend(taper(problem, need, schedule));
        found.extend(delivery(problem, need, schedule));
    }
    problem.storages.iter().for_each(|storage| found.extend(content(problem, storage, schedule)));
    found.extend(network::limits(problem, schedule));
    found.extend(shortfalls(problem, schedule));
    let net = network::net(problem, schedule);
    let actual = cost(problem, &net);
    found.extend((actual != schedule.cost).then_some(Violation::Cost { stated: schedule.cost, actual }));
    let actual = peak(&net);
    found.extend((actual != schedule.peak_w).then_some(Violation::Peak { stated: schedule.peak_w, actual }));
    found
}

/// What a schedule comes to, counted anew from its powers alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Energy cost of the whole horizon, without penalties.
    pub cost: Micro,
    /// Highest import.
    pub peak_w: Watts,
    /// Unmet need by session, only where positive.
    pub shortfall_wh: BTreeMap<String, WattHours>,
}

/// Counts `schedule`; `None` where it is for another problem or of another shape.
pub fn tally(problem: &Problem, schedule: &Schedule) -> Option<Tally> {
    if !shape(problem, schedule).is_empty() {
        return None;
    }
    let net = network::net(problem, schedule);
    let missing = missing(problem, schedule).into_iter().filter(|missing| missing.energy_wh.0 > 0);
    Some(Tally {
        cost: cost(problem, &net),
        peak_w: peak(&net),
        shortfall_wh: missing.map(|missing| (missing.session.to_owned(), missing.energy_wh)).collect(),
    })
}

/// Seconds of interval `k` that are left.
fn length(problem: &Problem, k: usize) -> i128 {
    i128::from(if k == 0 { INTERVAL_S - problem.elapsed_s } else { INTERVAL_S })
}

fn shape(problem: &Problem, schedule: &Schedule) -> Vec<Violation> {
    let mut found = Vec::new();
    if schedule.site != problem.site || schedule.first != problem.first {
        found.push(Violation::OtherProblem);
    }
    let mut expect = |what, expected: usize, actual: usize| {
        if expected != actual {
            found.push(Violation::Shape { what, expected, actual });
        }
    };
    expect("lanes", problem.lanes, schedule.power_w.len());
    schedule.power_w.iter().for_each(|row| expect("intervals of a lane", problem.horizon, row.len()));
    expect("groups with node prices", problem.groups.len(), schedule.node_price.len());
    schedule.node_price.iter().for_each(|row| expect("node prices of a group", problem.horizon, row.len()));
    expect("import prices", problem.horizon, problem.import_price.len());
    expect("feed-in prices", problem.horizon, problem.feed_in_price.len());
    found
}

/// What is in a lane.
#[derive(Default)]
struct Asset<'a> {
    base: Option<&'a [Watts]>,
    pv: Option<&'a [Watts]>,
    storage: Option<&'a Storage>,
    needs: Vec<&'a Need>,
}

/// By lane.
fn assets(problem: &Problem) -> Vec<Asset<'_>> {
    let mut assets: Vec<Asset<'_>> = (0..problem.lanes).map(|_| Asset::default()).collect();
    for base in &problem.base_loads {
        assets.get_mut(base.lane).into_iter().for_each(|asset| asset.base = Some(&base.power_w));
    }
    for pv in &problem.pv {
        assets.get_mut(pv.lane).into_iter().for_each(|asset| asset.pv = Some(&pv.power_w));
    }
    for storage in &problem.storages {
        assets.get_mut(storage.lane).into_iter().for_each(|asset| asset.storage = Some(storage));
    }
    for need in &problem.needs {
        assets.get_mut(need.lane).into_iter().for_each(|asset| asset.needs.push(need));
    }
    assets
}

impl Asset<'_> {
    /// What its cells break, at most one thing each.
    fn bounds(&self, row: &[Watts], lane: usize) -> Vec<Violation> {
        let cells = row.iter().enumerate().map(|(k, power_w)| Cell { lane, k, power_w: *power_w });
        cells.filter_map(|cell| self.bound(cell)).collect()
    }

    fn bound(&self, cell: Cell) -> Option<Violation> {
        let Cell { k, power_w, .. } = cell;
        if let Some(base) = self.base {
            let forecast_w = base.get(k).copied().unwrap_or_default();
            return (power_w != forecast_w).then_some(Violation::BaseLoad { cell, forecast_w });
        }
        if let Some(pv) = self.pv {
            let max_w = pv.get(k).copied().unwrap_or_default();
            if power_w.0 > 0 {
                return Some(Violation::WrongSign(cell));
            }
            return (power_w.0 < -max_w.0).then_some(Violation::AboveMaximum { cell, max_w });
        }
        if let Some(storage) = self.storage {
            if power_w.0 != 0 && storage.stay.is_some_and(|(from, until)| !(from..until).contains(&k)) {
                return Some(Violation::OutsideWindow(cell));
            }
            if power_w.0.unsigned_abs() > storage.max_w.0.unsigned_abs() {
                return Some(Violation::AboveMaximum { cell, max_w: storage.max_w });
            }
            return departs(&storage.fixed, cell);
        }
        if power_w.0 < 0 {
            return Some(Violation::WrongSign(cell));
        }
        match self.needs.iter().find(|need| (need.from..need.until).contains(&k)) {
            Some(need) => bound_of_need(need, cell),
            None => (power_w.0 != 0).then_some(Violation::OutsideWindow(cell)),
        }
    }
}

fn bound_of_need(need: &Need, cell: Cell) -> Option<Violation> {
    let Cell { k, power_w, .. } = cell;
    if power_w > need.max_w {
        return Some(Violation::AboveMaximum { cell, max_w: need.max_w });
    }
    if let Some(violation) = departs(&need.fixed, cell) {
        return Some(violation);
    }
    if k > 0 || power_w.0 <= 0 || need.fixed.iter().any(|(at, _)| *at == k) {
        return None;
    }
    if !need.pilots_w.is_empty() {
        return (!need.pilots_w.iter().any(|pilot| pilot.ceil_to_step() == power_w))
            .then_some(Violation::NoPilot(cell));
    }
    (power_w < need.min_w).then_some(Violation::BelowMinimum { cell, min_w: need.min_w })
}

/// Whether the cell goes beyond what was posted for it: a larger magnitude or the other direction.
fn departs(posted: &[(usize, Watts)], cell: Cell) -> Option<Violation> {
    let (_, posted_w) = posted.iter().find(|(at, _)| *at == cell.k)?;
    let inside = posted_w.0.min(0)..=posted_w.0.max(0);
    (!inside.contains(&cell.power_w.0)).then_some(Violation::AbovePosted { cell, posted_w: *posted_w })
}

/// The lane's power over the need's window: the energy up to interval `until`, watt-seconds.
fn planned(problem: &Problem, need: &Need, schedule: &Schedule, until: usize) -> i128 {
    let row = schedule.power_w.get(need.lane).into_iter().flatten().enumerate();
    let inside = row.filter(|(k, _)| (need.from..need.until.min(until)).contains(k));
    inside.map(|(k, power)| i128::from(power.0) * length(problem, k)).sum()
}

/// The need in watt-seconds, whole quanta only.
fn wanted(need: &Need) -> i128 {
    i128::from(need.energy_wh.0.max(0)) * WS_PER_WH / QUANTUM_WS * QUANTUM_WS
}

/// The smallest power above zero that the need's EVSE can hold.
fn smallest(need: &Need) -> Watts {
    let pilots = need.pilots_w.iter().map(|pilot| pilot.ceil_to_step()).filter(|pilot| pilot.0 > 0);
    pilots.min().unwrap_or(need.min_w.ceil_to_step())
}

fn delivery(problem: &Problem, need: &Need, schedule: &Schedule) -> Option<Violation> {
    let planned = planned(problem, need, schedule, need.until);
    let first = schedule.power_w.get(need.lane).and_then(|row| row.first()).copied().unwrap_or_default();
    let first_ws = i128::from(first.0) * length(problem, 0);
    // No smaller power that the EVSE can hold would do.
    let holds = |power: &Watts| power.0 > 0 && i128::from(power.0) * length(problem, 0) >= wanted(need);
    let pilots = need.pilots_w.iter().map(|pilot| pilot.ceil_to_step()).filter(holds).min();
    let enough = if need.pilots_w.is_empty() { Some(smallest(need)).filter(holds) } else { pilots };
    let last_fraction = need.from == 0 && enough == Some(first) && planned == first_ws;
    (planned > wanted(need) && !last_fraction).then(|| Violation::OverDelivery {
        session: need.session.clone(),
        planned_wh: WattHours(narrow(planned.div_euclid(WS_PER_WH))),
        energy_wh: need.energy_wh,
    })
}

/// Whether a nearly full car would be given more than it takes; what its EVSE holds at least it may be offered.
fn taper(problem: &Problem, need: &Need, schedule: &Schedule) -> Option<Violation> {
    let taper = need.taper.as_ref()?;
    let range = i128::from(taper.range_wh.0.max(1)) * WS_PER_WH;
    let mut given = 0;
    for (k, power) in schedule.power_w.get(need.lane)?.iter().enumerate().take(need.until).skip(need.from) {
        let left = (i128::from(taper.full_wh.0) * WS_PER_WH - given).clamp(0, range);
        let end = i128::from(taper.end_percent);
        let takes = i128::from(need.max_w.0) * (end * range + (100 - end) * left) / (100 * range);
        let takes = takes.max(i128::from(smallest(need).0));
        if i128::from(power.0) > takes {
            let cell = Cell { lane: need.lane, k, power_w: *power };
            return Some(Violation::AboveTaper { cell, takes_w: Watts(narrow(takes)) });
        }
        given += i128::from(power.0) * length(problem, k);
    }
    None
}

/// Content at the end of every interval, hundredths of watt-seconds, so that percentages are exact.
fn contents(problem: &Problem, storage: &Storage, schedule: &Schedule) -> Vec<i128> {
    let mut content = i128::from(storage.content_wh.0) * WS_PER_WH * 100;
    let row = schedule.power_w.get(storage.lane).into_iter().flatten().enumerate();
    row.map(|(k, power)| {
        let percent = if power.0 > 0 { storage.charge_percent } else { storage.discharge_percent };
        content += i128::from(power.0) * i128::from(percent) * length(problem, k);
        content
    })
    .collect()
}

fn content(problem: &Problem, storage: &Storage, schedule: &Schedule) -> Vec<Violation> {
    let full = i128::from(storage.capacity_wh.0.max(storage.content_wh.0)) * WS_PER_WH * 100;
    let floor = i128::from(storage.floor_wh.0.min(storage.content_wh.0)) * WS_PER_WH * 100;
    let contents = contents(problem, storage, schedule).into_iter().enumerate();
    let outside = contents.filter(|(_, content)| *content < floor || *content > full);
    let violation = |(k, content): (usize, i128)| Violation::Content {
        lane: storage.lane,
        k,
        content_wh: WattHours(narrow(content.div_euclid(WS_PER_WH * 100))),
        capacity_wh: storage.capacity_wh,
    };
    outside.map(violation).collect()
}

/// What a session lacks.
struct Missing<'a> {
    session: &'a str,
    /// Rounded down.
    energy_wh: WattHours,
    /// Why, where even full power for the whole stay would leave something.
    too_short: Option<Cause>,
}

/// Of every session, also of those that lack nothing.
fn missing<'a>(problem: &'a Problem, schedule: &Schedule) -> Vec<Missing<'a>> {
    let of_need = |need: &'a Need| {
        let missing = (wanted(need) - planned(problem, need, schedule, need.until)).max(0);
        let stay: i128 = (need.from..need.until).map(|k| length(problem, k)).sum();
        let too_long = |power: Watts| wanted(need) > i128::from(power.0) / 10 * 10 * stay;
        let cause = if too_long(need.car_w) { Cause::Time } else { Cause::Rating };
        let energy_wh = WattHours(narrow(missing / QUANTUM_WS * QUANTUM_WS / WS_PER_WH));
        Missing { session: &need.session, energy_wh, too_short: too_long(need.max_w).then_some(cause) }
    };
    let of_storage = |storage: &'a Storage| {
        let target = storage.target.as_ref()?;
        let start = i128::from(storage.content_wh.0) * WS_PER_WH * 100;
        let end = contents(problem, storage, schedule).last().copied().unwrap_or(start);
        let missing = i128::from(target.content_wh.0) - end.div_euclid(WS_PER_WH * 100);
        let stay = storage.stay.unwrap_or((0, problem.horizon));
        let seconds: i128 = (stay.0..stay.1.min(problem.horizon)).map(|k| length(problem, k)).sum();
        let most = start + i128::from(storage.max_w.0) / 10 * 10 * i128::from(storage.charge_percent) * seconds;
        let too_short = most.div_euclid(WS_PER_WH * 100) < i128::from(target.content_wh.0);
        let energy_wh = WattHours(narrow(missing.max(0)));
        Some(Missing { session: &target.session, energy_wh, too_short: too_short.then_some(Cause::Time) })
    };
    problem.needs.iter().map(of_need).chain(problem.storages.iter().filter_map(of_storage)).collect()
}

fn shortfalls(problem: &Problem, schedule: &Schedule) -> Vec<Violation> {
    let mut found = Vec::new();
    let missing = missing(problem, schedule);
    for Missing { session, energy_wh: actual, too_short } in &missing {
        let entries = || schedule.shortfalls.iter().filter(|short| short.session == *session);
        let stated = WattHours(narrow(entries().map(|short| i128::from(short.energy_wh.0)).sum()));
        if stated != *actual {
            found.push(Violation::Shortfall { session: (*session).to_owned(), stated, actual: *actual });
        }
        let fits = |short: &&Shortfall| match too_short {
            Some(cause) => short.cause == *cause,
            None => matches!(short.cause, Cause::Limit | Cause::Price),
        };
        let wrong = entries().find(|short| !fits(short)).map(|short| short.cause);
        found.extend(wrong.map(|stated| Violation::Cause { session: (*session).to_owned(), stated }));
    }
    for short in schedule.shortfalls.iter().filter(|short| !missing.iter().any(|m| m.session == short.session)) {
        let (session, stated) = (short.session.clone(), short.energy_wh);
        found.push(Violation::Shortfall { session, stated, actual: WattHours::ZERO });
    }
    found
}

/// Highest import, from the net power of group 0.
fn peak(net: &[i128]) -> Watts {
    Watts(narrow(net.iter().copied().max().unwrap_or(0).max(0)))
}

fn cost(problem: &Problem, net: &[i128]) -> Micro {
    let parts = problem.import_price.iter().zip(&problem.feed_in_price).zip(net).enumerate();
    let parts = parts.map(|(k, ((import, feed_in), net))| {
        net * i128::from(if *net > 0 { import.0 } else { feed_in.0 }) * length(problem, k)
    });
    // W × s × micro per kWh: 3,600,000 to the micro.
    Micro(narrow(parts.sum::<i128>().div_euclid(1000 * WS_PER_WH)))
}

/// As 64 bits, saturating: only absurd schedules reach the ends.
fn narrow(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value > 0 { i64::MAX } else { i64::MIN })
}
