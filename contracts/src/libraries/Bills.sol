// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Bill, IAssetRegistry, ISettlement, RIGHT_SETTLE, SessionState, Tariff, Terms} from "../IProtocol.sol";
import {Billing} from "./Billing.sol";
import {Ledger} from "./Ledger.sol";
import {Billed, BilledWords} from "./LedgerWords.sol";
import {Readings} from "./Readings.sol";

/// @title From an open session to a settled one, and from a bill to a lower one
/// @notice The same for all kinds of meters, once their records are registers.
library Bills {
    using Ledger for Ledger.Books;

    /// @dev A car may begin to charge while the request is still on its way: a chain that stalls for an hour shall not make
    /// the session unbillable, and no longer, because the driver has signed nothing for the time before.
    uint256 internal constant MAX_OPEN_DELAY = 1 hours;

    /// @notice See ISettlement.settle.
    /// @param terms Of an active session.
    function settle(
        Ledger.Books storage books,
        Terms memory terms,
        Tariff calldata tariff,
        Readings.Stay memory stay,
        IAssetRegistry registry,
        uint256 protocolFeeBps
    ) internal returns (bytes32 receipt) {
        Billing.requireTariff(terms, tariff);
        require(
            msg.sender == terms.settler || registry.isAuthorised(terms.site, msg.sender, RIGHT_SETTLE),
            ISettlement.NotAuthorised(terms.site, msg.sender, RIGHT_SETTLE)
        );
        _requireTimes(terms, stay);
        _advance(books, terms, stay);

        Bill memory bill = Billing.billOf(terms, tariff, stay, protocolFeeBps);
        receipt = Ledger.receiptOf(terms, bill);
        books.write(terms.evse, terms.place, receipt, SessionState.Settled);
        books.collect(terms.site, bill);
        books.credit(terms.driver, terms.held - bill.amount);

        emit ISettlement.SessionSettled(terms.site, terms.driver, terms.evse, terms.session, bill);
    }

    /// @notice See ISettlement.dispute.
    /// @param terms,bill Of a settled session.
    /// @dev The readings must differ from the billed ones at an end: leaving out what lies between them is no contradiction.
    function correct(
        Ledger.Books storage books,
        Terms memory terms,
        Bill memory bill,
        Tariff calldata tariff,
        Readings.Stay memory stay,
        uint256 protocolFeeBps
    ) internal {
        Billing.requireTariff(terms, tariff);
        requireDisputable(terms.session, bill.settledAt);
        Bill memory corrected = Billing.billOf(terms, tariff, stay, protocolFeeBps);
        require(
            _contradicts(corrected, bill) && corrected.amount < bill.amount,
            ISettlement.NoContradiction(terms.session, corrected.amount, bill.amount)
        );

        // A claim of flexibility by wrong readings is void.
        corrected.settledAt = bill.settledAt;
        books.rewrite(terms, corrected);
        books.reduce(terms.site, bill, corrected);
        books.credit(terms.driver, bill.amount - corrected.amount);

        emit ISettlement.BillCorrected(terms.site, terms.driver, terms.evse, terms.session, corrected);
    }

    /// @notice Reverts when the dispute window of a bill is over.
    function requireDisputable(bytes32 session, uint40 settledAt) internal view {
        uint256 until = settledAt + Ledger.DISPUTE_WINDOW;
        require(block.timestamp <= until, ISettlement.DisputeWindowOver(session, block.timestamp, until));
    }

    /// @dev Registers and counters go on from the last bill of this meter, so that its sessions settle in order and no energy
    /// is billed twice.
    function _advance(Ledger.Books storage books, Terms memory terms, Readings.Stay memory stay) private {
        mapping(bytes32 meter => Billed) storage meters = books.billed[terms.evse];
        Billed billed = meters[terms.meter];
        (uint256 transactions, uint256 fiscals) = (billed.transactionCounter(), billed.fiscalCounter());
        uint256 counter = stay.fiscal ? fiscals : transactions;
        require(stay.startCounter > counter, ISettlement.CounterBackwards(terms.session, stay.startCounter, counter));
        Readings.requireNotBelow(terms.session, stay.startMilliWh, billed.importMilliWh());
        Readings.requireNotBelow(terms.session, stay.startExportMilliWh, billed.exportMilliWh());

        if (stay.fiscal) fiscals = stay.stopCounter;
        else transactions = stay.stopCounter;
        meters[terms.meter] = BilledWords.pack(stay.stopMilliWh, stay.stopExportMilliWh, transactions, fiscals);
    }

    /// @dev Times rise already; the first may precede the opening a little, and the last lies inside the session. A clock that
    /// is not set says nothing; then counters and registers alone keep the order.
    function _requireTimes(Terms memory terms, Readings.Stay memory stay) private view {
        if (stay.stopTime == 0) return;
        _requireWithin(terms.session, stay.startTime, Math.saturatingSub(terms.openedAt, MAX_OPEN_DELAY));
        _requireWithin(terms.session, stay.stopTime, terms.openedAt);
    }

    function _requireWithin(bytes32 session, uint256 time, uint256 from) private view {
        require(
            time >= from && time <= block.timestamp, ISettlement.OutsideSession(session, time, from, block.timestamp)
        );
    }

    /// @dev Inside the billed readings by the meter's own count, and a later begin or an earlier end.
    function _contradicts(Bill memory corrected, Bill memory bill) private pure returns (bool) {
        bool within = corrected.fiscal == bill.fiscal && corrected.startCounter >= bill.startCounter
            && corrected.stopCounter <= bill.stopCounter;
        bool differs = corrected.startMilliWh > bill.startMilliWh || corrected.stopMilliWh < bill.stopMilliWh
            || corrected.stopCounter < bill.stopCounter;
        return within && differs;
    }
}
