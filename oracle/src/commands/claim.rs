//! `provolt claim`: pays out what bills of a site came to and nobody can dispute any more. Anyone may ask for it, so no
//! owner's key is needed: the operator's transaction goes through the outbox of a state folder, like all of a run's.

use super::{ChainArgs, credits};
use crate::abi::ISettlement::Claimed;
use crate::chain::{Call, Outcome, Prepared, Protocol};
use crate::signing;
use crate::store::Store;
use alloy::primitives::B256;
use alloy::sol_types::SolEvent;
use anyhow::{Context, Result, anyhow, ensure};
use optimizer::units::{Micro, UnixTime};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A foreign chain may take a few blocks.
const OUTCOME_TIMEOUT: Duration = Duration::from_secs(180);

/// Arguments of `provolt claim`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Id of the site, for example DE*PVT*QUICKSTART
    pub site: String,
    /// Folder with the outbox: that of the operator's last run, which must not be under way
    #[arg(long, value_name = "FOLDER", default_value = "run/claims")]
    pub state: PathBuf,
    /// Which chain
    #[command(flatten)]
    pub chain: ChainArgs,
}

/// Claims, or says that there is nothing to claim yet.
pub async fn run(args: &Args, out: &mut impl Write) -> Result<()> {
    let (protocol, _) = args.chain.protocol().await?;
    let id = signing::id(&args.site);
    ensure!(protocol.site(id).await?.is_some(), "SITE: {}: not registered on chain {}", args.site, protocol.chain.id());
    std::fs::create_dir_all(&args.state).with_context(|| format!("{}: cannot create", args.state.display()))?;
    let store = Store::open(&args.state)?;
    let money = protocol.claimable(id).await?;
    if money.claimable == Micro::ZERO {
        writeln!(out, "{}: nothing to claim yet, {} can still be disputed", args.site, credits(money.pending))?;
        return Ok(());
    }
    let outcome = claim(&protocol, &store, id, money.claimable).await?;
    let logs = outcome.result.map_err(|reason| anyhow!("{}: refused: {reason}", args.site))?;
    let claimed = logs.iter().find_map(|log| Claimed::decode_log(log).ok()).context("a claim without its event")?;
    let amount = |n: alloy::primitives::U256| anyhow::Ok(credits(Micro(i64::try_from(n)?)));
    writeln!(
        out,
        "{}: {} to the owner {}, {} to the operator, {} to the protocol; {} can still be disputed",
        args.site,
        amount(claimed.amount)?,
        claimed.owner,
        amount(claimed.operatorFee)?,
        amount(claimed.protocolFee)?,
        credits(protocol.claimable(id).await?.pending)
    )?;
    Ok(())
}

/// One claim per site and amount: asked again after a kill, it is the same transaction that is sent again; refused because
/// somebody else was faster, it does not stand in the way of the next.
async fn claim(protocol: &Protocol, store: &Store, site: B256, amount: Micro) -> Result<Outcome> {
    let chain = &protocol.chain;
    let count = protocol.claims(Some(site)).await?.len();
    let key = format!("claim/{}/{}/{site}/{count}/{amount}", chain.id(), protocol.deployment.settlement);
    let prepared = match store.outbox_get::<Prepared>(&key)? {
        Some(prepared) => prepared,
        None => {
            let call = Call::Claim { site };
            let nonce = chain.next_nonce().await?.max(store.outbox_next_nonce()?.unwrap_or_default());
            let prepared = protocol.prepare(&call, nonce).await?;
            store.outbox_put(&key, call.kind(), nonce, &prepared)?;
            prepared
        }
    };
    chain.send(&prepared).await?;
    chain.mine_at(UnixTime(0)).await?;
    let outcome = chain.await_outcomes(&[prepared.hash], Instant::now() + OUTCOME_TIMEOUT).await?.remove(0);
    store.outbox_settle(&key, &outcome)?;
    Ok(outcome)
}
