//! From what the solver says to multipliers that hold together: every one of them is valid, these are also tight.

use super::encode::{biased, is_live, series};
use super::layout::{BIAS, PRICE_END};
use crate::amounts::{energy, priority, risk_price, steps};
use crate::problem::{Need, Problem};
use crate::schedule::Multipliers;
use crate::units::INTERVAL_S;

/// Most magnitude of a node price.
const PRICE_MAX: i64 = BIAS - 1;

/// The bytes. Prices that leave their range are cut to it, what is missing is zero.
pub(super) fn encode(problem: &Problem, multipliers: &Multipliers) -> Vec<u8> {
    let given = |rows: &[Vec<i64>], at: usize, t: usize| rows.get(at).and_then(|row| row.get(t)).copied().unwrap_or(0);
    let kappa = problem.peak.as_ref().map_or(0, |peak| 4 * peak.price.0);
    let rho = peak_prices(problem, multipliers, kappa);
    let horizon = 0..problem.horizon;
    let mut price: Vec<Vec<i64>> = Vec::with_capacity(problem.groups.len());
    let mut alphas = Vec::with_capacity(problem.groups.len());
    for (g, group) in problem.groups.iter().enumerate() {
        let alpha = |t: usize| match group.parent {
            Some(parent) => {
                let above = price[parent][t];
                let alpha = given(&multipliers.node_price, g, t) - given(&multipliers.node_price, parent, t);
                alpha.clamp(-PRICE_MAX - above, PRICE_MAX - above).clamp(-PRICE_MAX, PRICE_MAX)
            }
            None => root_price(problem, given(&multipliers.node_price, 0, t), rho[t], t),
        };
        let alpha: Vec<i64> = horizon.clone().map(alpha).collect();
        price.push(match group.parent {
            Some(parent) => price[parent].iter().zip(&alpha).map(|(price, alpha)| price + alpha).collect(),
            None => alpha.clone(),
        });
        alphas.push(alpha);
    }
    let mut bytes = biased(&alphas[0]);
    if kappa > 0 {
        bytes.extend(series(&rho, 0));
    }
    for j in 0..problem.storages.len() {
        let stored = |t: usize| given(&multipliers.stored, j, t).clamp(-PRICE_MAX, PRICE_MAX);
        bytes.extend(biased(&horizon.clone().map(stored).collect::<Vec<_>>()));
    }
    let rows = row_prices(problem, multipliers, &mut price);
    for need in problem.needs.iter().filter(|need| is_live(need)) {
        let mu = need_price(problem, need, &price[need.group]) + BIAS;
        bytes.extend(&mu.to_be_bytes()[4..]);
    }
    let is_used = |values: &Vec<i64>| values.iter().any(|value| *value != 0);
    bytes.extend(alphas.iter().skip(1).chain(&rows).map(|values| u8::from(is_used(values))));
    alphas.iter().skip(1).filter(|alpha| is_used(alpha)).for_each(|alpha| bytes.extend(biased(alpha)));
    rows.iter().filter(|row| is_used(row)).for_each(|row| bytes.extend(series(row, 0)));
    bytes
}

/// Prices of the peak: none below zero, and together no more than it costs.
fn peak_prices(problem: &Problem, multipliers: &Multipliers, kappa: i64) -> Vec<i64> {
    let mut left = kappa;
    let price = |t: usize| {
        let price = multipliers.peak.get(t).copied().unwrap_or(0).clamp(0, left.min(PRICE_MAX));
        left -= price;
        price
    };
    (0..problem.horizon).map(price).collect()
}

/// The root's price; where it is but rounding away from a price of the grid, the nearest, at which no limit is paid for.
fn root_price(problem: &Problem, price: i64, rho: i64, t: usize) -> i64 {
    let grid = [problem.import_price[t].0 + rho, problem.feed_in_price[t].0];
    let near = grid.into_iter().filter(|grid| (grid - price).abs() <= 2).min_by_key(|grid| (grid - price).abs());
    near.unwrap_or(price).clamp(-PRICE_MAX, PRICE_MAX)
}

/// Prices of rows, as far as the prices that they lead to stay in range; adds them to what sits directly in their groups,
/// rounded as the verifier rounds.
fn row_prices(problem: &Problem, multipliers: &Multipliers, price: &mut [Vec<i64>]) -> Vec<Vec<i64>> {
    let mut rows = vec![Vec::new(); problem.rows.len()];
    for (r, row) in problem.rows.iter().enumerate() {
        let Some(given) = multipliers.rows.get(r).filter(|given| !given.is_empty()) else { continue };
        let scale = row.terms.iter().map(|term| term.coefficient.abs()).max().unwrap_or(1).max(1);
        let alpha: Vec<i64> =
            (0..problem.horizon).map(|t| given.get(t).copied().unwrap_or(0).clamp(0, PRICE_MAX)).collect();
        let added = |coefficient: i64, t: usize| (coefficient * alpha[t]).div_euclid(scale);
        let in_range = |t: usize| {
            let of = |term: &crate::problem::Term| price[term.group][t] + added(term.coefficient, t);
            row.terms.iter().all(|term| (-PRICE_MAX..=PRICE_MAX).contains(&of(term)))
        };
        if !(0..problem.horizon).all(in_range) || alpha.iter().all(|alpha| *alpha == 0) {
            continue;
        }
        for term in &row.terms {
            for (t, price) in price[term.group].iter_mut().enumerate() {
                *price += added(term.coefficient, t);
            }
        }
        rows[r] = alpha;
    }
    rows
}

/// The best μ at these node prices. What it adds to the bound is concave and bends only at a node price, at the penalty
/// and at zero: it rises as long as the intervals cheaper than μ cannot hold the energy.
fn need_price(problem: &Problem, need: &Need, price: &[i64]) -> i64 {
    let penalty = problem.shortfall_penalty.0 * priority(need.priority_percent) / 100;
    let price = |k: usize| price[k] + risk_price(problem, need, k).0;
    let mut prices: Vec<i64> = (need.from..need.until).map(price).collect();
    prices.sort_unstable();
    let (quanta, max) = (energy(need.energy_wh) / INTERVAL_S, steps(need.max_w));
    // The last of the cheapest intervals that the energy fills.
    let filled = quanta.checked_div(max).map_or(prices.len(), |full| full as usize);
    let partly = if max > 0 && quanta % max == 0 && filled > 0 { filled - 1 } else { filled };
    let marginal = prices.get(partly).copied().unwrap_or(penalty).min(penalty);
    marginal.clamp(-PRICE_MAX, PRICE_END - 1 - BIAS)
}
