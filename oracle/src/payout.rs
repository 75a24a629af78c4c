//! What is due once nobody can dispute it any more: bonds of plans to their poster, a site's bills to its owner, operator and
//! protocol, and tokens to the drivers whose flexibility was claimed; and, of days that are over, how good their forecasts
//! were. Anyone may ask for it but for claims, which are the operator's. Its transactions go through the outbox of a state
//! folder, like all of a run's: asked again after a kill, it is the same ones that are sent.

use crate::abi::IDispatch::ForecastsScored;
use crate::abi::ISettlement::{Claimed, FlexibilityRewarded};
use crate::abi::{self, Bill, ForecastScore, Plan, PlanMode, Terms};
use crate::audit::Auditor;
use crate::chain::events::Which;
use crate::chain::scores::Evidence;
use crate::chain::{Call, Chain, Outcome, Prepared, Protocol};
use crate::store::Store;
use alloy::primitives::B256;
use anyhow::{Context, Result};
use optimizer::flexibility::Flexibility;
use optimizer::units::{INTERVAL_S, Micro, UnixTime};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A bill can be disputed for so long: Settlement's DISPUTE_WINDOW.
const DISPUTE_WINDOW_S: i64 = 2 * 86_400;
/// Flexibility can be claimed for so long after the bill: Settlement's CLAIM_WINDOW.
const CLAIM_WINDOW_S: i64 = 36 * 3600;
/// A foreign chain may take a few blocks.
const OUTCOME_TIMEOUT: Duration = Duration::from_secs(180);

/// What was paid out for a site.
#[derive(Debug, Clone, Default)]
pub struct PaidOut {
    /// Plans that nobody refuted in time: their bonds are back, and claimed ones are certified.
    pub released: usize,
    /// Sessions whose flexibility could be claimed only then.
    pub late: usize,
    /// Its bills; `None` where none was final.
    pub claimed: Option<Claimed>,
    /// Sessions whose drivers got tokens.
    pub rewards: usize,
    /// How many tokens; less than was claimed where the pool cannot redeem more.
    pub minted: Micro,
    /// How good the forecasts of its days were.
    pub scored: Scored,
}

/// Forecasts that the chain has compared with readings.
#[derive(Debug, Clone, Default)]
pub struct Scored {
    /// By stretch of intervals.
    pub scores: Vec<ForecastScore>,
    /// Intervals that nobody has scored in time: the chain has forgotten whether their readings stand.
    pub lost: usize,
}

/// Releases the plans of a site that nobody has refuted in time, and claims the flexibility of sessions that had to wait for
/// that. To be done more than twice a day: a plan is open to challenge for a day, and a claim to be made for half a day more.
async fn catch_up(protocol: &Protocol, store: &Store, site: B256) -> Result<PaidOut> {
    let accepted = |outcomes: Vec<Outcome>| outcomes.iter().filter(|outcome| outcome.result.is_ok()).count();
    // Somebody else may have been faster; what is released is released.
    let released = accepted(send(protocol, store, &releases(protocol, site).await?).await?);
    let late = accepted(send(protocol, store, &late_claims(protocol, site).await?).await?);
    Ok(PaidOut { released, late, ..PaidOut::default() })
}

/// A call, and its key in the outbox.
pub type Due = (String, Call);

/// Plans of a site that nobody has refuted in time.
pub async fn releases(protocol: &Protocol, site: B256) -> Result<Vec<Due>> {
    let release = |plan: Plan| {
        (format!("release/{}/{site}/{}", place(protocol), plan.interval), Call::Release { plan: Box::new(plan) })
    };
    Ok(protocol.releasable(site).await?.into_iter().map(release).collect())
}

/// Flexibility of a site's sessions that had to wait for releases.
pub async fn late_claims(protocol: &Protocol, site: B256) -> Result<Vec<Due>> {
    let claim = |(terms, bill, flexibility): (Terms, Bill, Flexibility)| {
        let key = format!("flexibility/{}/{}", place(protocol), terms.session);
        let flexibility = moved(&flexibility)?;
        Ok((key, Call::ClaimFlexibility { terms: Box::new(terms), bill: Box::new(bill), flexibility }))
    };
    claims_due(protocol, site).await?.into_iter().map(claim).collect()
}

/// Pays out what is due of a site.
pub async fn pay_out(protocol: &Protocol, store: &Store, site: B256) -> Result<PaidOut> {
    let mut paid = catch_up(protocol, store, site).await?;
    let money = protocol.claimable(site).await?;
    if money.claimable > Micro::ZERO {
        let count = protocol.claims(Some(site)).await?.len();
        // One claim per site and amount: refused because somebody else was faster, it does not stand in the way of the next.
        let key = format!("claim/{}/{site}/{count}/{}", place(protocol), money.claimable);
        let outcome = send(protocol, store, &[(key, Call::Claim { site })]).await?.remove(0);
        paid.claimed = Some(outcome.told()?);
    }
    let due = rewards_due(protocol, site).await?;
    let calls: Vec<_> = due
        .into_iter()
        .map(|(terms, bill)| {
            let key = format!("reward/{}/{}", place(protocol), terms.session);
            (key, Call::MintReward { terms: Box::new(terms), bill: Box::new(bill) })
        })
        .collect();
    for outcome in send(protocol, store, &calls).await? {
        let rewarded: FlexibilityRewarded = outcome.told()?;
        paid.rewards += 1;
        paid.minted += Micro(rewarded.minted.try_into()?);
    }
    paid.scored = score(protocol, store, site).await?;
    Ok(paid)
}

/// Has the chain compare what a site's days were planned with and what was metered. A post of the site in between outdates the
/// evidence and is an error; asked again, the evidence has it.
pub async fn score(protocol: &Protocol, store: &Store, site: B256) -> Result<Scored> {
    let due = protocol.scores_due(site).await?;
    let key = |evidence: &Evidence| {
        let (first, steps, later) = (evidence.previous, evidence.steps.len(), evidence.later.len());
        format!("score/{}/{site}/{first}/{steps}/{later}", place(protocol))
    };
    let calls: Vec<_> = due
        .stretches
        .into_iter()
        .map(|evidence| (key(&evidence), Call::ScoreForecasts { site, evidence: Box::new(evidence) }))
        .collect();
    let mut scored = Scored { lost: due.lost, ..Scored::default() };
    for outcome in send(protocol, store, &calls).await? {
        let told: ForecastsScored = outcome.told().context("scoring forecasts")?;
        scored.scores.push(told.score);
    }
    Ok(scored)
}

/// Claims of a site's sessions whose bills are final and whose tokens were not minted yet, with what Settlement asks for.
async fn rewards_due(protocol: &Protocol, site: B256) -> Result<Vec<(Terms, Bill)>> {
    let which = Which { site: Some(site), ..Which::default() };
    let mut bills = protocol.newest_bills(&which).await?;
    let now = protocol.chain.head().await?.time;
    let is_due = |bill: &Bill| bill.reward > 0 && now.0 > bill.settledAt.to::<i64>() + DISPUTE_WINDOW_S;
    bills.retain(|_, bill| is_due(bill));
    if bills.is_empty() {
        return Ok(Vec::new());
    }
    let newest = protocol.newest_terms(&which).await?;
    let terms: BTreeMap<B256, Terms> = newest.into_iter().map(|terms| (terms.session, terms)).collect();
    let with_terms = |(session, bill)| {
        Ok((
            terms.get(&session).cloned().with_context(|| format!("session {session}: claimed, but never opened"))?,
            bill,
        ))
    };
    bills.into_iter().map(with_terms).collect()
}

/// Sessions whose claim had to wait: a plan of their stay was claimed, and not verified when it was posted. What they are
/// due is what an audit makes of the chain, so no journal is needed.
async fn claims_due(protocol: &Protocol, site: B256) -> Result<Vec<(Terms, Bill, Flexibility)>> {
    let now = protocol.chain.head().await?.time;
    let claimed: BTreeSet<B256> = protocol.flexibility_claimed().await?.into_iter().map(|c| c.event.session).collect();
    let settled = protocol.sessions_settled(&Which { site: Some(site), ..Which::default() }).await?;
    let open = |bill: &Bill| now.0 <= bill.settledAt.to::<i64>() + CLAIM_WINDOW_S;
    let waits = settled.into_iter().map(|s| s.event).filter(|s| open(&s.bill) && !claimed.contains(&s.session));
    let waits: Vec<_> = waits.collect();
    if waits.is_empty() {
        return Ok(Vec::new());
    }
    let plans = protocol.plans_posted(protocol.deployment.block, None).await?.into_iter().map(|p| p.event);
    let optimistic = plans.filter(|p| p.site == site && p.plan.rules.mode == PlanMode::Optimistic);
    let optimistic: BTreeSet<i64> = optimistic.map(|p| p.interval.into()).collect();
    let waited = |bill: &Bill| {
        let [first, last] = [bill.startTime, bill.stopTime].map(|time| time.to::<i64>() / INTERVAL_S);
        first <= last && optimistic.range(first..=last).next().is_some()
    };
    let late: Vec<B256> = waits.into_iter().filter(|s| waited(&s.bill)).map(|s| s.session).collect();
    if late.is_empty() {
        return Ok(Vec::new());
    }
    let mut auditor = Auditor::new(protocol.setting());
    let (head, _) = protocol.chain.confirmed_head().await?;
    protocol.walk(head, |range| auditor.take(&range)).await?;
    Ok(auditor.claimable(&late))
}

/// As Settlement takes it.
pub fn moved(flexibility: &Flexibility) -> Result<abi::Flexibility> {
    Ok(abi::Flexibility {
        activatedWh: flexibility.activated_wh.0.try_into()?,
        displacedWhIntervals: flexibility.displaced_wh_intervals.try_into()?,
        worth: flexibility.worth.0,
    })
}

fn place(protocol: &Protocol) -> String {
    format!("{}/{}", protocol.chain.id(), protocol.deployment.settlement)
}

/// Signs and sends what was not sent yet, and returns the hashes of all.
pub async fn hand_in(protocol: &Protocol, store: &Store, calls: &[Due]) -> Result<Vec<B256>> {
    let chain = &protocol.chain;
    let mut hashes = Vec::with_capacity(calls.len());
    for (key, call) in calls {
        let prepared = match store.outbox_get::<Prepared>(key)? {
            Some(prepared) => prepared,
            None => {
                let nonce = chain.next_nonce().await?.max(store.outbox_next_nonce()?.unwrap_or_default());
                let prepared = protocol.prepare(call, nonce).await?;
                store.outbox_put(key, call.kind(), nonce, &prepared)?;
                prepared
            }
        };
        chain.send(&prepared).await?;
        hashes.push(prepared.hash);
    }
    Ok(hashes)
}

/// What became of it.
pub async fn outcomes(chain: &Chain, hashes: &[B256]) -> Result<Vec<Outcome>> {
    if hashes.is_empty() {
        return Ok(Vec::new());
    }
    chain.mine_at(UnixTime(0)).await?;
    chain.await_outcomes(hashes, Instant::now() + OUTCOME_TIMEOUT).await
}

async fn send(protocol: &Protocol, store: &Store, calls: &[Due]) -> Result<Vec<Outcome>> {
    let hashes = hand_in(protocol, store, calls).await?;
    let outcomes = outcomes(&protocol.chain, &hashes).await?;
    for ((key, _), outcome) in calls.iter().zip(&outcomes) {
        store.outbox_settle(key, outcome)?;
    }
    Ok(outcomes)
}
