//! Real data from the field, which is never part of the repository.

use std::io::Write;
use std::path::PathBuf;

/// A file below the folder that `PROVOLT_DATA` names, or none and a line that says so. A test without it is skipped.
pub(crate) fn field(file: &str) -> Option<Vec<u8>> {
    let Some(folder) = std::env::var_os("PROVOLT_DATA").map(PathBuf::from) else {
        // Not by `eprintln!`, which the test harness keeps to itself.
        let line = format!("skipped: {file} is not at hand (PROVOLT_DATA names the folder of real data)\n");
        std::io::stderr().write_all(line.as_bytes()).expect("standard error");
        return None;
    };
    let path = folder.join(file);
    Some(std::fs::read(&path).unwrap_or_else(|error| panic!("PROVOLT_DATA: {}: {error}", path.display())))
}
