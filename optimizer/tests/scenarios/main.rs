//! Scenarios: what the committed ones promise, what the parser refuses, and what field data becomes.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests read files and may stop")]

mod committed;
#[path = "../instances/field.rs"]
mod field;
mod foreign;
#[path = "../../examples/generate/scenarios/mod.rs"]
mod generated;
mod imported;
mod networks;
mod recorded;
mod refused;
#[path = "../seed/mod.rs"]
mod seed;
mod tariffs;
mod verify;
