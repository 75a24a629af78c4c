// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {AssetKind} from "../../src/IProtocol.sol";
import {Lanes} from "../../src/libraries/Lanes.sol";
import {Layout} from "../../src/libraries/Layout.sol";
import {Test} from "../SiteTest.sol";

/// @notice For every input: what is answered for many lanes at a time is what a plain loop answers. `scripts/prove` runs it.
contract LanesProof is Test {
    uint256 private constant BIAS_WORD = 0x8000800080008000800080008000800080008000800080008000800080008000;

    function scan(bytes calldata lanes, bytes memory packed) external pure returns (bool within, bytes memory sums) {
        uint256 found;
        (within, found) = Lanes.scan(lanes, packed);
        sums = new bytes(68);
        assembly ("memory-safe") {
            mcopy(add(sums, 32), found, 68)
        }
    }

    /// @dev With sums as `scan` leaves them for sixteen lanes: before the first, and before the end.
    function overLimit(bytes memory packed, uint256 before, uint256 end) external pure returns (uint256) {
        bytes memory sums = new bytes(96);
        Layout.write32(sums, Layout.sumOffset(0), before);
        Layout.write32(sums, Layout.sumOffset(16), end);
        uint256 found;
        assembly ("memory-safe") {
            found := add(sums, 32)
        }
        return Lanes.overLimit(packed, found, 0);
    }

    function signsAllowed(bytes calldata lanes, bytes memory packed) external pure returns (bool) {
        return Lanes.signsAllowed(lanes, packed);
    }

    /// @dev A lane of one word, biased.
    function _biased(uint256 word, uint256 lane) private pure returns (uint256) {
        return (word >> (240 - 16 * lane)) & 0xffff;
    }

    function check_boundsAreThoseOfEveryLane(uint256 word, uint256 least, uint256 greatest) external view {
        bytes memory packed = abi.encodePacked(hex"0000100000", least, greatest);
        (bool within,) = this.scan(abi.encodePacked(word ^ BIAS_WORD), packed);
        bool expected = true;
        for (uint256 i; i < 16; ++i) {
            uint256 value = _biased(word, i);
            expected = expected && _biased(least, i) <= value && value <= _biased(greatest, i);
        }
        assert(within == expected);
    }

    /// @dev One lane at a time. Sums are made by additions and products with constants, in fields of 32 bits that sixteen
    /// lanes of 16 cannot leave: what holds for every lane alone holds for all of them.
    function check_sumsAreThoseOfTheLanesBefore(uint16 value) external view {
        bytes memory packed = abi.encodePacked(hex"0000100000", uint256(0), type(uint256).max);
        for (uint256 lane; lane < 16; ++lane) {
            uint256 word = uint256(value) << (240 - 16 * lane);
            (, bytes memory sums) = this.scan(abi.encodePacked(word ^ BIAS_WORD), packed);
            for (uint256 i; i <= 16; ++i) {
                assert(Layout.read32(sums, Layout.sumOffset(i)) == (i > lane ? value : 0));
            }
        }
    }

    /// @dev One group over all sixteen lanes, of any limits: `least` and what is above it.
    function check_aGroupIsOverItsLimitWhenItsSumIs(uint32 before, uint32 sum, uint32 least, uint32 span)
        external
        view
    {
        vm.assume(uint256(before) + sum < 1 << 32 && uint256(least) + span < 1 << 32);
        uint256 places = Layout.sumOffset(0) << 16 | Layout.sumOffset(16);
        bytes memory packed =
            abi.encodePacked(hex"0000100001", uint32(places), least, span, uint256(0), type(uint256).max);
        uint256 group = this.overLimit(packed, before, uint256(before) + sum);
        assert((group == 1) == (sum >= least && sum <= uint256(least) + span));
    }

    function check_signsAreThoseOfEveryLane(uint256 word, uint256 kinds) external view {
        // Kinds are 0 to 3; what follows a kind is a rating.
        kinds &= 0x03ffffff03ffffff03ffffff03ffffff03ffffff03ffffff03ffffff03ffffff;
        bytes memory packed = abi.encodePacked(hex"0000080000", uint256(0), uint256(0), kinds);
        bool allowed = this.signsAllowed(abi.encodePacked(word), packed);
        bool expected = true;
        for (uint256 i; i < 8; ++i) {
            int256 value = int32(uint32(word >> (224 - 32 * i)));
            uint256 kind = (kinds >> (248 - 32 * i)) & 3;
            (uint256 pv, uint256 battery) = (uint256(uint8(AssetKind.Pv)), uint256(uint8(AssetKind.Battery)));
            // Without jumps, each of which would double what there is to prove.
            assembly ("memory-safe") {
                let draws := iszero(eq(kind, pv))
                let feeds := or(eq(kind, pv), eq(kind, battery))
                expected := and(expected, or(iszero(sgt(value, 0)), draws))
                expected := and(expected, or(iszero(slt(value, 0)), feeds))
            }
        }
        assert(allowed == expected);
    }
}
