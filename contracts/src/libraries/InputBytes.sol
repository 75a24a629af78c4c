// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

/// @title Sizes of what the inputs of a certificate consist of
/// @notice docs/proof.md has the members, and `optimizer/src/certificate/layout.rs` the same for Rust.
library InputBytes {
    /// @dev Everything before the prices.
    uint256 internal constant HEADER = 29;
    /// @dev In the header: penalty and surcharge, and the price of the peak.
    uint256 internal constant PENALTY_AT = 12;
    uint256 internal constant PEAK_AT = 20;
    uint256 internal constant PEAK_PRICE_AT = 24;
    uint256 internal constant FLAGS_AT = 28;
    /// @dev A number of a series of prices or limits.
    uint256 internal constant NUMBER = 4;
    /// @dev A group without its limits by interval.
    uint256 internal constant GROUP = 10;
    /// @dev A row before its terms, a term, a bound.
    uint256 internal constant ROW = 2;
    uint256 internal constant TERM = 5;
    uint256 internal constant BOUND = 8;
    /// @dev Lane and group before a forecast.
    uint256 internal constant PLACE = 3;
    uint256 internal constant BATTERY = 29;
    /// @dev In a battery: percentages of charge and discharge, capacity, content, floor, end value, wear.
    uint256 internal constant BATTERY_PERCENTS_AT = 5;
    uint256 internal constant BATTERY_CAPACITY_AT = 9;
    uint256 internal constant BATTERY_CONTENT_AT = 13;
    uint256 internal constant BATTERY_FLOOR_AT = 17;
    uint256 internal constant BATTERY_VALUE_AT = 21;
    uint256 internal constant BATTERY_WEAR_AT = 25;
    uint256 internal constant NEED = 16;
    /// @dev In a need: the members that refutations and disputes look at.
    uint256 internal constant NEED_FROM_AT = 3;
    uint256 internal constant NEED_UNTIL_AT = 5;
    uint256 internal constant NEED_MOST_AT = 6;
    uint256 internal constant NEED_LEAST_AT = 8;
    uint256 internal constant NEED_ENERGY_AT = 10;
}
