//! What has happened, as the contracts' events tell it.

use super::views::Protocol;
use crate::abi::{Bill, CPO_REASON, IAssetRegistry, IDispatch, IFlexibilityToken, IPlans, ISettlement, Tariff, Terms};
use alloy::primitives::{Address, B256};
use alloy::providers::Provider;
use alloy::rpc::types::Filter;
use alloy::sol_types::SolEvent;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};

/// Public nodes answer for about this many blocks at a time.
pub(super) const LOG_BLOCKS_MAX: u64 = 10_000;

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

/// Which sessions to show; `None` shows all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Which {
    /// Of this site.
    pub site: Option<B256>,
    /// Of this driver.
    pub driver: Option<Address>,
    /// At this EVSE.
    pub evse: Option<B256>,
}

impl Protocol {
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

    /// Setpoints of a CPO's own since block `from`, past `Plans` or by it, and the block to ask from next time.
    pub async fn cpo_posts(&self, from: u64) -> Result<(Vec<Logged<IDispatch::SetpointsPosted>>, u64)> {
        let newest = self.chain.confirmed_block().await?;
        let mut posts = self.setpoints_posted(from, Some(newest)).await?;
        let ours = self.chain.operator();
        let mut own: BTreeSet<(B256, u32)> = BTreeSet::new();
        for plan in self.plans_posted(from, Some(newest)).await?.iter().filter(|p| p.event.poster == ours) {
            own.insert((plan.event.site, plan.event.interval));
        }
        for post in self.uncertified_posted(from, Some(newest)).await? {
            if post.event.poster == ours && post.event.reason != CPO_REASON {
                own.insert((post.event.site, post.event.interval));
            }
        }
        posts.retain(|p| !own.contains(&(p.event.site, p.event.interval)));
        Ok((posts, from.max(newest + 1)))
    }

    /// Plans posted with their certificates; see [`Protocol::setpoints_posted`].
    pub async fn plans_posted(&self, from: u64, to: Option<u64>) -> Result<Vec<Logged<IPlans::PlanPosted>>> {
        self.logs(Filter::new().address(self.deployment.plans), from, to).await
    }

    /// Intervals dispatched through `Plans` without a certificate; see [`Protocol::setpoints_posted`].
    pub async fn uncertified_posted(
        &self,
        from: u64,
        to: Option<u64>,
    ) -> Result<Vec<Logged<IPlans::UncertifiedPosted>>> {
        self.logs(Filter::new().address(self.deployment.plans), from, to).await
    }

    /// Flexibility claimed, in the order of the claims.
    pub async fn flexibility_claimed(&self) -> Result<Vec<Logged<ISettlement::FlexibilityClaimed>>> {
        self.logs(Filter::new().address(self.deployment.settlement), self.deployment.block, None).await
    }

    /// Rewards minted.
    pub async fn flexibility_rewarded(&self) -> Result<Vec<Logged<ISettlement::FlexibilityRewarded>>> {
        self.logs(Filter::new().address(self.deployment.settlement), self.deployment.block, None).await
    }

    /// Credit put into pools for rewards.
    pub async fn pools_funded(&self) -> Result<Vec<Logged<IFlexibilityToken::PoolFunded>>> {
        self.logs(Filter::new().address(self.deployment.flexibility), self.deployment.block, None).await
    }

    /// Sessions opened.
    pub async fn sessions_opened(&self, which: &Which) -> Result<Vec<Logged<ISettlement::SessionOpened>>> {
        self.of_sessions(which).await
    }

    /// Sessions whose terms changed.
    pub async fn sessions_amended(&self, which: &Which) -> Result<Vec<Logged<ISettlement::SessionAmended>>> {
        self.of_sessions(which).await
    }

    /// Sessions whose terms changed from one block to another, both included.
    pub async fn amended_between(&self, from: u64, to: u64) -> Result<Vec<Logged<ISettlement::SessionAmended>>> {
        self.logs(Filter::new().address(self.deployment.settlement), from, Some(to)).await
    }

    /// Sessions settled.
    pub async fn sessions_settled(&self, which: &Which) -> Result<Vec<Logged<ISettlement::SessionSettled>>> {
        self.of_sessions(which).await
    }

    /// Bills that a signed reading contradicted.
    pub async fn bills_corrected(&self, which: &Which) -> Result<Vec<Logged<ISettlement::BillCorrected>>> {
        self.of_sessions(which).await
    }

    /// Rewards that posted readings and plans contradicted.
    pub async fn rewards_corrected(&self, which: &Which) -> Result<Vec<Logged<ISettlement::RewardCorrected>>> {
        self.of_sessions(which).await
    }

    /// Bills as they stand, by session: settled, claimed flexibility for, corrected, and without a reward that was minted.
    pub async fn newest_bills(&self, which: &Which) -> Result<BTreeMap<B256, Bill>> {
        let settled = self.sessions_settled(which).await?.into_iter().map(|s| s.event);
        let mut bills: BTreeMap<B256, Bill> = settled.map(|s| (s.session, s.bill)).collect();
        let mut changes = BTreeMap::new();
        for c in self.flexibility_claimed().await? {
            changes.insert((c.block, c.index), (c.event.session, c.event.bill));
        }
        for c in self.bills_corrected(which).await? {
            changes.insert((c.block, c.index), (c.event.session, c.event.bill));
        }
        for c in self.rewards_corrected(which).await? {
            changes.insert((c.block, c.index), (c.event.session, c.event.bill));
        }
        for (session, bill) in changes.into_values() {
            if let Some(known) = bills.get_mut(&session) {
                *known = bill;
            }
        }
        for minted in self.flexibility_rewarded().await? {
            if let Some(bill) = bills.get_mut(&minted.event.session) {
                bill.reward = 0;
            }
        }
        Ok(bills)
    }

    /// Sessions whose hold went back to the driver.
    pub async fn sessions_reclaimed(&self, which: &Which) -> Result<Vec<Logged<ISettlement::SessionReclaimed>>> {
        self.of_sessions(which).await
    }

    /// What an open session is settled by now, and its tariff: the chain keeps hashes of them only, but it told them once.
    pub async fn terms_of(&self, session: B256) -> Result<Option<(Terms, Tariff)>> {
        let which = Which::default();
        let opened = self.sessions_opened(&which).await?.into_iter().find(|o| o.event.terms.session == session);
        let Some(opened) = opened else { return Ok(None) };
        let which = Which { driver: Some(opened.event.driver), evse: Some(opened.event.evse), ..which };
        let mut amended = self.sessions_amended(&which).await?;
        amended.retain(|a| a.event.terms.session == session);
        let amended = amended.pop().map(|a| a.event.terms);
        Ok(Some((amended.unwrap_or(opened.event.terms), opened.event.tariff)))
    }

    /// What sessions are settled by, each as it was opened or last amended, in the order of their openings.
    pub async fn newest_terms(&self, which: &Which) -> Result<Vec<Terms>> {
        let opened = self.sessions_opened(which).await?.into_iter().map(|o| o.event.terms);
        let amended = self.sessions_amended(which).await?.into_iter().map(|a| a.event.terms);
        let mut amended: BTreeMap<B256, Terms> = amended.map(|terms| (terms.session, terms)).collect();
        Ok(opened.map(|terms| amended.remove(&terms.session).unwrap_or(terms)).collect())
    }

    /// Bills paid out, of all sites or of one.
    pub async fn claims(&self, site: Option<B256>) -> Result<Vec<Logged<ISettlement::Claimed>>> {
        let mut filter = Filter::new().address(self.deployment.settlement);
        if let Some(site) = site {
            filter = filter.topic1(site);
        }
        self.logs(filter, self.deployment.block, None).await
    }

    /// Events of bookings, of all or of a driver or EVSE: booked, cancelled, no-shows, checked in.
    pub async fn bookings<E: SolEvent>(&self, which: &Which) -> Result<Vec<Logged<E>>> {
        let mut filter = Filter::new().address(self.deployment.bookings);
        if let Some(evse) = which.evse {
            filter = filter.topic1(evse);
        }
        if let Some(driver) = which.driver {
            filter = filter.topic2(driver.into_word());
        }
        self.logs(filter, self.deployment.block, None).await
    }

    /// All events of sessions have the same topics.
    async fn of_sessions<E: SolEvent>(&self, which: &Which) -> Result<Vec<Logged<E>>> {
        let mut filter = Filter::new().address(self.deployment.settlement);
        if let Some(site) = which.site {
            filter = filter.topic1(site);
        }
        if let Some(driver) = which.driver {
            filter = filter.topic2(driver.into_word());
        }
        if let Some(evse) = which.evse {
            filter = filter.topic3(evse);
        }
        self.logs(filter, self.deployment.block, None).await
    }

    /// Money that came in.
    pub async fn deposits(&self) -> Result<Vec<Logged<ISettlement::Deposited>>> {
        self.logs(Filter::new().address(self.deployment.settlement), self.deployment.block, None).await
    }

    pub(super) async fn thresholds(&self) -> Result<Vec<Logged<ISettlement::LowBalanceThresholdSet>>> {
        self.logs(Filter::new().address(self.deployment.settlement), self.deployment.block, None).await
    }

    pub(super) async fn logs<E: SolEvent>(&self, filter: Filter, from: u64, to: Option<u64>) -> Result<Vec<Logged<E>>> {
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
