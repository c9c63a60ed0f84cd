//! Hit rates that caches of every size would have had, from a stream of what is looked up in them.

use std::collections::HashMap;

/// Which cache: process, context, and what a script tells caches apart by.
pub type Cache = (u32, i64, Option<i64>);

/// Room for different values that are kept, in all caches and all rows together.
#[derive(Debug, Clone, Copy)]
pub struct Room(usize);

impl Room {
    /// Different values that are kept at most. What comes beyond is counted as lost.
    pub const ALL: usize = 1 << 20;

    /// Room for as many values.
    pub fn new(values: usize) -> Self {
        Self(values)
    }

    /// Takes the room of one value; false if there is none.
    #[must_use]
    pub fn take(&mut self) -> bool {
        let has_room = self.0 > 0;
        self.0 -= usize::from(has_room);
        has_room
    }

    /// Values are no longer kept.
    pub fn give_back(&mut self, values: usize) {
        self.0 += values;
    }
}

impl Default for Room {
    fn default() -> Self {
        Self(Self::ALL)
    }
}

/// How deep each value was found in a stack of least recent use: a cache of n entries that throws out what was used least
/// recently hits exactly those found among the first n.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LruDepths {
    stacks: HashMap<Cache, Stack>,
    /// Values found at depth 0, 1, 2 …
    depths: Vec<u64>,
    /// Values met for the first time.
    first: u64,
}

impl LruDepths {
    /// Looks a value up; false if it is one too many, which is not kept.
    #[must_use]
    pub fn count(&mut self, cache: Cache, value: i64, room: &mut Room) -> bool {
        let stack = self.stacks.entry(cache).or_default();
        match stack.depth(value) {
            Some(depth) => {
                if self.depths.len() <= depth {
                    self.depths.resize(depth + 1, 0);
                }
                self.depths[depth] += 1;
            }
            None if !room.take() => return false,
            None => self.first += 1,
        }
        stack.put_on_top(value);
        true
    }

    /// How many values are kept.
    pub fn kept(&self) -> usize {
        self.stacks.values().map(Stack::len).sum()
    }

    /// The share of hits of caches of 1, 2, 3 … entries each, up to as many as one of them saw different values.
    pub fn hit_rates(&self) -> Vec<f64> {
        let all = self.first + self.depths.iter().sum::<u64>();
        let most = self.stacks.values().map(Stack::len).max().unwrap_or(0);
        shares(self.depths.iter().copied().chain(std::iter::repeat(0)).take(most), all)
    }
}

/// Different values in the order of their last use.
///
/// Each has its place on a line, the newest last, and sums over a binary indexed tree (Fenwick 1994) say how many lie
/// behind a place: a look-up takes as many steps as the number of values has binary digits, however deep it lies.
#[derive(Debug, Clone, Default, PartialEq)]
struct Stack {
    /// The place of each value, from 1.
    places: HashMap<i64, usize>,
    /// At a place the number of values on as many places up to it as its lowest binary digit says; place 0 is unused.
    sums: Vec<usize>,
    /// The newest place.
    last: usize,
}

impl Stack {
    /// Places of the smallest line.
    const SMALLEST: usize = 64;

    /// How many different values there are.
    fn len(&self) -> usize {
        self.places.len()
    }

    /// How many different values were used since this one was.
    fn depth(&self, value: i64) -> Option<usize> {
        let mut place = *self.places.get(&value)?;
        let mut up_to = 0;
        while place > 0 {
            up_to += self.sums[place];
            place &= place - 1;
        }
        Some(self.places.len() - up_to)
    }

    /// A value is used now.
    fn put_on_top(&mut self, value: i64) {
        if self.last + 1 >= self.sums.len() {
            self.renumber();
        }
        self.last += 1;
        if let Some(before) = self.places.insert(value, self.last) {
            self.add(before, false);
        }
        self.add(self.last, true);
    }

    fn add(&mut self, mut place: usize, comes: bool) {
        while place < self.sums.len() {
            self.sums[place] = if comes { self.sums[place] + 1 } else { self.sums[place] - 1 };
            place += place & place.wrapping_neg();
        }
    }

    /// Moves all together, on a line with as many free places as there are values.
    fn renumber(&mut self) {
        let mut in_order: Vec<(usize, i64)> = self.places.iter().map(|(value, place)| (*place, *value)).collect();
        in_order.sort_unstable();
        let places = (2 * in_order.len()).max(Self::SMALLEST);
        self.sums = vec![0; places + 1];
        self.last = in_order.len();
        for (i, (_, value)) in in_order.into_iter().enumerate() {
            self.places.insert(value, i + 1);
            self.add(i + 1, true);
        }
    }
}

/// How often each value was looked up: a cache of n entries that holds the n most frequent ones from the beginning, and
/// never another, hits exactly those.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Frequencies {
    caches: HashMap<Cache, HashMap<i64, u64>>,
}

impl Frequencies {
    /// Looks a value up; false if it is one too many, which is not kept.
    #[must_use]
    pub fn count(&mut self, cache: Cache, value: i64, room: &mut Room) -> bool {
        let counts = self.caches.entry(cache).or_default();
        match counts.get_mut(&value) {
            Some(count) => *count += 1,
            None if room.take() => _ = counts.insert(value, 1),
            None => return false,
        }
        true
    }

    /// How many values are kept.
    pub fn kept(&self) -> usize {
        self.caches.values().map(HashMap::len).sum()
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
        let (mut depths, room) = (LruDepths::default(), &mut Room::default());
        IDS.iter().for_each(|id| assert!(depths.count((1, 0, None), *id, room)));
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

    /// Against a list that is searched from its top, over enough values that all are numbered anew again and again.
    #[test]
    fn depths_are_those_of_a_list() {
        let (mut depths, mut list, mut state, room) = (LruDepths::default(), Vec::new(), 1u64, &mut Room::default());
        let mut expected: HashMap<usize, u64> = HashMap::new();
        for i in 0..20_000u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value = ((state >> 33) % (1 + i / 10)) as i64;
            if let Some(at) = list.iter().position(|v| *v == value) {
                *expected.entry(at).or_default() += 1;
                list.remove(at);
            }
            list.insert(0, value);
            assert!(depths.count((1, 0, None), value, room));
        }
        assert!(list.len() > 500, "{}", list.len());
        let counted = depths.depths.iter().enumerate().filter(|(_, n)| **n > 0).map(|(i, n)| (i, *n)).collect();
        assert_eq!(expected, counted);
    }

    #[test]
    fn values_beyond_the_limit_are_refused_and_known_ones_are_not() {
        let (mut counts, mut depths, room) = (Frequencies::default(), LruDepths::default(), &mut Room::new(6));
        for value in 0..3 {
            assert!(counts.count((1, 0, None), value, room) && depths.count((1, 0, None), value, room), "{value}");
        }
        assert!(!counts.count((1, 0, None), -1, room) && !depths.count((2, 0, None), -1, room));
        assert!(counts.count((1, 0, None), 2, room) && depths.count((1, 0, None), 0, room));
        assert_eq!((counts.hit_rates(), depths.hit_rates()), (vec![0.5, 0.75, 1.0], vec![0.0, 0.0, 0.25]));
        room.give_back(depths.kept());
        assert!(counts.count((1, 0, None), -1, room));
    }

    #[test]
    fn processes_do_not_share_a_cache() {
        let (mut depths, room) = (LruDepths::default(), &mut Room::default());
        for process in [1, 2, 1, 2] {
            assert!(depths.count((process, 0, None), 5, room));
        }
        assert_eq!(depths.hit_rates(), [0.5]);
    }

    #[test]
    fn pinned_entries_hit_as_often_as_they_come() {
        let (mut counts, room) = (Frequencies::default(), &mut Room::default());
        assert!(counts.hit_rates().is_empty());
        IDS.iter().for_each(|id| assert!(counts.count((1, 0, None), *id, room)));
        // 3 four times, 1 three times, 2 twice, 7 once.
        assert_eq!(counts.hit_rates(), [0.4, 0.7, 0.9, 1.0]);
    }

    #[test]
    fn each_cache_has_that_many_entries() {
        let (mut counts, mut depths, room) = (Frequencies::default(), LruDepths::default(), &mut Room::default());
        for (cache, id) in [(1, 5), (1, 5), (1, 6), (2, 5), (2, 7), (2, 7), (2, 7), (1, 5)] {
            assert!(counts.count((1, 0, Some(cache)), id, room) && depths.count((1, 0, Some(cache)), id, room));
        }
        assert_eq!(counts.hit_rates(), [6.0 / 8.0, 1.0]);
        assert_eq!(depths.hit_rates(), [3.0 / 8.0, 4.0 / 8.0]);
    }
}
