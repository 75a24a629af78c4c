// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {BaseTest} from "./BaseTest.sol";

contract SettlementReclaimTest is BaseTest {
    uint256 private constant DUE = START + 4 hours + 1 days;

    bytes32 private session;

    function setUp() public override {
        super.setUp();
        session = _openFunded();
    }

    function test_reclaim(address who, uint256 time) public {
        time = bound(time, DUE, type(uint40).max);
        vm.warp(time);
        vm.expectEmit(address(settlement));
        emit ISettlement.SessionReclaimed(session, driver.addr, 10e6);
        vm.prank(who);
        settlement.reclaim(session);

        assertEq(settlement.balanceOf(driver.addr), 10e6, "wallet");
        assertEq(settlement.accounted(), 10e6, "accounted");
        assertEq(uint8(settlement.session(session).state), uint8(SessionState.Reclaimed), "state");
        assertEq(settlement.openSessionAt(EVSE), 0, "open session");
    }

    function test_revert_TooSoonToReclaim(uint256 time) public {
        time = bound(time, START, DUE - 1);
        vm.warp(time);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.TooSoonToReclaim.selector, session, time, DUE));
        settlement.reclaim(session);
    }

    function test_revert_WrongState_twice() public {
        vm.warp(DUE);
        settlement.reclaim(session);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.WrongState.selector, session, SessionState.Reclaimed));
        settlement.reclaim(session);
    }

    function test_revert_WrongState_settled() public {
        _settle(session, _begin(0, 1), _end(0, 2));
        vm.warp(DUE);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.WrongState.selector, session, SessionState.Settled));
        settlement.reclaim(session);
    }

    function test_revert_WrongState_unknown(bytes32 id) public {
        vm.assume(id != session);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.WrongState.selector, id, SessionState.None));
        settlement.reclaim(id);
    }

    /// @dev A settler who comes late but before anybody reclaimed is still paid.
    function test_settle_afterGraceWhileUnclaimed() public {
        vm.warp(DUE);
        _settle(session, _begin(0, 1), _end(10_000, 2));
        assertEq(settlement.balanceOf(owner), 10 * PRICE, "wallet of owner");
    }
}
