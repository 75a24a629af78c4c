//! The whole system.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod audit;
mod certificates;
mod chain;
mod day;
mod deployment;
mod evidence;
mod house;
mod nonsense;
mod pages;
mod plans;
mod rewards;
mod sessions;
