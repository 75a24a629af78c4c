//! The contracts as Rust types, from the same file that solc compiles.
#![allow(missing_docs, clippy::too_many_arguments, reason = "generated; documented in IProtocol.sol")]

alloy::sol!(
    #![sol(rpc, all_derives)]
    "../contracts/src/IProtocol.sol"
);
