// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {SiteTest} from "./SiteTest.sol";

contract AssetRegistrySetTariffTest is SiteTest {
    function _banded(uint64 price, uint64 bandPrice) private pure returns (Tariff memory tariff) {
        (tariff.price, tariff.sessionFee, tariff.idleFeePerMinute) = (price, 1e6, 1e4);
        (tariff.minimum, tariff.maximum) = (2e6, 3e6);
        tariff.bands = new Band[](2);
        (tariff.bands[0], tariff.bands[1]) = (Band(360, bandPrice), Band(1320, price));
    }

    function _hashOf(bytes32 evse) private view returns (bytes32) {
        (, AssetState memory state) = registry.asset(evse);
        return state.tariffHash;
    }

    function test_setTariff_allEvsesOfAList(uint64 price, uint64 bandPrice) public {
        Tariff memory tariff = _banded(price, bandPrice);
        bytes32[] memory evses = _demoEvses();
        for (uint256 i; i < evses.length; ++i) {
            vm.expectEmit(address(registry));
            emit IAssetRegistry.TariffSet(SITE, evses[i], _tariffHash(tariff), tariff);
        }
        vm.prank(owner);
        registry.setTariff(evses, tariff);
        for (uint256 i; i < evses.length; ++i) {
            assertEq(_hashOf(evses[i]), _tariffHash(tariff), "hash");
            assertEq(registry.offerOf(evses[i], driver.addr, oracle).tariffHash, _tariffHash(tariff), "offered");
        }
    }

    function test_setTariff_thoseOfTheListOnly() public {
        vm.prank(owner);
        registry.setTariff(_only(EVSE), _banded(1, 2));
        assertEq(_hashOf(EVSE), _tariffHash(_banded(1, 2)), "named");
        assertEq(_hashOf(OTHER_EVSE), _tariffHash(_flatTariff()), "not named");
    }

    /// @dev Either all of a list or none.
    function test_revert_NotOwner_oneOfAList() public {
        bytes32[] memory evses = _demoEvses();
        vm.startPrank(stranger);
        bytes32 site = registry.registerSite("new", "", 0, 0);
        registry.registerGroups(site, new Group[](1));
        Asset[] memory assets = new Asset[](1);
        string[] memory clearIds = new string[](1);
        clearIds[0] = "new evse";
        assets[0] = _asset("new evse", AssetKind.Evse, 0, 22_000);
        registry.registerAssets(site, assets, clearIds);
        vm.stopPrank();
        evses[3] = assets[0].id;
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.NotOwner.selector, site, owner, stranger));
        vm.prank(owner);
        registry.setTariff(evses, _banded(1, 2));
        assertEq(_hashOf(EVSE), _tariffHash(_flatTariff()), "none is set");
    }

    function test_revert_BadBands() public {
        Tariff memory tariff = _banded(1, 2);
        tariff.bands[1].fromMinute = 360;
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.BadBands.selector, 1));
        vm.prank(owner);
        registry.setTariff(_only(EVSE), tariff);
    }

    function test_revert_BadTariffBounds() public {
        Tariff memory tariff = _banded(1, 2);
        tariff.minimum = tariff.maximum + 1;
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.BadTariffBounds.selector, tariff.minimum, tariff.maximum));
        vm.prank(owner);
        registry.setTariff(_only(EVSE), tariff);
    }

    function test_boundary_256Evses() public {
        bytes32[] memory evses = new bytes32[](256);
        for (uint256 i; i < 256; ++i) {
            evses[i] = EVSE;
        }
        vm.startPrank(owner);
        registry.setTariff(evses, _banded(1, 2));
        assertEq(_hashOf(EVSE), _tariffHash(_banded(1, 2)), "set");
        vm.expectRevert(abi.encodeWithSelector(IAssetRegistry.ListTooLong.selector, 257, 256));
        registry.setTariff(new bytes32[](257), _banded(1, 2));
        vm.stopPrank();
    }

    function test_boundary_longestTariffAt256EvsesFitsIntoATransaction() public {
        Asset[] memory assets = new Asset[](256);
        string[] memory clearIds = new string[](256);
        bytes32[] memory evses = new bytes32[](256);
        for (uint256 i; i < 256; ++i) {
            clearIds[i] = string.concat("many", vm.toString(i));
            assets[i] = _asset(clearIds[i], AssetKind.Evse, 2, 22_000);
            evses[i] = assets[i].id;
        }
        Tariff memory tariff;
        tariff.bands = new Band[](32);
        for (uint16 i; i < 32; ++i) {
            tariff.bands[i] = Band(i, type(uint64).max - i);
        }
        vm.startPrank(owner);
        registry.registerAssets(SITE, assets, clearIds);
        vm.cool(address(registry));
        uint256 gas = gasleft();
        registry.setTariff(evses, tariff);
        gas -= gasleft();
        vm.stopPrank();
        assertEq(_hashOf(evses[255]), _tariffHash(tariff), "set");
        assertLt(gas, 16_000_000, "gas");
    }
}
