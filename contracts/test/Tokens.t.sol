// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Vm} from "forge-std/Vm.sol";
import {ICreditToken, IFlexibilityToken} from "../src/IProtocol.sol";
import {FlexibilityToken} from "../src/tokens/FlexibilityToken.sol";
import {BaseTest} from "./BaseTest.sol";

contract TokensTest is BaseTest {
    FlexibilityToken private flexibility;

    function setUp() public override {
        super.setUp();
        flexibility = FlexibilityToken(settlement.flexibility());
    }

    function test_names() public view {
        assertEq(credit.name(), "Provolt Credit", "credit name");
        assertEq(credit.symbol(), "PVC", "credit symbol");
        assertEq(credit.decimals(), 6, "credit decimals");
        assertEq(flexibility.decimals(), 6, "flexibility decimals");
        assertEq(flexibility.minter(), address(settlement), "flexibility minter");
        assertEq(settlement.credit(), address(credit), "settlement's credit");
    }

    function test_credit_mint(address to, uint256 amount) public {
        vm.assume(to != address(0));
        vm.prank(minter);
        credit.mint(to, amount);
        assertEq(credit.balanceOf(to), amount, "balance");
        assertEq(credit.totalSupply(), amount, "supply");
    }

    function test_revert_NotMinter_credit(address who) public {
        vm.assume(who != minter);
        vm.expectRevert(abi.encodeWithSelector(ICreditToken.NotMinter.selector, who, minter));
        vm.prank(who);
        credit.mint(who, 1);
    }

    function test_flexibility_mint(address to, uint256 amount) public {
        vm.assume(to != address(0));
        vm.prank(address(settlement));
        flexibility.mint(to, amount);
        assertEq(flexibility.balanceOf(to), amount, "balance");
        assertEq(flexibility.totalSupply(), amount, "supply");
    }

    function test_revert_NotMinter_flexibility(address who) public {
        vm.assume(who != address(settlement));
        vm.expectRevert(abi.encodeWithSelector(IFlexibilityToken.NotMinter.selector, who, address(settlement)));
        vm.prank(who);
        flexibility.mint(who, 1);
    }

    /// @dev A driver without gas can still fund a wallet: the relayer carries the permit.
    function test_credit_permit(uint256 amount) public {
        Vm.Wallet memory payer = driver;
        bytes32 typeHash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 structHash =
            keccak256(abi.encode(typeHash, payer.addr, address(settlement), amount, 0, block.timestamp));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", credit.DOMAIN_SEPARATOR(), structHash));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(payer.privateKey, digest);
        credit.permit(payer.addr, address(settlement), amount, block.timestamp, v, r, s);
        assertEq(credit.allowance(payer.addr, address(settlement)), amount, "allowance");
    }
}
