// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Vm} from "forge-std/Vm.sol";
import "../src/IProtocol.sol";
import {BaseTest} from "./BaseTest.sol";

/// @notice Builds the tree as IDispatch defines it, apart from the code that checks it.
library Tree {
    function leaf(uint16 lane, bytes32 startDigest, bytes32 stopDigest) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(lane, startDigest, stopDigest))));
    }

    function root(bytes32[] memory leaves) internal pure returns (bytes32) {
        while (leaves.length > 1) {
            leaves = above(leaves);
        }
        return leaves[0];
    }

    function path(bytes32[] memory leaves, uint256 index) internal pure returns (bytes32[] memory siblings) {
        siblings = new bytes32[](16);
        uint256 depth;
        for (; leaves.length > 1; leaves = above(leaves)) {
            if (index ^ 1 < leaves.length) siblings[depth++] = leaves[index ^ 1];
            index /= 2;
        }
        assembly {
            mstore(siblings, depth)
        }
    }

    function above(bytes32[] memory leaves) internal pure returns (bytes32[] memory nodes) {
        nodes = new bytes32[]((leaves.length + 1) / 2);
        for (uint256 i; i < leaves.length; i += 2) {
            nodes[i / 2] = i + 1 == leaves.length ? leaves[i] : node(leaves[i], leaves[i + 1]);
        }
    }

    function node(bytes32 a, bytes32 b) internal pure returns (bytes32) {
        return a < b ? keccak256(bytes.concat(a, b)) : keccak256(bytes.concat(b, a));
    }
}

/// @notice One metered interval of the demo site, its evidence, and everything that may be wrong with either.
contract DispatchDisputesTest is BaseTest {
    uint32 private constant NEXT = FIRST + 1;
    uint256 private constant BEGIN = uint256(NEXT) * INTERVAL_S;
    uint256 private constant OVER = BEGIN + INTERVAL_S;
    /// @dev The EVSE that the demo's meter and the other demo meter read.
    uint16 private constant LANE = 2;
    uint16 private constant OTHER_LANE = 3;
    int256 private constant POSTED_WH = 2_760;

    bytes32 private previous;
    bytes32[] private later;
    bytes32[] private leaves;
    bytes private lanes;

    function setUp() public override {
        super.setUp();
        bytes memory setpoints = _setpoints(_soundSetpoints());
        vm.prank(oracle);
        dispatch.postSetpoints(SITE, NEXT, setpoints, 0);
        vm.warp(OVER);
        previous = dispatch.history(SITE);
    }

    function _start() private view returns (MeterReading memory) {
        return MeterReading(EVSE, 10_000, 500, uint40(BEGIN), 7, ReadingContext.Interval);
    }

    function _stop() private view returns (MeterReading memory) {
        return MeterReading(EVSE, 12_760, 500, uint40(OVER), 10, ReadingContext.Interval);
    }

    /// @dev A reading that fits between the two of the demo.
    function _between() private view returns (MeterReading memory) {
        return MeterReading(EVSE, 11_000, 500, uint40(BEGIN + 400), 8, ReadingContext.Begin);
    }

    function _post(MeterReading memory start, MeterReading memory stop, bytes memory energies) private {
        lanes = energies;
        delete leaves;
        for (uint16 lane; lane < LANES; ++lane) {
            bool known = lane == LANE;
            bytes32 startDigest = known ? settlement.readingHash(start) : bytes32(0);
            leaves.push(Tree.leaf(lane, startDigest, known ? settlement.readingHash(stop) : bytes32(0)));
        }
        vm.prank(oracle);
        dispatch.postReadings(SITE, NEXT, lanes, Tree.root(leaves));
    }

    function _postSound() private {
        _post(_start(), _stop(), _readings(_soundReadings()));
    }

    /// @dev What the demo's readings do not say: 10 Wh more.
    function _postWrongLane() private {
        int32[] memory values = _soundReadings();
        values[LANE] += 10;
        _post(_start(), _stop(), _readings(values));
    }

    function _follow(uint32 interval) private {
        bytes memory setpoints = _setpoints(_soundSetpoints());
        vm.prank(oracle);
        dispatch.postSetpoints(SITE, interval, setpoints, bytes32(uint256(interval)));
        later.push(keccak256(abi.encode(1, SITE, interval, keccak256(setpoints), bytes32(uint256(interval)))));
    }

    function _proofOf(uint16 lane) private view returns (ReadingProof memory) {
        return ReadingProof(previous, lanes, Tree.root(leaves), later, lane, Tree.path(leaves, lane));
    }

    function _proof() private view returns (ReadingProof memory) {
        return _proofOf(LANE);
    }

    function _prove(ReadingProof memory proof) private view returns (int256) {
        bytes32 startDigest = settlement.readingHash(_start());
        return dispatch.proveReading(SITE, NEXT, proof, startDigest, settlement.readingHash(_stop()));
    }

    function _expectProofRefused(ReadingProof memory proof, bytes memory reason) private {
        bytes32 startDigest = settlement.readingHash(_start());
        bytes32 stopDigest = settlement.readingHash(_stop());
        vm.expectRevert(reason);
        dispatch.proveReading(SITE, NEXT, proof, startDigest, stopDigest);
    }

    function _folded(ReadingProof memory proof) private view returns (bytes32 folded) {
        bytes32 step = keccak256(abi.encode(2, SITE, NEXT, keccak256(proof.lanes), proof.root));
        folded = keccak256(abi.encode(proof.previous, step));
        for (uint256 i; i < proof.later.length; ++i) {
            folded = keccak256(abi.encode(folded, proof.later[i]));
        }
    }

    function _mismatch(ReadingProof memory proof) private view returns (bytes memory) {
        return abi.encodeWithSelector(IDispatch.HistoryMismatch.selector, SITE, _folded(proof), dispatch.history(SITE));
    }

    // Proofs.

    function test_proveReading() public {
        _postSound();
        assertEq(_prove(_proof()), POSTED_WH, "energy");
    }

    function test_proveReading_afterAnyNumberOfSteps(uint256 steps) public {
        _postSound();
        steps = bound(steps, 0, 95);
        for (uint32 i; i < steps; ++i) {
            _follow(NEXT + 2 + i);
        }
        assertEq(_prove(_proof()), POSTED_WH, "energy");
    }

    function test_proveReading_silentMeterIsAnEstimate() public {
        _postSound();
        assertEq(dispatch.proveReading(SITE, NEXT, _proofOf(1), 0, 0), -5_000, "energy");
    }

    /// @dev Trees of any size, odd ones among them, against leaves of every lane.
    function test_proveReading_treeOfAnySize(uint256 seed, uint16 size, uint16 lane) public {
        size = uint16(bound(size, 1, 40));
        lane = uint16(bound(lane, 0, size - 1));
        bytes32 site = _siteOfSize(size);
        delete leaves;
        lanes = "";
        for (uint16 i; i < size; ++i) {
            (bytes32 startDigest, bytes32 stopDigest) = _digests(seed, i);
            leaves.push(Tree.leaf(i, startDigest, stopDigest));
            lanes = bytes.concat(lanes, bytes4(uint32(i) + 1));
        }
        bytes32 before = dispatch.history(site);
        vm.prank(owner);
        dispatch.postReadings(site, NEXT + 2, lanes, Tree.root(leaves));
        ReadingProof memory proof =
            ReadingProof(before, lanes, Tree.root(leaves), new bytes32[](0), lane, Tree.path(leaves, lane));
        assertTrue(MerkleProof.verify(proof.siblings, proof.root, leaves[lane]), "OpenZeppelin's form");
        (bytes32 start, bytes32 stop) = _digests(seed, lane);
        assertEq(dispatch.proveReading(site, NEXT + 2, proof, start, stop), int256(uint256(lane)) + 1, "energy");

        bytes32 leaf = Tree.leaf(lane, stop, start);
        vm.expectRevert(abi.encodeWithSelector(IDispatch.ReadingNotInRoot.selector, site, leaf, proof.root));
        dispatch.proveReading(site, NEXT + 2, proof, stop, start);
    }

    function _digests(uint256 seed, uint256 lane) private pure returns (bytes32 start, bytes32 stop) {
        return (keccak256(abi.encode(seed, lane, 0)), keccak256(abi.encode(seed, lane, 1)));
    }

    /// @dev A site of EVSEs with a metered interval to be.
    function _siteOfSize(uint16 size) private returns (bytes32 site) {
        string memory clearId = string.concat("size", vm.toString(size));
        site = keccak256(bytes(clearId));
        Group[] memory groups = new Group[](1);
        groups[0] = Group(0, 1e6, 0);
        Asset[] memory assets = new Asset[](size);
        string[] memory clearIds = new string[](size);
        for (uint256 i; i < size; ++i) {
            clearIds[i] = string.concat(clearId, "/", vm.toString(i));
            assets[i] = _asset(clearIds[i], AssetKind.Evse, 0, 11_000);
        }
        vm.startPrank(owner);
        registry.registerSite(clearId, "Europe/Berlin", 0, 0);
        registry.registerGroups(site, groups);
        registry.registerAssets(site, assets, clearIds);
        dispatch.postSetpoints(site, NEXT + 2, new bytes(2 * size), 0);
        vm.stopPrank();
        vm.warp((uint256(NEXT) + 3) * INTERVAL_S);
    }

    function test_revert_HistoryMismatch_otherPrevious(bytes32 other) public {
        _postSound();
        vm.assume(other != previous);
        ReadingProof memory proof = _proof();
        proof.previous = other;
        _expectProofRefused(proof, _mismatch(proof));
    }

    function test_revert_HistoryMismatch_otherLanes(uint256 place, bytes1 flip) public {
        _postSound();
        vm.assume(flip != 0);
        ReadingProof memory proof = _proof();
        proof.lanes[place % proof.lanes.length] ^= flip;
        _expectProofRefused(proof, _mismatch(proof));
    }

    function test_revert_HistoryMismatch_otherRoot(bytes32 other) public {
        _postSound();
        ReadingProof memory proof = _proof();
        vm.assume(other != proof.root);
        proof.root = other;
        _expectProofRefused(proof, _mismatch(proof));
    }

    function test_revert_HistoryMismatch_stepPostedMeanwhile() public {
        _postSound();
        ReadingProof memory proof = _proof();
        _follow(NEXT + 2);
        _expectProofRefused(proof, _mismatch(proof));
        assertEq(_prove(_proof()), POSTED_WH, "with the step");
    }

    function test_revert_HistoryMismatch_stepsInOtherOrder() public {
        _postSound();
        _follow(NEXT + 2);
        _follow(NEXT + 3);
        ReadingProof memory proof = _proof();
        (proof.later[0], proof.later[1]) = (proof.later[1], proof.later[0]);
        _expectProofRefused(proof, _mismatch(proof));
    }

    function test_revert_HistoryMismatch_setpointsAreNoReadings() public {
        _postSound();
        bytes memory setpoints = _setpoints(_soundSetpoints());
        ReadingProof memory proof = _proof();
        (proof.previous, proof.lanes, proof.root) = (0, setpoints, 0);
        proof.later = new bytes32[](1);
        proof.later[0] = keccak256(abi.encode(2, SITE, NEXT, keccak256(lanes), Tree.root(leaves)));
        _expectProofRefused(proof, _mismatch(proof));
    }

    function test_revert_TooManySteps() public {
        _postSound();
        ReadingProof memory proof = _proof();
        proof.later = new bytes32[](1024);
        _expectProofRefused(proof, _mismatch(proof));
        proof.later = new bytes32[](1025);
        _expectProofRefused(proof, abi.encodeWithSelector(IDispatch.TooManySteps.selector, SITE, 1025, 1024));
    }

    /// @dev Setpoints of 96 intervals ahead and readings of 96 back, from the readings until no dispute is possible.
    function test_noMoreStepsCanFollowThanAProofMayName() public view {
        uint256 perKind = 1 + dispatch.METERING_WINDOW() + dispatch.READING_DISPUTE_WINDOW() + dispatch.SETPOINT_AHEAD();
        assertLe(2 * perKind, dispatch.MAX_LATER_STEPS(), "steps");
        assertLe(perKind, dispatch.RING_DEPTH(), "ring");
    }

    function test_revert_UnknownLane(uint16 lane) public {
        _postSound();
        lane = uint16(bound(lane, LANES, type(uint16).max));
        ReadingProof memory proof = _proof();
        proof.lane = lane;
        _expectProofRefused(proof, abi.encodeWithSelector(IDispatch.UnknownLane.selector, SITE, lane, LANES));
    }

    function test_revert_ReadingNotInRoot_leafOfAnotherLane(uint16 lane) public {
        _postSound();
        lane = uint16(bound(lane, 0, LANES - 1));
        vm.assume(lane != LANE);
        ReadingProof memory proof = _proof();
        proof.lane = lane;
        bytes32 leaf = Tree.leaf(lane, settlement.readingHash(_start()), settlement.readingHash(_stop()));
        _expectProofRefused(proof, abi.encodeWithSelector(IDispatch.ReadingNotInRoot.selector, SITE, leaf, proof.root));
    }

    function test_revert_ReadingNotInRoot_anySibling(uint256 place, bytes32 flip) public {
        _postSound();
        vm.assume(flip != 0);
        ReadingProof memory proof = _proof();
        proof.siblings[place % proof.siblings.length] ^= flip;
        _expectProofRefused(
            proof, abi.encodeWithSelector(IDispatch.ReadingNotInRoot.selector, SITE, leaves[LANE], proof.root)
        );
    }

    // Lanes that contradict the readings behind them.

    function _expectDisputed(int256 postedWh, int256 provenWh, MeterReading memory start, MeterReading memory stop)
        private
    {
        MeterReading memory none;
        vm.expectEmit(address(dispatch));
        emit IDispatch.ReadingDisputed(SITE, NEXT, LANE, stranger, postedWh, provenWh, start, stop, none);
    }

    function _disputeLane(MeterReading memory start, MeterReading memory stop) private {
        ReadingProof memory proof = _proof();
        vm.prank(stranger);
        dispatch.disputeLane(SITE, NEXT, proof, start, stop);
    }

    function _assertDisputed() private view {
        assertEq(uint8(dispatch.stateOf(SITE, NEXT)), uint8(IntervalState.Disputed), "state");
    }

    function test_disputeLane_notTheDifference(int32 value) public {
        value = int32(bound(value, 0, type(int32).max));
        vm.assume(value != POSTED_WH);
        int32[] memory values = _soundReadings();
        values[LANE] = value;
        _post(_start(), _stop(), _readings(values));
        _expectDisputed(value, POSTED_WH, _start(), _stop());
        _disputeLane(_start(), _stop());
        _assertDisputed();
    }

    /// @dev Registers of 64 bits, whose difference a lane of 32 cannot hold.
    function test_disputeLane_differenceBeyondALane() public {
        (MeterReading memory start, MeterReading memory stop) = (_start(), _stop());
        (start.importWh, stop.importWh) = (0, type(uint64).max);
        _post(start, stop, _readings(_soundReadings()));
        _expectDisputed(POSTED_WH, int256(uint256(type(uint64).max)), start, stop);
        _disputeLane(start, stop);
        _assertDisputed();
    }

    function _disputeSoundLaneOf(MeterReading memory start, MeterReading memory stop) private {
        _post(start, stop, _readings(_soundReadings()));
        _disputeLane(start, stop);
        _assertDisputed();
    }

    function test_disputeLane_readingOfAnotherAsset(bool first) public {
        (MeterReading memory start, MeterReading memory stop) = (_start(), _stop());
        (first ? start : stop).asset = OTHER_EVSE;
        _disputeSoundLaneOf(start, stop);
    }

    function test_disputeLane_counterDoesNotRise(uint64 counter) public {
        (MeterReading memory start, MeterReading memory stop) = (_start(), _stop());
        stop.counter = uint64(bound(counter, 0, start.counter));
        _disputeSoundLaneOf(start, stop);
    }

    function test_disputeLane_registersFall(uint64 fall) public {
        (MeterReading memory start, MeterReading memory stop) = (_start(), _stop());
        fall = uint64(bound(fall, 1, 500));
        stop.exportWh -= fall;
        stop.importWh -= fall;
        _disputeSoundLaneOf(start, stop);
    }

    function test_disputeLane_readingsOfAnotherInterval() public {
        (MeterReading memory start, MeterReading memory stop) = (_start(), _stop());
        (start.time, stop.time) = (uint40(BEGIN - 900), uint40(BEGIN));
        _disputeSoundLaneOf(start, stop);
    }

    function test_disputeLane_readingsAfterTheInterval() public {
        (MeterReading memory start, MeterReading memory stop) = (_start(), _stop());
        (start.time, stop.time) = (uint40(OVER), uint40(OVER + 900));
        _disputeSoundLaneOf(start, stop);
    }

    function test_revert_LaneHolds() public {
        _postSound();
        _expectLaneHolds(_start(), _stop());
    }

    function test_revert_LaneHolds_clocksAFewSecondsOff() public {
        (MeterReading memory start, MeterReading memory stop) = (_start(), _stop());
        (start.time, stop.time) = (uint40(OVER - 1), uint40(BEGIN + 1));
        _post(start, stop, _readings(_soundReadings()));
        _expectLaneHolds(start, stop);
    }

    /// @dev Whatever a meter counts in and out, a lane that is the difference is never disputed.
    function test_revert_LaneHolds_anyEnergy(uint64 importWh, uint32 energyWh, uint64 exportWh) public {
        (MeterReading memory start, MeterReading memory stop) = (_start(), _stop());
        energyWh = uint32(bound(energyWh, 0, uint32(type(int32).max)));
        start.importWh = uint64(bound(importWh, 0, type(uint64).max - 2 * uint64(energyWh)));
        start.exportWh = uint64(bound(exportWh, 0, type(uint64).max - energyWh));
        (stop.importWh, stop.exportWh) = (start.importWh + 2 * uint64(energyWh), start.exportWh + energyWh);
        int32[] memory values = _soundReadings();
        values[LANE] = int32(energyWh);
        _post(start, stop, _readings(values));
        _expectLaneHolds(start, stop);
    }

    function _expectLaneHolds(MeterReading memory start, MeterReading memory stop) private {
        ReadingProof memory proof = _proof();
        int256 energyWh =
            int256(uint256(stop.importWh - start.importWh)) - int256(uint256(stop.exportWh - start.exportWh));
        vm.expectRevert(abi.encodeWithSelector(IDispatch.LaneHolds.selector, SITE, NEXT, LANE, energyWh));
        dispatch.disputeLane(SITE, NEXT, proof, start, stop);
    }

    function test_revert_ReadingNotInRoot_otherReadings() public {
        _postWrongLane();
        ReadingProof memory proof = _proof();
        MeterReading memory stop = _stop();
        stop.importWh += 1;
        bytes32 leaf = Tree.leaf(LANE, settlement.readingHash(_start()), settlement.readingHash(stop));
        vm.expectRevert(abi.encodeWithSelector(IDispatch.ReadingNotInRoot.selector, SITE, leaf, proof.root));
        dispatch.disputeLane(SITE, NEXT, proof, _start(), stop);
    }

    // Readings that contradict those behind a lane.

    function _dispute(MeterReading memory contrary, Vm.Wallet memory by, bytes memory reason) private {
        ReadingProof memory proof = _proof();
        bytes memory signature = _sign(by, settlement.readingHash(contrary));
        if (reason.length > 0) vm.expectRevert(reason);
        vm.prank(stranger);
        dispatch.disputeReading(SITE, NEXT, proof, _start(), _stop(), contrary, signature);
        IntervalState expected = reason.length > 0 ? IntervalState.Metered : IntervalState.Disputed;
        assertEq(uint8(dispatch.stateOf(SITE, NEXT)), uint8(expected), "state");
    }

    function test_disputeReading_registerOutside(uint64 importWh, uint64 counter) public {
        _postSound();
        MeterReading memory contrary = _between();
        contrary.counter = uint64(bound(counter, 8, 9));
        contrary.importWh =
            importWh % 2 == 0 ? uint64(bound(importWh, 0, 9_999)) : uint64(bound(importWh, 12_761, type(uint64).max));
        vm.expectEmit(address(dispatch));
        emit IDispatch.ReadingDisputed(SITE, NEXT, LANE, stranger, POSTED_WH, POSTED_WH, _start(), _stop(), contrary);
        _dispute(contrary, meter, "");
    }

    function test_disputeReading_exportOutside(uint64 exportWh) public {
        _postSound();
        vm.assume(exportWh != 500);
        MeterReading memory contrary = _between();
        contrary.exportWh = exportWh;
        _dispute(contrary, meter, "");
    }

    /// @dev One counter, two registers: the meter, or who holds its key, signed twice.
    function test_disputeReading_sameCounterOtherRegister(uint64 importWh, bool first) public {
        _postSound();
        MeterReading memory contrary = first ? _start() : _stop();
        vm.assume(importWh != contrary.importWh);
        contrary.importWh = importWh;
        _dispute(contrary, meter, "");
    }

    function test_revert_NoContradiction(uint64 importWh, uint64 counter) public {
        _postSound();
        MeterReading memory contrary = _between();
        contrary.importWh = uint64(bound(importWh, 10_000, 12_760));
        contrary.counter = uint64(bound(counter, 8, 9));
        _dispute(contrary, meter, _noContradiction(contrary));
    }

    function test_revert_NoContradiction_theVerySame(bool first) public {
        _postSound();
        MeterReading memory contrary = first ? _start() : _stop();
        _dispute(contrary, meter, _noContradiction(contrary));
    }

    function _noContradiction(MeterReading memory contrary) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IDispatch.NoContradiction.selector, contrary.asset, contrary.counter);
    }

    function test_revert_CounterOutside(uint64 counter) public {
        _postSound();
        vm.assume(counter < 7 || counter > 10);
        MeterReading memory contrary = _between();
        (contrary.counter, contrary.importWh) = (counter, 0);
        _dispute(contrary, meter, abi.encodeWithSelector(IDispatch.CounterOutside.selector, counter, 7, 10));
    }

    function test_revert_WrongMeter() public {
        _postSound();
        MeterReading memory contrary = _between();
        (contrary.asset, contrary.importWh) = (OTHER_EVSE, 0);
        _dispute(contrary, otherMeter, abi.encodeWithSelector(IDispatch.WrongMeter.selector, OTHER_EVSE, EVSE));
    }

    function test_revert_BadMeterSignature_otherKey() public {
        _postSound();
        MeterReading memory contrary = _between();
        contrary.importWh = 0;
        bytes memory reason =
            abi.encodeWithSelector(IDispatch.BadMeterSignature.selector, EVSE, otherMeter.addr, meter.addr);
        _dispute(contrary, otherMeter, reason);
    }

    function test_revert_BadMeterSignature_garbage(bytes memory signature) public {
        _postSound();
        vm.assume(signature.length != 65);
        MeterReading memory contrary = _between();
        contrary.importWh = 0;
        ReadingProof memory proof = _proof();
        vm.expectRevert(abi.encodeWithSelector(IDispatch.BadMeterSignature.selector, EVSE, address(0), meter.addr));
        dispatch.disputeReading(SITE, NEXT, proof, _start(), _stop(), contrary, signature);
    }

    /// @dev The malleable twin of a signature names nobody.
    function test_revert_BadMeterSignature_highS() public {
        _postSound();
        MeterReading memory contrary = _between();
        contrary.importWh = 0;
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(meter.privateKey, settlement.readingHash(contrary));
        uint256 order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        bytes memory twin = abi.encodePacked(r, bytes32(order - uint256(s)), v == 27 ? 28 : 27);
        ReadingProof memory proof = _proof();
        vm.expectRevert(abi.encodeWithSelector(IDispatch.BadMeterSignature.selector, EVSE, address(0), meter.addr));
        dispatch.disputeReading(SITE, NEXT, proof, _start(), _stop(), contrary, twin);
    }

    // When.

    function _expectRefused(bytes memory reason) private {
        ReadingProof memory proof = _proof();
        MeterReading memory contrary = _between();
        bytes memory signature = _sign(meter, settlement.readingHash(contrary));
        vm.expectRevert(reason);
        dispatch.disputeLane(SITE, NEXT, proof, _start(), _stop());
        vm.expectRevert(reason);
        dispatch.disputeReading(SITE, NEXT, proof, _start(), _stop(), contrary, signature);
    }

    function _notDisputable(IntervalState state) private view returns (bytes memory) {
        return abi.encodeWithSelector(IDispatch.NotDisputable.selector, SITE, NEXT, state);
    }

    function test_revert_NotDisputable_notMetered() public {
        leaves.push(0);
        leaves.push(0);
        leaves.push(0);
        _expectRefused(_notDisputable(IntervalState.Dispatched));
    }

    function test_revert_NotDisputable_twice() public {
        _postWrongLane();
        _disputeLane(_start(), _stop());
        _expectRefused(_notDisputable(IntervalState.Disputed));
    }

    function test_revert_AlreadyMetered_disputedStaysSo() public {
        _postWrongLane();
        _disputeLane(_start(), _stop());
        vm.expectRevert(abi.encodeWithSelector(IDispatch.AlreadyMetered.selector, SITE, NEXT));
        vm.prank(oracle);
        dispatch.postReadings(SITE, NEXT, lanes, 0);
        _assertDisputed();
    }

    /// @dev A day to meter and three to dispute.
    function test_boundary_lastSecondOfTheDisputeWindow() public {
        _postWrongLane();
        vm.warp(OVER + 4 days - 1);
        _disputeLane(_start(), _stop());
        _assertDisputed();
    }

    function test_revert_DisputeTooLate(uint256 time) public {
        _postWrongLane();
        vm.warp(OVER + 4 days);
        _expectRefused(_tooLate());
        vm.warp(bound(time, OVER + 4 days, type(uint40).max));
        _expectRefused(_tooLate());
    }

    function _tooLate() private view returns (bytes memory) {
        return abi.encodeWithSelector(IDispatch.DisputeTooLate.selector, SITE, NEXT, block.timestamp, OVER + 4 days);
    }

    /// @dev A dispute leaves the intervals that share its slot, and the history, as they were.
    function test_disputeLane_touchesNothingElse() public {
        _postWrongLane();
        _follow(NEXT + 2);
        bytes32 history = dispatch.history(SITE);
        _disputeLane(_start(), _stop());
        assertEq(dispatch.history(SITE), history, "history");
        assertEq(uint8(dispatch.stateOf(SITE, NEXT + 2)), uint8(IntervalState.Dispatched), "neighbour");
        assertEq(uint8(dispatch.stateOf(SITE, NEXT - 1)), uint8(IntervalState.Open), "neighbour");
    }
}
