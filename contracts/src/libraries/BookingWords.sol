// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {BookingTerms} from "../IProtocol.sol";

/// @dev A booking, or what the host keeps for itself, in one word. From the lowest bit: driver 160 (zero: the host's own),
/// money held 72, number of intervals 7 (zero: given up), checked in 1, version of the terms 8, round of the ring 8. The
/// round tells it from another one that began at the same place of the ring; rounds repeat after 44 years.
type Record is uint256;

/// @dev Terms in one word. From the lowest bit: deposit 72, price of an interval 64, cancelBefore 24, noShowBps 16, maxCount
/// 8, version 8, interval in which the version began 32, interval from on which none has a price of its own 32.
type TermsWord is uint256;

using Records for Record global;
using TermsWords for TermsWord global;

/// @title Fields of a record
/// @dev Words and not structs: read and written in one piece, they cost half the gas and half the code.
library Records {
    uint256 private constant COUNT_MASK = 0x7f << 232;
    uint256 private constant CHECKED_IN = 1 << 239;

    function pack(address driver_, uint256 held_, uint256 count_, uint256 version_, uint256 round_)
        internal
        pure
        returns (Record)
    {
        return Record.wrap(
            uint160(driver_) | held_ << 160 | count_ << 232 | version_ << 240 | uint256(uint8(round_)) << 248
        );
    }

    function driver(Record record) internal pure returns (address) {
        return address(uint160(Record.unwrap(record)));
    }

    function held(Record record) internal pure returns (uint256) {
        return uint72(Record.unwrap(record) >> 160);
    }

    function count(Record record) internal pure returns (uint256) {
        return (Record.unwrap(record) & COUNT_MASK) >> 232;
    }

    function isCheckedIn(Record record) internal pure returns (bool) {
        return Record.unwrap(record) & CHECKED_IN != 0;
    }

    function version(Record record) internal pure returns (uint256) {
        return uint8(Record.unwrap(record) >> 240);
    }

    function round(Record record) internal pure returns (uint256) {
        return Record.unwrap(record) >> 248;
    }

    /// @notice Whether money of a driver is held for it.
    function isOpen(Record record) internal pure returns (bool) {
        return record.driver() != address(0) && record.count() != 0 && !record.isCheckedIn();
    }

    function checkedIn(Record record) internal pure returns (Record) {
        return Record.wrap(Record.unwrap(record) | CHECKED_IN);
    }

    /// @notice The record without its intervals. The rest stays: a slot that is not zero costs the next booking less.
    function ended(Record record) internal pure returns (Record) {
        return Record.wrap(Record.unwrap(record) & ~COUNT_MASK);
    }
}

/// @title Fields of packed terms
library TermsWords {
    uint256 private constant PRICED_UNTIL_SHIFT = 224;

    function pack(BookingTerms memory terms, uint256 version_, uint256 since_, uint256 pricedUntil_)
        internal
        pure
        returns (TermsWord)
    {
        return TermsWord.wrap(
            terms.deposit | uint256(terms.pricePerInterval) << 72 | uint256(terms.cancelBefore) << 136
                | uint256(terms.noShowBps) << 160 | uint256(terms.maxCount) << 176 | version_ << 184 | since_ << 192
                | pricedUntil_ << PRICED_UNTIL_SHIFT
        );
    }

    function deposit(TermsWord terms) internal pure returns (uint256) {
        return uint72(TermsWord.unwrap(terms));
    }

    function pricePerInterval(TermsWord terms) internal pure returns (uint256) {
        return uint64(TermsWord.unwrap(terms) >> 72);
    }

    function cancelBefore(TermsWord terms) internal pure returns (uint256) {
        return uint24(TermsWord.unwrap(terms) >> 136);
    }

    function noShowBps(TermsWord terms) internal pure returns (uint256) {
        return uint16(TermsWord.unwrap(terms) >> 160);
    }

    function maxCount(TermsWord terms) internal pure returns (uint256) {
        return uint8(TermsWord.unwrap(terms) >> 176);
    }

    function version(TermsWord terms) internal pure returns (uint256) {
        return uint8(TermsWord.unwrap(terms) >> 184);
    }

    function since(TermsWord terms) internal pure returns (uint256) {
        return uint32(TermsWord.unwrap(terms) >> 192);
    }

    function pricedUntil(TermsWord terms) internal pure returns (uint256) {
        return TermsWord.unwrap(terms) >> PRICED_UNTIL_SHIFT;
    }

    function withPricedUntil(TermsWord terms, uint256 interval) internal pure returns (TermsWord) {
        uint256 rest = TermsWord.unwrap(terms) & ((uint256(1) << PRICED_UNTIL_SHIFT) - 1);
        return TermsWord.wrap(rest | interval << PRICED_UNTIL_SHIFT);
    }
}
