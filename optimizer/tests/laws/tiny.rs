//! Instances so small that every plan can be tried.

use crate::money::{MICRO, money, tolerance};
use crate::seed::seeded;
use crate::{is_feasible, planned};
use optimizer::problem::{Dimming, Forecast, GroupLimit, Need, Peak, Problem, Row, Term};
use optimizer::schedule::Schedule;
use optimizer::solve::fallback;
use optimizer::units::{MicroPerKw, MicroPerKwh, WattHours, Watts};
use proptest::prelude::*;

const KW: i64 = 1_000;

/// The least money over all schedules of whole kW.
fn best(problem: &Problem) -> i128 {
    let cells: Vec<(usize, usize)> =
        problem.needs.iter().flat_map(|need| (need.from..need.until).map(|k| (need.lane, k))).collect();
    let mut schedule = fallback(problem, "enumeration");
    problem.needs.iter().for_each(|need| schedule.power_w[need.lane].fill(Watts::ZERO));
    let mut least = i128::MAX;
    try_all(problem, &cells, &mut schedule, &mut least);
    least
}

fn try_all(problem: &Problem, cells: &[(usize, usize)], schedule: &mut Schedule, least: &mut i128) {
    let Some(((lane, k), rest)) = cells.split_first() else {
        if is_feasible(problem, schedule) {
            *least = (*least).min(money(problem, schedule));
        }
        return;
    };
    for power in 0..=problem.needs[*lane].max_w.0 / KW {
        schedule.power_w[*lane][*k] = Watts(KW * power);
        try_all(problem, rest, schedule, least);
    }
}

/// Two cars in a cabinet each, behind a building, all in whole kW.
fn site(prices: &[i64], limits: &[i64], load: &[i64], energies: &[i64]) -> Problem {
    let limit = |parent, import: i64| GroupLimit { parent, import_w: Watts(KW * import), ..GroupLimit::default() };
    let need = |(lane, quarters): (usize, &i64)| Need {
        session: format!("car-{lane}"),
        lane,
        group: 1 + lane,
        from: lane % 2,
        until: prices.len(),
        max_w: Watts(4 * KW),
        energy_wh: WattHours(250 * quarters),
        ..Need::default()
    };
    Problem {
        site: "tiny".to_owned(),
        horizon: prices.len(),
        lanes: 3,
        groups: vec![limit(None, limits[0]), limit(Some(0), limits[1]), limit(Some(0), limits[2])],
        needs: energies.iter().enumerate().map(need).collect(),
        base_loads: vec![Forecast { lane: 2, group: 0, power_w: load.iter().map(|kw| Watts(KW * kw)).collect() }],
        import_price: prices.iter().map(|price| MicroPerKwh(*price)).collect(),
        feed_in_price: vec![MicroPerKwh(-200_000); prices.len()],
        shortfall_penalty: MicroPerKwh(2_000_000),
        ..Problem::default()
    }
}

type Numbers = (Vec<i64>, Vec<i64>, Vec<i64>, Vec<i64>);

fn numbers() -> impl Strategy<Value = Numbers> {
    let list = |range: std::ops::Range<i64>, n: usize| prop::collection::vec(range, n);
    (list(-100_000..400_000, 3), list(1..7, 3), list(0..3, 3), list(0..9, 2))
}

proptest! {
    #![proptest_config(seeded(40))]

    /// Priorities and dimmed hours keep the program a network flow, so nothing in whole kW is cheaper, and nothing at all.
    #[test]
    fn priorities_and_dimmed_hours((prices, limits, load, energies) in numbers(), priority in 1_i64..400, dimmed in 0_i64..4) {
        let mut problem = site(&prices, &limits, &load, &energies);
        problem.needs[0].priority_percent = priority;
        problem.groups[0].dimmed =
            vec![Dimming { from: 1, until: 3, import_w: Watts(KW * dimmed), guaranteed_w: Watts(KW) }];
        let (found, best) = (money(&problem, &planned(&problem)), best(&problem));
        let slack = tolerance(&problem);
        prop_assert!((best - slack..=best + slack).contains(&found), "{found} instead of {best}");
    }

    /// With a demand charge or a row the optimum may lie between whole kW: none of them is cheaper.
    #[test]
    fn peaks_and_rows((prices, limits, load, energies) in numbers(), charge in 0_i64..300_000, so_far in 0_i64..5, bound in 0_i64..12, second in 1_i64..4) {
        let mut problem = site(&prices, &limits, &load, &energies);
        problem.peak = Some(Peak { so_far_w: Watts(KW * so_far), price: MicroPerKw(charge) });
        let terms = vec![Term { group: 1, coefficient: 1 }, Term { group: 2, coefficient: second }];
        problem.rows = vec![Row { name: "phase".to_owned(), terms, at_most: vec![KW * bound] }];
        let found = money(&problem, &planned(&problem));
        // Rounding: a step of 10 W for each car and the peak, in every interval.
        let slack = 6 * 9_000 * 200 * 2_000_000 + 10 * i128::from(charge) * MICRO / 1000 + MICRO;
        let best = best(&problem);
        prop_assert!(found <= best + slack, "{found} where {best} can be had");
    }

    /// A first interval of pilots: what they cost beyond the best choice of them stays below the best that one pilot is worth.
    #[test]
    fn pilots((prices, limits, load, energies) in numbers()) {
        let mut problem = site(&prices, &limits, &load, &energies);
        problem.needs.iter_mut().for_each(|need| need.pilots_w = vec![Watts(2 * KW), Watts(4 * KW)]);
        let (found, best) = (money(&problem, &planned(&problem)), best(&problem));
        prop_assert!(found >= best - tolerance(&problem), "{found} below the best, {best}");
        let pilot = 2 * i128::from(2 * KW) * 900 * 100 * 2_100_000;
        prop_assert!(found <= best + pilot, "{found} where {best} can be had");
    }
}
