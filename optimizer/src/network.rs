//! The network of a problem in steps: effective limits of groups and rows, and who sits behind which.

use crate::amounts::{allowed_above, need_max, steps, storage_max};
use crate::problem::Problem;
use crate::units::POWER_STEP_W;

/// A row that could bind in some interval.
#[derive(Debug, Clone)]
pub(crate) struct ActiveRow {
    /// Index in the problem.
    pub(crate) index: usize,
    /// The first active row over the same groups: sides of one polygon are a family.
    pub(crate) family: usize,
    /// Its largest coefficient.
    pub(crate) scale: i64,
    /// Effective bound by interval, coefficient × steps.
    pub(crate) bound: Vec<i64>,
}

/// Limits of one problem.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    /// By group: itself and every group above it.
    pub(crate) path: Vec<Vec<usize>>,
    /// Effective import limit by group and interval.
    pub(crate) import: Vec<Vec<i64>>,
    /// Export limit by group.
    pub(crate) export: Vec<i64>,
    /// Base load by group and interval: what sits directly there.
    pub(crate) base: Vec<Vec<i64>>,
    /// Rows that could bind.
    pub(crate) rows: Vec<ActiveRow>,
    /// By group: indices into `rows` with the group's coefficient there.
    pub(crate) rows_of: Vec<Vec<(usize, i64)>>,
}

impl Network {
    /// The problem must be [`valid`](crate::validate::validate).
    pub(crate) fn new(problem: &Problem) -> Self {
        let path: Vec<Vec<usize>> = (0..problem.groups.len()).map(|g| path(problem, g)).collect();
        let mut base = vec![vec![0; problem.horizon]; problem.groups.len()];
        for load in &problem.base_loads {
            for (sum, power) in base[load.group].iter_mut().zip(&load.power_w) {
                *sum += steps(power.ceil_to_step());
            }
        }
        let mut network = Self {
            import: effective_import(problem, &path, &base),
            export: problem.groups.iter().map(|group| steps(group.export_w)).collect(),
            path,
            base,
            rows: Vec::new(),
            rows_of: vec![Vec::new(); problem.groups.len()],
        };
        network.add_rows(problem);
        network
    }

    /// Whether `group` is `above` or lies below it.
    pub(crate) fn is_behind(&self, group: usize, above: usize) -> bool {
        self.path[group].contains(&above)
    }

    fn add_rows(&mut self, problem: &Problem) {
        if problem.rows.is_empty() {
            return;
        }
        let reach = direct_reach(problem, &self.base);
        for (index, row) in problem.rows.iter().enumerate() {
            let mut binds = false;
            let bound_at = |k: usize| {
                let base: i64 = row.terms.iter().map(|t| t.coefficient * self.base[t.group][k]).sum();
                let most: i64 = row
                    .terms
                    .iter()
                    .map(|t| t.coefficient * if t.coefficient > 0 { reach[t.group][k].0 } else { reach[t.group][k].1 })
                    .sum();
                let at_most = row.at_most.get(k).or(row.at_most.first()).copied().unwrap_or_default();
                let bound = (at_most / POWER_STEP_W).max(base);
                binds |= most > bound;
                bound
            };
            let bound = (0..problem.horizon).map(bound_at).collect();
            if binds {
                for term in &row.terms {
                    self.rows_of[term.group].push((self.rows.len(), term.coefficient));
                }
                let scale = row.terms.iter().map(|t| t.coefficient.abs()).max().unwrap_or(1).max(1);
                let groups = |index: usize| problem.rows[index].terms.iter().map(|t| t.group);
                let alike = |other: &&ActiveRow| groups(other.index).eq(groups(index));
                let family = self.rows.iter().find(alike).map_or(self.rows.len(), |other| other.family);
                self.rows.push(ActiveRow { index, family, scale, bound });
            }
        }
    }
}

/// By group and interval: what sits directly there can draw at most this much and at least that much.
fn direct_reach(problem: &Problem, base: &[Vec<i64>]) -> Vec<Vec<(i64, i64)>> {
    let mut reach: Vec<Vec<(i64, i64)>> = base.iter().map(|row| row.iter().map(|b| (*b, *b)).collect()).collect();
    for need in &problem.needs {
        for (k, (most, _)) in reach[need.group].iter_mut().enumerate().take(need.until).skip(need.from) {
            // A car with less to go than its EVSE can hold may be offered that.
            let power = need_max(problem, need, k);
            *most += if k == 0 { allowed_above(need, power).unwrap_or(power) } else { power };
        }
    }
    for storage in &problem.storages {
        for (k, (most, least)) in reach[storage.group].iter_mut().enumerate() {
            *most += storage_max(storage, k);
            *least -= storage_max(storage, k);
        }
    }
    for forecast in &problem.pv {
        for ((_, least), power) in reach[forecast.group].iter_mut().zip(&forecast.power_w) {
            *least -= steps(*power);
        }
    }
    reach
}

/// A group's limit: its own, in dimmed hours the operator's with what is guaranteed, and never below the base load.
fn effective_import(problem: &Problem, path: &[Vec<usize>], base: &[Vec<i64>]) -> Vec<Vec<i64>> {
    let mut behind = vec![vec![0; problem.horizon]; problem.groups.len()];
    for (group, row) in base.iter().enumerate() {
        for &above in &path[group] {
            behind[above].iter_mut().zip(row).for_each(|(sum, power)| *sum += power);
        }
    }
    let mut import = Vec::with_capacity(behind.len());
    for (g, (group, base)) in problem.groups.iter().zip(&behind).enumerate() {
        let mut row = vec![steps(group.import_w); problem.horizon];
        for dimming in &group.dimmed {
            for (k, limit) in row.iter_mut().enumerate().take(dimming.until).skip(dimming.from) {
                let there = |from: usize, until: usize, at: usize| from <= k && k < until && path[at].contains(&g);
                let needs = problem.needs.iter().filter(|n| there(n.from, n.until, n.group)).count();
                let cars = problem.storages.iter().filter(|s| s.stay.is_some_and(|(a, b)| there(a, b, s.group)));
                let guaranteed = steps(dimming.guaranteed_w) * (needs + cars.count()) as i64;
                *limit = (*limit).min(steps(dimming.import_w).max(base[k] + guaranteed));
            }
        }
        row.iter_mut().zip(base).for_each(|(limit, base)| *limit = (*limit).max(*base));
        import.push(row);
    }
    import
}

/// `group` and every group above it.
fn path(problem: &Problem, group: usize) -> Vec<usize> {
    std::iter::successors(Some(group), |&g: &usize| problem.groups[g].parent).collect()
}
