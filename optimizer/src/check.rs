//! An independent look at a schedule: does it break anything its problem demands? Shares no code with the planner, so
//! that an error would have to be made twice. Integers only; no number in a schedule can make it panic.

use crate::problem::{Need, Problem, Storage};
use crate::schedule::Schedule;
use crate::units::{Micro, POWER_STEP_W, WattHours, Watts};
use std::fmt;

/// What a schedule breaks. `k` counts intervals from the problem's first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// A list has the wrong length, or the schedule is for another site or time; nothing else is looked at then.
    Shape {
        /// Which list.
        what: &'static str,
        /// Length it should have.
        expected: usize,
        /// Length it has.
        actual: usize,
    },
    /// The schedule names another site or first interval.
    OtherProblem,
    /// Power that is no multiple of 10 W.
    OffStep(Cell),
    /// Power on the wrong side of zero: a feeding EVSE, a drawing PV inverter.
    WrongSign(Cell),
    /// Power in a lane where nobody can use it: no session there, or not in that interval.
    OutsideWindow(Cell),
    /// More than EVSE and car, the battery or the sun can do.
    AboveMaximum {
        /// Where.
        cell: Cell,
        /// Most power, positive.
        max_w: Watts,
    },
    /// More than somebody else has posted for this interval, or the other direction.
    AbovePosted {
        /// Where.
        cell: Cell,
        /// What was posted.
        posted_w: Watts,
    },
    /// A car would stop: power in the first interval above zero and below its minimum.
    BelowMinimum {
        /// Where.
        cell: Cell,
        /// Least power.
        min_w: Watts,
    },
    /// A base load that is not as forecast.
    BaseLoad {
        /// Where.
        cell: Cell,
        /// The forecast.
        forecast_w: Watts,
    },
    /// More energy than the car wants (see [`check`] for the allowance).
    OverDelivery {
        /// Session.
        session: String,
        /// Planned, rounded down.
        planned_wh: WattHours,
        /// Wanted.
        energy_wh: WattHours,
    },
    /// A group draws more than its effective limit.
    Import {
        /// Group.
        group: usize,
        /// Interval.
        k: usize,
        /// Net power.
        net_w: Watts,
        /// The larger of limit and base load behind it.
        limit_w: Watts,
    },
    /// A group feeds back more than its limit.
    Export {
        /// Group.
        group: usize,
        /// Interval.
        k: usize,
        /// Net power, negative.
        net_w: Watts,
        /// Limit, positive.
        limit_w: Watts,
    },
    /// A battery would be emptier than empty or fuller than full at the end of an interval.
    Content {
        /// Lane.
        lane: usize,
        /// Interval.
        k: usize,
        /// Content, rounded down.
        content_wh: WattHours,
        /// Largest content.
        capacity_wh: WattHours,
    },
    /// The stated cost is wrong.
    Cost {
        /// As stated.
        stated: Micro,
        /// Recomputed.
        actual: Micro,
    },
    /// A stated shortfall is wrong, missing, or for nobody.
    Shortfall {
        /// Session.
        session: String,
        /// As stated; zero where it is not.
        stated: WattHours,
        /// Recomputed; zero where there is none.
        actual: WattHours,
    },
}

/// One setpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Lane.
    pub lane: usize,
    /// Interval.
    pub k: usize,
    /// Power.
    pub power_w: Watts,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lane {} in interval {}: {} W", self.lane, self.k, self.power_w)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape { what, expected, actual } => write!(f, "{what}: {actual} entries instead of {expected}"),
            Self::OtherProblem => write!(f, "the schedule is for another site or time"),
            Self::OffStep(cell) => write!(f, "{cell} is no multiple of {POWER_STEP_W} W"),
            Self::WrongSign(cell) => write!(f, "{cell} has the wrong sign"),
            Self::OutsideWindow(cell) => write!(f, "{cell}, but nobody is there"),
            Self::AboveMaximum { cell, max_w } => {
                write!(f, "{cell} is above its maximum of {max_w} W")
            }
            Self::AbovePosted { cell, posted_w } => {
                write!(f, "{cell} departs from the {posted_w} W posted")
            }
            Self::BelowMinimum { cell, min_w } => {
                write!(f, "{cell} is below the minimum of {min_w} W")
            }
            Self::BaseLoad { cell, forecast_w } => {
                write!(f, "{cell} is not the forecast {forecast_w} W")
            }
            Self::OverDelivery { session, planned_wh, energy_wh } => {
                write!(f, "session {session} would get {planned_wh} Wh, but wants {energy_wh} Wh")
            }
            Self::Import { group, k, net_w, limit_w } => {
                write!(f, "group {group} draws {net_w} W in interval {k}, above {limit_w} W")
            }
            Self::Export { group, k, net_w, limit_w } => {
                write!(f, "group {group} has {net_w} W in interval {k}, feeding more than {limit_w} W")
            }
            Self::Content { lane, k, content_wh, capacity_wh } => {
                write!(f, "the battery in lane {lane} has {content_wh} of {capacity_wh} Wh after interval {k}")
            }
            Self::Cost { stated, actual } => write!(f, "the cost is {actual}, not {stated}"),
            Self::Shortfall { session, stated, actual } => {
                write!(f, "the shortfall of session {session} is {actual} Wh, not {stated} Wh")
            }
        }
    }
}

/// Everything that `schedule` breaks; empty where it can be posted.
///
/// - Energy is counted in quanta of 10 W × 15 min = 2.5 Wh, and a need is its energy rounded down to them. A plan may
///   give no more, with one allowance: a car with less to go than its minimum for one interval may get exactly that
///   minimum in the first interval and nothing later, because it takes no more than it needs.
/// - A shortfall is the quanta missing, in Wh, rounded down, and stated only where at least one quantum is missing.
/// - The minimum binds in the first interval only: later ones are planned anew before they start. What somebody else
///   has posted binds as an upper bound: whether less was given than posted for a limit's sake cannot be told here.
/// - A group's effective limit is the larger of its limit and the base load behind it.
/// - The cost is floor(Σ import · price − export · feed-in price) over the net power of group 0.
pub fn check(problem: &Problem, schedule: &Schedule) -> Vec<Violation> {
    let mut found = shape(problem, schedule);
    if !found.is_empty() {
        return found;
    }
    for (lane, row) in schedule.power_w.iter().enumerate() {
        let cells = row.iter().enumerate().map(|(k, power_w)| Cell { lane, k, power_w: *power_w });
        for cell in cells {
            found.extend((cell.power_w.0 % POWER_STEP_W != 0).then_some(Violation::OffStep(cell)));
            found.extend(bounds(problem, cell));
        }
    }
    problem.needs.iter().for_each(|need| found.extend(delivery(need, schedule)));
    problem.storages.iter().for_each(|storage| found.extend(content(storage, schedule)));
    found.extend(limits(problem, schedule));
    found.extend(shortfalls(problem, schedule));
    let actual = cost(problem, schedule);
    found.extend((actual != schedule.cost).then_some(Violation::Cost { stated: schedule.cost, actual }));
    found
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

/// What the asset in the cell's lane can do.
fn bounds(problem: &Problem, cell: Cell) -> Option<Violation> {
    let Cell { lane, k, power_w } = cell;
    if let Some(base) = problem.base_loads.iter().find(|base| base.lane == lane) {
        let forecast_w = base.power_w.get(k).copied().unwrap_or_default();
        return (power_w != forecast_w).then_some(Violation::BaseLoad { cell, forecast_w });
    }
    if let Some(pv) = problem.pv.iter().find(|pv| pv.lane == lane) {
        let max_w = pv.power_w.get(k).copied().unwrap_or_default();
        if power_w.0 > 0 {
            return Some(Violation::WrongSign(cell));
        }
        return (power_w.0 < -max_w.0).then_some(Violation::AboveMaximum { cell, max_w });
    }
    if let Some(storage) = problem.storages.iter().find(|storage| storage.lane == lane) {
        if power_w.0.unsigned_abs() > storage.max_w.0.unsigned_abs() {
            return Some(Violation::AboveMaximum { cell, max_w: storage.max_w });
        }
        return departs(&storage.fixed, cell);
    }
    if power_w.0 < 0 {
        return Some(Violation::WrongSign(cell));
    }
    let Some(need) = problem.needs.iter().find(|need| need.lane == lane && (need.from..need.until).contains(&k)) else {
        return (power_w.0 != 0).then_some(Violation::OutsideWindow(cell));
    };
    if power_w > need.max_w {
        return Some(Violation::AboveMaximum { cell, max_w: need.max_w });
    }
    if let Some(violation) = departs(&need.fixed, cell) {
        return Some(violation);
    }
    let posted = need.fixed.iter().any(|(at, _)| *at == k);
    let stops = k == 0 && !posted && power_w.0 > 0 && power_w < need.min_w;
    stops.then_some(Violation::BelowMinimum { cell, min_w: need.min_w })
}

/// Whether the cell goes beyond what was posted for it: a larger magnitude or the other direction.
fn departs(posted: &[(usize, Watts)], cell: Cell) -> Option<Violation> {
    let (_, posted_w) = posted.iter().find(|(at, _)| *at == cell.k)?;
    let inside = posted_w.0.min(0)..=posted_w.0.max(0);
    (!inside.contains(&cell.power_w.0)).then_some(Violation::AbovePosted { cell, posted_w: *posted_w })
}

/// The lane's power in watts, summed over the need's window: W × intervals, four to the Wh.
fn planned(need: &Need, schedule: &Schedule) -> i128 {
    let row = schedule.power_w.get(need.lane).into_iter().flatten();
    row.enumerate().filter(|(k, _)| (need.from..need.until).contains(k)).map(|(_, power)| i128::from(power.0)).sum()
}

/// The need in W × intervals, whole steps only.
fn wanted(need: &Need) -> i128 {
    let quarters = i128::from(need.energy_wh.0.max(0)) * 4;
    quarters - quarters % i128::from(POWER_STEP_W)
}

fn delivery(need: &Need, schedule: &Schedule) -> Option<Violation> {
    let planned = planned(need, schedule);
    let first = schedule.power_w.get(need.lane).and_then(|row| row.first()).copied().unwrap_or_default();
    let smallest_w = need.min_w.ceil_to_step();
    let last_fraction = need.from == 0 && first == smallest_w && planned == i128::from(smallest_w.0);
    (planned > wanted(need) && !last_fraction).then(|| Violation::OverDelivery {
        session: need.session.clone(),
        planned_wh: WattHours(narrow(planned.div_euclid(4))),
        energy_wh: need.energy_wh,
    })
}

fn content(storage: &Storage, schedule: &Schedule) -> Vec<Violation> {
    let mut found = Vec::new();
    // Hundredths of W × intervals: 400 to the Wh, so that percentages are exact.
    let full = i128::from(storage.capacity_wh.0.max(storage.content_wh.0)) * 400;
    let mut content = i128::from(storage.content_wh.0) * 400;
    for (k, power) in schedule.power_w.get(storage.lane).into_iter().flatten().enumerate() {
        let percent = if power.0 > 0 { storage.charge_percent } else { storage.discharge_percent };
        content += i128::from(power.0) * i128::from(percent);
        if content < 0 || content > full {
            let content_wh = WattHours(narrow(content.div_euclid(400)));
            found.push(Violation::Content { lane: storage.lane, k, content_wh, capacity_wh: storage.capacity_wh });
        }
    }
    found
}

/// Group of every lane that has an asset.
fn group_of_lane(problem: &Problem) -> Vec<Option<usize>> {
    let mut groups = vec![None; problem.lanes];
    let forecasts = problem.pv.iter().chain(&problem.base_loads).map(|f| (f.lane, f.group));
    let storages = problem.storages.iter().map(|s| (s.lane, s.group));
    for (lane, group) in problem.needs.iter().map(|n| (n.lane, n.group)).chain(storages).chain(forecasts) {
        if let Some(entry) = groups.get_mut(lane) {
            *entry = Some(group);
        }
    }
    groups
}

/// Whether `group` is `above` or lies below it.
fn lies_in(problem: &Problem, group: usize, above: usize) -> bool {
    let mut at = Some(group);
    // At most one step for every group, whatever the parents say.
    for _ in 0..=problem.groups.len() {
        match at {
            Some(g) if g == above => return true,
            Some(g) => at = problem.groups.get(g).and_then(|group| group.parent),
            None => return false,
        }
    }
    false
}

/// Sum of `power_w` in interval `k` over `lanes`.
fn sum_at(schedule: &Schedule, lanes: &[usize], k: usize) -> i128 {
    let powers = lanes.iter().filter_map(|lane| schedule.power_w.get(*lane)?.get(k));
    powers.map(|power| i128::from(power.0)).sum()
}

fn limits(problem: &Problem, schedule: &Schedule) -> Vec<Violation> {
    let mut found = Vec::new();
    let groups = group_of_lane(problem);
    for (group, limit) in problem.groups.iter().enumerate() {
        let inside = |at: usize| lies_in(problem, at, group);
        let lanes: Vec<usize> = (0..problem.lanes).filter(|&lane| groups[lane].is_some_and(inside)).collect();
        let loads: Vec<_> = problem.base_loads.iter().filter(|base| inside(base.group)).collect();
        for k in 0..problem.horizon {
            let base: i128 = loads.iter().filter_map(|load| load.power_w.get(k)).map(|power| i128::from(power.0)).sum();
            let net = sum_at(schedule, &lanes, k);
            let most = base.max(i128::from(limit.import_w.0));
            if net > most {
                let (net_w, limit_w) = (Watts(narrow(net)), Watts(narrow(most)));
                found.push(Violation::Import { group, k, net_w, limit_w });
            }
            if net < -i128::from(limit.export_w.0) {
                found.push(Violation::Export { group, k, net_w: Watts(narrow(net)), limit_w: limit.export_w });
            }
        }
    }
    found
}

fn shortfalls(problem: &Problem, schedule: &Schedule) -> Vec<Violation> {
    let mut found = Vec::new();
    for need in &problem.needs {
        let missing = (wanted(need) - planned(need, schedule)).max(0);
        let actual = WattHours(narrow(missing / 4));
        let entries = schedule.shortfall_wh.iter().filter(|(session, _)| *session == need.session);
        let stated = WattHours(narrow(entries.map(|(_, energy)| i128::from(energy.0)).sum()));
        if stated != actual {
            found.push(Violation::Shortfall { session: need.session.clone(), stated, actual });
        }
    }
    for (session, stated) in &schedule.shortfall_wh {
        if !problem.needs.iter().any(|need| need.session == *session) {
            found.push(Violation::Shortfall { session: session.clone(), stated: *stated, actual: WattHours::ZERO });
        }
    }
    found
}

fn cost(problem: &Problem, schedule: &Schedule) -> Micro {
    let groups = group_of_lane(problem);
    let lanes: Vec<usize> = (0..problem.lanes).filter(|&lane| groups[lane].is_some()).collect();
    let parts = problem.import_price.iter().zip(&problem.feed_in_price).enumerate().map(|(k, (import, feed_in))| {
        let net = sum_at(schedule, &lanes, k);
        net * i128::from(if net > 0 { import.0 } else { feed_in.0 })
    });
    // W × quarter hour × micro per kWh: 4000 to the micro.
    Micro(narrow(parts.sum::<i128>().div_euclid(4000)))
}

/// As 64 bits, saturating: only absurd schedules reach the ends.
fn narrow(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value > 0 { i64::MAX } else { i64::MIN })
}
