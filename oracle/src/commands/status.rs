//! `provolt status`: where the chain stands.

use super::{ChainArgs, credits, rfc3339};
use crate::abi::{AssetKind, IPlans, PlanMode};
use crate::chain::events::Which;
use crate::chain::scores::MeanScore;
use crate::chain::{Logged, Protocol};
use alloy::primitives::{Address, B256, I256};
use anyhow::{Context, Result};
use optimizer::certificate::micro_up;
use optimizer::units::{HORIZON, Interval, Micro};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

/// Plans that the text shows of a site; --json has a day of them.
const PLANS_SHOWN: usize = 4;

/// Arguments of `provolt status`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Machine-readable
    #[arg(long)]
    pub json: bool,
    /// Which chain
    #[command(flatten)]
    pub chain: ChainArgs,
}

/// Everything `provolt status` tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Chain id.
    pub chain_id: u64,
    /// Newest block.
    pub block: u64,
    /// Its time.
    pub time: String,
    /// Sites, in the order of their registration.
    pub sites: Vec<SiteStatus>,
    /// Sessions that run.
    pub sessions_open: usize,
    /// Sessions billed.
    pub sessions_settled: usize,
    /// Sessions whose hold went back.
    pub sessions_reclaimed: usize,
    /// Wallets of drivers and owners, by account.
    pub wallets: Vec<Wallet>,
    /// Credit tokens in existence.
    pub credit_supply_micro: Micro,
    /// Sum of all wallets, holds, bookings' money and bills not paid out.
    pub accounted_micro: Micro,
    /// Flexibility tokens in existence.
    pub flexibility_supply_micro: Micro,
}

/// One site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SiteStatus {
    /// Clear-text id.
    pub site: String,
    /// Owner's account.
    pub owner: Address,
    /// What its bills came to and can be paid out now.
    pub claimable_micro: Micro,
    /// What they came to and can still be disputed.
    pub pending_micro: Micro,
    /// Groups registered.
    pub groups: u16,
    /// Assets registered.
    pub assets: u16,
    /// EVSEs among them.
    pub evses: usize,
    /// Start of the latest interval that has setpoints.
    pub dispatched_last: Option<String>,
    /// Who posted them.
    pub dispatched_by: Option<Address>,
    /// Intervals that have setpoints.
    pub dispatched: usize,
    /// Start of the latest interval that has readings.
    pub metered_last: Option<String>,
    /// Intervals that have readings.
    pub metered: usize,
    /// How good the forecasts were of the newest intervals that the chain has scored.
    pub score: Option<ScoreStatus>,
    /// Intervals that were dispatched through `Plans` without a certificate.
    pub uncertified: u64,
    /// Plans that the chain holds a certificate of, by interval; of these the newest day's.
    pub plans: Vec<PlanStatus>,
}

/// What the chain has verified of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanStatus {
    /// Start of its interval.
    pub interval: String,
    /// Proved: verified when it was posted. Optimistic: believed until somebody challenges it. Improved: verified, and open to
    /// a cheaper one.
    pub mode: &'static str,
    /// Whether its interval counts as certified now: a claimed plan does a day after it began, and none that was refuted.
    pub certified: bool,
    /// What it costs over its horizon.
    pub cost_micro: Micro,
    /// No schedule of the same inputs costs less than this.
    pub bound_micro: Micro,
    /// Their difference, rounded up.
    pub gap_micro: Micro,
    /// Of the cost, in basis points, rounded up; `None` where that is not above zero.
    pub gap_bps: Option<i64>,
    /// Of the transaction that posted and verified it.
    pub gas: u64,
    /// Which algorithm: whose code, and its hash.
    pub verifier: Address,
    /// Its code hash.
    pub algorithm: B256,
}

/// Forecasts against readings, by the chain itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScoreStatus {
    /// Start of the first interval scored.
    pub first: String,
    /// Start of the last one.
    pub last: String,
    /// Means.
    #[serde(flatten)]
    pub mean: MeanScore,
}

/// One account's money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wallet {
    /// The account.
    pub account: Address,
    /// Unheld money.
    pub balance_micro: Micro,
    /// Held for sessions that run.
    pub held_micro: Micro,
}

/// Tells where the chain stands.
pub async fn run(args: &Args, out: &mut impl Write) -> Result<()> {
    let (protocol, _) = args.chain.protocol().await?;
    let status = gather(&protocol).await?;
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &status)?;
        writeln!(out)?;
        return Ok(());
    }
    print(&status, out)
}

/// Asks the chain.
pub async fn gather(protocol: &Protocol) -> Result<Status> {
    let head = protocol.chain.head().await?;
    let from = protocol.deployment.block;
    let posted = protocol.setpoints_posted(from, None).await?;
    let metered = protocol.readings_posted(from, None).await?;
    let planned = protocol.plans_posted(from, None).await?;
    let assets = protocol.assets_registered(None).await?;
    let mut accounts = BTreeSet::new();
    let mut sites = Vec::new();
    for site in protocol.sites_registered().await? {
        let id = site.event.site;
        accounts.insert(site.event.owner);
        let Some(known) = protocol.site(id).await? else { continue };
        let dispatched = || posted.iter().filter(|p| p.event.site == id);
        let last = dispatched().max_by_key(|p| p.event.interval);
        let read = || metered.iter().filter(|p| p.event.site == id).map(|p| p.event.interval);
        let money = protocol.claimable(id).await?;
        sites.push(SiteStatus {
            site: site.event.clearId,
            owner: known.owner,
            claimable_micro: money.claimable,
            pending_micro: money.pending,
            groups: known.groupCount,
            assets: known.assetCount,
            evses: assets.iter().filter(|a| a.event.site == id && a.event.data.kind == AssetKind::Evse).count(),
            dispatched_last: last.map(|p| rfc3339(Interval(p.event.interval).start())),
            dispatched_by: last.map(|p| p.event.poster),
            dispatched: dispatched().count(),
            metered_last: read().max().map(|i| rfc3339(Interval(i).start())),
            metered: read().count(),
            score: newest_score(protocol, id).await?,
            uncertified: protocol.uncertified(id).await?,
            plans: plans(protocol, id, &planned).await?,
        });
    }
    let all = Which::default();
    let settled = protocol.sessions_settled(&all).await?;
    let reclaimed = protocol.sessions_reclaimed(&all).await?;
    let mut held: BTreeMap<_, (Address, Micro)> = BTreeMap::new();
    for opened in protocol.sessions_opened(&all).await? {
        held.insert(opened.event.terms.session, (opened.event.driver, Micro(i64::try_from(opened.event.terms.held)?)));
    }
    for session in settled.iter().map(|s| s.event.session).chain(reclaimed.iter().map(|s| s.event.session)) {
        held.remove(&session);
    }
    accounts.extend(protocol.drivers_registered().await?.into_iter().map(|d| d.event.driver));
    let mut wallets = Vec::new();
    for account in accounts {
        let balance_micro = protocol.wallet(account).await?;
        let held_micro = held.values().filter(|(driver, _)| *driver == account).map(|(_, amount)| *amount).sum();
        wallets.push(Wallet { account, balance_micro, held_micro });
    }
    Ok(Status {
        chain_id: protocol.chain.id(),
        block: head.number,
        time: rfc3339(head.time),
        sites,
        sessions_open: held.len(),
        sessions_settled: settled.len(),
        sessions_reclaimed: reclaimed.len(),
        wallets,
        credit_supply_micro: protocol.credit_supply().await?,
        accounted_micro: protocol.accounted().await?,
        flexibility_supply_micro: protocol.flexibility_supply().await?,
    })
}

async fn newest_score(protocol: &Protocol, site: B256) -> Result<Option<ScoreStatus>> {
    let scores = protocol.forecasts_scored(site).await?.into_iter().map(|scored| scored.event.score);
    let start = |interval| rfc3339(Interval(interval).start());
    Ok(scores.max_by_key(|score| score.last).and_then(|score| {
        Some(ScoreStatus { first: start(score.first), last: start(score.last), mean: MeanScore::of([&score])? })
    }))
}

async fn plans(protocol: &Protocol, site: B256, posted: &[Logged<IPlans::PlanPosted>]) -> Result<Vec<PlanStatus>> {
    let mut newest: Vec<_> = posted.iter().filter(|p| p.event.site == site).collect();
    newest.sort_by_key(|p| p.event.interval);
    let mut plans = Vec::new();
    for posted in newest.split_off(newest.len().saturating_sub(HORIZON)) {
        let plan = &posted.event.plan;
        let gap = whole_micro(plan.cost - plan.bound)?;
        let cost = whole_micro(plan.cost)?;
        plans.push(PlanStatus {
            interval: rfc3339(Interval(plan.interval).start()),
            mode: match plan.rules.mode {
                PlanMode::Proved => "proved",
                PlanMode::Optimistic => "optimistic",
                _ => "improved",
            },
            certified: protocol.is_certified(site, plan.interval).await?,
            cost_micro: cost,
            bound_micro: cost - gap,
            gap_micro: gap,
            gap_bps: (cost > Micro::ZERO).then(|| -(-gap.0 * 10_000).div_euclid(cost.0)),
            gas: protocol.chain.gas_used(posted.transaction).await?,
            verifier: plan.rules.verifier,
            algorithm: plan.algorithm,
        });
    }
    Ok(plans)
}

/// 40,000 to a micro, rounded up.
fn whole_micro(amount: I256) -> Result<Micro> {
    let amount = i128::try_from(amount).context("an amount beyond 128 bits")?;
    Ok(Micro(i64::try_from(micro_up(amount)).context("an amount beyond 64 bits")?))
}

fn print(status: &Status, out: &mut impl Write) -> Result<()> {
    writeln!(out, "chain {}, block {}, {}", status.chain_id, status.block, status.time)?;
    for s in &status.sites {
        writeln!(out, "{}: {} groups, {} assets, {} EVSEs, owner {}", s.site, s.groups, s.assets, s.evses, s.owner)?;
        let (claimable, pending) = (credits(s.claimable_micro), credits(s.pending_micro));
        writeln!(out, "  bills: {claimable} to be claimed, {pending} that can still be disputed")?;
        let never = || "never".to_owned();
        let by = s.dispatched_by.map(|a| format!(" by {a}")).unwrap_or_default();
        let last = s.dispatched_last.clone().unwrap_or_else(never);
        writeln!(out, "  setpoints: {} intervals, last {last}{by}", s.dispatched)?;
        writeln!(out, "  readings: {} intervals, last {}", s.metered, s.metered_last.clone().unwrap_or_else(never))?;
        if let Some(ScoreStatus { first, last, mean }) = &s.score {
            writeln!(out, "  forecasts of {first} to {last}: {mean}")?;
        }
        let largest = s.plans.iter().map(|plan| plan.gap_micro).max();
        let gap = largest.map(|gap| format!(", largest gap {}", credits(gap)));
        let with = s.dispatched as u64 - s.uncertified.min(s.dispatched as u64);
        let certified = s.plans.iter().filter(|plan| plan.certified).count();
        writeln!(
            out,
            "  plans: {with} with a certificate, {} without; {certified} of the last {} certified{}",
            s.uncertified,
            s.plans.len(),
            gap.unwrap_or_default()
        )?;
        for plan in s.plans.iter().rev().take(PLANS_SHOWN).rev() {
            let (cost, bound, gap) = (credits(plan.cost_micro), credits(plan.bound_micro), credits(plan.gap_micro));
            let share = plan.gap_bps.map(|bps| format!(" ({}.{:02} %)", bps / 100, bps % 100)).unwrap_or_default();
            let (at, gas) = (&plan.interval, plan.gas);
            let mode = if plan.certified { plan.mode.to_owned() } else { format!("{}, not certified", plan.mode) };
            writeln!(out, "    {at} {mode}: cost {cost}, bound {bound}, gap {gap}{share}, {gas} gas")?;
        }
        if let Some(plan) = s.plans.last() {
            writeln!(out, "  algorithm: verifier {}, code {}", plan.verifier, plan.algorithm)?;
        }
    }
    let Status { sessions_open, sessions_settled, sessions_reclaimed, .. } = status;
    writeln!(out, "sessions: {sessions_open} open, {sessions_settled} settled, {sessions_reclaimed} reclaimed")?;
    for wallet in &status.wallets {
        let (balance, held) = (credits(wallet.balance_micro), credits(wallet.held_micro));
        writeln!(out, "  {}: {balance} in the wallet, {held} held", wallet.account)?;
    }
    let (supply, accounted) = (credits(status.credit_supply_micro), credits(status.accounted_micro));
    writeln!(out, "credit: {supply} exist, {accounted} in wallets, holds, bills, pools and stakes")?;
    writeln!(out, "flexibility: {} exist", credits(status.flexibility_supply_micro))?;
    Ok(())
}
