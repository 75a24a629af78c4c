//! The rules of the house that ARCHITECTURE.md states as absences, held against the sources.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// Rust sources below a folder of the workspace.
fn sources(folder: &str) -> Result<Vec<(String, String)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(next) = folders.pop() {
        if next.is_file() {
            found.push(next);
            continue;
        }
        for entry in std::fs::read_dir(&next).with_context(|| next.display().to_string())? {
            folders.push(entry?.path());
        }
    }
    let text = |path: PathBuf| -> Result<(String, String)> {
        let name = path.strip_prefix(&root)?.display().to_string();
        Ok((name, std::fs::read_to_string(&path)?))
    };
    found.into_iter().filter(|p| p.extension().is_some_and(|e| e == "rs" || e == "sol")).map(text).collect()
}

/// Code without tests and comments.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn nowhere(folder: &str, words: &[&str], except: &[&str]) -> Result<()> {
    let files = sources(folder)?;
    ensure!(!files.is_empty(), "{folder}: no sources");
    for (name, text) in files.iter().filter(|(name, _)| !except.iter().any(|e| name.contains(e))) {
        for word in words {
            ensure!(!code(text).contains(word), "{name} has {word:?}");
        }
    }
    Ok(())
}

#[test]
fn the_core_touches_no_world() -> Result<()> {
    let world = ["std::fs", "std::net", "std::env", "Instant::now", "SystemTime", "tokio", "HashMap", "HashSet"];
    nowhere("optimizer/src", &world, &["src/main.rs"])
}

#[test]
fn floats_and_the_solver_stay_in_solve() -> Result<()> {
    nowhere("optimizer/src", &["f64", "f32", "good_lp", "highs_sys"], &["src/solve/"])
}

#[test]
fn check_shares_no_code_with_solve() -> Result<()> {
    let planner = ["crate::solve", "crate::draft", "crate::fallback", "crate::amounts", "crate::network"];
    nowhere("optimizer/src/check", &planner, &[])
}

#[test]
fn only_the_solver_s_face_is_unsafe() -> Result<()> {
    for folder in ["optimizer/src", "oracle/src", "tests/it"] {
        nowhere(folder, &[concat!("unsafe", " {"), concat!("unsafe", "_code")], &["src/solve/highs.rs"])?;
    }
    Ok(())
}

#[test]
fn edges_do_not_know_one_another() -> Result<()> {
    let edges = ["chain", "ocpp", "store", "http", "clock"];
    for edge in edges {
        let folder = format!("oracle/src/{edge}");
        let place = if Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(&folder).is_dir() {
            folder
        } else {
            folder + ".rs"
        };
        let others: Vec<_> = edges.iter().filter(|e| **e != edge).map(|e| format!("crate::{e}")).collect();
        nowhere(&place, &others.iter().map(String::as_str).collect::<Vec<_>>(), &["tests.rs"])?;
    }
    Ok(())
}

#[test]
fn an_audit_asks_nobody() -> Result<()> {
    let world = ["std::fs", "std::net", "std::env", "Instant::now", "tokio", "async ", "::providers", "crate::chain"];
    nowhere("oracle/src/audit", &world, &[])
}

#[test]
fn the_interface_imports_nothing() -> Result<()> {
    nowhere("contracts/src/IProtocol.sol", &["import "], &[])
}

#[test]
fn only_the_clock_reads_the_wall() -> Result<()> {
    nowhere("oracle/src", &["SystemTime"], &["clock.rs"])
}

/// Everything that git keeps, by name.
fn tracked() -> Result<Vec<PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let listed = std::process::Command::new("git").args(["ls-files", "-z"]).current_dir(&root).output()?;
    ensure!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    Ok(String::from_utf8(listed.stdout)?.split_terminator('\0').map(|name| root.join(name)).collect())
}

#[test]
fn nothing_but_ci_names_a_place_outside_of_the_repository() -> Result<()> {
    let outside = [concat!("../", "shared"), concat!("shared", "/data"), concat!("/", "work/"), concat!("/", "root/")];
    for path in tracked()?.iter().filter(|path| path.is_file() && !path.ends_with(".ci/run")) {
        let bytes = std::fs::read(path)?;
        let text = String::from_utf8_lossy(&bytes);
        for place in outside {
            ensure!(!text.contains(place), "{} names {place}", path.display());
        }
    }
    Ok(())
}
