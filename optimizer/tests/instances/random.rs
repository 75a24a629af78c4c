//! Problems as bad as a site can make them: nested groups, overloads, negative prices, feed-in above import.

use optimizer::problem::{Forecast, GroupLimit, Need, Problem, Storage};
use optimizer::units::{Interval, MicroPerKwh, WattHours, Watts};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a random problem is made from; small recipes make small problems, so failures shrink.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipe {
    pub(crate) seed: u64,
    pub(crate) cars: usize,
    pub(crate) groups: usize,
    pub(crate) horizon: usize,
    pub(crate) batteries: usize,
    /// Feed-in above import here and there.
    pub(crate) inverted_prices: bool,
    /// Import below zero here and there.
    pub(crate) negative_prices: bool,
    /// Least power, and setpoints that somebody else has posted.
    pub(crate) minimums: bool,
    pub(crate) posted: bool,
    /// Base loads above limits.
    pub(crate) overloads: bool,
}

/// All recipes.
pub(crate) fn recipes() -> impl Strategy<Value = Recipe> {
    let sizes = (any::<u64>(), 0_usize..7, 1_usize..6, 1_usize..25, 0_usize..3);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (sizes, flags).prop_map(|((seed, cars, groups, horizon, batteries), (a, b, c, d, e))| Recipe {
        seed,
        cars,
        groups,
        horizon,
        batteries,
        inverted_prices: a,
        negative_prices: b,
        minimums: c,
        posted: d,
        overloads: e,
    })
}

impl Recipe {
    /// The problem.
    pub(crate) fn problem(self) -> Problem {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let groups = (0..self.groups).map(|g| self.group(&mut rng, g)).collect();
        let needs = (0..self.cars).map(|lane| self.need(&mut rng, lane)).collect();
        let storages = (0..self.batteries).map(|j| self.storage(&mut rng, self.cars + j)).collect();
        let first_pv = self.cars + self.batteries;
        let pv = (0..2).map(|j| self.forecast(&mut rng, first_pv + j, 1_200)).collect();
        // One base load in every group.
        let most = if self.overloads { 1_500 } else { 100 };
        let base_loads =
            (0..self.groups).map(|g| Forecast { group: g, ..self.forecast(&mut rng, first_pv + 2 + g, most) });
        let base_loads = base_loads.collect();
        let import_price: Vec<_> = (0..self.horizon).map(|_| self.import_price(&mut rng)).collect();
        let feed_in_price = import_price.iter().map(|import| self.feed_in_price(&mut rng, *import)).collect();
        Problem {
            site: "random".to_owned(),
            first: Interval(1000),
            horizon: self.horizon,
            lanes: first_pv + 2 + self.groups,
            groups,
            needs,
            storages,
            pv,
            base_loads,
            import_price,
            feed_in_price,
            shortfall_penalty: MicroPerKwh(2_000_000),
            ..Problem::default()
        }
    }

    fn group(self, rng: &mut ChaCha8Rng, g: usize) -> GroupLimit {
        let parent = if g == 0 { None } else { Some(rng.random_range(0..g)) };
        let import = rng.random_range(if self.overloads { 0 } else { 600 }..2_500);
        GroupLimit {
            parent,
            import_w: Watts(import * 10),
            export_w: Watts(rng.random_range(0..1_000) * 10),
            dimmed: Vec::new(),
        }
    }

    fn need(self, rng: &mut ChaCha8Rng, lane: usize) -> Need {
        let from = rng.random_range(0..self.horizon);
        let until = rng.random_range(from..=self.horizon);
        let mut fixed = Vec::new();
        if self.posted && rng.random_range(0..2) == 0 {
            fixed = vec![(0, Watts(rng.random_range(0..1_500) * 10)), (1, Watts(rng.random_range(0..500) * 10))];
        }
        Need {
            session: format!("session-{lane}"),
            lane,
            group: rng.random_range(0..self.groups),
            from: if rng.random_range(0..2) == 0 { 0 } else { from },
            until,
            max_w: Watts(rng.random_range(0..1_500) * 10),
            min_w: Watts(if self.minimums { [1_380, 4_140][rng.random_range(0..2)] } else { 0 }),
            energy_wh: WattHours(rng.random_range(0..20_000)),
            fixed,
            ..Need::default()
        }
    }

    fn storage(self, rng: &mut ChaCha8Rng, lane: usize) -> Storage {
        let capacity = rng.random_range(0..15_000);
        let mut fixed = Vec::new();
        if self.posted && rng.random_range(0..2) == 0 {
            fixed = vec![(0, Watts(rng.random_range(-500..500) * 10))];
        }
        Storage {
            lane,
            group: rng.random_range(0..self.groups),
            max_w: Watts(rng.random_range(0..800) * 10),
            capacity_wh: WattHours(capacity),
            content_wh: WattHours(rng.random_range(0..=capacity)),
            charge_percent: rng.random_range(90..=100),
            discharge_percent: rng.random_range(100..=110),
            end_value: MicroPerKwh(rng.random_range(0..300_000)),
            fixed,
            ..Storage::default()
        }
    }

    fn forecast(self, rng: &mut ChaCha8Rng, lane: usize, most: i64) -> Forecast {
        let group = rng.random_range(0..self.groups);
        let power_w = (0..self.horizon).map(|_| Watts(rng.random_range(0..most) * 10)).collect();
        Forecast { lane, group, power_w }
    }

    fn import_price(self, rng: &mut ChaCha8Rng) -> MicroPerKwh {
        let least = if self.negative_prices { -150_000 } else { 0 };
        MicroPerKwh(rng.random_range(least..400_000))
    }

    fn feed_in_price(self, rng: &mut ChaCha8Rng, import: MicroPerKwh) -> MicroPerKwh {
        let most = import.0 + if self.inverted_prices { 150_000 } else { 0 };
        MicroPerKwh(rng.random_range(most - 150_000..=most))
    }
}
