//! What the terminal shows: one line while a day runs, three tables when it is over. 120 columns.

use crate::chain::scores::MeanScore;
use crate::payout::{PaidOut, Scored};
use crate::summary::Summary;
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use optimizer::report::{Proof, Report, SessionReport, SessionStage, SiteReport};
use optimizer::units::{INTERVAL_S, Micro, UnixTime, WattHours, Watts};
use std::fmt::Write;

/// Ids longer than this are shortened.
const ID_CHARS: usize = 10;

/// One line: how far the day is, who charges, load against limit, PV and cost so far.
pub fn progress(report: &Report) -> String {
    let zone = report.sites.first().map(zone).unwrap_or(Tz::UTC);
    let done = (report.now.0 - report.first.start().0).max(0) / INTERVAL_S;
    let active = report.sessions.iter().filter(|s| s.state == SessionStage::Active).count();
    let (load, pv) = (total(report, |s| &s.metered.net_w), total(report, |s| &s.metered.pv_w));
    let limit: Watts = report.sites.iter().map(|s| s.limit_import_w).sum();
    let cost: Micro = report.sites.iter().map(|s| s.cost).sum();
    let worst = report.sites.iter().map(percent).max().unwrap_or_default();
    let share = if report.sites.len() > 1 { format!("worst site {worst} %") } else { format!("{worst} %") };
    format!(
        "{} {done:>3}/{} · {active:>2} active · load {} of {} kW ({share}) · PV {} kW · cost {}",
        clock(report.now, zone),
        report.intervals,
        kilo(load.0),
        kilo(limit.0),
        kilo(-pv.0),
        credits(whole_cents(cost)),
    )
}

/// One row per session: what was wanted and given, whether the departure was met, what was paid and earned.
pub fn sessions(report: &Report) -> String {
    let mut table = Table::new(&[
        ("Session", false),
        ("Driver", false),
        ("EVSE", false),
        ("Wanted", true),
        ("Delivered", true),
        ("Departure", false),
        ("Paid", true),
        ("Tokens", true),
        ("Worth", true),
        ("Receipt", false),
    ]);
    for session in &report.sessions {
        table.row(session_row(report, session));
    }
    format!(
        "{}{}\n",
        table.print(),
        "kWh, credits; tokens earned for certified flexibility, and its worth at node prices"
    )
}

/// One row per site: peak, energy and cost, and the same day uncontrolled beside it.
pub fn sites(report: &Report) -> String {
    let mut table = Table::new(&[
        ("Site", false),
        ("Limit", true),
        ("Peak", true),
        ("uncontr.", true),
        ("Import", true),
        ("Export", true),
        ("Cost", true),
        ("uncontr.", true),
        ("saved", true),
        ("Over limit", true),
    ]);
    for site in &report.sites {
        table.row(site_row(site));
    }
    format!("{}{}\n", table.print(), "kW, kWh, credits; uncontr.: the same day without a plan")
}

/// What is proven of the plans of each site.
pub fn proofs(report: &Report) -> String {
    let mut table = Table::new(&[
        ("Site", false),
        ("Plans", true),
        ("Certified", true),
        ("Gap: median", true),
        ("largest", true),
        ("% of cost", true),
        ("Gas: median", true),
        ("largest", true),
    ]);
    for site in &report.sites {
        let certified = site.proofs.iter().filter_map(|proof| match proof {
            Proof::Certified { cost, gap, gas } => Some((*gap, *cost, *gas)),
            Proof::Uncertified(_) => None,
        });
        let mut certified: Vec<_> = certified.collect();
        certified.sort_unstable();
        let mut row = vec![tail(&site.id, 24), site.proofs.len().to_string(), certified.len().to_string()];
        let middle = certified.get(certified.len().saturating_sub(1) / 2).copied();
        let mut gas: Vec<u64> = certified.iter().map(|(.., gas)| *gas).collect();
        gas.sort_unstable();
        let beside = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        row.push(beside(middle.map(|(gap, ..)| credits(gap))));
        row.push(beside(certified.last().map(|(gap, ..)| credits(*gap))));
        row.push(beside(certified.last().and_then(|(gap, cost, _)| gap_percent(*gap, *cost))));
        row.push(beside(gas.get(gas.len().saturating_sub(1) / 2).map(ToString::to_string)));
        row.push(beside(gas.last().map(ToString::to_string)));
        table.row(row);
    }
    let told = "credits; gap: no schedule of the same inputs is cheaper by more, which the chain has verified, or in optimistic \
                mode nobody has challenged for a day; gas without a chain: 0";
    format!("{}{told}\n", table.print())
}

/// A gap in per cent of the plan's cost, rounded up; `None` where that is not above zero.
fn gap_percent(gap: Micro, cost: Micro) -> Option<String> {
    let hundredths = (cost.0 > 0).then(|| -(-i128::from(gap.0) * 10_000).div_euclid(i128::from(cost.0)))?;
    Some(format!("{}.{:02}", hundredths / 100, hundredths % 100))
}

/// What drivers and owners got once nobody could dispute it any more.
pub fn paid_out(paid: &[PaidOut]) -> String {
    let claimed = |p: &PaidOut| p.claimed.as_ref().and_then(|c| c.amount.try_into().ok()).map_or(Micro::ZERO, Micro);
    format!(
        "four days later, nobody having disputed anything: {} credits of bills paid out, {} flexibility tokens minted for \
         {} sessions",
        credits(paid.iter().map(claimed).sum()),
        credits(paid.iter().map(|p| p.minted).sum()),
        paid.iter().map(|p| p.rewards).sum::<usize>(),
    )
}

/// How far off a site's forecasts were, as the chain says; nothing where none were due.
pub fn scored(site: &str, scored: &Scored) -> Vec<String> {
    let mean = MeanScore::of(&scored.scores).map(|mean| format!("{site}: forecasts, scored on chain: {mean}"));
    let lost = scored.lost;
    let forgotten = "cannot be scored any more: the chain has forgotten whether their readings stand";
    mean.into_iter().chain((lost > 0).then(|| format!("{site}: {lost} intervals {forgotten}"))).collect()
}

/// What the chain says: credits issued and accounted for, flexibility tokens minted.
pub fn totals(summary: &Summary) -> String {
    format!(
        "on chain: {} of {} sessions settled; credits issued {}, accounted for {}; flexibility tokens {}\n\
         limit violations: {}; delivered {:.2} % of what cars wanted; {} s",
        summary.settled,
        summary.sessions,
        credits(summary.credit_supply),
        credits(summary.credit_accounted),
        credits(summary.flex_minted),
        summary.limit_violations,
        summary.delivered_share * 100.0,
        summary.wall_s
    )
}

fn session_row(report: &Report, session: &SessionReport) -> Vec<String> {
    vec![
        short(&session.id),
        head(&session.driver, 12),
        tail(&session.evse, 13),
        kilo(session.energy_wh.0),
        kilo(session.delivered_wh.0),
        outcome(report, session),
        credits(session.paid),
        credits(whole_cents(session.flex_reward)),
        credits(whole_cents(session.flex_worth)),
        session.receipt.as_deref().map(short).unwrap_or_default(),
    ]
}

/// Departure in the site's time, and whether the car left with what it wanted.
fn outcome(report: &Report, session: &SessionReport) -> String {
    let zone = report.sites.get(session.site).map(zone).unwrap_or(Tz::UTC);
    let other_day = day(session.departure, zone) != day(report.first.start(), zone);
    let weekday = if other_day { format!("{} ", day(session.departure, zone).format("%a")) } else { String::new() };
    let departure = format!("{weekday}{}", clock(session.departure, zone));
    match session.state {
        SessionStage::Refused => format!("{departure} refused"),
        SessionStage::Requested => format!("{departure} not seen"),
        SessionStage::Opening | SessionStage::Active => format!("{departure} charging"),
        SessionStage::Ended | SessionStage::Settled if session.shortfall_wh <= WattHours::ZERO => {
            format!("{departure} met")
        }
        SessionStage::Ended | SessionStage::Settled => format!("{departure} short {}", energy(session.shortfall_wh)),
    }
}

fn site_row(site: &SiteReport) -> Vec<String> {
    let known = !site.uncontrolled_net_w.is_empty();
    let beside = |text: String| if known { text } else { "-".into() };
    vec![
        tail(&site.id, 24),
        kilo(site.limit_import_w.0),
        kilo(site.peak_w.0),
        beside(kilo(site.peak_uncontrolled_w.0)),
        kilo(site.import_wh.0),
        kilo(site.export_wh.0),
        credits(site.cost),
        beside(credits(site.cost_uncontrolled)),
        beside(credits(site.cost_uncontrolled - site.cost)),
        site.limit_violations.to_string(),
    ]
}

fn zone(site: &SiteReport) -> Tz {
    site.time_zone.parse().unwrap_or(Tz::UTC)
}

fn local(time: UnixTime, zone: Tz) -> DateTime<Tz> {
    DateTime::<Utc>::from_timestamp(time.0, 0).unwrap_or_default().with_timezone(&zone)
}

fn day(time: UnixTime, zone: Tz) -> NaiveDate {
    local(time, zone).date_naive()
}

fn clock(time: UnixTime, zone: Tz) -> String {
    local(time, zone).format("%H:%M").to_string()
}

/// Sum over sites of the last known value of a series.
fn total(report: &Report, series: impl Fn(&SiteReport) -> &Vec<Watts>) -> Watts {
    report.sites.iter().filter_map(|site| series(site).last().copied()).sum()
}

/// How much of its limit a site draws, percent.
fn percent(site: &SiteReport) -> i64 {
    let load = site.metered.net_w.last().copied().unwrap_or_default().0.max(0);
    (load * 100).checked_div(site.limit_import_w.0).unwrap_or_default()
}

/// kWh, or Wh where that would read as nothing.
fn energy(energy: WattHours) -> String {
    if energy.0.abs() < 1000 { format!("{energy} Wh") } else { format!("{} kWh", kilo(energy.0)) }
}

/// Thousands with one decimal, rounded down in magnitude.
fn kilo(thousandths: i64) -> String {
    let tenths = thousandths / 100;
    format!("{}{}.{}", if tenths < 0 { "-" } else { "" }, (tenths / 10).abs(), (tenths % 10).abs())
}

/// Cut to two decimals, for a column that only gives an idea.
fn whole_cents(amount: Micro) -> Micro {
    Micro(amount.0 / 10_000 * 10_000)
}

/// Credits, exactly: two decimals, and up to six where there are more.
fn credits(amount: Micro) -> String {
    let units = amount.0.unsigned_abs();
    let fraction = format!("{:06}", units % 1_000_000);
    let (cents, rest) = fraction.split_at(2);
    let sign = if amount.0 < 0 { "-" } else { "" };
    format!("{sign}{}.{cents}{}", units / 1_000_000, rest.trim_end_matches('0'))
}

fn short(id: &str) -> String {
    head(id, ID_CHARS)
}

fn head(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

/// The end of a long id tells more than its beginning.
fn tail(text: &str, chars: usize) -> String {
    let excess = text.chars().count().saturating_sub(chars);
    if excess == 0 { text.into() } else { format!("…{}", text.chars().skip(excess + 1).collect::<String>()) }
}

/// Columns as wide as what they hold.
struct Table {
    columns: Vec<(&'static str, bool)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Headings, each with whether it stands over numbers.
    fn new(columns: &[(&'static str, bool)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    fn print(&self) -> String {
        let width = |c: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(c)).map(|cell| cell.chars().count());
            cells.chain([self.columns[c].0.chars().count()]).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let headings: Vec<String> = self.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        let rule: Vec<String> = widths.iter().map(|w| "─".repeat(*w)).collect();
        let mut text = String::new();
        for row in [&headings, &rule].into_iter().chain(&self.rows) {
            let line = self.line(row, &widths);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let cells = row.iter().zip(&self.columns).zip(widths).map(|((cell, (_, right)), width)| {
            if *right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        cells.collect::<Vec<_>>().join("  ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_report::report;

    #[test]
    fn tables_fit_a_terminal_and_say_what_became_of_each_session() {
        let report = report(96);
        let text = format!("{}{}", sessions(&report), sites(&report));
        for line in text.lines() {
            assert!(line.chars().count() <= 120, "{} columns: {line}", line.chars().count());
        }
        for word in ["refused", " met", "short", "Wed 03:30", "DE*PVT*DEPOT", "kim <k@examp"] {
            assert!(text.contains(word), "{word} in\n{text}");
        }
        assert_eq!(sessions(&report).lines().count(), report.sessions.len() + 3);
    }

    #[test]
    fn ids_of_any_length_fit() {
        let mut report = report(96);
        report.sessions[0].evse = "DE*ABC*E1234567890123456789*1".into();
        report.sessions[0].driver = "Wolfeschlegelsteinhausen".into();
        let text = sessions(&report);
        assert!(text.contains("…0123456789*1"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 120));
    }

    #[test]
    fn progress_is_one_line_in_local_time() {
        let line = progress(&report(50));
        assert!(line.starts_with("12:30  50/96 · "), "{line}");
        assert!(line.contains("worst site"), "{line}");
        assert!(line.chars().count() <= 120 && !line.contains('\n'), "{line}");
        assert!(progress(&report(0)).starts_with("00:00   0/96"), "a day that has not begun");
    }

    #[test]
    fn uncontrolled_is_unknown_until_it_is_known() {
        assert!(sites(&report(50)).contains(" - "));
        assert!(!sites(&report(96)).contains(" - "));
    }

    #[test]
    fn money_is_exact() {
        assert_eq!(credits(Micro(3_450_000)), "3.45");
        assert_eq!(credits(Micro(-1)), "-0.000001");
        assert_eq!(credits(Micro(-3_456_700)), "-3.4567");
        assert_eq!(credits(Micro::ZERO), "0.00");
        assert_eq!(kilo(-1_290), "-1.2");
        assert_eq!(kilo(-90), "0.0");
    }
}
