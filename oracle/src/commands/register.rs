//! `provolt register`: deploys the contracts where there are none, and brings a scenario's facts onto the chain.

use super::{ChainArgs, deploy};
use crate::chain::register::register;
use crate::chain::{Arguments, Deployment, Protocol};
use crate::files;
use anyhow::Result;
use std::io::Write;
use std::path::PathBuf;

/// Arguments of `provolt register`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Folder of the scenario
    pub scenario: PathBuf,
    /// Which chain
    #[command(flatten)]
    pub chain: ChainArgs,
}

/// Deploys, registers, and says what was done. Running it again changes nothing.
pub async fn run(args: &Args, out: &mut impl Write) -> Result<()> {
    let (scenario, warnings) = files::load_scenario(&args.scenario)?;
    for warning in warnings {
        writeln!(out, "warning: {warning}")?;
    }
    let (chain, keyring) = args.chain.connect().await?;
    let path = args.chain.deployment_file(&chain);
    let deployment = if path.exists() {
        Deployment::load(&path, &chain).await?
    } else {
        deploy::deploy_to(&chain, &Arguments::of(chain.operator()), &path, out).await?
    };
    let done = register(&Protocol::new(chain, deployment), &scenario, &keyring).await?;
    writeln!(out, "{}: {done}", scenario.name)?;
    if done.thresholds_skipped > 0 {
        let skipped = done.thresholds_skipped;
        writeln!(out, "{skipped} drivers must set their low-balance thresholds themselves: that takes their own gas")?;
    }
    Ok(())
}
