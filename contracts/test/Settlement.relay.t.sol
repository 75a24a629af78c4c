// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import "../src/IProtocol.sol";
import {RelayTest} from "./RelayTest.sol";

contract SettlementWithdrawForTest is RelayTest {
    address private to = makeAddr("to");

    function _hash(Withdrawal memory order) internal view override returns (bytes32) {
        return settlement.withdrawalHash(order);
    }

    function _otherHash(Withdrawal memory order) internal view override returns (bytes32) {
        return settlement.migrationHash(order);
    }

    function _bring(Withdrawal memory order, bytes memory signature) internal override {
        settlement.withdrawFor(order, signature);
    }

    function _receiver() internal view override returns (address) {
        return to;
    }

    function _received() internal view override returns (uint256) {
        return credit.balanceOf(to);
    }

    function test_withdrawalHash_isEip712Digest(Withdrawal calldata order) public view {
        assertEq(settlement.withdrawalHash(order), _expectedHash("Withdrawal", order), "digest");
    }

    function test_withdrawFor_emitsWithdrawn(uint256 amount, address receiver) public {
        vm.assume(receiver != address(0) && receiver != address(settlement));
        Withdrawal memory order = _order(bound(amount, 1, FUNDS));
        order.to = receiver;
        bytes memory signature = _signOrder(order);
        uint256 before = credit.balanceOf(receiver);
        vm.expectEmit(address(settlement));
        emit ISettlement.Withdrawn(driver.addr, receiver, order.amount);
        settlement.withdrawFor(order, signature);
        assertEq(credit.balanceOf(receiver) - before, order.amount, "tokens of receiver");
    }

    /// @dev What is held for a session is out of a signature's reach too.
    function test_revert_InsufficientBalance_heldMoneyStays() public {
        _open(_request());
        Withdrawal memory order = _order(1);
        bytes memory signature = _signOrder(order);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InsufficientBalance.selector, driver.addr, 0, 1));
        settlement.withdrawFor(order, signature);
    }
}
