// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {SessionState} from "../IProtocol.sol";

/// @dev A session in one word. From the lowest bit: state 8, time 40, and the leading 208 bits of what it commits to. Finding
/// two sessions with the same takes 2^104 hashes.
type Place is uint256;

/// @dev The last registers and counters billed of a meter in one word. From the lowest bit: import 64, export 64, counter of
/// transactions 48, of the fiscal series 48.
type Billed is uint256;

/// @dev What the bills of one day came to at a site, in one word. From the lowest bit: day 8, protocol's fee 72, operator's fee
/// 80, amount 96. Of the day only the last byte: a bucket of exactly 256 days ago would wait three more days.
type Bucket is uint256;

using Places for Place global;
using BilledWords for Billed global;
using Buckets for Bucket global;

/// @title Fields of a place
/// @dev Words and not structs: read and written in one piece, they cost half the gas.
library Places {
    uint256 private constant COMMITMENT_SHIFT = 48;

    function pack(bytes32 commitment_, uint256 time_, SessionState state_) internal pure returns (Place) {
        return Place.wrap(uint256(commitment_) >> COMMITMENT_SHIFT << COMMITMENT_SHIFT | time_ << 8 | uint256(state_));
    }

    function state(Place place) internal pure returns (SessionState) {
        return SessionState(uint8(Place.unwrap(place)));
    }

    function time(Place place) internal pure returns (uint256) {
        return uint40(Place.unwrap(place) >> 8);
    }

    function commitment(Place place) internal pure returns (bytes26) {
        return bytes26(bytes32(Place.unwrap(place)));
    }
}

/// @title Fields of what was billed of a meter
library BilledWords {
    using SafeCast for uint256;

    function pack(uint256 importMilliWh_, uint256 exportMilliWh_, uint256 transactionCounter_, uint256 fiscalCounter_)
        internal
        pure
        returns (Billed)
    {
        return Billed.wrap(
            importMilliWh_.toUint64() | uint256(exportMilliWh_.toUint64()) << 64
                | uint256(transactionCounter_.toUint48()) << 128 | uint256(fiscalCounter_.toUint48()) << 176
        );
    }

    function importMilliWh(Billed billed) internal pure returns (uint256) {
        return uint64(Billed.unwrap(billed));
    }

    function exportMilliWh(Billed billed) internal pure returns (uint256) {
        return uint64(Billed.unwrap(billed) >> 64);
    }

    function transactionCounter(Billed billed) internal pure returns (uint256) {
        return uint48(Billed.unwrap(billed) >> 128);
    }

    function fiscalCounter(Billed billed) internal pure returns (uint256) {
        return uint48(Billed.unwrap(billed) >> 176);
    }
}

/// @title Fields of a bucket
library Buckets {
    using SafeCast for uint256;

    function pack(uint256 amount_, uint256 operatorFee_, uint256 protocolFee_, uint256 day_)
        internal
        pure
        returns (Bucket)
    {
        return Bucket.wrap(
            uint8(day_) | uint256(protocolFee_.toUint72()) << 8 | uint256(operatorFee_.toUint80()) << 80
                | uint256(amount_.toUint96()) << 160
        );
    }

    function day(Bucket bucket) internal pure returns (uint8) {
        return uint8(Bucket.unwrap(bucket));
    }

    function protocolFee(Bucket bucket) internal pure returns (uint256) {
        return uint72(Bucket.unwrap(bucket) >> 8);
    }

    function operatorFee(Bucket bucket) internal pure returns (uint256) {
        return uint80(Bucket.unwrap(bucket) >> 80);
    }

    function amount(Bucket bucket) internal pure returns (uint256) {
        return Bucket.unwrap(bucket) >> 160;
    }
}
