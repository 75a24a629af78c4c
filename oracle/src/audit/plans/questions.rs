//! Plans as they should be at the end, in questions to the contract.

use super::{INTERVAL_S, Plans};
use crate::abi::{ICertificates, IPlans};
use crate::audit::facts::{At, Question, Setting};
use crate::audit::registry::{Registry, word};
use crate::audit::report::{Kind, Tally};
use alloy::primitives::{B256, U256};

/// A place has so many bits of a plan's hash, the leading ones.
const HASH_BITS: usize = 223;

/// Days whose announced prices the contract remembers.
const PRICE_DAYS: u32 = 8;

impl Plans {
    /// What `Plans` has to answer at the end; `owned` is its credit by the token's events.
    pub fn questions(
        &self,
        tally: &mut Tally,
        setting: &Setting,
        registry: &Registry,
        owned: U256,
        end: At,
    ) -> Vec<Question> {
        let (to, mut questions) = (setting.plans, Vec::new());
        let staked = |p: &&super::Place| p.live && p.plan.rules.bond > 0;
        let places = self.sites.values().flat_map(|s| s.places.values());
        let bonds: U256 = places.filter(staked).map(|p| U256::from(p.plan.rules.bond)).sum();
        let parts = self.stakes.free.values().copied().sum::<U256>() + bonds;
        tally.equal(Kind::Balance, end, say!("stakes and bonds of plans together"), self.stakes.accounted, parts);
        let (what, wanted) = (say!("tokens of Plans"), say!("at least {}", self.stakes.accounted));
        tally.holds(Kind::Balance, end, owned >= self.stakes.accounted, what, wanted, say!("{owned}"));
        let accounted = vec![("accounted", self.stakes.accounted)];
        questions.push(Question::new("money staked on plans", to, &IPlans::accountedCall {}, accounted));
        let credit = vec![("credit token", word(setting.credit))];
        questions.push(Question::new("token of Plans", to, &IPlans::creditCall {}, credit));
        for (account, free) in &self.stakes.free {
            let call = IPlans::stakeOfCall { account: *account };
            questions.push(Question::new(format!("stake of {account}"), to, &call, vec![("stake", *free)]));
        }
        for (id, site) in &self.sites {
            let name = registry.name(*id);
            let words = vec![("uncertified", site.uncertified)];
            let call = IPlans::uncertifiedOfCall { site: *id };
            questions.push(Question::new(format!("plans without a certificate of {name}"), to, &call, words));
            let interval = (end.time / INTERVAL_S) as u32 + 1;
            let rules = self.rules_at(setting, *id, interval);
            let words = vec![
                ("verifier", word(rules.verifier)),
                ("mode", U256::from(rules.mode as u8)),
                ("tolerance", U256::from(rules.tolerance)),
                ("epsilon", U256::from(rules.epsilon)),
                ("bond", U256::from(rules.bond)),
                ("settlement", word(rules.settlement)),
                ("terms", rules.terms.into()),
            ];
            let call = IPlans::rulesAtCall { site: *id, interval };
            questions.push(Question::new(format!("rules of plans of {name}"), to, &call, words));
            let newest = site.announced.keys().next_back().copied().unwrap_or_default();
            for (day, (prices, at)) in site.announced.iter().filter(|(day, _)| **day + PRICE_DAYS > newest) {
                let call = IPlans::pricesAtCall { site: *id, day: *day };
                let words = vec![("hash", (*prices).into()), ("announced at", U256::from(*at))];
                questions.push(Question::new(format!("prices of {name} on day {day}"), to, &call, words));
            }
            for place in site.places.values() {
                let interval = place.plan.interval;
                let kept: U256 = if place.live { place.hash.into() } else { U256::ZERO };
                let hash = kept >> (256 - HASH_BITS) << (256 - HASH_BITS);
                let what = format!("plan of interval {interval} of {name}");
                let call = IPlans::planHashAtCall { site: *id, interval };
                questions.push(Question::new(what.clone(), to, &call, vec![("hash", hash)]));
                let call = IPlans::isStakedCall { site: *id, interval };
                questions.push(Question::new(what, to, &call, vec![("staked", U256::from(staked(&place)))]));
            }
            // Each stretch, and that it is no longer.
            for stretch in site.certified.stretches() {
                let (first, last) = (*stretch.start(), *stretch.end());
                questions.push(certified(setting, *id, &name, (first, last), true));
                let (before, after) = (first.saturating_sub(1), last.saturating_add(1));
                for (edge, wider) in [(before, (before, last)), (after, (first, after))] {
                    if !(first..=last).contains(&edge) && !site.unsure.contains(&edge) {
                        questions.push(certified(setting, *id, &name, wider, false));
                    }
                }
            }
        }
        questions
    }
}

fn certified(setting: &Setting, site: B256, name: &str, (first, last): (u32, u32), expected: bool) -> Question {
    let call = ICertificates::isCertifiedCall { site, first, last };
    let what = format!("intervals {first} to {last} of {name}");
    Question::new(what, setting.plans, &call, vec![("certified", U256::from(expected))])
}
