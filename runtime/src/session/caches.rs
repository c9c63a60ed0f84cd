//! Hit rates that caches of every size would have had, from a stream of what is looked up in them.

use std::collections::HashMap;

/// Which cache: process, context, and what a script tells caches apart by.
pub type Cache = (u32, i64, Option<i64>);

/// How deep each value was found in a stack of least recent use: a cache of n entries that throws out what was used least
/// recently hits exactly those found among the first n.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LruDepths {
    /// A stack per cache, most recent first.
    stacks: HashMap<Cache, Vec<i64>>,
    /// Values found at depth 0, 1, 2 …
    depths: Vec<u64>,
    /// Values met for the first time.
    first: u64,
}

impl LruDepths {
    /// Looks a value up.
    pub fn count(&mut self, cache: Cache, value: i64) {
        let stack = self.stacks.entry(cache).or_default();
        match stack.iter().position(|v| *v == value) {
            Some(depth) => {
                if self.depths.len() <= depth {
                    self.depths.resize(depth + 1, 0);
                }
                self.depths[depth] += 1;
                stack[..=depth].rotate_right(1);
            }
            None => {
                self.first += 1;
                stack.insert(0, value);
            }
        }
    }

    /// The share of hits of caches of 1, 2, 3 … entries each, up to as many as one of them saw different values.
    pub fn hit_rates(&self) -> Vec<f64> {
        let all = self.first + self.depths.iter().sum::<u64>();
        let most = self.stacks.values().map(Vec::len).max().unwrap_or(0);
        shares(self.depths.iter().copied().chain(std::iter::repeat(0)).take(most), all)
    }
}

/// How often each value was looked up: a cache of n entries that holds the n most frequent ones from the beginning, and
/// never another, hits exactly those.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Frequencies {
    caches: HashMap<Cache, HashMap<i64, u64>>,
}

impl Frequencies {
    /// Looks a value up.
    pub fn count(&mut self, cache: Cache, value: i64) {
        *self.caches.entry(cache).or_default().entry(value).or_default() += 1;
    }

    /// The share of hits of caches of 1, 2, 3 … entries each, up to as many as one of them saw different values.
    pub fn hit_rates(&self) -> Vec<f64> {
        let mut at_rank: Vec<u64> = Vec::new();
        for counts in self.caches.values() {
            let mut counts: Vec<u64> = counts.values().copied().collect();
            counts.sort_unstable_by(|a, b| b.cmp(a));
            if at_rank.len() < counts.len() {
                at_rank.resize(counts.len(), 0);
            }
            at_rank.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        let all = at_rank.iter().sum();
        shares(at_rank.into_iter(), all)
    }
}

/// The share of `all` that the first 1, 2, 3 … of these hits add up to.
fn shares(hits: impl Iterator<Item = u64>, all: u64) -> Vec<f64> {
    let mut sum = 0;
    let share = |more: u64| {
        sum += more;
        sum as f64 / all as f64
    };
    hits.map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [i64; 10] = [3, 1, 3, 2, 1, 1, 3, 7, 3, 2];

    #[test]
    fn a_cache_hits_what_lies_within_its_size() {
        let mut depths = LruDepths::default();
        IDS.iter().for_each(|id| depths.count((1, 0, None), *id));
        for size in 1..=4usize {
            let (mut cache, mut hits) = (Vec::new(), 0);
            for id in IDS {
                if let Some(at) = cache.iter().position(|c| *c == id) {
                    hits += 1;
                    cache.remove(at);
                }
                cache.push(id);
                if cache.len() > size {
                    cache.remove(0);
                }
            }
            assert_eq!(depths.hit_rates()[size - 1], f64::from(hits) / 10.0, "a cache of {size}");
        }
        assert_eq!(depths.hit_rates().len(), 4);
    }

    #[test]
    fn processes_do_not_share_a_cache() {
        let mut depths = LruDepths::default();
        for process in [1, 2, 1, 2] {
            depths.count((process, 0, None), 5);
        }
        assert_eq!(depths.hit_rates(), [0.5]);
    }

    #[test]
    fn pinned_entries_hit_as_often_as_they_come() {
        let mut counts = Frequencies::default();
        assert!(counts.hit_rates().is_empty());
        IDS.iter().for_each(|id| counts.count((1, 0, None), *id));
        // 3 four times, 1 three times, 2 twice, 7 once.
        assert_eq!(counts.hit_rates(), [0.4, 0.7, 0.9, 1.0]);
    }

    #[test]
    fn each_cache_has_that_many_entries() {
        let (mut counts, mut depths) = (Frequencies::default(), LruDepths::default());
        for (cache, id) in [(1, 5), (1, 5), (1, 6), (2, 5), (2, 7), (2, 7), (2, 7), (1, 5)] {
            counts.count((1, 0, Some(cache)), id);
            depths.count((1, 0, Some(cache)), id);
        }
        assert_eq!(counts.hit_rates(), [6.0 / 8.0, 1.0]);
        assert_eq!(depths.hit_rates(), [3.0 / 8.0, 4.0 / 8.0]);
    }
}
