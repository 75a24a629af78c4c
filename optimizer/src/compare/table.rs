//! Runs as a table for people and as JSON for machines.

use super::outcome::share;
use super::{Algorithm, Run, Totals};
use crate::import::json::number;
use crate::units::Micro;
use serde_json::{Value, json as value};

/// A run with its sums, and what the optima of the same case came to.
pub(super) struct Line<'a> {
    pub(super) run: &'a Run,
    pub(super) totals: Totals,
    /// Its profit, as a share of the optimum's, hundredths of a per cent.
    pub(super) of_profit: Option<i64>,
    /// Its energy, as a share of the most that could be delivered.
    pub(super) of_energy: Option<i64>,
}

/// Runs with sums, in their order.
pub(super) fn lines(runs: &[Run]) -> Vec<Line<'_>> {
    let line = |run: &'_ Run| {
        let totals = run.totals();
        let best = |algorithm| {
            let same = |other: &&Run| other.case == run.case && other.site == run.site && other.algorithm == algorithm;
            runs.iter().find(same).map(Run::totals)
        };
        let (optimum, most) = (best(Algorithm::Optimum), best(Algorithm::MostEnergy));
        let of_profit = optimum.and_then(|optimum| share(totals.profit().0, optimum.profit().0));
        let of_energy = most.and_then(|most| share(totals.delivered_wh.0, most.delivered_wh.0));
        (totals, of_profit, of_energy)
    };
    runs.iter()
        .map(|run| {
            let (totals, of_profit, of_energy) = line(run);
            Line { run, totals, of_profit, of_energy }
        })
        .collect()
}

/// What a column shows of a run.
type Cell = fn(&Line<'_>) -> String;

/// Headers, and cells by run: what table and page show.
pub(super) fn cells(lines: &[Line<'_>]) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let any = |has: fn(&Line<'_>) -> bool| lines.iter().any(has);
    let (demand, co2) = (any(|l| l.totals.demand_cost.is_some()), any(|l| l.totals.co2.is_some()));
    let (sun, stored) = (any(|l| l.totals.pv_offered_wh.0 > 0), any(|l| l.run.stored_wh.0 != 0));
    let revenue = any(|l| l.totals.revenue.0 != 0);
    let of_energy = any(|l| l.of_energy.is_some());
    let mut columns: Vec<(&'static str, Cell)> =
        vec![("algorithm", |l| l.run.algorithm.to_string()), ("cost", |l| money(l.totals.cost()))];
    let mut add = |wanted: bool, name: &'static str, cell: Cell| {
        if wanted {
            columns.push((name, cell));
        }
    };
    add(demand, "of it demand", |l| l.totals.demand_cost.map_or(String::new(), money));
    add(revenue, "profit", |l| money(l.totals.profit()));
    add(revenue, "of optimum", |l| percent(l.of_profit));
    add(true, "peak kW", |l| decimal(l.totals.peak_w.0, 3, 1));
    add(true, "energy kWh", |l| decimal(l.totals.delivered_wh.0, 3, 1));
    add(true, "of wanted", |l| percent(l.totals.energy_share()));
    add(of_energy, "of most", |l| percent(l.of_energy));
    add(true, "met", |l| format!("{}/{}", l.totals.met, l.totals.sessions));
    add(true, "share met", |l| percent(l.totals.met_share()));
    add(sun, "self-consumption", |l| percent(l.totals.self_consumption()));
    add(stored, "stored kWh", |l| decimal(l.run.stored_wh.0, 3, 1));
    add(co2, "CO₂ kg", |l| l.totals.co2.map_or(String::new(), |g| decimal(g.0, 3, 1)));
    add(true, "over limit", |l| l.totals.violations.to_string());
    add(true, "plans", |l| format!("{}", l.run.plans.made));
    add(true, "bad plans", |l| format!("{}", l.run.plans.broken));
    add(true, "plan time s", |l| decimal(l.run.plans.total_us as i64, 6, 2));
    add(true, "slowest ms", |l| decimal(l.run.plans.slowest_us as i64, 3, 1));
    let rows = lines.iter().map(|line| columns.iter().map(|(_, cell)| cell(line)).collect()).collect();
    (columns.iter().map(|(name, _)| *name).collect(), rows)
}

/// What `lines` have in common where they belong to one case.
pub(super) fn title(line: &Line<'_>) -> String {
    let Run { case, date, site, .. } = line.run;
    format!("{case} · {site} · from {date}")
}

/// Runs of the same case and site, one after the other.
pub(super) fn by_case<'a, 'r>(lines: &'a [Line<'r>]) -> impl Iterator<Item = &'a [Line<'r>]> {
    lines.chunk_by(|a, b| (&a.run.case, &a.run.site) == (&b.run.case, &b.run.site))
}

/// A table for every case and site.
pub fn table(runs: &[Run]) -> String {
    let mut text = String::new();
    for case in by_case(&lines(runs)) {
        let (headers, rows) = cells(case);
        let width = |c: usize| {
            let cells = rows.iter().map(|row| row[c].chars().count());
            cells.chain([headers[c].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..headers.len()).map(width).collect();
        let mut line = |cells: &[&str]| {
            let padded = cells.iter().zip(&widths).enumerate().map(|(c, (cell, width))| match c {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        };
        line(&[&title(&case[0])]);
        line(&headers);
        rows.iter().for_each(|row| line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
        text.push('\n');
    }
    text
}

/// All runs as one JSON object, one entry per run; units in the names.
pub fn json(runs: &[Run]) -> Value {
    let hundredths = |share: Option<i64>| share.map(|share| number(share, 2));
    let run = |line: Line<'_>| {
        let Line { run, totals, of_profit, of_energy } = line;
        let plans = &run.plans;
        value!({
            "case": run.case, "date": run.date, "site": run.site, "algorithm": run.algorithm.name(),
            "intervals": run.intervals(), "limit_w": run.limit_w,
            "sessions": totals.sessions, "met": totals.met, "met_percent": hundredths(totals.met_share()),
            "wanted_wh": totals.wanted_wh, "delivered_wh": totals.delivered_wh,
            "delivered_percent": hundredths(totals.energy_share()),
            "energy_cost_micro": totals.energy_cost, "demand_cost_micro": totals.demand_cost,
            "cost_micro": totals.cost(), "revenue_micro": totals.revenue, "profit_micro": totals.profit(),
            "profit_percent_of_optimum": hundredths(of_profit), "energy_percent_of_most": hundredths(of_energy),
            "peak_w": totals.peak_w, "import_wh": totals.import_wh, "export_wh": totals.export_wh,
            "self_consumption_percent": hundredths(totals.self_consumption()), "stored_wh": run.stored_wh,
            "co2_g": totals.co2, "limit_violations": totals.violations,
            "plans": plans.made, "plans_broken": plans.broken, "plans_by_rule": plans.fallbacks,
            "plan_time_us": plans.total_us, "slowest_plan_us": plans.slowest_us,
        })
    };
    value!({ "runs": lines(runs).into_iter().map(run).collect::<Vec<_>>() })
}

/// Money with two places.
pub(super) fn money(micro: Micro) -> String {
    decimal(micro.0, 6, 2)
}

/// Hundredths of a per cent.
pub(super) fn percent(share: Option<i64>) -> String {
    share.map_or("–".to_owned(), |share| format!("{} %", decimal(share, 2, 1)))
}

/// `value` / 10^`places`, rounded to `shown` places.
pub(super) fn decimal(value: i64, places: u32, shown: u32) -> String {
    let unit = 10_i64.pow(places - shown);
    let rounded = (value + unit / 2).div_euclid(unit);
    let factor = 10_u64.pow(shown);
    let (whole, rest) = (rounded.unsigned_abs() / factor, rounded.unsigned_abs() % factor);
    let sign = if rounded < 0 { "-" } else { "" };
    format!("{sign}{whole}.{rest:0width$}", width = shown as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_round_to_what_is_shown() {
        assert_eq!(decimal(1_362_034_999, 6, 2), "1362.03");
        assert_eq!(decimal(-27_605_000, 6, 2), "-27.60");
        assert_eq!(decimal(-4_000, 6, 2), "0.00");
        assert_eq!(percent(Some(9_705)), "97.1 %");
        assert_eq!(percent(None), "–");
    }
}
