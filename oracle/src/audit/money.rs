//! Wallets, holds and bills not paid out, rebuilt from events; and every token that moved, against what the contracts say
//! was moved.

use super::facts::{At, Event, Fact, Question, Setting};
use super::registry::{Registry, word};
use super::report::{Kind, Tally};
use crate::abi::IBookings::IBookingsEvents as B;
use crate::abi::IFlexibilityToken::IFlexibilityTokenEvents as P;
use crate::abi::IPlans::IPlansEvents as L;
use crate::abi::ISettlement::{self, Claimed, ISettlementEvents as S};
use crate::abi::{Bill, ICreditToken};
use alloy::primitives::{Address, B256, U256};
use std::collections::BTreeMap;

const DAY_S: u64 = 86_400;
/// Days of bills that a site's ring keeps apart.
const BUCKETS: u64 = 4;
/// Bills of today and of the two days before can still be disputed.
const PENDING_DAYS: u8 = 3;

/// What bills came to: all of it, and the shares of operator and protocol in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    amount: U256,
    operator_fee: U256,
    protocol_fee: U256,
}

/// The bills of one day. Of the day only the last byte is kept, as on the chain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Bucket {
    day: u8,
    sum: Sum,
}

/// A site's money.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct SiteMoney {
    ring: [Bucket; BUCKETS as usize],
    due: Sum,
}

/// All money of a Settlement.
#[derive(Debug, Clone, Default)]
pub struct Money {
    wallets: BTreeMap<Address, U256>,
    sites: BTreeMap<B256, SiteMoney>,
    /// Held for sessions that run.
    session_holds: U256,
    /// Held for bookings.
    booking_holds: U256,
    /// Came in less what went out, by the contract's own events.
    accounted: U256,
    /// Tokens that the contracts own, by the token's events: Settlement's, those of the pools, and stakes.
    owned: BTreeMap<Address, U256>,
    /// A low balance is told before the hold that made it so.
    low: Option<(Address, U256)>,
}

impl Sum {
    fn of(bill: &Bill) -> Self {
        Self {
            amount: U256::from(bill.amount),
            operator_fee: U256::from(bill.operatorFee),
            protocol_fee: U256::from(bill.protocolFee),
        }
    }

    fn add(&mut self, other: Self) {
        self.amount += other.amount;
        self.operator_fee += other.operator_fee;
        self.protocol_fee += other.protocol_fee;
    }
}

impl SiteMoney {
    fn bucket(&mut self, settled_at: u64) -> &mut Bucket {
        let day = settled_at / DAY_S;
        let bucket = &mut self.ring[(day % BUCKETS) as usize];
        if bucket.day != day as u8 {
            self.due.add(std::mem::take(&mut bucket.sum));
            bucket.day = day as u8;
        }
        bucket
    }

    /// What can be paid out at `time`, and what can still be disputed.
    fn split(&self, time: u64) -> (Sum, Sum) {
        let (mut due, mut pending) = (self.due, Sum::default());
        for bucket in &self.ring {
            if is_pending(bucket.day, time) { pending.add(bucket.sum) } else { due.add(bucket.sum) }
        }
        (due, pending)
    }
}

fn is_pending(day: u8, time: u64) -> bool {
    ((time / DAY_S) as u8).wrapping_sub(day) < PENDING_DAYS
}

impl Money {
    /// What came in or went out of Settlement, or moved for a booking.
    pub fn apply(&mut self, tally: &mut Tally, registry: &Registry, setting: &Setting, at: At, event: &S) {
        match event {
            S::Deposited(e) => {
                self.accounted += e.amount;
                self.credit(e.account, e.amount);
            }
            S::Withdrawn(e) => self.leave(tally, at, e.account, e.amount),
            S::Migrated(e) => self.leave(tally, at, e.account, e.amount),
            S::BookingHeld(e) => {
                self.booking_holds += e.amount;
                self.debit(tally, at, e.driver, e.amount);
            }
            S::BookingReleased(e) => {
                let released = e.refund + e.fee;
                let what = format_args!("booking money of {}: released", e.driver);
                let held = self.booking_holds;
                let (wanted, found) =
                    (format_args!("at most the {held} held for bookings"), format_args!("{released}"));
                tally.holds(Kind::Booking, at, released <= held, what, wanted, found);
                self.booking_holds = held.saturating_sub(released);
                self.credit(e.driver, e.refund);
                self.sites.entry(e.site).or_default().due.amount += e.fee;
            }
            S::LowBalance(e) => self.low = Some((e.account, e.balance)),
            S::Claimed(e) => self.claimed(tally, registry, setting, at, e),
            _ => {}
        }
    }

    /// A session's hold.
    pub fn hold(&mut self, tally: &mut Tally, at: At, driver: Address, held: u128) {
        let held = U256::from(held);
        self.session_holds += held;
        self.debit(tally, at, driver, held);
    }

    /// Ends a hold: `refund` goes back to the driver.
    pub fn release(&mut self, driver: Address, held: u128, refund: u128) {
        self.session_holds = self.session_holds.saturating_sub(U256::from(held));
        self.credit(driver, U256::from(refund));
    }

    /// A bill enters its site's bucket of the day.
    pub fn collect(&mut self, site: B256, bill: &Bill) {
        let money = self.sites.entry(site).or_default();
        money.bucket(bill.settledAt.to()).sum.add(Sum::of(bill));
    }

    /// A bill is another, lower one: the difference goes back to the driver.
    pub fn correct(&mut self, site: B256, driver: Address, from: &Bill, to: &Bill) {
        let money = self.sites.entry(site).or_default();
        let sum = &mut money.bucket(from.settledAt.to()).sum;
        let (before, after) = (Sum::of(from), Sum::of(to));
        sum.amount = (sum.amount + after.amount).saturating_sub(before.amount);
        sum.operator_fee = (sum.operator_fee + after.operator_fee).saturating_sub(before.operator_fee);
        sum.protocol_fee = (sum.protocol_fee + after.protocol_fee).saturating_sub(before.protocol_fee);
        self.credit(driver, before.amount.saturating_sub(after.amount));
    }

    fn claimed(&mut self, tally: &mut Tally, registry: &Registry, setting: &Setting, at: At, e: &Claimed) {
        let money = self.sites.entry(e.site).or_default();
        let (due, pending) = money.split(at.time);
        let name = registry.name(e.site);
        let what =
            format_args!("claim of {name}: amount of bills that can no longer be disputed ({} can)", pending.amount);
        tally.equal(Kind::Claim, at, what, due.amount, e.amount);
        tally.equal(Kind::Claim, at, format_args!("claim of {name}: operator's fee"), due.operator_fee, e.operatorFee);
        tally.equal(Kind::Claim, at, format_args!("claim of {name}: protocol's fee"), due.protocol_fee, e.protocolFee);
        if let Some(site) = registry.sites.get(&e.site) {
            tally.equal(Kind::Claim, at, format_args!("claim of {name}: owner"), site.owner, e.owner);
            tally.equal(Kind::Claim, at, format_args!("claim of {name}: operator"), site.runs(), e.operator);
        }
        money.due = Sum::default();
        for bucket in &mut money.ring {
            if !is_pending(bucket.day, at.time) {
                bucket.sum = Sum::default();
            }
        }
        self.credit(e.owner, e.amount.saturating_sub(e.operatorFee + e.protocolFee));
        self.credit(e.operator, e.operatorFee);
        self.credit(setting.fee_recipient, e.protocolFee);
    }

    fn wallet(&self, account: Address) -> U256 {
        self.wallets.get(&account).copied().unwrap_or_default()
    }

    fn credit(&mut self, account: Address, amount: U256) {
        *self.wallets.entry(account).or_default() += amount;
    }

    fn debit(&mut self, tally: &mut Tally, at: At, account: Address, amount: U256) {
        let balance = self.wallet(account);
        let what = format_args!("wallet of {account}: taken out");
        let (wanted, found) = (format_args!("at most its {balance}"), format_args!("{amount}"));
        tally.holds(Kind::Balance, at, amount <= balance, what, wanted, found);
        let left = balance.saturating_sub(amount);
        self.wallets.insert(account, left);
        if let Some((_, told)) = self.low.take_if(|(low, _)| *low == account) {
            tally.equal(Kind::Balance, at, format_args!("balance of {account} as told to its owner"), left, told);
        }
    }

    fn leave(&mut self, tally: &mut Tally, at: At, account: Address, amount: U256) {
        self.accounted = self.accounted.saturating_sub(amount);
        self.debit(tally, at, account, amount);
    }

    /// Compares the tokens that moved in a transaction with what the contracts say was moved.
    pub fn transfers(&mut self, tally: &mut Tally, setting: &Setting, facts: &[Fact]) {
        let mut told: BTreeMap<(Address, Address, U256), (At, i64)> = BTreeMap::new();
        for fact in facts {
            let (delta, from, to, amount) = match &fact.event {
                Event::Credit(e) => {
                    *self.owned.entry(e.to).or_default() += e.value;
                    let owned = self.owned.entry(e.from).or_default();
                    *owned = owned.wrapping_sub(e.value);
                    (-1, e.from, e.to, e.value)
                }
                Event::Settlement(event) => match &**event {
                    S::Deposited(e) => (1, e.from, setting.settlement, e.amount),
                    S::Withdrawn(e) => (1, setting.settlement, e.to, e.amount),
                    S::Migrated(e) => (1, setting.settlement, e.target, e.amount),
                    _ => continue,
                },
                Event::Pools(event) => match event {
                    P::PoolFunded(e) => (1, e.from, setting.flexibility, e.amount),
                    P::SurplusTaken(e) => (1, setting.flexibility, e.to, e.amount),
                    P::Redeemed(e) => (1, setting.flexibility, e.holder, e.paid),
                    _ => continue,
                },
                Event::Plans(event) => match &**event {
                    L::StakeDeposited(e) => (1, e.account, setting.plans, e.amount),
                    L::StakeWithdrawn(e) => (1, setting.plans, e.to, e.amount),
                    _ => continue,
                },
                _ => continue,
            };
            let entry = told.entry((from, to, amount)).or_insert((fact.at, 0));
            entry.1 += delta;
        }
        let ours = [setting.settlement, setting.flexibility, setting.plans];
        for ((from, to, amount), (at, missing)) in told {
            let what = format_args!("tokens from {from} to {to}");
            if missing < 0 && !ours.contains(&from) {
                tally.note(
                    Kind::Transfer,
                    at,
                    format_args!("{amount} came from {from} without being a deposit: a gift to {to}"),
                );
                continue;
            }
            let (told, moved) = if missing > 0 { (missing, 0) } else { (0, -missing) };
            let wanted = format_args!("{amount}, {told} times");
            tally.holds(Kind::Transfer, at, missing == 0, what, wanted, format_args!("{moved} times"));
        }
    }

    /// Compares what Bookings said in a transaction with the money that Settlement held and released for it.
    pub fn booking_money(tally: &mut Tally, facts: &[Fact]) {
        let (mut held, mut released, mut at) = ([U256::ZERO; 2], [U256::ZERO; 2], None);
        for fact in facts {
            match &fact.event {
                Event::Bookings(B::Booked(e)) => held[0] += U256::from(e.price) + U256::from(e.deposit),
                Event::Bookings(B::Cancelled(e)) => released[0] += e.refund + e.fee,
                Event::Bookings(B::NoShow(e)) => released[0] += e.refund + e.fee,
                Event::Bookings(B::CheckedIn(e)) => released[0] += e.deposit + e.price,
                Event::Settlement(event) => match &**event {
                    S::BookingHeld(e) => held[1] += e.amount,
                    S::BookingReleased(e) => released[1] += e.refund + e.fee,
                    _ => continue,
                },
                _ => continue,
            }
            at = Some(fact.at);
        }
        let Some(at) = at else { return };
        tally.equal(Kind::Booking, at, format_args!("money held for bookings"), held[0], held[1]);
        tally.equal(Kind::Booking, at, format_args!("money released from bookings"), released[0], released[1]);
    }

    /// Checks that the parts are the whole, and says what the contracts have to answer at the end.
    pub fn questions(&self, tally: &mut Tally, setting: &Setting, registry: &Registry, end: At) -> Vec<Question> {
        let to = setting.settlement;
        let bills: U256 = self.sites.values().map(|m| m.split(end.time).0.amount + m.split(end.time).1.amount).sum();
        let wallets: U256 = self.wallets.values().copied().sum();
        let parts = wallets + self.session_holds + self.booking_holds + bills;
        let what = format_args!("wallets, holds, bookings' money and bills together");
        tally.equal(Kind::Balance, end, what, self.accounted, parts);
        let owned = self.owned.get(&to).copied().unwrap_or_default();
        let (what, wanted) = (format_args!("tokens of Settlement"), format_args!("at least {}", self.accounted));
        tally.holds(Kind::Balance, end, owned >= self.accounted, what, wanted, format_args!("{owned}"));

        let mut questions = Vec::new();
        for (account, balance) in &self.wallets {
            let call = ISettlement::balanceOfCall { account: *account };
            let words = vec![("balance", *balance)];
            questions.push(Question::new(format!("wallet of {account}"), to, &call, words));
        }
        let accounted = vec![("accounted", self.accounted)];
        questions.push(Question::new("money of all", to, &ISettlement::accountedCall {}, accounted));
        for (site, money) in &self.sites {
            let (due, pending) = money.split(end.time);
            let words = vec![("claimable", due.amount), ("pending", pending.amount)];
            let what = format!("bills of {}", registry.name(*site));
            questions.push(Question::new(what, to, &ISettlement::claimableOfCall { site: *site }, words));
        }
        for (what, contract) in [("Settlement", to), ("the pools", setting.flexibility), ("Plans", setting.plans)] {
            let owned = self.owned.get(&contract).copied().unwrap_or_default();
            let call = ICreditToken::balanceOfCall { account: contract };
            questions.push(Question::new(format!("tokens of {what}"), setting.credit, &call, vec![("balance", owned)]));
        }
        let names = vec![("credit token", word(setting.credit))];
        questions.push(Question::new("token of Settlement", to, &ISettlement::creditCall {}, names));
        questions
    }

    /// Tokens that a contract owns, by the token's events.
    pub fn owned(&self, contract: Address) -> U256 {
        self.owned.get(&contract).copied().unwrap_or_default()
    }
}
