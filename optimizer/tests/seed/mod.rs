//! Random cases whose seed is printed, so that a failure can be seen again.

use proptest::test_runner::{Config, RngSeed};
use std::hash::{BuildHasher, Hasher, RandomState};

/// `cases` random cases, as many as `PROPTEST_CASES` says where that is set. A failing test prints its seed;
/// `PROPTEST_RNG_SEED` replays it.
pub(crate) fn seeded(cases: u32) -> Config {
    let default = Config::default();
    let seed = match default.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => RandomState::new().build_hasher().finish(),
    };
    println!("replay with PROPTEST_RNG_SEED={seed}");
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    Config { cases: if asked { default.cases } else { cases }, rng_seed: RngSeed::Fixed(seed), ..default }
}
