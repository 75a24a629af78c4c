// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {ICertificates} from "../src/IProtocol.sol";

/// @notice Says of a run of intervals what it was told.
contract Certificates is ICertificates {
    mapping(bytes32 run => bool) private _certified;

    function set(bytes32 site, uint32 first, uint32 last, bool certified) external {
        _certified[keccak256(abi.encode(site, first, last))] = certified;
    }

    function isCertified(bytes32 site, uint32 first, uint32 last) external view returns (bool) {
        return _certified[keccak256(abi.encode(site, first, last))];
    }
}
