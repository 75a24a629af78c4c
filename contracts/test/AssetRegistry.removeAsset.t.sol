// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {SiteTest} from "./SiteTest.sol";

contract AssetRegistryRemoveAssetTest is SiteTest {
    function _remove(bytes32 id) private {
        vm.prank(owner);
        registry.removeAsset(id);
    }

    function test_removeAsset_staysInItsLaneWithoutRating(uint16 lane) public {
        lane = uint16(bound(lane, 0, LANES - 1));
        bytes32 id = registry.assetAt(SITE, lane);
        (Asset memory before, AssetState memory stateBefore) = registry.asset(id);
        (bytes memory rangesBefore, bytes memory kindsBefore) = registry.lanesOf(SITE);
        vm.expectEmit(address(registry));
        emit IAssetRegistry.AssetRemoved(SITE, id, lane);
        _remove(id);

        (Asset memory data, AssetState memory state) = registry.asset(id);
        (before.ratedW, before.minW, stateBefore.removed) = (0, 0, true);
        assertEq(abi.encode(data), abi.encode(before), "all but its rating");
        assertEq(abi.encode(state), abi.encode(stateBefore), "removed");
        assertEq(registry.assetAt(SITE, lane), id, "lane");
        assertEq(registry.site(SITE).assetCount, LANES, "lanes");
        (bytes memory ranges, bytes memory kinds) = registry.lanesOf(SITE);
        assertEq(ranges, rangesBefore, "ranges");
        for (uint256 i; i < kinds.length; ++i) {
            bool isRating = i / 4 == lane && i % 4 >= 2;
            assertEq(kinds[i], isRating ? bytes1(0) : kindsBefore[i], "its rating only");
        }
    }

    function test_removeAsset_itsSetpointMustBeZero(uint16 lane, int16 value) public {
        lane = uint16(bound(lane, 0, LANES - 1));
        vm.assume(value != 0);
        int16[] memory values = new int16[](LANES);
        _remove(registry.assetAt(SITE, lane));
        values[lane] = value;
        bytes memory batch = _setpoints(values);
        vm.expectRevert();
        vm.prank(oracle);
        dispatch.postSetpoints(SITE, FIRST + 1, batch, 0);
        values[lane] = 0;
        batch = _setpoints(values);
        vm.prank(oracle);
        dispatch.postSetpoints(SITE, FIRST + 1, batch, 0);
        assertEq(uint8(dispatch.stateOf(SITE, FIRST + 1)), uint8(IntervalState.Dispatched), "zero is accepted");
    }

    function test_removeAsset_namesTheSetpoint() public {
        _remove(EVSE);
        bytes memory batch = _setpoints(_soundSetpoints());
        vm.expectRevert(abi.encodeWithSelector(IDispatch.RatingExceeded.selector, SITE, 2, 11_040, 0));
        vm.prank(oracle);
        dispatch.postSetpoints(SITE, FIRST + 1, batch, 0);
    }

    function test_removeAsset_offersNothing(address who) public {
        vm.prank(who);
        registry.registerDriver();
        _remove(EVSE);
        assertTrue(registry.offerOf(EVSE, who, oracle).removed, "no session");
        (bool allowed,,) = registry.mayBook(EVSE, who);
        assertFalse(allowed, "no booking");
        (allowed,,) = registry.mayBook(EVSE, owner);
        assertFalse(allowed, "not even the owner's");
    }

    /// @dev Whoever settles an open session, and by which meter, is known as before.
    function test_removeAsset_leavesWhatSettlementAsks() public {
        _remove(EVSE);
        assertTrue(registry.isAuthorised(SITE, oracle, RIGHT_SETTLE), "settler");
        assertEq(registry.meterAt(EVSE, uint40(START)), _meterId(meter.addr), "meter");
        assertEq(registry.site(SITE).owner, owner, "payee");
    }

    function test_revert_AssetIsRemoved() public {
        _remove(EVSE);
        bytes memory reason = abi.encodeWithSelector(IAssetRegistry.AssetIsRemoved.selector, EVSE);
        vm.startPrank(owner);
        vm.expectRevert(reason);
        registry.removeAsset(EVSE);
        vm.expectRevert(reason);
        registry.setTariff(_only(EVSE), _flatTariff());
        vm.expectRevert(reason);
        registry.setAccess(EVSE, Access.Public);
        vm.expectRevert(reason);
        registry.setMeter(EVSE, bytes32(uint256(1)));
        vm.expectRevert(reason);
        registry.setStatus(EVSE, Status.Available, "");
        vm.stopPrank();
    }

    function test_revert_AssetExists_idsStayTaken() public {
        _remove(EVSE);
        Asset[] memory assets = new Asset[](1);
        string[] memory clearIds = new string[](1);
        clearIds[0] = EVSE_CLEAR;
        assets[0] = _asset(EVSE_CLEAR, AssetKind.Evse, 2, 22_000);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.AssetExists.selector, EVSE));
        vm.prank(owner);
        registry.registerAssets(SITE, assets, clearIds);
    }

    function test_removeAsset_laterAssetsKeepTheirOrder() public {
        _remove(keccak256("base 2"));
        Asset[] memory assets = new Asset[](1);
        string[] memory clearIds = new string[](1);
        clearIds[0] = "new";
        assets[0] = _asset("new", AssetKind.Evse, 1, 22_000);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.AssetOutOfOrder.selector, SITE, assets[0].id, 1));
        vm.prank(owner);
        registry.registerAssets(SITE, assets, clearIds);
        assets[0].group = 2;
        vm.prank(owner);
        registry.registerAssets(SITE, assets, clearIds);
        assertEq(registry.assetAt(SITE, 8), assets[0].id, "next lane");
    }
}
