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

/// The file with `null` for the `NaN` and infinities that Python writes and JSON does not know.
pub(super) fn without_nan(bytes: &[u8]) -> Vec<u8> {
    const WORDS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    let (mut plain, mut rest, mut quoted) = (Vec::with_capacity(bytes.len()), bytes, false);
    while let Some(&byte) = rest.first() {
        let word = WORDS.iter().find(|word| !quoted && rest.starts_with(word));
        let (taken, written) = match word {
            Some(word) => (word.len(), &b"null"[..]),
            None if quoted && byte == b'\\' => (rest.len().min(2), &rest[..rest.len().min(2)]),
            None => (1, &rest[..1]),
        };
        quoted ^= byte == b'"';
        plain.extend_from_slice(written);
        rest = &rest[taken..];
    }
    plain
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
