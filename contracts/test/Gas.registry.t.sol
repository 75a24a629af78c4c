// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {SiteTest} from "./SiteTest.sol";

/// @notice Gas of the registry's answers as Settlement and Bookings pay for them: the call with nothing warm but the caller.
/// forge-config: default.isolate = true
contract GasRegistryTest is SiteTest {
    string private constant GROUP = "Provolt";
    uint256 private constant OFFER_TARGET = 26_500;
    uint256 private constant BOOK_TARGET = 14_000;

    /// @dev Measured by the difference around the call, so that the transaction's own costs stay out. A cold account and nine
    /// cold slots are 21,500 of it: four of the asset, and one each for driver, standing, delegation, site and guardian.
    function offer() external view returns (uint256 gas, Offer memory answer) {
        (IAssetRegistry target, bytes32 evse, address who, address caller) = (registry, EVSE, driver.addr, oracle);
        gas = gasleft();
        answer = target.offerOf(evse, who, caller);
        gas -= gasleft();
    }

    /// @dev A cold account and four cold slots are 11,000 of it: two of the asset, and one each for standing and guardian.
    function book() external view returns (uint256 gas, bool allowed) {
        (IAssetRegistry target, bytes32 evse, address who) = (registry, EVSE, driver.addr);
        gas = gasleft();
        (allowed,,) = target.mayBook(evse, who);
        gas -= gasleft();
    }

    function test_gas_offerOf() public {
        (uint256 gas, Offer memory answer) = this.offer();
        vm.snapshotValue(GROUP, "offerOf", gas);
        assertTrue(answer.admitted && answer.authorised, "offered");
        assertLe(gas, OFFER_TARGET, "target");
    }

    function test_gas_mayBook() public {
        (uint256 gas, bool allowed) = this.book();
        vm.snapshotValue(GROUP, "mayBook", gas);
        assertTrue(allowed, "allowed");
        assertLe(gas, BOOK_TARGET, "target");
    }
}
