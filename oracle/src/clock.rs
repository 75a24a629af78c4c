//! The only reader of time. Scenario time runs at a pace against the wall; or it is the wall.

use optimizer::units::UnixTime;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How fast a day passes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As fast as it goes.
    Unbounded,
    /// Scenario seconds per wall second.
    Accelerated(u32),
    /// The wall clock.
    Real,
}

/// Turns scenario time into waiting.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    pace: Pace,
    started: Instant,
    origin: UnixTime,
}

impl Clock {
    /// A clock that shows `origin` now.
    pub fn start(pace: Pace, origin: UnixTime) -> Self {
        Self { pace, started: Instant::now(), origin }
    }

    /// Waits until scenario time is `time`; not at all where it has passed.
    pub async fn wait_until(&self, time: UnixTime) {
        let wait = match self.pace {
            Pace::Unbounded => Duration::ZERO,
            Pace::Accelerated(speed) => {
                let due = seconds(time.0 - self.origin.0) / speed.max(1);
                due.saturating_sub(self.started.elapsed())
            }
            Pace::Real => seconds(time.0 - wall().0),
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// Wall seconds since the clock started.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether a device that stays silent may be waited for (accelerated time stands still meanwhile).
    pub fn can_stand_still(&self) -> bool {
        self.pace != Pace::Real
    }
}

/// The wall clock, unix seconds.
pub fn wall() -> UnixTime {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime(i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or_default())
}
