// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Ocmf} from "../src/libraries/Ocmf.sol";
import {Test} from "./SiteTest.sol";

/// @notice The library behind calldata. A payload is the head of a longer calldata, whose rest must not matter.
contract OcmfHarness {
    function read(bytes calldata data, uint256 length) external pure returns (Ocmf.Record memory) {
        return Ocmf.read(data[:length]);
    }

    /// @dev Gas of the reading alone, without what a call costs.
    function gasOfRead(bytes calldata payload) external view returns (uint256 gas) {
        gas = gasleft();
        Ocmf.read(payload);
        gas -= gasleft();
    }

    function gasOfIsSignedP256(bytes calldata payload, bytes32 qx, bytes32 qy, bytes32 r, bytes32 s)
        external
        view
        returns (uint256 gas)
    {
        gas = gasleft();
        Ocmf.isSignedP256(payload, qx, qy, r, s);
        gas -= gasleft();
    }

    function gasOfIsSignedK1(bytes calldata payload, bytes32 qx, bytes32 qy, bytes32 r, bytes32 s)
        external
        view
        returns (uint256 gas)
    {
        gas = gasleft();
        Ocmf.isSignedK1(payload, qx, qy, r, s);
        gas -= gasleft();
    }

    function isSignedP256(bytes calldata payload, bytes32 qx, bytes32 qy, bytes32 r, bytes32 s)
        external
        view
        returns (bool)
    {
        return Ocmf.isSignedP256(payload, qx, qy, r, s);
    }

    function isSignedK1(bytes calldata payload, bytes32 qx, bytes32 qy, bytes32 r, bytes32 s)
        external
        pure
        returns (bool)
    {
        return Ocmf.isSignedK1(payload, qx, qy, r, s);
    }
}

abstract contract OcmfTest is Test {
    OcmfHarness internal harness;

    string internal constant HEAD = '{"FV":"1.0","GI":"G","GS":"GW7","PG":"T12","MS":"M0042","IS":true,"ID":"","RD":[';
    string internal constant BEGIN =
        '{"TM":"2026-03-29T01:59:59,000+0100 S","TX":"B","RV":12.3456,"RI":"1-b:1.8.0","RU":"kWh","EF":"","ST":"G"}';
    string internal constant END = '{"TM":"2026-03-29T04:15:00,000+0200 S","TX":"E","RV":23.4567}';
    string internal constant TAIL = "]}";
    /// @dev Offset of the first reading.
    uint256 internal constant FIRST = 80;

    function setUp() public virtual {
        harness = new OcmfHarness();
    }

    function _payload() internal pure returns (string memory) {
        return string.concat(HEAD, BEGIN, ",", END, TAIL);
    }

    /// @dev One reading.
    function _with(string memory reading) internal pure returns (string memory) {
        return string.concat(HEAD, reading, TAIL);
    }

    /// @dev The first reading with one part replaced.
    function _begin(string memory part, string memory by) internal pure returns (string memory) {
        return _with(vm.replace(BEGIN, part, by));
    }

    function _read(string memory payload) internal view returns (Ocmf.Record memory) {
        return harness.read(bytes(payload), bytes(payload).length);
    }

    function _refuse(string memory payload, Ocmf.Expected expected) internal {
        vm.expectPartialRevert(Ocmf.Unreadable.selector);
        harness.read(bytes(payload), bytes(payload).length);
        try harness.read(bytes(payload), bytes(payload).length) {}
        catch (bytes memory reason) {
            assertEq(uint8(reason[67]), uint8(expected), payload);
        }
    }

    function _refuseAt(string memory payload, uint256 offset, Ocmf.Expected expected) internal {
        vm.expectRevert(abi.encodeWithSelector(Ocmf.Unreadable.selector, offset, expected));
        harness.read(bytes(payload), bytes(payload).length);
    }
}

/// @notice What a record says, and what is refused.
contract OcmfReadTest is OcmfTest {
    function test_read_beginAndEnd() public view {
        Ocmf.Record memory record = _read(_payload());
        assertFalse(record.fiscal, "series");
        assertEq(record.counter, 12, "counter");
        assertEq(record.serialHash, keccak256("M0042"), "serial");
        assertTrue(record.hasBegin && record.hasEnd, "both ends");
        assertEq(record.begin.importMilliWh, 12_345_600, "begin");
        assertEq(record.begin.time, 1_774_745_999, "begin time");
        assertEq(record.end.importMilliWh, 23_456_700, "end");
        assertEq(record.end.time, 1_774_750_500, "end time");
    }

    function test_read_oneEnd() public view {
        Ocmf.Record memory record = _read(_begin('"B"', '"L"'));
        assertFalse(record.hasBegin, "no begin");
        assertTrue(record.hasEnd, "end");
        assertEq(record.end.importMilliWh, 12_345_600, "register");
        assertEq(record.begin.importMilliWh, 0, "no begin register");
    }

    function test_read_everyEndOfASession() public view {
        string[5] memory reasons = ['"E"', '"L"', '"R"', '"A"', '"P"'];
        for (uint256 i; i < reasons.length; ++i) {
            assertTrue(_read(_begin('"B"', reasons[i])).hasEnd, reasons[i]);
        }
    }

    function test_revert_nothingAtTheEnds() public {
        string[6] memory others = ['"C"', '"S"', '"T"', '"e"', '"BE"', "1"];
        for (uint256 i; i < others.length; ++i) {
            _refuse(_begin('"B"', others[i]), Ocmf.Expected.BeginOrEnd);
        }
        _refuse(_begin('"TX":"B",', ""), Ocmf.Expected.BeginOrEnd);
    }

    /// @dev An exception makes whatever follows unusable.
    function test_revert_exception() public {
        _refuseAt(_begin('"B"', '"X"'), FIRST, Ocmf.Expected.NoException);
        string memory other = '{"TX":"X","RI":"1-b:1.9.0"}';
        _refuse(string.concat(HEAD, BEGIN, ",", other, ",", END, TAIL), Ocmf.Expected.NoException);
    }

    function test_read_pagination() public view {
        assertEq(_read(vm.replace(_payload(), "T12", "T0")).counter, 0, "zero");
        Ocmf.Record memory record = _read(vm.replace(_payload(), "T12", "F9999999999999999999"));
        assertTrue(record.fiscal, "fiscal");
        assertEq(record.counter, 9_999_999_999_999_999_999, "19 digits");
    }

    function test_revert_pagination() public {
        string[9] memory wrong =
            ['"12"', '"T"', '"t12"', '"T012"', '"T12 "', '"T-1"', "12", '""', '"T10000000000000000000"'];
        for (uint256 i; i < wrong.length; ++i) {
            _refuseAt(vm.replace(_payload(), '"T12"', wrong[i]), 37, Ocmf.Expected.Pagination);
        }
        _refuse(vm.replace(_payload(), '"PG"', '"Pg"'), Ocmf.Expected.Pagination);
    }

    function test_read_serial() public view {
        assertEq(_read(vm.replace(_payload(), "M0042", "")).serialHash, keccak256("GW7"), "empty");
        assertEq(_read(vm.replace(_payload(), '"MS"', '"MX"')).serialHash, keccak256("GW7"), "absent");
        string memory neither = vm.replace(vm.replace(_payload(), "M0042", ""), "GW7", "");
        assertEq(_read(neither).serialHash, 0, "neither");
        string memory long = "a serial number of more than thirty-two bytes";
        assertEq(_read(vm.replace(_payload(), "M0042", long)).serialHash, keccak256(bytes(long)), "long");
        string memory escaped = 'a\\"b';
        assertEq(_read(vm.replace(_payload(), "M0042", escaped)).serialHash, keccak256(bytes(escaped)), "as spelled");
    }

    function test_revert_serialIsNoText() public {
        _refuse(vm.replace(_payload(), '"M0042"', "42"), Ocmf.Expected.Serial);
    }

    /// @dev A reading takes over everything but its register.
    function test_read_inherits() public view {
        string memory c = '{"TX":"C","RV":13}';
        string memory e = '{"TX":"E","RV":14}';
        Ocmf.Record memory record = _read(string.concat(HEAD, BEGIN, ",", c, ",", e, TAIL));
        assertEq(record.end.importMilliWh, 14e6, "end");
        assertEq(record.end.time, record.begin.time, "time");
    }

    function test_revert_registerIsNotInherited() public {
        _refuse(string.concat(HEAD, BEGIN, ',{"TX":"E"}', TAIL), Ocmf.Expected.PlainDecimal);
    }

    function test_revert_errorFlagsAreInherited() public {
        string memory flagged = vm.replace(BEGIN, '"TX":"B","RV":12.3456', '"TX":"C","RV":1');
        flagged = vm.replace(flagged, '"EF":""', '"EF":"E"');
        _refuse(string.concat(HEAD, flagged, ",", END, TAIL), Ocmf.Expected.NoErrorFlag);
    }

    function test_revert_status() public {
        string[7] memory wrong = ['"N"', '"T"', '"M"', '"X"', '"GG"', '""', "null"];
        for (uint256 i; i < wrong.length; ++i) {
            _refuseAt(_begin('"G"', wrong[i]), FIRST, Ocmf.Expected.GoodStatus);
        }
        _refuse(_begin(',"ST":"G"', ""), Ocmf.Expected.GoodStatus);
    }

    function test_revert_errorFlags() public {
        string[4] memory wrong = ['"E"', '"t"', '"Et"', "null"];
        for (uint256 i; i < wrong.length; ++i) {
            _refuseAt(_begin('"EF":""', string.concat('"EF":', wrong[i])), FIRST, Ocmf.Expected.NoErrorFlag);
        }
        assertTrue(_read(_begin('"EF":"",', "")).hasBegin, "absent");
    }

    function test_read_spellingsOfTheBillingRegister() public view {
        string[11] memory codes = [
            "1-b:1.8.0",
            "1-b:1.8.e",
            "1-0:1.8.0",
            "1-0:1.8.1",
            "01-00:01.08.00.FF",
            "01-00:01.08.00*FF",
            "01-0B:01.08.00*FF",
            "1-0:1.8.0*255",
            "1-0:1.8.0*ff",
            "01-0b:1.08.0",
            "1-0:1.8.10"
        ];
        for (uint256 i; i < codes.length; ++i) {
            assertEq(_read(_begin("1-b:1.8.0", codes[i])).begin.importMilliWh, 12_345_600, codes[i]);
        }
    }

    function test_revert_otherRegisters() public {
        string[23] memory codes = [
            "1-b:2.8.0", // export
            "01-00:02.08.00.FF",
            "1-b:1.9.0", // time
            "01-00:00.08.06.FF",
            "01-0B:B1.08.00*FF", // losses
            "01-0B:B2.08.00*FF",
            "01-0B:B3.08.00*FF",
            "01-00:C1.08.00*FF",
            "1-0:1.8.0*198", // an earlier period
            "1-0:1.8.0*0",
            "1-0:1.7.0", // a power
            "1-0:11.8.0",
            "1-0:1.80.0",
            "7-0:1.8.0", // gas
            "11-0:1.8.0",
            "1-b",
            "1.8.0",
            "1-:1.8.0",
            "1-000:1.8.0",
            "1-0:1.8.",
            "1-0:1.8.000",
            "1-0:1.8.0*FF ",
            ""
        ];
        for (uint256 i; i < codes.length; ++i) {
            _refuse(_begin("1-b:1.8.0", codes[i]), Ocmf.Expected.BeginOrEnd);
        }
        _refuse(_begin(',"RI":"1-b:1.8.0"', ""), Ocmf.Expected.BeginOrEnd);
    }

    /// @dev The export register between two imports, as a meter of both directions has it.
    function test_read_skipsTheExportRegister() public view {
        string memory out = '{"RV":99,"RI":"1-b:2.8.0","ST":"E"}';
        string memory end = '{"TX":"E","RV":14,"RI":"1-b:1.8.0","ST":"G"}';
        Ocmf.Record memory record = _read(string.concat(HEAD, BEGIN, ",", out, ",", end, TAIL));
        assertEq(record.begin.importMilliWh, 12_345_600, "begin");
        assertEq(record.end.importMilliWh, 14e6, "end");
    }

    function test_read_theSameReadingTwice() public view {
        string memory payload = string.concat(HEAD, BEGIN, ",", BEGIN, ",", END, ",", END, TAIL);
        assertEq(_read(payload).end.importMilliWh, 23_456_700, "end");
    }

    function test_revert_twoBeginsOrTwoEnds() public {
        string memory other = vm.replace(BEGIN, "12.3456", "12.3457");
        uint256 second = FIRST + bytes(BEGIN).length + 1;
        _refuseAt(string.concat(HEAD, BEGIN, ",", other, TAIL), second, Ocmf.Expected.SameReading);
        other = vm.replace(END, "04:15", "04:16");
        second += bytes(END).length + 1;
        _refuseAt(string.concat(HEAD, BEGIN, ",", END, ",", other, TAIL), second, Ocmf.Expected.SameReading);
    }

    // The register

    function test_read_register() public view {
        string[2][14] memory cases = [
            ["0", "0"],
            ["0.0", "0"],
            ["1", "1000000"],
            ["0.000001", "1"],
            ["1.000000", "1000000"],
            ["1.0000000000", "1000000"],
            ["62500.1271", "62500127100"],
            ["18446744073709.551615", "18446744073709551615"],
            ['"       9.038"', "9038000"],
            ['"9.038       "', "9038000"],
            ['" 9.038 "', "9038000"],
            ['"00000000.000"', "0"],
            ['"00000000000000000000000001"', "1000000"],
            ['"12"', "12000000"]
        ];
        for (uint256 i; i < cases.length; ++i) {
            uint64 register = _read(_begin("12.3456", cases[i][0])).begin.importMilliWh;
            assertEq(vm.toString(register), cases[i][1], cases[i][0]);
        }
    }

    function test_revert_noPlainDecimal() public {
        string[21] memory wrong = [
            "-1",
            "-0.0",
            "1e3",
            "1.5E-1",
            "1.606848e7",
            "null",
            "true",
            "[]",
            "{}",
            '""',
            '"   "',
            '"-1"',
            '"+1"',
            '"1e3"',
            '"1,5"',
            '"1."',
            '".5"',
            '"0x10"',
            '"1 2"',
            '"1\\u0030"',
            '"000000000000000000000000001"'
        ];
        for (uint256 i; i < wrong.length; ++i) {
            _refuseAt(_begin("12.3456", wrong[i]), FIRST + 53, Ocmf.Expected.PlainDecimal);
        }
        _refuse(_begin('"RV":12.3456,', ""), Ocmf.Expected.PlainDecimal);
    }

    function test_revert_morePreciseThanOneMilliWh() public {
        _refuse(_begin("12.3456", "12.3456001"), Ocmf.Expected.WholeMilliWh);
        _refuse(vm.replace(_begin("12.3456", "12.3456"), "kWh", "Wh"), Ocmf.Expected.WholeMilliWh);
        _refuse(vm.replace(_begin("12.3456", "12.3450000001"), "kWh", "Wh"), Ocmf.Expected.WholeMilliWh);
    }

    function test_revert_registerOverflows() public {
        _refuse(_begin("12.3456", "18446744073709.551616"), Ocmf.Expected.RegisterRange);
        _refuse(_begin("12.3456", "99999999999999999999999999"), Ocmf.Expected.RegisterRange);
        _refuse(_begin("12.3456", "340282366920938463463374607431768211456"), Ocmf.Expected.PlainDecimal);
    }

    function test_revert_unit() public {
        string[6] memory wrong = ["MWh", "wh", "kwh", "sec", "kWh ", ""];
        for (uint256 i; i < wrong.length; ++i) {
            _refuseAt(_begin("kWh", wrong[i]), FIRST, Ocmf.Expected.Unit);
        }
        _refuse(_begin(',"RU":"kWh"', ""), Ocmf.Expected.Unit);
    }

    /// @dev Against a plain reference; the same energy in Wh and in kWh, as number and as text.
    function test_read_registerAgainstReference(uint64 whole, uint32 fraction, uint8 digits, uint8 shape) public {
        digits = uint8(bound(digits, 0, 9));
        bool inWh = shape & 1 == 1;
        bool quoted = shape & 2 == 2;
        whole = uint64(bound(whole, 0, 10 ** (1 + (shape >> 2) % 19)));
        fraction = uint32(bound(fraction, 0, 10 ** digits - 1));
        if (shape & 4 == 4 && digits > 0) fraction -= fraction % uint32(10 ** (digits / 2));

        string memory text = vm.toString(whole);
        if (digits > 0) {
            bytes memory padded = bytes(vm.toString(10 ** uint256(digits) + fraction));
            padded[0] = ".";
            text = string.concat(text, string(padded));
        }
        if (quoted) text = string.concat('"', shape & 8 == 8 ? "  " : "00", text, shape & 16 == 16 ? "    " : "", '"');
        string memory payload = vm.replace(_begin("12.3456", text), '"kWh"', inWh ? '"Wh"' : '"kWh"');

        // In billionths of the unit.
        uint256 exact = uint256(whole) * 1e9 + uint256(fraction) * 10 ** (9 - digits);
        uint256 perMilliWh = inWh ? 1e6 : 1e3;
        if (exact % perMilliWh != 0) _refuse(payload, Ocmf.Expected.WholeMilliWh);
        else if (exact / perMilliWh > type(uint64).max) _refuse(payload, Ocmf.Expected.RegisterRange);
        else assertEq(_read(payload).begin.importMilliWh, exact / perMilliWh, text);
    }

    // The clock

    function _timeOf(string memory time) private view returns (uint40) {
        return _read(_begin("2026-03-29T01:59:59,000+0100 S", time)).begin.time;
    }

    function test_read_stateOfTheClock() public view {
        assertEq(_timeOf("2026-03-29T01:59:59,999+0100 I"), 1_774_745_999, "informative");
        assertEq(_timeOf("2026-03-29T01:59:59,999+0100 R"), 1_774_745_999, "relative");
        assertEq(_timeOf("2026-03-29T01:59:59,999+0100 U"), 0, "unknown");
        assertEq(_timeOf("0000-00-00T99:99:99,999+9999 U"), 0, "whatever it says");
        assertEq(_timeOf("1970-01-01T01:01:49,000+0100 S"), 0, "never set");
        assertEq(_timeOf("2000-01-01T00:59:59,000+0100 S"), 0, "before 2000");
        assertEq(_timeOf("2000-01-01T01:00:00,000+0100 S"), 946_684_800, "2000");
        assertEq(_timeOf("1999-12-31T23:00:00,000-0100 S"), 946_684_800, "2000 as well");
        assertEq(_timeOf("9999-12-31T23:59:59,000+0000 S"), 253_402_300_799, "latest");
    }

    /// @dev A relative clock counts from the begin's, which nobody knows.
    function test_read_relativeToAnUnknownBegin() public view {
        string memory payload = vm.replace(_payload(), "+0100 S", "+0100 U");
        assertEq(_read(vm.replace(payload, "+0200 S", "+0200 R")).end.time, 0, "relative");
        assertEq(_read(payload).end.time, 1_774_750_500, "synchronised since");
    }

    function test_revert_time() public {
        string[13] memory wrong = [
            "2026-03-29T01:59:59,000+0100",
            "2026-03-29T01:59:59,000+0100 X",
            "2026-03-29T01:59:59,000+0100S ",
            "2026-03-29T01:59:59.000+0100 S",
            "2026-03-29 01:59:59,000+0100 S",
            "2026-3-29T01:59:59,000+00100 S",
            "2026-03-29T01:59:59,000Z0100 S",
            "2026-03-29T01:59:59,000,0100 S",
            "2026-03-29T01:59:5a,000+0100 S",
            "2026-03-29T01:59:59,00 +0100 S",
            "26-03-29T01:59:59,000+0100 S",
            "2026-03-29T01:59:59,000+0100 SS",
            ""
        ];
        for (uint256 i; i < wrong.length; ++i) {
            _refuseAt(_begin("2026-03-29T01:59:59,000+0100 S", wrong[i]), FIRST, Ocmf.Expected.Time);
        }
        _refuse(_begin('"TM":"2026-03-29T01:59:59,000+0100 S",', ""), Ocmf.Expected.Time);
    }

    function test_revert_calendarTime() public {
        string[13] memory wrong = [
            "2026-02-29T00:00:00,000+0000 S",
            "2100-02-29T00:00:00,000+0000 S",
            "2024-02-30T00:00:00,000+0000 S",
            "2026-04-31T00:00:00,000+0000 S",
            "2026-00-01T00:00:00,000+0000 S",
            "2026-13-01T00:00:00,000+0000 S",
            "2026-99-01T00:00:00,000+0000 S",
            "2026-01-00T00:00:00,000+0000 S",
            "2026-01-01T24:00:00,000+0000 S",
            "2026-01-01T00:60:00,000+0000 S",
            "2026-01-01T00:00:60,000+0000 S",
            "2026-01-01T00:00:00,000+1401 S",
            "2026-01-01T00:00:00,000-0060 S"
        ];
        for (uint256 i; i < wrong.length; ++i) {
            _refuseAt(_begin("2026-03-29T01:59:59,000+0100 S", wrong[i]), FIRST, Ocmf.Expected.CalendarTime);
        }
    }

    function _two(uint256 number) private pure returns (string memory) {
        return string.concat(number < 10 ? "0" : "", vm.toString(number));
    }

    /// @dev Against days counted year by year and month by month.
    function test_read_timeAgainstReference(uint256 year, uint256 month, uint256 day, uint256 second, int256 zone)
        public
        view
    {
        year = bound(year, 2000, 2399);
        month = bound(month, 1, 12);
        uint8[12] memory lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        if (_isLeap(year)) lengths[1] = 29;
        day = bound(day, 1, lengths[month - 1]);
        second = bound(second, 0, 86_399);
        zone = bound(zone, -14 * 60, 14 * 60);

        uint256 elapsed = day - 1;
        for (uint256 y = 1970; y < year; ++y) {
            elapsed += _isLeap(y) ? 366 : 365;
        }
        for (uint256 m = 1; m < month; ++m) {
            elapsed += lengths[m - 1];
        }
        int256 expected = int256(elapsed * 86_400 + second) - 60 * zone;
        if (expected < 946_684_800) expected = 0;

        uint256 east = uint256(zone < 0 ? -zone : zone);
        string memory text = string.concat(vm.toString(year), "-", _two(month), "-", _two(day), "T");
        text = string.concat(text, _two(second / 3600), ":", _two((second / 60) % 60), ":", _two(second % 60));
        text = string.concat(text, ",123", zone < 0 ? "-" : "+", _two(east / 60), _two(east % 60), " S");
        assertEq(_timeOf(text), uint256(expected), text);
    }

    function _isLeap(uint256 year) private pure returns (bool) {
        return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    }
}

/// @notice JSON as its grammar has it, byte by byte. What does not fit jumps behind the end.
library PlainJson {
    uint256 private constant WRONG = type(uint128).max;

    function isJson(bytes memory text) internal pure returns (bool) {
        return _skip(text, _value(text, _skip(text, 0))) == text.length;
    }

    function _at(bytes memory text, uint256 i) private pure returns (bytes1) {
        return i < text.length ? text[i] : bytes1(0);
    }

    function _skip(bytes memory text, uint256 i) private pure returns (uint256) {
        while (_at(text, i) == " " || _at(text, i) == "\t" || _at(text, i) == "\n" || _at(text, i) == "\r") ++i;
        return i;
    }

    function _value(bytes memory text, uint256 i) private pure returns (uint256) {
        bytes1 c = _at(text, i);
        if (c == '"') return _string(text, i);
        if (c == "{") return _list(text, i, "}");
        if (c == "[") return _list(text, i, "]");
        if (c == "t") return _word(text, i, "true");
        if (c == "f") return _word(text, i, "false");
        if (c == "n") return _word(text, i, "null");
        if (c == "-") c = _at(text, ++i);
        i = c == "0" ? i + 1 : _digits(text, i);
        if (_at(text, i) == ".") i = _digits(text, i + 1);
        if (_at(text, i) == "e" || _at(text, i) == "E") {
            c = _at(text, ++i);
            i = _digits(text, c == "+" || c == "-" ? i + 1 : i);
        }
        return i;
    }

    function _list(bytes memory text, uint256 i, bytes1 close) private pure returns (uint256) {
        i = _skip(text, i + 1);
        if (_at(text, i) == close) return i + 1;
        while (true) {
            if (close == "}") {
                if (_at(text, i) != '"') return WRONG;
                i = _skip(text, _string(text, i));
                if (_at(text, i) != ":") return WRONG;
                i = _skip(text, i + 1);
            }
            i = _skip(text, _value(text, i));
            if (_at(text, i) == close) return i + 1;
            if (_at(text, i) != ",") return WRONG;
            i = _skip(text, i + 1);
        }
        return WRONG;
    }

    function _string(bytes memory text, uint256 i) private pure returns (uint256) {
        while (true) {
            bytes1 c = _at(text, ++i);
            if (c == '"') return i + 1;
            if (c < 0x20) return WRONG;
            if (c != "\\") continue;
            c = _at(text, ++i);
            if (c == "u") {
                for (uint256 end = i + 4; i < end;) {
                    c = _at(text, ++i);
                    if (!(_isDigit(c) || (c >= "a" && c <= "f") || (c >= "A" && c <= "F"))) return WRONG;
                }
            } else if (c != '"' && c != "\\" && c != "/" && c != "b" && c != "f" && c != "n" && c != "r" && c != "t") {
                return WRONG;
            }
        }
        return WRONG;
    }

    function _word(bytes memory text, uint256 i, bytes memory word) private pure returns (uint256) {
        for (uint256 j; j < word.length; ++j) {
            if (_at(text, i + j) != word[j]) return WRONG;
        }
        return i + word.length;
    }

    function _isDigit(bytes1 c) private pure returns (bool) {
        return c >= "0" && c <= "9";
    }

    function _digits(bytes memory text, uint256 i) private pure returns (uint256) {
        if (!_isDigit(_at(text, i))) return WRONG;
        while (_isDigit(_at(text, i))) ++i;
        return i;
    }
}

/// @notice The text as JSON: what is JSON is read however it is written, and what is not is refused wherever it breaks.
contract OcmfJsonTest is OcmfTest {
    function _same(string memory payload) private view {
        assertEq(abi.encode(_read(payload)), abi.encode(_read(_payload())), payload);
    }

    /// @dev A member between two others of the payload, whatever its value.
    function _member(string memory member) private pure returns (string memory) {
        return vm.replace(_payload(), '"ID":""', member);
    }

    function test_read_whatADriverMayWrite() public view {
        _same(_member('"ID":"\\",\\"RD\\":[{\\"TX\\":\\"B\\",\\"RV\\":1}],\\""'));
        _same(_member('"ID":"\\"RV\\":1"'));
        _same(_member('"ID":"}]}{[|"'));
        _same(_member('"ID":"\\\\"'));
        _same(_member('"ID":"\\\\\\""'));
        _same(_member('"ID":"a\\u0022,\\u0022PG\\u0022:\\u0022T99"'));
        _same(
            _member(
                '"TT":"a tariff of more than thirty-two characters, \\"RV\\":1, and \\/ \\b\\f\\n\\r\\t after that"'
            )
        );
        _same(_member(unicode'"TT":"0,42 €/kWh, süß"'));
        _same(_member('"TT":"exactly thirty-one characters.."'));
        _same(_member('"TT":"exactly thirty-two characters..."'));
    }

    function test_read_valuesThatAreNotOurs() public view {
        _same(_member('"XX":[]'));
        _same(_member('"XX":{}'));
        _same(_member('"XX":[1,-2,0,0.5,1e5,1E+5,-1.5e-10,true,false,null,"",[],{},[[]],{"RV":1}]'));
        _same(_member('"LC":{"LN":"RV","LI":1,"LR":2,"LU":"mOhm","RD":[{"RV":"x"}],"PG":null}'));
        _same(_member('"":1'));
        _same(_member('"RVX":1'));
        _same(_member('"rv":1'));
        _same(_member('"XX":1,"XX":2'));
        _same(_member('"RV":1,"TX":"X","ST":"E"'));
        _same(vm.replace(_payload(), '"TX"', '"UC":{"UN":"No_Comp","RV":0,"TX":"E"},"PG":"T1","TX"'));
    }

    function test_revert_tooDeep() public {
        _same(_member('"XX":[[[[[[[[]]]]]]]]'));
        _refuse(_member('"XX":[[[[[[[[[]]]]]]]]]'), Ocmf.Expected.Nesting);
        _refuse(_member('"XX":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{}}}}}}}}}'), Ocmf.Expected.Nesting);
    }

    function test_revert_aNameTwice() public {
        string[4] memory top = ['"PG":"T12"', '"MS":"M0042"', '"GS":"GW7"', '"RD":[]'];
        for (uint256 i; i < top.length; ++i) {
            _refuse(string.concat(vm.replace(_payload(), TAIL, "],"), top[i], "}"), Ocmf.Expected.NewName);
        }
        string[7] memory fields =
            ['"TM":""', '"TX":"B"', '"RV":12.3456', '"RI":"1-b:1.8.0"', '"RU":"kWh"', '"EF":""', '"ST":"G"'];
        for (uint256 i; i < fields.length; ++i) {
            string memory twice = string.concat('"ST":"G",', fields[i], "}");
            if (i == 6) twice = '"ST":"G","ST":"G"}';
            _refuse(_begin('"ST":"G"}', twice), Ocmf.Expected.NewName);
        }
        _refuse(vm.replace(_payload(), '"ID"', '"PG" : "T12", "ID"'), Ocmf.Expected.NewName);
    }

    function test_revert_namesWithEscapes() public {
        _refuseAt(_member('"R\\u0056":1'), 68, Ocmf.Expected.Name);
        _refuse(_member('"\\"":1'), Ocmf.Expected.Name);
        _refuse(_member('"XX":{"\\u0052V":1}'), Ocmf.Expected.Name);
    }

    function test_revert_noJson() public {
        _refuseAt("", 0, Ocmf.Expected.Object);
        _refuseAt("[]", 0, Ocmf.Expected.Object);
        _refuseAt("{}", 1, Ocmf.Expected.Name);
        _refuse('{"data":"..."}', Ocmf.Expected.Pagination);
        _refuse('{"FV":"1.2","PG":"T1","RD":[]}', Ocmf.Expected.Reading);
        _refuse('{"FV":"1.2","PG":"T1"}', Ocmf.Expected.BeginOrEnd);
        _refuse(vm.replace(_payload(), BEGIN, "{}"), Ocmf.Expected.Name);
        _refuse(vm.replace(_payload(), BEGIN, "[]"), Ocmf.Expected.Reading);
        _refuse(vm.replace(_payload(), string.concat(END, TAIL), TAIL), Ocmf.Expected.Reading);
        _refuse(vm.replace(_payload(), TAIL, "]},"), Ocmf.Expected.End);
        _refuse(vm.replace(_payload(), TAIL, "]}}"), Ocmf.Expected.End);
        _refuse(string.concat(_payload(), _payload()), Ocmf.Expected.End);
        _refuse(vm.replace(_payload(), '"RD":[', '"RD":{'), Ocmf.Expected.Reading);
        _refuse(vm.replace(_payload(), TAIL, "],}"), Ocmf.Expected.Name);
        // Not a name, though our table has a free place for it.
        _refuse(_member('"""":"x"'), Ocmf.Expected.Colon);
        _refuse(_member('"X"":"x"'), Ocmf.Expected.Colon);
    }

    function test_revert_noJsonValue() public {
        string[29] memory wrong = [
            "",
            "tru",
            "True",
            "nul",
            "undefined",
            "truex",
            "01",
            "00",
            "-",
            "-01",
            "+1",
            "1.",
            ".5",
            "1.e5",
            "1e",
            "1e+",
            "0x1",
            "1 2",
            "'a'",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1}",
            "[",
            '{"a"}',
            '{"a":1,}',
            '{"a":1]',
            "{a:1}",
            "{1:1}"
        ];
        for (uint256 i; i < wrong.length; ++i) {
            string memory payload = _member(string.concat('"XX":', wrong[i]));
            vm.expectPartialRevert(Ocmf.Unreadable.selector);
            _read(payload);
            // The register is read by a way of its own.
            payload = _begin("12.3456", wrong[i]);
            vm.expectPartialRevert(Ocmf.Unreadable.selector);
            _read(payload);
        }
    }

    function test_revert_strings() public {
        _refuseAt(_member('"ID":"\\x"'), 72, Ocmf.Expected.Escape);
        _refuse(_member('"ID":"\\u12g4"'), Ocmf.Expected.Escape);
        _refuse(_member('"ID":"\\u12"'), Ocmf.Expected.Escape);
        _refuse(_member('"ID":"\\U0022"'), Ocmf.Expected.Escape);
        for (uint256 i; i < 32; ++i) {
            bytes memory control = bytes('"ID":"a b"');
            control[7] = bytes1(uint8(i));
            _refuseAt(_member(string(control)), 73, Ocmf.Expected.Character);
        }
    }

    /// @dev Whatever is left of a payload is refused, and so it is with the missing bytes right behind it.
    function test_revert_cutAnywhere() public {
        bytes memory payload = bytes(_payload());
        for (uint256 length; length < payload.length; ++length) {
            vm.expectPartialRevert(Ocmf.Unreadable.selector);
            harness.read(payload, length);
            bytes memory cut = new bytes(length);
            for (uint256 i; i < length; ++i) {
                cut[i] = payload[i];
            }
            vm.expectPartialRevert(Ocmf.Unreadable.selector);
            harness.read(cut, length);
        }
    }

    function test_read_whateverFollowsThePayload(bytes memory rest) public view {
        bytes memory payload = bytes(_payload());
        Ocmf.Record memory record = harness.read(bytes.concat(payload, rest), payload.length);
        assertEq(abi.encode(record), abi.encode(_read(_payload())), "same");
        harness.read(bytes.concat(payload, " ", " ", rest), payload.length + 1);
    }

    /// @dev With one byte changed, what is read is JSON to another reader too.
    /// forge-config: default.fuzz.runs = 2000
    function test_read_onlyJson(uint256 where, uint8 byte_) public view {
        bytes memory payload = bytes(
            vm.replace(_payload(), '"ID":""', '"IF":["A", "B\\n"],"LC":{"LI":-1.5e3,"x":null},"ID":"a\\u00e4b\\\\"')
        );
        where = bound(where, 0, payload.length - 1);
        payload[where] = bytes1(byte_);
        try harness.read(payload, payload.length) {
            assertTrue(PlainJson.isJson(payload), string(payload));
        } catch (bytes memory reason) {
            assertEq(bytes4(reason), Ocmf.Unreadable.selector, "refused with a reason");
        }
    }

    /// @dev Never an end but a record or the one error, in a bounded number of steps.
    function test_read_anything(bytes memory data) public view {
        try harness.read(data, data.length) {
            assertTrue(false, "no record");
        } catch (bytes memory reason) {
            assertEq(bytes4(reason), Ocmf.Unreadable.selector, "refused with a reason");
        }
    }

    function _shuffle(string[] memory parts, uint256 seed) private pure {
        for (uint256 i = parts.length - 1; i > 0; --i) {
            uint256 j = uint256(keccak256(abi.encode(seed, i))) % (i + 1);
            (parts[i], parts[j]) = (parts[j], parts[i]);
        }
    }

    function _blank(uint256 seed, uint256 i) private pure returns (string memory) {
        string[6] memory blanks = ["", "", " ", "\n  ", "\t", "\r\n"];
        return blanks[uint256(keccak256(abi.encode(seed, "blank", i))) % 6];
    }

    /// @dev Every `~` stands for white space.
    function _spread(string memory text, uint256 seed) private pure returns (string memory spread) {
        string[] memory parts = vm.split(text, "~");
        spread = parts[0];
        for (uint256 i = 1; i < parts.length; ++i) {
            spread = string.concat(spread, _blank(seed, i), parts[i]);
        }
    }

    function _join(string[] memory parts) private pure returns (string memory joined) {
        joined = parts[0];
        for (uint256 i = 1; i < parts.length; ++i) {
            joined = string.concat(joined, "~,~", parts[i]);
        }
    }

    function test_read_anyOrderAndWhiteSpace(uint256 seed) public view {
        string[] memory begin = new string[](8);
        begin[0] = '"TM"~:~"2026-03-29T01:59:59,000+0100 S"';
        begin[1] = '"TX"~:~"B"';
        begin[2] = '"RV"~:~12.3456';
        begin[3] = '"RI"~:~"1-b:1.8.0"';
        begin[4] = '"RU"~:~"kWh"';
        begin[5] = '"EF"~:~""';
        begin[6] = '"ST"~:~"G"';
        begin[7] = '"UC"~:~{~"UI"~:~2~,~"UR"~:~[~0~,~1~]~}';
        _shuffle(begin, seed);
        string[] memory end = new string[](3);
        end[0] = '"TM"~:~"2026-03-29T04:15:00,000+0200 S"';
        end[1] = '"TX"~:~"E"';
        end[2] = '"RV"~:~"23.4567"';
        _shuffle(end, seed ^ 1);
        string[] memory members = new string[](7);
        members[0] = '"PG"~:~"T12"';
        members[1] = '"MS"~:~"M0042"';
        members[2] = '"GS"~:~"GW7"';
        members[3] = '"IS"~:~true';
        members[4] = '"IF"~:~[~"RFID_PLAIN"~,~"OCPP_NONE"~]';
        members[5] = '"ID"~:~"\\"RV\\":1"';
        members[6] = string.concat('"RD"~:~[~{~', _join(begin), "~}~,~{~", _join(end), "~}~]");
        _shuffle(members, seed ^ 2);
        _same(_spread(string.concat("~{~", _join(members), "~}~"), seed));
    }
}

/// @notice Gas, on a record of the usual shape.
/// forge-config: default.isolate = true
contract OcmfGasTest is OcmfTest {
    function test_gas_ocmfRead() public {
        string memory head = string.concat(
            '{"FV":"1.0","GI":"PROVOLT TEST","GS":"17619300","GV":"2.8.5","PG":"T32","IS":false,"IL":"NONE",',
            '"IF":["RFID_NONE","OCPP_NONE","ISO15118_NONE","PLMN_NONE"],"IT":"NONE","ID":"","RD":['
        );
        string memory begin =
            '{"TM":"2019-08-13T10:03:15,000+0000 I","TX":"B","EF":"","ST":"G","RV":0.2596,"RI":"1-b:1.8.0","RU":"kWh"}';
        string memory end =
            '{"TM":"2019-08-13T10:03:36,000+0000 R","TX":"E","EF":"","ST":"G","RV":0.2597,"RI":"1-b:1.8.0","RU":"kWh"}';
        bytes memory payload = bytes(string.concat(head, begin, ",", end, TAIL));
        assertEq(payload.length, 393, "bytes");
        vm.snapshotValue("Provolt", "ocmfRead", harness.gasOfRead(payload));
        assertEq(harness.read(payload, payload.length).end.importMilliWh, 259_700, "read");
    }
}
