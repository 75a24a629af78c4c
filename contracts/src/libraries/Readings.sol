// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {ISettlement, ReadingContext, SignedReading, Tariff, Terms} from "../IProtocol.sol";
import {Hashes} from "./Hashes.sol";
import {Tariffs} from "./Tariffs.sol";

/// @title From signed readings to what was drawn, and what it costs
/// @notice Checks that readings are of the session's EVSE, signed by the session's meter, and in order.
library Readings {
    /// @dev Readings of one settlement: prices change a few times a day, and a stay lasts at most a week.
    uint256 internal constant MAX_READINGS = 64;
    uint256 private constant MILLI_WH_PER_WH = 1000;

    /// @dev The first and the last reading of a session in the form that all kinds of meters share, each value in the range of
    /// the type it was signed in: 64 bits, times 40.
    struct Stay {
        uint256 startMilliWh;
        uint256 stopMilliWh;
        uint256 startExportMilliWh;
        uint256 stopExportMilliWh;
        uint256 startCounter;
        uint256 stopCounter;
        uint256 startTime; // 0, like the other: the meter's clock is not set
        uint256 stopTime;
        uint256 cost; // of the energy, in base units × MILLI_WH_PER_KWH
        bool fiscal; // which series the counters are of
    }

    /// @notice What a Begin, any number of Intervals and an End come to.
    function stayOf(Terms memory terms, Tariff calldata tariff, SignedReading[] calldata readings)
        internal
        pure
        returns (Stay memory stay)
    {
        uint256 last = readings.length;
        require(last > 1 && last <= MAX_READINGS, ISettlement.BadReadingCount(terms.session, last, MAX_READINGS));
        --last;
        SignedReading calldata first = readings[0];
        requireSigned(terms, first, ReadingContext.Begin);
        stay.stopMilliWh = stay.startMilliWh = MILLI_WH_PER_WH * uint256(first.importWh);
        stay.stopExportMilliWh = stay.startExportMilliWh = MILLI_WH_PER_WH * uint256(first.exportWh);
        stay.stopCounter = stay.startCounter = first.counter;
        stay.stopTime = stay.startTime = first.time;
        for (uint256 i = 1; i <= last; ++i) {
            SignedReading calldata next = readings[i];
            requireSigned(terms, next, i == last ? ReadingContext.End : ReadingContext.Interval);
            uint256 importMilliWh = MILLI_WH_PER_WH * uint256(next.importWh);
            uint256 exportMilliWh = MILLI_WH_PER_WH * uint256(next.exportWh);
            (uint256 counter, uint256 time) = (next.counter, next.time);
            require(counter > stay.stopCounter, ISettlement.CounterBackwards(terms.session, counter, stay.stopCounter));
            requireNotBelow(terms.session, importMilliWh, stay.stopMilliWh);
            requireNotBelow(terms.session, exportMilliWh, stay.stopExportMilliWh);
            _draw(terms.session, tariff, stay, importMilliWh, time);
            stay.stopExportMilliWh = exportMilliWh;
            stay.stopCounter = counter;
        }
    }

    /// @notice What the begin and the end of OCMF records come to.
    /// @param stay With counters, times, and both registers, of which the last is checked here.
    function price(bytes32 session, Tariff calldata tariff, Stay memory stay) internal pure {
        uint256 stopMilliWh = stay.stopMilliWh;
        requireNotBelow(session, stopMilliWh, stay.startMilliWh);
        uint256 stopTime = stay.stopTime;
        (stay.stopMilliWh, stay.stopTime) = (stay.startMilliWh, stay.startTime);
        _draw(session, tariff, stay, stopMilliWh, stopTime);
    }

    /// @notice Reverts unless the session's meter has signed the reading, as one of the session's EVSE in this context.
    /// @dev The members go into the signed hash as they come: with anything in their unused bits they are not what the meter
    /// has signed. A failed recovery gives the zero address, which no registered meter is.
    function requireSigned(Terms memory terms, SignedReading calldata signed, ReadingContext context) internal pure {
        (address signer,,) = ECDSA.tryRecover(Hashes.digest(terms.evse, signed, context), signed.r, signed.vs);
        bytes32 meter = bytes32(uint256(uint160(signer)));
        require(meter == terms.meter, ISettlement.WrongMeter(terms.session, meter, terms.meter));
    }

    function requireNotBelow(bytes32 session, uint256 register, uint256 previous) internal pure {
        require(register >= previous, ISettlement.RegisterBackwards(session, register, previous));
    }

    /// @dev Energy between two readings costs the lowest price that holds anywhere between them: a settler who wants more has
    /// the meter read where the price changes. Unchecked: registers have 74 bits, prices 64, and there are 64 readings.
    function _draw(bytes32 session, Tariff calldata tariff, Stay memory stay, uint256 milliWh, uint256 time)
        private
        pure
    {
        require(time >= stay.stopTime, ISettlement.OutsideSession(session, time, stay.stopTime, type(uint40).max));
        unchecked {
            stay.cost += (milliWh - stay.stopMilliWh)
                * Tariffs.lowestPriceBetween(tariff, uint40(stay.stopTime), uint40(time));
        }
        stay.stopMilliWh = milliWh;
        stay.stopTime = time;
    }
}
