//! A day without a chain: the controller and the devices in one process, in lock-step. The oracle's engine does the
//! same with sockets and contracts between them, and must reach the same setpoints.

use crate::certificate::Planned;
use crate::controller::{Action, Asked, CUT_S, Controller, Event};
use crate::device::{Command, Device, DeviceEvent, Reading};
use crate::problem::Problem;
use crate::report::Report;
use crate::scenario::Scenario;
use crate::session::Session;
use crate::settlement;
use crate::site::{AssetKind, Site};
use crate::solve::{Planner, SolveError};
use crate::units::{Interval, Micro, MicroPerKwh, UnixTime, WattHours, Watts};
use std::collections::BTreeMap;

/// Longest a plan may take; past it the interval falls back to least laxity first.
pub const SOLVE_LIMIT_MS: u32 = 10_000;

/// What plans.
pub type Plan<'a> = dyn FnMut(&Problem) -> Result<Planned, SolveError> + 'a;

/// A simulated day.
#[derive(Debug)]
pub struct Day {
    /// What it came to.
    pub report: Report,
    /// Setpoints by site, interval and lane.
    pub setpoints: Vec<Vec<Vec<Watts>>>,
    /// Metered energy by site, interval and lane.
    pub energy_wh: Vec<Vec<Vec<WattHours>>>,
}

/// Simulates the whole scenario; `progress` is called after every interval.
pub fn simulate(scenario: &Scenario, progress: impl FnMut(&Report)) -> Day {
    let mut plan = |problem: &Problem| Planned::of(&mut Planner::new(), problem, SOLVE_LIMIT_MS);
    let mut day = simulate_with(scenario, &mut plan, progress);
    compare_uncontrolled(scenario, &mut day.report);
    day
}

/// Simulates the whole scenario with plans by `plan`, checked and driven like any other; without what the day would
/// have been uncontrolled.
pub fn simulate_with(scenario: &Scenario, plan: &mut Plan<'_>, mut progress: impl FnMut(&Report)) -> Day {
    let mut world = World::new(scenario, plan);
    for k in 0..scenario.signals.len() {
        let interval = scenario.signals.first.plus(k);
        world.advance(UnixTime(interval.start().0 - CUT_S));
        world.handle(Event::Cut { interval });
        world.advance(interval.start());
        world.end_before(interval);
        progress(&world.controller.report());
    }
    let end = scenario.signals.first.plus(scenario.signals.len());
    world.advance(end.start());
    world.end_before(end);
    world.handle(Event::DayEnded);
    let energy_wh = (0..scenario.sites.len()).map(|site| world.controller.energy_wh(site)).collect();
    Day { report: world.controller.report(), setpoints: world.setpoints(), energy_wh }
}

/// Fills in what the same day would have been [`uncontrolled`].
pub fn compare_uncontrolled(scenario: &Scenario, report: &mut Report) {
    for (site, report) in scenario.sites.iter().zip(&mut report.sites) {
        let net_wh = uncontrolled(scenario, site).net_wh();
        report.uncontrolled_net_w = net_wh.iter().map(|wh| crate::report::mean_w(*wh)).collect();
        report.peak_uncontrolled_w = report.uncontrolled_net_w.iter().copied().max().unwrap_or_default();
        report.cost_uncontrolled = crate::report::grid_cost(&net_wh, &scenario.signals);
    }
}

/// A day that nobody planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uncontrolled {
    /// By interval and lane: metered energy, signed as on the bus.
    pub lanes_wh: Vec<Vec<WattHours>>,
    /// What each session took until its end, or the day's.
    pub delivered_wh: BTreeMap<String, WattHours>,
}

impl Uncontrolled {
    /// Net energy of the site by interval.
    pub fn net_wh(&self) -> Vec<WattHours> {
        self.lanes_wh.iter().map(|lanes| lanes.iter().copied().sum()).collect()
    }
}

/// What the day would have been with every car charging at once at full power, PV feeding all it can and batteries idle,
/// whatever the limits.
pub fn uncontrolled(scenario: &Scenario, site: &Site) -> Uncontrolled {
    let mut devices: Vec<_> = site.assets.iter().map(|asset| Device::new(scenario, asset)).collect();
    for (device, asset) in devices.iter_mut().zip(&site.assets) {
        device.set_safe(match &asset.kind {
            AssetKind::Evse(_) => asset.rated_w,
            AssetKind::Pv => Watts(-asset.rated_w.0),
            AssetKind::Battery(_) | AssetKind::BaseLoad => Watts::ZERO,
        });
    }
    let mut registers = vec![WattHours::ZERO; devices.len()];
    let mut begun: Vec<Option<(String, WattHours)>> = vec![None; devices.len()];
    let mut day = Uncontrolled { lanes_wh: Vec::with_capacity(scenario.signals.len()), delivered_wh: BTreeMap::new() };
    for k in 0..scenario.signals.len() {
        let mut lanes = Vec::with_capacity(devices.len());
        for ((device, register), begun) in devices.iter_mut().zip(&mut registers).zip(&mut begun) {
            let before = *register;
            for event in device.advance(scenario.signals.first.plus(k).end()) {
                let (DeviceEvent::Metered(reading)
                | DeviceEvent::Plugged { reading, .. }
                | DeviceEvent::Unplugged { reading, .. }) = &event;
                *register = net_of(reading);
                if let Some((session, at)) = begun {
                    day.delivered_wh.insert(session.clone(), *register - *at);
                }
                match event {
                    DeviceEvent::Plugged { session, .. } => *begun = Some((session.id, *register)),
                    DeviceEvent::Unplugged { .. } => *begun = None,
                    DeviceEvent::Metered(_) => {}
                }
            }
            lanes.push(*register - before);
        }
        day.lanes_wh.push(lanes);
    }
    day
}

fn net_of(reading: &Reading) -> WattHours {
    reading.import_wh - reading.export_wh
}

struct World<'a, 'p> {
    scenario: &'a Scenario,
    plan: &'a mut Plan<'p>,
    controller: Controller,
    /// By site and lane.
    devices: Vec<Vec<Device>>,
}

impl<'a, 'p> World<'a, 'p> {
    fn new(scenario: &'a Scenario, plan: &'a mut Plan<'p>) -> Self {
        let devices_of = |site: &Site| site.assets.iter().map(|a| Device::new(scenario, a)).collect();
        Self {
            scenario,
            plan,
            controller: Controller::new(scenario.clone()),
            devices: scenario.sites.iter().map(devices_of).collect(),
        }
    }

    fn advance(&mut self, until: UnixTime) {
        for site in 0..self.devices.len() {
            for lane in 0..self.devices[site].len() {
                for event in self.devices[site][lane].advance(until) {
                    self.happened(site, event);
                }
            }
        }
    }

    fn happened(&mut self, site: usize, event: DeviceEvent) {
        match event {
            DeviceEvent::Metered(reading) => self.handle(Event::Metered(reading)),
            DeviceEvent::Unplugged { session, reading } => {
                self.handle(Event::Unplugged { session: session.id, reading });
            }
            DeviceEvent::Plugged { session, reading } => {
                self.handle(Event::Requested(asked(self.scenario, site, &session)));
                self.handle(Event::Plugged { session: session.id, reading });
            }
        }
    }

    /// Handles an event and all that follows from it, the chain saying yes to everything.
    fn handle(&mut self, event: Event) {
        let mut queue = vec![event];
        while let Some(event) = queue.pop() {
            let mut outcomes: Vec<_> = self.controller.handle(event).into_iter().flat_map(|a| self.act(a)).collect();
            outcomes.reverse();
            queue.extend(outcomes);
        }
    }

    fn act(&mut self, action: Action) -> Option<Event> {
        Some(match action {
            Action::Solve { site, problem } => match (self.plan)(&problem) {
                Ok(plan) => Event::Solved { site, interval: problem.first, plan: Box::new(plan) },
                Err(error) => Event::SolveFailed { site, interval: problem.first, reason: error.to_string() },
            },
            Action::PostSetpoints { site, interval, certificate, .. } => {
                Event::Posted { site, interval, uncertified: certificate.err(), gas: 0 }
            }
            Action::Drive { site, interval, power_w } => {
                for (device, power_w) in self.devices[site].iter_mut().zip(power_w) {
                    device.command(Command { from: interval.start(), until: interval.end(), power_w });
                }
                Event::Driven { site, interval }
            }
            Action::PostReadings { site, interval, .. } => Event::ReadingsPosted { site, interval, refused: None },
            Action::Open { session } => Event::Opened { session },
            Action::Stop { session } => {
                let devices = self.devices.iter_mut().flatten();
                let stopped = devices.filter(|d| d.session().is_some_and(|s| s.id == session)).find_map(Device::stop);
                let Some(DeviceEvent::Unplugged { session, reading }) = stopped else { return None };
                Event::Unplugged { session: session.id, reading }
            }
            Action::Settle { session, start, stop } => self.settle(session, &start, &stop),
            Action::ClaimFlexibility { session, flexibility } => {
                Event::FlexibilityClaimed { session, reward: Ok(settlement::reward(flexibility.worth)) }
            }
        })
    }

    fn settle(&self, session: String, start: &Reading, stop: &Reading) -> Event {
        let asked = self.scenario.sessions.iter().find(|s| s.id == session).and_then(|s| {
            let (site, _) = self.scenario.site_of_evse(&s.evse)?;
            Some(asked(self.scenario, site, s))
        });
        let paid = asked.map_or(Micro::ZERO, |asked| {
            let held = settlement::total_ceiling(asked.energy_wh, asked.price);
            settlement::bill(stop.import_wh - start.import_wh, asked.price, held)
        });
        Event::Settled { session, receipt: String::new(), paid }
    }

    /// The interval before `next` is over.
    fn end_before(&mut self, next: Interval) {
        if let Some(interval) = next.0.checked_sub(1).map(Interval).filter(|t| *t >= self.scenario.signals.first) {
            self.handle(Event::Ended { interval });
        }
    }

    fn setpoints(&self) -> Vec<Vec<Vec<Watts>>> {
        let lanes = |site: usize, t: Interval| {
            (0..self.devices[site].len()).map(|lane| self.controller.setpoint(site, lane, t)).collect()
        };
        let intervals = |site: usize| {
            (0..self.scenario.signals.len()).map(|k| lanes(site, self.scenario.signals.first.plus(k))).collect()
        };
        (0..self.devices.len()).map(intervals).collect()
    }
}

/// What the driver of a session asks for.
pub fn asked(scenario: &Scenario, site: usize, session: &Session) -> Asked {
    let price = scenario.sites[site].evses().find(|(_, a, _)| a.id == session.evse).map(|(_, _, e)| e.price);
    let owner = scenario.sites[site].owner == session.driver;
    Asked {
        session: session.id.clone(),
        driver: session.driver.clone(),
        evse: session.evse.clone(),
        energy_wh: session.energy_wh,
        departure: session.departure,
        max_w: session.vehicle.max_w,
        price: if owner { MicroPerKwh::ZERO } else { price.unwrap_or_default() },
    }
}
