//! A certificate that somebody shows: nothing of it is believed.

use super::{Refused, Uncertified, Verdict, encode, unhex, verify};
use crate::problem::Problem;
use crate::schedule::Schedule;
use serde::Deserialize;
use serde_json::json;

/// A certificate as [`super::Certificate`] is written to JSON.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Told {
    inputs: String,
    schedule: String,
    multipliers: String,
    cost: String,
    bound: String,
    cost_micro: String,
    gap_micro: String,
}

/// Why a certificate is not what it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// No bytes.
    #[error("its {0} is no hex of whole bytes that begins with 0x")]
    Hex(&'static str),
    /// Problem or schedule have no certificate.
    #[error(transparent)]
    Uncertified(#[from] Uncertified),
    /// The inputs are those of another problem.
    #[error("its inputs are not this problem")]
    Problem,
    /// The powers are those of another schedule.
    #[error("its powers are not this schedule")]
    Schedule,
    /// The verifier refuses it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A figure is not what the bytes prove.
    #[error("its {what} is {stated}, its bytes prove {proven}")]
    Figure {
        /// Which.
        what: &'static str,
        /// As written.
        stated: String,
        /// As counted.
        proven: i128,
    },
}

impl Told {
    /// What it proves of `problem`, and of `schedule` where there is one.
    ///
    /// # Errors
    /// The first thing that is not so.
    pub fn confirm(&self, problem: &Problem, schedule: Option<&Schedule>) -> Result<Verdict, Doubt> {
        let inputs = bytes("inputs", &self.inputs)?;
        let cells = bytes("schedule", &self.schedule)?;
        let multipliers = bytes("multipliers", &self.multipliers)?;
        if encode::inputs(problem)? != inputs {
            return Err(Doubt::Problem);
        }
        if schedule.map(|schedule| encode::schedule(problem, schedule)).transpose()?.is_some_and(|own| own != cells) {
            return Err(Doubt::Schedule);
        }
        let verdict = verify(&inputs, &cells, &multipliers)?;
        let figures = [
            ("cost", &self.cost, verdict.cost),
            ("bound", &self.bound, verdict.bound),
            ("cost_micro", &self.cost_micro, verdict.cost_micro()),
            ("gap_micro", &self.gap_micro, verdict.gap_micro()),
        ];
        match figures.into_iter().find(|(_, stated, proven)| **stated != proven.to_string()) {
            Some((what, stated, proven)) => Err(Doubt::Figure { what, stated: stated.clone(), proven }),
            None => Ok(verdict),
        }
    }
}

/// What a certificate proves, as JSON: numbers as text, because they outgrow a JSON number; money in micro.
pub fn verdict_json(verdict: &Verdict) -> serde_json::Value {
    json!({
        "cost": verdict.cost.to_string(),
        "bound": verdict.bound.to_string(),
        "cost_micro": verdict.cost_micro().to_string(),
        "gap_micro": verdict.gap_micro().to_string(),
    })
}

fn bytes(what: &'static str, text: &str) -> Result<Vec<u8>, Doubt> {
    unhex(text).ok_or(Doubt::Hex(what))
}
