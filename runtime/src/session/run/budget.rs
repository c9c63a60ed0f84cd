//! Keeping within a budget: whole steps are left out by taking links away, and putting them back.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use profinfer_ebpf::layout::gate;

use super::{Run, RunError, Sink};
use crate::kernel::{KernelError, wait_for_programs};
use crate::record::Kept;
use crate::session::SessionError;
use crate::session::all_steps::AllSteps;
use crate::session::budget::{Budget, Spent};
use crate::session::instance::Instance;

/// How often it is looked at what was spent.
const LOOK: Duration = Duration::from_millis(50);
/// How often it is looked whether steps have ended, or links have gone.
const SOON: Duration = Duration::from_millis(4);

/// Where a run with a budget stands.
enum Phase {
    /// Steps are seen.
    Seeing,
    /// No step begins any more; programs that did not know yet come to their end.
    Quieting(JoinHandle<()>),
    /// Open steps come to their end.
    Draining,
    /// Links go.
    Detaching(Vec<JoinHandle<()>>),
    /// Nothing is attached but the counting of steps.
    Away,
}

/// A budget and where the run stands with it.
pub(super) struct Keeping {
    budget: Budget,
    phase: Phase,
    /// When to look again.
    pub(super) next: Instant,
    /// How often steps were left out.
    pauses: u64,
    /// Steps of processes that ended in the middle of them, and of which nothing is known any more.
    pub(super) cut: u64,
}

impl Keeping {
    pub(super) fn new(most: f64) -> Keeping {
        Keeping { budget: Budget::new(most), phase: Phase::Seeing, next: Instant::now(), pauses: 0, cut: 0 }
    }

    /// Whether steps may begin that are seen.
    pub(super) fn sees(&self) -> bool {
        matches!(self.phase, Phase::Seeing)
    }

    /// Whether links have been taken away.
    pub(super) fn is_away(&self) -> bool {
        matches!(self.phase, Phase::Detaching(_) | Phase::Away)
    }

    /// Whether links were ever taken away.
    pub(super) fn has_paused(&self) -> bool {
        self.pauses > 0
    }
}

impl Run<'_> {
    /// What has to be there before anything is attached.
    pub(super) fn begin_budget(&mut self) -> Result<(), SessionError> {
        if let Some(most) = self.settings.max_overhead {
            self.all_steps = self.descriptions.first().map(|engine| AllSteps::of(self.plan, engine)).transpose()?;
            self.keeping = Some(Keeping::new(most));
            self.cost.see_all();
        }
        Ok(())
    }

    /// Looks at what was spent, and goes on with what is to be done about it.
    pub(super) fn keep_budget(&mut self, sink: &mut dyn Sink) -> Result<(), RunError> {
        let Some(mut keeping) = self.keeping.take() else { return Ok(()) };
        let done = self.keep(&mut keeping, sink);
        self.keeping = Some(keeping);
        done
    }

    fn keep(&mut self, keeping: &mut Keeping, sink: &mut dyn Sink) -> Result<(), RunError> {
        keeping.next = Instant::now() + SOON;
        match &mut keeping.phase {
            Phase::Seeing => {
                keeping.next = Instant::now() + LOOK;
                let (spent, steps) = (self.spent()?, self.steps().unwrap_or_default());
                if !self.is_ending() && keeping.budget.is_over(spent, steps) {
                    self.instances.iter().for_each(Instance::close_gate);
                    keeping.budget.leaves(spent);
                    keeping.pauses += 1;
                    keeping.phase = Phase::Quieting(std::thread::spawn(wait_for_programs));
                }
            }
            Phase::Quieting(waiting) if waiting.is_finished() => keeping.phase = Phase::Draining,
            Phase::Draining if self.open_steps_of_living()? == 0 => {
                self.check(sink)?;
                keeping.phase = Phase::Detaching(self.instances.iter_mut().flat_map(Instance::pause).collect());
            }
            Phase::Detaching(links) if links.iter().all(JoinHandle::is_finished) => {
                keeping.budget.ended(self.spent()?);
                keeping.phase = Phase::Away;
            }
            Phase::Quieting(_) | Phase::Draining | Phase::Detaching(_) => {}
            Phase::Away => {
                keeping.next = Instant::now() + LOOK;
                let spent = self.spent()?;
                let lives = self.observed.iter().any(|o| o.alive);
                if lives && !self.is_ending() && keeping.budget.allows(spent) {
                    self.see_again(keeping)?;
                    keeping.budget.begin(spent, self.steps().unwrap_or_default());
                    keeping.phase = Phase::Seeing;
                }
            }
        }
        Ok(())
    }

    fn see_again(&mut self, keeping: &mut Keeping) -> Result<(), RunError> {
        let observed = &self.observed;
        let is_gone = |pid| observed.iter().find(|o| o.process.pid() == pid).is_none_or(|o| o.is_gone());
        for instance in &mut self.instances {
            keeping.cut += instance.open_steps(self.plan, |_| true)?;
            instance.resume(self.plan, self.kernel, is_gone)?;
        }
        Ok(())
    }

    /// An `exit` at an event has ended the counting.
    fn is_ending(&self) -> bool {
        self.instances.iter().any(|i| i.gate() == gate::NO_NEW_STEP)
    }

    fn open_steps_of_living(&self) -> Result<u64, KernelError> {
        let lives = |pid| self.observed.iter().any(|o| o.alive && o.process.pid() == pid && o.process.is_alive());
        self.instances.iter().map(|i| i.open_steps(self.plan, lives)).sum()
    }

    /// What was spent so far.
    fn spent(&mut self) -> Result<Spent, KernelError> {
        let (seen, pids) = (self.seen()?, self.living());
        Ok(self.cost.spent(&pids, &seen))
    }

    /// How the budget was kept, if there is one.
    pub(super) fn kept(&self) -> Option<Kept> {
        let (keeping, all) = (self.keeping.as_ref()?, self.all_steps.as_ref()?);
        let (steps, seen) = (all.ended(), self.steps().unwrap_or_default());
        Some(Kept { max: keeping.budget.most, steps, seen, pauses: keeping.pauses })
    }
}
