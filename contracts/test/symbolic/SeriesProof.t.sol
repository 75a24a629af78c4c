// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {InputParts} from "../../src/libraries/InputParts.sol";
import {Series} from "../../src/libraries/Series.sol";
import {Test} from "../SiteTest.sol";

/// @notice For every input: what is answered for eight lanes at a time is what a plain comparison answers. One lane at a
/// time, in words of sums that may be negative. `scripts/prove` runs it.
contract SeriesProof is Test {
    uint256 private constant HALF = 32;

    function _lane(int256 value, uint256 lane) private pure returns (uint256) {
        unchecked {
            return uint256(value) << (224 - 32 * lane);
        }
    }

    /// @dev A group is within its limits exactly where its sum is, at the larger of limit and base load.
    function check_limitsAreThoseOfEveryLane(int32 sum, uint32 base, uint32 limit, uint32 exported) external pure {
        vm.assume(sum > -(1 << 28) && sum < 1 << 28 && base < 1 << 28 && limit < 1 << 30 && exported < 1 << 30);
        uint256 most = base > limit ? base : limit;
        bool expected = int256(sum) <= int256(most) && int256(sum) >= -int256(uint256(exported));
        for (uint256 lane; lane < 8; ++lane) {
            uint256[6] memory words;
            words[2] = _lane(sum, lane);
            words[4] = _lane(int256(uint256(base)), lane);
            uint256 node;
            assembly ("memory-safe") {
                node := words
            }
            bool within = Series.settle(node, 0, HALF, limit * Series.ONES, 0, exported * Series.ONES);
            assert(within == expected);
            assert(uint32(words[4] >> (224 - 32 * lane)) == most);
        }
    }

    /// @dev A child's price is its parent's and its own, or it is refused.
    function check_pricesAddInEveryLane(uint32 parent, uint32 alpha) external view {
        vm.assume(parent < 1 << 28);
        for (uint256 lane; lane < 8; ++lane) {
            uint256 others = Series.ONES * Series.BIAS - _lane(int256(Series.BIAS), lane);
            (bool inRange, uint256 word) = this.addPrices(
                others | _lane(int256(uint256(parent)), lane),
                abi.encodePacked(others | _lane(int256(uint256(alpha)), lane), Series.ONES * Series.BIAS)
            );
            int256 sum = int256(uint256(parent)) + int256(uint256(alpha)) - int256(Series.BIAS);
            assert(inRange == (alpha < 1 << 28 && sum >= 0 && sum < 1 << 28));
            if (inRange) assert(word == others | _lane(sum, lane));
        }
    }

    /// @dev What refutations read of a series, and sum to the prices that drivers' leaves commit to, is what the verifier reads.
    function check_bothReadersOfASeriesReadTheSame(uint256[4] memory words) external view {
        bytes memory series = abi.encodePacked(words);
        for (uint256 t; t < 32; ++t) {
            (uint256 one, uint256 other) = this.read(series, t);
            assert(one == other);
            assert(one == uint32(words[t % 2 * 2 + t / 16] >> (224 - 32 * (t / 2 % 8))));
        }
    }

    function read(bytes calldata series, uint256 t) external pure returns (uint256 one, uint256 other) {
        uint256 place;
        assembly ("memory-safe") {
            place := series.offset
        }
        return (Series.number(place, 64, t), InputParts.numberAt(series, 0, 32, t));
    }

    function addPrices(uint256 parent, bytes calldata alpha) external pure returns (bool inRange, uint256 word) {
        uint256[4] memory words = [uint256(0), 0, parent, Series.ONES * Series.BIAS];
        uint256 node;
        uint256 place;
        assembly ("memory-safe") {
            node := words
            place := alpha.offset
        }
        inRange = Series.addPrices(node, node + 64, HALF, place);
        word = words[0];
    }
}
