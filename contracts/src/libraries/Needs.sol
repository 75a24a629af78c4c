// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Series} from "./Series.sol";

/// @title What the needs of a plan draw, cost, and add to the bound
/// @notice One loop over all needs, because there are hundreds: a loop in Solidity costs three times as much. It only finds
/// the first need that breaks something; the caller names what.
library Needs {
    /// @dev One word each, in this order: `sum` reads them by place.
    struct Frame {
        uint256 table; // 0x00: place in memory of the groups' nodes, a word each
        uint256 groups; // 0x20
        uint256 lanes; // 0x40
        uint256 intervals; // 0x60
        uint256 penalty; // 0x80
        uint256 risk; // 0xa0
        uint256 needs; // 0xc0: place in the calldata of the next need
        uint256 cells; // 0xe0: of its powers
        uint256 mus; // 0x100: of the first need's price
        uint256 end; // 0x120: of all needs' prices
        uint256 column; // 0x140: place in memory of the first setpoints
        uint256 half; // 0x160: of a series
    }

    uint256 private constant BIAS = 1 << 27;
    uint256 private constant POWER_END = 1 << 15;
    uint256 private constant ONES = 0x0000000100000001000000010000000100000001000000010000000100000001;
    uint256 private constant ODD = 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;
    uint256 private constant ONES_16 = 0x0001000100010001000100010001000100010001000100010001000100010001;
    uint256 private constant TOP_16 = 0x8000800080008000800080008000800080008000800080008000800080008000;
    /// @dev The low 32 bits of every 64, and a one in each of those.
    uint256 private constant ODD_32 = 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff;
    uint256 private constant ONES_64 = 0x0000000000000001000000000000000100000000000000010000000000000001;

    /// @notice Adds all needs to their nodes, and the first setpoints to the column, up to the first need that breaks
    /// something; the frame then still points to that one.
    /// @return cost Shortfalls at their penalties, and the risk of serving late.
    /// @return bound What the needs add to the bound, as docs/proof.md has it.
    /// @return index That of the first need that breaks something; their number where none does.
    function sum(Frame memory f) internal pure returns (int256 cost, int256 bound, uint256 index) {
        assembly ("memory-safe") {
            // In scratch memory, because solc spends thirty gas on a long constant that is used often.
            mstore(0, ODD)
            mstore(32, ONES)

            // A need's powers in intervals [from, until), which are at `cells`. Words begin with the window, wherever that
            // is: their even and odd lanes belong to the node's lists of even and odd intervals, or of odd and even ones.
            // Memory is read and written there at any byte, because no lane of these sums is negative yet. The last word
            // is masked. Adds the powers to the node's sums; returns their sum, and the sum of what `mu` is above the
            // node's prices. A power above `most` ends it with a sum above everything.
            function row(node, half, cells, from, until, most, mu) -> given, surplus {
                if iszero(lt(from, until)) { leave }
                // Of the last word, what is the window's.
                let rest := shl(shl(4, and(sub(from, until), 15)), not(0))
                // The place of the last word.
                until := add(cells, shl(5, shr(4, sub(sub(until, from), 1))))
                // The prices that even lanes see. From here on `from` is the way from there to those that odd lanes see, and
                // `half` that to the sums.
                node := add(node, add(mul(and(from, 1), half), shl(2, shr(1, from))))
                from := add(half, mul(and(from, 1), sub(4, shl(1, half))))
                half := shl(1, half)
                // Highest bits are set so that a difference keeps them unless it borrows.
                most := or(mul(most, ONES_16), TOP_16)
                mu := or(mul(mu, mload(32)), shl(31, mload(32)))
                for {} lt(cells, until) { cells := add(cells, 32) } {
                    let word := calldataload(cells)
                    // A lane above 15 bits shows itself; without one no lane borrows of another.
                    if and(or(word, not(sub(most, word))), TOP_16) {
                        given := shl(128, 1)
                        leave
                    }
                    let part := and(shr(16, word), mload(0))
                    mstore(add(node, half), add(mload(add(node, half)), part))
                    word := and(word, mload(0))
                    given := add(given, add(part, word))
                    part := add(node, from)
                    mstore(add(part, half), add(mload(add(part, half)), word))
                    // max(0, mu - price) in every lane: the highest bit stays where mu is not below.
                    part := sub(mu, mload(part))
                    word := and(shr(31, part), mload(32))
                    surplus := add(surplus, and(part, mul(word, 0x7fffffff)))
                    part := sub(mu, mload(node))
                    word := and(shr(31, part), mload(32))
                    surplus := add(surplus, and(part, mul(word, 0x7fffffff)))
                    node := add(node, 32)
                }
                // The same for the last word, under its mask: apart, because most windows have two words.
                let word := and(calldataload(cells), rest)
                if and(or(word, not(sub(most, word))), TOP_16) {
                    given := shl(128, 1)
                    leave
                }
                let part := and(shr(16, word), mload(0))
                mstore(add(node, half), add(mload(add(node, half)), part))
                word := and(word, mload(0))
                given := add(given, add(part, word))
                part := add(node, from)
                mstore(add(part, half), add(mload(add(part, half)), word))
                part := sub(mu, mload(part))
                word := and(and(shr(31, part), rest), mload(32))
                surplus := add(surplus, and(part, mul(word, 0x7fffffff)))
                part := sub(mu, mload(node))
                word := and(and(shr(31, part), shr(16, rest)), mload(32))
                surplus := add(surplus, and(part, mul(word, 0x7fffffff)))
                given := shr(224, mul(given, mload(32)))
                surplus := shr(192, mul(add(and(surplus, ODD_32), and(shr(32, surplus), ODD_32)), ONES_64))
            }

            // From the likely departure on every step costs the risk besides.
            function after(f_, word, cells, mu) -> given, surplus {
                let most := and(shr(192, word), 0xffff)
                cells := add(cells, shl(1, sub(byte(4, word), byte(3, word))))
                mu := mul(gt(mu, mload(add(f_, 0xa0))), sub(mu, mload(add(f_, 0xa0))))
                let node := mload(add(mload(f_), shl(5, byte(2, word))))
                given, surplus := row(node, mload(add(f_, 0x160)), cells, byte(4, word), byte(5, word), most, mu)
            }

            let need := mload(add(f, 0xc0))
            let cells := mload(add(f, 0xe0))
            // Within the loop `index` is the place of the need's price.
            index := mload(add(f, 0x100))
            for {} lt(index, mload(add(f, 0x120))) {} {
                // Lane (2), group (1), from, likely, until (1 each), most and least power (2 each), energy (4), per cent (2).
                let word := calldataload(need)
                let mu := shr(224, calldataload(index))
                {
                    // from <= likely <= until <= intervals, three numbers of 7 bits at once.
                    let order := and(shr(208, word), 0xffffff)
                    let bad := or(order, not(sub(or(or(shl(8, order), mload(add(f, 0x60))), 0x808080), order)))
                    bad := or(and(bad, 0x808080), eq(byte(3, word), byte(5, word)))
                    if or(or(bad, shr(28, mu)), iszero(lt(byte(2, word), mload(add(f, 0x20))))) { break }
                }
                let given, surplus :=
                    row(
                        mload(add(mload(f), shl(5, byte(2, word)))),
                        mload(add(f, 0x160)),
                        cells,
                        byte(3, word),
                        byte(4, word),
                        and(shr(192, word), 0xffff),
                        mu
                    )
                if lt(byte(4, word), byte(5, word)) {
                    let late, rest := after(f, word, cells, mu)
                    given := add(given, late)
                    surplus := add(surplus, rest)
                    cost := add(cost, mul(mload(add(f, 0xa0)), late))
                }
                // Quanta of 2.5 Wh.
                let energy := div(shl(1, and(shr(144, word), 0xffffffff)), 5)
                let penalty := div(mul(mload(add(f, 0x80)), and(shr(128, word), 0xffff)), 100)
                if and(shr(207, word), 1) { break }
                mu := sub(mu, BIAS)
                bound := add(bound, sub(mul(mu, energy), mul(and(shr(192, word), 0xffff), surplus)))
                if sgt(mu, penalty) { bound := add(bound, mul(energy, sub(penalty, mu))) }
                switch gt(given, energy)
                case 0 { cost := add(cost, mul(penalty, sub(energy, given))) }
                default {
                    // A car takes no more than it needs: what its EVSE can hold at least may be posted for less.
                    if or(iszero(energy), gt(given, and(shr(176, word), 0xffff))) { break }
                }
                if slt(mu, 0) {
                    let least := and(shr(176, word), 0xffff)
                    if and(gt(energy, 0), gt(least, energy)) {
                        bound := add(bound, mul(sub(least, energy), mu))
                    }
                }
                if iszero(byte(3, word)) {
                    if iszero(lt(shr(240, word), mload(add(f, 0x40)))) { break }
                    let to := add(mload(add(f, 0x140)), shl(1, shr(240, word)))
                    let power := shr(240, calldataload(cells))
                    mstore8(to, shr(8, power))
                    mstore8(add(to, 1), power)
                }
                need := add(need, 16)
                cells := add(cells, shl(1, sub(byte(5, word), byte(3, word))))
                index := add(index, 4)
            }
            mstore(add(f, 0xc0), need)
            mstore(add(f, 0xe0), cells)
            index := shr(2, sub(index, mload(add(f, 0x100))))
        }
    }
}
