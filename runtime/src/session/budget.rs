//! What a run may cost (`--max-overhead`), and when steps are left out for it.

use std::time::{Duration, Instant};

use profinfer_compiler::plan::{ColumnExpr, Gate, Plan};

/// How long steps are seen at a time, at least: attaching and detaching are not worth less.
const SEEN: Duration = Duration::from_millis(250);
/// Whole steps that are seen at a time, at least …
const SEEN_STEPS: u64 = 2;
/// … unless none comes in such a time.
const PATIENCE: Duration = Duration::from_secs(30);

/// How near to the budget what is spent may come: steps that are open are seen to their end, and no two times are alike.
const NEARLY: f64 = 0.9;

/// What has been spent: on probes, and on CPUs by the observed processes altogether.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spent {
    /// Nanoseconds in traps and programs.
    pub cost_ns: f64,
    /// Nanoseconds on CPUs.
    pub cpu_ns: f64,
}

/// Why a script cannot be kept within a budget.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant says what it is")]
pub enum NoBudget {
    #[error(
        "--max-overhead leaves out whole steps, and events of `{point}` are not parts of steps: leave out the option, or that \
         clause"
    )]
    NotInSteps { point: String },
    #[error(
        "--max-overhead leaves out steps, and `{what}` in `{table}` has to see all of them: leave out the option, or that column"
    )]
    NeedsAll { what: &'static str, table: String },
    #[error("--max-overhead leaves out whole steps, and the script names no point of an engine that has steps")]
    NoSteps,
}

/// Keeps what is spent below a share of the processes' time.
#[derive(Debug)]
pub struct Budget {
    /// The share.
    pub most: f64,
    /// Since when steps are seen, with what was spent and seen before.
    from: (Instant, Spent, u64),
    /// What the last time took in which steps were seen.
    last: Spent,
    /// What was spent when the last time was to end …
    left: Spent,
    /// … and from then on until nothing was attached any more; none before the first time has ended.
    leaving: Option<Spent>,
}

impl Budget {
    /// One of that share of the processes' time.
    pub fn new(most: f64) -> Budget {
        Budget {
            most,
            from: (Instant::now(), Spent::default(), 0),
            last: Spent::default(),
            left: Spent::default(),
            leaving: None,
        }
    }

    /// Whether a plan can be kept within a budget.
    ///
    /// # Errors
    /// [`NoBudget`].
    pub fn suits(plan: &Plan) -> Result<(), NoBudget> {
        for p in plan.points.iter().filter(|p| p.wanted) {
            let in_steps = p.step || matches!(p.gate, Gate::Inside(_) | Gate::Step(_));
            if !in_steps || p.comes_anywhere() {
                return Err(NoBudget::NotInSteps { point: p.name.clone() });
            }
        }
        for table in &plan.tables {
            let needs = |what| Err(NoBudget::NeedsAll { what, table: table.name.clone() });
            if table.slots.iter().any(|s| s.gap) {
                return needs("gap(…)");
            }
            if table.slots.iter().any(|s| s.how.is_per_context()) {
                return needs("lru(…) or pinned(…)");
            }
            if table.columns.iter().any(|c| c.value.any(&|e| matches!(e, ColumnExpr::Rate(..)))) {
                return needs("rate(…)");
            }
        }
        if plan.points.iter().any(|p| p.used && p.step) { Ok(()) } else { Err(NoBudget::NoSteps) }
    }

    /// Steps are seen from now on; `steps` were seen before.
    pub fn begin(&mut self, spent: Spent, steps: u64) {
        self.from = (Instant::now(), spent, steps);
    }

    /// Whether the next steps are to be left out.
    pub fn is_over(&self, spent: Spent, steps: u64) -> bool {
        let (since, _, before) = self.from;
        let seen = steps.saturating_sub(before);
        let enough = since.elapsed() >= SEEN && seen >= SEEN_STEPS || since.elapsed() >= PATIENCE;
        // Dearer than the last time was: with what leaving takes there is nothing to spend any more.
        let is_dearer = self.leaving.is_some_and(|leaving| !self.has_room(spent, leaving)) && seen >= SEEN_STEPS;
        is_dearer || enough && spent.cost_ns > NEARLY * self.most * spent.cpu_ns
    }

    /// The next steps will be left out.
    pub fn leaves(&mut self, spent: Spent) {
        self.left = spent;
    }

    /// No step is seen any more.
    pub fn ended(&mut self, spent: Spent) {
        let since =
            |before: Spent| Spent { cost_ns: spent.cost_ns - before.cost_ns, cpu_ns: spent.cpu_ns - before.cpu_ns };
        self.last = since(self.from.1);
        self.leaving = Some(since(self.left));
    }

    /// Whether that can be spent once more without spending too much.
    fn has_room(&self, spent: Spent, more: Spent) -> bool {
        spent.cost_ns + more.cost_ns / NEARLY <= self.most * (spent.cpu_ns + more.cpu_ns)
    }

    /// Whether as many steps as last time can be seen again without spending too much.
    pub fn allows(&self, spent: Spent) -> bool {
        self.has_room(spent, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(cost: u32, cpu: u32) -> Spent {
        Spent { cost_ns: f64::from(cost), cpu_ns: f64::from(cpu) }
    }

    /// At 2 %, where hits cost 10 %: what 100 ns of the processes' time have cost is paid back by 400 more and some; and as much
    /// again has to be there for the next time.
    #[test]
    fn what_was_spent_is_paid_back_before_more_is() {
        let mut budget = Budget::new(0.02);
        budget.begin(spent(0, 1_000), 0);
        assert!(!budget.is_over(spent(100, 2_000), 50), "it has only begun");
        let Some(earlier) = Instant::now().checked_sub(SEEN) else { panic!("the machine has just been started") };
        budget.from.0 = earlier;
        assert!(!budget.is_over(spent(100, 2_000), 1), "one step is too few");
        assert!(budget.is_over(spent(100, 2_000), 2));
        assert!(!budget.is_over(spent(30, 2_000), 2), "that is within the budget");
        budget.leaves(spent(90, 1_900));
        budget.ended(spent(100, 2_000));
        assert_eq!(budget.last, spent(100, 1_000));
        assert!(!budget.allows(spent(100, 5_000)), "paid back, and nothing to spend");
        assert!(!budget.allows(spent(100, 9_500)));
        assert!(budget.allows(spent(100, 9_600)), "(100 + 100 / 0.9) of 10,600 are 2 %");
    }
    /// What is dearer than the time before ends early: at 2 %, where leaving took 10 ns in 100.
    #[test]
    fn what_is_dearer_than_before_ends_early() {
        let mut budget = Budget::new(0.02);
        budget.begin(spent(0, 0), 0);
        assert!(!budget.is_over(spent(400, 1_000), 9), "nothing is known before the first time");
        budget.leaves(spent(90, 900));
        budget.ended(spent(100, 1_000));
        budget.begin(spent(100, 9_600), 50);
        assert!(!budget.is_over(spent(150, 10_000), 60));
        assert!(!budget.is_over(spent(195, 10_000), 51), "one step is too few");
        assert!(budget.is_over(spent(195, 10_000), 60), "195 + 10 / 0.9 of 10,100 are more than 2 %");
    }
}
