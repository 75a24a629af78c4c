//! The pure core of Provolt: no clock, no sockets, no files, no randomness of its own. What can be wrong without
//! touching the world lives here. Modules in reading order.

pub mod units;

pub mod session;
pub mod signals;
pub mod site;

pub mod scenario;

pub mod import;

pub mod forecast;

pub mod problem;
pub mod rows;
pub mod schedule;

mod amounts;
mod draft;
mod fallback;
pub mod heuristic;
mod minimum;
mod network;
pub mod solve;
mod validate;

pub mod certificate;
pub mod check;

pub mod flexibility;
pub mod settlement;

pub mod device;
pub mod report;

pub mod controller;
pub mod garage;
pub mod serve;
pub mod simulate;

pub mod compare;

pub mod pipe;
