// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Vm} from "forge-std/Vm.sol";
import {AssetRegistry} from "../src/AssetRegistry.sol";
import {Bookings} from "../src/Bookings.sol";
import "../src/IProtocol.sol";
import {Settlement} from "../src/Settlement.sol";
import {CreditToken} from "../src/tokens/CreditToken.sol";
import {Test} from "./SiteTest.sol";

/// @notice Books, cancels, blocks and checks in at random on one EVSE, and keeps the plainest model there is: one entry per
/// interval, one per booking. Every verdict of the contract must be the model's.
contract BookingsHandler is Test {
    struct Run {
        address driver;
        uint32 from;
        uint16 count;
        uint256 deposit;
        uint256 price;
        uint256 noShowBps;
        uint256 freeUntil;
        bool open; // its money is held
        bool live; // its intervals are its own
    }

    uint32 private constant DAY = 96;

    AssetRegistry private immutable registry;
    Bookings private immutable bookings;
    Settlement private immutable settlement;
    CreditToken private immutable credit;
    address private immutable minter;
    address private immutable owner;
    bytes32 private immutable evse;
    bytes32 private immutable site;

    Vm.Wallet[] private _drivers;
    Run[] private _runs;
    /// @dev Index of the run that holds an interval, plus one.
    mapping(uint256 interval => uint256) private _holder;
    mapping(uint256 interval => uint256) private _price;
    /// @dev The run that began at an interval last, and the taken intervals of a day as bits.
    mapping(uint256 from => uint256) private _latest;
    mapping(uint256 day => uint256) public takenOn;
    uint64 private _nonce;
    uint256 public deposited;
    uint256 public withdrawn;
    uint256 public fees;
    uint256 public accepted;
    uint256 public refused;

    constructor(
        AssetRegistry registry_,
        Settlement settlement_,
        CreditToken credit_,
        address minter_,
        bytes32 evse_,
        bytes32 site_
    ) {
        (registry, settlement, credit, minter) = (registry_, settlement_, credit_, minter_);
        bookings = Bookings(settlement_.bookings());
        (evse, site, owner) = (evse_, site_, registry_.site(site_).owner);
        for (uint256 i; i < 3; ++i) {
            _drivers.push(vm.createWallet(uint256(keccak256(abi.encode("handler", i)))));
        }
    }

    function drivers() external view returns (address[3] memory) {
        return [_drivers[0].addr, _drivers[1].addr, _drivers[2].addr];
    }

    function runCount() external view returns (uint256) {
        return _runs.length;
    }

    function runAt(uint256 i) external view returns (Run memory) {
        return _runs[i];
    }

    function deposit(uint256 who, uint256 amount) external {
        amount = bound(amount, 1, 1e9);
        vm.prank(minter);
        credit.mint(address(this), amount);
        credit.approve(address(settlement), amount);
        settlement.deposit(_drivers[who % 3].addr, amount);
        deposited += amount;
    }

    function withdraw(uint256 who, uint256 amount) external {
        address driver = _drivers[who % 3].addr;
        uint256 balance = settlement.balanceOf(driver);
        if (balance == 0) return;
        amount = bound(amount, 1, balance);
        vm.prank(driver);
        settlement.withdraw(driver, amount);
        withdrawn += amount;
    }

    function pass(uint256 time) external {
        vm.warp(block.timestamp + bound(time, 1, time % 8 == 0 ? 3 days : 3 hours));
    }

    /// @dev So seldom that no version comes round again within the calendar.
    function setTerms(uint256 seed) external {
        (, uint8 version) = bookings.termsOf(evse);
        if (version == 250) return;
        vm.prank(owner);
        bookings.setTerms(
            evse,
            BookingTerms({
                deposit: uint72(seed % 1e6),
                pricePerInterval: uint64((seed >> 32) % 1e5),
                cancelBefore: uint24((seed >> 64) % 1 days),
                noShowBps: uint16((seed >> 96) % 10_001),
                maxCount: uint8(4 + (seed >> 128) % 93)
            })
        );
    }

    function setPrices(uint256 seed, uint256 ahead) external {
        uint64[] memory prices = new uint64[](1 + seed % 10);
        uint32 from = _from(ahead) + 1;
        if (!_isInCalendar(from, prices.length)) return;
        for (uint256 i; i < prices.length; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            prices[i] = seed % 3 == 0 ? type(uint64).max : uint64(seed % 1e5);
            _price[from + i] = prices[i] == type(uint64).max ? 0 : prices[i] + 1;
        }
        vm.prank(owner);
        bookings.setPrices(evse, from, prices);
    }

    /// @dev In the next days mostly, sometimes at the calendar's end; sometimes from a signature.
    function book(uint256 who, uint256 ahead, uint256 length) external {
        Vm.Wallet memory wallet = _drivers[who % 3];
        uint32 from = _from(ahead) + uint32(ahead % 2);
        (BookingTerms memory terms, uint8 version) = bookings.termsOf(evse);
        uint16 count = uint16(bound(length, 1, terms.maxCount));
        (uint256 price, uint256 due) = (_priceOf(terms, from, count), terms.deposit);
        bool sound = _isSound(from, count) && settlement.balanceOf(wallet.addr) >= price + due;
        BookingRequest memory request = BookingRequest(
            wallet.addr, evse, from, count, version, uint128(price + due), _nonce++, uint40(block.timestamp)
        );
        if (length % 2 == 0) {
            bytes memory signature = _sign(wallet, bookings.bookingHash(request));
            if (!sound) vm.expectRevert();
            bookings.bookFor(request, signature);
        } else {
            if (!sound) vm.expectRevert();
            vm.prank(wallet.addr);
            bookings.book(evse, from, count, version, request.totalCeiling);
        }
        _count(sound);
        if (!sound) return;
        _endLapsed(from);
        uint256 freeUntil = from * INTERVAL_S - terms.cancelBefore;
        _push(Run(wallet.addr, from, count, due, price, terms.noShowBps, freeUntil, true, true));
    }

    function blockIntervals(uint256 ahead, uint256 length) external {
        uint32 from = _from(ahead);
        uint16 count = uint16(bound(length, 1, 20));
        bool sound = _isSound(from, count);
        if (!sound) vm.expectRevert();
        vm.prank(owner);
        bookings.blockIntervals(evse, from, count);
        _count(sound);
        if (!sound) return;
        _endLapsed(from);
        _push(Run(address(0), from, count, 0, 0, 0, 0, false, true));
    }

    function unblockIntervals(uint256 which) external {
        (bool any, uint256 i) = _pick(which);
        if (!any) return;
        Run storage run = _runs[i];
        bool sound = run.live && run.driver == address(0) && _isLatest(run);
        if (!sound) vm.expectRevert();
        vm.prank(owner);
        bookings.unblockIntervals(evse, run.from);
        if (sound) _free(run);
    }

    function cancel(uint256 which, bool signed) external {
        (bool any, uint256 i) = _pick(which);
        if (!any) return;
        Run storage run = _runs[i];
        if (run.driver == address(0)) return;
        bool sound = run.open && block.timestamp < (uint256(run.from) + run.count) * INTERVAL_S;
        uint256 fee = block.timestamp > run.freeUntil ? _feeOf(run) : 0;
        if (signed) {
            Vm.Wallet memory wallet = _walletOf(run.driver);
            Cancellation memory act = Cancellation(run.driver, evse, run.from, _nonce++, uint40(block.timestamp));
            bytes memory signature = _sign(wallet, bookings.cancellationHash(act));
            if (!sound) vm.expectRevert();
            bookings.cancelFor(act, signature);
        } else {
            if (!sound) vm.expectRevert();
            vm.prank(run.driver);
            bookings.cancel(evse, run.from);
        }
        if (sound) _end(run, fee);
    }

    function noShow(uint256 which) external {
        (bool any, uint256 i) = _pick(which);
        if (!any) return;
        Run storage run = _runs[i];
        bool sound = run.open && block.timestamp >= run.from * INTERVAL_S + 30 minutes;
        if (!sound) vm.expectRevert();
        bookings.noShow(evse, run.from);
        if (sound) _end(run, _feeOf(run));
    }

    /// @dev As Settlement would for a session, which no site of this test opens.
    function checkIn(uint256 who, uint256 stay) external {
        address driver = _drivers[who % 3].addr;
        uint256 departure = block.timestamp + bound(stay, 1, stay % 4 == 0 ? 2 days : 3 hours);
        (bool sound, uint256 refund, uint256 fee) = _checkInModel(driver, departure);
        if (!sound) vm.expectRevert();
        vm.prank(address(settlement));
        (uint128 refunded, uint128 paid) = bookings.checkIn(evse, driver, uint40(departure));
        _count(sound);
        if (!sound) return;
        assertEq(refunded, refund, "refund");
        assertEq(paid, fee, "fee");
        // What `openSession` does with them.
        vm.prank(address(bookings));
        settlement.releaseFromBooking(driver, refunded, site, paid);
        fees += fee;
    }

    function _checkInModel(address driver, uint256 departure)
        private
        returns (bool sound, uint256 refund, uint256 fee)
    {
        uint256 first = block.timestamp / INTERVAL_S;
        uint256 end = (departure + INTERVAL_S - 1) / INTERVAL_S;
        for (uint256 i = first; i < end; ++i) {
            if (_holder[i] != 0 && _runs[_holder[i] - 1].driver != driver) return (false, 0, 0);
        }
        for (uint256 i = first; i < end; ++i) {
            if (_holder[i] == 0 || !_runs[_holder[i] - 1].open) continue;
            Run storage run = _runs[_holder[i] - 1];
            (refund, fee) = (refund + run.deposit, fee + run.price);
            run.open = false;
        }
        sound = true;
    }

    /// @dev Not sooner than now; only some of these are sound.
    function _from(uint256 ahead) private view returns (uint32) {
        uint256 span = ahead % 5 == 0 ? 63 * DAY : 2 * DAY;
        return uint32(block.timestamp / INTERVAL_S + (ahead >> 8) % span);
    }

    function _isInCalendar(uint256 from, uint256 count) private view returns (bool) {
        uint256 present = block.timestamp / INTERVAL_S;
        return from > present && from + count <= (present / DAY + 63) * DAY;
    }

    function _isSound(uint32 from, uint16 count) private view returns (bool) {
        if (!_isInCalendar(from, count)) return false;
        for (uint256 i = from; i < uint256(from) + count; ++i) {
            if (_holder[i] != 0) return false;
        }
        return true;
    }

    function _priceOf(BookingTerms memory terms, uint32 from, uint16 count) private view returns (uint256 price) {
        for (uint256 i = from; i < uint256(from) + count; ++i) {
            price += _price[i] == 0 ? terms.pricePerInterval : _price[i] - 1;
        }
    }

    function _feeOf(Run memory run) private pure returns (uint256) {
        return (run.deposit + run.price) * run.noShowBps / BPS;
    }

    function _push(Run memory run) private {
        _runs.push(run);
        for (uint256 i = run.from; i < uint256(run.from) + run.count; ++i) {
            _holder[i] = _runs.length;
            takenOn[i / DAY] |= uint256(1) << (i % DAY);
        }
        _latest[run.from] = _runs.length - 1;
    }

    function _free(Run storage run) private {
        run.live = false;
        for (uint256 i = run.from; i < uint256(run.from) + run.count; ++i) {
            delete _holder[i];
            takenOn[i / DAY] &= ~(uint256(1) << (i % DAY));
        }
    }

    function _end(Run storage run, uint256 fee) private {
        run.open = false;
        fees += fee;
        _free(run);
    }

    /// @dev Ends what began at the same place of the ring.
    function _endLapsed(uint32 from) private {
        for (uint256 i; i < _runs.length; ++i) {
            Run storage run = _runs[i];
            if (run.from == from || run.from % (64 * DAY) != from % (64 * DAY)) continue;
            if (run.open) _end(run, _feeOf(run));
        }
    }

    /// @dev Whether nothing began at the same place of the ring since.
    function _isLatest(Run memory run) private view returns (bool) {
        for (uint256 i; i < _runs.length; ++i) {
            if (_runs[i].from > run.from && _runs[i].from % (64 * DAY) == run.from % (64 * DAY)) return false;
        }
        return true;
    }

    /// @dev One of the last twelve, or what took its place.
    function _pick(uint256 which) private view returns (bool any, uint256 i) {
        if (_runs.length == 0) return (false, 0);
        i = _runs.length - 1 - which % (_runs.length < 12 ? _runs.length : 12);
        return (true, _latest[_runs[i].from]);
    }

    function _walletOf(address driver) private view returns (Vm.Wallet memory) {
        return driver == _drivers[0].addr ? _drivers[0] : driver == _drivers[1].addr ? _drivers[1] : _drivers[2];
    }

    function _sign(Vm.Wallet memory wallet, bytes32 digest) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(wallet.privateKey, digest);
        return abi.encodePacked(r, s, v);
    }

    function _count(bool sound) private {
        sound ? ++accepted : ++refused;
    }
}
