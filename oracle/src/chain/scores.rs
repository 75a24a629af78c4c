//! How good forecasts were, by Dispatch itself: which days can be scored, and their posts as it wants them opened, from the
//! events that told them.

use super::history::History;
use super::transact::GAS_MOST;
use super::{Logged, Protocol};
use crate::abi::IDispatch::{ForecastsScored, ReadingDisputed};
use crate::abi::{ForecastScore, HistoryStep};
use alloy::primitives::B256;
use alloy::rpc::types::Filter;
use anyhow::Result;
use optimizer::units::INTERVAL_S;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// Dispatch's MAX_OPENED_STEPS and MAX_LATER_STEPS.
const OPENED_MOST: usize = 576;
const LATER_MOST: usize = 1024;
/// Intervals whose state Dispatch remembers.
const REMEMBERED: usize = 512;
/// Readings come at most so many intervals after their own.
const METERED_WITHIN: u32 = 96;
/// Intervals of a UTC day, which begins with one.
const DAY: u32 = 96;
/// A transaction, and the layout of 1,024 lanes looked through.
const GAS_ALL: u64 = 500_000;
/// A post opened costs at most 3,000 gas to send and 2,000 to chain, a byte of its lanes 40 to send and, where all of them
/// are forecast, as much to compare; a later step's hash 1,500.
const GAS_STEP: u64 = 6_000;
const GAS_BYTE: u64 = 80;
const GAS_LATER: u64 = 1_500;

/// A stretch of a site's posts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// History before the first of them.
    pub previous: B256,
    /// The posts, opened.
    pub steps: Vec<HistoryStep>,
    /// What was posted since.
    pub later: Vec<B256>,
}

/// What of a site can be scored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Due {
    /// In the order of their intervals, each for a call of its own.
    pub stretches: Vec<Evidence>,
    /// Intervals that are metered and were never scored, and that Dispatch has forgotten by now.
    pub lost: usize,
}

/// Means over the intervals that were scored, W.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct MeanScore {
    /// How many.
    pub scored: u64,
    /// What all base loads were taken for.
    pub base_load_w: u64,
    /// By how much they drew more or less, added up.
    pub base_load_error_w: u64,
    /// What was to be used of the sun.
    pub pv_w: u64,
    /// By how much all inverters fed more or less, added up.
    pub pv_error_w: u64,
}

impl MeanScore {
    /// Of several events; `None` where there is none.
    pub fn of<'a>(scores: impl IntoIterator<Item = &'a ForecastScore>) -> Option<Self> {
        let mut sum = Self::default();
        for score in scores {
            sum.scored += u64::from(score.scored);
            sum.base_load_w += score.baseLoadW;
            sum.base_load_error_w += score.baseLoadErrorW;
            sum.pv_w += score.pvW;
            sum.pv_error_w += score.pvErrorW;
        }
        let mean = |sum_w: u64| sum_w.checked_div(sum.scored);
        Some(Self {
            scored: sum.scored,
            base_load_w: mean(sum.base_load_w)?,
            base_load_error_w: mean(sum.base_load_error_w)?,
            pv_w: mean(sum.pv_w)?,
            pv_error_w: mean(sum.pv_error_w)?,
        })
    }
}

impl fmt::Display for MeanScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "base load off by {} of {} W, PV by {} of {} W, means of {} intervals",
            self.base_load_error_w, self.base_load_w, self.pv_error_w, self.pv_w, self.scored
        )
    }
}

impl Evidence {
    /// Above what scoring it costs.
    pub(super) fn gas(&self) -> u64 {
        gas(self.steps.iter().map(|step| step.lanes.len()), self.later.len())
    }
}

fn gas(lanes: impl Iterator<Item = usize>, later: usize) -> u64 {
    let opened: u64 = lanes.map(|bytes| GAS_STEP + GAS_BYTE * bytes as u64).sum();
    GAS_ALL + opened + GAS_LATER * later as u64
}

impl History {
    /// The two posts of an interval.
    fn span(&self, interval: u32) -> Option<(usize, usize)> {
        Some((*self.planned.get(&interval)?, *self.metered.get(&interval)?))
    }

    /// The intervals that an event has scored: whose posts are both between the two histories that it names.
    fn scored(&self, event: &ForecastsScored) -> BTreeSet<u32> {
        let place = |history: B256| self.posts.iter().position(|post| post.history == history);
        let (from, last) = (place(event.previous).map_or(0, |at| at + 1), place(event.history));
        let within = |at: &usize| *at >= from && Some(*at) <= last;
        let both = self.metered.iter().filter(|(t, at)| within(at) && self.planned.get(t).is_some_and(within));
        both.map(|(interval, _)| *interval).collect()
    }

    /// Setpoints take the place of an interval's state in Dispatch's ring.
    fn forgotten(&self, interval: u32) -> bool {
        let newest = self.planned.last_key_value().map_or(interval, |(newest, _)| *newest);
        (interval..=newest).step_by(REMEMBERED).skip(1).any(|later| self.planned.contains_key(&later))
    }

    /// Nothing of the day is missing that may still come.
    fn complete(&self, day: u32, now: i64) -> bool {
        let over = |interval: u32| i64::from(interval) * INTERVAL_S <= now;
        let planned = self.planned.range(day * DAY..(day + 1) * DAY).map(|(interval, _)| *interval);
        let settled = |t: u32| self.metered.contains_key(&t) || over(t + 1 + METERED_WITHIN);
        over((day + 1) * DAY) && planned.into_iter().all(settled)
    }

    /// Whether one call can open a stretch of posts, the last included.
    fn fits(&self, (from, last): (usize, usize)) -> bool {
        let (Some(opened), later) = (self.posts.get(from..=last), self.posts.len() - 1 - last) else { return false };
        let gas = gas(opened.iter().map(|post| post.step.lanes.len()), later);
        opened.len() <= OPENED_MOST && later <= LATER_MOST && gas <= GAS_MOST
    }

    fn evidence(&self, (from, last): (usize, usize)) -> Evidence {
        Evidence {
            previous: self.before(from),
            steps: self.posts[from..=last].iter().map(|post| post.step.clone()).collect(),
            later: self.steps(last + 1),
        }
    }

    /// Whole days, each in as few stretches as calls can open.
    fn due(&self, disputed: &BTreeSet<u32>, scored: &BTreeSet<u32>, now: i64) -> Due {
        let mut due = Due::default();
        let days: BTreeSet<u32> = self.metered.keys().map(|interval| interval / DAY).collect();
        for day in days.into_iter().filter(|day| self.complete(*day, now)) {
            let mut stretch: Option<(usize, usize)> = None;
            for (interval, _) in self.metered.range(day * DAY..(day + 1) * DAY) {
                let Some(own) = self.span(*interval) else { continue };
                if disputed.contains(interval) || scored.contains(interval) {
                    continue;
                }
                if self.forgotten(*interval) || !self.fits(own) {
                    due.lost += 1;
                    continue;
                }
                let both = stretch.map_or(own, |(from, last)| (from.min(own.0), last.max(own.1)));
                if self.fits(both) {
                    stretch = Some(both);
                } else {
                    due.stretches.extend(stretch.replace(own).map(|full| self.evidence(full)));
                }
            }
            due.stretches.extend(stretch.map(|rest| self.evidence(rest)));
        }
        due
    }
}

impl Protocol {
    /// Scores of a site's forecasts, in the order of the chain.
    pub async fn forecasts_scored(&self, site: B256) -> Result<Vec<Logged<ForecastsScored>>> {
        self.logs(self.dispatched(site), self.deployment.block, None).await
    }

    /// Days of a site that are metered, as far as they ever will be, and that nobody has scored.
    pub async fn scores_due(&self, site: B256) -> Result<Due> {
        let posts = self.history_of(site).await?;
        let disputed = self.logs::<ReadingDisputed>(self.dispatched(site), self.deployment.block, None).await?;
        let events = self.forecasts_scored(site).await?;
        let scored = events.iter().flat_map(|score| posts.scored(&score.event)).collect();
        let disputed = disputed.iter().map(|dispute| dispute.event.interval).collect();
        Ok(posts.due(&disputed, &scored, self.chain.head().await?.time.0))
    }

    /// All events of Dispatch about a site.
    pub(super) fn dispatched(&self, site: B256) -> Filter {
        Filter::new().address(self.deployment.dispatch).topic1(site)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::IDispatch::{ReadingsPosted, SetpointsPosted};
    use alloy::primitives::U256;

    const FIRST: u32 = 10 * DAY;
    const NEVER: BTreeSet<u32> = BTreeSet::new();

    fn logged<E>(block: u64, event: E) -> Logged<E> {
        Logged { block, index: 0, transaction: B256::ZERO, event }
    }

    fn setpoints(block: u64, interval: u32, lanes: usize) -> Logged<SetpointsPosted> {
        let (lanes, history) = (vec![1; 2 * lanes].into(), B256::from(U256::from(block)));
        logged(block, SetpointsPosted { interval, lanes, history, ..SetpointsPosted::default() })
    }

    fn readings(block: u64, interval: u32, lanes: usize) -> Logged<ReadingsPosted> {
        let (lanes, history) = (vec![1; 4 * lanes].into(), B256::from(U256::from(block)));
        logged(block, ReadingsPosted { interval, lanes, history, ..ReadingsPosted::default() })
    }

    /// Every interval from FIRST on planned just before it and metered just after, its posts in the odd and even blocks.
    fn site(intervals: u32, lanes: usize, metered: impl Fn(u32) -> bool) -> History {
        let all = || (0..intervals).map(|i| (u64::from(i), FIRST + i));
        let planned = all().map(|(i, t)| setpoints(2 * i + 1, t, lanes)).collect();
        // After the setpoints of the next interval.
        let read = all().filter(|(_, t)| metered(*t)).map(|(i, t)| readings(2 * i + 4, t, lanes)).collect();
        History::new(B256::ZERO, planned, read)
    }

    fn end_of(interval: u32) -> i64 {
        i64::from(interval + 1) * INTERVAL_S
    }

    fn scored(posts: &History, stretch: &Evidence) -> BTreeSet<u32> {
        let last = stretch.steps.last().map(|step| step.interval).unwrap_or_default();
        let history = posts.metered.get(&last).map(|at| posts.posts[*at].history).unwrap_or_default();
        posts.scored(&ForecastsScored { previous: stretch.previous, history, ..ForecastsScored::default() })
    }

    #[test]
    fn a_day_is_due_once_it_is_over_and_until_it_is_scored() {
        let posts = site(DAY + 4, 58, |_| true);
        let now = end_of(FIRST + DAY + 3);
        let due = posts.due(&NEVER, &NEVER, now);
        // The setpoints of the day after are among the steps: they come before the last readings.
        assert_eq!((due.stretches.len(), due.lost, due.stretches[0].steps.len()), (1, 0, 193));
        assert_eq!((due.stretches[0].previous, due.stretches[0].later.len()), (B256::ZERO, 7));
        let done = scored(&posts, &due.stretches[0]);
        assert_eq!(done, (FIRST..FIRST + DAY).collect());
        assert_eq!(posts.due(&NEVER, &done, now), Due::default());
        assert_eq!(posts.due(&NEVER, &NEVER, end_of(FIRST + DAY - 1) - 1), Due::default());
        // Half of it scored by somebody else.
        let half: BTreeSet<u32> = (FIRST..FIRST + 40).collect();
        let due = posts.due(&NEVER, &half, now);
        assert_eq!(scored(&posts, &due.stretches[0]), (FIRST + 40..FIRST + DAY).collect());
        assert_eq!(due.stretches[0].previous, B256::from(U256::from(80)));
    }

    #[test]
    fn a_day_waits_for_readings_as_long_as_they_may_come() {
        let posts = site(DAY, 58, |t| t != FIRST + 7);
        let waiting = end_of(FIRST + 7 + METERED_WITHIN) - 1;
        assert_eq!(posts.due(&NEVER, &NEVER, waiting), Due::default());
        let due = posts.due(&NEVER, &NEVER, waiting + 1);
        assert_eq!((due.stretches.len(), due.lost), (1, 0));
        let rest: BTreeSet<u32> = (FIRST..FIRST + DAY).filter(|t| *t != FIRST + 7).collect();
        assert_eq!(scored(&posts, &due.stretches[0]), rest);
        assert_eq!(posts.due(&rest, &NEVER, waiting + 1), Due::default(), "disputed");
    }

    #[test]
    fn what_is_too_much_for_a_call_is_divided() {
        let posts = site(DAY, 1024, |_| true);
        let due = posts.due(&NEVER, &NEVER, end_of(FIRST + DAY));
        assert!(due.stretches.len() > 1 && due.lost == 0);
        assert!(due.stretches.iter().all(|stretch| stretch.gas() <= GAS_MOST));
        let done: Vec<u32> = due.stretches.iter().flat_map(|stretch| scored(&posts, stretch)).collect();
        assert_eq!(done, (FIRST..FIRST + DAY).collect::<Vec<_>>());
    }

    #[test]
    fn what_dispatch_has_forgotten_is_lost() {
        let intervals = u32::try_from(REMEMBERED + 10).unwrap();
        let posts = site(intervals, 3, |_| true);
        let due = posts.due(&NEVER, &NEVER, end_of(FIRST + intervals));
        assert_eq!((due.stretches.len(), due.lost), (5, 10));
        assert_eq!(scored(&posts, &due.stretches[0]), (FIRST + 10..FIRST + DAY).collect());
        assert!(due.stretches.iter().all(|stretch| stretch.later.len() <= LATER_MOST));
    }

    #[test]
    fn means_are_of_all_intervals() {
        let score = |scored, w| ForecastScore { scored, baseLoadW: w, pvErrorW: 7, ..ForecastScore::default() };
        assert_eq!(MeanScore::of(&[]), None);
        let mean = MeanScore::of(&[score(1, 10), score(3, 90)]).unwrap();
        assert_eq!((mean.scored, mean.base_load_w, mean.pv_error_w), (4, 25, 3));
        assert_eq!(mean.to_string(), "base load off by 0 of 25 W, PV by 3 of 0 W, means of 4 intervals");
    }
}
