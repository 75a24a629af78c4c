// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {CreditToken} from "../src/tokens/CreditToken.sol";
import {FlexibilityToken} from "../src/tokens/FlexibilityToken.sol";
import {Test} from "./SiteTest.sol";

/// @notice Does at random what operators, holders and Settlement do with two pools. Each action knows what must come of it.
contract FlexibilityHandler is Test {
    uint256 private constant MAX = 1e15;
    bytes32 private constant SITE = keccak256("site");

    CreditToken private immutable credit;
    FlexibilityToken private immutable token;
    address private immutable minter;

    address[2] public operators = [makeAddr("operator"), makeAddr("second operator")];
    address[3] public holders = [makeAddr("a"), makeAddr("b"), makeAddr("c")];
    mapping(address operator => bool) public served;
    /// @dev Kept apart from the contract's own.
    mapping(address operator => mapping(address holder => uint256)) public claims;
    uint256 public minted;
    uint256 public redeemed;
    uint256 public funded;
    uint256 public paid;
    uint256 public donated;

    /// @dev Both serve the site at first.
    constructor(CreditToken credit_, FlexibilityToken token_, address minter_) {
        (credit, token, minter) = (credit_, token_, minter_);
        for (uint256 i; i < 2; ++i) {
            vm.prank(operators[i]);
            token_.setServed(SITE, true);
            served[operators[i]] = true;
        }
    }

    function fund(uint256 which, uint256 amount) external {
        amount = bound(amount, 1, MAX);
        vm.prank(minter);
        credit.mint(address(this), amount);
        credit.approve(address(token), amount);
        token.fund(operators[which % 2], amount);
        funded += amount;
    }

    function donate(uint256 amount) external {
        amount = bound(amount, 1, MAX);
        vm.prank(minter);
        credit.mint(address(token), amount);
        donated += amount;
    }

    /// @dev Any rate that the contract must take, and one that it must refuse.
    function setRate(uint256 which, uint256 rate) external {
        address operator = operators[which % 2];
        (uint256 balance, uint256 current, uint256 out) = token.poolOf(operator);
        rate = bound(rate, 0, 1e9);
        bool sound = out == 0 || (rate >= current && out * rate <= balance * 1e6);
        if (!sound) vm.expectRevert();
        vm.prank(operator);
        token.setRate(rate);
    }

    function mint(uint256 which, uint256 who, uint256 amount) external {
        address operator = operators[which % 2];
        (uint256 balance, uint256 rate, uint256 out) = token.poolOf(operator);
        amount = bound(amount, 0, MAX);
        uint256 room = rate == 0 || !served[operator] ? 0 : balance * 1e6 / rate - out;
        vm.prank(minter);
        uint256 made = token.mint(holders[who % 3], operator, SITE, amount);
        assertEq(made, amount < room ? amount : room, "clipped to the pool");
        minted += made;
        claims[operator][holders[who % 3]] += made;
    }

    /// @dev Three times of four with consent, or little would ever be minted.
    function setServed(uint256 which, uint256 choice) external {
        address operator = operators[which % 2];
        served[operator] = choice % 4 > 0;
        vm.prank(operator);
        token.setServed(SITE, served[operator]);
    }

    /// @dev Any amount up to what the holder has, or is owed: the smaller of the two must be taken, anything more refused.
    function redeem(uint256 which, uint256 who, uint256 amount) external {
        address operator = operators[which % 2];
        address holder = holders[who % 3];
        (, uint256 rate,) = token.poolOf(operator);
        amount = bound(amount, 0, _more(operator, holder));
        bool sound = amount <= _most(operator, holder) && amount * rate >= 1e6;
        uint256 before = credit.balanceOf(holder);
        if (!sound) vm.expectRevert();
        vm.prank(holder);
        uint256 got = token.redeem(operator, amount);
        if (!sound) return;
        claims[operator][holder] -= amount;
        assertEq(got, amount * rate / 1e6, "at the rate");
        assertEq(credit.balanceOf(holder), before + got, "credit");
        redeemed += amount;
        paid += got;
    }

    function passOn(uint256 which, uint256 from, uint256 to, uint256 amount) external {
        address operator = operators[which % 2];
        (address holder, address next) = (holders[from % 3], holders[to % 3]);
        amount = bound(amount, 0, _more(operator, holder));
        bool sound = amount > 0 && amount <= _most(operator, holder);
        if (!sound) vm.expectRevert();
        vm.prank(holder);
        token.passOn(operator, next, amount);
        if (!sound) return;
        claims[operator][holder] -= amount;
        claims[operator][next] += amount;
    }

    /// @dev Tokens only.
    function transfer(uint256 from, uint256 to, uint256 amount) external {
        address holder = holders[from % 3];
        amount = bound(amount, 0, token.balanceOf(holder));
        vm.prank(holder);
        token.transfer(holders[to % 3], amount);
    }

    function takeSurplus(uint256 which, uint256 amount) external {
        address operator = operators[which % 2];
        (uint256 balance, uint256 rate, uint256 out) = token.poolOf(operator);
        uint256 surplus = balance - (out * rate + 1e6 - 1) / 1e6;
        if (surplus == 0) return;
        amount = bound(amount, 1, surplus);
        vm.prank(operator);
        token.takeSurplus(operator, amount);
        paid += amount;
    }

    function _most(address operator, address holder) private view returns (uint256) {
        return Math.min(token.balanceOf(holder), claims[operator][holder]);
    }

    function _more(address operator, address holder) private view returns (uint256) {
        return Math.max(token.balanceOf(holder), claims[operator][holder]) + 1;
    }
}

/// @notice The laws of pools and tokens, after any sequence of actions.
contract FlexibilityInvariantTest is Test {
    address private minter = makeAddr("minter");
    CreditToken private credit;
    FlexibilityToken private token;
    FlexibilityHandler private handler;

    function setUp() public {
        credit = new CreditToken(minter);
        token = new FlexibilityToken(minter, IERC20(address(credit)));
        handler = new FlexibilityHandler(credit, token, minter);
        targetContract(address(handler));
    }

    function invariant_accountedIsTheSumOfPoolsAndCovered() public view {
        (uint256 first,,) = token.poolOf(handler.operators(0));
        (uint256 second,,) = token.poolOf(handler.operators(1));
        assertEq(token.accounted(), first + second, "accounted");
        assertEq(token.accounted(), handler.funded() - handler.paid(), "what came and went");
        assertEq(credit.balanceOf(address(token)), token.accounted() + handler.donated(), "credit");
    }

    function invariant_supplyIsMintedLessRedeemedAndOutstanding() public view {
        (,, uint256 first) = token.poolOf(handler.operators(0));
        (,, uint256 second) = token.poolOf(handler.operators(1));
        assertEq(token.totalSupply(), handler.minted() - handler.redeemed(), "minted less redeemed");
        assertEq(token.totalSupply(), first + second, "outstanding");
    }

    /// @dev What is out of a pool is owed to somebody, who got it by minting or by being passed it on.
    function invariant_outstandingIsTheSumOfClaims() public view {
        for (uint256 i; i < 2; ++i) {
            address operator = handler.operators(i);
            uint256 sum;
            for (uint256 j; j < 3; ++j) {
                address holder = handler.holders(j);
                uint256 claim = token.claimOf(operator, holder);
                assertEq(claim, handler.claims(operator, holder), "earned or passed on");
                sum += claim;
            }
            (,, uint256 out) = token.poolOf(operator);
            assertEq(sum, out, "outstanding");
        }
    }

    function invariant_everyPoolCanRedeemAllThatIsOut() public view {
        for (uint256 i; i < 2; ++i) {
            (uint256 balance, uint256 rate, uint256 out) = token.poolOf(handler.operators(i));
            assertLe(out * rate, balance * 1e6, "covered");
        }
    }
}
