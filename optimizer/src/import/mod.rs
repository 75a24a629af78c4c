//! Field data as scenarios: recorded sessions, prices and powers of a real day, replayed on a site of one's own.
//!
//! ```text
//! session file ─ csv | acn_json ─► FieldSession ─ place(template, date) ─► Scenario ◄─ past(template, date) ─ earlier days
//! price, PV, load or emissions file (CSV, Parquet) ─ series ─► Series, in quarter hours
//!                              Series ─ replace_price | replace_power ─► the same Scenario
//! tariff JSON ─ tariff ─► Tariff ─ prices(zone, interval) ─► what a Problem has; topology JSON ─ topology ─► its Classes
//! ```
//!
//! Everything is re-dated by *local time of day*: who came at 08:25 in Pasadena comes at 08:25 on the template's day, in
//! the template's zone, and the price of 08:15 to 08:30 meets them there.

mod acn;
pub(crate) mod json;
mod mapping;
mod past;
mod place;
mod recorded;
mod replace;
mod samples;
mod series;
mod tariff;
mod time;
mod topology;

pub use acn::acn_json;
pub use mapping::{Mapping, csv};
pub use past::past;
pub use place::{Options, days, place};
pub use recorded::Recorded;
pub use replace::{replace_power, replace_price};
pub use series::{BRIDGE_S, Kind, Series, SeriesFormat, series};
pub use tariff::{Tariff, tariff};
pub use topology::{Station, Topology, topology};

use crate::units::WattHours;
use chrono::{DateTime, FixedOffset};

/// A session as the field recorded it. Times carry the offset of the place where it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldSession {
    /// Line of its file, or number of its item, from 1.
    pub line: usize,
    /// Id in the file.
    pub id: String,
    /// Where it was plugged in.
    pub station: String,
    /// Who, if known.
    pub driver: Option<String>,
    /// Plug-in.
    pub arrival: DateTime<FixedOffset>,
    /// Plug-out.
    pub departure: DateTime<FixedOffset>,
    /// Departure that the driver declared, if any.
    pub declared_departure: Option<DateTime<FixedOffset>>,
    /// Energy that the driver declared, if any.
    pub requested_wh: Option<WattHours>,
    /// Energy delivered.
    pub delivered_wh: WattHours,
}
