//! The planning problem of one site: everything a plan may depend on, and nothing else.

use crate::units::{Interval, MicroPerKwh, WattHours, Watts};
use serde::{Deserialize, Serialize};

/// One site over `horizon` intervals from `first`. Series have `horizon` entries; `k` counts intervals from `first`.
/// All powers are multiples of 10 W.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Site id.
    pub site: String,
    /// First interval of the plan.
    pub first: Interval,
    /// Number of intervals.
    pub horizon: usize,
    /// Number of lanes: assets of the site.
    pub lanes: usize,
    /// Groups in preorder.
    pub groups: Vec<GroupLimit>,
    /// One per session that is plugged in.
    pub needs: Vec<Need>,
    /// Batteries.
    pub storages: Vec<Storage>,
    /// PV inverters: what they could feed.
    pub pv: Vec<Forecast>,
    /// Base loads: what they will draw.
    pub base_loads: Vec<Forecast>,
    /// Price of a kWh from the grid.
    pub import_price: Vec<MicroPerKwh>,
    /// Price of a kWh fed into the grid; the data may have it above the import price (negative prices).
    pub feed_in_price: Vec<MicroPerKwh>,
    /// What a kWh of unmet need costs the plan: above every price, so that energy is left out only where it cannot be given.
    pub shortfall_penalty: MicroPerKwh,
}

/// A group's place and limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupLimit {
    /// Parent; `None` for group 0.
    pub parent: Option<usize>,
    /// Most net power drawn. Where the base load behind it is larger, that is the effective limit: it leaves nothing for charging.
    pub import_w: Watts,
    /// Most net power fed back, positive.
    pub export_w: Watts,
}

/// What a plugged-in car still wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// Session id.
    pub session: String,
    /// Lane of its EVSE.
    pub lane: usize,
    /// Group of its EVSE.
    pub group: usize,
    /// First interval in which it may charge, counted from the problem's first.
    pub from: usize,
    /// First interval in which it may not any more (exclusive; at most the horizon).
    pub until: usize,
    /// Most power: the smaller of EVSE and car.
    pub max_w: Watts,
    /// Least power when any (0: no minimum).
    pub min_w: Watts,
    /// Energy still wanted.
    pub energy_wh: WattHours,
    /// Intervals whose setpoint somebody else (the CPO) has already posted: (k, power).
    pub fixed: Vec<(usize, Watts)>,
}

/// A battery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// Lane.
    pub lane: usize,
    /// Group.
    pub group: usize,
    /// Most power in either direction.
    pub max_w: Watts,
    /// Usable capacity.
    pub capacity_wh: WattHours,
    /// Content at the start of the first interval.
    pub content_wh: WattHours,
    /// Wh stored per 100 Wh drawn.
    pub charge_percent: i64,
    /// Wh taken from store per 100 Wh fed.
    pub discharge_percent: i64,
    /// What a Wh left at the end of the horizon is worth to the plan, per kWh: else every plan would empty the battery.
    pub end_value: MicroPerKwh,
    /// As [`Need::fixed`]; negative feeds.
    pub fixed: Vec<(usize, Watts)>,
}

/// A series that belongs to a lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// Lane.
    pub lane: usize,
    /// Group.
    pub group: usize,
    /// Power per interval, positive.
    pub power_w: Vec<Watts>,
}
