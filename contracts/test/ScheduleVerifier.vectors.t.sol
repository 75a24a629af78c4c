// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {ScheduleVerifier} from "../src/ScheduleVerifier.sol";
import {ScheduleVerifierTest} from "./ScheduleVerifierTest.sol";

/// @notice The contract says what the Rust verifier says.
contract ScheduleVerifierVectorsTest is ScheduleVerifierTest {
    ScheduleVerifier private verifier = new ScheduleVerifier(IDispatch(address(0)));

    function _check(string memory file) private view returns (uint256 count) {
        string memory json = _read(file);
        for (; _has(json, count); ++count) {
            Certificate memory c = _certificate(json, count);
            Expected memory e = _expected(json, count);
            (int256 cost, int256 bound, bytes32 inputsHash, bytes32 firstColumnHash) =
                verifier.verify(c.inputs, c.schedule, c.multipliers);
            string memory name = _name(json, count);
            assertEq(cost, e.cost, name);
            assertEq(bound, e.bound, name);
            assertEq(inputsHash, keccak256(c.inputs), name);
            assertEq(firstColumnHash, e.firstColumnHash, name);
        }
    }

    function test_vectors() public view {
        assertEq(_check("vectors.json"), 24);
    }

    function test_days() public view {
        assertEq(_check("days.json"), 4);
    }
}
