// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Vm} from "forge-std/Vm.sol";
import "../src/IProtocol.sol";
import {BaseTest} from "./BaseTest.sol";
import {SmartAccount} from "./SmartAccount.sol";

/// @notice How an open session changes by its driver's signature. By a reading: Settlement.keepOpen.t.sol.
contract SettlementAmendTest is BaseTest {
    uint256 private constant K1_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
    uint40 private constant DEPARTURE = uint40(START + 4 hours);
    uint40 private constant LATEST = uint40(START + 7 days);

    Vm.Wallet private other = vm.createWallet("other driver");
    Terms private open;

    function setUp() public override {
        super.setUp();
        vm.prank(other.addr);
        registry.registerDriver();
        open = _openFunded();
    }

    function _amendment(uint40 departure) private view returns (Amendment memory) {
        return Amendment(open.session, 15_000, departure, 2, uint40(block.timestamp + 10 minutes));
    }

    function _signAmendment(Amendment memory amendment) private view returns (bytes memory) {
        return _sign(driver, settlement.amendmentHash(amendment));
    }

    /// @dev What the terms become.
    function _after(Amendment memory amendment) private view returns (Terms memory terms) {
        terms = open;
        (terms.energyWh, terms.departure) = (amendment.energyWh, amendment.departure);
    }

    function _assertCommitted(Terms memory terms, SessionState expected) private view {
        (bytes26 commitment, uint40 time, SessionState state) = settlement.placeAt(terms.evse, terms.place);
        assertEq(bytes32(commitment), bytes32(bytes26(keccak256(abi.encode(terms)))), "commitment");
        assertEq(time, block.timestamp, "time");
        assertEq(uint8(state), uint8(expected), "state");
    }

    function _amend(Amendment memory amendment) private returns (Terms memory terms) {
        terms = _after(amendment);
        bytes memory signature = _signAmendment(amendment);
        vm.expectEmit(address(settlement));
        emit ISettlement.SessionAmended(SITE, driver.addr, EVSE, terms);
        vm.prank(stranger);
        settlement.amendFor(open, amendment, signature);
        _assertCommitted(terms, SessionState.Active);
        open = terms;
    }

    function _expectAmendRevert(Amendment memory amendment, bytes memory reason) private {
        bytes memory signature = _signAmendment(amendment);
        vm.expectRevert(reason);
        settlement.amendFor(open, amendment, signature);
    }

    function _badDeparture(uint40 departure, uint256 from, uint256 until) private pure returns (bytes memory) {
        return abi.encodeWithSelector(ISettlement.BadDeparture.selector, departure, from, until);
    }

    function _mismatch() private view returns (bytes memory) {
        return abi.encodeWithSelector(ISettlement.TermsMismatch.selector, open.session);
    }

    /// @dev Computed here from the standard, not from the contract.
    function test_amendmentHash_isEip712Digest(Amendment calldata a) public view {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Provolt"),
                keccak256("1"),
                block.chainid,
                address(settlement)
            )
        );
        bytes32 typeHash =
            keccak256("Amendment(bytes32 session,uint32 energyWh,uint40 departure,uint64 nonce,uint40 validUntil)");
        bytes32 hash = keccak256(abi.encode(typeHash, a.session, a.energyWh, a.departure, a.nonce, a.validUntil));
        bytes32 expected = keccak256(abi.encodePacked(hex"1901", domain, hash));
        assertEq(settlement.amendmentHash(a), expected, "digest");
    }

    // Amendments

    function test_amendFor(uint32 energyWh, uint40 departure, uint64 nonce, uint40 time) public {
        vm.warp(bound(time, START, DEPARTURE));
        Amendment memory amendment = _amendment(uint40(bound(departure, block.timestamp, LATEST)));
        amendment.energyWh = energyWh;
        amendment.nonce = uint64(bound(nonce, 2, type(uint64).max));
        _amend(amendment);
        assertTrue(settlement.isNonceUsed(driver.addr, amendment.nonce), "nonce");
        assertEq(settlement.balanceOf(driver.addr), 0, "the hold stays as it is");
        assertEq(settlement.accounted(), HELD, "accounted");
        (bool isOpen, uint16 place) = settlement.openAt(EVSE);
        assertTrue(isOpen && place == open.place, "where it was");
    }

    function test_amendFor_stopNow(uint40 time) public {
        time = uint40(bound(time, START, DEPARTURE));
        vm.warp(time);
        _amend(_amendment(time));
        assertEq(open.departure, time, "departure");
    }

    /// @dev Whoever stops early pays the idle fee from then on.
    function test_amendFor_theBillFollows(uint256 early) public {
        Tariff memory tariff = _flatTariff();
        tariff.idleFeePerMinute = 1_000;
        _settle(open, _begin(0, 1), _end(0, 2));
        vm.prank(owner);
        registry.setTariff(_only(EVSE), tariff);
        Request memory request = _request();
        (request.nonce, request.tariffHash) = (3, _tariffHash(tariff));
        open = _open(request, tariff, _signRequest(request));
        SignedReading[] memory readings = new SignedReading[](2);
        readings[0] = _signed(_begin(0, 3));

        early = bound(early, 0, 4 hours);
        vm.warp(DEPARTURE - early);
        _amend(_amendment(uint40(block.timestamp)));
        vm.warp(DEPARTURE + 10 minutes);
        readings[1] = _signed(_end(0, 4));
        Bill memory bill = _settle(open, tariff, readings);
        assertEq(bill.amount, (early + 10 minutes) / 60 * 1_000, "idle");
    }

    function test_amendFor_worksWhilePausedAndRemoved() public {
        vm.prank(guardian);
        registry.setPaused(true);
        vm.prank(owner);
        registry.removeAsset(EVSE);
        _amend(_amendment(LATEST));
        assertEq(open.departure, LATEST, "departure");
    }

    /// @dev One after the other, each from the terms that the one before left.
    function test_amendFor_again(uint40 first, uint40 second) public {
        Amendment memory amendment = _amendment(uint40(bound(first, START, LATEST)));
        _amend(amendment);
        amendment.nonce = 3;
        amendment.departure = uint40(bound(second, START, LATEST));
        _amend(amendment);
        assertEq(open.departure, amendment.departure, "departure");
    }

    function test_boundary_departureAtMaxStay(uint40 time) public {
        vm.warp(bound(time, START, DEPARTURE));
        _expectAmendRevert(_amendment(LATEST + 1), _badDeparture(LATEST + 1, block.timestamp, LATEST));
        _amend(_amendment(LATEST));
        assertEq(open.departure, LATEST, "departure");
    }

    function test_revert_BadDeparture(uint40 departure, uint40 time) public {
        vm.warp(bound(time, START, DEPARTURE));
        uint40 past = uint40(bound(departure, 0, block.timestamp - 1));
        _expectAmendRevert(_amendment(past), _badDeparture(past, block.timestamp, LATEST));
        uint40 far = uint40(bound(departure, LATEST + 1, type(uint40).max));
        _expectAmendRevert(_amendment(far), _badDeparture(far, block.timestamp, LATEST));
    }

    /// @dev An idle fee that runs is not signed away, not even after unplugging and before settlement.
    function test_revert_BadDeparture_departurePassed(uint40 departure, uint40 time) public {
        vm.warp(bound(time, DEPARTURE + 1, type(uint40).max - 1 days));
        _expectAmendRevert(_amendment(departure), _badDeparture(departure, block.timestamp, DEPARTURE));
        assertEq(uint8(_stateOf(open)), uint8(SessionState.Active), "as it was");
    }

    function test_boundary_departureIsTheLastSecond() public {
        vm.warp(DEPARTURE);
        _amend(_amendment(DEPARTURE + 1));
        assertEq(open.departure, DEPARTURE + 1, "departure");
    }

    function test_revert_SignatureExpired(uint40 validUntil, uint40 time) public {
        time = uint40(bound(time, START, DEPARTURE));
        Amendment memory amendment = _amendment(LATEST);
        amendment.validUntil = time;
        vm.warp(time);
        uint256 before = vm.snapshotState();
        _amend(amendment);
        vm.revertToState(before);
        amendment.validUntil = uint40(bound(validUntil, 0, time - 1));
        _expectAmendRevert(
            amendment, abi.encodeWithSelector(ISettlement.SignatureExpired.selector, amendment.validUntil, time)
        );
    }

    function test_revert_BadSignature_otherMember(uint256 member, uint32 change) public {
        Amendment memory amendment = _amendment(DEPARTURE);
        bytes memory signature = _signAmendment(amendment);
        member = bound(member, 0, 3);
        change = uint32(bound(change, 1, 3 hours));
        if (member == 0) amendment.energyWh += change;
        else if (member == 1) amendment.departure += change;
        else if (member == 2) amendment.nonce += change;
        else amendment.validUntil += change;
        _expectBadSignature(amendment, signature);
    }

    function _expectBadSignature(Amendment memory amendment, bytes memory signature) private {
        bytes32 digest = settlement.amendmentHash(amendment);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.BadSignature.selector, digest, driver.addr));
        settlement.amendFor(open, amendment, signature);
    }

    function test_revert_BadSignature_notTheDriver(bytes calldata signature) public {
        Amendment memory amendment = _amendment(DEPARTURE);
        bytes32 digest = settlement.amendmentHash(amendment);
        _expectBadSignature(amendment, signature);
        _expectBadSignature(amendment, _sign(other, digest));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(driver.privateKey, digest);
        _expectBadSignature(amendment, abi.encodePacked(r, bytes32(K1_ORDER - uint256(s)), v ^ 7));
    }

    function test_revert_BadSignature_otherChain(uint64 chain) public {
        chain = uint64(bound(chain, 1, type(uint64).max - 1));
        vm.assume(chain != block.chainid);
        Amendment memory amendment = _amendment(DEPARTURE);
        bytes memory signature = _signAmendment(amendment);
        vm.chainId(chain);
        _expectBadSignature(amendment, signature);
    }

    function test_revert_TermsMismatch_otherSessionsAmendment(bytes32 session) public {
        vm.assume(session != open.session);
        Amendment memory amendment = _amendment(DEPARTURE);
        amendment.session = session;
        _expectAmendRevert(amendment, _mismatch());
    }

    function test_revert_NonceUsed_replay() public {
        Amendment memory amendment = _amendment(LATEST);
        _amend(amendment);
        _expectAmendRevert(amendment, abi.encodeWithSelector(ISettlement.NonceUsed.selector, driver.addr, 2));
        amendment.nonce = 1;
        _expectAmendRevert(amendment, abi.encodeWithSelector(ISettlement.NonceUsed.selector, driver.addr, 1));
    }

    /// @dev The place commits to the last terms only, for every act.
    function test_revert_TermsMismatch_staleTerms(uint40 departure) public {
        departure = uint40(bound(departure, START, LATEST));
        vm.assume(departure != DEPARTURE);
        Terms memory stale = open;
        _amend(_amendment(departure));
        Terms memory current = open;
        open = stale;
        Amendment memory amendment = _amendment(DEPARTURE);
        amendment.nonce = 3;
        _expectAmendRevert(amendment, _mismatch());

        SignedReading[] memory readings = _pair(_begin(0, 1), _end(0, 2));
        vm.startPrank(oracle);
        vm.expectRevert(_mismatch());
        settlement.settle(stale, _flatTariff(), readings);
        vm.expectRevert(_mismatch());
        settlement.keepOpen(stale, readings[0]);
        vm.warp(LATEST + 2 days);
        vm.expectRevert(_mismatch());
        settlement.reclaim(stale);
        vm.stopPrank();
        _assertHeld(current);
    }

    function _assertHeld(Terms memory terms) private {
        vm.prank(stranger);
        settlement.reclaim(terms);
        assertEq(settlement.balanceOf(driver.addr), HELD, "the present terms serve");
    }

    function test_revert_TermsMismatch_anyOtherTerms(uint256 member, uint256 bit) public {
        Amendment memory amendment = _amendment(DEPARTURE);
        bytes memory signature = _signAmendment(amendment);
        bytes memory call = abi.encodeCall(ISettlement.amendFor, (open, amendment, signature));
        // The EVSE and the place say where to look; there, nothing is open.
        member = bound(member, 0, 15);
        uint256 index = 4 + 32 * member + bound(bit, 0, 255) / 8;
        call[index] = bytes1(uint8(call[index]) ^ uint8(1 << (bit % 8)));
        (bool ok, bytes memory reason) = address(settlement).call(call);
        assertFalse(ok, "refused");
        bool elsewhere = member == 2 || member == 14;
        bytes4 expected = elsewhere ? ISettlement.WrongState.selector : ISettlement.TermsMismatch.selector;
        if (member != 14) assertEq(bytes4(reason), expected, "reason");
    }

    function test_revert_WrongState_settledOrReclaimed() public {
        uint256 before = vm.snapshotState();
        _settle(open, _begin(0, 1), _end(0, 2));
        _expectAmendRevert(_amendment(DEPARTURE), _wrongState(SessionState.Settled));
        vm.revertToState(before);
        vm.warp(DEPARTURE + 1 days);
        settlement.reclaim(open);
        _expectAmendRevert(_amendment(DEPARTURE), _wrongState(SessionState.Reclaimed));
    }

    function _wrongState(SessionState state) private view returns (bytes memory) {
        return abi.encodeWithSelector(ISettlement.WrongState.selector, open.session, state, SessionState.Active);
    }

    function test_amendFor_smartAccount() public {
        SmartAccount account = new SmartAccount(other.addr);
        vm.prank(address(account));
        registry.registerDriver();
        _settle(open, _begin(0, 1), _end(0, 2));
        Request memory request = _request();
        (request.driver, request.totalCeiling) = (address(account), 0);
        open = _open(request, _flatTariff(), _sign(other, settlement.sessionId(request)));

        Amendment memory amendment = _amendment(LATEST);
        bytes32 digest = settlement.amendmentHash(amendment);
        bytes memory signature = _sign(other, digest);
        bytes memory wrong = _sign(driver, digest);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.BadSignature.selector, digest, address(account)));
        settlement.amendFor(open, amendment, wrong);
        settlement.amendFor(open, amendment, signature);
        _assertCommitted(_after(amendment), SessionState.Active);
    }

    // Bookings of others

    function _book(address who, uint32 from, uint16 count) private {
        vm.prank(owner);
        bookings.setTerms(EVSE, BookingTerms(0, 0, 0, 0, 96));
        (, uint8 version) = bookings.termsOf(EVSE);
        vm.prank(who);
        bookings.book(EVSE, from, count, version, 0);
    }

    /// @dev A stay until 08:00 ends before a booking from 08:00 begins.
    function test_revert_IntervalTaken_bookedByOthers(uint40 departure) public {
        uint40 from = uint40(START + 8 hours);
        _book(other.addr, FIRST + 32, 4);
        departure = uint40(bound(departure, from + 1, LATEST));
        _expectAmendRevert(
            _amendment(departure), abi.encodeWithSelector(IBookings.IntervalTaken.selector, EVSE, FIRST + 32)
        );
        _amend(_amendment(from));
        assertEq(open.departure, from, "departure");
    }

    function test_amendFor_ownBookingIsNoObstacle() public {
        _book(driver.addr, FIRST + 32, 4);
        _amend(_amendment(LATEST));
        assertEq(open.departure, LATEST, "departure");
        assertFalse(bookings.bookingAt(EVSE, FIRST + 32).checkedIn, "an amendment checks nothing in");
    }

    /// @dev Who leaves earlier takes nobody's time, even where the host has got in between meanwhile.
    function test_amendFor_earlierIsAlwaysFree(uint40 departure) public {
        _book(other.addr, FIRST + 1, 1);
        _amend(_amendment(uint40(bound(departure, START, DEPARTURE))));
        assertLe(open.departure, DEPARTURE, "departure");
    }
}
