// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {RegistryViews} from "../src/RegistryViews.sol";
import {SiteTest} from "./SiteTest.sol";

contract RegistryViewsTest is SiteTest {
    RegistryViews private views;

    function setUp() public override {
        super.setUp();
        views = new RegistryViews(registry);
        vm.startPrank(stranger);
        registry.registerSite("second", "", 1, 2);
        registry.registerSite("third", "", 3, 4);
        vm.stopPrank();
    }

    /// @dev Entries of a page of a list.
    function _expected(uint256 first, uint256 count, uint256 total) private pure returns (uint256) {
        if (first >= total) return 0;
        return total - first < count ? total - first : count;
    }

    function test_registry() public view {
        assertEq(views.registry(), address(registry), "registry");
    }

    function test_sitesPage(uint256 first, uint256 count) public view {
        (first, count) = (bound(first, 0, 4), count % 5 == 0 ? type(uint256).max : count % 5);
        (bytes32[] memory ids, Site[] memory sites) = views.sitesPage(first, count);
        assertEq(ids.length, _expected(first, count, 3), "as far as there are any");
        assertEq(sites.length, ids.length, "a site for each id");
        for (uint256 i; i < ids.length; ++i) {
            assertEq(ids[i], registry.siteAt(first + i), "id");
            assertEq(abi.encode(sites[i]), abi.encode(registry.site(ids[i])), "site");
        }
    }

    function test_groupsPage(uint256 first, uint256 count) public view {
        (first, count) = (bound(first, 0, 4), count % 5 == 0 ? type(uint256).max : count % 5);
        Group[] memory groups = views.groupsPage(SITE, first, count);
        assertEq(groups.length, _expected(first, count, 3), "as far as there are any");
        for (uint256 i; i < groups.length; ++i) {
            assertEq(abi.encode(groups[i]), abi.encode(registry.group(SITE, uint16(first + i))), "group");
        }
    }

    function test_assetsPage(uint256 first, uint256 count) public view {
        (first, count) = (bound(first, 0, 9), count % 10 == 0 ? type(uint256).max : count % 10);
        (Asset[] memory data, AssetState[] memory states) = views.assetsPage(SITE, first, count);
        assertEq(data.length, _expected(first, count, LANES), "as far as there are any");
        assertEq(states.length, data.length, "a state for each asset");
        for (uint256 i; i < data.length; ++i) {
            (Asset memory one, AssetState memory state) = registry.asset(registry.assetAt(SITE, uint16(first + i)));
            assertEq(abi.encode(data[i]), abi.encode(one), "asset");
            assertEq(abi.encode(states[i]), abi.encode(state), "state");
        }
    }

    function test_pages_farBeyondTheEnd(uint256 first, uint256 count) public view {
        first = bound(first, LANES, type(uint256).max);
        (bytes32[] memory ids,) = views.sitesPage(first, count);
        (Asset[] memory data,) = views.assetsPage(SITE, first, count);
        assertEq(ids.length + data.length + views.groupsPage(SITE, first, count).length, 0, "nothing");
    }

    function test_revert_UnknownSite(bytes32 id) public {
        vm.assume(id != SITE && id != keccak256("second") && id != keccak256("third"));
        bytes memory reason = abi.encodeWithSelector(IAssetRegistry.UnknownSite.selector, id);
        vm.expectRevert(reason);
        views.groupsPage(id, 0, 1);
        vm.expectRevert(reason);
        views.assetsPage(id, 0, 1);
    }
}
