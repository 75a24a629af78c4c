//! `optimizer`: plans and whole days without a chain. The only file of the core that reads files.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use optimizer::{problem::Problem, report::Report, scenario, serve, simulate, solve};
use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

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
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Solve { problem, limit_ms } => solve_file(&problem, limit_ms),
        Command::Serve => serve_lines(),
        Command::Simulate { scenario, json } => simulate_folder(&scenario, json),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell it to if standard error is gone.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn solve_file(path: &Path, limit_ms: u32) -> Result<()> {
    let text =
        if path == Path::new("-") { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(path) };
    let text = text.with_context(|| format!("{}: cannot read", path.display()))?;
    let problem: Problem =
        serde_json::from_str(&text).with_context(|| format!("{}: no planning problem", path.display()))?;
    let schedule = solve::solve(&problem, limit_ms)?;
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&schedule)?)?;
    Ok(())
}

fn serve_lines() -> Result<()> {
    let mut server = serve::Server::new();
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        writeln!(out, "{}", server.answer(&line?))?;
        out.flush()?;
    }
    Ok(())
}

fn simulate_folder(folder: &Path, json: bool) -> Result<()> {
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
    let mut err = std::io::stderr();
    for warning in warnings {
        writeln!(err, "warning: {warning}")?;
    }
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
    }
    Ok(())
}
