//! Recorded prices and powers on the replayed day.

use super::time;
use crate::scenario::number::{self, Rounding};
use crate::scenario::table::Table;
use crate::scenario::{Scenario, ScenarioError};
use crate::site::AssetKind;
use crate::units::{INTERVAL_S, MicroPerKwh, UnixTime, Watts};
use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Timelike};
use chrono_tz::Tz;

/// Largest value after scaling: far above any price or power, and its products with one another fit an i128.
const VALUE_MAX: i64 = 1_000_000_000_000;
/// Quarter hours of a day.
const QUARTERS: usize = 96;

/// Where a file has its series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesFormat {
    /// Column of the time at which a value begins.
    pub time: String,
    /// Column of the value.
    pub value: String,
    /// What a value is multiplied by: 1000 makes EUR/MWh micro per kWh; 1 leaves W.
    pub scale: i64,
    /// Zone whose clock tells the time of day; needed where times have no offset, or UTC.
    pub zone: Option<Tz>,
}

/// Values by local time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    file: String,
    value: String,
    samples: Vec<(NaiveDateTime, i64)>,
}

/// How a quarter hour gets its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resample {
    /// The last one that began: a price holds until the next.
    Hold,
    /// The mean of those that begin in it, or else the last one: power is metered.
    Mean,
}

/// Reads a series from CSV. `file` is its name, for errors. Lines with an empty value are left out.
///
/// # Errors
/// The first fault, with line and column.
pub fn series(file: &str, bytes: &[u8], format: &SeriesFormat) -> Result<Series, ScenarioError> {
    let table = Table::read(file, bytes)?;
    table.require_columns(&[&format.time, &format.value])?;
    let mut samples = Vec::new();
    for row in table.rows() {
        let (at, value) = (row.cell(row.column(&format.time)), row.cell(row.column(&format.value)));
        let time = time::parse(at.text, format.zone).map_err(|expected| at.fail(expected))?;
        if value.is_empty() {
            continue;
        }
        // To a millionth before scaling, so that the scale cannot lose what the file has.
        let micro = number::scaled(value.text, 6, Rounding::Nearest);
        let scaled = micro
            .map(|micro| i128::from(micro) * i128::from(format.scale))
            .map(|v| (v + 500_000).div_euclid(1_000_000));
        let scaled =
            scaled.and_then(|scaled| i64::try_from(scaled).ok()).filter(|v| (-VALUE_MAX..=VALUE_MAX).contains(v));
        samples.push((time.naive_local(), scaled.ok_or_else(|| value.fail("a number"))?));
    }
    // Stable: where a clock shows an hour twice, the file's order decides.
    samples.sort_by_key(|(time, _)| *time);
    Ok(Series { file: file.to_owned(), value: format.value.clone(), samples })
}

impl Series {
    /// The largest value, for scaling a recorded plant to another's rating; 0 where there is none.
    pub fn peak(&self) -> i64 {
        self.samples.iter().map(|(_, value)| *value).max().unwrap_or(0)
    }

    /// The 96 quarter hours of a local day.
    fn day(&self, date: NaiveDate, resample: Resample) -> Result<Vec<i64>, ScenarioError> {
        let midnight = date.and_time(chrono::NaiveTime::MIN);
        let quarter = |k: usize| midnight + TimeDelta::seconds(INTERVAL_S * i64::try_from(k).unwrap_or(0));
        (0..QUARTERS)
            .map(|k| self.during(quarter(k), quarter(k + 1), resample).ok_or_else(|| self.lacks(date)))
            .collect()
    }

    fn during(&self, from: NaiveDateTime, until: NaiveDateTime, resample: Resample) -> Option<i64> {
        let begun = self.samples.partition_point(|(time, _)| *time <= from);
        let (first, end) = (
            self.samples.partition_point(|(time, _)| *time < from),
            self.samples.partition_point(|(time, _)| *time < until),
        );
        if resample == Resample::Mean && first < end {
            let sum: i128 = self.samples[first..end].iter().map(|(_, value)| i128::from(*value)).sum();
            let count = i128::try_from(end - first).ok()?;
            return i64::try_from((2 * sum + count).div_euclid(2 * count)).ok();
        }
        let (time, value) = self.samples.get(begun.checked_sub(1)?)?;
        // Hourly prices with an hour or two missing still are a series; more is a day that the file does not have.
        (from - *time < TimeDelta::hours(3)).then_some(*value)
    }

    fn lacks(&self, date: NaiveDate) -> ScenarioError {
        let span = self
            .samples
            .first()
            .zip(self.samples.last())
            .map_or("nothing".to_owned(), |((from, _), (until, _))| format!("{} to {}", from.date(), until.date()));
        let expected = format!("values throughout a day that the file has: {span}");
        ScenarioError::new(&self.file, 1, &self.value, &date.to_string(), expected)
    }
}

/// Puts the prices of `date` into the import price, by local time of day. The feed-in price keeps its distance from it.
///
/// # Errors
/// The series lacks the day.
pub fn replace_price(scenario: &mut Scenario, prices: &Series, date: NaiveDate) -> Result<(), ScenarioError> {
    let day = prices.day(date, Resample::Hold)?;
    for k in 0..scenario.signals.len() {
        let price = MicroPerKwh(day[quarter_of_day(scenario, k)]);
        let distance = scenario.signals.import_price[k] - scenario.signals.feed_in_price[k];
        scenario.signals.import_price[k] = price;
        scenario.signals.feed_in_price[k] = price - distance;
    }
    Ok(())
}

/// Puts the powers (W) of `date` into the series of a PV inverter (rounded down) or base load (rounded up), by local
/// time of day. With `nominal`, a value of that many W becomes the asset's rated power, and others in proportion.
/// Negative values count as 0 (inverters draw a little at night), those above the rated power as that.
///
/// # Errors
/// The series lacks the day, or no PV inverter or base load has this id.
pub fn replace_power(
    scenario: &mut Scenario,
    asset: &str,
    powers: &Series,
    date: NaiveDate,
    nominal: Option<Watts>,
) -> Result<(), ScenarioError> {
    let found = scenario.sites.iter().flat_map(|site| &site.assets).find(|known| known.id == asset);
    let target = found.filter(|found| matches!(found.kind, AssetKind::Pv | AssetKind::BaseLoad));
    let Some((rated_w, kind)) = target.map(|asset| (asset.rated_w.0, asset.kind.clone())) else {
        return Err(ScenarioError::new(&powers.file, 1, &powers.value, asset, "the id of a PV inverter or base load"));
    };
    let nominal = nominal.map_or(rated_w, |watts| watts.0.max(1));
    let day = powers.day(date, Resample::Mean)?;
    let scaled = |value: i64| {
        let product = i128::from(value.max(0)) * i128::from(rated_w);
        let (down, up) = (product / i128::from(nominal), (product + i128::from(nominal) - 1) / i128::from(nominal));
        let watts = |exact: i128| Watts(i64::try_from(exact).unwrap_or(rated_w).min(rated_w));
        if kind == AssetKind::Pv { watts(down).floor_to_step() } else { watts(up).ceil_to_step() }
    };
    let series = (0..scenario.signals.len()).map(|k| scaled(day[quarter_of_day(scenario, k)])).collect();
    scenario.signals.power_w.insert(asset.to_owned(), series);
    Ok(())
}

/// Which quarter hour of the local day (first site's clock) interval `k` of the signals is.
fn quarter_of_day(scenario: &Scenario, k: usize) -> usize {
    let zone = scenario.sites.first().and_then(|site| site.time_zone.parse().ok()).unwrap_or(Tz::UTC);
    let UnixTime(seconds) = scenario.signals.first.plus(k).start();
    let local = DateTime::from_timestamp(seconds, 0).unwrap_or_default().with_timezone(&zone);
    local.num_seconds_from_midnight() as usize / 900 % QUARTERS
}
