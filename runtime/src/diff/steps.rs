//! Which step is held against which: those at the same position with as many tokens, in the order in which they came. So a
//! context that grows slows both sides alike.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::ask::{Group, Recorded, Step};
use super::judge::Series;

/// How steps were put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Matched {
    /// By position and tokens.
    Position,
    /// By tokens, in their order.
    Tokens,
    /// In their order; times are those of a token.
    Order,
}

/// Steps of a phase that are held against each other.
#[derive(Debug)]
pub(super) struct Pairs {
    /// Step of one, step of the other, by pair of recordings.
    all: Vec<Vec<(usize, usize)>>,
    /// How they were put together.
    pub(super) matched: Matched,
    /// Steps of the phase on both sides.
    pub(super) steps: [usize; 2],
    /// Their positions, from and to.
    pub(super) positions: [Option<(i64, i64)>; 2],
    /// Their tokens a step, from and to.
    pub(super) tokens: [Option<(i64, i64)>; 2],
}

/// The phases of recordings, in alphabetical order.
pub(super) fn phases<'r>(all: impl Iterator<Item = &'r Recorded>) -> Vec<String> {
    let phases: BTreeSet<&str> = all.flat_map(|r| r.steps.iter().map(|s| s.phase.as_str())).collect();
    phases.into_iter().map(str::to_owned).collect()
}

impl Pairs {
    /// Puts together the steps of a phase.
    pub(super) fn of(phase: &str, recordings: &[[Recorded; 2]]) -> Self {
        let of = |r: &Recorded| -> Vec<usize> {
            r.steps.iter().enumerate().filter(|(_, s)| s.phase == phase && s.is_whole).map(|(i, _)| i).collect()
        };
        let sides: Vec<[Vec<usize>; 2]> = recordings.iter().map(|[a, b]| [of(a), of(b)]).collect();
        let count = |side: usize| sides.iter().map(|s| s[side].len()).sum();
        let steps: [usize; 2] = [count(0), count(1)];
        let most: usize = sides.iter().map(|[a, b]| a.len().min(b.len())).sum();
        let try_by = |key: fn(&Step) -> Option<(i64, i64)>| -> Vec<Vec<(usize, usize)>> {
            sides.iter().zip(recordings).map(|([a, b], [of_a, of_b])| by_key(a, b, of_a, of_b, key)).collect()
        };
        let found = |all: &Vec<Vec<(usize, usize)>>| all.iter().map(Vec::len).sum::<usize>();
        let mut matched = Matched::Position;
        let mut all = try_by(|s| Some((s.pos?, s.tokens.unwrap_or(0))));
        // Few that have their like: others are better than none.
        if found(&all) * 2 < most {
            matched = Matched::Tokens;
            all = try_by(|s| Some((0, s.tokens.unwrap_or(0))));
        }
        if found(&all) * 2 < most {
            matched = Matched::Order;
            all = try_by(|_| Some((0, 0)));
        }
        let span = |side: usize, of: fn(&Step) -> Option<i64>| {
            let values =
                sides.iter().zip(recordings).flat_map(|(s, r)| s[side].iter().map(move |i| &r[side].steps[*i]));
            let values: Vec<i64> = values.filter_map(of).collect();
            Some((*values.iter().min()?, *values.iter().max()?))
        };
        let positions = [span(0, |s| s.pos), span(1, |s| s.pos)];
        let tokens = [span(0, |s| s.tokens), span(1, |s| s.tokens)];
        Self { all, matched, steps, positions, tokens }
    }

    /// How many of each pair of recordings.
    pub(super) fn counts(&self) -> Vec<usize> {
        self.all.iter().map(Vec::len).collect()
    }

    /// Times of whole steps.
    pub(super) fn whole(&self, recordings: &[[Recorded; 2]]) -> Series {
        self.series(recordings, |r, i| r.steps[i].dur)
    }

    /// Times of a row of a group.
    pub(super) fn row(&self, recordings: &[[Recorded; 2]], group: usize, key: &str) -> Series {
        self.series(recordings, |r, i| at(r.groups.get(group), key, i).0)
    }

    fn series(&self, recordings: &[[Recorded; 2]], of: impl Fn(&Recorded, usize) -> f64) -> Series {
        let value = |r: &Recorded, i: usize| {
            // Steps with other numbers of tokens can only be compared token by token.
            let per = if self.matched == Matched::Order { r.steps[i].tokens.unwrap_or(1).max(1) as f64 } else { 1.0 };
            of(r, i) / per
        };
        let mut series = Series::default();
        for (pairs, [a, b]) in self.all.iter().zip(recordings) {
            for (i, j) in pairs {
                series.a.push(value(a, *i));
                series.b.push(value(b, *j));
            }
        }
        series
    }
}

/// Time and number of operators of a row in a step.
fn at(group: Option<&Group>, key: &str, step: usize) -> (f64, f64) {
    group.and_then(|g| g.rows.get(key)?.of.get(&step).copied()).unwrap_or_default()
}

/// Pairs of steps with the same key, each with the next that is free, in the order of the first ones.
fn by_key(
    a: &[usize],
    b: &[usize],
    of_a: &Recorded,
    of_b: &Recorded,
    key: fn(&Step) -> Option<(i64, i64)>,
) -> Vec<(usize, usize)> {
    let mut free: HashMap<(i64, i64), VecDeque<usize>> = HashMap::new();
    for i in b {
        if let Some(key) = key(&of_b.steps[*i]) {
            free.entry(key).or_default().push_back(*i);
        }
    }
    a.iter().filter_map(|i| Some((*i, free.get_mut(&key(&of_a.steps[*i])?)?.pop_front()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(steps: &[(i64, i64)]) -> Recorded {
        let step = |(pos, tokens): &(i64, i64)| Step {
            phase: "decode".into(),
            dur: *pos as f64,
            tokens: Some(*tokens),
            pos: Some(*pos),
            is_whole: true,
        };
        Recorded { steps: steps.iter().map(step).collect(), ..Recorded::default() }
    }

    #[test]
    fn steps_at_the_same_position_are_held_against_each_other() {
        let a = recorded(&[(5, 1), (6, 1), (7, 1), (5, 1), (6, 1)]);
        let b = recorded(&[(4, 1), (5, 1), (6, 1), (4, 1), (5, 1), (6, 1), (7, 1)]);
        let pairs = Pairs::of("decode", &[[a, b]]);
        assert_eq!(
            (pairs.matched, &pairs.all[0][..]),
            (Matched::Position, &[(0, 1), (1, 2), (2, 6), (3, 4), (4, 5)][..])
        );
        assert_eq!(pairs.positions, [Some((5, 7)), Some((4, 7))]);
    }

    #[test]
    fn positions_that_are_not_there_again_do_not_count() {
        let pairs = Pairs::of("decode", &[[recorded(&[(5, 1), (6, 1)]), recorded(&[(50, 1), (60, 1), (70, 1)])]]);
        assert_eq!((pairs.matched, pairs.counts()), (Matched::Tokens, vec![2]));
    }

    #[test]
    fn other_numbers_of_tokens_are_compared_token_by_token() {
        let recordings = [[recorded(&[(100, 4)]), recorded(&[(300, 3)])]];
        let pairs = Pairs::of("decode", &recordings);
        assert_eq!(pairs.matched, Matched::Order);
        assert_eq!(pairs.whole(&recordings), Series { a: vec![25.0], b: vec![100.0] });
    }
}
