//! A day of one site of a scenario, under each algorithm.

use super::month::local_s;
use super::outcome::planned_wh;
use super::{Algorithm, Plans, Run, Served, Watch};
use crate::certificate::Planned;
use crate::controller::with_foresight;
use crate::heuristic;
use crate::problem::{Need, Problem};
use crate::report::{PowerSeries, mean_w, violations};
use crate::scenario::Scenario;
use crate::schedule::Schedule;
use crate::session::Session;
use crate::settlement::{bill, total_ceiling};
use crate::simulate::{SOLVE_LIMIT_MS, asked, simulate_with, uncontrolled};
use crate::site::{AssetKind, Site};
use crate::solve::{self, SolveError};
use crate::units::{GramsPerMwh, INTERVALS_PER_HOUR, Interval, UnixTime, WattHours, Watts};
use chrono::{DateTime, NaiveDate};
use chrono_tz::Tz;
use std::collections::BTreeMap;

/// A day of one site.
#[derive(Debug, Clone)]
pub struct Day {
    /// With this one site, and its sessions only.
    scenario: Scenario,
    co2: Vec<GramsPerMwh>,
}

/// What flowed, and who got what.
struct Flown {
    /// By interval and lane.
    lanes_wh: Vec<Vec<WattHours>>,
    delivered_wh: BTreeMap<String, WattHours>,
    stored_wh: WattHours,
}

impl Day {
    /// A day for each site of `scenario`. `co2` has one entry per interval of its signals, or none.
    pub fn each(scenario: &Scenario, co2: &[GramsPerMwh]) -> Vec<Self> {
        let alone = |(index, site): (usize, &Site)| {
            let here = |s: &&Session| scenario.site_of_evse(&s.evse).is_some_and(|(at, _)| at == index);
            let sessions = scenario.sessions.iter().filter(here).cloned().collect();
            let scenario = Scenario { sites: vec![site.clone()], sessions, ..scenario.clone() };
            Self { scenario, co2: co2.to_vec() }
        };
        scenario.sites.iter().enumerate().map(alone).collect()
    }

    /// The interval of `date` at which a clock in `zone` shows what the scenario's shows at its beginning.
    pub fn redated(scenario: &Scenario, date: NaiveDate, zone: Tz) -> Interval {
        let time = beginning(scenario).time();
        Interval::containing(UnixTime(local_s(date.and_time(time), zone)))
    }

    pub(super) fn intervals(&self) -> usize {
        self.scenario.signals.len()
    }

    fn site(&self) -> &Site {
        &self.scenario.sites[0]
    }

    /// What the car takes if it gets all it can.
    fn wanted_wh(session: &Session) -> WattHours {
        let vehicle = &session.vehicle;
        session.energy_wh.min(vehicle.takes_wh).min(vehicle.capacity_wh - vehicle.start_wh)
    }

    /// Planned and driven by the controller as in `simulate`.
    fn simulated(
        &self,
        plans: &mut Plans,
        watch: Watch<'_>,
        by: &mut dyn FnMut(&Problem) -> Result<Schedule, SolveError>,
    ) -> Flown {
        let mut plan = |problem: &Problem| {
            let (schedule, took_us) = watch.timed(|| by(problem));
            let schedule = schedule?;
            plans.note(problem, &schedule, took_us);
            Ok(Planned::uncertified(schedule, "nobody asked"))
        };
        let day = simulate_with(&self.scenario, &mut plan, |_| (watch.done)(1));
        let report = &day.report;
        let site = &report.sites[0];
        let start: WattHours = batteries(self.site()).map(|b| b.start_wh).sum();
        Flown {
            lanes_wh: day.energy_wh.into_iter().next().unwrap_or_default(),
            delivered_wh: report.sessions.iter().map(|s| (s.id.clone(), s.delivered_wh)).collect(),
            stored_wh: site.content_wh.last().map_or(WattHours::ZERO, |end| *end - start),
        }
    }

    /// One plan of the whole day that knows it: whole intervals between arrival and departure, ideal cars.
    fn foreseen(&self, plans: &mut Plans, watch: Watch<'_>) -> Result<Flown, SolveError> {
        let first = self.scenario.signals.first;
        let offset = |interval: Interval| interval.offset_from(first).unwrap_or(0).min(self.intervals());
        let need = |session: &Session| {
            let (_, lane) = self.scenario.site_of_evse(&session.evse)?;
            let asset = &self.site().assets[lane];
            let AssetKind::Evse(evse) = &asset.kind else { return None };
            let max_w = asset.rated_w.min(session.vehicle.max_w).floor_to_step();
            Some(Need {
                session: session.id.clone(),
                lane,
                group: asset.group,
                from: offset(Interval::starting_from(session.arrival)),
                until: offset(Interval::containing(session.vehicle.unplugged)),
                max_w,
                min_w: evse.min_w.min(max_w),
                car_w: session.vehicle.max_w,
                energy_wh: Self::wanted_wh(session),
                ..Need::default()
            })
        };
        let needs: Vec<Need> =
            self.scenario.sessions.iter().filter_map(need).filter(|need| need.from < need.until).collect();
        let problem = with_foresight(self.site(), &self.scenario, needs);
        let (schedule, took_us) = watch.timed(|| solve::solve(&problem, 10 * SOLVE_LIMIT_MS));
        let schedule = schedule?;
        plans.note(&problem, &schedule, took_us);
        (watch.done)(self.intervals());
        let lanes_wh = planned_wh(&problem, &schedule);
        let given = |need: &Need| (need.from..need.until).map(|k| lanes_wh[k][need.lane]).sum::<WattHours>();
        let delivered = problem.needs.iter().map(|need| (need.session.clone(), given(need).min(need.energy_wh)));
        let stored = problem.storages.iter().flat_map(|storage| {
            let percent = |wh: i64| if wh > 0 { storage.charge_percent } else { storage.discharge_percent };
            lanes_wh.iter().map(move |lanes| lanes[storage.lane].0 * percent(lanes[storage.lane].0))
        });
        Ok(Flown { delivered_wh: delivered.collect(), stored_wh: WattHours(stored.sum::<i64>() / 100), lanes_wh })
    }

    fn served(&self, session: &Session, delivered_wh: WattHours) -> Served {
        let asked = asked(&self.scenario, 0, session);
        Served {
            id: session.id.clone(),
            arrival: Interval::containing(session.arrival),
            wanted_wh: Self::wanted_wh(session),
            delivered_wh,
            paid: bill(delivered_wh, asked.price, total_ceiling(asked.energy_wh, asked.price)),
        }
    }
}

fn batteries(site: &Site) -> impl Iterator<Item = &crate::site::Battery> {
    site.assets.iter().filter_map(|asset| match &asset.kind {
        AssetKind::Battery(battery) => Some(battery),
        _ => None,
    })
}

/// When the signals begin, on the clock of the first site.
fn beginning(scenario: &Scenario) -> DateTime<Tz> {
    let zone = scenario.sites.first().and_then(|site| site.time_zone.parse().ok()).unwrap_or(Tz::UTC);
    DateTime::from_timestamp(scenario.signals.first.start().0, 0).unwrap_or_default().with_timezone(&zone)
}

pub(super) fn run(day: &Day, algorithm: Algorithm, watch: Watch<'_>) -> Result<Run, String> {
    let (scenario, site) = (&day.scenario, day.site());
    let mut plans = Plans::default();
    let flown = match algorithm {
        Algorithm::Uncontrolled => {
            let flown = uncontrolled(scenario, site);
            (watch.done)(day.intervals());
            Flown { lanes_wh: flown.lanes_wh, delivered_wh: flown.delivered_wh, stored_wh: WattHours::ZERO }
        }
        Algorithm::Rule(rule) => day.simulated(&mut plans, watch, &mut |problem| Ok(heuristic::plan(problem, rule, 1))),
        Algorithm::Ours => day.simulated(&mut plans, watch, &mut |problem| solve::solve(problem, SOLVE_LIMIT_MS)),
        Algorithm::Optimum | Algorithm::MostEnergy => {
            day.foreseen(&mut plans, watch).map_err(|error| format!("{}, {}: {error}", scenario.name, site.id))?
        }
    };
    let signals = &scenario.signals;
    let offered = |k: usize| -> Watts {
        let pv = site.assets.iter().filter(|asset| asset.kind == AssetKind::Pv);
        pv.filter_map(|asset| signals.power_w.get(&asset.id)?.get(k)).copied().sum()
    };
    let exceeded = |(k, lanes): (usize, &Vec<WattHours>)| violations(site, signals.first.plus(k), lanes, signals);
    let delivered = |s: &Session| flown.delivered_wh.get(&s.id).copied().unwrap_or_default();
    Ok(Run {
        case: scenario.name.clone(),
        date: beginning(scenario).date_naive().to_string(),
        site: site.id.clone(),
        algorithm,
        first: signals.first,
        days: vec![0, day.intervals()],
        limit_w: Some(site.groups[0].limit_import_w),
        power: PowerSeries::of(site, flown.lanes_wh.iter().map(|lanes| lanes.iter().map(|wh| mean_w(*wh)).collect())),
        pv_offered_w: (0..signals.len())
            .map(|k| Watts(offered(k).0 / INTERVALS_PER_HOUR * INTERVALS_PER_HOUR))
            .collect(),
        import_price: signals.import_price.clone(),
        feed_in_price: signals.feed_in_price.clone(),
        demand_charge: None,
        co2: day.co2.clone(),
        violations: flown.lanes_wh.iter().enumerate().map(exceeded).collect(),
        sessions: scenario.sessions.iter().map(|s| day.served(s, delivered(s))).collect(),
        stored_wh: flown.stored_wh,
        plans,
    })
}
