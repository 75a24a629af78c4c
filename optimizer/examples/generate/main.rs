//! Writes the scenarios of `data/scenarios` again: `cargo run -p optimizer --example generate -- --out data/scenarios`.
//!
//! Same seed, same bytes; a test compares them with the committed files.

#![allow(clippy::disallowed_methods, reason = "an example is a shell around the core: it may touch files")]

mod scenarios;

use clap::Parser;
use std::path::PathBuf;

/// Generates the example scenarios.
#[derive(Parser)]
struct Arguments {
    /// Folder that gets one folder per scenario.
    #[arg(long, default_value = "data/scenarios")]
    out: PathBuf,
    /// Seed of all random draws.
    #[arg(long, default_value_t = scenarios::SEED)]
    seed: u64,
    /// Only this scenario.
    #[arg(long)]
    only: Option<String>,
}

fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    println!("seed {}", arguments.seed);
    for scenario in scenarios::all(arguments.seed) {
        if arguments.only.as_ref().is_some_and(|only| *only != scenario.name) {
            continue;
        }
        let folder = arguments.out.join(&scenario.name);
        std::fs::create_dir_all(&folder)?;
        for (name, bytes) in optimizer::scenario::write(&scenario) {
            std::fs::write(folder.join(name), bytes)?;
        }
        println!("{}: {} sites, {} sessions", folder.display(), scenario.sites.len(), scenario.sessions.len());
    }
    Ok(())
}
