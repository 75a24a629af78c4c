//! `provolt deploy` and `provolt verify-deployment`: the contracts on a chain, made by CREATE2, and compared with the build.

use crate::chain::deploy::FEE_BPS_MAX;
use crate::chain::{Arguments, Chain, Deployment, deploy, verify};
use crate::keys::Keyring;
use alloy::primitives::{Address, B256, hex};
use anyhow::{Context, Result, bail, ensure};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Deploys the contracts, or what is missing of them, and writes down where they are.
///
/// The same salt and arguments give the same addresses on every chain; what is there already is kept, and compared with this
/// build. The file is written when everything is there.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// URL of the chain's node
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8545")]
    pub rpc: String,
    /// Key file of who pays for gas; without it the well-known key of a local chain
    #[arg(long, value_name = "FILE", visible_alias = "keys")]
    pub key_file: Option<PathBuf>,
    /// ERC-20 in which everything is paid [default: a token of our own, whose faucet is the operator's]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub credit: Option<Address>,
    /// Who may pause new sessions and bookings, and nothing else [default: the operator]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub guardian: Option<Address>,
    /// Who receives the protocol's fee
    #[arg(long, value_name = "ADDR", requires = "fee_bps", value_parser = address)]
    pub fee_recipient: Option<Address>,
    /// The protocol's share of every bill, in hundredths of a percent
    #[arg(long, value_name = "N", requires = "fee_recipient", value_parser = clap::value_parser!(u16).range(..=i64::from(FEE_BPS_MAX)))]
    pub fee_bps: Option<u16>,
    /// Another number gives other addresses: 1 to 32 bytes in hex
    #[arg(long, value_name = "HEX", default_value = "0x00", value_parser = salt)]
    pub salt: B256,
    /// Where to write the addresses [default: data/deployments/CHAIN_ID.json]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Compares what is on the chain with what this program was built with. Exit code 1 where anything differs.
#[derive(Debug, Clone, clap::Args)]
pub struct VerifyArgs {
    /// Where the contracts are [default: data/deployments/CHAIN_ID.json]
    pub file: Option<PathBuf>,
    /// URL of the chain's node
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8545")]
    pub rpc: String,
}

fn address(text: &str) -> Result<Address, String> {
    let address: Address = text.parse().map_err(|_| "expected an address of 20 bytes in hex".to_owned())?;
    if address.is_zero() { Err("expected an address other than zero".to_owned()) } else { Ok(address) }
}

fn salt(text: &str) -> Result<B256, String> {
    let bytes = hex::decode(text).ok().filter(|b| (1..=32).contains(&b.len()));
    Ok(B256::left_padding_from(&bytes.ok_or("expected 1 to 32 bytes in hex")?))
}

/// Where the addresses on a chain are kept.
pub fn default_file(chain: &Chain) -> PathBuf {
    format!("data/deployments/{}.json", chain.id()).into()
}

/// Deploys, or finds everything there.
pub async fn run(args: &Args, out: &mut impl Write) -> Result<()> {
    let keyring = args.key_file.as_deref().map_or_else(Keyring::local, Keyring::load)?;
    let chain = Chain::connect(&args.rpc, &keyring).await?;
    let operator = Arguments::of(chain.operator());
    let arguments = Arguments {
        salt: args.salt,
        guardian: args.guardian.unwrap_or(operator.guardian),
        fee_recipient: args.fee_recipient.unwrap_or_default(),
        fee_bps: args.fee_bps.unwrap_or_default(),
        credit: args.credit,
        ..operator
    };
    let path = args.out.clone().unwrap_or_else(|| default_file(&chain));
    deploy_to(&chain, &arguments, &path, out).await?;
    Ok(())
}

/// Deploys, and writes the file when all is well.
pub(super) async fn deploy_to(
    chain: &Chain,
    arguments: &Arguments,
    path: &Path,
    out: &mut impl Write,
) -> Result<Deployment> {
    if path.exists() {
        let known = Deployment::read(path)?;
        ensure!(
            known.chain_id == chain.id() && known.arguments == *arguments,
            "{}: names a deployment of chain {} by other arguments ({}); give --out another file, or remove this one",
            path.display(),
            known.chain_id,
            serde_json::to_string(&known.arguments)?
        );
    }
    let done = deploy(chain, arguments).await?;
    done.deployment.save(path)?;
    if done.made.is_empty() {
        writeln!(out, "everything was deployed on chain {} already: {}", chain.id(), path.display())?;
    } else {
        writeln!(out, "deployed on chain {}: {}: {}", chain.id(), done.made.join(", "), path.display())?;
    }
    for (name, address) in done.deployment.addresses() {
        writeln!(out, "  {name:<12} {address}")?;
    }
    if arguments.credit.is_none() {
        writeln!(
            out,
            "the credit token is one of our own, with a faucet of {}; --credit names another",
            arguments.minter
        )?;
    }
    Ok(done.deployment)
}

/// Compares, and names everything that differs.
pub async fn verify(args: &VerifyArgs, out: &mut impl Write) -> Result<ExitCode> {
    let chain = Chain::watch(&args.rpc).await?;
    let path = args.file.clone().unwrap_or_else(|| default_file(&chain));
    let deployment = Deployment::read(&path)?;
    if deployment.chain_id != chain.id() {
        bail!("{}: a deployment on chain {}, but this is chain {}", path.display(), deployment.chain_id, chain.id());
    }
    let findings = verify::verify(&chain, &deployment).await.with_context(|| path.display().to_string())?;
    for finding in &findings {
        let (name, address) = (&finding.name, finding.address);
        match &finding.differs {
            None => writeln!(out, "ok       {name:<16} {address}")?,
            Some(how) => writeln!(out, "DIFFERS  {name:<16} {address}: {how}")?,
        }
    }
    if deployment.arguments.credit.is_some() {
        writeln!(out, "foreign  {:<16} {}: a token of others, not compared", "credit", deployment.credit)?;
    }
    let differ = findings.iter().filter(|f| f.differs.is_some()).count();
    writeln!(out, "{} contracts and libraries, {differ} differ", findings.len())?;
    Ok(if differ == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_salt_is_a_number() {
        assert_eq!(salt("0x01").unwrap(), B256::with_last_byte(1));
        assert_eq!(salt("ff").unwrap(), B256::with_last_byte(255));
        for bad in ["", "0x", "0x1", "salt", &"00".repeat(33)] {
            assert!(salt(bad).is_err(), "{bad:?}");
        }
        assert!(address("0x0000000000000000000000000000000000000000").is_err());
    }
}
