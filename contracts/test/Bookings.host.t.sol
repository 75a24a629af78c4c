// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {BookingsTest} from "./BookingsTest.sol";

contract BookingsHostTest is BookingsTest {
    function _expectNotOwner(address who) private {
        vm.expectRevert(abi.encodeWithSelector(IBookings.NotOwner.selector, EVSE, who));
        vm.prank(who);
    }

    function _prices(uint256 count, uint64 price) private pure returns (uint64[] memory prices) {
        prices = new uint64[](count);
        for (uint256 i; i < count; ++i) {
            prices[i] = price;
        }
    }

    function _setPrices(uint32 from, uint64[] memory prices) private {
        vm.prank(owner);
        bookings.setPrices(EVSE, from, prices);
    }

    // Terms

    function test_setTerms(uint72 deposit, uint64 price, uint24 cancelBefore, uint16 bps, uint8 maxCount) public {
        BookingTerms memory terms = BookingTerms({
            deposit: uint72(bound(deposit, 0, 1 << 71)),
            pricePerInterval: price,
            cancelBefore: uint24(bound(cancelBefore, 0, 63 days)),
            noShowBps: uint16(bound(bps, 0, 10_000)),
            maxCount: uint8(bound(maxCount, 0, 96))
        });
        vm.expectEmit(address(bookings));
        emit IBookings.BookingTermsSet(EVSE, terms, 2);
        _setTerms(terms);
        (BookingTerms memory now_, uint8 version) = bookings.termsOf(EVSE);
        assertEq(abi.encode(now_), abi.encode(terms), "terms");
        assertEq(version, 2, "version");
        (uint256 price96, uint256 held) = bookings.quote(EVSE, FROM, 96);
        assertEq(price96, 96 * uint256(price), "price");
        assertEq(held, terms.deposit, "deposit");
    }

    /// @dev Everything at its greatest still fits what is kept of a booking.
    function test_boundary_greatestTermsFitARecord() public {
        _setTerms(BookingTerms(1 << 71, type(uint64).max, 63 days, 10_000, 96));
        uint256 price = 96 * uint256(type(uint64).max);
        _deposit(driver.addr, price + (1 << 71));
        _book(driver.addr, FROM, 96);
        Booking memory booking = bookings.bookingAt(EVSE, FROM);
        assertEq(booking.price, price, "price");
        assertEq(booking.deposit, 1 << 71, "deposit");
        vm.warp(FROM_TIME + 30 minutes);
        bookings.noShow(EVSE, FROM);
        assertEq(_fees(), price + (1 << 71), "all of it");
    }

    function _expectBadTerms(BookingTerms memory terms, uint256 value, uint256 max) private {
        vm.expectRevert(abi.encodeWithSelector(IBookings.BadTerms.selector, value, max));
        _setTerms(terms);
    }

    function test_revert_BadTerms() public {
        BookingTerms memory terms = _terms();
        terms.deposit = (1 << 71) + 1;
        _expectBadTerms(terms, terms.deposit, 1 << 71);
        terms = _terms();
        terms.cancelBefore = 63 days + 1;
        _expectBadTerms(terms, terms.cancelBefore, 63 days);
        terms = _terms();
        terms.noShowBps = 10_001;
        _expectBadTerms(terms, 10_001, 10_000);
        terms = _terms();
        terms.maxCount = 97;
        _expectBadTerms(terms, 97, 96);
    }

    function test_revert_NotOwner(address who) public {
        vm.assume(who != owner);
        _expectNotOwner(who);
        bookings.setTerms(EVSE, _terms());
        _expectNotOwner(who);
        bookings.setPrices(EVSE, FROM, _prices(1, 1));
        _expectNotOwner(who);
        bookings.blockIntervals(EVSE, FROM, 1);
        _block(FROM, 1);
        _expectNotOwner(who);
        bookings.unblockIntervals(EVSE, FROM);
    }

    /// @dev There are 256 versions, and one that comes round again could still be a booking's.
    function test_termsTooOften_wouldForgetABookings() public {
        _book(driver.addr, FIRST + 63 * DAY - 1, 1);
        for (uint256 i; i < 254; ++i) {
            _setTerms(_terms());
        }
        assertEq(_version(), 255, "the last");
        uint256 until = FIRST + 63 * DAY;
        vm.expectRevert(abi.encodeWithSelector(IBookings.TermsTooOften.selector, EVSE, until));
        _setTerms(BookingTerms(0, 0, 0, 0, 1));
        assertEq(bookings.bookingAt(EVSE, FIRST + 63 * DAY - 1).deposit, DEPOSIT, "its own");

        vm.warp(until * INTERVAL_S - 1);
        vm.expectRevert(abi.encodeWithSelector(IBookings.TermsTooOften.selector, EVSE, until));
        _setTerms(BookingTerms(0, 0, 0, 0, 1));
        vm.warp(until * INTERVAL_S);
        _setTerms(BookingTerms(0, 0, 0, 0, 1));
        _setTerms(BookingTerms(0, 0, 0, 0, 1));
        assertEq(_version(), 1, "used again");
    }

    /// @dev Whoever lets a no-show lie that long gets no fee, least of all one of other terms; the money is still all there.
    function test_forgottenTermsCostNothing() public {
        _book(driver.addr, FROM, COUNT);
        for (uint256 i; i < 254; ++i) {
            _setTerms(_terms());
        }
        vm.warp(START + 63 days);
        _setTerms(_terms());
        _setTerms(BookingTerms(1e12, 1e6, 0, 10_000, 96));
        assertEq(_version(), 1, "the booking's version");
        bookings.noShow(EVSE, FROM);
        assertEq(_wallet(driver.addr), WALLET, "all back");
        assertEq(_fees(), 0, "no fee");
    }

    // Prices

    function test_setPrices(uint32 from, uint64[] memory prices, uint32 bookFrom, uint16 count) public {
        vm.assume(prices.length > 0);
        if (prices.length > 96) {
            assembly {
                mstore(prices, 96)
            }
        }
        from = uint32(bound(from, FIRST + 1, FIRST + 200));
        bookFrom = uint32(bound(bookFrom, FIRST + 1, FIRST + 200));
        count = uint16(bound(count, 1, 96));
        uint256 expected;
        for (uint256 i = bookFrom; i < uint256(bookFrom) + count; ++i) {
            bool own = i >= from && i < from + prices.length && prices[i - from] != type(uint64).max;
            expected += own ? prices[i - from] : EACH;
        }
        vm.expectEmit(address(bookings));
        emit IBookings.PricesSet(EVSE, from, prices);
        _setPrices(from, prices);

        (uint256 price, uint256 deposit) = bookings.quote(EVSE, bookFrom, count);
        assertEq(price, expected, "price");
        assertEq(deposit, DEPOSIT, "deposit");
        _deposit(driver.addr, expected + 1);
        _book(driver.addr, bookFrom, count);
        assertEq(bookings.bookingAt(EVSE, bookFrom).price, expected, "booked");
    }

    function test_setPrices_takesThemAwayAgain() public {
        _setPrices(FROM, _prices(4, 1));
        (uint256 price,) = bookings.quote(EVSE, FROM, 4);
        assertEq(price, 4, "own");
        _setPrices(FROM + 1, _prices(2, type(uint64).max));
        (price,) = bookings.quote(EVSE, FROM, 4);
        assertEq(price, 2 + 2 * EACH, "two of them");
    }

    function test_setPrices_outliveNewTerms() public {
        _setPrices(FROM, _prices(1, 1));
        _setTerms(BookingTerms(0, 5, 0, 0, 96));
        (uint256 price,) = bookings.quote(EVSE, FROM, 2);
        assertEq(price, 6, "own and the new one");
    }

    /// @dev The same word of the ring, 64 days later.
    function test_setPrices_areForgottenWithTheirDay() public {
        _setPrices(FROM, _prices(3, 1));
        vm.warp(START + 64 days);
        _setPrices(FROM + RING + 1, _prices(1, 2));
        (uint256 price,) = bookings.quote(EVSE, FROM + RING, 3);
        assertEq(price, 2 + 2 * EACH, "only the new one");
    }

    function test_setPrices_doNotTouchABooking() public {
        _book(driver.addr, FROM, COUNT);
        _setPrices(FROM, _prices(COUNT, 1));
        assertEq(bookings.bookingAt(EVSE, FROM).price, COUNT * EACH, "as booked");
    }

    function test_revert_BadCount_setPrices() public {
        vm.expectRevert(abi.encodeWithSelector(IBookings.BadCount.selector, 0, 96));
        _setPrices(FROM, _prices(0, 1));
        vm.expectRevert(abi.encodeWithSelector(IBookings.BadCount.selector, 97, 96));
        _setPrices(FROM, _prices(97, 1));
    }

    function test_revert_OutsideCalendar_setPrices() public {
        uint32 end = FIRST + 63 * DAY;
        vm.expectRevert(abi.encodeWithSelector(IBookings.OutsideCalendar.selector, FIRST, FIRST + 1, end));
        _setPrices(FIRST, _prices(1, 1));
        vm.expectRevert(abi.encodeWithSelector(IBookings.OutsideCalendar.selector, end - 1, FIRST + 1, end));
        _setPrices(end - 1, _prices(2, 1));
    }

    function test_revert_BadCount_quote(uint16 count) public {
        count = uint16(bound(count, 97, type(uint16).max));
        vm.expectRevert(abi.encodeWithSelector(IBookings.BadCount.selector, count, 96));
        bookings.quote(EVSE, FROM, count);
    }

    // Blocks

    function test_blockIntervals(uint32 from, uint16 count) public {
        count = uint16(bound(count, 1, 96));
        from = uint32(bound(from, FIRST + 1, FIRST + 63 * DAY - count));
        vm.expectEmit(address(bookings));
        emit IBookings.Blocked(EVSE, from, count);
        _block(from, count);
        assertEq(_takenIn(from, count), count, "taken");
        Booking memory booking = bookings.bookingAt(EVSE, from);
        assertEq(booking.driver, address(0), "nobody's");
        assertEq(booking.count, count, "count");
        _expectBookRevert(driver.addr, from + count - 1, 1, _taken(from + count - 1));

        vm.expectEmit(address(bookings));
        emit IBookings.Unblocked(EVSE, from, count);
        vm.prank(owner);
        bookings.unblockIntervals(EVSE, from);
        assertEq(_takenIn(from, count), 0, "free");
    }

    function test_blockIntervals_needNoTerms() public {
        vm.prank(owner);
        bookings.blockIntervals(OTHER_EVSE, FROM, 96);
        assertEq(bookings.bookingAt(OTHER_EVSE, FROM + 95).count, 96, "blocked");
    }

    /// @dev A host cannot take back what it has given.
    function test_revert_IntervalTaken_block() public {
        _book(driver.addr, FROM, COUNT);
        vm.expectRevert(_taken(FROM));
        _block(FROM - 1, 2);
    }

    function test_revert_BadCount_block(uint16 count) public {
        count = count == 0 ? 0 : uint16(bound(count, 97, type(uint16).max));
        vm.expectRevert(abi.encodeWithSelector(IBookings.BadCount.selector, count, 96));
        _block(FROM, count);
    }

    function test_revert_OutsideCalendar_block() public {
        uint32 end = FIRST + 63 * DAY;
        vm.expectRevert(abi.encodeWithSelector(IBookings.OutsideCalendar.selector, FIRST, FIRST + 1, end));
        _block(FIRST, 1);
        vm.expectRevert(abi.encodeWithSelector(IBookings.OutsideCalendar.selector, end, FIRST + 1, end));
        _block(end, 1);
    }

    function test_revert_NotBooker_unblock() public {
        _book(driver.addr, FROM, COUNT);
        vm.expectRevert(abi.encodeWithSelector(IBookings.NotBooker.selector, EVSE, FROM, driver.addr, owner));
        vm.prank(owner);
        bookings.unblockIntervals(EVSE, FROM);
    }

    function test_revert_NotBooker_cancelOfABlock() public {
        _block(FROM, COUNT);
        bytes memory reason = abi.encodeWithSelector(IBookings.NotBooker.selector, EVSE, FROM, address(0), owner);
        _expectCancelRevert(owner, FROM, reason);
    }

    function test_revert_NoBooking_unblock(uint32 from) public {
        vm.expectRevert(abi.encodeWithSelector(IBookings.NoBooking.selector, EVSE, from));
        vm.prank(owner);
        bookings.unblockIntervals(EVSE, from);
    }

    function test_pause_stopsNoCancellationAndNoHost() public {
        _book(driver.addr, FROM, COUNT);
        _pause();
        _cancel(driver.addr, FROM);
        _block(FROM, COUNT);
        _setTerms(_terms());
        assertEq(_wallet(driver.addr), WALLET, "all back");
    }
}
