//! `provolt history`: settled sessions, as their receipts tell.

use super::{ChainArgs, clear_names, credits, name_of, rfc3339};
use crate::abi::ISettlement::SessionSettled;
use crate::chain::views::{Logged, SettledFilter};
use crate::keys::Keyring;
use crate::signing;
use alloy::primitives::{Address, B256};
use anyhow::{Context, Result};
use optimizer::units::{Micro, UnixTime, WattHours};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;

/// Arguments of `provolt history`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Only this driver: a name in the scenario, or an address
    #[arg(long, value_name = "NAME|0x…")]
    pub driver: Option<String>,
    /// Only this EVSE
    #[arg(long, value_name = "ID")]
    pub evse: Option<String>,
    /// Only this site
    #[arg(long, value_name = "ID")]
    pub site: Option<String>,
    /// Machine-readable
    #[arg(long)]
    pub json: bool,
    /// Which chain
    #[command(flatten)]
    pub chain: ChainArgs,
}

/// One settled session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Receipt id.
    pub receipt: B256,
    /// Session id.
    pub session: B256,
    /// Driver's account.
    pub driver: Address,
    /// Clear-text id, where the registry told it.
    pub site: String,
    /// Clear-text id, where the registry told it.
    pub evse: String,
    /// Time of the first reading.
    pub begin: String,
    /// Time of the last reading.
    pub end: String,
    /// Energy drawn.
    pub energy_wh: WattHours,
    /// Price per kWh, micro-credits.
    pub price_micro_per_kwh: u64,
    /// Amount paid.
    pub amount_micro: Micro,
    /// Part of the hold that went back.
    pub refund_micro: Micro,
    /// F.
    pub flexibility_activated_wh: u32,
    /// G.
    pub flexibility_displaced_wh_intervals: u64,
    /// V.
    pub flexibility_worth_micro: i64,
    /// Whether every plan behind it was certified.
    pub certified: bool,
    /// Block of the settlement.
    pub block: u64,
    /// Transaction of the settlement.
    pub transaction: B256,
}

/// Lists settled sessions in the order of their settlement.
pub async fn run(args: &Args, out: &mut impl Write) -> Result<()> {
    let (protocol, keyring) = args.chain.protocol().await?;
    let filter = SettledFilter {
        driver: args.driver.as_deref().map(|d| account(d, &keyring)).transpose()?,
        evse: args.evse.as_deref().map(signing::id),
        site: args.site.as_deref().map(signing::id),
    };
    let names = clear_names(&protocol).await?;
    let settled = protocol.sessions_settled(&filter).await?;
    let entries = settled.iter().map(|logged| entry(logged, &names)).collect::<Result<Vec<_>>>()?;
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &entries)?;
        writeln!(out)?;
        return Ok(());
    }
    for entry in &entries {
        writeln!(
            out,
            "{} – {}  {}  {} Wh × {} = {}  flexibility {} Wh, worth {}  driver {}  receipt {}",
            entry.begin,
            entry.end,
            entry.evse,
            entry.energy_wh,
            credits(Micro(i64::try_from(entry.price_micro_per_kwh)?)),
            credits(entry.amount_micro),
            entry.flexibility_activated_wh,
            credits(Micro(entry.flexibility_worth_micro)),
            entry.driver,
            entry.receipt,
        )?;
    }
    let paid: Micro = entries.iter().map(|e| e.amount_micro).sum();
    let energy: WattHours = entries.iter().map(|e| e.energy_wh).sum();
    writeln!(out, "{} sessions, {energy} Wh, {} paid", entries.len(), credits(paid))?;
    Ok(())
}

/// An address, or the account of a name.
fn account(text: &str, keyring: &Keyring) -> Result<Address> {
    if text.starts_with("0x") {
        return text.parse().with_context(|| format!("--driver: found {text:?}, expected a name or an address"));
    }
    Ok(keyring.person(text)?.address())
}

fn entry(logged: &Logged<SessionSettled>, names: &BTreeMap<B256, String>) -> Result<Entry> {
    let e = &logged.event;
    let time = |reading: &crate::abi::MeterReading| rfc3339(UnixTime(reading.time.to::<i64>()));
    Ok(Entry {
        receipt: e.receipt,
        session: e.session,
        driver: e.driver,
        site: name_of(names, e.site),
        evse: name_of(names, e.evse),
        begin: time(&e.start),
        end: time(&e.stop),
        energy_wh: WattHours(i64::try_from(e.stop.importWh - e.start.importWh)?),
        price_micro_per_kwh: e.price,
        amount_micro: Micro(i64::try_from(e.amount)?),
        refund_micro: Micro(i64::try_from(e.refund)?),
        flexibility_activated_wh: e.flexibility.activatedWh,
        flexibility_displaced_wh_intervals: e.flexibility.displacedWhIntervals,
        flexibility_worth_micro: e.flexibility.worth,
        certified: e.flexibility.certified,
        block: logged.block,
        transaction: logged.transaction,
    })
}
