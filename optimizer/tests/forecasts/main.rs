//! Back-tests: every forecaster learns from the past of real data only, says what comes next, and is compared with what came.
//! The data is no part of the repository (`data/README.md`); a test says so where it is absent. Tables are printed:
//! `cargo test -p optimizer --test forecasts -- --nocapture`.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests read files and may stop")]

mod arrivals;
mod data;
mod days;
#[path = "../instances/field.rs"]
mod field;
mod habits;
mod powers;
