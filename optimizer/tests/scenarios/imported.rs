//! Field data: what becomes of small files in the field's formats, and of the real ones where they are at hand.

use crate::committed::load;
use crate::field::field;
use chrono::NaiveDate;
use optimizer::import::{self, FieldSession, Mapping, Options, SeriesFormat};
use optimizer::scenario::{self, Scenario};
use optimizer::units::{Interval, MicroPerKwh, UnixTime, WattHours, Watts};

const SESSIONS: &[u8] = include_bytes!("fixtures/sessions.csv");
const ACN: &[u8] = include_bytes!("fixtures/acn.json");

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn local(time: UnixTime, zone: &str) -> String {
    let zone: chrono_tz::Tz = zone.parse().unwrap();
    chrono::DateTime::from_timestamp(time.0, 0).unwrap().with_timezone(&zone).format("%m-%d %H:%M:%S").to_string()
}

/// What every placed scenario must be: readable again, and no EVSE serves two at once (`parse` checks that).
fn assert_sound(scenario: &Scenario) {
    let (read, _) = scenario::parse(&scenario.name, &scenario::write(scenario)).unwrap();
    assert_eq!(read, *scenario);
}

#[test]
fn sessions_of_a_day_keep_their_local_times_and_stations() {
    let sessions = import::csv("sessions.csv", SESSIONS, &"acn-csv".parse().unwrap()).unwrap();
    assert_eq!(import::days(&sessions).into_values().collect::<Vec<_>>(), [1, 5]);
    let template = load("campus");
    let (placed, warnings) = import::place(&sessions, &template, date("2019-06-14"), &Options::default());
    assert_sound(&placed);
    assert_eq!(placed.name, "campus-2019-06-14");
    let ids: Vec<_> = placed.sessions.iter().map(|session| session.id.as_str()).collect();
    assert_eq!(ids, ["a1", "a2", "a3", "a4", "a5"]);
    let first = &placed.sessions[0];
    assert_eq!(local(first.arrival, "Europe/Berlin"), "06-17 06:05:30");
    assert_eq!(local(first.departure, "Europe/Berlin"), "06-17 08:45:15", "the declared one");
    assert_eq!(local(first.vehicle.unplugged, "Europe/Berlin"), "06-17 09:16:30", "the real one");
    assert_eq!((first.energy_wh.0, first.vehicle.takes_wh.0), (19_950, 9912));
    assert_eq!(placed.sessions[2].evse, first.evse, "same station, same EVSE");
    assert_ne!(placed.sessions[1].evse, first.evse);
    assert_ne!(placed.sessions[4].evse, placed.sessions[3].evse, "the station's own EVSE is taken");
    assert_eq!(placed.sessions[3].departure, placed.sessions[3].vehicle.unplugged, "nothing was declared");
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert_eq!(
        warning.to_string(),
        "sessions:7: session \"a5\" declares to leave before it comes: its real departure counts"
    );
}

#[test]
fn what_finds_no_free_evse_is_named() {
    let sessions = import::csv("sessions.csv", SESSIONS, &Mapping::acn_csv()).unwrap();
    let mut template = load("quickstart");
    template.sites[0].assets.truncate(5);
    template.sessions.clear();
    let (placed, warnings) = import::place(&sessions, &template, date("2019-06-14"), &Options::default());
    assert_sound(&placed);
    assert_eq!(placed.sessions.len(), 3);
    let left_out: Vec<_> = warnings.iter().filter(|w| w.text.contains("every EVSE is taken")).map(|w| w.line).collect();
    assert_eq!(left_out, [6, 7], "{warnings:?}");
    let (empty, warnings) = import::place(&sessions, &template, date("2020-01-01"), &Options::default());
    assert!(empty.sessions.is_empty() && warnings[0].text.contains("no session of 2020-01-01"), "{warnings:?}");
}

/// The warning of the one item that is no session.
fn left_out(bytes: &[u8]) -> String {
    let recorded = import::acn_json("acn.json", bytes).unwrap();
    assert_eq!((recorded.sessions.len(), recorded.warnings.len()), (1, 1));
    recorded.warnings[0].to_string()
}

#[test]
fn acn_answers() {
    let sessions = import::acn_json("acn.json", ACN).unwrap();
    let [first, second] = &sessions[..] else { panic!("two sessions") };
    assert_eq!(first.arrival.to_rfc3339(), "2018-04-25T04:08:04-07:00");
    assert_eq!((first.delivered_wh, first.requested_wh, &first.driver), (WattHours(7932), None, &None));
    assert_eq!(second.arrival.date_naive(), date("2018-04-25"), "the local day");
    assert_eq!(second.requested_wh, Some(WattHours(8000)), "the last declaration counts");
    assert_eq!((second.declared_departure.unwrap() - second.arrival).num_minutes(), 150);
    assert_eq!((second.driver.as_deref(), second.id.as_str()), (Some("000000562"), "5bc90cb9f9af8b0d7fe77cd3"));
    let text = std::str::from_utf8(ACN).unwrap();
    let list = &text[text.find('[').unwrap()..text.rfind(']').unwrap() + 1];
    assert_eq!(import::acn_json("list.json", list.as_bytes()).unwrap(), sessions);
    // A page of the interface says how many there are, and where the next is; inputs say when they were made.
    let page =
        text.replacen('{', "{\"_meta\": {\"page\": 1, \"total\": 2}, \"_links\": {\"next\": {\"href\": \"x\"}},", 1);
    let page =
        page.replace("\"kWhRequested\": 8,", "\"kWhRequested\": 8, \"modifiedAt\": \"x\", \"paymentRequired\": true,");
    assert_eq!(import::acn_json("page.json", page.as_bytes()).unwrap(), sessions);
    for field in ["stationID", "timezone", "kWhDelivered"] {
        let renamed = text.replacen(&format!("\"{field}\""), "\"other\"", 1);
        let left_out = left_out(renamed.as_bytes());
        assert!(left_out.contains(&format!("acn.json:1: expected a session: missing field `{field}`")), "{left_out}");
    }
    let faults = [
        ("\"kWhDelivered\": 5,", "\"kWhDelivered\": -5,", 2, "kWhDelivered"),
        ("\"kWhDelivered\": 5,", "", 2, ""),
        ("\"Wed, 25 Apr 2018 13:20:10 GMT\"", "\"Wed, 25 Apr 2018 10:20:10 GMT\"", 1, "disconnectTime"),
        ("\"Thu, 26 Apr 2018 02:00:00 GMT\"", "\"2018-04-26\"", 2, "connectionTime"),
        ("\"Thu, 26 Apr 2018 02:00:00 GMT\"", "null", 2, "connectionTime"),
        ("America/Los_Angeles", "PST", 1, "timezone"),
        ("\"Thu, 26 Apr 2018 05:00:00 GMT\"", "1", 2, "disconnectTime"),
    ];
    for (from, to, item, field) in faults {
        let left_out = left_out(text.replacen(from, to, 1).as_bytes());
        assert!(left_out.contains(&format!("1 of 2 items are left out: acn.json:{item}: {field}")), "{left_out}");
    }
    for bad in ["", "{", "{\"items\":[]}", "[1]", "nul", "[{\"kWhDelivered\":NaN}]"] {
        assert!(import::acn_json("acn.json", bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn mappings_and_their_faults() {
    let text = "start;x,end,kwh,plug,who\n2024-03-31 01:30,2024-03-31 04:30,5.5,P1,u1\n";
    let mapping: Mapping =
        "arrival=start;x, departure=end, delivered_kwh=kwh, station=plug, driver=who, zone=Europe/Berlin"
            .parse()
            .unwrap();
    let sessions = import::csv("own.csv", text.as_bytes(), &mapping).unwrap();
    assert_eq!((sessions[0].departure - sessions[0].arrival).num_minutes(), 120, "the clock jumps at 02:00");
    assert_eq!((sessions[0].driver.as_deref(), sessions[0].id.as_str()), (Some("u1"), "line-2"));
    for (bad, words) in [
        ("arival=a,departure=b,energy_wh=c", "declared_departure"),
        ("arrival=a,energy_wh=c", "departure"),
        ("arrival=a,departure=b", "delivered_kwh"),
        ("arrival=a,departure=b,energy_wh=c,zone=CET+1", "IANA"),
        ("acn", "acn-csv"),
    ] {
        let error = bad.parse::<Mapping>().unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let own: Mapping = "arrival=a,departure=b,energy_kwh=e".parse().unwrap();
    let fault = |row: &str| import::csv("own.csv", format!("a,b,e\n{row}\n").as_bytes(), &own).unwrap_err().to_string();
    assert!(fault("2024-01-01 10:00:00,2024-01-01 11:00:00Z,1").starts_with("own.csv:2: a: "));
    assert!(fault("2024-01-01 10:00:00Z,2024-01-01 10:00:00Z,1").contains("after the arrival"));
    assert!(fault("2024-01-01 10:00:00Z,2024-01-01 11:00:00Z,NaN").starts_with("own.csv:2: e: "));
    assert!(fault("1914-01-01 10:00:00Z,2024-01-01 11:00:00Z,1").contains("1990"));
    assert!(import::csv("own.csv", b"a,b\n", &own).unwrap_err().to_string().contains("it is missing"));
}

fn hourly_price() -> String {
    let row = |h: i64| {
        let time = chrono::DateTime::from_timestamp(1_590_969_600 + h * 3600, 0).unwrap();
        format!("{},{}.5\n", time.format("%Y-%m-%d %H:%M:%S+00:00"), h - 30)
    };
    "time,price_eur_mwh\n".chars().chain((0..60).map(row).collect::<String>().chars()).collect()
}

fn price_format() -> SeriesFormat {
    let zone = Some("Europe/Berlin".parse().unwrap());
    SeriesFormat { time: "time".into(), value: "price_eur_mwh".into(), scale: 1000, zone, ..SeriesFormat::default() }
}

#[test]
fn prices_hold_for_their_hour_of_local_time() {
    let series = import::series("p.csv", hourly_price().as_bytes(), &price_format()).unwrap();
    let template = load("quickstart");
    let mut scenario = template.clone();
    import::replace_price(&mut scenario, &series, date("2020-06-02")).unwrap();
    assert_sound(&scenario);
    let price = &scenario.signals.import_price;
    // 2020-06-02 00:00 in Berlin is 22:00 UTC of the day before: hour 22 of the file, 22 − 30 + 0.5 → "-8.5".
    assert_eq!(price[..5], [-8500, -8500, -8500, -8500, -7500].map(MicroPerKwh));
    let distance = |s: &Scenario, k: usize| s.signals.import_price[k] - s.signals.feed_in_price[k];
    assert!((0..96).all(|k| distance(&scenario, k) == distance(&template, k)));
    for outside in ["2020-05-31", "2020-06-04"] {
        let error = import::replace_price(&mut scenario, &series, date(outside)).unwrap_err().to_string();
        assert!(error.contains("2020-06-01 to 2020-06-03"), "{error}");
    }
}

#[test]
fn powers_are_means_scaled_to_the_rating() {
    let mut text = "t,w\n".to_owned();
    for minute in 0..288 {
        let value = if minute % 3 == 0 { "-5".to_owned() } else { format!("{}", minute * 10) };
        text += &format!(
            "2021-01-01 {:02}:{:02}:00,{}\n",
            minute / 12,
            minute % 12 * 5,
            if minute == 7 { "" } else { &value }
        );
    }
    let format = SeriesFormat {
        time: "t".into(),
        value: "w".into(),
        scale: 1,
        zone: Some(chrono_tz::UTC),
        ..SeriesFormat::default()
    };
    let series = import::series("pv.csv", text.as_bytes(), &format).unwrap();
    assert_eq!(series.peak(), 2870);
    let mut scenario = load("quickstart");
    for asset in ["QS-PV", "QS-BUILDING"] {
        import::replace_power(&mut scenario, asset, &series, date("2021-01-01"), Some(Watts(1000))).unwrap();
    }
    assert_sound(&scenario);
    // Quarter 2: 6 → −5, 7 → left out, 8 → 80: mean 37.5 → 38 W; times 30 kW / 1 kW.
    assert_eq!(scenario.signals.power_w["QS-PV"][2], Watts(1140));
    assert_eq!(scenario.signals.power_w["QS-PV"][95], Watts(30_000), "never above the rated power");
    import::replace_power(&mut scenario, "QS-PV", &series, date("2021-01-01"), None).unwrap();
    import::replace_power(&mut scenario, "QS-BUILDING", &series, date("2021-01-01"), None).unwrap();
    assert_eq!(
        (scenario.signals.power_w["QS-PV"][2], scenario.signals.power_w["QS-BUILDING"][2]),
        (Watts(30), Watts(40))
    );
    let error = import::replace_power(&mut scenario, "DE*PVT*E101*1", &series, date("2021-01-01"), None).unwrap_err();
    assert!(error.to_string().contains("PV inverter or base load"), "{error}");
    for bad in ["inf", "1e40", "x"] {
        let error = import::series("pv.csv", format!("t,w\n2021-01-01 00:00,{bad}\n").as_bytes(), &format).unwrap_err();
        assert_eq!((error.line, error.column.as_str()), (2, "w"), "{error}");
    }
}

mod never_panics {
    use super::*;
    use crate::seed::seeded;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(seeded(300))]

        #[test]
        fn on_mutated_field_data(at in any::<prop::sample::Index>(), cut in 0usize..8, piece in "[-0-9eE.,:+\"{}\\[\\]a-zA-Z\u{0}é]{0,6}") {
            let edited = |bytes: &[u8]| {
                let at = at.index(bytes.len() + 1);
                let mut bytes = bytes.to_vec();
                bytes.splice(at..(at + cut).min(bytes.len()), piece.bytes());
                bytes
            };
            let template = load("quickstart");
            let csv = import::csv("s.csv", &edited(SESSIONS), &Mapping::acn_csv());
            for sessions in [csv, import::acn_json("a.json", &edited(ACN))].into_iter().flatten() {
                for day in import::days(&sessions).into_keys() {
                    assert_sound(&import::place(&sessions, &template, day, &Options::default()).0);
                }
            }
            if let Ok(series) = import::series("p.csv", &edited(hourly_price().as_bytes()), &price_format()) {
                let _ = import::replace_price(&mut template.clone(), &series, date("2020-06-02"));
                let _ = import::replace_power(&mut template.clone(), "QS-PV", &series, date("2020-06-02"), None);
            }
        }
    }
}

/// Runs `check` on every day of a file and counts what was placed.
fn place_every_day(sessions: &[FieldSession], template: &Scenario) -> (usize, usize, usize) {
    let (mut placed, mut left_out, mut misfits) = (0, 0, 0);
    for day in import::days(sessions).into_keys() {
        let (scenario, warnings) = import::place(sessions, template, day, &Options::default());
        assert_sound(&scenario);
        placed += scenario.sessions.len();
        left_out += warnings.iter().filter(|warning| warning.text.contains("left out")).count();
        misfits += warnings.iter().filter(|warning| warning.text.contains("shortfall")).count();
    }
    (placed, left_out, misfits)
}

#[test]
fn earlier_days_become_the_past_of_a_replayed_one() {
    let text = "id,in,out,said,wh,kwh,plug
a,2019-05-05 09:00:00-07:00,2019-05-05 12:00:00-07:00,2019-05-05 17:00:00-07:00,20000,7.5,P1
b,2019-05-06 23:00:00-07:00,2019-05-07 01:00:00-07:00,2019-05-07 02:00:00-07:00,20000,7.5,P1
c,2019-05-06 10:00:00-07:00,2019-05-06 11:00:00-07:00,2019-05-06 11:00:00-07:00,3000,3.0,P2
d,2019-05-07 09:00:00-07:00,2019-05-07 12:00:00-07:00,2019-05-07 17:00:00-07:00,20000,7.5,P1
";
    let mapping = "id=id,arrival=in,departure=out,declared_departure=said,energy_wh=wh,delivered_kwh=kwh,station=plug";
    let sessions = import::csv("s.csv", text.as_bytes(), &mapping.parse().unwrap()).unwrap();
    let template = load("quickstart");
    let (mut scenario, _) = import::place(&sessions, &template, date("2019-05-07"), &Options::default());
    let past = import::past(&sessions, &template, date("2019-05-07"));
    let [a, c] = past.as_slice() else { panic!("one is still there, and one is to come: {past:?}") };
    let first = template.signals.first.start().0;
    assert_eq!((a.arrival.0 - first, a.unplugged.0 - a.arrival.0), (-2 * 86_400 + 9 * 3600, 3 * 3600));
    assert_eq!(a.departure.map(|declared| declared.0 - a.arrival.0), Some(8 * 3600));
    assert_eq!((c.departure, c.energy_wh), (None, None), "what came true to the second was not declared");
    scenario.history = Some(past);
    assert_sound(&scenario);
}

#[test]
fn real_sessions() {
    let template = load("campus");
    for name in [
        "caltech_2019-05-01_2019-08-31",
        "caltech_2019-09-01_2019-12-31",
        "caltech_2020-02-01_2020-05-31",
        "jpl_2019-05-01_2019-08-31",
        "jpl_2021-05-01_2021-08-31",
    ] {
        let Some(bytes) = field(&format!("acn_sessions/{name}.csv.gz")) else { return };
        let sessions = import::csv(name, &bytes, &Mapping::acn_csv()).unwrap();
        let (placed, left_out, misfits) = place_every_day(&sessions, &template);
        println!("{name}: {placed} placed, {left_out} left out, {misfits} declare more than their stay can give");
        assert_eq!(placed + left_out, sessions.len());
        assert!(left_out * 100 <= sessions.len(), "{name}: {left_out} of {} left out", sessions.len());
    }
}

#[test]
fn a_real_day_of_sessions_prices_and_sun() {
    let Some(sessions) = field("acn_sessions/caltech_2019-05-01_2019-08-31.csv.gz") else { return };
    let Some(prices) = field("price/electricity_prices_de_2020.csv") else { return };
    let Some(sun) = field("pv/serf_east_15min_ac_power.csv") else { return };
    let sessions = import::csv("caltech", &sessions, &Mapping::acn_csv()).unwrap();
    let template = load("campus");
    let (mut scenario, warnings) = import::place(&sessions, &template, date("2019-06-14"), &Options::default());
    let prices = import::series("price", &prices, &price_format()).unwrap();
    // A day of the German record with negative prices: Easter Monday.
    import::replace_price(&mut scenario, &prices, date("2020-04-13")).unwrap();
    let format =
        SeriesFormat { time: "measured_on".into(), value: "ac_power".into(), scale: 1, ..SeriesFormat::default() };
    let sun = import::series("pv", &sun, &format).unwrap();
    import::replace_power(&mut scenario, "CAMPUS-PV", &sun, date("2016-07-05"), Some(Watts(sun.peak()))).unwrap();
    assert_sound(&scenario);
    let lowest = scenario.signals.import_price.iter().min().unwrap();
    let pv = &scenario.signals.power_w["CAMPUS-PV"];
    let best = (0..96).max_by_key(|k| pv[*k]).unwrap();
    println!(
        "{}: {} sessions, {} warnings, prices from {lowest} micro/kWh, sun {} W at {}",
        scenario.name,
        scenario.sessions.len(),
        warnings.len(),
        pv[best],
        local(scenario.signals.first.plus(best).start(), "Europe/Berlin"),
    );
    assert_eq!(scenario.sessions.len(), 49);
    assert!(lowest.0 < 0);
    assert!((8 * 4..16 * 4).contains(&best) && pv[0] == Watts(0), "sun by day, at local time");
    assert_eq!(scenario.signals.first, template.signals.first);
    assert!(scenario.sessions.iter().all(|s| Interval::containing(s.arrival) >= template.signals.first));
}
