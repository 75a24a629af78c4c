//! Sessions as people name them.

use super::history;
use crate::chain::Protocol;
use crate::chain::events::Which;
use alloy::primitives::B256;
use anyhow::{Result, bail};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Fewest digits of an id that are looked up.
const LEAST_DIGITS: usize = 6;
/// Candidates that an error lists.
const LISTED: usize = 5;

/// The id of a session or of its receipt, or the beginning of either, as tables and reports show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionName(String);

impl FromStr for SessionName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.trim_end_matches('…').to_lowercase();
        let digits = lower.strip_prefix("0x").unwrap_or(&lower);
        let is_id = (LEAST_DIGITS..=64).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let expected =
            || format!("expected the id of a session or receipt, or its first {LEAST_DIGITS} or more hex digits");
        is_id.then(|| Self(digits.to_owned())).ok_or_else(expected)
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", self.0)
    }
}

impl SessionName {
    /// The one session of this name.
    ///
    /// # Errors
    /// There is none, or there are several.
    pub async fn find(&self, protocol: &Protocol) -> Result<B256> {
        let named = |id: &Option<B256>| id.is_some_and(|id| alloy::hex::encode(id).starts_with(&self.0));
        let entries = history::sessions(protocol, &Which::default()).await?;
        let found = entries.iter().map(|(_, entry)| entry).filter(|e| named(&e.session) || named(&e.receipt));
        let sessions: BTreeSet<B256> = found.filter_map(|entry| entry.session).collect();
        match (sessions.first(), sessions.len()) {
            (Some(session), 1) => Ok(*session),
            (None, _) => bail!("{self}: chain {} has no session or receipt of this id", protocol.chain.id()),
            (_, count) => {
                let listed: Vec<String> = sessions.iter().take(LISTED).map(ToString::to_string).collect();
                bail!("{self}: {count} sessions begin like this: {}", listed.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_taken_whole_and_short_and_nothing_else_is() {
        let whole = format!("0x{}", "Ab".repeat(32));
        assert_eq!(whole.parse::<SessionName>(), Ok(SessionName("ab".repeat(32))));
        assert_eq!("0xabcdef12".parse::<SessionName>(), "abcdef12…".parse::<SessionName>());
        for text in ["", "0x", "0x12345", "QS-01", &format!("{whole}0")] {
            assert!(text.parse::<SessionName>().is_err(), "{text}");
        }
    }
}
