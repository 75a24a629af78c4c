//! Rows for what a network really limits: phases and line currents.
//!
//! A group per phase connection stands for a class (see [`crate::problem`]); its load enters a row with a coefficient in
//! millionths.

use crate::problem::{GroupLimit, Row, Term};
use crate::units::Watts;

/// One, in coefficients.
pub const MICRO: i64 = 1_000_000;

/// Corners of a polygon that gives away little: 0.2 % of the limit at most, and nothing where loads on phases 30° apart
/// are balanced, because it is a multiple of 12.
pub const SIDES: usize = 48;
/// More than any site draws.
const UNLIMITED: Watts = Watts(1_000_000_000);

/// How an EVSE is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// Voltage that turns its current into power, mV.
    pub voltage_mv: i64,
    /// Angle of its current, thousandths of a degree.
    pub angle_mdeg: i64,
}

/// A line or winding: `|Σ coefficient · current · e^(i · angle)| ≤ limit` over all EVSEs, as ACN-Sim writes its
/// constraints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// For messages.
    pub name: String,
    /// By EVSE, millionths.
    pub coefficient_micro: Vec<i64>,
    /// Most current, mA.
    pub limit_ma: i64,
}

/// A site of lines as a problem has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Classes {
    /// Group 0 is the grid connection; below it one group per class. None of them has a limit of its own.
    pub groups: Vec<GroupLimit>,
    /// The lines.
    pub rows: Vec<Row>,
    /// By EVSE: its group.
    pub group_of: Vec<usize>,
}

/// Classes and rows of a site: EVSEs with the same connection and the same coefficients form a class, and every line
/// becomes a [`polygon`] of `sides` corners. Rows count W at the lowest of the voltages, at which the limits are the
/// tightest; a line with coefficients above 1 is divided by the largest of them.
///
/// # Errors
/// A line without one coefficient per EVSE, or a voltage that is not above 0.
pub fn classes(connections: &[Connection], lines: &[Line], sides: usize) -> Result<Classes, String> {
    let lowest_mv = connections.iter().map(|c| c.voltage_mv).min().unwrap_or(1);
    if lowest_mv <= 0 {
        return Err(format!("a voltage is {lowest_mv} mV, expected above 0"));
    }
    let mut columns: Vec<Vec<i64>> = connections.iter().map(|c| vec![c.angle_mdeg]).collect();
    let mut limits_w = Vec::with_capacity(lines.len());
    for line in lines {
        let (found, expected) = (line.coefficient_micro.len(), connections.len());
        if found != expected {
            return Err(format!("line {}: {found} coefficients, expected {expected}", line.name));
        }
        let each = line.coefficient_micro.iter().zip(connections);
        let factors: Vec<i128> =
            each.map(|(c, at)| i128::from(*c) * i128::from(lowest_mv) / i128::from(at.voltage_mv)).collect();
        let one = i128::from(MICRO);
        let scale = factors.iter().map(|factor| factor.abs()).max().unwrap_or(0).max(one);
        columns.iter_mut().zip(&factors).for_each(|(column, factor)| column.push(narrow(factor * one / scale)));
        // mA · mV are µW.
        limits_w.push(Watts(narrow(i128::from(line.limit_ma) * i128::from(lowest_mv) / scale)));
    }
    let mut distinct: Vec<&Vec<i64>> = columns.iter().collect();
    distinct.sort();
    distinct.dedup();
    let group = |parent| GroupLimit { parent, import_w: UNLIMITED, ..GroupLimit::default() };
    let mut rows = Vec::new();
    for (r, (line, limit_w)) in lines.iter().zip(limits_w).enumerate() {
        let phasor = |(class, column): (usize, &&Vec<i64>)| Phasor {
            group: class + 1,
            angle_mdeg: column[0],
            factor_micro: column[r + 1],
        };
        let phasors: Vec<Phasor> = distinct.iter().enumerate().map(phasor).collect();
        rows.extend(polygon(&line.name, &phasors, limit_w, sides));
    }
    Ok(Classes {
        groups: std::iter::once(None).chain(distinct.iter().map(|_| Some(0))).map(group).collect(),
        rows,
        group_of: columns.iter().map(|column| distinct.binary_search(&column).map_or(0, |class| class + 1)).collect(),
    })
}

/// As 64 bits, saturating.
fn narrow(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value > 0 { i64::MAX } else { i64::MIN })
}

/// The current that a class draws, as it enters the sum of a line: load × `factor_micro` / 10⁶ at `angle_mdeg`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phasor {
    /// Group: the class.
    pub group: usize,
    /// Angle, thousandths of a degree.
    pub angle_mdeg: i64,
    /// Factor, millionths, at most 1 in magnitude; negative where the current flows the other way.
    pub factor_micro: i64,
}

/// Rows that hold only where `|Σ phasors| ≤ limit_w`, whatever the loads: the sides of a regular polygon of `sides`
/// corners inside the circle, a corner at angle 0. It gives away at most 1 − cos(π / sides) of the limit (0.2 % for 48),
/// and nothing in the direction of a corner. Phasors that all point one way give a single row, which is exact.
pub fn polygon(name: &str, phasors: &[Phasor], limit_w: Watts, sides: usize) -> Vec<Row> {
    let bound = |share_micro: i64| i128::from(limit_w.0.max(0)) * i128::from(share_micro);
    let row = |name: String, terms: Vec<Term>, bound: i128| Row {
        name,
        terms: terms.into_iter().filter(|term| term.coefficient != 0).collect(),
        at_most: vec![narrow(bound)],
    };
    let direction = |p: &Phasor| (p.angle_mdeg + if p.factor_micro < 0 { 180_000 } else { 0 }).rem_euclid(360_000);
    let live: Vec<&Phasor> = phasors.iter().filter(|p| p.factor_micro != 0).collect();
    let Some(first) = live.first() else { return Vec::new() };
    if live.iter().all(|p| direction(p) == direction(first)) {
        let terms = live.iter().map(|p| Term { group: p.group, coefficient: p.factor_micro.abs() }).collect();
        return vec![row(name.to_owned(), terms, bound(MICRO))];
    }
    let sides = sides.max(3) as i64;
    let side = |d: i64| {
        let normal = (2 * d + 1) * 180_000 / sides;
        let term = |p: &&Phasor| {
            let coefficient = i128::from(p.factor_micro) * i128::from(cos_micro(p.angle_mdeg - normal));
            Term { group: p.group, coefficient: rounded(coefficient, MICRO) }
        };
        row(format!("{name}/{d}"), live.iter().map(term).collect(), bound(cos_micro(180_000 / sides)))
    };
    (0..sides).map(side).collect()
}

/// Rows of a wye feeder whose phases carry at most `limit_w` each: `singles` are the classes on one phase each, `triples`
/// those that load all three alike.
pub fn wye_phases(name: &str, singles: [&[usize]; 3], triples: &[usize], limit_w: Watts) -> Vec<Row> {
    let phase = |(phase, singles): (usize, &[usize])| Row {
        name: format!("{name}/L{}", phase + 1),
        terms: singles
            .iter()
            .map(|&group| Term { group, coefficient: 3 })
            .chain(triples.iter().map(|&group| Term { group, coefficient: 1 }))
            .collect(),
        at_most: vec![3 * limit_w.0],
    };
    singles.into_iter().enumerate().map(phase).collect()
}

/// The nearest whole number to `value` / `unit`.
fn rounded(value: i128, unit: i64) -> i64 {
    let unit = i128::from(unit);
    i64::try_from((2 * value + unit).div_euclid(2 * unit)).unwrap_or(0)
}

/// 10⁶ · cos of an angle in thousandths of a degree, to the nearest: its power series in integers.
pub fn cos_micro(angle_mdeg: i64) -> i64 {
    let turn = angle_mdeg.rem_euclid(360_000);
    let half = turn.min(360_000 - turn);
    let (acute, sign) = if half > 90_000 { (180_000 - half, -1) } else { (half, 1) };
    // π · 10¹⁵; x in 10⁻¹² radians.
    let x = i128::from(acute) * 3_141_592_653_589_793 / 180_000_000;
    let one = 1_000_000_000_000_i128;
    let square = x * x / one;
    let (mut term, mut sum) = (one, one);
    for n in 1..12 {
        term = -term * square / (one * (2 * n - 1) * (2 * n));
        sum += term;
    }
    sign * rounded(sum, 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_are_to_the_millionth() {
        let known = [(0, 1_000_000), (30_000, 866_025), (45_000, 707_107), (60_000, 500_000), (90_000, 0)];
        for (angle, cosine) in known {
            assert_eq!(cos_micro(angle), cosine);
            assert_eq!(cos_micro(-angle), cosine);
            assert_eq!(cos_micro(180_000 - angle), -cosine);
            assert_eq!(cos_micro(360_000 + angle), cosine);
        }
    }

    /// Loads that the rows allow never exceed the circle, and loads a quarter per cent inside it are allowed.
    #[test]
    fn a_polygon_lies_inside_its_circle_and_close_to_it() {
        let phasors = [30_000, -90_000, 150_000]
            .iter()
            .enumerate()
            .map(|(group, angle)| Phasor { group, angle_mdeg: *angle, factor_micro: 577_350 })
            .collect::<Vec<_>>();
        let limit = 10_000_i64;
        let rows = polygon("line", &phasors, Watts(limit), 48);
        assert_eq!(rows.len(), 48);
        let steps = (0..40).map(|n| n * 1_000);
        for loads in steps.clone().flat_map(|a| steps.clone().map(move |b| [a, b, 7_000])) {
            let part = |cosine: fn(i64) -> i64| -> i128 {
                phasors.iter().map(|p| i128::from(loads[p.group] * p.factor_micro / 1000 * cosine(p.angle_mdeg))).sum()
            };
            let (re, im) = (part(cos_micro), part(|angle| cos_micro(angle - 90_000)));
            // In 10⁻⁹ of a watt, squared.
            let square = re * re + im * im;
            let circle = |per_mille: i128| (i128::from(limit) * 1_000_000 * per_mille).pow(2);
            let value = |row: &Row| row.terms.iter().map(|t| t.coefficient * loads[t.group]).sum::<i64>();
            let allowed = rows.iter().all(|row| value(row) <= row.at_most[0]);
            assert!(!allowed || square <= circle(1000) * 1_000_010 / 1_000_000, "{loads:?}");
            assert!(allowed || square >= circle(1000) * 995 / 1000, "{loads:?}");
        }
    }
}
