// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

/// @title Series over intervals, many intervals at a time
/// @notice Powers have 16 bits, sixteen intervals a word, the first in the highest bits; they are read where they are in the
/// calldata. Prices, sums and limits have 32 bits. Sixteen powers fall apart into a word of eight even ones and a word of
/// eight odd ones, so a 32-bit series is two lists: all even intervals, then all odd ones, each `half` bytes long, which is 32
/// for every sixteen intervals or part of them.
///
/// Sums may be negative. A word of them is the sum of lane times 2^(32 * place), modulo 2^256, whatever the signs: adding
/// and subtracting words adds and subtracts every lane, and adding `TOP` makes each lane a positive number, if none has
/// more than 31 bits and a sign. Callers keep them below 2^28.
///
/// *Nodes.* What is known of a group is kept in memory as three series: its prices, the sums of what it draws, and its base
/// loads, later its limits.
library Series {
    /// @dev One in every 32-bit lane; a factor that sums all lanes into the highest, and one that gives all lanes a value.
    uint256 internal constant ONES = 0x0000000100000001000000010000000100000001000000010000000100000001;
    /// @dev The highest bit of every 32-bit lane.
    uint256 internal constant TOP = 0x8000000080000000800000008000000080000000800000008000000080000000;
    /// @dev The highest four bits of every 32-bit lane: zero in a price.
    uint256 internal constant HIGH = 0xf0000000f0000000f0000000f0000000f0000000f0000000f0000000f0000000;
    /// @dev 2^31 - 2^27 in every lane: takes off one of two biases, and sets the highest bit where nothing is borrowed for it.
    uint256 private constant UNBIAS = 0x7800000078000000780000007800000078000000780000007800000078000000;
    /// @dev The low 16 bits of every 32.
    uint256 private constant ODD = 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;
    /// @dev What is added to prices so that they are positive.
    uint256 internal constant BIAS = 1 << 27;
    /// @dev Where in a node its series are, and where it ends, in halves.
    uint256 internal constant SUM = 2;
    uint256 internal constant LIMIT = 4;
    uint256 internal constant NODE = 6;

    /// @notice Interval `t` of the 32-bit series at `from` in the calldata.
    function number(uint256 from, uint256 half, uint256 t) internal pure returns (uint256 value) {
        assembly {
            value := shr(224, calldataload(add(from, add(mul(and(t, 1), half), shl(2, shr(1, t))))))
        }
    }

    /// @notice Interval `t` of the 16-bit series at `from` in the calldata.
    function cell(uint256 from, uint256 t) internal pure returns (uint256 value) {
        assembly {
            value := shr(240, calldataload(add(from, shl(1, t))))
        }
    }

    /// @notice Interval `t` of a sum that may be negative: `TOP` makes its lane positive, and no lane below it borrows.
    function sumAt(uint256 node, uint256 half, uint256 t) internal pure returns (int256 value) {
        assembly ("memory-safe") {
            let word := mload(add(add(node, mul(add(SUM, and(t, 1)), half)), shl(5, shr(4, t))))
            value := sub(and(shr(sub(224, shl(4, and(t, 14))), add(word, TOP)), 0xffffffff), 0x80000000)
        }
    }

    /// @notice Interval `t` of a base load.
    function loadAt(uint256 node, uint256 half, uint256 t) internal pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := shr(224, mload(add(add(node, mul(add(LIMIT, and(t, 1)), half)), shl(2, shr(1, t)))))
        }
    }

    /// @notice Raises the price of interval `t` of the node by `by`, and says whether it is still one.
    function raise(uint256 node, uint256 half, uint256 t, int256 by) internal pure returns (bool inRange) {
        assembly ("memory-safe") {
            let from := add(node, add(mul(and(t, 1), half), shl(2, shr(1, t))))
            let word := mload(from)
            let price := add(shr(224, word), by)
            inRange := iszero(shr(28, price))
            mstore(from, or(shl(224, price), and(word, shr(32, not(0)))))
        }
    }

    /// @notice Whether every number of the series at `from` in the calldata has at most 28 bits.
    function isPrice(uint256 from, uint256 half) internal pure returns (bool inRange) {
        assembly {
            let all := 0
            for { let end := add(from, mul(2, half)) } lt(from, end) { from := add(from, 32) } {
                all := or(all, calldataload(from))
            }
            inRange := iszero(and(all, HIGH))
        }
    }

    /// @notice Gives a node the prices that are at `lambda` in the calldata, and says whether they are prices.
    function setPrices(uint256 node, uint256 half, uint256 lambda) internal pure returns (bool inRange) {
        assembly ("memory-safe") {
            let bad := 0
            for { let end := add(node, mul(2, half)) } lt(node, end) { node := add(node, 32) } {
                let word := calldataload(lambda)
                bad := or(bad, word)
                mstore(node, word)
                lambda := add(lambda, 32)
            }
            inRange := iszero(and(bad, HIGH))
        }
    }

    /// @notice Gives a node its parent's prices and what its own limit adds: the series at `alpha`, none where that is zero.
    function addPrices(uint256 node, uint256 parent, uint256 half, uint256 alpha) internal pure returns (bool inRange) {
        assembly ("memory-safe") {
            let bad := 0
            for { let end := add(node, mul(2, half)) } lt(node, end) { node := add(node, 32) } {
                let word := mload(parent)
                if alpha {
                    let more := calldataload(alpha)
                    // Both are below 2^28, so that no lane carries; of their biases one is taken off.
                    word := xor(add(add(word, more), UNBIAS), TOP)
                    bad := or(bad, or(more, word))
                    alpha := add(alpha, 32)
                }
                mstore(node, word)
                parent := add(parent, 32)
            }
            inRange := iszero(and(bad, HIGH))
        }
    }

    /// @notice Adds a 16-bit series over all intervals to a series in memory, `sign` times.
    /// @param flip 0x8000 in every lane where the series has signs, else zero: signed order becomes unsigned order, and
    /// what that added is taken off again.
    function add(uint256 to, uint256 half, uint256 cells, uint256 intervals, uint256 flip, int256 sign) internal pure {
        assembly ("memory-safe") {
            // In scratch memory, because solc spends thirty gas on a long constant that is used often.
            mstore(0, ODD)
            let last := add(cells, shl(1, intervals))
            for {} lt(cells, last) { cells := add(cells, 32) } {
                let word := xor(calldataload(cells), flip)
                // What follows the series is read with it.
                if gt(add(cells, 32), last) {
                    let mask := shl(shl(3, sub(add(cells, 32), last)), not(0))
                    word := and(word, mask)
                    flip := and(flip, mask)
                }
                let more := sub(and(shr(16, word), mload(0)), and(shr(16, flip), mload(0)))
                mstore(to, add(mload(to), mul(sign, more)))
                more := sub(and(word, mload(0)), and(flip, mload(0)))
                mstore(add(to, half), add(mload(add(to, half)), mul(sign, more)))
                to := add(to, 32)
            }
        }
    }

    /// @notice Whether a node keeps its limits in every interval. Its limit becomes the effective one, that is its base load
    /// where that is larger, and its sums get `TOP`; before that both are added to the parent's.
    /// @param limit Its import limit in every lane, where `series` is zero: the place of the limits in the calldata.
    /// @param export Its export limit in every lane.
    function settle(uint256 node, uint256 parent, uint256 half, uint256 limit, uint256 series, uint256 export)
        internal
        pure
        returns (bool within)
    {
        assembly ("memory-safe") {
            half := shl(1, half)
            let kept := TOP
            for { let i := half } lt(i, shl(1, half)) { i := add(i, 32) } {
                let sum := mload(add(node, i))
                let base := mload(add(add(node, i), half))
                if parent {
                    mstore(add(parent, i), add(mload(add(parent, i)), sum))
                    mstore(add(add(parent, i), half), add(mload(add(add(parent, i), half)), base))
                }
                if series {
                    limit := calldataload(series)
                    series := add(series, 32)
                }
                // The larger of both: limit + max(0, base - limit).
                base := sub(or(base, TOP), limit)
                let keeps := and(base, TOP)
                base := add(limit, and(base, sub(keeps, shr(31, keeps))))
                mstore(add(add(node, i), half), base)
                sum := add(sum, TOP)
                mstore(add(node, i), sum)
                // base - sum + TOP and sum + export, each with the highest bit where it is not negative.
                kept := and(kept, and(sub(add(base, shl(1, TOP)), sum), add(sum, export)))
            }
            within := eq(kept, TOP)
        }
    }
}
