//! How a session ends: billed and recomputed, corrected, or given back.

use super::{Around, DISPUTE_WINDOW_S, RECLAIM_GRACE_S, RIGHT_SETTLE, Sessions, active};
use crate::abi::ISettlement::{BillCorrected, ISettlementCalls as C, SessionReclaimed, SessionSettled};
use crate::abi::{Bill, SessionState, Tariff, Terms};
use crate::audit::billing;
use crate::audit::evidence::Evidence;
use crate::audit::facts::At;
use crate::audit::report::{Kind, Tally};
use alloy::primitives::{B256, U256, keccak256};
use alloy::sol_types::SolValue;

const MAX_OPEN_DELAY_S: u64 = 3600;

impl Sessions {
    pub(super) fn settled(&mut self, a: &mut Around<'_>, e: &SessionSettled) {
        let (id, at) = (e.session, a.at);
        let found = active(&mut self.all, a.tally, at, id).map(|s| (s.terms.clone(), s.tariff.clone()));
        let Some((terms, tariff)) = found else { return };
        a.counts.entry(terms.site).or_default().settled += 1;
        match a.calls.take_settlement(|call| settling(call, id)) {
            Some((presented, evidence)) => {
                let what = say!("session {id}: terms presented");
                a.tally.equal(
                    Kind::Session,
                    at,
                    what,
                    keccak256(terms.abi_encode()),
                    keccak256(presented.abi_encode()),
                );
                if a.calls.direct {
                    let sender = a.calls.sender;
                    let right =
                        sender == terms.settler || a.registry.authorised(terms.site, sender, RIGHT_SETTLE, at.time);
                    let (what, wanted) =
                        (say!("session {id}: settled by {sender}"), say!("who opened it, or has the right"));
                    a.tally.holds(Kind::Right, at, right, what, wanted, say!("no such right"));
                }
                self.billed(a, &terms, &tariff, &evidence, &e.bill);
            }
            None => {
                a.signers.undecodable(a.tally, at, a.calls, say!("session {id}: its meter's readings"));
                bounds(a.tally, at, &terms, &e.bill, a.setting.fee_bps);
                self.advance_by_bill(&terms, &e.bill);
            }
        }
        let drawn = e.bill.stopMilliWh.saturating_sub(e.bill.startMilliWh);
        *self.drawn_milli_wh.entry(terms.evse).or_default() += u128::from(drawn);
        let refund = terms.held.saturating_sub(e.bill.amount);
        a.money.release(terms.driver, terms.held, refund);
        a.money.collect(terms.site, &e.bill);
        self.open.remove(&terms.evse);
        self.keep(&terms, &e.bill, at.time);
        if let Some(session) = self.all.get_mut(&id) {
            (session.state, session.bill) = (SessionState::Settled, Some(e.bill.clone()));
        }
    }

    /// The bill of a settlement: recomputed, and its readings after those of the last bill.
    fn billed(&mut self, a: &mut Around<'_>, terms: &Terms, tariff: &Tariff, evidence: &Evidence, bill: &Bill) {
        let (id, at) = (terms.session, a.at);
        let Some(stay) = evidence.stay(a.tally, at, terms, tariff) else { return };
        let t = &mut *a.tally;
        if stay.stop_time > 0 {
            let opened = terms.openedAt.to::<u64>();
            let earliest = opened.saturating_sub(MAX_OPEN_DELAY_S);
            let inside = stay.start_time >= earliest && stay.stop_time >= opened && stay.stop_time <= at.time;
            let wanted = say!("from {earliest} to {}, and not over before {opened}", at.time);
            let found = say!("{} to {}", stay.start_time, stay.stop_time);
            t.holds(Kind::Register, at, inside, say!("session {id}: times of its readings"), wanted, found);
        }
        let last = self.billed.entry((terms.evse, terms.meter)).or_default();
        let counter = if stay.fiscal { &mut last.fiscals } else { &mut last.transactions };
        let after = stay.start_counter > *counter
            && stay.start_milli_wh >= last.import_milli_wh
            && stay.start_export_milli_wh >= last.export_milli_wh;
        let what = say!("session {id}: its first reading, after the last one billed of its meter");
        let wanted = say!("from {} mWh on, counter above {counter}", last.import_milli_wh);
        let found = say!("{} mWh, counter {}", stay.start_milli_wh, stay.start_counter);
        t.holds(Kind::Register, at, after, what, wanted, found);
        *counter = stay.stop_counter;
        (last.import_milli_wh, last.export_milli_wh) = (stay.stop_milli_wh, stay.stop_export_milli_wh);
        let expected = billing::bill(terms, tariff, &stay, a.setting.fee_bps, at.time);
        compare_bills(t, at, id, &expected, bill);
    }

    fn advance_by_bill(&mut self, terms: &Terms, bill: &Bill) {
        let last = self.billed.entry((terms.evse, terms.meter)).or_default();
        last.import_milli_wh = bill.stopMilliWh.into();
        *(if bill.fiscal { &mut last.fiscals } else { &mut last.transactions }) = bill.stopCounter;
    }

    pub(super) fn corrected(&mut self, a: &mut Around<'_>, e: &BillCorrected) {
        let (id, at) = (e.session, a.at);
        let session = self.all.get(&id).filter(|s| s.state == SessionState::Settled).cloned();
        let settled = session.and_then(|s| Some((s.terms, s.tariff, s.bill?)));
        let what = say!("session {id}: corrected");
        a.tally.holds(Kind::Session, at, settled.is_some(), what, say!("a settled session"), say!("another state"));
        let Some((terms, tariff, bill)) = settled else { return };
        let until = bill.settledAt.to::<u64>() + DISPUTE_WINDOW_S;
        let (what, wanted) = (say!("session {id}: time of its correction"), say!("up to {until}"));
        a.tally.holds(Kind::Session, at, at.time <= until, what, wanted, say!("{}", at.time));
        let new = &e.bill;
        let inside =
            new.startCounter >= bill.startCounter && new.stopCounter <= bill.stopCounter && new.fiscal == bill.fiscal;
        let differs = new.startMilliWh > bill.startMilliWh
            || new.stopMilliWh < bill.stopMilliWh
            || new.stopCounter < bill.stopCounter;
        let (what, wanted) =
            (say!("session {id}: corrected bill"), say!("lower, from readings inside the billed ones"));
        let found = say!("{} after {}", new.amount, bill.amount);
        a.tally.holds(Kind::Session, at, inside && differs && new.amount < bill.amount, what, wanted, found);
        match a.calls.take_settlement(|call| disputing(call, id)) {
            Some(evidence) => {
                if let Some(stay) = evidence.stay(a.tally, at, &terms, &tariff) {
                    let expected = billing::bill(&terms, &tariff, &stay, a.setting.fee_bps, bill.settledAt.to());
                    compare_bills(a.tally, at, id, &expected, new);
                }
            }
            None => {
                a.signers.undecodable(a.tally, at, a.calls, say!("session {id}: the readings that correct it"));
                bounds(a.tally, at, &terms, new, a.setting.fee_bps);
            }
        }
        a.money.correct(terms.site, terms.driver, &bill, new);
        let time = self.places.get(&(terms.evse, terms.place)).map_or(at.time, |p| p.time);
        self.keep(&terms, new, time);
        if let Some(session) = self.all.get_mut(&id) {
            session.bill = Some(new.clone());
        }
    }

    pub(super) fn reclaimed(&mut self, a: &mut Around<'_>, e: &SessionReclaimed) {
        let (id, at) = (e.session, a.at);
        let Some(session) = active(&mut self.all, a.tally, at, id) else { return };
        session.state = SessionState::Reclaimed;
        let terms = session.terms.clone();
        let from = terms.departure.to::<u64>().max(terms.lastReading.to()) + RECLAIM_GRACE_S;
        let (what, wanted) = (say!("session {id}: time of its reclaim"), say!("from {from} on"));
        a.tally.holds(Kind::Session, at, at.time >= from, what, wanted, say!("{}", at.time));
        a.tally.equal(Kind::Session, at, say!("session {id}: amount given back"), terms.held, e.amount);
        a.money.release(terms.driver, terms.held, e.amount);
        self.open.remove(&terms.evse);
        self.place(&terms, keccak256(terms.abi_encode()), at.time, SessionState::Reclaimed);
    }
}

/// Every member of two bills.
fn compare_bills(t: &mut Tally, at: At, id: B256, expected: &Bill, found: &Bill) {
    let registers = |b: &Bill| format!("{} to {} mWh", b.startMilliWh, b.stopMilliWh);
    t.equal(Kind::Bill, at, say!("session {id}: registers billed"), registers(expected), registers(found));
    let counters =
        |b: &Bill| format!("{} to {}{}", b.startCounter, b.stopCounter, if b.fiscal { ", fiscal" } else { "" });
    t.equal(Kind::Bill, at, say!("session {id}: counters billed"), counters(expected), counters(found));
    let times = |b: &Bill| format!("{} to {}, settled at {}", b.startTime, b.stopTime, b.settledAt);
    t.equal(Kind::Bill, at, say!("session {id}: times billed"), times(expected), times(found));
    t.equal(Kind::Bill, at, say!("session {id}: amount"), expected.amount, found.amount);
    t.equal(Kind::Bill, at, say!("session {id}: operator's fee"), expected.operatorFee, found.operatorFee);
    t.equal(Kind::Bill, at, say!("session {id}: protocol's fee"), expected.protocolFee, found.protocolFee);
    t.equal(Kind::Bill, at, say!("session {id}: reward"), expected.reward, found.reward);
}

/// What holds of any bill, whatever its readings: for those whose readings nobody can see.
fn bounds(t: &mut Tally, at: At, terms: &Terms, bill: &Bill, fee_bps: u16) {
    let id = terms.session;
    let (what, wanted) = (say!("session {id}: amount"), say!("at most the {} held", terms.held));
    t.holds(Kind::Bill, at, bill.amount <= terms.held, what, wanted, say!("{}", bill.amount));
    let share = |bps: u16| u128::try_from(billing::share(U256::from(bill.amount), bps.into())).unwrap_or(u128::MAX);
    t.equal(Kind::Bill, at, say!("session {id}: operator's fee"), share(terms.operatorFeeBps), bill.operatorFee);
    t.equal(Kind::Bill, at, say!("session {id}: protocol's fee"), share(fee_bps), bill.protocolFee);
    let rises = bill.stopMilliWh >= bill.startMilliWh && bill.stopCounter >= bill.startCounter;
    let found = say!("{} to {} mWh", bill.startMilliWh, bill.stopMilliWh);
    t.holds(Kind::Register, at, rises, say!("session {id}: registers billed"), say!("rising"), found);
}
/// The terms and the evidence that a settlement of the session presented.
pub fn settling(call: &C, id: B256) -> Option<(Terms, Evidence)> {
    let (terms, evidence) = match call {
        C::settle(c) => (&c.terms, Evidence::Readings(c.readings.clone())),
        C::settleOcmf(c) => (&c.terms, Evidence::Ocmf(Box::new(c.key.clone()), c.records.clone())),
        _ => return None,
    };
    (terms.session == id).then(|| (terms.clone(), evidence))
}

/// The evidence that a dispute of the session's bill presented.
pub fn disputing(call: &C, id: B256) -> Option<Evidence> {
    let (terms, evidence) = match call {
        C::dispute(c) => (&c.terms, Evidence::Readings(c.readings.clone())),
        C::disputeOcmf(c) => (&c.terms, Evidence::Ocmf(Box::new(c.key.clone()), c.records.clone())),
        _ => return None,
    };
    (terms.session == id).then_some(evidence)
}
