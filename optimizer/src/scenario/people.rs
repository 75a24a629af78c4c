//! `drivers.csv` and `sessions.csv`: who charges, who comes when and wants what.

use super::error::{ScenarioError, Warning};
use super::sitemap::PRICE_MAX;
use super::table::{Cell, Row, Table};
use super::{DRIVERS_FILE, Scenario};
use crate::session::{Driver, Session, Vehicle};
use crate::site::Site;
use crate::units::{INTERVALS_PER_HOUR, Interval, Micro, MicroPerKwh, UnixTime, WattHours, Watts};
use chrono::{DateTime, FixedOffset, Offset, TimeZone};
use std::collections::BTreeMap;

/// Longest stay, seconds: a fortnight. A simulation runs until the last car has left, so this bounds it; the longest
/// stays in the field data of `data/README.md` are shorter.
pub const STAY_MAX_S: i64 = 14 * 24 * 3600;

/// Largest amount of money, micro: a thousand million credits.
const MONEY_MAX: i64 = 1_000_000_000_000_000;
/// Largest battery of a vehicle: 10 MWh. Smaller than 10⁸, so that `soc_percent` with 6 decimals tells every Wh.
pub(super) const CAPACITY_MAX_WH: i64 = 10_000_000;

pub(crate) const DRIVER_COLUMNS: [&str; 3] = ["driver", "deposit_micro", "low_balance_micro"];
pub(crate) const SESSION_COLUMNS: [&str; 10] = [
    "session",
    "driver",
    "evse",
    "arrival",
    "departure",
    "energy_wh",
    "price_ceiling_micro_per_kwh",
    "battery_wh",
    "soc_percent",
    "max_power_w",
];
pub(crate) const SESSION_OPTIONAL: [&str; 2] = ["unplugged", "takes_wh"];

/// Reads the drivers.
pub(super) fn parse_drivers((name, bytes): (&str, &[u8])) -> Result<Vec<Driver>, ScenarioError> {
    let table = Table::read(name, bytes)?;
    table.check_columns(&DRIVER_COLUMNS, &[])?;
    let mut lines: BTreeMap<&str, usize> = BTreeMap::new();
    let mut drivers = Vec::new();
    for row in table.rows() {
        let id = row.cell("driver");
        if let Some(line) = lines.insert(id.name()?, row.line) {
            return Err(id.fail(format!("an id used once; line {line} has it too")));
        }
        drivers.push(Driver {
            id: id.text.to_owned(),
            deposit: Micro(row.cell("deposit_micro").integer(0..=MONEY_MAX, "money in micro")?),
            low_balance: Micro(row.cell("low_balance_micro").integer(0..=MONEY_MAX, "money in micro")?),
        });
    }
    Ok(drivers)
}

/// Reads the sessions of the sites, drivers and signals in `scenario`.
pub(super) fn parse_sessions(
    (name, bytes): (&str, &[u8]),
    scenario: &Scenario,
) -> Result<(Vec<Session>, Vec<Warning>), ScenarioError> {
    let table = Table::read(name, bytes)?;
    table.check_columns(&SESSION_COLUMNS, &SESSION_OPTIONAL)?;
    let lookup = Lookup::new(scenario);
    let mut lines: BTreeMap<&str, usize> = BTreeMap::new();
    let mut read: Vec<(Row<'_>, Session)> = Vec::new();
    let mut warnings = Vec::new();
    for row in table.rows() {
        let id = row.cell("session");
        if let Some(line) = lines.insert(id.name()?, row.line) {
            return Err(id.fail(format!("an id used once; line {line} has it too")));
        }
        let (session, rated_w) = parse_session(row, &lookup)?;
        warnings.extend(misfit(&session, rated_w).map(|text| Warning { file: name.to_owned(), line: row.line, text }));
        read.push((row, session));
    }
    read.sort_by(|(_, a), (_, b)| (a.arrival, &a.id).cmp(&(b.arrival, &b.id)));
    check_overlaps(&read)?;
    Ok((read.into_iter().map(|(_, session)| session).collect(), warnings))
}

/// What a session may refer to.
struct Lookup<'a> {
    scenario: &'a Scenario,
    drivers: BTreeMap<&'a str, ()>,
    evses: BTreeMap<&'a str, (&'a Site, Watts)>,
}

impl<'a> Lookup<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let evses = |site: &'a Site| site.evses().map(move |(_, asset, _)| (asset.id.as_str(), (site, asset.rated_w)));
        Self {
            scenario,
            drivers: scenario.drivers.iter().map(|driver| (driver.id.as_str(), ())).collect(),
            evses: scenario.sites.iter().flat_map(evses).collect(),
        }
    }
}

fn parse_session(row: Row<'_>, lookup: &Lookup<'_>) -> Result<(Session, Watts), ScenarioError> {
    let (driver, evse) = (row.cell("driver"), row.cell("evse"));
    if !lookup.drivers.contains_key(driver.text) {
        driver.one_of(&format!("a driver in {DRIVERS_FILE}"), lookup.drivers.keys().copied())?;
    }
    let Some((site, rated_w)) = lookup.evses.get(evse.text) else {
        return Err(match evse.one_of("an EVSE in sitemap.csv", lookup.evses.keys().copied()) {
            Err(error) => error,
            Ok(_) => evse.fail("the id of an EVSE"),
        });
    };
    let arrival = parse_arrival(row.cell("arrival"), site, lookup.scenario)?;
    let departure = later(row.cell("departure"), arrival, site)?;
    let energy_wh = WattHours(row.cell("energy_wh").integer(1..=CAPACITY_MAX_WH, "energy in Wh")?);
    let session = Session {
        id: row.cell("session").text.to_owned(),
        driver: driver.text.to_owned(),
        evse: evse.text.to_owned(),
        arrival,
        departure,
        energy_wh,
        price_ceiling: MicroPerKwh(
            row.cell("price_ceiling_micro_per_kwh").integer(0..=PRICE_MAX, "price in micro per kWh")?,
        ),
        vehicle: parse_vehicle(row, site, arrival, departure, energy_wh)?,
    };
    Ok((session, *rated_w))
}

fn parse_vehicle(
    row: Row<'_>,
    site: &Site,
    arrival: UnixTime,
    departure: UnixTime,
    energy_wh: WattHours,
) -> Result<Vehicle, ScenarioError> {
    let capacity = row.cell("battery_wh").integer(1..=CAPACITY_MAX_WH, "energy in Wh")?;
    let soc_e6 = row.cell("soc_percent").decimal(6, 0..=100_000_000, "percent of the battery, from 0 to 100")?;
    let start = (i128::from(capacity) * i128::from(soc_e6) + 50_000_000) / 100_000_000;
    let start = i64::try_from(start).unwrap_or(capacity);
    let (unplugged, takes) = (row.cell("unplugged"), row.cell("takes_wh"));
    let room = capacity - start;
    let takes_wh =
        if takes.is_empty() { energy_wh.0.min(room) } else { takes.integer(0..=CAPACITY_MAX_WH, "energy in Wh")? };
    if takes_wh > room {
        return Err(takes.fail(format!("at most the room in the battery, {room} Wh")));
    }
    Ok(Vehicle {
        unplugged: if unplugged.is_empty() { departure } else { later(unplugged, arrival, site)? },
        takes_wh: WattHours(takes_wh),
        capacity_wh: WattHours(capacity),
        start_wh: WattHours(start),
        max_w: row.cell("max_power_w").rating()?,
    })
}

/// A car may still be there after the last interval of the signals (they repeat), but must come before.
fn parse_arrival(cell: Cell<'_>, site: &Site, scenario: &Scenario) -> Result<UnixTime, ScenarioError> {
    let arrival = local_time(cell, std::iter::once(site))?;
    let (from, until) = (scenario.signals.first.start(), scenario.signals.first.plus(scenario.signals.len()).start());
    if arrival < from || arrival >= until {
        return Err(cell.fail(format!("a time in signals.csv, from {} and before {}", utc(from), utc(until))));
    }
    Ok(arrival)
}

pub(super) fn later(cell: Cell<'_>, arrival: UnixTime, site: &Site) -> Result<UnixTime, ScenarioError> {
    let time = local_time(cell, std::iter::once(site))?;
    if time <= arrival {
        return Err(cell.fail(format!("a time after the arrival, {}", utc(arrival))));
    }
    if time.0 - arrival.0 > STAY_MAX_S {
        return Err(cell.fail(format!(
            "a time at most {} days after the arrival, {}",
            STAY_MAX_S / 86_400,
            utc(arrival)
        )));
    }
    Ok(time)
}

/// A time in UTC, or with an offset that one of the sites' clocks shows at that time: `+01:00` in a Dutch summer is a
/// slip that would move a session by an hour.
pub(super) fn local_time<'s>(
    cell: Cell<'_>,
    sites: impl Iterator<Item = &'s Site> + Clone,
) -> Result<UnixTime, ScenarioError> {
    let time: DateTime<FixedOffset> = cell.time()?;
    let shown = |site: &Site| {
        site.time_zone.parse::<chrono_tz::Tz>().ok().map(|tz| tz.offset_from_utc_datetime(&time.naive_utc()).fix())
    };
    if !cell.text.ends_with(['Z', 'z']) && !sites.clone().any(|site| shown(site) == Some(*time.offset())) {
        let offsets: Vec<String> =
            sites.filter_map(|site| Some(format!("{} ({})", shown(site)?, site.time_zone))).take(1).collect();
        return Err(cell.fail(format!("the offset at that time, {}, or Z", offsets.join(", "))));
    }
    Ok(UnixTime(time.timestamp()))
}

/// As text in UTC, for messages.
pub(super) fn utc(time: UnixTime) -> String {
    DateTime::from_timestamp(time.0, 0).map_or_else(|| time.to_string(), |t| t.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Says why a need cannot fit its window, if it cannot. Only whole intervals count: a car that arrives inside one is
/// planned from the next.
pub(crate) fn misfit(session: &Session, rated_w: Watts) -> Option<String> {
    let (from, until) = (Interval::starting_from(session.arrival), Interval::containing(session.departure));
    let intervals = until.offset_from(from).unwrap_or(0);
    let power_w = rated_w.min(session.vehicle.max_w);
    let most = i64::try_from(intervals).unwrap_or(i64::MAX).saturating_mul(power_w.0) / INTERVALS_PER_HOUR;
    (session.energy_wh.0 > most).then(|| {
        format!(
            "session {:?} wants {} Wh, but {} whole intervals at {} W give {} Wh at most: the plan will show a shortfall",
            session.id, session.energy_wh, intervals, power_w, most
        )
    })
}

/// An EVSE serves one car at a time. `read` is sorted by arrival.
fn check_overlaps(read: &[(Row<'_>, Session)]) -> Result<(), ScenarioError> {
    let mut last: BTreeMap<&str, &(Row<'_>, Session)> = BTreeMap::new();
    for entry in read {
        let (row, session) = entry;
        if let Some((before, other)) = last.insert(&session.evse, entry)
            && other.vehicle.unplugged > session.arrival
        {
            let until = utc(other.vehicle.unplugged);
            let expected = format!("a free EVSE: session {:?} (line {}) is there until {until}", other.id, before.line);
            return Err(row.cell("arrival").fail(format!("{expected}, at {:?}", session.evse)));
        }
    }
    Ok(())
}
