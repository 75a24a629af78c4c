// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

// Every id, struct, enum, event, error and interface of the protocol. This file imports nothing, because two compilers
// read it: solc, and the Rust bindings of the oracle.
//
// Units. Power in watts (`…W`), in setpoint lanes in steps of 10 W. Energy in watt-hours (`…Wh`). Money in base units of
// the credit token (6 decimals), prices in base units per kilowatt-hour. Time in unix seconds; an interval is a quarter
// hour, its index is unix seconds / 900. Positive power draws from the site bus; negative power feeds it.

/// @dev Rights of a delegate at a site, as bits: to post setpoints, to post readings, to open and settle sessions.
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
/// @dev Warning: an id belongs to whoever registers it first, and a meter key to whoever names it. Neither is proof that the
/// site, the asset or the meter is real; that needs an attestation from outside.
interface IAssetRegistry {
    /// @notice A site exists from now on.
    /// @param site keccak256 of `clearId`.
    /// @param clearId The id as people write it; it appears in this event only.
    /// @param timeZone IANA name, for display.
    event SiteRegistered(
        bytes32 indexed site,
        address indexed owner,
        string clearId,
        string timeZone,
        int32 latitudeE7,
        int32 longitudeE7
    );
    /// @notice A site has one more group.
    event GroupRegistered(
        bytes32 indexed site, uint16 indexed group, uint16 parent, uint32 limitImportW, uint32 limitExportW
    );
    /// @notice A site has one more asset, whose place in every batch is `lane`.
    event AssetRegistered(bytes32 indexed site, bytes32 indexed asset, uint16 indexed lane, Asset data, string clearId);
    /// @notice Sessions opened from now on at `asset` cost `price` per kWh.
    event PriceSet(bytes32 indexed site, bytes32 indexed asset, uint64 price);
    /// @notice `delegate` has exactly `rights` at `site` up to and including second `expiry`.
    event DelegateSet(bytes32 indexed site, address indexed delegate, uint8 rights, uint40 expiry);
    /// @notice `driver` may sign requests.
    event DriverRegistered(address indexed driver);

    /// @notice The clear id is empty.
    error EmptyId();
    /// @notice The asset's id is not the hash of its clear id.
    error IdMismatch(bytes32 id, bytes32 expected);
    /// @notice The site's id is taken.
    error SiteExists(bytes32 site);
    /// @notice No site has this id.
    error UnknownSite(bytes32 site);
    /// @notice Only the owner may do this.
    error NotOwner(bytes32 site, address caller, address owner);
    /// @notice The group's parent is not on the path from the root to the group before it.
    error GroupOutOfOrder(bytes32 site, uint16 group, uint16 parent);
    /// @notice The site would have more groups than a batch can check.
    error TooManyGroups(bytes32 site, uint256 count, uint256 max);
    /// @notice The site has no such group.
    error UnknownGroup(bytes32 site, uint16 group);
    /// @notice The asset's id is taken, at this site or another.
    error AssetExists(bytes32 asset);
    /// @notice No asset has this id, or no asset sits in this lane.
    error UnknownAsset(bytes32 asset);
    /// @notice The asset's group comes before the group of the asset before it.
    error AssetOutOfOrder(bytes32 site, bytes32 asset, uint16 group);
    /// @notice The site would have more assets than a batch can carry.
    error TooManyAssets(bytes32 site, uint256 count, uint256 max);
    /// @notice The rated power is zero, no multiple of 10 W, above 327,670 W or below the least power.
    error BadRating(bytes32 asset, uint32 ratedW, uint32 minW);
    /// @notice There are 1, 2 or 3 phases.
    error BadPhases(bytes32 asset, uint8 phases);
    /// @notice The position is not on the globe.
    error BadPosition(int32 latitudeE7, int32 longitudeE7);
    /// @notice The meter key is zero, which no signature can match.
    error NoMeterKey(bytes32 asset);
    /// @notice Only an EVSE has a price.
    error NotEvse(bytes32 asset);
    /// @notice Two lists that belong together differ in length.
    error LengthMismatch(uint256 a, uint256 b);
    /// @notice The signature is not the driver's.
    error BadDriverSignature(address driver);
    /// @notice The chain refused to store the site's layout.
    error LayoutNotStored(uint256 length);

    /// @notice Registers a site; the caller becomes its owner. The id is keccak256 of the clear id.
    function registerSite(string calldata clearId, string calldata timeZone, int32 latitudeE7, int32 longitudeE7)
        external
        returns (bytes32 site);
    /// @notice Appends groups to a site, in preorder. Owner only.
    /// @dev A group's parent must be the group before it or one of that group's ancestors; group 0 names itself.
    function registerGroups(bytes32 site, Group[] calldata groups) external;
    /// @notice Appends assets to a site, in the order of their groups. `clearIds[i]` must hash to `assets[i].id`. Owner only.
    /// @dev About 110,000 gas an asset: send at most about 120 in one transaction.
    function registerAssets(bytes32 site, Asset[] calldata assets, string[] calldata clearIds) external;
    /// @notice Sets the price of an EVSE for sessions opened from now on. Owner only.
    function setPrice(bytes32 asset, uint64 price) external;
    /// @notice Gives exactly `rights` on a site (RIGHT_* bits; 0 takes all) up to and including second `expiry`. Owner only.
    function setDelegate(bytes32 site, address delegate, uint8 rights, uint40 expiry) external;
    /// @notice Registers the caller as a driver. Idempotent.
    function registerDriver() external;
    /// @notice Registers `driver` from a signature, so that a driver needs no gas. Idempotent.
    /// @param signature EIP-712 `RegisterDriver(address driver)` in the registry's domain ("Provolt", "1", chain, registry).
    function registerDriverFor(address driver, bytes calldata signature) external;

    /// @notice A registered site; reverts with UnknownSite.
    function site(bytes32 id) external view returns (Site memory);
    /// @notice A registered group; reverts with UnknownGroup.
    function group(bytes32 site, uint16 index) external view returns (Group memory);
    /// @notice A registered asset, its site and its lane; reverts with UnknownAsset.
    function asset(bytes32 id) external view returns (Asset memory data, bytes32 site, uint16 lane);
    /// @notice The asset in a lane; reverts with UnknownAsset.
    function assetAt(bytes32 site, uint16 lane) external view returns (bytes32 id);
    /// @notice Whether `who` is registered as a driver.
    function isDriver(address who) external view returns (bool);
    /// @notice Whether `who` is the owner of the site or a delegate with all of `rights` now. Nobody but the owner has the
    /// empty set of rights.
    function isAuthorised(bytes32 site, address who, uint8 rights) external view returns (bool);
    /// @notice What is needed to check a batch.
    /// @return ranges Per group 16 bytes big endian: first lane (2), end lane (2), limitImportW (4), limitExportW (4), zero (4).
    /// @return kinds Per lane 4 bytes big endian: kind (1), zero (1), ratedW / 10 (2).
    function lanesOf(bytes32 site) external view returns (bytes memory ranges, bytes memory kinds);
    /// @notice `isAuthorised`, and where the site's layout is stored as code, in one cheap call for Dispatch.
    /// @return authorised As `isAuthorised`.
    /// @return layoutAt Account whose code is the layout, in the form that libraries/Layout.sol describes; zero when the site
    /// has no groups yet.
    function layoutFor(bytes32 site, address who, uint8 rights)
        external
        view
        returns (bool authorised, address layoutAt);
}

/// @notice Per (site, interval): setpoints before it starts, readings once after it ends.
/// @dev Warning: an interval that is not metered within 160 intervals (40 hours) of its end may be forgotten and then reads
/// as Open; it can still never be posted again, because it has passed.
interface IDispatch {
    /// @notice Setpoints of an interval, checked against every rating and every group's limits.
    /// @param lanes One int16 (big endian, 10 W) per asset, in lane order.
    /// @param planHash keccak256 of the whole plan the batch is the first column of; zero for a CPO's own setpoints.
    /// @param history keccak256(abi.encode(previous history, step)), where step is keccak256(abi.encode(1, site, interval,
    /// keccak256(lanes), planHash)): history cannot be rewritten.
    event SetpointsPosted(
        bytes32 indexed site,
        uint32 indexed interval,
        address indexed poster,
        bytes lanes,
        bytes32 planHash,
        bytes32 history
    );
    /// @notice Metered energy of an interval.
    /// @param lanes One int32 (big endian, Wh) per asset: energy of the interval, import − export.
    /// @param root Merkle root over the signed readings behind the lanes.
    /// @param history As for setpoints, with step keccak256(abi.encode(2, site, interval, keccak256(lanes), root)).
    event ReadingsPosted(
        bytes32 indexed site,
        uint32 indexed interval,
        address indexed poster,
        bytes lanes,
        bytes32 root,
        bytes32 history
    );

    /// @notice The caller lacks the right at the site, or the site does not exist.
    error NotAuthorised(bytes32 site, address caller, uint8 right);
    /// @notice The interval has begun.
    error TooLate(bytes32 site, uint32 interval, uint256 time);
    /// @notice Setpoints for an interval too far ahead, or readings for one that has not ended.
    error TooEarly(bytes32 site, uint32 interval, uint256 time);
    /// @notice Somebody's setpoints for the interval are there already; the first to post wins.
    error AlreadyDispatched(bytes32 site, uint32 interval);
    /// @notice There are no setpoints for the interval, or it was forgotten.
    error NotDispatched(bytes32 site, uint32 interval);
    /// @notice The readings of the interval are there already.
    error AlreadyMetered(bytes32 site, uint32 interval);
    /// @notice The batch does not have one lane per asset.
    error WrongLength(bytes32 site, uint256 length, uint256 expected);
    /// @notice The asset in `lane` cannot draw, or cannot feed.
    error WrongSign(bytes32 site, uint16 lane, int256 value);
    /// @notice The setpoint is above what the asset can draw or feed.
    error RatingExceeded(bytes32 site, uint16 lane, int256 powerW, uint256 ratedW);
    /// @notice The group would draw more than its effective import limit.
    error ImportLimitExceeded(bytes32 site, uint16 group, int256 powerW, uint256 limitW);
    /// @notice The group would feed more than its export limit.
    error ExportLimitExceeded(bytes32 site, uint16 group, int256 powerW, uint256 limitW);

    /// @notice Posts the setpoints of one interval before it starts, at most 96 intervals ahead. Needs RIGHT_DISPATCH.
    /// @dev A group's effective import limit is the larger of its limit and the base load behind it.
    /// @param lanes,planHash As in SetpointsPosted.
    function postSetpoints(bytes32 site, uint32 interval, bytes calldata lanes, bytes32 planHash) external;
    /// @notice Posts the metered energy of one dispatched interval after it has ended. Needs RIGHT_METER.
    /// @dev Energy is not compared with limits: what was metered has happened.
    /// @param lanes,root As in ReadingsPosted.
    function postReadings(bytes32 site, uint32 interval, bytes calldata lanes, bytes32 root) external;
    /// @notice State of an interval; Open too when it was forgotten.
    function stateOf(bytes32 site, uint32 interval) external view returns (IntervalState);
    /// @notice Hash of everything ever posted for the site; zero before the first step.
    function history(bytes32 site) external view returns (bytes32);
}

/// @notice Wallets, holds, sessions, bills and receipts.
/// @dev Assumes of the credit token that nobody but this contract can lower this contract's balance, and that a transfer
/// out costs the contract no more than its amount. Nothing is assumed about re-entry or about direct transfers in.
interface ISettlement {
    /// @notice `from` paid `amount` into the wallet of `account`.
    event Deposited(address indexed account, address indexed from, uint256 amount);
    /// @notice `account` took `amount` out of its wallet.
    event Withdrawn(address indexed account, address indexed to, uint256 amount);
    /// @notice After a hold the wallet contains less than its owner wants to be told of.
    event LowBalance(address indexed account, uint256 balance, uint256 threshold);
    /// @notice `account` wants to be told of balances below `threshold`.
    event LowBalanceThresholdSet(address indexed account, uint256 threshold);
    /// @notice A session began.
    /// @param price What a kWh costs; 0 for the site's owner.
    /// @param held What left the driver's wallet until settlement.
    event SessionOpened(
        bytes32 indexed session,
        address indexed driver,
        bytes32 indexed evse,
        bytes32 site,
        Request request,
        uint64 price,
        uint128 held
    );
    /// @notice The receipt: everything needed to recompute the bill.
    /// @param receipt keccak256(abi.encode(session, start.counter, stop.counter, start.importWh, stop.importWh, amount)).
    /// @param amount Floor of energy × price, at most the hold; it went to the wallet of the site's owner.
    /// @param refund The rest of the hold; it went back to the driver's wallet.
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
    /// @notice Nobody settled in time; the whole hold went back to the driver's wallet.
    event SessionReclaimed(bytes32 indexed session, address indexed driver, uint128 amount);

    /// @notice Nothing would move.
    error ZeroAmount();
    /// @notice The wallet does not contain what is needed.
    error InsufficientBalance(address account, uint256 balance, uint256 needed);
    /// @notice The token moved another amount than it was asked to.
    error TransferMismatch(uint256 received, uint256 expected);
    /// @notice The driver is not registered.
    error UnregisteredDriver(address driver);
    /// @notice The asset is not an EVSE.
    error UnknownEvse(bytes32 evse);
    /// @notice The caller lacks the right at the site.
    error NotAuthorised(bytes32 site, address caller, uint8 right);
    /// @notice The request's signature is not the driver's, for this chain and contract.
    error BadRequestSignature(bytes32 session, address driver);
    /// @notice The request may no longer be opened.
    error RequestExpired(uint40 validUntil, uint256 time);
    /// @notice The declared departure is not in the future.
    error DeparturePassed(uint40 departure, uint256 time);
    /// @notice The driver accepts another meter than the one registered.
    error MeterKeyChanged(bytes32 evse, address expected, address registered);
    /// @notice The driver saw another price than the one registered.
    error TariffChanged(bytes32 evse, bytes32 expected, bytes32 registered);
    /// @notice The registered price is above the driver's ceiling.
    error PriceAboveCeiling(uint64 price, uint64 ceiling);
    /// @notice The driver has used this nonce.
    error NonceUsed(address driver, uint64 nonce);
    /// @notice Another session is open at the EVSE.
    error EvseBusy(bytes32 evse, bytes32 session);
    /// @notice The session is not active.
    error WrongState(bytes32 session, SessionState state);
    /// @notice The reading is of another asset than the session's EVSE.
    error WrongMeter(bytes32 session, bytes32 asset, bytes32 expected);
    /// @notice The first reading must be a Begin and the second an End.
    error WrongContext(bytes32 session, ReadingContext context, ReadingContext expected);
    /// @notice The reading's signature is not the meter's.
    error BadMeterSignature(bytes32 session, address signer, address expected);
    /// @notice A register fell, within the session or since the last bill of this EVSE.
    error RegisterBackwards(bytes32 session, uint64 register, uint64 previous);
    /// @notice A counter did not rise, within the session or since the last bill of this EVSE.
    error CounterBackwards(bytes32 session, uint64 counter, uint64 previous);
    /// @notice A reading was taken outside [from, until].
    error OutsideSession(bytes32 session, uint40 time, uint256 from, uint256 until);
    /// @notice The settlers still have until `from`.
    error TooSoonToReclaim(bytes32 session, uint256 time, uint256 from);
    /// @notice More energy was claimed to be moved than the session allows.
    error TooMuchFlexibility(bytes32 session, uint256 value, uint256 bound);
    /// @notice Flexibility cannot be called certified while no verifier of certificates is deployed.
    error NoVerifier(bytes32 session);

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
    /// @dev Pays whoever owns the site at settlement. Both readings must be newer than the last ones billed at this EVSE;
    /// the first may precede the opening by at most one hour, the second may not lie in the future.
    /// @param flexibility Bounded by the session's energy and duration, shown on the receipt; nothing is minted for it yet.
    function settle(
        bytes32 session,
        MeterReading calldata start,
        bytes calldata startSignature,
        MeterReading calldata stop,
        bytes calldata stopSignature,
        Flexibility calldata flexibility
    ) external returns (bytes32 receipt);
    /// @notice Gives the hold back to the driver when nobody settled within a day of the declared departure. Anyone may call it.
    function reclaim(bytes32 session) external;

    /// @notice Unheld money of an account.
    function balanceOf(address account) external view returns (uint256);
    /// @notice Sum of all wallets and holds; never more than the tokens this contract owns.
    function accounted() external view returns (uint256);
    /// @notice A session; all zero, with state None, when there is none.
    function session(bytes32 id) external view returns (Session memory);
    /// @notice The active session at an EVSE, or zero.
    function openSessionAt(bytes32 evse) external view returns (bytes32);
    /// @notice EIP-712 digest of a request, which its driver signs and which names the session.
    function sessionId(Request calldata request) external view returns (bytes32);
    /// @notice EIP-712 digest of a reading, which its meter signs.
    function readingHash(MeterReading calldata reading) external view returns (bytes32);
    /// @notice The token in which everything is paid.
    function credit() external view returns (address);
    /// @notice The token that will reward certified flexibility.
    function flexibility() external view returns (address);
}

/// @notice The credit token as deployed on a local chain: an ERC-20 with 6 decimals, permit, and a faucet.
interface ICreditToken {
    /// @notice Only the faucet mints.
    error NotMinter(address caller, address minter);

    /// @notice Makes `amount` new tokens for `to`. Minter only.
    function mint(address to, uint256 amount) external;
    /// @notice As in ERC-20.
    function approve(address spender, uint256 amount) external returns (bool);
    /// @notice As in ERC-20.
    function balanceOf(address account) external view returns (uint256);
    /// @notice As in ERC-20.
    function totalSupply() external view returns (uint256);
}

/// @notice The flexibility token: an ERC-20 with 6 decimals that only Settlement mints.
interface IFlexibilityToken {
    /// @notice Only Settlement mints.
    error NotMinter(address caller, address minter);

    /// @notice Makes `amount` new tokens for `to`. Minter only.
    function mint(address to, uint256 amount) external;
    /// @notice As in ERC-20.
    function balanceOf(address account) external view returns (uint256);
    /// @notice As in ERC-20.
    function totalSupply() external view returns (uint256);
}
