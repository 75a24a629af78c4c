// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {Tariffs} from "../src/libraries/Tariffs.sol";
import {Test} from "./SiteTest.sol";

contract TariffsTest is Test {
    /// @dev 2026-01-05 00:00:00 UTC, a Monday.
    uint40 private constant MONDAY = 1_767_571_200;
    uint40 private constant WEEK_S = 7 days;
    uint256 private constant WEEK_MINUTES = 10_080;
    uint256 private constant MAX_BANDS = 32;

    // The library reads calldata, which a test has only behind a call.

    function validate(Tariff calldata tariff) external pure {
        Tariffs.validate(tariff);
    }

    function hash(Tariff calldata tariff) external pure returns (bytes32) {
        return Tariffs.hash(tariff);
    }

    function highestPrice(Tariff calldata tariff) external pure returns (uint64) {
        return Tariffs.highestPrice(tariff);
    }

    function lowestPriceBetween(Tariff calldata tariff, uint40 from, uint40 until) external pure returns (uint64) {
        return Tariffs.lowestPriceBetween(tariff, from, until);
    }

    /// @dev Up to `most` bands, rising, at any minutes of the week.
    function _random(uint256 seed, uint256 most) private pure returns (Tariff memory tariff) {
        seed = uint256(keccak256(abi.encode(seed)));
        tariff.price = uint64(seed);
        uint256 count = (seed >> 64) % (most + 1);
        tariff.bands = new Band[](count);
        uint256 minute = (seed >> 80) % 2 == 0 ? 0 : 1 + (seed >> 96) % 300;
        for (uint256 i; i < count; ++i) {
            uint256 dice = uint256(keccak256(abi.encode(seed, i)));
            tariff.bands[i] = Band(uint16(minute), uint64(dice));
            minute += 1 + (dice >> 64) % (WEEK_MINUTES / MAX_BANDS - 10);
        }
    }

    /// @dev Nights 100, days 200, Sunday (from minute 8,640) 50.
    function _nightAndDay() private pure returns (Tariff memory tariff) {
        tariff.price = 100;
        tariff.bands = new Band[](15);
        for (uint16 day; day < 7; ++day) {
            tariff.bands[2 * day] = Band(1440 * day + 360, 200);
            tariff.bands[2 * day + 1] = Band(1440 * day + 1320, 100);
        }
        tariff.bands[12] = Band(8640, 50);
        tariff.bands[13] = Band(8640 + 360, 60);
        tariff.bands[14] = Band(8640 + 1320, 50);
    }

    function _priceAt(Tariff memory tariff, uint256 minute) private pure returns (uint64 price) {
        price = tariff.price;
        for (uint256 i; i < tariff.bands.length; ++i) {
            if (tariff.bands[i].fromMinute <= minute) price = tariff.bands[i].price;
        }
    }

    /// @dev Minute by minute.
    function _lowest(Tariff memory tariff, uint256 from, uint256 until) private pure returns (uint64 lowest) {
        lowest = type(uint64).max;
        uint256 last = until > from ? (until - 1) / 60 : from / 60;
        for (uint256 minute = from / 60; minute <= last; ++minute) {
            uint64 price = _priceAt(tariff, (minute - MONDAY / 60) % WEEK_MINUTES);
            if (price < lowest) lowest = price;
        }
    }

    function test_validate_risingBandsInsideTheWeek(uint256 seed, uint128 minimum, uint128 maximum) public view {
        Tariff memory tariff = _random(seed, MAX_BANDS);
        tariff.maximum = maximum;
        tariff.minimum = maximum == 0 ? minimum : uint128(bound(minimum, 0, maximum));
        this.validate(tariff);
        assertLe(tariff.bands.length, MAX_BANDS, "bands");
    }

    function test_boundary_asManyBandsAsMaxAndOneMore() public {
        Tariff memory tariff;
        tariff.bands = new Band[](MAX_BANDS);
        for (uint16 i; i < MAX_BANDS; ++i) {
            tariff.bands[i].fromMinute = i;
        }
        this.validate(tariff);
        tariff.bands = new Band[](MAX_BANDS + 1);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.BadBands.selector, MAX_BANDS));
        this.validate(tariff);
    }

    function test_boundary_lastMinuteOfTheWeek() public {
        Tariff memory tariff;
        tariff.bands = new Band[](1);
        tariff.bands[0].fromMinute = uint16(WEEK_MINUTES - 1);
        this.validate(tariff);
        tariff.bands[0].fromMinute = uint16(WEEK_MINUTES);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.BadBands.selector, 0));
        this.validate(tariff);
    }

    function test_revert_BadBands_notRising(uint16 first, uint16 second) public {
        first = uint16(bound(first, 0, WEEK_MINUTES - 1));
        second = uint16(bound(second, 0, first));
        Tariff memory tariff;
        tariff.bands = new Band[](2);
        (tariff.bands[0].fromMinute, tariff.bands[1].fromMinute) = (first, second);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.BadBands.selector, 1));
        this.validate(tariff);
    }

    function test_revert_BadTariffBounds(uint128 minimum, uint128 maximum) public {
        maximum = uint128(bound(maximum, 1, type(uint128).max - 1));
        minimum = uint128(bound(minimum, maximum + 1, type(uint128).max));
        Tariff memory tariff;
        (tariff.minimum, tariff.maximum) = (minimum, maximum);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.BadTariffBounds.selector, minimum, maximum));
        this.validate(tariff);
    }

    function test_hash_isOfTheAbiEncoding(uint256 seed) public view {
        Tariff memory tariff = _random(seed, MAX_BANDS);
        assertEq(this.hash(tariff), keccak256(abi.encode(tariff)), "hash");
    }

    function test_highestPrice_isThatOfSomeMinuteAndOfNoneHigher(uint256 seed) public view {
        Tariff memory tariff = _random(seed, 8);
        uint64 highest;
        for (uint256 minute; minute < WEEK_MINUTES; minute += 1) {
            uint64 price = _priceAt(tariff, minute);
            if (price > highest) highest = price;
        }
        assertEq(this.highestPrice(tariff), highest, "highest");
    }

    /// @dev Where a band begins the week, the price outside of all bands never holds.
    function test_highestPrice_leavesOutWhatNeverHolds() public view {
        Tariff memory tariff;
        tariff.price = 900;
        tariff.bands = new Band[](1);
        tariff.bands[0].price = 100;
        assertEq(this.highestPrice(tariff), 100, "band from Monday 00:00");
        assertEq(this.lowestPriceBetween(tariff, 0, 0), 100, "lowest too");
        tariff.bands[0].fromMinute = 1;
        assertEq(this.highestPrice(tariff), 900, "band a minute later");
    }

    function test_lowestPriceBetween_asMinuteByMinute(uint256 seed, uint40 from, uint40 span) public view {
        Tariff memory tariff = _random(seed, 8);
        from = uint40(bound(from, MONDAY, MONDAY + 3 * WEEK_S));
        span = uint40(bound(span, 0, 2 days));
        assertEq(this.lowestPriceBetween(tariff, from, from + span), _lowest(tariff, from, from + span), "lowest");
    }

    function test_lowestPriceBetween_weeksAsMinuteByMinute(uint256 seed, uint40 from, uint40 span) public view {
        Tariff memory tariff = _random(seed, 4);
        from = uint40(bound(from, MONDAY, MONDAY + 3 * WEEK_S));
        span = uint40(bound(span, WEEK_S - 1 days, WEEK_S + 1 days));
        assertEq(this.lowestPriceBetween(tariff, from, from + span), _lowest(tariff, from, from + span), "lowest");
    }

    /// @dev A week apart, the same minutes of the week.
    function test_lowestPriceBetween_everyWeekAlike(uint256 seed, uint40 from, uint40 span, uint8 weeks_) public view {
        Tariff memory tariff = _random(seed, MAX_BANDS);
        from = uint40(bound(from, 1, 4 * MONDAY));
        span = uint40(bound(span, 0, 400 days));
        uint40 later = from + uint40(weeks_) * WEEK_S;
        assertEq(
            this.lowestPriceBetween(tariff, from, from + span),
            this.lowestPriceBetween(tariff, later, later + span),
            "a few weeks later"
        );
    }

    function test_lowestPriceBetween_weekAndLongerIsTheLowestOfAll(uint256 seed, uint40 from, uint40 span) public view {
        Tariff memory tariff = _random(seed, MAX_BANDS);
        from = uint40(bound(from, 1, 4 * MONDAY));
        span = uint40(bound(span, WEEK_S, 4 * MONDAY));
        assertEq(
            this.lowestPriceBetween(tariff, from, from + span), this.lowestPriceBetween(tariff, 0, 0), "whole week"
        );
    }

    function test_lowestPriceBetween_unknownOrBackwardsIsTheLowestOfAll(uint256 seed, uint40 a, uint40 b) public view {
        Tariff memory tariff = _random(seed, 8);
        a = uint40(bound(a, 1, type(uint40).max));
        b = uint40(bound(b, 0, a - 1));
        uint64 lowest = _lowest(tariff, MONDAY, MONDAY + WEEK_S);
        assertEq(this.lowestPriceBetween(tariff, 0, a), lowest, "begin unknown");
        assertEq(this.lowestPriceBetween(tariff, a, 0), lowest, "end unknown");
        assertEq(this.lowestPriceBetween(tariff, 0, 0), lowest, "both unknown");
        assertEq(this.lowestPriceBetween(tariff, a, b), lowest, "backwards");
    }

    function test_lowestPriceBetween_anyTimesHaveAPriceOfTheTariff(uint256 seed, uint40 from, uint40 until)
        public
        view
    {
        Tariff memory tariff = _random(seed, MAX_BANDS);
        uint64 lowest = this.lowestPriceBetween(tariff, from, until);
        assertLe(lowest, this.highestPrice(tariff), "not above the highest");
        assertGe(lowest, this.lowestPriceBetween(tariff, 0, 0), "not below the lowest");
    }

    function test_boundary_energyUntilABandIsBeforeIt() public view {
        Tariff memory tariff = _nightAndDay();
        uint40 sixInTheMorning = MONDAY + 6 hours;
        uint40 tenAtNight = MONDAY + 22 hours;
        assertEq(this.lowestPriceBetween(tariff, sixInTheMorning, tenAtNight), 200, "whole day");
        assertEq(this.lowestPriceBetween(tariff, sixInTheMorning, tenAtNight + 1), 100, "a second of night");
        assertEq(this.lowestPriceBetween(tariff, sixInTheMorning - 1, tenAtNight), 100, "a second of the night before");
        assertEq(this.lowestPriceBetween(tariff, tenAtNight, tenAtNight), 100, "the very second");
        assertEq(this.lowestPriceBetween(tariff, tenAtNight - 1, tenAtNight - 1), 200, "the second before");
    }

    function test_boundary_wrapAtTheWeeksEnd() public view {
        Tariff memory tariff = _nightAndDay();
        uint40 end = MONDAY + WEEK_S;
        assertEq(this.lowestPriceBetween(tariff, end - 1, end), 50, "last second of Sunday");
        assertEq(this.lowestPriceBetween(tariff, end, end + 1), 100, "first second of Monday");
        assertEq(this.lowestPriceBetween(tariff, end - 3 hours, end), 50, "Sunday night");
        assertEq(this.lowestPriceBetween(tariff, end - 12 hours, end - 3 hours), 60, "Sunday afternoon");
        assertEq(this.lowestPriceBetween(tariff, end + 7 hours, end + 8 hours), 200, "Monday morning");
        // From Saturday noon into Monday: the whole Sunday between them.
        assertEq(this.lowestPriceBetween(tariff, end - 36 hours, end + 8 hours), 50, "over the weekend");
    }

    /// @dev 1970-01-01 was a Thursday: minute 4,320 of a week that begins on Monday.
    function test_boundary_epochWasAThursday() public view {
        Tariff memory tariff;
        tariff.price = 2;
        tariff.bands = new Band[](1);
        tariff.bands[0] = Band(4320 + 1, 1);
        assertEq(this.lowestPriceBetween(tariff, 59, 60), 2, "first minute");
        assertEq(this.lowestPriceBetween(tariff, 60, 60), 1, "second minute");
    }
}
