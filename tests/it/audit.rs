//! `provolt verify` and `provolt explain` on real chains: a clean day, every kind of act, and every kind of fact corrupted,
//! in what was read and on a chain whose contracts lack a check.

/// The first event that fits, to be changed, and its transaction.
macro_rules! edit {
    ($range:expr, $family:ident, $pattern:pat $(if $guard:expr)? => $body:expr) => {{
        let mut found = None;
        for fact in &mut $range.facts {
            let Event::$family(event) = &mut fact.event else { continue };
            if let $pattern = edit!(@event $family, event) $(&& $guard)? {
                $body;
                found = Some(fact.at.transaction);
                break;
            }
        }
        found.expect("no such event")
    }};
    (@event $family:ident, $event:ident) => { &mut **$event };
}

mod acts;
mod corruptions;
mod plans;

use super::day;
use acts::Ground;
use alloy::primitives::aliases::{U40, U72};
use alloy::primitives::{Address, B256, Bytes, I256, U256};
use anyhow::{Context, Result};
use optimizer::units::UnixTime;
use oracle::abi::*;
use oracle::audit::Auditor;
use oracle::audit::explain::explain;
use oracle::audit::facts::{At, Event, Fact, Question, Range, erc20};
use oracle::audit::report::{Kind, Report};
use oracle::chain::Protocol;
use oracle::commands::verify;
use oracle::payout::score;
use oracle::signing;
use oracle::store::Store;
use serde_json::{Value, json};
use std::process::{Command, Output};

/// What the chain of an audit told and answered.
struct Told {
    ranges: Vec<Range>,
    answers: Vec<(Question, Result<Bytes, String>)>,
    head: (u64, u64),
    report: Report,
}

async fn tell(protocol: &Protocol) -> Result<Told> {
    let head = protocol.chain.confirmed_head().await?;
    let (mut ranges, mut auditor) = (Vec::new(), Auditor::new(protocol.setting()));
    protocol.walk(head.0, |range| ranges.push(range)).await?;
    ranges.iter().for_each(|range| auditor.take(range));
    let answers = protocol.answers(head.0, auditor.questions(head.0, head.1)).await?;
    let report = auditor.finish(protocol.deployment.block, head, &answers);
    Ok(Told { ranges, answers, head, report })
}

impl Told {
    /// The audit of the same chain with one thing different.
    fn doctored(&self, protocol: &Protocol, change: impl FnOnce(&mut Range) -> B256) -> (Report, B256) {
        let mut ranges = self.ranges.clone();
        let transaction = change(ranges.last_mut().unwrap());
        let mut auditor = Auditor::new(protocol.setting());
        ranges.iter().for_each(|range| auditor.take(range));
        let answers = auditor.questions(self.head.0, self.head.1).into_iter().filter_map(|question| {
            let answer =
                self.answers.iter().find(|(asked, _)| (asked.to, &asked.call) == (question.to, &question.call))?;
            Some((question, answer.1.clone()))
        });
        (auditor.finish(1, self.head, &answers.collect::<Vec<_>>()), transaction)
    }
}

fn named(report: &Report, kind: Kind, transaction: Option<B256>) -> bool {
    report.findings.iter().any(|f| f.kind == kind && f.transaction == transaction)
}

/// The transaction of the first event of Settlement that fits.
fn first(range: &Range, fits: impl Fn(&ISettlement::ISettlementEvents) -> bool) -> B256 {
    let fits = |f: &&Fact| matches!(&f.event, Event::Settlement(event) if fits(event));
    range.facts.iter().find(fits).unwrap().at.transaction
}

fn last(range: &Range) -> At {
    let at = range.facts.last().unwrap().at;
    At { block: at.block, time: at.time, index: at.index + 1, transaction: B256::repeat_byte(0xfa) }
}

fn add(range: &mut Range, events: Vec<Event>) -> B256 {
    let at = last(range);
    range.facts.extend(events.into_iter().map(|event| Fact { at, event }));
    at.transaction
}

fn opened(range: &Range) -> ISettlement::SessionOpened {
    let find = |f: &Fact| match &f.event {
        Event::Settlement(event) => match &**event {
            ISettlement::ISettlementEvents::SessionOpened(e) => Some(e.clone()),
            _ => None,
        },
        _ => None,
    };
    range.facts.iter().find_map(find).unwrap()
}

/// Of the first setpoints: the history with them, and their interval.
fn planned(range: &Range) -> (B256, u32) {
    let find = |f: &Fact| match &f.event {
        Event::Dispatch(event) => match &**event {
            IDispatch::IDispatchEvents::SetpointsPosted(e) => Some((e.history, e.interval)),
            _ => None,
        },
        _ => None,
    };
    range.facts.iter().find_map(find).unwrap()
}

/// Replaces bytes in the input of the transaction of the first settlement or opening.
fn tamper(range: &mut Range, of: B256, from: &[u8], to: &[u8]) -> B256 {
    let transaction = range.transactions.get_mut(&of).unwrap();
    let mut input = transaction.input.to_vec();
    let at = input.windows(from.len()).position(|w| w == from).expect("not in the input");
    input[at..at + to.len()].copy_from_slice(to);
    transaction.input = input.into();
    of
}

fn provolt(protocol: &Protocol, rpc: &str, folder: &std::path::Path, arguments: &[&str]) -> Result<Output> {
    let file = folder.join("deployment.json");
    protocol.deployment.save(&file)?;
    let mut command = Command::new(day::binary("provolt")?);
    command.args(arguments).args(["--rpc", rpc, "--deployment"]).arg(&file);
    Ok(command.output()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_clean_and_every_doctored_fact_is_named() -> Result<()> {
    let ground = day::Ground::new("quickstart")?;
    let summary = ground.run(&[])?;
    let protocol = ground.protocol().await?;
    let folder = tempfile::tempdir()?;
    let call = |arguments: &[&str]| provolt(&protocol, ground.rpc(), folder.path(), arguments);
    let end = ground.scenario.signals.first.plus(ground.scenario.signals.len()).start();
    // The UTC day goes on for some hours after the scenario's.
    protocol.chain.mine_at(UnixTime(end.0 + 6 * 3_600)).await?;
    score(&protocol, &Store::open(folder.path())?, signing::id(&ground.scenario.sites[0].id)).await?;

    let output = call(&["verify", "--json"])?;
    let printed = String::from_utf8(output.stdout)?;
    assert_eq!(output.status.code(), Some(0), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_str(&printed)?;
    assert_eq!((&report["clean"], &report["sites"][0]["plans_certified"]), (&json!(true), &json!(96)), "{printed}");
    let forecasts = report["sites"][0]["forecasts"].as_array().context("no forecasts")?;
    // What was planned with is what was metered: the quickstart's sun shines as forecast.
    assert!(forecasts.len() == 4 && forecasts.iter().all(|f| f["mean_w"].as_i64() < Some(20)), "{forecasts:?}");
    assert_eq!(report["sites"][0]["settled"], json!(summary.settled));
    let table = String::from_utf8(call(&["verify"])?.stdout)?;
    assert!(table.contains("group limits") && table.contains(" 0 findings"), "{table}");

    let told = tell(&protocol).await?;
    assert!(told.report.clean, "{:?}", told.report.findings);
    explained(&ground, &protocol, &told, &call)?;
    plans::corrupted(&told, &protocol)?;

    type Change = fn(&mut Range) -> B256;
    use IDispatch::IDispatchEvents as D;
    use ISettlement::ISettlementEvents as S;
    let changes: Vec<(&str, Kind, Change)> = vec![
        (
            "an asset of another name",
            Kind::Registry,
            |r| edit!(r, Registry, IAssetRegistry::IAssetRegistryEvents::AssetRegistered(e) => e.clearId.push('x')),
        ),
        (
            "a stranger posts",
            Kind::Right,
            |r| edit!(r, Dispatch, D::SetpointsPosted(e) => e.poster = Address::repeat_byte(9)),
        ),
        (
            "setpoints for an interval that has begun",
            Kind::Timing,
            |r| edit!(r, Dispatch, D::SetpointsPosted(e) => e.interval -= 9),
        ),
        ("readings posted twice", Kind::Timing, |r| {
            let twice = r
                .facts
                .iter()
                .rev()
                .find(|f| matches!(&f.event, Event::Dispatch(e) if matches!(**e, D::ReadingsPosted(_))))
                .unwrap();
            let event = twice.event.clone();
            add(r, vec![event])
        }),
        ("a history that is broken", Kind::History, |r| edit!(r, Dispatch, D::ReadingsPosted(e) => e.history[0] ^= 1)),
        (
            "a setpoint above its rating",
            Kind::Rating,
            |r| edit!(r, Dispatch, D::SetpointsPosted(e) => { let mut lanes = e.lanes.to_vec(); lanes[0] = 0x7f; e.lanes = lanes.into() }),
        ),
        ("a group limit lowered before", Kind::GroupLimit, |r| {
            edit!(r, Registry, IAssetRegistry::IAssetRegistryEvents::GroupRegistered(e) => e.limitImportW = 0);
            let draws = |e: &IDispatch::SetpointsPosted| {
                e.lanes.chunks(2).map(|b| i64::from(i16::from_be_bytes([b[0], b[1]]))).sum::<i64>() > 2000
            };
            edit!(r, Dispatch, D::SetpointsPosted(e) if draws(e) => e.planHash = B256::ZERO)
        }),
        (
            "a PV inverter that draws",
            Kind::Reading,
            |r| edit!(r, Dispatch, D::ReadingsPosted(e) => e.lanes = vec![0x80; e.lanes.len()].into()),
        ),
        (
            "an error of forecasts understated",
            Kind::Reading,
            |r| edit!(r, Dispatch, D::ForecastsScored(e) => e.score.baseLoadErrorW -= 1),
        ),
        (
            "forecasts of the sun overstated",
            Kind::Reading,
            |r| edit!(r, Dispatch, D::ForecastsScored(e) if e.score.pvW > 0 => e.score.pvW += 10),
        ),
        ("forecasts scored of an interval that is not metered", Kind::Reading, |r| {
            let (history, _) = planned(r);
            edit!(r, Dispatch, D::ForecastsScored(e) => {
                (e.previous, e.history) = (B256::ZERO, history);
                (e.score.last, e.score.scored) = (e.score.first, 1);
            })
        }),
        ("forecasts scored that are disputed", Kind::Reading, |r| {
            let (site, interval) = (opened(r).site, planned(r).1);
            let (asset, time, context) = (B256::ZERO, U40::ZERO, ReadingContext::Interval);
            let none = MeterReading { asset, importWh: 0, exportWh: 0, time, counter: 0, context };
            let dispute = IDispatch::ReadingDisputed {
                site,
                interval,
                lane: 0,
                disputer: Address::ZERO,
                postedWh: I256::ZERO,
                provenWh: I256::ZERO,
                start: none.clone(),
                stop: none.clone(),
                contrary: none,
            };
            let scored = |f: &Fact| matches!(&f.event, Event::Dispatch(e) if matches!(**e, D::ForecastsScored(_)));
            let place = r.facts.iter().position(scored).unwrap();
            let of = r.facts[place].at;
            let event = Event::Dispatch(Box::new(D::ReadingDisputed(dispute)));
            let at = At { transaction: B256::repeat_byte(0xfa), ..of };
            r.facts.insert(place, Fact { at, event });
            of.transaction
        }),
        (
            "forecasts scored by posts of nobody's",
            Kind::History,
            |r| edit!(r, Dispatch, D::ForecastsScored(e) => e.history[0] ^= 1),
        ),
        ("a request that nobody signed", Kind::Signature, |r| {
            let found = first(r, |e| matches!(e, S::SessionOpened(_)));
            let signature = r.transactions[&found].input.to_vec();
            let end = signature.len() - 96;
            tamper(r, found, &signature[end..end + 8], &[1; 8])
        }),
        ("more held than signed", Kind::Terms, |r| edit!(r, Settlement, S::SessionOpened(e) => e.terms.held += 1)),
        ("a meter that did not sign", Kind::MeterSignature, |r| {
            let found = first(r, |e| matches!(e, S::SessionSettled(_)));
            let input = r.transactions[&found].input.to_vec();
            let end = input.len() - 64;
            tamper(r, found, &input[end..end + 8], &[1; 8])
        }),
        ("a counter that falls", Kind::Register, |r| {
            let found = first(r, |e| matches!(e, S::SessionSettled(_)));
            let input = r.transactions[&found].input.to_vec();
            // Of the last of two readings, before the two words of its signature.
            let at = input.len() - 3 * 32;
            let mut changed = input.clone();
            changed[at..at + 32].fill(0);
            r.transactions.get_mut(&found).unwrap().input = changed.into();
            found
        }),
        ("a wrong bill", Kind::Bill, |r| edit!(r, Settlement, S::SessionSettled(e) => e.bill.amount += 1)),
        ("a session settled twice", Kind::Session, |r| {
            let twice = |f: &&Fact| matches!(&f.event, Event::Settlement(e) if matches!(**e, S::SessionSettled(_)));
            let event = r.facts.iter().find(twice).unwrap().event.clone();
            add(r, vec![event])
        }),
        ("a claim before its time", Kind::Claim, |r| {
            let site = opened(r).site;
            let (amount, nobody) = (U256::from(5), Address::ZERO);
            let claim = ISettlement::Claimed {
                site,
                owner: nobody,
                amount,
                operator: nobody,
                operatorFee: U256::ZERO,
                protocolFee: U256::ZERO,
            };
            add(r, vec![Event::Settlement(Box::new(S::Claimed(claim)))])
        }),
        ("bookings that overlap", Kind::Booking, |r| {
            let (opened, from) = (opened(r), (last(r).time / 900) as u32 + 9);
            let booked = |from| IBookings::Booked {
                evse: opened.evse,
                driver: opened.driver,
                from,
                count: 4,
                price: U72::ZERO,
                deposit: U72::ZERO,
            };
            let events = [from, from + 3].map(|f| Event::Bookings(IBookings::IBookingsEvents::Booked(booked(f))));
            add(r, events.to_vec())
        }),
        ("tokens minted without a reward", Kind::Flexibility, |r| {
            let (from, to, value) = (Address::ZERO, opened(r).driver, U256::from(7));
            add(r, vec![Event::Flexibility(erc20::Transfer { from, to, value })])
        }),
        ("money that leaves without its tokens", Kind::Transfer, |r| {
            let driver = opened(r).driver;
            let withdrawn = ISettlement::Withdrawn { account: driver, to: driver, amount: U256::from(1) };
            add(r, vec![Event::Settlement(Box::new(S::Withdrawn(withdrawn)))])
        }),
        ("an event of nobody's", Kind::Bytecode, |r| {
            add(r, vec![Event::Unknown { emitter: Address::ZERO, topic: B256::ZERO }])
        }),
    ];
    for (what, kind, change) in changes {
        let (report, transaction) = told.doctored(&protocol, change);
        let about = format!("{what}: {:#?}", report.findings.iter().take(4).collect::<Vec<_>>());
        assert!(!report.clean && named(&report, kind, Some(transaction)), "{about}");
    }

    // At the end: a balance, and a contract's code.
    let mut auditor = Auditor::new(protocol.setting());
    told.ranges.iter().for_each(|range| auditor.take(range));
    auditor.code("Settlement", protocol.deployment.settlement, Some("byte 7 is 0x00"));
    let _ = auditor.questions(told.head.0, told.head.1);
    let mut answers = told.answers.clone();
    let wallet = answers.iter_mut().find(|(q, _)| q.what.starts_with("wallet of")).context("no wallet")?;
    wallet.1 = Ok(vec![0xff; 32].into());
    let report = auditor.finish(1, told.head, &answers);
    assert!(named(&report, Kind::Balance, None) && named(&report, Kind::Bytecode, None));
    assert_eq!(report.findings.len(), 2, "{:?}", report.findings);
    Ok(())
}

/// Every session told: lines that add up to what was paid, and what was paid and held to what came back.
fn explained(
    ground: &day::Ground,
    protocol: &Protocol,
    told: &Told,
    call: &impl Fn(&[&str]) -> Result<Output>,
) -> Result<()> {
    let report = ground.report()?;
    for session in &report.sessions {
        let id: B256 = session.id.parse()?;
        let story = explain(&protocol.setting(), &told.ranges, &told.report, id).context("no such session")?;
        let paid = story.paid.as_ref().context("not billed")?;
        assert_eq!(paid.lines.iter().map(|l| l.amount_micro).sum::<i128>(), i128::try_from(paid.amount_micro)?);
        assert!(paid.lines.iter().all(|l| !l.what.contains("not explained")), "{:?}", paid.lines);
        assert_eq!(i64::try_from(paid.amount_micro)?, session.paid.0);
        assert_eq!((Some(paid.receipt.to_string()), &story.evse), (session.receipt.clone(), &session.evse));
        assert_eq!(paid.held_micro, paid.amount_micro + paid.refund_micro);
        let asked = story.asked.as_ref().context("no request")?;
        assert_eq!(i64::from(asked.energy_wh), session.energy_wh.0);
        let metered: i64 = story.quarters.iter().filter_map(|q| q.metered_wh).sum();
        assert!(metered >= session.delivered_wh.0, "the intervals of a stay hold its energy");
        assert!(story.quarters.iter().all(|q| q.certificate == "certified" && q.setpoint_w.is_some()));
        assert!(story.quarters.iter().all(|q| q.gap_micro.is_some() && q.import_price.is_some()));
        let proofs: Vec<_> = story.quarters.iter().filter_map(|q| q.proof.as_ref()).collect();
        assert!(!proofs.is_empty() && proofs.iter().all(|proof| proof.checked), "{}", session.id);
        // What the oracle measured while the car was there, and what anyone makes of the chain afterwards.
        assert_eq!(story.flexibility.recomputed_micro, Some(session.flex_worth.0), "{}", session.id);
        assert_eq!((story.meter.tier, story.state, story.findings.len()), ("unattested", "settled", 0));
    }
    let id = report.sessions[0].id.clone();
    let output = call(&["explain", &id])?;
    let printed = String::from_utf8(output.stdout)?;
    assert!(output.status.success() && printed.contains("asked: ") && printed.contains("  paid "), "{printed}");
    let story: Value = serde_json::from_slice(&call(&["explain", &id, "--json"])?.stdout)?;
    assert_eq!((&story["session"], &story["state"]), (&json!(id), &json!("settled")));
    // As tables show it, and by its receipt.
    let receipt = report.sessions[0].receipt.clone().context("no receipt")?;
    for name in [&id[..10], &receipt, &receipt[..10]] {
        let story: Value = serde_json::from_slice(&call(&["explain", name, "--json"])?.stdout)?;
        assert_eq!(&story["session"], &json!(id), "{name}");
    }
    let unknown = call(&["explain", &B256::repeat_byte(1).to_string()])?;
    let error = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(unknown.status.code() == Some(1) && error.contains("no session or receipt of this id"), "{error}");
    assert_eq!(call(&["explain", "0x12"])?.status.code(), Some(2));
    assert_eq!(call(&["verify", "--nonsense"])?.status.code(), Some(2));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_scenario_is_clean_and_a_missing_file_is_named() -> Result<()> {
    let ground = Ground::start().await?;
    let report = verify::audit(&ground.protocol, |_| {}).await?;
    assert!(report.clean, "{:?}", report.findings);
    let mut command = Command::new(day::binary("provolt")?);
    let output = command.args(["verify", "--deployment", "nowhere.json", "--rpc", &ground.anvil.rpc]).output()?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && error.contains("nowhere.json"), "{error}");
    Ok(())
}
