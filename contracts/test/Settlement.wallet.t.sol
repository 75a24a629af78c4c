// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import "../src/IProtocol.sol";
import {Settlement} from "../src/Settlement.sol";
import {BaseTest} from "./BaseTest.sol";
import {HostileToken} from "./HostileToken.sol";

contract SettlementWalletTest is BaseTest {
    function test_deposit(address account, uint256 amount) public {
        amount = bound(amount, 1, MAX_MONEY);
        vm.prank(minter);
        credit.mint(stranger, amount);
        vm.startPrank(stranger);
        credit.approve(address(settlement), amount);
        vm.expectEmit(address(settlement));
        emit ISettlement.Deposited(account, stranger, amount);
        settlement.deposit(account, amount);
        vm.stopPrank();

        assertEq(settlement.balanceOf(account), amount, "wallet");
        assertEq(settlement.accounted(), amount, "accounted");
        assertEq(credit.balanceOf(address(settlement)), amount, "tokens of settlement");
        assertEq(credit.balanceOf(stranger), 0, "tokens of payer");
    }

    function test_revert_ZeroAmount_deposit() public {
        vm.expectRevert(ISettlement.ZeroAmount.selector);
        settlement.deposit(stranger, 0);
    }

    function test_revert_TransferMismatch(uint256 amount, uint256 fee) public {
        amount = bound(amount, 1, MAX_MONEY);
        fee = bound(fee, 1, amount);
        HostileToken token = new HostileToken();
        Settlement hostile = new Settlement(registry, IERC20(address(token)));
        token.mint(stranger, amount);
        token.setFee(fee);
        vm.startPrank(stranger);
        token.approve(address(hostile), amount);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.TransferMismatch.selector, amount - fee, amount));
        hostile.deposit(stranger, amount);
        vm.stopPrank();
        assertEq(hostile.accounted(), 0, "accounted");
    }

    function test_withdraw(uint256 amount, uint256 taken) public {
        amount = bound(amount, 1, MAX_MONEY);
        taken = bound(taken, 1, amount);
        _deposit(stranger, amount);
        address to = makeAddr("to");

        vm.expectEmit(address(settlement));
        emit ISettlement.Withdrawn(stranger, to, taken);
        vm.prank(stranger);
        settlement.withdraw(to, taken);

        assertEq(settlement.balanceOf(stranger), amount - taken, "wallet");
        assertEq(settlement.accounted(), amount - taken, "accounted");
        assertEq(credit.balanceOf(to), taken, "tokens of receiver");
        assertEq(credit.balanceOf(address(settlement)), amount - taken, "tokens of settlement");
    }

    function test_revert_ZeroAmount_withdraw() public {
        vm.expectRevert(ISettlement.ZeroAmount.selector);
        settlement.withdraw(stranger, 0);
    }

    function test_revert_InsufficientBalance_withdraw(uint256 amount, uint256 taken) public {
        amount = bound(amount, 1, MAX_MONEY);
        taken = bound(taken, amount + 1, type(uint256).max);
        _deposit(stranger, amount);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InsufficientBalance.selector, stranger, amount, taken));
        vm.prank(stranger);
        settlement.withdraw(stranger, taken);
    }

    function test_revert_InsufficientBalance_heldMoneyStays() public {
        _openFunded();
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InsufficientBalance.selector, driver.addr, 0, 1));
        vm.prank(driver.addr);
        settlement.withdraw(driver.addr, 1);
    }

    function test_directTransferBreaksNothing(uint256 amount) public {
        amount = bound(amount, 1, MAX_MONEY);
        _deposit(stranger, amount);
        vm.prank(minter);
        credit.mint(address(settlement), amount);
        assertEq(settlement.accounted(), amount, "accounted");
        vm.prank(stranger);
        settlement.withdraw(stranger, amount);
        assertEq(settlement.accounted(), 0, "accounted after withdrawal");
        assertEq(credit.balanceOf(address(settlement)), amount, "unaccounted tokens");
    }

    function test_setLowBalanceThreshold(uint256 threshold) public {
        vm.expectEmit(address(settlement));
        emit ISettlement.LowBalanceThresholdSet(driver.addr, threshold);
        vm.prank(driver.addr);
        settlement.setLowBalanceThreshold(threshold);

        uint256 kept = threshold > type(uint128).max ? type(uint128).max : threshold;
        _deposit(driver.addr, 10e6);
        if (kept > 0) {
            vm.expectEmit(address(settlement));
            emit ISettlement.LowBalance(driver.addr, 0, kept);
        }
        _open(_request());
    }

    function test_reentrancy_withdrawDuringDeposit() public {
        HostileToken token = new HostileToken();
        _expectReentryRefused(token, abi.encodeCall(ISettlement.withdraw, (address(token), 1)), true);
    }

    function test_reentrancy_depositDuringDeposit() public {
        HostileToken token = new HostileToken();
        _expectReentryRefused(token, abi.encodeCall(ISettlement.deposit, (address(token), 1)), true);
    }

    function test_reentrancy_withdrawDuringWithdraw() public {
        HostileToken token = new HostileToken();
        _expectReentryRefused(token, abi.encodeCall(ISettlement.withdraw, (address(token), 1)), false);
    }

    function test_reentrancy_depositDuringWithdraw() public {
        HostileToken token = new HostileToken();
        _expectReentryRefused(token, abi.encodeCall(ISettlement.deposit, (address(token), 1)), false);
    }

    function test_reentrancy_reclaimDuringWithdraw() public {
        HostileToken token = new HostileToken();
        _expectReentryRefused(token, abi.encodeCall(ISettlement.reclaim, (bytes32(0))), false);
    }

    /// @dev The token owns a funded wallet, so that nothing but the guard stands in its way.
    function _expectReentryRefused(HostileToken token, bytes memory call, bool duringDeposit) private {
        Settlement hostile = new Settlement(registry, IERC20(address(token)));
        token.mint(stranger, 3e6);
        vm.startPrank(stranger);
        token.approve(address(hostile), 3e6);
        hostile.deposit(address(token), 1e6);
        hostile.deposit(stranger, 1e6);
        token.setCallback(address(hostile), call);
        vm.expectRevert(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        if (duringDeposit) hostile.deposit(stranger, 1e6);
        else hostile.withdraw(stranger, 1e6);
        vm.stopPrank();
        assertEq(hostile.accounted(), 2e6, "accounted");
        assertEq(token.balanceOf(address(hostile)), 2e6, "tokens");
    }

    /// @dev What a view tells during a deposit is never more than the tokens that are there.
    function test_reentrancy_viewsDuringDeposit() public {
        HostileToken token = new HostileToken();
        Settlement hostile = new Settlement(registry, IERC20(address(token)));
        token.mint(stranger, 1e6);
        token.setCallback(address(hostile), abi.encodeCall(ISettlement.accounted, ()));
        vm.startPrank(stranger);
        token.approve(address(hostile), 1e6);
        hostile.deposit(stranger, 1e6);
        vm.stopPrank();
        assertEq(abi.decode(token.answer(), (uint256)), 0, "accounted before the tokens moved");
        assertEq(hostile.accounted(), 1e6, "accounted after");
    }
}
