// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Band, Bill, Tariff, Terms} from "../../src/IProtocol.sol";
import {Billing} from "../../src/libraries/Billing.sol";
import {Ledger} from "../../src/libraries/Ledger.sol";
import {Readings} from "../../src/libraries/Readings.sol";
import {Tariffs} from "../../src/libraries/Tariffs.sol";
import {Test} from "../SiteTest.sol";

/// @notice For every input: the arithmetic of bills and days. `scripts/prove` runs it. What takes products of two unknowns and
/// divides them, as shares do, no solver decides in time: fees and rewards are held to their bounds by Invariant.t.sol.
contract MoneyProof is Test {
    function billOf(Terms memory terms, Tariff calldata tariff, Readings.Stay memory stay)
        external
        view
        returns (Bill memory)
    {
        return Billing.billOf(terms, tariff, stay, 0);
    }

    function prices(Tariff calldata tariff, uint40 from, uint40 until)
        external
        pure
        returns (uint64 lowest, uint64 highest)
    {
        Tariffs.validate(tariff);
        return (Tariffs.lowestPriceBetween(tariff, from, until), Tariffs.highestPrice(tariff));
    }

    /// @dev Of any stay, fees and bounds: whatever its energy costs.
    function check_aBillNeverExceedsItsHold(
        Readings.Stay memory stay,
        uint128 held,
        uint64[2] memory fees,
        uint128[2] memory bounds,
        uint32 cost
    ) external view {
        Tariff memory tariff;
        (tariff.sessionFee, tariff.idleFeePerMinute) = (fees[0], fees[1]);
        (tariff.minimum, tariff.maximum) = (bounds[0], bounds[1]);
        Terms memory terms;
        (terms.held, terms.departure) = (held, type(uint40).max);
        (stay.cost, stay.stopTime) = (uint256(cost) * 1e6, 0);
        Bill memory bill = this.billOf(terms, tariff, stay);
        assert(bill.amount <= held);
        assert(tariff.maximum == 0 || bill.amount <= tariff.maximum);
    }

    function check_theLowestPriceIsNeverAboveTheHighest(
        uint64 price,
        uint64[2] memory bandPrices,
        uint16[2] memory minutes_,
        uint40 from,
        uint40 until
    ) external view {
        Tariff memory tariff;
        tariff.price = price;
        tariff.bands = new Band[](2);
        tariff.bands[0] = Band(minutes_[0], bandPrices[0]);
        tariff.bands[1] = Band(minutes_[1], bandPrices[1]);
        (uint64 lowest, uint64 highest) = this.prices(tariff, from, until);
        assert(lowest <= highest);
        // One of the three prices it is.
        assert(lowest == price || lowest == bandPrices[0] || lowest == bandPrices[1]);
    }

    /// @dev Settled on the last second of a day at the latest: the window of two days ends on the second day after.
    /// Pending to its end, for the 253 days in which the byte tells days apart.
    function check_aBucketIsPendingForThreeDays(uint24 day, uint8 later) external {
        vm.warp((uint256(day) + later) * 1 days);
        assert(Ledger.isPending(uint8(day)) == (later < 3));
    }
}
