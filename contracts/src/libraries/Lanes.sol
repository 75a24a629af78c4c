// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Layout} from "./Layout.sol";

/// @title Arithmetic on batches of signed lanes, many lanes at a time
/// @notice A loop over single lanes costs 150 gas a lane; these cost about ten. They only answer yes or no, or where to
/// look: the caller names the offender with a plain loop, which runs before a revert or for the rare group whose base load
/// alone is above its limit.
///
/// A word holds 16 setpoints (int16) or 8 readings (int32), the first lane in the highest bits. A setpoint is *biased* by
/// adding 0x8000, so that signed order becomes unsigned order. Sixteen lanes become two words of eight by taking the even
/// and the odd ones apart; each lane then has 16 spare bits above it, and no carry or borrow reaches its neighbour.
library Lanes {
    uint256 internal constant SETPOINT_BYTES = 2;
    uint256 internal constant READING_BYTES = 4;

    uint256 private constant BIAS_WORD = 0x8000800080008000800080008000800080008000800080008000800080008000;
    /// @dev The low 16 bits of every 32.
    uint256 private constant ODD = 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;
    /// @dev The bit above each of those: set before a subtraction, it survives unless the subtraction borrows.
    uint256 private constant GUARD = 0x0001000000010000000100000001000000010000000100000001000000010000;
    /// @dev A factor that gives every 32 bits the sum of themselves and all below them. Biased sums of 1,024 lanes have 26.
    uint256 private constant ONES = 0x0000000100000001000000010000000100000001000000010000000100000001;
    /// @dev The sign bit of every 32-bit lane, and the bits below it.
    uint256 private constant SIGN = 0x8000000080000000800000008000000080000000800000008000000080000000;
    uint256 private constant MAGNITUDE = 0x7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff7fffffff;

    /// @notice One pass over all setpoints: whether each lies between the least and the greatest of its lane, and what
    /// sums of groups need.
    /// @return within Whether all lie within.
    /// @return sums Where in memory the sums are: for every lane, and for the end, four bytes in the places that
    /// `Layout.sumOffset` names, with the biased sum of all lanes before it.
    function scan(bytes calldata lanes, bytes memory packed) internal pure returns (bool within, uint256 sums) {
        uint256 boundsAt = Layout.boundsAt(packed);
        assembly ("memory-safe") {
            let bounds := add(packed, add(32, boundsAt))
            let from := lanes.offset
            let kept := GUARD
            let total := 0
            sums := mload(0x40)
            let sumsAt := sums
            // Whatever calldata follows the batch is read with it: its lanes have no bounds, and no sum before them.
            for { let end := add(from, lanes.length) } lt(from, end) { from := add(from, 32) } {
                let word := xor(calldataload(from), BIAS_WORD)
                let odd := and(word, ODD)
                let even := and(shr(16, word), ODD)
                word := mload(bounds)
                kept := and(
                    kept,
                    and(sub(or(odd, GUARD), and(word, ODD)), sub(or(even, GUARD), and(shr(16, word), ODD)))
                )
                word := mload(add(bounds, 32))
                kept := and(
                    kept,
                    and(sub(or(and(word, ODD), GUARD), odd), sub(or(and(shr(16, word), ODD), GUARD), even))
                )
                bounds := add(bounds, 64)
                // Of eight pairs of lanes, each with the sum of itself and those below it: the rest of the total is above.
                word := mul(add(odd, even), ONES)
                total := add(total, shr(224, word))
                word := sub(mul(total, ONES), word)
                mstore(sumsAt, word)
                mstore(add(sumsAt, 32), add(word, even))
                sumsAt := add(sumsAt, 64)
            }
            mstore(sumsAt, shl(224, total))
            mstore(0x40, add(sumsAt, 32))
            within := eq(kept, GUARD)
        }
    }

    /// @notice The first group at `from` or later whose setpoints add up to more than its import limit or less than its
    /// export limit; the number of groups when there is none.
    /// @dev What a group holds is the difference of two sums from lane 0, so that nested groups cost no more than flat ones.
    /// @param sums From `scan`.
    function overLimit(bytes memory packed, uint256 sums, uint256 from) internal pure returns (uint256 group) {
        uint256 checks = Layout.HEADER;
        uint256 endAt = Layout.boundsAt(packed);
        assembly ("memory-safe") {
            checks := add(packed, add(32, checks))
            let end := add(packed, add(32, endAt))
            let at := add(checks, mul(from, 12))
            for {} lt(at, end) { at := add(at, 12) } {
                let check := mload(at)
                let held :=
                    sub(
                        shr(224, mload(add(sums, and(shr(224, check), 0xffff)))),
                        shr(224, mload(add(sums, shr(240, check))))
                    )
                // Below the least wraps around, and is above the span too.
                if gt(sub(held, and(shr(192, check), 0xffffffff)), and(shr(160, check), 0xffffffff)) { break }
            }
            group := div(sub(at, checks), 12)
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

    /// @notice One setpoint, in lane units. The caller knows that there is such a lane.
    function setpoint(bytes calldata lanes, uint256 lane) internal pure returns (int256 value) {
        assembly ("memory-safe") {
            value := signextend(1, shr(240, calldataload(add(lanes.offset, mul(SETPOINT_BYTES, lane)))))
        }
    }

    /// @notice One reading, in Wh. The caller knows that there is such a lane.
    function reading(bytes calldata lanes, uint256 lane) internal pure returns (int256 value) {
        assembly ("memory-safe") {
            value := signextend(3, shr(224, calldataload(add(lanes.offset, mul(READING_BYTES, lane)))))
        }
    }
}
