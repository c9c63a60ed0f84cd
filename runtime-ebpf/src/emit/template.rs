//! The templates: what a hit of a site does for a point.
//!
//! - `enter`: an event at the entry.
//! - `span`: the entry opens the record in the thread's slot, a return instruction of the same frame closes it; with an
//!   event per row there see `parts.rs`, which has also what an event is put together of. One that is followed to behind its
//!   calls (`stop behind`) is closed where the caller goes on, when the return address is off the stack.
//! - `sequence`: a start closes the open step of the same pool and opens the next; a stop closes the last.
//! - `sequence` of a team: the same for each thread of a pool; see `team.rs`, and `mark.rs` for what splits their work from
//!   waiting.
//! - `span` of functions that a script names: as that, with an event for each call; see `call.rs`.
//! - points of the kernel: see `kernel.rs` and `off_cpu.rs`.
//! - `rows`: as `enter`, with an event per element of a matrix; see `rows.rs`.
//! - `check`: values of the first hits, for the layout check.

use profinfer_compiler::catalogue::Template;
use profinfer_compiler::plan::{CaptureValue, Gate};
use profinfer_compiler::typed::PointId;
use profinfer_lang::ast::Edge;

use super::value::KeyAt;
use super::{Emit, Phase};
use crate::asm::{Alu, BuildError, Jump, Label};
use crate::insn::{CTX, FP, R0, R1, R2, RECORD, SLOT, helper};
use crate::layout::{MapId, PointCounter, counter, record};

/// Bits of a stack pointer, which is a multiple of 8, in which a record of a span that is followed to behind its calls has
/// the number of its start.
const START_BITS: i32 = 7;

/// Samples of each point that the layout check takes.
pub(crate) const CHECK_SAMPLES: u32 = 16;

impl Emit<'_> {
    /// An event of the point begins (and with a sequence, the one before ends).
    pub(crate) fn start(&mut self, point: PointId, start: usize) -> Result<(), BuildError> {
        let end = self.asm.label();
        let before_record = self.asm.label();
        self.failed = before_record;
        self.blocks.clear();
        let stack = self.asm.stack();
        match self.plan.points[point].template {
            Template::Sequence if self.plan.points[point].team.is_some() => self.team_start(point, start, end)?,
            Template::Sequence => self.sequence_start(point, start, end)?,
            Template::Span => self.span_start(point, start, end)?,
            Template::Call => self.call_start(point, start, end)?,
            Template::Enter | Template::Rows => self.enter(point, start, end)?,
            Template::Fault => self.fault(point, start, end)?,
            Template::OffCpu => self.off_cpu(point, start, end)?,
            Template::Disk | Template::Sample | Template::Tracepoint => self.kernel_event(point, start, end)?,
        }
        self.asm.jump(end);
        self.asm.place(before_record);
        self.count_point(point, PointCounter::FailedRead);
        self.asm.place(end);
        // What was copied serves this point only.
        self.asm.release_to(stack);
        Ok(())
    }

    /// The open event of the point ends, if there is one.
    pub(crate) fn stop(&mut self, point: PointId) {
        let end = self.asm.label();
        match self.plan.points[point].template {
            Template::Sequence if self.plan.points[point].team.is_some() => self.team_stop(point, end),
            Template::Sequence => self.sequence_stop(point, end),
            Template::Span => self.span_stop(point, end),
            Template::Call => self.call_stop(point, end),
            Template::Enter | Template::Rows => {}
            Template::Fault | Template::OffCpu | Template::Disk | Template::Sample | Template::Tracepoint => {}
        }
        self.asm.place(end);
    }

    pub(crate) fn only(&mut self, point: PointId, start: usize, end: Label) {
        if let Some(only) = &self.plan.points[point].only {
            let nullable = self.number(only, point, Phase::Open { start, stored: 0 });
            self.truth(nullable);
            self.asm.jump_if_imm(Jump::Eq, R0, 0, end);
        }
        self.ask_thread(end);
    }

    /// Goes to `end` unless an event of the point that begins now counts. The slot is in r7.
    pub(crate) fn gate(&mut self, point: PointId, end: Label) {
        let running = |this: &mut Self| {
            this.asm.load_map_value(R0, MapId::Counters, counter::GATE * 8);
            this.asm.load(8, R0, R0, 0);
            this.asm.jump_if_imm(Jump::Ne, R0, 1, end);
        };
        match self.plan.points[point].gate {
            Gate::Inside(outer) if self.target.has(outer) => {
                let base = self.layout.points[outer].in_slot;
                self.asm.load(8, R0, SLOT, base + record::START);
                self.asm.jump_if_imm(Jump::Eq, R0, 0, end);
            }
            Gate::Step(step) if self.target.has(step) => {
                let inside = self.asm.label();
                let base = self.layout.points[step].in_slot;
                self.asm.load(8, R0, SLOT, base + record::START);
                self.asm.jump_if_imm(Jump::Ne, R0, 0, inside);
                // Outside of a step, or inside one that was cut by attaching? The thread's first whole step tells.
                let known = self.asm.label();
                self.asm.load(8, R0, SLOT, 0);
                self.asm.jump_if_imm(Jump::Ne, R0, 0, known);
                self.asm.load_map_value(R0, MapId::Counters, counter::ALL_KNOWN * 8);
                self.asm.load(8, R0, R0, 0);
                self.asm.jump_if_imm(Jump::Eq, R0, 0, end);
                self.asm.place(known);
                running(self);
                self.asm.place(inside);
            }
            _ => running(self),
        }
    }

    pub(crate) fn record_address(&mut self, point: PointId) {
        self.asm.mov(RECORD, SLOT);
        self.asm.alu_imm(Alu::Add, RECORD, i32::from(self.layout.points[point].in_slot));
    }

    /// A failed read while the record was being filled: it stays closed.
    pub(crate) fn failed_in_record(&mut self, fail: Label, to: Label) {
        let over = self.asm.label();
        self.asm.jump(over);
        self.asm.place(fail);
        self.asm.store_imm(RECORD, record::START, 0);
        self.asm.jump(to);
        self.asm.place(over);
    }

    fn enter(&mut self, point: PointId, start: usize, end: Label) -> Result<(), BuildError> {
        self.only(point, start, end);
        self.thread_slot(end, true);
        self.gate(point, end);
        self.event(point, start, None)
    }

    /// Opens a record that began at the time on the stack, or just now, and closes it.
    pub(crate) fn event(&mut self, point: PointId, start: usize, began: Option<i16>) -> Result<(), BuildError> {
        self.now();
        self.record_address(point);
        self.count_point(point, PointCounter::Hits);
        let (outer, fail) = (self.failed, self.asm.label());
        self.failed = fail;
        self.open_record(point, start)?;
        if let Some(began) = began {
            self.asm.load(8, R0, FP, began);
            self.asm.store(RECORD, record::START, R0);
        }
        match self.plan.points[point].each {
            Some(numbers) => self.elements(point, numbers, fail),
            None => self.close_record(point),
        }
        self.asm.store_imm(RECORD, record::START, 0);
        self.failed_in_record(fail, outer);
        Ok(())
    }

    fn span_start(&mut self, point: PointId, start: usize, end: Label) -> Result<(), BuildError> {
        self.only(point, start, end);
        self.thread_slot(end, true);
        if self.plan.points[point].step {
            self.asm.store_imm(SLOT, 0, 1);
        }
        self.record_address(point);
        self.count_point(point, PointCounter::Hits);
        let fresh = self.asm.label();
        let stack_pointer = self.target.arch.stack_pointer();
        self.asm.load(8, R0, RECORD, record::START);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, fresh);
        // Open already: a call from within that frame is part of it; else its return was never seen.
        self.asm.load(8, R1, RECORD, record::SP);
        self.asm.load(8, R0, CTX, stack_pointer);
        let followed = self.is_followed(point);
        if followed {
            // So is another function that this one goes on in: it has the same frame.
            let other = self.asm.label();
            self.asm.mov(R2, R1);
            self.asm.alu_imm(Alu::And, R1, !START_BITS);
            self.asm.jump_if(Jump::Ne, R0, R1, other);
            self.asm.alu_imm(Alu::And, R2, START_BITS);
            self.asm.jump_if_imm(Jump::Ne, R2, start as i32, end);
            self.asm.place(other);
        }
        self.asm.jump_if(Jump::Lt, R0, R1, end);
        self.asm.store_imm(RECORD, record::START, 0);
        if self.plan.points[point].step {
            self.steps(-1);
        }
        self.count_point(point, PointCounter::Cut);
        self.asm.place(fresh);
        self.gate(point, end);
        self.forget_inner(point);
        self.now();
        let (outer, fail) = (self.failed, self.asm.label());
        self.failed = fail;
        self.open_record(point, start)?;
        self.asm.load(8, R0, CTX, stack_pointer);
        if followed {
            self.asm.alu_imm(Alu::Or, R0, start as i32);
        }
        self.asm.store(RECORD, record::SP, R0);
        if self.plan.points[point].step {
            self.steps(1);
        }
        self.failed_in_record(fail, outer);
        Ok(())
    }

    /// Whether a function of the point is followed to where its caller goes on.
    fn is_followed(&self, point: PointId) -> bool {
        self.plan.points[point].stops.iter().any(|stop| stop.at == Edge::Behind)
    }

    fn span_stop(&mut self, point: PointId, end: Label) {
        let step = self.plan.points[point].step;
        self.thread_slot(end, step);
        if step {
            self.asm.store_imm(SLOT, 0, 1);
        }
        self.record_address(point);
        self.asm.load(8, R0, RECORD, record::START);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, end);
        // At a return instruction the stack pointer is where it was at the entry of the same frame.
        self.asm.load(8, R1, RECORD, record::SP);
        self.asm.load(8, R0, CTX, self.target.arch.stack_pointer());
        if self.is_followed(point) {
            self.asm.alu_imm(Alu::And, R1, !START_BITS);
        }
        if self.at == Edge::Behind {
            // The return address has been taken off the stack.
            self.asm.alu_imm(Alu::Sub, R0, self.target.arch.return_address_on_stack());
        }
        self.asm.jump_if(Jump::Ne, R0, R1, end);
        self.now();
        let over = self.asm.label();
        if let Some(only) = &self.plan.points[point].only_return {
            let nullable = self.number(only, point, Phase::Close);
            self.truth(nullable);
            self.asm.jump_if_imm(Jump::Eq, R0, 0, over);
        }
        match self.plan.points[point].each {
            Some([number, _]) => self.close_rows(point, number),
            None => self.close_record(point),
        }
        self.asm.place(over);
        self.asm.store_imm(RECORD, record::START, 0);
        if step {
            self.steps(-1);
        }
    }

    fn sequence_start(&mut self, point: PointId, start: usize, end: Label) -> Result<(), BuildError> {
        let plan = self.plan;
        let p = &plan.points[point];
        if self.puts_aside(point) {
            return self.put_aside(point, start, end);
        }
        if !self.layout.points[point].by_state {
            return self.sequence_of_thread(point, start, end);
        }
        self.read_blocks(&p.only.iter().chain(&p.state_by).collect::<Vec<_>>(), point, start);
        self.only(point, start, end);
        self.slot_inside(point, end);
        self.gate(point, end);
        self.count_point(point, PointCounter::Hits);
        // The state key: process, then what the point says; kept in the slot for the stop.
        let in_slot = self.layout.points[point].in_slot;
        let keys = &self.plan.points[point].state_by;
        for (i, key) in keys.iter().enumerate() {
            self.number(key, point, Phase::Open { start, stored: 0 });
            self.asm.store(SLOT, in_slot + 8 + 8 * i as i16, R0);
        }
        self.asm.load(8, R0, FP, self.pid_tgid);
        self.asm.alu_imm(Alu::Rsh, R0, 32);
        self.asm.store(SLOT, in_slot, R0);
        let no_room = self.asm.label();
        self.lookup_or_begin(MapId::State(point), KeyAt::Slot(in_slot), no_room);
        self.asm.mov(RECORD, R0);
        self.close_and_open(point, start)?;
        self.asm.jump(end);
        self.asm.place(no_room);
        self.count_point(point, PointCounter::NoRoom);
        Ok(())
    }

    /// A sequence without a state key is the thread's: its record is in the slot.
    fn sequence_of_thread(&mut self, point: PointId, start: usize, end: Label) -> Result<(), BuildError> {
        self.only(point, start, end);
        self.slot_inside(point, end);
        self.gate(point, end);
        self.count_point(point, PointCounter::Hits);
        self.record_address(point);
        self.close_and_open(point, start)
    }

    /// The open event of a sequence ends, if there is one, and the next begins in the same record, which is in r8.
    fn close_and_open(&mut self, point: PointId, start: usize) -> Result<(), BuildError> {
        self.now();
        let fresh = self.asm.label();
        self.asm.load(8, R0, RECORD, record::START);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, fresh);
        self.close_record(point);
        self.asm.place(fresh);
        let (outer, fail) = (self.failed, self.asm.label());
        self.failed = fail;
        self.open_record(point, start)?;
        self.failed_in_record(fail, outer);
        Ok(())
    }

    /// The thread's slot; where an enclosing point is probed, that has made it.
    pub(crate) fn slot_inside(&mut self, point: PointId, end: Label) {
        let made = matches!(self.plan.points[point].gate, Gate::Inside(outer) if self.target.has(outer));
        self.thread_slot(end, !made);
    }

    /// What a thread's sequences have open is forgotten when a new event begins around them: its end was never seen.
    fn forget_inner(&mut self, outer: PointId) {
        let inside = |id: &PointId| {
            let p = &self.plan.points[*id];
            p.used && p.template == Template::Sequence && p.gate == Gate::Inside(outer) && self.target.has(*id)
        };
        for point in (0..self.plan.points.len()).filter(inside).collect::<Vec<_>>() {
            if self.layout.points[point].by_state {
                // By its time it is told from what lies in the new one.
            } else if self.puts_aside(point) {
                self.forget_aside(point);
            } else {
                let closed = self.asm.label();
                let at = self.layout.points[point].in_slot + record::START;
                self.asm.load(8, R0, SLOT, at);
                self.asm.jump_if_imm(Jump::Eq, R0, 0, closed);
                self.asm.store_imm(SLOT, at, 0);
                self.count_point(point, PointCounter::Cut);
                self.asm.place(closed);
            }
        }
    }

    fn sequence_stop(&mut self, point: PointId, end: Label) {
        if self.puts_aside(point) {
            self.stop_aside(point, end);
            return;
        }
        self.thread_slot(end, false);
        if !self.layout.points[point].by_state {
            self.record_address(point);
            self.asm.load(8, R0, RECORD, record::START);
            self.asm.jump_if_imm(Jump::Eq, R0, 0, end);
            self.now();
            self.close_record(point);
            self.asm.store_imm(RECORD, record::START, 0);
            return;
        }
        let in_slot = self.layout.points[point].in_slot;
        self.asm.load(8, R0, SLOT, in_slot);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, end);
        self.lookup(MapId::State(point), KeyAt::Slot(in_slot));
        let gone = self.asm.label();
        self.asm.jump_if_imm(Jump::Eq, R0, 0, gone);
        self.asm.mov(RECORD, R0);
        let closed = self.asm.label();
        self.asm.load(8, R0, RECORD, record::START);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, closed);
        self.now();
        self.close_record(point);
        self.asm.store_imm(RECORD, record::START, 0);
        self.asm.place(closed);
        // Pools may be made anew for every graph: nothing of them is left behind.
        self.asm.load_map(R1, MapId::State(point));
        self.asm.mov(R2, SLOT);
        self.asm.alu_imm(Alu::Add, R2, i32::from(in_slot));
        self.asm.call(helper::MAP_DELETE_ELEM);
        self.asm.place(gone);
        self.asm.store_imm(SLOT, in_slot, 0);
    }

    /// Takes a sample of what the point's layout checks read.
    pub(crate) fn sample(&mut self, point: PointId, start: usize) {
        let end = self.asm.label();
        self.failed = end;
        let word = self.layout.point_counter(point, PointCounter::Samples);
        self.asm.load_map_value(R1, MapId::Counters, word * 8);
        self.asm.load(8, R0, R1, 0);
        self.asm.jump_if_imm(Jump::Ge, R0, CHECK_SAMPLES as i32, end);
        self.asm.load_imm(R0, 1);
        self.asm.atomic_fetch_add(R1, 0, R0);
        self.asm.jump_if_imm(Jump::Ge, R0, CHECK_SAMPLES as i32, end);
        let key = self.asm.alloc(8);
        self.asm.store(FP, key, R0);
        self.lookup(MapId::Check(point), KeyAt::Stack(key));
        self.asm.jump_if_imm(Jump::Eq, R0, 0, end);
        self.asm.mov(RECORD, R0);
        let phase = Phase::Open { start, stored: 0 };
        let bad = self.asm.label();
        self.failed = bad;
        for (check, offsets) in self.plan.points[point].checks.iter().zip(&self.layout.points[point].checks) {
            for (leaf, at) in check.leaves.iter().zip(offsets) {
                // The first word says that the sample is there.
                let at = 8 + *at as i16;
                match &leaf.value {
                    CaptureValue::Number(e) => {
                        self.number(e, point, phase);
                        self.asm.store(RECORD, at, R0);
                    }
                    _ => self.text_capture(leaf, at, RECORD, point, phase),
                }
            }
        }
        self.asm.store_imm(RECORD, 0, 1);
        self.asm.jump(end);
        self.asm.place(bad);
        // 2: what the layout says is there could not be read.
        self.asm.store_imm(RECORD, 0, 2);
        self.asm.place(end);
    }
}
