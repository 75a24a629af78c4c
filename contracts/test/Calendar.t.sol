// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Records, Record, TermsWord, TermsWords} from "../src/libraries/BookingWords.sol";
import "../src/IProtocol.sol";
import {Calendar, DAY, RING_DAYS} from "../src/libraries/Calendar.sol";
import {Test} from "./SiteTest.sol";

contract CalendarTest is Test {
    using Calendar for uint256[RING_DAYS];

    uint256 private constant FIRST = 20_000 * DAY;
    uint256[RING_DAYS] private words;
    mapping(uint256 interval => uint256 run) private model;

    /// @dev Against one slot per interval.
    function test_takeAndFree_likeAPlainModel(uint256 seed) public {
        for (uint256 step; step < 16; ++step) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 from = FIRST + seed % 120;
            uint256 count = 1 + (seed >> 64) % 96;
            if (model[from] == from) {
                _freeBoth(from);
                continue;
            }
            uint256 expected;
            for (uint256 i = from; i < from + count && expected == 0; ++i) {
                if (model[i] != 0) expected = i;
            }
            assertEq(words.take(from, count), expected, "first conflict");
            for (uint256 i = from; expected == 0 && i < from + count; ++i) {
                model[i] = from;
            }
        }
        _compare();
    }

    function _freeBoth(uint256 from) private {
        uint256 count;
        while (model[from + count] == from) delete model[from + count++];
        words.free(from, count);
    }

    function _compare() private view {
        uint256 next = words.nextTaken(FIRST, FIRST + 220);
        for (uint256 i = FIRST; i < FIRST + 220; ++i) {
            bool taken = words.takenOn(i / DAY) >> (i % DAY) & 1 != 0;
            assertEq(taken, model[i] != 0, "taken");
            if (taken) assertEq(words.startOf(i), model[i], "start");
            if (taken && i >= next) {
                assertEq(i, next, "next");
                next = words.nextTaken(i + 1, FIRST + 220);
            }
        }
        assertGe(next, FIRST + 220, "none behind");
    }

    function test_anotherDaysWordReadsAsEmpty(uint256 day, uint256 count) public {
        count = bound(count, 1, 96);
        words.take(FIRST, count);
        day = bound(day, 0, type(uint32).max / DAY);
        assertEq(words.takenOn(day), day == FIRST / DAY ? (uint256(1) << count) - 1 : 0, "taken");
    }

    function test_free_leavesALaterDayAlone(uint256 from, uint256 count) public {
        count = bound(count, 1, 96);
        from = bound(from, FIRST, FIRST + 95);
        words.take(from, count);
        words.take(FIRST + RING_DAYS * DAY, 96);
        words.take(FIRST + (RING_DAYS + 1) * DAY, 96);
        words.free(from, count);
        assertEq(words.takenOn(FIRST / DAY + RING_DAYS), type(uint96).max, "first day");
        assertEq(words.takenOn(FIRST / DAY + RING_DAYS + 1), type(uint96).max, "second day");
    }

    function test_record_givesBackWhatWasPacked(address driver, uint72 held, uint8 count, uint8 version, uint256 round)
        public
        pure
    {
        count = uint8(bound(count, 0, 127));
        Record record = Records.pack(driver, held, count, version, round);
        _assertRecord(record, driver, held, count, version, uint8(round));
        assertFalse(record.isCheckedIn(), "not checked in");
        assertEq(record.isOpen(), driver != address(0) && count > 0, "open");
        _assertRecord(record.checkedIn(), driver, held, count, version, uint8(round));
        assertTrue(record.checkedIn().isCheckedIn(), "checked in");
        assertFalse(record.checkedIn().isOpen(), "no longer open");
        _assertRecord(record.ended(), driver, held, 0, version, uint8(round));
    }

    function _assertRecord(Record record, address driver, uint256 held, uint256 count, uint256 version, uint256 round)
        private
        pure
    {
        assertEq(record.driver(), driver, "driver");
        assertEq(record.held(), held, "held");
        assertEq(record.count(), count, "count");
        assertEq(record.version(), version, "version");
        assertEq(record.round(), round, "round");
    }

    function test_terms_giveBackWhatWasPacked(BookingTerms memory terms, uint8 version, uint32 since, uint32 until)
        public
        pure
    {
        TermsWord word = TermsWords.pack(terms, version, since, until);
        _assertTerms(word, terms, version, since);
        assertEq(word.pricedUntil(), until, "priced until");
        word = word.withPricedUntil(since);
        _assertTerms(word, terms, version, since);
        assertEq(word.pricedUntil(), since, "priced until, changed");
    }

    function _assertTerms(TermsWord word, BookingTerms memory terms, uint256 version, uint256 since) private pure {
        assertEq(word.deposit(), terms.deposit, "deposit");
        assertEq(word.pricePerInterval(), terms.pricePerInterval, "price");
        assertEq(word.cancelBefore(), terms.cancelBefore, "deadline");
        assertEq(word.noShowBps(), terms.noShowBps, "share");
        assertEq(word.maxCount(), terms.maxCount, "max count");
        assertEq(word.version(), version, "version");
        assertEq(word.since(), since, "since");
    }
}
