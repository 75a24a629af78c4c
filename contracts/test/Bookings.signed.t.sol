// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Bookings} from "../src/Bookings.sol";
import "../src/IProtocol.sol";
import {BookingsTest} from "./BookingsTest.sol";
import {SmartAccount} from "./SmartAccount.sol";

contract BookingsSignedTest is BookingsTest {
    uint256 private constant CURVE_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    function _signRequest(BookingRequest memory request) private view returns (bytes memory) {
        return _sign(driver, bookings.bookingHash(request));
    }

    function _cancellation() private view returns (Cancellation memory) {
        return Cancellation(driver.addr, EVSE, FROM, 8, uint40(block.timestamp + 10 minutes));
    }

    function _signCancellation(Cancellation memory cancellation) private view returns (bytes memory) {
        return _sign(driver, bookings.cancellationHash(cancellation));
    }

    function _expectBadSignature(BookingRequest memory request, bytes memory signature) private {
        bytes32 digest = bookings.bookingHash(request);
        vm.expectRevert(abi.encodeWithSelector(IBookings.BadSignature.selector, digest, request.driver));
        bookings.bookFor(request, signature);
    }

    /// @dev Computed here from the standard, not from the contract.
    function _digest(uint256 chain, address place, bytes32 structHash) private pure returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Provolt bookings"),
                keccak256("1"),
                chain,
                place
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    function test_bookingHash_isEip712Digest(BookingRequest memory r) public view {
        bytes32 typeHash = keccak256(
            "BookingRequest(address driver,bytes32 evse,uint32 from,uint16 count,uint8 version,uint128 totalCeiling,uint64 nonce,uint40 validUntil)"
        );
        bytes memory head = abi.encode(typeHash, r.driver, r.evse, r.from, r.count);
        bytes32 structHash = keccak256(bytes.concat(head, abi.encode(r.version, r.totalCeiling, r.nonce, r.validUntil)));
        assertEq(bookings.bookingHash(r), _digest(block.chainid, address(bookings), structHash), "digest");
    }

    function test_cancellationHash_isEip712Digest(Cancellation memory c) public view {
        bytes32 typeHash =
            keccak256("Cancellation(address driver,bytes32 evse,uint32 from,uint64 nonce,uint40 validUntil)");
        bytes32 structHash = keccak256(abi.encode(typeHash, c.driver, c.evse, c.from, c.nonce, c.validUntil));
        assertEq(bookings.cancellationHash(c), _digest(block.chainid, address(bookings), structHash), "digest");
    }

    function test_bookFor(uint32 from, uint16 count, uint64 nonce, address relayer) public {
        BookingRequest memory request = _bookingRequest();
        request.count = uint16(bound(count, 1, 96));
        request.from = uint32(bound(from, FIRST + 1, FIRST + 6_000 - 96));
        request.nonce = nonce;
        request.totalCeiling = ANY;
        bytes memory signature = _signRequest(request);
        vm.prank(relayer);
        bookings.bookFor(request, signature);
        assertEq(bookings.bookingAt(EVSE, request.from).driver, driver.addr, "driver");
        assertEq(_wallet(driver.addr), WALLET - DEPOSIT - uint256(request.count) * EACH, "held");
        assertTrue(bookings.isNonceUsed(driver.addr, nonce), "nonce");
        assertFalse(bookings.isNonceUsed(driver.addr, nonce ^ 1), "its neighbour");
    }

    function test_cancelFor(uint64 nonce, address relayer) public {
        _book(driver.addr, FROM, COUNT);
        Cancellation memory cancellation = _cancellation();
        cancellation.nonce = nonce;
        bytes memory signature = _signCancellation(cancellation);
        vm.prank(relayer);
        bookings.cancelFor(cancellation, signature);
        assertEq(_takenIn(FROM, COUNT), 0, "free");
        assertEq(_wallet(driver.addr), WALLET, "all back");
        assertTrue(bookings.isNonceUsed(driver.addr, nonce), "nonce");
    }

    function test_smartAccountBooksAndCancels() public {
        SmartAccount account = new SmartAccount(driver.addr);
        _deposit(address(account), COST);
        BookingRequest memory request = _bookingRequest();
        request.driver = address(account);
        bookings.bookFor(request, _signRequest(request));
        assertEq(bookings.bookingAt(EVSE, FROM).driver, address(account), "driver");
        Cancellation memory cancellation = _cancellation();
        cancellation.driver = address(account);
        bookings.cancelFor(cancellation, _signCancellation(cancellation));
        assertEq(_wallet(address(account)), COST, "all back");
    }

    function test_revert_BadSignature_smartAccountOfAnotherKey() public {
        SmartAccount account = new SmartAccount(other.addr);
        BookingRequest memory request = _bookingRequest();
        request.driver = address(account);
        _expectBadSignature(request, _signRequest(request));
    }

    function test_boundary_validUntilIsTheLastSecond() public {
        BookingRequest memory request = _bookingRequest();
        bytes memory signature = _signRequest(request);
        vm.warp(request.validUntil);
        bookings.bookFor(request, signature);
        assertEq(_takenIn(FROM, COUNT), COUNT, "taken");
    }

    function test_revert_SignatureExpired(uint40 time) public {
        BookingRequest memory request = _bookingRequest();
        bytes memory signature = _signRequest(request);
        time = uint40(bound(time, request.validUntil + 1, type(uint40).max));
        vm.warp(time);
        vm.expectRevert(abi.encodeWithSelector(IBookings.SignatureExpired.selector, request.validUntil, time));
        bookings.bookFor(request, signature);
    }

    function test_revert_SignatureExpired_cancelFor() public {
        _book(driver.addr, FROM, COUNT);
        Cancellation memory cancellation = _cancellation();
        bytes memory signature = _signCancellation(cancellation);
        uint256 time = cancellation.validUntil + 1;
        vm.warp(time);
        vm.expectRevert(abi.encodeWithSelector(IBookings.SignatureExpired.selector, cancellation.validUntil, time));
        bookings.cancelFor(cancellation, signature);
    }

    // Replay

    function test_replay_sameRequestAfterCancelling() public {
        BookingRequest memory request = _bookingRequest();
        bytes memory signature = _signRequest(request);
        bookings.bookFor(request, signature);
        _cancel(driver.addr, FROM);
        vm.expectRevert(abi.encodeWithSelector(IBookings.NonceUsed.selector, driver.addr, request.nonce));
        bookings.bookFor(request, signature);
    }

    function test_replay_sameCancellationAfterBookingAgain() public {
        _book(driver.addr, FROM, COUNT);
        Cancellation memory cancellation = _cancellation();
        bytes memory signature = _signCancellation(cancellation);
        bookings.cancelFor(cancellation, signature);
        _book(driver.addr, FROM, COUNT);
        vm.expectRevert(abi.encodeWithSelector(IBookings.NonceUsed.selector, driver.addr, cancellation.nonce));
        bookings.cancelFor(cancellation, signature);
    }

    function test_replay_actsShareNonces() public {
        BookingRequest memory request = _bookingRequest();
        bookings.bookFor(request, _signRequest(request));
        Cancellation memory cancellation = _cancellation();
        cancellation.nonce = request.nonce;
        bytes memory signature = _signCancellation(cancellation);
        vm.expectRevert(abi.encodeWithSelector(IBookings.NonceUsed.selector, driver.addr, request.nonce));
        bookings.cancelFor(cancellation, signature);
    }

    function test_replay_onAnotherChain() public {
        BookingRequest memory request = _bookingRequest();
        bytes memory signature = _signRequest(request);
        vm.chainId(block.chainid + 1);
        _expectBadSignature(request, signature);
    }

    function test_replay_onAnotherContract() public {
        BookingRequest memory request = _bookingRequest();
        bytes memory signature = _signRequest(request);
        Bookings second = new Bookings(registry, ISettlement(address(settlement)));
        bytes32 digest = second.bookingHash(request);
        vm.expectRevert(abi.encodeWithSelector(IBookings.BadSignature.selector, digest, driver.addr));
        second.bookFor(request, signature);
    }

    /// @dev A request's signature is none for the cancellation of the same booking.
    function test_replay_asAnotherAct() public {
        _book(driver.addr, FROM, COUNT);
        bytes memory signature = _signRequest(_bookingRequest());
        Cancellation memory cancellation = _cancellation();
        bytes32 digest = bookings.cancellationHash(cancellation);
        vm.expectRevert(abi.encodeWithSelector(IBookings.BadSignature.selector, digest, driver.addr));
        bookings.cancelFor(cancellation, signature);
    }

    function test_malleability_theOtherSIsRefused() public {
        BookingRequest memory request = _bookingRequest();
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(driver.privateKey, bookings.bookingHash(request));
        bytes memory twin = abi.encodePacked(r, bytes32(CURVE_ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27));
        _expectBadSignature(request, twin);
    }

    function test_revert_BadSignature(uint8 field, uint256 change) public {
        BookingRequest memory request = _bookingRequest();
        bytes memory signature = _signRequest(request);
        change = bound(change, 1, type(uint8).max);
        field %= 8;
        if (field == 0) request.driver = other.addr;
        if (field == 1) request.evse = OTHER_EVSE;
        if (field == 2) request.from += uint32(change);
        if (field == 3) request.count += uint16(change);
        if (field == 4) request.version ^= uint8(change);
        if (field == 5) request.totalCeiling += uint128(change);
        if (field == 6) request.nonce += uint64(change);
        if (field == 7) request.validUntil += uint40(change);
        _expectBadSignature(request, signature);
        assertFalse(bookings.isNonceUsed(driver.addr, request.nonce), "nonce");
    }

    function test_revert_BadSignature_ofNobody(bytes memory signature) public {
        BookingRequest memory request = _bookingRequest();
        request.driver = address(0);
        _expectBadSignature(request, signature);
    }

    /// @dev The account is asked in a static call: whatever it tries meanwhile fails.
    function test_reentry_whileTheAccountIsAsked() public {
        SmartAccount account = new SmartAccount(driver.addr);
        _deposit(address(account), 2 * COST);
        account.setCallback(address(bookings), abi.encodeCall(IBookings.book, (EVSE, FROM + COUNT, COUNT, 1, ANY)));
        BookingRequest memory request = _bookingRequest();
        request.driver = address(account);
        bookings.bookFor(request, _signRequest(request));
        assertEq(_takenIn(FROM, 2 * COUNT), COUNT, "one booking");
        assertEq(_wallet(address(account)), COST, "held once");
    }
}
