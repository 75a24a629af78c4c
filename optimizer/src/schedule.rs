//! A schedule: setpoints of all assets over the horizon.

use crate::units::{Interval, Micro, MicroPerKwh, WattHours, Watts};
use serde::{Deserialize, Serialize};

/// How a schedule came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// The linear program's optimum, rounded.
    Optimal,
    /// Least laxity first inside the limits, because the solver failed or was late.
    Fallback {
        /// What happened.
        reason: String,
    },
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
    pub shortfall_wh: Vec<(String, WattHours)>,
    /// Energy cost of the whole horizon, without penalties.
    pub cost: Micro,
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
