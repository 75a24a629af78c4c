//! Bookings: who has which EVSE when, that no two overlap, and what they cost, by the terms and prices of their moment.

use super::calls::Calls;
use super::facts::{At, Question, Setting};
use super::registry::{Registry, word};
use super::report::{Kind, Tally};
use super::sessions::Sessions;
use super::signatures::Signers;
use crate::abi::IBookings::{self, Blocked, Booked, CheckedIn, IBookingsEvents as B};
use crate::abi::{BookingTerms, Status};
use alloy::primitives::{Address, B256, U256};
use std::collections::BTreeMap;

const INTERVAL_S: u64 = 900;
const DAY_INTERVALS: u64 = 96;
/// Days that can be booked, today included.
const AHEAD_DAYS: u64 = 63;
const NO_SHOW_GRACE_S: u64 = 1800;
const BPS: u64 = 10_000;

/// A booking, or what a host keeps for itself.
#[derive(Debug, Clone)]
struct Run {
    driver: Address,
    count: u16,
    price: U256,
    deposit: U256,
    terms: BookingTerms,
    checked_in: bool,
}

/// The calendar of one EVSE.
#[derive(Debug, Clone)]
struct Calendar {
    terms: BookingTerms,
    version: u8,
    prices: BTreeMap<u32, u64>,
    /// By first interval.
    runs: BTreeMap<u32, Run>,
}

/// All calendars.
#[derive(Debug, Clone, Default)]
pub struct Calendars {
    evses: BTreeMap<B256, Calendar>,
}

/// What a check of a booking may look at.
pub struct Around<'a> {
    /// Counts and findings.
    pub tally: &'a mut Tally,
    /// The registry at that moment.
    pub registry: &'a Registry,
    /// Sessions at that moment.
    pub sessions: &'a Sessions,
    /// What the transaction asked for.
    pub calls: &'a mut Calls,
    /// Whose signatures a contract decides about.
    pub signers: &'a Signers,
    /// The contracts.
    pub setting: &'a Setting,
    /// Where it happened.
    pub at: At,
}

fn no_terms() -> BookingTerms {
    BookingTerms {
        deposit: Default::default(),
        pricePerInterval: 0,
        cancelBefore: Default::default(),
        noShowBps: 0,
        maxCount: 0,
    }
}

impl Default for Calendar {
    fn default() -> Self {
        Self { terms: no_terms(), version: 0, prices: BTreeMap::new(), runs: BTreeMap::new() }
    }
}

impl Run {
    fn held(&self) -> U256 {
        self.price + self.deposit
    }

    fn end(&self, from: u32) -> u64 {
        u64::from(from) + u64::from(self.count)
    }
}

impl Calendars {
    /// Takes in an event.
    pub fn apply(&mut self, a: &mut Around<'_>, event: &B) {
        match event {
            B::Booked(e) => self.booked(a, e),
            B::Blocked(e) => self.blocked(a, e),
            B::Unblocked(e) => {
                let run = self.end(a, e.evse, e.from, Address::ZERO);
                if let Some(run) = run {
                    a.tally.equal(Kind::Booking, a.at, say!("intervals unblocked from {}", e.from), run.count, e.count);
                }
            }
            B::Cancelled(e) => {
                a.signers.cancellation(a.tally, a.at, a.setting, a.calls, (e.evse, e.driver, e.from));
                if let Some(run) = self.end(a, e.evse, e.from, e.driver) {
                    let free_until = u64::from(e.from) * INTERVAL_S - run.terms.cancelBefore.to::<u64>();
                    let free = a.at.time <= free_until || !served(a, e.evse, e.from, &run);
                    fee(a, &run, e.from, e.refund, e.fee, free);
                }
            }
            B::NoShow(e) => {
                if let Some(run) = self.end(a, e.evse, e.from, e.driver) {
                    let since = u64::from(e.from) * INTERVAL_S + NO_SHOW_GRACE_S;
                    let (what, wanted) = (say!("no-show from {}: time", e.from), say!("from {since} on"));
                    a.tally.holds(Kind::Booking, a.at, a.at.time >= since, what, wanted, say!("{}", a.at.time));
                    // Of one long forgotten, its terms may be as well: then it costs nothing.
                    let over = a.at.time >= run.end(e.from) * INTERVAL_S;
                    let free = (over && e.fee.is_zero()) || !served(a, e.evse, e.from, &run);
                    fee(a, &run, e.from, e.refund, e.fee, free);
                }
            }
            B::CheckedIn(e) => self.checked_in(a, e),
            B::BookingTermsSet(e) => {
                let calendar = self.evses.entry(e.evse).or_default();
                let what = say!("version of the booking terms of {}", a.registry.name(e.evse));
                a.tally.equal(Kind::Booking, a.at, what, calendar.version.wrapping_add(1), e.version);
                (calendar.terms, calendar.version) = (e.terms.clone(), e.version);
                let sound = e.terms.noShowBps <= BPS as u16 && u64::from(e.terms.maxCount) <= DAY_INTERVALS;
                let (what, wanted) = (say!("booking terms"), say!("within the limits"));
                a.tally.holds(Kind::Booking, a.at, sound, what, wanted, say!("{:?}", e.terms));
            }
            B::PricesSet(e) => {
                let prices = &mut self.evses.entry(e.evse).or_default().prices;
                let now = a.at.time / INTERVAL_S;
                prices.retain(|interval, _| u64::from(*interval) > now);
                for (interval, price) in (e.from..).zip(&e.prices) {
                    if *price == u64::MAX {
                        prices.remove(&interval)
                    } else {
                        prices.insert(interval, *price)
                    };
                }
            }
        }
    }

    fn booked(&mut self, a: &mut Around<'_>, e: &Booked) {
        a.signers.booking(a.tally, a.at, a.setting, a.calls, (e.evse, e.driver, e.from, e.count));
        let (registry, at) = (a.registry, a.at);
        let may = registry.may_book(e.evse, e.driver) && !registry.paused;
        let what = say!("booking of {} by {}", registry.name(e.evse), e.driver);
        a.tally.holds(Kind::Booking, at, may, what, say!("a driver who may book there"), say!("one who may not"));
        let calendar = self.evses.entry(e.evse).or_default();
        let own = calendar.terms.pricePerInterval;
        let intervals = e.from..e.from + u32::from(e.count);
        let price: U256 = intervals.map(|i| U256::from(calendar.prices.get(&i).copied().unwrap_or(own))).sum();
        let (deposit, most) = (U256::from(calendar.terms.deposit), calendar.terms.maxCount);
        let t = &mut *a.tally;
        t.equal(Kind::Booking, at, say!("price of the booking from {}", e.from), price, U256::from(e.price));
        t.equal(Kind::Booking, at, say!("deposit of the booking from {}", e.from), deposit, U256::from(e.deposit));
        let few = e.count > 0 && e.count <= most.into();
        let (what, wanted) = (say!("intervals of the booking from {}", e.from), say!("1 to {most}"));
        t.holds(Kind::Booking, at, few, what, wanted, say!("{}", e.count));
        let (terms, driver) = (calendar.terms.clone(), e.driver);
        let run = Run { driver, count: e.count, price, deposit, terms, checked_in: false };
        self.take(a, e.evse, e.from, run);
    }

    fn blocked(&mut self, a: &mut Around<'_>, e: &Blocked) {
        let (price, deposit, driver) = (U256::ZERO, U256::ZERO, Address::ZERO);
        let run = Run { driver, count: e.count, price, deposit, terms: no_terms(), checked_in: false };
        self.take(a, e.evse, e.from, run);
    }

    fn take(&mut self, a: &mut Around<'_>, evse: B256, from: u32, run: Run) {
        let (name, at, end) = (a.registry.name(evse), a.at, run.end(from));
        let (now, first) = (at.time / INTERVAL_S, u64::from(from));
        let inside = first > now && end <= (now / DAY_INTERVALS + AHEAD_DAYS) * DAY_INTERVALS;
        let (what, wanted) = (say!("booking of {name} from {from}"), say!("after interval {now}, in the calendar"));
        a.tally.holds(Kind::Booking, at, inside, what, wanted, say!("{from} to {end}"));
        let calendar = self.evses.entry(evse).or_default();
        // What has served its purpose: nobody can end it any more.
        calendar.runs.retain(|start, run| !run.checked_in || run.end(*start) > now);
        let other = calendar.runs.iter().find(|(start, other)| u64::from(**start) < end && other.end(**start) > first);
        let found =
            other.map_or_else(String::new, |(start, o)| format!("{start} to {} is {}'s", o.end(*start), o.driver));
        let (what, wanted) = (say!("{name}, intervals {from} to {end}"), say!("nobody else's"));
        a.tally.holds(Kind::Booking, at, other.is_none(), what, wanted, say!("{found}"));
        calendar.runs.insert(from, run);
    }

    fn end(&mut self, a: &mut Around<'_>, evse: B256, from: u32, driver: Address) -> Option<Run> {
        let runs = &mut self.evses.entry(evse).or_default().runs;
        let run = runs.get(&from).filter(|r| r.driver == driver && !r.checked_in).cloned();
        let (what, wanted) = (say!("booking from {from} that was ended"), say!("one of {driver}, not checked in"));
        a.tally.holds(Kind::Booking, a.at, run.is_some(), what, wanted, say!("no such booking"));
        if run.is_some() {
            runs.remove(&from);
        }
        run
    }

    fn checked_in(&mut self, a: &mut Around<'_>, e: &CheckedIn) {
        let runs = &mut self.evses.entry(e.evse).or_default().runs;
        let run = runs.get_mut(&e.from).filter(|r| r.driver == e.driver && !r.checked_in);
        let (t, at) = (&mut *a.tally, a.at);
        let (what, wanted) = (say!("booking from {} checked in", e.from), say!("an open one of {}", e.driver));
        t.holds(Kind::Booking, at, run.is_some(), what, wanted, say!("no such booking"));
        if let Some(run) = run {
            run.checked_in = true;
            t.equal(Kind::Booking, at, say!("deposit given back from {}", e.from), run.deposit, e.deposit);
            t.equal(Kind::Booking, at, say!("price paid from {}", e.from), run.price, e.price);
        }
    }

    /// A session may not reach into what others have booked.
    pub fn require_free(
        &self,
        t: &mut Tally,
        registry: &Registry,
        at: At,
        evse: B256,
        driver: Address,
        departure: u64,
    ) {
        let (now, end) = (at.time / INTERVAL_S, departure.div_ceil(INTERVAL_S));
        let Some(calendar) = self.evses.get(&evse) else { return };
        let owner = registry.assets.get(&evse).and_then(|x| registry.sites.get(&x.site)).map(|s| s.owner);
        let touched = calendar.runs.iter().filter(|(from, run)| u64::from(**from) < end && run.end(**from) > now);
        for (from, run) in touched {
            let own = run.driver == driver || (run.driver.is_zero() && owner == Some(driver));
            let what = say!("stay of {driver} at {} until {departure}", registry.name(evse));
            let wanted = say!("nobody else's booking in it");
            t.holds(Kind::Booking, at, own, what, wanted, say!("interval {from} is {}'s", run.driver));
        }
    }

    /// What Bookings has to answer at the end.
    pub fn questions(&self, setting: &Setting, registry: &Registry, end: At) -> Vec<Question> {
        let (to, mut questions) = (setting.bookings, Vec::new());
        let today = end.time / INTERVAL_S / DAY_INTERVALS;
        for (evse, calendar) in &self.evses {
            let name = registry.name(*evse);
            let t = &calendar.terms;
            let words = vec![
                ("deposit", U256::from(t.deposit)),
                ("price", U256::from(t.pricePerInterval)),
                ("free until", U256::from(t.cancelBefore)),
                ("no-show share", U256::from(t.noShowBps)),
                ("most intervals", U256::from(t.maxCount)),
                ("version", U256::from(calendar.version)),
            ];
            let call = IBookings::termsOfCall { evse: *evse };
            questions.push(Question::new(format!("booking terms of {name}"), to, &call, words));
            // Of days that are over the ring keeps nothing for certain.
            for (from, run) in calendar.runs.iter().filter(|(from, _)| u64::from(**from) / DAY_INTERVALS >= today) {
                let words = vec![
                    ("driver", word(run.driver)),
                    ("from", U256::from(*from)),
                    ("count", U256::from(run.count)),
                    ("checked in", U256::from(run.checked_in)),
                    ("price", run.price),
                    ("deposit", run.deposit),
                    ("", U256::ZERO),
                    ("", U256::ZERO),
                ];
                let call = IBookings::bookingAtCall { evse: *evse, interval: *from };
                questions.push(Question::new(format!("booking of {name} from {from}"), to, &call, words));
            }
        }
        questions
    }
}

/// Whether the driver could have used the booking; of one that is over nobody knows any more.
fn served(a: &Around<'_>, evse: B256, from: u32, run: &Run) -> bool {
    if a.at.time >= run.end(from) * INTERVAL_S {
        return true;
    }
    let begun = a.at.time >= u64::from(from) * INTERVAL_S;
    let available = a.registry.assets.get(&evse).is_some_and(|x| x.status == Status::Available && !x.removed());
    let free = !(begun && a.sessions.is_open(evse));
    a.registry.may_book(evse, run.driver) && !a.registry.paused && available && free
}

/// What a booking that was given up cost: nothing, or the share that the host had asked.
fn fee(a: &mut Around<'_>, run: &Run, from: u32, refund: U256, fee: U256, free: bool) {
    let share = run.held() * U256::from(run.terms.noShowBps) / U256::from(BPS);
    let expected = if free { U256::ZERO } else { share };
    a.tally.equal(Kind::Booking, a.at, say!("fee of the booking given up from {from}"), expected, fee);
    a.tally.equal(Kind::Booking, a.at, say!("money of the booking given up from {from}"), run.held(), refund + fee);
}
