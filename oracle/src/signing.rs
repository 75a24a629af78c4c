//! EIP-712: what drivers and meters sign. Mirrors the domains of Settlement and AssetRegistry.

use crate::abi::{MeterReading, ReadingContext, Request};
use alloy::primitives::{Address, B256, Signature, keccak256};
use alloy::signers::{SignerSync, local::PrivateKeySigner};
use alloy::sol_types::{Eip712Domain, SolStruct, eip712_domain};
use anyhow::{Context, Result};
use optimizer::device::{Context as Why, Reading};
use serde::{Deserialize, Serialize};

/// Domain of requests and driver registrations: one chain, one contract.
pub fn domain(chain_id: u64, contract: Address) -> Eip712Domain {
    eip712_domain! { name: "Provolt", version: "1", chain_id: chain_id, verifying_contract: contract, }
}

/// Domain of meters: no chain, for a register is a physical fact.
pub fn meter_domain() -> Eip712Domain {
    eip712_domain! { name: "Provolt meter", version: "1", }
}

mod typed {
    alloy::sol! {
        struct RegisterDriver { address driver; }
    }
}

/// A reading with its meter's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedReading {
    /// What the meter shows.
    #[serde(flatten)]
    pub reading: Reading,
    /// 65 bytes in 0x-hex.
    pub signature: String,
}

/// On-chain id of a clear-text id.
pub fn id(clear: &str) -> B256 {
    keccak256(clear)
}

/// The reading as the contracts know it. Registers below zero do not exist; they would become 0.
pub fn to_abi(reading: &Reading) -> MeterReading {
    let unsigned = |n: i64| u64::try_from(n).unwrap_or_default();
    MeterReading {
        asset: id(&reading.asset),
        importWh: unsigned(reading.import_wh.0),
        exportWh: unsigned(reading.export_wh.0),
        time: alloy::primitives::aliases::U40::from(unsigned(reading.time.0)),
        counter: reading.counter,
        context: match reading.context {
            Why::Interval => ReadingContext::Interval,
            Why::Begin => ReadingContext::Begin,
            Why::End => ReadingContext::End,
        },
    }
}

/// Digest that a meter signs.
pub fn reading_digest(reading: &Reading) -> B256 {
    to_abi(reading).eip712_signing_hash(&meter_domain())
}

/// Signs a reading with the meter's key.
pub fn sign_reading(key: &PrivateKeySigner, reading: Reading) -> Result<SignedReading> {
    let signature = sign(key, reading_digest(&reading))?;
    Ok(SignedReading { reading, signature })
}

/// Who signed the reading.
pub fn reading_signer(signed: &SignedReading) -> Result<Address> {
    signer(&signed.signature, reading_digest(&signed.reading))
}

/// Session id: the digest that the driver signs.
pub fn request_digest(request: &Request, chain_id: u64, settlement: Address) -> B256 {
    request.eip712_signing_hash(&domain(chain_id, settlement))
}

/// Digest of a driver's registration.
pub fn registration_digest(driver: Address, chain_id: u64, registry: Address) -> B256 {
    typed::RegisterDriver { driver }.eip712_signing_hash(&domain(chain_id, registry))
}

/// Signs a digest: 65 bytes in 0x-hex.
pub fn sign(key: &PrivateKeySigner, digest: B256) -> Result<String> {
    Ok(alloy::hex::encode_prefixed(key.sign_hash_sync(&digest)?.as_bytes()))
}

/// Who signed the digest.
pub fn signer(signature: &str, digest: B256) -> Result<Address> {
    let signature: Signature = signature.parse().context("signature: expected 65 bytes in hex")?;
    signature.recover_address_from_prehash(&digest).context("signature: recovers to no address")
}

#[cfg(test)]
mod tests {
    use super::*;
    use optimizer::units::{UnixTime, WattHours};

    /// The strings that Settlement hashes, letter by letter.
    #[test]
    fn types_are_those_of_the_contracts() {
        assert_eq!(
            MeterReading::eip712_encode_type(),
            "MeterReading(bytes32 asset,uint64 importWh,uint64 exportWh,uint40 time,uint64 counter,uint8 context)"
        );
        assert_eq!(
            Request::eip712_encode_type(),
            "Request(address driver,bytes32 evse,address meterKey,bytes32 tariffHash,uint32 energyWh,uint40 departure,\
             uint64 priceCeiling,uint128 totalCeiling,uint64 nonce,uint40 validUntil)"
        );
        assert_eq!(typed::RegisterDriver::eip712_encode_type(), "RegisterDriver(address driver)");
    }

    #[test]
    fn a_changed_reading_has_another_signer() -> Result<()> {
        let key = crate::keys::Keyring::local()?.meter("DE*PVT*E1*1")?;
        let reading = Reading {
            asset: "DE*PVT*E1*1".into(),
            import_wh: WattHours(1200),
            export_wh: WattHours(0),
            time: UnixTime(1_700_000_000),
            counter: 3,
            context: Why::Begin,
        };
        let mut signed = sign_reading(&key, reading)?;
        assert_eq!(reading_signer(&signed)?, key.address());
        signed.reading.import_wh = WattHours(1201);
        assert_ne!(reading_signer(&signed)?, key.address());
        Ok(())
    }
}
