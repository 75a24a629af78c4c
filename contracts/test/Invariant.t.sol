// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {BaseTest} from "./BaseTest.sol";
import {Handler} from "./Handler.sol";

/// @notice The protocol's laws, after any sequence of users' actions.
contract InvariantTest is BaseTest {
    Handler private handler;

    function setUp() public override {
        super.setUp();
        handler = new Handler(registry, dispatch, settlement, credit, oracle, minter, SITE);
        handler.addEvse(EVSE, meter);
        handler.addEvse(OTHER_EVSE, otherMeter);
        handler.addDriver(driver);
        handler.addDriver(vm.createWallet("second driver"));
        handler.addDriver(vm.createWallet("owner"));
        for (uint256 i; i < handler.driverCount(); ++i) {
            vm.prank(handler.driverAt(i));
            registry.registerDriver();
        }
        bytes4[] memory actions = new bytes4[](12);
        (actions[0], actions[1], actions[2]) =
        (Handler.deposit.selector, Handler.withdraw.selector, Handler.donate.selector);
        (actions[3], actions[4], actions[5]) = (Handler.pass.selector, Handler.open.selector, Handler.settle.selector);
        (actions[6], actions[7]) = (Handler.settleBackwards.selector, Handler.settleAgain.selector);
        (actions[8], actions[9], actions[10]) = (Handler.reclaim.selector, Handler.post.selector, Handler.read.selector);
        actions[11] = Handler.setPrice.selector;
        targetSelector(FuzzSelector(address(handler), actions));
        targetContract(address(handler));
    }

    function _wallets() private view returns (uint256 total) {
        for (uint256 i; i < handler.driverCount(); ++i) {
            total += settlement.balanceOf(handler.driverAt(i));
        }
    }

    function _holds() private view returns (uint256 total) {
        bytes32[] memory sessions = handler.sessions();
        for (uint256 i; i < sessions.length; ++i) {
            Session memory session = settlement.session(sessions[i]);
            if (session.state == SessionState.Active) total += session.held;
        }
    }

    /// @dev Nobody else has a wallet, and nothing but donations is unaccounted.
    function invariant_walletsAndHoldsAreAccountedAndCovered() public view {
        assertEq(_wallets() + _holds(), settlement.accounted(), "wallets + holds");
        assertEq(settlement.accounted() + handler.donated(), credit.balanceOf(address(settlement)), "tokens");
    }

    function invariant_oneSettlementPerSession() public view {
        bytes32[] memory sessions = handler.sessions();
        for (uint256 i; i < sessions.length; ++i) {
            bool settled = settlement.session(sessions[i]).state == SessionState.Settled;
            assertEq(handler.settlements(sessions[i]), settled ? 1 : 0, "settlements");
        }
    }

    function invariant_oneOpenSessionPerEvse() public view {
        bytes32[] memory sessions = handler.sessions();
        for (uint256 i; i < sessions.length; ++i) {
            Session memory session = settlement.session(sessions[i]);
            if (session.state != SessionState.Active) continue;
            assertEq(settlement.openSessionAt(session.evse), sessions[i], "the active session is the open one");
        }
    }

    function invariant_acceptedSetpointsHoldEveryLimit() public view {
        int16[] memory values = handler.accepted();
        if (values.length > 0) assertTrue(handler.groupsWithinLimits(values), "limits");
    }

    function invariant_nothingIsMinted() public view {
        assertEq(IFlexibilityToken(settlement.flexibility()).totalSupply(), 0, "flexibility supply");
    }

    /// @dev The law about limits would hold for nothing if the handler never reached either verdict.
    function test_handlerReachesBothVerdicts() public {
        for (uint256 seed; seed < 200; ++seed) {
            handler.post(uint256(keccak256(abi.encode(seed))));
        }
        assertGt(handler.acceptedCount(), 20, "accepted");
        assertGt(handler.refusedCount(), 20, "refused");
    }
}
