// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {SiteTest} from "./SiteTest.sol";

contract AssetRegistryDelegatesTest is SiteTest {
    function test_setDelegate(address delegate, uint8 rights, uint8 asked, uint40 expiry, uint40 time) public {
        vm.assume(delegate != owner);
        rights = uint8(bound(rights, 0, 7));
        vm.expectEmit(address(registry));
        emit IAssetRegistry.DelegateSet(SITE, delegate, rights, expiry);
        vm.prank(owner);
        registry.setDelegate(SITE, delegate, rights, expiry);

        vm.warp(time);
        bool expected = asked != 0 && asked & ~rights == 0 && time <= expiry;
        assertEq(registry.isAuthorised(SITE, delegate, asked), expected, "rights");
        (uint8 told, uint40 until,) = dispatch.posterOf(SITE, delegate);
        assertEq(told, rights, "the same for Dispatch");
        assertEq(until, expiry, "and as long");
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

    function test_revert_UnknownRights(uint8 rights) public {
        rights = uint8(bound(rights, 16, type(uint8).max));
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.UnknownRights.selector, rights));
        vm.prank(owner);
        registry.setDelegate(SITE, stranger, rights, type(uint40).max);
    }

    function _fill() private {
        vm.startPrank(owner);
        for (uint160 i = 1; i < 16; ++i) {
            registry.setDelegate(SITE, address(i), RIGHT_METER, 0);
        }
        vm.stopPrank();
    }

    function test_boundary_sixteenDelegates() public {
        _fill();
        assertEq(registry.delegatesOf(SITE).length, 16, "delegates");
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.TooManyDelegates.selector, SITE, 17, 16));
        vm.prank(owner);
        registry.setDelegate(SITE, address(16), RIGHT_METER, 0);
    }

    function test_setDelegate_changesAndTakesWhenTheListIsFull(uint160 which) public {
        which = uint160(bound(which, 1, 15));
        _fill();
        vm.startPrank(owner);
        registry.setDelegate(SITE, address(which), RIGHT_SETTLE, 5);
        assertEq(registry.delegatesOf(SITE).length, 16, "changed");
        registry.setDelegate(SITE, address(which), 0, 0);
        assertEq(registry.delegatesOf(SITE).length, 15, "taken");
        registry.setDelegate(SITE, address(which), 0, 0);
        assertEq(registry.delegatesOf(SITE).length, 15, "taken twice");
        registry.setDelegate(SITE, stranger, RIGHT_SETTLE, 5);
        assertEq(registry.delegatesOf(SITE).length, 16, "another");
        vm.stopPrank();
    }

    /// @dev Whatever was given and taken, the list names each delegate with any rights once, as it is authorised.
    function test_delegatesOf_asGiven(uint256 seed) public {
        vm.startPrank(owner);
        for (uint256 i; i < 24; ++i) {
            uint256 dice = uint256(keccak256(abi.encode(seed, i)));
            registry.setDelegate(SITE, address(uint160(1 + dice % 6)), uint8(dice >> 8) & 7, type(uint40).max);
        }
        vm.stopPrank();
        Delegate[] memory delegates = registry.delegatesOf(SITE);
        uint256 seen;
        for (uint256 i; i < delegates.length; ++i) {
            assertTrue(delegates[i].rights != 0, "has rights");
            assertTrue(registry.isAuthorised(SITE, delegates[i].account, delegates[i].rights), "authorised");
            if (delegates[i].account == oracle) continue;
            uint256 bit = 1 << uint160(delegates[i].account);
            assertEq(seen & bit, 0, "once");
            seen |= bit;
        }
        for (uint160 i = 1; i <= 6; ++i) {
            bool any;
            for (uint8 right = 1; right <= 4; right *= 2) {
                any = any || registry.isAuthorised(SITE, address(i), right);
            }
            assertEq(seen & (1 << i) != 0, any, "in the list iff it has a right");
        }
    }

    /// @dev Dispatch keeps a word per delegate, which every change of the layout must reach.
    function test_posterOf_seesWhatTheOwnerSees(uint256 seed) public {
        vm.startPrank(owner);
        for (uint160 i = 1; i < 16; ++i) {
            registry.setDelegate(SITE, address(i), uint8(1 + i % 7), type(uint40).max);
        }
        for (uint256 i; i < 4; ++i) {
            _changeLayout(uint256(keccak256(abi.encode(seed, i))), i);
            (, address expected) = registry.layoutFor(SITE, owner);
            Delegate[] memory delegates = registry.delegatesOf(SITE);
            for (uint256 j; j < delegates.length; ++j) {
                (uint8 rights,, address layoutAt) = dispatch.posterOf(SITE, delegates[j].account);
                assertEq(rights, delegates[j].rights, "the same rights");
                assertEq(layoutAt, expected, "the same layout");
            }
        }
        vm.stopPrank();
    }

    function _changeLayout(uint256 dice, uint256 step) private {
        if (dice % 4 == 0) {
            registry.setGroupLimits(SITE, uint16((dice >> 8) % 3), uint32(dice >> 16), 0);
        } else if (dice % 4 == 1) {
            Group[] memory groups = new Group[](1);
            registry.registerGroups(SITE, groups);
        } else if (dice % 4 == 2) {
            registry.removeAsset(registry.assetAt(SITE, uint16(step)));
        } else {
            Asset[] memory assets = new Asset[](1);
            string[] memory clearIds = new string[](1);
            clearIds[0] = string.concat("new", vm.toString(step));
            assets[0] = _asset(clearIds[0], AssetKind.Battery, 2, 10);
            registry.registerAssets(SITE, assets, clearIds);
        }
    }

    function test_revert_NotRegistry(address who) public {
        vm.assume(who != address(registry));
        vm.expectRevert(abi.encodeWithSelector(IDispatch.NotRegistry.selector, who));
        vm.prank(who);
        dispatch.setPoster(SITE, who, RIGHT_DISPATCH, type(uint40).max, address(0));
    }

    function test_posterOf_hasNoLayoutBeforeThereIsOne() public {
        vm.startPrank(stranger);
        bytes32 site = registry.registerSite("new", "", 0, 0);
        registry.setDelegate(site, oracle, RIGHT_DISPATCH, type(uint40).max);
        (uint8 rights,, address layoutAt) = dispatch.posterOf(site, oracle);
        assertEq(rights, RIGHT_DISPATCH, "rights");
        assertEq(layoutAt, address(0), "none yet");
        registry.registerGroups(site, new Group[](1));
        (,, layoutAt) = dispatch.posterOf(site, oracle);
        assertTrue(layoutAt != address(0), "there");
        vm.stopPrank();
    }
}
