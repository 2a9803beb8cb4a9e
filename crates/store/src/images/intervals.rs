//! A set of byte ranges that remembers what is in it already.

use std::collections::BTreeMap;
use std::ops::Range;

/// Disjoint ranges, not touching each other: start → end.
#[derive(Debug, Default)]
pub(super) struct Intervals(BTreeMap<u64, u64>);

impl Intervals {
    /// The parts of `range` that are not in the set, in order.
    pub(super) fn missing(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        let mut at = range.start;
        let from = self.0.range(..=range.start).next_back().map_or(range.start, |(start, _)| *start);
        for (&start, &end) in self.0.range(from..range.end.max(from)) {
            if at < start {
                gaps.push(at..start);
            }
            at = at.max(end);
        }
        if at < range.end {
            gaps.push(at..range.end);
        }
        gaps
    }

    /// Puts `range` into the set.
    pub(super) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        let touching: Vec<u64> = self
            .0
            .range(..=range.end)
            .rev()
            .take_while(|(_, known_end)| **known_end >= range.start)
            .map(|(known, _)| *known)
            .collect();
        for known in touching {
            if let Some(known_end) = self.0.remove(&known) {
                start = start.min(known);
                end = end.max(known_end);
            }
        }
        self.0.insert(start, end);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_plain_set(ranges in prop::collection::vec((0_u64..60, 0_u64..20), 0..20)) {
            let mut intervals = Intervals::default();
            let mut plain = [false; 80];
            for (start, length) in ranges {
                let range = start..start + length;
                let mut missing = [false; 80];
                for gap in intervals.missing(range.clone()) {
                    prop_assert!(!gap.is_empty());
                    missing[gap.start as usize..gap.end as usize].fill(true);
                }
                for at in 0..80 {
                    let expected = range.contains(&(at as u64)) && !plain[at];
                    prop_assert_eq!(missing[at], expected);
                }
                plain[range.start as usize..range.end as usize].fill(true);
                intervals.insert(range);
            }
            let ends: Vec<_> = intervals.0.iter().collect();
            prop_assert!(ends.windows(2).all(|pair| pair[0].1 < pair[1].0), "{:?}", ends);
        }
    }
}
