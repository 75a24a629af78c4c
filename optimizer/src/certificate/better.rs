//! A cheaper schedule of the same inputs. What a car may draw in the first interval is nothing or at least what its EVSE can
//! hold; the planner decides that by laxity and not by a search, which this is.

use super::{Certificate, Planned, decode};
use crate::problem::Problem;
use crate::solve::Planner;
use crate::units::{Interval, POWER_STEP_W, Watts};

/// Most plans that are tried: at some milliseconds each, seconds.
const TRIES: usize = 256;
/// As long as a plan may take.
const LIMIT_MS: u32 = 10_000;

/// Looks for a schedule of the problem behind `inputs` that costs less than `cost` (1/40,000 micro), and returns the
/// cheapest found. From the planner's own plan it changes one car's first interval at a time, for as long as that is cheaper:
/// an optimum among its neighbours, and not of all. No car gets a power that its EVSE cannot hold.
///
/// # Errors
/// In words, where the inputs are none or have no plan with a certificate.
pub fn better(inputs: &[u8], first: Interval, cost: i128) -> Result<Option<Certificate>, String> {
    let problem = decode::problem_of(inputs, first)?;
    let mut planner = Planner::new();
    let mut best = certified(&mut planner, &problem)?;
    let mut choice: Vec<Option<Watts>> = vec![None; problem.needs.len()];
    let mut tries = 1;
    let mut improved = true;
    while improved && tries < TRIES {
        improved = false;
        for (i, power) in options(&problem) {
            if choice[i] == Some(power) || tries == TRIES {
                continue;
            }
            let before = choice[i].replace(power);
            tries += 1;
            let found = certified(&mut planner, &chosen(&problem, &choice));
            match found.ok().filter(|found| found.verdict.cost < best.verdict.cost && holds(&problem, found)) {
                Some(found) => (best, improved) = (found, true),
                None => choice[i] = before,
            }
        }
    }
    Ok(Some(best).filter(|best| best.verdict.cost < cost && holds(&problem, best)))
}

/// What each car that is there may get at first that a plan of laxity may not give it: nothing, its least, its most.
fn options(problem: &Problem) -> Vec<(usize, Watts)> {
    let there = problem.needs.iter().enumerate().filter(|(_, need)| need.from == 0 && need.min_w <= need.max_w);
    there.flat_map(|(i, need)| [Watts::ZERO, need.min_w, need.max_w].map(|power| (i, power))).collect()
}

/// The problem with what was chosen as setpoints that somebody else has posted: kept as far as limits and needs allow.
fn chosen(problem: &Problem, choice: &[Option<Watts>]) -> Problem {
    let mut chosen = problem.clone();
    for (need, power) in chosen.needs.iter_mut().zip(choice) {
        need.fixed = power.map(|power| (0, power)).into_iter().collect();
    }
    chosen
}

/// Whether every EVSE can hold what it gets at first.
fn holds(problem: &Problem, certificate: &Certificate) -> bool {
    let mut cells = certificate
        .schedule
        .chunks_exact(2)
        .map(|cell| POWER_STEP_W * i64::from(u16::from_be_bytes([cell[0], cell[1]])));
    problem.needs.iter().all(|need| {
        let row: Vec<i64> = cells.by_ref().take(need.until - need.from).collect();
        need.from > 0 || row.first().is_none_or(|power| *power == 0 || *power >= need.min_w.0)
    })
}

fn certified(planner: &mut Planner, problem: &Problem) -> Result<Certificate, String> {
    let planned = Planned::of(planner, problem, LIMIT_MS).map_err(|error| error.to_string())?;
    planned.certificate.map(|certificate| *certificate)
}
