// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import "../src/IProtocol.sol";
import {BaseTest} from "./BaseTest.sol";

/// @notice How a reading that shows that the car is still there puts off the end of a session, and how long.
contract SettlementKeepOpenTest is BaseTest {
    uint40 private constant DEPARTURE = uint40(START + 4 hours);
    uint40 private constant LATEST = uint40(START + 7 days);

    Terms private open;

    function setUp() public override {
        super.setUp();
        open = _openFunded();
    }

    function _assertCommitted(Terms memory terms) private view {
        (bytes26 commitment, uint40 time, SessionState state) = settlement.placeAt(terms.evse, terms.place);
        assertEq(bytes32(commitment), bytes32(bytes26(keccak256(abi.encode(terms)))), "commitment");
        assertEq(time, block.timestamp, "time");
        assertEq(uint8(state), uint8(SessionState.Active), "state");
    }

    function _mismatch() private view returns (bytes memory) {
        return abi.encodeWithSelector(ISettlement.TermsMismatch.selector, open.session);
    }

    function _presence(uint40 time) private view returns (SignedReading memory) {
        return _signed(MeterReading(EVSE, 5_000, 0, time, 9, ReadingContext.Interval));
    }

    function _keepOpen(uint40 time) private returns (Terms memory terms) {
        terms = open;
        terms.lastReading = time;
        SignedReading memory signed = _presence(time);
        vm.expectEmit(address(settlement));
        emit ISettlement.SessionAmended(SITE, driver.addr, EVSE, terms);
        vm.prank(oracle);
        settlement.keepOpen(open, signed);
        _assertCommitted(terms);
        open = terms;
    }

    function _expectKeepOpenRevert(SignedReading memory signed, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(oracle);
        settlement.keepOpen(open, signed);
    }

    function _outside(uint40 time, uint256 until) private view returns (bytes memory) {
        return abi.encodeWithSelector(ISettlement.OutsideSession.selector, open.session, time, START, until);
    }

    function _notLater(uint40 time, uint40 previous) private view returns (bytes memory) {
        return abi.encodeWithSelector(ISettlement.NotLater.selector, open.session, time, previous);
    }

    function test_keepOpen(uint40 time, uint40 present) public {
        time = uint40(bound(time, DEPARTURE + 1, LATEST));
        vm.warp(bound(present, time, type(uint40).max - 1 days));
        _keepOpen(time);
        assertEq(open.departure, DEPARTURE, "the departure stays, and the idle fee with it");
        assertEq(settlement.accounted(), HELD, "accounted");
    }

    function test_keepOpen_again(uint40 first, uint40 second) public {
        first = uint40(bound(first, DEPARTURE + 1, LATEST - 1));
        second = uint40(bound(second, first + 1, LATEST));
        vm.warp(second);
        _keepOpen(first);
        SignedReading memory same = _presence(first);
        _expectKeepOpenRevert(same, _notLater(first, first));
        _keepOpen(second);
        assertEq(open.lastReading, second, "last reading");
    }

    function test_revert_NotLater(uint40 time) public {
        time = uint40(bound(time, 0, DEPARTURE));
        vm.warp(DEPARTURE + 1);
        _expectKeepOpenRevert(_presence(time), _notLater(time, DEPARTURE));
        _keepOpen(DEPARTURE + 1);
        assertEq(open.lastReading, DEPARTURE + 1, "a second later it is");
    }

    function test_revert_OutsideSession_future(uint40 time) public {
        vm.warp(DEPARTURE + 1 hours);
        time = uint40(bound(time, block.timestamp + 1, type(uint40).max));
        _expectKeepOpenRevert(_presence(time), _outside(time, block.timestamp));
        _keepOpen(uint40(block.timestamp));
        assertEq(open.lastReading, block.timestamp, "now is not the future");
    }

    /// @dev A host has its meter's key: without an end it could keep a hold for ever.
    function test_revert_OutsideSession_beyondMaxStay(uint40 time) public {
        time = uint40(bound(time, LATEST + 1, type(uint40).max - 1 days));
        vm.warp(time);
        _expectKeepOpenRevert(_presence(time), _outside(time, LATEST));
        _keepOpen(LATEST);
        vm.warp(Math.max(time, LATEST + 1 days));
        settlement.reclaim(open);
        assertEq(settlement.balanceOf(driver.addr), HELD, "the hold came back");
    }

    function test_revert_NotAuthorised(address who, uint8 rights) public {
        vm.assume(who != owner && who != oracle);
        rights = uint8(bound(rights, 0, 7)) & ~RIGHT_SETTLE;
        vm.prank(owner);
        registry.setDelegate(SITE, who, rights, type(uint40).max);
        vm.warp(DEPARTURE + 1);
        SignedReading memory signed = _presence(DEPARTURE + 1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotAuthorised.selector, SITE, who, RIGHT_SETTLE));
        vm.prank(who);
        settlement.keepOpen(open, signed);
    }

    function test_revert_WrongMeter_context() public {
        vm.warp(DEPARTURE + 1);
        SignedReading[2] memory signed = [_signed(_begin(5_000, 9)), _signed(_end(5_000, 9))];
        for (uint256 i; i < 2; ++i) {
            _expectWrongMeter(signed[i]);
        }
    }

    function test_revert_WrongMeter_otherKeyOrAsset() public {
        vm.warp(DEPARTURE + 1);
        MeterReading memory reading = MeterReading(EVSE, 5_000, 0, DEPARTURE + 1, 9, ReadingContext.Interval);
        SignedReading memory forged = _signed(otherMeter, reading);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISettlement.WrongMeter.selector, open.session, _meterId(otherMeter.addr), _meterId(meter.addr)
            )
        );
        vm.prank(oracle);
        settlement.keepOpen(open, forged);
        reading.asset = OTHER_EVSE;
        _expectWrongMeter(_signed(reading));
    }

    function test_revert_WrongMeter_otherMember(uint256 member, uint32 change) public {
        vm.warp(DEPARTURE + 1 hours);
        SignedReading memory signed = _presence(DEPARTURE + 1);
        change = uint32(bound(change, 1, 1 hours - 1));
        member = bound(member, 0, 3);
        if (member == 0) signed.importWh += change;
        else if (member == 1) signed.exportWh += change;
        else if (member == 2) signed.time += change;
        else signed.counter += change;
        _expectWrongMeter(signed);
    }

    function _expectWrongMeter(SignedReading memory signed) private {
        vm.expectPartialRevert(ISettlement.WrongMeter.selector);
        vm.prank(oracle);
        settlement.keepOpen(open, signed);
    }

    function test_revert_TermsMismatch_staleTermsAfterKeepOpen() public {
        Terms memory stale = open;
        vm.warp(DEPARTURE + 1 days);
        _keepOpen(DEPARTURE + 1 hours);
        vm.expectRevert(_mismatch());
        settlement.reclaim(stale);
        SignedReading memory signed = _presence(DEPARTURE + 2 hours);
        vm.expectRevert(_mismatch());
        vm.prank(oracle);
        settlement.keepOpen(stale, signed);
        Bill memory bill = _settle(open, _begin(0, 1), _end(10_000, 2));
        assertEq(bill.amount, 10 * PRICE, "the present terms serve");
    }
}
