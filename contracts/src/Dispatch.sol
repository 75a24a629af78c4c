// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {SignedMath} from "@openzeppelin/contracts/utils/math/SignedMath.sol";
import {
    AssetKind,
    ForecastScore,
    HistoryStep,
    IAssetRegistry,
    IDispatch,
    INTERVAL_S,
    IntervalState,
    MeterReading,
    ReadingProof,
    RIGHT_DISPATCH,
    RIGHT_METER
} from "./IProtocol.sol";
import {Hashes} from "./libraries/Hashes.sol";
import {History} from "./libraries/History.sol";
import {Lanes} from "./libraries/Lanes.sol";
import {Layout} from "./libraries/Layout.sol";
import {ReadingTree} from "./libraries/ReadingTree.sol";
import {Scores} from "./libraries/Scores.sol";

/// @title Dispatch
/// @notice What every asset shall do, before the interval, and what it did, after it.
contract Dispatch is IDispatch {
    /// @dev One day: the horizon of a plan.
    uint256 public constant SETPOINT_AHEAD = 96;
    /// @dev Readings are posted at most one day after the interval: an outage of a night is made up for, and everybody knows
    /// when to stop waiting.
    uint256 public constant METERING_WINDOW = 96;
    /// @dev Three days, counted from the last moment at which readings could be posted: whoever watches gets past a weekend.
    uint256 public constant READING_DISPUTE_WINDOW = 288;
    /// @dev Intervals remembered per site. At least 1 + METERING_WINDOW + READING_DISPUTE_WINDOW + SETPOINT_AHEAD: a stamp is
    /// overwritten by the setpoints of an interval so far ahead only when nothing can be done about its own any more.
    uint256 public constant RING_DEPTH = 512;
    /// @dev Of each kind at most 1 + 96 + 288 + 96 steps can follow readings while they may be disputed: nobody can bury them.
    uint256 public constant MAX_LATER_STEPS = 1024;
    /// @dev From the setpoints of an interval, at most a day ahead, to its readings, at most a day late, 288 of each kind can be
    /// posted: any interval can be scored. A day that is dispatched and metered in time has about 200 steps.
    uint256 public constant MAX_OPENED_STEPS = 576;

    int256 private constant UNIT_W = int256(Layout.UNIT_W);

    /// @dev A stamp is 64 bits, four to a word: the interval (32) and above it its state. It carries the interval because
    /// its place alone does not tell an interval from the one 512 later.
    uint256 private constant STAMPS_PER_WORD = 4;
    uint256 private constant STAMP_BITS = 64;
    uint256 private constant STAMP_MASK = type(uint64).max;
    uint256 private constant STATE_SHIFT = 32;

    uint256 private constant EXPIRY_SHIFT = 8;
    uint256 private constant LAYOUT_SHIFT = 48;

    IAssetRegistry public immutable registry;

    /// @dev What is kept of a site, in one run of slots, so that one hash finds them all.
    struct Log {
        bytes32 history;
        uint256[RING_DEPTH / STAMPS_PER_WORD] ring;
    }

    mapping(bytes32 site => Log) private _logs;
    /// @dev Who may post, and the layout to check against, in one word: rights (8), above them the expiry (40) and the layout's
    /// account (160). The registry writes it whenever one of them changes, so that a batch has nobody to ask.
    mapping(bytes32 site => mapping(address delegate => uint256 word)) private _posters;

    constructor(IAssetRegistry registry_) {
        registry = registry_;
    }

    /// @inheritdoc IDispatch
    function setPoster(bytes32 site, address delegate, uint8 rights, uint40 expiry, address layoutAt) external {
        require(msg.sender == address(registry), NotRegistry(msg.sender));

        _posters[site][delegate] =
            uint256(rights) | uint256(expiry) << EXPIRY_SHIFT | uint256(uint160(layoutAt)) << LAYOUT_SHIFT;
    }

    /// @inheritdoc IDispatch
    function postSetpoints(bytes32 site, uint32 interval, bytes calldata lanes, bytes32 planHash) external {
        bytes memory packed = _authorisedLayout(site, RIGHT_DISPATCH);
        Log storage log = _logs[site];
        (uint256 word, IntervalState state) = _stateIn(log, interval);
        require(block.timestamp < _begin(interval), TooLate(site, interval, block.timestamp));
        require(interval <= block.timestamp / INTERVAL_S + SETPOINT_AHEAD, TooEarly(site, interval, block.timestamp));
        require(state == IntervalState.Open, AlreadyDispatched(site, interval));
        _requireLength(site, lanes.length, Lanes.SETPOINT_BYTES * Layout.laneCount(packed));
        (bool within, uint256 sums) = Lanes.scan(lanes, packed);
        if (!within) _revertAtLane(site, lanes, packed);
        _requireLimits(site, lanes, packed, sums);

        _stamp(log, interval, word, IntervalState.Dispatched);
        _record(log, History.SETPOINTS, SetpointsPosted.selector, site, interval, lanes, planHash);
    }

    /// @inheritdoc IDispatch
    function postReadings(bytes32 site, uint32 interval, bytes calldata lanes, bytes32 root) external {
        bytes memory packed = _authorisedLayout(site, RIGHT_METER);
        Log storage log = _logs[site];
        (uint256 word, IntervalState state) = _stateIn(log, interval);
        require(block.timestamp >= _begin(interval) + INTERVAL_S, TooEarly(site, interval, block.timestamp));
        require(block.timestamp < _meteredUntil(interval), TooLate(site, interval, block.timestamp));
        require(state != IntervalState.Open, NotDispatched(site, interval));
        require(state == IntervalState.Dispatched, AlreadyMetered(site, interval));
        _requireLength(site, lanes.length, Lanes.READING_BYTES * Layout.laneCount(packed));
        if (!Lanes.signsAllowed(lanes, packed)) _revertAtReading(site, lanes, packed);

        _stamp(log, interval, word, IntervalState.Metered);
        _record(log, History.READINGS, ReadingsPosted.selector, site, interval, lanes, root);
    }

    /// @inheritdoc IDispatch
    function disputeLane(
        bytes32 site,
        uint32 interval,
        ReadingProof calldata proof,
        MeterReading calldata start,
        MeterReading calldata stop
    ) external {
        _requireDisputable(site, interval);
        int256 postedWh = proveReading(site, interval, proof, Hashes.digest(start), Hashes.digest(stop));
        bool holds = postedWh == ReadingTree.energyWh(start, stop)
            && ReadingTree.plausible(registry.assetAt(site, proof.lane), interval, start, stop);
        require(!holds, LaneHolds(site, interval, proof.lane, postedWh));

        MeterReading memory none;
        _dispute(site, interval, proof.lane, postedWh, start, stop, none);
    }

    /// @inheritdoc IDispatch
    function disputeReading(
        bytes32 site,
        uint32 interval,
        ReadingProof calldata proof,
        MeterReading calldata start,
        MeterReading calldata stop,
        MeterReading calldata contrary,
        bytes calldata signature
    ) external {
        _requireDisputable(site, interval);
        int256 postedWh = proveReading(site, interval, proof, Hashes.digest(start), Hashes.digest(stop));
        _requireSigned(site, proof.lane, contrary, signature);
        require(
            contrary.counter >= start.counter && contrary.counter <= stop.counter,
            CounterOutside(contrary.counter, start.counter, stop.counter)
        );
        require(ReadingTree.contradicts(start, stop, contrary), NoContradiction(contrary.asset, contrary.counter));

        _dispute(site, interval, proof.lane, postedWh, start, stop, contrary);
    }

    /// @inheritdoc IDispatch
    function scoreForecasts(bytes32 site, bytes32 previous, HistoryStep[] calldata steps, bytes32[] calldata later)
        external
    {
        uint256 count = steps.length;
        bytes32 opened = History.open(previous, site, steps);
        require(count <= MAX_OPENED_STEPS, TooManySteps(site, count, MAX_OPENED_STEPS));
        _requireHistory(site, opened, later);
        ForecastScore memory score = _score(site, steps);
        require(score.scored > 0, NothingScored(site, count));

        emit ForecastsScored(site, previous, opened, score);
    }

    /// @inheritdoc IDispatch
    function posterOf(bytes32 site, address delegate)
        external
        view
        returns (uint8 rights, uint40 expiry, address layoutAt)
    {
        uint256 poster = _posters[site][delegate];
        return (uint8(poster), uint40(poster >> EXPIRY_SHIFT), address(uint160(poster >> LAYOUT_SHIFT)));
    }

    /// @inheritdoc IDispatch
    function stateOf(bytes32 site, uint32 interval) external view returns (IntervalState state) {
        (, state) = _stateIn(_logs[site], interval);
    }

    /// @inheritdoc IDispatch
    function history(bytes32 site) external view returns (bytes32) {
        return _logs[site].history;
    }

    /// @inheritdoc IDispatch
    function proveReading(
        bytes32 site,
        uint32 interval,
        ReadingProof calldata proof,
        bytes32 startDigest,
        bytes32 stopDigest
    ) public view returns (int256 energyWh) {
        _requirePosted(site, interval, proof);
        uint256 lanes = proof.lanes.length / Lanes.READING_BYTES;
        bytes32 leaf = ReadingTree.leaf(proof.lane, startDigest, stopDigest);
        require(proof.lane < lanes, UnknownLane(site, proof.lane, lanes));
        require(ReadingTree.contains(proof.root, leaf, proof.siblings), ReadingNotInRoot(site, leaf, proof.root));

        return Lanes.reading(proof.lanes, proof.lane);
    }

    function _dispute(
        bytes32 site,
        uint32 interval,
        uint16 lane,
        int256 postedWh,
        MeterReading calldata start,
        MeterReading calldata stop,
        MeterReading memory contrary
    ) private {
        Log storage log = _logs[site];
        (uint256 word,) = _stateIn(log, interval);
        _stamp(log, interval, word, IntervalState.Disputed);

        int256 provenWh = ReadingTree.energyWh(start, stop);
        emit ReadingDisputed(site, interval, lane, msg.sender, postedWh, provenWh, start, stop, contrary);
    }

    function _requireDisputable(bytes32 site, uint32 interval) private view {
        (, IntervalState state) = _stateIn(_logs[site], interval);
        uint256 until = _meteredUntil(interval) + READING_DISPUTE_WINDOW * INTERVAL_S;
        require(block.timestamp < until, DisputeTooLate(site, interval, block.timestamp, until));
        require(state == IntervalState.Metered, NotDisputable(site, interval, state));
    }

    function _requirePosted(bytes32 site, uint32 interval, ReadingProof calldata proof) private view {
        bytes32 step = History.step(History.READINGS, site, interval, keccak256(proof.lanes), proof.root);
        _requireHistory(site, History.next(proof.previous, step), proof.later);
    }

    /// @dev The chain keeps no step, only what they add up to.
    function _requireHistory(bytes32 site, bytes32 opened, bytes32[] calldata later) private view {
        uint256 count = later.length;
        bytes32 folded = History.fold(opened, later);
        bytes32 posted = _logs[site].history;
        require(count <= MAX_LATER_STEPS, TooManySteps(site, count, MAX_LATER_STEPS));
        require(folded == posted, HistoryMismatch(site, folded, posted));
    }

    function _score(bytes32 site, HistoryStep[] calldata steps) private view returns (ForecastScore memory score) {
        (, address layoutAt) = registry.layoutFor(site, msg.sender);
        (uint256[] memory baseLoads, uint256[] memory pv) = Scores.lanesOf(Layout.load(layoutAt));
        Log storage log = _logs[site];
        // By place in the ring, which no two intervals share while both are remembered: the number of the step with the
        // interval's setpoints, counted from 1.
        uint256[] memory planned = new uint256[](RING_DEPTH);
        for (uint256 i; i < steps.length; ++i) {
            HistoryStep calldata step = steps[i];
            uint32 interval = step.interval;
            if (step.kind == History.SETPOINTS) {
                planned[interval % RING_DEPTH] = i + 1;
                continue;
            }
            (, IntervalState state) = _stateIn(log, interval);
            uint256 number = planned[interval % RING_DEPTH];
            if (number == 0 || state != IntervalState.Metered) continue;
            HistoryStep calldata setpoints = steps[number - 1];
            if (setpoints.interval == interval) Scores.add(score, setpoints, step, baseLoads, pv);
        }
    }

    function _requireSigned(bytes32 site, uint16 lane, MeterReading calldata reading, bytes calldata signature)
        private
        view
    {
        bytes32 id = registry.assetAt(site, lane);
        // A failed recovery gives the zero address, which no registered meter is.
        (address signer,,) = ECDSA.tryRecoverCalldata(Hashes.digest(reading), signature);
        require(reading.asset == id, WrongMeter(reading.asset, id));
        // The meter of that time: a key that was replaced since still proves what it has signed.
        bytes32 meter = registry.meterAt(id, reading.time);
        require(bytes32(uint256(uint160(signer))) == meter, BadMeterSignature(id, signer, meter));
    }

    /// @dev The state, and the whole word it was read from, which `_stamp` wants back.
    function _stateIn(Log storage log, uint32 interval) private view returns (uint256 word, IntervalState state) {
        word = log.ring[_index(interval)];
        uint256 stamp = (word >> _shift(interval)) & STAMP_MASK;
        if (uint32(stamp) == interval) state = IntervalState(stamp >> STATE_SHIFT);
    }

    function _stamp(Log storage log, uint32 interval, uint256 word, IntervalState state) private {
        uint256 stamp = (uint256(state) << STATE_SHIFT) | interval;
        uint256 shift = _shift(interval);
        log.ring[_index(interval)] = (word & ~(STAMP_MASK << shift)) | (stamp << shift);
    }

    /// @dev Chains the step and emits its event, as
    ///
    ///     log.history = History.next(log.history, History.step(kind, site, interval, keccak256(lanes), evidence));
    ///     emit SetpointsPosted(site, interval, msg.sender, lanes, evidence, log.history);
    ///
    /// would, or with ReadingsPosted, whose data have the same form; but the lanes are copied and hashed in one place, which
    /// saves more than a tenth of what checking 50 assets costs. Nothing is allocated: nobody needs memory after it.
    function _record(
        Log storage log,
        uint256 kind,
        bytes32 topic,
        bytes32 site,
        uint32 interval,
        bytes calldata lanes,
        bytes32 evidence
    ) private {
        assembly ("memory-safe") {
            let data := mload(0x40)
            let lanesAt := add(data, 128)
            let end := add(lanesAt, lanes.length)
            calldatacopy(lanesAt, lanes.offset, lanes.length)
            mstore(end, 0)
            end := add(lanesAt, and(add(lanes.length, 31), not(31)))

            mstore(end, kind)
            mstore(add(end, 32), site)
            mstore(add(end, 64), interval)
            mstore(add(end, 96), keccak256(lanesAt, lanes.length))
            mstore(add(end, 128), evidence)
            mstore(32, keccak256(end, 160))
            mstore(0, sload(log.slot))
            let chained := keccak256(0, 64)
            sstore(log.slot, chained)

            mstore(data, 96)
            mstore(add(data, 32), evidence)
            mstore(add(data, 64), chained)
            mstore(add(data, 96), lanes.length)
            log4(data, sub(end, data), topic, site, interval, caller())
        }
    }

    /// @dev The owner is no delegate, and asks the registry.
    function _authorisedLayout(bytes32 site, uint8 right) private view returns (bytes memory) {
        uint256 poster = _posters[site][msg.sender];
        if (poster & right != 0 && block.timestamp <= uint40(poster >> EXPIRY_SHIFT)) {
            return Layout.load(address(uint160(poster >> LAYOUT_SHIFT)));
        }
        (bool isOwner, address layoutAt) = registry.layoutFor(site, msg.sender);
        require(isOwner, NotAuthorised(site, msg.sender, right));
        return Layout.load(layoutAt);
    }

    function _requireLimits(bytes32 site, bytes calldata lanes, bytes memory packed, uint256 sums) private pure {
        uint256 groups = Layout.groupCount(packed);
        uint256 group = Lanes.overLimit(packed, sums, 0);
        while (group < groups) {
            _requireLimit(site, lanes, packed, group);
            group = Lanes.overLimit(packed, sums, group + 1);
        }
    }

    /// @dev A group above its import limit may be so by its base load alone; nothing excuses one below its export limit.
    function _requireLimit(bytes32 site, bytes calldata lanes, bytes memory packed, uint256 group) private pure {
        (uint256 first, uint256 end, int256 limitImportW, int256 limitExportW) = Layout.groupAt(packed, group);
        int256 powerW;
        int256 baseLoadW;
        for (uint256 lane = first; lane < end; ++lane) {
            int256 laneW = Lanes.setpoint(lanes, lane) * UNIT_W;
            powerW += laneW;
            if (Layout.kindOf(packed, lane) == AssetKind.BaseLoad) baseLoadW += laneW;
        }
        int256 effectiveW = SignedMath.max(limitImportW, baseLoadW);
        require(powerW <= effectiveW, ImportLimitExceeded(site, uint16(group), powerW, uint256(effectiveW)));
        require(powerW >= -limitExportW, ExportLimitExceeded(site, uint16(group), powerW, uint256(limitExportW)));
    }

    function _requireLength(bytes32 site, uint256 length, uint256 expected) private pure {
        require(length == expected, WrongLength(site, length, expected));
    }

    /// @dev Names the first lane that is out of bounds. That there is one is known.
    function _revertAtLane(bytes32 site, bytes calldata lanes, bytes memory packed) private pure {
        for (uint256 lane;; ++lane) {
            int256 value = Lanes.setpoint(lanes, lane);
            _requireSign(site, lane, value, Layout.kindOf(packed, lane));
            int256 powerW = value * UNIT_W;
            uint256 ratedW = Layout.ratedWOf(packed, lane);
            require(SignedMath.abs(powerW) <= ratedW, RatingExceeded(site, uint16(lane), powerW, ratedW));
        }
    }

    /// @dev Names the first reading with a wrong sign. That there is one is known.
    function _revertAtReading(bytes32 site, bytes calldata lanes, bytes memory packed) private pure {
        for (uint256 lane;; ++lane) {
            _requireSign(site, lane, Lanes.reading(lanes, lane), Layout.kindOf(packed, lane));
        }
    }

    function _requireSign(bytes32 site, uint256 lane, int256 value, AssetKind kind) private pure {
        require(value <= 0 || Layout.mayDraw(kind), WrongSign(site, uint16(lane), value));
        require(value >= 0 || Layout.mayFeed(kind), WrongSign(site, uint16(lane), value));
    }

    /// @dev First second of an interval. Unchecked: 32 bits times 900.
    function _begin(uint32 interval) private pure returns (uint256) {
        unchecked {
            return interval * INTERVAL_S;
        }
    }

    /// @dev First second at which readings come too late.
    function _meteredUntil(uint32 interval) private pure returns (uint256) {
        unchecked {
            return _begin(interval) + (1 + METERING_WINDOW) * INTERVAL_S;
        }
    }

    /// @dev Which word of the ring an interval's stamp is in.
    function _index(uint32 interval) private pure returns (uint256) {
        unchecked {
            return interval % RING_DEPTH / STAMPS_PER_WORD;
        }
    }

    /// @dev How far up in that word.
    function _shift(uint32 interval) private pure returns (uint256) {
        unchecked {
            return interval % STAMPS_PER_WORD * STAMP_BITS;
        }
    }
}
