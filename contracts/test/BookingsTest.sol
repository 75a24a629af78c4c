// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Vm} from "forge-std/Vm.sol";
import "../src/IProtocol.sol";
import {BaseTest} from "./BaseTest.sol";

/// @notice The demo site with terms for its first EVSE, and two drivers with money.
abstract contract BookingsTest is BaseTest {
    uint72 internal constant DEPOSIT = 5e6;
    uint64 internal constant EACH = 100_000;
    uint24 internal constant CANCEL_BEFORE = 2 hours;
    uint16 internal constant NO_SHOW_BPS = 2_500;
    uint128 internal constant WALLET = 100e6;
    uint128 internal constant ANY = type(uint128).max;
    /// @dev 10:00 of the first day, and what most tests book.
    uint32 internal constant FROM = FIRST + 40;
    uint16 internal constant COUNT = 8;
    uint256 internal constant COST = DEPOSIT + COUNT * EACH;
    uint256 internal constant FROM_TIME = FROM * INTERVAL_S;
    uint256 internal constant END_TIME = (FROM + COUNT) * INTERVAL_S;
    /// @dev Intervals of a day, and of the ring.
    uint32 internal constant DAY = 96;
    uint32 internal constant RING = 64 * DAY;

    Vm.Wallet internal other = vm.createWallet("other driver");
    Vm.Wallet private _host = vm.createWallet("owner");
    uint64 private _nonce = 1_000;
    Terms private _session;

    function setUp() public virtual override {
        super.setUp();
        vm.prank(other.addr);
        registry.registerDriver();
        vm.prank(owner);
        registry.registerDriver();
        _deposit(driver.addr, WALLET);
        _deposit(other.addr, WALLET);
        _setTerms(_terms());
    }

    function _terms() internal pure returns (BookingTerms memory) {
        return BookingTerms(DEPOSIT, EACH, CANCEL_BEFORE, NO_SHOW_BPS, 96);
    }

    function _setTerms(BookingTerms memory terms) internal {
        vm.prank(owner);
        bookings.setTerms(EVSE, terms);
    }

    function _version() internal view returns (uint8 version) {
        (, version) = bookings.termsOf(EVSE);
    }

    function _book(address who, uint32 from, uint16 count) internal {
        uint8 version = _version();
        vm.prank(who);
        bookings.book(EVSE, from, count, version, ANY);
    }

    function _expectBookRevert(address who, uint32 from, uint16 count, bytes memory reason) internal {
        uint8 version = _version();
        vm.expectRevert(reason);
        vm.prank(who);
        bookings.book(EVSE, from, count, version, ANY);
    }

    function _cancel(address who, uint32 from) internal {
        vm.prank(who);
        bookings.cancel(EVSE, from);
    }

    function _expectCancelRevert(address who, uint32 from, bytes memory reason) internal {
        vm.expectRevert(reason);
        vm.prank(who);
        bookings.cancel(EVSE, from);
    }

    function _block(uint32 from, uint16 count) internal {
        vm.prank(owner);
        bookings.blockIntervals(EVSE, from, count);
    }

    function _setStatus(Status status) internal {
        vm.prank(owner);
        registry.setStatus(EVSE, status, "");
    }

    function _pause() internal {
        vm.prank(guardian);
        registry.setPaused(true);
    }

    /// @dev What fees have come to for the site so far.
    function _fees() internal view returns (uint256 claimable) {
        (claimable,) = settlement.claimableOf(SITE);
    }

    function _wallet(address who) internal view returns (uint256) {
        return settlement.balanceOf(who);
    }

    /// @dev Intervals of the run that are taken, as a count.
    function _takenIn(uint32 from, uint16 count) internal view returns (uint256 taken) {
        for (uint256 i = from; i < uint256(from) + count; ++i) {
            taken += bookings.takenOn(EVSE, i / DAY) >> (i % DAY) & 1;
        }
    }

    function _taken(uint32 interval) internal view returns (bytes memory) {
        return abi.encodeWithSelector(IBookings.IntervalTaken.selector, EVSE, interval);
    }

    /// @dev A session that costs nothing, so that wallets show what bookings cost.
    function _sessionOf(address who, uint256 departure)
        private
        returns (Request memory request, bytes memory signature)
    {
        request = _request();
        request.driver = who;
        request.departure = uint40(departure);
        request.totalCeiling = 0;
        request.nonce = _nonce++;
        Vm.Wallet memory wallet = who == driver.addr ? driver : who == owner ? _host : other;
        signature = _sign(wallet, settlement.sessionId(request));
    }

    function _open(address who, uint256 departure) internal {
        (Request memory request, bytes memory signature) = _sessionOf(who, departure);
        _session = _open(request, _flatTariff(), signature);
    }

    function _expectOpenRevert(address who, uint256 departure, bytes memory reason) internal {
        (Request memory request, bytes memory signature) = _sessionOf(who, departure);
        vm.expectRevert(reason);
        vm.prank(oracle);
        settlement.openSession(request, _flatTariff(), signature);
    }

    /// @dev Ends the last session without any energy.
    function _close() internal {
        _settle(_session, _begin(0, uint64(_nonce++)), _end(0, uint64(_nonce++)));
    }

    function _bookingRequest() internal view returns (BookingRequest memory) {
        return BookingRequest({
            driver: driver.addr,
            evse: EVSE,
            from: FROM,
            count: COUNT,
            version: _version(),
            totalCeiling: uint128(COST),
            nonce: 7,
            validUntil: uint40(block.timestamp + 10 minutes)
        });
    }
}
