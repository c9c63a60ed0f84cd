//! Whether slices nest: on a track each lies beside, inside of or around each other one.

use std::collections::VecDeque;

/// Stretches of a track that are kept; those before are one.
const MOST: usize = 16_384;

/// A stretch of a track that slices cover: the outermost of them.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    begin: i64,
    end: i64,
    /// The turn in which it was written.
    turn: u64,
}

/// What of a track is covered, by slices that come roughly in the order of their ends.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// In their order; they touch at most.
    stretches: VecDeque<Stretch>,
    /// From the first to the last of those that are no longer kept.
    before: Option<(i64, i64)>,
}

impl Lane {
    /// Takes all of these slices (beginning and end, inner ones first), which are written in the same turn; or none of them, if one
    /// does not nest with what is there.
    pub(super) fn take(&mut self, slices: &[(i64, i64)], turn: u64) -> bool {
        if !slices.iter().all(|(begin, end)| self.nests(*begin, *end, turn)) {
            return false;
        }
        slices.iter().for_each(|(begin, end)| self.cover(*begin, *end, turn));
        while self.stretches.len() > MOST {
            if let Some(first) = self.stretches.pop_front() {
                self.before = Some((self.before.map_or(first.begin, |(begin, _)| begin), first.end));
            }
        }
        true
    }

    fn nests(&self, begin: i64, end: i64, turn: u64) -> bool {
        if self.before.is_some_and(|(first, last)| first <= begin && begin < last || end == first) {
            return false;
        }
        let from = self.stretches.partition_point(|s| s.end <= begin && s.begin < begin);
        let near = self.stretches.range(from..);
        near.take_while(|s| s.begin <= end).all(|s| {
            // Readers take what was written first as the outer one where two begin together, and as the earlier one where one
            // begins as the other ends.
            let is_known = s.turn != turn;
            if s.begin >= end {
                return !is_known;
            }
            begin <= s.begin && s.end <= end && !(is_known && s.begin == begin)
        })
    }

    fn cover(&mut self, begin: i64, end: i64, turn: u64) {
        let from = self.stretches.partition_point(|s| s.end <= begin && s.begin < begin);
        let inside = self.stretches.range(from..).take_while(|s| s.begin < end || s.begin == begin).count();
        self.stretches.drain(from..from + inside);
        self.stretches.insert(from, Stretch { begin, end, turn });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_ones_come_before_outer_ones() {
        let mut lane = Lane::default();
        assert!(lane.take(&[(10, 20)], 1));
        assert!(lane.take(&[(20, 30)], 2), "one behind the other");
        assert!(lane.take(&[(5, 30)], 3), "around both");
        assert!(lane.take(&[(30, 40)], 4));
        assert!(!lane.take(&[(35, 50)], 5), "over the end of another");
        assert!(!lane.take(&[(12, 50)], 5), "over the end of one around others");
        assert!(lane.take(&[(5, 50)], 6) || lane.take(&[(4, 50)], 6));
    }

    #[test]
    fn what_readers_would_nest_the_other_way_does_not_fit() {
        let mut lane = Lane::default();
        assert!(lane.take(&[(10, 20)], 1));
        assert!(!lane.take(&[(10, 30)], 2), "it would be taken for the inner one");
        assert!(!lane.take(&[(5, 10)], 2), "it would end behind the beginning of the next one");
        assert!(!lane.take(&[(12, 15)], 2), "what is inside is not known any more");
        assert!(lane.take(&[(22, 30), (20, 22), (20, 30)], 3), "of one turn all are put in order");
    }

    #[test]
    fn far_back_everything_is_one_stretch() {
        let mut lane = Lane::default();
        for i in 0..MOST as i64 + 10 {
            assert!(lane.take(&[(10 * i, 10 * i + 5)], i as u64));
        }
        assert_eq!(lane.stretches.len(), MOST);
        assert!(!lane.take(&[(7, 1_000_000)], u64::MAX), "it may begin inside of one");
        assert!(lane.take(&[(-1, 1_000_000)], u64::MAX), "it is around all of them");
    }

    /// Against all slices there are, by chance.
    #[test]
    fn all_that_fit_nest() {
        let mut state = 7u64;
        let mut dice = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % n) as i64
        };
        let (mut lane, mut all, mut fitted) = (Lane::default(), Vec::<(i64, i64)>::new(), 0);
        for turn in 0..3_000u64 {
            let end = turn as i64 / 4 + dice(8);
            let begin = end - dice(12);
            if lane.take(&[(begin, end)], turn) {
                fitted += 1;
                for (b, e) in &all {
                    let beside = end <= *b || *e <= begin;
                    let nested = begin <= *b && *e <= end || *b <= begin && end <= *e;
                    assert!(beside || nested, "{begin}..{end} and {b}..{e}");
                }
                all.push((begin, end));
            }
        }
        assert!(fitted > 300, "{fitted}");
    }
}
