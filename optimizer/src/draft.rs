//! A schedule in the making: integers in whole steps of 10 W, with the net power of every group kept up to date.
//!
//! Energy is counted in *quanta*: one step held for one interval, 10 W × 15 min = 2.5 Wh. A battery's content is
//! counted in hundredths of a quantum, so that its losses in percent are exact.
//!
//! Whatever is put into a draft, [`Draft::settle`] brings it inside every limit by moving powers towards zero only.
//! That always ends, because with every asset at zero each group carries its base load, which its effective limit allows.

use crate::problem::{Need, Problem};
use crate::schedule::{Schedule, Status};
use crate::units::{Micro, MicroPerKwh, POWER_STEP_W, WattHours, Watts};

/// Hundredths of a quantum per Wh: 1 / 2.5 Wh · 100.
const CONTENT_PER_WH: i64 = 40;

/// Whole steps of a power, rounded towards zero.
pub(crate) fn steps(power: Watts) -> i64 {
    power.0 / POWER_STEP_W
}

/// Whole quanta of an energy, rounded down: an energy is never exceeded.
pub(crate) fn quanta(energy: WattHours) -> i64 {
    energy.0.max(0) * CONTENT_PER_WH / 100
}

/// The power that an interval of a need or a battery was fixed to by somebody else.
pub(crate) fn fixed_at(fixed: &[(usize, Watts)], k: usize) -> Option<i64> {
    fixed.iter().find(|(at, _)| *at == k).map(|(_, power)| steps(*power))
}

/// Most steps that a need can take in interval `k`, leaving limits aside.
pub(crate) fn need_max(need: &Need, k: usize) -> i64 {
    if k < need.from || k >= need.until {
        return 0;
    }
    let most = steps(need.max_w).min(quanta(need.energy_wh));
    fixed_at(&need.fixed, k).map_or(most, |power| power.clamp(0, most))
}

/// See the module.
pub(crate) struct Draft<'a> {
    pub(crate) problem: &'a Problem,
    /// Power by need and interval.
    pub(crate) need: Vec<Vec<i64>>,
    /// Sum of each row of `need`: quanta given.
    given: Vec<i64>,
    /// Power fed by PV inverter and interval, positive.
    pub(crate) pv: Vec<Vec<i64>>,
    /// Power by battery and interval, signed.
    pub(crate) storage: Vec<Vec<i64>>,
    /// Net power by group and interval.
    net: Vec<Vec<i64>>,
    /// Effective import limit by group and interval.
    import: Vec<Vec<i64>>,
    /// Export limit by group.
    export: Vec<i64>,
    /// By group: itself and every group above it.
    path: Vec<Vec<usize>>,
}

impl<'a> Draft<'a> {
    /// Every asset at zero, base loads as forecast. The problem must be [`valid`](crate::validate::validate).
    pub(crate) fn new(problem: &'a Problem) -> Self {
        let rows = |count: usize| vec![vec![0; problem.horizon]; count];
        let path = paths(problem);
        let mut net = rows(problem.groups.len());
        for base in &problem.base_loads {
            for &group in &path[base.group] {
                for (sum, power) in net[group].iter_mut().zip(&base.power_w) {
                    *sum += steps(power.ceil_to_step());
                }
            }
        }
        let import = problem.groups.iter().zip(&net);
        let import = import.map(|(group, base)| base.iter().map(|b| steps(group.import_w).max(*b)).collect()).collect();
        Self {
            problem,
            need: rows(problem.needs.len()),
            given: vec![0; problem.needs.len()],
            pv: rows(problem.pv.len()),
            storage: rows(problem.storages.len()),
            net,
            import,
            export: problem.groups.iter().map(|group| steps(group.export_w)).collect(),
            path,
        }
    }

    /// Most net power that `group` may draw in interval `k`.
    pub(crate) fn import_limit(&self, group: usize, k: usize) -> i64 {
        self.import[group][k]
    }

    /// Most net power that `group` may feed back.
    pub(crate) fn export_limit(&self, group: usize) -> i64 {
        self.export[group]
    }

    pub(crate) fn set_need(&mut self, i: usize, k: usize, power: i64) {
        let change = power - std::mem::replace(&mut self.need[i][k], power);
        self.given[i] += change;
        self.shift(self.problem.needs[i].group, k, change);
    }

    pub(crate) fn set_pv(&mut self, j: usize, k: usize, power: i64) {
        let change = power - std::mem::replace(&mut self.pv[j][k], power);
        self.shift(self.problem.pv[j].group, k, -change);
    }

    pub(crate) fn set_storage(&mut self, j: usize, k: usize, power: i64) {
        let change = power - std::mem::replace(&mut self.storage[j][k], power);
        self.shift(self.problem.storages[j].group, k, change);
    }

    fn shift(&mut self, group: usize, k: usize, change: i64) {
        for &above in &self.path[group] {
            self.net[above][k] += change;
        }
    }

    /// How much more may be drawn at `group`.
    pub(crate) fn import_room(&self, group: usize, k: usize) -> i64 {
        self.path[group].iter().map(|&g| self.import[g][k] - self.net[g][k]).min().unwrap_or(0).max(0)
    }

    /// How much more may be fed at `group`.
    pub(crate) fn export_room(&self, group: usize, k: usize) -> i64 {
        self.path[group].iter().map(|&g| self.net[g][k] + self.export[g]).min().unwrap_or(0).max(0)
    }

    /// Quanta that need `i` still lacks.
    pub(crate) fn missing(&self, i: usize) -> i64 {
        quanta(self.problem.needs[i].energy_wh) - self.given[i]
    }

    /// All needs by laxity at interval 0, least first.
    pub(crate) fn by_laxity(&self) -> Vec<usize> {
        self.sorted_by_laxity(0, (0..self.problem.needs.len()).collect())
    }

    /// `needs` by laxity at interval `k`, least first: intervals left − energy missing / most power.
    pub(crate) fn sorted_by_laxity(&self, k: usize, needs: Vec<usize>) -> Vec<usize> {
        let laxity = |i: usize| {
            let need = &self.problem.needs[i];
            let max = steps(need.max_w).max(1);
            let left = need.until.saturating_sub(k.max(need.from)) as i64;
            (i, i128::from(left * max - self.missing(i)), i128::from(max))
        };
        let mut order: Vec<_> = needs.into_iter().map(laxity).collect();
        // a/b < c/d as a·d < c·b: exact, and b, d > 0.
        order.sort_by(|&(i, a, b), &(j, c, d)| (a * d).cmp(&(c * b)).then(i.cmp(&j)));
        order.into_iter().map(|(i, ..)| i).collect()
    }

    /// Brings the draft inside all limits, interval by interval, because a battery's content follows from what came
    /// before. `cut_first` says in which order needs give way.
    pub(crate) fn settle(&mut self, cut_first: &[usize]) {
        let mut content: Vec<i64> = self.problem.storages.iter().map(|s| s.content_wh.0 * CONTENT_PER_WH).collect();
        for k in 0..self.problem.horizon {
            for (j, content) in content.iter().enumerate() {
                let power = clip_to_content(self.problem, j, self.storage[j][k], *content);
                self.set_storage(j, k, power);
            }
            self.settle_interval(k, cut_first);
            for (j, content) in content.iter_mut().enumerate() {
                *content += content_change(self.problem, j, self.storage[j][k]);
            }
        }
    }

    /// Brings interval `k` inside all limits by moving powers towards zero.
    pub(crate) fn settle_interval(&mut self, k: usize, cut_first: &[usize]) {
        let mut changed = true;
        while changed {
            changed = false;
            for group in (0..self.problem.groups.len()).rev() {
                let over = self.net[group][k] - self.import[group][k];
                if over > 0 {
                    changed |= self.draw_less(group, k, over, cut_first);
                }
                let under = -self.export[group] - self.net[group][k];
                if under > 0 {
                    changed |= self.feed_less(group, k, under);
                }
            }
        }
    }

    /// Takes `over` steps from what draws behind `group`: first batteries, then needs; what somebody else posted last.
    fn draw_less(&mut self, group: usize, k: usize, mut over: i64, cut_first: &[usize]) -> bool {
        let before = over;
        for spare_fixed in [true, false] {
            for j in 0..self.storage.len() {
                let storage = &self.problem.storages[j];
                let spared = spare_fixed && fixed_at(&storage.fixed, k).is_some();
                if !spared && self.is_behind(storage.group, group) {
                    let cut = self.storage[j][k].clamp(0, over);
                    self.set_storage(j, k, self.storage[j][k] - cut);
                    over -= cut;
                }
            }
            for &i in cut_first {
                let need = &self.problem.needs[i];
                let spared = spare_fixed && fixed_at(&need.fixed, k).is_some();
                if !spared && self.is_behind(need.group, group) {
                    let power = self.need[i][k];
                    let left = self.at_least_minimum(i, k, power - over.clamp(0, power));
                    self.set_need(i, k, left);
                    over = (over - (power - left)).max(0);
                }
            }
        }
        over < before
    }

    /// Takes `under` steps from what feeds behind `group`: first PV, then batteries; what somebody else posted last.
    fn feed_less(&mut self, group: usize, k: usize, mut under: i64) -> bool {
        let before = under;
        for j in 0..self.pv.len() {
            if self.is_behind(self.problem.pv[j].group, group) {
                let cut = self.pv[j][k].min(under);
                self.set_pv(j, k, self.pv[j][k] - cut);
                under -= cut;
            }
        }
        for spare_fixed in [true, false] {
            for j in 0..self.storage.len() {
                let storage = &self.problem.storages[j];
                let spared = spare_fixed && fixed_at(&storage.fixed, k).is_some();
                if !spared && self.is_behind(storage.group, group) {
                    let cut = (-self.storage[j][k]).clamp(0, under);
                    self.set_storage(j, k, self.storage[j][k] + cut);
                    under -= cut;
                }
            }
        }
        under < before
    }

    fn is_behind(&self, group: usize, above: usize) -> bool {
        self.path[group].contains(&above)
    }

    /// `power`, or zero where a car would stop at it: the minimum binds in the first interval, where it is acted on.
    fn at_least_minimum(&self, i: usize, k: usize, power: i64) -> i64 {
        let below = k == 0 && power < self.minimum(i) && fixed_at(&self.problem.needs[i].fixed, 0).is_none();
        if below { 0 } else { power }
    }

    /// Least steps at which the car of need `i` charges at all, rounded up.
    pub(crate) fn minimum(&self, i: usize) -> i64 {
        steps(self.problem.needs[i].min_w.ceil_to_step())
    }

    /// Gives needs what rounding took from them: least laxity first, each in the intervals `cheapest` names for it,
    /// as far as the limits leave room. Drawing more never breaks a reverse-flow limit.
    pub(crate) fn refill(&mut self, order: &[usize], cheapest: impl Fn(usize) -> Vec<usize>) {
        for &i in order {
            if self.missing(i) <= 0 {
                continue;
            }
            for k in cheapest(i) {
                let need = &self.problem.needs[i];
                let startable = k > 0 || self.need[i][0] >= self.minimum(i);
                if startable && fixed_at(&need.fixed, k).is_none() {
                    let more = (need_max(need, k) - self.need[i][k]).min(self.missing(i)).max(0);
                    let more = more.min(self.import_room(need.group, k));
                    self.set_need(i, k, self.need[i][k] + more);
                }
            }
        }
    }

    /// Raises PV as far as the reverse-flow limits allow.
    pub(crate) fn raise_pv(&mut self, k: usize) {
        for j in 0..self.pv.len() {
            let forecast = &self.problem.pv[j];
            let more = (steps(forecast.power_w[k]) - self.pv[j][k]).min(self.export_room(forecast.group, k)).max(0);
            self.set_pv(j, k, self.pv[j][k] + more);
        }
    }

    /// The schedule that the draft has become.
    pub(crate) fn finish(self, node_price: Vec<Vec<MicroPerKwh>>, status: Status) -> Schedule {
        Schedule {
            site: self.problem.site.clone(),
            first: self.problem.first,
            power_w: self.lanes(),
            shortfall_wh: self.shortfalls(),
            cost: self.cost(),
            node_price,
            status,
        }
    }

    fn lanes(&self) -> Vec<Vec<Watts>> {
        let problem = self.problem;
        let mut lanes = vec![vec![Watts::ZERO; problem.horizon]; problem.lanes];
        let needs = problem.needs.iter().map(|n| n.lane).zip(&self.need);
        let storages = problem.storages.iter().map(|s| s.lane).zip(&self.storage);
        for (lane, row) in needs.chain(storages) {
            for (cell, power) in lanes[lane].iter_mut().zip(row) {
                cell.0 += power * POWER_STEP_W;
            }
        }
        for (forecast, row) in problem.pv.iter().zip(&self.pv) {
            lanes[forecast.lane] = row.iter().map(|power| Watts(-power * POWER_STEP_W)).collect();
        }
        for base in &problem.base_loads {
            lanes[base.lane] = base.power_w.iter().map(|power| power.ceil_to_step()).collect();
        }
        lanes
    }

    /// Whole quanta missing, in Wh, rounded down; what is less than one quantum cannot be planned and is no shortfall.
    fn shortfalls(&self) -> Vec<(String, WattHours)> {
        let missing = (0..self.need.len()).filter(|&i| self.missing(i) > 0);
        missing
            .map(|i| {
                let quanta_wh = WattHours(self.missing(i) * 100 / CONTENT_PER_WH);
                (self.problem.needs[i].session.clone(), quanta_wh)
            })
            .collect()
    }

    /// floor(Σ (import · price − export · feed-in price)): one quantum at 1 micro per kWh is 1/400 micro.
    fn cost(&self) -> Micro {
        let problem = self.problem;
        let prices = problem.import_price.iter().zip(&problem.feed_in_price);
        let parts = self.net.first().into_iter().flatten().zip(prices);
        let sum: i128 = parts
            .map(|(net, (import, feed_in))| i128::from(*net) * i128::from(if *net > 0 { import.0 } else { feed_in.0 }))
            .sum();
        let floored = sum.div_euclid(400);
        Micro(i64::try_from(floored).unwrap_or(if floored > 0 { i64::MAX } else { i64::MIN }))
    }
}

/// By group: itself and every group above it.
fn paths(problem: &Problem) -> Vec<Vec<usize>> {
    let path = |group| std::iter::successors(Some(group), |&g: &usize| problem.groups[g].parent).collect();
    (0..problem.groups.len()).map(path).collect()
}

/// Change of content by one interval at `power` steps, hundredths of a quantum.
pub(crate) fn content_change(problem: &Problem, j: usize, power: i64) -> i64 {
    let storage = &problem.storages[j];
    power * if power > 0 { storage.charge_percent } else { storage.discharge_percent }
}

/// Largest content; a battery that starts above its capacity may stay there.
pub(crate) fn content_max(problem: &Problem, j: usize) -> i64 {
    let storage = &problem.storages[j];
    storage.capacity_wh.max(storage.content_wh).0 * CONTENT_PER_WH
}

/// Content at the start of the horizon, hundredths of a quantum.
pub(crate) fn content_start(problem: &Problem, j: usize) -> i64 {
    problem.storages[j].content_wh.0 * CONTENT_PER_WH
}

/// `power` as far as the battery has room for it or can give it.
fn clip_to_content(problem: &Problem, j: usize, power: i64, content: i64) -> i64 {
    let storage = &problem.storages[j];
    let max = steps(storage.max_w);
    // A percentage of zero moves no content, so it sets no limit.
    let most = (content_max(problem, j) - content).checked_div(storage.charge_percent).unwrap_or(max);
    let least = -content.checked_div(storage.discharge_percent).unwrap_or(max);
    power.clamp(least.clamp(-max, 0), most.clamp(0, max))
}
