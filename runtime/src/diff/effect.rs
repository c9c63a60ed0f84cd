//! How much longer one series of times is than another, and how sure that is.
//!
//! Steps lie in time, and what disturbs a machine comes in bursts: neighbouring steps are slow together. So steps are not drawn
//! one by one: they are cut into batches, one behind the other, and of each batch the ratio of the medians is taken. How much
//! these ratios differ from each other tells how sure their middle is (the method of batch means).
//!
//! That alone would be too sure of itself: a recording is one visit to a machine in one mood, and the mood may be another one at the
//! next visit. What differs from one batch to the next averages out. What lasts longer is mood: it does not get less with the number of batches,
//! only with that of recordings.

use std::ops::Range;

use super::student;

/// Batches that steps are cut into, at most.
const MOST_BATCHES: usize = 20;
/// Batches without which nothing can be said.
const FEWEST_BATCHES: usize = 6;
/// Steps of a batch, at least.
const SMALLEST_BATCH: usize = 5;
/// Steps without which nothing can be said.
pub(super) const FEWEST_STEPS: usize = FEWEST_BATCHES * SMALLEST_BATCH;

/// Steps cut into batches, none of which lies in two recordings.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Batches {
    batches: Vec<Range<usize>>,
    recordings: usize,
}

impl Batches {
    /// Of recordings with so many steps each; none if they are too few.
    pub(super) fn of(steps: &[usize]) -> Option<Self> {
        let all: usize = steps.iter().sum();
        let size = SMALLEST_BATCH.max(all.div_ceil(MOST_BATCHES));
        let mut batches = Vec::new();
        let (mut begin, mut recordings) = (0, 0);
        for n in steps {
            let parts = n / size;
            for i in 0..parts {
                batches.push(begin + n * i / parts..begin + n * (i + 1) / parts);
            }
            recordings += usize::from(parts > 0);
            begin += n;
        }
        (batches.len() >= FEWEST_BATCHES).then_some(Self { batches, recordings })
    }
}

/// What stands for many steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Middle {
    /// Half of them are faster: what a step usually takes.
    Median,
    /// All of them together over their number: what slow ones among them cost is in it.
    Mean,
}

impl Middle {
    fn of(self, values: &[f64]) -> f64 {
        match self {
            Self::Median => median(values),
            Self::Mean => values.iter().sum::<f64>() / values.len() as f64,
        }
    }
}

/// How many times as long `b` takes as `a`, as a logarithm.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Effect {
    /// The middle of all steps of a.
    pub(super) before: f64,
    /// The same of b.
    pub(super) after: f64,
    /// The logarithm of their ratio.
    pub(super) estimate: f64,
    /// The square of its standard error.
    variance: f64,
    /// The part of it that more steps in the same recordings would not make less.
    mood: f64,
    freedom: usize,
}

impl Effect {
    /// Of two series, step by step the same; none if in some batch most steps take no time.
    pub(super) fn of(middle: Middle, a: &[f64], b: &[f64], batches: &Batches) -> Option<Self> {
        let (before, after) = (middle.of(a), middle.of(b));
        let estimate = (after / before).ln();
        let ratio =
            |range: &Range<usize>| Some((middle.of(b.get(range.clone())?) / middle.of(a.get(range.clone())?)).ln());
        let ratios: Vec<f64> = batches.batches.iter().map(ratio).collect::<Option<_>>()?;
        let n = ratios.len() as f64;
        let mean = ratios.iter().sum::<f64>() / n;
        let spread = ratios.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / (n - 1.0);
        if !(estimate + spread).is_finite() {
            return None;
        }
        // What neighbours differ by is gone again a batch later.
        let passing = ratios.windows(2).map(|w| (w[1] - w[0]).powi(2)).sum::<f64>() / 2.0 / (n - 1.0);
        let mood = (spread - passing).max(0.0) / batches.recordings as f64;
        Some(Self { before, after, estimate, variance: mood + spread / n, mood, freedom: ratios.len() - 1 })
    }

    /// Half the interval that holds the truth but for the share `alpha`.
    pub(super) fn half(&self, alpha: f64) -> f64 {
        student::beyond(alpha, self.freedom) * self.variance.sqrt()
    }

    /// How many times as many steps would make half the interval `wanted`; none if more steps alone would not.
    pub(super) fn times_for(&self, alpha: f64, wanted: f64) -> Option<f64> {
        let room = (wanted / student::beyond(alpha, self.freedom)).powi(2) - self.mood;
        (room > 0.0).then(|| ((self.variance - self.mood) / room).max(1.0))
    }
}

/// The median; not a number of nothing.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::noisy::Noisy;
    use super::*;

    #[test]
    fn no_batch_lies_in_two_recordings() {
        let batches = Batches::of(&[40, 3, 40]).unwrap();
        assert_eq!(batches.recordings, 2);
        assert_eq!(batches.batches.len(), 16);
        assert!(batches.batches.iter().all(|b| b.end <= 40 || b.start >= 43));
        assert_eq!(Batches::of(&[29]), None);
        assert_eq!(Batches::of(&[1000]).unwrap().batches.len(), MOST_BATCHES);
    }

    #[test]
    fn what_is_twice_as_long_is_without_any_doubt() {
        let a: Vec<f64> = (0..100).map(|i| 100.0 + f64::from(i)).collect();
        let b: Vec<f64> = a.iter().map(|v| 2.0 * v).collect();
        let effect = Effect::of(Middle::Median, &a, &b, &Batches::of(&[100]).unwrap()).unwrap();
        assert!((effect.estimate.exp() - 2.0).abs() < 1e-9 && effect.half(0.001) < 1e-9);
    }

    #[test]
    fn what_takes_no_time_is_not_compared() {
        let batches = Batches::of(&[50]).unwrap();
        assert_eq!(Effect::of(Middle::Median, &[0.0; 50], &[1.0; 50], &batches), None);
    }

    /// The same thing twice, steps that hang together, bursts, and another mood at each visit.
    #[test]
    fn an_interval_of_95_percent_misses_the_truth_in_less_than_5_percent() {
        let mut random = Noisy::new(3);
        for (name, correlation, bursts, mood, steps) in [
            ("independent", 0.0, 0.0, 0.0, 60),
            ("independent", 0.0, 0.0, 0.0, 400),
            ("correlated", 0.8, 0.0, 0.0, 200),
            ("strongly correlated", 0.95, 0.0, 0.0, 400),
            ("bursts", 0.5, 0.02, 0.0, 200),
            ("another mood now and then", 0.3, 0.0, 0.05, 300),
        ] {
            let (mut missed, trials) = ([0, 0], 400);
            for _ in 0..trials {
                let a = random.series(steps, correlation, bursts, mood);
                let b = random.series(steps, correlation, bursts, mood);
                for (missed, middle) in missed.iter_mut().zip([Middle::Median, Middle::Mean]) {
                    let effect = Effect::of(middle, &a, &b, &Batches::of(&[steps]).unwrap()).unwrap();
                    *missed += u32::from(effect.estimate.abs() > effect.half(0.05));
                }
            }
            // Of 400 intervals that hold in 95 of 100 cases, 30 or more miss in one of 50 tests.
            assert!(missed.iter().all(|m| *m < 30), "{name}, {steps} steps: {missed:?} of {trials}");
        }
    }

    #[test]
    fn recordings_in_turns_make_it_surer() {
        let mut random = Noisy::new(5);
        let (mut one, mut three) = (0.0, 0.0);
        for _ in 0..50 {
            let a = random.series(300, 0.3, 0.0, 0.05);
            let b = random.series(300, 0.3, 0.0, 0.05);
            one += Effect::of(Middle::Median, &a, &b, &Batches::of(&[300]).unwrap()).unwrap().half(0.05);
            three += Effect::of(Middle::Median, &a, &b, &Batches::of(&[100, 100, 100]).unwrap()).unwrap().half(0.05);
        }
        assert!(three < 0.8 * one, "{three} {one}");
    }

    #[test]
    fn so_many_steps_would_do() {
        let mut random = Noisy::new(9);
        let mut held = 0;
        for _ in 0..50 {
            let (a, b) = (random.series(100, 0.0, 0.0, 0.0), random.series(100, 0.0, 0.0, 0.0));
            let effect = Effect::of(Middle::Median, &a, &b, &Batches::of(&[100]).unwrap()).unwrap();
            let wanted = effect.half(0.05) * 0.8;
            let Some(times) = effect.times_for(0.05, wanted) else { continue };
            let steps = (100.0 * times).ceil() as usize;
            let (a, b) = (random.series(steps, 0.0, 0.0, 0.0), random.series(steps, 0.0, 0.0, 0.0));
            let half = Effect::of(Middle::Median, &a, &b, &Batches::of(&[steps]).unwrap()).unwrap().half(0.05);
            held += u32::from(half < 1.5 * wanted);
        }
        assert!(held >= 20, "{held}");
    }
}
