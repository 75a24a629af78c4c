// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {SignedMath} from "@openzeppelin/contracts/utils/math/SignedMath.sol";
import {AssetKind, ForecastScore, HistoryStep} from "../IProtocol.sol";
import {Lanes} from "./Lanes.sol";
import {Layout} from "./Layout.sol";

/// @title How far off the forecasts were that intervals were dispatched with
/// @notice A site has few base loads and PV inverters among many EVSEs: their lanes are looked for once, and only they are
/// read of every batch. No sum overflows: 576 batches of 1,024 lanes of 2³¹ Wh are below 2⁵³ W.
library Scores {
    int256 private constant UNIT_W = int256(Layout.UNIT_W);
    /// @dev An interval has so many of them in an hour.
    int256 private constant QUARTERS = 4;

    /// @notice Lanes of base loads and of PV inverters, in ascending order.
    /// @dev A lane keeps its kind for ever, so that the layout of today tells the kinds of every batch.
    function lanesOf(bytes memory packed) internal pure returns (uint256[] memory baseLoads, uint256[] memory pv) {
        uint256 count = Layout.laneCount(packed);
        uint256 kindsAt = Layout.kindsAt(packed);
        (baseLoads, pv) = (new uint256[](count), new uint256[](count));
        uint256 baseLoadCount;
        uint256 pvCount;
        for (uint256 lane; lane < count; ++lane) {
            AssetKind kind = AssetKind(uint8(packed[kindsAt + Layout.LANE_BYTES * lane]));
            if (kind == AssetKind.BaseLoad) baseLoads[baseLoadCount++] = lane;
            if (kind == AssetKind.Pv) pv[pvCount++] = lane;
        }
        assembly ("memory-safe") {
            mstore(baseLoads, baseLoadCount)
            mstore(pv, pvCount)
        }
    }

    /// @notice Adds an interval, by the steps with its setpoints and its readings.
    function add(
        ForecastScore memory score,
        HistoryStep calldata planned,
        HistoryStep calldata metered,
        uint256[] memory baseLoads,
        uint256[] memory pv
    ) internal pure {
        uint32 interval = metered.interval;
        if (score.scored == 0 || interval < score.first) score.first = interval;
        if (interval > score.last) score.last = interval;
        (bytes calldata setpoints, bytes calldata readings) = (planned.lanes, metered.lanes);
        (uint256 baseLoadW, uint256 baseLoadErrorW) = _compare(setpoints, readings, baseLoads);
        (uint256 pvW, uint256 pvErrorW) = _compare(setpoints, readings, pv);
        unchecked {
            score.scored += 1;
            score.baseLoadW += uint64(baseLoadW);
            score.baseLoadErrorW += uint64(baseLoadErrorW);
            score.pvW += uint64(pvW);
            score.pvErrorW += uint64(pvErrorW);
        }
    }

    /// @dev Lanes are only ever added, behind all others: readings have at least those of the setpoints before them.
    function _compare(bytes calldata setpoints, bytes calldata readings, uint256[] memory lanes)
        private
        pure
        returns (uint256 powerW, uint256 errorW)
    {
        unchecked {
            uint256 planned = setpoints.length / Lanes.SETPOINT_BYTES;
            for (uint256 i; i < lanes.length; ++i) {
                uint256 lane = lanes[i];
                if (lane >= planned) break;
                int256 plannedW = Lanes.setpoint(setpoints, lane) * UNIT_W;
                int256 meteredW = Lanes.reading(readings, lane) * QUARTERS;
                powerW += SignedMath.abs(plannedW);
                errorW += SignedMath.abs(plannedW - meteredW);
            }
        }
    }
}
