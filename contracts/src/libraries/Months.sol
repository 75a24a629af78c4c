// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

/// @title Months of the Gregorian calendar
/// @notice By the arithmetic of Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
library Months {
    /// @dev Of 400 years, after which the calendar repeats itself.
    uint256 private constant ERA_DAYS = 146_097;
    /// @dev From the first of March of the year 0 to 1970: a year that begins in March has its leap day at the end.
    uint256 private constant DAYS_BEFORE = 719_468;

    /// @notice Number of the month, counted from March of the year 0, that a day (UTC, counted from 1970) is in.
    function monthOf(uint256 day) internal pure returns (uint256) {
        day += DAYS_BEFORE;
        uint256 ofEra = day % ERA_DAYS;
        // Every fourth year has a leap day, but not the last of a century, and yet the last of an era.
        uint256 year = (ofEra - ofEra / 1_460 + ofEra / 36_524 - ofEra / 146_096) / 365;
        uint256 ofYear = ofEra - (365 * year + year / 4 - year / 100);
        // From March on five months have 153 days, again and again.
        return 12 * (400 * (day / ERA_DAYS) + year) + (5 * ofYear + 2) / 153;
    }
}
