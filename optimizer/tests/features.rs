//! What a site can ask of a plan beyond prices and one limit: every plan here is checked too.

mod instances;

use instances::{car_park, next_interval, with_pilots};
use optimizer::check::check;
use optimizer::problem::*;
use optimizer::rows::{Phasor, polygon, wye_phases};
use optimizer::schedule::{Cause, Schedule, Status};
use optimizer::serve::Server;
use optimizer::solve::{Planner, fallback, solve, solve_all};
use optimizer::units::{MicroPerKw, MicroPerKwh, WattHours, Watts};

const LIMIT_MS: u32 = 60_000;

fn planned(problem: &Problem) -> Schedule {
    let schedule = solve(problem, LIMIT_MS).expect("a plan always exists");
    assert_eq!(check(problem, &schedule), []);
    assert_eq!(check(problem, &fallback(problem, "test")), []);
    schedule
}

/// Cars in groups of their own below a grid connection that limits nothing.
fn site(groups: usize, import_price: &[i64], needs: Vec<Need>) -> Problem {
    let open = |parent| GroupLimit { parent, import_w: Watts(1_000_000), ..GroupLimit::default() };
    Problem {
        site: "site".to_owned(),
        horizon: import_price.len(),
        lanes: needs.len(),
        groups: std::iter::once(open(None)).chain((0..groups).map(|_| open(Some(0)))).collect(),
        needs,
        feed_in_price: vec![MicroPerKwh(0); import_price.len()],
        import_price: import_price.iter().map(|price| MicroPerKwh(*price)).collect(),
        shortfall_penalty: MicroPerKwh(2_000_000),
        ..Problem::default()
    }
}

fn car(lane: usize, group: usize, max_w: i64, energy_wh: i64, until: usize) -> Need {
    Need {
        session: format!("session-{lane}"),
        lane,
        group,
        until,
        max_w: Watts(max_w),
        energy_wh: WattHours(energy_wh),
        ..Need::default()
    }
}

fn total_w(schedule: &Schedule, k: usize) -> i64 {
    schedule.column(k).iter().map(|power| power.0).sum()
}

#[test]
fn a_phase_is_a_row_over_classes() {
    // Classes 1 to 3 sit on one phase each, class 4 on all three; 4 kW per phase.
    let needs = vec![car(0, 1, 7_000, 7_000, 1), car(1, 2, 7_000, 500, 1), car(2, 4, 11_000, 3_000, 1)];
    let mut problem = site(4, &[100_000], needs);
    problem.rows = wye_phases("feeder", [&[1], &[2], &[3]], &[4], Watts(4_000));
    let plan = planned(&problem);
    // L1 carries car 0 and a third of car 2; all that fits flows.
    let (one, three) = (plan.power_w[0][0].0, plan.power_w[2][0].0);
    assert!(3 * one + three <= 12_000 && one == 330 && plan.power_w[1][0] == Watts(330), "{plan:?}");
    assert_eq!(three, 11_000, "a step on all phases serves three times as much for each of them");
    assert!(plan.node_price[4][0] < plan.node_price[1][0].max(plan.node_price[2][0]));
}

#[test]
fn a_line_current_is_limited_in_magnitude() {
    let phasor =
        |group: usize| Phasor { group, angle_mdeg: [30_000, -90_000, 150_000][group - 1], factor_micro: 1_000_000 };
    let rows = polygon("line", &[phasor(1), phasor(2), phasor(3)], Watts(6_000), 48);
    let alone = Problem { rows: rows.clone(), ..site(3, &[100_000], vec![car(0, 1, 20_000, 9_000, 1)]) };
    let drawn = planned(&alone).power_w[0][0].0;
    assert!((5_980..=6_000).contains(&drawn), "{drawn}");
    // Three phases alike add up to nothing.
    let all = (0..3).map(|n| car(n, n + 1, 20_000, 5_000, 1)).collect();
    let together = Problem { rows, ..site(3, &[100_000], all) };
    assert_eq!(total_w(&planned(&together), 0), 60_000);
}

#[test]
fn a_peak_is_paid_once_and_used_again() {
    let needs = vec![car(0, 0, 10_000, 5_000, 4)];
    let flat = site(0, &[100_000; 4], needs);
    let peak = |so_far, price| Some(Peak { so_far_w: Watts(so_far), price: MicroPerKw(price) });
    assert_eq!(planned(&flat).peak_w, Watts(10_000));
    let charged = Problem { peak: peak(0, 100_000), ..flat.clone() };
    assert_eq!(planned(&charged).power_w[0], vec![Watts(5_000); 4]);
    let known = Problem { peak: peak(8_000, 100_000), ..flat };
    assert_eq!(planned(&known).power_w[0][..3], [8_000, 8_000, 4_000].map(Watts));
}

#[test]
fn the_likely_departure_is_served_first_where_the_risk_is_dearer_than_the_price() {
    // The cheap hours are the last two of four; by then the car may have gone.
    let likely = Need { likely_until: Some(2), ..car(0, 0, 4_000, 2_000, 4) };
    let mut problem = site(0, &[200_000, 150_000, 100_000, 100_000], vec![likely]);
    let powers = |problem: &Problem| planned(problem).power_w[0].clone();
    problem.risk_price = MicroPerKwh(40_000);
    assert_eq!(powers(&problem), [0, 0, 4_000, 4_000].map(Watts), "the cheap hours are worth the risk");
    problem.risk_price = MicroPerKwh(90_000);
    assert_eq!(powers(&problem), [0, 4_000, 4_000, 0].map(Watts));
    problem.risk_price = MicroPerKwh(110_000);
    let plan = planned(&problem);
    assert_eq!(plan.power_w[0], [4_000, 4_000, 0, 0].map(Watts));
    assert_eq!((plan.cost.0, plan.shortfalls.len()), (350_000, 0), "risk is no money");
    assert_eq!(plan.node_price[0][3], MicroPerKwh(100_000), "and in no node price");
    // What is declared is still planned: nothing is left out for the risk.
    problem.needs[0].energy_wh = WattHours(4_000);
    assert_eq!(planned(&problem).shortfalls, []);
}

#[test]
fn scarce_energy_goes_to_the_likely_departure_first() {
    let stays = car(0, 0, 4_000, 1_000, 2);
    let likely = Need { likely_until: Some(1), ..car(1, 0, 4_000, 1_000, 2) };
    let mut problem = site(0, &[100_000; 2], vec![stays, likely]);
    problem.groups[0].import_w = Watts(4_000);
    problem.risk_price = MicroPerKwh(1_000);
    for schedule in [planned(&problem), fallback(&problem, "test")] {
        assert_eq!(schedule.power_w, [[0, 4_000], [4_000, 0]].map(|row| row.map(Watts)));
    }
}

#[test]
fn room_is_kept_for_cars_to_come_where_that_costs_little() {
    let mut problem = site(0, &[100_000; 3], vec![car(0, 0, 8_000, 2_000, 3)]);
    problem.groups[0].import_w = Watts(8_000);
    let power_w = [8_000, 4_000, 0].map(Watts).to_vec();
    problem.reserve = Some(Reserve { power_w, price: MicroPerKwh(20_000) });
    let plan = planned(&problem);
    assert_eq!((plan.power_w[0].clone(), plan.cost.0), ([0, 4_000, 4_000].map(Watts).to_vec(), 200_000));
    problem.import_price[0] = MicroPerKwh(70_000);
    assert_eq!(planned(&problem).power_w[0], [8_000, 0, 0].map(Watts), "not at any price");
    problem.needs[0].energy_wh = WattHours(6_000);
    assert_eq!(planned(&problem).shortfalls, [], "and never at a driver's cost");
}

#[test]
fn dimmed_hours_leave_every_car_its_guarantee() {
    let mut problem = site(0, &[100_000; 2], vec![car(0, 0, 11_000, 5_500, 2), car(1, 0, 11_000, 5_500, 2)]);
    problem.groups[0].dimmed = vec![Dimming { from: 0, until: 1, import_w: Watts(5_000), guaranteed_w: Watts(4_200) }];
    let plan = planned(&problem);
    assert_eq!((total_w(&plan, 0), total_w(&plan, 1)), (8_400, 22_000));
    assert_eq!(plan.shortfalls.iter().map(|s| s.energy_wh.0).sum::<i64>(), 11_000 - 7_600);
}

#[test]
fn priority_goes_first_and_equal_share_shares() {
    let needs = vec![car(0, 0, 8_000, 2_000, 1), Need { priority_percent: 200, ..car(1, 0, 8_000, 2_000, 1) }];
    let mut problem = site(0, &[100_000], needs);
    problem.groups[0].import_w = Watts(8_000);
    assert_eq!(planned(&problem).power_w, [[Watts(0)], [Watts(8_000)]]);
    problem.needs[1].priority_percent = 0;
    problem.share = Share::Equal;
    assert_eq!(planned(&problem).power_w, [[Watts(4_000)], [Watts(4_000)]]);
}

#[test]
fn a_shortfall_has_a_cause() {
    let cause = |problem: &Problem| planned(problem).shortfalls[0].cause;
    assert_eq!(cause(&site(0, &[100_000], vec![car(0, 0, 4_000, 2_000, 1)])), Cause::Time);
    let slow = Need { car_w: Watts(11_000), ..car(0, 0, 4_000, 2_000, 1) };
    assert_eq!(cause(&site(0, &[100_000], vec![slow])), Cause::Rating);
    let mut narrow = site(0, &[100_000], vec![car(0, 0, 8_000, 2_000, 1)]);
    narrow.groups[0].import_w = Watts(4_000);
    assert_eq!(cause(&narrow), Cause::Limit);
    assert_eq!(cause(&site(0, &[3_000_000], vec![car(0, 0, 8_000, 2_000, 1)])), Cause::Price);
}

#[test]
fn a_car_feeds_back_where_that_pays_for_its_wear() {
    let car = |cycle_cost: i64| Storage {
        max_w: Watts(10_000),
        capacity_wh: WattHours(40_000),
        content_wh: WattHours(20_000),
        charge_percent: 95,
        discharge_percent: 105,
        cycle_cost: MicroPerKwh(cycle_cost),
        floor_wh: WattHours(16_000),
        stay: Some((0, 4)),
        target: Some(Target { session: "v2g".to_owned(), content_wh: WattHours(22_000), priority_percent: 0 }),
        ..Storage::default()
    };
    let mut problem = site(0, &[400_000, 400_000, 100_000, 100_000, 400_000], Vec::new());
    problem.lanes = 2;
    problem.base_loads = vec![Forecast { lane: 1, group: 0, power_w: vec![Watts(20_000); 5] }];
    problem.storages = vec![car(50_000)];
    let plan = planned(&problem);
    // It feeds what two cheap intervals can bring back to the target before it goes.
    assert!(plan.power_w[0][..2].iter().map(|p| p.0).sum::<i64>() < -10_000, "{:?}", plan.power_w[0]);
    // Whole steps may miss it by a few Wh.
    let missing: i64 = plan.shortfalls.iter().map(|short| short.energy_wh.0).sum();
    assert!(missing <= 10 && plan.power_w[0][4] == Watts(0), "{missing}");
    problem.storages = vec![car(900_000)];
    assert!(planned(&problem).power_w[0].iter().all(|power| power.0 >= 0));
}

#[test]
fn a_nearly_full_car_is_planned_with_what_it_takes() {
    let taper = Some(Taper { full_wh: WattHours(5_000), range_wh: WattHours(5_000), end_percent: 10 });
    let problem = site(0, &[100_000; 4], vec![Need { taper, ..car(0, 0, 10_000, 5_000, 4) }]);
    let powers: Vec<i64> = planned(&problem).power_w[0].iter().map(|power| power.0).collect();
    assert_eq!(powers[0], 10_000);
    assert!(powers.windows(2).all(|pair| pair[1] < pair[0]), "{powers:?}");
}

#[test]
fn the_rest_of_an_interval_is_a_rest() {
    let problem = Problem { elapsed_s: 600, ..site(0, &[100_000, 200_000], vec![car(0, 0, 9_000, 1_500, 2)]) };
    // Five minutes at 9 kW are 750 Wh; 15 minutes at 3 kW the other 750.
    let plan = planned(&problem);
    assert_eq!(plan.power_w[0], [Watts(9_000), Watts(3_000)]);
    assert_eq!(plan.cost.0, 75_000 + 150_000);
}

#[test]
fn the_first_interval_is_a_pilot() {
    for seed in 0..5 {
        let problem = with_pilots(car_park(40, seed));
        let plan = planned(&problem);
        let known = |need: &Need| {
            let first = plan.power_w[need.lane][0];
            first == Watts(0) || need.pilots_w.contains(&first)
        };
        assert!(problem.needs.iter().all(known));
    }
}

#[test]
fn equal_prices_do_not_move_the_running_plan() {
    let mut problem = site(0, &[100_000; 6], vec![car(0, 0, 4_000, 2_000, 6)]);
    problem.needs[0].running_w = [0, 0, 4_000, 0, 4_000, 0].map(Watts).to_vec();
    assert_eq!(planned(&problem).power_w[0], problem.needs[0].running_w);
    problem.import_price[1] = MicroPerKwh(99_999);
    assert_eq!(planned(&problem).power_w[0][1], Watts(4_000), "money comes first");
}

/// The same facts an interval later keep the plan that was made.
#[test]
fn planning_again_on_unchanged_facts_keeps_the_plan() {
    for seed in 0..4 {
        let mut first = car_park(20, seed);
        first.storages.clear();
        let plan = planned(&first);
        let next = next_interval(&first, &plan);
        let again = planned(&next);
        // The interval that came into sight may draw load to it; nothing else moves.
        let kept = |need: &Need| plan.power_w[need.lane][1..] == again.power_w[need.lane][..first.horizon - 1];
        let moved = next.needs.iter().filter(|need| !kept(need)).count();
        assert!(moved <= 1, "{moved} of {} cars moved", next.needs.len());
    }
}

#[test]
fn memory_and_threads_change_nothing_that_costs() {
    let problems: Vec<Problem> = (0..12).map(|seed| car_park(15, seed)).collect();
    let one = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| solve_all(&problems, LIMIT_MS))
    };
    let (single, double) = (one(1), one(2));
    assert_eq!(single, double);
    let mut planner = Planner::with_memory();
    for (problem, schedule) in problems.iter().zip(single) {
        let alone = solve(problem, LIMIT_MS).expect("a plan always exists");
        assert_eq!(Ok(&alone), schedule.as_ref());
        let warm = planner.plan(problem, LIMIT_MS).expect("a plan always exists");
        let dearer = (warm.cost.0 - alone.cost.0).abs() as i128;
        assert!(dearer * 1000 <= alone.cost.0 as i128, "{} and {}", warm.cost, alone.cost);
        assert_eq!(check(problem, &warm), []);
    }
}

#[test]
fn without_time_there_is_a_fallback_that_says_so() {
    let problem = car_park(100, 1);
    let schedule = Planner::new().plan_or_fall_back(&problem, 0).unwrap();
    assert!(
        matches!(&schedule.status, Status::Fallback { reason } if reason.contains("0 ms")),
        "{:?}",
        schedule.status
    );
    assert_eq!(check(&problem, &schedule), []);
}

#[test]
fn degenerate_sites_have_plans() {
    let prices = [100_000; 3];
    assert_eq!(planned(&site(0, &prices, Vec::new())).cost.0, 0);
    let mut dead = site(0, &prices, vec![car(0, 0, 4_000, 2_000, 3)]);
    dead.groups[0].import_w = Watts(0);
    assert_eq!(planned(&dead).shortfalls[0].energy_wh, WattHours(2_000));
    let leaving = site(0, &prices, (0..4).map(|lane| car(lane, 0, 4_000, 2_000, 0)).collect());
    assert_eq!(planned(&leaving).shortfalls.len(), 4);
    let paid = planned(&site(0, &[-100_000; 3], vec![car(0, 0, 4_000, 2_000, 3)]));
    assert_eq!((paid.cost.0, paid.shortfalls.len()), (-200_000, 0));
    let beyond = site(0, &prices, vec![car(0, 0, 327_680, 2_000, 3)]);
    assert!(solve(&beyond, LIMIT_MS).is_err());
    for intervals in [92, 100] {
        assert_eq!(
            planned(&site(0, &vec![100_000; intervals], vec![car(0, 0, 4_000, 9_000, intervals)])).shortfalls,
            []
        );
    }
}

#[test]
fn names_and_order_of_cars_change_no_cost() {
    for seed in 0..4 {
        let problem = car_park(12, seed);
        let mut other = problem.clone();
        other.needs.reverse();
        other.needs.iter_mut().for_each(|need| need.session = format!("another {}", need.session));
        assert_eq!(planned(&problem).cost, planned(&other).cost);
    }
}

#[test]
fn a_server_answers_problems_and_says_what_is_wrong() {
    let mut server = Server::new();
    let problem = site(0, &[300_000, 100_000], vec![car(0, 0, 4_000, 1_000, 2)]);
    let answer = server.answer(&serde_json::to_string(&problem).expect("a problem is JSON"));
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("an answer is JSON");
    assert_eq!(answer["schedule"]["power_w"], serde_json::json!([[0, 4_000]]));
    assert_eq!(answer["violations"], serde_json::json!([]));
    for (line, said) in [
        ("{", "no JSON"),
        ("{}", "missing field"),
        (r#"{"evses": []}"#, "missing field"),
        (r#"{"problem": {"site": 1}}"#, "expected a string"),
    ] {
        assert!(server.answer(line).contains(said), "{line}: {}", server.answer(line));
    }
}

#[test]
fn a_row_holds_also_where_pilots_give_more_than_is_needed() {
    // Eight cars want a little less than the smallest pilot gives in a quarter hour, and then leave; all at once would
    // be 12.8 kW.
    let needs = (0..8).map(|lane| Need { pilots_w: vec![Watts(1_600)], ..car(lane, 1, 1_600, 390, 1) }).collect();
    let mut problem = site(1, &[100_000], needs);
    let term = Term { group: 1, coefficient: 1 };
    problem.rows = vec![Row { name: "pod".to_owned(), terms: vec![term], at_most: vec![12_700] }];
    assert_eq!(total_w(&planned(&problem), 0), 7 * 1_600);
}
