// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {PlansTest} from "./PlansTest.sol";
import {Test} from "./SiteTest.sol";

/// @notice Everything that can be done with plans, in any order and by anyone who may; and what should have come of it.
contract PlansHandler is PlansTest {
    uint256 private constant ACTORS = 4;

    /// @dev What is known of a posted plan beside what the chain keeps.
    struct Posted {
        Plan plan;
        bool isWrong; // its claimed cost is not the verifier's
        bool isStaked;
        bool isOver; // refuted or released
        bool isCertified;
        bool isRefuted;
    }

    address[ACTORS] private actors;
    Posted[] private posted;
    uint32 private next = NEXT;
    uint256 public uncertified;
    uint256 public refuted;
    uint256 public released;

    function setUp() public override {
        super.setUp();
        actors = [oracle, challenger, protocol, stranger];
    }

    function count() external view returns (uint256) {
        return posted.length;
    }

    function deposit(uint256 who, uint128 amount) external {
        _fund(actors[who % ACTORS], bound(amount, 1, 1e12));
    }

    function withdraw(uint256 who, uint256 amount) external {
        address actor = actors[who % ACTORS];
        uint256 free = plans.stakeOf(actor);
        if (free == 0) return;
        vm.prank(actor);
        plans.withdrawStake(actor, bound(amount, 1, free));
    }

    function donate(uint64 amount) external {
        vm.prank(minter);
        credit.mint(address(plans), amount);
    }

    function setRules(uint8 mode, uint64 bond) external {
        PlanRules memory rules = _rules(PlanMode(mode % 3));
        rules.bond = bond % 4 == 0 ? 0 : bond % 1e9;
        uint32 from = uint32(block.timestamp / INTERVAL_S) + 1;
        vm.prank(owner);
        plans.setRules(SITE, rules, from);
        if (next < from) next = from;
    }

    /// @dev Time passes by up to a day, so that plans are posted before, within and after the windows of others.
    function pass(uint32 time) external {
        vm.warp(block.timestamp + time % 1 days);
    }

    function postProved(bool isRootWrong) external {
        uint32 interval = _nextInterval();
        if (!_canPost(interval)) return;
        Certificate memory certificate = _certificate();
        if (isRootWrong) certificate.root = 0;
        vm.recordLogs();
        vm.prank(oracle);
        plans.postProved(SITE, interval, certificate, _lanes());
        _remember(false, true);
    }

    function postClaimed(bool isWrong) external {
        uint32 interval = _nextInterval();
        if (plans.rulesAt(SITE, interval).mode != PlanMode.Optimistic || !_canPost(interval)) return;
        int256 cost = isWrong ? COST - 1 : COST;
        vm.recordLogs();
        vm.prank(oracle);
        plans.postClaimed(SITE, interval, _certificate(), _lanes(), cost, cost);
        _remember(isWrong, false);
    }

    function postUncertified() external {
        uint32 interval = _nextInterval();
        vm.prank(oracle);
        plans.postUncertified(SITE, interval, _lanes(), "");
        ++uncertified;
        next = interval + 1;
    }

    /// @dev Succeeds exactly where it should.
    function challenge(uint256 who, uint256 which) external {
        if (posted.length == 0) return;
        Posted storage p = posted[which % posted.length];
        bool should = _isOpen(p) && p.plan.rules.mode == PlanMode.Optimistic && p.isWrong;
        Certificate memory certificate = _certificate();
        certificate.root = p.plan.root;
        vm.prank(actors[who % ACTORS]);
        try plans.challenge(p.plan, certificate) {
            _refuted(p, should);
        } catch {
            assertFalse(should, "a wrong claim stands");
        }
    }

    function refuteRoot(uint256 who, uint256 which) external {
        if (posted.length == 0) return;
        Posted storage p = posted[which % posted.length];
        bool should = _isOpen(p) && p.plan.root != _root();
        Certificate memory certificate = _certificate();
        certificate.root = p.plan.root;
        vm.prank(actors[who % ACTORS]);
        try plans.refuteRoot(p.plan, certificate) {
            _refuted(p, should);
        } catch {
            assertFalse(should, "a wrong root stands");
        }
    }

    function improve(uint256 who, uint256 which, uint64 by) external {
        if (posted.length == 0) return;
        Posted storage p = posted[which % posted.length];
        bool should = _isOpen(p) && p.plan.rules.mode == PlanMode.Improved && by > uint256(UNITS) * EPSILON;
        verifier.set(COST - int256(uint256(by)), 0, 0);
        vm.prank(actors[who % ACTORS]);
        try plans.improve(p.plan, _certificate()) {
            _refuted(p, should);
        } catch {
            assertFalse(should, "a dearer schedule stands");
        }
        verifier.set(COST, COST, keccak256(_lanes()));
    }

    function release(uint256 which) external {
        if (posted.length == 0) return;
        Posted storage p = posted[which % posted.length];
        bool should = !p.isOver && block.timestamp >= _until(p.plan.interval) && _isKept(p);
        try plans.release(p.plan) {
            assertTrue(should, "released too soon, or twice");
            ++released;
            (p.isOver, p.isStaked, p.isCertified) = (true, false, true);
        } catch {
            assertFalse(should, "a bond that nobody took is kept");
        }
    }

    /// @dev Stakes and bonds are all there is, and it is there.
    function requireMoney() external view {
        uint256 sum;
        for (uint256 i; i < ACTORS; ++i) {
            sum += plans.stakeOf(actors[i]);
        }
        for (uint256 i; i < posted.length; ++i) {
            if (posted[i].isStaked) sum += posted[i].plan.rules.bond;
        }
        assertEq(sum, plans.accounted(), "stakes and bonds");
        assertLe(plans.accounted(), credit.balanceOf(address(plans)), "covered");
    }

    /// @dev Certified is what was proved or released and never refuted.
    function requirePlans() external view {
        assertEq(plans.uncertifiedOf(SITE), uncertified, "uncertified");
        for (uint256 i; i < posted.length; ++i) {
            Posted storage p = posted[i];
            uint32 interval = p.plan.interval;
            if (next - interval > 1000) continue; // forgotten
            assertEq(plans.isCertified(SITE, interval, interval), p.isCertified, "certified");
            assertEq(plans.isStaked(SITE, interval), p.isStaked, "staked");
            assertFalse(p.isRefuted && plans.isCertified(SITE, interval, interval), "refuted and certified");
        }
    }

    function _nextInterval() private returns (uint32) {
        uint32 earliest = uint32(block.timestamp / INTERVAL_S) + 1;
        if (next < earliest) next = earliest;
        // At most a day ahead.
        if (next > earliest + 90) vm.warp(uint256(next - 1) * INTERVAL_S);
        return next;
    }

    /// @dev The bond is there, and none stands in the way.
    function _canPost(uint32 interval) private view returns (bool) {
        if (plans.stakeOf(oracle) < plans.rulesAt(SITE, interval).bond) return false;
        for (uint256 i; i < posted.length; ++i) {
            if (posted[i].isStaked && (interval - posted[i].plan.interval) % plans.PLAN_DEPTH() == 0) return false;
        }
        return true;
    }

    function _remember(bool isWrong, bool isCertified) private {
        Plan memory plan = _lastPlan();
        posted.push();
        Posted storage p = posted[posted.length - 1];
        (p.plan, p.isWrong, p.isCertified) = (plan, isWrong, isCertified);
        p.isStaked = plan.rules.bond > 0;
        next = plan.interval + 1;
    }

    function _refuted(Posted storage p, bool should) private {
        assertTrue(should, "an honest plan was refuted");
        ++refuted;
        (p.isOver, p.isStaked, p.isCertified, p.isRefuted) = (true, false, false, true);
    }

    function _isKept(Posted storage p) private view returns (bool) {
        return plans.planHashAt(SITE, p.plan.interval) != 0;
    }

    function _isOpen(Posted storage p) private view returns (bool) {
        return !p.isOver && block.timestamp < _until(p.plan.interval);
    }
}

/// @notice The laws of plans, after any sequence of acts.
contract PlansInvariantTest is Test {
    PlansHandler private handler;

    function setUp() public {
        handler = new PlansHandler();
        handler.setUp();
        bytes4[] memory acts = new bytes4[](13);
        (acts[0], acts[1], acts[2]) = (handler.deposit.selector, handler.withdraw.selector, handler.donate.selector);
        (acts[3], acts[4], acts[5]) = (handler.setRules.selector, handler.pass.selector, handler.postProved.selector);
        (acts[6], acts[7]) = (handler.postClaimed.selector, handler.postUncertified.selector);
        (acts[8], acts[9]) = (handler.challenge.selector, handler.refuteRoot.selector);
        (acts[10], acts[11], acts[12]) =
        (handler.improve.selector, handler.release.selector, handler.postClaimed.selector);
        targetSelector(FuzzSelector(address(handler), acts));
        targetContract(address(handler));
    }

    function invariant_moneyAndCertificates() public view {
        handler.requireMoney();
        handler.requirePlans();
    }

    /// The laws would hold for nothing if the handler never got anywhere.
    function test_theHandlerReachesEveryOutcome() public {
        for (uint256 i; i < 600; ++i) {
            uint256 seed = uint256(keccak256(abi.encode(i)));
            if (i % 12 == 0) handler.deposit(seed, uint128(seed >> 8));
            if (i % 30 == 0) handler.setRules(uint8(seed), uint64(seed >> 8));
            if (i % 9 == 0) handler.pass(uint32(seed));
            handler.postProved(seed % 3 == 0);
            handler.postClaimed(seed % 2 == 0);
            handler.challenge(seed, seed >> 16);
            handler.refuteRoot(seed, seed >> 32);
            handler.improve(seed, seed >> 48, uint64(seed >> 64));
            handler.release(seed >> 80);
            if (i % 50 == 0) handler.postUncertified();
            if (i % 100 == 0) handler.requirePlans();
        }
        handler.requireMoney();
        assertGt(handler.count(), 100);
        assertGt(handler.refuted(), 20);
        assertGt(handler.released(), 20);
        assertGt(handler.uncertified(), 5);
    }
}
