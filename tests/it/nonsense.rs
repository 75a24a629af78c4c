//! Scenarios that make no sense.

use super::day::{binary, scenario_folder};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::process::Command;

#[test]
fn nonsense_is_refused_by_file_line_and_column_before_anything_happens() -> Result<()> {
    type Spoil = fn(&mut BTreeMap<String, String>);
    fn edit(files: &mut BTreeMap<String, String>, file: &str, change: impl Fn(&str) -> String) {
        let text = files.get(file).map(|t| change(t)).unwrap_or_default();
        files.insert(file.to_owned(), text);
    }
    /// Replaces cell `column` of the first data line.
    fn cell(text: &str, column: &str, value: &str) -> String {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let index = lines[0].split(',').position(|c| c == column).expect("a column of the file");
        let mut cells: Vec<_> = lines[1].split(',').map(str::to_owned).collect();
        cells[index] = value.to_owned();
        lines[1] = cells.join(",");
        lines.join("\n")
    }
    let cases: [(&str, Spoil, &[&str]); 10] = [
        (
            "missing column",
            |f| edit(f, "sessions.csv", |t| t.replacen("energy_wh", "energy", 1)),
            &["sessions.csv", "energy_wh"],
        ),
        (
            "unknown group",
            |f| edit(f, "sitemap.csv", |t| cell(t, "parent", "nowhere")),
            &["sitemap.csv", "2", "parent", "nowhere"],
        ),
        (
            "departure before arrival",
            |f| edit(f, "sessions.csv", |t| cell(t, "departure", "2001-01-01T00:00:00Z")),
            &["sessions.csv", "2", "departure"],
        ),
        (
            "duplicate id",
            |f| edit(f, "drivers.csv", |t| format!("{}\n{}\n", t.trim_end(), t.lines().nth(1).unwrap_or_default())),
            &["drivers.csv", "driver"],
        ),
        (
            "negative power",
            |f| edit(f, "site.csv", |t| cell(t, "limit_import_w", "-5")),
            &["site.csv", "2", "limit_import_w", "-5"],
        ),
        (
            "NaN",
            |f| edit(f, "signals.csv", |t| cell(t, "import_price_micro_per_kwh", "NaN")),
            &["signals.csv", "2", "NaN"],
        ),
        (
            "wrong time zone",
            |f| edit(f, "site.csv", |t| cell(t, "time_zone", "Europe/Atlantis")),
            &["site.csv", "2", "time_zone", "Europe/Atlantis"],
        ),
        ("empty file", |f| edit(f, "signals.csv", |_| String::new()), &["signals.csv"]),
        (
            "a 100 MB line",
            |f| edit(f, "sessions.csv", |t| format!("{}\n{}", t.trim_end(), "x".repeat(100_000_000))),
            &["sessions.csv", "line"],
        ),
        (
            "cycle in the group tree",
            |f| {
                edit(f, "sitemap.csv", |t| {
                    let site = t.lines().nth(1).and_then(|l| l.split(',').next()).unwrap_or_default();
                    let columns = t.lines().next().unwrap_or_default().split(',').count();
                    let group =
                        |id: &str, parent: &str| format!("{site},group,{id},{parent}{}", ",".repeat(columns - 4));
                    format!("{}\n{}\n{}\n", t.trim_end(), group("ring-a", "ring-b"), group("ring-b", "ring-a"))
                });
            },
            &["sitemap.csv"],
        ),
    ];
    for (name, spoil, expected) in cases {
        let folder = tempfile::tempdir()?;
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(scenario_folder("quickstart"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "csv") {
                let file = path.file_name().context("a file without name")?.to_string_lossy().into_owned();
                files.insert(file, std::fs::read_to_string(&path)?);
            }
        }
        spoil(&mut files);
        let scenario = folder.path().join("spoiled");
        std::fs::create_dir(&scenario)?;
        for (file, text) in &files {
            std::fs::write(scenario.join(file), text)?;
        }
        let state = folder.path().join("state");
        let output = Command::new(binary("provolt")?).arg("run").arg(&scenario).arg("--state").arg(&state).output()?;
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{name}: {message}");
        for word in expected {
            assert!(message.contains(word), "{name}: {word:?} is missing in: {message}");
        }
        assert!(message.len() < 2_000, "{name}: a message of {} bytes", message.len());
        assert!(!state.exists(), "{name}: something was written");
    }
    Ok(())
}
