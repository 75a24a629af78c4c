//! How good a forecast was, seen from afterwards: integers, so that a report, a log and a chain can carry it.

use crate::units::Watts;
use serde::{Deserialize, Serialize};

/// Errors of a series of forecasts: sums, so that scores of several days and assets add up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// Intervals that were compared.
    pub samples: i64,
    /// Σ |forecast − metered|, W.
    pub absolute_w: Watts,
    /// Σ (forecast − metered), W: above zero where too much was expected.
    pub signed_w: Watts,
}

impl Score {
    /// Compares what was expected with what was metered, pair by pair.
    pub fn of(pairs: impl IntoIterator<Item = (Watts, Watts)>) -> Self {
        pairs.into_iter().fold(Self::default(), |mut score, (expected, metered)| {
            let error = expected - metered;
            score.samples += 1;
            score.absolute_w += Watts(error.0.abs());
            score.signed_w += error;
            score
        })
    }

    /// Mean absolute error, W, rounded down; 0 where nothing was compared.
    pub fn mae_w(&self) -> Watts {
        Watts(self.absolute_w.0.checked_div(self.samples).unwrap_or_default())
    }

    /// Mean error, W, rounded towards zero; 0 where nothing was compared.
    pub fn bias_w(&self) -> Watts {
        Watts(self.signed_w.0.checked_div(self.samples).unwrap_or_default())
    }
}

impl std::ops::AddAssign for Score {
    fn add_assign(&mut self, other: Self) {
        self.samples += other.samples;
        self.absolute_w += other.absolute_w;
        self.signed_w += other.signed_w;
    }
}

/// What a forecast of the `per_mille` quantile loses against what came, per mille of the value's unit: `q·(came − forecast)`
/// below, `(1 − q)·(forecast − came)` above. On average lowest for the true quantile (Koenker and Bassett 1978).
pub fn pinball(forecast: i64, came: i64, per_mille: i64) -> i64 {
    let error = came - forecast;
    if error >= 0 { per_mille * error } else { (per_mille - 1000) * error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_add_up_and_biases_cancel() {
        let mut score = Score::of([(Watts(100), Watts(70)), (Watts(100), Watts(110))]);
        assert_eq!((score.mae_w(), score.bias_w()), (Watts(20), Watts(10)));
        score += Score::of([(Watts(0), Watts(20))]);
        assert_eq!((score.samples, score.mae_w(), score.bias_w()), (3, Watts(20), Watts(0)));
        assert_eq!(Score::default().mae_w(), Watts(0));
    }

    #[test]
    fn the_true_quantile_loses_least() {
        let loss = |forecast: i64| (1..=100).map(|came| pinball(forecast, came, 200)).sum::<i64>();
        assert_eq!((0..=100).min_by_key(|forecast| loss(*forecast)), Some(20));
        assert_eq!((pinball(10, 15, 200), pinball(10, 5, 200)), (1000, 4000));
    }
}
