// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import "../src/IProtocol.sol";
import {BaseTest} from "./BaseTest.sol";

/// @notice A hold comes back to its driver when nobody has settled in time.
contract SettlementReclaimTest is BaseTest {
    uint40 private constant DEPARTURE = uint40(START + 4 hours);
    uint40 private constant LATEST = uint40(START + 7 days);
    uint256 private constant DUE = DEPARTURE + 1 days;

    Terms private open;

    function setUp() public override {
        super.setUp();
        open = _openFunded();
    }

    function _amend(uint40 departure) private {
        Amendment memory amendment = Amendment(open.session, open.energyWh, departure, 2, type(uint40).max);
        bytes memory signature = _sign(driver, settlement.amendmentHash(amendment));
        settlement.amendFor(open, amendment, signature);
        open.departure = departure;
    }

    function _keepOpen(uint40 time) private {
        SignedReading memory signed = _signed(MeterReading(EVSE, 5_000, 0, time, 9, ReadingContext.Interval));
        vm.prank(oracle);
        settlement.keepOpen(open, signed);
        open.lastReading = time;
    }

    function _expectWrongState(Terms memory terms, SessionState state) private {
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.WrongState.selector, terms.session, state, SessionState.Active)
        );
        settlement.reclaim(terms);
    }

    /// @dev A second too soon it reverts, and on the second it does not.
    function _assertDueAt(uint256 due) private {
        vm.warp(due - 1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.TooSoonToReclaim.selector, open.session, due - 1, due));
        settlement.reclaim(open);
        vm.warp(due);
        settlement.reclaim(open);
        assertEq(settlement.balanceOf(driver.addr), HELD, "wallet");
        assertEq(uint8(_stateOf(open)), uint8(SessionState.Reclaimed), "state");
    }

    function test_reclaim(address who, uint256 time) public {
        time = bound(time, DUE, type(uint40).max);
        vm.warp(time);
        vm.expectEmit(address(settlement));
        emit ISettlement.SessionReclaimed(SITE, driver.addr, EVSE, open.session, HELD);
        vm.prank(who);
        settlement.reclaim(open);

        assertEq(settlement.balanceOf(driver.addr), HELD, "wallet");
        assertEq(settlement.accounted(), HELD, "accounted");
        (bool isOpen,) = settlement.openAt(EVSE);
        assertFalse(isOpen, "open");
        (bytes26 commitment, uint40 since, SessionState state) = settlement.placeAt(EVSE, open.place);
        assertEq(bytes32(commitment), bytes32(bytes26(keccak256(abi.encode(open)))), "commitment");
        assertEq(since, time, "time");
        assertEq(uint8(state), uint8(SessionState.Reclaimed), "state");
    }

    function test_reclaim_whilePausedAndRemoved() public {
        vm.prank(guardian);
        registry.setPaused(true);
        vm.prank(owner);
        registry.removeAsset(EVSE);
        _assertDueAt(DUE);
    }

    function test_revert_TooSoonToReclaim(uint256 time) public {
        time = bound(time, START, DUE - 1);
        vm.warp(time);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.TooSoonToReclaim.selector, open.session, time, DUE));
        vm.prank(driver.addr);
        settlement.reclaim(open);
    }

    function test_boundary_afterDeparture(uint40 departure) public {
        _settle(open, _begin(0, 1), _end(0, 2));
        Request memory request = _request();
        request.nonce = 5;
        request.departure = uint40(bound(departure, START + 1, LATEST));
        open = _open(request);
        _assertDueAt(uint256(request.departure) + 1 days);
    }

    function test_boundary_afterAmendedDeparture(uint40 departure) public {
        _amend(uint40(bound(departure, START, LATEST)));
        _assertDueAt(uint256(open.departure) + 1 days);
    }

    function test_boundary_afterKeepOpen(uint40 time) public {
        time = uint40(bound(time, DEPARTURE + 1, LATEST));
        vm.warp(time);
        _keepOpen(time);
        _assertDueAt(uint256(time) + 1 days);
    }

    /// @dev The later of the two counts, whatever came first.
    function test_boundary_afterAmendedDepartureAndKeepOpen(uint40 departure, uint40 time) public {
        departure = uint40(bound(departure, START, LATEST - 1));
        _amend(departure);
        time = uint40(bound(time, departure + 1, LATEST));
        vm.warp(time);
        _keepOpen(time);
        _assertDueAt(Math.max(departure, time) + 1 days);
    }

    /// @dev Whatever drivers and hosts do, a hold that nobody settles is back eight days after the opening.
    function test_reclaim_latest(uint40 departure, uint40 time) public {
        _amend(uint40(bound(departure, START, LATEST)));
        time = uint40(bound(time, LATEST + 1, LATEST + 1 days));
        vm.warp(time);
        SignedReading memory signed = _signed(MeterReading(EVSE, 5_000, 0, time, 9, ReadingContext.Interval));
        vm.expectPartialRevert(ISettlement.OutsideSession.selector);
        vm.prank(oracle);
        settlement.keepOpen(open, signed);
        vm.warp(LATEST + 1 days);
        settlement.reclaim(open);
        assertEq(settlement.balanceOf(driver.addr), HELD, "wallet");
    }

    function test_revert_WrongState_twice() public {
        vm.warp(DUE);
        settlement.reclaim(open);
        _expectWrongState(open, SessionState.Reclaimed);
        assertEq(settlement.balanceOf(driver.addr), HELD, "once");
    }

    function test_revert_WrongState_settled() public {
        _settle(open, _begin(0, 1), _end(0, 2));
        vm.warp(DUE);
        _expectWrongState(open, SessionState.Settled);
    }

    function test_revert_WrongState_unknown(bytes32 evse, uint16 place) public {
        vm.assume(evse != EVSE || place != open.place);
        Terms memory terms = open;
        (terms.evse, terms.place) = (evse, place);
        vm.warp(DUE);
        _expectWrongState(terms, SessionState.None);
    }

    function test_revert_WrongState_settleAfterReclaim() public {
        vm.warp(DUE);
        settlement.reclaim(open);
        SignedReading[] memory readings = _pair(_begin(0, 1), _end(10_000, 2));
        vm.expectRevert(
            abi.encodeWithSelector(
                ISettlement.WrongState.selector, open.session, SessionState.Reclaimed, SessionState.Active
            )
        );
        vm.prank(oracle);
        settlement.settle(open, _flatTariff(), readings);
    }

    /// @dev Not a unit more, not to anybody else, not a second earlier than the session allows.
    function test_revert_TermsMismatch(uint128 held, address other, uint40 departure) public {
        vm.assume(held != HELD && other != driver.addr && departure != DEPARTURE);
        vm.warp(DUE);
        Terms[3] memory forged = [open, open, open];
        (forged[0].held, forged[1].driver, forged[2].departure) = (held, other, departure);
        for (uint256 i; i < forged.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(ISettlement.TermsMismatch.selector, open.session));
            settlement.reclaim(forged[i]);
        }
    }

    /// @dev A settler who comes late but before anybody reclaimed is still paid.
    function test_settle_afterGraceWhileUnclaimed(uint256 time) public {
        vm.warp(bound(time, DUE, type(uint40).max));
        Bill memory bill = _settle(open, _begin(0, 1), _end(10_000, 2));
        assertEq(bill.amount, 10 * PRICE, "bill");
        assertEq(settlement.balanceOf(driver.addr), HELD - 10 * PRICE, "wallet");
    }

    /// @dev A reclaimed session cannot be disputed: its place is free at once.
    function test_reclaim_placeIsUsedAgain() public {
        vm.warp(DUE);
        settlement.reclaim(open);
        Request memory request = _request();
        request.nonce = 2;
        Terms memory next = _open(request);
        assertEq(next.place, open.place, "place");
        assertEq(uint8(_stateOf(next)), uint8(SessionState.Active), "state");
        vm.warp(next.departure + 1 days);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.TermsMismatch.selector, open.session));
        settlement.reclaim(open);
        settlement.reclaim(next);
        assertEq(settlement.balanceOf(driver.addr), HELD, "wallet");
    }

    /// @dev Nothing was held of who charges free, and nothing comes back.
    function test_reclaim_nothingHeld() public {
        _settle(open, _begin(0, 1), _end(0, 2));
        _setStanding(driver.addr, Standing.KeyHolder);
        Request memory request = _request();
        request.nonce = 2;
        open = _open(request);
        assertEq(open.held, 0, "held");
        vm.warp(DUE);
        settlement.reclaim(open);
        assertEq(settlement.balanceOf(driver.addr), HELD, "wallet");
    }
}
