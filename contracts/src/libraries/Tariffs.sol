// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Band, IAssetRegistry, Tariff} from "../IProtocol.sol";

/// @title What tariffs are and which price holds when
/// @notice The week is cut into segments: the tariff's own price from Monday 00:00 UTC until the first band begins, then a
/// segment per band. Where the first band begins on Monday 00:00 the first segment is empty and its price never holds.
library Tariffs {
    /// @dev Four changes of price a day would be 28 bands a week; whoever bills a session reads them all.
    uint256 internal constant MAX_BANDS = 32;
    uint256 internal constant WEEK_MINUTES = 10_080;

    uint256 private constant MINUTE_S = 60;
    /// @dev The epoch was a Thursday, three days into a week that begins on Monday.
    uint256 private constant EPOCH_MINUTE = 3 * 1440;

    /// @notice Reverts where a tariff has no meaning.
    function validate(Tariff calldata tariff) internal pure {
        Band[] calldata bands = tariff.bands;
        uint256 count = bands.length;
        require(count <= MAX_BANDS, IAssetRegistry.BadBands(MAX_BANDS));
        uint256 least;
        for (uint256 i; i < count; ++i) {
            uint256 fromMinute = bands[i].fromMinute;
            require(fromMinute >= least && fromMinute < WEEK_MINUTES, IAssetRegistry.BadBands(i));
            least = fromMinute + 1;
        }
        require(
            tariff.maximum == 0 || tariff.minimum <= tariff.maximum,
            IAssetRegistry.BadTariffBounds(tariff.minimum, tariff.maximum)
        );
    }

    /// @notice What the registry keeps of a tariff and what a driver signs: keccak256(abi.encode(tariff)).
    /// @dev A flat tariff is hashed as it lies in calldata, which costs a fifth of encoding it again; with anything in unused
    /// bits it is another one, which nobody has signed. A test compares.
    function hash(Tariff calldata tariff) internal pure returns (bytes32 digest) {
        if (tariff.bands.length > 0) return keccak256(abi.encode(tariff));
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, 32) // where the tariff begins
            calldatacopy(add(free, 32), tariff, 160) // its five amounts
            mstore(add(free, 192), 192) // where the bands begin
            mstore(add(free, 224), 0) // how many
            digest := keccak256(free, 256)
        }
    }

    /// @notice The highest price that holds at any time of the week.
    function highestPrice(Tariff calldata tariff) internal pure returns (uint64 highest) {
        uint256 count = tariff.bands.length;
        if (count == 0 || tariff.bands[0].fromMinute > 0) highest = tariff.price;
        for (uint256 i; i < count; ++i) {
            uint64 price = tariff.bands[i].price;
            if (price > highest) highest = price;
        }
    }

    /// @notice The lowest price that holds anywhere between two times, in seconds: what energy costs that was drawn between
    /// them, nobody knows when.
    /// @dev `until` itself is not between them, so that energy until 12:00 is before a band that begins at 12:00. Where both
    /// are the same second, its price counts. Where a time is unknown (0), or the clock ran backwards, the whole week does.
    function lowestPriceBetween(Tariff calldata tariff, uint40 from, uint40 until)
        internal
        pure
        returns (uint64 lowest)
    {
        uint256 count = tariff.bands.length;
        if (count == 0) return tariff.price;
        (uint256 begin, uint256 last) = _minutes(from, until);
        uint256 start;
        uint64 price = tariff.price;
        lowest = type(uint64).max;
        for (uint256 i; i <= count; ++i) {
            uint256 stop = i < count ? tariff.bands[i].fromMinute : WEEK_MINUTES;
            // Either in the week of `begin` or in the next one, whose minutes go on counting.
            bool holds = (start <= last && begin < stop) || start + WEEK_MINUTES <= last;
            if (holds && start < stop && price < lowest) lowest = price;
            if (i < count) (start, price) = (stop, tariff.bands[i].price);
        }
    }

    /// @dev The first minute of the week that is touched, and the last one, counted on beyond the week's end.
    function _minutes(uint40 from, uint40 until) private pure returns (uint256 begin, uint256 last) {
        if (from == 0 || until < from) return (0, WEEK_MINUTES - 1);
        uint256 first = from / MINUTE_S;
        begin = (first + EPOCH_MINUTE) % WEEK_MINUTES;
        last = begin + (until > from ? (until - 1) / MINUTE_S - first : 0);
    }
}
