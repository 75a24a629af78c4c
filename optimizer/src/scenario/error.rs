//! What can be wrong with a file, always with the place.

use std::fmt;

/// Longest part of an offending value that an error repeats, characters.
const VALUE_CHARS_MAX: usize = 60;

/// A fault in a file. [`fmt::Display`] gives one line: `site.csv:2: owner: found "", expected a name`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct ScenarioError {
    /// File name.
    pub file: String,
    /// Line from 1 (the header); 0 where the fault is the file itself, or `column` names a field of JSON.
    pub line: usize,
    /// Column header, or path of a JSON field (`schedule[2].times`); empty where the fault is the line itself.
    pub column: String,
    /// What was found there, shortened; empty also where nothing was found.
    pub value: String,
    /// What should have been there.
    pub expected: String,
}

impl ScenarioError {
    /// A fault of a whole file.
    pub(crate) fn of_file(file: &str, expected: impl Into<String>) -> Self {
        Self::new(file, 0, "", "", expected)
    }

    /// A fault at a place. `value` is shortened.
    pub(crate) fn new(file: &str, line: usize, column: &str, value: &str, expected: impl Into<String>) -> Self {
        let (column, value) = (shortened(column), shortened(value));
        Self { file: file.to_owned(), line, column, value, expected: expected.into() }
    }

    fn text(&self) -> String {
        let Self { file, line, column, value, expected } = self;
        match (*line, column.is_empty()) {
            (0, true) => format!("{file}: missing: expected {expected}"),
            (0, false) => format!("{file}: {column}: found {value:?}, expected {expected}"),
            (_, true) if value.is_empty() => format!("{file}:{line}: expected {expected}"),
            (_, true) => format!("{file}:{line}: found {value:?}, expected {expected}"),
            (_, false) => format!("{file}:{line}: {column}: found {value:?}, expected {expected}"),
        }
    }
}

/// Something that is no error but that whoever runs the scenario should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// File name.
    pub file: String,
    /// Line from 1 (the header); 0 where there is none.
    pub line: usize,
    /// What it is about.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.text),
            line => write!(f, "{}:{line}: {}", self.file, self.text),
        }
    }
}

fn shortened(value: &str) -> String {
    match value.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

/// ` (did you mean ...?)` where one of `known` is one letter, or at most a third of its letters, away from `value`; else
/// nothing.
pub(crate) fn suggestion<'a>(value: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    // The distance takes the product of both lengths; nobody mistypes a name longer than this.
    if value.chars().count() > VALUE_CHARS_MAX {
        return String::new();
    }
    let nearest = known.into_iter().map(|name| (distance(value, name), name)).min();
    match nearest {
        Some((far, name)) if far <= (name.chars().count() / 3).max(1) => format!(" (did you mean {name:?}?)"),
        _ => String::new(),
    }
}

/// Letters to add, drop or change (Levenshtein) until `a` reads `b`, whatever the case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        assert_eq!(suggestion("arival", ["arrival", "departure"]), " (did you mean \"arrival\"?)");
        assert_eq!(suggestion("colour", ["arrival", "departure"]), "");
        assert_eq!(suggestion(&"x".repeat(100_000), ["arrival"]), "");
    }

    #[test]
    fn a_long_value_is_shortened_between_letters() {
        let error = ScenarioError::new("a.csv", 2, "b", &"é".repeat(100), "less");
        assert_eq!(error.value.chars().count(), VALUE_CHARS_MAX + 1);
        assert!(error.to_string().starts_with("a.csv:2: b: found"));
    }
}
