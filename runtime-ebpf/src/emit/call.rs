//! Calls of functions that a script names: every one is an event, those from within another one too.
//!
//! The stack pointer tells the calls of a thread apart: at the entry it is what it is at every return instruction of the
//! same frame. So open records are kept under thread and stack pointer. The thread's slot counts how deep it is; where the
//! frame that returns is not the deepest one, those inside of it were left by an exception or a jump, and how long they took
//! is not known. User space counts them: they are what began, did not end, and is not open.

use profinfer_compiler::typed::{CallValue, PointId};
use profinfer_compiler::types::Mem;

use super::value::KeyAt;
use super::{Emit, Phase};
use crate::asm::{Alu, BuildError, Jump, Label};
use crate::insn::{CTX, FP, NOW, R0, R1, R2, R3, R4, RECORD, SLOT, helper};
use crate::layout::{ABSENT, CallLayout, LEVELS, MapId, PointCounter, record};
use crate::target::cookie;

impl Emit<'_> {
    /// A call begins.
    pub(crate) fn call_start(&mut self, point: PointId, start: usize, end: Label) -> Result<(), BuildError> {
        let Some(call) = self.layout.points[point].call else { return Ok(()) };
        self.thread_slot(end, true);
        self.gate(point, end);
        self.count_point(point, PointCounter::Hits);
        self.frame_key(point);
        let (fresh, no_room) = (self.asm.label(), self.asm.label());
        self.lookup_or_begin(MapId::State(point), self.frame_key_at(point), no_room);
        self.asm.mov(RECORD, R0);
        self.now();
        self.asm.load(8, R0, RECORD, record::START);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, fresh);
        self.never_left(call);
        self.asm.place(fresh);
        let (outer, fail) = (self.failed, self.asm.label());
        self.failed = fail;
        self.open_record(point, start)?;
        // One deeper; what the calls from within take is counted anew.
        self.asm.load(8, R0, SLOT, call.depth);
        self.asm.store(RECORD, call.at_depth, R0);
        self.asm.alu_imm(Alu::Add, R0, 1);
        self.asm.store(SLOT, call.depth, R0);
        self.asm.load(8, R3, RECORD, call.at_depth);
        self.level(R3);
        self.asm.store(R3, call.began, NOW);
        self.asm.load(8, R0, SLOT, call.inner);
        self.asm.store(RECORD, call.before, R0);
        self.asm.store_imm(SLOT, call.inner, 0);
        self.failed_in_record(fail, outer);
        self.asm.jump(end);
        self.asm.place(no_room);
        self.count_point(point, PointCounter::NoRoom);
        Ok(())
    }

    /// A frame is where one was that never returned: it is gone, with all inside of it. How long those took is not known.
    fn never_left(&mut self, call: CallLayout) {
        let told = self.asm.label();
        self.asm.load(8, R2, SLOT, call.depth);
        self.asm.load(8, R3, RECORD, call.at_depth);
        // One that it was in has returned since, and knows.
        self.asm.jump_if(Jump::SLe, R2, R3, told);
        self.asm.mov(R4, R3);
        self.level(R4);
        self.asm.load(8, R0, R4, call.began);
        self.asm.load(8, R1, RECORD, record::START);
        self.asm.jump_if(Jump::Ne, R0, R1, told);
        self.asm.store(SLOT, call.depth, R3);
        self.asm.load_imm(R0, ABSENT);
        self.asm.store(SLOT, call.inner, R0);
        self.asm.place(told);
    }

    /// Turns a depth into the address in the slot from which its place among those that say when calls began is reached.
    fn level(&mut self, depth: crate::insn::Reg) {
        self.asm.alu_imm(Alu::And, depth, LEVELS as i32 - 1);
        self.asm.alu_imm(Alu::Lsh, depth, 3);
        self.asm.alu(Alu::Add, depth, SLOT);
    }

    /// A call returns.
    pub(crate) fn call_stop(&mut self, point: PointId, end: Label) {
        let Some(call) = self.layout.points[point].call else { return };
        let (gone, known, unknown) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.thread_slot(end, false);
        self.frame_key(point);
        self.lookup(MapId::State(point), self.frame_key_at(point));
        self.asm.jump_if_imm(Jump::Eq, R0, 0, end);
        self.asm.mov(RECORD, R0);
        self.asm.load(8, R0, RECORD, record::START);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, gone);
        self.now();
        // Where calls from within were never left, the time of this one alone is not known.
        let own = self.own;
        self.asm.load_imm(R0, ABSENT);
        self.asm.store(FP, own, R0);
        self.asm.load(8, R2, SLOT, call.depth);
        self.asm.load(8, R3, RECORD, call.at_depth);
        self.asm.store(SLOT, call.depth, R3);
        self.asm.alu(Alu::Sub, R2, R3);
        self.asm.alu_imm(Alu::Sub, R2, 1);
        self.asm.jump_if_imm(Jump::SGt, R2, 0, unknown);
        self.asm.load(8, R0, SLOT, call.inner);
        self.asm.load_imm(R1, ABSENT);
        self.asm.jump_if(Jump::Eq, R0, R1, unknown);
        self.duration(R2);
        self.asm.alu(Alu::Sub, R2, R0);
        self.asm.store(FP, own, R2);
        self.asm.place(unknown);
        // All of it is time inside of the call that this one was made from.
        self.asm.load(8, R0, RECORD, call.before);
        self.asm.load_imm(R1, ABSENT);
        self.asm.jump_if(Jump::Eq, R0, R1, known);
        self.duration(R2);
        self.asm.alu(Alu::Add, R0, R2);
        self.asm.place(known);
        self.asm.store(SLOT, call.inner, R0);
        self.close_record(point);
        self.asm.place(gone);
        self.map_and_key(MapId::State(point), self.frame_key_at(point));
        self.asm.call(helper::MAP_DELETE_ELEM);
    }

    /// `to` = how long the call at hand has taken. Uses r3.
    fn duration(&mut self, to: crate::insn::Reg) {
        self.asm.mov(to, NOW);
        self.asm.load(8, R3, RECORD, record::START);
        self.asm.alu(Alu::Sub, to, R3);
    }

    /// Writes thread and stack pointer into the slot: the key of the frame.
    fn frame_key(&mut self, point: PointId) {
        let at = self.layout.points[point].in_slot;
        self.asm.load(8, R0, FP, self.pid_tgid);
        self.asm.store(SLOT, at, R0);
        self.asm.load(8, R0, CTX, self.target.arch.stack_pointer());
        self.asm.store(SLOT, at + 8, R0);
    }

    fn frame_key_at(&self, point: PointId) -> KeyAt {
        KeyAt::Slot(self.layout.points[point].in_slot)
    }

    /// `r0` = what is known of the call at hand; says whether it may be absent.
    pub(crate) fn call_value(&mut self, value: CallValue, phase: Phase) -> bool {
        match (value, phase) {
            (CallValue::Function, _) => {
                self.asm.load(8, R0, FP, self.cookie);
                self.asm.alu_imm(Alu::Rsh, R0, cookie::FUNCTION_SHIFT);
                false
            }
            (CallValue::Returned(mem), Phase::Close) => self.returned(mem),
            (CallValue::Own, Phase::Close) => {
                self.asm.load(8, R0, FP, self.own);
                true
            }
            (CallValue::Returned(_) | CallValue::Own, Phase::Open { .. }) => self.absent(),
        }
    }

    /// `r0` = what the function returns; absent where it goes on in another one, which returns in its place.
    fn returned(&mut self, mem: Mem) -> bool {
        let (returns, end) = (self.asm.label(), self.asm.label());
        self.asm.load(8, R0, FP, self.cookie);
        self.asm.alu_imm(Alu::Rsh, R0, cookie::HIGH);
        self.asm.alu_imm(Alu::And, R0, cookie::GOES_ON);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, returns);
        self.absent();
        self.asm.jump(end);
        self.asm.place(returns);
        self.asm.load(8, R0, CTX, self.target.arch.returned());
        self.extend(mem);
        self.asm.place(end);
        true
    }
}
