//! A site as the controller knows it: registers, batteries, plans, and what was driven.

use super::CUT_S;
use super::event::Evidence;
use super::stay::Stay;
use crate::certificate::{Certificate, node_prices};
use crate::device::Reading;
use crate::forecast::habit::Habits;
use crate::forecast::taper;
use crate::problem::{Forecast, GroupLimit, Need, Problem, Storage};
use crate::report::{PlanNote, Proof, violations};
use crate::scenario::Scenario;
use crate::schedule::Schedule;
use crate::signals::Signals;
use crate::site::{Asset, AssetKind, Battery, CONTENT_PER_WH, Site};
use crate::units::{HORIZON, INTERVAL_S, Interval, Micro, MicroPerKwh, UnixTime, WattHours, Watts};
use chrono_tz::Tz;
use std::collections::BTreeMap;

/// An unmet kWh costs a plan this much (1 credit) above twice the dearest price of the scenario: energy is left out only
/// where it cannot be given, also when it has to pass a battery first. Of the scenario and not of the horizon, so that it is
/// one number that a site can commit to.
const PENALTY_ABOVE_PRICES: i64 = 1_000_000;
/// A kWh kept in the battery is valued at this share (per cent) of the mean price: less than it saves on an average
/// evening after losses, so that it is used where prices are dear, and not emptied at the end of every horizon.
const END_VALUE_PERCENT: i64 = 85;

/// A car may have gone from this quantile of its departure on: one of ten leaves before it.
const LIKELY_PER_MILLE: i64 = 100;
/// What a kWh is dearer by that a plan leaves for when the car may have gone, or would take it too slowly: the risk times
/// what an unmet kWh costs a plan above prices. Measured on days of a garage ([`crate::forecast`]): where a day's prices
/// differ by less than this, those who leave early get half of what they missed; where they differ by more, the cheap hours
/// are worth the risk. Twice as much served no more cars of the built-in scenarios.
const RISK_PRICE: MicroPerKwh = MicroPerKwh(PENALTY_ABOVE_PRICES * LIKELY_PER_MILLE / 1000);

#[derive(Debug, Clone, Default)]
struct Register {
    import_wh: WattHours,
    export_wh: WattHours,
    time: UnixTime,
    /// At the last boundary, and the reading that said so.
    boundary_wh: WattHours,
    boundary: Option<Reading>,
    newest: Option<Reading>,
    /// What a battery held at the last boundary, in hundredths of a Wh.
    stored: i64,
}

impl Register {
    fn new(asset: &Asset, start: UnixTime) -> Self {
        let stored = match &asset.kind {
            AssetKind::Battery(battery) => CONTENT_PER_WH * battery.start_wh.0,
            _ => 0,
        };
        Self { time: start, stored, ..Self::default() }
    }

    fn net_wh(&self) -> WattHours {
        self.import_wh - self.export_wh
    }

    /// The readings from which and up to which an interval counts; none where the meter was silent, or had never spoken.
    fn evidence(&self, interval: Interval) -> Evidence {
        let (start, stop) = (self.boundary.clone()?, self.newest.clone()?);
        let told = start.counter < stop.counter && start.time < interval.end() && stop.time > interval.start();
        told.then_some((start, stop))
    }
}

/// What a site did in an interval that is over.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) note: PlanNote,
    pub(super) proof: Proof,
    pub(super) energy_wh: Vec<WattHours>,
    pub(super) content_wh: WattHours,
    pub(super) violations: u32,
}

#[derive(Debug, Clone)]
struct Dispatched {
    power_w: Vec<Watts>,
    note: PlanNote,
    proof: Proof,
    /// By group; only where a certificate prices the interval.
    node_price: Option<Vec<MicroPerKwh>>,
    refused_readings: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) struct SiteState {
    pub(super) site: Site,
    lane_of: BTreeMap<String, usize>,
    registers: Vec<Register>,
    /// The problem whose answer is awaited.
    pub(super) pending: Option<Problem>,
    pub(super) plan: Option<Schedule>,
    /// Of that plan, as it was posted.
    certificate: Result<Box<Certificate>, String>,
    gas: u64,
    pub(super) tolerance: Micro,
    cpo: BTreeMap<Interval, Vec<Watts>>,
    dispatched: BTreeMap<Interval, Dispatched>,
    first: Interval,
    pub(super) records: Vec<Record>,
    /// `None`: drivers' words are taken.
    habits: Option<Habits>,
    shortfall_penalty: MicroPerKwh,
}

impl SiteState {
    pub(super) fn new(site: &Site, scenario: &Scenario) -> Self {
        let signals = &scenario.signals;
        let start = signals.first.start();
        let zone = site.time_zone.parse().unwrap_or(Tz::UTC);
        let past = scenario.history.as_ref().map(|past| past.iter().filter(|past| past.site == site.id));
        Self {
            shortfall_penalty: MicroPerKwh(2 * signals.dearest().0 + PENALTY_ABOVE_PRICES),
            habits: past.map(|past| Habits::learn(zone, past)),
            lane_of: site.assets.iter().enumerate().map(|(lane, a)| (a.id.clone(), lane)).collect(),
            registers: site.assets.iter().map(|asset| Register::new(asset, start)).collect(),
            site: site.clone(),
            pending: None,
            plan: None,
            certificate: Err("no plan yet".to_owned()),
            gas: 0,
            tolerance: super::tolerance(site),
            cpo: BTreeMap::new(),
            dispatched: BTreeMap::new(),
            first: signals.first,
            records: Vec::new(),
        }
    }

    /// A session that is over teaches, where there is a history to add to.
    pub(super) fn learn(&mut self, stay: &Stay) {
        if let Some((habits, past)) = self.habits.as_mut().zip(stay.past(&self.site.id)) {
            habits.add(&past);
        }
    }

    /// First interval, counted from `interval`, from which on a plan should not count on giving `need` more, where that is
    /// before its end: the car may well have gone, or would take the rest of it too slowly.
    fn likely_until(&self, interval: Interval, stay: &Stay, takes_w: Option<Watts>, need: &Need) -> Option<usize> {
        let departure = |habits: &Habits| habits.departure(stay.begun()?, interval.start(), LIKELY_PER_MILLE);
        let departure = self.habits.as_ref().and_then(departure);
        let gone = departure.and_then(|time| Some(Interval::containing(time).offset_from(interval)?.max(1)));
        let late = taper::delay_intervals(need.energy_wh, need.max_w, stay.asked.max_w, takes_w);
        // Where time is short it charges without a pause.
        let at_once = need.energy_wh.0 * 3600 / (need.max_w.0 * INTERVAL_S);
        let slow = need.until.saturating_sub(late).max(usize::try_from(at_once).unwrap_or(usize::MAX)).max(1);
        let likely = gone.map_or(slow, |gone| gone.min(slow));
        (likely < need.until).then_some(likely)
    }

    /// A reading that is not newer than the last (a repeated message) changes nothing.
    pub(super) fn metered(&mut self, reading: &Reading) {
        let Some(&lane) = self.lane_of.get(&reading.asset) else { return };
        let register = &mut self.registers[lane];
        if register.newest.as_ref().is_none_or(|r| r.counter < reading.counter) {
            register.import_wh = reading.import_wh;
            register.export_wh = reading.export_wh;
            register.time = reading.time;
            register.newest = Some(reading.clone());
        }
    }

    pub(super) fn register(&self, lane: usize) -> WattHours {
        self.registers[lane].import_wh
    }

    pub(super) fn adopt(&mut self, interval: Interval, power_w: Vec<Watts>) {
        self.cpo.entry(interval).or_insert(power_w);
    }

    pub(super) fn adopted(&self, interval: Interval) -> Option<Vec<Watts>> {
        self.cpo.get(&interval).cloned()
    }

    /// No power for anything that can be told: PV off, batteries idle, EVSEs paused.
    pub(super) fn nothing(&self) -> Vec<Watts> {
        vec![Watts::ZERO; self.site.assets.len()]
    }

    pub(super) fn planned(&mut self, schedule: Schedule, certificate: Result<Box<Certificate>, String>) {
        (self.plan, self.certificate, self.gas) = (Some(schedule), certificate, 0);
    }

    /// What the chain made of the newest plan's certificate.
    pub(super) fn proved(&mut self, uncertified: Option<String>, gas: u64) {
        self.gas = gas;
        if let Some(reason) = uncertified {
            self.certificate = Err(reason);
        }
    }

    pub(super) fn certificate(&self) -> Result<&Certificate, &str> {
        self.certificate.as_deref().map_err(String::as_str)
    }

    pub(super) fn plan_for(&self, interval: Interval) -> Option<&Schedule> {
        self.plan.as_ref().filter(|p| p.first == interval)
    }

    pub(super) fn dispatch(&mut self, interval: Interval, power_w: Vec<Watts>, note: PlanNote) {
        let planned = matches!(note, PlanNote::Optimal | PlanNote::TimeLimit);
        let certified = self.certificate.as_ref().ok().filter(|_| planned);
        let node_price = certified.and_then(|c| node_prices(&c.inputs, &c.multipliers).ok());
        let node_price = node_price
            .map(|groups| groups.iter().map(|p| MicroPerKwh(p.first().copied().unwrap_or_default())).collect());
        let proof = match (&note, &self.certificate) {
            (PlanNote::Cpo, _) => Proof::Uncertified("the CPO's own setpoints".to_owned()),
            (PlanNote::Undispatched(reason), _) => Proof::Uncertified(reason.clone()),
            (_, Err(reason)) => Proof::Uncertified(reason.clone()),
            (_, Ok(certificate)) => Proof::Certified {
                cost: saturated(certificate.verdict.cost_micro()),
                gap: saturated(certificate.verdict.gap_micro()),
                gas: self.gas,
            },
        };
        self.pending = None;
        self.dispatched.insert(interval, Dispatched { power_w, note, proof, node_price, refused_readings: None });
    }

    pub(super) fn setpoint(&self, lane: usize, interval: Interval) -> Watts {
        self.dispatched.get(&interval).and_then(|d| d.power_w.get(lane)).copied().unwrap_or_default()
    }

    pub(super) fn node_price(&self, lane: usize, interval: Interval) -> Option<MicroPerKwh> {
        let prices = self.dispatched.get(&interval)?.node_price.as_ref()?;
        prices.get(self.site.assets[lane].group).copied()
    }

    pub(super) fn is_certified(&self, interval: Interval) -> bool {
        self.dispatched.get(&interval).is_some_and(|d| d.proof.is_certified())
    }

    pub(super) fn is_on_chain(&self, interval: Interval) -> bool {
        self.dispatched.get(&interval).is_some_and(|d| !matches!(d.note, PlanNote::Undispatched(_)))
    }

    pub(super) fn readings_posted(&mut self, interval: Interval, refused: Option<String>) {
        if let Some(dispatched) = self.dispatched.get_mut(&interval) {
            dispatched.refused_readings = refused;
        }
    }

    /// Why readings of intervals were refused, if any were.
    pub(super) fn refused_readings(&self) -> impl Iterator<Item = (Interval, &str)> {
        self.dispatched.iter().filter_map(|(t, d)| Some((*t, d.refused_readings.as_deref()?)))
    }

    /// Most power a session can take: the smaller of EVSE and car, in whole steps.
    pub(super) fn max_w(&self, stay: &Stay) -> Watts {
        self.site.assets[stay.lane].rated_w.min(stay.asked.max_w).floor_to_step()
    }

    /// Energy that flows from the newest reading until `until` at `power`: facts are cut before the running interval ends.
    /// Rounds down.
    fn projected_wh(&self, lane: usize, power: Watts, until: UnixTime) -> WattHours {
        WattHours((power.0 * (until.0 - self.registers[lane].time.0).max(0)).div_euclid(3600))
    }

    /// Setpoint of a lane at its newest reading, and the interval of that.
    fn ordered(&self, lane: usize) -> (Interval, Watts) {
        let interval = Interval::containing(self.registers[lane].time);
        (interval, self.setpoint(lane, interval))
    }

    pub(super) fn needs<'a>(&self, interval: Interval, stays: impl Iterator<Item = &'a Stay>) -> Vec<Need> {
        let mut needs: Vec<_> =
            stays.filter(|s| s.wants_energy()).filter_map(|stay| self.need(interval, stay)).collect();
        needs.sort_by_key(|n| n.lane);
        needs
    }

    fn need(&self, interval: Interval, stay: &Stay) -> Option<Need> {
        let AssetKind::Evse(evse) = &self.site.assets[stay.lane].kind else { return None };
        let (start, departure) = (interval.start(), stay.asked.departure);
        // Who is about to leave as declared is believed. A car still there after that gets what can be had now.
        if departure <= start && departure.0 > start.0 - CUT_S {
            return None;
        }
        let until = Interval::containing(departure).offset_from(interval).unwrap_or(0).clamp(1, HORIZON);
        let (register, (running, ordered)) = (&self.registers[stay.lane], self.ordered(stay.lane));
        let takes_w = stay.takes_w(running, register.import_wh, ordered, register.time.0 - running.start().0);
        let flowing = takes_w.map_or(ordered, |takes_w| takes_w.min(ordered));
        let delivered = register.import_wh - stay.start_wh() + self.projected_wh(stay.lane, flowing, start);
        let need = Need {
            session: stay.asked.session.clone(),
            lane: stay.lane,
            group: self.site.assets[stay.lane].group,
            from: 0,
            until,
            max_w: Stay::expected_max_w(takes_w, self.max_w(stay), evse.min_w),
            min_w: evse.min_w,
            energy_wh: stay.asked.energy_wh - delivered,
            car_w: stay.asked.max_w,
            running_w: self.running(stay.lane, interval),
            fixed: self.fixed(stay.lane, interval),
            ..Need::default()
        };
        let wants = need.energy_wh > WattHours::ZERO && takes_w != Some(Watts::ZERO) && need.max_w > Watts::ZERO;
        wants.then(|| Need { likely_until: self.likely_until(interval, stay, takes_w, &need), ..need })
    }

    /// What the plan before gives a lane from `first` on.
    fn running(&self, lane: usize, first: Interval) -> Vec<Watts> {
        let row = |plan: &Schedule| {
            let passed = first.offset_from(plan.first)?;
            Some(plan.power_w.get(lane)?.iter().skip(passed).copied().collect())
        };
        self.plan.as_ref().and_then(row).unwrap_or_default()
    }

    /// What the CPO has already posted for a lane.
    fn fixed(&self, lane: usize, first: Interval) -> Vec<(usize, Watts)> {
        let coming = self.cpo.range(first..first.plus(HORIZON));
        coming.filter_map(|(t, power)| Some((t.offset_from(first)?, power[lane]))).collect()
    }

    /// The problem of `horizon` intervals from `first` on.
    pub(super) fn problem(&self, signals: &Signals, first: Interval, horizon: usize, needs: Vec<Need>) -> Problem {
        let indices: Vec<_> = (0..horizon).filter_map(|k| signals.index(first.plus(k))).collect();
        let prices = |series: &[MicroPerKwh]| indices.iter().map(|&i| series[i]).collect::<Vec<_>>();
        let import_price = prices(&signals.import_price);
        let feed_in_price = prices(&signals.feed_in_price);
        let mean = import_price.iter().map(|p| p.0).sum::<i64>() / i64::try_from(horizon).unwrap_or(1);
        let forecasts = |wanted: &AssetKind| {
            let of_kind = |(lane, asset): (usize, &Asset)| {
                let series = signals.power_w.get(&asset.id)?;
                let power_w = indices.iter().map(|&i| series[i]).collect();
                (&asset.kind == wanted).then_some(Forecast { lane, group: asset.group, power_w })
            };
            self.site.assets.iter().enumerate().filter_map(of_kind).collect::<Vec<_>>()
        };
        Problem {
            site: self.site.id.clone(),
            first,
            horizon,
            lanes: self.site.assets.len(),
            groups: self.site.groups.iter().map(limits).collect(),
            needs,
            storages: self.storages(first, MicroPerKwh(mean * END_VALUE_PERCENT / 100)),
            pv: forecasts(&AssetKind::Pv),
            base_loads: forecasts(&AssetKind::BaseLoad),
            import_price,
            feed_in_price,
            shortfall_penalty: self.shortfall_penalty,
            risk_price: RISK_PRICE,
            ..Problem::default()
        }
    }

    fn batteries(&self) -> impl Iterator<Item = (usize, &Asset, &Battery)> {
        self.site.assets.iter().enumerate().filter_map(|(lane, asset)| match &asset.kind {
            AssetKind::Battery(battery) => Some((lane, asset, battery)),
            _ => None,
        })
    }

    fn storages(&self, first: Interval, end_value: MicroPerKwh) -> Vec<Storage> {
        let storage = |(lane, asset, battery): (usize, &Asset, &Battery)| Storage {
            lane,
            group: asset.group,
            max_w: asset.rated_w,
            capacity_wh: battery.capacity_wh,
            content_wh: self.content_wh(lane, battery, self.coming_wh(lane, asset.rated_w, first)),
            charge_percent: battery.charge_percent,
            discharge_percent: battery.discharge_percent,
            end_value,
            fixed: self.fixed(lane, first),
            ..Storage::default()
        };
        self.batteries().map(storage).collect()
    }

    /// What flows of a battery from the last boundary until `first` begins: what its meter says already, and the rest of the
    /// running interval as ordered. No more than its rating lets through in one interval, whatever a meter that was silent
    /// catches up with: a plan's content can be held against readings that were posted before and after it.
    fn coming_wh(&self, lane: usize, rated: Watts, first: Interval) -> WattHours {
        let register = &self.registers[lane];
        let metered = register.net_wh() - register.boundary_wh;
        let coming = metered + self.projected_wh(lane, self.ordered(lane).1, first.start());
        let most = rated.0 * INTERVAL_S / 3600;
        WattHours(coming.0.clamp(-most, most))
    }

    /// Content as at the last boundary with what is `coming`, rounded down.
    fn content_wh(&self, lane: usize, battery: &Battery, coming: WattHours) -> WattHours {
        WattHours(battery.content_after(self.registers[lane].stored, coming).div_euclid(CONTENT_PER_WH))
    }

    /// Closes an interval: its energy by lane, and the two readings that say so.
    pub(super) fn close(&mut self, interval: Interval, signals: &Signals) -> (Vec<WattHours>, Vec<Evidence>) {
        let energy_wh: Vec<_> = self.registers.iter().map(|r| r.net_wh() - r.boundary_wh).collect();
        let readings = self.registers.iter().map(|r| r.evidence(interval)).collect();
        for (register, (asset, energy)) in self.registers.iter_mut().zip(self.site.assets.iter().zip(&energy_wh)) {
            if let AssetKind::Battery(battery) = &asset.kind {
                register.stored = battery.content_after(register.stored, *energy);
            }
            register.boundary_wh = register.net_wh();
            register.boundary.clone_from(&register.newest);
        }
        let dispatched = self.dispatched.get(&interval).map(|d| (d.note.clone(), d.proof.clone()));
        let (note, proof) = dispatched.unwrap_or_else(|| {
            let reason = "no plan was made".to_owned();
            (PlanNote::Undispatched(reason.clone()), Proof::Uncertified(reason))
        });
        let record = Record {
            note,
            proof,
            violations: violations(&self.site, interval, &energy_wh, signals),
            content_wh: self.batteries().map(|(lane, _, b)| self.content_wh(lane, b, WattHours::ZERO)).sum(),
            energy_wh: energy_wh.clone(),
        };
        debug_assert_eq!(interval.offset_from(self.first), Some(self.records.len()), "intervals close in order");
        self.records.push(record);
        (energy_wh, readings)
    }
}

fn limits(group: &crate::site::Group) -> GroupLimit {
    GroupLimit {
        parent: group.parent,
        import_w: group.limit_import_w,
        export_w: group.limit_export_w,
        dimmed: Vec::new(),
    }
}

fn saturated(money: i128) -> Micro {
    Micro(i64::try_from(money).unwrap_or(if money > 0 { i64::MAX } else { i64::MIN }))
}
