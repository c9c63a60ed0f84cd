//! How many steps there are, also while none of them is looked into: a plan of its own, of which nothing is shown.

use profinfer_compiler::plan::Plan;
use profinfer_ebpf::layout::{PointCounter, gate};

use super::SessionError;
use super::cost::Runs;
use super::counters::Counters;
use super::files::Files;
use super::instance::Instance;
use super::sites::Target;
use crate::engine::Description;
use crate::kernel::{Kernel, KernelError};
use crate::script::Script;
use crate::target::SiteChoice;

/// Counts the steps of all processes from the first moment to the last.
pub struct AllSteps {
    plan: Plan,
    instances: Vec<Instance>,
}

impl AllSteps {
    /// For the steps that `plan` sees.
    ///
    /// # Errors
    /// [`SessionError::NoStepsIn`] if the engine's description has no such point.
    pub fn of(plan: &Plan, engine: &Description) -> Result<AllSteps, SessionError> {
        let step = plan.points.iter().find(|p| p.used && p.step).map_or("step", |p| p.name.as_str());
        let script = Script::parse("steps", &format!("on {step}? < n = count() >"));
        let (plan, _) =
            script.compile(engine, &[], false).map_err(|_| SessionError::NoStepsIn { point: step.to_owned() })?;
        Ok(AllSteps { plan, instances: Vec::new() })
    }

    /// Counts those of a process too.
    ///
    /// # Errors
    /// It has none, or they cannot be probed.
    pub fn attach(
        &mut self,
        (pid, who): (u32, &str),
        files: Files,
        choice: SiteChoice,
        kernel: &dyn Kernel,
    ) -> Result<(), SessionError> {
        let mut target = Target::new(&self.plan, files);
        target.choice = choice;
        let step = self.plan.points.iter().position(|p| p.used && p.step);
        if !step.is_some_and(|id| target.facts.has(id)) {
            let point = step.map_or_else(String::new, |id| self.plan.points[id].name.clone());
            return Err(SessionError::NoStepsOf { who: who.to_owned(), point });
        }
        let identity = target.identity(&self.plan);
        // The process has loaded more of the engine since.
        let is_of = |i: &Instance| i.identity.iter().any(|file| identity.contains(file));
        self.instances.iter_mut().filter(|i| i.identity != identity && is_of(i)).for_each(|i| i.detach(pid));
        let at = match self.instances.iter().position(|i| i.identity == identity) {
            Some(at) if self.instances[at].pids().contains(&pid) => return Ok(()),
            Some(at) => at,
            None => {
                self.instances.push(Instance::new(&self.plan, &target, identity, &Counters::default(), kernel)?);
                self.instances.len() - 1
            }
        };
        self.instances[at].attach(pid, &target, kernel)?;
        // What the plan that is shown reads is checked there.
        self.instances[at].end_checks();
        Ok(())
    }

    /// Begins to count what is attached.
    pub fn count(&self, all_known: bool) {
        for instance in &self.instances {
            if all_known {
                instance.set_all_known();
            }
            if instance.gate() == gate::SHUT {
                instance.set_gate(gate::COUNTING);
            }
        }
    }

    /// Steps that begin now are not counted any more.
    pub fn finish(&self) {
        self.instances.iter().for_each(|i| i.set_gate(gate::NO_NEW_STEP));
    }

    /// A process has ended.
    pub fn detach(&mut self, pid: u32) {
        self.instances.iter_mut().for_each(|i| i.detach(pid));
    }

    /// Takes all links away.
    pub fn detach_all(&mut self) {
        self.instances.iter_mut().for_each(Instance::detach_all);
    }

    /// Steps that have ended.
    pub fn ended(&self) -> u64 {
        let steps = || self.plan.points.iter().enumerate().filter(|(_, p)| p.used && p.step);
        self.instances.iter().flat_map(|i| steps().map(|(id, _)| i.point_counter(id, PointCounter::Events))).sum()
    }

    /// What the programs have done so far.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn runs(&self) -> Result<Vec<Runs>, KernelError> {
        let mut all = Vec::new();
        for instance in &self.instances {
            all.extend(instance.runs()?);
        }
        Ok(all)
    }
}
