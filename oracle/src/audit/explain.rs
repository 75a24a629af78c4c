//! One session told to its driver, from chain data alone: what was asked, what was planned and metered interval by interval,
//! why power was given when it was, and a bill whose lines add up to what was paid.

mod proven;
mod story;

pub use story::*;

use super::billing::{self, Lines, Stay};
use super::calls::Calls;
use super::dispatch::{group_loads, reading_wh, setpoint_w};
use super::evidence::Evidence;
use super::facts::{At, Event, Fact, Range, Setting};
use super::registry::Registry;
use super::report::{Finding, Report, Tally};
use super::sessions::{disputing, settling};
use crate::abi::IDispatch::{IDispatchEvents as D, SetpointsPosted};
use crate::abi::ISettlement::{ISettlementCalls as C, ISettlementEvents as S, SessionOpened};
use crate::abi::{Bill, Request, Tariff, Terms};
use crate::signing;
use alloy::primitives::{B256, U256};
use std::collections::{BTreeMap, BTreeSet};

const INTERVAL_S: u64 = 900;
const UNCERTIFIED: &str = "uncertified";
const CLAIMED: &str = "claimed";
const CERTIFIED: &str = "certified";

/// Everything told of one session while it is collected.
struct Told {
    opened: (At, SessionOpened),
    terms: Terms,
    asked: Option<Asked>,
    changes: Vec<Change>,
    settled: Option<(At, Bill)>,
    evidence: Option<Evidence>,
    reclaimed: Option<At>,
    earned: Earned,
    disputes: Vec<Dispute>,
}

/// Tells a session; `None` where the chain knows none of this id.
pub fn explain(setting: &Setting, ranges: &[Range], report: &Report, session: B256) -> Option<Story> {
    let mut told = ranges.iter().flat_map(|r| &r.facts).find_map(|f| begin(f, session))?;
    for range in ranges {
        for fact in &range.facts {
            collect(&mut told, setting, range, fact, session);
        }
    }
    let (opened_at, opened) = (told.opened.0, told.opened.1.clone());
    let quarters = quarters(setting, ranges, &mut told);
    let registry = &quarters.registry;
    let attested_by: Vec<_> =
        registry.attested.iter().filter(|(meter, _)| *meter == told.terms.meter).map(|(_, who)| *who).collect();
    let paid = told.settled.as_ref().map(|(at, bill)| paid(&told, *at, bill));
    let mut transactions: BTreeSet<B256> = quarters.quarters.iter().filter_map(|q| q.transaction).collect();
    transactions.extend(told.changes.iter().map(|c| c.transaction).chain(told.disputes.iter().map(|d| d.transaction)));
    transactions.extend(paid.as_ref().map(|p| p.transaction).into_iter().chain([opened_at.transaction]));
    let of_session = |f: &&Finding| f.transaction.is_some_and(|t| transactions.contains(&t));
    let state = match (&told.settled, told.reclaimed) {
        (Some(_), _) => "settled",
        (None, Some(_)) => "reclaimed",
        _ => "open",
    };
    if told.earned.why.is_empty() {
        told.earned.why = if told.settled.is_none() {
            "nothing is claimed before the bill"
        } else if quarters.quarters.iter().any(|q| q.certificate != CERTIFIED) {
            "not all plans of its stay are certified"
        } else if told.earned.recomputed_micro == Some(0) {
            "what it drew was worth no less than what an uncontrolled car would have drawn"
        } else {
            "nobody claimed any"
        }
        .to_owned();
    }
    Some(Story {
        session,
        site: registry.name(opened.site),
        evse: registry.name(opened.evse),
        driver: opened.driver,
        state,
        opened: opened_at.time,
        opened_by: opened_at.transaction,
        asked: told.asked,
        changes: told.changes,
        meter: Meter {
            id: told.terms.meter,
            scheme: told.evidence.as_ref().map(Evidence::scheme),
            tier: if attested_by.is_empty() { "unattested" } else { "attested" },
            attested_by,
        },
        registers: told.settled.as_ref().map(|(_, bill)| Registers {
            start_milli_wh: bill.startMilliWh,
            stop_milli_wh: bill.stopMilliWh,
            start_time: bill.startTime.to(),
            stop_time: bill.stopTime.to(),
        }),
        paid,
        flexibility: told.earned,
        disputes: told.disputes,
        findings: report.findings.iter().filter(of_session).cloned().collect(),
        quarters: quarters.quarters,
    })
}

fn begin(fact: &Fact, session: B256) -> Option<Told> {
    let Event::Settlement(event) = &fact.event else { return None };
    let S::SessionOpened(e) = &**event else { return None };
    (e.terms.session == session).then(|| Told {
        opened: (fact.at, e.clone()),
        terms: e.terms.clone(),
        asked: None,
        changes: Vec::new(),
        settled: None,
        evidence: None,
        reclaimed: None,
        earned: Earned::default(),
        disputes: Vec::new(),
    })
}

fn collect(told: &mut Told, setting: &Setting, range: &Range, fact: &Fact, session: B256) {
    let at = fact.at;
    let (Event::Settlement(event), transaction) = (&fact.event, at.transaction) else { return };
    let calls = || Calls::of(setting, range.transactions.get(&transaction));
    match &**event {
        S::SessionOpened(e) if e.terms.session == session => {
            let request = calls().take_settlement(|call| request_of(call, setting, session));
            told.asked = request.map(|r| Asked {
                energy_wh: r.energyWh,
                departure: r.departure.to(),
                price_ceiling_micro_per_kwh: r.priceCeiling,
                total_ceiling_micro: r.totalCeiling,
                valid_until: r.validUntil.to(),
            });
        }
        S::SessionAmended(e) if e.terms.session == session => {
            told.terms = e.terms.clone();
            told.changes.push(Change {
                time: at.time,
                energy_wh: e.terms.energyWh,
                departure: e.terms.departure.to(),
                last_reading: e.terms.lastReading.to(),
                transaction,
            });
        }
        S::SessionSettled(e) if e.session == session => {
            told.settled = Some((at, e.bill.clone()));
            told.evidence = calls().take_settlement(|call| settling(call, session)).map(|(_, evidence)| evidence);
        }
        S::BillCorrected(e) if e.session == session => {
            let before = told.settled.as_ref().map_or(0, |(_, bill)| bill.amount);
            let what = format!("a signed reading lowered the bill from {before} to {} base units", e.bill.amount);
            told.disputes.push(Dispute { time: at.time, what, transaction });
            told.settled = Some((at, e.bill.clone()));
            told.evidence = calls().take_settlement(|call| disputing(call, session));
        }
        S::SessionReclaimed(e) if e.session == session => told.reclaimed = Some(at),
        S::FlexibilityClaimed(e) if e.session == session => {
            told.earned.activated_wh = Some(e.flexibility.activatedWh);
            told.earned.worth_micro = Some(e.flexibility.worth);
            told.earned.claimed = e.bill.reward;
            told.earned.why = "claimed; minted once the bill can no longer be disputed".to_owned();
        }
        S::RewardCorrected(e) if e.session == session => {
            let (from, to) = (told.earned.claimed, e.bill.reward);
            let what = format!("posted readings and plans lowered the reward from {from} to {to} tokens");
            told.disputes.push(Dispute { time: at.time, what, transaction });
            told.earned.claimed = to;
        }
        S::FlexibilityRewarded(e) if e.session == session => {
            told.earned.minted = u128::try_from(e.minted).unwrap_or(u128::MAX);
            told.earned.why = "minted, as much as the operator's pool can redeem".to_owned();
        }
        _ => {}
    }
}

fn request_of(call: &C, setting: &Setting, session: B256) -> Option<Request> {
    let C::openSession(call) = call else { return None };
    let named = signing::request_digest(&call.request, setting.chain_id, setting.settlement) == session;
    named.then(|| call.request.clone())
}

/// The intervals of a stay, and the registry at its end.
struct Quarters {
    quarters: Vec<Quarter>,
    registry: Registry,
}

fn quarters(setting: &Setting, ranges: &[Range], told: &mut Told) -> Quarters {
    let terms = &told.terms.clone();
    let opened: u64 = terms.openedAt.to();
    let bill = told.settled.as_ref().map(|(_, bill)| bill.clone()).filter(|b| b.startTime.to::<u64>() > 0);
    let (from, until) =
        bill.as_ref().map_or((opened, terms.departure.to()), |b| (b.startTime.to(), b.stopTime.to::<u64>()));
    let (first, last) = (from.min(opened) / INTERVAL_S, until.saturating_sub(1).max(from) / INTERVAL_S);
    let mut quarters: BTreeMap<u64, Quarter> =
        (first..=last).map(|i| (i, empty(&told.opened.1.tariff, i * INTERVAL_S))).collect();
    let (mut registry, mut tally) = (Registry::default(), Tally::default());
    for (range, fact) in ranges.iter().flat_map(|r| r.facts.iter().map(move |fact| (r, fact))) {
        match &fact.event {
            Event::Registry(event) => registry.apply(&mut tally, fact.at, event),
            Event::Plans(event) => proven::certified(&mut quarters, &registry, setting, range, told, fact.at, event),
            Event::Dispatch(event) => match &**event {
                D::SetpointsPosted(e) if e.site == terms.site => {
                    if let Some(quarter) = quarters.get_mut(&e.interval.into()) {
                        planned(quarter, &registry, told, fact.at, e);
                    }
                }
                D::ReadingsPosted(e) if e.site == terms.site => {
                    let lane = registry.assets.get(&terms.evse).map(|a| usize::from(a.lane));
                    if let (Some(quarter), Some(lane)) = (quarters.get_mut(&e.interval.into()), lane) {
                        quarter.metered_wh = reading_wh(&e.lanes, lane);
                    }
                }
                D::ReadingDisputed(e) if e.site == terms.site => {
                    if let Some(quarter) = quarters.get_mut(&e.interval.into()) {
                        quarter.disputed = true;
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }
    if let Some(bill) = bill {
        proven::measure(&mut quarters, &registry, told, &bill);
    }
    Quarters { quarters: quarters.into_values().collect(), registry }
}

fn empty(tariff: &Tariff, start: u64) -> Quarter {
    Quarter {
        start,
        setpoint_w: None,
        posted_by: None,
        transaction: None,
        plan: None,
        certificate: UNCERTIFIED,
        uncertified: None,
        node_price: None,
        import_price: None,
        feed_in_price: None,
        cost_micro: None,
        gap_micro: None,
        gap_ppm: None,
        verifier: None,
        algorithm: None,
        need_max_w: None,
        proof: None,
        baseline_wh: None,
        metered_wh: None,
        disputed: false,
        price_micro_per_kwh: billing::price_at(tariff, start),
        tightest_group: None,
        room_w: None,
        why: "nothing was posted: the charge point held its safe power".to_owned(),
    }
}

fn planned(quarter: &mut Quarter, registry: &Registry, told: &Told, at: At, e: &SetpointsPosted) {
    let (Some(asset), Some(site)) = (registry.assets.get(&told.terms.evse), registry.sites.get(&e.site)) else {
        return;
    };
    let Some(power_w) = setpoint_w(&e.lanes, asset.lane.into()) else { return };
    let loads = group_loads(registry, site, &e.lanes);
    let room = |group: u16| loads.get(usize::from(group)).map(|l| (l.limit_import_w - l.power_w, group));
    let tightest = site.path(asset.data.group).into_iter().filter_map(room).min();
    quarter.setpoint_w = Some(power_w);
    quarter.posted_by = Some(e.poster);
    quarter.transaction = Some(at.transaction);
    quarter.plan = (!e.planHash.is_zero()).then_some(e.planHash);
    quarter.room_w = tightest.map(|(room, _)| room);
    quarter.tightest_group = tightest.map(|(_, group)| group);
    if quarter.verifier.is_some() {
        // A certificate says why, and better.
        return;
    }
    let own = quarter
        .uncertified
        .clone()
        .map_or_else(|| "setpoints of the CPO's own".to_owned(), |reason| format!("an uncertified plan ({reason})"));
    let (room_w, group) = tightest.unwrap_or_default();
    quarter.why = if power_w == i64::from(asset.data.ratedW) {
        "all that the EVSE can give".to_owned()
    } else if power_w == 0 && at.time < told.terms.openedAt.to::<u64>() {
        "planned before the session was open".to_owned()
    } else if power_w > 0 && room_w < UNIT_W {
        format!("all that group {group} had left")
    } else if power_w == 0 && room_w < UNIT_W {
        format!("group {group} was full")
    } else if power_w == 0 {
        format!("{own} gave none; group {group} had {room_w} W left")
    } else {
        format!("{own} chose it; group {group} had {room_w} W left")
    };
}

/// A lane counts in steps of 10 W: less room than that is none.
const UNIT_W: i64 = 10;

fn paid(told: &Told, at: At, bill: &Bill) -> Paid {
    let terms = &told.terms;
    let tariff = &told.opened.1.tariff;
    let mut unseen = Tally::default();
    let stay = told.evidence.as_ref().and_then(|evidence| evidence.stay(&mut unseen, at, terms, tariff));
    let lines = match stay {
        Some(stay) => lines(terms, tariff, &stay, bill.amount),
        None => vec![Line {
            what: "energy and fees; the readings cannot be read".into(),
            amount_micro: signed(bill.amount),
        }],
    };
    Paid {
        lines,
        amount_micro: bill.amount,
        held_micro: terms.held,
        refund_micro: terms.held.saturating_sub(bill.amount),
        operator_fee_micro: bill.operatorFee,
        protocol_fee_micro: bill.protocolFee,
        receipt: signing::receipt(terms, bill),
        transaction: at.transaction,
    }
}

fn signed(amount: u128) -> i128 {
    i128::try_from(amount).unwrap_or(i128::MAX)
}

/// Lines that add up to `amount`, to the unit: what no rule explains is a line as well.
fn lines(terms: &Terms, tariff: &Tariff, stay: &Stay, amount: u128) -> Vec<Line> {
    let computed = Lines::of(terms, tariff, stay);
    let units = |money: U256| signed(u128::try_from(money).unwrap_or(u128::MAX));
    let mut lines = Vec::new();
    let mut add = |what: String, amount_micro: i128| {
        if amount_micro != 0 {
            lines.push(Line { what, amount_micro });
        }
        amount_micro
    };
    let mut sum = 0;
    let mut energy = 0;
    for piece in stay.pieces.iter().filter(|p| p.milli_wh > 0) {
        let cost = units(U256::from(piece.milli_wh) * U256::from(piece.price) / U256::from(1_000_000));
        let kwh = format!("{}.{:06}", piece.milli_wh / 1_000_000, piece.milli_wh % 1_000_000);
        energy += add(format!("{kwh} kWh at {} base units a kWh", piece.price), cost);
    }
    sum += energy + add("fractions of a unit, summed up".into(), units(computed.energy) - energy);
    sum += add("session fee".into(), units(computed.session_fee));
    sum += add(format!("{} minutes after the departure", computed.idle_minutes), units(computed.idle_fee));
    sum += add("up to the tariff's minimum".into(), units(computed.minimum));
    sum += add("down to the tariff's maximum".into(), -units(computed.maximum));
    sum += add("down to what was held".into(), -units(computed.hold));
    add("not explained by the readings".into(), signed(amount) - sum);
    lines
}
