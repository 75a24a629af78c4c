// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Dispatch} from "../src/Dispatch.sol";
import "../src/IProtocol.sol";
import {BaseTest} from "./BaseTest.sol";

contract DispatchSetpointsTest is BaseTest {
    uint32 private constant NEXT = FIRST + 1;

    function _post(uint32 interval, int16[] memory values) private {
        bytes memory lanes = _setpoints(values);
        vm.prank(oracle);
        dispatch.postSetpoints(SITE, interval, lanes, 0);
    }

    function _expectRevert(bytes memory reason, int16[] memory values) private {
        bytes memory lanes = _setpoints(values);
        vm.prank(oracle);
        vm.expectRevert(reason);
        dispatch.postSetpoints(SITE, NEXT, lanes, 0);
    }

    function test_postSetpoints(bytes32 planHash, uint32 ahead) public {
        uint32 interval = FIRST + uint32(bound(ahead, 1, 96));
        bytes memory lanes = _setpoints(_soundSetpoints());
        bytes32 step = keccak256(abi.encode(1, SITE, interval, keccak256(lanes), planHash));
        bytes32 chained = keccak256(abi.encode(bytes32(0), step));

        vm.expectEmit(address(dispatch));
        emit IDispatch.SetpointsPosted(SITE, interval, oracle, lanes, planHash, chained);
        vm.prank(oracle);
        dispatch.postSetpoints(SITE, interval, lanes, planHash);

        assertEq(uint8(dispatch.stateOf(SITE, interval)), uint8(IntervalState.Dispatched), "state");
        assertEq(dispatch.history(SITE), chained, "history");
        assertEq(uint8(dispatch.stateOf(SITE, interval + 1)), uint8(IntervalState.Open), "next interval");
    }

    function test_postSetpoints_chainsHistory() public {
        bytes memory lanes = _setpoints(_soundSetpoints());
        _post(NEXT, _soundSetpoints());
        bytes32 first = dispatch.history(SITE);
        _post(NEXT + 1, _soundSetpoints());

        bytes32 step = keccak256(abi.encode(1, SITE, NEXT + 1, keccak256(lanes), bytes32(0)));
        assertEq(dispatch.history(SITE), keccak256(abi.encode(first, step)), "history");
    }

    function test_postSetpoints_byOwnerWithoutDelegation() public {
        bytes memory lanes = _setpoints(_soundSetpoints());
        vm.prank(owner);
        dispatch.postSetpoints(SITE, NEXT, lanes, 0);
        assertEq(uint8(dispatch.stateOf(SITE, NEXT)), uint8(IntervalState.Dispatched), "state");
    }

    function test_postSetpoints_siteWithoutAssets() public {
        vm.startPrank(stranger);
        bytes32 empty = registry.registerSite("empty", "Europe/Berlin", 0, 0);
        dispatch.postSetpoints(empty, NEXT, "", 0);
        vm.stopPrank();
        assertEq(uint8(dispatch.stateOf(empty, NEXT)), uint8(IntervalState.Dispatched), "state");
    }

    function test_revert_NotAuthorised_stranger(address who) public {
        vm.assume(who != owner && who != oracle);
        bytes memory lanes = _setpoints(_soundSetpoints());
        vm.expectRevert(abi.encodeWithSelector(IDispatch.NotAuthorised.selector, SITE, who, RIGHT_DISPATCH));
        vm.prank(who);
        dispatch.postSetpoints(SITE, NEXT, lanes, 0);
    }

    function test_revert_NotAuthorised_otherRights() public {
        vm.prank(owner);
        registry.setDelegate(SITE, stranger, RIGHT_METER | RIGHT_SETTLE, type(uint40).max);
        bytes memory lanes = _setpoints(_soundSetpoints());
        vm.expectRevert(abi.encodeWithSelector(IDispatch.NotAuthorised.selector, SITE, stranger, RIGHT_DISPATCH));
        vm.prank(stranger);
        dispatch.postSetpoints(SITE, NEXT, lanes, 0);
    }

    function test_revert_NotAuthorised_unknownSite(bytes32 site) public {
        vm.assume(site != SITE);
        vm.expectRevert(abi.encodeWithSelector(IDispatch.NotAuthorised.selector, site, oracle, RIGHT_DISPATCH));
        vm.prank(oracle);
        dispatch.postSetpoints(site, NEXT, "", 0);
    }

    function test_boundary_lastSecondBeforeInterval() public {
        vm.warp(uint256(NEXT) * INTERVAL_S - 1);
        _post(NEXT, _soundSetpoints());
        assertEq(uint8(dispatch.stateOf(SITE, NEXT)), uint8(IntervalState.Dispatched), "state");
    }

    function test_revert_TooLate_firstSecondOfInterval() public {
        uint256 time = uint256(NEXT) * INTERVAL_S;
        vm.warp(time);
        _expectRevert(abi.encodeWithSelector(IDispatch.TooLate.selector, SITE, NEXT, time), _soundSetpoints());
    }

    function test_revert_TooLate(uint256 time) public {
        time = bound(time, uint256(NEXT) * INTERVAL_S, type(uint40).max);
        vm.warp(time);
        _expectRevert(abi.encodeWithSelector(IDispatch.TooLate.selector, SITE, NEXT, time), _soundSetpoints());
    }

    function test_revert_TooEarly(uint32 interval) public {
        interval = uint32(bound(interval, FIRST + 97, type(uint32).max));
        bytes memory lanes = _setpoints(_soundSetpoints());
        vm.expectRevert(abi.encodeWithSelector(IDispatch.TooEarly.selector, SITE, interval, START));
        vm.prank(oracle);
        dispatch.postSetpoints(SITE, interval, lanes, 0);
    }

    /// @dev The horizon moves with the running interval, not with the second.
    function test_boundary_lastSecondBeforeTheHorizonMoves() public {
        uint32 farthest = FIRST + 97;
        bytes memory lanes = _setpoints(_soundSetpoints());
        vm.warp(START + INTERVAL_S - 1);
        vm.expectRevert(abi.encodeWithSelector(IDispatch.TooEarly.selector, SITE, farthest, START + INTERVAL_S - 1));
        vm.prank(oracle);
        dispatch.postSetpoints(SITE, farthest, lanes, 0);
        vm.warp(START + INTERVAL_S);
        _post(farthest, _soundSetpoints());
        assertEq(uint8(dispatch.stateOf(SITE, farthest)), uint8(IntervalState.Dispatched), "state");
    }

    /// @dev Whoever fills the batch's last calldata word up, and goes on behind it, changes nothing of what is posted.
    function test_postSetpoints_whateverFollowsInCalldata(bytes16 padding, bytes memory rest) public {
        bytes memory lanes = _setpoints(_soundSetpoints());
        bytes memory data = abi.encodeCall(dispatch.postSetpoints, (SITE, NEXT, lanes, 0));
        for (uint256 i; i < 16; ++i) {
            data[data.length - 16 + i] = padding[i];
        }
        bytes32 step = keccak256(abi.encode(1, SITE, NEXT, keccak256(lanes), bytes32(0)));
        vm.expectEmit(address(dispatch));
        emit IDispatch.SetpointsPosted(SITE, NEXT, oracle, lanes, 0, keccak256(abi.encode(bytes32(0), step)));
        vm.prank(oracle);
        (bool done,) = address(dispatch).call(bytes.concat(data, rest));
        assertTrue(done, "posted");
    }

    function test_revert_AlreadyDispatched() public {
        _post(NEXT, _soundSetpoints());
        _expectRevert(abi.encodeWithSelector(IDispatch.AlreadyDispatched.selector, SITE, NEXT), _soundSetpoints());
    }

    function test_revert_AlreadyDispatched_ownersOwnPostWins() public {
        bytes memory lanes = _setpoints(_soundSetpoints());
        vm.prank(owner);
        dispatch.postSetpoints(SITE, NEXT, lanes, 0);
        _expectRevert(abi.encodeWithSelector(IDispatch.AlreadyDispatched.selector, SITE, NEXT), _soundSetpoints());
    }

    function test_revert_WrongLength(uint256 length) public {
        length = bound(length, 0, 64);
        vm.assume(length != 2 * LANES);
        vm.expectRevert(abi.encodeWithSelector(IDispatch.WrongLength.selector, SITE, length, 2 * LANES));
        vm.prank(oracle);
        dispatch.postSetpoints(SITE, NEXT, new bytes(length), 0);
    }

    function test_revert_WrongSign_evseFeeds(int16 value) public {
        _expectWrongSign(2, int16(bound(value, type(int16).min, -1)));
    }

    function test_revert_WrongSign_baseLoadFeeds(int16 value) public {
        _expectWrongSign(7, int16(bound(value, type(int16).min, -1)));
    }

    function test_revert_WrongSign_pvDraws(int16 value) public {
        _expectWrongSign(1, int16(bound(value, 1, type(int16).max)));
    }

    function _expectWrongSign(uint16 lane, int16 value) private {
        int16[] memory values = new int16[](LANES);
        values[lane] = value;
        _expectRevert(abi.encodeWithSelector(IDispatch.WrongSign.selector, SITE, lane, int256(value)), values);
    }

    function test_revert_RatingExceeded_evse(int16 value) public {
        _expectRatingExceeded(6, int16(bound(value, 1101, type(int16).max)), 11_000);
    }

    function test_revert_RatingExceeded_baseLoad(int16 value) public {
        _expectRatingExceeded(0, int16(bound(value, 4001, type(int16).max)), 40_000);
    }

    function test_revert_RatingExceeded_pv(int16 value) public {
        _expectRatingExceeded(1, int16(bound(value, type(int16).min, -5001)), 50_000);
    }

    function test_revert_RatingExceeded_batteryDraws(int16 value) public {
        _expectRatingExceeded(4, int16(bound(value, 3001, type(int16).max)), 30_000);
    }

    function test_revert_RatingExceeded_batteryFeeds(int16 value) public {
        _expectRatingExceeded(4, int16(bound(value, type(int16).min, -3001)), 30_000);
    }

    function _expectRatingExceeded(uint16 lane, int16 value, uint256 ratedW) private {
        int16[] memory values = new int16[](LANES);
        values[lane] = value;
        int256 powerW = int256(value) * 10;
        _expectRevert(abi.encodeWithSelector(IDispatch.RatingExceeded.selector, SITE, lane, powerW, ratedW), values);
    }

    function test_postSetpoints_everyAssetAtItsRating() public {
        int16[] memory values = new int16[](LANES);
        (values[0], values[1], values[2], values[3]) = (4000, -5000, 2200, 2200);
        (values[4], values[5], values[6], values[7]) = (-3000, 2200, 0, 800);
        _post(NEXT, values);
        assertEq(uint8(dispatch.stateOf(SITE, NEXT)), uint8(IntervalState.Dispatched), "state");
    }

    function test_revert_ImportLimitExceeded_cabinet() public {
        int16[] memory values = new int16[](LANES);
        (values[2], values[3], values[4]) = (2200, 2200, 1);
        _expectRevert(abi.encodeWithSelector(IDispatch.ImportLimitExceeded.selector, SITE, 1, 44_010, 44_000), values);
        values[4] = 0;
        _post(NEXT, values);
    }

    function test_revert_ImportLimitExceeded_gridBehindSoundCabinets() public {
        int16[] memory values = new int16[](LANES);
        (values[0], values[2], values[3]) = (2601, 2200, 2200);
        (values[5], values[6]) = (2200, 800);
        _expectRevert(abi.encodeWithSelector(IDispatch.ImportLimitExceeded.selector, SITE, 0, 100_010, 100_000), values);
        values[0] = 2600;
        _post(NEXT, values);
    }

    /// @dev What is above the limit by itself cannot be helped; it leaves nothing for charging.
    function test_postSetpoints_baseLoadAboveLimitAlone() public {
        int16[] memory values = new int16[](LANES);
        values[7] = 4000;
        _post(NEXT, values);
        assertEq(uint8(dispatch.stateOf(SITE, NEXT)), uint8(IntervalState.Dispatched), "state");
    }

    function test_revert_ImportLimitExceeded_chargingOnTopOfBaseLoad(int16 value) public {
        int16[] memory values = new int16[](LANES);
        values[7] = 4000;
        values[5] = int16(bound(value, 1, 2200));
        int256 powerW = (int256(values[5]) + 4000) * 10;
        _expectRevert(abi.encodeWithSelector(IDispatch.ImportLimitExceeded.selector, SITE, 2, powerW, 40_000), values);
    }

    function test_revert_ExportLimitExceeded_cabinet() public {
        int16[] memory values = new int16[](LANES);
        values[4] = -1001;
        _expectRevert(abi.encodeWithSelector(IDispatch.ExportLimitExceeded.selector, SITE, 1, -10_010, 10_000), values);
        values[4] = -1000;
        _post(NEXT, values);
    }

    function test_revert_ExportLimitExceeded_gridBehindSoundCabinets() public {
        int16[] memory values = new int16[](LANES);
        (values[1], values[4]) = (-5000, -501);
        _expectRevert(abi.encodeWithSelector(IDispatch.ExportLimitExceeded.selector, SITE, 0, -55_010, 55_000), values);
        values[4] = -500;
        _post(NEXT, values);
    }
}
