// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Vm} from "forge-std/Vm.sol";
import {AssetRegistry} from "../src/AssetRegistry.sol";
import "../src/IProtocol.sol";
import {SiteTest} from "./SiteTest.sol";

/// @dev A smart account that has signed one digest by one signature.
contract SmartAccount {
    bytes32 private immutable _digest;
    bytes32 private immutable _signatureHash;

    constructor(bytes32 digest, bytes32 signatureHash) {
        (_digest, _signatureHash) = (digest, signatureHash);
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        bool signed = digest == _digest && keccak256(signature) == _signatureHash;
        return signed ? this.isValidSignature.selector : bytes4(0);
    }
}

contract AssetRegistryDriversTest is SiteTest {
    function test_registerDriver(address who) public {
        vm.assume(who != driver.addr);
        assertFalse(registry.isDriver(who), "before");
        vm.expectEmit(address(registry));
        emit IAssetRegistry.DriverRegistered(who);
        vm.prank(who);
        registry.registerDriver();
        assertTrue(registry.isDriver(who), "after");
    }

    function test_registerDriver_idempotent() public {
        vm.recordLogs();
        vm.prank(driver.addr);
        registry.registerDriver();
        assertEq(vm.getRecordedLogs().length, 0, "no second event");
        assertTrue(registry.isDriver(driver.addr), "still a driver");
    }

    function _registrationDigest(AssetRegistry target, address who) private view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Provolt"),
                keccak256("1"),
                block.chainid,
                address(target)
            )
        );
        bytes32 structHash = keccak256(abi.encode(keccak256("RegisterDriver(address driver)"), who));
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    function test_registerDriverFor(uint256 key, address relayer) public {
        key = boundPrivateKey(key);
        address who = vm.addr(key);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, _registrationDigest(registry, who));
        vm.prank(relayer);
        registry.registerDriverFor(who, abi.encodePacked(r, s, v));
        assertTrue(registry.isDriver(who), "driver");
    }

    function test_revert_BadDriverSignature(uint256 key) public {
        key = boundPrivateKey(key);
        vm.assume(vm.addr(key) != stranger);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, _registrationDigest(registry, stranger));
        _expectBadDriverSignature(registry, stranger, abi.encodePacked(r, s, v));
    }

    /// @dev A failed recovery names the zero address; that must not register it.
    function test_revert_BadDriverSignature_zeroAddress(bytes memory signature) public {
        vm.assume(signature.length != 65);
        _expectBadDriverSignature(registry, address(0), signature);
    }

    function test_replay_registrationOnOtherChain(uint64 chain) public {
        vm.assume(chain != block.chainid && chain > 0);
        Vm.Wallet memory who = vm.createWallet("new driver");
        bytes memory signature = _sign(who, _registrationDigest(registry, who.addr));
        vm.chainId(chain);
        _expectBadDriverSignature(registry, who.addr, signature);
    }

    function test_replay_registrationAtOtherContract() public {
        Vm.Wallet memory who = vm.createWallet("new driver");
        bytes memory signature = _sign(who, _registrationDigest(registry, who.addr));
        _expectBadDriverSignature(new AssetRegistry(guardian, protocol, PROTOCOL_FEE_BPS), who.addr, signature);
    }

    function _expectBadDriverSignature(AssetRegistry target, address who, bytes memory signature) private {
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.BadDriverSignature.selector, who));
        target.registerDriverFor(who, signature);
    }

    function test_registerDriverFor_idempotent() public {
        bytes memory signature = _sign(driver, _registrationDigest(registry, driver.addr));
        vm.recordLogs();
        registry.registerDriverFor(driver.addr, signature);
        registry.registerDriverFor(driver.addr, signature);
        assertEq(vm.getRecordedLogs().length, 0, "no second event");
    }

    function test_registerDriverFor_smartAccount(bytes memory signature) public {
        SmartAccount account = new SmartAccount(_digestOfNextAccount(), keccak256(signature));
        vm.prank(stranger);
        registry.registerDriverFor(address(account), signature);
        assertTrue(registry.isDriver(address(account)), "driver");
    }

    function _digestOfNextAccount() private view returns (bytes32) {
        return _registrationDigest(registry, vm.computeCreateAddress(address(this), vm.getNonce(address(this))));
    }

    function test_revert_BadDriverSignature_smartAccountRefuses(bytes memory signature) public {
        SmartAccount account = new SmartAccount(_digestOfNextAccount(), keccak256("another"));
        vm.assume(keccak256(signature) != keccak256("another"));
        _expectBadDriverSignature(registry, address(account), signature);
    }

    /// @dev A malleable signature is refused: s above half the order.
    function test_malleability_registrationWithHighS(uint256 key) public {
        key = boundPrivateKey(key);
        address who = vm.addr(key);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, _registrationDigest(registry, who));
        uint256 order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        bytes memory signature = abi.encodePacked(r, bytes32(order - uint256(s)), v == 27 ? uint8(28) : uint8(27));
        _expectBadDriverSignature(registry, who, signature);
    }

    function test_setStanding(address a, address b, uint8 standing) public {
        vm.assume(a != b);
        Standing wanted = Standing(bound(standing, 0, 3));
        address[] memory drivers = new address[](2);
        (drivers[0], drivers[1]) = (a, b);
        vm.expectEmit(address(registry));
        emit IAssetRegistry.StandingSet(SITE, a, wanted);
        vm.expectEmit(address(registry));
        emit IAssetRegistry.StandingSet(SITE, b, wanted);
        vm.prank(owner);
        registry.setStanding(SITE, drivers, wanted);
        assertEq(uint8(registry.standingOf(SITE, a)), uint8(wanted), "one");
        assertEq(uint8(registry.standingOf(SITE, b)), uint8(wanted), "other");
        assertEq(uint8(registry.standingOf(keccak256("elsewhere"), a)), uint8(Standing.None), "at this site only");
    }

    function test_boundary_256Standings() public {
        address[] memory drivers = new address[](256);
        drivers[255] = stranger;
        vm.startPrank(owner);
        registry.setStanding(SITE, drivers, Standing.Member);
        assertEq(uint8(registry.standingOf(SITE, stranger)), uint8(Standing.Member), "the last");
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.ListTooLong.selector, 257, 256));
        registry.setStanding(SITE, new address[](257), Standing.Member);
        vm.stopPrank();
    }
}
