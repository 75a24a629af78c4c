// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {AttackTest} from "./AttackTest.sol";

/// @notice Attacks that cross more than one act, told from begin to end. Those on a single act are beside it, by the same
/// names: test_replay…, test_malleability…, test_frontRunning…, test_grief…, test_boundary…; re-entry is in
/// Attacks.reentrancy.t.sol, and arguments in odd forms in Attacks.calldata.t.sol.
contract AttacksTest is AttackTest {
    uint256 private constant MAX_PLACES = 480;

    uint64 private _nonce = 1;
    uint64 private _counter = 2;

    function _next() private returns (Request memory request) {
        request = _request();
        (request.nonce, request.totalCeiling) = (++_nonce, 0);
    }

    /// @dev Opened and settled in the same second, for nothing.
    function _dust() private returns (Terms memory opened) {
        opened = _open(_next());
        _settle(opened, _begin(ENERGY_WH, ++_counter), _end(ENERGY_WH, ++_counter));
    }

    // Replay across sessions

    /// @dev Two sessions of the same driver at the same EVSE, and of the same terms but for the nonce: nothing that was signed
    /// for one, or is kept of it, does anything to the other.
    function test_replay_betweenSessionsOfOneDriver() public {
        Terms memory first = _open(_next());
        Amendment memory amendment = Amendment(first.session, 1, first.departure, 50, type(uint40).max);
        bytes memory signature = _sign(driver, settlement.amendmentHash(amendment));
        SignedReading[] memory readings = _pair(_begin(ENERGY_WH, 3), _end(ENERGY_WH + 1, 4));
        vm.prank(oracle);
        settlement.settle(first, _flatTariff(), readings);
        Terms memory second = _open(_next());
        assertTrue(first.session != second.session, "sessions");

        vm.expectRevert(abi.encodeWithSelector(ISettlement.TermsMismatch.selector, second.session));
        settlement.amendFor(second, amendment, signature);
        vm.startPrank(oracle);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.CounterBackwards.selector, second.session, 3, 4));
        settlement.settle(second, _flatTariff(), readings);
        Terms memory crossed = first;
        crossed.place = second.place;
        vm.expectRevert(abi.encodeWithSelector(ISettlement.TermsMismatch.selector, first.session));
        settlement.settle(crossed, _flatTariff(), readings);
        vm.stopPrank();
        assertEq(uint8(_stateOf(second)), uint8(SessionState.Active), "the second is as it was");
    }

    /// @dev The receipt of one session is of no use to dispute, reward or mint another.
    function test_replay_receiptOfAnotherSession() public {
        Terms memory other = _open(_next());
        Bill memory otherBill = _settle(other, _begin(ENERGY_WH, 3), _end(ENERGY_WH, 4));
        _claim(_moved());
        SignedReading[] memory readings = _pair(_startReading(), _end(0, 2));
        bytes memory reason = abi.encodeWithSelector(ISettlement.TermsMismatch.selector, other.session);
        vm.startPrank(oracle);
        vm.expectRevert(reason);
        settlement.dispute(other, bill, _flatTariff(), readings);
        vm.expectRevert(reason);
        settlement.claimFlexibility(other, bill, _moved());
        vm.warp(WINDOW_END + 1);
        vm.expectRevert(reason);
        settlement.mintReward(other, bill);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(ISettlement.WrongReward.selector, other.session, 0));
        settlement.mintReward(other, otherBill);
        assertEq(_tokens(), 0, "tokens");
    }

    // Malleability

    /// @dev Both forms of a P-256 signature are real, and either settles: once.
    function test_malleability_p256HighSSettlesNothingTwice(bool highFirst) public {
        Terms memory opened = _openOcmf(++_nonce);
        OcmfRecord[] memory records = _ocmfRecord("11");
        OcmfRecord[] memory mirrored = _ocmfRecord("11");
        mirrored[0].s = bytes32(P256_ORDER - uint256(records[0].s));
        if (highFirst) (records, mirrored) = (mirrored, records);
        vm.warp(START + 3 hours);

        vm.startPrank(oracle);
        settlement.settleOcmf(opened, _flatTariff(), _ocmfKey(), records);
        uint256 wallet = settlement.balanceOf(driver.addr);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISettlement.WrongState.selector, opened.session, SessionState.Settled, SessionState.Active
            )
        );
        settlement.settleOcmf(opened, _flatTariff(), _ocmfKey(), mirrored);
        vm.stopPrank();

        // Nor the next session: what was billed is told by the meter's counter, not by its signature.
        Terms memory second = _openOcmf(++_nonce);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.CounterBackwards.selector, second.session, 12, 12));
        vm.prank(oracle);
        settlement.settleOcmf(second, _flatTariff(), _ocmfKey(), mirrored);
        assertEq(settlement.balanceOf(driver.addr), wallet, "paid once");
    }

    // Front-running

    /// @dev Who copies a driver's request out of the mempool cannot open it, and another settler of the same site may: the
    /// driver gets the session it signed either way, once.
    function test_frontRunning_openSession(address thief) public {
        vm.assume(thief != oracle && thief != owner);
        Request memory request = _next();
        bytes memory signature = _signRequest(request);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotAuthorised.selector, SITE, thief, RIGHT_SETTLE));
        vm.prank(thief);
        settlement.openSession(request, _flatTariff(), signature);

        vm.prank(owner);
        bytes32 session = settlement.openSession(request, _flatTariff(), signature);
        assertEq(session, settlement.sessionId(request), "what the driver signed");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NonceUsed.selector, driver.addr, request.nonce));
        vm.prank(oracle);
        settlement.openSession(request, _flatTariff(), signature);
    }

    /// @dev A host that changes tariff, meter, shares or its owner while a session runs changes nothing of its bill.
    function test_frontRunning_theHostWhileASessionRuns(uint64 price, address other) public {
        vm.assume(other != address(0));
        Request memory request = _next();
        request.totalCeiling = HELD;
        _deposit(driver.addr, HELD);
        Terms memory opened = _open(request);
        Tariff memory dearer = _flatTariff();
        dearer.price = price;
        vm.startPrank(owner);
        registry.setTariff(_only(EVSE), dearer);
        registry.setMeter(EVSE, _meterId(otherMeter.addr));
        registry.setOperator(SITE, other, 9_500, 0, 0);
        registry.proposeOwner(SITE, other);
        vm.stopPrank();
        vm.prank(other);
        registry.acceptOwner(SITE);

        Bill memory billed = _settle(opened, _begin(ENERGY_WH, 3), _end(ENERGY_WH + 10_000, 4));
        assertEq(billed.amount, 10 * PRICE, "amount");
        assertEq(billed.operatorFee, billed.amount * OPERATOR_FEE_BPS / BPS, "operator's fee");
    }

    // Griefing by dust

    /// @dev Sessions that cost nothing can fill the places of one EVSE, by its own settlers only; they keep nobody from
    /// another EVSE, and the places come back as the sessions become final.
    function test_grief_dustSessionsFillThePlacesOfAnEvse() public {
        for (uint256 i = 1; i < MAX_PLACES; ++i) {
            vm.warp(block.timestamp + 1);
            _dust();
        }
        (, uint16 last) = settlement.openAt(EVSE);
        assertEq(last, MAX_PLACES - 1, "all places");
        Request memory request = _next();
        bytes memory signature = _signRequest(request);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.TooManySessions.selector, EVSE, MAX_PLACES));
        vm.prank(oracle);
        settlement.openSession(request, _flatTariff(), signature);

        Request memory elsewhere = _next();
        (elsewhere.evse, elsewhere.meter) = (OTHER_EVSE, _meterId(otherMeter.addr));
        assertEq(_open(elsewhere).place, 0, "another EVSE");

        vm.warp(WINDOW_END);
        request.validUntil = uint40(block.timestamp);
        request.departure = uint40(block.timestamp + 1 hours);
        signature = _signRequest(request);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.TooManySessions.selector, EVSE, MAX_PLACES));
        vm.prank(oracle);
        settlement.openSession(request, _flatTariff(), signature);
        vm.warp(WINDOW_END + 1);
        for (uint16 place; place < 3; ++place) {
            assertEq(_dust().place, place, "as they become final");
            vm.warp(block.timestamp + 1);
        }
    }

    /// @dev A session that is never settled keeps its EVSE for its time only.
    function test_grief_unsettledSessionEndsByReclaim() public {
        Terms memory left = _open(_next());
        Request memory request = _next();
        bytes memory signature = _signRequest(request);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.EvseBusy.selector, EVSE));
        vm.prank(oracle);
        settlement.openSession(request, _flatTariff(), signature);
        vm.warp(left.departure + 1 days);
        vm.prank(stranger);
        settlement.reclaim(left);
        assertEq(uint8(_stateOf(_open(_next()))), uint8(SessionState.Active), "open again");
    }

    /// @dev A bill of nothing, claimed and minted for nothing, leaves nothing behind.
    function test_grief_dustFlexibility() public {
        _claim(Flexibility(ENERGY_WH, 0, 1));
        assertEq(bill.reward, 0, "half a unit is none");
        vm.warp(WINDOW_END + 1);
        _expectMintRevert(_wrongReward(0));
    }

    // Block timestamps

    /// @dev What a validator can shift a block by decides no more than on which side of an edge an act falls: at every edge of
    /// a session's life exactly one of the two acts that it parts is possible.
    function test_timestamp_everyEdgePartsTwoActs(uint256 shift) public {
        shift = bound(shift, 0, 30);
        uint256 around = 15;
        Request memory request = _next();
        bytes memory signature = _signRequest(request);
        vm.warp(request.validUntil + shift - around);
        bool expected = shift <= around;
        assertEq(_can(abi.encodeCall(ISettlement.openSession, (request, _flatTariff(), signature))), expected, "open");

        request.validUntil = type(uint40).max;
        request.departure = uint40(block.timestamp + 4 hours);
        Terms memory opened = _open(request);
        vm.warp(opened.departure + shift - around);
        assertEq(_can(_amendCall(opened)), expected, "an amendment, or the idle fee");
        assertEq(_can(_presenceCall(opened)), !expected, "a departure, or a presence");

        vm.warp(opened.departure + 1 days + shift - around);
        assertEq(_can(abi.encodeCall(ISettlement.reclaim, (opened))), shift >= around, "the settlers' or the driver's");

        vm.warp(START + 2 hours);
        _claim(_moved());
        vm.warp(WINDOW_END + shift - around);
        assertEq(_can(_disputeCall()), expected, "disputed");
        assertEq(_can(abi.encodeCall(ISettlement.mintReward, (terms, bill))), !expected, "or final");
    }

    /// @dev Whether the call would be accepted now.
    function _can(bytes memory call) private returns (bool ok) {
        uint256 before = vm.snapshotState();
        vm.prank(oracle);
        (ok,) = address(settlement).call(call);
        vm.revertToState(before);
    }

    function _amendCall(Terms memory opened) private view returns (bytes memory) {
        Amendment memory amendment =
            Amendment(opened.session, 1, uint40(opened.openedAt + 1 days), 99, type(uint40).max);
        bytes memory signature = _sign(driver, settlement.amendmentHash(amendment));
        return abi.encodeCall(ISettlement.amendFor, (opened, amendment, signature));
    }

    function _presenceCall(Terms memory opened) private view returns (bytes memory) {
        MeterReading memory reading =
            MeterReading(EVSE, ENERGY_WH, 0, uint40(block.timestamp), 3, ReadingContext.Interval);
        return abi.encodeCall(ISettlement.keepOpen, (opened, _signed(reading)));
    }

    function _disputeCall() private view returns (bytes memory) {
        MeterReading memory stop = MeterReading(EVSE, 0, 0, uint40(START + 1 hours), 2, ReadingContext.End);
        return abi.encodeCall(ISettlement.dispute, (terms, bill, _flatTariff(), _pair(_startReading(), stop)));
    }
}
