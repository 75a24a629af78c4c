//! Whether what is on the chain is what this program was built with: every contract and library, byte for byte, with what
//! their constructors wrote into the code, and whom they know.

use super::Chain;
use super::bytecode::{self, Compiled};
use super::deploy::{Deployment, plan};
use crate::signing;
use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::providers::Provider;
use alloy::sol_types::{Eip712Domain, eip712_domain};
use anyhow::{Context, Result};
use std::collections::BTreeSet;

mod named {
    alloy::sol! {
        #[sol(rpc)]
        interface Named {
            function registry() external view returns (address);
            function settlement() external view returns (address);
            function bookings() external view returns (address);
            function flexibility() external view returns (address);
            function credit() external view returns (address);
            function certificates() external view returns (address);
            function dispatch() external view returns (address);
            function defaultVerifier() external view returns (address);
            function minter() external view returns (address);
            function protocolFeeRecipient() external view returns (address);
        }
    }
}
use named::Named;

/// EIP-712 names of contracts that have one.
const NAMES: [&str; 4] = ["Provolt", "Provolt bookings", "Provolt Credit", "Provolt Flexibility"];
const VERSION: &str = "1";
/// A library's code begins with PUSH20 and its own address, by which it refuses to be called directly.
const LIBRARY_SELF: std::ops::Range<usize> = 1..21;

/// What was found at one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Name in the sources.
    pub name: String,
    /// Where the deployment says it is.
    pub address: Address,
    /// How it differs from the build; `None` where it does not.
    pub differs: Option<String>,
}

/// Compares everything that a deployment names with the build.
pub async fn verify(chain: &Chain, deployment: &Deployment) -> Result<Vec<Finding>> {
    let (_, expected) = plan(deployment.chain_id, &deployment.arguments)?;
    let mut findings = Vec::new();
    let mut all: Vec<(&str, Address, Option<Address>)> = vec![
        ("AssetRegistry", deployment.registry, Some(expected.registry)),
        ("RegistryViews", deployment.views, Some(expected.views)),
        ("Dispatch", deployment.dispatch, Some(expected.dispatch)),
        ("Settlement", deployment.settlement, Some(expected.settlement)),
        ("Bookings", deployment.bookings, Some(expected.bookings)),
        ("FlexibilityToken", deployment.flexibility, Some(expected.flexibility)),
        ("ScheduleVerifier", deployment.verifier, Some(expected.verifier)),
        ("Plans", deployment.plans, Some(expected.plans)),
    ];
    if deployment.arguments.credit.is_none() {
        all.insert(0, ("CreditToken", deployment.credit, Some(expected.credit)));
    }
    let names: BTreeSet<&String> = deployment.libraries.keys().chain(expected.libraries.keys()).collect();
    for name in names {
        let address = deployment.libraries.get(name).copied().unwrap_or_default();
        all.push((name, address, expected.libraries.get(name).copied()));
    }
    for (name, address, wanted) in all {
        let differs = difference(chain, deployment, name, address, wanted).await?;
        findings.push(Finding { name: name.to_owned(), address, differs });
    }
    Ok(findings)
}

async fn difference(
    chain: &Chain,
    deployment: &Deployment,
    name: &str,
    address: Address,
    wanted: Option<Address>,
) -> Result<Option<String>> {
    let Some(wanted) = wanted else { return Ok(Some("the build has no such library".into())) };
    let compiled = bytecode::find(name)?;
    let code = chain.provider.get_code_at(address).await.with_context(|| format!("{name}: code"))?;
    if code.is_empty() {
        return Ok(Some("no contract there".into()));
    }
    if let Some(difference) = compare(compiled, &code, address, &known_words(deployment))? {
        return Ok(Some(difference));
    }
    if address != wanted {
        return Ok(Some(format!("salt and arguments lead to {wanted}")));
    }
    misnamed(chain, deployment, name).await
}

/// The first difference of two codes. Immutables may have what constructors write, each the same wherever it is used; an
/// address that follows from the creation code (CREATE2) proves the rest.
fn compare(compiled: &Compiled, code: &[u8], address: Address, words: &BTreeSet<B256>) -> Result<Option<String>> {
    let mut wanted = compiled.runtime()?;
    if code.len() != wanted.len() {
        return Ok(Some(format!("{} bytes of code, the build has {}", code.len(), wanted.len())));
    }
    if compiled.library {
        wanted[LIBRARY_SELF].copy_from_slice(address.as_slice());
    }
    for places in compiled.immutables {
        let mut first: Option<&[u8]> = None;
        for (start, length) in *places {
            let has = &code[*start..start + length];
            let same = first.is_none_or(|first| first == has);
            let known = *has == *address.into_word() || has.len() != 32 || words.contains(&B256::from_slice(has));
            if !same || !known {
                let has = alloy::hex::encode_prefixed(has);
                return Ok(Some(format!("byte {start}: immutable {has} follows from no argument of the deployment")));
            }
            first = Some(has);
            wanted[*start..start + length].copy_from_slice(has);
        }
    }
    let different = |at: &usize| code[*at] != wanted[*at];
    let count = (0..code.len()).filter(different).count();
    Ok((0..code.len()).find(different).map(|at| {
        format!("byte {at} is 0x{:02x}, the build has 0x{:02x} ({count} bytes differ)", code[at], wanted[at])
    }))
}

/// Every word that a constructor of ours may write into code.
fn known_words(deployment: &Deployment) -> BTreeSet<B256> {
    let arguments = &deployment.arguments;
    let mut words: BTreeSet<B256> =
        deployment.addresses().into_iter().map(|(_, address)| address.into_word()).collect();
    for address in [arguments.fee_recipient, arguments.minter, arguments.certificates] {
        words.insert(address.into_word());
    }
    words.extend([U256::from(arguments.fee_bps), U256::from(deployment.chain_id)].map(B256::from));
    words.extend([keccak256(VERSION), short_string(VERSION)]);
    for name in NAMES {
        words.extend([keccak256(name), short_string(name)]);
        for (_, contract) in deployment.addresses() {
            words.insert(domain(name, deployment.chain_id, contract).separator());
        }
    }
    words
}

fn domain(name: &'static str, chain_id: u64, contract: Address) -> Eip712Domain {
    if name == "Provolt" {
        return signing::domain(chain_id, contract);
    }
    eip712_domain! { name: name, version: VERSION, chain_id: chain_id, verifying_contract: contract, }
}

/// OpenZeppelin's ShortString: text on the left, its length in the last byte.
fn short_string(text: &str) -> B256 {
    let mut word = B256::right_padding_from(text.as_bytes());
    word[31] = u8::try_from(text.len()).unwrap_or(u8::MAX);
    word
}

/// Whom a contract knows, where that is not whom it should.
async fn misnamed(chain: &Chain, d: &Deployment, name: &str) -> Result<Option<String>> {
    let at = |address| Named::new(address, &chain.provider);
    let references: Vec<(&str, Address, Address)> = match name {
        "CreditToken" => vec![("minter", at(d.credit).minter().call().await?, d.arguments.minter)],
        "AssetRegistry" => {
            let recipient = at(d.registry).protocolFeeRecipient().call().await?;
            vec![
                ("dispatch", at(d.registry).dispatch().call().await?, d.dispatch),
                ("protocol fee recipient", recipient, d.arguments.fee_recipient),
            ]
        }
        "RegistryViews" => vec![("registry", at(d.views).registry().call().await?, d.registry)],
        "Dispatch" => vec![("registry", at(d.dispatch).registry().call().await?, d.registry)],
        "Settlement" => vec![
            ("registry", at(d.settlement).registry().call().await?, d.registry),
            ("credit", at(d.settlement).credit().call().await?, d.credit),
            ("certificates", at(d.settlement).certificates().call().await?, d.certificates()),
            ("bookings", at(d.settlement).bookings().call().await?, d.bookings),
            ("flexibility", at(d.settlement).flexibility().call().await?, d.flexibility),
        ],
        "Bookings" => vec![
            ("registry", at(d.bookings).registry().call().await?, d.registry),
            ("settlement", at(d.bookings).settlement().call().await?, d.settlement),
        ],
        "FlexibilityToken" => vec![
            ("minter", at(d.flexibility).minter().call().await?, d.settlement),
            ("credit", at(d.flexibility).credit().call().await?, d.credit),
        ],
        "ScheduleVerifier" => vec![("dispatch", at(d.verifier).dispatch().call().await?, d.dispatch)],
        "Plans" => vec![
            ("registry", at(d.plans).registry().call().await?, d.registry),
            ("dispatch", at(d.plans).dispatch().call().await?, d.dispatch),
            ("verifier", at(d.plans).defaultVerifier().call().await?, d.verifier),
            ("credit", at(d.plans).credit().call().await?, d.credit),
        ],
        _ => Vec::new(),
    };
    let wrong = references.into_iter().find(|(_, has, wanted)| has != wanted);
    Ok(wrong.map(|(what, has, wanted)| format!("{what}: names {has}, not {wanted}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_byte_is_found_wherever_it_is() -> Result<()> {
        for name in ["Settlement", "Claims"] {
            let compiled = bytecode::find(name)?;
            let address = Address::repeat_byte(7);
            let mut code = compiled.runtime()?;
            if compiled.library {
                code[LIBRARY_SELF].copy_from_slice(address.as_slice());
            }
            let words = BTreeSet::from([B256::ZERO]);
            assert_eq!(compare(compiled, &code, address, &words)?, None);
            assert!(compare(compiled, &code[1..], address, &words)?.is_some());
            for at in (0..code.len()).step_by(61) {
                code[at] ^= 1;
                let found = compare(compiled, &code, address, &words)?;
                assert!(found.is_some_and(|f| f.contains("byte ")), "{name}: byte {at}");
                code[at] ^= 1;
            }
        }
        Ok(())
    }
}
