// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {AttackTest} from "./AttackTest.sol";

/// @notice Settlement's libraries read the arguments of a call where they lie. However a caller writes them, an act is
/// refused, or is the very same act: same state, same events.
contract AttacksCalldataTest is AttackTest {
    uint256 private constant TERMS_WORDS = 16;
    uint256 private constant BILL_WORDS = 12;
    uint256 private constant ACTS = 10;

    /// @dev The session that is open beside the settled one of the base.
    Terms private open;
    Terms private openOcmf;

    struct Act {
        address sender;
        uint256 time;
        bytes call;
        uint256 words; // that say what is done to which session, from the first
    }

    function setUp() public override {
        super.setUp();
        Request memory request = _request();
        (request.nonce, request.totalCeiling) = (2, 1e6);
        open = _open(request);
        openOcmf = _openOcmf(6);
        _deposit(driver.addr, HELD);
    }

    // The acts

    function _act(uint256 which) private view returns (Act memory act) {
        act.sender = oracle;
        act.time = START + 3 hours;
        act.words = type(uint256).max;
        if (which == 0) act.call = _opening();
        else if (which == 1) act.call = _amendmentCall();
        else if (which == 2) (act.call, act.time) = (_presenceCall(), open.departure + 1 hours);
        else if (which == 3) act.call = _settlementCall();
        else if (which == 4) act.call = _disputeCall();
        else if (which == 5) (act.call, act.words) = (_claimCall(), TERMS_WORDS + BILL_WORDS);
        else if (which == 6) (act.call, act.time) = (_reclaimCall(), open.departure + 1 days);
        else if (which == 7) act.call = _withdrawalCall();
        else if (which == 8) act.call = _migrationCall();
        else act.call = _ocmfCall();
    }

    function _openingRequest() private view returns (Request memory request, bytes memory signature) {
        request = _request();
        (request.evse, request.meter, request.nonce) = (OTHER_EVSE, _meterId(otherMeter.addr), 3);
        (request.validUntil, request.totalCeiling) = (type(uint40).max, 2e6);
        signature = _signRequest(request);
    }

    function _opening() private view returns (bytes memory) {
        (Request memory request, bytes memory signature) = _openingRequest();
        return abi.encodeCall(ISettlement.openSession, (request, _flatTariff(), signature));
    }

    function _amendmentCall() private view returns (bytes memory) {
        Amendment memory amendment = Amendment(open.session, 1, uint40(START + 5 hours), 4, type(uint40).max);
        bytes memory signature = _sign(driver, settlement.amendmentHash(amendment));
        return abi.encodeCall(ISettlement.amendFor, (open, amendment, signature));
    }

    function _presenceCall() private view returns (bytes memory) {
        MeterReading memory reading =
            MeterReading(EVSE, ENERGY_WH + 1, 0, uint40(open.departure + 1 hours), 3, ReadingContext.Interval);
        return abi.encodeCall(ISettlement.keepOpen, (open, _signed(reading)));
    }

    function _settlementCall() private view returns (bytes memory) {
        MeterReading memory start = _begin(ENERGY_WH, 3);
        MeterReading memory stop = _end(2 * ENERGY_WH, 4);
        stop.time = uint40(START + 3 hours);
        return abi.encodeCall(ISettlement.settle, (open, _flatTariff(), _pair(start, stop)));
    }

    function _disputeCall() private view returns (bytes memory) {
        MeterReading memory stop = _end(ENERGY_WH / 2, 2);
        stop.time = uint40(START + 1 hours);
        return abi.encodeCall(ISettlement.dispute, (terms, bill, _flatTariff(), _pair(_startReading(), stop)));
    }

    function _claimCall() private view returns (bytes memory) {
        return abi.encodeCall(ISettlement.claimFlexibility, (terms, bill, _moved()));
    }

    function _reclaimCall() private view returns (bytes memory) {
        return abi.encodeCall(ISettlement.reclaim, (open));
    }

    function _order() private view returns (Withdrawal memory) {
        return Withdrawal(driver.addr, address(certificates), 1e6, 5, type(uint40).max);
    }

    function _ocmfCall() private view returns (bytes memory) {
        OcmfRecord[] memory records = _ocmfRecord("11");
        return abi.encodeCall(ISettlement.settleOcmf, (openOcmf, _flatTariff(), _ocmfKey(), records));
    }

    function _withdrawalCall() private view returns (bytes memory) {
        Withdrawal memory order = _order();
        return abi.encodeCall(ISettlement.withdrawFor, (order, _sign(driver, settlement.withdrawalHash(order))));
    }

    function _migrationCall() private view returns (bytes memory) {
        Withdrawal memory order = _order();
        order.to = address(this);
        return abi.encodeCall(ISettlement.migrateFor, (order, _sign(driver, settlement.migrationHash(order))));
    }

    /// @dev The target of the migration: it takes what it is allowed.
    function deposit(address, uint256 amount) external {
        credit.transferFrom(msg.sender, address(this), amount);
    }

    // What they come to

    function _run(address sender, bytes memory call) private returns (bool ok, bytes32 digest) {
        vm.recordLogs();
        (ok,) = _call(sender, call);
        digest = keccak256(abi.encode(vm.getRecordedLogs(), _state()));
    }

    function _call(address sender, bytes memory call) private returns (bool, bytes memory) {
        vm.prank(sender);
        return address(settlement).call(call);
    }

    function _state() private view returns (bytes32) {
        bytes32 places =
            keccak256(abi.encode(_place(EVSE, 0), _place(EVSE, 1), _place(OTHER_EVSE, 0), _place(OCMF_EVSE, 0)));
        (uint256 claimable, uint256 pending) = settlement.claimableOf(SITE);
        (uint64 register,, uint48 counter,) = settlement.billedOf(EVSE, _meterId(meter.addr));
        bytes32 money = keccak256(
            abi.encode(settlement.balanceOf(driver.addr), settlement.accounted(), claimable, pending, register)
        );
        uint256 received = credit.balanceOf(address(certificates));
        return keccak256(abi.encode(places, money, counter, received, _tokens(), _nonces()));
    }

    function _place(bytes32 evse, uint16 index) private view returns (bytes memory) {
        (bytes26 commitment, uint40 time, SessionState state) = settlement.placeAt(evse, index);
        return abi.encode(commitment, time, state);
    }

    function _nonces() private view returns (uint256 bits) {
        for (uint64 nonce; nonce < 8; ++nonce) {
            if (settlement.isNonceUsed(driver.addr, nonce)) bits |= uint256(1) << nonce;
        }
    }

    /// @dev The act as the compiler writes it.
    function _canonical(Act memory act) private returns (bytes32 digest) {
        bool ok;
        vm.warp(act.time);
        uint256 before = vm.snapshotState();
        (ok, digest) = _run(act.sender, act.call);
        assertTrue(ok, "canonical");
        vm.revertToState(before);
    }

    function _assertSameOrRefused(Act memory act, bytes memory call, bytes32 canonical, uint256 offset) private {
        uint256 before = vm.snapshotState();
        (bool ok, bytes32 digest) = _run(act.sender, call);
        if (ok) assertEq(digest, canonical, string.concat("word ", vm.toString(offset)));
        vm.revertToState(before);
    }

    function _flip(bytes memory call, uint256 word, uint256 mask) private pure returns (bytes memory changed) {
        changed = bytes.concat(call);
        assembly ("memory-safe") {
            let at := add(changed, add(36, mul(32, word)))
            mstore(at, xor(mload(at), mask))
        }
    }

    // One word after the other, changed at random

    /// forge-config: default.fuzz.runs = 64
    function test_calldata_anyBitsOfAnyWord(uint256 which, uint256 mask) public {
        vm.assume(mask != 0);
        _everyWord(_act(bound(which, 0, ACTS - 1)), mask);
    }

    /// @dev One bit: the change that is hardest to see.
    /// forge-config: default.fuzz.runs = 64
    function test_calldata_anyBitOfAnyWord(uint256 which, uint256 bit) public {
        _everyWord(_act(bound(which, 0, ACTS - 1)), uint256(1) << bound(bit, 0, 255));
    }

    /// @dev By a multiple of 32 an offset still points at words.
    /// forge-config: default.fuzz.runs = 64
    function test_calldata_offsetsByWords(uint256 which, uint256 distance) public {
        _everyWord(_act(bound(which, 0, ACTS - 1)), 32 * bound(distance, 1, 63));
    }

    /// @dev So far away that an unchecked sum would wrap.
    /// forge-config: default.fuzz.runs = 64
    function test_calldata_hugeValues(uint256 which, uint256 distance) public {
        _everyWord(_act(bound(which, 0, ACTS - 1)), type(uint256).max - 32 * bound(distance, 0, 63));
    }

    function _everyWord(Act memory act, uint256 mask) private {
        bytes32 canonical = _canonical(act);
        uint256 words = (act.call.length - 4) / 32;
        if (words > act.words) words = act.words;
        for (uint256 i; i < words; ++i) {
            _assertSameOrRefused(act, _flip(act.call, i, mask), canonical, i);
        }
    }

    /// @dev The acts that others must come before.
    /// forge-config: default.fuzz.runs = 64
    function test_calldata_anyBitsOfMintingAndDisputing(uint256 mask, uint256 distance) public {
        vm.assume(mask != 0);
        distance = 32 * bound(distance, 1, 63);
        Act memory act = Act(oracle, START + 3 hours, "", type(uint256).max);
        vm.warp(act.time);
        vm.recordLogs();
        (bool ok,) = _call(oracle, _ocmfCall());
        assertTrue(ok, "settled");
        Bill memory billed = _lastBill();
        OcmfRecord[] memory lower = _ocmfRecord("6");
        act.call = abi.encodeCall(ISettlement.disputeOcmf, (openOcmf, billed, _flatTariff(), _ocmfKey(), lower));
        _everyWord(act, mask);
        _everyWord(act, distance);

        _claim(_moved());
        act.time = WINDOW_END + 1;
        act.call = abi.encodeCall(ISettlement.mintReward, (terms, bill));
        _everyWord(act, mask);
        _everyWord(act, distance);
    }

    function test_calldata_truncatedOrLonger(uint256 which, uint256 length, bytes calldata tail) public {
        Act memory act = _act(bound(which, 0, ACTS - 1));
        bytes32 canonical = _canonical(act);
        _assertSameOrRefused(act, bytes.concat(act.call, tail), canonical, 0);
        bytes memory shorter = bytes.concat(act.call);
        length = bound(length, 4, act.call.length - 1);
        assembly ("memory-safe") {
            mstore(shorter, length)
        }
        _assertSameOrRefused(act, shorter, canonical, 0);
    }

    // Terms with something in their unused bits are no terms

    function test_calldata_dirtyTermsAreRefused(uint256 which, uint256 dirt) public {
        uint8[16] memory widths = [0, 0, 0, 0, 160, 160, 32, 40, 40, 40, 128, 16, 16, 64, 16, 0];
        Act memory act = _act(bound(which, 1, 6));
        _canonical(act);
        for (uint256 i; i < widths.length; ++i) {
            if (widths[i] == 0) continue;
            uint256 mask = bound(dirt, 1, (uint256(1) << (256 - widths[i])) - 1) << widths[i];
            uint256 before = vm.snapshotState();
            (bool ok,) = _run(act.sender, _flip(act.call, i, mask));
            assertFalse(ok, vm.toString(i));
            vm.revertToState(before);
        }
    }

    // Dynamic arguments at odd places

    /// @dev The signature before the tariff, a gap between them, and bands that point back at a word of zero.
    function test_calldata_rearrangedOpeningIsTheSame(uint256 gap, uint256 bandsAt) public {
        Act memory act = _act(0);
        (Request memory request, bytes memory signature) = _openingRequest();
        bytes32 canonical = _canonical(act);
        gap = bound(gap, 0, 64);
        // From the tariff's begin: its own zero words behind, and the gap before it.
        int256[5] memory zeros = [int256(32), 64, 96, 128, 192];
        int256 bands = zeros[bandsAt % 5];
        if (bandsAt % 7 == 0 && gap >= 32) bands = -32;
        _rearranged(act, canonical, bytes.concat(abi.encode(request), _tail(signature, gap, bands)));
    }

    function _tail(bytes memory signature, uint256 gap, int256 bands) private pure returns (bytes memory) {
        uint256 signatureAt = 12 * 32;
        bytes memory first = abi.encode(signature.length);
        first = bytes.concat(first, signature, new bytes(31), new bytes(gap));
        bytes memory head = abi.encode(signatureAt + first.length, signatureAt);
        bytes memory tariff = abi.encode(PRICE, 0, 0, 0, 0, bands, 0);
        return bytes.concat(head, first, tariff);
    }

    function _rearranged(Act memory act, bytes32 canonical, bytes memory arguments) private {
        (bool ok, bytes32 digest) = _run(act.sender, bytes.concat(ISettlement.openSession.selector, arguments));
        assertTrue(ok, "understood");
        assertEq(digest, canonical, "the same session");
    }

    // Several calls in one

    function _multicall(bytes memory a, bytes memory b) private pure returns (bytes memory) {
        bytes[] memory calls = new bytes[](2);
        (calls[0], calls[1]) = (a, b);
        return abi.encodeWithSignature("multicall(bytes[])", calls);
    }

    /// @dev Every call of several reads its own arguments, at any depth, whatever lies around them.
    function test_multicall_eachReadsItsOwnArguments(bytes calldata tail) public {
        Act memory opening = _act(0);
        Act memory settling = _act(3);
        vm.warp(opening.time);
        uint256 before = vm.snapshotState();
        _run(oracle, opening.call);
        _run(oracle, settling.call);
        bytes32 apart = _state();
        vm.revertToState(before);

        bytes memory inner = _multicall(opening.call, bytes.concat(settling.call, tail));
        bytes memory nothing = abi.encodeCall(ISettlement.setLowBalanceThreshold, (0));
        (bool ok,) = _run(oracle, _multicall(nothing, inner));
        assertTrue(ok, "both");
        assertEq(_state(), apart, "as one after the other");
    }

    /// @dev A call of several is its sender's, not the contract's.
    function test_multicall_lendsNoRights(address who) public {
        vm.assume(who != oracle && who != owner);
        Act memory act = _act(3);
        vm.warp(act.time);
        bytes[] memory calls = new bytes[](1);
        calls[0] = act.call;
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotAuthorised.selector, SITE, who, RIGHT_SETTLE));
        vm.prank(who);
        settlement.multicall(calls);
    }

    /// @dev Nor is there anything behind no selector, or half a one.
    function test_multicall_callsWithoutArguments(bytes calldata few) public {
        bytes[] memory calls = new bytes[](1);
        calls[0] = few[:few.length < 4 ? few.length : 3];
        vm.expectRevert();
        settlement.multicall(calls);
        calls[0] = abi.encodePacked(ISettlement.reclaim.selector);
        vm.expectRevert();
        settlement.multicall(calls);
        assertEq(uint8(_stateOf(open)), uint8(SessionState.Active), "state");
    }

    /// @dev One that fails takes the others with it.
    function test_multicall_sessionsSettleAllOrNone() public {
        Act memory act = _act(3);
        vm.warp(act.time);
        bytes32 before = _state();
        (bool ok,) = _run(oracle, _multicall(act.call, act.call));
        assertFalse(ok, "the second settlement of one session");
        assertEq(_state(), before, "as before");
    }
}
