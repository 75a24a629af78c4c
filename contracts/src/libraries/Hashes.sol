// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {Amendment, MeterReading, ReadingContext, Request, SignedReading, Withdrawal} from "../IProtocol.sol";

/// @title EIP-712 hashes of what drivers and meters sign for Settlement
/// @dev All types have members of static types only, so that the ABI encoding of a struct is that of its members in order.
library Hashes {
    bytes32 internal constant REQUEST_TYPEHASH = keccak256(
        "Request(address driver,bytes32 evse,bytes32 meter,bytes32 tariffHash,uint32 energyWh,uint40 departure,uint64 priceCeiling,uint128 totalCeiling,uint64 nonce,uint40 validUntil)"
    );
    bytes32 internal constant AMENDMENT_TYPEHASH =
        keccak256("Amendment(bytes32 session,uint32 energyWh,uint40 departure,uint64 nonce,uint40 validUntil)");
    bytes32 internal constant WITHDRAWAL_TYPEHASH =
        keccak256("Withdrawal(address account,address to,uint256 amount,uint64 nonce,uint40 validUntil)");
    /// @dev Another type than a withdrawal's, so that neither signature serves for the other act.
    bytes32 internal constant MIGRATION_TYPEHASH =
        keccak256("Migration(address account,address to,uint256 amount,uint64 nonce,uint40 validUntil)");
    bytes32 internal constant METER_READING_TYPEHASH = keccak256(
        "MeterReading(bytes32 asset,uint64 importWh,uint64 exportWh,uint40 time,uint64 counter,uint8 context)"
    );
    /// @dev EIP-712 domain "Provolt meter", version "1", without chain and contract: a register is a physical fact, whoever
    /// reads of it. As a number, because the compiler would compute it anew for every reading; a test does.
    bytes32 internal constant METER_DOMAIN_SEPARATOR =
        0x2eddaac850f2a53273ed5b4bf8a632ec58629cefef02e78dfec862e6c9ea2616;

    function structHash(Request memory request) internal pure returns (bytes32) {
        return keccak256(abi.encode(REQUEST_TYPEHASH, request));
    }

    function structHash(Amendment memory amendment) internal pure returns (bytes32) {
        return keccak256(abi.encode(AMENDMENT_TYPEHASH, amendment));
    }

    /// @param typehash WITHDRAWAL_TYPEHASH or MIGRATION_TYPEHASH.
    function structHash(bytes32 typehash, Withdrawal calldata withdrawal) internal pure returns (bytes32) {
        return keccak256(abi.encode(typehash, withdrawal));
    }

    function digest(MeterReading memory reading) internal pure returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(
            METER_DOMAIN_SEPARATOR, keccak256(abi.encode(METER_READING_TYPEHASH, reading))
        );
    }

    /// @notice The digest of a reading that is presented without what its session tells.
    function digest(bytes32 asset, SignedReading calldata signed, ReadingContext context)
        internal
        pure
        returns (bytes32)
    {
        bytes32 typehash = METER_READING_TYPEHASH;
        bytes32 domain = METER_DOMAIN_SEPARATOR;
        bytes32 prefixed;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, typehash)
            mstore(add(free, 32), asset)
            calldatacopy(add(free, 64), signed, 128) // importWh, exportWh, time, counter
            mstore(add(free, 192), context)
            mstore(add(free, 34), keccak256(free, 224))
            mstore(add(free, 2), domain)
            mstore8(free, 0x19)
            mstore8(add(free, 1), 0x01)
            prefixed := keccak256(free, 66)
        }
        return prefixed;
    }
}
