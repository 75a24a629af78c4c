// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Layout} from "./Layout.sol";

/// @title Arithmetic on batches of signed lanes, many lanes at a time
/// @notice A loop over single lanes costs 150 gas a lane; these cost about ten. They only answer yes or no, or a sum: the
/// caller names the offender with a plain loop, which runs once at most, before a revert.
///
/// A word holds 16 setpoints (int16) or 8 readings (int32), the first lane in the highest bits. A setpoint is *biased* by
/// adding 0x8000, so that signed order becomes unsigned order. Sixteen lanes become two words of eight by taking the even
/// and the odd ones apart; each lane then has 16 spare bits above it, and no carry or borrow reaches its neighbour.
library Lanes {
    uint256 internal constant SETPOINT_BYTES = 2;
    uint256 internal constant READING_BYTES = 4;

    uint256 private constant BIAS = 0x8000;
    uint256 private constant BIAS_WORD = 0x8000800080008000800080008000800080008000800080008000800080008000;
    /// @dev The low 16 bits of every 32.
    uint256 private constant ODD = 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;
    /// @dev The bit above each of those: set before a subtraction, it survives unless the subtraction borrows.
    uint256 private constant GUARD = 0x0001000000010000000100000001000000010000000100000001000000010000;
    /// @dev The sign bit of every 32-bit lane, and the bits below it.
    uint256 private constant SIGN = 0x8000000080000000800000008000000080000000800000008000000080000000;
    uint256 private constant MAGNITUDE = 0x7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff;

    /// @notice Whether every setpoint lies between the least and the greatest of its lane.
    function withinBounds(bytes calldata lanes, bytes memory packed) internal pure returns (bool within) {
        uint256 boundsAt = Layout.boundsAt(packed);
        assembly ("memory-safe") {
            let bounds := add(packed, add(32, boundsAt))
            let from := lanes.offset
            let end := add(from, lanes.length)
            let kept := GUARD
            for {} lt(from, end) {} {
                let word := calldataload(from)
                from := add(from, 32)
                // Whatever calldata follows the batch is not part of it.
                if gt(from, end) { word := and(word, shl(shl(3, sub(from, end)), not(0))) }
                word := xor(word, BIAS_WORD)
                let least := mload(bounds)
                let greatest := mload(add(bounds, 32))
                bounds := add(bounds, 64)
                let odd := and(word, ODD)
                let even := and(shr(16, word), ODD)
                kept := and(
                    and(
                        and(sub(or(and(greatest, ODD), GUARD), odd), sub(or(odd, GUARD), and(least, ODD))),
                        and(
                            sub(or(and(shr(16, greatest), ODD), GUARD), even),
                            sub(or(even, GUARD), and(shr(16, least), ODD))
                        )
                    ),
                    kept
                )
            }
            within := eq(kept, GUARD)
        }
    }

    /// @notice Sum of the setpoints in lanes [first, end), in lane units.
    /// @dev At most 1,024 lanes: their biased sum stays below 2³² − 1, so that the remainder of a division by that number
    /// is the sum of the eight 32-bit partial sums.
    function sum(bytes calldata lanes, uint256 first, uint256 end) internal pure returns (int256 total) {
        assembly ("memory-safe") {
            let from := add(lanes.offset, shl(1, first))
            let left := shl(1, sub(end, first))
            let partial := 0
            for {} gt(left, 31) { left := sub(left, 32) } {
                let word := xor(calldataload(from), BIAS_WORD)
                partial := add(partial, add(and(word, ODD), and(shr(16, word), ODD)))
                from := add(from, 32)
            }
            if left {
                let word := and(xor(calldataload(from), BIAS_WORD), not(shr(shl(3, left), not(0))))
                partial := add(partial, add(and(word, ODD), and(shr(16, word), ODD)))
            }
            total := sub(mod(partial, 0xffffffff), mul(sub(end, first), BIAS))
        }
    }

    /// @notice Whether every reading has a sign that its lane's kind allows.
    /// @dev Kinds and readings have lanes of the same width, the kind in the lowest bits of the top byte. EVSE (0) and base
    /// load (3) have two equal bits there and may not be negative; PV (1) has only the lower and may not be positive.
    function signsAllowed(bytes calldata lanes, bytes memory packed) internal pure returns (bool allowed) {
        uint256 kindsAt = Layout.kindsAt(packed);
        assembly ("memory-safe") {
            let kinds := add(packed, add(32, kindsAt))
            let from := lanes.offset
            let end := add(from, lanes.length)
            let wrong := 0
            for {} lt(from, end) {} {
                let word := calldataload(from)
                from := add(from, 32)
                if gt(from, end) { word := and(word, shl(shl(3, sub(from, end)), not(0))) }
                let kind := mload(kinds)
                kinds := add(kinds, 32)
                let low := shl(7, kind)
                let high := shl(6, kind)
                let draws := not(xor(low, high))
                let feeds := and(low, not(high))
                // Adding the greatest magnitude to a magnitude above zero carries into the sign bit.
                let positive := and(not(word), add(and(word, MAGNITUDE), MAGNITUDE))
                wrong := or(wrong, and(SIGN, or(and(word, draws), and(positive, feeds))))
            }
            allowed := iszero(wrong)
        }
    }

    /// @notice One setpoint, in lane units.
    function setpoint(bytes calldata lanes, uint256 lane) internal pure returns (int256) {
        return int16(uint16(bytes2(lanes[SETPOINT_BYTES * lane:])));
    }

    /// @notice One reading, in Wh.
    function reading(bytes calldata lanes, uint256 lane) internal pure returns (int256) {
        return int32(uint32(bytes4(lanes[READING_BYTES * lane:])));
    }
}
