// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

// Every id, struct, enum, event, error and interface of the protocol. This file imports nothing, because two compilers
// read it: solc, and the Rust bindings of the oracle.
//
// Units. Power in watts (`…W`), in setpoint lanes in steps of 10 W. Energy in watt-hours (`…Wh`). Money in base units of
// the credit token (6 decimals), prices in base units per kilowatt-hour. Time in unix seconds; an interval is a quarter
// hour, its index is unix seconds / 900. Positive power draws from the site bus; negative power feeds it.

/// @dev Rights of a delegate at a site, as bits.
uint8 constant RIGHT_DISPATCH = 1;
uint8 constant RIGHT_METER = 2;
uint8 constant RIGHT_SETTLE = 4;
/// @dev Length of an interval.
uint256 constant INTERVAL_S = 900;

/// @notice What an asset is, and so which sign its power may have.
enum AssetKind {
    Evse, // draws
    Pv, // feeds
    Battery, // both
    BaseLoad // draws
}

/// @notice State of one interval of one site.
enum IntervalState {
    Open,
    Dispatched,
    Metered
}

/// @notice State of one charging session.
enum SessionState {
    None,
    Active,
    Settled,
    Reclaimed
}

/// @notice Why a meter took a reading.
enum ReadingContext {
    Interval,
    Begin,
    End
}

/// @notice One grid connection with everything behind it.
/// @param owner CPO or private host; receives what drivers pay.
/// @param latitudeE7 Degrees north × 1e7.
/// @param longitudeE7 Degrees east × 1e7.
/// @param groupCount Number of registered groups; group 0 is the grid connection.
/// @param assetCount Number of registered assets; also the number of lanes of every batch.
struct Site {
    address owner;
    int32 latitudeE7;
    int32 longitudeE7;
    uint16 groupCount;
    uint16 assetCount;
}

/// @notice Assets behind one cabinet or transformer. Groups are registered in preorder: a parent before its children, and a
/// subtree as one run, so that the assets below a group are one run of lanes.
/// @param parent Index of the parent group; group 0 names itself.
/// @param limitImportW Most power the subtree may draw.
/// @param limitExportW Most power the subtree may feed back.
struct Group {
    uint16 parent;
    uint32 limitImportW;
    uint32 limitExportW;
}

/// @notice An EVSE, PV inverter, battery or base-load meter. Assets are registered in the order of their groups.
/// @param id keccak256 of the clear-text id, for an EVSE in the field's form (`DE*PVT*E1*1`).
/// @param group Index of the group it sits in.
/// @param ratedW Most power it can draw or feed, a multiple of 10 W, at most 327,670 W.
/// @param minW Least power it can hold when it holds any (IEC 61851-1: 6 A per phase); 0 where there is none.
/// @param phases 1, 2 or 3.
/// @param meterKey Address of the secp256k1 key in its meter.
/// @param price What a driver pays per kWh, base units; 0 for anything but an EVSE.
struct Asset {
    bytes32 id;
    AssetKind kind;
    uint16 group;
    uint32 ratedW;
    uint32 minW;
    uint8 phases;
    int32 latitudeE7;
    int32 longitudeE7;
    address meterKey;
    uint64 price;
}

/// @notice What a driver signs (EIP-712, domain "Provolt", version "1", this chain, the Settlement contract).
/// @param meterKey The key whose readings the driver accepts.
/// @param tariffHash keccak256(abi.encode(price)) of the price the driver saw.
/// @param departure When the driver will leave, unix seconds.
/// @param priceCeiling Most the driver pays per kWh.
/// @param totalCeiling Most the driver pays in all; the amount held.
/// @param nonce Any number this driver has not used before.
/// @param validUntil Last second at which the session may be opened.
struct Request {
    address driver;
    bytes32 evse;
    address meterKey;
    bytes32 tariffHash;
    uint32 energyWh;
    uint40 departure;
    uint64 priceCeiling;
    uint128 totalCeiling;
    uint64 nonce;
    uint40 validUntil;
}

/// @notice What a meter signs (EIP-712, domain "Provolt meter", version "1", no chain: a register is a physical fact).
/// @param asset Id of the metered asset.
/// @param importWh Register of energy drawn from the site bus.
/// @param exportWh Register of energy fed to the site bus.
/// @param time Unix seconds.
/// @param counter Rises by one with every reading this meter signs.
struct MeterReading {
    bytes32 asset;
    uint64 importWh;
    uint64 exportWh;
    uint40 time;
    uint64 counter;
    ReadingContext context;
}

/// @notice How far the session was moved off its uncontrolled baseline, and what that was worth.
/// @param activatedWh F = ½ Σ |p₀ − p| Δt.
/// @param displacedWhIntervals G = Σ (E₀ − E) in watt-hours × intervals.
/// @param worth V = Σ λ (p₀ − p) Δt at node prices, base units, may be negative.
/// @param certified Whether every plan behind it carries an accepted certificate.
struct Flexibility {
    uint32 activatedWh;
    uint64 displacedWhIntervals;
    int64 worth;
    bool certified;
}

/// @notice A session as the chain keeps it.
struct Session {
    address driver;
    bytes32 evse;
    bytes32 site;
    address meterKey;
    uint64 price;
    uint128 held;
    uint32 energyWh;
    uint40 departure;
    uint40 openedAt;
    SessionState state;
}

/// @notice Sites, groups, assets, prices, meter keys, owners, delegates and drivers.
interface IAssetRegistry {
    event SiteRegistered(bytes32 indexed site, address indexed owner, string clearId, string timeZone, int32 latitudeE7, int32 longitudeE7);
    event GroupRegistered(bytes32 indexed site, uint16 indexed group, uint16 parent, uint32 limitImportW, uint32 limitExportW);
    event AssetRegistered(bytes32 indexed site, bytes32 indexed asset, uint16 indexed lane, Asset data, string clearId);
    event PriceSet(bytes32 indexed site, bytes32 indexed asset, uint64 price);
    event DelegateSet(bytes32 indexed site, address indexed delegate, uint8 rights, uint40 expiry);
    event DriverRegistered(address indexed driver);

    error EmptyId();
    error SiteExists(bytes32 site);
    error UnknownSite(bytes32 site);
    error NotOwner(bytes32 site, address caller, address owner);
    error GroupOutOfOrder(bytes32 site, uint16 group, uint16 parent);
    error TooManyGroups(bytes32 site, uint256 count, uint256 max);
    error UnknownGroup(bytes32 site, uint16 group);
    error AssetExists(bytes32 asset);
    error UnknownAsset(bytes32 asset);
    error AssetOutOfOrder(bytes32 site, bytes32 asset, uint16 group);
    error TooManyAssets(bytes32 site, uint256 count, uint256 max);
    error BadRating(bytes32 asset, uint32 ratedW, uint32 minW);
    error BadPhases(bytes32 asset, uint8 phases);
    error BadPosition(int32 latitudeE7, int32 longitudeE7);
    error NoMeterKey(bytes32 asset);
    error NotEvse(bytes32 asset);
    error LengthMismatch(uint256 a, uint256 b);
    error BadDriverSignature(address driver);

    /// @notice Registers a site; the caller becomes its owner. The id is keccak256 of the clear id.
    function registerSite(string calldata clearId, string calldata timeZone, int32 latitudeE7, int32 longitudeE7)
        external
        returns (bytes32 site);
    /// @notice Appends groups to a site, in preorder. Owner only.
    function registerGroups(bytes32 site, Group[] calldata groups) external;
    /// @notice Appends assets to a site, in the order of their groups. `clearIds[i]` must hash to `assets[i].id`. Owner only.
    function registerAssets(bytes32 site, Asset[] calldata assets, string[] calldata clearIds) external;
    /// @notice Sets the price of an EVSE for sessions opened from now on. Owner only.
    function setPrice(bytes32 asset, uint64 price) external;
    /// @notice Gives or takes rights on a site (RIGHT_* bits; 0 takes all) until `expiry`. Owner only.
    function setDelegate(bytes32 site, address delegate, uint8 rights, uint40 expiry) external;
    /// @notice Registers the caller as a driver. Idempotent.
    function registerDriver() external;
    /// @notice Registers `driver` from a signature, so that a driver needs no gas. Idempotent.
    /// @param signature EIP-712 `RegisterDriver(address driver)` in the registry's domain ("Provolt", "1", chain, registry).
    function registerDriverFor(address driver, bytes calldata signature) external;

    function site(bytes32 id) external view returns (Site memory);
    function group(bytes32 site, uint16 index) external view returns (Group memory);
    function asset(bytes32 id) external view returns (Asset memory data, bytes32 site, uint16 lane);
    function assetAt(bytes32 site, uint16 lane) external view returns (bytes32 id);
    function isDriver(address who) external view returns (bool);
    /// @notice Whether `who` is the owner of the site or a delegate with all of `rights` now.
    function isAuthorised(bytes32 site, address who, uint8 rights) external view returns (bool);
    /// @notice What Dispatch needs to check a batch, packed for one cheap call.
    /// @return ranges Per group 16 bytes big endian: first lane (2), end lane (2), limitImportW (4), limitExportW (4), zero (4).
    /// @return kinds Per lane 4 bytes big endian: kind (1), zero (1), ratedW / 10 (2).
    function lanesOf(bytes32 site) external view returns (bytes memory ranges, bytes memory kinds);
}

/// @notice Per (site, interval): setpoints before it starts, readings once after it ends.
interface IDispatch {
    /// @param lanes One int16 (big endian, 10 W) per asset, in lane order.
    /// @param planHash keccak256 of the whole plan the batch is the first column of; zero for a CPO's own setpoints.
    /// @param history keccak256(previous history, keccak256 of this step): history cannot be rewritten.
    event SetpointsPosted(bytes32 indexed site, uint32 indexed interval, address indexed poster, bytes lanes, bytes32 planHash, bytes32 history);
    /// @param lanes One int32 (big endian, Wh) per asset: energy of the interval, import − export.
    /// @param root Merkle root over the signed readings behind the lanes.
    event ReadingsPosted(bytes32 indexed site, uint32 indexed interval, address indexed poster, bytes lanes, bytes32 root, bytes32 history);

    error NotAuthorised(bytes32 site, address caller, uint8 right);
    error TooLate(bytes32 site, uint32 interval, uint256 time);
    error TooEarly(bytes32 site, uint32 interval, uint256 time);
    error AlreadyDispatched(bytes32 site, uint32 interval);
    error NotDispatched(bytes32 site, uint32 interval);
    error AlreadyMetered(bytes32 site, uint32 interval);
    error WrongLength(bytes32 site, uint256 length, uint256 expected);
    error WrongSign(bytes32 site, uint16 lane, int256 value);
    error RatingExceeded(bytes32 site, uint16 lane, int256 powerW, uint256 ratedW);
    error ImportLimitExceeded(bytes32 site, uint16 group, int256 powerW, uint256 limitW);
    error ExportLimitExceeded(bytes32 site, uint16 group, int256 powerW, uint256 limitW);

    /// @notice Posts the setpoints of one interval before it starts. Needs RIGHT_DISPATCH.
    /// @dev A group's effective import limit is the larger of its limit and the base load behind it.
    function postSetpoints(bytes32 site, uint32 interval, bytes calldata lanes, bytes32 planHash) external;
    /// @notice Posts the metered energy of one dispatched interval after it has ended. Needs RIGHT_METER.
    function postReadings(bytes32 site, uint32 interval, bytes calldata lanes, bytes32 root) external;
    function stateOf(bytes32 site, uint32 interval) external view returns (IntervalState);
    function history(bytes32 site) external view returns (bytes32);
}

/// @notice Wallets, holds, sessions, bills and receipts.
interface ISettlement {
    event Deposited(address indexed account, address indexed from, uint256 amount);
    event Withdrawn(address indexed account, address indexed to, uint256 amount);
    event LowBalance(address indexed account, uint256 balance, uint256 threshold);
    event LowBalanceThresholdSet(address indexed account, uint256 threshold);
    event SessionOpened(bytes32 indexed session, address indexed driver, bytes32 indexed evse, bytes32 site, Request request, uint64 price, uint128 held);
    /// @notice The receipt: everything needed to recompute the bill.
    event SessionSettled(
        bytes32 indexed session,
        address indexed driver,
        bytes32 indexed evse,
        bytes32 receipt,
        bytes32 site,
        MeterReading start,
        MeterReading stop,
        uint64 price,
        uint128 amount,
        uint128 refund,
        Flexibility flexibility
    );
    event SessionReclaimed(bytes32 indexed session, address indexed driver, uint128 amount);

    error ZeroAmount();
    error InsufficientBalance(address account, uint256 balance, uint256 needed);
    error TransferMismatch(uint256 received, uint256 expected);
    error UnregisteredDriver(address driver);
    error UnknownEvse(bytes32 evse);
    error NotAuthorised(bytes32 site, address caller, uint8 right);
    error BadRequestSignature(bytes32 session, address driver);
    error RequestExpired(uint40 validUntil, uint256 time);
    error DeparturePassed(uint40 departure, uint256 time);
    error MeterKeyChanged(bytes32 evse, address expected, address registered);
    error TariffChanged(bytes32 evse, bytes32 expected, bytes32 registered);
    error PriceAboveCeiling(uint64 price, uint64 ceiling);
    error NonceUsed(address driver, uint64 nonce);
    error EvseBusy(bytes32 evse, bytes32 session);
    error WrongState(bytes32 session, SessionState state);
    error WrongMeter(bytes32 session, bytes32 asset, bytes32 expected);
    error WrongContext(bytes32 session, ReadingContext context, ReadingContext expected);
    error BadMeterSignature(bytes32 session, address signer, address expected);
    error RegisterBackwards(bytes32 session, uint64 register, uint64 previous);
    error CounterBackwards(bytes32 session, uint64 counter, uint64 previous);
    error OutsideSession(bytes32 session, uint40 time, uint256 from, uint256 until);
    error TooSoonToReclaim(bytes32 session, uint256 time, uint256 from);
    error TooMuchFlexibility(bytes32 session, uint256 value, uint256 bound);

    /// @notice Adds the caller's tokens to the wallet of `account`. Needs an ERC-20 allowance.
    function deposit(address account, uint256 amount) external;
    /// @notice Takes the caller's unheld money out. Always possible.
    function withdraw(address to, uint256 amount) external;
    /// @notice Below this balance every hold emits LowBalance. 0 switches it off.
    function setLowBalanceThreshold(uint256 threshold) external;
    /// @notice Opens a session from the driver's signed request and holds its ceiling. Needs RIGHT_SETTLE on the site.
    /// @dev The site's owner charges free: nothing is held.
    /// @return session EIP-712 digest of the request: unique to this driver, chain and contract.
    function openSession(Request calldata request, bytes calldata signature) external returns (bytes32 session);
    /// @notice Bills a session from two readings signed by its meter's key and refunds the rest. Needs RIGHT_SETTLE.
    function settle(
        bytes32 session,
        MeterReading calldata start,
        bytes calldata startSignature,
        MeterReading calldata stop,
        bytes calldata stopSignature,
        Flexibility calldata flexibility
    ) external returns (bytes32 receipt);
    /// @notice Gives the hold back to the driver when nobody settled in time. Anyone may call it.
    function reclaim(bytes32 session) external;

    function balanceOf(address account) external view returns (uint256);
    /// @notice Sum of all wallets and holds; never more than the tokens this contract owns.
    function accounted() external view returns (uint256);
    function session(bytes32 id) external view returns (Session memory);
    function openSessionAt(bytes32 evse) external view returns (bytes32);
    function sessionId(Request calldata request) external view returns (bytes32);
    function readingHash(MeterReading calldata reading) external view returns (bytes32);
    function credit() external view returns (address);
    function flexibility() external view returns (address);
}

/// @notice The credit token as deployed on a local chain: an ERC-20 with 6 decimals, permit, and a faucet.
interface ICreditToken {
    error NotMinter(address caller, address minter);

    function mint(address to, uint256 amount) external;
    function approve(address spender, uint256 amount) external returns (bool);
    function balanceOf(address account) external view returns (uint256);
    function totalSupply() external view returns (uint256);
}

/// @notice The flexibility token: an ERC-20 with 6 decimals that only Settlement mints.
interface IFlexibilityToken {
    error NotMinter(address caller, address minter);

    function mint(address to, uint256 amount) external;
    function balanceOf(address account) external view returns (uint256);
    function totalSupply() external view returns (uint256);
}
