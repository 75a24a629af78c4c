//! Every folder of `data/scenarios`.

use optimizer::scenario::{self, Scenario};
use optimizer::site::AssetKind;
use optimizer::units::{INTERVALS_PER_HOUR, Interval, Watts};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/scenarios").join(name)
}

pub(crate) fn files(name: &str) -> BTreeMap<String, Vec<u8>> {
    let read = |file: &str| (file.to_owned(), std::fs::read(folder(name).join(file)).unwrap());
    scenario::FILES.into_iter().map(read).collect()
}

pub(crate) fn load(name: &str) -> Scenario {
    scenario::parse(name, &files(name)).unwrap_or_else(|error| panic!("{name}: {error}")).0
}

/// The scenarios that the generator writes. Others may stand beside them.
const GENERATED: [&str; 3] = ["campus", "quickstart", "street"];

fn names() -> Vec<String> {
    let entries = std::fs::read_dir(folder("")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn generating_again_gives_the_same_bytes() {
    for scenario in crate::generated::all(crate::generated::SEED) {
        let written = scenario::write(&scenario);
        assert!(
            written == files(&scenario.name),
            "{}: run the generator (CONTRIBUTING, data/README.md)",
            scenario.name
        );
    }
}

#[test]
fn writing_and_reading_gives_the_same_scenario() {
    for name in names() {
        let (read, warnings) = scenario::parse(&name, &files(&name)).unwrap();
        assert_eq!(scenario::parse(&name, &scenario::write(&read)).unwrap().0, read);
        assert!(warnings.is_empty() || !GENERATED.contains(&name.as_str()), "{name}: {warnings:?}");
    }
}

#[test]
fn scenarios_are_whole_local_days_and_as_large_as_they_say() {
    let expected = [("campus", 1, 54, 60), ("quickstart", 1, 8, 12), ("street", 6, 10, 15)];
    for (name, sites, evses, sessions) in expected {
        let scenario = load(name);
        assert_eq!(scenario.signals.len(), 96, "{name}");
        let zone: chrono_tz::Tz = scenario.sites[0].time_zone.parse().unwrap();
        let start = chrono::DateTime::from_timestamp(scenario.signals.first.start().0, 0).unwrap().with_timezone(&zone);
        assert_eq!(start.format("%H:%M:%S").to_string(), "00:00:00", "{name}");
        assert_eq!(scenario.sites.len(), sites);
        assert_eq!(scenario.sites.iter().flat_map(|site| site.evses()).count(), evses);
        assert!(scenario.sessions.len() >= sessions, "{name}: {}", scenario.sessions.len());
        let end = scenario.signals.first.plus(96).start();
        assert!(scenario.sessions.iter().all(|s| s.departure <= end && s.vehicle.unplugged <= end), "{name}");
    }
}

#[test]
fn wallets_cover_every_request_and_one_runs_low() {
    for name in GENERATED {
        let scenario = load(name);
        let mut low = 0;
        for driver in &scenario.drivers {
            let mine = scenario.sessions.iter().filter(|session| session.driver == driver.id);
            let (mut held, mut paid) = (0, 0);
            for session in mine {
                let (site, _, evse) = scenario.evse(&session.evse).unwrap();
                assert!(session.price_ceiling >= evse.price, "{name}: {}", session.id);
                held += session.price_ceiling.bill(session.energy_wh).0;
                paid += if site.owner == driver.id { 0 } else { evse.price.bill(session.vehicle.takes_wh).0 };
            }
            assert!(held <= driver.deposit.0, "{name}: {}", driver.id);
            low += usize::from(driver.deposit.0 - paid < driver.low_balance.0);
        }
        assert_eq!(low, usize::from(name == "quickstart"), "{name}");
    }
}

/// Who is plugged in, wants how much, and draws at most what.
struct Open {
    site: usize,
    lane: usize,
    from: Interval,
    until: Interval,
    power_w: i64,
    rest_wh: i64,
}

fn open_needs(scenario: &Scenario) -> Vec<Open> {
    let need = |session: &optimizer::session::Session| {
        let (site, lane) = scenario.site_of_evse(&session.evse).unwrap();
        let power_w = scenario.sites[site].assets[lane].rated_w.min(session.vehicle.max_w).0;
        let (from, until) = (Interval::starting_from(session.arrival), Interval::containing(session.departure));
        Open { site, lane, from, until, power_w, rest_wh: session.energy_wh.0 }
    };
    scenario.sessions.iter().map(need).collect()
}

/// What each group has left for charging: limit − base load + sun (the battery rests).
fn headroom(scenario: &Scenario, site: usize, k: usize) -> Vec<i64> {
    let site = &scenario.sites[site];
    let net = |lane: usize| -> i64 {
        let power = scenario.signals.power_w.get(&site.assets[lane].id).map_or(Watts(0), |series| series[k]).0;
        if site.assets[lane].kind == AssetKind::Pv { -power } else { power }
    };
    let left = |group: usize| site.groups[group].limit_import_w.0 - site.assets_below(group).map(net).sum::<i64>();
    (0..site.groups.len()).map(left).collect()
}

/// Runs the day, serving by `order`; inside the limits or not. Returns unmet Wh and the intervals over a limit.
fn run(scenario: &Scenario, inside: bool) -> (i64, usize) {
    let mut needs = open_needs(scenario);
    let mut over = 0;
    for k in 0..scenario.signals.len() {
        let now = scenario.signals.first.plus(k);
        let mut left: Vec<Vec<i64>> = (0..scenario.sites.len()).map(|site| headroom(scenario, site, k)).collect();
        // Least laxity first: the time left after charging at full power.
        needs.sort_by_key(|need| i64::from(need.until.0) - need.rest_wh * INTERVALS_PER_HOUR / need.power_w);
        for need in needs.iter_mut().filter(|need| need.from <= now && now < need.until) {
            let path: Vec<usize> = {
                let site = &scenario.sites[need.site];
                site.path_to_root(site.assets[need.lane].group).collect()
            };
            let room = path.iter().map(|group| left[need.site][*group]).min().unwrap().max(0);
            let wanted = need.power_w.min(need.rest_wh * INTERVALS_PER_HOUR);
            let power = if inside { wanted.min(room) } else { wanted };
            path.iter().for_each(|group| left[need.site][*group] -= power);
            need.rest_wh -= power / INTERVALS_PER_HOUR;
        }
        over += usize::from(left.iter().flatten().any(|left| *left < 0));
    }
    (needs.iter().map(|need| need.rest_wh).sum(), over)
}

#[test]
fn limits_bite_and_yet_the_needs_can_be_met() {
    for name in GENERATED {
        let scenario = load(name);
        let wanted: i64 = scenario.sessions.iter().map(|session| session.energy_wh.0).sum();
        let (_, over) = run(&scenario, false);
        let (unmet, never) = run(&scenario, true);
        println!(
            "{name}: {wanted} Wh, uncontrolled over a limit in {over} intervals, unmet inside the limits {unmet} Wh"
        );
        assert!(over >= 4, "{name}: uncontrolled charging exceeds a limit in only {over} intervals");
        assert_eq!(never, 0, "{name}");
        assert!(unmet * 100 <= wanted, "{name}: {unmet} of {wanted} Wh unmet");
    }
}
