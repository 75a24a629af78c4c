// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import "../src/IProtocol.sol";
import {Settlement} from "../src/Settlement.sol";
import {BaseTest} from "./BaseTest.sol";
import {HostileToken} from "./HostileToken.sol";
import {SmartAccount} from "./SmartAccount.sol";

/// @notice A token that looks into Settlement's books before and after it moves anything.
contract WatchingToken is ERC20("Watching", "WATCH") {
    ISettlement private _watched;
    address private _account;
    uint256 public looks;
    uint256 public lastAccounted;
    uint256 public lastBalance;
    bool public promisedTooMuch;

    function watch(ISettlement watched, address account) external {
        (_watched, _account) = (watched, account);
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 amount) internal override {
        _look();
        super._update(from, to, amount);
        _look();
    }

    function _look() private {
        if (address(_watched) == address(0)) return;
        ++looks;
        lastAccounted = _watched.accounted();
        lastBalance = _watched.balanceOf(_account);
        if (lastAccounted > balanceOf(address(_watched)) || lastBalance > lastAccounted) promisedTooMuch = true;
    }
}

/// @notice Nothing that is called during an act can act in between, nor see what is not so.
contract AttacksReentrancyTest is BaseTest {
    HostileToken private token;
    Settlement private hostile;
    Settlement private next;

    /// @dev The token owns a funded wallet and an allowance, so that nothing but the guard stands in its way.
    function setUp() public override {
        super.setUp();
        token = new HostileToken();
        hostile = _deploySettlement(IERC20(address(token)));
        next = _deploySettlement(IERC20(address(token)));
        token.mint(driver.addr, 10e6);
        token.mint(address(token), 1e6);
        vm.prank(address(token));
        token.approve(address(hostile), 1e6);
        vm.startPrank(driver.addr);
        token.approve(address(hostile), 10e6);
        hostile.deposit(address(token), 1e6);
        hostile.deposit(driver.addr, 5e6);
        vm.stopPrank();
    }

    /// @dev Every guarded function, with arguments that get past the decoder.
    function _entries() private view returns (bytes[] memory calls) {
        Terms memory terms;
        Bill memory bill;
        Tariff memory tariff;
        Request memory request;
        Amendment memory amendment;
        SignedReading memory reading;
        Flexibility memory moved;
        OcmfKey memory key;
        Withdrawal memory order;
        SignedReading[] memory readings = new SignedReading[](2);
        OcmfRecord[] memory records = new OcmfRecord[](1);
        calls = new bytes[](17);
        calls[0] = abi.encodeCall(ISettlement.deposit, (address(token), 1));
        calls[1] = abi.encodeCall(ISettlement.depositWithPermit, (address(token), 1, 0, 27, 0, 0));
        calls[2] = abi.encodeCall(ISettlement.withdraw, (address(token), 1));
        calls[3] = abi.encodeCall(ISettlement.withdrawFor, (order, ""));
        calls[4] = abi.encodeCall(ISettlement.migrate, (address(settlement), 1));
        calls[5] = abi.encodeCall(ISettlement.migrateFor, (order, ""));
        calls[6] = abi.encodeCall(ISettlement.openSession, (request, tariff, ""));
        calls[7] = abi.encodeCall(ISettlement.amendFor, (terms, amendment, ""));
        calls[8] = abi.encodeCall(ISettlement.keepOpen, (terms, reading));
        calls[9] = abi.encodeCall(ISettlement.settle, (terms, tariff, readings));
        calls[10] = abi.encodeCall(ISettlement.settleOcmf, (terms, tariff, key, records));
        calls[11] = abi.encodeCall(ISettlement.dispute, (terms, bill, tariff, readings));
        calls[12] = abi.encodeCall(ISettlement.disputeOcmf, (terms, bill, tariff, key, records));
        calls[13] = abi.encodeCall(ISettlement.reclaim, (terms));
        calls[14] = abi.encodeCall(ISettlement.claim, (SITE));
        calls[15] = abi.encodeCall(ISettlement.claimFlexibility, (terms, bill, moved));
        calls[16] = abi.encodeCall(ISettlement.mintReward, (terms, bill));
    }

    /// @dev Alone, and among several.
    function _inMulticall(bytes memory call) private pure returns (bytes memory) {
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(ISettlement.setLowBalanceThreshold, (1));
        calls[1] = call;
        return abi.encodeCall(Multicall.multicall, (calls));
    }

    /// @dev The ways by which tokens move, and the token is called.
    function _moves(uint256 way) private view returns (bytes memory) {
        if (way == 0) return abi.encodeCall(ISettlement.deposit, (driver.addr, 1e6));
        if (way == 1) return abi.encodeCall(ISettlement.depositWithPermit, (driver.addr, 1e6, 0, 27, 0, 0));
        if (way == 2) return abi.encodeCall(ISettlement.withdraw, (driver.addr, 1e6));
        if (way == 3) return abi.encodeCall(ISettlement.migrate, (address(next), 1e6));
        Withdrawal memory order = Withdrawal(driver.addr, driver.addr, 1e6, 1, type(uint40).max);
        if (way == 4) {
            bytes memory signature = _sign(driver, hostile.withdrawalHash(order));
            return abi.encodeCall(ISettlement.withdrawFor, (order, signature));
        }
        order.to = address(next);
        return abi.encodeCall(ISettlement.migrateFor, (order, _sign(driver, hostile.migrationHash(order))));
    }

    /// @dev A plain withdrawal takes no lock: it has written all it will before the token is called.
    function test_reentrancy_everyEntryPointDuringEveryMove(uint256 way, bool several) public {
        way = bound(way, 0, 4);
        bytes memory move = _moves(way < 2 ? way : way + 1);
        bytes[] memory calls = _entries();
        for (uint256 i; i < calls.length; ++i) {
            bytes memory call = several ? _inMulticall(calls[i]) : calls[i];
            token.setCallback(address(hostile), call);
            vm.prank(driver.addr);
            (bool ok, bytes memory reason) = address(hostile).call(move);
            assertFalse(ok, vm.toString(i));
            // A withdrawal has no lock: it fails by what it does to the measured amount.
            if (bytes4(calls[i]) == ISettlement.withdraw.selector) continue;
            assertEq(bytes4(reason), ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector, vm.toString(i));
        }
        assertEq(hostile.balanceOf(driver.addr), 5e6, "wallet");
        assertEq(hostile.balanceOf(address(token)), 1e6, "wallet of the token");
        assertEq(hostile.accounted(), 6e6, "accounted");

        // And the guard opens again.
        token.setCallback(address(0), "");
        vm.prank(driver.addr);
        (bool moved,) = address(hostile).call(move);
        assertTrue(moved, "without the callback");
    }

    /// @dev What has no guard does nothing that the guard is for.
    function test_reentrancy_unguardedDuringADeposit(uint256 threshold, uint128 amount) public {
        token.setCallback(address(hostile), abi.encodeCall(ISettlement.setLowBalanceThreshold, (threshold)));
        vm.prank(driver.addr);
        hostile.deposit(driver.addr, 1e6);
        assertEq(hostile.balanceOf(address(token)), 1e6, "its own threshold");

        bytes memory reason = abi.encodeWithSelector(ISettlement.NotBookings.selector, address(token));
        token.setCallback(address(hostile), abi.encodeCall(ISettlement.holdForBooking, (driver.addr, amount)));
        vm.expectRevert(reason);
        vm.prank(driver.addr);
        hostile.deposit(driver.addr, 1e6);
        token.setCallback(
            address(hostile), abi.encodeCall(ISettlement.releaseFromBooking, (address(token), amount, SITE, amount))
        );
        vm.expectRevert(reason);
        vm.prank(driver.addr);
        hostile.deposit(driver.addr, 1e6);
    }

    /// @dev Bookings move money between wallets and fees, of which a deposit and a withdrawal know nothing.
    function test_reentrancy_bookingDuringAMove(uint256 way) public {
        IBookings calendar = IBookings(hostile.bookings());
        vm.prank(owner);
        calendar.setTerms(EVSE, BookingTerms(400_000, 100_000, 0, 0, 96));
        (, uint8 version) = calendar.termsOf(EVSE);
        bytes memory book = abi.encodeCall(IBookings.book, (EVSE, FIRST + 8, 4, version, 800_000));
        // A migration moves its tokens twice, and the second booking would fail.
        bytes memory move = _moves(bound(way, 0, 2));
        token.setCallback(address(calendar), book);
        vm.prank(driver.addr);
        (bool ok,) = address(hostile).call(move);
        assertTrue(ok, "moved");
        assertEq(hostile.balanceOf(address(token)), 200_000, "wallet of the token");
        assertEq(hostile.accounted(), token.balanceOf(address(hostile)), "accounted");
    }

    /// @dev A smart account is asked whether it has signed in a call that can change nothing.
    function test_reentrancy_smartAccountCallsBack() public {
        SmartAccount account = new SmartAccount(driver.addr);
        _deposit(address(account), 2e6);
        account.setCallback(address(settlement), abi.encodeCall(ISettlement.withdraw, (address(account), 1e6)));
        Withdrawal memory order = Withdrawal(address(account), stranger, 1e6, 1, type(uint40).max);
        bytes memory signature = _sign(driver, settlement.withdrawalHash(order));
        settlement.withdrawFor(order, signature);
        assertEq(credit.balanceOf(stranger), 1e6, "once");
        assertEq(settlement.balanceOf(address(account)), 1e6, "wallet");
    }

    /// @dev Read-only re-entrancy: whoever is called in between, and believes the views, is never told of money that is not
    /// there.
    function test_readOnlyReentrancy_viewsNeverPromiseTooMuch(uint256 first, uint256 second) public {
        first = bound(first, 1, MAX_MONEY);
        second = bound(second, 1, first);
        WatchingToken watching = new WatchingToken();
        Settlement watched = _deploySettlement(IERC20(address(watching)));
        next = _deploySettlement(IERC20(address(watching)));
        watching.mint(stranger, 2 * first);
        watching.watch(watched, stranger);
        vm.startPrank(stranger);
        watching.approve(address(watched), 2 * first);
        watched.deposit(stranger, first);
        assertEq(watching.lastAccounted(), 0, "not accounted before it is sure");
        watched.deposit(driver.addr, first);
        assertEq(watching.lastAccounted(), first, "as before");
        watched.withdraw(stranger, second);
        assertEq(watching.lastAccounted(), 2 * first - second, "gone before it is sent");
        assertEq(watching.lastBalance(), first - second, "and from the wallet");
        if (first > second) watched.migrate(address(next), first - second);
        vm.stopPrank();
        assertFalse(watching.promisedTooMuch(), "accounted is never more than the tokens");
        assertEq(watching.looks(), first > second ? 8 : 6, "looked each time");
        assertEq(watched.accounted(), first, "accounted");
    }
}
