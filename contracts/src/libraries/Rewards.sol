// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SignedMath} from "@openzeppelin/contracts/utils/math/SignedMath.sol";
import {
    Asset,
    AssetState,
    Bill,
    BPS,
    IAssetRegistry,
    IDispatch,
    INTERVAL_S,
    ISettlement,
    OpenedNeed,
    PostedReadings,
    RewardEvidence,
    Terms
} from "../IProtocol.sol";
import {Bills} from "./Bills.sol";
import {History} from "./History.sol";
import {InputBytes} from "./InputBytes.sol";
import {InputParts} from "./InputParts.sol";
import {Lanes} from "./Lanes.sol";
import {Layout} from "./Layout.sol";
import {Ledger} from "./Ledger.sol";
import {NeedTree} from "./NeedTree.sol";
import {Series} from "./Series.sol";

/// @title What flexibility can have been worth at most
/// @notice Linked to Settlement and run on its books, like `Claims`. Lowers a reward that is above what posted readings and
/// plans make of it, and never one that is not.
///
/// Worth is V = Σ price × (p₀ − p) over the whole intervals of the stay, where p is what was drawn and p₀ what an uncontrolled
/// car would have drawn: its power P until the energy E of those intervals is reached, and at the end of the stay what does not
/// fit. P is not on chain. It is at least what any plan took for the car, at most the EVSE's rating, and the bound is the most
/// that any P in between makes of V.
///
/// - Between powers where E fills a whole number of intervals, every p₀ is linear in P, and V is linear or, where no price is
///   known, convex: it is greatest at such a power or at an end. Those are tried, with energies as fractions.
/// - Who claims rounds cumulated energies down: the k-th by less than 1 Wh, which moves that much from interval k to k + 1. That
///   adds at most what k + 1 is dearer by.
/// - Who claims knows what the car drew last; here another may have come to the EVSE in the first or the last interval. Each Wh
///   that the last interval is too high by, and one for rounding of registers, moves V by what two intervals differ by at most.
library Rewards {
    using Ledger for Ledger.Books;

    uint256 private constant MILLI_WH_PER_WH = 1000;
    int256 private constant WH_PER_KWH = 1000;
    uint256 private constant INTERVALS_PER_HOUR = 4;
    /// @dev The lowest price that a plan can have.
    int256 private constant LOWEST = -int256(Series.BIAS);

    /// @dev The arguments of a call are laid out like a struct's members: seen as one, they stay where they are until used.
    struct Doubt {
        Terms terms;
        Bill bill;
        RewardEvidence evidence;
    }

    /// @dev By whole interval: what was drawn, and the price of a Wh that the baseline has more or less than that. They differ
    /// where no plan was opened, in favour of who claims.
    struct Stay {
        uint256[] drawnWh;
        int256[] dear;
        int256[] cheap;
        uint256 deliveredWh;
        uint256 doubtWh;
        uint256 leastW;
        uint256 mostW;
    }

    /// @notice See ISettlement.disputeReward.
    /// @param arguments abi.encode(Terms, Bill, RewardEvidence).
    function dispute(Ledger.Books storage books, bytes calldata arguments, IAssetRegistry registry) external {
        Doubt calldata doubt;
        assembly ("memory-safe") {
            doubt := arguments.offset
        }
        Bill memory bill = doubt.bill;
        Terms memory terms = books.settled(doubt.terms, bill);
        uint128 claimed = bill.reward;
        Bills.requireDisputable(terms.session, bill.settledAt);
        require(claimed > 0, ISettlement.WrongReward(terms.session, claimed));
        uint256 most = _worth(_stayOf(terms, bill, doubt.evidence, registry)) * terms.rewardBps / BPS;
        require(most < claimed, ISettlement.RewardHolds(terms.session, claimed, most));

        bill.reward = uint128(most);
        books.rewrite(terms, bill);

        emit ISettlement.RewardCorrected(terms.site, terms.driver, terms.evse, terms.session, msg.sender, bill);
    }

    function _stayOf(Terms memory terms, Bill memory bill, RewardEvidence calldata evidence, IAssetRegistry registry)
        private
        view
        returns (Stay memory stay)
    {
        // In the first, partial interval no plan could have given the car anything.
        uint256 first = bill.startTime / INTERVAL_S;
        uint256 count = Math.saturatingSub(Math.saturatingSub(bill.stopTime, 1) / INTERVAL_S, first);
        bytes32 folded = History.fold(evidence.previous, evidence.steps);
        bytes32 posted = registry.dispatch().history(terms.site);
        require(folded == posted, IDispatch.HistoryMismatch(terms.site, folded, posted));
        (Asset memory evse, AssetState memory state) = registry.asset(terms.evse);

        stay.drawnWh = new uint256[](count);
        (stay.dear, stay.cheap) = (new int256[](count), new int256[](count));
        // One that was removed has no rating any more.
        stay.mostW = state.removed ? Layout.MAX_RATED_W : evse.ratedW;
        if (count > 0) _setDrawn(stay, terms, bill, evidence, first, state.lane);
        _setPrices(stay, terms, evidence, first, state.lane);
        stay.mostW = Math.max(stay.mostW, stay.leastW);
    }

    /// @dev Node prices of the plans that were opened, and the most power that one of them took for the car: one of the first
    /// whole interval may have been made for the car before.
    function _setPrices(
        Stay memory stay,
        Terms memory terms,
        RewardEvidence calldata evidence,
        uint256 first,
        uint16 lane
    ) private pure {
        uint256 count = stay.drawnWh.length;
        int256 cap = int256(uint256(terms.rewardCap));
        for (uint256 i; i < count; ++i) {
            (stay.dear[i], stay.cheap[i]) = (cap, stay.drawnWh[i] > 0 ? LOWEST : cap);
        }
        for (uint256 i; i < evidence.needs.length; ++i) {
            OpenedNeed calldata opened = evidence.needs[i];
            uint256 t = opened.plan.interval;
            bool isWithin = t > first && t <= first + count;
            require(isWithin, ISettlement.OutsideStay(terms.session, t, first + 1, first + count));
            _requireInPlan(terms, evidence.steps, opened, lane);
            int256 price = SignedMath.min(_priceOf(opened.prices), cap);
            (stay.dear[t - first - 1], stay.cheap[t - first - 1]) = (price, price);
            if (t > first + 1) stay.leastW = Math.max(stay.leastW, _leastW(opened.need));
        }
    }

    /// @dev What of the billed energy flowed in each whole interval. The most is taken for the last one.
    function _setDrawn(
        Stay memory stay,
        Terms memory terms,
        Bill memory bill,
        RewardEvidence calldata evidence,
        uint256 first,
        uint16 lane
    ) private pure {
        uint256 whole = stay.drawnWh.length;
        uint256 count = evidence.readings.length;
        require(count == whole || count == whole + 1, ISettlement.WrongReadingCount(terms.session, count, whole + 1));
        // Up: registers in whole Wh may differ by one more than those that were billed.
        uint256 left = Math.ceilDiv(bill.stopMilliWh - bill.startMilliWh, MILLI_WH_PER_WH);
        uint256 before;
        for (uint256 i; i <= whole; ++i) {
            if (i == whole) stay.doubtWh = Math.min(before, left);
            uint256 readWh = i < count ? _readWh(terms, evidence.steps, evidence.readings[i], first + i, lane) : left;
            if (i == 0) {
                before = readWh;
                continue;
            }
            uint256 drawnWh = Math.min(readWh, left);
            // What the car drew last is what it did not draw before, and that is known but for the first interval.
            if (i == whole) stay.doubtWh = 1 + Math.saturatingSub(stay.doubtWh, left - drawnWh);
            stay.drawnWh[i - 1] = drawnWh;
            stay.deliveredWh += drawnWh;
            left -= drawnWh;
        }
    }

    function _readWh(
        Terms memory terms,
        bytes32[] calldata steps,
        PostedReadings calldata readings,
        uint256 interval,
        uint16 lane
    ) private pure returns (uint256) {
        require(readings.interval == interval, ISettlement.NotPosted(terms.session, interval));
        bytes32 lanesHash = keccak256(readings.lanes);
        bytes32 step = History.step(History.READINGS, terms.site, readings.interval, lanesHash, readings.root);
        _requireStep(terms, steps, readings.step, step, interval);
        // Posted before the EVSE was there.
        if (lane >= readings.lanes.length / Lanes.READING_BYTES) return 0;
        return uint256(SignedMath.max(Lanes.reading(readings.lanes, lane), 0));
    }

    function _requireInPlan(Terms memory terms, bytes32[] calldata steps, OpenedNeed calldata opened, uint16 lane)
        private
        pure
    {
        uint32 interval = opened.plan.interval;
        bytes32 step = History.stepOf(opened.plan);
        _requireStep(terms, steps, opened.step, step, interval);
        bytes32 leaf = NeedTree.leaf(lane, keccak256(opened.need), opened.rowHash, keccak256(opened.prices));
        bool isIn = MerkleProof.verifyCalldata(opened.siblings, opened.plan.root, leaf)
            && uint8(opened.need[InputBytes.NEED_FROM_AT]) == 0;
        require(isIn, ISettlement.NotInPlan(terms.session, interval));
    }

    function _requireStep(Terms memory terms, bytes32[] calldata steps, uint256 index, bytes32 step, uint256 interval)
        private
        pure
    {
        bool isPosted = index < steps.length && steps[index] == step;
        require(isPosted, ISettlement.NotPosted(terms.session, interval));
    }

    /// @dev Of the first interval: the node price, but no less than the grid's lower price.
    function _priceOf(bytes calldata prices) private pure returns (int256) {
        uint256 grid = InputParts.number(prices, NeedTree.NODE_PRICE_BYTES, InputBytes.NUMBER);
        int64 node = int64(uint64(InputParts.number(prices, 0, NeedTree.NODE_PRICE_BYTES)));
        return SignedMath.max(node, int32(uint32(grid)));
    }

    /// @dev What a need takes for the car, unless that is what the EVSE holds at least: the car may be able to take less.
    function _leastW(bytes calldata need) private pure returns (uint256) {
        uint256 most = InputParts.number(need, InputBytes.NEED_MOST_AT, 2);
        return most > InputParts.number(need, InputBytes.NEED_LEAST_AT, 2) ? Layout.UNIT_W * most : 0;
    }

    /// @dev In base units.
    function _worth(Stay memory stay) private pure returns (uint256) {
        uint256 count = stay.drawnWh.length;
        if (count == 0) return 0;
        int256[] memory rest = _restOf(stay);
        int256 most = SignedMath.max(
            _worthAt(stay, rest, stay.leastW, INTERVALS_PER_HOUR), _worthAt(stay, rest, stay.mostW, INTERVALS_PER_HOUR)
        );
        uint256 energy = INTERVALS_PER_HOUR * stay.deliveredWh;
        for (uint256 k = 1; k < count && energy > stay.leastW * k; ++k) {
            if (energy < stay.mostW * k) most = SignedMath.max(most, _worthAt(stay, rest, stay.deliveredWh, k));
        }
        most += _roundings(stay);
        return most > 0 ? uint256(most / WH_PER_KWH) : 0;
    }

    /// @dev From each interval on: what was drawn there is worth, without any baseline.
    function _restOf(Stay memory stay) private pure returns (int256[] memory rest) {
        uint256 count = stay.drawnWh.length;
        rest = new int256[](count + 1);
        for (uint256 i = count; i > 0; --i) {
            rest[i - 1] = rest[i] - stay.cheap[i - 1] * int256(stay.drawnWh[i - 1]);
        }
    }

    /// @dev For a car that draws `energy` / `parts` Wh an interval; in prices × Wh, towards zero.
    function _worthAt(Stay memory stay, int256[] memory rest, uint256 energy, uint256 parts)
        private
        pure
        returns (int256 worth)
    {
        uint256 last = rest.length - 2;
        uint256 left = stay.deliveredWh * parts;
        uint256 i;
        for (; left > 0; ++i) {
            uint256 baseline = i == last ? left : Math.min(energy, left);
            left -= baseline;
            int256 moved = int256(baseline) - int256(stay.drawnWh[i] * parts);
            worth += moved * (moved > 0 ? stay.dear[i] : stay.cheap[i]);
        }
        return (worth + rest[i] * int256(parts)) / int256(parts);
    }

    /// @dev See the top, in prices × Wh.
    function _roundings(Stay memory stay) private pure returns (int256 most) {
        uint256 count = stay.drawnWh.length;
        (int256 dearest, int256 cheapest) = (stay.dear[0], stay.cheap[0]);
        for (uint256 i = 1; i < count; ++i) {
            most += SignedMath.max(stay.dear[i] - stay.cheap[i - 1], 0);
            dearest = SignedMath.max(dearest, stay.dear[i]);
            cheapest = SignedMath.min(cheapest, stay.cheap[i]);
        }
        most += int256(stay.doubtWh) * (dearest - cheapest);
    }
}
