//! Taking the links of an instance away for a while, between whole steps, and putting them back.
//!
//! What is open when links go would be closed by what comes after they are back, and last for the whole time between: so no step
//! is begun any more, those that are open end, and only then links go. Afterwards all that programs remember of where a thread is
//! is forgotten, as if they had just been attached for the first time. What is numbered goes on being numbered.

use std::thread::JoinHandle;

use profinfer_compiler::plan::Plan;
use profinfer_ebpf::layout::{MapId, counter, gate, record as record_layout};

use super::{Instance, attach_all, close_all};
use crate::kernel::{Kernel, KernelError};
use crate::session::SessionError;

/// Words of a series that hold of positions and times; the first one numbers or adds up.
const REMEMBERED: std::ops::Range<usize> = 8..32;

impl Instance {
    /// Lets no step begin, unless an `exit` has had that done for good.
    pub fn close_gate(&self) {
        self.turn_gate(gate::COUNTING, gate::SHUT);
    }

    /// Steps that are open on threads of these processes.
    ///
    /// # Errors
    /// The map of threads cannot be read.
    pub fn open_steps(&self, plan: &Plan, of: impl Fn(u32) -> bool) -> Result<u64, KernelError> {
        let steps = plan.points.iter().enumerate().filter(|(id, p)| p.used && p.step && self.facts.has(*id));
        let starts: Vec<usize> = steps.map(|(id, _)| self.start_of(id)).collect();
        let mut open = 0;
        if let Some(threads) = self.maps.get(&MapId::Threads) {
            threads.for_each(|thread, slot| {
                if of(process_of(thread)) {
                    open += starts.iter().filter(|at| !is_zero(slot, **at)).count() as u64;
                }
            })?;
        }
        Ok(open)
    }

    /// Takes the links to all processes away; they are gone when the threads have ended. Nothing may be open.
    pub fn pause(&mut self) -> Vec<JoinHandle<()>> {
        self.paused = true;
        let links = self.links.values_mut().chain(self.check_links.values_mut()).flat_map(|links| links.drain(..));
        close_all(links.collect())
    }

    /// Puts the links back, to processes that have not ended, and counts again from each thread's next whole step on.
    ///
    /// # Errors
    /// The kernel refuses a link to a process for which `is_gone` does not hold.
    pub fn resume(
        &mut self,
        plan: &Plan,
        kernel: &dyn Kernel,
        is_gone: impl Fn(u32) -> bool,
    ) -> Result<(), SessionError> {
        self.paused = false;
        self.forget()?;
        for pid in self.pids() {
            let attached = self.attach_found(pid, kernel);
            match attached {
                Err(_) if is_gone(pid) => {}
                attached => attached?,
            }
        }
        // What began before the gate opens is not whole: no thread is known to be outside of a step.
        self.counters.store_u64(counter::ALL_KNOWN as usize, 0);
        self.clear(MapId::Threads)?;
        self.turn_gate(gate::SHUT, gate::COUNTING);
        self.forget_outside(plan)?;
        Ok(())
    }

    /// Attaches all that was found in a process, again. What was attached already stays.
    pub(super) fn attach_found(&mut self, pid: u32, kernel: &dyn Kernel) -> Result<(), SessionError> {
        let (mut links, mut check_links) = (Vec::new(), Vec::new());
        if let Some(found) = self.found.get(&pid).filter(|_| !self.paused) {
            for ((_, program), found) in self.programs.iter().zip(&found.programs).rev() {
                attach_all(&mut links, program, found, pid, kernel)?;
            }
            if !self.checks_ended {
                for ((_, program), found) in self.checks.iter().zip(&found.checks) {
                    attach_all(&mut check_links, program, found, pid, kernel)?;
                }
            }
        }
        self.links.insert(pid, links);
        self.check_links.insert(pid, check_links);
        Ok(())
    }

    /// Forgets where threads are and what they had open. No link may be there.
    fn forget(&mut self) -> Result<(), KernelError> {
        let states: Vec<MapId> = self.maps.keys().copied().filter(|id| matches!(id, MapId::State(_))).collect();
        for id in states.into_iter().chain([MapId::Threads]) {
            self.clear(id)?;
        }
        self.counters.store_u64(counter::ACTIVE as usize, 0);
        let Some(series) = self.maps.get(&MapId::Series) else { return Ok(()) };
        let mut stale = Vec::new();
        series.for_each(|key, value| {
            if value.get(REMEMBERED).is_some_and(|words| words.iter().any(|byte| *byte != 0)) {
                stale.push(key.to_vec());
            }
        })?;
        stale.iter().try_for_each(|key| series.delete(key).map(drop))
    }

    /// Forgets that threads without an open step are outside of one: the gate may have opened in the middle of theirs.
    pub fn forget_outside(&self, plan: &Plan) -> Result<(), KernelError> {
        let Some(threads) = self.maps.get(&MapId::Threads) else { return Ok(()) };
        let steps = plan.points.iter().enumerate().filter(|(id, p)| p.used && p.step && self.facts.has(*id));
        let starts: Vec<usize> = steps.map(|(id, _)| self.start_of(id)).collect();
        let mut outside = Vec::new();
        threads.for_each(|thread, slot| {
            if starts.iter().all(|at| is_zero(slot, *at)) {
                outside.push(thread.to_vec());
            }
        })?;
        outside.iter().try_for_each(|thread| threads.delete(thread).map(drop))
    }

    fn clear(&self, id: MapId) -> Result<(), KernelError> {
        let Some(map) = self.maps.get(&id) else { return Ok(()) };
        map.keys()?.iter().try_for_each(|key| map.delete(key).map(drop))
    }

    /// Where a thread's slot has the start of a point's open event.
    fn start_of(&self, point: usize) -> usize {
        (self.layout.points[point].in_slot + record_layout::START) as usize
    }

    /// Turns the gate, if it stands there.
    fn turn_gate(&self, from: u64, to: u64) {
        self.counters.replace_u64(counter::GATE as usize, from, to);
    }
}

/// The process of a thread's key.
fn process_of(thread: &[u8]) -> u32 {
    let word = thread.first_chunk().copied().map_or(0, u64::from_ne_bytes);
    (word >> 32) as u32
}

/// Whether the 8 bytes there are zeros.
fn is_zero(bytes: &[u8], at: usize) -> bool {
    bytes.get(at..at + 8).is_none_or(|word| word.iter().all(|byte| *byte == 0))
}
