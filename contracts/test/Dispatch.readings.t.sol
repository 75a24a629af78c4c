// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {BaseTest} from "./BaseTest.sol";

contract DispatchReadingsTest is BaseTest {
    uint32 private constant NEXT = FIRST + 1;
    uint256 private constant OVER = (uint256(NEXT) + 1) * INTERVAL_S;

    function setUp() public override {
        super.setUp();
        _dispatch(NEXT);
        vm.warp(OVER);
    }

    function _dispatch(uint32 interval) private {
        bytes memory lanes = _setpoints(_soundSetpoints());
        vm.prank(oracle);
        dispatch.postSetpoints(SITE, interval, lanes, 0);
    }

    function _meter(uint32 interval) private {
        bytes memory lanes = _readings(_soundReadings());
        vm.prank(oracle);
        dispatch.postReadings(SITE, interval, lanes, 0);
    }

    function _expectRevert(uint32 interval, bytes memory lanes, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(oracle);
        dispatch.postReadings(SITE, interval, lanes, 0);
    }

    function test_postReadings(bytes32 root, uint256 time) public {
        vm.warp(bound(time, OVER, OVER + 1 days - 1));
        bytes memory lanes = _readings(_soundReadings());
        bytes32 step = keccak256(abi.encode(2, SITE, NEXT, keccak256(lanes), root));
        bytes32 chained = keccak256(abi.encode(dispatch.history(SITE), step));

        vm.expectEmit(address(dispatch));
        emit IDispatch.ReadingsPosted(SITE, NEXT, oracle, lanes, root, chained);
        vm.prank(oracle);
        dispatch.postReadings(SITE, NEXT, lanes, root);

        assertEq(uint8(dispatch.stateOf(SITE, NEXT)), uint8(IntervalState.Metered), "state");
        assertEq(dispatch.history(SITE), chained, "history");
    }

    function test_postReadings_anyEnergyOfTheRightSign(uint32[8] memory magnitudes, bool feeds) public {
        int32[] memory values = new int32[](LANES);
        for (uint256 i; i < LANES; ++i) {
            int32 magnitude = int32(uint32(bound(magnitudes[i], 0, uint32(type(int32).max))));
            values[i] = i == 1 || (i == 4 && feeds) ? -magnitude : magnitude;
        }
        bytes memory lanes = _readings(values);
        vm.prank(oracle);
        dispatch.postReadings(SITE, NEXT, lanes, 0);
        assertEq(uint8(dispatch.stateOf(SITE, NEXT)), uint8(IntervalState.Metered), "state");
    }

    function test_revert_NotAuthorised(address who) public {
        vm.assume(who != owner && who != oracle);
        bytes memory lanes = _readings(_soundReadings());
        vm.expectRevert(abi.encodeWithSelector(IDispatch.NotAuthorised.selector, SITE, who, RIGHT_METER));
        vm.prank(who);
        dispatch.postReadings(SITE, NEXT, lanes, 0);
    }

    function test_revert_TooEarly_lastSecondOfInterval() public {
        vm.warp(OVER - 1);
        _expectRevert(
            NEXT, _readings(_soundReadings()), abi.encodeWithSelector(IDispatch.TooEarly.selector, SITE, NEXT, OVER - 1)
        );
    }

    function test_boundary_firstSecondAfterInterval() public {
        vm.warp(OVER);
        _meter(NEXT);
        assertEq(uint8(dispatch.stateOf(SITE, NEXT)), uint8(IntervalState.Metered), "state");
    }

    function test_boundary_lastSecondOfTheDayAfter() public {
        vm.warp(OVER + 1 days - 1);
        _meter(NEXT);
        assertEq(uint8(dispatch.stateOf(SITE, NEXT)), uint8(IntervalState.Metered), "state");
    }

    function test_revert_TooLate_aDayAfterTheInterval() public {
        vm.warp(OVER + 1 days);
        _expectRevert(
            NEXT,
            _readings(_soundReadings()),
            abi.encodeWithSelector(IDispatch.TooLate.selector, SITE, NEXT, OVER + 1 days)
        );
    }

    function test_revert_TooLate(uint256 time) public {
        time = bound(time, OVER + 1 days, type(uint40).max);
        vm.warp(time);
        _expectRevert(
            NEXT, _readings(_soundReadings()), abi.encodeWithSelector(IDispatch.TooLate.selector, SITE, NEXT, time)
        );
    }

    function test_revert_TooEarly_lastIntervalOfAll() public {
        uint256 time = uint256(type(uint32).max) * INTERVAL_S;
        vm.warp(time);
        bytes memory lanes = _readings(_soundReadings());
        vm.expectRevert(abi.encodeWithSelector(IDispatch.TooEarly.selector, SITE, type(uint32).max, time));
        vm.prank(owner);
        dispatch.postReadings(SITE, type(uint32).max, lanes, 0);
    }

    function test_revert_NotDispatched(uint32 interval) public {
        interval = uint32(bound(interval, FIRST - 94, FIRST));
        _expectRevert(
            interval,
            _readings(_soundReadings()),
            abi.encodeWithSelector(IDispatch.NotDispatched.selector, SITE, interval)
        );
    }

    function test_revert_AlreadyMetered() public {
        _meter(NEXT);
        _expectRevert(
            NEXT, _readings(_soundReadings()), abi.encodeWithSelector(IDispatch.AlreadyMetered.selector, SITE, NEXT)
        );
    }

    function test_revert_WrongLength(uint256 length) public {
        length = bound(length, 0, 64);
        vm.assume(length != 4 * LANES);
        _expectRevert(
            NEXT, new bytes(length), abi.encodeWithSelector(IDispatch.WrongLength.selector, SITE, length, 4 * LANES)
        );
    }

    function test_revert_WrongSign_evse(int32 value) public {
        _expectWrongSign(3, int32(bound(value, type(int32).min, -1)));
    }

    function test_revert_WrongSign_baseLoad(int32 value) public {
        _expectWrongSign(0, int32(bound(value, type(int32).min, -1)));
    }

    function test_revert_WrongSign_pv(int32 value) public {
        _expectWrongSign(1, int32(bound(value, 1, type(int32).max)));
    }

    function _expectWrongSign(uint16 lane, int32 value) private {
        int32[] memory values = _soundReadings();
        values[lane] = value;
        _expectRevert(
            NEXT, _readings(values), abi.encodeWithSelector(IDispatch.WrongSign.selector, SITE, lane, int256(value))
        );
    }

    /// @dev The four stamps of a word do not touch one another.
    function test_ring_neighboursKeepTheirStates() public {
        vm.warp(START + 10 * INTERVAL_S);
        for (uint32 i = 11; i < 19; ++i) {
            _dispatch(FIRST + i);
        }
        vm.warp(START + 30 * INTERVAL_S);
        for (uint32 i = 11; i < 19; i += 2) {
            _meter(FIRST + i);
        }
        for (uint32 i = 11; i < 19; ++i) {
            IntervalState expected = i % 2 == 1 ? IntervalState.Metered : IntervalState.Dispatched;
            assertEq(uint8(dispatch.stateOf(SITE, FIRST + i)), uint8(expected), "state");
        }
    }

    /// @dev An interval that takes the place of one 512 before it starts from nothing, and the old one is forgotten.
    function test_ring_wrapForgetsTheOlderInterval() public {
        _meter(NEXT);
        uint32 later = NEXT + 512;
        vm.warp((uint256(later) - 1) * INTERVAL_S);
        assertEq(uint8(dispatch.stateOf(SITE, later)), uint8(IntervalState.Open), "not the older one's state");
        _dispatch(later);
        assertEq(uint8(dispatch.stateOf(SITE, later)), uint8(IntervalState.Dispatched), "newer");
        assertEq(uint8(dispatch.stateOf(SITE, NEXT)), uint8(IntervalState.Open), "older");
    }

    function test_ring_forgottenIntervalCannotBePostedAgain() public {
        uint32 later = NEXT + 512;
        vm.warp((uint256(later) - 96) * INTERVAL_S);
        _dispatch(later);
        bytes memory lanes = _setpoints(_soundSetpoints());
        vm.expectRevert(abi.encodeWithSelector(IDispatch.TooLate.selector, SITE, NEXT, block.timestamp));
        vm.prank(oracle);
        dispatch.postSetpoints(SITE, NEXT, lanes, 0);
        _expectRevert(
            NEXT,
            _readings(_soundReadings()),
            abi.encodeWithSelector(IDispatch.TooLate.selector, SITE, NEXT, block.timestamp)
        );
    }

    /// @dev Whatever can still be posted or disputed is remembered.
    function test_ring_remembersUntilTheDisputeWindowIsOver() public {
        _meter(NEXT);
        uint256 until = OVER + (dispatch.METERING_WINDOW() + dispatch.READING_DISPUTE_WINDOW()) * INTERVAL_S;
        vm.warp(until - 1);
        uint32 farthest = uint32(block.timestamp / INTERVAL_S + dispatch.SETPOINT_AHEAD());
        for (uint32 interval = farthest - 95; interval <= farthest; ++interval) {
            _dispatch(interval);
        }
        assertEq(uint8(dispatch.stateOf(SITE, NEXT)), uint8(IntervalState.Metered), "remembered");
    }

    /// @dev Whatever was posted when, an interval's state is its own.
    function test_ring_statesOfManyIntervals(uint256 seed) public {
        uint32 first = FIRST + 2;
        for (uint32 i; i < 300; i += 5) {
            uint32 interval = first + i + uint32(uint256(keccak256(abi.encode(seed, i))) % 5);
            vm.warp(uint256(interval) * INTERVAL_S - 1);
            assertEq(uint8(dispatch.stateOf(SITE, interval)), uint8(IntervalState.Open), "before");
            _dispatch(interval);
            assertEq(uint8(dispatch.stateOf(SITE, interval)), uint8(IntervalState.Dispatched), "after");
            assertEq(uint8(dispatch.stateOf(SITE, interval + 512)), uint8(IntervalState.Open), "next in its place");
        }
    }

    function test_sitesDoNotShareStates() public view {
        assertEq(uint8(dispatch.stateOf(keccak256("other"), NEXT)), uint8(IntervalState.Open), "state");
        assertEq(dispatch.history(keccak256("other")), 0, "history");
    }
}
