//! From registers to money, in integers: the arithmetic of DESIGN's bill, written from the words of docs/contracts.md and
//! not from the contracts' code, which it checks.

use crate::abi::{Bill, Flexibility, Tariff, Terms};
use alloy::primitives::U256;
use alloy::primitives::aliases::U40;

const WEEK_MINUTES: u64 = 10_080;
/// The epoch was a Thursday, three days into a week that begins on Monday.
const EPOCH_MINUTE: u64 = 3 * 1440;
const MILLI_WH_PER_WH: u64 = 1000;
const MILLI_WH_PER_KWH: u64 = 1_000_000;
const BPS: u64 = 10_000;
const INTERVAL_S: u64 = 900;

/// Energy between two readings, and the price that holds for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Times of the readings, unix seconds; 0 where the meter's clock is not set.
    pub from: u64,
    /// As `from`.
    pub until: u64,
    /// Energy drawn between them, thousandths of Wh.
    pub milli_wh: u128,
    /// Base units per kWh.
    pub price: u64,
}

/// What a meter says about a stay: its first and last reading, and the pieces between.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stay {
    /// First import register, thousandths of Wh.
    pub start_milli_wh: u128,
    /// Last import register, thousandths of Wh.
    pub stop_milli_wh: u128,
    /// First export register, thousandths of Wh.
    pub start_export_milli_wh: u128,
    /// Last export register, thousandths of Wh.
    pub stop_export_milli_wh: u128,
    /// First counter.
    pub start_counter: u64,
    /// Last counter.
    pub stop_counter: u64,
    /// Time of the first reading; 0, like the other, where the clock is not set.
    pub start_time: u64,
    /// Time of the last reading.
    pub stop_time: u64,
    /// Whether the counters are of an OCMF meter's fiscal series.
    pub fiscal: bool,
    /// From reading to reading.
    pub pieces: Vec<Piece>,
}

/// The lines of a bill; together they are the amount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lines {
    /// Energy × price, rounded down once.
    pub energy: U256,
    /// For a session in which energy was delivered.
    pub session_fee: U256,
    /// Whole minutes plugged in after the departure.
    pub idle_minutes: u64,
    /// What they cost.
    pub idle_fee: U256,
    /// What the minimum adds.
    pub minimum: U256,
    /// What the maximum takes off.
    pub maximum: U256,
    /// What the hold takes off: nobody pays more than was held.
    pub hold: U256,
    /// The bill.
    pub amount: U256,
}

/// Every price with the minute of the week from which it holds, in rising order, the first at Monday 00:00.
fn segments(tariff: &Tariff) -> Vec<(u64, u64)> {
    let bands = tariff.bands.iter().map(|b| (u64::from(b.fromMinute), b.price));
    let own = tariff.bands.first().is_none_or(|b| b.fromMinute > 0).then_some((0, tariff.price));
    own.into_iter().chain(bands).collect()
}

/// The price at a time.
pub fn price_at(tariff: &Tariff, time: u64) -> u64 {
    let minute = (time / 60 + EPOCH_MINUTE) % WEEK_MINUTES;
    segments(tariff).into_iter().rev().find(|(from, _)| *from <= minute).map_or(tariff.price, |(_, price)| price)
}

/// The highest price of the week.
pub fn highest_price(tariff: &Tariff) -> u64 {
    segments(tariff).into_iter().map(|(_, price)| price).max().unwrap_or(tariff.price)
}

/// The lowest price that holds anywhere in [from, until), of the whole week where a time is unknown.
pub fn lowest_price(tariff: &Tariff, from: u64, until: u64) -> u64 {
    let segments = segments(tariff);
    let whole_week = from == 0 || until < from;
    let last_minute = if until > from { (until - 1) / 60 } else { from / 60 };
    let span = last_minute.saturating_sub(from / 60);
    let begin = (from / 60 + EPOCH_MINUTE) % WEEK_MINUTES;
    let begins_inside = |segment: u64| (segment + WEEK_MINUTES - begin) % WEEK_MINUTES <= span;
    let touched = segments.iter().filter(|(at, _)| whole_week || begins_inside(*at)).map(|(_, price)| *price).min();
    let running = if whole_week { None } else { Some(price_at(tariff, from)) };
    touched.into_iter().chain(running).min().unwrap_or(tariff.price)
}

impl Lines {
    /// What a stay costs by the terms and the tariff.
    pub fn of(terms: &Terms, tariff: &Tariff, stay: &Stay) -> Self {
        let cost: U256 = stay.pieces.iter().map(|p| U256::from(p.milli_wh) * U256::from(p.price)).sum();
        let delivered = stay.stop_milli_wh > stay.start_milli_wh;
        let departure: u64 = terms.departure.to();
        let idle_minutes = stay.stop_time.saturating_sub(departure) / 60;
        let mut lines = Self {
            energy: cost / U256::from(MILLI_WH_PER_KWH),
            session_fee: if delivered { U256::from(tariff.sessionFee) } else { U256::ZERO },
            idle_minutes,
            idle_fee: U256::from(idle_minutes) * U256::from(tariff.idleFeePerMinute),
            ..Self::default()
        };
        let mut amount = lines.energy + lines.session_fee + lines.idle_fee;
        if delivered {
            lines.minimum = U256::from(tariff.minimum).saturating_sub(amount);
            amount += lines.minimum;
        }
        if tariff.maximum > 0 {
            lines.maximum = amount.saturating_sub(U256::from(tariff.maximum));
            amount -= lines.maximum;
        }
        lines.hold = amount.saturating_sub(U256::from(terms.held));
        lines.amount = amount - lines.hold;
        lines
    }
}

/// A share of an amount, rounded down.
pub fn share(amount: U256, bps: u64) -> U256 {
    amount * U256::from(bps) / U256::from(BPS)
}

/// The whole bill. `settled_at` in unix seconds.
pub fn bill(terms: &Terms, tariff: &Tariff, stay: &Stay, protocol_fee_bps: u16, settled_at: u64) -> Bill {
    let amount = Lines::of(terms, tariff, stay).amount;
    // No bill is above its hold, which has 80 bits.
    let narrow = |money: U256| u128::try_from(money).unwrap_or(u128::MAX);
    Bill {
        // A register beyond 64 bits is no bill's.
        startMilliWh: u64::try_from(stay.start_milli_wh).unwrap_or(u64::MAX),
        stopMilliWh: u64::try_from(stay.stop_milli_wh).unwrap_or(u64::MAX),
        startCounter: stay.start_counter,
        stopCounter: stay.stop_counter,
        fiscal: stay.fiscal,
        startTime: U40::from(stay.start_time),
        stopTime: U40::from(stay.stop_time),
        settledAt: U40::from(settled_at),
        amount: narrow(amount),
        operatorFee: narrow(share(amount, terms.operatorFeeBps.into())),
        protocolFee: narrow(share(amount, protocol_fee_bps.into())),
        reward: 0,
    }
}

/// What a claim of flexibility may come to: the bounds of its parts, and the driver's share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RewardBounds {
    /// Most energy that can have been moved, Wh.
    pub activated_wh: u64,
    /// Most Wh × intervals.
    pub displaced: u128,
    /// Most that it can have been worth.
    pub worth: u128,
    /// The driver's share of what was claimed.
    pub reward: u128,
}

/// Bounds and reward of a claim, by terms and bill alone.
pub fn reward(terms: &Terms, bill: &Bill, claimed: &Flexibility) -> RewardBounds {
    let energy_wh = (bill.stopMilliWh.saturating_sub(bill.startMilliWh)) / MILLI_WH_PER_WH;
    let interval = |time: U40| time.to::<u64>() / INTERVAL_S;
    let intervals = interval(bill.stopTime).saturating_sub(interval(bill.startTime)) + 1;
    let worth = u128::try_from(claimed.worth).unwrap_or_default();
    RewardBounds {
        activated_wh: energy_wh,
        displaced: u128::from(energy_wh) * u128::from(intervals),
        worth: u128::from(claimed.activatedWh) * u128::from(terms.rewardCap) / 1000,
        reward: worth * u128::from(terms.rewardBps) / u128::from(BPS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Band;
    use crate::signing::flat_tariff;

    /// 2026-06-15, a Monday, 00:00 UTC.
    const MONDAY: u64 = 1_781_481_600;

    fn banded(price: u64, bands: &[(u16, u64)]) -> Tariff {
        let bands = bands.iter().map(|(at, price)| Band { fromMinute: *at, price: *price }).collect();
        Tariff { bands, ..flat_tariff(price) }
    }

    /// Minute by minute, as a driver with a clock would.
    fn looked_up(tariff: &Tariff, from: u64, until: u64) -> u64 {
        let last = if until > from { until - 1 } else { from };
        (from / 60..=last / 60).map(|minute| price_at(tariff, minute * 60)).min().unwrap()
    }

    #[test]
    fn the_lowest_price_is_that_of_some_minute() {
        let tariffs = [
            flat_tariff(300),
            banded(300, &[(60, 200), (120, 400)]),
            banded(300, &[(0, 500), (1440, 100), (10_079, 50)]),
            banded(100, &[(5000, 700)]),
        ];
        for tariff in &tariffs {
            for from in (MONDAY..MONDAY + 14 * 86_400).step_by(39_983) {
                for span in [0, 1, 59, 60, 61, 3600, 86_399, 604_799, 604_800, 700_000] {
                    let (expected, found) =
                        (looked_up(tariff, from, from + span), lowest_price(tariff, from, from + span));
                    assert_eq!(found, expected, "{tariff:?} {from} + {span}");
                }
            }
        }
        // Until 01:00 is before the band that begins at 01:00, and without a clock the whole week counts.
        assert_eq!(lowest_price(&tariffs[1], MONDAY, MONDAY + 3600), 300);
        assert_eq!(lowest_price(&tariffs[1], MONDAY, MONDAY + 3601), 200);
        assert_eq!(lowest_price(&tariffs[3], 0, MONDAY), 100);
        assert_eq!((highest_price(&tariffs[2]), highest_price(&tariffs[3])), (500, 700));
    }

    #[test]
    fn every_line_of_a_bill_counts() {
        let piece = |milli_wh, price| Piece { from: MONDAY, until: MONDAY + 900, milli_wh, price };
        let stay = Stay {
            stop_milli_wh: 10_000_500,
            start_time: MONDAY,
            stop_time: MONDAY + 3600 + 150,
            pieces: vec![piece(4_000_500, 333_333), piece(6_000_000, 200_000)],
            ..Stay::default()
        };
        let terms = Terms { departure: U40::from(MONDAY + 3600), held: 5_000_000, operatorFeeBps: 1000, ..empty() };
        let tariff = Tariff { sessionFee: 100, idleFeePerMinute: 7, ..flat_tariff(0) };
        let lines = Lines::of(&terms, &tariff, &stay);
        // 4.0005 kWh × 0.333333 + 6 kWh × 0.2, rounded down once; two whole minutes.
        assert_eq!((lines.energy, lines.idle_minutes), (U256::from(1_333_498 + 1_200_000), 2));
        assert_eq!(lines.amount, U256::from(2_533_498 + 100 + 14));
        let bounded = |minimum, maximum, held| {
            let tariff = Tariff { minimum, maximum, ..tariff.clone() };
            Lines::of(&Terms { held, ..terms.clone() }, &tariff, &stay)
        };
        assert_eq!(bounded(3_000_000, 0, 5_000_000).amount, U256::from(3_000_000));
        assert_eq!(bounded(0, 2_000_000, 5_000_000).amount, U256::from(2_000_000));
        assert_eq!(bounded(0, 0, 1000).hold, U256::from(2_533_612 - 1000));
        let bill = bill(&terms, &tariff, &stay, 50, MONDAY + 9000);
        assert_eq!((bill.amount, bill.operatorFee, bill.protocolFee), (2_533_612, 253_361, 12_668));
        // Nothing delivered: neither fee nor minimum.
        let idle = Stay { stop_milli_wh: 0, pieces: Vec::new(), stop_time: MONDAY, ..stay };
        let dear = Tariff { minimum: 9, ..tariff };
        assert_eq!(Lines::of(&terms, &dear, &idle).amount, U256::ZERO);
    }

    fn empty() -> Terms {
        alloy::sol_types::SolValue::abi_decode(&[0; 512]).unwrap()
    }
}
