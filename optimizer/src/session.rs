//! A session: plug-in to plug-out of one car at one EVSE, as a scenario tells it.

use crate::units::{Micro, MicroPerKwh, UnixTime, WattHours, Watts};
use serde::{Deserialize, Serialize};

/// Who charges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Driver {
    /// Name in the scenario; off chain only.
    pub id: String,
    /// Money deposited before the day starts.
    pub deposit: Micro,
    /// Below this balance the driver wants to be told.
    pub low_balance: Micro,
}

/// One car's stay, and the truth about the car, which a plan never sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Id in the scenario.
    pub id: String,
    /// Driver's id.
    pub driver: String,
    /// Clear-text id of the EVSE.
    pub evse: String,
    /// When the car plugs in.
    pub arrival: UnixTime,
    /// Departure that the driver declares.
    pub departure: UnixTime,
    /// Energy that the driver declares.
    pub energy_wh: WattHours,
    /// Most the driver pays per kWh.
    pub price_ceiling: MicroPerKwh,
    /// The car itself.
    pub vehicle: Vehicle,
}

/// What the car really does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vehicle {
    /// When it really leaves.
    pub unplugged: UnixTime,
    /// Energy after which it stops by itself (the charge limit its driver set), whatever was declared.
    pub takes_wh: WattHours,
    /// Battery capacity.
    pub capacity_wh: WattHours,
    /// Content on arrival.
    pub start_wh: WattHours,
    /// Most power its charger draws.
    pub max_w: Watts,
}

/// A session that is over: what habits are learned from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastSession {
    /// Id of its site.
    pub site: String,
    /// Driver's id; empty where nobody knows.
    pub driver: String,
    /// When the car plugged in.
    pub arrival: UnixTime,
    /// When it left.
    pub unplugged: UnixTime,
    /// Departure that the driver declared, if any.
    pub departure: Option<UnixTime>,
    /// Energy that the driver declared, if any.
    pub energy_wh: Option<WattHours>,
    /// Energy that it took.
    pub delivered_wh: WattHours,
}
