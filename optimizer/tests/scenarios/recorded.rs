//! Series in quarter hours: steps of every length, clocks that change, gaps, and both kinds of files.

use crate::field::field;
use chrono::{DateTime, NaiveDate, TimeDelta, TimeZone};
use chrono_tz::Europe::Berlin;
use optimizer::import::{Kind, Series, SeriesFormat, series};
use optimizer::units::{Interval, UnixTime};
use polars::prelude::*;
use std::io::Write;

fn format() -> SeriesFormat {
    SeriesFormat { time: "t".into(), value: "v".into(), scale: 1, ..SeriesFormat::default() }
}

fn in_berlin() -> SeriesFormat {
    SeriesFormat { zone: Some(Berlin), ..format() }
}

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn interval(text: &str) -> Interval {
    Interval::containing(UnixTime(DateTime::parse_from_rfc3339(text).unwrap().timestamp()))
}

/// `count` rows from `first` on, `minutes` apart, as a clock in Berlin shows them; values count from 0.
fn local_rows(first: &str, minutes: i64, count: i64) -> String {
    let first = Berlin.from_local_datetime(&date(first).and_hms_opt(0, 0, 0).unwrap()).unwrap();
    let time = |n: i64| (first + TimeDelta::minutes(minutes * n)).format("%Y-%m-%d %H:%M");
    "t,v\n".to_owned() + &(0..count).map(|n| format!("{},{n}\n", time(n))).collect::<String>()
}

fn read(text: &str, format: &SeriesFormat) -> Series {
    series("s.csv", text.as_bytes(), format).unwrap()
}

#[test]
fn days_on_which_the_clock_changes() {
    // Without offsets: the hour from 2 to 3 is skipped in March and comes twice in October.
    for (first, minutes, lengths) in [
        ("2026-03-28", 15, [("2026-03-28", 96), ("2026-03-29", 92), ("2026-03-30", 96)]),
        ("2026-10-24", 15, [("2026-10-24", 96), ("2026-10-25", 100), ("2026-10-26", 96)]),
        ("2026-03-28", 60, [("2026-03-28", 96), ("2026-03-29", 92), ("2026-03-30", 96)]),
        ("2026-10-24", 60, [("2026-10-24", 96), ("2026-10-25", 100), ("2026-10-26", 96)]),
    ] {
        let count = lengths.iter().map(|(_, length)| length).sum::<i64>() * 15 / minutes;
        let series = read(&local_rows(first, minutes, count), &in_berlin());
        assert!(series.warnings().is_empty(), "{:?}", series.warnings());
        let mut passed = 0;
        for (day, length) in lengths {
            let expected: Vec<i64> = (passed..passed + length).map(|quarter| quarter * 15 / minutes).collect();
            assert_eq!(series.day(date(day)).unwrap(), expected, "{day} in steps of {minutes} minutes");
            passed += length;
        }
    }
    let skipped = "t,v\n2026-03-29 01:45,1\n2026-03-29 02:15,2\n";
    let error = series("s.csv", skipped.as_bytes(), &in_berlin()).unwrap_err().to_string();
    assert!(error.starts_with("s.csv:3: t: found \"2026-03-29 02:15\"") && error.contains("skips"), "{error}");
}

#[test]
fn offsets_are_one_or_have_a_zone() {
    let mixed = "t,v\n2026-03-29 01:00:00+01:00,1\n2026-03-29 03:00:00+02:00,2\n";
    let error = series("s.csv", mixed.as_bytes(), &format()).unwrap_err().to_string();
    assert!(error.starts_with("s.csv:3: t: ") && error.contains("a zone for the whole file"), "{error}");
    let read_in_zone = read(mixed, &in_berlin());
    assert_eq!(read_in_zone.values(interval("2026-03-29T00:00:00Z"), 8).unwrap(), [1, 1, 1, 1, 2, 2, 2, 2]);
    let error = series("s.csv", b"t,v\n2026-03-29 01:00,1\n", &format()).unwrap_err().to_string();
    assert!(error.contains("a time with offset"), "{error}");
}

#[test]
fn powers_are_means_and_energies_sums() {
    let rows = |step: i64, values: &[i64]| {
        let row = |(n, value): (usize, &i64)| {
            format!("2026-01-01T{:02}:{:02}:00Z,{value}\n", n as i64 * step / 60, n as i64 * step % 60)
        };
        "t,v\n".to_owned() + &values.iter().enumerate().map(row).collect::<String>()
    };
    let sum = SeriesFormat { kind: Kind::Sum, ..format() };
    let of = |text: &str, format: &SeriesFormat, n: usize| {
        read(text, format).values(interval("2026-01-01T00:00:00Z"), n).unwrap()
    };
    let five = rows(5, &[1, 2, 4, -10, -11, -12]);
    assert_eq!(of(&five, &format(), 2), [2, -11], "7/3 and −11");
    assert_eq!(of(&five, &sum, 2), [7, -33]);
    let half = rows(30, &[101, -5]);
    assert_eq!(of(&half, &format(), 4), [101, 101, -5, -5]);
    assert_eq!(of(&half, &sum, 4), [50, 51, -3, -2], "no Wh is lost");
    let late = SeriesFormat { late_s: 1800, kind: Kind::Sum, ..format() };
    let first = interval("2025-12-31T23:30:00Z");
    assert_eq!(read(&half, &late).values(first, 4).unwrap(), [50, 51, -3, -2], "stamped at their end");
    let own = SeriesFormat { time_format: Some("%d/%m/%Y %H:%M".into()), zone: Some(Berlin), ..format() };
    assert_eq!(read("t,v\n02/01/2026 00:15,7\n", &own).span().0, interval("2026-01-01T23:15:00Z"));
}

#[test]
fn gaps_are_bridged_up_to_a_limit_and_counted() {
    // Hours 0, 1, 2, then 4 and 9: one hour is bridged, then two of four; a part of an energy is none.
    let text: String = [0, 1, 2, 4, 9].iter().map(|hour| format!("2026-01-01T{hour:02}:00:00Z,{hour}\n")).collect();
    let series = read(&format!("t,v\n{text}2026-01-01T09:00:00Z,99\n2026-01-01T08:00:00Z,\n"), &format());
    let said: Vec<String> = series.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "s.csv: 12 quarter hours have no value and take the one before",
            "s.csv: 8 quarter hours have no value within 3 h before them: a gap",
            "s.csv: 1 times come twice: the last value counts",
        ]
    );
    let at = |hour: u32| Interval(interval("2026-01-01T00:00:00Z").0 + 4 * hour);
    assert_eq!(series.values(at(3), 5).unwrap(), [2, 2, 2, 2, 4]);
    assert_eq!(series.values(at(9), 4).unwrap(), [99; 4]);
    let error = series.values(at(6), 8).unwrap_err().to_string();
    let expected = "s.csv:1: v: found \"2026-01-01 06:00\", expected values that the file has: 2026-01-01 to 2026-01-01; \
                    4 of 8 are missing";
    assert_eq!(error, expected);
    let sum = SeriesFormat { kind: Kind::Sum, ..format() };
    let five = "t,v\n2026-01-01T00:00:00Z,1\n2026-01-01T00:05:00Z,1\n2026-01-01T00:10:00Z,1\n2026-01-01T00:15:00Z,1\n";
    assert_eq!(read(five, &sum).values(at(0), 2).unwrap(), [3, 3], "the second is bridged, not a third of itself");
    let empty = read("t,v\n", &format());
    assert!(empty.day(date("2026-01-01")).unwrap_err().to_string().contains("nothing; 96 of 96"));
}

#[test]
fn parquet_is_read_as_csv_is() {
    let text = local_rows("2026-10-24", 15, 292);
    let from_csv = read(&text, &in_berlin());
    let first = DateTime::parse_from_rfc3339("2026-10-23T22:00:00Z").unwrap().timestamp_millis();
    let millis: Vec<i64> = (0..292).map(|n| first + n * 900_000).collect();
    let values: Vec<Option<f64>> = (0..292).map(f64::from).map(Some).collect();
    let local: Vec<i64> = text
        .lines()
        .skip(1)
        .map(|line| chrono::NaiveDateTime::parse_from_str(&line[..16], "%Y-%m-%d %H:%M").unwrap().and_utc().timestamp())
        .collect();
    let instants = |unit, zone| Column::new("t".into(), &millis).cast(&DataType::Datetime(unit, zone)).unwrap();
    let micros: Vec<i64> = local.iter().map(|second| second * 1_000_000).collect();
    let shown = Column::new("t".into(), micros).cast(&DataType::Datetime(TimeUnit::Microseconds, None)).unwrap();
    let texts: Vec<&str> = text.lines().skip(1).map(|line| &line[..16]).collect();
    let times =
        [instants(TimeUnit::Milliseconds, Some(polars::prelude::TimeZone::UTC)), shown, Column::new("t".into(), texts)];
    for time in times {
        let value = Column::new("v".into(), &values);
        let other = Column::new("w".into(), vec!["x"; 292]);
        let mut frame = DataFrame::new(292, vec![other, time, value]).unwrap();
        let mut bytes = Vec::new();
        ParquetWriter::new(&mut bytes).finish(&mut frame).unwrap();
        let from_parquet = series("s.csv", &bytes, &in_berlin()).unwrap();
        assert_eq!(from_parquet, from_csv);
        for cut in [5, bytes.len() / 2, bytes.len() - 3] {
            let error = series("s.parquet", &bytes[..cut], &in_berlin()).unwrap_err().to_string();
            assert!(error.starts_with("s.parquet:1: expected a Parquet file with columns t and v"), "{error}");
        }
        let elsewhere = SeriesFormat { value: "price".into(), ..in_berlin() };
        assert!(series("s.parquet", &bytes, &elsewhere).unwrap_err().to_string().contains("price"));
        let no_numbers = SeriesFormat { value: "w".into(), ..in_berlin() };
        let error = series("s.parquet", &bytes, &no_numbers).unwrap_err().to_string();
        assert!(error.starts_with("s.parquet:1: w: found \"x\", expected a number"), "{error}");
    }
    let missing = [Some(1.5), None, Some(f64::NAN), Some(-0.25)];
    let mut frame =
        DataFrame::new(4, vec![instants(TimeUnit::Milliseconds, None).slice(0, 4), Column::new("v".into(), missing)])
            .unwrap();
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).finish(&mut frame).unwrap();
    let scaled = SeriesFormat { scale: 100, zone: Some(chrono_tz::UTC), ..format() };
    let read = series("s.parquet", &bytes, &scaled).unwrap();
    assert_eq!(read.values(read.span().0, 4).unwrap(), [150, 150, 150, -25]);
}

#[test]
fn gzip_is_unpacked() {
    let text = local_rows("2026-01-01", 15, 96);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    assert_eq!(series("s.csv", &packed, &in_berlin()).unwrap(), read(&text, &in_berlin()));
    let error = series("s.csv.gz", &packed[..packed.len() / 2], &in_berlin()).unwrap_err().to_string();
    assert!(error.starts_with("s.csv.gz:1: expected a whole gzip file"), "{error}");
}

#[test]
fn real_series() {
    let column =
        |time: &str, value: &str, scale| SeriesFormat { time: time.into(), value: value.into(), scale, ..format() };
    // Normalised loads by a German clock of 2016: 92 quarter hours in March, 100 in October.
    let Some(bytes) = field("load/simbench_profiles_15min_2016.csv.gz") else { return };
    let loads = SeriesFormat { zone: Some(Berlin), ..column("time", "G0-A_pload", 1_000_000) };
    let loads = series("simbench", &bytes, &loads).unwrap();
    assert!(loads.warnings().is_empty(), "{:?}", loads.warnings());
    let lengths = ["2016-03-26", "2016-03-27", "2016-10-30"].map(|day| loads.day(date(day)).unwrap().len());
    assert_eq!(lengths, [96, 92, 100]);
    assert_eq!(loads.day(date("2016-10-30")).unwrap()[8..13], [165_810, 160_800, 142_120, 120_200, 133_730]);
    // A steel works: energies by their ends, in Wh.
    let Some(bytes) = field("load/Steel_industry_data.csv.gz") else { return };
    let steel = SeriesFormat {
        zone: Some(chrono_tz::Asia::Seoul),
        time_format: Some("%d/%m/%Y %H:%M".into()),
        late_s: 900,
        kind: Kind::Sum,
        ..column("date", "Usage_kWh", 1000)
    };
    let steel = series("steel", &bytes, &steel).unwrap();
    assert_eq!(steel.day(date("2018-01-01")).unwrap()[..2], [3_170, 4_000]);
    // Emissions every five minutes, mg per kWh: the month has every quarter hour.
    let Some(bytes) = field("emissions/SGIP_CAISO_SCE_2019-05.csv.gz") else { return };
    let emissions = SeriesFormat { zone: Some(chrono_tz::America::Los_Angeles), ..column("time", "moer", 1_000_000) };
    let emissions = series("moer", &bytes, &emissions).unwrap();
    let days = (1..=31).map(|day| emissions.day(NaiveDate::from_ymd_opt(2019, 5, day).unwrap()).unwrap());
    let month: Vec<i64> = days.flatten().collect();
    let mean = month.iter().sum::<i64>() / month.len() as i64;
    println!("emissions: {mean} mg/kWh on average, {:?}", emissions.warnings());
    assert!(month.len() == 31 * 96 && (100_000..600_000).contains(&mean), "{mean}");
    // A house in half hours with PV and its forecast; nights have none.
    let Some(bytes) = field("load/emhass_home_load_pv_forecast_30min.csv.gz") else { return };
    let house = series("house", &bytes, &column("time_utc", "load_w", 1)).unwrap();
    println!("house: {:?}", house.warnings());
    assert_eq!(house.values(interval("2024-04-10T12:00:00Z"), 4).unwrap(), [343, 343, 305, 305]);
}
