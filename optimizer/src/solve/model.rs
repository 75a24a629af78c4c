//! The linear program of a problem: which column and row means what.

use super::highs::{AT_LOWER, AT_UPPER, BASIC, Program};
use super::ways::{Way, Ways};
use super::{FIXED_WEIGHT, STABLE, TIE, highest_price, price};
use crate::amounts::{
    content_max, content_min, content_start, energy, fixed_at, need_max, priority, risk_price, seconds, steps,
    storage_max,
};
use crate::network::Network;
use crate::problem::{Need, Peak, Problem, SHARE_STEPS, Share};
use crate::units::INTERVAL_S;
use std::cmp::Ordering;
use std::ffi::c_int;

/// Contents are in hundredths of a step-second; the program has them in quanta.
pub(super) const CONTENT_PER_QUANTUM: f64 = 100.0 * INTERVAL_S as f64;
/// With [`Share::Equal`] the first part of a need is worth this much more than the last, as a share of the penalty.
const SHARE_SPREAD: f64 = 0.05;
/// More than any power in steps.
const UNBOUNDED: f64 = 1e12;

/// Two columns of which at most one is above zero: import and export, charge and discharge.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) into: usize,
    pub(super) out: usize,
}

/// What a column or row is, so that it is found again in the next problem. A row and a column never share their name.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Need = 1,
    Running,
    Energy,
    Shared,
    Pv,
    Charge,
    Discharge,
    Content,
    /// The row that carries a battery's content on.
    Stored,
    Target,
    Flow,
    /// The row that balances a group.
    Balance,
    Import,
    Reserved,
    Export,
    Peak,
    Taper,
    /// A row of the problem that was found to bind.
    Cut,
}

/// A name for a column or row that the next problem has too: kind, whose, and the interval of the calendar.
pub(super) fn key(kind: Kind, whose: u64, at: u64) -> u64 {
    let mut x =
        (kind as u64) << 56 ^ whose.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ at.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// The program and where its parts are. Kept between plans for its memory.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) program: Program,
    /// Where to start from: a basis that is dual feasible as far as guessed, by column and row.
    pub(super) column_start: Vec<c_int>,
    pub(super) row_start: Vec<c_int>,
    pub(super) column_key: Vec<u64>,
    pub(super) row_key: Vec<u64>,
    /// By need: columns with their intervals; an interval has two where the running plan splits it.
    pub(super) need: Vec<Vec<(usize, usize)>>,
    /// By need: what names it in keys.
    pub(super) need_id: Vec<u64>,
    /// By PV inverter: where there is sun.
    pub(super) pv: Vec<Vec<(usize, usize)>>,
    /// By battery and interval.
    pub(super) storage: Vec<Vec<Pair>>,
    /// By battery: content at the end of each interval.
    pub(super) content: Vec<Vec<usize>>,
    /// By battery and interval: the row that carries its content on.
    pub(super) stored: Vec<Vec<usize>>,
    /// By interval.
    pub(super) grid: Vec<Pair>,
    /// By interval: import into the reserve.
    pub(super) reserved: Vec<Option<usize>>,
    /// Import above the peak so far.
    pub(super) peak: Option<usize>,
    /// By interval: the row that holds import to the peak, where it could be above.
    pub(super) above: Vec<Option<usize>>,
    /// By interval and group: the row that balances it.
    pub(super) balance: Vec<Vec<usize>>,
    /// By interval: (group, sign, column) of what sits there, where the problem has rows.
    pub(super) drawing: Vec<Vec<(usize, f64, usize)>>,
    keeps_drawing: bool,
    /// Of the interval under way, by group: kept for its memory.
    reach: Vec<Reach>,
    /// Intervals of the need under way, by price: kept for their memory.
    cheapest: Vec<(i64, usize)>,
}

/// `count` empty lists that keep the memory they have.
fn emptied<T>(lists: &mut Vec<Vec<T>>, count: usize) {
    lists.iter_mut().for_each(Vec::clear);
    lists.resize_with(count, Vec::new);
}

/// What could at most be drawn and fed at each group in one interval, so that limits that cannot bind are left out.
#[derive(Debug, Clone, Copy)]
struct Reach {
    most: i64,
    least: i64,
}

impl Model {
    /// Builds the program of `problem`, with directions as `ways` say.
    pub(super) fn build(&mut self, problem: &Problem, network: &Network, ways: &Ways) {
        self.program.clear();
        for list in [&mut self.column_start, &mut self.row_start] {
            list.clear();
        }
        self.column_key.clear();
        self.row_key.clear();
        emptied(&mut self.need, problem.needs.len());
        self.need_id.clear();
        emptied(&mut self.pv, problem.pv.len());
        emptied(&mut self.storage, problem.storages.len());
        emptied(&mut self.content, problem.storages.len());
        emptied(&mut self.stored, problem.storages.len());
        self.grid.clear();
        self.reserved.clear();
        emptied(&mut self.balance, problem.horizon);
        self.peak = None;
        self.keeps_drawing = !network.rows.is_empty();
        emptied(&mut self.drawing, if self.keeps_drawing { problem.horizon } else { 0 });
        self.add_network(problem, network, ways);
        self.add_needs(problem);
        self.add_pv(problem);
        self.add_storages(problem, ways);
    }

    fn row(&mut self, lower: f64, upper: f64, start: c_int, key: u64) -> usize {
        self.row_start.push(start);
        self.row_key.push(key);
        self.program.row(lower, upper)
    }

    fn column(&mut self, upper: f64, cost: f64, start: c_int, key: u64) -> usize {
        self.column_start.push(start);
        self.column_key.push(key);
        self.program.column(0.0, upper, cost)
    }

    /// Enters the newest column as load of `group` in interval `k`, or as its relief.
    fn load(&mut self, k: usize, group: usize, sign: f64, column: usize) {
        self.program.entry(self.balance[k][group], -sign);
        if self.keeps_drawing {
            self.drawing[k].push((group, sign, column));
        }
    }

    /// Unmet need is energy − Σ p, so that its penalty is a reward on p, and p up to the energy its only constraint.
    fn add_needs(&mut self, problem: &Problem) {
        let penalty = price(problem.shortfall_penalty);
        let fixed_reward = FIXED_WEIGHT * highest_price(problem);
        let tie_per_interval = TIE / problem.horizon as f64;
        let shared = problem.share == Share::Equal;
        for (i, need) in problem.needs.iter().enumerate() {
            let id = hash(&need.session);
            self.need_id.push(id);
            let reward = penalty * priority(need.priority_percent) as f64 / 100.0;
            let wanted = energy(need.energy_wh);
            let most: i64 = (need.from..need.until).map(|k| need_max(problem, need, k) * seconds(problem, k)).sum();
            let marginal = marginal(problem, need, wanted, &mut self.cheapest);
            // With shares the energy row says Σ p = Σ shares, and the shares carry the reward.
            let bound = if shared { 0.0 } else { wanted as f64 / INTERVAL_S as f64 };
            let basic = if marginal.is_some() { AT_UPPER } else { BASIC };
            let row = (shared || most > wanted)
                .then(|| self.row(if shared { 0.0 } else { -UNBOUNDED }, bound, basic, key(Kind::Energy, id, 0)));
            let tapers = self.taper_rows(problem, need, id);
            for k in need.from..need.until {
                let max = need_max(problem, need, k);
                if max == 0 {
                    continue;
                }
                let weight = weight(problem, k);
                let posted = if fixed_at(&need.fixed, k).is_some() { fixed_reward } else { 0.0 };
                let reward = if shared { 0.0 } else { reward };
                let risk = price(risk_price(problem, need, k));
                let cost = (tie_per_interval * k as f64 + risk - reward - posted) * weight;
                let running = need.running_w.get(k).map_or(0, |power| steps(*power)).clamp(0, max);
                let at = u64::from(problem.first.0) + k as u64;
                let mut start = match marginal.map(|last| (dearness(problem, need, k), k).cmp(&last)) {
                    Some(Ordering::Equal) => BASIC,
                    Some(Ordering::Greater) => AT_LOWER,
                    Some(Ordering::Less) | None => AT_UPPER,
                };
                let parts = [(running, STABLE * weight, Kind::Running), (max - running, 0.0, Kind::Need)];
                for (max, stable, kind) in parts.into_iter().filter(|(max, ..)| *max > 0) {
                    let column = self.column(max as f64, cost - stable, start, key(kind, id, at));
                    self.program.only_money((risk - reward) * weight);
                    self.load(k, need.group, 1.0, column);
                    if let Some(row) = row {
                        self.program.entry(row, weight);
                    }
                    self.enter_tapers(problem, need, k, &tapers);
                    self.need[i].push((k, column));
                    start = if start == AT_UPPER { AT_UPPER } else { AT_LOWER };
                }
            }
            if let Some(row) = row.filter(|_| shared) {
                let part = wanted as f64 / INTERVAL_S as f64 / SHARE_STEPS as f64;
                for s in 0..SHARE_STEPS {
                    let spread = SHARE_SPREAD * (SHARE_STEPS - s) as f64 / SHARE_STEPS as f64;
                    self.column(part, -reward * (1.0 + spread), AT_LOWER, key(Kind::Shared, id, s as u64));
                    self.program.entry(row, -1.0);
                }
            }
        }
    }

    /// A row for every interval in which the car may be near full: p(k) + slope · Σ_{j<k} p(j) ≤ what is left then.
    fn taper_rows(&mut self, problem: &Problem, need: &Need, id: u64) -> Vec<usize> {
        let Some(taper) = &need.taper else { return Vec::new() };
        if taper.full_wh - need.energy_wh >= taper.range_wh {
            return Vec::new();
        }
        let max = steps(need.max_w) as f64;
        let falls = 1.0 - taper.end_percent as f64 / 100.0;
        let full = taper.full_wh.0 as f64 / taper.range_wh.0 as f64;
        let most = max * (taper.end_percent as f64 / 100.0 + falls * full);
        let at = |k: usize| u64::from(problem.first.0) + k as u64;
        (need.from..need.until).map(|k| self.row(-UNBOUNDED, most, BASIC, key(Kind::Taper, id, at(k)))).collect()
    }

    fn enter_tapers(&mut self, problem: &Problem, need: &Need, k: usize, rows: &[usize]) {
        let Some(taper) = need.taper.as_ref().filter(|_| !rows.is_empty()) else { return };
        let falls = steps(need.max_w) as f64 * (1.0 - taper.end_percent as f64 / 100.0);
        // Quanta per Wh: 1 / 2.5.
        let slope = falls / (taper.range_wh.0 as f64 / 2.5) * weight(problem, k);
        self.program.entry(rows[k - need.from], 1.0);
        for row in &rows[k - need.from + 1..] {
            self.program.entry(*row, slope);
        }
    }

    fn add_pv(&mut self, problem: &Problem) {
        for (j, forecast) in problem.pv.iter().enumerate() {
            for (k, power) in forecast.power_w.iter().enumerate() {
                if steps(*power) > 0 {
                    // Where it is worth nothing either way, sun is used rather than curtailed.
                    let at = key(Kind::Pv, forecast.lane as u64, u64::from(problem.first.0) + k as u64);
                    let column = self.column(steps(*power) as f64, -TIE, AT_UPPER, at);
                    self.program.only_money(0.0);
                    self.load(k, forecast.group, -1.0, column);
                    self.pv[j].push((k, column));
                }
            }
        }
    }

    fn add_storages(&mut self, problem: &Problem, ways: &Ways) {
        let fixed_reward = FIXED_WEIGHT * highest_price(problem);
        let penalty = price(problem.shortfall_penalty);
        for (j, storage) in problem.storages.iter().enumerate() {
            let (least, most) = (content_min(storage) as f64, content_max(storage) as f64);
            let start = content_start(storage) as f64 / CONTENT_PER_QUANTUM;
            let at = |k: usize| u64::from(problem.first.0) + k as u64;
            let lane = storage.lane as u64;
            // The program counts content from the least on, so that every column begins at zero.
            let least = least / CONTENT_PER_QUANTUM;
            for k in 0..problem.horizon {
                let bound = if k == 0 { start - least } else { 0.0 };
                let row = self.row(bound, bound, AT_LOWER, key(Kind::Stored, lane, at(k)));
                self.stored[j].push(row);
            }
            let last = storage.stay.map_or(problem.horizon, |(_, until)| until).clamp(1, problem.horizon) - 1;
            let target = storage.target.as_ref().map(|target| {
                let wanted = (target.content_wh.0 as f64 / 2.5 - least).max(0.0);
                let row = self.row(wanted, UNBOUNDED, BASIC, key(Kind::Target, lane, 0));
                let reward = penalty * priority(target.priority_percent) as f64 / 100.0;
                self.column(wanted, reward, AT_UPPER, key(Kind::Target, lane, 1));
                self.program.entry(row, 1.0);
                row
            });
            for k in 0..problem.horizon {
                let max = storage_max(storage, k);
                let posted = fixed_at(&storage.fixed, k);
                let limit = |sign: i64| posted.map_or(max, |power| (sign * power).clamp(0, max)) as f64;
                let weight = weight(problem, k);
                let cost = TIE * weight - if posted.is_some() { fixed_reward } else { 0.0 };
                let way = ways.storage[j][k];
                let into_max = if way == Way::Out { 0.0 } else { limit(1) };
                let into = self.column(into_max, cost, AT_LOWER, key(Kind::Charge, lane, at(k)));
                self.program.only_money(0.0);
                self.load(k, storage.group, 1.0, into);
                self.program.entry(self.stored[j][k], -(storage.charge_percent as f64) / 100.0 * weight);
                let out_max = if way == Way::In { 0.0 } else { limit(-1) };
                let wear = price(storage.cycle_cost) * weight;
                let out = self.column(out_max, cost + wear, AT_LOWER, key(Kind::Discharge, lane, at(k)));
                self.program.only_money(wear);
                self.load(k, storage.group, -1.0, out);
                self.program.entry(self.stored[j][k], storage.discharge_percent as f64 / 100.0 * weight);
                let worth = if k == last { -price(storage.end_value) } else { 0.0 };
                let room = most / CONTENT_PER_QUANTUM - least;
                let content = self.column(room, worth, BASIC, key(Kind::Content, lane, at(k)));
                self.program.entry(self.stored[j][k], 1.0);
                if let Some(next) = self.stored[j].get(k + 1) {
                    self.program.entry(*next, -1.0);
                }
                if let Some(row) = target.filter(|_| k == last) {
                    self.program.entry(row, 1.0);
                }
                self.storage[j].push(Pair { into, out });
                self.content[j].push(content);
            }
        }
    }

    fn add_network(&mut self, problem: &Problem, network: &Network, ways: &Ways) {
        let so_far = problem.peak.as_ref().map(|peak| steps(peak.so_far_w));
        let mut above = std::mem::take(&mut self.above);
        above.clear();
        above.extend((0..problem.horizon).map(|k| self.add_interval(problem, network, k, ways.grid[k], so_far)));
        self.above = above;
        if let Some(peak) = &problem.peak {
            let column = self.column(UNBOUNDED, peak_price(peak), AT_LOWER, key(Kind::Peak, 0, 0));
            self.above.iter().flatten().for_each(|row| self.program.entry(*row, -1.0));
            self.peak = Some(column);
        }
    }

    /// The balances of interval `k`: one for the root and one for each group whose limits could bind. The row of the peak.
    fn add_interval(
        &mut self,
        problem: &Problem,
        network: &Network,
        k: usize,
        way: Way,
        so_far: Option<i64>,
    ) -> Option<usize> {
        let mut reach = std::mem::take(&mut self.reach);
        reach_at(problem, network, k, &mut reach);
        let groups = &problem.groups;
        let at = u64::from(problem.first.0) + k as u64;
        // Row of each group: its own, or its parent's.
        let mut row_of = std::mem::take(&mut self.balance[k]);
        let binds = |g: usize| reach[g].most > network.import[g][k] || reach[g].least < -network.export[g];
        for (g, group) in groups.iter().enumerate() {
            match group.parent {
                Some(parent) if !binds(g) => row_of.push(row_of[parent]),
                _ => row_of.push(self.row(0.0, 0.0, AT_LOWER, key(Kind::Balance, g as u64, at))),
            }
        }
        for (g, base) in network.base.iter().enumerate() {
            self.program.row_lower[row_of[g]] += base[k] as f64;
            self.program.row_upper[row_of[g]] += base[k] as f64;
        }
        for (g, parent) in groups.iter().enumerate().filter_map(|(g, group)| Some((g, group.parent?))) {
            if row_of[g] != row_of[parent] {
                let flow = self.column(network.import[g][k] as f64, 0.0, BASIC, key(Kind::Flow, g as u64, at));
                self.program.lower[flow] = -network.export[g] as f64;
                self.program.entry(row_of[g], 1.0);
                self.program.entry(row_of[parent], -1.0);
            }
        }
        // The limits themselves and not what is within reach: a bound that only repeats others blurs the duals.
        let limits = (network.import[0][k], network.export[0]);
        let weight = weight(problem, k);
        let (import, feed_in) = (price(problem.import_price[k]) * weight, price(problem.feed_in_price[k]) * weight);
        let (import, feed_in) = match way {
            Way::In => (import, import),
            Way::Out => (feed_in, feed_in),
            Way::Free | Way::Open => (import, feed_in),
        };
        let above = so_far
            .filter(|so_far| reach[0].most > *so_far)
            .map(|so_far| self.row(-UNBOUNDED, so_far as f64, BASIC, key(Kind::Peak, 1, at)));
        let within = (limits.0.min(reach[0].most).max(0) as f64, limits.1.min(-reach[0].least).max(0) as f64);
        let search = (way == Way::Open && within.0 > 0.0 && within.1 > 0.0).then(|| {
            let rows = (self.row(-UNBOUNDED, 0.0, BASIC, 0), self.row(-UNBOUNDED, within.1, BASIC, 0));
            let inward = self.column(1.0, 0.0, AT_UPPER, 0);
            self.program.binary.push(inward);
            self.program.entry(rows.0, -within.0);
            self.program.entry(rows.1, within.1);
            rows
        });
        let closed = |way: Way, side: f64| if way == Way::Open && side <= 0.0 { 0.0 } else { 1.0 };
        let kept = reserved(problem, k).min(limits.0);
        let import_column = |this: &mut Self, most: i64, cost: f64, start: c_int, kind: Kind| {
            let column = this.column(most as f64 * closed(way, within.0), cost, start, key(kind, 0, at));
            this.program.entry(row_of[0], 1.0);
            above.iter().for_each(|row| this.program.entry(*row, 1.0));
            search.iter().for_each(|rows| this.program.entry(rows.0, 1.0));
            column
        };
        let into = import_column(self, limits.0 - kept, import, BASIC, Kind::Import);
        let dearer = problem.reserve.as_ref().map_or(0.0, |reserve| price(reserve.price)) * weight;
        let reserve = (kept > 0).then(|| import_column(self, kept, import + dearer, AT_LOWER, Kind::Reserved));
        if reserve.is_some() {
            self.program.only_money(import);
        }
        self.reserved.push(reserve);
        let out_max = limits.1 as f64 * closed(way, within.1);
        let out = self.column(out_max, -feed_in, AT_LOWER, key(Kind::Export, 0, at));
        self.program.entry(row_of[0], -1.0);
        search.iter().for_each(|rows| self.program.entry(rows.1, 1.0));
        self.grid.push(Pair { into, out });
        self.balance[k] = row_of;
        self.reach = reach;
        above
    }
}

/// Steps of the import limit that are kept in interval `k`.
pub(super) fn reserved(problem: &Problem, k: usize) -> i64 {
    problem.reserve.as_ref().map_or(0, |reserve| steps(reserve.power_w[k]))
}

/// Cost of a step of peak: a step held for an interval at 1000 micro per kWh costs 2.5 micro, a step of peak a hundredth
/// of its kW.
pub(super) fn peak_price(peak: &Peak) -> f64 {
    peak.price.0 as f64 / 100.0 / 2.5
}

/// Length of interval `k` in intervals.
pub(super) fn weight(problem: &Problem, k: usize) -> f64 {
    if k == 0 { seconds(problem, 0) as f64 / INTERVAL_S as f64 } else { 1.0 }
}

/// What only prices say of interval `k`, micro per kWh.
fn dearness(problem: &Problem, need: &Need, k: usize) -> i64 {
    problem.import_price[k].0 + risk_price(problem, need, k).0
}

/// The dearest interval that `need` would use if only prices counted, by (price, interval); `None` where it needs them all.
/// `order` is where they are sorted.
fn marginal(problem: &Problem, need: &Need, wanted: i64, order: &mut Vec<(i64, usize)>) -> Option<(i64, usize)> {
    order.clear();
    order.extend((need.from..need.until).map(|k| (dearness(problem, need, k), k)));
    order.sort_unstable();
    let mut left = wanted;
    order.iter().copied().find(|(_, k)| {
        let most = need_max(problem, need, *k) * seconds(problem, *k);
        left -= most;
        most > 0 && left <= 0
    })
}

/// By group, in interval `k`.
fn reach_at(problem: &Problem, network: &Network, k: usize, reach: &mut Vec<Reach>) {
    reach.clear();
    reach.extend(network.base.iter().map(|base| Reach { most: base[k], least: base[k] }));
    for storage in &problem.storages {
        reach[storage.group].most += storage_max(storage, k);
        reach[storage.group].least -= storage_max(storage, k);
    }
    for need in &problem.needs {
        reach[need.group].most += need_max(problem, need, k);
    }
    for forecast in &problem.pv {
        reach[forecast.group].least -= steps(forecast.power_w[k]);
    }
    for (g, group) in problem.groups.iter().enumerate().rev() {
        if let Some(parent) = group.parent {
            reach[parent].most += reach[g].most.min(network.import[g][k]);
            reach[parent].least += reach[g].least.max(-network.export[g]);
        }
    }
}
