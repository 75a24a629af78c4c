// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {Settlement} from "../src/Settlement.sol";
import {BaseTest} from "./BaseTest.sol";

contract SettlementSettleTest is BaseTest {
    /// @dev The hold pays for 23,809 Wh.
    uint64 private constant FIRST_WH = 500_000;

    Terms private terms;

    function setUp() public override {
        super.setUp();
        terms = _openFunded();
        vm.warp(START + 2 hours);
    }

    function _start() private view returns (MeterReading memory reading) {
        reading = _begin(FIRST_WH, 1);
        reading.time = uint40(START);
    }

    function _stop() private view returns (MeterReading memory) {
        return _end(FIRST_WH + 10_000, 9);
    }

    function _expectRevert(MeterReading memory start, MeterReading memory stop, bytes memory reason) private {
        _expectRevert(_pair(start, stop), reason);
    }

    function _expectRevert(SignedReading[] memory readings, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(oracle);
        settlement.settle(terms, _flatTariff(), readings);
    }

    function _billOf(MeterReading memory start, MeterReading memory stop, uint128 amount)
        private
        view
        returns (Bill memory)
    {
        return Bill({
            startMilliWh: start.importWh * 1000,
            stopMilliWh: stop.importWh * 1000,
            startCounter: start.counter,
            stopCounter: stop.counter,
            fiscal: false,
            startTime: start.time,
            stopTime: stop.time,
            settledAt: uint40(block.timestamp),
            amount: amount,
            operatorFee: amount * OPERATOR_FEE_BPS / 10_000,
            protocolFee: amount * PROTOCOL_FEE_BPS / 10_000,
            reward: 0
        });
    }

    function test_settle(uint64 importWh, uint64 energyWh) public {
        MeterReading memory start = _start();
        start.importWh = uint64(bound(importWh, 0, type(uint64).max / 1000 - MAX_WH));
        energyWh = uint64(bound(energyWh, 0, MAX_WH));
        MeterReading memory stop = _stop();
        stop.importWh = start.importWh + energyWh;
        uint256 due = uint256(energyWh) * PRICE / 1000;
        Bill memory bill = _billOf(start, stop, due > HELD ? HELD : uint128(due));
        SignedReading[] memory readings = _pair(start, stop);

        vm.expectEmit(address(settlement));
        emit ISettlement.SessionSettled(SITE, driver.addr, EVSE, terms.session, bill);
        vm.prank(oracle);
        bytes32 receipt = settlement.settle(terms, _flatTariff(), readings);

        assertEq(receipt, keccak256(abi.encode(terms, bill)), "terms and bill, encoded anew");
        (bytes26 commitment,, SessionState state) = settlement.placeAt(EVSE, terms.place);
        assertEq(commitment, bytes26(receipt), "commitment");
        assertEq(uint8(state), uint8(SessionState.Settled), "state");
        (bool open,) = settlement.openAt(EVSE);
        assertFalse(open, "open");
        assertEq(settlement.balanceOf(driver.addr), HELD - bill.amount, "wallet of driver");
        (uint256 claimable, uint256 pending) = settlement.claimableOf(SITE);
        assertEq(claimable, 0, "claimable");
        assertEq(pending, bill.amount, "pending");
        assertEq(settlement.accounted(), HELD, "accounted");
        _assertBilled(stop);
    }

    function _assertBilled(MeterReading memory stop) private view {
        (uint64 importMilliWh,, uint48 counter, uint48 fiscal) = settlement.billedOf(EVSE, terms.meter);
        assertEq(importMilliWh, stop.importWh * 1000, "billed register");
        assertEq(counter, stop.counter, "billed counter");
        assertEq(fiscal, 0, "other series");
    }

    function test_settle_roundsDownAndKeepsTheTariffOfTheOpening() public {
        MeterReading memory stop = _stop();
        stop.importWh = FIRST_WH + 1;
        Tariff memory dearer = _flatTariff();
        dearer.price = 1e6;
        vm.prank(owner);
        registry.setTariff(_only(EVSE), dearer);
        assertEq(_settle(terms, _start(), stop).amount, 420, "1 Wh at the price of the opening");
    }

    function test_settle_ofWhoChargesFreeCostsNothing() public {
        _settle(terms, _start(), _stop());
        _setStanding(driver.addr, Standing.KeyHolder);
        Request memory request = _request();
        request.nonce = 2;
        Terms memory own = _open(request);
        Bill memory bill = _settle(own, _begin(FIRST_WH + 10_000, 10), _end(FIRST_WH + 90_000, 11));
        assertEq(bill.amount, 0, "amount");
    }

    /// @dev Removing an asset, rotating its meter, blocking its driver and pausing everything strand no session.
    function test_settle_whateverChangedInTheRegistry() public {
        vm.startPrank(owner);
        registry.setMeter(EVSE, _meterId(otherMeter.addr));
        registry.removeAsset(EVSE);
        registry.setDelegate(SITE, oracle, 0, 0);
        vm.stopPrank();
        _setStanding(driver.addr, Standing.Blocked);
        vm.prank(guardian);
        registry.setPaused(true);
        Bill memory bill = _settle(terms, _start(), _stop());
        assertEq(bill.amount, 4.2e6, "amount");
    }

    function test_settle_byOwnerOrAnotherSettler() public {
        SignedReading[] memory readings = _pair(_start(), _stop());
        vm.prank(owner);
        settlement.settle(terms, _flatTariff(), readings);
        assertEq(uint8(_stateOf(terms)), uint8(SessionState.Settled), "state");
    }

    function test_settle_manyInOneTransaction() public {
        _deposit(driver.addr, HELD);
        Request memory request = _request();
        (request.evse, request.meter) = (OTHER_EVSE, _meterId(otherMeter.addr));
        (request.nonce, request.totalCeiling) = (2, 1e6);
        Terms memory other = _open(request);
        MeterReading memory start = _begin(7, 1);
        MeterReading memory stop = _end(1007, 2);
        (start.asset, stop.asset) = (OTHER_EVSE, OTHER_EVSE);
        SignedReading[] memory readings = new SignedReading[](2);
        (readings[0], readings[1]) = (_signed(otherMeter, start), _signed(otherMeter, stop));
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(ISettlement.settle, (terms, _flatTariff(), _pair(_start(), _stop())));
        calls[1] = abi.encodeCall(ISettlement.settle, (other, _flatTariff(), readings));
        vm.prank(oracle);
        settlement.multicall(calls);
        assertEq(uint8(_stateOf(terms)), uint8(SessionState.Settled), "first");
        assertEq(uint8(_stateOf(other)), uint8(SessionState.Settled), "second");
        (, uint256 pending) = settlement.claimableOf(SITE);
        assertEq(pending, 4.2e6 + 420_000, "pending");
    }

    /// @dev Computed here from the standard, not from the contract.
    function test_readingHash_isEip712DigestWithoutChain(uint64 wh, uint40 time, uint64 counter, uint64 chain) public {
        MeterReading memory r = MeterReading(EVSE, wh, wh / 2, time, counter, ReadingContext(wh % 3));
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version)"), keccak256("Provolt meter"), keccak256("1")
            )
        );
        bytes32 typeHash = keccak256(
            "MeterReading(bytes32 asset,uint64 importWh,uint64 exportWh,uint40 time,uint64 counter,uint8 context)"
        );
        bytes32 structHash =
            keccak256(abi.encode(typeHash, r.asset, r.importWh, r.exportWh, r.time, r.counter, uint8(r.context)));
        bytes32 expected = keccak256(abi.encodePacked(hex"1901", domain, structHash));
        assertEq(settlement.readingHash(r), expected, "digest");
        vm.chainId(bound(chain, 1, type(uint64).max));
        assertEq(settlement.readingHash(r), expected, "on another chain");
    }

    function test_revert_WrongState_unknownPlace(uint16 place) public {
        terms.place = uint16(bound(place, 1, type(uint16).max));
        _expectState(SessionState.None);
    }

    function test_revert_WrongState_settledTwice() public {
        _settle(terms, _start(), _stop());
        _expectState(SessionState.Settled);
    }

    function test_revert_WrongState_reclaimed() public {
        vm.warp(START + 3 days);
        settlement.reclaim(terms);
        _expectState(SessionState.Reclaimed);
    }

    function _expectState(SessionState state) private {
        _expectRevert(
            _start(),
            _stop(),
            abi.encodeWithSelector(ISettlement.WrongState.selector, terms.session, state, SessionState.Active)
        );
    }

    /// @dev Every member of the terms is bound.
    function test_revert_TermsMismatch(uint8 member, uint16 change) public {
        Terms memory changed = terms;
        SignedReading[] memory readings = _pair(_start(), _stop());
        // Neither the EVSE (2) nor the place (14): under another one, another session would be looked for.
        uint256 index = bound(member, 0, 13);
        if (index > 1) ++index;
        if (index == 14) index = 15;
        change = uint16(bound(change, 1, type(uint16).max));
        assembly {
            let at := add(changed, mul(index, 32))
            mstore(at, xor(mload(at), change))
        }
        vm.expectRevert(abi.encodeWithSelector(ISettlement.TermsMismatch.selector, changed.session));
        vm.prank(oracle);
        settlement.settle(changed, _flatTariff(), readings);
    }

    function test_revert_TariffChanged(uint64 price) public {
        vm.assume(price != PRICE);
        Tariff memory other = _flatTariff();
        other.price = price;
        SignedReading[] memory readings = _pair(_start(), _stop());
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.TariffChanged.selector, EVSE, _tariffHash(other), terms.tariffHash)
        );
        vm.prank(oracle);
        settlement.settle(terms, other, readings);
    }

    function test_revert_NotAuthorised(address who) public {
        vm.assume(who != oracle && who != owner);
        SignedReading[] memory readings = _pair(_start(), _stop());
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotAuthorised.selector, SITE, who, RIGHT_SETTLE));
        vm.prank(who);
        settlement.settle(terms, _flatTariff(), readings);
    }

    function test_revert_BadReadingCount(uint256 count) public {
        count = bound(count, 0, 70);
        vm.assume(count < 2 || count > 64);
        SignedReading[] memory readings = new SignedReading[](count);
        _expectRevert(readings, abi.encodeWithSelector(ISettlement.BadReadingCount.selector, terms.session, count, 64));
    }

    /// @dev A reading of another asset, another context or another meter has another digest, and so another signer.
    function test_revert_WrongMeter_signedAsSomethingElse(bytes32 asset, uint8 context, bool ofStop) public {
        vm.assume(asset != EVSE);
        MeterReading memory reading = ofStop ? _stop() : _start();
        if (context % 3 != uint8(reading.context)) reading.context = ReadingContext(context % 3);
        else reading.asset = asset;
        SignedReading[] memory readings = _pair(_start(), _stop());
        readings[ofStop ? 1 : 0] = _signed(reading);
        vm.expectPartialRevert(ISettlement.WrongMeter.selector);
        vm.prank(oracle);
        settlement.settle(terms, _flatTariff(), readings);
    }

    function test_revert_WrongMeter_otherMeter(bool ofStop) public {
        SignedReading[] memory readings = _pair(_start(), _stop());
        readings[ofStop ? 1 : 0] = _signed(otherMeter, ofStop ? _stop() : _start());
        _expectRevert(
            readings,
            abi.encodeWithSelector(
                ISettlement.WrongMeter.selector, terms.session, _meterId(otherMeter.addr), terms.meter
            )
        );
    }

    function test_revert_WrongMeter_malformedSignature(bytes32 vs) public {
        SignedReading[] memory readings = _pair(_start(), _stop());
        vm.assume(vs != readings[0].vs);
        readings[0].vs = vs;
        vm.expectPartialRevert(ISettlement.WrongMeter.selector);
        vm.prank(oracle);
        settlement.settle(terms, _flatTariff(), readings);
    }

    function test_malleability_readingWithHighS() public {
        SignedReading[] memory readings = _pair(_start(), _stop());
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(meter.privateKey, settlement.readingHash(_start()));
        // In the compact form the top bit is v: a high s cannot even be written.
        uint256 twin = SECP256K1_ORDER - uint256(s);
        readings[0].r = r;
        readings[0].vs = bytes32((uint256(v ^ 7) - 27) << 255 | (twin & (type(uint256).max >> 1)));
        vm.expectPartialRevert(ISettlement.WrongMeter.selector);
        vm.prank(oracle);
        settlement.settle(terms, _flatTariff(), readings);
    }

    /// @dev A register's signature is good on every chain; what it can be billed for is not.
    function test_replay_readingsInTheNextSession() public {
        SignedReading[] memory readings = _pair(_begin(FIRST_WH, 1), _stop());
        _settle(terms, _flatTariff(), readings);
        _openAgain();
        _expectRevert(
            readings, abi.encodeWithSelector(ISettlement.CounterBackwards.selector, terms.session, uint64(1), uint64(9))
        );
    }

    function test_replay_readingsAtAnotherEvse() public {
        _deposit(driver.addr, HELD);
        Request memory request = _request();
        (request.evse, request.meter, request.nonce) = (OTHER_EVSE, _meterId(otherMeter.addr), 2);
        terms = _open(request);
        SignedReading[] memory readings = _pair(_start(), _stop());
        vm.expectPartialRevert(ISettlement.WrongMeter.selector);
        vm.prank(oracle);
        settlement.settle(terms, _flatTariff(), readings);
    }

    function test_replay_settledSessionInAnotherContract() public {
        SignedReading[] memory readings = _pair(_start(), _stop());
        Settlement other = _deploySettlement(credit);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISettlement.WrongState.selector, terms.session, SessionState.None, SessionState.Active
            )
        );
        vm.prank(oracle);
        other.settle(terms, _flatTariff(), readings);
    }

    function _openAgain() private {
        Request memory request = _request();
        (request.nonce, request.totalCeiling) = (2, 1e6);
        terms = _open(request);
    }

    function test_revert_CounterBackwards_withinSession(uint64 counter) public {
        MeterReading memory start = _start();
        MeterReading memory stop = _stop();
        start.counter = 5;
        stop.counter = uint64(bound(counter, 0, 5));
        _expectRevert(
            start,
            stop,
            abi.encodeWithSelector(ISettlement.CounterBackwards.selector, terms.session, stop.counter, uint64(5))
        );
    }

    /// @dev A meter counts from one: zero is what "never billed" looks like.
    function test_revert_CounterBackwards_zero() public {
        MeterReading memory start = _start();
        start.counter = 0;
        _expectRevert(
            start,
            _stop(),
            abi.encodeWithSelector(ISettlement.CounterBackwards.selector, terms.session, uint64(0), uint64(0))
        );
    }

    function test_revert_RegisterBackwards_withinSession(uint64 register) public {
        MeterReading memory stop = _stop();
        stop.importWh = uint64(bound(register, 0, FIRST_WH - 1));
        _expectBackwards(_start(), stop, stop.importWh, FIRST_WH);
    }

    function test_revert_RegisterBackwards_exportWithinSession() public {
        MeterReading memory start = _start();
        start.exportWh = 1;
        _expectBackwards(start, _stop(), 0, 1);
    }

    function test_revert_RegisterBackwards_sinceLastBill(uint64 register) public {
        _settle(terms, _start(), _stop());
        _openAgain();
        uint64 billed = FIRST_WH + 10_000;
        register = uint64(bound(register, 0, billed - 1));
        _expectBackwards(_begin(register, 10), _end(billed, 11), register, billed);
    }

    function test_revert_RegisterBackwards_exportSinceLastBill() public {
        MeterReading memory stop = _stop();
        stop.exportWh = 7;
        _settle(terms, _start(), stop);
        _openAgain();
        _expectBackwards(_begin(stop.importWh, 10), _end(stop.importWh, 11), 0, 7);
    }

    function _expectBackwards(MeterReading memory start, MeterReading memory stop, uint64 register, uint64 previous)
        private
    {
        _expectRevert(
            start,
            stop,
            abi.encodeWithSelector(
                ISettlement.RegisterBackwards.selector, terms.session, register * 1000, previous * 1000
            )
        );
    }

    /// @dev A rotated meter begins with registers and counters of its own.
    function test_settle_withANewMeterStartsAnew() public {
        _settle(terms, _start(), _stop());
        vm.prank(owner);
        registry.setMeter(EVSE, _meterId(otherMeter.addr));
        Request memory request = _request();
        (request.nonce, request.totalCeiling, request.meter) = (2, 1e6, _meterId(otherMeter.addr));
        terms = _open(request);
        SignedReading[] memory readings = new SignedReading[](2);
        readings[0] = _signed(otherMeter, _begin(0, 1));
        readings[1] = _signed(otherMeter, _end(1_000, 2));
        assertEq(_settle(terms, _flatTariff(), readings).amount, 420_000, "amount");
    }

    function test_boundary_timesAtTheEdges() public {
        MeterReading memory start = _start();
        MeterReading memory stop = _stop();
        start.time = uint40(START - 1 hours);
        stop.time = uint40(START);
        _settle(terms, start, stop);
        assertEq(uint8(_stateOf(terms)), uint8(SessionState.Settled), "state");
    }

    function test_revert_OutsideSession_startBeforeOpening(uint40 time) public {
        MeterReading memory start = _start();
        start.time = uint40(bound(time, 0, START - 1 hours - 1));
        _expectOutside(start, _stop(), start.time, START - 1 hours, block.timestamp);
    }

    function test_revert_OutsideSession_startInTheFuture(uint40 time) public {
        MeterReading memory start = _start();
        MeterReading memory stop = _stop();
        start.time = uint40(bound(time, block.timestamp + 1, type(uint40).max));
        stop.time = start.time;
        _expectOutside(start, stop, start.time, START - 1 hours, block.timestamp);
    }

    function test_revert_OutsideSession_stopBeforeStart(uint40 time) public {
        MeterReading memory stop = _stop();
        stop.time = uint40(bound(time, 0, START - 1));
        _expectOutside(_start(), stop, stop.time, START, type(uint40).max);
    }

    /// @dev The driver has signed nothing for a stay that was over before.
    function test_revert_OutsideSession_overBeforeTheOpening(uint40 time) public {
        MeterReading memory start = _start();
        MeterReading memory stop = _stop();
        start.time = uint40(START - 1 hours);
        stop.time = uint40(bound(time, start.time, START - 1));
        _expectOutside(start, stop, stop.time, START, block.timestamp);
    }

    function test_revert_OutsideSession_stopInTheFuture(uint40 time) public {
        MeterReading memory stop = _stop();
        stop.time = uint40(bound(time, block.timestamp + 1, type(uint40).max));
        _expectOutside(_start(), stop, stop.time, START, block.timestamp);
    }

    function _expectOutside(
        MeterReading memory start,
        MeterReading memory stop,
        uint40 time,
        uint256 from,
        uint256 until
    ) private {
        _expectRevert(
            start, stop, abi.encodeWithSelector(ISettlement.OutsideSession.selector, terms.session, time, from, until)
        );
    }
}
