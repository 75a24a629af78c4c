//! Field data as scenarios: recorded sessions, prices and powers of a real day, replayed on a site of one's own.
//!
//! ```text
//! session file ─ csv | acn_json ─► FieldSession ─ place(template, date) ─► Scenario
//! price, PV or load file ─ series ─► Series ─ replace_price | replace_power ─► the same Scenario
//! ```
//!
//! Everything is re-dated by *local time of day*: who came at 08:25 in Pasadena comes at 08:25 on the template's day, in
//! the template's zone, and the price of 08:15 to 08:30 meets them there.

mod acn;
mod mapping;
mod place;
mod series;
mod time;

pub use acn::acn_json;
pub use mapping::{Mapping, csv};
pub use place::{Options, days, place};
pub use series::{Series, SeriesFormat, replace_power, replace_price, series};

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
