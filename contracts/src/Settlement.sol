// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";
import {
    Amendment,
    Bill,
    Flexibility,
    IAssetRegistry,
    IBookings,
    ICertificates,
    ISettlement,
    MeterReading,
    OcmfKey,
    OcmfRecord,
    Request,
    RewardEvidence,
    SessionState,
    SignedReading,
    Tariff,
    Terms
} from "./IProtocol.sol";
import {Wallets} from "./Wallets.sol";
import {Amendments} from "./libraries/Amendments.sol";
import {Bills} from "./libraries/Bills.sol";
import {Claims} from "./libraries/Claims.sol";
import {Hashes} from "./libraries/Hashes.sol";
import {Ledger} from "./libraries/Ledger.sol";
import {Billed, Place} from "./libraries/LedgerWords.sol";
import {OcmfBills} from "./libraries/OcmfBills.sol";
import {Openings} from "./libraries/Openings.sol";
import {Readings} from "./libraries/Readings.sol";
import {Rewards} from "./libraries/Rewards.sol";
import {FlexibilityToken} from "./tokens/FlexibilityToken.sol";

/// @title Settlement
/// @notice Holds, sessions and bills. It has no administrator and no proxy.
///
/// A session is kept as one word at a place of its EVSE: the hash of its terms, later of its terms and bill, the time and
/// the state. Whoever acts on it presents what was hashed. Places are used again when their sessions are final, so that a
/// session in steady state writes no new slot.
///
/// What calls nobody but the registry and its own bookings takes no lock; it must only not run while tokens move.
contract Settlement is Wallets, Multicall {
    using Ledger for Ledger.Books;

    uint256 public constant MAX_STAY = Openings.MAX_STAY;
    uint256 public constant RECLAIM_GRACE = Amendments.RECLAIM_GRACE;
    uint256 public constant MAX_HOLD = Openings.MAX_HOLD;
    uint256 public constant MAX_OPEN_DELAY = Bills.MAX_OPEN_DELAY;
    uint256 public constant DISPUTE_WINDOW = Ledger.DISPUTE_WINDOW;
    uint256 public constant CLAIM_WINDOW = Ledger.CLAIM_WINDOW;
    uint256 public constant MINT_GRACE = Ledger.MINT_GRACE;
    uint256 public constant MAX_PLACES = Ledger.MAX_PLACES;
    uint256 public constant MAX_READINGS = Readings.MAX_READINGS;

    IAssetRegistry public immutable registry;
    ICertificates public immutable certificates;
    IBookings private immutable _bookings;
    FlexibilityToken private immutable _flexibility;
    uint256 private immutable _protocolFeeBps;

    /// @param certificates_ Who knows whether schedules were certified; zero when nobody does, and then flexibility earns
    /// nothing.
    constructor(IAssetRegistry registry_, IERC20 credit_, ICertificates certificates_) Wallets(credit_) {
        registry = registry_;
        certificates = certificates_;
        _protocolFeeBps = registry_.protocolFeeBps();
        // Their code is in the linked libraries: with it this contract's own would be too long to deploy.
        _flexibility = Claims.deployToken(credit_);
        _bookings = Openings.deployBookings(registry_);
    }

    /// @inheritdoc ISettlement
    function openSession(Request calldata, Tariff calldata, bytes calldata)
        external
        nonReentrantView
        returns (bytes32 session)
    {
        return Openings.open(_books, msg.data[4:], _domainSeparatorV4(), registry, _bookings);
    }

    /// @inheritdoc ISettlement
    function amendFor(Terms calldata, Amendment calldata, bytes calldata) external nonReentrant {
        Amendments.amend(_books, msg.data[4:], _domainSeparatorV4(), _bookings);
    }

    /// @inheritdoc ISettlement
    function keepOpen(Terms calldata, SignedReading calldata) external nonReentrant {
        Amendments.keepOpen(_books, msg.data[4:], registry);
    }

    /// @inheritdoc ISettlement
    function settle(Terms calldata presented, Tariff calldata tariff, SignedReading[] calldata readings)
        external
        nonReentrantView
        returns (bytes32 receipt)
    {
        Terms memory terms = _books.active(presented);
        Readings.Stay memory stay = Readings.stayOf(terms, tariff, readings);
        return Bills.settle(_books, terms, tariff, stay, registry, _protocolFeeBps);
    }

    /// @inheritdoc ISettlement
    function settleOcmf(Terms calldata, Tariff calldata, OcmfKey calldata, OcmfRecord[] calldata)
        external
        nonReentrantView
        returns (bytes32 receipt)
    {
        return OcmfBills.settle(_books, msg.data[4:], registry, _protocolFeeBps);
    }

    /// @inheritdoc ISettlement
    function dispute(Terms calldata, Bill calldata, Tariff calldata, SignedReading[] calldata) external nonReentrant {
        Claims.dispute(_books, msg.data[4:], _protocolFeeBps);
    }

    /// @inheritdoc ISettlement
    function disputeOcmf(Terms calldata, Bill calldata, Tariff calldata, OcmfKey calldata, OcmfRecord[] calldata)
        external
        nonReentrant
    {
        OcmfBills.dispute(_books, msg.data[4:], _protocolFeeBps);
    }

    /// @inheritdoc ISettlement
    function claimFlexibility(Terms calldata, Bill calldata, Flexibility calldata) external nonReentrant {
        Claims.claimFlexibility(_books, msg.data[4:], registry, certificates);
    }

    /// @inheritdoc ISettlement
    function disputeReward(Terms calldata, Bill calldata, RewardEvidence calldata) external nonReentrant {
        Rewards.dispute(_books, msg.data[4:], registry);
    }

    /// @inheritdoc ISettlement
    function mintReward(Terms calldata, Bill calldata) external nonReentrant {
        Claims.mintReward(_books, msg.data[4:], registry, certificates, _flexibility);
    }

    /// @inheritdoc ISettlement
    function reclaim(Terms calldata) external nonReentrant {
        Amendments.reclaim(_books, msg.data[4:]);
    }

    /// @inheritdoc ISettlement
    function claim(bytes32 site) external nonReentrant {
        Claims.claim(_books, site, registry);
    }

    /// @inheritdoc ISettlement
    function holdForBooking(address driver, uint128 amount) external {
        _requireBookings();

        _books.hold(driver, amount);

        emit BookingHeld(driver, amount);
    }

    /// @inheritdoc ISettlement
    function releaseFromBooking(address driver, uint128 refund, bytes32 site, uint128 fee) external {
        _requireBookings();

        _books.release(driver, refund, site, fee);
    }

    /// @inheritdoc ISettlement
    function openAt(bytes32 evse) external view returns (bool open, uint16 place) {
        place = _books.cursors[evse].place;
        open = _books.places[evse][place].state() == SessionState.Active;
    }

    /// @inheritdoc ISettlement
    function placeAt(bytes32 evse, uint16 index)
        external
        view
        returns (bytes26 commitment, uint40 time, SessionState state)
    {
        Place place = _books.places[evse][index];
        return (place.commitment(), uint40(place.time()), place.state());
    }

    /// @inheritdoc ISettlement
    function claimableOf(bytes32 site) external view returns (uint256 claimable, uint256 pending) {
        return Claims.claimableOf(_books, site);
    }

    /// @inheritdoc ISettlement
    function billedOf(bytes32 evse, bytes32 meter)
        external
        view
        returns (uint64 importMilliWh, uint64 exportMilliWh, uint48 transactionCounter, uint48 fiscalCounter)
    {
        Billed billed = _books.billed[evse][meter];
        importMilliWh = uint64(billed.importMilliWh());
        exportMilliWh = uint64(billed.exportMilliWh());
        transactionCounter = uint48(billed.transactionCounter());
        fiscalCounter = uint48(billed.fiscalCounter());
    }

    /// @inheritdoc ISettlement
    function flexibility() external view returns (address) {
        return address(_flexibility);
    }

    /// @inheritdoc ISettlement
    function bookings() external view returns (address) {
        return address(_bookings);
    }

    /// @inheritdoc ISettlement
    function readingHash(MeterReading calldata reading) external pure returns (bytes32) {
        return Hashes.digest(reading);
    }

    /// @inheritdoc ISettlement
    function sessionId(Request calldata request) public view returns (bytes32) {
        return _hashTypedDataV4(Hashes.structHash(request));
    }

    /// @inheritdoc ISettlement
    function amendmentHash(Amendment calldata amendment) public view returns (bytes32) {
        return _hashTypedDataV4(Hashes.structHash(amendment));
    }

    function _requireBookings() private view {
        require(msg.sender == address(_bookings), NotBookings(msg.sender));
    }
}
