// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Dispatch} from "../../src/Dispatch.sol";
import {IAssetRegistry, IntervalState, RIGHT_DISPATCH, RIGHT_METER} from "../../src/IProtocol.sol";
import {Test} from "../SiteTest.sol";

/// @notice At a moment from which the ring ends within the day, for every interval: its stamp says what was posted for it and nothing about others. `scripts/prove` runs it.
contract StampsProof is Test {
    /// @dev 480 of 512 places into the ring. A number, because no solver divides an unknown time by 900 in time.
    uint256 private constant PRESENT = 3_835 * 512 + 480;

    Dispatch private dispatch;

    /// @dev The registry of a site without groups and lanes, so that only times and stamps are left to check.
    function setUp() public {
        vm.warp(PRESENT * 900);
        dispatch = new Dispatch(IAssetRegistry(address(this)));
        dispatch.setPoster("site", address(this), RIGHT_DISPATCH | RIGHT_METER, type(uint40).max, address(0));
    }

    function check_anIntervalIsDispatchedOnceAndInTime(uint32 interval) external {
        dispatch.postSetpoints("site", interval, "", 0);
        assert(interval > PRESENT && interval <= PRESENT + 96);
        assert(dispatch.stateOf("site", interval) == IntervalState.Dispatched);
        try dispatch.postSetpoints("site", interval, "", 0) {
            assert(false);
        } catch {}
    }

    function check_aStampLeavesEveryOtherInterval(uint32 interval, uint32 other) external {
        vm.assume(interval != other);
        dispatch.postSetpoints("site", other, "", 0);
        dispatch.postSetpoints("site", interval, "", 0);
        assert(dispatch.stateOf("site", interval) == IntervalState.Dispatched);
        assert(dispatch.stateOf("site", other) == IntervalState.Dispatched);
    }

    function check_readingsComeAfterTheInterval(uint32 interval, uint40 time) external {
        dispatch.postSetpoints("site", interval, "", 0);
        vm.warp(time);
        dispatch.postReadings("site", interval, "", 0);
        assert(time >= (uint256(interval) + 1) * 900 && time < (uint256(interval) + 97) * 900);
        assert(dispatch.stateOf("site", interval) == IntervalState.Metered);
    }
}
