//! What the journal holds, and what the engine remembers of it.

use super::Stop;
use crate::abi::{Tariff, Terms};
use crate::driver_api::SignedRequest;
use crate::signing::SignedReading;
use alloy::primitives::Bytes;
use alloy::sol_types::SolValue;
use anyhow::{Context, Result};
use optimizer::controller::{Asked, Event};
use optimizer::units::{Micro, UnixTime, WattHours};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One line of the journal. Where a signature came with the fact, it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Entry {
    /// An event that is nothing more than itself.
    Event(Event),
    /// A driver's request was accepted.
    Requested { asked: Asked, request: Box<SignedRequest> },
    /// A session is open on chain, by these terms.
    Opened { session: String, terms: SessionTerms },
    /// A driver changed its session on chain: these are its terms now.
    Amended { session: String, terms: SessionTerms, energy_wh: WattHours, departure: UnixTime },
    /// A session is billed on chain.
    Settled {
        session: String,
        receipt: String,
        paid: Micro,
        /// abi.encode(Bill).
        bill: Bytes,
    },
    /// A charge point began a transaction.
    Started { session: String, transaction: i32, reading: SignedReading },
    /// A meter was read.
    Read(SignedReading),
    /// A charge point ended a transaction.
    Stopped { session: String, reading: SignedReading },
}

/// What a session is settled by: the chain keeps hashes of it only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SessionTerms {
    /// abi.encode(Terms).
    terms: Bytes,
    /// abi.encode(Tariff).
    tariff: Bytes,
}

impl SessionTerms {
    pub(super) fn new(terms: &Terms, tariff: &Tariff) -> Self {
        Self { terms: terms.abi_encode().into(), tariff: tariff.abi_encode().into() }
    }

    pub(super) fn decode(&self) -> Result<(Terms, Tariff)> {
        let terms = Terms::abi_decode(&self.terms).context("journal: terms of a session")?;
        Ok((terms, Tariff::abi_decode(&self.tariff).context("journal: tariff of a session")?))
    }
}

/// What the controller does not need to know, but the edges do.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// By session id.
    pub(super) requests: BTreeMap<String, SignedRequest>,
    /// By session id, once it is open.
    pub(super) terms: BTreeMap<String, SessionTerms>,
    /// By session id, once it is settled: abi.encode(Bill).
    pub(super) bills: BTreeMap<String, Bytes>,
    /// Session by OCPP transaction.
    pub(super) transactions: BTreeMap<i32, String>,
    /// By asset and counter.
    pub(super) readings: BTreeMap<(String, u64), SignedReading>,
    pub(super) last_stop: Option<Stop>,
    pub(super) day_ended: bool,
}

/// Length of an id tag: OCPP 1.6 allows 20 characters.
const TAG_LENGTH: usize = 20;

/// What a driver shows to the charge point: the first digits of the session id.
pub(super) fn id_tag(session: &str) -> String {
    session.trim_start_matches("0x").chars().take(TAG_LENGTH).collect()
}

/// The stop of the clock that an event marks.
pub(super) fn stop_of(event: &Event) -> Option<Stop> {
    match event {
        Event::Cut { interval } => Some(Stop::Cut(*interval)),
        Event::Ended { interval } => Some(Stop::End(*interval)),
        _ => None,
    }
}

impl Memory {
    /// Keeps what the edges need; returns the event for the controller.
    pub(super) fn remember(&mut self, entry: Entry) -> Event {
        let event = match entry {
            Entry::Event(event) => event,
            Entry::Requested { asked, request } => {
                self.requests.insert(asked.session.clone(), *request);
                Event::Requested(asked)
            }
            Entry::Opened { session, terms } => {
                self.terms.insert(session.clone(), terms);
                Event::Opened { session }
            }
            Entry::Amended { session, terms, energy_wh, departure } => {
                self.terms.insert(session.clone(), terms);
                Event::Amended { session, energy_wh, departure }
            }
            Entry::Settled { session, receipt, paid, bill } => {
                self.bills.insert(session.clone(), bill);
                Event::Settled { session, receipt, paid }
            }
            Entry::Started { session, transaction, reading } => {
                self.transactions.insert(transaction, session.clone());
                Event::Plugged { session, reading: self.keep(reading) }
            }
            Entry::Read(reading) => Event::Metered(self.keep(reading)),
            Entry::Stopped { session, reading } => Event::Unplugged { session, reading: self.keep(reading) },
        };
        self.last_stop = stop_of(&event).or(self.last_stop);
        self.day_ended |= event == Event::DayEnded;
        event
    }

    fn keep(&mut self, signed: SignedReading) -> optimizer::device::Reading {
        let reading = signed.reading.clone();
        self.readings.insert((reading.asset.clone(), reading.counter), signed);
        reading
    }

    /// The session whose driver shows `tag`.
    pub(super) fn session_of_tag(&self, tag: &str) -> Option<&str> {
        // OCPP compares tags without regard to case.
        self.requests.keys().find(|session| id_tag(session).eq_ignore_ascii_case(tag)).map(String::as_str)
    }

    /// The transaction of a session.
    pub(super) fn transaction_of(&self, session: &str) -> Option<i32> {
        self.transactions.iter().find(|(_, s)| *s == session).map(|(id, _)| *id)
    }
}
