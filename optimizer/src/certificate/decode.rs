//! The problem behind a certificate's inputs, for whoever wants to solve it once more by other means.

use super::encode;
use super::layout::{BIAS, series_len};
use super::verify::Reader;
use crate::problem::{Dimming, Forecast, GroupLimit, Need, Peak, Problem, Row, Storage, Term};
use crate::units::{Interval, MicroPerKw, MicroPerKwh, POWER_STEP_W, WattHours, Watts};

/// The problem of which these are the [`inputs`](super::Certificate::inputs), from `first` on. What is no part of the
/// certified problem (pilots, posted setpoints, names) it has not.
///
/// # Errors
/// In words, where the bytes are not those of a problem that this build writes.
pub fn problem_of(inputs: &[u8], first: Interval) -> Result<Problem, String> {
    let mut reader = Reader { bytes: inputs, at: 1 };
    let (horizon, lanes, groups) = (reader.index(1), reader.index(2), reader.index(1));
    let [base_loads, pv, storages] = [reader.index(1), reader.index(1), reader.index(1)];
    let [needs, rows] = [reader.index(2), reader.index(2)];
    let [penalty, risk_price] = [reader.uint(4), reader.uint(4)].map(MicroPerKwh);
    let peak = Peak { so_far_w: Watts(reader.uint(4)), price: MicroPerKw(reader.uint(4)) };
    let one_price = reader.uint(1) & 1 == 1;
    let import_price = prices(&mut reader, horizon);
    let feed_in_price =
        if one_price { vec![MicroPerKwh(reader.uint(4) - BIAS); horizon] } else { prices(&mut reader, horizon) };
    let problem = Problem {
        first,
        horizon,
        lanes,
        groups: (0..groups).map(|g| group(&mut reader, g, horizon)).collect(),
        rows: (0..rows).map(|r| row(&mut reader, r, horizon)).collect(),
        base_loads: (0..base_loads).map(|_| forecast(&mut reader, horizon)).collect(),
        needs: (0..needs).map(|_| need(&mut reader)).collect(),
        pv: (0..pv).map(|_| forecast(&mut reader, horizon)).collect(),
        storages: (0..storages).map(|_| storage(&mut reader)).collect(),
        import_price,
        feed_in_price,
        peak: Some(peak).filter(|peak| peak.so_far_w > Watts::ZERO || peak.price.0 > 0),
        shortfall_penalty: penalty,
        risk_price,
        ..Problem::default()
    };
    problem.validate()?;
    // Whatever was misread would be written otherwise.
    match encode::inputs(&problem) {
        Ok(bytes) if bytes == inputs => Ok(problem),
        Ok(_) => Err("the inputs are not what this build writes of their problem".to_owned()),
        Err(why) => Err(why.to_string()),
    }
}

fn prices(reader: &mut Reader<'_>, horizon: usize) -> Vec<MicroPerKwh> {
    let series = reader.skip(series_len(horizon));
    (0..horizon).map(|t| MicroPerKwh(series.series(horizon, t) - BIAS)).collect()
}

fn group(reader: &mut Reader<'_>, g: usize, horizon: usize) -> GroupLimit {
    let parent = reader.index(1);
    let by_interval = reader.uint(1) & 1 == 1;
    let [import_w, export_w] = [reader.uint(4), reader.uint(4)].map(Watts);
    let limits = reader.skip(if by_interval { series_len(horizon) } else { 0 });
    let dimmed = |t: usize| Dimming {
        from: t,
        until: t + 1,
        import_w: Watts(POWER_STEP_W * limits.series(horizon, t)),
        guaranteed_w: Watts::ZERO,
    };
    let hours = if by_interval { horizon } else { 0 };
    GroupLimit { parent: (g > 0).then_some(parent), import_w, export_w, dimmed: (0..hours).map(dimmed).collect() }
}

fn row(reader: &mut Reader<'_>, r: usize, horizon: usize) -> Row {
    let (terms, by_interval) = (reader.index(1), reader.uint(1) & 1 == 1);
    let terms = (0..terms).map(|_| Term { group: reader.index(1), coefficient: reader.int(4) }).collect();
    let bounds = if by_interval { horizon } else { 1 };
    let at_most = (0..bounds).map(|_| reader.uint(8).saturating_mul(POWER_STEP_W)).collect();
    Row { name: r.to_string(), terms, at_most }
}

fn forecast(reader: &mut Reader<'_>, horizon: usize) -> Forecast {
    let (lane, group) = (reader.index(2), reader.index(1));
    let series = reader.skip(2 * horizon);
    Forecast { lane, group, power_w: (0..horizon).map(|t| Watts(POWER_STEP_W * series.cell(t))).collect() }
}

fn need(reader: &mut Reader<'_>) -> Need {
    let (lane, group) = (reader.index(2), reader.index(1));
    let [from, likely, until] = [reader.index(1), reader.index(1), reader.index(1)];
    let [max_w, least_w] = [reader.uint(2), reader.uint(2)].map(|steps| Watts(POWER_STEP_W * steps));
    Need {
        session: format!("lane {lane}"),
        lane,
        group,
        from,
        until,
        likely_until: (likely < until).then_some(likely),
        max_w,
        // None is what an EVSE can hold whose least power is above its most.
        min_w: if least_w == Watts::ZERO { max_w + Watts(POWER_STEP_W) } else { least_w },
        energy_wh: WattHours(reader.uint(4)),
        priority_percent: reader.uint(2),
        ..Need::default()
    }
}

fn storage(reader: &mut Reader<'_>) -> Storage {
    let (lane, group) = (reader.index(2), reader.index(1));
    let max_w = Watts(POWER_STEP_W * reader.uint(2));
    let [charge_percent, discharge_percent] = [reader.uint(2), reader.uint(2)];
    let [capacity_wh, content_wh, floor_wh] = [reader.uint(4), reader.uint(4), reader.uint(4)].map(WattHours);
    let end_value = MicroPerKwh(reader.int(4));
    Storage {
        lane,
        group,
        max_w,
        capacity_wh,
        content_wh,
        charge_percent,
        discharge_percent,
        end_value,
        cycle_cost: MicroPerKwh(reader.uint(4)),
        floor_wh,
        ..Storage::default()
    }
}
