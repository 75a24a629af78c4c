//! Recorded sessions on a site of one's own.

use super::{FieldSession, time};
use crate::scenario::{STAY_MAX_S, Scenario, Warning, misfit};
use crate::session::{Driver, Session, Vehicle};
use crate::site::{Asset, Evse};
use crate::units::{INTERVALS_PER_HOUR, Interval, Micro, UnixTime, WattHours, Watts};
use chrono::{DateTime, NaiveDate, TimeDelta};
use chrono_tz::Tz;
use std::collections::{BTreeMap, BTreeSet};

/// What the field data does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Name of the session file, for warnings.
    pub file: String,
    /// Most power of every car.
    pub car_max_w: Watts,
    /// Battery of every car; larger where one asked for or took more.
    pub battery_wh: WattHours,
    /// Money every driver has beyond what the requests can cost.
    pub spare: Micro,
    /// Balance below which every driver wants to be told.
    pub low_balance: Micro,
}

impl Default for Options {
    /// Cars with three phases of 16 A (the most common onboard charger, see the fleet in `data/README.md`) and 80 kWh.
    fn default() -> Self {
        Self {
            file: "sessions".to_owned(),
            car_max_w: Watts(11_040),
            battery_wh: WattHours(80_000),
            spare: Micro(20_000_000),
            low_balance: Micro(5_000_000),
        }
    }
}

/// The local days on which sessions arrived, with how many: to choose one from.
pub fn days(sessions: &[FieldSession]) -> BTreeMap<NaiveDate, usize> {
    let mut days = BTreeMap::new();
    for session in sessions {
        *days.entry(session.arrival.date_naive()).or_default() += 1;
    }
    days
}

/// Replays the sessions that arrived on the local `date` on the sites of `template`, on its first day, at the same local
/// times of day (the clock of the template's first site). Sites and signals stay the template's.
///
/// A station keeps its EVSE as long as that is free and strong enough for what was delivered; otherwise the next free
/// one serves, and a session for which there is none is left out with a warning. A car takes what was delivered and
/// unplugs when it really did; its driver declares what was declared (what happened, where nothing was). Without a user
/// id, each session has a driver of its own.
pub fn place(
    sessions: &[FieldSession],
    template: &Scenario,
    date: NaiveDate,
    options: &Options,
) -> (Scenario, Vec<Warning>) {
    let mut placing = Placing::new(template, options);
    let mut day: Vec<&FieldSession> = sessions.iter().filter(|s| s.arrival.date_naive() == date).collect();
    day.sort_by(|a, b| (a.arrival, &a.id, a.line).cmp(&(b.arrival, &b.id, b.line)));
    for session in day {
        if let Err(reason) = placing.add(session) {
            placing.warn(session, format!("session {:?} is left out: {reason}", session.id));
        }
    }
    if placing.sessions.is_empty() {
        placing.warnings.push(Warning {
            file: options.file.clone(),
            line: 0,
            text: format!("no session of {date} could be placed"),
        });
    }
    placing.finish(format!("{}-{date}", template.name))
}

/// The clock of the template's first site.
pub(super) fn clock_of(template: &Scenario) -> Tz {
    template.sites.first().and_then(|site| site.time_zone.parse().ok()).unwrap_or(Tz::UTC)
}

/// When `field` arrives on the template's first day, or so many days before it, at the same local time.
pub(super) fn redated(template: &Scenario, zone: Tz, field: &FieldSession, days_before: i64) -> Option<UnixTime> {
    let start = DateTime::from_timestamp(template.signals.first.start().0, 0)?;
    let day = start.with_timezone(&zone).date_naive().checked_sub_signed(TimeDelta::try_days(days_before)?)?;
    // Whole seconds: scenario files know no others.
    Some(UnixTime(time::local(day.and_time(field.arrival.time()), zone).timestamp()))
}

struct Placing<'a> {
    template: &'a Scenario,
    options: &'a Options,
    zone: Tz,
    evses: Vec<(&'a Asset, &'a Evse)>,
    /// By EVSE: when its last car leaves.
    free_from: Vec<UnixTime>,
    /// By station: index of its EVSE.
    homes: BTreeMap<&'a str, usize>,
    ids: BTreeSet<String>,
    drivers: BTreeMap<String, Micro>,
    sessions: Vec<Session>,
    warnings: Vec<Warning>,
}

impl<'a> Placing<'a> {
    fn new(template: &'a Scenario, options: &'a Options) -> Self {
        let evses: Vec<_> =
            template.sites.iter().flat_map(|site| site.evses().map(|(_, asset, evse)| (asset, evse))).collect();
        Self {
            template,
            options,
            zone: clock_of(template),
            free_from: vec![UnixTime(i64::MIN); evses.len()],
            evses,
            homes: BTreeMap::new(),
            ids: BTreeSet::new(),
            drivers: BTreeMap::new(),
            sessions: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn warn(&mut self, session: &FieldSession, text: String) {
        self.warnings.push(Warning { file: self.options.file.clone(), line: session.line, text });
    }

    /// Places one session, or says why not.
    fn add(&mut self, field: &'a FieldSession) -> Result<(), String> {
        let arrival =
            redated(self.template, self.zone, field, 0).ok_or("its time of day does not exist on the replayed day")?;
        let signals = &self.template.signals;
        if arrival < signals.first.start() || arrival >= signals.first.plus(signals.len()).start() {
            return Err("its time of day is not in the template's signals".to_owned());
        }
        let stay_s = (field.departure - field.arrival).num_seconds();
        let declared_s = field.declared_departure.map_or(stay_s, |time| (time - field.arrival).num_seconds());
        if stay_s <= 0 || stay_s.max(declared_s) > STAY_MAX_S {
            return Err(format!("a stay of {} hours", stay_s.max(declared_s) / 3600));
        }
        let unplugged = UnixTime(arrival.0 + stay_s);
        let departure = if declared_s > 0 { UnixTime(arrival.0 + declared_s) } else { unplugged };
        let index = self.choose(field, (arrival, departure, unplugged)).ok_or("every EVSE is taken")?;
        if !self.ids.insert(field.id.clone()) {
            return Err("its id appears twice".to_owned());
        }
        self.homes.entry(&field.station).or_insert(index);
        self.free_from[index] = unplugged;
        if declared_s <= 0 {
            self.warn(
                field,
                format!("session {:?} declares to leave before it comes: its real departure counts", field.id),
            );
        }
        let session = self.session(field, index, (arrival, departure, unplugged));
        if unplugged > signals.first.plus(signals.len()).start() {
            let hours = stay_s / 3600;
            self.warn(field, format!("session {:?} stays {hours} hours, beyond the replayed day", field.id));
        }
        let misfit = misfit(&session, self.evses[index].0.rated_w);
        if let Some(text) = misfit {
            self.warn(field, text);
        }
        *self.drivers.entry(session.driver.clone()).or_default() += session.price_ceiling.bill(session.energy_wh);
        self.sessions.push(session);
        Ok(())
    }

    /// Index of the EVSE that suits best among those that are free: strong enough for what was delivered, then the
    /// station's own, then one that no other station has, then one strong enough for what was declared, then the first.
    fn choose(&self, field: &FieldSession, times: (UnixTime, UnixTime, UnixTime)) -> Option<usize> {
        let (arrival, departure, unplugged) = times;
        let taken: BTreeSet<usize> = self.homes.values().copied().collect();
        let home = self.homes.get(field.station.as_str()).copied();
        let weak = |index: usize, until: UnixTime, energy: WattHours| {
            let intervals = Interval::containing(until).offset_from(Interval::starting_from(arrival)).unwrap_or(0);
            let power_w = self.evses[index].0.rated_w.min(self.options.car_max_w).0;
            i64::try_from(intervals).unwrap_or(i64::MAX).saturating_mul(power_w) / INTERVALS_PER_HOUR < energy.0
        };
        let declared = field.requested_wh.unwrap_or(field.delivered_wh);
        let free = (0..self.evses.len()).filter(|index| self.free_from[*index] <= arrival);
        free.min_by_key(|&index| {
            let foreign = taken.contains(&index);
            let (weak, short) = (weak(index, unplugged, field.delivered_wh), weak(index, departure, declared));
            (weak, home != Some(index), foreign, short, index)
        })
    }

    fn session(&self, field: &FieldSession, index: usize, times: (UnixTime, UnixTime, UnixTime)) -> Session {
        let (arrival, departure, unplugged) = times;
        let (asset, evse) = self.evses[index];
        // Zero is no request; somebody who took nothing still asked for something.
        let energy_wh = field.requested_wh.unwrap_or(field.delivered_wh).max(WattHours(1));
        let room = energy_wh.max(field.delivered_wh);
        let capacity_wh = self.options.battery_wh.max(room);
        Session {
            id: field.id.clone(),
            driver: field.driver.clone().unwrap_or_else(|| format!("driver-{:03}", self.sessions.len() + 1)),
            evse: asset.id.clone(),
            arrival,
            departure,
            energy_wh,
            price_ceiling: evse.price,
            vehicle: Vehicle {
                unplugged,
                takes_wh: field.delivered_wh,
                capacity_wh,
                start_wh: capacity_wh - room,
                max_w: self.options.car_max_w,
            },
        }
    }

    fn finish(self, name: String) -> (Scenario, Vec<Warning>) {
        let options = self.options;
        let driver = |(id, held): (String, Micro)| Driver {
            id,
            deposit: held + options.spare,
            low_balance: options.low_balance,
        };
        let mut sessions = self.sessions;
        sessions.sort_by(|a, b| (a.arrival, &a.id).cmp(&(b.arrival, &b.id)));
        let scenario = Scenario {
            name,
            sites: self.template.sites.clone(),
            drivers: self.drivers.into_iter().map(driver).collect(),
            sessions,
            signals: self.template.signals.clone(),
            history: self.template.history.clone(),
        };
        (scenario, self.warnings)
    }
}
