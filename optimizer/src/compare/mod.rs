//! Algorithms side by side on the same days and sites: what each of them would have cost, delivered and exceeded.
//!
//! ```text
//! scenario folder ─► Day   ┐                  ┌─► Run (power by interval, what each session got, how plans were made)
//! sessions, wiring ─► Month ┴─ every algorithm ┴─► Totals ─► table | JSON | Parquet | page
//! ```
//!
//! A day is simulated as by [`crate::simulate`]; a month of a garage steps through ideal cars, as ACN-Sim does
//! (`month`). Every plan is made from the same facts and held against [`crate::check`]; energy, money and limits are
//! counted from what flowed, not from what was planned.

mod day;
mod frame;
mod month;
mod outcome;
mod page;
mod table;
mod value;

pub use day::Day;
pub use frame::{runs_parquet, series_parquet};
pub use month::{Limits, Month, Tariffed};
pub use outcome::{Plans, Run, Served, Totals};
pub use page::page;
pub use table::{json, table};
pub use value::{Correlation, Valued, correlation, values};

use crate::heuristic::Rule;
use rayon::prelude::*;
use std::fmt;
use std::str::FromStr;

/// Who plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// Nobody: every car at full power at once, whatever the limits.
    Uncontrolled,
    /// A rule of thumb, inside the limits.
    Rule(Rule),
    /// Our planner, interval by interval, from what is known by then.
    Ours,
    /// The best that could have been earned, every arrival, departure and price known ahead.
    Optimum,
    /// As [`Self::Optimum`], energy before money.
    MostEnergy,
}

impl Algorithm {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 7] = [
        Self::Uncontrolled,
        Self::Rule(Rule::RoundRobin),
        Self::Rule(Rule::EarliestDeadline),
        Self::Rule(Rule::LeastLaxity),
        Self::Ours,
        Self::Optimum,
        Self::MostEnergy,
    ];

    /// Its name in arguments and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uncontrolled => "uncontrolled",
            Self::Rule(Rule::RoundRobin) => "round-robin",
            Self::Rule(Rule::EarliestDeadline) => "earliest-deadline",
            Self::Rule(Rule::LeastLaxity) => "least-laxity",
            Self::Ours => "ours",
            Self::Optimum => "optimum",
            Self::MostEnergy => "most-energy",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|known| known.name() == text).ok_or_else(|| format!("expected one of {}", names()))
    }
}

/// Something to compare algorithms on.
#[derive(Debug, Clone)]
pub enum Case {
    /// A day of one site of a scenario.
    Day(Box<Day>),
    /// A month, or some days of it, of a garage.
    Month(Box<Month>),
}

impl Case {
    /// Number of intervals that every algorithm goes through.
    pub fn intervals(&self) -> usize {
        match self {
            Self::Day(day) => day.intervals(),
            Self::Month(month) => month.intervals(),
        }
    }
}

/// What the outside lends, because the core reads no clock and shows nothing.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Microseconds since some moment.
    pub clock_us: &'a (dyn Fn() -> u64 + Sync),
    /// Called with the number of intervals that were done since it was called last.
    pub done: &'a (dyn Fn(usize) + Sync),
}

/// Runs every algorithm on every case, on as many threads as the pool has: the same runs on any number of them (but for
/// times), by case and then by algorithm.
///
/// # Errors
/// A case that no plan can be made of; the message names it.
pub fn run(cases: &[Case], algorithms: &[Algorithm], watch: Watch<'_>) -> Result<Vec<Run>, String> {
    let jobs: Vec<_> = cases.iter().flat_map(|case| algorithms.iter().map(move |by| (case, *by))).collect();
    let run = |(case, algorithm): &(&Case, Algorithm)| match case {
        Case::Day(day) => day::run(day, *algorithm, watch),
        Case::Month(month) => month::run(month, *algorithm, watch),
    };
    jobs.par_iter().map(run).collect()
}

impl Watch<'_> {
    /// What `work` gives, and how long that took, µs.
    fn timed<T>(self, work: impl FnOnce() -> T) -> (T, u64) {
        let begun = (self.clock_us)();
        let result = work();
        (result, (self.clock_us)().saturating_sub(begun))
    }
}
