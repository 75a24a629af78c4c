//! `provolt explain`: one session told to its driver, from chain data alone.

use super::{WatchArgs, credits, rfc3339, verify};
use crate::audit::explain::{Quarter, Story, explain};
use alloy::primitives::B256;
use anyhow::{Context, Result};
use optimizer::units::{Micro, UnixTime};
use std::io::Write;

/// Tells one session from the chain: what was asked, planned, metered and paid, and why
///
/// Interval by interval: setpoint, metered energy, price, and the room that the tightest group had; then the meter and who
/// vouches for it, the bill line by line, what came back, the receipt, flexibility and disputes.
///
/// Exit codes: 0 told; 1 the chain knows no such session, or could not be read; 2 the arguments are wrong.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Session id, as `provolt history --json` lists it: 32 bytes in hex
    #[arg(value_name = "SESSION", value_parser = session)]
    pub session: B256,
    /// Machine-readable
    #[arg(long)]
    pub json: bool,
    /// Which chain
    #[command(flatten)]
    pub chain: WatchArgs,
}

fn session(text: &str) -> Result<B256, String> {
    text.parse().map_err(|_| "expected a session id of 32 bytes in hex".to_owned())
}

/// Reads the chain, audits it, and tells the session.
pub async fn run(args: &Args, out: &mut impl Write) -> Result<()> {
    let protocol = args.chain.protocol().await?;
    let mut ranges = Vec::new();
    let report = verify::audit(&protocol, |range| ranges.push(range)).await?;
    let story = explain(&protocol.setting(), &ranges, &report, args.session);
    let story = story.with_context(|| {
        format!("session {}: none of this id on chain {} up to block {}", args.session, report.chain_id, report.block)
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
    writeln!(out, "{:<20} {:>9} {:>10} {:>9}  why", "interval", "setpoint", "metered", "price")?;
    for q in &s.quarters {
        print_quarter(q, out)?;
    }
    writeln!(
        out,
        "grid prices are not on the chain; node prices would be in a certificate, and no plan has one: why a plan chose an \
         interval is its own claim"
    )?;
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
    let power = q.setpoint_w.map_or_else(|| "-".to_owned(), |w| format!("{w} W"));
    let energy = q.metered_wh.map_or_else(|| "-".to_owned(), |wh| format!("{wh} Wh"));
    let disputed = if q.disputed { " DISPUTED" } else { "" };
    let price = money(q.price_micro_per_kwh.into());
    writeln!(out, "{:<20} {power:>9} {energy:>10} {price:>9}  {}{disputed}", time(q.start), q.why)?;
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
