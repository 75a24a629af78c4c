//! The controller: what happened goes in, what to do comes out. Synchronous and pure; `simulate` and the oracle's
//! engine both run it, and a journal of its events rebuilds it.
//!
//! One interval t of one site: `Cut` (facts are complete) → `Solve` → `Solved` → checked → `PostSetpoints` → `Posted` →
//! `Drive` → `Driven`; then `Ended` → `PostReadings`. Events of different assets commute, so that the order in which
//! sockets deliver them does not matter; everything that leaves is ordered by site and lane.

mod event;
mod record;
mod site;
mod stay;

pub use event::{Action, Asked, Event, Evidence};

use crate::certificate::{Certificate, Planned};
use crate::check::check;
use crate::device::Reading;
use crate::problem::{Need, Problem};
use crate::report::{PlanNote, SessionStage};
use crate::scenario::Scenario;
use crate::schedule::Status;
use crate::site::Site;
use crate::solve;
use crate::units::{HORIZON, Interval, Micro, UnixTime, WattHours, Watts};
use site::SiteState;
use stay::Stay;
use std::collections::BTreeMap;

/// Facts for an interval are cut this long before it starts: time to plan, post and command.
pub const CUT_S: i64 = 60;

/// A plan may cost so much more than its bound proves necessary, and a little more for every EVSE: an EVSE holds its least
/// power (about 1 kWh in the first quarter hour) or none, which moves some energy to dearer hours, and where power is scarce
/// leaves half a kWh to the price of unmet need. Days of the built-in scenarios stay below it; where no least power matters
/// their gaps are below 0.001 credit.
const TOLERANCE: Micro = Micro(1_000_000);
const TOLERANCE_PER_EVSE: Micro = Micro(30_000);

/// Most that a plan of a site may cost above its bound and still be posted as certified, unless its owner says otherwise.
pub fn tolerance(site: &Site) -> Micro {
    let evses = i64::try_from(site.evses().count()).unwrap_or(i64::MAX);
    Micro(TOLERANCE.0 + TOLERANCE_PER_EVSE.0.saturating_mul(evses))
}

/// The state machine of all sites of one oracle.
#[derive(Debug, Clone)]
pub struct Controller {
    scenario: Scenario,
    sites: Vec<SiteState>,
    stays: BTreeMap<String, Stay>,
    /// Time of the newest fact.
    now: UnixTime,
    day_ended: bool,
}

impl Controller {
    /// A controller before the first interval.
    pub fn new(scenario: Scenario) -> Self {
        let sites = scenario.sites.iter().map(|site| SiteState::new(site, &scenario)).collect();
        let now = scenario.signals.first.start();
        Self { scenario, sites, stays: BTreeMap::new(), now, day_ended: false }
    }

    /// Takes in one event; returns what to do about it.
    pub fn handle(&mut self, event: Event) -> Vec<Action> {
        match event {
            Event::Requested(asked) => self.requested(asked),
            Event::Plugged { session, reading } => self.plugged(&session, reading),
            Event::Metered(reading) => self.metered(&reading),
            Event::Unplugged { session, reading } => return self.unplugged(&session, reading),
            Event::CpoPosted { site, interval, power_w } => self.sites[site].adopt(interval, power_w),
            Event::Cut { interval } => return self.cut(interval),
            Event::Solved { site, interval, plan } => return self.solved(site, interval, *plan),
            Event::SolveFailed { site, interval, reason } => return self.fall_back(site, interval, &reason),
            Event::Posted { site, interval, uncertified, gas } => {
                return self.posted(site, interval, uncertified, gas);
            }
            Event::PostRefused { site, interval, reason } => return self.post_refused(site, interval, reason),
            Event::Driven { .. } => {}
            Event::Ended { interval } => return self.ended(interval),
            Event::ReadingsPosted { site, interval, refused } => self.sites[site].readings_posted(interval, refused),
            Event::Opened { session } => self.stage(&session, SessionStage::Active),
            Event::Tolerated { site, most } => self.sites[site].tolerance = most,
            Event::Amended { session, energy_wh, departure } => return self.amended(&session, energy_wh, departure),
            Event::OpenRefused { session, reason } => return self.open_refused(&session, reason),
            Event::Settled { session, receipt, paid } => return self.settled(&session, receipt, paid),
            Event::FlexibilityClaimed { session, reward } => self.claimed(&session, reward),
            Event::SettleRefused { session, reason } => self.settle_refused(&session, reason),
            Event::DayEnded => return self.end_day(),
        }
        Vec::new()
    }

    /// What was claimed for the flexibility of a session; `None` where there is none of this id.
    pub fn reward(&self, session: &str) -> Option<Micro> {
        self.stays.get(session).map(Stay::reward)
    }

    /// Whether every session that was seen has come to its end.
    pub fn finished(&self) -> bool {
        self.day_ended && self.stays.values().all(Stay::is_final)
    }

    /// Sessions that run at an EVSE now, by session id.
    pub fn session_at(&self, evse: &str) -> Option<&str> {
        self.stays.iter().find(|(_, s)| s.asked.evse == evse && s.is_plugged()).map(|(id, _)| id.as_str())
    }

    /// Setpoint of an EVSE, PV inverter or battery in an interval: what was driven, 0 where nothing was.
    pub fn setpoint(&self, site: usize, lane: usize, interval: Interval) -> Watts {
        self.sites[site].setpoint(lane, interval)
    }

    /// Metered energy by closed interval and lane of a site.
    pub fn energy_wh(&self, site: usize) -> Vec<Vec<WattHours>> {
        self.sites[site].records.iter().map(|record| record.energy_wh.clone()).collect()
    }

    /// Most that a plan of a site may cost above its bound and still be posted as certified.
    pub fn tolerance(&self, site: usize) -> Micro {
        self.sites[site].tolerance
    }

    /// The certificate of a site's newest plan, or why it has none.
    pub fn certificate(&self, site: usize) -> Result<&Certificate, &str> {
        self.sites[site].certificate()
    }

    fn requested(&mut self, asked: Asked) {
        if let Some((site, lane)) = self.scenario.site_of_evse(&asked.evse) {
            self.stays.entry(asked.session.clone()).or_insert_with(|| Stay::new(asked, site, lane));
        }
    }

    fn plugged(&mut self, session: &str, reading: Reading) {
        self.metered(&reading);
        if let Some(stay) = self.stays.get_mut(session) {
            stay.plug(reading);
        }
    }

    fn metered(&mut self, reading: &Reading) {
        self.now = self.now.max(reading.time);
        for site in &mut self.sites {
            site.metered(reading);
        }
    }

    fn unplugged(&mut self, session: &str, reading: Reading) -> Vec<Action> {
        self.metered(&reading);
        if let Some(stay) = self.stays.get_mut(session) {
            let site = &mut self.sites[stay.site];
            let setpoint = site.setpoint(stay.lane, last_interval(&reading));
            let teaches = stay.is_plugged() && !stay.is_refused();
            stay.unplug(reading, setpoint);
            if teaches {
                site.learn(stay);
            }
        }
        if self.day_ended { self.settle_ended() } else { Vec::new() }
    }

    fn stage(&mut self, session: &str, stage: SessionStage) {
        if let Some(stay) = self.stays.get_mut(session) {
            stay.advance_to(stage);
        }
    }

    /// Bills first, so that an EVSE is free on chain before its next session opens; then openings; then the plans.
    fn cut(&mut self, interval: Interval) -> Vec<Action> {
        let mut actions = self.settle_ended();
        actions.extend(self.open_plugged());
        for site in 0..self.sites.len() {
            if let Some(power_w) = self.sites[site].adopted(interval) {
                self.sites[site].dispatch(interval, power_w.clone(), PlanNote::Cpo);
                actions.push(Action::Drive { site, interval, power_w });
            } else {
                let problem = self.problem(site, interval);
                self.sites[site].pending = Some(problem.clone());
                actions.push(Action::Solve { site, problem: Box::new(problem) });
            }
        }
        actions
    }

    fn problem(&self, site: usize, interval: Interval) -> Problem {
        let needs = self.sites[site].needs(interval, self.stays.values().filter(|s| s.site == site));
        self.sites[site].problem(&self.scenario.signals, interval, HORIZON, needs)
    }

    fn solved(&mut self, site: usize, interval: Interval, plan: Planned) -> Vec<Action> {
        let Some(problem) = self.sites[site].pending.clone().filter(|p| p.first == interval) else { return Vec::new() };
        let violations = check(&problem, &plan.schedule);
        if let Some(first) = violations.first() {
            let reason = format!("the plan breaks {} rules, the first: {first}", violations.len());
            return self.fall_back(site, interval, &reason);
        }
        self.post(site, interval, plan)
    }

    fn fall_back(&mut self, site: usize, interval: Interval, reason: &str) -> Vec<Action> {
        let Some(problem) = self.sites[site].pending.clone().filter(|p| p.first == interval) else { return Vec::new() };
        let schedule = solve::fallback(&problem, reason);
        let broken = check(&problem, &schedule);
        assert!(broken.is_empty(), "the fallback breaks {broken:?}: a fault of the fallback, not of the day");
        self.post(site, interval, Planned::uncertified(schedule, format!("a fallback: {reason}")))
    }

    fn post(&mut self, site: usize, interval: Interval, plan: Planned) -> Vec<Action> {
        let Planned { schedule, certificate } = plan;
        let power_w = schedule.column(0);
        let most = self.tolerance(site);
        let certificate = certificate.and_then(|certificate| match certificate.verdict.gap_micro() {
            gap if gap > i128::from(most.0) => {
                Err(format!("{gap} micro-credits above its bound, at most {most} are tolerated"))
            }
            _ => Ok(certificate),
        });
        self.sites[site].planned(schedule, certificate.clone());
        vec![Action::PostSetpoints { site, interval, power_w, certificate }]
    }

    fn posted(&mut self, site: usize, interval: Interval, uncertified: Option<String>, gas: u64) -> Vec<Action> {
        let Some(plan) = self.sites[site].plan_for(interval) else { return Vec::new() };
        let power_w = plan.column(0);
        let note = match &plan.status {
            Status::Optimal => PlanNote::Optimal,
            Status::TimeLimit => PlanNote::TimeLimit,
            Status::Fallback { reason } => PlanNote::Fallback(reason.clone()),
        };
        self.sites[site].proved(uncertified, gas);
        self.sites[site].dispatch(interval, power_w.clone(), note);
        vec![Action::Drive { site, interval, power_w }]
    }

    /// A CPO's own post came first: it is adopted. Refused for any other reason, nothing may flow.
    fn post_refused(&mut self, site: usize, interval: Interval, reason: String) -> Vec<Action> {
        let (power_w, note) = match self.sites[site].adopted(interval) {
            Some(power_w) => (power_w, PlanNote::Cpo),
            None => (self.sites[site].nothing(), PlanNote::Undispatched(reason)),
        };
        self.sites[site].dispatch(interval, power_w.clone(), note);
        vec![Action::Drive { site, interval, power_w }]
    }

    fn ended(&mut self, interval: Interval) -> Vec<Action> {
        self.now = self.now.max(interval.end());
        for stay in self.stays.values_mut() {
            let site = &self.sites[stay.site];
            stay.interval_ended(interval, site.register(stay.lane), site.setpoint(stay.lane, interval));
        }
        let mut actions = Vec::new();
        for (index, site) in self.sites.iter_mut().enumerate() {
            let on_chain = site.is_on_chain(interval);
            let (energy_wh, readings) = site.close(interval, &self.scenario.signals);
            if on_chain {
                actions.push(Action::PostReadings { site: index, interval, energy_wh, readings });
            }
        }
        actions.extend(self.settle_ended());
        actions
    }

    fn open_plugged(&mut self) -> Vec<Action> {
        let mut opening: Vec<_> =
            self.stays.iter_mut().filter_map(|(id, s)| s.send_opening().then_some((id, s))).collect();
        opening.sort_by_key(|(_, s)| (s.site, s.lane));
        opening.into_iter().map(|(id, _)| Action::Open { session: id.clone() }).collect()
    }

    fn amended(&mut self, session: &str, energy_wh: WattHours, departure: UnixTime) -> Vec<Action> {
        let Some(stay) = self.stays.get_mut(session) else { return Vec::new() };
        stay.asked.energy_wh = energy_wh;
        stay.asked.departure = departure;
        let leaves = stay.is_plugged() && departure <= self.now;
        if leaves { vec![Action::Stop { session: session.to_owned() }] } else { Vec::new() }
    }

    fn open_refused(&mut self, session: &str, reason: String) -> Vec<Action> {
        let Some(stay) = self.stays.get_mut(session) else { return Vec::new() };
        let running = stay.is_plugged();
        stay.refuse(reason);
        if running { vec![Action::Stop { session: session.to_owned() }] } else { Vec::new() }
    }

    /// Sessions that have ended go to the bill once, in the order of sites and lanes.
    fn settle_ended(&mut self) -> Vec<Action> {
        let mut ended: Vec<_> = self.stays.iter_mut().filter(|(_, s)| s.wants_settling()).collect();
        ended.sort_by_key(|(_, s)| (s.site, s.lane));
        let signals = &self.scenario.signals;
        let settle = |(id, stay): (&String, &mut Stay)| {
            let site = &self.sites[stay.site];
            let (max_w, lane) = (site.max_w(stay), stay.lane);
            stay.assess(max_w, signals, |t| site.node_price(lane, t), |t| site.is_certified(t));
            let (start, stop) = stay.bill()?;
            Some(Action::Settle { session: id.clone(), start, stop })
        };
        ended.into_iter().filter_map(settle).collect()
    }

    /// What a session's flexibility was worth is claimed apart from its bill; who charges at home earns nothing.
    fn settled(&mut self, session: &str, receipt: String, paid: Micro) -> Vec<Action> {
        let Some(stay) = self.stays.get_mut(session) else { return Vec::new() };
        let claim = stay.settled(receipt, paid);
        let claim = claim.map(|flexibility| Action::ClaimFlexibility { session: session.to_owned(), flexibility });
        claim.into_iter().collect()
    }

    fn claimed(&mut self, session: &str, reward: Result<Micro, String>) {
        if let Some(stay) = self.stays.get_mut(session) {
            stay.claimed(reward);
        }
    }

    fn settle_refused(&mut self, session: &str, reason: String) {
        if let Some(stay) = self.stays.get_mut(session) {
            stay.refuse(reason);
        }
    }

    fn end_day(&mut self) -> Vec<Action> {
        self.day_ended = true;
        let mut actions = self.settle_ended();
        let running = self.stays.iter().filter(|(_, s)| s.is_plugged());
        actions.extend(running.map(|(id, _)| Action::Stop { session: id.clone() }));
        actions
    }
}

/// The problem of the whole of the scenario's day at a site, with all `needs` known ahead: what it could have been.
pub fn with_foresight(site: &Site, scenario: &Scenario, needs: Vec<Need>) -> Problem {
    let signals = &scenario.signals;
    SiteState::new(site, scenario).problem(signals, signals.first, signals.len(), needs)
}

/// The interval that a closing reading belongs to: at a boundary the one that ends there.
fn last_interval(reading: &Reading) -> Interval {
    Interval::containing(UnixTime(reading.time.0 - 1))
}
