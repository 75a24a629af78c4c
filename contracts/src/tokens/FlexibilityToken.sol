// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IFlexibilityToken} from "../IProtocol.sol";

/// @title Reward for flexibility that a certificate proves, and the credit it can be turned into
/// @notice Of every pool: what is out, at the pool's rate, is never more than what is in it. Tokens are all alike, but pools
/// and rates are not: who may redeem where is a claim, which comes with minting and moves with `passOn` only.
contract FlexibilityToken is ERC20Permit, ReentrancyGuardTransient, IFlexibilityToken {
    using SafeERC20 for IERC20;
    using SafeCast for uint256;

    /// @notice Rates are per this many base units of the token.
    uint256 public constant RATE_UNIT = 1e6;
    /// @notice Highest rate: times all tokens of a pool it still fits a word.
    uint256 public constant MAX_RATE = type(uint128).max;

    struct Pool {
        uint128 balance;
        uint128 outstanding;
        uint256 rate;
    }

    /// @notice Who may mint: Settlement.
    address public immutable minter;
    IERC20 public immutable credit;

    /// @inheritdoc IFlexibilityToken
    uint256 public accounted;

    /// @inheritdoc IFlexibilityToken
    mapping(address operator => mapping(bytes32 site => bool)) public serves;
    /// @inheritdoc IFlexibilityToken
    mapping(address operator => mapping(address holder => uint256)) public claimOf;

    mapping(address operator => Pool) private _pools;

    constructor(address minter_, IERC20 credit_)
        ERC20("Provolt Flexibility", "PVF")
        ERC20Permit("Provolt Flexibility")
    {
        minter = minter_;
        credit = credit_;
    }

    /// @inheritdoc IFlexibilityToken
    /// @dev A site's owner names the operator without asking it: that alone must not reach into its pool. Nothing is minted
    /// then, without an error, because the act that mints must not fail.
    function mint(address to, address operator, bytes32 site, uint256 amount) external returns (uint256 minted) {
        Pool storage pool = _pools[operator];
        uint256 outstanding = pool.outstanding;
        require(msg.sender == minter, NotMinter(msg.sender, minter));

        if (serves[operator][site]) minted = Math.min(amount, _redeemable(pool) - outstanding);
        if (minted == 0) return 0;
        pool.outstanding = uint128(outstanding + minted);
        claimOf[operator][to] += minted;

        emit Rewarded(operator, to, minted);

        _mint(to, minted);
    }

    /// @inheritdoc IFlexibilityToken
    function setServed(bytes32 site, bool served) external {
        serves[msg.sender][site] = served;

        emit ServedSet(msg.sender, site, served);
    }

    /// @inheritdoc IFlexibilityToken
    /// @dev The one function that calls out before it writes: what arrived is what counts. The guard keeps the credit token
    /// from re-entering meanwhile, and views never show money that has not come.
    function fund(address operator, uint256 amount) external nonReentrant {
        Pool storage pool = _pools[operator];
        require(amount > 0, ZeroAmount());

        uint256 before = credit.balanceOf(address(this));
        credit.safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = credit.balanceOf(address(this)) - before;
        require(received == amount, TransferMismatch(received, amount));

        pool.balance += amount.toUint128();
        accounted += amount;

        emit PoolFunded(operator, msg.sender, amount);
    }

    /// @inheritdoc IFlexibilityToken
    function setRate(uint256 rate) external {
        Pool storage pool = _pools[msg.sender];
        uint256 outstanding = pool.outstanding;
        require(rate <= MAX_RATE, RateTooHigh(rate, MAX_RATE));
        require(outstanding == 0 || rate >= pool.rate, RateLowered(rate, pool.rate));
        uint256 needed = _worth(outstanding, rate);
        require(needed <= pool.balance, PoolTooSmall(msg.sender, pool.balance, needed));

        pool.rate = rate;

        emit RateSet(msg.sender, rate);
    }

    /// @inheritdoc IFlexibilityToken
    function takeSurplus(address to, uint256 amount) external nonReentrant {
        Pool storage pool = _pools[msg.sender];
        uint256 owed = _worth(pool.outstanding, pool.rate);
        require(amount > 0, ZeroAmount());
        require(amount <= pool.balance - owed, PoolTooSmall(msg.sender, pool.balance, Math.saturatingAdd(owed, amount)));

        pool.balance -= uint128(amount);
        accounted -= amount;

        emit SurplusTaken(msg.sender, to, amount);

        credit.safeTransfer(to, amount);
    }

    /// @inheritdoc IFlexibilityToken
    /// @dev Rates differ: without claims, tokens of a cheap pool would be redeemed at a dear one, and its own holders find
    /// nothing. Rounds down, so that a pool that can redeem all that is out still can after it. Tokens that come to nothing
    /// are not taken.
    function redeem(address operator, uint256 amount) external nonReentrant returns (uint256 paid) {
        Pool storage pool = _pools[operator];
        uint256 claim = claimOf[operator][msg.sender];
        require(amount <= claim, NotOwed(operator, amount, claim));
        paid = amount * pool.rate / RATE_UNIT;
        require(paid > 0, ZeroAmount());

        claimOf[operator][msg.sender] = claim - amount;
        pool.outstanding -= uint128(amount);
        pool.balance -= uint128(paid);
        accounted -= paid;
        _burn(msg.sender, amount);

        emit Redeemed(operator, msg.sender, amount, paid);

        credit.safeTransfer(msg.sender, paid);
    }

    /// @inheritdoc IFlexibilityToken
    function passOn(address operator, address to, uint256 amount) external {
        uint256 claim = claimOf[operator][msg.sender];
        require(amount > 0, ZeroAmount());
        require(amount <= claim, NotOwed(operator, amount, claim));

        claimOf[operator][msg.sender] = claim - amount;
        claimOf[operator][to] += amount;

        emit PassedOn(operator, msg.sender, to, amount);

        _transfer(msg.sender, to, amount);
    }

    /// @inheritdoc IFlexibilityToken
    function poolOf(address operator) external view returns (uint256 balance, uint256 rate, uint256 outstanding) {
        Pool storage pool = _pools[operator];
        return (pool.balance, pool.rate, pool.outstanding);
    }

    /// @inheritdoc ERC20
    /// @dev The credit token's decimals, so that one token stands for one unit of money of worth.
    function decimals() public pure override returns (uint8) {
        return 6;
    }

    /// @inheritdoc ERC20
    function balanceOf(address account) public view override(ERC20, IFlexibilityToken) returns (uint256) {
        return super.balanceOf(account);
    }

    /// @inheritdoc ERC20
    function totalSupply() public view override(ERC20, IFlexibilityToken) returns (uint256) {
        return super.totalSupply();
    }

    /// @dev Most tokens that the pool can redeem, and at most what fits its slot; none without a rate.
    function _redeemable(Pool storage pool) private view returns (uint256) {
        uint256 rate = pool.rate;
        return rate == 0 ? pool.outstanding : Math.min(pool.balance * RATE_UNIT / rate, type(uint128).max);
    }

    /// @dev Rounded up: what a pool must keep for tokens.
    function _worth(uint256 tokens, uint256 rate) private pure returns (uint256) {
        return Math.ceilDiv(tokens * rate, RATE_UNIT);
    }
}
