//! What a driver's phone and the oracle tell each other over HTTP: `GET /api/offer`, `POST /api/requests`.

use crate::abi;
use anyhow::{Context, Result};
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
    /// The meter whose readings count, as the registry names it: 32 bytes in 0x-hex.
    pub meter: String,
    /// What a session costs; the phone computes the hash that its driver signs.
    pub tariff: Tariff,
    /// Scenario time, unix seconds.
    pub now: i64,
}

/// What a session costs, base units of the credit token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tariff {
    /// Per kWh, outside of all bands.
    pub price: u64,
    /// Once per session.
    pub session_fee: u64,
    /// Per whole minute after the declared departure.
    pub idle_fee_per_minute: u64,
    /// Least amount of a session, decimal.
    pub minimum: String,
    /// Most a session costs, decimal; 0 for no limit.
    pub maximum: String,
    /// Other prices, each from a minute of the week (Monday 00:00 UTC) on.
    pub bands: Vec<Band>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Band {
    /// Minutes since Monday 00:00 UTC.
    pub from_minute: u16,
    /// Per kWh.
    pub price: u64,
}

impl From<&abi::Tariff> for Tariff {
    fn from(tariff: &abi::Tariff) -> Self {
        let bands = tariff.bands.iter().map(|b| Band { from_minute: b.fromMinute, price: b.price }).collect();
        Self {
            price: tariff.price,
            session_fee: tariff.sessionFee,
            idle_fee_per_minute: tariff.idleFeePerMinute,
            minimum: tariff.minimum.to_string(),
            maximum: tariff.maximum.to_string(),
            bands,
        }
    }
}

impl Tariff {
    /// As the contracts know it.
    pub fn to_abi(&self) -> Result<abi::Tariff> {
        let bands = self.bands.iter().map(|b| abi::Band { fromMinute: b.from_minute, price: b.price }).collect();
        Ok(abi::Tariff {
            price: self.price,
            sessionFee: self.session_fee,
            idleFeePerMinute: self.idle_fee_per_minute,
            minimum: self.minimum.parse().context("tariff: minimum: expected a decimal number")?,
            maximum: self.maximum.parse().context("tariff: maximum: expected a decimal number")?,
            bands,
        })
    }

    /// The highest price of any time of the week.
    pub fn highest_price(&self) -> u64 {
        self.bands.iter().map(|b| b.price).fold(self.price, u64::max)
    }
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
    /// The meter whose readings the driver accepts: 32 bytes in 0x-hex.
    pub meter: String,
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
