// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../../src/IProtocol.sol";
import {RewardActions} from "./RewardActions.sol";

/// @notice What the site's owner and the guardian change while sessions and bookings go on: mostly back to what lets drivers
/// charge, or a run would soon do nothing.
abstract contract HostActions is RewardActions {
    uint256 internal constant GROUPS = 3;

    uint32[GROUPS] internal _limitImportW = [100_000, 44_000, 30_000];
    uint32[GROUPS] internal _limitExportW = [55_000, 10_000, 0];

    /// @dev One of everything that an EVSE's owner may do with it.
    function hostEvse(uint256 where, uint256 what, uint256 seed) external {
        // Only the last one is ever removed, and seldom: it never comes back.
        bytes32 evse = _evse(what % 5 == 4 ? EVSES - 1 : where);
        address sender = seed % 16 == 1 ? _user(seed >> 8).addr : _host;
        bytes4 refusal;
        if (_evses[evse].removed) refusal = IAssetRegistry.AssetIsRemoved.selector;
        else if (sender != _host) refusal = IAssetRegistry.NotOwner.selector;
        if (what % 5 == 0) _setTariff(sender, evse, seed >> 16, refusal);
        if (what % 5 == 1) _setAccess(sender, evse, seed >> 16, refusal);
        if (what % 5 == 2) _setMeter(sender, evse, seed >> 16, refusal);
        if (what % 5 == 3) _setStatus(sender, evse, seed >> 16);
        if (what % 5 == 4) _remove(sender, evse, seed >> 16, refusal);
    }

    /// @dev One of everything that a site's owner may do with it, the next owner, or the guardian.
    function govern(uint256 what, uint256 who, uint256 seed) external {
        if (what % 4 == 0) _guard(who, seed);
        else if (what % 4 == 1) _acceptOwner(who);
        else _hostSite(what / 4, seed);
    }

    function _hostSite(uint256 what, uint256 seed) private {
        address sender = seed % 16 == 1 ? _user(seed >> 8).addr : _host;
        bytes4 refusal = sender == _host ? bytes4(0) : IAssetRegistry.NotOwner.selector;
        if (what % 5 == 0) _setStanding(sender, seed >> 16, refusal);
        if (what % 5 == 1) _setDelegate(sender, seed >> 16, refusal);
        if (what % 5 == 2) _setOperator(sender, seed >> 16, refusal);
        if (what % 5 == 3) _setLimits(sender, seed >> 16, refusal);
        if (what % 5 == 4) _proposeOwner(sender, seed >> 16, refusal);
    }

    function _acceptOwner(uint256 who) private {
        address sender = _users[3 + who % 2].addr;
        bytes4 refusal = sender == _pendingHost ? bytes4(0) : IAssetRegistry.NotPendingOwner.selector;
        _attempt(sender, address(registry), abi.encodeCall(IAssetRegistry.acceptOwner, (SITE)), refusal);
        if (refusal == 0) (_host, _pendingHost) = (sender, address(0));
    }

    /// @dev Three of four times back to normal.
    function _guard(uint256 who, uint256 seed) private {
        address sender = who % 8 == 0 ? _user(who >> 8).addr : guardian;
        bytes4 refusal = sender == guardian ? bytes4(0) : IAssetRegistry.NotGuardian.selector;
        bool on = seed % 4 == 0;
        _attempt(sender, address(registry), abi.encodeCall(IAssetRegistry.setPaused, (on)), refusal);
        if (refusal == 0) _paused = on;
        certificates.set(seed % 8 != 1);
        if (seed % 8 == 2) _registerDriver(_users[2].addr);
    }

    function _setTariff(address sender, bytes32 evse, uint256 seed, bytes4 refusal) private {
        bytes memory call = abi.encodeCall(IAssetRegistry.setTariff, (_only(evse), _tariff(seed % TARIFFS)));
        _attempt(sender, address(registry), call, refusal);
        if (refusal == 0) _evses[evse].tariff = seed % TARIFFS;
    }

    function _setAccess(address sender, bytes32 evse, uint256 seed, bytes4 refusal) private {
        Access access = seed % 3 != 0 ? Access.Public : Access(seed / 3 % 3);
        _attempt(sender, address(registry), abi.encodeCall(IAssetRegistry.setAccess, (evse, access)), refusal);
        if (refusal == 0) _evses[evse].access = access;
    }

    function _setMeter(address sender, bytes32 evse, uint256 seed, bytes4 refusal) private {
        EvseModel storage model = _evses[evse];
        bool isNew = seed % METERS != model.meter;
        if (isNew && model.meters >= 32) refusal = _either(refusal, IAssetRegistry.TooManyMeters.selector);
        bytes32 meter_ = _meterId(_meters[seed % METERS].addr);
        _attempt(sender, address(registry), abi.encodeCall(IAssetRegistry.setMeter, (evse, meter_)), refusal);
        if (refusal != 0 || !isNew) return;
        model.meter = seed % METERS;
        ++model.meters;
    }

    function _setStatus(address sender, bytes32 evse, uint256 seed) private {
        if (seed % 4 == 0) sender = oracle;
        Status status = seed % 8 < 4 ? Status.Available : Status(seed / 8 % 5);
        bytes4 refusal;
        if (_evses[evse].removed) {
            refusal = IAssetRegistry.AssetIsRemoved.selector;
        } else if (!_mayUse(sender, RIGHT_DISPATCH)) {
            refusal = IAssetRegistry.NotAllowed.selector;
        } else if (status == Status.Occupied || status == Status.Reserved) {
            refusal = IAssetRegistry.StatusNotSettable.selector;
        }
        _attempt(sender, address(registry), abi.encodeCall(IAssetRegistry.setStatus, (evse, status, "")), refusal);
        if (refusal == 0) _evses[evse].status = status;
    }

    function _remove(address sender, bytes32 evse, uint256 seed, bytes4 refusal) private {
        if (seed % 4 != 0) return;
        _attempt(sender, address(registry), abi.encodeCall(IAssetRegistry.removeAsset, (evse)), refusal);
        if (refusal == 0) _evses[evse].removed = true;
    }

    function _setStanding(address sender, uint256 seed, bytes4 refusal) private {
        address[] memory drivers = new address[](1);
        drivers[0] = _user(seed).addr;
        Standing standing = seed % 2 == 0 ? Standing.None : Standing(seed / 2 % 4);
        _attempt(
            sender, address(registry), abi.encodeCall(IAssetRegistry.setStanding, (SITE, drivers, standing)), refusal
        );
        if (refusal == 0) _standings[drivers[0]] = standing;
    }

    function _setDelegate(address sender, uint256 seed, bytes4 refusal) private {
        uint8 rights = seed % 4 == 0 ? uint8(seed / 4 % 32) : ALL_RIGHTS;
        uint40 expiry = seed % 8 == 1 ? uint40(block.timestamp + 1 hours) : type(uint40).max;
        if (rights > ALL_RIGHTS) refusal = _either(refusal, IAssetRegistry.UnknownRights.selector);
        bytes memory call = abi.encodeCall(IAssetRegistry.setDelegate, (SITE, oracle, rights, expiry));
        _attempt(sender, address(registry), call, refusal);
        if (refusal == 0) (_rights, _expiry) = (rights, expiry);
    }

    function _setOperator(address sender, uint256 seed, bytes4 refusal) private {
        address next = seed % 4 == 0 ? address(0) : operator;
        uint16 operatorFeeBps = uint16(_dice(seed, 1) % (next == address(0) ? 2 : 10_000));
        uint16 rewardBps = uint16(_dice(seed, 2) % 10_100);
        uint64 rewardCap = uint64(_dice(seed, 3) % 2e6);
        uint256 most = next == address(0) ? 0 : 9_500;
        if (operatorFeeBps > most || rewardBps > BPS) refusal = _either(refusal, IAssetRegistry.ShareTooHigh.selector);
        bytes memory call =
            abi.encodeCall(IAssetRegistry.setOperator, (SITE, next, operatorFeeBps, rewardBps, rewardCap));
        _attempt(sender, address(registry), call, refusal);
        if (refusal != 0) return;
        (_siteOperator, _operatorFeeBps, _rewardBps, _rewardCap) = (next, operatorFeeBps, rewardBps, rewardCap);
    }

    function _setLimits(address sender, uint256 seed, bytes4 refusal) private {
        uint16 group = uint16(seed % 4);
        uint32 limitImportW = uint32(_dice(seed, 1) % 120_000);
        uint32 limitExportW = uint32(_dice(seed, 2) % 60_000);
        if (group >= GROUPS) refusal = _either(refusal, IAssetRegistry.UnknownGroup.selector);
        bytes memory call = abi.encodeCall(IAssetRegistry.setGroupLimits, (SITE, group, limitImportW, limitExportW));
        _attempt(sender, address(registry), call, refusal);
        if (refusal == 0) (_limitImportW[group], _limitExportW[group]) = (limitImportW, limitExportW);
    }

    function _proposeOwner(address sender, uint256 seed, bytes4 refusal) private {
        address next = _users[3 + seed % 2].addr;
        _attempt(sender, address(registry), abi.encodeCall(IAssetRegistry.proposeOwner, (SITE, next)), refusal);
        if (refusal == 0) _pendingHost = next;
    }
}
