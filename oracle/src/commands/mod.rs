//! What the command line does besides running a day. Each command takes its parsed arguments and a writer.

pub mod claim;
pub mod deploy;
pub mod dispute;
pub mod explain;
pub mod history;
pub mod plans;
pub mod register;
pub mod replay;
pub mod session;
pub mod status;
pub mod submit;
pub mod verify;

use crate::chain::{Chain, Deployment, Protocol};
use crate::keys::Keyring;
use alloy::primitives::B256;
use anyhow::{Context, Result, ensure};
use chrono::{DateTime, SecondsFormat};
use clap::Args;
use optimizer::units::{Micro, UnixTime};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Which chain, which contracts, whose keys.
#[derive(Debug, Clone, Args)]
pub struct ChainArgs {
    /// URL of the chain's node
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8545")]
    pub rpc: String,
    /// Key file; without it the well-known keys of a local chain
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// Where the contracts are; without it data/deployments/CHAIN_ID.json
    #[arg(long, value_name = "FILE")]
    pub deployment: Option<PathBuf>,
}

impl ChainArgs {
    /// Connects with the keys asked for.
    pub async fn connect(&self) -> Result<(Chain, Keyring)> {
        let keyring = match &self.keys {
            Some(path) => Keyring::load(path)?,
            None => Keyring::local()?,
        };
        let chain = Chain::connect(&self.rpc, &keyring).await?;
        Ok((chain, keyring))
    }

    /// The deployment file.
    pub fn deployment_file(&self, chain: &Chain) -> PathBuf {
        self.deployment.clone().unwrap_or_else(|| deploy::default_file(chain))
    }

    /// Connects to contracts that are there.
    pub async fn protocol(&self) -> Result<(Protocol, Keyring)> {
        let (chain, keyring) = self.connect().await?;
        let path = self.deployment_file(&chain);
        let deployment = Deployment::load(&path, &chain).await.context("no contracts: run `provolt deploy` first")?;
        Ok((Protocol::new(chain, deployment), keyring))
    }
}

/// Which chain and which contracts, to look at only: no keys.
#[derive(Debug, Clone, Args)]
pub struct WatchArgs {
    /// URL of the chain's node
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8545")]
    pub rpc: String,
    /// Where the contracts are; without it data/deployments/CHAIN_ID.json
    #[arg(long, value_name = "FILE")]
    pub deployment: Option<PathBuf>,
}

impl WatchArgs {
    /// The contracts that the file names. Whether they are there is for whoever asks to find out.
    pub async fn protocol(&self) -> Result<Protocol> {
        let chain = Chain::watch(&self.rpc).await?;
        let path = self.deployment.clone().unwrap_or_else(|| deploy::default_file(&chain));
        let deployment = Deployment::read(&path)?;
        let (named, here) = (deployment.chain_id, chain.id());
        ensure!(named == here, "{}: a deployment on chain {named}, but this is chain {here}", path.display());
        Ok(Protocol::new(chain, deployment))
    }
}

/// Clear-text ids by their hashes, from the registration events.
async fn clear_names(protocol: &Protocol) -> Result<BTreeMap<B256, String>> {
    let mut names = BTreeMap::new();
    for site in protocol.sites_registered().await? {
        names.insert(site.event.site, site.event.clearId);
    }
    for asset in protocol.assets_registered(None).await? {
        names.insert(asset.event.asset, asset.event.clearId);
    }
    Ok(names)
}

fn name_of(names: &BTreeMap<B256, String>, id: B256) -> String {
    names.get(&id).cloned().unwrap_or_else(|| id.to_string())
}

/// `2026-06-16T05:00:00Z`.
fn rfc3339(time: UnixTime) -> String {
    DateTime::from_timestamp(time.0, 0)
        .map_or_else(|| format!("{time} s"), |t| t.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// Micro-credits as credits with six decimals.
fn credits(amount: Micro) -> String {
    let sign = if amount.0 < 0 { "-" } else { "" };
    let units = amount.0.unsigned_abs();
    format!("{sign}{}.{:06}", units / 1_000_000, units % 1_000_000)
}
