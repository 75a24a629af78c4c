//! Files: what users give us in, whole files out.

use anyhow::{Context, Result, ensure};
use optimizer::scenario::{FILES, HISTORY_FILE, Scenario, Warning, parse};
use std::collections::BTreeMap;
use std::path::Path;

/// Largest file that is read: a year of quarter hours for 1,000 assets is below it.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Reads a text or table, with its path in every error.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let file = path.display();
    let size = std::fs::metadata(path).with_context(|| format!("{file}: cannot read"))?.len();
    ensure!(size <= FILE_BYTES_MAX, "{file}: {size} bytes, at most {FILE_BYTES_MAX} are read");
    std::fs::read(path).with_context(|| format!("{file}: cannot read"))
}

/// Reads the scenario in a folder, which gives it its name.
pub fn load_scenario(folder: &Path) -> Result<(Scenario, Vec<Warning>)> {
    let shown = folder.display();
    ensure!(folder.is_dir(), "{shown}: no such folder; a scenario is a folder of CSV files");
    let name = folder.canonicalize().ok().and_then(|f| Some(f.file_name()?.to_string_lossy().into_owned()));
    let mut files = BTreeMap::new();
    for file in FILES.into_iter().chain([HISTORY_FILE]) {
        let path = folder.join(file);
        // A file that is missing is the parser's to name.
        if path.exists() {
            files.insert(file.to_owned(), read(&path)?);
        }
    }
    parse(&name.unwrap_or_default(), &files).with_context(|| format!("scenario {shown}"))
}

macro_rules! quickstart {
    ($($name:literal),*) => {
        [$(($name, include_bytes!(concat!("../../data/scenarios/quickstart/", $name)).as_slice())),*]
    };
}

/// The quickstart day, built in.
pub fn embedded_scenario() -> Result<(Scenario, Vec<Warning>)> {
    let files = quickstart!["site.csv", "sitemap.csv", "drivers.csv", "sessions.csv", "signals.csv"];
    let files = files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).collect();
    parse("quickstart", &files).context("built-in scenario")
}

/// Writes a file whole or not at all.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let beside = path.with_extension("new");
    let written = std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, path));
    written.with_context(|| format!("{}: cannot write", path.display()))
}
