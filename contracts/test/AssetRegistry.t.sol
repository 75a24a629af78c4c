// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Vm} from "forge-std/Vm.sol";
import {AssetRegistry} from "../src/AssetRegistry.sol";
import "../src/IProtocol.sol";
import {BaseTest} from "./BaseTest.sol";

contract AssetRegistryTest is BaseTest {
    function test_registerSite(string memory clearId, int32 latitude, int32 longitude) public {
        vm.assume(bytes(clearId).length > 0 && keccak256(bytes(clearId)) != SITE);
        latitude = int32(bound(latitude, -90e7, 90e7));
        longitude = int32(bound(longitude, -180e7, 180e7));
        bytes32 id = keccak256(bytes(clearId));

        vm.expectEmit(address(registry));
        emit IAssetRegistry.SiteRegistered(id, stranger, clearId, "Europe/Berlin", latitude, longitude);
        vm.prank(stranger);
        assertEq(registry.registerSite(clearId, "Europe/Berlin", latitude, longitude), id, "id");

        Site memory site = registry.site(id);
        assertEq(site.owner, stranger, "owner");
        assertEq(site.latitudeE7, latitude, "latitude");
        assertEq(site.longitudeE7, longitude, "longitude");
        assertEq(site.groupCount, 0, "groups");
        assertEq(site.assetCount, 0, "assets");
    }

    function test_revert_EmptyId_site() public {
        vm.expectRevert(IAssetRegistry.EmptyId.selector);
        registry.registerSite("", "Europe/Berlin", 0, 0);
    }

    function test_revert_SiteExists() public {
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.SiteExists.selector, SITE));
        vm.prank(stranger);
        registry.registerSite(SITE_CLEAR, "Europe/Berlin", 0, 0);
    }

    function test_revert_BadPosition_site(int32 latitude, int32 longitude) public {
        vm.assume(latitude < -90e7 || latitude > 90e7 || longitude < -180e7 || longitude > 180e7);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.BadPosition.selector, latitude, longitude));
        registry.registerSite("new", "Europe/Berlin", latitude, longitude);
    }

    function test_revert_UnknownSite(bytes32 id) public {
        vm.assume(id != SITE);
        bytes memory reason = abi.encodeWithSelector(IAssetRegistry.UnknownSite.selector, id);
        vm.expectRevert(reason);
        registry.site(id);
        vm.expectRevert(reason);
        registry.registerGroups(id, new Group[](1));
        vm.expectRevert(reason);
        registry.registerAssets(id, new Asset[](0), new string[](0));
        vm.expectRevert(reason);
        registry.setDelegate(id, stranger, 7, 0);
    }

    function test_revert_NotOwner() public {
        bytes memory reason = abi.encodeWithSelector(IAssetRegistry.NotOwner.selector, SITE, oracle, owner);
        vm.startPrank(oracle);
        vm.expectRevert(reason);
        registry.registerGroups(SITE, new Group[](1));
        vm.expectRevert(reason);
        registry.registerAssets(SITE, new Asset[](0), new string[](0));
        vm.expectRevert(reason);
        registry.setDelegate(SITE, stranger, 7, 0);
        vm.expectRevert(reason);
        registry.setPrice(EVSE, 1);
        vm.stopPrank();
    }

    function test_registerGroups(uint32 limitImportW, uint32 limitExportW) public {
        Group[] memory groups = new Group[](1);
        groups[0] = Group(2, limitImportW, limitExportW);
        vm.expectEmit(address(registry));
        emit IAssetRegistry.GroupRegistered(SITE, 3, 2, limitImportW, limitExportW);
        vm.prank(owner);
        registry.registerGroups(SITE, groups);

        Group memory group = registry.group(SITE, 3);
        assertEq(group.parent, 2, "parent");
        assertEq(group.limitImportW, limitImportW, "import limit");
        assertEq(group.limitExportW, limitExportW, "export limit");
        assertEq(registry.site(SITE).groupCount, 4, "count");
    }

    function test_revert_UnknownGroup_view(uint16 index) public {
        index = uint16(bound(index, 3, type(uint16).max));
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.UnknownGroup.selector, SITE, index));
        registry.group(SITE, index);
    }

    function test_revert_GroupOutOfOrder_rootNamesAnother(uint16 parent) public {
        vm.assume(parent != 0);
        vm.startPrank(stranger);
        bytes32 site = registry.registerSite("new", "Europe/Berlin", 0, 0);
        Group[] memory groups = new Group[](1);
        groups[0].parent = parent;
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.GroupOutOfOrder.selector, site, 0, parent));
        registry.registerGroups(site, groups);
        vm.stopPrank();
    }

    function test_revert_GroupOutOfOrder_parentNotYetThere(uint16 parent) public {
        parent = uint16(bound(parent, 3, type(uint16).max));
        _expectGroupRefused(parent);
    }

    /// @dev Cabinet 1 was complete when cabinet 2 began.
    function test_revert_GroupOutOfOrder_finishedSubtree() public {
        _expectGroupRefused(1);
    }

    function _expectGroupRefused(uint16 parent) private {
        Group[] memory groups = new Group[](1);
        groups[0].parent = parent;
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.GroupOutOfOrder.selector, SITE, 3, parent));
        vm.prank(owner);
        registry.registerGroups(SITE, groups);
    }

    function test_revert_TooManyGroups() public {
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.TooManyGroups.selector, SITE, 65, 64));
        registry.registerGroups(SITE, new Group[](62));
        registry.registerGroups(SITE, new Group[](61));
        vm.stopPrank();
        assertEq(registry.site(SITE).groupCount, 64, "count");
    }

    function test_registerAssets(uint32 ratedW, uint64 price) public {
        (Asset[] memory assets, string[] memory clearIds) = _one();
        assets[0].ratedW = uint32(bound(ratedW, 138, 32_767) * 10);
        assets[0].price = price;
        vm.expectEmit(address(registry));
        emit IAssetRegistry.AssetRegistered(SITE, assets[0].id, 8, assets[0], clearIds[0]);
        vm.prank(owner);
        registry.registerAssets(SITE, assets, clearIds);

        (Asset memory stored, bytes32 site, uint16 lane) = registry.asset(assets[0].id);
        assertEq(abi.encode(stored), abi.encode(assets[0]), "asset");
        assertEq(site, SITE, "site");
        assertEq(lane, 8, "lane");
        assertEq(registry.assetAt(SITE, 8), assets[0].id, "lane's asset");
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

    function test_revert_NoMeterKey() public {
        (Asset[] memory assets, string[] memory clearIds) = _one();
        assets[0].meterKey = address(0);
        _expectAssetRefused(assets, clearIds, abi.encodeWithSelector(IAssetRegistry.NoMeterKey.selector, assets[0].id));
    }

    function test_revert_NotEvse_registration(uint64 price) public {
        (Asset[] memory assets, string[] memory clearIds) = _one();
        assets[0].kind = AssetKind.Battery;
        assets[0].price = uint64(bound(price, 1, type(uint64).max));
        _expectAssetRefused(assets, clearIds, abi.encodeWithSelector(IAssetRegistry.NotEvse.selector, assets[0].id));
    }

    function test_revert_NotEvse_setPrice() public {
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.NotEvse.selector, keccak256("battery")));
        vm.prank(owner);
        registry.setPrice(keccak256("battery"), 1);
    }

    function test_setPrice(uint64 price) public {
        vm.expectEmit(address(registry));
        emit IAssetRegistry.PriceSet(SITE, EVSE, price);
        vm.prank(owner);
        registry.setPrice(EVSE, price);
        (Asset memory stored,,) = registry.asset(EVSE);
        assertEq(stored.price, price, "price");
    }

    function test_revert_UnknownAsset() public {
        bytes memory reason = abi.encodeWithSelector(IAssetRegistry.UnknownAsset.selector, keccak256("none"));
        vm.expectRevert(reason);
        registry.asset(keccak256("none"));
        vm.expectRevert(reason);
        registry.setPrice(keccak256("none"), 1);
    }

    function test_revert_UnknownAsset_lane(uint16 lane) public {
        lane = uint16(bound(lane, LANES, type(uint16).max));
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.UnknownAsset.selector, bytes32(0)));
        registry.assetAt(SITE, lane);
    }

    function test_setDelegate(address delegate, uint8 rights, uint8 asked, uint40 expiry, uint40 time) public {
        vm.assume(delegate != owner);
        vm.expectEmit(address(registry));
        emit IAssetRegistry.DelegateSet(SITE, delegate, rights, expiry);
        vm.prank(owner);
        registry.setDelegate(SITE, delegate, rights, expiry);

        vm.warp(time);
        bool expected = asked != 0 && asked & ~rights == 0 && time <= expiry;
        assertEq(registry.isAuthorised(SITE, delegate, asked), expected, "rights");
        (bool authorised,) = registry.layoutFor(SITE, delegate, asked);
        assertEq(authorised, expected, "the same for Dispatch");
    }

    function test_boundary_delegationEndsAfterItsLastSecond() public {
        vm.prank(owner);
        registry.setDelegate(SITE, stranger, RIGHT_SETTLE, uint40(START));
        assertTrue(registry.isAuthorised(SITE, stranger, RIGHT_SETTLE), "last second");
        vm.warp(START + 1);
        assertFalse(registry.isAuthorised(SITE, stranger, RIGHT_SETTLE), "the second after");
    }

    function test_setDelegate_zeroTakesAll() public {
        vm.prank(owner);
        registry.setDelegate(SITE, oracle, 0, type(uint40).max);
        assertFalse(registry.isAuthorised(SITE, oracle, RIGHT_DISPATCH), "dispatch");
        assertFalse(registry.isAuthorised(SITE, oracle, 0), "nothing");
    }

    function test_isAuthorised_ownerAlways(uint8 rights, uint40 time) public {
        vm.warp(time);
        assertTrue(registry.isAuthorised(SITE, owner, rights), "owner");
    }

    function test_isAuthorised_nobodyAtUnknownSite(address who, uint8 rights) public view {
        assertFalse(registry.isAuthorised(keccak256("none"), who, rights), "nobody");
        assertFalse(registry.isAuthorised(keccak256("none"), address(0), rights), "not even zero");
    }

    function test_registerDriver(address who) public {
        vm.assume(who != driver.addr);
        assertFalse(registry.isDriver(who), "before");
        vm.expectEmit(address(registry));
        emit IAssetRegistry.DriverRegistered(who);
        vm.prank(who);
        registry.registerDriver();
        assertTrue(registry.isDriver(who), "after");
    }

    function test_registerDriver_idempotent() public {
        vm.recordLogs();
        vm.prank(driver.addr);
        registry.registerDriver();
        assertEq(vm.getRecordedLogs().length, 0, "no second event");
        assertTrue(registry.isDriver(driver.addr), "still a driver");
    }

    function _registrationDigest(AssetRegistry target, address who) private view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Provolt"),
                keccak256("1"),
                block.chainid,
                address(target)
            )
        );
        bytes32 structHash = keccak256(abi.encode(keccak256("RegisterDriver(address driver)"), who));
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    function test_registerDriverFor(uint256 key, address relayer) public {
        key = boundPrivateKey(key);
        address who = vm.addr(key);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, _registrationDigest(registry, who));
        vm.prank(relayer);
        registry.registerDriverFor(who, abi.encodePacked(r, s, v));
        assertTrue(registry.isDriver(who), "driver");
    }

    function test_revert_BadDriverSignature(uint256 key) public {
        key = boundPrivateKey(key);
        vm.assume(vm.addr(key) != stranger);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, _registrationDigest(registry, stranger));
        _expectBadDriverSignature(registry, stranger, abi.encodePacked(r, s, v));
    }

    /// @dev A failed recovery names the zero address; that must not register it.
    function test_revert_BadDriverSignature_zeroAddress(bytes memory signature) public {
        vm.assume(signature.length != 65);
        _expectBadDriverSignature(registry, address(0), signature);
    }

    function test_replay_registrationOnOtherChain(uint64 chain) public {
        vm.assume(chain != block.chainid && chain > 0);
        Vm.Wallet memory who = vm.createWallet("new driver");
        bytes memory signature = _sign(who, _registrationDigest(registry, who.addr));
        vm.chainId(chain);
        _expectBadDriverSignature(registry, who.addr, signature);
    }

    function test_replay_registrationAtOtherContract() public {
        Vm.Wallet memory who = vm.createWallet("new driver");
        bytes memory signature = _sign(who, _registrationDigest(registry, who.addr));
        _expectBadDriverSignature(new AssetRegistry(), who.addr, signature);
    }

    function _expectBadDriverSignature(AssetRegistry target, address who, bytes memory signature) private {
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.BadDriverSignature.selector, who));
        target.registerDriverFor(who, signature);
    }

    function test_lanesOf_demoSite() public view {
        (bytes memory ranges, bytes memory kinds) = registry.lanesOf(SITE);
        assertEq(
            ranges,
            bytes.concat(
                abi.encodePacked(uint16(0), uint16(8), uint32(100_000), uint32(55_000), uint32(0)),
                abi.encodePacked(uint16(2), uint16(5), uint32(44_000), uint32(10_000), uint32(0)),
                abi.encodePacked(uint16(5), uint16(8), uint32(30_000), uint32(0), uint32(0))
            ),
            "ranges"
        );
        assertEq(
            kinds,
            bytes.concat(
                hex"03000fa0",
                hex"01001388",
                hex"00000898",
                hex"00000898",
                hex"02000bb8",
                hex"00000898",
                hex"0000044c",
                hex"03000fa0"
            ),
            "kinds"
        );
    }

    function test_lanesOf_empty(bytes32 site) public view {
        vm.assume(site != SITE);
        (bytes memory ranges, bytes memory kinds) = registry.lanesOf(site);
        assertEq(ranges.length, 0, "ranges");
        assertEq(kinds.length, 0, "kinds");
    }

    /// @dev However a site was put together, a group's range is the lanes of its subtree and nothing else.
    function test_lanesOf_rangesAreSubtrees(uint256 seed) public {
        bytes32 site = _registerRandomSite(seed);
        Site memory data = registry.site(site);
        (bytes memory ranges,) = registry.lanesOf(site);
        for (uint16 g; g < data.groupCount; ++g) {
            (uint256 first, uint256 end) = _rangeOf(ranges, g);
            for (uint16 lane; lane < data.assetCount; ++lane) {
                bool inside = lane >= first && lane < end;
                assertEq(inside, _isBehind(site, lane, g), "lane in range iff asset below group");
            }
        }
    }

    function _registerRandomSite(uint256 seed) private returns (bytes32 site) {
        vm.startPrank(stranger);
        site = registry.registerSite("random", "Europe/Berlin", 0, 0);
        uint16 groups;
        uint16 lastGroup;
        uint256 lanes;
        for (uint256 step; step < 6; ++step) {
            uint256 dice = uint256(keccak256(abi.encode(seed, step)));
            Group[] memory added = new Group[](1 + dice % 3);
            for (uint256 i; i < added.length; ++i) {
                added[i].parent = groups == 0 ? 0 : _ancestor(site, groups - 1, added, i, dice >> (8 * i));
                ++groups;
            }
            registry.registerGroups(site, added);
            lastGroup += uint16((dice >> 64) % (groups - lastGroup));
            uint256 count = (dice >> 72) % 4;
            Asset[] memory assets = new Asset[](count);
            string[] memory clearIds = new string[](count);
            for (uint256 i; i < count; ++i) {
                clearIds[i] = string.concat("random", vm.toString(lanes++));
                assets[i] = _asset(clearIds[i], AssetKind.Battery, lastGroup, 10);
            }
            registry.registerAssets(site, assets, clearIds);
        }
        vm.stopPrank();
    }

    /// @dev The group before, or one of its ancestors.
    function _ancestor(bytes32 site, uint16 from, Group[] memory added, uint256 fresh, uint256 dice)
        private
        view
        returns (uint16 index)
    {
        index = from;
        uint16 stored = uint16(uint256(from) + 1 - fresh);
        for (uint256 up = dice % 4; up > 0; --up) {
            index = index >= stored ? added[index - stored].parent : registry.group(site, index).parent;
        }
    }

    function _rangeOf(bytes memory ranges, uint256 index) private pure returns (uint256 first, uint256 end) {
        first = (uint256(uint8(ranges[16 * index])) << 8) | uint8(ranges[16 * index + 1]);
        end = (uint256(uint8(ranges[16 * index + 2])) << 8) | uint8(ranges[16 * index + 3]);
    }

    function _isBehind(bytes32 site, uint16 lane, uint16 ancestor) private view returns (bool) {
        (Asset memory data,,) = registry.asset(registry.assetAt(site, lane));
        uint16 index = data.group;
        while (index != ancestor && index != 0) index = registry.group(site, index).parent;
        return index == ancestor;
    }
}
