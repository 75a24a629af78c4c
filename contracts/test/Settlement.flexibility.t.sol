// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import "../src/IProtocol.sol";
import {FlexibilityTest} from "./FlexibilityTest.sol";

/// @notice What a session's flexibility earns its driver, and when.
contract SettlementClaimFlexibilityTest is FlexibilityTest {
    function _tooMuch(uint256 value, uint256 bound_) private view returns (bytes memory) {
        return abi.encodeWithSelector(ISettlement.TooMuchFlexibility.selector, terms.session, value, bound_);
    }

    function _notCertified() private view returns (bytes memory) {
        return abi.encodeWithSelector(ISettlement.NotCertified.selector, terms.session);
    }

    // What is claimed

    function test_claimFlexibility(uint32 activatedWh, uint64 displaced, int64 worth, uint40 time) public {
        Flexibility memory moved;
        moved.activatedWh = uint32(bound(activatedWh, 0, ENERGY_WH));
        moved.displacedWhIntervals = uint64(bound(displaced, 0, ENERGY_WH * INTERVALS));
        uint256 most = uint256(moved.activatedWh) * REWARD_CAP / 1000;
        moved.worth = int64(bound(worth, type(int64).min, int256(most)));
        vm.warp(bound(time, bill.settledAt, CLAIM_END));
        Bill memory expected = bill;
        expected.reward = moved.worth > 0 ? uint128(uint64(moved.worth)) * REWARD_BPS / 10_000 : 0;

        vm.expectEmit(address(settlement));
        emit ISettlement.FlexibilityClaimed(terms.session, driver.addr, SITE, moved, expected);
        vm.prank(oracle);
        settlement.claimFlexibility(terms, bill, moved);

        bill = expected;
        _assertReceipt();
        assertEq(_tokens(), 0, "nothing minted yet");
        assertEq(settlement.accounted(), HELD, "no money moves");
    }

    /// @dev Flexibility never costs its driver anything.
    function test_claimFlexibility_negativeWorthIsNothing(int64 worth) public {
        Flexibility memory moved = _moved();
        moved.worth = int64(bound(worth, type(int64).min, 0));
        _claim(moved);
        assertEq(bill.reward, 0, "reward");
        vm.warp(WINDOW_END + 1);
        _expectMintRevert(_wrongReward(0));
    }

    /// @dev A claim that came to nothing may be made again, by whoever could have made the better one at once.
    function test_claimFlexibility_nothingMayBeClaimedAgain() public {
        _claim(Flexibility(0, 0, 0));
        _claim(_moved());
        assertEq(bill.reward, 1e6, "reward");
    }

    function test_revert_WrongReward_onceOnly(int64 worth) public {
        _claim(_moved());
        Flexibility memory moved = _moved();
        moved.worth = int64(bound(worth, 0, 5e6));
        _expectClaimRevert(moved, _wrongReward(1e6));
    }

    /// @dev The bill before the claim is no receipt any more.
    function test_revert_TermsMismatch_billBeforeTheClaim() public {
        Bill memory before = bill;
        _claim(_moved());
        bill = before;
        _expectClaimRevert(_moved(), _mismatch());
    }

    // Bounds

    function test_revert_TooMuchFlexibility_activated(uint32 activatedWh) public {
        Flexibility memory moved = _moved();
        moved.activatedWh = uint32(bound(activatedWh, ENERGY_WH + 1, type(uint32).max));
        _expectClaimRevert(moved, _tooMuch(moved.activatedWh, ENERGY_WH));
    }

    function test_revert_TooMuchFlexibility_displaced(uint64 displaced) public {
        Flexibility memory moved = _moved();
        moved.displacedWhIntervals = uint64(bound(displaced, ENERGY_WH * INTERVALS + 1, type(uint64).max));
        _expectClaimRevert(moved, _tooMuch(moved.displacedWhIntervals, ENERGY_WH * INTERVALS));
    }

    function test_revert_TooMuchFlexibility_worth(uint32 activatedWh, int64 worth) public {
        Flexibility memory moved = _moved();
        moved.activatedWh = uint32(bound(activatedWh, 0, ENERGY_WH));
        uint256 most = uint256(moved.activatedWh) * REWARD_CAP / 1000;
        moved.worth = int64(bound(worth, int256(most) + 1, type(int64).max));
        _expectClaimRevert(moved, _tooMuch(uint64(moved.worth), most));
    }

    /// Noisy meters can make a claim too large, never a settlement fail: what is refused changes no bill, and what is clipped to
    /// the bounds is rewarded.
    function test_claimFlexibility_clippedWhereMetersAreNoisy(uint32 activatedWh, uint64 displaced, int64 worth)
        public
    {
        activatedWh = uint32(bound(activatedWh, ENERGY_WH + 1, type(uint32).max));
        displaced = uint64(bound(displaced, ENERGY_WH * INTERVALS + 1, type(uint64).max));
        worth = int64(bound(worth, 1, 10e6));
        (bytes26 before,,) = settlement.placeAt(terms.evse, terms.place);
        vm.prank(oracle);
        vm.expectPartialRevert(ISettlement.TooMuchFlexibility.selector);
        settlement.claimFlexibility(terms, bill, Flexibility(activatedWh, displaced, worth));
        (bytes26 kept,, SessionState state) = settlement.placeAt(terms.evse, terms.place);
        assertEq(kept, before, "bill");
        assertEq(uint256(state), uint256(SessionState.Settled), "settled");

        _claim(Flexibility(ENERGY_WH, uint64(ENERGY_WH * INTERVALS), worth));
        assertEq(bill.reward, uint64(worth) * uint256(REWARD_BPS) / 10_000, "reward");
    }

    function test_boundary_allBoundsAreReached() public {
        uint64 most = uint64(uint256(ENERGY_WH) * REWARD_CAP / 1000);
        _claim(Flexibility(ENERGY_WH, uint64(ENERGY_WH * INTERVALS), int64(most)));
        assertEq(bill.reward, most / 2, "reward");
    }

    // The share is of the session's start

    function test_claimFlexibility_shareOfTheStart(uint16 share, uint64 cap, address other) public {
        vm.assume(other != address(0));
        vm.prank(owner);
        registry.setOperator(SITE, other, 0, uint16(bound(share, 0, BPS)), cap);
        _claim(_moved());
        assertEq(bill.reward, 1e6, "reward");
        // The next session has the new share.
        Request memory request = _request();
        (request.nonce, request.totalCeiling) = (2, 0);
        Terms memory next = _open(request);
        assertEq(next.rewardBps, uint16(bound(share, 0, BPS)), "share");
        assertEq(next.rewardCap, cap, "cap");
    }

    // Certificates

    function test_revert_NotCertified_otherIntervals(uint32 first, uint32 last, bytes32 site) public {
        certificates.set(SITE, FIRST, LAST, false);
        vm.assume(site != SITE || first != FIRST || last != LAST);
        certificates.set(site, first, last, true);
        _expectClaimRevert(_moved(), _notCertified());
    }

    function test_revert_NotCertified_nobodyCertifies() public {
        settlement = _deploySettlement(IERC20(address(credit)));
        assertEq(address(settlement.certificates()), address(0), "nobody");
        vm.warp(START);
        terms = _openFunded();
        vm.warp(START + 2 hours);
        bill = _settle(terms, _startReading(), _end(ENERGY_WH, 2));
        _expectClaimRevert(_moved(), _notCertified());
        _expectClaimRevert(Flexibility(0, 0, 0), _notCertified());
    }

    /// @dev A clock that is not set says nothing of intervals, not even of the first of 1970.
    function test_revert_NotCertified_clockNotSet() public {
        Request memory request = _request();
        (request.nonce, request.totalCeiling) = (2, 0);
        terms = _open(request);
        MeterReading memory start = _begin(ENERGY_WH, 3);
        MeterReading memory stop = _end(2 * ENERGY_WH, 4);
        (start.time, stop.time) = (0, 0);
        bill = _settle(terms, start, stop);
        certificates.set(SITE, 0, 0, true);
        _expectClaimRevert(_moved(), _notCertified());
    }

    // Who, when, of what

    function test_revert_NotAuthorised(address who, uint8 rights) public {
        vm.assume(who != owner && who != oracle);
        vm.prank(owner);
        registry.setDelegate(SITE, who, uint8(bound(rights, 0, 7)) & ~RIGHT_SETTLE, type(uint40).max);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotAuthorised.selector, SITE, who, RIGHT_SETTLE));
        vm.prank(who);
        settlement.claimFlexibility(terms, bill, _moved());
    }

    /// @dev Half a day before the last second in which the claim can be disputed.
    function test_boundary_lastSecondOfTheClaimWindow() public {
        assertEq(settlement.DISPUTE_WINDOW() - settlement.CLAIM_WINDOW(), 12 hours, "left to dispute");
        vm.warp(CLAIM_END);
        _claim(_moved());
        assertEq(bill.reward, 1e6, "reward");
    }

    function test_revert_DisputeWindowOver(uint256 time) public {
        time = bound(time, CLAIM_END + 1, type(uint40).max);
        vm.warp(time);
        _expectClaimRevert(
            _moved(), abi.encodeWithSelector(ISettlement.DisputeWindowOver.selector, terms.session, time, CLAIM_END)
        );
    }

    function test_revert_WrongState_notSettled() public {
        Request memory request = _request();
        (request.nonce, request.totalCeiling) = (2, 0);
        terms = _open(request);
        _expectClaimRevert(
            _moved(),
            abi.encodeWithSelector(
                ISettlement.WrongState.selector, terms.session, SessionState.Active, SessionState.Settled
            )
        );
    }

    function test_revert_TermsMismatch_otherTermsOrBill(uint128 change) public {
        change = uint128(bound(change, 1, type(uint32).max));
        Bill memory billed = bill;
        bill.amount += change;
        _expectClaimRevert(_moved(), _mismatch());
        bill = billed;
        bill.stopMilliWh += uint64(change);
        _expectClaimRevert(_moved(), _mismatch());
        bill = billed;
        bill.settledAt += uint40(change);
        _expectClaimRevert(_moved(), _mismatch());
        bill = billed;
        terms.rewardCap += uint64(change);
        _expectClaimRevert(_moved(), _mismatch());
    }

    // A bill that was wrong

    function _dispute(uint64 stopWh) private {
        SignedReading[] memory readings = _pair(_startReading(), _end(stopWh, 2));
        vm.recordLogs();
        settlement.dispute(terms, bill, _flatTariff(), readings);
        bill = _lastBill();
    }

    /// @dev Flexibility by readings that were contradicted is void, and may be claimed anew by the right ones.
    function test_claimFlexibility_voidAfterACorrectedBill(uint32 stopWh) public {
        stopWh = uint32(bound(stopWh, 0, ENERGY_WH - 1));
        Bill memory before;
        _claim(_moved());
        before = bill;
        _dispute(stopWh);
        assertEq(bill.reward, 0, "reward");
        _expectClaimRevert(Flexibility(stopWh + 1, 0, 0), _tooMuch(stopWh + 1, stopWh));
        vm.warp(WINDOW_END + 1);
        _expectMintRevert(_wrongReward(0));
        bill = before;
        _expectMintRevert(_mismatch());
        assertEq(_tokens(), 0, "tokens");
    }

    function test_claimFlexibility_anewAfterACorrectedBill() public {
        _claim(_moved());
        _dispute(ENERGY_WH / 2);
        _claim(_moved());
        vm.warp(WINDOW_END + 1);
        settlement.mintReward(terms, bill);
        assertEq(_tokens(), 1e6, "tokens");
    }
}

contract SettlementMintRewardTest is FlexibilityTest {
    function _claimReward(uint64 reward) private {
        _claim(Flexibility(ENERGY_WH, 0, int64(2 * reward)));
        vm.warp(WINDOW_END + 1);
    }

    function test_mintReward(address who, uint64 reward, uint256 time) public {
        reward = uint64(bound(reward, 1, 5e6));
        _claimReward(reward);
        vm.warp(bound(time, WINDOW_END + 1, type(uint40).max));
        vm.expectEmit(address(flexibility));
        emit IFlexibilityToken.Rewarded(operator, driver.addr, reward);
        vm.expectEmit(address(settlement));
        emit ISettlement.FlexibilityRewarded(terms.session, driver.addr, reward, reward);
        vm.prank(who);
        settlement.mintReward(terms, bill);

        assertEq(_tokens(), reward, "tokens");
        assertEq(flexibility.claimOf(operator, driver.addr), reward, "claim");
        (,, uint256 outstanding) = flexibility.poolOf(operator);
        assertEq(outstanding, reward, "outstanding");
        bill.reward = 0;
        _assertReceipt();
        vm.prank(driver.addr);
        assertEq(flexibility.redeem(operator, reward), reward, "redeemed");
    }

    function test_revert_WrongReward_twice() public {
        _claimReward(1e6);
        settlement.mintReward(terms, bill);
        _expectMintRevert(_mismatch());
        bill.reward = 0;
        _expectMintRevert(_wrongReward(0));
        assertEq(_tokens(), 1e6, "once");
    }

    function test_revert_WrongReward_notClaimed() public {
        vm.warp(WINDOW_END + 1);
        _expectMintRevert(_wrongReward(0));
    }

    function test_revert_TermsMismatch_moreThanClaimed(uint128 reward) public {
        _claimReward(1e6);
        vm.assume(reward != bill.reward);
        bill.reward = reward;
        _expectMintRevert(_mismatch());
    }

    function test_revert_DisputeWindowOpen(uint256 time) public {
        _claimReward(1e6);
        time = bound(time, bill.settledAt, WINDOW_END);
        vm.warp(time);
        _expectMintRevert(
            abi.encodeWithSelector(ISettlement.DisputeWindowOpen.selector, terms.session, time, WINDOW_END)
        );
    }

    /// @dev The two windows share no second, and miss none.
    function test_boundary_disputedOrMinted() public {
        _claimReward(1e6);
        vm.warp(WINDOW_END);
        _expectMintRevert(
            abi.encodeWithSelector(ISettlement.DisputeWindowOpen.selector, terms.session, WINDOW_END, WINDOW_END)
        );
        vm.warp(WINDOW_END + 1);
        SignedReading[] memory readings = _pair(_startReading(), _end(0, 2));
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.DisputeWindowOver.selector, terms.session, WINDOW_END + 1, WINDOW_END)
        );
        settlement.dispute(terms, bill, _flatTariff(), readings);
        settlement.mintReward(terms, bill);
        assertEq(_tokens(), 1e6, "tokens");
    }

    /// @dev What the pool cannot redeem is not minted, now or later.
    function test_mintReward_clippedToThePool(uint256 pool, uint256 rate) public {
        pool = bound(pool, 0, 10e6);
        rate = bound(rate, 1e6, 10e6);
        vm.startPrank(operator);
        if (POOL > pool) flexibility.takeSurplus(operator, POOL - pool);
        flexibility.setRate(rate);
        vm.stopPrank();
        _claimReward(5e6);
        uint256 redeemable = pool * 1e6 / rate;
        uint256 minted = redeemable < 5e6 ? redeemable : 5e6;
        vm.expectEmit(address(settlement));
        emit ISettlement.FlexibilityRewarded(terms.session, driver.addr, 5e6, minted);
        settlement.mintReward(terms, bill);
        assertEq(_tokens(), minted, "tokens");
        bill.reward = 0;
        _expectMintRevert(_wrongReward(0));
    }

    /// @dev A plan may be refuted between claim and minting: its prices are nobody's any more.
    function test_mintReward_nothingOnceAPlanWasRefuted(uint64 reward) public {
        reward = uint64(bound(reward, 1, 5e6));
        _claimReward(reward);
        certificates.set(SITE, FIRST, LAST, false);
        vm.expectEmit(address(settlement));
        emit ISettlement.FlexibilityRewarded(terms.session, driver.addr, reward, 0);
        settlement.mintReward(terms, bill);

        assertEq(_tokens(), 0, "tokens");
        assertEq(flexibility.claimOf(operator, driver.addr), 0, "claim");
        bill.reward = 0;
        _assertReceipt();
        _expectMintRevert(_wrongReward(0));
    }

    /// @dev Who runs the site when tokens are minted gives them; without an operator its owner does.
    function test_mintReward_fromTheOwnersPoolWithoutOperator(bool agreed) public {
        _fundPool(owner, POOL);
        vm.startPrank(owner);
        registry.setOperator(SITE, address(0), 0, 0, 0);
        flexibility.setServed(SITE, agreed);
        vm.stopPrank();
        _claimReward(1e6);
        settlement.mintReward(terms, bill);
        assertEq(_tokens(), agreed ? 1e6 : 0, "tokens");
        assertEq(flexibility.claimOf(owner, driver.addr), _tokens(), "on the owner's pool");
        (,, uint256 outstanding) = flexibility.poolOf(operator);
        assertEq(outstanding, 0, "the operator's pool is not touched");
    }

    /// @dev A site's owner names whom it likes: without that one's consent nothing comes out of its pool, and the act is done.
    function test_attack_ownerNamesAFundedOperator(uint64 reward) public {
        reward = uint64(bound(reward, 1, 5e6));
        address victim = makeAddr("victim");
        _fundPool(victim, POOL);
        vm.prank(owner);
        registry.setOperator(SITE, victim, 0, 0, 0);
        _claimReward(reward);
        vm.expectEmit(address(settlement));
        emit ISettlement.FlexibilityRewarded(terms.session, driver.addr, reward, 0);
        settlement.mintReward(terms, bill);
        assertEq(_tokens(), 0, "tokens");
        (uint256 pool,, uint256 outstanding) = flexibility.poolOf(victim);
        assertEq(pool, POOL, "the victim's pool");
        assertEq(outstanding, 0, "owes nothing");
        bill.reward = 0;
        _assertReceipt();
    }

    function test_mintReward_fromTheNewOperatorsPoolOnceItAgreed() public {
        address next = makeAddr("next operator");
        _fundPool(next, POOL);
        vm.prank(owner);
        registry.setOperator(SITE, next, 0, 0, 0);
        vm.prank(next);
        flexibility.setServed(SITE, true);
        _claimReward(1e6);
        settlement.mintReward(terms, bill);
        assertEq(_tokens(), 1e6, "tokens");
        assertEq(flexibility.claimOf(next, driver.addr), 1e6, "claim");
        assertEq(flexibility.claimOf(operator, driver.addr), 0, "none on the old one's");
    }

    function test_mintReward_whilePausedAndRemoved() public {
        _claimReward(1e6);
        vm.prank(guardian);
        registry.setPaused(true);
        vm.prank(owner);
        registry.removeAsset(EVSE);
        settlement.mintReward(terms, bill);
        assertEq(_tokens(), 1e6, "tokens");
    }

    // The place of a session with a reward

    function _next(uint64 nonce) private returns (Terms memory) {
        Request memory request = _request();
        (request.nonce, request.totalCeiling) = (nonce, 0);
        return _open(request);
    }

    /// @dev Or whoever opens the next session, in the first second after the window, would take the reward away.
    function test_boundary_placeIsKeptUntilTheRewardCanHaveBeenMinted(uint256 time) public {
        _claimReward(1e6);
        uint256 end = WINDOW_END + 1 days;
        vm.warp(bound(time, WINDOW_END + 1, end));
        Terms memory next = _next(2);
        assertEq(next.place, terms.place + 1, "another place");
        settlement.mintReward(terms, bill);
        assertEq(_tokens(), 1e6, "tokens");
    }

    function test_boundary_placeIsUsedAgainAfterMintGrace() public {
        _claimReward(1e6);
        vm.warp(WINDOW_END + 1 days + 1);
        Terms memory next = _next(2);
        assertEq(next.place, terms.place, "place");
        _expectMintRevert(
            abi.encodeWithSelector(
                ISettlement.WrongState.selector, terms.session, SessionState.Active, SessionState.Settled
            )
        );
    }

    /// @dev Where nothing was claimed nothing waits.
    function test_boundary_placeWithoutRewardIsUsedAgainAtOnce() public {
        _claim(Flexibility(0, 0, -1));
        vm.warp(WINDOW_END + 1);
        Terms memory next = _next(2);
        assertEq(next.place, terms.place, "place");
    }
}
