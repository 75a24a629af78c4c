// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {ScheduleVerifier} from "../src/ScheduleVerifier.sol";
import {Test} from "./SiteTest.sol";

/// @notice Certificates that the planner made, from contracts/test/certificates (`optimizer/tests/certificate.rs`).
abstract contract ScheduleVerifierTest is Test {
    struct Expected {
        int256 cost;
        int256 bound;
        bytes32 firstColumnHash;
    }

    string internal constant FOLDER = "contracts/test/certificates/";

    function _read(string memory file) internal view returns (string memory) {
        return vm.readFile(string.concat(FOLDER, file));
    }

    function _member(uint256 i, string memory member) private pure returns (string memory) {
        return string.concat("[", vm.toString(i), "].", member);
    }

    function _has(string memory json, uint256 i) internal view returns (bool) {
        return vm.keyExistsJson(json, _member(i, "name"));
    }

    function _name(string memory json, uint256 i) internal pure returns (string memory) {
        return vm.parseJsonString(json, _member(i, "name"));
    }

    function _certificate(string memory json, uint256 i) internal pure returns (Certificate memory) {
        return Certificate({
            inputs: vm.parseJsonBytes(json, _member(i, "inputs")),
            schedule: vm.parseJsonBytes(json, _member(i, "schedule")),
            multipliers: vm.parseJsonBytes(json, _member(i, "multipliers")),
            root: 0
        });
    }

    function _expected(string memory json, uint256 i) internal pure returns (Expected memory) {
        return Expected({
            cost: vm.parseInt(vm.parseJsonString(json, _member(i, "cost"))),
            bound: vm.parseInt(vm.parseJsonString(json, _member(i, "bound"))),
            firstColumnHash: keccak256(vm.parseJsonBytes(json, _member(i, "firstColumn")))
        });
    }
}
