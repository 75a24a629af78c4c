//! What was posted for a site, step by step, as `Dispatch` chains it: the evidence of whoever shows something of it.

use super::events::Logged;
use super::views::Protocol;
use crate::abi::IDispatch::{ReadingsPosted, SetpointsPosted};
use crate::abi::{HistoryStep, PostedReadings};
use alloy::primitives::{B256, U256, keccak256};
use alloy::sol_types::SolValue;
use anyhow::Result;
use std::collections::BTreeMap;

const SETPOINTS: u8 = 1;
const READINGS: u8 = 2;

/// One post.
#[derive(Debug, Clone)]
pub(super) struct Post {
    pub(super) step: HistoryStep,
    pub(super) hash: B256,
    /// The history with it.
    pub(super) history: B256,
}

impl Post {
    fn new(site: B256, step: HistoryStep, history: B256) -> Self {
        let HistoryStep { kind, interval, ref lanes, evidence } = step;
        let fields = (U256::from(kind), site, U256::from(interval), keccak256(lanes), evidence);
        Self { hash: keccak256(fields.abi_encode_params()), step, history }
    }

    pub(super) fn is_readings(&self) -> bool {
        self.step.kind == READINGS
    }
}

/// Everything that was posted for a site, oldest first, and where in it each interval has its two posts.
#[derive(Debug, Clone)]
pub(super) struct History {
    pub(super) posts: Vec<Post>,
    pub(super) planned: BTreeMap<u32, usize>,
    pub(super) metered: BTreeMap<u32, usize>,
}

impl History {
    /// By the events of the site alone.
    pub(super) fn new(
        site: B256,
        setpoints: Vec<Logged<SetpointsPosted>>,
        readings: Vec<Logged<ReadingsPosted>>,
    ) -> Self {
        let mut placed = BTreeMap::new();
        for Logged { block, index, event, .. } in setpoints {
            let SetpointsPosted { interval, lanes, planHash: evidence, history, .. } = event;
            let step = HistoryStep { kind: SETPOINTS, interval, lanes, evidence };
            placed.insert((block, index), Post::new(site, step, history));
        }
        for Logged { block, index, event, .. } in readings {
            let ReadingsPosted { interval, lanes, root: evidence, history, .. } = event;
            let step = HistoryStep { kind: READINGS, interval, lanes, evidence };
            placed.insert((block, index), Post::new(site, step, history));
        }
        let posts: Vec<Post> = placed.into_values().collect();
        let of = |kind| {
            let own = posts.iter().enumerate().filter(move |(_, post)| post.step.kind == kind);
            own.map(|(at, post)| (post.step.interval, at)).collect()
        };
        let (planned, metered) = (of(SETPOINTS), of(READINGS));
        Self { posts, planned, metered }
    }

    /// The history before a post.
    pub(super) fn before(&self, at: usize) -> B256 {
        at.checked_sub(1).map_or(B256::ZERO, |before| self.posts[before].history)
    }

    /// Hashes of all posts from one on.
    pub(super) fn steps(&self, from: usize) -> Vec<B256> {
        self.posts[from..].iter().map(|post| post.hash).collect()
    }

    /// Readings as evidence beside the steps from `from` on.
    pub(super) fn readings(&self, from: usize, at: usize) -> Result<PostedReadings> {
        let HistoryStep { interval, ref lanes, evidence, .. } = self.posts[at].step;
        Ok(PostedReadings { interval, lanes: lanes.clone(), root: evidence, step: u16::try_from(at - from)? })
    }
}

impl Protocol {
    /// What was posted for a site up to now.
    pub(super) async fn history_of(&self, site: B256) -> Result<History> {
        let (from, filter) = (self.deployment.block, self.dispatched(site));
        let setpoints = self.logs(filter.clone(), from, None).await?;
        Ok(History::new(site, setpoints, self.logs(filter, from, None).await?))
    }
}
