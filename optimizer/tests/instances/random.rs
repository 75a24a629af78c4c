//! Problems as bad as a site can make them: nested groups, overloads, negative prices, feed-in above import, and
//! everything else that a problem can have ([`Extras`]).

use optimizer::problem::{
    Dimming, Forecast, GroupLimit, Need, Peak, Problem, Reserve, Row, Share, Storage, Taper, Target, Term,
};
use optimizer::units::{Interval, MicroPerKw, MicroPerKwh, WattHours, Watts};
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
    /// Cars that may leave early, and room for those to come.
    pub(crate) uncertain: bool,
    pub(crate) extras: Extras,
}

/// As lines have them: a step of one class is worth at most four of another.
const COEFFICIENTS: [i64; 7] = [-1_000_000, -500_000, 0, 250_000, 500_000, 866_025, 1_000_000];

/// What not every site has.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Extras {
    /// Rows over classes, with coefficients of both signs.
    pub(crate) rows: bool,
    /// A demand charge.
    pub(crate) peak: bool,
    /// Hours with a limit from outside.
    pub(crate) dimmed: bool,
    pub(crate) priorities: bool,
    /// Batteries that are cars: with a stay, a target, a floor and wear.
    pub(crate) feeding: bool,
    /// Cars that take less when nearly full.
    pub(crate) tapers: bool,
    /// EVSEs that know a few powers only.
    pub(crate) pilots: bool,
    /// Equal share.
    pub(crate) equal: bool,
    /// A first interval of which a part has passed.
    pub(crate) partial: bool,
    /// A plan that runs already.
    pub(crate) running: bool,
}

/// All recipes with all extras.
#[allow(dead_code, reason = "not every user of the recipes wants extras")]
pub(crate) fn recipes_with_extras() -> impl Strategy<Value = Recipe> {
    (recipes(), any::<[bool; 10]>()).prop_map(|(recipe, [a, b, c, d, e, f, g, h, i, j])| {
        let (rows, peak, dimmed, priorities, feeding) = (a, b, c, d, e);
        let extras =
            Extras { rows, peak, dimmed, priorities, feeding, tapers: f, pilots: g, equal: h, partial: i, running: j };
        Recipe { extras, ..recipe }
    })
}

/// All recipes.
#[allow(dead_code, reason = "some users count seeds instead")]
pub(crate) fn recipes() -> impl Strategy<Value = Recipe> {
    let sizes = (any::<u64>(), 0_usize..7, 1_usize..6, 1_usize..25, 0_usize..3);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (sizes, flags).prop_map(|((seed, cars, groups, horizon, batteries), (a, b, c, d, e, f))| Recipe {
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
        uncertain: f,
        extras: Extras::default(),
    })
}

#[allow(dead_code, reason = "not every user of the problems has more than the planner's first features")]
/// With a demand charge, a row over the classes, and the needs' weights drawn from `seed`.
pub(crate) fn with_everything(mut problem: Problem, seed: u64) -> Problem {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    if rng.random_range(0..2) == 0 {
        problem.peak = Some(Peak {
            so_far_w: Watts(rng.random_range(0..2_000) * 10),
            price: MicroPerKw(rng.random_range(0..2_000_000)),
        });
    }
    for index in 0..rng.random_range(0..3) {
        let terms = (0..problem.groups.len()).map(|group| Term { group, coefficient: rng.random_range(-1_000..1_001) });
        let terms: Vec<Term> = terms.filter(|term| term.coefficient != 0).collect();
        let count = if rng.random_range(0..2) == 0 { 1 } else { problem.horizon };
        let at_most = (0..count).map(|_| rng.random_range(0..20_000_000)).collect();
        if !terms.is_empty() {
            problem.rows.push(Row { name: format!("row {index}"), terms, at_most });
        }
    }
    for need in &mut problem.needs {
        need.priority_percent = rng.random_range(50..300);
    }
    if rng.random_range(0..2) == 0 {
        problem.risk_price = MicroPerKwh(rng.random_range(0..500_000));
        let horizon = problem.horizon;
        problem.needs.iter_mut().for_each(|need| need.likely_until = Some(rng.random_range(0..=horizon)));
    }
    problem
}

impl Recipe {
    /// One recipe per seed, everything in turn.
    #[allow(dead_code, reason = "some users draw theirs")]
    pub(crate) fn of(seed: u64) -> Self {
        Self {
            seed,
            cars: 1 + seed as usize % 6,
            groups: 1 + seed as usize % 5,
            horizon: [1, 5, 16, 17, 24, 32][seed as usize % 6],
            batteries: seed as usize % 3,
            inverted_prices: seed % 4 == 1,
            negative_prices: seed % 3 == 1,
            minimums: seed % 5 == 2,
            posted: seed % 7 == 3,
            overloads: seed % 2 == 1,
            uncertain: false,
            extras: Extras::default(),
        }
    }

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
        let mut problem = Problem {
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
        };
        if self.uncertain {
            self.make_uncertain(&mut rng, &mut problem);
        }
        self.extras.add_to(&mut problem, &mut rng);
        problem
    }

    fn make_uncertain(self, rng: &mut ChaCha8Rng, problem: &mut Problem) {
        problem.risk_price = MicroPerKwh(rng.random_range(0..500_000));
        for need in &mut problem.needs {
            need.likely_until = (rng.random_range(0..3) > 0).then(|| rng.random_range(0..=self.horizon + 1));
        }
        let power_w = (0..self.horizon).map(|_| Watts(rng.random_range(0..2_000) * 10)).collect();
        problem.reserve = Some(Reserve { power_w, price: MicroPerKwh(rng.random_range(0..200_000)) });
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

impl Extras {
    fn add_to(self, problem: &mut Problem, rng: &mut ChaCha8Rng) {
        if self.rows {
            let row = |n: usize, rng: &mut ChaCha8Rng| {
                let coefficient =
                    |group| Term { group, coefficient: COEFFICIENTS[rng.random_range(0..COEFFICIENTS.len())] };
                let terms = (0..problem.groups.len()).map(coefficient).collect();
                Row { name: format!("row-{n}"), terms, at_most: vec![rng.random_range(0..20_000) * 1_000_000] }
            };
            problem.rows = (0..3).map(|n| row(n, rng)).collect();
        }
        if self.peak {
            let (so_far_w, price) = (Watts(rng.random_range(0..1_500) * 10), rng.random_range(0..500_000));
            problem.peak = Some(Peak { so_far_w, price: MicroPerKw(price) });
        }
        if self.dimmed {
            let from = rng.random_range(0..problem.horizon);
            let until = rng.random_range(from..=problem.horizon);
            let import_w = Watts(rng.random_range(0..1_000) * 10);
            let group = rng.random_range(0..problem.groups.len());
            problem.groups[group].dimmed = vec![Dimming { from, until, import_w, guaranteed_w: Watts(4_200) }];
        }
        if self.equal {
            problem.share = Share::Equal;
        }
        if self.partial {
            problem.elapsed_s = rng.random_range(0..900);
        }
        let horizon = problem.horizon;
        for need in &mut problem.needs {
            if self.priorities {
                need.priority_percent = [0, 50, 100, 300][rng.random_range(0..4)];
                need.car_w = Watts(rng.random_range(0..2_000) * 10);
            }
            if self.tapers && rng.random_range(0..2) == 0 {
                need.taper = Some(Taper {
                    full_wh: need.energy_wh + WattHours(rng.random_range(1..5_000)),
                    range_wh: WattHours(rng.random_range(1..10_000)),
                    end_percent: rng.random_range(0..=100),
                });
            }
            if self.pilots && rng.random_range(0..2) == 0 {
                need.min_w = Watts::ZERO;
                need.pilots_w = [1_380, 2_300, 4_140, 6_900, 11_040].map(Watts).to_vec();
                need.pilots_w.retain(|pilot| *pilot <= need.max_w);
            }
            if self.running {
                need.running_w = (0..horizon).map(|_| Watts(rng.random_range(0..1_500) * 10)).collect();
            }
        }
        for storage in problem.storages.iter_mut().filter(|_| self.feeding) {
            let from = rng.random_range(0..horizon);
            storage.stay = Some((from, rng.random_range(from + 1..=horizon)));
            storage.cycle_cost = MicroPerKwh(rng.random_range(0..200_000));
            storage.floor_wh = WattHours(rng.random_range(0..=storage.capacity_wh.0));
            storage.target = Some(Target {
                session: format!("feeding-{}", storage.lane),
                content_wh: WattHours(rng.random_range(0..=storage.capacity_wh.0)),
                priority_percent: 0,
            });
        }
    }
}
