//! What a plan takes a battery to hold and the peak to be so far: what shows it to be wrong, from what was posted alone.

use super::events::Logged;
use super::history::History;
use super::views::Protocol;
use crate::abi::IPlans::{self, PlanPosted};
use crate::abi::{ContentProof, HistoryProof, Plan, PostedReadings};
use crate::audit::plans::{import_w, is_same_month};
use alloy::primitives::{Bytes, U256};
use anyhow::{Context, Result};
use optimizer::certificate::Claims;
use optimizer::units::INTERVAL_S;
use std::ops::Range;

/// As many as a dispute of readings may have; the chain takes what fits into a transaction.
const STEPS_MOST: usize = 1024;
/// As the contract.
const READINGS_MOST: u32 = 96;

impl History {
    fn proof(&self, from: usize, plan: usize) -> Result<HistoryProof> {
        let (previous, steps) = (self.before(from), self.steps(from));
        Ok(HistoryProof { previous, steps, planStep: u16::try_from(plan - from)? })
    }

    /// Steps of the readings of intervals, where all were posted before the step `before`.
    fn readings_before(&self, intervals: Range<u32>, before: usize) -> Option<Vec<usize>> {
        let step = |interval: u32| self.metered.get(&interval).copied().filter(|step| *step < before);
        intervals.map(step).collect()
    }

    /// What shows the content that `plan` claims to be wrong, if it is, by an `earlier` plan of the same poster; none where
    /// readings between them were not posted in time.
    fn content_proof(&self, plan: &Plan, earlier: &Plan) -> Result<Option<ContentProof>> {
        let (first, end) = (posted_in(earlier), posted_in(plan));
        let is_near = first < end && end - first <= READINGS_MOST && earlier.poster == plan.poster;
        let Some((&from, &at)) = self.planned.get(&earlier.interval).zip(self.planned.get(&plan.interval)) else {
            return Ok(None);
        };
        let Some(steps) = self.readings_before(first..end, at).filter(|_| is_near && from < at) else {
            return Ok(None);
        };
        Ok(Some(ContentProof {
            earlier: earlier.clone(),
            inputs: Bytes::new(),
            earlierStep: 0,
            readings: steps.into_iter().map(|step| self.readings(from, step)).collect::<Result<_>>()?,
            history: self.proof(from, at)?,
        }))
    }

    /// The highest import of the plan's month that was known before it.
    fn peak_proof(&self, plan: &Plan) -> Result<Option<(PostedReadings, HistoryProof)>> {
        let Some(&at) = self.planned.get(&plan.interval) else { return Ok(None) };
        let oldest = self.posts.len().saturating_sub(STEPS_MOST);
        let known = self.posts[..at].iter().enumerate().skip(oldest);
        let of_month = known.filter(|(_, post)| post.is_readings() && is_same_month(post.step.interval, plan.interval));
        let Some((step, _)) = of_month.max_by_key(|(_, post)| import_w(&post.step.lanes)) else { return Ok(None) };
        Ok(Some((self.readings(step, step)?, self.proof(step, at)?)))
    }
}

/// The interval in which a plan was posted.
fn posted_in(plan: &Plan) -> u32 {
    (plan.postedAt.to::<u64>() / INTERVAL_S as u64) as u32
}

impl Protocol {
    /// What to try against the contents that a plan claims: the earliest plan that can be used shows what was left out bit by
    /// bit, the newest what was left out at once, because less is tolerated of what has flowed since.
    pub(super) async fn content_refutations(
        &self,
        history: &History,
        posted: &[Logged<PlanPosted>],
        plan: &Plan,
        inputs: &Bytes,
        claims: &Claims,
    ) -> Result<Vec<IPlans::refuteContentCall>> {
        let mut usable = Vec::new();
        if claims.batteries.is_empty() {
            return Ok(Vec::new());
        }
        for p in posted.iter().filter(|p| p.event.site == plan.site && p.event.interval < plan.interval) {
            if let Some(proof) = history.content_proof(plan, &p.event.plan)?
                && self.stands(&p.event.plan).await?
            {
                usable.push((p.transaction, proof));
            }
        }
        let newest = usable.pop();
        let earliest = usable.into_iter().next();
        let mut calls = Vec::new();
        for (transaction, proof) in earliest.into_iter().chain(newest) {
            let earlier = &proof.earlier;
            let certificate = self.certificate_of(transaction, earlier.site, earlier.interval).await?;
            let evidence = ContentProof { inputs: certificate.inputs, ..proof };
            calls.extend((0..claims.batteries.len()).map(|index| IPlans::refuteContentCall {
                plan: plan.clone(),
                inputs: inputs.clone(),
                index: U256::from(index),
                evidence: evidence.clone(),
            }));
        }
        Ok(calls)
    }

    /// What to try against the peak so far that a plan claims.
    pub(super) fn peak_refutation(
        history: &History,
        plan: &Plan,
        inputs: &Bytes,
        claims: &Claims,
    ) -> Result<Option<IPlans::refutePeakCall>> {
        let proof = if claims.peak_w.is_some() { history.peak_proof(plan)? } else { None };
        let call = |(readings, history)| IPlans::refutePeakCall {
            plan: plan.clone(),
            inputs: inputs.clone(),
            readings,
            history,
        };
        Ok(proof.map(call))
    }

    /// Whether a plan is known or certified still: what was refuted is no evidence.
    async fn stands(&self, plan: &Plan) -> Result<bool> {
        let (site, interval) = (plan.site, plan.interval);
        let hash = self.plans().planHashAt(site, interval).call().await.context("a plan's hash")?;
        Ok(!hash.is_zero() || self.is_certified(site, interval).await?)
    }
}
