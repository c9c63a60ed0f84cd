//! Sequences whose events are put aside in the thread's slot, and read in one go: see [`profinfer_compiler::aside`].
//!
//! A hit stores the time and the arguments, and that is all. When there is no room for another event, or the stop comes,
//! the code of [`Emit::open_record`] and [`Emit::close_record`] runs for each of them as it would have at the event: with its
//! times, its arguments, and the records around it, which are those of that moment still.

use profinfer_compiler::aside::{EVENTS, fixed};
use profinfer_compiler::catalogue::Stop;
use profinfer_compiler::plan::{Expr, Gate};
use profinfer_compiler::typed::PointId;
use profinfer_lang::ast::Edge;

use super::{Emit, Phase};
use crate::asm::{Alu, BuildError, Jump, Label};
use crate::insn::{FP, NOW, R0, R1, R2, R3, RECORD, SLOT};
use crate::layout::{AsideLayout, MapId, PointCounter, record};

impl Emit<'_> {
    /// Whether events of the point are put aside in this target.
    pub(crate) fn puts_aside(&self, point: PointId) -> bool {
        let inside = matches!(self.plan.points[point].gate, Gate::Inside(outer) if self.target.has(outer));
        self.plan.points[point].aside && inside && self.target.loops
    }

    pub(super) fn aside(&self, point: PointId) -> AsideLayout {
        self.layout.points[point].aside.clone().unwrap_or_default()
    }

    /// An event begins, and the one before ends: it is put aside.
    pub(crate) fn put_aside(&mut self, point: PointId, start: usize, end: Label) -> Result<(), BuildError> {
        self.only(point, start, end);
        self.slot_inside(point, end);
        self.gate(point, end);
        self.append(point, start, end);
        self.record_address(point);
        self.tell_all(point)?;
        self.keep_last(point);
        Ok(())
    }

    /// Puts an event behind those in the slot, and goes to `end` if there is room for another. r7 is the thread's own slot.
    pub(super) fn append(&mut self, point: PointId, start: usize, end: Label) {
        let lies = self.aside(point);
        self.now();
        self.asm.load(8, R1, SLOT, lies.count);
        // Never taken; it tells the verifier that the event is within the slot.
        self.asm.jump_if_imm(Jump::Gt, R1, EVENTS as i32, end);
        self.asm.mov(R2, R1);
        self.asm.alu_imm(Alu::Mul, R2, lies.size());
        self.asm.alu(Alu::Add, R2, SLOT);
        self.asm.mov(R0, NOW);
        self.asm.alu_imm(Alu::Lsh, R0, AsideLayout::START_BITS);
        if start != 0 {
            self.asm.alu_imm(Alu::Or, R0, start as i32);
        }
        self.asm.store(R2, lies.events, R0);
        if lies.marked {
            self.asm.store_imm(R2, lies.events + AsideLayout::MARK, 0);
        }
        for (i, name) in lies.args.iter().enumerate() {
            let has = self.plan.points[point].starts[start].args.iter().any(|a| a.name == *name);
            if has {
                self.argument(name, point, Phase::Open { start, stored: 0 });
                self.asm.store(R2, lies.events + lies.first_arg() + 8 * i as i16, R0);
            }
        }
        let full = self.asm.label();
        self.asm.jump_if_imm(Jump::Eq, R1, EVENTS as i32, full);
        self.asm.alu_imm(Alu::Add, R1, 1);
        self.asm.store(SLOT, lies.count, R1);
        self.asm.jump(end);
        self.asm.place(full);
    }

    /// All but the one that has just begun are told: it is now the first. r8 is the record in the slot.
    pub(super) fn keep_last(&mut self, point: PointId) {
        let lies = self.aside(point);
        let first = lies.behind(lies.events);
        for at in (0..lies.size() as i16).step_by(8) {
            self.asm.load(8, R0, RECORD, first + (EVENTS as i32 * lies.size()) as i16 + at);
            self.asm.store(RECORD, first + at, R0);
        }
        self.asm.store_imm(RECORD, lies.behind(lies.count), 1);
    }

    /// Whether another stop comes behind the one at hand in any case, so that this one only has to say when it was: what tells
    /// events is a loop, which takes the kernel a while to verify.
    pub(super) fn only_notes_end(&self, point: PointId) -> bool {
        let is_certain = |stop: &Stop| stop.at == Edge::Return && !stop.optional;
        self.at == Edge::Entry && self.plan.points[point].stops.iter().any(is_certain)
    }

    /// The last event ends, and all are told.
    pub(crate) fn stop_aside(&mut self, point: PointId, end: Label) {
        let lies = self.aside(point);
        self.thread_slot(end, false);
        self.record_address(point);
        if self.only_notes_end(point) {
            self.number_aside(point, end);
            self.now();
            self.asm.store(SLOT, lies.ended, NOW);
            return;
        }
        self.number_aside(point, end);
        let over = self.asm.label();
        if let Gate::Inside(outer) = self.plan.points[point].gate {
            // What was around them is over already: they are counted as cut when the next begins.
            self.asm.load(8, R0, SLOT, self.layout.points[outer].in_slot + record::START);
            self.asm.jump_if_imm(Jump::Eq, R0, 0, over);
        }
        self.now();
        self.end_last(point);
        // Building it cannot fail here: it has been built for a start.
        let _ = self.tell_all(point);
        self.asm.store_imm(RECORD, lies.behind(lies.count), 0);
        self.asm.store_imm(SLOT, lies.ended, 0);
        self.asm.place(over);
    }

    /// `r1` = how many events are put aside behind the record in r8; goes to `none` if there are none.
    pub(super) fn number_aside(&mut self, point: PointId, none: Label) {
        let lies = self.aside(point);
        self.asm.load(8, R1, RECORD, lies.behind(lies.count));
        self.asm.jump_if_imm(Jump::Eq, R1, 0, none);
        // Never taken; it tells the verifier that they are within the slot.
        self.asm.jump_if_imm(Jump::Gt, R1, EVENTS as i32, none);
    }

    /// The last of r1 events behind the record in r8 ends now, or ended when an earlier stop has said so in r7's slot.
    pub(super) fn end_last(&mut self, point: PointId) {
        let lies = self.aside(point);
        self.asm.alu_imm(Alu::Mul, R1, lies.size());
        self.asm.alu(Alu::Add, R1, RECORD);
        self.asm.mov(R0, NOW);
        let is_now = self.asm.label();
        self.asm.load(8, R2, SLOT, lies.ended);
        self.asm.load(8, R3, R1, lies.behind(lies.events) - lies.size() as i16);
        self.asm.alu_imm(Alu::Rsh, R3, AsideLayout::START_BITS);
        // It may be left from a graph whose last stop did not come.
        self.asm.jump_if(Jump::Le, R2, R3, is_now);
        self.asm.mov(R0, R2);
        self.asm.place(is_now);
        self.asm.alu_imm(Alu::Lsh, R0, AsideLayout::START_BITS);
        self.asm.store(R1, lies.behind(lies.events), R0);
    }

    /// What is put aside when an event around it begins was never told: its stop did not come.
    pub(crate) fn forget_aside(&mut self, point: PointId) {
        let none = self.asm.label();
        let AsideLayout { count: at, ordinal, .. } = self.aside(point);
        self.asm.store_imm(SLOT, ordinal, 0);
        self.asm.load(8, R1, SLOT, at);
        self.asm.jump_if_imm(Jump::Eq, R1, 0, none);
        self.asm.store_imm(SLOT, at, 0);
        self.add_to_point(point, PointCounter::Cut);
        self.asm.place(none);
    }

    /// Opens and closes a record for each event that is put aside behind the record in r8, in their order. The time is the same
    /// after it as before.
    pub(super) fn tell_all(&mut self, point: PointId) -> Result<(), BuildError> {
        let before = self.asm.stack();
        let now = self.asm.alloc(8);
        self.asm.store(FP, now, NOW);
        let done = self.asm.label();
        self.tell_each(point, done)?;
        self.asm.place(done);
        self.asm.store_imm(RECORD, record::START, 0);
        self.asm.load(8, NOW, FP, now);
        self.asm.release_to(before);
        Ok(())
    }

    /// The loop of [`tell_all`](Self::tell_all), which goes to `done`. Uses r9, which is another time after it.
    fn tell_each(&mut self, point: PointId, done: Label) -> Result<(), BuildError> {
        let lies = self.aside(point);
        let (index, count) = (lies.behind(lies.index), lies.behind(lies.count));
        let (events, ordinal) = (lies.behind(lies.events), lies.behind(lies.ordinal));
        self.asm.load(8, R1, RECORD, count);
        self.add_to_point(point, PointCounter::Hits);
        self.add_to_point(point, PointCounter::Events);
        let (turn, next, lost, dropped) = (self.asm.label(), self.asm.label(), self.asm.label(), self.asm.label());
        let outer = std::mem::replace(&mut self.failed, lost);
        self.telling = Some(point);
        // In the slot, not on the stack: of a number in a map the verifier knows nothing, so that each turn of the loop is
        // the same to it.
        self.asm.store_imm(RECORD, index, 0);
        self.asm.place(turn);
        self.asm.may_goto(done);
        self.asm.load(8, R1, RECORD, index);
        self.asm.load(8, R0, RECORD, count);
        self.asm.jump_if(Jump::Ge, R1, R0, done);
        self.asm.jump_if_imm(Jump::Ge, R1, EVENTS as i32, done);
        self.asm.alu_imm(Alu::Mul, R1, lies.size());
        self.asm.alu(Alu::Add, R1, RECORD);
        let end = self.asm.alloc(8);
        self.asm.load(8, R0, R1, events + lies.size() as i16);
        self.asm.alu_imm(Alu::Rsh, R0, AsideLayout::START_BITS);
        self.asm.store(FP, end, R0);
        let mark = lies.marked.then(|| {
            let at = self.asm.alloc(8);
            self.asm.load(8, R0, R1, events + AsideLayout::MARK);
            self.asm.store(FP, at, R0);
            at
        });
        for (i, name) in lies.args.iter().enumerate() {
            let at = self.asm.alloc(8);
            self.asm.load(8, R0, R1, events + lies.first_arg() + 8 * i as i16);
            self.asm.store(FP, at, R0);
            self.kept.push((name.clone(), at));
        }
        self.asm.load(8, NOW, R1, events);
        let which = self.asm.alloc(8);
        self.asm.mov(R0, NOW);
        self.asm.alu_imm(Alu::And, R0, (1 << AsideLayout::START_BITS) - 1);
        self.asm.store(FP, which, R0);
        self.asm.alu_imm(Alu::Rsh, NOW, AsideLayout::START_BITS);
        if self.plan.points[point].team.is_some() {
            self.unless_in_the_leaders(point, dropped);
        }
        let stack = self.asm.stack();
        let close = self.asm.label();
        for start in (0..self.plan.points[point].starts.len()).filter(|start| self.target.starts[point][*start]) {
            let other = self.asm.label();
            self.asm.load(8, R0, FP, which);
            self.asm.jump_if_imm(Jump::Ne, R0, start as i32, other);
            self.blocks.clear();
            self.open_record(point, start)?;
            self.asm.release_to(stack);
            self.asm.jump(close);
            self.asm.place(other);
        }
        self.asm.jump(next);
        self.asm.place(close);
        self.asm.load(8, NOW, FP, end);
        if let (Some(mark), Some(at)) = (mark, self.layout.points[point].mark) {
            self.asm.load(8, R0, FP, mark);
            self.asm.store(RECORD, at, R0);
        }
        self.close_record(point);
        self.asm.jump(next);
        self.asm.place(lost);
        self.count_point(point, PointCounter::FailedRead);
        self.asm.place(dropped);
        self.asm.load_imm(R1, -1);
        self.add_to_point(point, PointCounter::Events);
        self.asm.place(next);
        self.asm.load(8, R0, RECORD, ordinal);
        self.asm.alu_imm(Alu::Add, R0, 1);
        self.asm.store(RECORD, ordinal, R0);
        self.asm.load(8, R0, RECORD, index);
        self.asm.alu_imm(Alu::Add, R0, 1);
        self.asm.store(RECORD, index, R0);
        self.asm.jump(turn);
        self.telling = None;
        self.kept.clear();
        self.blocks.clear();
        self.failed = outer;
        Ok(())
    }

    /// Where behind the record something is that is the same for all events that are being told, if `e` is that.
    pub(super) fn same_for_all(&self, e: &Expr, point: PointId) -> Option<i16> {
        let lies = self.layout.points[point].aside.as_ref().filter(|_| self.telling == Some(point))?;
        Some(lies.behind(self.fixed_in_slot(fixed(self.plan, point, e)?, point)))
    }

    /// Where a slot has what is [`fixed`] of its thread.
    pub(super) fn fixed_in_slot(&self, which: usize, point: PointId) -> i16 {
        let lies = &self.layout.points[point];
        let size = self.plan.points[point].state_by.len();
        if which == size { self.aside(point).team } else { lies.in_slot + 8 + 8 * which as i16 }
    }

    /// `counters[point, which] += r1`. Uses r0.
    fn add_to_point(&mut self, point: PointId, which: PointCounter) {
        let word = self.layout.point_counter(point, which);
        self.asm.load_map_value(R0, MapId::Counters, word * 8);
        self.asm.atomic_add(R0, 0, R1);
    }
}
