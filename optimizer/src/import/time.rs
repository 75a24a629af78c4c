//! Times as field data writes them.

use chrono::{DateTime, FixedOffset, LocalResult, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;

const WITH_OFFSET: [&str; 2] = ["%Y-%m-%d %H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M:%S%.f%:z"];
const WITHOUT_OFFSET: [&str; 4] = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"];

/// Reads `text`. With a `zone` the time is seen on that zone's clock, and may lack an offset.
pub(super) fn parse(text: &str, zone: Option<Tz>) -> Result<DateTime<FixedOffset>, &'static str> {
    let known = DateTime::parse_from_rfc3339(text).ok();
    let known = known.or_else(|| WITH_OFFSET.iter().find_map(|format| DateTime::parse_from_str(text, format).ok()));
    match (known, zone) {
        (Some(time), Some(zone)) => checked(seen_in(time, zone)),
        (Some(time), None) => checked(time),
        (None, Some(zone)) => {
            let naive = WITHOUT_OFFSET.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
            checked(local(naive.ok_or("a time like 2019-06-14 08:25:00")?, zone))
        }
        (None, None) => Err("a time with offset like 2019-06-14 08:25:00-07:00 (or a zone for the whole file)"),
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
