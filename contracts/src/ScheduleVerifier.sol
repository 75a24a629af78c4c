// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {CertificatePart, IDispatch, INTERVAL_S, IScheduleVerifier, Powered, RIGHT_DISPATCH} from "./IProtocol.sol";
import {InputBytes} from "./libraries/InputBytes.sol";
import {Needs} from "./libraries/Needs.sol";
import {Series} from "./libraries/Series.sol";
import {Terms} from "./libraries/Terms.sol";

/// @title Verifier of schedules
/// @notice Limits are checked and the bound is summed as docs/proof.md writes them down, in one pass over the three byte
/// strings. `optimizer/src/certificate/verify.rs` is the same in plain loops; tests hold both to the same numbers.
///
/// Everything is unchecked arithmetic: no count has more than 16 bits, no number of the inputs more than 64, a product of
/// three of them and the number of intervals less than 200.
///
/// @dev Calldata is read by place. What is missing at the end of a part reads as whatever follows; the lengths of the parts
/// are checked, those of inputs and multipliers before anything is made of them.
contract ScheduleVerifier is IScheduleVerifier {
    using Series for uint256;

    uint256 private constant VERSION = 1;
    /// @dev Seven words of sixteen: a day of 25 hours. Windows have 7 bits, and sixteen sums of prices fit 32.
    uint256 private constant MAX_INTERVALS = 112;
    /// @dev As in the registry.
    uint256 private constant MAX_GROUPS = 64;
    /// @dev With limits below 2^30 no difference of limit and power leaves 32 bits.
    uint256 private constant MAX_NEEDS = 4096;
    /// @dev Limits are below 2^30, powers below 2^15, prices with their bias below 2^28.
    uint256 private constant OVER_LIMIT = 0xc0000000c0000000c0000000c0000000c0000000c0000000c0000000c0000000;
    uint256 private constant POWER_END = 1 << 15;
    uint256 private constant PRICE_END = 1 << 28;
    /// @dev 0x8000 in every 16-bit lane.
    uint256 private constant SIGNS = 0x8000800080008000800080008000800080008000800080008000800080008000;
    /// @dev Hundredths of 2.5 Wh in a Wh.
    uint256 private constant CONTENT_PER_WH = 40;
    /// @dev Bound and cost count hundredths, because batteries' losses are per cent.
    int256 private constant UNIT = 100;
    /// @dev Commitments of a site that are remembered. Those ahead are fewer, so that none is forgotten before its interval.
    uint256 private constant RING = 8;

    IDispatch public immutable dispatch;

    /// @dev By site and interval modulo the ring: hash of interval and inputs' hash.
    mapping(bytes32 site => bytes32[RING]) private _commitments;

    struct Node {
        uint256 parent;
        uint256 limit; // steps
        uint256 series; // limits by interval: place in the calldata; zero where the limit is one
        uint256 exported; // steps
        uint256 alpha; // place in the calldata; zero where its limit has no multiplier
        uint256 rounded; // how often its price was rounded down: what feeds sees so much more
        uint256 memoryAt;
    }

    struct Row {
        uint256 terms;
        uint256 termsAt;
        uint256 bounds;
        bool byInterval;
        int256 scale;
        uint256 next;
    }

    struct Plan {
        uint256 intervals;
        uint256 half; // bytes of half a 32-bit series
        uint256 baseLoads;
        uint256 pvs;
        uint256 batteries;
        uint256 needs;
        uint256 rows;
        uint256 penalty;
        uint256 risk;
        uint256 peak;
        uint256 kappa;
        uint256 importPrice;
        uint256 feedInPrice;
        bool oneFeedInPrice;
        uint256 rowsAt;
        uint256 assets; // next asset in the inputs
        uint256 cells; // next powers in the schedule
        uint256 lambda;
        uint256 rho;
        uint256 sigma;
        uint256 mu;
        uint256[] rowAlphas;
        Node[] nodes;
        bytes column;
        int256 cost;
        int256 bound;
    }

    constructor(IDispatch dispatch_) {
        dispatch = dispatch_;
    }

    /// @inheritdoc IScheduleVerifier
    function commitInputs(bytes32 site, uint32 interval, bytes32 inputsHash) external {
        (uint8 rights, uint40 expiry,) = dispatch.posterOf(site, msg.sender);
        require(rights & RIGHT_DISPATCH != 0 && block.timestamp <= expiry, MayNotCommit(site, msg.sender));
        require(block.timestamp < interval * INTERVAL_S, CommittedTooLate(site, interval, block.timestamp));
        require(interval < block.timestamp / INTERVAL_S + RING, CommittedTooEarly(site, interval, block.timestamp));
        bytes32[RING] storage ring = _commitments[site];
        require(uint32(uint256(ring[interval % RING])) != interval, AlreadyCommitted(site, interval));

        ring[interval % RING] = _commitment(interval, inputsHash);
        emit InputsCommitted(site, interval, msg.sender, inputsHash);
    }

    /// @inheritdoc IScheduleVerifier
    function certify(
        bytes32 site,
        uint32 interval,
        bytes calldata inputs,
        bytes calldata schedule,
        bytes calldata multipliers
    ) external returns (int256 cost, int256 bound, bytes32 firstColumnHash) {
        bytes32 inputsHash;
        (cost, bound, inputsHash, firstColumnHash) = verify(inputs, schedule, multipliers);
        require(isCommitted(site, interval, inputsHash), NotCommitted(site, interval, inputsHash));

        emit ScheduleCertified(site, interval, inputsHash, firstColumnHash, cost, bound);
    }

    /// @inheritdoc IScheduleVerifier
    function isCommitted(bytes32 site, uint32 interval, bytes32 inputsHash) public view returns (bool) {
        return _commitments[site][interval % RING] == _commitment(interval, inputsHash);
    }

    /// @inheritdoc IScheduleVerifier
    function verify(bytes calldata inputs, bytes calldata schedule, bytes calldata multipliers)
        public
        pure
        returns (int256 cost, int256 bound, bytes32 inputsHash, bytes32 firstColumnHash)
    {
        unchecked {
            Plan memory plan;
            _open(plan, inputs);
            _openMultipliers(plan, multipliers);
            assembly ("memory-safe") {
                inputsHash := schedule.offset
            }
            plan.cells = uint256(inputsHash);
            uint256 start = plan.cells;
            _priceGroups(plan);
            _priceRows(plan);
            _addBaseLoads(plan);
            // Before anything that can make a sum negative.
            _addNeeds(plan);
            _addPv(plan);
            _addBatteries(plan);
            _requireLength(CertificatePart.Schedule, schedule.length, plan.cells - start);
            _checkRows(plan);
            _checkGroups(plan);
            _settleGrid(plan);
            return (plan.cost, plan.bound, keccak256(inputs), keccak256(plan.column));
        }
    }

    /// @dev The interval is in the lowest bits, so that a place of the ring says whose it is.
    function _commitment(uint32 interval, bytes32 inputsHash) private pure returns (bytes32) {
        return keccak256(abi.encode(interval, inputsHash)) >> 32 << 32 | bytes32(uint256(interval));
    }

    function _requireLength(CertificatePart part, uint256 length, uint256 expected) private pure {
        require(length == expected, WrongPartLength(part, length, expected));
    }

    function _load(uint256 offset) private pure returns (uint256 word) {
        assembly {
            word := calldataload(offset)
        }
    }

    /// @dev Header, prices, groups and rows of the inputs.
    function _open(Plan memory plan, bytes calldata inputs) private pure {
        unchecked {
            uint256 offset;
            assembly {
                offset := inputs.offset
            }
            uint256 word = _load(offset);
            plan.intervals = uint8(word >> 240);
            uint256 groups = uint8(word >> 216);
            plan.baseLoads = uint8(word >> 208);
            plan.pvs = uint8(word >> 200);
            plan.batteries = uint8(word >> 192);
            plan.needs = uint16(word >> 176);
            plan.rows = uint16(word >> 160);
            plan.penalty = uint32(word >> 128);
            plan.risk = uint32(word >> 96);
            plan.peak = uint32(word >> 64) / 10;
            plan.kappa = 4 * uint256(uint32(word >> 32));
            plan.oneFeedInPrice = word >> 24 & 1 == 1;
            require(
                word >> 248 == VERSION && plan.intervals > 0 && plan.intervals <= MAX_INTERVALS && groups > 0
                    && groups <= MAX_GROUPS && plan.needs <= MAX_NEEDS,
                WrongHeader(word >> 248, plan.intervals, groups, plan.needs)
            );
            plan.column = new bytes(2 * uint256(uint16(word >> 224)));
            plan.half = (plan.intervals + 15) >> 4 << 5;
            plan.importPrice = offset + InputBytes.HEADER;
            plan.feedInPrice = plan.importPrice + 2 * plan.half;
            plan.rowsAt = _openGroups(plan, groups, plan.feedInPrice + (plan.oneFeedInPrice ? 4 : 2 * plan.half));
            plan.assets = plan.rowsAt;
            for (uint256 i; i < plan.rows; ++i) {
                plan.assets = _row(plan, i, plan.assets).next;
            }
            uint256 expected = plan.assets - offset + (plan.baseLoads + plan.pvs)
                * (InputBytes.PLACE + 2 * plan.intervals) + plan.batteries * InputBytes.BATTERY + plan.needs
                * InputBytes.NEED;
            _requireLength(CertificatePart.Inputs, inputs.length, expected);
        }
    }

    function _openGroups(Plan memory plan, uint256 groups, uint256 offset) private pure returns (uint256) {
        unchecked {
            uint256 size = Series.NODE * plan.half;
            Node[] memory nodes = new Node[](groups);
            // Zeroed: sums and base loads are added to it.
            bytes memory room = new bytes(groups * size);
            for (uint256 g; g < groups; ++g) {
                Node memory node = nodes[g];
                uint256 word = _load(offset);
                node.parent = word >> 248;
                node.limit = uint32(word >> 208) / 10;
                node.exported = uint32(word >> 176) / 10;
                require(g == 0 || node.parent < g, NoSuchGroup(node.parent, g));
                offset += InputBytes.GROUP;
                if (word >> 240 & 1 == 1) {
                    node.series = offset;
                    uint256 all;
                    for (uint256 end = offset + 2 * plan.half; offset < end; offset += 32) {
                        all |= _load(offset);
                    }
                    require(all & OVER_LIMIT == 0, LimitOutOfRange(g));
                }
                assembly ("memory-safe") {
                    word := add(add(room, 32), mul(g, size))
                }
                node.memoryAt = word;
            }
            plan.nodes = nodes;
            return offset;
        }
    }

    function _row(Plan memory plan, uint256 index, uint256 offset) private pure returns (Row memory row) {
        unchecked {
            uint256 word = _load(offset);
            row.terms = word >> 248;
            row.byInterval = word >> 240 & 1 == 1;
            row.termsAt = offset + InputBytes.ROW;
            row.bounds = row.termsAt + InputBytes.TERM * row.terms;
            row.next = row.bounds + InputBytes.BOUND * (row.byInterval ? plan.intervals : 1);
            for (uint256 i; i < row.terms; ++i) {
                (uint256 group, int256 coefficient) = _term(row, i);
                require(group < plan.nodes.length, NoSuchGroup(group, plan.nodes.length));
                if (coefficient < 0) coefficient = -coefficient;
                if (coefficient > row.scale) row.scale = coefficient;
            }
            require(row.scale > 0, EmptyRow(index));
        }
    }

    function _term(Row memory row, uint256 i) private pure returns (uint256 group, int256 coefficient) {
        unchecked {
            uint256 word = _load(row.termsAt + InputBytes.TERM * i);
            return (word >> 248, int32(uint32(word >> 216)));
        }
    }

    function _openMultipliers(Plan memory plan, bytes calldata multipliers) private pure {
        unchecked {
            uint256 start;
            assembly {
                start := multipliers.offset
            }
            uint256 series = 2 * plan.half;
            plan.lambda = start;
            plan.rho = start + series;
            plan.sigma = plan.rho + (plan.kappa > 0 ? series : 0);
            plan.mu = plan.sigma + plan.batteries * series;
            uint256 flags = plan.mu + 4 * plan.needs;
            uint256 groups = plan.nodes.length - 1;
            uint256 offset = flags + groups + plan.rows;
            for (uint256 g = 1; g <= groups; ++g) {
                if (_load(flags++) >> 248 == 0) continue;
                plan.nodes[g].alpha = offset;
                offset += series;
            }
            plan.rowAlphas = new uint256[](plan.rows);
            for (uint256 i; i < plan.rows; ++i) {
                if (_load(flags++) >> 248 == 0) continue;
                plan.rowAlphas[i] = offset;
                offset += series;
            }
            _requireLength(CertificatePart.Multipliers, multipliers.length, offset - start);
        }
    }

    /// @dev Prices of the groups from the root down: each sees what its own limit and those above it are worth.
    function _priceGroups(Plan memory plan) private pure {
        unchecked {
            Node[] memory nodes = plan.nodes;
            require(nodes[0].memoryAt.setPrices(plan.half, plan.lambda), PriceOutOfRange(0));
            for (uint256 g = 1; g < nodes.length; ++g) {
                Node memory node = nodes[g];
                bool inRange = node.memoryAt.addPrices(nodes[node.parent].memoryAt, plan.half, node.alpha);
                require(inRange, PriceOutOfRange(g));
            }
        }
    }

    /// @dev What rows add to the prices of what sits directly in their groups. Children have their prices already.
    function _priceRows(Plan memory plan) private pure {
        unchecked {
            uint256 offset = plan.rowsAt;
            for (uint256 i; i < plan.rows; ++i) {
                Row memory row = _row(plan, i, offset);
                offset = row.next;
                uint256 alpha = plan.rowAlphas[i];
                if (alpha == 0) continue;
                for (uint256 j; j < row.terms; ++j) {
                    (uint256 group, int256 coefficient) = _term(row, j);
                    Node memory node = plan.nodes[group];
                    ++node.rounded;
                    for (uint256 t; t < plan.intervals; ++t) {
                        int256 more = _floor(coefficient * int256(alpha.number(plan.half, t)), row.scale);
                        require(node.memoryAt.raise(plan.half, t, more), PriceOutOfRange(group));
                    }
                }
            }
        }
    }

    /// @dev a / b rounded towards minus infinity, for b > 0.
    function _floor(int256 a, int256 b) private pure returns (int256 quotient) {
        assembly {
            quotient := sub(sdiv(a, b), slt(smod(a, b), 0))
        }
    }

    /// @dev Lane and group of the next asset.
    function _place(Plan memory plan) private pure returns (uint256 word, uint256 lane, Node memory node) {
        unchecked {
            word = _load(plan.assets);
            lane = word >> 240;
            uint256 group = uint8(word >> 232);
            require(2 * lane < plan.column.length, NoSuchLane(lane, plan.column.length / 2));
            require(group < plan.nodes.length, NoSuchGroup(group, plan.nodes.length));
            node = plan.nodes[group];
        }
    }

    /// @dev Lowest 16 bits of `power`, in the place of the lane.
    function _post(Plan memory plan, uint256 lane, uint256 power) private pure {
        bytes memory column = plan.column;
        assembly ("memory-safe") {
            let offset := add(add(column, 32), shl(1, lane))
            mstore8(offset, shr(8, power))
            mstore8(add(offset, 1), power)
        }
    }

    function _addBaseLoads(Plan memory plan) private pure {
        unchecked {
            uint256 intervals = plan.intervals;
            for (uint256 i; i < plan.baseLoads; ++i) {
                (, uint256 lane, Node memory node) = _place(plan);
                uint256 cells = plan.assets + InputBytes.PLACE;
                plan.assets = cells + 2 * intervals;
                (uint256 priced, uint256 sum, uint256 bad) = Terms.ofLoad(node.memoryAt, plan.half, cells, intervals);
                require(bad == 0, PowerOutOfRange(Powered.BaseLoad, i));

                (node.memoryAt + Series.SUM * plan.half).add(plan.half, cells, intervals, 0, 1);
                (node.memoryAt + Series.LIMIT * plan.half).add(plan.half, cells, intervals, 0, 1);
                plan.bound += UNIT * (int256(priced) - int256(Series.BIAS * sum));
                _post(plan, lane, cells.cell(0));
            }
        }
    }

    function _addPv(Plan memory plan) private pure {
        unchecked {
            uint256 intervals = plan.intervals;
            for (uint256 i; i < plan.pvs; ++i) {
                (, uint256 lane, Node memory node) = _place(plan);
                uint256 forecast = plan.assets + InputBytes.PLACE;
                plan.assets = forecast + 2 * intervals;
                uint256 used = plan.cells;
                plan.cells = used + 2 * intervals;
                (uint256 worth, uint256 bad) =
                    Terms.ofSun(node.memoryAt, plan.half, forecast, used, intervals, Series.BIAS - node.rounded);
                require(bad == 0, PowerOutOfRange(Powered.Pv, i));

                (node.memoryAt + Series.SUM * plan.half).add(plan.half, used, intervals, 0, -1);
                plan.bound -= UNIT * int256(worth);
                _post(plan, lane, 0 - used.cell(0));
            }
        }
    }

    function _addBatteries(Plan memory plan) private pure {
        unchecked {
            Terms.Battery memory battery;
            battery.intervals = plan.intervals;
            battery.half = plan.half;
            for (uint256 i; i < plan.batteries; ++i) {
                (uint256 word, uint256 lane, Node memory node) = _place(plan);
                plan.assets += InputBytes.BATTERY;
                uint256 cells = plan.cells;
                plan.cells = cells + 2 * plan.intervals;
                battery.node = node.memoryAt;
                battery.cells = cells;
                battery.sigma = plan.sigma;
                _readBattery(battery, word, node.rounded);
                require(battery.max < int256(POWER_END), PowerOutOfRange(Powered.Battery, i));
                require(plan.sigma.isPrice(plan.half), SeriesOutOfRange(3 + i));
                _addBattery(plan, battery, i);
                (node.memoryAt + Series.SUM * plan.half).add(plan.half, cells, plan.intervals, SIGNS, 1);
                plan.sigma += 2 * plan.half;
                _post(plan, lane, cells.cell(0));
            }
        }
    }

    function _readBattery(Terms.Battery memory battery, uint256 word, uint256 rounded) private pure {
        unchecked {
            battery.max = int256(uint256(uint16(word >> 216)));
            battery.charge = int256(uint256(uint16(word >> 200)));
            battery.discharge = int256(uint256(uint16(word >> 184)));
            int256 capacity = int256(CONTENT_PER_WH * uint32(word >> 152));
            int256 start = int256(CONTENT_PER_WH * uint32(word >> 120));
            int256 floor = int256(CONTENT_PER_WH * uint32(word >> 88));
            battery.start = start;
            battery.least = start < floor ? start : floor;
            battery.most = start > capacity ? start : capacity;
            battery.value = int32(uint32(word >> 56));
            battery.wear = UNIT * int256(uint256(uint32(word >> 24)));
            battery.fedWear = battery.wear - UNIT * int256(rounded);
        }
    }

    function _addBattery(Plan memory plan, Terms.Battery memory battery, uint256 index) private pure {
        unchecked {
            (int256 content, int256 fed, uint256 t) = Terms.follow(battery);
            if (t < plan.intervals) {
                int256 power = int16(uint16(battery.cells.cell(t)));
                require(power <= battery.max && power >= -battery.max, PowerOutOfRange(Powered.Battery, index));
                revert ContentOutOfRange(index, t, content);
            }
            plan.cost += battery.wear * fed - battery.value * (content - battery.start);
            plan.bound += Terms.ofBattery(battery);
        }
    }

    function _addNeeds(Plan memory plan) private pure {
        unchecked {
            Node[] memory nodes = plan.nodes;
            uint256[] memory table = new uint256[](nodes.length);
            for (uint256 g; g < nodes.length; ++g) {
                table[g] = nodes[g].memoryAt;
            }
            Needs.Frame memory frame;
            bytes memory column = plan.column;
            assembly ("memory-safe") {
                mstore(frame, add(table, 32))
                mstore(add(frame, 0x140), add(column, 32))
            }
            frame.groups = nodes.length;
            frame.lanes = column.length / 2;
            frame.intervals = plan.intervals;
            frame.penalty = plan.penalty;
            frame.risk = plan.risk;
            frame.needs = plan.assets;
            frame.cells = plan.cells;
            frame.mus = plan.mu;
            frame.end = plan.mu + 4 * plan.needs;
            frame.half = plan.half;
            (int256 cost, int256 bound, uint256 index) = Needs.sum(frame);
            plan.assets = frame.needs;
            plan.cells = frame.cells;
            if (index < plan.needs) _refuseNeed(plan, index);
            plan.cost += UNIT * cost;
            plan.bound += UNIT * bound;
        }
    }

    /// @dev Names what is wrong with the next need. That something is, is known.
    function _refuseNeed(Plan memory plan, uint256 index) private pure {
        unchecked {
            uint256 word = _load(plan.assets);
            uint256 group = uint8(word >> 232);
            require(group < plan.nodes.length, NoSuchGroup(group, plan.nodes.length));
            uint256 from = uint8(word >> 224);
            uint256 likely = uint8(word >> 216);
            uint256 until = uint8(word >> 208);
            require(
                from < until && from <= likely && likely <= until && until <= plan.intervals
                    && _load(plan.mu + 4 * index) >> 224 < PRICE_END,
                NeedOutOfRange(index)
            );
            uint256 max = uint16(word >> 192);
            require(max < POWER_END, PowerOutOfRange(Powered.Need, index));
            uint256 given;
            for (uint256 t; t < until - from; ++t) {
                uint256 power = plan.cells.cell(t);
                require(power <= max, PowerOutOfRange(Powered.Need, index));
                given += power;
            }
            uint256 energy = uint256(uint32(word >> 144)) * 2 / 5;
            uint256 most = uint16(word >> 176);
            if (energy == 0 || most < energy) most = energy;
            require(given <= most, EnergyExceeded(index, given, most));
            revert NoSuchLane(word >> 240, plan.column.length / 2);
        }
    }

    function _checkRows(Plan memory plan) private pure {
        unchecked {
            uint256 offset = plan.rowsAt;
            for (uint256 i; i < plan.rows; ++i) {
                Row memory row = _row(plan, i, offset);
                offset = row.next;
                for (uint256 t; t < plan.intervals; ++t) {
                    _checkRow(plan, row, i, t);
                }
            }
        }
    }

    function _checkRow(Plan memory plan, Row memory row, uint256 index, uint256 t) private pure {
        unchecked {
            int256 value;
            int256 base;
            for (uint256 j; j < row.terms; ++j) {
                (uint256 group, int256 coefficient) = _term(row, j);
                uint256 node = plan.nodes[group].memoryAt;
                value += coefficient * node.sumAt(plan.half, t);
                base += coefficient * int256(node.loadAt(plan.half, t));
            }
            // 63 bits.
            int256 bound = int256(_load(row.bounds + (row.byInterval ? InputBytes.BOUND * t : 0)) << 1 >> 193);
            if (base > bound) bound = base;
            require(value <= bound, RowExceeded(index, t));
            uint256 alpha = plan.rowAlphas[index];
            // Rounded up: never less than what the row takes off the bound.
            if (alpha != 0) plan.bound += UNIT * _floor(-int256(alpha.number(plan.half, t)) * bound, row.scale);
        }
    }

    /// @dev Limits from the leaves up, and what they take off the bound.
    function _checkGroups(Plan memory plan) private pure {
        unchecked {
            Node[] memory nodes = plan.nodes;
            for (uint256 g = nodes.length; g-- > 0;) {
                Node memory node = nodes[g];
                uint256 parent = g == 0 ? 0 : nodes[node.parent].memoryAt;
                bool within = node.memoryAt
                    .settle(parent, plan.half, node.limit * Series.ONES, node.series, node.exported * Series.ONES);
                require(within, GroupExceeded(g));
                uint256 alpha = node.alpha;
                if (alpha == 0) continue;
                plan.bound -= UNIT
                    * int256(Terms.ofLimits(node.memoryAt, plan.half, alpha, node.exported, plan.intervals));
            }
        }
    }

    /// @dev Import, export and peak. The root's sums have `TOP` by now.
    function _settleGrid(Plan memory plan) private pure {
        unchecked {
            require(plan.importPrice.isPrice(plan.half), SeriesOutOfRange(0));
            require(plan.kappa == 0 || plan.rho.isPrice(plan.half), SeriesOutOfRange(2));
            Terms.Grid memory grid;
            Node memory root = plan.nodes[0];
            grid.node = root.memoryAt;
            grid.half = plan.half;
            grid.intervals = plan.intervals;
            grid.importPrice = plan.importPrice;
            grid.feedInPrice = plan.feedInPrice;
            if (plan.oneFeedInPrice) {
                uint256 price = _load(plan.feedInPrice) >> 224;
                require(price < PRICE_END, SeriesOutOfRange(1));
                grid.oneFeedInPrice = price * Series.ONES;
            } else {
                require(plan.feedInPrice.isPrice(plan.half), SeriesOutOfRange(1));
            }
            grid.lambda = plan.lambda;
            if (plan.kappa > 0) grid.rho = plan.rho;
            grid.exported = root.exported;
            (int256 cost, uint256 gains, uint256 spent, uint256 highest) = Terms.ofGrid(grid);
            require(spent <= plan.kappa, PeakOverpriced(spent, plan.kappa));
            if (highest > plan.peak) cost += int256(plan.kappa * (highest - plan.peak));
            plan.cost += UNIT * cost;
            plan.bound -= UNIT * int256(gains + spent * plan.peak);
        }
    }
}
