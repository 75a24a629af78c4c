// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {
    IAssetRegistry,
    IBookings,
    ISettlement,
    Offer,
    Request,
    RIGHT_SETTLE,
    SessionState,
    Status,
    Tariff,
    Terms
} from "../IProtocol.sol";
import {Bookings} from "../Bookings.sol";
import {Hashes} from "./Hashes.sol";
import {Ledger} from "./Ledger.sol";
import {Signatures} from "./Signatures.sol";
import {Tariffs} from "./Tariffs.sol";

/// @title How a session begins
/// @notice By what its driver signed and what the registry offers, which must be the same. Linked to Settlement and run on its
/// books: a part of it that has found room elsewhere.
library Openings {
    using Ledger for Ledger.Books;

    /// @dev Longer stays are parking; and `Bookings` looks through the days of a stay one by one.
    uint256 internal constant MAX_STAY = 7 days;
    /// @dev Bounds what sums of bills can reach; a million tokens of 18 decimals.
    uint256 internal constant MAX_HOLD = 1e24;

    /// @dev The arguments of a call are laid out like a struct's members: seen as one, they stay where they are until used.
    struct Opening {
        Request request;
        Tariff tariff;
        bytes signature;
    }

    /// @notice Deploys the bookings, in the name of Settlement.
    function deployBookings(IAssetRegistry registry) external returns (IBookings) {
        return new Bookings(registry, ISettlement(address(this)));
    }

    /// @notice See ISettlement.openSession.
    /// @param arguments abi.encode(Request, Tariff, bytes signature).
    /// @param domainSeparator Settlement's: the request is addressed to it.
    function open(
        Ledger.Books storage books,
        bytes calldata arguments,
        bytes32 domainSeparator,
        IAssetRegistry registry,
        IBookings bookings
    ) external returns (bytes32 session) {
        Opening calldata opening;
        assembly ("memory-safe") {
            opening := arguments.offset
        }
        Request memory request = opening.request;
        session = MessageHashUtils.toTypedDataHash(domainSeparator, Hashes.structHash(request));
        Offer memory offer = registry.offerOf(request.evse, request.driver, msg.sender);
        require(offer.authorised, ISettlement.NotAuthorised(offer.site, msg.sender, RIGHT_SETTLE));
        Signatures.requireValid(session, request.driver, request.validUntil, opening.signature);
        _requireOffered(request, opening.tariff, offer);
        _requireDeparture(request.departure);
        books.useNonce(request.driver, request.nonce);
        _enter(books, bookings, _termsOf(session, request, offer), opening.tariff);
    }

    function _enter(Ledger.Books storage books, IBookings bookings, Terms memory terms, Tariff calldata tariff)
        private
    {
        terms.place = books.nextPlace(terms.evse);
        books.write(terms.evse, terms.place, Ledger.hashOf(terms), SessionState.Active);
        (uint128 refund, uint128 fee) = bookings.checkIn(terms.evse, terms.driver, terms.departure);
        books.release(terms.driver, refund, terms.site, fee);
        books.hold(terms.driver, terms.held);

        emit ISettlement.SessionOpened(terms.site, terms.driver, terms.evse, terms, tariff);
    }

    /// @dev Who charges free has nothing held, pays at most what is held, and earns nothing for its flexibility.
    function _termsOf(bytes32 session, Request memory request, Offer memory offer)
        private
        view
        returns (Terms memory terms)
    {
        terms.session = session;
        terms.site = offer.site;
        terms.evse = request.evse;
        terms.meter = request.meter;
        terms.driver = request.driver;
        terms.settler = msg.sender;
        terms.energyWh = request.energyWh;
        terms.openedAt = uint40(block.timestamp);
        terms.departure = request.departure;
        terms.operatorFeeBps = offer.operatorFeeBps;
        if (!offer.free) (terms.held, terms.rewardBps) = (request.totalCeiling, offer.rewardBps);
        terms.rewardCap = offer.rewardCap;
        terms.tariffHash = offer.tariffHash;
    }

    function _requireOffered(Request memory request, Tariff calldata tariff, Offer memory offer) private pure {
        bytes32 evse = request.evse;
        bytes32 presented = Tariffs.hash(tariff);
        uint64 highest = Tariffs.highestPrice(tariff);
        require(!offer.paused, ISettlement.Paused());
        require(offer.isEvse, ISettlement.UnknownEvse(evse));
        require(!offer.removed && offer.status == Status.Available, ISettlement.EvseUnavailable(evse, offer.status));
        require(offer.admitted, ISettlement.NotAdmitted(evse, request.driver));
        require(request.meter == offer.meter, ISettlement.MeterChanged(evse, request.meter, offer.meter));
        require(
            request.tariffHash == offer.tariffHash,
            ISettlement.TariffChanged(evse, request.tariffHash, offer.tariffHash)
        );
        require(presented == offer.tariffHash, ISettlement.TariffChanged(evse, presented, offer.tariffHash));
        require(highest <= request.priceCeiling, ISettlement.PriceAboveCeiling(highest, request.priceCeiling));
        require(request.totalCeiling <= MAX_HOLD, ISettlement.AmountTooLarge(request.totalCeiling, MAX_HOLD));
    }

    function _requireDeparture(uint40 departure) private view {
        uint256 from = block.timestamp + 1;
        uint256 until = block.timestamp + MAX_STAY;
        require(departure >= from && departure <= until, ISettlement.BadDeparture(departure, from, until));
    }
}
