// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {MeterReading, Request} from "../IProtocol.sol";

/// @title EIP-712 hashes of what drivers and meters sign
library Hashes {
    bytes32 internal constant REQUEST_TYPEHASH = keccak256(
        "Request(address driver,bytes32 evse,address meterKey,bytes32 tariffHash,uint32 energyWh,uint40 departure,uint64 priceCeiling,uint128 totalCeiling,uint64 nonce,uint40 validUntil)"
    );
    bytes32 internal constant METER_READING_TYPEHASH = keccak256(
        "MeterReading(bytes32 asset,uint64 importWh,uint64 exportWh,uint40 time,uint64 counter,uint8 context)"
    );
    /// @dev Without chain and contract: a register is a physical fact, whoever reads of it.
    bytes32 internal constant METER_DOMAIN_SEPARATOR = keccak256(
        abi.encode(keccak256("EIP712Domain(string name,string version)"), keccak256("Provolt meter"), keccak256("1"))
    );

    /// @dev Members of static types only: the ABI encoding of the struct is that of its members in order.
    function structHash(Request calldata request) internal pure returns (bytes32) {
        return keccak256(abi.encode(REQUEST_TYPEHASH, request));
    }

    function digest(MeterReading calldata reading) internal pure returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(
            METER_DOMAIN_SEPARATOR, keccak256(abi.encode(METER_READING_TYPEHASH, reading))
        );
    }
}
