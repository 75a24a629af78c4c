// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {
    Certificate,
    ContentProof,
    EnergyProof,
    HistoryProof,
    IAssetRegistry,
    IDispatch,
    INTERVAL_S,
    IPlans,
    ISettlement,
    MeterReading,
    Plan,
    PostedReadings,
    ReadingContext,
    SessionState,
    Terms
} from "../IProtocol.sol";
import {Bills} from "./Bills.sol";
import {Hashes} from "./Hashes.sol";
import {History} from "./History.sol";
import {InputBytes} from "./InputBytes.sol";
import {InputParts} from "./InputParts.sol";
import {Layout} from "./Layout.sol";
import {NeedTree} from "./NeedTree.sol";
import {Stored} from "./Stored.sol";

/// @title What of a plan can be shown to be wrong
/// @notice A part of `Plans` that EIP-170 leaves no room for there, linked to it. Each function reverts unless the plan is
/// wrong: only evidence counts that whoever posted it had, so that an honest plan can never be accused. `Plans` has made sure
/// that plan, certificate and inputs are those that were posted, and that the plan is still open to refutation.
library Refutations {
    /// @dev What the chain said so long before a posting is known to who posts: facts are cut a minute before an interval, and
    /// the transaction takes its time.
    uint256 internal constant KNOWN_AFTER = INTERVAL_S;
    /// @dev A window ends within a day, whenever the driver leaves.
    uint256 private constant MOST_INTERVALS = 96;
    /// @dev Intervals of a day.
    uint256 private constant DAY = 1 days / INTERVAL_S;
    /// @dev Readings of the interval before the plan's are not on chain when the plan is made.
    uint256 private constant READINGS_BEFORE = 2;
    uint256 private constant MILLI_WH_PER_WH = 1000;

    /// @notice See IPlans.refuteRoot.
    function requireWrongRoot(Plan calldata plan, Certificate calldata certificate) external pure {
        require(NeedTree.rootOf(certificate) != plan.root, IPlans.RootHolds(plan.site, plan.interval));
    }

    /// @notice See IPlans.refuteNeed.
    function requireWrongNeed(
        Plan calldata plan,
        bytes calldata inputs,
        uint256 index,
        Terms calldata terms,
        IAssetRegistry registry
    ) external view {
        bytes calldata need = _needAt(inputs, index);
        _requireOpen(plan, _laneOf(need), terms, registry);
        uint256 departure = terms.departure / INTERVAL_S;
        uint256 most = Math.min(MOST_INTERVALS, InputParts.number(inputs, 1, 1));
        uint256 until = Math.min(Math.max(Math.saturatingSub(departure, plan.interval), 1), most);
        bool holds = uint8(need[InputBytes.NEED_UNTIL_AT]) == until && _energyOf(need) <= terms.energyWh;
        require(!holds, IPlans.NeedHolds(plan.site, plan.interval, index));
    }

    /// @notice See IPlans.refuteEnergy.
    function requireWrongEnergy(
        Plan calldata plan,
        bytes calldata inputs,
        uint256 index,
        Terms calldata terms,
        EnergyProof calldata evidence,
        IAssetRegistry registry
    ) external view {
        bytes calldata need = _needAt(inputs, index);
        _requireOpen(plan, _laneOf(need), terms, registry);
        _requireReading(plan, terms, evidence, registry);
        uint256 energyWh = _energyOf(need);
        uint256 least = _leastDrawn(plan, terms, evidence);
        uint256 most = _mostDrawn(plan, terms, evidence, _laneOf(need));
        bool holds = energyWh <= Math.saturatingSub(terms.energyWh, least) && energyWh + most >= terms.energyWh;
        require(!holds, IPlans.NeedHolds(plan.site, plan.interval, index));
    }

    /// @notice See IPlans.refutePrices.
    /// @return t The first interval of the horizon whose price is wrong.
    function requireWrongPrices(Plan calldata plan, bytes calldata inputs, uint32 day, bytes calldata prices)
        external
        view
        returns (uint256 t)
    {
        (bytes32 pricesHash, uint40 announcedAt) = IPlans(address(this)).pricesAt(plan.site, day);
        bytes32 presented = keccak256(prices);
        require(pricesHash == presented, IPlans.WrongPrices(plan.site, day, presented));
        _requireKnown(plan, announcedAt);
        InputParts.Parts memory parts = InputParts.split(inputs);
        for (; t < parts.intervals; ++t) {
            uint256 interval = plan.interval + t;
            if (interval / DAY == day && !_hasPrices(inputs, parts, t, prices, interval % DAY)) return t;
        }
        revert IPlans.PricesHold(plan.site, plan.interval, day);
    }

    /// @notice Reverts unless every EVSE can hold what a schedule gives it in its first interval: nothing, or its least power.
    /// The certified problem does not ask for that, and so nearly every plan could be undercut by one that nobody can follow.
    function requireHeld(Plan calldata plan, Certificate calldata certificate) external pure {
        InputParts.Parts memory parts = InputParts.split(certificate.inputs);
        uint256 cells;
        for (uint256 i; i < parts.needs; ++i) {
            uint256 at = parts.needsAt + InputBytes.NEED * i;
            bytes calldata need = certificate.inputs[at:at + InputBytes.NEED];
            uint256 from = uint8(need[InputBytes.NEED_FROM_AT]);
            uint256 power = from > 0 ? 0 : InputParts.number(certificate.schedule, cells, 2);
            uint256 least = InputParts.number(need, InputBytes.NEED_LEAST_AT, 2);
            require(power == 0 || power >= least, IPlans.PowerNotHeld(plan.site, plan.interval, i, power, least));
            cells += 2 * (uint8(need[InputBytes.NEED_UNTIL_AT]) - from);
        }
    }

    /// @notice See IPlans.refuteContent.
    function requireWrongContent(
        Plan calldata plan,
        bytes calldata inputs,
        uint256 index,
        ContentProof calldata evidence,
        IDispatch dispatch
    ) external view {
        Stored.requireWrongContent(plan, inputs, index, evidence, dispatch);
    }

    /// @notice See IPlans.refutePeak.
    function requireWrongPeak(
        Plan calldata plan,
        bytes calldata inputs,
        PostedReadings calldata readings,
        HistoryProof calldata history,
        IDispatch dispatch
    ) external view {
        Stored.requireWrongPeak(plan, inputs, readings, history, dispatch);
    }

    /// @dev Interval `t` of the inputs against number `i` of the day's prices.
    function _hasPrices(
        bytes calldata inputs,
        InputParts.Parts memory parts,
        uint256 t,
        bytes calldata prices,
        uint256 i
    ) private pure returns (bool) {
        (int256 imported, int256 fed) = InputParts.gridPrices(inputs, parts, t);
        return imported == _priceAt(prices, i) && fed == _priceAt(prices, DAY + i);
    }

    function _priceAt(bytes calldata prices, uint256 i) private pure returns (int256) {
        return int32(uint32(InputParts.number(prices, InputBytes.NUMBER * i, InputBytes.NUMBER)));
    }

    function _needAt(bytes calldata inputs, uint256 index) private pure returns (bytes calldata need) {
        InputParts.Parts memory parts = InputParts.split(inputs);
        require(index < parts.needs, IPlans.NoSuchNeed(index, parts.needs));
        uint256 from = parts.needsAt + InputBytes.NEED * index;
        return inputs[from:from + InputBytes.NEED];
    }

    /// @dev That the need is at the EVSE of a session that is open, on terms that were known to who planned.
    function _requireOpen(Plan calldata plan, uint16 lane, Terms calldata terms, IAssetRegistry registry) private view {
        bytes32 evse = registry.assetAt(plan.site, lane);
        ISettlement settlement = plan.rules.settlement;
        require(terms.evse == evse, IPlans.WrongEvse(terms.evse, evse));
        require(address(settlement) != address(0), IPlans.NoSettlement(plan.site));
        (bytes26 commitment, uint40 time, SessionState state) = settlement.placeAt(evse, terms.place);
        bool isOpen = state == SessionState.Active && commitment == bytes26(keccak256(abi.encode(terms)));
        require(isOpen, IPlans.SessionNotOpen(terms.session));
        _requireKnown(plan, time);
    }

    function _laneOf(bytes calldata need) private pure returns (uint16) {
        return uint16(InputParts.number(need, 0, 2));
    }

    function _energyOf(bytes calldata need) private pure returns (uint256) {
        return InputParts.number(need, InputBytes.NEED_ENERGY_AT, 4);
    }

    function _requireKnown(Plan calldata plan, uint256 time) private pure {
        uint256 latest = plan.postedAt - KNOWN_AFTER;
        require(time <= latest, IPlans.KnownTooLate(plan.site, plan.interval, time, latest));
    }

    /// @dev That the session's meter has signed the reading, and that it was on chain before the plan was.
    function _requireReading(
        Plan calldata plan,
        Terms calldata terms,
        EnergyProof calldata evidence,
        IAssetRegistry registry
    ) private view {
        bytes32 stop = _requireSigned(terms, evidence.stop, evidence.stopSignature);
        bool isBefore = uint256(evidence.interval) + READINGS_BEFORE <= plan.interval && _hasStep(plan, evidence);
        require(isBefore, IPlans.ReadingNotBefore(plan.site, plan.interval));
        registry.dispatch().proveReading(plan.site, evidence.interval, evidence.proof, evidence.startDigest, stop);
    }

    /// @dev Whether the plan was posted after the readings.
    function _hasStep(Plan calldata plan, EnergyProof calldata evidence) private pure returns (bool) {
        bytes32 step = History.stepOf(plan);
        for (uint256 i; i < evidence.proof.later.length; ++i) {
            if (evidence.proof.later[i] == step) return true;
        }
        return false;
    }

    function _requireSigned(Terms calldata terms, MeterReading calldata reading, bytes calldata signature)
        private
        pure
        returns (bytes32 digest)
    {
        digest = Hashes.digest(reading);
        // A failed recovery gives the zero address, which no registered meter is.
        (address signer,,) = ECDSA.tryRecoverCalldata(digest, signature);
        bool isMeters = bytes32(uint256(uint160(signer))) == terms.meter && reading.asset == terms.evse;
        require(isMeters, IPlans.WrongMeter(signer, terms.meter));
    }

    /// @dev From a Begin that settlement would bill from: newer than the last bill, and no older than the session may be. Where
    /// there are several, any but the first makes this less.
    function _leastDrawn(Plan calldata plan, Terms calldata terms, EnergyProof calldata evidence)
        private
        view
        returns (uint256)
    {
        if (evidence.beginSignature.length == 0) return 0;
        MeterReading calldata begin = evidence.begin;
        _requireSigned(terms, begin, evidence.beginSignature);
        (,, uint48 counter,) = plan.rules.settlement.billedOf(terms.evse, terms.meter);
        bool isBegin = begin.context == ReadingContext.Begin && begin.counter > counter
            && begin.time + Bills.MAX_OPEN_DELAY >= terms.openedAt;
        require(isBegin, IPlans.NoBegin(terms.session));
        return Math.saturatingSub(evidence.stop.importWh, begin.importWh);
    }

    /// @dev Nothing that a session drew is below what the sessions before it were billed for. A stop lies after the beginning of
    /// its interval, whatever the meter's clock says.
    function _mostDrawn(Plan calldata plan, Terms calldata terms, EnergyProof calldata evidence, uint256 lane)
        private
        view
        returns (uint256)
    {
        (uint64 billed,,,) = plan.rules.settlement.billedOf(terms.evse, terms.meter);
        uint256 since = (plan.interval - evidence.interval) * INTERVAL_S;
        uint256 drawn = Math.saturatingSub(evidence.stop.importWh, billed / MILLI_WH_PER_WH);
        return drawn + Layout.mostWh(Layout.load(plan.layoutAt), lane, since);
    }
}
