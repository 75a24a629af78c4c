//! Every session from its driver's signature to its receipt: on what it was opened, what its meter signed, what it cost, and
//! what was corrected or given back.

mod bills;

pub use bills::{disputing, settling};

use super::billing;
use super::calls::Calls;
use super::evidence::require_signed;
use super::facts::{At, Question, Setting};
use super::money::Money;
use super::registry::{RIGHT_SETTLE, Registry};
use super::report::{Kind, SiteCount, Tally};
use super::signatures::Signers;
use crate::abi::ISettlement::{self, ISettlementCalls as C, ISettlementEvents as S, SessionAmended, SessionOpened};
use crate::abi::{
    Amendment, AssetKind, Bill, ReadingContext, Request, SessionState, SignedReading, Status, Tariff, Terms,
};
use crate::signing;
use alloy::primitives::aliases::U40;
use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::sol_types::{SolStruct, SolValue};
use std::collections::{BTreeMap, BTreeSet};

const MAX_STAY_S: u64 = 7 * 86_400;
pub(super) const DISPUTE_WINDOW_S: u64 = 2 * 86_400;
const RECLAIM_GRACE_S: u64 = 86_400;
const MINT_GRACE_S: u64 = 86_400;

/// A session as its events have it.
#[derive(Debug, Clone)]
pub struct Session {
    /// Terms, as opened or last amended.
    pub terms: Terms,
    /// What it costs.
    pub tariff: Tariff,
    /// Where it stands.
    pub state: SessionState,
    /// What it came to.
    pub bill: Option<Bill>,
}

/// What a place of an EVSE keeps.
#[derive(Debug, Clone, Copy)]
struct Place {
    session: B256,
    commitment: B256,
    time: u64,
    state: SessionState,
}

/// The last registers and counters billed of a meter.
#[derive(Debug, Clone, Copy, Default)]
struct Billed {
    import_milli_wh: u128,
    export_milli_wh: u128,
    transactions: u64,
    fiscals: u64,
}

/// All sessions.
#[derive(Debug, Clone, Default)]
pub struct Sessions {
    /// By id.
    pub all: BTreeMap<B256, Session>,
    /// The open one of an EVSE.
    open: BTreeMap<B256, B256>,
    places: BTreeMap<(B256, u16), Place>,
    billed: BTreeMap<(B256, B256), Billed>,
    nonces: BTreeSet<(Address, u64)>,
    /// Energy of all bills, by EVSE.
    drawn_milli_wh: BTreeMap<B256, u128>,
}

/// What a check of a session may look at and change.
pub struct Around<'a> {
    /// Counts and findings.
    pub tally: &'a mut Tally,
    /// The registry at that moment.
    pub registry: &'a Registry,
    /// Money.
    pub money: &'a mut Money,
    /// What the transaction asked for.
    pub calls: &'a mut Calls,
    /// Whose signatures a contract decides about.
    pub signers: &'a Signers,
    /// The contracts.
    pub setting: &'a Setting,
    /// By site.
    pub counts: &'a mut BTreeMap<B256, SiteCount>,
    /// Where it happened.
    pub at: At,
}

impl Sessions {
    /// Whether a session is open at an EVSE.
    pub fn is_open(&self, evse: B256) -> bool {
        self.open.contains_key(&evse)
    }

    /// The session that is open at an EVSE.
    pub fn open_at(&self, evse: B256) -> Option<&Session> {
        self.all.get(self.open.get(&evse)?)
    }

    /// Takes in an event of a session; others are left alone.
    pub fn apply(&mut self, around: &mut Around<'_>, event: &S) {
        match event {
            S::SessionOpened(e) => self.opened(around, e),
            S::SessionAmended(e) => self.amended(around, e),
            S::SessionSettled(e) => self.settled(around, e),
            S::BillCorrected(e) => self.corrected(around, e),
            S::SessionReclaimed(e) => self.reclaimed(around, e),
            _ => {}
        }
    }

    fn opened(&mut self, a: &mut Around<'_>, e: &SessionOpened) {
        let (terms, at) = (&e.terms, a.at);
        let id = terms.session;
        a.counts.entry(terms.site).or_default().sessions += 1;
        let topics = (e.site, e.driver, e.evse) == (terms.site, terms.driver, terms.evse);
        let free = a.registry.sites.get(&terms.site).is_some_and(|s| s.is_free(terms.driver));
        match a.calls.take_settlement(|call| opening(call, id, a.setting)) {
            Some((request, signature)) => self.requested(a, terms, &e.tariff, &request, &signature, free),
            None => a.signers.undecodable(a.tally, at, a.calls, format_args!("session {id}: its driver's request")),
        }
        let again = self.all.contains_key(&id);
        self.offered(a, terms, &e.tariff, free);
        let t = &mut *a.tally;
        t.holds(
            Kind::Session,
            at,
            !again && topics,
            say!("session {id}"),
            say!("opened once, under its own names"),
            say!("another"),
        );
        let busy = self.open.insert(terms.evse, id);
        let found = format!("{busy:?}");
        t.holds(
            Kind::Session,
            at,
            busy.is_none(),
            say!("session {id}: open at its EVSE"),
            say!("none"),
            say!("{found}"),
        );
        let kept = self.places.get(&(terms.evse, terms.place)).copied();
        let free_place = kept.is_none_or(|p| p.state == SessionState::Reclaimed || at.time > p.time + DISPUTE_WINDOW_S);
        let wanted = say!("one whose session is final");
        t.holds(
            Kind::Session,
            at,
            free_place,
            say!("session {id}: its place {}", terms.place),
            wanted,
            say!("one that is not"),
        );
        // A final session whose place another takes can never be acted on again: what is kept stays bounded by EVSEs.
        if let Some(final_) = kept {
            self.all.remove(&final_.session);
        }
        self.place(terms, keccak256(terms.abi_encode()), at.time, SessionState::Active);
        a.money.hold(t, at, terms.driver, terms.held);
        let session =
            Session { terms: terms.clone(), tariff: e.tariff.clone(), state: SessionState::Active, bill: None };
        self.all.insert(id, session);
    }

    /// The driver's signature, and the terms against what it says.
    fn requested(
        &mut self,
        a: &mut Around<'_>,
        terms: &Terms,
        tariff: &Tariff,
        request: &Request,
        signature: &Bytes,
        free: bool,
    ) {
        let (id, at) = (terms.session, a.at);
        a.signers.require(a.tally, at, request.driver, id, signature, say!("session {id}: the request's signer"));
        let t = &mut *a.tally;
        let valid = at.time <= request.validUntil.to::<u64>();
        let wanted = say!("up to {}", request.validUntil);
        t.holds(Kind::Signature, at, valid, say!("session {id}: time of the request"), wanted, say!("{}", at.time));
        let unused = self.nonces.insert((request.driver, request.nonce));
        let what = say!("nonce {} of {}", request.nonce, request.driver);
        t.holds(Kind::Signature, at, unused, what, say!("used once"), say!("used again"));
        t.equal(Kind::Terms, at, say!("session {id}: driver"), request.driver, terms.driver);
        t.equal(Kind::Terms, at, say!("session {id}: EVSE"), request.evse, terms.evse);
        t.equal(Kind::Terms, at, say!("session {id}: meter"), request.meter, terms.meter);
        t.equal(Kind::Terms, at, say!("session {id}: tariff"), request.tariffHash, terms.tariffHash);
        t.equal(Kind::Terms, at, say!("session {id}: energy in Wh"), request.energyWh, terms.energyWh);
        t.equal(Kind::Terms, at, say!("session {id}: departure"), request.departure, terms.departure);
        let held = if free { 0 } else { request.totalCeiling };
        t.equal(Kind::Terms, at, say!("session {id}: amount held"), held, terms.held);
        let highest = billing::highest_price(tariff);
        let (what, wanted) = (say!("session {id}: highest price"), say!("at most {}", request.priceCeiling));
        t.holds(Kind::Terms, at, highest <= request.priceCeiling, what, wanted, say!("{highest}"));
    }

    /// The terms against what the registry offered at that moment.
    fn offered(&mut self, a: &mut Around<'_>, terms: &Terms, tariff: &Tariff, free: bool) {
        let (id, at, registry, t) = (terms.session, a.at, a.registry, &mut *a.tally);
        t.equal(Kind::Terms, at, say!("session {id}: tariff"), terms.tariffHash, signing::tariff_hash(tariff));
        t.equal(Kind::Terms, at, say!("session {id}: opened at"), U40::from(at.time), terms.openedAt);
        let departure = terms.departure.to::<u64>();
        let leaves = departure > at.time && departure <= at.time + MAX_STAY_S;
        let (what, wanted) = (say!("session {id}: departure"), say!("after {} and within a week", at.time));
        t.holds(Kind::Terms, at, leaves, what, wanted, say!("{departure}"));
        t.equal(Kind::Terms, at, say!("session {id}: last reading"), U40::ZERO, terms.lastReading);
        if free {
            t.equal(Kind::Terms, at, say!("session {id}: held of who charges free"), 0, terms.held);
        }
        let right = registry.authorised(terms.site, terms.settler, RIGHT_SETTLE, at.time);
        let (what, wanted) = (say!("session {id}: opened by {}", terms.settler), say!("the right to open sessions"));
        t.holds(Kind::Right, at, right, what, wanted, say!("no such right"));
        let (Some(evse), Some(site)) = (registry.assets.get(&terms.evse), registry.sites.get(&terms.site)) else {
            t.holds(
                Kind::Terms,
                at,
                false,
                say!("session {id}: its EVSE and site"),
                say!("registered"),
                say!("unknown"),
            );
            return;
        };
        t.equal(Kind::Terms, at, say!("session {id}: site of its EVSE"), evse.site, terms.site);
        t.equal(Kind::Terms, at, say!("session {id}: registered meter"), evse.data.meter, terms.meter);
        t.equal(Kind::Terms, at, say!("session {id}: registered tariff"), evse.tariff_hash, terms.tariffHash);
        t.equal(Kind::Terms, at, say!("session {id}: operator's fee"), site.operator_fee_bps, terms.operatorFeeBps);
        let reward_bps = if free { 0 } else { site.reward_bps };
        t.equal(Kind::Terms, at, say!("session {id}: reward's share"), reward_bps, terms.rewardBps);
        t.equal(Kind::Terms, at, say!("session {id}: reward's cap"), site.reward_cap, terms.rewardCap);
        let serves = evse.data.kind == AssetKind::Evse && !evse.removed() && evse.status == Status::Available;
        let (what, wanted) = (say!("session {id}: its EVSE"), say!("an EVSE that can charge, and no pause"));
        let (found, open) = (say!("{:?}, {:?}", evse.data.kind, evse.status), serves && !registry.paused);
        t.holds(Kind::Terms, at, open, what, wanted, found);
        let admitted = registry.admitted(terms.evse, terms.driver);
        let (what, wanted) = (say!("session {id}: driver {}", terms.driver), say!("admitted to the EVSE"));
        t.holds(Kind::Terms, at, admitted, what, wanted, say!("not admitted"));
    }

    fn amended(&mut self, a: &mut Around<'_>, e: &SessionAmended) {
        let (terms, at) = (&e.terms, a.at);
        let id = terms.session;
        let Some(session) = active(&mut self.all, a.tally, at, id) else { return };
        let before = std::mem::replace(&mut session.terms, terms.clone());
        let same = Terms {
            energyWh: before.energyWh,
            departure: before.departure,
            lastReading: before.lastReading,
            ..terms.clone()
        };
        let t = &mut *a.tally;
        let wanted = say!("energy, departure or last reading");
        t.holds(
            Kind::Terms,
            at,
            same == before,
            say!("session {id}: what was amended"),
            wanted,
            say!("something else"),
        );
        self.place(terms, keccak256(terms.abi_encode()), at.time, SessionState::Active);
        let kept_open = terms.lastReading != before.lastReading;
        if !kept_open && let Some((amendment, signature)) = a.calls.take_settlement(|call| amending(call, id, terms)) {
            let digest = amendment.eip712_signing_hash(&signing::domain(a.setting.chain_id, a.setting.settlement));
            let what = say!("session {id}: the amendment's signer");
            a.signers.require(a.tally, at, before.driver, digest, &signature, what);
            let t = &mut *a.tally;
            let unused = self.nonces.insert((before.driver, amendment.nonce));
            let what = say!("nonce {} of {}", amendment.nonce, before.driver);
            t.holds(Kind::Signature, at, unused, what, say!("used once"), say!("used again"));
            let (old, new) = (before.departure.to::<u64>(), amendment.departure.to::<u64>());
            let until = if at.time > old { old } else { before.openedAt.to::<u64>() + MAX_STAY_S };
            let in_time = new >= at.time && new <= until && at.time <= amendment.validUntil.to::<u64>();
            let wanted = say!("from {} to {until}", at.time);
            t.holds(Kind::Terms, at, in_time, say!("session {id}: amended departure"), wanted, say!("{new}"));
        } else if kept_open && let Some(reading) = a.calls.take_settlement(|call| keeping(call, id, terms)) {
            require_signed(t, at, &before, &reading, ReadingContext::Interval);
            if a.calls.direct {
                let sender = a.calls.sender;
                let right = a.registry.authorised(terms.site, sender, RIGHT_SETTLE, at.time);
                let (what, wanted) = (say!("session {id}: kept open by {sender}"), say!("the right to settle"));
                t.holds(Kind::Right, at, right, what, wanted, say!("no such right"));
            }
            let time = reading.time.to::<u64>();
            let previous = before.departure.to::<u64>().max(before.lastReading.to());
            let until = at.time.min(before.openedAt.to::<u64>() + MAX_STAY_S);
            let (what, wanted) =
                (say!("session {id}: reading that keeps it open"), say!("after {previous}, up to {until}"));
            t.holds(Kind::Register, at, time > previous && time <= until, what, wanted, say!("{time}"));
        } else {
            a.signers.undecodable(t, at, a.calls, say!("session {id}: its amendment"));
        }
    }

    fn place(&mut self, terms: &Terms, commitment: B256, time: u64, state: SessionState) {
        let place = Place { session: terms.session, commitment, time, state };
        self.places.insert((terms.evse, terms.place), place);
    }

    /// Wh billed, by EVSE, rounded down.
    pub fn billed_wh(&self) -> BTreeMap<B256, i64> {
        self.drawn_milli_wh
            .iter()
            .map(|(evse, drawn)| (*evse, i64::try_from(drawn / 1000).unwrap_or(i64::MAX)))
            .collect()
    }

    /// Writes what the place of a settled session commits to.
    pub fn keep(&mut self, terms: &Terms, bill: &Bill, time: u64) {
        self.place(terms, signing::receipt(terms, bill), time, SessionState::Settled);
    }

    /// A bill with a reward keeps its place for longer.
    pub fn extend(&mut self, terms: &Terms, bill: &Bill) {
        self.keep(terms, bill, bill.settledAt.to::<u64>() + MINT_GRACE_S);
    }

    /// A bill whose reward was minted, at the place's own time.
    pub fn rewrite(&mut self, terms: &Terms, bill: &Bill) {
        let time = self.places.get(&(terms.evse, terms.place)).map_or(0, |p| p.time);
        self.keep(terms, bill, time);
    }

    /// What Settlement has to answer at the end.
    pub fn questions(&self, setting: &Setting, registry: &Registry) -> Vec<Question> {
        let (to, mut questions) = (setting.settlement, Vec::new());
        for ((evse, index), place) in &self.places {
            let mut commitment = place.commitment;
            commitment[26..].fill(0);
            let words = vec![
                ("commitment", commitment.into()),
                ("time", U256::from(place.time)),
                ("state", U256::from(place.state as u8)),
            ];
            let call = ISettlement::placeAtCall { evse: *evse, place: *index };
            questions.push(Question::new(format!("place {index} of {}", registry.name(*evse)), to, &call, words));
        }
        for ((evse, meter), billed) in &self.billed {
            let words = vec![
                ("import register in mWh", U256::from(billed.import_milli_wh)),
                ("export register in mWh", U256::from(billed.export_milli_wh)),
                ("counter", U256::from(billed.transactions)),
                ("fiscal counter", U256::from(billed.fiscals)),
            ];
            let call = ISettlement::billedOfCall { evse: *evse, meter: *meter };
            questions.push(Question::new(
                format!("last bill of the meter of {}", registry.name(*evse)),
                to,
                &call,
                words,
            ));
        }
        questions
    }
}

fn active<'a>(all: &'a mut BTreeMap<B256, Session>, t: &mut Tally, at: At, id: B256) -> Option<&'a mut Session> {
    let session = all.get_mut(&id);
    let state = session.as_ref().map_or(SessionState::None, |s| s.state);
    let (wanted, found) = (say!("{:?}", SessionState::Active), say!("{state:?}"));
    t.holds(Kind::Session, at, state == SessionState::Active, say!("session {id}: state before"), wanted, found);
    session.filter(|s| s.state == SessionState::Active)
}

fn opening(call: &C, id: B256, setting: &Setting) -> Option<(Request, Bytes)> {
    let C::openSession(call) = call else { return None };
    let named = signing::request_digest(&call.request, setting.chain_id, setting.settlement) == id;
    named.then(|| (call.request.clone(), call.signature.clone()))
}

fn amending(call: &C, id: B256, after: &Terms) -> Option<(Amendment, Bytes)> {
    let C::amendFor(call) = call else { return None };
    let a = &call.amendment;
    let named = a.session == id && (a.energyWh, a.departure) == (after.energyWh, after.departure);
    named.then(|| (a.clone(), call.signature.clone()))
}

fn keeping(call: &C, id: B256, after: &Terms) -> Option<SignedReading> {
    let C::keepOpen(call) = call else { return None };
    (call.terms.session == id && call.signed.time == after.lastReading).then(|| call.signed.clone())
}
