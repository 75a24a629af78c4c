//! What plans took their batteries to hold and the peak to be so far, against the plans before and the readings since: the
//! books that anybody can keep (docs/proof.md).

use super::{Around, INTERVAL_S, SitePlans};
use crate::abi::Plan;
use crate::audit::dispatch::reading_wh;
use crate::audit::facts::At;
use crate::audit::registry::SiteBook;
use crate::audit::report::{Kind, Tally};
use alloy::primitives::Bytes;
use chrono::{DateTime, Datelike};
use optimizer::certificate::{BatteryClaim, Claims};
use std::collections::{BTreeMap, BTreeSet};

/// Contents are kept in hundredths of a Wh.
const PER_WH: i64 = 100;
/// Of what flows, percent: real losses are not the planned ones.
const TOLERATED: i64 = 10;
/// Of a rating, per cent: overshoot and the meter's class included.
const MOST_PERCENT: i64 = 110;
/// Without a plan that agreed for so many intervals, what is tolerated outgrows what could be lied.
const AGREED_WITHIN: u32 = 96;
const INTERVALS_PER_HOUR: i64 = 4;
const STEP_W: i64 = 10;
const DAY_S: i64 = 86_400;
pub(super) const CONTENT: &str = ": content of battery";
pub(super) const PEAK: &str = ": peak so far";

/// What a battery can hold when interval `next` begins, by all plans that agreed with one another and the readings before it.
#[derive(Debug, Clone)]
struct Held {
    claim: BatteryClaim,
    next: u32,
    least: i64,
    most: i64,
    /// The newest plan that agreed.
    agreed: u32,
}

/// Plans whose contents could not be held against readings.
#[derive(Debug, Clone)]
struct Unheld {
    at: At,
    first: u32,
    plans: u64,
}

/// What is known of what a site has stored, and of its peak.
#[derive(Debug, Clone, Default)]
pub(super) struct Stored {
    /// By lane.
    batteries: BTreeMap<usize, Held>,
    unheld: Option<Unheld>,
    peak_w: Option<i64>,
    /// Intervals with setpoints: others are never metered.
    dispatched: BTreeSet<u32>,
}

/// A plan's interval, when it was posted, and what may have flowed of a battery in between.
struct Unknown {
    interval: u32,
    posted_in: u32,
    flow_wh: i64,
}

impl Held {
    /// By the word of one plan.
    fn of(claim: &BatteryClaim, plan: &Unknown) -> Self {
        let content = PER_WH * claim.content_wh;
        let full = PER_WH * claim.capacity_wh;
        Self {
            claim: claim.clone(),
            next: plan.posted_in,
            least: (content - claim.charge_percent * plan.flow_wh).clamp(0, full),
            most: (content + PER_WH - 1 + claim.discharge_percent * plan.flow_wh).clamp(0, full),
            agreed: plan.interval,
        }
    }

    fn read(&mut self, energy_wh: i64) {
        let BatteryClaim { charge_percent, discharge_percent, capacity_wh, .. } = self.claim;
        let percent = if energy_wh > 0 { charge_percent } else { discharge_percent };
        let tolerated = TOLERATED * energy_wh.abs();
        let within = |content: i64| content.clamp(0, PER_WH * capacity_wh);
        self.least = within(self.least + percent * energy_wh - tolerated);
        self.most = within(self.most + percent * energy_wh + tolerated);
        self.next += 1;
    }

    /// Least and most in Wh when the plan's interval begins.
    fn then_wh(&self, plan: &Unknown) -> (i64, i64) {
        let within = |content: i64| content.clamp(0, PER_WH * self.claim.capacity_wh) / PER_WH;
        let least = self.least - self.claim.discharge_percent * plan.flow_wh;
        (within(least), within(self.most + self.claim.charge_percent * plan.flow_wh))
    }

    /// What both know.
    fn agree(&mut self, other: &Self) {
        self.least = self.least.max(other.least);
        self.most = self.most.min(other.most);
        self.agreed = other.agreed;
    }

    fn has_same_books(&self, claim: &BatteryClaim) -> bool {
        let books = |c: &BatteryClaim| (c.charge_percent, c.discharge_percent, c.capacity_wh);
        books(&self.claim) == books(claim)
    }
}

impl Stored {
    pub(super) fn dispatched(&mut self, interval: u32) {
        self.dispatched.insert(interval);
        self.dispatched.retain(|t| t + super::KEPT_INTERVALS > interval);
    }

    pub(super) fn finish(&mut self, tally: &mut Tally, site: &str) {
        if let Some(Unheld { at, first, plans }) = self.unheld.take() {
            let text = say!(
                "{plans} contents of batteries of {site}, the first in the plan of interval {first}, were not held \
                 against readings: they came after the plans"
            );
            tally.note(Kind::Certificate, at, text);
        }
    }

    /// Takes in the readings before `until`; whether they were all there, or `None` where one can never come.
    fn read(&mut self, readings: &BTreeMap<u32, Bytes>, lane: usize, until: u32) -> Option<bool> {
        let held = self.batteries.get_mut(&lane)?;
        while held.next < until {
            match readings.get(&held.next).and_then(|lanes| reading_wh(lanes, lane)) {
                Some(energy_wh) => held.read(energy_wh),
                None => return self.dispatched.contains(&held.next).then_some(false),
            }
        }
        Some(true)
    }
}

impl SitePlans {
    /// Every battery holds what the plans before and the readings since leave it, and is the same as before.
    pub(super) fn contents(&mut self, a: &mut Around<'_>, name: &str, plan: &Plan, claims: &Claims, book: &SiteBook) {
        for battery in &claims.batteries {
            let (lane, claim) = (battery.lane, &battery.of);
            let Some(asset) = book.lanes.get(lane).and_then(|id| a.registry.assets.get(id)) else { continue };
            let posted_in = (plan.postedAt.to::<u64>() / INTERVAL_S) as u32;
            let rated = i64::from(asset.data.ratedW) * MOST_PERCENT;
            let flow_wh = i64::from(plan.interval.saturating_sub(posted_in)) * ceil(rated, INTERVALS_PER_HOUR * 100);
            let unknown = Unknown { interval: plan.interval, posted_in, flow_wh };
            let asset = a.registry.name(asset.data.id);
            end_value(a, name, &asset, claims, claim);
            let told = Held::of(claim, &unknown);
            if let Some(before) = self.stored.batteries.get(&lane) {
                changed(a, name, &asset, &before.claim, claim);
            }
            let whole = self.stored.read(&self.readings, lane, posted_in);
            let Some(held) = self.stored.batteries.get_mut(&lane) else {
                self.stored.batteries.insert(lane, told);
                continue;
            };
            let stale = plan.interval.saturating_sub(held.agreed) > AGREED_WITHIN;
            if whole.is_none() || stale || !held.has_same_books(claim) {
                *held = told;
                continue;
            }
            held.claim = claim.clone();
            if whole == Some(false) || held.next != posted_in {
                let unheld = self.stored.unheld.get_or_insert(Unheld { at: a.at, first: plan.interval, plans: 0 });
                unheld.plans += 1;
                continue;
            }
            let (least, most) = held.then_wh(&unknown);
            let within = (least..=most).contains(&claim.content_wh);
            let what = say!("{name}{CONTENT} {asset}");
            let wanted = say!("{least} to {most} Wh, by the plans before and what was metered since");
            if a.tally.holds(Kind::Certificate, a.at, within, what, wanted, say!("{} Wh", claim.content_wh)) {
                held.agree(&told);
            }
        }
    }

    /// Where the peak has a price, that so far is one that was metered, or that of the plan before.
    pub(super) fn peak(&mut self, a: &mut Around<'_>, name: &str, plan: &Plan, claims: &Claims) {
        let before = std::mem::replace(&mut self.stored.peak_w, claims.peak_w);
        let Some(peak_w) = claims.peak_w else { return };
        let imports = self.readings.iter().map(|(t, lanes)| (*t, import_w(lanes)));
        let (least, most) = peak_bounds(plan.interval, claims.lanes, before, imports);
        let within = peak_w >= least && most.is_none_or(|most| peak_w <= most);
        let wanted = say!("{} to {} W, by the plan before and what was metered", least, most.unwrap_or(peak_w));
        let what = say!("{name}{PEAK}");
        if !a.tally.holds(Kind::Certificate, a.at, within, what, wanted, say!("{peak_w} W")) {
            self.stored.peak_w = before;
        } else if let Some(before) = before.filter(|before| peak_w < *before) {
            let text = say!("{name}: the peak so far falls from {before} to {peak_w} W, as where a month begins");
            a.tally.note(Kind::Certificate, a.at, text);
        }
    }
}

/// What is left at the end of a horizon is worth no more than any of its energy costs, and no less than any of it brings:
/// between the lowest and the highest of all prices, and of nothing.
fn end_value(a: &mut Around<'_>, name: &str, asset: &str, claims: &Claims, claim: &BatteryClaim) {
    let prices = || claims.import_price.iter().chain(&claims.feed_in_price).copied().chain([0]);
    let (least, most) = (prices().min().unwrap_or(0), prices().max().unwrap_or(0));
    let (what, wanted) = (say!("{name}: end value of battery {asset}"), say!("{least} to {most} micro per kWh"));
    let within = (least..=most).contains(&claim.end_value);
    a.tally.holds(Kind::Certificate, a.at, within, what, wanted, say!("{}", claim.end_value));
}

/// A battery does not change overnight, or somebody should know that it did.
fn changed(a: &mut Around<'_>, name: &str, asset: &str, before: &BatteryClaim, now: &BatteryClaim) {
    let members = [
        ("most power", before.most, now.most),
        ("charge %", before.charge_percent, now.charge_percent),
        ("discharge %", before.discharge_percent, now.discharge_percent),
        ("capacity", before.capacity_wh, now.capacity_wh),
        ("floor", before.floor_wh, now.floor_wh),
        ("wear", before.wear, now.wear),
    ];
    for (what, before, now) in members.into_iter().filter(|(_, before, now)| before != now) {
        let text = say!("{name}: battery {asset} has a {what} of {now}, and of {before} in the plan before");
        a.tally.note(Kind::Certificate, a.at, text);
    }
}

/// Least and most that a plan may take the peak so far to be: no less than what was metered in the month, and no more than
/// that or what the plan before took. A Wh of each lane and a step are left for rounding.
fn peak_bounds(
    interval: u32,
    lanes: usize,
    before: Option<i64>,
    imports: impl Iterator<Item = (u32, i64)>,
) -> (i64, Option<i64>) {
    let slack = INTERVALS_PER_HOUR * lanes as i64 + STEP_W;
    let (mut least, mut highest) = (0, 0);
    for (t, import) in imports {
        if t + 1 < interval && is_same_month(t, interval) {
            least = least.max(import - slack);
        }
        highest = highest.max(import);
    }
    (least, before.map(|before| before.max(highest) + slack))
}

/// What a site imported in an interval, by its readings.
pub fn import_w(lanes: &[u8]) -> i64 {
    (0..lanes.len() / 4).filter_map(|lane| reading_wh(lanes, lane)).sum::<i64>() * INTERVALS_PER_HOUR
}

/// Whether an interval and a later one are in the same month in every time zone: a day to either side, too.
pub fn is_same_month(interval: u32, later: u32) -> bool {
    month(interval, -1) == month(later, 1)
}

/// Year and month (UTC) of the day `days` after that of an interval.
fn month(interval: u32, days: i64) -> Option<(i32, u32)> {
    let time = DateTime::from_timestamp(i64::from(interval) * INTERVAL_S as i64 + days * DAY_S, 0)?;
    Some((time.year(), time.month()))
}

fn ceil(a: i64, b: i64) -> i64 {
    (a + b - 1) / b
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIM: BatteryClaim = BatteryClaim {
        most: 1_000,
        charge_percent: 95,
        discharge_percent: 105,
        capacity_wh: 20_000,
        content_wh: 20_000,
        floor_wh: 0,
        end_value: 0,
        wear: 0,
    };
    /// 2026-06-15, noon.
    const NOON: u32 = 1_781_524_800 / 900;

    #[test]
    fn a_full_battery_hides_nothing_and_plans_that_agree_know_more_than_one() {
        let plan = Unknown { interval: 11, posted_in: 10, flow_wh: 2_750 };
        let mut held = Held::of(&CLAIM, &plan);
        assert_eq!((held.least, held.most), (2_000_000 - 95 * 2_750, 2_000_000));
        held.read(2_500);
        assert_eq!(held.most, 2_000_000);
        held.read(-2_500);
        assert_eq!((held.least, held.most), (1_951_250 - 115 * 2_500, 2_000_000 - 95 * 2_500));
        let plan = Unknown { interval: 13, posted_in: 12, flow_wh: 2_750 };
        assert_eq!(held.then_wh(&plan), ((held.least - 105 * 2_750) / 100, 20_000));
        let told = Held::of(&BatteryClaim { content_wh: 15_000, ..CLAIM }, &plan);
        held.agree(&told);
        assert_eq!((held.least, held.most), (1_663_750, 1_762_500));
    }

    #[test]
    fn a_peak_follows_what_was_metered() {
        let imports = || [(NOON - 9, 30_000), (NOON - 2, 20_000), (NOON - 1, 40_000)].into_iter();
        // Nobody had the readings of the interval before.
        assert_eq!(peak_bounds(NOON, 5, None, imports()), (29_970, None));
        assert_eq!(peak_bounds(NOON, 5, Some(50_000), imports()), (29_970, Some(50_030)));
        assert_eq!(peak_bounds(NOON, 5, Some(10_000), imports()), (29_970, Some(40_030)));
        // In another month, or perhaps in another one where the site is.
        assert_eq!(peak_bounds(NOON + 15 * 96, 5, None, imports()), (0, None));
        assert!(is_same_month(NOON, NOON + 13 * 96) && !is_same_month(NOON, NOON + 15 * 96 - 1));
    }
}
