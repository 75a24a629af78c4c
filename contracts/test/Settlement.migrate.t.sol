// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {stdError} from "forge-std/StdError.sol";
import "../src/IProtocol.sol";
import {Settlement} from "../src/Settlement.sol";
import {CreditToken} from "../src/tokens/CreditToken.sol";
import {RelayTest} from "./RelayTest.sol";

/// @notice A target that takes what it was told to of what it is allowed, and may give tokens, call back, or revert.
contract BadTarget {
    IERC20 private immutable _credit;
    uint256 private _taken;
    uint256 private _given;
    bytes private _call;

    constructor(IERC20 credit) {
        _credit = credit;
    }

    function set(uint256 taken, uint256 given, bytes calldata call) external {
        (_taken, _given, _call) = (taken, given, call);
    }

    function deposit(address, uint256) external {
        if (_taken > 0) _credit.transferFrom(msg.sender, address(this), _taken);
        if (_given > 0) _credit.transfer(msg.sender, _given);
        if (_call.length == 0) return;
        (bool ok, bytes memory answer) = msg.sender.call(_call);
        if (ok) return;
        assembly ("memory-safe") {
            revert(add(answer, 32), mload(answer))
        }
    }

    /// @dev Later, from what may have been left allowed.
    function takeFrom(address account, uint256 amount) external {
        _credit.transferFrom(account, address(this), amount);
    }
}

contract SettlementMigrateTest is RelayTest {
    Settlement private next;
    BadTarget private bad;

    function setUp() public override {
        super.setUp();
        next = _deploySettlement(IERC20(address(credit)));
        bad = new BadTarget(IERC20(address(credit)));
        // There is other people's money to take.
        _deposit(stranger, FUNDS);
        vm.prank(stranger);
        settlement.withdraw(stranger, 1);
        vm.prank(stranger);
        credit.transfer(address(bad), 1);
    }

    function _hash(Withdrawal memory order) internal view override returns (bytes32) {
        return settlement.migrationHash(order);
    }

    function _otherHash(Withdrawal memory order) internal view override returns (bytes32) {
        return settlement.withdrawalHash(order);
    }

    function _bring(Withdrawal memory order, bytes memory signature) internal override {
        settlement.migrateFor(order, signature);
    }

    function _receiver() internal view override returns (address) {
        return address(next);
    }

    function _received() internal view override returns (uint256) {
        return next.balanceOf(driver.addr);
    }

    function _migrate(address target, uint256 amount) private {
        vm.prank(driver.addr);
        settlement.migrate(target, amount);
    }

    function test_migrationHash_isEip712Digest(Withdrawal calldata order) public view {
        assertEq(settlement.migrationHash(order), _expectedHash("Migration", order), "digest");
    }

    function test_migrate(uint256 amount) public {
        amount = bound(amount, 1, FUNDS);
        uint256 accounted = settlement.accounted();
        vm.expectEmit(address(settlement));
        emit ISettlement.Migrated(driver.addr, address(next), amount);
        vm.expectEmit(address(next));
        emit ISettlement.Deposited(driver.addr, address(settlement), amount);
        _migrate(address(next), amount);

        assertEq(settlement.balanceOf(driver.addr), FUNDS - amount, "wallet here");
        assertEq(next.balanceOf(driver.addr), amount, "wallet there");
        assertEq(settlement.accounted(), accounted - amount, "accounted here");
        assertEq(next.accounted(), amount, "accounted there");
        assertEq(credit.balanceOf(address(next)), amount, "tokens there");
        assertEq(credit.allowance(address(settlement), address(next)), 0, "nothing left allowed");
    }

    /// @dev A session that runs while its driver moves on is settled here, and its refund follows.
    function test_migrate_heldMoneyFollowsLater() public {
        Terms memory terms = _open(_request());
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InsufficientBalance.selector, driver.addr, 0, 1));
        _migrate(address(next), 1);
        Bill memory bill = _settle(terms, _begin(0, 1), _end(10_000, 2));
        _migrate(address(next), HELD - bill.amount);
        assertEq(next.balanceOf(driver.addr), HELD - bill.amount, "wallet there");
        assertEq(settlement.balanceOf(driver.addr), 0, "wallet here");
    }

    function test_revert_InsufficientBalance_migrate(uint256 amount) public {
        amount = bound(amount, FUNDS + 1, type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InsufficientBalance.selector, driver.addr, FUNDS, amount));
        _migrate(address(next), amount);
    }

    function test_revert_ZeroAmount_migrate(address target) public {
        vm.expectRevert(ISettlement.ZeroAmount.selector);
        _migrate(target, 0);
    }

    function test_revert_ZeroAddress_migrate(uint256 amount) public {
        vm.expectRevert(ISettlement.ZeroAddress.selector);
        _migrate(address(0), bound(amount, 1, type(uint256).max));
    }

    function test_revert_migrate_toItself(uint256 amount) public {
        vm.expectRevert(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        _migrate(address(settlement), bound(amount, 1, FUNDS));
    }

    function test_revert_migrate_toNoContract(uint256 amount) public {
        amount = bound(amount, 1, FUNDS);
        vm.expectRevert();
        _migrate(makeAddr("no contract"), amount);
        assertEq(settlement.balanceOf(driver.addr), FUNDS, "wallet");
        assertEq(credit.allowance(address(settlement), makeAddr("no contract")), 0, "nothing allowed");
    }

    /// @dev It asks for its own token, of which nothing is allowed, whatever this contract has of it.
    function test_revert_migrate_toAnotherTokensSettlement(uint256 amount) public {
        amount = bound(amount, 1, FUNDS);
        CreditToken token = new CreditToken(minter);
        Settlement foreign = _deploySettlement(IERC20(address(token)));
        vm.prank(minter);
        token.mint(address(settlement), amount);
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(foreign), 0, amount)
        );
        _migrate(address(foreign), amount);
        assertEq(settlement.balanceOf(driver.addr), FUNDS, "wallet");
    }

    /// @dev A target takes the amount exactly, or nothing happens; what it does with it is its account's choice.
    function test_migrate_badTargetTakesTheAmountOrNothing(uint256 amount, uint256 taken) public {
        amount = bound(amount, 1, FUNDS - 1);
        taken = bound(taken, 0, 2 * FUNDS - 1);
        bad.set(taken, 0, "");
        uint256 tokens = credit.balanceOf(address(settlement));
        if (taken > amount) {
            vm.expectRevert(
                abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(bad), amount, taken)
            );
        } else if (taken < amount) {
            vm.expectRevert(abi.encodeWithSelector(ISettlement.TransferMismatch.selector, taken, amount));
        }
        _migrate(address(bad), amount);

        uint256 gone = taken == amount ? amount : 0;
        assertEq(tokens - credit.balanceOf(address(settlement)), gone, "tokens");
        assertEq(settlement.balanceOf(driver.addr), FUNDS - gone, "wallet");
        assertEq(credit.allowance(address(settlement), address(bad)), 0, "nothing left allowed");
        assertEq(settlement.balanceOf(stranger), FUNDS - 1, "another's wallet");
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(bad), 0, 1));
        bad.takeFrom(address(settlement), 1);
    }

    /// @dev Nor can it leave some of the allowance by paying back what it took.
    function test_revert_migrate_targetPaysBack(uint256 amount) public {
        amount = bound(amount, 2, FUNDS);
        bad.set(amount, 1, "");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.TransferMismatch.selector, amount - 1, amount));
        _migrate(address(bad), amount);
        bad.set(0, 1, "");
        vm.expectRevert(stdError.arithmeticError);
        _migrate(address(bad), amount);
        assertEq(settlement.balanceOf(driver.addr), FUNDS, "wallet");
    }

    /// @dev The target has a wallet of its own here, so that nothing but the guard stands in its way.
    function test_reentrancy_targetCallsBack(uint256 which) public {
        _deposit(address(bad), FUNDS);
        bytes[4] memory calls = [
            abi.encodeCall(ISettlement.withdraw, (address(bad), 1)),
            abi.encodeCall(ISettlement.deposit, (address(bad), 1)),
            abi.encodeCall(ISettlement.migrate, (address(next), 1)),
            abi.encodeCall(ISettlement.claim, (SITE))
        ];
        bad.set(FUNDS, 0, calls[which % calls.length]);
        // A withdrawal has no lock: it makes what left more than was announced.
        bytes memory reason = which % calls.length == 0
            ? abi.encodeWithSelector(ISettlement.TransferMismatch.selector, FUNDS + 1, FUNDS)
            : abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        vm.expectRevert(reason);
        _migrate(address(bad), FUNDS);
        assertEq(settlement.balanceOf(driver.addr), FUNDS, "wallet");
        assertEq(settlement.balanceOf(address(bad)), FUNDS, "wallet of the target");
    }
}
