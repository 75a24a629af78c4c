//! Everything that can happen, and everything to do about it, side by side.

use crate::certificate::{Certificate, Planned};
use crate::device::Reading;
use crate::flexibility::Flexibility;
use crate::problem::Problem;
use crate::units::{Interval, Micro, MicroPerKwh, UnixTime, WattHours, Watts};
use serde::{Deserialize, Serialize};

/// A driver's accepted request, as far as a plan needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Session id.
    pub session: String,
    /// Driver's name.
    pub driver: String,
    /// Clear-text id of the EVSE.
    pub evse: String,
    /// Energy wanted.
    pub energy_wh: WattHours,
    /// Departure declared.
    pub departure: UnixTime,
    /// Most power the car takes, by its driver's word.
    pub max_w: Watts,
    /// Price per kWh (0: charges free).
    pub price: MicroPerKwh,
}

/// Everything that can happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A driver's request was accepted.
    Requested(Asked),
    /// The car plugged in; the reading opens its session.
    Plugged {
        /// Session id.
        session: String,
        /// Register at the beginning.
        reading: Reading,
    },
    /// A meter was read.
    Metered(Reading),
    /// The session ended; the reading closes it.
    Unplugged {
        /// Session id.
        session: String,
        /// Register at the end.
        reading: Reading,
    },
    /// A CPO posted its own setpoints, by lane.
    CpoPosted {
        /// Site index.
        site: usize,
        /// Interval.
        interval: Interval,
        /// Setpoints.
        power_w: Vec<Watts>,
    },
    /// Every fact before the cut for this interval is in.
    Cut {
        /// The interval to plan.
        interval: Interval,
    },
    /// A plan came back.
    Solved {
        /// Site index.
        site: usize,
        /// Interval.
        interval: Interval,
        /// The plan, and what is proven of it.
        plan: Box<Planned>,
    },
    /// No plan came back in time.
    SolveFailed {
        /// Site index.
        site: usize,
        /// Interval.
        interval: Interval,
        /// Why.
        reason: String,
    },
    /// The setpoints are on chain.
    Posted {
        /// Site index.
        site: usize,
        /// Interval.
        interval: Interval,
        /// Why the chain holds no certificate of them; `None` where it does.
        uncertified: Option<String>,
        /// What posting and verifying them cost; 0 without a chain.
        gas: u64,
    },
    /// The chain refused the setpoints.
    PostRefused {
        /// Site index.
        site: usize,
        /// Interval.
        interval: Interval,
        /// Why.
        reason: String,
    },
    /// Every device has its command for the interval.
    Driven {
        /// Site index.
        site: usize,
        /// Interval.
        interval: Interval,
    },
    /// The interval is over and every meter read at its end.
    Ended {
        /// The interval.
        interval: Interval,
    },
    /// The readings are on chain, or the chain refused them.
    ReadingsPosted {
        /// Site index.
        site: usize,
        /// Interval.
        interval: Interval,
        /// Why they were refused.
        refused: Option<String>,
    },
    /// The session is open on chain.
    Opened {
        /// Session id.
        session: String,
    },
    /// The owner of a site asks something else of its plans from the next one on.
    Tolerated {
        /// Site index.
        site: usize,
        /// Most that a plan may cost above its bound and still be posted as certified.
        most: Micro,
    },
    /// A driver changed what it asks for, on chain; a departure that has passed ends the session.
    Amended {
        /// Session id.
        session: String,
        /// Energy wanted now.
        energy_wh: WattHours,
        /// Departure declared now.
        departure: UnixTime,
    },
    /// The chain refused the session.
    OpenRefused {
        /// Session id.
        session: String,
        /// Why.
        reason: String,
    },
    /// The session is billed.
    Settled {
        /// Session id.
        session: String,
        /// Receipt id.
        receipt: String,
        /// Amount paid.
        paid: Micro,
    },
    /// The flexibility of a billed session is claimed on chain, or the chain refused the claim.
    FlexibilityClaimed {
        /// Session id.
        session: String,
        /// Tokens that will be minted once the bill is final; or why there are none.
        reward: Result<Micro, String>,
    },
    /// The chain refused the bill.
    SettleRefused {
        /// Session id.
        session: String,
        /// Why.
        reason: String,
    },
    /// The last interval is over: whoever is still plugged in ends here.
    DayEnded,
}

/// The readings from which and up to which a lane's energy counts; `None` where the meter was silent, and the energy is an
/// estimate.
pub type Evidence = Option<(Reading, Reading)>;

/// Everything to do. Each action's outcome returns as the event named beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// → `Solved` or `SolveFailed`.
    Solve {
        /// Site index.
        site: usize,
        /// What to solve.
        problem: Box<Problem>,
    },
    /// → `Posted` or `PostRefused`.
    PostSetpoints {
        /// Site index.
        site: usize,
        /// Interval.
        interval: Interval,
        /// By lane.
        power_w: Vec<Watts>,
        /// What is proven of the plan; or why nothing is.
        certificate: Result<Box<Certificate>, String>,
    },
    /// → `Driven`.
    Drive {
        /// Site index.
        site: usize,
        /// Interval.
        interval: Interval,
        /// By lane.
        power_w: Vec<Watts>,
    },
    /// → `ReadingsPosted`.
    PostReadings {
        /// Site index.
        site: usize,
        /// Interval.
        interval: Interval,
        /// Energy of the interval by lane, import − export.
        energy_wh: Vec<WattHours>,
        /// The readings behind it, by lane.
        readings: Vec<Evidence>,
    },
    /// → `Opened` or `OpenRefused`.
    Open {
        /// Session id.
        session: String,
    },
    /// → `Unplugged`.
    Stop {
        /// Session id.
        session: String,
    },
    /// → `Settled` or `SettleRefused`.
    Settle {
        /// Session id.
        session: String,
        /// Register at the beginning.
        start: Reading,
        /// Register at the end.
        stop: Reading,
    },
    /// → `FlexibilityClaimed`.
    ClaimFlexibility {
        /// Session id.
        session: String,
        /// Off the baseline.
        flexibility: Flexibility,
    },
}
