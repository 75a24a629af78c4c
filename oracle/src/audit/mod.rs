//! An audit of one deployment from what the chain told: every event in order, every signature, limit, bill and token moved,
//! all state rebuilt and compared with the contracts' own answers. Pure: it asks nobody, so that a doctored chain can be
//! audited as well as a real one. In reading order: what it works on ([`facts`]), what it comes to ([`report`]), what
//! transactions asked for ([`calls`]), state over time ([`registry`], [`dispatch`]), from a meter's signature to money
//! ([`ocmf`], [`evidence`], [`billing`], [`sessions`], [`money`]), [`bookings`], [`flexibility`], plans and their
//! certificates ([`plans`]); and one driver's own session told ([`explain`]).

/// What is said in a report, formatted only where it is.
macro_rules! say {
    ($($part:tt)*) => { format_args!($($part)*) };
}

pub mod billing;
pub mod bookings;
pub mod calls;
pub mod dispatch;
pub mod evidence;
pub mod explain;
pub mod facts;
pub mod flexibility;
pub mod money;
pub mod ocmf;
pub mod plans;
pub mod registry;
pub mod report;
pub mod sessions;
pub mod signatures;

use crate::abi::IBookings::IBookingsEvents;
use crate::abi::IDispatch::IDispatchEvents as D;
use crate::abi::IPlans::IPlansEvents;
use crate::abi::ISettlement::ISettlementEvents;
use crate::abi::{Bill, SessionState, Terms};
use alloy::primitives::{Address, B256, Bytes, U256};
use calls::Calls;
use facts::{At, Event, Fact, Question, Range, Setting, Transaction};
use optimizer::flexibility::Flexibility;
use optimizer::units::Micro;
use report::{Kind, Report, SiteCount, Tally};
use std::collections::BTreeMap;

/// An audit that runs.
#[derive(Debug, Clone)]
pub struct Auditor {
    setting: Setting,
    tally: Tally,
    registry: registry::Registry,
    dispatched: dispatch::Dispatched,
    sessions: sessions::Sessions,
    money: money::Money,
    bookings: bookings::Calendars,
    rewards: flexibility::Rewards,
    plans: plans::Plans,
    /// Hashes of the codes that verified plans.
    algorithms: BTreeMap<Address, B256>,
    signers: signatures::Signers,
    events: u64,
}

impl Auditor {
    /// Begins before the first event.
    pub fn new(setting: Setting) -> Self {
        Self {
            setting,
            tally: Tally::default(),
            registry: registry::Registry::default(),
            dispatched: dispatch::Dispatched::default(),
            sessions: sessions::Sessions::default(),
            money: money::Money::default(),
            bookings: bookings::Calendars::default(),
            rewards: flexibility::Rewards::default(),
            plans: plans::Plans::default(),
            algorithms: BTreeMap::new(),
            signers: signatures::Signers::default(),
            events: 0,
        }
    }

    /// How the code at an address compares with the build.
    pub fn code(&mut self, name: &str, address: Address, differs: Option<&str>) {
        let (what, wanted) = (say!("{name} at {address}"), say!("the code of this build"));
        let found = say!("{}", differs.unwrap_or_default());
        self.tally.holds(Kind::Bytecode, At::default(), differs.is_none(), what, wanted, found);
    }

    /// Takes in the next blocks.
    pub fn take(&mut self, range: &Range) {
        self.signers.contracts.extend(&range.contracts);
        self.algorithms.extend(&range.algorithms);
        for facts in range.facts.chunk_by(|a, b| a.at.transaction == b.at.transaction) {
            let transaction = facts.first().and_then(|f| range.transactions.get(&f.at.transaction));
            self.transaction(facts, transaction);
        }
    }

    /// The registry as it stands now.
    pub fn registry(&self) -> &registry::Registry {
        &self.registry
    }

    /// What can be claimed for flexibility of these sessions now, those left out that earn nothing.
    pub fn claimable(&self, sessions: &[B256]) -> Vec<(Terms, Bill, Flexibility)> {
        let of = |id: &B256| {
            let session = self.sessions.all.get(id).filter(|s| s.state == SessionState::Settled)?;
            let bill = session.bill.as_ref().filter(|bill| bill.reward == 0)?;
            let moved = self.plans.claimable(&self.registry, &session.terms, bill)?;
            (moved.worth > Micro::ZERO).then(|| (session.terms.clone(), bill.clone(), moved))
        };
        sessions.iter().filter_map(of).collect()
    }

    fn transaction(&mut self, facts: &[Fact], transaction: Option<&Transaction>) {
        let mut calls = Calls::of(&self.setting, transaction);
        for fact in facts {
            self.events += 1;
            self.fact(fact, &mut calls);
        }
        self.money.transfers(&mut self.tally, &self.setting, facts);
        money::Money::booking_money(&mut self.tally, facts);
        self.rewards.transaction(&mut self.tally, &self.registry, facts);
        self.plans.transaction(&mut self.tally);
    }

    fn fact(&mut self, fact: &Fact, calls: &mut Calls) {
        let (at, tally) = (fact.at, &mut self.tally);
        match &fact.event {
            Event::Registry(event) => self.registry.apply(tally, at, event),
            Event::Dispatch(event) => {
                self.dispatched.apply(tally, &self.registry, at, event, calls);
                match &**event {
                    D::SetpointsPosted(e) => {
                        let count = self.dispatched.counts.entry(e.site).or_default();
                        self.plans.setpoints(tally, &self.setting, count, at, e);
                    }
                    D::ReadingsPosted(e) => self.plans.metered(tally, &self.registry, e),
                    D::ReadingDisputed(_) | D::ForecastsScored(_) => {}
                }
            }
            Event::Plans(event) => self.plan(at, event, calls),
            Event::Settlement(event) => self.settlement(at, event, calls),
            Event::Bookings(event) => self.booking(at, event, calls),
            Event::Pools(event) => self.rewards.pool(tally, at, event),
            Event::Flexibility(event) => self.rewards.moved(event),
            // With the rest of its transaction.
            Event::Credit(_) => {}
            Event::Unknown { emitter, topic } => {
                let (what, wanted) = (say!("event of {emitter}"), say!("one of the protocol's"));
                tally.holds(Kind::Bytecode, at, false, what, wanted, say!("{topic}"));
            }
        }
    }

    fn settlement(&mut self, at: At, event: &ISettlementEvents, calls: &mut Calls) {
        use ISettlementEvents as S;
        let (tally, setting) = (&mut self.tally, &self.setting);
        match event {
            S::SessionOpened(e) => {
                let departure = e.terms.departure.to();
                self.bookings.require_free(tally, &self.registry, at, e.evse, e.driver, departure);
            }
            S::Withdrawn(e) => self.signers.withdrawal(tally, at, setting, calls, (e.account, e.to, e.amount, false)),
            S::Migrated(e) => self.signers.withdrawal(tally, at, setting, calls, (e.account, e.target, e.amount, true)),
            S::FlexibilityClaimed(e) => {
                self.rewards.claimed(tally, &mut self.sessions, setting, at, e);
                let terms = self.sessions.all.get(&e.session).map(|session| &session.terms);
                if let Some(terms) = terms.filter(|_| setting.certificates == setting.plans) {
                    self.plans.claimed(tally, &self.registry, at, (terms, &e.bill), &e.flexibility);
                }
            }
            S::RewardCorrected(e) => {
                let corrected = self.rewards.corrected(tally, &mut self.sessions, at, e);
                if let Some((terms, bill)) = corrected.filter(|_| setting.certificates == setting.plans) {
                    self.plans.reward_corrected(tally, &self.registry, at, &terms, &bill);
                }
            }
            S::FlexibilityRewarded(e) => self.rewards.rewarded(tally, &mut self.sessions, at, e),
            _ => {}
        }
        self.money.apply(tally, &self.registry, setting, at, event);
        let mut around = sessions::Around {
            tally: &mut self.tally,
            registry: &self.registry,
            money: &mut self.money,
            calls,
            signers: &self.signers,
            setting: &self.setting,
            counts: &mut self.dispatched.counts,
            at,
        };
        self.sessions.apply(&mut around, event);
    }

    fn plan(&mut self, at: At, event: &IPlansEvents, calls: &mut Calls) {
        let mut around = plans::Around {
            tally: &mut self.tally,
            registry: &self.registry,
            sessions: &self.sessions,
            calls,
            setting: &self.setting,
            counts: &mut self.dispatched.counts,
            algorithms: &self.algorithms,
            at,
        };
        self.plans.apply(&mut around, event);
    }

    fn booking(&mut self, at: At, event: &IBookingsEvents, calls: &mut Calls) {
        let mut around = bookings::Around {
            tally: &mut self.tally,
            registry: &self.registry,
            sessions: &self.sessions,
            calls,
            signers: &self.signers,
            setting: &self.setting,
            at,
        };
        self.bookings.apply(&mut around, event);
    }

    /// What the contracts have to answer at the last block.
    pub fn questions(&mut self, block: u64, time: u64) -> Vec<Question> {
        let end = At { block, time, ..At::default() };
        let Self { setting, tally, registry, .. } = self;
        let mut questions = registry.questions(setting);
        questions.extend(self.dispatched.questions(setting, registry));
        questions.extend(self.sessions.questions(setting, registry));
        questions.extend(self.money.questions(tally, setting, registry, end));
        questions.extend(self.bookings.questions(setting, registry, end));
        let owned = self.money.owned(setting.flexibility);
        questions.extend(self.rewards.questions(tally, setting, owned, end));
        let owned = self.money.owned(setting.plans);
        questions.extend(self.plans.questions(tally, setting, registry, owned, end));
        questions
    }

    /// Compares the contracts' answers, and ends. An answer is what the call returned, or why it was refused.
    pub fn finish(
        mut self,
        first_block: u64,
        (block, time): (u64, u64),
        answers: &[(Question, Result<Bytes, String>)],
    ) -> Report {
        let end = At { block, time, ..At::default() };
        for (question, answer) in answers {
            compare(&mut self.tally, end, question, answer);
        }
        let Self { setting, mut tally, registry, mut dispatched, sessions, mut plans, events, .. } = self;
        plans.finish(&mut tally, &registry, &mut dispatched.counts);
        for (evse, billed) in sessions.billed_wh() {
            // A claim beside a claim, so no error: but a driver's kWh should be among the site's.
            let posted = dispatched.posted_wh(evse);
            if billed > posted {
                let name = registry.name(evse);
                tally.note(Kind::Reading, end, say!("{name}: {billed} Wh billed, {posted} Wh posted as readings"));
            }
        }
        for finding in &mut tally.findings {
            if finding.block == 0 {
                finding.block = block;
            }
        }
        tally.findings.sort_by_key(|f| f.block);
        let site = |id| {
            let count = dispatched.counts.remove(&id).unwrap_or_default();
            let plans_uncertified = count.plans.saturating_sub(count.plans_certified);
            SiteCount { site: registry.name(id), plans_uncertified, ..count }
        };
        let sites: Vec<_> = registry.order.iter().copied().map(site).collect();
        let uncertified: u64 = sites.iter().map(|s| s.plans_uncertified).sum();
        if uncertified > 0 {
            let text = say!("{uncertified} plans are not certified: nothing proves how close to the optimum they are");
            tally.note(Kind::Certificate, end, text);
        }
        let clean = tally.findings.is_empty();
        let kinds = tally.kinds();
        let Tally { findings, notes, .. } = tally;
        Report { chain_id: setting.chain_id, first_block, block, time, clean, events, kinds, sites, findings, notes }
    }
}

fn compare(tally: &mut Tally, end: At, question: &Question, answer: &Result<Bytes, String>) {
    let what = &question.what;
    let bytes = match answer {
        Ok(bytes) if bytes.len() == 32 * question.words.len() => bytes,
        Ok(bytes) => {
            let (wanted, found) = (say!("{} words", question.words.len()), say!("{} bytes", bytes.len()));
            tally.holds(Kind::Balance, end, false, say!("{what}"), wanted, found);
            return;
        }
        Err(error) => {
            tally.holds(Kind::Balance, end, false, say!("{what}"), say!("an answer"), say!("{error}"));
            return;
        }
    };
    for ((name, expected), word) in question.words.iter().zip(bytes.chunks_exact(32)) {
        let found = U256::from_be_slice(word);
        if !name.is_empty() {
            tally.equal(Kind::Balance, end, say!("{what}: {name}"), *expected, found);
        }
    }
}
