//! What was posted for the intervals of a site: who posted it and when, whether it kept every rating and every group's limit,
//! and the chained hash of it all, from the first post to what the contract keeps; and what the contract makes of it when it
//! is asked how good forecasts were (`scores`).

mod scores;

use super::calls::{Called, Calls};
use super::facts::{At, Question, Setting};
use super::registry::{RIGHT_DISPATCH, RIGHT_METER, Registry, SiteBook};
use super::report::{Kind, SiteCount, Tally};
use crate::abi::IDispatch::{
    self, ForecastsScored, IDispatchCalls, IDispatchEvents, ReadingDisputed, ReadingsPosted, SetpointsPosted,
};
use crate::abi::{AssetKind, IntervalState, MeterReading, ReadingProof};
use crate::{merkle, signing};
use alloy::primitives::{B256, Bytes, Signature, U256, keccak256};
use alloy::sol_types::{SolStruct, SolValue};
use std::collections::BTreeMap;

const INTERVAL_S: u64 = 900;
/// Setpoints are posted at most a day ahead, readings at most a day after their interval.
const DAY_INTERVALS: u64 = 96;
/// Readings may be disputed for three days more.
const DISPUTE_INTERVALS: u64 = 288;
/// The contract remembers so many intervals of a site.
const REMEMBERED: u32 = 512;
const UNIT_W: i64 = 10;

/// What is known of a site's dispatch.
#[derive(Debug, Clone, Default)]
struct Log {
    history: B256,
    intervals: BTreeMap<u32, Stage>,
    posts: scores::Posts,
}

/// Where an interval stands, and what is needed to judge a dispute of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stage {
    state: IntervalState,
    root: B256,
    lanes_hash: B256,
}

/// Everything that was dispatched.
#[derive(Debug, Clone, Default)]
pub struct Dispatched {
    logs: BTreeMap<B256, Log>,
    /// By asset, of all intervals.
    posted_wh: BTreeMap<B256, i64>,
    /// By site.
    pub counts: BTreeMap<B256, SiteCount>,
}

/// One setpoint of a batch in W, positive where it draws.
pub fn setpoint_w(lanes: &[u8], lane: usize) -> Option<i64> {
    let bytes = lanes.get(2 * lane..2 * lane + 2)?.try_into().ok()?;
    Some(UNIT_W * i64::from(i16::from_be_bytes(bytes)))
}

/// One reading of a batch in Wh, positive where it drew.
pub fn reading_wh(lanes: &[u8], lane: usize) -> Option<i64> {
    Some(i64::from(i32::from_be_bytes(lanes.get(4 * lane..4 * lane + 4)?.try_into().ok()?)))
}

/// What a group of a site may draw and feed, and what a batch lets it draw. All in W.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupLoad {
    /// Of all lanes below it.
    pub power_w: i64,
    /// The larger of its limit and the base load behind it.
    pub limit_import_w: i64,
    /// Its limit.
    pub limit_export_w: i64,
}

/// The load of every group, by a plain sum over the lanes below it.
pub fn group_loads(registry: &Registry, site: &SiteBook, lanes: &[u8]) -> Vec<GroupLoad> {
    let mut loads = vec![(0_i64, 0_i64); site.groups.len()];
    for (lane, id) in site.lanes.iter().enumerate() {
        let (Some(asset), Some(power_w)) = (registry.assets.get(id), setpoint_w(lanes, lane)) else { continue };
        for group in site.path(asset.data.group) {
            if let Some(load) = loads.get_mut(usize::from(group)) {
                load.0 += power_w;
                load.1 += if asset.data.kind == AssetKind::BaseLoad { power_w } else { 0 };
            }
        }
    }
    let load = |(group, (power_w, base_w)): (&crate::abi::Group, (i64, i64))| GroupLoad {
        power_w,
        limit_import_w: base_w.max(group.limitImportW.into()),
        limit_export_w: group.limitExportW.into(),
    };
    site.groups.iter().zip(loads).map(load).collect()
}

impl Dispatched {
    /// Takes in an event.
    pub fn apply(
        &mut self,
        tally: &mut Tally,
        registry: &Registry,
        at: At,
        event: &IDispatchEvents,
        calls: &mut Calls,
    ) {
        match event {
            IDispatchEvents::SetpointsPosted(e) => self.setpoints(tally, registry, at, e),
            IDispatchEvents::ReadingsPosted(e) => self.readings(tally, registry, at, e),
            IDispatchEvents::ReadingDisputed(e) => self.disputed(tally, registry, at, e, calls),
            IDispatchEvents::ForecastsScored(e) => self.scored(tally, registry, at, e),
        }
    }

    fn setpoints(&mut self, tally: &mut Tally, registry: &Registry, at: At, e: &SetpointsPosted) {
        let interval = e.interval;
        let right = registry.authorised(e.site, e.poster, RIGHT_DISPATCH, at.time);
        let what = format_args!("setpoints of interval {interval}: poster {}", e.poster);
        let (wanted, found) =
            (format_args!("the right to post setpoints at {}", at.time), format_args!("no such right"));
        tally.holds(Kind::Right, at, right, what, wanted, found);

        let (begin, latest) = (u64::from(interval) * INTERVAL_S, at.time / INTERVAL_S + DAY_INTERVALS);
        let in_time = at.time < begin && u64::from(interval) <= latest;
        let what = format_args!("setpoints of interval {interval}: time of posting");
        let wanted = format_args!("before {begin} and at most a day ahead");
        tally.holds(Kind::Timing, at, in_time, what, wanted, format_args!("{}", at.time));
        self.enter(
            tally,
            at,
            e.site,
            interval,
            IntervalState::Open,
            Stage { state: IntervalState::Dispatched, root: B256::ZERO, lanes_hash: B256::ZERO },
        );

        let count = self.counts.entry(e.site).or_default();
        count.plans += 1;
        self.chain(tally, at, e.site, (1, interval, &e.lanes, e.planHash), e.history);

        let Some(site) = registry.sites.get(&e.site) else { return };
        let what = format_args!("setpoints of interval {interval}: bytes");
        tally.equal(Kind::Rating, at, what, 2 * site.lanes.len(), e.lanes.len());
        for (lane, id) in site.lanes.iter().enumerate() {
            let (Some(asset), Some(power_w)) = (registry.assets.get(id), setpoint_w(&e.lanes, lane)) else { continue };
            let rated = i64::from(asset.data.ratedW);
            let least = if may_feed(asset.data.kind) { -rated } else { 0 };
            let most = if may_draw(asset.data.kind) { rated } else { 0 };
            let what = format_args!("setpoint of {} in interval {interval}", asset.name);
            let (wanted, found) = (format_args!("{least} to {most} W"), format_args!("{power_w} W"));
            tally.holds(Kind::Rating, at, (least..=most).contains(&power_w), what, wanted, found);
        }
        for (group, load) in group_loads(registry, site, &e.lanes).iter().enumerate() {
            let GroupLoad { power_w, limit_import_w, limit_export_w } = *load;
            let within = power_w <= limit_import_w && power_w >= -limit_export_w;
            let what = format_args!("group {group} of {} in interval {interval}", site.name);
            let wanted = format_args!("{} to {limit_import_w} W", -limit_export_w);
            tally.holds(Kind::GroupLimit, at, within, what, wanted, format_args!("{power_w} W"));
        }
    }

    fn readings(&mut self, tally: &mut Tally, registry: &Registry, at: At, e: &ReadingsPosted) {
        let interval = e.interval;
        let right = registry.authorised(e.site, e.poster, RIGHT_METER, at.time);
        let what = format_args!("readings of interval {interval}: poster {}", e.poster);
        let (wanted, found) =
            (format_args!("the right to post readings at {}", at.time), format_args!("no such right"));
        tally.holds(Kind::Right, at, right, what, wanted, found);

        let end = (u64::from(interval) + 1) * INTERVAL_S;
        let until = end + DAY_INTERVALS * INTERVAL_S;
        let what = format_args!("readings of interval {interval}: time of posting");
        let wanted = format_args!("from {end} to before {until}");
        tally.holds(Kind::Timing, at, (end..until).contains(&at.time), what, wanted, format_args!("{}", at.time));
        let lanes_hash = keccak256(&e.lanes);
        let stage = Stage { state: IntervalState::Metered, root: e.root, lanes_hash };
        self.enter(tally, at, e.site, interval, IntervalState::Dispatched, stage);
        self.counts.entry(e.site).or_default().readings += 1;
        self.chain(tally, at, e.site, (2, interval, &e.lanes, e.root), e.history);

        let Some(site) = registry.sites.get(&e.site) else { return };
        let what = format_args!("readings of interval {interval}: bytes");
        tally.equal(Kind::Reading, at, what, 4 * site.lanes.len(), e.lanes.len());
        for (lane, id) in site.lanes.iter().enumerate() {
            let (Some(asset), Some(energy_wh)) = (registry.assets.get(id), reading_wh(&e.lanes, lane)) else {
                continue;
            };
            *self.posted_wh.entry(*id).or_default() += energy_wh;
            let kind = asset.data.kind;
            let sign = (energy_wh <= 0 || may_draw(kind)) && (energy_wh >= 0 || may_feed(kind));
            let what = format_args!("reading of {} in interval {interval}", asset.name);
            let wanted = format_args!("the sign of a {kind:?}");
            tally.holds(Kind::Reading, at, sign, what, wanted, format_args!("{energy_wh} Wh"));
            // What was metered has happened, and a meter that was silent may catch up: no error, and worth a look.
            let most = i64::from(asset.data.ratedW) / 4;
            if !asset.removed() && energy_wh.abs() > most {
                tally.note(
                    Kind::Reading,
                    at,
                    format_args!(
                        "{} in interval {interval}: {energy_wh} Wh, more than the {most} Wh that its rating allows",
                        asset.name
                    ),
                );
            }
        }
    }

    /// What was posted for an asset in all intervals.
    pub fn posted_wh(&self, asset: B256) -> i64 {
        self.posted_wh.get(&asset).copied().unwrap_or_default()
    }

    /// A dispute names the readings behind a lane: that they are what was posted, and that they contradict, is shown again.
    fn disputed(&mut self, tally: &mut Tally, registry: &Registry, at: At, e: &ReadingDisputed, calls: &mut Calls) {
        let (interval, lane) = (e.interval, e.lane);
        self.counts.entry(e.site).or_default().readings_disputed += 1;
        let stage = self.logs.get(&e.site).and_then(|l| l.intervals.get(&interval)).copied();
        let posted = stage.unwrap_or(Stage { state: IntervalState::Open, root: B256::ZERO, lanes_hash: B256::ZERO });
        self.enter(
            tally,
            at,
            e.site,
            interval,
            IntervalState::Metered,
            Stage { state: IntervalState::Disputed, ..posted },
        );
        let until = (u64::from(interval) + 1 + DAY_INTERVALS + DISPUTE_INTERVALS) * INTERVAL_S;
        let what = format_args!("dispute of interval {interval}: time");
        tally.holds(
            Kind::Timing,
            at,
            at.time < until,
            what,
            format_args!("before {until}"),
            format_args!("{}", at.time),
        );
        let site = registry.sites.get(&e.site);
        let asset = site.and_then(|s| s.lanes.get(usize::from(lane))).copied().unwrap_or_default();
        let contradicts = if e.contrary.asset.is_zero() {
            e.postedWh != e.provenWh || !plausible(asset, interval, &e.start, &e.stop)
        } else {
            contradicts(&e.start, &e.stop, &e.contrary)
        };
        let what = format_args!("dispute of lane {lane} of interval {interval}");
        let (wanted, found) = (format_args!("a contradiction"), format_args!("readings that can all be true"));
        tally.holds(Kind::Reading, at, contradicts, what, wanted, found);
        let Some((proof, signature)) = calls.take(|call| proof_of(call, e)) else {
            tally.note(Kind::Reading, at, format_args!("dispute of interval {interval}: its proof is not decodable"));
            return;
        };
        if let Some(signature) = signature {
            let time = e.contrary.time.to();
            let meter = registry.assets.get(&asset).map(|a| a.meter_at(time)).unwrap_or_default();
            let signature = Signature::from_raw(&signature).ok();
            let signer = signature.and_then(|s| s.recover_address_from_prehash(&digest(&e.contrary)).ok());
            let what = format_args!("dispute of lane {lane} of interval {interval}: signer of the contrary reading");
            let signer = signing::meter_id(signer.unwrap_or_default());
            tally.equal(Kind::MeterSignature, at, what, meter, signer);
            tally.equal(
                Kind::Reading,
                at,
                format_args!("dispute of lane {lane} of interval {interval}: asset of the contrary reading"),
                asset,
                e.contrary.asset,
            );
        }
        let leaf = merkle::leaf(lane, digest(&e.start), digest(&e.stop));
        let root = proof.siblings.iter().fold(leaf, |node, sibling| merkle::node(node, *sibling));
        let what = format_args!("dispute of lane {lane} of interval {interval}: root of its readings");
        tally.equal(Kind::Reading, at, what, posted.root, root);
        let what = format_args!("dispute of lane {lane} of interval {interval}: lanes as posted");
        tally.equal(Kind::Reading, at, what, posted.lanes_hash, keccak256(&proof.lanes));
    }

    fn scored(&mut self, tally: &mut Tally, registry: &Registry, at: At, e: &ForecastsScored) {
        let log = self.logs.entry(e.site).or_default();
        let stands = |interval| log.intervals.get(&interval).is_some_and(|s| s.state == IntervalState::Metered);
        log.posts.scored(tally, registry, at, e, stands);
    }

    fn enter(&mut self, tally: &mut Tally, at: At, site: B256, interval: u32, from: IntervalState, stage: Stage) {
        let log = self.logs.entry(site).or_default();
        let state = log.intervals.get(&interval).map_or(IntervalState::Open, |s| s.state);
        let what = format_args!("interval {interval} of {site}: state before");
        let (wanted, found) = (format_args!("{from:?}"), format_args!("{state:?}"));
        tally.holds(Kind::Timing, at, state == from, what, wanted, found);
        log.intervals.insert(interval, stage);
        // As the contract does: a stamp is overwritten by that of an interval any number of rings away.
        log.intervals.retain(|other, _| *other == interval || other % REMEMBERED != interval % REMEMBERED);
    }

    fn chain(
        &mut self,
        tally: &mut Tally,
        at: At,
        site: B256,
        (kind, interval, lanes, evidence): (u64, u32, &Bytes, B256),
        told: B256,
    ) {
        let log = self.logs.entry(site).or_default();
        let fields = (U256::from(kind), site, U256::from(interval), keccak256(lanes), evidence);
        let step = keccak256(fields.abi_encode_params());
        let next = keccak256([log.history, step].concat());
        let what = format_args!("history of {site} after interval {interval}");
        tally.equal(Kind::History, at, what, next, told);
        // What was told is what the next step builds on: one break is one finding.
        log.posts.push(kind, interval, lanes, (log.history, told));
        log.history = told;
    }

    /// What Dispatch has to answer at the end.
    pub fn questions(&self, setting: &Setting, registry: &Registry) -> Vec<Question> {
        let mut questions = Vec::new();
        for (site, log) in &self.logs {
            let name = registry.name(*site);
            let words = vec![("history", log.history.into())];
            let call = IDispatch::historyCall { site: *site };
            questions.push(Question::new(format!("history of {name}"), setting.dispatch, &call, words));
            for (interval, stage) in &log.intervals {
                let words = vec![("state", U256::from(stage.state as u8))];
                let call = IDispatch::stateOfCall { site: *site, interval: *interval };
                let what = format!("interval {interval} of {name}");
                questions.push(Question::new(what, setting.dispatch, &call, words));
            }
        }
        questions
    }
}

fn may_draw(kind: AssetKind) -> bool {
    kind != AssetKind::Pv
}

fn may_feed(kind: AssetKind) -> bool {
    matches!(kind, AssetKind::Pv | AssetKind::Battery)
}

fn digest(reading: &MeterReading) -> B256 {
    reading.eip712_signing_hash(&signing::meter_domain())
}

/// The proof of a dispute, and the signature of the contrary reading where there is one.
fn proof_of(call: &Called, e: &ReadingDisputed) -> Option<(ReadingProof, Option<Bytes>)> {
    let Called::Dispatch(call) = call else { return None };
    let (site, interval, proof, signature) = match &**call {
        IDispatchCalls::disputeLane(c) => (c.site, c.interval, &c.proof, None),
        IDispatchCalls::disputeReading(c) => (c.site, c.interval, &c.proof, Some(c.signature.clone())),
        _ => return None,
    };
    (site == e.site && interval == e.interval && proof.lane == e.lane).then(|| (proof.clone(), signature))
}

/// Whether two readings can be the start and the stop of an asset in an interval.
fn plausible(asset: B256, interval: u32, start: &MeterReading, stop: &MeterReading) -> bool {
    let begin = u64::from(interval) * INTERVAL_S;
    start.asset == asset
        && stop.asset == asset
        && start.counter < stop.counter
        && start.importWh <= stop.importWh
        && start.exportWh <= stop.exportWh
        && start.time.to::<u64>() < begin + INTERVAL_S
        && stop.time.to::<u64>() > begin
}

/// Whether a third reading of the meter cannot be true beside the two: one between them has registers between theirs.
fn contradicts(start: &MeterReading, stop: &MeterReading, contrary: &MeterReading) -> bool {
    let least = if contrary.counter == stop.counter { stop } else { start };
    let most = if contrary.counter == start.counter { start } else { stop };
    !(least.importWh..=most.importWh).contains(&contrary.importWh)
        || !(least.exportWh..=most.exportWh).contains(&contrary.exportWh)
}
