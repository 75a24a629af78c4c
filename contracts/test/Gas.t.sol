// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import "../src/IProtocol.sol";
import {BaseTest} from "./BaseTest.sol";

/// @notice Gas of whole transactions in steady state: the slots have been used before, as they have been after the first
/// day of a site. Every number is committed in contracts/snapshots; forge fails when one changes.
///
/// What a batch of 50 setpoints is made of, 52,559 gas or 1,051 an asset:
///
/// | gas | what |
/// |---|---|
/// | 24,244 | the transaction and its calldata, no byte of the lanes zero |
/// | 10,000 | history and state: two slots read and written |
/// | 4,700 | the registry: its account, and one slot with rights, expiry and the place of the layout |
/// | 2,700 | the layout, as the code of an account |
/// | 3,923 | the event |
/// | 2,600 | every lane's bounds and every group's limits |
/// | 900 | code of the registry |
/// | 3,492 | everything else: decoding, checks of time and state, hashes, copies |
///
/// The first five, 911 an asset, no code can save. solc's IR pipeline saves 1,300 of the rest. Below 1,000 an asset leads only
/// a registry that writes each delegate's rights into Dispatch when they change: one account and 3,700 gas less, but a second
/// place for the truth about who may post.
///
/// 1,000 setpoints cost 1.23 times the floor that EIP-7623 sets for their calldata.
/// forge-config: default.isolate = true
contract GasTest is BaseTest {
    string private constant GROUP = "Provolt";
    uint256 private constant FEEDER = 5;
    uint256 private constant RING = 512;
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

    /// @return gas Of the whole transaction.
    /// @return floor What EIP-7623 takes at least for its calldata, whatever the contract does.
    function _postMany(string memory clearId, uint256 lanes, bool feeders)
        private
        returns (uint256 gas, uint256 floor)
    {
        bytes32 site = _dispatchedSite(clearId, lanes, feeders);
        bytes memory batch = _busySetpoints(lanes);
        vm.prank(oracle);
        dispatch.postSetpoints(site, LATER, batch, SITE);
        gas = vm.lastCallGas().gasTotalUsed;
        assertEq(uint8(dispatch.stateOf(site, LATER)), uint8(IntervalState.Dispatched), "state");
        floor = _calldataFloor(abi.encodeCall(dispatch.postSetpoints, (site, LATER, batch, SITE)));
    }

    function _calldataFloor(bytes memory data) private pure returns (uint256 floor) {
        floor = 21_000;
        for (uint256 i; i < data.length; ++i) {
            floor += data[i] == 0 ? 10 : 40;
        }
    }

    function test_gas_setpointsPerAsset50() public {
        (uint256 gas,) = _postMany("small", 50, false);
        vm.snapshotValue("Targets", "setpointsPerAsset50", gas / 50);
    }

    function test_gas_setpointsPerAsset1000() public {
        (uint256 gas, uint256 floor) = _postMany("large", 1000, true);
        vm.snapshotValue("Targets", "setpointsPerAsset1000", gas / 1000);
        vm.snapshotValue(GROUP, "setpointsPercentOfFloor1000", 100 * gas / floor);
        assertLe(4 * gas, 5 * floor, "1.25 x the calldata floor");
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

    function test_gas_disputeReading() public {
        bytes32 site = _dispatchedSite("small", 50, false);
        bytes memory batch = _busyReadings(50);
        (MeterReading memory start, MeterReading memory stop) = _evidence("small0");
        (bytes32[] memory siblings, bytes32 root) = _treeOf(start, stop);
        vm.prank(oracle);
        dispatch.postSetpoints(site, LATER, _busySetpoints(50), SITE);
        vm.warp(START + (RING + 2) * INTERVAL_S);
        ReadingProof memory proof = ReadingProof(dispatch.history(site), batch, root, new bytes32[](0), 0, siblings);
        vm.prank(oracle);
        dispatch.postReadings(site, LATER, batch, root);
        MeterReading memory contrary = abi.decode(abi.encode(stop), (MeterReading));
        contrary.importWh += 1;
        bytes memory signature = _sign(meter, settlement.readingHash(contrary));
        dispatch.disputeReading(site, LATER, proof, start, stop, contrary, signature);
        vm.snapshotGasLastCall(GROUP, "disputeReading");
        assertEq(uint8(dispatch.stateOf(site, LATER)), uint8(IntervalState.Disputed), "state");
    }

    /// @dev A day as a site of 58 assets posts it: base load, PV and battery at the grid connection, 55 EVSEs in a cabinet, of
    /// which none is idle.
    function test_gas_scoreDay58() public {
        bytes32 site = _registerDay("day", 58);
        (HistoryStep[] memory steps, bytes32[] memory later) = _postDay(site, 58);
        vm.recordLogs();
        dispatch.scoreForecasts(site, 0, steps, later);
        uint256 gas = vm.lastCallGas().gasTotalUsed;
        vm.snapshotValue(GROUP, "scoreDay58", gas);
        assertLe(gas, 2_000_000, "of a day");
        (,, ForecastScore memory score) = abi.decode(vm.getRecordedLogs()[0].data, (bytes32, bytes32, ForecastScore));
        assertEq(score.scored, 96, "scored");
    }

    function _registerDay(string memory clearId, uint256 lanes) private returns (bytes32 site) {
        site = keccak256(bytes(clearId));
        vm.startPrank(owner);
        registry.registerSite(clearId, "Europe/Berlin", 0, 0);
        registry.registerGroups(site, _dayGroups());
        Asset[] memory assets = new Asset[](lanes);
        string[] memory clearIds = new string[](lanes);
        for (uint256 i; i < lanes; ++i) {
            clearIds[i] = string.concat(clearId, vm.toString(i));
            AssetKind kind =
                i == 0 ? AssetKind.BaseLoad : i == 1 ? AssetKind.Pv : i == 2 ? AssetKind.Battery : AssetKind.Evse;
            assets[i] = _asset(clearIds[i], kind, i < 3 ? 0 : 1, i < 3 ? 90_000 : 11_040);
        }
        registry.registerAssets(site, assets, clearIds);
        registry.setDelegate(site, oracle, RIGHT_DISPATCH | RIGHT_METER, type(uint40).max);
        vm.stopPrank();
    }

    function _dayGroups() private pure returns (Group[] memory groups) {
        groups = new Group[](2);
        (groups[0], groups[1]) = (Group(0, 1_000_000, 100_000), Group(0, 700_000, 0));
    }

    function _postDay(bytes32 site, uint256 lanes)
        private
        returns (HistoryStep[] memory steps, bytes32[] memory later)
    {
        bytes memory setpoints = _busyDaySetpoints(lanes);
        bytes memory readings = _busyDayReadings(lanes);
        (steps, later) = (new HistoryStep[](194), new bytes32[](0));
        uint256 count;
        for (uint32 t = FIRST + 1; t <= FIRST + 97; ++t) {
            vm.warp(uint256(t) * INTERVAL_S - 60);
            vm.prank(oracle);
            dispatch.postSetpoints(site, t, setpoints, keccak256(abi.encode(t)));
            steps[count++] = HistoryStep(1, t, setpoints, keccak256(abi.encode(t)));
            if (t == FIRST + 1) continue;
            vm.warp(uint256(t) * INTERVAL_S);
            vm.prank(oracle);
            dispatch.postReadings(site, t - 1, readings, keccak256(abi.encode(t, t)));
            steps[count++] = HistoryStep(2, t - 1, readings, keccak256(abi.encode(t, t)));
        }
        assembly ("memory-safe") {
            mstore(steps, count)
        }
    }

    function _busyDaySetpoints(uint256 lanes) private pure returns (bytes memory batch) {
        int16[] memory values = new int16[](lanes);
        for (uint256 i; i < lanes; ++i) {
            values[i] = i == 1 || i == 2 ? -int16(4_000) : int16(int256(800 + i % 100));
        }
        return _setpoints(values);
    }

    function _busyDayReadings(uint256 lanes) private pure returns (bytes memory batch) {
        int32[] memory values = new int32[](lanes);
        for (uint256 i; i < lanes; ++i) {
            values[i] = i == 1 || i == 2 ? -int32(9_900) : int32(int256(2_000 + i % 200));
        }
        return _readings(values);
    }

    /// @dev Lane 0's two readings, as far apart as its energy.
    function _evidence(string memory clearId)
        private
        pure
        returns (MeterReading memory start, MeterReading memory stop)
    {
        uint40 begin = uint40(LATER * INTERVAL_S);
        start = MeterReading(keccak256(bytes(clearId)), 1e6, 0, begin, 1, ReadingContext.Interval);
        stop = MeterReading(start.asset, 1e6 + 2_000, 0, begin + 900, 2, ReadingContext.Interval);
    }

    /// @dev Six levels, as for 50 lanes. Whatever is beside the path is of no concern to what a proof costs.
    function _treeOf(MeterReading memory start, MeterReading memory stop)
        private
        view
        returns (bytes32[] memory siblings, bytes32 root)
    {
        siblings = new bytes32[](6);
        for (uint256 i; i < siblings.length; ++i) {
            siblings[i] = keccak256(abi.encode(i));
        }
        bytes32 digest = settlement.readingHash(start);
        bytes32 leaf = keccak256(bytes.concat(keccak256(abi.encode(0, digest, settlement.readingHash(stop)))));
        root = MerkleProof.processProof(siblings, leaf);
    }
}
