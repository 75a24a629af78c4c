// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {INTERVAL_S, MeterReading} from "../IProtocol.sol";

/// @title The Merkle tree over the signed readings behind one interval, and what two readings say
library ReadingTree {
    /// @notice Leaf of a lane. Hashed twice, so that no inner node can pass for a leaf.
    function leaf(uint16 lane, bytes32 startDigest, bytes32 stopDigest) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(lane, startDigest, stopDigest))));
    }

    function contains(bytes32 root, bytes32 leaf_, bytes32[] calldata siblings) internal pure returns (bool) {
        return MerkleProof.verifyCalldata(siblings, root, leaf_);
    }

    /// @notice Energy between two readings: import − export.
    /// @dev Unchecked: the difference of two numbers of 64 bits has 65.
    function energyWh(MeterReading calldata start, MeterReading calldata stop) internal pure returns (int256) {
        unchecked {
            int256 imported = int256(uint256(stop.importWh)) - int256(uint256(start.importWh));
            int256 exported = int256(uint256(stop.exportWh)) - int256(uint256(start.exportWh));
            return imported - exported;
        }
    }

    /// @notice Whether two readings can be the start and the stop of `asset` in an interval: counters rise, registers never
    /// fall, and neither reading lies wholly outside. Clocks of meters drift, so no more is asked of times.
    function plausible(bytes32 asset, uint32 interval, MeterReading calldata start, MeterReading calldata stop)
        internal
        pure
        returns (bool)
    {
        uint256 begin = interval * INTERVAL_S;
        return start.asset == asset && stop.asset == asset && start.counter < stop.counter
            && start.importWh <= stop.importWh && start.exportWh <= stop.exportWh && start.time < begin + INTERVAL_S
            && stop.time > begin;
    }

    /// @notice Whether a third reading of the same meter, whose counter lies within the two, cannot be true beside them: an
    /// equal counter has equal registers, one in between has registers in between.
    function contradicts(MeterReading calldata start, MeterReading calldata stop, MeterReading calldata contrary)
        internal
        pure
        returns (bool)
    {
        MeterReading calldata least = contrary.counter == stop.counter ? stop : start;
        MeterReading calldata greatest = contrary.counter == start.counter ? start : stop;
        return contrary.importWh < least.importWh || contrary.importWh > greatest.importWh
            || contrary.exportWh < least.exportWh || contrary.exportWh > greatest.exportWh;
    }
}
