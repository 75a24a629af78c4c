//! Base load and sun of the coming day: a fan of what they may be.
//!
//! Every alike day of the past is a member of the fan: a base load's the days of the same kind (workday or not) of four
//! weeks, the sun's the last fortnight. A member is moved towards what is metered now, and the longer ahead, the less: a base
//! load by the difference in W; the sun by the difference in *clearness*, its power against the brightest at that time of
//! day in the fortnight, which is the clear sky without any model of it. Median and quantiles are those of the members,
//! so the error model is the past's own spread.

use super::{DAY_S, at, clock, is_workday, quantile};
use crate::units::{INTERVAL_S, Interval, Watts};
use chrono::{TimeDelta, Timelike};
use chrono_tz::Tz;

/// Days that a base load remembers.
const LOAD_DAYS: i64 = 28;
/// Days that the sun remembers.
const SUN_DAYS: u32 = 14;
/// What is left after one interval of the difference between now and the past, of 1,000,000: half in an hour for a base
/// load, half in three for the sun. Measured: shorter and longer have larger errors (house, steel works; house, SERF East).
const LOAD_FADES: i64 = 840_896;
/// See [`LOAD_FADES`].
const SUN_FADES: i64 = 943_874;
const MILLION: i64 = 1_000_000;
const INTERVALS_PER_DAY: u32 = (DAY_S / INTERVAL_S) as u32;
/// Below this the sun tells nothing of how clear the day is.
const DUSK: Watts = Watts(50);

/// Metered power by interval, up to now.
#[derive(Debug, Clone, Copy)]
pub struct Metered<'a> {
    /// Interval of the first value.
    pub first: Interval,
    /// W; `None` where the meter was silent.
    pub power_w: &'a [Option<Watts>],
    /// Whose clock the load keeps.
    pub zone: Tz,
}

impl Metered<'_> {
    fn at(&self, interval: Interval) -> Option<Watts> {
        self.power_w.get(interval.offset_from(self.first)?).copied().flatten()
    }

    /// The newest interval.
    fn now(&self) -> Option<Interval> {
        Some(self.first.plus(self.power_w.len().checked_sub(1)?))
    }

    /// `interval` by the clock so many `days` before.
    fn days_before(&self, interval: Interval, days: i64) -> Interval {
        let local = clock(interval.start(), self.zone);
        let date = local.date_naive() - TimeDelta::days(days);
        Interval::containing(at(date, i64::from(local.num_seconds_from_midnight()), self.zone))
    }
}

/// What a power may be, as a handful of equally likely values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fan(Vec<Watts>);

impl Fan {
    /// The `per_mille` quantile; nothing where nothing is known.
    pub fn quantile(&self, per_mille: i64) -> Watts {
        let alike = self.0.iter().map(|power| (power.0, 1)).collect();
        Watts(quantile(alike, per_mille).unwrap_or_default())
    }

    /// The median.
    pub fn median(&self) -> Watts {
        self.quantile(500)
    }

    /// How many past days it rests on.
    pub fn days(&self) -> usize {
        self.0.len()
    }
}

/// A base load's next `horizon` intervals after the newest metered one.
pub fn load(metered: &Metered<'_>, horizon: usize) -> Vec<Fan> {
    let Some(now) = metered.now() else { return vec![Fan::default(); horizon] };
    let mut fades = MILLION;
    let fan = |ahead: usize| {
        let interval = now.plus(ahead);
        fades = fades * LOAD_FADES / MILLION;
        let workday = |interval: Interval| is_workday(clock(interval.start(), metered.zone).date_naive());
        let member = |days: i64| {
            let like = metered.days_before(interval, days);
            let power = metered.at(like).filter(|_| workday(like) == workday(interval))?;
            let then = metered.at(metered.days_before(now, days));
            let more = metered.at(now).zip(then).map_or(0, |(now, then)| (now - then).0);
            Some(Watts((power.0 + more * fades / MILLION).max(0)))
        };
        Fan((1..=LOAD_DAYS).filter_map(member).collect())
    };
    (1..=horizon).map(fan).collect()
}

/// A PV inverter's next `horizon` intervals after the newest metered one.
pub fn sun(metered: &Metered<'_>, horizon: usize) -> Vec<Fan> {
    let Some(now) = metered.now() else { return vec![Fan::default(); horizon] };
    // By the day and not by the clock: the sun keeps no summer time.
    let before =
        |interval: Interval, days: u32| metered.at(Interval(interval.0.saturating_sub(days * INTERVALS_PER_DAY)));
    let clear = |interval: Interval| (1..=SUN_DAYS).filter_map(|day| before(interval, day)).max().unwrap_or_default();
    let clear_now = clear(now);
    let clearness = |power: Watts| (power.0 * 1000 / clear_now.0.max(1)).min(1000);
    let brighter = |day: u32| {
        let (now, then) = metered.at(now).zip(before(now, day)).filter(|_| clear_now > DUSK)?;
        Some(clearness(now) - clearness(then))
    };
    let mut fades = MILLION;
    let fan = |ahead: usize| {
        let interval = now.plus(ahead);
        fades = fades * SUN_FADES / MILLION;
        let clear = clear(interval).0;
        let member = |day: u32| {
            let moved = clear * brighter(day).unwrap_or_default() / 1000 * fades / MILLION;
            Some(Watts((before(interval, day)?.0 + moved).clamp(0, clear)))
        };
        Fan((1..=SUN_DAYS).filter_map(member).collect())
    };
    (1..=horizon).map(fan).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::HORIZON;

    fn metered(power_w: &[Option<Watts>]) -> Metered<'_> {
        // 3 January 2000, a Monday.
        Metered { first: Interval(10_959 * 96), power_w, zone: Tz::UTC }
    }

    #[test]
    fn a_load_follows_its_kind_of_day_and_what_is_seen_now() {
        let workday = |k: usize| k / HORIZON % 7 < 5;
        let shape = |k: usize| if workday(k) { 1_000 + 10 * (k % HORIZON) as i64 } else { 200 };
        let past: Vec<_> = (0..28 * HORIZON - 48).map(|k| Some(Watts(shape(k)))).collect();
        // Sunday noon; the next morning is a workday's.
        let fans = load(&metered(&past), HORIZON);
        assert_eq!((fans[0].median(), fans[95].median()), (Watts(200), Watts(1_470)));
        let mut risen = past.clone();
        *risen.last_mut().expect("there is a past") = Some(Watts(1_200));
        let fans = load(&metered(&risen), HORIZON);
        assert!((900..1_100).contains(&fans[0].median().0) && (640..760).contains(&fans[3].median().0), "{fans:?}");
        assert_eq!(fans[95].median(), Watts(1_470), "by tomorrow it is forgotten");
    }

    #[test]
    fn a_clouded_morning_makes_a_clouded_noon_and_never_more_than_a_clear_one() {
        let clear = |k: usize| 100 * (k % HORIZON).abs_diff(48).min(24).abs_diff(24) as i64;
        let mut past: Vec<_> = (0..14 * HORIZON + 40).map(|k| Some(Watts(clear(k)))).collect();
        assert_eq!(sun(&metered(&past), 9)[8].median(), Watts(2_400));
        *past.last_mut().expect("there is a past") = Some(Watts(0));
        let fans = sun(&metered(&past), HORIZON);
        assert!((600..1_200).contains(&fans[8].median().0), "{}", fans[8].median());
        assert!(fans.iter().enumerate().all(|(k, fan)| fan.quantile(1000).0 <= clear(past.len() + k)));
        assert_eq!(fans[40].median(), Watts(0), "the night is dark");
    }

    #[test]
    fn little_is_known_of_a_short_or_silent_past() {
        assert_eq!(load(&metered(&[]), 2), vec![Fan::default(); 2]);
        assert_eq!(sun(&metered(&[None; 200]), 1)[0].days(), 0);
        assert_eq!(load(&metered(&[Some(Watts(7)); 97]), 1)[0].median(), Watts(7));
    }
}
