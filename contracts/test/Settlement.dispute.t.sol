// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {BaseTest} from "./BaseTest.sol";

/// @notice The car left after an hour and 4 kWh; the settler billed until the meter's reading of two hours and 10 kWh.
contract SettlementDisputeTest is BaseTest {
    Terms private terms;
    Bill private bill;
    MeterReading private start;
    MeterReading private left;
    MeterReading private stop;

    function setUp() public override {
        super.setUp();
        terms = _openFunded();
        start = _begin(1_000, 1);
        vm.warp(START + 1 hours);
        left = _end(5_000, 5);
        vm.warp(START + 2 hours);
        stop = _end(11_000, 9);
        bill = _settle(terms, start, stop);
        assertEq(bill.amount, 4.2e6, "billed for 10 kWh");
    }

    function _dispute(MeterReading memory from, MeterReading memory to) private returns (Bill memory) {
        SignedReading[] memory readings = _pair(from, to);
        vm.recordLogs();
        vm.prank(stranger);
        settlement.dispute(terms, bill, _flatTariff(), readings);
        return _lastBill();
    }

    function _expectRevert(MeterReading memory from, MeterReading memory to, bytes memory reason) private {
        SignedReading[] memory readings = _pair(from, to);
        vm.expectRevert(reason);
        settlement.dispute(terms, bill, _flatTariff(), readings);
    }

    function test_dispute_aLowerStop() public {
        Bill memory corrected = _dispute(start, left);
        assertEq(corrected.amount, 1.68e6, "4 kWh");
        assertEq(corrected.settledAt, bill.settledAt, "the window does not begin anew");
        assertEq(settlement.balanceOf(driver.addr), HELD - 1.68e6, "wallet");
        (, uint256 pending) = settlement.claimableOf(SITE);
        assertEq(pending, 1.68e6, "pending");
        (bytes26 commitment,,) = settlement.placeAt(EVSE, terms.place);
        assertEq(commitment, bytes26(keccak256(abi.encode(terms, corrected))), "commitment");
        vm.warp(START + 4 days);
        settlement.claim(SITE);
        assertEq(settlement.balanceOf(operator), corrected.operatorFee, "operator");
        assertEq(settlement.balanceOf(protocol), corrected.protocolFee, "protocol");
        assertEq(settlement.accounted(), HELD, "accounted");
    }

    function test_dispute_aHigherStart() public {
        MeterReading memory later = _begin(8_000, 4);
        later.time = uint40(START + 30 minutes);
        assertEq(_dispute(later, stop).amount, 1.26e6, "3 kWh");
    }

    function test_dispute_again_evenLower() public {
        bill = _dispute(start, left);
        MeterReading memory earlier = left;
        (earlier.counter, earlier.importWh) = (4, 2_000);
        assertEq(_dispute(start, earlier).amount, 420_000, "1 kWh");
    }

    /// @dev The same counter twice with different registers: the meter's key contradicts itself.
    function test_dispute_sameCounterOtherRegister() public {
        MeterReading memory twin = stop;
        twin.importWh = 6_000;
        assertEq(_dispute(start, twin).amount, 2.1e6, "5 kWh");
    }

    function test_boundary_lastSecondOfTheWindow() public {
        vm.warp(uint256(bill.settledAt) + 2 days);
        assertEq(_dispute(start, left).amount, 1.68e6, "still");
    }

    function test_revert_DisputeWindowOver(uint40 time) public {
        uint256 until = uint256(bill.settledAt) + 2 days;
        vm.warp(bound(time, until + 1, type(uint40).max));
        _expectRevert(
            start,
            left,
            abi.encodeWithSelector(ISettlement.DisputeWindowOver.selector, terms.session, block.timestamp, until)
        );
    }

    function test_revert_NoContradiction_theSameReadings() public {
        _expectNone(start, stop, bill.amount);
    }

    /// @dev Leaving out the reading at the boundary of a band would make any bill lower.
    function test_revert_NoContradiction_leavingOutWhatLiesBetween() public {
        Tariff memory tariff = _flatTariff();
        tariff.bands = new Band[](1);
        tariff.bands[0] = Band(4_320 + 180, 2 * PRICE);
        vm.prank(owner);
        registry.setTariff(_only(EVSE), tariff);
        Request memory request = _request();
        (request.nonce, request.tariffHash, request.priceCeiling) = (2, _tariffHash(tariff), 2 * PRICE);
        request.totalCeiling = 5e6;
        terms = _open(request, tariff, _signRequest(request));
        SignedReading[] memory readings = new SignedReading[](3);
        readings[0] = _signed(_begin(11_000, 10));
        vm.warp(START + 3 hours);
        MeterReading memory between = _begin(11_000, 11);
        between.context = ReadingContext.Interval;
        readings[1] = _signed(between);
        vm.warp(START + 4 hours);
        readings[2] = _signed(_end(12_000, 12));
        bill = _settle(terms, tariff, readings);
        assertEq(bill.amount, 840_000, "all at the higher price");
        SignedReading[] memory fewer = new SignedReading[](2);
        (fewer[0], fewer[1]) = (readings[0], readings[2]);
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.NoContradiction.selector, terms.session, uint128(420_000), bill.amount)
        );
        settlement.dispute(terms, bill, tariff, fewer);
    }

    function test_revert_NoContradiction_outsideTheBilledReadings(bool before) public {
        MeterReading memory from = start;
        MeterReading memory to = left;
        if (before) (from.counter, from.importWh) = (0, 900);
        else (from.counter, to.counter) = (10, 11);
        _expectNone(from, to, before ? 1_722_000 : 1.68e6);
    }

    function test_revert_NoContradiction_notLower() public {
        MeterReading memory higher = stop;
        higher.importWh = 12_000;
        _expectNone(start, higher, 4.62e6);
    }

    function _expectNone(MeterReading memory from, MeterReading memory to, uint128 amount) private {
        _expectRevert(
            from, to, abi.encodeWithSelector(ISettlement.NoContradiction.selector, terms.session, amount, bill.amount)
        );
    }

    function test_revert_WrongMeter() public {
        SignedReading[] memory readings = _pair(start, left);
        readings[1] = _signed(otherMeter, left);
        vm.expectPartialRevert(ISettlement.WrongMeter.selector);
        settlement.dispute(terms, bill, _flatTariff(), readings);
    }

    function test_revert_TermsMismatch_otherBill(uint128 amount) public {
        vm.assume(amount != bill.amount);
        bill.amount = amount;
        _expectRevert(start, left, abi.encodeWithSelector(ISettlement.TermsMismatch.selector, terms.session));
    }

    function test_revert_WrongState_active() public {
        Request memory request = _request();
        (request.nonce, request.totalCeiling) = (2, 1e6);
        terms = _open(request);
        _expectRevert(
            start,
            left,
            abi.encodeWithSelector(
                ISettlement.WrongState.selector, terms.session, SessionState.Active, SessionState.Settled
            )
        );
    }

    /// @dev Any lower end inside the session corrects, to the unit; nothing else moves.
    function test_dispute(uint64 register, uint64 counter) public {
        MeterReading memory to = left;
        to.importWh = uint64(bound(register, 1_000, 10_999));
        to.counter = uint64(bound(counter, 2, 9));
        uint128 due = uint128(uint256(to.importWh - 1_000) * PRICE / 1000);
        Bill memory corrected = _dispute(start, to);
        assertEq(corrected.amount, due, "amount");
        assertEq(settlement.balanceOf(driver.addr), HELD - due, "wallet");
        assertEq(settlement.accounted(), HELD, "accounted");
    }
}
