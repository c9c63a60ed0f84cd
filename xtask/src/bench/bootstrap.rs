//! Medians, and how sure they are: percentile bootstrap over groups of values that belong together.

use profinfer::diff::median;
use serde::{Deserialize, Serialize};

/// How often values are drawn anew.
const DRAWS: usize = 10_000;

/// An estimate with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Estimate {
    /// The median.
    pub(super) median: f64,
    /// 2.5 % of the bootstrap's medians are below.
    pub(super) low: f64,
    /// 2.5 % are above.
    pub(super) high: f64,
}

/// The median of all values, with the interval in which 95 % of the medians lie when whole groups are drawn with replacement.
/// The draws are the same every time.
pub(super) fn bootstrap(groups: &[Vec<f64>]) -> Estimate {
    drawn(groups, DRAWS)
}

fn drawn(groups: &[Vec<f64>], draws: usize) -> Estimate {
    let all: Vec<f64> = groups.concat();
    if groups.is_empty() {
        return Estimate { median: f64::NAN, low: f64::NAN, high: f64::NAN };
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut values = Vec::with_capacity(all.len());
    let mut medians: Vec<f64> = (0..draws)
        .map(|_| {
            values.clear();
            for _ in 0..groups.len() {
                values.extend_from_slice(&groups[random.below(groups.len())]);
            }
            median(&values)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    Estimate { median: median(&all), low: medians[draws / 40], high: medians[draws - 1 - draws / 40] }
}

/// How many times the median of the values of `b` the median of those of `a` is, with its 95 % interval when groups of both are drawn
/// anew. A draw in which that of `b` is not above zero counts as infinitely many times.
pub(super) fn ratio(a: &[Vec<f64>], b: &[Vec<f64>]) -> Estimate {
    let mut random = Random(0x5851_f42d_4c95_7f2d);
    let mut draw = |groups: &[Vec<f64>]| {
        let drawn: Vec<f64> = (0..groups.len()).flat_map(|_| groups[random.below(groups.len())].clone()).collect();
        median(&drawn)
    };
    let times = |a: f64, b: f64| if b > 0.0 { a / b } else { f64::INFINITY };
    let mut ratios: Vec<f64> = (0..DRAWS).map(|_| times(draw(a), draw(b))).collect();
    ratios.sort_by(f64::total_cmp);
    let median = times(median(&a.concat()), median(&b.concat()));
    Estimate { median, low: ratios[DRAWS / 40], high: ratios[DRAWS - 1 - DRAWS / 40] }
}

/// A generator of numbers that are random enough for drawing (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_few_values() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn equal_values_leave_no_doubt() {
        let e = bootstrap(&vec![vec![0.03, 0.03]; 10]);
        assert_eq!((e.median, e.low, e.high), (0.03, 0.03, 0.03));
    }

    #[test]
    fn the_interval_holds_the_truth_about_as_often_as_it_says() {
        // Sums of twelve even numbers, which are as good as normal, around a known median.
        let mut random = Random(7);
        let mut held = 0;
        let trials = 60;
        for _ in 0..trials {
            let mut value = || (0..12).map(|_| random.below(1000) as f64 / 1000.0).sum::<f64>() - 6.0 + 2.0;
            let groups: Vec<Vec<f64>> = (0..10).map(|_| vec![value(), value()]).collect();
            let e = drawn(&groups, 1000);
            assert!(e.low <= e.median && e.median <= e.high);
            held += u32::from(e.low <= 2.0 && 2.0 <= e.high);
        }
        assert!((51..=60).contains(&held), "{held} of {trials} intervals of 95 % hold the truth");
    }

    #[test]
    fn a_ratio_is_that_of_the_medians() {
        let e = ratio(&vec![vec![0.03, 0.03]; 10], &vec![vec![0.02, 0.02]; 10]);
        assert!((e.median - 1.5).abs() < 1e-12 && (e.low - 1.5).abs() < 1e-12 && (e.high - 1.5).abs() < 1e-12);
        let doubtful = ratio(&vec![vec![0.03]; 10], &[vec![-0.01], vec![0.02], vec![0.02]]);
        assert!(doubtful.high.is_infinite());
    }

    #[test]
    fn more_groups_make_it_narrower() {
        let spread = |n: usize| {
            let e = bootstrap(&(0..n).map(|i| vec![(i % 10) as f64]).collect::<Vec<_>>());
            e.high - e.low
        };
        assert!(spread(400) < spread(20));
    }
}
