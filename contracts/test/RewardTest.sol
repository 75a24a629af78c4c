// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {FlexibilityTest} from "./FlexibilityTest.sol";

/// @notice The settled session of FlexibilityTest with plans and readings posted for it, and the evidence that they are.
abstract contract RewardTest is FlexibilityTest {
    /// @dev Intervals of the stay that are whole: all but the first.
    uint256 internal constant WHOLE = 7;
    uint256 internal constant RATED_W = 22_000;
    uint256 internal constant MAX_RATED_W = 327_670;
    uint256 internal constant LANE = 2;
    /// @dev The lowest price that a plan can have.
    int256 internal constant LOWEST = -(1 << 27);

    /// @dev What was true of the stay, by whole interval, and what is shown of it.
    /// @param beforeWh,afterWh What other cars drew at the EVSE in the first interval, and in the last.
    /// @param most Most power of the need in each plan, in steps of 10 W.
    struct Facts {
        uint256[WHOLE] drawnWh;
        int64[WHOLE] node;
        int32[WHOLE] grid;
        bool[WHOLE] isOpened;
        uint16[WHOLE] most;
        uint256 beforeWh;
        uint256 afterWh;
        bool isLastLeftOut;
    }

    bytes32[] private _steps;
    bytes32 private _previous;
    Plan[] private _plans;

    /// @dev Posts everything in its time, and returns to the settlement's.
    function _post(Facts memory facts) internal returns (RewardEvidence memory evidence) {
        uint256 now_ = block.timestamp;
        _previous = dispatch.history(SITE);
        vm.startPrank(oracle);
        vm.warp(START - 1);
        for (uint256 i; i <= WHOLE; ++i) {
            _postPlan(facts, i);
        }
        uint256 ownWh = ENERGY_WH;
        for (uint256 i; i < WHOLE; ++i) {
            ownWh -= facts.drawnWh[i];
        }
        evidence.readings = new PostedReadings[](facts.isLastLeftOut ? WHOLE : WHOLE + 1);
        for (uint256 i; i < evidence.readings.length; ++i) {
            uint256 readWh = i == 0 ? ownWh + facts.beforeWh : facts.drawnWh[i - 1];
            evidence.readings[i] = _postReadings(i, i == WHOLE ? readWh + facts.afterWh : readWh);
        }
        vm.stopPrank();
        vm.warp(now_);
        (evidence.previous, evidence.steps) = (_previous, _steps);
        evidence.needs = _open(facts);
    }

    function _postPlan(Facts memory facts, uint256 i) private {
        uint32 interval = FIRST + uint32(i);
        bytes memory lanes = new bytes(2 * LANES);
        Plan memory plan;
        (plan.site, plan.interval, plan.columnHash) = (SITE, interval, keccak256(lanes));
        if (i > 0) plan.root = _pair(_leafOf(facts, i - 1), keccak256("another need"));
        bytes32 planHash = keccak256(abi.encode(plan));
        dispatch.postSetpoints(SITE, interval, lanes, planHash);
        _steps.push(keccak256(abi.encode(1, SITE, interval, keccak256(lanes), planHash)));
        _plans.push(plan);
    }

    function _postReadings(uint256 i, uint256 readWh) private returns (PostedReadings memory readings) {
        uint32 interval = FIRST + uint32(i);
        int32[] memory values = new int32[](LANES);
        values[LANE] = int32(int256(readWh));
        (readings.lanes, readings.root) = (_readings(values), keccak256(abi.encode("readings", i)));
        vm.warp((interval + 1) * INTERVAL_S);
        dispatch.postReadings(SITE, interval, readings.lanes, readings.root);
        (readings.interval, readings.step) = (interval, uint16(_steps.length));
        _steps.push(keccak256(abi.encode(2, SITE, interval, keccak256(readings.lanes), readings.root)));
    }

    function _open(Facts memory facts) private view returns (OpenedNeed[] memory needs) {
        needs = new OpenedNeed[](WHOLE);
        uint256 count;
        for (uint256 i; i < WHOLE; ++i) {
            if (!facts.isOpened[i]) continue;
            OpenedNeed memory opened = needs[count++];
            (opened.step, opened.plan) = (uint16(i + 1), _plans[i + 1]);
            opened.need = _need(facts.most[i]);
            opened.rowHash = keccak256("row");
            opened.prices = _prices(facts, i);
            opened.siblings = new bytes32[](1);
            opened.siblings[0] = keccak256("another need");
        }
        assembly ("memory-safe") {
            mstore(needs, count)
        }
    }

    /// @dev Of a need from its plan's interval on, at least 1.38 kW.
    function _need(uint16 most) internal pure returns (bytes memory) {
        return abi.encodePacked(
            uint16(LANE), uint8(1), uint8(0), uint8(2), uint8(2), most, uint16(138), uint32(5_000), uint16(100)
        );
    }

    /// @dev Two intervals of which the second does not matter.
    function _prices(Facts memory facts, uint256 i) internal pure returns (bytes memory) {
        return abi.encodePacked(facts.node[i], facts.grid[i], int64(7), int32(8));
    }

    function _leafOf(Facts memory facts, uint256 i) internal pure returns (bytes32) {
        bytes memory hashes =
            abi.encode(LANE, keccak256(_need(facts.most[i])), keccak256("row"), keccak256(_prices(facts, i)));
        return keccak256(bytes.concat(keccak256(hashes)));
    }

    function _pair(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(abi.encode(a, b)) : keccak256(abi.encode(b, a));
    }

    /// @dev What a node price counts for, `cap` at most.
    function _counted(Facts memory facts, uint256 i) internal pure returns (int256 price) {
        price = facts.node[i] > facts.grid[i] ? int256(facts.node[i]) : int256(facts.grid[i]);
        if (price > int256(uint256(REWARD_CAP))) price = int256(uint256(REWARD_CAP));
    }

    /// @dev What an honest claim of a car of `power` comes to: energies in whole Wh, cumulated ones rounded down.
    function _honest(Facts memory facts, uint256 power) internal pure returns (int256 worth) {
        uint256 deliveredWh;
        for (uint256 i; i < WHOLE; ++i) {
            deliveredWh += facts.drawnWh[i];
        }
        uint256 reached;
        for (uint256 i; i < WHOLE; ++i) {
            uint256 full = power * (i + 1) / 4;
            uint256 next = i + 1 == WHOLE || full > deliveredWh ? deliveredWh : full;
            worth += _counted(facts, i) * (int256(next - reached) - int256(facts.drawnWh[i]));
            reached = next;
        }
        worth /= 1000;
    }

    /// @dev The site's share, which rounds down.
    function _share(uint256 worth) internal pure returns (uint128) {
        return uint128(worth * REWARD_BPS / 10_000);
    }

    function _claimWorth(uint256 worth) internal {
        _claim(Flexibility(ENERGY_WH, 0, int64(uint64(worth))));
    }

    function _expectDisputeRevert(RewardEvidence memory evidence, bytes memory reason) internal {
        vm.expectRevert(reason);
        settlement.disputeReward(terms, bill, evidence);
    }

    function _dispute(RewardEvidence memory evidence) internal returns (uint128 reward) {
        vm.recordLogs();
        vm.prank(stranger);
        settlement.disputeReward(terms, bill, evidence);
        address challenger;
        bytes32 session;
        (session, challenger, bill) = abi.decode(vm.getRecordedLogs()[0].data, (bytes32, address, Bill));
        assertEq(session, terms.session, "session");
        assertEq(challenger, stranger, "challenger");
        _assertReceipt();
        return bill.reward;
    }
}
