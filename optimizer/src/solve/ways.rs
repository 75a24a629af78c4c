//! Directions of grid connection and batteries, where the problem is not linear: one program after the other, until they
//! and the answer agree.

use super::{Answer, Flow, SolveError, WHOLE};
use crate::fallback::fallback;
use crate::problem::Problem;
use crate::schedule::Status;
use crate::units::Watts;

/// Most intervals whose direction is searched. Half a day of them took 0.1 to 3 s for 10 to 100 cars, mostly before the
/// first branch; starting from three guesses took a tenth of that and found the same cost within 0.05 %.
const SEARCH_MAX: usize = 8;
/// Most programs from one start; two or three are enough wherever one is not.
const ROUNDS: usize = 6;

/// Solves a program with these directions.
pub(super) type Run<'a> = dyn FnMut(&Ways) -> Result<Answer, SolveError> + 'a;

/// Which way power goes, where cost alone would have it go both ways at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Way {
    /// The linear program needs no help.
    Free,
    /// A binary decides.
    Open,
    /// Import, or charge.
    In,
    /// Export, or discharge.
    Out,
}

/// The two places where the problem is not linear, and how [`follow`] gets it linear, and so marginal prices:
///
/// - Feeding in above the import price would pay for import and export at once. So one direction of the grid connection
///   is chosen for each such interval, and its price holds both ways: true of that direction, and no cheaper than the
///   truth of the other. Where a plan crosses over, the next round, at the other price, is cheaper still. A few such
///   intervals are started from a search by binaries; many from three guesses, of which the best result counts. One of
///   them is the fallback's directions, at which the fallback costs what it costs, so that no plan is dearer.
/// - A price below zero would pay for burning energy in a battery's losses by charging and discharging at once. Where a
///   plan does so, the battery gets the direction of its net power in the next round. Elsewhere [`TIE`] and the losses
///   keep one of both at zero.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ways {
    /// Grid connection, by interval.
    pub(super) grid: Vec<Way>,
    /// By battery and interval.
    pub(super) storage: Vec<Vec<Way>>,
}

impl Ways {
    /// Where to start from.
    fn starts(problem: &Problem) -> Vec<Self> {
        let prices = problem.import_price.iter().zip(&problem.feed_in_price);
        let inverted: Vec<bool> = prices.map(|(import, feed_in)| feed_in > import).collect();
        let start = |way: &dyn Fn(usize) -> Way| Self {
            grid: inverted.iter().enumerate().map(|(k, on)| if *on { way(k) } else { Way::Free }).collect(),
            storage: vec![vec![Way::Free; problem.horizon]; problem.storages.len()],
        };
        let count = inverted.iter().filter(|inverted| **inverted).count();
        if count <= SEARCH_MAX {
            return vec![start(&|_| Way::Open)];
        }
        let fallback = fallback(problem, "");
        let exports = |k| fallback.column(k).into_iter().sum::<Watts>() < Watts::ZERO;
        vec![start(&|_| Way::In), start(&|_| Way::Out), start(&|k| if exports(k) { Way::Out } else { Way::In })]
    }

    /// The directions that `answer` took.
    fn after(&self, answer: &Answer) -> Self {
        let grid = self.grid.iter().zip(&answer.grid).map(|(way, flow)| match way {
            Way::Free => Way::Free,
            Way::Open if flow.net() >= 0.0 => Way::In,
            Way::Open => Way::Out,
            Way::In if flow.net() < -WHOLE => Way::Out,
            Way::Out if flow.net() > WHOLE => Way::In,
            taken => *taken,
        });
        let row = |(ways, flows): (&Vec<Way>, &Vec<Flow>)| {
            let each = ways.iter().zip(flows).map(|(way, flow)| match way {
                Way::Free if flow.into > WHOLE && flow.out > WHOLE && flow.net() >= 0.0 => Way::In,
                Way::Free if flow.into > WHOLE && flow.out > WHOLE => Way::Out,
                taken => *taken,
            });
            each.collect()
        };
        Self { grid: grid.collect(), storage: self.storage.iter().zip(&answer.storage).map(row).collect() }
    }
}

/// The best of what the starting points of [`Ways::starts`] lead to. Where not all of them ended in time its status says so.
pub(super) fn best(problem: &Problem, run: &mut Run<'_>) -> Result<Answer, SolveError> {
    best_of(Ways::starts(problem), run)
}

fn best_of(starts: Vec<Ways>, run: &mut Run<'_>) -> Result<Answer, SolveError> {
    let (mut best, mut late): (Option<Answer>, bool) = (None, false);
    let mut failure = SolveError::Solver("there is nowhere to start from".to_owned());
    for start in starts {
        match follow(start, run) {
            Ok(answer) => {
                late |= answer.status == Status::TimeLimit;
                if best.as_ref().is_none_or(|best| answer.objective < best.objective) {
                    best = Some(answer);
                }
            }
            Err(error) => {
                late |= matches!(error, SolveError::Late { .. });
                failure = error;
            }
        }
    }
    let mut best = best.ok_or(failure)?;
    if late {
        best.status = Status::TimeLimit;
    }
    Ok(best)
}

/// Solves with `ways`, then with those that the answer took, until they are the same; or until the time is over, where the
/// answer before can be driven: that of a search has no prices, that of a battery which is charged and emptied at once is
/// none.
fn follow(mut ways: Ways, run: &mut Run<'_>) -> Result<Answer, SolveError> {
    let mut answer = run(&ways)?;
    let mut late = answer.status == Status::TimeLimit;
    for _ in 1..ROUNDS {
        let next = ways.after(&answer);
        if next == ways {
            break;
        }
        match run(&next) {
            Ok(found) => answer = found,
            Err(SolveError::Late { .. }) if !ways.grid.contains(&Way::Open) && next.storage == ways.storage => {
                late = true;
                break;
            }
            Err(error) => return Err(error),
        }
        ways = next;
    }
    if late {
        answer.status = Status::TimeLimit;
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Multipliers;

    const LATE: SolveError = SolveError::Late { limit_ms: 1 };

    /// An interval that imports `net`, with a battery that is charged by the one and emptied by the other.
    fn answer(objective: f64, net: f64, battery: (f64, f64)) -> Answer {
        Answer {
            need: Vec::new(),
            pv: Vec::new(),
            storage: vec![vec![Flow { into: battery.0, out: battery.1 }]],
            content: Vec::new(),
            grid: vec![Flow { into: net.max(0.0), out: (-net).max(0.0) }],
            above_peak: 0.0,
            objective,
            node_price: Vec::new(),
            multipliers: Multipliers::default(),
            status: Status::Optimal,
        }
    }

    fn start(grid: Way) -> Ways {
        Ways { grid: vec![grid], storage: vec![vec![Way::Free]] }
    }

    /// What comes of `starts` where the programs end so, one after the other.
    fn outcome(starts: &[Way], ends: Vec<Result<Answer, SolveError>>) -> Result<(f64, Status), SolveError> {
        let mut ends = ends.into_iter();
        let mut run = |_: &Ways| ends.next().unwrap_or(Err(LATE));
        best_of(starts.iter().map(|way| start(*way)).collect(), &mut run).map(|best| (best.objective, best.status))
    }

    #[test]
    fn all_in_time_is_optimal_and_the_best_counts() {
        let ends = vec![Ok(answer(3.0, 1.0, (0.0, 0.0))), Ok(answer(2.0, -1.0, (0.0, 0.0)))];
        assert_eq!(outcome(&[Way::In, Way::Out], ends), Ok((2.0, Status::Optimal)));
    }

    #[test]
    fn what_ended_in_time_counts_and_says_that_the_rest_did_not() {
        let first = || Ok(answer(3.0, 1.0, (0.0, 0.0)));
        assert_eq!(outcome(&[Way::In, Way::Out], vec![first()]), Ok((3.0, Status::TimeLimit)));
        // It imports though it started from exporting: the next round would have been cheaper still.
        assert_eq!(outcome(&[Way::Out], vec![first()]), Ok((3.0, Status::TimeLimit)));
        assert_eq!(outcome(&[Way::In], Vec::new()), Err(LATE));
    }

    #[test]
    fn what_cannot_be_driven_is_late() {
        assert_eq!(outcome(&[Way::In], vec![Ok(answer(3.0, 1.0, (5.0, 4.0)))]), Err(LATE), "it would burn energy");
        assert_eq!(outcome(&[Way::Open], vec![Ok(answer(3.0, 1.0, (0.0, 0.0)))]), Err(LATE), "a search has no prices");
    }

    #[test]
    fn a_search_that_stopped_early_is_no_optimum() {
        let searched = Answer { status: Status::TimeLimit, ..answer(3.0, 1.0, (0.0, 0.0)) };
        let ends = vec![Ok(searched), Ok(answer(3.0, 1.0, (0.0, 0.0)))];
        assert_eq!(outcome(&[Way::Open], ends), Ok((3.0, Status::TimeLimit)));
    }
}
