// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Bill, BPS, Flexibility, INTERVAL_S, ISettlement, Tariff, Terms} from "../IProtocol.sol";
import {Readings} from "./Readings.sol";
import {Tariffs} from "./Tariffs.sol";

/// @title From registers to money
/// @notice What a session costs, by its terms and its meter's readings alone. Rounds down, in the driver's favour.
library Billing {
    using SafeCast for uint256;

    /// @dev Prices are per kilowatt-hour, registers in thousandths of watt-hours.
    uint256 private constant MILLI_WH_PER_KWH = 1e6;
    uint256 private constant MILLI_WH_PER_WH = 1000;
    uint256 private constant WH_PER_KWH = 1000;
    uint256 private constant S_PER_MINUTE = 60;

    /// @notice Reverts unless this is the tariff that the session began with.
    function requireTariff(Terms memory terms, Tariff calldata tariff) internal pure {
        bytes32 presented = Tariffs.hash(tariff);
        require(presented == terms.tariffHash, ISettlement.TariffChanged(terms.evse, presented, terms.tariffHash));
    }

    /// @notice The amount of a session, at most its hold.
    /// @dev Unchecked: costs have less than 144 bits, fees less than 104, amounts of the tariff 128.
    function amountOf(Terms memory terms, Tariff calldata tariff, Readings.Stay memory stay)
        internal
        pure
        returns (uint256 amount)
    {
        bool delivered = stay.stopMilliWh > stay.startMilliWh;
        unchecked {
            amount = stay.cost / MILLI_WH_PER_KWH;
            if (delivered) amount += tariff.sessionFee;
            if (stay.stopTime > terms.departure) {
                amount += (stay.stopTime - terms.departure) / S_PER_MINUTE * tariff.idleFeePerMinute;
            }
        }
        uint256 minimum = tariff.minimum;
        uint256 maximum = tariff.maximum;
        if (delivered && amount < minimum) amount = minimum;
        if (maximum != 0 && amount > maximum) amount = maximum;
        if (amount > terms.held) amount = terms.held;
    }

    /// @notice The whole bill. What the fees leave belongs to the site's owner.
    /// @dev Registers and counters that fit their types have been signed in them, and thousandths of watt-hours are checked.
    function billOf(Terms memory terms, Tariff calldata tariff, Readings.Stay memory stay, uint256 protocolFeeBps)
        internal
        view
        returns (Bill memory bill)
    {
        uint256 amount = amountOf(terms, tariff, stay);
        bill.startMilliWh = uint64(stay.startMilliWh);
        bill.stopMilliWh = stay.stopMilliWh.toUint64();
        bill.startCounter = uint64(stay.startCounter);
        bill.stopCounter = uint64(stay.stopCounter);
        bill.fiscal = stay.fiscal;
        bill.startTime = uint40(stay.startTime);
        bill.stopTime = uint40(stay.stopTime);
        bill.settledAt = uint40(block.timestamp);
        bill.amount = uint128(amount);
        unchecked {
            // A hold has 80 bits, a share 14.
            bill.operatorFee = uint128(amount * terms.operatorFeeBps / BPS);
            bill.protocolFee = uint128(amount * protocolFeeBps / BPS);
        }
    }

    /// @notice The driver's share of what flexibility was worth. Reverts when more was claimed than the session allows.
    /// @dev No more energy can have been moved than was drawn, nor by more intervals than the session touched; and what was
    /// moved was worth at most the cap (DESIGN of flexibility in ARCHITECTURE.md).
    function rewardOf(Terms memory terms, Bill memory bill, Flexibility memory moved) internal pure returns (uint128) {
        uint256 energyWh = (bill.stopMilliWh - bill.startMilliWh) / MILLI_WH_PER_WH;
        uint256 intervals = bill.stopTime / INTERVAL_S - bill.startTime / INTERVAL_S + 1;
        _requireAtMost(terms.session, moved.activatedWh, energyWh);
        _requireAtMost(terms.session, moved.displacedWhIntervals, energyWh * intervals);
        if (moved.worth <= 0) return 0;

        uint256 worth = uint64(moved.worth);
        _requireAtMost(terms.session, worth, uint256(moved.activatedWh) * terms.rewardCap / WH_PER_KWH);
        return uint128(worth * terms.rewardBps / BPS);
    }

    function _requireAtMost(bytes32 session, uint256 value, uint256 bound) private pure {
        require(value <= bound, ISettlement.TooMuchFlexibility(session, value, bound));
    }
}
