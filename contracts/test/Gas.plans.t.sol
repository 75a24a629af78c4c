// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Vm} from "forge-std/Vm.sol";
import "../src/IProtocol.sol";
import {AssetRegistry} from "../src/AssetRegistry.sol";
import {Plans} from "../src/Plans.sol";
import {ScheduleVerifier} from "../src/ScheduleVerifier.sol";
import {InputParts} from "../src/libraries/InputParts.sol";
import {NeedTree} from "../src/libraries/NeedTree.sol";
import {CreditToken} from "../src/tokens/CreditToken.sol";
import {ScheduleVerifierTest} from "./ScheduleVerifierTest.sol";

/// @notice Gas of whole transactions around a plan of fifty cars over a day of 96 intervals, with battery, PV and peak, in
/// steady state: all slots of the rings have been used before.
/// forge-config: default.isolate = true
contract GasPlansTest is ScheduleVerifierTest {
    string private constant GROUP = "Provolt";
    string private constant CLEAR = "fifty";
    bytes32 private constant SITE = keccak256(bytes(CLEAR));
    uint32 private constant FIRST = 2_000_000;
    uint256 private constant CARS = 50;
    uint256 private constant LANES = CARS + 3;
    uint128 private constant BOND = 5e6;
    uint16 private constant READINGS = 96;
    /// @dev Intervals after which a place of each ring is used again: certified runs, and Dispatch's stamps and plans.
    uint32 private constant CERTIFIED_RING = 8 * 224;
    uint32 private constant STAMP_RING = 512;

    address private oracle = makeAddr("oracle");
    address private challenger = makeAddr("challenger");
    CreditToken private credit = new CreditToken(address(this));
    AssetRegistry private registry = new AssetRegistry(address(this), address(this), 0);
    Plans private plans;
    Certificate private certificate;
    bytes private lanes;
    int256 private cost;
    int256 private bound_;

    function rootOf(Certificate calldata of_) external pure returns (bytes32) {
        return NeedTree.rootOf(of_);
    }

    function partsOf(bytes calldata inputs) external pure returns (InputParts.Parts memory) {
        return InputParts.split(inputs);
    }

    function setUp() public {
        vm.warp((FIRST - CERTIFIED_RING - 1) * INTERVAL_S);
        ScheduleVerifier verifier = new ScheduleVerifier(registry.dispatch());
        plans = new Plans(registry, IERC20(address(credit)), verifier);
        _registerSite();
        _readDay();
        (cost, bound_,,) = verifier.verify(certificate.inputs, certificate.schedule, certificate.multipliers);
        _fund(oracle, 100 * BOND);
        _fund(challenger, BOND);
        _fund(address(this), BOND);
        _post(FIRST - CERTIFIED_RING);
        _post(FIRST - STAMP_RING);
        vm.warp((FIRST - 1) * INTERVAL_S);
    }

    /// @dev What feeds and draws at the grid connection comes first, as the registry has it.
    function _registerSite() private {
        Group[] memory groups = new Group[](2);
        (groups[0], groups[1]) = (Group(0, 200_000, 100_000), Group(0, 75_000, 0));
        Asset[] memory assets = new Asset[](LANES);
        string[] memory clearIds = new string[](LANES);
        for (uint256 i; i < LANES; ++i) {
            clearIds[i] = string.concat("asset ", vm.toString(i));
            assets[i].id = keccak256(bytes(clearIds[i]));
            assets[i].meter = bytes32(uint256(1));
            assets[i].kind =
                i == 0 ? AssetKind.BaseLoad : i == 1 ? AssetKind.Pv : i == 2 ? AssetKind.Battery : AssetKind.Evse;
            (assets[i].group, assets[i].ratedW) = i < 3 ? (0, 200_000) : (1, 11_040);
            assets[i].phases = 3;
            if (i < 3) continue;
            assets[i].minW = 1_380;
            assets[i].connector = Connector.Type2;
        }
        registry.registerSite(CLEAR, "UTC", 0, 0);
        registry.registerGroups(SITE, groups);
        registry.registerAssets(SITE, assets, clearIds);
        registry.setDelegate(SITE, oracle, RIGHT_PLAN, type(uint40).max);
        registry.setDelegate(SITE, address(plans), RIGHT_DISPATCH, type(uint40).max);
    }

    /// @dev The planner's day with the registry's lanes: it has cars first, then battery, PV and base load.
    function _readDay() private {
        string memory json = _read("days.json");
        Certificate memory day = _certificate(json, 0);
        InputParts.Parts memory parts = this.partsOf(day.inputs);
        uint256 forecast = 3 + 2 * parts.intervals;
        uint256 pv = parts.needsAt + 16 * CARS;
        day.inputs[parts.loadsAt + 1] = 0x00;
        for (uint256 i; i < CARS; ++i) {
            day.inputs[parts.needsAt + 16 * i + 1] = bytes1(uint8(3 + i));
        }
        day.inputs[pv + 1] = 0x01;
        day.inputs[pv + forecast + 1] = 0x02;
        day.root = this.rootOf(day);
        certificate = day;

        bytes memory column = vm.parseJsonBytes(json, "[0].firstColumn");
        bytes memory ordered = new bytes(2 * LANES);
        for (uint256 i; i < LANES; ++i) {
            uint256 from = i < 3 ? LANES - 1 - i : i - 3;
            (ordered[2 * i], ordered[2 * i + 1]) = (column[2 * from], column[2 * from + 1]);
        }
        lanes = ordered;
    }

    function _fund(address account, uint256 amount) private {
        credit.mint(account, amount);
        vm.startPrank(account);
        credit.approve(address(plans), amount);
        plans.depositStake(amount);
        vm.stopPrank();
    }

    function _setMode(PlanMode mode) private {
        PlanRules memory rules = plans.rulesAt(SITE, FIRST);
        (rules.mode, rules.bond) = (mode, BOND);
        plans.setRules(SITE, rules, FIRST);
    }

    function _post(uint32 interval) private returns (Plan memory) {
        vm.warp(interval * INTERVAL_S - 1);
        vm.recordLogs();
        vm.prank(oracle);
        plans.postProved(SITE, interval, certificate, lanes);
        return abi.decode(vm.getRecordedLogs()[0].data, (Plan));
    }

    function test_gas_postProved50() public {
        _post(FIRST);
        vm.snapshotGasLastCall(GROUP, "postProved50");
        assertTrue(plans.isCertified(SITE, FIRST, FIRST));
    }

    function test_gas_postClaimed50() public {
        _setMode(PlanMode.Optimistic);
        vm.prank(oracle);
        plans.postClaimed(SITE, FIRST, certificate, lanes, cost, bound_);
        vm.snapshotGasLastCall(GROUP, "postClaimed50");
        assertTrue(plans.isStaked(SITE, FIRST));
    }

    function test_gas_postUncertified50() public {
        vm.prank(oracle);
        plans.postUncertified(SITE, FIRST + 1, lanes, "the solver was late");
        vm.prank(oracle);
        plans.postUncertified(SITE, FIRST, lanes, "the solver was late");
        vm.snapshotGasLastCall(GROUP, "postUncertified50");
        assertEq(plans.uncertifiedOf(SITE), 2);
    }

    function test_gas_challenge() public {
        _setMode(PlanMode.Optimistic);
        vm.recordLogs();
        vm.prank(oracle);
        plans.postClaimed(SITE, FIRST, certificate, lanes, cost - 1, bound_ - 1);
        Plan memory plan = abi.decode(vm.getRecordedLogs()[0].data, (Plan));
        vm.prank(challenger);
        plans.challenge(plan, certificate);
        vm.snapshotGasLastCall(GROUP, "challengePlan50");
        assertEq(plans.stakeOf(challenger), BOND + BOND / 2);
    }

    function test_gas_refuteRoot() public {
        _setMode(PlanMode.Proved);
        certificate.root = keccak256("another tree");
        Plan memory plan = _post(FIRST);
        vm.prank(challenger);
        plans.refuteRoot(plan, certificate);
        vm.snapshotGasLastCall(GROUP, "refuteRoot50");
        assertEq(plans.stakeOf(challenger), BOND + BOND / 2);
    }

    /// By a day of readings; the calldata at its dearest fits into a transaction too.
    function test_gas_refuteContent() public {
        _setMode(PlanMode.Optimistic);
        ContentProof memory evidence;
        evidence.history.steps = new bytes32[](2 * READINGS + 2);
        evidence.history.previous = registry.dispatch().history(SITE);
        evidence.readings = new PostedReadings[](READINGS);
        evidence.inputs = _withContent(0);
        evidence.earlier = _claim(FIRST + 1, evidence.inputs, evidence.history.steps, 1, FIRST);
        for (uint32 i; i < READINGS; ++i) {
            uint32 interval = FIRST + i;
            vm.warp((interval + 1) * INTERVAL_S);
            bytes memory energies = new bytes(4 * LANES);
            registry.dispatch().postReadings(SITE, interval, energies, bytes32(uint256(1)));
            evidence.readings[i] = PostedReadings(interval, energies, bytes32(uint256(1)), uint16(2 * i + 2));
            evidence.history.steps[2 * i + 2] = _step(2, interval, keccak256(energies), bytes32(uint256(1)));
            if (i + 1 == READINGS) break;
            vm.prank(oracle);
            plans.postUncertified(SITE, interval + 2, lanes, "the solver was late");
            evidence.history.steps[2 * i + 3] = _step(1, interval + 2, keccak256(lanes), 0);
        }
        bytes memory inputs = _withContent(999_999_999);
        evidence.history.planStep = 2 * READINGS + 1;
        Plan memory plan = _claim(FIRST + READINGS + 1, inputs, evidence.history.steps, evidence.history.planStep, 0);
        evidence.earlierStep = 1;
        bytes memory call = abi.encodeCall(plans.refuteContent, (plan, inputs, 0, evidence));
        vm.prank(challenger);
        plans.refuteContent(plan, inputs, 0, evidence);
        vm.snapshotGasLastCall(GROUP, "refuteContent50");
        assertEq(plans.stakeOf(challenger), BOND + BOND / 2);
        assertLt(call.length, 65_536);
    }

    /// @dev A battery that is far larger than what may flow.
    function _withContent(uint32 contentWh) private view returns (bytes memory inputs) {
        inputs = certificate.inputs;
        bytes8 numbers = bytes8(uint64(1e9) << 32 | contentWh);
        for (uint256 i; i < 8; ++i) {
            inputs[inputs.length - 29 + 9 + i] = numbers[i];
        }
    }

    /// @dev Claims a plan; before it, where `before` is not zero, setpoints of that interval. Remembers both as steps.
    function _claim(uint32 interval, bytes memory inputs, bytes32[] memory steps, uint256 at_, uint32 before)
        private
        returns (Plan memory plan)
    {
        if (before > 0) {
            vm.prank(oracle);
            plans.postUncertified(SITE, before, lanes, "the solver was late");
            steps[at_ - 1] = _step(1, before, keccak256(lanes), 0);
            vm.warp(before * INTERVAL_S);
        }
        Certificate memory claimed =
            Certificate(inputs, certificate.schedule, certificate.multipliers, certificate.root);
        vm.recordLogs();
        vm.prank(oracle);
        plans.postClaimed(SITE, interval, claimed, lanes, cost, bound_);
        plan = abi.decode(vm.getRecordedLogs()[0].data, (Plan));
        steps[at_] = _step(1, interval, plan.columnHash, keccak256(abi.encode(plan)));
    }

    function _step(uint256 kind, uint32 interval, bytes32 lanesHash, bytes32 evidence) private pure returns (bytes32) {
        return keccak256(abi.encode(kind, SITE, interval, lanesHash, evidence));
    }

    /// A root over the most cars that a certificate was measured for is refuted in one transaction.
    function test_gas_refuteRootFitsIntoATransaction() public view {
        Certificate memory day = _certificate(_read("days.json"), 2);
        uint256 before = gasleft();
        bytes32 root = this.rootOf(day);
        assertLt(before - gasleft(), 10_000_000);
        assertNotEq(root, 0);
    }
}
