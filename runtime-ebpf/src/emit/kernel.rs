//! Points of the kernel: page faults, samples, tracepoints.
//!
//! Their programs run for every process of the machine and look themselves whether the thread's process is one of
//! [`MapId::Targets`]. An event lies in what the thread has open at that moment, as a call of a function does; see
//! `enclosing.rs`. Arguments are on the stack, or in a tracepoint's record, which is the context.

use profinfer_compiler::catalogue::Template;
use profinfer_compiler::plan::Plan;
use profinfer_compiler::typed::PointId;

use super::value::KeyAt;
use super::{Emit, current};
use crate::asm::{Alu, Asm, BuildError, Jump, Label};
use crate::insn::{CTX, FP, R0, R1, R2, R3, Reg, SLOT, helper};
use crate::layout::{ABSENT, ABSENT_TEXT, Layout, MapId};
use crate::target::TargetFacts;

/// Bytes of a sector, as the block layer counts.
const SECTOR: u32 = 512;
/// `BPF_F_USER_STACK`
const USER_STACK: i64 = 1 << 8;

impl<'p> Emit<'p> {
    /// Begins a program of a kernel event. With `filtered` it leaves if the current process is not a target.
    pub(crate) fn of_kernel(plan: &'p Plan, layout: &'p Layout, target: &'p TargetFacts, filtered: bool) -> Self {
        let mut asm = Asm::new();
        let (pid_tgid, dur) = (asm.alloc(8), asm.alloc(8));
        let failed = asm.label();
        asm.mov(CTX, R1);
        let mut emit = Self::begun(asm, (plan, layout, target), [pid_tgid, dur], failed);
        if filtered {
            let (other, ours) = (emit.asm.label(), emit.asm.label());
            emit.only_targets(other);
            emit.asm.jump(ours);
            emit.asm.place(other);
            emit.asm.exit();
            emit.asm.place(ours);
        }
        emit
    }

    /// Goes to `other` if the current process is not a target; else its thread is at hand, and `r0` is where the map says
    /// where its ranges are.
    pub(crate) fn only_targets(&mut self, other: Label) {
        current(&mut self.asm, self.target.pid_namespace, self.pid_tgid, other);
        self.asm.alu_imm(Alu::Rsh, R0, 32);
        let key = self.asm.alloc(8);
        self.asm.store(FP, key, R0);
        self.lookup(MapId::Targets, KeyAt::Stack(key));
        self.asm.release(8);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, other);
    }

    /// Keeps r0 as the argument of that name.
    pub(crate) fn keep(&mut self, name: &'static str) {
        let at = self.place_of(name).unwrap_or_else(|| {
            let at = self.asm.alloc(8);
            self.places.push((name, at));
            at
        });
        self.asm.store(FP, at, R0);
    }

    /// Where the argument of that name is on the stack.
    pub(crate) fn place_of(&self, name: &str) -> Option<i16> {
        self.places.iter().find(|(n, _)| *n == name).map(|(_, at)| *at)
    }

    /// `r0` = an argument of a point of the kernel; says whether it may be absent.
    pub(crate) fn kernel_argument(&mut self, name: &str, point: PointId, start: usize) -> bool {
        if let Some(at) = self.place_of(name) {
            self.asm.load(8, R0, FP, at);
            return true;
        }
        let args = &self.plan.points[point].starts[start].args;
        let is_record = self.plan.points[point].template == Template::Tracepoint;
        match args.iter().find(|a| a.name == name).filter(|a| is_record && a.mem.size > 0) {
            Some(arg) => {
                self.asm.load(arg.mem.size, R0, CTX, arg.position as i16);
                if arg.mem.signed {
                    self.extend(arg.mem);
                }
                false
            }
            None => self.absent(),
        }
    }

    /// Copies a text of a tracepoint's record to `to + at`, zeros behind its end.
    pub(crate) fn kernel_text(&mut self, name: &str, len: u32, at: i16, to: Reg, point: PointId) {
        for i in 0..len.div_ceil(8) as i16 {
            self.asm.store_imm(to, at + 8 * i, 0);
        }
        let args = self.plan.points[point].starts.first().map_or(&[][..], |s| &s.args);
        let Some(arg) = args.iter().find(|a| a.name == name) else {
            return self.asm.store_byte(to, at, i32::from(ABSENT_TEXT));
        };
        self.asm.mov(R3, CTX);
        if arg.mem.signed {
            // Behind the record: offset in the low half of the word that is there, length in the high one.
            self.asm.load(4, R0, CTX, arg.position as i16);
            self.asm.alu_imm(Alu::And, R0, 0xffff);
            self.asm.alu(Alu::Add, R3, R0);
        } else {
            self.asm.alu_imm(Alu::Add, R3, arg.position as i32);
        }
        self.asm.mov(R1, to);
        self.asm.alu_imm(Alu::Add, R1, i32::from(at));
        self.asm.load_imm(R2, i64::from(len));
        self.asm.call(helper::PROBE_READ_KERNEL_STR);
        let failed = self.failed;
        self.asm.jump_if_imm(Jump::SLt, R0, 0, failed);
    }

    /// `r0` = the call stack of the current thread, in its own code; says that it may be absent.
    pub(crate) fn stack(&mut self) -> bool {
        if let Some(at) = self.place_of("stack") {
            self.asm.load(8, R0, FP, at);
            return true;
        }
        let (none, end) = (self.asm.label(), self.asm.label());
        self.asm.mov(R1, CTX);
        self.asm.load_map(R2, MapId::Stacks);
        self.asm.load_imm(R3, USER_STACK);
        self.asm.call(helper::GET_STACKID);
        self.asm.jump_if_imm(Jump::SLt, R0, 0, none);
        self.asm.alu_imm(Alu::Lsh, R0, 32);
        self.asm.alu_imm(Alu::Rsh, R0, 32);
        self.asm.load(8, R1, FP, self.pid_tgid);
        self.asm.alu_imm(Alu::Rsh, R1, 32);
        self.asm.alu_imm(Alu::Lsh, R1, 32);
        self.asm.alu(Alu::Or, R0, R1);
        self.asm.jump(end);
        self.asm.place(none);
        self.asm.load_imm(R0, ABSENT);
        self.asm.place(end);
        true
    }

    /// What a point of the kernel needs beside its starts.
    pub(crate) fn kernel_mark(&mut self, point: PointId) {
        let end = self.asm.label();
        match self.plan.points[point].template {
            Template::Fault => {
                self.thread_slot(end, true);
                self.gate(point, end);
                self.now();
                let began = self.layout.points[point].began;
                self.asm.store(SLOT, began, crate::insn::NOW);
            }
            Template::OffCpu => self.woken(point, end),
            _ => {}
        }
        self.asm.place(end);
    }

    /// A page fault ends. Where its beginning was not seen, it had begun before counting did.
    pub(crate) fn fault(&mut self, point: PointId, start: usize, end: Label) -> Result<(), BuildError> {
        let began = self.layout.points[point].began;
        self.thread_slot(end, false);
        let when = self.asm.alloc(8);
        self.asm.load(8, R0, SLOT, began);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, end);
        self.asm.store(FP, when, R0);
        self.asm.store_imm(SLOT, began, 0);
        let address = self.target.arch.event_registers() + 8;
        self.asm.load(8, R0, CTX, address);
        self.keep("address");
        let is_major = self.plan.points[point].starts[start].symbols.iter().any(|s| s.ends_with("-maj"));
        self.asm.load_imm(R0, i64::from(is_major));
        self.keep("major");
        self.range_of_address(point);
        self.event(point, start, Some(when))
    }

    /// An event without duration: a sample, a hit of a tracepoint.
    pub(crate) fn kernel_event(&mut self, point: PointId, start: usize, end: Label) -> Result<(), BuildError> {
        if self.plan.points[point].template == Template::Disk {
            self.only_reads(end);
        }
        self.thread_slot(end, true);
        self.gate(point, end);
        self.event(point, start, None)
    }

    /// Leaves a request that is no read, and keeps what is known of one.
    fn only_reads(&mut self, end: Label) {
        let field = |name: &str| self.target.trace_field(&format!("block:block_bio_queue.{name}"));
        let (kind, sectors, sector, device) = (field("rwbs"), field("nr_sector"), field("sector"), field("dev"));
        self.asm.load(1, R0, CTX, kind);
        self.asm.jump_if_imm(Jump::Ne, R0, i32::from(b'R'), end);
        self.asm.load(4, R0, CTX, sectors);
        self.asm.alu_imm(Alu::Lsh, R0, SECTOR.ilog2() as i32);
        self.keep("bytes");
        self.asm.load(8, R0, CTX, sector);
        self.keep("sector");
        self.asm.load(4, R0, CTX, device);
        self.keep("device");
    }
}
