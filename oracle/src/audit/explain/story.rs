//! What is told of a session.

use crate::audit::report::Finding;
use alloy::primitives::{Address, B256, Bytes};
use serde::Serialize;

/// What the driver signed. Money in base units, energy in Wh, times in unix seconds, here and below.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// Energy wanted.
    pub energy_wh: u32,
    /// Declared departure.
    pub departure: u64,
    /// Most per kWh.
    pub price_ceiling_micro_per_kwh: u64,
    /// Most in all.
    pub total_ceiling_micro: u128,
    /// Last second at which the session could be opened.
    pub valid_until: u64,
}

/// A change of the session, by the driver or by a reading that kept it open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// When.
    pub time: u64,
    /// Energy wanted from then on.
    pub energy_wh: u32,
    /// Departure from then on.
    pub departure: u64,
    /// Time of the reading that kept it open; 0 where none did.
    pub last_reading: u64,
    /// In which transaction.
    pub transaction: B256,
}

/// The meter whose readings count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Meter {
    /// Id: the address of its key, or the hash of an OCMF key.
    pub id: B256,
    /// How it signs; unknown until it was billed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<&'static str>,
    /// `attested` where anybody vouches for it, else `unattested`: then the site named it, and nobody else.
    pub tier: &'static str,
    /// Who vouches.
    pub attested_by: Vec<Address>,
}

/// One interval of the stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quarter {
    /// Begin.
    pub start: u64,
    /// What the EVSE was to hold; none where nothing was posted.
    pub setpoint_w: Option<i64>,
    /// Who posted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub posted_by: Option<Address>,
    /// In which transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction: Option<B256>,
    /// Hash of the plan it was the first interval of; none for a CPO's own setpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<B256>,
    /// certified, claimed, refuted, improved upon or uncertified.
    pub certificate: &'static str,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uncertified: Option<String>,
    /// What power was worth at this place of the grid, micro per kWh; only a certificate tells, here and below.
    pub node_price: Option<i64>,
    /// What the grid asked for it.
    pub import_price: Option<i64>,
    /// What the grid paid for it.
    pub feed_in_price: Option<i64>,
    /// What the plan costs until its horizon.
    pub cost_micro: Option<i64>,
    /// What it is above the optimum at most.
    pub gap_micro: Option<i64>,
    /// The same in millionths of the cost, where that is above zero.
    pub gap_ppm: Option<i64>,
    /// Who verified it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verifier: Option<Address>,
    /// Hash of the verifier's code: the algorithm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<B256>,
    /// Most power that the plan took for the car.
    pub need_max_w: Option<i64>,
    /// That row and prices are in the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// What an uncontrolled car would have drawn; none before the session was billed, and in its first, partial interval.
    pub baseline_wh: Option<i64>,
    /// What was metered; none where nothing was posted.
    pub metered_wh: Option<i64>,
    /// Whether somebody has shown that the interval's readings contradict a meter.
    pub disputed: bool,
    /// The tariff's price at its begin.
    pub price_micro_per_kwh: u64,
    /// Of the groups above the EVSE the one with the least room.
    pub tightest_group: Option<u16>,
    /// What that group had left.
    pub room_w: Option<i64>,
    /// Why the power was what it was, as far as the chain knows.
    pub why: String,
}

/// A need of a plan, its powers and its prices as a leaf of the plan's root; `docs/proof.md` has the form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// Place among the needs.
    pub index: usize,
    /// Lane of the EVSE.
    pub lane: usize,
    /// Bytes of the need in the inputs.
    pub need: Bytes,
    /// Its powers in the schedule: two bytes each, in steps of 10 W.
    pub row: Bytes,
    /// Node price in each of the same intervals, micro per kWh.
    pub price: Vec<i64>,
    /// The lower of import and feed-in price in each of them, micro per kWh.
    pub least_price: Vec<i64>,
    /// The leaf.
    pub leaf: B256,
    /// What leads from it to the root.
    pub siblings: Vec<B256>,
    /// The plan's root.
    pub root: B256,
    /// Whether it does.
    pub checked: bool,
}

/// What the meter showed at the ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Registers {
    /// First register, thousandths of Wh.
    pub start_milli_wh: u64,
    /// Last register.
    pub stop_milli_wh: u64,
    /// Its time; 0 where the clock is not set.
    pub start_time: u64,
    /// Its time.
    pub stop_time: u64,
}

/// A line of the bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What for.
    pub what: String,
    /// What it adds, or takes off.
    pub amount_micro: i128,
}

/// What was paid, and where it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Paid {
    /// Add up to `amount_micro`.
    pub lines: Vec<Line>,
    /// What the driver paid.
    pub amount_micro: u128,
    /// What was held.
    pub held_micro: u128,
    /// What came back.
    pub refund_micro: u128,
    /// Of the amount, the operator's fee.
    pub operator_fee_micro: u128,
    /// Of the amount, the protocol's fee.
    pub protocol_fee_micro: u128,
    /// Id of the receipt: hash of terms and bill, whose first 26 bytes the chain keeps.
    pub receipt: B256,
    /// In which transaction it was billed.
    pub transaction: B256,
}

/// What moving energy earned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Earned {
    /// Energy moved off the baseline.
    pub activated_wh: Option<u32>,
    /// What that was worth, as claimed.
    pub worth_micro: Option<i64>,
    /// What node prices and posted readings make of it; none before the session was billed.
    pub recomputed_micro: Option<i64>,
    /// Tokens claimed for the driver.
    pub claimed: u128,
    /// Tokens minted.
    pub minted: u128,
    /// Why there is no more.
    pub why: String,
}

/// A correction or a contradiction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dispute {
    /// When.
    pub time: u64,
    /// What came of it.
    pub what: String,
    /// In which transaction.
    pub transaction: B256,
}

/// The whole session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Story {
    /// Session id: digest of the request.
    pub session: B256,
    /// Clear-text id of the site.
    pub site: String,
    /// Clear-text id of the EVSE.
    pub evse: String,
    /// Driver's account.
    pub driver: Address,
    /// open, settled or reclaimed.
    pub state: &'static str,
    /// When it was opened.
    pub opened: u64,
    /// In which transaction.
    pub opened_by: B256,
    /// What was asked; none where it came through a contract that cannot be read.
    pub asked: Option<Asked>,
    /// What changed.
    pub changes: Vec<Change>,
    /// Whose readings count.
    pub meter: Meter,
    /// Interval by interval.
    pub quarters: Vec<Quarter>,
    /// What the meter showed; none before it was billed.
    pub registers: Option<Registers>,
    /// What was paid; none before it was billed.
    pub paid: Option<Paid>,
    /// What flexibility earned.
    pub flexibility: Earned,
    /// What was disputed.
    pub disputes: Vec<Dispute>,
    /// What an audit finds wrong in the transactions named here.
    pub findings: Vec<Finding>,
}
