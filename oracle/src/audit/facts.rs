//! What an audit works on: events in the order of the chain, the transactions behind those that something was signed for,
//! and questions to the contracts at the end. The chain edge fills them in; nothing here asks anybody.

use crate::abi::IAssetRegistry::IAssetRegistryEvents;
use crate::abi::IBookings::IBookingsEvents;
use crate::abi::IDispatch::IDispatchEvents;
use crate::abi::IFlexibilityToken::IFlexibilityTokenEvents;
use crate::abi::IPlans::IPlansEvents;
use crate::abi::ISettlement::ISettlementEvents;
use alloy::primitives::{Address, B256, Bytes, LogData, U256};
use alloy::sol_types::{SolCall, SolEvent, SolEventInterface};
use std::collections::{BTreeMap, BTreeSet};

pub mod erc20 {
    //! What every ERC-20 says, and what OpenZeppelin's contracts say besides.
    #![allow(missing_docs, reason = "standards")]
    alloy::sol! {
        #![sol(all_derives)]
        event Transfer(address indexed from, address indexed to, uint256 value);
        event Approval(address indexed owner, address indexed spender, uint256 value);
        event EIP712DomainChanged();
    }
}

/// The contracts that are audited, and what their constructors were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Chain id, which requests are signed for.
    pub chain_id: u64,
    /// Asset registry.
    pub registry: Address,
    /// Dispatch.
    pub dispatch: Address,
    /// Settlement.
    pub settlement: Address,
    /// Bookings.
    pub bookings: Address,
    /// Flexibility token.
    pub flexibility: Address,
    /// Plans.
    pub plans: Address,
    /// What verifies certificates where a site's owner names no other.
    pub verifier: Address,
    /// Credit token.
    pub credit: Address,
    /// Who receives the protocol's fee.
    pub fee_recipient: Address,
    /// The protocol's share of every bill, basis points.
    pub fee_bps: u16,
    /// Who certifies schedules; zero when nobody does.
    pub certificates: Address,
}

/// Where on the chain something happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// Block.
    pub block: u64,
    /// Its time, unix seconds.
    pub time: u64,
    /// Place among the block's events.
    pub index: u64,
    /// Transaction; zero for what holds at the end.
    pub transaction: B256,
}

/// One event of one of the contracts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Where it happened.
    pub at: At,
    /// What happened.
    pub event: Event,
}

/// An event, by who emitted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Of the registry.
    Registry(Box<IAssetRegistryEvents>),
    /// Of Dispatch.
    Dispatch(Box<IDispatchEvents>),
    /// Of Settlement.
    Settlement(Box<ISettlementEvents>),
    /// Of Bookings.
    Bookings(IBookingsEvents),
    /// Of Plans.
    Plans(Box<IPlansEvents>),
    /// Of the pools behind the flexibility token.
    Pools(IFlexibilityTokenEvents),
    /// Flexibility tokens moved.
    Flexibility(erc20::Transfer),
    /// Credit tokens moved into or out of one of the contracts.
    Credit(erc20::Transfer),
    /// One of the contracts said something that none of them has to say.
    Unknown {
        /// Which.
        emitter: Address,
        /// First topic.
        topic: B256,
    },
}

impl Event {
    /// Decodes what a contract emitted; `None` for what means nothing here, such as allowances.
    pub fn decode(setting: &Setting, emitter: Address, log: &LogData) -> Option<Self> {
        let topics = log.topics();
        let topic = topics.first().copied().unwrap_or_default();
        if [erc20::Approval::SIGNATURE_HASH, erc20::EIP712DomainChanged::SIGNATURE_HASH].contains(&topic) {
            return None;
        }
        let transfer = || erc20::Transfer::decode_log_data(log).ok();
        let data = &log.data;
        let known = if emitter == setting.registry {
            IAssetRegistryEvents::decode_raw_log(topics, data).ok().map(|e| Self::Registry(Box::new(e)))
        } else if emitter == setting.dispatch {
            IDispatchEvents::decode_raw_log(topics, data).ok().map(|e| Self::Dispatch(Box::new(e)))
        } else if emitter == setting.settlement {
            ISettlementEvents::decode_raw_log(topics, data).ok().map(|e| Self::Settlement(Box::new(e)))
        } else if emitter == setting.bookings {
            IBookingsEvents::decode_raw_log(topics, data).ok().map(Self::Bookings)
        } else if emitter == setting.plans {
            IPlansEvents::decode_raw_log(topics, data).ok().map(|e| Self::Plans(Box::new(e)))
        } else if emitter == setting.flexibility {
            let pools = IFlexibilityTokenEvents::decode_raw_log(topics, data).ok().map(Self::Pools);
            pools.or_else(|| transfer().map(Self::Flexibility))
        } else {
            transfer().map(Self::Credit)
        };
        Some(known.unwrap_or(Self::Unknown { emitter, topic }))
    }

    /// Whether the transaction behind it is needed: somebody signed something that only its input tells.
    pub fn needs_transaction(&self) -> bool {
        use {IBookingsEvents as B, ISettlementEvents as S};
        match self {
            Self::Settlement(event) => matches!(
                **event,
                S::SessionOpened(_)
                    | S::SessionAmended(_)
                    | S::SessionSettled(_)
                    | S::BillCorrected(_)
                    | S::Withdrawn(_)
                    | S::Migrated(_)
            ),
            Self::Bookings(event) => matches!(event, B::Booked(_) | B::Cancelled(_)),
            Self::Dispatch(event) => matches!(**event, IDispatchEvents::ReadingDisputed(_)),
            Self::Plans(event) => matches!(**event, IPlansEvents::PlanPosted(_) | IPlansEvents::PlanImproved(_)),
            _ => false,
        }
    }

    /// The contract that verified a plan, to know which algorithm that is.
    pub fn verifier(&self) -> Option<Address> {
        let Self::Plans(event) = self else { return None };
        if let IPlansEvents::PlanPosted(e) = &**event { Some(e.plan.rules.verifier) } else { None }
    }

    /// The driver whose signature counts, to know whether it is a contract that decides about signatures itself.
    pub fn signer(&self) -> Option<Address> {
        let Self::Settlement(event) = self else { return None };
        match &**event {
            ISettlementEvents::SessionOpened(e) => Some(e.driver),
            ISettlementEvents::Withdrawn(e) => Some(e.account),
            ISettlementEvents::Migrated(e) => Some(e.account),
            _ => None,
        }
    }
}

/// Who sent what to whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// Sender.
    pub from: Address,
    /// The contract that was called; zero for a creation.
    pub to: Address,
    /// What it was called with.
    pub input: Bytes,
    /// What it cost, where somebody asked.
    pub gas_used: Option<u64>,
}

/// A run of blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Range {
    /// In the order of the chain.
    pub facts: Vec<Fact>,
    /// Those that are needed, by hash.
    pub transactions: BTreeMap<B256, Transaction>,
    /// Signers that are contracts.
    pub contracts: BTreeSet<Address>,
    /// Hashes of the codes that verified plans.
    pub algorithms: BTreeMap<Address, B256>,
}

/// A question to a contract at the end, and what it has to answer. All answers are words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What is asked for, for people.
    pub what: String,
    /// Which contract.
    pub to: Address,
    /// With what it is called.
    pub call: Bytes,
    /// Names and expected values of the words of the answer; a name that is empty is not compared.
    pub words: Vec<(&'static str, U256)>,
}

impl Question {
    /// A question that is asked by `call`.
    pub fn new<C: SolCall>(what: impl Into<String>, to: Address, call: &C, words: Vec<(&'static str, U256)>) -> Self {
        Self { what: what.into(), to, call: call.abi_encode().into(), words }
    }
}
