//! A scenario: sites, drivers, sessions and signals, read from a folder of CSV files.
//!
//! ```text
//! file bytes ─ table (lines, header) ─► cells ─ sitemap, people, prices ─► Scenario ─ write ─► file bytes
//! ```
//!
//! Every column is described in `data/README.md`. [`parse`] takes bytes and not a path, because the core does no IO.

mod error;
mod history;
pub(crate) mod number;
mod people;
mod prices;
mod sitemap;
pub(crate) mod table;
mod write;

pub use error::{ScenarioError, Warning};
pub use people::STAY_MAX_S;
pub(crate) use people::misfit;
pub use sitemap::{ASSETS_MAX, GROUPS_MAX};
pub use table::LINE_BYTES_MAX;
pub use write::write;

use crate::session::{Driver, PastSession, Session};
use crate::signals::Signals;
use crate::site::{Asset, Evse, Site};
use crate::units::{INTERVAL_S, Interval, UnixTime};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The grid connections of a scenario.
pub const SITE_FILE: &str = "site.csv";
/// The groups and assets behind them.
pub const SITEMAP_FILE: &str = "sitemap.csv";
/// Who charges.
pub const DRIVERS_FILE: &str = "drivers.csv";
/// Who comes when, and wants what.
pub const SESSIONS_FILE: &str = "sessions.csv";
/// Prices, PV and base load.
pub const SIGNALS_FILE: &str = "signals.csv";
/// Sessions of the days before; a scenario may go without.
pub const HISTORY_FILE: &str = "history.csv";
/// The files of every scenario; of others in its folder only [`HISTORY_FILE`] is read.
pub const FILES: [&str; 5] = [SITE_FILE, SITEMAP_FILE, DRIVERS_FILE, SESSIONS_FILE, SIGNALS_FILE];

/// Everything a day needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenario {
    /// Name: the folder's.
    pub name: String,
    /// Sites, in the order of `site.csv`.
    pub sites: Vec<Site>,
    /// Drivers, in the order of `drivers.csv`.
    pub drivers: Vec<Driver>,
    /// Sessions, by arrival, then id.
    pub sessions: Vec<Session>,
    /// Signals.
    pub signals: Signals,
    /// Sessions of the days before, from which, and from those of the day, habits are learned. `None`: nothing is
    /// learned, and drivers' words are taken.
    #[serde(default)]
    pub history: Option<Vec<PastSession>>,
}

/// Reads a scenario from its files, by file name ([`FILES`] and, where there is one, [`HISTORY_FILE`]; further
/// entries are ignored).
///
/// # Errors
/// The first fault found, with file, line, column, value and what was expected there.
pub fn parse(name: &str, files: &BTreeMap<String, Vec<u8>>) -> Result<(Scenario, Vec<Warning>), ScenarioError> {
    let (sites, mut warnings) = sitemap::parse(file(files, SITE_FILE)?, file(files, SITEMAP_FILE)?)?;
    let drivers = people::parse_drivers(file(files, DRIVERS_FILE)?)?;
    let signals = prices::parse(file(files, SIGNALS_FILE)?, &sites)?;
    let (sessions, history) = (Vec::new(), None);
    let mut scenario = Scenario { name: name.to_owned(), sites, drivers, sessions, signals, history };
    let (sessions, misfits) = people::parse_sessions(file(files, SESSIONS_FILE)?, &scenario)?;
    scenario.sessions = sessions;
    warnings.extend(misfits);
    let past = files.get(HISTORY_FILE).map(|bytes| history::parse((HISTORY_FILE, bytes), &scenario));
    scenario.history = past.transpose()?;
    Ok((scenario, warnings))
}

fn file<'a>(
    files: &'a BTreeMap<String, Vec<u8>>,
    name: &'static str,
) -> Result<(&'static str, &'a [u8]), ScenarioError> {
    match files.get(name) {
        Some(bytes) => Ok((name, bytes)),
        None => Err(ScenarioError::of_file(name, format!("this file; a scenario has {}", FILES.join(", ")))),
    }
}

impl Scenario {
    /// Index of the site of an EVSE, and its lane there. `None` where no EVSE has this id.
    pub fn site_of_evse(&self, evse: &str) -> Option<(usize, usize)> {
        self.sites.iter().enumerate().find_map(|(index, site)| {
            site.evses().find(|(_, asset, _)| asset.id == evse).map(|(lane, _, _)| (index, lane))
        })
    }

    /// An EVSE with the site and the asset it is. `None` where no EVSE has this id.
    pub fn evse(&self, evse: &str) -> Option<(&Site, &Asset, &Evse)> {
        self.sites.iter().find_map(|site| {
            site.evses().find(|(_, asset, _)| asset.id == evse).map(|(_, asset, evse)| (site, asset, evse))
        })
    }

    /// The driver of this id.
    pub fn driver(&self, id: &str) -> Option<&Driver> {
        self.drivers.iter().find(|driver| driver.id == id)
    }

    /// The session of this id.
    pub fn session(&self, id: &str) -> Option<&Session> {
        self.sessions.iter().find(|session| session.id == id)
    }

    /// The same scenario `intervals` later (earlier where negative): sessions, signals and history move together. Signals end at
    /// the ends of time ([`Interval`]); no scenario that [`parse`] accepts comes near them.
    ///
    /// Warning: across a clock change the times of day move by an hour.
    pub fn shifted(&self, intervals: i64) -> Self {
        let later = |time: UnixTime| UnixTime(time.0.saturating_add(intervals.saturating_mul(INTERVAL_S)));
        let mut moved = self.clone();
        let first = i64::from(self.signals.first.0).saturating_add(intervals).clamp(0, i64::from(u32::MAX));
        moved.signals.first = Interval(u32::try_from(first).unwrap_or(u32::MAX));
        for session in &mut moved.sessions {
            session.arrival = later(session.arrival);
            session.departure = later(session.departure);
            session.vehicle.unplugged = later(session.vehicle.unplugged);
        }
        for past in moved.history.iter_mut().flatten() {
            past.arrival = later(past.arrival);
            past.unplugged = later(past.unplugged);
            past.departure = past.departure.map(later);
        }
        moved
    }
}
