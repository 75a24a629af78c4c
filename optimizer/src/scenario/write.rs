//! A scenario as files: the inverse of [`super::parse`].

use super::history::{HISTORY_COLUMNS, HISTORY_OPTIONAL};
use super::number::unscaled;
use super::people::{DRIVER_COLUMNS, SESSION_COLUMNS, SESSION_OPTIONAL};
use super::prices::{POWER_PREFIX, PRICE_COLUMNS};
use super::sitemap::{SITE_COLUMNS, SITEMAP_COLUMNS};
use super::{DRIVERS_FILE, HISTORY_FILE, SESSIONS_FILE, SIGNALS_FILE, SITE_FILE, SITEMAP_FILE, Scenario};
use crate::session::{PastSession, Session, Vehicle};
use crate::site::{Asset, AssetKind, Site};
use crate::units::{MicroPerKwh, UnixTime, Watts};
use chrono::{DateTime, SecondsFormat};
use std::collections::BTreeMap;

/// The files of `scenario`, by name. For a scenario that [`super::parse`] could have made, reading them gives the same
/// one again. Times are written in
/// the zone of their site, those of the signals in the first site's.
pub fn write(scenario: &Scenario) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::from([
        (SITE_FILE.to_owned(), text(site_rows(scenario))),
        (SITEMAP_FILE.to_owned(), text(sitemap_rows(scenario))),
        (DRIVERS_FILE.to_owned(), text(driver_rows(scenario))),
        (SESSIONS_FILE.to_owned(), text(session_rows(scenario))),
        (SIGNALS_FILE.to_owned(), text(signal_rows(scenario))),
    ]);
    files.extend(scenario.history.as_ref().map(|past| (HISTORY_FILE.to_owned(), text(history_rows(scenario, past)))));
    files
}

type Rows = Vec<Vec<String>>;

fn text(rows: Rows) -> Vec<u8> {
    let lines = rows.iter().map(|row| row.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(","));
    lines.flat_map(|line| (line + "\n").into_bytes()).collect()
}

fn quoted(value: &str) -> String {
    if value.contains([',', '"']) { format!("\"{}\"", value.replace('"', "\"\"")) } else { value.to_owned() }
}

fn header(columns: impl IntoIterator<Item = &'static str>) -> Vec<String> {
    columns.into_iter().map(str::to_owned).collect()
}

fn site_rows(scenario: &Scenario) -> Rows {
    let row = |site: &Site| {
        let root = site.groups.first();
        vec![
            site.id.clone(),
            site.owner.clone(),
            site.time_zone.clone(),
            degrees(site.position.latitude_e7),
            degrees(site.position.longitude_e7),
            root.map_or(String::new(), |root| root.limit_import_w.to_string()),
            root.map_or(String::new(), |root| root.limit_export_w.to_string()),
        ]
    };
    std::iter::once(header(SITE_COLUMNS)).chain(scenario.sites.iter().map(row)).collect()
}

fn degrees(e7: i32) -> String {
    unscaled(i64::from(e7), 7)
}

/// Each group is followed by its own assets, as one would draw it.
fn sitemap_rows(scenario: &Scenario) -> Rows {
    let mut rows = vec![header(SITEMAP_COLUMNS)];
    for site in &scenario.sites {
        for (index, group) in site.groups.iter().enumerate() {
            if let Some(parent) = group.parent {
                let filled = [
                    ("limit_import_w", group.limit_import_w.to_string()),
                    ("limit_export_w", group.limit_export_w.to_string()),
                ];
                rows.push(sitemap_row(
                    [&site.id, "group", &group.id, site.groups.get(parent).map_or("", |parent| &parent.id)],
                    &filled,
                ));
            }
            let own = site.assets.iter().filter(|asset| asset.group == index);
            rows.extend(own.map(|asset| sitemap_row([&site.id, kind(asset), &asset.id, &group.id], &filled(asset))));
        }
    }
    rows
}

fn sitemap_row(place: [&str; 4], filled: &[(&str, String)]) -> Vec<String> {
    let value =
        |column: &&str| filled.iter().find(|(name, _)| name == column).map_or(String::new(), |(_, v)| v.clone());
    place.iter().map(|text| (*text).to_owned()).chain(SITEMAP_COLUMNS[4..].iter().map(value)).collect()
}

fn kind(asset: &Asset) -> &'static str {
    match asset.kind {
        AssetKind::Evse(_) => "evse",
        AssetKind::Pv => "pv",
        AssetKind::Battery(_) => "battery",
        AssetKind::BaseLoad => "base_load",
    }
}

fn filled(asset: &Asset) -> Vec<(&'static str, String)> {
    let mut values = vec![
        ("latitude", degrees(asset.position.latitude_e7)),
        ("longitude", degrees(asset.position.longitude_e7)),
        ("rated_w", asset.rated_w.to_string()),
    ];
    match &asset.kind {
        AssetKind::Evse(evse) => values.extend([
            ("charge_point", evse.charge_point.clone()),
            ("connector", evse.connector.to_string()),
            ("min_w", evse.min_w.to_string()),
            ("phases", evse.phases.to_string()),
            ("price_micro_per_kwh", evse.price.to_string()),
        ]),
        AssetKind::Battery(battery) => values.extend([
            ("capacity_wh", battery.capacity_wh.to_string()),
            ("start_wh", battery.start_wh.to_string()),
            ("charge_percent", battery.charge_percent.to_string()),
            ("discharge_percent", battery.discharge_percent.to_string()),
        ]),
        AssetKind::Pv | AssetKind::BaseLoad => {}
    }
    values
}

fn driver_rows(scenario: &Scenario) -> Rows {
    let rows = scenario.drivers.iter().map(|d| vec![d.id.clone(), d.deposit.to_string(), d.low_balance.to_string()]);
    std::iter::once(header(DRIVER_COLUMNS)).chain(rows).collect()
}

fn session_rows(scenario: &Scenario) -> Rows {
    let columns = SESSION_COLUMNS.into_iter().chain(SESSION_OPTIONAL);
    let rows = scenario.sessions.iter().map(|session| session_row(scenario, session));
    std::iter::once(header(columns)).chain(rows).collect()
}

fn session_row(scenario: &Scenario, session: &Session) -> Vec<String> {
    let zone = scenario.evse(&session.evse).map_or("UTC", |(site, _, _)| site.time_zone.as_str());
    let vehicle = &session.vehicle;
    // What the defaults say need not be written: only a car that does otherwise stands out.
    let takes = session.energy_wh.0.min(vehicle.capacity_wh.0 - vehicle.start_wh.0);
    vec![
        session.id.clone(),
        session.driver.clone(),
        session.evse.clone(),
        time(session.arrival, zone),
        time(session.departure, zone),
        session.energy_wh.to_string(),
        session.price_ceiling.to_string(),
        vehicle.capacity_wh.to_string(),
        soc_percent(vehicle),
        vehicle.max_w.to_string(),
        if vehicle.unplugged == session.departure { String::new() } else { time(vehicle.unplugged, zone) },
        if vehicle.takes_wh.0 == takes { String::new() } else { vehicle.takes_wh.to_string() },
    ]
}

fn history_rows(scenario: &Scenario, past: &[PastSession]) -> Rows {
    let row = |past: &PastSession| {
        let site = scenario.sites.iter().find(|site| site.id == past.site);
        let zone = site.map_or("UTC", |site| site.time_zone.as_str());
        vec![
            past.site.clone(),
            time(past.arrival, zone),
            time(past.unplugged, zone),
            past.delivered_wh.to_string(),
            past.driver.clone(),
            past.departure.map_or(String::new(), |departure| time(departure, zone)),
            past.energy_wh.map_or(String::new(), |energy| energy.to_string()),
        ]
    };
    let columns = HISTORY_COLUMNS.into_iter().chain(HISTORY_OPTIONAL);
    std::iter::once(header(columns)).chain(past.iter().map(row)).collect()
}

/// To the nearest of the 6 decimals that are read back.
fn soc_percent(vehicle: &Vehicle) -> String {
    let capacity = i128::from(vehicle.capacity_wh.0.max(1));
    let e6 = (i128::from(vehicle.start_wh.0) * 200_000_000 + capacity).div_euclid(2 * capacity);
    unscaled(i64::try_from(e6).unwrap_or(0), 6)
}

fn time(time: UnixTime, zone: &str) -> String {
    let Some(utc) = DateTime::from_timestamp(time.0, 0) else { return time.to_string() };
    match zone.parse::<chrono_tz::Tz>() {
        // Where the clock shows +00:00 the letter says the same and is always accepted.
        Ok(zone) => utc.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Secs, true),
        Err(_) => utc.to_rfc3339_opts(SecondsFormat::Secs, true),
    }
}

fn signal_rows(scenario: &Scenario) -> Rows {
    let signals = &scenario.signals;
    let zone = scenario.sites.first().map_or("UTC", |site| site.time_zone.as_str());
    let assets = scenario.sites.iter().flat_map(|site| &site.assets);
    let ids: Vec<&str> = assets.map(|asset| asset.id.as_str()).filter(|id| signals.power_w.contains_key(*id)).collect();
    let mut head = header(PRICE_COLUMNS);
    head.extend(ids.iter().map(|id| format!("{POWER_PREFIX}{id}")));
    let row = |k: usize| {
        let at = time(signals.first.plus(k).start(), zone);
        let price = |series: &[MicroPerKwh]| series.get(k).map_or(String::new(), MicroPerKwh::to_string);
        let power = |id: &&str| {
            signals.power_w.get(*id).and_then(|series| series.get(k)).map_or(String::new(), Watts::to_string)
        };
        let mut row = vec![at, price(&signals.import_price), price(&signals.feed_in_price)];
        row.extend(ids.iter().map(power));
        row
    };
    std::iter::once(head).chain((0..signals.len()).map(row)).collect()
}
