//! Rewards of a real day, doubted by anybody with what the chain alone tells.

use super::day::Ground;
use alloy::primitives::B256;
use anyhow::{Context, Result};
use optimizer::units::{Micro, UnixTime};
use oracle::abi::{Bill, Flexibility, Terms};
use oracle::audit::explain::explain;
use oracle::audit::report::Kind;
use oracle::chain::events::Which;
use oracle::chain::{Call, Protocol};
use oracle::commands::{ChainArgs, dispute, history, verify};
use oracle::keys::Keyring;
use oracle::payout::pay_out;
use oracle::signing;
use oracle::store::Store;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// Where a need has the most power that its plan took for the car.
const MOST: usize = 6;
/// A Wh at the end of the stay and one at every step of prices, in tokens: a share of thousandths of a credit.
const ROUNDINGS: u128 = 2_000;

async fn doubt(args: &ChainArgs, session: B256, sign_as: Option<&str>) -> Result<(ExitCode, String)> {
    let session = session.to_string().parse().map_err(anyhow::Error::msg)?;
    let args = dispute::Args { session, sign_as: sign_as.map(str::to_owned), chain: args.clone() };
    let mut printed = Vec::new();
    let code = dispute::run(&args, &mut printed).await?;
    Ok((code, String::from_utf8(printed)?))
}

/// An operator that claims as much for a session as any session may have earned.
async fn exaggerate(protocol: &Protocol, terms: &Terms, bill: &Bill) -> Result<()> {
    let activated_wh = (bill.stopMilliWh - bill.startMilliWh) / 1000;
    let worth = i64::try_from(activated_wh * terms.rewardCap / 1000)?;
    let flexibility = Flexibility { activatedWh: activated_wh.try_into()?, displacedWhIntervals: 0, worth };
    let call = Call::ClaimFlexibility { terms: terms.clone().into(), bill: bill.clone().into(), flexibility };
    let chain = &protocol.chain;
    let prepared = protocol.prepare(&call, chain.next_nonce().await?).await?;
    chain.send(&prepared).await?;
    chain.mine_at(UnixTime(0)).await?;
    let outcome = chain.await_outcomes(&[prepared.hash], Instant::now() + PATIENCE).await?.remove(0);
    outcome.result.map_err(|reason| anyhow::anyhow!("{reason}"))?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn honest_rewards_hold_and_an_exaggerated_one_is_corrected() -> Result<()> {
    let ground = Ground::new("quickstart")?;
    ground.run(&[])?;
    let (protocol, report, args) = (ground.protocol().await?, ground.report()?, ground.args());
    let every = Which::default();

    let bills = protocol.newest_bills(&every).await?;
    let terms: BTreeMap<B256, Terms> =
        protocol.newest_terms(&every).await?.into_iter().map(|terms| (terms.session, terms)).collect();
    let assets = protocol.assets_registered(None).await?.into_iter();
    let rated_w: BTreeMap<B256, u32> = assets.map(|a| (a.event.asset, a.event.data.ratedW)).collect();
    let (mut held, mut tight) = (0, 0);
    for (session, bill) in bills.iter().filter(|(_, bill)| bill.reward > 0) {
        let (code, printed) = doubt(&args, *session, None).await?;
        assert_eq!(code, ExitCode::FAILURE, "{printed}");
        let claimed = format!("RewardHolds(session {session}, reward {}, most ", bill.reward);
        let most = printed.split_once(&claimed).context(printed.clone())?.1;
        let most: u128 = most.trim().trim_end_matches(')').parse()?;
        assert!(most >= bill.reward, "{printed}");
        // Where a need shows that the car takes all that the EVSE has, nothing but roundings is between.
        let needs = protocol.reward_dispute(*session).await?.evidence.needs;
        let shown_w = |need: &[u8]| 10 * u32::from(u16::from_be_bytes([need[MOST], need[MOST + 1]]));
        let takes_all = needs.iter().skip(1).any(|opened| shown_w(&opened.need) == rated_w[&terms[session].evse]);
        assert!(!takes_all || most <= bill.reward + ROUNDINGS, "{printed}");
        tight += usize::from(takes_all);
        held += 1;
    }
    assert!(tight > 2, "{tight} of {held}");
    assert_eq!(held, report.sessions.iter().filter(|s| s.flex_reward > Micro::ZERO).count());

    let earned_nothing = bills.iter().find(|(_, bill)| bill.reward == 0 && bill.stopMilliWh > bill.startMilliWh);
    let (session, bill) = earned_nothing.context("every session earned something")?;
    let nothing = doubt(&args, *session, None).await.unwrap_err();
    assert!(format!("{nothing:#}").contains("no reward is claimed"), "{nothing:#}");
    exaggerate(&protocol, &terms[session], bill).await?;
    let claimed = protocol.newest_bills(&every).await?[session].reward;
    let audited = verify::audit(&protocol, |_| {}).await?;
    assert!(
        audited.findings.iter().any(|f| f.kind == Kind::Flexibility && f.what.contains("worth of its flexibility"))
    );

    // Anybody: a driver, by its own key.
    let stranger = &ground.scenario.drivers[0].id;
    let params = json!([Keyring::local()?.person(stranger)?.address(), "0x56bc75e2d63100000"]);
    let fund = json!({"jsonrpc": "2.0", "id": 1, "method": "anvil_setBalance", "params": params});
    reqwest::Client::new().post(ground.rpc()).json(&fund).send().await?.error_for_status()?;
    let (code, printed) = doubt(&args, *session, Some(stranger)).await?;
    assert_eq!(code, ExitCode::SUCCESS, "{printed}");
    let corrected = protocol.newest_bills(&every).await?[session].reward;
    assert!(corrected < claimed / 10, "{printed}");
    let (of, left) = (micro(claimed)?, micro(corrected)?);
    assert!(printed.contains(&format!("{of} tokens were claimed, corrected to {left}")), "{printed}");
    let again = doubt(&args, *session, None).await;
    assert!(matches!(&again, Ok((code, _)) if *code == ExitCode::FAILURE) || corrected == 0, "{again:?}");
    told(&ground, &protocol, &args, *session, corrected).await?;
    minted(&ground, &protocol).await
}

fn micro(tokens: u128) -> Result<String> {
    Ok(format!("{}.{:06}", tokens / 1_000_000, tokens % 1_000_000))
}

/// The audit calls the claim decided, and driver and history are told.
async fn told(ground: &Ground, protocol: &Protocol, args: &ChainArgs, session: B256, to: u128) -> Result<()> {
    let mut ranges = Vec::new();
    let audited = verify::audit(protocol, |range| ranges.push(range)).await?;
    assert!(audited.clean, "{}: {:#?}", ground.scenario.name, audited.findings);
    assert!(audited.notes.iter().any(|n| n.what.ends_with("and was corrected")), "{:#?}", audited.notes);
    let story = explain(&protocol.setting(), &ranges, &audited, session).context("no story")?;
    assert_eq!((story.flexibility.claimed, story.disputes.len()), (to, 1));
    let mut printed = Vec::new();
    let all = history::Args { driver: None, evse: None, site: None, json: true, chain: args.clone() };
    history::run(&all, &mut printed).await?;
    let entries: Vec<Value> = serde_json::from_slice(&printed)?;
    let corrected = entries.iter().find(|e| e["event"] == "reward").context("not in the history")?;
    assert_eq!((&corrected["session"], &corrected["amount_micro"]), (&session.to_string().into(), &(to as u64).into()));
    Ok(())
}

/// Every driver gets what its bills say, corrected ones included.
async fn minted(ground: &Ground, protocol: &Protocol) -> Result<()> {
    let (bills, keys) = (protocol.newest_bills(&Which::default()).await?, Keyring::local()?);
    let head = protocol.chain.head().await?;
    protocol.chain.mine_at(UnixTime(head.time.0 + 5 * 43_200)).await?;
    let folder = tempfile::tempdir()?;
    let store = Store::open(folder.path())?;
    for site in &ground.scenario.sites {
        pay_out(protocol, &store, signing::id(&site.id)).await?;
    }
    let terms = protocol.newest_terms(&Which::default()).await?;
    for driver in &ground.scenario.drivers {
        let account = keys.person(&driver.id)?.address();
        let own = terms.iter().filter(|t| t.driver == account).map(|t| bills[&t.session].reward);
        let own = Micro(i64::try_from(own.sum::<u128>())?);
        assert_eq!(protocol.flexibility_balance(account).await?, own, "{}", driver.id);
    }
    let audited = verify::audit(protocol, |_| {}).await?;
    assert!(audited.clean, "{:#?}", audited.findings);
    Ok(())
}
