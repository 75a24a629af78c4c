// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import "../src/IProtocol.sol";
import {Settlement} from "../src/Settlement.sol";
import {BaseTest} from "./BaseTest.sol";
import {HostileToken} from "./HostileToken.sol";

/// @notice Deposits with an ERC-2612 permit in place of an earlier allowance.
contract SettlementPermitTest is BaseTest {
    bytes32 private constant PERMIT_TYPEHASH =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
    uint256 private constant K1_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    function _mint(address account, uint256 amount) private {
        vm.prank(minter);
        credit.mint(account, amount);
    }

    struct Permit {
        uint256 amount;
        uint256 deadline;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    function _permit(uint256 amount, uint256 deadline) private view returns (Permit memory permit) {
        bytes32 hash = keccak256(
            abi.encode(PERMIT_TYPEHASH, driver.addr, address(settlement), amount, credit.nonces(driver.addr), deadline)
        );
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", credit.DOMAIN_SEPARATOR(), hash));
        (permit.amount, permit.deadline) = (amount, deadline);
        (permit.v, permit.r, permit.s) = vm.sign(driver.privateKey, digest);
    }

    function _depositWithPermit(address account, Permit memory permit) private {
        vm.prank(driver.addr);
        settlement.depositWithPermit(account, permit.amount, permit.deadline, permit.v, permit.r, permit.s);
    }

    function _usePermit(Permit memory p) private {
        vm.prank(stranger);
        credit.permit(driver.addr, address(settlement), p.amount, p.deadline, p.v, p.r, p.s);
    }

    function _expectNoAllowance(address spender, uint256 allowed, uint256 needed) private {
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, spender, allowed, needed)
        );
    }

    function test_depositWithPermit(address account, uint256 amount, uint256 deadline) public {
        vm.assume(account != address(0));
        amount = bound(amount, 1, type(uint128).max);
        deadline = bound(deadline, block.timestamp, type(uint256).max);
        _mint(driver.addr, amount);
        Permit memory permit = _permit(amount, deadline);
        vm.expectEmit(address(settlement));
        emit ISettlement.Deposited(account, driver.addr, amount);
        _depositWithPermit(account, permit);
        assertEq(settlement.balanceOf(account), amount, "wallet");
        assertEq(credit.allowance(driver.addr, address(settlement)), 0, "nothing left allowed");
    }

    /// @dev Who copies a permit out of the mempool only pays for it.
    function test_depositWithPermit_frontRun(uint256 amount) public {
        amount = bound(amount, 1, MAX_MONEY);
        _mint(driver.addr, amount);
        Permit memory permit = _permit(amount, block.timestamp);
        _usePermit(permit);
        _depositWithPermit(driver.addr, permit);
        assertEq(settlement.balanceOf(driver.addr), amount, "wallet");
    }

    function test_revert_depositWithPermit_usedPermit(uint256 amount) public {
        amount = bound(amount, 1, MAX_MONEY);
        _mint(driver.addr, 2 * amount);
        Permit memory permit = _permit(amount, block.timestamp);
        _depositWithPermit(driver.addr, permit);
        _expectNoAllowance(address(settlement), 0, amount);
        _depositWithPermit(driver.addr, permit);
    }

    function test_revert_depositWithPermit_expiredPermit(uint256 late) public {
        _mint(driver.addr, 2e6);
        Permit memory permit = _permit(1e6, START);
        _depositWithPermit(driver.addr, permit);
        permit = _permit(1e6, START);
        vm.warp(bound(late, START + 1, type(uint40).max));
        _expectNoAllowance(address(settlement), 0, 1e6);
        _depositWithPermit(driver.addr, permit);

        vm.prank(driver.addr);
        credit.approve(address(settlement), 1e6);
        _depositWithPermit(driver.addr, permit);
        assertEq(settlement.balanceOf(driver.addr), 2e6, "an allowance is enough");
    }

    function test_revert_depositWithPermit_malleablePermit() public {
        _mint(driver.addr, 1e6);
        Permit memory permit = _permit(1e6, block.timestamp);
        (permit.v, permit.s) = (permit.v ^ 7, bytes32(K1_ORDER - uint256(permit.s)));
        _expectNoAllowance(address(settlement), 0, 1e6);
        _depositWithPermit(driver.addr, permit);
    }

    /// @dev A permit is its owner's, so that nobody else turns it into a deposit of theirs.
    function test_revert_depositWithPermit_othersPermit(address thief) public {
        vm.assume(thief != driver.addr && thief != address(0));
        _mint(driver.addr, 1e6);
        Permit memory p = _permit(1e6, block.timestamp);
        _usePermit(p);
        _expectNoAllowance(address(settlement), 0, 1e6);
        vm.prank(thief);
        settlement.depositWithPermit(thief, 1e6, p.deadline, p.v, p.r, p.s);
        assertEq(credit.balanceOf(driver.addr), 1e6, "tokens");
    }

    function test_depositWithPermit_tokenWithoutPermit(uint256 amount) public {
        amount = bound(amount, 1, MAX_MONEY);
        HostileToken token = new HostileToken();
        Settlement plain = _deploySettlement(IERC20(address(token)));
        token.mint(stranger, amount);
        vm.startPrank(stranger);
        _expectNoAllowance(address(plain), 0, amount);
        plain.depositWithPermit(stranger, amount, block.timestamp, 27, bytes32(uint256(1)), bytes32(uint256(1)));
        token.approve(address(plain), amount);
        plain.depositWithPermit(stranger, amount, block.timestamp, 27, bytes32(uint256(1)), bytes32(uint256(1)));
        vm.stopPrank();
        assertEq(plain.balanceOf(stranger), amount, "an allowance is enough");
    }
}
