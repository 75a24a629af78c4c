//! JSON of the field: faults with their place, and numbers as integers, without floats: the text of the number counts.

use crate::scenario::ScenarioError;
use crate::scenario::number::{Rounding, scaled, unscaled};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Number;
use std::fmt;

/// Reads a whole file; `expected` says what it should be.
pub(super) fn parse<T: DeserializeOwned>(file: &str, bytes: &[u8], expected: &str) -> Result<T, ScenarioError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ScenarioError::new(file, error.line(), "", "", format!("{expected}: {error}")))
}

/// Far above every quantity, far below what products of two could overflow an i128 with.
const MAGNITUDE_MAX: i64 = 1_000_000_000_000_000;

/// A number as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Decimal(Number);

impl Decimal {
    /// The number × 10^`power`, to the nearest whole; `None` where that is absurd.
    pub(crate) fn whole(&self, power: i32) -> Option<i64> {
        scaled(&self.0.to_string(), power, Rounding::Nearest).filter(|n| (-MAGNITUDE_MAX..=MAGNITUDE_MAX).contains(n))
    }

    /// As [`Self::whole`], with `field` for the message.
    pub(crate) fn scaled(&self, field: &str, power: i32) -> Result<i64, String> {
        self.whole(power).ok_or_else(|| format!("{field}: {self} is absurd"))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `value` / 10^`places`.
pub(crate) fn number(value: i64, places: u32) -> Number {
    unscaled(value, places).parse().unwrap_or_else(|_| Number::from(0))
}
