//! How long a car takes for the rest of its need: near full it takes less and less, whatever it is given.
//!
//! **Model.** Up to about four fifths of its content a battery takes constant current, then constant voltage: its power
//! falls in a straight line with the room that is left, and so by the same share in every minute. ACN-Sim's
//! `Linear2StageBattery` is that model, with its bend at the same place (Z. J. Lee et al., "ACN-Sim: An Open-Source
//! Simulator for Data-Driven Electric Vehicle Charging Research", 2019).
//!
//! **Prior.** Nobody declares a battery, so every need is taken to end with a full one, at `END_PER_MILLE` of the car's
//! own power, and every battery to fill at that power in seven hours (77 kWh at 11 kW), so that its last fifth is
//! `RANGE_S`. Most batteries are smaller and most needs end before: what that costs is cheap hours, and what the
//! opposite costs is cars that leave short. On the built-in scenarios all ranges of one to one and a half hours come to
//! the same within 0.2 % of energy; at an end of 150 per mille twice as many cars are short.
//!
//! **What a car was seen to take** replaces the prior's level: from there its power falls as steeply as the prior's.

use crate::units::{INTERVAL_S, WattHours, Watts};

/// The power falls over what the car takes in this time at its own power.
const RANGE_S: i64 = 5400;
/// Power at the end of a need, per mille of the car's own.
const END_PER_MILLE: i64 = 50;
/// Power is held this long: the fall within is about a hundredth.
const STEP_S: i64 = 60;

/// By how many whole intervals the last of a need comes later than at a steady `most_w`, which is what the plan gives at
/// most; `car_w` is the car's own power, `takes_w` what it was last seen to take where that was less than it was given.
pub fn delay_intervals(energy: WattHours, most_w: Watts, car_w: Watts, takes_w: Option<Watts>) -> usize {
    let floor_w = (car_w.0 * END_PER_MILLE / 1000).max(1);
    let energy_ws = energy.0.max(0) * 3600;
    let fallen_w = |taken_ws: i64| (1000 - END_PER_MILLE) * taken_ws / (1000 * RANGE_S);
    let power_w = |left_ws: i64| match takes_w {
        // One that is already below the floor stays where it is.
        Some(now_w) => (now_w.0 - fallen_w(energy_ws - left_ws)).max(now_w.0.clamp(1, floor_w)),
        None => (floor_w + fallen_w(left_ws)).min(most_w.min(car_w).0).max(1),
    };
    let (mut left_ws, mut steps) = (energy_ws, 0);
    while left_ws > 0 {
        left_ws -= power_w(left_ws) * STEP_S;
        steps += 1;
    }
    let later_s = (steps * STEP_S - energy_ws / most_w.0.max(1)).max(0);
    usize::try_from(later_s.unsigned_abs().div_ceil(INTERVAL_S.unsigned_abs())).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAR: Watts = Watts(11_000);

    fn delay(energy_wh: i64, most: Watts, takes_w: Option<i64>) -> usize {
        delay_intervals(WattHours(energy_wh), most, CAR, takes_w.map(Watts))
    }

    #[test]
    fn what_the_taper_costs_is_the_same_for_every_need_that_spans_it() {
        // (ln 20 / 0.95 − 1) · 1.5 hours are 13 intervals.
        assert_eq!([16_500, 30_000, 60_000].map(|wh| delay(wh, CAR, None)), [13; 3]);
        assert!(delay(8_000, CAR, None) < 13 && delay(8_000, CAR, None) > delay(1_000, CAR, None) / 2);
        assert_eq!(delay(0, CAR, None), 0);
    }

    #[test]
    fn a_small_evse_hides_most_of_it() {
        assert!(delay(30_000, Watts(3_680), None) < delay(30_000, CAR, None) / 2 + 2);
    }

    #[test]
    fn what_was_seen_counts() {
        let at = |takes: i64| delay(3_000, Watts(takes), Some(takes));
        assert!(at(8_000) < delay(3_000, CAR, None), "less near full than the prior has it");
        assert!(at(2_000) > at(4_000) && at(4_000) > at(8_000));
        assert_eq!(delay(10, CAR, Some(0)), 40, "and it ends, whatever a meter says");
    }
}
