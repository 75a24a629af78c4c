//! What meters signed: from the readings of a settlement's input to a [`Stay`], with every signature and every register
//! checked on the way.

use super::billing::{Piece, Stay, lowest_price};
use super::facts::At;
use super::ocmf;
use super::report::{Kind, Tally};
use crate::abi::{MeterReading, OcmfKey, OcmfRecord, ReadingContext, SignedReading, Tariff, Terms};
use crate::signing;
use alloy::primitives::{Address, B256, Signature, keccak256};
use alloy::sol_types::{SolStruct, SolValue};

const MILLI_WH_PER_WH: u128 = 1000;

/// What a settlement or a dispute presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// EIP-712 readings of a secp256k1 key: a Begin, Intervals and an End.
    Readings(Vec<SignedReading>),
    /// OCMF records, one or two, and the key that signed them.
    Ocmf(Box<OcmfKey>, Vec<OcmfRecord>),
}

impl Evidence {
    /// What the meter said; `None` where there is nothing to bill.
    pub fn stay(&self, tally: &mut Tally, at: At, terms: &Terms, tariff: &Tariff) -> Option<Stay> {
        match self {
            Self::Readings(readings) => of_readings(tally, at, terms, tariff, readings),
            Self::Ocmf(key, records) => of_records(tally, at, terms, tariff, key, records),
        }
    }

    /// How the meter signs, for people.
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Readings(_) => "EIP-712, secp256k1",
            Self::Ocmf(key, _) if key.curve == crate::abi::Curve::P256 => "OCMF, P-256",
            Self::Ocmf(..) => "OCMF, secp256k1",
        }
    }
}

/// Who signed a reading of a session's EVSE; `None` where the signature recovers to nobody.
pub fn signer_of(terms: &Terms, signed: &SignedReading, context: ReadingContext) -> Option<Address> {
    let reading = MeterReading {
        asset: terms.evse,
        importWh: signed.importWh,
        exportWh: signed.exportWh,
        time: signed.time,
        counter: signed.counter,
        context,
    };
    let (odd, mut s) = (signed.vs[0] >> 7 == 1, signed.vs);
    s[0] &= 0x7f;
    let signature = Signature::from_scalars_and_parity(signed.r, s, odd);
    signature.recover_address_from_prehash(&reading.eip712_signing_hash(&signing::meter_domain())).ok()
}

/// Checks that the session's meter signed a reading.
pub fn require_signed(
    tally: &mut Tally,
    at: At,
    terms: &Terms,
    signed: &SignedReading,
    context: ReadingContext,
) -> bool {
    let signer = signer_of(terms, signed, context).unwrap_or_default();
    let (session, counter) = (terms.session, signed.counter);
    let what = format_args!("session {session}: signer of the meter's reading {counter}");
    tally.equal(Kind::MeterSignature, at, what, terms.meter, signing::meter_id(signer))
}

fn of_readings(tally: &mut Tally, at: At, terms: &Terms, tariff: &Tariff, readings: &[SignedReading]) -> Option<Stay> {
    let session = terms.session;
    let (first, rest) = readings.split_first()?;
    let last = rest.last()?;
    require_signed(tally, at, terms, first, ReadingContext::Begin);
    for (i, reading) in rest.iter().enumerate() {
        let context = if i + 1 == rest.len() { ReadingContext::End } else { ReadingContext::Interval };
        require_signed(tally, at, terms, reading, context);
    }
    let mut pieces = Vec::new();
    for pair in readings.windows(2) {
        let [a, b] = pair else { continue };
        let rises = b.counter > a.counter && b.importWh >= a.importWh && b.exportWh >= a.exportWh && b.time >= a.time;
        let shown =
            |r: &SignedReading| format!("{} / {} Wh, counter {}, {} s", r.importWh, r.exportWh, r.counter, r.time);
        let what = format_args!("session {session}: registers, counters and times rise from reading to reading");
        tally.holds(
            Kind::Register,
            at,
            rises,
            what,
            format_args!("not below {}", shown(a)),
            format_args!("{}", shown(b)),
        );
        let (from, until) = (a.time.to(), b.time.to());
        let milli_wh = MILLI_WH_PER_WH * u128::from(b.importWh.saturating_sub(a.importWh));
        pieces.push(Piece { from, until, milli_wh, price: lowest_price(tariff, from, until) });
    }
    let milli = |wh: u64| MILLI_WH_PER_WH * u128::from(wh);
    Some(Stay {
        start_milli_wh: milli(first.importWh),
        stop_milli_wh: milli(last.importWh),
        start_export_milli_wh: milli(first.exportWh),
        stop_export_milli_wh: milli(last.exportWh),
        start_counter: first.counter,
        stop_counter: last.counter,
        start_time: first.time.to(),
        stop_time: last.time.to(),
        fiscal: false,
        pieces,
    })
}

fn of_records(
    tally: &mut Tally,
    at: At,
    terms: &Terms,
    tariff: &Tariff,
    key: &OcmfKey,
    records: &[OcmfRecord],
) -> Option<Stay> {
    let session = terms.session;
    let meter: B256 = keccak256(key.abi_encode());
    tally.equal(Kind::MeterSignature, at, format_args!("session {session}: meter of the OCMF key"), terms.meter, meter);
    let mut read = Vec::new();
    for record in records {
        let signed = ocmf::is_signed(key, record);
        let what = format_args!("session {session}: signature of the OCMF record");
        let (wanted, found) = (format_args!("signed by the session's meter"), format_args!("not signed by it"));
        tally.holds(Kind::MeterSignature, at, signed, what, wanted, found);
        match ocmf::read(&record.payload) {
            Ok(told) => read.push(told),
            Err(error) => {
                let what = format_args!("session {session}: OCMF record");
                tally.holds(
                    Kind::Register,
                    at,
                    false,
                    what,
                    format_args!("a readable record"),
                    format_args!("{error:#}"),
                );
                return None;
            }
        }
    }
    for told in &read {
        let what = format_args!("session {session}: serial number in the OCMF record");
        tally.equal(
            Kind::MeterSignature,
            at,
            what,
            key.serialHash,
            told.serial.as_ref().map(keccak256).unwrap_or_default(),
        );
    }
    let (first, last) = (read.first()?, read.last()?);
    let ends = (first.begin, last.end);
    let what = format_args!("session {session}: OCMF records");
    let paired = ends.0.is_some() && ends.1.is_some() && read.len() <= 2 && first.fiscal == last.fiscal;
    let wanted = format_args!("one with begin and end, or two of one series");
    tally.holds(
        Kind::Register,
        at,
        paired,
        what,
        wanted,
        format_args!("{} records, begin and end {ends:?}", read.len()),
    );
    let (begin, end) = (ends.0?, ends.1?);
    let rises = end.milli_wh >= begin.milli_wh && (read.len() == 1 || last.counter > first.counter);
    let what = format_args!("session {session}: registers and counters rise");
    let wanted = format_args!("not below {} mWh, counter {}", begin.milli_wh, first.counter);
    tally.holds(
        Kind::Register,
        at,
        rises,
        what,
        wanted,
        format_args!("{} mWh, counter {}", end.milli_wh, last.counter),
    );
    // Half a clock is none.
    let (from, until) = if begin.time > 0 && end.time > 0 { (begin.time, end.time) } else { (0, 0) };
    let milli_wh = u128::from(end.milli_wh.saturating_sub(begin.milli_wh));
    Some(Stay {
        start_milli_wh: begin.milli_wh.into(),
        stop_milli_wh: end.milli_wh.into(),
        start_counter: first.counter,
        stop_counter: last.counter,
        start_time: from,
        stop_time: until,
        fiscal: first.fiscal,
        pieces: vec![Piece { from, until, milli_wh, price: lowest_price(tariff, from, until) }],
        ..Stay::default()
    })
}
