//! The contracts as Rust types, from the same file that solc compiles.
#![allow(missing_docs, clippy::too_many_arguments, reason = "generated; documented in IProtocol.sol")]

alloy::sol!(
    #![sol(rpc, all_derives)]
    "../contracts/src/IProtocol.sol"
);

// Constants of IProtocol.sol, which the bindings leave out.

/// To post setpoints: of `Plans` alone.
pub const RIGHT_DISPATCH: u8 = 1;
/// To post readings.
pub const RIGHT_METER: u8 = 2;
/// To open and settle sessions.
pub const RIGHT_SETTLE: u8 = 4;
/// To post plans, and setpoints without one, through `Plans`, which counts the latter.
pub const RIGHT_PLAN: u8 = 8;

/// What a CPO says of setpoints that it posts by itself.
pub const CPO_REASON: &str = "the CPO's own setpoints";
