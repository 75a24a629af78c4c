// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {BookingsTest} from "./BookingsTest.sol";

/// @notice Gas of whole transactions in steady state: one round of the ring before, everything was used already.
/// forge-config: default.isolate = true
contract GasBookingsTest is BookingsTest {
    string private constant GROUP = "Provolt";
    uint32 private constant LATER = FROM + RING;

    /// @dev A booking that was made and cancelled, and 64 days later one that was made and kept.
    function _warm() private {
        _book(driver.addr, FROM, COUNT);
        _cancel(driver.addr, FROM);
        vm.warp(START + 64 days);
        _book(driver.addr, LATER + 2 * COUNT, COUNT);
    }

    function test_gas_book() public {
        _warm();
        vm.prank(driver.addr);
        bookings.book(EVSE, LATER, COUNT, 1, uint128(COST));
        vm.snapshotGasLastCall("Targets", "book");
        assertEq(_takenIn(LATER, COUNT), COUNT, "taken");
    }

    function test_gas_bookFor() public {
        _warm();
        BookingRequest memory request = _bookingRequest();
        bytes memory first = _sign(driver, bookings.bookingHash(_elsewhere(request)));
        bookings.bookFor(_elsewhere(request), first);
        request.from = LATER;
        bytes memory signature = _sign(driver, bookings.bookingHash(request));
        vm.prank(oracle);
        bookings.bookFor(request, signature);
        vm.snapshotGasLastCall(GROUP, "bookFor");
        assertEq(_takenIn(LATER, COUNT), COUNT, "taken");
    }

    /// @dev Uses a nonce of the same word.
    function _elsewhere(BookingRequest memory request) private pure returns (BookingRequest memory elsewhere) {
        elsewhere = abi.decode(abi.encode(request), (BookingRequest));
        elsewhere.nonce += 1;
        elsewhere.from = LATER + 4 * COUNT;
    }

    function test_gas_cancelBooking() public {
        _warm();
        _book(driver.addr, LATER, COUNT);
        vm.prank(driver.addr);
        bookings.cancel(EVSE, LATER);
        vm.snapshotGasLastCall(GROUP, "cancelBooking");
        assertEq(_takenIn(LATER, COUNT), 0, "free");
    }
}
