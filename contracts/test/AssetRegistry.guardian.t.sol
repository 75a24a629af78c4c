// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {AssetRegistry} from "../src/AssetRegistry.sol";
import "../src/IProtocol.sol";
import {SiteTest} from "./SiteTest.sol";

contract AssetRegistryGuardianTest is SiteTest {
    function test_constructor(address who, address recipient, uint16 feeBps) public {
        vm.assume(recipient != address(0));
        feeBps = uint16(bound(feeBps, 0, 500));
        AssetRegistry fresh = new AssetRegistry(who, recipient, feeBps);
        assertEq(fresh.guardian(), who, "guardian");
        assertEq(fresh.protocolFeeRecipient(), recipient, "recipient");
        assertEq(fresh.protocolFeeBps(), feeBps, "fee");
        assertFalse(fresh.paused(), "not paused");
        assertEq(fresh.siteCount(), 0, "no sites");
    }

    function test_revert_ShareTooHigh_protocolFee(uint16 feeBps) public {
        feeBps = uint16(bound(feeBps, 501, type(uint16).max));
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.ShareTooHigh.selector, feeBps, 500));
        new AssetRegistry(guardian, protocol, feeBps);
    }

    function test_revert_ShareTooHigh_feeWithoutRecipient(uint16 feeBps) public {
        feeBps = uint16(bound(feeBps, 1, type(uint16).max));
        new AssetRegistry(guardian, address(0), 0);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.ShareTooHigh.selector, feeBps, 0));
        new AssetRegistry(guardian, address(0), feeBps);
    }

    function test_setPaused_isOffered(bool paused) public {
        vm.expectEmit(address(registry));
        emit IAssetRegistry.PausedSet(paused);
        vm.prank(guardian);
        registry.setPaused(paused);
        assertEq(registry.paused(), paused, "paused");
        assertEq(registry.offerOf(EVSE, driver.addr, oracle).paused, paused, "offered");
    }

    /// @dev What does not begin a session or booking goes on.
    function test_setPaused_stopsNothingHere() public {
        vm.prank(guardian);
        registry.setPaused(true);
        vm.startPrank(owner);
        registry.setTariff(_only(EVSE), _flatTariff());
        registry.setDelegate(SITE, stranger, 7, type(uint40).max);
        registry.removeAsset(OTHER_EVSE);
        vm.stopPrank();
        vm.prank(stranger);
        registry.registerDriver();
        vm.prank(oracle);
        dispatch.postSetpoints(SITE, FIRST + 1, _setpoints(new int16[](LANES)), 0);
        assertTrue(registry.isDriver(stranger), "driver");
        assertTrue(registry.isAuthorised(SITE, stranger, 7), "delegate");
    }

    function test_revert_NotGuardian(address who) public {
        vm.assume(who != guardian);
        bytes memory reason = abi.encodeWithSelector(IAssetRegistry.NotGuardian.selector, who, guardian);
        vm.startPrank(who);
        vm.expectRevert(reason);
        registry.setPaused(true);
        vm.expectRevert(reason);
        registry.setGuardian(who);
        vm.stopPrank();
    }

    function test_setGuardian_endsThePreviousOnesPower(address next, bool paused) public {
        vm.assume(next != guardian && next != address(0));
        vm.startPrank(guardian);
        registry.setPaused(paused);
        vm.expectEmit(address(registry));
        emit IAssetRegistry.GuardianChanged(guardian, next);
        registry.setGuardian(next);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.NotGuardian.selector, guardian, next));
        registry.setPaused(true);
        vm.stopPrank();
        assertEq(registry.guardian(), next, "guardian");
        assertEq(registry.paused(), paused, "a pause stays");
        vm.prank(next);
        registry.setPaused(!paused);
        assertEq(registry.paused(), !paused, "power of the next");
    }

    /// @dev Otherwise new sessions would be refused forever.
    function test_setGuardian_givingUpLiftsAPause(bool paused) public {
        vm.startPrank(guardian);
        registry.setPaused(paused);
        vm.recordLogs();
        registry.setGuardian(address(0));
        vm.stopPrank();
        assertEq(vm.getRecordedLogs().length, paused ? 2 : 1, "told where there was one");
        assertFalse(registry.paused(), "lifted");
        assertEq(registry.guardian(), address(0), "nobody");
    }

    /// @dev Who is guardian has no power over a site.
    function test_revert_NotOwner_guardian() public {
        vm.startPrank(guardian);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.NotOwner.selector, SITE, guardian, owner));
        registry.setTariff(_only(EVSE), _flatTariff());
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.NotOwner.selector, SITE, guardian, owner));
        registry.proposeOwner(SITE, guardian);
        vm.stopPrank();
    }

    /// @dev EIP-170.
    function test_size_fitsIntoOneAccount() public view {
        assertLt(address(registry).code.length, 24_576, "code");
    }
}
