//! Time-of-use tariffs in ACN-Sim's form.

use crate::field::field;
use chrono::{NaiveDate, TimeZone};
use chrono_tz::Tz;
use optimizer::import::{self, Tariff};
use optimizer::units::{Interval, MicroPerKw, MicroPerKwh, UnixTime};

/// Summer from 1 May with a band on a half hour, winter over New Year for all days.
const OWN: &str = r#"{"name": "own", "schedule": [
    {"id": "summer weekday", "effective_start": "5-1", "effective_end": "10-31", "dow_mask": "WEEKDAYS",
     "times": [0, 8.5, 21.25], "tariffs": [0.1, 0.35, 0.12], "demand_charge": 19.99},
    {"id": "summer weekend", "effective_start": "5-1", "effective_end": "10-31", "dow_mask": "WEEKENDS",
     "times": [0], "tariffs": [-0.05], "demand_charge": 10},
    {"id": "winter", "effective_start": "11-01", "effective_end": "4-30", "dow_mask": "ALL",
     "times": [0, 1, 4], "tariffs": [0.2, 0.3, 0.4], "demand_charge": 0}]}"#;

fn own() -> Tariff {
    import::tariff("own.json", OWN.as_bytes()).unwrap()
}

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn midnight(zone: Tz, date: NaiveDate) -> Interval {
    let time = zone.from_local_datetime(&date.and_hms_opt(0, 0, 0).unwrap()).unwrap();
    Interval::containing(UnixTime(time.timestamp()))
}

/// Prices of a whole local day, however long.
fn day(tariff: &Tariff, zone: Tz, text: &str) -> Vec<MicroPerKwh> {
    let (first, next) = (midnight(zone, date(text)), midnight(zone, date(text).succ_opt().unwrap()));
    tariff.prices(zone, first, next.offset_from(first).unwrap()).unwrap()
}

/// The runs of equal prices: how many intervals, at what price.
fn runs(prices: &[MicroPerKwh]) -> Vec<(usize, i64)> {
    prices.chunk_by(|a, b| a == b).map(|run| (run.len(), run[0].0)).collect()
}

#[test]
fn bands_seasons_and_weekends() {
    let berlin = chrono_tz::Europe::Berlin;
    assert_eq!(own().name, "own");
    assert_eq!(runs(&day(&own(), berlin, "2026-06-15")), [(34, 100_000), (51, 350_000), (11, 120_000)]);
    assert_eq!(runs(&day(&own(), berlin, "2026-06-14")), [(96, -50_000)]);
    for winter in ["2025-12-31", "2026-01-01", "2026-04-30", "2025-11-01"] {
        assert_eq!(runs(&day(&own(), berlin, winter)), [(4, 200_000), (12, 300_000), (80, 400_000)], "{winter}");
    }
    let charges = ["2026-06-15", "2026-06-14", "2026-01-01"].map(|text| own().demand_charge(date(text)).unwrap());
    assert_eq!(charges, [19_990_000, 10_000_000, 0].map(MicroPerKw));
    assert_eq!(own().prices(berlin, Interval(0), 0).unwrap(), []);
}

/// The hour that the clock skips is missing, the one that it shows twice counts twice.
#[test]
fn days_of_92_and_100_intervals() {
    let berlin = chrono_tz::Europe::Berlin;
    assert_eq!(runs(&day(&own(), berlin, "2026-03-29")), [(4, 200_000), (8, 300_000), (80, 400_000)]);
    assert_eq!(runs(&day(&own(), berlin, "2026-10-25")), [(100, -50_000)]);
    // In Los Angeles the clock changes after 1 November, when winter has begun.
    let los_angeles = chrono_tz::America::Los_Angeles;
    assert_eq!(runs(&day(&own(), los_angeles, "2026-11-01")), [(4, 200_000), (16, 300_000), (80, 400_000)]);
    assert_eq!(runs(&day(&own(), los_angeles, "2026-03-08")), [(4, 200_000), (8, 300_000), (80, 400_000)]);
}

#[test]
fn faults_are_named() {
    for (from, to, said) in [
        ("\"name\": \"own\", ", "", "own.json:7: expected a tariff with name and schedule: missing field `name`"),
        ("\"5-1\"", "\"5-32\"", "own.json: schedule[0].effective_start: found \"5-32\", expected month-day"),
        ("\"4-30\"", "\"spring\"", "own.json: schedule[2].effective_end: found \"spring\""),
        ("WEEKENDS", "SUNDAYS", "own.json: schedule[1].dow_mask: found \"SUNDAYS\", expected ALL, WEEKDAYS or"),
        ("[0, 1, 4]", "[0, 4]", "own.json: schedule[2].tariffs: found \"3\", expected as many as times: 2"),
        ("[0, 1, 4]", "[0, 4, 1]", "own.json: schedule[2].times: found \"1\", expected hours since midnight"),
        ("[0, 1, 4]", "[1, 2, 4]", "schedule[2].times: found \"1\""),
        ("[0, 1, 4]", "[0, 1, 24]", "schedule[2].times: found \"24\""),
        ("[0, 8.5, ", "[0, 8.3, ", "schedule[0].times: found \"8.3\""),
        ("-0.05", "1e300", "schedule[1].tariffs: found \"1e+300\", expected a price"),
        ("19.99", "-1", "schedule[0].demand_charge: found \"-1\", expected a price per kW from 0"),
        ("19.99", "\"much\"", "own.json:3: expected a tariff with name and schedule: invalid type: string"),
    ] {
        assert!(OWN.contains(from));
        let error = import::tariff("own.json", OWN.replacen(from, to, 1).as_bytes()).unwrap_err().to_string();
        assert!(error.contains(said), "{error}\ndoes not say {said:?}");
    }
    let twice = import::tariff("own.json", OWN.replace("WEEKDAYS", "ALL").as_bytes()).unwrap();
    let error = twice.demand_charge(date("2026-06-14")).unwrap_err().to_string();
    assert!(error.contains("schedule: found \"summer weekday, summer weekend\", expected one entry"), "{error}");
    let never = import::tariff("own.json", OWN.replace("11-01", "12-01").as_bytes()).unwrap();
    let error = never.prices(chrono_tz::UTC, midnight(chrono_tz::UTC, date("2026-11-30")), 1).unwrap_err();
    assert!(error.to_string().ends_with("expected one entry that holds on 2026-11-30"), "{error}");
}

/// File, first of 31 days, sum of their prices in micro per kWh and demand charge in micro per kW, all from
/// `TimeOfUseTariff` of acnportal 0.3.3.
const ACN_SIM: [(&str, &str, i64, i64); 6] = [
    ("sce_tou_ev_4_march_2019", "2019-05-01", 207_151_080, 15_510_000),
    ("sce_tou_ev_4_march_2019", "2019-09-01", 302_403_360, 15_510_000),
    ("pge_a10_tou_aug_2019", "2019-07-01", 507_516_760, 19_990_000),
    ("sce_tou_ev_8_june_2019", "2019-09-15", 503_628_320, 0),
    ("sce_tou_ev_8_oct_2018", "2019-05-20", 243_131_320, 0),
    ("sce_tou_ev_4_march_2019_tou_periods_shifted", "2019-12-15", 216_451_920, 15_510_000),
];

#[test]
fn real_tariffs_come_to_what_acn_sim_says() {
    let zone = chrono_tz::America::Los_Angeles;
    for (name, first, sum, charge) in ACN_SIM {
        let Some(bytes) = field(&format!("tariff/{name}.json")) else { return };
        let tariff = import::tariff(name, &bytes).unwrap();
        let prices = tariff.prices(zone, midnight(zone, date(first)), 31 * 96).unwrap();
        assert_eq!(prices.iter().map(|price| price.0).sum::<i64>(), sum, "{name}");
        assert_eq!(tariff.demand_charge(date(first)).unwrap(), MicroPerKw(charge), "{name}");
    }
    // A slip of the file: two entries claim all days of the winter. ACN-Sim refuses it too.
    let Some(bytes) = field("tariff/pge_a10_tou_aug_2019.json") else { return };
    let winter = import::tariff("pge", &bytes).unwrap().demand_charge(date("2019-12-01"));
    assert!(winter.unwrap_err().to_string().contains("Winter-Weekday, Winter-Weekend"));
}
