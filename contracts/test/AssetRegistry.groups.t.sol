// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {SiteTest} from "./SiteTest.sol";

contract AssetRegistryGroupsTest is SiteTest {
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

    function test_setGroupLimits_reachesGroupAndLayoutOnly(uint16 index, uint32 importW, uint32 exportW) public {
        index = uint16(bound(index, 0, 2));
        (bytes memory rangesBefore, bytes memory kindsBefore) = registry.lanesOf(SITE);
        Group memory before = registry.group(SITE, index);
        vm.expectEmit(address(registry));
        emit IAssetRegistry.GroupLimitsSet(SITE, index, importW, exportW);
        vm.prank(owner);
        registry.setGroupLimits(SITE, index, importW, exportW);

        Group memory group = registry.group(SITE, index);
        assertEq(group.parent, before.parent, "parent");
        assertEq(group.limitImportW, importW, "import limit");
        assertEq(group.limitExportW, exportW, "export limit");
        (bytes memory ranges, bytes memory kinds) = registry.lanesOf(SITE);
        for (uint256 i; i < ranges.length; ++i) {
            bool isLimit = i / 16 == index && i % 16 >= 4 && i % 16 < 12;
            if (!isLimit) assertEq(ranges[i], rangesBefore[i], "everything else stays");
        }
        assertEq(kinds, kindsBefore, "lanes stay");
        vm.prank(owner);
        registry.setGroupLimits(SITE, index, before.limitImportW, before.limitExportW);
        (ranges,) = registry.lanesOf(SITE);
        assertEq(ranges, rangesBefore, "there and back");
    }

    function test_revert_UnknownGroup_limits(uint16 index) public {
        index = uint16(bound(index, 3, type(uint16).max));
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.UnknownGroup.selector, SITE, index));
        vm.prank(owner);
        registry.setGroupLimits(SITE, index, 1, 1);
    }

    function test_setGroupLimits_holdsForTheNextBatch() public {
        bytes memory batch = _setpoints(_soundSetpoints());
        vm.prank(owner);
        registry.setGroupLimits(SITE, 1, 13_390, 10_000);
        vm.expectRevert(abi.encodeWithSelector(IDispatch.ImportLimitExceeded.selector, SITE, 1, 13_400, 13_390));
        vm.prank(oracle);
        dispatch.postSetpoints(SITE, FIRST + 1, batch, 0);
        vm.prank(owner);
        registry.setGroupLimits(SITE, 1, 13_400, 10_000);
        vm.prank(oracle);
        dispatch.postSetpoints(SITE, FIRST + 1, batch, 0);
        assertEq(uint8(dispatch.stateOf(SITE, FIRST + 1)), uint8(IntervalState.Dispatched), "within the new limit");
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
        (Asset memory data,) = registry.asset(registry.assetAt(site, lane));
        uint16 index = data.group;
        while (index != ancestor && index != 0) index = registry.group(site, index).parent;
        return index == ancestor;
    }
}
