//! Signals: what the outside does in each interval.

use crate::units::{Interval, MicroPerKwh, Watts};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Prices, PV and base load, one entry per interval from `first` on; all series have the same length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signals {
    /// The first interval.
    pub first: Interval,
    /// Price of a kWh from the grid.
    pub import_price: Vec<MicroPerKwh>,
    /// Price of a kWh fed into the grid.
    pub feed_in_price: Vec<MicroPerKwh>,
    /// By asset id: what a PV inverter could feed, or a base load draws; never negative.
    pub power_w: BTreeMap<String, Vec<Watts>>,
}

impl Signals {
    /// Number of intervals.
    pub fn len(&self) -> usize {
        self.import_price.len()
    }

    /// Whether there is no interval.
    pub fn is_empty(&self) -> bool {
        self.import_price.is_empty()
    }

    /// The largest magnitude of a price; zero where there is no interval.
    pub fn dearest(&self) -> MicroPerKwh {
        let prices = self.import_price.iter().chain(&self.feed_in_price);
        MicroPerKwh(prices.map(|price| price.0.abs()).max().unwrap_or_default())
    }

    /// Index of `interval`; past the end the last day repeats, so that a plan made in the evening sees a next day.
    /// `None` before the first interval, or where there is none.
    pub fn index(&self, interval: Interval) -> Option<usize> {
        let offset = interval.offset_from(self.first)?;
        let count = self.len();
        if offset < count {
            return Some(offset);
        }
        let day = crate::units::HORIZON.min(count);
        if day == 0 { None } else { Some(count - day + (offset - count) % day) }
    }
}
