// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {SiteTest} from "./SiteTest.sol";

contract AssetRegistrySetStatusTest is SiteTest {
    function _expectStatus(Status status) private view {
        (, AssetState memory state) = registry.asset(EVSE);
        assertEq(uint8(state.status), uint8(status), "status");
        assertEq(uint8(registry.offerOf(EVSE, driver.addr, oracle).status), uint8(status), "offered");
    }

    function test_setStatus_ownerOrDelegateForDispatch(uint8 which, string memory reason, bool byOwner) public {
        vm.assume(bytes(reason).length <= 64);
        Status status = [Status.Available, Status.Unavailable, Status.Faulted][bound(which, 0, 2)];
        vm.expectEmit(address(registry));
        emit IAssetRegistry.StatusSet(SITE, EVSE, status, reason);
        vm.prank(byOwner ? owner : oracle);
        registry.setStatus(EVSE, status, reason);
        _expectStatus(status);
    }

    function test_setStatus_thereAndBack() public {
        vm.startPrank(oracle);
        registry.setStatus(EVSE, Status.Faulted, "GroundFailure");
        _expectStatus(Status.Faulted);
        registry.setStatus(EVSE, Status.Available, "NoError");
        _expectStatus(Status.Available);
        vm.stopPrank();
    }

    function test_revert_NotAllowed(address who, uint8 rights) public {
        vm.assume(who != owner && who != oracle);
        rights = uint8(bound(rights, 0, 7)) & ~RIGHT_DISPATCH;
        vm.prank(owner);
        registry.setDelegate(SITE, who, rights, type(uint40).max);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.NotAllowed.selector, SITE, who, RIGHT_DISPATCH));
        vm.prank(who);
        registry.setStatus(EVSE, Status.Faulted, "");
    }

    function test_revert_StatusNotSettable(bool occupied) public {
        Status status = occupied ? Status.Occupied : Status.Reserved;
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.StatusNotSettable.selector, EVSE, status));
        vm.prank(owner);
        registry.setStatus(EVSE, status, "");
    }

    function test_boundary_reasonOf64Bytes() public {
        vm.startPrank(owner);
        registry.setStatus(EVSE, Status.Faulted, string(new bytes(64)));
        _expectStatus(Status.Faulted);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.TextTooLong.selector, 65, 64));
        registry.setStatus(EVSE, Status.Faulted, string(new bytes(65)));
        vm.stopPrank();
    }
}
