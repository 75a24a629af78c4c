// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {Vm} from "forge-std/Vm.sol";
import "../../src/IProtocol.sol";
import {BookingActions} from "./BookingActions.sol";

/// @notice Sessions from the signed request to the end, and what can still be done to a bill.
/// @dev Longer than other files because every act on a session needs the one model of what it is opened and billed by.
abstract contract SessionActions is BookingActions {
    uint64 internal constant MAX_SESSION_WH = 60_000;
    /// @dev Between counters of a session's readings, so that others can be found between them.
    uint64 internal constant COUNTER_STEP = 10;
    uint256 internal constant DISPUTE_WINDOW = 2 days;
    uint256 internal constant CLAIM_WINDOW = 36 hours;

    /// @dev A sound request in three of four cases; else one of everything that can be wrong with it.
    function open(uint256 who, uint256 where, uint256 ceiling, uint256 stay, uint256 seed) external {
        bytes32 evse = _evse(where);
        uint256 fault = seed % 64;
        if (who % 4 == 0) who = _guestOf(evse, who);
        Tariff memory tariff = _tariff(_evses[evse].tariff + (fault == 1 ? 1 : 0));
        Request memory request = Request({
            driver: _user(who).addr,
            evse: fault == 2 ? keccak256("battery") : evse,
            meter: _meterId(_meters[(_evses[evse].meter + (fault == 3 ? 1 : 0)) % METERS].addr),
            tariffHash: _tariffHash(_tariff(_evses[evse].tariff + (fault == 1 || fault == 4 ? 1 : 0))),
            energyWh: 20_000,
            departure: uint40(block.timestamp + _bound(stay, fault == 5 ? 0 : 1, fault % 8 == 6 ? 8 days : 8 hours)),
            priceCeiling: _highest(tariff) - (fault == 7 && _highest(tariff) > 0 ? 1 : 0),
            totalCeiling: uint128(fault == 8 ? 1e24 + 1 : _bound(ceiling, 0, MAX_AMOUNT / 2)),
            nonce: _nonceOf(address(settlement), _user(who).addr, fault == 9),
            validUntil: _validUntil(fault == 10 ? 2 : 0)
        });
        Vm.Wallet memory signer = _user(fault == 11 ? who ^ 1 : who);
        address sender = fault == 12 ? stranger : fault % 8 == 0 ? _host : oracle;
        bytes4 refusal = _mayUse(sender, RIGHT_SETTLE) ? bytes4(0) : ISettlement.NotAuthorised.selector;
        refusal = _either(refusal, _signatureRefusal(signer, request.driver, request.validUntil));
        refusal = _either(refusal, _openRefusal(request, tariff));
        bytes memory signature = _sign(signer, settlement.sessionId(request));
        bytes memory call = abi.encodeCall(ISettlement.openSession, (request, tariff, signature));
        bytes memory answer = _attempt(sender, address(settlement), call, refusal);
        if (refusal == 0) _opened(request, sender, abi.decode(answer, (bytes32)));
    }

    /// @dev Two readings and more, by K1, with something wrong in a third of the cases.
    function settle(uint256 which, uint256 energy, uint256 times, uint256 seed) external {
        Session storage session = _anyOpen(which);
        if (session.terms.evse == 0) return;
        uint256 fault = seed % 32;
        MeterReading[] memory readings = _readingsOf(session, energy, times, fault);
        address sender = fault == 1 ? stranger : fault % 8 == 0 ? _host : oracle;
        Tariff memory tariff = _tariff(session.tariff + (fault == 2 ? 1 : 0));
        bytes4 refusal = _stateRefusal(session, SessionState.Active);
        refusal = _either(refusal, _readingsRefusal(readings, fault == 3));
        if (fault == 2) refusal = _either(refusal, ISettlement.TariffChanged.selector);
        if (sender != session.terms.settler && !_mayUse(sender, RIGHT_SETTLE)) {
            refusal = _either(refusal, ISettlement.NotAuthorised.selector);
        }
        refusal = _either(refusal, _billingRefusal(session, readings));
        SignedReading[] memory signed = _signAll(_meters[(session.meter + (fault == 3 ? 1 : 0)) % METERS], readings);
        bytes memory call = abi.encodeCall(ISettlement.settle, (session.terms, tariff, signed));
        bytes memory answer = _attempt(sender, address(settlement), call, refusal);
        if (refusal == 0) _settled(session, tariff, readings, abi.decode(answer, (bytes32)));
    }

    /// @dev Sessions in any state, and terms that nobody agreed to: never a second settlement.
    function settleAgain(uint256 which, uint256 seed) external {
        if (_sessions.length == 0) return;
        Session storage session = _sessions[_recent(which, _sessions.length)];
        Terms memory terms = session.terms;
        if (session.state == SessionState.Active) {
            if (seed % 4 == 0) terms.held += 1;
            if (seed % 4 == 1) terms.driver = stranger;
            if (seed % 4 == 2) terms.site = bytes32(seed);
            if (seed % 4 == 3) terms.departure -= 1;
        }
        bytes4 refusal = _either(_stateRefusal(session, SessionState.Active), ISettlement.TermsMismatch.selector);
        SignedReading[] memory none = new SignedReading[](0);
        bytes memory call = abi.encodeCall(ISettlement.settle, (terms, _tariff(session.tariff), none));
        _attempt(oracle, address(settlement), call, refusal);
    }

    function amend(uint256 which, uint256 stay, uint256 seed) external {
        Session storage session = _anyOpen(which);
        if (session.terms.evse == 0) return;
        Terms memory terms = session.terms;
        Amendment memory amendment = Amendment({
            session: seed % 32 == 1 ? bytes32(seed) : terms.session,
            energyWh: uint32(seed),
            departure: uint40(block.timestamp + _bound(stay, 0, seed % 8 == 0 ? 8 days : 1 days))
                - (seed % 32 == 3 ? 1 : 0),
            nonce: _nonceOf(address(settlement), terms.driver, seed % 32 == 5),
            validUntil: _validUntil(seed >> 8)
        });
        Vm.Wallet memory signer = _walletOf(terms.driver, seed % 32 == 7);
        bytes4 refusal = _amendRefusal(terms, amendment);
        if (refusal == 0) {
            refusal = _signatureRefusal(signer, terms.driver, amendment.validUntil);
            refusal = _either(refusal, _nonceRefusal(terms.driver, amendment.nonce));
            bool longer = amendment.departure > terms.departure;
            if (longer && _isTakenFor(terms.driver, terms.evse, amendment.departure)) {
                refusal = _either(refusal, IBookings.IntervalTaken.selector);
            }
        }
        bytes memory signature = _sign(signer, settlement.amendmentHash(amendment));
        _attempt(
            stranger, address(settlement), abi.encodeCall(ISettlement.amendFor, (terms, amendment, signature)), refusal
        );
        if (refusal != 0) return;
        _lastNonce[address(settlement)][terms.driver] = amendment.nonce;
        (session.terms.energyWh, session.terms.departure) = (amendment.energyWh, amendment.departure);
    }

    function keepOpen(uint256 which, uint256 back, uint256 seed) external {
        Session storage session = _anyOpen(which);
        if (session.terms.evse == 0) return;
        Terms memory terms = session.terms;
        MeterReading memory reading;
        (reading.asset, reading.context) = (terms.evse, ReadingContext.Interval);
        reading.time = uint40(seed % 8 == 0 ? block.timestamp + 1 : block.timestamp - back % 2 hours);
        address sender = seed % 16 == 1 ? stranger : oracle;
        bool forged = seed % 16 == 3;
        bytes4 refusal;
        if (!_mayUse(sender, RIGHT_SETTLE)) {
            refusal = ISettlement.NotAuthorised.selector;
        } else if (forged) {
            refusal = ISettlement.WrongMeter.selector;
        } else if (reading.time > _min(block.timestamp, terms.openedAt + 7 days)) {
            refusal = ISettlement.OutsideSession.selector;
        } else if (reading.time <= _max(terms.departure, terms.lastReading)) {
            refusal = ISettlement.NotLater.selector;
        }
        SignedReading memory signed = _signed(_meters[(session.meter + (forged ? 1 : 0)) % METERS], reading);
        _attempt(sender, address(settlement), abi.encodeCall(ISettlement.keepOpen, (terms, signed)), refusal);
        if (refusal == 0) session.terms.lastReading = reading.time;
    }

    function reclaim(uint256 which) external {
        if (_sessions.length == 0) return;
        Session storage session = _sessions[_recent(which, _sessions.length)];
        Terms memory terms = session.terms;
        bytes4 refusal = _stateRefusal(session, SessionState.Active);
        if (block.timestamp < _max(terms.departure, terms.lastReading) + 1 days) {
            refusal = _either(refusal, ISettlement.TooSoonToReclaim.selector);
        }
        _attempt(stranger, address(settlement), abi.encodeCall(ISettlement.reclaim, (terms)), refusal);
        if (refusal != 0) return;
        _wallet[terms.driver] += terms.held;
        session.state = SessionState.Reclaimed;
    }

    /// @dev Readings inside the billed ones, by anybody.
    function dispute(uint256 which, uint256 energy, uint256 seed) external {
        if (_sessions.length == 0) return;
        Session storage session = _sessions[_recent(which, _sessions.length)];
        Bill memory bill = session.bill;
        Tariff memory tariff = _tariff(session.tariff);
        MeterReading[] memory readings = _contraryReadings(session, energy, seed);
        bytes4 refusal = _stateRefusal(session, SessionState.Settled);
        bool forged = seed % 16 == 3;
        if (forged) refusal = _either(refusal, ISettlement.WrongMeter.selector);
        if (block.timestamp > bill.settledAt + DISPUTE_WINDOW) {
            refusal = _either(refusal, ISettlement.DisputeWindowOver.selector);
        }
        Bill memory corrected = _billOf(session, tariff, readings);
        corrected.settledAt = bill.settledAt;
        if (!_contradicts(corrected, bill)) refusal = _either(refusal, ISettlement.NoContradiction.selector);
        SignedReading[] memory signed = _signAll(_meters[(session.meter + (forged ? 1 : 0)) % METERS], readings);
        bytes memory call = abi.encodeCall(ISettlement.dispute, (session.terms, bill, tariff, signed));
        _attempt(stranger, address(settlement), call, refusal);
        if (refusal == 0) _corrected(session, corrected);
    }

    function claim() external {
        Day memory due = _due();
        bytes4 refusal = due.amount == 0 ? ISettlement.NothingToClaim.selector : bytes4(0);
        _attempt(stranger, address(settlement), abi.encodeCall(ISettlement.claim, (SITE)), refusal);
        if (refusal != 0) return;
        _wallet[_host] += due.amount - due.operatorFee - due.protocolFee;
        _wallet[_payee()] += due.operatorFee;
        _wallet[protocol] += due.protocolFee;
        delete _claimable;
        for (uint256 i; i < _days.length; ++i) {
            if (!_isPending(_days[i].day)) delete _days[i];
        }
    }

    /// @notice What bills of the site came to: for sure, and while they can be disputed.
    function bills() public view returns (uint256 claimable, uint256 pending) {
        claimable = _due().amount;
        for (uint256 i; i < _days.length; ++i) {
            if (_isPending(_days[i].day)) pending += _days[i].amount;
        }
    }

    /// @dev Who runs the site gets the operator's fee and answers for rewards.
    function _payee() internal view returns (address) {
        return _siteOperator == address(0) ? _host : _siteOperator;
    }

    /// @dev What a session's place in the contract says to whoever wants it in a state.
    function _stateRefusal(Session storage session, SessionState expected) internal view returns (bytes4) {
        uint256 kept = _kept[session.terms.evse][session.terms.place] - 1;
        if (_sessions[kept].state != expected) return ISettlement.WrongState.selector;
        bool same = _sessions[kept].terms.session == session.terms.session;
        return same ? bytes4(0) : ISettlement.TermsMismatch.selector;
    }

    /// @dev Whether the place commits to these terms, and to this bill when there is one.
    function _requireKept(Session storage session) internal view {
        Terms memory terms = session.terms;
        (bytes26 commitment,, SessionState state) = settlement.placeAt(terms.evse, terms.place);
        bytes32 expected =
            keccak256(session.state == SessionState.Settled ? abi.encode(terms, session.bill) : abi.encode(terms));
        assertEq(uint8(state), uint8(session.state), "state of a session");
        assertEq(bytes32(commitment), bytes32(bytes26(expected)), "terms and bill of a session");
    }

    /// @dev Who has booked the EVSE last, if anybody: else bookings would seldom be used.
    function _guestOf(bytes32 evse, uint256 who) private view returns (uint256) {
        for (uint256 i = _slots.length; i > 0; --i) {
            if (_slots[i - 1].evse != evse) continue;
            for (uint256 j; j < USERS; ++j) {
                if (_users[j].addr == _slots[i - 1].driver) return j;
            }
        }
        return who;
    }

    function _opened(Request memory request, address sender, bytes32 id) private {
        bytes32 evse = request.evse;
        _checkIn(request);
        (bool isOpen, uint16 place) = settlement.openAt(evse);
        assertTrue(isOpen, "open");
        uint256 kept = _kept[evse][place];
        // Nobody loses what can still be disputed.
        assertTrue(kept == 0 || _isFinal(_sessions[kept - 1]), "a place that is free");
        _kept[evse][place] = _sessions.length + 1;
        Session storage session = _sessions.push();
        (session.tariff, session.meter) = (_evses[evse].tariff, _evses[evse].meter);
        session.state = SessionState.Active;
        session.terms = Terms({
            session: id,
            site: SITE,
            evse: evse,
            meter: request.meter,
            driver: request.driver,
            settler: sender,
            energyWh: request.energyWh,
            openedAt: uint40(block.timestamp),
            departure: request.departure,
            lastReading: 0,
            held: _isFree(request.driver) ? 0 : request.totalCeiling,
            operatorFeeBps: _operatorFeeBps,
            rewardBps: _isFree(request.driver) ? 0 : _rewardBps,
            rewardCap: _rewardCap,
            place: place,
            tariffHash: request.tariffHash
        });
        _wallet[request.driver] -= session.terms.held;
        _lastNonce[address(settlement)][request.driver] = request.nonce;
        _requireKept(session);
    }

    /// @dev Deposits of the driver's bookings come back, their prices go to the host.
    function _checkIn(Request memory request) private {
        (uint256 from, uint256 end) = (block.timestamp / INTERVAL_S, (request.departure + INTERVAL_S - 1) / INTERVAL_S);
        uint256 i = _nextSlot(0, request.evse, from, end);
        for (; i < _slots.length; i = _nextSlot(i + 1, request.evse, from, end)) {
            Slot storage slot = _slots[i];
            if (!_isHeld(slot)) continue;
            slot.checkedIn = true;
            _wallet[slot.driver] += slot.deposit;
            _claimable.amount += slot.price;
        }
    }

    function _depositsOf(address who, bytes32 evse, uint256 departure) private view returns (uint256 total) {
        (uint256 from, uint256 end) = (block.timestamp / INTERVAL_S, (departure + INTERVAL_S - 1) / INTERVAL_S);
        uint256 i = _nextSlot(0, evse, from, end);
        for (; i < _slots.length; i = _nextSlot(i + 1, evse, from, end)) {
            if (_isHeld(_slots[i]) && _slots[i].driver == who) total += _slots[i].deposit;
        }
    }

    function _openRefusal(Request memory request, Tariff memory tariff) private view returns (bytes4) {
        EvseModel storage evse = _evses[request.evse];
        bytes32 tariffHash = _tariffHash(_tariff(evse.tariff));
        if (_paused) return ISettlement.Paused.selector;
        if (evse.meters == 0) return ISettlement.UnknownEvse.selector;
        if (evse.removed || evse.status != Status.Available) return ISettlement.EvseUnavailable.selector;
        if (!_isDriver[request.driver] || !_isFor(request.evse, request.driver)) {
            return ISettlement.NotAdmitted.selector;
        }
        if (request.meter != _meterId(_meters[evse.meter].addr)) return ISettlement.MeterChanged.selector;
        if (request.tariffHash != tariffHash) return ISettlement.TariffChanged.selector;
        if (_tariffHash(tariff) != tariffHash) return ISettlement.TariffChanged.selector;
        if (request.priceCeiling < _highest(tariff)) return ISettlement.PriceAboveCeiling.selector;
        if (request.totalCeiling > 1e24) return ISettlement.AmountTooLarge.selector;
        if (request.departure <= block.timestamp || request.departure > block.timestamp + 7 days) {
            return ISettlement.BadDeparture.selector;
        }
        if (request.nonce == _lastNonce[address(settlement)][request.driver]) return ISettlement.NonceUsed.selector;
        if (_openAt(request.evse) != 0) return ISettlement.EvseBusy.selector;
        if (_isTakenFor(request.driver, request.evse, request.departure)) return IBookings.IntervalTaken.selector;
        uint256 funds = _wallet[request.driver] + _depositsOf(request.driver, request.evse, request.departure);
        bool covered = _isFree(request.driver) || funds >= request.totalCeiling;
        return covered ? bytes4(0) : ISettlement.InsufficientBalance.selector;
    }

    function _amendRefusal(Terms memory terms, Amendment memory amendment) private view returns (bytes4) {
        if (amendment.session != terms.session) return ISettlement.TermsMismatch.selector;
        bool over = block.timestamp > terms.departure;
        bool within = !over && amendment.departure >= block.timestamp && amendment.departure <= terms.openedAt + 7 days;
        return within ? bytes4(0) : ISettlement.BadDeparture.selector;
    }

    /// @dev The open session of one of the EVSEs, the first from `which` on.
    function _anyOpen(uint256 which) private view returns (Session storage) {
        for (uint256 i; i < EVSES; ++i) {
            uint256 found = _openAt(_evseIds[(which % EVSES + i) % EVSES]);
            if (found != 0) return _sessions[found - 1];
        }
        return _noSession;
    }

    /// @dev Never written.
    Session private _noSession;

    function _walletOf(address account, bool other) private view returns (Vm.Wallet memory) {
        for (uint256 i; i < USERS; ++i) {
            if (_users[i].addr == account) return _users[other ? (i + 1) % USERS : i];
        }
        revert("no wallet");
    }

    /// @dev Two to five readings whose registers go on from the last bill's.
    function _readingsOf(Session storage session, uint256 energy, uint256 times, uint256 fault)
        private
        view
        returns (MeterReading[] memory readings)
    {
        readings = new MeterReading[](fault == 4 ? 1 : 2 + times % 4);
        Terms storage terms = session.terms;
        uint64 registerWh = _registerWh[terms.evse][session.meter];
        uint64 counter = _counter[terms.evse][session.meter] + (fault == 5 ? 0 : 1);
        uint256 time = _bound(times, terms.openedAt - 1 hours - (fault == 6 ? 1 hours : 0), block.timestamp);
        if (fault == 7 && registerWh > 0) --registerWh;
        else registerWh += uint64(_dice(energy, 0) % 5_000);
        for (uint256 i; i < readings.length; ++i) {
            uint256 from = i == readings.length - 1 ? _max(time, terms.openedAt) : time;
            if (i > 0) time = _bound(_dice(times, i), from, block.timestamp + (fault == 9 ? 1 hours : 0));
            if (i > 0 && energy % 8 != 0) registerWh += uint64(_dice(energy, i) % (MAX_SESSION_WH / readings.length));
            readings[i] = MeterReading(terms.evse, registerWh, 0, uint40(time), counter, _contextOf(i, readings.length));
            counter += COUNTER_STEP;
        }
        if (fault == 10) readings[1].counter = readings[0].counter;
        if (fault == 11 && readings[0].importWh > 0) readings[1].importWh = readings[0].importWh - 1;
        if (fault == 12) readings[1].time = readings[0].time - 1;
    }

    /// @dev A Begin no earlier and an End no later than the billed ones, or almost.
    function _contraryReadings(Session storage session, uint256 energy, uint256 seed)
        private
        view
        returns (MeterReading[] memory readings)
    {
        Bill memory bill = session.bill;
        readings = new MeterReading[](2);
        uint64 startWh = bill.startMilliWh / 1000;
        uint64 stopWh = bill.stopMilliWh / 1000;
        uint64 beginWh = uint64(_bound(energy, startWh, stopWh));
        uint64 endWh = uint64(_bound(_dice(energy, 1), beginWh, stopWh));
        uint40 beginAt = uint40(_bound(_dice(seed, 1), bill.startTime, bill.stopTime));
        uint40 endAt = uint40(_bound(_dice(seed, 2), beginAt, bill.stopTime));
        uint64 counter = bill.startCounter + 1;
        uint64 last =
            seed % 16 == 1 ? bill.stopCounter + 1 : bill.stopCounter - uint64(_min(seed % 2, bill.stopCounter));
        readings[0] = MeterReading(session.terms.evse, beginWh, 0, beginAt, counter, ReadingContext.Begin);
        readings[1] = MeterReading(session.terms.evse, endWh, 0, endAt, _last(counter, last), ReadingContext.End);
    }

    /// @dev Sessions that never had a bill have no counters to be between.
    function _last(uint64 counter, uint64 last) private pure returns (uint64) {
        return last > counter ? last : counter + 1;
    }

    function _contextOf(uint256 i, uint256 count) private pure returns (ReadingContext) {
        if (i == 0) return ReadingContext.Begin;
        return i == count - 1 ? ReadingContext.End : ReadingContext.Interval;
    }

    function _signAll(Vm.Wallet memory signer, MeterReading[] memory readings)
        private
        view
        returns (SignedReading[] memory signed)
    {
        signed = new SignedReading[](readings.length);
        for (uint256 i; i < readings.length; ++i) {
            signed[i] = _signed(signer, readings[i]);
        }
    }

    /// @dev In themselves, whatever was billed before.
    function _readingsRefusal(MeterReading[] memory readings, bool forged) private pure returns (bytes4) {
        if (readings.length < 2) return ISettlement.BadReadingCount.selector;
        if (forged) return ISettlement.WrongMeter.selector;
        for (uint256 i = 1; i < readings.length; ++i) {
            (MeterReading memory from, MeterReading memory to) = (readings[i - 1], readings[i]);
            if (to.counter <= from.counter) return ISettlement.CounterBackwards.selector;
            if (to.importWh < from.importWh) return ISettlement.RegisterBackwards.selector;
            if (to.time < from.time) return ISettlement.OutsideSession.selector;
        }
        return 0;
    }

    /// @dev Against the session and the last bill of its meter.
    function _billingRefusal(Session storage session, MeterReading[] memory readings) private view returns (bytes4) {
        if (readings.length < 2) return 0;
        Terms storage terms = session.terms;
        (uint256 first, uint256 last) = (readings[0].time, readings[readings.length - 1].time);
        bool early = first + 1 hours < terms.openedAt || last < terms.openedAt;
        if (early || last > block.timestamp) return ISettlement.OutsideSession.selector;
        if (readings[0].counter <= _counter[terms.evse][session.meter]) return ISettlement.CounterBackwards.selector;
        bool back = readings[0].importWh < _registerWh[terms.evse][session.meter];
        return back ? ISettlement.RegisterBackwards.selector : bytes4(0);
    }

    /// @dev What leaves the hold is the bill and the rest, to the unit.
    function _settled(Session storage session, Tariff memory tariff, MeterReading[] memory readings, bytes32 receipt)
        private
    {
        Terms memory terms = session.terms;
        Bill memory bill = _billOf(session, tariff, readings);
        assertLe(bill.amount, terms.held, "a bill never exceeds its hold");
        assertLe(bill.operatorFee + bill.protocolFee, bill.amount, "fees never exceed the bill");
        assertEq(receipt, keccak256(abi.encode(terms, bill)), "receipt");
        session.bill = bill;
        session.state = SessionState.Settled;
        _registerWh[terms.evse][session.meter] = readings[readings.length - 1].importWh;
        _counter[terms.evse][session.meter] = readings[readings.length - 1].counter;
        _wallet[terms.driver] += terms.held - bill.amount;
        Day storage day = _dayOf(block.timestamp / 1 days);
        day.amount += bill.amount;
        day.operatorFee += bill.operatorFee;
        day.protocolFee += bill.protocolFee;
        _requireKept(session);
    }

    /// @dev What the site loses the driver gets.
    function _corrected(Session storage session, Bill memory corrected) private {
        Bill memory bill = session.bill;
        _wallet[session.terms.driver] += bill.amount - corrected.amount;
        Day storage day = _dayOf(bill.settledAt / 1 days);
        day.amount -= bill.amount - corrected.amount;
        day.operatorFee -= bill.operatorFee - corrected.operatorFee;
        day.protocolFee -= bill.protocolFee - corrected.protocolFee;
        session.bill = corrected;
        _requireKept(session);
    }

    function _dayOf(uint256 day) private returns (Day storage found) {
        for (uint256 i; i < _days.length; ++i) {
            if (_days[i].day == day) return _days[i];
        }
        found = _days.push();
        found.day = day;
    }

    function _isFinal(Session storage session) private view returns (bool) {
        if (session.state == SessionState.Reclaimed) return true;
        uint256 until = session.bill.settledAt + DISPUTE_WINDOW + (session.rewarded ? 1 days : 0);
        return session.state == SessionState.Settled && block.timestamp > until;
    }

    /// @dev Of the day the contract keeps eight bits only.
    function _isPending(uint256 day) private view returns (bool) {
        return (block.timestamp / 1 days - day) % 256 < 3;
    }

    function _due() private view returns (Day memory due) {
        due = _claimable;
        for (uint256 i; i < _days.length; ++i) {
            if (_isPending(_days[i].day)) continue;
            due.amount += _days[i].amount;
            due.operatorFee += _days[i].operatorFee;
            due.protocolFee += _days[i].protocolFee;
        }
    }

    /// @dev Inside the billed readings, different at an end, and cheaper.
    function _contradicts(Bill memory corrected, Bill memory bill) private pure returns (bool) {
        if (corrected.startCounter < bill.startCounter || corrected.stopCounter > bill.stopCounter) return false;
        bool differs = corrected.startMilliWh > bill.startMilliWh || corrected.stopMilliWh < bill.stopMilliWh
            || corrected.stopCounter < bill.stopCounter;
        return differs && corrected.amount < bill.amount;
    }

    function _billOf(Session storage session, Tariff memory tariff, MeterReading[] memory readings)
        private
        view
        returns (Bill memory bill)
    {
        MeterReading memory last = readings[readings.length - 1];
        (bill.startMilliWh, bill.stopMilliWh) = (readings[0].importWh * 1000, last.importWh * 1000);
        (bill.startCounter, bill.stopCounter) = (readings[0].counter, last.counter);
        (bill.startTime, bill.stopTime) = (readings[0].time, last.time);
        bill.settledAt = uint40(block.timestamp);
        bill.amount = uint128(_min(_amountOf(session.terms, tariff, readings), session.terms.held));
        bill.operatorFee = bill.amount * session.terms.operatorFeeBps / uint128(BPS);
        bill.protocolFee = bill.amount * PROTOCOL_FEE_BPS / uint128(BPS);
    }

    function _amountOf(Terms memory terms, Tariff memory tariff, MeterReading[] memory readings)
        private
        pure
        returns (uint256 amount)
    {
        MeterReading memory last = readings[readings.length - 1];
        for (uint256 i = 1; i < readings.length; ++i) {
            uint256 energyWh = readings[i].importWh - readings[i - 1].importWh;
            amount += energyWh * _lowestBetween(tariff, readings[i - 1].time, readings[i].time);
        }
        amount /= 1000;
        bool delivered = last.importWh > readings[0].importWh;
        if (last.time > terms.departure) amount += (last.time - terms.departure) / 60 * tariff.idleFeePerMinute;
        if (delivered) amount = _max(amount + tariff.sessionFee, tariff.minimum);
        if (tariff.maximum > 0) amount = _min(amount, tariff.maximum);
    }

    /// @dev The price at the beginning, and every other that begins before the end. Weeks begin on Mondays, the epoch on a
    /// Thursday: from here on times count from the Monday before.
    function _lowestBetween(Tariff memory tariff, uint256 from, uint256 until) private pure returns (uint256 lowest) {
        (from, until) = (from + 3 days, until + 3 days);
        lowest = _priceAt(tariff, from);
        for (uint256 week = from - from % 7 days; week < until; week += 7 days) {
            if (week > from) lowest = _min(lowest, _priceAt(tariff, week));
            for (uint256 i; i < tariff.bands.length; ++i) {
                uint256 begin = week + uint256(tariff.bands[i].fromMinute) * 60;
                if (begin > from && begin < until) lowest = _min(lowest, tariff.bands[i].price);
            }
        }
    }

    function _priceAt(Tariff memory tariff, uint256 time) private pure returns (uint256 price) {
        price = tariff.price;
        for (uint256 i; i < tariff.bands.length; ++i) {
            if (tariff.bands[i].fromMinute <= time % 7 days / 60) price = tariff.bands[i].price;
        }
    }

    function _highest(Tariff memory tariff) private pure returns (uint64 highest) {
        if (tariff.bands.length == 0 || tariff.bands[0].fromMinute > 0) highest = tariff.price;
        for (uint256 i; i < tariff.bands.length; ++i) {
            if (tariff.bands[i].price > highest) highest = tariff.bands[i].price;
        }
    }
}
