// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Vm} from "forge-std/Vm.sol";
import "../src/IProtocol.sol";
import {Settlement} from "../src/Settlement.sol";
import {Refutations} from "../src/libraries/Refutations.sol";
import {Tree} from "./Dispatch.disputes.t.sol";
import {PlansTest} from "./PlansTest.sol";

/// @notice A plan with one need, at the EVSE of an open session, and evidence that was on chain before it.
abstract contract PlansEvidenceTest is PlansTest {
    uint32 internal constant ASKED_WH = 20_000;
    uint32 internal constant PLANNED = FIRST + 8;
    uint32 internal constant READ = PLANNED - 2;
    uint16 internal constant LANE = 2;
    uint256 internal constant RATED_W = 22_000;
    uint64 internal constant START_WH = 50_000;

    Settlement internal settlement;
    Terms internal terms;
    /// @dev Of the plan that is refuted.
    bytes internal inputs;
    uint8 internal horizon = 96;

    function setUp() public virtual override {
        super.setUp();
        settlement = new Settlement(registry, IERC20(address(credit)), plans);
        PlanRules memory rules = _rules(PlanMode.Proved);
        rules.settlement = settlement;
        vm.prank(owner);
        plans.setRules(SITE, rules, NEXT);
        _fund(oracle, BOND);
        _openSession(uint40(START + 8 hours));
    }

    function _openSession(uint40 departure) internal {
        Request memory request;
        (request.driver, request.evse, request.meter) = (driver.addr, EVSE, _meterId(meter.addr));
        (request.tariffHash, request.energyWh) = (_tariffHash(_flatTariff()), ASKED_WH);
        (request.departure, request.priceCeiling) = (departure, PRICE);
        request.validUntil = uint40(block.timestamp);
        bytes memory signature = _sign(driver, settlement.sessionId(request));
        vm.recordLogs();
        vm.prank(owner);
        settlement.openSession(request, _flatTariff(), signature);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] != ISettlement.SessionOpened.selector) continue;
            (terms,) = abi.decode(logs[i].data, (Terms, Tariff));
        }
    }

    /// @dev As the controller has it: intervals to that of the departure, within 1 and 96, or the horizon.
    function _untilOf(uint40 departure, uint32 interval) internal view returns (uint8) {
        uint256 last = departure / INTERVAL_S;
        uint256 until = last <= interval ? 1 : last - interval;
        return uint8(until > horizon ? horizon : until);
    }

    function _wants(uint8 until, uint32 energyWh) internal {
        bytes memory prices = bytes.concat(new bytes(64 * ((uint256(horizon) + 15) / 16)), hex"08000000");
        inputs = _inputsOver(horizon, prices, 1, _needUntil(LANE, 1, until, 2200, energyWh));
    }

    function _postAt(uint256 time) internal returns (Plan memory) {
        vm.warp(time);
        vm.recordLogs();
        vm.prank(oracle);
        plans.postProved(SITE, PLANNED, Certificate(inputs, "", "", 0), _lanes());
        return _lastPlan();
    }

    /// @dev Half a minute before its interval.
    function _post() internal returns (Plan memory) {
        return _postAt(PLANNED * INTERVAL_S - 30);
    }

    function _expectRefuted(Refutation what, uint256 index) internal {
        vm.expectEmit(address(plans));
        emit IPlans.PlanRefuted(SITE, PLANNED, challenger, what, index, BOND / 2);
        vm.prank(challenger);
    }

    function _assertRefuted() internal view {
        assertFalse(plans.isCertified(SITE, PLANNED, PLANNED));
        assertFalse(plans.isStaked(SITE, PLANNED));
        assertEq(plans.planHashAt(SITE, PLANNED), 0);
        assertEq(plans.stakeOf(challenger), BOND / 2);
        assertEq(plans.stakeOf(protocol), BOND - BOND / 2);
    }

    function _expectNeedHolds() internal {
        vm.expectRevert(abi.encodeWithSelector(IPlans.NeedHolds.selector, SITE, PLANNED, 0));
    }
}

contract PlansRefuteNeedTest is PlansEvidenceTest {
    function testFuzz_anHonestNeedHolds(uint256 departure, uint8 intervals, uint32 energyWh) public {
        horizon = uint8(bound(intervals, 1, 96));
        departure = bound(departure, START + 1 hours, START + 7 days);
        _amend(uint40(departure), ASKED_WH);
        _wants(_untilOf(uint40(departure), PLANNED), uint32(bound(energyWh, 0, ASKED_WH)));
        Plan memory plan = _post();
        _expectNeedHolds();
        plans.refuteNeed(plan, inputs, 0, terms);
        assertTrue(plans.isCertified(SITE, PLANNED, PLANNED));
    }

    function testFuzz_anotherWindowIsRefuted(uint256 departure, uint8 until) public {
        departure = bound(departure, START + 1 hours, START + 7 days);
        until = uint8(bound(until, 1, 96));
        vm.assume(until != _untilOf(uint40(departure), PLANNED));
        _amend(uint40(departure), ASKED_WH);
        _wants(until, ASKED_WH);
        Plan memory plan = _post();
        _expectRefuted(Refutation.Need, 0);
        plans.refuteNeed(plan, inputs, 0, terms);
        _assertRefuted();
    }

    function testFuzz_moreThanWasAskedForIsRefuted(uint32 energyWh) public {
        _wants(_untilOf(terms.departure, PLANNED), uint32(bound(energyWh, ASKED_WH + 1, type(uint32).max)));
        Plan memory plan = _post();
        _expectRefuted(Refutation.Need, 0);
        plans.refuteNeed(plan, inputs, 0, terms);
        _assertRefuted();
    }

    /// A horizon above a day does not make a window longer than one.
    function test_aWindowIsADayAtMost() public {
        horizon = 112;
        _amend(uint40(START + 3 days), ASKED_WH);
        _wants(96, ASKED_WH);
        Plan memory plan = _post();
        _expectNeedHolds();
        plans.refuteNeed(plan, inputs, 0, terms);
    }

    /// What a driver signs while the plan is on its way does not refute it.
    function testFuzz_revert_KnownTooLate(uint256 lead) public {
        _wants(_untilOf(terms.departure, PLANNED), ASKED_WH);
        uint256 posted = PLANNED * INTERVAL_S - 30;
        lead = bound(lead, 0, Refutations.KNOWN_AFTER - 1);
        vm.warp(posted - lead);
        _amend(terms.departure - 1 hours, ASKED_WH);
        Plan memory plan = _postAt(posted);
        uint256 latest = posted - Refutations.KNOWN_AFTER;
        vm.expectRevert(abi.encodeWithSelector(IPlans.KnownTooLate.selector, SITE, PLANNED, posted - lead, latest));
        plans.refuteNeed(plan, inputs, 0, terms);
    }

    function test_whatWasKnownJustLongEnoughCounts() public {
        _wants(_untilOf(terms.departure, PLANNED), ASKED_WH);
        uint256 posted = PLANNED * INTERVAL_S - 30;
        vm.warp(posted - Refutations.KNOWN_AFTER);
        _amend(terms.departure - 1 hours, ASKED_WH);
        Plan memory plan = _postAt(posted);
        _expectRefuted(Refutation.Need, 0);
        plans.refuteNeed(plan, inputs, 0, terms);
        _assertRefuted();
    }

    /// The driver changed the session after the plan: neither its old terms nor its new ones are evidence.
    function test_revert_amendedAfterThePlan() public {
        Terms memory old = terms;
        _wants(_untilOf(terms.departure, PLANNED), ASKED_WH);
        Plan memory plan = _post();
        _amend(terms.departure - 1 hours, ASKED_WH / 2);
        vm.expectRevert(abi.encodeWithSelector(IPlans.SessionNotOpen.selector, terms.session));
        plans.refuteNeed(plan, inputs, 0, old);
        uint256 latest = plan.postedAt - Refutations.KNOWN_AFTER;
        vm.expectRevert(abi.encodeWithSelector(IPlans.KnownTooLate.selector, SITE, PLANNED, block.timestamp, latest));
        plans.refuteNeed(plan, inputs, 0, terms);
    }

    function testFuzz_revert_SessionNotOpen_doctored(uint40 departure) public {
        vm.assume(departure != terms.departure);
        _wants(_untilOf(terms.departure, PLANNED), ASKED_WH);
        Plan memory plan = _post();
        terms.departure = departure;
        vm.expectRevert(abi.encodeWithSelector(IPlans.SessionNotOpen.selector, terms.session));
        plans.refuteNeed(plan, inputs, 0, terms);
    }

    function test_revert_WrongEvse() public {
        _wants(1, ASKED_WH);
        Plan memory plan = _post();
        terms.evse = OTHER_EVSE;
        vm.expectRevert(abi.encodeWithSelector(IPlans.WrongEvse.selector, OTHER_EVSE, EVSE));
        plans.refuteNeed(plan, inputs, 0, terms);
    }

    function testFuzz_revert_NoSuchNeed(uint256 index) public {
        index = bound(index, 1, type(uint256).max);
        _wants(1, ASKED_WH);
        Plan memory plan = _post();
        vm.expectRevert(abi.encodeWithSelector(IPlans.NoSuchNeed.selector, index, 1));
        plans.refuteNeed(plan, inputs, index, terms);
    }

    function test_revert_NoSettlement() public {
        _wants(1, ASKED_WH);
        vm.prank(owner);
        plans.setRules(SITE, _rules(PlanMode.Proved), NEXT);
        Plan memory plan = _post();
        vm.expectRevert(abi.encodeWithSelector(IPlans.NoSettlement.selector, SITE));
        plans.refuteNeed(plan, inputs, 0, terms);
    }

    function test_revert_WrongCertificate_otherInputs() public {
        _wants(1, ASKED_WH);
        Plan memory plan = _post();
        vm.expectRevert(abi.encodeWithSelector(IPlans.WrongCertificate.selector, SITE, PLANNED));
        plans.refuteNeed(plan, bytes.concat(inputs, "x"), 0, terms);
    }

    function test_revert_ChallengeTooLate() public {
        _wants(1, ASKED_WH);
        Plan memory plan = _post();
        uint256 until = _until(PLANNED);
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(IPlans.ChallengeTooLate.selector, SITE, PLANNED, until, until));
        plans.refuteNeed(plan, inputs, 0, terms);
    }

    function _amend(uint40 departure, uint32 energyWh) private {
        Amendment memory amendment =
            Amendment(terms.session, energyWh, departure, uint64(block.timestamp), uint40(block.timestamp));
        bytes memory signature = _sign(driver, settlement.amendmentHash(amendment));
        settlement.amendFor(terms, amendment, signature);
        (terms.departure, terms.energyWh) = (departure, energyWh);
    }
}

contract PlansRefuteEnergyTest is PlansEvidenceTest {
    bytes32 private previous;
    bytes private energies;
    bytes32[] private leaves;
    bytes32[] private later;

    /// @dev Most that a car draws from the beginning of the reading's interval to the plan's, and a tenth.
    uint256 private constant MOST_WH = RATED_W / 2 * 11 / 10;

    function _begin() private view returns (MeterReading memory) {
        return MeterReading(EVSE, START_WH, 0, uint40(START + 60), 1, ReadingContext.Begin);
    }

    function _stop(uint64 drawnWh) private view returns (MeterReading memory) {
        uint40 time = uint40((READ + 1) * INTERVAL_S);
        return MeterReading(EVSE, START_WH + drawnWh, 0, time, 9, ReadingContext.Interval);
    }

    /// @dev The meter of the session has drawn so much at the end of the interval, and everybody can prove it.
    function _read(uint64 drawnWh, uint32 interval) private {
        bytes memory setpoints = _setpoints(_soundSetpoints());
        vm.startPrank(owner);
        vm.warp(interval * INTERVAL_S - 1);
        dispatch.postSetpoints(SITE, interval, setpoints, 0);
        previous = dispatch.history(SITE);
        vm.warp((interval + 1) * INTERVAL_S);
        energies = _readings(_soundReadings());
        for (uint16 lane; lane < LANES; ++lane) {
            bytes32 digest = lane == LANE ? settlement.readingHash(_stop(drawnWh)) : bytes32(0);
            leaves.push(Tree.leaf(lane, 0, digest));
        }
        dispatch.postReadings(SITE, interval, energies, Tree.root(leaves));
        vm.stopPrank();
    }

    function _evidence(Plan memory plan, uint64 drawnWh) private returns (EnergyProof memory evidence) {
        later.push(keccak256(abi.encode(1, SITE, PLANNED, plan.columnHash, keccak256(abi.encode(plan)))));
        evidence.begin = _begin();
        evidence.stop = _stop(drawnWh);
        evidence.beginSignature = _sign(meter, settlement.readingHash(evidence.begin));
        evidence.stopSignature = _sign(meter, settlement.readingHash(evidence.stop));
        evidence.interval = READ;
        evidence.proof = ReadingProof(previous, energies, Tree.root(leaves), later, LANE, Tree.path(leaves, LANE));
    }

    function _planOf(uint64 drawnWh, uint256 energyWh) private returns (Plan memory) {
        _read(drawnWh, READ);
        _wants(_untilOf(terms.departure, PLANNED), uint32(energyWh));
        return _post();
    }

    /// The controller's rule, whatever it knew of the meter when the plan was made: no less than what was on chain, and no
    /// more than a car can have drawn since.
    function testFuzz_anHonestNeedHolds(uint64 drawnWh, uint256 sinceWh, uint64 lateWh) public {
        drawnWh = uint64(bound(drawnWh, 0, ASKED_WH));
        sinceWh = bound(sinceWh, 0, MOST_WH);
        // A Begin after the first one shows less drawn.
        lateWh = uint64(bound(lateWh, 0, drawnWh));
        uint256 drawn = drawnWh + sinceWh;
        Plan memory plan = _planOf(drawnWh, drawn > ASKED_WH ? 0 : ASKED_WH - drawn);
        EnergyProof memory evidence = _evidence(plan, drawnWh);
        (evidence.begin.importWh, evidence.begin.counter) = (START_WH + lateWh, 2);
        evidence.beginSignature = _sign(meter, settlement.readingHash(evidence.begin));
        _expectNeedHolds();
        plans.refuteEnergy(plan, inputs, 0, terms, evidence);
        assertTrue(plans.isCertified(SITE, PLANNED, PLANNED));
    }

    function testFuzz_moreThanIsLeftIsRefuted(uint64 drawnWh, uint256 energyWh) public {
        drawnWh = uint64(bound(drawnWh, 1, ASKED_WH));
        Plan memory plan = _planOf(drawnWh, bound(energyWh, ASKED_WH - drawnWh + 1, ASKED_WH));
        EnergyProof memory evidence = _evidence(plan, drawnWh);
        _expectRefuted(Refutation.Energy, 0);
        plans.refuteEnergy(plan, inputs, 0, terms, evidence);
        _assertRefuted();
    }

    /// Less than a car can have drawn since the last bill of its meter.
    function testFuzz_lessThanIsLeftIsRefuted(uint64 drawnWh, uint256 energyWh) public {
        _billUpTo(START_WH);
        drawnWh = uint64(bound(drawnWh, 0, ASKED_WH - MOST_WH - 1));
        uint256 least = ASKED_WH - drawnWh - MOST_WH;
        Plan memory plan = _planOf(drawnWh, bound(energyWh, 0, least - 1));
        EnergyProof memory evidence = _evidence(plan, drawnWh);
        evidence.beginSignature = "";
        _expectRefuted(Refutation.Energy, 0);
        plans.refuteEnergy(plan, inputs, 0, terms, evidence);
        _assertRefuted();
    }

    function testFuzz_theLeastThatCanBeLeftHolds(uint64 drawnWh) public {
        _billUpTo(START_WH);
        drawnWh = uint64(bound(drawnWh, 0, ASKED_WH - MOST_WH));
        Plan memory plan = _planOf(drawnWh, ASKED_WH - drawnWh - MOST_WH);
        EnergyProof memory evidence = _evidence(plan, drawnWh);
        evidence.beginSignature = "";
        _expectNeedHolds();
        plans.refuteEnergy(plan, inputs, 0, terms, evidence);
    }

    /// Without a Begin nobody knows that anything was drawn.
    function test_withoutABeginAllThatWasAskedForHolds() public {
        Plan memory plan = _planOf(5_000, ASKED_WH);
        EnergyProof memory evidence = _evidence(plan, 5_000);
        evidence.beginSignature = "";
        _expectNeedHolds();
        plans.refuteEnergy(plan, inputs, 0, terms, evidence);
    }

    function test_revert_ReadingNotBefore_ofTheIntervalBefore() public {
        _read(5_000, READ);
        _wants(1, ASKED_WH);
        Plan memory plan = _post();
        EnergyProof memory evidence = _evidence(plan, 5_000);
        evidence.interval = PLANNED - 1;
        vm.expectRevert(abi.encodeWithSelector(IPlans.ReadingNotBefore.selector, SITE, PLANNED));
        plans.refuteEnergy(plan, inputs, 0, terms, evidence);
    }

    /// Readings that came after the plan are not what it was made from.
    function test_revert_ReadingNotBefore_postedAfterThePlan() public {
        bytes memory setpoints = _setpoints(_soundSetpoints());
        vm.prank(owner);
        dispatch.postSetpoints(SITE, READ, setpoints, 0);
        _wants(1, ASKED_WH);
        Plan memory plan = _post();
        previous = dispatch.history(SITE);
        energies = _readings(_soundReadings());
        for (uint16 lane; lane < LANES; ++lane) {
            bytes32 digest = lane == LANE ? settlement.readingHash(_stop(5_000)) : bytes32(0);
            leaves.push(Tree.leaf(lane, 0, digest));
        }
        vm.prank(owner);
        dispatch.postReadings(SITE, READ, energies, Tree.root(leaves));
        EnergyProof memory evidence = _evidence(plan, 5_000);
        evidence.proof.later = new bytes32[](0);
        vm.expectRevert(abi.encodeWithSelector(IPlans.ReadingNotBefore.selector, SITE, PLANNED));
        plans.refuteEnergy(plan, inputs, 0, terms, evidence);
        // Nor with the plan's step where it does not belong.
        evidence.proof.later = later;
        vm.expectPartialRevert(IDispatch.HistoryMismatch.selector);
        plans.refuteEnergy(plan, inputs, 0, terms, evidence);
    }

    function testFuzz_revert_WrongMeter(uint8 which) public {
        Plan memory plan = _planOf(5_000, ASKED_WH);
        EnergyProof memory evidence = _evidence(plan, 5_000);
        which = uint8(bound(which, 0, 2));
        if (which == 0) evidence.stopSignature = _sign(otherMeter, settlement.readingHash(evidence.stop));
        if (which == 1) evidence.beginSignature = _sign(otherMeter, settlement.readingHash(evidence.begin));
        if (which == 2) {
            evidence.begin.asset = OTHER_EVSE;
            evidence.beginSignature = _sign(meter, settlement.readingHash(evidence.begin));
        }
        address signer = which == 2 ? meter.addr : otherMeter.addr;
        vm.expectRevert(abi.encodeWithSelector(IPlans.WrongMeter.selector, signer, terms.meter));
        plans.refuteEnergy(plan, inputs, 0, terms, evidence);
    }

    function testFuzz_revert_NoBegin(uint8 which) public {
        _billUpTo(START_WH);
        Plan memory plan = _planOf(5_000, ASKED_WH);
        EnergyProof memory evidence = _evidence(plan, 5_000);
        which = uint8(bound(which, 0, 2));
        evidence.begin.counter = 5;
        if (which == 0) evidence.begin.context = ReadingContext.Interval;
        if (which == 1) evidence.begin.counter = 4;
        if (which == 2) evidence.begin.time = uint40(terms.openedAt - settlement.MAX_OPEN_DELAY() - 1);
        evidence.beginSignature = _sign(meter, settlement.readingHash(evidence.begin));
        vm.expectRevert(abi.encodeWithSelector(IPlans.NoBegin.selector, terms.session));
        plans.refuteEnergy(plan, inputs, 0, terms, evidence);
    }

    function test_revert_aReadingThatIsNotInTheTree() public {
        Plan memory plan = _planOf(5_000, ASKED_WH);
        EnergyProof memory evidence = _evidence(plan, 6_000);
        vm.expectPartialRevert(IDispatch.ReadingNotInRoot.selector);
        plans.refuteEnergy(plan, inputs, 0, terms, evidence);
    }

    /// @dev A session before, up to this register and counter 4, and then the one that is planned for.
    function _billUpTo(uint64 registerWh) private {
        SignedReading[] memory readings = new SignedReading[](2);
        readings[0] = _signedAs(MeterReading(EVSE, 1_000, 0, uint40(START), 3, ReadingContext.Begin));
        readings[1] = _signedAs(MeterReading(EVSE, registerWh, 0, uint40(START), 4, ReadingContext.End));
        vm.prank(owner);
        settlement.settle(terms, _flatTariff(), readings);
        vm.warp(START + 60);
        Request memory request;
        (request.driver, request.evse, request.meter) = (driver.addr, EVSE, _meterId(meter.addr));
        (request.tariffHash, request.energyWh) = (_tariffHash(_flatTariff()), ASKED_WH);
        (request.departure, request.priceCeiling) = (uint40(START + 8 hours), PRICE);
        (request.validUntil, request.nonce) = (uint40(block.timestamp), 1);
        bytes memory signature = _sign(driver, settlement.sessionId(request));
        vm.recordLogs();
        vm.prank(owner);
        settlement.openSession(request, _flatTariff(), signature);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        (terms,) = abi.decode(logs[logs.length - 1].data, (Terms, Tariff));
    }

    function _signedAs(MeterReading memory reading) private view returns (SignedReading memory) {
        (bytes32 r, bytes32 vs) = vm.signCompact(meter.privateKey, settlement.readingHash(reading));
        return SignedReading(reading.importWh, reading.exportWh, reading.time, reading.counter, r, vs);
    }
}

contract PlansRefutePricesTest is PlansEvidenceTest {
    uint32 private constant DAY = uint32(START / 1 days) + 1;
    int32 private constant FEED_IN = -3;
    bytes private prices;

    /// @dev Every price of the day is another.
    function setUp() public override {
        super.setUp();
        for (uint32 i; i < 192; ++i) {
            prices = bytes.concat(prices, bytes4(uint32(i < 96 ? int32(i) * 7 - 300 : FEED_IN)));
        }
    }

    function _announce() private {
        vm.prank(owner);
        plans.announcePrices(SITE, DAY, keccak256(prices));
    }

    /// @dev The day's prices as the plan's, one of them raised by `by`; what is of another day is zero.
    function _planOf(uint256 wrong, int256 by, int256 feedIn) private {
        bytes memory series = new bytes(384);
        for (uint256 t; t < 96; ++t) {
            uint256 interval = PLANNED + t;
            int256 price = interval / 96 == DAY ? int256(interval % 96) * 7 - 300 : int256(0);
            if (t == wrong) price += by;
            bytes4 number = bytes4(uint32(uint256(price + (1 << 27))));
            for (uint256 i; i < 4; ++i) {
                series[t % 2 * 192 + t / 2 * 4 + i] = number[i];
            }
        }
        bytes memory all = bytes.concat(series, bytes4(uint32(uint256(feedIn + (1 << 27)))));
        inputs = _inputsOver(96, all, 1, _needUntil(LANE, 1, 24, 2200, ASKED_WH));
    }

    function testFuzz_announcedPricesHold(uint256 elsewhere, int256 by) public {
        _announce();
        // Prices of the day before were not announced.
        _planOf(bound(elsewhere, 0, 87), bound(by, -1e6, 1e6), FEED_IN);
        Plan memory plan = _post();
        vm.expectRevert(abi.encodeWithSelector(IPlans.PricesHold.selector, SITE, PLANNED, DAY));
        plans.refutePrices(plan, inputs, DAY, prices);
        assertTrue(plans.isCertified(SITE, PLANNED, PLANNED));
    }

    function testFuzz_anotherPriceIsRefuted(uint256 wrong, int256 by) public {
        _announce();
        wrong = bound(wrong, 88, 95);
        by = bound(by, 1, 1e6);
        _planOf(wrong, by, FEED_IN);
        Plan memory plan = _post();
        _expectRefuted(Refutation.Prices, wrong);
        plans.refutePrices(plan, inputs, DAY, prices);
        _assertRefuted();
    }

    function test_anotherFeedInPriceIsRefuted() public {
        _announce();
        _planOf(0, 0, FEED_IN + 1);
        Plan memory plan = _post();
        _expectRefuted(Refutation.Prices, 88);
        plans.refutePrices(plan, inputs, DAY, prices);
        _assertRefuted();
    }

    function test_revert_KnownTooLate() public {
        uint256 posted = PLANNED * INTERVAL_S - 30;
        vm.warp(posted - Refutations.KNOWN_AFTER + 1);
        _announce();
        _planOf(90, 1, FEED_IN);
        Plan memory plan = _postAt(posted);
        uint256 latest = posted - Refutations.KNOWN_AFTER;
        vm.expectRevert(abi.encodeWithSelector(IPlans.KnownTooLate.selector, SITE, PLANNED, latest + 1, latest));
        plans.refutePrices(plan, inputs, DAY, prices);
    }

    function test_revert_WrongPrices() public {
        _announce();
        _planOf(90, 1, FEED_IN);
        Plan memory plan = _post();
        prices[3] ^= 0x01;
        vm.expectRevert(abi.encodeWithSelector(IPlans.WrongPrices.selector, SITE, DAY, keccak256(prices)));
        plans.refutePrices(plan, inputs, DAY, prices);
        vm.expectRevert(abi.encodeWithSelector(IPlans.WrongPrices.selector, SITE, DAY + 1, keccak256(prices)));
        plans.refutePrices(plan, inputs, DAY + 1, prices);
    }

    function test_pricesAreAnnouncedOnce() public {
        vm.expectEmit(address(plans));
        emit IPlans.PricesAnnounced(SITE, DAY, owner, keccak256(prices));
        _announce();
        (bytes32 pricesHash, uint40 announcedAt) = plans.pricesAt(SITE, DAY);
        assertEq(pricesHash, keccak256(prices));
        assertEq(announcedAt, START);
        vm.expectRevert(abi.encodeWithSelector(IPlans.AlreadyAnnounced.selector, SITE, DAY));
        _announce();
    }

    function testFuzz_pricesAreAnnouncedBeforeTheirDay(uint256 time, uint32 day) public {
        vm.warp(bound(time, START, START + 3650 days));
        uint256 first = block.timestamp / 1 days + 1;
        uint256 last = first + plans.ANNOUNCED_AHEAD() - 1;
        bool allowed = day >= first && day <= last;
        if (!allowed) vm.expectRevert(abi.encodeWithSelector(IPlans.DayOutOfRange.selector, day, first, last));
        vm.prank(owner);
        plans.announcePrices(SITE, day, keccak256("prices"));
        (bytes32 pricesHash,) = plans.pricesAt(SITE, day);
        assertEq(pricesHash, allowed ? keccak256("prices") : bytes32(0));
    }

    function testFuzz_revert_NotAnnouncer(address who) public {
        vm.assume(who != owner && who != address(plans));
        vm.expectRevert(abi.encodeWithSelector(IPlans.NotAnnouncer.selector, SITE, who));
        vm.prank(who);
        plans.announcePrices(SITE, DAY, 0);
    }
}

/// @notice The site's rules bind penalty, surcharge, price of the peak, rows, and what does not change of batteries.
contract PlansTermsTest is PlansTest {
    uint256 private constant PENALTY = 12;
    uint256 private constant ROWS_END = 29 + 68 + 30 + 15;
    uint256 private constant BATTERY = 29;

    /// @dev The demo site's inputs with one row, of one term and one bound.
    function _withRow() private pure returns (bytes memory inputs) {
        bytes memory before = _inputs();
        bytes memory row = abi.encodePacked(uint16(0x0100), uint8(1), int32(3), uint64(9));
        inputs = new bytes(before.length + row.length);
        uint256 rows = 29 + 68 + 30;
        for (uint256 i; i < inputs.length; ++i) {
            if (i < rows) inputs[i] = before[i];
            else inputs[i] = i < ROWS_END ? row[i - rows] : before[i - row.length];
        }
        inputs[11] = 0x01;
        inputs[PENALTY + 3] = 0x2a;
    }

    /// @dev Of a battery, the last record: percentages, capacity, floor and wear.
    function _isBound(uint256 i) private pure returns (bool) {
        return i >= 5 && i < 13 || i >= 17 && i < 21 || i >= 25;
    }

    function _bind(bytes memory inputs, PlanMode mode) private {
        PlanRules memory rules = _rules(mode);
        bytes memory bound_;
        for (uint256 i = PENALTY; i < ROWS_END; ++i) {
            if (i < 20 || i >= 24 && i < 28 || i >= ROWS_END - 15) bound_ = bytes.concat(bound_, inputs[i]);
        }
        for (uint256 i; i < BATTERY; ++i) {
            if (_isBound(i)) bound_ = bytes.concat(bound_, inputs[inputs.length - BATTERY + i]);
        }
        (rules.terms, rules.bond) = (keccak256(bound_), 0);
        vm.prank(owner);
        plans.setRules(SITE, rules, NEXT);
    }

    function test_theTermsThatRulesBindAreAccepted() public {
        _bind(_withRow(), PlanMode.Proved);
        vm.prank(oracle);
        plans.postProved(SITE, NEXT, Certificate(_withRow(), "", "", 0), _lanes());
        assertTrue(plans.isCertified(SITE, NEXT, NEXT));
    }

    function testFuzz_revert_InputsNotOfSite_anyBitOfTheTerms(uint8 which, uint8 bit) public {
        bytes memory inputs = _withRow();
        _bind(inputs, PlanMode.Proved);
        // Penalty and surcharge, price of the peak, coefficient and bound of the row.
        uint256 i = bound(which, 0, 23);
        uint256 place = i < 8 ? PENALTY + i : i < 12 ? 24 + i - 8 : ROWS_END - 12 + i - 12;
        inputs[place] ^= bytes1(uint8(1 << bit % 8));
        vm.expectRevert(abi.encodeWithSelector(IPlans.InputsNotOfSite.selector, SITE, SitePart.Terms, 0));
        vm.prank(oracle);
        plans.postProved(SITE, NEXT, Certificate(inputs, "", "", 0), _lanes());
    }

    /// Nor is any number of a battery free that does not change by itself; the power it may take is, down from its rating.
    function testFuzz_ofABatteryContentAndEndValueAreFree(uint8 which, uint8 bit) public {
        bytes memory inputs = _withRow();
        _bind(inputs, PlanMode.Proved);
        uint256 i = bound(which, 5, BATTERY - 1);
        inputs[inputs.length - BATTERY + i] ^= bytes1(uint8(1 << bit % 8));
        if (_isBound(i)) {
            vm.expectRevert(abi.encodeWithSelector(IPlans.InputsNotOfSite.selector, SITE, SitePart.Terms, 0));
        }
        vm.prank(oracle);
        plans.postProved(SITE, NEXT, Certificate(inputs, "", "", 0), _lanes());
        assertEq(plans.isCertified(SITE, NEXT, NEXT), !_isBound(i));
    }

    /// The peak so far is no term: it changes with every plan.
    function test_thePeakSoFarIsFree() public {
        bytes memory inputs = _withRow();
        _bind(inputs, PlanMode.Proved);
        inputs[23] = 0x01;
        vm.prank(oracle);
        plans.postProved(SITE, NEXT, Certificate(inputs, "", "", 0), _lanes());
        assertTrue(plans.isCertified(SITE, NEXT, NEXT));
    }

    function test_otherTermsAreRefutedByChallenge() public {
        bytes memory inputs = _withRow();
        _bind(inputs, PlanMode.Optimistic);
        inputs[PENALTY] = 0x01;
        Certificate memory certificate = Certificate(inputs, "", "", 0);
        vm.recordLogs();
        vm.prank(oracle);
        plans.postClaimed(SITE, NEXT, certificate, _lanes(), COST, COST);
        Plan memory plan = _lastPlan();
        vm.expectEmit(address(plans));
        emit IPlans.PlanRefuted(SITE, NEXT, challenger, Refutation.Certificate, 0, 0);
        vm.prank(challenger);
        plans.challenge(plan, certificate);
        assertEq(plans.planHashAt(SITE, NEXT), 0);
    }
}
