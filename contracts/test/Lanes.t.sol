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
        (bool within,) = Lanes.scan(data[:length], Layout.load(layoutAt));
        return within;
    }

    function signsAllowed(bytes calldata data, uint256 length, address layoutAt) external view returns (bool) {
        return Lanes.signsAllowed(data[:length], Layout.load(layoutAt));
    }

    /// @dev Every group that is not within its limits, in order.
    function overLimit(bytes calldata data, uint256 length, address layoutAt)
        external
        view
        returns (uint256[] memory found, uint256 count)
    {
        bytes memory packed = Layout.load(layoutAt);
        (, uint256 sums) = Lanes.scan(data[:length], packed);
        uint256 groups = Layout.groupCount(packed);
        found = new uint256[](groups);
        for (uint256 i = Lanes.overLimit(packed, sums, 0); i < groups; i = Lanes.overLimit(packed, sums, i + 1)) {
            found[count++] = i;
        }
    }

    function load(address layoutAt) external view returns (uint256 lanes, uint256 groups) {
        bytes memory packed = Layout.load(layoutAt);
        return (Layout.laneCount(packed), Layout.groupCount(packed));
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

    struct Range {
        uint256 parent;
        uint256 first;
        uint256 end;
        int256 limitImportW;
        int256 limitExportW;
    }

    /// @dev A tree in preorder, each group with some lanes of its own, and random ones of any value.
    function _tree(uint256 seed, uint256 groups, uint256 lanes)
        private
        pure
        returns (Range[] memory tree, int256[] memory values)
    {
        tree = new Range[](groups);
        values = new int256[](lanes);
        uint256 lane;
        for (uint256 i; i < groups; ++i) {
            uint256 dice = _dice(seed, i);
            uint256 parent = i == 0 ? 0 : i - 1;
            for (uint256 up = dice % 4; up > 0; --up) {
                parent = tree[parent].parent;
            }
            tree[i].parent = parent;
            uint256 until = i == groups - 1 ? lanes : lane + (dice >> 8) % (2 * (lanes - lane) / (groups - i) + 1);
            for (; lane < until; ++lane) {
                values[lane] = int16(uint16(_dice(~seed, lane)));
                if (seed % 3 == 0) values[lane] = seed % 2 == 0 ? int256(type(int16).max) : type(int16).min;
                for (uint256 g = i;; g = tree[g].parent) {
                    if (tree[g].end == 0) tree[g].first = lane;
                    tree[g].end = lane + 1;
                    if (g == 0) break;
                }
            }
        }
    }

    /// @dev Limits at, just inside and just outside of what a group holds, or far away.
    function _limit(uint256 dice, int256 heldW) private pure returns (int256) {
        if (heldW < 0) heldW = 0;
        if (dice % 8 == 0) return 0;
        if (dice % 8 == 1) return int256(uint256(type(uint32).max));
        int256 limitW = heldW + int256((dice >> 8) % 21) - 10;
        return limitW < 0 ? int256(0) : limitW;
    }

    function _heldW(Range memory range, int256[] memory values) private pure returns (int256 heldW) {
        for (uint256 lane = range.first; lane < range.end; ++lane) {
            heldW += 10 * values[lane];
        }
    }

    /// @dev Parallel sums over nested groups against a plain loop over each group's lanes.
    function test_overLimit_findsWhatAPlainLoopFinds(uint256 seed, uint256 groups, uint256 lanes, bytes32 rest) public {
        groups = bound(groups, 1, 64);
        lanes = bound(lanes, 1, 1024);
        (Range[] memory tree, int256[] memory values) = _tree(seed, groups, lanes);
        bytes memory ranges;
        uint256[] memory expected = new uint256[](groups);
        uint256 expectedCount;
        for (uint256 i; i < groups; ++i) {
            int256 heldW = _heldW(tree[i], values);
            uint32 limitImportW = uint32(uint256(_limit(_dice(seed ^ 1, i), heldW)));
            uint32 limitExportW = uint32(uint256(_limit(_dice(seed ^ 2, i), -heldW)));
            if (heldW > int256(uint256(limitImportW)) || heldW < -int256(uint256(limitExportW))) {
                expected[expectedCount++] = i;
            }
            bytes memory range = abi.encodePacked(uint16(tree[i].first), uint16(tree[i].end));
            ranges = bytes.concat(ranges, range, abi.encodePacked(limitImportW, limitExportW, uint32(0)));
        }
        address layoutAt = harness.store(ranges, new bytes(4 * lanes));
        bytes memory data = new bytes(2 * lanes);
        for (uint256 i; i < lanes; ++i) {
            uint16 lane = uint16(int16(values[i]));
            (data[2 * i], data[2 * i + 1]) = (bytes1(uint8(lane >> 8)), bytes1(uint8(lane)));
        }
        (uint256[] memory found, uint256 count) = harness.overLimit(bytes.concat(data, rest), 2 * lanes, layoutAt);
        assertEq(count, expectedCount, "how many");
        assertEq(found, expected, "which");
    }

    /// @dev Every range of lanes, odd and even at both ends, within a word and across words.
    function test_overLimit_everyRange(uint256 seed, uint256 first, uint256 end) public {
        end = bound(end, 1, 64);
        first = bound(first, 0, end - 1);
        bytes memory data = _bytes(seed, 128);
        int256 heldW;
        for (uint256 i = first; i < end; ++i) {
            heldW += 10 * harness.setpoint(data, i);
        }
        vm.assume(heldW != 0);
        uint32 magnitude = uint32(uint256(heldW < 0 ? -heldW : heldW));
        assertEq(_overAlone(data, first, end, magnitude), 0, "at the limit");
        assertEq(_overAlone(data, first, end, magnitude - 1), 1, "above the limit");
    }

    function _overAlone(bytes memory data, uint256 first, uint256 end, uint32 limitW) private returns (uint256 count) {
        bytes memory range = abi.encodePacked(uint16(first), uint16(end), limitW, limitW, uint32(0));
        (, count) = harness.overLimit(data, data.length, harness.store(range, new bytes(256)));
    }

    function test_layout_ofNobodyHasNoLanes() public view {
        (uint256 lanes, uint256 groups) = harness.load(address(0));
        assertEq(lanes + groups, 0, "empty");
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
        for (uint256 i; i < ranges.length; i += 16) {
            (ranges[i], ranges[i + 2]) = (0x00, 0x01);
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
        address layoutAt = harness.store(hex"0011002233445566778899aabbccddee", "");
        assertEq(layoutAt.code[0], 0x00, "STOP");
        (bool done, bytes memory answer) = layoutAt.call(call);
        assertTrue(done, "stops");
        assertEq(answer.length, 0, "answers nothing");
    }

    /// @dev An account whose nonce cannot rise creates nothing (EIP-2681).
    function test_revert_LayoutNotStored() public {
        vm.setNonceUnsafe(address(harness), type(uint64).max);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.LayoutNotStored.selector, 16 + 12 + 5));
        harness.store(new bytes(16), "");
    }
}
