//! `provolt explain`: one session told to its driver, from chain data alone.

use super::session::SessionName;
use super::{WatchArgs, credits, rfc3339, verify};
use crate::audit::explain::{Quarter, Story, explain};
use anyhow::{Context, Result};
use optimizer::units::{Micro, UnixTime};
use std::collections::BTreeSet;
use std::io::Write;

/// Tells one session from the chain: what was asked, planned, metered and paid, and why
///
/// Interval by interval: setpoint, metered energy, the tariff's, the grid's and the node's price, and why; what each plan's
/// certificate proves, with the session's row as a Merkle proof (in full with `--json`); the meter and who vouches for it, the bill line by line, what came back, the receipt, flexibility and disputes.
///
/// Exit codes: 0 told; 1 the chain knows no such session, or could not be read; 2 the arguments are wrong.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The id of the session or of its receipt, as `provolt history` lists them, or its first digits
    #[arg(value_name = "SESSION")]
    pub session: SessionName,
    /// Machine-readable
    #[arg(long)]
    pub json: bool,
    /// Which chain
    #[command(flatten)]
    pub chain: WatchArgs,
}

/// Reads the chain, audits it, and tells the session.
pub async fn run(args: &Args, out: &mut impl Write) -> Result<()> {
    let protocol = args.chain.protocol().await?;
    let session = args.session.find(&protocol).await?;
    let mut ranges = Vec::new();
    let report = verify::audit(&protocol, |range| ranges.push(range)).await?;
    let story = explain(&protocol.setting(), &ranges, &report, session);
    let story = story.with_context(|| {
        format!("session {session}: none of this id on chain {} up to block {}", report.chain_id, report.block)
    })?;
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &story)?;
        writeln!(out)?;
        return Ok(());
    }
    print(&story, out)
}

fn print(s: &Story, out: &mut impl Write) -> Result<()> {
    writeln!(out, "session {} at {} ({}), {}", s.session, s.evse, s.site, s.state)?;
    writeln!(out, "driver {}, opened {} by {}", s.driver, time(s.opened), s.opened_by)?;
    match &s.asked {
        Some(a) => {
            let (energy, ceiling) = (kwh(u64::from(a.energy_wh) * 1000), money(a.price_ceiling_micro_per_kwh.into()));
            let total = money(a.total_ceiling_micro);
            writeln!(
                out,
                "asked: {energy} kWh until {}, at most {ceiling} a kWh and {total} in all",
                time(a.departure)
            )?;
        }
        None => writeln!(out, "asked: the request came through a contract that cannot be read")?,
    }
    for c in &s.changes {
        let energy = kwh(u64::from(c.energy_wh) * 1000);
        let why = if c.last_reading > 0 { ", kept open by a reading" } else { "" };
        writeln!(out, "changed {}: {energy} kWh until {}{why} ({})", time(c.time), time(c.departure), c.transaction)?;
    }
    let by: Vec<String> = s.meter.attested_by.iter().map(ToString::to_string).collect();
    let by = if by.is_empty() { "nobody vouches for it".to_owned() } else { format!("by {}", by.join(", ")) };
    writeln!(out, "meter {} ({}), {}: {by}", s.meter.id, s.meter.scheme.unwrap_or("not billed yet"), s.meter.tier)?;
    writeln!(
        out,
        "{:<20} {:>9} {:>10} {:>10} {:>10} {:>10}  why",
        "interval", "setpoint", "metered", "tariff", "grid", "node"
    )?;
    s.quarters.iter().try_for_each(|q| print_quarter(q, out))?;
    print_plans(&s.quarters, out)?;
    match &s.registers {
        Some(r) => {
            let (start, stop) = (kwh(r.start_milli_wh), kwh(r.stop_milli_wh));
            let drawn = kwh(r.stop_milli_wh.saturating_sub(r.start_milli_wh));
            let when = |t: u64| if t == 0 { "clock not set".to_owned() } else { time(t) };
            writeln!(
                out,
                "meter: {start} kWh ({}) to {stop} kWh ({}): {drawn} kWh",
                when(r.start_time),
                when(r.stop_time)
            )?;
        }
        None => writeln!(out, "meter: not billed")?,
    }
    if let Some(paid) = &s.paid {
        for line in &paid.lines {
            let sign = if line.amount_micro < 0 { "-" } else { "" };
            writeln!(out, "  {:<48} {:>14}", line.what, format!("{sign}{}", money(line.amount_micro.unsigned_abs())))?;
        }
        writeln!(out, "  {:<48} {:>14}", "paid", money(paid.amount_micro))?;
        let (held, refund) = (money(paid.held_micro), money(paid.refund_micro));
        writeln!(out, "held {held}, came back {refund}; receipt {} ({})", paid.receipt, paid.transaction)?;
        let (operator, protocol) = (money(paid.operator_fee_micro), money(paid.protocol_fee_micro));
        writeln!(
            out,
            "of what was paid, operator's fee {operator}, protocol's fee {protocol}, the rest is the site owner's"
        )?;
    }
    let f = &s.flexibility;
    if let (Some(moved), Some(worth)) = (f.activated_wh, f.worth_micro) {
        let recomputed = f.recomputed_micro.map_or_else(|| "-".to_owned(), |worth| credits(Micro(worth)));
        let worth = credits(Micro(worth));
        writeln!(out, "flexibility: {moved} Wh moved, worth {worth}; by node prices and readings {recomputed}")?;
    }
    writeln!(out, "flexibility: {} tokens claimed, {} minted; {}", money(f.claimed), money(f.minted), f.why)?;
    for d in &s.disputes {
        writeln!(out, "disputed {}: {} ({})", time(d.time), d.what, d.transaction)?;
    }
    if s.disputes.is_empty() && !s.quarters.iter().any(|q| q.disputed) {
        writeln!(out, "disputes: none")?;
    }
    if s.findings.is_empty() {
        writeln!(
            out,
            "audit: nothing wrong in the transactions of this session; `provolt verify` checks the whole chain"
        )?;
    }
    for f in &s.findings {
        writeln!(out, "FINDING  {}: {}: expected {}, found {}", f.kind.name(), f.what, f.expected, f.found)?;
    }
    Ok(())
}

fn print_quarter(q: &Quarter, out: &mut impl Write) -> Result<()> {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let power = or_none(q.setpoint_w.map(|w| format!("{w} W")));
    let energy = or_none(q.metered_wh.map(|wh| format!("{wh} Wh")));
    let [grid, node] = [q.import_price, q.node_price].map(|price| or_none(price.map(|p| credits(Micro(p)))));
    let disputed = if q.disputed { " DISPUTED" } else { "" };
    let tariff = money(q.price_micro_per_kwh.into());
    let start = time(q.start);
    writeln!(out, "{start:<20} {power:>9} {energy:>10} {tariff:>10} {grid:>10} {node:>10}  {}{disputed}", q.why)?;
    Ok(())
}

/// What is proven of each plan, and by whom.
fn print_plans(quarters: &[Quarter], out: &mut impl Write) -> Result<()> {
    let verifiers: BTreeSet<_> = quarters.iter().filter_map(|q| q.verifier.zip(q.algorithm)).collect();
    for (verifier, algorithm) in verifiers {
        writeln!(out, "plans verified by {verifier}, code hash {algorithm}")?;
    }
    for q in quarters {
        let start = time(q.start);
        let Some(gap_micro) = q.gap_micro else {
            writeln!(out, "  {start} {}: {}", q.certificate, q.uncertified.as_deref().unwrap_or("no plan"))?;
            continue;
        };
        let share = q.gap_ppm.map(|ppm| format!(" ({}.{:04} %)", ppm / 10_000, ppm % 10_000)).unwrap_or_default();
        let row = match &q.proof {
            Some(p) if p.checked => format!("its row is leaf {} of plan root {}, checked", p.index, p.root),
            Some(p) => format!("its row leads to another root than the plan's {}", p.root),
            None => "no row of it".to_owned(),
        };
        let gap = credits(Micro(gap_micro));
        writeln!(out, "  {start} {}: at most {gap}{share} above the optimum; {row}", q.certificate)?;
    }
    writeln!(out, "prices are the plans'; docs/audit.md says what is checked of what a plan takes for given")?;
    Ok(())
}

fn time(seconds: u64) -> String {
    rfc3339(UnixTime(i64::try_from(seconds).unwrap_or(i64::MAX)))
}

fn money(amount: u128) -> String {
    credits(Micro(i64::try_from(amount).unwrap_or(i64::MAX)))
}

/// Thousandths of Wh as kWh.
fn kwh(milli_wh: u64) -> String {
    format!("{}.{:03}", milli_wh / 1_000_000, milli_wh % 1_000_000 / 1000)
}
