//! When a car that is here may go, and how much it will take: habits of drivers and of their site.
//!
//! **A past session counts the more, the more alike it is** to the one at hand: weight `1 / (1 + d)²`, where `d` counts half
//! hours between the times of arrival and between the declared stays (for energies, kWh between the declared energies
//! too). Of the kernels, neighbour counts and ratios that were tried on ACN-Data this had the lowest pinball loss
//! throughout; its figures are printed by `tests/forecasts`.
//!
//! **A few sessions say little.** A driver's own sessions stand beside the site's, which count as `SITE_COUNTS` sessions
//! like the one at hand; among the site's stand those of the prior, which count as `PRIOR_COUNTS`. So a driver who comes
//! often is known by his own habit, a new one by the site's, and a new site by the `Prior`.
//!
//! **That a car is still here is known**: only past stays that were longer count, so quantiles move as time passes.

use super::{DAY_S, quantile, time_of_day_s};
use crate::session::PastSession;
use crate::units::{UnixTime, WattHours};
use chrono_tz::Tz;

/// A half hour more or less makes a session as unlike again.
const UNLIKE_S: i64 = 1800;
/// As does this much declared energy.
const UNLIKE_WH: i64 = 1000;
/// A declaration against none is as unlike as half a day.
const UNDECLARED_S: i64 = 24 * UNLIKE_S;
/// Weight of a session just like the one at hand.
const ALIKE: i128 = 1_000_000;
/// The site's sessions together count as so many of a driver's own.
const SITE_COUNTS: i128 = 4;
/// The prior counts as so many sessions of the site.
const PRIOR_COUNTS: i128 = 2;
/// Of a site's sessions so many of the newest count.
const SESSIONS_MAX: usize = 1500;

/// What is expected where nothing is known: the middles of ten classes with as many sessions each. Measured on the 6,026
/// sessions of JPL, May to August 2019 (ACN-Data; stays and energies in relation to what was declared on the 5,832 of
/// them that declared something).
struct Prior;

impl Prior {
    /// Stay per mille of the declared one, by what was declared: at most the hours given.
    const STAY: [(i64, [i64; 10]); 3] = [
        (2, [663, 920, 1065, 1309, 1767, 2328, 3522, 5258, 7853, 9847]),
        (6, [444, 744, 916, 1028, 1118, 1278, 1539, 1816, 2235, 2948]),
        (i64::MAX, [401, 741, 931, 993, 1021, 1055, 1094, 1152, 1243, 1449]),
    ];
    /// Energy taken per mille of the declared one.
    const ENERGY: [i64; 10] = [205, 324, 424, 512, 584, 651, 714, 805, 908, 1004];
    /// Stay of who declares nothing, seconds.
    const STAY_S: [i64; 10] = [5560, 10_270, 14_810, 19_780, 27_820, 31_860, 33_750, 34_970, 36_660, 39_920];
    /// Energy of who declares nothing, Wh.
    const ENERGY_WH: [i64; 10] = [2210, 5450, 6500, 8020, 9980, 12_090, 13_920, 17_570, 25_440, 39_780];

    fn stay_s(declared_s: Option<i64>) -> [i64; 10] {
        let Some(declared) = declared_s else { return Self::STAY_S };
        let class = Self::STAY.iter().find(|(hours, _)| declared <= hours.saturating_mul(3600));
        class.map_or(Self::STAY_S, |(_, shares)| shares.map(|share| declared * share / 1000))
    }

    fn energy_wh(declared_wh: Option<i64>) -> [i64; 10] {
        declared_wh.map_or(Self::ENERGY_WH, |declared| Self::ENERGY.map(|share| declared * share / 1000))
    }
}

/// What is known of a session when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun<'a> {
    /// Who; empty: nobody knows.
    pub driver: &'a str,
    /// When the car came.
    pub arrival: UnixTime,
    /// Departure that was declared.
    pub departure: Option<UnixTime>,
    /// Energy that was declared.
    pub energy_wh: Option<WattHours>,
}

impl<'a> From<&'a PastSession> for Begun<'a> {
    fn from(past: &'a PastSession) -> Self {
        Self { driver: &past.driver, arrival: past.arrival, departure: past.departure, energy_wh: past.energy_wh }
    }
}

/// The same as numbers that can be told apart.
#[derive(Debug, Clone, Copy)]
struct Like {
    arrival_s: i64,
    stay_s: Option<i64>,
    energy_wh: Option<i64>,
}

impl Like {
    fn new(begun: Begun<'_>, zone: Tz) -> Self {
        Self {
            arrival_s: time_of_day_s(begun.arrival, zone),
            stay_s: begun.departure.map(|departure| departure.0 - begun.arrival.0).filter(|stay| *stay > 0),
            energy_wh: begun.energy_wh.map(|energy| energy.0).filter(|energy| *energy > 0),
        }
    }

    /// Unlikeness as seconds.
    fn apart_s(&self, other: &Self) -> i64 {
        let around = (self.arrival_s - other.arrival_s).abs();
        around.min(DAY_S - around) + apart(self.stay_s, other.stay_s)
    }

    /// As [`Self::apart_s`], where declared energies matter too.
    fn energy_apart_s(&self, other: &Self) -> i64 {
        let in_seconds = |energy: Option<i64>| energy.map(|wh| wh * UNLIKE_S / UNLIKE_WH);
        self.apart_s(other) + apart(in_seconds(self.energy_wh), in_seconds(other.energy_wh))
    }
}

fn apart(one: Option<i64>, other: Option<i64>) -> i64 {
    match (one, other) {
        (Some(one), Some(other)) => (one - other).abs(),
        (None, None) => 0,
        _ => UNDECLARED_S,
    }
}

#[derive(Debug, Clone)]
struct Known {
    driver: String,
    unplugged: UnixTime,
    like: Like,
    stay_s: i64,
    delivered_wh: i64,
}

impl Known {
    fn new(past: &PastSession, zone: Tz) -> Self {
        Self {
            driver: past.driver.clone(),
            unplugged: past.unplugged,
            like: Like::new(past.into(), zone),
            stay_s: past.unplugged.0 - past.arrival.0,
            delivered_wh: past.delivered_wh.0,
        }
    }

    /// What tells sessions apart, newest last.
    fn order(&self) -> (UnixTime, &str, i64, i64) {
        (self.unplugged, &self.driver, self.stay_s, self.delivered_wh)
    }
}

/// The habits of a site and its drivers.
#[derive(Debug, Clone)]
pub struct Habits {
    zone: Tz,
    /// Oldest first.
    known: Vec<Known>,
}

impl Habits {
    /// What `past`, in any order, says of a site whose clock shows the time of `zone`.
    pub fn learn<'a>(zone: Tz, past: impl IntoIterator<Item = &'a PastSession>) -> Self {
        let mut habits = Self { zone, known: Vec::new() };
        past.into_iter().for_each(|session| habits.known.push(Known::new(session, zone)));
        habits.known.sort_by(|a, b| a.order().cmp(&b.order()));
        habits.forget();
        habits
    }

    /// One more session, in any order.
    pub fn add(&mut self, past: &PastSession) {
        let new = Known::new(past, self.zone);
        let at = self.known.partition_point(|known| known.order() <= new.order());
        self.known.insert(at, new);
        self.forget();
    }

    fn forget(&mut self) {
        self.known.drain(..self.known.len().saturating_sub(SESSIONS_MAX));
    }

    /// The `per_mille` quantile of the departure of a car that is still here at `now`; always after it. `None` where nobody
    /// ever stayed so long.
    pub fn departure(&self, begun: Begun<'_>, now: UnixTime, per_mille: i64) -> Option<UnixTime> {
        let like = Like::new(begun, self.zone);
        let stayed = now.0 - begun.arrival.0;
        let sample = |known: &Known| (known.stay_s, known.like.apart_s(&like));
        let mut weighted = self.weighted(begun.driver, sample, Prior::stay_s(like.stay_s));
        weighted.retain(|(stay_s, _)| *stay_s > stayed);
        quantile(weighted, per_mille).map(|stay_s| UnixTime(begun.arrival.0 + stay_s))
    }

    /// The `per_mille` quantile of the energy that the session will have taken when it ends.
    pub fn energy(&self, begun: Begun<'_>, per_mille: i64) -> WattHours {
        let like = Like::new(begun, self.zone);
        let sample = |known: &Known| {
            // In relation to what was declared, where both declared something.
            let scaled = like.energy_wh.zip(known.like.energy_wh).map(|(to, from)| known.delivered_wh * to / from);
            (scaled.unwrap_or(known.delivered_wh), known.like.energy_apart_s(&like))
        };
        let weighted = self.weighted(begun.driver, sample, Prior::energy_wh(like.energy_wh));
        WattHours(quantile(weighted, per_mille).unwrap_or_default())
    }

    /// Values and weights of driver, site and prior. With own weights summing to W and the site's to S, the weight of an
    /// own session w, of the site's w·[`SITE_COUNTS`] / (S + prior), of the prior's the same share of [`PRIOR_COUNTS`];
    /// everything multiplied by S + prior, so that nothing is divided.
    fn weighted(&self, driver: &str, sample: impl Fn(&Known) -> (i64, i64), prior: [i64; 10]) -> Vec<(i64, i128)> {
        let weigh = |known: &Known| {
            let (value, apart_s) = sample(known);
            let unlike = i128::from(UNLIKE_S + apart_s);
            (value, ALIKE * i128::from(UNLIKE_S * UNLIKE_S) / (unlike * unlike), driver == known.driver)
        };
        let site: Vec<_> = self.known.iter().map(weigh).collect();
        let all = site.iter().map(|(_, weight, _)| weight).sum::<i128>() + PRIOR_COUNTS * ALIKE;
        let named = !driver.is_empty();
        let together = site
            .into_iter()
            .map(|(value, weight, own)| (value, weight * (SITE_COUNTS * ALIKE + if own && named { all } else { 0 })));
        let each = PRIOR_COUNTS * ALIKE / prior.len() as i128 * SITE_COUNTS * ALIKE;
        together.chain(prior.into_iter().map(|value| (value, each))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MORNING: i64 = 8 * 3600;

    fn past(driver: &str, day: i64, stay_s: i64, declared_s: i64) -> PastSession {
        let arrival = UnixTime(day * DAY_S + MORNING);
        PastSession {
            site: "site".to_owned(),
            driver: driver.to_owned(),
            arrival,
            unplugged: UnixTime(arrival.0 + stay_s),
            departure: Some(UnixTime(arrival.0 + declared_s)),
            energy_wh: Some(WattHours(20_000)),
            delivered_wh: WattHours(stay_s),
        }
    }

    fn begun(driver: &str) -> Begun<'_> {
        let arrival = UnixTime(100 * DAY_S + MORNING);
        let departure = Some(UnixTime(arrival.0 + 28_800));
        Begun { driver, arrival, departure, energy_wh: Some(WattHours(20_000)) }
    }

    /// Hours after arrival.
    fn hours(habits: &Habits, driver: &str, stayed_s: i64, per_mille: i64) -> Option<i64> {
        let begun = begun(driver);
        let departure = habits.departure(begun, UnixTime(begun.arrival.0 + stayed_s), per_mille);
        departure.map(|departure| (departure.0 - begun.arrival.0) / 3600)
    }

    #[test]
    fn where_nothing_is_known_the_prior_speaks() {
        let habits = Habits::learn(Tz::UTC, []);
        assert_eq!(hours(&habits, "ana", 0, 100), Some(3), "401 per mille of eight hours");
        assert_eq!(hours(&habits, "ana", 4 * 3600, 100), Some(5), "who stayed longer stays longer");
        assert_eq!(hours(&habits, "ana", 20 * 3600, 100), None, "nobody stays so long");
        assert_eq!(habits.energy(begun("ana"), 500), WattHours(11_680), "584 per mille of 20 kWh");
    }

    #[test]
    fn few_sessions_lean_on_the_site_and_many_stand_alone() {
        let site: Vec<_> = (0..80).map(|day| past("others", day, 36_000, 28_800)).collect();
        let own = |count: i64| (0..count).map(|day| past("ana", day, 7_200, 28_800)).collect::<Vec<_>>();
        let median = |count: i64| hours(&Habits::learn(Tz::UTC, site.iter().chain(&own(count))), "ana", 0, 500);
        assert_eq!((median(0), median(2), median(20)), (Some(10), Some(10), Some(2)));
        let stranger = Habits::learn(Tz::UTC, site.iter().chain(&own(20)));
        assert_eq!(hours(&stranger, "", 0, 500), Some(10), "one without a name has no habit of its own");
    }

    #[test]
    fn what_is_alike_counts_more() {
        let late = |day| PastSession { arrival: UnixTime(day * DAY_S + 72_000), ..past("", day, 40_000, 3_600) };
        let all: Vec<_> = (0..40).flat_map(|day| [past("", day, 14_400, 28_800), late(day)]).collect();
        assert_eq!(hours(&Habits::learn(Tz::UTC, &all), "", 0, 500), Some(4));
    }

    #[test]
    fn the_order_of_the_past_changes_nothing() {
        let mut all: Vec<_> =
            (0..60).map(|day| past(["a", "b"][day as usize % 2], day, 3_600 * (1 + day % 9), 28_800)).collect();
        let forth = Habits::learn(Tz::UTC, &all);
        all.reverse();
        let mut back = Habits::learn(Tz::UTC, &all[..30]);
        all[30..].iter().for_each(|past| back.add(past));
        for per_mille in [50, 200, 500, 900] {
            assert_eq!(hours(&forth, "a", 3_600, per_mille), hours(&back, "a", 3_600, per_mille));
            assert_eq!(forth.energy(begun("b"), per_mille), back.energy(begun("b"), per_mille));
        }
    }
}
