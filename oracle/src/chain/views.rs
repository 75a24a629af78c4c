//! What the contracts know, decoded.

use super::deploy::Deployment;
use super::{Chain, transact};
use crate::abi::{Asset, Group, IAssetRegistry, ICreditToken, IDispatch, IFlexibilityToken, ISettlement};
use crate::abi::{IntervalState, Session, Site};
use alloy::primitives::{Address, B256, U256};
use alloy::providers::{DynProvider, Provider};
use alloy::rpc::types::Filter;
use alloy::sol_types::SolEvent;
use anyhow::{Context, Result};
use optimizer::units::Micro;

/// Public nodes answer for about this many blocks at a time.
const LOG_BLOCKS_MAX: u64 = 10_000;

/// The contracts of one deployment, over one connection.
#[derive(Debug, Clone)]
pub struct Protocol {
    /// The connection.
    pub chain: Chain,
    /// Where the contracts are.
    pub deployment: Deployment,
}

/// An event with its place on the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged<E> {
    /// Block.
    pub block: u64,
    /// Place among the block's events.
    pub index: u64,
    /// Transaction.
    pub transaction: B256,
    /// The event.
    pub event: E,
}

/// Which settled sessions to show; `None` shows all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SettledFilter {
    /// Of this driver.
    pub driver: Option<Address>,
    /// At this EVSE.
    pub evse: Option<B256>,
    /// At this site.
    pub site: Option<B256>,
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

    /// Unheld money in the wallet of an account.
    pub async fn wallet(&self, account: Address) -> Result<Micro> {
        micro(self.settlement().balanceOf(account).call().await.context("wallet")?)
    }

    /// Sum of all wallets and holds.
    pub async fn accounted(&self) -> Result<Micro> {
        micro(self.settlement().accounted().call().await.context("accounted")?)
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

    /// A session; all zero, with state None, when there is none.
    pub async fn session(&self, id: B256) -> Result<Session> {
        self.settlement().session(id).call().await.context("session")
    }

    /// The active session at an EVSE.
    pub async fn open_session_at(&self, evse: B256) -> Result<Option<B256>> {
        let id = self.settlement().openSessionAt(evse).call().await.context("open session")?;
        Ok((!id.is_zero()).then_some(id))
    }

    /// Where an interval of a site stands.
    pub async fn interval_state(&self, site: B256, interval: u32) -> Result<IntervalState> {
        self.dispatch().stateOf(site, interval).call().await.context("state of an interval")
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

    /// An asset with its site and lane; `None` where it is not registered.
    pub async fn asset(&self, id: B256) -> Result<Option<(Asset, B256, u16)>> {
        let found = absent(self.registry().asset(id).call().await, "UnknownAsset")?;
        Ok(found.map(|a| (a.data, a.site, a.lane)))
    }

    /// Whether an account may sign requests.
    pub async fn is_driver(&self, account: Address) -> Result<bool> {
        self.registry().isDriver(account).call().await.context("driver")
    }

    /// Whether an account has all of `rights` at a site.
    pub async fn is_authorised(&self, site: B256, account: Address, rights: u8) -> Result<bool> {
        self.registry().isAuthorised(site, account, rights).call().await.context("rights")
    }

    /// All sites, in the order of their registration.
    pub async fn sites_registered(&self) -> Result<Vec<Logged<IAssetRegistry::SiteRegistered>>> {
        self.logs(Filter::new().address(self.deployment.registry), self.deployment.block, None).await
    }

    /// All assets, or those of one site; the assets of a site come in the order of their lanes.
    pub async fn assets_registered(&self, site: Option<B256>) -> Result<Vec<Logged<IAssetRegistry::AssetRegistered>>> {
        let mut filter = Filter::new().address(self.deployment.registry);
        if let Some(site) = site {
            filter = filter.topic1(site);
        }
        self.logs(filter, self.deployment.block, None).await
    }

    /// All drivers, in the order of their registration.
    pub async fn drivers_registered(&self) -> Result<Vec<Logged<IAssetRegistry::DriverRegistered>>> {
        self.logs(Filter::new().address(self.deployment.registry), self.deployment.block, None).await
    }

    /// Setpoints posted from one block to another, both included; to the newest confirmed one where `to` is `None`.
    pub async fn setpoints_posted(
        &self,
        from: u64,
        to: Option<u64>,
    ) -> Result<Vec<Logged<IDispatch::SetpointsPosted>>> {
        self.logs(Filter::new().address(self.deployment.dispatch), from, to).await
    }

    /// Readings posted; see [`Protocol::setpoints_posted`].
    pub async fn readings_posted(&self, from: u64, to: Option<u64>) -> Result<Vec<Logged<IDispatch::ReadingsPosted>>> {
        self.logs(Filter::new().address(self.deployment.dispatch), from, to).await
    }

    /// Setpoints that somebody else than the operator posted since block `from`, and the block to ask from next time.
    pub async fn cpo_posts(&self, from: u64) -> Result<(Vec<Logged<IDispatch::SetpointsPosted>>, u64)> {
        let newest = self.chain.confirmed_block().await?;
        let mut posts = self.setpoints_posted(from, Some(newest)).await?;
        posts.retain(|p| p.event.poster != self.chain.operator());
        Ok((posts, from.max(newest + 1)))
    }

    /// Sessions opened since block `from`.
    pub async fn sessions_opened(&self, from: u64) -> Result<Vec<Logged<ISettlement::SessionOpened>>> {
        self.logs(Filter::new().address(self.deployment.settlement), from, None).await
    }

    /// Sessions settled.
    pub async fn sessions_settled(&self, which: &SettledFilter) -> Result<Vec<Logged<ISettlement::SessionSettled>>> {
        let mut filter = Filter::new().address(self.deployment.settlement);
        if let Some(driver) = which.driver {
            filter = filter.topic2(driver.into_word());
        }
        if let Some(evse) = which.evse {
            filter = filter.topic3(evse);
        }
        let mut settled = self.logs::<ISettlement::SessionSettled>(filter, self.deployment.block, None).await?;
        settled.retain(|s| which.site.is_none_or(|site| s.event.site == site));
        Ok(settled)
    }

    /// Sessions whose hold went back to the driver.
    pub async fn sessions_reclaimed(&self) -> Result<Vec<Logged<ISettlement::SessionReclaimed>>> {
        self.logs(Filter::new().address(self.deployment.settlement), self.deployment.block, None).await
    }

    /// Money that came in.
    pub async fn deposits(&self) -> Result<Vec<Logged<ISettlement::Deposited>>> {
        self.logs(Filter::new().address(self.deployment.settlement), self.deployment.block, None).await
    }

    pub(super) async fn thresholds(&self) -> Result<Vec<Logged<ISettlement::LowBalanceThresholdSet>>> {
        self.logs(Filter::new().address(self.deployment.settlement), self.deployment.block, None).await
    }

    async fn logs<E: SolEvent>(&self, filter: Filter, from: u64, to: Option<u64>) -> Result<Vec<Logged<E>>> {
        let filter = filter.event_signature(E::SIGNATURE_HASH);
        let newest = self.chain.confirmed_block().await?;
        let to = to.map_or(newest, |to| to.min(newest));
        let mut found = Vec::new();
        let mut first = from;
        while first <= to {
            let last = to.min(first + LOG_BLOCKS_MAX - 1);
            let range = filter.clone().from_block(first).to_block(last);
            for log in self.chain.provider.get_logs(&range).await.context("logs")? {
                found.push(Logged {
                    block: log.block_number.context("a log without a block")?,
                    index: log.log_index.context("a log without a place")?,
                    transaction: log.transaction_hash.context("a log without a transaction")?,
                    event: E::decode_log(&log.inner).context("log")?.data,
                });
            }
            first = last + 1;
        }
        found.sort_by_key(|l| (l.block, l.index));
        Ok(found)
    }
}

impl Chain {
    /// The newest block that has its confirmations.
    pub async fn confirmed_block(&self) -> Result<u64> {
        Ok((self.head().await?.number + 1).saturating_sub(self.confirmations))
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
