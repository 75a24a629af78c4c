// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Vm} from "forge-std/Vm.sol";
import "../src/IProtocol.sol";
import {Settlement} from "../src/Settlement.sol";
import {BaseTest} from "./BaseTest.sol";
import {Certificates} from "./Certificates.sol";

/// @notice Gas of disputing the reward of a stay of eight hours at a site of 58 lanes, a day after it: whole transaction.
/// forge-config: default.isolate = true
contract GasRewardsTest is BaseTest {
    string private constant GROUP = "Provolt";
    string private constant CLEAR = "fifty-eight";
    bytes32 private constant AT = keccak256(bytes(CLEAR));
    uint256 private constant MANY = 58;
    uint256 private constant LANE = 20;
    uint256 private constant WHOLE = 32;
    uint256 private constant LATER = 96;
    uint256 private constant DEPTH = 6;
    uint32 private constant DRAWN_WH = 2_750;

    bytes32[] private _steps;
    Plan[] private _plans;
    PostedReadings[] private _posted;

    function _clearId(uint256 lane) private pure returns (string memory) {
        return string.concat(CLEAR, vm.toString(lane));
    }

    function setUp() public override {
        super.setUp();
        Certificates certificates = new Certificates();
        settlement = new Settlement(registry, IERC20(address(credit)), certificates);
        certificates.set(AT, FIRST, FIRST + uint32(WHOLE), true);
        Asset[] memory assets = new Asset[](MANY);
        string[] memory clearIds = new string[](MANY);
        bytes32[] memory evses = new bytes32[](MANY);
        for (uint256 i; i < MANY; ++i) {
            clearIds[i] = _clearId(i);
            assets[i] = _asset(clearIds[i], AssetKind.Evse, 0, 22_000);
            evses[i] = assets[i].id;
        }
        vm.startPrank(owner);
        registry.registerSite(CLEAR, "UTC", 0, 0);
        registry.registerGroups(AT, _demoGroups());
        registry.registerAssets(AT, assets, clearIds);
        registry.setTariff(evses, _flatTariff());
        registry.setDelegate(AT, oracle, RIGHT_DISPATCH | RIGHT_METER | RIGHT_SETTLE, type(uint40).max);
        registry.setOperator(AT, operator, OPERATOR_FEE_BPS, REWARD_BPS, REWARD_CAP);
        vm.stopPrank();
    }

    /// @dev Cars of 11 kW at a site that is forecast and priced as real ones are: few bytes of a plan are zero.
    function _plan(uint32 interval, bytes memory lanes) private view returns (Plan memory plan) {
        (plan.site, plan.interval, plan.poster, plan.layoutAt) = (AT, interval, oracle, oracle);
        (plan.rules.verifier, plan.rules.tolerance) = (IScheduleVerifier(oracle), 10_000);
        plan.rules.settlement = settlement;
        (plan.algorithm, plan.inputsHash) = (keccak256("algorithm"), keccak256(abi.encode("inputs", interval)));
        (plan.scheduleHash, plan.multipliersHash) = (keccak256("schedule"), keccak256("multipliers"));
        (plan.cost, plan.bound, plan.postedAt) = (1e12, 1e12 - 1e6, uint40(block.timestamp));
        plan.columnHash = keccak256(lanes);
        plan.root = _leaf(interval);
        for (uint256 i; i < DEPTH; ++i) {
            bytes32 sibling = keccak256(abi.encode("sibling", i));
            plan.root = plan.root < sibling
                ? keccak256(abi.encode(plan.root, sibling))
                : keccak256(abi.encode(sibling, plan.root));
        }
    }

    function _need(uint32 interval) private pure returns (bytes memory) {
        uint8 until = interval > FIRST + WHOLE ? 1 : uint8(FIRST + WHOLE + 1 - interval);
        return abi.encodePacked(
            uint16(LANE), uint8(1), uint8(0), until, until, uint16(1100), uint16(138), uint32(44_000), uint16(100)
        );
    }

    function _prices(uint32 interval) private pure returns (bytes memory prices) {
        for (uint32 t = interval; t <= FIRST + WHOLE; ++t) {
            prices = bytes.concat(prices, abi.encodePacked(int64(uint64(250_000 + t % 7 * 9_000)), int32(81_100)));
        }
    }

    function _leaf(uint32 interval) private pure returns (bytes32) {
        bytes memory hashes =
            abi.encode(LANE, keccak256(_need(interval)), keccak256("row"), keccak256(_prices(interval)));
        return keccak256(bytes.concat(keccak256(hashes)));
    }

    function _postSetpoints(uint32 interval) private {
        bytes memory lanes = new bytes(2 * MANY);
        Plan memory plan = _plan(interval, lanes);
        bytes32 planHash = keccak256(abi.encode(plan));
        vm.warp(interval * INTERVAL_S - 1);
        vm.prank(oracle);
        dispatch.postSetpoints(AT, interval, lanes, planHash);
        _steps.push(keccak256(abi.encode(1, AT, interval, keccak256(lanes), planHash)));
        _plans.push(plan);
    }

    function _postReadings(uint32 interval, uint32 drawnWh) private {
        bytes memory lanes;
        for (uint256 i; i < MANY; ++i) {
            lanes = bytes.concat(lanes, bytes4(i == LANE ? drawnWh : uint32(i % 3 * 900)));
        }
        bytes32 root = keccak256(abi.encode("root", interval));
        uint16 step = uint16(_steps.length);
        vm.prank(oracle);
        dispatch.postReadings(AT, interval, lanes, root);
        _steps.push(keccak256(abi.encode(2, AT, interval, keccak256(lanes), root)));
        _posted.push(PostedReadings(interval, lanes, root, step));
    }

    function _claimed() private returns (Terms memory terms, Bill memory bill, bytes32 previous) {
        _deposit(driver.addr, 100e6);
        Request memory request = _request();
        (request.evse, request.departure, request.totalCeiling) =
        (keccak256(bytes(_clearId(LANE))), uint40(START + 9 hours), 100e6);
        terms = _open(request);
        MeterReading memory begin = _begin(0, 1);
        _postSetpoints(FIRST);
        previous = dispatch.history(AT);
        delete _steps;
        for (uint32 i = 1; i <= WHOLE; ++i) {
            _postSetpoints(FIRST + i);
            vm.warp((FIRST + i) * INTERVAL_S);
            _postReadings(FIRST + i - 1, i > WHOLE / 2 ? DRAWN_WH : 0);
        }
        vm.warp((FIRST + WHOLE + 1) * INTERVAL_S - 1);
        MeterReading memory end = _end(DRAWN_WH * uint64(WHOLE / 2), 2);
        (begin.asset, end.asset) = (terms.evse, terms.evse);
        bill = _settle(terms, begin, end);
        uint64 most = uint64(DRAWN_WH * WHOLE / 2 * REWARD_CAP / 1000);
        vm.recordLogs();
        vm.prank(oracle);
        settlement.claimFlexibility(terms, bill, Flexibility(uint32(DRAWN_WH * WHOLE / 2), 0, int64(most)));
        (, bill) = abi.decode(vm.getRecordedLogs()[0].data, (Flexibility, Bill));
        for (uint32 i = 1; i <= LATER; ++i) {
            uint32 interval = FIRST + uint32(WHOLE) + i;
            _postSetpoints(interval);
            vm.warp(interval * INTERVAL_S);
            _postReadings(interval - 1, i == 1 ? DRAWN_WH : 0);
        }
    }

    function _evidence(bytes32 previous) private view returns (RewardEvidence memory evidence) {
        (evidence.previous, evidence.steps) = (previous, _steps);
        evidence.readings = new PostedReadings[](WHOLE + 1);
        evidence.needs = new OpenedNeed[](WHOLE);
        for (uint256 i; i <= WHOLE; ++i) {
            evidence.readings[i] = _posted[i];
        }
        for (uint32 i; i < WHOLE; ++i) {
            OpenedNeed memory opened = evidence.needs[i];
            uint32 interval = FIRST + 1 + i;
            (opened.step, opened.plan) = (uint16(2 * i), _plans[i + 1]);
            (opened.need, opened.rowHash, opened.prices) = (_need(interval), keccak256("row"), _prices(interval));
            opened.siblings = new bytes32[](DEPTH);
            for (uint256 j; j < DEPTH; ++j) {
                opened.siblings[j] = keccak256(abi.encode("sibling", j));
            }
        }
    }

    function test_gas_disputeReward() public {
        (Terms memory terms, Bill memory bill, bytes32 previous) = _claimed();
        RewardEvidence memory evidence = _evidence(previous);
        vm.prank(stranger);
        settlement.disputeReward(terms, bill, evidence);
        vm.snapshotGasLastCall(GROUP, "disputeReward32");
        assertLt(vm.lastCallGas().gasTotalUsed, 5_000_000, "a third of what a transaction may take");
    }

    /// @dev The dearest evidence: nothing says how much power the car took.
    function test_gas_disputeRewardWithoutNeedsFitsIntoATransaction() public {
        (Terms memory terms, Bill memory bill, bytes32 previous) = _claimed();
        RewardEvidence memory evidence = _evidence(previous);
        evidence.needs = new OpenedNeed[](0);
        uint256 before = gasleft();
        vm.expectPartialRevert(ISettlement.RewardHolds.selector);
        settlement.disputeReward(terms, bill, evidence);
        assertLt(before - gasleft(), 5_000_000, "gas");
    }
}
