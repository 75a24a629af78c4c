//! The example scenarios. Whole numbers throughout, so that every machine draws the same.

mod draw;
mod tables;

use draw::{Day, Draw, Stay, Visit};
use optimizer::scenario::Scenario;
use optimizer::session::Driver;
use optimizer::signals::Signals;
use optimizer::site::{Asset, AssetKind, Battery, Evse, Group, Position, Site};
use optimizer::units::{Micro, MicroPerKwh, WattHours, Watts};
use std::collections::BTreeMap;
use tables::{PRICE_DIP, PRICE_NEGATIVE, PRIVATE, PUBLIC, WORKPLACE};

/// The seed of the committed scenarios.
pub(crate) const SEED: u64 = 20_260_616;

/// Rated power (W), least power (W; 6 A per phase), phases.
type Rating = (i64, i64, u8);
/// One phase of 16 A, one of 32 A, three of 16 A and three of 32 A, all at 230 V.
const W3680: Rating = (3680, 1380, 1);
const W7360: Rating = (7360, 1380, 1);
const W11040: Rating = (11_040, 4140, 3);
const W22080: Rating = (22_080, 4140, 3);

/// Every scenario, drawn from `seed`.
pub(crate) fn all(seed: u64) -> Vec<Scenario> {
    vec![campus(seed), quickstart(seed), street(seed)]
}

/// One cabinet with eight EVSEs, PV, a battery and an office.
fn quickstart(seed: u64) -> Scenario {
    let mut draw = Draw::new(seed, "quickstart");
    let day = Day::new("Europe/Berlin", 2026, 6, 16);
    let place = Position { latitude_e7: 522_799_000, longitude_e7: 80_472_000 };
    let mut site = new_site("DE*PVT*QUICKSTART", "cpo-quickstart", "Europe/Berlin", place, 50_000, 30_000);
    let cabinet = add_group(&mut site, "QS-CABINET", 0, 30_000, 0);
    let ratings = [W11040, W11040, W11040, W11040, W22080, W22080, W7360, W7360];
    // The building and what generates stand at the grid connection, the cabinet behind them only charges.
    add_plant(&mut site, "QS", 30_000, Some((20_000, 40_000)), 30_000);
    for (k, rating) in ratings.into_iter().enumerate() {
        let price = if rating.0 > 11_040 { 420_000 } else { 350_000 };
        add_evse(
            &mut site,
            cabinet,
            &format!("DE*PVT*E{}*1", 101 + k),
            &format!("PVT-QS-{:02}", k / 2 + 1),
            k % 2 + 1,
            rating,
            price,
        );
    }
    let mut signals = prices(&day, &PRICE_DIP, 20_000);
    signals.power_w.insert("QS-BUILDING".to_owned(), draw.load(&tables::OFFICE, 24_000, 30));
    signals.power_w.insert("QS-PV".to_owned(), draw.sun(30_000, 700));
    let mut visits = draw.visits(
        &site,
        &day,
        &Stay { habit: WORKPLACE, come_h: 6..11, gone_h: 20, least_wh: 11_000, share: 900 },
        9,
        &[],
    );
    let more = draw.visits(
        &site,
        &day,
        &Stay { habit: PUBLIC, come_h: 12..20, gone_h: 23, least_wh: 6000, share: 900 },
        4,
        &visits,
    );
    visits.extend(more);
    let mut scenario = assemble("quickstart", vec![site], signals, visits, &mut draw, 60_000_000);
    // One driver's deposit covers what the request can cost at most, and leaves less than the driver wants to keep.
    let large = scenario.sessions.iter().filter(|s| s.vehicle.takes_wh == s.energy_wh).max_by_key(|s| s.energy_wh);
    let (driver, ceiling) = large.map(|s| (s.driver.clone(), s.price_ceiling.bill(s.energy_wh))).unwrap_or_default();
    if let Some(driver) = scenario.drivers.iter_mut().find(|known| known.id == driver) {
        driver.deposit = ceiling + Micro(500_000);
        driver.low_balance = Micro(5_000_000);
    }
    scenario
}

/// Two cabinets under one transformer, 54 EVSEs, and a day with negative prices.
fn campus(seed: u64) -> Scenario {
    let mut draw = Draw::new(seed, "campus");
    let day = Day::new("Europe/Berlin", 2026, 6, 17);
    let place = Position { latitude_e7: 482_650_000, longitude_e7: 116_710_000 };
    let mut site = new_site("DE*PVT*CAMPUS", "cpo-campus", "Europe/Berlin", place, 140_000, 100_000);
    add_plant(&mut site, "CAMPUS", 120_000, Some((50_000, 100_000)), 90_000);
    let transformer = add_group(&mut site, "CAMPUS-TRANSFORMER", 0, 90_000, 0);
    for (c, letter) in ["A", "B"].into_iter().enumerate() {
        let cabinet = add_group(&mut site, &format!("CAMPUS-CABINET-{letter}"), transformer, 55_000, 0);
        for k in 0..27 {
            let rating = match k {
                0..6 => W3680,
                6..12 => W7360,
                12..24 => W11040,
                _ => W22080,
            };
            let price = match rating.2 {
                1 => 320_000,
                _ if rating.0 > 11_040 => 450_000,
                _ => 380_000,
            };
            let number = c * 27 + k;
            let (id, charge_point) =
                (format!("DE*PVT*E{}*1", 201 + number), format!("PVT-CA-{letter}{:02}", k / 2 + 1));
            add_evse(&mut site, cabinet, &id, &charge_point, k % 2 + 1, rating, price);
        }
    }
    let mut signals = prices(&day, &PRICE_NEGATIVE, 20_000);
    signals.power_w.insert("CAMPUS-BUILDING".to_owned(), draw.load(&tables::OFFICE, 84_000, 25));
    signals.power_w.insert("CAMPUS-PV".to_owned(), draw.sun(120_000, 850));
    let mut visits = draw.visits(
        &site,
        &day,
        &Stay { habit: WORKPLACE, come_h: 6..14, gone_h: 21, least_wh: 7000, share: 950 },
        58,
        &[],
    );
    let more = draw.visits(
        &site,
        &day,
        &Stay { habit: PUBLIC, come_h: 11..21, gone_h: 23, least_wh: 4000, share: 900 },
        14,
        &visits,
    );
    visits.extend(more);
    assemble("campus", vec![site], signals, visits, &mut draw, 80_000_000)
}

/// Six hosts who own one or two EVSEs each, charge their own cars and let neighbours charge.
fn street(seed: u64) -> Scenario {
    let mut draw = Draw::new(seed, "street");
    let day = Day::new("Europe/Amsterdam", 2026, 6, 18);
    // Connection of 3 x 20 A, 1 x 35 A or 1 x 25 A; EVSEs; peak of the household; price.
    let hosts: [(&str, i64, &[Rating], i64, i64); 6] = [
        ("anna", 13_800, &[W11040, W7360], 2600, 340_000),
        ("bram", 8050, &[W7360], 2200, 310_000),
        ("chloe", 13_800, &[W11040, W11040], 3100, 330_000),
        ("daan", 8050, &[W7360, W3680], 1900, 300_000),
        ("emma", 13_800, &[W22080], 2800, 390_000),
        ("fay", 5750, &[W3680, W3680], 2400, 320_000),
    ];
    let mut signals = prices(&day, &PRICE_DIP, 60_000);
    let mut sites = Vec::new();
    let mut visits: Vec<Visit> = Vec::new();
    for (k, (host, limit_w, ratings, household_w, price)) in hosts.into_iter().enumerate() {
        let east = i32::try_from(k).unwrap_or(0) * 4000;
        let place = Position { latitude_e7: 520_907_000 - east / 4, longitude_e7: 51_214_000 + east };
        let (id, owner) = (format!("NL*PVT*S{}", 301 + k), format!("host-{host}"));
        let mut site = new_site(&id, &owner, "Europe/Amsterdam", place, limit_w, limit_w);
        let load_id = format!("HOUSE-{}", 301 + k);
        add_asset(&mut site, 0, &load_id, limit_w / 10 * 10, AssetKind::BaseLoad);
        signals.power_w.insert(load_id, draw.load(&tables::HOUSEHOLD, household_w, 150));
        for (j, rating) in ratings.iter().enumerate() {
            let evse = format!("NL*PVT*E{}*{}", 301 + k, j + 1);
            add_evse(&mut site, 0, &evse, &format!("PVT-ST-{:02}", k + 1), j + 1, *rating, price);
        }
        // Home since last night, gone in the morning; neighbours by day; home again in the evening.
        let own = [(5, 7 * 60 + 10), (17 * 60 + 30, 23 * 60 + 40)];
        visits.extend(draw.own_visits(&site, &day, &owner, &own, &PRIVATE));
        let neighbours = Stay { habit: PUBLIC, come_h: 8..16, gone_h: 17, least_wh: 3000, share: 850 };
        let more = draw.visits(&site, &day, &neighbours, ratings.len(), &visits);
        visits.extend(more);
        sites.push(site);
    }
    assemble("street", sites, signals, visits, &mut draw, 40_000_000)
}

fn new_site(id: &str, owner: &str, zone: &str, position: Position, import_w: i64, export_w: i64) -> Site {
    let root =
        Group { id: id.to_owned(), parent: None, limit_import_w: Watts(import_w), limit_export_w: Watts(export_w) };
    let (id, owner, time_zone) = (id.to_owned(), owner.to_owned(), zone.to_owned());
    Site { id, owner, time_zone, position, groups: vec![root], assets: Vec::new() }
}

/// Adds a group after all others: `parent` must be the last one or above it, so that the order stays a preorder.
fn add_group(site: &mut Site, id: &str, parent: usize, import_w: i64, export_w: i64) -> usize {
    let (limit_import_w, limit_export_w) = (Watts(import_w), Watts(export_w));
    site.groups.push(Group { id: id.to_owned(), parent: Some(parent), limit_import_w, limit_export_w });
    site.groups.len() - 1
}

fn add_asset(site: &mut Site, group: usize, id: &str, rated_w: i64, kind: AssetKind) {
    // A few metres apart, so that a map shows them side by side.
    let step = i32::try_from(site.assets.len()).unwrap_or(0);
    let position = Position {
        latitude_e7: site.position.latitude_e7 + step % 9 * 300,
        longitude_e7: site.position.longitude_e7 + step / 9 * 500,
    };
    site.assets.push(Asset { id: id.to_owned(), group, rated_w: Watts(rated_w), position, kind });
}

fn add_evse(
    site: &mut Site,
    group: usize,
    id: &str,
    charge_point: &str,
    connector: usize,
    (rated_w, min_w, phases): Rating,
    price: i64,
) {
    let connector = u32::try_from(connector).unwrap_or(1);
    let (charge_point, min_w, price) = (charge_point.to_owned(), Watts(min_w), MicroPerKwh(price));
    add_asset(site, group, id, rated_w, AssetKind::Evse(Evse { charge_point, connector, min_w, phases, price }));
}

/// PV, battery (power, capacity) and building at the grid connection.
fn add_plant(site: &mut Site, prefix: &str, pv_w: i64, battery: Option<(i64, i64)>, building_w: i64) {
    add_asset(site, 0, &format!("{prefix}-BUILDING"), building_w, AssetKind::BaseLoad);
    add_asset(site, 0, &format!("{prefix}-PV"), pv_w, AssetKind::Pv);
    if let Some((power_w, capacity)) = battery {
        let (capacity_wh, start_wh) = (WattHours(capacity), WattHours(capacity * 2 / 5));
        let kind = Battery { capacity_wh, start_wh, charge_percent: 95, discharge_percent: 105 };
        add_asset(site, 0, &format!("{prefix}-BATTERY"), power_w, AssetKind::Battery(kind));
    }
}

/// Import costs the day-ahead price and what the grid takes; feeding in earns the price less a seller's fee.
fn prices(day: &Day, hourly: &[i64; 24], grid_fee: i64) -> Signals {
    let quarters = || (0..96).map(|k| hourly[k / 4]);
    Signals {
        first: day.first,
        import_price: quarters().map(|price| MicroPerKwh(price + grid_fee)).collect(),
        feed_in_price: quarters().map(|price| MicroPerKwh(price - 4000)).collect(),
        power_w: BTreeMap::new(),
    }
}

/// Names the visits and gives everyone a wallet of at least `deposit`.
fn assemble(
    name: &str,
    sites: Vec<Site>,
    signals: Signals,
    mut visits: Vec<Visit>,
    draw: &mut Draw,
    deposit: i64,
) -> Scenario {
    visits.sort_by(|a, b| (a.arrival, &a.evse).cmp(&(b.arrival, &b.evse)));
    let mut drivers: Vec<Driver> = Vec::new();
    let mut sessions = Vec::new();
    for (k, visit) in visits.into_iter().enumerate() {
        let driver = visit.driver.clone().unwrap_or_else(|| format!("driver-{:02}", k + 1));
        if !drivers.iter().any(|known| known.id == driver) {
            let deposit = Micro(deposit + draw.below(5) * 5_000_000);
            drivers.push(Driver { id: driver.clone(), deposit, low_balance: Micro(5_000_000) });
        }
        sessions.push(visit.session(format!("{name}-{:03}", k + 1), driver));
    }
    drivers.sort_by(|a, b| a.id.cmp(&b.id));
    Scenario { name: name.to_owned(), sites, drivers, sessions, signals, history: None }
}
