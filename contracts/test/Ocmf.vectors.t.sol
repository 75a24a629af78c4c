// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Vm} from "forge-std/Vm.sol";
import {Ocmf} from "../src/libraries/Ocmf.sol";
import {OcmfTest} from "./Ocmf.t.sol";

/// @notice Signed records: our own, which are committed, and those of real meters where they are at hand. Ours are signed
/// by the key 0xa11ce of either curve.
contract OcmfVectorsTest is OcmfTest {
    string private constant OWN = "contracts/test/ocmf/vectors.json";
    string private constant REAL = "contracts/cache/data/ocmf/";
    uint256 private constant P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551;
    uint256 private constant K1_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    struct Vector {
        string payload;
        bytes32 qx;
        bytes32 qy;
        bytes32 r;
        bytes32 s;
    }

    /// @dev Member of the i-th vector.
    function _path(uint256 i, string memory member) private pure returns (string memory) {
        return string.concat("[", vm.toString(i), "].", member);
    }

    function _has(string memory json, uint256 i) private view returns (bool) {
        return vm.keyExistsJson(json, _path(i, "payload"));
    }

    function _text(string memory json, uint256 i, string memory member) private pure returns (string memory) {
        return vm.parseJsonString(json, _path(i, member));
    }

    function _vector(string memory json, uint256 i) private pure returns (Vector memory) {
        return Vector({
            payload: _text(json, i, "payload"),
            qx: _word(_text(json, i, "qx")),
            qy: _word(_text(json, i, "qy")),
            r: _word(_text(json, i, "r")),
            s: _word(_text(json, i, "s"))
        });
    }

    /// @dev 32 bytes in hex, with or without 0x.
    function _word(string memory hex_) private pure returns (bytes32) {
        return vm.parseBytes32(bytes(hex_).length == 66 ? hex_ : string.concat("0x", hex_));
    }

    function _isP256(Vector memory v) private view returns (bool) {
        return harness.isSignedP256(bytes(v.payload), v.qx, v.qy, v.r, v.s);
    }

    function _isK1(Vector memory v) private view returns (bool) {
        return harness.isSignedK1(bytes(v.payload), v.qx, v.qy, v.r, v.s);
    }

    function _is(string memory a, string memory b) private pure returns (bool) {
        return keccak256(bytes(a)) == keccak256(bytes(b));
    }

    function _contains(string memory text, string memory part) private pure returns (bool) {
        return vm.indexOf(text, part) != type(uint256).max;
    }

    // Our own

    function test_own_areSignedAndRead() public view {
        string memory json = vm.readFile(OWN);
        uint256 count;
        for (; _has(json, count); ++count) {
            string memory why = _text(json, count, "why");
            Vector memory v = _vector(json, count);
            bool onP256 = _is(_text(json, count, "curve"), "secp256r1");
            assertEq(_isP256(v), onP256, why);
            assertEq(_isK1(v), !onP256, why);

            Ocmf.Record memory record = _read(v.payload);
            assertEq(record.fiscal, vm.parseJsonBool(json, _path(count, "fiscal")), why);
            assertEq(record.counter, vm.parseJsonUint(json, _path(count, "counter")), why);
            assertEq(record.serialHash, keccak256(bytes(_text(json, count, "serial"))), why);
            assertEq(record.hasBegin, vm.parseJsonBool(json, _path(count, "hasBegin")), why);
            assertEq(record.begin.importMilliWh, vm.parseJsonUint(json, _path(count, "beginMilliWh")), why);
            assertEq(record.begin.time, vm.parseJsonUint(json, _path(count, "beginTime")), why);
            assertEq(record.hasEnd, vm.parseJsonBool(json, _path(count, "hasEnd")), why);
            assertEq(record.end.importMilliWh, vm.parseJsonUint(json, _path(count, "endMilliWh")), why);
            assertEq(record.end.time, vm.parseJsonUint(json, _path(count, "endTime")), why);
        }
        assertEq(count, 7, "vectors");
    }

    function test_own_highAndLowS() public view {
        string memory json = vm.readFile(OWN);
        for (uint256 i; i < 4; ++i) {
            Vector memory v = _vector(json, i);
            uint256 order = i < 2 ? P256_ORDER : K1_ORDER;
            assertEq(uint256(v.s) > order / 2, i % 2 == 1, "s");
            v.s = bytes32(order - uint256(v.s));
            assertTrue(i < 2 ? _isP256(v) : _isK1(v), "the other form");
        }
    }

    /// @dev Cutting or flipping any one byte leaves a text that nobody signed.
    function test_own_anyOtherByte(uint8 flip, uint256 which) public view {
        string memory json = vm.readFile(OWN);
        Vector memory v = _vector(json, which % 7);
        bool onP256 = _is(_text(json, which % 7, "curve"), "secp256r1");
        bytes memory payload = bytes(v.payload);
        uint256 where = (which >> 8) % payload.length;
        payload[where] ^= bytes1(flip == 0 ? 1 : flip);
        assertFalse(onP256 ? _isP256(v) : _isK1(v), "another byte");
        payload[where] ^= bytes1(flip == 0 ? 1 : flip);
        assertTrue(onP256 ? _isP256(v) : _isK1(v), "the signed bytes");
        assembly ("memory-safe") {
            mstore(payload, where)
        }
        assertFalse(onP256 ? _isP256(v) : _isK1(v), "cut");
    }

    function test_isSigned_refusesOtherKeysAndSignatures(uint256 change, uint256 member, bool onP256) public view {
        Vector memory v = _vector(vm.readFile(OWN), onP256 ? 0 : 2);
        change = bound(change, 1, type(uint256).max);
        member %= 4;
        if (member == 0) v.qx ^= bytes32(change);
        if (member == 1) v.qy ^= bytes32(change);
        if (member == 2) v.r ^= bytes32(change);
        if (member == 3) {
            bytes32 mirror = bytes32((onP256 ? P256_ORDER : K1_ORDER) - uint256(v.s));
            v.s ^= bytes32(change);
            vm.assume(v.s != mirror);
        }
        assertFalse(onP256 ? _isP256(v) : _isK1(v), "changed");
    }

    /// @dev Whatever the bytes, which need not be a record, and in both forms of the signature.
    function test_isSigned_anyBytes(bytes memory payload, uint256 key) public {
        Vector memory v;
        v.payload = string(payload);
        key = bound(key, 1, P256_ORDER - 1);
        (uint256 x, uint256 y) = vm.publicKeyP256(key);
        (v.qx, v.qy) = (bytes32(x), bytes32(y));
        (v.r, v.s) = vm.signP256(key, sha256(payload));
        assertTrue(_isP256(v), "secp256r1");
        v.s = bytes32(P256_ORDER - uint256(v.s));
        assertTrue(_isP256(v), "secp256r1, the other form");
        assertFalse(_isK1(v), "the wrong curve");

        key = bound(key, 1, K1_ORDER - 1);
        Vm.Wallet memory wallet = vm.createWallet(key);
        (v.qx, v.qy) = (bytes32(wallet.publicKeyX), bytes32(wallet.publicKeyY));
        (, v.r, v.s) = vm.sign(key, sha256(payload));
        assertTrue(_isK1(v), "secp256k1");
        v.s = bytes32(K1_ORDER - uint256(v.s));
        assertTrue(_isK1(v), "secp256k1, the other form");
        assertFalse(_isP256(v), "the wrong curve");
    }

    function test_isSigned_extremes() public view {
        string memory json = vm.readFile(OWN);
        for (uint256 i; i < 3; i += 2) {
            uint256 order = i == 0 ? P256_ORDER : K1_ORDER;
            uint256[4] memory values = [0, order, order + 1, type(uint256).max];
            for (uint256 j; j < values.length; ++j) {
                Vector memory v = _vector(json, i);
                v.s = bytes32(values[j]);
                assertFalse(i == 0 ? _isP256(v) : _isK1(v), "s");
                v = _vector(json, i);
                v.r = bytes32(values[j]);
                assertFalse(i == 0 ? _isP256(v) : _isK1(v), "r");
                v = _vector(json, i);
                (v.qx, v.qy) = (bytes32(values[j]), bytes32(values[j]));
                assertFalse(i == 0 ? _isP256(v) : _isK1(v), "key");
            }
        }
    }

    /// @dev The hash, the precompile, and the check that the key is on the curve; a copy of the payload is the rest.
    function test_own_gasOfSignatures() public view {
        string memory json = vm.readFile(OWN);
        Vector memory v = _vector(json, 1);
        assertLt(harness.gasOfIsSignedP256(bytes(v.payload), v.qx, v.qy, v.r, v.s), 9_000, "secp256r1");
        v = _vector(json, 2);
        assertLt(harness.gasOfIsSignedK1(bytes(v.payload), v.qx, v.qy, v.r, v.s), 8_000, "secp256k1");
    }

    // Those of real meters

    function _real(string memory name) private returns (string memory) {
        string memory path = string.concat(REAL, name);
        vm.skip(!vm.exists(path), "no records of real meters: set PROVOLT_DATA and run scripts/test");
        return vm.readFile(path);
    }

    /// @dev What a record that is signed soundly may still be refused for, by its pagination.
    function _refusal(string memory payload) private pure returns (bool, Ocmf.Expected) {
        // The meter itself says that it is in error, and that neither energy nor time can be used.
        if (_contains(payload, '"PG":"T2","MV":"BAUER')) return (true, Ocmf.Expected.BeginOrEnd);
        // Registers with an exponent, which no longer say how precise they are.
        if (_contains(payload, '"RV":1.606848e7')) return (true, Ocmf.Expected.PlainDecimal);
        // An OBIS code that names no register.
        if (_contains(payload, '"RI":"1-b",')) return (true, Ocmf.Expected.BeginOrEnd);
        return (false, Ocmf.Expected.Object);
    }

    function _checkReal(string memory json, bool onP256) private returns (uint256 count, uint256 unread) {
        for (; _has(json, count); ++count) {
            Vector memory v = _vector(json, count);
            assertEq(_text(json, count, "label"), "valid", "label");
            assertEq(_isP256(v), onP256, v.payload);
            assertEq(_isK1(v), !onP256, v.payload);

            (bool refused, Ocmf.Expected expected) = _refusal(v.payload);
            if (refused) {
                ++unread;
                _refuse(v.payload, expected);
                continue;
            }
            Ocmf.Record memory record = _read(v.payload);
            assertEq(record.hasBegin, _contains(vm.replace(v.payload, " ", ""), '"TX":"B"'), v.payload);
            assertEq(record.hasEnd, _contains(vm.replace(v.payload, " ", ""), '"TX":"E"'), v.payload);
            if (record.hasBegin && record.hasEnd) {
                assertGe(record.end.importMilliWh, record.begin.importMilliWh, v.payload);
            }
        }
    }

    function test_real_p256() public {
        (uint256 count, uint256 unread) = _checkReal(_real("p256.json"), true);
        assertEq(count, 46, "records");
        assertEq(unread, 3, "refused for what they say");
    }

    function test_real_secp256k1() public {
        (uint256 count, uint256 unread) = _checkReal(_real("secp256k1.json"), false);
        assertEq(count, 4, "records");
        assertEq(unread, 0, "refused for what they say");
    }

    /// @dev Values by hand, from each kind of record.
    function test_real_values() public {
        string memory json = _real("p256.json");
        Ocmf.Record memory record = _read(_text(json, 30, "payload"));
        assertEq(record.counter, 32, "KEBA");
        assertEq(record.serialHash, keccak256("17619300"), "its gateway");
        assertEq(record.begin.importMilliWh, 259_600, "begin");
        assertEq(record.begin.time, 1_565_690_595, "2019-08-13T10:03:15Z");
        assertEq(record.end.importMilliWh, 259_700, "end");
        record = _read(_text(json, 0, "payload"));
        assertEq(record.begin.time + record.end.time, 0, "1970");
        assertEq(record.end.importMilliWh, 1_234_560_000, "not the time register behind it");
        record = _read(_text(json, 32, "payload"));
        assertEq(record.begin.importMilliWh, 57_584_000, "LEM, not the export register");
        assertEq(record.end.importMilliWh, 58_685_000, "LEM");
        assertEq(record.end.time, 1_633_518_913, "2021-10-06T13:15:13+02:00");

        json = _real("secp256k1.json");
        record = _read(_text(json, 1, "payload"));
        assertEq(record.end.importMilliWh, 9_038_000, "a text with spaces");
        assertEq(record.serialHash, keccak256("1DZG0033016824"), "its meter");
        record = _read(_text(json, 0, "payload"));
        assertEq(record.begin.importMilliWh, 2_935_600_000, "1-b:1.8.e");
    }

    /// @dev Curves without a precompile: the longer ones do not fit 32 bytes, and no key of the others is on ours.
    function test_real_otherCurves() public {
        string memory json = _real("other_curves.json");
        uint256 count;
        for (; _has(json, count); ++count) {
            if (bytes(_text(json, count, "qx")).length > 64) continue;
            Vector memory v = _vector(json, count);
            assertFalse(_isP256(v) || _isK1(v), v.payload);
        }
        assertEq(count, 3, "records");
    }

    /// @dev Their keys are not given, so every key of a sound record is tried, of which one is the right meter's; the
    /// signatures that are not two numbers cannot be presented at all.
    function test_real_refused() public {
        string memory json = _real("refused.json");
        string memory sound = _real("p256.json");
        uint256 count;
        uint256 presented;
        for (; _has(json, count); ++count) {
            string memory payload = _text(json, count, "payload");
            (bool numbers, bytes32 r, bytes32 s) = _der(_text(json, count, "signature_json"));
            if (!numbers) continue;
            ++presented;
            for (uint256 i; _has(sound, i); ++i) {
                Vector memory v = _vector(sound, i);
                (v.payload, v.r, v.s) = (payload, r, s);
                assertFalse(_isP256(v) || _isK1(v), payload);
            }
        }
        assertEq(count, 12, "records");
        assertEq(presented, 5, "with a signature that is one");
    }

    /// @dev Those without a pagination, readings or a sound meter are refused for that alone.
    function test_real_refusedUnsigned() public {
        string memory json = _real("refused.json");
        _refuse(_text(json, 0, "payload"), Ocmf.Expected.Pagination);
        _refuse(_text(json, 1, "payload"), Ocmf.Expected.Reading);
        _refuse(_text(json, 4, "payload"), Ocmf.Expected.Pagination);
        _refuse(_text(json, 6, "payload"), Ocmf.Expected.GoodStatus);
        _refuse(_text(json, 7, "payload"), Ocmf.Expected.BeginOrEnd);
        _refuse(_text(json, 10, "payload"), Ocmf.Expected.Pagination);
        _refuse(_text(json, 11, "payload"), Ocmf.Expected.Pagination);
    }

    /// @dev The two numbers of a signature in hex, if it is DER.
    function _der(string memory signature) private pure returns (bool, bytes32 r, bytes32 s) {
        string[] memory parts = vm.split(signature, '"SD":"30');
        if (parts.length != 2) return (false, 0, 0);
        string memory rest = vm.split(parts[1], '"')[0];
        bytes memory data = vm.parseBytes(string.concat("0x30", rest));
        if (data.length < 8 || data.length != 2 + uint8(data[1])) return (false, 0, 0);
        uint256 i = 2;
        (r, i) = _integer(data, i);
        (s, i) = _integer(data, i);
        return (i == data.length, r, s);
    }

    function _integer(bytes memory data, uint256 i) private pure returns (bytes32 value, uint256) {
        uint256 end = i + 2 + uint8(data[i + 1]);
        for (i += 2; i < end; ++i) {
            value = (value << 8) | bytes32(uint256(uint8(data[i])));
        }
        return (value, end);
    }
}
