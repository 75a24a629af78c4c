// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SignedMath} from "@openzeppelin/contracts/utils/math/SignedMath.sol";
import {InputBytes} from "./InputBytes.sol";
import {InputParts} from "./InputParts.sol";

/// @title How much a battery can hold
/// @notice The planner's bookkeeping (docs/proof.md) with bounds in the place of what nobody knows. Contents are counted in
/// hundredths of a Wh, because percentages of whole Wh are whole there. More before is never less after, so that what lies
/// within the bounds stays within them.
library Batteries {
    /// @dev Of what flows: real losses are not the planned ones, percent.
    int256 private constant TOLERANCE = 10;
    int256 private constant PER_WH = 100;

    /// @param charge,discharge Percent of what is drawn that is stored, and of what is fed that is taken.
    struct Battery {
        uint256 lane;
        int256 charge;
        int256 discharge;
        int256 capacity;
    }

    struct Bounds {
        int256 least;
        int256 most;
    }

    /// @param record As it is in the inputs.
    function read(bytes calldata record) internal pure returns (Battery memory battery) {
        battery.lane = InputParts.number(record, 0, 2);
        battery.charge = int256(InputParts.number(record, InputBytes.BATTERY_PERCENTS_AT, 2));
        battery.discharge = int256(InputParts.number(record, InputBytes.BATTERY_PERCENTS_AT + 2, 2));
        battery.capacity = PER_WH * int256(InputParts.number(record, InputBytes.BATTERY_CAPACITY_AT, 4));
    }

    /// @notice What a battery can have held when up to `flowWh` of what was taken to have flowed had yet to flow.
    /// @param contentWh With that, rounded down.
    function before(Battery memory battery, uint256 contentWh, uint256 flowWh) internal pure returns (Bounds memory) {
        int256 content = PER_WH * int256(contentWh);
        return Bounds(
            _within(battery, content - battery.charge * int256(flowWh)),
            _within(battery, content + PER_WH - 1 + battery.discharge * int256(flowWh))
        );
    }

    /// @notice After a reading, within what is tolerated.
    function meter(Battery memory battery, Bounds memory held, int256 energyWh) internal pure {
        int256 percent = energyWh > 0 ? battery.charge : battery.discharge;
        int256 tolerated = TOLERANCE * int256(SignedMath.abs(energyWh));
        held.least = _within(battery, held.least + percent * energyWh - tolerated);
        held.most = _within(battery, held.most + percent * energyWh + tolerated);
    }

    /// @notice What it can hold, in Wh rounded down, when up to `flowWh` more have flowed.
    function later(Battery memory battery, Bounds memory held, uint256 flowWh)
        internal
        pure
        returns (uint256 leastWh, uint256 mostWh)
    {
        int256 least = _within(battery, held.least - battery.discharge * int256(flowWh));
        int256 most = _within(battery, held.most + battery.charge * int256(flowWh));
        return (uint256(least / PER_WH), uint256(most / PER_WH));
    }

    function _within(Battery memory battery, int256 content) private pure returns (int256) {
        return SignedMath.max(0, SignedMath.min(battery.capacity, content));
    }
}
