//! The edge to the charge points: OCPP 1.6J over WebSocket. It carries facts in ([`FromPoint`]) and orders out
//! ([`Points`]); what a fact means for energy or money, and whether a signature is good, is decided elsewhere.
//!
//! How signed readings travel, which OCPP 1.6 leaves open:
//! - A MeterValues element, and StopTransaction's transactionData, holds two sampled values: format `SignedData` with the
//!   [`SignedReading`] as compact JSON, and beside it the plain `Energy.Active.Import.Register` in Wh. Register, time and
//!   context of the two must agree.
//! - StartTransaction has room for a number only. Its signed reading comes directly before it on the same connection, as
//!   MeterValues of context `Transaction.Begin` without a transaction id. The server holds that reading in memory until
//!   the StartTransaction of the same connector, register and time arrives, and hands on both as one event. A charge
//!   point keeps the pair in its queue as one until StartTransaction is answered, and sends both again after a lost
//!   connection: so nothing is lost wherever either side is killed.
//! - A fact is acknowledged to the charge point after the receiver of [`FromPoint`] answered, which it does when it has
//!   the fact on disk. An unacknowledged fact comes again, letter by letter: receivers must take a repeated fact as the
//!   same one (a reading's counter tells) and answer it as they did before.

mod commands;
mod frame;
mod messages;
mod points;
mod server;

pub use commands::Command;
pub use frame::{ErrorCode, Frame, MAX_FRAME_BYTES, Malformed};
pub use messages::{Message, Refusal, is_accepted, read_authorize_answer, read_start_answer};
pub use points::{CallError, Points};
pub use server::router;

use crate::signing::SignedReading;
use tokio::sync::oneshot;

/// The WebSocket subprotocol of OCPP 1.6J.
pub const SUBPROTOCOL: &str = "ocpp1.6";
/// Vendor of our DataTransfer messages.
pub const VENDOR: &str = "org.provolt";

/// What charge points tell. Dropping a `reply` unanswered makes the charge point tell it again.
#[derive(Debug)]
pub enum FromPoint {
    /// A connection is up. It may replace an older one, for which no `Disconnected` is told.
    Connected {
        /// OCPP identity.
        point: String,
    },
    /// No connection is left.
    Disconnected {
        /// OCPP identity.
        point: String,
    },
    /// It started. Not told after a mere reconnection.
    Boot {
        /// OCPP identity.
        point: String,
        /// Who made it.
        vendor: String,
        /// What it is.
        model: String,
    },
    /// A connector's status changed.
    Status {
        /// OCPP identity.
        point: String,
        /// Connector; 0 is the whole charge point.
        connector: u32,
        /// OCPP's word, for example `Charging`.
        status: String,
        /// OCPP's word, `NoError` where there is none.
        error: String,
    },
    /// May this tag charge?
    Authorize {
        /// OCPP identity.
        point: String,
        /// What the driver showed; OCPP compares tags without regard to case.
        id_tag: String,
        /// Whether it may.
        reply: oneshot::Sender<bool>,
    },
    /// A transaction begins.
    Start {
        /// OCPP identity.
        point: String,
        /// Connector.
        connector: u32,
        /// What the driver showed.
        id_tag: String,
        /// The register at its beginning.
        reading: SignedReading,
        /// Its number, and whether it may go on.
        reply: oneshot::Sender<StartReply>,
    },
    /// A regular reading.
    Meter {
        /// OCPP identity.
        point: String,
        /// Connector.
        connector: u32,
        /// The transaction it belongs to.
        transaction_id: Option<i32>,
        /// The register.
        reading: SignedReading,
        /// It is on disk.
        reply: oneshot::Sender<()>,
    },
    /// A transaction ended.
    Stop {
        /// OCPP identity.
        point: String,
        /// Its number.
        transaction_id: i32,
        /// OCPP's word, for example `EVDisconnected`.
        reason: String,
        /// The register at its end.
        reading: SignedReading,
        /// It is on disk.
        reply: oneshot::Sender<()>,
    },
    /// A message was refused: it contradicts itself, or breaks the protocol. For the record only.
    Refused {
        /// OCPP identity.
        point: String,
        /// OCPP's action.
        action: String,
        /// What was wrong.
        why: String,
    },
}

/// Answer to [`FromPoint::Start`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartReply {
    /// Number of the transaction. A repeated start gets the same one.
    pub transaction_id: i32,
    /// Whether it may go on.
    pub accepted: bool,
}

#[cfg(test)]
mod tests;
