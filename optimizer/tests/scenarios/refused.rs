//! Every rule of the parser has a case that breaks it: which file, line and column it names, and what it says.

use optimizer::scenario::{self, LINE_BYTES_MAX, ScenarioError};
use std::collections::BTreeMap;

type Files = BTreeMap<String, Vec<u8>>;

/// One site with a cabinet, two EVSEs, PV, a battery and a building; a second one with an EVSE only.
fn valid() -> Files {
    let site = "site,owner,time_zone,latitude,longitude,limit_import_w,limit_export_w
S1,cpo,Europe/Amsterdam,52.1,5.1,50000,20000
S2,host,Europe/London,-51.5,-0.1,17250,0
";
    let sitemap = "site,kind,id,parent,charge_point,connector,latitude,longitude,rated_w,min_w,phases,limit_import_w,limit_export_w,price_micro_per_kwh,capacity_wh,start_wh,charge_percent,discharge_percent
S1,evse,E1,C1,CP1,1,52.1,5.1,11040,4140,3,,,350000,,,,
S1,evse,E2,C1,CP1,2,,,7360,1380,1,,,350000,,,,
S1,group,C1,G1,,,,,,,,15000,0,,,,,
S1,group,G1,S1,,,,,,,,20000,0,,,,,
S1,pv,PV1,S1,,,52.1,5.1,10000,,,,,,,,,
S1,battery,B1,S1,,,52.1,5.1,5000,,,,,,10000,4000,95,105
S1,base_load,L1,S1,,,52.1,5.1,8000,,,,,,,,,
S2,evse,E3,S2,CP2,1,-51.5,-0.1,7360,0,1,,,300000,,,,
";
    let drivers = "driver,deposit_micro,low_balance_micro\nana,50000000,5000000\nben,50000000,5000000\n";
    let sessions = "session,driver,evse,arrival,departure,energy_wh,price_ceiling_micro_per_kwh,battery_wh,soc_percent,max_power_w,unplugged,takes_wh
s1,ana,E1,2026-06-15T00:05:00+02:00,2026-06-15T00:45:00+02:00,6000,350000,58000,50,11040,,
s2,ben,E2,2026-06-14T22:10:00Z,2026-06-15T01:45:00+02:00,4000,350000,58000,50.5,11040,2026-06-15T00:40:00+02:00,3000
s3,ben,E1,2026-06-15T00:45:00+02:00,2026-06-15T03:45:00+02:00,4000,350000,5000,90,11040,,
s4,ana,E3,2026-06-14T23:30:00+01:00,2026-06-15T01:30:00+01:00,4000,350000,58000,0,7360,,
";
    let signals = "time,import_price_micro_per_kwh,feed_in_price_micro_per_kwh,power_w:PV1,power_w:L1
2026-06-15T00:00:00+02:00,100000,50000,0,1000
2026-06-15T00:15:00+02:00,-20000,-30000,1239.9,1230.1
2026-06-14T22:30:00Z,100000,50000,0,1000
2026-06-14T23:45:00+01:00,100000,50000,0,1000
";
    let all = [("site.csv", site), ("sitemap.csv", sitemap), ("drivers.csv", drivers), ("sessions.csv", sessions)];
    all.into_iter().chain([("signals.csv", signals)]).map(|(name, text)| (name.to_owned(), text.into())).collect()
}

/// The valid files and a past: a driver who left two hours early, and one whom nobody knows.
fn with_history() -> Files {
    let history = "site,driver,arrival,unplugged,departure,energy_wh,delivered_wh
S1,ana,2026-06-12T08:00:00+02:00,2026-06-12T15:00:00+02:00,2026-06-12T17:00:00+02:00,20000,12000
S2,,2026-06-13T07:00:00+01:00,2026-06-13T09:00:00+01:00,,,5000
";
    valid().into_iter().chain([(scenario::HISTORY_FILE.to_owned(), history.into())]).collect()
}

fn parse(files: &Files) -> Result<scenario::Scenario, ScenarioError> {
    scenario::parse("test", files).map(|(scenario, _)| scenario)
}

/// The valid files with the first `from` of `file` replaced.
fn with(file: &str, from: &str, to: &str) -> Files {
    let mut files = with_history();
    let text = String::from_utf8(files[file].clone()).unwrap();
    assert!(text.contains(from), "{file} has no {from:?}");
    files.insert(file.to_owned(), text.replacen(from, to, 1).into());
    files
}

/// `from` → `to` in `file` must be refused at this line and column, with these words.
#[track_caller]
fn refused(file: &str, from: &str, to: &str, line: usize, column: &str, words: &str) {
    let error = parse(&with(file, from, to)).unwrap_err();
    let text = error.to_string();
    assert_eq!((error.file.as_str(), error.line, error.column.as_str()), (file, line, column), "{text}");
    assert!(text.contains(words), "{text}\ndoes not say {words:?}");
}

#[test]
fn the_valid_files_are_valid() {
    let (scenario, warnings) = scenario::parse("test", &valid()).unwrap();
    let site = &scenario.sites[0];
    let groups: Vec<_> = site.groups.iter().map(|group| (group.id.as_str(), group.parent)).collect();
    assert_eq!(groups, [("S1", None), ("G1", Some(0)), ("C1", Some(1))]);
    let assets: Vec<_> = site.assets.iter().map(|asset| (asset.id.as_str(), asset.group)).collect();
    assert_eq!(assets, [("PV1", 0), ("B1", 0), ("L1", 0), ("E1", 2), ("E2", 2)]);
    assert_eq!(site.assets[4].position, site.position, "an asset without position stands at its site");
    assert_eq!((scenario.site_of_evse("E3"), scenario.site_of_evse("PV1")), (Some((1, 0)), None));
    let ids: Vec<_> = scenario.sessions.iter().map(|session| session.id.as_str()).collect();
    assert_eq!(ids, ["s1", "s2", "s4", "s3"]);
    assert_eq!(scenario.sessions[1].vehicle.start_wh.0, 29_290);
    assert_eq!(scenario.sessions[3].vehicle.takes_wh.0, 500, "never above the room in the battery");
    assert_eq!((scenario.signals.power_w["PV1"][1].0, scenario.signals.power_w["L1"][1].0), (1230, 1240));
    let warned: Vec<_> = warnings.iter().map(|warning| (warning.file.as_str(), warning.line)).collect();
    assert_eq!(warned, [("sessions.csv", 2)], "40 minutes from 00:05 hold two whole intervals: {warnings:?}");
    assert_eq!(parse(&scenario::write(&scenario)).unwrap(), scenario);
}

#[test]
fn a_past_is_read_where_there_is_one() {
    let scenario = parse(&with_history()).unwrap();
    let [ana, unknown] = scenario.history.as_deref().unwrap() else { panic!("{:?}", scenario.history) };
    assert_eq!((ana.site.as_str(), ana.driver.as_str(), ana.unplugged.0 - ana.arrival.0), ("S1", "ana", 25_200));
    assert_eq!(ana.departure.map(|departure| departure.0 - ana.arrival.0), Some(32_400));
    assert_eq!((unknown.driver.as_str(), unknown.departure, unknown.energy_wh), ("", None, None));
    assert_eq!(parse(&scenario::write(&scenario)).unwrap(), scenario);
    assert_eq!(parse(&valid()).unwrap().history, None);
    let mut empty = valid();
    empty.insert(scenario::HISTORY_FILE.to_owned(), b"site,arrival,unplugged,delivered_wh\n".to_vec());
    assert_eq!(parse(&empty).unwrap().history, Some(Vec::new()), "nothing is known yet, but learned");
}

#[test]
fn a_past_that_cannot_be() {
    let refused = |from, to, line, column, words| refused("history.csv", from, to, line, column, words);
    refused("site,driver", "site,drivr", 1, "drivr", "did you mean \"driver\"");
    refused("delivered_wh", "energy_kwh", 1, "energy_kwh", "one of the columns");
    refused("S1,ana", "S9,ana", 2, "site", "the id of a site in site.csv");
    refused("S1,ana", "E1,ana", 2, "site", "the id of a site in site.csv");
    refused("12T08:00:00+02:00", "12T08:00:00+01:00", 2, "arrival", "the offset at that time, +02:00");
    refused("12T15:00:00+02:00", "12T08:00:00+02:00", 2, "unplugged", "a time after the arrival");
    refused("12T15:00:00+02:00", "28T15:00:00+02:00", 2, "unplugged", "at most 14 days");
    refused("12T15:00:00+02:00", "15T00:00:01+02:00", 2, "unplugged", "before the day of the scenario");
    refused("12T17:00:00+02:00", "12T07:00:00+02:00", 2, "departure", "a time after the arrival");
    refused(",20000,", ",0,", 2, "energy_wh", "a whole number from 1");
    refused(",12000", ",-1", 2, "delivered_wh", "a whole number from 0");
    refused(",,5000", ",,", 3, "delivered_wh", "a whole number from 0");
}

#[test]
fn shifting_moves_everything_and_back() {
    let scenario = parse(&with_history()).unwrap();
    let later = scenario.shifted(96);
    let arrivals = |scenario: &scenario::Scenario| scenario.history.as_ref().unwrap()[0].arrival.0;
    assert_eq!(arrivals(&later), arrivals(&scenario) + 86_400);
    assert_eq!(later.signals.first, scenario.signals.first.plus(96));
    assert_eq!(later.sessions[1].vehicle.unplugged.0, scenario.sessions[1].vehicle.unplugged.0 + 86_400);
    assert_eq!(later.shifted(-96), scenario);
    assert_eq!(parse(&scenario::write(&later)).unwrap(), later);
    let _ = scenario.shifted(i64::MAX).shifted(i64::MIN);
}

#[test]
fn files_that_are_no_tables() {
    for file in scenario::FILES {
        let mut files = valid();
        files.remove(file);
        assert!(parse(&files).unwrap_err().to_string().starts_with(&format!("{file}: missing")));
        files.insert(file.to_owned(), Vec::new());
        assert!(parse(&files).unwrap_err().to_string().contains("empty"), "{file}");
    }
    refused("site.csv", "cpo,", "cpo,x,", 2, "", "7 values");
    refused("site.csv", ",20000\n", "\n", 2, "", "7 values, one per column; this line has 6");
    let mut files = valid();
    files.get_mut("drivers.csv").unwrap().extend(b"b\xffn,1,1\n");
    let error = parse(&files).unwrap_err();
    assert_eq!((error.line, error.to_string().contains("UTF-8 text; byte 2")), (4, true), "{error}");
}

#[test]
fn what_editors_add_is_accepted() {
    let expected = parse(&valid()).unwrap();
    let edited: Files = valid()
        .into_iter()
        .map(|(name, bytes)| {
            let text = String::from_utf8(bytes).unwrap().replace('\n', "\r\n");
            (name, format!("\u{feff}{text}\r\n   \r\n\n").into_bytes())
        })
        .collect();
    assert_eq!(parse(&edited).unwrap(), expected);
    assert_eq!(parse(&with("drivers.csv", "ana,5", " \"ana\" , 5")).unwrap_err().column, "driver");
    assert_eq!(parse(&with("drivers.csv", "ana,5", "\"ana\", 5")).unwrap().drivers, expected.drivers);
}

#[test]
fn lines_count_from_the_header_even_after_blank_ones() {
    refused("drivers.csv", "ana,", "\n\nana,x", 4, "deposit_micro", "whole number");
}

#[test]
fn an_endless_line_is_refused_at_once() {
    let mut files = valid();
    let drivers = files.get_mut("drivers.csv").unwrap();
    drivers.resize(drivers.len() + 100_000_000, b'x');
    let started = std::time::Instant::now();
    let error = parse(&files).unwrap_err();
    assert_eq!((error.file.as_str(), error.line), ("drivers.csv", 4));
    assert!(error.to_string().contains(&LINE_BYTES_MAX.to_string()), "{error}");
    assert!(started.elapsed().as_millis() < 100, "{:?}", started.elapsed());
}

#[test]
fn columns() {
    refused("site.csv", "owner", "ownr", 1, "ownr", "did you mean \"owner\"?");
    refused("site.csv", "time_zone,", "time_zone,colour,", 1, "colour", "one of the columns site, owner");
    refused("sessions.csv", "energy_wh", "arrival", 1, "arrival", "each column once");
    refused("drivers.csv", ",low_balance_micro", "", 1, "low_balance_micro", "it is missing");
    refused("signals.csv", "power_w:PV1", "power_w:PV", 1, "power_w:PV", "did you mean \"PV1\"?");
    refused("signals.csv", "power_w:PV1", "power_w:E1", 1, "power_w:E1", "PV inverter or base load");
    refused("signals.csv", ",power_w:L1", "", 1, "power_w:L1", "it is missing");
}

#[test]
fn unknown_and_repeated_ids() {
    refused("sitemap.csv", "S1,evse,E1", "S9,evse,E1", 2, "site", "did you mean \"S1\"?");
    refused("sitemap.csv", "S1,evse,E1", "S1,evs,E1", 2, "kind", "did you mean \"evse\"?");
    refused("sitemap.csv", "E1,C1", "E1,C9", 2, "parent", "a group of \"S1\"");
    refused("sitemap.csv", "E1,C1", "E1,PV1", 2, "parent", "this is a pv");
    refused("sitemap.csv", "E3,S2", "E3,G1", 9, "parent", "this one belongs to \"S1\"");
    refused("sitemap.csv", "C1,G1", "C1,S2", 4, "parent", "a group of \"S1\"");
    refused("sessions.csv", "s1,ana", "s1,anna", 2, "driver", "did you mean \"ana\"?");
    refused("sessions.csv", "ana,E1", "ana,PV1", 2, "evse", "the id of an EVSE");
    refused("site.csv", "S2,", "S1,", 3, "site", "no other site");
    refused("sitemap.csv", "evse,E2", "evse,E1", 3, "id", "line 2 has it too");
    refused("sitemap.csv", "group,G1", "group,E1", 5, "id", "line 2 has it too");
    refused("sitemap.csv", "pv,PV1", "pv,S2", 6, "id", "the site \"S2\" has it too");
    refused("sitemap.csv", "CP1,2", "CP1,1", 3, "connector", "line 2 has it too");
    refused("sitemap.csv", "CP2,1", "CP1,3", 9, "charge_point", "it stands at \"S1\"");
    refused("drivers.csv", "ben", "ana", 3, "driver", "line 2 has it too");
    refused("sessions.csv", "s2", "s1", 3, "session", "line 2 has it too");
    refused("drivers.csv", "ana", "", 2, "driver", "a name");
    refused("drivers.csv", "ana", &"a".repeat(65), 2, "driver", "…\"");
}

#[test]
fn group_tree() {
    refused("sitemap.csv", "G1,S1", "G1,C1", 4, "parent", "circle");
    refused("sitemap.csv", "C1,G1", "C1,C1", 4, "parent", "circle");
    let many = |count: usize| (0..count).map(|k| format!("S1,group,X{k},S1,,,,,,,,10,0,,,,,\n")).collect::<String>();
    assert!(parse(&with("sitemap.csv", "S1,group,C1", &format!("{}S1,group,C1", many(61)))).is_ok());
    refused("sitemap.csv", "S1,group,C1", &format!("{}S1,group,C1", many(62)), 67, "id", "at most 64 groups");
    let row = |k: usize| format!("S1,evse,X{k},S1,CPX,{},,,10,0,1,,,0,,,,\n", k + 1);
    let many: String = (0..1020).map(row).collect();
    refused("sitemap.csv", "S1,group,C1", &format!("{many}S1,group,C1"), 1028, "id", "at most 1024 assets");
    let deep: String = (0..60).map(|k| format!("S1,group,X{},X{k},,,,,,,,10,0,,,,,\n", k + 1)).collect();
    let deep = with("sitemap.csv", "S1,group,C1", &format!("{deep}S1,group,X0,S1,,,,,,,,10,0,,,,,\nS1,group,C1"));
    assert_eq!(parse(&deep).unwrap().sites[0].groups[61].parent, Some(60));
}

#[test]
fn powers_and_places() {
    for bad in ["-11040", "NaN", "inf", "1e999", "", "eleven", "11040.5", "327680"] {
        refused("sitemap.csv", "11040,4140", &format!("{bad},4140"), 2, "rated_w", "from 0 to 327670");
    }
    refused("sitemap.csv", "11040,4140", "11045,4140", 2, "rated_w", "a multiple of 10");
    refused("sitemap.csv", "11040,4140", "0,0", 2, "rated_w", "more than 0");
    refused("sitemap.csv", "11040,4140", "11040,11050", 2, "min_w", "at most the rated power of 11040 W");
    refused("sitemap.csv", "4140,3", "4140,4", 2, "phases", "from 1 to 3");
    refused("sitemap.csv", "CP1,1", "CP1,0", 2, "connector", "from 1 to");
    refused("sitemap.csv", "52.1,5.1,11040", "90.0000001,5.1,11040", 2, "latitude", "-90 to 90");
    refused("site.csv", "-0.1", "-180.1", 3, "longitude", "-180 to 180");
    refused("site.csv", "-0.1", "", 3, "longitude", "-180 to 180");
    refused("site.csv", "50000", "-1", 2, "limit_import_w", "from 0");
    refused("site.csv", "Europe/Amsterdam", "CEST", 2, "time_zone", "IANA");
    refused("sitemap.csv", "10000,4000,95", "10000,10001,95", 7, "start_wh", "at most the capacity of 10000 Wh");
    refused("sitemap.csv", "95,105", "101,105", 7, "charge_percent", "from 1 to 100");
    refused("sitemap.csv", "95,105", "95,99", 7, "discharge_percent", "from 100");
    refused("sitemap.csv", "S1,,,52.1,5.1,10000", "S1,CP,,52.1,5.1,10000", 6, "charge_point", "a pv has no such value");
}

/// Rated above what a lane carries is refused (above); below a step it is planned as one, with a warning.
#[test]
fn an_evse_below_a_step_is_warned_of() {
    let files = with("sitemap.csv", "11040,4140,3", "7,0,3");
    let (scenario, warnings) = scenario::parse("test", &files).unwrap();
    assert_eq!(scenario.sites[0].assets[3].rated_w.0, 10);
    let first = warnings[0].to_string();
    assert!(first.starts_with("sitemap.csv:2: EVSE \"E1\" is rated 7 W, less than a step of 10 W"), "{first}");
    assert!(
        warnings[1..].iter().any(|warning| warning.file == "sessions.csv"),
        "its sessions fall short: {warnings:?}"
    );
    refused("sitemap.csv", "11040,4140,3", "7,20,3", 2, "min_w", "at most the rated power of 10 W");
    refused("sitemap.csv", "52.1,5.1,10000", "52.1,5.1,7", 6, "rated_w", "a multiple of 10");
}

#[test]
fn sessions() {
    refused("sessions.csv", "2026-06-15T00:05:00+02:00", "2026-06-15T00:05:00", 2, "arrival", "with offset");
    refused(
        "sessions.csv",
        "2026-06-15T00:05:00+02:00",
        "2026-06-15T00:05:00+01:00",
        2,
        "arrival",
        "+02:00 (Europe/Amsterdam), or Z",
    );
    refused(
        "sessions.csv",
        "2026-06-14T23:30:00+01:00",
        "2026-06-15T00:30:00+02:00",
        5,
        "arrival",
        "+01:00 (Europe/London)",
    );
    refused(
        "sessions.csv",
        "2026-06-15T00:45:00+02:00,6",
        "2026-06-15T00:05:00+02:00,6",
        2,
        "departure",
        "after the arrival",
    );
    refused("sessions.csv", "2026-06-15T00:45:00+02:00,6", "2026-07-15T00:05:00+02:00,6", 2, "departure", "14 days");
    refused(
        "sessions.csv",
        "2026-06-15T00:40:00+02:00",
        "2026-06-15T00:10:00+02:00",
        3,
        "unplugged",
        "after the arrival",
    );
    refused(
        "sessions.csv",
        "2026-06-15T00:05:00+02:00",
        "2026-06-14T23:55:00+02:00",
        2,
        "arrival",
        "from 2026-06-14T22:00:00Z",
    );
    refused(
        "sessions.csv",
        "2026-06-15T00:45:00+02:00,2",
        "2026-06-15T01:00:00+02:00,2",
        4,
        "arrival",
        "before 2026-06-14T23:00:00Z",
    );
    refused("sessions.csv", "2026-06-15T00:45:00+02:00,2", "2026-06-15T00:44:00+02:00,2", 4, "arrival", "free EVSE");
    refused("sessions.csv", "6000,350000,58000,50,", "0,350000,58000,50,", 2, "energy_wh", "from 1");
    refused("sessions.csv", "6000,350000,58000,50,", "6000,-1,58000,50,", 2, "price_ceiling_micro_per_kwh", "from 0");
    refused("sessions.csv", "6000,350000,58000,50,", "6000,350000,58000,100.1,", 2, "soc_percent", "0 to 100");
    refused("sessions.csv", "50,11040", "50,11045", 2, "max_power_w", "a multiple of 10");
    refused("sessions.csv", "+02:00,3000", "+02:00,30000", 3, "takes_wh", "room in the battery, 28710 Wh");
}

#[test]
fn signals() {
    let second = "2026-06-15T00:15:00+02:00";
    refused("signals.csv", second, "2026-06-15T00:30:00+02:00", 3, "time", "2026-06-14T22:15:00Z");
    refused("signals.csv", second, "2026-06-15T00:00:00+02:00", 3, "time", "one line per quarter hour");
    refused("signals.csv", second, "2026-06-15T00:20:00+02:00", 3, "time", "the start of a quarter hour");
    refused("signals.csv", second, "2026-06-15T00:15:00.5+02:00", 3, "time", "whole seconds");
    refused("signals.csv", second, "1926-06-15T00:15:00Z", 3, "time", "2000 to 2199");
    refused("signals.csv", second, "2026-06-15T00:15:00+05:00", 3, "time", "the offset at that time");
    refused("signals.csv", "-20000", "NaN", 3, "import_price_micro_per_kwh", "price in micro per kWh");
    for bad in ["-1", "nan", "", "10000.1e1", "10010"] {
        refused("signals.csv", "1239.9", bad, 3, "power_w:PV1", "from 0 to the rated 10000");
    }
    refused("signals.csv", "1230.1", "8000.1", 3, "power_w:L1", "from 0 to the rated 8000");
    refused("signals.csv", "100000,50000", "1e12,50000", 2, "import_price_micro_per_kwh", "1000000000");
    let mut empty = valid();
    empty.insert(
        "signals.csv".into(),
        "time,import_price_micro_per_kwh,feed_in_price_micro_per_kwh,power_w:PV1,power_w:L1".into(),
    );
    assert!(parse(&empty).unwrap_err().to_string().contains("at least one interval"));
}

mod never_panics {
    use super::*;
    use crate::seed::seeded;
    use proptest::prelude::*;

    /// What breaks parsers: separators, quotes, signs, exponents, marks, and bytes that are no text.
    fn piece() -> impl Strategy<Value = Vec<u8>> {
        let known: Vec<&'static [u8]> = vec![
            b",",
            b"\"",
            b"\n",
            b"\r",
            b"\n\n",
            b"-",
            b"e",
            b"1e9",
            b"1e-2147483648",
            b"NaN",
            b"inf",
            b"\xef\xbb\xbf",
            b"\xff",
            b"\0",
            b"99999999999999999999999999999999999999999",
            b"9223372036854775807",
            b"-9223372036854775808",
            b"S1",
            b"G1",
            b"E1",
            b"Z",
            b"+02:00",
            b"9999-12-31T23:59:60Z",
            b"",
        ];
        prop_oneof![
            proptest::sample::select(known).prop_map(<[u8]>::to_vec),
            proptest::collection::vec(any::<u8>(), 0..4)
        ]
    }

    proptest! {
        #![proptest_config(seeded(2000))]

        /// Cuts some bytes out of one of the files and puts others in; a few times. What still parses, writes and reads back.
        #[test]
        fn on_mutated_files(edits in proptest::collection::vec((0usize..6, any::<prop::sample::Index>(), 0usize..6, piece()), 1..4)) {
            let mut files = with_history();
            for (file, at, cut, piece) in edits {
                let name = scenario::FILES.get(file).copied().unwrap_or(scenario::HISTORY_FILE);
                let bytes = files.get_mut(name).unwrap();
                let at = at.index(bytes.len() + 1);
                let end = (at + cut).min(bytes.len());
                bytes.splice(at..end, piece);
            }
            match parse(&files) {
                Ok(scenario) => prop_assert_eq!(parse(&scenario::write(&scenario)).unwrap(), scenario),
                Err(error) => prop_assert!(!error.to_string().contains('\n')),
            }
        }
    }
}
