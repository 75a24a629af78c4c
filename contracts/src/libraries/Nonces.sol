// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {ISettlement} from "../IProtocol.sol";

/// @title Nonces that may be used in any order
/// @notice 256 to a word, so that in steady state a signature writes no new slot.
library Nonces {
    /// @notice Marks a nonce; reverts with NonceUsed, which Settlement and Bookings declare alike, when it was used.
    function use(mapping(uint256 word => uint256 bits) storage words, address account, uint64 nonce) internal {
        uint256 bits = words[nonce / 256];
        uint256 bit = uint256(1) << (nonce % 256);
        require(bits & bit == 0, ISettlement.NonceUsed(account, nonce));

        words[nonce / 256] = bits | bit;
    }

    function isUsed(mapping(uint256 word => uint256 bits) storage words, uint64 nonce) internal view returns (bool) {
        return words[nonce / 256] >> (nonce % 256) & 1 != 0;
    }
}
