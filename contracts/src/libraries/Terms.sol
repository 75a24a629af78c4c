// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

/// @title Terms of cost and bound that are products
/// @notice Where a term is a sum of products, eight of them are made by two multiplications: of words with four lanes of 64
/// bits, a0 a1 a2 a3 and, in reverse, b3 b2 b1 b0, the product's highest lane is a0 b0 + a1 b1 + a2 b2 + a3 b3, because what
/// is above it falls off at 2^256, and no lane below carries as long as four products have less than 64 bits: a price of 28
/// and a power or limit of 31 do (`dot`, which each function has
/// for itself, with its constants in scratch memory: solc spends thirty gas on a long constant that is used often). Terms that branch are plain loops; where a
/// number of interval t is in a series is written out in them, as in `Series.number`.
library Terms {
    uint256 private constant BIAS = 1 << 27;
    uint256 private constant BIASES = 0x0800000008000000080000000800000008000000080000000800000008000000;
    uint256 private constant ONES = 0x0000000100000001000000010000000100000001000000010000000100000001;
    uint256 private constant TOP = 0x8000000080000000800000008000000080000000800000008000000080000000;
    uint256 private constant ODD = 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;
    uint256 private constant TOP_16 = 0x8000800080008000800080008000800080008000800080008000800080008000;
    uint256 private constant ODD_32 = 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff;
    uint256 private constant ONES_64 = 0x0000000000000001000000000000000100000000000000010000000000000001;
    uint256 private constant LOW_64 = 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff;

    uint256 private constant TOP_64 = 0x8000000000000000800000000000000080000000000000008000000000000000;

    /// @dev One word each, in this order: `ofBattery` reads them by place.
    struct Battery {
        uint256 node; // 0x00: place in memory
        uint256 half; // 0x20: of a series
        uint256 cells; // 0x40: place of its powers in the calldata
        uint256 sigma; // 0x60: place of its multipliers
        uint256 intervals; // 0x80
        int256 max; // 0xa0
        int256 charge; // 0xc0
        int256 discharge; // 0xe0
        int256 least; // 0x100
        int256 most; // 0x120
        int256 start; // 0x140
        int256 value; // 0x160
        int256 wear; // 0x180: a hundredfold
        int256 fedWear; // 0x1a0: a hundredfold, less what prices were rounded down by
    }

    /// @dev One word each, in this order: `ofGrid` reads them by place.
    struct Grid {
        uint256 node; // 0x00: place in memory
        uint256 half; // 0x20: of a series
        uint256 intervals; // 0x40
        uint256 importPrice; // 0x60: places in the calldata
        uint256 feedInPrice; // 0x80
        uint256 oneFeedInPrice; // 0xa0: in every lane; zero where it is a series
        uint256 lambda; // 0xc0
        uint256 rho; // 0xe0: zero where there is none
        uint256 exported; // 0x100
        uint256 imports; // 0x120: sums in lanes, written by `ofGrid`
        uint256 feeds; // 0x140
        uint256 refunds; // 0x160
    }

    /// @notice Base load at `cells` at the prices of its node.
    /// @return priced Sum of power times price with its bias.
    /// @return sum Sum of the powers.
    /// @return bad Not zero where a power has more than 15 bits.
    function ofLoad(uint256 node, uint256 half, uint256 cells, uint256 intervals)
        internal
        pure
        returns (uint256 priced, uint256 sum, uint256 bad)
    {
        assembly ("memory-safe") {
            mstore(0, ODD_32)
            mstore(32, LOW_64)
            for {} intervals {} {
                let word := calldataload(cells)
                switch lt(intervals, 16)
                case 1 {
                    // What follows the series is read with it.
                    word := and(word, not(shr(shl(4, intervals), not(0))))
                    intervals := 0
                }
                default { intervals := sub(intervals, 16) }
                bad := or(bad, and(word, TOP_16))
                let odd := and(word, ODD)
                word := and(shr(16, word), ODD)
                sum := add(sum, add(word, odd))
                priced := add(priced, add(dot(mload(node), word), dot(mload(add(node, half)), odd)))
                node := add(node, 32)
                cells := add(cells, 32)
            }
            sum := shr(224, mul(sum, ONES))

            function dot(x, y) -> product {
                y := or(shl(128, y), shr(128, y))
                y := or(shl(64, and(y, mload(32))), and(shr(64, y), mload(32)))
                product := add(
                    shr(192, mul(and(shr(32, x), mload(0)), and(shr(32, y), mload(0)))),
                    shr(192, mul(and(x, mload(0)), and(y, mload(0))))
                )
            }
        }
    }

    /// @notice What sun at `forecast` is worth where its price is above zero.
    /// @param zero The price, with its bias, that counts as zero.
    /// @return worth Sum of power times price above zero.
    /// @return bad Not zero where a forecast has more than 15 bits, or more is used.
    function ofSun(uint256 node, uint256 half, uint256 forecast, uint256 used, uint256 intervals, uint256 zero)
        internal
        pure
        returns (uint256 worth, uint256 bad)
    {
        assembly ("memory-safe") {
            mstore(0, ODD_32)
            mstore(32, LOW_64)
            zero := mul(zero, ONES)
            for {} intervals {} {
                let mask := not(0)
                switch lt(intervals, 16)
                case 1 {
                    mask := not(shr(shl(4, intervals), mask))
                    intervals := 0
                }
                default { intervals := sub(intervals, 16) }
                let word := and(calldataload(forecast), mask)
                // Highest bits are set so that a difference keeps them unless it borrows.
                mask := and(calldataload(used), mask)
                bad := or(bad, and(or(or(word, mask), not(sub(or(word, TOP_16), mask))), TOP_16))

                let above := sub(or(mload(node), TOP), zero)
                let sign := and(above, TOP)
                worth := add(worth, dot(and(above, sub(sign, shr(31, sign))), and(shr(16, word), ODD)))
                above := sub(or(mload(add(node, half)), TOP), zero)
                sign := and(above, TOP)
                worth := add(worth, dot(and(above, sub(sign, shr(31, sign))), and(word, ODD)))
                node := add(node, 32)
                forecast := add(forecast, 32)
                used := add(used, 32)
            }

            function dot(x, y) -> product {
                y := or(shl(128, y), shr(128, y))
                y := or(shl(64, and(y, mload(32))), and(shr(64, y), mload(32)))
                product := add(
                    shr(192, mul(and(shr(32, x), mload(0)), and(shr(32, y), mload(0)))),
                    shr(192, mul(and(x, mload(0)), and(y, mload(0))))
                )
            }
        }
    }

    /// @notice Follows a battery's content.
    /// @return content After the interval `t` before which it ended.
    /// @return fed Sum of what it fed.
    /// @return t The number of intervals, or the first in which a power or a content leaves its range.
    function follow(Battery memory b) internal pure returns (int256 content, int256 fed, uint256 t) {
        assembly ("memory-safe") {
            content := mload(add(b, 0x140))
            let least := mload(add(b, 0x100))
            let span := sub(mload(add(b, 0x120)), least)
            let max := mload(add(b, 0xa0))
            let powers := 0
            for {} lt(t, mload(add(b, 0x80))) { t := add(t, 1) } {
                if iszero(and(t, 15)) { powers := calldataload(add(mload(add(b, 0x40)), shl(1, t))) }
                let power := signextend(1, shr(240, powers))
                powers := shl(16, powers)
                switch slt(power, 0)
                case 0 { content := add(content, mul(power, mload(add(b, 0xc0)))) }
                default {
                    content := add(content, mul(power, mload(add(b, 0xe0))))
                    fed := sub(fed, power)
                }
                // Below the least wraps around, and is above the span too.
                if or(gt(add(power, max), shl(1, max)), gt(sub(content, least), span)) { break }
            }
        }
    }

    /// @notice What a battery adds to the bound. In every interval it may charge, at a price less what is stored is
    /// worth, or discharge, or neither; and what is stored may lie between the least and the most.
    function ofBattery(Battery memory b) internal pure returns (int256 bound) {
        assembly ("memory-safe") {
            mstore(0, ODD_32)
            mstore(32, LOW_64)
            let half := mload(add(b, 0x20))
            let gains := 0
            for { let i := 0 } lt(i, shl(1, half)) { i := add(i, 32) } {
                // How many even intervals, or odd ones, are left from this word on.
                let mask := shr(1, sub(add(mload(add(b, 0x80)), 1), iszero(lt(i, half))))
                mask := sub(mask, shr(2, sub(i, mul(half, iszero(lt(i, half))))))
                mask := not(shr(shl(5, mask), not(0)))
                let price := mload(add(mload(b), i))
                let sigma := calldataload(add(mload(add(b, 0x60)), i))
                gains := add(
                    gains,
                    best(b, and(shr(32, price), mload(0)), and(shr(32, sigma), mload(0)), shr(32, mask))
                )
                gains := add(gains, best(b, and(price, mload(0)), and(sigma, mload(0)), mask))
            }
            bound := sub(0, mul(mload(add(b, 0xa0)), shr(192, mul(gains, ONES_64))))

            // Where what is stored becomes worth less from one interval to the next, it is least; else it is most.
            let falls := 0
            {
                let even := mload(add(b, 0x60))
                let t := mload(add(b, 0x80))
                for { let i := 0 } lt(i, half) { i := add(i, 32) } {
                    let odd := calldataload(add(add(even, half), i))
                    falls := add(falls, fall(calldataload(add(even, i)), odd, sub(shr(1, t), shr(2, i))))
                    falls := add(
                        falls,
                        fall(odd, calldataload(add(add(even, i), 4)), sub(shr(1, sub(t, 1)), shr(2, i)))
                    )
                }
                falls := shr(192, mul(add(and(falls, mload(0)), and(shr(32, falls), mload(0))), ONES_64))
                // From here on first and last multiplier, and what a content is worth at the end.
                t := sub(t, 1)
                t := sub(shr(224, calldataload(add(even, add(mul(and(t, 1), half), shl(2, shr(1, t)))))), BIAS)
                even := sub(shr(224, calldataload(even)), BIAS)
                let value := mload(add(b, 0x160))
                bound := add(bound, mul(falls, mload(add(b, 0x100))))
                bound := sub(bound, mul(sub(falls, sub(even, t)), mload(add(b, 0x120))))
                bound := add(bound, mul(sub(value, even), mload(add(b, 0x140))))
                t := sub(t, value)
                bound := add(bound, mul(t, mload(add(b, add(0x100, shl(5, iszero(sgt(t, 0))))))))
            }

            // In four lanes of 64 bits: the more of what charging and what discharging gains, if any of them does.
            function best(b_, price, sigma, mask) -> gain {
                let more := mload(add(b_, 0xc0))
                let base := add(shl(63, 1), mul(sub(100, more), BIAS))
                gain := add(sub(mul(more, sigma), mul(100, price)), mul(base, ONES_64))
                more := and(gain, TOP_64)
                gain := and(gain, sub(more, shr(63, more)))
                more := mload(add(b_, 0xe0))
                base := sub(add(shl(63, 1), mul(sub(more, 100), BIAS)), mload(add(b_, 0x1a0)))
                more := add(sub(mul(100, price), mul(more, sigma)), mul(base, ONES_64))
                base := and(more, TOP_64)
                more := and(more, sub(base, shr(63, base)))
                // The larger of both: gain + max(0, more - gain).
                more := sub(or(more, TOP_64), gain)
                base := and(more, TOP_64)
                gain := add(gain, and(more, sub(base, shr(63, base))))
                gain := and(gain, mul(and(mask, mload(0)), 0x100000001))
            }

            // In eight lanes: max(0, one - other) in the first `count` of them.
            function fall(one, other, count) -> drop {
                drop := sub(or(one, TOP), other)
                other := and(drop, TOP)
                drop := and(drop, sub(other, shr(31, other)))
                drop := and(drop, not(shr(shl(5, mul(sgt(count, 0), count)), not(0))))
            }
        }
    }

    /// @notice What a group's limits take off the bound: import at a multiplier above zero, export at one below.
    function ofLimits(uint256 node, uint256 half, uint256 alpha, uint256 exported, uint256 intervals)
        internal
        pure
        returns (uint256 sum)
    {
        assembly ("memory-safe") {
            mstore(0, ODD_32)
            mstore(32, LOW_64)
            let fed := 0
            node := add(node, mul(4, half))
            for { let odd := 0 } lt(odd, 2) { odd := add(odd, 1) } {
                // Lanes of the list that are within the horizon; what is in its last word after them does not count.
                let left := shr(1, sub(add(intervals, 1), odd))
                for { let end := add(node, half) } lt(node, end) { node := add(node, 32) } {
                    let mask := not(shr(shl(5, left), not(0)))
                    let word := calldataload(alpha)
                    let above := sub(or(word, TOP), BIASES)
                    let sign := and(above, TOP)
                    sum := add(sum, dot(and(and(above, sub(sign, shr(31, sign))), mask), mload(node)))
                    above := sub(or(BIASES, TOP), word)
                    sign := and(above, TOP)
                    fed := add(fed, and(and(above, sub(sign, shr(31, sign))), mask))
                    alpha := add(alpha, 32)
                    left := mul(gt(left, 8), sub(left, 8))
                }
            }
            fed := shr(192, mul(add(and(fed, ODD_32), and(shr(32, fed), ODD_32)), ONES_64))
            sum := add(sum, mul(fed, exported))

            function dot(x, y) -> product {
                y := or(shl(128, y), shr(128, y))
                y := or(shl(64, and(y, mload(32))), and(shr(64, y), mload(32)))
                product := add(
                    shr(192, mul(and(shr(32, x), mload(0)), and(shr(32, y), mload(0)))),
                    shr(192, mul(and(x, mload(0)), and(y, mload(0))))
                )
            }
        }
    }

    /// @notice Import and export of the root, whose sums have `TOP` added.
    /// @return cost Energy at its prices.
    /// @return gains What importing or exporting at the root's price gains, whichever is more, if any of them does.
    /// @return spent Sum of the peak's prices.
    /// @return highest Highest import.
    function ofGrid(Grid memory g) internal pure returns (int256 cost, uint256 gains, uint256 spent, uint256 highest) {
        assembly ("memory-safe") {
            mstore(0, ODD_32)
            mstore(32, LOW_64)
            for { let i := 0 } lt(i, mul(2, mload(add(g, 0x20)))) { i := add(i, 32) } {
                let lambda := calldataload(add(mload(add(g, 0xc0)), i))
                let feedIn := mload(add(g, 0xa0))
                if iszero(feedIn) { feedIn := calldataload(add(mload(add(g, 0x80)), i)) }
                let price := calldataload(add(mload(add(g, 0x60)), i))
                {
                    // What is imported, and what is exported: one of both is zero in every lane.
                    let sum := mload(add(add(mload(g), mul(2, mload(add(g, 0x20)))), i))
                    let net := above(sum)
                    cost := add(cost, dot(net, price))
                    mstore(add(g, 0x120), add(mload(add(g, 0x120)), net))
                    highest := add(highest, above(sub(or(net, TOP), highest)))
                    net := above(sub(shl(1, TOP), sum))
                    cost := sub(cost, dot(net, feedIn))
                    mstore(add(g, 0x140), add(mload(add(g, 0x140)), net))
                }
                // Which lanes are within the horizon: how many even intervals, or odd ones, are left from this word on.
                let mask := iszero(lt(i, mload(add(g, 0x20))))
                mask := sub(
                    shr(1, sub(add(mload(add(g, 0x40)), 1), mask)),
                    shr(2, sub(i, mul(mload(add(g, 0x20)), mask)))
                )
                mask := not(shr(shl(5, mask), not(0)))
                if mload(add(g, 0xe0)) {
                    let rho := and(calldataload(add(mload(add(g, 0xe0)), i)), mask)
                    spent := add(spent, rho)
                    price := add(price, rho)
                }
                price := and(above(sub(or(lambda, TOP), price)), mask)
                feedIn := and(above(sub(or(feedIn, TOP), lambda)), mask)
                lambda := mload(add(add(mload(g), mul(4, mload(add(g, 0x20)))), i))
                gains := add(gains, dot(price, lambda))
                mstore(add(g, 0x160), add(mload(add(g, 0x160)), feedIn))
                if and(gt(price, 0), gt(feedIn, 0)) {
                    // Only where exporting earns more than importing costs may both gain: then the lesser does not count.
                    for { let j := 0 } lt(j, 256) { j := add(j, 32) } {
                        let one := mul(and(shr(j, price), 0xffffffff), and(shr(j, lambda), 0xffffffff))
                        let other := mul(and(shr(j, feedIn), 0xffffffff), mload(add(g, 0x100)))
                        if lt(other, one) { one := other }
                        gains := sub(gains, one)
                    }
                }
            }
            cost := sub(cost, mul(BIAS, fold(mload(add(g, 0x120)))))
            cost := add(cost, mul(BIAS, fold(mload(add(g, 0x140)))))
            gains := add(gains, mul(mload(add(g, 0x100)), fold(mload(add(g, 0x160)))))
            spent := fold(spent)
            {
                let lanes := highest
                highest := 0
                for {} lanes { lanes := shr(32, lanes) } {
                    if gt(and(lanes, 0xffffffff), highest) { highest := and(lanes, 0xffffffff) }
                }
            }

            // Lanes whose highest bit is set, without it; the others zero.
            function above(lanes) -> rest {
                rest := and(lanes, TOP)
                rest := and(lanes, sub(rest, shr(31, rest)))
            }

            function fold(lanes) -> sum {
                sum := shr(192, mul(add(and(lanes, mload(0)), and(shr(32, lanes), mload(0))), ONES_64))
            }

            function dot(x, y) -> product {
                y := or(shl(128, y), shr(128, y))
                y := or(shl(64, and(y, mload(32))), and(shr(64, y), mload(32)))
                product := add(
                    shr(192, mul(and(shr(32, x), mload(0)), and(shr(32, y), mload(0)))),
                    shr(192, mul(and(x, mload(0)), and(y, mload(0))))
                )
            }
        }
    }
}
