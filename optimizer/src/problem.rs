//! The planning problem of one site: everything a plan may depend on, and nothing else.
//!
//! **Classes and rows.** A group is also a *class*: what sits directly in it shares its place in the tree and its phase
//! connection, and only their sum matters to the network. The tree's own limits are rows of ones over a subtree and need
//! not be written; every other limit is a [`Row`]: integer coefficients over classes. A wye feeder whose EVSEs hang on
//! different phases has one group per connection below it and a row per phase; a limit on the magnitude of a line current
//! is an inner polygon of rows ([`crate::rows`]).

use crate::units::{Interval, MicroPerKw, MicroPerKwh, WattHours, Watts};
use serde::{Deserialize, Serialize};

/// One site over `horizon` intervals from `first`. Series have `horizon` entries; `k` counts intervals from `first`.
/// All powers are multiples of 10 W.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Site id.
    pub site: String,
    /// First interval of the plan.
    pub first: Interval,
    /// Seconds of the first interval that have passed already: what is planned for it flows for the rest only.
    #[serde(default)]
    pub elapsed_s: i64,
    /// Number of intervals.
    pub horizon: usize,
    /// Number of lanes: assets of the site.
    pub lanes: usize,
    /// Groups in preorder.
    pub groups: Vec<GroupLimit>,
    /// Further limits over the classes.
    #[serde(default)]
    pub rows: Vec<Row>,
    /// One per session that is plugged in.
    pub needs: Vec<Need>,
    /// Batteries, and cars that can feed back.
    #[serde(default)]
    pub storages: Vec<Storage>,
    /// PV inverters: what they could feed.
    #[serde(default)]
    pub pv: Vec<Forecast>,
    /// Base loads: what they will draw.
    #[serde(default)]
    pub base_loads: Vec<Forecast>,
    /// Price of a kWh from the grid.
    pub import_price: Vec<MicroPerKwh>,
    /// Price of a kWh fed into the grid; the data may have it above the import price (negative prices).
    pub feed_in_price: Vec<MicroPerKwh>,
    /// What the highest import costs, where the tariff has a demand charge.
    #[serde(default)]
    pub peak: Option<Peak>,
    /// What a kWh of unmet need costs the plan: above every price, so that energy is left out only where it cannot be given.
    pub shortfall_penalty: MicroPerKwh,
    /// What a kWh costs the plan beyond its price where it is planned at or after [`Need::likely_until`], when its car may
    /// have gone or take less: the price of waiting. No money and in no node price. From 0; with the dearest price below the penalty, or
    /// energy is left out for it.
    #[serde(default)]
    pub risk_price: MicroPerKwh,
    /// Whether scarce energy is shared.
    #[serde(default)]
    pub share: Share,
    /// Room that is kept for cars to come, where that costs little.
    #[serde(default)]
    pub reserve: Option<Reserve>,
}

/// Room below the grid connection's limit for cars that are expected: to use it costs the plan more, so that cars that
/// can charge earlier or later do. Never a cause of unmet need as long as its price stays below the penalty. The
/// controller keeps none: with the mean of past days ([`crate::forecast::arrivals`]) it moved what a month of a crowded
/// garage delivers by −0.3 to +0.5 %, no better than chance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserve {
    /// By interval: the uppermost of the import limit.
    pub power_w: Vec<Watts>,
    /// What a kWh imported there is dearer by. No money, but in the node prices of intervals that use it.
    pub price: MicroPerKwh,
}

impl Problem {
    /// Whether every index and size fits, so that it can be planned and checked.
    ///
    /// # Errors
    /// The first that does not, in words.
    pub fn validate(&self) -> Result<(), String> {
        crate::validate::validate(self)
    }
}

/// A demand charge as the plan sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peak {
    /// Highest import so far in the charge's month: up to it, power costs nothing more.
    pub so_far_w: Watts,
    /// What a kW above it costs the plan: the charge itself, or a proxy for it.
    pub price: MicroPerKw,
}

/// Who gets energy when it is scarce at equal cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Share {
    /// One after the other, as the linear program has it.
    #[default]
    Cheapest,
    /// In equal parts of what each one needs: unmet need grows dearer with its share (within [`SHARE_STEPS`] steps).
    Equal,
}

/// Steps in which [`Share::Equal`] shares.
pub const SHARE_STEPS: i64 = 8;

/// A group's place and limits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupLimit {
    /// Parent; `None` for group 0.
    pub parent: Option<usize>,
    /// Most net power drawn. Where the base load behind it is larger, that is the effective limit: it leaves nothing for charging.
    pub import_w: Watts,
    /// Most net power fed back, positive.
    pub export_w: Watts,
    /// Limits from outside for some hours.
    #[serde(default)]
    pub dimmed: Vec<Dimming>,
}

/// A grid operator's limit for some hours (in Germany §14a EnWG). The group's limit is then `import_w`, or the base load
/// behind it and `guaranteed_w` for every car there where that is more; never more than the group's own limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dimming {
    /// First interval.
    pub from: usize,
    /// First interval after it.
    pub until: usize,
    /// Most net power drawn.
    pub import_w: Watts,
    /// What is left to every car in any case (4,200 W by §14a).
    pub guaranteed_w: Watts,
}

/// A limit over classes: `Σ coefficient · net power of what sits directly in group ≤ at_most`, power in W, so that
/// `at_most` has the coefficients' unit times W. The effective limit is the larger of `at_most` and what base loads alone
/// come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// For messages.
    pub name: String,
    /// Coefficients by group; a group at most once.
    pub terms: Vec<Term>,
    /// By interval, or one for all; not negative.
    pub at_most: Vec<i64>,
}

/// One coefficient of a [`Row`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// Group: the class.
    pub group: usize,
    /// Coefficient, at most 10⁶ either way.
    pub coefficient: i64,
}

/// What a plugged-in car still wants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// First interval in which the car may well have gone before it said, or would take the rest too slowly: a low quantile
    /// of its departure, or the time that the taper costs before its end ([`crate::forecast`]). Energy from then on costs [`Problem::risk_price`] more, and a scarce limit serves by this end.
    /// `None`, or at or after `until`: its word is taken.
    #[serde(default)]
    pub likely_until: Option<usize>,
    /// Most power: the smaller of EVSE and car.
    pub max_w: Watts,
    /// Least power when any (0: no minimum).
    #[serde(default)]
    pub min_w: Watts,
    /// The only powers that the EVSE knows beside 0, rising; empty: all from `min_w` to `max_w`.
    #[serde(default)]
    pub pilots_w: Vec<Watts>,
    /// Energy still wanted.
    pub energy_wh: WattHours,
    /// Weight of its shortfall, per cent of the site's penalty (0: 100).
    #[serde(default)]
    pub priority_percent: i64,
    /// What the car could take at another EVSE (at most `max_w`: no more): tells whether the EVSE's rating left it short.
    #[serde(default)]
    pub car_w: Watts,
    /// How its power falls when it is nearly full.
    #[serde(default)]
    pub taper: Option<Taper>,
    /// Intervals whose setpoint somebody else (the CPO) has already posted: (k, power).
    #[serde(default)]
    pub fixed: Vec<(usize, Watts)>,
    /// What the running plan gives, by k (empty: there is none): kept where that costs nothing.
    #[serde(default)]
    pub running_w: Vec<Watts>,
}

/// A car near full: over its last `range_wh` the most power falls in a straight line from `max_w` to `end_percent` of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taper {
    /// Energy after which the car is full, from now; at least the need's energy.
    pub full_wh: WattHours,
    /// Length of the fall.
    pub range_wh: WattHours,
    /// What is left of the power at full, per cent.
    pub end_percent: i64,
}

/// A battery; or, with a window and a target, a car that can feed back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// What wear costs per kWh fed.
    #[serde(default)]
    pub cycle_cost: MicroPerKwh,
    /// It is not emptied below this; one that starts below is not emptied at all.
    #[serde(default)]
    pub floor_wh: WattHours,
    /// A car's stay, (from, until); `None`: it is always there.
    #[serde(default)]
    pub stay: Option<(usize, usize)>,
    /// What a car's driver wants.
    #[serde(default)]
    pub target: Option<Target>,
    /// As [`Need::fixed`]; negative feeds.
    #[serde(default)]
    pub fixed: Vec<(usize, Watts)>,
}

/// What a driver wants of a car that can feed back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Session id.
    pub session: String,
    /// Content at departure; what is missing costs the penalty.
    pub content_wh: WattHours,
    /// As [`Need::priority_percent`].
    #[serde(default)]
    pub priority_percent: i64,
}

/// A series that belongs to a lane.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// Lane.
    pub lane: usize,
    /// Group.
    pub group: usize,
    /// Power per interval, positive.
    pub power_w: Vec<Watts>,
}
