// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import "../../src/IProtocol.sol";
import {SessionActions} from "./SessionActions.sol";

/// @notice Flexibility: claimed, minted, and redeemed from the pools of who runs the site.
abstract contract RewardActions is SessionActions {
    struct Pool {
        uint256 balance;
        uint256 rate;
        uint256 outstanding;
    }

    uint256 internal _minted;
    uint256 internal _redeemed;
    uint256 internal _poolDonations;
    mapping(address holder => uint256) internal _tokens;
    mapping(address operator => Pool) internal _pools;
    mapping(address operator => mapping(address holder => uint256)) internal _claims;
    mapping(address operator => bool) internal _serves;

    function setUp() public virtual override {
        super.setUp();
        for (uint256 i; i < 3; ++i) {
            address account = _poolAccount(i);
            _fill(account, FUNDS, address(flexibility));
            vm.startPrank(account);
            flexibility.fund(account, FUNDS);
            flexibility.setRate(1e6);
            flexibility.setServed(SITE, true);
            vm.stopPrank();
            _pools[account] = Pool(FUNDS, 1e6, 0);
            _serves[account] = true;
        }
    }

    function claimFlexibility(uint256 which, uint256 moved, uint256 seed) external {
        if (_sessions.length == 0) return;
        Session storage session = _sessions[_recent(which, _sessions.length)];
        Bill memory bill = session.bill;
        Flexibility memory flexibility_ = _flexibilityOf(session, moved, seed);
        address sender = seed % 16 == 1 ? stranger : oracle;
        bytes4 refusal = _stateRefusal(session, SessionState.Settled);
        if (!_mayUse(sender, RIGHT_SETTLE)) refusal = _either(refusal, ISettlement.NotAuthorised.selector);
        if (block.timestamp > bill.settledAt + CLAIM_WINDOW) {
            refusal = _either(refusal, ISettlement.DisputeWindowOver.selector);
        }
        if (bill.reward != 0) refusal = _either(refusal, ISettlement.WrongReward.selector);
        if (!certificates.isOn()) refusal = _either(refusal, ISettlement.NotCertified.selector);
        if (_isTooMuch(session, flexibility_)) refusal = _either(refusal, ISettlement.TooMuchFlexibility.selector);
        bytes memory call = abi.encodeCall(ISettlement.claimFlexibility, (session.terms, bill, flexibility_));
        _attempt(sender, address(settlement), call, refusal);
        if (refusal != 0) return;
        uint256 worth = flexibility_.worth < 0 ? 0 : uint64(flexibility_.worth);
        session.bill.reward = uint128(worth * session.terms.rewardBps / BPS);
        if (session.bill.reward > 0) session.rewarded = true;
        assertLe(session.bill.reward * 1000, bill.stopMilliWh * session.terms.rewardCap / 1000, "at most the cap");
        _requireKept(session);
    }

    /// @dev Without readings: a stay within one interval is worth nothing, any other is not disputed.
    function disputeReward(uint256 which) external {
        if (_sessions.length == 0) return;
        Session storage session = _rewarded(which);
        Bill memory bill = session.bill;
        bytes4 refusal = _stateRefusal(session, SessionState.Settled);
        if (block.timestamp > bill.settledAt + DISPUTE_WINDOW) {
            refusal = _either(refusal, ISettlement.DisputeWindowOver.selector);
        }
        bool isWithin = bill.stopTime == 0 || (bill.stopTime - 1) / INTERVAL_S <= bill.startTime / INTERVAL_S;
        if (bill.reward == 0) refusal = _either(refusal, ISettlement.WrongReward.selector);
        else if (!isWithin) refusal = _either(refusal, ISettlement.WrongReadingCount.selector);
        RewardEvidence memory evidence;
        evidence.previous = dispatch.history(SITE);
        bytes memory call = abi.encodeCall(ISettlement.disputeReward, (session.terms, bill, evidence));
        _attempt(stranger, address(settlement), call, refusal);
        if (refusal != 0) return;
        session.bill.reward = 0;
        _requireKept(session);
    }

    function mintReward(uint256 which) external {
        if (_sessions.length == 0) return;
        Session storage session = _rewarded(which);
        Bill memory bill = session.bill;
        bytes4 refusal = _stateRefusal(session, SessionState.Settled);
        if (block.timestamp <= bill.settledAt + DISPUTE_WINDOW) {
            refusal = _either(refusal, ISettlement.DisputeWindowOpen.selector);
        }
        if (bill.reward == 0) refusal = _either(refusal, ISettlement.WrongReward.selector);
        bytes memory call = abi.encodeCall(ISettlement.mintReward, (session.terms, bill));
        _attempt(stranger, address(settlement), call, refusal);
        if (refusal != 0) return;
        Pool storage pool = _pools[_payee()];
        uint256 room = pool.rate == 0 ? 0 : pool.balance * 1e6 / pool.rate - pool.outstanding;
        uint256 minted = _serves[_payee()] && certificates.isOn() ? _min(bill.reward, room) : 0;
        pool.outstanding += minted;
        _claims[_payee()][session.terms.driver] += minted;
        _tokens[session.terms.driver] += minted;
        _minted += minted;
        session.bill.reward = 0;
        _requireKept(session);
    }

    function fund(uint256 who, uint256 amount) external {
        amount = _bound(amount, 0, MAX_AMOUNT);
        address pool = _poolAccount(who);
        _fill(stranger, amount, address(flexibility));
        bytes4 refusal = amount == 0 ? IFlexibilityToken.ZeroAmount.selector : bytes4(0);
        _attempt(stranger, address(flexibility), abi.encodeCall(IFlexibilityToken.fund, (pool, amount)), refusal);
        _pools[pool].balance += amount;
    }

    function setRate(uint256 who, uint256 rate) external {
        address account = _poolAccount(who);
        Pool storage pool = _pools[account];
        rate = _bound(rate, rate % 4 == 0 ? 0 : 5e5, 2e6);
        bytes4 refusal;
        if (pool.outstanding > 0 && rate < pool.rate) refusal = IFlexibilityToken.RateLowered.selector;
        else if (pool.outstanding * rate > pool.balance * 1e6) refusal = IFlexibilityToken.PoolTooSmall.selector;
        _attempt(account, address(flexibility), abi.encodeCall(IFlexibilityToken.setRate, (rate)), refusal);
        if (refusal == 0) pool.rate = rate;
    }

    function takeSurplus(uint256 who, uint256 amount) external {
        address account = _poolAccount(who);
        Pool storage pool = _pools[account];
        uint256 surplus = pool.balance - (pool.outstanding * pool.rate + 1e6 - 1) / 1e6;
        amount = _bound(amount, 0, surplus + 1);
        bytes4 refusal;
        if (amount == 0) refusal = IFlexibilityToken.ZeroAmount.selector;
        else if (amount > surplus) refusal = IFlexibilityToken.PoolTooSmall.selector;
        bytes memory call = abi.encodeCall(IFlexibilityToken.takeSurplus, (account, amount));
        _attempt(account, address(flexibility), call, refusal);
        if (refusal == 0) pool.balance -= amount;
    }

    /// @dev Three of four times the site is served.
    function setServed(uint256 who, uint256 seed) external {
        address account = _poolAccount(who);
        bool served = seed % 4 != 0;
        _attempt(account, address(flexibility), abi.encodeCall(IFlexibilityToken.setServed, (SITE, served)), 0);
        _serves[account] = served;
    }

    /// @dev From a pool on which the holder has a claim, or has not.
    function redeem(uint256 who, uint256 which, uint256 amount) external {
        address account = _poolAccount(which);
        address holder = _claimantOf(account, who);
        Pool storage pool = _pools[account];
        uint256 claim = _claims[account][holder];
        amount = _bound(amount, 0, claim + (amount % 8 == 0 ? 1 : 0));
        uint256 paid = amount * pool.rate / 1e6;
        bytes4 refusal;
        if (amount > claim) refusal = IFlexibilityToken.NotOwed.selector;
        else if (paid == 0) refusal = IFlexibilityToken.ZeroAmount.selector;
        else if (amount > _tokens[holder]) refusal = IERC20Errors.ERC20InsufficientBalance.selector;
        bytes memory call = abi.encodeCall(IFlexibilityToken.redeem, (account, amount));
        uint256 before = credit.balanceOf(holder);
        _attempt(holder, address(flexibility), call, refusal);
        if (refusal != 0) return;
        assertEq(credit.balanceOf(holder), before + paid, "redeemed at the rate");
        (pool.balance, pool.outstanding) = (pool.balance - paid, pool.outstanding - amount);
        _claims[account][holder] -= amount;
        _tokens[holder] -= amount;
        _redeemed += amount;
    }

    /// @dev Tokens with a claim, or without.
    function passOn(uint256 who, uint256 to, uint256 which, uint256 amount) external {
        (address holder, address receiver) = (_user(who).addr, _user(to).addr);
        address account = _poolAccount(which);
        uint256 claim = _claims[account][holder];
        bool plain = amount % 4 == 0;
        amount = _bound(amount, 0, plain ? _tokens[holder] : claim + 1);
        bytes4 refusal;
        if (!plain && amount == 0) refusal = IFlexibilityToken.ZeroAmount.selector;
        else if (!plain && amount > claim) refusal = IFlexibilityToken.NotOwed.selector;
        else if (amount > _tokens[holder]) refusal = IERC20Errors.ERC20InsufficientBalance.selector;
        bytes memory call = plain
            ? abi.encodeCall(IERC20.transfer, (receiver, amount))
            : abi.encodeCall(IFlexibilityToken.passOn, (account, receiver, amount));
        _attempt(holder, address(flexibility), call, refusal);
        if (refusal != 0) return;
        _tokens[holder] -= amount;
        _tokens[receiver] += amount;
        if (plain) return;
        _claims[account][holder] -= amount;
        _claims[account][receiver] += amount;
    }

    function donateToPools(uint256 amount) external {
        amount = _bound(amount, 1, MAX_AMOUNT);
        vm.prank(minter);
        credit.mint(address(flexibility), amount);
        _poolDonations += amount;
        changed = true;
    }

    /// @dev Mostly the first session that still waits for its reward, if any.
    function _rewarded(uint256 which) private view returns (Session storage) {
        for (uint256 i; i < _sessions.length && which % 4 != 0; ++i) {
            if (_sessions[i].bill.reward > 0) return _sessions[i];
        }
        return _sessions[_recent(which, _sessions.length)];
    }

    /// @dev Who has a claim on the pool, if anybody.
    function _claimantOf(address account, uint256 who) private view returns (address) {
        for (uint256 i; i < USERS; ++i) {
            address holder = _users[(who % USERS + i) % USERS].addr;
            if (_claims[account][holder] > 0) return holder;
        }
        return _user(who).addr;
    }

    /// @dev Who can be the site's operator, or its owner in the operator's place.
    function _poolAccount(uint256 seed) internal view returns (address) {
        return seed % 4 == 1 ? _users[3].addr : seed % 4 == 2 ? _users[4].addr : operator;
    }

    function _flexibilityOf(Session storage session, uint256 moved, uint256 seed)
        private
        view
        returns (Flexibility memory flexibility_)
    {
        Bill storage bill = session.bill;
        uint256 energyWh = (bill.stopMilliWh - bill.startMilliWh) / 1000;
        uint256 activatedWh = _bound(moved, 0, energyWh) + (seed % 16 == 3 ? energyWh + 1 : 0);
        uint256 most = activatedWh * session.terms.rewardCap / 1000;
        flexibility_.activatedWh = uint32(activatedWh);
        flexibility_.displacedWhIntervals = uint64(_bound(_dice(moved, 1), 0, energyWh));
        if (seed % 16 == 5) flexibility_.displacedWhIntervals += uint64(energyWh * 1e6);
        flexibility_.worth = int64(uint64(_bound(_dice(moved, 2), 0, most) + (seed % 16 == 7 ? most + 1 : 0)));
        if (seed % 16 == 9) flexibility_.worth = -flexibility_.worth;
    }

    function _isTooMuch(Session storage session, Flexibility memory moved) private view returns (bool) {
        Bill storage bill = session.bill;
        uint256 energyWh = (bill.stopMilliWh - bill.startMilliWh) / 1000;
        uint256 intervals = bill.stopTime / INTERVAL_S - bill.startTime / INTERVAL_S + 1;
        if (moved.activatedWh > energyWh || moved.displacedWhIntervals > energyWh * intervals) return true;
        return moved.worth > 0 && uint64(moved.worth) > uint256(moved.activatedWh) * session.terms.rewardCap / 1000;
    }
}
