//! Times as field data writes them.

use chrono::{DateTime, Datelike, FixedOffset, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone};
use chrono_tz::Tz;
use std::collections::BTreeSet;

/// Dates that begin with the year, and the day first where points separate them.
const DATES: [&str; 4] = ["%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%Y%m%d"];
const TIMES: [&str; 5] = ["%H:%M:%S%.f", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%H%M"];
const ORDER_EXPECTED: &str = "a time whose day and month can be told apart (03/04/2026 may be either: give a time format \
                              like %d/%m/%Y %H:%M)";
/// What is expected where a file has a zone, and where it has none.
const LOCAL_EXPECTED: &str = "a time like 2019-06-14 08:25:00 (or a time format)";
const OFFSET_EXPECTED: &str = "a time with offset like 2019-06-14 08:25:00-07:00 (or a zone for the whole file)";

/// A time as a file has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamp {
    /// With its offset.
    Known(DateTime<FixedOffset>),
    /// What a clock showed.
    Local(NaiveDateTime),
}

impl Stamp {
    /// What the clock beside it showed.
    pub(super) fn shown(self) -> NaiveDateTime {
        match self {
            Self::Known(time) => time.naive_utc(),
            Self::Local(naive) => naive,
        }
    }
}

/// What comes first in dates like 03/04/2026.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Unknown,
    Day,
    Month,
}

/// How a column of a file writes times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Notation {
    /// Chrono's, where somebody gave one.
    format: Option<String>,
    order: Order,
}

impl Notation {
    /// In `format`, or in any of the usual ways. Whether the day or the month comes first follows from `texts`, of which
    /// one has a day after the twelfth.
    pub(super) fn of<'a>(format: Option<&str>, texts: impl Iterator<Item = &'a str>) -> Self {
        let mut order = Order::Unknown;
        let mut both = false;
        for text in texts {
            let mut numbers = text.split(['/', '-']).map(|part| part.trim().parse::<u32>().unwrap_or(0));
            let (first, second) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
            let found = match (first, second) {
                (13..=31, 1..=12) => Order::Day,
                (1..=12, 13..=31) => Order::Month,
                _ => continue,
            };
            both |= order != Order::Unknown && order != found;
            order = found;
        }
        Self { format: format.map(str::to_owned), order: if both { Order::Unknown } else { order } }
    }

    /// What is expected in the place of `text`: what comes first in its date, where it is a time but for that.
    pub(super) fn expected(&self, text: &str, otherwise: &'static str) -> &'static str {
        let day_first = Self { order: Order::Day, ..self.clone() };
        if self.stamp(text).is_none() && day_first.stamp(text).is_some() { ORDER_EXPECTED } else { otherwise }
    }

    /// The time that `text` tells.
    pub(super) fn stamp(&self, text: &str) -> Option<Stamp> {
        // The European transparency platform gives begin and end.
        let text = text.split(" - ").next().unwrap_or_default().trim();
        if let Some(format) = &self.format {
            let known = DateTime::parse_from_str(text, format).ok();
            return known
                .map(Stamp::Known)
                .or_else(|| NaiveDateTime::parse_from_str(text, format).ok().map(in_this_century).map(Stamp::Local));
        }
        if let Some(time) = unix(text) {
            return Some(Stamp::Known(time.fixed_offset()));
        }
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            let local = in_this_century(time.naive_local());
            return time.offset().from_local_datetime(&local).single().map(Stamp::Known);
        }
        for suffix in ["UTC", "GMT", "Z"] {
            if let Some(rest) = text.strip_suffix(suffix) {
                return Some(Stamp::Known(self.local(rest.trim())?.and_utc().fixed_offset()));
            }
        }
        // An offset is what follows a sign after the date.
        let sign = text.char_indices().skip(10).find(|(_, c)| matches!(c, '+' | '-' | '\u{2212}'));
        if let Some((at, sign)) = sign {
            let local = self.local(text[..at].trim())?;
            return offset(sign, &text[at + sign.len_utf8()..])?.from_local_datetime(&local).single().map(Stamp::Known);
        }
        self.local(text).map(Stamp::Local)
    }

    fn local(&self, text: &str) -> Option<NaiveDateTime> {
        let text = text.trim_end_matches(" Uhr").replace("a.m.", "AM").replace("p.m.", "PM");
        let at = text.find([' ', 'T'])?;
        let (date, time) = (&text[..at], text[at + 1..].trim());
        let ordered = match self.order {
            Order::Unknown => None,
            Order::Day => Some("%d/%m/%Y"),
            Order::Month => Some("%m/%d/%Y"),
        };
        let year_first = date.len() >= 8 && date.bytes().take(4).all(|byte| byte.is_ascii_digit());
        let day = if year_first || date.contains('.') {
            DATES.iter().find_map(|format| NaiveDate::parse_from_str(date, format).ok())
        } else {
            NaiveDate::parse_from_str(&date.replace('-', "/"), ordered?).ok()
        }?;
        let time = TIMES.iter().find_map(|format| NaiveTime::parse_from_str(time, format).ok())?;
        Some(in_this_century(day.and_time(time)))
    }
}

/// `+02:00`, `+0200` or `+02` without its sign.
fn offset(sign: char, text: &str) -> Option<FixedOffset> {
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    let is_offset = matches!(digits.len(), 2 | 4) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: i32 = is_offset.then(|| digits.parse().ok()).flatten()?;
    let seconds = if digits.len() == 2 { 3600 * number } else { 3600 * (number / 100) + 60 * (number % 100) };
    FixedOffset::east_opt(if sign == '+' { seconds } else { -seconds })
}

/// Seconds or milliseconds since 1970, of this century or the last years of the one before.
fn unix(text: &str) -> Option<DateTime<chrono::Utc>> {
    let digits = text.strip_suffix(".0").unwrap_or(text);
    let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()?;
    match digits.len() {
        9 | 10 => DateTime::from_timestamp(number, 0),
        12 | 13 => DateTime::from_timestamp_millis(number),
        _ => None,
    }
}

/// Years of two digits, which some files fill up with zeros.
fn in_this_century(time: NaiveDateTime) -> NaiveDateTime {
    let year = time.year();
    if (0..100).contains(&year) { time.with_year(2000 + year).unwrap_or(time) } else { time }
}

/// Reads `text`. With a `zone` the time is seen on that zone's clock, and may lack an offset.
pub(super) fn parse(text: &str, notation: &Notation, zone: Option<Tz>) -> Result<DateTime<FixedOffset>, &'static str> {
    match (notation.stamp(text), zone) {
        (Some(Stamp::Known(time)), Some(zone)) => checked(seen_in(time, zone)),
        (Some(Stamp::Known(time)), None) => checked(time),
        (Some(Stamp::Local(naive)), Some(zone)) => checked(local(naive, zone)),
        (None, Some(_)) => Err(LOCAL_EXPECTED),
        (_, None) => Err(OFFSET_EXPECTED),
    }
    .map_err(|expected| notation.expected(text, expected))
}

/// The clock of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    Zone(Tz),
    Offset(FixedOffset),
}

impl Clock {
    /// As [`local`].
    pub(super) fn local(self, naive: NaiveDateTime) -> DateTime<FixedOffset> {
        match self {
            Self::Zone(zone) => local(naive, zone),
            // No offset has a gap.
            Self::Offset(offset) => offset.from_local_datetime(&naive).single().unwrap_or_default(),
        }
    }

    /// What the clock shows.
    pub(super) fn shows(self, time: DateTime<FixedOffset>) -> DateTime<FixedOffset> {
        match self {
            Self::Zone(zone) => seen_in(time, zone),
            Self::Offset(offset) => time.with_timezone(&offset),
        }
    }
}

/// Reads the times of one series, in the order of its file.
#[derive(Debug)]
pub(super) struct Reader {
    zone: Option<Tz>,
    /// The offset of all times, where there is no zone.
    offset: Option<FixedOffset>,
    /// Hours that the clock shows twice, once seen.
    doubled: BTreeSet<NaiveDateTime>,
}

impl Reader {
    pub(super) fn new(zone: Option<Tz>) -> Self {
        Self { zone, offset: None, doubled: BTreeSet::new() }
    }

    /// The zone of the file itself, which counts where nobody gave one.
    pub(super) fn zoned(&mut self, zone: Tz) {
        self.zone.get_or_insert(zone);
    }

    /// The clock of the times so far.
    pub(super) fn clock(&self) -> Clock {
        let zone = self.zone.map(Clock::Zone);
        zone.or(self.offset.map(Clock::Offset)).unwrap_or(Clock::Zone(Tz::UTC))
    }

    /// The next time, in the order of time. Of an hour that a clock shows twice the second follows the first; a time that
    /// it never shows is of another clock. Without a zone every time has an offset, and all the same.
    pub(super) fn next(&mut self, stamp: Option<Stamp>) -> Result<DateTime<FixedOffset>, &'static str> {
        let time = match (stamp, self.zone) {
            (Some(Stamp::Known(time)), Some(_)) => time,
            (Some(Stamp::Known(time)), None) => {
                if *self.offset.get_or_insert(*time.offset()) != *time.offset() {
                    return Err("the same offset as before, or a zone for the whole file");
                }
                time
            }
            (Some(Stamp::Local(naive)), Some(zone)) => match zone.from_local_datetime(&naive) {
                LocalResult::Single(time) => time.fixed_offset(),
                LocalResult::Ambiguous(first, second) => {
                    if self.doubled.insert(naive) {
                        first.fixed_offset()
                    } else {
                        second.fixed_offset()
                    }
                }
                LocalResult::None => return Err("a time that the zone's clock shows; it skips this one"),
            },
            (None, Some(_)) => return Err(LOCAL_EXPECTED),
            (_, None) => return Err(OFFSET_EXPECTED),
        };
        checked(time)
    }
}

/// The year range of scenarios: also keeps all later sums far from the ends of chrono's calendar.
fn checked(time: DateTime<FixedOffset>) -> Result<DateTime<FixedOffset>, &'static str> {
    if (1990..2200).contains(&time.year()) { Ok(time) } else { Err("a year from 1990 to 2199") }
}

/// The same instant on the clock of `zone`.
pub(super) fn seen_in(time: DateTime<FixedOffset>, zone: Tz) -> DateTime<FixedOffset> {
    time.with_timezone(&zone).fixed_offset()
}

/// What a clock in `zone` shows as `naive`: the first time where it shows it twice, an hour later where it never does.
pub(super) fn local(naive: NaiveDateTime, zone: Tz) -> DateTime<FixedOffset> {
    match zone.from_local_datetime(&naive) {
        LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => time.fixed_offset(),
        LocalResult::None => {
            // In the gap the clock has not yet moved: read it with the offset of half a day before.
            let before = naive.checked_sub_signed(chrono::TimeDelta::hours(12)).unwrap_or(naive);
            let offset = zone.offset_from_utc_datetime(&before).fix();
            seen_in(offset.from_local_datetime(&naive).single().unwrap_or_default(), zone)
        }
    }
}
