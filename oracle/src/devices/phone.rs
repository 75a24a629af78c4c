//! The driver's phone: takes the offer of an EVSE, signs a request for it, and gets the tag to show there.

use super::{PAUSE_MAX, PAUSE_MIN, percent_encoded};
use crate::abi::Request;
use crate::driver_api::{Accepted, Offer, SignedRequest};
use crate::keys::Keyring;
use crate::signing;
use alloy::primitives::aliases::U40;
use alloy::primitives::{Address, keccak256};
use anyhow::{Context, Result};
use optimizer::session::Session;
use serde::de::DeserializeOwned;

/// Time a driver leaves the oracle to begin the session.
const VALID_S: i64 = 3600;

pub(super) struct Phone {
    pub(super) http: reqwest::Client,
    pub(super) oracle: String,
    pub(super) keyring: Keyring,
}

impl Phone {
    /// Asks for the session until there is an answer; `Err` when it is refused. The request is signed once and repeated
    /// letter by letter, so that a lost answer does not make two requests of one.
    pub(super) async fn request(&self, session: &Session) -> Result<Accepted> {
        let url = format!("{}/api/offer?evse={}", self.oracle, percent_encoded(&session.evse));
        let offer: Offer = self.insist(|| self.http.get(&url)).await.context("offer")?;
        let request = self.sign(session, &offer)?;
        let url = format!("{}/api/requests", self.oracle);
        self.insist(|| self.http.post(&url).json(&request)).await.context("request")
    }

    /// Repeats a call while the oracle is out of reach or in trouble. Its words about a refusal are passed on.
    async fn insist<T: DeserializeOwned>(&self, call: impl Fn() -> reqwest::RequestBuilder) -> Result<T> {
        let mut pause = PAUSE_MIN;
        loop {
            match call().send().await {
                Ok(answer) if answer.status().is_client_error() => {
                    let status = answer.status();
                    anyhow::bail!("{status}: {}", answer.text().await.unwrap_or_default());
                }
                Ok(answer) if answer.status().is_success() => match answer.json().await {
                    Ok(answer) => return Ok(answer),
                    Err(error) if error.is_decode() => return Err(error.into()),
                    Err(error) => tracing::debug!(%error, "answer lost"),
                },
                Ok(answer) => tracing::debug!(status = %answer.status(), "oracle in trouble"),
                Err(error) => tracing::debug!(%error, "oracle out of reach"),
            }
            tokio::time::sleep(pause).await;
            pause = PAUSE_MAX.min(pause * 2);
        }
    }

    fn sign(&self, session: &Session, offer: &Offer) -> Result<SignedRequest> {
        self.keyring.ensure_fit_for(offer.chain_id)?;
        let key = self.keyring.person(&session.driver)?;
        let request = request(session, offer, key.address())?;
        let settlement: Address = offer.settlement.parse().context("offer: settlement: expected an address")?;
        let digest = signing::request_digest(&request, offer.chain_id, settlement);
        Ok(SignedRequest {
            driver: request.driver.to_string(),
            driver_name: session.driver.clone(),
            evse: session.evse.clone(),
            meter: offer.meter.clone(),
            tariff_hash: request.tariffHash.to_string(),
            energy_wh: request.energyWh,
            departure: session.departure.0,
            max_power_w: u32::try_from(session.vehicle.max_w.0).context("power: out of range")?,
            price_ceiling: request.priceCeiling,
            total_ceiling: request.totalCeiling.to_string(),
            nonce: request.nonce,
            valid_until: offer.now + VALID_S,
            signature: signing::sign(&key, digest)?,
        })
    }
}

fn request(session: &Session, offer: &Offer, driver: Address) -> Result<Request> {
    let seconds = |name: &str, time: i64| {
        u64::try_from(time).ok().and_then(|t| U40::try_from(t).ok()).with_context(|| format!("{name}: out of range"))
    };
    let energy_wh = u32::try_from(session.energy_wh.0).context("energy: out of range")?;
    let price_ceiling = u64::try_from(session.price_ceiling.0).context("price ceiling: out of range")?;
    // Up, so that the whole energy can be had.
    let total = (u128::from(energy_wh) * u128::from(offer.tariff.highest_price().min(price_ceiling))).div_ceil(1000);
    let mut nonce = [0; 8];
    nonce.copy_from_slice(&keccak256(&session.id)[..8]);
    Ok(Request {
        driver,
        evse: signing::id(&session.evse),
        meter: offer.meter.parse().context("offer: meter: expected 32 bytes in hex")?,
        tariffHash: signing::tariff_hash(&offer.tariff.to_abi().context("offer")?),
        energyWh: energy_wh,
        departure: seconds("departure", session.departure.0)?,
        priceCeiling: price_ceiling,
        totalCeiling: total,
        nonce: u64::from_be_bytes(nonce),
        validUntil: seconds("now", offer.now + VALID_S)?,
    })
}
