// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {SiteTest} from "./SiteTest.sol";

contract AssetRegistryMetersTest is SiteTest {
    function _rotate(bytes32 meterId) private {
        vm.prank(owner);
        registry.setMeter(EVSE, meterId);
    }

    function test_setMeter_pastReadingsStayVerifiable(bytes32 next, uint32 wait, uint40 time) public {
        bytes32 first = _meterId(meter.addr);
        vm.assume(next != 0 && next != first);
        time = uint40(bound(time, START, type(uint40).max));
        uint40 change = uint40(START + wait);
        vm.warp(change);
        vm.expectEmit(address(registry));
        emit IAssetRegistry.MeterSet(SITE, EVSE, next);
        _rotate(next);

        (Asset memory data, AssetState memory state) = registry.asset(EVSE);
        assertEq(data.meter, next, "present");
        assertEq(state.meterSince, change, "since");
        assertEq(registry.offerOf(EVSE, driver.addr, oracle).meter, next, "offered");
        assertEq(registry.meterAt(EVSE, time), time >= change ? next : first, "at that time");
        MeterPeriod[] memory past = registry.pastMetersOf(EVSE);
        assertEq(past.length, 1, "one before");
        assertEq(past[0].meter, first, "the first");
        assertEq(past[0].since, START, "since registration");
    }

    /// @dev Rotations at any times, several in one second too: the last one named by then counts.
    function test_meterAt_lastNamedByThen(uint256 seed) public {
        uint40[10] memory since;
        bytes32[10] memory meters;
        (since[0], meters[0]) = (uint40(START), _meterId(meter.addr));
        for (uint256 i = 1; i < 10; ++i) {
            uint256 dice = uint256(keccak256(abi.encode(seed, i)));
            (since[i], meters[i]) = (since[i - 1] + uint40(dice % 3) * 100, bytes32(dice));
            vm.warp(since[i]);
            _rotate(meters[i]);
        }
        for (uint40 time = uint40(START); time <= since[9] + 100; time += 50) {
            bytes32 expected;
            for (uint256 i; i < 10; ++i) {
                if (since[i] <= time) expected = meters[i];
            }
            assertEq(registry.meterAt(EVSE, time), expected, "meter");
        }
    }

    function test_revert_UnknownAsset_beforeItsRegistration(uint40 time) public {
        time = uint40(bound(time, 0, START - 1));
        assertEq(registry.meterAt(EVSE, uint40(START)), _meterId(meter.addr), "from then on");
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.UnknownAsset.selector, EVSE));
        registry.meterAt(EVSE, time);
    }

    function test_setMeter_presentOneChangesNothing() public {
        vm.warp(START + 1);
        vm.recordLogs();
        _rotate(_meterId(meter.addr));
        assertEq(vm.getRecordedLogs().length, 0, "no event");
        assertEq(registry.pastMetersOf(EVSE).length, 0, "no history");
        (, AssetState memory state) = registry.asset(EVSE);
        assertEq(state.meterSince, START, "since then as ever");
    }

    function test_revert_NoMeter() public {
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.NoMeter.selector, EVSE));
        _rotate(0);
    }

    function test_boundary_32Meters() public {
        for (uint256 i = 1; i < 32; ++i) {
            vm.warp(START + i);
            _rotate(bytes32(i));
        }
        assertEq(registry.pastMetersOf(EVSE).length, 31, "and the present one");
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.TooManyMeters.selector, EVSE, 33, 32));
        _rotate(bytes32(uint256(32)));
        assertEq(registry.meterAt(EVSE, uint40(START)), _meterId(meter.addr), "the first is still known");
    }

    function test_ocmfMeter_bindsKeyAndSerial(uint8 curve, bytes32 qx, bytes32 qy, bytes32 serial) public view {
        OcmfKey memory key = OcmfKey(Curve(bound(curve, 0, 1)), qx, qy, serial);
        bytes32 id = registry.ocmfMeter(key);
        assertEq(id, keccak256(abi.encode(key.curve, qx, qy, serial)), "hash of the members");
        assertTrue(uint256(id) >> 160 != 0, "not an address");
        key.serialHash = keccak256(abi.encode(serial));
        assertTrue(registry.ocmfMeter(key) != id, "another serial, another meter");
    }

    function test_attestMeter_eachForItself(address attester, address other, bytes32 meterId) public {
        vm.assume(attester != other);
        vm.expectEmit(address(registry));
        emit IAssetRegistry.MeterAttested(attester, meterId, true);
        vm.prank(attester);
        registry.attestMeter(meterId, true);
        assertTrue(registry.isAttested(attester, meterId), "vouches");
        assertFalse(registry.isAttested(other, meterId), "speaks for nobody else");
        assertFalse(registry.isAttested(attester, keccak256(abi.encode(meterId))), "of no other meter");
        vm.prank(attester);
        registry.attestMeter(meterId, false);
        assertFalse(registry.isAttested(attester, meterId), "no longer");
    }
}
