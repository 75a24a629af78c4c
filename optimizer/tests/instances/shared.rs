//! Real data, which is never part of the repository.

use std::path::PathBuf;

/// The folder of real data, where there is one: beside the workspace, or named by the environment.
pub(crate) fn shared(file: &str) -> Option<Vec<u8>> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data"));
    let path = std::env::var_os("PROVOLT_SHARED_DATA").map_or_else(beside, PathBuf::from).join(file);
    if !path.exists() {
        println!("skipped: no {file} (set PROVOLT_SHARED_DATA to the folder of field data)");
        return None;
    }
    Some(std::fs::read(path).unwrap())
}
