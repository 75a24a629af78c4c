// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {SiteTest} from "./SiteTest.sol";

contract AssetRegistrySitesTest is SiteTest {
    function test_registerSite(string memory clearId, int32 latitude, int32 longitude) public {
        vm.assume(bytes(clearId).length > 0 && bytes(clearId).length <= 64 && keccak256(bytes(clearId)) != SITE);
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
        assertEq(site.pendingOwner, address(0), "nobody is to take over");
        assertEq(site.operator, address(0), "no operator");
        assertEq(registry.siteCount(), 2, "count");
        assertEq(registry.siteAt(1), id, "index");
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

    function test_boundary_textsOf64Bytes() public {
        string memory longest = string(new bytes(64));
        string memory tooLong = string(new bytes(65));
        registry.registerSite(longest, longest, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.TextTooLong.selector, 65, 64));
        registry.registerSite(tooLong, "Europe/Berlin", 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.TextTooLong.selector, 65, 64));
        registry.registerSite("new", tooLong, 0, 0);
    }

    function test_boundary_polesAndDateLine() public {
        registry.registerSite("north east", "", 90e7, 180e7);
        registry.registerSite("south west", "", -90e7, -180e7);
        assertEq(registry.siteCount(), 3, "registered");
    }

    function test_revert_UnknownSite(bytes32 id, address who) public {
        vm.assume(id != SITE);
        bytes memory reason = abi.encodeWithSelector(IAssetRegistry.UnknownSite.selector, id);
        vm.startPrank(who);
        vm.expectRevert(reason);
        registry.site(id);
        vm.expectRevert(reason);
        registry.registerGroups(id, new Group[](1));
        vm.expectRevert(reason);
        registry.setGroupLimits(id, 0, 1, 1);
        vm.expectRevert(reason);
        registry.registerAssets(id, new Asset[](0), new string[](0));
        vm.expectRevert(reason);
        registry.setDelegate(id, stranger, 7, 0);
        vm.expectRevert(reason);
        registry.setOperator(id, stranger, 1, 1, 1);
        vm.expectRevert(reason);
        registry.proposeOwner(id, stranger);
        vm.expectRevert(reason);
        registry.acceptOwner(id);
        vm.expectRevert(reason);
        registry.setStanding(id, new address[](1), Standing.Member);
        vm.stopPrank();
    }

    function test_revert_UnknownSite_index(uint256 index) public {
        index = bound(index, 1, type(uint256).max);
        assertEq(registry.siteAt(0), SITE, "the last there is");
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.UnknownSite.selector, bytes32(0)));
        registry.siteAt(index);
    }

    /// @dev A delegate with every right is no owner.
    function test_revert_NotOwner(address who) public {
        vm.assume(who != owner);
        _expectNotOwner(who);
        _expectNotOwner(oracle);
    }

    function _expectNotOwner(address who) private {
        bytes memory reason = abi.encodeWithSelector(IAssetRegistry.NotOwner.selector, SITE, who, owner);
        vm.startPrank(who);
        vm.expectRevert(reason);
        registry.registerGroups(SITE, new Group[](1));
        vm.expectRevert(reason);
        registry.setGroupLimits(SITE, 0, 1, 1);
        vm.expectRevert(reason);
        registry.registerAssets(SITE, new Asset[](0), new string[](0));
        vm.expectRevert(reason);
        registry.removeAsset(EVSE);
        vm.expectRevert(reason);
        registry.setTariff(_only(EVSE), _flatTariff());
        vm.expectRevert(reason);
        registry.setAccess(EVSE, Access.Members);
        vm.expectRevert(reason);
        registry.setMeter(EVSE, bytes32(uint256(1)));
        vm.expectRevert(reason);
        registry.setDelegate(SITE, stranger, 7, 0);
        vm.expectRevert(reason);
        registry.setOperator(SITE, who, 1, 1, 1);
        vm.expectRevert(reason);
        registry.proposeOwner(SITE, who);
        vm.expectRevert(reason);
        registry.setStanding(SITE, new address[](1), Standing.KeyHolder);
        vm.stopPrank();
    }

    function test_setOperator(address operator, uint16 feeBps, uint16 rewardBps, uint64 rewardCap) public {
        vm.assume(operator != address(0));
        feeBps = uint16(bound(feeBps, 0, 9500));
        rewardBps = uint16(bound(rewardBps, 0, 10_000));
        vm.expectEmit(address(registry));
        emit IAssetRegistry.OperatorSet(SITE, operator, feeBps, rewardBps, rewardCap);
        vm.prank(owner);
        registry.setOperator(SITE, operator, feeBps, rewardBps, rewardCap);

        Site memory site = registry.site(SITE);
        assertEq(site.operator, operator, "operator");
        assertEq(site.operatorFeeBps, feeBps, "fee");
        assertEq(site.rewardBps, rewardBps, "reward");
        assertEq(site.rewardCap, rewardCap, "cap");
        assertEq(site.owner, owner, "the owner stays");
    }

    function test_revert_ShareTooHigh_operatorFee(uint16 feeBps) public {
        feeBps = uint16(bound(feeBps, 9501, type(uint16).max));
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.ShareTooHigh.selector, feeBps, 9500));
        registry.setOperator(SITE, oracle, feeBps, 0, 0);
        vm.stopPrank();
    }

    /// @dev Nobody would receive it.
    function test_revert_ShareTooHigh_feeWithoutOperator(uint16 feeBps) public {
        feeBps = uint16(bound(feeBps, 1, type(uint16).max));
        vm.startPrank(owner);
        registry.setOperator(SITE, address(0), 0, 10_000, 1);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.ShareTooHigh.selector, feeBps, 0));
        registry.setOperator(SITE, address(0), feeBps, 0, 0);
        vm.stopPrank();
    }

    function test_revert_ShareTooHigh_reward(uint16 rewardBps) public {
        rewardBps = uint16(bound(rewardBps, 10_001, type(uint16).max));
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.ShareTooHigh.selector, rewardBps, 10_000));
        registry.setOperator(SITE, oracle, 0, rewardBps, 0);
        vm.stopPrank();
    }
}
