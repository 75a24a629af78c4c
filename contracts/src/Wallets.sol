// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ISettlement, Withdrawal} from "./IProtocol.sol";
import {Hashes} from "./libraries/Hashes.sol";
import {Ledger} from "./libraries/Ledger.sol";
import {Nonces} from "./libraries/Nonces.sol";
import {Signatures} from "./libraries/Signatures.sol";

/// @title Wallets
/// @notice The part of Settlement that tokens enter and leave by. Money leaves a wallet by its owner's call or signature only,
/// and nothing can keep it in.
abstract contract Wallets is ISettlement, EIP712, ReentrancyGuardTransient {
    using Ledger for Ledger.Books;
    using SafeERC20 for IERC20;

    IERC20 internal immutable _credit;

    /// @inheritdoc ISettlement
    /// @dev Sessions and bookings move money between wallets, holds and bills, so only what enters and leaves counts.
    uint256 public accounted;

    Ledger.Books internal _books;

    constructor(IERC20 credit_) EIP712("Provolt", "1") {
        _credit = credit_;
    }

    /// @inheritdoc ISettlement
    function deposit(address account, uint256 amount) external nonReentrant {
        _deposit(account, amount);
    }

    /// @inheritdoc ISettlement
    function depositWithPermit(address account, uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
        nonReentrant
    {
        // Whoever saw the permit may have used it first; what counts is the allowance, which the transfer checks.
        try IERC20Permit(address(_credit)).permit(msg.sender, address(this), amount, deadline, v, r, s) {} catch {}
        _deposit(account, amount);
    }

    /// @inheritdoc ISettlement
    /// @dev Needs no lock: it writes before it calls out, and in the middle of a deposit or a migration it would make the
    /// measured amount another than the announced one, which reverts.
    function withdraw(address to, uint256 amount) external {
        _withdraw(msg.sender, to, amount);
    }

    /// @inheritdoc ISettlement
    function withdrawFor(Withdrawal calldata withdrawal, bytes calldata signature) external nonReentrant {
        Signatures.requireValid(withdrawalHash(withdrawal), withdrawal.account, withdrawal.validUntil, signature);
        _books.useNonce(withdrawal.account, withdrawal.nonce);
        _withdraw(withdrawal.account, withdrawal.to, withdrawal.amount);
    }

    /// @inheritdoc ISettlement
    function migrate(address target, uint256 amount) external nonReentrant {
        _migrate(msg.sender, target, amount);
    }

    /// @inheritdoc ISettlement
    function migrateFor(Withdrawal calldata migration, bytes calldata signature) external nonReentrant {
        Signatures.requireValid(migrationHash(migration), migration.account, migration.validUntil, signature);
        _books.useNonce(migration.account, migration.nonce);
        _migrate(migration.account, migration.to, migration.amount);
    }

    /// @inheritdoc ISettlement
    function setLowBalanceThreshold(uint256 threshold) external {
        // A threshold that no balance can reach is as good as any other.
        uint256 max = type(uint128).max;
        _books.wallets[msg.sender].threshold = uint128(threshold < max ? threshold : max);

        emit LowBalanceThresholdSet(msg.sender, threshold);
    }

    /// @inheritdoc ISettlement
    function balanceOf(address account) external view returns (uint256) {
        return _books.wallets[account].balance;
    }

    /// @inheritdoc ISettlement
    function isNonceUsed(address account, uint64 nonce) external view returns (bool) {
        return Nonces.isUsed(_books.nonces[account], nonce);
    }

    /// @inheritdoc ISettlement
    function credit() external view returns (address) {
        return address(_credit);
    }

    /// @inheritdoc ISettlement
    function withdrawalHash(Withdrawal calldata withdrawal) public view returns (bytes32) {
        return _hashTypedDataV4(Hashes.structHash(Hashes.WITHDRAWAL_TYPEHASH, withdrawal));
    }

    /// @inheritdoc ISettlement
    function migrationHash(Withdrawal calldata migration) public view returns (bytes32) {
        return _hashTypedDataV4(Hashes.structHash(Hashes.MIGRATION_TYPEHASH, migration));
    }

    /// @dev The one act that calls out before it writes: what arrived is what counts. The guard keeps the token from
    /// re-entering meanwhile, and views never show money that has not come. A token that has taken of what is owed, a
    /// rebase, can bring nothing more in; getting out goes on until it is empty.
    function _deposit(address account, uint256 amount) private {
        uint256 owed = accounted;
        require(amount > 0, ZeroAmount());
        require(account != address(0), ZeroAddress());
        require(amount <= type(uint128).max - owed, AmountTooLarge(amount, type(uint128).max - owed));

        uint256 before = _credit.balanceOf(address(this));
        require(before >= owed, TokenRebased(before, owed));
        _credit.safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = _credit.balanceOf(address(this)) - before;
        require(received == amount, TransferMismatch(received, amount));

        accounted = owed + amount;
        _books.credit(account, amount);

        emit Deposited(account, msg.sender, amount);
    }

    function _withdraw(address account, address to, uint256 amount) private {
        _leave(account, to, amount);

        emit Withdrawn(account, to, amount);

        _credit.safeTransfer(to, amount);
    }

    /// @dev The target is the account's choice and gets an allowance of this amount only, so that it can harm nobody else.
    function _migrate(address account, address target, uint256 amount) private {
        _leave(account, target, amount);

        emit Migrated(account, target, amount);

        uint256 before = _credit.balanceOf(address(this));
        _credit.forceApprove(target, amount);
        ISettlement(target).deposit(account, amount);
        uint256 sent = before - _credit.balanceOf(address(this));
        require(sent == amount, TransferMismatch(sent, amount));
    }

    function _leave(address account, address to, uint256 amount) private {
        Ledger.Wallet storage wallet = _books.wallets[account];
        uint128 balance = wallet.balance;
        require(amount > 0, ZeroAmount());
        require(to != address(0), ZeroAddress());
        require(balance >= amount, InsufficientBalance(account, balance, amount));

        unchecked {
            // No wallet holds more than `accounted`, and the balance was just compared.
            accounted -= amount;
            wallet.balance = uint128(balance - amount);
        }
    }
}
