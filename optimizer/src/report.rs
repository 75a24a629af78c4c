//! What a day came to: plain data for tables, pages and the JSON line. Money in base units, power in W, energy in Wh.

use crate::forecast::score::Score;
use crate::signals::Signals;
use crate::site::{AssetKind, Site};
use crate::units::{INTERVALS_PER_HOUR, Interval, Micro, MicroPerKwh, UnixTime, WattHours, Watts};
use serde::{Deserialize, Serialize};

/// A day, live or finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Scenario name.
    pub scenario: String,
    /// Scenario time up to which everything below is known.
    pub now: UnixTime,
    /// First interval of the day.
    pub first: Interval,
    /// Number of intervals of the day.
    pub intervals: usize,
    /// Whether the day is over and every session settled.
    pub finished: bool,
    /// One per site.
    pub sites: Vec<SiteReport>,
    /// One per session that was seen, by arrival.
    pub sessions: Vec<SessionReport>,
}

/// One site's day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteReport {
    /// Site id.
    pub id: String,
    /// Owner.
    pub owner: String,
    /// IANA time zone.
    pub time_zone: String,
    /// Limit at the grid connection.
    pub limit_import_w: Watts,
    /// Capacity of all batteries.
    pub capacity_wh: WattHours,
    /// Metered power by interval from `first` on, as far as it is known; mean of the interval.
    pub metered: PowerSeries,
    /// What the same day would have drawn uncontrolled; empty until it is known.
    pub uncontrolled_net_w: Vec<Watts>,
    /// Content of all batteries at the end of each known interval.
    pub content_wh: Vec<WattHours>,
    /// Price of a kWh from the grid, whole day.
    pub import_price: Vec<MicroPerKwh>,
    /// Price of a kWh fed in, whole day.
    pub feed_in_price: Vec<MicroPerKwh>,
    /// How each known interval was planned.
    pub plans: Vec<PlanNote>,
    /// What is proven of each.
    pub proofs: Vec<Proof>,
    /// Intervals whose readings the chain refused, and why.
    pub refused_readings: Vec<(Interval, String)>,
    /// First interval of the plan ahead.
    pub plan_first: Interval,
    /// The plan ahead.
    pub plan: PowerSeries,
    /// Every EVSE as it is now.
    pub evses: Vec<EvseReport>,
    /// Energy from the grid.
    pub import_wh: WattHours,
    /// Energy into the grid.
    pub export_wh: WattHours,
    /// Grid cost so far: imports at the import price less exports at the feed-in price.
    pub cost: Micro,
    /// The same, uncontrolled; zero until it is known.
    pub cost_uncontrolled: Micro,
    /// Largest metered mean power of an interval.
    pub peak_w: Watts,
    /// The same, uncontrolled.
    pub peak_uncontrolled_w: Watts,
    /// Intervals × groups in which meters prove that a limit was exceeded.
    pub limit_violations: u32,
    /// How far the forecasts of the sun were off, where the plan let all of it flow.
    pub pv_score: Score,
    /// How far the forecasts of base loads were off.
    pub base_score: Score,
}

/// Power by source; all series have the same length and the sign of the bus (PV ≤ 0).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerSeries {
    /// All EVSEs.
    pub evse_w: Vec<Watts>,
    /// All base loads.
    pub base_w: Vec<Watts>,
    /// All batteries: positive charges.
    pub battery_w: Vec<Watts>,
    /// All PV inverters.
    pub pv_w: Vec<Watts>,
    /// The grid connection.
    pub net_w: Vec<Watts>,
}

impl PowerSeries {
    /// Sums columns of power by lane.
    pub fn of(site: &Site, columns: impl Iterator<Item = Vec<Watts>>) -> Self {
        let mut sums = Self::default();
        for column in columns {
            let of = |wanted: fn(&AssetKind) -> bool| {
                site.assets.iter().zip(&column).filter(|(a, _)| wanted(&a.kind)).map(|(_, w)| *w).sum()
            };
            sums.evse_w.push(of(|k| matches!(k, AssetKind::Evse(_))));
            sums.base_w.push(of(|k| matches!(k, AssetKind::BaseLoad)));
            sums.battery_w.push(of(|k| matches!(k, AssetKind::Battery(_))));
            sums.pv_w.push(of(|k| matches!(k, AssetKind::Pv)));
            sums.net_w.push(column.iter().copied().sum());
        }
        sums
    }
}

/// How an interval was planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlanNote {
    /// By the linear program.
    Optimal,
    /// By the best of its answers that was found in time.
    TimeLimit,
    /// By least laxity first.
    Fallback(String),
    /// By the CPO's own setpoints.
    Cpo,
    /// Nothing could be posted: every EVSE was held at 0.
    Undispatched(String),
}

/// What is proven of how an interval was dispatched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proof {
    /// No schedule of the same inputs is cheaper by more than the gap.
    Certified {
        /// What the plan costs over its horizon, penalties and peak included.
        cost: Micro,
        /// Cost less proven bound, rounded up.
        gap: Micro,
        /// What posting and verifying it cost; 0 without a chain.
        gas: u64,
    },
    /// Nothing, and why.
    Uncertified(String),
}

impl Proof {
    /// Whether a certificate was accepted.
    pub fn is_certified(&self) -> bool {
        matches!(self, Self::Certified { .. })
    }

    /// Cost less proven bound, where there is one.
    pub fn gap(&self) -> Option<Micro> {
        if let Self::Certified { gap, .. } = self { Some(*gap) } else { None }
    }
}

/// An EVSE now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvseReport {
    /// Clear-text id.
    pub id: String,
    /// Mean metered power of the last known interval.
    pub power_w: Watts,
    /// Setpoint of the running interval.
    pub setpoint_w: Watts,
    /// Rated power.
    pub rated_w: Watts,
    /// Index into the sessions, where a car is plugged in.
    pub session: Option<usize>,
}

/// A session now, or at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionReport {
    /// Id: of the scenario in a simulation, of the chain (0x-hex) in a run.
    pub id: String,
    /// Driver's name.
    pub driver: String,
    /// Clear-text id of the EVSE.
    pub evse: String,
    /// Index of the site.
    pub site: usize,
    /// Plug-in.
    pub arrival: UnixTime,
    /// Declared departure.
    pub departure: UnixTime,
    /// Plug-out, once it has happened.
    pub unplugged: Option<UnixTime>,
    /// Declared energy.
    pub energy_wh: WattHours,
    /// Metered energy.
    pub delivered_wh: WattHours,
    /// Declared energy that was not delivered; zero where the car took nothing any more of what it was given.
    pub shortfall_wh: WattHours,
    /// Metered energy by interval, from `first_interval` on.
    pub energy_by_interval_wh: Vec<WattHours>,
    /// First interval of that series.
    pub first_interval: Interval,
    /// Energy that the session would have drawn uncontrolled, same intervals; empty until it is over.
    pub baseline_wh: Vec<WattHours>,
    /// Price per kWh, fixed at the beginning (0: charges free).
    pub price: MicroPerKwh,
    /// Amount paid.
    pub paid: Micro,
    /// F, energy moved off the baseline.
    pub flex_activated_wh: WattHours,
    /// G, watt-hours × intervals.
    pub flex_displaced_wh_intervals: i64,
    /// V, worth of the flexibility at node prices.
    pub flex_worth: Micro,
    /// Flexibility tokens claimed for it, which are minted once its bill is final.
    pub flex_reward: Micro,
    /// Why it earned nothing, where its worth is not the reason.
    pub flex_refusal: Option<String>,
    /// Receipt id (0x-hex) once settled on chain.
    pub receipt: Option<String>,
    /// Why the chain or the network refused it.
    pub refusal: Option<String>,
    /// Where it stands.
    pub state: SessionStage,
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SessionStage {
    /// Signed request accepted; car not seen yet.
    Requested,
    /// Plugged in; the chain has not confirmed it yet.
    Opening,
    /// Confirmed.
    Active,
    /// The chain refused it; the car gets nothing.
    Refused,
    /// Unplugged; the bill is on its way.
    Ended,
    /// Billed.
    Settled,
}

/// Mean power of an interval's energy.
pub fn mean_w(energy: WattHours) -> Watts {
    Watts(energy.0 * INTERVALS_PER_HOUR)
}

/// Imports at the import price less exports at the feed-in price. Each interval rounds against the site.
pub fn grid_cost(net_wh: &[WattHours], signals: &Signals) -> Micro {
    let cost = |(wh, (import, feed_in)): (&WattHours, (&MicroPerKwh, &MicroPerKwh))| {
        if wh.0 >= 0 { import.bill(*wh) } else { Micro(-feed_in.bill(WattHours(-wh.0)).0) }
    };
    net_wh.iter().zip(signals.import_price.iter().zip(&signals.feed_in_price)).map(cost).sum()
}

/// Groups whose meters prove that a limit was exceeded in `interval`, from the energy by lane: a register is cut to whole
/// Wh at both ends of the interval, so the sum of n meters says nothing finer than n Wh.
pub fn violations(site: &Site, interval: Interval, energy_wh: &[WattHours], signals: &Signals) -> u32 {
    let index = signals.index(interval);
    let base_w = |lane: usize| match (&site.assets[lane].kind, index) {
        (AssetKind::BaseLoad, Some(i)) => {
            signals.power_w.get(&site.assets[lane].id).and_then(|s| s.get(i)).copied().unwrap_or_default()
        }
        _ => Watts::ZERO,
    };
    let exceeded = |group: &usize| {
        let lanes = site.assets_below(*group);
        let meters = i64::try_from(lanes.len()).unwrap_or(i64::MAX);
        let net_wh: WattHours = energy_wh[lanes.clone()].iter().copied().sum();
        let base: Watts = lanes.map(base_w).sum();
        let limits = &site.groups[*group];
        let import_w = limits.limit_import_w.max(base);
        (net_wh.0 - meters) * 4 > import_w.0 || (-net_wh.0 - meters) * 4 > limits.limit_export_w.0
    };
    u32::try_from((0..site.groups.len()).filter(exceeded).count()).unwrap_or(u32::MAX)
}
