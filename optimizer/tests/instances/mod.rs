//! Problems to plan: one builder for tests and benchmarks, seeded, so that every number can be had again.

use optimizer::problem::{Forecast, GroupLimit, Need, Problem, Storage};
use optimizer::units::{HORIZON, Interval, MicroPerKwh, WattHours, Watts};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A day of a car park with `cars` EVSEs: as in [`car_park_with`], with the stays of real sessions: about 30
/// intervals.
#[allow(dead_code, reason = "some have stays of their own")]
pub(crate) fn car_park(cars: usize, seed: u64) -> Problem {
    car_park_with(cars, seed, 30)
}

/// `cars` EVSEs of 11 kW in cabinets of ten behind 60 kW, the site behind 4 kW per car; a fifth of that as base load,
/// PV of 1 kW per car, one battery, prices of a winter day. Cars stay for `stay` intervals on average.
#[allow(dead_code, reason = "not every user of the instances has other stays")]
pub(crate) fn car_park_with(cars: usize, seed: u64, stay: usize) -> Problem {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let cabinets = cars.div_ceil(10);
    let site_w = 4_000 * cars as i64;
    let mut groups = vec![GroupLimit {
        parent: None,
        import_w: Watts(site_w),
        export_w: Watts(site_w / 2),
        ..GroupLimit::default()
    }];
    groups.extend((0..cabinets).map(|_| GroupLimit {
        parent: Some(0),
        import_w: Watts(60_000),
        ..GroupLimit::default()
    }));
    let needs = (0..cars).map(|lane| need(&mut rng, lane, stay)).collect();
    let sun = |k: usize| (k as i64 - 24).clamp(0, 48) * (72 - k as i64).clamp(0, 48);
    let pv_w = (0..HORIZON).map(|k| Watts(sun(k) * 1_000 * cars as i64 / 576).floor_to_step()).collect();
    let base_w = (0..HORIZON).map(|_| Watts(site_w / 5 + rng.random_range(-500..=500)).ceil_to_step()).collect();
    let import_price: Vec<MicroPerKwh> = (0..HORIZON).map(|k| MicroPerKwh(import_micro(&mut rng, k))).collect();
    Problem {
        site: format!("car-park-{cars}"),
        first: Interval(1_900_000),
        horizon: HORIZON,
        lanes: cars + 3,
        groups,
        needs,
        storages: vec![Storage {
            lane: cars,
            group: 0,
            max_w: Watts(500 * cars as i64).floor_to_step(),
            capacity_wh: WattHours(1_000 * cars as i64),
            content_wh: WattHours(300 * cars as i64),
            charge_percent: 95,
            discharge_percent: 105,
            end_value: MicroPerKwh(200_000),
            ..Storage::default()
        }],
        pv: vec![Forecast { lane: cars + 1, group: 0, power_w: pv_w }],
        base_loads: vec![Forecast { lane: cars + 2, group: 0, power_w: base_w }],
        import_price,
        feed_in_price: vec![MicroPerKwh(80_000); HORIZON],
        shortfall_penalty: MicroPerKwh(2_000_000),
        ..Problem::default()
    }
}

/// Stays of half to one and a half times `stay`, needs of a fifth to four fifths of what the EVSE could give meanwhile.
fn need(rng: &mut ChaCha8Rng, lane: usize, stay: usize) -> Need {
    let length = rng.random_range(stay / 2..=stay * 3 / 2).min(HORIZON);
    let from = rng.random_range(0..=HORIZON - length);
    let max_w = [3_680, 7_360, 11_040][rng.random_range(0..3)];
    let most_wh = max_w * length as i64 / 4;
    Need {
        session: format!("session-{lane}"),
        lane,
        group: 1 + lane / 10,
        from,
        until: from + length,
        max_w: Watts(max_w),
        min_w: Watts(if max_w == 11_040 { 4_140 } else { 1_380 }),
        energy_wh: WattHours(rng.random_range(most_wh / 5..=most_wh * 4 / 5).min(60_000)),
        ..Need::default()
    }
}

/// Dear in the morning and the evening, cheap at noon and at night; hourly with some noise.
fn import_micro(rng: &mut ChaCha8Rng, k: usize) -> i64 {
    let hour = [22, 21, 20, 20, 21, 24, 29, 34, 35, 31, 27, 24, 22, 21, 22, 25, 30, 36, 38, 36, 32, 28, 25, 23];
    10_000 * hour[k / 4 % 24] + rng.random_range(0..1_000)
}

/// The same car park one interval later, where `schedule` was followed: what it gave is no longer needed, and the day
/// moves on, with the last interval repeated.
#[allow(dead_code, reason = "not every user of the instances plans again")]
pub(crate) fn next_interval(problem: &Problem, schedule: &optimizer::schedule::Schedule) -> Problem {
    let mut next = Problem { first: problem.first.plus(1), ..problem.clone() };
    for need in &mut next.needs {
        let given = WattHours(schedule.power_w[need.lane][0].0 / 4);
        need.energy_wh = (need.energy_wh - given).max(WattHours::ZERO);
        (need.from, need.until) = (need.from.saturating_sub(1), need.until.saturating_sub(1));
        need.running_w = schedule.power_w[need.lane][1..].to_vec();
    }
    for storage in &mut next.storages {
        let power = schedule.power_w[storage.lane][0].0;
        let percent = if power > 0 { storage.charge_percent } else { storage.discharge_percent };
        storage.content_wh = WattHours((storage.content_wh.0 + power * percent / 400).clamp(0, storage.capacity_wh.0));
    }
    for series in [&mut next.import_price, &mut next.feed_in_price] {
        series.remove(0);
        series.extend(series.last().copied());
    }
    for forecast in next.pv.iter_mut().chain(&mut next.base_loads) {
        forecast.power_w.remove(0);
        forecast.power_w.extend(forecast.power_w.last().copied());
    }
    next
}

/// With EVSEs that know 6 to 32 A (or to 16 A on three phases) in steps of an ampere.
#[allow(dead_code, reason = "not every user of the instances has pilots")]
pub(crate) fn with_pilots(mut problem: Problem) -> Problem {
    for need in &mut problem.needs {
        let ampere_w = if need.min_w.0 > 2_000 { 690 } else { 230 };
        need.pilots_w = (6..=32).map(|a| Watts(a * ampere_w)).filter(|w| *w <= need.max_w).collect();
    }
    problem
}
