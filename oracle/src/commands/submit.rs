//! `provolt submit`: a CPO's own setpoints, past the oracle. The whole file is checked first, then every interval is tried
//! without sending anything; only where all of them would be accepted is anything sent.
//!
//! The file has the columns `site,interval_start,asset,power_w`. Every asset of a site has one row in every interval that
//! the file names, base load and PV included: a setpoint nobody wrote down is a mistake, not a zero.

use super::{ChainArgs, rfc3339};
use crate::abi::IDispatch::IDispatchErrors;
use crate::abi::{CPO_REASON, RIGHT_PLAN};
use crate::chain::{Call, Outcome, Prepared, Protocol, RevertReason};
use crate::{files, signing};
use alloy::primitives::{Address, B256};
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::SolInterface;
use anyhow::{Context, Result, bail, ensure};
use chrono::DateTime;
use csv::StringRecord;
use optimizer::units::{INTERVAL_S, Interval, UnixTime, Watts};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const COLUMNS: [&str; 4] = ["site", "interval_start", "asset", "power_w"];
/// A day of a site with 1,024 assets.
const ROWS_MAX: usize = 96 * 1024;
/// A foreign chain may take a few blocks.
const OUTCOME_TIMEOUT: Duration = Duration::from_secs(180);
/// On a local chain that nobody mines for so long, nobody will.
const LOCAL_MINING_TIMEOUT: Duration = Duration::from_secs(5);

/// Arguments of `provolt submit`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// CSV file: site,interval_start,asset,power_w; every asset of the site in every interval
    pub file: PathBuf,
    /// Sign as this owner instead of the operator
    #[arg(long = "as", value_name = "OWNER")]
    pub sign_as: Option<String>,
    /// Which chain
    #[command(flatten)]
    pub chain: ChainArgs,
}

/// The setpoints of one interval of one site.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Batch {
    site: String,
    interval: Interval,
    /// By lane.
    power_w: Vec<Watts>,
}

/// Lanes of one site as registered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Lanes {
    /// Clear-text ids, and the least power that each can hold when it holds any, by lane.
    assets: Vec<(String, Watts)>,
}

/// Posts the file's setpoints. Fails without sending anything where any interval would be refused.
pub async fn run(args: &Args, out: &mut impl Write) -> Result<ExitCode> {
    let (protocol, keyring) = args.chain.protocol().await?;
    let (who, key) = match &args.sign_as {
        Some(name) => (name.as_str(), keyring.person(name)?),
        None => ("the operator", keyring.operator().clone()),
    };
    let sites = registered(&protocol).await?;
    let bytes = files::read(&args.file)?;
    let batches = parse(&args.file.display().to_string(), &bytes, &sites)?;
    for batch in &batches {
        for warning in too_low(batch, &sites[&batch.site]) {
            writeln!(std::io::stderr(), "warning: {}: {warning}", args.file.display())?;
        }
    }
    let mut calls = Vec::with_capacity(batches.len());
    for batch in &batches {
        calls.push(call(&protocol, key.address(), batch).await?);
    }
    let mut refused = 0;
    for (batch, call) in batches.iter().zip(&calls) {
        if let Err(reason) = protocol.dry_run(call, key.address()).await? {
            refused += 1;
            writeln!(out, "{}: refused: {}", title(batch), explain(&reason, batch, &sites, who))?;
        }
    }
    if refused > 0 {
        writeln!(out, "{refused} of {} intervals would be refused; nothing was sent", batches.len())?;
        return Ok(ExitCode::FAILURE);
    }
    let outcomes = send(&protocol, &key, &calls).await?;
    let mut failed = 0;
    for (batch, (prepared, outcome)) in batches.iter().zip(&outcomes) {
        match &outcome.result {
            Ok(_) => writeln!(out, "{}: posted by {} in block {}", title(batch), prepared.hash, outcome.block)?,
            Err(reason) => {
                failed += 1;
                let why = explain(reason, batch, &sites, who);
                writeln!(out, "{}: refused in block {}: {why} ({})", title(batch), outcome.block, prepared.hash)?;
            }
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn registered(protocol: &Protocol) -> Result<BTreeMap<String, Lanes>> {
    let mut by_id: BTreeMap<B256, (String, Lanes)> = BTreeMap::new();
    for site in protocol.sites_registered().await? {
        by_id.insert(site.event.site, (site.event.clearId, Lanes::default()));
    }
    // Events come in the order of lanes.
    for asset in protocol.assets_registered(None).await? {
        let (_, lanes) = by_id.get_mut(&asset.event.site).context("an asset of no site")?;
        lanes.assets.push((asset.event.clearId, Watts(asset.event.data.minW.into())));
    }
    Ok(by_id.into_values().collect())
}

async fn send(protocol: &Protocol, key: &PrivateKeySigner, calls: &[Call]) -> Result<Vec<(Prepared, Outcome)>> {
    let chain = &protocol.chain;
    let first = chain.next_nonce_of(key.address()).await?;
    let mut prepared = Vec::with_capacity(calls.len());
    for (nonce, call) in (first..).zip(calls) {
        prepared.push(protocol.prepare_as(key, call, nonce).await?);
    }
    for transaction in &prepared {
        chain.send(transaction).await.context("is there gas money on the account?")?;
    }
    let hashes: Vec<B256> = prepared.iter().map(|p| p.hash).collect();
    let mut outcomes = Err(anyhow::anyhow!("not asked"));
    if chain.clock_driven() {
        outcomes = chain.await_outcomes(&hashes, Instant::now() + LOCAL_MINING_TIMEOUT).await;
        if outcomes.is_err() {
            chain.mine_at(UnixTime(0)).await?;
        }
    }
    if outcomes.is_err() {
        outcomes = chain.await_outcomes(&hashes, Instant::now() + OUTCOME_TIMEOUT).await;
    }
    Ok(prepared.into_iter().zip(outcomes?).collect())
}

/// By `Plans`, which counts intervals without a certificate; past it by who may dispatch and not plan.
async fn call(protocol: &Protocol, who: Address, batch: &Batch) -> Result<Call> {
    let mut lanes = Vec::with_capacity(2 * batch.power_w.len());
    for power in &batch.power_w {
        lanes.extend(power.lane().context("not a lane")?.to_be_bytes());
    }
    let site = signing::id(&batch.site);
    let interval = batch.interval.0;
    if protocol.is_authorised(site, who, RIGHT_PLAN).await? {
        return Ok(Call::PostUncertified { site, interval, lanes, reason: CPO_REASON.to_owned() });
    }
    Ok(Call::PostSetpoints { site, interval, lanes, plan_hash: B256::ZERO })
}

/// What an EVSE cannot hold: more than nothing, and less than its least power. A car gets nothing there.
fn too_low(batch: &Batch, lanes: &Lanes) -> Vec<String> {
    let holds = |power: Watts, least: Watts| power <= Watts::ZERO || power >= least;
    let told = batch.power_w.iter().zip(&lanes.assets).filter(|(power, (_, least))| !holds(**power, *least));
    let text = |(power, (id, least)): (&Watts, &(String, Watts))| {
        format!("{}: {id} gets {power} W, and holds {least} W or nothing: is it in kW?", title(batch))
    };
    told.map(text).collect()
}

fn title(batch: &Batch) -> String {
    format!("{} {}", batch.site, rfc3339(batch.interval.start()))
}

/// One row: where it stands, and what it says.
struct Setpoint {
    site: String,
    interval: Interval,
    lane: usize,
    power: Watts,
}

fn parse(file: &str, bytes: &[u8], sites: &BTreeMap<String, Lanes>) -> Result<Vec<Batch>> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let header = reader.headers().with_context(|| format!("{file}:1"))?.clone();
    ensure!(
        header.iter().eq(COLUMNS),
        "{file}:1: found {:?}, expected {:?}",
        header.iter().collect::<Vec<_>>().join(","),
        COLUMNS.join(",")
    );
    let mut table: BTreeMap<(Interval, String), Vec<Option<Watts>>> = BTreeMap::new();
    for (n, row) in reader.records().enumerate() {
        let row = row.with_context(|| format!("{file}: row {}", n + 1))?;
        ensure!(n < ROWS_MAX, "{file}: more than {ROWS_MAX} rows");
        let line = row.position().map_or(n as u64 + 2, csv::Position::line);
        let Setpoint { site, interval, lane, power } =
            parse_row(&row, sites).with_context(|| format!("{file}:{line}"))?;
        let count = sites[&site].assets.len();
        let lanes = table.entry((interval, site)).or_insert_with(|| vec![None; count]);
        ensure!(lanes[lane].is_none(), "{file}:{line}: asset: the second row of this asset in this interval");
        lanes[lane] = Some(power);
    }
    ensure!(!table.is_empty(), "{file}: no setpoints");
    table
        .into_iter()
        .map(|((interval, site), lanes)| {
            let power_w: Option<Vec<Watts>> = lanes.iter().copied().collect();
            let Some(power_w) = power_w else {
                let missing = lanes.iter().zip(&sites[&site].assets).find(|(w, _)| w.is_none());
                let asset = missing.map(|(_, (id, _))| id.as_str()).unwrap_or_default();
                let start = rfc3339(interval.start());
                bail!("{file}: {site} {start}: no row for asset {asset}; every asset needs one");
            };
            Ok(Batch { site, interval, power_w })
        })
        .collect()
}

fn parse_row(row: &StringRecord, sites: &BTreeMap<String, Lanes>) -> Result<Setpoint> {
    let [site, start, asset, power] = [0, 1, 2, 3].map(|i| row.get(i).unwrap_or_default());
    let wrong = |i: usize, expected: &str| format!("{}: found {:?}, expected {expected}", COLUMNS[i], &row[i]);
    let lanes = sites.get(site).with_context(|| wrong(0, "a registered site"))?;
    let time = DateTime::parse_from_rfc3339(start)
        .with_context(|| wrong(1, "a time like 2026-06-16T07:15:00+02:00"))?
        .timestamp();
    ensure!(time >= 0 && time % INTERVAL_S == 0, wrong(1, "the beginning of a quarter hour"));
    let lane = lanes.assets.iter().position(|(id, _)| id == asset);
    let lane = lane.with_context(|| wrong(2, &format!("an asset of {site}")))?;
    let watts = power.parse().map(Watts).ok().filter(|w: &Watts| w.lane().is_some());
    let power = watts.with_context(|| wrong(3, "a multiple of 10 W between -327680 and 327670"))?;
    Ok(Setpoint { site: site.to_owned(), interval: Interval::containing(UnixTime(time)), lane, power })
}

/// A refusal in plain words.
fn explain(reason: &RevertReason, batch: &Batch, sites: &BTreeMap<String, Lanes>, who: &str) -> String {
    let asset = |lane: u16| {
        let assets = sites.get(&batch.site).map(|l| l.assets.as_slice()).unwrap_or_default();
        assets.get(usize::from(lane)).map_or_else(|| format!("lane {lane}"), |(id, _)| id.clone())
    };
    let clock = |time: alloy::primitives::U256| rfc3339(UnixTime(i64::try_from(time).unwrap_or(i64::MAX)));
    use IDispatchErrors as E;
    match IDispatchErrors::abi_decode(&reason.data) {
        Ok(E::TooLate(e)) => format!("too late: the interval has begun, the chain's clock says {}", clock(e.time)),
        Ok(E::TooEarly(e)) => {
            format!("too early: more than a day ahead of the chain's clock, which says {}", clock(e.time))
        }
        Ok(E::AlreadyDispatched(_)) => "the interval has setpoints already; the first to post wins".into(),
        Ok(E::NotAuthorised(e)) => format!("{who} ({}) has no right to post setpoints at this site", e.caller),
        Ok(E::ImportLimitExceeded(e)) => {
            format!("group {} would draw {} W, its import limit is {} W", e.group, e.powerW, e.limitW)
        }
        Ok(E::ExportLimitExceeded(e)) => {
            format!("group {} would feed {} W, its export limit is {} W", e.group, -e.powerW, e.limitW)
        }
        Ok(E::RatingExceeded(e)) => {
            format!("{} cannot hold {} W, it is rated for {} W", asset(e.lane), e.powerW, e.ratedW)
        }
        Ok(E::WrongSign(e)) => {
            let steps = i64::try_from(e.value).unwrap_or_default();
            let verb = if steps > 0 { "draw" } else { "feed" };
            format!("{} cannot {verb} {} W", asset(e.lane), Watts(steps.abs() * 10))
        }
        _ => reason.text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites() -> BTreeMap<String, Lanes> {
        let assets = vec![("A".to_owned(), Watts(0)), ("B".to_owned(), Watts(4140))];
        BTreeMap::from([("S".to_owned(), Lanes { assets })])
    }

    fn error(rows: &str) -> String {
        format!("{:#}", parse("x.csv", rows.as_bytes(), &sites()).unwrap_err())
    }

    #[test]
    fn rows_become_batches_in_the_order_of_time() {
        let rows = "site,interval_start,asset,power_w\n\
                    S,1970-01-01T01:15:00+01:00,B,20\nS,1970-01-01T00:15:00Z,A,10\n\
                    S,1970-01-01T00:00:00Z,A,0\nS,1970-01-01T00:00:00Z,B,-30\n";
        let batches = parse("x.csv", rows.as_bytes(), &sites()).unwrap();
        assert_eq!(batches[0], Batch { site: "S".into(), interval: Interval(0), power_w: vec![Watts(0), Watts(-30)] });
        assert_eq!(batches[1].power_w, [Watts(10), Watts(20)]);
        // A base load may draw 10 W, an EVSE holds no 20.
        let warnings = too_low(&batches[1], &sites()["S"]);
        assert_eq!(warnings, ["S 1970-01-01T00:15:00Z: B gets 20 W, and holds 4140 W or nothing: is it in kW?"]);
        assert!(too_low(&batches[0], &sites()["S"]).is_empty());
    }

    #[test]
    fn faults_have_a_place() {
        let header = "site,interval_start,asset,power_w\n";
        assert!(error("site,asset\n").starts_with("x.csv:1: found"));
        for (row, expected) in [
            ("T,1970-01-01T00:00:00Z,A,0", "x.csv:2: site: found \"T\", expected a registered site"),
            ("S,yesterday,A,0", "x.csv:2: interval_start: found \"yesterday\""),
            ("S,1970-01-01T00:01:00Z,A,0", "x.csv:2: interval_start: found \"1970-01-01T00:01:00Z\""),
            ("S,1970-01-01T00:00:00Z,C,0", "x.csv:2: asset: found \"C\", expected an asset of S"),
            ("S,1970-01-01T00:00:00Z,A,15", "x.csv:2: power_w: found \"15\""),
            ("S,1970-01-01T00:00:00Z,A,0", "x.csv: S 1970-01-01T00:00:00Z: no row for asset B"),
            ("S,1970-01-01T00:00:00Z,A", "x.csv: row 1"),
        ] {
            let found = error(&format!("{header}{row}\n"));
            assert!(found.starts_with(expected), "{found}");
        }
        let twice = "S,1970-01-01T00:00:00Z,A,0\n";
        assert!(error(&format!("{header}{twice}{twice}")).contains("x.csv:3: asset: the second row"));
        assert_eq!(error(header), "x.csv: no setpoints");
    }
}
