//! What a session's flexibility was worth, from certified node prices and posted readings: what was claimed may not be more.

use super::{INTERVAL_S, Plans};
use crate::abi::{Bill, Flexibility, Terms};
use crate::audit::billing;
use crate::audit::dispatch::reading_wh;
use crate::audit::facts::At;
use crate::audit::registry::Registry;
use crate::audit::report::{Kind, Tally};
use crate::audit::sessions::DISPUTE_WINDOW_S;
use alloy::primitives::{B256, U256};
use optimizer::flexibility::{self, Flexibility as Flexible, Metered};
use optimizer::units::{MicroPerKwh, WattHours, Watts};

/// What of a claim the contract can decide about, as findings name it.
const WORTH: &str = ": worth of its flexibility";
const MOVED: &str = ": energy moved";

/// A claim, until the readings of its last interval are posted: cars leave before those are due.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    at: At,
    pub(super) site: B256,
    terms: Terms,
    bill: Bill,
    moved: Flexibility,
    /// Last interval with energy.
    pub(super) last: u32,
}

impl Plans {
    /// A claim of flexibility; what it may come to is judged once its readings are there.
    pub fn claimed(
        &mut self,
        tally: &mut Tally,
        registry: &Registry,
        at: At,
        (terms, bill): (&Terms, &Bill),
        moved: &Flexibility,
    ) {
        let id = terms.session;
        let (first, last, metered) = stay_of(bill);
        let certified = self.is_stay_certified(terms, bill);
        let (what, wanted) = (say!("session {id}: intervals {first} to {last}"), say!("all certified"));
        tally.holds(Kind::Flexibility, at, certified, what, wanted, say!("not all"));
        let (site, last) = (terms.site, metered);
        self.claims.push(Claim { at, site, terms: terms.clone(), bill: bill.clone(), moved: moved.clone(), last });
        if self.sites.get(&site).is_some_and(|s| s.readings.contains_key(&last)) {
            self.judge(tally, registry, |claim| claim.terms.session == id);
        }
    }

    /// Judges the claims that are ready.
    pub(super) fn judge(&mut self, tally: &mut Tally, registry: &Registry, ready: impl Fn(&Claim) -> bool) {
        let (ready, waiting) = std::mem::take(&mut self.claims).into_iter().partition(ready);
        self.claims = waiting;
        let ready: Vec<Claim> = ready;
        for claim in ready {
            let until = claim.bill.settledAt.to::<u64>() + DISPUTE_WINDOW_S;
            self.judged.retain(|_, (_, until)| *until >= claim.at.time);
            self.judged.insert(claim.terms.session, (claim.at.transaction, until));
            let Some(found) = self.worth(registry, &claim.terms, &claim.bill) else { continue };
            let (id, moved) = (claim.terms.session, &claim.moved);
            // What one Wh more or less at the end of the stay can make.
            let rounding = i64::try_from(claim.terms.rewardCap / 1000).unwrap_or(i64::MAX).saturating_add(1);
            let most = found.worth.0.saturating_add(rounding);
            let (what, wanted) = (say!("session {id}{WORTH}"), say!("at most {}", found.worth));
            tally.holds(Kind::Flexibility, claim.at, moved.worth <= most, what, wanted, say!("{}", moved.worth));
            let most = found.activated_wh.0 + 1;
            let (what, wanted) = (say!("session {id}{MOVED}"), say!("at most {} Wh", found.activated_wh));
            let activated = i64::from(moved.activatedWh);
            tally.holds(Kind::Flexibility, claim.at, activated <= most, what, wanted, say!("{activated} Wh"));
        }
    }

    /// What of a billed session can be claimed: nothing before all its intervals are certified, and the last is metered.
    pub fn claimable(&self, registry: &Registry, terms: &Terms, bill: &Bill) -> Option<Flexible> {
        let (.., last) = stay_of(bill);
        let metered = self.sites.get(&terms.site).is_some_and(|site| site.readings.contains_key(&last));
        (metered && self.is_stay_certified(terms, bill)).then(|| self.worth(registry, terms, bill)).flatten()
    }

    /// Without a clock nobody can say which intervals they were.
    fn is_stay_certified(&self, terms: &Terms, bill: &Bill) -> bool {
        let (first, last, _) = stay_of(bill);
        bill.startTime.to::<u64>() > 0 && self.is_certified(terms.site, first, last)
    }

    /// A reward that the contract has lowered: it has to leave what readings and node prices make of it. What was wrong with
    /// the claim is decided then, and no finding any more.
    pub fn reward_corrected(&mut self, tally: &mut Tally, registry: &Registry, at: At, terms: &Terms, bill: &Bill) {
        let id = terms.session;
        self.judge(tally, registry, |claim| claim.terms.session == id);
        if let Some((claimed, _)) = self.judged.get(&id) {
            let about = |what: &str| what == format!("session {id}{WORTH}") || what == format!("session {id}{MOVED}");
            tally.decided(Kind::Flexibility, *claimed, about, "and was corrected");
        }
        let Some(found) = self.worth(registry, terms, bill) else { return };
        let worth = U256::from(u64::try_from(found.worth.0).unwrap_or_default());
        let least = billing::share(worth, terms.rewardBps.into());
        let (what, wanted) =
            (say!("session {id}: corrected reward"), say!("at least {least}, by readings and node prices"));
        tally.holds(Kind::Flexibility, at, U256::from(bill.reward) >= least, what, wanted, say!("{}", bill.reward));
    }

    fn worth(&self, registry: &Registry, terms: &Terms, bill: &Bill) -> Option<Flexible> {
        let (site, asset) = (self.sites.get(&terms.site)?, registry.assets.get(&terms.evse)?);
        let (lane, group) = (usize::from(asset.lane), usize::from(asset.data.group));
        let rated_w = i64::from(asset.data.ratedW);
        let max_w = self.most_w.get(&terms.session).map_or(rated_w, |most| (*most).min(rated_w));
        let read = |t: u32| site.readings.get(&t).and_then(|lanes| reading_wh(lanes, lane));
        let priced = |t: u32| site.priced.get(&t).and_then(|p| Some((*p.group.get(group)?, p.least)));
        Some(measured(terms, bill, max_w, read, priced))
    }
}

/// First and last interval that a stay touched, and the last one with energy.
fn stay_of(bill: &Bill) -> (u32, u32, u32) {
    let interval = |time: u64| (time / INTERVAL_S) as u32;
    let (start, stop) = (bill.startTime.to(), bill.stopTime.to::<u64>());
    (interval(start), interval(stop), interval(stop.saturating_sub(1)))
}

/// What a stay's flexibility was worth, over its whole intervals: in the first, partial one no plan could have given the car
/// anything. `priced` gives node price and least price of a certified interval. The car's own maximum is not on the chain;
/// `max_w` is the most that any plan took for it.
pub fn measured(
    terms: &Terms,
    bill: &Bill,
    max_w: i64,
    read: impl Fn(u32) -> Option<i64>,
    priced: impl Fn(u32) -> Option<(i64, i64)>,
) -> Flexible {
    let (first, _, last) = stay_of(bill);
    let billed = bill.stopMilliWh.saturating_sub(bill.startMilliWh) / 1000;
    let mut left = i64::try_from(billed).unwrap_or(i64::MAX);
    let metered = |t: u32| {
        // Another car may have come in the last interval: what was billed is the most that this one took.
        let energy_wh = read(t).unwrap_or(if t == last { left } else { 0 }).clamp(0, left);
        left -= energy_wh;
        let (node_price, least) = priced(t).map_or((None, 0), |(price, least)| (Some(MicroPerKwh(price)), least));
        Metered { energy_wh: WattHours(energy_wh), node_price, least_price: MicroPerKwh(least) }
    };
    let stay: Vec<Metered> = (first + 1..=last).map(metered).collect();
    let cap = MicroPerKwh(i64::try_from(terms.rewardCap).unwrap_or(i64::MAX));
    flexibility::measure(Watts(max_w), &stay, cap)
}
