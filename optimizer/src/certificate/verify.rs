//! What the chain does with a certificate, interval by interval and in plain integers: `ScheduleVerifier.sol` reaches the
//! same numbers many lanes at a time. Shares no code with the planner. No bytes can make it panic, and no multipliers can
//! lift the bound above what some feasible schedule costs.

use super::layout::*;
use super::leaves::GroupClaim;
use crate::units::POWER_STEP_W;

/// What a certificate proves of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What the schedule costs, in 1/40,000 micro: energy, peak, shortfall, risk and wear, less what batteries gain.
    pub cost: i128,
    /// No schedule of the same inputs costs less than this, same unit.
    pub bound: i128,
    /// Setpoints of the first interval, two bytes a lane, as `Dispatch` takes them.
    pub first_column: Vec<u8>,
}

impl Verdict {
    /// Cost less bound, 1/40,000 micro; never negative.
    pub fn gap(&self) -> i128 {
        self.cost - self.bound
    }

    /// The gap in micro, rounded up.
    pub fn gap_micro(&self) -> i128 {
        micro_up(self.gap())
    }

    /// The cost in micro, rounded down.
    pub fn cost_micro(&self) -> i128 {
        self.cost.div_euclid(UNITS_PER_MICRO)
    }
}

/// What 1/40,000 micro are in whole micro, rounded up.
pub fn micro_up(units: i128) -> i128 {
    -(-units).div_euclid(UNITS_PER_MICRO)
}

/// Which of the three byte strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The problem.
    Inputs,
    /// The schedule.
    Schedule,
    /// The multipliers.
    Multipliers,
}

/// Whose power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A base load's forecast, which has more than 15 bits.
    BaseLoad,
    /// A PV inverter's forecast, or more used than is forecast.
    Pv,
    /// A battery's most power, or more than that.
    Battery,
    /// A need's most power, or more than that.
    Need,
}

/// Why a certificate is not accepted; the errors of `IScheduleVerifier`, by name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The header's first bytes.
    #[error(
        "header: version {version}, {intervals} intervals, {groups} groups, {needs} needs; expected 1, 1 to 112, 1 to 64, at most 4096"
    )]
    WrongHeader {
        /// Expected 1.
        version: u64,
        /// Expected 1 to 112.
        intervals: u64,
        /// Expected 1 to 64.
        groups: u64,
        /// Expected at most 4,096.
        needs: u64,
    },
    /// Too short or too long.
    #[error("{part:?} have {length} bytes, expected {expected}")]
    WrongPartLength {
        /// Which.
        part: Part,
        /// What was given.
        length: u64,
        /// What the counts in the inputs say.
        expected: u64,
    },
    /// A group that is not before the one that names it, or is not there.
    #[error("group {group} is not among the first {groups}")]
    NoSuchGroup {
        /// What was named.
        group: u64,
        /// How many there are to name.
        groups: u64,
    },
    /// A lane that the site does not have.
    #[error("lane {lane} of {lanes}")]
    NoSuchLane {
        /// What was named.
        lane: u64,
        /// How many there are.
        lanes: u64,
    },
    /// A limit of 2³⁰ steps or more.
    #[error("group {group}: a limit has more than 30 bits")]
    LimitOutOfRange {
        /// Whose.
        group: u64,
    },
    /// A node price that leaves ±2²⁷ micro per kWh.
    #[error("group {group}: a node price leaves ±2^27")]
    PriceOutOfRange {
        /// Whose.
        group: u64,
    },
    /// A number of more than 28 bits.
    #[error("series {series} (import price, feed-in price, peak, then batteries) leaves ±2^27")]
    SeriesOutOfRange {
        /// 0 import price, 1 feed-in price, 2 peak, and from 3 on batteries.
        series: u64,
    },
    /// Prices of the peak that add up to more than it costs.
    #[error("prices of the peak add up to {sum}, above {most}")]
    PeakOverpriced {
        /// Their sum.
        sum: u64,
        /// κ.
        most: u64,
    },
    /// A row whose coefficients are all zero.
    #[error("row {row} has no coefficient")]
    EmptyRow {
        /// Which.
        row: u64,
    },
    /// More power than there is, or than 15 bits hold.
    #[error("{kind:?} {index}: a power is above its most")]
    PowerOutOfRange {
        /// Whose.
        kind: Kind,
        /// Its place among its kind.
        index: u64,
    },
    /// A battery above full, or below its floor.
    #[error("battery {battery} would hold {content} hundredths of a quantum after interval {interval}")]
    ContentOutOfRange {
        /// Which.
        battery: u64,
        /// When.
        interval: u64,
        /// How much.
        content: i128,
    },
    /// A window that is empty, ends after the horizon, or does not hold the likely departure; a price out of range.
    #[error("need {need}: its window or its price is out of range")]
    NeedOutOfRange {
        /// Which.
        need: u64,
    },
    /// More energy than needed.
    #[error("need {need} gets {given} quanta, above {most}")]
    EnergyExceeded {
        /// Which.
        need: u64,
        /// Quanta of 2.5 Wh.
        given: u64,
        /// Quanta of 2.5 Wh.
        most: u64,
    },
    /// A row above its bound.
    #[error("row {row} is exceeded in interval {interval}")]
    RowExceeded {
        /// Which.
        row: u64,
        /// When.
        interval: u64,
    },
    /// A group above a limit.
    #[error("group {group} is above a limit")]
    GroupExceeded {
        /// Which.
        group: u64,
    },
}

/// Checks `schedule` against `inputs`, and computes what it costs and what `multipliers` prove; any multipliers give a
/// valid bound. The formula is in `docs/proof.md`.
pub fn verify(inputs: &[u8], schedule: &[u8], multipliers: &[u8]) -> Result<Verdict, Refused> {
    let mut plan = Plan::open(inputs, multipliers)?;
    plan.price_groups()?;
    plan.price_rows()?;
    let mut cells = Reader { bytes: schedule, at: 0 };
    plan.add_base_loads()?;
    plan.add_needs(&mut cells)?;
    plan.add_pv(&mut cells)?;
    plan.add_batteries(&mut cells)?;
    if cells.at != schedule.len() {
        return Err(length(Part::Schedule, schedule.len(), cells.at));
    }
    plan.check_rows()?;
    plan.check_groups()?;
    plan.settle_grid()?;
    Ok(Verdict { cost: plan.cost, bound: plan.bound, first_column: plan.first_column })
}

fn length(part: Part, length: usize, expected: usize) -> Refused {
    Refused::WrongPartLength { part, length: length as u64, expected: expected as u64 }
}

/// Big-endian numbers in order. What is missing at the end reads as zero, as on chain; lengths are checked apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn peek(&self, at: usize, size: usize) -> i64 {
        let byte = |at: usize| i64::from(self.bytes.get(at).copied().unwrap_or(0));
        (at..at + size).fold(0, |number, at| number << 8 | byte(at))
    }

    pub(super) fn uint(&mut self, size: usize) -> i64 {
        self.at += size;
        self.peek(self.at - size, size)
    }

    pub(super) fn int(&mut self, size: usize) -> i64 {
        let number = self.uint(size);
        let sign = 1_i64 << (8 * size - 1);
        (number ^ sign) - sign
    }

    pub(super) fn index(&mut self, size: usize) -> usize {
        self.uint(size) as usize
    }

    pub(super) fn skip(&mut self, size: usize) -> Self {
        let here = *self;
        self.at += size;
        here
    }

    /// Number `t` of the series of 32-bit numbers over `intervals` that begins here.
    pub(super) fn series(&self, intervals: usize, t: usize) -> i64 {
        self.peek(self.at + place(intervals, t), 4)
    }

    /// Number `t` of the series of 16-bit numbers that begins here.
    pub(super) fn cell(&self, t: usize) -> i64 {
        self.peek(self.at + 2 * t, 2)
    }

    fn signed(number: i64, bits: u32) -> i64 {
        let sign = 1_i64 << (bits - 1);
        (number ^ sign) - sign
    }
}

/// What is known of a group.
#[derive(Debug, Default)]
struct Node {
    parent: usize,
    import: Vec<i64>,
    by_interval: bool,
    export: i64,
    /// By interval, padding included: λ of the subtree, and once rows are priced that of what sits directly here.
    price: Vec<i64>,
    /// How often a price was rounded down on the way here: what feeds sees so much more.
    rounded: i64,
    /// Multiplier of the limits by interval; empty where there is none.
    alpha: Vec<i64>,
    net: Vec<i64>,
    base: Vec<i64>,
}

/// A row of the inputs.
#[derive(Debug)]
struct Row {
    terms: Vec<(usize, i64)>,
    scale: i64,
    bound: Vec<i64>,
    alpha: Vec<i64>,
}

pub(super) struct Plan<'a> {
    pub(super) intervals: usize,
    pub(super) lanes: usize,
    counts: [usize; 5],
    penalty: i64,
    risk: i64,
    peak: i64,
    kappa: i64,
    import_price: Reader<'a>,
    feed_in_price: Reader<'a>,
    one_price: bool,
    nodes: Vec<Node>,
    rows: Vec<Row>,
    /// Where rows begin in the inputs.
    rows_at: usize,
    /// The inputs from the base loads on.
    inputs: Reader<'a>,
    /// The multipliers' root prices, those of the peak, of batteries, and of needs.
    lambda: Reader<'a>,
    rho: Option<Reader<'a>>,
    sigma: Reader<'a>,
    mu: Reader<'a>,
    cost: i128,
    bound: i128,
    first_column: Vec<u8>,
}

/// Places in [`Plan::counts`].
const BASE_LOADS: usize = 0;
const PVS: usize = 1;
const BATTERIES: usize = 2;
const NEEDS: usize = 3;
const ROWS: usize = 4;

impl<'a> Plan<'a> {
    /// Reads everything but assets, and holds both lengths.
    pub(super) fn open(inputs: &'a [u8], multipliers: &'a [u8]) -> Result<Self, Refused> {
        let mut reader = Reader { bytes: inputs, at: 0 };
        let (version, intervals) = (reader.index(1), reader.index(1));
        let lanes = reader.index(2);
        let groups = reader.index(1);
        let counts = [reader.index(1), reader.index(1), reader.index(1), reader.index(2), reader.index(2)];
        let needs = counts[NEEDS];
        let counted = (1..=INTERVALS_MAX).contains(&intervals) && (1..=GROUPS_MAX).contains(&groups);
        if version != usize::from(VERSION) || !counted || needs > NEEDS_MAX {
            let [version, intervals, groups, needs] = [version, intervals, groups, needs].map(|n| n as u64);
            return Err(Refused::WrongHeader { version, intervals, groups, needs });
        }
        let (penalty, risk) = (reader.uint(4), reader.uint(4));
        let (peak, kappa) = (reader.uint(4) / 10, 4 * reader.uint(4));
        let one_price = reader.uint(1) & 1 == 1;
        let series = series_len(intervals);
        let import = reader.skip(series);
        let feed_in = reader.skip(if one_price { 4 } else { series });
        let nodes = read_groups(&mut reader, groups, intervals)?;
        let rows_at = reader.at;
        let rows = read_rows(&mut reader, counts[ROWS], groups, intervals)?;
        let rest = reader;
        let forecasts = (counts[BASE_LOADS] + counts[PVS]) * (FORECAST + 2 * intervals);
        let expected = reader.at + forecasts + counts[BATTERIES] * BATTERY + counts[NEEDS] * NEED;
        if inputs.len() != expected {
            return Err(length(Part::Inputs, inputs.len(), expected));
        }
        let mut reader = Reader { bytes: multipliers, at: 0 };
        let lambda = reader.skip(series);
        let rho = (kappa > 0).then(|| reader.skip(series));
        let sigma = reader.skip(counts[BATTERIES] * series);
        let mu = reader.skip(4 * counts[NEEDS]);
        let mut plan = Self {
            intervals,
            lanes,
            counts,
            penalty,
            risk,
            peak,
            kappa,
            import_price: import,
            feed_in_price: feed_in,
            one_price,
            nodes,
            rows,
            rows_at,
            inputs: rest,
            lambda,
            rho,
            sigma,
            mu,
            cost: 0,
            bound: 0,
            first_column: vec![0; 2 * lanes],
        };
        let mut flags = reader.skip(groups - 1 + counts[ROWS]);
        let padded = 16 * intervals.div_ceil(16);
        let nodes = plan.nodes.iter_mut().skip(1).map(|node| &mut node.alpha);
        for alpha in nodes.chain(plan.rows.iter_mut().map(|row| &mut row.alpha)) {
            if flags.uint(1) != 0 {
                let series = reader.skip(series);
                *alpha = (0..padded).map(|t| series.series(intervals, t)).collect();
            }
        }
        if reader.at != multipliers.len() {
            return Err(length(Part::Multipliers, multipliers.len(), reader.at));
        }
        Ok(plan)
    }

    /// Prices of the groups from the root down.
    pub(super) fn price_groups(&mut self) -> Result<(), Refused> {
        let padded = 16 * self.intervals.div_ceil(16);
        for g in 0..self.nodes.len() {
            let refused = Err(Refused::PriceOutOfRange { group: g as u64 });
            let price: Vec<i64> = if g == 0 {
                (0..padded).map(|t| self.lambda.series(self.intervals, t) - BIAS).collect()
            } else {
                let node = &self.nodes[g];
                if node.alpha.iter().any(|alpha| *alpha >= PRICE_END) {
                    return refused;
                }
                let parent = &self.nodes[node.parent].price;
                let alpha = |t: usize| node.alpha.get(t).map_or(0, |alpha| alpha - BIAS);
                parent.iter().enumerate().map(|(t, price)| price + alpha(t)).collect()
            };
            if price.iter().any(|price| !(-BIAS..PRICE_END - BIAS).contains(price)) {
                return refused;
            }
            self.nodes[g].price = price;
        }
        Ok(())
    }

    /// What rows add to the prices of what sits directly in their groups.
    pub(super) fn price_rows(&mut self) -> Result<(), Refused> {
        for row in self.rows.iter().filter(|row| !row.alpha.is_empty()) {
            for &(group, coefficient) in &row.terms {
                let node = &mut self.nodes[group];
                node.rounded += 1;
                for t in 0..self.intervals {
                    let part = (i128::from(coefficient) * i128::from(row.alpha[t])).div_euclid(i128::from(row.scale));
                    // At most the multiplier itself, because no coefficient is above the scale.
                    let price = node.price[t] + part as i64;
                    if !(-BIAS..PRICE_END - BIAS).contains(&price) {
                        return Err(Refused::PriceOutOfRange { group: group as u64 });
                    }
                    node.price[t] = price;
                }
            }
        }
        Ok(())
    }

    /// Where base loads, needs, PV inverters and batteries are in the inputs, and how many there are of each.
    pub(super) fn assets(&self) -> [(Reader<'a>, usize); 4] {
        let forecast = FORECAST + 2 * self.intervals;
        let mut reader = self.inputs;
        [(BASE_LOADS, forecast), (NEEDS, NEED), (PVS, forecast), (BATTERIES, BATTERY)]
            .map(|(kind, size)| (reader.skip(size * self.counts[kind]), self.counts[kind]))
    }

    /// The bytes that [`super::terms`] writes: penalty and surcharge, the peak's price, rows, and of batteries what lasts.
    pub(super) fn terms(&self) -> Vec<u8> {
        let bytes = self.inputs.bytes;
        let mut terms = [&bytes[TERMS], &bytes[PEAK_PRICE], &bytes[self.rows_at..self.inputs.at]].concat();
        let [.., (mut batteries, count)] = self.assets();
        for _ in 0..count {
            let record = &bytes[batteries.skip(BATTERY).at..];
            BATTERY_TERMS.into_iter().for_each(|range| terms.extend(&record[range]));
        }
        terms
    }

    /// The peak so far, down to a step, where it has a price.
    pub(super) fn peak_w(&self) -> Option<i64> {
        (self.kappa > 0).then_some(POWER_STEP_W * self.peak)
    }

    /// Import and feed-in price by interval, with their bias.
    pub(super) fn prices(&self) -> (Vec<i64>, Vec<i64>) {
        let series = |of: Reader<'_>| (0..self.intervals).map(|t| of.series(self.intervals, t)).collect();
        let one = || vec![self.feed_in_price.peek(self.feed_in_price.at, 4); self.intervals];
        (series(self.import_price), if self.one_price { one() } else { series(self.feed_in_price) })
    }

    /// The tree, with its limits.
    pub(super) fn groups(&self) -> Vec<GroupClaim> {
        let group = |node: &Node| GroupClaim {
            parent: node.parent,
            import: node.import.iter().take(self.intervals).copied().max().unwrap_or(0),
            by_interval: node.by_interval,
            export: node.export,
        };
        self.nodes.iter().map(group).collect()
    }

    /// Node prices of what draws directly in each group, padding included. After [`Plan::price_rows`].
    pub(super) fn node_prices(&self) -> impl Iterator<Item = &[i64]> {
        self.nodes.iter().map(|node| node.price.as_slice())
    }

    /// Lane and group of an asset.
    fn place(&mut self) -> Result<(usize, usize), Refused> {
        let (lane, group) = (self.inputs.index(2), self.inputs.index(1));
        self.check_lane(lane)?;
        self.check_group(group)?;
        Ok((lane, group))
    }

    fn check_lane(&self, lane: usize) -> Result<(), Refused> {
        if lane < self.lanes {
            return Ok(());
        }
        Err(Refused::NoSuchLane { lane: lane as u64, lanes: self.lanes as u64 })
    }

    pub(super) fn check_group(&self, group: usize) -> Result<(), Refused> {
        if group < self.nodes.len() {
            return Ok(());
        }
        Err(Refused::NoSuchGroup { group: group as u64, groups: self.nodes.len() as u64 })
    }

    fn post(&mut self, lane: usize, power: i64) {
        self.first_column[2 * lane..2 * lane + 2].copy_from_slice(&(power as i16).to_be_bytes());
    }

    fn add_base_loads(&mut self) -> Result<(), Refused> {
        for index in 0..self.counts[BASE_LOADS] {
            let (lane, group) = self.place()?;
            let series = self.inputs.skip(2 * self.intervals);
            for t in 0..self.intervals {
                let power = series.cell(t);
                if power >= POWER_END {
                    return Err(Refused::PowerOutOfRange { kind: Kind::BaseLoad, index: index as u64 });
                }
                let node = &mut self.nodes[group];
                node.net[t] += power;
                node.base[t] += power;
                self.bound += 100 * i128::from(node.price[t] * power);
            }
            self.post(lane, series.cell(0));
        }
        Ok(())
    }

    fn add_pv(&mut self, cells: &mut Reader<'_>) -> Result<(), Refused> {
        for index in 0..self.counts[PVS] {
            let (lane, group) = self.place()?;
            let (forecast, used) = (self.inputs.skip(2 * self.intervals), cells.skip(2 * self.intervals));
            for t in 0..self.intervals {
                let (most, power) = (forecast.cell(t), used.cell(t));
                if most >= POWER_END || power > most {
                    return Err(Refused::PowerOutOfRange { kind: Kind::Pv, index: index as u64 });
                }
                let node = &mut self.nodes[group];
                node.net[t] -= power;
                self.bound -= 100 * i128::from(most * (node.price[t] + node.rounded).max(0));
            }
            self.post(lane, -used.cell(0));
        }
        Ok(())
    }

    fn add_batteries(&mut self, cells: &mut Reader<'_>) -> Result<(), Refused> {
        let intervals = self.intervals;
        let series = series_len(intervals);
        for index in 0..self.counts[BATTERIES] {
            let (lane, group) = self.place()?;
            let refused = Refused::PowerOutOfRange { kind: Kind::Battery, index: index as u64 };
            let max = self.inputs.uint(2);
            if max >= POWER_END {
                return Err(refused);
            }
            let [charge, discharge] = [self.inputs.uint(2), self.inputs.uint(2)];
            let [capacity, start, floor] =
                [self.inputs.uint(4), self.inputs.uint(4), self.inputs.uint(4)].map(|wh| wh * CONTENT_PER_WH);
            let (value, wear) = (i128::from(self.inputs.int(4)), i128::from(self.inputs.uint(4)));
            let (least, most) = (start.min(floor), start.max(capacity));
            let sigma = self.sigma.skip(series);
            if !self.is_price(&sigma) {
                return Err(Refused::SeriesOutOfRange { series: 3 + index as u64 });
            }
            let power = cells.skip(2 * self.intervals);
            let mut content = start;
            let sigma_at = |t: usize| i128::from(sigma.series(intervals, t) - BIAS);
            for t in 0..self.intervals {
                let net = Reader::signed(power.cell(t), 16);
                if net.abs() > max {
                    return Err(refused);
                }
                content += net * if net > 0 { charge } else { discharge };
                if content < least || content > most {
                    let (battery, interval) = (index as u64, t as u64);
                    return Err(Refused::ContentOutOfRange { battery, interval, content: i128::from(content) });
                }
                self.cost += 100 * wear * i128::from((-net).max(0));
                let node = &mut self.nodes[group];
                node.net[t] += net;
                let (price, sigma) = (100 * i128::from(node.price[t]), sigma_at(t));
                let into = price - i128::from(charge) * sigma;
                let out = 100 * (wear - i128::from(node.rounded)) + i128::from(discharge) * sigma - price;
                self.bound += i128::from(max) * into.min(out).min(0);
                let next = if t + 1 < self.intervals { sigma_at(t + 1) } else { value };
                self.bound += (sigma - next) * i128::from(if sigma > next { least } else { most });
            }
            self.cost -= value * i128::from(content - start);
            self.bound += (value - sigma_at(0)) * i128::from(start);
            self.post(lane, Reader::signed(power.cell(0), 16));
        }
        Ok(())
    }

    fn add_needs(&mut self, cells: &mut Reader<'_>) -> Result<(), Refused> {
        for index in 0..self.counts[NEEDS] {
            let (lane, group) = (self.inputs.index(2), self.inputs.index(1));
            self.check_group(group)?;
            let [from, likely, until] = [self.inputs.index(1), self.inputs.index(1), self.inputs.index(1)];
            let (max, least) = (self.inputs.uint(2), self.inputs.uint(2));
            let energy = self.inputs.uint(4) * 2 / 5;
            let penalty = self.penalty * self.inputs.uint(2) / 100;
            let mu = self.mu.uint(4) - BIAS;
            let need = index as u64;
            let in_order = from < until && from <= likely && likely <= until && until <= self.intervals;
            if !in_order || mu >= PRICE_END - BIAS {
                return Err(Refused::NeedOutOfRange { need });
            }
            let refused = Refused::PowerOutOfRange { kind: Kind::Need, index: need };
            if max >= POWER_END {
                return Err(refused);
            }
            let row = cells.skip(2 * (until - from));
            let (mut given, mut late, mut surplus) = (0, 0, 0);
            for t in from..until {
                let power = row.cell(t - from);
                if power > max {
                    return Err(refused);
                }
                let node = &mut self.nodes[group];
                node.net[t] += power;
                given += power;
                late += if t >= likely { power } else { 0 };
                surplus += (mu - if t >= likely { self.risk } else { 0 } - node.price[t]).max(0);
            }
            let most = if energy > 0 { energy.max(least) } else { 0 };
            if given > most {
                return Err(Refused::EnergyExceeded { need, given: given as u64, most: most as u64 });
            }
            let wide = |a: i64, b: i64| i128::from(a) * i128::from(b);
            self.cost += 100 * (wide(penalty, (energy - given).max(0)) + wide(self.risk, late));
            let ends = wide(energy, (penalty - mu).min(0)) + wide(most - energy, mu.min(0));
            self.bound += 100 * (wide(mu, energy) - wide(max, surplus) + ends);
            if from == 0 {
                self.check_lane(lane)?;
                self.post(lane, row.cell(0));
            }
        }
        Ok(())
    }

    fn check_rows(&mut self) -> Result<(), Refused> {
        for (index, row) in self.rows.iter().enumerate() {
            for t in 0..self.intervals {
                let sum = |of: &dyn Fn(&Node) -> i64| -> i128 {
                    row.terms.iter().map(|(g, a)| i128::from(*a) * i128::from(of(&self.nodes[*g]))).sum()
                };
                let bound = i128::from(row.bound[t]).max(sum(&|node| node.base[t]));
                if sum(&|node| node.net[t]) > bound {
                    return Err(Refused::RowExceeded { row: index as u64, interval: t as u64 });
                }
                let alpha = i128::from(row.alpha.get(t).copied().unwrap_or(0));
                // Rounded up: never less than what the row takes off the bound.
                self.bound += 100 * (-alpha * bound).div_euclid(i128::from(row.scale));
            }
        }
        Ok(())
    }

    /// Limits from the leaves up, and what they take off the bound.
    fn check_groups(&mut self) -> Result<(), Refused> {
        for g in (0..self.nodes.len()).rev() {
            let (before, rest) = self.nodes.split_at_mut(g);
            let node = &mut rest[0];
            for t in 0..self.intervals {
                node.import[t] = node.import[t].max(node.base[t]);
                if node.net[t] > node.import[t] || node.net[t] < -node.export {
                    return Err(Refused::GroupExceeded { group: g as u64 });
                }
                let alpha = node.alpha.get(t).map_or(0, |alpha| alpha - BIAS);
                let bound = if alpha > 0 { node.import[t] } else { -node.export };
                self.bound -= 100 * i128::from(alpha) * i128::from(bound);
                if g > 0 {
                    before[node.parent].net[t] += node.net[t];
                    before[node.parent].base[t] += node.base[t];
                }
            }
        }
        Ok(())
    }

    /// Whether every number of a series has at most 28 bits, padding included.
    fn is_price(&self, series: &Reader<'_>) -> bool {
        (0..16 * self.intervals.div_ceil(16)).all(|t| series.series(self.intervals, t) < PRICE_END)
    }

    /// Import, export and peak.
    fn settle_grid(&mut self) -> Result<(), Refused> {
        let refused = |series: u64| Err(Refused::SeriesOutOfRange { series });
        if !self.is_price(&self.import_price) {
            return refused(0);
        }
        if self.rho.is_some_and(|rho| !self.is_price(&rho)) {
            return refused(2);
        }
        let one = self.feed_in_price.peek(self.feed_in_price.at, 4);
        let in_range = if self.one_price { one < PRICE_END } else { self.is_price(&self.feed_in_price) };
        if !in_range {
            return refused(1);
        }
        let root = &self.nodes[0];
        let mut highest = 0;
        let mut spent = 0;
        for t in 0..self.intervals {
            let (net, price) = (root.net[t], i128::from(self.lambda.series(self.intervals, t) - BIAS));
            highest = highest.max(net);
            let import = i128::from(self.import_price.series(self.intervals, t) - BIAS);
            let feed_in = if self.one_price { one } else { self.feed_in_price.series(self.intervals, t) };
            let feed_in = i128::from(feed_in - BIAS);
            self.cost += 100 * i128::from(net) * if net > 0 { import } else { feed_in };
            let rho = self.rho.map_or(0, |rho| rho.series(self.intervals, t));
            spent += rho;
            let rho = i128::from(rho);
            let into = i128::from(root.import[t]) * (import + rho - price);
            let out = i128::from(root.export) * (price - feed_in);
            self.bound += 100 * into.min(out).min(0);
        }
        if spent > self.kappa {
            return Err(Refused::PeakOverpriced { sum: spent as u64, most: self.kappa as u64 });
        }
        self.cost += 100 * i128::from(self.kappa) * i128::from((highest - self.peak).max(0));
        self.bound -= 100 * i128::from(spent) * i128::from(self.peak);
        Ok(())
    }
}

fn read_groups(reader: &mut Reader<'_>, groups: usize, intervals: usize) -> Result<Vec<Node>, Refused> {
    let mut nodes: Vec<Node> = Vec::with_capacity(groups);
    for g in 0..groups {
        let parent = reader.index(1);
        let by_interval = reader.uint(1) & 1 == 1;
        let (import, export) = (reader.uint(4) / 10, reader.uint(4) / 10);
        if g > 0 && parent >= g {
            return Err(Refused::NoSuchGroup { group: parent as u64, groups: g as u64 });
        }
        let series = reader.skip(if by_interval { series_len(intervals) } else { 0 });
        let padded = 16 * intervals.div_ceil(16);
        let import: Vec<i64> =
            (0..padded).map(|t| if by_interval { series.series(intervals, t) } else { import }).collect();
        if import.iter().any(|limit| *limit >= LIMIT_END) {
            return Err(Refused::LimitOutOfRange { group: g as u64 });
        }
        let zeros = vec![0; intervals];
        nodes.push(Node { parent, import, by_interval, export, net: zeros.clone(), base: zeros, ..Node::default() });
    }
    Ok(nodes)
}

fn read_rows(reader: &mut Reader<'_>, count: usize, groups: usize, intervals: usize) -> Result<Vec<Row>, Refused> {
    let mut rows = Vec::new();
    for index in 0..count {
        let (terms, by_interval) = (reader.index(1), reader.uint(1) & 1 == 1);
        let terms: Vec<(usize, i64)> = (0..terms).map(|_| (reader.index(1), reader.int(4))).collect();
        let bounds = reader.skip(BOUND * if by_interval { intervals } else { 1 });
        if let Some((group, _)) = terms.iter().find(|(group, _)| *group >= groups) {
            return Err(Refused::NoSuchGroup { group: *group as u64, groups: groups as u64 });
        }
        let scale = terms.iter().map(|(_, coefficient)| coefficient.abs()).max().unwrap_or(0);
        if scale == 0 {
            return Err(Refused::EmptyRow { row: index as u64 });
        }
        // 63 bits, so that it is a positive number everywhere.
        let bound = |t: usize| bounds.peek(bounds.at + BOUND * if by_interval { t } else { 0 }, BOUND) & i64::MAX;
        rows.push(Row { terms, scale, bound: (0..intervals).map(bound).collect(), alpha: Vec::new() });
    }
    Ok(rows)
}
