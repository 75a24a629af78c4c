//! What the certificate of a plan shows of one session: its row and its prices, by a Merkle proof, and why its power was what
//! it was.

use super::story::{Proof, Quarter};
use super::{CERTIFIED, CLAIMED, INTERVAL_S, Told};
use crate::abi::IPlans::IPlansEvents as P;
use crate::abi::{Bill, Plan};
use crate::audit::calls::Calls;
use crate::audit::facts::{At, Range, Setting};
use crate::audit::plans::{Posted, UNITS, measured, posting, units};
use crate::audit::registry::Registry;
use crate::merkle;
use alloy::primitives::B256;
use optimizer::certificate::{Leaf, claims, leaves, micro_up, node_prices};
use std::collections::BTreeMap;

const UNITS_PER_MILLION: i128 = 1_000_000;

/// What `Plans` says of an interval of the stay.
pub(super) fn certified(
    quarters: &mut BTreeMap<u64, Quarter>,
    registry: &Registry,
    setting: &Setting,
    range: &Range,
    told: &Told,
    at: At,
    event: &P,
) {
    let (site, interval) = match event {
        P::PlanPosted(e) => (e.site, e.interval),
        P::UncertifiedPosted(e) => (e.site, e.interval),
        P::PlanRefuted(e) => (e.site, e.interval),
        P::PlanImproved(e) => (e.site, e.interval),
        P::BondReleased(e) => (e.site, e.interval),
        _ => return,
    };
    let quarter = quarters.get_mut(&interval.into()).filter(|_| site == told.terms.site);
    let Some(quarter) = quarter else { return };
    match event {
        P::PlanPosted(e) => {
            let posted = Calls::of(setting, range.transactions.get(&at.transaction))
                .take_plans(|call| posting(call, site, interval));
            let claimed = posted.as_ref().is_some_and(|p| p.claimed.is_some());
            quarter.certificate = if claimed { CLAIMED } else { CERTIFIED };
            let place = registry.assets.get(&told.terms.evse).zip(registry.sites.get(&site));
            if let (Some(posted), Some((asset, site))) = (posted, place) {
                let (path, times) = (site.path(asset.data.group), (at.time, told.terms.openedAt.to()));
                tell(quarter, &e.plan, &posted, (asset.lane.into(), &path), times);
            }
        }
        P::UncertifiedPosted(e) => quarter.uncertified = Some(e.reason.clone()),
        P::PlanRefuted(_) => quarter.certificate = "refuted",
        P::PlanImproved(_) => quarter.certificate = "improved upon",
        _ if quarter.certificate == CLAIMED => quarter.certificate = CERTIFIED,
        _ => {}
    }
}

/// What an uncontrolled car would have drawn, and what not drawing it then was worth.
pub(super) fn measure(quarters: &mut BTreeMap<u64, Quarter>, registry: &Registry, told: &mut Told, bill: &Bill) {
    let rated_w = registry.assets.get(&told.terms.evse).map_or(0, |asset| i64::from(asset.data.ratedW));
    let most_w = quarters.values().filter_map(|q| q.need_max_w).max();
    let of = |t: u32| quarters.get(&t.into());
    let priced = |t: u32| {
        let quarter = of(t).filter(|q| q.certificate == CERTIFIED)?;
        Some((quarter.node_price?, quarter.import_price?.min(quarter.feed_in_price?)))
    };
    let max_w = most_w.map_or(rated_w, |most| most.min(rated_w));
    let found = measured(&told.terms, bill, max_w, |t| of(t).and_then(|q| q.metered_wh), priced);
    told.earned.recomputed_micro = Some(found.worth.0);
    let first = bill.startTime.to::<u64>() / INTERVAL_S + 1;
    for (t, baseline_wh) in (first..).zip(&found.baseline_wh) {
        if let Some(quarter) = quarters.get_mut(&t) {
            quarter.baseline_wh = Some(baseline_wh.0);
        }
    }
}

/// Fills in what a plan shows of the EVSE in `lane`; `path` has its group first, and the root last.
fn tell(
    quarter: &mut Quarter,
    plan: &Plan,
    posted: &Posted,
    (lane, path): (usize, &[u16]),
    (posted_at, opened_at): (u64, u64),
) {
    let (cost, bound) = (units(plan.cost), units(plan.bound));
    let gap = cost.saturating_sub(bound);
    quarter.cost_micro = Some(narrow(cost.div_euclid(UNITS)));
    quarter.gap_micro = Some(narrow(micro_up(gap)));
    quarter.gap_ppm = (cost > 0).then(|| narrow(gap.saturating_mul(UNITS_PER_MILLION) / cost));
    quarter.verifier = Some(plan.rules.verifier);
    quarter.algorithm = Some(plan.algorithm);
    let c = &posted.certificate;
    let parts = (
        leaves(&c.inputs, &c.schedule, &c.multipliers),
        claims(&c.inputs, &c.multipliers),
        node_prices(&c.inputs, &c.multipliers),
    );
    let (Ok(leaves), Ok(claims), Ok(prices)) = parts else { return };
    quarter.import_price = claims.import_price.first().copied();
    quarter.feed_in_price = claims.feed_in_price.first().copied();
    let price = |group: u16| prices.get(usize::from(group)).and_then(|p| p.first()).copied().unwrap_or_default();
    quarter.node_price = path.first().map(|group| price(*group));
    let Some(index) = leaves.iter().position(|leaf| leaf.lane == lane) else {
        quarter.why = if posted_at < opened_at {
            "planned before the session was open"
        } else {
            "the plan had no need of it: the car had what it asked for, or took no more"
        }
        .to_owned();
        return;
    };
    let leaf = &leaves[index];
    let dearer: Vec<(u16, i64)> =
        path.windows(2).map(|pair| (pair[0], price(pair[0]) - price(pair[1]))).filter(|(_, more)| *more != 0).collect();
    quarter.need_max_w = Some(leaf.max_w());
    quarter.why = why(leaf, &dearer, quarter.start);
    quarter.proof = Some(proof(&leaves, index, plan.root));
}

fn proof(leaves: &[Leaf], index: usize, root: B256) -> Proof {
    let hashes: Vec<B256> = leaves.iter().map(merkle::need_leaf).collect();
    let siblings = merkle::siblings(&hashes, index);
    let folded = siblings.iter().fold(hashes[index], |node, sibling| merkle::node(node, *sibling));
    let leaf = &leaves[index];
    Proof {
        index,
        lane: leaf.lane,
        need: leaf.need.clone().into(),
        row: leaf.cells.clone().into(),
        price: leaf.price.clone(),
        least_price: leaf.least_price.clone(),
        leaf: hashes[index],
        siblings,
        root,
        checked: folded == root,
    }
}

/// Why the power of the first interval is what it is.
fn why(leaf: &Leaf, dearer: &[(u16, i64)], start: u64) -> String {
    let (power_w, now) = (leaf.power_w(0), leaf.price.first().copied().unwrap_or_default());
    let cheapest = leaf.price.iter().enumerate().min_by_key(|(_, price)| **price);
    let (k, least) = cheapest.map_or((0, now), |(k, price)| (k, *price));
    let mut why = if power_w == leaf.max_w() && power_w > 0 {
        "all it can take".to_owned()
    } else if power_w > 0 {
        "a part of what it can take".to_owned()
    } else if least < now {
        let at = start + INTERVAL_S * k as u64;
        format!("waits: {} at {:02}:{:02} UTC", price(least), at / 3600 % 24, at / 60 % 60)
    } else if (1..leaf.price.len()).any(|k| leaf.price[k] == now && leaf.power_w(k) > 0) {
        "waits: a later hour costs no more".to_owned()
    } else {
        "gets none, though no hour before it leaves is cheaper".to_owned()
    };
    let cells = |k: usize| (leaf.power_w(k), leaf.price[k]);
    let cheaper_are_full = (0..leaf.price.len()).map(cells).all(|(power, price)| price >= now || power == leaf.max_w());
    if power_w > 0 && least < now {
        why += if cheaper_are_full { "; cheaper hours are full" } else { "; cheaper hours are not enough" };
    } else if power_w > 0 {
        why += "; no hour before it leaves is cheaper";
    }
    for (group, more) in dearer {
        why += &if *more > 0 {
            format!("; group {group} was full: {} more behind it", price(*more))
        } else {
            format!("; group {group} fed all it may: {} less behind it", price(-*more))
        };
    }
    let planned: i64 = (0..leaf.until - leaf.from).map(|k| leaf.power_w(k)).sum();
    // Power in 10 W over a quarter of an hour is 2.5 Wh: what is less than that is no shortage.
    let short_wh = leaf.energy_wh() - planned / 4;
    if short_wh > 2 {
        why += &format!("; {short_wh} Wh could not be planned before it leaves");
    }
    why
}

/// Micro per kWh, as money.
fn price(micro: i64) -> String {
    let sign = if micro < 0 { "-" } else { "" };
    format!("{sign}{}.{:06}", micro.unsigned_abs() / 1_000_000, micro.unsigned_abs() % 1_000_000)
}

fn narrow(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value > 0 { i64::MAX } else { i64::MIN })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A need of at most 4 kW.
    fn leaf(energy_wh: u32, steps: &[u16], price: &[i64]) -> Leaf {
        let mut need = vec![0; 16];
        need[6..8].copy_from_slice(&400_u16.to_be_bytes());
        need[10..14].copy_from_slice(&energy_wh.to_be_bytes());
        let cells = steps.iter().flat_map(|power| power.to_be_bytes()).collect();
        let least_price = vec![0; price.len()];
        Leaf { lane: 0, group: 1, from: 0, until: steps.len(), need, cells, price: price.to_vec(), least_price }
    }

    #[test]
    fn a_driver_is_told_why() {
        let told = |energy_wh, steps: &[u16], price: &[i64]| why(&leaf(energy_wh, steps, price), &[], 900 * 40);
        assert_eq!(told(1000, &[0, 400], &[300_000, 100_000]), "waits: 0.100000 at 10:15 UTC");
        assert_eq!(told(1000, &[0, 400], &[100_000, 100_000]), "waits: a later hour costs no more");
        assert_eq!(told(2000, &[400, 400], &[300_000, 100_000]), "all it can take; cheaper hours are full");
        assert_eq!(told(1500, &[200, 400], &[300_000, 100_000]), "a part of what it can take; cheaper hours are full");
        assert_eq!(told(1000, &[400, 0], &[100_000, 300_000]), "all it can take; no hour before it leaves is cheaper");
        assert_eq!(
            why(&leaf(3000, &[0, 400], &[900_000, 900_000]), &[(1, 800_000)], 0),
            "waits: a later hour costs no more; group 1 was full: 0.800000 more behind it; 2000 Wh could not be planned \
             before it leaves"
        );
    }
}
