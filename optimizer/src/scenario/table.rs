//! A CSV file as rows of cells that know their place.

use super::error::{ScenarioError, suggestion};
use super::number::{self, Rounding};
use crate::units::{POWER_MAX_W, POWER_STEP_W, Watts};
use chrono::{DateTime, FixedOffset};

/// Longest line, bytes: some fifty times a row of the largest site's signals. Longer ones are refused before they are
/// copied anywhere.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// Longest id, characters.
const NAME_CHARS_MAX: usize = 64;

/// A file, header first.
pub(crate) struct Table {
    file: String,
    header: Vec<String>,
    rows: Vec<(usize, Vec<String>)>,
    /// Whether numbers have a decimal comma: where something else separates values.
    decimal_comma: bool,
}

/// One row.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    table: &'a Table,
    /// Line from 1.
    pub(crate) line: usize,
    fields: &'a [String],
}

/// One value and its place.
#[derive(Clone, Copy)]
pub(crate) struct Cell<'a> {
    file: &'a str,
    line: usize,
    column: &'a str,
    decimal_comma: bool,
    /// The value, without surrounding blanks.
    pub(crate) text: &'a str,
}

impl Table {
    /// Splits `bytes` into rows. Accepts a byte order mark, CRLF, and blank lines; says so where the file is separated by
    /// something else than commas, or has old line ends.
    pub(crate) fn read(file: &str, bytes: &[u8]) -> Result<Self, ScenarioError> {
        let mut table = Self { file: file.to_owned(), header: Vec::new(), rows: Vec::new(), decimal_comma: false };
        let mut rest = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut line = 0;
        while !rest.is_empty() {
            line += 1;
            let text = next_line(&mut rest).map_err(|expected| ScenarioError::new(file, line, "", "", expected))?;
            if text.trim().is_empty() {
                continue;
            }
            let fields =
                split(text).ok_or_else(|| ScenarioError::new(file, line, "", text, "comma-separated values"))?;
            if table.header.is_empty() {
                if let Some(expected) = foreign(text) {
                    return Err(ScenarioError::new(file, line, "", text, expected));
                }
                table.header = table.checked_header(line, fields)?;
            } else {
                table.rows.push((line, fields));
            }
        }
        if table.header.is_empty() {
            Err(ScenarioError::of_file(file, "a header line; the file is empty"))
        } else {
            Ok(table)
        }
    }

    /// Splits a file that other software has written: commas, semicolons or tabs, quoted line ends, any line ends, rows and
    /// columns that a spreadsheet has left empty. Rows of another length are the caller's to judge ([`Row::is_whole`]).
    pub(crate) fn read_foreign(file: &str, bytes: &[u8]) -> Result<Self, ScenarioError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let fail = |line: usize, expected: String| ScenarioError::new(file, line, "", "", expected);
        let line_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let mut lines = bytes.split(line_end).take(100).filter_map(|line| std::str::from_utf8(line).ok());
        let delimiter = lines.find(|line| !line.trim().is_empty()).map_or(b',', separator);
        let mut counter = Lines { bytes, at: 0, line: 1, end: if bytes.contains(&b'\n') { b'\n' } else { b'\r' } };
        let mut reader = csv::ReaderBuilder::new();
        reader.has_headers(false).flexible(true).trim(csv::Trim::All).delimiter(delimiter);
        let mut table =
            Self { file: file.to_owned(), header: Vec::new(), rows: Vec::new(), decimal_comma: delimiter != b',' };
        let mut unnamed = Vec::new();
        for record in reader.from_reader(bytes).into_records() {
            let record = record.map_err(|error| {
                let line = counter.line_at(error.position());
                fail(line, format!("UTF-8 text in quoted or plain values: {error}"))
            })?;
            let line = counter.line_at(record.position());
            if record.iter().any(|value| value.len() > LINE_BYTES_MAX) {
                return Err(fail(line, format!("values of at most {LINE_BYTES_MAX} bytes")));
            }
            if record.iter().all(str::is_empty) {
                continue;
            }
            let fields = || record.iter().map(str::to_owned);
            if table.header.is_empty() {
                unnamed = record.iter().map(str::is_empty).collect();
                let named = fields().filter(|name| !name.is_empty()).collect();
                table.header = table.checked_header(line, named)?;
                continue;
            }
            // A column without a name is nobody's.
            let named = fields().enumerate().filter(|(i, value)| match unnamed.get(*i) {
                Some(unnamed) => !unnamed,
                None => !value.is_empty(),
            });
            let mut values: Vec<String> = named.map(|(_, value)| value).collect();
            // Cells that are empty at the end of a row may be missing.
            if record.len() < unnamed.len() && values.len() >= 2 {
                values.resize(table.header.len(), String::new());
            }
            table.rows.push((line, values));
        }
        if table.header.is_empty() {
            return Err(ScenarioError::of_file(file, "a header line; the file is empty"));
        }
        Ok(table)
    }

    fn checked_header(&self, line: usize, header: Vec<String>) -> Result<Vec<String>, ScenarioError> {
        for (index, name) in header.iter().enumerate() {
            if header[..index].contains(name) {
                return Err(ScenarioError::new(&self.file, line, name, name, "each column once"));
            }
        }
        Ok(header)
    }

    /// Refuses columns that are neither required nor optional, and the lack of a required one.
    pub(crate) fn check_columns(&self, required: &[&str], optional: &[&str]) -> Result<(), ScenarioError> {
        let known = || required.iter().chain(optional).copied();
        if let Some(name) = self.header.iter().find(|name| !known().any(|k| k == *name)) {
            let all: Vec<&str> = known().collect();
            let expected = format!("one of the columns {}{}", all.join(", "), suggestion(name, known()));
            return Err(ScenarioError::new(&self.file, 1, name, name, expected));
        }
        self.require_columns(required)
    }

    /// Refuses the lack of a column; then rows that are longer or shorter than the header.
    pub(crate) fn require_columns(&self, required: &[&str]) -> Result<(), ScenarioError> {
        self.require_named(required)?;
        self.rows().try_for_each(|row| row.is_whole())
    }

    /// Refuses the lack of a column.
    pub(crate) fn require_named(&self, required: &[&str]) -> Result<(), ScenarioError> {
        if let Some(name) = required.iter().find(|name| !self.has(name)) {
            let hint = suggestion(name, self.header.iter().map(String::as_str));
            return Err(ScenarioError::new(&self.file, 1, name, "", format!("a column {name:?}; it is missing{hint}")));
        }
        Ok(())
    }

    /// Whether there is a column of this name.
    pub(crate) fn has(&self, column: &str) -> bool {
        self.header.iter().any(|name| name == column)
    }

    /// Column names.
    pub(crate) fn header(&self) -> &[String] {
        &self.header
    }

    /// File name.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// Rows below the header.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|(line, fields)| Row { table: self, line: *line, fields })
    }
}

/// Whether a text is how other software writes that there is no value.
pub(crate) fn is_missing(text: &str) -> bool {
    ["", "nan", "null", "none", "na", "n/a", "nat", "-", "n/e"].iter().any(|none| text.eq_ignore_ascii_case(none))
}

/// An id or a name that other software wrote, where there is one: one that is too long is shortened, so that two stay two.
pub(crate) fn foreign_name(text: &str) -> Option<String> {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let text = text.trim();
    if is_missing(text) || text.chars().count() <= NAME_CHARS_MAX {
        return Some(text.to_owned()).filter(|text| !is_missing(text));
    }
    // FNV-1a, 64 bits.
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let digest = text.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    let kept: String = text.chars().take(NAME_CHARS_MAX - 17).collect();
    Some(format!("{kept}-{digest:016x}"))
}

/// Counts lines up to the records of a reader, which counts wrongly where lines do not end with a line feed alone.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
    end: u8,
}

impl Lines<'_> {
    fn line_at(&mut self, position: Option<&csv::Position>) -> usize {
        let start = position.map_or(self.at, |position| usize::try_from(position.byte()).unwrap_or(self.at));
        // A record is said to begin where the one before ended.
        let ends = self.bytes[start..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let start = (start + ends).max(self.at);
        self.line += self.bytes[self.at..start].iter().filter(|byte| **byte == self.end).count();
        self.at = start;
        self.line
    }
}

/// Takes one line off `rest`. Looks no further than a line may reach, so that an endless one is refused at once.
fn next_line<'a>(rest: &mut &'a [u8]) -> Result<&'a str, String> {
    let bytes = *rest;
    let reach = &bytes[..bytes.len().min(LINE_BYTES_MAX + 1)];
    let (line, after) = match reach.iter().position(|b| *b == b'\n') {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None if bytes.len() > LINE_BYTES_MAX => return Err(format!("a line of at most {LINE_BYTES_MAX} bytes")),
        None => (bytes, &bytes[bytes.len()..]),
    };
    *rest = after;
    let text = std::str::from_utf8(line);
    text.map_err(|error| format!("UTF-8 text; byte {} of the line is none", error.valid_up_to() + 1))
}

/// Splits one line. Quoted values may hold commas, not line ends.
fn split(line: &str) -> Option<Vec<String>> {
    // Nearly every line; a csv reader for each of them would cost a hundred times the split.
    if !line.contains('"') {
        return Some(line.split(',').map(|value| value.trim().to_owned()).collect());
    }
    let mut reader = csv::ReaderBuilder::new();
    reader.has_headers(false).flexible(true).trim(csv::Trim::All).buffer_capacity(line.len());
    let record = reader.from_reader(line.as_bytes()).into_records().next()?.ok()?;
    Some(record.iter().map(str::to_owned).collect())
}

/// What separates the values of a header: a semicolon or a tab where there are more of them than commas.
fn separator(header: &str) -> u8 {
    let mut quoted = false;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    for byte in header.bytes() {
        quoted ^= byte == b'"';
        for (separator, count) in &mut counts {
            *count += usize::from(byte == *separator && !quoted);
        }
    }
    // Of equals the first.
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(separator, _)| *separator)
}

/// What is foreign about a header of a scenario file.
fn foreign(header: &str) -> Option<&'static str> {
    match separator(header) {
        _ if header.trim_end().contains('\r') => Some("lines that end with LF or CRLF; this file has CR alone"),
        b';' => Some("values separated by commas, and decimal points; this file has semicolons"),
        b'\t' => Some("values separated by commas, and decimal points; this file has tabs"),
        _ => None,
    }
}

/// A number as other software writes it, with a decimal point and nothing between thousands; `None` where a comma may be
/// either.
fn pointed(text: &str, decimal_comma: bool) -> Option<std::borrow::Cow<'_, str>> {
    let (comma, point) = (text.rfind(','), text.rfind('.'));
    match (comma, point) {
        (None, _) if !decimal_comma || text.matches('.').count() < 2 => Some(text.into()),
        (None, _) => Some(text.replace('.', "").into()),
        (Some(comma), Some(point)) if comma < point => Some(text.replace(',', "").into()),
        (Some(_), Some(_)) => Some(text.replace('.', "").replace(',', ".").into()),
        (Some(comma), None) if decimal_comma || (text.matches(',').count() == 1 && text.len() - comma != 4) => {
            Some(text.replace(',', ".").into())
        }
        (Some(_), None) => None,
    }
}

impl<'a> Row<'a> {
    /// Refuses a row that is longer or shorter than the header.
    pub(crate) fn is_whole(&self) -> Result<(), ScenarioError> {
        let (columns, count) = (self.table.header.len(), self.fields.len());
        if columns == count {
            return Ok(());
        }
        let extra = self.fields.get(columns).map_or("", String::as_str);
        let expected = format!("{columns} values, one per column; this line has {count}");
        Err(ScenarioError::new(&self.table.file, self.line, "", extra, expected))
    }

    /// The file's own spelling of `column`, which lives as long as the file; empty where it has none.
    pub(crate) fn column(&self, column: &str) -> &'a str {
        self.table.header.iter().find(|name| *name == column).map_or("", String::as_str)
    }

    /// The cell in `column`; an empty one where the file lacks that (optional) column.
    pub(crate) fn cell(&self, column: &'a str) -> Cell<'a> {
        let index = self.table.header.iter().position(|name| name == column);
        let text = index.and_then(|index| self.fields.get(index)).map_or("", String::as_str);
        Cell { file: &self.table.file, line: self.line, column, text, decimal_comma: self.table.decimal_comma }
    }
}

impl<'a> Cell<'a> {
    /// An error at this cell.
    pub(crate) fn fail(&self, expected: impl Into<String>) -> ScenarioError {
        ScenarioError::new(self.file, self.line, self.column, self.text, expected)
    }

    /// Whether nothing is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether other software would say that nothing is there.
    pub(crate) fn is_missing(&self) -> bool {
        is_missing(self.text)
    }

    /// The text as a number with a decimal point, however other software writes it.
    pub(crate) fn pointed(&self) -> Result<std::borrow::Cow<'a, str>, ScenarioError> {
        pointed(self.text, self.decimal_comma).ok_or_else(|| self.fail("a number whose comma can be read in one way"))
    }

    /// An id or a name.
    pub(crate) fn name(&self) -> Result<&'a str, ScenarioError> {
        let length = self.text.chars().count();
        if length == 0 || length > NAME_CHARS_MAX || self.text.chars().any(char::is_control) {
            return Err(self.fail(format!("a name of 1 to {NAME_CHARS_MAX} characters")));
        }
        Ok(self.text)
    }

    /// An id that must be one of `known`, of the kind `what`; gives its index.
    pub(crate) fn one_of<'k>(
        &self,
        what: &str,
        known: impl Iterator<Item = &'k str> + Clone,
    ) -> Result<usize, ScenarioError> {
        let index = known.clone().position(|name| name == self.text);
        index.ok_or_else(|| self.fail(format!("the id of {what}{}", suggestion(self.text, known))))
    }

    /// A whole number.
    pub(crate) fn integer(&self, range: std::ops::RangeInclusive<i64>, what: &str) -> Result<i64, ScenarioError> {
        let value = number::scaled_exactly(self.text, 0).filter(|value| range.contains(value));
        value.ok_or_else(|| self.fail(format!("{what}: a whole number from {} to {}", range.start(), range.end())))
    }

    /// A number with `places` decimals, as an integer of its last place; further decimals are rounded.
    pub(crate) fn decimal(
        &self,
        places: i32,
        range: std::ops::RangeInclusive<i64>,
        what: &str,
    ) -> Result<i64, ScenarioError> {
        let value = number::scaled(self.text, places, Rounding::Nearest).filter(|value| range.contains(value));
        value.ok_or_else(|| self.fail(what))
    }

    /// A power of 0 to `max` W that is a whole number of steps.
    pub(crate) fn power(&self, max: i64) -> Result<Watts, ScenarioError> {
        let watts = self.integer(0..=max, "power in W")?;
        if watts % POWER_STEP_W != 0 {
            return Err(self.fail(format!("power in W, a multiple of {POWER_STEP_W}")));
        }
        Ok(Watts(watts))
    }

    /// A power that is more than 0 and fits a lane.
    pub(crate) fn rating(&self) -> Result<Watts, ScenarioError> {
        let power = self.power(POWER_MAX_W)?;
        if power == Watts::ZERO { Err(self.fail("a power of more than 0 W")) } else { Ok(power) }
    }

    /// A time with offset.
    pub(crate) fn time(&self) -> Result<DateTime<FixedOffset>, ScenarioError> {
        number::timestamp(self.text).map_err(|expected| self.fail(expected))
    }
}
