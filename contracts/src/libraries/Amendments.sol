// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {
    Amendment,
    IAssetRegistry,
    IBookings,
    ISettlement,
    ReadingContext,
    RIGHT_SETTLE,
    SessionState,
    SignedReading,
    Terms
} from "../IProtocol.sol";
import {Hashes} from "./Hashes.sol";
import {Ledger} from "./Ledger.sol";
import {Openings} from "./Openings.sol";
import {Readings} from "./Readings.sol";
import {Signatures} from "./Signatures.sol";

/// @title How an open session may change, or end unsettled
/// @notice By its driver's signature, by a reading that shows that the car is still there, or because nobody settled. Linked
/// to Settlement and run on its books, like `Claims`.
library Amendments {
    using Ledger for Ledger.Books;

    /// @dev What an oracle that was down has to catch up in, before the hold goes back.
    uint256 internal constant RECLAIM_GRACE = 1 days;

    /// @dev The arguments of a call are laid out like a struct's members: seen as one, they stay where they are until used.
    struct Change {
        Terms terms;
        Amendment amendment;
        bytes signature;
    }

    /// @dev As Change.
    struct Presence {
        Terms terms;
        SignedReading reading;
    }

    /// @notice See ISettlement.amendFor.
    /// @param arguments abi.encode(Terms, Amendment, bytes signature).
    /// @param domainSeparator Settlement's: the amendment is addressed to it.
    function amend(Ledger.Books storage books, bytes calldata arguments, bytes32 domainSeparator, IBookings bookings)
        external
    {
        Change calldata change;
        assembly ("memory-safe") {
            change := arguments.offset
        }
        Terms memory terms = books.active(change.terms);
        Amendment memory amendment = change.amendment;
        bytes32 digest = MessageHashUtils.toTypedDataHash(domainSeparator, Hashes.structHash(amendment));
        // A departure that has passed stays, or whoever overstays would sign the idle fee away before settlement.
        uint256 until = block.timestamp > terms.departure ? terms.departure : terms.openedAt + Openings.MAX_STAY;
        require(amendment.session == terms.session, ISettlement.TermsMismatch(terms.session));
        require(
            amendment.departure >= block.timestamp && amendment.departure <= until,
            ISettlement.BadDeparture(amendment.departure, block.timestamp, until)
        );
        Signatures.requireValid(digest, terms.driver, amendment.validUntil, change.signature);
        books.useNonce(terms.driver, amendment.nonce);
        // Who leaves earlier takes nobody's time.
        if (amendment.departure > terms.departure) bookings.requireFree(terms.evse, terms.driver, amendment.departure);

        terms.energyWh = amendment.energyWh;
        terms.departure = amendment.departure;
        _amend(books, terms);
    }

    /// @notice See ISettlement.keepOpen.
    /// @param arguments abi.encode(Terms, SignedReading).
    function keepOpen(Ledger.Books storage books, bytes calldata arguments, IAssetRegistry registry) external {
        Presence calldata presence;
        assembly ("memory-safe") {
            presence := arguments.offset
        }
        Terms memory terms = books.active(presence.terms);
        uint40 time = presence.reading.time;
        uint256 previous = Math.max(terms.departure, terms.lastReading);
        // Whoever has the meter's key shall not keep a hold for ever.
        uint256 until = Math.min(block.timestamp, terms.openedAt + Openings.MAX_STAY);
        require(
            registry.isAuthorised(terms.site, msg.sender, RIGHT_SETTLE),
            ISettlement.NotAuthorised(terms.site, msg.sender, RIGHT_SETTLE)
        );
        Readings.requireSigned(terms, presence.reading, ReadingContext.Interval);
        require(time <= until, ISettlement.OutsideSession(terms.session, time, terms.openedAt, until));
        require(time > previous, ISettlement.NotLater(terms.session, time, uint40(previous)));

        terms.lastReading = time;
        _amend(books, terms);
    }

    /// @notice See ISettlement.reclaim.
    /// @param arguments abi.encode(Terms).
    function reclaim(Ledger.Books storage books, bytes calldata arguments) external {
        Terms calldata presented;
        assembly ("memory-safe") {
            presented := arguments.offset
        }
        Terms memory terms = books.active(presented);
        // The departure was in the future when the session was opened, or amended.
        uint256 from = Math.max(terms.departure, terms.lastReading) + RECLAIM_GRACE;
        require(block.timestamp >= from, ISettlement.TooSoonToReclaim(terms.session, block.timestamp, from));

        books.write(terms.evse, terms.place, Ledger.hashOf(terms), SessionState.Reclaimed);
        books.credit(terms.driver, terms.held);

        emit ISettlement.SessionReclaimed(terms.site, terms.driver, terms.evse, terms.session, terms.held);
    }

    function _amend(Ledger.Books storage books, Terms memory terms) private {
        books.write(terms.evse, terms.place, Ledger.hashOf(terms), SessionState.Active);

        emit ISettlement.SessionAmended(terms.site, terms.driver, terms.evse, terms);
    }
}
