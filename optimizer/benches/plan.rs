//! What a plan costs in time, each beside the plain linear program of the same car park, as one would write it with
//! good_lp, without rounding, marginal prices or a look at the result; the rows of 10 to 300 cars are with certificate
//! and check, the others with check. Cars stay for about 30 intervals.
//!
//! Prints one line of JSON, key → number, the unit in the key; `scripts/bench` makes a table of it. `--quick` leaves out
//! what takes minutes on a slow machine (nothing yet); `--allocations` counts allocations and nothing else.
//!
//! Allocations are those of Rust: the planner's and the schedule's own. HiGHS has a memory of its own and is not counted.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(unsafe_code, reason = "an allocator is unsafe by its trait; this one counts and passes on")]

#[path = "../tests/instances/mod.rs"]
mod instances;
#[path = "../tests/instances/plain.rs"]
mod plain;

use instances::{car_park, next_interval, with_pilots};
use optimizer::certificate;
use optimizer::check::check;
use optimizer::problem::Problem;
use optimizer::solve::{Planner, fallback, solve, solve_all};
use optimizer::units::{HORIZON, MicroPerKwh};
use rayon::prelude::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const SEED: u64 = 2026;
const LIMIT_MS: u32 = 60_000;
/// Problems in memory at once, in the row of many sites.
const BATCH: usize = 500;

/// How often memory was asked for.
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: everything is passed on to the system's allocator, which keeps the promises.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` is from the system's allocator, by this one.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as in `dealloc`, and the caller keeps the promises of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn seconds(run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64()
}

fn solve_and_check(problem: &Problem) {
    let schedule = solve(problem, LIMIT_MS).expect("a plan always exists");
    assert!(check(problem, &schedule).is_empty());
    black_box(schedule);
}

/// A plan with its certificate, checked by both who share no code with the planner.
fn prove_and_check(problem: &Problem) {
    let (schedule, certificate) =
        certificate::plan(&mut Planner::new(), problem, LIMIT_MS).expect("a plan always exists");
    assert!(check(problem, &schedule).is_empty());
    black_box((schedule, certificate.expect("a car park can be certified")));
}

/// Medians of several runs of each, taken in turn so that a busy machine slows all alike.
fn medians<const N: usize>(rounds: usize, mut runs: [&mut dyn FnMut(); N]) -> [f64; N] {
    let mut times = [(); N].map(|()| Vec::with_capacity(rounds));
    for _ in 0..rounds {
        for (run, times) in runs.iter_mut().zip(&mut times) {
            times.push(seconds(run));
        }
    }
    times.map(|times| quantile(times, 50))
}

fn quantile(mut times: Vec<f64>, per_cent: usize) -> f64 {
    times.sort_by(f64::total_cmp);
    times[(times.len() * per_cent / 100).min(times.len() - 1)]
}

/// Plans and checks `sites` car parks of 50 on two threads; what it takes to make them up is not counted.
fn many_sites(sites: usize) -> f64 {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("two threads");
    let mut total = 0.0;
    for batch in 0..sites.div_ceil(BATCH) {
        let seeds = batch * BATCH..((batch + 1) * BATCH).min(sites);
        let problems: Vec<Problem> = seeds.map(|seed| car_park(50, seed as u64)).collect();
        total += seconds(|| {
            pool.install(|| {
                let planned = problems.par_iter().zip(solve_all(&problems, LIMIT_MS));
                planned.for_each(|(problem, schedule)| {
                    assert!(check(problem, &schedule.expect("a plan always exists")).is_empty());
                });
            });
        });
    }
    total
}

/// Most memory this process ever had, MiB.
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}

/// The same car park an interval later, from the basis of the plan before and from nothing.
fn replans(found: &mut BTreeMap<String, f64>) {
    let before = car_park(50, SEED);
    let schedule = solve(&before, LIMIT_MS).expect("a plan always exists");
    let after = next_interval(&before, &schedule);
    let (mut warm_times, mut guess_times, mut cold_times) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..15 {
        let mut planner = Planner::with_memory();
        planner.plan(&before, LIMIT_MS).expect("a plan always exists");
        let timed = |planner: &mut Planner, times: &mut Vec<f64>| {
            times.push(seconds(|| _ = black_box(planner.plan(&after, LIMIT_MS).expect("a plan always exists"))));
        };
        timed(&mut planner, &mut warm_times);
        timed(&mut Planner::new(), &mut guess_times);
        timed(&mut Planner::from_nothing(), &mut cold_times);
    }
    found.insert("replan_n50_warm_ms".to_owned(), 1000.0 * quantile(warm_times, 50));
    found.insert("replan_n50_guess_ms".to_owned(), 1000.0 * quantile(guess_times, 50));
    found.insert("replan_n50_cold_ms".to_owned(), 1000.0 * quantile(cold_times, 50));
}

/// The first `horizon` intervals of a car park, with the cars that leave in the first half of the day.
fn early_birds(horizon: usize) -> Problem {
    let day = car_park(50, SEED);
    let mut short = Problem { horizon, ..day };
    short.needs.retain(|need| need.until <= HORIZON / 2);
    short.import_price.truncate(horizon);
    short.feed_in_price.truncate(horizon);
    short.pv.iter_mut().chain(&mut short.base_loads).for_each(|forecast| forecast.power_w.truncate(horizon));
    short
}

/// How often the third plan again asks for memory: model, rounding and the schedule itself.
fn allocations(mut problem: Problem) -> f64 {
    let mut planner = Planner::with_memory();
    for _ in 0..3 {
        let plan = planner.plan(&problem, LIMIT_MS).expect("a plan always exists");
        problem = next_interval(&problem, &plan);
    }
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    black_box(planner.plan(&problem, LIMIT_MS).expect("a plan always exists"));
    (ALLOCATIONS.load(Ordering::Relaxed) - before) as f64
}

/// Inner loops go over intervals, so what they allocate grows with the horizon: the same cars are planned with half a day
/// and with a whole one. The rest grows with the cars, whose rows of the schedule are new every time.
fn count_allocations(found: &mut BTreeMap<String, f64>) {
    let [fifty, hundred] = [50, 100].map(|cars| allocations(car_park(cars, SEED)));
    let [half, whole] = [HORIZON / 2, HORIZON].map(|horizon| allocations(early_birds(horizon)));
    found.insert("replan_n50_allocations".to_owned(), fifty);
    found.insert("replan_allocations_per_car".to_owned(), (hundred - fifty) / 50.0);
    found.insert("replan_allocations_per_interval".to_owned(), (whole - half) / (HORIZON / 2) as f64);
}

fn main() {
    let mut found = BTreeMap::new();
    if std::env::args().any(|argument| argument == "--allocations") {
        count_allocations(&mut found);
        println!("{}", serde_json::to_string(&found).expect("numbers"));
        return;
    }
    let mut put = |key: &str, value: f64| {
        eprintln!("{key} {value:.3}");
        found.insert(key.to_owned(), value);
    };
    for cars in [10, 50, 100, 300] {
        let problem = car_park(cars, SEED);
        let [plain, plan, fall] = medians(
            if cars > 100 { 5 } else { 15 },
            [&mut || _ = black_box(plain::cost(&problem)), &mut || prove_and_check(&problem), &mut || {
                _ = black_box(fallback(&problem, "bench"))
            }],
        );
        put(&format!("plain_lp_n{cars}_ms"), 1000.0 * plain);
        put(&format!("plan_n{cars}_ms"), 1000.0 * plan);
        put(&format!("fallback_n{cars}_ms"), 1000.0 * fall);
    }
    let large = car_park(1000, SEED);
    // Behind a hundred cabinets, more than the registry and a certificate hold.
    put("plan_n1000_s", medians(3, [&mut || solve_and_check(&large)])[0]);
    put("plain_lp_n1000_s", medians(1, [&mut || _ = black_box(plain::cost(&large))])[0]);
    for cars in [50, 100] {
        let problem = with_pilots(car_park(cars, SEED));
        put(&format!("discrete_n{cars}_s"), medians(5, [&mut || solve_and_check(&problem)])[0]);
    }
    let flat = |seed: u64| {
        let problem = car_park(50, seed);
        Problem { import_price: vec![MicroPerKwh(250_000); problem.horizon], ..problem }
    };
    let flats: Vec<f64> = (0..200).map(flat).map(|p| seconds(|| solve_and_check(&p))).collect();
    put("flat_tariff_p50_ms", 1000.0 * quantile(flats.clone(), 50));
    put("flat_tariff_p99_over_p50", quantile(flats.clone(), 99) / quantile(flats, 50));
    put("sites2000_n50_s", many_sites(2_000));
    put("sites20000_n50_s", many_sites(20_000));
    put("sites20000_rss_mib", peak_mib());
    replans(&mut found);
    count_allocations(&mut found);
    let ours = |key: &str| found.get(key).copied().unwrap_or(f64::NAN);
    let ratios = [
        ("plan_over_plain_n50_ratio", ours("plan_n50_ms") / ours("plain_lp_n50_ms")),
        ("replan_cold_over_warm_ratio", ours("replan_n50_cold_ms") / ours("replan_n50_warm_ms")),
    ];
    found.extend(ratios.map(|(key, value)| (key.to_owned(), value)));
    println!("{}", serde_json::to_string(&found).expect("numbers"));
}
