// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Needs} from "../../src/libraries/Needs.sol";
import {Test} from "../SiteTest.sol";

/// @notice For every input: what the loop over needs does with sixteen intervals at a time is what a plain rule does, one lane
/// at a time, for a need of one quantum of which nothing else is in the way. `scripts/prove` runs it. Products of two unknowns
/// no solver decides in time: vectors and fuzz tests compare those with the plain verifier.
contract NeedsProof is Test {
    uint256 private constant HALF = 32;
    uint256 private constant BIAS = 1 << 27;

    /// @dev One need of lane 0 and group 0 at `cells`, with a price.
    function sum(bytes calldata need, bytes calldata cells, bytes calldata mu, uint256[6] memory node)
        external
        pure
        returns (int256 bound, uint256 index, uint256[6] memory sums)
    {
        uint256[1] memory table;
        bytes memory column = new bytes(2);
        Needs.Frame memory f;
        assembly ("memory-safe") {
            mstore(table, node)
            mstore(f, table)
            mstore(add(f, 0x140), add(column, 32))
            mstore(add(f, 0xc0), need.offset)
            mstore(add(f, 0xe0), cells.offset)
            mstore(add(f, 0x100), mu.offset)
            mstore(add(f, 0x120), add(mu.offset, 4))
        }
        (f.groups, f.lanes, f.intervals, f.half) = (1, 1, 16, HALF);
        (, bound, index) = Needs.sum(f);
        sums = node;
    }

    /// @dev A power up to the need's most is added to its interval's sum and to no other; one above is refused. All lanes.
    function check_aPowerIsAddedToItsInterval(uint16 power, uint16 most) external view {
        vm.assume(most < 1 << 15);
        for (uint256 t; t < 16; ++t) {
            bytes memory cells = abi.encodePacked(uint256(power) << 240 - 16 * t);
            // Energy as much as the power, so that it is no more than needed.
            bytes memory need = abi.encodePacked(
                uint16(0), uint8(0), uint24(0x001010), most, uint16(0), type(uint32).max, uint16(0), uint128(0)
            );
            uint256[6] memory node;
            (, uint256 index, uint256[6] memory sums) =
                this.sum(need, cells, abi.encodePacked(uint32(BIAS), uint224(0)), node);
            assert(index == (power <= most ? 1 : 0));
            if (index == 0) continue;
            uint256 lane = uint256(power) << 224 - 32 * (t / 2);
            assert(sums[2] == (t % 2 == 0 ? lane : 0));
            assert(sums[3] == (t % 2 == 0 ? 0 : lane));
        }
    }

    /// @dev Of a need of nothing that may draw one step, the bound loses what its price is above the node's, in each interval.
    function check_surplusIsWhatMuIsAboveThePrice(uint32 mu, uint32 price) external view {
        vm.assume(mu < 1 << 28 && price < 1 << 28);
        for (uint256 t; t < 16; ++t) {
            uint256[6] memory node;
            // The other intervals have the highest price, above which nothing is.
            (node[0], node[1]) = (ONES * HIGHEST, ONES * HIGHEST);
            uint256 shift = 224 - 32 * (t / 2);
            node[t % 2] = node[t % 2] - (HIGHEST << shift) + (uint256(price) << shift);
            bytes memory need = abi.encodePacked(
                uint16(0), uint8(0), uint24(0x001010), uint16(1), uint16(0), uint32(0), uint16(0), uint128(0)
            );
            (int256 bound, uint256 index,) = this.sum(need, new bytes(32), abi.encodePacked(mu, uint224(0)), node);
            assert(index == 1);
            assert(bound == (mu > price ? -int256(uint256(mu - price)) : int256(0)));
        }
    }

    uint256 private constant ONES = 0x0000000100000001000000010000000100000001000000010000000100000001;
    uint256 private constant HIGHEST = (1 << 28) - 1;
}
