// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {SiteTest} from "./SiteTest.sol";

contract AssetRegistryOwnerTest is SiteTest {
    function _hand(address to) private {
        vm.prank(owner);
        registry.proposeOwner(SITE, to);
        vm.prank(to);
        registry.acceptOwner(SITE);
    }

    function test_proposeOwner_changesNothingUntilAccepted(address pending) public {
        vm.assume(pending != owner);
        vm.expectEmit(address(registry));
        emit IAssetRegistry.OwnerProposed(SITE, owner, pending);
        vm.prank(owner);
        registry.proposeOwner(SITE, pending);
        assertEq(registry.site(SITE).pendingOwner, pending, "pending");
        assertEq(registry.site(SITE).owner, owner, "owner");
        assertFalse(registry.isAuthorised(SITE, pending, RIGHT_SETTLE), "no rights yet");
    }

    function test_acceptOwner_endsThePreviousOwnersPowersAtOnce(address heir, uint8 rights) public {
        vm.assume(heir != owner && heir != address(0) && heir != oracle);
        vm.prank(owner);
        registry.proposeOwner(SITE, heir);
        vm.expectEmit(address(registry));
        emit IAssetRegistry.OwnerChanged(SITE, owner, heir);
        vm.prank(heir);
        registry.acceptOwner(SITE);

        assertEq(registry.site(SITE).owner, heir, "owner");
        assertEq(registry.site(SITE).pendingOwner, address(0), "nobody else");
        assertTrue(registry.isAuthorised(SITE, heir, rights), "all rights of the new one");
        assertFalse(registry.isAuthorised(SITE, owner, rights), "no rights of the previous one");
        assertFalse(registry.offerOf(EVSE, owner, owner).free, "charges free no more");
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.NotOwner.selector, SITE, owner, heir));
        vm.prank(owner);
        registry.setDelegate(SITE, owner, 7, type(uint40).max);
        vm.prank(heir);
        registry.setTariff(_only(EVSE), _flatTariff());
    }

    function test_acceptOwner_leavesDelegatesOperatorAndStandings() public {
        vm.prank(owner);
        registry.setOperator(SITE, oracle, 100, 200, 300);
        _setStanding(driver.addr, Standing.KeyHolder);
        _hand(stranger);
        assertTrue(registry.isAuthorised(SITE, oracle, 7), "delegate");
        assertEq(registry.site(SITE).operator, oracle, "operator");
        assertEq(uint8(registry.standingOf(SITE, driver.addr)), uint8(Standing.KeyHolder), "standing");
    }

    function test_revert_NotPendingOwner(address who) public {
        vm.assume(who != stranger);
        vm.prank(owner);
        registry.proposeOwner(SITE, stranger);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.NotPendingOwner.selector, SITE, who, stranger));
        vm.prank(who);
        registry.acceptOwner(SITE);
    }

    function test_revert_NotPendingOwner_offerTakenBack(address who) public {
        vm.assume(who != address(0));
        vm.startPrank(owner);
        registry.proposeOwner(SITE, who);
        registry.proposeOwner(SITE, address(0));
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.NotPendingOwner.selector, SITE, who, address(0)));
        vm.prank(who);
        registry.acceptOwner(SITE);
    }

    function test_revert_NotPendingOwner_acceptedTwice() public {
        _hand(stranger);
        vm.prank(stranger);
        registry.proposeOwner(SITE, owner);
        vm.prank(owner);
        registry.acceptOwner(SITE);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.NotPendingOwner.selector, SITE, stranger, address(0)));
        vm.prank(stranger);
        registry.acceptOwner(SITE);
    }
}
