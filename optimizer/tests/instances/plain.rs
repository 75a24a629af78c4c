//! The readable model: the linear program of a car park as one would write it with good_lp.

use good_lp::{Expression, ProblemVariables, Solution, SolverModel, Variable, variable};
use optimizer::problem::Problem;

/// Numbers of the model in kW, kWh and money per kWh.
fn kilo(value: i64) -> f64 {
    value as f64 / 1_000.0
}

/// The linear program of a car park (one site, cabinets below it, one battery, one PV inverter): its least cost in
/// micro, penalties included.
pub(crate) fn cost(problem: &Problem) -> f64 {
    let mut variables = ProblemVariables::new();
    let mut objective = Expression::default();
    let mut rows = Vec::new();
    let mut site: Vec<Expression> = vec![Expression::default(); problem.horizon];
    let mut cabinets = vec![vec![Expression::default(); problem.horizon]; problem.groups.len()];
    for need in &problem.needs {
        let shortfall = variables.add(variable().min(0.0));
        objective.add_mul(problem.shortfall_penalty.0 as f64, shortfall);
        let mut energy = Expression::from(shortfall);
        for k in need.from..need.until {
            let power = variables.add(variable().min(0.0).max(kilo(need.max_w.0)));
            energy.add_mul(0.25, power);
            site[k].add_mul(1.0, power);
            cabinets[need.group][k].add_mul(1.0, power);
        }
        rows.push(energy.eq(kilo(need.energy_wh.0)));
    }
    let battery = &problem.storages[0];
    let mut content: Option<Variable> = None;
    for (k, mut load) in site.into_iter().enumerate() {
        let mut column = |max: i64| variables.add(variable().min(0.0).max(kilo(max)));
        let (import, export) = (column(problem.groups[0].import_w.0), column(problem.groups[0].export_w.0));
        let (charge, discharge) = (column(battery.max_w.0), column(battery.max_w.0));
        let (sun, after) = (column(problem.pv[0].power_w[k].0), column(battery.capacity_wh.0));
        objective.add_mul(0.25 * problem.import_price[k].0 as f64, import);
        objective.add_mul(-0.25 * problem.feed_in_price[k].0 as f64, export);
        for (sign, part) in [(-1.0, import), (1.0, export), (1.0, charge), (-1.0, discharge), (-1.0, sun)] {
            load.add_mul(sign, part);
        }
        rows.push(load.eq(-kilo(problem.base_loads[0].power_w[k].0)));
        let mut change = Expression::from(after);
        change.add_mul(-0.25 * battery.charge_percent as f64 / 100.0, charge);
        change.add_mul(0.25 * battery.discharge_percent as f64 / 100.0, discharge);
        match content {
            Some(before) => rows.push((change - before).eq(0.0)),
            None => rows.push(change.eq(kilo(battery.content_wh.0))),
        }
        content = Some(after);
    }
    content.into_iter().for_each(|end| objective.add_mul(-battery.end_value.0 as f64, end));
    for (group, loads) in problem.groups.iter().zip(cabinets).skip(1) {
        rows.extend(loads.into_iter().map(|load| load.leq(kilo(group.import_w.0))));
    }
    let mut model = variables.minimise(&objective).using(good_lp::highs).set_threads(1);
    rows.into_iter().for_each(|row| {
        model.add_constraint(row);
    });
    model.solve().map_or(f64::NAN, |solution| solution.eval(&objective))
}
