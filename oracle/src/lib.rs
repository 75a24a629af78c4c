//! The shell of Provolt: carries events in and actions out, and decides nothing about energy or money. Modules in
//! reading order.

pub mod abi;
pub mod devices;
pub mod driver_api;
pub mod keys;
pub mod merkle;
pub mod signing;

pub mod audit;
pub mod chain;
pub mod clock;
pub mod files;
pub mod ocpp;
pub mod process;
pub mod store;

#[cfg(test)]
mod fake_report;
pub mod http;
pub mod page;
pub mod summary;
pub mod table;

pub mod payout;

pub mod engine;
pub mod run;

pub mod commands;
