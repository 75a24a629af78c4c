//! JSON numbers as integers, without floats: the text of the number counts.

use crate::scenario::number::{Rounding, scaled, unscaled};
use serde::Deserialize;
use serde_json::Number;

/// A number as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(super) struct Decimal(Number);

impl Decimal {
    /// The number × 10^`power`, to the nearest whole; `field` for the message where that does not fit.
    pub(super) fn scaled(&self, field: &str, power: i32) -> Result<i64, String> {
        let whole = scaled(&self.0.to_string(), power, Rounding::Nearest);
        whole.filter(|n| n.abs() < 1_000_000_000_000_000).ok_or_else(|| format!("{field}: {} is absurd", self.0))
    }
}

/// `value` / 10^`places`.
pub(super) fn number(value: i64, places: u32) -> Number {
    unscaled(value, places).parse().unwrap_or_else(|_| Number::from(0))
}
