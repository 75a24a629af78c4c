//! Problem and schedule as bytes.

use super::Uncertified;
use super::layout::{BIAS, GROUPS_MAX, INTERVALS_MAX, NEEDS_MAX, POWER_END, VERSION, place, series_len};
use crate::amounts::{priority, smallest, steps};
use crate::network::Network;
use crate::problem::{Forecast, Need, Problem, Share, Storage};
use crate::schedule::Schedule;
use crate::units::{POWER_STEP_W, Watts};

/// Big-endian numbers in order; each that does not fit is named.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An unsigned number of `size` bytes.
    fn uint(&mut self, what: &str, value: i64, size: usize) -> Result<(), Uncertified> {
        self.within(what, value, 0, (1_i64 << (8 * size)) - 1)?;
        self.push(value, size);
        Ok(())
    }

    /// Lowest `size` bytes of a number in two's complement.
    fn push(&mut self, value: i64, size: usize) {
        self.bytes.extend(&value.to_be_bytes()[8 - size..]);
    }

    fn int32(&mut self, what: &str, value: i64) -> Result<(), Uncertified> {
        self.within(what, value, i32::MIN.into(), i32::MAX.into())?;
        self.push(value, 4);
        Ok(())
    }

    fn power(&mut self, what: &str, power_steps: i64) -> Result<(), Uncertified> {
        self.within(what, power_steps, 0, POWER_END - 1)?;
        self.push(power_steps, 2);
        Ok(())
    }

    fn within(&self, what: &str, value: i64, least: i64, most: i64) -> Result<(), Uncertified> {
        if (least..=most).contains(&value) {
            return Ok(());
        }
        Err(Uncertified::OutOfRange { what: what.to_owned(), value, least, most })
    }
}

/// A series of 32-bit numbers in its blocks; `padding` where a block goes on after the horizon.
pub(super) fn series(values: &[i64], padding: i64) -> Vec<u8> {
    let mut bytes = vec![0; series_len(values.len())];
    for t in 0..bytes.len() / 4 {
        let value = values.get(t).copied().unwrap_or(padding);
        let at = place(values.len(), t);
        bytes[at..at + 4].copy_from_slice(&value.to_be_bytes()[4..]);
    }
    bytes
}

/// A series of prices.
pub(super) fn biased(prices: &[i64]) -> Vec<u8> {
    series(&prices.iter().map(|price| price + BIAS).collect::<Vec<_>>(), BIAS)
}

/// Whether `need` is part of the certified problem: one without an interval is a constant.
pub(super) fn is_live(need: &Need) -> bool {
    need.from < need.until
}

/// The problem that is certified.
pub(super) fn inputs(problem: &Problem) -> Result<Vec<u8>, Uncertified> {
    refuse_features(problem)?;
    let network = Network::new(problem);
    let mut out = Writer::default();
    out.push(VERSION.into(), 1);
    let intervals = problem.horizon as i64;
    out.within("the horizon", intervals, 1, INTERVALS_MAX as i64)?;
    out.push(intervals, 1);
    out.uint("the number of lanes", problem.lanes as i64, 2)?;
    out.within("the number of groups", problem.groups.len() as i64, 1, GROUPS_MAX as i64)?;
    out.push(problem.groups.len() as i64, 1);
    out.uint("the number of base loads", problem.base_loads.len() as i64, 1)?;
    out.uint("the number of PV inverters", problem.pv.len() as i64, 1)?;
    out.uint("the number of batteries", problem.storages.len() as i64, 1)?;
    let needs: Vec<&Need> = problem.needs.iter().filter(|need| is_live(need)).collect();
    out.within("the number of needs", needs.len() as i64, 0, NEEDS_MAX as i64)?;
    out.push(needs.len() as i64, 2);
    out.uint("the number of rows", problem.rows.len() as i64, 2)?;
    out.uint("shortfall_penalty", problem.shortfall_penalty.0, 4)?;
    out.uint("risk_price", problem.risk_price.0, 4)?;
    let peak = problem.peak.as_ref();
    out.uint("the peak's so_far_w", peak.map_or(0, |peak| peak.so_far_w.0), 4)?;
    out.uint("the peak's price", peak.map_or(0, |peak| peak.price.0), 4)?;
    prices(problem, &mut out)?;
    groups(problem, &network, &mut out)?;
    rows(problem, &mut out)?;
    for load in &problem.base_loads {
        forecast(load, "base load", Watts::ceil_to_step, &mut out)?;
    }
    needs.into_iter().try_for_each(|need| car(need, &mut out))?;
    for pv in &problem.pv {
        forecast(pv, "PV inverter", Watts::floor_to_step, &mut out)?;
    }
    problem.storages.iter().try_for_each(|storage| battery(storage, &mut out))?;
    Ok(out.bytes)
}

/// What the owner of a site can bind by its hash (`PlanRules.terms` of IProtocol.sol): the bytes of penalty, surcharge, price
/// of the peak, rows, and what does not change of batteries, in the inputs.
pub fn terms(problem: &Problem) -> Result<Vec<u8>, Uncertified> {
    let mut out = Writer::default();
    out.uint("shortfall_penalty", problem.shortfall_penalty.0, 4)?;
    out.uint("risk_price", problem.risk_price.0, 4)?;
    out.uint("the peak's price", problem.peak.as_ref().map_or(0, |peak| peak.price.0), 4)?;
    rows(problem, &mut out)?;
    for storage in &problem.storages {
        losses_and_capacity(storage, &mut out)?;
        floor(storage, &mut out)?;
        wear(storage, &mut out)?;
    }
    Ok(out.bytes)
}

/// What the planner knows and the certified problem does not.
fn refuse_features(problem: &Problem) -> Result<(), Uncertified> {
    let feature = |what: String| Err(Uncertified::Feature(what));
    if problem.elapsed_s != 0 {
        return feature(format!("a first interval of which {} s have passed", problem.elapsed_s));
    }
    if problem.share != Share::Cheapest {
        return feature("sharing in equal parts".to_owned());
    }
    if let Some(need) = problem.needs.iter().find(|need| need.taper.is_some()) {
        return feature(format!("the taper of session {}", need.session));
    }
    if let Some(car) = problem.storages.iter().find(|s| s.stay.is_some() || s.target.is_some()) {
        return feature(format!("a car that feeds back, in lane {},", car.lane));
    }
    Ok(())
}

fn prices(problem: &Problem, out: &mut Writer) -> Result<(), Uncertified> {
    let [import, feed_in] =
        [&problem.import_price, &problem.feed_in_price].map(|p| p.iter().map(|price| price.0).collect::<Vec<_>>());
    for (what, prices) in [("an import price", &import), ("a feed-in price", &feed_in)] {
        prices.iter().try_for_each(|price| out.within(what, *price, -BIAS, BIAS - 1))?;
    }
    let one_price = feed_in.iter().all(|price| *price == feed_in[0]);
    out.push(one_price.into(), 1);
    out.bytes.extend(biased(&import));
    if one_price {
        out.push(feed_in[0] + BIAS, 4)
    } else {
        out.bytes.extend(biased(&feed_in))
    }
    Ok(())
}

fn groups(problem: &Problem, network: &Network, out: &mut Writer) -> Result<(), Uncertified> {
    for (g, group) in problem.groups.iter().enumerate() {
        out.push(group.parent.unwrap_or(0) as i64, 1);
        out.push((!group.dimmed.is_empty()).into(), 1);
        out.uint(&format!("import_w of group {g}"), group.import_w.0, 4)?;
        out.uint(&format!("export_w of group {g}"), group.export_w.0, 4)?;
        if !group.dimmed.is_empty() {
            for limit in &network.import[g] {
                out.within(&format!("a limit of group {g}"), *limit, 0, super::layout::LIMIT_END - 1)?;
            }
            out.bytes.extend(series(&network.import[g], 0));
        }
    }
    Ok(())
}

fn rows(problem: &Problem, out: &mut Writer) -> Result<(), Uncertified> {
    for row in &problem.rows {
        if row.terms.iter().all(|term| term.coefficient == 0) {
            return Err(Uncertified::Feature(format!("row {}, which has no coefficient,", row.name)));
        }
        out.uint(&format!("the number of terms of row {}", row.name), row.terms.len() as i64, 1)?;
        out.push((row.at_most.len() > 1).into(), 1);
        for term in &row.terms {
            out.push(term.group as i64, 1);
            out.int32("a coefficient", term.coefficient)?;
        }
        row.at_most.iter().for_each(|bound| out.push(bound / POWER_STEP_W, 8));
    }
    Ok(())
}

fn forecast(forecast: &Forecast, what: &str, to_step: fn(Watts) -> Watts, out: &mut Writer) -> Result<(), Uncertified> {
    out.push(forecast.lane as i64, 2);
    out.push(forecast.group as i64, 1);
    let name = format!("a power of the {what} in lane {}, in steps,", forecast.lane);
    forecast.power_w.iter().try_for_each(|power| out.power(&name, steps(to_step(*power))))
}

fn battery(storage: &Storage, out: &mut Writer) -> Result<(), Uncertified> {
    out.push(storage.lane as i64, 2);
    out.push(storage.group as i64, 1);
    out.power(&of("max_w, in steps,", storage), steps(storage.max_w))?;
    losses_and_capacity(storage, out)?;
    out.uint(&of("content_wh", storage), storage.content_wh.0, 4)?;
    floor(storage, out)?;
    out.int32(&of("end_value", storage), storage.end_value.0)?;
    wear(storage, out)
}

fn losses_and_capacity(storage: &Storage, out: &mut Writer) -> Result<(), Uncertified> {
    out.uint(&of("charge_percent", storage), storage.charge_percent, 2)?;
    out.uint(&of("discharge_percent", storage), storage.discharge_percent, 2)?;
    out.uint(&of("capacity_wh", storage), storage.capacity_wh.0, 4)
}

fn floor(storage: &Storage, out: &mut Writer) -> Result<(), Uncertified> {
    out.uint(&of("floor_wh", storage), storage.floor_wh.0, 4)
}

fn wear(storage: &Storage, out: &mut Writer) -> Result<(), Uncertified> {
    out.uint(&of("cycle_cost", storage), storage.cycle_cost.0, 4)
}

fn of(what: &str, storage: &Storage) -> String {
    format!("{what} of the battery in lane {}", storage.lane)
}

fn car(need: &Need, out: &mut Writer) -> Result<(), Uncertified> {
    out.push(need.lane as i64, 2);
    out.push(need.group as i64, 1);
    let likely = need.likely_until.unwrap_or(need.until).clamp(need.from, need.until);
    [need.from, likely, need.until].into_iter().for_each(|k| out.push(k as i64, 1));
    out.power("a need's max_w, in steps,", steps(need.max_w))?;
    out.power("a need's least power, in steps,", smallest(need).unwrap_or(0))?;
    out.uint(&format!("energy_wh of session {}", need.session), need.energy_wh.0, 4)?;
    out.uint("a priority_percent", priority(need.priority_percent), 2)
}

/// Powers of needs in their windows, those used of PV inverters, and those of batteries.
pub(super) fn schedule(problem: &Problem, schedule: &Schedule) -> Result<Vec<u8>, Uncertified> {
    let mut bytes = Vec::new();
    let mut row = |lane: usize, from: usize, until: usize, sign: i64| {
        let cells = schedule.power_w.get(lane).and_then(|row| row.get(from..until));
        let cells = cells.ok_or(Uncertified::Shape { lane })?;
        for power in cells {
            let cell = Watts(sign * power.0).lane().ok_or(Uncertified::Shape { lane })?;
            bytes.extend(cell.to_be_bytes());
        }
        Ok::<(), Uncertified>(())
    };
    let mut needs = problem.needs.iter().filter(|need| is_live(need));
    needs.try_for_each(|need| row(need.lane, need.from, need.until, 1))?;
    problem.pv.iter().try_for_each(|pv| row(pv.lane, 0, problem.horizon, -1))?;
    problem.storages.iter().try_for_each(|storage| row(storage.lane, 0, problem.horizon, 1))?;
    Ok(bytes)
}
