//! `site.csv` and `sitemap.csv`: grid connections, and the groups and assets behind them.

use super::error::{ScenarioError, Warning, suggestion};
use super::table::{Cell, Row, Table};
use crate::site::{Asset, AssetKind, Battery, Evse, Group, Position, Site};
use crate::units::{MicroPerKwh, POWER_MAX_W, POWER_STEP_W, WattHours, Watts};
use std::collections::BTreeMap;

/// Most groups of a site, the grid connection included (the registry's limit).
pub const GROUPS_MAX: usize = 64;
/// Most assets of a site (the registry's limit).
pub const ASSETS_MAX: usize = 1024;

/// Largest limit of a group, W: the registry keeps it in 32 bits.
const LIMIT_MAX_W: i64 = 4_294_967_295 / POWER_STEP_W * POWER_STEP_W;
/// Largest price, micro per kWh: a thousand credits. More is a slip of the unit.
pub(crate) const PRICE_MAX: i64 = 1_000_000_000;
/// Largest stationary battery: 1 GWh.
const CAPACITY_MAX_WH: i64 = 1_000_000_000;

pub(crate) const SITE_COLUMNS: [&str; 7] =
    ["site", "owner", "time_zone", "latitude", "longitude", "limit_import_w", "limit_export_w"];

pub(crate) const SITEMAP_COLUMNS: [&str; 18] = [
    "site",
    "kind",
    "id",
    "parent",
    "charge_point",
    "connector",
    "latitude",
    "longitude",
    "rated_w",
    "min_w",
    "phases",
    "limit_import_w",
    "limit_export_w",
    "price_micro_per_kwh",
    "capacity_wh",
    "start_wh",
    "charge_percent",
    "discharge_percent",
];

/// The columns that a kind of row fills, besides the first four.
const FILLED: [(&str, &[&str]); 5] = [
    ("group", &["limit_import_w", "limit_export_w"]),
    (
        "evse",
        &["charge_point", "connector", "latitude", "longitude", "rated_w", "min_w", "phases", "price_micro_per_kwh"],
    ),
    ("pv", &["latitude", "longitude", "rated_w"]),
    (
        "battery",
        &["latitude", "longitude", "rated_w", "capacity_wh", "start_wh", "charge_percent", "discharge_percent"],
    ),
    ("base_load", &["latitude", "longitude", "rated_w"]),
];

/// A row of the site map before its place in the order is known.
struct Entry<'a> {
    row: Row<'a>,
    kind: &'a str,
    id: &'a str,
}

/// Reads both files: (name, bytes) each.
pub(super) fn parse(sites: (&str, &[u8]), map: (&str, &[u8])) -> Result<(Vec<Site>, Vec<Warning>), ScenarioError> {
    let site_table = Table::read(sites.0, sites.1)?;
    site_table.check_columns(&SITE_COLUMNS, &[])?;
    let mut sites: Vec<Site> = Vec::new();
    for row in site_table.rows() {
        let site = parse_site(row)?;
        if sites.iter().any(|other| other.id == site.id) {
            return Err(row.cell("site").fail("an id that no other site has"));
        }
        sites.push(site);
    }
    if sites.is_empty() {
        return Err(ScenarioError::new(site_table.file(), 2, "site", "", "at least one site"));
    }

    let map_table = Table::read(map.0, map.1)?;
    map_table.check_columns(&SITEMAP_COLUMNS, &[])?;
    let entries = parse_entries(&map_table, &sites)?;
    for site in &mut sites {
        let placed = place_groups(site, &entries)?;
        place_assets(site, &entries, &placed)?;
    }
    check_connectors(&entries)?;
    let weak = entries.iter().filter(|entry| is_below_a_step(entry)).map(|entry| Warning {
        file: map.0.to_owned(),
        line: entry.row.line,
        text: format!(
            "EVSE {:?} is rated {} W, less than a step of {POWER_STEP_W} W: it is planned as one step, which it will \
             not draw. Are these kW?",
            entry.id,
            entry.row.cell("rated_w").text
        ),
    });
    let weak = weak.collect();
    Ok((sites, weak))
}

/// Whether this is an EVSE that no setpoint fits.
fn is_below_a_step(entry: &Entry<'_>) -> bool {
    entry.kind == "evse" && entry.row.cell("rated_w").integer(1..=POWER_STEP_W - 1, "").is_ok()
}

fn parse_site(row: Row<'_>) -> Result<Site, ScenarioError> {
    let id = row.cell("site").name()?.to_owned();
    let owner = row.cell("owner").name()?.to_owned();
    let zone = row.cell("time_zone");
    if zone.text.parse::<chrono_tz::Tz>().is_err() {
        return Err(zone.fail("an IANA time zone, for example Europe/Amsterdam"));
    }
    let root = Group {
        id: id.clone(),
        parent: None,
        limit_import_w: row.cell("limit_import_w").power(LIMIT_MAX_W)?,
        limit_export_w: row.cell("limit_export_w").power(LIMIT_MAX_W)?,
    };
    let (time_zone, position) = (zone.text.to_owned(), parse_position(row)?);
    Ok(Site { id, owner, time_zone, position, groups: vec![root], assets: Vec::new() })
}

fn parse_position(row: Row<'_>) -> Result<Position, ScenarioError> {
    let degrees = |cell: Cell<'_>, most: i32, what: &str| {
        let range = -i64::from(most) * 10_000_000..=i64::from(most) * 10_000_000;
        let value = cell.decimal(7, range, what)?;
        i32::try_from(value).map_err(|_| cell.fail(what))
    };
    Ok(Position {
        latitude_e7: degrees(row.cell("latitude"), 90, "degrees north from -90 to 90")?,
        longitude_e7: degrees(row.cell("longitude"), 180, "degrees east from -180 to 180")?,
    })
}

/// Checks what can be said of each row alone, and that ids are used once.
fn parse_entries<'a>(table: &'a Table, sites: &[Site]) -> Result<Vec<Entry<'a>>, ScenarioError> {
    let mut used: BTreeMap<&str, String> = BTreeMap::new();
    for site in sites {
        used.insert(&site.id, format!("the site {:?}", site.id));
    }
    let mut entries = Vec::new();
    for row in table.rows() {
        row.cell("site").one_of("a site in site.csv", sites.iter().map(|site| site.id.as_str()))?;
        let kind = row.cell("kind");
        let Some((_, filled)) = FILLED.iter().find(|(name, _)| *name == kind.text) else {
            let known = FILLED.map(|(name, _)| name);
            return Err(kind.fail(format!("one of {}{}", known.join(", "), suggestion(kind.text, known))));
        };
        if let Some(column) = SITEMAP_COLUMNS[4..].iter().find(|c| !filled.contains(c) && !row.cell(c).is_empty()) {
            return Err(row.cell(column).fail(format!("nothing: a {} has no such value", kind.text)));
        }
        let id = row.cell("id");
        let holder = format!("line {}", row.line);
        if let Some(other) = used.insert(id.name()?, holder) {
            return Err(id.fail(format!("an id used once; {other} has it too")));
        }
        entries.push(Entry { row, kind: kind.text, id: id.text });
    }
    Ok(entries)
}

/// Adds the groups of `site` in preorder. Returns their ids and indices, the grid connection's included.
fn place_groups<'a>(site: &mut Site, entries: &[Entry<'a>]) -> Result<BTreeMap<String, usize>, ScenarioError> {
    let own: Vec<&Entry<'a>> = groups_of(entries, &site.id).collect();
    if own.len() >= GROUPS_MAX {
        let expected = format!("at most {GROUPS_MAX} groups in a site, the grid connection included");
        return Err(own[GROUPS_MAX - 1].row.cell("id").fail(expected));
    }
    for entry in &own {
        check_parent(entry, entries)?;
    }
    let mut placed = BTreeMap::from([(site.id.clone(), 0)]);
    // Depth first, with the rows of the file still to look at in each open group: no recursion on input.
    let mut open = vec![(0, own.iter())];
    while let Some((parent, children)) = open.last_mut() {
        let parent = *parent;
        let parent_id = site.groups[parent].id.clone();
        match children.find(|entry| entry.row.cell("parent").text == parent_id) {
            None => drop(open.pop()),
            Some(entry) => {
                let index = site.groups.len();
                placed.insert(entry.id.to_owned(), index);
                site.groups.push(parse_group(entry, parent)?);
                open.push((index, own.iter()));
            }
        }
    }
    match own.iter().find(|entry| !placed.contains_key(entry.id)) {
        Some(entry) => {
            Err(entry.row.cell("parent").fail("a group that leads up to the site; this one leads in a circle"))
        }
        None => Ok(placed),
    }
}

fn groups_of<'e, 'a>(entries: &'e [Entry<'a>], site: &str) -> impl Iterator<Item = &'e Entry<'a>> {
    entries.iter().filter(move |entry| entry.kind == "group" && entry.row.cell("site").text == site)
}

/// The parent must be the site itself or one of its groups; says what else it is.
fn check_parent(entry: &Entry<'_>, entries: &[Entry<'_>]) -> Result<(), ScenarioError> {
    let (site, parent) = (entry.row.cell("site").text, entry.row.cell("parent"));
    if parent.text == site {
        return Ok(());
    }
    let known = || std::iter::once(site).chain(groups_of(entries, site).map(|group| group.id));
    match entries.iter().find(|other| other.id == parent.text) {
        Some(other) if other.kind != "group" => Err(parent.fail(format!("a group; this is a {}", other.kind))),
        Some(other) if other.row.cell("site").text != site => {
            Err(parent.fail(format!("a group of {site:?}; this one belongs to {:?}", other.row.cell("site").text)))
        }
        Some(_) => Ok(()),
        None => parent
            .one_of(&format!("a group of {site:?}, or the site's"), known().collect::<Vec<_>>().into_iter())
            .map(drop),
    }
}

fn parse_group(entry: &Entry<'_>, parent: usize) -> Result<Group, ScenarioError> {
    Ok(Group {
        id: entry.id.to_owned(),
        parent: Some(parent),
        limit_import_w: entry.row.cell("limit_import_w").power(LIMIT_MAX_W)?,
        limit_export_w: entry.row.cell("limit_export_w").power(LIMIT_MAX_W)?,
    })
}

/// Adds the assets of `site`, by group; inside a group in the order of the file.
fn place_assets(site: &mut Site, entries: &[Entry<'_>], placed: &BTreeMap<String, usize>) -> Result<(), ScenarioError> {
    for entry in entries.iter().filter(|e| e.kind != "group" && e.row.cell("site").text == site.id) {
        if site.assets.len() == ASSETS_MAX {
            return Err(entry.row.cell("id").fail(format!("at most {ASSETS_MAX} assets in a site")));
        }
        check_parent(entry, entries)?;
        let parent = entry.row.cell("parent");
        let group = placed.get(parent.text).copied().ok_or_else(|| parent.fail("the id of a group"))?;
        site.assets.push(parse_asset(entry, group, site.position)?);
    }
    site.assets.sort_by_key(|asset| asset.group);
    Ok(())
}

fn parse_asset(entry: &Entry<'_>, group: usize, site: Position) -> Result<Asset, ScenarioError> {
    let row = entry.row;
    let rated_w = if is_below_a_step(entry) { Watts(POWER_STEP_W) } else { row.cell("rated_w").rating()? };
    let placed = !row.cell("latitude").is_empty() || !row.cell("longitude").is_empty();
    let position = if placed { parse_position(row)? } else { site };
    let kind = match entry.kind {
        "evse" => AssetKind::Evse(parse_evse(row, rated_w.0)?),
        "battery" => AssetKind::Battery(parse_battery(row)?),
        "pv" => AssetKind::Pv,
        _ => AssetKind::BaseLoad,
    };
    Ok(Asset { id: entry.id.to_owned(), group, rated_w, position, kind })
}

fn parse_evse(row: Row<'_>, rated_w: i64) -> Result<Evse, ScenarioError> {
    let (connector, phases, min) = (row.cell("connector"), row.cell("phases"), row.cell("min_w"));
    let min_w = min.power(POWER_MAX_W)?;
    if min_w.0 > rated_w {
        return Err(min.fail(format!("at most the rated power of {rated_w} W")));
    }
    let connector_number = connector.integer(1..=i64::from(u32::MAX), "connector")?;
    let phase_count = phases.integer(1..=3, "phases")?;
    Ok(Evse {
        charge_point: row.cell("charge_point").name()?.to_owned(),
        connector: u32::try_from(connector_number).map_err(|_| connector.fail("a connector number"))?,
        min_w,
        phases: u8::try_from(phase_count).map_err(|_| phases.fail("1, 2 or 3"))?,
        price: MicroPerKwh(row.cell("price_micro_per_kwh").integer(0..=PRICE_MAX, "price in micro per kWh")?),
    })
}

fn parse_battery(row: Row<'_>) -> Result<Battery, ScenarioError> {
    let capacity = row.cell("capacity_wh").integer(1..=CAPACITY_MAX_WH, "energy in Wh")?;
    let start = row.cell("start_wh");
    let start_wh = start.integer(0..=CAPACITY_MAX_WH, "energy in Wh")?;
    if start_wh > capacity {
        return Err(start.fail(format!("at most the capacity of {capacity} Wh")));
    }
    Ok(Battery {
        capacity_wh: WattHours(capacity),
        start_wh: WattHours(start_wh),
        charge_percent: row.cell("charge_percent").integer(1..=100, "Wh stored per 100 Wh drawn")?,
        discharge_percent: row.cell("discharge_percent").integer(100..=1000, "Wh taken from store per 100 Wh fed")?,
    })
}

/// A connector serves one EVSE, and a charge point stands at one site: it has one OCPP connection.
fn check_connectors(entries: &[Entry<'_>]) -> Result<(), ScenarioError> {
    let mut sites: BTreeMap<&str, &str> = BTreeMap::new();
    let mut used: BTreeMap<(&str, i64), usize> = BTreeMap::new();
    for row in entries.iter().filter(|entry| entry.kind == "evse").map(|entry| entry.row) {
        let (charge_point, connector) = (row.cell("charge_point"), row.cell("connector"));
        let site = sites.entry(charge_point.text).or_insert(row.cell("site").text);
        if *site != row.cell("site").text {
            return Err(charge_point.fail(format!("a charge point of this site; it stands at {site:?}")));
        }
        let number = connector.integer(1..=i64::from(u32::MAX), "connector")?;
        if let Some(line) = used.insert((charge_point.text, number), row.line) {
            return Err(connector.fail(format!("a connector used once; line {line} has it too")));
        }
    }
    Ok(())
}
