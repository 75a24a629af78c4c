//! What the contracts know, decoded.

use super::deploy::Deployment;
use super::{Chain, transact};
use crate::abi::{Asset, AssetState, Group, IntervalState, MeterReading, PlanRules, ReadingProof, Request};
use crate::abi::{
    IAssetRegistry, ICertificates, ICreditToken, IDispatch, IFlexibilityToken, IPlans, ISettlement, SessionState, Site,
};
use alloy::consensus::BlockHeader;
use alloy::primitives::{Address, B256, FixedBytes, U256};
use alloy::providers::{DynProvider, Provider};
use anyhow::{Context, Result};
use optimizer::units::{Micro, WattHours};

/// The contracts of one deployment, over one connection.
#[derive(Debug, Clone)]
pub struct Protocol {
    /// The connection.
    pub chain: Chain,
    /// Where the contracts are.
    pub deployment: Deployment,
}

/// What a site's bills came to and nobody has claimed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Claimable {
    /// Can be paid out now.
    pub claimable: Micro,
    /// Can still be disputed.
    pub pending: Micro,
}

impl Protocol {
    /// The contracts of `deployment` as seen over `chain`.
    pub fn new(chain: Chain, deployment: Deployment) -> Self {
        Self { chain, deployment }
    }

    pub(super) fn registry(&self) -> IAssetRegistry::IAssetRegistryInstance<&DynProvider> {
        IAssetRegistry::new(self.deployment.registry, &self.chain.provider)
    }

    fn dispatch(&self) -> IDispatch::IDispatchInstance<&DynProvider> {
        IDispatch::new(self.deployment.dispatch, &self.chain.provider)
    }

    fn settlement(&self) -> ISettlement::ISettlementInstance<&DynProvider> {
        ISettlement::new(self.deployment.settlement, &self.chain.provider)
    }

    pub(super) fn credit(&self) -> ICreditToken::ICreditTokenInstance<&DynProvider> {
        ICreditToken::new(self.deployment.credit, &self.chain.provider)
    }

    fn flexibility(&self) -> IFlexibilityToken::IFlexibilityTokenInstance<&DynProvider> {
        IFlexibilityToken::new(self.deployment.flexibility, &self.chain.provider)
    }

    pub(super) fn plans(&self) -> IPlans::IPlansInstance<&DynProvider> {
        IPlans::new(self.deployment.plans, &self.chain.provider)
    }

    /// Whether the credit token is one of our own, and its faucet the operator's.
    pub(super) fn makes_money(&self) -> bool {
        let arguments = &self.deployment.arguments;
        arguments.credit.is_none() && arguments.minter == self.chain.operator()
    }

    /// Unheld money in the wallet of an account.
    pub async fn wallet(&self, account: Address) -> Result<Micro> {
        micro(self.settlement().balanceOf(account).call().await.context("wallet")?)
    }

    /// Sum of all wallets, holds, bookings' money and bills not paid out, of pools for rewards, and of stakes on plans.
    pub async fn accounted(&self) -> Result<Micro> {
        let money = self.settlement().accounted().call().await.context("accounted")?;
        let pools = self.flexibility().accounted().call().await.context("money of pools")?;
        let stakes = self.plans().accounted().call().await.context("stakes")?;
        micro(money + pools + stakes)
    }

    /// An operator's pool: its credit, and tokens out. Base units.
    pub async fn pool(&self, operator: Address) -> Result<(Micro, Micro)> {
        let pool = self.flexibility().poolOf(operator).call().await.context("pool")?;
        Ok((micro(pool.balance)?, micro(pool.outstanding)?))
    }

    /// Whether an operator lets a site's sessions be rewarded from its pool.
    pub async fn serves(&self, operator: Address, site: B256) -> Result<bool> {
        self.flexibility().serves(operator, site).call().await.context("whom a pool serves")
    }

    /// What a site asks of the plan of an interval.
    pub async fn plan_rules(&self, site: B256, interval: u32) -> Result<PlanRules> {
        self.plans().rulesAt(site, interval).call().await.context("rules of plans")
    }

    /// Whether a site's prices of a UTC day, counted from 1970, are fixed.
    pub async fn announced(&self, site: B256, day: u32) -> Result<bool> {
        let prices = self.plans().pricesAt(site, day).call().await.context("announced prices")?;
        Ok(!prices.pricesHash.is_zero())
    }

    /// Whether an interval of a site was dispatched by a plan whose certificate counts.
    pub async fn is_certified(&self, site: B256, interval: u32) -> Result<bool> {
        let certificates = ICertificates::new(self.deployment.certificates(), &self.chain.provider);
        certificates.isCertified(site, interval, interval).call().await.context("certified intervals")
    }

    /// Intervals of a site that were dispatched through `Plans` without a certificate.
    pub async fn uncertified(&self, site: B256) -> Result<u64> {
        let count = self.plans().uncertifiedOf(site).call().await.context("uncertified intervals")?;
        u64::try_from(count).context("more than 64 bits of intervals")
    }

    /// Credit tokens in existence.
    pub async fn credit_supply(&self) -> Result<Micro> {
        micro(self.credit().totalSupply().call().await.context("credit supply")?)
    }

    /// Credit tokens of an account, outside its wallet.
    pub async fn credit_balance(&self, account: Address) -> Result<Micro> {
        micro(self.credit().balanceOf(account).call().await.context("credit balance")?)
    }

    /// Flexibility tokens in existence.
    pub async fn flexibility_supply(&self) -> Result<Micro> {
        micro(self.flexibility().totalSupply().call().await.context("flexibility supply")?)
    }

    /// Flexibility tokens of an account.
    pub async fn flexibility_balance(&self, account: Address) -> Result<Micro> {
        micro(self.flexibility().balanceOf(account).call().await.context("flexibility balance")?)
    }

    /// What a site's bills came to.
    pub async fn claimable(&self, site: B256) -> Result<Claimable> {
        let of = self.settlement().claimableOf(site).call().await.context("claimable")?;
        Ok(Claimable { claimable: micro(of.claimable)?, pending: micro(of.pending)? })
    }

    /// The place at which the open session of an EVSE is kept; `None` where none is open.
    pub async fn open_at(&self, evse: B256) -> Result<Option<u16>> {
        let at = self.settlement().openAt(evse).call().await.context("open session")?;
        Ok(at.open.then_some(at.place))
    }

    /// What a place of an EVSE keeps: a hash of its session, and its state.
    pub async fn place(&self, evse: B256, place: u16) -> Result<(FixedBytes<26>, SessionState)> {
        let kept = self.settlement().placeAt(evse, place).call().await.context("place")?;
        Ok((kept.commitment, kept.state))
    }

    /// The contract's own digest of a request.
    pub async fn session_id(&self, request: &Request) -> Result<B256> {
        self.settlement().sessionId(request.clone()).call().await.context("session id")
    }

    /// The contract's own digest of a reading.
    pub async fn reading_hash(&self, reading: &MeterReading) -> Result<B256> {
        self.settlement().readingHash(reading.clone()).call().await.context("digest of a reading")
    }

    /// Where an interval of a site stands.
    pub async fn interval_state(&self, site: B256, interval: u32) -> Result<IntervalState> {
        self.dispatch().stateOf(site, interval).call().await.context("state of an interval")
    }

    /// What was posted for a lane of an interval, if two readings of these digests are the evidence for it.
    pub async fn prove_reading(
        &self,
        site: B256,
        interval: u32,
        proof: ReadingProof,
        start: B256,
        stop: B256,
    ) -> Result<WattHours> {
        let energy = self.dispatch().proveReading(site, interval, proof, start, stop).call().await.context("proof")?;
        Ok(WattHours(i64::try_from(energy).context("an energy beyond 64 bits")?))
    }

    /// Chained hash of everything posted for a site.
    pub async fn history(&self, site: B256) -> Result<B256> {
        self.dispatch().history(site).call().await.context("history")
    }

    /// A site; `None` where it is not registered.
    pub async fn site(&self, id: B256) -> Result<Option<Site>> {
        absent(self.registry().site(id).call().await, "UnknownSite")
    }

    /// A group; `None` where it is not registered.
    pub async fn group(&self, site: B256, index: u16) -> Result<Option<Group>> {
        absent(self.registry().group(site, index).call().await, "UnknownGroup")
    }

    /// An asset and how it stands; `None` where it is not registered.
    pub async fn asset(&self, id: B256) -> Result<Option<(Asset, AssetState)>> {
        let found = absent(self.registry().asset(id).call().await, "UnknownAsset")?;
        Ok(found.map(|a| (a.data, a.state)))
    }

    /// Whether an account may sign requests.
    pub async fn is_driver(&self, account: Address) -> Result<bool> {
        self.registry().isDriver(account).call().await.context("driver")
    }

    /// Whether an account has all of `rights` at a site.
    pub async fn is_authorised(&self, site: B256, account: Address, rights: u8) -> Result<bool> {
        self.registry().isAuthorised(site, account, rights).call().await.context("rights")
    }
}

impl Chain {
    /// The newest block that has its confirmations.
    pub async fn confirmed_block(&self) -> Result<u64> {
        Ok((self.head().await?.number + 1).saturating_sub(self.confirmations))
    }

    /// The newest block that has its confirmations, and its time in unix seconds.
    pub async fn confirmed_head(&self) -> Result<(u64, u64)> {
        let number = self.confirmed_block().await?;
        let block = self.provider.get_block_by_number(number.into()).await.context("block")?;
        let header = block.with_context(|| format!("the node has no block {number}"))?.header;
        Ok((number, header.timestamp()))
    }

    /// Gas that a mined transaction has cost.
    pub async fn gas_used(&self, transaction: B256) -> Result<u64> {
        let receipt = self.provider.get_transaction_receipt(transaction).await.context("receipt")?;
        Ok(receipt.with_context(|| format!("no receipt of transaction {transaction}"))?.gas_used)
    }

    /// What an account can pay for gas, in wei.
    pub async fn gas_money(&self, account: Address) -> Result<U256> {
        self.provider.get_balance(account).await.context("balance")
    }
}

/// Money from the chain; more than 9.2 · 10¹² credits does not exist.
pub(super) fn micro(amount: U256) -> Result<Micro> {
    Ok(Micro(i64::try_from(amount).context("an amount beyond 64 bits")?))
}

/// A view that refuses with `error` because there is no such thing.
fn absent<T>(answer: alloy::contract::Result<T>, error: &str) -> Result<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(alloy::contract::Error::TransportError(transport)) => {
            let reason = transact::refusal(transport)?;
            anyhow::ensure!(reason.name == error, "{reason}");
            Ok(None)
        }
        Err(other) => Err(other.into()),
    }
}
