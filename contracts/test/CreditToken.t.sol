// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {ICreditToken} from "../src/IProtocol.sol";
import {CreditToken} from "../src/tokens/CreditToken.sol";
import {Test} from "./SiteTest.sol";

contract CreditTokenTest is Test {
    address private minter = makeAddr("minter");
    CreditToken private credit;

    function setUp() public {
        credit = new CreditToken(minter);
    }

    function test_mint_onlyTheFaucet(address who, address caller, uint256 amount) public {
        vm.assume(who != address(0));
        if (caller != minter) vm.expectRevert(abi.encodeWithSelector(ICreditToken.NotMinter.selector, caller, minter));
        vm.prank(caller);
        credit.mint(who, amount);
        assertEq(credit.balanceOf(who), caller == minter ? amount : 0, "balance");
        assertEq(credit.totalSupply(), caller == minter ? amount : 0, "supply");
    }

    function test_mint_faucet(address who, uint256 amount) public {
        vm.assume(who != address(0));
        vm.prank(minter);
        credit.mint(who, amount);
        assertEq(credit.balanceOf(who), amount, "balance");
        assertEq(credit.totalSupply(), amount, "supply");
    }

    function test_approve(address spender, uint256 amount, uint256 spent) public {
        vm.assume(spender != address(0));
        spent = bound(spent, 0, amount);
        vm.prank(minter);
        credit.mint(address(this), amount);
        assertTrue(credit.approve(spender, amount), "approved");
        vm.prank(spender);
        credit.transferFrom(address(this), minter, spent);
        assertEq(credit.balanceOf(minter), spent, "spent");
    }

    function test_decimals_countsMicroUnits() public view {
        assertEq(credit.decimals(), 6, "decimals");
    }
}
