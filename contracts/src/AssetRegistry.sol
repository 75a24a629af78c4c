// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Asset, AssetKind, Group, IAssetRegistry, Site} from "./IProtocol.sol";
import {Layout} from "./libraries/Layout.sol";

/// @title AssetRegistry
/// @notice Sites and what stands on them. It holds no money and has no administrator.
contract AssetRegistry is IAssetRegistry, EIP712 {
    /// @dev Every batch checks every group; at 64 the checks stay a small part of what a batch costs.
    uint256 public constant MAX_GROUPS = 64;
    /// @dev A batch of 1,024 int32 lanes is 4 kB of calldata, a layout 11 kB of the 24 kB that one account may store, and
    /// sums of that many lanes stay inside the partial sums of `Lanes`.
    uint256 public constant MAX_ASSETS = 1024;
    /// @dev The greatest int16 lane, 32,767 units of 10 W.
    uint256 public constant MAX_RATED_W = 327_670;
    uint8 public constant MAX_PHASES = 3;
    /// @dev A quarter and a half turn in degrees × 1e7.
    int32 public constant MAX_LATITUDE_E7 = 90e7;
    int32 public constant MAX_LONGITUDE_E7 = 180e7;

    bytes32 public constant REGISTER_DRIVER_TYPEHASH = keccak256("RegisterDriver(address driver)");

    /// @dev `Asset` without its id and with its place, in three slots.
    struct AssetRecord {
        bytes32 site;
        address meterKey;
        uint64 price;
        uint16 group;
        uint16 lane;
        AssetKind kind;
        uint8 phases;
        uint32 ratedW;
        uint32 minW;
        int32 latitudeE7;
        int32 longitudeE7;
    }

    struct Delegation {
        uint8 rights;
        uint40 expiry;
    }

    mapping(bytes32 site => Site) private _sites;
    mapping(bytes32 site => Group[]) private _groups;
    mapping(bytes32 site => bytes32[]) private _lanes;
    mapping(bytes32 site => address) private _layouts;
    mapping(bytes32 site => mapping(address delegate => Delegation)) private _delegations;
    mapping(bytes32 asset => AssetRecord) private _assets;
    mapping(address driver => bool) private _drivers;

    constructor() EIP712("Provolt", "1") {}

    /// @inheritdoc IAssetRegistry
    function registerSite(string calldata clearId, string calldata timeZone, int32 latitudeE7, int32 longitudeE7)
        external
        returns (bytes32 siteId)
    {
        siteId = keccak256(bytes(clearId));
        require(bytes(clearId).length > 0, EmptyId());
        require(_sites[siteId].owner == address(0), SiteExists(siteId));
        _requirePosition(latitudeE7, longitudeE7);

        _sites[siteId] = Site(msg.sender, latitudeE7, longitudeE7, 0, 0);

        emit SiteRegistered(siteId, msg.sender, clearId, timeZone, latitudeE7, longitudeE7);
    }

    /// @inheritdoc IAssetRegistry
    function registerGroups(bytes32 siteId, Group[] calldata groups) external {
        uint256 known = _groups[siteId].length;
        _requireOwner(siteId);
        require(known + groups.length <= MAX_GROUPS, TooManyGroups(siteId, known + groups.length, MAX_GROUPS));

        (bytes memory ranges, bytes memory kinds) = Layout.unpack(Layout.load(_layouts[siteId]), groups.length, 0);
        for (uint256 i; i < groups.length; ++i) {
            Group calldata added = groups[i];
            uint16 index = uint16(known + i);
            _requirePreorder(siteId, index, added.parent);

            _groups[siteId].push(added);
            Layout.writeGroup(ranges, index, added.limitImportW, added.limitExportW);

            emit GroupRegistered(siteId, index, added.parent, added.limitImportW, added.limitExportW);
        }
        _sites[siteId].groupCount = uint16(known + groups.length);
        _layouts[siteId] = Layout.store(ranges, kinds);
    }

    /// @inheritdoc IAssetRegistry
    function registerAssets(bytes32 siteId, Asset[] calldata assets, string[] calldata clearIds) external {
        uint256 known = _lanes[siteId].length;
        _requireOwner(siteId);
        require(assets.length == clearIds.length, LengthMismatch(assets.length, clearIds.length));
        require(known + assets.length <= MAX_ASSETS, TooManyAssets(siteId, known + assets.length, MAX_ASSETS));

        (bytes memory ranges, bytes memory kinds) = Layout.unpack(Layout.load(_layouts[siteId]), 0, assets.length);
        Group[] memory groups = _groups[siteId];
        uint16 lastGroup = known == 0 ? 0 : _assets[_lanes[siteId][known - 1]].group;
        for (uint256 i; i < assets.length; ++i) {
            Asset calldata added = assets[i];
            uint16 lane = uint16(known + i);
            _requireSound(added, clearIds[i]);
            require(added.group < groups.length, UnknownGroup(siteId, added.group));
            require(added.group >= lastGroup, AssetOutOfOrder(siteId, added.id, added.group));

            lastGroup = added.group;
            _storeAsset(siteId, lane, added);
            Layout.writeLane(kinds, lane, added.kind, added.ratedW);
            _extendRanges(ranges, groups, added.group, lane);

            emit AssetRegistered(siteId, added.id, lane, added, clearIds[i]);
        }
        _sites[siteId].assetCount = uint16(known + assets.length);
        _layouts[siteId] = Layout.store(ranges, kinds);
    }

    /// @inheritdoc IAssetRegistry
    function setPrice(bytes32 id, uint64 price) external {
        AssetRecord storage record = _assets[id];
        bytes32 siteId = record.site;
        require(siteId != 0, UnknownAsset(id));
        _requireOwner(siteId);
        require(record.kind == AssetKind.Evse, NotEvse(id));

        record.price = price;

        emit PriceSet(siteId, id, price);
    }

    /// @inheritdoc IAssetRegistry
    function setDelegate(bytes32 siteId, address delegate, uint8 rights, uint40 expiry) external {
        _requireOwner(siteId);

        _delegations[siteId][delegate] = Delegation(rights, expiry);

        emit DelegateSet(siteId, delegate, rights, expiry);
    }

    /// @inheritdoc IAssetRegistry
    function registerDriver() external {
        _registerDriver(msg.sender);
    }

    /// @inheritdoc IAssetRegistry
    function registerDriverFor(address driver, bytes calldata signature) external {
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(REGISTER_DRIVER_TYPEHASH, driver)));
        (address signer, ECDSA.RecoverError err,) = ECDSA.tryRecoverCalldata(digest, signature);
        require(err == ECDSA.RecoverError.NoError && signer == driver, BadDriverSignature(driver));

        _registerDriver(driver);
    }

    /// @inheritdoc IAssetRegistry
    function site(bytes32 id) external view returns (Site memory) {
        require(_sites[id].owner != address(0), UnknownSite(id));
        return _sites[id];
    }

    /// @inheritdoc IAssetRegistry
    function group(bytes32 siteId, uint16 index) external view returns (Group memory) {
        require(index < _groups[siteId].length, UnknownGroup(siteId, index));
        return _groups[siteId][index];
    }

    /// @inheritdoc IAssetRegistry
    function asset(bytes32 id) external view returns (Asset memory data, bytes32 siteId, uint16 lane) {
        AssetRecord memory record = _assets[id];
        siteId = record.site;
        lane = record.lane;
        require(siteId != 0, UnknownAsset(id));
        data = Asset({
            id: id,
            kind: record.kind,
            group: record.group,
            ratedW: record.ratedW,
            minW: record.minW,
            phases: record.phases,
            latitudeE7: record.latitudeE7,
            longitudeE7: record.longitudeE7,
            meterKey: record.meterKey,
            price: record.price
        });
    }

    /// @inheritdoc IAssetRegistry
    function assetAt(bytes32 siteId, uint16 lane) external view returns (bytes32 id) {
        require(lane < _lanes[siteId].length, UnknownAsset(0));
        return _lanes[siteId][lane];
    }

    /// @inheritdoc IAssetRegistry
    function isDriver(address who) external view returns (bool) {
        return _drivers[who];
    }

    /// @inheritdoc IAssetRegistry
    function isAuthorised(bytes32 siteId, address who, uint8 rights) external view returns (bool) {
        return _isAuthorised(siteId, who, rights);
    }

    /// @inheritdoc IAssetRegistry
    function lanesOf(bytes32 siteId) external view returns (bytes memory ranges, bytes memory kinds) {
        return Layout.unpack(Layout.load(_layouts[siteId]), 0, 0);
    }

    /// @inheritdoc IAssetRegistry
    function layoutFor(bytes32 siteId, address who, uint8 rights)
        external
        view
        returns (bool authorised, address layoutAt)
    {
        return (_isAuthorised(siteId, who, rights), _layouts[siteId]);
    }

    function _registerDriver(address driver) private {
        if (_drivers[driver]) return;

        _drivers[driver] = true;

        emit DriverRegistered(driver);
    }

    function _storeAsset(bytes32 siteId, uint16 lane, Asset calldata added) private {
        _lanes[siteId].push(added.id);
        _assets[added.id] = AssetRecord({
            site: siteId,
            meterKey: added.meterKey,
            price: added.price,
            group: added.group,
            lane: lane,
            kind: added.kind,
            phases: added.phases,
            ratedW: added.ratedW,
            minW: added.minW,
            latitudeE7: added.latitudeE7,
            longitudeE7: added.longitudeE7
        });
    }

    /// @dev A lane lies in the ranges of its group and of all groups above it.
    function _extendRanges(bytes memory ranges, Group[] memory groups, uint16 index, uint16 lane) private pure {
        Layout.extendGroup(ranges, index, lane);
        while (index != 0) {
            index = groups[index].parent;
            Layout.extendGroup(ranges, index, lane);
        }
    }

    /// @dev The delegate comes first because it is who posts every quarter hour: the owner's slot then stays cold. Nobody
    /// but an owner can have made a delegate, so that a delegate's site exists.
    function _isAuthorised(bytes32 siteId, address who, uint8 rights) private view returns (bool) {
        Delegation memory given = _delegations[siteId][who];
        if (rights != 0 && given.rights & rights == rights && block.timestamp <= given.expiry) return true;
        return who != address(0) && who == _sites[siteId].owner;
    }

    function _requireOwner(bytes32 siteId) private view {
        address owner = _sites[siteId].owner;
        require(owner != address(0), UnknownSite(siteId));
        require(msg.sender == owner, NotOwner(siteId, msg.sender, owner));
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

    function _requireSound(Asset calldata added, string calldata clearId) private view {
        bytes32 expected = keccak256(bytes(clearId));
        require(bytes(clearId).length > 0, EmptyId());
        require(added.id == expected, IdMismatch(added.id, expected));
        require(_assets[added.id].site == 0, AssetExists(added.id));
        require(added.ratedW > 0, BadRating(added.id, added.ratedW, added.minW));
        require(added.ratedW <= MAX_RATED_W, BadRating(added.id, added.ratedW, added.minW));
        require(added.ratedW % Layout.UNIT_W == 0, BadRating(added.id, added.ratedW, added.minW));
        require(added.minW <= added.ratedW, BadRating(added.id, added.ratedW, added.minW));
        require(added.phases > 0 && added.phases <= MAX_PHASES, BadPhases(added.id, added.phases));
        require(added.meterKey != address(0), NoMeterKey(added.id));
        require(added.kind == AssetKind.Evse || added.price == 0, NotEvse(added.id));
        _requirePosition(added.latitudeE7, added.longitudeE7);
    }

    function _requirePosition(int32 latitudeE7, int32 longitudeE7) private pure {
        require(
            latitudeE7 >= -MAX_LATITUDE_E7 && latitudeE7 <= MAX_LATITUDE_E7 && longitudeE7 >= -MAX_LONGITUDE_E7
                && longitudeE7 <= MAX_LONGITUDE_E7,
            BadPosition(latitudeE7, longitudeE7)
        );
    }
}
