//! What is to be thought of differences: which are real, which are all alike and hence the machine's, which cannot be told.

use super::effect::{Batches, Effect, FEWEST_STEPS, Middle, median};

/// What of 100 comparisons of the same thing may be told apart, all rows together.
const ALPHA: f64 = 0.05;
/// Rows below this share of a step say nothing about what is common to all.
const COUNTS: f64 = 0.01;
/// What changes a step by less than this share of it is no difference.
const SMALL: f64 = 0.002;
/// Rows and time that must go along for a difference to be common to all.
const MOST: f64 = 2.0 / 3.0;

/// Times of the same steps on both sides.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Series {
    /// Before.
    pub(super) a: Vec<f64>,
    /// After.
    pub(super) b: Vec<f64>,
}

/// What is to be thought of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing that matters.
    Same,
    /// It takes longer.
    Slower,
    /// It takes less time.
    Faster,
    /// It changed by what everything did.
    AsAll,
    /// It takes longer even beside what everything did.
    SlowerItself,
    /// It takes less time even beside what everything did.
    FasterItself,
    /// The interval is too wide.
    Unclear,
    /// The other recording has nothing of the kind.
    OnlyBefore,
    /// The first recording has nothing of the kind.
    OnlyAfter,
}

impl Verdict {
    /// As tables and programs read it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Same => "no difference",
            Self::Slower => "slower",
            Self::Faster => "faster",
            Self::AsAll => "as all",
            Self::SlowerItself => "slower itself",
            Self::FasterItself => "faster itself",
            Self::Unclear => "cannot tell",
            Self::OnlyBefore => "only before",
            Self::OnlyAfter => "only after",
        }
    }

    /// Whether it is a change of its own.
    pub fn is_change(self) -> bool {
        !matches!(self, Self::Same | Self::AsAll | Self::Unclear)
    }
}

/// What was found of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Its time in a step before, in ns; none if there is none.
    pub before: Option<f64>,
    /// The same after.
    pub after: Option<f64>,
    /// The change as a share, and its interval, where it can be computed.
    pub change: Option<Change>,
    /// What is to be thought of it.
    pub verdict: Verdict,
}

/// A change with its interval: 0.12 is 12 % more time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// The change.
    pub estimate: f64,
    /// Where the interval begins; none if it is not known at all.
    pub low: Option<f64>,
    /// Where it ends.
    pub high: Option<f64>,
}

/// What was found of all.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judged {
    /// Of the whole step: of the median, of the mean.
    pub(super) whole: [Finding; 2],
    /// What all rows have in common, if that is a change, and most go along with it.
    pub(super) common: Option<Change>,
    /// Of each row of each table.
    pub(super) rows: Vec<Vec<Finding>>,
    /// Whether there are steps enough to say anything.
    pub(super) is_enough: bool,
    /// Steps that would be needed to be sure of the whole, where that is not so and more steps would do.
    pub(super) needed: Option<usize>,
}

/// What is asked of differences.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bar {
    /// The smallest change that is one, as a share.
    pub(super) least: f64,
    /// The share of comparisons that may go wrong, for each of them.
    alpha: f64,
}

impl Bar {
    fn change(self, effect: &Effect) -> Change {
        let half = effect.half(self.alpha);
        let share = |log: f64| log.exp() - 1.0;
        // What may be ten times as long or a tenth is not known at all.
        let bound = |log: f64| (half < std::f64::consts::LN_10).then(|| share(log));
        Change {
            estimate: share(effect.estimate),
            low: bound(effect.estimate - half),
            high: bound(effect.estimate + half),
        }
    }

    /// The verdict on a change, of something that takes `before` of a step of `whole`.
    fn verdict(self, change: Change, before: f64, whole: f64) -> Verdict {
        let (Some(low), Some(high)) = (change.low, change.high) else { return Verdict::Unclear };
        let small = SMALL * whole;
        if (low > 0.0 || high < 0.0) && change.estimate.abs() >= self.least && change.estimate.abs() * before >= small {
            return if low > 0.0 { Verdict::Slower } else { Verdict::Faster };
        }
        let is_narrow = (high - low) / 2.0 <= 2.0 * self.least;
        let is_sure = low > 0.0 || high < 0.0;
        if is_narrow || is_sure || low.abs().max(high.abs()) * before <= small {
            Verdict::Same
        } else {
            Verdict::Unclear
        }
    }
}

/// Judges a step as a whole and what it is made of. What all have in common is told from the rows of the first table.
pub(super) fn judge(whole: &Series, tables: &[Vec<Series>], steps: &[usize], least: f64) -> Judged {
    // One half for the step as a whole, which is looked at first, by median and by mean; one for all that it is made of.
    let share = |comparisons: usize| Bar { least, alpha: ALPHA / 2.0 / comparisons.max(1) as f64 };
    let (bar, bar_of_rows) = (share(2), share(tables.iter().map(Vec::len).sum()));
    let Some(batches) = Batches::of(steps) else {
        let few = |s: &Series| too_few(s);
        return Judged {
            whole: [few(whole), few(whole)],
            common: None,
            rows: tables.iter().map(|t| t.iter().map(few).collect()).collect(),
            is_enough: false,
            needed: Some(FEWEST_STEPS),
        };
    };
    let step = median(&whole.a);
    let absolute = |s: &Series, middle, bar: Bar| match Effect::of(middle, &s.a, &s.b, &batches) {
        Some(effect) => {
            let change = bar.change(&effect);
            let verdict = bar.verdict(change, effect.before, step);
            Finding { before: Some(effect.before), after: Some(effect.after), change: Some(change), verdict }
        }
        None => too_few(s),
    };
    let whole_of = [Middle::Median, Middle::Mean].map(|middle| absolute(whole, middle, bar));
    let needed = Effect::of(Middle::Median, &whole.a, &whole.b, &batches)
        .filter(|_| whole_of[0].verdict == Verdict::Unclear)
        .and_then(|effect| effect.times_for(bar.alpha, 2.0 * least))
        .map(|times| (times * whole.a.len() as f64).ceil() as usize);
    let mut rows: Vec<Vec<Finding>> =
        tables.iter().map(|t| t.iter().map(|s| absolute(s, Middle::Median, bar_of_rows)).collect()).collect();
    let common = tables.first().and_then(|t| Common::of(t, &whole_of[0], step, &batches, bar_of_rows));
    if let Some(common) = &common {
        for (table, rows) in tables.iter().zip(&mut rows) {
            for (series, row) in table.iter().zip(rows) {
                if !matches!(row.verdict, Verdict::OnlyBefore | Verdict::OnlyAfter) {
                    row.verdict = common.verdict(series, step, &batches, bar_of_rows);
                }
            }
        }
    }
    Judged { whole: whole_of, common: common.map(|c| c.change), rows, is_enough: true, needed }
}

/// Of what cannot be compared: how long it takes, as far as it is there at all.
fn too_few(series: &Series) -> Finding {
    let there = |values: &[f64]| values.iter().any(|v| *v > 0.0).then(|| median(values));
    let (before, after) = (there(&series.a), there(&series.b));
    let change = match (before, after) {
        (Some(a), Some(b)) if a > 0.0 && b > 0.0 => Some(Change { estimate: b / a - 1.0, low: None, high: None }),
        _ => None,
    };
    let verdict = match (before, after) {
        (Some(_), None) => Verdict::OnlyBefore,
        (None, Some(_)) => Verdict::OnlyAfter,
        _ => Verdict::Unclear,
    };
    Finding { before, after, change, verdict }
}

/// What all rows have in common: how slow each step is, beside the others, by the row in their middle.
struct Common {
    before: Vec<f64>,
    after: Vec<f64>,
    change: Change,
}

impl Common {
    fn of(rows: &[Series], whole: &Finding, step: f64, batches: &Batches, bar: Bar) -> Option<Self> {
        let counting: Vec<(&Series, f64)> = rows
            .iter()
            .map(|s| (s, median(&s.a)))
            .filter(|(s, before)| *before > COUNTS * step && median(&s.b) > COUNTS * step)
            .collect();
        if counting.len() < 3 {
            return None;
        }
        let level = |of: fn(&Series) -> &[f64]| -> Vec<f64> {
            let steps = counting.iter().map(|(s, _)| of(s).len()).min().unwrap_or(0);
            (0..steps)
                .map(|i| {
                    let all: Vec<f64> =
                        counting.iter().map(|(s, before)| (of(s)[i] / before).ln()).filter(|v| v.is_finite()).collect();
                    median(&all).exp()
                })
                .collect()
        };
        let (before, after) = (level(|s| &s.a), level(|s| &s.b));
        let effect = Effect::of(Middle::Median, &before, &after, batches)?;
        let change = bar.change(&effect);
        let common = Self { before, after, change };
        // It is one beyond doubt, and so is that of the whole step.
        let is_change = bar.verdict(change, step, step);
        if is_change != whole.verdict || !is_change.is_change() {
            return None;
        }
        let (mut rows, mut time, mut all) = (0, 0.0, 0.0);
        for (series, before) in &counting {
            let along = match common.beside(series, batches) {
                Some(effect) => {
                    let beside = bar.change(&effect);
                    beside.estimate.abs() < bar.least.max(change.estimate.abs() / 2.0)
                        || bar.verdict(beside, *before, step) == Verdict::Unclear
                }
                None => false,
            };
            all += before;
            if along {
                rows += 1;
                time += before;
            }
        }
        (f64::from(rows) >= MOST * counting.len() as f64 && time >= MOST * all).then_some(common)
    }

    /// The change of a row beside what all have in common.
    fn beside(&self, series: &Series, batches: &Batches) -> Option<Effect> {
        let over = |values: &[f64], level: &[f64]| values.iter().zip(level).map(|(v, l)| v / l).collect::<Vec<f64>>();
        Effect::of(Middle::Median, &over(&series.a, &self.before), &over(&series.b, &self.after), batches)
    }

    fn verdict(&self, series: &Series, step: f64, batches: &Batches, bar: Bar) -> Verdict {
        let Some(effect) = self.beside(series, batches) else { return Verdict::Unclear };
        match bar.verdict(bar.change(&effect), effect.before, step) {
            Verdict::Slower => Verdict::SlowerItself,
            Verdict::Faster => Verdict::FasterItself,
            Verdict::Same => Verdict::AsAll,
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::noisy::Noisy;
    use super::*;

    /// What operators take of a step.
    const SHARES: [f64; 8] = [0.6, 0.2, 0.08, 0.04, 0.03, 0.02, 0.02, 0.01];

    /// Operators of steps: all share the machine's noise, and each has some of its own.
    fn steps(random: &mut Noisy, n: usize, mood: f64, times: impl Fn(usize) -> f64) -> (Vec<f64>, Vec<Vec<f64>>) {
        // Where the machine has moods it has bursts as well.
        let all = random.series(n, 0.5, mood / 5.0, mood);
        let rows: Vec<Vec<f64>> = SHARES
            .iter()
            .enumerate()
            .map(|(k, share)| all.iter().map(|t| t * share * times(k) * (0.02 * random.normal()).exp()).collect())
            .collect();
        let whole = (0..n).map(|i| rows.iter().map(|r| r[i]).sum()).collect();
        (whole, rows)
    }

    fn judged(random: &mut Noisy, n: usize, mood: f64, times: impl Fn(usize) -> f64) -> Judged {
        let (a, rows_a) = steps(random, n, mood, |_| 1.0);
        let (b, rows_b) = steps(random, n, mood, times);
        let rows = rows_a.into_iter().zip(rows_b).map(|(a, b)| Series { a, b }).collect();
        judge(&Series { a, b }, &[rows], &[n], 0.03)
    }

    fn changes(judged: &Judged) -> Vec<usize> {
        (0..SHARES.len()).filter(|k| judged.rows[0][*k].verdict.is_change()).collect()
    }

    #[test]
    fn the_same_thing_twice_is_told_apart_in_less_than_5_percent() {
        let mut random = Noisy::new(11);
        for (n, mood) in [(60, 0.0), (200, 0.0), (300, 0.05)] {
            let (mut alarms, trials) = (0, 150);
            for _ in 0..trials {
                let found = judged(&mut random, n, mood, |_| 1.0);
                let is_alarm = !changes(&found).is_empty() || found.whole.iter().any(|w| w.verdict.is_change());
                alarms += u32::from(is_alarm);
            }
            assert!(alarms <= 7, "{n} steps, mood {mood}: {alarms} of {trials}");
        }
    }

    #[test]
    fn in_a_calm_machine_the_same_thing_is_no_difference() {
        let mut random = Noisy::new(12);
        let (mut same, trials) = (0, 100);
        for _ in 0..trials {
            let found = judged(&mut random, 400, 0.0, |_| 1.0);
            same += u32::from(found.whole[0].verdict == Verdict::Same);
        }
        assert!(same >= 80, "{same} of {trials}");
    }

    #[test]
    fn one_operator_that_is_slower_is_found_and_no_other_is_blamed() {
        let mut random = Noisy::new(13);
        let (mut found, mut blamed, trials) = (0, 0, 100);
        for _ in 0..trials {
            let judged = judged(&mut random, 600, 0.0, |k| if k == 1 { 1.05 } else { 1.0 });
            let changes = changes(&judged);
            found += u32::from(changes.contains(&1));
            blamed += u32::from(changes.iter().any(|k| *k != 1));
        }
        assert!(found >= 80 && blamed <= 5, "found {found}, blamed {blamed} of {trials}");
    }

    #[test]
    fn what_everything_has_in_common_is_no_operators_fault() {
        let mut random = Noisy::new(14);
        let (mut common, mut blamed, trials) = (0, 0, 100);
        for _ in 0..trials {
            let judged = judged(&mut random, 600, 0.0, |_| 1.10);
            common += u32::from(judged.common.is_some_and(|c| (0.05..0.15).contains(&c.estimate)));
            blamed += u32::from(judged.common.is_some() && !changes(&judged).is_empty());
        }
        assert!(common >= 95 && blamed <= 5, "common {common}, blamed {blamed} of {trials}");
    }

    #[test]
    fn an_operator_stands_out_of_what_all_have_in_common() {
        let mut random = Noisy::new(15);
        let (mut found, trials) = (0, 50);
        for _ in 0..trials {
            let judged = judged(&mut random, 600, 0.0, |k| if k == 2 { 1.5 } else { 1.10 });
            found += u32::from(judged.common.is_some() && changes(&judged) == [2]);
        }
        assert!(found >= 45, "{found} of {trials}");
    }

    #[test]
    fn the_greatest_part_alone_is_nothing_that_all_have_in_common() {
        let mut random = Noisy::new(16);
        let judged = judged(&mut random, 600, 0.0, |k| if k == 0 { 1.3 } else { 1.0 });
        assert_eq!((judged.common, changes(&judged)), (None, vec![0]));
        assert_eq!(judged.whole[0].verdict, Verdict::Slower);
    }

    #[test]
    fn a_few_steps_say_nothing_and_how_many_would_be_needed() {
        let mut random = Noisy::new(17);
        let judged = judged(&mut random, 10, 0.0, |_| 2.0);
        assert_eq!((judged.whole[0].verdict, judged.needed), (Verdict::Unclear, Some(FEWEST_STEPS)));
        assert!(judged.whole[0].change.is_some_and(|c| c.low.is_none() && (0.5..1.5).contains(&c.estimate)));
    }

    #[test]
    fn what_only_one_side_has_is_said_without_statistics() {
        let one = Series { a: vec![5.0; 50], b: vec![0.0; 50] };
        let other = Series { a: vec![0.0; 50], b: vec![5.0; 50] };
        let whole = Series { a: vec![5.0; 50], b: vec![5.0; 50] };
        let judged = judge(&whole, &[vec![one, other]], &[50], 0.03);
        let verdicts: Vec<Verdict> = judged.rows[0].iter().map(|r| r.verdict).collect();
        assert_eq!(verdicts, [Verdict::OnlyBefore, Verdict::OnlyAfter]);
        assert_eq!(judged.whole[0].verdict, Verdict::Same);
    }

    #[test]
    fn a_step_in_ten_that_stalls_shows_in_the_mean_alone() {
        let mut random = Noisy::new(18);
        let a = random.series(600, 0.3, 0.0, 0.0);
        let mut b = random.series(600, 0.3, 0.0, 0.0);
        b.iter_mut().step_by(10).for_each(|v| *v *= 5.0);
        let judged = judge(&Series { a, b }, &[], &[600], 0.03);
        assert_eq!([judged.whole[0].verdict, judged.whole[1].verdict], [Verdict::Same, Verdict::Slower]);
    }
}
