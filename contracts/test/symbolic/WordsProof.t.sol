// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Bill, BookingTerms, SessionState, Terms} from "../../src/IProtocol.sol";
import {Record, Records, TermsWord, TermsWords} from "../../src/libraries/BookingWords.sol";
import {Ledger} from "../../src/libraries/Ledger.sol";
import {Billed, BilledWords, Bucket, Buckets, Place, Places} from "../../src/libraries/LedgerWords.sol";
import {Test} from "../SiteTest.sol";

/// @notice For every input: what is packed into a word comes out again, and nothing else changes. `scripts/prove` runs it.
contract WordsProof is Test {
    using Ledger for Ledger.Books;

    Ledger.Books private _books;

    function check_aRecordHoldsItsFields(address driver, uint72 held, uint8 count, uint8 version, uint256 round)
        external
        pure
    {
        vm.assume(count < 128);
        Record record = Records.pack(driver, held, count, version, round);
        assert(record.driver() == driver && record.held() == held && record.count() == count);
        assert(record.version() == version && record.round() == uint8(round) && !record.isCheckedIn());
    }

    function check_endingOrCheckingInChangesNothingElse(uint256 word) external pure {
        Record record = Record.wrap(word);
        Record checkedIn = record.checkedIn();
        Record ended = record.ended();
        assert(checkedIn.isCheckedIn() && checkedIn.count() == record.count());
        assert(Record.unwrap(checkedIn) & ~(uint256(1) << 239) == word & ~(uint256(1) << 239));
        assert(ended.count() == 0 && ended.isCheckedIn() == record.isCheckedIn());
        assert(ended.driver() == record.driver() && ended.held() == record.held());
        assert(ended.version() == record.version() && ended.round() == record.round());
    }

    function check_termsHoldTheirFields(BookingTerms memory given, uint8 version, uint32 since, uint32 until)
        external
        pure
    {
        TermsWord terms = TermsWords.pack(given, version, since, until);
        assert(terms.deposit() == given.deposit && terms.pricePerInterval() == given.pricePerInterval);
        assert(terms.cancelBefore() == given.cancelBefore && terms.noShowBps() == given.noShowBps);
        assert(terms.maxCount() == given.maxCount && terms.version() == version);
        assert(terms.since() == since && terms.pricedUntil() == until);
    }

    function check_pricingLeavesTheTerms(uint256 word, uint32 until) external pure {
        TermsWord terms = TermsWord.wrap(word).withPricedUntil(until);
        assert(terms.pricedUntil() == until);
        assert(TermsWord.unwrap(terms) << 32 == word << 32);
    }

    function check_aPlaceHoldsItsFields(bytes32 commitment, uint40 time, uint8 state) external pure {
        vm.assume(state <= uint8(type(SessionState).max));
        Place place = Places.pack(commitment, time, SessionState(state));
        assert(place.commitment() == bytes26(commitment) && place.time() == time);
        assert(place.state() == SessionState(state));
    }

    function check_aPlaceLeavesItsNeighbour(uint16 place, uint16 other, bytes32 commitment, uint40 time) external {
        vm.assume(place != other);
        vm.warp(time);
        _books.write("evse", other, "other", SessionState.Settled);
        uint256 before = Place.unwrap(_books.places["evse"][other]);
        _books.write("evse", place, commitment, SessionState.Active);
        assert(Place.unwrap(_books.places["evse"][other]) == before);
        assert(_books.places["evse"][place].commitment() == bytes26(commitment));
    }

    /// @dev Or what does not fit is refused, as in the next two.
    function check_whatWasBilledIsKept(uint256 imported, uint256 exported, uint256 transactions, uint256 fiscals)
        external
        pure
    {
        Billed billed = BilledWords.pack(imported, exported, transactions, fiscals);
        assert(billed.importMilliWh() == imported && billed.exportMilliWh() == exported);
        assert(billed.transactionCounter() == transactions && billed.fiscalCounter() == fiscals);
    }

    function check_aBucketHoldsItsFields(uint256 amount, uint256 operatorFee, uint256 protocolFee, uint8 day)
        external
        pure
    {
        Bucket bucket = Buckets.pack(amount, operatorFee, protocolFee, day);
        assert(bucket.amount() == amount && bucket.operatorFee() == operatorFee);
        assert(bucket.protocolFee() == protocolFee && bucket.day() == day);
    }

    function check_aBucketTakesABillWhole(uint128 amount, uint128 operatorFee, uint128 protocolFee, uint8 day)
        external
    {
        vm.warp(uint256(day) * 1 days);
        Bill memory bill;
        (bill.amount, bill.operatorFee, bill.protocolFee) = (amount, operatorFee, protocolFee);
        _books.collect("site", bill);
        Bucket bucket = _books.buckets["site"][day % Ledger.BUCKETS];
        assert(bucket.amount() == amount && bucket.operatorFee() == operatorFee);
        assert(bucket.protocolFee() == protocolFee && bucket.day() == day);
    }

    /// @dev Members of static types only: in memory the structs are their own encoding.
    function check_hashesAreThoseOfTheEncoding(Terms memory terms, Bill memory bill) external pure {
        assert(Ledger.hashOf(terms) == keccak256(abi.encode(terms)));
        assert(Ledger.receiptOf(terms, bill) == keccak256(abi.encode(terms, bill)));
    }
}
