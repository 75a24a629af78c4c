//! Whether an account acted itself, or signed what somebody else brought.

use super::calls::Calls;
use super::facts::{At, Setting};
use super::report::{Kind, Tally};
use crate::abi::IBookings::IBookingsCalls as BC;
use crate::abi::ISettlement::ISettlementCalls as SC;
use crate::abi::{BookingRequest, Cancellation, Withdrawal};
use crate::signing;
use alloy::primitives::{Address, B256, Signature, U256};
use alloy::sol_types::{Eip712Domain, SolStruct, eip712_domain};
use std::collections::BTreeSet;
use std::fmt;

mod typed {
    #![allow(missing_docs, reason = "members as Withdrawal's")]
    alloy::sol! {
        struct Migration { address account; address to; uint256 amount; uint64 nonce; uint40 validUntil; }
    }
}

/// Signers that are contracts: what they accept, only they know (ERC-1271).
#[derive(Debug, Clone, Default)]
pub struct Signers {
    /// Those known.
    pub contracts: BTreeSet<Address>,
}

impl Signers {
    /// Checks that `who` signed a digest.
    pub fn require(
        &self,
        t: &mut Tally,
        at: At,
        who: Address,
        digest: B256,
        signature: &[u8],
        what: fmt::Arguments<'_>,
    ) {
        let recovered = Signature::from_raw(signature).ok().and_then(|s| s.recover_address_from_prehash(&digest).ok());
        if recovered != Some(who) && self.contracts.contains(&who) {
            t.note(
                Kind::Signature,
                at,
                say!("{what}: {who} is a contract, which alone knows what it accepts (ERC-1271)"),
            );
            return;
        }
        t.equal(Kind::Signature, at, what, who, recovered.unwrap_or_default());
    }

    /// Something that was signed is not in the transaction's input in a form that can be read. Where one of our own contracts
    /// was called, everything it was asked for is known, and then there was nobody who asked.
    pub fn undecodable(&self, t: &mut Tally, at: At, calls: &Calls, what: fmt::Arguments<'_>) {
        if calls.direct {
            t.holds(Kind::Signature, at, false, what, say!("a call that brings it"), say!("no such call"));
        } else {
            t.note(Kind::Signature, at, say!("{what}: not decodable, it came through {}", calls.to));
        }
    }

    /// Money that leaves a wallet does so by its owner's call or signature.
    pub fn withdrawal(
        &self,
        t: &mut Tally,
        at: At,
        s: &Setting,
        calls: &mut Calls,
        left: (Address, Address, U256, bool),
    ) {
        let (account, to, amount, migrates) = left;
        let what = say!("{amount} out of the wallet of {account}");
        let sender = calls.sender;
        let taken = calls.take_settlement(|call| match call {
            SC::withdraw(c) if !migrates && sender == account && (c.to, c.amount) == (to, amount) => Some(None),
            SC::migrate(c) if migrates && sender == account && (c.target, c.amount) == (to, amount) => Some(None),
            SC::withdrawFor(c) if !migrates => {
                fits(&c.withdrawal, account, to, amount).then(|| signed(&c.withdrawal, &c.signature))
            }
            SC::migrateFor(c) if migrates => {
                fits(&c.migration, account, to, amount).then(|| signed(&c.migration, &c.signature))
            }
            _ => None,
        });
        match taken {
            None => self.undecodable(t, at, calls, what),
            Some(None) => {
                t.equal(Kind::Signature, at, what, account, sender);
            }
            Some(Some((w, signature))) => {
                let domain = signing::domain(s.chain_id, s.settlement);
                let digest =
                    if migrates { migration(&w).eip712_signing_hash(&domain) } else { w.eip712_signing_hash(&domain) };
                self.require(t, at, account, digest, &signature, what);
            }
        }
    }

    /// A booking is its driver's own act.
    pub fn booking(&self, t: &mut Tally, at: At, s: &Setting, calls: &mut Calls, of: (B256, Address, u32, u16)) {
        let (evse, driver, from, count) = of;
        let what = say!("booking of {evse} from interval {from} by {driver}");
        let sender = calls.sender;
        let fits = |r: &BookingRequest| (r.evse, r.driver, r.from, r.count) == (evse, driver, from, count);
        let taken = calls.take_bookings(|call| match call {
            BC::book(c) if sender == driver && (c.evse, c.from, c.count) == (evse, from, count) => Some(None),
            BC::bookFor(c) if fits(&c.request) => {
                Some(Some((c.request.eip712_signing_hash(&domain(s)), c.signature.clone())))
            }
            _ => None,
        });
        self.own_act(t, at, calls, driver, what, taken);
    }

    /// So is its end.
    pub fn cancellation(&self, t: &mut Tally, at: At, s: &Setting, calls: &mut Calls, of: (B256, Address, u32)) {
        let (evse, driver, from) = of;
        let what = say!("cancellation of {evse} from interval {from} by {driver}");
        let sender = calls.sender;
        let fits = |c: &Cancellation| (c.evse, c.driver, c.from) == (evse, driver, from);
        let taken = calls.take_bookings(|call| match call {
            BC::cancel(c) if sender == driver && (c.evse, c.from) == (evse, from) => Some(None),
            BC::cancelFor(c) if fits(&c.cancellation) => {
                Some(Some((c.cancellation.eip712_signing_hash(&domain(s)), c.signature.clone())))
            }
            _ => None,
        });
        self.own_act(t, at, calls, driver, what, taken);
    }

    fn own_act(
        &self,
        t: &mut Tally,
        at: At,
        calls: &Calls,
        who: Address,
        what: fmt::Arguments<'_>,
        taken: Option<Option<(B256, alloy::primitives::Bytes)>>,
    ) {
        match taken {
            None => self.undecodable(t, at, calls, what),
            Some(None) => {
                t.equal(Kind::Signature, at, what, who, calls.sender);
            }
            Some(Some((digest, signature))) => self.require(t, at, who, digest, &signature, what),
        }
    }
}

type Signed = Option<(Withdrawal, alloy::primitives::Bytes)>;

fn signed(withdrawal: &Withdrawal, signature: &alloy::primitives::Bytes) -> Signed {
    Some((withdrawal.clone(), signature.clone()))
}

fn fits(w: &Withdrawal, account: Address, to: Address, amount: U256) -> bool {
    (w.account, w.to, w.amount) == (account, to, amount)
}

fn migration(w: &Withdrawal) -> typed::Migration {
    typed::Migration { account: w.account, to: w.to, amount: w.amount, nonce: w.nonce, validUntil: w.validUntil }
}

fn domain(s: &Setting) -> Eip712Domain {
    eip712_domain! { name: "Provolt bookings", version: "1", chain_id: s.chain_id, verifying_contract: s.bookings, }
}
