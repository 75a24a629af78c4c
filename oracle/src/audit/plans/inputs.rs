//! What a plan took for given, against what else the chain knows: the site as registered, needs as drivers signed them less
//! what meters have posted, and prices as other plans had them.

use super::{Around, INTERVAL_S, Plans, SitePlans};
use crate::abi::{AssetKind, Plan};
use crate::audit::dispatch::reading_wh;
use crate::audit::facts::At;
use crate::audit::registry::{AssetBook, Registry, SiteBook};
use crate::audit::report::{Kind, Tally};
use crate::audit::sessions::Session;
use alloy::primitives::{B256, keccak256};
use optimizer::certificate::{Claims, Leaf, Placed};

/// Intervals of a day.
const DAY: u32 = 96;
const UNIT_W: i64 = 10;
/// Between a plug-in and the opening of its session.
const OPENING_S: u64 = 3600;
/// What a meter may be off, and what rounding leaves.
const SLACK_WH: i64 = 10;

/// A session that lacks energy and had no need in plans.
#[derive(Debug, Clone)]
pub(super) struct Missing {
    at: At,
    first: u32,
    plans: u64,
    least_wh: i64,
}

impl Missing {
    pub(super) fn tell(self, tally: &mut Tally, session: B256) {
        let Self { at, first, plans, least_wh } = self;
        let text = say!(
            "session {session}: no need in {plans} plans, the first of interval {first}, though it lacked at least \
             {least_wh} Wh: its car took no more, or was left out"
        );
        tally.note(Kind::Certificate, at, text);
    }
}

impl Plans {
    pub(super) fn inputs(
        &mut self,
        a: &mut Around<'_>,
        name: &str,
        plan: &Plan,
        claims: &Claims,
        leaves: &[Leaf],
        column: &[u8],
    ) {
        let registry = a.registry;
        let Some(book) = registry.sites.get(&plan.site) else { return };
        let differs = difference(registry, book, claims, leaves);
        let (what, wanted) = (say!("{name}: the site in its inputs"), say!("as registered"));
        let found = say!("{}", differs.as_deref().unwrap_or_default());
        if !a.tally.holds(Kind::Certificate, a.at, differs.is_none(), what, wanted, found) {
            return;
        }
        if !plan.rules.terms.is_zero() {
            let what = say!("{name}: penalty, surcharge, price of the peak, rows and batteries");
            a.tally.equal(Kind::Certificate, a.at, what, plan.rules.terms, keccak256(&claims.terms));
        }
        self.needs(a, name, plan, claims.intervals, leaves, book);
        let site = self.sites.entry(plan.site).or_default();
        site.announced_prices(a, name, plan.interval, claims);
        site.prices(a, name, plan.interval, claims);
        site.contents(a, name, plan, claims, book);
        site.peak(a, name, plan, claims);
        site.forecasts.planned(plan.interval, claims, column);
    }

    /// Every need is an open session's, with its window and no other energy than it lacks; and which sessions have none.
    fn needs(
        &mut self,
        a: &mut Around<'_>,
        name: &str,
        plan: &Plan,
        intervals: usize,
        leaves: &[Leaf],
        book: &SiteBook,
    ) {
        let site = self.sites.entry(plan.site).or_default();
        for leaf in leaves {
            let Some(id) = book.lanes.get(leaf.lane) else { continue };
            let evse = a.registry.name(*id);
            let session = a.sessions.open_at(*id);
            let (what, wanted) = (say!("{name}: need at {evse}"), say!("an open session"));
            a.tally.holds(Kind::Certificate, a.at, session.is_some(), what, wanted, say!("none"));
            let Some(session) = session else { continue };
            let terms = &session.terms;
            let until = window(terms.departure.to(), plan.interval, intervals);
            let (wanted, found) = (format!("0 to {until}"), format!("{} to {}", leaf.from, leaf.until));
            a.tally.equal(Kind::Certificate, a.at, say!("{name}: window of the need at {evse}"), wanted, found);
            let lacks = site.lacks_wh(session, leaf.lane, plan.interval, rated_w(a.registry, *id));
            let energy_wh = leaf.energy_wh();
            let within = energy_wh > 0 && energy_wh >= lacks.0 - SLACK_WH && energy_wh <= lacks.1 + SLACK_WH;
            let wanted = say!("{} to {} Wh, asked less metered", lacks.0.max(0), lacks.1);
            let what = say!("{name}: energy of the need at {evse}");
            a.tally.holds(Kind::Certificate, a.at, within, what, wanted, say!("{energy_wh} Wh"));
            let least = least_w(a.registry, *id);
            let (what, wanted) = (say!("{name}: least power of the need at {evse}"), say!("at most {least} W"));
            a.tally.holds(Kind::Certificate, a.at, leaf.least_w() <= least, what, wanted, say!("{} W", leaf.least_w()));
            let most = self.most_w.entry(terms.session).or_default();
            *most = leaf.max_w().max(*most);
        }
        let served = |lane: usize| leaves.binary_search_by_key(&lane, |leaf| leaf.lane).is_ok();
        for (lane, id) in book.lanes.iter().enumerate().filter(|(lane, _)| !served(*lane)) {
            let Some(session) = a.sessions.open_at(*id) else { continue };
            let (least_wh, _) = site.lacks_wh(session, lane, plan.interval, rated_w(a.registry, *id));
            if least_wh > SLACK_WH {
                let first = Missing { at: a.at, first: plan.interval, plans: 0, least_wh };
                let missing = self.missing.entry(session.terms.session).or_insert(first);
                missing.plans += 1;
                missing.least_wh = least_wh.min(missing.least_wh);
            }
        }
    }
}

impl SitePlans {
    /// Least and most energy that a session lacks before an interval: asked, less readings where they were posted, and less
    /// anything up to the rating where they were not. Before the session was opened the car may have been there or another.
    fn lacks_wh(&self, session: &Session, lane: usize, interval: u32, rated_w: i64) -> (i64, i64) {
        let terms = &session.terms;
        let opened = terms.openedAt.to::<u64>();
        let (from, known) = ((opened.saturating_sub(OPENING_S) / INTERVAL_S) as u32, (opened / INTERVAL_S) as u32);
        let (mut least, mut most) = (0, 0);
        for t in from..interval {
            let read = self.readings.get(&t).and_then(|lanes| reading_wh(lanes, lane)).map(|wh| wh.max(0));
            least += read.filter(|_| t > known).unwrap_or(0);
            most += read.unwrap_or(rated_w / 4);
        }
        let asked = i64::from(terms.energyWh);
        (asked - most, asked - least)
    }

    /// A plan that holds a whole day has the prices that were announced for it; other plans have those of this one.
    fn announced_prices(&self, a: &mut Around<'_>, name: &str, interval: u32, claims: &Claims) {
        let until = interval as usize + claims.intervals;
        for day in interval.div_ceil(DAY)..(until as u32) / DAY {
            let Some((announced, at)) = self.announced.get(&day) else { continue };
            if at + INTERVAL_S > a.at.time {
                continue;
            }
            let from = (day * DAY - interval) as usize;
            let of = |series: &[i64]| series[from..from + DAY as usize].to_vec();
            let prices = [of(&claims.import_price), of(&claims.feed_in_price)].concat();
            let bytes: Vec<u8> = prices.iter().flat_map(|price| (*price as i32).to_be_bytes()).collect();
            a.tally.equal(Kind::Certificate, a.at, say!("{name}: prices of day {day}"), *announced, keccak256(bytes));
        }
    }

    /// The prices of an interval are the same in every plan, or somebody should know that they changed.
    fn prices(&mut self, a: &mut Around<'_>, name: &str, interval: u32, claims: &Claims) {
        let mut changed = None;
        for (k, prices) in (interval..).zip(claims.import_price.iter().zip(&claims.feed_in_price)) {
            let prices = (*prices.0, *prices.1);
            let before = self.told.insert(k, prices);
            if before.is_some_and(|before| before != prices) {
                let (_, count) = changed.unwrap_or((k, 0_u32));
                changed = Some((changed.map_or(k, |(first, _)| first), count + 1));
            }
        }
        self.told.retain(|t, _| *t >= interval);
        if let Some((first, count)) = changed {
            let text = say!("{name}: other prices than the plan before for {count} intervals, the first {first}");
            a.tally.note(Kind::Certificate, a.at, text);
        }
    }
}

/// Where the window of a need ends, counted from the plan's interval: at the departure, but a car that stays gets what can be had.
fn window(departure: u64, interval: u32, intervals: usize) -> usize {
    let left = (departure / INTERVAL_S).saturating_sub(interval.into());
    usize::try_from(left).unwrap_or(intervals).clamp(1, intervals)
}

fn rated_w(registry: &Registry, asset: B256) -> i64 {
    registry.assets.get(&asset).map_or(0, |a| a.data.ratedW.into())
}

/// The least power of an EVSE above zero, up to a step.
fn least_w(registry: &Registry, asset: B256) -> i64 {
    let least_w = registry.assets.get(&asset).map_or(0, |a| i64::from(a.data.minW));
    (least_w + UNIT_W - 1).max(UNIT_W) / UNIT_W * UNIT_W
}

/// The first thing in which inputs are not those of the site.
fn difference(registry: &Registry, book: &SiteBook, claims: &Claims, leaves: &[Leaf]) -> Option<String> {
    if (claims.lanes, claims.groups.len()) != (book.lanes.len(), book.groups.len()) {
        return Some(format!("{} lanes in {} groups", claims.lanes, claims.groups.len()));
    }
    let assets: Vec<&AssetBook> = book.lanes.iter().filter_map(|id| registry.assets.get(id)).collect();
    let mut used = vec![false; book.groups.len()];
    for group in assets.iter().flat_map(|asset| book.path(asset.data.group)) {
        if let Some(used) = used.get_mut(usize::from(group)) {
            *used = true;
        }
    }
    for (g, (claim, group)) in claims.groups.iter().zip(&book.groups).enumerate() {
        let [import, export] = [group.limitImportW, group.limitExportW].map(|limit| i64::from(limit) / UNIT_W);
        let limits = claim.export == export && (claim.import == import || claim.by_interval && claim.import < import);
        // A group without assets limits nothing, wherever it is.
        let placed = g == 0 || !used[g] || claim.parent == usize::from(group.parent);
        if !limits || !placed {
            return Some(format!("group {g}: {claim:?}"));
        }
    }
    let is_at = |lane: usize, group: usize, kind: AssetKind| {
        assets
            .get(lane)
            .is_some_and(|asset| asset.data.kind == kind && !asset.removed() && usize::from(asset.data.group) == group)
    };
    fn places<T>(all: &[Placed<T>]) -> Vec<(usize, usize)> {
        all.iter().map(|placed| (placed.lane, placed.group)).collect()
    }
    let kinds = [
        (AssetKind::BaseLoad, places(&claims.base_loads)),
        (AssetKind::Pv, places(&claims.pv)),
        (AssetKind::Battery, places(&claims.batteries)),
    ];
    for (kind, claimed) in kinds {
        let in_service = |asset: &&&AssetBook| asset.data.kind == kind && !asset.removed();
        let wanted: Vec<_> =
            assets.iter().filter(in_service).map(|a| (usize::from(a.lane), usize::from(a.data.group))).collect();
        if wanted != claimed {
            return Some(format!("{kind:?} in lanes and groups {claimed:?}, not {wanted:?}"));
        }
    }
    let steps = |lane: usize| assets.get(lane).map_or(0, |asset| i64::from(asset.data.ratedW) / UNIT_W);
    if let Some(battery) = claims.batteries.iter().find(|b| b.of.most > steps(b.lane)) {
        return Some(format!("battery in lane {}: {} W", battery.lane, UNIT_W * battery.of.most));
    }
    let mut free = 0;
    for leaf in leaves {
        let Leaf { lane, group, .. } = *leaf;
        if lane < free || !is_at(lane, group, AssetKind::Evse) || leaf.max_w() > UNIT_W * steps(lane) {
            return Some(format!("a need in lane {lane} of group {group}, of {} W", leaf.max_w()));
        }
        free = lane + 1;
    }
    None
}
