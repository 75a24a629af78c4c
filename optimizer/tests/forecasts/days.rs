//! Real days with and without learning: what serving the likely departure first brings to those who leave before they said,
//! and what it costs.

use crate::data::{self, LOS_ANGELES, Recorded};
use chrono::{Datelike, NaiveDate, TimeZone, Weekday};
use optimizer::import::{self, Mapping, Options, SeriesFormat};
use optimizer::report::Report;
use optimizer::scenario::{self, Scenario};
use optimizer::session::{PastSession, Session, Vehicle};
use optimizer::signals::Signals;
use optimizer::simulate::simulate;
use optimizer::site::{Asset, AssetKind, Evse, Group, Position, Site};
use optimizer::units::{HORIZON, INTERVAL_S, Interval, MicroPerKwh, UnixTime, WattHours, Watts};
use std::collections::BTreeMap;

/// 32 A at 208 V, in whole steps.
const EVSE_W: Watts = Watts(6_650);
/// A day ends at six in the morning of the next, when the last cars have gone.
const INTERVALS: usize = HORIZON + 24;

/// Import price of the intervals from `first` on: SCE TOU-EV-4 of March 2019 without its demand charge, of which a day
/// knows nothing.
fn prices(first: Interval) -> Vec<MicroPerKwh> {
    let price = |k: usize| {
        let time = first.plus(k).start();
        let local = LOS_ANGELES.timestamp_opt(time.0, 0).unwrap();
        let hour = local.time().format("%H").to_string().parse::<u32>().unwrap();
        let summer = (6..=9).contains(&local.month());
        let weekend = matches!(local.weekday(), Weekday::Sat | Weekday::Sun);
        let (night, shoulder, noon) = if summer { (56_230, 92_500, 266_680) } else { (60_870, 74_920, 86_900) };
        MicroPerKwh(match hour {
            _ if weekend => night,
            12..18 => noon,
            8..12 | 18..23 => shoulder,
            _ => night,
        })
    };
    (0..INTERVALS).map(price).collect()
}

/// The garage on `date`: everybody at his own station, and with `learns` all that was over before.
fn garage(sessions: &[Recorded], date: NaiveDate, limit_w: Watts, learns: bool) -> Scenario {
    let midnight = LOS_ANGELES.from_local_datetime(&date.and_time(chrono::NaiveTime::MIN)).unwrap().timestamp();
    let first = Interval::containing(UnixTime(midnight));
    let mut stations: Vec<_> = sessions.iter().map(|recorded| recorded.station.clone()).collect();
    stations.sort();
    stations.dedup();
    let evse = |id: &String| Asset {
        id: id.clone(),
        group: 0,
        rated_w: EVSE_W,
        position: Position::default(),
        kind: AssetKind::Evse(Evse {
            charge_point: id.clone(),
            connector: 1,
            min_w: Watts(1_250),
            phases: 1,
            price: MicroPerKwh(300_000),
        }),
    };
    let group = Group { id: "site".to_owned(), parent: None, limit_import_w: limit_w, limit_export_w: Watts::ZERO };
    let site = Site {
        id: "site".to_owned(),
        owner: "cpo".to_owned(),
        time_zone: "America/Los_Angeles".to_owned(),
        position: Position::default(),
        groups: vec![group],
        assets: stations.iter().map(evse).collect(),
    };
    let today = sessions
        .iter()
        .enumerate()
        .filter(|(_, recorded)| (midnight..midnight + HORIZON as i64 * INTERVAL_S).contains(&recorded.past.arrival.0));
    let past = sessions.iter().map(|recorded| &recorded.past).filter(|past| past.unplugged.0 <= midnight).cloned();
    let import_price = prices(first);
    Scenario {
        name: date.to_string(),
        sites: vec![site],
        drivers: Vec::new(),
        sessions: today.map(|(at, recorded)| session(at, recorded)).collect(),
        signals: Signals {
            first,
            feed_in_price: vec![MicroPerKwh::ZERO; import_price.len()],
            import_price,
            power_w: BTreeMap::new(),
        },
        history: learns.then(|| past.collect()),
    }
}

/// Who declared nothing declares what came.
fn session(at: usize, Recorded { station, past }: &Recorded) -> Session {
    Session {
        id: format!("{at:06}"),
        driver: past.driver.clone(),
        evse: station.clone(),
        arrival: past.arrival,
        departure: past.departure.unwrap_or(past.unplugged),
        energy_wh: past.energy_wh.unwrap_or(past.delivered_wh).max(WattHours(1)),
        price_ceiling: MicroPerKwh(300_000),
        vehicle: Vehicle {
            unplugged: past.unplugged,
            takes_wh: past.delivered_wh,
            capacity_wh: WattHours(1_000_000),
            start_wh: WattHours::ZERO,
            max_w: EVSE_W,
        },
    }
}

/// What days came to.
#[derive(Debug, Default, Clone, Copy)]
struct Came {
    wanted_wh: i64,
    delivered_wh: i64,
    /// Of those who leave a quarter hour or more before they said.
    early_wanted_wh: i64,
    early_delivered_wh: i64,
    sessions: i64,
    met: i64,
    cost_micro: i64,
}

impl Came {
    fn add(&mut self, report: &Report, sessions: &BTreeMap<String, PastSession>) {
        for seen in &report.sessions {
            let past = &sessions[&seen.id];
            let fits = (past.unplugged.0 - past.arrival.0) * EVSE_W.0 / 3600;
            let wanted = past.delivered_wh.0.min(fits);
            self.sessions += 1;
            self.wanted_wh += wanted;
            self.delivered_wh += seen.delivered_wh.0;
            self.met += i64::from(seen.delivered_wh.0 * 100 >= wanted * 99);
            if past.departure.is_some_and(|declared| past.unplugged.0 + INTERVAL_S <= declared.0) {
                self.early_wanted_wh += wanted;
                self.early_delivered_wh += seen.delivered_wh.0;
            }
        }
        self.cost_micro += report.sites[0].cost.0;
    }

    fn micro_per_kwh(&self) -> i64 {
        self.cost_micro * 1000 / self.delivered_wh.max(1)
    }

    fn print(&self, what: &str) {
        let per_mille = |part: i64, whole: i64| 1000 * part / whole.max(1);
        println!(
            "{what:<28} {} sessions, met {} ‰, energy {} ‰ of {} kWh, early leavers {} ‰ of {} kWh, ${:.2}, {} micro/kWh",
            self.sessions,
            per_mille(self.met, self.sessions),
            per_mille(self.delivered_wh, self.wanted_wh),
            self.wanted_wh / 1000,
            per_mille(self.early_delivered_wh, self.early_wanted_wh),
            self.early_wanted_wh / 1000,
            self.cost_micro as f64 / 1e6,
            self.micro_per_kwh(),
        );
    }
}

fn days(sessions: &[Recorded], from: &str, count: usize, limit_w: Watts, learns: bool) -> Came {
    let from: NaiveDate = from.parse().unwrap();
    let known = sessions.iter().enumerate().map(|(at, recorded)| (format!("{at:06}"), recorded.past.clone())).collect();
    let mut came = Came::default();
    for date in from.iter_days().take(count) {
        let day = simulate(&garage(sessions, date, limit_w, learns), |_| {});
        assert_eq!(day.report.sites[0].limit_violations, 0);
        came.add(&day.report, &known);
    }
    came
}

/// A month by drivers' words, and one that learns.
fn month(sessions: &[Recorded], from: &str, count: usize, limit_w: Watts) -> [Came; 2] {
    [false, true].map(|learns| {
        let came = days(sessions, from, count, limit_w, learns);
        came.print(&format!("{from}, {} kW, {}", limit_w.0 / 1000, if learns { "learns" } else { "by words" }));
        came
    })
}

fn committed(name: &str) -> Scenario {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/scenarios").join(name);
    let read = |file: &str| (file.to_owned(), std::fs::read(folder.join(file)).unwrap());
    let files = scenario::FILES.into_iter().map(read).collect();
    scenario::parse(name, &files).unwrap().0
}

/// A committed scenario whose every day was like this one.
fn as_ever(name: &str) -> Scenario {
    let mut scenario = committed(name);
    let before = |time: UnixTime, days: i64| UnixTime(time.0 - days * HORIZON as i64 * INTERVAL_S);
    let past = |session: &Session, days: i64| PastSession {
        site: scenario.evse(&session.evse).unwrap().0.id.clone(),
        driver: session.driver.clone(),
        arrival: before(session.arrival, days),
        unplugged: before(session.vehicle.unplugged, days),
        departure: Some(before(session.departure, days)),
        energy_wh: Some(session.energy_wh),
        delivered_wh: session.vehicle.takes_wh,
    };
    let days = (2..20).flat_map(|days| scenario.sessions.iter().map(move |session| past(session, days)));
    scenario.history = Some(days.collect());
    scenario
}

#[test]
fn a_day_that_goes_as_ever_leaves_no_more_undone_for_those_who_leave_early() {
    let learns = as_ever("campus");
    let words = Scenario { history: None, ..learns.clone() };
    let [learned, taken] = [&learns, &words].map(|scenario| simulate(scenario, |_| {}));
    let missing = |report: &Report| {
        let early = report.sessions.iter().filter(|s| s.unplugged.is_some_and(|time| time < s.departure));
        early.map(|session| session.shortfall_wh.0).sum::<i64>()
    };
    let [less, before] = [&learned, &taken].map(|day| missing(&day.report));
    assert!(less <= before, "{less} instead of {before} Wh");
    assert_ne!(learned.setpoints, taken.setpoints);
    assert_eq!(learned.report.sites[0].limit_violations, 0);
    assert_eq!(simulate(&learns, |_| {}).setpoints, learned.setpoints, "the same past gives the same day");
}

/// The day of `docs/benchmarks.md`, with and without the six days before it.
#[test]
fn the_replayed_day_of_may_learns_from_the_days_before() {
    let files = ["acn_sessions/caltech_2019-05-01_2019-08-31.csv.gz", "price/electricity_prices_de_2020.csv"];
    let [Some(sessions), Some(prices)] = files.map(data::text) else { return };
    let Some(sun) = data::text("pv/serf_east_15min_ac_power.csv") else { return };
    let sessions = import::csv("caltech", sessions.as_bytes(), &Mapping::acn_csv()).unwrap();
    let (template, date) = (committed("campus"), "2019-05-07".parse().unwrap());
    let (mut scenario, _) = import::place(&sessions, &template, date, &Options::default());
    let berlin = Some(chrono_tz::Europe::Berlin);
    let format = SeriesFormat {
        time: "time".into(),
        value: "price_eur_mwh".into(),
        scale: 1000,
        zone: berlin,
        ..SeriesFormat::default()
    };
    let prices = import::series("price", prices.as_bytes(), &format).unwrap();
    import::replace_price(&mut scenario, &prices, "2020-05-12".parse().unwrap()).unwrap();
    let format =
        SeriesFormat { time: "measured_on".into(), value: "ac_power".into(), scale: 1, ..SeriesFormat::default() };
    let sun = import::series("pv", sun.as_bytes(), &format).unwrap();
    import::replace_power(&mut scenario, "CAMPUS-PV", &sun, "2016-07-05".parse().unwrap(), Some(Watts(6_000))).unwrap();
    let [words, learns] = [None, Some(import::past(&sessions, &template, date))].map(|history| {
        let day = simulate(&Scenario { history, ..scenario.clone() }, |_| {}).report;
        let delivered_wh: i64 = day.sessions.iter().map(|session| session.delivered_wh.0).sum();
        println!("7 May on the campus: {delivered_wh} Wh, grid cost {} micro", day.sites[0].cost);
        assert_eq!(day.sites[0].limit_violations, 0);
        delivered_wh
    });
    assert!(learns >= words, "{learns} instead of {words} Wh");
}

/// Quantile and price of the risk were set on May; November was looked at once. Plans that keep time for the taper serve
/// most of those who leave early already.
#[test]
fn who_leaves_early_gets_more_at_little_cost() {
    let names = ["caltech_2019-05-01_2019-08-31", "caltech_2019-09-01_2019-12-31"];
    let Some(sessions) = data::acn(&names) else { return };
    for (from, count) in [("2019-05-01", 31), ("2019-11-01", 30)] {
        let [words, learns] = month(&sessions, from, count, Watts(150_000));
        assert_eq!(words.sessions, learns.sessions);
        let missed = |came: &Came| came.early_wanted_wh - came.early_delivered_wh;
        assert!(missed(&learns) < missed(&words), "{from}: {words:?} {learns:?}");
        assert!(missed(&words) * 25 < words.early_wanted_wh, "{from}: {words:?}");
        assert!(learns.met >= words.met && learns.delivered_wh > words.delivered_wh, "{from}: {words:?} {learns:?}");
        let dearer_per_mille = learns.micro_per_kwh() * 1000 / words.micro_per_kwh() - 1000;
        assert!(dearer_per_mille <= 10, "{from}: {dearer_per_mille} per mille dearer");
    }
}

#[test]
#[ignore = "takes minutes: the table of docs/benchmarks.md"]
fn months_at_wide_and_narrow_connections() {
    let names = ["caltech_2019-05-01_2019-08-31", "caltech_2019-09-01_2019-12-31"];
    let Some(caltech) = data::acn(&names) else { return };
    let Some(jpl) = data::acn(&["jpl_2019-05-01_2019-08-31"]) else { return };
    for (sessions, from, count) in [
        (&caltech, "2019-05-01", 31),
        (&caltech, "2019-09-01", 30),
        (&caltech, "2019-11-01", 30),
        (&jpl, "2019-06-01", 30),
    ] {
        for limit_w in [150_000, 40_000] {
            let [words, learns] = month(sessions, from, count, Watts(limit_w));
            assert!(learns.early_delivered_wh >= words.early_delivered_wh, "{from}: {words:?} {learns:?}");
        }
    }
}
