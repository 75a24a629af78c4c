// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignedMath} from "@openzeppelin/contracts/utils/math/SignedMath.sol";
import {Dispatch} from "./Dispatch.sol";
import {
    Access,
    Asset,
    AssetKind,
    AssetState,
    BPS,
    Connector,
    Delegate,
    Group,
    IAssetRegistry,
    IDispatch,
    MeterPeriod,
    OcmfKey,
    Offer,
    RIGHT_DISPATCH,
    RIGHT_METER,
    RIGHT_PLAN,
    RIGHT_SETTLE,
    Site,
    Standing,
    Status,
    Tariff
} from "./IProtocol.sol";
import {Layout} from "./libraries/Layout.sol";
import {Signatures} from "./libraries/Signatures.sol";
import {Tariffs} from "./libraries/Tariffs.sol";

/// @title AssetRegistry
/// @notice Sites and what stands on them. It holds no money and has no administrator: a site is its owner's, and the
/// guardian can only pause new sessions and bookings.
/// @dev Longer than other files because a site's facts share their checks and their slots. Slots are laid out for
/// `offerOf`, which every session asks, and `mayBook`, which every booking asks.
contract AssetRegistry is IAssetRegistry, EIP712 {
    // Limits have no getters: errors name them, and the code has no room.

    /// @dev Every batch checks every group; at 64 the checks stay a small part of what a batch costs.
    uint256 internal constant MAX_GROUPS = 64;
    /// @dev A batch of 1,024 int32 lanes is 4 kB of calldata, a layout 11 kB of the 24 kB that one account may store, and
    /// sums of that many lanes stay inside the partial sums of `Lanes`.
    uint256 internal constant MAX_ASSETS = 1024;
    uint8 internal constant MAX_PHASES = 3;
    /// @dev A change of the layout rewrites every delegate's slot in Dispatch, 5,000 gas each. A site has an oracle or two, a CPO's
    /// script and a few settlers.
    uint256 internal constant MAX_DELEGATES = 16;
    /// @dev A meter is replaced when its calibration ends, after some years, or when it fails; `meterAt` reads them all.
    uint256 internal constant MAX_METERS = 32;
    /// @dev The longest tariff at 256 EVSEs stays below the 16.7 million gas that a transaction may take (EIP-7825).
    uint256 internal constant MAX_LIST = 256;
    /// @dev In bytes. An EVSE id has at most 37 characters, an IANA zone 32 so far, the error text of OCPP 1.6 at most 50.
    uint256 internal constant MAX_TEXT = 64;
    /// @dev Who runs the network takes a twentieth at most, forever.
    uint256 internal constant MAX_PROTOCOL_FEE_BPS = 500;
    /// @dev Together with the protocol's share at most the whole bill.
    uint256 internal constant MAX_OPERATOR_FEE_BPS = BPS - MAX_PROTOCOL_FEE_BPS;
    /// @dev A quarter and a half turn in degrees × 1e7.
    uint256 internal constant MAX_LATITUDE_E7 = 90e7;
    uint256 internal constant MAX_LONGITUDE_E7 = 180e7;

    bytes32 internal constant REGISTER_DRIVER_TYPEHASH = keccak256("RegisterDriver(address driver)");

    uint8 private constant ALL_RIGHTS = RIGHT_DISPATCH | RIGHT_METER | RIGHT_SETTLE | RIGHT_PLAN;

    /// @dev What an offer needs of a site is in the first of three slots.
    struct SiteRecord {
        address owner;
        uint16 operatorFeeBps;
        uint16 rewardBps;
        uint64 rewardCap;
        address operator;
        int32 latitudeE7;
        int32 longitudeE7;
        address pendingOwner;
    }

    /// @dev `Asset` without its id and with its place, in four slots. A rating of zero means that it was removed.
    struct AssetRecord {
        bytes32 site;
        bytes32 meter;
        bytes32 tariffHash;
        AssetKind kind;
        uint16 group;
        uint16 lane;
        uint8 phases;
        Connector connector;
        Access access;
        Status status;
        uint32 ratedW;
        uint32 minW;
        int32 latitudeE7;
        int32 longitudeE7;
        uint40 meterSince;
    }

    /// @dev Dispatch is told of every change, with the site's layout, so that a batch has nobody to ask.
    struct Delegation {
        uint8 rights;
        uint40 expiry;
    }

    /// @inheritdoc IAssetRegistry
    IDispatch public immutable dispatch;
    /// @inheritdoc IAssetRegistry
    address public immutable protocolFeeRecipient;
    /// @inheritdoc IAssetRegistry
    uint16 public immutable protocolFeeBps;

    /// @inheritdoc IAssetRegistry
    address public guardian;
    /// @inheritdoc IAssetRegistry
    bool public paused;

    bytes32[] private _siteIds;
    mapping(bytes32 site => SiteRecord) private _sites;
    mapping(bytes32 site => Group[]) private _groups;
    mapping(bytes32 site => bytes32[]) private _lanes;
    mapping(bytes32 site => address) private _layouts;
    mapping(bytes32 site => mapping(address delegate => Delegation)) private _delegations;
    /// @dev Who has any rights, expired or not.
    mapping(bytes32 site => address[]) private _delegates;
    /// @inheritdoc IAssetRegistry
    mapping(bytes32 site => mapping(address driver => Standing)) public standingOf;
    mapping(bytes32 asset => AssetRecord) private _assets;
    /// @dev Meters before the present one, oldest first.
    mapping(bytes32 asset => MeterPeriod[]) private _pastMeters;
    /// @inheritdoc IAssetRegistry
    mapping(address attester => mapping(bytes32 meter => bool)) public isAttested;
    /// @inheritdoc IAssetRegistry
    mapping(address driver => bool) public isDriver;

    /// @param guardian_ Who may pause; zero for nobody.
    /// @param protocolFeeRecipient_ Who receives the protocol's fee; zero only where there is none.
    constructor(address guardian_, address protocolFeeRecipient_, uint16 protocolFeeBps_) EIP712("Provolt", "1") {
        _requireShare(protocolFeeBps_, protocolFeeRecipient_ == address(0) ? 0 : MAX_PROTOCOL_FEE_BPS);

        dispatch = new Dispatch(this);
        guardian = guardian_;
        protocolFeeRecipient = protocolFeeRecipient_;
        protocolFeeBps = protocolFeeBps_;

        emit GuardianChanged(address(0), guardian_);
    }

    /// @inheritdoc IAssetRegistry
    function registerSite(string calldata clearId, string calldata timeZone, int32 latitudeE7, int32 longitudeE7)
        external
        returns (bytes32 siteId)
    {
        siteId = _idOf(clearId);
        _requireText(timeZone);
        require(_sites[siteId].owner == address(0), SiteExists(siteId));
        _requirePosition(latitudeE7, longitudeE7);

        SiteRecord storage record = _sites[siteId];
        (record.owner, record.latitudeE7, record.longitudeE7) = (msg.sender, latitudeE7, longitudeE7);
        _siteIds.push(siteId);

        emit SiteRegistered(siteId, msg.sender, clearId, timeZone, latitudeE7, longitudeE7);
    }

    /// @inheritdoc IAssetRegistry
    function registerGroups(bytes32 siteId, Group[] calldata groups) external {
        uint256 known = _groups[siteId].length;
        _requireOwner(siteId);
        require(known + groups.length <= MAX_GROUPS, TooManyGroups(siteId, known + groups.length, MAX_GROUPS));

        (bytes memory ranges, bytes memory kinds) = _unpackLayout(siteId, groups.length, 0);
        for (uint256 i; i < groups.length; ++i) {
            Group calldata added = groups[i];
            uint16 index = uint16(known + i);
            _requirePreorder(siteId, index, added.parent);

            Group storage record = _groups[siteId].push();
            (record.parent, record.limitImportW, record.limitExportW) =
            (added.parent, added.limitImportW, added.limitExportW);
            Layout.writeGroup(ranges, index, added.limitImportW, added.limitExportW);

            emit GroupRegistered(siteId, index, added.parent, added.limitImportW, added.limitExportW);
        }
        _setLayout(siteId, ranges, kinds);
    }

    /// @inheritdoc IAssetRegistry
    function setGroupLimits(bytes32 siteId, uint16 index, uint32 limitImportW, uint32 limitExportW) external {
        _requireOwner(siteId);
        Group storage changed = _group(siteId, index);

        (changed.limitImportW, changed.limitExportW) = (limitImportW, limitExportW);
        (bytes memory ranges, bytes memory kinds) = _unpackLayout(siteId, 0, 0);
        Layout.writeGroup(ranges, index, limitImportW, limitExportW);
        _setLayout(siteId, ranges, kinds);

        emit GroupLimitsSet(siteId, index, limitImportW, limitExportW);
    }

    /// @inheritdoc IAssetRegistry
    function registerAssets(bytes32 siteId, Asset[] calldata assets, string[] calldata clearIds) external {
        uint256 known = _lanes[siteId].length;
        _requireOwner(siteId);
        require(assets.length == clearIds.length, LengthMismatch(assets.length, clearIds.length));
        require(known + assets.length <= MAX_ASSETS, TooManyAssets(siteId, known + assets.length, MAX_ASSETS));

        (bytes memory ranges, bytes memory kinds) = _unpackLayout(siteId, 0, assets.length);
        uint256 groupCount = _groups[siteId].length;
        uint16 lastGroup = known == 0 ? 0 : _assets[_lanes[siteId][known - 1]].group;
        for (uint256 i; i < assets.length; ++i) {
            Asset memory added = assets[i];
            uint16 lane = uint16(known + i);
            _requireSound(added, clearIds[i]);
            require(added.group < groupCount, UnknownGroup(siteId, added.group));
            require(added.group >= lastGroup, AssetOutOfOrder(siteId, added.id, added.group));

            lastGroup = added.group;
            _storeAsset(siteId, lane, added);
            Layout.writeLane(kinds, lane, added.kind, added.ratedW);
            _extendRanges(siteId, ranges, added.group, lane);

            emit AssetRegistered(siteId, added.id, lane, added, clearIds[i]);
        }
        _setLayout(siteId, ranges, kinds);
    }

    /// @inheritdoc IAssetRegistry
    function removeAsset(bytes32 id) external {
        AssetRecord storage record = _ownAsset(id);
        (bytes32 siteId, uint16 lane) = (record.site, record.lane);

        (record.ratedW, record.minW) = (0, 0);
        (bytes memory ranges, bytes memory kinds) = _unpackLayout(siteId, 0, 0);
        Layout.writeLane(kinds, lane, record.kind, 0);
        _setLayout(siteId, ranges, kinds);

        emit AssetRemoved(siteId, id, lane);
    }

    /// @inheritdoc IAssetRegistry
    function setTariff(bytes32[] calldata evses, Tariff calldata tariff) external {
        bytes32 tariffHash = Tariffs.hash(tariff);
        _requireList(evses.length);
        Tariffs.validate(tariff);

        for (uint256 i; i < evses.length; ++i) {
            AssetRecord storage record = _ownAsset(evses[i]);
            _requireEvse(evses[i], record);

            record.tariffHash = tariffHash;

            emit TariffSet(record.site, evses[i], tariffHash, tariff);
        }
    }

    /// @inheritdoc IAssetRegistry
    function setAccess(bytes32 evse, Access access) external {
        AssetRecord storage record = _ownAsset(evse);
        _requireEvse(evse, record);

        record.access = access;

        emit AccessSet(record.site, evse, access);
    }

    /// @inheritdoc IAssetRegistry
    function setMeter(bytes32 id, bytes32 meter) external {
        AssetRecord storage record = _ownAsset(id);
        bytes32 previous = record.meter;
        uint256 count = _pastMeters[id].length + 2;
        require(meter != 0, NoMeter(id));
        if (meter == previous) return;
        require(count <= MAX_METERS, TooManyMeters(id, count, MAX_METERS));

        MeterPeriod storage past = _pastMeters[id].push();
        (past.meter, past.since) = (previous, record.meterSince);
        (record.meter, record.meterSince) = (meter, uint40(block.timestamp));

        emit MeterSet(record.site, id, meter);
    }

    /// @inheritdoc IAssetRegistry
    function attestMeter(bytes32 meter, bool valid) external {
        isAttested[msg.sender][meter] = valid;

        emit MeterAttested(msg.sender, meter, valid);
    }

    /// @inheritdoc IAssetRegistry
    function setStatus(bytes32 evse, Status status, string calldata reason) external {
        AssetRecord storage record = _inService(evse);
        bytes32 siteId = record.site;
        require(_isAuthorised(siteId, msg.sender, RIGHT_DISPATCH), NotAllowed(siteId, msg.sender, RIGHT_DISPATCH));
        _requireEvse(evse, record);
        require(status != Status.Occupied && status != Status.Reserved, StatusNotSettable(evse, status));
        _requireText(reason);

        record.status = status;

        emit StatusSet(siteId, evse, status, reason);
    }

    /// @inheritdoc IAssetRegistry
    function setDelegate(bytes32 siteId, address delegate, uint8 rights, uint40 expiry) external {
        uint8 before = _delegations[siteId][delegate].rights;
        _requireOwner(siteId);
        require(rights & ~ALL_RIGHTS == 0, UnknownRights(rights));

        if (before == 0 && rights != 0) _addDelegate(siteId, delegate);
        if (before != 0 && rights == 0) _removeDelegate(siteId, delegate);
        _delegations[siteId][delegate] = Delegation(rights, expiry);
        dispatch.setPoster(siteId, delegate, rights, expiry, _layouts[siteId]);

        emit DelegateSet(siteId, delegate, rights, expiry);
    }

    /// @inheritdoc IAssetRegistry
    function setOperator(bytes32 siteId, address operator, uint16 operatorFeeBps, uint16 rewardBps, uint64 rewardCap)
        external
    {
        _requireOwner(siteId);
        _requireShare(operatorFeeBps, operator == address(0) ? 0 : MAX_OPERATOR_FEE_BPS);
        _requireShare(rewardBps, BPS);

        SiteRecord storage record = _sites[siteId];
        (record.operator, record.operatorFeeBps) = (operator, operatorFeeBps);
        (record.rewardBps, record.rewardCap) = (rewardBps, rewardCap);

        emit OperatorSet(siteId, operator, operatorFeeBps, rewardBps, rewardCap);
    }

    /// @inheritdoc IAssetRegistry
    function proposeOwner(bytes32 siteId, address pendingOwner) external {
        _requireOwner(siteId);

        _sites[siteId].pendingOwner = pendingOwner;

        emit OwnerProposed(siteId, msg.sender, pendingOwner);
    }

    /// @inheritdoc IAssetRegistry
    function acceptOwner(bytes32 siteId) external {
        SiteRecord storage record = _sites[siteId];
        (address previous, address pending) = (record.owner, record.pendingOwner);
        require(previous != address(0), UnknownSite(siteId));
        require(msg.sender == pending, NotPendingOwner(siteId, msg.sender, pending));

        (record.owner, record.pendingOwner) = (msg.sender, address(0));

        emit OwnerChanged(siteId, previous, msg.sender);
    }

    /// @inheritdoc IAssetRegistry
    function setStanding(bytes32 siteId, address[] calldata drivers, Standing standing) external {
        _requireOwner(siteId);
        _requireList(drivers.length);

        for (uint256 i; i < drivers.length; ++i) {
            standingOf[siteId][drivers[i]] = standing;

            emit StandingSet(siteId, drivers[i], standing);
        }
    }

    /// @inheritdoc IAssetRegistry
    function registerDriver() external {
        _registerDriver(msg.sender);
    }

    /// @inheritdoc IAssetRegistry
    function registerDriverFor(address driver, bytes calldata signature) external {
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(REGISTER_DRIVER_TYPEHASH, driver)));
        require(Signatures.isValid(driver, digest, signature), BadDriverSignature(driver));

        _registerDriver(driver);
    }

    /// @inheritdoc IAssetRegistry
    function setPaused(bool paused_) external {
        _requireGuardian();

        paused = paused_;

        emit PausedSet(paused_);
    }

    /// @inheritdoc IAssetRegistry
    function setGuardian(address guardian_) external {
        _requireGuardian();

        guardian = guardian_;
        emit GuardianChanged(msg.sender, guardian_);

        // Nobody could lift the pause any more.
        if (guardian_ == address(0) && paused) {
            paused = false;
            emit PausedSet(false);
        }
    }

    /// @inheritdoc IAssetRegistry
    function site(bytes32 id) external view returns (Site memory) {
        SiteRecord storage record = _sites[id];
        require(record.owner != address(0), UnknownSite(id));
        return Site({
            owner: record.owner,
            latitudeE7: record.latitudeE7,
            longitudeE7: record.longitudeE7,
            groupCount: uint16(_groups[id].length),
            assetCount: uint16(_lanes[id].length),
            pendingOwner: record.pendingOwner,
            operator: record.operator,
            operatorFeeBps: record.operatorFeeBps,
            rewardBps: record.rewardBps,
            rewardCap: record.rewardCap
        });
    }

    /// @inheritdoc IAssetRegistry
    function group(bytes32 siteId, uint16 index) external view returns (Group memory) {
        return _group(siteId, index);
    }

    /// @inheritdoc IAssetRegistry
    function asset(bytes32 id) external view returns (Asset memory data, AssetState memory state) {
        AssetRecord storage record = _assets[id];
        require(record.site != 0, UnknownAsset(id));
        data = Asset({
            id: id,
            kind: record.kind,
            group: record.group,
            ratedW: record.ratedW,
            minW: record.minW,
            phases: record.phases,
            connector: record.connector,
            access: record.access,
            latitudeE7: record.latitudeE7,
            longitudeE7: record.longitudeE7,
            meter: record.meter
        });
        state = AssetState({
            site: record.site,
            lane: record.lane,
            tariffHash: record.tariffHash,
            status: record.status,
            removed: record.ratedW == 0,
            meterSince: record.meterSince
        });
    }

    /// @inheritdoc IAssetRegistry
    function assetAt(bytes32 siteId, uint16 lane) external view returns (bytes32 id) {
        require(lane < _lanes[siteId].length, UnknownAsset(0));
        return _lanes[siteId][lane];
    }

    /// @inheritdoc IAssetRegistry
    function meterAt(bytes32 id, uint40 time) external view returns (bytes32) {
        AssetRecord storage record = _assets[id];
        require(record.site != 0, UnknownAsset(id));
        MeterPeriod[] storage past = _pastMeters[id];
        (bytes32 meter, uint40 since) = (record.meter, record.meterSince);
        for (uint256 i = past.length; time < since; --i) {
            require(i > 0, UnknownAsset(id));
            MeterPeriod storage period = past[i - 1];
            (meter, since) = (period.meter, period.since);
        }
        return meter;
    }

    /// @inheritdoc IAssetRegistry
    function ocmfMeter(OcmfKey calldata key) external pure returns (bytes32) {
        return keccak256(abi.encode(key));
    }

    /// @inheritdoc IAssetRegistry
    function isAuthorised(bytes32 siteId, address who, uint8 rights) external view returns (bool) {
        return _isAuthorised(siteId, who, rights);
    }

    /// @inheritdoc IAssetRegistry
    function offerOf(bytes32 evse, address driver, address caller) external view returns (Offer memory offer) {
        AssetRecord storage record = _assets[evse];
        bytes32 siteId = record.site;
        require(siteId != 0, UnknownAsset(evse));

        offer.site = siteId;
        offer.meter = record.meter;
        offer.tariffHash = record.tariffHash;
        // What lies in one slot is read together, before anything branches.
        (AssetKind kind, uint32 ratedW, Status status, Access access) =
            (record.kind, record.ratedW, record.status, record.access);
        (offer.isEvse, offer.removed, offer.status) = (kind == AssetKind.Evse, ratedW == 0, status);

        SiteRecord storage host = _sites[siteId];
        address owner = host.owner;
        (offer.operatorFeeBps, offer.rewardBps, offer.rewardCap) = (host.operatorFeeBps, host.rewardBps, host.rewardCap);
        Standing standing = standingOf[siteId][driver];
        offer.free = driver == owner || standing == Standing.KeyHolder;
        offer.admitted = isDriver[driver] && (offer.free || _isWelcome(access, standing));
        offer.authorised = caller == owner || _covers(_delegations[siteId][caller], RIGHT_SETTLE);
        offer.paused = paused;
    }

    /// @inheritdoc IAssetRegistry
    /// @dev Reads the owner only where nothing else admits the driver: a cold slot less for most bookings.
    function mayBook(bytes32 evse, address driver) external view returns (bool allowed, bool isPaused, bytes32 siteId) {
        AssetRecord storage record = _assets[evse];
        siteId = record.site;
        isPaused = paused;
        require(siteId != 0, UnknownAsset(evse));

        (AssetKind kind, uint32 ratedW, Access access) = (record.kind, record.ratedW, record.access);
        if (kind != AssetKind.Evse || ratedW == 0) return (false, isPaused, siteId);

        Standing standing = standingOf[siteId][driver];
        allowed = _isWelcome(access, standing) || standing == Standing.KeyHolder || _isOwner(siteId, driver);
    }

    /// @inheritdoc IAssetRegistry
    function lanesOf(bytes32 siteId) external view returns (bytes memory ranges, bytes memory kinds) {
        return _unpackLayout(siteId, 0, 0);
    }

    /// @inheritdoc IAssetRegistry
    function layoutFor(bytes32 siteId, address who) external view returns (bool isOwner, address layoutAt) {
        return (_isOwner(siteId, who), _layouts[siteId]);
    }

    /// @inheritdoc IAssetRegistry
    function siteCount() external view returns (uint256) {
        return _siteIds.length;
    }

    /// @inheritdoc IAssetRegistry
    function siteAt(uint256 index) external view returns (bytes32) {
        require(index < _siteIds.length, UnknownSite(0));
        return _siteIds[index];
    }

    /// @inheritdoc IAssetRegistry
    function delegatesOf(bytes32 siteId) external view returns (Delegate[] memory delegates) {
        address[] storage accounts = _delegates[siteId];
        delegates = new Delegate[](accounts.length);
        for (uint256 i; i < delegates.length; ++i) {
            address account = accounts[i];
            Delegation storage given = _delegations[siteId][account];
            delegates[i] = Delegate(account, given.rights, given.expiry);
        }
    }

    /// @inheritdoc IAssetRegistry
    function pastMetersOf(bytes32 id) external view returns (MeterPeriod[] memory) {
        return _pastMeters[id];
    }

    function _registerDriver(address driver) private {
        if (isDriver[driver]) return;

        isDriver[driver] = true;

        emit DriverRegistered(driver);
    }

    function _storeAsset(bytes32 siteId, uint16 lane, Asset memory added) private {
        _lanes[siteId].push(added.id);
        AssetRecord storage record = _assets[added.id];
        (record.site, record.meter) = (siteId, added.meter);
        (record.kind, record.group, record.lane) = (added.kind, added.group, lane);
        (record.phases, record.connector, record.access) = (added.phases, added.connector, added.access);
        (record.ratedW, record.minW) = (added.ratedW, added.minW);
        (record.latitudeE7, record.longitudeE7) = (added.latitudeE7, added.longitudeE7);
        record.meterSince = uint40(block.timestamp);
    }

    /// @dev A lane lies in the ranges of its group and of all groups above it.
    function _extendRanges(bytes32 siteId, bytes memory ranges, uint16 index, uint16 lane) private view {
        Layout.extendGroup(ranges, index, lane);
        while (index != 0) {
            index = _groups[siteId][index].parent;
            Layout.extendGroup(ranges, index, lane);
        }
    }

    function _unpackLayout(bytes32 siteId, uint256 moreGroups, uint256 moreLanes)
        private
        view
        returns (bytes memory ranges, bytes memory kinds)
    {
        return Layout.unpack(Layout.load(_layouts[siteId]), moreGroups, moreLanes);
    }

    function _setLayout(bytes32 siteId, bytes memory ranges, bytes memory kinds) private {
        address layoutAt = Layout.store(ranges, kinds);
        _layouts[siteId] = layoutAt;
        address[] storage delegates = _delegates[siteId];
        for (uint256 i; i < delegates.length; ++i) {
            Delegation memory given = _delegations[siteId][delegates[i]];
            dispatch.setPoster(siteId, delegates[i], given.rights, given.expiry, layoutAt);
        }
    }

    function _addDelegate(bytes32 siteId, address delegate) private {
        address[] storage delegates = _delegates[siteId];
        uint256 count = delegates.length + 1;
        require(count <= MAX_DELEGATES, TooManyDelegates(siteId, count, MAX_DELEGATES));

        delegates.push(delegate);
    }

    /// @dev The last one takes the place of the one that goes.
    function _removeDelegate(bytes32 siteId, address delegate) private {
        address[] storage delegates = _delegates[siteId];
        uint256 i;
        while (delegates[i] != delegate) ++i;
        delegates[i] = delegates[delegates.length - 1];
        delegates.pop();
    }

    function _group(bytes32 siteId, uint16 index) private view returns (Group storage) {
        require(index < _groups[siteId].length, UnknownGroup(siteId, index));
        return _groups[siteId][index];
    }

    /// @dev An asset that was registered and not removed.
    function _inService(bytes32 id) private view returns (AssetRecord storage record) {
        record = _assets[id];
        require(record.site != 0, UnknownAsset(id));
        require(record.ratedW != 0, AssetIsRemoved(id));
    }

    /// @dev An asset in service at a site of the caller.
    function _ownAsset(bytes32 id) private view returns (AssetRecord storage record) {
        record = _inService(id);
        _requireOwner(record.site);
    }

    /// @dev Whether a driver without a key may use an EVSE.
    function _isWelcome(Access access, Standing standing) private pure returns (bool) {
        if (access == Access.Public) return standing != Standing.Blocked;
        return access == Access.Members && standing == Standing.Member;
    }

    /// @dev The delegate comes first because it is who posts every quarter hour: the owner's slot then stays cold. Nobody
    /// but an owner can have made a delegate, so that a delegate's site exists.
    function _isAuthorised(bytes32 siteId, address who, uint8 rights) private view returns (bool) {
        return _covers(_delegations[siteId][who], rights) || _isOwner(siteId, who);
    }

    function _covers(Delegation storage given, uint8 rights) private view returns (bool) {
        (uint8 all, uint40 expiry) = (given.rights, given.expiry);
        return rights != 0 && all & rights == rights && block.timestamp <= expiry;
    }

    function _isOwner(bytes32 siteId, address who) private view returns (bool) {
        return who != address(0) && who == _sites[siteId].owner;
    }

    function _idOf(string calldata clearId) private pure returns (bytes32) {
        require(bytes(clearId).length > 0, EmptyId());
        _requireText(clearId);
        return keccak256(bytes(clearId));
    }

    function _requireText(string calldata text) private pure {
        require(bytes(text).length <= MAX_TEXT, TextTooLong(bytes(text).length, MAX_TEXT));
    }

    function _requireList(uint256 length) private pure {
        require(length <= MAX_LIST, ListTooLong(length, MAX_LIST));
    }

    function _requireShare(uint256 bps, uint256 max) private pure {
        require(bps <= max, ShareTooHigh(bps, max));
    }

    function _requireGuardian() private view {
        require(msg.sender == guardian, NotGuardian(msg.sender, guardian));
    }

    function _requireOwner(bytes32 siteId) private view {
        address owner = _sites[siteId].owner;
        require(owner != address(0), UnknownSite(siteId));
        require(msg.sender == owner, NotOwner(siteId, msg.sender, owner));
    }

    function _requireEvse(bytes32 id, AssetRecord storage record) private view {
        require(record.kind == AssetKind.Evse, NotEvse(id));
    }

    /// @dev The parent must be on the path from the root to the group before: otherwise a finished subtree would grow again
    /// and its assets would not be one run of lanes.
    function _requirePreorder(bytes32 siteId, uint16 index, uint16 parent) private view {
        if (index == 0) {
            require(parent == 0, GroupOutOfOrder(siteId, index, parent));
            return;
        }
        uint16 open = index - 1;
        while (open != parent && open != 0) open = _groups[siteId][open].parent;
        require(open == parent, GroupOutOfOrder(siteId, index, parent));
    }

    function _requireSound(Asset memory added, string calldata clearId) private view {
        bytes32 expected = _idOf(clearId);
        bool isEvse = added.kind == AssetKind.Evse;
        require(added.id == expected, IdMismatch(added.id, expected));
        require(_assets[added.id].site == 0, AssetExists(added.id));
        _requireRating(added);
        require(added.phases > 0 && added.phases <= MAX_PHASES, BadPhases(added.id, added.phases));
        require(isEvse == (added.connector != Connector.None), BadConnector(added.id, added.connector));
        require(isEvse || added.access == Access.Public, NotEvse(added.id));
        require(added.meter != 0, NoMeter(added.id));
        _requirePosition(added.latitudeE7, added.longitudeE7);
    }

    function _requireRating(Asset memory added) private pure {
        require(
            added.ratedW > 0 && added.ratedW <= Layout.MAX_RATED_W && added.ratedW % Layout.UNIT_W == 0
                && added.minW <= added.ratedW,
            BadRating(added.id, added.ratedW, added.minW)
        );
    }

    function _requirePosition(int32 latitudeE7, int32 longitudeE7) private pure {
        require(
            SignedMath.abs(latitudeE7) <= MAX_LATITUDE_E7 && SignedMath.abs(longitudeE7) <= MAX_LONGITUDE_E7,
            BadPosition(latitudeE7, longitudeE7)
        );
    }
}
