// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Vm} from "forge-std/Vm.sol";
import {RING_DAYS} from "../../src/libraries/Calendar.sol";
import "../../src/IProtocol.sol";
import {WalletActions} from "./WalletActions.sol";

/// @notice What drivers and hosts do with the calendar.
abstract contract BookingActions is WalletActions {
    uint256 private constant DAY_INTERVALS = 96;
    uint256 private constant RING = RING_DAYS * DAY_INTERVALS;

    /// @dev By the driver's call, or by its signature.
    function book(uint256 who, uint256 where, uint256 from, uint256 count, uint256 seed) external {
        BookingRequest memory request;
        request.driver = _user(who).addr;
        request.evse = _evse(where);
        request.from = uint32(block.timestamp / INTERVAL_S + from % (seed % 16 == 0 ? 6_200 : 16));
        request.count = uint16(_bound(count, seed % 16 == 1 ? 0 : 1, seed % 4 == 0 ? 97 : 8));
        request.version = _version[request.evse] - (seed % 16 == 2 ? 1 : 0);
        (uint256 price, uint256 held) = _costOf(request);
        request.totalCeiling = uint128(seed % 16 == 3 && held > 0 ? held - 1 : held);
        bytes4 refusal = _bookRefusal(request, held);
        if (seed % 2 == 0) {
            _attempt(request.driver, address(bookings), _bookCall(request), refusal);
        } else {
            refusal = _bookFor(_user(seed % 16 == 5 ? who ^ 1 : who), request, refusal, seed);
        }
        if (refusal != 0) return;

        BookingTerms storage terms = _bookingTerms[request.evse];
        _wallet[request.driver] -= held;
        _endLapsed(request.evse, request.from);
        Slot storage slot = _slots.push();
        (slot.evse, slot.driver, slot.from, slot.count) = (request.evse, request.driver, request.from, request.count);
        (slot.price, slot.deposit) = (price, held - price);
        (slot.noShowBps, slot.cancelBefore) = (terms.noShowBps, terms.cancelBefore);
    }

    function cancel(uint256 which, uint256 seed) external {
        if (_slots.length == 0) return;
        Slot storage slot = _slotFrom(which);
        address driver_ = seed % 8 == 0 ? _user(seed >> 8).addr : slot.driver;
        if (driver_ == address(0)) driver_ = _user(seed >> 8).addr;
        bytes4 refusal = _cancelRefusal(slot, driver_);
        if (seed % 2 == 0) {
            _attempt(
                driver_, address(bookings), abi.encodeCall(IBookings.cancel, (slot.evse, uint32(slot.from))), refusal
            );
        } else {
            refusal = _cancelFor(slot, driver_, refusal, seed);
        }
        if (refusal == 0) {
            bool late = block.timestamp > slot.from * INTERVAL_S - slot.cancelBefore;
            _endUnused(slot, late && _isServed(slot));
        }
    }

    function noShow(uint256 which) external {
        if (_slots.length == 0) return;
        Slot storage slot = _slotFrom(which);
        bytes4 refusal;
        if (slot.ended) refusal = IBookings.NoBooking.selector;
        else if (slot.checkedIn) refusal = IBookings.AlreadyCheckedIn.selector;
        else if (slot.driver == address(0)) refusal = IBookings.NoBooking.selector;
        else if (block.timestamp < slot.from * INTERVAL_S + 30 minutes) refusal = IBookings.TooSoonForNoShow.selector;
        bytes memory call = abi.encodeCall(IBookings.noShow, (slot.evse, uint32(slot.from)));
        _attempt(stranger, address(bookings), call, refusal);
        if (refusal == 0) _endUnused(slot, _isServed(slot));
    }

    /// @dev The host keeps intervals for itself, or frees them.
    function hostIntervals(uint256 where, uint256 from, uint256 count, uint256 seed) external {
        address sender = seed % 8 == 0 ? _user(seed >> 8).addr : _host;
        if (seed % 2 == 0) _block(sender, _evse(where), block.timestamp / INTERVAL_S + from % 40, _bound(count, 0, 8));
        else if (_slots.length > 0) _unblock(sender, _slotFrom(where));
    }

    /// @dev What the host asks from now on, in general or for single intervals.
    function hostPrices(uint256 where, uint256 from, uint256 seed) external {
        bytes32 evse = _evse(where);
        if (seed % 2 == 0) {
            BookingTerms memory terms = BookingTerms({
                deposit: uint72(_dice(seed, 1) % 3e6),
                pricePerInterval: uint64(_dice(seed, 2) % 1e5),
                cancelBefore: uint24(_dice(seed, 3) % 1 days),
                noShowBps: uint16(_dice(seed, 4) % (seed % 16 == 2 ? 20_000 : BPS + 1)),
                maxCount: uint8(96 - _dice(seed, 5) % 97)
            });
            bytes4 refusal = terms.noShowBps > BPS ? IBookings.BadTerms.selector : bytes4(0);
            _attempt(_host, address(bookings), abi.encodeCall(IBookings.setTerms, (evse, terms)), refusal);
            if (refusal == 0) (_bookingTerms[evse], _version[evse]) = (terms, _version[evse] + 1);
            return;
        }
        from = block.timestamp / INTERVAL_S + 1 + from % 40;
        uint64[] memory prices = new uint64[](1 + seed % 5);
        for (uint256 i; i < prices.length; ++i) {
            prices[i] = _dice(seed, i) % 4 == 0 ? type(uint64).max : uint64(_dice(seed, i) % 1e5);
            _ownPrice[evse][from + i] = prices[i] == type(uint64).max ? 0 : prices[i] + 1;
        }
        _attempt(_host, address(bookings), abi.encodeCall(IBookings.setPrices, (evse, uint32(from), prices)), 0);
    }

    /// @dev One of the last slots; where it was given up and taken again, what begins there now.
    function _slotFrom(uint256 seed) private view returns (Slot storage slot) {
        slot = _slots[_recent(seed, _slots.length)];
        uint256 i = _nextSlot(0, slot.evse, slot.from, slot.from + 1);
        if (i < _slots.length && _slots[i].from == slot.from) return _slots[i];
    }

    function _bookCall(BookingRequest memory request) private pure returns (bytes memory) {
        return abi.encodeCall(
            IBookings.book, (request.evse, request.from, request.count, request.version, request.totalCeiling)
        );
    }

    function _bookFor(Vm.Wallet memory signer, BookingRequest memory request, bytes4 refusal, uint256 seed)
        private
        returns (bytes4)
    {
        request.nonce = _nonceOf(address(bookings), request.driver, seed % 16 == 7);
        request.validUntil = _validUntil(seed >> 8);
        refusal = _either(_bookingSignatureRefusal(signer, request.driver, request.nonce, request.validUntil), refusal);
        bytes memory signature = _sign(signer, bookings.bookingHash(request));
        _attempt(stranger, address(bookings), abi.encodeCall(IBookings.bookFor, (request, signature)), refusal);
        if (refusal == 0) _lastNonce[address(bookings)][request.driver] = request.nonce;
        return refusal;
    }

    function _cancelFor(Slot storage slot, address driver_, bytes4 refusal, uint256 seed) private returns (bytes4) {
        Vm.Wallet memory signer = _user(seed >> 16);
        for (uint256 i; i < USERS && seed % 8 != 5; ++i) {
            if (_users[i].addr == driver_) signer = _users[i];
        }
        uint64 nonce = _nonceOf(address(bookings), driver_, seed % 16 == 7);
        uint40 validUntil = _validUntil(seed >> 8);
        Cancellation memory cancellation = Cancellation(driver_, slot.evse, uint32(slot.from), nonce, validUntil);
        refusal = _either(_bookingSignatureRefusal(signer, driver_, nonce, validUntil), refusal);
        bytes memory signature = _sign(signer, bookings.cancellationHash(cancellation));
        _attempt(stranger, address(bookings), abi.encodeCall(IBookings.cancelFor, (cancellation, signature)), refusal);
        if (refusal == 0) _lastNonce[address(bookings)][driver_] = nonce;
        return refusal;
    }

    function _block(address sender, bytes32 evse, uint256 from, uint256 count) private {
        bytes4 refusal =
            sender == _host ? _insideRefusal(evse, from, count, DAY_INTERVALS) : IBookings.NotOwner.selector;
        bytes memory call = abi.encodeCall(IBookings.blockIntervals, (evse, uint32(from), uint16(count)));
        _attempt(sender, address(bookings), call, refusal);
        if (refusal != 0) return;
        _endLapsed(evse, from);
        Slot storage slot = _slots.push();
        (slot.evse, slot.from, slot.count) = (evse, from, count);
    }

    function _unblock(address sender, Slot storage slot) private {
        bytes4 refusal;
        if (slot.ended) refusal = IBookings.NoBooking.selector;
        else if (slot.checkedIn) refusal = IBookings.AlreadyCheckedIn.selector;
        else if (sender != _host) refusal = IBookings.NotOwner.selector;
        else if (slot.driver != address(0)) refusal = IBookings.NotBooker.selector;
        bytes memory call = abi.encodeCall(IBookings.unblockIntervals, (slot.evse, uint32(slot.from)));
        _attempt(sender, address(bookings), call, refusal);
        if (refusal == 0) slot.ended = true;
    }

    function _bookingSignatureRefusal(Vm.Wallet memory signer, address account, uint64 nonce, uint40 validUntil)
        private
        view
        returns (bytes4)
    {
        if (signer.addr != account) return IBookings.BadSignature.selector;
        if (block.timestamp > validUntil) return IBookings.SignatureExpired.selector;
        bool used = nonce == _lastNonce[address(bookings)][account];
        return used ? IBookings.NonceUsed.selector : bytes4(0);
    }

    function _costOf(BookingRequest memory request) private view returns (uint256 price, uint256 held) {
        BookingTerms storage terms = _bookingTerms[request.evse];
        for (uint256 i = request.from; i < uint256(request.from) + request.count; ++i) {
            uint256 own = _ownPrice[request.evse][i];
            price += own == 0 ? terms.pricePerInterval : own - 1;
        }
        held = price + terms.deposit;
    }

    function _bookRefusal(BookingRequest memory request, uint256 held) private view returns (bytes4 refusal) {
        bytes32 evse = request.evse;
        if (_paused) return IBookings.Paused.selector;
        if (_evses[evse].removed || !_isFor(evse, request.driver)) return IBookings.NotAdmitted.selector;
        if (request.version != _version[evse]) return IBookings.TermsChanged.selector;
        refusal = _insideRefusal(evse, request.from, request.count, _bookingTerms[evse].maxCount);
        // A price above the ceiling comes before a conflict.
        if (refusal != 0 && refusal != IBookings.IntervalTaken.selector) return refusal;
        if (held > request.totalCeiling) return IBookings.AboveCeiling.selector;
        if (refusal == 0 && held > _wallet[request.driver]) return ISettlement.InsufficientBalance.selector;
    }

    function _insideRefusal(bytes32 evse, uint256 from, uint256 count, uint256 most) private view returns (bytes4) {
        uint256 present = block.timestamp / INTERVAL_S;
        uint256 end = (present / DAY_INTERVALS + RING_DAYS - 1) * DAY_INTERVALS;
        if (count == 0 || count > most) return IBookings.BadCount.selector;
        if (from <= present || from + count > end) return IBookings.OutsideCalendar.selector;
        bool taken = _nextSlot(0, evse, from, from + count) < _slots.length;
        return taken ? IBookings.IntervalTaken.selector : bytes4(0);
    }

    function _cancelRefusal(Slot storage slot, address driver_) private view returns (bytes4) {
        if (slot.ended) return IBookings.NoBooking.selector;
        if (slot.checkedIn) return IBookings.AlreadyCheckedIn.selector;
        if (slot.driver != driver_) return IBookings.NotBooker.selector;
        bool over = block.timestamp >= (slot.from + slot.count) * INTERVAL_S;
        return over ? IBookings.TooLateToCancel.selector : bytes4(0);
    }

    /// @dev Whether the driver could use it now, and so pays for not doing so. When it is over nobody asks any more.
    function _isServed(Slot storage slot) private view returns (bool) {
        if (block.timestamp >= (slot.from + slot.count) * INTERVAL_S) return true;
        EvseModel storage evse = _evses[slot.evse];
        if (evse.removed || !_isFor(slot.evse, slot.driver)) return false;
        if (_paused || evse.status != Status.Available) return false;
        return block.timestamp < slot.from * INTERVAL_S || _openAt(slot.evse) == 0;
    }

    function _endUnused(Slot storage slot, bool owed) private {
        uint256 held = slot.price + slot.deposit;
        uint256 fee = owed ? held * slot.noShowBps / BPS : 0;
        _wallet[slot.driver] += held - fee;
        _claimable.amount += fee;
        slot.ended = true;
    }

    /// @dev What nobody has ended a round of the ring ago makes room.
    function _endLapsed(bytes32 evse, uint256 from) private {
        for (uint256 i; i < _slots.length; ++i) {
            Slot storage slot = _slots[i];
            if (slot.ended || slot.evse != evse || slot.from == from || slot.from % RING != from % RING) continue;
            if (_isHeld(slot)) _endUnused(slot, true);
            slot.ended = true;
        }
    }
}
