//! Why a contract refused: its custom error with the values.

use crate::abi::ISettlement;
use crate::abi::{IAssetRegistry, IBookings, ICreditToken, IDispatch, IFlexibilityToken, IPlans, IScheduleVerifier};
use alloy::primitives::{Bytes, hex};
use alloy::sol_types::{Panic, Revert, SolError, SolInterface};
use serde::{Deserialize, Serialize};
use std::fmt;

mod foreign {
    //! Errors of the token libraries, which IProtocol.sol does not declare.
    #![allow(missing_docs, reason = "OpenZeppelin's own")]
    alloy::sol! {
        #![sol(all_derives)]
        interface Token {
            error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed);
            error ERC20InsufficientAllowance(address spender, uint256 allowance, uint256 needed);
            error ERC20InvalidReceiver(address receiver);
            error SafeERC20FailedOperation(address token);
            error ReentrancyGuardReentrantCall();
        }
    }
}

/// Why a call was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevertReason {
    /// Name of the custom error; `Error`, `Panic` or `Unknown` for anything else.
    pub name: String,
    /// The error with its values, for people: `AlreadyDispatched(site 0x…, interval 5)`.
    pub text: String,
    /// What the contract returned, for code that branches on the values.
    pub data: Bytes,
}

impl RevertReason {
    /// Decodes what a reverted call returned.
    pub fn decode(data: Bytes) -> Self {
        let (name, text) = decode(&data);
        Self { name, text, data }
    }

    /// A refusal that carries no data, with what is known instead.
    pub fn unknown(text: impl Into<String>) -> Self {
        Self { name: "Unknown".into(), text: text.into(), data: Bytes::new() }
    }
}

impl fmt::Display for RevertReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn decode(data: &[u8]) -> (String, String) {
    let debug = ISettlement::ISettlementErrors::abi_decode(data)
        .map(|e| format!("{e:?}"))
        .or_else(|_| IDispatch::IDispatchErrors::abi_decode(data).map(|e| format!("{e:?}")))
        .or_else(|_| IPlans::IPlansErrors::abi_decode(data).map(|e| format!("{e:?}")))
        .or_else(|_| IScheduleVerifier::IScheduleVerifierErrors::abi_decode(data).map(|e| format!("{e:?}")))
        .or_else(|_| IAssetRegistry::IAssetRegistryErrors::abi_decode(data).map(|e| format!("{e:?}")))
        .or_else(|_| IBookings::IBookingsErrors::abi_decode(data).map(|e| format!("{e:?}")))
        .or_else(|_| IFlexibilityToken::IFlexibilityTokenErrors::abi_decode(data).map(|e| format!("{e:?}")))
        .or_else(|_| ICreditToken::ICreditTokenErrors::abi_decode(data).map(|e| format!("{e:?}")))
        .or_else(|_| foreign::Token::TokenErrors::abi_decode(data).map(|e| format!("{e:?}")));
    if let Ok(debug) = debug {
        return readable(&debug);
    }
    if let Ok(revert) = Revert::abi_decode(data) {
        return ("Error".into(), revert.reason);
    }
    if let Ok(panic) = Panic::abi_decode(data) {
        return ("Panic".into(), panic.to_string());
    }
    let text = if data.is_empty() { "refused without a reason".into() } else { hex::encode_prefixed(data) };
    ("Unknown".into(), text)
}

/// The derived form `Name(Name { key: value, … })` as `Name(key value, …)`.
fn readable(debug: &str) -> (String, String) {
    let (name, rest) = debug.split_once('(').unwrap_or((debug, ""));
    let rest = rest.strip_suffix(')').unwrap_or(rest);
    let values = rest.strip_prefix(name).unwrap_or(rest).trim();
    let values = values.trim_start_matches('{').trim_end_matches('}').trim().replace(": ", " ");
    (name.to_owned(), format!("{name}({values})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::primitives::{B256, I256, U256};

    #[test]
    fn errors_show_their_values() {
        let error = IDispatch::ImportLimitExceeded {
            site: B256::ZERO,
            group: 2,
            powerW: I256::try_from(91_000).unwrap(),
            limitW: U256::from(50_000),
        };
        let reason = RevertReason::decode(error.abi_encode().into());
        assert_eq!(reason.name, "ImportLimitExceeded");
        assert_eq!(
            reason.text,
            format!("ImportLimitExceeded(site {}, group 2, powerW 91000, limitW 50000)", B256::ZERO)
        );
    }

    #[test]
    fn anything_else_is_shown_as_it_is() {
        assert_eq!(RevertReason::decode(Bytes::new()).name, "Unknown");
        assert_eq!(RevertReason::decode(Revert::from("no").abi_encode().into()).text, "no");
        assert_eq!(RevertReason::decode(Bytes::from_static(&[1, 2, 3, 4, 5])).text, "0x0102030405");
    }
}
