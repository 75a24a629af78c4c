//! Many steps at once: signed one after the other, mined together, and all of them accepted or an error that names one.

use super::deploy::MINING_TIMEOUT;
use super::transact::{Draft, Prepared};
use super::{Chain, Head};
use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::signers::local::PrivateKeySigner;
use anyhow::{Context, Result, bail};
use optimizer::units::UnixTime;
use std::collections::BTreeMap;
use std::time::Instant;

/// A plain transfer.
const GAS_TRANSFER: u64 = 21_000;

/// Steps that are sent together, and mined in as few blocks as hold them.
pub(super) struct Batch<'a> {
    chain: &'a Chain,
    head: Head,
    next_nonces: BTreeMap<Address, u64>,
    /// What each sender may have to pay for gas.
    gas_wei: BTreeMap<Address, U256>,
    pub(super) steps: Vec<(String, Prepared)>,
}

impl<'a> Batch<'a> {
    pub(super) async fn new(chain: &'a Chain) -> Result<Self> {
        let head = chain.head().await?;
        Ok(Self { chain, head, next_nonces: BTreeMap::new(), gas_wei: BTreeMap::new(), steps: Vec::new() })
    }

    pub(super) async fn push(&mut self, what: impl Into<String>, key: &PrivateKeySigner, draft: Draft) -> Result<()> {
        let sender = key.address();
        let nonce = match self.next_nonces.get(&sender) {
            Some(nonce) => *nonce,
            None => self.chain.next_nonce_of(sender).await?,
        };
        self.next_nonces.insert(sender, nonce + 1);
        *self.gas_wei.entry(sender).or_default() +=
            U256::from(draft.gas_limit) * U256::from(self.chain.fee_ceiling(&self.head));
        self.steps.push((what.into(), self.chain.sign(key, nonce, &self.head, draft)?));
        Ok(())
    }

    /// Lets the operator send every sender of this batch the gas money it lacks.
    pub(super) async fn fund_from(&self, operators: &mut Batch<'_>) -> Result<()> {
        for (account, needed) in &self.gas_wei {
            let has = self.chain.gas_money(*account).await?;
            if has < *needed {
                let value = needed - has;
                let draft = Draft { to: (*account).into(), value, input: Bytes::new(), gas_limit: GAS_TRANSFER };
                operators.push(format!("gas money of {account}"), &self.chain.operator, draft).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn run(self) -> Result<()> {
        for (what, prepared) in &self.steps {
            self.chain.send(prepared).await.with_context(|| what.clone())?;
        }
        if self.steps.is_empty() {
            return Ok(());
        }
        self.chain.mine_at(UnixTime(0)).await?;
        let hashes: Vec<B256> = self.steps.iter().map(|(_, p)| p.hash).collect();
        let outcomes = self.chain.await_outcomes(&hashes, Instant::now() + MINING_TIMEOUT).await?;
        for ((what, _), outcome) in self.steps.iter().zip(outcomes) {
            if let Err(reason) = outcome.result {
                bail!("{what}: refused: {reason}");
            }
        }
        Ok(())
    }
}
