//! What a run costs the processes that it observes, measured while it runs.
//!
//! The kernel counts how often programs run and how long that takes, but only while it is asked to, which makes each hit
//! some 80 ns dearer. So it is asked in windows: from the beginning of the run on until the engine has computed for a while,
//! then for a moment every second. In a window a hit costs what it costs with a program that does nothing, at an instruction
//! of that kind, and what the program takes beyond that one. All is held against what the processes' threads have been on a CPU
//! meanwhile.

mod tolls;

use std::collections::HashMap;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use self::tolls::Tolls;
use super::budget::Spent;
use crate::kernel::{KernelError, Stats, process_cpu_ns};
use crate::record::Cost;
use crate::target::CostClass;

/// What a window takes in.
#[derive(Debug, Clone, Copy)]
struct Enough {
    /// Time on CPUs, of all processes, at least …
    cpu: Duration,
    /// … and that many steps, if the script sees steps …
    steps: u64,
    /// … unless that takes as long.
    most: Duration,
}

const FIRST_WINDOW: Enough = Enough { cpu: Duration::from_millis(500), steps: 16, most: Duration::from_secs(4) };
const WINDOW: Enough = Enough { cpu: Duration::from_millis(100), steps: 2, most: Duration::from_secs(1) };
/// Between two windows.
const BETWEEN: Duration = Duration::from_secs(1);
/// How often it is looked whether a window may end.
const LOOK: Duration = Duration::from_millis(50);
/// The same while nothing computes.
const IDLE_LOOK: Duration = Duration::from_millis(250);

/// What a program has done so far, as the kernel has counted it.
#[derive(Debug, Clone, Copy)]
pub struct Runs {
    /// The kernel's number for it.
    pub id: u32,
    /// The dearest kind of instruction that it is attached to; none if the trap is not its own, or there is none.
    pub class: Option<CostClass>,
    /// How often it ran.
    pub runs: u64,
    /// How long that took, in ns.
    pub ns: u64,
}

/// What is measured at a moment.
#[derive(Debug, Default)]
pub struct Seen {
    /// The programs.
    pub programs: Vec<Runs>,
    /// Steps that have ended, if the script sees steps.
    pub steps: Option<u64>,
}

/// What windows came to.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    hits: u64,
    steps: Option<u64>,
    trap_ns: f64,
    program_ns: f64,
    counting_ns: f64,
    cpu_ns: u64,
}

/// Measures what a run costs.
#[derive(Debug, Default)]
pub struct CostMeter {
    measuring: Option<JoinHandle<Result<Tolls, KernelError>>>,
    tolls: Option<Tolls>,
    /// Why there is nothing to tell.
    refused: Option<String>,
    window: Option<Window>,
    /// The window is as long as the run.
    sees_all: bool,
    sums: Sums,
    /// What each process has been on a CPU, when it was last asked.
    clocks: HashMap<u32, u64>,
    /// What they have been on a CPU since the beginning, all together.
    all_cpu_ns: u64,
    begun: bool,
    /// When to look again.
    next: Option<Instant>,
}

/// A time in which the kernel counts.
#[derive(Debug)]
struct Window {
    _stats: Stats,
    before: Seen,
    cpu_ns: u64,
    enough: Enough,
}

impl Window {
    /// Whether it has taken in enough, if that is what there is now.
    fn is_full(&self, cpu_ns: u64, steps: Option<u64>) -> bool {
        let cpu = Duration::from_nanos(cpu_ns - self.cpu_ns);
        let seen = self.before.steps.zip(steps).map(|(before, now)| now.saturating_sub(before));
        cpu >= self.enough.most || cpu >= self.enough.cpu && seen.is_none_or(|n| n >= self.enough.steps)
    }
}

impl CostMeter {
    /// Begins to measure what a hit costs here, in the background.
    pub fn begin(&mut self) {
        self.measuring = Some(Tolls::measure());
    }

    /// Everything is attached and counting begins; `pids` are the processes.
    pub fn open(&mut self, seen: Seen, pids: &[u32]) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        // It is over long before everything is attached; and while it goes on nothing else may have the kernel count.
        match self.measuring.take().map(JoinHandle::join) {
            Some(Ok(Ok(tolls))) => self.tolls = Some(tolls),
            Some(Ok(Err(error))) => self.refused = Some(error.to_string()),
            Some(Err(_)) | None => self.refused = Some("what a hit costs here could not be measured".to_owned()),
        }
        self.read_clocks(pids);
        self.all_cpu_ns = 0;
        self.open_window(seen, FIRST_WINDOW);
    }

    /// Has the kernel count all the time, which is told as part of what traps cost.
    pub fn see_all(&mut self) {
        self.sees_all = true;
    }

    /// Why it cannot be measured.
    pub fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// What was spent so far, where all is measured.
    pub fn spent(&mut self, pids: &[u32], seen: &Seen) -> Spent {
        self.read_clocks(pids);
        let mut sums = self.sums;
        if let (Some(window), Some(tolls)) = (&self.window, &self.tolls) {
            sums.add_all(tolls, &window.before, seen);
        }
        Spent { cost_ns: sums.trap_ns + sums.program_ns + sums.counting_ns, cpu_ns: self.all_cpu_ns as f64 }
    }

    /// When to look at it again, if ever.
    pub fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Reads the processes' clocks; says whether a window is to end or to begin, for which [`CostMeter::turn`] is to be called.
    pub fn wants(&mut self, pids: &[u32], steps: Option<u64>) -> bool {
        if !self.begun || self.refused.is_some() {
            self.next = None;
            return false;
        }
        let used = self.read_clocks(pids);
        self.next = Some(Instant::now() + if used == 0 { IDLE_LOOK } else { LOOK });
        self.window.as_ref().is_none_or(|window| !self.sees_all && window.is_full(self.all_cpu_ns, steps))
    }

    /// Ends the window, or begins one.
    pub fn turn(&mut self, seen: Seen) {
        if self.window.is_some() {
            self.close_window(seen);
            self.next = Some(Instant::now() + BETWEEN);
        } else {
            self.open_window(seen, WINDOW);
        }
    }

    /// What processes have been on a CPU, before one of them is gone.
    pub fn read_clocks(&mut self, pids: &[u32]) -> u64 {
        let mut used = 0;
        for &pid in pids {
            let Ok(now) = process_cpu_ns(pid) else { continue };
            if let Some(before) = self.clocks.insert(pid, now) {
                used += now.saturating_sub(before);
            }
        }
        self.all_cpu_ns += used;
        used
    }

    /// The end: a window that is open is closed.
    pub fn end(&mut self, pids: &[u32], seen: Seen) {
        if self.begun {
            self.read_clocks(pids);
            self.close_window(seen);
        }
        self.next = None;
    }

    /// What it came to, or why that is not known.
    pub fn cost(&self) -> Result<Cost, String> {
        if let Some(why) = &self.refused {
            return Err(why.clone());
        }
        let mut sums = self.sums;
        if self.sees_all {
            sums.trap_ns += sums.counting_ns;
        }
        if sums.cpu_ns == 0 {
            return Err("the observed processes computed nothing".to_owned());
        }
        let of_all = |ns: f64| ns / sums.cpu_ns as f64;
        Ok(Cost {
            share: of_all(sums.trap_ns + sums.program_ns),
            floor: of_all(self.sums.trap_ns),
            hits: sums.hits,
            steps: sums.steps,
            trap_ns: sums.trap_ns as u64,
            program_ns: sums.program_ns as u64,
            cpu_ns: sums.cpu_ns,
            run_cpu_ns: self.all_cpu_ns,
        })
    }

    fn open_window(&mut self, before: Seen, enough: Enough) {
        if self.refused.is_some() {
            return;
        }
        match Stats::enable() {
            Ok(stats) => {
                self.window = Some(Window { _stats: stats, before, cpu_ns: self.all_cpu_ns, enough });
                self.next = Some(Instant::now() + LOOK);
            }
            Err(error) => self.refused = Some(error.to_string()),
        }
    }

    fn close_window(&mut self, after: Seen) {
        let (Some(window), Some(tolls)) = (self.window.take(), &self.tolls) else { return };
        self.sums.cpu_ns += self.all_cpu_ns - window.cpu_ns;
        self.sums.add_all(tolls, &window.before, &after);
    }
}

impl Sums {
    /// Adds what was done between two moments.
    fn add_all(&mut self, tolls: &Tolls, before: &Seen, after: &Seen) {
        if let (Some(before), Some(after)) = (before.steps, after.steps) {
            *self.steps.get_or_insert(0) += after.saturating_sub(before);
        }
        let before: HashMap<u32, Runs> = before.programs.iter().map(|runs| (runs.id, *runs)).collect();
        for now in &after.programs {
            self.add(tolls, before.get(&now.id), now);
        }
    }

    /// Adds what a program has done since.
    fn add(&mut self, tolls: &Tolls, before: Option<&Runs>, now: &Runs) {
        let runs = now.runs.saturating_sub(before.map_or(0, |b| b.runs));
        let ns = now.ns.saturating_sub(before.map_or(0, |b| b.ns)) as f64;
        let n = runs as f64;
        // Their own clock is the same whatever is probed.
        let toll = tolls.of(now.class.unwrap_or(CostClass::Push));
        self.program_ns += (ns - n * toll.empty).max(0.0);
        self.counting_ns += n * toll.counting;
        if now.class.is_some() {
            self.hits += runs;
            self.trap_ns += n * toll.hit;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1,000 hits of 400 ns with 145 ns in the program, of which 45 are the kernel's clock: 500 µs, 400 of them the floor.
    #[test]
    fn a_hit_is_its_trap_and_what_its_program_does() {
        let tolls = Tolls::fixed(400.0, 80.0, 45.0);
        let mut sums = Sums::default();
        let before = Runs { id: 1, class: Some(CostClass::Push), runs: 500, ns: 70_000 };
        let after = Runs { runs: 1_500, ns: 70_000 + 145_000, ..before };
        sums.add(&tolls, Some(&before), &after);
        assert_eq!((sums.hits, sums.trap_ns, sums.program_ns), (1_000, 400_000.0, 100_000.0));
        assert_eq!(sums.counting_ns, 80_000.0);
        // At a return it is stepped over; a program of the layout check has no trap of its own.
        sums.add(&tolls, None, &Runs { id: 2, class: Some(CostClass::Step), runs: 10, ns: 450 });
        sums.add(&tolls, None, &Runs { id: 3, class: None, runs: 10, ns: 550 });
        assert_eq!((sums.hits, sums.trap_ns, sums.program_ns), (1_010, 440_000.0, 100_100.0));
    }

    #[test]
    fn what_was_not_measured_is_said() {
        let meter = CostMeter::default();
        assert_eq!(meter.cost(), Err("the observed processes computed nothing".to_owned()));
    }
}
