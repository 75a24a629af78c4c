//! What a schedule can break, in words.

use crate::schedule::Cause;
use crate::units::{Micro, POWER_STEP_W, WattHours, Watts};
use std::fmt;

/// What a schedule breaks. `k` counts intervals from the problem's first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// A list has the wrong length, or the schedule is for another site or time; nothing else is looked at then.
    Shape {
        /// Which list.
        what: &'static str,
        /// Length it should have.
        expected: usize,
        /// Length it has.
        actual: usize,
    },
    /// The schedule names another site or first interval.
    OtherProblem,
    /// Power that is no multiple of 10 W.
    OffStep(Cell),
    /// Power on the wrong side of zero: a feeding EVSE, a drawing PV inverter.
    WrongSign(Cell),
    /// Power in a lane where nobody can use it: no session there, or not in that interval.
    OutsideWindow(Cell),
    /// More than EVSE and car, the battery or the sun can do.
    AboveMaximum {
        /// Where.
        cell: Cell,
        /// Most power, positive.
        max_w: Watts,
    },
    /// More than somebody else has posted for this interval, or the other direction.
    AbovePosted {
        /// Where.
        cell: Cell,
        /// What was posted.
        posted_w: Watts,
    },
    /// More than a nearly full car takes after what it got before.
    AboveTaper {
        /// Where.
        cell: Cell,
        /// What it takes.
        takes_w: Watts,
    },
    /// A car would stop: power in the first interval above zero and below its minimum.
    BelowMinimum {
        /// Where.
        cell: Cell,
        /// Least power.
        min_w: Watts,
    },
    /// Power in the first interval that the EVSE cannot hold.
    NoPilot(Cell),
    /// A base load that is not as forecast.
    BaseLoad {
        /// Where.
        cell: Cell,
        /// The forecast.
        forecast_w: Watts,
    },
    /// More energy than the car wants (see `check` for the allowance).
    OverDelivery {
        /// Session.
        session: String,
        /// Planned, rounded down.
        planned_wh: WattHours,
        /// Wanted.
        energy_wh: WattHours,
    },
    /// A group draws more than its effective limit.
    Import {
        /// Group.
        group: usize,
        /// Interval.
        k: usize,
        /// Net power.
        net_w: Watts,
        /// The larger of limit and base load behind it.
        limit_w: Watts,
    },
    /// A group feeds back more than its limit.
    Export {
        /// Group.
        group: usize,
        /// Interval.
        k: usize,
        /// Net power, negative.
        net_w: Watts,
        /// Limit, positive.
        limit_w: Watts,
    },
    /// A row exceeds its effective bound.
    Row {
        /// Name.
        row: String,
        /// Interval.
        k: usize,
        /// Value, coefficient × W.
        value: i64,
        /// The larger of its bound and what base loads alone come to.
        bound: i64,
    },
    /// A battery would be emptier than empty (or its floor) or fuller than full at the end of an interval.
    Content {
        /// Lane.
        lane: usize,
        /// Interval.
        k: usize,
        /// Content, rounded down.
        content_wh: WattHours,
        /// Largest content.
        capacity_wh: WattHours,
    },
    /// The stated cost is wrong.
    Cost {
        /// As stated.
        stated: Micro,
        /// Recomputed.
        actual: Micro,
    },
    /// The stated peak is wrong.
    Peak {
        /// As stated.
        stated: Watts,
        /// Recomputed.
        actual: Watts,
    },
    /// A stated cause cannot be.
    Cause {
        /// Session.
        session: String,
        /// As stated.
        stated: Cause,
    },
    /// A stated shortfall is wrong, missing, or for nobody.
    Shortfall {
        /// Session.
        session: String,
        /// As stated; zero where it is not.
        stated: WattHours,
        /// Recomputed; zero where there is none.
        actual: WattHours,
    },
}

/// One setpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Lane.
    pub lane: usize,
    /// Interval.
    pub k: usize,
    /// Power.
    pub power_w: Watts,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lane {} in interval {}: {} W", self.lane, self.k, self.power_w)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape { what, expected, actual } => write!(f, "{what}: {actual} entries instead of {expected}"),
            Self::OtherProblem => write!(f, "the schedule is for another site or time"),
            Self::OffStep(cell) => write!(f, "{cell} is no multiple of {POWER_STEP_W} W"),
            Self::WrongSign(cell) => write!(f, "{cell} has the wrong sign"),
            Self::OutsideWindow(cell) => write!(f, "{cell}, but nobody is there"),
            Self::AboveMaximum { cell, max_w } => {
                write!(f, "{cell} is above its maximum of {max_w} W")
            }
            Self::AbovePosted { cell, posted_w } => {
                write!(f, "{cell} departs from the {posted_w} W posted")
            }
            Self::BelowMinimum { cell, min_w } => {
                write!(f, "{cell} is below the minimum of {min_w} W")
            }
            Self::AboveTaper { cell, takes_w } => write!(f, "{cell} is above the {takes_w} W that a car so full takes"),
            Self::NoPilot(cell) => write!(f, "{cell} is no power that the EVSE can hold"),
            Self::Row { row, k, value, bound } => {
                write!(f, "row {row} comes to {value} in interval {k}, above {bound}")
            }
            Self::Peak { stated, actual } => write!(f, "the peak is {actual} W, not {stated} W"),
            Self::Cause { session, stated } => write!(f, "the shortfall of session {session} is not for {stated:?}"),
            Self::BaseLoad { cell, forecast_w } => {
                write!(f, "{cell} is not the forecast {forecast_w} W")
            }
            Self::OverDelivery { session, planned_wh, energy_wh } => {
                write!(f, "session {session} would get {planned_wh} Wh, but wants {energy_wh} Wh")
            }
            Self::Import { group, k, net_w, limit_w } => {
                write!(f, "group {group} draws {net_w} W in interval {k}, above {limit_w} W")
            }
            Self::Export { group, k, net_w, limit_w } => {
                write!(f, "group {group} has {net_w} W in interval {k}, feeding more than {limit_w} W")
            }
            Self::Content { lane, k, content_wh, capacity_wh } => {
                write!(f, "the battery in lane {lane} has {content_wh} of {capacity_wh} Wh after interval {k}")
            }
            Self::Cost { stated, actual } => write!(f, "the cost is {actual}, not {stated}"),
            Self::Shortfall { session, stated, actual } => {
                write!(f, "the shortfall of session {session} is {actual} Wh, not {stated} Wh")
            }
        }
    }
}
