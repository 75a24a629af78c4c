//! Real days of the Caltech garage, all cars known: what a change of the day does to its plan.

use crate::field::field;
use crate::money::{MICRO, money, tolerance};
use crate::planned;
use chrono::{NaiveDate, TimeZone};
use optimizer::import::{self, Mapping};
use optimizer::problem::{Need, Peak, Problem};
use optimizer::units::{Interval, MicroPerKw, MicroPerKwh, UnixTime, WattHours, Watts};

/// A day and a night: stays are cut off at the next noon.
const INTERVALS: usize = 144;
/// Volts at which whole and half amperes are whole steps.
const VOLTAGE_MV: i64 = 200_000;
/// Days of the record: an ordinary one, the fullest of its month, a Sunday.
const DAYS: [&str; 3] = ["2019-05-07", "2019-05-23", "2019-06-02"];

/// The day as a problem: the sessions that arrive on it with what they took, the garage's lines, the utility's prices.
pub(crate) fn day(date: &str) -> Option<Problem> {
    let sessions = field("acn_sessions/caltech_2019-05-01_2019-08-31.csv.gz")?;
    let sessions = import::csv("sessions", &sessions, &Mapping::acn_csv()).unwrap();
    let mut topology = import::topology("topology", &field("topology/caltech_acn.json")?).unwrap();
    topology.stations.iter_mut().for_each(|station| station.connection.voltage_mv = VOLTAGE_MV);
    let tariff = import::tariff("tariff", &field("tariff/sce_tou_ev_4_march_2019.json")?).unwrap();
    let zone = chrono_tz::America::Los_Angeles;
    let date: NaiveDate = date.parse().unwrap();
    let midnight = zone.from_local_datetime(&date.and_hms_opt(0, 0, 0).unwrap()).unwrap();
    let first = Interval::containing(UnixTime(midnight.timestamp()));
    let classes = topology.classes().unwrap();
    let mut free_from = vec![0; topology.stations.len()];
    let mut needs: Vec<Need> = Vec::new();
    let mut today: Vec<_> = sessions.iter().filter(|session| session.arrival.date_naive() == date).collect();
    today.sort_by_key(|session| session.arrival);
    for session in today {
        let Some(lane) = topology.stations.iter().position(|station| station.id == session.station) else { continue };
        let at = |time: chrono::DateTime<chrono::FixedOffset>| Interval::containing(UnixTime(time.timestamp()));
        let from = at(session.arrival).offset_from(first).unwrap().max(free_from[lane]);
        let until = (at(session.departure).offset_from(first).unwrap() + 1).min(INTERVALS);
        if from >= until {
            continue;
        }
        free_from[lane] = until;
        let station = &topology.stations[lane];
        let max_w = station.power_w(station.max_ma);
        needs.push(Need {
            session: session.id.clone(),
            lane,
            group: classes.group_of[lane],
            from,
            until,
            max_w,
            pilots_w: station.pilots_w(),
            energy_wh: session.delivered_wh.min(WattHours(max_w.0 / 4 * (until - from) as i64)),
            ..Need::default()
        });
    }
    let charge = tariff.demand_charge(date).unwrap();
    Some(Problem {
        site: "caltech".to_owned(),
        first,
        horizon: INTERVALS,
        lanes: topology.stations.len(),
        groups: classes.groups,
        rows: classes.rows,
        needs,
        import_price: tariff.prices(zone, first, INTERVALS).unwrap(),
        feed_in_price: vec![MicroPerKwh(0); INTERVALS],
        // A day's share of what the month pays.
        peak: Some(Peak { so_far_w: Watts(15_000), price: MicroPerKw(charge.0 / 30) }),
        shortfall_penalty: MicroPerKwh(1_200_000),
        ..Problem::default()
    })
}

/// Runs `law` on the days that are there.
fn on_real_days(law: impl Fn(&str, &Problem)) {
    for date in DAYS {
        let Some(problem) = day(date) else { return };
        assert!(problem.needs.len() >= 8, "{date}: {} sessions", problem.needs.len());
        law(date, &problem);
    }
}

#[test]
fn every_car_is_served_within_the_lines() {
    on_real_days(|date, problem| {
        let plan = planned(problem);
        println!("{date}: {} sessions, cost {}, peak {} W", problem.needs.len(), plan.cost, plan.peak_w);
        let short: i64 = plan.shortfalls.iter().map(|short| short.energy_wh.0).sum();
        let wanted: i64 = problem.needs.iter().map(|need| need.energy_wh.0).sum();
        assert!(100 * short <= wanted, "{date}: {short} of {wanted} Wh");
    });
}

#[test]
fn looser_lines_and_a_higher_peak_so_far_never_cost_more() {
    on_real_days(|date, problem| {
        let tight = {
            let rows = problem.rows.iter().cloned().map(|mut row| {
                row.at_most.iter_mut().for_each(|bound| *bound = *bound / 10 * 2);
                row
            });
            Problem { rows: rows.collect(), ..problem.clone() }
        };
        let higher = {
            let peak = problem.peak.clone().map(|peak| Peak { so_far_w: Watts(40_000), ..peak });
            Problem { peak, ..problem.clone() }
        };
        let costs = [&tight, problem, &higher].map(|problem| money(problem, &planned(problem)));
        println!(
            "{date}: {} with a fifth of the lines, {}, {} with 40 kW so far",
            costs[0] / MICRO,
            costs[1] / MICRO,
            costs[2] / MICRO
        );
        // Rounding of a few hundred steps, a tenth of a per cent.
        let slack = costs[0].abs() / 1_000;
        assert!(costs[1] <= costs[0] + slack && costs[2] <= costs[1] + slack, "{date}: {costs:?}");
    });
}

/// The day as it is, where cars share lines and a peak and which of them draws when is open; and without both, where every
/// car has one best plan.
fn shared_and_alone(problem: &Problem) -> [(bool, Problem); 2] {
    let alone = Problem { peak: None, rows: Vec::new(), ..problem.clone() };
    [(false, problem.clone()), (true, alone)]
}

#[test]
fn doubled_prices_double_the_cost_and_keep_the_schedule() {
    on_real_days(|date, problem| {
        for (alone, problem) in shared_and_alone(problem) {
            let mut dearer = problem.clone();
            dearer.import_price.iter_mut().chain(&mut dearer.feed_in_price).for_each(|price| price.0 *= 2);
            dearer.shortfall_penalty.0 *= 2;
            dearer.peak.iter_mut().for_each(|peak| peak.price.0 *= 2);
            let (plan, other) = (planned(&problem), planned(&dearer));
            assert!(!alone || plan.power_w == other.power_w, "{date}");
            let (one, two) = (2 * money(&problem, &plan), money(&dearer, &other));
            assert!((one - two).abs() <= one / 2_000, "{date}: {} and {}", one / MICRO, two / MICRO);
        }
    });
}

#[test]
fn a_day_that_begins_an_interval_later_has_the_same_plan_an_interval_later() {
    on_real_days(|date, problem| {
        for (alone, problem) in shared_and_alone(problem) {
            let mut later = Problem { first: Interval(problem.first.0 - 1), horizon: INTERVALS + 1, ..problem.clone() };
            later.import_price.insert(0, MicroPerKwh(0));
            later.feed_in_price.insert(0, MicroPerKwh(0));
            later.needs.iter_mut().for_each(|need| (need.from, need.until) = (need.from + 1, need.until + 1));
            let (plan, shifted) = (planned(&problem), planned(&later));
            let same = |need: &Need| plan.power_w[need.lane] == shifted.power_w[need.lane][1..];
            assert!(!alone || problem.needs.iter().all(same), "{date}");
            let (one, two) = (money(&problem, &plan), money(&later, &shifted));
            assert!((one - two).abs() <= one / 2_000, "{date}: {} and {}", one / MICRO, two / MICRO);
            let other_day = Problem { first: problem.first.plus(96), ..problem.clone() };
            assert!(planned(&other_day).power_w == plan.power_w, "{date}: a day later");
        }
    });
}

#[test]
fn a_car_in_two_halves_costs_what_it_costs_in_one() {
    on_real_days(|date, problem| {
        let mut halves = problem.clone();
        halves.lanes = 2 * problem.lanes;
        halves.needs.clear();
        for need in &problem.needs {
            // A car of 3,200 W and an even number of quanta, twice.
            let half = Need {
                max_w: Watts(need.max_w.0 / 2),
                energy_wh: WattHours(need.energy_wh.0 / 10 * 5),
                ..need.clone()
            };
            let second =
                Need { session: format!("{} again", need.session), lane: problem.lanes + need.lane, ..half.clone() };
            halves.needs.extend([half, second]);
        }
        let mut whole = problem.clone();
        whole.needs.iter_mut().for_each(|need| need.energy_wh = WattHours(need.energy_wh.0 / 10 * 10));
        let (one, two) = (money(&whole, &planned(&whole)), money(&halves, &planned(&halves)));
        assert!((one - two).abs() <= one.abs() / 1_000, "{date}: {} and {}", one / MICRO, two / MICRO);
        assert!((one - two).abs() <= tolerance(&halves), "{date}");
    });
}

#[test]
fn names_and_order_of_real_cars_mean_nothing() {
    on_real_days(|date, problem| {
        let mut other = problem.clone();
        other.needs.reverse();
        other.rows.reverse();
        other.needs.iter_mut().enumerate().for_each(|(n, need)| need.session = format!("car {n}"));
        let (one, two) = (money(problem, &planned(problem)), money(&other, &planned(&other)));
        assert!((one - two).abs() <= one.abs() / 1_000, "{date}: {} and {}", one / MICRO, two / MICRO);
    });
}
