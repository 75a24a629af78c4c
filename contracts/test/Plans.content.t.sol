// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {Months} from "../src/libraries/Months.sol";
import {PlansTest} from "./PlansTest.sol";

/// @notice Plans and readings of a day, one after the other, and what was posted so that everybody can prove it.
abstract contract PlansHistoryTest is PlansTest {
    /// @dev In the inputs' last record, the battery in lane 4.
    uint256 internal constant BATTERY = 29;
    uint16 internal constant BATTERY_LANE = 4;
    uint256 internal constant PEAK_AT = 20;
    uint256 internal constant PEAK_PRICE_AT = 24;
    uint32 internal constant CAPACITY_WH = 60_000;
    /// @dev Half a minute before its interval.
    uint256 internal constant LEAD_S = 30;

    bytes32[] internal steps;
    mapping(uint32 interval => Plan) internal planOf;
    mapping(uint32 interval => bytes) internal inputsOf;
    mapping(uint32 interval => uint16) internal planStepOf;
    mapping(uint32 interval => PostedReadings) internal readingsOf;

    function setUp() public virtual override {
        super.setUp();
        _setMode(PlanMode.Proved);
        _fund(oracle, 200 * BOND);
    }

    function _withContent(uint32 contentWh) internal pure returns (bytes memory inputs) {
        inputs = _inputs();
        _write(inputs, inputs.length - BATTERY + 9, CAPACITY_WH);
        _write(inputs, inputs.length - BATTERY + 13, contentWh);
    }

    function _write(bytes memory data, uint256 at, uint32 number) internal pure {
        for (uint256 i; i < 4; ++i) {
            data[at + i] = bytes1(uint8(number >> 8 * (3 - i)));
        }
    }

    function _plan(uint32 interval, bytes memory inputs) internal {
        _planAt(interval, inputs, interval * INTERVAL_S - LEAD_S);
    }

    function _planAt(uint32 interval, bytes memory inputs, uint256 time) internal {
        vm.warp(time);
        vm.recordLogs();
        vm.prank(oracle);
        plans.postProved(SITE, interval, Certificate(inputs, "", "", 0), _lanes());
        Plan memory plan = _lastPlan();
        (planOf[interval], inputsOf[interval], planStepOf[interval]) = (plan, inputs, uint16(steps.length));
        steps.push(keccak256(abi.encode(1, SITE, interval, plan.columnHash, keccak256(abi.encode(plan)))));
    }

    /// @dev Readings of an interval, as soon as it is over.
    function _read(uint32 interval, int32[] memory energies) internal {
        vm.warp((interval + 1) * INTERVAL_S);
        bytes memory lanes = _readings(energies);
        bytes32 root = keccak256(lanes);
        vm.prank(owner);
        dispatch.postReadings(SITE, interval, lanes, root);
        readingsOf[interval] = PostedReadings(interval, lanes, root, uint16(steps.length));
        steps.push(keccak256(abi.encode(2, SITE, interval, keccak256(lanes), root)));
    }

    function _readBattery(uint32 interval, int256 energyWh) internal {
        int32[] memory energies = new int32[](LANES);
        energies[BATTERY_LANE] = int32(energyWh);
        _read(interval, energies);
    }

    function _history(uint32 interval) internal view returns (HistoryProof memory) {
        return HistoryProof(0, steps, planStepOf[interval]);
    }

    function _expectRefuted(uint32 interval, Refutation what, uint256 index) internal {
        vm.expectEmit(address(plans));
        emit IPlans.PlanRefuted(SITE, interval, challenger, what, index, BOND / 2);
        vm.prank(challenger);
    }

    function _assertRefuted(uint32 interval) internal view {
        assertFalse(plans.isCertified(SITE, interval, interval));
        assertEq(plans.planHashAt(SITE, interval), 0);
        assertEq(plans.stakeOf(challenger), BOND / 2);
        assertEq(plans.stakeOf(protocol), BOND - BOND / 2);
    }

    function _expectReadingNotBefore(uint32 interval) internal {
        vm.expectRevert(abi.encodeWithSelector(IPlans.ReadingNotBefore.selector, SITE, interval));
    }
}

contract PlansRefuteContentTest is PlansHistoryTest {
    /// @dev The first plan with readings of the interval in which it was posted.
    uint32 private constant A = FIRST + 2;
    /// @dev A quarter hour at the battery's rating and a tenth.
    int256 private constant FLOW_WH = 8_250;
    int256 private constant CHARGE = 95;
    int256 private constant DISCHARGE = 105;
    int256 private constant FULL = 100 * int256(uint256(CAPACITY_WH));

    uint256 private seed;
    /// @dev What flowed, from the interval of A's posting on.
    int256[] private flowed;

    function _random(int256 least, int256 most) private returns (int256) {
        seed = uint256(keccak256(abi.encode(seed)));
        return bound(int256(seed >> 8), least, most);
    }

    function _within(int256 content) private pure returns (int256) {
        return content < 0 ? int256(0) : content > FULL ? FULL : content;
    }

    /// @dev Plans for `first` to A, the first of them with any content, A with `contentWh`.
    function _begin(uint32 contentWh) private {
        _plan(A - 1, _withContent(0));
        _plan(A, _withContent(contentWh));
    }

    /// @dev From A on, so many intervals in which `energiesWh` flow, each with a plan.
    function _pass(int256[] memory energiesWh) private {
        for (uint32 i; i < energiesWh.length; ++i) {
            _readBattery(A - 1 + i, energiesWh[i]);
            flowed.push(energiesWh[i]);
            if (i + 1 < energiesWh.length) _plan(A + 1 + i, _withContent(0));
        }
    }

    function _evidence(uint32 earlier, uint32 interval) private view returns (ContentProof memory evidence) {
        (evidence.earlier, evidence.inputs) = (planOf[earlier], inputsOf[earlier]);
        (evidence.earlierStep, evidence.history) = (planStepOf[earlier], _history(interval));
        evidence.readings = new PostedReadings[](interval - earlier);
        for (uint32 i; i < interval - earlier; ++i) {
            evidence.readings[i] = readingsOf[earlier - 1 + i];
        }
    }

    /// @dev What a battery can hold, by the words of docs/proof.md.
    function _bounds(uint32 contentWh) private view returns (uint256 leastWh, uint256 mostWh) {
        int256 least = _within(int256(uint256(contentWh)) * 100 - CHARGE * FLOW_WH);
        int256 most = _within(int256(uint256(contentWh)) * 100 + 99 + DISCHARGE * FLOW_WH);
        for (uint256 i; i < flowed.length; ++i) {
            int256 wh = flowed[i];
            least = _within(least + (wh > 0 ? wh * (CHARGE - 10) : wh * (DISCHARGE + 10)));
            most = _within(most + (wh > 0 ? wh * (CHARGE + 10) : wh * (DISCHARGE - 10)));
        }
        leastWh = uint256(_within(least - DISCHARGE * FLOW_WH) / 100);
        mostWh = uint256(_within(most + CHARGE * FLOW_WH) / 100);
    }

    /// Whoever keeps the books as the planner does is never refuted: whatever was projected and flowed otherwise, whatever
    /// the meter caught up with, whatever was cut off at the capacity, with losses up to a tenth beside the planned ones.
    function testFuzz_honestContentsHold(uint256 seed_) public {
        seed = seed_;
        uint32 count = uint32(uint256(_random(2, 9)));
        int256 held = _random(0, FULL);
        _plan(A - 1, _withContent(0));
        for (uint32 i; i <= count; ++i) {
            _plan(A + i, _withContent(_projected(held)));
            int256 wh = _random(0, 5) == 0 ? _random(-4 * FLOW_WH, 4 * FLOW_WH) : _random(-FLOW_WH, FLOW_WH);
            held = _within(held + wh * ((wh > 0 ? CHARGE : DISCHARGE) + _random(-10, 10)));
            if (i < count) _readBattery(A - 1 + i, wh);
        }
        uint32 last = A + count;
        for (uint32 earlier = A; earlier < last; ++earlier) {
            ContentProof memory evidence = _evidence(earlier, last);
            vm.expectPartialRevert(IPlans.ContentHolds.selector);
            plans.refuteContent(planOf[last], inputsOf[last], 0, evidence);
        }
        assertTrue(plans.isCertified(SITE, A - 1, last));
    }

    /// @dev With any energy that may be thought to flow before the interval begins.
    function _projected(int256 held) private returns (uint32) {
        int256 wh = _random(-FLOW_WH, FLOW_WH);
        return uint32(uint256(_within(held + wh * (wh > 0 ? CHARGE : DISCHARGE)) / 100));
    }

    /// What lies outside of what can be is refuted, to the Wh, and nothing else is.
    function testFuzz_whatCannotBeIsRefuted(uint256 seed_, bool isAtTheEdge) public {
        seed = seed_;
        uint32 contentWh = uint32(uint256(_random(0, FULL / 100)));
        _begin(contentWh);
        int256[] memory energiesWh = new int256[](uint256(_random(1, 6)));
        for (uint256 i; i < energiesWh.length; ++i) {
            energiesWh[i] = _random(-FLOW_WH, FLOW_WH);
        }
        _pass(energiesWh);
        (uint256 leastWh, uint256 mostWh) = _bounds(contentWh);
        int256 claimed = _random(0, FULL / 100 + 10_000);
        if (isAtTheEdge) {
            claimed = _random(0, 1) == 0 ? int256(leastWh) - _random(0, 1) : int256(mostWh) + _random(0, 1);
        }
        if (claimed < 0) claimed = 0;
        uint32 interval = A + uint32(energiesWh.length);
        _plan(interval, _withContent(uint32(uint256(claimed))));
        ContentProof memory evidence = _evidence(A, interval);
        if (uint256(claimed) < leastWh || uint256(claimed) > mostWh) {
            _expectRefuted(interval, Refutation.Content, 0);
            plans.refuteContent(planOf[interval], inputsOf[interval], 0, evidence);
            _assertRefuted(interval);
        } else {
            bytes4 holds = IPlans.ContentHolds.selector;
            vm.expectRevert(abi.encodeWithSelector(holds, SITE, interval, 0, leastWh, mostWh));
            plans.refuteContent(planOf[interval], inputsOf[interval], 0, evidence);
        }
    }

    /// A battery that is full takes nothing, and what it gives from then on is missing.
    function test_aFullBatteryHidesNothing() public {
        int256[] memory energiesWh = new int256[](5);
        (energiesWh[0], energiesWh[1], energiesWh[2], energiesWh[3]) = (7_000, 7_000, 7_000, -7_000);
        energiesWh[4] = -7_000;
        _begin(CAPACITY_WH);
        _pass(energiesWh);
        uint32 interval = A + 5;
        (, uint256 mostWh) = _bounds(CAPACITY_WH);
        assertEq(mostWh, CAPACITY_WH - 5_463);
        _plan(interval, _withContent(CAPACITY_WH));
        ContentProof memory evidence = _evidence(A, interval);
        _expectRefuted(interval, Refutation.Content, 0);
        plans.refuteContent(planOf[interval], inputsOf[interval], 0, evidence);
        _assertRefuted(interval);
    }

    /// @dev Nothing flows for `count` intervals, and then the battery is said to hold all of a sudden.
    function _lie(uint32 count) private returns (uint32 interval) {
        _begin(0);
        _pass(new int256[](count));
        interval = A + count;
        _plan(interval, _withContent(50_000));
    }

    function test_plansWithoutACertificateMayLieBetween() public {
        _begin(0);
        _readBattery(A - 1, 0);
        vm.warp((A + 1) * INTERVAL_S - LEAD_S);
        vm.prank(oracle);
        plans.postUncertified(SITE, A + 1, _lanes(), "the solver was late");
        steps.push(keccak256(abi.encode(1, SITE, A + 1, keccak256(_lanes()), bytes32(0))));
        _readBattery(A, 0);
        _plan(A + 2, _withContent(50_000));
        ContentProof memory evidence = _evidence(A, A + 2);
        _expectRefuted(A + 2, Refutation.Content, 0);
        plans.refuteContent(planOf[A + 2], inputsOf[A + 2], 0, evidence);
        _assertRefuted(A + 2);
    }

    /// What a planner that posts two intervals ahead did not know may have flowed in both of them.
    function test_whoPlansAheadKnowsLess() public {
        _begin(0);
        _readBattery(A - 1, 0);
        uint32 most = uint32(uint256(99 + DISCHARGE * FLOW_WH + 2 * CHARGE * FLOW_WH) / 100);
        _planAt(A + 1, _withContent(0), A * INTERVAL_S + 1);
        _planAt(A + 2, _withContent(most), A * INTERVAL_S + 2);
        ContentProof memory evidence = _evidence(A, A + 1);
        evidence.history = _history(A + 2);
        vm.expectPartialRevert(IPlans.ContentHolds.selector);
        plans.refuteContent(planOf[A + 2], inputsOf[A + 2], 0, evidence);
    }

    function test_revert_WrongReadingCount() public {
        uint32 interval = _lie(3);
        ContentProof memory evidence = _evidence(A, interval);
        evidence.readings = new PostedReadings[](2);
        vm.expectRevert(abi.encodeWithSelector(IPlans.WrongReadingCount.selector, 2, 3, 96));
        plans.refuteContent(planOf[interval], inputsOf[interval], 0, evidence);
    }

    function test_aDayOfReadingsIsTheMost() public {
        uint32 interval = _lie(97);
        ContentProof memory evidence = _evidence(A, interval);
        vm.expectRevert(abi.encodeWithSelector(IPlans.WrongReadingCount.selector, 97, 97, 96));
        plans.refuteContent(planOf[interval], inputsOf[interval], 0, evidence);

        evidence = _evidence(A + 1, interval);
        bytes memory call = abi.encodeCall(plans.refuteContent, (planOf[interval], inputsOf[interval], 0, evidence));
        uint256 before = gasleft();
        vm.prank(challenger);
        plans.refuteContent(planOf[interval], inputsOf[interval], 0, evidence);
        // Calldata at its dearest.
        assertLt(before - gasleft() + 40 * call.length, 16_000_000);
        _assertRefuted(interval);
    }

    function testFuzz_revert_ReadingNotBefore_otherReadings(uint8 which, uint8 place) public {
        uint32 interval = _lie(3);
        ContentProof memory evidence = _evidence(A, interval);
        PostedReadings memory readings = evidence.readings[which % 3];
        readings.lanes[place % readings.lanes.length] ^= 0x01;
        _expectReadingNotBefore(interval);
        plans.refuteContent(planOf[interval], inputsOf[interval], 0, evidence);
    }

    function test_revert_ReadingNotBefore_inAnotherOrder() public {
        uint32 interval = _lie(3);
        ContentProof memory evidence = _evidence(A, interval);
        (evidence.readings[0], evidence.readings[1]) = (evidence.readings[1], evidence.readings[0]);
        _expectReadingNotBefore(interval);
        plans.refuteContent(planOf[interval], inputsOf[interval], 0, evidence);
    }

    /// Readings that came only after the plan say nothing about what its poster knew.
    function test_revert_ReadingNotBefore_postedLate() public {
        _begin(0);
        _plan(A + 1, _withContent(50_000));
        _readBattery(A - 1, 0);
        ContentProof memory evidence = _evidence(A, A + 1);
        _expectReadingNotBefore(A + 1);
        plans.refuteContent(planOf[A + 1], inputsOf[A + 1], 0, evidence);
    }

    function test_revert_ReadingNotBefore_anotherStepAsThePlans() public {
        uint32 interval = _lie(2);
        ContentProof memory evidence = _evidence(A, interval);
        uint16[2] memory others = [evidence.history.planStep - 1, uint16(evidence.history.steps.length)];
        for (uint256 i; i < others.length; ++i) {
            evidence.history.planStep = others[i];
            _expectReadingNotBefore(interval);
            plans.refuteContent(planOf[interval], inputsOf[interval], 0, evidence);
        }
    }

    function test_revert_ReadingsDisputed() public {
        uint32 interval = _lie(2);
        ContentProof memory evidence = _evidence(A, interval);
        bytes memory call = abi.encodeCall(IDispatch.stateOf, (SITE, A));
        vm.mockCall(address(dispatch), call, abi.encode(IntervalState.Disputed));
        vm.expectRevert(abi.encodeWithSelector(IPlans.ReadingsDisputed.selector, SITE, A));
        plans.refuteContent(planOf[interval], inputsOf[interval], 0, evidence);
    }

    function testFuzz_revert_HistoryMismatch(uint8 which) public {
        uint32 interval = _lie(2);
        ContentProof memory evidence = _evidence(A, interval);
        evidence.history.steps[which % evidence.history.steps.length] ^= bytes32(uint256(1));
        vm.expectPartialRevert(IDispatch.HistoryMismatch.selector);
        plans.refuteContent(planOf[interval], inputsOf[interval], 0, evidence);
    }

    function test_revert_PlanNotEarlier() public {
        uint32 interval = _lie(2);
        ContentProof memory evidence = _evidence(A, interval);
        --evidence.earlierStep;
        vm.expectRevert(abi.encodeWithSelector(IPlans.PlanNotEarlier.selector, SITE, interval, A));
        plans.refuteContent(planOf[interval], inputsOf[interval], 0, evidence);

        evidence = _evidence(A, interval);
        evidence.earlier.poster = stranger;
        vm.expectRevert(abi.encodeWithSelector(IPlans.PlanNotEarlier.selector, SITE, interval, A));
        plans.refuteContent(planOf[interval], inputsOf[interval], 0, evidence);

        (evidence.earlier, evidence.inputs) = (planOf[interval], inputsOf[interval]);
        vm.expectRevert(abi.encodeWithSelector(IPlans.PlanNotEarlier.selector, SITE, interval, interval));
        plans.refuteContent(planOf[interval], inputsOf[interval], 0, evidence);
    }

    /// What a plan said that was refuted since accuses nobody.
    function test_revert_PlanFell() public {
        uint32 liar = _lie(1);
        _readBattery(A, 0);
        _plan(liar + 1, _withContent(0));
        vm.prank(challenger);
        plans.refuteContent(planOf[liar], inputsOf[liar], 0, _evidence(A, liar));
        ContentProof memory evidence = _evidence(liar, liar + 1);
        vm.expectRevert(abi.encodeWithSelector(IPlans.PlanFell.selector, SITE, liar));
        plans.refuteContent(planOf[liar + 1], inputsOf[liar + 1], 0, evidence);
    }

    /// A plan stays evidence when its own window is over and it is forgotten.
    function test_aReleasedPlanIsEvidence() public {
        uint32 interval = _lie(96);
        vm.warp(_until(A));
        plans.release(planOf[A]);
        assertEq(plans.planHashAt(SITE, A), 0);
        ContentProof memory evidence = _evidence(A, interval);
        _expectRefuted(interval, Refutation.Content, 0);
        plans.refuteContent(planOf[interval], inputsOf[interval], 0, evidence);
        _assertRefuted(interval);
    }

    function test_revert_OtherBattery() public {
        bytes memory inputs = _withContent(50_000);
        inputs[inputs.length - BATTERY + 6] = 0x5e;
        _begin(0);
        _pass(new int256[](1));
        _plan(A + 1, inputs);
        ContentProof memory evidence = _evidence(A, A + 1);
        vm.expectRevert(abi.encodeWithSelector(IPlans.OtherBattery.selector, SITE, A, 0));
        plans.refuteContent(planOf[A + 1], inputs, 0, evidence);
    }

    function testFuzz_revert_NoSuchBattery(uint256 index) public {
        index = bound(index, 1, type(uint256).max);
        uint32 interval = _lie(1);
        ContentProof memory evidence = _evidence(A, interval);
        vm.expectRevert(abi.encodeWithSelector(IPlans.NoSuchBattery.selector, index, 1));
        plans.refuteContent(planOf[interval], inputsOf[interval], index, evidence);
    }

    function test_revert_WrongCertificate() public {
        uint32 interval = _lie(1);
        ContentProof memory evidence = _evidence(A, interval);
        vm.expectRevert(abi.encodeWithSelector(IPlans.WrongCertificate.selector, SITE, interval));
        plans.refuteContent(planOf[interval], inputsOf[A], 0, evidence);
        evidence.inputs = inputsOf[interval];
        vm.expectRevert(abi.encodeWithSelector(IPlans.WrongCertificate.selector, SITE, A));
        plans.refuteContent(planOf[interval], inputsOf[interval], 0, evidence);
    }

    function test_revert_ChallengeTooLate() public {
        uint32 interval = _lie(1);
        ContentProof memory evidence = _evidence(A, interval);
        uint256 until = _until(interval);
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(IPlans.ChallengeTooLate.selector, SITE, interval, until, until));
        plans.refuteContent(planOf[interval], inputsOf[interval], 0, evidence);
    }
}

contract PlansRefutePeakTest is PlansHistoryTest {
    /// @dev Its readings are posted before the plan of two intervals later.
    uint32 private constant READ = FIRST + 3 * 96;
    uint32 private constant PLANNED = READ + 2;
    /// @dev 4 W of each lane, and a step.
    uint32 private constant SLACK_W = 4 * uint32(LANES) + 10;

    function _withPeak(uint32 peakW) private pure returns (bytes memory inputs) {
        inputs = _inputs();
        _write(inputs, PEAK_AT, peakW);
        _write(inputs, PEAK_PRICE_AT, 1);
    }

    /// @dev The site imported 5,910 Wh in `read`: the sum of its sound readings; the plan has seen a peak of `peakW`.
    function _import(uint32 read, uint32 planned, bytes memory inputs) private {
        vm.warp(read * INTERVAL_S - LEAD_S);
        _plan(read, _withPeak(0));
        _read(read, _soundReadings());
        _plan(planned, inputs);
    }

    function _metered() private pure returns (uint32 importW) {
        int32[] memory energies = _soundReadings();
        int256 sum;
        for (uint256 i; i < energies.length; ++i) {
            sum += energies[i];
        }
        return uint32(uint256(4 * sum));
    }

    function testFuzz_aPeakBelowWhatWasMeteredIsRefuted(uint32 peakW) public {
        peakW = uint32(bound(peakW, 0, _metered() - SLACK_W - 1));
        _import(READ, PLANNED, _withPeak(peakW));
        HistoryProof memory history = _history(PLANNED);
        _expectRefuted(PLANNED, Refutation.Peak, 0);
        plans.refutePeak(planOf[PLANNED], inputsOf[PLANNED], readingsOf[READ], history);
        _assertRefuted(PLANNED);
    }

    function testFuzz_anHonestPeakHolds(uint32 peakW) public {
        peakW = uint32(bound(peakW, _metered() - SLACK_W, type(uint32).max));
        _import(READ, PLANNED, _withPeak(peakW));
        HistoryProof memory history = _history(PLANNED);
        int256 metered = int256(uint256(_metered()));
        uint256 most = uint256(peakW) + SLACK_W;
        vm.expectRevert(abi.encodeWithSelector(IPlans.PeakHolds.selector, SITE, PLANNED, metered, most));
        plans.refutePeak(planOf[PLANNED], inputsOf[PLANNED], readingsOf[READ], history);
    }

    function test_revert_PeakNotPriced() public {
        _import(READ, PLANNED, _inputs());
        HistoryProof memory history = _history(PLANNED);
        vm.expectRevert(abi.encodeWithSelector(IPlans.PeakNotPriced.selector, SITE, PLANNED));
        plans.refutePeak(planOf[PLANNED], inputsOf[PLANNED], readingsOf[READ], history);
    }

    function test_revert_ReadingNotBefore() public {
        vm.warp(READ * INTERVAL_S - LEAD_S);
        _plan(READ, _withPeak(0));
        _plan(READ + 1, _withPeak(0));
        _read(READ, _soundReadings());
        HistoryProof memory history = _history(READ + 1);
        _expectReadingNotBefore(READ + 1);
        plans.refutePeak(planOf[READ + 1], inputsOf[READ + 1], readingsOf[READ], history);
    }

    /// Within a day of the first of a month the month may be another one where the site is.
    function test_revert_OtherMonth() public {
        uint32 second = FIRST + 32 * 96;
        uint32[2][4] memory wrong = [
            [FIRST + 95, FIRST + 98],
            [FIRST + 29 * 96, FIRST + 30 * 96],
            [FIRST + 28 * 96, second],
            [second - 1, second + 1]
        ];
        for (uint256 i; i < wrong.length; ++i) {
            uint256 state = vm.snapshotState();
            (uint32 read, uint32 planned) = (wrong[i][0], wrong[i][1]);
            _import(read, planned, _withPeak(0));
            HistoryProof memory history = _history(planned);
            vm.expectRevert(abi.encodeWithSelector(IPlans.OtherMonth.selector, SITE, planned, read));
            plans.refutePeak(planOf[planned], inputsOf[planned], readingsOf[read], history);
            vm.revertToState(state);
        }
    }

    function test_fromTheSecondDayToTheLastButOneIsOneMonth() public {
        uint32 planned = FIRST + 29 * 96 + 95;
        _import(FIRST + 96, planned, _withPeak(0));
        HistoryProof memory history = _history(planned);
        _expectRefuted(planned, Refutation.Peak, 0);
        plans.refutePeak(planOf[planned], inputsOf[planned], readingsOf[FIRST + 96], history);
    }
}

contract MonthsTest is PlansTest {
    /// Against a plain walk through years and months.
    function test_monthsOfTwoHundredYears() public pure {
        uint8[12] memory lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        uint256 day;
        for (uint256 year = 1970; year < 2170; ++year) {
            bool isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            for (uint256 month; month < 12; ++month) {
                uint256 expected = 12 * year + month - 2;
                uint256 last = day + lengths[month] - (month == 1 && isLeap ? 0 : 1);
                assertEq(Months.monthOf(day), expected);
                assertEq(Months.monthOf(last), expected);
                day = last + 1;
            }
        }
    }
}
