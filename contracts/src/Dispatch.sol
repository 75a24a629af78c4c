// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {SignedMath} from "@openzeppelin/contracts/utils/math/SignedMath.sol";
import {
    AssetKind,
    IAssetRegistry,
    IDispatch,
    INTERVAL_S,
    IntervalState,
    RIGHT_DISPATCH,
    RIGHT_METER
} from "./IProtocol.sol";
import {Lanes} from "./libraries/Lanes.sol";
import {Layout} from "./libraries/Layout.sol";

/// @title Dispatch
/// @notice What every asset shall do, before the interval, and what it did, after it.
contract Dispatch is IDispatch {
    /// @dev One day: the horizon of a plan.
    uint256 public constant SETPOINT_AHEAD = 96;
    /// @dev Intervals remembered per site. More than SETPOINT_AHEAD, so that an interval whose stamp is overwritten has
    /// begun at least 160 intervals ago and can never be posted again.
    uint256 public constant RING_DEPTH = 256;

    int256 private constant UNIT_W = int256(Layout.UNIT_W);

    /// @dev Steps of the history.
    uint256 private constant STEP_SETPOINTS = 1;
    uint256 private constant STEP_READINGS = 2;

    /// @dev A stamp is 64 bits, four to a word: the interval (32) and above it its state. It carries the interval because
    /// its place alone does not tell an interval from the one 256 later.
    uint256 private constant STAMPS_PER_WORD = 4;
    uint256 private constant STAMP_BITS = 64;
    uint256 private constant STAMP_MASK = type(uint64).max;
    uint256 private constant STATE_SHIFT = 32;

    IAssetRegistry public immutable registry;

    mapping(bytes32 site => mapping(uint256 index => uint256 word)) private _ring;

    /// @inheritdoc IDispatch
    mapping(bytes32 site => bytes32) public history;

    constructor(IAssetRegistry registry_) {
        registry = registry_;
    }

    /// @inheritdoc IDispatch
    function postSetpoints(bytes32 site, uint32 interval, bytes calldata lanes, bytes32 planHash) external {
        bytes memory packed = _authorisedLayout(site, RIGHT_DISPATCH);
        (uint256 word, IntervalState state) = _stateOf(site, interval);
        require(block.timestamp < interval * INTERVAL_S, TooLate(site, interval, block.timestamp));
        require(interval <= block.timestamp / INTERVAL_S + SETPOINT_AHEAD, TooEarly(site, interval, block.timestamp));
        require(state == IntervalState.Open, AlreadyDispatched(site, interval));
        _requireLength(site, lanes.length, Lanes.SETPOINT_BYTES * Layout.laneCount(packed));
        if (!Lanes.withinBounds(lanes, packed)) _revertAtLane(site, lanes, packed);
        _requireLimits(site, lanes, packed);

        _stamp(site, interval, word, IntervalState.Dispatched);
        bytes32 chained = _chain(STEP_SETPOINTS, site, interval, lanes, planHash);

        emit SetpointsPosted(site, interval, msg.sender, lanes, planHash, chained);
    }

    /// @inheritdoc IDispatch
    function postReadings(bytes32 site, uint32 interval, bytes calldata lanes, bytes32 root) external {
        bytes memory packed = _authorisedLayout(site, RIGHT_METER);
        (uint256 word, IntervalState state) = _stateOf(site, interval);
        require(block.timestamp >= (uint256(interval) + 1) * INTERVAL_S, TooEarly(site, interval, block.timestamp));
        require(state != IntervalState.Open, NotDispatched(site, interval));
        require(state != IntervalState.Metered, AlreadyMetered(site, interval));
        _requireLength(site, lanes.length, Lanes.READING_BYTES * Layout.laneCount(packed));
        if (!Lanes.signsAllowed(lanes, packed)) _revertAtReading(site, lanes, packed);

        _stamp(site, interval, word, IntervalState.Metered);
        bytes32 chained = _chain(STEP_READINGS, site, interval, lanes, root);

        emit ReadingsPosted(site, interval, msg.sender, lanes, root, chained);
    }

    /// @inheritdoc IDispatch
    function stateOf(bytes32 site, uint32 interval) external view returns (IntervalState state) {
        (, state) = _stateOf(site, interval);
    }

    /// @dev The state, and the whole word it was read from, which `_stamp` wants back.
    function _stateOf(bytes32 site, uint32 interval) private view returns (uint256 word, IntervalState state) {
        word = _ring[site][_index(interval)];
        uint256 stamp = (word >> _shift(interval)) & STAMP_MASK;
        if (uint32(stamp) == interval) state = IntervalState(stamp >> STATE_SHIFT);
    }

    function _stamp(bytes32 site, uint32 interval, uint256 word, IntervalState state) private {
        uint256 stamp = (uint256(state) << STATE_SHIFT) | interval;
        uint256 shift = _shift(interval);
        _ring[site][_index(interval)] = (word & ~(STAMP_MASK << shift)) | (stamp << shift);
    }

    function _chain(uint256 kind, bytes32 site, uint32 interval, bytes calldata lanes, bytes32 evidence)
        private
        returns (bytes32 chained)
    {
        bytes32 step = keccak256(abi.encode(kind, site, interval, keccak256(lanes), evidence));
        chained = keccak256(abi.encode(history[site], step));
        history[site] = chained;
    }

    function _authorisedLayout(bytes32 site, uint8 right) private view returns (bytes memory) {
        (bool authorised, address layoutAt) = registry.layoutFor(site, msg.sender, right);
        require(authorised, NotAuthorised(site, msg.sender, right));
        return Layout.load(layoutAt);
    }

    /// @dev Unchecked: 1,024 lanes of at most 327,680 W sum up to 29 bits, limits have 32.
    function _requireLimits(bytes32 site, bytes calldata lanes, bytes memory packed) private pure {
        uint256 groups = Layout.groupCount(packed);
        unchecked {
            for (uint256 i; i < groups; ++i) {
                (uint256 first, uint256 end, int256 limitImportW, int256 limitExportW) = Layout.groupAt(packed, i);
                int256 powerW = Lanes.sum(lanes, first, end) * UNIT_W;
                if (powerW > limitImportW) {
                    int256 effectiveW = SignedMath.max(limitImportW, _baseLoadW(lanes, packed, first, end));
                    require(powerW <= effectiveW, ImportLimitExceeded(site, uint16(i), powerW, uint256(effectiveW)));
                }
                if (powerW < -limitExportW) {
                    revert ExportLimitExceeded(site, uint16(i), powerW, uint256(limitExportW));
                }
            }
        }
    }

    /// @dev Only asked for when a group is above its limit, so a plain loop does.
    function _baseLoadW(bytes calldata lanes, bytes memory packed, uint256 first, uint256 end)
        private
        pure
        returns (int256 baseLoadW)
    {
        for (uint256 lane = first; lane < end; ++lane) {
            if (Layout.kindOf(packed, lane) != AssetKind.BaseLoad) continue;
            baseLoadW += Lanes.setpoint(lanes, lane) * UNIT_W;
        }
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
