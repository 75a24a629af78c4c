//! Where the contracts are, and how they come to be there.

use super::Chain;
use super::transact::Draft;
use crate::abi::ISettlement;
use alloy::primitives::{Address, B256, TxKind, U256};
use alloy::providers::Provider;
use alloy::sol_types::SolValue;
use anyhow::{Context, Result, anyhow, ensure};
use optimizer::units::UnixTime;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::{Duration, Instant};

/// The largest contract with the token it deploys costs about 6 million gas; EIP-7825 allows a transaction 16.7 million.
const GAS_DEPLOY: u64 = 12_000_000;
/// A foreign chain may take a few blocks for four transactions.
pub(super) const MINING_TIMEOUT: Duration = Duration::from_secs(180);

/// Bytecode of the contracts, as `build.rs` compiled it.
pub mod bytecode {
    macro_rules! contract {
        ($($(#[$doc:meta])* $name:ident $file:literal),+ $(,)?) => {$(
            $(#[$doc])*
            pub const $name: (&[u8], &[u8]) = (
                include_bytes!(concat!(env!("OUT_DIR"), "/", $file, ".creation")),
                include_bytes!(concat!(env!("OUT_DIR"), "/", $file, ".runtime")),
            );
        )+};
    }
    contract! {
        /// Creation and runtime code; the runtime code has zeros for its immutables.
        CREDIT "CreditToken",
        /// As above.
        FLEXIBILITY "FlexibilityToken",
        /// As above.
        REGISTRY "AssetRegistry",
        /// As above.
        DISPATCH "Dispatch",
        /// As above.
        SETTLEMENT "Settlement",
    }
}

/// The contracts' addresses on one chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// The chain.
    pub chain_id: u64,
    /// Block of the last contract: there is nothing to look for before it.
    pub block: u64,
    /// Credit token.
    pub credit: Address,
    /// Asset registry.
    pub registry: Address,
    /// Dispatch.
    pub dispatch: Address,
    /// Settlement.
    pub settlement: Address,
    /// Flexibility token.
    pub flexibility: Address,
}

impl Deployment {
    /// Reads a deployment and makes sure that it is one of this chain: every address has code, and the contracts name one
    /// another.
    pub async fn load(path: &Path, chain: &Chain) -> Result<Self> {
        let file = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("{file}: cannot read"))?;
        let deployment: Self = serde_json::from_str(&text).with_context(|| format!("{file}: no deployment"))?;
        deployment.validate(chain).await.with_context(|| format!("{file}"))?;
        Ok(deployment)
    }

    /// See [`Deployment::load`].
    pub async fn validate(&self, chain: &Chain) -> Result<()> {
        ensure!(
            self.chain_id == chain.id(),
            "a deployment on chain {}, but this is chain {}",
            self.chain_id,
            chain.id()
        );
        for (name, address) in self.addresses() {
            let code = chain.provider.get_code_at(address).await.context("code")?;
            ensure!(!code.is_empty(), "{name}: no contract at {address} on chain {}", self.chain_id);
        }
        let settlement = ISettlement::new(self.settlement, &chain.provider);
        let (credit, flexibility) = (settlement.credit().call().await?, settlement.flexibility().call().await?);
        ensure!(credit == self.credit, "settlement is paid in {credit}, not in {}", self.credit);
        ensure!(flexibility == self.flexibility, "settlement rewards in {flexibility}, not in {}", self.flexibility);
        Ok(())
    }

    /// Writes it for [`Deployment::load`], in one step, so that a kill leaves no half of it.
    pub fn save(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot create", folder.display()))?;
        }
        let temporary = path.with_extension("json.part");
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(&temporary, text).with_context(|| format!("{}: cannot write", temporary.display()))?;
        std::fs::rename(&temporary, path).with_context(|| format!("{}: cannot write", path.display()))
    }

    fn addresses(&self) -> [(&'static str, Address); 5] {
        [
            ("credit", self.credit),
            ("registry", self.registry),
            ("dispatch", self.dispatch),
            ("settlement", self.settlement),
            ("flexibility", self.flexibility),
        ]
    }
}

/// Deploys all contracts by the operator, who becomes the minter of the credit token.
pub async fn deploy(chain: &Chain) -> Result<Deployment> {
    let operator = chain.operator();
    let first = chain.next_nonce().await?;
    let (credit, registry, settlement) =
        (operator.create(first), operator.create(first + 1), operator.create(first + 3));
    let steps = [
        ("CreditToken", bytecode::CREDIT.0, operator.abi_encode()),
        ("AssetRegistry", bytecode::REGISTRY.0, Vec::new()),
        ("Dispatch", bytecode::DISPATCH.0, registry.abi_encode()),
        ("Settlement", bytecode::SETTLEMENT.0, (registry, credit).abi_encode_params()),
    ];
    let head = chain.head().await?;
    let mut hashes: Vec<B256> = Vec::new();
    for (nonce, (_, code, arguments)) in (first..).zip(&steps) {
        let input = [*code, arguments.as_slice()].concat().into();
        let draft = Draft { to: TxKind::Create, value: U256::ZERO, input, gas_limit: GAS_DEPLOY };
        let prepared = chain.sign(&chain.operator, nonce, &head, draft)?;
        chain.send(&prepared).await?;
        hashes.push(prepared.hash);
    }
    chain.mine_at(UnixTime(0)).await?;
    let outcomes = chain.await_outcomes(&hashes, Instant::now() + MINING_TIMEOUT).await?;
    for ((name, ..), outcome) in steps.iter().zip(&outcomes) {
        outcome.result.as_ref().map_err(|reason| anyhow!("{name}: not deployed: {reason}"))?;
    }
    let deployment = Deployment {
        chain_id: chain.id(),
        block: outcomes.iter().map(|o| o.block).max().unwrap_or_default(),
        credit,
        registry,
        dispatch: operator.create(first + 2),
        settlement,
        flexibility: ISettlement::new(settlement, &chain.provider).flexibility().call().await?,
    };
    deployment.validate(chain).await?;
    Ok(deployment)
}
