//! The day in one line of JSON.

use optimizer::report::{Proof, Report, SessionStage};
use optimizer::units::{Micro, WattHours, Watts};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What scripts read at the end of a run. Money in base units, energy in Wh, power in W, summed over sites.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Scenario name.
    pub scenario: String,
    /// Intervals of the day.
    pub intervals: usize,
    /// Sessions seen.
    pub sessions: usize,
    /// Sessions billed.
    pub settled: usize,
    /// Energy delivered.
    pub energy_wh: WattHours,
    /// Delivered of what cars wanted (delivered + shortfall), four decimals, rounded down: 1 means all of it.
    pub delivered_share: f64,
    /// Supply of the credit token.
    pub credit_supply: Micro,
    /// Credits that wallets, holds and claimables account for; equals the supply.
    pub credit_accounted: Micro,
    /// Flexibility tokens minted.
    pub flex_minted: Micro,
    /// Plans whose certificates the chain has accepted, over all sites.
    pub plans_certified: usize,
    /// Plans without one.
    pub plans_uncertified: usize,
    /// Largest gap of a certified plan: cost above the proven bound.
    pub gap_largest: Micro,
    /// Intervals × groups in which meters prove that a limit was exceeded.
    pub limit_violations: u32,
    /// Grid cost.
    pub cost: Micro,
    /// The same day's, uncontrolled.
    pub cost_uncontrolled: Micro,
    /// Sum of the sites' peaks: each pays for its own connection.
    pub peak_w: Watts,
    /// The same day's, uncontrolled.
    pub peak_uncontrolled_w: Watts,
    /// Seconds that it took, one decimal.
    pub wall_s: f64,
}

/// What the chain says at the end of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChainTotals {
    /// Supply of the credit token.
    pub credit_supply: Micro,
    /// Credits accounted for.
    pub credit_accounted: Micro,
    /// Flexibility tokens minted.
    pub flex_minted: Micro,
}

impl Summary {
    /// Sums a day up.
    pub fn from_report(report: &Report, chain: ChainTotals, wall: Duration) -> Self {
        let delivered: WattHours = report.sessions.iter().map(|s| s.delivered_wh).sum();
        let shortfall: WattHours = report.sessions.iter().map(|s| s.shortfall_wh).sum();
        let proofs = || report.sites.iter().flat_map(|site| &site.proofs);
        Self {
            scenario: report.scenario.clone(),
            intervals: report.intervals,
            sessions: report.sessions.len(),
            settled: report.sessions.iter().filter(|s| s.state == SessionStage::Settled).count(),
            energy_wh: delivered,
            delivered_share: share(delivered, delivered + shortfall),
            credit_supply: chain.credit_supply,
            credit_accounted: chain.credit_accounted,
            flex_minted: chain.flex_minted,
            plans_certified: proofs().filter(|proof| proof.is_certified()).count(),
            plans_uncertified: proofs().filter(|proof| !proof.is_certified()).count(),
            gap_largest: proofs().filter_map(Proof::gap).max().unwrap_or_default(),
            limit_violations: report.sites.iter().map(|s| s.limit_violations).sum(),
            cost: report.sites.iter().map(|s| s.cost).sum(),
            cost_uncontrolled: report.sites.iter().map(|s| s.cost_uncontrolled).sum(),
            peak_w: report.sites.iter().map(|s| s.peak_w).sum(),
            peak_uncontrolled_w: report.sites.iter().map(|s| s.peak_uncontrolled_w).sum(),
            wall_s: (wall.as_secs_f64() * 10.0).round() / 10.0,
        }
    }
}

/// Four decimals, rounded down; 1 where nothing was wanted.
fn share(part: WattHours, whole: WattHours) -> f64 {
    if whole.0 <= 0 {
        return 1.0;
    }
    let parts = i128::from(part.0) * 10_000 / i128::from(whole.0);
    f64::from(i32::try_from(parts).unwrap_or(i32::MAX)) / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_report::report;

    #[test]
    fn its_keys_are_those_of_the_manual_in_order() {
        let chain = ChainTotals { credit_supply: Micro(5), credit_accounted: Micro(5), flex_minted: Micro(2) };
        let summary = Summary::from_report(&report(96), chain, Duration::from_millis(12_345));
        let json = serde_json::to_string(&summary).expect("JSON");
        let keys: Vec<&str> = json.split('"').skip(1).step_by(2).filter(|k| *k != "two-sites").collect();
        assert_eq!(
            keys,
            "scenario intervals sessions settled energy_wh delivered_share credit_supply credit_accounted flex_minted \
             plans_certified plans_uncertified gap_largest limit_violations cost cost_uncontrolled peak_w peak_uncontrolled_w wall_s"
                .split_whitespace()
                .collect::<Vec<_>>()
        );
        assert!(json.ends_with("\"wall_s\":12.3}"), "{json}");
    }

    #[test]
    fn a_share_is_never_rounded_up_to_all() {
        assert_eq!(share(WattHours(99_999), WattHours(100_000)).to_string(), "0.9999");
        assert_eq!(share(WattHours(7), WattHours(7)).to_string(), "1");
        assert_eq!(share(WattHours(0), WattHours(0)).to_string(), "1");
    }
}
