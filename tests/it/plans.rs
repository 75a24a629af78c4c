//! Plans on a real Anvil: what an owner asks, what a poster stakes, and what becomes of a plan that somebody doubts.

use super::chain::Local;
use alloy::primitives::{B256, I256};
use anyhow::{Context, Result};
use optimizer::certificate::{Planned, certify, leaves};
use optimizer::controller::with_foresight;
use optimizer::problem::{Need, Peak, Problem};
use optimizer::solve::Planner;
use optimizer::units::{Interval, Micro, MicroPerKw, MicroPerKwh, UnixTime, WattHours, Watts};
use oracle::abi::{Certificate, IPlans, PlanMode};
use oracle::chain::Call;
use oracle::commands::plans::{ChallengeArgs, Mode, RulesArgs, StakeArgs, challenge, rules, stake};
use oracle::{merkle, signing};
use std::process::ExitCode;

const BOND: Micro = Micro(1_000_000);
const DAY_S: i64 = 86_400;
/// As [`Local::request`] asks for, from the first interval of the scenario on.
const ENERGY: WattHours = WattHours(5_000);
const UNTIL: usize = 40;

/// The whole day from `interval` on with one car.
fn problem(local: &Local, interval: Interval) -> Result<Problem> {
    let (lane, evse, _) = local.site().evses().next().context("no EVSE")?;
    let need = Need {
        session: "a car".to_owned(),
        lane,
        group: evse.group,
        until: UNTIL,
        max_w: Watts(7_360),
        car_w: Watts(7_360),
        energy_wh: ENERGY,
        ..Need::default()
    };
    let mut problem = with_foresight(local.site(), local.scenario(), vec![need]);
    problem.first = interval;
    Ok(problem)
}

/// Its plan, and the certificate.
fn planned(local: &Local, interval: Interval) -> Result<Planned> {
    Ok(Planned::of(&mut Planner::new(), &problem(local, interval)?, 10_000)?)
}

/// The call that posts it; `lie` is added to the bound that is claimed, where the mode is to claim.
fn post(local: &Local, interval: Interval, lie: Option<i128>) -> Result<Call> {
    call(local, interval, &planned(local, interval)?, lie)
}

fn call(local: &Local, interval: Interval, planned: &Planned, lie: Option<i128>) -> Result<Call> {
    let certificate = planned.certificate.as_ref().map_err(|why| anyhow::anyhow!("{why}"))?;
    let lanes = planned.schedule.column(0).iter().flat_map(|w| w.lane().unwrap().to_be_bytes()).collect();
    let verdict = &certificate.verdict;
    let claimed = lie.map(|lie| anyhow::Ok((I256::try_from(verdict.cost)?, I256::try_from(verdict.bound + lie)?)));
    Ok(Call::PostPlan {
        site: signing::id(&local.site().id),
        interval: interval.0,
        lanes,
        claimed: claimed.transpose()?,
        certificate: Box::new(merkle::rooted(certificate)?),
    })
}

fn start_of(interval: Interval) -> String {
    chrono::DateTime::from_timestamp(interval.start().0, 0).unwrap().to_rfc3339()
}

async fn set(local: &Local, mode: Mode, bond: Micro) -> Result<String> {
    let args = RulesArgs {
        site: local.site().id.clone(),
        mode: Some(mode),
        tolerance: None,
        epsilon: None,
        bond: Some(bond),
        verifier: None,
        from: None,
        sign_as: Some(local.site().owner.clone()),
        chain: local.args()?,
    };
    let mut printed = Vec::new();
    rules(&args, &mut printed).await?;
    Ok(String::from_utf8(printed)?)
}

async fn doubt(local: &Local, interval: Interval) -> Result<(ExitCode, String)> {
    let args = ChallengeArgs {
        site: local.site().id.clone(),
        interval: start_of(interval),
        sign_as: None,
        chain: local.args()?,
    };
    let mut printed = Vec::new();
    let code = challenge(&args, &mut printed).await?;
    Ok((code, String::from_utf8(printed)?))
}

async fn staked(local: &Local, deposit: Option<Micro>, release: bool) -> Result<String> {
    let release = release.then(|| local.site().id.clone());
    let args = StakeArgs { deposit, withdraw: None, release, chain: local.args()? };
    let mut printed = Vec::new();
    stake(&args, &mut printed).await?;
    Ok(String::from_utf8(printed)?)
}

#[tokio::test]
async fn a_claimed_plan_is_released_when_it_holds_and_refuted_when_it_does_not() -> Result<()> {
    let local = Local::start("quickstart").await?;
    let first = local.scenario().signals.first;
    let printed = set(&local, Mode::Optimistic, BOND).await?;
    assert!(printed.contains(": optimistic") && printed.contains("bond 1.000000"), "{printed}");
    let short = local.outcome(&post(&local, first, Some(0))?).await?.result.unwrap_err();
    assert_eq!(short.name, "StakeTooLow");
    assert!(staked(&local, Some(Micro(5 * BOND.0)), false).await?.contains("5.000000 can be staked"));

    let (honest, false_one) = (first, first.plus(1));
    assert!(local.outcome(&post(&local, honest, Some(0))?).await?.result.is_ok());
    // A bound that is higher than what the multipliers prove.
    assert!(local.outcome(&post(&local, false_one, Some(1))?).await?.result.is_ok());
    assert!(staked(&local, None, false).await?.contains("3.000000 can be staked"));

    let (code, printed) = doubt(&local, honest).await?;
    assert_eq!(code, ExitCode::FAILURE, "{printed}");
    assert!(printed.contains("no fault found") && printed.contains("CertificateHolds"), "{printed}");
    let (code, printed) = doubt(&local, false_one).await?;
    assert_eq!(code, ExitCode::SUCCESS, "{printed}");
    assert!(printed.contains("refuted by challenge; 3.500000 can be staked"), "half of the bond: {printed}");

    let chain = &local.protocol.chain;
    assert!(staked(&local, None, true).await?.contains("0 bonds given back"), "its day is not over");
    chain.mine_at(UnixTime(honest.start().0 + DAY_S)).await?;
    let printed = staked(&local, None, true).await?;
    assert!(printed.contains("1 bonds given back") && printed.contains("4.500000 can be staked"), "{printed}");
    let site = signing::id(&local.site().id);
    for (interval, certified) in [(honest, true), (false_one, false)] {
        assert_eq!(local.protocol.is_certified(site, interval.0).await?, certified, "{interval}");
    }
    Ok(())
}

#[tokio::test]
async fn a_proved_plan_counts_at_once_until_its_root_is_shown_to_be_false() -> Result<()> {
    let local = Local::start("quickstart").await?;
    let (first, site) = (local.scenario().signals.first, signing::id(&local.site().id));
    let rules = local.protocol.plan_rules(site, first.0).await?;
    assert_eq!((rules.mode, rules.settlement), (PlanMode::Proved, local.protocol.deployment.settlement));

    let honest = post(&local, first, None)?;
    let outcome = local.outcome(&honest).await?;
    let logs = outcome.result.map_err(|reason| anyhow::anyhow!("{reason}"))?;
    let posted = logs.iter().find_map(|log| <IPlans::PlanPosted as alloy::sol_types::SolEvent>::decode_log(log).ok());
    let plan = posted.context("no PlanPosted")?.data.plan;
    assert_eq!(plan.rules.verifier, local.protocol.deployment.verifier);
    assert!(local.protocol.is_certified(site, first.0).await?);
    // A driver proves its own row and price with the leaves beside it.
    let Call::PostPlan { certificate, .. } = honest else { unreachable!() };
    let leaves = leaves(&certificate.inputs, &certificate.schedule, &certificate.multipliers)?;
    assert_eq!((leaves.len(), leaves[0].energy_wh(), leaves[0].until), (1, ENERGY.0, UNTIL));
    assert_eq!(merkle::need_leaf(&leaves[0]), plan.root);
    let (code, printed) = doubt(&local, first).await?;
    assert_eq!(code, ExitCode::FAILURE, "{printed}");
    assert!(printed.contains("RootHolds"), "{printed}");

    let Call::PostPlan { mut certificate, site, interval, lanes, claimed } = post(&local, first.plus(1), None)? else {
        unreachable!()
    };
    certificate.root = signing::id("another root");
    assert!(local.outcome(&Call::PostPlan { certificate, site, interval, lanes, claimed }).await?.result.is_ok());
    assert!(local.protocol.is_certified(site, interval).await?);
    let (code, printed) = doubt(&local, first.plus(1)).await?;
    assert_eq!(code, ExitCode::SUCCESS, "{printed}");
    assert!(printed.contains("refuted by refuteRoot"), "{printed}");
    assert!(!local.protocol.is_certified(site, interval).await?);
    Ok(())
}

/// Its plan as if what is cheap were dear, which keeps every limit.
fn dear(local: &Local, interval: Interval) -> Result<Planned> {
    let problem = problem(local, interval)?;
    let dearest = problem.import_price.iter().max().context("no prices")?;
    let turned = problem.import_price.iter().map(|price| MicroPerKwh(dearest.0 - price.0)).collect();
    let turned = Problem { import_price: turned, ..problem.clone() };
    let (schedule, _) = Planner::new().plan_to_certify(&turned, 10_000)?;
    let (_, multipliers) = Planner::new().plan_to_certify(&problem, 10_000)?;
    let certificate = certify(&problem, &schedule, &multipliers)?;
    Ok(Planned { schedule, certificate: Ok(Box::new(certificate)) })
}

#[tokio::test]
async fn a_dear_plan_is_undercut_by_whoever_looks_for_a_cheaper_one() -> Result<()> {
    let local = Local::start("quickstart").await?;
    let (first, site) = (local.scenario().signals.first, signing::id(&local.site().id));
    set(&local, Mode::Improved, BOND).await?;
    staked(&local, Some(Micro(2 * BOND.0)), false).await?;
    let (cheap, dear_one) = (first, first.plus(1));
    assert!(local.outcome(&post(&local, cheap, None)?).await?.result.is_ok());
    assert!(local.outcome(&call(&local, dear_one, &dear(&local, dear_one)?, None)?).await?.result.is_ok());
    for interval in [cheap, dear_one] {
        assert!(local.protocol.is_certified(site, interval.0).await?, "any gap will do");
    }
    let (code, printed) = doubt(&local, cheap).await?;
    assert_eq!(code, ExitCode::FAILURE, "{printed}");
    assert!(printed.contains("improve: no schedule was found that is cheaper"), "{printed}");
    let (code, printed) = doubt(&local, dear_one).await?;
    assert_eq!(code, ExitCode::SUCCESS, "{printed}");
    assert!(printed.contains("refuted by improve; 0.500000 can be staked"), "half of the bond: {printed}");
    assert!(!local.protocol.is_certified(site, dear_one.0).await?);
    Ok(())
}

#[tokio::test]
async fn what_a_contract_would_refuse_is_refused_before_it_is_sent() -> Result<()> {
    let local = Local::start("quickstart").await?;
    let (first, site) = (local.scenario().signals.first, signing::id(&local.site().id));
    let refusal = async |change: fn(&mut Certificate, &mut Vec<u8>)| {
        let Call::PostPlan { mut certificate, site, interval, mut lanes, claimed } = post(&local, first, None)? else {
            unreachable!()
        };
        change(&mut certificate, &mut lanes);
        local.refusal(&Call::PostPlan { certificate, site, interval, lanes, claimed }).await
    };
    // The penalty, a step more than is needed, a byte too few, another setpoint than the schedule's.
    assert_eq!(refusal(|c, _| c.inputs = change(&c.inputs, 15)).await?, "InputsNotOfSite");
    assert_eq!(refusal(|c, _| c.schedule = change(&c.schedule, 1)).await?, "EnergyExceeded");
    assert_eq!(refusal(|c, _| c.multipliers = c.multipliers.slice(1..)).await?, "WrongPartLength");
    assert_eq!(refusal(|_, lanes| lanes[1] ^= 1).await?, "WrongColumn");
    assert_eq!(local.protocol.uncertified(site).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_need_that_ends_at_another_time_than_its_driver_said_is_refuted() -> Result<()> {
    let local = Local::start("quickstart").await?;
    let (first, site) = (local.scenario().signals.first, signing::id(&local.site().id));
    assert!(local.outcome(&local.request("driver-02", 1)?).await?.result.is_ok());
    // What the poster could not have known does not count: a quarter hour.
    let chain = &local.protocol.chain;
    chain.mine_at(UnixTime(chain.head().await?.time.0 + 1_000)).await?;
    for interval in [first, first.plus(1)] {
        assert!(local.outcome(&post(&local, interval, None)?).await?.result.is_ok());
        assert!(local.protocol.is_certified(site, interval.0).await?);
    }
    let (code, printed) = doubt(&local, first).await?;
    assert_eq!(code, ExitCode::FAILURE, "{printed}");
    assert!(printed.contains("refuteNeed 0 by session 0x") && printed.contains("NeedHolds"), "{printed}");
    // The same number of intervals, counted from a later one.
    let (code, printed) = doubt(&local, first.plus(1)).await?;
    assert_eq!(code, ExitCode::SUCCESS, "{printed}");
    assert!(printed.contains("refuted by refuteNeed"), "{printed}");
    assert!(!local.protocol.is_certified(site, first.plus(1).0).await?);
    Ok(())
}

/// Posts a plan half a minute before its interval, as a day does.
async fn plan_in_time(local: &Local, interval: Interval, change: impl FnOnce(&mut Problem)) -> Result<()> {
    local.protocol.chain.mine_at(UnixTime(interval.start().0 - 30)).await?;
    let mut problem = problem(local, interval)?;
    change(&mut problem);
    let planned = Planned::of(&mut Planner::new(), &problem, 10_000)?;
    let outcome = local.outcome(&call(local, interval, &planned, None)?).await?;
    anyhow::ensure!(outcome.result.is_ok(), "{:?}", outcome.result);
    Ok(())
}

/// Posts readings of an interval that is over: `energy_wh` in the first lane, nothing in the others.
async fn read(local: &Local, interval: Interval, energy_wh: i32) -> Result<()> {
    local.protocol.chain.mine_at(interval.end()).await?;
    let mut lanes = vec![0; 4 * local.site().assets.len()];
    lanes[..4].copy_from_slice(&energy_wh.to_be_bytes());
    let (site, root) = (signing::id(&local.site().id), B256::repeat_byte(7));
    let outcome = local.outcome(&Call::PostReadings { site, interval: interval.0, lanes, root }).await?;
    anyhow::ensure!(outcome.result.is_ok(), "{:?}", outcome.result);
    Ok(())
}

#[tokio::test]
async fn a_battery_that_fills_by_itself_is_refuted_and_one_that_does_not_is_not() -> Result<()> {
    let local = Local::start("quickstart").await?;
    let (first, site) = (local.scenario().signals.first, signing::id(&local.site().id));
    plan_in_time(&local, first, |_| ()).await?;
    plan_in_time(&local, first.plus(1), |_| ()).await?;
    read(&local, first, 0).await?;
    plan_in_time(&local, first.plus(2), |_| ()).await?;
    read(&local, first.plus(1), 0).await?;
    // Its meter has counted nothing.
    plan_in_time(&local, first.plus(3), |problem| problem.storages[0].content_wh = WattHours(39_000)).await?;

    let (code, printed) = doubt(&local, first.plus(2)).await?;
    assert_eq!(code, ExitCode::FAILURE, "{printed}");
    let by = format!("refuteContent 0 by the plan of interval {}: ", first.plus(1).0);
    assert!(printed.contains(&by) && printed.contains("ContentHolds"), "{printed}");
    let (code, printed) = doubt(&local, first.plus(3)).await?;
    assert_eq!(code, ExitCode::SUCCESS, "{printed}");
    assert!(printed.contains("refuted by refuteContent"), "{printed}");
    assert!(local.protocol.is_certified(site, first.plus(2).0).await?);
    assert!(!local.protocol.is_certified(site, first.plus(3).0).await?);
    Ok(())
}

#[tokio::test]
async fn a_peak_that_was_metered_and_forgotten_is_refuted() -> Result<()> {
    let local = Local::start("quickstart").await?;
    let (first, site) = (local.scenario().signals.first, signing::id(&local.site().id));
    let mut rules = local.protocol.plan_rules(site, first.0).await?;
    rules.terms = B256::ZERO;
    let owner = local.keyring.person(&local.site().owner)?;
    local.protocol.set_rules(&owner, site, rules, first.0).await?;
    let peak = |so_far_w: i64| {
        move |problem: &mut Problem| {
            problem.peak = Some(Peak { so_far_w: Watts(so_far_w), price: MicroPerKw(100_000) });
        }
    };
    plan_in_time(&local, first, peak(0)).await?;
    plan_in_time(&local, first.plus(1), peak(0)).await?;
    read(&local, first, 5_000).await?;
    plan_in_time(&local, first.plus(2), peak(20_000)).await?;
    read(&local, first.plus(1), 0).await?;
    plan_in_time(&local, first.plus(3), peak(19_000)).await?;

    let (code, printed) = doubt(&local, first.plus(2)).await?;
    assert_eq!(code, ExitCode::FAILURE, "{printed}");
    assert!(printed.contains("refutePeak by readings of interval") && printed.contains("PeakHolds"), "{printed}");
    let (code, printed) = doubt(&local, first.plus(3)).await?;
    assert_eq!(code, ExitCode::SUCCESS, "{printed}");
    assert!(printed.contains("refuted by refutePeak"), "{printed}");
    assert!(!local.protocol.is_certified(site, first.plus(3).0).await?);
    Ok(())
}

fn change(bytes: &[u8], at: usize) -> alloy::primitives::Bytes {
    let mut changed = bytes.to_vec();
    changed[at] ^= 1;
    changed.into()
}
