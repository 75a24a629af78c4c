// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Asset, AssetState, Group, IAssetRegistry, IRegistryViews, Site} from "./IProtocol.sol";

/// @title RegistryViews
/// @notice Reads the registry in pages. It keeps nothing and nobody calls it but clients.
contract RegistryViews is IRegistryViews {
    IAssetRegistry private immutable _registry;

    constructor(IAssetRegistry registry_) {
        _registry = registry_;
    }

    /// @inheritdoc IRegistryViews
    function registry() external view returns (address) {
        return address(_registry);
    }

    /// @inheritdoc IRegistryViews
    function sitesPage(uint256 first, uint256 count) external view returns (bytes32[] memory ids, Site[] memory sites) {
        uint256 length = _lengthOf(first, count, _registry.siteCount());
        (ids, sites) = (new bytes32[](length), new Site[](length));
        for (uint256 i; i < length; ++i) {
            ids[i] = _registry.siteAt(first + i);
            sites[i] = _registry.site(ids[i]);
        }
    }

    /// @inheritdoc IRegistryViews
    function groupsPage(bytes32 site, uint256 first, uint256 count) external view returns (Group[] memory groups) {
        groups = new Group[](_lengthOf(first, count, _registry.site(site).groupCount));
        for (uint256 i; i < groups.length; ++i) {
            groups[i] = _registry.group(site, uint16(first + i));
        }
    }

    /// @inheritdoc IRegistryViews
    function assetsPage(bytes32 site, uint256 first, uint256 count)
        external
        view
        returns (Asset[] memory data, AssetState[] memory states)
    {
        uint256 length = _lengthOf(first, count, _registry.site(site).assetCount);
        (data, states) = (new Asset[](length), new AssetState[](length));
        for (uint256 i; i < length; ++i) {
            (data[i], states[i]) = _registry.asset(_registry.assetAt(site, uint16(first + i)));
        }
    }

    /// @dev A page ends where the list does.
    function _lengthOf(uint256 first, uint256 count, uint256 total) private pure returns (uint256) {
        if (first >= total) return 0;
        return count < total - first ? count : total - first;
    }
}
