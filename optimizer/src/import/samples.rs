//! The times and values of a series: CSV or Parquet, compressed or not.

use super::SeriesFormat;
use super::time::{Clock, Notation, Reader, Stamp};
use crate::scenario::ScenarioError;
use crate::scenario::number::{self, Rounding};
use crate::scenario::table::{Row, Table, is_missing};
use chrono::DateTime;
use polars::prelude::{Column, DataType, ParquetReader, SerReader, TimeUnit};
use std::borrow::Cow;
use std::io::{Cursor, Read};

/// Largest value after scaling: far above any price or power, and a million of them fit an i64.
const VALUE_MAX: i64 = 1_000_000_000_000;
/// Largest file after unpacking, bytes.
const UNPACKED_MAX: u64 = 1 << 30;
/// How a Parquet file begins.
const PARQUET: &[u8] = b"PAR1";
/// How a gzip file begins.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// Times in unix seconds with values after scaling, in the order of the file.
pub(super) struct Samples {
    pub(super) clock: Clock,
    pub(super) values: Vec<(i64, i64)>,
    /// Rows that were left out because they are odd, and the first reasons.
    pub(super) odd: Vec<ScenarioError>,
}

/// `bytes`, or what is in them where they are compressed by gzip.
pub(super) fn unpacked<'a>(file: &str, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>, ScenarioError> {
    if !bytes.starts_with(GZIP) {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut plain = Vec::new();
    let read = flate2::read::MultiGzDecoder::new(bytes).take(UNPACKED_MAX + 1).read_to_end(&mut plain);
    let fail = |expected: String| ScenarioError::new(file, 1, "", "", expected);
    read.map_err(|error| fail(format!("a whole gzip file: {error}")))?;
    if plain.len() as u64 > UNPACKED_MAX {
        return Err(fail(format!("at most {UNPACKED_MAX} bytes after unpacking")));
    }
    Ok(Cow::Owned(plain))
}

/// Reads a file of either kind. Rows without a value are left out, odd ones too, if others are none.
pub(super) fn read(file: &str, bytes: &[u8], format: &SeriesFormat) -> Result<Samples, ScenarioError> {
    let bytes = unpacked(file, bytes)?;
    let (reader, notation) = (Reader::new(format.zone), Notation::default());
    let mut taking = Taking { file, format, reader, notation, values: Vec::new(), odd: Vec::new() };
    if bytes.starts_with(PARQUET) {
        taking.parquet(&bytes)?
    } else {
        taking.csv(&bytes)?
    }
    match taking.odd.first() {
        Some(fault) if taking.odd.len() > taking.values.len() / 10 => Err(fault.clone()),
        _ => Ok(Samples { clock: taking.reader.clock(), values: taking.values, odd: taking.odd }),
    }
}

struct Taking<'a> {
    file: &'a str,
    format: &'a SeriesFormat,
    reader: Reader,
    notation: Notation,
    values: Vec<(i64, i64)>,
    odd: Vec<ScenarioError>,
}

impl Taking<'_> {
    fn csv(&mut self, bytes: &[u8]) -> Result<(), ScenarioError> {
        let table = Table::read_foreign(self.file, bytes)?;
        table.require_named(&[&self.format.time, &self.format.value])?;
        let at = |row: Row<'_>| row.cell(row.column(&self.format.time)).text.to_owned();
        let times: Vec<String> = table.rows().map(at).collect();
        self.notation = Notation::of(self.format.time_format.as_deref(), times.iter().map(String::as_str));
        let stamps = times.iter().map(|text| self.notation.stamp(text));
        let mut rows: Vec<_> = table.rows().zip(&times).zip(stamps).collect();
        // The newest first: an hour that the clock shows twice is read from its other end.
        let shown = |(_, stamp): &((Row<'_>, &String), Option<Stamp>)| stamp.map(Stamp::shown);
        if rows.iter().find_map(shown) > rows.iter().rev().find_map(shown) {
            rows.reverse();
        }
        for ((row, at), stamp) in rows {
            let value = row.cell(row.column(&self.format.value));
            let number = if value.is_missing() { Ok(None) } else { value.pointed().map(Some) };
            let taken = row.is_whole().and(number);
            let taken = taken.and_then(|number| self.take(row.line, stamp, at, number.as_deref()));
            self.odd.extend(taken.err());
        }
        Ok(())
    }

    /// Times may be texts or times, with zone or without; values texts or numbers of any type, of which the shortest
    /// decimal text counts. Rows count from 1; what is null or NaN is left out.
    fn parquet(&mut self, bytes: &[u8]) -> Result<(), ScenarioError> {
        let (file, names) = (self.file, [self.format.time.clone(), self.format.value.clone()]);
        let broken = |error: polars::error::PolarsError| {
            let expected = format!("a Parquet file with columns {} and {}: {error}", names[0], names[1]);
            ScenarioError::new(file, 1, "", "", expected)
        };
        let columns = Some(names.to_vec());
        let frame = ParquetReader::new(Cursor::new(bytes)).with_columns(columns).finish().map_err(broken)?;
        let (times, values) = (frame.column(&names[0]).map_err(broken)?, frame.column(&names[1]).map_err(broken)?);
        let texts = values.cast(&DataType::String).map_err(broken)?;
        if let DataType::Datetime(_, Some(zone)) = times.dtype() {
            // That of the frame, but UTC, which is how many programs store any time.
            if let Some(zone) = zone.as_str().parse().ok().filter(|zone| *zone != chrono_tz::UTC) {
                self.reader.zoned(zone);
            }
        }
        let stamps = self.stamps(times).map_err(broken)?;
        for (row, ((stamp, at), text)) in stamps.into_iter().zip(texts.str().map_err(broken)?.iter()).enumerate() {
            let taken = self.take(row + 1, stamp, &at, text.filter(|text| !is_missing(text)));
            self.odd.extend(taken.err());
        }
        Ok(())
    }

    /// A column of times, each with what it says.
    fn stamps(&mut self, times: &Column) -> polars::error::PolarsResult<Vec<(Option<Stamp>, String)>> {
        let DataType::Datetime(unit, zone) = times.dtype() else {
            let texts = times.cast(&DataType::String)?;
            let texts = || Ok::<_, polars::error::PolarsError>(texts.str()?.iter().map(Option::unwrap_or_default));
            self.notation = Notation::of(self.format.time_format.as_deref(), texts()?);
            return Ok(texts()?.map(|text| (self.notation.stamp(text), text.to_owned())).collect());
        };
        let per_second = match unit {
            TimeUnit::Nanoseconds => 1_000_000_000,
            TimeUnit::Microseconds => 1_000_000,
            TimeUnit::Milliseconds => 1_000,
        };
        let of = |count: i64| {
            let time = DateTime::from_timestamp(count.div_euclid(per_second), 0)?;
            Some(if zone.is_some() { Stamp::Known(time.fixed_offset()) } else { Stamp::Local(time.naive_utc()) })
        };
        let counts = times.cast(&DataType::Int64)?;
        let counts = counts.i64()?.iter();
        Ok(counts.map(|count| (count.and_then(of), count.unwrap_or_default().to_string())).collect())
    }

    fn take(&mut self, row: usize, stamp: Option<Stamp>, at: &str, value: Option<&str>) -> Result<(), ScenarioError> {
        let format = self.format;
        let time = self.reader.next(stamp).map_err(|expected| self.notation.expected(at, expected));
        let time = time.map_err(|expected| ScenarioError::new(self.file, row, &format.time, at, expected))?;
        let Some(text) = value else { return Ok(()) };
        // To a millionth before scaling, so that the scale cannot lose what the file has.
        let micro = number::scaled(text, 6, Rounding::Nearest).map(i128::from);
        let scaled = micro.map(|micro| (micro * i128::from(format.scale) + 500_000).div_euclid(1_000_000));
        let scaled = scaled.and_then(|scaled| i64::try_from(scaled).ok());
        let scaled = scaled.filter(|value| (-VALUE_MAX..=VALUE_MAX).contains(value));
        let scaled = scaled.ok_or_else(|| ScenarioError::new(self.file, row, &format.value, text, "a number"))?;
        self.values.push((time.timestamp() - format.late_s, scaled));
        Ok(())
    }
}
