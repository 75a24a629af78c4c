//! Times as field data writes them.

use chrono::{DateTime, FixedOffset, LocalResult, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;

const WITH_OFFSET: [&str; 2] = ["%Y-%m-%d %H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M:%S%.f%:z"];
const WITHOUT_OFFSET: [&str; 5] =
    ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%d.%m.%Y %H:%M"];
/// What is expected where a file has a zone, and where it has none.
const LOCAL_EXPECTED: &str = "a time like 2019-06-14 08:25:00";
const OFFSET_EXPECTED: &str = "a time with offset like 2019-06-14 08:25:00-07:00 (or a zone for the whole file)";

/// A time as a file has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamp {
    /// With its offset.
    Known(DateTime<FixedOffset>),
    /// What a clock showed.
    Local(NaiveDateTime),
}

/// Reads `text` in `format` (chrono's), or in any of the usual ones.
pub(super) fn stamp(text: &str, format: Option<&str>) -> Option<Stamp> {
    let (known, local) = match format {
        Some(format) => {
            let known = DateTime::parse_from_str(text, format).ok();
            (known, NaiveDateTime::parse_from_str(text, format).ok())
        }
        None => {
            let known = DateTime::parse_from_rfc3339(text).ok();
            (
                known.or_else(|| WITH_OFFSET.iter().find_map(|format| DateTime::parse_from_str(text, format).ok())),
                WITHOUT_OFFSET.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok()),
            )
        }
    };
    known.map(Stamp::Known).or(local.map(Stamp::Local))
}

/// Reads `text`. With a `zone` the time is seen on that zone's clock, and may lack an offset.
pub(super) fn parse(text: &str, zone: Option<Tz>) -> Result<DateTime<FixedOffset>, &'static str> {
    match (stamp(text, None), zone) {
        (Some(Stamp::Known(time)), Some(zone)) => checked(seen_in(time, zone)),
        (Some(Stamp::Known(time)), None) => checked(time),
        (Some(Stamp::Local(naive)), Some(zone)) => checked(local(naive, zone)),
        (None, Some(_)) => Err(LOCAL_EXPECTED),
        (_, None) => Err(OFFSET_EXPECTED),
    }
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
    last: Option<DateTime<FixedOffset>>,
}

impl Reader {
    pub(super) fn new(zone: Option<Tz>) -> Self {
        Self { zone, offset: None, last: None }
    }

    /// The clock of the times so far.
    pub(super) fn clock(&self) -> Clock {
        let zone = self.zone.map(Clock::Zone);
        zone.or(self.offset.map(Clock::Offset)).unwrap_or(Clock::Zone(Tz::UTC))
    }

    /// The next time. Of an hour that a clock shows twice the second follows the first; a time that it never shows is
    /// of another clock. Without a zone every time has an offset, and all the same.
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
                    let passed = self.last.is_some_and(|last| first <= last);
                    if passed { second.fixed_offset() } else { first.fixed_offset() }
                }
                LocalResult::None => return Err("a time that the zone's clock shows; it skips this one"),
            },
            (None, Some(_)) => return Err(LOCAL_EXPECTED),
            (_, None) => return Err(OFFSET_EXPECTED),
        };
        let time = checked(time)?;
        self.last = self.last.max(Some(time));
        Ok(time)
    }
}
/// The year range of scenarios: also keeps all later sums far from the ends of chrono's calendar.
fn checked(time: DateTime<FixedOffset>) -> Result<DateTime<FixedOffset>, &'static str> {
    use chrono::Datelike;
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
