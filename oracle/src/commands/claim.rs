//! `provolt claim`: pays out what bills of a site came to and nobody can dispute any more, and the tokens that its drivers
//! have earned; gives bonds back, and claims the flexibility that had to wait for that.

use super::{ChainArgs, credits};
use crate::payout::pay_out;
use crate::signing;
use crate::store::Store;
use crate::table::scored;
use anyhow::{Context, Result, ensure};
use optimizer::units::Micro;
use std::io::Write;
use std::path::PathBuf;

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

/// Pays out, or says that there is nothing to pay out yet.
pub async fn run(args: &Args, out: &mut impl Write) -> Result<()> {
    let (protocol, _) = args.chain.protocol().await?;
    let id = signing::id(&args.site);
    ensure!(protocol.site(id).await?.is_some(), "SITE: {}: not registered on chain {}", args.site, protocol.chain.id());
    std::fs::create_dir_all(&args.state).with_context(|| format!("{}: cannot create", args.state.display()))?;
    let store = Store::open(&args.state)?;
    let paid = pay_out(&protocol, &store, id).await.with_context(|| args.site.clone())?;
    if paid.released > 0 {
        writeln!(out, "{}: {} plans released", args.site, paid.released)?;
    }
    if paid.late > 0 {
        writeln!(out, "{}: flexibility of {} sessions claimed", args.site, paid.late)?;
    }
    let pending = credits(protocol.claimable(id).await?.pending);
    match paid.claimed {
        None => writeln!(out, "{}: nothing to claim yet, {pending} can still be disputed", args.site)?,
        Some(claimed) => {
            let amount = |n: alloy::primitives::U256| anyhow::Ok(credits(Micro(i64::try_from(n)?)));
            writeln!(
                out,
                "{}: {} to the owner {}, {} to the operator, {} to the protocol; {pending} can still be disputed",
                args.site,
                amount(claimed.amount)?,
                claimed.owner,
                amount(claimed.operatorFee)?,
                amount(claimed.protocolFee)?,
            )?;
        }
    }
    if paid.rewards > 0 {
        writeln!(out, "{}: {} tokens to the drivers of {} sessions", args.site, credits(paid.minted), paid.rewards)?;
    }
    for line in scored(&args.site, &paid.scored) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
