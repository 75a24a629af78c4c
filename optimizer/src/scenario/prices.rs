//! `signals.csv`: prices, PV and base load of every interval.

use super::error::{ScenarioError, suggestion};
use super::number::{self, Rounding};
use super::people::{local_time, utc};
use super::sitemap::PRICE_MAX;
use super::table::{Cell, Row, Table};
use crate::signals::Signals;
use crate::site::{AssetKind, Site};
use crate::units::{INTERVAL_S, Interval, MicroPerKwh, POWER_STEP_W, Watts};
use std::collections::BTreeMap;

pub(crate) const PRICE_COLUMNS: [&str; 3] = ["time", "import_price_micro_per_kwh", "feed_in_price_micro_per_kwh"];
/// What the column of an asset starts with.
pub(crate) const POWER_PREFIX: &str = "power_w:";

/// An asset whose power comes from the signals.
struct Series<'a> {
    id: &'a str,
    column: String,
    rated_w: Watts,
    rounding: Rounding,
}

/// Reads the signals of `sites`.
pub(super) fn parse((name, bytes): (&str, &[u8]), sites: &[Site]) -> Result<Signals, ScenarioError> {
    let table = Table::read(name, bytes)?;
    let all = series_of(sites);
    check_columns(&table, &all)?;
    let mut signals =
        Signals { first: Interval(0), import_price: Vec::new(), feed_in_price: Vec::new(), power_w: BTreeMap::new() };
    for row in table.rows() {
        let interval = parse_time(row.cell("time"), sites)?;
        if signals.is_empty() {
            signals.first = interval;
        }
        let due = signals.first.plus(signals.len());
        if interval != due {
            let text = format!("{}: one line per quarter hour, without gap or repetition", utc(due.start()));
            return Err(row.cell("time").fail(text));
        }
        signals.import_price.push(parse_price(row.cell("import_price_micro_per_kwh"))?);
        signals.feed_in_price.push(parse_price(row.cell("feed_in_price_micro_per_kwh"))?);
        for series in &all {
            let power = parse_power(row, series)?;
            signals.power_w.entry(series.id.to_owned()).or_default().push(power);
        }
    }
    if signals.is_empty() {
        return Err(ScenarioError::new(name, 2, "time", "", "at least one interval"));
    }
    Ok(signals)
}

/// PV inverters and base loads. A plan may not count on sun that is not there, and must make room for all of a load:
/// hence the rounding.
fn series_of(sites: &[Site]) -> Vec<Series<'_>> {
    let assets = sites.iter().flat_map(|site| &site.assets);
    let rounded = assets.filter_map(|asset| match asset.kind {
        AssetKind::Pv => Some((asset, Rounding::Down)),
        AssetKind::BaseLoad => Some((asset, Rounding::Up)),
        AssetKind::Evse(_) | AssetKind::Battery(_) => None,
    });
    rounded
        .map(|(asset, rounding)| Series {
            id: &asset.id,
            column: format!("{POWER_PREFIX}{}", asset.id),
            rated_w: asset.rated_w,
            rounding,
        })
        .collect()
}

fn check_columns(table: &Table, all: &[Series<'_>]) -> Result<(), ScenarioError> {
    for column in table.header() {
        let Some(id) = column.strip_prefix(POWER_PREFIX) else { continue };
        if !all.iter().any(|series| series.id == id) {
            let hint = suggestion(id, all.iter().map(|series| series.id));
            let expected = format!("the id of a PV inverter or base load in sitemap.csv after {POWER_PREFIX:?}{hint}");
            return Err(ScenarioError::new(table.file(), 1, column, id, expected));
        }
    }
    let known: Vec<&str> = PRICE_COLUMNS.into_iter().chain(all.iter().map(|series| series.column.as_str())).collect();
    table.check_columns(&known, &[])
}

fn parse_time(cell: Cell<'_>, sites: &[Site]) -> Result<Interval, ScenarioError> {
    let time = local_time(cell, sites.iter())?;
    if time.0 % INTERVAL_S != 0 {
        return Err(cell.fail("the start of a quarter hour"));
    }
    Ok(Interval::containing(time))
}

fn parse_price(cell: Cell<'_>) -> Result<MicroPerKwh, ScenarioError> {
    Ok(MicroPerKwh(cell.integer(-PRICE_MAX..=PRICE_MAX, "price in micro per kWh")?))
}

fn parse_power(row: Row<'_>, series: &Series<'_>) -> Result<Watts, ScenarioError> {
    // The cell borrows from the table; the column name of the series would not live as long.
    let column = row.column(&series.column);
    let cell = row.cell(column);
    let expected = || cell.fail(format!("power in W, from 0 to the rated {}", series.rated_w));
    let tens = number::scaled(cell.text, -1, series.rounding).ok_or_else(expected)?;
    let power = tens.checked_mul(POWER_STEP_W).ok_or_else(expected)?;
    let negative = cell.text.starts_with('-') && number::scaled(cell.text, 0, Rounding::Down) != Some(0);
    if negative || power < 0 || power > series.rated_w.0 { Err(expected()) } else { Ok(Watts(power)) }
}
