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
    /// The value, without surrounding blanks.
    pub(crate) text: &'a str,
}

impl Table {
    /// Splits `bytes` into rows. Accepts a byte order mark, CRLF, and blank lines.
    pub(crate) fn read(file: &str, bytes: &[u8]) -> Result<Self, ScenarioError> {
        let mut table = Self { file: file.to_owned(), header: Vec::new(), rows: Vec::new() };
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
        if let Some(name) = required.iter().find(|name| !self.has(name)) {
            let hint = suggestion(name, self.header.iter().map(String::as_str));
            return Err(ScenarioError::new(&self.file, 1, name, "", format!("a column {name:?}; it is missing{hint}")));
        }
        let columns = self.header.len();
        match self.rows.iter().find(|(_, fields)| fields.len() != columns) {
            Some((line, fields)) => {
                let extra = fields.get(columns).map_or("", String::as_str);
                let expected = format!("{columns} values, one per column; this line has {}", fields.len());
                Err(ScenarioError::new(&self.file, *line, "", extra, expected))
            }
            None => Ok(()),
        }
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

impl<'a> Row<'a> {
    /// The file's own spelling of `column`, which lives as long as the file; empty where it has none.
    pub(crate) fn column(&self, column: &str) -> &'a str {
        self.table.header.iter().find(|name| *name == column).map_or("", String::as_str)
    }

    /// The cell in `column`; an empty one where the file lacks that (optional) column.
    pub(crate) fn cell(&self, column: &'a str) -> Cell<'a> {
        let index = self.table.header.iter().position(|name| name == column);
        let text = index.and_then(|index| self.fields.get(index)).map_or("", String::as_str);
        Cell { file: &self.table.file, line: self.line, column, text }
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
