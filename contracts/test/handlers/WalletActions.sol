// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Vm} from "forge-std/Vm.sol";
import "../../src/IProtocol.sol";
import {World} from "./World.sol";

/// @notice Money in, money out, and money that nobody asked for.
abstract contract WalletActions is World {
    uint256 internal constant MAX_AMOUNT = 50e6;

    function deposit(uint256 who, uint256 to, uint256 amount) external {
        address from = _user(who).addr;
        address account = _user(to).addr;
        amount = _bound(amount, 0, MAX_AMOUNT);
        _fill(from, amount, address(settlement));
        bytes4 refusal = amount == 0 ? ISettlement.ZeroAmount.selector : bytes4(0);
        _attempt(from, address(settlement), abi.encodeCall(ISettlement.deposit, (account, amount)), refusal);
        _wallet[account] += amount;
    }

    function withdraw(uint256 who, uint256 amount) external {
        address account = _user(who).addr;
        amount = _bound(amount, 0, _wallet[account] + 1);
        bytes memory call = abi.encodeCall(ISettlement.withdraw, (account, amount));
        bytes4 refusal = _leaveRefusal(account, amount);
        uint256 before = credit.balanceOf(account);
        _attempt(account, address(settlement), call, refusal);
        if (refusal == 0) _leave(account, amount, before);
    }

    /// @dev Brought by a stranger, with or without the account's signature.
    function withdrawFor(uint256 who, uint256 amount, uint256 seed) external {
        address account = _user(who).addr;
        Withdrawal memory withdrawal = Withdrawal({
            account: account,
            to: account,
            amount: _bound(amount, 0, _wallet[account] + 1),
            nonce: _nonceOf(address(settlement), account, seed % 8 == 1),
            validUntil: _validUntil(seed)
        });
        Vm.Wallet memory signer = seed % 8 == 3 ? _user(who ^ 1) : _user(who);
        bytes4 refusal = _signatureRefusal(signer, account, withdrawal.validUntil);
        refusal = _either(refusal, _nonceRefusal(account, withdrawal.nonce));
        refusal = _either(refusal, _leaveRefusal(account, withdrawal.amount));
        bytes memory signature = _sign(signer, settlement.withdrawalHash(withdrawal));
        uint256 before = credit.balanceOf(account);
        _attempt(
            stranger, address(settlement), abi.encodeCall(ISettlement.withdrawFor, (withdrawal, signature)), refusal
        );
        if (refusal != 0) return;
        _lastNonce[address(settlement)][account] = withdrawal.nonce;
        _leave(account, withdrawal.amount, before);
    }

    function migrate(uint256 who, uint256 amount) external {
        address account = _user(who).addr;
        amount = _bound(amount, 0, _wallet[account] + 1);
        bytes4 refusal = _leaveRefusal(account, amount);
        bytes memory call = abi.encodeCall(ISettlement.migrate, (address(successor), amount));
        _attempt(account, address(settlement), call, refusal);
        if (refusal != 0) return;
        _wallet[account] -= amount;
        _migrated[account] += amount;
    }

    function donate(uint256 amount) external {
        amount = _bound(amount, 1, MAX_AMOUNT);
        vm.prank(minter);
        credit.mint(address(settlement), amount);
        _donated += amount;
        changed = true;
    }

    /// @dev Mostly within a stay, sometimes to the end of a dispute window, seldom once around the calendar.
    function pass(uint256 time) external {
        uint256 most = time % 64 == 0 ? 70 days : time % 4 == 0 ? 3 days : 1 hours;
        changed = true;
        vm.warp(block.timestamp + _bound(time / 64, 1, most));
    }

    function _fill(address account, uint256 amount, address spender) internal {
        vm.prank(minter);
        credit.mint(account, amount);
        vm.prank(account);
        credit.approve(spender, amount);
    }

    function _leaveRefusal(address account, uint256 amount) private view returns (bytes4) {
        if (amount == 0) return ISettlement.ZeroAmount.selector;
        return amount > _wallet[account] ? ISettlement.InsufficientBalance.selector : bytes4(0);
    }

    function _leave(address account, uint256 amount, uint256 before) private {
        _wallet[account] -= amount;
        assertEq(credit.balanceOf(account), before + amount, "a withdrawal arrives");
    }
}
