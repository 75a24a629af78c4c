//! Certificates: a bound that no feasible schedule undercuts, whatever the multipliers, and that the optimum meets.

mod instances;
#[path = "instances/random.rs"]
mod random;
mod seed;

use instances::car_park_with;
use optimizer::certificate::{Certificate, Refused, Uncertified, Verdict, better, certify, problem_of, verify};
use optimizer::problem::{GroupLimit, Need, Peak, Problem, Share, Taper, Target};
use optimizer::schedule::{Multipliers, Schedule};
use optimizer::serve::Server;
use optimizer::solve::{Planner, fallback, solve, uncontrolled};
use optimizer::units::{Interval, MicroPerKw, MicroPerKwh, WattHours, Watts};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use random::{Recipe, recipes, with_everything};
use seed::seeded;

/// Far more than any plan here takes.
const LIMIT_MS: u32 = 60_000;

fn planned(problem: &Problem) -> (Schedule, Multipliers) {
    Planner::new().plan_to_certify(problem, LIMIT_MS).expect("a plan always exists")
}

fn certified(problem: &Problem) -> Certificate {
    let (schedule, multipliers) = planned(problem);
    certify(problem, &schedule, &multipliers).expect("a plan inside the certified problem")
}

/// What the verifier says of another schedule of the same problem.
fn verdict(problem: &Problem, schedule: &Schedule) -> Result<Verdict, Uncertified> {
    certify(problem, schedule, &Multipliers::default()).map(|certificate| certificate.verdict)
}

proptest! {
    #![proptest_config(seeded(256))]

    /// The planner's and everybody else's schedules cost at least the bound.
    #[test]
    fn no_schedule_is_cheaper_than_the_bound(recipe in recipes(), seed in any::<u64>()) {
        let problem = with_everything(recipe.problem(), seed);
        let certificate = certified(&problem);
        let bound = certificate.verdict.bound;
        prop_assert!(certificate.verdict.gap() >= 0, "gap {}", certificate.verdict.gap());
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // A plan at other prices is another feasible one.
        let mut other = problem.clone();
        other.import_price.iter_mut().for_each(|price| price.0 = rng.random_range(0..400_000));
        other.feed_in_price.clone_from(&other.import_price);
        let others = [fallback(&problem, "test"), planned(&other).0];
        for schedule in &others {
            let cost = verdict(&problem, schedule).expect("a feasible schedule").cost;
            prop_assert!(cost >= bound, "{cost} < {bound}");
        }
        // Ignores limits: where the verifier takes it nonetheless, it counts too.
        if let Ok(verdict) = verdict(&problem, &uncontrolled(&problem)) {
            prop_assert!(verdict.cost >= bound);
        }
    }

    /// Any multipliers prove something true, and no others change what a schedule costs.
    #[test]
    fn corrupted_multipliers_never_lift_the_bound(recipe in recipes(), seed in any::<u64>()) {
        let problem = with_everything(recipe.problem(), seed);
        let Certificate { inputs, schedule, multipliers, verdict } = certified(&problem);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for round in 0..30 {
            let mut corrupted = multipliers.clone();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..corrupted.len());
                corrupted[at] ^= 1 << rng.random_range(0..8);
            }
            if round % 10 == 0 {
                corrupted.iter_mut().for_each(|byte| *byte = rng.random_range(0..=255));
            }
            if let Ok(other) = verify(&inputs, &schedule, &corrupted) {
                prop_assert_eq!(other.cost, verdict.cost);
                prop_assert!(other.bound <= verdict.cost, "{} > {}", other.bound, verdict.cost);
            }
        }
    }

    /// A network flow has whole optimal prices: the planner's schedule is proven to the last unit.
    #[test]
    fn without_battery_and_peak_nothing_is_left_to_prove(recipe in recipes()) {
        let recipe = Recipe {
            batteries: 0, inverted_prices: false, minimums: false, posted: false, ..recipe
        };
        // Room kept for others is no part of the certified problem.
        let problem = Problem { reserve: None, ..recipe.problem() };
        prop_assert_eq!(certified(&problem).verdict.gap(), 0);
    }

    /// Whoever has the inputs has the problem: its plan is certified by the same bytes, and a search from it finds what is
    /// no dearer, within the same bound.
    #[test]
    fn inputs_are_read_back(recipe in recipes(), seed in any::<u64>()) {
        let problem = with_everything(recipe.problem(), seed);
        let certificate = certified(&problem);
        let read = problem_of(&certificate.inputs, problem.first).expect("a problem");
        let again = certified(&read);
        prop_assert_eq!(&again.inputs, &certificate.inputs);
        prop_assert!(again.verdict.cost >= certificate.verdict.bound);
        let mut cut = certificate.inputs.clone();
        cut.pop();
        prop_assert!(problem_of(&cut, problem.first).is_err());
        if let Some(found) = better(&certificate.inputs, problem.first, again.verdict.cost).expect("a problem") {
            prop_assert_eq!(&found.inputs, &certificate.inputs);
            prop_assert!(found.verdict.cost < again.verdict.cost && found.verdict.cost >= certificate.verdict.bound);
        }
    }

    /// No bytes make the verifier panic.
    #[test]
    fn garbage_is_refused(seed in any::<u64>(), recipe in recipes()) {
        let Certificate { mut inputs, mut schedule, mut multipliers, .. } = certified(&recipe.problem());
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for part in [&mut inputs, &mut schedule, &mut multipliers] {
            for _ in 0..rng.random_range(0..20) {
                let at = rng.random_range(0..part.len().max(1));
                part.get_mut(at).into_iter().for_each(|byte| *byte = rng.random_range(0..=255));
            }
            if rng.random_range(0..4) == 0 {
                part.truncate(rng.random_range(0..=part.len()));
            }
        }
        if let Ok(verdict) = verify(&inputs, &schedule, &multipliers) {
            prop_assert!(verdict.gap() >= 0);
        }
    }
}

/// A day in which the two are 2 micro apart, as near to one another as rounding is to either, and the site feeds in.
#[test]
fn import_and_feed_in_price_are_told_apart() {
    let recipe = Recipe {
        seed: 11_108_671_195_047_006_208,
        cars: 2,
        groups: 2,
        horizon: 14,
        batteries: 0,
        inverted_prices: false,
        negative_prices: false,
        minimums: false,
        posted: false,
        overloads: true,
        uncertain: false,
        extras: Default::default(),
    };
    let problem = Problem { reserve: None, ..recipe.problem() };
    assert_eq!(problem.import_price[11].0 - problem.feed_in_price[11].0, 2);
    assert_eq!(certified(&problem).verdict.gap(), 0);
}

/// A day of `cars` with battery, PV and peak, in `cabinets` that bind; seed 5.
fn day(cars: usize, stay: usize, cabinets: usize) -> Problem {
    let mut problem = car_park_with(cars, 5, stay);
    let cabinet = |import_w: i64| GroupLimit { parent: Some(0), import_w: Watts(import_w), ..GroupLimit::default() };
    problem.groups.truncate(1);
    // The dearest case: every cabinet has prices of its own.
    let limit = 1_500 * cars as i64 / cabinets as i64;
    problem.groups.extend((0..cabinets).map(|_| cabinet(limit)));
    for need in &mut problem.needs {
        need.group = 1 + need.lane * cabinets / cars;
    }
    // What one lane holds.
    for forecast in problem.pv.iter_mut().chain(&mut problem.base_loads) {
        forecast.power_w.iter_mut().for_each(|power| *power = (*power).min(Watts(300_000)));
    }
    problem.peak = Some(Peak { so_far_w: Watts(500 * cars as i64), price: MicroPerKw(2_000_000) });
    problem
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// What `forge test` reads: a certificate and what the verifier must say of it.
fn vector(name: &str, certificate: &Certificate) -> serde_json::Value {
    let Certificate { inputs, schedule, multipliers, verdict } = certificate;
    let numbers = (verdict.cost.to_string(), verdict.bound.to_string());
    serde_json::json!({
        "name": name, "inputs": hex(inputs), "schedule": hex(schedule), "multipliers": hex(multipliers),
        "cost": numbers.0, "bound": numbers.1, "firstColumn": hex(&verdict.first_column),
    })
}

/// Compares with the committed file; writes it where `PROVOLT_WRITE_VECTORS` is set.
fn hold(file: &str, vectors: &[serde_json::Value]) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/test/certificates").join(file);
    let text = serde_json::to_string_pretty(vectors).expect("JSON") + "\n";
    if std::env::var_os("PROVOLT_WRITE_VECTORS").is_some() {
        std::fs::write(&path, &text).expect("a folder to write to");
    }
    let committed = std::fs::read_to_string(&path).expect("a committed file of vectors");
    assert!(committed == text, "{file} is not what the planner makes today: run with PROVOLT_WRITE_VECTORS=1");
}

/// Seeds 0 to 23 of the recipes with everything in them.
#[test]
fn committed_vectors_are_todays() {
    let vectors = (0..24).map(|seed| {
        let problem = with_everything(Recipe::of(seed).problem(), seed);
        vector(&format!("seed {seed}"), &certified(&problem))
    });
    hold("vectors.json", &vectors.collect::<Vec<_>>());
}

/// What the gas targets are measured on, and how small the gap is.
#[test]
fn days_with_battery_sun_and_peak_are_proven_closely() {
    let days = [
        ("50 typical", 50, 30, 1),
        ("50 all-day", 50, 192, 1),
        ("500", 500, 30, 1),
        ("50 in five cabinets", 50, 30, 5),
    ];
    let vectors = days.map(|(name, cars, stay, cabinets)| {
        let problem = day(cars, stay, cabinets);
        let certificate = certified(&problem);
        let (gap, cost) = (certificate.verdict.gap(), certificate.verdict.cost);
        let cells: usize = problem.needs.iter().map(|need| need.until - need.from).sum();
        let sizes = (certificate.inputs.len(), certificate.schedule.len(), certificate.multipliers.len());
        println!("{name}: {cells} cells, gap {gap} of {cost}, {sizes:?} bytes");
        assert!(gap >= 0 && gap * 10_000 <= cost, "{name}: gap {gap} of {cost}");
        vector(name, &certificate)
    });
    hold("days.json", &vectors);
}

/// A site of one group, with cars of at most 3 steps and prices per interval; feeding in earns nothing.
fn tiny(import_steps: i64, prices: &[i64], cars: &[(i64, i64)]) -> Problem {
    let need = |(lane, (max, quanta)): (usize, &(i64, i64))| Need {
        session: format!("session-{lane}"),
        lane,
        until: prices.len(),
        max_w: Watts(10 * max),
        energy_wh: WattHours((quanta * 5 + 1) / 2),
        ..Need::default()
    };
    Problem {
        site: "tiny".to_owned(),
        first: Interval(7),
        horizon: prices.len(),
        lanes: cars.len(),
        groups: vec![GroupLimit { import_w: Watts(10 * import_steps), ..GroupLimit::default() }],
        needs: cars.iter().enumerate().map(need).collect(),
        import_price: prices.iter().map(|price| MicroPerKwh(*price)).collect(),
        feed_in_price: vec![MicroPerKwh(0); prices.len()],
        shortfall_penalty: MicroPerKwh(2_000_000),
        ..Problem::default()
    }
}

/// The cheapest cost that the verifier gives to any schedule at all.
fn cheapest_of_all(problem: &Problem) -> i128 {
    let mut schedule = fallback(problem, "enumeration");
    schedule.power_w.iter_mut().flatten().for_each(|power| *power = Watts(0));
    let mut cheapest = None;
    loop {
        if let Ok(verdict) = verdict(problem, &schedule) {
            cheapest = Some(cheapest.map_or(verdict.cost, |cost: i128| cost.min(verdict.cost)));
        }
        // The next schedule, as an odometer counts.
        let turned = problem.needs.iter().all(|need| {
            schedule.power_w[need.lane].iter_mut().all(|power| {
                power.0 = if *power == need.max_w { 0 } else { power.0 + 10 };
                power.0 == 0
            })
        });
        if turned {
            return cheapest.expect("no power at all breaks nothing");
        }
    }
}

proptest! {
    #![proptest_config(seeded(48))]
    /// With a peak and whole steps the bound is below the best of all schedules, and the planner's is that one.
    #[test]
    fn tiny_bounds_stay_below_the_best_of_all(
        prices in prop::collection::vec(-50_000_i64..300_000, 3),
        limit in 1_i64..6,
        cars in prop::collection::vec((0_i64..4, 0_i64..8), 1..3),
        peak in prop::option::of((0_i64..4, 0_i64..100_000)),
    ) {
        let mut problem = tiny(limit, &prices, &cars);
        problem.peak = peak.map(|(steps, price)| Peak { so_far_w: Watts(10 * steps), price: MicroPerKw(price) });
        let (cheapest, verdict) = (cheapest_of_all(&problem), certified(&problem).verdict);
        prop_assert!(verdict.bound <= cheapest, "{} > {cheapest}", verdict.bound);
        prop_assert!(verdict.cost >= cheapest);
        if peak.is_none() {
            prop_assert_eq!((verdict.cost, verdict.bound), (cheapest, cheapest));
        }
    }

    /// Whoever posts chooses the multipliers. Where the site draws and its limit leaves the cars their baseline, a price that
    /// is moved opens a gap of at least what all their flexibility gains by it: the tolerance bounds both.
    #[test]
    fn rewards_are_steered_by_no_more_than_the_gap_that_opens(
        prices in prop::collection::vec(1_000_i64..300_000, 2..6),
        cars in prop::collection::vec((1_i64..4, 1_i64..12), 1..4),
        delta in prop::sample::select(vec![-50_000_i64, -7_000, -300, 300, 7_000, 50_000]),
    ) {
        let limit = cars.iter().map(|(max, _)| max).sum();
        let problem = tiny(limit, &prices, &cars);
        let (schedule, multipliers) = planned(&problem);
        let drawn = |lane: usize, t: usize| schedule.power_w[lane][t].0 / 10;
        // By car: maximum power until what it gets is reached.
        let ahead = |lane: usize, t: usize| {
            let all: i64 = (0..prices.len()).map(|t| drawn(lane, t)).sum();
            (all - cars[lane].0 * t as i64).clamp(0, cars[lane].0) - drawn(lane, t)
        };
        for (t, price) in prices.iter().enumerate() {
            let flows: i64 = (0..cars.len()).map(|lane| drawn(lane, t)).sum();
            if flows == 0 || flows == limit || multipliers.node_price[0][t] != *price {
                continue;
            }
            let mut steered = multipliers.clone();
            steered.node_price[0][t] += delta;
            let gap = certify(&problem, &schedule, &steered).expect("any multipliers are valid").verdict.gap();
            let gained: i64 = (0..cars.len()).map(|lane| delta * ahead(lane, t)).sum();
            prop_assert!(gap >= 100 * i128::from(gained), "interval {t}: {gained} gained, gap {gap}");
        }
    }

    /// Multipliers are asked for beside the plan, not in its place.
    #[test]
    fn a_plan_is_the_same_with_and_without_certificate(recipe in recipes()) {
        let problem = recipe.problem();
        prop_assert_eq!(Ok(planned(&problem).0), solve(&problem, LIMIT_MS));
    }
}

#[test]
fn what_is_beyond_the_certified_problem_is_named() {
    type Change<'a> = &'a dyn Fn(&mut Problem);
    let problem = tiny(5, &[100_000, 200_000], &[(3, 4)]);
    let why = |change: Change<'_>| {
        let mut problem = problem.clone();
        change(&mut problem);
        let schedule = fallback(&problem, "test");
        certify(&problem, &schedule, &Multipliers::default()).expect_err("no certificate").to_string()
    };
    let taper = Taper { full_wh: WattHours(100), range_wh: WattHours(10), end_percent: 10 };
    let cases: [(&str, Change<'_>); 8] = [
        ("a first interval of which 60 s have passed", &|p| p.elapsed_s = 60),
        ("sharing in equal parts", &|p| p.share = Share::Equal),
        ("the taper of session session-0", &|p| p.needs[0].taper = Some(taper.clone())),
        ("an import price is 134217728, the certified problem holds", &|p| p.import_price[1].0 = 1 << 27),
        ("energy_wh of session session-0 is 4294967296", &|p| p.needs[0].energy_wh.0 = 1 << 32),
        ("import_w of group 0 is 4294967296", &|p| p.groups[0].import_w.0 = 1 << 32),
        ("a car that feeds back, in lane 1,", &|p| {
            p.lanes = 2;
            let target = Target { session: "v2g".to_owned(), content_wh: WattHours(0), priority_percent: 0 };
            let (charge_percent, discharge_percent) = (100, 100);
            let target = Some(target);
            let car = optimizer::problem::Storage {
                lane: 1,
                target,
                charge_percent,
                discharge_percent,
                ..Default::default()
            };
            p.storages.push(car);
        }),
        ("not valid", &|p| p.needs[0].lane = 9),
    ];
    for (expected, change) in cases {
        let said = why(change);
        assert!(said.contains(expected), "{said:?}, expected {expected:?}");
    }
}

#[test]
fn a_schedule_that_breaks_something_is_refused() {
    let problem = tiny(3, &[100_000, 200_000], &[(3, 4), (3, 2)]);
    let (mut schedule, multipliers) = planned(&problem);
    schedule.power_w[1] = vec![Watts(20), Watts(10)];
    schedule.power_w[0] = vec![Watts(20), Watts(10)];
    let refused = certify(&problem, &schedule, &multipliers);
    assert_eq!(refused, Err(Uncertified::Refused(Refused::EnergyExceeded { need: 1, given: 3, most: 2 })));
    schedule.power_w[1] = vec![Watts(20), Watts(0)];
    let refused = certify(&problem, &schedule, &multipliers);
    assert_eq!(refused, Err(Uncertified::Refused(Refused::GroupExceeded { group: 0 })));
    schedule.power_w[1].pop();
    assert_eq!(certify(&problem, &schedule, &multipliers), Err(Uncertified::Shape { lane: 1 }));
    schedule.power_w[1] = vec![Watts(15), Watts(0)];
    assert_eq!(certify(&problem, &schedule, &multipliers), Err(Uncertified::Shape { lane: 1 }));
}

/// Least powers restrict the certified problem: the gap is what they cost, at most.
#[test]
fn least_powers_show_in_the_gap() {
    let mut problem = tiny(800, &[100_000, 200_000], &[(600, 500)]);
    problem.needs[0].min_w = Watts(4_140);
    let verdict = certified(&problem).verdict;
    assert_eq!(verdict.gap(), 0);
    problem.needs[0].energy_wh = WattHours(500);
    let (schedule, multipliers) = planned(&problem);
    // It takes no more than it needs: 414 steps may be posted for 200 quanta, and are paid for.
    assert_eq!(schedule.power_w[0], [Watts(4_140), Watts(0)]);
    let verdict = certify(&problem, &schedule, &multipliers).expect("a certificate").verdict;
    assert_eq!(verdict.gap(), 100 * 214 * 100_000);
}

/// The cheap interval has room for the first car alone or for the two others. The linear program takes the first, whose wait
/// is dearer, and a part of another, which no EVSE holds; it is cheaper to let the first one wait.
#[test]
fn a_search_finds_what_turns_by_laxity_do_not() {
    let mut problem = tiny(1_000, &[100_000, 200_000], &[(600, 600), (500, 500), (500, 500)]);
    problem.needs.iter_mut().for_each(|need| need.min_w = need.max_w);
    problem.needs[0].likely_until = Some(1);
    problem.risk_price = MicroPerKwh(50_000);
    let planned = certified(&problem);
    let cost = |first: i128, second: i128, risk: i128| 100 * (100_000 * first + 200_000 * second + 50_000 * risk);
    assert_eq!(planned.verdict.cost, cost(600, 1_000, 0));
    let found = better(&planned.inputs, problem.first, planned.verdict.cost).expect("a problem").expect("a better one");
    assert_eq!((found.verdict.cost, &found.inputs), (cost(1_000, 600, 600), &planned.inputs));
    // Steps of the first interval, two bytes a lane.
    assert_eq!(found.verdict.first_column, [[0, 0], 500_u16.to_be_bytes(), 500_u16.to_be_bytes()].concat());
    assert_eq!(better(&planned.inputs, problem.first, found.verdict.cost), Ok(None));
    let mut garbage = planned.inputs.clone();
    garbage[0] = 2;
    assert!(better(&garbage, problem.first, planned.verdict.cost).is_err());
}

#[test]
fn the_server_answers_with_a_certificate_or_says_why_not() {
    let mut problem = tiny(5, &[100_000, 200_000], &[(3, 4)]);
    let answer = |problem: &Problem| -> serde_json::Value {
        let line = serde_json::to_string(problem).expect("JSON");
        serde_json::from_str(&Server::new().answer(&line)).expect("JSON")
    };
    let certificate = answer(&problem)["certificate"].clone();
    assert_eq!((certificate["cost"].as_str(), certificate["gap_micro"].as_str()), (Some("50000000"), Some("0")));
    let bytes = |part: &str| certificate[part].as_str().expect("hex").len() / 2 - 1;
    assert_eq!(bytes("schedule"), 4);
    problem.elapsed_s = 60;
    let why = answer(&problem)["certificate"]["uncertified"].clone();
    assert_eq!(why, "a first interval of which 60 s have passed is no part of the certified problem");
}
