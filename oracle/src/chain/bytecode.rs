//! Bytecode of the contracts as `build.rs` compiled it, linked. Everything is deployed through the deterministic deployment
//! proxy, so that an address follows from code, arguments and salt alone, on every chain. Libraries have the salt that
//! Foundry gives them, zero.

use alloy::primitives::{Address, B256, address};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The deterministic deployment proxy: makes the contract whose salt and creation code it is sent.
pub const PROXY: Address = address!("4e59b44847b379578588920cA78FbF26c0B4956C");
/// Salt of every library: Foundry's `create2_library_salt`.
pub const LIBRARY_SALT: B256 = B256::ZERO;

/// A contract or library as the compiler gives it, with zeros where addresses of libraries belong.
#[derive(Debug)]
pub struct Compiled {
    /// Name in the sources.
    pub name: &'static str,
    /// Whether others are linked to it.
    pub library: bool,
    creation: &'static [u8],
    creation_links: &'static [(usize, &'static str)],
    runtime: &'static [u8],
    runtime_links: &'static [(usize, &'static str)],
    /// Per immutable where the constructor writes it in the runtime code: start and length.
    pub immutables: &'static [&'static [(usize, usize)]],
}

/// All contracts, then the libraries.
pub static CONTRACTS: &[Compiled] = &include!(concat!(env!("OUT_DIR"), "/contracts.rs"));

/// The contract of a name.
pub fn find(name: &str) -> Result<&'static Compiled> {
    CONTRACTS.iter().find(|c| c.name == name).with_context(|| format!("{name}: not among the compiled contracts"))
}

impl Compiled {
    /// Creation code, linked; constructor arguments go behind it.
    pub fn creation(&self) -> Result<Vec<u8>> {
        link(self.creation, self.creation_links, &LIBRARIES)
    }

    /// Runtime code, linked, with zeros for its immutables.
    pub fn runtime(&self) -> Result<Vec<u8>> {
        link(self.runtime, self.runtime_links, &LIBRARIES)
    }

    /// Where a library is, on every chain.
    pub fn library_address(&self) -> Result<Address> {
        LIBRARIES.get(self.name).map(|(_, address)| *address).with_context(|| format!("{}: no library", self.name))
    }
}

/// Libraries with their addresses, each with its place: those first that others are linked to.
static LIBRARIES: LazyLock<BTreeMap<&'static str, (usize, Address)>> = LazyLock::new(|| {
    let mut known = BTreeMap::new();
    let all: Vec<_> = CONTRACTS.iter().filter(|c| c.library).collect();
    // A ring of libraries can be neither deployed nor addressed: it stays out, and who is linked to it does not link.
    for _ in 0..all.len() {
        for library in &all {
            if let Ok(code) = link(library.creation, library.creation_links, &known) {
                let place = known.len();
                known.entry(library.name).or_insert((place, PROXY.create2_from_code(LIBRARY_SALT, code)));
            }
        }
    }
    known
});

/// Libraries, those first that others are linked to.
pub fn libraries() -> Vec<&'static Compiled> {
    let mut ordered: Vec<_> = CONTRACTS.iter().filter(|c| LIBRARIES.contains_key(c.name)).collect();
    ordered.sort_by_key(|c| LIBRARIES.get(c.name).map(|(place, _)| *place));
    ordered
}

fn link(code: &[u8], links: &[(usize, &str)], libraries: &BTreeMap<&'static str, (usize, Address)>) -> Result<Vec<u8>> {
    let mut code = code.to_vec();
    for (start, library) in links {
        let (_, address) = libraries.get(library).with_context(|| format!("{library}: a library without address"))?;
        let place =
            code.get_mut(*start..start + Address::len_bytes()).context("a library beyond the end of the code")?;
        place.copy_from_slice(address.as_slice());
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contract_links_and_fits_a_chain() {
        for contract in CONTRACTS {
            let (creation, runtime) = (contract.creation().unwrap(), contract.runtime().unwrap());
            // EIP-170 and EIP-3860.
            assert!(runtime.len() <= 24_576 && creation.len() <= 49_152, "{}", contract.name);
            for places in contract.immutables {
                for (start, length) in *places {
                    assert!(runtime[*start..start + length].iter().all(|b| *b == 0), "{}", contract.name);
                }
            }
        }
        assert_eq!(libraries().len(), CONTRACTS.iter().filter(|c| c.library).count());
    }
}
