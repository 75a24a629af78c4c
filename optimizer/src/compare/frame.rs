//! Runs as Parquet: one row per day, site and algorithm, and one per interval.

use super::{Run, Totals};
use crate::units::{INTERVAL_S, UnixTime, Watts};
use polars::prelude::{
    Column, DataFrame, DataType, IntoColumn, NamedFrom, ParquetWriter, PolarsResult, Series, TimeUnit,
};

/// One row per local day of every run; units in the columns' names, times and dates of the day's beginning in UTC.
/// `demand_cost_micro` is the whole run's, in the row of its last day, so that sums over a run are right.
///
/// # Errors
/// None that bad input could cause.
pub fn runs_parquet(runs: &[Run]) -> PolarsResult<Vec<u8>> {
    let day = |run: &'_ Run, ends: &[usize]| {
        let demand_cost = if ends[1] == run.intervals() { run.totals().demand_cost } else { None };
        (run.first.plus(ends[0]).start(), Totals { demand_cost, ..run.totals_of(ends[0]..ends[1]) })
    };
    let rows: Vec<(&Run, UnixTime, Totals)> = runs
        .iter()
        .flat_map(|run| run.days.windows(2).map(move |ends| (run, day(run, ends))))
        .map(|(run, (start, totals))| (run, start, totals))
        .collect();
    let text = |name: &str, cell: fn(&Run) -> &str| texts(name, rows.iter().map(|(run, ..)| cell(run)));
    let number = |name: &str, cell: &dyn Fn(&Totals) -> Option<i64>| {
        let values: Vec<Option<i64>> = rows.iter().map(|(.., totals)| cell(totals)).collect();
        Series::new(name.into(), values).into_column()
    };
    let columns = vec![
        text("case", |run| &run.case),
        text("site", |run| &run.site),
        text("algorithm", |run| run.algorithm.name()),
        times("day_start", rows.iter().map(|(_, start, _)| *start))?,
        number("sessions", &|t| Some(t.sessions as i64)),
        number("met", &|t| Some(t.met as i64)),
        number("wanted_wh", &|t| Some(t.wanted_wh.0)),
        number("delivered_wh", &|t| Some(t.delivered_wh.0)),
        number("revenue_micro", &|t| Some(t.revenue.0)),
        number("energy_cost_micro", &|t| Some(t.energy_cost.0)),
        number("demand_cost_micro", &|t| t.demand_cost.map(|cost| cost.0)),
        number("peak_w", &|t| Some(t.peak_w.0)),
        number("import_wh", &|t| Some(t.import_wh.0)),
        number("export_wh", &|t| Some(t.export_wh.0)),
        number("pv_offered_wh", &|t| Some(t.pv_offered_wh.0)),
        number("pv_used_wh", &|t| Some(t.pv_used_wh.0)),
        number("co2_g", &|t| t.co2.map(|grams| grams.0)),
        number("limit_violations", &|t| Some(i64::from(t.violations))),
    ];
    written(columns)
}

/// One row per interval of every run: mean powers, W, signed as on the bus, the limit, price, emissions and violations.
///
/// # Errors
/// None that bad input could cause.
pub fn series_parquet(runs: &[Run]) -> PolarsResult<Vec<u8>> {
    let rows: Vec<(&Run, usize)> = runs.iter().flat_map(|run| (0..run.intervals()).map(move |k| (run, k))).collect();
    let text = |name: &str, cell: fn(&Run) -> &str| texts(name, rows.iter().map(|(run, _)| cell(run)));
    let number = |name: &str, cell: &dyn Fn(&Run, usize) -> Option<i64>| {
        let values: Vec<Option<i64>> = rows.iter().map(|(run, k)| cell(run, *k)).collect();
        Series::new(name.into(), values).into_column()
    };
    let power = |name: &str, of: fn(&Run) -> &[Watts]| number(name, &|run, k| Some(of(run)[k].0));
    let columns = vec![
        text("case", |run| &run.case),
        text("site", |run| &run.site),
        text("algorithm", |run| run.algorithm.name()),
        times("time", rows.iter().map(|(run, k)| run.first.plus(*k).start()))?,
        power("net_w", |run| &run.power.net_w),
        power("evse_w", |run| &run.power.evse_w),
        power("base_w", |run| &run.power.base_w),
        power("battery_w", |run| &run.power.battery_w),
        power("pv_w", |run| &run.power.pv_w),
        number("limit_w", &|run, _| run.limit_w.map(|limit| limit.0)),
        number("import_price_micro_per_kwh", &|run, k| Some(run.import_price[k].0)),
        number("feed_in_price_micro_per_kwh", &|run, k| Some(run.feed_in_price[k].0)),
        number("co2_g_per_mwh", &|run, k| run.co2.get(k).map(|grams| grams.0)),
        number("limit_violations", &|run, k| Some(i64::from(run.violations[k]))),
    ];
    written(columns)
}

fn texts<'a>(name: &str, cells: impl Iterator<Item = &'a str>) -> Column {
    Series::new(name.into(), cells.collect::<Vec<_>>()).into_column()
}

fn times(name: &str, cells: impl Iterator<Item = UnixTime>) -> PolarsResult<Column> {
    let milliseconds: Vec<i64> = cells.map(|time| time.0 * 1000).collect();
    debug_assert!(milliseconds.iter().all(|ms| ms % (1000 * INTERVAL_S) == 0), "intervals begin on quarter hours");
    Series::new(name.into(), milliseconds).into_column().cast(&DataType::Datetime(TimeUnit::Milliseconds, None))
}

fn written(columns: Vec<Column>) -> PolarsResult<Vec<u8>> {
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).finish(&mut DataFrame::new_infer_height(columns)?)?;
    Ok(bytes)
}
