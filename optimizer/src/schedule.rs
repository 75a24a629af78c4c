//! A schedule: setpoints of all assets over the horizon.

use crate::units::{Interval, Micro, MicroPerKwh, WattHours, Watts};
use serde::{Deserialize, Serialize};

/// How a schedule came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// The linear program's optimum, rounded.
    Optimal,
    /// The best of what had been found when the time was over, rounded: not all directions of grid connection and
    /// batteries were tried to the end.
    TimeLimit,
    /// Least laxity first inside the limits, because the solver failed or was late.
    Fallback {
        /// What happened.
        reason: String,
    },
}

/// Why a need is not met in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The car cannot take it in the time it stays.
    Time,
    /// The car could take it in time at an EVSE of its own power, but not at this one.
    Rating,
    /// A limit of the site, which others share.
    Limit,
    /// It could be given, but not at a price below the penalty.
    Price,
}

/// A need that is not met in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortfall {
    /// Session.
    pub session: String,
    /// What is missing, rounded down.
    pub energy_wh: WattHours,
    /// Why.
    pub cause: Cause,
}

/// Setpoints of one site, `[lane][k]`, signed as on the bus: EVSE and base load ≥ 0, PV ≤ 0, battery either.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Site id.
    pub site: String,
    /// First interval.
    pub first: Interval,
    /// Power per lane and interval; multiples of 10 W.
    pub power_w: Vec<Vec<Watts>>,
    /// Unmet need per session, only where positive.
    pub shortfalls: Vec<Shortfall>,
    /// Energy cost of the whole horizon, without penalties.
    pub cost: Micro,
    /// Highest import of the horizon.
    pub peak_w: Watts,
    /// Node price per group and interval: what one more kWh there would have cost. Zero in a fallback.
    pub node_price: Vec<Vec<MicroPerKwh>>,
    /// How it came about.
    pub status: Status,
}

impl Schedule {
    /// The setpoints of interval `k`, by lane.
    pub fn column(&self, k: usize) -> Vec<Watts> {
        self.power_w.iter().map(|row| row.get(k).copied().unwrap_or_default()).collect()
    }
}

/// What the limits of a planning problem were worth, from the duals of its linear program: whole micro per kWh. They
/// prove nothing by themselves; [`crate::certificate`] makes a bound of any of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Multipliers {
    /// By group and interval: the price of power behind the group's limit, without what rows add.
    pub node_price: Vec<Vec<i64>>,
    /// By interval: what a step of peak import is worth there; empty where no demand charge is.
    pub peak: Vec<i64>,
    /// By battery and interval: the price of what is stored at its end.
    pub stored: Vec<Vec<i64>>,
    /// By row of the problem and interval, for a row divided by its largest coefficient; empty where it does not bind.
    pub rows: Vec<Vec<i64>>,
}
