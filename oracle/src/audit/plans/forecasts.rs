//! Forecasts are claims made before an interval; signed readings score them afterwards.

use crate::abi::AssetKind;
use crate::abi::IDispatch::ReadingsPosted;
use crate::audit::dispatch::{reading_wh, setpoint_w};
use crate::audit::registry::Registry;
use crate::audit::report::ForecastError;
use optimizer::certificate::{Claims, Placed};
use std::collections::BTreeMap;

/// A day ahead is the last interval of a plan of a day.
const DAY: usize = 95;
/// Readings come within a day.
const KEPT: u32 = 256;
/// An interval has so many of them in an hour.
const QUARTERS: i64 = 4;

/// What was forecast of a lane for an interval, W.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    now: Option<i64>,
    day_ahead: Option<i64>,
    /// An inverter that was told to feed less than it could does not show what it could.
    curtailed: bool,
}

/// Sum of errors, W, and how many there are.
#[derive(Debug, Clone, Copy, Default)]
struct Errors {
    sum_w: i64,
    count: u64,
}

/// Forecasts of a site that wait for readings, and what came of those before.
#[derive(Debug, Clone, Default)]
pub(super) struct Forecasts {
    told: BTreeMap<u32, BTreeMap<usize, Told>>,
    /// By kind, and whether they were made a day ahead.
    errors: BTreeMap<(AssetName, bool), Errors>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum AssetName {
    BaseLoad,
    Pv,
}

impl Forecasts {
    /// What a plan says of its first interval and of the same time a day later.
    pub(super) fn planned(&mut self, interval: u32, claims: &Claims, column: &[u8]) {
        let mut tell = |forecast: &Placed<Vec<i64>>, feeds: bool| {
            if let Some(power_w) = forecast.of.first() {
                let told = self.told.entry(interval).or_default().entry(forecast.lane).or_default();
                told.now = Some(*power_w);
                told.curtailed = feeds && setpoint_w(column, forecast.lane) != Some(-power_w);
            }
            if let Some(power_w) = forecast.of.get(DAY) {
                let ahead = self.told.entry(interval + DAY as u32).or_default();
                ahead.entry(forecast.lane).or_default().day_ahead = Some(*power_w);
            }
        };
        claims.base_loads.iter().for_each(|forecast| tell(forecast, false));
        claims.pv.iter().for_each(|forecast| tell(forecast, true));
        self.told.retain(|t, _| t + KEPT > interval);
    }

    /// Compares with what was metered; only where a certified plan tells whether the sun was used.
    pub(super) fn score(&mut self, registry: &Registry, e: &ReadingsPosted) {
        let Some(site) = registry.sites.get(&e.site) else { return };
        for (lane, told) in self.told.remove(&e.interval).unwrap_or_default() {
            let asset = site.lanes.get(lane).and_then(|id| registry.assets.get(id));
            let (kind, sign) = match asset.map(|asset| asset.data.kind) {
                Some(AssetKind::BaseLoad) => (AssetName::BaseLoad, 1),
                Some(AssetKind::Pv) => (AssetName::Pv, -1),
                _ => continue,
            };
            let Some(energy_wh) = reading_wh(&e.lanes, lane).filter(|_| told.now.is_some() && !told.curtailed) else {
                continue;
            };
            for (day_ahead, power_w) in [(false, told.now), (true, told.day_ahead)] {
                if let Some(power_w) = power_w {
                    let errors = self.errors.entry((kind, day_ahead)).or_default();
                    errors.sum_w += (power_w - sign * QUARTERS * energy_wh).abs();
                    errors.count += 1;
                }
            }
        }
    }

    /// Mean absolute errors.
    pub(super) fn errors(&self) -> Vec<ForecastError> {
        let error = |((kind, day_ahead), errors): (&(AssetName, bool), &Errors)| ForecastError {
            of: if *kind == AssetName::Pv { "PV" } else { "base load" },
            day_ahead: *day_ahead,
            scored: errors.count,
            mean_w: errors.sum_w / i64::try_from(errors.count.max(1)).unwrap_or(i64::MAX),
        };
        self.errors.iter().map(error).collect()
    }
}
