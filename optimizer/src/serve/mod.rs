//! `optimizer serve`: one JSON line in, one JSON line out, so that any simulator can drive the planner.
//!
//! Three kinds of line are understood:
//! - a [`Problem`] as it is; out comes `{"schedule": …, "violations": […], "certificate": …}`, the second empty, and the last
//!   `{"uncertified": "why"}` where there is none;
//! - `{"problem": …, "limit_ms": …}`: the same with a time limit of its own;
//! - a period of ACN-Sim ([`acn`]); out comes `{"rates_a": {evse: [amperes]}}`.
//!
//! What cannot be understood gives `{"error": "…"}` and changes nothing.

pub mod acn;

use crate::certificate;
use crate::check::check;
use crate::problem::Problem;
use crate::solve::Planner;
use acn::{Period, Simulated};
use serde::Deserialize;
use serde_json::{Value, json};

/// Longest time for a plan where a line does not say.
pub const LIMIT_MS: u32 = 10_000;

/// See [`Server::understand`].
const PYTHON_INFINITY: &str = ": Infinity";
/// What stands for it.
const INFINITE: &str = ": 1e9";

/// Remembers between lines: the basis of the last plan, and what a simulation has seen.
#[derive(Debug)]
pub struct Server {
    planner: Planner,
    simulated: Simulated,
}

#[derive(Deserialize)]
struct Wrapped {
    problem: Problem,
    limit_ms: Option<u32>,
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// A server that has seen nothing.
    pub fn new() -> Self {
        Self { planner: Planner::with_memory(), simulated: Simulated::default() }
    }

    /// Answers one line, without the line's end.
    pub fn answer(&mut self, line: &str) -> String {
        match self.understand(line) {
            Ok(answer) => answer,
            Err(error) => json!({ "error": error }).to_string(),
        }
    }

    fn understand(&mut self, line: &str) -> Result<String, String> {
        let parse = |line: &str| serde_json::from_str::<Value>(line);
        // Python writes a limit that is none as `Infinity`, which is no JSON.
        let message = parse(line).or_else(|error| match line.contains(PYTHON_INFINITY) {
            true => parse(&line.replace(PYTHON_INFINITY, INFINITE)),
            false => Err(error),
        });
        let message = message.map_err(|error| format!("no JSON: {error}"))?;
        let has = |field: &str| message.get(field).is_some();
        if has("evses") {
            let period: Period = serde_json::from_value(message).map_err(|error| format!("no period: {error}"))?;
            return self.simulated.rates(&period, &mut self.planner);
        }
        let (problem, limit_ms) = if has("problem") {
            let wrapped: Wrapped = serde_json::from_value(message).map_err(|error| format!("no problem: {error}"))?;
            (wrapped.problem, wrapped.limit_ms.unwrap_or(LIMIT_MS))
        } else {
            (serde_json::from_value(message).map_err(|error| format!("no problem: {error}"))?, LIMIT_MS)
        };
        let planned = certificate::plan(&mut self.planner, &problem, limit_ms);
        let (schedule, certificate) = planned.map_err(|invalid| invalid.to_string())?;
        let violations: Vec<String> = check(&problem, &schedule).iter().map(ToString::to_string).collect();
        let certificate = certificate.map_or_else(|why| json!({ "uncertified": why.to_string() }), |c| json!(c));
        Ok(json!({ "schedule": schedule, "violations": violations, "certificate": certificate }).to_string())
    }
}
