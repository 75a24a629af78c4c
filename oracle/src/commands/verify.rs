//! `provolt verify`: an audit of everything, from nothing but a node's URL and the deployment file.

use super::{WatchArgs, credits, rfc3339};
use crate::audit::Auditor;
use crate::audit::facts::Range;
use crate::audit::report::{Report, SiteCount, Spread};
use crate::chain::{Protocol, verify};
use anyhow::Result;
use optimizer::units::{Micro, UnixTime};
use std::io::Write;
use std::process::ExitCode;

/// Checks everything that the contracts have told: signatures, limits, bills, bookings, tokens, balances
///
/// From the deployment to the newest block: the code, against this build; who registered, posted, opened and settled, against the rights of the moment; every
/// setpoint and group limit; every plan's certificate and what it took for given; the chained history; every driver's and meter's signature; every bill, recomputed; bookings,
/// rewards and every token that moved; and all balances rebuilt, against the contracts' own answers. docs/audit.md says what
/// a chain alone cannot prove.
///
/// Exit codes: 0 clean; 1 anything differs, or the chain could not be read; 2 the arguments are wrong.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Machine-readable
    #[arg(long)]
    pub json: bool,
    /// Which chain
    #[command(flatten)]
    pub chain: WatchArgs,
}

/// Audits, and says what differs.
pub async fn run(args: &Args, out: &mut impl Write) -> Result<ExitCode> {
    let protocol = args.chain.protocol().await?;
    let report = audit(&protocol, |_| {}).await?;
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        print(&report, out)?;
    }
    Ok(if report.clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The whole audit; `keep` gets what was read.
pub async fn audit(protocol: &Protocol, mut keep: impl FnMut(Range)) -> Result<Report> {
    let mut auditor = Auditor::new(protocol.setting());
    for contract in verify::verify(&protocol.chain, &protocol.deployment).await? {
        auditor.code(&contract.name, contract.address, contract.differs.as_deref());
    }
    let (block, time) = protocol.chain.confirmed_head().await?;
    protocol
        .walk(block, |range| {
            auditor.take(&range);
            keep(range);
        })
        .await?;
    let answers = protocol.answers(block, auditor.questions(block, time)).await?;
    Ok(auditor.finish(protocol.deployment.block, (block, time), &answers))
}

fn print(report: &Report, out: &mut impl Write) -> Result<()> {
    let at = rfc3339(UnixTime(i64::try_from(report.time)?));
    let Report { chain_id, first_block, block, events, .. } = report;
    writeln!(out, "chain {chain_id}, blocks {first_block} to {block}, {at}: {events} events")?;
    writeln!(out, "{:<20} {:>9} {:>9} {:>6}", "kind of fact", "checked", "findings", "notes")?;
    for kind in &report.kinds {
        writeln!(out, "{:<20} {:>9} {:>9} {:>6}", kind.kind.name(), kind.checked, kind.findings, kind.notes)?;
    }
    report.sites.iter().try_for_each(|site| print_site(site, out))?;
    let place = |transaction: Option<alloy::primitives::B256>, block| match transaction {
        Some(transaction) => format!("block {block}, transaction {transaction}"),
        None => format!("at block {block}"),
    };
    for note in &report.notes {
        writeln!(out, "note     {}: {} ({})", note.kind.name(), note.what, place(note.transaction, note.block))?;
    }
    for f in &report.findings {
        writeln!(out, "FINDING  {}: {}", f.kind.name(), f.what)?;
        writeln!(out, "         expected {}, found {}", f.expected, f.found)?;
        writeln!(out, "         {}", place(f.transaction, f.block))?;
    }
    let checked: u64 = report.kinds.iter().map(|k| k.checked).sum();
    let kinds = report.kinds.iter().filter(|k| k.checked > 0).count();
    writeln!(out, "{checked} facts of {kinds} kinds checked, {} findings", report.findings.len())?;
    Ok(())
}

fn print_site(s: &SiteCount, out: &mut impl Write) -> Result<()> {
    writeln!(
        out,
        "{}: {} plans ({} certified, {} uncertified, {} of them the CPO's own), {} readings ({} disputed), {} sessions, {} settled",
        s.site,
        s.plans,
        s.plans_certified,
        s.plans_uncertified,
        s.plans_own,
        s.readings,
        s.readings_disputed,
        s.sessions,
        s.settled
    )?;
    for (why, count) in &s.uncertified {
        writeln!(out, "  uncertified: {count} ({why})")?;
    }
    if let Some(Spread { median, largest }) = s.gap_micro {
        let [median, largest] = [median, largest].map(|gap| credits(Micro(gap)));
        writeln!(out, "  gap: median {median}, largest {largest}")?;
    }
    if let Some(Spread { median, largest }) = s.verification_gas {
        writeln!(out, "  gas of a posting: median {median}, largest {largest}")?;
    }
    for f in &s.forecasts {
        let when = if f.day_ahead { "a day ahead" } else { "just before" };
        writeln!(out, "  forecast of {} {when}: off by {} W in the mean of {}", f.of, f.mean_w, f.scored)?;
    }
    Ok(())
}
