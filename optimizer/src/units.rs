//! Numbers with units. Everything is an integer; floats live only in `solve`.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Length of an interval, seconds.
pub const INTERVAL_S: i64 = 900;
/// Intervals per hour.
pub const INTERVALS_PER_HOUR: i64 = 3600 / INTERVAL_S;
/// Intervals that one plan covers: a day.
pub const HORIZON: usize = 96;
/// Setpoints are multiples of this: one step of an on-chain lane.
pub const POWER_STEP_W: i64 = 10;
/// Most power a lane can carry: 15 bits of steps.
pub const POWER_MAX_W: i64 = 32_767 * POWER_STEP_W;

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// Nothing.
            pub const ZERO: Self = Self(0);
        }
        impl std::ops::Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }
        impl std::ops::Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0 - other.0)
            }
        }
        impl std::ops::AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                self.0 += other.0;
            }
        }
        impl std::ops::SubAssign for $name {
            fn sub_assign(&mut self, other: Self) {
                self.0 -= other.0;
            }
        }
        impl std::iter::Sum for $name {
            fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
                items.fold(Self::ZERO, |a, b| a + b)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

quantity!(
    /// Power, W. Positive draws from the site bus, negative feeds it.
    Watts(i64)
);
quantity!(
    /// Energy, Wh. Same sign as power.
    WattHours(i64)
);
quantity!(
    /// Money, base units of the credit token (10⁻⁶ credit).
    Micro(i64)
);
quantity!(
    /// Price, base units of the credit token per kWh.
    MicroPerKwh(i64)
);
quantity!(
    /// Price of a kW of demand, base units of the credit token per kW.
    MicroPerKw(i64)
);
quantity!(
    /// CO₂, g.
    Grams(i64)
);
quantity!(
    /// CO₂ that a kWh more from the grid causes, g per MWh (1 kg per kWh is a million).
    GramsPerMwh(i64)
);
quantity!(
    /// Unix time, seconds.
    UnixTime(i64)
);

/// A quarter hour: unix seconds / 900. The key of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Interval(pub u32);

impl Interval {
    /// The interval that contains `time`. Times before 1970 give interval 0, times after 2²⁶⁺⁶ years the last one.
    pub fn containing(time: UnixTime) -> Self {
        Self(u32::try_from(time.0.div_euclid(INTERVAL_S).max(0)).unwrap_or(u32::MAX))
    }

    /// The first interval that starts at `time` or later.
    pub fn starting_from(time: UnixTime) -> Self {
        Self::containing(UnixTime(time.0 + INTERVAL_S - 1))
    }

    /// Its first second.
    pub fn start(self) -> UnixTime {
        UnixTime(i64::from(self.0) * INTERVAL_S)
    }

    /// The first second after it.
    pub fn end(self) -> UnixTime {
        UnixTime(self.start().0 + INTERVAL_S)
    }

    /// The interval `count` later.
    pub fn plus(self, count: usize) -> Self {
        Self(self.0.saturating_add(u32::try_from(count).unwrap_or(u32::MAX)))
    }

    /// How many intervals lie from `origin` to this one; `None` where this one is earlier.
    pub fn offset_from(self, origin: Self) -> Option<usize> {
        self.0.checked_sub(origin.0).map(|n| n as usize)
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Watts {
    /// Rounded down in magnitude to a whole step, so that it never exceeds what it was.
    pub fn floor_to_step(self) -> Self {
        Self(self.0 / POWER_STEP_W * POWER_STEP_W)
    }

    /// Rounded up (towards +∞) to a whole step: for loads that a plan must make room for.
    pub fn ceil_to_step(self) -> Self {
        Self((self.0 + POWER_STEP_W - 1).div_euclid(POWER_STEP_W) * POWER_STEP_W)
    }

    /// As an on-chain lane: steps of 10 W. `None` where it is no whole step or does not fit 16 bits.
    pub fn lane(self) -> Option<i16> {
        if self.0 % POWER_STEP_W == 0 { i16::try_from(self.0 / POWER_STEP_W).ok() } else { None }
    }

    /// The power an on-chain lane stands for.
    pub fn from_lane(lane: i16) -> Self {
        Self(i64::from(lane) * POWER_STEP_W)
    }
}

impl MicroPerKwh {
    /// What `energy` costs: floor(Wh · price / 1000), the rule of the contracts. Rounds towards −∞, so it never creates money.
    pub fn bill(self, energy: WattHours) -> Micro {
        let exact = i128::from(energy.0) * i128::from(self.0);
        let floored = exact.div_euclid(1000);
        Micro(i64::try_from(floored).unwrap_or(if floored > 0 { i64::MAX } else { i64::MIN }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_round_the_way_their_names_say() {
        assert_eq!(Interval::containing(UnixTime(899)), Interval(0));
        assert_eq!(Interval::containing(UnixTime(900)), Interval(1));
        assert_eq!(Interval::starting_from(UnixTime(900)), Interval(1));
        assert_eq!(Interval::starting_from(UnixTime(901)), Interval(2));
        assert_eq!(Interval(3).offset_from(Interval(5)), None);
    }

    #[test]
    fn power_rounds_against_exceeding_a_limit() {
        assert_eq!(Watts(1239).floor_to_step(), Watts(1230));
        assert_eq!(Watts(-1239).floor_to_step(), Watts(-1230));
        assert_eq!(Watts(1231).ceil_to_step(), Watts(1240));
        assert_eq!(Watts(327_670).lane(), Some(32_767));
        assert_eq!(Watts(327_680).lane(), None);
        assert_eq!(Watts(15).lane(), None);
    }

    #[test]
    fn a_bill_never_creates_money() {
        assert_eq!(MicroPerKwh(300_000).bill(WattHours(1)), Micro(300));
        assert_eq!(MicroPerKwh(1).bill(WattHours(999)), Micro(0));
        assert_eq!(MicroPerKwh(-1).bill(WattHours(999)), Micro(-1));
    }
}
