//! What the contract says of forecasts, computed again from the posts that it names.

use super::{reading_wh, setpoint_w};
use crate::abi::IDispatch::ForecastsScored;
use crate::abi::{AssetKind, ForecastScore};
use crate::audit::facts::At;
use crate::audit::registry::{Registry, SiteBook};
use crate::audit::report::{Kind, Tally};
use alloy::primitives::{B256, Bytes};
use std::collections::{BTreeMap, VecDeque};

/// The contract opens at most 576 posts, before at most 1,024 later ones.
const KEPT: usize = 576 + 1024;
/// An interval has so many of them in an hour.
const QUARTERS: i64 = 4;
/// As the history counts kinds.
const SETPOINTS: u64 = 1;

/// Setpoints or readings, and the history before and after them.
#[derive(Debug, Clone)]
struct Post {
    setpoints: bool,
    interval: u32,
    lanes: Bytes,
    previous: B256,
    history: B256,
}

/// The newest posts of a site, as far back as the contract can be asked about them.
#[derive(Debug, Clone, Default)]
pub(super) struct Posts(VecDeque<Post>);

impl Posts {
    pub(super) fn push(&mut self, kind: u64, interval: u32, lanes: &Bytes, (previous, history): (B256, B256)) {
        let setpoints = kind == SETPOINTS;
        self.0.push_back(Post { setpoints, interval, lanes: lanes.clone(), previous, history });
        if self.0.len() > KEPT {
            self.0.pop_front();
        }
    }

    /// The posts between two histories.
    fn between(&self, previous: B256, history: B256) -> Option<impl Iterator<Item = &Post>> {
        let first = self.0.iter().position(|post| post.previous == previous)?;
        let last = self.0.iter().position(|post| post.history == history)?;
        (first <= last).then(|| self.0.range(first..=last))
    }

    /// Compares an event with what its posts come to; `stands` says whether an interval's readings are there, remembered
    /// and not disputed.
    pub(super) fn scored(
        &self,
        tally: &mut Tally,
        registry: &Registry,
        at: At,
        e: &ForecastsScored,
        stands: impl Fn(u32) -> bool,
    ) {
        let name = registry.name(e.site);
        let posts = self.between(e.previous, e.history);
        let (what, wanted) = (say!("score of forecasts of {name}: its posts"), say!("a stretch of the site's history"));
        let found = say!("nothing between {} and {}", e.previous, e.history);
        tally.holds(Kind::History, at, posts.is_some(), what, wanted, found);
        let (Some(posts), Some(site)) = (posts, registry.sites.get(&e.site)) else { return };
        let (wanted, told) = (score(registry, site, posts, stands), &e.score);
        for (what, wanted, told) in [
            ("first interval", wanted.first.into(), told.first.into()),
            ("last interval", wanted.last.into(), told.last.into()),
            ("intervals scored", wanted.scored.into(), told.scored.into()),
            ("W of base load", wanted.baseLoadW, told.baseLoadW),
            ("W of base load off", wanted.baseLoadErrorW, told.baseLoadErrorW),
            ("W of PV", wanted.pvW, told.pvW),
            ("W of PV off", wanted.pvErrorW, told.pvErrorW),
        ] {
            tally.equal(Kind::Reading, at, say!("score of forecasts of {name}: {what}"), wanted, told);
        }
    }
}

/// By a plain sum over all assets.
fn score<'a>(
    registry: &Registry,
    site: &SiteBook,
    posts: impl Iterator<Item = &'a Post>,
    stands: impl Fn(u32) -> bool,
) -> ForecastScore {
    let mut planned: BTreeMap<u32, &Bytes> = BTreeMap::new();
    let mut compared = BTreeMap::new();
    for post in posts {
        if post.setpoints {
            planned.insert(post.interval, &post.lanes);
        } else if let Some(setpoints) = planned.get(&post.interval)
            && stands(post.interval)
        {
            compared.insert(post.interval, (*setpoints, &post.lanes));
        }
    }
    let mut score = ForecastScore {
        first: compared.keys().next().copied().unwrap_or_default(),
        last: compared.keys().next_back().copied().unwrap_or_default(),
        scored: u32::try_from(compared.len()).unwrap_or(u32::MAX),
        ..ForecastScore::default()
    };
    for (lane, id) in site.lanes.iter().enumerate() {
        for (setpoints, readings) in compared.values() {
            // An asset that was not there yet when the setpoints were posted was not forecast.
            let Some((planned_w, energy_wh)) = setpoint_w(setpoints, lane).zip(reading_wh(readings, lane)) else {
                continue;
            };
            let (power_w, error_w) = (planned_w.unsigned_abs(), planned_w.abs_diff(QUARTERS * energy_wh));
            match registry.assets.get(id).map(|asset| asset.data.kind) {
                Some(AssetKind::BaseLoad) => {
                    score.baseLoadW += power_w;
                    score.baseLoadErrorW += error_w;
                }
                Some(AssetKind::Pv) => {
                    score.pvW += power_w;
                    score.pvErrorW += error_w;
                }
                _ => {}
            }
        }
    }
    score
}
