//! What may be said of a measured cost: the measured number where it can be resolved, else the computed one, and a verdict.

use profinfer::diff::median;

use super::bootstrap::{Estimate, ratio};
use super::data::{Results, Slowdown};

/// Below this part of a token nothing is claimed from measuring: 0.5 %.
pub(super) const RESOLVED: f64 = 0.005;

/// What a tool costs a token, as a part of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Figure {
    /// As measured, and told from nothing.
    Measured(Estimate),
    /// As measured, but it cannot be told from nothing.
    Unresolved(Estimate),
    /// Too small to be measured: hits times what a hit costs, if all were on one thread one after the other.
    Computed(f64),
}

/// Whether an aim is reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Verdict {
    /// Also with the upper end of the interval.
    Met,
    /// By the median; the interval goes beyond the aim.
    Likely,
    /// Missed, by so much.
    Missed(f64),
    /// What was measured allows both.
    Open,
}

impl Figure {
    /// Of a measurement.
    pub(super) fn of(slowdown: &Slowdown, results: &Results) -> Figure {
        let measured = slowdown.relative();
        match slowdown.computed(|class| results.cost_of(class)) {
            // Only what the measurement does not contradict.
            Some(computed) if computed < RESOLVED && measured.low <= RESOLVED => Figure::Computed(computed),
            _ if measured.low <= 0.0 || measured.median < RESOLVED => Figure::Unresolved(measured),
            _ => Figure::Measured(measured),
        }
    }

    /// Held against an aim.
    pub(super) fn verdict(self, aim: f64) -> Verdict {
        match self {
            Figure::Measured(e) => against(e, aim),
            Figure::Unresolved(e) if e.high <= aim => Verdict::Met,
            Figure::Unresolved(_) => Verdict::Open,
            Figure::Computed(value) if value <= aim => Verdict::Met,
            Figure::Computed(value) => Verdict::Missed(value - aim),
        }
    }
}

/// An estimate held against an aim.
pub(super) fn against(e: Estimate, aim: f64) -> Verdict {
    match () {
        () if e.high <= aim => Verdict::Met,
        () if e.median <= aim => Verdict::Likely,
        () => Verdict::Missed(e.median - aim),
    }
}

impl Results {
    /// What a hit of an empty program costs, in ns, by the class of the instruction as profinfer calls it.
    pub(super) fn cost_of(&self, class: &str) -> Option<f64> {
        let empty = |site: &str| {
            let found = self.micro.iter().find(|m| m.tool == "empty" && m.what == "nothing" && m.site == site);
            found.map(|m| m.ns.median)
        };
        match class {
            "push" => empty("push"),
            "nop" => empty("nop"),
            // Emulated as well; taken for the dearer of the two.
            "branch" => Some(empty("push")?.max(empty("nop")?)),
            "single step" => empty("endbr64"),
            _ => None,
        }
    }

    /// The measurement of a tool.
    pub(super) fn find(&self, engine: &str, model: &str, tool: &str) -> Option<&Slowdown> {
        self.slowdown.iter().find(|s| s.engine == engine && s.model == model && s.tool == tool)
    }

    /// How many times the floor a script costs; nothing if one of both is too low to be measured.
    pub(super) fn over_floor(&self, engine: &str, model: &str, script: &str) -> Option<Estimate> {
        let floor = self.find(engine, model, &format!("empty at {script}"))?;
        let tool = self.find(engine, model, script)?;
        (floor.relative().low > 0.0 && tool.relative().low > 0.0).then(|| ratio(&tool.pairs(), &floor.pairs()))
    }
}

impl Slowdown {
    /// How many times the floor a script costs by its hits, what a trap costs and the kernel's own time of its programs.
    pub(super) fn over_floor_computed(&self, results: &Results) -> Option<f64> {
        let traps: f64 =
            self.by_cost.iter().map(|(class, hits)| Some(hits * results.cost_of(class)?)).sum::<Option<_>>()?;
        (traps > 0.0 && self.program_ns > 0.0).then(|| 1.0 + self.program_ns / traps)
    }
}

/// Median and range of values.
pub(super) fn spread(values: impl Iterator<Item = f64>) -> Option<Estimate> {
    let all: Vec<f64> = values.collect();
    let low = all.iter().copied().min_by(f64::total_cmp)?;
    let high = all.iter().copied().max_by(f64::total_cmp)?;
    Some(Estimate { median: median(&all), low, high })
}

#[cfg(test)]
mod tests {
    use super::super::data::{Four, Micro};
    use super::*;

    fn estimate(median: f64, low: f64, high: f64) -> Estimate {
        Estimate { median, low, high }
    }

    #[test]
    fn verdicts_take_the_interval_into_account() {
        assert_eq!(against(estimate(0.02, 0.01, 0.03), 0.03), Verdict::Met);
        assert_eq!(against(estimate(0.02, 0.01, 0.04), 0.03), Verdict::Likely);
        assert_eq!(against(estimate(0.05, 0.01, 0.06), 0.03), Verdict::Missed(0.05 - 0.03));
    }

    fn results(with: f64) -> Results {
        let micro = |site: &str, ns| Micro {
            site: site.to_owned(),
            tool: "empty".to_owned(),
            what: "nothing".to_owned(),
            ns: estimate(ns, ns, ns),
            program_ns: None,
        };
        let four = Four { without: [10_000.0; 2], with: [with; 2], ..Four::default() };
        let slowdown = Slowdown {
            engine: "plain".to_owned(),
            model: "dense".to_owned(),
            tool: "tokens.pi".to_owned(),
            tokens: 64,
            dropped: 8,
            fours: vec![four; 10],
            hits: 2.0,
            by_cost: vec![("push".to_owned(), 1.0), ("single step".to_owned(), 1.0)],
            program_ns: 5_600.0,
            attached: Vec::new(),
            lost: 0,
        };
        Results {
            slowdown: vec![slowdown],
            micro: vec![micro("push", 400.0), micro("endbr64", 4_000.0)],
            ..Results::default()
        }
    }

    #[test]
    fn what_cannot_be_resolved_is_computed_of_hits() {
        // 400 + 4,000 + 5,600 ns of 10 ms.
        let small = results(10_020.0);
        assert_eq!(Figure::of(&small.slowdown[0], &small), Figure::Computed(0.001));
        assert_eq!(small.slowdown[0].over_floor_computed(&small), Some(1.0 + 5_600.0 / 4_400.0));
        let large = results(11_000.0);
        let Figure::Measured(e) = Figure::of(&large.slowdown[0], &large) else { panic!("the measurement contradicts") };
        assert!((e.median - 0.1).abs() < 1e-9, "{e:?}");
    }

    #[test]
    fn what_cannot_be_told_from_nothing_is_no_number() {
        let mut doubtful = results(10_200.0);
        doubtful.slowdown[0].by_cost.clear();
        for four in &mut doubtful.slowdown[0].fours[..5] {
            four.with = [9_900.0; 2];
        }
        let figure = Figure::of(&doubtful.slowdown[0], &doubtful);
        let Figure::Unresolved(e) = figure else { panic!("{figure:?}") };
        assert_eq!((figure.verdict(e.high), figure.verdict(0.001)), (Verdict::Met, Verdict::Open));
    }
}
