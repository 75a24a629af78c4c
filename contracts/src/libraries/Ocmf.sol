// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {P256} from "@openzeppelin/contracts/utils/cryptography/P256.sol";

/// @title Open Charge Metering Format: reading a meter's signed record, and checking who signed it
/// @notice A record is `OCMF|payload|signature`. What is signed is the payload, byte for byte. It is JSON with names of two
/// letters; its readings are the objects in `RD`, and a reading leaves out what the one before it has said already.
///
/// A driver chooses some of the text (`ID`, `TT`), so nothing is searched for: the payload is scanned as strict JSON from the
/// first byte to the last. Text that is not JSON is refused, and so is what two programs could read differently: a name of
/// ours given twice or spelled with escapes, and two begins or two ends that differ. Only the validity of UTF-8 is not
/// checked: it cannot move a quote.
///
/// `p`, `pos` and `next` are offsets in calldata. Only the last one is compared with the payload's end: they never shrink,
/// calldata ends in zeros, and no zero is JSON. So if the record ends where the payload ends, no byte behind it was used.
/// Nothing is checked for overflow, for the same reason.
///
/// Thirty-two bytes are looked at together: 0x80 in a byte answers a question about that byte, and counting leading zeros
/// (the opcode is as young as the precompile for P-256) finds the first. Adding to seven bits never reaches the next byte.
///
/// A record of 400 bytes with both ends costs about 24,000 gas: some 430 for each of its 20 members with a text, 5,000 for
/// the five others, and 2,000 for each reading's meaning.
library Ocmf {
    /// @dev What should have been at the offset where the payload was given up.
    enum Expected {
        Object, // the payload is one object
        Name, // in quotes, without escapes
        NewName, // one that its object has not had yet
        Colon,
        Value,
        Digit,
        Character, // a string has no control characters
        Escape, // one that JSON has
        Separator, // a comma, or what closes the array or the object
        Nesting, // no deeper than MAX_NESTING
        Reading, // RD is an array of objects, one at least
        End, // no more, and no less, than a record
        Pagination, // T or F and a number
        Serial, // a text
        NoException, // TX is not X, from which on neither energy nor time can be relied upon
        GoodStatus, // ST is G
        NoErrorFlag, // EF is empty
        Unit, // kWh or Wh
        PlainDecimal, // digits, or digits, a point and digits: no sign, no exponent
        WholeMilliWh, // no more precise than 1 mWh
        RegisterRange, // what 64 bits hold in mWh
        Time, // date, time, zone and state of the clock, as the format writes them
        CalendarTime, // one that exists
        SameReading, // as the earlier reading of the same end of the session
        BeginOrEnd // one reading of the billing register at an end of the session, at least
    }

    /// @dev What the billing register said at one end of a session.
    struct Entry {
        uint64 importMilliWh;
        uint40 time; // unix seconds; zero if the clock was not set, and then nothing follows from it
    }

    struct Record {
        bool fiscal; // pagination series F instead of T; each counts on its own
        uint64 counter; // pagination: rises with every record of the series, which is what stops replay
        bytes32 serialHash; // keccak256 of the meter's serial number as spelled, or else the gateway's; zero without either
        bool hasBegin;
        bool hasEnd;
        Entry begin;
        Entry end;
    }

    /// @notice The payload cannot be used.
    /// @param offset Where in the payload; past its end if that comes too early.
    error Unreadable(uint256 offset, Expected expected);

    /// @dev Of arrays and objects below a member. The format's own nest one deep; vendors' fields get some room.
    uint256 internal constant MAX_NESTING = 8;
    /// @dev With six decimals they fill a word. 64 bits in mWh are 17 digits of Wh; some meters pad with zeros.
    uint256 internal constant MAX_WHOLE_DIGITS = 26;
    /// @dev Any number of so many digits fits 64 bits.
    uint256 internal constant MAX_COUNTER_DIGITS = 19;
    /// @dev 2000-01-01. A clock that was never set counts from 1970.
    uint256 internal constant CLOCKS_SET_SINCE = 946_684_800;
    /// @dev In minutes: no zone is further from Greenwich than 14 hours.
    uint256 internal constant MAX_ZONE = 840;

    uint256 private constant QUOTE = 0x22;
    uint256 private constant BACKSLASH = 0x5c;
    uint256 private constant COMMA = 0x2c;
    uint256 private constant COLON = 0x3a;
    uint256 private constant POINT = 0x2e;
    uint256 private constant OPEN_ARRAY = 0x5b;
    uint256 private constant CLOSE_ARRAY = 0x5d;
    uint256 private constant OPEN_OBJECT = 0x7b;
    uint256 private constant CLOSE_OBJECT = 0x7d;

    /// @dev `"XY":"` and `"XY" : "`: which bits never change if X and Y are from 0x40 to 0x7f, and what they are.
    uint256 private constant TIGHT_FRAME = 0xffc0c0ffffff0000000000000000000000000000000000000000000000000000;
    uint256 private constant TIGHT_MARKS = 0x224040223a220000000000000000000000000000000000000000000000000000;
    uint256 private constant SPACED_FRAME = 0xffc0c0ffffffffff000000000000000000000000000000000000000000000000;
    uint256 private constant SPACED_MARKS = 0x22404022203a2022000000000000000000000000000000000000000000000000;

    uint256 private constant LOW = 0x7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f;
    uint256 private constant HIGH = 0x8080808080808080808080808080808080808080808080808080808080808080;
    uint256 private constant ZEROS = 0x3030303030303030303030303030303030303030303030303030303030303030;
    uint256 private constant SPACES = 0x2020202020202020202020202020202020202020202020202020202020202020;
    uint256 private constant BACKSLASHES = 0x5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c;
    /// @dev Swaps the quote with the space, the neighbour of the control characters: then all that end plain text are
    /// below 0x21, but the backslash.
    uint256 private constant QUOTE_TO_SPACE = 0x0202020202020202020202020202020202020202020202020202020202020202;
    /// @dev Adding 0x80 − 0x21 or 0x80 − 10 sets 0x80 from there on.
    uint256 private constant FROM_0X21 = 0x5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f;
    uint256 private constant FROM_10 = 0x7676767676767676767676767676767676767676767676767676767676767676;

    /// @dev The table `t` of 16 words keeps where each field's value is. A field's place is 137 · name / 256 mod 16, where
    /// no two of our names meet; a value stays there until a later reading has its own. NAMES has the name of each place,
    /// lowest first, or zero, which belongs elsewhere. Three free places hold where the payload starts, the result, and what
    /// RV came to.
    uint256 private constant NAMES = 0x52550000544d000047530000524900005354524450470000545845464d535256;
    /// @dev Which places the members of the payload and those of a reading have: the lowest bit of each.
    uint256 private constant OF_RECORD = 0x0000000000000000000100000000000000000001000100000000000000010000;
    uint256 private constant OF_READING = 0x0001000000010000000000000001000000010000000000000001000100000001;
    uint256 private constant OF_RD = 1 << 96;
    uint256 private constant OF_RV = 1;
    /// @dev The two of which it is not enough to know where they are.
    uint256 private constant READ_AT_ONCE = 0x1000000000000000000000001;
    uint256 private constant TABLE_BYTES = 0x200;
    uint256 private constant RV = 0x000;
    uint256 private constant MS = 0x020;
    uint256 private constant EF = 0x040;
    uint256 private constant TX = 0x060;
    uint256 private constant START = 0x080;
    uint256 private constant PG = 0x0a0;
    uint256 private constant ST = 0x0e0;
    uint256 private constant RESULT = 0x100;
    uint256 private constant RI = 0x120;
    uint256 private constant REGISTER = 0x140;
    uint256 private constant GS = 0x160;
    uint256 private constant TM = 0x1a0;
    uint256 private constant RU = 0x1e0;

    /// @dev What may follow a backslash, each at its bit: quote, slash, backslash, b, f, n, r, t.
    uint256 private constant ESCAPES =
        (1 << 0x22) | (1 << 0x2f) | (1 << 0x5c) | (1 << 0x62) | (1 << 0x66) | (1 << 0x6e) | (1 << 0x72) | (1 << 0x74);

    /// @dev The letters of TX at an end, each at its bit: ended (E), locally (L), remotely (R), aborted (A), power failed (P).
    uint256 private constant ENDS = (1 << 0x45) | (1 << 0x4c) | (1 << 0x52) | (1 << 0x41) | (1 << 0x50);

    /// @dev `"____-__-__T__:__:__,___+____ S"` is a word: which bytes never change, what they are, and which are digits.
    uint256 private constant TIME_FRAME = 0xff00000000ff0000ff0000ff0000ff0000ff0000ff0000000000000000ff00ff;
    uint256 private constant TIME_MARKS = 0x22000000002d00002d00005400003a00003a00002c0000000000000000200022;
    uint256 private constant TIME_DIGITS = 0x00ffffffff00ffff00ffff00ffff00ffff00ffff00ffffff00ffffffff000000;
    /// @dev The days of each month, in the byte of its number.
    uint256 private constant MONTHS = 0x001f1c1f1e1f1e1f1f1e1f1e1f00000000000000000000000000000000000000;
    /// @dev From 0000-02-29, 400 years on, to 1970-01-01.
    uint256 private constant EPOCH_DAY = 865_566;

    /// @notice Whether the key (qx, qy) on secp256r1 signed the payload.
    /// @dev Half of all meters' signatures have a high s, which the library refuses. Both forms of a signature are accepted:
    /// the counter stops replay, never the signature.
    function isSignedP256(bytes calldata payload, bytes32 qx, bytes32 qy, bytes32 r, bytes32 s)
        internal
        view
        returns (bool)
    {
        if (uint256(s) > P256.N / 2 && uint256(s) < P256.N) s = bytes32(P256.N - uint256(s));
        return P256.verifyNative(sha256(payload), r, s, qx, qy);
    }

    /// @notice Whether the key (qx, qy) on secp256k1 signed the payload.
    /// @dev A record does not say which of the two keys that fit its signature to recover.
    function isSignedK1(bytes calldata payload, bytes32 qx, bytes32 qy, bytes32 r, bytes32 s)
        internal
        pure
        returns (bool)
    {
        bytes32 digest = sha256(payload);
        address signer = address(uint160(uint256(keccak256(abi.encode(qx, qy)))));
        return ecrecover(digest, 27, r, s) == signer || ecrecover(digest, 28, r, s) == signer;
    }

    /// @notice Reads a payload: whose meter, which of its records, and the billing register at the ends of a session.
    /// @dev A reading counts if its register is that of energy taken from the grid (see `_isBilling`) and its TX is a begin
    /// or an end. Readings of that register in between must be as sound as those at the ends.
    ///
    /// Clocks: S, I and R are believed. A time places a record in a session and is not billed; a clock that is set but not
    /// verified (I) will do for that, and so will a verified duration counted from such a clock (R). U is not believed, nor
    /// is R in a record whose begin is not.
    function read(bytes calldata payload) internal pure returns (Record memory record) {
        uint256 t;
        uint256 p;
        uint256 end;
        assembly ("memory-safe") {
            t := mload(0x40)
            mstore(0x40, add(t, TABLE_BYTES))
            calldatacopy(t, calldatasize(), TABLE_BYTES) // zeros
            p := payload.offset
            end := add(p, payload.length)
            mstore(add(t, START), p)
            mstore(add(t, RESULT), record)
        }
        p = _blank(p);
        if (_byte(p) != OPEN_OBJECT) _fail(t, p, Expected.Object);
        p = _members(t, p, OF_RECORD);
        if (p > end || _blank(p) < end) _fail(t, p, Expected.End);

        (record.fiscal, record.counter) = _pagination(t);
        record.serialHash = _serialHash(t);
        if (!record.hasBegin && !record.hasEnd) _fail(t, end, Expected.BeginOrEnd);
    }

    /// @dev Reads the object at p and returns what follows it. Keeps where the values of the given names are, reads RD, and
    /// only checks everything else.
    function _members(uint256 t, uint256 p, uint256 names) private pure returns (uint256) {
        unchecked {
            uint256 seen;
            while (true) {
                uint256 mark;
                // Most members are `"XY":"value",` in 38 bytes, without escapes, and some meters put spaces around the colon.
                // These are passed here, up to the first that is not, or the end of the object.
                assembly ("memory-safe") {
                    p := add(p, 1)
                    for {} iszero(mark) {} {
                        let word := calldataload(p)
                        let pos := add(p, 5)
                        if xor(and(word, TIGHT_FRAME), TIGHT_MARKS) {
                            if xor(and(word, SPACED_FRAME), SPACED_MARKS) { break }
                            pos := add(p, 7)
                        }
                        let name := and(shr(232, word), 0xffff)
                        // From the backslash (0x5c) on.
                        if and(add(name, 0x2424), 0x8080) { break }
                        word := calldataload(add(pos, 1))
                        let low := and(word, LOW)
                        low := and(add(xor(low, QUOTE_TO_SPACE), FROM_0X21), add(xor(low, BACKSLASHES), LOW))
                        let end := clz(and(not(or(low, word)), HIGH))
                        // The two bytes there, or zero if the word has no two.
                        low := and(shr(sub(240, end), word), 0xffff)
                        let closing := xor(low, 0x222c)
                        if closing { if xor(low, 0x227d) { break } }

                        let lane := and(shr(4, mul(name, 137)), 0xf0)
                        low := and(shl(lane, eq(and(shr(lane, NAMES), 0xffff), name)), names)
                        if low {
                            if and(or(seen, READ_AT_ONCE), low) { break }
                            seen := or(seen, low)
                            mstore(add(t, shl(1, lane)), pos)
                        }
                        mark := closing
                        p := add(add(pos, 3), shr(3, end))
                    }
                }
                if (mark != 0) return p;
                (p, seen) = _member(t, p, names, seen);
                mark = _byte(p);
                if (mark < 0x21) {
                    p = _blank(p);
                    mark = _byte(p);
                }
                if (mark == CLOSE_OBJECT) return p + 1;
                if (mark != COMMA) _fail(t, p, Expected.Separator);
            }
            return 0; // never reached
        }
    }

    /// @dev Reads a member of any form and returns what follows its value.
    function _member(uint256 t, uint256 p, uint256 names, uint256 seen) private pure returns (uint256, uint256) {
        uint256 name;
        uint256 pos;
        bool usual;
        assembly ("memory-safe") {
            // `"XY":` and no white space
            let word := calldataload(p)
            name := and(shr(232, word), 0xffff)
            usual := or(and(add(name, 0x2424), 0x8080), lt(byte(5, word), 0x21))
            usual := iszero(or(usual, xor(and(shr(216, word), 0xffc0c0ffff), 0x224040223a)))
            pos := add(p, 5)
        }
        if (!usual) (name, pos) = _name(t, p);
        uint256 bit;
        assembly ("memory-safe") {
            let lane := and(shr(4, mul(name, 137)), 0xf0)
            bit := and(shl(lane, eq(and(shr(lane, NAMES), 0xffff), name)), names)
            if and(bit, not(seen)) { mstore(add(t, shl(1, lane)), pos) }
        }
        if ((seen & bit) != 0) _fail(t, p, Expected.NewName);
        seen |= bit;
        if (bit == OF_RV) return (_register(t, pos), seen);
        if (bit == OF_RD) return (_readings(t, pos), seen);
        return (_value(t, pos, 0), seen);
    }

    /// @dev Reads RD.
    function _readings(uint256 t, uint256 p) private pure returns (uint256) {
        unchecked {
            if (_byte(p) != OPEN_ARRAY) _fail(t, p, Expected.Reading);
            while (true) {
                p = _blank(p + 1);
                if (_byte(p) != OPEN_OBJECT) _fail(t, p, Expected.Reading);
                // The one field that is not taken over from the reading before.
                assembly ("memory-safe") {
                    mstore(add(t, RV), 0)
                }
                uint256 next = _blank(_members(t, p, OF_READING));
                _reading(t, p);
                uint256 mark = _byte(next);
                if (mark == CLOSE_ARRAY) return next + 1;
                if (mark != COMMA) _fail(t, next, Expected.Separator);
                p = next;
            }
            return 0; // never reached
        }
    }

    /// @dev Takes the reading at p, whose fields are in the table, into the record, if it counts.
    function _reading(uint256 t, uint256 p) private pure {
        unchecked {
            uint256 reason = _field(t, TX) >> 232; // `"B"`
            reason = (reason & 0xff00ff) == 0x220022 ? (reason >> 8) & 0xff : 0;
            if (reason == 0x58) _fail(t, p, Expected.NoException);
            uint256 code = _field(t, RI);
            // The spelling of the format's own example, `"1-b:1.8.0"`, saves the long way.
            if (code >> 168 != 0x22312d623a312e382e3022 && !_isBilling(code)) return;
            if (_field(t, ST) >> 232 != 0x224722) _fail(t, p, Expected.GoodStatus);
            uint256 flags = _field(t, EF) >> 240;
            if (flags != 0x2222 && flags != 0) _fail(t, p, Expected.NoErrorFlag);

            bool begins = reason == 0x42;
            if (!begins && (ENDS >> reason) & 1 == 0) return;
            Record memory record;
            assembly ("memory-safe") {
                record := mload(add(t, RESULT))
            }
            (uint256 time, bool relative) = _time(t, p);
            // A clock relative to a begin that is not known.
            if (relative && record.hasBegin && record.begin.time == 0) time = 0;
            uint256 milliWh = _milliWh(t, p);
            Entry memory entry = begins ? record.begin : record.end;
            if (begins ? record.hasBegin : record.hasEnd) {
                bool same = entry.importMilliWh == milliWh && entry.time == time;
                if (!same) _fail(t, p, Expected.SameReading);
            }
            if (begins) record.hasBegin = true;
            else record.hasEnd = true;
            entry.importMilliWh = uint64(milliWh);
            entry.time = uint40(time);
        }
    }

    /// @dev Where a field's value is, or the payload without the field.
    function _position(uint256 t, uint256 place) private pure returns (uint256 pos) {
        assembly ("memory-safe") {
            pos := mload(add(t, place))
            if iszero(pos) { pos := mload(add(t, START)) }
        }
    }

    /// @dev The first 32 bytes of a field's value, with its quote if it is a string; zero without the field.
    function _field(uint256 t, uint256 place) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            let pos := mload(add(t, place))
            word := mul(iszero(iszero(pos)), calldataload(pos))
        }
    }

    /// @dev Whether an OBIS code, A-B:C.D.E, names the billing register: electricity (A = 1), whatever channel (B), energy
    /// taken from the grid (C = 1), a register rather than a power or a time (D = 8), in total or of one tariff (E). A
    /// sixth part names an earlier billing period unless it is FF, 255. Meters write `1-b:1.8.0`, `01-00:01.08.00.FF`,
    /// `01-0B:01.08.00*FF`, `1-b:1.8.e`. Losses and registers of the transaction have letters in C.
    function _isBilling(uint256 word) private pure returns (bool billing) {
        assembly ("memory-safe") {
            // Drops the quote and, here and below, a leading zero.
            word := shl(8, word)
            word := shl(shl(3, eq(byte(0, word), 0x30)), word)
            billing := eq(shr(240, word), 0x312d) // `1-`
            word := shl(16, word)
            // B: one or two characters, which digits and letters are, and neither quotes nor points.
            let two := iszero(eq(byte(1, word), COLON))
            billing := and(billing, gt(byte(0, word), 0x2f))
            billing := and(billing, or(iszero(two), gt(byte(1, word), 0x2f)))
            word := shl(add(8, shl(3, two)), word)
            billing := and(billing, eq(byte(0, word), COLON))
            word := shl(8, word)
            word := shl(shl(3, eq(byte(0, word), 0x30)), word)
            billing := and(billing, eq(shr(240, word), 0x312e)) // `1.`
            word := shl(16, word)
            word := shl(shl(3, eq(byte(0, word), 0x30)), word)
            billing := and(billing, eq(shr(240, word), 0x382e)) // `8.`
            word := shl(16, word)
            // E
            two := gt(byte(1, word), 0x2f)
            billing := and(billing, gt(byte(0, word), 0x2f))
            word := shl(add(8, shl(3, two)), word)
            let mark := byte(0, word)
            if iszero(eq(mark, QUOTE)) {
                billing := and(billing, or(eq(mark, 0x2a), eq(mark, POINT))) // `*` or `.`
                mark := and(shr(216, word), 0xffffffff)
                let all := or(eq(shr(8, mark), 0x464622), eq(shr(8, mark), 0x666622)) // `FF"`, `ff"`
                billing := and(billing, or(all, eq(mark, 0x32353522))) // `255"`
            }
        }
    }

    /// @dev Reads the value of RV at p, a number or a text with spaces around one, and returns what follows it. Millionths
    /// of the unit go into the table, times four, with 1 if they are the whole truth of a plain decimal, and 2 if a digit
    /// beyond them is lost. Any other value is only checked: nobody may ever need it.
    function _register(uint256 t, uint256 p) private pure returns (uint256 next) {
        uint256 digits;
        bool plain;
        bool lost;
        assembly ("memory-safe") {
            let word := calldataload(p)
            let quoted := eq(byte(0, word), QUOTE)
            next := p
            if quoted {
                next := add(next, add(1, shr(3, clz(xor(calldataload(add(p, 1)), SPACES)))))
                word := calldataload(next)
            }
            let value := xor(word, ZEROS)
            let others := and(or(add(and(value, LOW), FROM_10), value), HIGH)
            // The number of bits before the point, and before what follows.
            let whole := clz(others)
            let end := whole
            // JSON's numbers have no leading zeros.
            plain := and(gt(whole, 0), or(or(quoted, eq(whole, 8)), gt(byte(0, value), 0)))
            if eq(byte(shr(3, whole), word), POINT) {
                let from := add(whole, 8)
                end := clz(and(others, shr(from, not(0))))
                value := and(value, not(shr(end, not(0))))
                let fraction := shl(from, value)
                lost := iszero(iszero(shl(48, fraction)))
                plain := and(plain, gt(end, from))
                digits := shr(208, fraction)
            }
            digits := or(shl(48, shr(sub(256, whole), value)), digits)

            next := add(next, shr(3, end))
            let mark := byte(0, calldataload(next))
            if quoted {
                next := add(next, shr(3, clz(xor(calldataload(next), SPACES))))
                mark := byte(0, calldataload(next))
                next := add(next, 1)
                plain := and(plain, eq(mark, QUOTE))
            }
            // Behind the digits of a number JSON has nothing else but an exponent.
            plain := and(plain, iszero(eq(or(mark, 0x20), 0x65)))
            plain := and(plain, and(lt(end, 256), iszero(gt(whole, mul(8, MAX_WHOLE_DIGITS)))))
        }
        uint256 register;
        if (plain) register = (_decimal(digits) << 2) | (lost ? 3 : 1);
        else next = _value(t, p, 0);
        assembly ("memory-safe") {
            mstore(add(t, REGISTER), register)
        }
    }

    /// @dev The register of the reading at p in mWh.
    function _milliWh(uint256 t, uint256 p) private pure returns (uint64) {
        unchecked {
            uint256 pos;
            uint256 value;
            assembly ("memory-safe") {
                pos := mload(add(t, RV))
                value := mload(add(t, REGISTER))
            }
            if (pos == 0) _fail(t, p, Expected.PlainDecimal);
            if (value & 1 == 0) _fail(t, pos, Expected.PlainDecimal);
            bool whole = value & 2 == 0;
            value >>= 2;
            uint256 unit = _field(t, RU);
            if (unit >> 216 != 0x226b576822) {
                // `"kWh"`, `"Wh"`
                if (unit >> 224 != 0x22576822) _fail(t, p, Expected.Unit);
                if (value % 1000 != 0) whole = false;
                value /= 1000;
            }
            if (!whole) _fail(t, pos, Expected.WholeMilliWh);
            if (value > type(uint64).max) _fail(t, pos, Expected.RegisterRange);
            return uint64(value);
        }
    }

    /// @dev The time of the reading at p, zero if the clock was not set, and whether it is relative to the begin's.
    function _time(uint256 t, uint256 p) private pure returns (uint256 time, bool relative) {
        uint256 pairs;
        uint256 sign;
        uint256 state;
        bool framed;
        assembly ("memory-safe") {
            let word := calldataload(mload(add(t, TM)))
            let value := and(xor(word, ZEROS), TIME_DIGITS)
            let others := and(or(add(and(value, LOW), FROM_10), value), and(TIME_DIGITS, HIGH))
            sign := sub(byte(24, word), 0x2b) // `+` 0, `-` 2
            state := byte(30, word)
            framed := and(
                iszero(or(others, xor(and(word, TIME_FRAME), TIME_MARKS))),
                and(iszero(and(sign, not(2))), eq(and(shr(sub(state, 0x49), 0x1601), 1), 1))
            )
            framed := and(framed, iszero(iszero(mload(add(t, TM)))))
            // Each byte with ten times the one before it.
            pairs := add(value, mul(10, shr(8, value)))
        }
        if (!framed) _fail(t, p, Expected.Time);
        if (state == 0x55) return (0, false); // U
        relative = state == 0x52; // R

        bool exists;
        // Years begin in March here, so that a leap day is the last; 400 years are 146,097 days.
        assembly ("memory-safe") {
            let year := add(mul(100, byte(2, pairs)), byte(4, pairs))
            let month := byte(7, pairs)
            let day := byte(10, pairs)
            let leap := iszero(and(year, or(3, mul(12, iszero(mod(year, 25))))))
            let last := add(byte(month, MONTHS), and(leap, eq(month, 2)))
            exists := and(lt(sub(day, 1), last), lt(byte(13, pairs), 24))
            exists := and(exists, and(lt(byte(16, pairs), 60), lt(byte(19, pairs), 60)))
            let zone := add(mul(60, byte(26, pairs)), byte(28, pairs))
            exists := and(exists, and(lt(byte(28, pairs), 60), iszero(gt(zone, MAX_ZONE))))

            let early := lt(month, 3)
            year := sub(add(year, 400), early)
            month := sub(add(month, mul(12, early)), 3)
            day := add(day, div(add(mul(153, month), 2), 5))
            day := add(day, sub(add(mul(365, year), div(year, 4)), sub(div(year, 100), div(year, 400))))
            // Minutes east of Greenwich are taken off, those west of it are added.
            let minutes := add(mul(60, byte(13, pairs)), byte(16, pairs))
            minutes := add(minutes, mul(sub(sign, 1), zone))
            time := add(mul(86400, sub(day, EPOCH_DAY)), add(mul(60, minutes), byte(19, pairs)))
            time := mul(time, sgt(time, sub(CLOCKS_SET_SINCE, 1)))
        }
        if (!exists) _fail(t, p, Expected.CalendarTime);
    }

    function _at(uint256 word, uint256 i) private pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := byte(i, word)
        }
    }

    /// @dev `"T123"` or `"F123"`.
    function _pagination(uint256 t) private pure returns (bool fiscal, uint64 counter) {
        uint256 word = _field(t, PG);
        uint256 digits;
        uint256 count;
        bool closed;
        assembly ("memory-safe") {
            let value := shl(16, xor(word, ZEROS))
            let others := and(or(add(and(value, LOW), FROM_10), value), HIGH)
            count := shr(3, clz(others))
            closed := eq(byte(add(2, count), word), QUOTE)
            digits := shr(sub(256, shl(3, count)), value)
        }
        uint256 series = word >> 240; // `"T`, `"F`
        bool plain = closed && count > 0 && count <= MAX_COUNTER_DIGITS && (count == 1 || _at(word, 2) != 0x30);
        if (!plain || (series != 0x2254 && series != 0x2246)) _fail(t, _position(t, PG), Expected.Pagination);
        return (series == 0x2246, uint64(_decimal(digits)));
    }

    /// @dev The number that 32 digits make, one byte each: neighbours are joined five times.
    function _decimal(uint256 digits) private pure returns (uint256 x) {
        assembly ("memory-safe") {
            x := and(
                add(digits, mul(10, shr(8, digits))),
                0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff
            )
            x := and(add(x, mul(100, shr(16, x))), 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff)
            x := and(add(x, mul(10000, shr(32, x))), 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff)
            x := and(
                add(x, mul(100000000, shr(64, x))),
                0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff
            )
            x := and(add(x, mul(10000000000000000, shr(128, x))), 0xffffffffffffffffffffffffffffffff)
        }
    }

    /// @dev The meter that made the reading, or else the gateway that signed it.
    function _serialHash(uint256 t) private pure returns (bytes32 hash) {
        uint256 place = _isEmpty(t, MS) ? GS : MS;
        if (_isEmpty(t, place)) return 0;
        uint256 pos = _position(t, place);
        if (_byte(pos) != QUOTE) _fail(t, pos, Expected.Serial);
        uint256 length = _string(t, pos) - pos - 2;
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, add(pos, 1), length)
            hash := keccak256(free, length)
        }
    }

    function _isEmpty(uint256 t, uint256 place) private pure returns (bool) {
        uint256 value = _field(t, place) >> 240;
        return value == 0 || value == 0x2222;
    }

    // JSON

    /// @dev The name at p and where its value is. White space is allowed, and the name may be any; one of another length than
    /// two is as good as none.
    function _name(uint256 t, uint256 p) private pure returns (uint256 name, uint256 pos) {
        unchecked {
            p = _blank(p);
            if (_byte(p) != QUOTE) _fail(t, p, Expected.Name);
            pos = _plainEnd(p + 1);
            if (_byte(pos) != QUOTE) _fail(t, pos, Expected.Name);
            if (pos - p == 3) {
                assembly ("memory-safe") {
                    name := and(shr(232, calldataload(p)), 0xffff)
                }
            }
            pos = _blank(pos + 1);
            if (_byte(pos) != COLON) _fail(t, pos, Expected.Colon);
            pos = _blank(pos + 1);
        }
    }

    /// @dev Checks the value at p, which is `depth` arrays and objects deep, and returns what follows it.
    function _value(uint256 t, uint256 p, uint256 depth) private pure returns (uint256) {
        unchecked {
            uint256 first = _byte(p);
            if (first == QUOTE) return _string(t, p);
            if (first != OPEN_ARRAY && first != OPEN_OBJECT) return _scalar(t, p);
            if (depth == MAX_NESTING) _fail(t, p, Expected.Nesting);
            // A bracket and its counterpart differ by two.
            uint256 close = first + 2;
            p = _blank(p + 1);
            if (_byte(p) == close) return p + 1;
            while (true) {
                if (first == OPEN_OBJECT) (, p) = _name(t, p);
                else p = _blank(_texts(p));
                p = _value(t, p, depth + 1);
                uint256 mark = _byte(p);
                if (mark < 0x21) {
                    p = _blank(p);
                    mark = _byte(p);
                }
                if (mark == close) return p + 1;
                if (mark != COMMA) _fail(t, p, Expected.Separator);
                p = _blank(p + 1);
            }
            return 0; // never reached
        }
    }

    /// @dev Passes the texts of an array at p that are short, without escapes, and followed by another element.
    function _texts(uint256 p) private pure returns (uint256) {
        assembly ("memory-safe") {
            for {} eq(byte(0, calldataload(p)), QUOTE) {} {
                let word := calldataload(add(p, 1))
                let low := and(word, LOW)
                low := and(add(xor(low, QUOTE_TO_SPACE), FROM_0X21), add(xor(low, BACKSLASHES), LOW))
                let end := clz(and(not(or(low, word)), HIGH))
                if xor(and(shr(sub(240, end), word), 0xffff), 0x222c) { break }
                p := add(add(p, 3), shr(3, end))
            }
        }
        return p;
    }

    /// @dev Checks the string at p and returns what follows it.
    function _string(uint256 t, uint256 p) private pure returns (uint256) {
        unchecked {
            uint256 mark;
            p += 1;
            while (true) {
                assembly ("memory-safe") {
                    for {} 1 {} {
                        let word := calldataload(p)
                        let low := and(word, LOW)
                        let plain := and(add(xor(low, QUOTE_TO_SPACE), FROM_0X21), add(xor(low, BACKSLASHES), LOW))
                        let special := and(not(or(plain, word)), HIGH)
                        let i := shr(3, clz(special))
                        p := add(p, i)
                        if special {
                            mark := byte(i, word)
                            break
                        }
                    }
                }
                if (mark == QUOTE) return p + 1;
                if (mark != BACKSLASH) _fail(t, p, Expected.Character);
                p = _escaped(t, p);
            }
            return 0; // never reached
        }
    }

    /// @dev Checks the escape at p and returns what follows it.
    function _escaped(uint256 t, uint256 p) private pure returns (uint256) {
        unchecked {
            uint256 kind = _byte(p + 1);
            if ((ESCAPES >> kind) & 1 == 1) return p + 2;
            if (kind != 0x75) _fail(t, p, Expected.Escape); // u and four digits
            for (uint256 i = p + 2; i < p + 6; ++i) {
                uint256 c = _byte(i);
                if (!((c > 0x2f && c < 0x3a) || ((c | 0x20) > 0x60 && (c | 0x20) < 0x67))) {
                    _fail(t, p, Expected.Escape);
                }
            }
            return p + 6;
        }
    }

    /// @dev Where, from p on, the first quote, backslash or control character is.
    function _plainEnd(uint256 p) private pure returns (uint256) {
        assembly ("memory-safe") {
            for {} 1 {} {
                let word := calldataload(p)
                let low := and(word, LOW)
                let plain := and(add(xor(low, QUOTE_TO_SPACE), FROM_0X21), add(xor(low, BACKSLASHES), LOW))
                let special := and(not(or(plain, word)), HIGH)
                p := add(p, shr(3, clz(special)))
                if special { break }
            }
        }
        return p;
    }

    /// @dev Checks a number, `true`, `false` or `null`.
    function _scalar(uint256 t, uint256 p) private pure returns (uint256) {
        unchecked {
            uint256 word;
            assembly ("memory-safe") {
                word := calldataload(p)
            }
            uint256 first = _at(word, 0);
            if (first > 0x39) {
                if (word >> 224 == 0x74727565 || word >> 224 == 0x6e756c6c) return p + 4;
                if (word >> 216 == 0x66616c7365) return p + 5;
                _fail(t, p, Expected.Value);
            }
            if (first == 0x2d) p += 1; // minus
            p = _byte(p) == 0x30 ? p + 1 : _digits(t, p);
            if (_byte(p) == POINT) p = _digits(t, p + 1);
            if ((_byte(p) | 0x20) == 0x65) {
                p += 1;
                uint256 sign = _byte(p);
                if (sign == 0x2b || sign == 0x2d) p += 1;
                p = _digits(t, p);
            }
            return p;
        }
    }

    /// @dev Where the digits at p, one at least, end.
    function _digits(uint256 t, uint256 p) private pure returns (uint256 end) {
        end = p;
        assembly ("memory-safe") {
            for {} 1 {} {
                let value := xor(calldataload(end), ZEROS)
                let others := and(or(add(and(value, LOW), FROM_10), value), HIGH)
                end := add(end, shr(3, clz(others)))
                if others { break }
            }
        }
        if (end == p) _fail(t, p, _byte(p) < 0x2e ? Expected.Value : Expected.Digit);
    }

    /// @dev Where white space, if p is at some, ends.
    function _blank(uint256 p) private pure returns (uint256) {
        assembly ("memory-safe") {
            // One bit for each of: space, tab, line feed, carriage return.
            for {} and(shr(byte(0, calldataload(p)), 0x100002600), 1) {} { p := add(p, 1) }
        }
        return p;
    }

    function _byte(uint256 p) private pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := byte(0, calldataload(p))
        }
    }

    function _fail(uint256 t, uint256 p, Expected expected) private pure {
        uint256 start;
        assembly ("memory-safe") {
            start := mload(add(t, START))
        }
        revert Unreadable(p - start, expected);
    }
}
