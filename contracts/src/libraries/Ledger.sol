// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Bill, ISettlement, SessionState, Terms} from "../IProtocol.sol";
import {Billed, Bucket, Buckets, Place, Places} from "./LedgerWords.sol";
import {Nonces} from "./Nonces.sol";

/// @title What Settlement keeps
/// @notice Wallets, sessions, meters and bills in one struct, so that the parts of Settlement that are linked to it (`Claims`)
/// work on the same books. Money only ever moves within it; what enters and leaves is in `Wallets`.
library Ledger {
    /// @dev Long enough for a driver's app to be opened once after the night, and short enough to be paid by.
    uint256 internal constant DISPUTE_WINDOW = 2 days;
    /// @dev Flexibility is claimed in it: long enough for plans that are certified a day after their interval, and half a day
    /// short of the window in which a claim can be disputed.
    uint256 internal constant CLAIM_WINDOW = 36 hours;
    /// @dev Sessions of one EVSE that can be disputed at the same time: one every twelve minutes through the whole window finds
    /// a place in whatever order places were added.
    uint256 internal constant MAX_PLACES = 480;
    /// @dev What an oracle that was down has to catch up in, before the place of a session with a reward is used again.
    uint256 internal constant MINT_GRACE = 1 days;
    /// @dev Days that a ring of buckets keeps apart: three that can still be disputed, and one to empty.
    uint256 internal constant BUCKETS = 4;

    /// @dev One slot.
    struct Wallet {
        uint128 balance;
        uint128 threshold;
    }

    /// @dev Which place of an EVSE was opened last, and how many there are.
    struct Cursor {
        uint16 place;
        uint16 count;
    }

    /// @dev What a site's final bills came to and nobody has claimed.
    struct Claimable {
        uint128 amount;
        uint128 operatorFee;
        uint128 protocolFee;
    }

    struct Books {
        mapping(address account => Wallet) wallets;
        mapping(address account => mapping(uint256 word => uint256 bits)) nonces; // see `Nonces`
        mapping(bytes32 evse => Cursor) cursors;
        mapping(bytes32 evse => mapping(uint256 index => Place)) places;
        mapping(bytes32 evse => mapping(bytes32 meter => Billed)) billed;
        mapping(bytes32 site => Bucket[BUCKETS]) buckets;
        mapping(bytes32 site => Claimable) claimables;
    }

    /// @notice Adds to a wallet.
    /// @dev Cannot overflow: no more than `accounted` exists, which `Wallets` bounds.
    function credit(Books storage books, address account, uint256 amount) internal {
        if (amount == 0) return;
        unchecked {
            books.wallets[account].balance += uint128(amount);
        }
    }

    /// @notice Takes `amount` out of a wallet for a session or a booking.
    function hold(Books storage books, address account, uint128 amount) internal {
        Wallet storage stored = books.wallets[account];
        Wallet memory wallet = stored;
        require(wallet.balance >= amount, ISettlement.InsufficientBalance(account, wallet.balance, amount));
        if (amount == 0) return;

        uint128 left = wallet.balance - amount;
        stored.balance = left;

        if (left < wallet.threshold) emit ISettlement.LowBalance(account, left, wallet.threshold);
    }

    /// @notice Lets a booking's money go. What it costs to keep an EVSE free is the host's alone.
    function release(Books storage books, address driver, uint128 refund, bytes32 site, uint128 fee) internal {
        if (refund == 0 && fee == 0) return;

        credit(books, driver, refund);
        if (fee > 0) books.claimables[site].amount += fee;

        emit ISettlement.BookingReleased(driver, site, refund, fee);
    }

    /// @notice Marks a nonce of an account; reverts when it was used.
    function useNonce(Books storage books, address account, uint64 nonce) internal {
        Nonces.use(books.nonces[account], account, nonce);
    }

    /// @notice The place of the EVSE's next session: the one after the last if its session is final, else a new one.
    function nextPlace(Books storage books, bytes32 evse) internal returns (uint16) {
        Cursor memory cursor = books.cursors[evse];
        if (cursor.count == 0) {
            books.cursors[evse] = Cursor(0, 1);
            return 0;
        }
        require(books.places[evse][cursor.place].state() != SessionState.Active, ISettlement.EvseBusy(evse));
        uint256 next = (uint256(cursor.place) + 1) % cursor.count;
        if (!_isFinal(books.places[evse][next])) next = cursor.count;
        require(next < MAX_PLACES, ISettlement.TooManySessions(evse, MAX_PLACES));

        uint256 count = next == cursor.count ? next + 1 : cursor.count;
        books.cursors[evse] = Cursor(uint16(next), uint16(count));
        return uint16(next);
    }

    /// @notice Writes what a session's place commits to, and its state.
    function write(Books storage books, bytes32 evse, uint16 place, bytes32 commitment, SessionState state) internal {
        books.places[evse][place] = Places.pack(commitment, block.timestamp, state);
    }

    /// @notice The terms of an open session, as presented; reverts when its place commits to others.
    function active(Books storage books, Terms calldata presented) internal view returns (Terms memory terms) {
        terms = _load(presented);
        _requirePlace(books, terms, SessionState.Active, hashOf(terms));
    }

    /// @notice The terms of a settled session, as presented; reverts when its place commits to others or to another bill.
    function settled(Books storage books, Terms calldata presented, Bill memory bill)
        internal
        view
        returns (Terms memory terms)
    {
        terms = _load(presented);
        _requirePlace(books, terms, SessionState.Settled, receiptOf(terms, bill));
    }

    /// @notice Replaces a settled session's bill, and leaves its time.
    function rewrite(Books storage books, Terms memory terms, Bill memory bill) internal {
        Place place = books.places[terms.evse][terms.place];
        books.places[terms.evse][terms.place] = Places.pack(receiptOf(terms, bill), place.time(), place.state());
    }

    /// @notice Keeps the place of a settled session until its reward can have been minted: the terms and the bill that a
    /// minter presents are known by it alone.
    function extend(Books storage books, Terms memory terms, Bill memory bill) internal {
        books.places[terms.evse][terms.place] =
            Places.pack(receiptOf(terms, bill), bill.settledAt + MINT_GRACE, SessionState.Settled);
    }

    /// @notice Adds a bill to its site's bucket of the day. What an older day left there is final by now.
    function collect(Books storage books, bytes32 site, Bill memory bill) internal {
        uint256 today = block.timestamp / 1 days;
        uint256 index = today % BUCKETS;
        Bucket[BUCKETS] storage ring = books.buckets[site];
        Bucket bucket = ring[index];
        if (bucket.day() != uint8(today)) bucket = _emptied(books, site, bucket);

        unchecked {
            ring[index] = Buckets.pack(
                bucket.amount() + bill.amount,
                bucket.operatorFee() + bill.operatorFee,
                bucket.protocolFee() + bill.protocolFee,
                today
            );
        }
    }

    /// @notice Takes what a corrected bill is less out of the bucket of the day of settlement.
    /// @dev Within the dispute window that bucket cannot have been emptied.
    function reduce(Books storage books, bytes32 site, Bill memory from, Bill memory to) internal {
        uint256 index = from.settledAt / 1 days % BUCKETS;
        Bucket bucket = books.buckets[site][index];
        books.buckets[site][index] = Buckets.pack(
            bucket.amount() - (from.amount - to.amount),
            bucket.operatorFee() - (from.operatorFee - to.operatorFee),
            bucket.protocolFee() - (from.protocolFee - to.protocolFee),
            bucket.day()
        );
    }

    /// @notice Moves what can no longer be disputed to what the site can claim.
    function empty(Books storage books, bytes32 site) internal {
        for (uint256 i; i < BUCKETS; ++i) {
            Bucket bucket = books.buckets[site][i];
            if (!isPending(bucket.day())) books.buckets[site][i] = _emptied(books, site, bucket);
        }
    }

    /// @dev Keeps the day, so that the slot is not given up.
    function _emptied(Books storage books, bytes32 site, Bucket bucket) private returns (Bucket) {
        if (bucket.amount() == 0) return bucket;
        Claimable storage due = books.claimables[site];
        due.amount += uint128(bucket.amount());
        due.operatorFee += uint128(bucket.operatorFee());
        due.protocolFee += uint128(bucket.protocolFee());
        return Buckets.pack(0, 0, 0, bucket.day());
    }

    /// @notice Whether bills of a day can still be disputed: of today and of the two days before, because the window may
    /// reach into the third day after.
    function isPending(uint8 day) internal view returns (bool) {
        unchecked {
            return uint8(uint8(block.timestamp / 1 days) - day) < BUCKETS - 1;
        }
    }

    /// @notice keccak256(abi.encode(terms)), which the place of an open or reclaimed session commits to.
    /// @dev Terms and bill have members of static types only, so that in memory they are their own ABI encoding: hashing that
    /// costs a tenth of encoding it again. Tests compare.
    function hashOf(Terms memory terms) internal pure returns (bytes32 digest) {
        assembly ("memory-safe") {
            digest := keccak256(terms, 512) // 16 members
        }
    }

    /// @notice keccak256(abi.encode(terms, bill)), which the place of a settled session commits to.
    function receiptOf(Terms memory terms, Bill memory bill) internal pure returns (bytes32 digest) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mcopy(free, terms, 512)
            mcopy(add(free, 512), bill, 384) // 12 members
            digest := keccak256(free, 896)
        }
    }

    /// @dev As they come, without a look at unused bits: with anything in them these are words that nothing commits to, and
    /// nothing is done before that is known.
    function _load(Terms calldata presented) private pure returns (Terms memory terms) {
        assembly ("memory-safe") {
            terms := mload(0x40)
            mstore(0x40, add(terms, 512))
            calldatacopy(terms, presented, 512)
        }
    }

    function _requirePlace(Books storage books, Terms memory terms, SessionState expected, bytes32 commitment)
        private
        view
    {
        Place place = books.places[terms.evse][terms.place];
        SessionState state = place.state();
        require(state == expected, ISettlement.WrongState(terms.session, state, expected));
        require(place.commitment() == bytes26(commitment), ISettlement.TermsMismatch(terms.session));
    }

    function _isFinal(Place place) private view returns (bool) {
        return place.state() == SessionState.Reclaimed || block.timestamp > place.time() + DISPUTE_WINDOW;
    }
}
