//! EIP-712: what drivers and meters sign. Mirrors the domains of Settlement and AssetRegistry.

use crate::abi::{self, Bill, MeterReading, ReadingContext, Request, Tariff, Terms};
use alloy::primitives::{Address, B256, Signature, U256, keccak256};
use alloy::signers::{SignerSync, local::PrivateKeySigner};
use alloy::sol_types::{Eip712Domain, SolStruct, SolValue, eip712_domain};
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

/// What a session is settled with: what differs between its readings, and the signature in its compact form (ERC-2098).
pub fn to_signed_abi(signed: &SignedReading) -> Result<abi::SignedReading> {
    let MeterReading { importWh, exportWh, time, counter, .. } = to_abi(&signed.reading);
    let signature: Signature = signed.signature.parse().context("signature: expected 65 bytes in hex")?;
    let signature = signature.normalized_s();
    let parity = U256::from(u8::from(signature.v())) << 255_u32;
    let (r, vs) = (B256::from(signature.r()), B256::from(signature.s() | parity));
    Ok(abi::SignedReading { importWh, exportWh, time, counter, r, vs })
}

/// How the contracts name a meter that signs EIP-712 readings: its key's address, right-aligned.
pub fn meter_id(key: Address) -> B256 {
    key.into_word()
}

/// A tariff of one price, base units per kWh, and nothing else.
pub fn flat_tariff(price: u64) -> Tariff {
    Tariff { price, sessionFee: 0, idleFeePerMinute: 0, minimum: 0, maximum: 0, bands: Vec::new() }
}

/// What the registry keeps of a tariff, and what a driver signs.
pub fn tariff_hash(tariff: &Tariff) -> B256 {
    keccak256(tariff.abi_encode())
}

/// What the chain keeps of a settled session.
pub fn receipt(terms: &Terms, bill: &Bill) -> B256 {
    keccak256((terms.clone(), bill.clone()).abi_encode_params())
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
            "Request(address driver,bytes32 evse,bytes32 meter,bytes32 tariffHash,uint32 energyWh,uint40 departure,\
             uint64 priceCeiling,uint128 totalCeiling,uint64 nonce,uint40 validUntil)"
        );
        assert_eq!(typed::RegisterDriver::eip712_encode_type(), "RegisterDriver(address driver)");
    }

    #[test]
    fn a_compact_signature_has_the_parity_in_its_highest_bit() -> Result<()> {
        for counter in 1..9 {
            let key = crate::keys::Keyring::local()?.meter("DE*PVT*E1*1")?;
            let (import_wh, export_wh, time) = (WattHours(1200), WattHours(0), UnixTime(1_700_000_000));
            let asset = "DE*PVT*E1*1".to_owned();
            let signed =
                sign_reading(&key, Reading { asset, import_wh, export_wh, time, counter, context: Why::Begin })?;
            let compact = to_signed_abi(&signed)?;
            let (odd, mut s) = (compact.vs[0] >> 7 == 1, compact.vs);
            s[0] &= 0x7f;
            let whole = Signature::from_scalars_and_parity(compact.r, s, odd);
            assert_eq!(whole.recover_address_from_prehash(&reading_digest(&signed.reading))?, key.address());
        }
        Ok(())
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
