//! Time-of-use tariffs in ACN-Sim's form (`acnportal/signals/tariffs/tariff_schedules/*.json`): seasons, weekdays and
//! weekends, bands of the day, demand charge.

use super::json::{self, Decimal};
use crate::scenario::ScenarioError;
use crate::scenario::number::scaled_exactly;
use crate::units::{Interval, MicroPerKw, MicroPerKwh};
use chrono::{DateTime, Datelike, NaiveDate, Timelike, Weekday};
use chrono_tz::Tz;
use serde::Deserialize;

/// Quarter hours of a day.
const DAY: i64 = 96;
/// A leap year, which has every day that a season can begin or end on.
const LEAP_YEAR: i32 = 2000;

#[derive(Deserialize)]
struct File {
    name: String,
    schedule: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    effective_start: String,
    effective_end: String,
    dow_mask: String,
    times: Vec<Decimal>,
    tariffs: Vec<Decimal>,
    demand_charge: Decimal,
}

/// A utility's prices by season, day of the week and time of the day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tariff {
    /// Name in the file.
    pub name: String,
    file: String,
    seasons: Vec<Season>,
}

/// What holds on some days of a part of the year.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Season {
    id: String,
    /// (Month, day), both within; a season that ends before it begins goes over New Year.
    first: (u32, u32),
    last: (u32, u32),
    on_weekdays: bool,
    on_weekends: bool,
    /// Quarter hours since midnight at which a price begins to hold, rising from 0.
    bands: Vec<(i64, MicroPerKwh)>,
    demand_charge: MicroPerKw,
}

/// Reads a tariff. `file` is its name, for errors.
///
/// # Errors
/// The first fault, with line or field: bands that do not begin at midnight, rise and lie on quarter hours, a day that is
/// none, a number that is absurd.
pub fn tariff(file: &str, bytes: &[u8]) -> Result<Tariff, ScenarioError> {
    let File { name, schedule } = json::parse(file, bytes, "a tariff with name and schedule")?;
    let season = |(index, entry): (usize, &Entry)| {
        let at = |field: &str, value: &str, expected: &str| {
            ScenarioError::new(file, 0, &format!("schedule[{index}].{field}"), value, expected)
        };
        season(entry, &at)
    };
    let seasons = schedule.iter().enumerate().map(season).collect::<Result<_, _>>()?;
    Ok(Tariff { name, file: file.to_owned(), seasons })
}

fn season(entry: &Entry, at: &dyn Fn(&str, &str, &str) -> ScenarioError) -> Result<Season, ScenarioError> {
    let day =
        |field: &str, text: &str| day_of_year(text).ok_or_else(|| at(field, text, "month-day, for example 06-01"));
    let (on_weekdays, on_weekends) = match entry.dow_mask.as_str() {
        "ALL" => (true, true),
        "WEEKDAYS" => (true, false),
        "WEEKENDS" => (false, true),
        other => return Err(at("dow_mask", other, "ALL, WEEKDAYS or WEEKENDS")),
    };
    if entry.tariffs.len() != entry.times.len() {
        let expected = format!("as many as times: {}", entry.times.len());
        return Err(at("tariffs", &entry.tariffs.len().to_string(), &expected));
    }
    let mut bands: Vec<(i64, MicroPerKwh)> = Vec::with_capacity(entry.times.len());
    for (time, price) in entry.times.iter().zip(&entry.tariffs) {
        let hundredths = scaled_exactly(&time.to_string(), 2).filter(|hundredths| hundredths % 25 == 0);
        let quarter = hundredths.map(|hundredths| hundredths / 25).filter(|quarter| match bands.last() {
            Some((before, _)) => before < quarter && *quarter < DAY,
            None => *quarter == 0,
        });
        let expected = "hours since midnight in quarters, rising from 0 and below 24";
        let quarter = quarter.ok_or_else(|| at("times", &time.to_string(), expected))?;
        let price = price.whole(6).ok_or_else(|| at("tariffs", &price.to_string(), "a price per kWh"))?;
        bands.push((quarter, MicroPerKwh(price)));
    }
    if bands.is_empty() {
        return Err(at("times", "", "at least one time"));
    }
    let charge = entry.demand_charge.whole(6).filter(|charge| *charge >= 0);
    let charge =
        charge.ok_or_else(|| at("demand_charge", &entry.demand_charge.to_string(), "a price per kW from 0"))?;
    Ok(Season {
        id: entry.id.clone(),
        first: day("effective_start", &entry.effective_start)?,
        last: day("effective_end", &entry.effective_end)?,
        on_weekdays,
        on_weekends,
        bands,
        demand_charge: MicroPerKw(charge),
    })
}

/// (Month, day).
fn day_of_year(text: &str) -> Option<(u32, u32)> {
    let (month, day) = text.split_once('-')?;
    let date = NaiveDate::from_ymd_opt(LEAP_YEAR, month.parse().ok()?, day.parse().ok()?)?;
    Some((date.month(), date.day()))
}

impl Season {
    fn holds(&self, date: NaiveDate) -> bool {
        let day = (date.month(), date.day());
        let in_season = match self.first <= self.last {
            true => self.first <= day && day <= self.last,
            false => self.first <= day || day <= self.last,
        };
        let is_weekend = matches!(date.weekday(), Weekday::Sat | Weekday::Sun);
        in_season && if is_weekend { self.on_weekends } else { self.on_weekdays }
    }
}

impl Tariff {
    /// Prices of `n` intervals from `first`: each by what a clock in `zone` shows when it begins, so that a day on which
    /// the clock changes has 92 or 100 of them.
    ///
    /// # Errors
    /// A day on which no entry of the schedule holds, or two do.
    pub fn prices(&self, zone: Tz, first: Interval, n: usize) -> Result<Vec<MicroPerKwh>, ScenarioError> {
        let price = |k: usize| {
            // Every interval index lies in chrono's calendar.
            let local = DateTime::from_timestamp(first.plus(k).start().0, 0).unwrap_or_default().with_timezone(&zone);
            let quarter = i64::from(local.num_seconds_from_midnight()) / 900;
            let bands = &self.season(local.date_naive())?.bands;
            Ok(bands[bands.partition_point(|(from, _)| *from <= quarter) - 1].1)
        };
        (0..n).map(price).collect()
    }

    /// What a kW of the month's highest import costs, by the entry that holds on `date`.
    ///
    /// # Errors
    /// As [`Self::prices`].
    pub fn demand_charge(&self, date: NaiveDate) -> Result<MicroPerKw, ScenarioError> {
        Ok(self.season(date)?.demand_charge)
    }

    fn season(&self, date: NaiveDate) -> Result<&Season, ScenarioError> {
        let holding: Vec<&Season> = self.seasons.iter().filter(|season| season.holds(date)).collect();
        match holding.as_slice() {
            [one] => Ok(one),
            several => {
                let ids: Vec<&str> = several.iter().map(|season| season.id.as_str()).collect();
                let expected = format!("one entry that holds on {date}");
                Err(ScenarioError::new(&self.file, 0, "schedule", &ids.join(", "), expected))
            }
        }
    }
}
