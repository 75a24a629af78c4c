// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {HistoryStep, Plan} from "../IProtocol.sol";

/// @title The chained hash of everything ever posted for a site
library History {
    uint256 internal constant SETPOINTS = 1;
    uint256 internal constant READINGS = 2;

    /// @notice What one post adds.
    function step(uint256 kind, bytes32 site, uint32 interval, bytes32 lanesHash, bytes32 evidence)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(kind, site, interval, lanesHash, evidence));
    }

    /// @notice What a plan's posting adds to its site's history.
    function stepOf(Plan calldata plan) internal pure returns (bytes32) {
        return step(SETPOINTS, plan.site, plan.interval, plan.columnHash, keccak256(abi.encode(plan)));
    }

    /// @notice History after one more step: keccak256(abi.encode(history, step)).
    function next(bytes32 history, bytes32 step_) internal pure returns (bytes32) {
        return Hashes.efficientKeccak256(history, step_);
    }

    /// @notice History after all `steps`, oldest first.
    function fold(bytes32 history, bytes32[] calldata steps) internal pure returns (bytes32) {
        for (uint256 i; i < steps.length; ++i) {
            history = next(history, steps[i]);
        }
        return history;
    }

    /// @notice History after all opened `steps` of a site, oldest first.
    function open(bytes32 history, bytes32 site, HistoryStep[] calldata steps) internal pure returns (bytes32) {
        for (uint256 i; i < steps.length; ++i) {
            HistoryStep calldata opened = steps[i];
            bytes32 lanesHash = keccak256(opened.lanes);
            history = next(history, step(opened.kind, site, opened.interval, lanesHash, opened.evidence));
        }
        return history;
    }
}
