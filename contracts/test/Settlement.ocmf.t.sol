// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {Ocmf} from "../src/libraries/Ocmf.sol";
import {BaseTest} from "./BaseTest.sol";

/// @notice Sessions billed by OCMF records: how they are signed and read is tested in Ocmf.t.sol, here what they come to.
contract SettlementOcmfTest is BaseTest {
    uint256 private constant P256_KEY = 0xB0B;
    string private constant SERIAL = "M0042";

    OcmfKey private key;
    Terms private terms;

    function setUp() public override {
        super.setUp();
        key = _p256Key(SERIAL);
        bytes32 id = registry.ocmfMeter(key);
        vm.prank(owner);
        registry.setMeter(EVSE, id);
        _deposit(driver.addr, 3 * HELD);
        terms = _openOcmf(1);
        vm.warp(START + 2 hours);
    }

    function _p256Key(string memory serial) private pure returns (OcmfKey memory) {
        (uint256 qx, uint256 qy) = vm.publicKeyP256(P256_KEY);
        return OcmfKey(Curve.P256, bytes32(qx), bytes32(qy), keccak256(bytes(serial)));
    }

    function _openOcmf(uint64 nonce) private returns (Terms memory) {
        Request memory request = _request();
        (request.meter, request.nonce) = (keccak256(abi.encode(key)), nonce);
        return _open(request);
    }

    function _entry(string memory time, string memory tx_, string memory kwh) private pure returns (string memory) {
        string memory head = string.concat('{"TM":"2026-01-01T', time, '","TX":"', tx_);
        return string.concat(head, '","RV":', kwh, ',"RI":"1-b:1.8.0","RU":"kWh","EF":"","ST":"G"}');
    }

    function _payload(string memory page, string memory entries) private pure returns (bytes memory) {
        string memory head = string.concat('{"FV":"1.0","GS":"GW1","MS":"', SERIAL, '","PG":"', page);
        return bytes(string.concat(head, '","RD":[', entries, "]}"));
    }

    function _record(bytes memory payload) private pure returns (OcmfRecord memory) {
        (bytes32 r, bytes32 s) = vm.signP256(P256_KEY, sha256(payload));
        return OcmfRecord(payload, r, s);
    }

    function _one(bytes memory payload) private pure returns (OcmfRecord[] memory records) {
        records = new OcmfRecord[](1);
        records[0] = _record(payload);
    }

    function _two(bytes memory first, bytes memory last) private pure returns (OcmfRecord[] memory records) {
        records = new OcmfRecord[](2);
        (records[0], records[1]) = (_record(first), _record(last));
    }

    /// @dev From 0:00 to 1:30, 10 kWh.
    function _whole(string memory page) private pure returns (bytes memory) {
        return _payload(
            page,
            string.concat(
                _entry("00:00:00,000+0000 S", "B", "100.25"), ",", _entry("01:30:00,000+0000 S", "E", "110.25")
            )
        );
    }

    function _settle(OcmfRecord[] memory records) private returns (Bill memory) {
        return _settle(_flatTariff(), records);
    }

    function _settle(Tariff memory tariff, OcmfRecord[] memory records) private returns (Bill memory) {
        vm.recordLogs();
        vm.prank(oracle);
        settlement.settleOcmf(terms, tariff, key, records);
        return _lastBill();
    }

    function _expectRevert(OcmfRecord[] memory records, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(oracle);
        settlement.settleOcmf(terms, _flatTariff(), key, records);
    }

    function test_settleOcmf_oneRecordWithBeginAndEnd() public {
        Bill memory bill = _settle(_one(_whole("T7")));
        assertEq(bill.amount, 4.2e6, "10 kWh");
        assertEq(bill.startMilliWh, 100_250_000, "start");
        assertEq(bill.stopMilliWh, 110_250_000, "stop");
        assertEq(bill.startTime, START, "from");
        assertEq(bill.stopTime, START + 90 minutes, "until");
        (uint64 billed,, uint48 transactions, uint48 fiscals) = settlement.billedOf(EVSE, terms.meter);
        assertEq(billed, 110_250_000, "billed");
        assertEq(transactions, 7, "transaction series");
        assertEq(fiscals, 0, "fiscal series");
    }

    function test_settleOcmf_twoRecords() public {
        bytes memory begin = _payload("T7", _entry("00:00:00,000+0000 S", "B", "100.25"));
        bytes memory end = _payload("T8", _entry("01:30:00,000+0000 S", "E", "110.25"));
        assertEq(_settle(_two(begin, end)).amount, 4.2e6, "10 kWh");
    }

    function test_settleOcmf_registersFinerThanAWattHour() public {
        string memory begin = _entry("00:00:00,000+0000 S", "B", "100.000001");
        bytes memory payload =
            _payload("T7", string.concat(begin, ",", _entry("01:00:00,000+0000 S", "E", "100.010002")));
        assertEq(_settle(_one(payload)).amount, 4_200, "10.001 Wh cost 4200.42, rounded down");
    }

    function test_settleOcmf_secp256k1() public {
        key = OcmfKey(Curve.Secp256k1, bytes32(meter.publicKeyX), bytes32(meter.publicKeyY), keccak256(bytes(SERIAL)));
        vm.prank(owner);
        registry.setMeter(OTHER_EVSE, keccak256(abi.encode(key)));
        Request memory request = _request();
        (request.evse, request.meter, request.nonce) = (OTHER_EVSE, keccak256(abi.encode(key)), 2);
        request.departure = uint40(START + 4 hours);
        vm.warp(START);
        terms = _open(request);
        vm.warp(START + 2 hours);
        OcmfRecord[] memory records = _one(_whole("T7"));
        (, records[0].r, records[0].s) = vm.sign(meter, sha256(records[0].payload));
        assertEq(_settle(records).amount, 4.2e6, "10 kWh");
    }

    /// @dev The times say nothing: no idle fee although the clock shows long after the departure, and the lowest price.
    function test_settleOcmf_clockNotSet() public {
        Tariff memory tariff = _flatTariff();
        tariff.idleFeePerMinute = 1e6;
        tariff.bands = new Band[](1);
        tariff.bands[0] = Band(9_000, PRICE / 2);
        vm.prank(owner);
        registry.setTariff(_only(OTHER_EVSE), tariff);
        vm.prank(owner);
        registry.setMeter(OTHER_EVSE, keccak256(abi.encode(key)));
        Request memory request = _request();
        (request.evse, request.meter, request.nonce) = (OTHER_EVSE, keccak256(abi.encode(key)), 2);
        request.tariffHash = _tariffHash(tariff);
        terms = _open(request, tariff, _signRequest(request));
        string memory begin = _entry("00:00:00,000+0000 U", "B", "100");
        bytes memory payload = _payload("T7", string.concat(begin, ",", _entry("23:00:00,000+0000 U", "E", "110")));
        Bill memory bill = _settle(tariff, _one(payload));
        assertEq(bill.amount, 2.1e6, "10 kWh at half the price");
        assertEq(bill.startTime, 0, "unknown");
        assertEq(bill.stopTime, 0, "unknown");
    }

    /// @dev Half of all P-256 signatures have a high s. Its twin is the same record, which is billed once.
    function test_malleability_twinOfARecordSettlesNothingTwice() public {
        string memory begin = _entry("01:30:00,000+0000 S", "B", "100");
        OcmfRecord[] memory records =
            _one(_payload("T7", string.concat(begin, ",", _entry("02:00:00,000+0000 S", "E", "101"))));
        _settle(records);
        terms = _openOcmf(2);
        records[0].s =
            bytes32(0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551 - uint256(records[0].s));
        _expectRevert(
            records, abi.encodeWithSelector(ISettlement.CounterBackwards.selector, terms.session, uint256(7), 7)
        );
    }

    /// @dev The fiscal series counts apart: its first page is no replay of the transactions' seventh.
    function test_settleOcmf_seriesCountApart() public {
        _settle(_one(_whole("T7")));
        terms = _openOcmf(2);
        string memory begin = _entry("01:40:00,000+0000 S", "B", "110.25");
        bytes memory payload = _payload("F1", string.concat(begin, ",", _entry("02:00:00,000+0000 S", "E", "111.25")));
        Bill memory bill = _settle(_one(payload));
        assertTrue(bill.fiscal, "fiscal");
        assertEq(bill.amount, 420_000, "1 kWh");
    }

    function test_revert_CounterBackwards_mixedSeries() public {
        bytes memory begin = _payload("T7", _entry("00:00:00,000+0000 S", "B", "100.25"));
        bytes memory end = _payload("F8", _entry("01:30:00,000+0000 S", "E", "110.25"));
        _expectRevert(
            _two(begin, end),
            abi.encodeWithSelector(ISettlement.CounterBackwards.selector, terms.session, uint256(8), 7)
        );
    }

    function test_revert_RegisterBackwards_withinOneRecord() public {
        string memory begin = _entry("00:00:00,000+0000 S", "B", "100");
        bytes memory payload = _payload("T7", string.concat(begin, ",", _entry("01:00:00,000+0000 S", "E", "99.999")));
        _expectRevert(
            _one(payload),
            abi.encodeWithSelector(ISettlement.RegisterBackwards.selector, terms.session, 99_999_000, 100_000_000)
        );
    }

    function test_revert_WrongContext() public {
        bytes memory begin = _payload("T7", _entry("00:00:00,000+0000 S", "B", "100.25"));
        bytes memory end = _payload("T8", _entry("01:30:00,000+0000 S", "E", "110.25"));
        _expectRevert(
            _one(begin),
            abi.encodeWithSelector(
                ISettlement.WrongContext.selector, terms.session, ReadingContext.Begin, ReadingContext.End
            )
        );
        _expectRevert(
            _two(end, begin),
            abi.encodeWithSelector(
                ISettlement.WrongContext.selector, terms.session, ReadingContext.End, ReadingContext.Begin
            )
        );
    }

    function test_revert_BadReadingCount(uint8 count) public {
        vm.assume(count == 0 || count > 2);
        OcmfRecord[] memory records = new OcmfRecord[](count);
        _expectRevert(
            records, abi.encodeWithSelector(ISettlement.BadReadingCount.selector, terms.session, uint256(count), 2)
        );
    }

    function test_revert_BadRecordSignature(uint256 offset, uint8 flip) public {
        OcmfRecord[] memory records = _one(_whole("T7"));
        flip = uint8(bound(flip, 1, 255));
        offset = bound(offset, 0, records[0].payload.length - 1);
        records[0].payload[offset] ^= bytes1(flip);
        _expectRevert(
            records, abi.encodeWithSelector(ISettlement.BadRecordSignature.selector, terms.session, uint256(0))
        );
    }

    /// @dev One key may sign for several meters behind a gateway: the serial number tells them apart.
    function test_revert_WrongMeter_otherSerial() public {
        key = _p256Key("M0043");
        bytes32 other = keccak256(abi.encode(key));
        _expectRevert(
            _one(_whole("T7")),
            abi.encodeWithSelector(ISettlement.WrongMeter.selector, terms.session, other, terms.meter)
        );
        vm.prank(owner);
        registry.setMeter(OTHER_EVSE, other);
        Request memory request = _request();
        (request.evse, request.meter, request.nonce) = (OTHER_EVSE, other, 2);
        terms = _open(request);
        _expectRevert(
            _one(_whole("T7")),
            abi.encodeWithSelector(
                ISettlement.WrongMeter.selector, terms.session, keccak256(bytes(SERIAL)), keccak256("M0043")
            )
        );
    }

    function test_revert_Unreadable_signedNonsense() public {
        OcmfRecord[] memory records = _one('{"PG":"T1"}');
        vm.expectPartialRevert(Ocmf.Unreadable.selector);
        vm.prank(oracle);
        settlement.settleOcmf(terms, _flatTariff(), key, records);
    }

    function test_disputeOcmf_anEarlierEnd() public {
        Bill memory bill = _settle(
            _two(
                _payload("T7", _entry("00:00:00,000+0000 S", "B", "100")),
                _payload("T9", _entry("01:30:00,000+0000 S", "E", "110"))
            )
        );
        OcmfRecord[] memory records = _two(
            _payload("T7", _entry("00:00:00,000+0000 S", "B", "100")),
            _payload("T8", _entry("01:00:00,000+0000 S", "E", "104"))
        );
        vm.recordLogs();
        vm.prank(stranger);
        settlement.disputeOcmf(terms, bill, _flatTariff(), key, records);
        assertEq(_lastBill().amount, 1.68e6, "4 kWh");
    }

    function test_revert_NoContradiction_otherSeries() public {
        Bill memory bill = _settle(_one(_whole("T7")));
        string memory begin = _entry("00:00:00,000+0000 S", "B", "100.25");
        bytes memory payload = _payload("F7", string.concat(begin, ",", _entry("01:00:00,000+0000 S", "E", "101.25")));
        OcmfRecord[] memory records = _one(payload);
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.NoContradiction.selector, terms.session, uint128(420_000), bill.amount)
        );
        settlement.disputeOcmf(terms, bill, _flatTariff(), key, records);
    }

    /// @dev Every real record with begin and end settles a session as it is, whatever its vendor, and one that must be refused
    /// settles none. Records of one end only are paired with nobody here; Ocmf.vectors.t.sol reads them all.
    function test_realRecords() public {
        string memory folder = string.concat(vm.projectRoot(), "/contracts/cache/data/ocmf/");
        if (!vm.exists(folder)) {
            vm.skip(true, "no records of real meters: set PROVOLT_DATA and run scripts/test");
            return;
        }
        uint256 settled = _settleAll(vm.readFile(string.concat(folder, "p256.json")), Curve.P256);
        assertEq(settled, 43, "of 46: three cannot be relied upon, and Ocmf.vectors.t.sol says why");
        assertEq(_settleAll(vm.readFile(string.concat(folder, "secp256k1.json")), Curve.Secp256k1), 0, "of one end all");
    }

    function _settleAll(string memory json, Curve curve) private returns (uint256 settled) {
        for (uint256 i; vm.keyExistsJson(json, _path(i, "payload")); ++i) {
            bytes memory payload = bytes(vm.parseJsonString(json, _path(i, "payload")));
            if (_settlesAlone(json, i, payload, curve)) ++settled;
        }
    }

    /// @dev In a world of its own: opened when the record begins, at an EVSE with the record's meter.
    function _settlesAlone(string memory json, uint256 i, bytes memory payload, Curve curve) private returns (bool) {
        Ocmf.Record memory record;
        try this.read(payload) returns (Ocmf.Record memory found) {
            record = found;
        } catch {
            return false;
        }
        if (!record.hasBegin || !record.hasEnd) return false;
        uint256 world = vm.snapshotState();
        vm.warp(record.begin.time == 0 ? START : record.begin.time);
        key = OcmfKey(curve, _word(json, i, "qx"), _word(json, i, "qy"), record.serialHash);
        vm.prank(owner);
        registry.setMeter(OTHER_EVSE, keccak256(abi.encode(key)));
        Request memory request = _request();
        (request.evse, request.meter, request.nonce) = (OTHER_EVSE, keccak256(abi.encode(key)), 1_000 + uint64(i));
        terms = _open(request);
        vm.warp(block.timestamp + 3 hours);
        OcmfRecord[] memory records = new OcmfRecord[](1);
        records[0] = OcmfRecord(payload, _word(json, i, "r"), _word(json, i, "s"));
        Bill memory bill = _settle(records);
        uint256 drawn = record.end.importMilliWh - record.begin.importMilliWh;
        uint256 due = drawn * PRICE / 1e6;
        assertEq(bill.amount, due < HELD ? due : HELD, "amount");
        vm.revertToState(world);
        return true;
    }

    function read(bytes calldata payload) external pure returns (Ocmf.Record memory) {
        return Ocmf.read(payload);
    }

    function _word(string memory json, uint256 i, string memory name) private pure returns (bytes32) {
        return bytes32(vm.parseUint(string.concat("0x", vm.parseJsonString(json, _path(i, name)))));
    }

    function _path(uint256 i, string memory name) private pure returns (string memory) {
        return string.concat("[", vm.toString(i), "].", name);
    }
}
