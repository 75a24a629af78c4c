// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {RewardTest} from "./RewardTest.sol";

/// @notice Rewards that are above what posted readings and plans make of them, and those that are not.
contract SettlementDisputeRewardTest is RewardTest {
    uint256 private constant SCALE = 420 * 4;
    /// @dev What may be claimed at all.
    uint256 private constant MOST = uint256(ENERGY_WH) * REWARD_CAP / 1000;

    /// @dev A car of 11 kW that waits for the second half of its stay, which is cheap.
    function _waits() private pure returns (Facts memory facts) {
        for (uint256 i; i < WHOLE; ++i) {
            (facts.node[i], facts.grid[i]) = (i < 4 ? int64(300_000) : int64(100_000), 50_000);
            (facts.isOpened[i], facts.most[i]) = (true, 1100);
            facts.drawnWh[i] = i < 4 ? 0 : 2_500;
        }
    }

    /// @dev Prices from below zero to scarcity, energies as they come, all or some of it shown.
    function _random(uint256 seed) private pure returns (Facts memory facts) {
        uint256 left = ENERGY_WH;
        for (uint256 i; i < WHOLE; ++i) {
            uint256 word = uint256(keccak256(abi.encode(seed, i)));
            facts.node[i] = int64(int256(word % 1_000_000) - 200_000);
            if (word >> 32 & 7 == 0) facts.node[i] = 60_000_000;
            facts.grid[i] = int32(int256((word >> 64) % 400_000) - 100_000);
            uint256 drawn = (word >> 96) & 3 == 0 ? 0 : (word >> 128) % 5_000;
            facts.drawnWh[i] = drawn < left ? drawn : left;
            left -= facts.drawnWh[i];
            facts.isOpened[i] = seed & 1 == 0 || (word >> 160) & 1 == 0;
            facts.most[i] = uint16(138 + (word >> 176) % 900);
        }
        if (seed >> 1 & 1 == 0) facts.beforeWh = uint256(keccak256(abi.encode(seed, "before"))) % 2_000;
        if (seed >> 2 & 1 == 0) facts.afterWh = uint256(keccak256(abi.encode(seed, "after"))) % 2_000;
        facts.isLastLeftOut = seed >> 3 & 1 == 0;
    }

    /// @dev What the needs that were opened say that the car takes; of the first whole interval, that may be another car's.
    function _leastW(Facts memory facts) private pure returns (uint256 leastW) {
        for (uint256 i = 1; i < WHOLE; ++i) {
            uint256 most = facts.most[i] > 138 ? 10 * uint256(facts.most[i]) : 0;
            if (facts.isOpened[i] && most > leastW) leastW = most;
        }
    }

    /// @dev V for a car that draws `energy` an interval, in energies of a 1,680th of a Wh: written apart from the contract, for
    /// stays that are known to the Wh.
    function _exactly(Facts memory facts, uint256 energy) private pure returns (int256 worth) {
        uint256 left;
        for (uint256 i; i < WHOLE; ++i) {
            left += facts.drawnWh[i] * SCALE;
        }
        for (uint256 i; i < WHOLE; ++i) {
            uint256 taken = i + 1 == WHOLE || left < energy ? left : energy;
            left -= taken;
            int256 moved = int256(taken) - int256(facts.drawnWh[i] * SCALE);
            int256 price = _counted(facts, i);
            if (!facts.isOpened[i]) price = moved > 0 ? int256(uint256(REWARD_CAP)) : LOWEST;
            worth += moved * price;
        }
        worth /= int256(SCALE);
    }

    /// @dev Roundings of cumulated energies and of the last Wh, prices × Wh.
    function _roundings(Facts memory facts) private pure returns (int256 most) {
        int256 cap = int256(uint256(REWARD_CAP));
        (int256 dearest, int256 cheapest) = (LOWEST, cap);
        int256 before = cap;
        for (uint256 i; i < WHOLE; ++i) {
            int256 dear = facts.isOpened[i] ? _counted(facts, i) : cap;
            int256 cheap = facts.isOpened[i] || facts.drawnWh[i] == 0 ? dear : LOWEST;
            if (dear > before && i > 0) most += dear - before;
            if (dear > dearest) dearest = dear;
            if (cheap < cheapest) cheapest = cheap;
            before = cheap;
        }
        most += dearest - cheapest;
    }

    /// @dev The share of the bound, by other means.
    function _bound(Facts memory facts) private pure returns (uint128) {
        uint256 deliveredWh;
        for (uint256 i; i < WHOLE; ++i) {
            deliveredWh += facts.drawnWh[i];
        }
        uint256 leastW = _leastW(facts);
        int256 most = _exactly(facts, leastW * SCALE / 4);
        int256 other = _exactly(facts, RATED_W * SCALE / 4);
        if (other > most) most = other;
        for (uint256 k = 1; k < WHOLE; ++k) {
            uint256 energy = deliveredWh * SCALE / k;
            if (energy <= leastW * SCALE / 4 || energy >= RATED_W * SCALE / 4) continue;
            other = _exactly(facts, energy);
            if (other > most) most = other;
        }
        most += _roundings(facts);
        return most > 0 ? _share(uint256(most) / 1000) : 0;
    }

    // What is corrected

    function test_disputeReward_anExaggeratedClaim(uint256 worth, uint40 time, address who) public {
        Facts memory facts = _waits();
        RewardEvidence memory evidence = _post(facts);
        uint128 most = _bound(facts);
        // 11 kW front-loaded: 2,750 Wh in the first three of seven intervals, and what is left of 7,500 Wh.
        assertEq(_honest(facts, 11_000), 7_500 * 200, "worth");
        assertEq(most, (7_500 * 200 + 200) / 2, "and what a Wh is dearer in the first half than in the second");
        _claimWorth(bound(worth, 2 * uint256(most) + 2, MOST));
        vm.warp(bound(time, block.timestamp, WINDOW_END));
        Bill memory expected = bill;
        expected.reward = most;

        vm.expectEmit(address(settlement));
        emit ISettlement.RewardCorrected(SITE, driver.addr, EVSE, terms.session, who, expected);
        vm.prank(who);
        settlement.disputeReward(terms, bill, evidence);

        bill = expected;
        _assertReceipt();
        assertEq(settlement.accounted(), HELD, "no money moves");
        vm.warp(WINDOW_END + 1);
        settlement.mintReward(terms, bill);
        assertEq(_tokens(), most, "tokens");
    }

    /// @dev The claim's bill is no receipt any more.
    function test_revert_TermsMismatch_billBeforeTheCorrection() public {
        RewardEvidence memory evidence = _post(_waits());
        _claimWorth(MOST);
        Bill memory before = bill;
        _dispute(evidence);
        bill = before;
        _expectDisputeRevert(evidence, _mismatch());
        vm.warp(WINDOW_END + 1);
        _expectMintRevert(_mismatch());
    }

    function test_disputeReward_ofACarThatDidNotWait() public {
        Facts memory facts = _waits();
        facts.drawnWh = [uint256(5_500), 2_000, 0, 0, 0, 0, 0];
        RewardEvidence memory evidence = _post(facts);
        _claimWorth(MOST);
        assertEq(_dispute(evidence), 100, "what one Wh may be worth");
        // It was too dear before: nothing is left.
        facts.node = [int64(100_000), 100_000, 100_000, 100_000, 100_000, 100_000, 100_000];
        assertEq(_honest(facts, 11_000), 0, "worth");
    }

    /// @dev What came to nothing is minted by nobody, and its place is still kept.
    function test_disputeReward_toNothing() public {
        Facts memory facts = _waits();
        // The dear hours were used, the cheap ones not.
        facts.drawnWh = [uint256(0), 0, 0, 3_000, 0, 0, 0];
        for (uint256 i; i < WHOLE; ++i) {
            facts.node[i] = i == 3 ? int64(300_000) : int64(100_000);
        }
        RewardEvidence memory evidence = _post(facts);
        _claimWorth(MOST);
        assertEq(_dispute(evidence), 0, "reward");
        _expectDisputeRevert(evidence, _wrongReward(0));
        vm.warp(WINDOW_END + 1);
        _expectMintRevert(_wrongReward(0));
    }

    /// @dev Within one interval nothing can have been moved, and there is nothing to meter.
    function test_disputeReward_ofAStayWithinOneInterval() public {
        vm.warp(START + 2 hours + 1);
        Request memory request = _request();
        (request.nonce, request.totalCeiling) = (2, 0);
        terms = _open(request);
        vm.warp(START + 2 hours + 10 minutes);
        MeterReading memory begin = _begin(ENERGY_WH, 3);
        begin.time = uint40(START + 2 hours + 1);
        bill = _settle(terms, begin, _end(2 * ENERGY_WH, 4));
        certificates.set(SITE, FIRST + 8, FIRST + 8, true);
        _claimWorth(2);
        RewardEvidence memory evidence;
        assertEq(_dispute(evidence), 0, "reward");
    }

    /// @dev Better evidence lowers it further.
    function test_disputeReward_twice() public {
        Facts memory facts = _waits();
        RewardEvidence memory all = _post(facts);
        RewardEvidence memory some = abi.decode(abi.encode(all), (RewardEvidence));
        some.needs = new OpenedNeed[](4);
        for (uint256 i; i < 4; ++i) {
            some.needs[i] = all.needs[i + 3];
        }
        _claimWorth(MOST);
        uint128 first = _dispute(some);
        assertGt(first, _dispute(all), "by more needs");
        _expectDisputeRevert(
            some, abi.encodeWithSelector(ISettlement.RewardHolds.selector, terms.session, bill.reward, first)
        );
        assertEq(bill.reward, _bound(facts), "the bound");
    }

    /// @dev A price that scarcity set counts for the cap.
    function test_disputeReward_scarcityCountsUpToTheCap() public {
        Facts memory facts = _waits();
        (facts.node[0], facts.node[1], facts.node[2]) = (60_000_000, 60_000_000, 60_000_000);
        RewardEvidence memory evidence = _post(facts);
        int256 honest = _honest(facts, 11_000);
        assertEq(honest, 7_500 * (1000 - 100), "7.5 kWh at the cap less what they cost");
        _claimWorth(MOST);
        assertEq(_dispute(evidence), _share(uint256(honest) + 900), "and one Wh");
    }

    /// @dev A price below the grid's lower one counts for that.
    function test_disputeReward_noPriceCountsForLessThanTheGrids() public {
        Facts memory facts = _waits();
        for (uint256 i = 4; i < WHOLE; ++i) {
            facts.node[i] = -60_000_000;
        }
        RewardEvidence memory evidence = _post(facts);
        _claimWorth(MOST);
        assertEq(_dispute(evidence), _share(7_500 * 250 + 250), "300 less 50 a kWh");
    }

    // What is not

    function test_fuzz_honestClaimsHold(uint256 seed, uint256 power) public {
        Facts memory facts = _random(seed);
        power = bound(power, _leastW(facts), _leastW(facts) > RATED_W ? _leastW(facts) : RATED_W);
        int256 worth = _honest(facts, power);
        vm.assume(worth > 1);
        RewardEvidence memory evidence = _post(facts);
        _claimWorth(uint256(worth));
        vm.expectPartialRevert(ISettlement.RewardHolds.selector);
        settlement.disputeReward(terms, bill, evidence);
    }

    /// @dev Noisy meters: the claim is by registers of the claimant's, a Wh off at either end of an interval.
    function test_fuzz_honestClaimsHoldByNoisyMeters(uint256 seed, uint256 power, uint256 which) public {
        Facts memory facts = _random(seed);
        power = bound(power, _leastW(facts), _leastW(facts) > RATED_W ? _leastW(facts) : RATED_W);
        RewardEvidence memory evidence = _post(facts);
        which = bound(which, 0, WHOLE - 1);
        if (seed >> 5 & 1 == 0) ++facts.drawnWh[which];
        else if (facts.drawnWh[which] > 0) --facts.drawnWh[which];
        int256 worth = _honest(facts, power);
        vm.assume(worth > 1 && uint256(worth) <= MOST);
        _claimWorth(uint256(worth));
        vm.expectPartialRevert(ISettlement.RewardHolds.selector);
        settlement.disputeReward(terms, bill, evidence);
    }

    /// @dev Any claim above the bound is lowered to its share, and what is left holds.
    /// @dev However a challenger writes the arguments, with bits turned, words, offsets and lengths of its own.
    function test_fuzz_noCalldataLowersAnHonestReward(uint256 seed) public {
        RewardEvidence memory evidence = _post(_waits());
        _claimWorth(7_500 * 200);
        bytes memory honest = abi.encodeCall(ISettlement.disputeReward, (terms, bill, evidence));
        uint256 words = (honest.length - 4) / 32;
        for (uint256 i; i < 32; ++i) {
            uint256 word = uint256(keccak256(abi.encode(seed, i)));
            bytes memory written = bytes.concat(honest);
            uint256 offset = 36 + 32 * ((word >> 8) % words);
            assembly {
                let at := add(written, offset)
                switch and(word, 3)
                case 0 { mstore(at, xor(mload(at), shl(and(shr(64, word), 255), 1))) }
                case 1 { mstore(at, and(shr(64, word), 0xfff)) }
                case 2 { mstore(at, mload(add(written, add(36, mul(32, mod(shr(64, word), words)))))) }
                default { mstore(at, word) }
            }
            (bool lowered,) = address(settlement).call(written);
            assertFalse(lowered, "an honest reward was lowered");
        }
    }

    function test_fuzz_exaggeratedClaimsAreLoweredToTheBound(uint256 seed, uint256 worth) public {
        // Without other cars, and with all of them, the readings say all.
        Facts memory facts = _random(seed | 14);
        RewardEvidence memory evidence = _post(facts);
        uint128 most = _bound(facts);
        vm.assume(2 * uint256(most) + 2 <= MOST);
        _claimWorth(bound(worth, 2 * uint256(most) + 2, MOST));
        assertEq(_dispute(evidence), most, "the share of the bound");
        if (most == 0) return;
        _expectDisputeRevert(
            evidence, abi.encodeWithSelector(ISettlement.RewardHolds.selector, terms.session, most, most)
        );
    }

    /// @dev Which of many right multipliers were chosen moves prices by no more than the plan's tolerance. A claim at any of
    /// them is judged by those that were posted.
    function test_fuzz_claimsAtOtherMultipliersAreLowered(uint256 seed, uint256 more) public {
        Facts memory facts = _waits();
        RewardEvidence memory evidence = _post(facts);
        for (uint256 i; i < WHOLE; ++i) {
            facts.node[i] += int64(int256(uint256(keccak256(abi.encode(seed, i))) % 1000)) - 500;
        }
        for (uint256 i; i < 4; ++i) {
            facts.node[i] += int64(int256(bound(more, 1_600, 50_000)));
        }
        int256 steered = _honest(facts, 11_000);
        _claimWorth(uint256(steered));
        assertEq(_dispute(evidence), _bound(_waits()), "by the posted ones");
    }

    /// @dev A need that the EVSE's least power has lifted says nothing about the car.
    function test_disputeReward_aNeedOfTheLeastPowerIsNoBound() public {
        Facts memory facts = _waits();
        for (uint256 i; i < WHOLE; ++i) {
            (facts.most[i], facts.drawnWh[i]) = (138, i < 4 ? 0 : 300);
            facts.node[i] = i == 6 ? int64(10_000_000) : facts.node[i];
        }
        RewardEvidence memory evidence = _post(facts);
        // 400 W are less than the EVSE holds at least: this car leaves most of its energy to the last, dear interval.
        int256 worth = _honest(facts, 400);
        assertGt(worth, _honest(facts, 1_380));
        _claimWorth(uint256(worth));
        vm.expectPartialRevert(ISettlement.RewardHolds.selector);
        settlement.disputeReward(terms, bill, evidence);
    }

    /// @dev Which had the rating is not known any more; a claim of the largest holds.
    function test_disputeReward_ofAnEvseThatWasRemoved() public {
        Facts memory facts = _waits();
        facts.node[0] = 900_000;
        RewardEvidence memory evidence = _post(facts);
        int256 worth = _honest(facts, MAX_RATED_W);
        assertGt(worth, _honest(facts, RATED_W) + 1_000);
        _claimWorth(uint256(worth));
        uint256 snapshot = vm.snapshotState();
        Bill memory claimed = bill;
        assertLt(_dispute(evidence), claimed.reward, "by the rating");
        vm.revertToState(snapshot);
        bill = claimed;
        vm.prank(owner);
        registry.removeAsset(EVSE);
        vm.expectPartialRevert(ISettlement.RewardHolds.selector);
        settlement.disputeReward(terms, bill, evidence);
    }

    // Refusals

    function test_revert_DisputeWindowOver(uint40 time) public {
        RewardEvidence memory evidence = _post(_waits());
        _claimWorth(MOST);
        time = uint40(bound(time, WINDOW_END + 1, type(uint40).max));
        vm.warp(time);
        _expectDisputeRevert(
            evidence, abi.encodeWithSelector(ISettlement.DisputeWindowOver.selector, terms.session, time, WINDOW_END)
        );
    }

    function test_revert_WrongReward_nothingClaimed() public {
        _expectDisputeRevert(_post(_waits()), _wrongReward(0));
    }

    function test_revert_TermsMismatch_anotherReward(uint128 reward) public {
        RewardEvidence memory evidence = _post(_waits());
        _claimWorth(MOST);
        vm.assume(reward != bill.reward);
        bill.reward = reward;
        _expectDisputeRevert(evidence, _mismatch());
    }

    function test_revert_HistoryMismatch(uint256 which) public {
        RewardEvidence memory evidence = _post(_waits());
        _claimWorth(MOST);
        evidence.steps[which % evidence.steps.length] ^= bytes32(uint256(1));
        vm.expectPartialRevert(IDispatch.HistoryMismatch.selector);
        settlement.disputeReward(terms, bill, evidence);
    }

    function test_revert_WrongReadingCount(uint256 count) public {
        RewardEvidence memory evidence = _post(_waits());
        _claimWorth(MOST);
        count = bound(count, 0, WHOLE - 1);
        PostedReadings[] memory fewer = new PostedReadings[](count);
        for (uint256 i; i < count; ++i) {
            fewer[i] = evidence.readings[i];
        }
        evidence.readings = fewer;
        _expectDisputeRevert(
            evidence, abi.encodeWithSelector(ISettlement.WrongReadingCount.selector, terms.session, count, WHOLE + 1)
        );
    }

    function test_revert_NotPosted_readings(uint256 which, uint256 kind) public {
        RewardEvidence memory evidence = _post(_waits());
        _claimWorth(MOST);
        which = bound(which, 0, WHOLE);
        PostedReadings memory readings = evidence.readings[which];
        kind %= 5;
        if (kind == 0) readings.lanes[4 * LANE + 3] ^= 0x01;
        else if (kind == 1) readings.root ^= bytes32(uint256(1));
        else if (kind == 2) readings.step = uint16(evidence.steps.length);
        else if (kind == 3) readings.interval += 1;
        else readings.step -= 1;
        _expectDisputeRevert(
            evidence, abi.encodeWithSelector(ISettlement.NotPosted.selector, terms.session, FIRST + which)
        );
    }

    function test_revert_NotPosted_plan(uint256 which, uint256 kind) public {
        RewardEvidence memory evidence = _post(_waits());
        _claimWorth(MOST);
        which = bound(which, 0, WHOLE - 1);
        OpenedNeed memory opened = evidence.needs[which];
        kind %= 3;
        if (kind == 0) opened.plan.root = keccak256("a root of the challenger's");
        else if (kind == 1) opened.step += 1;
        else opened.plan.columnHash = keccak256("other setpoints");
        _expectDisputeRevert(
            evidence, abi.encodeWithSelector(ISettlement.NotPosted.selector, terms.session, FIRST + 1 + which)
        );
    }

    function test_revert_OutsideStay(uint256 which, uint32 interval) public {
        RewardEvidence memory evidence = _post(_waits());
        _claimWorth(MOST);
        vm.assume(interval <= FIRST || interval > FIRST + WHOLE);
        evidence.needs[which % WHOLE].plan.interval = interval;
        _expectDisputeRevert(
            evidence,
            abi.encodeWithSelector(ISettlement.OutsideStay.selector, terms.session, interval, FIRST + 1, FIRST + WHOLE)
        );
    }

    function test_revert_NotInPlan(uint256 which, uint256 kind) public {
        RewardEvidence memory evidence = _post(_waits());
        _claimWorth(MOST);
        which = bound(which, 0, WHOLE - 1);
        OpenedNeed memory opened = evidence.needs[which];
        kind %= 4;
        if (kind == 0) opened.need[7] ^= 0x01;
        else if (kind == 1) opened.prices[7] ^= 0x01;
        else if (kind == 2) opened.rowHash = keccak256("another row");
        else opened.siblings[0] = keccak256("another sibling");
        _expectDisputeRevert(
            evidence, abi.encodeWithSelector(ISettlement.NotInPlan.selector, terms.session, FIRST + 1 + which)
        );
    }
}

/// @notice A need that is in its plan's tree, but not of the plan's own interval or of the session's EVSE.
contract SettlementDisputeRewardNeedTest is RewardTest {
    uint8 private _from;
    uint16 private _lane;

    function _evidence() private returns (RewardEvidence memory evidence) {
        // One plan of one need, posted past everything else.
        bytes memory need = abi.encodePacked(
            _lane, uint8(1), _from, uint8(2), uint8(2), uint16(1100), uint16(138), uint32(5_000), uint16(100)
        );
        bytes memory prices = abi.encodePacked(int64(300_000), int32(50_000), int64(7), int32(8));
        bytes memory hashes = abi.encode(uint256(_lane), keccak256(need), keccak256("row"), keccak256(prices));
        Plan memory plan;
        (plan.site, plan.interval, plan.root) = (SITE, FIRST + 3, keccak256(bytes.concat(keccak256(hashes))));
        bytes memory lanes = new bytes(2 * LANES);
        plan.columnHash = keccak256(lanes);
        Facts memory facts;
        evidence = _post(facts);
        evidence.needs = new OpenedNeed[](1);
        evidence.needs[0] = OpenedNeed(uint16(3), plan, need, keccak256("row"), prices, new bytes32[](0));
        // The plan of its interval is replaced, as if it had been posted: only the history knows.
        evidence.steps[3] = keccak256(abi.encode(1, SITE, FIRST + 3, plan.columnHash, keccak256(abi.encode(plan))));
        bytes32 folded = evidence.previous;
        for (uint256 i; i < evidence.steps.length; ++i) {
            folded = keccak256(abi.encode(folded, evidence.steps[i]));
        }
        vm.mockCall(address(dispatch), abi.encodeCall(IDispatch.history, (SITE)), abi.encode(folded));
        _claimWorth(5e6);
    }

    function test_disputeReward_byANeedOfTheEvse() public {
        _lane = uint16(LANE);
        assertEq(_dispute(_evidence()), 700, "roundings: nothing was drawn in whole intervals");
    }

    function test_revert_NotInPlan_ofALaterInterval() public {
        (_lane, _from) = (uint16(LANE), 1);
        _expectNotInPlan();
    }

    function test_revert_NotInPlan_ofAnotherEvse(uint16 lane) public {
        vm.assume(lane != LANE);
        _lane = lane;
        _expectNotInPlan();
    }

    function _expectNotInPlan() private {
        _expectDisputeRevert(
            _evidence(), abi.encodeWithSelector(ISettlement.NotInPlan.selector, terms.session, FIRST + 3)
        );
    }
}
