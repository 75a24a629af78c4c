//! The pure core of Provolt: no clock, no sockets, no files, no randomness of its own. What can be wrong without
//! touching the world lives here. Modules in reading order.

pub mod units;

pub mod session;
pub mod signals;
pub mod site;

pub mod scenario;

pub mod import;

pub mod problem;
pub mod schedule;

mod draft;
mod fallback;
mod minimum;
pub mod solve;
mod validate;

pub mod check;

pub mod flexibility;
pub mod settlement;

pub mod device;
pub mod report;

pub mod controller;
pub mod simulate;
