//! Money that is staked on plans.

use crate::abi::IPlans::{StakeDeposited, StakeWithdrawn};
use crate::audit::facts::At;
use crate::audit::report::{Kind, Tally};
use alloy::primitives::{Address, U256};
use std::collections::BTreeMap;

/// What accounts have to stake; bonds are with the plans that they are staked on.
#[derive(Debug, Clone, Default)]
pub(super) struct Stakes {
    pub(super) free: BTreeMap<Address, U256>,
    /// Came in less what went out.
    pub(super) accounted: U256,
}

impl Stakes {
    pub(super) fn deposited(&mut self, e: &StakeDeposited) {
        self.accounted += e.amount;
        self.add(e.account, e.amount);
    }

    pub(super) fn withdrawn(&mut self, tally: &mut Tally, at: At, e: &StakeWithdrawn) {
        self.accounted = self.accounted.saturating_sub(e.amount);
        self.stake(tally, at, e.account, e.amount);
    }

    pub(super) fn add(&mut self, account: Address, amount: U256) {
        if !amount.is_zero() {
            *self.free.entry(account).or_default() += amount;
        }
    }

    /// Takes what is staked or taken out.
    pub(super) fn stake(&mut self, tally: &mut Tally, at: At, account: Address, amount: U256) {
        if amount.is_zero() {
            return;
        }
        let free = self.free.entry(account).or_default();
        let (what, wanted) = (say!("stake of {account}: taken"), say!("at most its {free}"));
        tally.holds(Kind::Balance, at, amount <= *free, what, wanted, say!("{amount}"));
        *free = free.saturating_sub(amount);
    }
}
