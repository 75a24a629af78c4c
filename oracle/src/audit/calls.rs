//! What a transaction asked of the contracts. Events tell what was done; who signed for it, and with what evidence, only
//! the input of the call tells.

use super::facts::{Setting, Transaction};
use crate::abi::IBookings::IBookingsCalls;
use crate::abi::IDispatch::IDispatchCalls;
use crate::abi::IPlans::IPlansCalls;
use crate::abi::ISettlement::ISettlementCalls;
use alloy::primitives::Address;
use alloy::sol_types::{SolCall, SolInterface};

mod batch {
    #![allow(missing_docs, reason = "OpenZeppelin's Multicall")]
    alloy::sol! {
        function multicall(bytes[] data) external returns (bytes[] results);
    }
}

/// Batches inside batches are legal, and nobody needs more.
const MAX_NESTING: usize = 8;

/// A decoded call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Called {
    /// Of Settlement.
    Settlement(Box<ISettlementCalls>),
    /// Of Bookings.
    Bookings(IBookingsCalls),
    /// Of Dispatch.
    Dispatch(Box<IDispatchCalls>),
    /// Of Plans.
    Plans(Box<IPlansCalls>),
}

/// The calls of one transaction, each of which explains one event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calls {
    /// Who sent the transaction.
    pub sender: Address,
    /// The contract that was called.
    pub to: Address,
    /// What the transaction cost, where that was asked for.
    pub gas_used: Option<u64>,
    /// Whether that is one of ours, so that everything it was asked for is known.
    pub direct: bool,
    calls: Vec<Called>,
}

impl Calls {
    /// Decodes what a transaction asked for.
    pub fn of(setting: &Setting, transaction: Option<&Transaction>) -> Self {
        let Some(Transaction { from, to, input, gas_used }) = transaction else { return Self::default() };
        let mut calls = Vec::new();
        let direct = decode(setting, *to, input, 0, &mut calls);
        Self { sender: *from, to: *to, gas_used: *gas_used, direct, calls }
    }

    /// Takes the first call that `pick` recognises: a call explains one event.
    pub fn take<T>(&mut self, pick: impl Fn(&Called) -> Option<T>) -> Option<T> {
        let (index, found) = self.calls.iter().enumerate().find_map(|(i, call)| Some((i, pick(call)?)))?;
        self.calls.remove(index);
        Some(found)
    }

    /// As [`Calls::take`], of Settlement.
    pub fn take_settlement<T>(&mut self, pick: impl Fn(&ISettlementCalls) -> Option<T>) -> Option<T> {
        self.take(|call| if let Called::Settlement(call) = call { pick(call) } else { None })
    }

    /// As [`Calls::take`], of Plans.
    pub fn take_plans<T>(&mut self, pick: impl Fn(&IPlansCalls) -> Option<T>) -> Option<T> {
        self.take(|call| if let Called::Plans(call) = call { pick(call) } else { None })
    }

    /// As [`Calls::take`], of Bookings.
    pub fn take_bookings<T>(&mut self, pick: impl Fn(&IBookingsCalls) -> Option<T>) -> Option<T> {
        self.take(|call| if let Called::Bookings(call) = call { pick(call) } else { None })
    }
}

/// Whether all of it could be decoded.
fn decode(setting: &Setting, to: Address, input: &[u8], depth: usize, calls: &mut Vec<Called>) -> bool {
    if to == setting.bookings {
        return keep(IBookingsCalls::abi_decode(input).ok().map(Called::Bookings), calls);
    }
    if to == setting.dispatch {
        return keep(IDispatchCalls::abi_decode(input).ok().map(|c| Called::Dispatch(Box::new(c))), calls);
    }
    if to == setting.plans {
        return keep(IPlansCalls::abi_decode(input).ok().map(|c| Called::Plans(Box::new(c))), calls);
    }
    if to != setting.settlement {
        return false;
    }
    if let Ok(batch) = batch::multicallCall::abi_decode(input) {
        return depth < MAX_NESTING && batch.data.iter().all(|call| decode(setting, to, call, depth + 1, calls));
    }
    keep(ISettlementCalls::abi_decode(input).ok().map(|c| Called::Settlement(Box::new(c))), calls)
}

fn keep(call: Option<Called>, calls: &mut Vec<Called>) -> bool {
    let known = call.is_some();
    calls.extend(call);
    known
}
