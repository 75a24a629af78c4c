// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Vm} from "forge-std/Vm.sol";
import "../src/IProtocol.sol";
import {BaseTest} from "./BaseTest.sol";

/// @notice What sessions and wallets cost, whole transactions in steady state: every slot that is written has been written
/// before, the EVSE's places included, because the session before them is final.
/// forge-config: default.isolate = true
contract GasSessionsTest is BaseTest {
    /// @dev The figures that were promised; contracts/snapshots/Targets.json has what they came to.
    string private constant GROUP = "Targets";
    uint256 private constant P256_KEY = 0xB0B;

    uint64 private _nonce = 1;
    uint64 private _counter = 1_000;
    uint64 private _registerWh = 1_234_567;

    function setUp() public override {
        super.setUp();
        _deposit(owner, 1e6);
        _deposit(driver.addr, 1000e6);
        _useEverySlot(EVSE, meter, driver);
        vm.prank(stranger);
        settlement.claim(SITE);
    }

    /// @dev A session on each of eight days: after them the EVSE's places, the meter's registers, the driver's wallet and
    /// nonces, and all of the site's buckets are in use, and the place to come is of a session that is final.
    function _useEverySlot(bytes32 evse, Vm.Wallet memory key, Vm.Wallet memory who) private {
        for (uint256 day; day < 8; ++day) {
            _settleNext(_openNext(evse, key, who), key);
            vm.warp(block.timestamp + 1 days);
        }
    }

    function _openNext(bytes32 evse, Vm.Wallet memory key, Vm.Wallet memory who) private returns (Terms memory) {
        Request memory request = _request();
        (request.driver, request.evse, request.meter) = (who.addr, evse, _meterId(key.addr));
        request.nonce = ++_nonce;
        return _open(request, _flatTariff(), _sign(who, settlement.sessionId(request)));
    }

    function _next() private returns (Request memory request) {
        request = _request();
        request.nonce = ++_nonce;
    }

    function _settleNext(Terms memory terms, Vm.Wallet memory key) private {
        SignedReading[] memory readings = _nextReadings(terms.evse, key);
        vm.prank(oracle);
        settlement.settle(terms, _flatTariff(), readings);
    }

    function _nextReadings(bytes32 evse, Vm.Wallet memory key) private returns (SignedReading[] memory readings) {
        MeterReading memory start = _begin(_registerWh, ++_counter);
        _registerWh += 10_000;
        MeterReading memory stop = _end(_registerWh, ++_counter);
        (start.asset, stop.asset) = (evse, evse);
        readings = new SignedReading[](2);
        (readings[0], readings[1]) = (_signed(key, start), _signed(key, stop));
    }

    function test_gas_openSession() public {
        Request memory request = _next();
        bytes memory signature = _signRequest(request);
        Tariff memory tariff = _flatTariff();
        vm.prank(oracle);
        settlement.openSession(request, tariff, signature);
        vm.snapshotGasLastCall(GROUP, "openSession");
        (bool open,) = settlement.openAt(EVSE);
        assertTrue(open, "open");
    }

    function _gasOfSettlingOne() private returns (uint256 gas) {
        Terms memory terms = _openNext(EVSE, meter, driver);
        vm.warp(block.timestamp + 2 hours);
        SignedReading[] memory readings = _nextReadings(EVSE, meter);
        Tariff memory tariff = _flatTariff();
        vm.prank(oracle);
        settlement.settle(terms, tariff, readings);
        gas = vm.lastCallGas().gasTotalUsed;
        assertEq(uint8(_stateOf(terms)), uint8(SessionState.Settled), "settled");
    }

    function test_gas_settleK1() public {
        vm.snapshotValue(GROUP, "settleK1", _gasOfSettlingOne());
    }

    /// @dev Four EVSEs of a site and four drivers in one transaction, less one of them alone.
    function test_gas_settleBatchEach() public {
        bytes32[] memory evses = _demoEvses();
        bytes[] memory calls = new bytes[](evses.length);
        Terms[] memory terms = new Terms[](evses.length);
        for (uint256 i; i < evses.length; ++i) {
            Vm.Wallet memory who = vm.createWallet(string.concat("driver ", vm.toString(i)));
            vm.prank(who.addr);
            registry.registerDriver();
            _deposit(who.addr, 1000e6);
            Vm.Wallet memory key = i == 1 ? otherMeter : meter;
            _useEverySlot(evses[i], key, who);
            terms[i] = _openNext(evses[i], key, who);
        }
        for (uint256 i; i < evses.length; ++i) {
            SignedReading[] memory readings = _nextReadings(evses[i], i == 1 ? otherMeter : meter);
            calls[i] = abi.encodeCall(ISettlement.settle, (terms[i], _flatTariff(), readings));
        }
        uint256 snapshot = vm.snapshotState();
        vm.prank(oracle);
        settlement.multicall(calls);
        uint256 all = vm.lastCallGas().gasTotalUsed;
        assertEq(uint8(_stateOf(terms[3])), uint8(SessionState.Settled), "settled");
        vm.revertToState(snapshot);
        bytes[] memory one = new bytes[](1);
        one[0] = calls[0];
        vm.prank(oracle);
        settlement.multicall(one);
        uint256 single = vm.lastCallGas().gasTotalUsed;
        vm.snapshotValue(GROUP, "settleBatchEach", (all - single) / 3);
    }

    /// @dev A record of the shape of a real one, 395 bytes with begin and end, signed with P-256.
    function test_gas_settleOcmfP256() public {
        (uint256 qx, uint256 qy) = vm.publicKeyP256(P256_KEY);
        OcmfKey memory key = OcmfKey(Curve.P256, bytes32(qx), bytes32(qy), keccak256("M0042"));
        vm.prank(owner);
        registry.setMeter(EVSE, keccak256(abi.encode(key)));
        _settleOcmf(key, "12", "100.0000", "110.0000");
        vm.snapshotValue(GROUP, "settleOcmfP256", _settleOcmf(key, "13", "110.0000", "120.0000"));
    }

    function _settleOcmf(OcmfKey memory key, string memory page, string memory begin, string memory end)
        private
        returns (uint256 gas)
    {
        Request memory request = _next();
        request.meter = keccak256(abi.encode(key));
        Terms memory terms = _open(request);
        OcmfRecord[] memory records = new OcmfRecord[](1);
        string memory head =
            '{"FV":"1.0","GI":"PROVOLT TEST","GS":"PV0001","GV":"1.0","MV":"Provolt","MM":"Model","MS":"M0042","MF":"1.0","IS":true,"IL":"VERIFIED","IF":["RFID_PLAIN","OCPP_RS_TLS"],"IT":"ISO14443","ID":"1F2D3A4F5506C7","PG":"T';
        string memory first = string.concat(
            '","RD":[{"TM":"', _now(), ',000+0000 S","TX":"B","RV":', begin, ',"RI":"1-b:1.8.0","RU":"kWh"'
        );
        string memory last =
            string.concat(',"EF":"","ST":"G"},{"TM":"', _now(), ',000+0000 S","TX":"E","RV":', end, ',"ST":"G"}]}');
        records[0].payload = bytes(string.concat(head, page, first, last));
        (records[0].r, records[0].s) = vm.signP256(P256_KEY, sha256(records[0].payload));
        Tariff memory tariff = _flatTariff();
        vm.prank(oracle);
        settlement.settleOcmf(terms, tariff, key, records);
        gas = vm.lastCallGas().gasTotalUsed;
        assertEq(uint8(_stateOf(terms)), uint8(SessionState.Settled), "settled");
    }

    /// @dev setUp ends on 9 January 2026 at midnight.
    function _now() private view returns (string memory) {
        assertEq(block.timestamp, START + 8 days, "the day in the records");
        return "2026-01-09T00:00:00";
    }

    function test_gas_deposit() public {
        vm.prank(minter);
        credit.mint(driver.addr, 2e6);
        vm.startPrank(driver.addr);
        credit.approve(address(settlement), 2e6);
        settlement.deposit(driver.addr, 1e6);
        vm.snapshotGasLastCall(GROUP, "deposit");
        vm.stopPrank();
        assertGt(settlement.balanceOf(driver.addr), 1e6, "wallet");
    }

    function test_gas_withdraw() public {
        vm.startPrank(driver.addr);
        settlement.withdraw(driver.addr, 1e6);
        settlement.withdraw(driver.addr, 1e6);
        vm.snapshotGasLastCall(GROUP, "withdraw");
        vm.stopPrank();
        assertEq(credit.balanceOf(driver.addr), 2e6, "tokens");
    }
}
