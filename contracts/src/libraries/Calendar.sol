// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @dev Intervals of a UTC day.
uint256 constant DAY = 96;
/// @dev Yesterday, whose last run may reach into today, today, and 62 days to come.
uint256 constant RING_DAYS = 64;

/// @title A ring of days with 96 intervals each, in which runs of intervals are taken
/// @notice One word a day. From the lowest bit: 96 taken intervals, 96 intervals with which a run begins, the day. A word of
/// another day than asked for reads as empty. A run has at most 96 intervals, so that it lies in at most two words.
///
/// Positions are computed unchecked: an interval has 32 bits.
library Calendar {
    uint256 private constant DAY_SHIFT = 2 * DAY;
    uint256 private constant DAY_MASK = type(uint96).max;

    /// @notice Takes [from, from + count), or nothing.
    /// @return conflict The first interval that was taken before; zero when none was.
    function take(uint256[RING_DAYS] storage words, uint256 from, uint256 count) internal returns (uint256 conflict) {
        unchecked {
            uint256 day = from / DAY;
            uint256 run = _runOf(from, count);
            uint256 first = _wordOf(words, day);
            uint256 second = run >> DAY == 0 ? 0 : _wordOf(words, day + 1);
            uint256 taken = run & ((first & DAY_MASK) | (second & DAY_MASK) << DAY);
            if (taken != 0) return day * DAY + _lowest(taken);

            words[day % RING_DAYS] = first | (run & DAY_MASK) | (uint256(1) << (DAY + from % DAY));
            if (second != 0) words[(day + 1) % RING_DAYS] = second | run >> DAY;
        }
    }

    /// @notice Gives a run back. A word that belongs to a later day by now stays as it is.
    function free(uint256[RING_DAYS] storage words, uint256 from, uint256 count) internal {
        uint256 run = _runOf(from, count);
        for (uint256 day = from / DAY; run != 0; ++day) {
            uint256 bits = run & DAY_MASK;
            uint256 word = words[day % RING_DAYS];
            if (word >> DAY_SHIFT == day) words[day % RING_DAYS] = word & ~(bits | bits << DAY);
            run >>= DAY;
        }
    }

    /// @notice Taken intervals of a day.
    function takenOn(uint256[RING_DAYS] storage words, uint256 day) internal view returns (uint96) {
        return uint96(_wordOf(words, day));
    }

    /// @notice The first taken interval of [from, end); `end` or later when there is none.
    function nextTaken(uint256[RING_DAYS] storage words, uint256 from, uint256 end) internal view returns (uint256) {
        while (from < end) {
            uint256 rest = uint256(takenOn(words, from / DAY)) >> (from % DAY);
            if (rest != 0) return from + _lowest(rest);
            from = (from / DAY + 1) * DAY;
        }
        return from;
    }

    /// @notice Where the run begins that holds a taken interval: in its day, or in the day before.
    function startOf(uint256[RING_DAYS] storage words, uint256 interval) internal view returns (uint256) {
        uint256 day = interval / DAY;
        uint256 upTo = (uint256(2) << (interval % DAY)) - 1;
        uint256 starts = _wordOf(words, day) >> DAY & upTo;
        if (starts == 0) starts = _wordOf(words, --day) >> DAY & DAY_MASK;
        return day * DAY + Math.log2(starts);
    }

    function _wordOf(uint256[RING_DAYS] storage words, uint256 day) private view returns (uint256 word) {
        word = words[day % RING_DAYS];
        if (word >> DAY_SHIFT != day) word = day << DAY_SHIFT;
    }

    /// @dev A run as bits of two days, the first one's lowest.
    function _runOf(uint256 from, uint256 count) private pure returns (uint256) {
        unchecked {
            return ((uint256(1) << count) - 1) << (from % DAY);
        }
    }

    function _lowest(uint256 bits) private pure returns (uint256) {
        return Math.log2(bits & (~bits + 1));
    }
}
