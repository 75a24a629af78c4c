// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {ScheduleVerifier} from "../src/ScheduleVerifier.sol";
import {ScheduleVerifierTest} from "./ScheduleVerifierTest.sol";

/// @notice Gas of whole transactions that certify a day of 96 intervals with battery, PV and peak against a commitment, in
/// steady state. The days are the planner's, every cabinet with a price of its own (`optimizer/tests/certificate.rs`).
/// forge-config: default.isolate = true
contract GasCertificatesTest is ScheduleVerifierTest {
    string private constant GROUP = "Provolt";
    IDispatch private constant DISPATCH = IDispatch(address(0xd15));
    bytes32 private constant SITE = keccak256("DE*ABC*S1");
    uint32 private constant FIRST = 2_000_000;
    uint256 private constant TYPICAL = 0;
    uint256 private constant ALL_DAY = 1;
    uint256 private constant LARGE = 2;
    uint256 private constant FIVE_CABINETS = 3;

    ScheduleVerifier private verifier = new ScheduleVerifier(DISPATCH);

    function setUp() public {
        bytes memory poster = abi.encode(RIGHT_DISPATCH, type(uint40).max, address(0));
        vm.mockCall(address(DISPATCH), abi.encodeCall(IDispatch.posterOf, (SITE, address(this))), poster);
        for (uint32 i = 8; i > 0; --i) {
            vm.warp(uint256(FIRST - i) * INTERVAL_S - 1);
            verifier.commitInputs(SITE, FIRST - i, SITE);
        }
        vm.warp(uint256(FIRST) * INTERVAL_S - 1);
    }

    /// @return gas Of the whole transaction.
    /// @return floor What EIP-7623 takes at least for its calldata.
    function _certify(uint256 which) private returns (uint256 gas, uint256 floor) {
        Certificate memory c = _certificate(_read("days.json"), which);
        verifier.commitInputs(SITE, FIRST, keccak256(c.inputs));
        verifier.certify(SITE, FIRST, c.inputs, c.schedule, c.multipliers);
        gas = vm.lastCallGas().gasTotalUsed;
        bytes memory data = abi.encodeCall(verifier.certify, (SITE, FIRST, c.inputs, c.schedule, c.multipliers));
        floor = 21_000;
        for (uint256 i; i < data.length; ++i) {
            floor += data[i] == 0 ? 10 : 40;
        }
    }

    function test_gas_verify50Typical() public {
        (uint256 gas, uint256 floor) = _certify(TYPICAL);
        vm.snapshotValue("Targets", "verify50Typical", gas);
        vm.snapshotValue(GROUP, "verify50TypicalFloor", floor);
        assertLe(gas, 360_000);
    }

    function test_gas_verify50AllDay() public {
        (uint256 gas,) = _certify(ALL_DAY);
        vm.snapshotValue("Targets", "verify50AllDay", gas);
        assertLe(gas, 460_000);
    }

    function test_gas_verify500() public {
        (uint256 gas, uint256 floor) = _certify(LARGE);
        vm.snapshotValue("Targets", "verify500", gas);
        vm.snapshotValue(GROUP, "verify500Floor", floor);
        assertLe(gas, 1_600_000);
    }

    /// @dev The same cars in five cabinets instead of one, each with prices of its own: four further ones.
    function test_gas_verifyPerCabinet() public {
        (uint256 one,) = _certify(TYPICAL);
        Certificate memory c = _certificate(_read("days.json"), FIVE_CABINETS);
        verifier.commitInputs(SITE, FIRST + 1, keccak256(c.inputs));
        verifier.certify(SITE, FIRST + 1, c.inputs, c.schedule, c.multipliers);
        uint256 each = (vm.lastCallGas().gasTotalUsed - one) / 4;
        vm.snapshotValue("Targets", "verifyPerCabinet", each);
        assertLe(each, 60_000);
    }

    function test_gas_commitInputs() public {
        verifier.commitInputs(SITE, FIRST, SITE);
        vm.snapshotGasLastCall(GROUP, "commitInputs");
        assertTrue(verifier.isCommitted(SITE, FIRST, SITE));
    }
}
