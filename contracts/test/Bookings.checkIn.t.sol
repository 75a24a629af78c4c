// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {BookingsTest} from "./BookingsTest.sol";

contract BookingsCheckInTest is BookingsTest {
    function _requireFree(address who, uint256 departure) private view {
        bookings.requireFree(EVSE, who, uint40(departure));
    }

    function test_checkIn_refundsTheDepositAndPaysThePrice(uint256 time) public {
        _book(driver.addr, FROM, COUNT);
        vm.warp(bound(time, FROM_TIME, END_TIME - 1));
        _open(driver.addr, END_TIME);
        assertEq(_wallet(driver.addr), WALLET - COUNT * EACH, "wallet");
        assertEq(_fees(), COUNT * EACH, "price");
        assertTrue(bookings.bookingAt(EVSE, FROM).checkedIn, "checked in");
        assertEq(bookings.bookingAt(EVSE, FROM).price, COUNT * EACH, "remembered");
        assertEq(_takenIn(FROM, COUNT), COUNT, "still the driver's");
    }

    function test_checkIn_emitsCheckedIn() public {
        _book(driver.addr, FROM, COUNT);
        vm.expectEmit(address(bookings));
        emit IBookings.CheckedIn(EVSE, driver.addr, FROM, DEPOSIT, COUNT * EACH);
        vm.prank(address(settlement));
        (uint128 refund, uint128 fee) = bookings.checkIn(EVSE, driver.addr, uint40(END_TIME));
        assertEq(refund, DEPOSIT, "refund");
        assertEq(fee, COUNT * EACH, "fee");
    }

    function test_checkIn_ofABookingThatBeginsWithinTheStay(uint256 departure) public {
        _book(driver.addr, FROM, COUNT);
        departure = bound(departure, FROM_TIME + 1, START + 7 days);
        _open(driver.addr, departure);
        assertTrue(bookings.bookingAt(EVSE, FROM).checkedIn, "checked in");
    }

    function test_boundary_aStayThatEndsWhenABookingBegins() public {
        _book(driver.addr, FROM, COUNT);
        _open(driver.addr, FROM_TIME);
        assertFalse(bookings.bookingAt(EVSE, FROM).checkedIn, "not used");
        _close();
        _open(other.addr, FROM_TIME);
        _close();
        _expectOpenRevert(other.addr, FROM_TIME + 1, _taken(FROM));
    }

    function test_boundary_aBookingThatIsOver() public {
        _book(driver.addr, FROM, COUNT);
        vm.warp(END_TIME - 1);
        _expectOpenRevert(other.addr, END_TIME, _taken(FROM + COUNT - 1));
        vm.warp(END_TIME);
        _open(other.addr, END_TIME + 1);
        assertFalse(bookings.bookingAt(EVSE, FROM).checkedIn, "not the other's");
    }

    /// @dev Else a driver could pay for a piece of the stay only, and cancel the rest while the EVSE is occupied.
    function test_checkIn_ofEveryBookingOfTheStay() public {
        _book(driver.addr, FROM, 2);
        _book(driver.addr, FROM + 2, 2);
        _book(driver.addr, FROM + 10, 3);
        _open(driver.addr, (FROM + 11) * INTERVAL_S);
        assertTrue(bookings.bookingAt(EVSE, FROM).checkedIn, "first");
        assertTrue(bookings.bookingAt(EVSE, FROM + 3).checkedIn, "second");
        assertTrue(bookings.bookingAt(EVSE, FROM + 12).checkedIn, "third");
        assertEq(_wallet(driver.addr), WALLET - 7 * EACH, "prices");
        assertEq(_fees(), 7 * EACH, "fees");
    }

    function test_checkIn_onceOnly() public {
        _book(driver.addr, FROM, COUNT);
        vm.warp(FROM_TIME);
        _open(driver.addr, END_TIME);
        _close();
        _open(driver.addr, END_TIME);
        assertEq(_wallet(driver.addr), WALLET - COUNT * EACH, "paid once");
    }

    function test_checkIn_namesTheFirstIntervalOfSomebodyElse() public {
        _book(driver.addr, FROM, 4);
        _book(other.addr, FROM + 6, 4);
        _expectOpenRevert(driver.addr, (FROM + 7) * INTERVAL_S, _taken(FROM + 6));
        assertFalse(bookings.bookingAt(EVSE, FROM).checkedIn, "nothing happened");
    }

    function test_checkIn_ofABookingThatBeganYesterday() public {
        uint32 from = FIRST + DAY - 4;
        _book(driver.addr, from, 96);
        vm.warp(START + 1 days + 3 hours);
        _expectOpenRevert(other.addr, block.timestamp + 1, _taken(FIRST + DAY + 12));
        _open(driver.addr, block.timestamp + 1);
        assertTrue(bookings.bookingAt(EVSE, from).checkedIn, "checked in");
    }

    /// @dev Against a plain loop over the intervals of the stay.
    function test_requireFree(uint256 time, uint256 departure, uint32[4] memory from, uint16[4] memory count) public {
        for (uint256 i; i < 4; ++i) {
            count[i] = uint16(bound(count[i], 1, 96));
            from[i] = uint32(bound(from[i], FIRST + 1 + i * 200, FIRST + i * 200 + 100));
            _book(i % 2 == 0 ? driver.addr : other.addr, from[i], count[i]);
        }
        time = bound(time, START, START + 8 days);
        departure = bound(departure, time - 1, time + 7 days);
        vm.warp(time);
        for (uint256 k = time / INTERVAL_S; departure > time && k < (departure + 899) / INTERVAL_S; ++k) {
            for (uint256 i = 1; i < 4; i += 2) {
                if (k < from[i] || k >= uint256(from[i]) + count[i]) continue;
                vm.expectRevert(_taken(uint32(k)));
                _requireFree(driver.addr, departure);
                return;
            }
        }
        _requireFree(driver.addr, departure);
        assertEq(_wallet(driver.addr), WALLET - 2 * DEPOSIT - uint256(count[0] + count[2]) * EACH, "a view");
    }

    /// @dev Who leaves now takes nobody's time, even after having overstayed.
    function test_boundary_requireFreeOfWhoLeavesNow() public {
        _book(other.addr, FROM, COUNT);
        vm.warp(FROM_TIME + 1);
        _requireFree(driver.addr, FROM_TIME + 1);
        vm.expectRevert(_taken(FROM));
        _requireFree(driver.addr, FROM_TIME + 2);
    }

    function test_checkIn_hostsBlockRefusesOthersOnly() public {
        _block(FROM, COUNT);
        vm.warp(FROM_TIME);
        _expectOpenRevert(driver.addr, END_TIME, _taken(FROM));
        _open(owner, END_TIME);
        assertEq(_fees(), 0, "nothing to pay");
    }

    /// @dev A block is the site's, not the person's.
    function test_checkIn_hostsBlockIsTheNewOwners() public {
        _block(FROM, COUNT);
        vm.prank(owner);
        registry.proposeOwner(SITE, other.addr);
        vm.prank(other.addr);
        registry.acceptOwner(SITE);
        vm.warp(FROM_TIME);
        _expectOpenRevert(owner, END_TIME, _taken(FROM));
        _open(other.addr, END_TIME);
    }

    function test_revert_NotSettlement(address who) public {
        vm.assume(who != address(settlement));
        vm.expectRevert(abi.encodeWithSelector(IBookings.NotSettlement.selector, who));
        vm.prank(who);
        bookings.checkIn(EVSE, who, uint40(END_TIME));
    }

    function test_statusOf() public {
        assertEq(uint8(bookings.statusOf(EVSE)), uint8(Status.Available), "free");
        _book(driver.addr, FROM, COUNT);
        vm.warp(FROM_TIME - 1);
        assertEq(uint8(bookings.statusOf(EVSE)), uint8(Status.Available), "a second before");
        vm.warp(FROM_TIME);
        assertEq(uint8(bookings.statusOf(EVSE)), uint8(Status.Reserved), "booked");
        _open(driver.addr, END_TIME);
        assertEq(uint8(bookings.statusOf(EVSE)), uint8(Status.Occupied), "occupied");
        _setStatus(Status.Unavailable);
        assertEq(uint8(bookings.statusOf(EVSE)), uint8(Status.Unavailable), "unavailable");
        _setStatus(Status.Faulted);
        assertEq(uint8(bookings.statusOf(EVSE)), uint8(Status.Faulted), "faulted");
    }

    function test_statusOf_hostsBlockIsReserved() public {
        _block(FROM, COUNT);
        vm.warp(END_TIME - 1);
        assertEq(uint8(bookings.statusOf(EVSE)), uint8(Status.Reserved), "blocked");
        vm.warp(END_TIME);
        assertEq(uint8(bookings.statusOf(EVSE)), uint8(Status.Available), "over");
    }

    function test_statusOf_removedIsUnavailable() public {
        vm.prank(owner);
        registry.removeAsset(EVSE);
        assertEq(uint8(bookings.statusOf(EVSE)), uint8(Status.Unavailable), "removed");
    }
}
