//! Which intervals count as certified, for as long as the contract remembers them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// Intervals of a word of the contract, and words of a site.
const RUN: u32 = 224;
const RUNS: u32 = 8;

/// By word, which run of intervals it is of, and which of those are certified.
#[derive(Debug, Clone, Default)]
pub(super) struct Certified {
    words: BTreeMap<u32, (u32, BTreeSet<u32>)>,
}

impl Certified {
    /// Sets an interval, and returns what it was. What a word held of another run is forgotten.
    pub(super) fn set(&mut self, interval: u32, certified: bool) -> bool {
        let run = interval / RUN;
        let word = self.words.entry(run % RUNS).or_default();
        if word.0 != run {
            *word = (run, BTreeSet::new());
        }
        if certified { !word.1.insert(interval) } else { word.1.remove(&interval) }
    }

    fn holds(&self, interval: u32) -> bool {
        let run = interval / RUN;
        self.words.get(&(run % RUNS)).is_some_and(|word| word.0 == run && word.1.contains(&interval))
    }

    /// Whether all intervals from `first` to `last` are certified.
    pub(super) fn covers(&self, first: u32, last: u32) -> bool {
        first <= last && last - first < RUN * RUNS && (first..=last).all(|t| self.holds(t))
    }

    /// Stretches of certified intervals, with none beside them.
    pub(super) fn stretches(&self) -> Vec<RangeInclusive<u32>> {
        let all: BTreeSet<u32> = self.words.values().flat_map(|(_, intervals)| intervals).copied().collect();
        let begins = all.iter().filter(|t| !all.contains(&t.wrapping_sub(1)));
        begins.map(|first| *first..=(*first..).find(|t| !all.contains(&(t + 1))).unwrap_or(*first)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_ends_where_an_interval_is_missing_or_forgotten() {
        let mut certified = Certified::default();
        for t in [223, 224, 225, 227] {
            assert!(!certified.set(t, true));
        }
        assert!(certified.covers(223, 225) && !certified.covers(225, 227) && !certified.covers(225, 224));
        assert_eq!(certified.stretches(), [223..=225, 227..=227]);
        assert!(certified.set(227, false) && !certified.set(227, false));
        // The next run in the same word.
        certified.set(224 + RUN * RUNS, true);
        assert!(!certified.covers(224, 224) && certified.covers(223, 223));
    }
}
