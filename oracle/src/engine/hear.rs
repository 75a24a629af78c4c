//! What charge points and drivers say, checked and journalled before it is answered.

use super::journal::{Entry, id_tag};
use super::{Engine, Place};
use crate::abi::{Request, Tariff};
use crate::driver_api::{Accepted, Offer, SignedRequest};
use crate::http::{Ask, Refusal, RefusalKind};
use crate::ocpp::{FromPoint, StartReply};
use crate::signing::{self, SignedReading};
use alloy::primitives::Address;
use alloy::primitives::aliases::U40;
use anyhow::{Result, anyhow, ensure};
use optimizer::controller::Asked;
use optimizer::units::{Micro, MicroPerKwh, UnixTime, WattHours, Watts};

impl Engine {
    pub(super) fn hear(&mut self, heard: FromPoint) -> Result<()> {
        // A dropped reply means that the charge point is gone; it will say it again.
        match heard {
            FromPoint::Authorize { id_tag, reply, .. } => {
                let known = self.memory.session_of_tag(&id_tag).is_some();
                let _ = reply.send(known);
            }
            FromPoint::Start { point, connector, id_tag, reading, reply } => {
                let answer = self.start(&point, connector, &id_tag, reading)?;
                let _ = reply.send(answer);
            }
            FromPoint::Meter { point, connector, reading, reply, .. } => {
                match self.verified(&point, Some(connector), &reading) {
                    Ok(_) if self.signature_of(&reading.reading).is_some() => {}
                    Ok(_) => self.happen(Entry::Read(reading))?,
                    Err(error) => tracing::warn!("{point}: reading refused: {error:#}"),
                }
                let _ = reply.send(());
            }
            FromPoint::Stop { point, transaction_id, reading, reply, .. } => {
                self.stop(&point, transaction_id, reading)?;
                let _ = reply.send(());
            }
            FromPoint::Status { point, connector, status, error } => {
                tracing::debug!("{point} connector {connector}: {status} {error}");
            }
            FromPoint::Refused { point, action, why } => tracing::warn!("{point}: {action} refused: {why}"),
            FromPoint::Boot { point, vendor, model } => tracing::debug!("{point}: {vendor} {model}"),
            FromPoint::Connected { point } => tracing::debug!("{point} connected"),
            FromPoint::Disconnected { point } => tracing::debug!("{point} disconnected"),
        }
        Ok(())
    }

    /// A repeated start (the answer was lost) gets the same transaction.
    fn start(&mut self, point: &str, connector: u32, tag: &str, reading: SignedReading) -> Result<StartReply> {
        let refused = StartReply { transaction_id: 0, accepted: false };
        let checked = self.verified(point, Some(connector), &reading).map(|_| ());
        let session = self.memory.session_of_tag(tag).map(str::to_owned);
        let session = match (checked, session) {
            (Ok(()), Some(session)) => session,
            (Err(error), _) => {
                tracing::warn!("{point}: start refused: {error:#}");
                return Ok(refused);
            }
            (Ok(()), None) => return Ok(refused),
        };
        if self.memory.requests.get(&session).is_none_or(|r| r.evse != reading.reading.asset) {
            tracing::warn!("{point}: start refused: the request names another EVSE");
            return Ok(refused);
        }
        if let Some(transaction_id) = self.memory.transaction_of(&session) {
            return Ok(StartReply { transaction_id, accepted: true });
        }
        let transaction = self.memory.transactions.last_key_value().map_or(1, |(last, _)| last + 1);
        self.happen(Entry::Started { session, transaction, reading })?;
        Ok(StartReply { transaction_id: transaction, accepted: true })
    }

    fn stop(&mut self, point: &str, transaction: i32, reading: SignedReading) -> Result<()> {
        let Some(session) = self.memory.transactions.get(&transaction).cloned() else {
            tracing::warn!("{point}: stop of unknown transaction {transaction}");
            return Ok(());
        };
        match self.verified(point, None, &reading) {
            Ok(_) if self.signature_of(&reading.reading).is_some() => {}
            Ok(_) => self.happen(Entry::Stopped { session, reading })?,
            Err(error) => tracing::warn!("{point}: stop refused: {error:#}"),
        }
        Ok(())
    }

    /// The place of a reading, if the meter that is registered there signed it.
    fn verified(&self, point: &str, connector: Option<u32>, signed: &SignedReading) -> Result<&Place> {
        let asset = &signed.reading.asset;
        let place = self.places.get(asset).ok_or_else(|| anyhow!("unknown asset {asset}"))?;
        ensure!(
            place.point == point && connector.is_none_or(|c| c == place.connector),
            "{asset} is connected elsewhere: {} connector {}",
            place.point,
            place.connector
        );
        let signer = signing::reading_signer(signed)?;
        ensure!(signer == place.meter, "{asset}: signed by {signer}, registered is {}", place.meter);
        Ok(place)
    }

    pub(super) async fn answer(&mut self, ask: Ask) -> Result<()> {
        match ask {
            Ask::Offer { evse, reply } => {
                let _ = reply.send(self.offer(&evse));
            }
            Ask::Request { request, reply } => {
                let answer = match self.judge(&request).await? {
                    Ok(asked) => {
                        let session = asked.session.clone();
                        if !self.memory.requests.contains_key(&session) {
                            self.happen(Entry::Requested { asked, request })?;
                        }
                        Ok(Accepted { id_tag: id_tag(&session), session })
                    }
                    Err(refusal) => Err(refusal),
                };
                let _ = reply.send(answer);
            }
        }
        Ok(())
    }

    fn offer(&self, evse: &str) -> Result<Offer, Refusal> {
        let place = self.evse(evse)?;
        Ok(Offer {
            chain_id: self.edges.protocol.deployment.chain_id,
            settlement: self.edges.protocol.deployment.settlement.to_string(),
            evse: evse.to_owned(),
            meter: signing::meter_id(place.meter).to_string(),
            tariff: (&tariff(place.price)).into(),
            now: self.now.0,
        })
    }

    fn evse(&self, evse: &str) -> Result<&Place, Refusal> {
        let place = self.places.get(evse).filter(|p| p.is_evse);
        place.ok_or_else(|| Refusal::new(RefusalKind::NotFound, format!("unknown EVSE {evse}")))
    }

    /// Everything the chain would refuse is refused here, before a car is let in. The outer error is the chain's link.
    async fn judge(&self, signed: &SignedRequest) -> Result<Result<Asked, Refusal>> {
        let (asked, request) = match self.read_request(signed) {
            Ok(read) => read,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if self.memory.requests.contains_key(&asked.session) {
            return Ok(Ok(asked));
        }
        if let Some(session) = self.controller.session_at(&asked.evse) {
            return Ok(Err(Refusal::new(
                RefusalKind::Conflict,
                format!("{} is busy with session {session}", asked.evse),
            )));
        }
        if !self.edges.protocol.is_driver(request.driver).await? {
            return Ok(Err(Refusal::new(
                RefusalKind::Forbidden,
                format!("driver {} is not registered", request.driver),
            )));
        }
        let balance = self.edges.protocol.wallet(request.driver).await?;
        let free = asked.price == MicroPerKwh::ZERO;
        let needed = Micro(i64::try_from(request.totalCeiling).unwrap_or(i64::MAX));
        if !free && balance < needed {
            return Ok(Err(Refusal::new(
                RefusalKind::Forbidden,
                format!("wallet holds {balance}, the request needs {needed}"),
            )));
        }
        Ok(Ok(asked))
    }

    fn read_request(&self, signed: &SignedRequest) -> Result<(Asked, Request), Refusal> {
        let bad = |field: &str, expected: &str| {
            Refusal::new(RefusalKind::BadRequest, format!("{field}: expected {expected}"))
        };
        let place = self.evse(&signed.evse)?;
        let request = to_abi(signed)?;
        let chain_id = self.edges.protocol.deployment.chain_id;
        let session = signing::request_digest(&request, chain_id, self.edges.protocol.deployment.settlement);
        let signer = signing::signer(&signed.signature, session).ok();
        if signer != Some(request.driver) {
            return Err(Refusal::new(RefusalKind::Forbidden, "signature: not by the driver"));
        }
        if request.meter != signing::meter_id(place.meter) {
            return Err(bad("meter", &signing::meter_id(place.meter).to_string()));
        }
        if request.tariffHash != signing::tariff_hash(&tariff(place.price)) {
            return Err(bad("tariff_hash", "that of the present tariff"));
        }
        if place.price.0 > i64::try_from(signed.price_ceiling).unwrap_or(i64::MAX) {
            return Err(bad("price_ceiling", &format!("at least the price, {}", place.price)));
        }
        if signed.energy_wh == 0 {
            return Err(bad("energy_wh", "more than 0"));
        }
        if signed.departure <= self.now.0 || signed.valid_until < self.now.0 {
            return Err(bad("departure, valid_until", &format!("times after {}", self.now)));
        }
        let owner = self.owners[place.site] == request.driver;
        let asked = Asked {
            session: session.to_string(),
            driver: signed.driver_name.clone(),
            evse: signed.evse.clone(),
            energy_wh: WattHours(i64::from(signed.energy_wh)),
            departure: UnixTime(signed.departure),
            max_w: Watts(i64::from(signed.max_power_w)),
            price: if owner { MicroPerKwh::ZERO } else { place.price },
        };
        Ok((asked, request))
    }
}

/// What registration made of a scenario's price.
pub(super) fn tariff(price: MicroPerKwh) -> Tariff {
    signing::flat_tariff(u64::try_from(price.0).unwrap_or_default())
}

/// The request as the contracts know it.
pub(super) fn to_abi(signed: &SignedRequest) -> Result<Request, Refusal> {
    let bad =
        |field: &str, expected: &str| Refusal::new(RefusalKind::BadRequest, format!("{field}: expected {expected}"));
    let seconds = |field: &str, n: i64| {
        u64::try_from(n).ok().filter(|n| n >> 40 == 0).map(U40::from).ok_or_else(|| bad(field, "unix seconds"))
    };
    let address = |field: &str, text: &str| text.parse::<Address>().map_err(|_| bad(field, "an address"));
    Ok(Request {
        driver: address("driver", &signed.driver)?,
        evse: signing::id(&signed.evse),
        meter: signed.meter.parse().map_err(|_| bad("meter", "32 bytes in hex"))?,
        tariffHash: signed.tariff_hash.parse().map_err(|_| bad("tariff_hash", "32 bytes in hex"))?,
        energyWh: signed.energy_wh,
        departure: seconds("departure", signed.departure)?,
        priceCeiling: signed.price_ceiling,
        totalCeiling: signed.total_ceiling.parse().map_err(|_| bad("total_ceiling", "a decimal number"))?,
        nonce: signed.nonce,
        validUntil: seconds("valid_until", signed.valid_until)?,
    })
}
