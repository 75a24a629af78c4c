//! A certificate from the calldata of its posting, and what it proves when it is verified once more.

use super::{Around, Plans, Priced};
use crate::abi::IPlans::{IPlansCalls as C, PlanImproved};
use crate::abi::{Certificate, Plan};
use crate::audit::report::Kind;
use crate::merkle;
use alloy::primitives::{B256, Bytes, I256, keccak256};
use optimizer::certificate::{claims, leaves, node_prices, verify};

/// Cost and bound count in this part of a base unit.
pub const UNITS: i128 = 40_000;

/// What a plan was posted with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// Its certificate.
    pub certificate: Certificate,
    /// Its setpoints.
    pub lanes: Bytes,
    /// Cost and bound, where they were claimed and not verified.
    pub claimed: Option<(I256, I256)>,
}

/// The posting of a plan of an interval.
pub fn posting(call: &C, site: B256, interval: u32) -> Option<Posted> {
    let (named, certificate, lanes, claimed) = match call {
        C::postProved(c) => ((c.site, c.interval), &c.certificate, &c.lanes, None),
        C::postClaimed(c) => ((c.site, c.interval), &c.certificate, &c.lanes, Some((c.cost, c.bound))),
        _ => return None,
    };
    let posted = || Posted { certificate: certificate.clone(), lanes: lanes.clone(), claimed };
    (named == (site, interval)).then(posted)
}

/// Cost or bound; what does not fit is nothing that this audit can come to.
pub fn units(value: I256) -> i128 {
    i128::try_from(value).unwrap_or(if value.is_negative() { i128::MIN } else { i128::MAX })
}

impl Plans {
    /// Verifies a certificate once more, and compares everything that the plan says of it.
    pub(super) fn check(&mut self, a: &mut Around<'_>, name: &str, plan: &Plan, posted: &Posted) {
        let (at, kind) = (a.at, Kind::Certificate);
        let Certificate { inputs, schedule, multipliers, root } = &posted.certificate;
        let t = &mut *a.tally;
        t.equal(kind, at, say!("{name}: hash of its inputs"), keccak256(inputs), plan.inputsHash);
        t.equal(kind, at, say!("{name}: hash of its schedule"), keccak256(schedule), plan.scheduleHash);
        t.equal(kind, at, say!("{name}: hash of its multipliers"), keccak256(multipliers), plan.multipliersHash);
        t.equal(kind, at, say!("{name}: hash of its setpoints"), keccak256(&posted.lanes), plan.columnHash);
        t.equal(kind, at, say!("{name}: root as posted"), *root, plan.root);
        if let Some((cost, bound)) = posted.claimed {
            t.equal(kind, at, say!("{name}: claimed cost"), cost, plan.cost);
            t.equal(kind, at, say!("{name}: claimed bound"), bound, plan.bound);
        }
        let verifier = plan.rules.verifier;
        if let Some(algorithm) = a.algorithms.get(&verifier) {
            t.equal(kind, at, say!("{name}: code hash of its verifier"), *algorithm, plan.algorithm);
        }
        if verifier != a.setting.verifier {
            // Its bytes, cost and bound mean what that code says they mean.
            if self.strangers.insert(verifier) {
                let site = a.registry.name(plan.site);
                t.note(
                    kind,
                    at,
                    say!("plans of {site} are verified by {verifier}, whose algorithm this build does not know"),
                );
            }
            return;
        }
        let verdict = verify(inputs, schedule, multipliers);
        let (what, wanted) = (say!("{name}: certificate"), say!("one that holds"));
        let refused = verdict.as_ref().err().map(ToString::to_string).unwrap_or_default();
        t.holds(kind, at, verdict.is_ok(), what, wanted, say!("{refused}"));
        let Ok(verdict) = verdict else { return };
        t.equal(kind, at, say!("{name}: cost"), verdict.cost, units(plan.cost));
        t.equal(kind, at, say!("{name}: bound"), verdict.bound, units(plan.bound));
        let column = keccak256(&verdict.first_column);
        t.equal(kind, at, say!("{name}: first column of its schedule"), column, plan.columnHash);
        let parts =
            (leaves(inputs, schedule, multipliers), claims(inputs, multipliers), node_prices(inputs, multipliers));
        let (Ok(leaves), Ok(claims), Ok(prices)) = parts else { return };
        let root = merkle::root(&leaves.iter().map(merkle::need_leaf).collect::<Vec<_>>());
        t.equal(kind, at, say!("{name}: root"), root, plan.root);

        let first = |series: &Vec<i64>| series.first().copied().unwrap_or_default();
        let least = first(&claims.import_price).min(first(&claims.feed_in_price));
        let priced = &mut self.sites.entry(plan.site).or_default().priced;
        priced.insert(plan.interval, Priced { group: prices.iter().map(first).collect(), least });
        priced.retain(|t, _| t + super::KEPT_INTERVALS > plan.interval);
        self.inputs(a, name, plan, &claims, &leaves, &verdict.first_column);
    }

    /// A cheaper plan of the same inputs, by whoever took the bond for it.
    pub(super) fn check_improvement(&self, a: &mut Around<'_>, name: &str, plan: &Plan, e: &PlanImproved) {
        let better = a.calls.take_plans(|call| match call {
            C::improve(c) if (c.plan.site, c.plan.interval) == (e.site, e.interval) => Some(c.better.clone()),
            _ => None,
        });
        let (at, kind) = (a.at, Kind::Certificate);
        let Some(better) = better else {
            a.tally.note(kind, at, say!("{name}: its certificate is not decodable"));
            return;
        };
        if plan.rules.verifier != a.setting.verifier {
            return;
        }
        a.tally.equal(kind, at, say!("{name}: hash of its inputs"), plan.inputsHash, keccak256(&better.inputs));
        let verdict = verify(&better.inputs, &better.schedule, &better.multipliers);
        let found = verdict.as_ref().map(|v| v.cost.to_string()).unwrap_or_else(ToString::to_string);
        a.tally.equal(kind, at, say!("{name}: cost that its schedule has"), found, units(e.cost).to_string());
    }
}
