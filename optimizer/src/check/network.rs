//! Limits of groups and rows, looked at anew.

use super::{Violation, narrow};
use crate::problem::Problem;
use crate::schedule::Schedule;
use crate::units::Watts;

/// Group of every lane that has an asset.
fn group_of_lane(problem: &Problem) -> Vec<Option<usize>> {
    let mut groups = vec![None; problem.lanes];
    let forecasts = problem.pv.iter().chain(&problem.base_loads).map(|f| (f.lane, f.group));
    let storages = problem.storages.iter().map(|s| (s.lane, s.group));
    for (lane, group) in problem.needs.iter().map(|n| (n.lane, n.group)).chain(storages).chain(forecasts) {
        if let Some(entry) = groups.get_mut(lane) {
            *entry = Some(group);
        }
    }
    groups
}

/// Power by group and interval of what sits directly there: of all assets, and of base loads alone.
fn direct(problem: &Problem, schedule: &Schedule) -> (Vec<Vec<i128>>, Vec<Vec<i128>>) {
    let mut all = vec![vec![0; problem.horizon]; problem.groups.len()];
    let mut base = all.clone();
    let add = |sums: &mut Vec<Vec<i128>>, group: usize, row: &[Watts]| {
        for (sum, power) in sums.get_mut(group).into_iter().flatten().zip(row) {
            *sum += i128::from(power.0);
        }
    };
    for (row, group) in schedule.power_w.iter().zip(group_of_lane(problem)) {
        group.iter().for_each(|group| add(&mut all, *group, row));
    }
    problem.base_loads.iter().for_each(|load| add(&mut base, load.group, &load.power_w));
    (all, base)
}

/// Sums over subtrees, from the sums of what sits directly in each group; a parent that comes after its child is none.
fn behind(problem: &Problem, mut sums: Vec<Vec<i128>>) -> Vec<Vec<i128>> {
    for group in (0..problem.groups.len()).rev() {
        let parent = problem.groups[group].parent.filter(|parent| *parent < group);
        if let Some(parent) = parent {
            let (above, below) = sums.split_at_mut(group);
            above[parent].iter_mut().zip(&below[0]).for_each(|(sum, power)| *sum += power);
        }
    }
    sums
}

/// Net power of group 0 by interval.
pub(super) fn net(problem: &Problem, schedule: &Schedule) -> Vec<i128> {
    let sums = behind(problem, direct(problem, schedule).0);
    sums.into_iter().next().unwrap_or_else(|| vec![0; problem.horizon])
}

/// How many cars may charge behind every group in interval `k`.
fn cars(problem: &Problem, k: usize) -> Vec<i128> {
    let mut counts = vec![vec![0]; problem.groups.len()];
    let needs = problem.needs.iter().map(|need| (need.group, need.from, need.until));
    let stays = problem.storages.iter().filter_map(|s| s.stay.map(|(from, until)| (s.group, from, until)));
    for (group, from, until) in needs.chain(stays) {
        if (from..until).contains(&k) {
            counts.get_mut(group).into_iter().for_each(|count| count[0] += 1);
        }
    }
    behind(problem, counts).into_iter().map(|count| count[0]).collect()
}

pub(super) fn limits(problem: &Problem, schedule: &Schedule) -> Vec<Violation> {
    let mut found = Vec::new();
    let (all, base) = direct(problem, schedule);
    rows(problem, &all, &base, &mut found);
    let (all, base) = (behind(problem, all), behind(problem, base));
    for (group, limit) in problem.groups.iter().enumerate() {
        for k in 0..problem.horizon {
            let (net, base) = (all[group][k], base[group][k]);
            let mut most = i128::from(limit.import_w.0);
            for dimming in limit.dimmed.iter().filter(|dimming| (dimming.from..dimming.until).contains(&k)) {
                let guaranteed = i128::from(dimming.guaranteed_w.0 / 10 * 10) * cars(problem, k)[group];
                most = most.min(i128::from(dimming.import_w.0).max(base + guaranteed));
            }
            let most = most.max(base);
            if net > most {
                let (net_w, limit_w) = (Watts(narrow(net)), Watts(narrow(most)));
                found.push(Violation::Import { group, k, net_w, limit_w });
            }
            if net < -i128::from(limit.export_w.0) {
                found.push(Violation::Export { group, k, net_w: Watts(narrow(net)), limit_w: limit.export_w });
            }
        }
    }
    found
}

fn rows(problem: &Problem, all: &[Vec<i128>], base: &[Vec<i128>], found: &mut Vec<Violation>) {
    for row in &problem.rows {
        for k in 0..problem.horizon {
            let value = |sums: &[Vec<i128>]| -> i128 {
                let part =
                    |t: &crate::problem::Term| i128::from(t.coefficient) * sums.get(t.group).map_or(0, |sums| sums[k]);
                row.terms.iter().map(part).sum()
            };
            let at_most = row.at_most.get(k).or(row.at_most.first()).copied().unwrap_or_default();
            let (value, bound) = (value(all), i128::from(at_most).max(value(base)));
            if value > bound {
                let (value, bound) = (narrow(value), narrow(bound));
                found.push(Violation::Row { row: row.name.clone(), k, value, bound });
            }
        }
    }
}
