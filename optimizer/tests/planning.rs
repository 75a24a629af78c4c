//! Planning, checked: every plan is feasible, and none is dearer than it need be.

mod instances;
#[path = "instances/random.rs"]
mod random;
mod seed;

use instances::{car_park, next_interval};
use optimizer::check::check;
use optimizer::problem::{Forecast, GroupLimit, Need, Problem, Reserve, Storage};
use optimizer::schedule::{Cause, Schedule, Shortfall, Status};
use optimizer::solve::{Planner, SolveError, fallback, solve, uncontrolled};
use optimizer::units::{Interval, MicroPerKwh, WattHours, Watts};
use proptest::prelude::*;
use random::{Recipe, recipes};
use seed::seeded;

/// Far more than any plan here takes.
const LIMIT_MS: u32 = 60_000;

/// One quantum (10 W for an interval, 2.5 Wh) at 1 micro per kWh, the unit of [`objective`], is 1/400 micro.
const QUANTA_PER_KWH: i128 = 400;

fn planned(problem: &Problem) -> Schedule {
    let schedule = solve(problem, LIMIT_MS).expect("a plan always exists");
    assert_eq!(check(problem, &schedule), []);
    assert_eq!(schedule.status, Status::Optimal);
    schedule
}

fn lane_quanta(schedule: &Schedule, lane: usize) -> i128 {
    schedule.power_w[lane].iter().map(|power| i128::from(power.0 / 10)).sum()
}

/// What the linear program minimises, without ties: energy cost, penalty, risk and use of the reserve, less the batteries'
/// end value; micro / 400.
fn objective(problem: &Problem, schedule: &Schedule) -> i128 {
    let mut sum = 0;
    for k in 0..problem.horizon {
        let net: i128 = schedule.column(k).iter().map(|power| i128::from(power.0 / 10)).sum();
        let price = if net > 0 { problem.import_price[k] } else { problem.feed_in_price[k] };
        sum += net * i128::from(price.0);
        if let Some(reserve) = &problem.reserve {
            let steps = |power: Watts| i128::from(power.0 / 10);
            // The effective limit: at least the base load.
            let base: i128 = problem.base_loads.iter().map(|base| steps(base.power_w[k].ceil_to_step())).sum();
            let free = (steps(problem.groups[0].import_w).max(base) - steps(reserve.power_w[k])).max(0);
            sum += (net - free).max(0) * i128::from(reserve.price.0);
        }
    }
    for need in &problem.needs {
        let risky = schedule.power_w[need.lane].iter().skip(need.likely_until.unwrap_or(problem.horizon));
        sum += risky.map(|power| i128::from(power.0 / 10)).sum::<i128>() * i128::from(problem.risk_price.0);
        let missing = i128::from(need.energy_wh.0 * 2 / 5) - lane_quanta(schedule, need.lane);
        sum += missing * i128::from(problem.shortfall_penalty.0);
    }
    for storage in &problem.storages {
        let change: i128 = schedule.power_w[storage.lane]
            .iter()
            .map(|power| {
                i128::from(power.0 / 10 * if power.0 > 0 { storage.charge_percent } else { storage.discharge_percent })
            })
            .sum();
        sum -= change * i128::from(storage.end_value.0) / 100;
    }
    sum
}

/// By how much a plan may miss the optimum, micro / 400:
/// - ties: half a micro per kWh on everything that either plan moves (at most all of it, both ways);
/// - the gap of 1e-4 of all energy at the highest price, at which a search over directions may stop;
/// - rounding: none without a battery and without a search, because the program is then a network flow. With one, every
///   battery power is off by up to two steps and every need's by one per interval, each worth at most the penalty.
fn tolerance(problem: &Problem) -> i128 {
    let powers = |forecasts: &[Forecast]| -> i128 {
        forecasts.iter().flat_map(|f| &f.power_w).map(|power| i128::from(power.0 / 10)).sum()
    };
    let battery: i128 = problem.storages.iter().map(|s| i128::from(s.max_w.0 / 10) * 2 * problem.horizon as i128).sum();
    let energy: i128 = problem.needs.iter().map(|need| i128::from(need.energy_wh.0 * 2 / 5)).sum();
    let moved = powers(&problem.pv) + battery + energy;
    let ties = moved / 2 + QUANTA_PER_KWH;
    let prices = problem.import_price.iter().chain(&problem.feed_in_price).map(|price| i128::from(price.0.abs()));
    let gap = (energy + powers(&problem.base_loads)) * prices.max().unwrap_or(0) / 10_000;
    let batteries = problem.storages.len() * 2 + if problem.storages.is_empty() { 0 } else { problem.needs.len() };
    ties + gap + (batteries * problem.horizon) as i128 * i128::from(problem.shortfall_penalty.0)
}

proptest! {
    #![proptest_config(seeded(256))]

    #[test]
    fn every_plan_is_feasible(recipe in recipes()) {
        let problem = recipe.problem();
        let schedule = solve(&problem, LIMIT_MS);
        prop_assert_eq!(schedule.map(|schedule| check(&problem, &schedule)), Ok(Vec::new()));
    }

    #[test]
    fn every_fallback_is_feasible(recipe in recipes()) {
        let problem = recipe.problem();
        prop_assert_eq!(check(&problem, &fallback(&problem, "test")), []);
    }

    #[test]
    fn no_plan_is_dearer_than_the_fallback(recipe in recipes()) {
        let problem = Recipe { minimums: false, posted: false, ..recipe }.problem();
        let (plan, other) = (planned(&problem), fallback(&problem, "test"));
        let (cost, bound) = (objective(&problem, &plan), objective(&problem, &other) + tolerance(&problem));
        prop_assert!(cost <= bound, "{cost} > {bound}, cars lack {:?} and {:?}", plan.shortfalls, other.shortfalls);
    }

    #[test]
    fn the_same_problem_gives_the_same_plan(recipe in recipes()) {
        let problem = recipe.problem();
        prop_assert_eq!(solve(&problem, LIMIT_MS), solve(&problem, LIMIT_MS));
    }

    /// The cost is convex in a base load, so its slope lies between the differences to either side, however degenerate
    /// the program is.
    #[test]
    fn node_prices_are_marginal_costs(recipe in recipes(), at in any::<prop::sample::Index>(), steps in 1_i64..4) {
        let recipe = Recipe {
            batteries: 0, inverted_prices: false, minimums: false, posted: false, overloads: false, ..recipe
        };
        let problem = recipe.problem();
        let cell = at.index(problem.groups.len() * problem.horizon);
        let (group, k) = (cell / problem.horizon, cell % problem.horizon);
        let schedule = planned(&problem);
        let base = objective(&problem, &schedule);
        let price = i128::from(schedule.node_price[group][k].0);
        // Ties, and half a micro per kWh lost in rounding the price.
        let slack = tolerance(&problem) + i128::from(steps);

        let mut more = problem.clone();
        more.base_loads[group].power_w[k].0 += 10 * steps;
        let rise = objective(&more, &planned(&more)) - base;
        prop_assert!(rise >= price * i128::from(steps) - slack, "{rise} < {steps} · {price}");

        let mut less = problem.clone();
        if less.base_loads[group].power_w[k].0 >= 10 * steps {
            less.base_loads[group].power_w[k].0 -= 10 * steps;
            let fall = base - objective(&less, &planned(&less));
            prop_assert!(fall <= price * i128::from(steps) + slack, "{fall} > {steps} · {price}");
        }
    }
}

/// A group without a load, under `parent`.
fn group(parent: Option<usize>, import_w: i64, export_w: i64) -> GroupLimit {
    GroupLimit { parent, import_w: Watts(import_w), export_w: Watts(export_w), dimmed: Vec::new() }
}

fn car(lane: usize, max_w: i64, energy_wh: i64, until: usize) -> Need {
    Need {
        session: format!("session-{lane}"),
        lane,
        group: 0,
        from: 0,
        until,
        max_w: Watts(max_w),
        min_w: Watts(0),
        energy_wh: WattHours(energy_wh),
        ..Need::default()
    }
}

fn short(lane: usize, energy_wh: i64, cause: Cause) -> Shortfall {
    Shortfall { session: format!("session-{lane}"), energy_wh: WattHours(energy_wh), cause }
}

fn battery(lane: usize, max_w: i64, capacity_wh: i64, content_wh: i64) -> Storage {
    Storage {
        lane,
        group: 0,
        max_w: Watts(max_w),
        capacity_wh: WattHours(capacity_wh),
        content_wh: WattHours(content_wh),
        charge_percent: 95,
        discharge_percent: 105,
        ..Storage::default()
    }
}

/// A site of one group without assets, with these import prices; feeding in earns nothing.
fn site(import_w: i64, import_price: &[i64]) -> Problem {
    Problem {
        site: "site".to_owned(),
        first: Interval(0),
        horizon: import_price.len(),
        lanes: 0,
        groups: vec![group(None, import_w, 20_000)],
        needs: Vec::new(),
        storages: Vec::new(),
        pv: Vec::new(),
        base_loads: Vec::new(),
        import_price: import_price.iter().map(|price| MicroPerKwh(*price)).collect(),
        feed_in_price: vec![MicroPerKwh(0); import_price.len()],
        shortfall_penalty: MicroPerKwh(2_000_000),
        ..Problem::default()
    }
}

fn site_with_cars(import_w: i64, import_price: &[i64], needs: Vec<Need>) -> Problem {
    Problem { lanes: needs.len(), needs, ..site(import_w, import_price) }
}

/// The best objective over all plans in steps of `grain_w`, by trying every one.
fn best_by_enumeration(problem: &Problem, grain_w: i64) -> i128 {
    let cells: Vec<(usize, usize, i64)> = problem
        .needs
        .iter()
        .flat_map(|need| (need.from..need.until).map(|k| (need.lane, k, need.max_w.0)))
        .chain(problem.pv.iter().flat_map(|pv| (0..problem.horizon).map(|k| (pv.lane, k, -pv.power_w[k].0))))
        .collect();
    let mut schedule = fallback(problem, "enumeration");
    for (lane, row) in schedule.power_w.iter_mut().enumerate() {
        let base = problem.base_loads.iter().find(|base| base.lane == lane);
        *row = base.map_or(vec![Watts(0); problem.horizon], |base| base.power_w.clone());
    }
    let mut best = i128::MAX;
    loop {
        let feasible = check(problem, &schedule).iter().all(|violation| {
            use optimizer::check::Violation::{Cause, Cost, Peak, Shortfall};
            matches!(violation, Cause { .. } | Cost { .. } | Peak { .. } | Shortfall { .. })
        });
        if feasible {
            best = best.min(objective(problem, &schedule));
        }
        // The next plan, as an odometer counts.
        let turned = cells.iter().all(|&(lane, k, most)| {
            let power = &mut schedule.power_w[lane][k].0;
            *power = if *power == most { 0 } else { *power + grain_w * most.signum() };
            *power == 0
        });
        if turned {
            return best;
        }
    }
}

proptest! {
    #![proptest_config(seeded(64))]
    /// All data are multiples of the grid, so the network flow has an optimum on it.
    #[test]
    fn tiny_plans_match_the_best_of_all(
        prices in prop::collection::vec(-50_000_i64..300_000, 3),
        spreads in prop::collection::vec(-50_000_i64..100_000, 3),
        limits in (1_i64..6, 0_i64..4, 0_i64..3),
        energies in (0_i64..8, 0_i64..8),
        sun in prop::collection::vec(0_i64..3, 3),
        load in prop::collection::vec(0_i64..3, 3),
        likely in prop::option::of((0_usize..4, 0_i64..200_000)),
        kept in prop::option::of((0_i64..3, 0_i64..200_000)),
    ) {
        let thousand = |values: &[i64]| values.iter().map(|v| Watts(v * 1_000)).collect::<Vec<_>>();
        let mut problem = site_with_cars(
            limits.0 * 1_000,
            &prices,
            vec![car(0, 2_000, energies.0 * 250, 3), Need { group: 1, ..car(1, 2_000, energies.1 * 250, 2) }],
        );
        problem.groups[0].export_w = Watts(limits.2 * 1_000);
        problem.groups.push(group(Some(0), limits.1 * 1_000, 1_000));
        problem.feed_in_price = prices.iter().zip(&spreads).map(|(p, s)| MicroPerKwh(p - s)).collect();
        problem.pv.push(Forecast { lane: 2, group: 1, power_w: thousand(&sun) });
        problem.base_loads.push(Forecast { lane: 3, group: 0, power_w: thousand(&load) });
        problem.lanes = 4;
        problem.needs[0].likely_until = likely.map(|(until, _)| until);
        problem.risk_price = MicroPerKwh(likely.map_or(0, |(_, price)| price));
        problem.reserve = kept.map(|(power, price)| Reserve {
            power_w: vec![Watts(power * 1_000); 3],
            price: MicroPerKwh(price),
        });
        let found = objective(&problem, &planned(&problem));
        let best = best_by_enumeration(&problem, 1_000);
        let slack = tolerance(&problem);
        prop_assert!((best - slack..=best + slack).contains(&found), "{found} instead of {best}");
    }
}

#[test]
fn a_car_charges_when_energy_is_cheapest() {
    let problem = site_with_cars(11_000, &[300_000, 100_000, 200_000], vec![car(0, 4_000, 1_500, 3)]);
    let plan = planned(&problem);
    assert_eq!(plan.power_w[0], [Watts(0), Watts(4_000), Watts(2_000)]);
    assert_eq!(plan.cost.0, 200_000);
    assert_eq!(plan.node_price[0], [300_000, 100_000, 200_000].map(MicroPerKwh));
}

#[test]
fn equal_prices_charge_at_once() {
    let plan = planned(&site_with_cars(11_000, &[250_000; 8], vec![car(0, 4_000, 1_500, 8)]));
    assert_eq!(plan.power_w[0][..3], [Watts(4_000), Watts(2_000), Watts(0)]);
}

#[test]
fn one_micro_outweighs_a_day_of_waiting() {
    let mut prices = [250_001; 96];
    prices[95] = 250_000;
    let plan = planned(&site_with_cars(11_000, &prices, vec![car(0, 4_000, 1_000, 96)]));
    assert_eq!(plan.power_w[0][95], Watts(4_000));
}

#[test]
fn scarcity_behind_a_cabinet_raises_the_price_there_only() {
    let mut problem = site_with_cars(20_000, &[200_000], vec![Need { group: 1, ..car(0, 8_000, 2_000, 1) }]);
    problem.groups.push(group(Some(0), 5_000, 0));
    let plan = planned(&problem);
    assert_eq!(plan.power_w[0], [Watts(5_000)]);
    assert_eq!(plan.shortfalls, [short(0, 750, Cause::Limit)]);
    assert_eq!(plan.node_price, [[MicroPerKwh(200_000)], [MicroPerKwh(2_000_000)]]);
}

#[test]
fn what_is_less_than_a_quantum_is_no_shortfall() {
    let plan = planned(&site_with_cars(11_000, &[100_000], vec![car(0, 4_000, 999, 1)]));
    assert_eq!(plan.power_w[0], [Watts(3_990)]);
    assert_eq!(plan.shortfalls, []);
}

#[test]
fn an_overload_leaves_nothing_for_charging() {
    let mut problem = site_with_cars(5_000, &[100_000; 2], vec![car(0, 4_000, 2_000, 2)]);
    problem.base_loads.push(Forecast { lane: 1, group: 0, power_w: vec![Watts(7_000), Watts(2_000)] });
    problem.lanes = 2;
    assert_eq!(planned(&problem).power_w[0], [Watts(0), Watts(3_000)]);
    assert_eq!(fallback(&problem, "test").power_w[0], [Watts(0), Watts(3_000)]);
}

/// Burning energy in a battery's losses would pay at a negative price; a battery has one direction, so it cannot.
#[test]
fn a_battery_burns_no_energy_at_negative_prices() {
    let mut problem = site(50_000, &[-300_000, -300_000, 200_000]);
    problem.storages.push(Storage { end_value: MicroPerKwh(10_000), ..battery(0, 5_000, 2_000, 1_900) });
    problem.lanes = 1;
    let plan = planned(&problem);
    // From 1,900 Wh only 100 Wh fit, which take 105.26 Wh or 42 quanta of 2.5 Wh, at once or after feeding first.
    assert!(plan.power_w[0].iter().take(2).map(|power| power.0.max(0)).sum::<i64>() <= 5_000);
    assert!(plan.cost.0 <= -30_000, "{}", plan.cost);
    let burnt: i64 = plan.power_w[0].iter().map(|power| power.0 * if power.0 > 0 { 95 } else { 105 }).sum();
    // 100 · Wh stored = Σ W·percent / 4, so the end content lies within the capacity.
    assert!((-190_000..=10_000).contains(&(burnt / 4)), "{burnt}");
}

#[test]
fn a_battery_serves_the_evening_from_noon() {
    let mut problem = site(50_000, &[100_000, 100_000, 400_000, 400_000]);
    problem.storages.push(battery(0, 4_000, 2_000, 0));
    problem.base_loads.push(Forecast { lane: 1, group: 0, power_w: vec![Watts(3_000); 4] });
    problem.lanes = 2;
    let plan = planned(&problem);
    assert!(plan.power_w[0][0].0 > 0 && plan.power_w[0][2].0 < 0);
    // 3 kWh at 0.25 on average without it.
    assert!(plan.cost.0 < 650_000, "{}", plan.cost);
}

#[test]
fn feeding_in_above_the_import_price_makes_no_money_machine() {
    let mut problem = site_with_cars(10_000, &[100_000, 100_000], vec![car(0, 4_000, 1_000, 2)]);
    problem.feed_in_price = vec![MicroPerKwh(150_000), MicroPerKwh(90_000)];
    problem.pv.push(Forecast { lane: 1, group: 0, power_w: vec![Watts(3_000), Watts(0)] });
    problem.lanes = 2;
    let plan = planned(&problem);
    // The sun is sold at 0.15, the car served at 0.10.
    assert_eq!(plan.power_w, [[Watts(0), Watts(4_000)], [Watts(-3_000), Watts(0)]]);
    assert_eq!(plan.cost.0, -112_500 + 100_000);
    assert_eq!(plan.node_price[0], [MicroPerKwh(150_000), MicroPerKwh(100_000)]);
}

#[test]
fn sun_that_nobody_pays_for_is_curtailed() {
    let mut problem = site(10_000, &[100_000]);
    problem.feed_in_price = vec![MicroPerKwh(-50_000)];
    problem.pv.push(Forecast { lane: 0, group: 0, power_w: vec![Watts(3_000)] });
    problem.lanes = 1;
    assert_eq!(planned(&problem).power_w[0], [Watts(0)]);
}

#[test]
fn posted_setpoints_are_kept_as_far_as_limits_allow() {
    let posted = |power| vec![(0, Watts(power))];
    let mut problem = site_with_cars(
        6_000,
        &[900_000, 100_000, 100_000],
        vec![
            Need { fixed: posted(4_000), ..car(0, 11_000, 3_000, 3) },
            Need { fixed: posted(0), ..car(1, 11_000, 500, 3) },
        ],
    );
    let plan = planned(&problem);
    assert_eq!((plan.power_w[0][0], plan.power_w[1][0]), (Watts(4_000), Watts(0)));
    problem.needs[0].fixed = posted(50_000);
    assert_eq!(planned(&problem).power_w[0][0], Watts(6_000));
    assert_eq!(fallback(&problem, "test").power_w[0][0], Watts(6_000));
    assert_eq!(check(&problem, &fallback(&problem, "test")), []);
}

#[test]
fn a_posted_battery_keeps_its_direction() {
    let mut problem = site(20_000, &[500_000, 100_000]);
    problem
        .storages
        .push(Storage { fixed: vec![(0, Watts(3_000)), (1, Watts(-2_000))], ..battery(0, 5_000, 4_000, 0) });
    problem.lanes = 1;
    assert_eq!(planned(&problem).power_w[0], [Watts(3_000), Watts(-2_000)]);
    assert_eq!(fallback(&problem, "test").power_w[0], [Watts(3_000), Watts(-2_000)]);
}

#[test]
fn no_car_is_held_below_its_minimum_in_the_first_interval() {
    let needs = (0..3).map(|lane| Need { min_w: Watts(4_140), ..car(lane, 11_040, 8_000, 4) }).collect();
    let problem = site_with_cars(6_000, &[100_000; 4], needs);
    for plan in [planned(&problem), fallback(&problem, "test")] {
        let first = plan.column(0);
        assert!(first.iter().all(|power| power.0 == 0 || power.0 >= 4_140), "{first:?}");
        assert!(first.iter().any(|power| power.0 > 0), "{first:?}");
    }
}

#[test]
fn the_last_fraction_is_given_the_minimum() {
    let problem = site_with_cars(6_000, &[100_000; 4], vec![Need { min_w: Watts(4_140), ..car(0, 11_040, 300, 4) }]);
    for plan in [planned(&problem), fallback(&problem, "test")] {
        assert_eq!(check(&problem, &plan), []);
        assert_eq!(plan.power_w[0], [4_140, 0, 0, 0].map(Watts));
    }
}

#[test]
fn least_laxity_goes_first_in_a_fallback() {
    let problem = site_with_cars(4_000, &[100_000; 4], vec![car(0, 4_000, 1_000, 4), car(1, 4_000, 1_000, 1)]);
    let plan = fallback(&problem, "the solver was late");
    assert_eq!((plan.power_w[0][0], plan.power_w[1][0]), (Watts(0), Watts(4_000)));
    assert_eq!(plan.shortfalls, []);
    assert_eq!(plan.status, Status::Fallback { reason: "the solver was late".to_owned() });
}

#[test]
fn uncontrolled_cars_ignore_limits() {
    let problem = site_with_cars(4_000, &[100_000; 4], vec![car(0, 4_000, 1_500, 4), car(1, 4_000, 1_000, 4)]);
    let plan = uncontrolled(&problem);
    assert_eq!(plan.power_w[0], [4_000, 2_000, 0, 0].map(Watts));
    assert_eq!(plan.power_w[1], [4_000, 0, 0, 0].map(Watts));
    assert!(!check(&problem, &plan).is_empty());
}

type Breaking = Box<dyn Fn(&mut Problem)>;

#[test]
fn no_problem_makes_the_planner_panic() {
    let good = car_park(3, 1);
    let broken: Vec<Breaking> = vec![
        Box::new(|p| p.groups.clear()),
        Box::new(|p| p.groups[0].parent = Some(0)),
        Box::new(|p| p.groups[1].parent = Some(7)),
        Box::new(|p| p.groups[1].import_w = Watts(-10)),
        Box::new(|p| p.needs[0].group = 99),
        Box::new(|p| p.needs[0].lane = 99),
        Box::new(|p| p.needs[0].until = 999),
        Box::new(|p| p.needs[0].energy_wh = WattHours(-1)),
        Box::new(|p| p.needs[0].lane = 4),
        Box::new(|p| p.needs[0] = p.needs[1].clone()),
        Box::new(|p| p.pv[0].lane = 99),
        Box::new(|p| p.pv[0].power_w.clear()),
        Box::new(|p| p.base_loads[0].power_w[3] = Watts(-10)),
        Box::new(|p| p.import_price.clear()),
        Box::new(|p| p.import_price[0] = MicroPerKwh(i64::MAX)),
        Box::new(|p| p.storages[0].content_wh = WattHours(-1)),
        Box::new(|p| p.storages[0].charge_percent = i64::MAX),
        Box::new(|p| p.storages[0].lane = 5),
        Box::new(|p| p.risk_price = MicroPerKwh(-1)),
        Box::new(|p| p.reserve = Some(Reserve::default())),
        Box::new(|p| {
            p.reserve = Some(Reserve { power_w: vec![Watts(10); p.horizon], price: MicroPerKwh(-1) });
        }),
    ];
    for breaking in broken {
        let mut problem = good.clone();
        breaking(&mut problem);
        let answer = solve(&problem, LIMIT_MS);
        assert!(matches!(answer, Err(SolveError::Invalid(_))), "{answer:?}");
        let _ = check(&problem, &fallback(&problem, "test"));
        let _ = uncontrolled(&problem);
    }
}

#[test]
fn an_empty_site_has_an_empty_plan() {
    assert_eq!(planned(&site(1_000, &[])).power_w, Vec::<Vec<Watts>>::new());
    assert_eq!(planned(&site(1_000, &[100_000])).cost.0, 0);
}

#[test]
fn a_solver_without_time_is_late() {
    assert_eq!(solve(&car_park(100, 1), 0), Err(SolveError::Late { limit_ms: 0 }));
}

/// Rows and columns that are taken for one another would begin from a basis of too many.
#[test]
fn a_kept_basis_is_nearer_than_a_guess() {
    for seed in [1, 2, 3, 2026] {
        let before = car_park(50, seed);
        let (mut keeps, mut guesses) = (Planner::with_memory(), Planner::new());
        let after = next_interval(&before, &keeps.plan(&before, LIMIT_MS).unwrap());
        let plans = [&mut keeps, &mut guesses].map(|planner| planner.plan(&after, LIMIT_MS).unwrap().cost);
        assert_eq!(plans[0], plans[1], "seed {seed}");
        let [kept, guessed] = [keeps.iterations(), guesses.iterations()];
        println!("seed {seed}: {kept} iterations from the kept basis, {guessed} from a guess");
        assert!(kept <= guessed, "seed {seed}: {kept} iterations from the kept basis, {guessed} from a guess");
    }
}

#[test]
fn a_day_in_a_car_park() {
    for (cars, seed) in [(1, 1), (10, 2), (50, 3), (100, 4)] {
        let problem = car_park(cars, seed);
        let (plan, other) = (planned(&problem), fallback(&problem, "test"));
        assert_eq!(check(&problem, &other), []);
        assert!(plan.cost < other.cost && plan.shortfalls.is_empty());
    }
}

/// A car park of one with everything that a violation needs, and its plan.
fn good() -> (Problem, Schedule) {
    let mut problem = site_with_cars(
        9_000,
        &[200_000, 100_000],
        vec![Need { min_w: Watts(4_140), fixed: vec![(1, Watts(6_000))], ..car(0, 11_000, 2_500, 2) }],
    );
    problem.groups[0].export_w = Watts(1_000);
    problem.needs[0].until = 2;
    problem.storages.push(battery(1, 3_000, 700, 0));
    problem.pv.push(Forecast { lane: 2, group: 0, power_w: vec![Watts(500), Watts(500)] });
    problem.base_loads.push(Forecast { lane: 3, group: 0, power_w: vec![Watts(1_000), Watts(1_000)] });
    problem.lanes = 5;
    let plan = planned(&problem);
    (problem, plan)
}

/// What the checker says about the good plan after `corrupt`, in words.
fn said(corrupt: impl Fn(&mut Problem, &mut Schedule)) -> String {
    let (mut problem, mut plan) = good();
    corrupt(&mut problem, &mut plan);
    check(&problem, &plan).iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[test]
fn the_checker_finds_every_kind_of_violation() {
    let (problem, plan) = good();
    assert_eq!(plan.power_w[0][1], Watts(6_000));
    assert_eq!(check(&problem, &plan), []);
    let finds = |part: &str, corrupt: &dyn Fn(&mut Problem, &mut Schedule)| {
        let said = said(corrupt);
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    };
    finds("lanes: 4 entries instead of 5", &|_, s| s.power_w.truncate(4));
    finds("intervals of a lane: 1 entries instead of 2", &|_, s| s.power_w[0].truncate(1));
    finds("groups with node prices", &|_, s| s.node_price.clear());
    finds("node prices of a group", &|_, s| s.node_price[0].clear());
    finds("import prices", &|p, _| p.import_price.clear());
    finds("another site", &|_, s| s.site.clear());
    finds("another site", &|_, s| s.first = Interval(7));
    finds("no multiple of 10 W", &|_, s| s.power_w[0][0].0 += 5);
    finds("lane 0 in interval 0: -10 W has the wrong sign", &|_, s| s.power_w[0][0] = Watts(-10));
    finds("lane 2 in interval 0: 10 W has the wrong sign", &|_, s| s.power_w[2][0] = Watts(10));
    finds("lane 4 in interval 1: 10 W, but nobody is there", &|_, s| s.power_w[4][1] = Watts(10));
    finds("but nobody is there", &|p, _| p.needs[0].until = 1);
    finds("lane 0 in interval 0: 11010 W is above its maximum of 11000 W", &|_, s| s.power_w[0][0] = Watts(11_010));
    finds("lane 1 in interval 0: -3010 W is above its maximum", &|_, s| s.power_w[1][0] = Watts(-3_010));
    finds("lane 2 in interval 0: -510 W is above its maximum of 500 W", &|_, s| s.power_w[2][0] = Watts(-510));
    finds("6010 W departs from the 6000 W posted", &|_, s| s.power_w[0][1] = Watts(6_010));
    finds("departs from the -10 W posted", &|p, s| {
        p.storages[0].fixed = vec![(0, Watts(-10))];
        s.power_w[1][0] = Watts(10);
    });
    finds("100 W is below the minimum of 4140 W", &|_, s| s.power_w[0][0] = Watts(100));
    finds("lane 3 in interval 0: 990 W is not the forecast 1000 W", &|_, s| s.power_w[3][0] = Watts(990));
    finds("session session-0 would get 4250 Wh, but wants 2500 Wh", &|_, s| s.power_w[0][0] = Watts(11_000));
    finds("group 0 draws 11500 W in interval 0, above 9000 W", &|_, s| {
        s.power_w[0][0] = Watts(11_000);
        s.power_w[1][0] = Watts(0);
    });
    finds("group 0 has -1500 W in interval 0, feeding more than 1000 W", &|_, s| {
        s.power_w[0][0] = Watts(0);
        s.power_w[1][0] = Watts(-2_000);
    });
    finds("the battery in lane 1 has -788 of 700 Wh after interval 0", &|_, s| s.power_w[1][0] = Watts(-3_000));
    finds("the battery in lane 1 has 712 of 700 Wh after interval 0", &|_, s| s.power_w[1][0] = Watts(3_000));
    finds("the cost is", &|_, s| s.cost.0 += 1);
    finds("the shortfall of session session-0 is 1000 Wh, not 3 Wh", &|_, s| {
        s.shortfalls = vec![short(0, 3, Cause::Limit)];
    });
    finds("the shortfall of session nobody is 0 Wh, not 3 Wh", &|_, s| {
        s.shortfalls = vec![Shortfall { session: "nobody".to_owned(), ..short(0, 3, Cause::Limit) }];
    });
    finds("the shortfall of session session-0 is 2500 Wh, not 1000 Wh", &|_, s| s.power_w[0][1] = Watts(0));
}

proptest! {
    #![proptest_config(seeded(256))]

    /// Whatever is in a schedule, the checker answers.
    #[test]
    fn no_schedule_makes_the_checker_panic(values in prop::collection::vec(any::<i64>(), 12)) {
        let (problem, mut plan) = good();
        let mut values = values.into_iter();
        for power in plan.power_w.iter_mut().flatten() {
            power.0 = values.next().unwrap_or(i64::MIN);
        }
        plan.cost.0 = i64::MAX;
        plan.shortfalls = vec![short(0, i64::MAX, Cause::Limit); 2];
        prop_assert!(!check(&problem, &plan).is_empty());
    }
}
