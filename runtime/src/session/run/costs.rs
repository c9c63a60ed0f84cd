//! What a run costs the processes it observes: when it is looked at, and at what.

use profinfer_ebpf::layout::PointCounter;

use super::{Run, RunError};
use crate::kernel::KernelError;
use crate::session::SessionError;
use crate::session::cost::Seen;
use crate::session::instance::Instance;

impl Run<'_> {
    /// Counting is about to begin.
    pub(super) fn begin_cost(&mut self) -> Result<(), RunError> {
        if self.instances.is_empty() {
            return Ok(());
        }
        let (seen, pids) = (self.seen()?, self.living());
        self.cost.open(seen, &pids);
        match self.cost.refused() {
            Some(why) if self.keeping.is_some() => Err(SessionError::NoCost { why: why.to_owned() }.into()),
            _ => Ok(()),
        }
    }

    /// It is time to look.
    pub(super) fn measure_cost(&mut self) -> Result<(), KernelError> {
        let pids = self.living();
        if self.cost.wants(&pids, self.steps()) {
            let seen = self.seen()?;
            self.cost.turn(seen);
        }
        Ok(())
    }

    /// Nothing is counted any more.
    pub(super) fn end_cost(&mut self) {
        // What cannot be told any more is left out: the run is over all the same.
        let (seen, pids) = (self.seen().unwrap_or_default(), self.living());
        self.cost.end(&pids, seen);
    }

    /// What the programs have done so far.
    pub(super) fn seen(&self) -> Result<Seen, KernelError> {
        let mut seen = Seen { steps: self.steps(), ..Seen::default() };
        for instance in &self.instances {
            seen.programs.extend(instance.runs()?);
        }
        if let Some(all) = &self.all_steps {
            seen.programs.extend(all.runs()?);
        }
        Ok(seen)
    }

    /// Steps that have ended, if the script sees steps.
    pub(super) fn steps(&self) -> Option<u64> {
        let id = self.plan.points.iter().position(|p| p.used && p.step)?;
        let has = |i: &&Instance| i.facts.has(id);
        let mut of = self.instances.iter().filter(has).map(|i| i.point_counter(id, PointCounter::Events)).peekable();
        of.peek()?;
        Some(of.sum())
    }

    /// The processes that still are there.
    pub(super) fn living(&self) -> Vec<u32> {
        self.observed.iter().filter(|o| o.alive).map(|o| o.process.pid()).collect()
    }
}
