// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {SiteTest} from "./SiteTest.sol";

contract AssetRegistryAssetsTest is SiteTest {
    function test_registerAssets(uint256 seed, int32 latitude, int32 longitude, bytes32 meterId) public {
        vm.assume(meterId != 0);
        seed = uint256(keccak256(abi.encode(seed)));
        (Asset[] memory assets, string[] memory clearIds) = _one();
        Asset memory added = assets[0];
        added.kind = AssetKind(seed % 4);
        bool isEvse = added.kind == AssetKind.Evse;
        added.ratedW = uint32(1 + (seed >> 8) % 32_767) * 10;
        added.minW = uint32((seed >> 32) % (added.ratedW + 1));
        added.phases = uint8(1 + (seed >> 64) % 3);
        added.connector = isEvse ? Connector(1 + (seed >> 72) % 9) : Connector.None;
        added.access = isEvse ? Access((seed >> 80) % 3) : Access.Public;
        added.latitudeE7 = int32(bound(latitude, -90e7, 90e7));
        added.longitudeE7 = int32(bound(longitude, -180e7, 180e7));
        added.meter = meterId;
        vm.expectEmit(address(registry));
        emit IAssetRegistry.AssetRegistered(SITE, added.id, 8, added, clearIds[0]);
        vm.prank(owner);
        registry.registerAssets(SITE, assets, clearIds);

        (Asset memory stored, AssetState memory state) = registry.asset(added.id);
        assertEq(abi.encode(stored), abi.encode(added), "asset");
        assertEq(abi.encode(state), abi.encode(AssetState(SITE, 8, 0, Status.Available, false, uint40(START))), "state");
        assertEq(registry.assetAt(SITE, 8), added.id, "lane's asset");
        assertEq(registry.site(SITE).assetCount, 9, "count");
    }

    function _one() private view returns (Asset[] memory assets, string[] memory clearIds) {
        assets = new Asset[](1);
        clearIds = new string[](1);
        clearIds[0] = "DE*PVT*E9*1";
        assets[0] = _asset(clearIds[0], AssetKind.Evse, 2, 22_000);
    }

    function _expectAssetRefused(Asset[] memory assets, string[] memory clearIds, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(owner);
        registry.registerAssets(SITE, assets, clearIds);
    }

    function test_revert_EmptyId_asset() public {
        (Asset[] memory assets, string[] memory clearIds) = _one();
        clearIds[0] = "";
        _expectAssetRefused(assets, clearIds, abi.encodeWithSelector(IAssetRegistry.EmptyId.selector));
    }

    function test_revert_IdMismatch(bytes32 id) public {
        (Asset[] memory assets, string[] memory clearIds) = _one();
        bytes32 expected = assets[0].id;
        vm.assume(id != expected);
        assets[0].id = id;
        _expectAssetRefused(assets, clearIds, abi.encodeWithSelector(IAssetRegistry.IdMismatch.selector, id, expected));
    }

    function test_revert_LengthMismatch(uint8 a, uint8 b) public {
        vm.assume(a != b);
        _expectAssetRefused(
            new Asset[](a), new string[](b), abi.encodeWithSelector(IAssetRegistry.LengthMismatch.selector, a, b)
        );
    }

    function test_revert_TooManyAssets() public {
        _expectAssetRefused(
            new Asset[](1017),
            new string[](1017),
            abi.encodeWithSelector(IAssetRegistry.TooManyAssets.selector, SITE, 1025, 1024)
        );
    }

    function test_revert_UnknownGroup_asset(uint16 group) public {
        group = uint16(bound(group, 3, type(uint16).max));
        (Asset[] memory assets, string[] memory clearIds) = _one();
        assets[0].group = group;
        _expectAssetRefused(assets, clearIds, abi.encodeWithSelector(IAssetRegistry.UnknownGroup.selector, SITE, group));
    }

    function test_revert_AssetOutOfOrder(uint16 group) public {
        group = uint16(bound(group, 0, 1));
        (Asset[] memory assets, string[] memory clearIds) = _one();
        assets[0].group = group;
        _expectAssetRefused(
            assets, clearIds, abi.encodeWithSelector(IAssetRegistry.AssetOutOfOrder.selector, SITE, assets[0].id, group)
        );
    }

    function test_revert_AssetExists_atAnotherSite() public {
        (Asset[] memory assets, string[] memory clearIds) = _one();
        clearIds[0] = EVSE_CLEAR;
        assets[0] = _asset(EVSE_CLEAR, AssetKind.Evse, 0, 22_000);
        vm.startPrank(stranger);
        bytes32 site = registry.registerSite("new", "Europe/Berlin", 0, 0);
        registry.registerGroups(site, new Group[](1));
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.AssetExists.selector, EVSE));
        registry.registerAssets(site, assets, clearIds);
        vm.stopPrank();
    }

    function test_revert_AssetExists_twiceInOneCall() public {
        Asset[] memory assets = new Asset[](2);
        string[] memory clearIds = new string[](2);
        (clearIds[0], clearIds[1]) = ("twin", "twin");
        assets[0] = _asset("twin", AssetKind.Evse, 2, 22_000);
        assets[1] = assets[0];
        _expectAssetRefused(assets, clearIds, abi.encodeWithSelector(IAssetRegistry.AssetExists.selector, assets[0].id));
    }

    function test_revert_BadRating_zero() public {
        _expectBadRating(0, 0);
    }

    function test_revert_BadRating_tooMuchForALane(uint32 ratedW) public {
        _expectBadRating(uint32(bound(ratedW, 327_671, type(uint32).max)), 0);
    }

    function test_revert_BadRating_noMultipleOfTen(uint32 ratedW) public {
        ratedW = uint32(bound(ratedW, 1, 327_670));
        vm.assume(ratedW % 10 != 0);
        _expectBadRating(ratedW, 0);
    }

    function test_revert_BadRating_leastAboveMost(uint32 minW) public {
        _expectBadRating(22_000, uint32(bound(minW, 22_001, type(uint32).max)));
    }

    function _expectBadRating(uint32 ratedW, uint32 minW) private {
        (Asset[] memory assets, string[] memory clearIds) = _one();
        (assets[0].ratedW, assets[0].minW) = (ratedW, minW);
        _expectAssetRefused(
            assets, clearIds, abi.encodeWithSelector(IAssetRegistry.BadRating.selector, assets[0].id, ratedW, minW)
        );
    }

    function test_revert_BadPhases(uint8 phases) public {
        vm.assume(phases == 0 || phases > 3);
        (Asset[] memory assets, string[] memory clearIds) = _one();
        assets[0].phases = phases;
        _expectAssetRefused(
            assets, clearIds, abi.encodeWithSelector(IAssetRegistry.BadPhases.selector, assets[0].id, phases)
        );
    }

    function test_revert_BadPosition_asset() public {
        (Asset[] memory assets, string[] memory clearIds) = _one();
        assets[0].latitudeE7 = 90e7 + 1;
        _expectAssetRefused(
            assets, clearIds, abi.encodeWithSelector(IAssetRegistry.BadPosition.selector, 90e7 + 1, 13e7)
        );
    }

    function test_boundary_ratings() public {
        (Asset[] memory assets, string[] memory clearIds) = _one();
        (assets[0].ratedW, assets[0].minW) = (327_670, 327_670);
        vm.prank(owner);
        registry.registerAssets(SITE, assets, clearIds);
        (Asset memory stored,) = registry.asset(assets[0].id);
        assertEq(stored.ratedW, 327_670, "the greatest lane");
    }

    function test_boundary_1024Assets() public {
        uint256 count = 1024 - LANES;
        vm.startPrank(owner);
        for (uint256 from; from < count; from += 127) {
            Asset[] memory assets = new Asset[](127);
            string[] memory clearIds = new string[](127);
            for (uint256 i; i < 127; ++i) {
                clearIds[i] = string.concat("many", vm.toString(from + i));
                assets[i] = _asset(clearIds[i], AssetKind.Pv, 2, 10);
            }
            registry.registerAssets(SITE, assets, clearIds);
        }
        assertEq(registry.site(SITE).assetCount, 1024, "count");
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.TooManyAssets.selector, SITE, 1025, 1024));
        registry.registerAssets(SITE, new Asset[](1), new string[](1));
        vm.stopPrank();
    }

    function test_boundary_clearIdOf64Bytes() public {
        (Asset[] memory assets, string[] memory clearIds) = _one();
        clearIds[0] = string(new bytes(65));
        assets[0].id = keccak256(bytes(clearIds[0]));
        _expectAssetRefused(assets, clearIds, abi.encodeWithSelector(IAssetRegistry.TextTooLong.selector, 65, 64));
        clearIds[0] = string(new bytes(64));
        assets[0].id = keccak256(bytes(clearIds[0]));
        vm.prank(owner);
        registry.registerAssets(SITE, assets, clearIds);
        assertEq(registry.assetAt(SITE, 8), assets[0].id, "registered");
    }

    function test_revert_NoMeter() public {
        (Asset[] memory assets, string[] memory clearIds) = _one();
        assets[0].meter = 0;
        _expectAssetRefused(assets, clearIds, abi.encodeWithSelector(IAssetRegistry.NoMeter.selector, assets[0].id));
    }

    function test_revert_BadConnector_evseWithout() public {
        (Asset[] memory assets, string[] memory clearIds) = _one();
        assets[0].connector = Connector.None;
        _expectAssetRefused(
            assets, clearIds, abi.encodeWithSelector(IAssetRegistry.BadConnector.selector, assets[0].id, Connector.None)
        );
    }

    function test_revert_BadConnector_otherWith(uint8 kind, uint8 connector) public {
        (Asset[] memory assets, string[] memory clearIds) = _one();
        assets[0].kind = AssetKind(bound(kind, 1, 3));
        assets[0].connector = Connector(bound(connector, 1, 9));
        _expectAssetRefused(
            assets,
            clearIds,
            abi.encodeWithSelector(IAssetRegistry.BadConnector.selector, assets[0].id, assets[0].connector)
        );
    }

    function test_revert_NotEvse_accessOfOther(uint8 kind, uint8 access) public {
        (Asset[] memory assets, string[] memory clearIds) = _one();
        assets[0].kind = AssetKind(bound(kind, 1, 3));
        assets[0].connector = Connector.None;
        assets[0].access = Access(bound(access, 1, 2));
        _expectAssetRefused(assets, clearIds, abi.encodeWithSelector(IAssetRegistry.NotEvse.selector, assets[0].id));
    }

    /// @dev A value beyond an enum is no calldata of this interface.
    function test_revert_enumOutOfRange(uint8 value) public {
        value = uint8(bound(value, 5, type(uint8).max));
        vm.startPrank(owner);
        (bool taken,) = address(registry).call(abi.encodeWithSelector(registry.setAccess.selector, EVSE, value));
        assertFalse(taken, "access");
        (taken,) = address(registry).call(abi.encodeWithSelector(registry.setStatus.selector, EVSE, value, ""));
        assertFalse(taken, "status");
        (taken,) = address(registry)
            .call(abi.encodeWithSelector(registry.setStanding.selector, SITE, new address[](1), value));
        assertFalse(taken, "standing");
        vm.stopPrank();
    }

    function test_revert_UnknownAsset(bytes32 id) public {
        vm.assume(id != 0);
        id = keccak256(abi.encode(id));
        bytes memory reason = abi.encodeWithSelector(IAssetRegistry.UnknownAsset.selector, id);
        vm.expectRevert(reason);
        registry.asset(id);
        vm.expectRevert(reason);
        registry.removeAsset(id);
        vm.expectRevert(reason);
        registry.setTariff(_only(id), _flatTariff());
        vm.expectRevert(reason);
        registry.setAccess(id, Access.Public);
        vm.expectRevert(reason);
        registry.setMeter(id, id);
        vm.expectRevert(reason);
        registry.setStatus(id, Status.Faulted, "");
        vm.expectRevert(reason);
        registry.meterAt(id, 0);
        vm.expectRevert(reason);
        registry.offerOf(id, driver.addr, oracle);
        vm.expectRevert(reason);
        registry.mayBook(id, driver.addr);
    }

    function test_revert_UnknownAsset_lane(uint16 lane) public {
        lane = uint16(bound(lane, LANES, type(uint16).max));
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.UnknownAsset.selector, bytes32(0)));
        registry.assetAt(SITE, lane);
    }

    function test_revert_NotEvse(uint16 lane) public {
        lane = uint16(bound(lane, 0, 3));
        lane = lane < 2 ? lane : lane == 2 ? 4 : 7;
        bytes32 id = registry.assetAt(SITE, lane);
        bytes memory reason = abi.encodeWithSelector(IAssetRegistry.NotEvse.selector, id);
        vm.startPrank(owner);
        vm.expectRevert(reason);
        registry.setTariff(_only(id), _flatTariff());
        vm.expectRevert(reason);
        registry.setAccess(id, Access.Members);
        vm.expectRevert(reason);
        registry.setStatus(id, Status.Faulted, "");
        vm.stopPrank();
    }

    function test_setAccess(uint8 access) public {
        Access wanted = Access(bound(access, 0, 2));
        vm.expectEmit(address(registry));
        emit IAssetRegistry.AccessSet(SITE, EVSE, wanted);
        vm.prank(owner);
        registry.setAccess(EVSE, wanted);
        (Asset memory data,) = registry.asset(EVSE);
        assertEq(uint8(data.access), uint8(wanted), "access");
        (data,) = registry.asset(OTHER_EVSE);
        assertEq(uint8(data.access), uint8(Access.Public), "of this EVSE only");
    }
}
