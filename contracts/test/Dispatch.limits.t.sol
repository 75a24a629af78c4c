// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {BaseTest} from "./BaseTest.sol";

/// @notice Whole batches on random sites, against a plain loop over the tree as it was registered: the same verdict, and the
/// same error to the byte.
contract DispatchLimitsTest is BaseTest {
    uint32 private constant NEXT = FIRST + 1;

    bytes32 private site;
    uint256 private _seed;
    Group[] private groups;
    uint256[] private sizes;
    Asset[] private assets;

    function _dice(uint256 seed, uint256 i) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, i)));
    }

    function _register(uint256 seed, uint256 groupCount, uint256 lanes) private {
        delete groups;
        delete assets;
        string memory clearId = string.concat("random", vm.toString(uint64(seed)));
        site = keccak256(bytes(clearId));
        for (uint256 i; i < groupCount; ++i) {
            uint256 dice = _dice(seed, i);
            uint16 parent = i == 0 ? 0 : uint16(i - 1);
            for (uint256 up = i == 0 ? 0 : dice % 3; up > 0; --up) {
                parent = groups[parent].parent;
            }
            // Limits of a few assets: about half of the groups are near theirs.
            uint32 scale = uint32(20_000 * lanes / groupCount + 1);
            groups.push(Group(parent, uint32((dice >> 8) % scale), uint32((dice >> 64) % scale)));
        }
        _drawAssets(seed, lanes);
        vm.startPrank(owner);
        registry.registerSite(clearId, "Europe/Berlin", 0, 0);
        registry.setDelegate(site, oracle, RIGHT_DISPATCH, type(uint40).max);
        registry.registerGroups(site, groups);
        for (uint256 from; from < lanes; from += 64) {
            _registerRun(from, from + 64 < lanes ? from + 64 : lanes);
        }
        vm.stopPrank();
    }

    function _drawAssets(uint256 seed, uint256 lanes) private {
        for (uint256 i; i < lanes; ++i) {
            uint256 dice = _dice(~seed, i);
            string memory name = vm.toString(uint128(dice));
            uint16 group = uint16(i * groups.length / lanes);
            Asset memory drawn = _asset(name, AssetKind(dice % 4), group, uint32(10 * (138 + (dice >> 8) % 3_000)));
            drawn.minW = 0;
            assets.push(drawn);
        }
    }

    function _registerRun(uint256 from, uint256 until) private {
        Asset[] memory run = new Asset[](until - from);
        string[] memory clearIds = new string[](until - from);
        for (uint256 i = from; i < until; ++i) {
            run[i - from] = assets[i];
            clearIds[i - from] = vm.toString(uint128(_dice(~_seed, i)));
        }
        registry.registerAssets(site, run, clearIds);
    }

    function _values(uint256 seed, uint256 lanes) private view returns (int16[] memory values) {
        values = new int16[](lanes);
        uint256 damp = 1 + seed % 8;
        for (uint256 i; i < lanes; ++i) {
            uint256 dice = _dice(seed ^ 3, i);
            Asset storage asset = assets[i];
            int256 value = int256(dice % (asset.ratedW / 10 + 1) / damp);
            if (asset.kind == AssetKind.Pv || (asset.kind == AssetKind.Battery && dice >> 255 == 1)) value = -value;
            values[i] = int16(value);
        }
        if (seed % 5 == 0) values[seed % lanes] = int16(uint16(seed >> 16));
    }

    /// @dev What the contract must say: nothing, or the first error in the order lanes, then groups.
    function _verdict(int16[] memory values) private view returns (bytes memory) {
        for (uint256 i; i < values.length; ++i) {
            Asset memory asset = assets[i];
            int256 powerW = int256(values[i]) * 10;
            bool feeds = asset.kind == AssetKind.Pv || asset.kind == AssetKind.Battery;
            if ((powerW > 0 && asset.kind == AssetKind.Pv) || (powerW < 0 && !feeds)) {
                return abi.encodeWithSelector(IDispatch.WrongSign.selector, site, i, int256(values[i]));
            }
            if (uint256(powerW < 0 ? -powerW : powerW) > asset.ratedW) {
                return abi.encodeWithSelector(IDispatch.RatingExceeded.selector, site, i, powerW, asset.ratedW);
            }
        }
        (int256[] memory sumW, int256[] memory baseW) = _groupPowers(values);
        for (uint256 g; g < groups.length; ++g) {
            int256 limitW = int256(uint256(groups[g].limitImportW));
            if (baseW[g] > limitW) limitW = baseW[g];
            if (sumW[g] > limitW) {
                return abi.encodeWithSelector(IDispatch.ImportLimitExceeded.selector, site, g, sumW[g], limitW);
            }
            uint256 limitExportW = groups[g].limitExportW;
            if (sumW[g] < -int256(limitExportW)) {
                return abi.encodeWithSelector(IDispatch.ExportLimitExceeded.selector, site, g, sumW[g], limitExportW);
            }
        }
        return "";
    }

    function _groupPowers(int16[] memory values) private view returns (int256[] memory powerW, int256[] memory baseW) {
        powerW = new int256[](groups.length);
        baseW = new int256[](groups.length);
        for (uint256 i; i < values.length; ++i) {
            bool isBase = assets[i].kind == AssetKind.BaseLoad;
            for (uint256 g = assets[i].group;; g = groups[g].parent) {
                powerW[g] += int256(values[i]) * 10;
                if (isBase) baseW[g] += int256(values[i]) * 10;
                if (g == 0) break;
            }
        }
    }

    /// forge-config: default.fuzz.runs = 64
    /// forge-config: deep.fuzz.runs = 400
    function test_postSetpoints_verdictOfAPlainLoop(uint256 seed, uint256 groupCount, uint256 lanes) public {
        _seed = seed;
        groupCount = bound(groupCount, 1, 64);
        lanes = seed % 16 == 0 ? bound(lanes, 1, 1024) : bound(lanes, 1, 100);
        _register(seed, groupCount, lanes);
        int16[] memory values = _values(seed, lanes);
        bytes memory verdict = _verdict(values);
        bytes memory batch = _setpoints(values);
        if (verdict.length > 0) vm.expectRevert(verdict);
        vm.prank(oracle);
        dispatch.postSetpoints(site, NEXT, batch, 0);
        IntervalState expected = verdict.length > 0 ? IntervalState.Open : IntervalState.Dispatched;
        assertEq(uint8(dispatch.stateOf(site, NEXT)), uint8(expected), "state");
    }

    /// @dev The law above would hold for nothing if random sites never led to either verdict.
    function test_randomSitesReachBothVerdicts() public {
        uint256 sound;
        for (uint256 seed = 1; seed < 60; ++seed) {
            _seed = seed;
            _register(seed, 1 + seed % 6, 3 + seed % 20);
            if (_verdict(_values(seed, assets.length)).length == 0) ++sound;
        }
        assertGt(sound, 5, "accepted");
        assertLt(sound, 54, "refused");
    }

    /// @dev The largest site there can be, every lane and every group at its limit, and one step of 10 W beyond it.
    function test_boundary_largestSiteAtItsLimits() public {
        for (uint256 i; i < 64; ++i) {
            groups.push(Group(0, i == 0 ? 1024 * 327_670 : 16 * 327_670, 0));
        }
        site = keccak256("largest");
        for (uint256 i; i < 1024; ++i) {
            Asset memory evse = _asset(vm.toString(uint128(_dice(~_seed, i))), AssetKind.Evse, uint16(i / 16), 327_670);
            assets.push(evse);
        }
        vm.startPrank(owner);
        registry.registerSite("largest", "Europe/Berlin", 0, 0);
        registry.registerGroups(site, groups);
        for (uint256 from; from < 1024; from += 64) {
            _registerRun(from, from + 64);
        }
        vm.stopPrank();
        int16[] memory values = new int16[](1024);
        for (uint256 i; i < 1024; ++i) {
            values[i] = type(int16).max;
        }
        bytes memory batch = _setpoints(values);
        vm.prank(owner);
        dispatch.postSetpoints(site, NEXT, batch, 0);
        assertEq(uint8(dispatch.stateOf(site, NEXT)), uint8(IntervalState.Dispatched), "state");
    }
}
