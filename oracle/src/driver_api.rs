//! What a driver's phone and the oracle tell each other over HTTP: `GET /api/offer`, `POST /api/requests`.

use serde::{Deserialize, Serialize};

/// What an EVSE offers now: everything a driver's request must name. Answer of `GET /api/offer?evse=ID`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Chain that the request will be settled on.
    pub chain_id: u64,
    /// Address of the settlement contract, 0x-hex.
    pub settlement: String,
    /// Clear-text id of the EVSE.
    pub evse: String,
    /// Base units of the credit token per kWh.
    pub price: u64,
    /// Address of the meter's key, 0x-hex.
    pub meter_key: String,
    /// Hash of the tariff, 0x-hex.
    pub tariff_hash: String,
    /// Scenario time, unix seconds.
    pub now: i64,
}

/// A driver's request with its EIP-712 signature. Body of `POST /api/requests`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedRequest {
    /// Who signs, 0x-hex.
    pub driver: String,
    /// Name in the scenario; off chain only.
    pub driver_name: String,
    /// Clear-text id of the EVSE.
    pub evse: String,
    /// Address of the meter's key, 0x-hex.
    pub meter_key: String,
    /// Hash of the tariff, 0x-hex.
    pub tariff_hash: String,
    /// Energy wanted.
    pub energy_wh: u32,
    /// Declared end, unix seconds.
    pub departure: i64,
    /// Most power the car draws, by its driver's word. Not signed: it helps the plan and binds nobody.
    pub max_power_w: u32,
    /// Most the driver pays per kWh, base units.
    pub price_ceiling: u64,
    /// Most the driver pays in total, base units, decimal.
    pub total_ceiling: String,
    /// Differs between requests of one driver.
    pub nonce: u64,
    /// Last moment at which the request may begin a session, unix seconds.
    pub valid_until: i64,
    /// 65 bytes in 0x-hex.
    pub signature: String,
}

/// The oracle took the request. Answer of `POST /api/requests`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Session id: the request's digest, 0x-hex.
    pub session: String,
    /// What the driver shows to the charge point.
    pub id_tag: String,
}
