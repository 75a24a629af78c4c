//! Charge points, meters, cars and drivers' phones, as a process of its own.

use anyhow::{Context, Result};
use clap::Parser;
use oracle::devices::{self, Config};
use oracle::keys::Keyring;
use oracle::process;
use std::path::PathBuf;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// Runs the devices of a scenario.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Base URL of the oracle, for example <http://127.0.0.1:8080>.
    #[arg(long)]
    oracle: String,
    /// The scenario as `provolt run` wrote it: scenario.json in its state folder.
    #[arg(long)]
    scenario: PathBuf,
    /// File with the keys of meters and drivers; without it those that everybody knows, for a local chain.
    #[arg(long)]
    keys: Option<PathBuf>,
    /// Makes faults by this seed: lost connections, doubled and late messages. Results stay the same.
    #[arg(long)]
    faults: Option<u64>,
    /// Seconds after which an oracle out of reach is given up.
    #[arg(long, default_value_t = 120)]
    give_up: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let args = Args::parse();
    if let Some(seed) = args.faults {
        tracing::info!(seed, "making faults; repeat them with --faults {seed}");
    }
    let keyring = args.keys.as_deref().map_or_else(Keyring::local, Keyring::load)?;
    let give_up = Duration::from_secs(args.give_up);
    let shown = args.scenario.display();
    let bytes = std::fs::read(&args.scenario).with_context(|| format!("{shown}: cannot read"))?;
    let scenario = serde_json::from_slice(&bytes).with_context(|| format!("{shown}: expected a scenario"))?;
    let config = Config { oracle: args.oracle, scenario, keyring, faults: args.faults, give_up };
    devices::run(config, process::told_to_stop()).await
}
