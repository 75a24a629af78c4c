//! Files as other software writes them: what is read, what is left out with a warning, and what is refused.

use chrono_tz::Europe::Berlin;
use optimizer::import::{self, Mapping, Recorded, Series, SeriesFormat};
use optimizer::scenario::Scenario;
use optimizer::units::{WattHours, Watts};
use std::collections::BTreeMap;

const MAP: &str = "arrival=start,departure=end,delivered_kwh=kwh,zone=Europe/Berlin";

fn sessions(map: &str, text: &str) -> Recorded {
    import::csv("s.csv", text.as_bytes(), &map.parse::<Mapping>().unwrap()).unwrap()
}

/// Arrivals in UTC and energies.
fn told(recorded: &Recorded) -> Vec<(String, i64)> {
    recorded.iter().map(|s| (s.arrival.to_utc().format("%Y-%m-%d %H:%M").to_string(), s.delivered_wh.0)).collect()
}

fn series(text: &str) -> Series {
    let format =
        SeriesFormat { time: "t".into(), value: "v".into(), scale: 1, zone: Some(Berlin), ..SeriesFormat::default() };
    import::series("p.csv", text.as_bytes(), &format).unwrap()
}

fn quickstart_files() -> BTreeMap<String, Vec<u8>> {
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../data/scenarios/quickstart"));
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap())
    };
    std::fs::read_dir(folder).unwrap().map(read).collect()
}

fn quickstart() -> Scenario {
    optimizer::scenario::parse("quickstart", &quickstart_files()).unwrap().0
}

#[test]
fn times_of_every_usual_notation_are_the_same_time() {
    for (start, end) in [
        ("2026-06-14 08:25:00", "2026-06-14 16:00:00"),
        ("2026-06-14T08:25", "2026-06-14T16:00"),
        ("2026/06/14 08:25", "2026/06/14 16:00"),
        ("14/06/2026 08:25", "14/06/2026 16:00:00"),
        ("14-06-2026 08:25", "14-06-2026 16:00"),
        ("06/14/2026 8:25 AM", "06/14/2026 4:00 PM"),
        ("14.06.2026 08:25", "14.06.2026 16:00"),
        ("14.06.26 08:25:00", "14.06.26 16:00:00"),
        ("2026-06-14 8:25:00 AM", "2026-06-14 4:00:00 PM"),
        ("2026-06-14 06:25:00 UTC", "2026-06-14 14:00:00 UTC"),
        ("2026-06-14T06:25Z", "2026-06-14T14:00Z"),
        ("2026-06-14 08:25:00+0200", "2026-06-14 16:00:00 +02:00"),
        ("2026-06-14T01:25:00-05", "2026-06-14T09:00:00-05"),
        ("1781418300", "1781445600000"),
        ("0026-06-14 08:25:00", "0026-06-14 16:00:00"),
    ] {
        let read = sessions(MAP, &format!("start,end,kwh\n{start},{end},7.5\n"));
        assert_eq!(told(&read), [("2026-06-14 06:25".to_owned(), 7500)], "{start}");
        assert_eq!((read[0].departure - read[0].arrival).num_minutes(), 455, "{end}");
    }
}

#[test]
fn a_date_that_may_be_either_is_refused_until_a_format_is_given() {
    let text = "start,end,kwh\n03/04/2026 08:25,03/04/2026 16:00,7.5\n";
    let error = import::csv("s.csv", text.as_bytes(), &MAP.parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("day and month can be told apart"), "{error}");
    let day_first = sessions(&format!("{MAP},time_format=%d/%m/%Y %H:%M"), text);
    assert_eq!(told(&day_first)[0].0, "2026-04-03 06:25");
    // Another row tells.
    let month_first = sessions(MAP, &format!("{text}03/14/2026 08:00,03/14/2026 09:00,1\n"));
    assert_eq!(told(&month_first)[0].0, "2026-03-04 07:25");
}

#[test]
fn odd_rows_are_left_out_counted_and_named() {
    let text = "start,end,kwh,who\n2026-06-14 08:25:00,2026-06-14 16:00:00,7.5,a\n2026-06-14 09:00:00,,3,b\n\
                2026-06-01 09:00:00,2026-06-01 10:00:00,-3836.1,c\nnonsense\n2026-06-14 10:00:00,2026-06-14 09:00:00,1,d\n\
                2026-06-14 10:00:00,2026-06-14 11:00:00,NaN,e\n";
    let read = sessions(&format!("{MAP},driver=who"), text);
    assert_eq!(read.len(), 1);
    let said = read.warnings[0].to_string();
    assert!(said.starts_with("s.csv: 5 of 6 rows are left out: s.csv:3: end: found \"\""), "{said}");
    assert!(
        said.contains("s.csv:4: kwh: found \"-3836.1\"") && said.contains("s.csv:5: ") && said.ends_with('…'),
        "{said}"
    );
}

#[test]
fn spreadsheets_are_read_whatever_separates_and_ends_them() {
    let plain =
        "start,end,kwh\n2026-06-14 08:25:00,2026-06-14 16:00:00,7.5\n2026-06-14 09:00:00,2026-06-14 10:00:00,1234.5\n";
    let expected = told(&sessions(MAP, plain));
    let comma = plain.replace(',', ";").replace("7.5", "7,5").replace("1234.5", "1.234,5");
    let quoted = plain.replace("7.5", "\"7,5\"").replace("1234.5", "\"1,234.5\"");
    let spread =
        plain.replace("kwh\n", "kwh,,\n").replace("7.5\n", "7.5,,\n,,,,\n").replace("1234.5\n", "1234.5,,\n,,,,\n");
    for text in [
        format!("\u{feff}{}", comma.replace('\n', "\r\n")),
        comma.replace(';', "\t"),
        quoted,
        spread,
        plain.replace('\n', "\r"),
        plain.replace("kwh\n", "kwh,note\n").replace("7.5\n", "7.5,\"two\nlines\"\n").replace("1234.5\n", "1234.5,x\n"),
    ] {
        assert_eq!(told(&sessions(MAP, &text)), expected, "{text:?}");
    }
    let lines = sessions(MAP, &plain.replace('\n', "\r\n")).iter().map(|s| s.line).collect::<Vec<_>>();
    assert_eq!(lines, [2, 3]);
    let either = sessions(
        MAP,
        "start,end,kwh\n2026-06-14 08:25:00,2026-06-14 16:00:00,7.5\n2026-06-14 09:00:00,2026-06-14 10:00:00,\"1,234\"\n",
    );
    assert!(either.warnings[0].to_string().contains("comma can be read in one way"), "{:?}", either.warnings);
    let mut files = quickstart_files();
    let text = String::from_utf8(files["sessions.csv"].clone()).unwrap().replace(',', ";");
    files.insert("sessions.csv".to_owned(), text.into_bytes());
    let error = optimizer::scenario::parse("x", &files).unwrap_err().to_string();
    assert!(error.contains("this file has semicolons"), "{error}");
}

#[test]
fn names_with_commas_and_names_that_are_too_long_are_read() {
    let map = "arrival=start,departure=end,energy_kwh=Energy, kWh,id=id,zone=Europe/Berlin";
    let ids = ["f".repeat(70), "f".repeat(69) + "e"];
    let row = |id: &str| format!("{id},2026-06-14 08:25:00,2026-06-14 16:00:00,7.5\n");
    let read = sessions(map, &format!("id,start,end,\"Energy, kWh\"\n{}{}", row(&ids[0]), row(&ids[1])));
    assert_eq!(read.len(), 2);
    assert!(read.iter().all(|s| s.id.chars().count() == 64 && s.id.starts_with("ffff")) && read[0].id != read[1].id);
}

#[test]
fn an_energy_that_is_wrong_by_a_thousand_is_warned_of() {
    let text = |energy: &str| format!("start,end,e\n2026-06-14 08:25:00,2026-06-14 16:00:00,{energy}\n");
    let map = |target: &str| format!("arrival=start,departure=end,{target}=e,zone=Europe/Berlin");
    assert!(sessions(&map("delivered_wh"), &text("7.5")).warnings[0].text.contains("kWh that are read as Wh"));
    assert!(sessions(&map("delivered_kwh"), &text("7500")).warnings[0].text.contains("Wh that are read as kWh"));
    assert!(sessions(&map("delivered_kwh"), &text("7.5")).warnings.is_empty());
    let named = "arrival=start,departure=end,delivered_wh=Energy (kWh),zone=Europe/Berlin";
    let read = sessions(named, "start,end,Energy (kWh)\n2026-06-14 08:25:00,2026-06-14 16:00:00,7500\n");
    assert!(
        read.warnings[0].to_string().contains("\"Energy (kWh)\" says kWh and is read as Wh"),
        "{:?}",
        read.warnings
    );
    assert_eq!(read[0].delivered_wh, WattHours(7500));
}

#[test]
fn pandas_json_is_read() {
    let text = r#"[{"sessionID":"a","stationID":"S","connectionTime":"Wed, 25 Apr 2018 11:08:04 GMT",
        "disconnectTime":1524664810000,"kWhDelivered":7.9,"timezone":"America/Los_Angeles","userID":743.0,
        "userInputs":[{"kWhRequested":25.0,"minutesAvailable":463.0,"requestedDeparture":null}]},
        {"sessionID":"b","stationID":"S","connectionTime":"Wed, 25 Apr 2018 11:08:04 GMT","disconnectTime":NaN,
        "kWhDelivered":1.0,"timezone":"America/Los_Angeles","userInputs":null}]"#;
    let read = import::acn_json("a.json", text.as_bytes()).unwrap();
    assert_eq!((read.len(), read[0].driver.as_deref()), (1, Some("743")));
    assert_eq!((read[0].declared_departure.unwrap() - read[0].arrival).num_minutes(), 463);
    assert_eq!((read[0].departure - read[0].arrival).num_seconds(), 10_326);
    assert!(read.warnings[0].to_string().contains("a.json:2: disconnectTime"), "{:?}", read.warnings);
}

/// Rows from midnight on, so many minutes apart.
fn rows(day: &str, minutes: usize, count: usize) -> String {
    let row = |n: usize| format!("{day} {:02}:{:02},{n}\n", n * minutes / 60, n * minutes % 60);
    (0..count).map(row).collect()
}

#[test]
fn a_day_of_another_step_is_whole_and_a_cut_one_is_warned_of() {
    let hourly_last = format!("t,v\n{}{}", rows("2025-10-01", 15, 96), rows("2025-10-02", 60, 24));
    let read = series(&hourly_last);
    assert!(read.warnings().is_empty(), "{:?}", read.warnings());
    assert_eq!(read.day("2025-10-02".parse().unwrap()).unwrap()[90..], [22, 22, 23, 23, 23, 23]);
    let cut = format!("t,v\n{}{}", rows("2025-09-30", 60, 24), rows("2025-10-01", 15, 93));
    let read = series(&cut);
    assert_eq!(read.day("2025-10-01".parse().unwrap()).unwrap()[91..], [91, 92, 92, 92, 92]);
    assert_eq!(read.warnings()[0].to_string(), "p.csv: 3 quarter hours have no value and take the one before");
    // Half a day is no day.
    assert!(series(&format!("t,v\n{}", rows("2025-10-01", 15, 48))).day("2025-10-01".parse().unwrap()).is_err());
}

#[test]
fn the_hour_that_comes_twice_is_read_in_any_order() {
    let hours = ["00:00", "01:00", "02:00", "02:00", "03:00"];
    let ahead: Vec<String> = hours.iter().enumerate().map(|(n, hour)| format!("2025-10-26 {hour},{n}\n")).collect();
    let back: Vec<String> = ahead.iter().rev().cloned().collect();
    let expected: Vec<i64> = (0..20).map(|quarter| quarter / 4).collect();
    let first = series(&format!("t,v\n{}", ahead.concat())).span().0;
    for text in [ahead.concat(), back.concat()] {
        assert_eq!(series(&format!("t,v\n{text}")).values(first, 20).unwrap(), expected, "{text}");
    }
    // Quarter hours one beside the other.
    let pairs: String =
        (0..4).map(|q| format!("2025-10-26 02:{:02},{q}\n2025-10-26 02:{:02},{}\n", 15 * q, 15 * q, q + 4)).collect();
    let read = series(&format!("t,v\n{pairs}"));
    assert_eq!(read.values(read.span().0, 8).unwrap(), [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn sun_without_values_at_night_is_none_and_a_hole_at_noon_is_refused() {
    let value = |q: usize| if (24..72).contains(&q) { (24 - (q as i64 - 48).abs()) * 250 } else { 0 };
    let day = |without: std::ops::Range<usize>| {
        let row = |q: usize| {
            let value = if without.contains(&q) || q < 20 { "NaN".to_owned() } else { value(q).to_string() };
            format!("2026-06-14 {:02}:{:02},{value}\n", q / 4, q % 4 * 15)
        };
        series(&format!("t,v\n{}", (0..96).map(row).collect::<String>()))
    };
    let date = "2026-06-14".parse().unwrap();
    let mut scenario = quickstart();
    let warnings = import::replace_power(&mut scenario, "QS-PV", &day(0..0), date, Some(Watts(6000))).unwrap();
    assert!(warnings[0].to_string().contains("20 quarter hours of 2026-06-14 have no value: no sun"), "{warnings:?}");
    let error = import::replace_power(&mut scenario, "QS-PV", &day(36..60), date, Some(Watts(6000))).unwrap_err();
    assert!(error.to_string().contains("are missing"), "{error}");
    // In kW a plant of 6 kW yields next to nothing.
    let warnings = import::replace_power(&mut scenario, "QS-PV", &day(0..0), date, Some(Watts(6_000_000))).unwrap();
    assert!(warnings.iter().any(|w| w.text.contains("in another unit")), "{warnings:?}");
}
