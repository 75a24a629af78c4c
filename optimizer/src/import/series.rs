//! Recorded series (prices, powers, energies, emissions) in quarter hours.
//!
//! Values that begin in the same quarter hour are joined: their mean, or the sum where they are energies. One that lasts
//! longer holds until the next, an energy in equal parts. How long a value lasts is the step of the file: the most
//! frequent distance of its times. A value missing then is *bridged* by the one before, up to [`BRIDGE_S`] from where
//! that began; beyond is a gap, and whoever asks for it is told how much is missing.

use super::samples::{self, Samples};
use super::time::Clock;
use crate::scenario::{ScenarioError, Warning};
use crate::units::{INTERVAL_S, Interval, UnixTime};
use chrono::{DateTime, FixedOffset, NaiveDate, TimeDelta, Timelike};
use chrono_tz::Tz;
use std::collections::BTreeMap;

/// Longest that a value stands in for missing ones: hourly prices with an hour or two missing still are a series.
pub const BRIDGE_S: i64 = 3 * 3600;
/// Longest series, quarter hours: forty years.
const QUARTERS_MAX: i64 = 40 * 366 * 96;
/// Steps that may change within a file are no longer.
const HOUR_S: i64 = 3600;
/// Quarter hours that a clock shows in a day.
const DAY: i64 = 96;

/// How the values of a quarter hour become one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    /// Their mean: powers, prices, emissions per kWh.
    #[default]
    Mean,
    /// Their sum: energies.
    Sum,
}

/// Where a file has its series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeriesFormat {
    /// Column of the time at which a value begins.
    pub time: String,
    /// Column of the value.
    pub value: String,
    /// What a value is multiplied by: 1000 makes EUR/MWh micro per kWh; 1 leaves W.
    pub scale: i64,
    /// Zone whose clock the times follow; needed where they have no offset, or several.
    pub zone: Option<Tz>,
    /// How times are written (chrono's `%d/%m/%Y %H:%M`), where it is not one of the usual ways.
    pub time_format: Option<String>,
    /// How many seconds after its beginning a value is stamped: its length, where stamps are ends.
    pub late_s: i64,
    /// How values of a quarter hour become one.
    pub kind: Kind,
}

/// Values by quarter hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    file: String,
    value: String,
    clock: Clock,
    peak: i64,
    first: Interval,
    /// From `first` on; `None` in a gap.
    quarters: Vec<Option<i64>>,
    bridged: usize,
    repeated: usize,
    odd: Vec<ScenarioError>,
}

/// Reads a series from CSV or Parquet, compressed by gzip or not. `file` is its name, for errors. Rows with an empty
/// value are left out; of a time that comes twice the last value counts.
///
/// # Errors
/// The first fault, with line and column.
pub fn series(file: &str, bytes: &[u8], format: &SeriesFormat) -> Result<Series, ScenarioError> {
    let Samples { clock, values, odd } = samples::read(file, bytes, format)?;
    let peak = values.iter().map(|(_, value)| *value).max().unwrap_or(0);
    let count = values.len();
    let values: Vec<(i64, i64)> = values.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect();
    let repeated = count - values.len();
    let fail = |expected: String| ScenarioError::new(file, 1, &format.time, "", expected);
    let step = step_s(&values);
    let groups = by_quarter(&values, step);
    let ends = groups.first_key_value().zip(groups.last_key_value());
    let (first, last) = ends.map_or((0, -1), |((first, _), (last, _))| (*first, *last));
    if last - first > QUARTERS_MAX {
        return Err(fail("times within forty years".to_owned()));
    }
    let mut series = Series {
        file: file.to_owned(),
        value: format.value.clone(),
        clock,
        peak,
        first: Interval::containing(UnixTime(first * INTERVAL_S)),
        quarters: Vec::new(),
        bridged: 0,
        repeated,
        odd,
    };
    series.fill(&groups, (first, last), step, format.kind);
    Ok(series)
}

/// The most frequent distance of two times, the shorter of two that are, at most a day; a quarter hour where there is
/// none.
fn step_s(values: &[(i64, i64)]) -> i64 {
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for pair in values.windows(2) {
        *counts.entry(pair[1].0 - pair[0].0).or_default() += 1;
    }
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map_or(INTERVAL_S, |(step, _)| step.min(DAY * INTERVAL_S))
}

/// The values that begin in a quarter hour.
#[derive(Debug, Clone, Copy, Default)]
struct Joined {
    sum: i64,
    count: i64,
    /// How long the last of them lasts, seconds.
    lasts_s: i64,
}

impl Joined {
    /// How many quarter hours the last of them lasts.
    fn lasts(&self) -> i64 {
        (self.lasts_s / INTERVAL_S).max(1)
    }

    /// What they come to, of a file that has `expected` values in a quarter hour. Part of an energy is none.
    fn value(&self, kind: Kind, expected: i64) -> Option<i64> {
        match kind {
            Kind::Mean => Some((2 * self.sum + self.count).div_euclid(2 * self.count)),
            Kind::Sum => (self.count >= expected.min(INTERVAL_S / self.lasts_s.max(1))).then_some(self.sum),
        }
    }
}

/// By quarter hour since 1970. A value lasts as long as most of its file do; where the step of the file changes, as from
/// hourly to quarter-hourly prices, as long as its neighbours.
fn by_quarter(values: &[(i64, i64)], step: i64) -> BTreeMap<i64, Joined> {
    let gap = |k: usize| Some(values.get(k + 1)?.0 - values[k].0);
    let mut quarters: BTreeMap<i64, Joined> = BTreeMap::new();
    for (k, (at, value)) in values.iter().enumerate() {
        let [before, next] = [k.checked_sub(1).and_then(gap), gap(k)];
        let earlier = k.checked_sub(2).and_then(gap);
        let lasts_s = match (earlier, before, next) {
            (_, Some(before), Some(next)) if before == next && next <= HOUR_S => next,
            (_, _, Some(next)) if Some(next) == gap(k + 1) && next <= HOUR_S => next,
            (Some(earlier), Some(before), None) if earlier == before && before <= HOUR_S => before,
            _ => step,
        };
        let joined = quarters.entry(at.div_euclid(INTERVAL_S)).or_default();
        (joined.sum, joined.count, joined.lasts_s) = (joined.sum + value, joined.count + 1, lasts_s);
    }
    quarters
}

impl Series {
    fn fill(&mut self, groups: &BTreeMap<i64, Joined>, (first, last): (i64, i64), step: i64, kind: Kind) {
        // As many values as `expected` make a quarter hour.
        let expected = (INTERVAL_S / step).max(1);
        let mut held: Option<(i64, i64, i64)> = None;
        let tail = groups.get(&last).map_or(0, Joined::lasts);
        for at in first..last + tail + self.missing_to_midnight(last + tail) {
            let begun = groups.get(&at).and_then(|joined| Some((at, joined.value(kind, expected)?, joined.lasts())));
            held = begun.or(held);
            let value = held.filter(|(since, _, lasts)| at - since < (*lasts).max(BRIDGE_S / INTERVAL_S));
            self.quarters.push(value.map(|(since, value, lasts)| match kind {
                Kind::Mean => value,
                Kind::Sum => {
                    let part = (at - since) % lasts;
                    (value * (part + 1)).div_euclid(lasts) - (value * part).div_euclid(lasts)
                }
            }));
            self.bridged += usize::from(value.is_some_and(|(since, _, lasts)| at - since >= lasts));
        }
    }

    /// How many quarter hours the file's last day lacks at its end, where these can be bridged.
    fn missing_to_midnight(&self, end: i64) -> i64 {
        let time = DateTime::from_timestamp(end * INTERVAL_S, 0).unwrap_or_default().fixed_offset();
        let shown = self.clock.shows(time).time().num_seconds_from_midnight();
        let missing = (DAY * INTERVAL_S - i64::from(shown)) / INTERVAL_S % DAY;
        if missing < BRIDGE_S / INTERVAL_S { missing } else { 0 }
    }

    /// The largest value of the file, for scaling a recorded plant to another's rating; 0 where there is none.
    pub fn peak(&self) -> i64 {
        self.peak
    }

    /// The quarter hours that the series covers: the first, and the first after it.
    pub fn span(&self) -> (Interval, Interval) {
        (self.first, self.first.plus(self.quarters.len()))
    }

    /// What whoever uses the series should know: values bridged, gaps, repeated times.
    pub fn warnings(&self) -> Vec<Warning> {
        let gaps = self.quarters.iter().filter(|value| value.is_none()).count();
        let found = [
            (self.bridged, "quarter hours have no value and take the one before"),
            (gaps, "quarter hours have no value within 3 h before them: a gap"),
            (self.repeated, "times come twice: the last value counts"),
        ];
        let warning = |(count, text)| Warning { file: self.file.clone(), line: 0, text: format!("{count} {text}") };
        let odd = self.odd.first().map(|first| {
            let text = format!("{} rows are left out; the first: {first}", self.odd.len());
            Warning { file: self.file.clone(), line: 0, text }
        });
        found.into_iter().filter(|(count, _)| *count > 0).map(warning).chain(odd).collect()
    }

    /// The values of `n` intervals from `first`.
    ///
    /// # Errors
    /// Some are missing; how many, and which times the file has.
    pub fn values(&self, first: Interval, n: usize) -> Result<Vec<i64>, ScenarioError> {
        self.all((0..n).map(|k| self.at(first.plus(k))), || self.local(first).format("%Y-%m-%d %H:%M").to_string())
    }

    /// The values of a local day, by the file's clock: 96, and 92 or 100 where the clock changes.
    ///
    /// # Errors
    /// As [`Self::values`].
    pub fn day(&self, date: NaiveDate) -> Result<Vec<i64>, ScenarioError> {
        let first = self.quarter(date, 0);
        let next = self.quarter(date.succ_opt().unwrap_or(date), 0);
        self.values(first, next.offset_from(first).unwrap_or(0))
    }

    /// The 96 quarter hours that a clock shows in a local day: the first time where it shows them twice, an hour later
    /// where it skips them.
    pub(super) fn shown(&self, date: NaiveDate) -> Result<Vec<i64>, ScenarioError> {
        self.all((0..DAY).map(|q| self.at(self.quarter(date, q))), || date.to_string())
    }

    /// As [`Self::shown`], of a plant that is dark where the file has nothing: at night many loggers write no value. Also
    /// how many quarter hours that were.
    ///
    /// # Errors
    /// The day has no value at all, or lacks some between two that are far from dark.
    pub(super) fn shown_or_dark(&self, date: NaiveDate) -> Result<(Vec<i64>, usize), ScenarioError> {
        let day: Vec<Option<i64>> = (0..DAY).map(|q| self.at(self.quarter(date, q))).collect();
        let is_light = |value: &Option<i64>| value.is_some_and(|value| 10 * value > self.peak);
        let light = day.iter().position(is_light).zip(day.iter().rposition(is_light));
        let is_holed = light.is_some_and(|(first, last)| day[first..last].contains(&None));
        if is_holed || day.iter().all(Option::is_none) {
            return self.shown(date).map(|day| (day, 0));
        }
        let dark = day.iter().filter(|value| value.is_none()).count();
        Ok((day.into_iter().map(Option::unwrap_or_default).collect(), dark))
    }

    /// The middle one of all values; 0 where there is none.
    pub fn median(&self) -> i64 {
        let mut values: Vec<i64> = self.quarters.iter().flatten().copied().collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or(0)
    }

    /// Whether the times were told in UTC and nobody said what clock the days follow.
    pub fn is_utc(&self) -> bool {
        matches!(self.clock, Clock::Offset(offset) if offset.local_minus_utc() == 0)
            || self.clock == Clock::Zone(Tz::UTC)
    }

    /// Name of the file, and of the column of values: for messages.
    pub(super) fn place(&self) -> (&str, &str) {
        (&self.file, &self.value)
    }

    fn at(&self, interval: Interval) -> Option<i64> {
        self.quarters.get(interval.offset_from(self.first)?).copied().flatten()
    }

    fn quarter(&self, date: NaiveDate, quarter: i64) -> Interval {
        let naive = date.and_time(chrono::NaiveTime::MIN) + TimeDelta::seconds(quarter * INTERVAL_S);
        Interval::containing(UnixTime(self.clock.local(naive).timestamp()))
    }

    fn local(&self, interval: Interval) -> DateTime<FixedOffset> {
        self.clock.shows(DateTime::from_timestamp(interval.start().0, 0).unwrap_or_default().fixed_offset())
    }

    fn all(
        &self,
        values: impl Iterator<Item = Option<i64>>,
        asked: impl Fn() -> String,
    ) -> Result<Vec<i64>, ScenarioError> {
        let values: Vec<Option<i64>> = values.collect();
        let missing = values.iter().filter(|value| value.is_none()).count();
        values.iter().copied().collect::<Option<Vec<i64>>>().ok_or_else(|| {
            let (first, end) = self.span();
            let day = |interval| self.local(interval).date_naive();
            let has = if first == end {
                "nothing".to_owned()
            } else {
                format!("{} to {}", day(first), day(Interval(end.0 - 1)))
            };
            let expected = format!("values that the file has: {has}; {missing} of {} are missing", values.len());
            ScenarioError::new(&self.file, 1, &self.value, &asked(), expected)
        })
    }
}
