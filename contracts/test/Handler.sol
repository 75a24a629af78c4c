// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {DispatchActions} from "./handlers/DispatchActions.sol";

/// @notice Does at random what users do. Each action computes for itself whether the contracts must accept it, and fails when
/// they think otherwise, in either direction. Here are the laws, as comparisons of the contracts with the model.
contract Handler is DispatchActions {
    /// @notice What users do within one second. What most depends on comes more than once.
    function actions() public pure returns (bytes4[] memory all) {
        all = new bytes4[](39);
        (all[0], all[1], all[2]) = (this.deposit.selector, this.deposit.selector, this.withdraw.selector);
        (all[3], all[4], all[5]) = (this.withdrawFor.selector, this.migrate.selector, this.donate.selector);
        (all[6], all[7], all[8]) = (this.open.selector, this.open.selector, this.open.selector);
        (all[9], all[10], all[11]) = (this.settle.selector, this.settle.selector, this.settleAgain.selector);
        (all[12], all[13], all[14]) = (this.amend.selector, this.keepOpen.selector, this.reclaim.selector);
        (all[15], all[16], all[17]) = (this.dispute.selector, this.dispute.selector, this.claim.selector);
        (all[18], all[19]) = (this.claimFlexibility.selector, this.claimFlexibility.selector);
        (all[20], all[21], all[22]) = (this.mintReward.selector, this.fund.selector, this.setRate.selector);
        (all[23], all[24], all[25]) = (this.takeSurplus.selector, this.redeem.selector, this.donateToPools.selector);
        (all[26], all[27], all[28]) = (this.book.selector, this.book.selector, this.cancel.selector);
        (all[29], all[30], all[31]) = (this.noShow.selector, this.hostIntervals.selector, this.hostPrices.selector);
        (all[32], all[33]) = (this.hostEvse.selector, this.govern.selector);
        (all[34], all[35]) = (this.postSetpoints.selector, this.postReadings.selector);
        (all[36], all[37], all[38]) = (this.setServed.selector, this.passOn.selector, this.disputeReward.selector);
    }

    /// @notice As `actions`, with time passing in every tenth.
    function movingActions() external pure returns (bytes4[] memory all) {
        bytes4[] memory standing = actions();
        all = new bytes4[](standing.length + 4);
        for (uint256 i; i < all.length; ++i) {
            all[i] = i < standing.length ? standing[i] : this.pass.selector;
        }
    }

    /// @notice (a) Wallets, holds, bookings' money and bills are what is accounted, and tokens cover it, whatever was donated.
    /// (h) A wallet is what the model says, which lowers none without its owner's call, signature or request.
    function requireMoney() external view {
        uint256 total = _holds() + _bookingsMoney();
        for (uint256 i; i < _accounts.length; ++i) {
            address account = _accounts[i];
            total += _wallet[account];
            _same(settlement.balanceOf(account), _wallet[account], "a wallet");
            _same(successor.balanceOf(account), _migrated[account], "a wallet in the next version");
        }
        (uint256 claimable, uint256 pending) = bills();
        (uint256 saysClaimable, uint256 saysPending) = settlement.claimableOf(SITE);
        _same(saysClaimable, claimable, "claimable");
        _same(saysPending, pending, "pending");
        _same(settlement.accounted(), total + claimable + pending, "accounted");
        _same(credit.balanceOf(address(settlement)), settlement.accounted() + _donated, "tokens");
    }

    /// @notice (d) One open session per EVSE, its hold with its terms where the model has it; registers as last billed.
    function requireSessions() external view {
        for (uint256 i; i < EVSES; ++i) {
            bytes32 evse = _evseIds[i];
            uint256 open = _openAt(evse);
            (bool isOpen,) = settlement.openAt(evse);
            assertEq(isOpen, open != 0, "an open session");
            if (open != 0) _requireKept(_sessions[open - 1]);
            for (uint256 m; m < METERS; ++m) {
                (uint64 importMilliWh,, uint48 counter,) = settlement.billedOf(evse, _meterId(_meters[m].addr));
                _same(importMilliWh, _registerWh[evse][m] * 1000, "the last register billed");
                _same(counter, _counter[evse][m], "the last counter billed");
            }
        }
    }

    /// @notice (e) Bookings never overlap, and the contract has those of the model and no others.
    function requireBookings() external view {
        for (uint256 i; i < EVSES; ++i) {
            bytes32 evse = _evseIds[i];
            uint256 today = block.timestamp / 1 days;
            for (uint256 day = today; day < today + 2; ++day) {
                _same(bookings.takenOn(evse, day), _takenOn(evse, day), "taken intervals");
            }
            _same(uint8(bookings.statusOf(evse)), uint8(_statusOf(evse)), "status");
        }
        for (uint256 i; i < _slots.length; ++i) {
            Slot storage slot = _slots[i];
            if (slot.ended || (slot.from + slot.count) * INTERVAL_S <= block.timestamp) continue;
            Booking memory booking = bookings.bookingAt(slot.evse, uint32(slot.from + slot.count - 1));
            assertEq(booking.driver, slot.driver, "driver of a booking");
            _same(booking.from, slot.from, "begin of a booking");
            _same(uint256(booking.price) + booking.deposit, slot.price + slot.deposit, "money of a booking");
            assertEq(booking.checkedIn, slot.checkedIn, "checked in");
            _same(_nextSlot(i + 1, slot.evse, slot.from, slot.from + slot.count), _slots.length, "no overlap");
        }
    }

    /// @notice (f) Supply is what was minted less what was redeemed, and the sum of what pools owe, which they can pay.
    function requirePools() external view {
        uint256 total;
        uint256 owed;
        for (uint256 i; i < 3; ++i) {
            address account = _poolAccount(i);
            (uint256 balance, uint256 rate, uint256 outstanding) = flexibility.poolOf(account);
            Pool storage pool = _pools[account];
            _same(balance, pool.balance, "balance of a pool");
            _same(outstanding, pool.outstanding, "what a pool owes");
            _same(outstanding, _claimsOn(account), "what a pool owes is what its claims come to");
            assertLe(outstanding * rate, balance * 1e6, "a pool covers what it owes");
            (total, owed) = (total + balance, owed + outstanding);
        }
        for (uint256 i; i < USERS; ++i) {
            _same(flexibility.balanceOf(_users[i].addr), _tokens[_users[i].addr], "tokens of a driver");
        }
        _same(flexibility.totalSupply(), owed, "supply is what is owed");
        _same(flexibility.totalSupply(), _minted - _redeemed, "supply is rewards less redemptions");
        _same(flexibility.accounted(), total, "pools");
        _same(credit.balanceOf(address(flexibility)), total + _poolDonations, "credit of the pools");
    }

    /// @notice What is still remembered of the last intervals posted is what the model knows.
    function requireIntervals() external view {
        for (uint256 i = _posted.length; i > 0 && i + 4 > _posted.length; --i) {
            uint32 interval = _posted[i - 1];
            if (block.timestamp >= (interval + 97) * INTERVAL_S) continue;
            _same(uint8(dispatch.stateOf(SITE, interval)), uint8(_intervals[interval]), "state of an interval");
        }
    }

    /// @dev Most comparisons hold, and a cheatcode costs more than all the rest.
    function _same(uint256 a, uint256 b, string memory what) private pure {
        if (a != b) assertEq(a, b, what);
    }

    function _claimsOn(address account) private view returns (uint256 total) {
        for (uint256 i; i < USERS; ++i) {
            address holder = _users[i].addr;
            _same(flexibility.claimOf(account, holder), _claims[account][holder], "a claim on a pool");
            total += _claims[account][holder];
        }
    }

    function _holds() private view returns (uint256 total) {
        for (uint256 i; i < _sessions.length; ++i) {
            if (_sessions[i].state == SessionState.Active) total += _sessions[i].terms.held;
        }
    }

    function _bookingsMoney() private view returns (uint256 total) {
        for (uint256 i; i < _slots.length; ++i) {
            if (_isHeld(_slots[i])) total += _slots[i].price + _slots[i].deposit;
        }
    }

    function _takenOn(bytes32 evse, uint256 day) private view returns (uint256 taken) {
        (uint256 from, uint256 end) = (day * 96, day * 96 + 96);
        uint256 i = _nextSlot(0, evse, from, end);
        for (; i < _slots.length; i = _nextSlot(i + 1, evse, from, end)) {
            Slot storage slot = _slots[i];
            (uint256 first, uint256 last) = (_max(slot.from, from), _min(slot.from + slot.count, end));
            taken |= ((uint256(1) << (last - first)) - 1) << (first - from);
        }
    }

    function _statusOf(bytes32 evse) private view returns (Status) {
        EvseModel storage model = _evses[evse];
        if (model.removed) return Status.Unavailable;
        if (model.status != Status.Available) return model.status;
        if (_openAt(evse) != 0) return Status.Occupied;
        uint256 present = block.timestamp / INTERVAL_S;
        return _nextSlot(0, evse, present, present + 1) < _slots.length ? Status.Reserved : Status.Available;
    }
}
