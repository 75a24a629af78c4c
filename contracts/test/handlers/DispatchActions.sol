// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../../src/IProtocol.sol";
import {HostActions} from "./HostActions.sol";

/// @notice Setpoints near what is allowed, right or wrong, and readings.
abstract contract DispatchActions is HostActions {
    /// @dev Of the demo site's lanes.
    AssetKind[LANES] private _kinds = [
        AssetKind.BaseLoad,
        AssetKind.Pv,
        AssetKind.Evse,
        AssetKind.Evse,
        AssetKind.Battery,
        AssetKind.Evse,
        AssetKind.Evse,
        AssetKind.BaseLoad
    ];
    uint16[LANES] private _groups = [0, 0, 1, 1, 1, 2, 2, 2];
    int256[LANES] private _ratedW = [int256(40_000), 50_000, 22_000, 22_000, 30_000, 22_000, 11_000, 40_000];

    mapping(uint256 interval => IntervalState) internal _intervals;
    uint32[] internal _posted;

    function postSetpoints(uint256 ahead, uint256 seed) external {
        uint32 interval = uint32(block.timestamp / INTERVAL_S + ahead % (seed % 16 == 0 ? 120 : 12));
        int16[] memory values = _randomSetpoints(seed);
        address sender = seed % 32 == 1 ? stranger : seed % 8 == 1 ? _host : oracle;
        bytes4 refusal;
        if (!_mayUse(sender, RIGHT_DISPATCH)) refusal = IDispatch.NotAuthorised.selector;
        else if (block.timestamp >= interval * INTERVAL_S) refusal = IDispatch.TooLate.selector;
        else if (interval > block.timestamp / INTERVAL_S + 96) refusal = IDispatch.TooEarly.selector;
        else if (_intervals[interval] != IntervalState.Open) refusal = IDispatch.AlreadyDispatched.selector;
        else if (values.length != LANES) refusal = IDispatch.WrongLength.selector;
        else refusal = _either(_lanesRefusal(values), _groupsRefusal(values));
        bytes memory call = abi.encodeCall(IDispatch.postSetpoints, (SITE, interval, _setpoints(values), bytes32(seed)));
        _attempt(sender, address(dispatch), call, refusal);
        if (refusal != 0) return;
        _intervals[interval] = IntervalState.Dispatched;
        _posted.push(interval);
    }

    function postReadings(uint256 which, uint256 seed) external {
        if (_posted.length == 0) return;
        uint32 interval = _posted[which % _posted.length] + (seed % 16 == 3 ? 1 : 0);
        int32[] memory values = _randomReadings(seed);
        address sender = seed % 32 == 1 ? stranger : oracle;
        bytes4 refusal;
        if (!_mayUse(sender, RIGHT_METER)) refusal = IDispatch.NotAuthorised.selector;
        else if (block.timestamp < (interval + 1) * INTERVAL_S) refusal = IDispatch.TooEarly.selector;
        else if (block.timestamp >= (interval + 97) * INTERVAL_S) refusal = IDispatch.TooLate.selector;
        else if (_intervals[interval] == IntervalState.Open) refusal = IDispatch.NotDispatched.selector;
        else if (_intervals[interval] != IntervalState.Dispatched) refusal = IDispatch.AlreadyMetered.selector;
        else refusal = _signsRefusal(values);
        bytes memory call = abi.encodeCall(IDispatch.postReadings, (SITE, interval, _readings(values), bytes32(seed)));
        _attempt(sender, address(dispatch), call, refusal);
        if (refusal == 0) _intervals[interval] = IntervalState.Metered;
    }

    /// @dev Half of the batches scaled down, so that many are accepted; one in eight with a lane beyond its bounds.
    function _randomSetpoints(uint256 seed) private view returns (int16[] memory values) {
        values = new int16[](LANES + (seed % 32 == 3 ? 1 : 0));
        for (uint256 i; i < LANES; ++i) {
            uint256 dice = _dice(seed, i);
            int256 value = int256(dice % uint256(_ratedOf(i) / 10 + 1));
            if (seed % 4 != 0) value /= 3;
            if (_kinds[i] == AssetKind.Pv || (_kinds[i] == AssetKind.Battery && dice >> 255 == 1)) value = -value;
            values[i] = int16(value);
        }
        if ((seed >> 8) % 8 == 0) values[(seed >> 16) % LANES] = int16(uint16(seed >> 24));
    }

    function _randomReadings(uint256 seed) private view returns (int32[] memory values) {
        values = new int32[](LANES);
        for (uint256 i; i < LANES; ++i) {
            int32 value = int32(uint32(_dice(seed, i) % 10_000));
            values[i] = _kinds[i] == AssetKind.Pv ? -value : value;
        }
        if ((seed >> 8) % 8 == 0) values[(seed >> 16) % LANES] = -values[(seed >> 16) % LANES];
    }

    /// @dev The rating of a removed EVSE is zero.
    function _ratedOf(uint256 lane) private view returns (int256) {
        return lane == 5 && _evses[_evseIds[EVSES - 1]].removed ? int256(0) : _ratedW[lane];
    }

    function _lanesRefusal(int16[] memory values) private view returns (bytes4) {
        for (uint256 i; i < LANES; ++i) {
            int256 powerW = int256(values[i]) * 10;
            if (_isWrong(i, powerW)) return IDispatch.WrongSign.selector;
            if (powerW > _ratedOf(i) || powerW < -_ratedOf(i)) return IDispatch.RatingExceeded.selector;
        }
        return 0;
    }

    function _signsRefusal(int32[] memory values) private view returns (bytes4) {
        for (uint256 i; i < LANES; ++i) {
            if (_isWrong(i, values[i])) return IDispatch.WrongSign.selector;
        }
        return 0;
    }

    function _isWrong(uint256 lane, int256 value) private view returns (bool) {
        AssetKind kind = _kinds[lane];
        return (value > 0 && kind == AssetKind.Pv) || (value < 0 && kind != AssetKind.Pv && kind != AssetKind.Battery);
    }

    /// @dev Summed over the tree, not over ranges of lanes: both cabinets are below the grid connection.
    function _groupsRefusal(int16[] memory values) private view returns (bytes4) {
        for (uint16 group; group < GROUPS; ++group) {
            int256 powerW;
            int256 baseW;
            for (uint256 i; i < LANES; ++i) {
                if (group != 0 && _groups[i] != group) continue;
                powerW += int256(values[i]) * 10;
                if (_kinds[i] == AssetKind.BaseLoad) baseW += int256(values[i]) * 10;
            }
            int256 limitW = int256(_max(_limitImportW[group], uint256(baseW)));
            if (powerW > limitW) return IDispatch.ImportLimitExceeded.selector;
            if (powerW < -int256(uint256(_limitExportW[group]))) return IDispatch.ExportLimitExceeded.selector;
        }
        return 0;
    }
}
