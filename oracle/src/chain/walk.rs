//! A walk along the chain for an audit: every event of a deployment, run of blocks by run of blocks, with the transactions
//! that somebody signed something in; and the contracts' answers to an audit's questions.

use super::events::LOG_BLOCKS_MAX;
use super::{Protocol, transact};
use crate::audit::facts::{At, Event, Fact, Question, Range, Setting, Transaction, erc20};
use alloy::consensus::{BlockHeader, Transaction as _};
use alloy::network::TransactionResponse;
use alloy::primitives::{Address, B256, Bytes, keccak256};
use alloy::providers::Provider;
use alloy::rpc::types::{Filter, Log, TransactionRequest};
use alloy::sol_types::SolEvent;
use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use std::collections::{BTreeMap, BTreeSet};

/// Runs of blocks that are asked for at the same time: one is looked through while the next are on their way.
const RANGES_AT_ONCE: usize = 3;
/// Single requests that are under way at the same time: a public node refuses many more.
const REQUESTS_AT_ONCE: usize = 16;

impl Protocol {
    /// What is audited.
    pub fn setting(&self) -> Setting {
        let d = &self.deployment;
        Setting {
            chain_id: d.chain_id,
            registry: d.registry,
            dispatch: d.dispatch,
            settlement: d.settlement,
            bookings: d.bookings,
            flexibility: d.flexibility,
            plans: d.plans,
            verifier: d.verifier,
            credit: d.credit,
            fee_recipient: d.arguments.fee_recipient,
            fee_bps: d.arguments.fee_bps,
            certificates: d.certificates(),
        }
    }

    /// Gives every event up to `last`, block `last` included, in the order of the chain.
    pub async fn walk(&self, last: u64, mut take: impl FnMut(Range)) -> Result<()> {
        let (first, setting) = (self.deployment.block, &self.setting());
        let starts = (first..=last).step_by(usize::try_from(LOG_BLOCKS_MAX)?);
        let ranges = starts.map(|from| self.range(setting, from, last.min(from + LOG_BLOCKS_MAX - 1)));
        let mut ranges = std::pin::pin!(stream::iter(ranges).buffered(RANGES_AT_ONCE));
        while let Some(range) = ranges.try_next().await? {
            take(range);
        }
        Ok(())
    }

    async fn range(&self, setting: &Setting, from: u64, to: u64) -> Result<Range> {
        let Setting { registry, dispatch, settlement, bookings, flexibility, plans, .. } = *setting;
        let ours = vec![registry, dispatch, settlement, bookings, flexibility, plans];
        let holders = || [settlement, flexibility, plans].map(|holder| holder.into_word()).to_vec();
        let transfers = || Filter::new().address(setting.credit).event_signature(erc20::Transfer::SIGNATURE_HASH);
        let filters = [Filter::new().address(ours), transfers().topic1(holders()), transfers().topic2(holders())];
        let mut logs: BTreeMap<(u64, u64), Log> = BTreeMap::new();
        for filter in filters {
            let filter = filter.from_block(from).to_block(to);
            for log in self.chain.provider.get_logs(&filter).await.context("logs")? {
                let place = log.block_number.zip(log.log_index).context("a log without a place")?;
                // Between two of the contracts: found twice.
                logs.insert(place, log);
            }
        }
        let unknown: BTreeSet<u64> =
            logs.iter().filter(|(_, log)| log.block_timestamp.is_none()).map(|((block, _), _)| *block).collect();
        let times = self.each(unknown, |block| self.block_time(block)).await?;
        let mut range = Range::default();
        for ((block, index), log) in logs {
            let Some(event) = Event::decode(setting, log.address(), log.data()) else { continue };
            let time = log.block_timestamp.or_else(|| times.get(&block).copied()).context("a block without a time")?;
            let transaction = log.transaction_hash.context("a log without a transaction")?;
            range.facts.push(Fact { at: At { block, time, index, transaction }, event });
        }
        let needed = range.facts.iter().filter(|f| f.event.needs_transaction()).map(|f| f.at.transaction);
        range.transactions = self.each(needed.collect(), |hash| self.transaction(hash)).await?;
        let verified = range.facts.iter().filter(|f| f.event.verifier().is_some()).map(|f| f.at.transaction);
        for (hash, gas_used) in self.each(verified.collect(), |hash| self.gas_used(hash)).await? {
            range.transactions.entry(hash).or_default().gas_used = Some(gas_used);
        }
        let verifiers = range.facts.iter().filter_map(|f| f.event.verifier()).collect();
        range.algorithms = self.each(verifiers, |account| self.code_hash(account)).await?;
        let signers = range.facts.iter().filter_map(|f| f.event.signer()).collect();
        let codes = self.each(signers, |account| self.chain.has_code(account)).await?;
        range.contracts = codes.into_iter().filter_map(|(account, code)| code.then_some(account)).collect();
        Ok(range)
    }

    /// Asks for each, a bounded number at a time.
    async fn each<K: Ord + Copy, V, F: Future<Output = Result<V>>>(
        &self,
        keys: BTreeSet<K>,
        ask: impl Fn(K) -> F,
    ) -> Result<BTreeMap<K, V>> {
        let asked = keys.into_iter().map(|key| {
            let answer = ask(key);
            async move { Ok::<_, anyhow::Error>((key, answer.await?)) }
        });
        stream::iter(asked).buffer_unordered(REQUESTS_AT_ONCE).try_collect().await
    }

    async fn block_time(&self, number: u64) -> Result<u64> {
        let block = self.chain.provider.get_block_by_number(number.into()).await.context("block")?;
        Ok(block.with_context(|| format!("the node has no block {number}"))?.header.timestamp())
    }

    async fn transaction(&self, hash: B256) -> Result<Transaction> {
        let found = self.chain.provider.get_transaction_by_hash(hash).await.context("transaction")?;
        let found = found.with_context(|| format!("the node has no transaction {hash}, though it has its events"))?;
        let (from, to) = (found.from(), found.to().unwrap_or(Address::ZERO));
        Ok(Transaction { from, to, input: found.input().clone(), gas_used: None })
    }

    async fn gas_used(&self, hash: B256) -> Result<u64> {
        let found = self.chain.provider.get_transaction_receipt(hash).await.context("receipt")?;
        Ok(found.with_context(|| format!("the node has no receipt of {hash}"))?.gas_used)
    }

    async fn code_hash(&self, account: Address) -> Result<B256> {
        Ok(keccak256(self.chain.provider.get_code_at(account).await.context("code of a verifier")?))
    }

    /// The contracts' answers at a block: what each returns, or why it refuses.
    pub async fn answers(
        &self,
        block: u64,
        questions: Vec<Question>,
    ) -> Result<Vec<(Question, Result<Bytes, String>)>> {
        let ask = |question: Question| async move {
            let call = TransactionRequest::default().to(question.to).input(question.call.clone().into());
            let answer = match self.chain.provider.call(call).block(block.into()).await {
                Ok(bytes) => Ok(bytes),
                // A node that does not answer is no finding.
                Err(error) => Err(transact::refusal(error).with_context(|| question.what.clone())?.to_string()),
            };
            Ok::<_, anyhow::Error>((question, answer))
        };
        stream::iter(questions.into_iter().map(ask)).buffered(REQUESTS_AT_ONCE).try_collect().await
    }
}
