// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {AssetKind, SitePart} from "../IProtocol.sol";
import {InputBytes} from "./InputBytes.sol";
import {Layout} from "./Layout.sol";

/// @title Whether the inputs of a certificate are of the site that they are posted for
/// @notice The verifier takes any problem; here its tree, limits, ratings and assets are held against the registry's layout, so
/// that a planner cannot choose a site of its own. A limit by interval, as a grid operator's, may be below the registry's.
///
/// Groups are in preorder and the lanes of a group come before those of the groups below it. So a group's parent is the
/// nearest group before it whose lanes hold its own, and its own lanes end where those of the next group begin. A group
/// without lanes limits nothing, whatever its parent.
///
/// @dev Numbers are read by place as docs/proof.md lays them out. What is missing at the end reads as zero or as what follows:
/// the verifier holds the length. Unchecked: counts have 16 bits.
library SiteInputs {
    /// @dev In a word of the groups' lanes: where the group's own lanes end. Above it are first and end of all its lanes.
    uint256 private constant OWN_BITS = 16;

    /// @dev What is read next, and what it is held against.
    struct Cursor {
        bytes packed;
        /// @dev Place in memory of the lanes' kinds and ratings: they are read often.
        uint256 kinds;
        uint256 next;
        uint256 intervals;
        uint256 groups;
        uint256 lanes;
        /// @dev By group: first lane, end, end of its own.
        uint256[] lanesOf;
    }

    /// @notice Compares.
    /// @param packed As `Layout.load` gives it.
    /// @return part What is not the site's; None where everything is.
    /// @return index Its place among its kind.
    function mismatch(bytes calldata inputs, bytes memory packed) internal pure returns (SitePart part, uint256 index) {
        unchecked {
            Cursor memory cursor;
            assembly ("memory-safe") {
                index := inputs.offset
            }
            uint256 word = _load(index);
            cursor.packed = packed;
            uint256 kinds = Layout.kindsAt(packed);
            assembly ("memory-safe") {
                kinds := add(add(packed, 32), kinds)
            }
            cursor.kinds = kinds;
            cursor.intervals = uint8(word >> 240);
            cursor.lanes = uint16(word >> 224);
            cursor.groups = uint8(word >> 216);
            if (cursor.lanes != Layout.laneCount(packed)) return (SitePart.Lanes, cursor.lanes);
            if (cursor.groups != Layout.groupCount(packed)) return (SitePart.Groups, cursor.groups);

            uint256 series = _seriesBytes(cursor);
            cursor.next = index + InputBytes.HEADER + series + (word >> 24 & 1 == 1 ? 4 : series);
            (part, index) = _compareGroups(cursor);
            if (part != SitePart.None) return (part, index);

            _skipRows(cursor, uint16(word >> 160));
            uint256 forecast = InputBytes.PLACE + 2 * cursor.intervals;
            (part, index) = _compare(cursor, AssetKind.BaseLoad, uint8(word >> 208), forecast);
            if (part != SitePart.None) return (part, index);
            (part, index) = _compareNeeds(cursor, uint16(word >> 176));
            if (part != SitePart.None) return (part, index);
            (part, index) = _compare(cursor, AssetKind.Pv, uint8(word >> 200), forecast);
            if (part != SitePart.None) return (part, index);
            return _compare(cursor, AssetKind.Battery, uint8(word >> 192), InputBytes.BATTERY);
        }
    }

    function _compareGroups(Cursor memory cursor) private pure returns (SitePart, uint256) {
        unchecked {
            cursor.lanesOf = new uint256[](cursor.groups);
            uint256[] memory parents = new uint256[](cursor.groups);
            uint256 last;
            for (uint256 g; g < cursor.groups; ++g) {
                parents[g] = _load(cursor.next) >> 248;
                if (!_hasLimits(cursor, g)) return (SitePart.Group, g);
                (uint256 first, uint256 end,,) = Layout.groupAt(cursor.packed, g);
                if (end == 0) continue;

                cursor.lanesOf[g] = (first << 2 * OWN_BITS) | (end << OWN_BITS) | end;
                if (g > 0) {
                    if (parents[g] != _above(cursor.lanesOf, parents, last, end)) return (SitePart.Group, g);
                    // The own lanes of the group before end here at the latest.
                    uint256 before = cursor.lanesOf[last];
                    if (uint16(before) > first) cursor.lanesOf[last] = before - uint16(before) + first;
                }
                last = g;
            }
            return (SitePart.None, 0);
        }
    }

    /// @dev From the group before, that is the deepest so far, up to the first that holds all lanes up to `end`.
    function _above(uint256[] memory lanesOf, uint256[] memory parents, uint256 group, uint256 end)
        private
        pure
        returns (uint256)
    {
        while (group > 0 && uint16(lanesOf[group] >> OWN_BITS) < end) group = parents[group];
        return group;
    }

    /// @dev Whether a group has the registry's limits, by interval none above it; steps over them.
    function _hasLimits(Cursor memory cursor, uint256 group) private pure returns (bool has) {
        unchecked {
            (,, int256 importW, int256 exportW) = Layout.groupAt(cursor.packed, group);
            uint256 word = _load(cursor.next);
            cursor.next += InputBytes.GROUP;
            has = uint32(word >> 208) == uint256(importW) && uint32(word >> 176) == uint256(exportW);
            if (word >> 240 & 1 == 0) return has;

            uint256 most = uint256(importW) / Layout.UNIT_W;
            for (uint256 end = cursor.next + _seriesBytes(cursor); cursor.next < end; cursor.next += 4) {
                if (_load(cursor.next) >> 224 > most) has = false;
            }
        }
    }

    function _skipRows(Cursor memory cursor, uint256 count) private pure {
        unchecked {
            for (uint256 i; i < count; ++i) {
                uint256 word = _load(cursor.next);
                uint256 bounds = word >> 240 & 1 == 1 ? cursor.intervals : 1;
                cursor.next += InputBytes.ROW + InputBytes.TERM * (word >> 248) + InputBytes.BOUND * bounds;
            }
        }
    }

    /// @dev Every asset of `kind` that the site has and that is in service, in the order of their lanes, and no other.
    function _compare(Cursor memory cursor, AssetKind kind, uint256 count, uint256 size)
        private
        pure
        returns (SitePart, uint256)
    {
        unchecked {
            SitePart part =
                kind == AssetKind.BaseLoad ? SitePart.BaseLoad : kind == AssetKind.Pv ? SitePart.Pv : SitePart.Battery;
            uint256 i;
            for (uint256 lane; lane < cursor.lanes; ++lane) {
                (AssetKind found, uint256 rated) = _laneAt(cursor, lane);
                if (found != kind || rated == 0) continue;
                uint256 word = _load(cursor.next);
                if (i == count || word >> 240 != lane || !_isIn(cursor, word)) return (part, i);
                if (kind == AssetKind.Battery && uint16(word >> 216) > rated) return (part, i);
                cursor.next += size;
                ++i;
            }
            return i == count ? (SitePart.None, 0) : (part, i);
        }
    }

    /// @dev EVSEs, at most one need each, within their ratings.
    function _compareNeeds(Cursor memory cursor, uint256 count) private pure returns (SitePart, uint256) {
        unchecked {
            uint256 free;
            for (uint256 i; i < count; ++i) {
                uint256 word = _load(cursor.next);
                cursor.next += InputBytes.NEED;
                uint256 lane = word >> 240;
                if (lane < free || lane >= cursor.lanes || !_isIn(cursor, word)) return (SitePart.Need, i);
                (AssetKind found, uint256 rated) = _laneAt(cursor, lane);
                if (found != AssetKind.Evse || uint16(word >> 192) > rated) return (SitePart.Need, i);
                free = lane + 1;
            }
            return (SitePart.None, 0);
        }
    }

    /// @dev Kind and rating, in steps, of a lane that there is.
    function _laneAt(Cursor memory cursor, uint256 lane) private pure returns (AssetKind kind, uint256 rated) {
        unchecked {
            uint256 entry = cursor.kinds + Layout.LANE_BYTES * lane;
            assembly ("memory-safe") {
                entry := shr(224, mload(entry))
            }
            return (AssetKind(entry >> 24), uint16(entry));
        }
    }

    /// @dev Whether the lane at the beginning of `word` sits directly in the group that follows it there.
    function _isIn(Cursor memory cursor, uint256 word) private pure returns (bool) {
        unchecked {
            uint256 group = uint8(word >> 232);
            if (group >= cursor.groups) return false;
            uint256 lanes = cursor.lanesOf[group];
            uint256 lane = word >> 240;
            return lane >= lanes >> 2 * OWN_BITS && lane < uint16(lanes);
        }
    }

    function _seriesBytes(Cursor memory cursor) private pure returns (uint256) {
        unchecked {
            return 64 * ((cursor.intervals + 15) / 16);
        }
    }

    function _load(uint256 offset) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := calldataload(offset)
        }
    }
}
