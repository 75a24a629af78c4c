// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {
    ContentProof,
    HistoryProof,
    IDispatch,
    IntervalState,
    INTERVAL_S,
    IPlans,
    Plan,
    PostedReadings
} from "../IProtocol.sol";
import {Batteries} from "./Batteries.sol";
import {History} from "./History.sol";
import {InputBytes} from "./InputBytes.sol";
import {InputParts} from "./InputParts.sol";
import {Lanes} from "./Lanes.sol";
import {Layout} from "./Layout.sol";
import {Months} from "./Months.sol";

/// @title What is stored at a site, and its peak so far, in a plan
/// @notice A part of `Refutations`, which runs in Plans' place: both are what earlier plans and posted readings make of them.
library Stored {
    /// @dev A day of readings says what a battery holds; with more of them what is tolerated outgrows what is lied.
    uint256 private constant MOST_READINGS = 96;
    /// @dev Intervals of a day.
    uint256 private constant DAY = 1 days / INTERVAL_S;
    /// @dev Watts of a Wh in an interval: what a lane's rounding hides.
    uint256 private constant W_PER_WH = 1 hours / INTERVAL_S;

    /// @notice See IPlans.refuteContent.
    function requireWrongContent(
        Plan calldata plan,
        bytes calldata inputs,
        uint256 index,
        ContentProof calldata evidence,
        IDispatch dispatch
    ) internal view {
        _requireHistory(plan, evidence.history, dispatch);
        _requireEarlier(plan, evidence);
        (bytes calldata record, bytes calldata earlier) = _batteriesAt(plan, inputs, index, evidence);
        (uint256 leastWh, uint256 mostWh) = _contentsOf(plan, earlier, evidence, dispatch);
        uint256 contentWh = InputParts.number(record, InputBytes.BATTERY_CONTENT_AT, 4);
        bool holds = contentWh >= leastWh && contentWh <= mostWh;
        require(!holds, IPlans.ContentHolds(plan.site, plan.interval, index, leastWh, mostWh));
    }

    /// @notice See IPlans.refutePeak.
    function requireWrongPeak(
        Plan calldata plan,
        bytes calldata inputs,
        PostedReadings calldata readings,
        HistoryProof calldata history,
        IDispatch dispatch
    ) internal view {
        require(InputParts.split(inputs).isPeakPriced, IPlans.PeakNotPriced(plan.site, plan.interval));
        _requireHistory(plan, history, dispatch);
        _requireReadings(plan, readings, history, dispatch);
        // A day to either side, so that it is one month in every time zone.
        bool isSameMonth = Months.monthOf(readings.interval / DAY - 1) == Months.monthOf(plan.interval / DAY + 1);
        require(isSameMonth, IPlans.OtherMonth(plan.site, plan.interval, readings.interval));

        uint256 lanes = readings.lanes.length / Lanes.READING_BYTES;
        int256 meteredWh;
        for (uint256 lane; lane < lanes; ++lane) {
            meteredWh += Lanes.reading(readings.lanes, lane);
        }
        int256 meteredW = meteredWh * int256(W_PER_WH);
        uint256 most = InputParts.number(inputs, InputBytes.PEAK_AT, 4) + lanes * W_PER_WH + Layout.UNIT_W;
        require(meteredW > int256(most), IPlans.PeakHolds(plan.site, plan.interval, meteredW, most));
    }

    /// @dev That the proof leads to everything posted for the site, and has the plan in it.
    function _requireHistory(Plan calldata plan, HistoryProof calldata history, IDispatch dispatch) private view {
        bytes32 folded = History.fold(history.previous, history.steps);
        bytes32 posted = dispatch.history(plan.site);
        require(folded == posted, IDispatch.HistoryMismatch(plan.site, folded, posted));
        bool isPlans =
            history.planStep < history.steps.length && history.steps[history.planStep] == History.stepOf(plan);
        require(isPlans, IPlans.ReadingNotBefore(plan.site, plan.interval));
    }

    /// @dev That they were posted before the plan, and that nobody has shown them to be wrong.
    function _requireReadings(
        Plan calldata plan,
        PostedReadings calldata readings,
        HistoryProof calldata history,
        IDispatch dispatch
    ) private view {
        bytes32 lanesHash = keccak256(readings.lanes);
        bytes32 step = History.step(History.READINGS, plan.site, readings.interval, lanesHash, readings.root);
        bool isBefore = readings.step < history.planStep && history.steps[readings.step] == step;
        require(isBefore, IPlans.ReadingNotBefore(plan.site, plan.interval));
        bool isDisputed = dispatch.stateOf(plan.site, readings.interval) == IntervalState.Disputed;
        require(!isDisputed, IPlans.ReadingsDisputed(plan.site, readings.interval));
    }

    /// @dev Nobody is accused by what another has said, nor by what was refuted. A plan that stands was posted through Plans, and
    /// no other setpoints of its interval can be: what is found as its step is it. One whose window is over may be forgotten
    /// there, and is still certified.
    function _requireEarlier(Plan calldata plan, ContentProof calldata evidence) private view {
        Plan calldata earlier = evidence.earlier;
        bool isOfInputs = keccak256(evidence.inputs) == earlier.inputsHash;
        require(isOfInputs, IPlans.WrongCertificate(earlier.site, earlier.interval));
        bool isEarlier = earlier.site == plan.site && earlier.poster == plan.poster && earlier.interval < plan.interval
            && evidence.earlierStep < evidence.history.planStep
            && evidence.history.steps[evidence.earlierStep] == History.stepOf(earlier);
        require(isEarlier, IPlans.PlanNotEarlier(plan.site, plan.interval, earlier.interval));
        IPlans plans = IPlans(address(this));
        bool stands = plans.planHashAt(plan.site, earlier.interval) != 0
            || plans.isCertified(plan.site, earlier.interval, earlier.interval);
        require(stands, IPlans.PlanFell(plan.site, earlier.interval));
    }

    /// @dev The battery in both plans: in the same lane, with the same percentages and capacity.
    function _batteriesAt(Plan calldata plan, bytes calldata inputs, uint256 index, ContentProof calldata evidence)
        private
        pure
        returns (bytes calldata record, bytes calldata earlier)
    {
        record = _batteryAt(inputs, index);
        earlier = _batteryAt(evidence.inputs, index);
        bytes32 ofPlan = keccak256(record[InputBytes.BATTERY_PERCENTS_AT:InputBytes.BATTERY_CONTENT_AT]);
        bytes32 ofEarlier = keccak256(earlier[InputBytes.BATTERY_PERCENTS_AT:InputBytes.BATTERY_CONTENT_AT]);
        bool isSame = ofPlan == ofEarlier && bytes2(record[:2]) == bytes2(earlier[:2]);
        require(isSame, IPlans.OtherBattery(plan.site, evidence.earlier.interval, index));
    }

    function _batteryAt(bytes calldata inputs, uint256 index) private pure returns (bytes calldata) {
        InputParts.Parts memory parts = InputParts.split(inputs);
        require(index < parts.batteries, IPlans.NoSuchBattery(index, parts.batteries));
        return InputParts.batteryAt(inputs, parts, index);
    }

    /// @dev What a battery can hold when the plan's interval begins: what it held by the earlier plan when that was posted, then
    /// every reading, then what may flow from the posting on.
    function _contentsOf(Plan calldata plan, bytes calldata earlier, ContentProof calldata evidence, IDispatch dispatch)
        private
        view
        returns (uint256 leastWh, uint256 mostWh)
    {
        Batteries.Battery memory battery = Batteries.read(earlier);
        uint256 contentWh = InputParts.number(earlier, InputBytes.BATTERY_CONTENT_AT, 4);
        uint256 flowWh = Layout.mostWh(Layout.load(plan.layoutAt), battery.lane, INTERVAL_S);
        Batteries.Bounds memory held = Batteries.before(battery, contentWh, flowWh * _ahead(evidence.earlier));
        _meter(plan, evidence, battery, held, dispatch);
        return Batteries.later(battery, held, flowWh * _ahead(plan));
    }

    /// @dev Intervals whose readings nobody had when a plan was posted for its own.
    function _ahead(Plan calldata plan) private pure returns (uint256) {
        return plan.interval - plan.postedAt / INTERVAL_S;
    }

    function _meter(
        Plan calldata plan,
        ContentProof calldata evidence,
        Batteries.Battery memory battery,
        Batteries.Bounds memory held,
        IDispatch dispatch
    ) private view {
        uint256 interval = evidence.earlier.postedAt / INTERVAL_S;
        uint256 count = evidence.readings.length;
        uint256 expected = plan.postedAt / INTERVAL_S - interval;
        bool isWhole = count == expected && count > 0 && count <= MOST_READINGS;
        require(isWhole, IPlans.WrongReadingCount(count, expected, MOST_READINGS));
        for (uint256 i; i < count; ++i) {
            PostedReadings calldata readings = evidence.readings[i];
            require(readings.interval == interval + i, IPlans.ReadingNotBefore(plan.site, plan.interval));
            _requireReadings(plan, readings, evidence.history, dispatch);
            Batteries.meter(battery, held, Lanes.reading(readings.lanes, battery.lane));
        }
    }
}
