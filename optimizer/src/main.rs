//! `optimizer`: plans and whole days without a chain. The only file of the core that reads files.

use anyhow::{Context, Result, ensure};
use chrono::NaiveDate;
use chrono_tz::Tz;
use clap::{Parser, Subcommand};
use optimizer::check::{check, tally};
use optimizer::compare::{self, Algorithm, Case, Day, Limits, Month, Run, Tariffed, Watch};
use optimizer::problem::{Need, Problem};
use optimizer::report::Report;
use optimizer::schedule::Schedule;
use optimizer::units::{GramsPerMwh, MicroPerKwh, Watts};
use optimizer::{certificate, import, pipe, scenario, serve, simulate, solve};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Plans charging, without a chain.
///
/// Exit codes: 0 done, 1 the input or the plan failed (the message says where), 2 the arguments are wrong.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Solves one planning problem (JSON) and prints the schedule (JSON).
    Solve {
        /// The problem; `-` reads standard input.
        problem: PathBuf,
        /// Longest time to solve, milliseconds.
        #[arg(long, default_value_t = simulate::SOLVE_LIMIT_MS)]
        limit_ms: u32,
        /// Prints the certificate (docs/proof.md) with the schedule: `{"schedule": …, "certificate": …}`.
        #[arg(long)]
        certificate: bool,
    },
    /// Checks a schedule (JSON, as `solve` prints it), a certificate or both (as `solve --certificate` prints them) against
    /// their problem, with code that shares nothing with the planner, and counts anew what they come to. Exit code 1 where
    /// the schedule breaks anything or the certificate is refused.
    Verify {
        /// The problem; `-` reads standard input.
        problem: PathBuf,
        /// The schedule, the certificate, or both; `-` reads standard input.
        answer: PathBuf,
        /// Prints JSON instead of a summary.
        #[arg(long)]
        json: bool,
    },
    /// Answers JSON lines on standard input with JSON lines on standard output, until the input ends: a planning problem
    /// with its schedule, a period of ACN-Sim with its currents.
    Serve,
    /// Simulates the day of a scenario folder: the same state machine as `provolt run`, without chain and sockets.
    Simulate {
        /// The folder, for example data/scenarios/quickstart.
        scenario: PathBuf,
        /// Prints the whole report as JSON instead of a summary.
        #[arg(long)]
        json: bool,
    },
    /// Compares algorithms on the same days and sites: scenario folders, or a month of recorded sessions in a garage.
    Compare(Box<CompareArgs>),
}

#[derive(clap::Args)]
struct CompareArgs {
    /// Scenario folders, each a day of its sites.
    scenarios: Vec<PathBuf>,
    /// Recorded sessions instead: CSV of ACN-Data (`acn-csv`), or its JSON; `.gz` is unpacked.
    #[arg(long, requires_all = ["topology", "tariff", "month"], conflicts_with = "scenarios")]
    sessions: Option<PathBuf>,
    /// Stations and constraint matrix of the garage, JSON.
    #[arg(long, requires = "sessions")]
    topology: Option<PathBuf>,
    /// Time-of-use tariff with its demand charge, JSON.
    #[arg(long, requires = "sessions")]
    tariff: Option<PathBuf>,
    /// The month, for example 2019-05.
    #[arg(long, requires = "sessions", value_parser = month)]
    month: Option<NaiveDate>,
    /// Only so many days of it.
    #[arg(long, requires = "sessions", value_parser = clap::value_parser!(u64).range(1..=31))]
    days: Option<u64>,
    /// Capacity of the transformer, instead of the topology's.
    #[arg(long, requires = "sessions", value_parser = clap::value_parser!(i64).range(1..=100_000))]
    cap_kw: Option<i64>,
    /// Currents that EVSEs know: any, or the topology's.
    #[arg(long, requires = "sessions", default_value = "continuous", value_parser = ["continuous", "discrete"])]
    pilots: String,
    /// What drivers pay per kWh, in millionths of the tariff's currency.
    #[arg(long, requires = "sessions", default_value_t = 300_000, value_parser = clap::value_parser!(i64).range(0..=100_000_000))]
    revenue_micro: i64,
    /// Clock of the garage, and of --co2-date.
    #[arg(long, default_value = "America/Los_Angeles")]
    zone: Tz,
    /// Marginal emissions, CSV with columns time and moer (kg/kWh); `.gz` is unpacked. For scenarios see --co2-date.
    #[arg(long)]
    co2: Option<PathBuf>,
    /// The day of the emissions that scenarios get, by local time of day.
    #[arg(long, requires_all = ["co2", "scenarios"])]
    co2_date: Option<NaiveDate>,
    /// Algorithms, separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = Algorithm::ALL)]
    algorithms: Vec<Algorithm>,
    /// Also correlates the worth of flexibility with each driver's true contribution, on so many weekdays of the month.
    #[arg(long, requires = "sessions", value_parser = clap::value_parser!(u64).range(1..=31))]
    flexibility: Option<u64>,
    /// Prints JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// Writes a Parquet file with a row per day, site and algorithm.
    #[arg(long)]
    parquet: Option<PathBuf>,
    /// Writes a Parquet file with a row per interval.
    #[arg(long)]
    series: Option<PathBuf>,
    /// Writes a page with tables and charts, HTML.
    #[arg(long)]
    page: Option<PathBuf>,
}

/// Longest line that `serve` takes, bytes: far above a problem of a thousand cars.
const SERVE_LINE_MAX: u64 = 64 << 20;

/// The first day of `2019-05`.
fn month(text: &str) -> Result<NaiveDate, String> {
    NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d")
        .map_err(|_| "expected a year and month like 2019-05".to_owned())
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Solve { problem, limit_ms, certificate } => solve_file(&problem, limit_ms, certificate),
        Command::Verify { problem, answer, json } => verify_files(&problem, &answer, json),
        Command::Serve => serve_lines(),
        Command::Simulate { scenario, json } => simulate_folder(&scenario, json),
        Command::Compare(args) => compare_cases(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if pipe::is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell it to if standard error is gone.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Reads a JSON file; `-` is standard input.
fn read_json<T: DeserializeOwned>(path: &Path, what: &str) -> Result<T> {
    let text =
        if path == Path::new("-") { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(path) };
    let text = text.with_context(|| format!("{}: cannot read", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{}: no {what}", path.display()))
}

fn solve_file(path: &Path, limit_ms: u32, with_certificate: bool) -> Result<()> {
    let problem: Problem = read_json(path, "planning problem")?;
    // As a scenario: the planner itself takes such a car, which is given nothing.
    if let Some(need) = problem.needs.iter().find(|need| need.max_w < need.min_w) {
        let Need { session, max_w, min_w, .. } = need;
        anyhow::bail!(
            "{}: session {session}: max_w {max_w} is below min_w {min_w}, what its EVSE holds at least",
            path.display()
        );
    }
    if with_certificate {
        let (schedule, multipliers) = solve::Planner::new().plan_to_certify(&problem, limit_ms)?;
        let certificate = certificate::certify(&problem, &schedule, &multipliers).context("the plan is uncertified")?;
        let both = serde_json::json!({ "schedule": schedule, "certificate": certificate });
        writeln!(std::io::stdout(), "{both}")?;
        return Ok(());
    }
    let schedule = solve::solve(&problem, limit_ms)?;
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&schedule)?)?;
    Ok(())
}

fn verify_files(problem_path: &Path, answer_path: &Path, json: bool) -> Result<()> {
    let problem: Problem = read_json(problem_path, "planning problem")?;
    let valid = problem.validate().map_err(anyhow::Error::msg);
    valid.with_context(|| format!("{}: the problem is not valid", problem_path.display()))?;
    let answer: serde_json::Value = read_json(answer_path, "schedule or certificate")?;
    let (schedule, told) = match &answer {
        both if both.get("certificate").is_some() => (both.get("schedule"), both.get("certificate")),
        certificate if certificate.get("inputs").is_some() => (None, Some(certificate)),
        schedule => (Some(schedule), None),
    };
    let schedule: Option<Schedule> = part(schedule, answer_path, "schedule")?;
    let told: Option<certificate::Told> = part(told, answer_path, "certificate")?;
    let violations: Vec<String> =
        schedule.iter().flat_map(|schedule| check(&problem, schedule)).map(|violation| violation.to_string()).collect();
    let tally = schedule.as_ref().and_then(|schedule| tally(&problem, schedule));
    let verdict = told.map(|told| told.confirm(&problem, schedule.as_ref()));
    let refused = verdict.as_ref().and_then(|verdict| verdict.as_ref().err()).map(ToString::to_string);
    let mut out = std::io::stdout();
    if json {
        let status = schedule.as_ref().map(|schedule| &schedule.status);
        let mut found = serde_json::json!({ "status": status, "violations": violations, "recomputed": tally });
        if let Some(verdict) = &verdict {
            found["certificate"] = match verdict {
                Ok(verdict) => certificate::verdict_json(verdict),
                Err(_) => serde_json::json!({ "refused": refused }),
            };
        }
        writeln!(out, "{found}")?;
    } else {
        violations.iter().try_for_each(|violation| writeln!(out, "violation: {violation}"))?;
        if let Some((schedule, tally)) = schedule.as_ref().zip(tally) {
            writeln!(out, "{}: cost {}, peak {} W ({:?})", schedule.site, tally.cost, tally.peak_w, schedule.status)?;
            for (session, energy) in &tally.shortfall_wh {
                writeln!(out, "{session}: {energy} Wh short")?;
            }
        }
        if let Some(Ok(verdict)) = &verdict {
            let (cost, gap) = (verdict.cost_micro(), verdict.gap_micro());
            writeln!(out, "certificate: costs {cost} in all, no schedule costs less than {}", cost - gap)?;
        }
    }
    ensure!(violations.is_empty(), "{}: {} violations", answer_path.display(), violations.len());
    ensure!(
        refused.is_none(),
        "{}: the certificate is refused: {}",
        answer_path.display(),
        refused.unwrap_or_default()
    );
    Ok(())
}

fn part<T: DeserializeOwned>(value: Option<&serde_json::Value>, path: &Path, what: &str) -> Result<Option<T>> {
    let read = value.map(|value| T::deserialize(value).with_context(|| format!("{}: no {what}", path.display())));
    read.transpose()
}

fn serve_lines() -> Result<()> {
    let mut server = serve::Server::new();
    let mut out = std::io::stdout().lock();
    let mut input = std::io::stdin().lock();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if input.by_ref().take(SERVE_LINE_MAX + 1).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let is_whole = line.ends_with(b"\n") || (line.len() as u64) <= SERVE_LINE_MAX;
        if !is_whole {
            input.skip_until(b'\n')?;
        }
        let text = std::str::from_utf8(&line).ok().filter(|_| is_whole);
        let refused = || {
            let error = format!("line {number}: expected UTF-8 text of at most {SERVE_LINE_MAX} bytes");
            serde_json::json!({ "error": error }).to_string()
        };
        let answer = text.map_or_else(refused, |text| server.answer(text.trim_end_matches(['\r', '\n'])));
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

/// Reads the scenario of a folder; warnings go to standard error.
fn read_scenario(folder: &Path) -> Result<scenario::Scenario> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("{}: cannot read the folder", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".csv") {
            let bytes = std::fs::read(&path).with_context(|| format!("{}: cannot read", path.display()))?;
            files.insert(name, bytes);
        }
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let (scenario, warnings) = scenario::parse(&name, &files).with_context(|| folder.display().to_string())?;
    for warning in warnings {
        writeln!(std::io::stderr(), "warning: {warning}")?;
    }
    Ok(scenario)
}

fn simulate_folder(folder: &Path, json: bool) -> Result<()> {
    let scenario = read_scenario(folder)?;
    let mut err = std::io::stderr();
    let show = err.is_terminal();
    let day = simulate::simulate(&scenario, |report| {
        if show {
            let done = report.sites.first().map_or(0, |s| s.plans.len());
            // Progress is decoration: a closed terminal must not end the simulation.
            let _ = write!(err, "\rinterval {done} of {}", report.intervals);
        }
    });
    if show {
        writeln!(err)?;
    }
    let mut out = std::io::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string(&day.report)?)?
    } else {
        summary(&mut out, &day.report)?
    }
    Ok(())
}

fn summary(out: &mut impl Write, report: &Report) -> Result<()> {
    for session in &report.sessions {
        writeln!(
            out,
            "{}  {}  wanted {} Wh  delivered {} Wh  shortfall {} Wh  paid {}",
            session.id, session.evse, session.energy_wh, session.delivered_wh, session.shortfall_wh, session.paid
        )?;
    }
    for site in &report.sites {
        writeln!(
            out,
            "{}: peak {} W (uncontrolled {} W, limit {} W), cost {} (uncontrolled {}), limit violations {}",
            site.id,
            site.peak_w,
            site.peak_uncontrolled_w,
            site.limit_import_w,
            site.cost,
            site.cost_uncontrolled,
            site.limit_violations
        )?;
        for (what, score) in [("sun", site.pv_score), ("base load", site.base_score)] {
            if score.samples > 0 {
                let (mae, bias) = (score.mae_w(), score.bias_w());
                writeln!(out, "{}: {what} forecast off by {mae} W on average, bias {bias} W", site.id)?;
            }
        }
    }
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "the shell of the core lends its clock")]
fn compare_cases(args: &CompareArgs) -> Result<()> {
    let cases = match &args.sessions {
        Some(sessions) => vec![Case::Month(Box::new(read_month(args, sessions)?))],
        None if args.scenarios.is_empty() => {
            anyhow::bail!("nothing to compare: expected scenario folders, or --sessions")
        }
        None => read_days(args)?,
    };
    let total = args.algorithms.len() * cases.iter().map(Case::intervals).sum::<usize>();
    let (begun, done) = (Instant::now(), AtomicUsize::new(0));
    let show = std::io::stderr().is_terminal();
    let watch = Watch {
        clock_us: &|| u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
        done: &|intervals| {
            let before = done.fetch_add(intervals, Ordering::Relaxed);
            let percent = |count: usize| 100 * count / total.max(1);
            if show && percent(before) != percent(before + intervals) {
                let percent = percent(before + intervals).min(100);
                let bar = "█".repeat(percent / 4);
                // Progress is decoration: a closed terminal must not end the comparison.
                let _ = write!(std::io::stderr(), "\r{bar:░<25} {percent:>3} %");
            }
        },
    };
    let runs = compare::run(&cases, &args.algorithms, watch).map_err(anyhow::Error::msg)?;
    if show {
        writeln!(std::io::stderr())?;
    }
    let flexibility = match (&cases[..], args.flexibility) {
        ([Case::Month(month)], Some(days)) => {
            let values = compare::values(month, usize::try_from(days)?).map_err(anyhow::Error::msg)?;
            Some(compare::correlation(&values))
        }
        _ => None,
    };
    print_runs(args, &runs, flexibility)?;
    let write = |path: &Option<PathBuf>, bytes: &dyn Fn() -> Result<Vec<u8>>| match path {
        Some(path) => replace(path, &bytes()?),
        None => Ok(()),
    };
    write(&args.parquet, &|| Ok(compare::runs_parquet(&runs)?))?;
    write(&args.series, &|| Ok(compare::series_parquet(&runs)?))?;
    write(&args.page, &|| Ok(compare::page("Charging algorithms side by side", &runs).into_bytes()))
}

/// Puts a whole file in the place of `path`, or leaves it as it is.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    std::fs::write(&part, bytes)
        .and_then(|()| std::fs::rename(&part, path))
        .with_context(|| format!("{}: cannot write", path.display()))
}

fn print_runs(args: &CompareArgs, runs: &[Run], flexibility: Option<compare::Correlation>) -> Result<()> {
    let mut out = std::io::stdout();
    if args.json {
        let mut value = compare::json(runs);
        if let Some(found) = flexibility {
            value["flexibility"] = found.json();
        }
        writeln!(out, "{value}")?;
        return Ok(());
    }
    write!(out, "{}", compare::table(runs))?;
    if let Some(found) = flexibility {
        writeln!(out, "{found}")?;
    }
    Ok(())
}

fn read_days(args: &CompareArgs) -> Result<Vec<Case>> {
    let co2 = match (&args.co2, args.co2_date) {
        (Some(path), Some(date)) => Some((read_co2(path)?, date)),
        (Some(path), None) => anyhow::bail!("{}: expected --co2-date for scenarios", path.display()),
        _ => None,
    };
    let mut cases = Vec::new();
    for folder in &args.scenarios {
        let scenario = read_scenario(folder)?;
        let emissions = match &co2 {
            Some((series, date)) => series.values(Day::redated(&scenario, *date, args.zone), scenario.signals.len())?,
            None => Vec::new(),
        };
        let emissions: Vec<_> = emissions.into_iter().map(GramsPerMwh).collect();
        cases.extend(Day::each(&scenario, &emissions).into_iter().map(|day| Case::Day(Box::new(day))));
    }
    Ok(cases)
}

fn read_month(args: &CompareArgs, sessions: &Path) -> Result<Month> {
    // clap holds that they are there.
    let (Some(topology), Some(tariff), Some(date)) = (&args.topology, &args.tariff, args.month) else {
        anyhow::bail!("--sessions needs --topology, --tariff and --month");
    };
    let (name, bytes) = read(sessions)?;
    let found = match name.trim_end_matches(".gz").ends_with(".json") {
        true => import::acn_json(&name, &bytes)?,
        false => import::csv(&name, &bytes, &import::Mapping::acn_csv())?,
    };
    for warning in &found.warnings {
        writeln!(std::io::stderr(), "warning: {warning}")?;
    }
    let (name, bytes) = read(topology)?;
    let wiring = import::topology(&name, &bytes)?;
    let site = name.trim_end_matches(".json").trim_end_matches("_acn").to_owned();
    let (name, bytes) = read(tariff)?;
    let tariff = import::tariff(&name, &bytes)?;
    let tariffed = Tariffed { tariff: &tariff, revenue: MicroPerKwh(args.revenue_micro), zone: args.zone };
    let cap_w = args.cap_kw.map(|kw| Watts(1000 * kw));
    let limits = Limits { cap_w, discrete: args.pilots == "discrete" };
    let month = Month::new(&site, &wiring, &found, tariffed, (date, args.days), limits)?;
    let Some(co2) = &args.co2 else { return Ok(month) };
    let values = read_co2(co2)?.values(month.first(), month.intervals())?;
    Ok(month.with_co2(values.into_iter().map(GramsPerMwh).collect()))
}

/// A file's name, for messages, and its bytes.
fn read(path: &Path) -> Result<(String, Vec<u8>)> {
    let bytes = std::fs::read(path).with_context(|| format!("{}: cannot read", path.display()))?;
    Ok((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), bytes))
}

/// Marginal emissions, g per MWh, of a file in kg per kWh.
fn read_co2(path: &Path) -> Result<import::Series> {
    let (name, bytes) = read(path)?;
    let (time, value) = ("time".to_owned(), "moer".to_owned());
    let format = import::SeriesFormat { time, value, scale: 1_000_000, ..import::SeriesFormat::default() };
    Ok(import::series(&name, &bytes, &format)?)
}
