// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {TestBase} from "forge-std/Base.sol";
import {StdAssertions} from "forge-std/StdAssertions.sol";
import {StdCheats} from "forge-std/StdCheats.sol";
import {StdInvariant} from "forge-std/StdInvariant.sol";
import {StdUtils} from "forge-std/StdUtils.sol";
import {Vm} from "forge-std/Vm.sol";
import {AssetRegistry} from "../src/AssetRegistry.sol";
import {Dispatch} from "../src/Dispatch.sol";
import "../src/IProtocol.sol";
import {Settlement} from "../src/Settlement.sol";
import {CreditToken} from "../src/tokens/CreditToken.sol";

/// @notice forge-std's `Test` without its consoles, whose hundreds of warnings make solc drop every other.
abstract contract Test is TestBase, StdAssertions, StdCheats, StdInvariant, StdUtils {
    bool public constant IS_TEST = true;
}

/// @notice The deployed system, its actors, one site, and what a test needs to act as they would.
///
/// The site's groups and lanes, in preorder:
///
///     0 grid 100 kW / 55 kW       lane 0 base load 40 kW, lane 1 PV 50 kW
///     ├─ 1 cabinet 44 kW / 10 kW  lanes 2, 3 EVSE 22 kW, lane 4 battery 30 kW
///     └─ 2 cabinet 30 kW / 0      lane 5 EVSE 22 kW, lane 6 EVSE 11 kW, lane 7 base load 40 kW
abstract contract BaseTest is Test {
    /// @dev 2026-01-01 00:00:00 UTC, the start of an interval.
    uint256 internal constant START = 1_767_225_600;
    uint32 internal constant FIRST = uint32(START / INTERVAL_S);
    uint256 internal constant LANES = 8;
    uint64 internal constant PRICE = 420_000;
    uint256 internal constant MAX_MONEY = 1e15;
    uint64 internal constant MAX_WH = 1_000_000;

    string internal constant SITE_CLEAR = "provolt-demo";
    string internal constant EVSE_CLEAR = "DE*PVT*E1*1";
    bytes32 internal immutable SITE = keccak256(bytes(SITE_CLEAR));
    bytes32 internal immutable EVSE = keccak256(bytes(EVSE_CLEAR));
    bytes32 internal immutable OTHER_EVSE = keccak256("DE*PVT*E1*2");

    address internal owner = makeAddr("owner");
    address internal oracle = makeAddr("oracle");
    address internal stranger = makeAddr("stranger");
    address internal minter = makeAddr("minter");
    Vm.Wallet internal driver = vm.createWallet("driver");
    Vm.Wallet internal meter = vm.createWallet("meter");
    Vm.Wallet internal otherMeter = vm.createWallet("other meter");

    CreditToken internal credit;
    AssetRegistry internal registry;
    Dispatch internal dispatch;
    Settlement internal settlement;

    function setUp() public virtual {
        vm.warp(START);
        credit = new CreditToken(minter);
        registry = new AssetRegistry();
        dispatch = new Dispatch(registry);
        settlement = new Settlement(registry, IERC20(address(credit)));
        _registerSite();
        vm.prank(driver.addr);
        registry.registerDriver();
    }

    function _registerSite() internal {
        (Asset[] memory assets, string[] memory clearIds) = _demoAssets();
        vm.startPrank(owner);
        registry.registerSite(SITE_CLEAR, "Europe/Berlin", 52e7, 13e7);
        registry.registerGroups(SITE, _demoGroups());
        registry.registerAssets(SITE, assets, clearIds);
        registry.setDelegate(SITE, oracle, RIGHT_DISPATCH | RIGHT_METER | RIGHT_SETTLE, type(uint40).max);
        vm.stopPrank();
    }

    function _demoGroups() internal pure returns (Group[] memory groups) {
        groups = new Group[](3);
        groups[0] = Group(0, 100_000, 55_000);
        groups[1] = Group(0, 44_000, 10_000);
        groups[2] = Group(0, 30_000, 0);
    }

    function _demoAssets() internal view returns (Asset[] memory assets, string[] memory clearIds) {
        assets = new Asset[](LANES);
        clearIds = new string[](LANES);
        clearIds[0] = "base";
        clearIds[1] = "pv";
        clearIds[2] = EVSE_CLEAR;
        clearIds[3] = "DE*PVT*E1*2";
        clearIds[4] = "battery";
        clearIds[5] = "DE*PVT*E2*1";
        clearIds[6] = "DE*PVT*E2*2";
        clearIds[7] = "base 2";
        assets[0] = _asset(clearIds[0], AssetKind.BaseLoad, 0, 40_000);
        assets[1] = _asset(clearIds[1], AssetKind.Pv, 0, 50_000);
        assets[2] = _asset(clearIds[2], AssetKind.Evse, 1, 22_000);
        assets[3] = _asset(clearIds[3], AssetKind.Evse, 1, 22_000);
        assets[3].meterKey = otherMeter.addr;
        assets[4] = _asset(clearIds[4], AssetKind.Battery, 1, 30_000);
        assets[5] = _asset(clearIds[5], AssetKind.Evse, 2, 22_000);
        assets[6] = _asset(clearIds[6], AssetKind.Evse, 2, 11_000);
        assets[7] = _asset(clearIds[7], AssetKind.BaseLoad, 2, 40_000);
    }

    function _asset(string memory clearId, AssetKind kind, uint16 group, uint32 ratedW)
        internal
        view
        returns (Asset memory)
    {
        bool isEvse = kind == AssetKind.Evse;
        return Asset({
            id: keccak256(bytes(clearId)),
            kind: kind,
            group: group,
            ratedW: ratedW,
            minW: isEvse ? 1380 : 0,
            phases: 3,
            latitudeE7: 52e7,
            longitudeE7: 13e7,
            meterKey: meter.addr,
            price: isEvse ? PRICE : 0
        });
    }

    /// @dev Big endian lanes of two bytes.
    function _setpoints(int16[] memory values) internal pure returns (bytes memory lanes) {
        for (uint256 i; i < values.length; ++i) {
            lanes = bytes.concat(lanes, bytes2(uint16(values[i])));
        }
    }

    /// @dev Big endian lanes of four bytes.
    function _readings(int32[] memory values) internal pure returns (bytes memory lanes) {
        for (uint256 i; i < values.length; ++i) {
            lanes = bytes.concat(lanes, bytes4(uint32(values[i])));
        }
    }

    /// @dev Setpoints of the demo site that meet every rule.
    function _soundSetpoints() internal pure returns (int16[] memory values) {
        values = new int16[](LANES);
        (values[0], values[1], values[2], values[3]) = (1000, -2000, 1104, 736);
        (values[4], values[5], values[6], values[7]) = (-500, 1104, 736, 200);
    }

    function _soundReadings() internal pure returns (int32[] memory values) {
        values = new int32[](LANES);
        (values[0], values[1], values[2], values[3]) = (2500, -5000, 2760, 1840);
        (values[4], values[5], values[6], values[7]) = (-1250, 2760, 1840, 500);
    }

    function _deposit(address account, uint256 amount) internal {
        vm.prank(minter);
        credit.mint(account, amount);
        vm.startPrank(account);
        credit.approve(address(settlement), amount);
        settlement.deposit(account, amount);
        vm.stopPrank();
    }

    function _request() internal view returns (Request memory) {
        return Request({
            driver: driver.addr,
            evse: EVSE,
            meterKey: meter.addr,
            tariffHash: keccak256(abi.encode(PRICE)),
            energyWh: 20_000,
            departure: uint40(block.timestamp + 4 hours),
            priceCeiling: PRICE,
            totalCeiling: 10e6,
            nonce: 1,
            validUntil: uint40(block.timestamp + 10 minutes)
        });
    }

    function _sign(Vm.Wallet memory wallet, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(wallet.privateKey, digest);
        return abi.encodePacked(r, s, v);
    }

    function _signRequest(Request memory request) internal view returns (bytes memory) {
        return _sign(driver, settlement.sessionId(request));
    }

    function _open(Request memory request) internal returns (bytes32 session) {
        bytes memory signature = _signRequest(request);
        vm.prank(oracle);
        return settlement.openSession(request, signature);
    }

    /// @dev The demo driver's session with money for it.
    function _openFunded() internal returns (bytes32 session) {
        _deposit(driver.addr, 10e6);
        return _open(_request());
    }

    function _begin(uint64 importWh, uint64 counter) internal view returns (MeterReading memory) {
        return MeterReading(EVSE, importWh, 0, uint40(block.timestamp), counter, ReadingContext.Begin);
    }

    function _end(uint64 importWh, uint64 counter) internal view returns (MeterReading memory) {
        return MeterReading(EVSE, importWh, 0, uint40(block.timestamp), counter, ReadingContext.End);
    }

    function _signReading(MeterReading memory reading) internal view returns (bytes memory) {
        return _sign(meter, settlement.readingHash(reading));
    }

    function _settle(bytes32 session, MeterReading memory start, MeterReading memory stop)
        internal
        returns (bytes32 receipt)
    {
        bytes memory startSignature = _signReading(start);
        bytes memory stopSignature = _signReading(stop);
        vm.prank(oracle);
        return settlement.settle(session, start, startSignature, stop, stopSignature, _unmoved());
    }

    function _unmoved() internal pure returns (Flexibility memory) {
        return Flexibility(0, 0, 0, false);
    }
}
