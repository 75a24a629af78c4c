// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {InputBytes} from "./InputBytes.sol";
import {Series} from "./Series.sol";

/// @title Where the parts of a certificate's inputs are
/// @notice For refutations, which are rare: checked slices and plain loops, so that what is missing reverts. What is read in
/// every posting is read by place, in `ScheduleVerifier` and `SiteInputs`.
library InputParts {
    uint256 private constant INTERVALS_PER_WORD = 16;

    struct Parts {
        uint256 intervals;
        uint256 groups;
        uint256 batteries;
        uint256 needs;
        uint256 rows;
        bool isPeakPriced;
        bool hasOneFeedInPrice;
        uint256 feedInAt;
        uint256 groupsAt;
        uint256 rowsAt;
        uint256 loadsAt;
        uint256 needsAt;
        uint256 batteriesAt;
    }

    function split(bytes calldata inputs) internal pure returns (Parts memory parts) {
        parts.intervals = number(inputs, 1, 1);
        parts.groups = number(inputs, 4, 1);
        uint256 loads = number(inputs, 5, 1);
        uint256 inverters = number(inputs, 6, 1);
        parts.batteries = number(inputs, 7, 1);
        parts.needs = number(inputs, 8, 2);
        parts.rows = number(inputs, 10, 2);
        parts.isPeakPriced = number(inputs, InputBytes.PEAK_PRICE_AT, 4) > 0;
        parts.hasOneFeedInPrice = number(inputs, InputBytes.FLAGS_AT, 1) & 1 == 1;
        uint256 series = seriesBytes(parts.intervals);
        parts.feedInAt = InputBytes.HEADER + series;
        parts.groupsAt = parts.feedInAt + (parts.hasOneFeedInPrice ? InputBytes.NUMBER : series);
        parts.rowsAt = parts.groupsAt;
        for (uint256 g; g < parts.groups; ++g) {
            bool byInterval = number(inputs, parts.rowsAt + 1, 1) & 1 == 1;
            parts.rowsAt += InputBytes.GROUP + (byInterval ? series : 0);
        }
        parts.loadsAt = parts.rowsAt;
        for (uint256 r; r < parts.rows; ++r) {
            parts.loadsAt += rowBytes(inputs, parts.loadsAt, parts.intervals);
        }
        uint256 forecast = InputBytes.PLACE + 2 * parts.intervals;
        parts.needsAt = parts.loadsAt + loads * forecast;
        parts.batteriesAt = parts.needsAt + parts.needs * InputBytes.NEED + inverters * forecast;
    }

    /// @notice What `PlanRules.terms` binds of the inputs.
    /// @dev Rows whose bounds are by interval change from plan to plan: an owner binds those of one bound, which say themselves
    /// where they end. What a battery can take is the registry's, what it holds changes, and what that is worth follows prices.
    function termsHash(bytes calldata inputs) internal pure returns (bytes32) {
        Parts memory parts = split(inputs);
        bytes memory terms = bytes.concat(
            inputs[InputBytes.PENALTY_AT:InputBytes.PEAK_AT],
            inputs[InputBytes.PEAK_PRICE_AT:InputBytes.FLAGS_AT],
            inputs[parts.rowsAt:parts.loadsAt]
        );
        for (uint256 i; i < parts.batteries; ++i) {
            bytes calldata battery = batteryAt(inputs, parts, i);
            terms = bytes.concat(
                terms,
                battery[InputBytes.BATTERY_PERCENTS_AT:InputBytes.BATTERY_CONTENT_AT],
                battery[InputBytes.BATTERY_FLOOR_AT:InputBytes.BATTERY_VALUE_AT],
                battery[InputBytes.BATTERY_WEAR_AT:]
            );
        }
        return keccak256(terms);
    }

    /// @notice Bytes of a battery that there is.
    function batteryAt(bytes calldata inputs, Parts memory parts, uint256 index)
        internal
        pure
        returns (bytes calldata)
    {
        uint256 from = parts.batteriesAt + InputBytes.BATTERY * index;
        return inputs[from:from + InputBytes.BATTERY];
    }

    /// @notice Bytes of the row from `at`.
    function rowBytes(bytes calldata inputs, uint256 from, uint256 intervals) internal pure returns (uint256) {
        uint256 bounds = number(inputs, from + 1, 1) & 1 == 1 ? intervals : 1;
        return InputBytes.ROW + InputBytes.TERM * number(inputs, from, 1) + InputBytes.BOUND * bounds;
    }

    /// @notice Bytes of a series of 32-bit numbers.
    function seriesBytes(uint256 intervals) internal pure returns (uint256) {
        return 64 * ((intervals + INTERVALS_PER_WORD - 1) / INTERVALS_PER_WORD);
    }

    /// @notice Interval `t` of the series of 32-bit numbers from `at`: even intervals are in its first half, odd ones in its second.
    function numberAt(bytes calldata data, uint256 from, uint256 intervals, uint256 t) internal pure returns (uint256) {
        uint256 half = seriesBytes(intervals) / 2;
        return number(data, from + t % 2 * half + t / 2 * InputBytes.NUMBER, InputBytes.NUMBER);
    }

    /// @notice Import and feed-in price of interval `t`.
    function gridPrices(bytes calldata inputs, Parts memory parts, uint256 t)
        internal
        pure
        returns (int256 imported, int256 fed)
    {
        imported = int256(numberAt(inputs, InputBytes.HEADER, parts.intervals, t)) - int256(Series.BIAS);
        uint256 number_ = parts.hasOneFeedInPrice
            ? number(inputs, parts.feedInAt, InputBytes.NUMBER)
            : numberAt(inputs, parts.feedInAt, parts.intervals, t);
        fed = int256(number_) - int256(Series.BIAS);
    }

    /// @notice The big-endian number of `size` bytes from `at`.
    function number(bytes calldata data, uint256 from, uint256 size) internal pure returns (uint256) {
        return uint256(bytes32(data[from:from + size])) >> 256 - 8 * size;
    }
}
