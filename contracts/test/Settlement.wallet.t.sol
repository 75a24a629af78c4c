// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import "../src/IProtocol.sol";
import {Settlement} from "../src/Settlement.sol";
import {BaseTest} from "./BaseTest.sol";
import {HostileToken} from "./HostileToken.sol";

/// @notice A token that takes from whom it likes.
contract RebasingToken is HostileToken {
    function rebase(address account, uint256 taken) external {
        _burn(account, taken);
    }
}

/// @notice How money enters and leaves by its owner's own call. With a permit: Settlement.permit.t.sol; by signature:
/// Settlement.relay.t.sol; to another version: Settlement.migrate.t.sol.
contract SettlementWalletTest is BaseTest {
    address private to = makeAddr("to");

    function _mint(address account, uint256 amount) private {
        vm.prank(minter);
        credit.mint(account, amount);
    }

    // Deposits

    function test_deposit(address account, uint256 amount) public {
        vm.assume(account != address(0));
        amount = bound(amount, 1, type(uint128).max);
        _mint(stranger, amount);
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
        assertEq(settlement.credit(), address(credit), "credit");
    }

    function test_revert_ZeroAmount_deposit(address account) public {
        vm.expectRevert(ISettlement.ZeroAmount.selector);
        settlement.deposit(account, 0);
    }

    function test_revert_ZeroAddress_deposit(uint256 amount) public {
        amount = bound(amount, 1, type(uint256).max);
        vm.expectRevert(ISettlement.ZeroAddress.selector);
        settlement.deposit(address(0), amount);
    }

    /// @dev Wallets have 128 bits, and no wallet can hold more than all of them together.
    function test_revert_AmountTooLarge(uint256 first, uint256 second) public {
        first = bound(first, 1, type(uint128).max);
        uint256 room = type(uint128).max - first;
        second = bound(second, room + 1, type(uint256).max);
        _deposit(stranger, first);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.AmountTooLarge.selector, second, room));
        settlement.deposit(driver.addr, second);
    }

    function test_boundary_depositUpToAll128Bits(uint256 first) public {
        first = bound(first, 1, uint256(type(uint128).max) - 1);
        _deposit(stranger, first);
        _deposit(stranger, type(uint128).max - first);
        assertEq(settlement.balanceOf(stranger), type(uint128).max, "wallet");

        vm.prank(stranger);
        settlement.withdraw(to, type(uint128).max);
        assertEq(credit.balanceOf(to), type(uint128).max, "and out again");
        assertEq(settlement.accounted(), 0, "accounted");
    }

    function test_revert_noAllowance(uint256 amount) public {
        amount = bound(amount, 1, MAX_MONEY);
        _mint(stranger, amount);
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(settlement), 0, amount)
        );
        vm.prank(stranger);
        settlement.deposit(stranger, amount);
    }

    /// @dev A token that keeps a fee would have the wallets promise what is not there.
    function test_revert_TransferMismatch(uint256 amount, uint256 fee) public {
        amount = bound(amount, 1, MAX_MONEY);
        fee = bound(fee, 1, amount);
        HostileToken token = new HostileToken();
        Settlement hostile = _deploySettlement(IERC20(address(token)));
        token.mint(stranger, amount);
        token.setFee(fee);
        vm.startPrank(stranger);
        token.approve(address(hostile), amount);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.TransferMismatch.selector, amount - fee, amount));
        hostile.deposit(stranger, amount);
        vm.stopPrank();
        assertEq(hostile.accounted(), 0, "accounted");
    }

    /// @dev Nobody pays in to fill a hole, and nobody is kept from getting out what is left.
    function test_revert_TokenRebased_withdrawalsGoOn(uint256 amount, uint256 taken) public {
        amount = bound(amount, 2, MAX_MONEY);
        taken = bound(taken, 1, amount - 1);
        RebasingToken token = new RebasingToken();
        Settlement rebased = _deploySettlement(IERC20(address(token)));
        token.mint(stranger, 3 * amount);
        vm.startPrank(stranger);
        token.approve(address(rebased), 3 * amount);
        rebased.deposit(stranger, amount);
        rebased.deposit(driver.addr, amount);
        token.rebase(address(rebased), taken);

        bytes memory reason = abi.encodeWithSelector(ISettlement.TokenRebased.selector, 2 * amount - taken, 2 * amount);
        vm.expectRevert(reason);
        rebased.deposit(stranger, amount);
        rebased.withdraw(to, amount);
        vm.stopPrank();
        vm.startPrank(driver.addr);
        rebased.withdraw(to, amount - taken);
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, address(rebased), 0, taken)
        );
        rebased.withdraw(to, taken);
        vm.stopPrank();
        assertEq(token.balanceOf(to), 2 * amount - taken, "all that was left");

        token.mint(address(rebased), taken);
        vm.prank(stranger);
        rebased.deposit(stranger, amount);
        vm.prank(driver.addr);
        rebased.withdraw(to, taken);
        assertEq(token.balanceOf(to), 2 * amount, "made good");
    }

    /// @dev A token may also give: what nobody deposited belongs to nobody.
    function test_directTransferBreaksNothing(uint256 amount, uint256 given) public {
        amount = bound(amount, 1, MAX_MONEY);
        given = bound(given, 1, type(uint256).max - 2 * MAX_MONEY);
        _deposit(stranger, amount);
        _mint(address(settlement), given);
        assertEq(settlement.accounted(), amount, "accounted");
        _deposit(stranger, amount);
        assertEq(settlement.balanceOf(stranger), 2 * amount, "wallet");
        vm.prank(stranger);
        settlement.withdraw(to, 2 * amount);
        assertEq(settlement.accounted(), 0, "accounted after withdrawal");
        assertEq(credit.balanceOf(address(settlement)), given, "unaccounted tokens");
    }

    function test_grief_dustInSomebodysWallet(uint256 amount, uint256 count) public {
        amount = bound(amount, 1, MAX_MONEY);
        count = bound(count, 1, 64);
        _deposit(driver.addr, amount);
        _mint(stranger, count);
        vm.startPrank(stranger);
        credit.approve(address(settlement), count);
        for (uint256 i; i < count; ++i) {
            settlement.deposit(driver.addr, 1);
        }
        vm.stopPrank();
        assertEq(settlement.balanceOf(driver.addr), amount + count, "wallet");
        vm.prank(driver.addr);
        settlement.withdraw(to, amount + count);
        assertEq(settlement.balanceOf(driver.addr), 0, "all of it out in one call");
    }

    // Withdrawals

    function test_withdraw(uint256 amount, uint256 taken) public {
        amount = bound(amount, 1, type(uint128).max);
        taken = bound(taken, 1, amount);
        _deposit(stranger, amount);

        vm.expectEmit(address(settlement));
        emit ISettlement.Withdrawn(stranger, to, taken);
        vm.prank(stranger);
        settlement.withdraw(to, taken);

        assertEq(settlement.balanceOf(stranger), amount - taken, "wallet");
        assertEq(settlement.accounted(), amount - taken, "accounted");
        assertEq(credit.balanceOf(to), taken, "tokens of receiver");
        assertEq(credit.balanceOf(address(settlement)), amount - taken, "tokens of settlement");
    }

    function test_withdraw_whilePaused(uint256 amount) public {
        amount = bound(amount, 1, MAX_MONEY);
        vm.prank(guardian);
        registry.setPaused(true);
        _deposit(stranger, amount);
        vm.prank(stranger);
        settlement.withdraw(to, amount);
        assertEq(credit.balanceOf(to), amount, "tokens");
    }

    function test_revert_ZeroAmount_withdraw(address who) public {
        _deposit(stranger, 1e6);
        vm.expectRevert(ISettlement.ZeroAmount.selector);
        vm.prank(stranger);
        settlement.withdraw(who, 0);
    }

    function test_revert_ZeroAddress_withdraw(uint256 amount) public {
        _deposit(stranger, 1e6);
        vm.expectRevert(ISettlement.ZeroAddress.selector);
        vm.prank(stranger);
        settlement.withdraw(address(0), bound(amount, 1, type(uint256).max));
    }

    function test_revert_InsufficientBalance_withdraw(uint256 amount, uint256 taken) public {
        amount = bound(amount, 1, MAX_MONEY);
        taken = bound(taken, amount + 1, type(uint256).max);
        _deposit(stranger, amount);
        _deposit(driver.addr, MAX_MONEY);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InsufficientBalance.selector, stranger, amount, taken));
        vm.prank(stranger);
        settlement.withdraw(to, taken);
    }

    function test_revert_InsufficientBalance_heldMoneyStays(uint256 rest) public {
        rest = bound(rest, 0, MAX_MONEY);
        _openFunded();
        if (rest > 0) _deposit(driver.addr, rest);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InsufficientBalance.selector, driver.addr, rest, rest + 1));
        vm.prank(driver.addr);
        settlement.withdraw(driver.addr, rest + 1);
    }

    // Money of bookings

    function test_revert_NotBookings(address who, address account, uint128 amount) public {
        vm.assume(who != address(bookings));
        _deposit(stranger, MAX_MONEY);
        bytes memory reason = abi.encodeWithSelector(ISettlement.NotBookings.selector, who);
        vm.startPrank(who);
        vm.expectRevert(reason);
        settlement.holdForBooking(account, amount);
        vm.expectRevert(reason);
        settlement.releaseFromBooking(account, amount, SITE, amount);
        vm.stopPrank();
        assertEq(settlement.balanceOf(stranger), MAX_MONEY, "wallet");
    }

    function test_holdForBooking(uint128 amount, uint128 held, uint128 threshold) public {
        amount = uint128(bound(amount, 1, MAX_MONEY));
        held = uint128(bound(held, 0, amount));
        _deposit(driver.addr, amount);
        vm.prank(driver.addr);
        settlement.setLowBalanceThreshold(threshold);
        if (held > 0 && amount - held < threshold) {
            vm.expectEmit(address(settlement));
            emit ISettlement.LowBalance(driver.addr, amount - held, threshold);
        }
        vm.expectEmit(address(settlement));
        emit ISettlement.BookingHeld(driver.addr, held);
        vm.startPrank(address(bookings));
        settlement.holdForBooking(driver.addr, held);
        assertEq(settlement.balanceOf(driver.addr), amount - held, "wallet");
        assertEq(settlement.accounted(), amount, "accounted");

        vm.expectRevert(
            abi.encodeWithSelector(
                ISettlement.InsufficientBalance.selector, driver.addr, amount - held, amount - held + 1
            )
        );
        settlement.holdForBooking(driver.addr, amount - held + 1);
        vm.stopPrank();
    }

    function test_releaseFromBooking(uint128 held, uint128 fee) public {
        held = uint128(bound(held, 1, MAX_MONEY));
        fee = uint128(bound(fee, 0, held));
        _deposit(driver.addr, held);
        vm.startPrank(address(bookings));
        settlement.holdForBooking(driver.addr, held);
        vm.expectEmit(address(settlement));
        emit ISettlement.BookingReleased(driver.addr, SITE, held - fee, fee);
        settlement.releaseFromBooking(driver.addr, held - fee, SITE, fee);
        vm.recordLogs();
        settlement.releaseFromBooking(driver.addr, 0, SITE, 0);
        vm.stopPrank();
        assertEq(vm.getRecordedLogs().length, 0, "nothing says nothing");
        (uint256 claimable,) = settlement.claimableOf(SITE);
        assertEq(claimable, fee, "the site's, at once");
        assertEq(settlement.balanceOf(driver.addr), held - fee, "wallet");
        assertEq(settlement.accounted(), held, "accounted");
    }

    // Several calls in one transaction

    function test_multicall_isItsCalls(uint256 amount, uint256 taken) public {
        amount = bound(amount, 1, MAX_MONEY);
        taken = bound(taken, 1, amount);
        _mint(stranger, amount);
        bytes[] memory calls = new bytes[](3);
        calls[0] = abi.encodeCall(ISettlement.deposit, (stranger, amount));
        calls[1] = abi.encodeCall(ISettlement.withdraw, (to, taken));
        calls[2] = abi.encodeCall(ISettlement.setLowBalanceThreshold, (taken));
        vm.startPrank(stranger);
        credit.approve(address(settlement), amount);
        settlement.multicall(calls);
        assertEq(settlement.balanceOf(stranger), amount - taken, "wallet");
        assertEq(credit.balanceOf(to), taken, "tokens");

        calls[0] = abi.encodeCall(ISettlement.withdraw, (to, amount));
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.InsufficientBalance.selector, stranger, amount - taken, amount)
        );
        settlement.multicall(calls);
        vm.stopPrank();
        assertEq(settlement.balanceOf(stranger), amount - taken, "all or nothing");
    }

    // Low balance

    function test_setLowBalanceThreshold(uint256 threshold) public {
        vm.expectEmit(address(settlement));
        emit ISettlement.LowBalanceThresholdSet(driver.addr, threshold);
        vm.prank(driver.addr);
        settlement.setLowBalanceThreshold(threshold);

        uint256 kept = threshold > type(uint128).max ? type(uint128).max : threshold;
        _deposit(driver.addr, HELD);
        Request memory request = _request();
        bytes memory signature = _signRequest(request);
        if (kept > 0) {
            vm.expectEmit(address(settlement));
            emit ISettlement.LowBalance(driver.addr, 0, kept);
        }
        vm.prank(oracle);
        settlement.openSession(request, _flatTariff(), signature);
        assertEq(settlement.balanceOf(driver.addr), 0, "wallet");
    }

    function test_setLowBalanceThreshold_isOfItsCaller(address other, uint256 threshold) public {
        vm.assume(other != driver.addr);
        vm.prank(other);
        settlement.setLowBalanceThreshold(threshold);
        _deposit(driver.addr, HELD);
        Request memory request = _request();
        bytes memory signature = _signRequest(request);
        vm.recordLogs();
        vm.prank(oracle);
        settlement.openSession(request, _flatTariff(), signature);
        assertEq(vm.getRecordedLogs().length, 1, "only SessionOpened");
    }

    /// @dev The threshold lies beside the balance in one slot.
    function test_setLowBalanceThreshold_leavesTheBalance(uint256 amount, uint256 threshold) public {
        amount = bound(amount, 1, type(uint128).max);
        _deposit(driver.addr, amount);
        vm.startPrank(driver.addr);
        settlement.setLowBalanceThreshold(threshold);
        assertEq(settlement.balanceOf(driver.addr), amount, "wallet");
        settlement.withdraw(to, amount);
        vm.stopPrank();
        assertEq(credit.balanceOf(to), amount, "tokens");
    }
}
