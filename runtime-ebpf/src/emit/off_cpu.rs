//! Time off the CPU. `sched_switch` comes on the thread that leaves; what is kept of it lies in a map by the task's address. The
//! same program looks whether the task that comes is in that map: then its event ends.
//!
//! It is a raw tracepoint: to detach from one the kernel does not wait, and its program is not left out where its CPU is in a
//! map's system call.

use profinfer_compiler::typed::PointId;

use super::Emit;
use super::value::KeyAt;
use crate::asm::{Alu, BuildError, Jump, Label};
use crate::insn::{CTX, FP, NOW, R0, R1, R2, R3, R4, Reg, helper};
use crate::layout::{ABSENT, MapId, PointCounter, waiting};

/// Arguments of `sched_switch`: whether it is preemption, the task that leaves, the one that comes, the former's state.
const PREEMPTS: i16 = 0;
const LEAVING: i16 = 8;
const COMING: i16 = 16;
const STATE: i16 = 24;
/// The argument of `sched_wakeup`: the task.
const WOKEN: i16 = 0;
/// The bit in the state of a task that never comes back.
const GONE: i32 = 0x80;
/// Bits of states that are told as `UNINTERRUPTIBLE`: a task is frozen, or waits for a lock.
const AS_UNINTERRUPTIBLE: i32 = 0x9000;
const UNINTERRUPTIBLE: i32 = 2;
/// States that are told apart, the later of two where a task has both: uninterruptible, stopped, traced, parked.
const TOLD: [i32; 4] = [0x40, 8, 4, UNINTERRUPTIBLE];
/// The state of a thread that was preempted inside of the kernel.
const PREEMPTED: i32 = 0x100;
/// What `kernel_entry` calls `none`, in the description of the kernel's points.
const NO_ENTRY: i64 = 4;

impl Emit<'_> {
    /// One thread comes, another one leaves.
    pub(crate) fn off_cpu(&mut self, point: PointId, start: usize, end: Label) -> Result<(), BuildError> {
        let (leaves, no_room) = (self.asm.label(), self.asm.label());
        self.now();
        self.comes(point, start, leaves)?;
        self.asm.place(leaves);
        self.leaves(point, end, no_room);
        self.asm.jump(end);
        self.asm.place(no_room);
        self.count_point(point, PointCounter::NoRoom);
        Ok(())
    }

    /// The thread that comes was off the CPU, and ours.
    fn comes(&mut self, point: PointId, start: usize, not_ours: Label) -> Result<(), BuildError> {
        let key = self.asm.alloc(8);
        self.asm.load(8, R0, CTX, COMING);
        self.asm.store(FP, key, R0);
        self.lookup(MapId::State(point), KeyAt::Stack(key));
        self.asm.jump_if_imm(Jump::Eq, R0, 0, not_ours);
        self.asm.mov(R4, R0);
        let began = self.asm.alloc(8);
        self.asm.load(8, R0, R4, waiting::THREAD);
        self.asm.store(FP, self.pid_tgid, R0);
        self.asm.load(8, R0, R4, waiting::BEGAN);
        self.asm.store(FP, began, R0);
        for (name, at) in [
            ("state", waiting::STATE),
            ("entry", waiting::ENTRY),
            ("comm", waiting::COMM),
            ("comm behind", waiting::COMM + 8),
            ("stack", waiting::STACK),
            ("queue", waiting::WOKEN),
        ] {
            self.asm.load(8, R0, R4, at);
            self.keep(name);
        }
        self.map_and_key(MapId::State(point), KeyAt::Stack(key));
        self.asm.call(helper::MAP_DELETE_ELEM);
        self.queue(began);
        self.thread_slot(not_ours, true);
        self.event(point, start, Some(began))
    }

    /// `queue` = how long the thread could have run: all of it if it was preempted, else from when it was woken on.
    fn queue(&mut self, began: i16) {
        let (from, absent, keep) = (self.asm.label(), self.asm.label(), self.asm.label());
        let state = self.place_of("state").unwrap_or_default();
        let woken = self.place_of("queue").unwrap_or_default();
        self.asm.load(8, R2, FP, state);
        self.asm.load(8, R1, FP, began);
        self.asm.jump_if_imm(Jump::Eq, R2, 0, from);
        self.asm.jump_if_imm(Jump::Eq, R2, PREEMPTED, from);
        self.asm.load(8, R1, FP, woken);
        self.asm.jump_if_imm(Jump::Eq, R1, 0, absent);
        self.asm.place(from);
        self.asm.mov(R0, NOW);
        self.asm.alu(Alu::Sub, R0, R1);
        self.asm.jump(keep);
        self.asm.place(absent);
        self.asm.load_imm(R0, ABSENT);
        self.asm.place(keep);
        self.keep("queue");
    }

    /// The current thread leaves: what is known of it is kept, if it is ours.
    fn leaves(&mut self, point: PointId, end: Label, no_room: Label) {
        self.only_targets(end);
        self.gate(point, end);
        let value = self.asm.alloc(waiting::SIZE);
        let key = self.asm.alloc(8);
        self.state(value + waiting::STATE, end);
        self.asm.load(8, R0, FP, self.pid_tgid);
        self.asm.store(FP, value + waiting::THREAD, R0);
        self.asm.store(FP, value + waiting::BEGAN, NOW);
        self.asm.store_imm(FP, value + waiting::WOKEN, 0);
        self.asm.store_imm(FP, value + waiting::STACK, 0);
        self.asm.stack_address(R1, value + waiting::COMM);
        self.asm.load_imm(R2, 16);
        self.asm.call(helper::GET_CURRENT_COMM);
        if self.plan.points[point].reads("entry", &self.plan.tables, point) {
            self.entry(value + waiting::ENTRY);
        } else {
            self.asm.store_imm(FP, value + waiting::ENTRY, 0);
        }
        if self.plan.has_stacks(point) {
            let known = std::mem::take(&mut self.places);
            self.stack();
            self.places = known;
            self.asm.store(FP, value + waiting::STACK, R0);
        }
        self.asm.load(8, R0, CTX, LEAVING);
        self.asm.store(FP, key, R0);
        self.map_and_key(MapId::State(point), KeyAt::Stack(key));
        self.asm.stack_address(R3, value);
        self.asm.load_imm(R4, 0);
        self.asm.call(helper::MAP_UPDATE_ELEM);
        self.asm.jump_if_imm(Jump::Ne, R0, 0, no_room);
    }

    /// Stores the state in which the current thread leaves, as the records of the tracepoint have it; goes to `end` if it never
    /// comes back.
    fn state(&mut self, at: i16, end: Label) {
        let keep = self.asm.label();
        self.asm.load(8, R1, CTX, STATE);
        self.asm.mov(R2, R1);
        self.asm.alu_imm(Alu::And, R2, GONE);
        self.asm.jump_if_imm(Jump::Ne, R2, 0, end);
        self.asm.load_imm(R0, i64::from(PREEMPTED));
        self.asm.load(8, R2, CTX, PREEMPTS);
        self.asm.alu_imm(Alu::And, R2, 0xff);
        self.asm.jump_if_imm(Jump::Ne, R2, 0, keep);
        self.asm.load_imm(R0, i64::from(UNINTERRUPTIBLE));
        self.asm.mov(R2, R1);
        self.asm.alu_imm(Alu::And, R2, AS_UNINTERRUPTIBLE);
        self.asm.jump_if_imm(Jump::Ne, R2, 0, keep);
        for state in TOLD {
            self.asm.load_imm(R0, i64::from(state));
            self.asm.mov(R2, R1);
            self.asm.alu_imm(Alu::And, R2, state);
            self.asm.jump_if_imm(Jump::Ne, R2, 0, keep);
        }
        self.asm.mov(R0, R1);
        self.asm.alu_imm(Alu::And, R0, 1);
        self.asm.place(keep);
        self.asm.store(FP, at, R0);
    }

    /// Stores in which system call the current thread is, as `kernel_entry` numbers it.
    fn entry(&mut self, at: i16) {
        let (offset, bytes) = self.target.arch.system_call();
        let (none, done) = (self.asm.label(), self.asm.label());
        self.asm.store_imm(FP, at, 0);
        self.asm.call(helper::GET_CURRENT_TASK_BTF);
        self.asm.mov(R1, R0);
        self.asm.call(helper::TASK_PT_REGS);
        self.asm.mov(R3, R0);
        self.asm.alu_imm(Alu::Add, R3, offset);
        self.asm.stack_address(R1, at);
        self.asm.load_imm(R2, i64::from(bytes));
        self.asm.call(helper::PROBE_READ_KERNEL);
        self.asm.load(8, R1, FP, at);
        if bytes == 4 {
            self.asm.alu_imm(Alu::Lsh, R1, 32);
            self.asm.alu_imm(Alu::Arsh, R1, 32);
        }
        self.asm.jump_if_imm(Jump::SLt, R1, 0, none);
        for (number, calls) in self.target.arch.waiting_calls().into_iter().enumerate() {
            let (found, next) = (self.asm.label(), self.asm.label());
            for call in calls {
                self.asm.jump_if_imm(Jump::Eq, R1, *call, found);
            }
            self.asm.jump(next);
            self.asm.place(found);
            self.asm.store_imm(FP, at, number as i32 + 1);
            self.asm.jump(done);
            self.asm.place(next);
        }
        self.asm.store_imm(FP, at, 0);
        self.asm.jump(done);
        self.asm.place(none);
        self.asm.store_imm(FP, at, NO_ENTRY as i32);
        self.asm.place(done);
    }

    /// A thread may run again.
    pub(crate) fn woken(&mut self, point: PointId, end: Label) {
        let key = self.asm.alloc(8);
        self.asm.load(8, R0, CTX, WOKEN);
        self.asm.store(FP, key, R0);
        self.lookup(MapId::State(point), KeyAt::Stack(key));
        self.asm.jump_if_imm(Jump::Eq, R0, 0, end);
        self.asm.load(8, R1, R0, waiting::WOKEN);
        self.asm.jump_if_imm(Jump::Ne, R1, 0, end);
        self.asm.mov(R4, R0);
        self.asm.store(FP, key, R4);
        self.now();
        self.asm.load(8, R4, FP, key);
        self.asm.store(R4, waiting::WOKEN, NOW);
        self.asm.release(8);
    }

    /// Copies the name of the thread that comes to `to + at`.
    pub(crate) fn name_of_other(&mut self, at: i16, to: Reg) {
        for (name, by) in [("comm", 0), ("comm behind", 8)] {
            if let Some(from) = self.place_of(name) {
                self.asm.load(8, R0, FP, from);
                self.asm.store(to, at + by, R0);
            }
        }
    }
}
