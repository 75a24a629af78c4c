//! Proof of how good a schedule is, that a contract can check: integer multipliers of the linear program of
//! [`crate::solve`], from which anyone computes a lower bound on the cost of every schedule of the same inputs. The theorem,
//! the formula and the bytes are in `docs/proof.md`; `ScheduleVerifier.sol` is the same arithmetic on chain.
//!
//! [`certify`] turns problem, schedule and multipliers into bytes; [`verify`] decides about bytes, and does not ask where
//! they come from. All the same to it: multipliers that are wrong make a bound that is low, never one that is false.

mod better;
mod decode;
mod encode;
mod layout;
mod leaves;
mod multipliers;
mod told;
mod verify;

pub use better::better;
pub use decode::problem_of;
pub use encode::terms;
pub use leaves::{BatteryClaim, Claims, GroupClaim, Leaf, Placed, claims, leaves, node_prices};
pub use told::{Doubt, Told, verdict_json};
pub use verify::{Kind, Part, Refused, Verdict, micro_up, verify};

use crate::problem::Problem;
use crate::schedule::{Multipliers, Schedule};
use crate::solve::{Planner, SolveError, fallback};
use crate::validate::validate;
use serde::de::Error as _;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt::Write;

/// Three byte strings for the chain, and what they prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The problem, as it is committed to before the interval.
    pub inputs: Vec<u8>,
    /// Powers of PV inverters, batteries and cars.
    pub schedule: Vec<u8>,
    /// The multipliers.
    pub multipliers: Vec<u8>,
    /// What [`verify`] says of them.
    pub verdict: Verdict,
}

/// Why a plan has no certificate and is posted as `uncertified`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Uncertified {
    /// The problem is none.
    #[error("the problem is not valid: {0}")]
    Invalid(String),
    /// No optimum was looked for to the end.
    #[error("a fallback: {0}")]
    Fallback(String),
    /// The planner knows it, the certified problem does not.
    #[error("{0} is no part of the certified problem")]
    Feature(String),
    /// A number that its bytes cannot hold.
    #[error("{what} is {value}, the certified problem holds {least} to {most}")]
    OutOfRange {
        /// Which number.
        what: String,
        /// What it is.
        value: i64,
        /// The least that is held.
        least: i64,
        /// The most that is held.
        most: i64,
    },
    /// The schedule has another shape than the problem, or powers that are no whole steps.
    #[error("lane {lane} of the schedule: no whole step of 10 W for every interval")]
    Shape {
        /// Which lane.
        lane: usize,
    },
    /// A setpoint of the first interval that belongs to no asset of the problem.
    #[error("lane {lane}: its setpoint in the first interval is no part of the certified schedule")]
    Column {
        /// Which lane.
        lane: usize,
    },
    /// The schedule breaks something.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// The certificate of `schedule` with multipliers from [`crate::solve::Planner::plan_to_certify`], or any others: those of
/// rows and groups are taken as they are, those of needs are the best that go with them.
pub fn certify(problem: &Problem, schedule: &Schedule, multipliers: &Multipliers) -> Result<Certificate, Uncertified> {
    validate(problem).map_err(Uncertified::Invalid)?;
    let inputs = encode::inputs(problem)?;
    let cells = encode::schedule(problem, schedule)?;
    let multipliers = multipliers::encode(problem, multipliers);
    let verdict = verify(&inputs, &cells, &multipliers)?;
    let posted = schedule.column(0).into_iter().map(|power| power.lane().map(i16::to_be_bytes));
    if let Some(lane) = posted.zip(verdict.first_column.chunks(2)).position(|(a, b)| a.is_none_or(|a| a != b)) {
        return Err(Uncertified::Column { lane });
    }
    Ok(Certificate { inputs, schedule: cells, multipliers, verdict })
}

/// As [`Planner::plan_or_fall_back`], with the certificate, or why there is none.
pub fn plan(
    planner: &mut Planner,
    problem: &Problem,
    time_limit_ms: u32,
) -> Result<(Schedule, Result<Certificate, Uncertified>), SolveError> {
    match planner.plan_to_certify(problem, time_limit_ms) {
        Ok((schedule, multipliers)) => {
            let certificate = certify(problem, &schedule, &multipliers);
            Ok((schedule, certificate))
        }
        Err(SolveError::Invalid(reason)) => Err(SolveError::Invalid(reason)),
        Err(error) => {
            let reason = error.to_string();
            Ok((fallback(problem, &reason), Err(Uncertified::Fallback(reason))))
        }
    }
}

/// A plan, and what is proven of it: its certificate, or why it has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// The plan.
    pub schedule: Schedule,
    /// What is proven.
    pub certificate: Result<Box<Certificate>, String>,
}

impl Planned {
    /// A plan of which nothing is proven, and why.
    pub fn uncertified(schedule: Schedule, reason: impl Into<String>) -> Self {
        Self { schedule, certificate: Err(reason.into()) }
    }

    /// As [`plan`].
    pub fn of(planner: &mut Planner, problem: &Problem, time_limit_ms: u32) -> Result<Self, SolveError> {
        let (schedule, certificate) = plan(planner, problem, time_limit_ms)?;
        Ok(Self { schedule, certificate: certificate.map(Box::new).map_err(|why| why.to_string()) })
    }
}

/// Bytes in hex; cost and bound as text, because they outgrow a JSON number; money in micro.
impl Serialize for Certificate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Certificate", 7)?;
        fields.serialize_field("inputs", &hex(&self.inputs))?;
        fields.serialize_field("schedule", &hex(&self.schedule))?;
        fields.serialize_field("multipliers", &hex(&self.multipliers))?;
        fields.serialize_field("cost", &self.verdict.cost.to_string())?;
        fields.serialize_field("bound", &self.verdict.bound.to_string())?;
        fields.serialize_field("cost_micro", &self.verdict.cost_micro().to_string())?;
        fields.serialize_field("gap_micro", &self.verdict.gap_micro().to_string())?;
        fields.end()
    }
}

/// From the three byte strings; what they prove is found out anew, so that nothing has to be believed.
impl<'de> Deserialize<'de> for Certificate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Parts {
            inputs: String,
            schedule: String,
            multipliers: String,
        }
        let parts = Parts::deserialize(deserializer)?;
        let bytes = |name: &str, text: &str| {
            unhex(text).ok_or_else(|| D::Error::custom(format!("{name}: expected 0x and pairs of hex digits")))
        };
        let inputs = bytes("inputs", &parts.inputs)?;
        let schedule = bytes("schedule", &parts.schedule)?;
        let multipliers = bytes("multipliers", &parts.multipliers)?;
        let verdict = verify(&inputs, &schedule, &multipliers).map_err(D::Error::custom)?;
        Ok(Self { inputs, schedule, multipliers, verdict })
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.is_ascii() && digits.len() % 2 == 0)?;
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
