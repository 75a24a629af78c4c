// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Vm} from "forge-std/Vm.sol";
import {IFlexibilityToken} from "../src/IProtocol.sol";
import {CreditToken} from "../src/tokens/CreditToken.sol";
import {FlexibilityToken} from "../src/tokens/FlexibilityToken.sol";
import {HostileToken} from "./HostileToken.sol";
import {Test} from "./SiteTest.sol";

contract FlexibilityTokenTest is Test {
    uint256 private constant MAX = 1e18;
    bytes32 private constant SITE = keccak256("site");

    address private minter = makeAddr("minter");
    address private operator = makeAddr("operator");
    address private payer = makeAddr("payer");
    Vm.Wallet private driver = vm.createWallet("driver");
    CreditToken private credit;
    FlexibilityToken private token;

    function setUp() public {
        credit = new CreditToken(minter);
        token = new FlexibilityToken(minter, IERC20(address(credit)));
        _setServed(operator, true);
    }

    function _setServed(address who, bool served) private {
        vm.prank(who);
        token.setServed(SITE, served);
    }

    function _allow(uint256 amount) private {
        vm.prank(minter);
        credit.mint(payer, amount);
        vm.prank(payer);
        credit.approve(address(token), amount);
    }

    function _fund(address who, uint256 amount) private {
        _allow(amount);
        vm.prank(payer);
        token.fund(who, amount);
    }

    function _fund(uint256 amount) private {
        _fund(operator, amount);
    }

    function _setRate(uint256 rate) private {
        vm.prank(operator);
        token.setRate(rate);
    }

    function _mint(address to, address who, uint256 amount) private returns (uint256) {
        vm.prank(minter);
        return token.mint(to, who, SITE, amount);
    }

    function _mint(uint256 amount) private returns (uint256) {
        return _mint(driver.addr, operator, amount);
    }

    /// @dev A second pool that gives more for a token, with a driver of its own.
    function _dearPool() private returns (address dear, address owed) {
        (dear, owed) = (makeAddr("dear"), makeAddr("owed"));
        _fund(dear, 100e6);
        vm.prank(dear);
        token.setRate(10e6);
        _setServed(dear, true);
        _mint(owed, dear, 4e6);
    }

    function _redeem(address who, address at, uint256 amount) private returns (uint256) {
        vm.prank(who);
        return token.redeem(at, amount);
    }

    function _transfer(address from, address to, uint256 amount) private {
        vm.prank(from);
        token.transfer(to, amount);
    }

    function _passOn(address from, address at, address to, uint256 amount) private {
        vm.prank(from);
        token.passOn(at, to, amount);
    }

    function _expectNotOwed(address at, uint256 amount, uint256 claim) private {
        vm.expectRevert(abi.encodeWithSelector(IFlexibilityToken.NotOwed.selector, at, amount, claim));
    }

    function _assertPool(uint256 balance, uint256 rate, uint256 outstanding) private view {
        (uint256 b, uint256 r, uint256 o) = token.poolOf(operator);
        assertEq(b, balance, "balance");
        assertEq(r, rate, "rate");
        assertEq(o, outstanding, "outstanding");
        assertEq(token.accounted(), balance, "accounted");
    }

    function test_names() public view {
        assertEq(token.name(), "Provolt Flexibility", "name");
        assertEq(token.symbol(), "PVF", "symbol");
        assertEq(token.decimals(), 6, "decimals");
        assertEq(token.minter(), minter, "minter");
        assertEq(address(token.credit()), address(credit), "credit");
    }

    // Funding

    function test_fund(uint256 amount) public {
        amount = bound(amount, 1, type(uint128).max);
        _allow(amount);
        vm.expectEmit(address(token));
        emit IFlexibilityToken.PoolFunded(operator, payer, amount);
        vm.prank(payer);
        token.fund(operator, amount);
        _assertPool(amount, 0, 0);
        assertEq(credit.balanceOf(address(token)), amount, "credit");
    }

    function test_revert_ZeroAmount_fund() public {
        vm.expectRevert(IFlexibilityToken.ZeroAmount.selector);
        token.fund(operator, 0);
    }

    function test_revert_TransferMismatch(uint256 amount, uint256 fee) public {
        amount = bound(amount, 1, MAX);
        fee = bound(fee, 1, amount);
        HostileToken hostile = new HostileToken();
        token = new FlexibilityToken(minter, IERC20(address(hostile)));
        hostile.mint(payer, amount);
        hostile.setFee(fee);
        vm.startPrank(payer);
        hostile.approve(address(token), amount);
        vm.expectRevert(abi.encodeWithSelector(IFlexibilityToken.TransferMismatch.selector, amount - fee, amount));
        token.fund(operator, amount);
        vm.stopPrank();
        _assertPool(0, 0, 0);
    }

    function test_directTransfersDoNotCount(uint256 amount) public {
        amount = bound(amount, 1, MAX);
        vm.prank(minter);
        credit.mint(address(token), amount);
        _setRate(1);
        assertEq(_mint(1), 0, "nothing to redeem from");
        _fund(7);
        _assertPool(7, 1, 0);
        vm.expectRevert(abi.encodeWithSelector(IFlexibilityToken.PoolTooSmall.selector, operator, 7, 8));
        vm.prank(operator);
        token.takeSurplus(operator, 8);
    }

    // Rates

    function test_setRate(uint256 rate) public {
        rate = bound(rate, 0, type(uint128).max);
        vm.expectEmit(address(token));
        emit IFlexibilityToken.RateSet(operator, rate);
        _setRate(rate);
        _assertPool(0, rate, 0);
        _setRate(0);
        _assertPool(0, 0, 0);
    }

    function test_revert_RateTooHigh(uint256 rate) public {
        rate = bound(rate, uint256(type(uint128).max) + 1, type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(IFlexibilityToken.RateTooHigh.selector, rate, type(uint128).max));
        _setRate(rate);
    }

    function test_revert_RateLowered_whileTokensAreOut() public {
        _fund(10e6);
        _setRate(1e6);
        _mint(1);
        vm.expectRevert(abi.encodeWithSelector(IFlexibilityToken.RateLowered.selector, 1e6 - 1, 1e6));
        _setRate(1e6 - 1);
        vm.prank(driver.addr);
        token.redeem(operator, 1);
        _setRate(1e6 - 1);
        _assertPool(10e6 - 1, 1e6 - 1, 0);
    }

    function test_revert_PoolTooSmall_setRate() public {
        _fund(10e6);
        _setRate(1e6);
        _mint(4e6);
        _setRate(2.5e6);
        vm.expectRevert(abi.encodeWithSelector(IFlexibilityToken.PoolTooSmall.selector, operator, 10e6, 10e6 + 4));
        _setRate(2.5e6 + 1);
    }

    // Minting

    function test_mint_clipsToWhatThePoolCanRedeem(uint256 pool, uint256 rate, uint256 amount) public {
        pool = bound(pool, 1, type(uint128).max);
        rate = bound(rate, 1, type(uint128).max);
        amount = bound(amount, 0, type(uint128).max);
        _fund(pool);
        _setRate(rate);
        uint256 minted = _mint(amount);
        assertEq(token.balanceOf(driver.addr), minted, "balance");
        assertEq(token.totalSupply(), minted, "supply");
        assertEq(token.claimOf(operator, driver.addr), minted, "claim");
        _assertPool(pool, rate, minted);
        assertLe(minted, amount, "no more than asked");
        assertLe(minted * rate, pool * 1e6, "can be redeemed");
        if (minted < amount) assertGt((minted + 1) * rate, pool * 1e6, "not one more");
        assertEq(_mint(amount), minted == amount ? token.totalSupply() - minted : 0, "what is left");
    }

    function test_mint_emitsRewarded() public {
        _fund(5e6);
        _setRate(1e6);
        vm.expectEmit(address(token));
        emit IFlexibilityToken.Rewarded(operator, driver.addr, 5e6);
        assertEq(_mint(6e6), 5e6, "clipped");
    }

    function test_mint_nothingWithoutARate(uint256 amount) public {
        _fund(5e6);
        assertEq(_mint(amount), 0, "minted");
        assertEq(token.totalSupply(), 0, "supply");
    }

    /// @dev At the least rate a pool could redeem more tokens than its slot can count.
    function test_boundary_mintStopsAtTheSlotsEnd() public {
        _fund(1e36);
        _setRate(1);
        assertEq(_mint(type(uint256).max), type(uint128).max, "minted");
        assertEq(_mint(1), 0, "full");
    }

    function test_revert_NotMinter(address who) public {
        vm.assume(who != minter);
        vm.expectRevert(abi.encodeWithSelector(IFlexibilityToken.NotMinter.selector, who, minter));
        vm.prank(who);
        token.mint(who, operator, SITE, 1);
    }

    // Whose sessions are rewarded

    function test_setServed(address who, bytes32 site, bool served) public {
        vm.assume(who != operator || site != SITE);
        vm.expectEmit(address(token));
        emit IFlexibilityToken.ServedSet(who, site, served);
        vm.prank(who);
        token.setServed(site, served);
        assertEq(token.serves(who, site), served, "served");
        assertTrue(token.serves(operator, SITE), "others unchanged");
        vm.prank(who);
        token.setServed(site, !served);
        assertEq(token.serves(who, site), !served, "either way");
    }

    /// @dev Whoever names a rich operator has not its consent by that, and another's consent is none either.
    function test_attack_poolOfAnOperatorThatDoesNotServeTheSite(bytes32 site, uint256 amount, address who) public {
        vm.assume(site != SITE && who != operator);
        _fund(10e6);
        _setRate(1e6);
        vm.prank(who);
        token.setServed(site, true);
        vm.prank(minter);
        assertEq(token.mint(driver.addr, operator, site, amount), 0, "minted");
        assertEq(token.totalSupply(), 0, "supply");
        assertEq(token.claimOf(operator, driver.addr), 0, "claim");
        _assertPool(10e6, 1e6, 0);
    }

    function test_setServed_withdrawnTouchesNothingMinted(uint256 amount) public {
        amount = bound(amount, 1, 10e6);
        _fund(10e6);
        _setRate(1e6);
        _mint(amount);
        _setServed(operator, false);
        assertEq(_mint(1), 0, "no more");
        assertEq(token.claimOf(operator, driver.addr), amount, "claim");
        _assertPool(10e6, 1e6, amount);
        vm.expectRevert(abi.encodeWithSelector(IFlexibilityToken.PoolTooSmall.selector, operator, 10e6, 10e6 + 1));
        vm.prank(operator);
        token.takeSurplus(operator, 10e6 - amount + 1);
        assertEq(_redeem(driver.addr, operator, amount), amount, "redeemed");
    }

    // Redeeming

    function test_redeem(uint256 rate, uint256 amount) public {
        rate = bound(rate, 1, 1e12);
        _fund(MAX);
        _setRate(rate);
        uint256 minted = _mint(1e9);
        amount = bound(amount, 1, minted);
        uint256 paid = amount * rate / 1e6;
        if (paid == 0) return;
        vm.expectEmit(address(token));
        emit IFlexibilityToken.Redeemed(operator, driver.addr, amount, paid);
        vm.prank(driver.addr);
        assertEq(token.redeem(operator, amount), paid, "paid");
        assertEq(credit.balanceOf(driver.addr), paid, "credit");
        assertEq(token.totalSupply(), minted - amount, "supply");
        assertEq(token.claimOf(operator, driver.addr), minted - amount, "claim");
        _assertPool(MAX - paid, rate, minted - amount);
    }

    /// @dev In whatever pieces, and at whatever rate: the pool pays for all that is out.
    function test_redeem_everythingInPieces(uint256 rate, uint256 pool, uint256 seed) public {
        rate = bound(rate, 1e6, 1e9);
        _fund(bound(pool, 1e6, 1e12));
        _setRate(rate);
        uint256 left = _mint(type(uint128).max);
        while (left > 0) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 amount = left < 8 ? left : bound(seed, left / 8, left);
            vm.prank(driver.addr);
            token.redeem(operator, amount);
            left -= amount;
        }
        assertEq(token.totalSupply(), 0, "supply");
        assertEq(token.accounted(), credit.balanceOf(address(token)), "what is left");
    }

    /// @dev Too few tokens for one unit of credit are not taken for nothing.
    function test_griefing_dustIsNotBurntForNothing() public {
        _fund(10);
        _setRate(1e6 - 1);
        _mint(2);
        vm.expectRevert(IFlexibilityToken.ZeroAmount.selector);
        vm.prank(driver.addr);
        token.redeem(operator, 1);
        vm.prank(driver.addr);
        assertEq(token.redeem(operator, 2), 1, "two are one");
    }

    function test_revert_ZeroAmount_redeem() public {
        vm.expectRevert(IFlexibilityToken.ZeroAmount.selector);
        token.redeem(operator, 0);
    }

    function test_revert_NotOwed(uint256 amount) public {
        _fund(10e6);
        _setRate(1e6);
        _mint(4e6);
        _mint(payer, operator, 4e6);
        amount = bound(amount, 4e6 + 1, type(uint256).max);
        _expectNotOwed(operator, amount, 4e6);
        _redeem(driver.addr, operator, amount);
    }

    /// @dev Tokens of a cheap pool, as many as one has, get nothing out of a dear one, and its driver loses nothing.
    function test_attack_tokensOfACheapPoolAtADearOne(uint256 amount) public {
        (address dear, address owed) = _dearPool();
        _fund(10e6);
        _setRate(1e6);
        _mint(10e6);
        amount = bound(amount, 1, 4e6);
        _expectNotOwed(dear, amount, 0);
        _redeem(driver.addr, dear, amount);
        assertEq(_redeem(owed, dear, 4e6), 40e6, "its own driver");
        assertEq(_redeem(driver.addr, operator, 10e6), 10e6, "where they were earned");
        assertEq(token.totalSupply(), 0, "supply");
    }

    /// @dev Nor does it help to send them to somebody who is owed there: that one gets what it was owed, and no more.
    function test_attack_tokensOfACheapPoolSentToTheDearOnesDriver(uint256 amount) public {
        (address dear, address owed) = _dearPool();
        _fund(10e6);
        _setRate(1e6);
        _mint(10e6);
        amount = bound(amount, 1, 10e6);
        _transfer(driver.addr, owed, amount);
        _expectNotOwed(dear, 4e6 + 1, 4e6);
        _redeem(owed, dear, 4e6 + 1);
        assertEq(_redeem(owed, dear, 4e6), 40e6, "what it was owed");
        _expectNotOwed(dear, 1, 0);
        _redeem(owed, dear, 1);
        assertEq(token.balanceOf(owed), amount, "tokens without a claim");
    }

    /// @dev A claim alone is nothing.
    function test_revert_redeemMoreThanOneHas(uint256 sent) public {
        _fund(10e6);
        _setRate(1e6);
        _mint(4e6);
        sent = bound(sent, 1, 4e6);
        _transfer(driver.addr, payer, sent);
        vm.expectRevert(
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientBalance.selector, driver.addr, 4e6 - sent, 4e6 - sent + 1
            )
        );
        _redeem(driver.addr, operator, 4e6 - sent + 1);
    }

    // Passing on

    function test_passOn(address to, uint256 amount) public {
        vm.assume(to != address(0) && to != driver.addr && to != address(token));
        _fund(10e6);
        _setRate(1e6);
        _mint(4e6);
        amount = bound(amount, 1, 4e6);
        vm.expectEmit(address(token));
        emit IFlexibilityToken.PassedOn(operator, driver.addr, to, amount);
        _passOn(driver.addr, operator, to, amount);
        assertEq(token.balanceOf(to), amount, "tokens");
        assertEq(token.balanceOf(driver.addr), 4e6 - amount, "tokens left");
        assertEq(token.claimOf(operator, to), amount, "claim");
        assertEq(token.claimOf(operator, driver.addr), 4e6 - amount, "claim left");
        _assertPool(10e6, 1e6, 4e6);
        assertEq(_redeem(to, operator, amount), amount, "redeemed");
        _expectNotOwed(operator, 4e6, 4e6 - amount);
        _redeem(driver.addr, operator, 4e6);
    }

    function test_passOn_toOneselfChangesNothing(uint256 amount) public {
        _fund(10e6);
        _setRate(1e6);
        _mint(4e6);
        _passOn(driver.addr, operator, driver.addr, bound(amount, 1, 4e6));
        assertEq(token.balanceOf(driver.addr), 4e6, "tokens");
        assertEq(token.claimOf(operator, driver.addr), 4e6, "claim");
    }

    function test_revert_NotOwed_passOn(uint256 amount) public {
        (address dear,) = _dearPool();
        _fund(10e6);
        _setRate(1e6);
        _mint(4e6);
        _expectNotOwed(dear, 1, 0);
        _passOn(driver.addr, dear, payer, 1);
        amount = bound(amount, 4e6 + 1, type(uint256).max);
        _expectNotOwed(operator, amount, 4e6);
        _passOn(driver.addr, operator, payer, amount);
    }

    /// @dev A claim does not move without tokens, or tokens bought cheaply could be given claims that were sold before.
    function test_revert_passOnMoreThanOneHas(uint256 sent) public {
        _fund(10e6);
        _setRate(1e6);
        _mint(4e6);
        sent = bound(sent, 1, 4e6);
        _transfer(driver.addr, payer, sent);
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, driver.addr, 4e6 - sent, 4e6)
        );
        _passOn(driver.addr, operator, payer, 4e6);
    }

    function test_revert_passOnToNobody() public {
        _fund(10e6);
        _setRate(1e6);
        _mint(1);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InvalidReceiver.selector, address(0)));
        _passOn(driver.addr, operator, address(0), 1);
    }

    function test_revert_ZeroAmount_passOn() public {
        vm.expectRevert(IFlexibilityToken.ZeroAmount.selector);
        token.passOn(operator, payer, 0);
    }

    // Surplus

    function test_takeSurplus(uint256 pool, uint256 rate, uint256 mint) public {
        pool = bound(pool, 1, MAX);
        rate = bound(rate, 1, 1e12);
        _fund(pool);
        _setRate(rate);
        uint256 minted = _mint(bound(mint, 0, 1e12));
        uint256 owed = (minted * rate + 1e6 - 1) / 1e6;
        uint256 surplus = pool - owed;
        bytes memory reason =
            abi.encodeWithSelector(IFlexibilityToken.PoolTooSmall.selector, operator, pool, owed + surplus + 1);
        vm.expectRevert(reason);
        vm.prank(operator);
        token.takeSurplus(payer, surplus + 1);
        if (surplus == 0) return;
        vm.expectEmit(address(token));
        emit IFlexibilityToken.SurplusTaken(operator, payer, surplus);
        vm.prank(operator);
        token.takeSurplus(payer, surplus);
        assertEq(credit.balanceOf(payer), surplus, "credit");
        _assertPool(owed, rate, minted);
    }

    function test_revert_PoolTooSmall_takeSurplusOfAnotherPool(address who, uint256 amount) public {
        vm.assume(who != operator);
        amount = bound(amount, 1, type(uint256).max);
        _fund(10e6);
        vm.expectRevert(abi.encodeWithSelector(IFlexibilityToken.PoolTooSmall.selector, who, 0, amount));
        vm.prank(who);
        token.takeSurplus(who, amount);
    }

    function test_revert_ZeroAmount_takeSurplus() public {
        vm.expectRevert(IFlexibilityToken.ZeroAmount.selector);
        token.takeSurplus(operator, 0);
    }

    // Re-entry, and what a plain ERC-20 must do

    function _expectReentryRefused(bytes memory call, bytes memory entry) private {
        HostileToken hostile = new HostileToken();
        token = new FlexibilityToken(minter, IERC20(address(hostile)));
        hostile.mint(operator, 10e6);
        vm.startPrank(operator);
        hostile.approve(address(token), 10e6);
        token.fund(operator, 6e6);
        token.setRate(1e6);
        token.setServed(SITE, true);
        vm.stopPrank();
        _mint(operator, operator, 2e6);
        hostile.setCallback(address(token), call);
        vm.prank(operator);
        (bool ok, bytes memory reason) = address(token).call(entry);
        assertFalse(ok, "refused");
        assertEq(bytes4(reason), ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector, "reason");
        _assertPool(6e6, 1e6, 2e6);
    }

    function test_reentry() public {
        bytes memory fund = abi.encodeCall(IFlexibilityToken.fund, (operator, 1));
        bytes memory redeem = abi.encodeCall(IFlexibilityToken.redeem, (operator, 1));
        bytes memory take = abi.encodeCall(IFlexibilityToken.takeSurplus, (operator, 1));
        bytes[3] memory calls = [fund, redeem, take];
        for (uint256 i; i < 3; ++i) {
            for (uint256 j; j < 3; ++j) {
                _expectReentryRefused(calls[i], calls[j]);
            }
        }
    }

    /// @dev Tokens move and the claim stays, to be of use again with any tokens.
    function test_transfer_movesNoClaim(address to, uint256 amount) public {
        vm.assume(to != address(0) && to != driver.addr && to != address(token));
        _fund(10e6);
        _setRate(1e6);
        _mint(10e6);
        amount = bound(amount, 1, 10e6);
        _transfer(driver.addr, to, amount);
        assertEq(token.balanceOf(to), amount, "to");
        assertEq(token.claimOf(operator, to), 0, "no claim");
        assertEq(token.claimOf(operator, driver.addr), 10e6, "claim");
        _assertPool(10e6, 1e6, 10e6);
        _expectNotOwed(operator, 1, 0);
        _redeem(to, operator, 1);
        _transfer(to, driver.addr, amount);
        assertEq(_redeem(driver.addr, operator, 10e6), 10e6, "with tokens again");
    }

    function test_permit(uint256 amount) public {
        bytes32 typeHash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 structHash = keccak256(abi.encode(typeHash, driver.addr, payer, amount, 0, block.timestamp));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), structHash));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(driver.privateKey, digest);
        token.permit(driver.addr, payer, amount, block.timestamp, v, r, s);
        assertEq(token.allowance(driver.addr, payer), amount, "allowance");
    }
}
