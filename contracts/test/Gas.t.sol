// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {BaseTest} from "./BaseTest.sol";

/// @notice Gas of whole transactions in steady state: the slots have been used before, as they have been after the first
/// day of a site. Every number is committed in contracts/snapshots; forge fails when one changes.
/// forge-config: default.isolate = true
contract GasTest is BaseTest {
    string private constant GROUP = "Provolt";
    uint256 private constant FEEDER = 5;
    uint256 private constant RING = 256;
    uint32 private constant LATER = FIRST + 1 + uint32(RING);

    /// @dev A site like any other: five cabinets behind the grid connection of a small site, forty on eight feeders behind
    /// that of a large one. Of every ten assets eight are EVSEs, one is a PV inverter and one a battery.
    function _registerMany(string memory clearId, uint256 lanes, bool feeders) private {
        bytes32 site = keccak256(bytes(clearId));
        vm.startPrank(owner);
        registry.registerSite(clearId, "Europe/Berlin", 0, 0);
        uint16[] memory cabinets = _registerTree(site, feeders ? 40 : 5, feeders);
        uint256 size = lanes / cabinets.length;
        for (uint256 i; i < cabinets.length; ++i) {
            Asset[] memory assets = new Asset[](size);
            string[] memory clearIds = new string[](size);
            for (uint256 j; j < size; ++j) {
                uint256 lane = size * i + j;
                clearIds[j] = string.concat(clearId, vm.toString(lane));
                AssetKind kind = lane % 10 == 8 ? AssetKind.Pv : lane % 10 == 9 ? AssetKind.Battery : AssetKind.Evse;
                assets[j] = _asset(clearIds[j], kind, cabinets[i], 22_000);
            }
            registry.registerAssets(site, assets, clearIds);
        }
        registry.setDelegate(site, oracle, RIGHT_DISPATCH | RIGHT_METER, type(uint40).max);
        vm.stopPrank();
    }

    function _registerTree(bytes32 site, uint256 cabinets, bool feeders) private returns (uint16[] memory indices) {
        uint256 count = feeders ? cabinets / FEEDER : 0;
        Group[] memory groups = new Group[](1 + count + cabinets);
        indices = new uint16[](cabinets);
        groups[0] = Group(0, 10_000_000, 10_000_000);
        uint16 next = 1;
        uint16 parent;
        for (uint256 i; i < cabinets; ++i) {
            if (feeders && i % FEEDER == 0) {
                parent = next;
                groups[next++] = Group(0, 1_000_000, 1_000_000);
            }
            indices[i] = next;
            groups[next++] = Group(parent, 200_000, 200_000);
        }
        registry.registerGroups(site, groups);
    }

    /// @dev No byte is zero, which is the dearest calldata there is.
    function _busySetpoints(uint256 lanes) private pure returns (bytes memory batch) {
        int16[] memory values = new int16[](lanes);
        for (uint256 i; i < lanes; ++i) {
            values[i] = i % 10 > 7 ? -700 - int16(int256(i % 50)) : int16(int256(800 + i % 100));
        }
        return _setpoints(values);
    }

    function _busyReadings(uint256 lanes) private pure returns (bytes memory batch) {
        int32[] memory values = new int32[](lanes);
        for (uint256 i; i < lanes; ++i) {
            values[i] = i % 10 > 7 ? -int32(1_750) : int32(int256(2_000 + i % 200));
        }
        return _readings(values);
    }

    /// @dev Posts once, a whole ring before the interval to measure, so that both share a slot.
    function _dispatchedSite(string memory clearId, uint256 lanes, bool feeders) private returns (bytes32 site) {
        site = keccak256(bytes(clearId));
        _registerMany(clearId, lanes, feeders);
        vm.prank(oracle);
        dispatch.postSetpoints(site, FIRST + 1, _busySetpoints(lanes), SITE);
        vm.warp(START + RING * INTERVAL_S);
    }

    function _setpointsPerAsset(string memory clearId, uint256 lanes, bool feeders) private returns (uint256) {
        bytes32 site = _dispatchedSite(clearId, lanes, feeders);
        bytes memory batch = _busySetpoints(lanes);
        vm.prank(oracle);
        dispatch.postSetpoints(site, LATER, batch, SITE);
        uint256 gas = vm.lastCallGas().gasTotalUsed;
        assertEq(uint8(dispatch.stateOf(site, LATER)), uint8(IntervalState.Dispatched), "state");
        return gas / lanes;
    }

    function test_gas_setpointsPerAsset50() public {
        vm.snapshotValue(GROUP, "setpointsPerAsset50", _setpointsPerAsset("small", 50, false));
    }

    function test_gas_setpointsPerAsset1000() public {
        vm.snapshotValue(GROUP, "setpointsPerAsset1000", _setpointsPerAsset("large", 1000, true));
    }

    function test_gas_postReadings50() public {
        bytes32 site = _dispatchedSite("small", 50, false);
        bytes memory batch = _busyReadings(50);
        vm.prank(oracle);
        dispatch.postSetpoints(site, LATER, _busySetpoints(50), SITE);
        vm.warp(START + (RING + 2) * INTERVAL_S);
        vm.prank(oracle);
        dispatch.postReadings(site, LATER, batch, SITE);
        vm.snapshotGasLastCall(GROUP, "postReadings50");
        assertEq(uint8(dispatch.stateOf(site, LATER)), uint8(IntervalState.Metered), "state");
    }

    /// @dev One session before the measured one, so that the EVSE's and the wallets' slots have been used.
    function _secondSession() private returns (bytes32 session) {
        _settle(_openFunded(), _begin(0, 1), _end(0, 2));
        _deposit(owner, 1e6);
        Request memory request = _request();
        request.nonce = 2;
        return _open(request);
    }

    function test_gas_openSession() public {
        bytes32 session = _secondSession();
        vm.snapshotGasLastCall(GROUP, "openSession");
        assertEq(settlement.openSessionAt(EVSE), session, "open");
    }

    function test_gas_settle() public {
        bytes32 session = _secondSession();
        _settle(session, _begin(1_000, 3), _end(11_000, 4));
        vm.snapshotGasLastCall(GROUP, "settle");
        assertEq(settlement.balanceOf(owner), 1e6 + 10 * PRICE, "paid");
    }

    function test_gas_deposit() public {
        _deposit(stranger, 1e6);
        _deposit(driver.addr, 1e6);
        vm.prank(minter);
        credit.mint(driver.addr, 2e6);
        vm.startPrank(driver.addr);
        credit.approve(address(settlement), 2e6);
        settlement.deposit(driver.addr, 1e6);
        vm.snapshotGasLastCall(GROUP, "deposit");
        vm.stopPrank();
        assertEq(settlement.balanceOf(driver.addr), 2e6, "wallet");
    }

    function test_gas_withdraw() public {
        _deposit(driver.addr, 3e6);
        vm.startPrank(driver.addr);
        settlement.withdraw(driver.addr, 1e6);
        settlement.withdraw(driver.addr, 1e6);
        vm.snapshotGasLastCall(GROUP, "withdraw");
        vm.stopPrank();
        assertEq(settlement.balanceOf(driver.addr), 1e6, "wallet");
    }
}
