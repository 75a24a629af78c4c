// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {AssetKind, BPS, IAssetRegistry} from "../IProtocol.sol";

/// @title A site's groups and lanes as the code of a data contract
/// @notice A batch touches every lane of a site. Read from storage, 50 lanes would cost nine slots and 1,000 lanes 140;
/// read as code they cost one account whatever their number. The price is a rewrite at each registration, which is rare.
///
/// The code is, big endian and without gaps:
///
/// | bytes | what |
/// |---|---|
/// | 1 | zero (STOP), so that a call to the data does nothing |
/// | 2, 2 | number of lanes N, number of groups G |
/// | 12 · G | per group, for `Lanes.overLimit`: place of the sum before its first lane (2), before its end lane (2), least
/// biased sum of its setpoints (4), greatest less least (4) |
/// | 64 · ⌈N / 16⌉ | per 16 lanes: a word of least and a word of greatest setpoints, each a biased lane (see `Lanes`) |
/// | 16 · G | per group: first lane (2), end lane (2), import limit in W (4), export limit in W (4), zero (4) |
/// | 4 · N | per lane: kind (1), zero (1), rated power in 10 W (2) |
///
/// Positions are computed unchecked: counts have 16 bits, so that no position has more than 23.
library Layout {
    /// @dev The STOP byte and the two counts.
    uint256 internal constant HEADER = 5;
    uint256 internal constant GROUP_BYTES = 16;
    uint256 internal constant CHECK_BYTES = 12;
    uint256 internal constant LANE_BYTES = 4;
    /// @dev Lanes of two bytes that one word holds.
    uint256 internal constant LANES_PER_WORD = 16;
    /// @dev A least and a greatest word.
    uint256 internal constant BOUNDS_BYTES = 64;
    /// @dev Of a rating: overshoot and the meter's class included.
    uint256 private constant FLOW_BPS = 11_000;
    /// @dev One lane unit.
    uint256 internal constant UNIT_W = 10;
    /// @dev The greatest int16 lane.
    uint256 internal constant MAX_RATED_W = UNIT_W * uint256(uint16(type(int16).max));

    /// @dev What is added to a setpoint so that signed order becomes unsigned order.
    uint256 internal constant BIAS = 0x8000;

    /// @dev Copies code of up to 64 kB behind these ten bytes to memory 0 and returns it:
    /// PUSH2 size, DUP1, PUSH1 10, PUSH0, CODECOPY, PUSH0, RETURN.
    bytes1 private constant CREATION_HEAD = 0x61;
    bytes7 private constant CREATION_TAIL = 0x80600a5f395ff3;

    /// @notice Stores the layout and returns its address.
    /// @param ranges 16 bytes per group.
    /// @param kinds 4 bytes per lane.
    function store(bytes memory ranges, bytes memory kinds) internal returns (address account) {
        bytes memory data = bytes.concat(
            hex"00",
            bytes2(uint16(kinds.length / LANE_BYTES)),
            bytes2(uint16(ranges.length / GROUP_BYTES)),
            _checks(ranges),
            _bounds(kinds),
            ranges,
            kinds
        );
        bytes memory creation = bytes.concat(CREATION_HEAD, bytes2(uint16(data.length)), CREATION_TAIL, data);
        assembly ("memory-safe") {
            account := create(0, add(creation, 32), mload(creation))
        }
        require(account != address(0), IAssetRegistry.LayoutNotStored(data.length));
    }

    /// @notice Reads a stored layout; the address zero, which has no code, reads as a site without groups and lanes.
    function load(address account) internal view returns (bytes memory packed) {
        assembly ("memory-safe") {
            let size := extcodesize(account)
            packed := mload(0x40)
            mstore(packed, size)
            mstore(add(packed, 32), 0)
            extcodecopy(account, add(packed, 32), 0, size)
            mstore(0x40, and(add(packed, add(size, 95)), not(31)))
        }
    }

    function laneCount(bytes memory packed) internal pure returns (uint256) {
        return read16(packed, 1);
    }

    function groupCount(bytes memory packed) internal pure returns (uint256) {
        return read16(packed, 3);
    }

    function boundsAt(bytes memory packed) internal pure returns (uint256) {
        unchecked {
            return HEADER + CHECK_BYTES * groupCount(packed);
        }
    }

    function rangesAt(bytes memory packed) internal pure returns (uint256) {
        unchecked {
            return boundsAt(packed) + BOUNDS_BYTES * _words(laneCount(packed));
        }
    }

    function kindsAt(bytes memory packed) internal pure returns (uint256) {
        unchecked {
            return rangesAt(packed) + GROUP_BYTES * groupCount(packed);
        }
    }

    /// @notice Copies the groups and lanes out of a layout, with zeroed room for more.
    function unpack(bytes memory packed, uint256 moreGroups, uint256 moreLanes)
        internal
        pure
        returns (bytes memory ranges, bytes memory kinds)
    {
        uint256 rangesLength = GROUP_BYTES * groupCount(packed);
        uint256 kindsLength = LANE_BYTES * laneCount(packed);
        uint256 rangesFrom = rangesAt(packed);
        uint256 kindsFrom = kindsAt(packed);
        ranges = new bytes(rangesLength + GROUP_BYTES * moreGroups);
        kinds = new bytes(kindsLength + LANE_BYTES * moreLanes);
        assembly ("memory-safe") {
            mcopy(add(ranges, 32), add(packed, add(32, rangesFrom)), rangesLength)
            mcopy(add(kinds, 32), add(packed, add(32, kindsFrom)), kindsLength)
        }
    }

    /// @notice Lanes [first, end) behind a group, and its limits.
    function groupAt(bytes memory packed, uint256 index)
        internal
        pure
        returns (uint256 first, uint256 end, int256 limitImportW, int256 limitExportW)
    {
        uint256 rangesFrom = rangesAt(packed);
        assembly ("memory-safe") {
            let word := mload(add(packed, add(add(32, rangesFrom), mul(index, GROUP_BYTES))))
            first := shr(240, word)
            end := and(shr(224, word), 0xffff)
            limitImportW := and(shr(192, word), 0xffffffff)
            limitExportW := and(shr(160, word), 0xffffffff)
        }
    }

    function kindOf(bytes memory packed, uint256 lane) internal pure returns (AssetKind) {
        return AssetKind(uint8(packed[kindsAt(packed) + LANE_BYTES * lane]));
    }

    function ratedWOf(bytes memory packed, uint256 lane) internal pure returns (uint256) {
        return UNIT_W * read16(packed, kindsAt(packed) + LANE_BYTES * lane + 2);
    }

    /// @notice Writes the limits of a group; its range of lanes stays empty.
    /// @notice Most Wh that may flow of a lane in `time` seconds: by its rating and a tenth, rounded up.
    function mostWh(bytes memory packed, uint256 lane, uint256 time) internal pure returns (uint256) {
        return Math.ceilDiv(ratedWOf(packed, lane) * time * FLOW_BPS, BPS * 1 hours);
    }

    function writeGroup(bytes memory ranges, uint256 index, uint32 limitImportW, uint32 limitExportW) internal pure {
        uint256 offset = GROUP_BYTES * index;
        write32(ranges, offset + 4, limitImportW);
        write32(ranges, offset + 8, limitExportW);
    }

    /// @notice Extends the range of a group by a lane that follows its last one, or begins it.
    function extendGroup(bytes memory ranges, uint256 index, uint256 lane) internal pure {
        uint256 offset = GROUP_BYTES * index;
        uint256 first = read16(ranges, offset);
        uint256 end = read16(ranges, offset + 2);
        if (end == 0) first = lane;
        write32(ranges, offset, (first << 16) | (lane + 1));
    }

    function writeLane(bytes memory kinds, uint256 lane, AssetKind kind, uint32 ratedW) internal pure {
        write32(kinds, LANE_BYTES * lane, (uint256(uint8(kind)) << 24) | (ratedW / UNIT_W));
    }

    /// @dev The two bytes at `at`. Reading a whole word past the end is harmless: the excess is shifted out.
    function read16(bytes memory data, uint256 offset) internal pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := shr(240, mload(add(data, add(32, offset))))
        }
    }

    function read32(bytes memory data, uint256 offset) internal pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := shr(224, mload(add(data, add(32, offset))))
        }
    }

    /// @dev Four single bytes, because a whole word would write beyond the end of `data`.
    function write32(bytes memory data, uint256 offset, uint256 value) internal pure {
        assembly ("memory-safe") {
            let to := add(data, add(32, offset))
            mstore8(to, shr(24, value))
            mstore8(add(to, 1), shr(16, value))
            mstore8(add(to, 2), shr(8, value))
            mstore8(add(to, 3), value)
        }
    }

    /// @notice Where `Lanes.scan` leaves the sum of all lanes before `lane`: per 16 lanes one word for the even and one for
    /// the odd of them.
    function sumOffset(uint256 lane) internal pure returns (uint256) {
        return 64 * (lane / LANES_PER_WORD) + 32 * (lane % 2) + 4 * (lane % LANES_PER_WORD / 2);
    }

    /// @dev The limits of every group in lane units, as bounds of the difference of two biased sums.
    function _checks(bytes memory ranges) private pure returns (bytes memory checks) {
        uint256 groups = ranges.length / GROUP_BYTES;
        checks = new bytes(CHECK_BYTES * groups);
        for (uint256 i; i < groups; ++i) {
            uint256 first = read16(ranges, GROUP_BYTES * i);
            uint256 end = read16(ranges, GROUP_BYTES * i + 2);
            uint256 zero = BIAS * (end - first);
            uint256 least = Math.saturatingSub(zero, read32(ranges, GROUP_BYTES * i + 8) / UNIT_W);
            uint256 greatest = zero + read32(ranges, GROUP_BYTES * i + 4) / UNIT_W;
            write32(checks, CHECK_BYTES * i, (sumOffset(first) << 16) | sumOffset(end));
            write32(checks, CHECK_BYTES * i + 4, least);
            write32(checks, CHECK_BYTES * i + 8, greatest - least);
        }
    }

    /// @dev Least and greatest setpoints of every lane, biased, from kind and rating. Lanes that do not exist have none, so
    /// that whatever follows a batch in calldata meets them.
    function _bounds(bytes memory kinds) private pure returns (bytes memory bounds) {
        uint256 lanes = kinds.length / LANE_BYTES;
        uint256 words = _words(lanes);
        bounds = new bytes(BOUNDS_BYTES * words);
        for (uint256 word; word < words; ++word) {
            uint256 least;
            uint256 greatest = type(uint256).max;
            for (uint256 i; i < LANES_PER_WORD; ++i) {
                uint256 lane = LANES_PER_WORD * word + i;
                if (lane == lanes) break;
                uint256 entry = read32(kinds, LANE_BYTES * lane);
                AssetKind kind = AssetKind(entry >> 24);
                uint256 shift = 240 - 16 * i;
                // A rating is at most 0x7fff, so neither bound leaves its lane.
                least |= (mayFeed(kind) ? BIAS - (entry & 0xffff) : BIAS) << shift;
                greatest ^= (mayDraw(kind) ? BIAS - 1 - (entry & 0xffff) : BIAS - 1) << shift;
            }
            assembly ("memory-safe") {
                let to := add(bounds, add(32, mul(word, BOUNDS_BYTES)))
                mstore(to, least)
                mstore(add(to, 32), greatest)
            }
        }
    }

    function mayDraw(AssetKind kind) internal pure returns (bool) {
        return kind != AssetKind.Pv;
    }

    function mayFeed(AssetKind kind) internal pure returns (bool) {
        return kind == AssetKind.Pv || kind == AssetKind.Battery;
    }

    function _words(uint256 lanes) private pure returns (uint256) {
        unchecked {
            return (lanes + LANES_PER_WORD - 1) / LANES_PER_WORD;
        }
    }
}
