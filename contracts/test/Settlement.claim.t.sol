// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {BaseTest} from "./BaseTest.sol";

contract SettlementClaimTest is BaseTest {
    uint64 private _nonce;
    uint64 private _counter;
    uint64 private _registerWh;

    function setUp() public override {
        super.setUp();
        _deposit(driver.addr, 1000e6);
    }

    /// @dev A session that begins and ends now, of 1 kWh.
    function _bill() private returns (Bill memory) {
        Request memory request = _request();
        request.nonce = ++_nonce;
        Terms memory terms = _open(request);
        MeterReading memory start = _begin(_registerWh, ++_counter);
        _registerWh += 1_000;
        return _settle(terms, start, _end(_registerWh, ++_counter));
    }

    function test_claim_splitsBetweenOwnerOperatorAndProtocol() public {
        Bill memory bill = _bill();
        vm.warp(START + 3 days);
        vm.expectEmit(address(settlement));
        emit ISettlement.Claimed(SITE, owner, 420_000, operator, 21_000, 4_200);
        vm.prank(stranger);
        settlement.claim(SITE);
        assertEq(bill.amount, 420_000, "amount");
        assertEq(settlement.balanceOf(owner), 394_800, "owner");
        assertEq(settlement.balanceOf(operator), 21_000, "operator");
        assertEq(settlement.balanceOf(protocol), 4_200, "protocol");
    }

    /// @dev Without an operator its share is none, and a claim from before goes to the owner.
    function test_claim_withoutOperator() public {
        _bill();
        vm.prank(owner);
        registry.setOperator(SITE, address(0), 0, 0, 0);
        vm.warp(START + 3 days);
        settlement.claim(SITE);
        assertEq(settlement.balanceOf(owner), 394_800 + 21_000, "owner");
    }

    /// @dev A bill of the first second of a day waits until the third day after, one of its last second two days and one.
    function test_boundary_claimableWhenTheLastWindowOfItsDayIsOver(uint256 second) public {
        second = bound(second, 0, 1 days - 1);
        vm.warp(START + second);
        _bill();
        vm.warp(START + 3 days - 1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingToClaim.selector, SITE));
        settlement.claim(SITE);
        vm.warp(START + 3 days);
        settlement.claim(SITE);
        assertEq(settlement.balanceOf(operator), 21_000, "paid");
    }

    /// @dev However days with and without bills follow, and whenever somebody claims, all is paid once, none too early.
    function test_claim_anyDays(uint256 seed) public {
        uint256 billed;
        uint256 paid;
        uint256[] memory due = new uint256[](60);
        for (uint256 day; day < 40; ++day) {
            vm.warp(START + day * 1 days + seed % 1 days);
            uint256 dice = uint256(keccak256(abi.encode(seed, day)));
            if (dice % 2 == 0) {
                billed += _bill().amount;
                due[day] = 420_000;
            }
            if (dice >> 8 & 3 == 0) _claimIfAny();
            uint256 final_;
            for (uint256 past; past + 3 <= day; ++past) {
                final_ += due[past];
            }
            (uint256 claimable, uint256 pending) = settlement.claimableOf(SITE);
            paid = settlement.balanceOf(owner) + settlement.balanceOf(operator) + settlement.balanceOf(protocol);
            assertEq(paid + claimable, final_, "final");
            assertEq(paid + claimable + pending, billed, "all of it");
        }
        vm.warp(START + 50 days);
        _claimIfAny();
        paid = settlement.balanceOf(owner) + settlement.balanceOf(operator) + settlement.balanceOf(protocol);
        assertEq(paid, billed, "in the end");
        assertEq(settlement.accounted(), 1000e6, "accounted");
    }

    function _claimIfAny() private {
        (uint256 claimable,) = settlement.claimableOf(SITE);
        if (claimable > 0) settlement.claim(SITE);
    }

    function test_revert_NothingToClaim(bytes32 site) public {
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingToClaim.selector, site));
        settlement.claim(site);
    }

    function test_revert_NothingToClaim_twice() public {
        _bill();
        vm.warp(START + 3 days);
        settlement.claim(SITE);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingToClaim.selector, SITE));
        settlement.claim(SITE);
    }
}
