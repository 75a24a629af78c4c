// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {AssetKind, IAssetRegistry} from "../src/IProtocol.sol";
import {Lanes} from "../src/libraries/Lanes.sol";
import {Layout} from "../src/libraries/Layout.sol";
import {Test} from "./BaseTest.sol";

/// @notice The libraries behind calldata. A batch is the head of a longer calldata, whose rest must not matter.
contract LanesHarness {
    function store(bytes memory ranges, bytes memory kinds) external returns (address) {
        return Layout.store(ranges, kinds);
    }

    function withinBounds(bytes calldata data, uint256 length, address layoutAt) external view returns (bool) {
        return Lanes.withinBounds(data[:length], Layout.load(layoutAt));
    }

    function signsAllowed(bytes calldata data, uint256 length, address layoutAt) external view returns (bool) {
        return Lanes.signsAllowed(data[:length], Layout.load(layoutAt));
    }

    function sum(bytes calldata data, uint256 first, uint256 end) external pure returns (int256) {
        return Lanes.sum(data, first, end);
    }

    function setpoint(bytes calldata data, uint256 lane) external pure returns (int256) {
        return Lanes.setpoint(data, lane);
    }

    function reading(bytes calldata data, uint256 lane) external pure returns (int256) {
        return Lanes.reading(data, lane);
    }

    function roundTrip(bytes memory ranges, bytes memory kinds) external returns (bytes memory, bytes memory) {
        return Layout.unpack(Layout.load(Layout.store(ranges, kinds)), 0, 0);
    }
}

/// @notice Each word-parallel answer against a plain loop over lanes.
contract LanesTest is Test {
    uint256 private constant MAX_LANES = 70;

    LanesHarness private harness;

    function setUp() public {
        harness = new LanesHarness();
    }

    function _dice(uint256 seed, uint256 i) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, i)));
    }

    /// @dev Groups shift the places of everything behind them, so there are some.
    function _layout(uint256 seed, uint256 lanes) private returns (address, AssetKind[] memory, int256[] memory) {
        AssetKind[] memory kinds = new AssetKind[](lanes);
        int256[] memory ratings = new int256[](lanes);
        bytes memory packed;
        for (uint256 i; i < lanes; ++i) {
            uint256 dice = _dice(seed, i);
            kinds[i] = AssetKind(dice % 4);
            ratings[i] = (dice >> 8) % 4 == 0 ? int256(32_767) : int256(1 + (dice >> 16) % 32_767);
            packed = bytes.concat(packed, bytes1(uint8(kinds[i])), bytes1(0), bytes2(uint16(uint256(ratings[i]))));
        }
        return (harness.store(new bytes(16 * (seed % 4)), packed), kinds, ratings);
    }

    function _bounds(AssetKind kind, int256 rating) private pure returns (int256 least, int256 greatest) {
        if (kind == AssetKind.Pv || kind == AssetKind.Battery) least = -rating;
        if (kind != AssetKind.Pv) greatest = rating;
    }

    /// @dev Values at and just inside or outside the bounds, where a mistake would show.
    function _nearBounds(uint256 dice, int256 least, int256 greatest) private pure returns (int16) {
        uint256 choice = dice % 8;
        if (choice == 0) return int16(least);
        if (choice == 1) return int16(greatest);
        if (choice == 2) return 0;
        return int16(least + int256((dice >> 8) % uint256(greatest - least + 1)));
    }

    function test_withinBounds_accepts(uint256 seed, uint256 lanes, bytes32 rest) public {
        lanes = bound(lanes, 0, MAX_LANES);
        (address layoutAt, AssetKind[] memory kinds, int256[] memory ratings) = _layout(seed, lanes);
        bytes memory data;
        for (uint256 i; i < lanes; ++i) {
            (int256 least, int256 greatest) = _bounds(kinds[i], ratings[i]);
            data = bytes.concat(data, bytes2(uint16(_nearBounds(_dice(~seed, i), least, greatest))));
        }
        assertTrue(harness.withinBounds(bytes.concat(data, rest), 2 * lanes, layoutAt), "all within");
    }

    function test_withinBounds_findsTheOnlyOffender(uint256 seed, uint256 lanes, uint256 offender, int16 value) public {
        lanes = bound(lanes, 1, MAX_LANES);
        offender = bound(offender, 0, lanes - 1);
        (address layoutAt, AssetKind[] memory kinds, int256[] memory ratings) = _layout(seed, lanes);
        (int256 low, int256 high) = _bounds(kinds[offender], ratings[offender]);
        if (value >= low && value <= high) value = value % 2 == 0 ? int16(low - 1) : int16(low) - 1;
        bytes memory data;
        for (uint256 i; i < lanes; ++i) {
            (int256 least, int256 greatest) = _bounds(kinds[i], ratings[i]);
            int16 lane = i == offender ? value : _nearBounds(_dice(~seed, i), least, greatest);
            data = bytes.concat(data, bytes2(uint16(lane)));
        }
        assertFalse(harness.withinBounds(data, 2 * lanes, layoutAt), "one outside");
    }

    function test_withinBounds_oneAboveTheGreatest(uint256 seed, uint256 lane) public {
        lane = bound(lane, 0, 31);
        (address layoutAt, AssetKind[] memory kinds, int256[] memory ratings) = _layout(seed, 32);
        (, int256 greatest) = _bounds(kinds[lane], ratings[lane]);
        vm.assume(greatest < type(int16).max);
        bytes memory data = new bytes(64);
        data[2 * lane] = bytes1(uint8(uint256(greatest + 1) >> 8));
        data[2 * lane + 1] = bytes1(uint8(uint256(greatest + 1)));
        assertFalse(harness.withinBounds(data, 64, layoutAt), "one above");
    }

    function test_sum(bytes memory data, uint256 first, uint256 end) public view {
        uint256 lanes = data.length / 2;
        end = bound(end, 0, lanes);
        first = bound(first, 0, end);
        int256 expected;
        for (uint256 i = first; i < end; ++i) {
            expected += int16(uint16(bytes2(bytes.concat(data[2 * i], data[2 * i + 1]))));
        }
        assertEq(harness.sum(data, first, end), expected, "sum");
    }

    function test_sum_extremesOfTheLargestSite() public view {
        bytes memory data = new bytes(2048);
        assertEq(harness.sum(data, 0, 1024), 0, "zero");
        for (uint256 i; i < 2048; i += 2) {
            (data[i], data[i + 1]) = (0x80, 0x00);
        }
        assertEq(harness.sum(data, 0, 1024), -1024 * 32_768, "least");
        for (uint256 i; i < 2048; i += 2) {
            (data[i], data[i + 1]) = (0x7f, 0xff);
        }
        assertEq(harness.sum(data, 0, 1024), 1024 * 32_767, "greatest");
    }

    function test_signsAllowed(uint256 seed, uint256 lanes, bytes32 rest) public {
        lanes = bound(lanes, 0, MAX_LANES);
        (address layoutAt, AssetKind[] memory kinds,) = _layout(seed, lanes);
        bytes memory data;
        bool expected = true;
        for (uint256 i; i < lanes; ++i) {
            uint256 dice = _dice(~seed, i);
            int32 value = dice % 4 == 0 ? int32(0) : int32(uint32(dice >> 8));
            // One lane in 64 may offend: about half of the batches then have an offender.
            bool offends = (value < 0 && (kinds[i] == AssetKind.Evse || kinds[i] == AssetKind.BaseLoad))
                || (value > 0 && kinds[i] == AssetKind.Pv);
            if (offends && (dice >> 64) % 64 != 0) value = value == type(int32).min ? int32(1) : -value;
            if (offends && (dice >> 64) % 64 == 0) expected = false;
            data = bytes.concat(data, bytes4(uint32(value)));
        }
        assertEq(harness.signsAllowed(bytes.concat(data, rest), 4 * lanes, layoutAt), expected, "signs");
    }

    function test_lanesAreBigEndian(int16 a, int16 b, int32 c, int32 d) public view {
        assertEq(harness.setpoint(abi.encodePacked(a, b), 1), b, "setpoint");
        assertEq(harness.reading(abi.encodePacked(c, d), 1), d, "reading");
    }

    function test_layout_roundTrip(uint256 seed, uint256 groups, uint256 lanes) public {
        bytes memory ranges = _bytes(seed, 16 * bound(groups, 0, 64));
        bytes memory kinds = _bytes(~seed, 4 * bound(lanes, 0, 100));
        for (uint256 i; i < kinds.length; i += 4) {
            (kinds[i], kinds[i + 2]) = (kinds[i] & 0x03, kinds[i + 2] & 0x7f);
        }
        (bytes memory readRanges, bytes memory readKinds) = harness.roundTrip(ranges, kinds);
        assertEq(readRanges, ranges, "ranges");
        assertEq(readKinds, kinds, "kinds");
    }

    function _bytes(uint256 seed, uint256 length) private pure returns (bytes memory data) {
        data = new bytes(length);
        for (uint256 i; i < length; ++i) {
            data[i] = bytes1(uint8(_dice(seed, i)));
        }
    }

    /// @dev The STOP byte keeps anybody from running a layout as a program.
    function test_layout_codeDoesNothing(bytes memory call) public {
        address layoutAt = harness.store(hex"ff112233445566778899aabbccddeeff", "");
        assertEq(layoutAt.code[0], 0x00, "STOP");
        (bool done, bytes memory answer) = layoutAt.call(call);
        assertTrue(done, "stops");
        assertEq(answer.length, 0, "answers nothing");
    }

    /// @dev 1.5 million gas do not pay for 9,605 bytes of code at 200 each.
    function test_revert_LayoutNotStored() public {
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.LayoutNotStored.selector, 16 * 600 + 5));
        harness.store{gas: 1_500_000}(new bytes(16 * 600), "");
    }
}
