// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Vm} from "forge-std/Vm.sol";
import "../src/IProtocol.sol";
import {Bookings} from "../src/Bookings.sol";
import {Settlement} from "../src/Settlement.sol";
import {FlexibilityToken} from "../src/tokens/FlexibilityToken.sol";
import {BaseTest} from "./BaseTest.sol";
import {Certificates} from "./Certificates.sol";

/// @notice A settled session of two hours and 10 kWh whose schedules are certified, and a pool that can redeem its reward.
abstract contract FlexibilityTest is BaseTest {
    uint32 internal constant ENERGY_WH = 10_000;
    /// @dev 00:00 to 02:00 touches the interval that begins at 02:00 too.
    uint32 internal constant LAST = FIRST + 8;
    uint256 internal constant INTERVALS = 9;
    uint256 internal constant WINDOW_END = START + 2 hours + 2 days;
    uint256 internal constant CLAIM_END = WINDOW_END - 12 hours;
    uint256 internal constant POOL = 1_000e6;

    Certificates internal certificates;
    Terms internal terms;
    Bill internal bill;

    function setUp() public virtual override {
        super.setUp();
        certificates = new Certificates();
        settlement = new Settlement(registry, IERC20(address(credit)), certificates);
        flexibility = FlexibilityToken(settlement.flexibility());
        bookings = Bookings(settlement.bookings());
        certificates.set(SITE, FIRST, LAST, true);
        _fundPool(operator, POOL);
        vm.prank(operator);
        flexibility.setServed(SITE, true);
        terms = _openFunded();
        vm.warp(START + 2 hours);
        bill = _settle(terms, _startReading(), _end(ENERGY_WH, 2));
    }

    function _startReading() internal pure returns (MeterReading memory) {
        return MeterReading(keccak256(bytes(EVSE_CLEAR)), 0, 0, uint40(START), 1, ReadingContext.Begin);
    }

    /// @dev At a rate of one for one.
    function _fundPool(address who, uint256 amount) internal {
        vm.prank(minter);
        credit.mint(who, amount);
        vm.startPrank(who);
        credit.approve(address(flexibility), amount);
        flexibility.fund(who, amount);
        flexibility.setRate(1e6);
        vm.stopPrank();
    }

    /// @dev Worth two units of money: a reward of one at the operator's share.
    function _moved() internal pure returns (Flexibility memory) {
        return Flexibility(5_000, 20_000, 2e6);
    }

    function _claim(Flexibility memory moved) internal {
        vm.recordLogs();
        vm.prank(oracle);
        settlement.claimFlexibility(terms, bill, moved);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        (, bill) = abi.decode(logs[logs.length - 1].data, (Flexibility, Bill));
    }

    function _expectClaimRevert(Flexibility memory moved, bytes memory reason) internal {
        vm.expectRevert(reason);
        vm.prank(oracle);
        settlement.claimFlexibility(terms, bill, moved);
    }

    function _expectMintRevert(bytes memory reason) internal {
        vm.expectRevert(reason);
        settlement.mintReward(terms, bill);
    }

    function _mismatch() internal view returns (bytes memory) {
        return abi.encodeWithSelector(ISettlement.TermsMismatch.selector, terms.session);
    }

    function _wrongReward(uint128 reward) internal view returns (bytes memory) {
        return abi.encodeWithSelector(ISettlement.WrongReward.selector, terms.session, reward);
    }

    function _tokens() internal view returns (uint256) {
        return flexibility.balanceOf(driver.addr);
    }

    function _assertReceipt() internal view {
        (bytes26 commitment,, SessionState state) = settlement.placeAt(EVSE, terms.place);
        assertEq(bytes32(commitment), bytes32(bytes26(keccak256(abi.encode(terms, bill)))), "receipt");
        assertEq(uint8(state), uint8(SessionState.Settled), "state");
    }
}
