// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Vm} from "forge-std/Vm.sol";
import {Bookings} from "../src/Bookings.sol";
import "../src/IProtocol.sol";
import {Settlement} from "../src/Settlement.sol";
import {CreditToken} from "../src/tokens/CreditToken.sol";
import {FlexibilityToken} from "../src/tokens/FlexibilityToken.sol";
import {SiteTest, Test} from "./SiteTest.sol";

/// @notice The whole deployed system, and what a test needs to act as its users would. The demo site has an operator that
/// takes OPERATOR_FEE_BPS of every bill.
abstract contract BaseTest is SiteTest {
    uint16 internal constant OPERATOR_FEE_BPS = 500;
    uint16 internal constant REWARD_BPS = 5_000;
    uint64 internal constant REWARD_CAP = 1e6;
    uint256 internal constant MAX_MONEY = 1e15;
    uint64 internal constant MAX_WH = 1_000_000;
    /// @dev What `_request` lets the protocol hold.
    uint128 internal constant HELD = 10e6;

    address internal minter = makeAddr("minter");
    address internal operator = makeAddr("operator");

    CreditToken internal credit;
    Settlement internal settlement;
    Bookings internal bookings;
    FlexibilityToken internal flexibility;

    function setUp() public virtual override {
        super.setUp();
        credit = new CreditToken(minter);
        settlement = _deploySettlement(IERC20(address(credit)));
        bookings = Bookings(settlement.bookings());
        flexibility = FlexibilityToken(settlement.flexibility());
        vm.prank(owner);
        registry.setOperator(SITE, operator, OPERATOR_FEE_BPS, REWARD_BPS, REWARD_CAP);
    }

    function _deploySettlement(IERC20 token) internal returns (Settlement) {
        return new Settlement(registry, token, ICertificates(address(0)));
    }

    function _deposit(address account, uint256 amount) internal {
        vm.prank(minter);
        credit.mint(account, amount);
        vm.startPrank(account);
        credit.approve(address(settlement), amount);
        settlement.deposit(account, amount);
        vm.stopPrank();
    }

    function _request() internal view returns (Request memory) {
        return Request({
            driver: driver.addr,
            evse: EVSE,
            meter: _meterId(meter.addr),
            tariffHash: _tariffHash(_flatTariff()),
            energyWh: 20_000,
            departure: uint40(block.timestamp + 4 hours),
            priceCeiling: PRICE,
            totalCeiling: HELD,
            nonce: 1,
            validUntil: uint40(block.timestamp + 10 minutes)
        });
    }

    function _signRequest(Request memory request) internal view returns (bytes memory) {
        return _sign(driver, settlement.sessionId(request));
    }

    /// @dev Opens as the oracle and returns the terms as the event gave them.
    function _open(Request memory request) internal returns (Terms memory) {
        return _open(request, _flatTariff(), _signRequest(request));
    }

    function _open(Request memory request, Tariff memory tariff, bytes memory signature)
        internal
        returns (Terms memory terms)
    {
        vm.recordLogs();
        vm.prank(oracle);
        settlement.openSession(request, tariff, signature);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] != ISettlement.SessionOpened.selector) continue;
            (terms,) = abi.decode(logs[i].data, (Terms, Tariff));
        }
    }

    /// @dev The demo driver's session with money for it.
    function _openFunded() internal returns (Terms memory) {
        _deposit(driver.addr, HELD);
        return _open(_request());
    }

    function _begin(uint64 importWh, uint64 counter) internal view returns (MeterReading memory) {
        return MeterReading(EVSE, importWh, 0, uint40(block.timestamp), counter, ReadingContext.Begin);
    }

    function _end(uint64 importWh, uint64 counter) internal view returns (MeterReading memory) {
        return MeterReading(EVSE, importWh, 0, uint40(block.timestamp), counter, ReadingContext.End);
    }

    function _signed(MeterReading memory reading) internal view returns (SignedReading memory) {
        return _signed(meter, reading);
    }

    function _signed(Vm.Wallet memory wallet, MeterReading memory reading)
        internal
        view
        returns (SignedReading memory)
    {
        (bytes32 r, bytes32 vs) = vm.signCompact(wallet.privateKey, settlement.readingHash(reading));
        return SignedReading(reading.importWh, reading.exportWh, reading.time, reading.counter, r, vs);
    }

    function _pair(MeterReading memory start, MeterReading memory stop)
        internal
        view
        returns (SignedReading[] memory readings)
    {
        readings = new SignedReading[](2);
        (readings[0], readings[1]) = (_signed(start), _signed(stop));
    }

    /// @dev Settles at the flat tariff as the oracle and returns the bill as the event gave it.
    function _settle(Terms memory terms, MeterReading memory start, MeterReading memory stop)
        internal
        returns (Bill memory)
    {
        return _settle(terms, _flatTariff(), _pair(start, stop));
    }

    function _settle(Terms memory terms, Tariff memory tariff, SignedReading[] memory readings)
        internal
        returns (Bill memory)
    {
        vm.recordLogs();
        vm.prank(oracle);
        settlement.settle(terms, tariff, readings);
        return _lastBill();
    }

    /// @dev The bill of the last SessionSettled or BillCorrected since logs were recorded.
    function _lastBill() internal returns (Bill memory bill) {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] == ISettlement.SessionSettled.selector) {
                (, bill) = abi.decode(logs[i].data, (bytes32, Bill));
            }
            if (logs[i].topics[0] == ISettlement.BillCorrected.selector) {
                (, bill) = abi.decode(logs[i].data, (bytes32, Bill));
            }
        }
    }

    function _stateOf(Terms memory terms) internal view returns (SessionState state) {
        (,, state) = settlement.placeAt(terms.evse, terms.place);
    }
}
