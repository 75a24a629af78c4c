//! What owners, posters and challengers do about plans apart from posting them: rules, stakes, challenges, releases.

use super::batch::Batch;
use super::events::{Logged, Which};
use super::revert::RevertReason;
use super::transact::{Draft, GAS_MOST};
use super::views::Protocol;
use crate::abi::{Certificate, ICreditToken, IPlans, Plan, PlanMode, PlanRules, Terms};
use crate::audit::plans::UNITS;
use crate::merkle::rooted;
use alloy::consensus::Transaction;
use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::providers::Provider;
use alloy::rpc::types::TransactionRequest;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::SolCall;
use anyhow::{Context, Result, ensure};
use optimizer::certificate::{better, claims, leaves};
use optimizer::units::{Interval, Micro};
use std::collections::BTreeMap;

/// Rules, stakes and releases write a few slots.
const GAS_STEP: u64 = 400_000;
/// Plans of a site that the contract keeps: Plans' PLAN_DEPTH.
const PLAN_DEPTH: u32 = 256;
/// A plan can be challenged for so long from the start of its interval: Plans' CHALLENGE_WINDOW.
pub(crate) const CHALLENGE_WINDOW_S: i64 = 86_400;

/// What came of looking for a fault in a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// A fault was found, and the plan refuted by this call.
    Refuted(&'static str),
    /// None was: by each call, why.
    Holds(Vec<(String, RevertReason)>),
}

impl Protocol {
    /// Sets what a site asks of its plans from an interval on. The owner's.
    pub async fn set_rules(&self, owner: &PrivateKeySigner, site: B256, rules: PlanRules, from: u32) -> Result<()> {
        self.one_step("rules of plans", owner, &IPlans::setRulesCall { site, rules, from }).await
    }

    /// Money of an account that can be staked on plans.
    pub async fn stake(&self, account: Address) -> Result<Micro> {
        super::views::micro(self.plans().stakeOf(account).call().await.context("stake")?)
    }

    /// Brings in the operator's money, to be staked on its plans; out of the faucet where that is the operator's.
    pub async fn deposit_stake(&self, amount: Micro) -> Result<()> {
        let chain = &self.chain;
        let has = self.credit_balance(chain.operator()).await?;
        let mut batch = Batch::new(chain).await?;
        if has < amount {
            ensure!(self.makes_money(), "{} has {has} micro-credits, {amount} are asked for", chain.operator());
            let missing = U256::from(u64::try_from((amount - has).0)?);
            let mint = ICreditToken::mintCall { to: chain.operator(), amount: missing };
            batch.push("faucet", &chain.operator, Draft::call(self.deployment.credit, &mint, GAS_STEP)).await?;
        }
        let amount = U256::from(u64::try_from(amount.0).context("a negative amount")?);
        let approve = ICreditToken::approveCall { spender: self.deployment.plans, amount };
        let approve = Draft::call(self.deployment.credit, &approve, GAS_STEP);
        batch.push("allowance of the stake", &chain.operator, approve).await?;
        let deposit = Draft::call(self.deployment.plans, &IPlans::depositStakeCall { amount }, GAS_STEP);
        batch.push("stake", &chain.operator, deposit).await?;
        batch.run().await
    }

    /// Takes out money of the operator's that is not staked.
    pub async fn withdraw_stake(&self, amount: Micro) -> Result<()> {
        let amount = U256::from(u64::try_from(amount.0).context("a negative amount")?);
        let to = self.chain.operator();
        self.one_step("stake", &self.chain.operator, &IPlans::withdrawStakeCall { to, amount }).await
    }

    /// Plans of a site that can no longer be challenged, and have a bond to give back or wait for that to be certified.
    pub async fn releasable(&self, site: B256) -> Result<Vec<Plan>> {
        let now = self.chain.head().await?.time;
        let mut due = Vec::new();
        for posted in self.plans_posted(self.deployment.block, None).await? {
            let plan = posted.event.plan;
            let over = Interval(plan.interval).start().0 + CHALLENGE_WINDOW_S <= now.0;
            let kept = plan.interval + PLAN_DEPTH > Interval::containing(now).0;
            let waits = plan.rules.bond > 0 || plan.rules.mode == PlanMode::Optimistic;
            if plan.site != site || !over || !kept || !waits {
                continue;
            }
            let release = IPlans::releaseCall { plan: plan.clone() };
            if self.would(self.deployment.plans, &release, self.chain.operator()).await?.is_ok() {
                due.push(plan);
            }
        }
        Ok(due)
    }

    /// Releases what is [`Protocol::releasable`]; returns how many plans.
    pub async fn release(&self, site: B256) -> Result<usize> {
        let mut batch = Batch::new(&self.chain).await?;
        for plan in self.releasable(site).await? {
            let draft = Draft::call(self.deployment.plans, &IPlans::releaseCall { plan }, GAS_STEP);
            batch.push("release", &self.chain.operator, draft).await?;
        }
        let count = batch.steps.len();
        batch.run().await?;
        Ok(count)
    }

    /// Looks for a fault in a plan by its certificate from the calldata, the sessions that are open, earlier plans and what was
    /// posted as readings, as the contract would, and refutes it where there is one. Anyone's; what a challenger gets is in its stake.
    pub async fn challenge(&self, challenger: &PrivateKeySigner, site: B256, interval: u32) -> Result<Challenge> {
        let posted = self.plans_posted(self.deployment.block, None).await?;
        let found = posted.iter().find(|p| p.event.site == site && p.event.interval == interval);
        let found = found.context("no plan with a certificate was posted for this interval")?;
        let certificate = self.certificate_of(found.transaction, site, interval).await?;
        let plan = found.event.plan.clone();
        let mut reasons = Vec::new();
        if plan.rules.mode == PlanMode::Optimistic {
            let call = IPlans::challengeCall { plan: plan.clone(), certificate: certificate.clone() };
            if let Some(refuted) = self.attempt("challenge", "", challenger, &call, &mut reasons).await? {
                return Ok(refuted);
            }
        }
        if plan.rules.mode == PlanMode::Improved {
            match self.improvement(&plan, &certificate).await? {
                Ok(call) => {
                    if let Some(refuted) = self.attempt("improve", "", challenger, &call, &mut reasons).await? {
                        return Ok(refuted);
                    }
                }
                Err(why) => reasons.push(("improve".to_owned(), RevertReason::unknown(why))),
            }
        }
        let call = IPlans::refuteRootCall { plan: plan.clone(), certificate: certificate.clone() };
        if let Some(refuted) = self.attempt("refuteRoot", "", challenger, &call, &mut reasons).await? {
            return Ok(refuted);
        }
        for (index, terms) in self.needs_of(site, &certificate).await? {
            let (plan, inputs) = (plan.clone(), certificate.inputs.clone());
            let name = format!(" {index} by session {}", terms.session);
            let call = IPlans::refuteNeedCall { plan, inputs, index: U256::from(index), terms };
            if let Some(refuted) = self.attempt("refuteNeed", &name, challenger, &call, &mut reasons).await? {
                return Ok(refuted);
            }
        }
        let refuted = self.attempt_stored(challenger, &posted, &plan, &certificate, &mut reasons).await?;
        Ok(refuted.unwrap_or(Challenge::Holds(reasons)))
    }

    /// What batteries hold and the peak so far, by what else was posted.
    async fn attempt_stored(
        &self,
        challenger: &PrivateKeySigner,
        posted: &[Logged<IPlans::PlanPosted>],
        plan: &Plan,
        certificate: &Certificate,
        reasons: &mut Vec<(String, RevertReason)>,
    ) -> Result<Option<Challenge>> {
        let Certificate { inputs, multipliers, .. } = certificate;
        // Whose inputs say nothing has a certificate that does not hold, which is found out before.
        let Ok(claims) = claims(inputs, multipliers) else { return Ok(None) };
        let history = self.history_of(plan.site).await?;
        for call in self.content_refutations(&history, posted, plan, inputs, &claims).await? {
            let name = format!(" {} by the plan of interval {}", call.index, call.evidence.earlier.interval);
            let refuted = self.attempt("refuteContent", &name, challenger, &call, reasons).await?;
            if refuted.is_some() {
                return Ok(refuted);
            }
        }
        let Some(call) = Self::peak_refutation(&history, plan, inputs, &claims)? else { return Ok(None) };
        let name = format!(" by readings of interval {}", call.readings.interval);
        self.attempt("refutePeak", &name, challenger, &call, reasons).await
    }

    /// A schedule of the plan's inputs that is cheaper by more than the site's epsilon; or why there is none to show.
    async fn improvement(&self, plan: &Plan, certificate: &Certificate) -> Result<Result<IPlans::improveCall, String>> {
        let most = i128::try_from(plan.cost)? - UNITS * i128::from(plan.rules.epsilon);
        let (inputs, first) = (certificate.inputs.clone(), Interval(plan.interval));
        let found = tokio::task::spawn_blocking(move || better(&inputs, first, most)).await?;
        Ok(match found {
            Ok(Some(found)) => Ok(IPlans::improveCall { plan: plan.clone(), better: rooted(&found)? }),
            Ok(None) => Err("no schedule was found that is cheaper by more than epsilon".to_owned()),
            Err(why) => Err(why),
        })
    }

    /// Refutes a plan if the contract would have it; else remembers why not.
    async fn attempt(
        &self,
        what: &'static str,
        which: &str,
        challenger: &PrivateKeySigner,
        call: &impl SolCall,
        reasons: &mut Vec<(String, RevertReason)>,
    ) -> Result<Option<Challenge>> {
        match self.would(self.deployment.plans, call, challenger.address()).await? {
            Ok(()) => Ok(Some(self.refute(what, challenger, call).await?)),
            Err(reason) => {
                reasons.push((format!("{what}{which}"), reason));
                Ok(None)
            }
        }
    }

    /// Needs of a certificate by their place, with the terms of the newest session at their EVSE.
    async fn needs_of(&self, site: B256, certificate: &Certificate) -> Result<Vec<(usize, Terms)>> {
        let leaves = leaves(&certificate.inputs, &certificate.schedule, &certificate.multipliers);
        let assets = self.assets_registered(Some(site)).await?;
        let which = Which { site: Some(site), ..Which::default() };
        let newest = self.newest_terms(&which).await?;
        let terms: BTreeMap<B256, Terms> = newest.into_iter().map(|terms| (terms.evse, terms)).collect();
        // Who posts no leaves has a certificate that does not hold, which is found out before.
        let lanes = leaves.unwrap_or_default().into_iter().enumerate();
        let of_lane = |lane: usize| terms.get(&assets.get(lane)?.event.asset).cloned();
        Ok(lanes.filter_map(|(index, leaf)| Some((index, of_lane(leaf.lane)?))).collect())
    }

    /// The certificate of a plan, from the transaction that posted it.
    pub async fn certificate_of(&self, transaction: B256, site: B256, interval: u32) -> Result<Certificate> {
        let sent = self.chain.provider.get_transaction_by_hash(transaction).await.context("transaction")?;
        let sent = sent.with_context(|| format!("the node no longer has transaction {transaction}"))?;
        let proved = IPlans::postProvedCall::abi_decode(sent.input()).map(|c| (c.site, c.interval, c.certificate));
        let claimed = || IPlans::postClaimedCall::abi_decode(sent.input()).map(|c| (c.site, c.interval, c.certificate));
        let found = proved.or_else(|_| claimed());
        let (of, at, certificate) = found.with_context(|| {
            format!(
                "transaction {transaction} posts its plan inside another call, which this command does not look into"
            )
        })?;
        ensure!((of, at) == (site, interval), "transaction {transaction} posts another plan");
        Ok(certificate)
    }

    async fn refute(&self, what: &'static str, key: &PrivateKeySigner, call: &impl SolCall) -> Result<Challenge> {
        self.send_estimated(what, key, self.deployment.plans, call).await?;
        Ok(Challenge::Refuted(what))
    }

    /// Sends a call that is known to succeed, with as much gas as it takes now and a quarter more.
    pub(super) async fn send_estimated(
        &self,
        what: &str,
        key: &PrivateKeySigner,
        to: Address,
        call: &impl SolCall,
    ) -> Result<()> {
        let estimate = self.chain.provider.estimate_gas(request(to, call, key.address())).await.context("gas")?;
        let gas = (estimate + estimate / 4).min(GAS_MOST);
        let mut batch = Batch::new(&self.chain).await?;
        batch.push(what, key, Draft::call(to, call, gas)).await?;
        batch.run().await
    }

    async fn one_step(&self, what: &str, key: &PrivateKeySigner, call: &impl SolCall) -> Result<()> {
        let mut batch = Batch::new(&self.chain).await?;
        batch.push(what, key, Draft::call(self.deployment.plans, call, GAS_STEP)).await?;
        batch.run().await
    }

    /// What a call would do now: nothing, or a refusal.
    pub(super) async fn would(
        &self,
        to: Address,
        call: &impl SolCall,
        from: Address,
    ) -> Result<Result<(), RevertReason>> {
        self.chain.try_call(request(to, call, from)).await
    }
}

fn request(to: Address, call: &impl SolCall, from: Address) -> TransactionRequest {
    let input: Bytes = call.abi_encode().into();
    TransactionRequest::default().from(from).to(to).input(input.into())
}
