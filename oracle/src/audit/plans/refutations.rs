//! What becomes of a plan after it was posted: refuted, improved upon, or its bond given back.

use super::stored::{CONTENT, PEAK};
use super::{Around, CLAIMED, INTERVAL_S, KEPT_PLANS, Place, Plans, UNITS, reason, units};
use crate::abi::IPlans::{BondReleased, PlanImproved, PlanRefuted};
use crate::abi::{PlanMode, Refutation};
use crate::audit::report::Kind;
use alloy::primitives::{Address, B256, U256};

/// What is claimed of a plan can be refuted for a day from the begin of its interval.
const CHALLENGE_S: u64 = 86_400;
/// What the contract decides about, as findings name it.
const ROOT: &str = ": root";
const CERTIFICATE: [&str; 5] =
    [": certificate", ": cost", ": bound", ": first column of its schedule", ": the site in its inputs"];
const WINDOW: &str = ": window of the need";
const ENERGY: &str = ": energy of the need";
const PRICES: &str = ": prices of day";
const REFUTED: &str = "refuted";
const IMPROVED: &str = "a cheaper plan was shown";

impl Plans {
    pub(super) fn released(&mut self, a: &mut Around<'_>, e: &BondReleased) {
        let Some(place) = self.take(a, e.site, e.interval) else { return };
        let from = u64::from(e.interval) * INTERVAL_S + CHALLENGE_S;
        let (what, wanted) = (say!("bond of interval {}: released", e.interval), say!("from {from} on"));
        a.tally.holds(Kind::Timing, a.at, a.at.time >= from, what, wanted, say!("{}", a.at.time));
        let rules = &place.plan.rules;
        a.tally.equal(Kind::Balance, a.at, say!("bond of interval {}", e.interval), U256::from(rules.bond), e.bond);
        self.stakes.add(place.plan.poster, U256::from(rules.bond));
        if rules.mode == PlanMode::Optimistic && !self.certify(a, e.site, e.interval, true) {
            reason(a, e.site, CLAIMED, -1);
        }
    }

    pub(super) fn refuted(&mut self, a: &mut Around<'_>, e: &PlanRefuted) {
        let Some(place) = self.forfeited(a, e.site, e.interval, e.challenger, e.reward, REFUTED) else { return };
        let name = format!("plan of interval {} of {}", e.interval, a.registry.name(e.site));
        // What the contract has refuted is no finding any more: the audit has to agree, and not to repeat it for ever.
        let about = |what: &str| {
            what.strip_prefix(&name).is_some_and(|part| match e.what {
                Refutation::Root => part == ROOT,
                Refutation::Need => part.starts_with(WINDOW) || part.starts_with(ENERGY),
                Refutation::Energy => part.starts_with(ENERGY),
                Refutation::Prices => part.starts_with(PRICES),
                Refutation::Content => part.starts_with(CONTENT),
                Refutation::Peak => part == PEAK,
                _ => CERTIFICATE.contains(&part),
            })
        };
        let agreed = a.tally.decided(Kind::Certificate, place.at.transaction, about, "and was refuted");
        if agreed > 0 || !place.checked {
            return;
        }
        let by_more = [Refutation::Energy, Refutation::Prices, Refutation::Content, Refutation::Peak];
        if by_more.contains(&e.what) {
            // By a Begin that is not on the chain, prices of a day that the plan holds a part of, an earlier plan that did not
            // agree with others, or readings of weeks ago.
            let text = say!("{name}: refuted by evidence that only the contract has seen");
            a.tally.note(Kind::Certificate, a.at, text);
            return;
        }
        let (what, wanted) = (say!("{name}: refuted"), say!("something wrong with it"));
        a.tally.holds(Kind::Certificate, a.at, false, what, wanted, say!("nothing wrong"));
    }

    pub(super) fn improved(&mut self, a: &mut Around<'_>, e: &PlanImproved) {
        let Some(place) = self.forfeited(a, e.site, e.interval, e.challenger, e.reward, IMPROVED) else { return };
        let name = format!("cheaper plan of interval {} of {}", e.interval, a.registry.name(e.site));
        let most = units(place.plan.cost) - UNITS * i128::from(place.plan.rules.epsilon);
        let cost = units(e.cost);
        a.tally.holds(Kind::Certificate, a.at, cost < most, say!("{name}: cost"), say!("below {most}"), say!("{cost}"));
        self.check_improvement(a, &name, &place.plan, e);
    }

    /// A bond that somebody took: half is the challenger's, the rest the protocol's.
    fn forfeited(
        &mut self,
        a: &mut Around<'_>,
        site: B256,
        interval: u32,
        challenger: Address,
        told: U256,
        why: &str,
    ) -> Option<Place> {
        let place = self.take(a, site, interval)?;
        let until = u64::from(interval) * INTERVAL_S + CHALLENGE_S;
        let (what, wanted) = (say!("plan of interval {interval}: challenged"), say!("before {until}"));
        a.tally.holds(Kind::Timing, a.at, a.at.time < until, what, wanted, say!("{}", a.at.time));
        let bond = U256::from(place.plan.rules.bond);
        let reward = bond / U256::from(2);
        a.tally.equal(Kind::Balance, a.at, say!("reward of {challenger} for interval {interval}"), reward, told);
        self.stakes.add(challenger, reward);
        self.stakes.add(a.setting.fee_recipient, bond - reward);
        if !self.certify(a, site, interval, false) {
            reason(a, site, CLAIMED, -1);
        }
        reason(a, site, why, 1);
        self.sites.entry(site).or_default().priced.remove(&interval);
        Some(place)
    }

    /// The plan of an interval that is acted on, which ends it.
    pub(super) fn take(&mut self, a: &mut Around<'_>, site: B256, interval: u32) -> Option<Place> {
        let places = &mut self.sites.entry(site).or_default().places;
        let place = places.get_mut(&(interval % KEPT_PLANS)).filter(|p| p.live && p.plan.interval == interval);
        let (what, wanted) = (say!("interval {interval} of {}", a.registry.name(site)), say!("a plan to act on"));
        a.tally.holds(Kind::Certificate, a.at, place.is_some(), what, wanted, say!("none"));
        let place = place?;
        let taken = place.clone();
        place.live = false;
        Some(taken)
    }
}
