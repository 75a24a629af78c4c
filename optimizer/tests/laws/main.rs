//! Laws of planning: what must hold of every plan, of a plan beside another one, and of real days.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests read files and may stop")]

#[path = "../instances/field.rs"]
mod field;
mod money;
mod pilots;
#[path = "../instances/random.rs"]
mod random;
mod real;
#[path = "../seed/mod.rs"]
mod seed;
mod tiny;

use money::{money, tolerance};
use optimizer::check::{Violation, check};
use optimizer::problem::{Need, Problem};
use optimizer::schedule::{Schedule, Status};
use optimizer::solve::{fallback, solve};
use optimizer::units::{MicroPerKwh, Watts};
use proptest::prelude::*;
use random::{Extras, Recipe, recipes_with_extras};
use seed::seeded;

/// Far more than any plan here takes.
pub(crate) const LIMIT_MS: u32 = 60_000;

/// The plan, which breaks nothing.
pub(crate) fn planned(problem: &Problem) -> Schedule {
    let schedule = solve(problem, LIMIT_MS).expect("a plan always exists");
    assert_eq!(check(problem, &schedule), []);
    assert_eq!(schedule.status, Status::Optimal);
    schedule
}

/// Without what a linear program cannot say: directions, minimums and pilots, setpoints of others, shares.
fn convex(recipe: Recipe) -> Recipe {
    let extras = Extras { pilots: false, equal: false, ..recipe.extras };
    // What risk and reserve cost is no money; tests/planning.rs holds the whole objective to the same.
    Recipe { inverted_prices: false, minimums: false, posted: false, uncertain: false, extras, ..recipe }
}

/// Whether the powers break nothing, whatever is stated of them.
pub(crate) fn is_feasible(problem: &Problem, schedule: &Schedule) -> bool {
    let stated = |v: &Violation| {
        matches!(
            v,
            Violation::Cost { .. } | Violation::Peak { .. } | Violation::Shortfall { .. } | Violation::Cause { .. }
        )
    };
    check(problem, schedule).iter().all(stated)
}

/// How much more `group` may draw in interval `k`, its own and its parents' limits alone.
fn room(problem: &Problem, schedule: &Schedule, group: usize, k: usize) -> i64 {
    let path = |group| std::iter::successors(Some(group), |g: &usize| problem.groups[*g].parent);
    let assets =
        problem.needs.iter().map(|n| (n.lane, n.group)).chain(problem.storages.iter().map(|s| (s.lane, s.group)));
    let forecasts = problem.pv.iter().chain(&problem.base_loads).map(|f| (f.lane, f.group));
    let mut lanes: Vec<(usize, usize)> = assets.chain(forecasts).collect();
    lanes.sort_unstable();
    lanes.dedup();
    let behind = |above: usize, (_, group): &&(usize, usize)| path(*group).any(|g| g == above);
    let left = |above: usize| {
        let net: i64 =
            lanes.iter().filter(|lane| behind(above, lane)).map(|(lane, _)| schedule.power_w[*lane][k].0).sum();
        problem.groups[above].import_w.0 - net
    };
    path(group).map(left).min().unwrap_or(0).max(0) / 10 * 10
}

/// Cars one after the other in `order`, each in the intervals that `first` puts first, as far as limits leave room. `None`
/// where that breaks what it does not look at.
fn greedy(problem: &Problem, order: &dyn Fn(&Need) -> usize, first: &dyn Fn(usize) -> i64) -> Option<Schedule> {
    let mut schedule = fallback(problem, "greedy");
    let mut needs: Vec<&Need> = problem.needs.iter().collect();
    needs.sort_by_key(|need| order(need));
    needs.iter().for_each(|need| schedule.power_w[need.lane].fill(Watts::ZERO));
    for need in needs {
        let mut left = need.energy_wh.0 * 2 / 5;
        let mut intervals: Vec<usize> = (need.from..need.until).collect();
        intervals.sort_by_key(|k| first(*k));
        for k in intervals {
            let power = need.max_w.0.min(10 * left).min(room(problem, &schedule, need.group, k)) / 10 * 10;
            schedule.power_w[need.lane][k] = Watts(power);
            left -= power / 10;
        }
    }
    is_feasible(problem, &schedule).then_some(schedule)
}

proptest! {
    #![proptest_config(seeded(256))]

    #[test]
    fn every_plan_and_every_fallback_keeps_every_rule(recipe in recipes_with_extras()) {
        let problem = recipe.problem();
        let schedule = solve(&problem, LIMIT_MS);
        prop_assert_eq!(schedule.map(|schedule| check(&problem, &schedule)), Ok(Vec::new()));
        prop_assert_eq!(check(&problem, &fallback(&problem, "test")), []);
    }

    #[test]
    fn the_same_facts_give_the_same_plan(recipe in recipes_with_extras()) {
        let problem = recipe.problem();
        prop_assert_eq!(solve(&problem, LIMIT_MS), solve(&problem, LIMIT_MS));
    }

    #[test]
    fn no_heuristic_is_cheaper(recipe in recipes_with_extras()) {
        let problem = convex(recipe).problem();
        let plan = planned(&problem);
        let ours = money(&problem, &plan) - tolerance(&problem);
        let price = |k: usize| problem.import_price[k].0;
        let others = [
            ("least laxity first", Some(fallback(&problem, "test"))),
            ("earliest departure first", greedy(&problem, &|need| need.until, &|k| k as i64)),
            ("first come, first served", greedy(&problem, &|need| need.from, &|k| k as i64)),
            ("cheapest intervals first", greedy(&problem, &|need| need.until, &price)),
        ];
        for (name, other) in others {
            let theirs = other.map(|other| money(&problem, &other));
            prop_assert!(theirs.is_none_or(|theirs| ours <= theirs), "{name}: {theirs:?}, ours {ours}");
        }
    }

    #[test]
    fn looser_limits_cost_no_more(recipe in recipes_with_extras(), at in any::<prop::sample::Index>(), more in 1_i64..500) {
        let problem = convex(recipe).problem();
        let mut looser = problem.clone();
        let count = problem.groups.len();
        match at.index(2 * count + problem.rows.len()) {
            g if g < count => looser.groups[g].import_w.0 += 10 * more,
            g if g < 2 * count => looser.groups[g - count].export_w.0 += 10 * more,
            r => looser.rows[r - 2 * count].at_most[0] += 10_000_000 * more,
        }
        let (before, after) = (money(&problem, &planned(&problem)), money(&looser, &planned(&looser)));
        prop_assert!(after <= before + tolerance(&problem), "{after} > {before}");
    }

    #[test]
    fn dearer_energy_costs_no_less(recipe in recipes_with_extras(), at in any::<prop::sample::Index>(), more in 1_i64..300_000) {
        let problem = convex(recipe).problem();
        let mut dearer = problem.clone();
        dearer.import_price[at.index(problem.horizon)].0 += more;
        let (before, after) = (money(&problem, &planned(&problem)), money(&dearer, &planned(&dearer)));
        prop_assert!(after >= before - tolerance(&dearer), "{after} < {before}");
    }

    #[test]
    fn names_and_order_mean_nothing(recipe in recipes_with_extras()) {
        let problem = convex(recipe).problem();
        let mut other = problem.clone();
        other.site = "another".to_owned();
        other.needs.reverse();
        other.storages.reverse();
        other.pv.reverse();
        other.rows.reverse();
        other.needs.iter_mut().for_each(|need| need.session = format!("another {}", need.session));
        let (one, two) = (money(&problem, &planned(&problem)), money(&other, &planned(&other)));
        prop_assert!((one - two).abs() <= tolerance(&problem), "{one} and {two}");
    }
}

/// A price below zero all day: whatever the site can take is taken, and paid for.
#[test]
fn a_day_of_negative_prices_pays() {
    for seed in 0..20 {
        let extras = Extras { feeding: seed % 2 == 0, ..Extras::default() };
        let recipe = Recipe {
            seed,
            cars: 5,
            groups: 3,
            horizon: 96,
            batteries: 2,
            inverted_prices: false,
            negative_prices: true,
            minimums: false,
            posted: false,
            overloads: false,
            uncertain: false,
            extras,
        };
        let mut problem = recipe.problem();
        problem.import_price.fill(MicroPerKwh(-100_000));
        problem.feed_in_price.fill(MicroPerKwh(-120_000));
        let plan = planned(&problem);
        assert!(plan.cost.0 < 0, "seed {seed}: {}", plan.cost);
        assert!(money(&problem, &plan) <= money(&problem, &fallback(&problem, "test")) + tolerance(&problem));
    }
}

/// Where a reverse-flow limit and a row both bind, cutting a car behind both gains nothing, because PV must give way too:
/// rounding once cut such cars to zero.
#[test]
fn rounding_cuts_where_it_helps() {
    let extras = Extras { rows: true, ..Extras::default() };
    let recipe = Recipe {
        seed: 3_753_704_131_785_395_326,
        cars: 6,
        groups: 4,
        horizon: 9,
        batteries: 2,
        inverted_prices: false,
        negative_prices: false,
        minimums: false,
        posted: false,
        overloads: false,
        uncertain: false,
        extras,
    };
    let problem = recipe.problem();
    let mut other = problem.clone();
    other.pv.reverse();
    let (one, two) = (money(&problem, &planned(&problem)), money(&other, &planned(&other)));
    assert!((one - two).abs() * 1_000 <= one, "{one} and {two}");
}
