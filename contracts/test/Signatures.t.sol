// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Vm} from "forge-std/Vm.sol";
import {Signatures} from "../src/libraries/Signatures.sol";
import {Test} from "./SiteTest.sol";

contract SignaturesHarness {
    function isValid(address signer, bytes32 digest, bytes calldata signature) external view returns (bool) {
        return Signatures.isValid(signer, digest, signature);
    }
}

/// @notice Accepts what its owner signed.
contract Wallet is IERC1271 {
    address private immutable _owner;

    constructor(address owner) {
        _owner = owner;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view virtual returns (bytes4) {
        (address recovered,,) = ECDSA.tryRecoverCalldata(hash, signature);
        return recovered == _owner ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }
}

/// @notice Answers what it was made to answer, to anything.
contract AnsweringWallet {
    bytes private _answer;

    constructor(bytes memory answer) {
        _answer = answer;
    }

    fallback(bytes calldata) external returns (bytes memory) {
        return _answer;
    }
}

contract RevertingWallet {
    /// @dev Even with the right answer as its reason.
    fallback() external {
        bytes32 answer = bytes32(IERC1271.isValidSignature.selector);
        assembly {
            mstore(0, answer)
            revert(0, 32)
        }
    }
}

contract BurningWallet {
    fallback() external {
        while (true) {}
    }
}

/// @notice Answers with more than the caller could copy.
contract FloodingWallet {
    fallback() external {
        bytes32 answer = bytes32(IERC1271.isValidSignature.selector);
        assembly {
            mstore(0, answer)
            return(0, 50000)
        }
    }
}

contract WritingWallet {
    uint256 private _calls;

    function isValidSignature(bytes32, bytes calldata) external returns (bytes4) {
        ++_calls;
        return IERC1271.isValidSignature.selector;
    }
}

contract SignaturesTest is Test {
    uint256 private constant K1_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    SignaturesHarness private harness;
    Vm.Wallet private signer;

    function setUp() public {
        harness = new SignaturesHarness();
        signer = vm.createWallet("signer");
    }

    function _sign(uint256 key, bytes32 digest) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function test_isValid_key(uint256 key, bytes32 digest) public view {
        key = bound(key, 1, K1_ORDER - 1);
        assertTrue(harness.isValid(vm.addr(key), digest, _sign(key, digest)), "own");
        assertFalse(harness.isValid(vm.addr(key), ~digest, _sign(key, digest)), "another digest");
        assertFalse(harness.isValid(address(uint160(vm.addr(key)) ^ 1), digest, _sign(key, digest)), "another signer");
    }

    function test_isValid_neverReverts(address account, bytes32 digest, bytes calldata signature) public view {
        vm.assume(account.code.length == 0);
        assertFalse(harness.isValid(account, digest, signature), "no");
        assertFalse(harness.isValid(address(0), digest, signature), "nobody");
    }

    /// @dev A second form of the same signature, which nobody else needs the key for.
    function test_isValid_malleableRefused(bytes32 digest) public view {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(signer.privateKey, digest);
        bytes memory other = abi.encodePacked(r, bytes32(K1_ORDER - uint256(s)), v ^ 7);
        assertEq(ecrecover(digest, v ^ 7, r, bytes32(K1_ORDER - uint256(s))), signer.addr, "the curve has it");
        assertFalse(harness.isValid(signer.addr, digest, other), "high s");
        (bytes32 rCompact, bytes32 vs) = vm.signCompact(signer.privateKey, digest);
        assertFalse(harness.isValid(signer.addr, digest, abi.encodePacked(rCompact, vs)), "64 bytes");
    }

    function test_isValid_wallet(bytes32 digest) public {
        address wallet = address(new Wallet(signer.addr));
        bytes memory signature = _sign(signer.privateKey, digest);
        assertTrue(harness.isValid(wallet, digest, signature), "its owner's");
        assertFalse(harness.isValid(wallet, ~digest, signature), "another digest");
        assertFalse(harness.isValid(wallet, digest, _sign(42, digest)), "a stranger's");
        assertFalse(harness.isValid(wallet, digest, ""), "none");
    }

    /// @dev EIP-7702: the account's code is that of another, and its key is still its key.
    function test_isValid_delegatedAccount(bytes32 digest) public {
        address wallet = address(new Wallet(vm.addr(7)));
        vm.etch(signer.addr, abi.encodePacked(hex"ef0100", wallet));
        assertTrue(harness.isValid(signer.addr, digest, _sign(signer.privateKey, digest)), "its key");
        assertTrue(harness.isValid(signer.addr, digest, _sign(7, digest)), "its code");
        assertFalse(harness.isValid(signer.addr, digest, _sign(8, digest)), "a stranger's");
    }

    function test_isValid_hostileWallets(bytes calldata signature) public {
        bytes32 magic = bytes32(IERC1271.isValidSignature.selector);
        bytes memory longer = abi.encode(magic, magic);
        bytes[6] memory garbage = [
            bytes(""),
            abi.encodePacked(IERC1271.isValidSignature.selector),
            abi.encode(true),
            abi.encode(bytes32(type(uint256).max)),
            abi.encode(magic | bytes32(uint256(1))),
            abi.encode(uint32(IERC1271.isValidSignature.selector))
        ];
        for (uint256 i; i < garbage.length; ++i) {
            address wallet = address(new AnsweringWallet(garbage[i]));
            assertFalse(harness.isValid(wallet, 0, signature), vm.toString(i));
        }
        assertTrue(harness.isValid(address(new AnsweringWallet(longer)), 0, signature), "the right word first");
        assertFalse(harness.isValid(address(new RevertingWallet()), 0, signature), "reverts");
        assertFalse(harness.isValid(address(new WritingWallet()), 0, signature), "writes");
        assertFalse(harness.isValid(address(1), 0, signature), "precompile");
    }

    function test_isValid_gasOfHostileWallets() public {
        address burning = address(new BurningWallet());
        uint256 gas = gasleft();
        assertFalse(harness.isValid(burning, 0, ""), "burns");
        assertLt(gas - gasleft(), Signatures.WALLET_GAS + 20_000, "capped");

        address flooding = address(new FloodingWallet());
        gas = gasleft();
        assertTrue(harness.isValid(flooding, 0, ""), "the right word first");
        assertLt(gas - gasleft(), 40_000, "the rest is not copied");
    }
}
