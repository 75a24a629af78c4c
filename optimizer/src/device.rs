//! What stands on the ground, as physics: cars, PV inverters, batteries, base loads and the meters before them.
//!
//! `simulate` moves these models in its own process; the `devices` process moves the same ones behind OCPP sockets. Both
//! step from event to event and at most a minute at a time, in integers, so both meter the same watt-hour.

use crate::scenario::Scenario;
use crate::session::Session;
use crate::site::{Asset, AssetKind, Battery, Evse};
use crate::units::{INTERVAL_S, Interval, UnixTime, WattHours, Watts};
use serde::{Deserialize, Serialize};

/// Longest step of the battery model: a tapering car's power is held this long.
const STEP_S: i64 = 60;
/// Share of capacity (per cent) above which a car tapers: constant voltage begins near 80 % for today's cells.
const TAPER_FROM_PERCENT: i64 = 80;
/// A tapering car still draws this share (per cent) of its maximum just before it is full.
const TAPER_FLOOR_PERCENT: i64 = 5;
const WS_PER_WH: i64 = 3600;

/// Why a meter took a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Context {
    /// The regular reading.
    Interval,
    /// A session begins.
    Begin,
    /// A session ends.
    End,
}

/// What a meter shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Clear-text id of the asset.
    pub asset: String,
    /// Register of energy drawn from the site bus.
    pub import_wh: WattHours,
    /// Register of energy fed to the site bus.
    pub export_wh: WattHours,
    /// When.
    pub time: UnixTime,
    /// Rises by one with every reading of this meter.
    pub counter: u64,
    /// Why.
    pub context: Context,
}

/// What happened at an asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceEvent {
    /// A car plugged in; `session` is an index into the device's own list.
    Plugged {
        /// The session.
        session: Session,
        /// Register at its beginning.
        reading: Reading,
    },
    /// The car left.
    Unplugged {
        /// The session.
        session: Session,
        /// Register at its end.
        reading: Reading,
    },
    /// A regular reading.
    Metered(Reading),
}

/// Power ordered for a time; before and after it the safe power holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// First second.
    pub from: UnixTime,
    /// First second after it.
    pub until: UnixTime,
    /// Power, signed.
    pub power_w: Watts,
}

#[derive(Debug, Clone, Default)]
struct Meter {
    import_ws: i64,
    export_ws: i64,
    counter: u64,
}

impl Meter {
    fn run(&mut self, power_w: i64, seconds: i64) {
        if power_w >= 0 {
            self.import_ws += power_w * seconds;
        } else {
            self.export_ws += -power_w * seconds;
        }
    }

    fn read(&mut self, asset: &str, time: UnixTime, context: Context) -> Reading {
        self.counter += 1;
        Reading {
            asset: asset.to_owned(),
            import_wh: WattHours(self.import_ws / WS_PER_WH),
            export_wh: WattHours(self.export_ws / WS_PER_WH),
            time,
            counter: self.counter,
            context,
        }
    }
}

#[derive(Debug, Clone)]
struct Car {
    session: Session,
    taken_ws: i64,
    /// The network refused it: it stands there, but draws nothing and has no transaction.
    refused: bool,
}

#[derive(Debug, Clone)]
enum Physics {
    Evse { evse: Evse, coming: Vec<Session>, car: Option<Car> },
    Pv { available_w: Vec<Watts> },
    Battery { battery: Battery, content_ws: i64 },
    BaseLoad { power_w: Vec<Watts> },
}

/// One asset with its meter.
#[derive(Debug, Clone)]
pub struct Device {
    /// Clear-text id of the asset.
    pub id: String,
    rated_w: i64,
    first: Interval,
    now: UnixTime,
    /// In the order of their beginnings; the past is dropped.
    commands: Vec<Command>,
    /// Power that holds without a command: what may flow when the link is lost.
    safe_w: Watts,
    meter: Meter,
    physics: Physics,
}

impl Device {
    /// The device of `asset`, at the beginning of the scenario.
    pub fn new(scenario: &Scenario, asset: &Asset) -> Self {
        let series = || scenario.signals.power_w.get(&asset.id).cloned().unwrap_or_default();
        let physics = match &asset.kind {
            AssetKind::Evse(evse) => {
                let mut coming: Vec<_> = scenario.sessions.iter().filter(|s| s.evse == asset.id).cloned().collect();
                coming.sort_by_key(|s| std::cmp::Reverse(s.arrival));
                Physics::Evse { evse: evse.clone(), coming, car: None }
            }
            AssetKind::Pv => Physics::Pv { available_w: series() },
            AssetKind::Battery(battery) => {
                Physics::Battery { content_ws: battery.start_wh.0 * WS_PER_WH, battery: battery.clone() }
            }
            AssetKind::BaseLoad => Physics::BaseLoad { power_w: series() },
        };
        Self {
            id: asset.id.clone(),
            rated_w: asset.rated_w.0,
            first: scenario.signals.first,
            now: scenario.signals.first.start(),
            commands: Vec::new(),
            safe_w: Watts::ZERO,
            meter: Meter::default(),
            physics,
        }
    }

    /// Scenario time of this device.
    pub fn now(&self) -> UnixTime {
        self.now
    }

    /// Orders power for a time. Of two orders for the same second the later one wins.
    pub fn command(&mut self, command: Command) {
        self.commands.retain(|c| c.until > self.now && c.from != command.from);
        self.commands.push(command);
        self.commands.sort_by_key(|c| c.from);
    }

    /// Sets the power that holds without a command.
    pub fn set_safe(&mut self, power_w: Watts) {
        self.safe_w = power_w;
    }

    /// The network refused the car that stands here: it gets nothing, and leaves no transaction behind.
    pub fn refuse(&mut self) {
        if let Physics::Evse { car: Some(car), .. } = &mut self.physics {
            car.refused = true;
        }
    }

    /// Power now, signed.
    pub fn power_w(&self) -> Watts {
        Watts(self.power_at(self.now))
    }

    /// The session that runs here.
    pub fn session(&self) -> Option<&Session> {
        match &self.physics {
            Physics::Evse { car: Some(car), .. } if !car.refused => Some(&car.session),
            _ => None,
        }
    }

    /// Ends the session that runs here, as a remote stop does; the car stays, but draws nothing more.
    pub fn stop(&mut self) -> Option<DeviceEvent> {
        let Physics::Evse { car: Some(car), .. } = &mut self.physics else {
            return None;
        };
        if car.refused {
            return None;
        }
        car.refused = true;
        let session = car.session.clone();
        let reading = self.meter.read(&self.id, self.now, Context::End);
        Some(DeviceEvent::Unplugged { session, reading })
    }

    /// Moves on to `until` and tells what happened, in order. A meter is read at every quarter hour, and at `until`
    /// batteries and EVSEs with a transaction too. A time that is not later than now changes nothing.
    pub fn advance(&mut self, until: UnixTime) -> Vec<DeviceEvent> {
        let mut events = Vec::new();
        while self.now < until {
            let next = self.next_change(until);
            self.flow(next.0 - self.now.0);
            self.now = next;
            self.leave(&mut events);
            let boundary = self.now.0 % INTERVAL_S == 0;
            if boundary || (self.now == until && self.is_watched()) {
                events.push(DeviceEvent::Metered(self.meter.read(&self.id, self.now, Context::Interval)));
            }
            self.arrive(&mut events);
        }
        events
    }

    /// What the next plan depends on is read at every stop of the clock.
    fn is_watched(&self) -> bool {
        match &self.physics {
            Physics::Evse { car, .. } => car.as_ref().is_some_and(|c| !c.refused),
            Physics::Battery { .. } => true,
            _ => false,
        }
    }

    /// The next moment at which anything changes, at most a step away.
    fn next_change(&self, until: UnixTime) -> UnixTime {
        let mut next = until.0.min(self.now.0 + STEP_S).min((self.now.0.div_euclid(INTERVAL_S) + 1) * INTERVAL_S);
        let mut consider = |time: UnixTime| {
            if time > self.now {
                next = next.min(time.0);
            }
        };
        for command in &self.commands {
            consider(command.from);
            consider(command.until);
        }
        if let Physics::Evse { coming, car, .. } = &self.physics {
            coming.last().iter().for_each(|s| consider(s.arrival));
            car.iter().for_each(|c| consider(c.session.vehicle.unplugged));
        }
        UnixTime(next)
    }

    fn flow(&mut self, seconds: i64) {
        let power = self.power_at(self.now);
        let mut flown = power;
        match &mut self.physics {
            Physics::Evse { car: Some(car), .. } => {
                // The car stops by itself at its limit, even within a step.
                let room_ws = takes_ws(&car.session) - car.taken_ws;
                let energy = (power * seconds).min(room_ws);
                car.taken_ws += energy;
                self.meter.import_ws += energy;
                flown = 0;
            }
            Physics::Battery { battery, content_ws } => {
                let stored = power * seconds;
                let percent = if stored >= 0 { battery.charge_percent } else { battery.discharge_percent };
                *content_ws = (*content_ws + stored * percent / 100).clamp(0, battery.capacity_wh.0 * WS_PER_WH);
            }
            _ => {}
        }
        self.meter.run(flown, seconds);
    }

    fn ordered_w(&self, time: UnixTime) -> Watts {
        let holds = |c: &&Command| c.from <= time && time < c.until;
        self.commands.iter().rev().find(holds).map_or(self.safe_w, |c| c.power_w)
    }

    fn power_at(&self, time: UnixTime) -> i64 {
        let ordered = self.ordered_w(time).0;
        let offset = Interval::containing(time).offset_from(self.first).unwrap_or_default();
        let of = |series: &[Watts]| series.get(offset).copied().unwrap_or_default().0;
        match &self.physics {
            Physics::Evse { evse, car: Some(car), .. } if !car.refused => {
                let limit = ordered.min(self.rated_w);
                if limit < evse.min_w.0 { 0 } else { limit.min(acceptance_w(car)) }
            }
            Physics::Evse { .. } => 0,
            Physics::Pv { available_w } => -of(available_w).min((-ordered).max(0)),
            Physics::BaseLoad { power_w } => of(power_w),
            Physics::Battery { battery, content_ws } => {
                let power = ordered.clamp(-self.rated_w, self.rated_w);
                // A step at this power must neither overfill nor overdraw it.
                let room = battery.capacity_wh.0 * WS_PER_WH - content_ws;
                let most_in = room * 100 / battery.charge_percent / STEP_S;
                let most_out = content_ws * 100 / battery.discharge_percent / STEP_S;
                power.clamp(-most_out, most_in)
            }
        }
    }

    fn leave(&mut self, events: &mut Vec<DeviceEvent>) {
        let Physics::Evse { car, .. } = &mut self.physics else {
            return;
        };
        if let Some(gone) = car.take_if(|c| c.session.vehicle.unplugged <= self.now)
            && !gone.refused
        {
            let reading = self.meter.read(&self.id, self.now, Context::End);
            events.push(DeviceEvent::Unplugged { session: gone.session, reading });
        }
    }

    fn arrive(&mut self, events: &mut Vec<DeviceEvent>) {
        let Physics::Evse { coming, car, .. } = &mut self.physics else {
            return;
        };
        if coming.last().is_some_and(|s| s.arrival <= self.now)
            && car.is_none()
            && let Some(session) = coming.pop()
        {
            *car = Some(Car { session: session.clone(), taken_ws: 0, refused: false });
            let reading = self.meter.read(&self.id, self.now, Context::Begin);
            events.push(DeviceEvent::Plugged { session, reading });
        }
    }
}

/// Energy after which the car stops by itself, Ws.
fn takes_ws(session: &Session) -> i64 {
    let room = session.vehicle.capacity_wh - session.vehicle.start_wh;
    session.vehicle.takes_wh.min(room).0 * WS_PER_WH
}

/// Most power the car takes now: constant up to 80 % of its capacity, then falling linearly towards full.
fn acceptance_w(car: &Car) -> i64 {
    let vehicle = &car.session.vehicle;
    if car.taken_ws >= takes_ws(&car.session) {
        return 0;
    }
    let capacity_ws = vehicle.capacity_wh.0 * WS_PER_WH;
    let content_ws = vehicle.start_wh.0 * WS_PER_WH + car.taken_ws;
    let taper_ws = capacity_ws / 100 * (100 - TAPER_FROM_PERCENT);
    let room_ws = capacity_ws - content_ws;
    if room_ws >= taper_ws || taper_ws == 0 {
        return vehicle.max_w.0;
    }
    (vehicle.max_w.0 * room_ws / taper_ws).max(vehicle.max_w.0 * TAPER_FLOOR_PERCENT / 100)
}
