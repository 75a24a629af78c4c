//! Rewards for flexibility: what was claimed, what was minted for it, and the pools that redeem it.

use super::billing;
use super::facts::{At, Event, Fact, Question, Setting, erc20};
use super::registry::Registry;
use super::report::{Kind, Tally};
use super::sessions::{DISPUTE_WINDOW_S, Sessions};
use crate::abi::IFlexibilityToken::{self, IFlexibilityTokenEvents as P};
use crate::abi::ISettlement::{FlexibilityClaimed, FlexibilityRewarded, ISettlementEvents as S, RewardCorrected};
use crate::abi::{Bill, SessionState, Terms};
use alloy::primitives::{Address, B256, U256};
use std::collections::{BTreeMap, BTreeSet};

/// Rates are per this many base units of the token.
const RATE_UNIT: u64 = 1_000_000;
/// Flexibility is claimed so long after the bill, and half a day is left to dispute it.
const CLAIM_WINDOW_S: u64 = 36 * 3600;

/// Credit that an operator gives for tokens.
#[derive(Debug, Clone, Copy, Default)]
struct Pool {
    balance: U256,
    rate: U256,
    outstanding: U256,
}

/// Tokens, claims and pools.
#[derive(Debug, Clone, Default)]
pub struct Rewards {
    tokens: BTreeMap<Address, U256>,
    supply: U256,
    claims: BTreeMap<(Address, Address), U256>,
    pools: BTreeMap<Address, Pool>,
    served: BTreeSet<(Address, B256)>,
    accounted: U256,
}

impl Rewards {
    /// A claim of flexibility, of a session that Settlement has billed.
    pub fn claimed(&mut self, t: &mut Tally, s: &mut Sessions, setting: &Setting, at: At, e: &FlexibilityClaimed) {
        let (id, moved) = (e.session, &e.flexibility);
        let certified = !setting.certificates.is_zero();
        let (what, wanted) = (say!("session {id}: reward"), say!("a contract that certifies schedules"));
        t.holds(Kind::Flexibility, at, certified, what, wanted, say!("none: nothing may be earned"));
        if certified && setting.certificates != setting.plans {
            let by = setting.certificates;
            let text =
                say!("session {id}: certified by {by}, which is not Plans: nobody can recompute what it was worth");
            t.note(Kind::Certificate, at, text);
        }
        let Some(session) = s.all.get(&id).cloned() else { return };
        let bill = session.bill.filter(|_| session.state == SessionState::Settled);
        let (what, wanted) = (say!("session {id}: flexibility claimed"), say!("a settled session without a reward"));
        let Some(bill) = bill.filter(|b| b.reward == 0) else {
            t.holds(Kind::Flexibility, at, false, what, wanted, say!("{:?}", session.state));
            return;
        };
        let until = bill.settledAt.to::<u64>() + CLAIM_WINDOW_S;
        t.holds(Kind::Flexibility, at, at.time <= until, what, say!("up to {until}"), say!("{}", at.time));
        let bounds = billing::reward(&session.terms, &bill, moved);
        let worth = u128::try_from(moved.worth).unwrap_or_default();
        let within = u64::from(moved.activatedWh) <= bounds.activated_wh
            && u128::from(moved.displacedWhIntervals) <= bounds.displaced
            && worth <= bounds.worth;
        let what = say!("session {id}: flexibility claimed");
        t.holds(Kind::Flexibility, at, within, what, say!("within {bounds:?}"), say!("{moved:?}"));
        t.equal(Kind::Flexibility, at, say!("session {id}: reward"), bounds.reward, e.bill.reward);
        let other = Bill { reward: 0, ..e.bill.clone() } == bill;
        let (what, wanted) = (say!("session {id}: rest of the bill"), say!("as it was"));
        t.holds(Kind::Flexibility, at, other, what, wanted, say!("another"));
        if e.bill.reward > 0 {
            s.extend(&session.terms, &e.bill);
        }
        if let Some(session) = s.all.get_mut(&id) {
            session.bill = Some(e.bill.clone());
        }
    }

    /// A reward that somebody has shown to be too high; returns the terms and the bill as it is now.
    pub fn corrected(&mut self, t: &mut Tally, s: &mut Sessions, at: At, e: &RewardCorrected) -> Option<(Terms, Bill)> {
        let id = e.session;
        let session = s.all.get_mut(&id).filter(|s| s.state == SessionState::Settled);
        let names = |terms: &Terms| (terms.site, terms.driver, terms.evse) == (e.site, e.driver, e.evse);
        let known = session.and_then(|s| Some((s.terms.clone(), s.bill.as_mut()?))).filter(|(terms, _)| names(terms));
        let (what, wanted) = (say!("session {id}: reward corrected"), say!("a settled session, under its own names"));
        t.holds(Kind::Flexibility, at, known.is_some(), what, wanted, say!("another"));
        let (terms, bill) = known?;
        let until = bill.settledAt.to::<u64>() + DISPUTE_WINDOW_S;
        let (what, wanted) = (say!("session {id}: time of its reward's correction"), say!("up to {until}"));
        t.holds(Kind::Flexibility, at, at.time <= until, what, wanted, say!("{}", at.time));
        let lower = Bill { reward: bill.reward, ..e.bill.clone() } == *bill && e.bill.reward < bill.reward;
        let (what, wanted) = (say!("session {id}: corrected reward"), say!("below {}, and nothing else", bill.reward));
        t.holds(Kind::Flexibility, at, lower, what, wanted, say!("{}", e.bill.reward));
        *bill = e.bill.clone();
        s.rewrite(&terms, &e.bill);
        Some((terms, e.bill.clone()))
    }

    /// A reward, minted once its bill is final.
    pub fn rewarded(&mut self, t: &mut Tally, s: &mut Sessions, at: At, e: &FlexibilityRewarded) {
        let id = e.session;
        let Some(session) = s.all.get_mut(&id) else {
            let (what, wanted) = (say!("session {id}: reward minted"), say!("a settled session"));
            t.holds(Kind::Flexibility, at, false, what, wanted, say!("an unknown one"));
            return;
        };
        let owed = session.bill.as_ref().map_or(0, |b| b.reward);
        t.equal(Kind::Flexibility, at, say!("session {id}: reward that was claimed"), owed, e.claimed);
        let (what, wanted) = (say!("session {id}: tokens minted"), say!("at most {}", e.claimed));
        t.holds(Kind::Flexibility, at, e.minted <= U256::from(e.claimed), what, wanted, say!("{}", e.minted));
        if let Some(bill) = &mut session.bill {
            let until = bill.settledAt.to::<u64>() + DISPUTE_WINDOW_S;
            let (what, wanted) = (say!("session {id}: time of minting"), say!("after {until}"));
            t.holds(Kind::Flexibility, at, at.time > until, what, wanted, say!("{}", at.time));
            bill.reward = 0;
            let (terms, bill) = (session.terms.clone(), bill.clone());
            s.rewrite(&terms, &bill);
        }
    }

    /// Tokens moved, were minted or burnt.
    pub fn moved(&mut self, e: &erc20::Transfer) {
        if e.from.is_zero() {
            self.supply += e.value;
        } else {
            let tokens = self.tokens.entry(e.from).or_default();
            *tokens = tokens.saturating_sub(e.value);
        }
        if e.to.is_zero() {
            self.supply = self.supply.saturating_sub(e.value);
        } else {
            *self.tokens.entry(e.to).or_default() += e.value;
        }
    }

    /// What the pools say.
    pub fn pool(&mut self, t: &mut Tally, at: At, event: &P) {
        match event {
            P::PoolFunded(e) => {
                self.pools.entry(e.operator).or_default().balance += e.amount;
                self.accounted += e.amount;
            }
            P::SurplusTaken(e) => self.pay(t, at, e.operator, e.amount),
            P::RateSet(e) => {
                let pool = self.pools.entry(e.operator).or_default();
                let (out, before) = (pool.outstanding, pool.rate);
                pool.rate = e.rate;
                let (what, wanted) = (say!("rate of {}", e.operator), say!("not below {before} while {out} are out"));
                t.holds(Kind::Flexibility, at, out.is_zero() || e.rate >= before, what, wanted, say!("{}", e.rate));
            }
            P::ServedSet(e) if e.served => {
                self.served.insert((e.operator, e.site));
            }
            P::ServedSet(e) => {
                self.served.remove(&(e.operator, e.site));
            }
            P::Rewarded(e) => {
                self.pools.entry(e.operator).or_default().outstanding += e.amount;
                *self.claims.entry((e.operator, e.driver)).or_default() += e.amount;
                self.covered(t, at, e.operator);
            }
            P::PassedOn(e) => {
                self.lower(t, at, e.operator, e.from, e.amount);
                *self.claims.entry((e.operator, e.to)).or_default() += e.amount;
            }
            P::Redeemed(e) => {
                self.lower(t, at, e.operator, e.holder, e.amount);
                let pool = self.pools.entry(e.operator).or_default();
                let paid = e.amount.saturating_mul(pool.rate) / U256::from(RATE_UNIT);
                pool.outstanding = pool.outstanding.saturating_sub(e.amount);
                t.equal(Kind::Flexibility, at, say!("paid for {} tokens", e.amount), paid, e.paid);
                self.pay(t, at, e.operator, e.paid);
            }
        }
    }

    fn lower(&mut self, t: &mut Tally, at: At, operator: Address, holder: Address, amount: U256) {
        let claim = self.claims.entry((operator, holder)).or_default();
        let (what, wanted) = (say!("claim of {holder} on the pool of {operator}"), say!("at least {amount}"));
        t.holds(Kind::Flexibility, at, *claim >= amount, what, wanted, say!("{claim}"));
        *claim = claim.saturating_sub(amount);
    }

    fn pay(&mut self, t: &mut Tally, at: At, operator: Address, amount: U256) {
        let pool = self.pools.entry(operator).or_default();
        let (what, wanted) = (say!("pool of {operator}: taken out"), say!("at most its {}", pool.balance));
        t.holds(Kind::Flexibility, at, amount <= pool.balance, what, wanted, say!("{amount}"));
        pool.balance = pool.balance.saturating_sub(amount);
        self.accounted = self.accounted.saturating_sub(amount);
        self.covered(t, at, operator);
    }

    /// Every pool covers what it owes.
    fn covered(&mut self, t: &mut Tally, at: At, operator: Address) {
        let pool = self.pools.entry(operator).or_default();
        let owed = pool.outstanding.saturating_mul(pool.rate).div_ceil(U256::from(RATE_UNIT));
        let (what, wanted) = (say!("pool of {operator}"), say!("at least the {owed} it owes"));
        t.holds(Kind::Flexibility, at, pool.balance >= owed, what, wanted, say!("{}", pool.balance));
    }

    /// Every token that a transaction minted is somebody's reward, at a site that the operator serves; every one that it burnt
    /// was redeemed.
    pub fn transaction(&self, t: &mut Tally, registry: &Registry, facts: &[Fact]) {
        let mut at = None;
        // Minted by the token, by the pools, by Settlement; burnt by the token, redeemed by the pools.
        let mut sums = [U256::ZERO; 5];
        let mut by = None;
        for fact in facts {
            match &fact.event {
                Event::Flexibility(e) if e.from.is_zero() => sums[0] += e.value,
                Event::Flexibility(e) if e.to.is_zero() => sums[3] += e.value,
                Event::Pools(P::Rewarded(e)) => {
                    sums[1] += e.amount;
                    by = Some(e.operator);
                }
                Event::Pools(P::Redeemed(e)) => sums[4] += e.amount,
                Event::Settlement(event) => match &**event {
                    S::FlexibilityRewarded(e) => {
                        sums[2] += e.minted;
                    }
                    _ => continue,
                },
                _ => continue,
            }
            at = Some(fact.at);
        }
        let Some(at) = at else { return };
        t.equal(Kind::Flexibility, at, say!("tokens minted, as rewards of sessions"), sums[2], sums[0]);
        t.equal(Kind::Flexibility, at, say!("tokens minted, as claims on a pool"), sums[1], sums[0]);
        t.equal(Kind::Flexibility, at, say!("tokens burnt, as redeemed"), sums[4], sums[3]);
        if let Some(operator) = by {
            let serves = self
                .served
                .iter()
                .any(|(who, site)| *who == operator && registry.sites.get(site).is_some_and(|s| s.runs() == operator));
            let (what, wanted) = (say!("rewards from the pool of {operator}"), say!("a site that it serves and runs"));
            t.holds(Kind::Flexibility, at, serves, what, wanted, say!("none"));
        }
    }

    /// What the token has to answer at the end.
    pub fn questions(&self, t: &mut Tally, setting: &Setting, owned: U256, end: At) -> Vec<Question> {
        let out: U256 = self.pools.values().map(|p| p.outstanding).sum();
        t.equal(Kind::Flexibility, end, say!("tokens out of all pools together"), self.supply, out);
        let (what, wanted) = (say!("credit of the pools"), say!("at least {}", self.accounted));
        t.holds(Kind::Balance, end, owned >= self.accounted, what, wanted, say!("{owned}"));
        let (to, mut questions) = (setting.flexibility, Vec::new());
        let supply = vec![("supply", self.supply)];
        questions.push(Question::new("flexibility tokens", to, &IFlexibilityToken::totalSupplyCall {}, supply));
        let accounted = vec![("accounted", self.accounted)];
        questions.push(Question::new("money of all pools", to, &IFlexibilityToken::accountedCall {}, accounted));
        for (account, tokens) in &self.tokens {
            let call = IFlexibilityToken::balanceOfCall { account: *account };
            let what = format!("flexibility tokens of {account}");
            questions.push(Question::new(what, to, &call, vec![("balance", *tokens)]));
        }
        for ((operator, holder), claim) in &self.claims {
            let call = IFlexibilityToken::claimOfCall { operator: *operator, holder: *holder };
            let what = format!("claim of {holder} on the pool of {operator}");
            questions.push(Question::new(what, to, &call, vec![("claim", *claim)]));
        }
        for (operator, pool) in &self.pools {
            let words = vec![("balance", pool.balance), ("rate", pool.rate), ("out", pool.outstanding)];
            let call = IFlexibilityToken::poolOfCall { operator: *operator };
            questions.push(Question::new(format!("pool of {operator}"), to, &call, words));
        }
        questions
    }
}
