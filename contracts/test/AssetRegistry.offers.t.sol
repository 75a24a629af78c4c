// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {SiteTest} from "./SiteTest.sol";

contract AssetRegistryOffersTest is SiteTest {
    function test_offerOf_demoSite() public {
        vm.prank(owner);
        registry.setOperator(SITE, stranger, 123, 456, 789);
        Offer memory offer = registry.offerOf(EVSE, driver.addr, oracle);
        assertEq(
            abi.encode(offer),
            abi.encode(
                Offer({
                    site: SITE,
                    meter: _meterId(meter.addr),
                    tariffHash: _tariffHash(_flatTariff()),
                    operatorFeeBps: 123,
                    rewardBps: 456,
                    rewardCap: 789,
                    isEvse: true,
                    removed: false,
                    status: Status.Available,
                    admitted: true,
                    free: false,
                    authorised: true,
                    paused: false
                })
            ),
            "offer"
        );
    }

    /// @dev Who is admitted, and who charges free, as the words of the enums say.
    function test_offerOf_admitsByAccessAndStanding(uint8 access, uint8 standing, bool registered, bool isOwner)
        public
    {
        (Access wanted, Standing given) = (Access(bound(access, 0, 2)), Standing(bound(standing, 0, 3)));
        address who = isOwner ? owner : stranger;
        vm.prank(owner);
        registry.setAccess(EVSE, wanted);
        _setStanding(who, given);
        if (registered) {
            vm.prank(who);
            registry.registerDriver();
        }

        bool free = isOwner || given == Standing.KeyHolder;
        bool within = free;
        if (wanted == Access.Public && given != Standing.Blocked) within = true;
        if (wanted == Access.Members && given == Standing.Member) within = true;
        Offer memory offer = registry.offerOf(EVSE, who, oracle);
        assertEq(offer.free, free, "free");
        assertEq(offer.admitted, within && registered, "admitted");
        (bool allowed,, bytes32 site) = registry.mayBook(EVSE, who);
        assertEq(allowed, within, "may book");
        assertEq(site, SITE, "site");
    }

    /// @dev A host blocks for its own sites only.
    function test_offerOf_blockedAtOneSiteOnly() public {
        vm.startPrank(stranger);
        bytes32 site = registry.registerSite("other", "", 0, 0);
        registry.registerGroups(site, new Group[](1));
        Asset[] memory assets = new Asset[](1);
        string[] memory clearIds = new string[](1);
        clearIds[0] = "other evse";
        assets[0] = _asset("other evse", AssetKind.Evse, 0, 22_000);
        registry.registerAssets(site, assets, clearIds);
        vm.stopPrank();
        _setStanding(driver.addr, Standing.Blocked);
        assertFalse(registry.offerOf(EVSE, driver.addr, oracle).admitted, "here");
        assertTrue(registry.offerOf(assets[0].id, driver.addr, oracle).admitted, "there");
        _setStanding(driver.addr, Standing.None);
        assertTrue(registry.offerOf(EVSE, driver.addr, oracle).admitted, "here again");
    }

    function test_offerOf_authorisedLikeIsAuthorised(address caller, uint8 rights, uint40 expiry, uint40 time) public {
        rights = uint8(bound(rights, 0, 7));
        vm.prank(owner);
        registry.setDelegate(SITE, caller, rights, expiry);
        vm.warp(time);
        bool expected = registry.isAuthorised(SITE, caller, RIGHT_SETTLE);
        assertEq(registry.offerOf(EVSE, driver.addr, caller).authorised, expected, "the same");
        assertTrue(registry.offerOf(EVSE, driver.addr, owner).authorised, "the owner always");
    }

    function test_offerOf_onlyEvsesAreEvses(uint16 lane) public view {
        lane = uint16(bound(lane, 0, LANES - 1));
        bytes32 id = registry.assetAt(SITE, lane);
        (Asset memory data,) = registry.asset(id);
        bool isEvse = data.kind == AssetKind.Evse;
        assertEq(registry.offerOf(id, driver.addr, oracle).isEvse, isEvse, "session");
        (bool allowed,,) = registry.mayBook(id, driver.addr);
        assertEq(allowed, isEvse, "booking");
    }

    function test_offerOf_noTariffBeforeOneIsSet() public {
        Asset[] memory assets = new Asset[](1);
        string[] memory clearIds = new string[](1);
        clearIds[0] = "new";
        assets[0] = _asset("new", AssetKind.Evse, 2, 22_000);
        vm.prank(owner);
        registry.registerAssets(SITE, assets, clearIds);
        assertEq(registry.offerOf(assets[0].id, driver.addr, oracle).tariffHash, bytes32(0), "none");
    }

    /// @dev It may be in order when the booking begins.
    function test_mayBook_saysWhetherBookingsArePaused(bool paused) public {
        vm.prank(guardian);
        registry.setPaused(paused);
        (bool allowed, bool isPaused,) = registry.mayBook(EVSE, driver.addr);
        assertEq(isPaused, paused, "paused");
        assertTrue(allowed, "another question");
    }

    function test_mayBook_faultedToo() public {
        vm.prank(owner);
        registry.setStatus(EVSE, Status.Faulted, "");
        (bool allowed,,) = registry.mayBook(EVSE, driver.addr);
        assertTrue(allowed, "allowed");
    }
}
