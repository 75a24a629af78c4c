// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {ISettlement} from "../IProtocol.sol";

/// @title Signatures of accounts with a key, with code, or with both
library Signatures {
    /// @dev What a wallet gets to check a signature. One that verifies P-256 in Solidity needs some 300,000; one that burns
    /// all of it costs its relayer no more than a transfer or two of the credit token would.
    uint256 internal constant WALLET_GAS = 400_000;

    /// @notice Whether the signer signed the digest: by its key, or, having code, by ERC-1271.
    /// @dev The key comes first, because an account that has delegated to code (EIP-7702) still has one. Never reverts,
    /// whatever the wallet does: its gas is capped and no more than one word of its answer is copied.
    ///
    /// With less gas left than the cap a sound wallet may fail. So the answer "no" must revert, or leave things as they are.
    function isValid(address signer, bytes32 digest, bytes calldata signature) internal view returns (bool) {
        (address recovered, ECDSA.RecoverError failure,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (failure == ECDSA.RecoverError.NoError && recovered == signer) return true;
        if (signer.code.length == 0) return false;

        bytes memory question = abi.encodeCall(IERC1271.isValidSignature, (digest, signature));
        bytes32 answer;
        bool answered;
        assembly ("memory-safe") {
            mstore(0, 0)
            answered := staticcall(WALLET_GAS, signer, add(question, 32), mload(question), 0, 32)
            answered := and(answered, gt(returndatasize(), 31))
            answer := mload(0)
        }
        return answered && answer == bytes32(IERC1271.isValidSignature.selector);
    }

    /// @notice Reverts unless the account has signed, and what it signed may still be used.
    function requireValid(bytes32 digest, address account, uint40 validUntil, bytes calldata signature) internal view {
        require(block.timestamp <= validUntil, ISettlement.SignatureExpired(validUntil, block.timestamp));
        require(isValid(account, digest, signature), ISettlement.BadSignature(digest, account));
    }
}
