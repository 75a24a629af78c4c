//! What a session's flexibility was, and what it was worth (the formulas: `ARCHITECTURE.md`, flexibility).
//!
//! Everything follows from what was metered. Drivers ask for about twice what they take and many leave early, so a
//! baseline from declared values would pay for promises.

use crate::units::{INTERVALS_PER_HOUR, Micro, MicroPerKwh, WattHours, Watts};

/// One interval of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metered {
    /// Energy drawn; below zero counts as none.
    pub energy_wh: WattHours,
    /// Certified node price of the plan that dispatched it; `None` where it was dispatched by a fallback or uncertified.
    pub node_price: Option<MicroPerKwh>,
    /// The lower of import and feed-in price: least that a node price counts for.
    pub least_price: MicroPerKwh,
}

/// A session's flexibility. With p₀ the baseline and p what was drawn, both per interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flexibility {
    /// p₀: what an uncontrolled car would have drawn, by interval: maximum power until the delivered energy is reached.
    pub baseline_wh: Vec<WattHours>,
    /// E: what was delivered; also the sum of the baseline.
    pub delivered_wh: WattHours,
    /// min(E, P·L), rounded down, with laxity L = D − E/P over a stay of D intervals; never below zero.
    pub shiftable_wh: WattHours,
    /// F = ½ Σ |p₀ − p|, rounded down; at most what was shiftable.
    pub activated_wh: WattHours,
    /// G = Σ (E₀ − E) over the energies delivered up to the end of each interval, in Wh × intervals; at most E·L.
    pub displaced_wh_intervals: i64,
    /// V = Σ λ·(p₀ − p), rounded down, never below zero and never above F at the cap; λ is the node price within its
    /// bounds.
    pub worth: Micro,
}

/// Measures a session from `stay`, its intervals from the metered arrival on, at most `max_w` of car and EVSE.
/// Node prices count for at most `cap`.
///
/// An interval without a certified price earns nothing: energy moved *into* it counts as if it had cost the session's
/// highest price, energy moved *out of* it as if it had saved the lowest. With no certified interval V is zero.
///
/// Warning: a meter that reads more than P·D leaves no laxity; F, G and V are zero then, and nothing fails.
pub fn measure(max_w: Watts, stay: &[Metered], cap: MicroPerKwh) -> Flexibility {
    let drawn: Vec<i64> = stay.iter().map(|metered| metered.energy_wh.0.max(0)).collect();
    let delivered = drawn.iter().fold(0_i64, |sum, energy| sum.saturating_add(*energy));
    let baseline = baseline(max_w.0.max(0), delivered, stay.len());
    let moved: Vec<i128> = baseline.iter().zip(&drawn).map(|(p0, p)| i128::from(*p0) - i128::from(*p)).collect();

    let shiftable = shiftable(max_w, delivered, stay.len());
    let activated = (moved.iter().map(|m| m.abs()).sum::<i128>() / 2).min(shiftable);
    let mut ahead = 0;
    let displaced: i128 = moved
        .iter()
        .map(|m| {
            ahead += m;
            ahead
        })
        .sum();
    let worth = if shiftable > 0 { worth(stay, &moved, cap) } else { 0 };
    // No kWh moved can have saved more than the cap; Settlement asks the same.
    let worth = worth.min(activated * i128::from(cap.0.max(0)) / 1000);
    Flexibility {
        baseline_wh: baseline.into_iter().map(WattHours).collect(),
        delivered_wh: WattHours(delivered),
        shiftable_wh: WattHours(narrow(shiftable)),
        activated_wh: WattHours(narrow(activated)),
        displaced_wh_intervals: narrow(displaced.clamp(0, displaceable(max_w, delivered, stay.len()))),
        worth: Micro(narrow(worth)),
    }
}

/// Maximum power until `delivered` is reached. Cumulated energies are rounded down, so that single intervals are off by
/// less than 1 Wh and the sum by nothing; what does not fit into the stay is put at its end.
fn baseline(max_w: i64, delivered: i64, intervals: usize) -> Vec<i64> {
    let mut before = 0;
    (1..=intervals)
        .map(|count| {
            let full = i128::from(max_w) * count as i128 / i128::from(INTERVALS_PER_HOUR);
            let reached = if count == intervals { delivered } else { delivered.min(narrow(full)) };
            reached - std::mem::replace(&mut before, reached)
        })
        .collect()
}

/// min(E, P·L) with P·L = P·D − E.
fn shiftable(max_w: Watts, delivered: i64, intervals: usize) -> i128 {
    let most = i128::from(max_w.0.max(0)) * intervals as i128 / i128::from(INTERVALS_PER_HOUR);
    (most - i128::from(delivered)).clamp(0, i128::from(delivered))
}

/// E·L = E·D − E²/P, rounded down; zero where there is no laxity.
fn displaceable(max_w: Watts, delivered: i64, intervals: usize) -> i128 {
    let energy = i128::from(delivered);
    match i128::from(max_w.0) {
        // E·(D·P − E)/P, with P in W and E in W × intervals where they meet.
        power if power > 0 => {
            let lax = intervals as i128 * power - energy * i128::from(INTERVALS_PER_HOUR);
            energy.saturating_mul(lax).div_euclid(power).max(0)
        }
        _ => 0,
    }
}

/// V in micro. Prices per kWh, energies in Wh: a thousand to one.
fn worth(stay: &[Metered], moved: &[i128], cap: MicroPerKwh) -> i128 {
    let clipped = |metered: &Metered| metered.node_price.map(|price| price.max(metered.least_price).min(cap).0);
    let (Some(lowest), Some(highest)) = (stay.iter().filter_map(clipped).min(), stay.iter().filter_map(clipped).max())
    else {
        return 0;
    };
    let parts = stay.iter().zip(moved).map(|(metered, moved)| {
        let price = clipped(metered).unwrap_or(if *moved < 0 { highest } else { lowest });
        moved.saturating_mul(i128::from(price))
    });
    parts.fold(0_i128, i128::saturating_add).div_euclid(1000).max(0)
}

/// As 64 bits, saturating.
fn narrow(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value > 0 { i64::MAX } else { i64::MIN })
}

#[cfg(test)]
#[path = "../tests/seed/mod.rs"]
mod seed;

#[cfg(test)]
mod tests {
    use super::seed::seeded;
    use super::*;
    use proptest::prelude::*;

    const CAP: MicroPerKwh = MicroPerKwh(1_000_000);

    fn metered(energy_wh: i64, price: i64) -> Metered {
        let node_price = Some(MicroPerKwh(price));
        Metered { energy_wh: WattHours(energy_wh), node_price, least_price: MicroPerKwh::ZERO }
    }

    #[test]
    fn a_car_that_waits_for_the_cheap_interval_earns_the_difference() {
        let stay = [metered(0, 300_000), metered(1000, 100_000)];
        let found = measure(Watts(4000), &stay, CAP);
        assert_eq!(found.baseline_wh, [WattHours(1000), WattHours(0)]);
        assert_eq!((found.activated_wh, found.shiftable_wh), (WattHours(1000), WattHours(1000)));
        assert_eq!(found.displaced_wh_intervals, 1000);
        assert_eq!(found.worth, Micro(200_000));
    }

    #[test]
    fn a_car_that_charges_at_once_earns_nothing() {
        let stay = [metered(1000, 300_000), metered(500, 100_000), metered(0, 50_000)];
        let found = measure(Watts(4000), &stay, CAP);
        assert_eq!((found.activated_wh, found.displaced_wh_intervals, found.worth), (WattHours(0), 0, Micro(0)));
    }

    #[test]
    fn scarcity_counts_up_to_the_cap_only() {
        let stay = [metered(0, 90_000_000), metered(1000, 0)];
        assert_eq!(measure(Watts(4000), &stay, CAP).worth, Micro(1_000_000));
    }

    #[test]
    fn an_interval_without_a_certified_price_earns_nothing() {
        let uncertified = |energy| Metered { node_price: None, ..metered(energy, 0) };
        let into = [metered(0, 300_000), uncertified(1000), metered(0, 100_000)];
        assert_eq!(measure(Watts(4000), &into, CAP).worth, Micro(0));
        let out_of = [uncertified(0), metered(1000, 300_000), metered(0, 300_000)];
        assert_eq!(measure(Watts(4000), &out_of, CAP).worth, Micro(0));
        assert_eq!(measure(Watts(4000), &[uncertified(0), uncertified(1000)], CAP).worth, Micro(0));
    }

    #[test]
    fn a_noisy_meter_clips_and_does_not_fail() {
        let found = measure(Watts(4000), &[metered(1001, 300_000), metered(1003, 100_000)], CAP);
        assert_eq!((found.activated_wh, found.displaced_wh_intervals, found.worth), (WattHours(0), 0, Micro(0)));
        assert_eq!(measure(Watts(0), &[metered(5, 1)], CAP).shiftable_wh, WattHours(0));
        assert_eq!(measure(Watts(i64::MAX), &[metered(i64::MAX, i64::MAX); 3], CAP).baseline_wh.len(), 3);
        assert_eq!(measure(Watts(4000), &[], CAP).baseline_wh, []);
    }

    proptest! {
        #![proptest_config(seeded(256))]

        /// The bounds hold of themselves, up to the roundings of one Wh an interval, wherever the car obeyed its maximum.
        #[test]
        fn activated_is_shiftable_and_displaced_fits_the_laxity(
            max_w in 100_i64..50_000,
            shares in prop::collection::vec((0_i64..=100, 0_i64..500_000), 1..60),
        ) {
            let stay: Vec<_> = shares.iter().map(|(share, price)| metered(max_w / 4 * share / 100, *price)).collect();
            let found = measure(Watts(max_w), &stay, CAP);
            let moved: Vec<i64> = found.baseline_wh.iter().zip(&stay).map(|(p0, p)| p0.0 - p.energy_wh.0).collect();
            let slack = stay.len() as i64;

            prop_assert_eq!(found.baseline_wh.iter().copied().sum::<WattHours>(), found.delivered_wh);
            let activated = moved.iter().map(|m| m.abs()).sum::<i64>() / 2;
            prop_assert!(activated <= found.shiftable_wh.0 + slack, "{} > {}", activated, found.shiftable_wh);
            prop_assert!(found.activated_wh <= found.shiftable_wh);

            let displaced: i64 = (0..moved.len()).map(|k| moved[..=k].iter().sum::<i64>()).sum();
            let most = displaceable(Watts(max_w), found.delivered_wh.0, stay.len()) as i64;
            prop_assert!(displaced >= -slack && displaced <= most + slack * slack, "{displaced} of {most}");
            prop_assert!((0..=most).contains(&found.displaced_wh_intervals));
        }

        /// No meter makes it panic or breaks a bound.
        #[test]
        fn any_meter_gives_bounded_results(
            max_w in any::<i64>(),
            stay in prop::collection::vec((any::<i64>(), any::<Option<i64>>(), any::<i64>()), 0..20),
        ) {
            let stay: Vec<_> = stay.into_iter().map(|(energy, price, least)| Metered {
                energy_wh: WattHours(energy),
                node_price: price.map(MicroPerKwh),
                least_price: MicroPerKwh(least),
            }).collect();
            let found = measure(Watts(max_w), &stay, CAP);
            prop_assert!(found.activated_wh <= found.shiftable_wh && found.activated_wh.0 >= 0);
            prop_assert!(found.displaced_wh_intervals >= 0 && found.worth.0 >= 0);
        }
    }
}
