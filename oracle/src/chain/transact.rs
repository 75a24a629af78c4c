//! A transaction as a state machine: prepared (signed, with its nonce: this is what the outbox keeps), sent (any number of
//! times), mined, and its outcome, which is either what happened or why it was refused.

use super::revert::RevertReason;
use super::scores::Evidence;
use super::views::Protocol;
use super::{BASE_FEE_HEADROOM, Chain, Head};
use crate::abi::{
    Bill, Certificate, Flexibility, IDispatch, IPlans, ISettlement, Plan, Request, SignedReading, Tariff, Terms,
};
use alloy::consensus::{SignableTransaction, Transaction, TxEip1559, TxEnvelope};
use alloy::eips::Encodable2718;
use alloy::eips::eip2930::AccessList;
use alloy::network::{ReceiptResponse, TransactionResponse};
use alloy::primitives::{Address, B256, Bytes, I256, Log, TxKind, U256};
use alloy::providers::Provider;
use alloy::rpc::types::{TransactionReceipt, TransactionRequest};
use alloy::signers::{SignerSync, local::PrivateKeySigner};
use alloy::sol_types::{SolCall, SolEvent};
use alloy::transports::RpcError;
use anyhow::{Context, Result, anyhow, bail, ensure};
use optimizer::units::UnixTime;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A batch of 1,024 lanes, the most a site may have, costs about 0.5 million gas (setpoints) or 0.7 million (readings).
/// All limits stay below the 16.7 million that EIP-7825 allows a transaction.
const GAS_POST: u64 = 2_000_000;
/// A plan's certificate costs about 40 gas a byte to send and 30 to verify, its setpoints as above.
const GAS_CERTIFICATE_BYTE: u64 = 120;
/// EIP-7825.
pub(super) const GAS_MOST: u64 = 16_777_216;
/// Opening a session costs about 160,000 gas where all slots are new, settling one 110,000, claims and reclaims less.
const GAS_SESSION: u64 = 1_000_000;
/// A wait looks at the chain this often.
const POLL: Duration = Duration::from_millis(500);
/// A node that we drive mines when told to, so a wait is short.
const POLL_DRIVEN: Duration = Duration::from_millis(20);
/// Blocks that one `mine_at` may need: 300 million gas each hold 150 posts or 300 sessions.
const MINE_BLOCKS_MAX: u32 = 32;

/// What the operator asks of the contracts in the course of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// The setpoints of an interval, before it starts, past `Plans`.
    PostSetpoints {
        /// On-chain id of the site.
        site: B256,
        /// The interval.
        interval: u32,
        /// One int16 (big endian, 10 W) per asset.
        lanes: Vec<u8>,
        /// keccak256 of the whole plan.
        plan_hash: B256,
    },
    /// The setpoints of an interval with the certificate of their plan.
    PostPlan {
        /// On-chain id of the site.
        site: B256,
        /// The interval.
        interval: u32,
        /// One int16 (big endian, 10 W) per asset.
        lanes: Vec<u8>,
        /// The certificate.
        certificate: Box<Certificate>,
        /// Cost and bound, 40,000 to a micro, where the site's mode is to believe them until they are challenged.
        claimed: Option<(I256, I256)>,
    },
    /// The setpoints of an interval without a certificate.
    PostUncertified {
        /// On-chain id of the site.
        site: B256,
        /// The interval.
        interval: u32,
        /// One int16 (big endian, 10 W) per asset.
        lanes: Vec<u8>,
        /// Why there is none, at most 128 bytes.
        reason: String,
    },
    /// The metered energy of an interval, after it has ended.
    PostReadings {
        /// On-chain id of the site.
        site: B256,
        /// The interval.
        interval: u32,
        /// One int32 (big endian, Wh) per asset.
        lanes: Vec<u8>,
        /// Merkle root over the signed readings.
        root: B256,
    },
    /// What intervals were dispatched with, compared with their readings.
    ScoreForecasts {
        /// On-chain id of the site.
        site: B256,
        /// What was posted.
        evidence: Box<Evidence>,
    },
    /// A driver's signed request.
    OpenSession {
        /// What the driver signed.
        request: Request,
        /// The tariff whose hash the driver signed.
        tariff: Tariff,
        /// 65 bytes.
        signature: Bytes,
    },
    /// The bill of a session.
    Settle {
        /// What it was opened with.
        terms: Box<Terms>,
        /// The tariff whose hash the terms have.
        tariff: Tariff,
        /// A Begin, any Intervals, an End.
        readings: Vec<SignedReading>,
    },
    /// The reward for what a billed session was moved off its baseline.
    ClaimFlexibility {
        /// What it was opened with.
        terms: Box<Terms>,
        /// As settled.
        bill: Box<Bill>,
        /// How far, and what that was worth.
        flexibility: Flexibility,
    },
    /// The tokens of a claim whose bill is final.
    MintReward {
        /// What the session was opened with.
        terms: Box<Terms>,
        /// As claimed.
        bill: Box<Bill>,
    },
    /// The bond of a plan that can no longer be challenged, back to its poster; a claimed plan is certified from then on.
    Release {
        /// As it was posted.
        plan: Box<Plan>,
    },
    /// The hold of a session that nobody settled in time, back to its driver.
    Reclaim {
        /// What it was opened with.
        terms: Box<Terms>,
    },
    /// What a site's bills came to and can no longer be disputed, to its owner, operator and protocol.
    Claim {
        /// On-chain id of the site.
        site: B256,
    },
}

impl Call {
    /// One word for logs and the outbox.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PostSetpoints { .. } | Self::PostUncertified { .. } => "setpoints",
            Self::PostPlan { .. } => "plan",
            Self::PostReadings { .. } => "readings",
            Self::ScoreForecasts { .. } => "score",
            Self::OpenSession { .. } => "open",
            Self::Settle { .. } => "settle",
            Self::ClaimFlexibility { .. } => "flexibility",
            Self::MintReward { .. } => "reward",
            Self::Release { .. } => "release",
            Self::Reclaim { .. } => "reclaim",
            Self::Claim { .. } => "claim",
        }
    }

    fn gas_limit(&self) -> u64 {
        match self {
            Self::PostSetpoints { .. } | Self::PostUncertified { .. } | Self::PostReadings { .. } => GAS_POST,
            Self::PostPlan { certificate, .. } => {
                let parts = [&certificate.inputs, &certificate.schedule, &certificate.multipliers];
                let bytes: u64 = parts.map(|part| part.len() as u64).iter().sum();
                GAS_MOST.min(GAS_POST + GAS_CERTIFICATE_BYTE * bytes)
            }
            Self::ScoreForecasts { evidence, .. } => evidence.gas(),
            _ => GAS_SESSION,
        }
    }

    fn input(&self) -> Bytes {
        match self.clone() {
            Self::PostSetpoints { site, interval, lanes, plan_hash } => {
                IDispatch::postSetpointsCall { site, interval, lanes: lanes.into(), planHash: plan_hash }.abi_encode()
            }
            Self::PostPlan { site, interval, lanes, certificate, claimed: None } => {
                IPlans::postProvedCall { site, interval, certificate: *certificate, lanes: lanes.into() }.abi_encode()
            }
            Self::PostPlan { site, interval, lanes, certificate, claimed: Some((cost, bound)) } => {
                let (certificate, lanes) = (*certificate, lanes.into());
                IPlans::postClaimedCall { site, interval, certificate, lanes, cost, bound }.abi_encode()
            }
            Self::PostUncertified { site, interval, lanes, reason } => {
                IPlans::postUncertifiedCall { site, interval, lanes: lanes.into(), reason }.abi_encode()
            }
            Self::ClaimFlexibility { terms, bill, flexibility } => {
                ISettlement::claimFlexibilityCall { terms: *terms, bill: *bill, flexibility }.abi_encode()
            }
            Self::MintReward { terms, bill } => ISettlement::mintRewardCall { terms: *terms, bill: *bill }.abi_encode(),
            Self::PostReadings { site, interval, lanes, root } => {
                IDispatch::postReadingsCall { site, interval, lanes: lanes.into(), root }.abi_encode()
            }
            Self::ScoreForecasts { site, evidence } => {
                let Evidence { previous, steps, later } = *evidence;
                IDispatch::scoreForecastsCall { site, previous, steps, later }.abi_encode()
            }
            Self::OpenSession { request, tariff, signature } => {
                ISettlement::openSessionCall { request, tariff, signature }.abi_encode()
            }
            Self::Settle { terms, tariff, readings } => {
                ISettlement::settleCall { terms: *terms, tariff, readings }.abi_encode()
            }
            Self::Release { plan } => IPlans::releaseCall { plan: *plan }.abi_encode(),
            Self::Reclaim { terms } => ISettlement::reclaimCall { terms: *terms }.abi_encode(),
            Self::Claim { site } => ISettlement::claimCall { site }.abi_encode(),
        }
        .into()
    }
}

/// A signed transaction that was not sent yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// Its place among the sender's transactions.
    pub nonce: u64,
    /// Its hash.
    pub hash: B256,
    /// What [`Chain::send`] sends.
    pub raw: Vec<u8>,
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Block that contains it.
    pub block: u64,
    /// Gas it cost.
    pub gas_used: u64,
    /// Its events, or why it was refused.
    pub result: Result<Vec<Log>, RevertReason>,
}

impl Outcome {
    /// The event that the transaction was sent for; fails with the reason where it was refused.
    pub fn told<E: SolEvent>(&self) -> Result<E> {
        let logs = self.result.as_ref().map_err(|reason| anyhow!("refused: {reason}"))?;
        let event = logs.iter().find_map(|log| E::decode_log(log).ok());
        Ok(event.with_context(|| format!("a transaction without its {}", E::SIGNATURE))?.data)
    }
}

/// What a transaction does, before it has a nonce and fees.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) to: TxKind,
    pub(super) value: U256,
    pub(super) input: Bytes,
    pub(super) gas_limit: u64,
}

impl Draft {
    pub(super) fn call(to: Address, call: &impl SolCall, gas_limit: u64) -> Self {
        Self { to: to.into(), value: U256::ZERO, input: call.abi_encode().into(), gas_limit }
    }
}

impl Protocol {
    /// Signs a call as the operator. Nothing is sent.
    pub async fn prepare(&self, call: &Call, nonce: u64) -> Result<Prepared> {
        self.prepare_as(&self.chain.operator, call, nonce).await
    }

    /// Signs a call as somebody else: a CPO posts its own setpoints. Nothing is sent.
    pub async fn prepare_as(&self, key: &PrivateKeySigner, call: &Call, nonce: u64) -> Result<Prepared> {
        let to = self.target(call);
        let draft = Draft { to: to.into(), value: U256::ZERO, input: call.input(), gas_limit: call.gas_limit() };
        let head = self.chain.head().await?;
        self.chain.sign(key, nonce, &head, draft)
    }

    /// Asks the node what `call` would do now as a call by `from`: nothing, or a refusal.
    pub async fn dry_run(&self, call: &Call, from: Address) -> Result<Result<(), RevertReason>> {
        let request = TransactionRequest::default().from(from).to(self.target(call)).input(call.input().into());
        self.chain.try_call(request).await
    }

    fn target(&self, call: &Call) -> Address {
        match call {
            Call::PostSetpoints { .. } | Call::PostReadings { .. } | Call::ScoreForecasts { .. } => {
                self.deployment.dispatch
            }
            Call::PostPlan { .. } | Call::PostUncertified { .. } | Call::Release { .. } => self.deployment.plans,
            _ => self.deployment.settlement,
        }
    }
}

impl Chain {
    /// What a call would do now: nothing, or a refusal.
    pub(super) async fn try_call(&self, request: TransactionRequest) -> Result<Result<(), RevertReason>> {
        match self.provider.call(request).await {
            Ok(_) => Ok(Ok(())),
            Err(error) => refusal(error).map(Err),
        }
    }

    /// The nonce of the operator's next transaction, pending ones counted.
    pub async fn next_nonce(&self) -> Result<u64> {
        self.next_nonce_of(self.operator()).await
    }

    /// The nonce of an account's next transaction, pending ones counted.
    pub async fn next_nonce_of(&self, account: Address) -> Result<u64> {
        self.provider.get_transaction_count(account).pending().await.context("next nonce")
    }

    /// Most a unit of gas may cost in a transaction signed at `head`.
    pub(super) fn fee_ceiling(&self, head: &Head) -> u128 {
        head.base_fee * BASE_FEE_HEADROOM + self.tip
    }

    pub(super) fn sign(&self, key: &PrivateKeySigner, nonce: u64, head: &Head, draft: Draft) -> Result<Prepared> {
        // A node may take it, and leave it out of every block without a word.
        ensure!(
            draft.gas_limit <= head.gas_limit,
            "a transaction needs up to {} gas, and a block of chain {} holds {}: the chain needs a larger block gas limit \
             (Anvil: --gas-limit 300000000)",
            draft.gas_limit,
            self.chain_id,
            head.gas_limit
        );
        let transaction = TxEip1559 {
            chain_id: self.chain_id,
            nonce,
            gas_limit: draft.gas_limit,
            max_fee_per_gas: self.fee_ceiling(head),
            max_priority_fee_per_gas: self.tip,
            to: draft.to,
            value: draft.value,
            access_list: AccessList::default(),
            input: draft.input,
        };
        let signature = key.sign_hash_sync(&transaction.signature_hash())?;
        let signed = transaction.into_signed(signature);
        let hash = *signed.hash();
        Ok(Prepared { nonce, hash, raw: TxEnvelope::from(signed).encoded_2718() })
    }

    /// Sends a signed transaction. Sending one again that the node knows, or that is mined, is fine.
    pub async fn send(&self, prepared: &Prepared) -> Result<()> {
        let Err(error) = self.provider.send_raw_transaction(&prepared.raw).await else { return Ok(()) };
        // Nodes word "already known" and "nonce too low" differently, so the node is asked whether it has it.
        if self.provider.get_transaction_by_hash(prepared.hash).await?.is_some() {
            return Ok(());
        }
        Err(error).with_context(|| format!("transaction {} (nonce {}) was not accepted", prepared.hash, prepared.nonce))
    }

    /// Mines everything pending into a block of time `time`, or one second after the newest block where that is later,
    /// and returns the newest block; where nothing is pending and the time has passed already, nothing is mined. What does not fit goes into further blocks, a second apart. On a node that mines by
    /// itself this does nothing: use [`Chain::await_outcomes`].
    pub async fn mine_at(&self, time: UnixTime) -> Result<Head> {
        let mut head = self.head().await?;
        if !self.clock_driven || (time <= head.time && self.pending_count().await? == 0) {
            return Ok(head);
        }
        for _ in 0..MINE_BLOCKS_MAX {
            let next = time.0.max(head.time.0 + 1);
            self.anvil("evm_mine", json!([{ "timestamp": next }])).await?;
            head = self.head().await?;
            ensure!(head.time.0 >= next, "the node mined no block at {next}");
            if self.pending_count().await? == 0 {
                return Ok(head);
            }
        }
        bail!("transactions are still pending after {MINE_BLOCKS_MAX} blocks")
    }

    async fn pending_count(&self) -> Result<u64> {
        let status = self.anvil("txpool_status", json!([])).await?;
        let pending = status["pending"].as_str().and_then(|s| s.strip_prefix("0x")).context("txpool_status")?;
        u64::from_str_radix(pending, 16).context("txpool_status")
    }

    /// What became of a transaction, once it has its confirmations; `None` before.
    pub async fn outcome(&self, hash: B256) -> Result<Option<Outcome>> {
        let Some(receipt) = self.provider.get_transaction_receipt(hash).await.context("receipt")? else {
            return Ok(None);
        };
        let Some(block) = receipt.block_number() else { return Ok(None) };
        if self.confirmations > 1 && self.head().await?.number + 1 < block + self.confirmations {
            return Ok(None);
        }
        let result = if receipt.status() {
            Ok(receipt.logs().iter().map(|log| log.inner.clone()).collect())
        } else {
            Err(self.revert_reason(&receipt, block).await?)
        };
        Ok(Some(Outcome { block, gas_used: receipt.gas_used, result }))
    }

    /// Waits until every transaction has its outcome, in the order asked for. It does not mine.
    pub async fn await_outcomes(&self, hashes: &[B256], deadline: Instant) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::with_capacity(hashes.len());
        for hash in hashes {
            loop {
                if let Some(outcome) = self.outcome(*hash).await? {
                    outcomes.push(outcome);
                    break;
                }
                ensure!(Instant::now() < deadline, "transaction {hash} has no outcome yet");
                tokio::time::sleep(if self.clock_driven { POLL_DRIVEN } else { POLL }).await;
            }
        }
        Ok(outcomes)
    }

    /// The node's trace has the exact reason. Nodes without traces run the transaction again: in its own block, whose time
    /// it saw, then in the block before, where nothing that came after it had happened.
    async fn revert_reason(&self, receipt: &TransactionReceipt, block: u64) -> Result<RevertReason> {
        let hash = receipt.transaction_hash;
        let params = (hash, json!({ "tracer": "callTracer" }));
        let trace = self.provider.raw_request::<_, Value>("debug_traceTransaction".into(), params).await;
        let output = trace.ok().and_then(|t| t["output"].as_str()?.parse::<Bytes>().ok());
        if let Some(data) = output.filter(|d| !d.is_empty()) {
            return Ok(RevertReason::decode(data));
        }
        let transaction = self.provider.get_transaction_by_hash(hash).await.context("transaction")?;
        let Some(transaction) = transaction else {
            return Ok(RevertReason::unknown("the node no longer has the transaction"));
        };
        if receipt.gas_used >= transaction.gas_limit() {
            return Ok(RevertReason::unknown(format!("out of gas at {}", receipt.gas_used)));
        }
        let mut request =
            TransactionRequest::default().from(transaction.from()).input(transaction.input().clone().into());
        request.to = Some(transaction.kind());
        for at in [block, block.saturating_sub(1)] {
            if let Err(error) = self.provider.call(request.clone()).block(at.into()).await
                && let Ok(reason) = refusal(error)
            {
                return Ok(reason);
            }
        }
        Ok(RevertReason::unknown("refused for a reason that shows only in its place in the block"))
    }
}

/// A node's error as the contract's refusal; any other error stays one.
pub(super) fn refusal(error: alloy::transports::TransportError) -> Result<RevertReason> {
    if let RpcError::ErrorResp(payload) = &error {
        if let Some(data) = payload.as_revert_data() {
            return Ok(RevertReason::decode(data));
        }
        if payload.message.contains("revert") {
            return Ok(RevertReason::unknown(payload.message.to_string()));
        }
    }
    Err(error).context("call")
}
