// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {Layout} from "../src/libraries/Layout.sol";
import {SiteInputs} from "../src/libraries/SiteInputs.sol";
import {PlansTest} from "./PlansTest.sol";

/// @notice One byte of the demo site's inputs at a time is not the site's.
contract SiteInputsTest is PlansTest {
    uint256 private constant GROUPS = 29 + 68;
    uint256 private constant FORECASTS = GROUPS + 30;
    uint256 private constant NEEDS = FORECASTS + 10;
    uint256 private constant PV = NEEDS + 32;
    uint256 private constant BATTERY = PV + 5;

    function compare(bytes calldata inputs, bytes32 site) external view returns (SitePart, uint256) {
        (, address layoutAt) = registry.layoutFor(site, owner);
        return SiteInputs.mismatch(inputs, Layout.load(layoutAt));
    }

    /// @dev The demo site's inputs before and from `offset`.
    function _cut(uint256 offset) private pure returns (bytes memory head, bytes memory rest) {
        bytes memory inputs = _inputs();
        head = new bytes(offset);
        rest = new bytes(inputs.length - offset);
        for (uint256 i; i < inputs.length; ++i) {
            if (i < offset) head[i] = inputs[i];
            else rest[i - offset] = inputs[i];
        }
    }

    function _expect(bytes memory inputs, SitePart part, uint256 index) private view {
        (SitePart found, uint256 where) = this.compare(inputs, SITE);
        assertEq(uint256(found), uint256(part));
        assertEq(where, index);
    }

    function _expectChanged(uint256 offset, uint8 to, SitePart part, uint256 index) private view {
        bytes memory inputs = _inputs();
        assertNotEq(uint8(inputs[offset]), to);
        inputs[offset] = bytes1(to);
        _expect(inputs, part, index);
    }

    function test_theSitesOwnInputs() public view {
        _expect(_inputs(), SitePart.None, 0);
    }

    function test_lanesAndGroupsAreCounted() public view {
        _expectChanged(3, 9, SitePart.Lanes, 9);
        _expectChanged(4, 2, SitePart.Groups, 2);
    }

    function test_limitsAreTheRegistrys() public view {
        for (uint256 g; g < 3; ++g) {
            _expectChanged(GROUPS + 10 * g + 5, 0, SitePart.Group, g);
            _expectChanged(GROUPS + 10 * g + 9, 1, SitePart.Group, g);
        }
    }

    function test_parentsAreTheRegistrys() public view {
        _expectChanged(GROUPS + 20, 1, SitePart.Group, 2);
        _expectChanged(GROUPS + 10, 1, SitePart.Group, 1);
    }

    function test_everyBaseLoadAndInverterIsThereInItsPlace() public view {
        // Lane, then group, of each.
        _expectChanged(FORECASTS + 1, 7, SitePart.BaseLoad, 0);
        _expectChanged(FORECASTS + 2, 1, SitePart.BaseLoad, 0);
        _expectChanged(FORECASTS + 6, 0, SitePart.BaseLoad, 1);
        _expectChanged(FORECASTS + 7, 0, SitePart.BaseLoad, 1);
        _expectChanged(PV + 1, 2, SitePart.Pv, 0);
        _expectChanged(PV + 2, 1, SitePart.Pv, 0);
    }

    function test_nothingThatTheSiteHasIsLeftOut() public view {
        _expectChanged(5, 1, SitePart.BaseLoad, 1);
        _expectChanged(6, 0, SitePart.Pv, 0);
        _expectChanged(7, 0, SitePart.Battery, 0);
    }

    function test_nothingIsAddedToTheSite() public view {
        _expectChanged(5, 3, SitePart.BaseLoad, 2);
        _expectChanged(6, 2, SitePart.Pv, 1);
        _expectChanged(7, 2, SitePart.Battery, 1);
    }

    function test_aBatteryIsWithinItsRating() public view {
        _expectChanged(BATTERY + 1, 3, SitePart.Battery, 0);
        _expectChanged(BATTERY + 2, 0, SitePart.Battery, 0);
        // 3,000 is 0x0bb8.
        _expectChanged(BATTERY + 4, 0xb9, SitePart.Battery, 0);
        _expectChanged(BATTERY + 4, 0xb7, SitePart.None, 0);
    }

    function test_needsAreAtEvsesWithinTheirRatings() public view {
        // Lanes of the battery, of nothing, and of the need before.
        _expectChanged(NEEDS + 1, 4, SitePart.Need, 0);
        _expectChanged(NEEDS + 17, 8, SitePart.Need, 1);
        _expectChanged(NEEDS + 17, 2, SitePart.Need, 1);
        _expectChanged(NEEDS + 2, 0, SitePart.Need, 0);
        _expectChanged(NEEDS + 2, 3, SitePart.Need, 0);
        // 2,200 is 0x0898.
        _expectChanged(NEEDS + 7, 0x99, SitePart.Need, 0);
        _expectChanged(NEEDS + 7, 0x97, SitePart.None, 0);
        // Lane 3 is an EVSE of the same cabinet, lane 6 one of half the power.
        _expectChanged(NEEDS + 1, 3, SitePart.None, 0);
        _expectChanged(NEEDS + 17, 6, SitePart.Need, 1);
    }

    /// A grid operator may ask for less than the registry's limit, never allow more.
    function test_aLimitByIntervalIsNeverAboveTheRegistrys() public view {
        (bytes memory head, bytes memory rest) = _cut(GROUPS + 10);
        head[GROUPS + 1] = 0x01;
        bytes memory series = new bytes(64);
        _expect(bytes.concat(head, series, rest), SitePart.None, 0);
        // 10,000 steps are the registry's 100 kW.
        (series[2], series[3]) = (0x27, 0x10);
        _expect(bytes.concat(head, series, rest), SitePart.None, 0);
        series[3] = 0x11;
        _expect(bytes.concat(head, series, rest), SitePart.Group, 0);
    }

    function test_rowsAreSteppedOver() public view {
        (bytes memory head, bytes memory rest) = _cut(FORECASTS);
        head[11] = 0x02;
        bytes memory one = abi.encodePacked(uint16(0x0100), uint8(1), int32(3), uint64(9));
        bytes memory two = abi.encodePacked(uint16(0x0201), uint8(1), int32(3), uint8(2), int32(-3), uint64(9));
        _expect(bytes.concat(head, one, two, rest), SitePart.None, 0);
    }

    /// A tree of three levels: who sits below the middle does not sit below the top alone.
    function test_aLimitInTheMiddleCannotBeLeftOut() public {
        string memory clear = "deep";
        bytes32 site = keccak256(bytes(clear));
        Group[] memory groups = new Group[](3);
        (groups[0], groups[1], groups[2]) = (Group(0, 50_000, 0), Group(0, 30_000, 0), Group(1, 20_000, 0));
        Asset[] memory assets = new Asset[](2);
        string[] memory clearIds = new string[](2);
        (clearIds[0], clearIds[1]) = ("deep 1", "deep 2");
        assets[0] = _asset(clearIds[0], AssetKind.Evse, 0, 22_000);
        assets[1] = _asset(clearIds[1], AssetKind.Evse, 2, 22_000);
        vm.startPrank(owner);
        registry.registerSite(clear, "UTC", 0, 0);
        registry.registerGroups(site, groups);
        registry.registerAssets(site, assets, clearIds);
        vm.stopPrank();

        (SitePart part, uint256 index) = this.compare(_deep(0, 1, 2), site);
        assertEq(uint256(part), uint256(SitePart.None));
        (part, index) = this.compare(_deep(0, 0, 2), site);
        assertEq(uint256(part), uint256(SitePart.Group));
        assertEq(index, 2);
        (part, index) = this.compare(_deep(0, 1, 1), site);
        assertEq(uint256(part), uint256(SitePart.Need));
        (part, index) = this.compare(_deep(0, 1, 0), site);
        assertEq(uint256(part), uint256(SitePart.Need));
    }

    function _deep(uint8 middleParent, uint8 leafParent, uint8 group) private pure returns (bytes memory) {
        bytes memory head = abi.encodePacked(uint16(0x0101), uint16(2), uint32(0x03000000), uint32(0x00010000));
        bytes memory prices = abi.encodePacked(new bytes(16), uint8(1), new bytes(68));
        bytes memory groups = bytes.concat(
            abi.encodePacked(uint16(0), uint32(50_000), uint32(0)),
            abi.encodePacked(middleParent, uint8(0), uint32(30_000), uint32(0)),
            abi.encodePacked(leafParent, uint8(0), uint32(20_000), uint32(0))
        );
        bytes memory need =
            abi.encodePacked(uint16(1), group, uint24(0x000101), uint16(2200), new bytes(6), uint16(100));
        return bytes.concat(head, prices, groups, need);
    }
}
