//! Sequences whose events are put aside in the thread's slot, and read in one go: see [`profinfer_compiler::aside`].
//!
//! A hit stores the time and the arguments, and that is all. When there is no room for another event, or the stop comes,
//! the code of [`Emit::open_record`] and [`Emit::close_record`] runs for each of them as it would have at the event: with its
//! times, its arguments, and the records around it, which are those of that moment still.

use profinfer_compiler::aside::EVENTS;
use profinfer_compiler::plan::Gate;
use profinfer_compiler::typed::PointId;

use super::{Emit, Phase};
use crate::asm::{Alu, BuildError, Jump, Label};
use crate::insn::{FP, NOW, R0, R1, R2, RECORD, SLOT};
use crate::layout::{AsideLayout, MapId, PointCounter, record};

impl Emit<'_> {
    /// Whether events of the point are put aside in this target.
    pub(crate) fn puts_aside(&self, point: PointId) -> bool {
        let inside = matches!(self.plan.points[point].gate, Gate::Inside(outer) if self.target.has(outer));
        self.plan.points[point].aside && inside && self.target.loops
    }

    fn aside(&self, point: PointId) -> AsideLayout {
        self.layout.points[point].aside.clone().unwrap_or_else(|| AsideLayout {
            count: 0,
            index: 0,
            ordinal: 0,
            events: 0,
            args: Vec::new(),
        })
    }

    /// An event begins, and the one before ends: it is put aside.
    pub(crate) fn put_aside(&mut self, point: PointId, start: usize, end: Label) -> Result<(), BuildError> {
        let lies = self.aside(point);
        self.only(point, start, end);
        self.slot_inside(point, end);
        self.gate(point, end);
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
        for (i, name) in lies.args.iter().enumerate() {
            let has = self.plan.points[point].starts[start].args.iter().any(|a| a.name == *name);
            if has {
                self.argument(name, point, Phase::Open { start, stored: 0 });
                self.asm.store(R2, lies.events + 8 + 8 * i as i16, R0);
            }
        }
        let full = self.asm.label();
        self.asm.jump_if_imm(Jump::Eq, R1, EVENTS as i32, full);
        self.asm.alu_imm(Alu::Add, R1, 1);
        self.asm.store(SLOT, lies.count, R1);
        self.asm.jump(end);
        self.asm.place(full);
        self.tell_all(point)?;
        // The one that has just begun is now the first.
        for word in 0..=lies.args.len() as i16 {
            let from = lies.events + (EVENTS as i32 * lies.size()) as i16 + 8 * word;
            self.asm.load(8, R0, SLOT, from);
            self.asm.store(SLOT, lies.events + 8 * word, R0);
        }
        self.asm.store_imm(SLOT, lies.count, 1);
        Ok(())
    }

    /// The last event ends, and all are told.
    pub(crate) fn stop_aside(&mut self, point: PointId, end: Label) {
        let lies = self.aside(point);
        self.thread_slot(end, false);
        self.asm.load(8, R1, SLOT, lies.count);
        self.asm.jump_if_imm(Jump::Eq, R1, 0, end);
        self.asm.jump_if_imm(Jump::Gt, R1, EVENTS as i32, end);
        let over = self.asm.label();
        if let Gate::Inside(outer) = self.plan.points[point].gate {
            // What was around them is over already: they are counted as cut when the next begins.
            self.asm.load(8, R0, SLOT, self.layout.points[outer].in_slot + record::START);
            self.asm.jump_if_imm(Jump::Eq, R0, 0, over);
        }
        self.now();
        self.asm.alu_imm(Alu::Mul, R1, lies.size());
        self.asm.alu(Alu::Add, R1, SLOT);
        self.asm.mov(R0, NOW);
        self.asm.alu_imm(Alu::Lsh, R0, AsideLayout::START_BITS);
        self.asm.store(R1, lies.events, R0);
        // Building it cannot fail here: it has been built for a start.
        let _ = self.tell_all(point);
        self.asm.store_imm(SLOT, lies.count, 0);
        self.asm.place(over);
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

    /// Opens and closes a record for each event that is put aside, in their order. The time is the same after it as before.
    fn tell_all(&mut self, point: PointId) -> Result<(), BuildError> {
        let lies = self.aside(point);
        let before = self.asm.stack();
        let now = self.asm.alloc(8);
        self.asm.store(FP, now, NOW);
        self.asm.load(8, R1, SLOT, lies.count);
        self.add_to_point(point, PointCounter::Hits);
        self.add_to_point(point, PointCounter::Events);
        self.record_address(point);
        let (turn, next, lost, done) = (self.asm.label(), self.asm.label(), self.asm.label(), self.asm.label());
        let outer = std::mem::replace(&mut self.failed, lost);
        // In the slot, not on the stack: of a number in a map the verifier knows nothing, so that each turn of the loop is
        // the same to it.
        self.asm.store_imm(SLOT, lies.index, 0);
        self.asm.place(turn);
        self.asm.may_goto(done);
        self.asm.load(8, R1, SLOT, lies.index);
        self.asm.load(8, R0, SLOT, lies.count);
        self.asm.jump_if(Jump::Ge, R1, R0, done);
        self.asm.jump_if_imm(Jump::Ge, R1, EVENTS as i32, done);
        self.asm.alu_imm(Alu::Mul, R1, lies.size());
        self.asm.alu(Alu::Add, R1, SLOT);
        let end = self.asm.alloc(8);
        self.asm.load(8, R0, R1, lies.events + lies.size() as i16);
        self.asm.alu_imm(Alu::Rsh, R0, AsideLayout::START_BITS);
        self.asm.store(FP, end, R0);
        for (i, name) in lies.args.iter().enumerate() {
            let at = self.asm.alloc(8);
            self.asm.load(8, R0, R1, lies.events + 8 + 8 * i as i16);
            self.asm.store(FP, at, R0);
            self.kept.push((name.clone(), at));
        }
        self.asm.load(8, NOW, R1, lies.events);
        let which = self.asm.alloc(8);
        self.asm.mov(R0, NOW);
        self.asm.alu_imm(Alu::And, R0, (1 << AsideLayout::START_BITS) - 1);
        self.asm.store(FP, which, R0);
        self.asm.alu_imm(Alu::Rsh, NOW, AsideLayout::START_BITS);
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
        self.close_record(point);
        self.asm.jump(next);
        self.asm.place(lost);
        self.count_point(point, PointCounter::FailedRead);
        self.asm.load_imm(R1, -1);
        self.add_to_point(point, PointCounter::Events);
        self.asm.place(next);
        self.asm.load(8, R0, SLOT, lies.ordinal);
        self.asm.alu_imm(Alu::Add, R0, 1);
        self.asm.store(SLOT, lies.ordinal, R0);
        self.asm.load(8, R0, SLOT, lies.index);
        self.asm.alu_imm(Alu::Add, R0, 1);
        self.asm.store(SLOT, lies.index, R0);
        self.asm.jump(turn);
        self.asm.place(done);
        self.asm.store_imm(RECORD, record::START, 0);
        self.asm.load(8, NOW, FP, now);
        self.asm.release_to(before);
        self.kept.clear();
        self.blocks.clear();
        self.failed = outer;
        Ok(())
    }

    /// `counters[point, which] += r1`. Uses r0.
    fn add_to_point(&mut self, point: PointId, which: PointCounter) {
        let word = self.layout.point_counter(point, which);
        self.asm.load_map_value(R0, MapId::Counters, word * 8);
        self.asm.atomic_add(R0, 0, R1);
    }
}
