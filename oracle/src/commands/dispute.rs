//! `provolt dispute`: doubts a reward for flexibility.

use super::session::SessionName;
use super::{ChainArgs, credits};
use crate::chain::rewards::Doubt;
use anyhow::{Context, Result};
use optimizer::units::Micro;
use std::io::Write;
use std::process::ExitCode;

/// Has the contract look whether a session's flexibility can have been worth what was claimed, and lowers the reward where it
/// cannot. Exit code 1 where it can.
///
/// Readings and plans are read from what was posted on the chain; nothing else is needed, and anyone may do it.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The id of the session or of its receipt, as `provolt history` lists them, or its first digits
    #[arg(value_name = "SESSION")]
    pub session: SessionName,
    /// Sign as this person instead of the operator
    #[arg(long = "as", value_name = "NAME")]
    pub sign_as: Option<String>,
    /// Which chain
    #[command(flatten)]
    pub chain: ChainArgs,
}

/// See [`Args`].
pub async fn run(args: &Args, out: &mut impl Write) -> Result<ExitCode> {
    let (protocol, keyring) = args.chain.protocol().await?;
    let key = args.sign_as.as_deref().map_or_else(|| Ok(protocol.chain.operator_key()), |name| keyring.person(name))?;
    let session = args.session.find(&protocol).await?;
    let title = format!("session {session}");
    let tokens = |units: u128| anyhow::Ok(credits(Micro(i64::try_from(units).context("a reward beyond 64 bits")?)));
    match protocol.dispute_reward(&key, session).await.with_context(|| title.clone())? {
        Doubt::Corrected { from, to } => {
            writeln!(out, "{title}: {} tokens were claimed, corrected to {}", tokens(from)?, tokens(to)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Doubt::Holds(reason) => {
            writeln!(out, "{title}: the reward holds: {reason}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}
