//! Signed OCMF records, read and verified apart from the contract that accepted them: by a JSON library and a P-256 and
//! secp256k1 library, where the contract has a scanner and precompiles. What a record says is by the Open Charge Metering
//! Format 1.x; which register is billed, and which clock is believed, by docs/contracts.md.

use crate::abi::{Curve, OcmfKey, OcmfRecord};
use alloy::signers::k256;
use anyhow::{Context, Result, bail, ensure};
use chrono::DateTime;
use k256::sha2::{Digest, Sha256};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// 2000-01-01. A clock that was never set counts from 1970.
const CLOCKS_SET_SINCE: i64 = 946_684_800;
/// Decimals of a register that a record may have: millionths of its unit.
const DECIMALS: usize = 6;

/// What the billing register said at one end of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Energy from the grid, thousandths of Wh.
    pub milli_wh: u64,
    /// Unix seconds; 0 where the clock is not set.
    pub time: u64,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whether its pagination is of the fiscal series.
    pub fiscal: bool,
    /// Pagination counter.
    pub counter: u64,
    /// The meter's serial number as spelled, or else the gateway's.
    pub serial: Option<String>,
    /// Reading at the begin of the session.
    pub begin: Option<Entry>,
    /// Reading at its end.
    pub end: Option<Entry>,
}

#[derive(Deserialize)]
#[allow(non_snake_case, reason = "the format's names")]
struct Payload<'a> {
    PG: String,
    #[serde(default)]
    GS: Option<Value>,
    #[serde(default)]
    MS: Option<Value>,
    #[serde(borrow)]
    RD: Vec<Reading<'a>>,
}

#[derive(Deserialize)]
#[allow(non_snake_case, reason = "the format's names")]
struct Reading<'a> {
    TM: Option<Value>,
    TX: Option<Value>,
    RI: Option<Value>,
    RU: Option<Value>,
    EF: Option<Value>,
    ST: Option<Value>,
    #[serde(borrow)]
    RV: Option<&'a RawValue>,
}

/// Whether the key signed the record: SHA-256 of the payload, either form of `s`.
pub fn is_signed(key: &OcmfKey, record: &OcmfRecord) -> bool {
    let digest = Sha256::digest(&record.payload);
    let point = [&[4], key.qx.as_slice(), key.qy.as_slice()].concat();
    let scalars = [record.r.as_slice(), record.s.as_slice()].concat();
    match key.curve {
        Curve::P256 => {
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point);
            let signature = p256::ecdsa::Signature::from_slice(&scalars);
            matches!((key, signature), (Ok(key), Ok(signature)) if key.verify_prehash(&digest, &signature).is_ok())
        }
        _ => {
            let key = k256::ecdsa::VerifyingKey::from_sec1_bytes(&point);
            let signature = k256::ecdsa::Signature::from_slice(&scalars).map(|s| s.normalize_s().unwrap_or(s));
            matches!((key, signature), (Ok(key), Ok(signature)) if key.verify_prehash(&digest, &signature).is_ok())
        }
    }
}

/// Reads a record's payload.
pub fn read(payload: &[u8]) -> Result<Record> {
    let payload: Payload<'_> = serde_json::from_slice(payload).context("no OCMF payload")?;
    let (series, counter) = payload.PG.split_at_checked(1).context("PG: empty")?;
    ensure!(matches!(series, "T" | "F"), "PG: found {:?}, expected T or F and a number", payload.PG);
    let mut record = Record {
        fiscal: series == "F",
        counter: counter.parse().context("PG: no number")?,
        serial: [payload.MS, payload.GS].iter().flatten().find_map(spelled),
        begin: None,
        end: None,
    };
    // A reading leaves out what the one before it has said, except its register.
    let mut known: [Option<Value>; 6] = Default::default();
    for reading in payload.RD {
        let fields = [reading.TM, reading.TX, reading.RI, reading.RU, reading.EF, reading.ST];
        for (known, field) in known.iter_mut().zip(fields) {
            if field.is_some() {
                *known = field;
            }
        }
        let text = |i: usize| known[i].as_ref().and_then(Value::as_str).unwrap_or_default();
        take(&mut record, text(0), text(1), [text(2), text(3), text(4), text(5)], reading.RV)?;
    }
    ensure!(record.begin.is_some() || record.end.is_some(), "neither begin nor end of a session");
    Ok(record)
}

fn spelled(text: &Value) -> Option<String> {
    text.as_str().filter(|t| !t.is_empty()).map(str::to_owned)
}

fn take(
    record: &mut Record,
    time: &str,
    reason: &str,
    [register, unit, flags, status]: [&str; 4],
    value: Option<&RawValue>,
) -> Result<()> {
    ensure!(reason != "X", "TX is X: neither energy nor time can be relied upon");
    if !is_billing(register) {
        return Ok(());
    }
    ensure!(status == "G", "ST: found {status:?}, expected G");
    ensure!(flags.is_empty(), "EF: found {flags:?}, expected none");
    let begins = reason == "B";
    if !begins && !matches!(reason, "E" | "L" | "R" | "A" | "P") {
        return Ok(());
    }
    let (mut time, relative) = time_of(time)?;
    // A clock relative to a begin that is not known.
    if relative && record.begin.is_some_and(|b| b.time == 0) {
        time = 0;
    }
    let entry = Entry { milli_wh: milli_wh(value.context("RV: missing")?.get(), unit)?, time };
    let slot = if begins { &mut record.begin } else { &mut record.end };
    ensure!(slot.is_none_or(|told| told == entry), "two readings of one end of the session differ");
    *slot = Some(entry);
    Ok(())
}

/// OBIS A-B:1.8.E, with A = 1, whatever channel and tariff; a sixth part must say the present period.
fn is_billing(code: &str) -> bool {
    let short = |part: &str| (1..=2).contains(&part.len());
    let number = |part: &str, wanted: &str| part.strip_prefix('0').unwrap_or(part) == wanted;
    let Some((a, rest)) = code.split_once('-') else { return false };
    let Some((b, rest)) = rest.split_once(':') else { return false };
    let parts: Vec<&str> = rest.split(['.', '*']).collect();
    let [c, d, e, f @ ..] = parts.as_slice() else { return false };
    let present = match f {
        [] => true,
        [f] => matches!(*f, "FF" | "ff" | "255"),
        _ => false,
    };
    number(a, "1") && short(b) && number(c, "1") && number(d, "8") && short(e) && present
}

/// Unix seconds, 0 where the clock is not set, and whether it is relative to the begin's.
fn time_of(text: &str) -> Result<(u64, bool)> {
    let (stamp, state) = text.split_once(' ').with_context(|| format!("TM: found {text:?}"))?;
    let time = DateTime::parse_from_str(stamp, "%Y-%m-%dT%H:%M:%S,%3f%z");
    match state {
        "U" => Ok((0, false)),
        "S" | "I" | "R" => {
            let seconds = time.with_context(|| format!("TM: found {text:?}"))?.timestamp();
            let set = if seconds < CLOCKS_SET_SINCE { 0 } else { seconds };
            Ok((u64::try_from(set)?, state == "R"))
        }
        _ => bail!("TM: found {text:?}, expected a state of the clock: U, I, S or R"),
    }
}

/// A register in thousandths of Wh: a number, or a text of one.
fn milli_wh(value: &str, unit: &str) -> Result<u64> {
    let plain = value.trim_matches('"').trim_matches(' ');
    let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    ensure!(!whole.is_empty() && digits(whole) && digits(fraction), "RV: found {value}, expected a plain decimal");
    let (kept, lost) = fraction.split_at(fraction.len().min(DECIMALS));
    let millionths: u128 = format!("{whole}{kept:0<DECIMALS$}").parse().context("RV: too many digits")?;
    let divisor = match unit {
        "kWh" => 1,
        "Wh" => 1000,
        _ => bail!("RU: found {unit:?}, expected kWh or Wh"),
    };
    let exact = millionths.is_multiple_of(divisor) && lost.bytes().all(|b| b == b'0');
    ensure!(exact, "RV: found {value} {unit}, more precise than 1 mWh");
    u64::try_from(millionths / divisor).context("RV: beyond 64 bits")
}

#[cfg(test)]
#[path = "../../../optimizer/tests/instances/field.rs"]
mod field;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::ocmf::field::field;
    use alloy::primitives::{Bytes, keccak256};

    /// The vectors that the contract is tested with: both readers say the same.
    #[test]
    fn the_contracts_own_vectors_read_alike() -> Result<()> {
        let vectors: Vec<Value> = serde_json::from_str(include_str!("../../../contracts/test/ocmf/vectors.json"))?;
        assert!(!vectors.is_empty());
        for vector in vectors {
            let text = |name: &str| vector[name].as_str().unwrap_or_default().to_owned();
            let curve = if text("curve") == "secp256k1" { Curve::Secp256k1 } else { Curve::P256 };
            let (qx, qy) = (text("qx").parse()?, text("qy").parse()?);
            let serial = vector["serial"].as_str().filter(|s| !s.is_empty());
            let key = OcmfKey { curve, qx, qy, serialHash: serial.map(keccak256).unwrap_or_default() };
            let payload = Bytes::from(text("payload").into_bytes());
            let mut record = OcmfRecord { payload, r: text("r").parse()?, s: text("s").parse()? };
            let why = text("why");
            assert!(is_signed(&key, &record), "{why}");
            let told = read(&record.payload).with_context(|| why.clone())?;
            assert_eq!(
                (told.fiscal, Some(told.counter)),
                (vector["fiscal"] == true, vector["counter"].as_u64()),
                "{why}"
            );
            assert_eq!(told.serial.as_ref().map(keccak256).unwrap_or_default(), key.serialHash, "{why}");
            for (end, entry) in [("begin", told.begin), ("end", told.end)] {
                let expected =
                    (vector[format!("has{}{}", end[..1].to_uppercase(), &end[1..])] == true).then(|| Entry {
                        milli_wh: text(&format!("{end}MilliWh")).parse().unwrap(),
                        time: vector[format!("{end}Time")].as_u64().unwrap(),
                    });
                assert_eq!(entry, expected, "{why}: {end}");
            }
            let mut changed = record.payload.to_vec();
            changed[5] ^= 1;
            record.payload = changed.into();
            assert!(!is_signed(&key, &record), "{why}: a changed payload");
        }
        Ok(())
    }

    /// Records of real meters, where they are at hand: as the contract, this reader refuses three of them.
    #[test]
    fn records_of_real_meters_are_verified_and_read() -> Result<()> {
        let refused = [r#""PG":"T2","MV":"BAUER"#, r#""RV":1.606848e7"#, r#""RI":"1-b","#];
        for (name, curve) in [("p256.json", Curve::P256), ("secp256k1.json", Curve::Secp256k1)] {
            let Some(text) = field(&format!("ocmf/{name}")) else { return Ok(()) };
            let records: Vec<Value> = serde_json::from_slice(&text)?;
            assert!(!records.is_empty());
            for record in records {
                let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
                let (qx, qy) = (text("qx").parse()?, text("qy").parse()?);
                let key = OcmfKey { curve, qx, qy, serialHash: Default::default() };
                let payload = text("payload");
                let signed = OcmfRecord {
                    payload: Bytes::from(payload.clone().into_bytes()),
                    r: text("r").parse()?,
                    s: text("s").parse()?,
                };
                assert!(is_signed(&key, &signed), "{payload}");
                let readable = !refused.iter().any(|mark| payload.contains(mark));
                let told = read(payload.as_bytes());
                assert_eq!(told.is_ok(), readable, "{payload}: {told:?}");
            }
        }
        Ok(())
    }

    #[test]
    fn what_cannot_be_relied_upon_is_refused() {
        let record = |reading: &str| format!("{{\"PG\":\"T1\",\"MS\":\"M\",\"RD\":[{{{reading}}}]}}");
        let good =
            r#""TM":"2026-03-29T01:59:59,000+0100 S","TX":"B","RV":1.5,"RI":"1-b:1.8.0","RU":"Wh","EF":"","ST":"G""#;
        assert_eq!(read(record(good).as_bytes()).unwrap().begin, Some(Entry { milli_wh: 1500, time: 1_774_745_999 }));
        for (from, to, reason) in [
            ("\"ST\":\"G\"", "\"ST\":\"F\"", "ST"),
            ("\"EF\":\"\"", "\"EF\":\"E\"", "EF"),
            ("\"TX\":\"B\"", "\"TX\":\"X\"", "TX"),
            ("1.5", "1.5555", "more precise"),
            ("1.5", "-1", "plain decimal"),
            ("\"RU\":\"Wh\"", "\"RU\":\"Ah\"", "RU"),
            ("1-b:1.8.0", "1-b:2.8.0", "neither begin nor end"),
            ("+0100 S", "+0100 Q", "TM"),
        ] {
            let error = format!("{:#}", read(record(&good.replace(from, to)).as_bytes()).unwrap_err());
            assert!(error.contains(reason), "{to}: {error}");
        }
    }
}
