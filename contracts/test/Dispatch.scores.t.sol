// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {BaseTest} from "./BaseTest.sol";

/// @notice Intervals of the demo site, whose lanes 0 and 7 are base loads and lane 1 a PV inverter; everything posted for
/// them, and what their forecasts are scored with.
contract DispatchScoresTest is BaseTest {
    uint32 private constant NEXT = FIRST + 1;

    HistoryStep[] private posted;
    /// @dev History before each step.
    bytes32[] private before;

    function _plan(uint32 interval, int16[] memory values) private {
        bytes memory lanes = _setpoints(values);
        bytes32 planHash = bytes32(uint256(interval));
        posted.push(HistoryStep(1, interval, lanes, planHash));
        before.push(dispatch.history(SITE));
        vm.prank(oracle);
        dispatch.postSetpoints(SITE, interval, lanes, planHash);
    }

    function _meter(uint32 interval, int32[] memory values) private {
        _meter(interval, values, bytes32(0));
    }

    function _meter(uint32 interval, int32[] memory values, bytes32 root) private {
        bytes memory lanes = _readings(values);
        posted.push(HistoryStep(2, interval, lanes, root));
        before.push(dispatch.history(SITE));
        vm.prank(oracle);
        dispatch.postReadings(SITE, interval, lanes, root);
    }

    /// @dev Two intervals, planned and metered as a running site does it.
    function _twoIntervals() private {
        _plan(NEXT, _soundSetpoints());
        vm.warp((uint256(NEXT) + 1) * INTERVAL_S - 60);
        _plan(NEXT + 1, _soundSetpoints());
        vm.warp((uint256(NEXT) + 1) * INTERVAL_S);
        _meter(NEXT, _missedReadings());
        vm.warp((uint256(NEXT) + 2) * INTERVAL_S);
        _meter(NEXT + 1, _soundReadings());
    }

    /// @dev Off by 40 W and 8 W of base load, 100 W of sun, and in lanes that nobody forecasts.
    function _missedReadings() private pure returns (int32[] memory values) {
        values = _soundReadings();
        (values[0], values[7]) = (values[0] + 10, values[7] - 2);
        (values[1], values[2], values[4]) = (values[1] + 25, 0, 300);
    }

    /// @dev Of one interval of `_soundSetpoints`.
    function _perfect() private pure returns (ForecastScore memory score) {
        (score.first, score.last, score.scored) = (NEXT, NEXT, 1);
        (score.baseLoadW, score.pvW) = (12_000, 20_000);
    }

    function _ofBoth() private pure returns (ForecastScore memory) {
        return ForecastScore(NEXT, NEXT + 1, 2, 24_000, 48, 40_000, 100);
    }

    function _opened(uint256 from, uint256 until) private view returns (HistoryStep[] memory steps) {
        steps = new HistoryStep[](until - from);
        for (uint256 i; i < steps.length; ++i) {
            steps[i] = posted[from + i];
        }
    }

    function _stepOf(HistoryStep memory step) private view returns (bytes32) {
        return keccak256(abi.encode(step.kind, SITE, step.interval, keccak256(step.lanes), step.evidence));
    }

    function _later(uint256 from) private view returns (bytes32[] memory later) {
        later = new bytes32[](posted.length - from);
        for (uint256 i; i < later.length; ++i) {
            later[i] = _stepOf(posted[from + i]);
        }
    }

    function _historyBefore(uint256 step) private view returns (bytes32) {
        return step == posted.length ? dispatch.history(SITE) : before[step];
    }

    /// @dev Scores the steps [from, until) and expects the event; whoever asks, nothing else changes.
    function _expectScore(uint256 from, uint256 until, ForecastScore memory score) private {
        (HistoryStep[] memory steps, bytes32[] memory later) = (_opened(from, until), _later(until));
        bytes32 history = dispatch.history(SITE);
        vm.expectEmit(address(dispatch));
        emit IDispatch.ForecastsScored(SITE, _historyBefore(from), _historyBefore(until), score);
        vm.record();
        vm.prank(stranger);
        dispatch.scoreForecasts(SITE, _historyBefore(from), steps, later);
        (, bytes32[] memory writes) = vm.accesses(address(dispatch));
        assertEq(writes.length, 0, "nothing is stored");
        assertEq(dispatch.history(SITE), history, "history");
    }

    function _expectNothing(uint256 from, uint256 until) private {
        (HistoryStep[] memory steps, bytes32[] memory later) = (_opened(from, until), _later(until));
        bytes32 previous = _historyBefore(from);
        vm.expectRevert(abi.encodeWithSelector(IDispatch.NothingScored.selector, SITE, until - from));
        dispatch.scoreForecasts(SITE, previous, steps, later);
    }

    function _expectMismatch(bytes32 previous, HistoryStep[] memory steps, bytes32[] memory later) private {
        bytes32 folded = previous;
        for (uint256 i; i < steps.length; ++i) {
            folded = keccak256(abi.encode(folded, _stepOf(steps[i])));
        }
        for (uint256 i; i < later.length; ++i) {
            folded = keccak256(abi.encode(folded, later[i]));
        }
        bytes32 history = dispatch.history(SITE);
        vm.expectRevert(abi.encodeWithSelector(IDispatch.HistoryMismatch.selector, SITE, folded, history));
        dispatch.scoreForecasts(SITE, previous, steps, later);
    }

    function test_scoreForecasts_lanesOfOtherKindsDoNotCount() public {
        _twoIntervals();
        _expectScore(0, 4, _ofBoth());
    }

    function test_scoreForecasts_aStretchAndAgain() public {
        _twoIntervals();
        _expectScore(0, 3, ForecastScore(NEXT, NEXT, 1, 12_000, 48, 20_000, 100));
        _expectScore(0, 3, ForecastScore(NEXT, NEXT, 1, 12_000, 48, 20_000, 100));
        _expectScore(1, 4, ForecastScore(NEXT + 1, NEXT + 1, 1, 12_000, 0, 20_000, 0));
        _expectScore(0, 4, _ofBoth());
    }

    function test_scoreForecasts_beforeWhatWasPostedSince() public {
        _twoIntervals();
        _plan(NEXT + 3, _soundSetpoints());
        _expectScore(0, 4, _ofBoth());
        _expectScore(0, 5, _ofBoth());
    }

    /// @dev What was to be used of the sun is compared, whatever it could have been.
    function test_scoreForecasts_curtailed() public {
        int16[] memory values = _soundSetpoints();
        values[1] = 0;
        _plan(NEXT, values);
        vm.warp((uint256(NEXT) + 1) * INTERVAL_S);
        int32[] memory readings = _soundReadings();
        readings[1] = 0;
        _meter(NEXT, readings);
        ForecastScore memory score = _perfect();
        score.pvW = 0;
        _expectScore(0, 2, score);
    }

    function test_scoreForecasts_readingsOutOfOrder() public {
        _plan(NEXT + 1, _soundSetpoints());
        _plan(NEXT, _soundSetpoints());
        vm.warp((uint256(NEXT) + 2) * INTERVAL_S);
        _meter(NEXT + 1, _soundReadings());
        _meter(NEXT, _missedReadings());
        _expectScore(0, 4, _ofBoth());
    }

    function test_scoreForecasts_unmeteredDoesNotCount() public {
        _plan(NEXT, _soundSetpoints());
        _plan(NEXT + 1, _soundSetpoints());
        vm.warp((uint256(NEXT) + 1) * INTERVAL_S);
        _meter(NEXT, _soundReadings());
        _expectScore(0, 3, _perfect());
    }

    function test_scoreForecasts_disputedDoesNotCount() public {
        (MeterReading memory start, MeterReading memory stop) = _evidence();
        bytes32 leaf = keccak256(
            bytes.concat(keccak256(abi.encode(2, settlement.readingHash(start), settlement.readingHash(stop))))
        );
        _plan(NEXT, _soundSetpoints());
        _plan(NEXT + 1, _soundSetpoints());
        vm.warp((uint256(NEXT) + 2) * INTERVAL_S);
        _meter(NEXT, _missedReadings(), leaf);
        _meter(NEXT + 1, _soundReadings());
        _expectScore(0, 4, _ofBoth());

        bytes memory lanes = posted[2].lanes;
        ReadingProof memory proof = ReadingProof(before[2], lanes, leaf, _later(3), 2, new bytes32[](0));
        dispatch.disputeLane(SITE, NEXT, proof, start, stop);
        ForecastScore memory score = _perfect();
        (score.first, score.last) = (NEXT + 1, NEXT + 1);
        _expectScore(0, 4, score);
        _expectNothing(0, 3);
    }

    /// @dev The demo's EVSE drew, and its lane says that it did not.
    function _evidence() private view returns (MeterReading memory start, MeterReading memory stop) {
        uint40 begin = uint40(NEXT * INTERVAL_S);
        start = MeterReading(EVSE, 10_000, 0, begin, 1, ReadingContext.Interval);
        stop = MeterReading(EVSE, 12_760, 0, uint40(begin + INTERVAL_S), 2, ReadingContext.Interval);
    }

    /// @dev Setpoints 512 intervals later take the place of the interval's state.
    function test_revert_NothingScored_forgotten() public {
        _twoIntervals();
        vm.warp((uint256(NEXT) + 512 - 96) * INTERVAL_S);
        _expectScore(0, 4, _ofBoth());
        _plan(NEXT + 512, _soundSetpoints());
        _expectNothing(0, 3);
        _expectScore(1, 4, ForecastScore(NEXT + 1, NEXT + 1, 1, 12_000, 0, 20_000, 0));
    }

    function test_revert_NothingScored_halves() public {
        _twoIntervals();
        _expectNothing(0, 0);
        _expectNothing(4, 4);
        _expectNothing(0, 2);
        _expectNothing(2, 4);
        _expectNothing(1, 3);
    }

    function test_revert_NothingScored_unknownSite(bytes32 site) public {
        vm.assume(site != SITE);
        vm.expectRevert(abi.encodeWithSelector(IDispatch.NothingScored.selector, site, 0));
        dispatch.scoreForecasts(site, 0, new HistoryStep[](0), new bytes32[](0));
    }

    function test_revert_HistoryMismatch_outOfOrder() public {
        _twoIntervals();
        HistoryStep[] memory steps = _opened(0, 4);
        (steps[0], steps[1]) = (steps[1], steps[0]);
        _expectMismatch(0, steps, _later(4));
        (steps[0], steps[1]) = (steps[1], steps[0]);
        (steps[2], steps[3]) = (steps[3], steps[2]);
        _expectMismatch(0, steps, _later(4));
    }

    function test_revert_HistoryMismatch_stepLeftOutOrAdded() public {
        _twoIntervals();
        _expectMismatch(0, _opened(1, 4), _later(4));
        _expectMismatch(0, _opened(0, 3), _later(4));
        _expectMismatch(0, _opened(0, 3), _later(2));
        _expectMismatch(before[1], _opened(0, 4), _later(4));
        _expectMismatch(bytes32(uint256(1)), _opened(0, 4), _later(4));
    }

    function test_revert_HistoryMismatch_notWhatWasPosted(uint8 kind, uint32 interval, bytes32 evidence) public {
        _twoIntervals();
        HistoryStep[] memory steps = _opened(0, 4);
        vm.assume(kind != steps[2].kind && interval != steps[2].interval && evidence != steps[2].evidence);
        steps[2].kind = kind;
        _expectMismatch(0, steps, _later(4));
        (steps = _opened(0, 4))[2].interval = interval;
        _expectMismatch(0, steps, _later(4));
        (steps = _opened(0, 4))[2].evidence = evidence;
        _expectMismatch(0, steps, _later(4));
        (steps = _opened(0, 4))[2].lanes[3] ^= 0x01;
        _expectMismatch(0, steps, _later(4));
        (steps = _opened(0, 4))[0].lanes = bytes.concat(steps[0].lanes, hex"0000");
        _expectMismatch(0, steps, _later(4));
    }

    function test_revert_HistoryMismatch_postedMeanwhile() public {
        _twoIntervals();
        (HistoryStep[] memory steps, bytes32[] memory later) = (_opened(0, 4), _later(4));
        _plan(NEXT + 3, _soundSetpoints());
        _expectMismatch(0, steps, later);
    }

    function test_revert_TooManySteps_opened() public {
        uint256 most = dispatch.MAX_OPENED_STEPS();
        _expectMismatch(0, new HistoryStep[](most), new bytes32[](0));
        vm.expectRevert(abi.encodeWithSelector(IDispatch.TooManySteps.selector, SITE, most + 1, most));
        dispatch.scoreForecasts(SITE, 0, new HistoryStep[](most + 1), new bytes32[](0));
    }

    function test_revert_TooManySteps_later() public {
        uint256 most = dispatch.MAX_LATER_STEPS();
        _expectMismatch(0, new HistoryStep[](0), new bytes32[](most));
        vm.expectRevert(abi.encodeWithSelector(IDispatch.TooManySteps.selector, SITE, most + 1, most));
        dispatch.scoreForecasts(SITE, 0, new HistoryStep[](0), new bytes32[](most + 1));
    }

    /// @dev An asset that came between setpoints and readings was forecast by nobody.
    function test_scoreForecasts_assetAddedMeanwhile() public {
        _plan(NEXT, _soundSetpoints());
        (Asset[] memory assets, string[] memory clearIds) = (new Asset[](1), new string[](1));
        clearIds[0] = "base 3";
        assets[0] = _asset(clearIds[0], AssetKind.BaseLoad, 2, 10_000);
        vm.prank(owner);
        registry.registerAssets(SITE, assets, clearIds);
        vm.warp((uint256(NEXT) + 1) * INTERVAL_S);
        int32[] memory values = new int32[](LANES + 1);
        for (uint256 i; i < LANES; ++i) {
            values[i] = _soundReadings()[i];
        }
        values[LANES] = 1_000;
        _meter(NEXT, values);
        _expectScore(0, 2, _perfect());
    }

    /// @dev What the demo site has in its lanes.
    function _isBaseLoad(uint256 lane) private pure returns (bool) {
        return lane == 0 || lane == 7;
    }

    /// @dev Interval by interval and lane by lane, without looking at any step.
    function _plainScore(int16[][] memory setpoints, int32[][] memory readings, uint256 metered)
        private
        pure
        returns (ForecastScore memory score)
    {
        for (uint32 i; i < setpoints.length; ++i) {
            if (metered >> i & 1 == 0) continue;
            if (score.scored++ == 0) score.first = NEXT + i;
            score.last = NEXT + i;
            for (uint256 lane; lane < LANES; ++lane) {
                int64 plannedW = int64(setpoints[i][lane]) * 10;
                int64 offW = plannedW - 4 * int64(readings[i][lane]);
                uint64 powerW = uint64(plannedW < 0 ? -plannedW : plannedW);
                uint64 errorW = uint64(offW < 0 ? -offW : offW);
                if (_isBaseLoad(lane)) {
                    (score.baseLoadW, score.baseLoadErrorW) = (score.baseLoadW + powerW, score.baseLoadErrorW + errorW);
                }
                if (lane == 1) (score.pvW, score.pvErrorW) = (score.pvW + powerW, score.pvErrorW + errorW);
            }
        }
    }

    /// @dev Any forecasts, any readings, some intervals without them, posted in any order.
    function test_scoreForecasts_asAPlainLoop(uint256 seed, uint256 count, uint256 metered) public {
        count = bound(count, 1, 24);
        int16[][] memory setpoints = new int16[][](count);
        int32[][] memory readings = new int32[][](count);
        for (uint256 i; i < count; ++i) {
            (setpoints[i], readings[i]) = _randomInterval(uint256(keccak256(abi.encode(seed, i))));
            _plan(NEXT + uint32(i), setpoints[i]);
        }
        vm.warp((uint256(NEXT) + count) * INTERVAL_S);
        metered &= (1 << count) - 1;
        for (uint256 i; i < count; ++i) {
            // Every interval once, from a random one on, up or down.
            uint256 which = seed % 2 == 0 ? (seed % 97 + i) % count : (seed % 97 + count - i) % count;
            if (metered >> which & 1 == 1) _meter(NEXT + uint32(which), readings[which]);
        }
        if (metered == 0) return _expectNothing(0, posted.length);
        _expectScore(0, posted.length, _plainScore(setpoints, readings, metered));
    }

    function _randomInterval(uint256 dice) private pure returns (int16[] memory setpoints, int32[] memory readings) {
        (setpoints, readings) = (new int16[](LANES), new int32[](LANES));
        (setpoints[0], setpoints[7]) = (int16(int256(dice % 4_001)), int16(int256((dice >> 16) % 4_001)));
        setpoints[1] = -int16(int256((dice >> 32) % 5_001));
        (setpoints[2], setpoints[4]) = (int16(int256((dice >> 48) % 501)), -int16(int256((dice >> 64) % 501)));
        for (uint256 lane; lane < LANES; ++lane) {
            int32 wattHours = int32(uint32(uint256(keccak256(abi.encode(dice, lane)))) >> 1);
            if (dice >> 255 == 0) wattHours %= 20_000;
            readings[lane] = lane == 1 || lane == 4 ? -wattHours : wattHours;
        }
    }
}
