// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {FlexibilityTest} from "./FlexibilityTest.sol";

/// @notice Beside the settled session of the base, one of a meter that signs OCMF records with a P-256 key.
abstract contract AttackTest is FlexibilityTest {
    uint256 internal constant P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551;
    uint256 private constant P256_KEY = 0xa11ce;
    bytes32 internal constant OCMF_EVSE = keccak256("DE*PVT*E2*1");

    function _ocmfKey() internal pure returns (OcmfKey memory key) {
        (uint256 x, uint256 y) = vm.publicKeyP256(P256_KEY);
        key = OcmfKey(Curve.P256, bytes32(x), bytes32(y), keccak256("M0042"));
    }

    function _openOcmf(uint64 nonce) internal returns (Terms memory) {
        bytes32 ocmfMeter = registry.ocmfMeter(_ocmfKey());
        vm.prank(owner);
        registry.setMeter(OCMF_EVSE, ocmfMeter);
        Request memory request = _request();
        (request.evse, request.meter, request.nonce) = (OCMF_EVSE, ocmfMeter, nonce);
        _deposit(driver.addr, HELD);
        return _open(request);
    }

    /// @dev From 02:00, when the base's session is settled, to 03:00.
    function _ocmfRecord(string memory stopKWh) internal pure returns (OcmfRecord[] memory records) {
        bytes memory payload = abi.encodePacked(
            '{"GS":"PV0001","PG":"T12","MS":"M0042","RD":[',
            '{"TM":"2026-01-01T02:00:00,000+0000 S","TX":"B","RV":1,"RI":"1-b:1.8.0","RU":"kWh","ST":"G"},',
            '{"TM":"2026-01-01T03:00:00,000+0000 S","TX":"E","RV":',
            stopKWh,
            ',"ST":"G"}]}'
        );
        (bytes32 r, bytes32 s) = vm.signP256(P256_KEY, sha256(payload));
        records = new OcmfRecord[](1);
        records[0] = OcmfRecord(payload, r, s);
    }
}
