// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {TestBase} from "forge-std/Base.sol";
import {StdAssertions} from "forge-std/StdAssertions.sol";
import {StdCheats} from "forge-std/StdCheats.sol";
import {StdInvariant} from "forge-std/StdInvariant.sol";
import {StdUtils} from "forge-std/StdUtils.sol";
import {Vm} from "forge-std/Vm.sol";
import {AssetRegistry} from "../src/AssetRegistry.sol";
import {Dispatch} from "../src/Dispatch.sol";
import "../src/IProtocol.sol";

/// @notice forge-std's `Test` without its consoles, whose hundreds of warnings make solc drop every other.
abstract contract Test is TestBase, StdAssertions, StdCheats, StdInvariant, StdUtils {
    bool public constant IS_TEST = true;
}

/// @notice Registry and Dispatch, their actors, and one site.
///
/// The site's groups and lanes, in preorder:
///
///     0 grid 100 kW / 55 kW       lane 0 base load 40 kW, lane 1 PV 50 kW
///     ├─ 1 cabinet 44 kW / 10 kW  lanes 2, 3 EVSE 22 kW, lane 4 battery 30 kW
///     └─ 2 cabinet 30 kW / 0      lane 5 EVSE 22 kW, lane 6 EVSE 11 kW, lane 7 base load 40 kW
abstract contract SiteTest is Test {
    /// @dev 2026-01-01 00:00:00 UTC, a Thursday, the start of an interval.
    uint256 internal constant START = 1_767_225_600;
    uint32 internal constant FIRST = uint32(START / INTERVAL_S);
    uint256 internal constant LANES = 8;
    uint64 internal constant PRICE = 420_000;
    uint16 internal constant PROTOCOL_FEE_BPS = 100;

    string internal constant SITE_CLEAR = "provolt-demo";
    string internal constant EVSE_CLEAR = "DE*PVT*E1*1";
    bytes32 internal immutable SITE = keccak256(bytes(SITE_CLEAR));
    bytes32 internal immutable EVSE = keccak256(bytes(EVSE_CLEAR));
    bytes32 internal immutable OTHER_EVSE = keccak256("DE*PVT*E1*2");

    address internal guardian = makeAddr("guardian");
    address internal protocol = makeAddr("protocol");
    address internal owner = makeAddr("owner");
    address internal oracle = makeAddr("oracle");
    address internal stranger = makeAddr("stranger");
    Vm.Wallet internal driver = vm.createWallet("driver");
    Vm.Wallet internal meter = vm.createWallet("meter");
    Vm.Wallet internal otherMeter = vm.createWallet("other meter");

    AssetRegistry internal registry;
    Dispatch internal dispatch;

    function setUp() public virtual {
        vm.warp(START);
        registry = new AssetRegistry(guardian, protocol, PROTOCOL_FEE_BPS);
        dispatch = Dispatch(address(registry.dispatch()));
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
        registry.setTariff(_demoEvses(), _flatTariff());
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
        assets[3].meter = _meterId(otherMeter.addr);
        assets[4] = _asset(clearIds[4], AssetKind.Battery, 1, 30_000);
        assets[5] = _asset(clearIds[5], AssetKind.Evse, 2, 22_000);
        assets[6] = _asset(clearIds[6], AssetKind.Evse, 2, 11_000);
        assets[7] = _asset(clearIds[7], AssetKind.BaseLoad, 2, 40_000);
    }

    function _demoEvses() internal pure returns (bytes32[] memory evses) {
        evses = new bytes32[](4);
        (evses[0], evses[1]) = (keccak256("DE*PVT*E1*1"), keccak256("DE*PVT*E1*2"));
        (evses[2], evses[3]) = (keccak256("DE*PVT*E2*1"), keccak256("DE*PVT*E2*2"));
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
            connector: isEvse ? Connector.Type2 : Connector.None,
            access: Access.Public,
            latitudeE7: 52e7,
            longitudeE7: 13e7,
            meter: _meterId(meter.addr)
        });
    }

    /// @dev The id of a meter that signs EIP-712 readings.
    function _meterId(address key) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(key)));
    }

    function _flatTariff() internal pure returns (Tariff memory tariff) {
        tariff.price = PRICE;
    }

    function _tariffHash(Tariff memory tariff) internal pure returns (bytes32) {
        return keccak256(abi.encode(tariff));
    }

    /// @dev A list of one.
    function _only(bytes32 id) internal pure returns (bytes32[] memory ids) {
        ids = new bytes32[](1);
        ids[0] = id;
    }

    /// @dev What a driver is to the demo site, as its owner says.
    function _setStanding(address who, Standing standing) internal {
        address[] memory drivers = new address[](1);
        drivers[0] = who;
        vm.prank(owner);
        registry.setStanding(SITE, drivers, standing);
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

    function _sign(Vm.Wallet memory wallet, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(wallet.privateKey, digest);
        return abi.encodePacked(r, s, v);
    }
}
