//! Recorded prices and powers on the replayed day.

use super::Series;
use crate::scenario::{Scenario, ScenarioError, Warning};
use crate::site::AssetKind;
use crate::units::{MicroPerKwh, UnixTime, Watts};
use chrono::{DateTime, NaiveDate, Timelike};
use chrono_tz::Tz;

/// Puts the prices of `date` into the import price, by local time of day. The feed-in price keeps its distance from it.
///
/// # Errors
/// The series lacks the day.
pub fn replace_price(scenario: &mut Scenario, prices: &Series, date: NaiveDate) -> Result<(), ScenarioError> {
    let day = prices.shown(date)?;
    for k in 0..scenario.signals.len() {
        let price = MicroPerKwh(day[quarter_of_day(scenario, k)]);
        let distance = scenario.signals.import_price[k] - scenario.signals.feed_in_price[k];
        scenario.signals.import_price[k] = price;
        scenario.signals.feed_in_price[k] = price - distance;
    }
    Ok(())
}

/// Puts the powers (W) of `date` into the series of a PV inverter (rounded down) or base load (rounded up), by local
/// time of day. Where a PV inverter has no value at night it is dark. With `nominal`, a value of that many W becomes the
/// asset's rated power, and others in proportion. Negative values count as 0 (inverters draw a little at night), those above the rated power as that.
///
/// Gives what is to be known of it.
///
/// # Errors
/// The series lacks the day, or no PV inverter or base load has this id.
pub fn replace_power(
    scenario: &mut Scenario,
    asset: &str,
    powers: &Series,
    date: NaiveDate,
    nominal: Option<Watts>,
) -> Result<Vec<Warning>, ScenarioError> {
    let found = scenario.sites.iter().flat_map(|site| &site.assets).find(|known| known.id == asset);
    let target = found.filter(|found| matches!(found.kind, AssetKind::Pv | AssetKind::BaseLoad));
    let Some((rated_w, kind)) = target.map(|asset| (asset.rated_w.0, asset.kind.clone())) else {
        let (file, value) = powers.place();
        return Err(ScenarioError::new(file, 1, value, asset, "the id of a PV inverter or base load"));
    };
    let nominal = nominal.map_or(rated_w, |watts| watts.0.max(1));
    let (day, dark) = if kind == AssetKind::Pv { powers.shown_or_dark(date)? } else { (powers.shown(date)?, 0) };
    let scaled = |value: i64| {
        let product = i128::from(value.max(0)) * i128::from(rated_w);
        let (down, up) = (product / i128::from(nominal), (product + i128::from(nominal) - 1) / i128::from(nominal));
        let watts = |exact: i128| Watts(i64::try_from(exact).unwrap_or(rated_w).min(rated_w));
        if kind == AssetKind::Pv { watts(down).floor_to_step() } else { watts(up).ceil_to_step() }
    };
    let series = (0..scenario.signals.len()).map(|k| scaled(day[quarter_of_day(scenario, k)])).collect();
    scenario.signals.power_w.insert(asset.to_owned(), series);
    let (file, value) = powers.place();
    let mut warnings = Vec::new();
    let mut warn = |text: String| warnings.push(Warning { file: file.to_owned(), line: 0, text });
    if dark > 0 {
        warn(format!("{value}: {dark} quarter hours of {date} have no value: no sun"));
    }
    let peak = powers.peak();
    if kind == AssetKind::Pv && (peak < nominal / 20 || peak > 3 * nominal) {
        warn(format!(
            "{value}: the most is {peak} W, of a plant of {nominal} W: is it in another unit, or of another plant?"
        ));
    }
    Ok(warnings)
}

/// Which quarter hour of the local day (first site's clock) interval `k` of the signals is.
fn quarter_of_day(scenario: &Scenario, k: usize) -> usize {
    let zone = scenario.sites.first().and_then(|site| site.time_zone.parse().ok()).unwrap_or(Tz::UTC);
    let UnixTime(seconds) = scenario.signals.first.plus(k).start();
    let local = DateTime::from_timestamp(seconds, 0).unwrap_or_default().with_timezone(&zone);
    local.num_seconds_from_midnight() as usize / 900 % 96
}
