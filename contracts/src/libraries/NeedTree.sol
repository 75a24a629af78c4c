// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Hashes as PairHashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {SignedMath} from "@openzeppelin/contracts/utils/math/SignedMath.sol";
import {Certificate, IScheduleVerifier} from "../IProtocol.sol";
import {InputBytes} from "./InputBytes.sol";
import {InputParts} from "./InputParts.sol";
import {Series} from "./Series.sol";

/// @title The Merkle tree over the needs of a plan
/// @notice By its leaf a driver shows what the plan took for its need, gave it, and what power was worth at its place, from a
/// certificate of hundreds. `oracle` computes the same root before it posts. Plain loops: this runs in refutations only.
library NeedTree {
    /// @dev Of an interval in the prices of a leaf: the node price (int64), and the lower of import and feed-in price (int32).
    uint256 internal constant PRICE_BYTES = 12;
    uint256 internal constant NODE_PRICE_BYTES = 8;

    /// @notice Leaf of a need. Hashed twice, so that no inner node can pass for a leaf.
    /// @param needHash Of the need's bytes in the inputs.
    /// @param rowHash Of its powers in the schedule, two bytes for each interval of its window.
    /// @param priceHash Of the prices in the same intervals, PRICE_BYTES each.
    function leaf(uint256 lane, bytes32 needHash, bytes32 rowHash, bytes32 priceHash) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(lane, needHash, rowHash, priceHash))));
    }

    /// @notice Root of a certificate's needs; zero where there are none.
    function rootOf(Certificate calldata certificate) internal pure returns (bytes32) {
        InputParts.Parts memory parts = InputParts.split(certificate.inputs);
        bytes[] memory prices = _packed(nodePrices(certificate, parts), leastPrices(certificate.inputs, parts));
        bytes32[] memory leaves = new bytes32[](parts.needs);
        uint256 need = parts.needsAt;
        uint256 cells;
        for (uint256 i; i < parts.needs; ++i) {
            bytes calldata record = certificate.inputs[need:need + InputBytes.NEED];
            uint256 from = uint8(record[3]);
            uint256 until = uint8(record[5]);
            bytes calldata row = certificate.schedule[cells:cells + 2 * (until - from)];
            require(until <= parts.intervals, IScheduleVerifier.NeedOutOfRange(i));
            bytes32 priceHash = _hash(prices[uint8(record[2])], from, until);
            leaves[i] = leaf(InputParts.number(record, 0, 2), keccak256(record), keccak256(row), priceHash);
            need += InputBytes.NEED;
            cells += row.length;
        }
        return root(leaves);
    }

    /// @notice Root over `leaves`, which are overwritten: pairs are hashed in ascending order, an odd node moves up.
    function root(bytes32[] memory leaves) internal pure returns (bytes32) {
        uint256 count = leaves.length;
        if (count == 0) return 0;
        for (; count > 1; count = (count + 1) / 2) {
            for (uint256 i; i < count; i += 2) {
                leaves[i / 2] = i + 1 == count ? leaves[i] : PairHashes.commutativeKeccak256(leaves[i], leaves[i + 1]);
            }
        }
        return leaves[0];
    }

    /// @notice By group and interval what a step of power costs that is drawn directly there, micro per kWh: the root's price,
    /// what the limits above the group are worth, and what rows add, each rounded down (docs/proof.md).
    function nodePrices(Certificate calldata certificate, InputParts.Parts memory parts)
        internal
        pure
        returns (int64[][] memory prices)
    {
        bytes calldata multipliers = certificate.multipliers;
        uint256 series = InputParts.seriesBytes(parts.intervals);
        uint256 flags = series * (1 + (parts.isPeakPriced ? 1 : 0) + parts.batteries) + InputBytes.NUMBER * parts.needs;
        uint256 alpha = flags + parts.groups - 1 + parts.rows;
        uint256 group = parts.groupsAt;
        prices = new int64[][](parts.groups);
        for (uint256 g; g < parts.groups; ++g) {
            bool isRoot = g == 0;
            bool isPriced = isRoot || multipliers[flags++] != 0;
            prices[g] =
                isRoot ? new int64[](parts.intervals) : _copy(prices[InputParts.number(certificate.inputs, group, 1)]);
            if (isPriced) _add(prices[g], multipliers, isRoot ? 0 : alpha);
            if (isPriced && !isRoot) alpha += series;
            bool byInterval = InputParts.number(certificate.inputs, group + 1, 1) & 1 == 1;
            group += InputBytes.GROUP + (byInterval ? series : 0);
        }
        uint256 row = parts.rowsAt;
        for (uint256 r; r < parts.rows; ++r) {
            if (multipliers[flags++] != 0) {
                _addRow(prices, certificate, row, alpha);
                alpha += series;
            }
            row += InputParts.rowBytes(certificate.inputs, row, parts.intervals);
        }
    }

    /// @notice By interval the lower of import and feed-in price, micro per kWh: least that a node price counts for when
    /// flexibility is rewarded.
    function leastPrices(bytes calldata inputs, InputParts.Parts memory parts)
        internal
        pure
        returns (int32[] memory least)
    {
        least = new int32[](parts.intervals);
        for (uint256 t; t < parts.intervals; ++t) {
            (int256 imported, int256 fed) = InputParts.gridPrices(inputs, parts, t);
            least[t] = int32(SignedMath.min(imported, fed));
        }
    }

    /// @dev Adds a series with its bias.
    function _add(int64[] memory prices, bytes calldata multipliers, uint256 offset) private pure {
        for (uint256 t; t < prices.length; ++t) {
            uint256 number = InputParts.numberAt(multipliers, offset, prices.length, t);
            prices[t] += int64(int256(number) - int256(Series.BIAS));
        }
    }

    /// @dev Adds ⌊coefficient × multiplier / largest coefficient⌋ to the groups of the row's terms.
    function _addRow(int64[][] memory prices, Certificate calldata certificate, uint256 row, uint256 alpha)
        private
        pure
    {
        uint256 terms = InputParts.number(certificate.inputs, row, 1);
        int256 scale;
        for (uint256 i; i < terms; ++i) {
            (, int256 coefficient) = _term(certificate.inputs, row, i);
            if (coefficient < 0) coefficient = -coefficient;
            if (coefficient > scale) scale = coefficient;
        }
        for (uint256 i; i < terms; ++i) {
            (uint256 group, int256 coefficient) = _term(certificate.inputs, row, i);
            int64[] memory ofGroup = prices[group];
            for (uint256 t; t < ofGroup.length; ++t) {
                int256 number = int256(InputParts.numberAt(certificate.multipliers, alpha, ofGroup.length, t));
                ofGroup[t] += int64(_floor(coefficient * number, scale));
            }
        }
    }

    function _term(bytes calldata inputs, uint256 row, uint256 i) private pure returns (uint256, int256) {
        uint256 offset = row + InputBytes.ROW + InputBytes.TERM * i;
        return (InputParts.number(inputs, offset, 1), int32(uint32(InputParts.number(inputs, offset + 1, 4))));
    }

    /// @dev a / b rounded towards minus infinity, for b > 0.
    function _floor(int256 a, int256 b) private pure returns (int256) {
        return a % b < 0 ? a / b - 1 : a / b;
    }

    function _copy(int64[] memory from) private pure returns (int64[] memory to) {
        to = new int64[](from.length);
        for (uint256 t; t < from.length; ++t) {
            to[t] = from[t];
        }
    }

    function _packed(int64[][] memory prices, int32[] memory least) private pure returns (bytes[] memory packed) {
        packed = new bytes[](prices.length);
        for (uint256 g; g < prices.length; ++g) {
            packed[g] = _pack(prices[g], least);
        }
    }

    /// @dev PRICE_BYTES an interval, and room for the rest of the last word that is written.
    function _pack(int64[] memory prices, int32[] memory least) private pure returns (bytes memory packed) {
        packed = new bytes(PRICE_BYTES * prices.length + 32);
        for (uint256 t; t < prices.length; ++t) {
            bytes12 both = bytes12(uint96(uint64(prices[t])) << 32 | uint32(least[t]));
            assembly ("memory-safe") {
                mstore(add(add(packed, 32), mul(PRICE_BYTES, t)), both)
            }
        }
    }

    /// @dev Of the prices in [from, until), which are there.
    function _hash(bytes memory packed, uint256 from, uint256 until) private pure returns (bytes32 digest) {
        uint256 length = PRICE_BYTES * (until - from);
        assembly ("memory-safe") {
            digest := keccak256(add(add(packed, 32), mul(PRICE_BYTES, from)), length)
        }
    }
}
