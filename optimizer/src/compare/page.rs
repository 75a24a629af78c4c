//! Runs as one page that needs nothing else: tables, costs as bars, load against the limit.

use super::table::{Line, by_case, cells, decimal, lines, money, title};
use super::{Algorithm, Run};
use crate::units::Watts;
use std::fmt::Write;

const TEMPLATE: &str = include_str!("page.html");
/// Size of a chart's drawing, and most points of its line.
const WIDTH: i64 = 480;
const HEIGHT: i64 = 120;
/// Height of a bar with the gap to the next.
const BAR: i64 = 20;
/// Where bars begin, and how long the longest may be.
const BAR_LEFT: i64 = 130;
const BAR_LONGEST: i64 = 270;

/// The page, HTML. All text of the runs is escaped.
pub fn page(heading: &str, runs: &[Run]) -> String {
    let lines = lines(runs);
    let cases: String = by_case(&lines).map(case).collect();
    TEMPLATE.replace("{{title}}", &escaped(heading)).replace("{{cases}}", &cases)
}

fn case(lines: &[Line<'_>]) -> String {
    let (headers, rows) = cells(lines);
    let header: String = headers.iter().map(|name| format!("<th scope=\"col\">{}</th>", escaped(name))).collect();
    let row = |(line, row): (&Line<'_>, &Vec<String>)| {
        let cells: String = row.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
        format!("<tr{}>{cells}</tr>\n", ours(line.run, " class=\"ours\""))
    };
    let rows: String = lines.iter().zip(&rows).map(row).collect();
    let top = lines.iter().flat_map(|line| line.run.power.net_w.iter().chain(&line.run.limit_w)).max();
    let top = top.copied().unwrap_or_default().max(Watts(1_000));
    let charts: String = lines.iter().map(|line| chart(line.run, top)).collect();
    format!(
        "<section>\n<h2>{}</h2>\n<div class=\"wide\"><table>\n<thead><tr>{header}</tr></thead>\n<tbody>\n{rows}</tbody>\n\
         </table></div>\n<div class=\"charts\">\n{}{charts}</div>\n</section>\n",
        escaped(&title(&lines[0])),
        bars(lines),
    )
}

fn ours(run: &Run, class: &'static str) -> &'static str {
    if run.algorithm == Algorithm::Ours { class } else { "" }
}

/// Cost of each algorithm as a bar; what is below zero has none.
fn bars(lines: &[Line<'_>]) -> String {
    let most = lines.iter().map(|line| line.totals.cost().0).max().unwrap_or(0).max(1);
    let mut text = String::new();
    for (n, line) in lines.iter().enumerate() {
        let (cost, y) = (line.totals.cost(), BAR * n as i64);
        let length = i64::try_from(i128::from(cost.0.max(0)) * i128::from(BAR_LONGEST) / i128::from(most)).unwrap_or(0);
        let class = if line.run.algorithm == Algorithm::Ours { "bar ours" } else { "bar" };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "<text x=\"0\" y=\"{}\">{}</text><rect class=\"{class}\" x=\"{BAR_LEFT}\" y=\"{}\" width=\"{length}\" height=\"14\"/>\
             <text x=\"{}\" y=\"{}\">{}</text>",
            y + 14,
            escaped(line.run.algorithm.name()),
            y + 3,
            BAR_LEFT + length + 6,
            y + 14,
            money(cost)
        );
    }
    let height = BAR * lines.len() as i64;
    format!(
        "<figure><h3>Cost</h3><svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Cost by algorithm\">\n\
         {text}</svg></figure>\n"
    )
}

/// Power of the grid connection over time, on a scale that goes to `top`.
fn chart(run: &Run, top: Watts) -> String {
    let count = run.intervals().max(1);
    let bottom = run.power.net_w.iter().copied().min().unwrap_or_default().min(Watts::ZERO);
    let span = (top - bottom).0.max(1);
    let y = |power: Watts| HEIGHT - (power - bottom).0 * HEIGHT / span;
    let x = |k: usize| i64::try_from(k * WIDTH as usize / count).unwrap_or(WIDTH);
    let bucket = count.div_ceil(WIDTH as usize);
    let mut path = format!("M0 {}", y(Watts::ZERO));
    for (b, powers) in run.power.net_w.chunks(bucket).enumerate() {
        let highest = powers.iter().copied().max().unwrap_or_default();
        // A power holds for its interval: a step, not a slope.
        let _ = write!(path, "V{}H{}", y(highest), x(((b + 1) * bucket).min(count)));
    }
    let _ = write!(path, "V{}", y(Watts::ZERO));
    let limit = run.limit_w.map_or(String::new(), |limit| {
        format!("<line class=\"limit\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{0}\" y2=\"{0}\"/>", y(limit))
    });
    let name = escaped(run.algorithm.name());
    format!(
        "<figure><h3>{name}</h3><svg viewBox=\"0 -2 {WIDTH} {}\" role=\"img\" aria-label=\"Load, {name}\">\n\
         <line class=\"axis\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{1}\" y2=\"{1}\"/><path class=\"load\" d=\"{path}\"/>{limit}\n\
         <text x=\"2\" y=\"10\">{2} kW</text></svg></figure>\n",
        HEIGHT + 4,
        y(Watts::ZERO),
        decimal(top.0, 3, 1),
    )
}

/// `text` as HTML text or attribute.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut safe, letter| {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(letter),
        }
        safe
    })
}
