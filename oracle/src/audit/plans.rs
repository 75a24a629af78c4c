//! Plans and their certificates: who posted them, under which rules and with which bond; every certificate checked again off
//! the calldata of its posting; its inputs against what else the chain knows; and which intervals count as certified.

mod certificate;
mod certified;
mod forecasts;
mod inputs;
mod questions;
mod refutations;
mod stakes;
mod stored;
mod worth;

pub use certificate::{Posted, UNITS, posting, units};
pub use worth::measured;

use super::calls::Calls;
use super::facts::{At, Setting};
use super::registry::{RIGHT_DISPATCH, RIGHT_PLAN, Registry};
use super::report::{Kind, SiteCount, Spread, Tally};
use super::sessions::Sessions;
use crate::abi::IDispatch::{ReadingsPosted, SetpointsPosted};
use crate::abi::IPlans::{IPlansEvents as P, PlanPosted, PricesAnnounced, RulesSet, UncertifiedPosted};
use crate::abi::{CPO_REASON, Plan, PlanMode, PlanRules};
use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::sol_types::SolValue;
use certified::Certified;
use forecasts::Forecasts;
use optimizer::certificate::micro_up;
use stakes::Stakes;
use std::collections::{BTreeMap, BTreeSet};
use stored::Stored;
pub use stored::{import_w, is_same_month};

const INTERVAL_S: u64 = 900;
const DAY_S: u64 = 86_400;
/// Prices are announced at most so many days ahead.
const ANNOUNCED_AHEAD: u64 = 4;
/// Plans of a site that the contract keeps.
const KEPT_PLANS: u32 = 256;
/// A stay of a week, two days in which flexibility is claimed, and a day ahead; more than these intervals nobody asks for.
const KEPT_INTERVALS: u32 = 1024;
/// Tolerated where an owner has set nothing, base units.
const DEFAULT_TOLERANCE: u64 = 10_000;
/// A claimed plan is certified once nobody can challenge it.
const CLAIMED: &str = "claimed, and still open to challenge";
/// Setpoints that went past `Plans`.
const PAST_PLANS: &str = "posted past Plans";

/// What a check of a plan may look at and change.
pub struct Around<'a> {
    /// Counts and findings.
    pub tally: &'a mut Tally,
    /// The registry at that moment.
    pub registry: &'a Registry,
    /// Sessions at that moment.
    pub sessions: &'a Sessions,
    /// What the transaction asked for.
    pub calls: &'a mut Calls,
    /// The contracts.
    pub setting: &'a Setting,
    /// By site.
    pub counts: &'a mut BTreeMap<B256, SiteCount>,
    /// Hashes of the codes of verifiers.
    pub algorithms: &'a BTreeMap<Address, B256>,
    /// Where it happened.
    pub at: At,
}

/// What the setpoints that follow in the same transaction have to be.
#[derive(Debug, Clone)]
struct Coming {
    at: At,
    site: B256,
    interval: u32,
    plan_hash: B256,
    lanes_hash: Option<B256>,
}

/// A plan as long as the contract may be asked about it.
#[derive(Debug, Clone)]
struct Place {
    plan: Plan,
    hash: B256,
    /// In which transaction it was posted.
    at: At,
    /// Neither refuted nor released.
    live: bool,
    /// Its certificate was read and is of the algorithm that this build knows.
    checked: bool,
}

/// What dispatched an interval, where that was certified.
#[derive(Debug, Clone)]
struct Priced {
    /// Node price by group, micro per kWh.
    group: Vec<i64>,
    /// The lower of import and feed-in price.
    least: i64,
}

/// What is known of a site's plans.
#[derive(Debug, Clone, Default)]
struct SitePlans {
    current: Option<(u32, PlanRules)>,
    coming: Option<(u32, PlanRules)>,
    uncertified: U256,
    certified: Certified,
    /// Intervals of plans that may be claimed or verified: their posting cannot be read.
    unsure: BTreeSet<u32>,
    /// By place in the contract's ring.
    places: BTreeMap<u32, Place>,
    priced: BTreeMap<u32, Priced>,
    /// Import and feed-in price as the newest plan has them.
    told: BTreeMap<u32, (i64, i64)>,
    /// By day: hash of the prices announced for it, and when.
    announced: BTreeMap<u32, (B256, u64)>,
    readings: BTreeMap<u32, Bytes>,
    forecasts: Forecasts,
    stored: Stored,
    /// How many plans had which gap, in base units, and which gas.
    gaps: BTreeMap<i64, u64>,
    gas: BTreeMap<i64, u64>,
}

/// All plans.
#[derive(Debug, Clone, Default)]
pub struct Plans {
    sites: BTreeMap<B256, SitePlans>,
    stakes: Stakes,
    coming: Option<Coming>,
    /// Most power that any plan took for a session.
    most_w: BTreeMap<B256, i64>,
    /// Open sessions without a need, though they lack energy.
    missing: BTreeMap<B256, inputs::Missing>,
    /// Verifiers whose algorithm this build does not know.
    strangers: BTreeSet<Address>,
    /// Claims whose last readings are awaited.
    claims: Vec<worth::Claim>,
    /// By session: in which transaction a claim that was judged was made, and until when it can be disputed.
    judged: BTreeMap<B256, (B256, u64)>,
}

impl Plans {
    /// Takes in an event.
    pub fn apply(&mut self, a: &mut Around<'_>, event: &P) {
        match event {
            P::RulesSet(e) => self.ruled(a, e),
            P::PlanPosted(e) => self.posted(a, e),
            P::UncertifiedPosted(e) => self.uncertified(a, e),
            P::PlanRefuted(e) => self.refuted(a, e),
            P::PricesAnnounced(e) => self.announced(a, e),
            P::PlanImproved(e) => self.improved(a, e),
            P::BondReleased(e) => self.released(a, e),
            P::StakeDeposited(e) => self.stakes.deposited(e),
            P::StakeWithdrawn(e) => self.stakes.withdrawn(a.tally, a.at, e),
        }
    }

    fn ruled(&mut self, a: &mut Around<'_>, e: &RulesSet) {
        let earliest = (a.at.time / INTERVAL_S + 1) as u32;
        let (what, wanted) = (say!("rules of plans at {}", a.registry.name(e.site)), say!("from {earliest} on"));
        a.tally.holds(Kind::Timing, a.at, e.from >= earliest, what, wanted, say!("{}", e.from));
        let site = self.sites.entry(e.site).or_default();
        // What is still coming has held for nothing yet, and is replaced.
        if site.coming.as_ref().is_some_and(|(from, _)| *from < earliest) {
            site.current = site.coming.take();
        }
        site.coming = Some((e.from, e.rules.clone()));
    }

    /// Prices of a day are fixed once, before it begins, by the owner or who may dispatch.
    fn announced(&mut self, a: &mut Around<'_>, e: &PricesAnnounced) {
        let name = format!("prices of {} on day {}", a.registry.name(e.site), e.day);
        let right = a.registry.authorised(e.site, e.by, RIGHT_DISPATCH, a.at.time);
        let (what, wanted) = (say!("{name}: announced by {}", e.by), say!("the owner, or the right to dispatch"));
        a.tally.holds(Kind::Right, a.at, right, what, wanted, say!("no such right"));
        let today = a.at.time / DAY_S;
        let in_time = (today + 1..=today + ANNOUNCED_AHEAD).contains(&e.day.into());
        let (what, wanted) = (say!("{name}: announced"), say!("one to {ANNOUNCED_AHEAD} days ahead of day {today}"));
        a.tally.holds(Kind::Timing, a.at, in_time, what, wanted, say!("day {}", e.day));
        let known = self.sites.entry(e.site).or_default().announced.insert(e.day, (e.pricesHash, a.at.time));
        let (what, wanted) = (say!("{name}: announced"), say!("once"));
        a.tally.holds(Kind::Certificate, a.at, known.is_none(), what, wanted, say!("again"));
    }

    fn posted(&mut self, a: &mut Around<'_>, e: &PlanPosted) {
        let (at, plan, t) = (a.at, &e.plan, e.interval);
        let name = format!("plan of interval {t} of {}", a.registry.name(e.site));
        self.right(a, e.site, e.poster, &name);
        let named = (plan.site, plan.interval, plan.poster) == (e.site, t, e.poster);
        a.tally.equal(Kind::Timing, at, say!("{name}: time of posting"), at.time, plan.postedAt.to::<u64>());
        a.tally.holds(Kind::Certificate, at, named, say!("{name}: its names"), say!("its event's"), say!("others"));
        let rules = self.rules_at(a.setting, e.site, t);
        let same = rules.abi_encode() == plan.rules.abi_encode();
        let (wanted, found) = (say!("{rules:?}"), say!("{:?}", plan.rules));
        a.tally.holds(Kind::Certificate, at, same, say!("{name}: its rules"), wanted, found);
        let posted = a.calls.take_plans(|call| posting(call, e.site, t));
        // Only a claim can be wrong without its posting having been refused; what cannot be read may be either.
        let claimed = rules.mode == PlanMode::Optimistic && posted.as_ref().is_none_or(|p| p.claimed.is_some());
        let checked = posted.is_some() && rules.verifier == a.setting.verifier;
        let unsure = posted.is_none() && claimed;
        match posted {
            Some(posted) => self.check(a, &name, plan, &posted),
            None => a.tally.note(Kind::Certificate, at, say!("{name}: its certificate is not decodable")),
        }
        let gap = units(plan.cost).saturating_sub(units(plan.bound));
        let micro = i64::try_from(micro_up(gap)).unwrap_or(i64::MAX);
        let most = rules.tolerance;
        let close = rules.mode == PlanMode::Improved || gap <= i128::from(most) * UNITS;
        let what = say!("{name}: gap");
        a.tally.holds(Kind::Certificate, at, close, what, say!("at most {most} micro-credits"), say!("{micro}"));

        let site = self.sites.entry(e.site).or_default();
        *site.gaps.entry(micro).or_default() += 1;
        if let Some(gas) = a.calls.gas_used {
            *site.gas.entry(i64::try_from(gas).unwrap_or(i64::MAX)).or_default() += 1;
        }
        let hash = keccak256(plan.abi_encode());
        let before = site.places.insert(t % KEPT_PLANS, Place { plan: plan.clone(), hash, at, live: true, checked });
        let free = before.is_none_or(|p| !p.live || p.plan.rules.bond == 0);
        a.tally.holds(Kind::Balance, at, free, say!("{name}: its place"), say!("no bond there"), say!("a bond"));
        self.stakes.stake(a.tally, at, e.poster, U256::from(plan.rules.bond));
        if unsure {
            site.unsure.insert(t);
        }
        if claimed {
            reason(a, e.site, CLAIMED, 1);
        } else {
            self.certify(a, e.site, t, true);
        }
        let lanes_hash = Some(plan.columnHash);
        self.expect(a, Coming { at, site: e.site, interval: t, plan_hash: hash, lanes_hash });
    }

    fn uncertified(&mut self, a: &mut Around<'_>, e: &UncertifiedPosted) {
        let name = format!("setpoints of interval {} of {}", e.interval, a.registry.name(e.site));
        self.right(a, e.site, e.poster, &name);
        let site = self.sites.entry(e.site).or_default();
        site.uncertified += U256::from(1);
        a.tally.equal(Kind::Certificate, a.at, say!("{name}: uncertified up to now"), site.uncertified, e.count);
        site.uncertified = e.count;
        reason(a, e.site, &shape(&e.reason), 1);
        if e.reason == CPO_REASON {
            a.counts.entry(e.site).or_default().plans_own += 1;
        }
        let plan_hash = B256::ZERO;
        self.expect(a, Coming { at: a.at, site: e.site, interval: e.interval, plan_hash, lanes_hash: None });
    }

    fn right(&self, a: &mut Around<'_>, site: B256, poster: Address, name: &str) {
        let right = a.registry.authorised(site, poster, RIGHT_PLAN, a.at.time);
        let (what, wanted) = (say!("{name}: planner {poster}"), say!("the right to plan at {}", a.at.time));
        a.tally.holds(Kind::Right, a.at, right, what, wanted, say!("no such right"));
    }

    /// Sets whether an interval counts as certified; returns whether it did before.
    fn certify(&mut self, a: &mut Around<'_>, site: B256, interval: u32, certified: bool) -> bool {
        let before = self.sites.entry(site).or_default().certified.set(interval, certified);
        let count = &mut a.counts.entry(site).or_default().plans_certified;
        *count = if certified { *count + u64::from(!before) } else { *count - u64::from(before) };
        before
    }

    fn rules_at(&self, setting: &Setting, site: B256, interval: u32) -> PlanRules {
        let site = self.sites.get(&site);
        let set = site.into_iter().flat_map(|s| [&s.coming, &s.current]).flatten();
        let rules = set.clone().find(|(from, _)| *from <= interval).map(|(_, rules)| rules.clone());
        rules.unwrap_or(PlanRules {
            verifier: setting.verifier,
            mode: PlanMode::Proved,
            tolerance: DEFAULT_TOLERANCE,
            epsilon: 0,
            bond: 0,
            settlement: Address::ZERO,
            terms: B256::ZERO,
        })
    }

    fn expect(&mut self, a: &mut Around<'_>, coming: Coming) {
        let before = self.coming.replace(coming);
        unposted(a.tally, before);
    }

    /// Setpoints, of a plan or not; those of `Plans` are what it said just before.
    pub fn setpoints(
        &mut self,
        tally: &mut Tally,
        setting: &Setting,
        count: &mut SiteCount,
        at: At,
        e: &SetpointsPosted,
    ) {
        self.sites.entry(e.site).or_default().stored.dispatched(e.interval);
        if e.poster != setting.plans {
            count.plans_own += 1;
            *count.uncertified.entry(PAST_PLANS.to_owned()).or_default() += 1;
            return;
        }
        let coming = self.coming.take_if(|c| (c.site, c.interval) == (e.site, e.interval));
        let what = say!("setpoints of interval {} by Plans", e.interval);
        let (wanted, found) = (say!("a plan or a reason just before"), say!("none"));
        tally.holds(Kind::Certificate, at, coming.is_some(), what, wanted, found);
        let Some(coming) = coming else { return };
        let what = say!("plan hash of interval {}", e.interval);
        tally.equal(Kind::Certificate, at, what, coming.plan_hash, e.planHash);
        if let Some(hash) = coming.lanes_hash {
            let what = say!("setpoints of interval {}, as the plan has them", e.interval);
            tally.equal(Kind::Certificate, at, what, hash, keccak256(&e.lanes));
        }
    }

    /// Readings: what was forecast for their interval is scored, and claims that waited for them are judged.
    pub fn metered(&mut self, tally: &mut Tally, registry: &Registry, e: &ReadingsPosted) {
        let site = self.sites.entry(e.site).or_default();
        site.forecasts.score(registry, e);
        site.readings.insert(e.interval, e.lanes.clone());
        site.readings.retain(|t, _| t + KEPT_INTERVALS > e.interval);
        self.judge(tally, registry, |claim| claim.site == e.site && claim.last <= e.interval);
    }

    /// At the end of a transaction.
    pub fn transaction(&mut self, tally: &mut Tally) {
        unposted(tally, self.coming.take());
    }

    /// Whether all intervals of a stay count as certified.
    pub fn is_certified(&self, site: B256, first: u32, last: u32) -> bool {
        self.sites.get(&site).is_some_and(|s| s.certified.covers(first, last))
    }

    /// What is left to say at the end.
    pub fn finish(&mut self, tally: &mut Tally, registry: &Registry, counts: &mut BTreeMap<B256, SiteCount>) {
        self.judge(tally, registry, |_| true);
        for (session, missing) in std::mem::take(&mut self.missing) {
            missing.tell(tally, session);
        }
        for (id, site) in &mut self.sites {
            site.stored.finish(tally, &registry.name(*id));
            let count = counts.entry(*id).or_default();
            count.gap_micro = Spread::of(&site.gaps);
            count.verification_gas = Spread::of(&site.gas);
            count.forecasts = site.forecasts.errors();
        }
    }
}

fn unposted(tally: &mut Tally, coming: Option<Coming>) {
    if let Some(Coming { at, interval, .. }) = coming {
        let (what, wanted) = (say!("plan of interval {interval}"), say!("its setpoints in the same transaction"));
        tally.holds(Kind::Certificate, at, false, what, wanted, say!("none"));
    }
}

fn reason(a: &mut Around<'_>, site: B256, why: &str, change: i64) {
    let reasons = &mut a.counts.entry(site).or_default().uncertified;
    let count = reasons.entry(why.to_owned()).or_default();
    *count = count.saturating_add_signed(change);
    reasons.retain(|_, count| *count > 0);
}

/// A reason without its numbers and ids, so that plans can be counted by it.
fn shape(reason: &str) -> String {
    let word =
        |word: &str| if word.contains(|c: char| c.is_ascii_digit()) { "…".to_owned() } else { word.to_owned() };
    let words: Vec<String> = reason.split(' ').map(word).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_without_their_numbers() {
        assert_eq!(shape("12 micro-credits above its bound"), shape("9034 micro-credits above its bound"));
        assert_eq!(shape("the taper of session 0xab12"), "the taper of session …");
        assert_eq!(shape(CPO_REASON), CPO_REASON);
    }
}
