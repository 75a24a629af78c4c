// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Vm} from "forge-std/Vm.sol";
import {AssetRegistry} from "../src/AssetRegistry.sol";
import {Dispatch} from "../src/Dispatch.sol";
import "../src/IProtocol.sol";
import {Settlement} from "../src/Settlement.sol";
import {CreditToken} from "../src/tokens/CreditToken.sol";
import {Test} from "./BaseTest.sol";

/// @notice Does at random what users do. Each action computes for itself whether the contracts must accept it, and fails
/// when they think otherwise, in either direction.
contract Handler is Test {
    uint256 private constant MAX_DEPOSIT = 1e9;
    uint64 private constant MAX_ENERGY_WH = 100_000;

    AssetRegistry private immutable registry;
    Dispatch private immutable dispatch;
    Settlement private immutable settlement;
    CreditToken private immutable credit;
    address private immutable oracle;
    address private immutable minter;
    bytes32 public immutable site;

    Vm.Wallet[] private _drivers;
    bytes32[] private _evses;
    Vm.Wallet[] private _meters;
    bytes32[] private _sessions;
    uint32[] private _intervals;
    uint64 private _nonce;

    mapping(bytes32 evse => uint64) public registerWh;
    mapping(bytes32 evse => uint64) public counter;
    mapping(bytes32 session => uint256) public settlements;
    uint256 public donated;
    uint256 public acceptedCount;
    uint256 public refusedCount;
    int16[] private _accepted;

    constructor(
        AssetRegistry registry_,
        Dispatch dispatch_,
        Settlement settlement_,
        CreditToken credit_,
        address oracle_,
        address minter_,
        bytes32 site_
    ) {
        (registry, dispatch, settlement, credit) = (registry_, dispatch_, settlement_, credit_);
        (oracle, minter, site) = (oracle_, minter_, site_);
    }

    function addDriver(Vm.Wallet memory wallet) external {
        _drivers.push(wallet);
    }

    function addEvse(bytes32 evse, Vm.Wallet memory wallet) external {
        _evses.push(evse);
        _meters.push(wallet);
    }

    function driverAt(uint256 i) external view returns (address) {
        return _drivers[i].addr;
    }

    function driverCount() external view returns (uint256) {
        return _drivers.length;
    }

    function sessions() external view returns (bytes32[] memory) {
        return _sessions;
    }

    function evses() external view returns (bytes32[] memory) {
        return _evses;
    }

    function accepted() external view returns (int16[] memory) {
        return _accepted;
    }

    function deposit(uint256 who, uint256 amount) external {
        address account = _pick(who).addr;
        amount = bound(amount, 1, MAX_DEPOSIT);
        vm.prank(minter);
        credit.mint(account, amount);
        vm.startPrank(account);
        credit.approve(address(settlement), amount);
        settlement.deposit(account, amount);
        vm.stopPrank();
    }

    function withdraw(uint256 who, uint256 amount) external {
        address account = _pick(who).addr;
        uint256 balance = settlement.balanceOf(account);
        if (balance == 0) return;
        amount = bound(amount, 1, balance);
        uint256 before = credit.balanceOf(account);
        vm.prank(account);
        settlement.withdraw(account, amount);
        assertEq(credit.balanceOf(account), before + amount, "withdrawal arrives");
    }

    function donate(uint256 amount) external {
        amount = bound(amount, 1, MAX_DEPOSIT);
        vm.prank(minter);
        credit.mint(address(settlement), amount);
        donated += amount;
    }

    function pass(uint256 time) external {
        vm.warp(block.timestamp + bound(time, 1, 12 hours));
    }

    /// @dev The site's owner is the last driver, and pays nothing.
    function open(uint256 who, uint256 where, uint256 ceiling) external {
        Vm.Wallet memory user = _pick(who);
        uint256 e = where % _evses.length;
        if (settlement.openSessionAt(_evses[e]) != 0) return;
        (Asset memory evse,,) = registry.asset(_evses[e]);
        uint256 balance = settlement.balanceOf(user.addr);
        Request memory request = Request({
            driver: user.addr,
            evse: _evses[e],
            meterKey: evse.meterKey,
            tariffHash: keccak256(abi.encode(evse.price)),
            energyWh: 20_000,
            departure: uint40(block.timestamp + 1 + ceiling % 1 days),
            priceCeiling: evse.price,
            totalCeiling: uint128(bound(ceiling, 0, balance)),
            nonce: _nonce++,
            validUntil: uint40(block.timestamp)
        });
        bytes memory signature = _sign(user, settlement.sessionId(request));
        vm.prank(oracle);
        bytes32 id = settlement.openSession(request, signature);
        _sessions.push(id);
        bool own = user.addr == registry.site(site).owner;
        assertEq(settlement.session(id).held, own ? 0 : request.totalCeiling, "held");
    }

    function setPrice(uint256 where, uint64 price) external {
        vm.prank(registry.site(site).owner);
        registry.setPrice(_evses[where % _evses.length], uint64(bound(price, 0, 1e6)));
    }

    function settle(uint256 which, uint64 gapWh, uint64 energyWh, uint40 time) external {
        bytes32 evse = _evses[which % _evses.length];
        bytes32 id = settlement.openSessionAt(evse);
        if (id == 0) return;
        Session memory session = settlement.session(id);
        MeterReading memory start;
        start.asset = evse;
        start.importWh = registerWh[evse] + uint64(bound(gapWh, 0, MAX_ENERGY_WH));
        start.counter = counter[evse] + 1;
        start.time = uint40(bound(time, session.openedAt - 1 hours, block.timestamp));
        start.context = ReadingContext.Begin;
        MeterReading memory stop = abi.decode(abi.encode(start), (MeterReading));
        stop.importWh += uint64(bound(energyWh, 0, MAX_ENERGY_WH));
        stop.counter += 1;
        stop.time = uint40(block.timestamp);
        stop.context = ReadingContext.End;
        _settleAndCheck(id, session, _meters[which % _evses.length], start, stop);
        registerWh[evse] = stop.importWh;
        counter[evse] = stop.counter;
        ++settlements[id];
    }

    /// @dev What leaves the hold arrives in the two wallets, to the unit.
    function _settleAndCheck(
        bytes32 id,
        Session memory session,
        Vm.Wallet memory meter,
        MeterReading memory start,
        MeterReading memory stop
    ) private {
        address payee = registry.site(site).owner;
        uint256 due = uint256(stop.importWh - start.importWh) * session.price / 1000;
        if (due > session.held) due = session.held;
        uint256 payeeBefore = settlement.balanceOf(payee);
        uint256 driverBefore = settlement.balanceOf(session.driver);
        _settle(id, meter, start, stop, "");
        if (payee == session.driver) {
            assertEq(settlement.balanceOf(payee), payeeBefore + session.held, "own");
        } else {
            assertEq(settlement.balanceOf(payee), payeeBefore + due, "paid");
            assertEq(settlement.balanceOf(session.driver), driverBefore + session.held - due, "refunded");
        }
    }

    function _settle(
        bytes32 id,
        Vm.Wallet memory meter,
        MeterReading memory start,
        MeterReading memory stop,
        bytes memory refusal
    ) private {
        bytes memory startSignature = _sign(meter, settlement.readingHash(start));
        bytes memory stopSignature = _sign(meter, settlement.readingHash(stop));
        if (refusal.length > 0) vm.expectRevert(refusal);
        vm.prank(oracle);
        settlement.settle(id, start, startSignature, stop, stopSignature, Flexibility(0, 0, 0, false));
    }

    function settleBackwards(uint256 which, uint64 backWh) external {
        uint256 e = which % _evses.length;
        bytes32 evse = _evses[e];
        bytes32 id = settlement.openSessionAt(evse);
        uint64 billed = registerWh[evse];
        if (id == 0 || billed == 0) return;
        uint40 time = uint40(block.timestamp);
        uint64 register = billed - uint64(bound(backWh, 1, billed));
        MeterReading memory start = MeterReading(evse, register, 0, time, counter[evse] + 1, ReadingContext.Begin);
        MeterReading memory stop = MeterReading(evse, billed, 0, time, counter[evse] + 2, ReadingContext.End);
        bytes memory refusal = abi.encodeWithSelector(ISettlement.RegisterBackwards.selector, id, register, billed);
        _settle(id, _meters[e], start, stop, refusal);
    }

    function settleAgain(uint256 which) external {
        if (_sessions.length == 0) return;
        bytes32 id = _sessions[which % _sessions.length];
        Session memory session = settlement.session(id);
        if (session.state == SessionState.Active) return;
        uint256 e = session.evse == _evses[0] ? 0 : 1;
        uint64 register = registerWh[session.evse];
        uint64 next = counter[session.evse] + 1;
        uint40 time = uint40(block.timestamp);
        MeterReading memory start = MeterReading(session.evse, register, 0, time, next, ReadingContext.Begin);
        MeterReading memory stop = MeterReading(session.evse, register, 0, time, next + 1, ReadingContext.End);
        bytes memory refusal = abi.encodeWithSelector(ISettlement.WrongState.selector, id, session.state);
        _settle(id, _meters[e], start, stop, refusal);
    }

    function reclaim(uint256 which) external {
        if (_sessions.length == 0) return;
        bytes32 id = _sessions[which % _sessions.length];
        Session memory session = settlement.session(id);
        if (session.state != SessionState.Active) return;
        if (block.timestamp < uint256(session.departure) + 1 days) {
            vm.warp(uint256(session.departure) + 1 days);
        }
        uint256 before = settlement.balanceOf(session.driver);
        settlement.reclaim(id);
        assertEq(settlement.balanceOf(session.driver), before + session.held, "all of the hold");
    }

    /// @dev Posts lanes that are near what is allowed, right or wrong, and expects the verdict of a plain loop.
    function post(uint256 seed) external {
        uint32 interval = uint32(block.timestamp / INTERVAL_S + 1 + seed % 96);
        int16[] memory values = _randomSetpoints(seed);
        bool sound = _isSound(values) && dispatch.stateOf(site, interval) == IntervalState.Open;
        bytes memory lanes;
        for (uint256 i; i < values.length; ++i) {
            lanes = bytes.concat(lanes, bytes2(uint16(values[i])));
        }
        if (!sound) vm.expectRevert();
        vm.prank(oracle);
        dispatch.postSetpoints(site, interval, lanes, bytes32(seed));
        if (!sound) {
            ++refusedCount;
            return;
        }
        ++acceptedCount;
        _accepted = values;
        _intervals.push(interval);
    }

    function read(uint256 which) external {
        if (_intervals.length == 0) return;
        uint32 interval = _intervals[which % _intervals.length];
        if (dispatch.stateOf(site, interval) != IntervalState.Dispatched) return;
        uint256 over = (uint256(interval) + 1) * INTERVAL_S;
        if (block.timestamp < over) vm.warp(over);
        bytes memory lanes = new bytes(4 * registry.site(site).assetCount);
        vm.prank(oracle);
        dispatch.postReadings(site, interval, lanes, 0);
        assertEq(uint8(dispatch.stateOf(site, interval)), uint8(IntervalState.Metered), "metered");
    }

    /// @dev Half of the batches scaled down, so that many are accepted; one in eight with a lane beyond its bounds.
    function _randomSetpoints(uint256 seed) private view returns (int16[] memory values) {
        uint16 count = registry.site(site).assetCount;
        values = new int16[](count);
        for (uint16 i; i < count; ++i) {
            (Asset memory asset,,) = registry.asset(registry.assetAt(site, i));
            uint256 dice = uint256(keccak256(abi.encode(seed, i)));
            int256 rated = int256(uint256(asset.ratedW / 10));
            int256 value = int256(dice % uint256(rated + 1));
            if (seed % 2 == 0) value /= 2;
            if (asset.kind == AssetKind.Pv || (asset.kind == AssetKind.Battery && dice >> 255 == 1)) value = -value;
            values[i] = int16(value);
        }
        if ((seed >> 8) % 8 == 0) values[(seed >> 16) % count] = int16(uint16(seed >> 24));
    }

    function _isSound(int16[] memory values) private view returns (bool) {
        for (uint16 i; i < values.length; ++i) {
            (Asset memory asset,,) = registry.asset(registry.assetAt(site, i));
            int256 powerW = int256(values[i]) * 10;
            int256 rated = int256(uint256(asset.ratedW));
            if (powerW > (asset.kind == AssetKind.Pv ? int256(0) : rated)) return false;
            bool feeds = asset.kind == AssetKind.Pv || asset.kind == AssetKind.Battery;
            if (powerW < (feeds ? -rated : int256(0))) return false;
        }
        return groupsWithinLimits(values);
    }

    /// @notice Whether every group holds its limits, summed over the tree as the registry's views tell it, not over ranges.
    function groupsWithinLimits(int16[] memory values) public view returns (bool) {
        uint16 groups = registry.site(site).groupCount;
        int256[] memory powerW = new int256[](groups);
        int256[] memory baseW = new int256[](groups);
        for (uint16 i; i < values.length; ++i) {
            (Asset memory asset,,) = registry.asset(registry.assetAt(site, i));
            for (uint16 g = asset.group;; g = registry.group(site, g).parent) {
                powerW[g] += int256(values[i]) * 10;
                if (asset.kind == AssetKind.BaseLoad) baseW[g] += int256(values[i]) * 10;
                if (g == 0) break;
            }
        }
        for (uint16 g; g < groups; ++g) {
            Group memory group = registry.group(site, g);
            int256 limit = int256(uint256(group.limitImportW));
            if (powerW[g] > (baseW[g] > limit ? baseW[g] : limit)) return false;
            if (powerW[g] < -int256(uint256(group.limitExportW))) return false;
        }
        return true;
    }

    function _pick(uint256 who) private view returns (Vm.Wallet memory) {
        return _drivers[who % _drivers.length];
    }

    function _sign(Vm.Wallet memory wallet, bytes32 digest) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(wallet.privateKey, digest);
        return abi.encodePacked(r, s, v);
    }
}
