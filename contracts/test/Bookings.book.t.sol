// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {BookingsTest} from "./BookingsTest.sol";

contract BookingsBookTest is BookingsTest {
    function test_book(uint32 from, uint16 count) public {
        count = uint16(bound(count, 1, 96));
        from = uint32(bound(from, FIRST + 1, FIRST + 63 * DAY - count));
        uint256 price = uint256(count) * EACH;
        vm.expectEmit(address(settlement));
        emit ISettlement.BookingHeld(driver.addr, DEPOSIT + price);
        _book(driver.addr, from, count);

        assertEq(_wallet(driver.addr), WALLET - DEPOSIT - price, "held");
        assertEq(_takenIn(from, count), count, "taken");
        assertEq(_takenIn(from - 1, count + 2), count, "nothing around it");
        Booking memory booking = bookings.bookingAt(EVSE, from + count - 1);
        assertEq(booking.driver, driver.addr, "driver");
        assertEq(booking.from, from, "from");
        assertEq(booking.count, count, "count");
        assertEq(booking.price, price, "price");
        assertEq(booking.deposit, DEPOSIT, "deposit");
        assertEq(booking.noShowBps, NO_SHOW_BPS, "share");
        assertEq(booking.cancelBefore, CANCEL_BEFORE, "deadline");
        assertFalse(booking.checkedIn, "checked in");
    }

    function test_book_emitsBooked() public {
        vm.expectEmit(address(bookings));
        emit IBookings.Booked(EVSE, driver.addr, FROM, COUNT, uint72(COUNT * EACH), DEPOSIT);
        _book(driver.addr, FROM, COUNT);
    }

    function test_book_withoutMoneyNeedsNone() public {
        _setTerms(BookingTerms(0, 0, 0, 0, 96));
        _book(stranger, FROM, COUNT);
        assertEq(_takenIn(FROM, COUNT), COUNT, "taken");
    }

    function test_book_othersEvseIsAnother() public {
        vm.prank(owner);
        bookings.setTerms(OTHER_EVSE, _terms());
        _book(driver.addr, FROM, COUNT);
        vm.prank(other.addr);
        bookings.book(OTHER_EVSE, FROM, COUNT, 1, ANY);
        assertEq(bookings.bookingAt(OTHER_EVSE, FROM).driver, other.addr, "other EVSE");
        assertEq(bookings.bookingAt(EVSE, FROM).driver, driver.addr, "EVSE");
    }

    function test_bookingAt_findsTheRunOfEveryInterval(uint32 from, uint16 count, uint16 i) public {
        count = uint16(bound(count, 1, 96));
        from = uint32(bound(from, FIRST + 2, FIRST + 63 * DAY - count - 1));
        i = uint16(bound(i, 0, count - 1));
        _book(other.addr, from - 1, 1);
        _book(driver.addr, from, count);
        _book(other.addr, from + count, 1);
        assertEq(bookings.bookingAt(EVSE, from + i).driver, driver.addr, "inside");
        assertEq(bookings.bookingAt(EVSE, from - 1).driver, other.addr, "before");
        assertEq(bookings.bookingAt(EVSE, from + count).driver, other.addr, "behind");
    }

    function test_revert_NoBooking_bookingAt(uint32 interval) public {
        interval = uint32(bound(interval, FIRST, FIRST + 64 * DAY));
        _book(driver.addr, FROM, COUNT);
        if (interval >= FROM && interval < FROM + COUNT) interval = FROM + COUNT;
        vm.expectRevert(abi.encodeWithSelector(IBookings.NoBooking.selector, EVSE, interval));
        bookings.bookingAt(EVSE, interval);
    }

    // Overlap

    /// @dev Against a plain loop: which interval is named, or that there is none.
    function test_overlap_isRefusedByItsFirstInterval(uint32 from, uint16 count, uint32 from2, uint16 count2) public {
        count = uint16(bound(count, 1, 96));
        count2 = uint16(bound(count2, 1, 96));
        from = uint32(bound(from, FIRST + 1, FIRST + 3 * DAY));
        from2 = uint32(bound(from2, FIRST + 1, FIRST + 3 * DAY));
        _book(driver.addr, from, count);
        for (uint32 i = from2; i < from2 + count2; ++i) {
            if (i < from || i >= from + count) continue;
            _expectBookRevert(other.addr, from2, count2, _taken(i));
            assertEq(_wallet(other.addr), WALLET, "pays nothing");
            assertEq(_takenIn(FIRST, 4 * 96), count, "takes nothing");
            return;
        }
        _book(other.addr, from2, count2);
        assertEq(_takenIn(FIRST, 4 * 96), uint256(count) + count2, "both");
    }

    function test_overlap_acrossMidnight() public {
        uint32 midnight = FIRST + DAY;
        _book(driver.addr, midnight - 4, 8);
        _expectBookRevert(other.addr, midnight, 1, _taken(midnight));
        _expectBookRevert(other.addr, midnight + 3, 5, _taken(midnight + 3));
        _expectBookRevert(other.addr, midnight - 8, 96, _taken(midnight - 4));
        _book(other.addr, midnight + 4, 1);
        assertEq(bookings.bookingAt(EVSE, midnight + 3).from, midnight - 4, "begins the day before");
        assertEq(bookings.bookingAt(EVSE, midnight + 4).driver, other.addr, "next");
    }

    /// @dev Days 63 and 64 share the ring's last and first word.
    function test_overlap_acrossTheRingsEnd() public {
        uint256 day = (START / 1 days / 64 + 1) * 64;
        uint32 seam = uint32(day * DAY);
        vm.warp((day - 10) * 1 days);
        _book(driver.addr, seam - 8, 16);
        _expectBookRevert(other.addr, seam - 1, 2, _taken(seam - 1));
        _expectBookRevert(other.addr, seam + 7, 2, _taken(seam + 7));
        _book(other.addr, seam + 8, 2);
        assertEq(_takenIn(seam - 8, 18), 18, "taken");
    }

    function test_sameIntervalOfTheRingIsFree64DaysLater() public {
        _book(driver.addr, FROM, COUNT);
        vm.warp(START + 64 days);
        assertEq(_takenIn(FROM + RING, COUNT), 0, "free");
        _book(other.addr, FROM + RING, COUNT);
        assertEq(bookings.bookingAt(EVSE, FROM + RING).driver, other.addr, "driver");
        vm.expectRevert(abi.encodeWithSelector(IBookings.NoBooking.selector, EVSE, FROM));
        bookings.bookingAt(EVSE, FROM);
    }

    /// @dev Booked two days after it was over, as soon as the calendar reaches it, and nobody had ended it.
    function test_lapsedBookingIsEndedByTheNextInItsPlace() public {
        _book(driver.addr, FROM, COUNT);
        vm.warp(START + 2 days);
        uint256 fee = COST * NO_SHOW_BPS / BPS;
        vm.expectEmit(address(bookings));
        emit IBookings.NoShow(EVSE, driver.addr, FROM, COST - fee, fee);
        _book(other.addr, FROM + RING, 1);
        assertEq(_wallet(driver.addr), WALLET - fee, "refunded");
        assertEq(_fees(), fee, "fee");
        assertEq(_wallet(other.addr), WALLET - DEPOSIT - EACH, "held");
    }

    function test_lapsedBookingIsEndedByABlock() public {
        _book(driver.addr, FROM, COUNT);
        vm.warp(START + 2 days);
        _block(FROM + RING, 1);
        assertEq(_wallet(driver.addr), WALLET - COST * NO_SHOW_BPS / BPS, "refunded");
    }

    /// @dev Its record would be overwritten while it runs.
    function test_boundary_calendarEndsBeforeYesterdaysPlace() public {
        _book(driver.addr, FIRST + DAY - 1, 96);
        vm.warp(START + 1 days);
        uint32 clash = FIRST + DAY - 1 + RING;
        uint256 end = FIRST + 64 * DAY;
        bytes memory reason = abi.encodeWithSelector(IBookings.OutsideCalendar.selector, clash, FIRST + DAY + 1, end);
        _expectBookRevert(other.addr, clash, 1, reason);
        assertEq(bookings.bookingAt(EVSE, FIRST + DAY).driver, driver.addr, "runs");
    }

    // Front-running

    /// @dev Two drivers want the same; the chain's order decides, and who comes second loses nothing.
    function test_frontRunning_secondDriverFailsWholeAndPaysNothing() public {
        _book(other.addr, FROM + 2, 1);
        _expectBookRevert(driver.addr, FROM, COUNT, _taken(FROM + 2));
        assertEq(_wallet(driver.addr), WALLET, "wallet");
        assertEq(_takenIn(FROM, COUNT), 1, "only the first one's");
    }

    function test_frontRunning_raisedPriceIsStoppedByTheCeiling() public {
        uint64[] memory prices = new uint64[](1);
        prices[0] = EACH + 1;
        vm.prank(owner);
        bookings.setPrices(EVSE, FROM, prices);
        vm.expectRevert(abi.encodeWithSelector(IBookings.AboveCeiling.selector, COST + 1, COST));
        vm.prank(driver.addr);
        bookings.book(EVSE, FROM, COUNT, 1, uint128(COST));
    }

    function test_frontRunning_changedTermsAreStoppedByTheVersion() public {
        BookingTerms memory terms = _terms();
        terms.noShowBps = 10_000;
        _setTerms(terms);
        vm.expectRevert(abi.encodeWithSelector(IBookings.TermsChanged.selector, EVSE, 1, 2));
        vm.prank(driver.addr);
        bookings.book(EVSE, FROM, COUNT, 1, ANY);
    }

    function test_termsChangedAfterwardsDoNotTouchABooking() public {
        _book(driver.addr, FROM, COUNT);
        for (uint256 i; i < 5; ++i) {
            _setTerms(BookingTerms(1e6, 7, 9 hours, 10_000, 1));
        }
        Booking memory booking = bookings.bookingAt(EVSE, FROM);
        assertEq(booking.deposit, DEPOSIT, "deposit");
        assertEq(booking.price, COUNT * EACH, "price");
        vm.warp(FROM_TIME - CANCEL_BEFORE);
        _cancel(driver.addr, FROM);
        assertEq(_wallet(driver.addr), WALLET, "still free");
    }

    // What refuses a booking

    function test_boundary_firstIntervalMustNotHaveBegun() public {
        vm.warp(FROM_TIME - 1);
        _book(driver.addr, FROM, 1);
        vm.warp(FROM_TIME + INTERVAL_S);
        uint32 from = FROM + 1;
        uint256 end = FIRST + 63 * DAY;
        _expectBookRevert(
            driver.addr, from, 1, abi.encodeWithSelector(IBookings.OutsideCalendar.selector, from, from + 1, end)
        );
    }

    function test_boundary_calendarsEnd() public {
        uint32 end = FIRST + 63 * DAY;
        _expectBookRevert(
            driver.addr, end - 1, 2, abi.encodeWithSelector(IBookings.OutsideCalendar.selector, end - 1, FIRST + 1, end)
        );
        _book(driver.addr, end - 2, 2);
        assertEq(_takenIn(end - 2, 2), 2, "taken");
        vm.warp(START + 1 days - 1);
        _expectBookRevert(
            driver.addr, end, 1, abi.encodeWithSelector(IBookings.OutsideCalendar.selector, end, FIRST + DAY, end)
        );
        vm.warp(START + 1 days);
        _book(driver.addr, end, 1);
    }

    function test_revert_OutsideCalendar(uint32 from) public {
        from = from % 2 == 0 ? uint32(bound(from, 0, FIRST)) : uint32(bound(from, FIRST + 63 * DAY, type(uint32).max));
        _expectBookRevert(
            driver.addr,
            from,
            1,
            abi.encodeWithSelector(IBookings.OutsideCalendar.selector, from, FIRST + 1, FIRST + 63 * DAY)
        );
    }

    function test_revert_BadCount(uint16 count, uint8 max) public {
        BookingTerms memory terms = _terms();
        terms.maxCount = uint8(bound(max, 0, 96));
        _setTerms(terms);
        count = uint16(bound(count, terms.maxCount + 1, type(uint16).max));
        _expectBookRevert(
            driver.addr, FROM, count, abi.encodeWithSelector(IBookings.BadCount.selector, count, terms.maxCount)
        );
        _expectBookRevert(driver.addr, FROM, 0, abi.encodeWithSelector(IBookings.BadCount.selector, 0, terms.maxCount));
    }

    /// @dev Nobody can fill the calendar of a host who never asked for bookings.
    function test_griefing_withoutTermsThereAreNoBookings() public {
        vm.expectRevert(abi.encodeWithSelector(IBookings.BadCount.selector, 1, 0));
        vm.prank(driver.addr);
        bookings.book(OTHER_EVSE, FROM, 1, 0, ANY);
    }

    function test_revert_AboveCeiling(uint128 ceiling) public {
        ceiling = uint128(bound(ceiling, 0, COST - 1));
        vm.expectRevert(abi.encodeWithSelector(IBookings.AboveCeiling.selector, COST, ceiling));
        vm.prank(driver.addr);
        bookings.book(EVSE, FROM, COUNT, 1, ceiling);
        vm.prank(driver.addr);
        bookings.book(EVSE, FROM, COUNT, 1, uint128(COST));
        assertEq(_wallet(driver.addr), WALLET - COST, "at the ceiling");
    }

    function test_revert_InsufficientBalance() public {
        bytes memory reason = abi.encodeWithSelector(ISettlement.InsufficientBalance.selector, stranger, 0, COST);
        _expectBookRevert(stranger, FROM, COUNT, reason);
        assertEq(_takenIn(FROM, COUNT), 0, "nothing taken");
    }

    function test_revert_Paused() public {
        _pause();
        _expectBookRevert(driver.addr, FROM, COUNT, abi.encodeWithSelector(IBookings.Paused.selector));
    }

    function test_revert_NotAdmitted_blocked() public {
        _setStanding(driver.addr, Standing.Blocked);
        bytes memory reason = abi.encodeWithSelector(IBookings.NotAdmitted.selector, EVSE, driver.addr);
        _expectBookRevert(driver.addr, FROM, COUNT, reason);
    }

    function test_revert_NotAdmitted_access() public {
        vm.prank(owner);
        registry.setAccess(EVSE, Access.Members);
        bytes memory reason = abi.encodeWithSelector(IBookings.NotAdmitted.selector, EVSE, driver.addr);
        _expectBookRevert(driver.addr, FROM, COUNT, reason);
        _setStanding(driver.addr, Standing.Member);
        _book(driver.addr, FROM, COUNT);
    }

    function test_revert_NotAdmitted_removed() public {
        vm.prank(owner);
        registry.removeAsset(EVSE);
        bytes memory reason = abi.encodeWithSelector(IBookings.NotAdmitted.selector, EVSE, driver.addr);
        _expectBookRevert(driver.addr, FROM, COUNT, reason);
    }

    function test_revert_NotAdmitted_noEvse() public {
        bytes32 battery = keccak256("battery");
        vm.prank(owner);
        bookings.setTerms(battery, _terms());
        vm.expectRevert(abi.encodeWithSelector(IBookings.NotAdmitted.selector, battery, driver.addr));
        vm.prank(driver.addr);
        bookings.book(battery, FROM, COUNT, 1, ANY);
    }

    function test_revert_UnknownAsset(bytes32 evse) public {
        vm.assume(evse != EVSE && evse != OTHER_EVSE);
        evse = keccak256(abi.encode(evse));
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.UnknownAsset.selector, evse));
        vm.prank(driver.addr);
        bookings.book(evse, FROM, COUNT, 0, ANY);
    }

    /// @dev One interval each, as many as there are: they cost their driver, and nobody else anything.
    function test_griefing_dustBookingsLeaveTheRestFree() public {
        for (uint32 i; i < 10; ++i) {
            _book(other.addr, FROM + 2 * i, 1);
        }
        assertEq(_wallet(other.addr), WALLET - 10 * (DEPOSIT + EACH), "each has its deposit");
        _book(driver.addr, FROM + 1, 1);
        assertEq(bookings.bookingAt(EVSE, FROM + 1).driver, driver.addr, "between them");
    }
}
