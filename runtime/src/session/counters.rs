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
                return Err(SessionError::NoCounter { field: format!("{}.{counter}", p.name), why: Box::new(why) });
            }
        }
        Ok(())
    }

    /// What is absent for want of counters, one text for each reason.
    pub fn absent(&self) -> Vec<String> {
        let mut reasons: Vec<(&KernelError, Vec<String>)> = Vec::new();
        for (counter, why) in &self.lacking {
            match reasons.iter_mut().find(|(other, _)| other.errno() == why.errno()) {
                Some((_, counters)) => counters.push(counter.to_string()),
                None => reasons.push((why, vec![counter.to_string()])),
            }
        }
        let text = |(why, counters): (&KernelError, Vec<String>)| {
            format!("absent, with what is made of it: {}: {why}", counters.join(", "))
        };
        reasons.into_iter().map(text).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::descriptions;
    use crate::kernel::{Call, Fake};
    use crate::script::Script;

    fn plan(text: &str) -> Plan {
        let script = Script::parse("<test>", text);
        let (plan, _) = script.compile(&descriptions().unwrap()[0], &[], false).map_err(|_| text).unwrap();
        plan
    }

    fn reading(count: u64, wanted_ns: u64, ran_ns: u64) -> Reading {
        Reading { count, wanted_ns, ran_ns }
    }

    #[test]
    fn each_counter_is_opened_once_for_each_cpu() {
        let cycles = CountedEvent::of(Counter::Cycles);
        let raw = CountedEvent::of(Counter::Pmu(0xc0));
        let all = vec![reading(0, 0, 0), reading(5, 900, 900), reading(7, 1_000, 1_000)];
        let fake = Fake::new().counting(cycles, Ok(all.clone())).counting(raw, Ok(all));
        let plan = plan("on ggml_op < sum(cycles), sum(pmu(0xc0)) by op > on llama_ubatch < sum(cycles) >");
        let mut counters = Counters::open(&plan, &fake).unwrap();
        assert!(counters.require(&plan).is_ok() && counters.lacking().is_empty() && counters.absent().is_empty());
        let cpus = online_cpus().unwrap();
        let opened = |event| cpus.iter().map(move |cpu| Call::Count { event, cpu: *cpu });
        assert_eq!(fake.calls(), opened(cycles).chain(opened(raw)).collect::<Vec<_>>());
        counters.begin().unwrap();
        assert_eq!(counters.shared().unwrap(), [], "it ran all the time");
    }

    #[test]
    fn what_shares_its_place_is_told_with_the_part_of_the_time_that_it_ran() {
        let misses = CountedEvent::of(Counter::LlcMisses);
        let readings = vec![reading(0, 0, 0), reading(10, 1_000, 1_000), reading(20, 3_000, 1_500)];
        let fake = Fake::new().counting(misses, Ok(readings));
        let plan = plan("on ggml_op < sum(llc_misses) by op >");
        let mut counters = Counters::open(&plan, &fake).unwrap();
        counters.begin().unwrap();
        assert_eq!(counters.shared().unwrap(), [(Counter::LlcMisses, 0.25)], "500 of 2,000 ns since counting began");
    }

    #[test]
    fn what_the_machine_lacks_is_an_error_that_says_what_to_do() {
        let cycles = CountedEvent::of(Counter::Cycles);
        for (errno, words) in [
            (libc::ENOENT, &["no `ggml_op.cycles`", "virtual machine", "os error 2"][..]),
            (libc::EOPNOTSUPP, &["ggml_op.cycles", "virtual machine"]),
            (libc::EACCES, &["not allowed to count `cycles`"]),
            (libc::EMFILE, &["ulimit -n"]),
        ] {
            let fake = Fake::new().counting(cycles, Err(errno));
            let needed = plan("on ggml_op < sum(cycles) by op >");
            let error = Counters::open(&needed, &fake).unwrap().require(&needed).unwrap_err();
            let text = error.to_string();
            for word in words.iter().chain(&["task_clock", "`?`", "doctor"]) {
                assert!(text.contains(word), "no {word:?} in {text}");
            }
            assert_eq!(error.exit_code(), 4);
            let optional = plan("on ggml_op? < sum(cycles), has = sum(has(cycles)) by op >");
            let mut counters = Counters::open(&optional, &fake).unwrap();
            assert!(counters.require(&optional).is_ok());
            assert_eq!((counters.lacking(), counters.absent().len()), (vec![Counter::Cycles], 1));
            assert!(counters.meters(Counter::Cycles).is_empty());
        }
        let raw = CountedEvent::of(Counter::Pmu(0xffff));
        let fake = Fake::new().counting(raw, Err(libc::EINVAL));
        let needed = plan("on llama_ubatch < sum(pmu(0xffff)) >");
        let error = Counters::open(&needed, &fake).unwrap().require(&needed).unwrap_err();
        assert!(error.to_string().contains("no event of that number"), "{error}");
    }
}
