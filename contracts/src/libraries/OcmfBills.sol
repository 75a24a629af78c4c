// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {
    Bill,
    Curve,
    IAssetRegistry,
    ISettlement,
    OcmfKey,
    OcmfRecord,
    ReadingContext,
    Tariff,
    Terms
} from "../IProtocol.sol";
import {Bills} from "./Bills.sol";
import {Ledger} from "./Ledger.sol";
import {Ocmf} from "./Ocmf.sol";
import {Readings} from "./Readings.sol";

/// @title Settlement by OCMF records
/// @notice Linked to Settlement and run on its books: a part of it that has found room elsewhere, because it and a reader of
/// JSON are more than one contract may hold. Each function gets the arguments of the call to Settlement as they came.
library OcmfBills {
    using Ledger for Ledger.Books;

    /// @dev The arguments of a call are laid out like a struct's members: seen as one, the records stay where they are.
    struct Evidence {
        Terms terms;
        Tariff tariff;
        OcmfKey key;
        OcmfRecord[] records;
    }

    /// @dev As Evidence.
    struct Contradiction {
        Terms terms;
        Bill bill;
        Tariff tariff;
        OcmfKey key;
        OcmfRecord[] records;
    }

    /// @notice See ISettlement.settleOcmf.
    /// @param arguments abi.encode(Terms, Tariff, OcmfKey, OcmfRecord[]).
    function settle(
        Ledger.Books storage books,
        bytes calldata arguments,
        IAssetRegistry registry,
        uint256 protocolFeeBps
    ) external returns (bytes32 receipt) {
        Evidence calldata evidence;
        assembly ("memory-safe") {
            evidence := arguments.offset
        }
        Terms memory terms = books.active(evidence.terms);
        Readings.Stay memory stay = _stayOf(terms, evidence.tariff, evidence.key, evidence.records);
        return Bills.settle(books, terms, evidence.tariff, stay, registry, protocolFeeBps);
    }

    /// @notice See ISettlement.disputeOcmf.
    /// @param arguments abi.encode(Terms, Bill, Tariff, OcmfKey, OcmfRecord[]).
    function dispute(Ledger.Books storage books, bytes calldata arguments, uint256 protocolFeeBps) external {
        Contradiction calldata evidence;
        assembly ("memory-safe") {
            evidence := arguments.offset
        }
        Bill memory bill = evidence.bill;
        Terms memory terms = books.settled(evidence.terms, bill);
        Readings.Stay memory stay = _stayOf(terms, evidence.tariff, evidence.key, evidence.records);
        Bills.correct(books, terms, bill, evidence.tariff, stay, protocolFeeBps);
    }

    /// @dev One record with begin and end, or a begin and an end of the same series.
    function _stayOf(Terms memory terms, Tariff calldata tariff, OcmfKey calldata key, OcmfRecord[] calldata records)
        private
        view
        returns (Readings.Stay memory stay)
    {
        bytes32 session = terms.session;
        uint256 count = records.length;
        bytes32 meter = keccak256(abi.encode(key));
        require(count == 1 || count == 2, ISettlement.BadReadingCount(session, count, 2));
        require(meter == terms.meter, ISettlement.WrongMeter(session, meter, terms.meter));
        Ocmf.Record memory first = _recordOf(session, key, records[0], 0);
        Ocmf.Record memory last = count == 1 ? first : _recordOf(session, key, records[1], 1);
        require(first.hasBegin, ISettlement.WrongContext(session, ReadingContext.End, ReadingContext.Begin));
        require(last.hasEnd, ISettlement.WrongContext(session, ReadingContext.Begin, ReadingContext.End));
        require(
            count == 1 || (first.fiscal == last.fiscal && last.counter > first.counter),
            ISettlement.CounterBackwards(session, last.counter, first.counter)
        );

        stay.fiscal = first.fiscal;
        (stay.startCounter, stay.stopCounter) = (first.counter, last.counter);
        (stay.startMilliWh, stay.stopMilliWh) = (first.begin.importMilliWh, last.end.importMilliWh);
        // Half a clock is none: what is unknown is billed at the lowest price and without idle fee.
        if (first.begin.time != 0 && last.end.time != 0) {
            (stay.startTime, stay.stopTime) = (first.begin.time, last.end.time);
        }
        Readings.price(session, tariff, stay);
    }

    function _recordOf(bytes32 session, OcmfKey calldata key, OcmfRecord calldata signed, uint256 index)
        private
        view
        returns (Ocmf.Record memory record)
    {
        bool valid = key.curve == Curve.P256
            ? Ocmf.isSignedP256(signed.payload, key.qx, key.qy, signed.r, signed.s)
            : Ocmf.isSignedK1(signed.payload, key.qx, key.qy, signed.r, signed.s);
        require(valid, ISettlement.BadRecordSignature(session, index));
        record = Ocmf.read(signed.payload);
        require(record.serialHash == key.serialHash, ISettlement.WrongMeter(session, record.serialHash, key.serialHash));
    }
}
