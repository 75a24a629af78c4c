// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {BookingsTest} from "./BookingsTest.sol";

contract BookingsCancelTest is BookingsTest {
    uint256 private constant FEE = COST * NO_SHOW_BPS / BPS;

    function setUp() public override {
        super.setUp();
        _book(driver.addr, FROM, COUNT);
    }

    function _assertEnded(uint256 fee) private view {
        assertEq(_wallet(driver.addr), WALLET - fee, "wallet");
        assertEq(_fees(), fee, "fee");
        assertEq(_takenIn(FROM, COUNT), 0, "free again");
    }

    // Cancelling

    function test_cancel_isFreeUntilTheDeadline(uint256 time) public {
        vm.warp(bound(time, START, FROM_TIME - CANCEL_BEFORE));
        vm.expectEmit(address(bookings));
        emit IBookings.Cancelled(EVSE, driver.addr, FROM, COST, 0);
        _cancel(driver.addr, FROM);
        _assertEnded(0);
    }

    function test_cancel_costsTheFeeAfterTheDeadline(uint256 time) public {
        vm.warp(bound(time, FROM_TIME - CANCEL_BEFORE + 1, END_TIME - 1));
        vm.expectEmit(address(bookings));
        emit IBookings.Cancelled(EVSE, driver.addr, FROM, COST - FEE, FEE);
        _cancel(driver.addr, FROM);
        _assertEnded(FEE);
    }

    function test_revert_TooLateToCancel(uint256 time) public {
        vm.warp(bound(time, END_TIME, START + 60 days));
        _expectCancelRevert(driver.addr, FROM, abi.encodeWithSelector(IBookings.TooLateToCancel.selector, EVSE, FROM));
    }

    function test_cancel_acrossMidnight() public {
        uint32 from = FIRST + DAY - 4;
        _book(driver.addr, from, 8);
        _book(other.addr, from + 8, 1);
        _cancel(driver.addr, from);
        assertEq(_takenIn(from, 9), 1, "only the other's");
        _book(other.addr, from, 8);
        assertEq(bookings.bookingAt(EVSE, from + 7).driver, other.addr, "booked again");
    }

    function test_cancel_isFreeWhileUnavailableOrFaulted(bool faulted) public {
        vm.warp(END_TIME - 1);
        _setStatus(faulted ? Status.Faulted : Status.Unavailable);
        _cancel(driver.addr, FROM);
        _assertEnded(0);
    }

    function test_cancel_isFreeWhenRemoved() public {
        vm.warp(END_TIME - 1);
        vm.prank(owner);
        registry.removeAsset(EVSE);
        _cancel(driver.addr, FROM);
        _assertEnded(0);
    }

    /// @dev Else a host could block who has booked, and take the fee.
    function test_cancel_isFreeWhenTheHostBlocksTheDriver() public {
        vm.warp(END_TIME - 1);
        _setStanding(driver.addr, Standing.Blocked);
        _cancel(driver.addr, FROM);
        _assertEnded(0);
    }

    function test_cancel_isFreeWhilePaused() public {
        vm.warp(END_TIME - 1);
        _pause();
        _cancel(driver.addr, FROM);
        _assertEnded(0);
    }

    function test_cancel_isFreeWhenSomebodyElseOverstays() public {
        _open(other.addr, FROM_TIME);
        vm.warp(FROM_TIME);
        _cancel(driver.addr, FROM);
        _assertEnded(0);
    }

    function test_boundary_aSessionBeforeTheStartIsNoReason() public {
        _open(other.addr, FROM_TIME);
        vm.warp(FROM_TIME - 1);
        _cancel(driver.addr, FROM);
        _assertEnded(FEE);
    }

    function test_revert_NoBooking_cancel(uint32 from) public {
        vm.assume(from != FROM);
        _expectCancelRevert(driver.addr, from, abi.encodeWithSelector(IBookings.NoBooking.selector, EVSE, from));
    }

    function test_revert_NoBooking_cancelTwice() public {
        _cancel(driver.addr, FROM);
        _expectCancelRevert(driver.addr, FROM, abi.encodeWithSelector(IBookings.NoBooking.selector, EVSE, FROM));
        _assertEnded(0);
    }

    /// @dev Same place of the ring, other rounds.
    function test_revert_NoBooking_otherRounds() public {
        bytes memory reason = abi.encodeWithSelector(IBookings.NoBooking.selector, EVSE, FROM + RING);
        _expectCancelRevert(driver.addr, FROM + RING, reason);
        reason = abi.encodeWithSelector(IBookings.NoBooking.selector, EVSE, FROM - RING);
        _expectCancelRevert(driver.addr, FROM - RING, reason);
    }

    function test_revert_NotBooker(address who) public {
        vm.assume(who != driver.addr);
        bytes memory reason = abi.encodeWithSelector(IBookings.NotBooker.selector, EVSE, FROM, driver.addr, who);
        _expectCancelRevert(who, FROM, reason);
    }

    function test_revert_AlreadyCheckedIn_cancel() public {
        vm.warp(FROM_TIME);
        _open(driver.addr, END_TIME);
        bytes memory reason = abi.encodeWithSelector(IBookings.AlreadyCheckedIn.selector, EVSE, FROM);
        _expectCancelRevert(driver.addr, FROM, reason);
    }

    // No-show

    function test_noShow(uint256 time, address who) public {
        vm.warp(bound(time, FROM_TIME + 30 minutes, START + 62 days));
        vm.expectEmit(address(bookings));
        emit IBookings.NoShow(EVSE, driver.addr, FROM, COST - FEE, FEE);
        vm.prank(who);
        bookings.noShow(EVSE, FROM);
        _assertEnded(FEE);
    }

    function test_revert_TooSoonForNoShow(uint256 time) public {
        uint256 until = FROM_TIME + 30 minutes;
        time = bound(time, START, until - 1);
        vm.warp(time);
        vm.expectRevert(abi.encodeWithSelector(IBookings.TooSoonForNoShow.selector, EVSE, FROM, time, until));
        bookings.noShow(EVSE, FROM);
    }

    function test_noShow_freesWhatIsLeft() public {
        vm.warp(FROM_TIME + 30 minutes);
        bookings.noShow(EVSE, FROM);
        _book(other.addr, FROM + 3, COUNT - 3);
        assertEq(_takenIn(FROM, COUNT), COUNT - 3, "the rest");
    }

    function test_revert_NoBooking_noShow(uint32 from) public {
        vm.assume(from != FROM);
        vm.warp(END_TIME);
        vm.expectRevert(abi.encodeWithSelector(IBookings.NoBooking.selector, EVSE, from));
        bookings.noShow(EVSE, from);
    }

    function test_revert_NoBooking_noShowOfABlock() public {
        _block(FROM + COUNT, 1);
        vm.warp(START + 1 days);
        vm.expectRevert(abi.encodeWithSelector(IBookings.NoBooking.selector, EVSE, FROM + COUNT));
        bookings.noShow(EVSE, FROM + COUNT);
    }

    function test_revert_AlreadyCheckedIn_noShow() public {
        vm.warp(FROM_TIME);
        _open(driver.addr, END_TIME);
        vm.warp(END_TIME);
        vm.expectRevert(abi.encodeWithSelector(IBookings.AlreadyCheckedIn.selector, EVSE, FROM));
        bookings.noShow(EVSE, FROM);
    }

    /// @dev Who could not come shall not pay for it because somebody was quicker than the cancellation.
    function test_noShow_costsNothingWhileTheEvseCannotServe() public {
        vm.warp(FROM_TIME + 30 minutes);
        _setStatus(Status.Faulted);
        bookings.noShow(EVSE, FROM);
        _assertEnded(0);
    }

    /// @dev Else who did not come could wait until the EVSE is busy, and have it ended then.
    function test_noShow_costsTheFeeWhenTheTimeIsOver() public {
        vm.warp(END_TIME);
        _open(other.addr, END_TIME + 1 hours);
        bookings.noShow(EVSE, FROM);
        _assertEnded(FEE);
    }

    /// @dev The day's word belongs to another day by then, and must stay as it is.
    function test_noShow_afterTheRingWentOn() public {
        vm.warp(START + 2 days);
        _book(other.addr, FROM + RING + 1, 4);
        bookings.noShow(EVSE, FROM);
        assertEq(_takenIn(FROM + RING + 1, 4), 4, "the other's");
        assertEq(_wallet(driver.addr), WALLET - FEE, "wallet");
    }

    /// @dev The fee rounds down, in the driver's favour, and is never more than what was held.
    function test_fee_isTheSharesFloor(uint72 deposit, uint64 each, uint16 bps, uint16 count) public {
        BookingTerms memory terms = BookingTerms(
            uint72(bound(deposit, 0, 1e12)), uint64(bound(each, 0, 1e10)), 0, uint16(bound(bps, 0, 10_000)), 96
        );
        count = uint16(bound(count, 1, 96));
        uint256 held = terms.deposit + uint256(count) * terms.pricePerInterval;
        _deposit(other.addr, held + 1);
        uint256 before = _wallet(other.addr);
        _setTerms(terms);
        _book(other.addr, FROM + COUNT, count);
        assertEq(_wallet(other.addr), before - held, "held");
        vm.warp((FROM + COUNT) * INTERVAL_S + 30 minutes);
        bookings.noShow(EVSE, FROM + COUNT);
        assertEq(_fees(), held * terms.noShowBps / 10_000, "fee");
        assertEq(_wallet(other.addr) + _fees(), before, "conserved");
    }
}
