// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import "../src/IProtocol.sol";
import {Settlement} from "../src/Settlement.sol";
import {FlexibilityToken} from "../src/tokens/FlexibilityToken.sol";
import {BaseTest} from "./BaseTest.sol";

contract SettlementSettleTest is BaseTest {
    uint128 private constant HELD = 10e6;
    /// @dev The hold pays for 23,809 Wh.
    uint64 private constant FIRST_WH = 500_000;

    bytes32 private session;

    function setUp() public override {
        super.setUp();
        session = _openFunded();
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
        _expectRevert(start, stop, _unmoved(), reason);
    }

    function _expectRevert(
        MeterReading memory start,
        MeterReading memory stop,
        Flexibility memory moved,
        bytes memory reason
    ) private {
        bytes memory startSignature = _signReading(start);
        bytes memory stopSignature = _signReading(stop);
        vm.expectRevert(reason);
        vm.prank(oracle);
        settlement.settle(session, start, startSignature, stop, stopSignature, moved);
    }

    /// @dev Settles and expects the receipt as event and as return value.
    function _settleExpecting(
        MeterReading memory start,
        MeterReading memory stop,
        uint128 amount,
        Flexibility memory moved
    ) private {
        bytes memory startSignature = _signReading(start);
        bytes memory stopSignature = _signReading(stop);
        bytes32 receipt =
            keccak256(abi.encode(session, start.counter, stop.counter, start.importWh, stop.importWh, amount));
        vm.expectEmit(address(settlement));
        _emitReceipt(receipt, start, stop, amount, moved);
        vm.prank(oracle);
        bytes32 returned = settlement.settle(session, start, startSignature, stop, stopSignature, moved);
        assertEq(returned, receipt, "receipt");
    }

    function _emitReceipt(
        bytes32 receipt,
        MeterReading memory start,
        MeterReading memory stop,
        uint128 amount,
        Flexibility memory moved
    ) private {
        emit ISettlement.SessionSettled(
            session, driver.addr, EVSE, receipt, SITE, start, stop, PRICE, amount, HELD - amount, moved
        );
    }

    function test_settle(uint64 importWh, uint64 energyWh) public {
        MeterReading memory start = _start();
        start.importWh = uint64(bound(importWh, 0, type(uint64).max - MAX_WH));
        energyWh = uint64(bound(energyWh, 0, MAX_WH));
        MeterReading memory stop = _stop();
        stop.importWh = start.importWh + energyWh;
        uint256 due = uint256(energyWh) * PRICE / 1000;
        uint128 amount = due > HELD ? HELD : uint128(due);

        _settleExpecting(start, stop, amount, _unmoved());

        assertEq(settlement.balanceOf(owner), amount, "wallet of owner");
        assertEq(settlement.balanceOf(driver.addr), HELD - amount, "wallet of driver");
        assertEq(settlement.accounted(), HELD, "accounted");
        assertEq(uint8(settlement.session(session).state), uint8(SessionState.Settled), "state");
        assertEq(settlement.openSessionAt(EVSE), 0, "open session");
    }

    function test_settle_roundsDown() public {
        MeterReading memory stop = _stop();
        stop.importWh = FIRST_WH + 1;
        vm.prank(owner);
        registry.setPrice(EVSE, 999);
        _settle(session, _start(), stop);
        assertEq(settlement.balanceOf(owner), 420, "1 Wh at the price of the opening");
    }

    function test_settle_siteOwnerPaysNothing() public {
        _settle(session, _start(), _stop());
        vm.prank(owner);
        registry.registerDriver();
        Request memory request = _request();
        request.driver = owner;
        bytes memory signature = _sign(vm.createWallet("owner"), settlement.sessionId(request));
        vm.prank(oracle);
        bytes32 own = settlement.openSession(request, signature);
        uint256 before = settlement.balanceOf(owner);
        MeterReading memory stop = _end(FIRST_WH + 90_000, 11);
        _settle(own, _begin(FIRST_WH + 10_000, 10), stop);
        assertEq(settlement.balanceOf(owner), before, "wallet of owner");
        assertEq(uint8(settlement.session(own).state), uint8(SessionState.Settled), "state");
    }

    function test_settle_showsFlexibilityAndMintsNothing(uint32 activated, uint64 displaced, int64 worth) public {
        // 2 hours from the start of an interval touch nine of them.
        activated = uint32(bound(activated, 0, 10_000));
        displaced = uint64(bound(displaced, 0, 9 * 10_000));
        _settleExpecting(_start(), _stop(), 4_200_000, Flexibility(activated, displaced, worth, false));
        assertEq(FlexibilityToken(settlement.flexibility()).totalSupply(), 0, "supply");
    }

    /// @dev Computed here from the standard, not from the contract.
    function test_readingHash_isEip712DigestWithoutChain(uint64 chain) public {
        MeterReading memory r = _start();
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

    function test_revert_WrongState_unknown(bytes32 id) public {
        vm.assume(id != session);
        session = id;
        _expectRevert(_start(), _stop(), abi.encodeWithSelector(ISettlement.WrongState.selector, id, SessionState.None));
    }

    function test_revert_WrongState_settledTwice() public {
        _settle(session, _start(), _stop());
        _expectRevert(
            _begin(FIRST_WH + 10_000, 10),
            _end(FIRST_WH + 20_000, 11),
            abi.encodeWithSelector(ISettlement.WrongState.selector, session, SessionState.Settled)
        );
    }

    function test_revert_WrongState_reclaimed() public {
        vm.warp(START + 3 days);
        settlement.reclaim(session);
        _expectRevert(
            _start(), _stop(), abi.encodeWithSelector(ISettlement.WrongState.selector, session, SessionState.Reclaimed)
        );
    }

    function test_revert_NotAuthorised(address who) public {
        vm.assume(who != oracle && who != owner);
        bytes memory startSignature = _signReading(_start());
        bytes memory stopSignature = _signReading(_stop());
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotAuthorised.selector, SITE, who, RIGHT_SETTLE));
        vm.prank(who);
        settlement.settle(session, _start(), startSignature, _stop(), stopSignature, _unmoved());
    }

    function test_revert_WrongMeter_start(bytes32 asset) public {
        vm.assume(asset != EVSE);
        MeterReading memory start = _start();
        start.asset = asset;
        _expectRevert(start, _stop(), abi.encodeWithSelector(ISettlement.WrongMeter.selector, session, asset, EVSE));
    }

    function test_revert_WrongMeter_stop(bytes32 asset) public {
        vm.assume(asset != EVSE);
        MeterReading memory stop = _stop();
        stop.asset = asset;
        _expectRevert(_start(), stop, abi.encodeWithSelector(ISettlement.WrongMeter.selector, session, asset, EVSE));
    }

    function test_revert_WrongContext_start() public {
        MeterReading memory start = _start();
        start.context = ReadingContext.Interval;
        _expectRevert(
            start,
            _stop(),
            abi.encodeWithSelector(
                ISettlement.WrongContext.selector, session, ReadingContext.Interval, ReadingContext.Begin
            )
        );
    }

    function test_revert_WrongContext_stop() public {
        MeterReading memory stop = _stop();
        stop.context = ReadingContext.Begin;
        _expectRevert(
            _start(),
            stop,
            abi.encodeWithSelector(ISettlement.WrongContext.selector, session, ReadingContext.Begin, ReadingContext.End)
        );
    }

    function test_revert_BadMeterSignature_otherMeter() public {
        bytes memory startSignature = _sign(otherMeter, settlement.readingHash(_start()));
        bytes memory stopSignature = _signReading(_stop());
        _expectBadSignature(startSignature, stopSignature, otherMeter.addr);
    }

    function test_revert_BadMeterSignature_stop() public {
        bytes memory startSignature = _signReading(_start());
        bytes memory stopSignature = _sign(otherMeter, settlement.readingHash(_stop()));
        _expectBadSignature(startSignature, stopSignature, otherMeter.addr);
    }

    function test_revert_BadMeterSignature_malformed(bytes memory signature) public {
        vm.assume(signature.length != 65);
        _expectBadSignature(signature, _signReading(_stop()), address(0));
    }

    function test_revert_BadMeterSignature_highS() public {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(meter.privateKey, settlement.readingHash(_start()));
        bytes memory twin = abi.encodePacked(r, bytes32(SECP256K1_ORDER - uint256(s)), v ^ 7);
        _expectBadSignature(twin, _signReading(_stop()), address(0));
    }

    function _expectBadSignature(bytes memory startSignature, bytes memory stopSignature, address signer) private {
        vm.expectRevert(abi.encodeWithSelector(ISettlement.BadMeterSignature.selector, session, signer, meter.addr));
        vm.prank(oracle);
        settlement.settle(session, _start(), startSignature, _stop(), stopSignature, _unmoved());
    }

    /// @dev A register's signature is good on every chain; what it can be billed for is not.
    function test_replay_readingsInTheNextSession() public {
        MeterReading memory start = _start();
        MeterReading memory stop = _stop();
        _settle(session, start, stop);
        Request memory request = _request();
        request.nonce = 2;
        request.totalCeiling = 1e6;
        session = _open(request);
        _expectRevert(
            start, stop, abi.encodeWithSelector(ISettlement.CounterBackwards.selector, session, uint64(1), uint64(9))
        );
    }

    function test_replay_readingsAtAnotherEvse() public {
        Request memory request = _request();
        request.evse = OTHER_EVSE;
        request.meterKey = otherMeter.addr;
        request.nonce = 2;
        _deposit(driver.addr, 10e6);
        session = _open(request);
        _expectRevert(
            _start(), _stop(), abi.encodeWithSelector(ISettlement.WrongMeter.selector, session, EVSE, OTHER_EVSE)
        );
    }

    function test_replay_settledSessionInAnotherContract() public {
        _settle(session, _start(), _stop());
        Settlement other = new Settlement(registry, IERC20(address(credit)));
        bytes memory startSignature = _signReading(_start());
        bytes memory stopSignature = _signReading(_stop());
        vm.expectRevert(abi.encodeWithSelector(ISettlement.WrongState.selector, session, SessionState.None));
        vm.prank(oracle);
        other.settle(session, _start(), startSignature, _stop(), stopSignature, _unmoved());
    }

    function test_revert_CounterBackwards_withinSession(uint64 counter) public {
        MeterReading memory start = _start();
        MeterReading memory stop = _stop();
        start.counter = 5;
        stop.counter = uint64(bound(counter, 0, 5));
        _expectRevert(
            start, stop, abi.encodeWithSelector(ISettlement.CounterBackwards.selector, session, stop.counter, uint64(5))
        );
    }

    /// @dev A meter counts from one: zero is what "never billed" looks like.
    function test_revert_CounterBackwards_zero() public {
        MeterReading memory start = _start();
        start.counter = 0;
        _expectRevert(
            start, _stop(), abi.encodeWithSelector(ISettlement.CounterBackwards.selector, session, uint64(0), uint64(0))
        );
    }

    function test_revert_RegisterBackwards_withinSession(uint64 register) public {
        MeterReading memory stop = _stop();
        stop.importWh = uint64(bound(register, 0, FIRST_WH - 1));
        _expectRevert(
            _start(),
            stop,
            abi.encodeWithSelector(ISettlement.RegisterBackwards.selector, session, stop.importWh, FIRST_WH)
        );
    }

    function test_revert_RegisterBackwards_exportWithinSession() public {
        MeterReading memory start = _start();
        start.exportWh = 1;
        _expectRevert(
            start,
            _stop(),
            abi.encodeWithSelector(ISettlement.RegisterBackwards.selector, session, uint64(0), uint64(1))
        );
    }

    function test_revert_RegisterBackwards_sinceLastBill(uint64 register) public {
        _settle(session, _start(), _stop());
        Request memory request = _request();
        request.nonce = 2;
        request.totalCeiling = 1e6;
        session = _open(request);
        uint64 billed = FIRST_WH + 10_000;
        register = uint64(bound(register, 0, billed - 1));
        _expectRevert(
            _begin(register, 10),
            _end(billed, 11),
            abi.encodeWithSelector(ISettlement.RegisterBackwards.selector, session, register, billed)
        );
    }

    function test_revert_RegisterBackwards_exportSinceLastBill() public {
        MeterReading memory stop = _stop();
        stop.exportWh = 7;
        _settle(session, _start(), stop);
        Request memory request = _request();
        request.nonce = 2;
        request.totalCeiling = 1e6;
        session = _open(request);
        _expectRevert(
            _begin(stop.importWh, 10),
            _end(stop.importWh, 11),
            abi.encodeWithSelector(ISettlement.RegisterBackwards.selector, session, uint64(0), uint64(7))
        );
    }

    function test_boundary_timesAtTheEdges() public {
        MeterReading memory start = _start();
        start.time = uint40(START - 1 hours);
        _settle(session, start, _stop());
        assertEq(uint8(settlement.session(session).state), uint8(SessionState.Settled), "state");
    }

    function test_revert_OutsideSession_startBeforeOpening(uint40 time) public {
        MeterReading memory start = _start();
        start.time = uint40(bound(time, 0, START - 1 hours - 1));
        _expectOutside(start, _stop(), start.time, START - 1 hours);
    }

    function test_revert_OutsideSession_startInTheFuture(uint40 time) public {
        MeterReading memory start = _start();
        start.time = uint40(bound(time, block.timestamp + 1, type(uint40).max));
        _expectOutside(start, _stop(), start.time, START - 1 hours);
    }

    function test_revert_OutsideSession_stopBeforeStart(uint40 time) public {
        MeterReading memory stop = _stop();
        stop.time = uint40(bound(time, 0, START - 1));
        _expectOutside(_start(), stop, stop.time, START);
    }

    function test_revert_OutsideSession_stopInTheFuture(uint40 time) public {
        MeterReading memory stop = _stop();
        stop.time = uint40(bound(time, block.timestamp + 1, type(uint40).max));
        _expectOutside(_start(), stop, stop.time, START);
    }

    function _expectOutside(MeterReading memory start, MeterReading memory stop, uint40 time, uint256 from) private {
        _expectRevert(
            start,
            stop,
            abi.encodeWithSelector(ISettlement.OutsideSession.selector, session, time, from, block.timestamp)
        );
    }

    function test_revert_TooMuchFlexibility_activated(uint32 activated) public {
        activated = uint32(bound(activated, 10_001, type(uint32).max));
        _expectRevert(
            _start(),
            _stop(),
            Flexibility(activated, 0, 0, false),
            abi.encodeWithSelector(ISettlement.TooMuchFlexibility.selector, session, uint256(activated), 10_000)
        );
    }

    function test_revert_TooMuchFlexibility_displaced(uint64 displaced) public {
        displaced = uint64(bound(displaced, 90_001, type(uint64).max));
        _expectRevert(
            _start(),
            _stop(),
            Flexibility(0, displaced, 0, false),
            abi.encodeWithSelector(ISettlement.TooMuchFlexibility.selector, session, uint256(displaced), 90_000)
        );
    }

    function test_revert_NoVerifier() public {
        _expectRevert(
            _start(),
            _stop(),
            Flexibility(0, 0, 0, true),
            abi.encodeWithSelector(ISettlement.NoVerifier.selector, session)
        );
    }
}
