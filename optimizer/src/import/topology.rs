//! A site's wiring in ACN-Sim's form: stations with voltage, phase angle and pilot currents, and a constraint matrix over
//! their currents.

use super::json::{self, Decimal};
use crate::rows::{Classes, Connection, Line, SIDES, classes};
use crate::scenario::ScenarioError;
use crate::units::Watts;
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    stations: Vec<Entry>,
    constraint_ids: Vec<String>,
    constraint_limits_a: Vec<Decimal>,
    constraint_matrix: Vec<Vec<Decimal>>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    voltage: Decimal,
    phase_angle_deg: Decimal,
    min_pilot_a: Decimal,
    max_pilot_a: Decimal,
    continuous: bool,
    #[serde(default)]
    allowable_pilots_a: Option<Vec<Decimal>>,
}

/// Stations, and the lines that they hang on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// In the order of the file.
    pub stations: Vec<Station>,
    /// One coefficient per station each.
    pub lines: Vec<Line>,
}

/// What the file calls a station is an EVSE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Station {
    /// Id in the file, which sessions name too.
    pub id: String,
    /// Voltage and phase. To plan in currents, set every voltage to 200 V: then whole and half amperes are whole steps of
    /// power (see [`crate::garage`]).
    pub connection: Connection,
    /// Least current when any, mA.
    pub min_ma: i64,
    /// Most current, mA.
    pub max_ma: i64,
    /// The only currents beside 0, rising, mA; empty: all from the least to the most.
    pub pilots_ma: Vec<i64>,
}

impl Station {
    /// The power of `current_ma`, W, rounded down to a step: never more than the current.
    pub fn power_w(&self, current_ma: i64) -> Watts {
        Watts(current_ma * self.connection.voltage_mv / 1_000_000).floor_to_step()
    }

    /// Its pilots as a [`Need`](crate::problem::Need) has them.
    pub fn pilots_w(&self) -> Vec<Watts> {
        self.pilots_ma.iter().map(|pilot| self.power_w(*pilot)).collect()
    }
}

/// Reads a topology. `file` is its name, for errors.
///
/// # Errors
/// The first fault, with line or field: lists of different lengths, a negative limit, a voltage that is not above 0.
pub fn topology(file: &str, bytes: &[u8]) -> Result<Topology, ScenarioError> {
    let read: File = json::parse(file, bytes, "a topology with stations and constraints")?;
    let fail = |field: &str, value: &str, expected: &str| ScenarioError::new(file, 0, field, value, expected);
    let whole = |field: &str, number: &Decimal, power: i32, range: std::ops::RangeInclusive<i64>| {
        let fits = number.whole(power).filter(|n| range.contains(n));
        fits.ok_or_else(|| fail(field, &number.to_string(), "a number of a sensible size"))
    };
    let mut stations: Vec<Station> = Vec::with_capacity(read.stations.len());
    for (index, entry) in read.stations.iter().enumerate() {
        let field = |name: &str| format!("stations[{index}].{name}");
        if stations.iter().any(|other| other.id == entry.id) {
            return Err(fail(&field("id"), &entry.id, "an id that no other station has"));
        }
        let current = |name: &str, number| whole(&field(name), number, 3, 0..=CURRENT_MAX_MA);
        let pilots = entry.allowable_pilots_a.iter().flatten().map(|pilot| current("allowable_pilots_a", pilot));
        let mut pilots_ma = pilots.collect::<Result<Vec<_>, _>>()?;
        pilots_ma.retain(|pilot| *pilot > 0);
        if !pilots_ma.is_sorted() {
            return Err(fail(&field("allowable_pilots_a"), "", "rising currents"));
        }
        if entry.continuous {
            pilots_ma.clear();
        }
        stations.push(Station {
            id: entry.id.clone(),
            connection: Connection {
                voltage_mv: whole(&field("voltage"), &entry.voltage, 3, 1..=VOLTAGE_MAX_MV)?,
                angle_mdeg: whole(&field("phase_angle_deg"), &entry.phase_angle_deg, 3, -360_000..=360_000)?,
            },
            min_ma: current("min_pilot_a", &entry.min_pilot_a)?,
            max_ma: current("max_pilot_a", &entry.max_pilot_a)?,
            pilots_ma,
        });
    }
    let count = read.constraint_ids.len();
    for (field, found) in
        [("constraint_limits_a", read.constraint_limits_a.len()), ("constraint_matrix", read.constraint_matrix.len())]
    {
        if found != count {
            return Err(fail(field, &found.to_string(), &format!("as many as constraint_ids: {count}")));
        }
    }
    let mut lines = Vec::with_capacity(count);
    for (c, name) in read.constraint_ids.iter().enumerate() {
        let row = &read.constraint_matrix[c];
        let field = format!("constraint_matrix[{c}]");
        if row.len() != stations.len() {
            return Err(fail(&field, &row.len().to_string(), &format!("as many as stations: {}", stations.len())));
        }
        let coefficients = row.iter().map(|number| whole(&field, number, 6, -COEFFICIENT_MAX..=COEFFICIENT_MAX));
        let coefficient_micro = coefficients.collect::<Result<_, _>>()?;
        let field = format!("constraint_limits_a[{c}]");
        // Rounded down to a mA: a limit is never exceeded.
        let limit_ma = whole(&field, &read.constraint_limits_a[c], 6, 0..=1000 * CURRENT_MAX_MA)? / 1000;
        lines.push(Line { name: name.clone(), coefficient_micro, limit_ma });
    }
    Ok(Topology { stations, lines })
}

/// A hundred thousand amperes: more than any low-voltage winding carries.
const CURRENT_MAX_MA: i64 = 100_000_000;
/// A million volts.
const VOLTAGE_MAX_MV: i64 = 1_000_000_000;
/// A thousand, millionths.
const COEFFICIENT_MAX: i64 = 1_000_000_000;

impl Topology {
    /// Groups and rows of a problem, and each station's group; powers in W at the stations' voltages, the sides of
    /// polygons inside the limits. See [`classes`].
    ///
    /// # Errors
    /// A voltage that is not above 0, or a line without one coefficient per station; not as the file was read.
    pub fn classes(&self) -> Result<Classes, String> {
        let connections: Vec<Connection> = self.stations.iter().map(|station| station.connection).collect();
        classes(&connections, &self.lines, SIDES)
    }
}
