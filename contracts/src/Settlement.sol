// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {
    Asset,
    AssetKind,
    Flexibility,
    IAssetRegistry,
    INTERVAL_S,
    ISettlement,
    MeterReading,
    ReadingContext,
    Request,
    RIGHT_SETTLE,
    Session,
    SessionState
} from "./IProtocol.sol";
import {Hashes} from "./libraries/Hashes.sol";
import {FlexibilityToken} from "./tokens/FlexibilityToken.sol";

/// @title Settlement
/// @notice Wallets, holds and bills. It has no administrator: money leaves a wallet by its owner's call or signature only.
contract Settlement is ISettlement, EIP712, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;
    using SafeCast for uint256;

    /// @dev A car may begin to charge while the request is still on its way: a chain that stalls for an hour shall not make
    /// the session unbillable, and no longer, because the driver has signed nothing for the time before.
    uint256 public constant MAX_OPEN_DELAY = 1 hours;
    /// @dev What an oracle that was down has to catch up in, before the hold goes back.
    uint256 public constant RECLAIM_GRACE = 1 days;
    /// @dev Prices are per kilowatt-hour, registers in watt-hours.
    uint256 private constant WH_PER_KWH = 1000;

    /// @dev One slot. A threshold that no balance can reach is as good as any other.
    struct Wallet {
        uint128 balance;
        uint128 threshold;
    }

    /// @dev `Session` without what its EVSE and its digest tell.
    struct SessionRecord {
        bytes32 evse;
        address driver;
        uint64 price;
        uint32 energyWh;
        address meterKey;
        uint40 departure;
        uint40 openedAt;
        SessionState state;
        uint128 held;
    }

    /// @dev The last session at an EVSE, which may be over, and the last registers billed there. Kept when a session ends,
    /// so that the next one writes used slots only.
    struct EvseRecord {
        bytes32 lastSession;
        uint64 billedCounter;
        uint64 billedImportWh;
        uint64 billedExportWh;
    }

    /// @dev What a settlement comes to.
    struct Bill {
        bytes32 id;
        bytes32 site;
        bytes32 receipt;
        uint128 amount;
        uint128 refund;
    }

    IAssetRegistry public immutable registry;
    IERC20 private immutable _credit;
    FlexibilityToken private immutable _flexibility;

    /// @inheritdoc ISettlement
    /// @dev Opening, settling and reclaiming move money between wallets and holds, so only deposits and withdrawals count.
    uint256 public accounted;

    mapping(address account => Wallet) private _wallets;
    mapping(bytes32 session => SessionRecord) private _sessions;
    mapping(bytes32 evse => EvseRecord) private _evses;
    /// @dev 256 nonces to a word.
    mapping(address driver => mapping(uint256 word => uint256 bits)) private _nonces;

    constructor(IAssetRegistry registry_, IERC20 credit_) EIP712("Provolt", "1") {
        registry = registry_;
        _credit = credit_;
        _flexibility = new FlexibilityToken(address(this));
    }

    /// @inheritdoc ISettlement
    /// @dev The one function that calls out before it writes: what arrived is what counts. The guard keeps the token from
    /// re-entering meanwhile, and views never show money that has not come.
    function deposit(address account, uint256 amount) external nonReentrant {
        require(amount > 0, ZeroAmount());

        uint256 before = _credit.balanceOf(address(this));
        _credit.safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = _credit.balanceOf(address(this)) - before;
        require(received == amount, TransferMismatch(received, amount));

        accounted += amount;
        _wallets[account].balance += amount.toUint128();

        emit Deposited(account, msg.sender, amount);
    }

    /// @inheritdoc ISettlement
    function withdraw(address to, uint256 amount) external nonReentrant {
        Wallet storage wallet = _wallets[msg.sender];
        require(amount > 0, ZeroAmount());
        require(wallet.balance >= amount, InsufficientBalance(msg.sender, wallet.balance, amount));

        accounted -= amount;
        wallet.balance -= uint128(amount);

        emit Withdrawn(msg.sender, to, amount);

        _credit.safeTransfer(to, amount);
    }

    /// @inheritdoc ISettlement
    function setLowBalanceThreshold(uint256 threshold) external {
        _wallets[msg.sender].threshold = uint128(Math.min(threshold, type(uint128).max));

        emit LowBalanceThresholdSet(msg.sender, threshold);
    }

    /// @inheritdoc ISettlement
    function openSession(Request calldata request, bytes calldata signature)
        external
        nonReentrant
        returns (bytes32 id)
    {
        id = sessionId(request);
        (uint64 price, bytes32 site) = _requireOffer(request);
        require(registry.isAuthorised(site, msg.sender, RIGHT_SETTLE), NotAuthorised(site, msg.sender, RIGHT_SETTLE));
        _requireDriver(id, request, signature);
        require(block.timestamp <= request.validUntil, RequestExpired(request.validUntil, block.timestamp));
        require(request.departure > block.timestamp, DeparturePassed(request.departure, block.timestamp));
        bytes32 busy = openSessionAt(request.evse);
        require(busy == 0, EvseBusy(request.evse, busy));
        uint128 held = request.totalCeiling;
        if (registry.site(site).owner == request.driver) (price, held) = (0, 0);
        _useNonce(request.driver, request.nonce);

        _hold(request.driver, held);
        _evses[request.evse].lastSession = id;
        _sessions[id] = SessionRecord({
            evse: request.evse,
            driver: request.driver,
            price: price,
            energyWh: request.energyWh,
            meterKey: request.meterKey,
            departure: request.departure,
            openedAt: uint40(block.timestamp),
            state: SessionState.Active,
            held: held
        });

        emit SessionOpened(id, request.driver, request.evse, site, request, price, held);
    }

    /// @inheritdoc ISettlement
    function settle(
        bytes32 id,
        MeterReading calldata start,
        bytes calldata startSignature,
        MeterReading calldata stop,
        bytes calldata stopSignature,
        Flexibility calldata moved
    ) external nonReentrant returns (bytes32 receipt) {
        SessionRecord memory record = _sessions[id];
        require(record.state == SessionState.Active, WrongState(id, record.state));
        bytes32 site = _siteOf(record.evse);
        require(registry.isAuthorised(site, msg.sender, RIGHT_SETTLE), NotAuthorised(site, msg.sender, RIGHT_SETTLE));
        _requireReading(id, record, start, ReadingContext.Begin, startSignature);
        _requireReading(id, record, stop, ReadingContext.End, stopSignature);
        _requireProgress(id, record.evse, start, stop);
        _requireTimes(id, record.openedAt, start, stop);
        _requireBounded(id, start, stop, moved);

        Bill memory bill = _bill(id, site, record, start, stop);
        receipt = bill.receipt;
        _sessions[id].state = SessionState.Settled;
        _recordBilled(record.evse, stop);
        _wallets[registry.site(site).owner].balance += bill.amount;
        _wallets[record.driver].balance += bill.refund;

        _emitSettled(bill, record, start, stop, moved);
    }

    /// @inheritdoc ISettlement
    function reclaim(bytes32 id) external nonReentrant {
        SessionRecord storage record = _sessions[id];
        // The departure was in the future when the session was opened, so it is the later of the two.
        uint256 from = record.departure + RECLAIM_GRACE;
        require(record.state == SessionState.Active, WrongState(id, record.state));
        require(block.timestamp >= from, TooSoonToReclaim(id, block.timestamp, from));

        record.state = SessionState.Reclaimed;
        _wallets[record.driver].balance += record.held;

        emit SessionReclaimed(id, record.driver, record.held);
    }

    /// @inheritdoc ISettlement
    function balanceOf(address account) external view returns (uint256) {
        return _wallets[account].balance;
    }

    /// @inheritdoc ISettlement
    function session(bytes32 id) external view returns (Session memory) {
        SessionRecord memory record = _sessions[id];
        return Session({
            driver: record.driver,
            evse: record.evse,
            site: record.state == SessionState.None ? bytes32(0) : _siteOf(record.evse),
            meterKey: record.meterKey,
            price: record.price,
            held: record.held,
            energyWh: record.energyWh,
            departure: record.departure,
            openedAt: record.openedAt,
            state: record.state
        });
    }

    /// @inheritdoc ISettlement
    function openSessionAt(bytes32 evse) public view returns (bytes32 id) {
        id = _evses[evse].lastSession;
        if (_sessions[id].state != SessionState.Active) id = 0;
    }

    /// @inheritdoc ISettlement
    function sessionId(Request calldata request) public view returns (bytes32) {
        return _hashTypedDataV4(Hashes.structHash(request));
    }

    /// @inheritdoc ISettlement
    function readingHash(MeterReading calldata reading) external pure returns (bytes32) {
        return Hashes.digest(reading);
    }

    /// @inheritdoc ISettlement
    function credit() external view returns (address) {
        return address(_credit);
    }

    /// @inheritdoc ISettlement
    function flexibility() external view returns (address) {
        return address(_flexibility);
    }

    function _hold(address driver, uint128 held) private {
        Wallet storage wallet = _wallets[driver];
        uint128 balance = wallet.balance;
        require(balance >= held, InsufficientBalance(driver, balance, held));
        if (held == 0) return;

        wallet.balance = balance - held;

        if (balance - held < wallet.threshold) emit LowBalance(driver, balance - held, wallet.threshold);
    }

    function _useNonce(address driver, uint64 nonce) private {
        uint256 bit = uint256(1) << (nonce % 256);
        uint256 bits = _nonces[driver][nonce / 256];
        require(bits & bit == 0, NonceUsed(driver, nonce));

        _nonces[driver][nonce / 256] = bits | bit;
    }

    /// @dev On its own because the event has more members than the stack of `settle` has room for.
    function _emitSettled(
        Bill memory bill,
        SessionRecord memory record,
        MeterReading calldata start,
        MeterReading calldata stop,
        Flexibility calldata moved
    ) private {
        emit SessionSettled(
            bill.id,
            record.driver,
            record.evse,
            bill.receipt,
            bill.site,
            start,
            stop,
            record.price,
            bill.amount,
            bill.refund,
            moved
        );
    }

    function _recordBilled(bytes32 evse, MeterReading calldata stop) private {
        EvseRecord storage billed = _evses[evse];
        billed.billedCounter = stop.counter;
        billed.billedImportWh = stop.importWh;
        billed.billedExportWh = stop.exportWh;
    }

    /// @dev What the driver signed must be what the registry offers now.
    function _requireOffer(Request calldata request) private view returns (uint64 price, bytes32 site) {
        Asset memory evse;
        (evse, site,) = registry.asset(request.evse);
        price = evse.price;
        bytes32 tariffHash = keccak256(abi.encode(price));
        require(evse.kind == AssetKind.Evse, UnknownEvse(request.evse));
        require(request.meterKey == evse.meterKey, MeterKeyChanged(request.evse, request.meterKey, evse.meterKey));
        require(request.tariffHash == tariffHash, TariffChanged(request.evse, request.tariffHash, tariffHash));
        require(price <= request.priceCeiling, PriceAboveCeiling(price, request.priceCeiling));
    }

    function _requireDriver(bytes32 id, Request calldata request, bytes calldata signature) private view {
        (address signer, ECDSA.RecoverError err,) = ECDSA.tryRecoverCalldata(id, signature);
        require(registry.isDriver(request.driver), UnregisteredDriver(request.driver));
        require(err == ECDSA.RecoverError.NoError && signer == request.driver, BadRequestSignature(id, request.driver));
    }

    function _requireReading(
        bytes32 id,
        SessionRecord memory record,
        MeterReading calldata reading,
        ReadingContext context,
        bytes calldata signature
    ) private pure {
        // A failed recovery names the zero address, which no registered key is.
        (address signer,,) = ECDSA.tryRecoverCalldata(Hashes.digest(reading), signature);
        require(reading.asset == record.evse, WrongMeter(id, reading.asset, record.evse));
        require(reading.context == context, WrongContext(id, reading.context, context));
        require(signer == record.meterKey, BadMeterSignature(id, signer, record.meterKey));
    }

    /// @dev Counters rise and registers never fall, within the session and from bill to bill.
    function _requireProgress(bytes32 id, bytes32 evse, MeterReading calldata start, MeterReading calldata stop)
        private
        view
    {
        EvseRecord memory billed = _evses[evse];
        require(start.counter > billed.billedCounter, CounterBackwards(id, start.counter, billed.billedCounter));
        require(stop.counter > start.counter, CounterBackwards(id, stop.counter, start.counter));
        _requireNotBelow(id, start.importWh, billed.billedImportWh);
        _requireNotBelow(id, stop.importWh, start.importWh);
        _requireNotBelow(id, start.exportWh, billed.billedExportWh);
        _requireNotBelow(id, stop.exportWh, start.exportWh);
    }

    function _requireNotBelow(bytes32 id, uint64 register, uint64 previous) private pure {
        require(register >= previous, RegisterBackwards(id, register, previous));
    }

    function _requireTimes(bytes32 id, uint40 openedAt, MeterReading calldata start, MeterReading calldata stop)
        private
        view
    {
        uint256 from = Math.saturatingSub(openedAt, MAX_OPEN_DELAY);
        _requireWithin(id, start.time, from, block.timestamp);
        _requireWithin(id, stop.time, start.time, block.timestamp);
    }

    function _requireWithin(bytes32 id, uint40 time, uint256 from, uint256 until) private pure {
        require(time >= from && time <= until, OutsideSession(id, time, from, until));
    }

    /// @dev No more energy can have been moved than was drawn, nor by more intervals than the session touched.
    function _requireBounded(
        bytes32 id,
        MeterReading calldata start,
        MeterReading calldata stop,
        Flexibility calldata moved
    ) private pure {
        uint256 energyWh = stop.importWh - start.importWh;
        uint256 intervals = stop.time / INTERVAL_S - start.time / INTERVAL_S + 1;
        require(!moved.certified, NoVerifier(id));
        require(moved.activatedWh <= energyWh, TooMuchFlexibility(id, moved.activatedWh, energyWh));
        require(
            moved.displacedWhIntervals <= energyWh * intervals,
            TooMuchFlexibility(id, moved.displacedWhIntervals, energyWh * intervals)
        );
    }

    /// @dev Rounds down, in the driver's favour, and never above the hold.
    function _bill(
        bytes32 id,
        bytes32 site,
        SessionRecord memory record,
        MeterReading calldata start,
        MeterReading calldata stop
    ) private pure returns (Bill memory bill) {
        uint256 energyWh = stop.importWh - start.importWh;
        bill.id = id;
        bill.site = site;
        bill.amount = uint128(Math.min(energyWh * record.price / WH_PER_KWH, record.held));
        bill.refund = record.held - bill.amount;
        bill.receipt =
            keccak256(abi.encode(id, start.counter, stop.counter, start.importWh, stop.importWh, bill.amount));
    }

    function _siteOf(bytes32 evse) private view returns (bytes32 site) {
        (, site,) = registry.asset(evse);
    }
}
