//! Disputes of rewards for flexibility: the evidence, from what was posted alone, and what Settlement makes of it.

use super::history::History;
use super::revert::RevertReason;
use super::views::Protocol;
use crate::abi::ISettlement::disputeRewardCall;
use crate::abi::{Bill, OpenedNeed, RewardEvidence, Terms};
use crate::merkle;
use alloy::primitives::{B256, keccak256};
use alloy::signers::local::PrivateKeySigner;
use anyhow::{Context, Result, bail, ensure};
use optimizer::certificate::leaves;
use optimizer::units::INTERVAL_S;

/// What came of doubting a reward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// It was more than posted readings and plans can make of it, and was lowered.
    Corrected {
        /// Tokens that were claimed.
        from: u128,
        /// Tokens that the driver gets.
        to: u128,
    },
    /// It is not.
    Holds(RevertReason),
}

impl Protocol {
    /// Has Settlement compare the reward of a session with what was posted, and lowers it where it is too high. Anyone's.
    pub async fn dispute_reward(&self, challenger: &PrivateKeySigner, session: B256) -> Result<Doubt> {
        let (call, settlement) = (self.reward_dispute(session).await?, self.deployment.settlement);
        match self.would(settlement, &call, challenger.address()).await? {
            Err(reason) if reason.name == "RewardHolds" => Ok(Doubt::Holds(reason)),
            Err(reason) => bail!("refused: {reason}"),
            Ok(()) => {
                let from = call.bill.reward;
                self.send_estimated("dispute of a reward", challenger, settlement, &call).await?;
                Ok(Doubt::Corrected { from, to: self.bill_of(&call.terms).await?.reward })
            }
        }
    }

    /// What Settlement is asked, with all the evidence that there is.
    pub async fn reward_dispute(&self, session: B256) -> Result<disputeRewardCall> {
        let (terms, _) = self.terms_of(session).await?.context("no such session was opened")?;
        let bill = self.bill_of(&terms).await?;
        ensure!(bill.reward > 0, "no reward is claimed that could be disputed");
        let evidence = self.reward_evidence(&terms, &bill).await?;
        Ok(disputeRewardCall { terms, bill, evidence })
    }

    async fn bill_of(&self, terms: &Terms) -> Result<Bill> {
        let which = super::events::Which { site: None, driver: Some(terms.driver), evse: Some(terms.evse) };
        self.newest_bills(&which).await?.remove(&terms.session).context("the session is not settled")
    }

    async fn reward_evidence(&self, terms: &Terms, bill: &Bill) -> Result<RewardEvidence> {
        let interval = |time: u64| u32::try_from(time / INTERVAL_S as u64);
        let first = interval(bill.startTime.to())?;
        let last = interval(bill.stopTime.to::<u64>().saturating_sub(1))?.max(first);
        let history = self.history_of(terms.site).await?;
        let begin = history.posts.iter().position(|post| (first..=last).contains(&post.step.interval));
        let begin = begin.context("nothing was posted for the stay")?;
        // A stay within one interval has nothing to be metered apart.
        let wanted = if last > first { first..last + 1 } else { first..first };
        let posted = wanted.filter(|t| *t != last || history.metered.contains_key(t)).map(|t| {
            let at = history.metered.get(&t).with_context(|| {
                format!(
                    "no readings of interval {t} were posted: nothing can be disputed on the chain (`provolt verify`)"
                )
            })?;
            history.readings(begin, *at)
        });
        let readings = posted.collect::<Result<_>>()?;
        let needs = self.needs_opened(terms, first + 1..=last, &history, begin).await?;
        Ok(RewardEvidence { previous: history.before(begin), steps: history.steps(begin), readings, needs })
    }

    /// What plans of the intervals took for the session's EVSE. A plan without a need of it is left out, and so is one whose
    /// root is not that of its needs, which `challenge` is for.
    async fn needs_opened(
        &self,
        terms: &Terms,
        intervals: std::ops::RangeInclusive<u32>,
        history: &History,
        begin: usize,
    ) -> Result<Vec<OpenedNeed>> {
        let assets = self.assets_registered(Some(terms.site)).await?;
        let lane = assets.iter().position(|a| a.event.asset == terms.evse).context("the EVSE is not registered")?;
        let mut opened = Vec::new();
        for posted in self.plans_posted(self.deployment.block, None).await? {
            let plan = posted.event.plan;
            if plan.site != terms.site || !intervals.contains(&plan.interval) {
                continue;
            }
            let Some(at) = history.planned.get(&plan.interval).filter(|at| **at >= begin) else { continue };
            let c = self.certificate_of(posted.transaction, plan.site, plan.interval).await?;
            // Who posts no leaves has a certificate that does not hold.
            let leaves = leaves(&c.inputs, &c.schedule, &c.multipliers).unwrap_or_default();
            let hashes: Vec<B256> = leaves.iter().map(merkle::need_leaf).collect();
            let index = leaves.iter().position(|leaf| leaf.lane == lane && leaf.from == 0);
            let Some(index) = index.filter(|_| merkle::root(&hashes) == plan.root) else { continue };
            let leaf = &leaves[index];
            opened.push(OpenedNeed {
                step: u16::try_from(at - begin)?,
                plan,
                need: leaf.need.clone().into(),
                rowHash: keccak256(&leaf.cells),
                prices: merkle::need_prices(leaf).into(),
                siblings: merkle::siblings(&hashes, index),
            });
        }
        Ok(opened)
    }
}
