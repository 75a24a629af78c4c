//! The chain as one edge of the oracle. In reading order: a connection ([`Chain`]), a local node ([`anvil`]), what is sent
//! ([`transact`]) and why it was refused ([`revert`]), the contracts' code ([`bytecode`]), their addresses ([`mod@deploy`]) and
//! whether they are what was built ([`verify`]), what they know ([`views`]), what was posted for a site (`history`), rules and
//! challenges of plans ([`plans`], `stored`), disputes of rewards ([`rewards`]), scores of forecasts ([`scores`]), what has
//! happened ([`events`]; all of it in order, for an audit: `walk`) and how they come to know a scenario ([`register`]).

pub mod anvil;
mod batch;
pub mod bytecode;
pub mod deploy;
pub mod events;
mod facts;
mod history;
pub mod plans;
pub mod register;
pub mod revert;
pub mod rewards;
pub mod scores;
mod stored;
pub mod transact;
pub mod verify;
pub mod views;
mod walk;

pub use deploy::{Arguments, Deployed, Deployment, deploy};
pub use events::Logged;
pub use revert::RevertReason;
pub use transact::{Call, Outcome, Prepared};
pub use views::Protocol;

use crate::keys::Keyring;
use alloy::consensus::BlockHeader;
use alloy::eips::BlockNumberOrTag;
use alloy::network::primitives::HeaderResponse;
use alloy::primitives::Address;
use alloy::providers::{DynProvider, Provider, ProviderBuilder};
use alloy::rpc::client::ClientBuilder;
use alloy::signers::local::PrivateKeySigner;
use alloy::transports::http::reqwest::{Client, Url};
use alloy::transports::layers::{RetryBackoffLayer, RetryPolicy};
use alloy::transports::{RpcError, TransportError};
use anyhow::{Context, Result};
use optimizer::units::UnixTime;
use serde_json::{Value, json};
use std::time::Duration;

/// No request to a node takes longer: a block of a whole registration runs for about a second on a busy machine.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// How often a request that got no answer is sent again; every request is written so that it may arrive twice.
const REQUEST_RETRIES: u32 = 4;
/// Pause before each of them: four bridge the restart of a node behind a proxy.
const RETRY_PAUSE_MS: u64 = 400;
/// Larger than any budget, which leaves pacing to the node: the layer that retries would otherwise pace by its own guess.
const COMPUTE_UNITS_PER_SECOND: u64 = 1_000_000;
/// A base fee grows by at most an eighth per block, so a transaction stays acceptable for 12 full blocks.
const BASE_FEE_HEADROOM: u128 = 4;
/// Tip where the node suggests none: one gwei.
const DEFAULT_TIP: u128 = 1_000_000_000;
/// A transaction counts once its block is the newest one.
const DEFAULT_CONFIRMATIONS: u64 = 1;

/// A connection to one node, and the account that signs.
#[derive(Debug, Clone)]
pub struct Chain {
    provider: DynProvider,
    operator: PrivateKeySigner,
    chain_id: u64,
    clock_driven: bool,
    tip: u128,
    /// Blocks that must stand on a transaction, its own included, before its outcome counts.
    pub confirmations: u64,
}

/// The newest block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub number: u64,
    /// Its time.
    pub time: UnixTime,
    base_fee: u128,
    /// Most gas of a block.
    gas_limit: u64,
}

impl Chain {
    /// Connects to a node over HTTP and refuses well-known keys on a foreign chain.
    pub async fn connect(rpc: &str, keyring: &Keyring) -> Result<Self> {
        let chain = Self::open(rpc, keyring.operator().clone()).await?;
        keyring.ensure_fit_for(chain.chain_id)?;
        Ok(chain)
    }

    /// Connects to a node to look only, by a key that nobody has.
    pub async fn watch(rpc: &str) -> Result<Self> {
        Self::open(rpc, PrivateKeySigner::random()).await
    }

    async fn open(rpc: &str, operator: PrivateKeySigner) -> Result<Self> {
        let url: Url = rpc.parse().with_context(|| format!("{rpc}: expected a URL like http://127.0.0.1:8545"))?;
        let client = Client::builder().timeout(REQUEST_TIMEOUT).build()?;
        let retry = RetryBackoffLayer::new_with_policy(
            REQUEST_RETRIES,
            RETRY_PAUSE_MS,
            COMPUTE_UNITS_PER_SECOND,
            RetryUnanswered,
        );
        let client = ClientBuilder::default().layer(retry).http_with_client(client, url);
        let provider = ProviderBuilder::new().disable_recommended_fillers().connect_client(client).erased();
        let chain_id = provider.get_chain_id().await.with_context(|| format!("{rpc}: no chain answers there"))?;
        let version = provider.get_client_version().await.unwrap_or_default();
        let tip = provider.get_max_priority_fee_per_gas().await.unwrap_or(DEFAULT_TIP);
        Ok(Self {
            provider,
            operator,
            chain_id,
            clock_driven: version.starts_with("anvil/"),
            tip,
            confirmations: DEFAULT_CONFIRMATIONS,
        })
    }

    /// The chain's id.
    pub fn id(&self) -> u64 {
        self.chain_id
    }

    /// Address of the account that signs.
    pub fn operator(&self) -> Address {
        self.operator.address()
    }

    /// The operator's key, for commands that let others sign instead.
    pub fn operator_key(&self) -> PrivateKeySigner {
        self.operator.clone()
    }

    /// Whether the node lets us set its time and mine (Anvil). A foreign chain runs at wall time.
    pub fn clock_driven(&self) -> bool {
        self.clock_driven
    }

    /// Takes over mining and time on a node that allows it; does nothing elsewhere.
    pub async fn drive_clock(&self) -> Result<()> {
        if self.clock_driven {
            self.anvil("evm_setAutomine", json!([false])).await?;
            self.anvil("evm_setIntervalMining", json!([0])).await?;
            // Its log would grow by a line for every request of a day.
            self.anvil("anvil_setLoggingEnabled", json!([false])).await?;
        }
        Ok(())
    }

    /// The newest block.
    pub async fn head(&self) -> Result<Head> {
        let block = self.provider.get_block_by_number(BlockNumberOrTag::Latest).await.context("newest block")?;
        let header = block.context("the node has no newest block")?.header;
        Ok(Head {
            number: header.number(),
            time: UnixTime(i64::try_from(header.timestamp()).context("block time")?),
            base_fee: u128::from(header.base_fee_per_gas().unwrap_or_default()),
            gas_limit: header.gas_limit(),
        })
    }

    /// Hash of a block, to notice that the chain was reorganised; `None` where it has no such block.
    pub async fn block_hash(&self, number: u64) -> Result<Option<alloy::primitives::B256>> {
        let block = self.provider.get_block_by_number(number.into()).await.context("block")?;
        Ok(block.map(|b| b.header.hash()))
    }

    /// Whether there is a contract at an address.
    pub async fn has_code(&self, address: Address) -> Result<bool> {
        Ok(!self.provider.get_code_at(address).await.context("code")?.is_empty())
    }

    async fn anvil(&self, method: &'static str, params: Value) -> Result<Value> {
        self.provider.raw_request(method.into(), params).await.context(method)
    }
}

/// A request without an answer is sent again; an answer that says no is an answer.
#[derive(Debug, Clone, Copy)]
struct RetryUnanswered;

impl RetryPolicy for RetryUnanswered {
    fn should_retry(&self, error: &TransportError) -> bool {
        matches!(error, RpcError::Transport(_))
    }

    fn backoff_hint(&self, _: &TransportError) -> Option<Duration> {
        None
    }
}
