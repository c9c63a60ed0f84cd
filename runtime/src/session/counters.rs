//! The counters of a run: opened on every CPU before anything is attached, so that what this machine lacks is told at once.

use profinfer_compiler::counter::Counter;
use profinfer_compiler::plan::Plan;

use super::SessionError;
use crate::kernel::{CountedEvent, Kernel, KernelError, Meter, Reading, online_cpus};

/// The counters of a plan on this machine.
#[derive(Debug, Default)]
pub struct Counters {
    /// Those that are counted, with an event for each CPU.
    open: Vec<(Counter, Vec<(i32, Meter)>)>,
    /// Those that there are not, and why.
    lacking: Vec<(Counter, KernelError)>,
    /// What the open ones had counted when counting began.
    began: Vec<Vec<Reading>>,
}

impl Counters {
    /// Opens what a plan counts.
    ///
    /// # Errors
    /// The CPUs are not to be known.
    pub fn open(plan: &Plan, kernel: &dyn Kernel) -> Result<Self, SessionError> {
        let mut counters = Self::default();
        for counter in plan.counters() {
            match on_all_cpus(counter, kernel) {
                Ok(meters) => counters.open.push((counter, meters)),
                Err(why) => counters.lacking.push((counter, why)),
            }
        }
        counters.begin()?;
        Ok(counters)
    }

    /// Counting begins: shares of time are from here on.
    ///
    /// # Errors
    /// A counter cannot be read.
    pub fn begin(&mut self) -> Result<(), SessionError> {
        let read = |(_, meters): &(Counter, Vec<(i32, Meter)>)| meters.iter().map(|(_, meter)| meter.read()).collect();
        self.began = self.open.iter().map(read).collect::<Result<_, KernelError>>()?;
        Ok(())
    }

    /// Those that this machine has not.
    pub fn lacking(&self) -> Vec<Counter> {
        self.lacking.iter().map(|(counter, _)| *counter).collect()
    }

    /// The events of a counter, by CPU.
    pub fn meters(&self, counter: Counter) -> &[(i32, Meter)] {
        self.open.iter().find(|(c, _)| *c == counter).map_or(&[], |(_, meters)| meters)
    }

    /// A clause needs what is not there, and is not marked `?`.
    ///
    /// # Errors
    /// [`SessionError::NoCounter`] then.
    pub fn require(&mut self, plan: &Plan) -> Result<(), SessionError> {
        for p in plan.points.iter().filter(|p| p.used && !p.optional) {
            if let Some(at) = self.lacking.iter().position(|(counter, _)| p.counters.contains(counter)) {
                let (counter, why) = self.lacking.swap_remove(at);
                return Err(SessionError::NoCounter { field: format!("{}.{counter}", p.name), why });
            }
        }
        Ok(())
    }

    /// What is absent for want of a counter, one text for each.
    pub fn absent(&self) -> Vec<String> {
        let text = |(counter, why): &(Counter, KernelError)| format!("{counter}, and what is made of it, is absent: {why}");
        self.lacking.iter().map(text).collect()
    }

    /// The part of the time since counting began in which a counter ran, where that is not all of it: the processor has too few
    /// places. One reading of a CPU that ran least.
    ///
    /// # Errors
    /// A counter cannot be read.
    pub fn shared(&self) -> Result<Vec<(Counter, f64)>, SessionError> {
        let mut shared = Vec::new();
        for ((counter, meters), began) in self.open.iter().zip(&self.began) {
            let mut least = 1.0f64;
            for ((_, meter), before) in meters.iter().zip(began) {
                let now = meter.read()?;
                let wanted = now.wanted_ns.saturating_sub(before.wanted_ns);
                let ran = now.ran_ns.saturating_sub(before.ran_ns);
                if wanted > 0 {
                    least = least.min(ran as f64 / wanted as f64);
                }
            }
            if least < 1.0 {
                shared.push((*counter, least));
            }
        }
        Ok(shared)
    }
}

/// Counts on every CPU that is online.
///
/// # Errors
/// The first that is refused.
pub fn on_all_cpus(counter: Counter, kernel: &dyn Kernel) -> Result<Vec<(i32, Meter)>, KernelError> {
    let event = CountedEvent::of(counter);
    online_cpus()?.into_iter().map(|cpu| Ok((cpu, kernel.count(event, cpu)?))).collect()
}
