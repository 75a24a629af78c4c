//! A schedule in the making: whole steps of 10 W, with the net power of every group and row kept up to date.
//!
//! Whatever is put into a draft, [`Draft::settle`] brings it inside every limit by moving powers towards zero only.
//! That always ends, because with every asset at zero each group and row carries its base load, which its effective
//! limit allows. A little long, because all that moves a power must keep the same sums up to date.

use crate::amounts::{
    STEP_SECONDS_PER_WH, allowed_below, clip_to_content, content_change, content_start, content_wh, energy, fixed_at,
    need_max, seconds, served_until, steps, taper_max,
};
use crate::network::Network;
use crate::problem::Problem;
use crate::schedule::{Cause, Schedule, Shortfall, Status};
use crate::units::{INTERVAL_S, Micro, MicroPerKwh, POWER_STEP_W, WattHours, Watts};

/// See the module.
pub(crate) struct Draft<'a> {
    pub(crate) problem: &'a Problem,
    pub(crate) network: &'a Network,
    /// Power by need and interval.
    pub(crate) need: Vec<Vec<i64>>,
    /// Step-seconds given to each need.
    given: Vec<i64>,
    /// Power fed by PV inverter and interval, positive.
    pub(crate) pv: Vec<Vec<i64>>,
    /// Power by battery and interval, signed.
    pub(crate) storage: Vec<Vec<i64>>,
    /// Net power by group and interval.
    net: Vec<Vec<i64>>,
    /// Value of each active row by interval, coefficient × steps.
    row: Vec<Vec<i64>>,
    /// What additions may not lift the import above: the planned peak.
    pub(crate) peak: i64,
}

impl<'a> Draft<'a> {
    /// Every asset at zero, base loads as forecast.
    pub(crate) fn new(problem: &'a Problem, network: &'a Network) -> Self {
        let zeros = |count: usize| vec![vec![0; problem.horizon]; count];
        let mut draft = Self {
            problem,
            network,
            need: zeros(problem.needs.len()),
            given: vec![0; problem.needs.len()],
            pv: zeros(problem.pv.len()),
            storage: zeros(problem.storages.len()),
            net: zeros(problem.groups.len()),
            row: zeros(network.rows.len()),
            peak: i64::MAX,
        };
        for (group, row) in network.base.iter().enumerate() {
            row.iter().enumerate().for_each(|(k, power)| draft.shift(group, k, *power));
        }
        draft
    }

    pub(crate) fn set_need(&mut self, i: usize, k: usize, power: i64) {
        let change = power - std::mem::replace(&mut self.need[i][k], power);
        self.given[i] += change * seconds(self.problem, k);
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
        if change == 0 {
            return;
        }
        for &above in &self.network.path[group] {
            self.net[above][k] += change;
        }
        for &(row, coefficient) in &self.network.rows_of[group] {
            self.row[row][k] += coefficient * change;
        }
    }

    /// How much more may be drawn at `group`.
    pub(crate) fn import_room(&self, group: usize, k: usize) -> i64 {
        let path = self.network.path[group].iter().map(|&g| self.network.import[g][k] - self.net[g][k]);
        let rows = self.network.rows_of[group].iter().filter(|(_, coefficient)| *coefficient > 0);
        let rows = rows.map(|&(row, coefficient)| (self.network.rows[row].bound[k] - self.row[row][k]) / coefficient);
        path.chain(rows).min().unwrap_or(0).max(0)
    }

    /// As [`Self::import_room`], and within the planned peak.
    pub(crate) fn spare_room(&self, group: usize, k: usize) -> i64 {
        self.import_room(group, k).min(self.peak.saturating_sub(self.net[0][k])).max(0)
    }

    /// How much more may be fed at `group`.
    pub(crate) fn export_room(&self, group: usize, k: usize) -> i64 {
        let path = self.network.path[group].iter().map(|&g| self.net[g][k] + self.network.export[g]);
        let rows = self.network.rows_of[group].iter().filter(|(_, coefficient)| *coefficient < 0);
        let rows = rows.map(|&(row, coefficient)| (self.network.rows[row].bound[k] - self.row[row][k]) / -coefficient);
        path.chain(rows).min().unwrap_or(0).max(0)
    }

    /// Step-seconds that need `i` still lacks.
    pub(crate) fn missing(&self, i: usize) -> i64 {
        energy(self.problem.needs[i].energy_wh) - self.given[i]
    }

    /// What need `i` still lacks, as power in interval `k`.
    pub(crate) fn missing_power(&self, i: usize, k: usize) -> i64 {
        self.missing(i) / seconds(self.problem, k)
    }

    /// Step-seconds that need `i` gets after the first interval.
    pub(crate) fn later(&self, i: usize) -> i64 {
        self.need[i].iter().skip(1).sum::<i64>() * INTERVAL_S
    }

    /// All needs by laxity at interval 0, least first.
    pub(crate) fn by_laxity(&self) -> Vec<usize> {
        self.sorted_by_laxity(0, (0..self.problem.needs.len()).collect())
    }

    /// `needs` by laxity at interval `k`, least first: time left until the car may have gone − energy missing / most power.
    pub(crate) fn sorted_by_laxity(&self, k: usize, needs: Vec<usize>) -> Vec<usize> {
        let laxity = |i: usize| {
            let need = &self.problem.needs[i];
            let max = steps(need.max_w).max(1);
            let first = k.max(need.from);
            let left = served_until(need).saturating_sub(first) as i64 * INTERVAL_S;
            let left = if first == 0 && left > 0 { left - self.problem.elapsed_s } else { left };
            (i, i128::from(left * max - self.missing(i)), i128::from(max))
        };
        let mut order: Vec<_> = needs.into_iter().map(laxity).collect();
        // a/b < c/d as a·d < c·b: exact, and b, d > 0.
        order.sort_by(|&(i, a, b), &(j, c, d)| (a * d).cmp(&(c * b)).then(i.cmp(&j)));
        order.into_iter().map(|(i, ..)| i).collect()
    }

    /// Brings the draft inside all limits, interval by interval, because a battery's content and a car's taper follow
    /// from what came before. `cut_first` says in which order needs give way.
    pub(crate) fn settle(&mut self, cut_first: &[usize]) {
        let mut content: Vec<i64> = self.problem.storages.iter().map(content_start).collect();
        let mut given = vec![0; self.need.len()];
        for k in 0..self.problem.horizon {
            for (j, content) in content.iter().enumerate() {
                let power = clip_to_content(self.problem, j, k, self.storage[j][k], *content);
                self.set_storage(j, k, power);
            }
            self.clip_to_taper(k, &given);
            self.settle_interval(k, cut_first);
            for (j, content) in content.iter_mut().enumerate() {
                *content += content_change(self.problem, j, k, self.storage[j][k]);
            }
            for (given, row) in given.iter_mut().zip(&self.need) {
                *given += row[k] * seconds(self.problem, k);
            }
        }
    }

    /// Cuts tapering cars to what they take after `given`; what the EVSE can hold at least they may be offered.
    fn clip_to_taper(&mut self, k: usize, given: &[i64]) {
        for (i, need) in self.problem.needs.iter().enumerate() {
            let Some(taper) = &need.taper else { continue };
            let most = taper_max(need, taper, given[i]).max(crate::amounts::smallest(need).unwrap_or(0));
            if self.need[i][k] > most {
                self.set_need(i, k, self.allowed(i, k, most));
            }
        }
    }

    /// Brings interval `k` inside all limits by moving powers towards zero.
    fn settle_interval(&mut self, k: usize, cut_first: &[usize]) {
        let mut changed = true;
        while changed {
            changed = false;
            let network = self.network;
            for group in (0..self.problem.groups.len()).rev() {
                let behind = |at: usize| i64::from(network.is_behind(at, group));
                let over = self.net[group][k] - network.import[group][k];
                if over > 0 {
                    changed |= self.draw_less(k, over, cut_first, &behind);
                }
                let under = -network.export[group] - self.net[group][k];
                if under > 0 {
                    changed |= self.feed_less(k, under, &behind);
                }
            }
            for row in 0..network.rows.len() {
                let share = |at: usize, sign: i64| {
                    let of = network.rows_of[at].iter().find(|(r, _)| *r == row);
                    of.map_or(0, |(_, coefficient)| (sign * coefficient).max(0))
                };
                let over = self.row[row][k] - network.rows[row].bound[k];
                if over > 0 {
                    changed |= self.draw_less(k, over, cut_first, &|at| share(at, 1));
                }
                let over = self.row[row][k] - network.rows[row].bound[k];
                if over > 0 {
                    changed |= self.feed_less(k, over, &|at| share(at, -1));
                }
            }
        }
    }

    /// Takes `over` from what draws, weighted by the `share` that a step in a group has in it: first batteries, then
    /// needs; what somebody else posted last. First as far as no reverse-flow limit forbids: there PV would have to give way
    /// too, and nothing would be gained. Whether anything was cut.
    fn draw_less(&mut self, k: usize, mut over: i64, cut_first: &[usize], share: &dyn Fn(usize) -> i64) -> bool {
        let before = over;
        for (careful, spare_fixed) in [(true, true), (false, true), (false, false)] {
            for j in 0..self.storage.len() {
                let storage = &self.problem.storages[j];
                let spared = spare_fixed && fixed_at(&storage.fixed, k).is_some();
                let weight = share(storage.group);
                if !spared && weight > 0 && over > 0 {
                    let most = if careful { self.export_room(storage.group, k) } else { i64::MAX };
                    let cut = self.storage[j][k].clamp(0, ceil_div(over, weight).min(most));
                    self.set_storage(j, k, self.storage[j][k] - cut);
                    over -= cut * weight;
                }
            }
            for &i in cut_first {
                let need = &self.problem.needs[i];
                let spared = spare_fixed && fixed_at(&need.fixed, k).is_some();
                let weight = share(need.group);
                if !spared && weight > 0 && over > 0 {
                    let power = self.need[i][k];
                    let most = if careful { self.export_room(need.group, k) } else { i64::MAX };
                    let left = self.allowed(i, k, power - ceil_div(over, weight).min(most).clamp(0, power));
                    self.set_need(i, k, left);
                    over -= (power - left) * weight;
                }
            }
        }
        over < before
    }

    /// Takes `under` from what feeds: first PV, then batteries; what somebody else posted last. First as far as no limit on
    /// what is drawn forbids. Whether anything was cut.
    fn feed_less(&mut self, k: usize, mut under: i64, share: &dyn Fn(usize) -> i64) -> bool {
        let before = under;
        for careful in [true, false] {
            for j in 0..self.pv.len() {
                let group = self.problem.pv[j].group;
                let weight = share(group);
                if weight > 0 && under > 0 {
                    let most = if careful { self.import_room(group, k) } else { i64::MAX };
                    let cut = self.pv[j][k].min(ceil_div(under, weight)).min(most);
                    self.set_pv(j, k, self.pv[j][k] - cut);
                    under -= cut * weight;
                }
            }
        }
        for spare_fixed in [true, false] {
            for j in 0..self.storage.len() {
                let storage = &self.problem.storages[j];
                let spared = spare_fixed && fixed_at(&storage.fixed, k).is_some();
                let weight = share(storage.group);
                if !spared && weight > 0 && under > 0 {
                    let cut = (-self.storage[j][k]).clamp(0, ceil_div(under, weight));
                    self.set_storage(j, k, self.storage[j][k] + cut);
                    under -= cut * weight;
                }
            }
        }
        under < before
    }

    /// `power`, or the next power below it that the EVSE can hold: that binds in the first interval, where it is acted on.
    pub(crate) fn allowed(&self, i: usize, k: usize, power: i64) -> i64 {
        let need = &self.problem.needs[i];
        let free = k > 0 || fixed_at(&need.fixed, 0).is_some();
        if free { power } else { allowed_below(need, power) }
    }

    /// Gives needs what rounding took from them: least laxity first, each in the intervals `cheapest` names for it,
    /// as far as limits and planned peak leave room. Drawing more never breaks a reverse-flow limit; rows with negative
    /// coefficients only gain.
    pub(crate) fn refill(&mut self, order: &[usize], cheapest: impl Fn(usize) -> Vec<usize>) {
        for &i in order {
            let need = &self.problem.needs[i];
            if self.missing(i) < INTERVAL_S || need.taper.is_some() {
                continue;
            }
            for k in cheapest(i) {
                let power = self.need[i][k];
                if (k == 0 && power == 0) || fixed_at(&need.fixed, k).is_some() {
                    continue;
                }
                let more = (need_max(self.problem, need, k) - power).min(self.missing_power(i, k)).max(0);
                let target = power + more.min(self.spare_room(need.group, k));
                let target = self.allowed(i, k, target);
                if target > power {
                    self.set_need(i, k, target);
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
            shortfalls: self.shortfalls(),
            cost: self.cost(),
            peak_w: Watts(self.net[0].iter().copied().max().unwrap_or(0).max(0) * POWER_STEP_W),
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
    fn shortfalls(&self) -> Vec<Shortfall> {
        let problem = self.problem;
        let mut found = Vec::new();
        for (i, need) in problem.needs.iter().enumerate().filter(|(i, _)| self.missing(*i) >= INTERVAL_S) {
            let energy_wh = WattHours(self.missing(i) / INTERVAL_S * INTERVAL_S / STEP_SECONDS_PER_WH);
            found.push(Shortfall { session: need.session.clone(), energy_wh, cause: self.cause(i) });
        }
        for (j, storage) in problem.storages.iter().enumerate() {
            let Some(target) = &storage.target else { continue };
            let change = |(k, power): (usize, &i64)| content_change(problem, j, k, *power);
            let end = content_start(storage) + self.storage[j].iter().enumerate().map(change).sum::<i64>();
            let missing = target.content_wh - content_wh(end);
            if missing > WattHours::ZERO {
                let cause = if self.storage_could(j, target.content_wh) { Cause::Limit } else { Cause::Time };
                found.push(Shortfall { session: target.session.clone(), energy_wh: missing, cause });
            }
        }
        found
    }

    /// What keeps need `i` short.
    fn cause(&self, i: usize) -> Cause {
        let (problem, need) = (self.problem, &self.problem.needs[i]);
        let wanted = energy(need.energy_wh);
        let stay: i64 = (need.from..need.until).map(|k| seconds(problem, k)).sum();
        if wanted > steps(need.max_w) * stay {
            return if wanted > steps(need.car_w) * stay { Cause::Time } else { Cause::Rating };
        }
        let room = |k: usize| need_max(problem, need, k) > self.need[i][k] && self.import_room(need.group, k) > 0;
        let refused = (need.from..need.until).any(room);
        if refused { Cause::Price } else { Cause::Limit }
    }

    fn storage_could(&self, j: usize, content: WattHours) -> bool {
        let problem = self.problem;
        let storage = &problem.storages[j];
        let full = |k: usize| content_change(problem, j, k, crate::amounts::storage_max(storage, k));
        content_wh(content_start(storage) + (0..problem.horizon).map(full).sum::<i64>()) >= content
    }

    /// floor(Σ (import · price − export · feed-in price)): a step-second at 1 micro per kWh is 1/360,000 micro.
    fn cost(&self) -> Micro {
        let problem = self.problem;
        let prices = problem.import_price.iter().zip(&problem.feed_in_price).enumerate();
        let parts = self.net.first().into_iter().flatten().zip(prices);
        let sum: i128 = parts
            .map(|(net, (k, (import, feed_in)))| {
                let price = if *net > 0 { import.0 } else { feed_in.0 };
                i128::from(*net) * i128::from(seconds(problem, k)) * i128::from(price)
            })
            .sum();
        let floored = sum.div_euclid(i128::from(1000 * STEP_SECONDS_PER_WH));
        Micro(i64::try_from(floored).unwrap_or(if floored > 0 { i64::MAX } else { i64::MIN }))
    }
}

/// ⌈a / b⌉ for b > 0.
fn ceil_div(a: i64, b: i64) -> i64 {
    -(-a).div_euclid(b)
}
