// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Vm} from "forge-std/Vm.sol";
import "../src/IProtocol.sol";
import {ScheduleVerifier} from "../src/ScheduleVerifier.sol";
import {PlansTest} from "./PlansTest.sol";

contract PlansPostTest is PlansTest {
    function test_aProvedPlanIsDispatchedAndCertified() public {
        Plan memory plan = _postProved(NEXT);
        assertTrue(plans.isCertified(SITE, NEXT, NEXT));
        assertEq(uint256(dispatch.stateOf(SITE, NEXT)), uint256(IntervalState.Dispatched));
        assertEq(plan.poster, oracle);
        assertEq(plan.cost, COST);
        assertEq(plan.bound, COST);
        assertEq(plan.inputsHash, keccak256(_inputs()));
        assertEq(plan.scheduleHash, keccak256(_schedule()));
        assertEq(plan.multipliersHash, keccak256(_multipliers()));
        assertEq(plan.columnHash, keccak256(_lanes()));
        assertFalse(plans.isStaked(SITE, NEXT));
    }

    /// The question which algorithm planned a charge has an answer on chain.
    function test_everyPlanNamesItsAlgorithm() public {
        Plan memory plan = _postProved(NEXT);
        assertEq(address(plan.rules.verifier), address(verifier));
        assertEq(plan.algorithm, address(verifier).codehash);
    }

    function test_theDispatchedBatchNamesThePlan() public {
        vm.recordLogs();
        vm.prank(oracle);
        plans.postProved(SITE, NEXT, _certificate(), _lanes());
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 2);
        assertEq(logs[0].topics[0], IPlans.PlanPosted.selector);
        assertEq(logs[1].topics[0], IDispatch.SetpointsPosted.selector);
        (, bytes32 planHash,) = abi.decode(logs[1].data, (bytes, bytes32, bytes32));
        assertEq(planHash, keccak256(logs[0].data));
    }

    function testFuzz_theGapIsWithinTheTolerance(uint64 gap) public {
        uint256 most = plans.DEFAULT_TOLERANCE();
        int256 allowed = UNITS * int256(most);
        verifier.set(COST, COST - int256(uint256(gap)), keccak256(_lanes()));
        if (int256(uint256(gap)) > allowed) {
            vm.expectRevert(abi.encodeWithSelector(IPlans.GapTooLarge.selector, SITE, NEXT, gap, most));
        }
        vm.prank(oracle);
        plans.postProved(SITE, NEXT, _certificate(), _lanes());
        assertEq(plans.isCertified(SITE, NEXT, NEXT), int256(uint256(gap)) <= allowed);
    }

    function test_theToleranceItselfIsAllowed() public {
        verifier.set(COST, COST - UNITS * int256(uint256(plans.DEFAULT_TOLERANCE())), keccak256(_lanes()));
        _postProved(NEXT);
        assertTrue(plans.isCertified(SITE, NEXT, NEXT));
    }

    function test_revert_whenTheVerifierRefuses() public {
        verifier.refuse();
        vm.expectRevert(abi.encodeWithSelector(IScheduleVerifier.GroupExceeded.selector, 0));
        vm.prank(oracle);
        plans.postProved(SITE, NEXT, _certificate(), _lanes());
        assertFalse(plans.isCertified(SITE, NEXT, NEXT));
    }

    function test_revert_WrongColumn() public {
        verifier.set(COST, COST, keccak256("another"));
        vm.expectRevert(abi.encodeWithSelector(IPlans.WrongColumn.selector, SITE, NEXT, keccak256("another")));
        vm.prank(oracle);
        plans.postProved(SITE, NEXT, _certificate(), _lanes());
    }

    function testFuzz_revert_NotPlanner(address who) public {
        vm.assume(who != oracle && who != owner);
        bytes memory refusal = abi.encodeWithSelector(IPlans.NotPlanner.selector, SITE, who);
        vm.startPrank(who);
        vm.expectRevert(refusal);
        plans.postProved(SITE, NEXT, _certificate(), _lanes());
        vm.expectRevert(refusal);
        plans.postClaimed(SITE, NEXT, _certificate(), _lanes(), COST, COST);
        vm.expectRevert(refusal);
        plans.postUncertified(SITE, NEXT, _lanes(), "");
    }

    /// Who may plan may not post what was not planned.
    function test_revert_theOracleCannotGoAroundPlans() public {
        vm.expectRevert(abi.encodeWithSelector(IDispatch.NotAuthorised.selector, SITE, oracle, RIGHT_DISPATCH));
        vm.prank(oracle);
        dispatch.postSetpoints(SITE, NEXT, _lanes(), 0);
    }

    function test_revert_InputsNotOfSite() public {
        Certificate memory certificate = _certificate();
        // The first group's limit, from 100,000 W to 255 W more.
        certificate.inputs[29 + 68 + 5] = 0x9f;
        vm.expectRevert(abi.encodeWithSelector(IPlans.InputsNotOfSite.selector, SITE, SitePart.Group, 0));
        vm.prank(oracle);
        plans.postProved(SITE, NEXT, certificate, _lanes());
    }

    /// With the verifier itself: a plan in which nothing is wanted costs nothing, and nothing less is possible.
    function test_aCertificateThatTheVerifierAccepts() public {
        PlanRules memory rules = _rules(PlanMode.Proved);
        (rules.verifier, rules.bond) = (new ScheduleVerifier(dispatch), 0);
        vm.prank(owner);
        plans.setRules(SITE, rules, NEXT);
        Plan memory plan = _postProved(NEXT);
        assertTrue(plans.isCertified(SITE, NEXT, NEXT));
        assertEq(plan.cost, 0);
        assertEq(plan.bound, 0);
    }

    /// With the verifier itself: power that nobody wants is refused.
    function test_revert_whatTheVerifierRefuses() public {
        PlanRules memory rules = _rules(PlanMode.Proved);
        (rules.verifier, rules.bond) = (new ScheduleVerifier(dispatch), 0);
        vm.prank(owner);
        plans.setRules(SITE, rules, NEXT);
        Certificate memory certificate = _certificate();
        certificate.schedule[1] = 0x01;
        vm.expectRevert(abi.encodeWithSelector(IScheduleVerifier.EnergyExceeded.selector, 0, 1, 0));
        vm.prank(oracle);
        plans.postProved(SITE, NEXT, certificate, _lanes());
    }

    function test_revert_noIntervalIsPlannedTwice() public {
        _postProved(NEXT);
        vm.expectRevert(abi.encodeWithSelector(IDispatch.AlreadyDispatched.selector, SITE, NEXT));
        vm.prank(oracle);
        plans.postProved(SITE, NEXT, _certificate(), _lanes());
    }

    function test_revert_noPlanComesLate() public {
        vm.warp(NEXT * INTERVAL_S);
        vm.expectRevert(abi.encodeWithSelector(IDispatch.TooLate.selector, SITE, NEXT, block.timestamp));
        vm.prank(oracle);
        plans.postProved(SITE, NEXT, _certificate(), _lanes());
    }

    function test_anUncertifiedPostIsCountedAndSaysWhy() public {
        vm.expectEmit(address(plans));
        emit IPlans.UncertifiedPosted(SITE, NEXT, oracle, "the solver was late", 1);
        vm.prank(oracle);
        plans.postUncertified(SITE, NEXT, _lanes(), "the solver was late");
        vm.prank(oracle);
        plans.postUncertified(SITE, NEXT + 1, _lanes(), "");
        assertEq(plans.uncertifiedOf(SITE), 2);
        assertFalse(plans.isCertified(SITE, NEXT, NEXT));
        assertEq(uint256(dispatch.stateOf(SITE, NEXT)), uint256(IntervalState.Dispatched));
    }

    function testFuzz_everyReasonUpToTheMostIsCounted(bytes calldata reason) public {
        uint256 most = plans.MAX_REASON();
        bool allowed = reason.length <= most;
        if (!allowed) {
            vm.expectRevert(abi.encodeWithSelector(IPlans.ReasonTooLong.selector, reason.length, most));
        }
        vm.prank(oracle);
        plans.postUncertified(SITE, NEXT, _lanes(), string(reason));
        assertEq(plans.uncertifiedOf(SITE), allowed ? 1 : 0);
    }

    function test_revert_ReasonTooLong() public {
        uint256 most = plans.MAX_REASON();
        vm.prank(oracle);
        plans.postUncertified(SITE, NEXT, _lanes(), string(new bytes(most)));
        vm.expectRevert(abi.encodeWithSelector(IPlans.ReasonTooLong.selector, most + 1, most));
        vm.prank(oracle);
        plans.postUncertified(SITE, NEXT + 1, _lanes(), string(new bytes(most + 1)));
    }
}

contract PlansCertifiedTest is PlansTest {
    /// Bits in words of a ring say the same as a plain list does.
    function testFuzz_isCertifiedAsAPlainListSays(uint256 seed, uint8 count, uint32 first, uint8 length) public {
        uint256 steps = bound(count, 1, 40);
        bool[] memory listed = new bool[](41 * 20);
        uint32 newest = NEXT;
        for (uint256 i; i < steps; ++i) {
            newest += 1 + uint32(uint256(keccak256(abi.encode(seed, i))) % 20);
            vm.warp((newest - 1) * INTERVAL_S);
            _postProved(newest);
            listed[newest - NEXT] = true;
        }
        first = uint32(bound(first, NEXT, newest));
        uint32 last = uint32(bound(length, first, newest));
        bool all = true;
        for (uint32 t = first; t <= last; ++t) {
            all = all && listed[t - NEXT];
        }
        assertEq(plans.isCertified(SITE, first, last), all);
    }

    function test_aRunAcrossWordsIsCertified() public {
        uint32 first = (NEXT / 224 + 1) * 224 - 3;
        for (uint32 t = first; t < first + 6; ++t) {
            vm.warp((t - 1) * INTERVAL_S);
            _postProved(t);
        }
        assertTrue(plans.isCertified(SITE, first, first + 5));
        assertFalse(plans.isCertified(SITE, first - 1, first + 5));
        assertFalse(plans.isCertified(SITE, first, first + 6));
    }

    function test_aForgottenIntervalIsNotCertified() public {
        _postProved(NEXT);
        uint32 later = NEXT + uint32(plans.CERTIFIED_WORDS() * 224);
        vm.warp((later - 1) * INTERVAL_S);
        _postProved(later);
        assertFalse(plans.isCertified(SITE, NEXT, NEXT));
        assertTrue(plans.isCertified(SITE, later, later));
    }

    function test_noRunIsCertifiedBackwardsOrForever() public {
        _postProved(NEXT);
        assertFalse(plans.isCertified(SITE, NEXT, NEXT - 1));
        assertFalse(plans.isCertified(SITE, 0, type(uint32).max));
        assertFalse(plans.isCertified(keccak256("another site"), NEXT, NEXT));
    }
}

contract PlansRulesTest is PlansTest {
    function test_withoutRulesPlansAreProved() public view {
        PlanRules memory rules = plans.rulesAt(SITE, NEXT);
        assertEq(address(rules.verifier), address(verifier));
        assertEq(uint256(rules.mode), uint256(PlanMode.Proved));
        assertEq(rules.tolerance, plans.DEFAULT_TOLERANCE());
        assertEq(rules.bond, 0);
    }

    function test_rulesHoldFromTheirInterval() public {
        vm.prank(owner);
        plans.setRules(SITE, _rules(PlanMode.Optimistic), NEXT + 5);
        assertEq(uint256(plans.rulesAt(SITE, NEXT + 4).mode), uint256(PlanMode.Proved));
        assertEq(uint256(plans.rulesAt(SITE, NEXT + 5).mode), uint256(PlanMode.Optimistic));

        vm.warp((NEXT + 6) * INTERVAL_S);
        vm.prank(owner);
        plans.setRules(SITE, _rules(PlanMode.Improved), NEXT + 10);
        assertEq(uint256(plans.rulesAt(SITE, NEXT + 4).mode), uint256(PlanMode.Proved));
        assertEq(uint256(plans.rulesAt(SITE, NEXT + 9).mode), uint256(PlanMode.Optimistic));
        assertEq(uint256(plans.rulesAt(SITE, NEXT + 10).mode), uint256(PlanMode.Improved));
    }

    function test_comingRulesAreReplacedWhileTheyAreComing() public {
        vm.startPrank(owner);
        plans.setRules(SITE, _rules(PlanMode.Optimistic), NEXT + 5);
        plans.setRules(SITE, _rules(PlanMode.Improved), NEXT + 8);
        assertEq(uint256(plans.rulesAt(SITE, NEXT + 5).mode), uint256(PlanMode.Proved));
        assertEq(uint256(plans.rulesAt(SITE, NEXT + 8).mode), uint256(PlanMode.Improved));
    }

    function testFuzz_revert_RulesTooEarly(uint32 from) public {
        from = uint32(bound(from, 0, FIRST));
        PlanRules memory rules = _rules(PlanMode.Proved);
        vm.expectRevert(abi.encodeWithSelector(IPlans.RulesTooEarly.selector, SITE, from, NEXT));
        vm.prank(owner);
        plans.setRules(SITE, rules, from);
    }

    function testFuzz_revert_NotSiteOwner(address who) public {
        vm.assume(who != owner);
        PlanRules memory rules = _rules(PlanMode.Proved);
        vm.expectRevert(abi.encodeWithSelector(IPlans.NotSiteOwner.selector, SITE, who));
        vm.prank(who);
        plans.setRules(SITE, rules, NEXT);
    }

    function test_revert_NoVerifier() public {
        PlanRules memory rules = _rules(PlanMode.Proved);
        rules.verifier = IScheduleVerifier(stranger);
        vm.expectRevert(abi.encodeWithSelector(IPlans.NoVerifier.selector, stranger));
        vm.prank(owner);
        plans.setRules(SITE, rules, NEXT);
    }

    function test_revert_unknownSite() public {
        PlanRules memory rules = _rules(PlanMode.Proved);
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.UnknownSite.selector, keccak256("none")));
        plans.setRules(keccak256("none"), rules, NEXT);
    }

    /// What was posted keeps the rules that it was posted by.
    function test_aStakedPlanKeepsItsRules() public {
        Plan memory plan = _claimed();
        vm.warp((NEXT + 1) * INTERVAL_S);
        vm.prank(owner);
        plans.setRules(SITE, _rules(PlanMode.Proved), NEXT + 2);
        verifier.refuse();
        vm.prank(challenger);
        plans.challenge(plan, _certificate());
        assertEq(plans.stakeOf(challenger), BOND / 2);
    }
}

contract PlansClaimedTest is PlansTest {
    function test_aClaimedPlanIsStakedAndNotYetCertified() public {
        _claimed();
        assertTrue(plans.isStaked(SITE, NEXT));
        assertFalse(plans.isCertified(SITE, NEXT, NEXT));
        assertEq(plans.stakeOf(oracle), 0);
        assertEq(plans.accounted(), BOND);
        assertEq(uint256(dispatch.stateOf(SITE, NEXT)), uint256(IntervalState.Dispatched));
    }

    function test_nobodyVerifiesAClaimedPlan() public {
        verifier.refuse();
        _claimed();
        assertTrue(plans.isStaked(SITE, NEXT));
    }

    function test_afterADayItIsCertifiedAndTheBondGoesBack() public {
        Plan memory plan = _claimed();
        vm.warp(_until(NEXT));
        vm.expectEmit(address(plans));
        emit IPlans.BondReleased(SITE, NEXT, oracle, BOND);
        vm.prank(stranger);
        plans.release(plan);
        assertTrue(plans.isCertified(SITE, NEXT, NEXT));
        assertFalse(plans.isStaked(SITE, NEXT));
        assertEq(plans.stakeOf(oracle), BOND);
    }

    function test_revert_ChallengeWindowOpen() public {
        Plan memory plan = _claimed();
        uint256 until = _until(NEXT);
        vm.warp(until - 1);
        vm.expectRevert(abi.encodeWithSelector(IPlans.ChallengeWindowOpen.selector, SITE, NEXT, block.timestamp, until));
        plans.release(plan);
    }

    function test_revert_UnknownPlan_releasedTwice() public {
        Plan memory plan = _claimed();
        vm.warp(_until(NEXT));
        plans.release(plan);
        vm.expectRevert(abi.encodeWithSelector(IPlans.UnknownPlan.selector, SITE, NEXT));
        plans.release(plan);
    }

    function test_aRefusedCertificateForfeitsTheBond() public {
        Plan memory plan = _claimed();
        verifier.refuse();
        _expectRefuted(plan);
    }

    function test_aWrongCostForfeitsTheBond() public {
        Plan memory plan = _claimed();
        verifier.set(COST + 1, COST, keccak256(_lanes()));
        _expectRefuted(plan);
    }

    function test_aWrongBoundForfeitsTheBond() public {
        Plan memory plan = _claimed();
        verifier.set(COST, COST - 1, keccak256(_lanes()));
        _expectRefuted(plan);
    }

    function test_anotherColumnForfeitsTheBond() public {
        Plan memory plan = _claimed();
        verifier.set(COST, COST, keccak256("another"));
        _expectRefuted(plan);
    }

    function _expectRefuted(Plan memory plan) private {
        vm.warp(_until(NEXT) - 1);
        vm.expectEmit(address(plans));
        emit IPlans.PlanRefuted(SITE, NEXT, challenger, Refutation.Certificate, 0, BOND / 2);
        vm.prank(challenger);
        plans.challenge(plan, _certificate());
        assertEq(plans.stakeOf(challenger), BOND / 2);
        assertEq(plans.stakeOf(protocol), BOND - BOND / 2);
        assertEq(plans.stakeOf(oracle), 0);
        assertFalse(plans.isStaked(SITE, NEXT));
        assertFalse(plans.isCertified(SITE, NEXT, NEXT));

        vm.warp(_until(NEXT));
        vm.expectRevert(abi.encodeWithSelector(IPlans.UnknownPlan.selector, SITE, NEXT));
        plans.release(plan);
    }

    /// A problem of another site is refuted, whatever the verifier says of it.
    function test_inputsOfAnotherSiteForfeitTheBond() public {
        _setMode(PlanMode.Optimistic);
        _fund(oracle, BOND);
        Certificate memory certificate = _certificate();
        certificate.inputs[4] = 0x02;
        vm.recordLogs();
        vm.prank(oracle);
        plans.postClaimed(SITE, NEXT, certificate, _lanes(), COST, COST);
        Plan memory plan = _lastPlan();
        vm.prank(challenger);
        plans.challenge(plan, certificate);
        assertEq(plans.stakeOf(challenger), BOND / 2);
    }

    /// Limits that the owner changes later do not refute a plan that kept the old ones.
    function test_revert_CertificateHolds_limitsChangedSince() public {
        Plan memory plan = _claimed();
        vm.prank(owner);
        registry.setGroupLimits(SITE, 0, 50_000, 0);
        vm.expectRevert(abi.encodeWithSelector(IPlans.CertificateHolds.selector, SITE, NEXT));
        vm.prank(challenger);
        plans.challenge(plan, _certificate());
    }

    function test_revert_CertificateHolds() public {
        Plan memory plan = _claimed();
        vm.expectRevert(abi.encodeWithSelector(IPlans.CertificateHolds.selector, SITE, NEXT));
        vm.prank(challenger);
        plans.challenge(plan, _certificate());
    }

    /// Who challenges with too little gas takes nothing.
    function test_revert_Undecided() public {
        Plan memory plan = _claimed();
        verifier.beSilent();
        vm.expectRevert(abi.encodeWithSelector(IPlans.Undecided.selector, SITE, NEXT));
        vm.prank(challenger);
        plans.challenge(plan, _certificate());
    }

    function test_revert_ChallengeTooLate() public {
        Plan memory plan = _claimed();
        verifier.refuse();
        uint256 until = _until(NEXT);
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(IPlans.ChallengeTooLate.selector, SITE, NEXT, until, until));
        plans.challenge(plan, _certificate());
    }

    /// At any time either who challenges takes the bond or who posted gets it back, never both.
    function testFuzz_theDayDecidesWhoseTheBondIs(uint256 time) public {
        Plan memory plan = _claimed();
        verifier.refuse();
        time = bound(time, block.timestamp, _until(NEXT) + 7 days);
        bool isOver = time >= _until(NEXT);
        vm.warp(time);
        if (isOver) vm.expectPartialRevert(IPlans.ChallengeTooLate.selector);
        else vm.expectPartialRevert(IPlans.ChallengeWindowOpen.selector);
        if (isOver) plans.challenge(plan, _certificate());
        else plans.release(plan);

        vm.prank(challenger);
        if (isOver) plans.release(plan);
        else plans.challenge(plan, _certificate());
        assertEq(plans.isCertified(SITE, NEXT, NEXT), isOver);
        assertEq(plans.stakeOf(oracle), isOver ? BOND : 0);
        assertEq(plans.stakeOf(challenger), isOver ? 0 : BOND / 2);
    }

    /// Whatever is claimed, a challenge decides by what the verifier says.
    function testFuzz_aClaimHoldsExactlyIfTheVerifierSaysTheSame(int64 cost, int64 bound_, bytes32 column) public {
        Plan memory plan = _claimed();
        (int256 verified, int256 proven) = (COST + cost % 2, COST + bound_ % 2);
        bytes32 first = uint256(column) % 2 == 0 ? column : keccak256(_lanes());
        verifier.set(verified, proven, first);
        bool holds = verified == COST && proven == COST && first == keccak256(_lanes());
        if (holds) vm.expectRevert(abi.encodeWithSelector(IPlans.CertificateHolds.selector, SITE, NEXT));
        vm.prank(challenger);
        plans.challenge(plan, _certificate());
        assertEq(plans.isStaked(SITE, NEXT), holds);
    }

    function testFuzz_aClaimedGapIsWithinTheTolerance(uint64 gap) public {
        _setMode(PlanMode.Optimistic);
        _fund(oracle, BOND);
        bool allowed = int256(uint256(gap)) <= UNITS * int256(uint256(TOLERANCE));
        if (!allowed) {
            vm.expectRevert(abi.encodeWithSelector(IPlans.GapTooLarge.selector, SITE, NEXT, gap, TOLERANCE));
        }
        vm.prank(oracle);
        plans.postClaimed(SITE, NEXT, _certificate(), _lanes(), COST, COST - int256(uint256(gap)));
        assertEq(plans.isStaked(SITE, NEXT), allowed);
    }

    function test_revert_WrongCertificate() public {
        Plan memory plan = _claimed();
        verifier.refuse();
        Certificate[4] memory others = [_certificate(), _certificate(), _certificate(), _certificate()];
        (others[0].inputs, others[1].schedule, others[2].multipliers) = ("x", "x", "x");
        others[3].root = 0;
        for (uint256 i; i < others.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IPlans.WrongCertificate.selector, SITE, NEXT));
            plans.challenge(plan, others[i]);
        }
    }

    /// A plan is the one that was posted, to the last member.
    function testFuzz_revert_UnknownPlan_doctored(uint8 which) public {
        Plan memory plan = _claimed();
        verifier.refuse();
        which = uint8(bound(which, 0, 6));
        if (which == 0) plan.poster = challenger;
        if (which == 1) plan.rules.bond += 1;
        if (which == 2) plan.cost += 1;
        if (which == 3) plan.bound -= 1;
        if (which == 4) plan.inputsHash = 0;
        if (which == 5) plan.columnHash = 0;
        if (which == 6) plan.rules.mode = PlanMode.Improved;
        vm.expectRevert(abi.encodeWithSelector(IPlans.UnknownPlan.selector, SITE, NEXT));
        plans.challenge(plan, _certificate());
    }

    function test_revert_WrongMode_claimedWhereProofIsAsked() public {
        vm.expectRevert(abi.encodeWithSelector(IPlans.WrongMode.selector, SITE, PlanMode.Proved));
        vm.prank(oracle);
        plans.postClaimed(SITE, NEXT, _certificate(), _lanes(), COST, COST);
    }

    function test_revert_GapTooLarge_claimed() public {
        _setMode(PlanMode.Optimistic);
        int256 gap = UNITS * int256(uint256(TOLERANCE)) + 1;
        vm.expectRevert(abi.encodeWithSelector(IPlans.GapTooLarge.selector, SITE, NEXT, gap, TOLERANCE));
        vm.prank(oracle);
        plans.postClaimed(SITE, NEXT, _certificate(), _lanes(), COST, COST - gap);
    }

    function test_revert_StakeTooLow() public {
        _setMode(PlanMode.Optimistic);
        _fund(oracle, BOND - 1);
        vm.expectRevert(abi.encodeWithSelector(IPlans.StakeTooLow.selector, oracle, BOND - 1, BOND));
        vm.prank(oracle);
        plans.postClaimed(SITE, NEXT, _certificate(), _lanes(), COST, COST);
    }

    /// What is verified at once is certified at once, and its bond stands for what nobody verified.
    function test_aProvedPlanIsCertifiedBesideItsBond() public {
        _setMode(PlanMode.Optimistic);
        _fund(oracle, BOND);
        _postProved(NEXT);
        assertTrue(plans.isCertified(SITE, NEXT, NEXT));
        assertTrue(plans.isStaked(SITE, NEXT));
    }

    /// A bond that nobody released stands in the way of the plan that would bury it.
    function test_revert_BondOpen() public {
        Plan memory plan = _claimed();
        uint32 later = NEXT + uint32(plans.PLAN_DEPTH());
        vm.warp((later - 1) * INTERVAL_S);
        _fund(oracle, BOND);
        vm.expectRevert(abi.encodeWithSelector(IPlans.BondOpen.selector, SITE, NEXT));
        vm.prank(oracle);
        plans.postClaimed(SITE, later, _certificate(), _lanes(), COST, COST);

        plans.release(plan);
        _postClaimed(later);
        assertTrue(plans.isStaked(SITE, later));
        assertFalse(plans.isStaked(SITE, NEXT));
    }
}

contract PlansImprovedTest is PlansTest {
    function _better() private pure returns (Certificate memory better) {
        better = _certificate();
        better.schedule = "a better schedule";
    }

    function test_aPlanWithAGapIsStakedAndCertified() public {
        verifier.set(COST, COST - 1e12, keccak256(_lanes()));
        _improvable();
        assertTrue(plans.isStaked(SITE, NEXT));
        assertTrue(plans.isCertified(SITE, NEXT, NEXT));
    }

    function test_whoShowsACheaperScheduleTakesOfTheBond() public {
        Plan memory plan = _improvable();
        int256 cheaper = COST - UNITS * int256(uint256(EPSILON)) - 1;
        verifier.set(cheaper, 0, 0);
        vm.expectEmit(address(plans));
        emit IPlans.PlanImproved(SITE, NEXT, challenger, cheaper, BOND / 2);
        vm.prank(challenger);
        plans.improve(plan, _better());
        assertEq(plans.stakeOf(challenger), BOND / 2);
        assertFalse(plans.isCertified(SITE, NEXT, NEXT));
        assertFalse(plans.isStaked(SITE, NEXT));
    }

    function testFuzz_onlyMoreThanEpsilonIsBetter(uint64 by) public {
        Plan memory plan = _improvable();
        int256 cost = COST - int256(uint256(by));
        int256 most = COST - UNITS * int256(uint256(EPSILON));
        verifier.set(cost, 0, 0);
        if (cost >= most) {
            vm.expectRevert(abi.encodeWithSelector(IPlans.NotCheaper.selector, SITE, NEXT, cost, most));
        }
        vm.prank(challenger);
        plans.improve(plan, _better());
        assertEq(plans.isCertified(SITE, NEXT, NEXT), cost >= most);
    }

    function test_revert_NotCheaper_byEpsilonItself() public {
        Plan memory plan = _improvable();
        int256 most = COST - UNITS * int256(uint256(EPSILON));
        verifier.set(most, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IPlans.NotCheaper.selector, SITE, NEXT, most, most));
        plans.improve(plan, _better());
    }

    function test_revert_WrongCertificate_ofAnotherProblem() public {
        Plan memory plan = _improvable();
        verifier.set(0, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IPlans.WrongCertificate.selector, SITE, NEXT));
        plans.improve(plan, Certificate("an easier problem", "a better schedule", "", 0));
    }

    /// @dev The second need can have 414 steps or none; the first begins an interval later, and has its cell first.
    function testFuzz_noEvseGetsWhatItCannotHold(uint16 power) public {
        _setMode(PlanMode.Improved);
        _fund(oracle, BOND);
        bytes memory later = abi.encodePacked(uint16(2), uint8(1), uint24(0x010202), uint16(2200), uint16(700));
        bytes memory now_ = abi.encodePacked(uint16(5), uint8(2), uint24(0x000202), uint16(2200), uint16(414));
        bytes memory rest = abi.encodePacked(uint32(0), uint16(100));
        bytes memory needs = bytes.concat(later, rest, now_, rest);
        Certificate memory certificate = _certificate();
        certificate.inputs = _inputsOver(2, bytes.concat(_zeroPrices(), hex"08000000"), 2, needs);
        vm.recordLogs();
        vm.prank(oracle);
        plans.postProved(SITE, NEXT, certificate, _lanes());
        Plan memory plan = _lastPlan();
        certificate.schedule = abi.encodePacked(uint16(1), power, uint16(1), new bytes(8));
        verifier.set(0, 0, 0);
        bool held = power == 0 || power >= 414;
        if (!held) {
            vm.expectRevert(abi.encodeWithSelector(IPlans.PowerNotHeld.selector, SITE, NEXT, 1, power, 414));
        }
        plans.improve(plan, certificate);
        assertEq(plans.isCertified(SITE, NEXT, NEXT), !held);
    }

    function test_revert_ofAScheduleThatIsNotFeasible() public {
        Plan memory plan = _improvable();
        verifier.refuse();
        vm.expectRevert(abi.encodeWithSelector(IScheduleVerifier.GroupExceeded.selector, 0));
        plans.improve(plan, _better());
    }

    function test_revert_ChallengeTooLate() public {
        Plan memory plan = _improvable();
        verifier.set(0, 0, 0);
        uint256 until = _until(NEXT);
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(IPlans.ChallengeTooLate.selector, SITE, NEXT, until, until));
        plans.improve(plan, _better());
    }

    function test_revert_WrongMode_improvingAClaim() public {
        Plan memory plan = _claimed();
        verifier.set(0, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IPlans.WrongMode.selector, SITE, PlanMode.Optimistic));
        plans.improve(plan, _better());
    }

    function test_revert_WrongMode_challengingAProof() public {
        Plan memory plan = _improvable();
        verifier.refuse();
        vm.expectRevert(abi.encodeWithSelector(IPlans.WrongMode.selector, SITE, PlanMode.Improved));
        plans.challenge(plan, _certificate());
    }

    function test_theBondGoesBackAfterADay() public {
        Plan memory plan = _improvable();
        vm.warp(_until(NEXT));
        plans.release(plan);
        assertEq(plans.stakeOf(oracle), BOND);
        assertTrue(plans.isCertified(SITE, NEXT, NEXT));
    }
}

contract PlansRootTest is PlansTest {
    function _wrong() private pure returns (Certificate memory certificate) {
        certificate = _certificate();
        certificate.root = keccak256("another tree");
    }

    function _postWrong() private returns (Plan memory) {
        vm.recordLogs();
        vm.prank(oracle);
        plans.postProved(SITE, NEXT, _wrong(), _lanes());
        return _lastPlan();
    }

    function _expectRefuted(Plan memory plan, uint128 bond) private {
        uint256 stake = plans.stakeOf(challenger);
        vm.warp(_until(NEXT) - 1);
        vm.expectEmit(address(plans));
        emit IPlans.PlanRefuted(SITE, NEXT, challenger, Refutation.Root, 0, bond / 2);
        vm.prank(challenger);
        plans.refuteRoot(plan, _wrong());
        assertFalse(plans.isCertified(SITE, NEXT, NEXT));
        assertFalse(plans.isStaked(SITE, NEXT));
        assertEq(plans.planHashAt(SITE, NEXT), 0);
        assertEq(plans.stakeOf(challenger) - stake, bond / 2);
        assertEq(plans.stakeOf(protocol), bond - bond / 2);
    }

    function test_theChainKeepsThePlansHash() public {
        bytes32 planHash = keccak256(abi.encode(_postProved(NEXT)));
        assertEq(plans.planHashAt(SITE, NEXT), planHash >> 33 << 33);
        assertEq(plans.planHashAt(SITE, NEXT + 1), 0);
        assertEq(plans.planHashAt(SITE, NEXT + uint32(plans.PLAN_DEPTH())), 0);
    }

    function test_aWrongRootIsRefutedWithoutABond() public {
        Plan memory plan = _postWrong();
        assertEq(plan.root, keccak256("another tree"));
        assertTrue(plans.isCertified(SITE, NEXT, NEXT));
        _expectRefuted(plan, 0);
    }

    function testFuzz_aWrongRootForfeitsTheBondInEveryMode(uint8 mode) public {
        _setMode(PlanMode(bound(mode, 0, 2)));
        _fund(oracle, BOND);
        _expectRefuted(_postWrong(), BOND);
    }

    function test_revert_RootHolds() public {
        Plan memory plan = _postProved(NEXT);
        vm.expectRevert(abi.encodeWithSelector(IPlans.RootHolds.selector, SITE, NEXT));
        plans.refuteRoot(plan, _certificate());
    }

    function test_revert_WrongCertificate_root() public {
        Plan memory plan = _postWrong();
        vm.expectRevert(abi.encodeWithSelector(IPlans.WrongCertificate.selector, SITE, NEXT));
        plans.refuteRoot(plan, _certificate());
    }

    function test_revert_UnknownPlan_refutedTwice() public {
        Plan memory plan = _postWrong();
        plans.refuteRoot(plan, _wrong());
        vm.expectRevert(abi.encodeWithSelector(IPlans.UnknownPlan.selector, SITE, NEXT));
        plans.refuteRoot(plan, _wrong());
    }

    function test_revert_ChallengeTooLate_root() public {
        Plan memory plan = _postWrong();
        uint256 until = _until(NEXT);
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(IPlans.ChallengeTooLate.selector, SITE, NEXT, until, until));
        plans.refuteRoot(plan, _wrong());
    }

    /// A plan without a bond makes room for the next one, whose hash it is from then on.
    function test_aPlaceWithoutABondIsUsedAgain() public {
        Plan memory plan = _postProved(NEXT);
        uint32 later = NEXT + uint32(plans.PLAN_DEPTH());
        vm.warp((later - 1) * INTERVAL_S);
        Plan memory next = _postProved(later);
        assertEq(plans.planHashAt(SITE, NEXT), 0);
        assertEq(plans.planHashAt(SITE, later), keccak256(abi.encode(next)) >> 33 << 33);
        vm.expectRevert(abi.encodeWithSelector(IPlans.UnknownPlan.selector, SITE, NEXT));
        plans.release(plan);
    }

    function test_revert_StakeTooLow_proved() public {
        _setMode(PlanMode.Proved);
        vm.expectRevert(abi.encodeWithSelector(IPlans.StakeTooLow.selector, oracle, 0, BOND));
        vm.prank(oracle);
        plans.postProved(SITE, NEXT, _certificate(), _lanes());
    }
}

contract PlansStakeTest is PlansTest {
    function testFuzz_whatComesInGoesOut(uint128 amount, uint128 out) public {
        amount = uint128(bound(amount, 1, type(uint128).max));
        out = uint128(bound(out, 1, amount));
        _fund(challenger, amount);
        assertEq(plans.accounted(), amount);
        vm.expectEmit(address(plans));
        emit IPlans.StakeWithdrawn(challenger, stranger, out);
        vm.prank(challenger);
        plans.withdrawStake(stranger, out);
        assertEq(plans.stakeOf(challenger), amount - out);
        assertEq(plans.accounted(), amount - out);
        assertEq(credit.balanceOf(stranger), out);
        assertEq(credit.balanceOf(address(plans)), amount - out);
    }

    function test_revert_StakeTooLow_ofWhatIsStaked() public {
        _claimed();
        vm.expectRevert(abi.encodeWithSelector(IPlans.StakeTooLow.selector, oracle, 0, 1));
        vm.prank(oracle);
        plans.withdrawStake(oracle, 1);
    }

    function test_revert_ZeroStake() public {
        vm.expectRevert(IPlans.ZeroStake.selector);
        plans.depositStake(0);
        vm.expectRevert(IPlans.ZeroStake.selector);
        plans.withdrawStake(stranger, 0);
    }

    function test_theTokenIsTheCredit() public view {
        assertEq(plans.credit(), address(credit));
    }
}
