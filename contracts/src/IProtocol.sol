// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

// Every id, struct, enum, event, error and interface of the protocol. This file imports nothing, because two compilers
// read it: solc, and the Rust bindings of the oracle.
//
// Units. Power in watts (`…W`), in setpoint lanes in steps of 10 W. Energy in watt-hours (`…Wh`), in bills in thousandths
// of them (`…MilliWh`), because meters count finer than their displays. Money in base units of the credit token, prices
// in base units per kilowatt-hour. Time in unix seconds; an interval is a quarter hour, its index is unix seconds / 900.
// Shares in basis points (`…Bps`), 10,000 to the whole. Positive power draws from the site bus; negative power feeds it.

/// @dev Rights of a delegate at a site, as bits: to post setpoints, to post readings, to open and settle sessions.
uint8 constant RIGHT_DISPATCH = 1;
uint8 constant RIGHT_METER = 2;
uint8 constant RIGHT_SETTLE = 4;
/// @dev May post plans through Plans, which posts their setpoints itself; RIGHT_DISPATCH besides posts without a plan.
uint8 constant RIGHT_PLAN = 8;
/// @dev Length of an interval.
uint256 constant INTERVAL_S = 900;
/// @dev A whole in basis points.
uint256 constant BPS = 10_000;

/// @notice What an asset is, and so which sign its power may have.
enum AssetKind {
    Evse, // draws
    Pv, // feeds
    Battery, // both
    BaseLoad // draws
}

/// @notice What a car is plugged into.
enum Connector {
    None, // not an EVSE
    Type1,
    Type2,
    Ccs1,
    Ccs2,
    Chademo,
    Nacs,
    GbtAc,
    GbtDc,
    Household
}

/// @notice Who may open sessions and book.
enum Access {
    Public, // every registered driver who is not blocked
    Members, // members and key-holders
    OwnerOnly // the site's owner and key-holders
}

/// @notice What a driver is to a site.
enum Standing {
    None,
    Member, // may use EVSEs with access for members
    KeyHolder, // family or fleet: may use every EVSE, and charges free
    Blocked // may use none
}

/// @notice State of an EVSE, as in OCPP 2.0.1 (ConnectorStatusEnumType).
enum Status {
    Available,
    Occupied,
    Reserved,
    Unavailable,
    Faulted
}

/// @notice State of one interval of one site.
enum IntervalState {
    Open,
    Dispatched,
    Metered,
    Disputed // metered, and shown to contradict a meter
}

/// @notice State of one charging session.
enum SessionState {
    None,
    Active,
    Settled, // final once the dispute window is over
    Reclaimed
}

/// @notice Why a meter took a reading.
enum ReadingContext {
    Interval,
    Begin,
    End
}

/// @notice Curve of the key that signs OCMF records.
enum Curve {
    Secp256k1,
    P256
}

/// @notice One grid connection with everything behind it.
/// @param owner CPO or private host; receives what drivers pay, less the fees.
/// @param latitudeE7 Degrees north × 1e7.
/// @param longitudeE7 Degrees east × 1e7.
/// @param groupCount Number of registered groups; group 0 is the grid connection.
/// @param assetCount Number of registered assets; also the number of lanes of every batch.
/// @param pendingOwner Who may take the site over; zero when nobody may.
/// @param operator CPO that runs the site for its owner; zero when the owner does. Receives the operator's fee and pays
/// rewards for flexibility from its pool.
/// @param operatorFeeBps Operator's share of every bill, for sessions opened from now on.
/// @param rewardBps Share of the worth of flexibility that its driver gets, for sessions opened from now on.
/// @param rewardCap Highest node price at which flexibility is worth anything more, base units per kWh.
struct Site {
    address owner;
    int32 latitudeE7;
    int32 longitudeE7;
    uint16 groupCount;
    uint16 assetCount;
    address pendingOwner;
    address operator;
    uint16 operatorFeeBps;
    uint16 rewardBps;
    uint64 rewardCap;
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
/// @param ratedW Most power it can draw or feed, a multiple of 10 W, at most 327,670 W. 0 once it is removed.
/// @param minW Least power it can hold when it holds any (IEC 61851-1: 6 A per phase); 0 where there is none.
/// @param phases 1, 2 or 3.
/// @param connector None for anything but an EVSE.
/// @param access Public for anything but an EVSE.
/// @param meter Whose readings count. A meter that signs EIP-712 readings with a secp256k1 key: the key's address, right
/// aligned. A meter that signs OCMF records: `ocmfMeter(curve, qx, qy, serialHash)`.
struct Asset {
    bytes32 id;
    AssetKind kind;
    uint16 group;
    uint32 ratedW;
    uint32 minW;
    uint8 phases;
    Connector connector;
    Access access;
    int32 latitudeE7;
    int32 longitudeE7;
    bytes32 meter;
}

/// @notice Where an asset is and how it stands.
/// @param tariffHash keccak256(abi.encode(Tariff)) of what an EVSE charges; zero before a tariff is set.
/// @param status Available, Unavailable or Faulted, as the site says; whether it is occupied or reserved is known elsewhere.
/// @param removed Its lane stays, and nothing but zero may be set in it.
/// @param meterSince Since when its present meter is its meter.
struct AssetState {
    bytes32 site;
    uint16 lane;
    bytes32 tariffHash;
    Status status;
    bool removed;
    uint40 meterSince;
}

/// @notice One meter in the life of an asset.
/// @param since Readings from this second on are its; the previous meter's before.
struct MeterPeriod {
    bytes32 meter;
    uint40 since;
}

/// @notice A delegate of a site.
struct Delegate {
    address account;
    uint8 rights;
    uint40 expiry;
}

/// @notice Another price from a minute of the week on.
/// @param fromMinute Minutes since Monday 00:00 UTC, below 10,080.
/// @param price Base units per kWh.
struct Band {
    uint16 fromMinute;
    uint64 price;
}

/// @notice What a session costs. All amounts in base units.
/// @param price Per kWh, outside of all bands: from Monday 00:00 UTC until the first band begins.
/// @param sessionFee Once per session in which energy was delivered.
/// @param idleFeePerMinute Per whole minute plugged in after the declared departure.
/// @param minimum Least amount of a session in which energy was delivered.
/// @param maximum Most a session costs, fees included; 0 for no limit.
/// @param bands In rising order; each holds until the next one begins, the last until the week ends.
struct Tariff {
    uint64 price;
    uint64 sessionFee;
    uint64 idleFeePerMinute;
    uint128 minimum;
    uint128 maximum;
    Band[] bands;
}

/// @notice What an EVSE offers to a driver now, in one call for Settlement and Bookings.
/// @param admitted The driver is registered, not blocked, and within the EVSE's access. The owner is within every access.
/// @param free The driver is the owner or a key-holder.
/// @param authorised The operating account has the right to open and settle sessions at the site.
/// @param paused The guardian has paused new sessions and bookings.
struct Offer {
    bytes32 site;
    bytes32 meter;
    bytes32 tariffHash;
    uint16 operatorFeeBps;
    uint16 rewardBps;
    uint64 rewardCap;
    bool isEvse;
    bool removed;
    Status status;
    bool admitted;
    bool free;
    bool authorised;
    bool paused;
}

/// @notice What a driver signs (EIP-712, domain "Provolt", version "1", this chain, the Settlement contract).
/// @param meter The meter whose readings the driver accepts.
/// @param tariffHash keccak256(abi.encode(Tariff)) of the tariff the driver saw.
/// @param departure When the driver will leave, unix seconds.
/// @param priceCeiling Most the driver pays per kWh.
/// @param totalCeiling Most the driver pays in all; the amount held.
/// @param nonce Any number this driver has not used before in this contract.
/// @param validUntil Last second at which the session may be opened.
struct Request {
    address driver;
    bytes32 evse;
    bytes32 meter;
    bytes32 tariffHash;
    uint32 energyWh;
    uint40 departure;
    uint64 priceCeiling;
    uint128 totalCeiling;
    uint64 nonce;
    uint40 validUntil;
}

/// @notice What an open session is settled by, fixed at its start. The chain keeps its hash only: whoever acts on the
/// session presents it again, as SessionOpened or the last SessionAmended gave it.
/// @param session EIP-712 digest of the request.
/// @param settler Who opened the session, and may settle it even when the right to open others has ended.
/// @param departure As declared, or as amended by the driver.
/// @param lastReading Time of the last reading that kept the session open beyond its departure; 0 before.
/// @param held What left the driver's wallet until settlement; 0 for who charges free.
/// @param place Where the session is kept among those of its EVSE.
/// @param tariffHash keccak256(abi.encode(Tariff)) of what it costs, which is presented beside the terms.
struct Terms {
    bytes32 session;
    bytes32 site;
    bytes32 evse;
    bytes32 meter;
    address driver;
    address settler;
    uint32 energyWh;
    uint40 openedAt;
    uint40 departure;
    uint40 lastReading;
    uint128 held;
    uint16 operatorFeeBps;
    uint16 rewardBps;
    uint64 rewardCap;
    uint16 place;
    bytes32 tariffHash;
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

/// @notice What differs from reading to reading of a session, and the meter's signature over the whole MeterReading: the
/// asset is the session's EVSE, the context follows from the place in the list.
/// @param r,vs The signature in its compact form (ERC-2098).
struct SignedReading {
    uint64 importWh;
    uint64 exportWh;
    uint40 time;
    uint64 counter;
    bytes32 r;
    bytes32 vs;
}

/// @notice A signed OCMF record.
/// @param payload The text between the two pipes, byte for byte: what is signed.
/// @param r,s The signature, as decoded from its DER form.
struct OcmfRecord {
    bytes payload;
    bytes32 r;
    bytes32 s;
}

/// @notice The key of an OCMF meter.
/// @param qx,qy The public key.
/// @param serialHash keccak256 of the meter's serial number as its records state it (`MS`, without it `GS`).
struct OcmfKey {
    Curve curve;
    bytes32 qx;
    bytes32 qy;
    bytes32 serialHash;
}

/// @notice What a session came to.
/// @param fiscal Whether the counters are of an OCMF meter's fiscal series; else of its transactions.
/// @param startTime,stopTime When the meter says it began and ended; 0 where the meter's clock is not set.
/// @param amount What the driver paid: from here the fees, and the rest to the site's owner.
/// @param reward Flexibility tokens claimed for the driver.
struct Bill {
    uint64 startMilliWh;
    uint64 stopMilliWh;
    uint64 startCounter;
    uint64 stopCounter;
    bool fiscal;
    uint40 startTime;
    uint40 stopTime;
    uint40 settledAt;
    uint128 amount;
    uint128 operatorFee;
    uint128 protocolFee;
    uint128 reward;
}

/// @notice Where a lane's evidence is in what was posted for a site.
/// @param previous History of the site before the readings were posted; zero if they were the first step.
/// @param lanes,root As in ReadingsPosted.
/// @param later Steps posted since, oldest first, each as SetpointsPosted and ReadingsPosted define it.
/// @param lane The lane whose leaf is proven.
/// @param siblings Merkle path from the leaf up, as OpenZeppelin's MerkleProof takes it.
struct ReadingProof {
    bytes32 previous;
    bytes lanes;
    bytes32 root;
    bytes32[] later;
    uint16 lane;
    bytes32[] siblings;
}

/// @notice What was posted for an interval of a site, as its chained history has it.
/// @param kind 1 setpoints, 2 readings.
/// @param lanes As in SetpointsPosted or ReadingsPosted.
/// @param evidence The planHash of setpoints, the root of readings.
struct HistoryStep {
    uint8 kind;
    uint32 interval;
    bytes lanes;
    bytes32 evidence;
}

/// @notice How far off the forecasts were that intervals were dispatched with. Powers are sums over intervals and assets of a
/// kind, of absolute values in W: divided by `scored` they are means.
/// @param first,last The earliest and the latest interval scored.
/// @param scored How many were.
/// @param baseLoadW What base loads were taken for.
/// @param baseLoadErrorW By how much they drew more or less.
/// @param pvW What was to be used of the sun.
/// @param pvErrorW By how much PV inverters fed more or less.
struct ForecastScore {
    uint32 first;
    uint32 last;
    uint32 scored;
    uint64 baseLoadW;
    uint64 baseLoadErrorW;
    uint64 pvW;
    uint64 pvErrorW;
}

/// @notice How far the session was moved off its uncontrolled baseline, and what that was worth.
/// @param activatedWh F = ½ Σ |p₀ − p| Δt.
/// @param displacedWhIntervals G = Σ (E₀ − E) in watt-hours × intervals.
/// @param worth V = Σ λ (p₀ − p) Δt at node prices, base units, may be negative.
struct Flexibility {
    uint32 activatedWh;
    uint64 displacedWhIntervals;
    int64 worth;
}

/// @notice What shows how much a session's flexibility can have been worth at most.
/// @param previous History of the site before the first of `steps`.
/// @param steps Everything posted for the site from there on, oldest first, each as SetpointsPosted and ReadingsPosted define it.
/// @param readings Of every interval that the session touched, from the one of its begin on. Of the last one they may be left
/// out: they are posted after the bill, and what was billed says nearly as much.
/// @param needs What plans of the stay took for the session, in any order. Where none is opened, the claim is believed what is
/// best for it.
struct RewardEvidence {
    bytes32 previous;
    bytes32[] steps;
    PostedReadings[] readings;
    OpenedNeed[] needs;
}

/// @notice Readings as they were posted.
/// @param lanes,root As in ReadingsPosted.
/// @param step Which of the steps beside them that was, counted from zero.
struct PostedReadings {
    uint32 interval;
    bytes lanes;
    bytes32 root;
    uint16 step;
}

/// @notice A leaf of the tree over a plan's needs (see Certificate), which begins with the plan's interval.
/// @param step Which of the steps posted the plan's setpoints, counted from zero.
/// @param plan As in PlanPosted.
/// @param need The need's 16 bytes in the inputs.
/// @param rowHash Hash of its powers.
/// @param prices Node price and lower of import and feed-in price of each interval of its window, as they are hashed.
/// @param siblings Merkle path from the leaf up.
struct OpenedNeed {
    uint16 step;
    Plan plan;
    bytes need;
    bytes32 rowHash;
    bytes prices;
    bytes32[] siblings;
}

/// @notice What a driver signs to change a session (EIP-712, domain of Settlement).
/// @param energyWh Energy wanted now.
/// @param departure Second at which the driver leaves now; the present one stops the session.
/// @param validUntil Last second at which the amendment may be made.
struct Amendment {
    bytes32 session;
    uint32 energyWh;
    uint40 departure;
    uint64 nonce;
    uint40 validUntil;
}

/// @notice What an account signs to be paid out by a relayer (EIP-712, domain of Settlement).
/// @param to Who gets the tokens; for a migration the new Settlement, where `account` keeps them.
struct Withdrawal {
    address account;
    address to;
    uint256 amount;
    uint64 nonce;
    uint40 validUntil;
}

/// @notice What a host asks for bookings of an EVSE.
/// @param deposit Held with every booking; comes back at check-in.
/// @param pricePerInterval For having the EVSE kept free; due at check-in, also where intervals have prices of their own,
/// which then take its place.
/// @param cancelBefore Seconds before the start until which cancelling is free.
/// @param noShowBps Share of deposit and price that goes to the host for who cancels later or does not come.
/// @param maxCount Most intervals of one booking; 0, as before any terms are set, takes no bookings.
struct BookingTerms {
    uint72 deposit;
    uint64 pricePerInterval;
    uint24 cancelBefore;
    uint16 noShowBps;
    uint8 maxCount;
}

/// @notice What a driver signs to book (EIP-712, domain "Provolt bookings", version "1", this chain, the Bookings contract).
/// @param from First interval.
/// @param count Number of intervals.
/// @param version Of the terms that the driver saw.
/// @param totalCeiling Most that may be held for it, deposit and price.
/// @param nonce Any number this driver has not used before in this contract.
/// @param validUntil Last second at which it may be made.
struct BookingRequest {
    address driver;
    bytes32 evse;
    uint32 from;
    uint16 count;
    uint8 version;
    uint128 totalCeiling;
    uint64 nonce;
    uint40 validUntil;
}

/// @notice What a driver signs to cancel (EIP-712, domain of Bookings).
struct Cancellation {
    address driver;
    bytes32 evse;
    uint32 from;
    uint64 nonce;
    uint40 validUntil;
}

/// @notice A booking as the chain keeps it.
/// @param driver Zero for intervals that the host keeps for itself, whoever owns the site.
/// @param price For having the EVSE kept free.
/// @param deposit Held beside the price.
/// @param noShowBps,cancelBefore As the host asked when it was made.
struct Booking {
    address driver;
    uint32 from;
    uint16 count;
    bool checkedIn;
    uint72 price;
    uint72 deposit;
    uint16 noShowBps;
    uint24 cancelBefore;
}

/// @notice Sites, groups, assets, tariffs, meters, owners, delegates and drivers.
/// @dev Warning: an id belongs to whoever registers it first, and a meter to whoever names it. Neither is proof that the
/// site, the asset or the meter is real; that needs an attestation from outside (`attestMeter`).
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
    /// @notice A group has other limits, for batches posted from now on.
    event GroupLimitsSet(bytes32 indexed site, uint16 indexed group, uint32 limitImportW, uint32 limitExportW);
    /// @notice A site has one more asset, whose place in every batch is `lane`.
    event AssetRegistered(bytes32 indexed site, bytes32 indexed asset, uint16 indexed lane, Asset data, string clearId);
    /// @notice No session begins at the asset any more, and its lane takes zero only. What is open is settled as ever.
    event AssetRemoved(bytes32 indexed site, bytes32 indexed asset, uint16 indexed lane);
    /// @notice Sessions opened from now on at `asset` cost this.
    event TariffSet(bytes32 indexed site, bytes32 indexed asset, bytes32 tariffHash, Tariff tariff);
    /// @notice Another group of drivers may use the EVSE.
    event AccessSet(bytes32 indexed site, bytes32 indexed asset, Access access);
    /// @notice Readings of the asset are signed by `meter` from now on; sessions that are open stay with the meter before.
    event MeterSet(bytes32 indexed site, bytes32 indexed asset, bytes32 meter);
    /// @notice `attester` vouches, or no longer vouches, for a meter.
    event MeterAttested(address indexed attester, bytes32 indexed meter, bool valid);
    /// @notice The EVSE's own state, and why.
    event StatusSet(bytes32 indexed site, bytes32 indexed asset, Status status, string reason);
    /// @notice `delegate` has exactly `rights` at `site` up to and including second `expiry`.
    event DelegateSet(bytes32 indexed site, address indexed delegate, uint8 rights, uint40 expiry);
    /// @notice Who runs the site, for which share, and what it gives for flexibility.
    event OperatorSet(
        bytes32 indexed site, address indexed operator, uint16 operatorFeeBps, uint16 rewardBps, uint64 rewardCap
    );
    /// @notice `pendingOwner` may accept the site; zero takes the offer back.
    event OwnerProposed(bytes32 indexed site, address indexed owner, address indexed pendingOwner);
    /// @notice The site has another owner.
    event OwnerChanged(bytes32 indexed site, address indexed previous, address indexed owner);
    /// @notice `driver` may sign requests.
    event DriverRegistered(address indexed driver);
    /// @notice What `driver` is to the site from now on.
    event StandingSet(bytes32 indexed site, address indexed driver, Standing standing);
    /// @notice New sessions and bookings are refused, or accepted again.
    event PausedSet(bool paused);
    /// @notice Another account may pause.
    event GuardianChanged(address indexed previous, address indexed guardian);

    /// @notice The clear id is empty.
    error EmptyId();
    /// @notice The text is longer than it needs to be.
    error TextTooLong(uint256 length, uint256 max);
    /// @notice The asset's id is not the hash of its clear id.
    error IdMismatch(bytes32 id, bytes32 expected);
    /// @notice The site's id is taken.
    error SiteExists(bytes32 site);
    /// @notice No site has this id.
    error UnknownSite(bytes32 site);
    /// @notice Only the owner may do this.
    error NotOwner(bytes32 site, address caller, address owner);
    /// @notice Only who the owner has named may take the site over.
    error NotPendingOwner(bytes32 site, address caller, address pendingOwner);
    /// @notice The caller lacks the right at the site.
    error NotAllowed(bytes32 site, address caller, uint8 right);
    /// @notice The group's parent is not on the path from the root to the group before it.
    error GroupOutOfOrder(bytes32 site, uint16 group, uint16 parent);
    /// @notice The site would have more groups than a batch can check.
    error TooManyGroups(bytes32 site, uint256 count, uint256 max);
    /// @notice The site has no such group.
    error UnknownGroup(bytes32 site, uint16 group);
    /// @notice The asset's id is taken, at this site or another.
    error AssetExists(bytes32 asset);
    /// @notice No asset has this id, or had it at the time asked for, or no asset sits in this lane.
    error UnknownAsset(bytes32 asset);
    /// @notice The asset was removed.
    error AssetIsRemoved(bytes32 asset);
    /// @notice The asset's group comes before the group of the asset before it.
    error AssetOutOfOrder(bytes32 site, bytes32 asset, uint16 group);
    /// @notice The site would have more assets than a batch can carry.
    error TooManyAssets(bytes32 site, uint256 count, uint256 max);
    /// @notice The site would have more delegates than a registration can keep up to date.
    error TooManyDelegates(bytes32 site, uint256 count, uint256 max);
    /// @notice The asset would have more meters than anybody wants to look through.
    error TooManyMeters(bytes32 asset, uint256 count, uint256 max);
    /// @notice The rated power is zero, no multiple of 10 W, above 327,670 W or below the least power.
    error BadRating(bytes32 asset, uint32 ratedW, uint32 minW);
    /// @notice There are 1, 2 or 3 phases.
    error BadPhases(bytes32 asset, uint8 phases);
    /// @notice An EVSE needs a connector, and nothing else may have one.
    error BadConnector(bytes32 asset, Connector connector);
    /// @notice The position is not on the globe.
    error BadPosition(int32 latitudeE7, int32 longitudeE7);
    /// @notice The meter is zero, which no signature can match.
    error NoMeter(bytes32 asset);
    /// @notice Only an EVSE has a tariff, an access and a status.
    error NotEvse(bytes32 asset);
    /// @notice Bands are in rising order, inside the week, and not too many; `band` is the first that is not.
    error BadBands(uint256 band);
    /// @notice The least amount is above the greatest.
    error BadTariffBounds(uint128 minimum, uint128 maximum);
    /// @notice A share above its limit, which is 0 where nobody would receive it.
    error ShareTooHigh(uint256 bps, uint256 max);
    /// @notice A site sets Available, Unavailable and Faulted; Occupied and Reserved follow from sessions and bookings.
    error StatusNotSettable(bytes32 asset, Status status);
    /// @notice Rights that do not exist.
    error UnknownRights(uint8 rights);
    /// @notice Two lists that belong together differ in length.
    error LengthMismatch(uint256 a, uint256 b);
    /// @notice The list is longer than one call may take.
    error ListTooLong(uint256 length, uint256 max);
    /// @notice The signature is not the driver's.
    error BadDriverSignature(address driver);
    /// @notice Only the guardian may do this.
    error NotGuardian(address caller, address guardian);
    /// @notice The chain refused to store the site's layout.
    error LayoutNotStored(uint256 length);

    /// @notice Registers a site; the caller becomes its owner. The id is keccak256 of the clear id.
    function registerSite(string calldata clearId, string calldata timeZone, int32 latitudeE7, int32 longitudeE7)
        external
        returns (bytes32 site);
    /// @notice Appends groups to a site, in preorder. Owner only.
    /// @dev A group's parent must be the group before it or one of that group's ancestors; group 0 names itself.
    function registerGroups(bytes32 site, Group[] calldata groups) external;
    /// @notice Sets the limits of a group for batches posted from now on. Owner only.
    function setGroupLimits(bytes32 site, uint16 group, uint32 limitImportW, uint32 limitExportW) external;
    /// @notice Appends assets to a site, in the order of their groups. `clearIds[i]` must hash to `assets[i].id`. Owner only.
    function registerAssets(bytes32 site, Asset[] calldata assets, string[] calldata clearIds) external;
    /// @notice Ends an asset's service. An open session goes on to be settled by its terms, which Settlement keeps without
    /// the registry. Owner only.
    /// @dev Its lane stays with rating zero: lanes of the others, and what was posted, keep their meaning. Its id stays taken.
    function removeAsset(bytes32 asset) external;
    /// @notice Sets what sessions opened from now on cost at these EVSEs. Owner only.
    function setTariff(bytes32[] calldata evses, Tariff calldata tariff) external;
    /// @notice Sets who may use an EVSE. Owner only.
    function setAccess(bytes32 evse, Access access) external;
    /// @notice Replaces an asset's meter, or its key. The meters before stay known with their times, so that past readings
    /// can be verified. Naming the present meter changes nothing. Owner only.
    function setMeter(bytes32 asset, bytes32 meter) external;
    /// @notice Vouches for a meter, or no longer does: for manufacturers and calibration authorities, whom clients choose.
    function attestMeter(bytes32 meter, bool valid) external;
    /// @notice Says how an EVSE stands: Available, Unavailable or Faulted. Owner or RIGHT_DISPATCH.
    /// @param reason OCPP's error code or a short text, for display.
    function setStatus(bytes32 evse, Status status, string calldata reason) external;
    /// @notice Gives exactly `rights` on a site (RIGHT_* bits; 0 takes all) up to and including second `expiry`. Owner only.
    function setDelegate(bytes32 site, address delegate, uint8 rights, uint40 expiry) external;
    /// @notice Names who runs the site, and its shares, for sessions opened from now on. Owner only.
    /// @dev Without an operator there is no operator's fee.
    function setOperator(bytes32 site, address operator, uint16 operatorFeeBps, uint16 rewardBps, uint64 rewardCap)
        external;
    /// @notice Offers the site to another owner. Owner only.
    function proposeOwner(bytes32 site, address pendingOwner) external;
    /// @notice Takes over an offered site. What the previous owner could do ends at once; delegates, operator and standings
    /// stay until the new owner changes them.
    function acceptOwner(bytes32 site) external;
    /// @notice Sets what drivers are to the site: member, key-holder, blocked, or nothing. Owner only.
    function setStanding(bytes32 site, address[] calldata drivers, Standing standing) external;
    /// @notice Registers the caller as a driver. Idempotent.
    function registerDriver() external;
    /// @notice Registers `driver` from a signature, also that of a smart account (ERC-1271), so that a driver needs no gas.
    /// Idempotent, and never taken back: the signature needs neither nonce nor deadline.
    /// @param signature EIP-712 `RegisterDriver(address driver)` in the registry's domain ("Provolt", "1", chain, registry).
    function registerDriverFor(address driver, bytes calldata signature) external;
    /// @notice Refuses new sessions and bookings, or accepts them again. Guardian only.
    /// @dev Nothing else can be paused: withdrawals, settlements, disputes, claims and reclaims always go on.
    function setPaused(bool paused) external;
    /// @notice Hands the guardian's one power on; to zero gives it up, and lifts a pause that nobody could lift later.
    /// Guardian only.
    function setGuardian(address guardian) external;

    /// @notice A registered site; reverts with UnknownSite.
    function site(bytes32 id) external view returns (Site memory);
    /// @notice A registered group; reverts with UnknownGroup.
    function group(bytes32 site, uint16 index) external view returns (Group memory);
    /// @notice A registered asset and how it stands; reverts with UnknownAsset.
    function asset(bytes32 id) external view returns (Asset memory data, AssetState memory state);
    /// @notice The asset in a lane; reverts with UnknownAsset.
    function assetAt(bytes32 site, uint16 lane) external view returns (bytes32 id);
    /// @notice Whether `who` is registered as a driver.
    function isDriver(address who) external view returns (bool);
    /// @notice What a driver is to a site.
    function standingOf(bytes32 site, address driver) external view returns (Standing);
    /// @notice Whether `attester` vouches for a meter.
    function isAttested(address attester, bytes32 meter) external view returns (bool);
    /// @notice The meter whose readings of `time` counted; reverts with UnknownAsset before the asset's registration. Where
    /// several were named in one second, the last.
    function meterAt(bytes32 asset, uint40 time) external view returns (bytes32);
    /// @notice Id of a meter that signs OCMF records: keccak256(abi.encode(curve, qx, qy, serialHash)).
    function ocmfMeter(OcmfKey calldata key) external pure returns (bytes32);
    /// @notice Whether `who` is the owner of the site or a delegate with all of `rights` now. Nobody but the owner has the
    /// empty set of rights.
    function isAuthorised(bytes32 site, address who, uint8 rights) external view returns (bool);
    /// @notice What an EVSE offers to a driver now, and whether `caller` may open the session; reverts with UnknownAsset.
    function offerOf(bytes32 evse, address driver, address caller) external view returns (Offer memory);
    /// @notice Whether a driver may book an EVSE, and of which site it is; reverts with UnknownAsset.
    /// @dev The EVSE's status is another question: a faulted EVSE may be in order when the booking begins.
    /// @return allowed An EVSE in service, and a driver within its access who is not blocked, registered or not.
    /// @return isPaused Whether new bookings are refused.
    /// @return site Of which site the EVSE is.
    function mayBook(bytes32 evse, address driver) external view returns (bool allowed, bool isPaused, bytes32 site);
    /// @notice What is needed to check a batch.
    /// @return ranges Per group 16 bytes big endian: first lane (2), end lane (2), limitImportW (4), limitExportW (4), zero (4).
    /// @return kinds Per lane 4 bytes big endian: kind (1), zero (1), ratedW / 10 (2).
    function lanesOf(bytes32 site) external view returns (bytes memory ranges, bytes memory kinds);
    /// @notice Whether `who` owns the site, and where its layout is stored as code: what Dispatch asks for who is no delegate.
    /// @return isOwner As said.
    /// @return layoutAt Account whose code is the layout, in the form that libraries/Layout.sol describes; zero when the site
    /// has no groups yet.
    function layoutFor(bytes32 site, address who) external view returns (bool isOwner, address layoutAt);
    /// @notice Where the setpoints and readings of these sites are posted.
    function dispatch() external view returns (IDispatch);
    /// @notice Who may pause; zero when nobody may any more.
    function guardian() external view returns (address);
    /// @notice Whether new sessions and bookings are refused.
    function paused() external view returns (bool);
    /// @notice Who receives the protocol's fee.
    function protocolFeeRecipient() external view returns (address);
    /// @notice The protocol's share of every bill.
    function protocolFeeBps() external view returns (uint16);
    /// @notice Number of sites.
    function siteCount() external view returns (uint256);
    /// @notice Id of the site that was registered as the `index`-th, from 0; reverts with UnknownSite.
    function siteAt(uint256 index) external view returns (bytes32);
    /// @notice All delegates of a site that were given any rights, expired ones included, in no order.
    function delegatesOf(bytes32 site) external view returns (Delegate[] memory);
    /// @notice All meters of an asset before the present one, oldest first.
    function pastMetersOf(bytes32 asset) external view returns (MeterPeriod[] memory);
}

/// @notice The registry in pages, so that a client needs no indexer for a small network. Apart from the registry, whose code
/// has no room for it; anybody may deploy another.
interface IRegistryViews {
    /// @notice The registry that is read.
    function registry() external view returns (address);
    /// @notice Sites [first, first + count), as far as there are any, in the order of registration.
    function sitesPage(uint256 first, uint256 count) external view returns (bytes32[] memory ids, Site[] memory sites);
    /// @notice Groups [first, first + count) of a site, as far as there are any; reverts with UnknownSite.
    function groupsPage(bytes32 site, uint256 first, uint256 count) external view returns (Group[] memory);
    /// @notice Assets in lanes [first, first + count) of a site, as far as there are any; reverts with UnknownSite.
    function assetsPage(bytes32 site, uint256 first, uint256 count)
        external
        view
        returns (Asset[] memory data, AssetState[] memory states);
}

/// @notice Per (site, interval): setpoints before it starts, readings once within a day of its end, disputes for three days
/// more.
/// @dev Warning: an interval may be forgotten once nothing can be done about it any more, and then reads as Open.
/// Warning: the chain sees the root of readings, not the readings. A poster of an arbitrary root, or one who keeps the
/// readings to itself, has proven nothing: count on a lane only when its leaf can be shown.
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
    /// @param root Merkle root over the signed readings behind the lanes, in the form of OpenZeppelin's MerkleProof (a node
    /// is keccak256 of its two children in ascending order), with one leaf per lane:
    ///
    ///     keccak256(bytes.concat(keccak256(abi.encode(uint16 lane, bytes32 startDigest, bytes32 stopDigest))))
    ///
    /// where the digests are those that the lane's meter signed (MeterReading, EIP-712): of the reading from which the lane
    /// counts, normally that at the interval's start, and of the one up to which it counts, normally that at its end. The lane
    /// is importWh − exportWh of stop less that of start. Two zero digests say that the meter was silent, and the lane an
    /// estimate. The leaves are in lane order; an odd node moves up unchanged.
    /// @param history As for setpoints, with step keccak256(abi.encode(2, site, interval, keccak256(lanes), root)).
    event ReadingsPosted(
        bytes32 indexed site,
        uint32 indexed interval,
        address indexed poster,
        bytes lanes,
        bytes32 root,
        bytes32 history
    );

    /// @notice A posted lane contradicts its meter. The whole interval is Disputed from now on.
    /// @param postedWh The lane.
    /// @param provenWh Energy between the two readings behind it.
    /// @param start,stop Those two readings: what the leaf was made of.
    /// @param contrary The reading, signed by the meter, that cannot be true beside them; all zero when the lane and its own
    /// two readings contradict one another.
    event ReadingDisputed(
        bytes32 indexed site,
        uint32 indexed interval,
        uint16 indexed lane,
        address disputer,
        int256 postedWh,
        int256 provenWh,
        MeterReading start,
        MeterReading stop,
        MeterReading contrary
    );

    /// @notice Forecasts of a site were compared with its readings.
    /// @param previous,history History of the site before the first and after the last of the posts that were compared:
    /// scored is every interval whose setpoints and readings are both among them, but for those that were disputed by then
    /// or whose state was forgotten.
    event ForecastsScored(bytes32 indexed site, bytes32 previous, bytes32 history, ForecastScore score);

    /// @notice Only the registry says who may post.
    error NotRegistry(address caller);
    /// @notice The caller lacks the right at the site, or the site does not exist.
    error NotAuthorised(bytes32 site, address caller, uint8 right);
    /// @notice Setpoints for an interval that has begun, or readings more than a day after its end.
    error TooLate(bytes32 site, uint32 interval, uint256 time);
    /// @notice Setpoints for an interval too far ahead, or readings for one that has not ended.
    error TooEarly(bytes32 site, uint32 interval, uint256 time);
    /// @notice Somebody's setpoints for the interval are there already; the first to post wins.
    error AlreadyDispatched(bytes32 site, uint32 interval);
    /// @notice There are no setpoints for the interval, or it was forgotten.
    error NotDispatched(bytes32 site, uint32 interval);
    /// @notice The readings of the interval are there already, disputed or not.
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
    /// @notice Only readings that are there, and not disputed yet, can be disputed.
    error NotDisputable(bytes32 site, uint32 interval, IntervalState state);
    /// @notice The interval's readings could be disputed until second `until`, exclusive.
    error DisputeTooLate(bytes32 site, uint32 interval, uint256 time, uint256 until);
    /// @notice More steps were named than can have followed while readings may be disputed, or opened than any interval needs.
    error TooManySteps(bytes32 site, uint256 count, uint256 max);
    /// @notice The previous history, the opened steps and the later ones do not add up to the site's history: one of them is
    /// wrong, or a step was posted meanwhile.
    error HistoryMismatch(bytes32 site, bytes32 folded, bytes32 history);
    /// @notice The posted readings have no such lane.
    error UnknownLane(bytes32 site, uint16 lane, uint256 lanes);
    /// @notice The history is right, but the leaf is not in the tree of the posted root.
    error ReadingNotInRoot(bytes32 site, bytes32 leaf, bytes32 root);
    /// @notice The lane is what its two readings say.
    error LaneHolds(bytes32 site, uint32 interval, uint16 lane, int256 energyWh);
    /// @notice The contrary reading is of another asset than the lane's.
    error WrongMeter(bytes32 asset, bytes32 expected);
    /// @notice The contrary reading's signature is not the meter's.
    error BadMeterSignature(bytes32 asset, address signer, bytes32 expected);
    /// @notice The contrary reading was signed before or after the two, and says nothing about them.
    error CounterOutside(uint64 counter, uint64 start, uint64 stop);
    /// @notice The contrary reading and the two can all be true.
    error NoContradiction(bytes32 asset, uint64 counter);
    /// @notice The opened steps hold no interval's setpoints and readings both that can be scored.
    error NothingScored(bytes32 site, uint256 steps);

    /// @notice Writes what a delegate may post, until when, and the layout to check it against. Registry only.
    function setPoster(bytes32 site, address delegate, uint8 rights, uint40 expiry, address layoutAt) external;
    /// @notice Posts the setpoints of one interval before it starts, at most 96 intervals ahead. Needs RIGHT_DISPATCH.
    /// @dev A group's effective import limit is the larger of its limit and the base load behind it.
    /// @param lanes,planHash As in SetpointsPosted.
    function postSetpoints(bytes32 site, uint32 interval, bytes calldata lanes, bytes32 planHash) external;
    /// @notice Posts the metered energy of one dispatched interval, at most a day after it has ended. Needs RIGHT_METER.
    /// @dev Energy is not compared with limits: what was metered has happened.
    /// @param lanes,root As in ReadingsPosted.
    function postReadings(bytes32 site, uint32 interval, bytes calldata lanes, bytes32 root) external;
    /// @notice Marks an interval as Disputed because a lane contradicts the two readings that its poster put behind it: it
    /// is not their difference, they are of another asset, their counters do not rise, a register falls, or one lies wholly
    /// outside the interval. Anyone may call it.
    /// @dev No signature is asked for: the poster has vouched for the readings by posting their root.
    function disputeLane(
        bytes32 site,
        uint32 interval,
        ReadingProof calldata proof,
        MeterReading calldata start,
        MeterReading calldata stop
    ) external;
    /// @notice Marks an interval as Disputed because the lane's meter signed another reading, with a counter from that of
    /// `start` to that of `stop`, that cannot be true beside them. Anyone may call it.
    /// @param contrary That reading.
    /// @param signature Of `contrary`, by the key that the registry names for the lane's asset.
    function disputeReading(
        bytes32 site,
        uint32 interval,
        ReadingProof calldata proof,
        MeterReading calldata start,
        MeterReading calldata stop,
        MeterReading calldata contrary,
        bytes calldata signature
    ) external;
    /// @notice Compares what intervals were dispatched with, lane by lane, with what their meters told afterwards: base load
    /// with the setpoint of its lane, which is what the plan took it for; PV with what was to be used of it, which is less
    /// than the sun would have given where it was curtailed. Anyone may call it, for any stretch and any number of times:
    /// nothing is stored, and each event says which posts it is about.
    /// @dev Readings that are disputed do not count, nor those whose state was forgotten: 512 intervals later, or as soon as
    /// the setpoints of that interval are there. Readings can be disputed after they were scored; scored again, they are
    /// left out. An asset registered between setpoints and readings had no forecast and is left out.
    /// @param previous History of the site before the first of `steps`; zero before its first post.
    /// @param steps What was posted from there on, oldest first and without gaps.
    /// @param later Steps posted since, oldest first, each as SetpointsPosted and ReadingsPosted define it.
    function scoreForecasts(bytes32 site, bytes32 previous, HistoryStep[] calldata steps, bytes32[] calldata later)
        external;
    /// @notice Reverts unless the digests are the evidence that was posted for a lane of an interval.
    /// @dev The proof is against the present history, so a step posted meanwhile outdates it: append that step to `later`.
    /// @param startDigest,stopDigest As in ReadingsPosted.
    /// @return energyWh What was posted for the lane.
    function proveReading(
        bytes32 site,
        uint32 interval,
        ReadingProof calldata proof,
        bytes32 startDigest,
        bytes32 stopDigest
    ) external view returns (int256 energyWh);
    /// @notice What a delegate may post, until when, and the layout that is checked, as the registry has it.
    function posterOf(bytes32 site, address delegate)
        external
        view
        returns (uint8 rights, uint40 expiry, address layoutAt);
    /// @notice State of an interval; Open too when it was forgotten.
    function stateOf(bytes32 site, uint32 interval) external view returns (IntervalState);
    /// @notice Hash of everything ever posted for the site; zero before the first step.
    function history(bytes32 site) external view returns (bytes32);
}

/// @notice Whether every plan of a run of intervals carried an accepted certificate. Settlement asks it before it rewards
/// flexibility.
interface ICertificates {
    /// @notice Whether all of [first, last] of a site were dispatched by certified schedules.
    function isCertified(bytes32 site, uint32 first, uint32 last) external view returns (bool);
}

/// @notice Wallets, holds, sessions, bills and receipts.
/// @dev Assumes of the credit token that nobody but this contract can lower this contract's balance, and that a transfer
/// out costs the contract no more than its amount; a token found to have broken it is refused for further deposits.
/// Nothing is assumed about re-entry or about direct transfers in. Acts of a user that a relayer may bring have a form with
/// `For`, from an EIP-712 signature or that of a smart account (ERC-1271). Several calls go in one transaction by `multicall`.
interface ISettlement {
    /// @notice `from` paid `amount` into the wallet of `account`.
    event Deposited(address indexed account, address indexed from, uint256 amount);
    /// @notice `account` took `amount` out of its wallet.
    event Withdrawn(address indexed account, address to, uint256 amount);
    /// @notice `account` moved `amount` to its wallet in another version of this contract.
    event Migrated(address indexed account, address indexed target, uint256 amount);
    /// @notice After a hold the wallet contains less than its owner wants to be told of.
    event LowBalance(address indexed account, uint256 balance, uint256 threshold);
    /// @notice `account` wants to be told of balances below `threshold`.
    event LowBalanceThresholdSet(address indexed account, uint256 threshold);
    /// @notice A session began on these terms.
    event SessionOpened(bytes32 indexed site, address indexed driver, bytes32 indexed evse, Terms terms, Tariff tariff);
    /// @notice The driver changed departure or energy, or a reading kept the session open: these are its terms now.
    event SessionAmended(bytes32 indexed site, address indexed driver, bytes32 indexed evse, Terms terms);
    /// @notice The receipt: with the terms, everything needed to recompute the bill. The rest of the hold went back to the
    /// driver's wallet.
    event SessionSettled(
        bytes32 indexed site, address indexed driver, bytes32 indexed evse, bytes32 session, Bill bill
    );
    /// @notice A signed reading contradicted the bill: this is the bill now, and the difference is in the driver's wallet.
    event BillCorrected(bytes32 indexed site, address indexed driver, bytes32 indexed evse, bytes32 session, Bill bill);
    /// @notice Nobody settled in time; the whole hold went back to the driver's wallet.
    event SessionReclaimed(
        bytes32 indexed site, address indexed driver, bytes32 indexed evse, bytes32 session, uint128 amount
    );
    /// @notice What bills of a site came to and can no longer be disputed went to the wallets.
    event Claimed(
        bytes32 indexed site,
        address indexed owner,
        uint256 amount,
        address operator,
        uint256 operatorFee,
        uint256 protocolFee
    );
    /// @notice Flexibility was claimed for a session; its tokens come when it can no longer be disputed.
    event FlexibilityClaimed(
        bytes32 indexed session, address indexed driver, bytes32 indexed site, Flexibility flexibility, Bill bill
    );
    /// @notice Posted readings and plans show that flexibility was worth less than claimed: this is the bill now.
    event RewardCorrected(
        bytes32 indexed site,
        address indexed driver,
        bytes32 indexed evse,
        bytes32 session,
        address challenger,
        Bill bill
    );
    /// @notice Flexibility tokens were minted to the driver of a session, as many as the operator's pool can redeem.
    event FlexibilityRewarded(bytes32 indexed session, address indexed driver, uint128 claimed, uint256 minted);
    /// @notice Bookings held money of a driver, or let it go: to the driver, and as a fee to the site.
    event BookingHeld(address indexed driver, uint256 amount);
    /// @notice As BookingHeld.
    event BookingReleased(address indexed driver, bytes32 indexed site, uint256 refund, uint256 fee);

    /// @notice Nothing would move.
    error ZeroAmount();
    /// @notice The account is zero.
    error ZeroAddress();
    /// @notice More than a wallet or a hold can be.
    error AmountTooLarge(uint256 amount, uint256 max);
    /// @notice The wallet does not contain what is needed.
    error InsufficientBalance(address account, uint256 balance, uint256 needed);
    /// @notice The token moved another amount than it was asked to.
    error TransferMismatch(uint256 received, uint256 expected);
    /// @notice The token has taken from this contract what it owes to others.
    error TokenRebased(uint256 balance, uint256 accounted);
    /// @notice Only the Bookings contract of this Settlement may do this.
    error NotBookings(address caller);
    /// @notice The guardian has paused new sessions and bookings.
    error Paused();
    /// @notice The driver is not registered, is blocked here, or the EVSE is for others.
    error NotAdmitted(bytes32 evse, address driver);
    /// @notice The asset is not an EVSE.
    error UnknownEvse(bytes32 evse);
    /// @notice The EVSE was removed, or says that it cannot charge.
    error EvseUnavailable(bytes32 evse, Status status);
    /// @notice The caller lacks the right at the site.
    error NotAuthorised(bytes32 site, address caller, uint8 right);
    /// @notice The signature is not the account's, for this act, chain and contract.
    error BadSignature(bytes32 digest, address account);
    /// @notice What was signed may no longer be used.
    error SignatureExpired(uint40 validUntil, uint256 time);
    /// @notice The account has used this nonce.
    error NonceUsed(address account, uint64 nonce);
    /// @notice The declared departure is not in the future, or too far in it; or the one to be amended has passed, at `until`.
    error BadDeparture(uint40 departure, uint256 from, uint256 until);
    /// @notice The driver accepts another meter than the one registered.
    error MeterChanged(bytes32 evse, bytes32 expected, bytes32 registered);
    /// @notice The driver saw another tariff than the one registered, or another one was presented.
    error TariffChanged(bytes32 evse, bytes32 expected, bytes32 registered);
    /// @notice A price of the tariff is above the driver's ceiling.
    error PriceAboveCeiling(uint64 price, uint64 ceiling);
    /// @notice Another session is open at the EVSE.
    error EvseBusy(bytes32 evse);
    /// @notice All places of the EVSE keep sessions that can still be disputed.
    error TooManySessions(bytes32 evse, uint256 max);
    /// @notice The session is not in this state, or its terms or bill are others than presented.
    error WrongState(bytes32 session, SessionState state, SessionState expected);
    /// @notice The session is kept, but with other terms or another bill.
    error TermsMismatch(bytes32 session);
    /// @notice Too few or too many readings.
    error BadReadingCount(bytes32 session, uint256 count, uint256 max);
    /// @notice The readings are not signed by the session's meter, as readings of its EVSE: a Begin, Intervals and an End.
    error WrongMeter(bytes32 session, bytes32 meter, bytes32 expected);
    /// @notice The first OCMF record has no begin, or the last no end.
    error WrongContext(bytes32 session, ReadingContext context, ReadingContext expected);
    /// @notice The record's signature is not its key's.
    error BadRecordSignature(bytes32 session, uint256 record);
    /// @notice A register fell, within the session or since the last bill of this meter.
    error RegisterBackwards(bytes32 session, uint256 register, uint256 previous);
    /// @notice A counter did not rise, within the session or since the last bill of this meter.
    error CounterBackwards(bytes32 session, uint256 counter, uint256 previous);
    /// @notice A reading was taken outside [from, until].
    error OutsideSession(bytes32 session, uint256 time, uint256 from, uint256 until);
    /// @notice The settlers still have until `from`.
    error TooSoonToReclaim(bytes32 session, uint256 time, uint256 from);
    /// @notice The reading that would keep the session open is no later than the last.
    error NotLater(bytes32 session, uint40 time, uint40 previous);
    /// @notice The bill or its reward can no longer be disputed, or flexibility no longer be claimed.
    error DisputeWindowOver(bytes32 session, uint256 time, uint256 until);
    /// @notice The bill can still be disputed until `until`.
    error DisputeWindowOpen(bytes32 session, uint256 time, uint256 until);
    /// @notice The readings lie outside the billed ones, or come to no less.
    error NoContradiction(bytes32 session, uint128 amount, uint128 billed);
    /// @notice Nothing of the site can be claimed yet.
    error NothingToClaim(bytes32 site);
    /// @notice More energy was claimed to be moved, or more worth, than the session allows.
    error TooMuchFlexibility(bytes32 session, uint256 value, uint256 bound);
    /// @notice Flexibility earns nothing without certificates of the schedules behind it.
    error NotCertified(bytes32 session);
    /// @notice The session's flexibility was claimed, or none was.
    error WrongReward(bytes32 session, uint128 reward);
    /// @notice By this evidence the driver's share may be `most`, which is no less than was claimed.
    error RewardHolds(bytes32 session, uint128 reward, uint256 most);
    /// @notice Readings of another number of intervals than the session touched.
    error WrongReadingCount(bytes32 session, uint256 count, uint256 expected);
    /// @notice The readings or the plan of an interval are not what was posted in the step named.
    error NotPosted(bytes32 session, uint256 interval);
    /// @notice The plan's interval is not a whole one of the stay.
    error OutsideStay(bytes32 session, uint256 interval, uint256 first, uint256 last);
    /// @notice The need is not one of the session's EVSE in the plan's tree, or begins later than the plan.
    error NotInPlan(bytes32 session, uint256 interval);

    /// @notice Adds the caller's tokens to the wallet of `account`. Needs an ERC-20 allowance.
    function deposit(address account, uint256 amount) external;
    /// @notice As `deposit`, with an ERC-2612 permit of the caller in place of an earlier allowance.
    /// @dev A permit that somebody else has used already does not matter as long as the allowance is there.
    function depositWithPermit(address account, uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external;
    /// @notice Takes the caller's unheld money out. Always possible.
    function withdraw(address to, uint256 amount) external;
    /// @notice As `withdraw`, from the account's signature over the Withdrawal.
    function withdrawFor(Withdrawal calldata withdrawal, bytes calldata signature) external;
    /// @notice Moves the caller's unheld money to the caller's wallet in another version of this contract.
    function migrate(address target, uint256 amount) external;
    /// @notice As `migrate`, from the account's signature (EIP-712 type `Migration`, members as Withdrawal's).
    function migrateFor(Withdrawal calldata migration, bytes calldata signature) external;
    /// @notice Below this balance every hold emits LowBalance. 0 switches it off.
    function setLowBalanceThreshold(uint256 threshold) external;
    /// @notice Opens a session from the driver's signed request and holds its ceiling. Needs RIGHT_SETTLE on the site.
    /// @dev The site's owner and its key-holders charge free: nothing is held. A booking of the driver is checked in; one of
    /// somebody else within the declared stay refuses the session.
    /// @param tariff The tariff whose hash the registry has and the driver signed.
    /// @return session EIP-712 digest of the request: unique to this driver, chain and contract.
    function openSession(Request calldata request, Tariff calldata tariff, bytes calldata signature)
        external
        returns (bytes32 session);
    /// @notice Changes energy and departure of an open session by its driver's signature. Anyone may bring it, until the
    /// departure has passed: an idle fee that runs goes on.
    function amendFor(Terms calldata terms, Amendment calldata amendment, bytes calldata signature) external;
    /// @notice Shows by a signed reading later than the departure that the car is still there, which puts off `reclaim`, at
    /// most until MAX_STAY + RECLAIM_GRACE after the opening. Needs RIGHT_SETTLE.
    function keepOpen(Terms calldata terms, SignedReading calldata signed) external;
    /// @notice Bills a session from readings signed by its meter's key and refunds the rest. For who opened it, or has
    /// RIGHT_SETTLE on the site.
    /// @param readings The first a Begin, the last an End. Readings between them split the energy where the price changes;
    /// what lies between two readings costs the lowest price that the tariff has anywhere between them.
    /// @return receipt keccak256(abi.encode(terms, bill)), whose leading 26 bytes the chain keeps.
    /// @dev All must be newer than the last ones billed of this meter; the first may precede the opening by at most
    /// MAX_OPEN_DELAY, the last may not lie in the future.
    function settle(Terms calldata terms, Tariff calldata tariff, SignedReading[] calldata readings)
        external
        returns (bytes32 receipt);
    /// @notice As `settle`, from OCMF records: one with begin and end, or two in that order.
    /// @dev A record whose clock is not set is billed without idle fee and at the lowest price of the tariff.
    function settleOcmf(
        Terms calldata terms,
        Tariff calldata tariff,
        OcmfKey calldata key,
        OcmfRecord[] calldata records
    ) external returns (bytes32 receipt);
    /// @notice Corrects a bill within the dispute window by readings of the same meter that lie inside the billed ones, a
    /// Begin and an End: a later begin or an earlier end. Anyone may call it; the contract alone decides.
    function dispute(
        Terms calldata terms,
        Bill calldata bill,
        Tariff calldata tariff,
        SignedReading[] calldata readings
    ) external;
    /// @notice As `dispute`, from OCMF records.
    function disputeOcmf(
        Terms calldata terms,
        Bill calldata bill,
        Tariff calldata tariff,
        OcmfKey calldata key,
        OcmfRecord[] calldata records
    ) external;
    /// @notice Gives the hold back to the driver when nobody settled within RECLAIM_GRACE of departure and last reading.
    /// Anyone may call it.
    function reclaim(Terms calldata terms) external;
    /// @notice Pays out what can no longer be disputed of a site's bills: fees, and the rest to its owner. Anyone may call it.
    function claim(bytes32 site) external;
    /// @notice Claims the reward of a settled session's flexibility for its driver, within CLAIM_WINDOW, so that there is time
    /// left to dispute it. Needs RIGHT_SETTLE, and certificates of all schedules of the session.
    function claimFlexibility(Terms calldata terms, Bill calldata bill, Flexibility calldata flexibility) external;
    /// @notice Lowers a claimed reward within the dispute window to the driver's share of what flexibility can have been worth at
    /// most, by readings and plans that were posted. Anyone may call it; the contract alone decides.
    /// @dev The power of the car is not on chain. The bound is over all that it can have had, and above every honest claim.
    function disputeReward(Terms calldata terms, Bill calldata bill, RewardEvidence calldata evidence) external;
    /// @notice Mints a claimed reward when the dispute window is over; nothing where a plan of the session was refuted since.
    /// Anyone may call it.
    /// @dev Within MINT_GRACE of the window's end: later the session's place may be another's.
    function mintReward(Terms calldata terms, Bill calldata bill) external;
    /// @notice Holds a driver's money for a booking. Bookings only.
    function holdForBooking(address driver, uint128 amount) external;
    /// @notice Lets a booking's money go: a refund to the driver and a fee to the site. Bookings only.
    function releaseFromBooking(address driver, uint128 refund, bytes32 site, uint128 fee) external;

    /// @notice Unheld money of an account.
    function balanceOf(address account) external view returns (uint256);
    /// @notice Sum of all wallets, holds, bookings' money and bills not paid out; never more than the tokens this contract owns.
    function accounted() external view returns (uint256);
    /// @notice Whether an account has used a nonce.
    function isNonceUsed(address account, uint64 nonce) external view returns (bool);
    /// @notice Whether a session is open at an EVSE, and at which place it is kept.
    function openAt(bytes32 evse) external view returns (bool open, uint16 place);
    /// @notice What a place of an EVSE keeps.
    /// @return commitment The leading 26 bytes of keccak256(abi.encode(terms)) of an active or reclaimed session, of the
    /// receipt of a settled one.
    /// @return time When the state was entered; MINT_GRACE later for a settled session with a reward, whose place is kept for
    /// as much longer.
    function placeAt(bytes32 evse, uint16 place)
        external
        view
        returns (bytes26 commitment, uint40 time, SessionState state);
    /// @notice What bills of a site came to: what can be paid out now, and what can still be disputed.
    function claimableOf(bytes32 site) external view returns (uint256 claimable, uint256 pending);
    /// @notice The last registers and counters billed of a meter at an EVSE.
    function billedOf(bytes32 evse, bytes32 meter)
        external
        view
        returns (uint64 importMilliWh, uint64 exportMilliWh, uint48 transactionCounter, uint48 fiscalCounter);
    /// @notice EIP-712 digest of a request, which its driver signs and which names the session.
    function sessionId(Request calldata request) external view returns (bytes32);
    /// @notice EIP-712 digest of an amendment.
    function amendmentHash(Amendment calldata amendment) external view returns (bytes32);
    /// @notice EIP-712 digest of a withdrawal.
    function withdrawalHash(Withdrawal calldata withdrawal) external view returns (bytes32);
    /// @notice EIP-712 digest of a migration.
    function migrationHash(Withdrawal calldata migration) external view returns (bytes32);
    /// @notice EIP-712 digest of a reading, which its meter signs.
    function readingHash(MeterReading calldata reading) external view returns (bytes32);
    /// @notice The token in which everything is paid.
    function credit() external view returns (address);
    /// @notice The token that rewards certified flexibility.
    function flexibility() external view returns (address);
    /// @notice The bookings of this Settlement.
    function bookings() external view returns (address);
}

/// @notice Exclusive runs of intervals on an EVSE, first come first served in chain order. The money is in Settlement.
/// @dev An EVSE's calendar is a ring of MAX_AHEAD_DAYS days. A booked EVSE takes no session of anybody else in that time.
interface IBookings {
    /// @notice A driver has an EVSE for a run of intervals.
    event Booked(
        bytes32 indexed evse, address indexed driver, uint32 indexed from, uint16 count, uint72 price, uint72 deposit
    );
    /// @notice A booking was given up; `fee` went to the host, the rest back to the driver.
    event Cancelled(bytes32 indexed evse, address indexed driver, uint32 indexed from, uint256 refund, uint256 fee);
    /// @notice A driver did not come; `fee` went to the host, the rest back to the driver, and the EVSE is free again.
    event NoShow(bytes32 indexed evse, address indexed driver, uint32 indexed from, uint256 refund, uint256 fee);
    /// @notice A booking's driver opened a session; the deposit went back, the price to the host.
    event CheckedIn(bytes32 indexed evse, address indexed driver, uint32 indexed from, uint256 deposit, uint256 price);
    /// @notice The host keeps intervals for itself, or frees them.
    event Blocked(bytes32 indexed evse, uint32 indexed from, uint16 count);
    /// @notice As Blocked.
    event Unblocked(bytes32 indexed evse, uint32 indexed from, uint16 count);
    /// @notice What the host asks for bookings from now on.
    event BookingTermsSet(bytes32 indexed evse, BookingTerms terms, uint8 version);
    /// @notice Intervals from `from` on have prices of their own; the highest value of the type takes an interval's away.
    event PricesSet(bytes32 indexed evse, uint32 indexed from, uint64[] prices);

    /// @notice No such EVSE, removed, or not for this driver.
    error NotAdmitted(bytes32 evse, address driver);
    /// @notice The guardian has paused new sessions and bookings.
    error Paused();
    /// @notice Only the owner of the EVSE's site may do this.
    error NotOwner(bytes32 evse, address caller);
    /// @notice Only the Settlement of these Bookings may do this.
    error NotSettlement(address caller);
    /// @notice A booking is at least one interval and at most `max`.
    error BadCount(uint256 count, uint256 max);
    /// @notice The first interval has begun, or the last is beyond the calendar.
    error OutsideCalendar(uint32 from, uint256 earliest, uint256 end);
    /// @notice This interval is taken.
    error IntervalTaken(bytes32 evse, uint32 interval);
    /// @notice Deposit and price come to more than the driver allows.
    error AboveCeiling(uint256 total, uint128 ceiling);
    /// @notice There is no booking that begins there.
    error NoBooking(bytes32 evse, uint32 from);
    /// @notice The booking is another driver's.
    error NotBooker(bytes32 evse, uint32 from, address driver, address caller);
    /// @notice The driver has checked in: the booking has served its purpose and its money has gone.
    error AlreadyCheckedIn(bytes32 evse, uint32 from);
    /// @notice The booking's time is over.
    error TooLateToCancel(bytes32 evse, uint32 from);
    /// @notice A driver may still come until `from`.
    error TooSoonForNoShow(bytes32 evse, uint32 from, uint256 time, uint256 until);
    /// @notice A share above the whole, a time or a number of intervals beyond the calendar, or a deposit above its limit.
    error BadTerms(uint256 value, uint256 max);
    /// @notice The host asks for something else than what the driver saw.
    error TermsChanged(bytes32 evse, uint8 expected, uint8 current);
    /// @notice Terms change so often that a booking's own would be forgotten; the next may be set from interval `until` on.
    error TermsTooOften(bytes32 evse, uint256 until);
    /// @notice The signature is not the driver's, for this act, chain and contract.
    error BadSignature(bytes32 digest, address account);
    /// @notice What was signed may no longer be used.
    error SignatureExpired(uint40 validUntil, uint256 time);
    /// @notice The account has used this nonce.
    error NonceUsed(address account, uint64 nonce);

    /// @notice Books a run of intervals for the caller, all or none; names the first interval that is taken.
    /// @dev A booking in the same place of the ring that nobody has ended is ended here, as a no-show.
    /// @param version Of the terms that the driver saw.
    /// @param totalCeiling Most that may be held, deposit and price.
    function book(bytes32 evse, uint32 from, uint16 count, uint8 version, uint128 totalCeiling) external;
    /// @notice As `book`, from the driver's signature. Anyone may bring it.
    function bookFor(BookingRequest calldata request, bytes calldata signature) external;
    /// @notice Gives up a booking of the caller before its end. Free until the host's deadline, and whenever the EVSE cannot
    /// serve it: it is removed, unavailable or faulted, the driver is not admitted any more, sessions are paused, or the booked
    /// time has begun and a session is open there.
    function cancel(bytes32 evse, uint32 from) external;
    /// @notice As `cancel`, from the driver's signature. Anyone may bring it.
    function cancelFor(Cancellation calldata cancellation, bytes calldata signature) external;
    /// @notice Ends a booking whose driver did not come within NO_SHOW_GRACE of its start. Anyone may call it.
    /// @dev Costs the driver nothing while cancelling would not, nor when nobody called until the terms were forgotten.
    function noShow(bytes32 evse, uint32 from) external;
    /// @notice Keeps free intervals for the host. Owner of the site only.
    function blockIntervals(bytes32 evse, uint32 from, uint16 count) external;
    /// @notice Frees what the host kept from `from` on. Owner of the site only.
    function unblockIntervals(bytes32 evse, uint32 from) external;
    /// @notice Sets what bookings made from now on ask. Owner of the site only.
    function setTerms(bytes32 evse, BookingTerms calldata terms) external;
    /// @notice Sets prices of single intervals from `from` on, for bookings made from now on. Owner of the site only.
    function setPrices(bytes32 evse, uint32 from, uint64[] calldata prices) external;
    /// @notice Checks in the driver's bookings that a stay from now on touches, and refuses it where others have booked.
    /// Settlement only.
    /// @dev What the host keeps for itself refuses everybody but the owner of the site.
    /// @param departure Declared end of the stay.
    /// @return refund Deposits that go back to the driver.
    /// @return fee Prices that go to the host.
    function checkIn(bytes32 evse, address driver, uint40 departure) external returns (uint128 refund, uint128 fee);
    /// @notice Refuses a stay that others have booked into. The view of `checkIn`, for amendments.
    function requireFree(bytes32 evse, address driver, uint40 departure) external view;

    /// @notice What a run of intervals would cost now.
    function quote(bytes32 evse, uint32 from, uint16 count) external view returns (uint256 price, uint256 deposit);
    /// @notice The booking or block that holds an interval; reverts with NoBooking where it is free.
    function bookingAt(bytes32 evse, uint32 interval) external view returns (Booking memory);
    /// @notice Which intervals of a UTC day are taken: bit i is interval 96 · day + i.
    function takenOn(bytes32 evse, uint256 day) external view returns (uint96 taken);
    /// @notice What the host asks for bookings now.
    function termsOf(bytes32 evse) external view returns (BookingTerms memory terms, uint8 version);
    /// @notice State of an EVSE with everything known: Faulted and Unavailable before Occupied before Reserved.
    /// @dev A removed EVSE is Unavailable. What the host keeps for itself is Reserved: the EVSE can charge, for its owner.
    function statusOf(bytes32 evse) external view returns (Status);
    /// @notice EIP-712 digest of a booking request.
    function bookingHash(BookingRequest calldata request) external view returns (bytes32);
    /// @notice EIP-712 digest of a cancellation.
    function cancellationHash(Cancellation calldata cancellation) external view returns (bytes32);
    /// @notice Whether an account has used a nonce.
    function isNonceUsed(address account, uint64 nonce) external view returns (bool);
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

/// @notice The flexibility token: an ERC-20 with the credit token's decimals that only Settlement mints, and the pools of
/// credit that operators fund to redeem it from.
/// @dev A token is redeemed from an operator's pool at the operator's rate, and from no pool more tokens than were minted
/// for sessions at its operator's sites. Minting stops where the pool could not redeem all that is out.
interface IFlexibilityToken {
    /// @notice `from` put credit into an operator's pool.
    event PoolFunded(address indexed operator, address indexed from, uint256 amount);
    /// @notice An operator took what its pool does not owe.
    event SurplusTaken(address indexed operator, address indexed to, uint256 amount);
    /// @notice What an operator gives for a token, in base units of credit per 1e6 base units of the token.
    event RateSet(address indexed operator, uint256 rate);
    /// @notice An operator gave, or withdrew, its consent to reward the sessions of a site.
    event ServedSet(address indexed operator, bytes32 indexed site, bool served);
    /// @notice Tokens were minted for a session at an operator's site, and a claim on its pool with them.
    event Rewarded(address indexed operator, address indexed driver, uint256 amount);
    /// @notice A holder gave tokens and its claim on an operator's pool to another.
    event PassedOn(address indexed operator, address indexed from, address indexed to, uint256 amount);
    /// @notice A holder turned tokens into credit.
    event Redeemed(address indexed operator, address indexed holder, uint256 amount, uint256 paid);

    /// @notice Only Settlement mints.
    error NotMinter(address caller, address minter);
    /// @notice Nothing would move.
    error ZeroAmount();
    /// @notice The token moved another amount than it was asked to.
    error TransferMismatch(uint256 received, uint256 expected);
    /// @notice A rate above what fits.
    error RateTooHigh(uint256 rate, uint256 max);
    /// @notice A rate may not fall while tokens are out that were earned at it.
    error RateLowered(uint256 rate, uint256 current);
    /// @notice The pool could not redeem at this rate what is out.
    error PoolTooSmall(address operator, uint256 pool, uint256 needed);
    /// @notice The caller's claim on the operator's pool is smaller than that.
    error NotOwed(address operator, uint256 amount, uint256 claim);

    /// @notice Makes up to `amount` new tokens for `to`, as many as the operator's pool can redeem, with a claim on it; none
    /// for a site that the operator does not serve. Minter only.
    /// @return minted How many.
    function mint(address to, address operator, bytes32 site, uint256 amount) external returns (uint256 minted);
    /// @notice Says whether sessions at `site` may be rewarded from the caller's pool while it is the site's operator. What
    /// was minted stays owed.
    function setServed(bytes32 site, bool served) external;
    /// @notice Adds the caller's credit to an operator's pool. Needs an ERC-20 allowance.
    function fund(address operator, uint256 amount) external;
    /// @notice Sets what the caller gives for a token; may only rise while tokens are out.
    function setRate(uint256 rate) external;
    /// @notice Takes out of the caller's pool what it does not owe.
    function takeSurplus(address to, uint256 amount) external;
    /// @notice Burns the caller's tokens, and its claim, for credit from an operator's pool: floor(amount × rate / 1e6).
    function redeem(address operator, uint256 amount) external returns (uint256 paid);
    /// @notice Gives tokens with the caller's claim on an operator's pool to `to`. A plain ERC-20 transfer moves tokens only:
    /// the claim stays with their sender, who can use it again with any tokens.
    function passOn(address operator, address to, uint256 amount) external;
    /// @notice Whether an operator lets a site's sessions be rewarded from its pool.
    function serves(address operator, bytes32 site) external view returns (bool);
    /// @notice Most tokens that a holder can redeem at an operator's pool, if it has them.
    function claimOf(address operator, address holder) external view returns (uint256);
    /// @notice Credit in an operator's pool, its rate, and the sum of all claims on it.
    function poolOf(address operator) external view returns (uint256 balance, uint256 rate, uint256 outstanding);
    /// @notice Sum of all pools; never more than the credit this contract owns.
    function accounted() external view returns (uint256);
    /// @notice As in ERC-20.
    function balanceOf(address account) external view returns (uint256);
    /// @notice As in ERC-20.
    function totalSupply() external view returns (uint256);
}

/// @notice Which of a certificate's three byte strings.
enum CertificatePart {
    Inputs,
    Schedule,
    Multipliers
}

/// @notice Whose power a certificate got wrong.
enum Powered {
    BaseLoad, // a forecast of more than 15 bits
    Pv, // as a base load, or more used than forecast
    Battery, // a most power of more than 15 bits, or more than that
    Need // as a battery
}

/// @notice Decides whether a schedule keeps every limit of its committed problem, what it costs, and what no schedule of that
/// problem can undercut. The mathematics and the bytes are in docs/proof.md; its code is the definition of the algorithm.
/// @dev Cost and bound are in hundredths of (2.5 Wh times one base unit per kWh): 40,000 to a base unit of credit. Any
/// multipliers give a valid bound: bad ones a low one, never a false one.
interface IScheduleVerifier {
    /// @notice The inputs that a site's plan from `interval` on must have.
    event InputsCommitted(bytes32 indexed site, uint32 indexed interval, address indexed by, bytes32 inputsHash);
    /// @notice A schedule of the committed inputs keeps every limit; its cost is at most `cost - bound` above the optimum.
    event ScheduleCertified(
        bytes32 indexed site,
        uint32 indexed interval,
        bytes32 inputsHash,
        bytes32 firstColumnHash,
        int256 cost,
        int256 bound
    );

    error WrongHeader(uint256 version, uint256 intervals, uint256 groups, uint256 needs);
    error WrongPartLength(CertificatePart part, uint256 length, uint256 expected);
    error NoSuchGroup(uint256 group, uint256 groups);
    error NoSuchLane(uint256 lane, uint256 lanes);
    error LimitOutOfRange(uint256 group);
    error PriceOutOfRange(uint256 group);
    /// @dev Series: import price, feed-in price, peak, then the batteries.
    error SeriesOutOfRange(uint256 series);
    error PeakOverpriced(uint256 sum, uint256 most);
    error EmptyRow(uint256 row);
    error PowerOutOfRange(Powered kind, uint256 index);
    error ContentOutOfRange(uint256 battery, uint256 interval, int256 content);
    error NeedOutOfRange(uint256 need);
    error EnergyExceeded(uint256 need, uint256 given, uint256 most);
    error RowExceeded(uint256 row, uint256 interval);
    error GroupExceeded(uint256 group);
    error MayNotCommit(bytes32 site, address account);
    error CommittedTooLate(bytes32 site, uint32 interval, uint256 time);
    error CommittedTooEarly(bytes32 site, uint32 interval, uint256 time);
    error AlreadyCommitted(bytes32 site, uint32 interval);
    error NotCommitted(bytes32 site, uint32 interval, bytes32 inputsHash);

    /// @notice Fixes the problem of a site from `interval` on, once, at most seven intervals ahead and before it starts: limits, ratings and prices as the
    /// registry has them, needs as signed requests and readings leave them, and forecasts.
    /// @param inputsHash keccak256 of the inputs.
    function commitInputs(bytes32 site, uint32 interval, bytes32 inputsHash) external;

    /// @notice Verifies a certificate of the committed inputs and says so by an event. Anyone may.
    function certify(
        bytes32 site,
        uint32 interval,
        bytes calldata inputs,
        bytes calldata schedule,
        bytes calldata multipliers
    ) external returns (int256 cost, int256 bound, bytes32 firstColumnHash);

    /// @notice Whether these are the inputs that a site committed to for `interval`, while it is remembered.
    function isCommitted(bytes32 site, uint32 interval, bytes32 inputsHash) external view returns (bool);

    /// @notice Cost and bound of a schedule; reverts where it breaks a limit of its inputs.
    /// @return cost What the schedule costs.
    /// @return bound What no schedule of the same inputs can undercut.
    /// @return inputsHash keccak256 of the inputs, to compare with a commitment.
    /// @return firstColumnHash keccak256 of the first interval's setpoints, two bytes a lane, as `Dispatch` takes them.
    function verify(bytes calldata inputs, bytes calldata schedule, bytes calldata multipliers)
        external
        pure
        returns (int256 cost, int256 bound, bytes32 inputsHash, bytes32 firstColumnHash);
}

/// @notice How a site's plans are posted.
enum PlanMode {
    Proved, // a certificate within the tolerance, verified in the transaction that posts
    Optimistic, // a certificate in calldata; whoever shows that it does not hold takes of the bond
    Improved // a feasible schedule, verified; whoever shows a cheaper one takes of the bond
}

/// @notice What a site asks of its plans.
/// @param verifier Whose code decides; its code is the definition of the smart-charging algorithm.
/// @param mode How they are posted.
/// @param tolerance Most that cost may exceed the proven bound, base units of the credit token (not asked when Improved).
/// @param epsilon Least by which a better schedule must be cheaper to take of the bond, base units (Improved only).
/// @param bond What the poster stakes on each plan, base units.
/// @param settlement Whose sessions the needs of plans are; zero where the owner names none, and then nobody can refute them.
/// @param terms keccak256 of penalty, surcharge, price of the peak, all rows and what does not change of all batteries, as they
/// are in the inputs: bytes 12 to 19, 24 to 27, the rows', and of each battery bytes 5 to 12 (percentages, capacity), 17 to 20
/// (floor) and 25 to 28 (wear). Zero where the owner binds nothing.
struct PlanRules {
    IScheduleVerifier verifier;
    PlanMode mode;
    uint64 tolerance;
    uint64 epsilon;
    uint128 bond;
    ISettlement settlement;
    bytes32 terms;
}

/// @notice What of a certificate's inputs is not the site's.
enum SitePart {
    None,
    Lanes, // their number
    Groups, // their number
    Group, // its parent or a limit
    BaseLoad, // one is missing, not the site's, or in another group
    Pv, // as BaseLoad
    Battery, // as BaseLoad, or above its rating
    Need, // at no EVSE of the site, at one that has a need already, in another group, or above its rating
    Terms // what the site's rules bind
}

/// @notice Three byte strings, in the form of docs/proof.md, and what drivers prove their part of them by.
/// @param root Merkle root over one leaf per need, in their order; zero without needs. A leaf is
/// keccak256(bytes.concat(keccak256(abi.encode(uint256 lane, bytes32 needHash, bytes32 rowHash, bytes32 priceHash)))): hashes of
/// the need's 16 bytes in the inputs, of its powers in the schedule, two bytes for each interval of its window, and of the prices
/// in those intervals, twelve bytes each, micro per kWh: its group's node price (int64), without the surcharge, and the lower of
/// import and feed-in price (int32). Pairs are hashed in ascending order, and an odd node moves up. Nobody computes it in the
/// posting; `refuteRoot` does.
struct Certificate {
    bytes inputs;
    bytes schedule;
    bytes multipliers;
    bytes32 root;
}

/// @notice A plan as it was posted, and as it is presented again by whoever acts on it: the chain keeps its hash only.
/// @param poster Who posted it, and staked the bond.
/// @param rules Those of its interval.
/// @param layoutAt Account whose code is the site's layout at the posting (`IAssetRegistry.layoutFor`).
/// @param algorithm Code hash of the verifier: which algorithm planned it.
/// @param cost,bound As verified or, in Optimistic mode, as claimed; 40,000 to a base unit.
/// @param inputsHash,scheduleHash,multipliersHash Of the certificate.
/// @param columnHash Of the setpoints that were posted to Dispatch with it.
/// @param root The certificate's.
/// @param postedAt When it was posted: what the chain knew only later cannot refute it.
struct Plan {
    bytes32 site;
    uint32 interval;
    address poster;
    PlanRules rules;
    address layoutAt;
    bytes32 algorithm;
    int256 cost;
    int256 bound;
    bytes32 inputsHash;
    bytes32 scheduleHash;
    bytes32 multipliersHash;
    bytes32 columnHash;
    bytes32 root;
    uint40 postedAt;
}

/// @notice What of a plan was shown to be wrong.
enum Refutation {
    Certificate, // it does not hold
    Root, // it is not that of the certificate's needs
    Need, // its window ends at another time than the session's, or it is more than was asked for
    Energy, // it is not what the meter leaves of what was asked for
    Prices, // they are not those that were announced
    Content, // a battery's is not what an earlier plan and readings since leave it
    Peak // it is below what was metered in the month
}

/// @notice What a session's meter had counted, on chain before a plan was.
/// @param begin A Begin of the session, signed by its meter; looked at only with a signature. It makes the need at most what was
/// asked for less what was drawn since.
/// @param stop The reading that ends `interval` in the evidence of the site's readings.
/// @param beginSignature,stopSignature The meter's, 65 bytes each.
/// @param startDigest The other member of the leaf.
/// @param proof Where the leaf is; the steps after it hold that of the plan.
struct EnergyProof {
    MeterReading begin;
    bytes beginSignature;
    MeterReading stop;
    bytes stopSignature;
    uint32 interval;
    bytes32 startDigest;
    ReadingProof proof;
}

/// @notice Everything that was posted for a site since some moment, a plan among it.
/// @param previous History of the site before the first of `steps`; zero if that is the first of all.
/// @param steps As SetpointsPosted and ReadingsPosted define them, oldest first, up to the newest.
/// @param planStep Which of them is the plan's, counted from zero.
struct HistoryProof {
    bytes32 previous;
    bytes32[] steps;
    uint16 planStep;
}

/// @notice What a battery held by an earlier plan, and what has flowed since, on chain before the plan in question.
/// @param earlier A plan of the same site and poster that stands.
/// @param inputs Its inputs.
/// @param earlierStep Which step of `history` it is, counted from zero.
/// @param readings Of every interval from the one in which `earlier` was posted to the last one that was over when the plan in
/// question was posted, in their order.
struct ContentProof {
    Plan earlier;
    bytes inputs;
    uint16 earlierStep;
    PostedReadings[] readings;
    HistoryProof history;
}

/// @notice Plans of sites: certified when they are posted, or when nobody has challenged them in time; each open to refutation
/// until a day after its interval began; and which intervals were dispatched by certified ones.
/// @dev A site whose owner gives RIGHT_DISPATCH to this contract alone, and RIGHT_PLAN to its oracle, can be dispatched in no
/// other way. The inputs' tree, limits, ratings and assets are held against the registry, penalties and rows against the site's
/// rules; needs, prices, contents of batteries and the peak so far are refuted by sessions, readings, earlier plans and
/// announcements that were on chain before the plan.
/// Warning: a need that is left out, forecasts, what stored energy is worth and a peak so far that is too high are what the
/// poster says.
interface IPlans is ICertificates {
    /// @notice What a site asks of its plans from an interval on.
    event RulesSet(bytes32 indexed site, uint32 indexed from, PlanRules rules);
    /// @notice A plan was posted, and its first column to Dispatch with `planHash` keccak256(abi.encode(plan)).
    event PlanPosted(bytes32 indexed site, uint32 indexed interval, address indexed poster, Plan plan);
    /// @notice Setpoints were posted without a certificate: a fallback, or a CPO's own.
    /// @param count Intervals of the site that were so dispatched up to now.
    event UncertifiedPosted(
        bytes32 indexed site, uint32 indexed interval, address indexed poster, string reason, uint256 count
    );
    /// @notice Something of a plan is wrong. It is not certified any more; half of its bond is the challenger's, the rest the
    /// protocol's.
    /// @param index Of the need or battery, or for prices the interval of the horizon; else zero.
    event PlanRefuted(
        bytes32 indexed site,
        uint32 indexed interval,
        address indexed challenger,
        Refutation what,
        uint256 index,
        uint256 reward
    );
    /// @notice The prices of a site for a day (UTC, counted from 1970) are those whose hash this is.
    event PricesAnnounced(bytes32 indexed site, uint32 indexed day, address indexed by, bytes32 pricesHash);
    /// @notice A schedule of the same inputs is cheaper by more than the site's epsilon; the bond as in PlanRefuted.
    event PlanImproved(
        bytes32 indexed site, uint32 indexed interval, address indexed challenger, int256 cost, uint256 reward
    );
    /// @notice Nobody took a plan's bond, and it went back to its poster.
    event BondReleased(bytes32 indexed site, uint32 indexed interval, address indexed poster, uint256 bond);
    /// @notice Money to stake came in.
    event StakeDeposited(address indexed account, uint256 amount);
    /// @notice Money that is not staked went out.
    event StakeWithdrawn(address indexed account, address indexed to, uint256 amount);

    error NotSiteOwner(bytes32 site, address account);
    error NotPlanner(bytes32 site, address account);
    error RulesTooEarly(bytes32 site, uint32 from, uint32 earliest);
    error NoVerifier(address verifier);
    error WrongMode(bytes32 site, PlanMode mode);
    error InputsNotOfSite(bytes32 site, SitePart part, uint256 index);
    error GapTooLarge(bytes32 site, uint32 interval, int256 gap, uint256 most);
    error WrongColumn(bytes32 site, uint32 interval, bytes32 columnHash);
    error StakeTooLow(address account, uint256 free, uint256 bond);
    error BondOpen(bytes32 site, uint32 interval);
    error UnknownPlan(bytes32 site, uint32 interval);
    error WrongCertificate(bytes32 site, uint32 interval);
    error ChallengeTooLate(bytes32 site, uint32 interval, uint256 time, uint256 until);
    error ChallengeWindowOpen(bytes32 site, uint32 interval, uint256 time, uint256 until);
    error CertificateHolds(bytes32 site, uint32 interval);
    error RootHolds(bytes32 site, uint32 interval);
    error NeedHolds(bytes32 site, uint32 interval, uint256 index);
    error PricesHold(bytes32 site, uint32 interval, uint32 day);
    error NoSettlement(bytes32 site);
    error NoSuchNeed(uint256 index, uint256 needs);
    error WrongEvse(bytes32 evse, bytes32 expected);
    error SessionNotOpen(bytes32 session);
    error KnownTooLate(bytes32 site, uint32 interval, uint256 time, uint256 latest);
    error ReadingNotBefore(bytes32 site, uint32 interval);
    error WrongMeter(address signer, bytes32 meter);
    error NoBegin(bytes32 session);
    error NoSuchBattery(uint256 index, uint256 batteries);
    error OtherBattery(bytes32 site, uint32 interval, uint256 index);
    error PlanNotEarlier(bytes32 site, uint32 interval, uint32 earlier);
    error PlanFell(bytes32 site, uint32 interval);
    error WrongReadingCount(uint256 count, uint256 expected, uint256 most);
    error ReadingsDisputed(bytes32 site, uint32 interval);
    error ContentHolds(bytes32 site, uint32 interval, uint256 index, uint256 least, uint256 most);
    error PeakNotPriced(bytes32 site, uint32 interval);
    error OtherMonth(bytes32 site, uint32 interval, uint32 read);
    error PeakHolds(bytes32 site, uint32 interval, int256 meteredW, uint256 mostW);
    error NotAnnouncer(bytes32 site, address account);
    error DayOutOfRange(uint32 day, uint256 first, uint256 last);
    error AlreadyAnnounced(bytes32 site, uint32 day);
    error WrongPrices(bytes32 site, uint32 day, bytes32 pricesHash);
    error Undecided(bytes32 site, uint32 interval);
    error NotCheaper(bytes32 site, uint32 interval, int256 cost, int256 most);
    error PowerNotHeld(bytes32 site, uint32 interval, uint256 need, uint256 power, uint256 least);
    error ReasonTooLong(uint256 length, uint256 most);
    error ZeroStake();
    error StakeMismatch(uint256 received, uint256 announced);

    /// @notice Sets what a site asks of plans from interval `from` on. Owner only; from a coming interval on only, so that
    /// nothing posted changes its meaning.
    function setRules(bytes32 site, PlanRules calldata rules, uint32 from) external;
    /// @notice Posts a plan whose certificate is verified at once, and its first column to Dispatch; the bond is staked on it.
    /// RIGHT_PLAN. In Proved and Optimistic mode the gap must be within the tolerance; in Improved mode any gap will do.
    /// @param lanes First column of the schedule, as Dispatch takes it.
    function postProved(bytes32 site, uint32 interval, Certificate calldata certificate, bytes calldata lanes) external;
    /// @notice Posts a plan with a certificate that nobody verifies unless it is challenged, and stakes the bond on it.
    /// RIGHT_PLAN; Optimistic mode only.
    /// @param cost,bound What `verify` would return.
    function postClaimed(
        bytes32 site,
        uint32 interval,
        Certificate calldata certificate,
        bytes calldata lanes,
        int256 cost,
        int256 bound
    ) external;
    /// @notice Posts setpoints without a certificate, and says why there is none. RIGHT_PLAN.
    function postUncertified(bytes32 site, uint32 interval, bytes calldata lanes, string calldata reason) external;
    /// @notice Has a claimed certificate verified. Reverts where it holds; otherwise the plan is not certified, and half of its
    /// bond is the caller's. Anyone, up to a day after the interval began.
    /// @param certificate That of the plan, from the calldata of its posting.
    function challenge(Plan calldata plan, Certificate calldata certificate) external;
    /// @notice Shows that a plan's root is not that of its certificate's needs. Any mode. The plan is not certified any more,
    /// and half of its bond is the caller's. Anyone, up to a day after the interval began.
    /// @param certificate That of the plan, from the calldata of its posting.
    function refuteRoot(Plan calldata plan, Certificate calldata certificate) external;
    /// @notice Shows that a need is not its session's: that its window does not end where the interval of the declared departure
    /// begins (clamped to the next interval and to 96, or fewer where the horizon is shorter), or that it is more than was asked
    /// for. The session must be open, and its terms unchanged since INTERVAL_S before the plan was posted. Otherwise as
    /// `refuteRoot`.
    /// @param inputs The plan's.
    /// @param index Of the need.
    function refuteNeed(Plan calldata plan, bytes calldata inputs, uint256 index, Terms calldata terms) external;
    /// @notice Shows that a need is more than what was asked for less what was drawn, or less than that can be. Readings count
    /// of meters that sign EIP-712, and only those that were on chain before the plan and of two intervals before it or earlier.
    /// The session as in `refuteNeed`.
    /// @dev What was drawn is at least from `begin` to `stop`; at most from the last register billed of this meter, or zero, to
    /// `stop`, and then the EVSE's rating and a tenth from the reading's interval to the plan's.
    function refuteEnergy(
        Plan calldata plan,
        bytes calldata inputs,
        uint256 index,
        Terms calldata terms,
        EnergyProof calldata evidence
    ) external;
    /// @notice Shows a price of import or feed-in in a plan that is another than what had been announced for the day
    /// INTERVAL_S before the plan was posted. Otherwise as `refuteRoot`.
    /// @param prices Those announced.
    function refutePrices(Plan calldata plan, bytes calldata inputs, uint32 day, bytes calldata prices) external;
    /// @notice Shows that a battery cannot hold what the plan takes it to hold: by what an earlier plan of the same poster took,
    /// and readings since that were on chain before the plan. Otherwise as `refuteRoot`.
    /// @dev Content rises by the charge % of what a reading says was drawn and falls by the discharge % of what was fed, within
    /// zero and capacity; a tenth of the energy more or less is tolerated. What flowed between a plan's posting and its interval
    /// was not known to it: up to the rating and a tenth in either direction. At most 96 readings, none of them disputed.
    /// @param index Of the battery, in the inputs of both plans: the same lane, percentages and capacity.
    function refuteContent(Plan calldata plan, bytes calldata inputs, uint256 index, ContentProof calldata evidence)
        external;
    /// @notice Shows that the peak so far, where it has a price, is below what the site imported in an interval whose readings
    /// were on chain before the plan, of two intervals before it or earlier and in the same calendar month, which neither is
    /// within a day of leaving (UTC). 4 W for each lane and 10 W are left for rounding. Otherwise as `refuteRoot`.
    function refutePeak(
        Plan calldata plan,
        bytes calldata inputs,
        PostedReadings calldata readings,
        HistoryProof calldata history
    ) external;
    /// @notice Fixes a site's prices of a day, once, before it begins and at most four days ahead. Owner, or RIGHT_DISPATCH.
    /// @param day UTC day, counted from 1970: intervals [96 * day, 96 * day + 96).
    /// @param pricesHash keccak256 of 96 import and 96 feed-in prices, each an int32 in micro per kWh, big endian without gaps.
    function announcePrices(bytes32 site, uint32 day, bytes32 pricesHash) external;
    /// @notice Shows a schedule of the same inputs that is cheaper by more than the site's epsilon, and gives each need nothing
    /// or at least its least power in the first interval. Improved mode. The plan is not certified any more, and half of its
    /// bond is the caller's. Anyone, up to a day after the interval began.
    function improve(Plan calldata plan, Certificate calldata better) external;
    /// @notice Gives a bond back that nobody took in time; a claimed plan counts as certified from then on. Anyone, until
    /// another plan takes its place, which only a bond prevents.
    function release(Plan calldata plan) external;
    /// @notice Brings in money to stake, for the caller. Needs an allowance.
    function depositStake(uint256 amount) external;
    /// @notice Takes out money that is not staked.
    function withdrawStake(address to, uint256 amount) external;

    /// @notice What a site asks of the plan of an interval; the defaults where its owner has set nothing.
    function rulesAt(bytes32 site, uint32 interval) external view returns (PlanRules memory);
    /// @notice Money of an account that is not staked.
    function stakeOf(address account) external view returns (uint256);
    /// @notice Money of all accounts, staked or not: never more than the contract holds.
    function accounted() external view returns (uint256);
    /// @notice Intervals of a site that were dispatched through this contract without a certificate.
    function uncertifiedOf(bytes32 site) external view returns (uint256);
    /// @notice Leading 223 bits of keccak256(abi.encode(plan)) of an interval's plan, then zeros; zero where there is none, or
    /// it was refuted, released or forgotten.
    function planHashAt(bytes32 site, uint32 interval) external view returns (bytes32);
    /// @notice Whether a bond is staked on the plan of an interval.
    function isStaked(bytes32 site, uint32 interval) external view returns (bool);
    /// @notice Hash of the prices that were announced for a day, and when; zeros where none were, or they are forgotten.
    function pricesAt(bytes32 site, uint32 day) external view returns (bytes32 pricesHash, uint40 announcedAt);
    /// @notice What bonds are in.
    function credit() external view returns (address);
}
