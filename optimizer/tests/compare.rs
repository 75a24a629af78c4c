//! Algorithms side by side: what holds for every one of them, and what real months come to.

#[path = "instances/field.rs"]
mod field;
mod instances;

use chrono::NaiveDate;
use chrono_tz::America::Los_Angeles;
use field::field;
use instances::{car_park, with_pilots};
use optimizer::check::check;
use optimizer::compare::{self, Algorithm, Case, Day, Limits, Month, Run, Tariffed, Watch};
use optimizer::heuristic::{self, Rule};
use optimizer::import::{self, FieldSession, Tariff, Topology};
use optimizer::problem::Problem;
use optimizer::scenario::{self, Scenario};
use optimizer::schedule::Schedule;
use optimizer::simulate::simulate;
use optimizer::solve::solve;
use optimizer::units::{GramsPerMwh, Micro, MicroPerKwh, WattHours, Watts};
use polars::prelude::{ParquetReader, SerReader};
use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

const LIMIT_MS: u32 = 60_000;
const RULES: [Rule; 3] = [Rule::RoundRobin, Rule::EarliestDeadline, Rule::LeastLaxity];

fn quickstart() -> Scenario {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/scenarios/quickstart");
    let file = |name: &&str| (name.to_string(), std::fs::read(folder.join(name)).expect("a committed scenario"));
    let files: BTreeMap<String, Vec<u8>> = scenario::FILES.iter().map(file).collect();
    scenario::parse("quickstart", &files).expect("a committed scenario").0
}

fn run(cases: &[Case], algorithms: &[Algorithm]) -> Vec<Run> {
    compare::run(cases, algorithms, Watch { clock_us: &|| 0, done: &|_| {} }).expect("cases that can be planned")
}

fn days(scenario: &Scenario, co2: &[GramsPerMwh]) -> Vec<Case> {
    Day::each(scenario, co2).into_iter().map(|day| Case::Day(Box::new(day))).collect()
}

/// Everything that a plan costs, unmet need included.
fn total(problem: &Problem, schedule: &Schedule) -> i64 {
    let missing: WattHours = schedule.shortfalls.iter().map(|short| short.energy_wh).sum();
    (schedule.cost + problem.shortfall_penalty.bill(missing)).0
}

#[test]
fn rules_of_thumb_keep_every_limit_and_never_beat_the_plan() {
    for seed in 0..12 {
        let mut problem = car_park(12, seed);
        problem.storages.clear();
        if seed % 2 == 1 {
            problem = with_pilots(problem);
        }
        let best = total(&problem, &solve(&problem, LIMIT_MS).expect("a plan always exists"));
        for rule in RULES {
            let all = heuristic::plan(&problem, rule, problem.horizon);
            assert_eq!(check(&problem, &all), [], "{rule:?}, seed {seed}");
            let first = heuristic::plan(&problem, rule, 1);
            assert_eq!(check(&problem, &first), [], "{rule:?}, seed {seed}");
            assert_eq!(all.column(0), first.column(0), "{rule:?}, seed {seed}: looking further changes nothing now");
            // The last fraction below a pilot may be given now or not: a quarter hour of the smallest for every car.
            let slack = if problem.needs[0].pilots_w.is_empty() { 0 } else { 12 * 350 * 2_000 };
            assert!(best <= total(&problem, &all) + slack, "{rule:?}, seed {seed}");
        }
    }
}

#[test]
fn taking_turns_shares_what_others_give_to_one() {
    let mut problem = car_park(4, 3);
    problem.storages.clear();
    (problem.pv, problem.base_loads) = (Vec::new(), Vec::new());
    problem.groups[0].import_w = Watts(6_000);
    for need in &mut problem.needs {
        (need.from, need.until, need.min_w, need.max_w) = (0, 96, Watts(0), Watts(7_000));
        need.energy_wh = WattHours(20_000);
    }
    problem.needs[2].until = 20;
    let first = |rule| heuristic::plan(&problem, rule, 1).column(0)[..4].to_vec();
    assert_eq!(first(Rule::RoundRobin), [1_600, 1_600, 1_400, 1_400].map(Watts));
    assert_eq!(first(Rule::EarliestDeadline), [0, 0, 6_000, 0].map(Watts));
    assert_eq!(first(Rule::LeastLaxity), [0, 0, 6_000, 0].map(Watts));
}

#[test]
fn a_day_under_every_algorithm() {
    let scenario = quickstart();
    let co2 = vec![GramsPerMwh(500_000); scenario.signals.len()];
    let runs = run(&days(&scenario, &co2), &Algorithm::ALL);
    assert_eq!(runs.iter().map(|run| run.algorithm).collect::<Vec<_>>(), Algorithm::ALL);
    let by = |algorithm| runs.iter().find(|run| run.algorithm == algorithm).expect("all ran").totals();
    let simulated = &simulate(&scenario, |_| {}).report.sites[0];
    assert!((by(Algorithm::Ours).cost().0 - simulated.cost.0).abs() < 200, "each interval rounds");
    assert_eq!(by(Algorithm::Ours).peak_w, simulated.peak_w);
    assert_eq!(by(Algorithm::Uncontrolled).peak_w, simulated.peak_uncontrolled_w);
    assert!(by(Algorithm::Uncontrolled).violations > 0);
    let most = by(Algorithm::Optimum);
    for run in runs.iter().filter(|run| run.algorithm != Algorithm::Uncontrolled) {
        let totals = run.totals();
        assert_eq!((totals.violations, run.plans.broken), (0, 0), "{}", run.algorithm);
        assert!(totals.profit() <= most.profit() && totals.delivered_wh <= most.delivered_wh, "{}", run.algorithm);
        let wanted = run.sessions.iter().all(|s| s.delivered_wh <= s.wanted_wh + WattHours(1));
        assert!(wanted, "{}: a car takes no more than it wants", run.algorithm);
        let grams = (totals.import_wh - totals.export_wh).0 / 2;
        assert!(totals.co2.is_some_and(|found| (found.0 - grams).abs() <= 1), "{}", run.algorithm);
    }
}

#[test]
fn the_same_runs_on_any_number_of_threads() {
    let cases = days(&quickstart(), &[]);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| run(&cases, &Algorithm::ALL))
    };
    assert_eq!(on(1), on(3));
}

#[test]
fn parquet_has_a_row_per_day_and_algorithm_and_sums_to_the_run() {
    let month = made_up(Limits::default());
    let runs = run(&[Case::Month(Box::new(month))], &Algorithm::ALL);
    let frame = |bytes: Vec<u8>| ParquetReader::new(Cursor::new(bytes)).finish().expect("what was written");
    let rows = frame(compare::runs_parquet(&runs).expect("a frame"));
    assert_eq!(rows.height(), 2 * Algorithm::ALL.len());
    for run in &runs {
        let column = |name: &str| {
            let values = rows.column(name).expect("a column").i64().expect("whole numbers").clone();
            let names = rows.column("algorithm").expect("a column").str().expect("names").clone();
            let mine = names.iter().zip(values.iter()).filter(|(name, _)| *name == Some(run.algorithm.name()));
            mine.filter_map(|(_, value)| value).sum::<i64>()
        };
        let totals = run.totals();
        assert_eq!(column("delivered_wh"), totals.delivered_wh.0, "{}", run.algorithm);
        assert_eq!(Some(Micro(column("demand_cost_micro"))), totals.demand_cost, "{}", run.algorithm);
        assert!((column("energy_cost_micro") - totals.energy_cost.0).abs() <= 2, "{}", run.algorithm);
    }
    let series = frame(compare::series_parquet(&runs).expect("a frame"));
    assert_eq!(series.height(), runs.iter().map(Run::intervals).sum::<usize>());
}

#[test]
fn a_page_needs_nothing_else_and_escapes_what_it_shows() {
    let mut scenario = quickstart();
    "<script>&\"".clone_into(&mut scenario.name);
    let runs = run(&days(&scenario, &[]), &[Algorithm::Uncontrolled, Algorithm::Ours]);
    let page = compare::page("Side by side", &runs);
    assert!(page.contains("&lt;script&gt;&amp;&quot;") && !page.contains("<script"));
    assert!(!page.contains("http") && !page.contains("{{"));
    assert_eq!(page.matches("<svg").count(), 3, "a chart each, and the costs");
    assert!(compare::table(&runs).contains("uncontrolled"));
    assert_eq!(compare::json(&runs)["runs"][1]["algorithm"], "ours");
}

const TOPOLOGY: &str = r#"{
  "stations": [
    {"id": "A", "voltage": 200.0, "phase_angle_deg": 30.0, "min_pilot_a": 6.0, "max_pilot_a": 32.0, "continuous": false, "allowable_pilots_a": [0.0, 8.0, 16.0, 24.0, 32.0]},
    {"id": "B", "voltage": 200.0, "phase_angle_deg": -90.0, "min_pilot_a": 6.0, "max_pilot_a": 32.0, "continuous": false, "allowable_pilots_a": [0.0, 8.0, 16.0, 24.0, 32.0]}
  ],
  "constraint_ids": ["Secondary A", "Pod"],
  "constraint_limits_a": [48.0, 40.0],
  "constraint_matrix": [[1.0, -1.0], [1.0, 0.0]]
}"#;
const TARIFF: &str = r#"{"name": "two prices", "schedule": [{"id": "all", "effective_start": "01-01", "effective_end": "12-31",
  "dow_mask": "ALL", "times": [0, 12], "tariffs": [0.2, 0.1], "demand_charge": 10}]}"#;
const SESSIONS: &str = "arrival,departure,requested_energy (kWh),delivered_energy (kWh),station_id,session_id,estimated_departure\n\
    2019-05-01 10:00:00-07:00,2019-05-01 16:00:00-07:00,20,12.8,A,one,2019-05-01 17:00:00-07:00\n\
    2019-05-01 10:07:00-07:00,2019-05-01 15:00:00-07:00,20,9.6,B,two,2019-05-01 17:00:00-07:00\n\
    2019-05-02 10:00:00-07:00,2019-05-02 10:20:00-07:00,20,20,A,three,2019-05-02 17:00:00-07:00\n\
    2019-05-02 10:00:00-07:00,2019-05-02 11:20:00-07:00,20,2,elsewhere,four,2019-05-02 17:00:00-07:00\n";

fn inputs() -> (Topology, Tariff, Vec<FieldSession>) {
    (
        import::topology("topology.json", TOPOLOGY.as_bytes()).expect("a topology"),
        import::tariff("tariff.json", TARIFF.as_bytes()).expect("a tariff"),
        import::csv("sessions.csv", SESSIONS.as_bytes(), &import::Mapping::acn_csv()).expect("sessions").sessions,
    )
}

fn may(days: Option<u64>) -> (NaiveDate, Option<u64>) {
    (NaiveDate::from_ymd_opt(2019, 5, 1).expect("a date"), days)
}

fn made_up(limits: Limits) -> Month {
    let (topology, tariff, sessions) = inputs();
    let tariffed = Tariffed { tariff: &tariff, revenue: MicroPerKwh(300_000), zone: Los_Angeles };
    Month::new("made-up", &topology, &sessions, tariffed, may(None), limits).expect("a month")
}

#[test]
fn a_month_steps_through_ideal_cars() {
    let runs = run(&[Case::Month(Box::new(made_up(Limits::default())))], &Algorithm::ALL);
    let by = |algorithm| runs.iter().find(|run| run.algorithm == algorithm).expect("all ran");
    let free = by(Algorithm::Uncontrolled);
    // Two intervals of 32 A are all that the third car's stay has room for; the fourth has no EVSE here.
    let wanted: Vec<i64> = free.sessions.iter().map(|session| session.wanted_wh.0).collect();
    assert_eq!(wanted, [12_800, 9_600, 3_200]);
    let totals = free.totals();
    assert_eq!((totals.met, totals.delivered_wh, totals.peak_w), (3, WattHours(25_600), Watts(12_800)));
    assert_eq!(totals.demand_cost, Some(Micro(128_000_000)));
    // The difference of two currents 120° apart is √3 times one of them.
    assert_eq!(totals.violations, 6, "both cars for 1.5 hours, from 10:00 on: 55.4 A through 48 A");
    for run in runs.iter().filter(|run| run.algorithm != Algorithm::Uncontrolled) {
        assert_eq!((run.totals().violations, run.plans.broken), (0, 0), "{}", run.algorithm);
        assert!(run.totals().profit() <= by(Algorithm::Optimum).totals().profit(), "{}", run.algorithm);
        assert!(run.totals().delivered_wh <= by(Algorithm::MostEnergy).totals().delivered_wh, "{}", run.algorithm);
    }
    let capped = run(
        &[Case::Month(Box::new(made_up(Limits { cap_w: Some(Watts(4_000)), discrete: true })))],
        &[Algorithm::Ours, Algorithm::Rule(Rule::RoundRobin)],
    );
    for run in &capped {
        assert_eq!((run.limit_w, run.totals().violations, run.plans.broken), (Some(Watts(4_000)), 0, 0));
    }
}

#[test]
fn a_month_that_cannot_be_is_refused_by_name() {
    let (mut topology, tariff, sessions) = inputs();
    let tariffed = Tariffed { tariff: &tariff, revenue: MicroPerKwh(300_000), zone: Los_Angeles };
    let refused = |topology: &Topology, sessions: &[FieldSession], limits| {
        let error = Month::new("made-up", topology, sessions, tariffed, may(Some(1)), limits).expect_err("refused");
        error.to_string()
    };
    assert!(refused(&topology, &sessions[3..], Limits::default()).contains("--sessions"));
    topology.lines.remove(0);
    let capped = Limits { cap_w: Some(Watts(20_000)), ..Limits::default() };
    assert!(refused(&topology, &sessions, capped).contains("Secondary"));
    topology.stations[1].connection.voltage_mv += 1;
    assert!(refused(&topology, &sessions, Limits::default()).contains("one voltage"));
}

/// A file of the real data, where it is at hand.
fn real(name: &str) -> Option<(String, Vec<u8>)> {
    Some((name.to_owned(), field(name)?))
}

fn caltech(limits: Limits) -> Option<Month> {
    let (name, bytes) = real("acn_sessions/caltech_2019-05-01_2019-08-31.csv.gz")?;
    let sessions = import::csv(&name, &bytes, &import::Mapping::acn_csv()).expect("real sessions");
    let (name, bytes) = real("topology/caltech_acn.json")?;
    let topology = import::topology(&name, &bytes).expect("a real topology");
    let (name, bytes) = real("tariff/sce_tou_ev_4_march_2019.json")?;
    let tariff = import::tariff(&name, &bytes).expect("a real tariff");
    let tariffed = Tariffed { tariff: &tariff, revenue: MicroPerKwh(300_000), zone: Los_Angeles };
    Some(Month::new("caltech", &topology, &sessions, tariffed, may(Some(30)), limits).expect("a real month"))
}

/// The bars of the published experiments: shares in hundredths of a per cent.
#[test]
fn a_real_month_meets_the_bars() {
    let cap_w = Some(Watts(20_000));
    let limits = [(None, false), (None, true), (cap_w, false), (cap_w, true)];
    let months: Option<Vec<Month>> =
        limits.into_iter().map(|(cap_w, discrete)| caltech(Limits { cap_w, discrete })).collect();
    let Some(months) = months else { return };
    let cases: Vec<Case> = months.into_iter().map(|month| Case::Month(Box::new(month))).collect();
    let ours = run(&cases, &[Algorithm::Ours]);
    let best = run(&[cases[0].clone(), cases[2].clone()], &[Algorithm::Optimum, Algorithm::MostEnergy]);
    for run in ours.iter().chain(&best) {
        assert_eq!((run.totals().violations, run.plans.broken, run.plans.fallbacks), (0, 0, 0), "{}", run.algorithm);
        assert_eq!(run.sessions.len(), 926);
    }
    let optimum = best[0].totals().profit();
    assert!((optimum.0 - 1_362_000_000).abs() < 1_000_000, "{optimum}");
    let profit = |run: &Run| 10_000 * run.totals().profit().0 / optimum.0;
    let energy = |run: &Run| 10_000 * run.totals().delivered_wh.0 / best[3].totals().delivered_wh.0;
    let met = |run: &Run| run.totals().met_share().unwrap_or(0);
    assert!(profit(&ours[0]) >= 9_400 && met(&ours[0]) >= 9_800, "{} {}", profit(&ours[0]), met(&ours[0]));
    assert!(profit(&ours[1]) >= 9_100 && met(&ours[1]) >= 9_500, "{} {}", profit(&ours[1]), met(&ours[1]));
    assert!(energy(&ours[2]) >= 9_900 && energy(&ours[3]) >= 9_700, "{} {}", energy(&ours[2]), energy(&ours[3]));
}

#[test]
fn the_worth_of_flexibility_follows_the_true_contribution_on_real_days() {
    let Some(month) = caltech(Limits::default()) else { return };
    let found = compare::correlation(&compare::values(&month, 5).expect("days that can be planned"));
    assert!(found.sessions > 150, "{found}");
    assert!(found.worth_micro > 950_000 && found.worth_micro > found.shifted_micro, "{found}");
}
