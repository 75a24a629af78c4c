// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {BaseTest} from "./BaseTest.sol";

/// @notice What sessions cost by every member of a tariff, against bills written out by hand.
contract SettlementTariffsTest is BaseTest {
    Tariff private tariff;

    function setUp() public override {
        super.setUp();
        _deposit(driver.addr, HELD);
        tariff.price = PRICE;
    }

    /// @dev Opens at `tariff` with departure in four hours and settles `energyWh` drawn until `stay` later.
    function _cost(uint64 energyWh, uint256 stay) private returns (uint128) {
        Terms memory terms = _openAtTariff();
        MeterReading memory start = _begin(0, 1);
        vm.warp(block.timestamp + stay);
        SignedReading[] memory readings = _pair(start, _end(energyWh, 2));
        return _settle(terms, tariff, readings).amount;
    }

    function _openAtTariff() private returns (Terms memory) {
        vm.prank(owner);
        registry.setTariff(_only(EVSE), tariff);
        Request memory request = _request();
        request.tariffHash = _tariffHash(tariff);
        request.priceCeiling = type(uint64).max;
        return _open(request, tariff, _signRequest(request));
    }

    function test_sessionFee_onlyWithEnergy() public {
        tariff.sessionFee = 1e6;
        uint256 snapshot = vm.snapshotState();
        assertEq(_cost(1_000, 1 hours), 420_000 + 1e6, "with energy");
        vm.revertToState(snapshot);
        assertEq(_cost(0, 1 hours), 0, "without");
    }

    function test_idleFee_perWholeMinuteAfterDeparture() public {
        tariff.idleFeePerMinute = 10_000;
        uint256 snapshot = vm.snapshotState();
        assertEq(_cost(1_000, 4 hours + 59), 420_000, "less than a minute late");
        vm.revertToState(snapshot);
        assertEq(_cost(1_000, 4 hours + 60), 430_000, "a minute");
        vm.revertToState(snapshot);
        assertEq(_cost(0, 5 hours + 59), 600_000, "an hour, without energy");
    }

    function test_minimum_onlyWithEnergy() public {
        tariff.minimum = 2e6;
        uint256 snapshot = vm.snapshotState();
        assertEq(_cost(1, 1 hours), 2e6, "1 Wh");
        vm.revertToState(snapshot);
        assertEq(_cost(0, 1 hours), 0, "nothing delivered");
        vm.revertToState(snapshot);
        assertEq(_cost(10_000, 1 hours), 4.2e6, "above it");
    }

    function test_maximum_coversFees() public {
        (tariff.sessionFee, tariff.idleFeePerMinute, tariff.maximum) = (1e6, 1e6, 3e6);
        assertEq(_cost(10_000, 6 hours), 3e6, "capped");
    }

    function test_bill_neverAboveTheHold(uint64 energyWh, uint64 fee, uint64 idle, uint128 minimum) public {
        (tariff.sessionFee, tariff.idleFeePerMinute, tariff.minimum) = (fee, idle, minimum);
        energyWh = uint64(bound(energyWh, 0, MAX_WH));
        uint256 due = uint256(energyWh) * PRICE / 1000 + uint256(idle) * 60;
        if (energyWh > 0) due += fee;
        if (energyWh > 0 && due < minimum) due = minimum;
        assertEq(_cost(energyWh, 5 hours), due > HELD ? HELD : due, "amount");
    }

    /// @dev 1 January 2026 is a Thursday: minute 4,320 of the week. From 2 a.m. it is twice as dear.
    function _bandFromTwo() private {
        tariff.bands.push(Band(4_320 + 120, 2 * PRICE));
        tariff.bands.push(Band(4_320 + 600, PRICE));
    }

    function test_bands_energyAcrossABoundaryCostsTheLowerPrice() public {
        _bandFromTwo();
        uint256 snapshot = vm.snapshotState();
        assertEq(_cost(10_000, 2 hours), 4.2e6, "all before");
        vm.revertToState(snapshot);
        assertEq(_cost(10_000, 3 hours), 4.2e6, "across it, nobody knows when");
    }

    function test_bands_readingAtTheBoundarySplitsTheEnergy() public {
        _bandFromTwo();
        Terms memory terms = _openAtTariff();
        SignedReading[] memory readings = new SignedReading[](3);
        readings[0] = _signed(_begin(0, 1));
        vm.warp(START + 2 hours);
        MeterReading memory between = _begin(3_000, 2);
        between.context = ReadingContext.Interval;
        readings[1] = _signed(between);
        vm.warp(START + 3 hours);
        readings[2] = _signed(_end(10_000, 3));
        assertEq(_settle(terms, tariff, readings).amount, 1.26e6 + 5.88e6, "3 kWh and 7 kWh at twice the price");
    }

    function test_split_conserves(uint64 energyWh) public {
        Terms memory terms = _openAtTariff();
        SignedReading[] memory readings = _pair(_begin(0, 1), _end(uint64(bound(energyWh, 0, 20_000)), 2));
        Bill memory bill = _settle(terms, tariff, readings);
        uint256 fees = uint256(bill.operatorFee) + bill.protocolFee;
        assertLe(fees, bill.amount, "fees within the bill");
        vm.warp(START + 4 days);
        if (bill.amount == 0) return;
        settlement.claim(SITE);
        assertEq(settlement.balanceOf(operator), bill.operatorFee, "operator");
        assertEq(settlement.balanceOf(protocol), bill.protocolFee, "protocol");
        assertEq(settlement.balanceOf(owner), bill.amount - fees, "owner");
    }
}
