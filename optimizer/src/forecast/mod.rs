//! What is likely: small pure functions from what was to what will be, each with a back-test on real data
//! (`tests/forecasts`). They hold no clock and no state, count in integers, and the same past gives the same answer in
//! whatever order it is told.
//!
//! ```text
//! sessions that are over ─ habit ──► when a car that is here may go, and what it will take
//!                        ─ arrivals ► power that cars to come will want
//! metered power          ─ power ──► base load and sun of the next day, as a fan of what it may be
//! need and what it takes ─ taper ───► how long the rest of it will take
//! forecast and outcome   ─ score ──► how good that was
//! ```

pub mod arrivals;
pub mod habit;
pub mod power;
pub mod score;
pub mod taper;

use crate::units::UnixTime;
use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, TimeZone, Timelike, Weekday};
use chrono_tz::Tz;

/// Seconds of a day.
const DAY_S: i64 = 86_400;

/// What a clock in `zone` shows.
fn clock(time: UnixTime, zone: Tz) -> DateTime<Tz> {
    zone.from_utc_datetime(&DateTime::from_timestamp(time.0, 0).unwrap_or_default().naive_utc())
}

/// Seconds since midnight by the clock.
fn time_of_day_s(time: UnixTime, zone: Tz) -> i64 {
    i64::from(clock(time, zone).num_seconds_from_midnight())
}

/// When a clock in `zone` shows `seconds` after midnight of `date`; an hour off where it skips or repeats an hour then.
fn at(date: NaiveDate, seconds: i64, zone: Tz) -> UnixTime {
    let naive = date.and_time(chrono::NaiveTime::MIN) + TimeDelta::seconds(seconds);
    let time = zone.from_local_datetime(&naive).earliest();
    UnixTime(time.map_or(naive.and_utc().timestamp(), |time| time.timestamp()))
}

/// Whether people work on `date`; holidays are not known.
fn is_workday(date: NaiveDate) -> bool {
    !matches!(date.weekday(), Weekday::Sat | Weekday::Sun)
}

/// The `per_mille` quantile of values with weights: the smallest value at which that share of all weight is reached.
/// `None` where there is no weight.
fn quantile(mut weighted: Vec<(i64, i128)>, per_mille: i64) -> Option<i64> {
    weighted.sort_unstable();
    let total: i128 = weighted.iter().map(|(_, weight)| weight).sum();
    let mut reached = 0;
    let found = weighted.iter().find(|(_, weight)| {
        reached += weight;
        reached > 0 && reached * 1000 >= total * i128::from(per_mille)
    });
    found.map(|(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_first_value_that_reaches_its_share() {
        let values = || vec![(30, 1), (10, 1), (20, 2)];
        assert_eq!([0, 250, 251, 750, 751, 1000].map(|q| quantile(values(), q)), [10, 10, 20, 20, 30, 30].map(Some));
        assert_eq!((quantile(Vec::new(), 500), quantile(vec![(1, 0)], 500)), (None, None));
    }

    #[test]
    fn a_clock_goes_there_and_back() {
        let zone = chrono_tz::Europe::Berlin;
        let time = UnixTime(1_554_012_000);
        let date = clock(time, zone).date_naive();
        assert_eq!(date.to_string(), "2019-03-31", "the day on which the clock skips an hour");
        assert_eq!((time_of_day_s(time, zone), at(date, time_of_day_s(time, zone), zone)), (8 * 3600, time));
        assert!(!is_workday(date));
    }
}
