// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {
    Booking,
    BookingRequest,
    BookingTerms,
    BPS,
    Cancellation,
    IAssetRegistry,
    IBookings,
    INTERVAL_S,
    ISettlement,
    Offer,
    Status
} from "./IProtocol.sol";
import {Record, Records, TermsWord, TermsWords} from "./libraries/BookingWords.sol";
import {Calendar, DAY, RING_DAYS} from "./libraries/Calendar.sol";
import {Nonces} from "./libraries/Nonces.sol";
import {Signatures} from "./libraries/Signatures.sol";

/// @title Bookings
/// @notice Exclusive runs of intervals on an EVSE. It has no administrator and holds no money: Settlement does.
contract Bookings is IBookings {
    using Calendar for uint256[RING_DAYS];

    /// @notice Days that can be booked, today included: the ring, less yesterday.
    uint256 public constant MAX_AHEAD_DAYS = RING_DAYS - 1;
    /// @notice Most intervals of a booking: a day, so that it lies in at most two words.
    uint256 public constant MAX_COUNT = DAY;
    /// @notice A driver may be late by a traffic jam; longer would keep an EVSE empty that others wait for.
    uint256 public constant NO_SHOW_GRACE = 30 minutes;
    /// @notice Highest deposit: with 96 times the highest price, less than 2^71, it still fits a record.
    uint256 public constant MAX_DEPOSIT = 1 << 71;

    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant NAME_HASH = keccak256("Provolt bookings");
    bytes32 private constant VERSION_HASH = keccak256("1");
    bytes32 private constant BOOKING_REQUEST_TYPEHASH = keccak256(
        "BookingRequest(address driver,bytes32 evse,uint32 from,uint16 count,uint8 version,uint128 totalCeiling,uint64 nonce,uint40 validUntil)"
    );
    bytes32 private constant CANCELLATION_TYPEHASH =
        keccak256("Cancellation(address driver,bytes32 evse,uint32 from,uint64 nonce,uint40 validUntil)");

    /// @dev Intervals in the ring.
    uint256 private constant RING = RING_DAYS * DAY;
    uint256 private constant VERSIONS = 256;
    /// @dev A word of prices: three of them from the lowest bit, and above them the index of the first divided by three.
    uint256 private constant PRICES_PER_WORD = 3;
    uint256 private constant PRICE_BITS = 64;
    uint256 private constant PRICE_TAG_SHIFT = PRICES_PER_WORD * PRICE_BITS;
    /// @dev The price of an interval that has none of its own.
    uint256 private constant NO_PRICE = type(uint64).max;

    /// @dev Everything of one EVSE. The rings are as long as the calendar, so that after their first round nothing writes a
    /// new slot.
    struct Evse {
        TermsWord terms;
        uint256[RING_DAYS] calendar;
        Record[RING] records;
        uint256[RING / PRICES_PER_WORD] prices;
        TermsWord[VERSIONS] archive;
    }

    IAssetRegistry public immutable registry;
    ISettlement public immutable settlement;

    mapping(bytes32 evse => Evse) private _evses;
    /// @dev 256 nonces to a word.
    mapping(address account => mapping(uint256 word => uint256 bits)) private _nonces;

    constructor(IAssetRegistry registry_, ISettlement settlement_) {
        registry = registry_;
        settlement = settlement_;
    }

    /// @inheritdoc IBookings
    function book(bytes32 evse, uint32 from, uint16 count, uint8 version, uint128 totalCeiling) external {
        _book(BookingRequest(msg.sender, evse, from, count, version, totalCeiling, 0, 0));
    }

    /// @inheritdoc IBookings
    function bookFor(BookingRequest memory request, bytes calldata signature) external {
        _useSignature(request.driver, bookingHash(request), signature, request.nonce, request.validUntil);
        _book(request);
    }

    /// @inheritdoc IBookings
    function cancel(bytes32 evse, uint32 from) external {
        _cancel(evse, msg.sender, from);
    }

    /// @inheritdoc IBookings
    function cancelFor(Cancellation memory cancellation, bytes calldata signature) external {
        bytes32 digest = cancellationHash(cancellation);
        _useSignature(cancellation.driver, digest, signature, cancellation.nonce, cancellation.validUntil);
        _cancel(cancellation.evse, cancellation.driver, cancellation.from);
    }

    /// @inheritdoc IBookings
    function noShow(bytes32 evse, uint32 from) external {
        Record record = _recordAt(evse, from);
        uint256 until = from * INTERVAL_S + NO_SHOW_GRACE;
        require(record.driver() != address(0), NoBooking(evse, from));
        require(block.timestamp >= until, TooSoonForNoShow(evse, from, block.timestamp, until));
        (bool served, bytes32 site) = _isServed(evse, record, from);
        uint256 fee = served ? _feeOf(evse, record, from) : 0;

        _free(evse, from, record);

        _releaseNoShow(evse, from, record, site, fee);
    }

    /// @inheritdoc IBookings
    function blockIntervals(bytes32 evse, uint32 from, uint16 count) external {
        bytes32 site = _requireOwner(evse);
        _requireInside(from, count, MAX_COUNT);

        Record lapsed = _take(_evses[evse], evse, from, Records.pack(address(0), 0, count, 0, from / RING));

        emit Blocked(evse, from, count);

        if (lapsed.isOpen()) _endLapsed(evse, from, lapsed, site);
    }

    /// @inheritdoc IBookings
    function unblockIntervals(bytes32 evse, uint32 from) external {
        Record record = _recordAt(evse, from);
        _requireOwner(evse);
        require(record.driver() == address(0), NotBooker(evse, from, record.driver(), msg.sender));

        _free(evse, from, record);

        emit Unblocked(evse, from, uint16(record.count()));
    }

    /// @inheritdoc IBookings
    function setTerms(bytes32 evse, BookingTerms memory terms) external {
        Evse storage place = _evses[evse];
        TermsWord current = place.terms;
        uint256 version = (current.version() + 1) % VERSIONS;
        uint256 interval = block.timestamp / INTERVAL_S;
        _requireOwner(evse);
        _requireAtMost(terms.deposit, MAX_DEPOSIT);
        _requireAtMost(terms.cancelBefore, MAX_AHEAD_DAYS * 1 days);
        _requireAtMost(terms.noShowBps, BPS);
        _requireAtMost(terms.maxCount, MAX_COUNT);
        // The terms that had this version before ended when their successors began; what was booked under them lies in the
        // calendar of that day.
        uint256 until = _calendarEnd(place.archive[(version + 1) % VERSIONS].since());
        require(interval >= until, TermsTooOften(evse, until));

        place.archive[current.version()] = current;
        place.terms = TermsWords.pack(terms, version, interval, current.pricedUntil());

        emit BookingTermsSet(evse, terms, uint8(version));
    }

    /// @inheritdoc IBookings
    function setPrices(bytes32 evse, uint32 from, uint64[] calldata prices) external {
        Evse storage place = _evses[evse];
        _requireOwner(evse);
        _requireInside(from, prices.length, MAX_COUNT);

        for (uint256 i; i < prices.length; ++i) {
            (uint256 word, uint256 index, uint256 shift) = _pricesAt(place, from + i);
            place.prices[index] = (word & ~(NO_PRICE << shift)) | (uint256(prices[i]) << shift);
        }
        place.terms = place.terms.withPricedUntil(Math.max(place.terms.pricedUntil(), from + prices.length));

        emit PricesSet(evse, from, prices);
    }

    /// @inheritdoc IBookings
    function checkIn(bytes32 evse, address driver, uint40 departure) external returns (uint128 refund, uint128 fee) {
        require(msg.sender == address(settlement), NotSettlement(msg.sender));

        (uint256 next, uint256 end) = _stay(departure);
        while (next < end) {
            uint256 from;
            Record record;
            (from, next, record) = _nextOwn(evse, driver, next, end);
            if (!record.isOpen()) continue;

            _evses[evse].records[from % RING] = record.checkedIn();
            uint256 deposit = _termsAt(evse, record.version()).deposit();
            uint256 price = record.held() - deposit;
            refund += uint128(deposit);
            fee += uint128(price);

            emit CheckedIn(evse, driver, uint32(from), deposit, price);
        }
    }

    /// @inheritdoc IBookings
    function requireFree(bytes32 evse, address driver, uint40 departure) external view {
        (uint256 next, uint256 end) = _stay(departure);
        while (next < end) (, next,) = _nextOwn(evse, driver, next, end);
    }

    /// @inheritdoc IBookings
    function quote(bytes32 evse, uint32 from, uint16 count) external view returns (uint256 price, uint256 deposit) {
        require(count <= MAX_COUNT, BadCount(count, MAX_COUNT));
        Evse storage place = _evses[evse];
        TermsWord terms = place.terms;
        return (_priceOf(place, terms, from, count), terms.deposit());
    }

    /// @inheritdoc IBookings
    function bookingAt(bytes32 evse, uint32 interval) external view returns (Booking memory booking) {
        uint256 from = _evses[evse].calendar.startOf(interval);
        Record record = _evses[evse].records[from % RING];
        require(record.round() == uint8(from / RING), NoBooking(evse, interval));
        require(interval < from + record.count(), NoBooking(evse, interval));
        booking.driver = record.driver();
        booking.from = uint32(from);
        booking.count = uint16(record.count());
        if (booking.driver == address(0)) return booking;

        TermsWord terms = _termsAt(evse, record.version());
        booking.checkedIn = record.isCheckedIn();
        // Terms may be forgotten, but not before the booking has long been over.
        booking.deposit = uint72(Math.min(terms.deposit(), record.held()));
        booking.price = uint72(record.held()) - booking.deposit;
        booking.noShowBps = uint16(terms.noShowBps());
        booking.cancelBefore = uint24(terms.cancelBefore());
    }

    /// @inheritdoc IBookings
    function takenOn(bytes32 evse, uint256 day) public view returns (uint96 taken) {
        return _evses[evse].calendar.takenOn(day);
    }

    /// @inheritdoc IBookings
    function termsOf(bytes32 evse) external view returns (BookingTerms memory terms, uint8 version) {
        TermsWord word = _evses[evse].terms;
        terms.deposit = uint72(word.deposit());
        terms.pricePerInterval = uint64(word.pricePerInterval());
        terms.cancelBefore = uint24(word.cancelBefore());
        terms.noShowBps = uint16(word.noShowBps());
        terms.maxCount = uint8(word.maxCount());
        version = uint8(word.version());
    }

    /// @inheritdoc IBookings
    function statusOf(bytes32 evse) external view returns (Status status) {
        status = _ownStatusOf(evse);
        if (status != Status.Available) return status;

        uint256 interval = block.timestamp / INTERVAL_S;
        if (_isOccupied(evse)) return Status.Occupied;
        if (_evses[evse].calendar.nextTaken(interval, interval + 1) == interval) return Status.Reserved;
    }

    /// @inheritdoc IBookings
    /// @dev Members of static types only: the ABI encoding of the struct is that of its members in order.
    function bookingHash(BookingRequest memory request) public view returns (bytes32) {
        return _digest(keccak256(abi.encode(BOOKING_REQUEST_TYPEHASH, request)));
    }

    /// @inheritdoc IBookings
    function cancellationHash(Cancellation memory cancellation) public view returns (bytes32) {
        return _digest(keccak256(abi.encode(CANCELLATION_TYPEHASH, cancellation)));
    }

    /// @inheritdoc IBookings
    function isNonceUsed(address account, uint64 nonce) external view returns (bool) {
        return Nonces.isUsed(_nonces[account], nonce);
    }

    function _book(BookingRequest memory request) private {
        Evse storage place = _evses[request.evse];
        (Record record, uint256 price, bytes32 site) = _requireOffer(place, request);

        Record lapsed = _take(place, request.evse, request.from, record);

        uint256 held = record.held();
        emit Booked(request.evse, request.driver, request.from, request.count, uint72(price), uint72(held - price));

        if (held > 0) settlement.holdForBooking(request.driver, uint128(held));
        if (lapsed.isOpen()) _endLapsed(request.evse, request.from, lapsed, site);
    }

    function _cancel(bytes32 evse, address driver, uint32 from) private {
        Record record = _recordAt(evse, from);
        require(record.driver() == driver, NotBooker(evse, from, record.driver(), driver));
        require(block.timestamp < (from + record.count()) * INTERVAL_S, TooLateToCancel(evse, from));
        uint256 freeUntil = from * INTERVAL_S - _termsAt(evse, record.version()).cancelBefore();
        (bool served, bytes32 site) = _isServed(evse, record, from);
        uint256 fee = served && block.timestamp > freeUntil ? _feeOf(evse, record, from) : 0;

        _free(evse, from, record);

        emit Cancelled(evse, driver, from, record.held() - fee, fee);

        _release(record, site, fee);
    }

    /// @return lapsed What began at the same place of the ring before.
    function _take(Evse storage place, bytes32 evse, uint256 from, Record record) private returns (Record lapsed) {
        uint256 conflict = place.calendar.take(from, record.count());
        require(conflict == 0, IntervalTaken(evse, uint32(conflict)));

        lapsed = place.records[from % RING];
        place.records[from % RING] = record;
    }

    function _free(bytes32 evse, uint256 from, Record record) private {
        _evses[evse].calendar.free(from, record.count());
        _evses[evse].records[from % RING] = record.ended();
    }

    /// @dev A booking was over before its place in the ring could be taken again. If nobody had ended it, it is a no-show now,
    /// or its money would be forgotten.
    function _endLapsed(bytes32 evse, uint256 from, Record lapsed, bytes32 site) private {
        uint256 began = from - uint8(from / RING - lapsed.round()) * RING;
        _releaseNoShow(evse, began, lapsed, site, _feeOf(evse, lapsed, began));
    }

    function _releaseNoShow(bytes32 evse, uint256 from, Record record, bytes32 site, uint256 fee) private {
        emit NoShow(evse, record.driver(), uint32(from), record.held() - fee, fee);

        _release(record, site, fee);
    }

    function _release(Record record, bytes32 site, uint256 fee) private {
        if (record.held() == 0) return;
        settlement.releaseFromBooking(record.driver(), uint128(record.held() - fee), site, uint128(fee));
    }

    function _useSignature(address account, bytes32 digest, bytes calldata signature, uint64 nonce, uint40 validUntil)
        private
    {
        require(Signatures.isValid(account, digest, signature), BadSignature(digest, account));
        require(block.timestamp <= validUntil, SignatureExpired(validUntil, block.timestamp));

        Nonces.use(_nonces[account], account, nonce);
    }

    /// @dev What the host asks now must be what the driver has seen and allows.
    function _requireOffer(Evse storage place, BookingRequest memory request)
        private
        view
        returns (Record record, uint256 price, bytes32 site)
    {
        (uint256 from, uint256 count) = (request.from, request.count);
        TermsWord terms = place.terms;
        uint8 version = uint8(terms.version());
        bool allowed;
        bool isPaused;
        (allowed, isPaused, site) = _mayBook(request.evse, request.driver);
        require(!isPaused, Paused());
        require(allowed, NotAdmitted(request.evse, request.driver));
        require(request.version == version, TermsChanged(request.evse, request.version, version));
        _requireInside(from, count, terms.maxCount());
        price = _priceOf(place, terms, from, count);
        uint256 held = price + terms.deposit();
        require(held <= request.totalCeiling, AboveCeiling(held, request.totalCeiling));
        record = Records.pack(request.driver, held, count, version, from / RING);
    }

    /// @dev The next of the driver's own runs that a stay [from, end) touches; anybody else's refuses it. Without any, the
    /// record is empty and `next` is the end.
    /// @return start First interval of the run.
    /// @return next First interval behind it.
    function _nextOwn(bytes32 evse, address driver, uint256 from, uint256 end)
        private
        view
        returns (uint256 start, uint256 next, Record record)
    {
        Evse storage place = _evses[evse];
        uint256 taken = place.calendar.nextTaken(from, end);
        if (taken >= end) return (end, end, record);

        start = place.calendar.startOf(taken);
        record = place.records[start % RING];
        next = start + record.count();
        // What the host keeps belongs to whoever owns the site now.
        bool own = record.driver() == driver;
        if (record.driver() == address(0)) (own,) = _isOwner(evse, driver);
        require(own, IntervalTaken(evse, uint32(taken)));
    }

    /// @dev The booking that begins at `from` and can still be ended, or the host's own.
    function _recordAt(bytes32 evse, uint32 from) private view returns (Record record) {
        record = _evses[evse].records[from % RING];
        require(record.count() > 0 && record.round() == uint8(from / RING), NoBooking(evse, from));
        require(!record.isCheckedIn(), AlreadyCheckedIn(evse, from));
    }

    /// @dev The terms of a version: the present ones, or those that were kept when it ended.
    function _termsAt(bytes32 evse, uint256 version) private view returns (TermsWord terms) {
        terms = _evses[evse].terms;
        if (terms.version() != version) terms = _evses[evse].archive[version];
    }

    /// @dev Sum of the intervals' own prices, and of the host's for those that have none.
    function _priceOf(Evse storage place, TermsWord terms, uint256 from, uint256 count)
        private
        view
        returns (uint256 price)
    {
        if (from >= terms.pricedUntil()) return count * terms.pricePerInterval();
        for (uint256 i; i < count; ++i) {
            (uint256 word,, uint256 shift) = _pricesAt(place, from + i);
            uint256 own = word >> shift & NO_PRICE;
            price += own == NO_PRICE ? terms.pricePerInterval() : own;
        }
    }

    /// @dev The word in which an interval's price lies; that of others in its place reads as three times no price.
    function _pricesAt(Evse storage place, uint256 interval)
        private
        view
        returns (uint256 word, uint256 index, uint256 shift)
    {
        uint256 tag = interval / PRICES_PER_WORD;
        index = tag % (RING / PRICES_PER_WORD);
        shift = interval % PRICES_PER_WORD * PRICE_BITS;
        word = place.prices[index];
        if (word >> PRICE_TAG_SHIFT != tag) word = ((tag + 1) << PRICE_TAG_SHIFT) - 1;
    }

    /// @dev What a driver owes who does not use a booking, rounded down. Nothing when its terms were forgotten: they began
    /// before it did, and whatever has their version now was not set until the calendar of their time was over.
    function _feeOf(bytes32 evse, Record record, uint256 from) private view returns (uint256) {
        TermsWord terms = _termsAt(evse, record.version());
        return terms.since() < from ? record.held() * terms.noShowBps() / BPS : 0;
    }

    /// @dev Whether the driver could use the booking now. Of one that is over nobody knows any more, and who could not use it
    /// had all of it to cancel. A driver's own session that has outlasted its departure counts as somebody else's: who
    /// overstays pays for it by the tariff.
    function _isServed(bytes32 evse, Record record, uint256 from) private view returns (bool served, bytes32 site) {
        bool isPaused;
        (served, isPaused, site) = _mayBook(evse, record.driver());
        if (block.timestamp >= (from + record.count()) * INTERVAL_S) return (true, site);

        if (isPaused || _ownStatusOf(evse) != Status.Available) served = false;
        if (block.timestamp >= from * INTERVAL_S && _isOccupied(evse)) served = false;
    }

    /// @dev What the registry knows; a removed EVSE is unavailable.
    function _ownStatusOf(bytes32 evse) private view returns (Status) {
        Offer memory offer = registry.offerOf(evse, address(0), address(0));
        return offer.removed ? Status.Unavailable : offer.status;
    }

    function _isOccupied(bytes32 evse) private view returns (bool open) {
        (open,) = settlement.openAt(evse);
    }

    /// @dev In one place, because every call to another contract is code.
    function _mayBook(bytes32 evse, address account) private view returns (bool allowed, bool isPaused, bytes32 site) {
        return registry.mayBook(evse, account);
    }

    /// @dev Nobody but the owner of a site has the empty set of rights there.
    function _isOwner(bytes32 evse, address account) private view returns (bool isOwner, bytes32 site) {
        (,, site) = _mayBook(evse, account);
        isOwner = registry.isAuthorised(site, account, 0);
    }

    function _requireOwner(bytes32 evse) private view returns (bytes32) {
        (bool isOwner, bytes32 site) = _isOwner(evse, msg.sender);
        require(isOwner, NotOwner(evse, msg.sender));
        return site;
    }

    function _requireInside(uint256 from, uint256 count, uint256 max) private view {
        uint256 earliest = block.timestamp / INTERVAL_S + 1;
        uint256 end = _calendarEnd(earliest - 1);
        require(count > 0 && count <= max, BadCount(count, max));
        require(from >= earliest && from + count <= end, OutsideCalendar(uint32(from), earliest, end));
    }

    function _requireAtMost(uint256 value, uint256 max) private pure {
        require(value <= max, BadTerms(value, max));
    }

    /// @dev First interval that cannot be booked yet in interval `present`.
    function _calendarEnd(uint256 present) private pure returns (uint256) {
        return (present / DAY + MAX_AHEAD_DAYS) * DAY;
    }

    function _digest(bytes32 structHash) private view returns (bytes32) {
        bytes32 domain = keccak256(abi.encode(DOMAIN_TYPEHASH, NAME_HASH, VERSION_HASH, block.chainid, address(this)));
        return MessageHashUtils.toTypedDataHash(domain, structHash);
    }

    /// @dev Intervals that a stay from now until `departure` touches: [from, end), none when it ends now.
    function _stay(uint256 departure) private view returns (uint256 from, uint256 end) {
        from = block.timestamp / INTERVAL_S;
        end = departure > block.timestamp ? Math.ceilDiv(departure, INTERVAL_S) : from;
    }
}
