//! What threads count, and the program that keeps it by thread.
//!
//! The events of a counter count what happens on a CPU, whoever runs there. [`switches`] runs whenever a CPU goes from one
//! task to another: what was counted since the task came is its own and is added to it. So what a thread has counted so far
//! is what was added when it left, and if it runs, what its CPU has counted since it came. Every difference is one of two
//! readings on the same CPU.
//!
//! Tasks are told apart by their address in the kernel; only those that an event began on are there.

use profinfer_compiler::counter::Counter;
use profinfer_compiler::plan::Plan;

use crate::asm::{Alu, Asm, BuildError, Code, Jump, Label};
use crate::insn::{CTX, FP, R0, R1, R2, R3, R4, Reg, helper};
use crate::layout::MapId;
use crate::target::TargetFacts;

/// Offsets in a value of [`MapId::Counted`]. For each counter and reading two words follow: what its CPU had counted when
/// the task came, and what the task has counted until then.
pub mod counted {
    /// How often the task came to a CPU.
    pub const TURNS: i16 = 0;
    /// The CPU that it came to.
    pub const CPU: i16 = 8;
    /// Says that the numbers go on from those that were read before: what has another one here is not to be compared. 0
    /// before they were first read.
    pub const WHOSE: i16 = 16;
    /// 1 while the task is on a CPU: it comes only when it has left, and the other way round.
    pub const RUNS: i16 = 24;
    /// Where those of the counters begin.
    pub const COUNTERS: i16 = 32;
}

/// Name of the program for `sched_switch` in the kernel.
pub const SWITCHES: &str = "pi_switches";

/// `BPF_F_CURRENT_CPU`
const CURRENT_CPU: i64 = 0xffff_ffff;
/// Bytes of `struct bpf_perf_event_value`: counter, enabled, running.
pub(crate) const READING: u32 = 24;

/// Where a record has what concerns its counters.
#[derive(Debug, Clone)]
pub struct CountsLayout {
    /// [`counted::WHOSE`] when the event began; 0 if nothing could be read then.
    pub whose: i16,
    /// The CPU on which it began.
    pub cpu: i16,
    /// For each counter and reading: what the thread had counted when the event began, and what it has counted since.
    pub counters: Vec<Vec<[i16; 2]>>,
}

/// The readings of a counter: what it counted and, where it shares its place in the processor with others, the time it was
/// wanted and the time it ran.
pub(crate) fn readings(counter: Counter) -> std::ops::Range<usize> {
    0..if counter.is_hardware() { 3 } else { 1 }
}

/// Bytes of a value of [`MapId::Counted`].
pub(crate) fn counted_size(counters: &[Counter]) -> u32 {
    let words: usize = counters.iter().map(|c| 2 * readings(*c).len()).sum();
    counted::COUNTERS as u32 + 8 * words as u32
}

/// Where a value of [`MapId::Counted`] has a reading of a counter.
pub(crate) fn counted_at(counters: &[Counter], counter: Counter, reading: usize) -> i16 {
    let before: usize = counters.iter().take_while(|c| **c != counter).map(|c| readings(*c).len()).sum();
    counted::COUNTERS + 16 * (before + reading) as i16
}

/// Reads a counter of this CPU to the stack; goes to `failed` if that cannot be. Uses r0 to r5.
pub(crate) fn read(asm: &mut Asm, counter: Counter, place: i16, failed: Label) {
    asm.load_map(R1, MapId::Perf(counter));
    asm.load_imm(R2, CURRENT_CPU);
    asm.stack_address(R3, place);
    asm.load_imm(R4, i64::from(READING));
    asm.call(helper::PERF_EVENT_READ_VALUE);
    asm.jump_if_imm(Jump::Ne, R0, 0, failed);
}

/// The program for `sched_switch`, as a raw tracepoint: whether it was preemption, the task that leaves, the one that comes.
/// None where a plan counts nothing.
///
/// # Errors
/// Never in practice.
pub fn switches(plan: &Plan, target: &TargetFacts) -> Result<Option<Code>, BuildError> {
    let all = plan.counters();
    let there: Vec<Counter> = all.iter().copied().filter(|c| target.has_counter(*c)).collect();
    if there.is_empty() {
        return Ok(None);
    }
    /// What the one that leaves has counted, what the one that comes has, and the CPU.
    const LEAVES: Reg = Reg(7);
    const COMES: Reg = Reg(8);
    const CPU: Reg = Reg(9);
    let mut asm = Asm::new();
    let (end, go, failed, stays, done) = (asm.label(), asm.label(), asm.label(), asm.label(), asm.label());
    asm.mov(CTX, R1);
    let task = asm.alloc(8);
    let place = asm.alloc(READING);
    for (argument, found) in [(1, LEAVES), (2, COMES)] {
        asm.load(8, R0, CTX, 8 * argument);
        asm.store(FP, task, R0);
        asm.load_map(R1, MapId::Counted);
        asm.stack_address(R2, task);
        asm.call(helper::MAP_LOOKUP_ELEM);
        asm.mov(found, R0);
    }
    asm.jump_if_imm(Jump::Ne, LEAVES, 0, go);
    asm.jump_if_imm(Jump::Eq, COMES, 0, end);
    asm.place(go);
    asm.call(helper::GET_SMP_PROCESSOR_ID);
    asm.mov(CPU, R0);
    // That one comes that has not left, or leaves that has not come, means that a switch was not seen.
    for (task, runs) in [(LEAVES, 1), (COMES, 0)] {
        let (right, none) = (asm.label(), asm.label());
        asm.jump_if_imm(Jump::Eq, task, 0, none);
        asm.load(8, R0, task, counted::RUNS);
        asm.jump_if_imm(Jump::Eq, R0, runs, right);
        asm.store_imm(task, counted::WHOSE, 0);
        asm.place(right);
        asm.store_imm(task, counted::RUNS, 1 - runs);
        asm.place(none);
    }
    for &counter in &there {
        let (came, next) = (asm.label(), asm.label());
        read(&mut asm, counter, place, failed);
        asm.jump_if_imm(Jump::Eq, LEAVES, 0, came);
        for reading in readings(counter) {
            let at = counted_at(&all, counter, reading);
            asm.load(8, R0, FP, place + 8 * reading as i16);
            asm.load(8, R1, LEAVES, at);
            asm.alu(Alu::Sub, R0, R1);
            asm.load(8, R1, LEAVES, at + 8);
            asm.alu(Alu::Add, R0, R1);
            asm.store(LEAVES, at + 8, R0);
        }
        asm.place(came);
        asm.jump_if_imm(Jump::Eq, COMES, 0, next);
        for reading in readings(counter) {
            asm.load(8, R0, FP, place + 8 * reading as i16);
            asm.store(COMES, counted_at(&all, counter, reading), R0);
        }
        asm.place(next);
    }
    asm.jump(done);
    // What was not read is missing from both: nothing may be compared with what was read before.
    asm.place(failed);
    asm.jump_if_imm(Jump::Eq, LEAVES, 0, stays);
    asm.store_imm(LEAVES, counted::WHOSE, 0);
    asm.place(stays);
    asm.jump_if_imm(Jump::Eq, COMES, 0, end);
    asm.store_imm(COMES, counted::WHOSE, 0);
    asm.place(done);
    asm.jump_if_imm(Jump::Eq, COMES, 0, end);
    asm.store(COMES, counted::CPU, CPU);
    // Only the task itself would read this, and that does not run now.
    asm.load(8, R0, COMES, counted::TURNS);
    asm.alu_imm(Alu::Add, R0, 1);
    asm.store(COMES, counted::TURNS, R0);
    asm.place(end);
    asm.exit();
    asm.finish().map(Some)
}
