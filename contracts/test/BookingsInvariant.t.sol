// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {BaseTest} from "./BaseTest.sol";
import {BookingsHandler} from "./BookingsHandler.sol";

/// @notice The laws of bookings, after any sequence of what drivers, a host and Settlement do.
contract BookingsInvariantTest is BaseTest {
    BookingsHandler private handler;

    function setUp() public override {
        super.setUp();
        vm.prank(owner);
        bookings.setTerms(EVSE, BookingTerms(1e6, 1e5, 2 hours, 2_500, 96));
        handler = new BookingsHandler(registry, settlement, credit, minter, EVSE, SITE);
        for (uint256 i; i < 3; ++i) {
            handler.deposit(i, 1e9);
        }
        targetContract(address(handler));
    }

    /// @dev In the whole calendar: taken are the intervals that the model gave away, each to one run and none twice.
    function invariant_bookingsNeverOverlap() public view {
        uint256 today = block.timestamp / 1 days;
        for (uint256 day = today; day < today + 63; ++day) {
            assertEq(bookings.takenOn(EVSE, day), handler.takenOn(day), "taken");
        }
    }

    function invariant_everyBookingIsAsItWasMade() public view {
        uint256 present = block.timestamp / INTERVAL_S;
        for (uint256 i; i < handler.runCount(); ++i) {
            BookingsHandler.Run memory run = handler.runAt(i);
            if (!run.live || run.from + run.count <= present) continue;
            Booking memory booking = bookings.bookingAt(EVSE, uint32(run.from + run.count - 1));
            assertEq(booking.driver, run.driver, "driver");
            assertEq(booking.from, run.from, "from");
            assertEq(booking.count, run.count, "count");
            assertEq(booking.price, run.price, "price");
            assertEq(booking.deposit, run.deposit, "deposit");
            if (run.driver != address(0)) assertEq(booking.checkedIn, !run.open, "checked in");
        }
    }

    /// @dev Nothing but wallets, fees and what bookings hold; and all of it in tokens.
    function invariant_everyOpenBookingsMoneyIsHeld() public view {
        uint256 held;
        for (uint256 i; i < handler.runCount(); ++i) {
            BookingsHandler.Run memory run = handler.runAt(i);
            if (run.open) held += run.deposit + run.price;
        }
        uint256 wallets;
        address[3] memory drivers = handler.drivers();
        for (uint256 i; i < 3; ++i) {
            wallets += settlement.balanceOf(drivers[i]);
        }
        (uint256 claimable,) = settlement.claimableOf(SITE);
        assertEq(claimable, handler.fees(), "fees");
        assertEq(settlement.accounted(), handler.deposited() - handler.withdrawn(), "accounted");
        assertEq(settlement.accounted(), wallets + claimable + held, "wallets, fees and bookings");
        assertEq(credit.balanceOf(address(settlement)), settlement.accounted(), "tokens");
    }

    /// @dev The laws would hold for nothing if the handler never reached either verdict.
    function test_handlerReachesBothVerdicts() public {
        for (uint256 seed; seed < 100; ++seed) {
            uint256 random = uint256(keccak256(abi.encode(seed)));
            handler.book(random, random >> 16, random >> 32);
            handler.checkIn(random >> 48, random >> 64);
            handler.pass(random);
        }
        assertGt(handler.accepted(), 20, "accepted");
        assertGt(handler.refused(), 20, "refused");
    }
}
