//! The events of the engine that a call of a function lies in: those that the thread had open when it began. So it is with any
//! event that lies in one of a sequence.
//!
//! A span's record is in the thread's slot. That of an operator is in a map, under the key that the slot holds; so is that
//! of a thread's part of one.

use profinfer_compiler::catalogue::Template;
use profinfer_compiler::typed::PointId;

use super::Emit;
use super::value::KeyAt;
use crate::asm::{Jump, Label};
use crate::insn::{R0, R1, R2, RECORD, SLOT};
use crate::layout::{MapId, record};

impl Emit<'_> {
    /// `r2` and the distance that is given back = where the open record of `of` is; `none` is where to go on if there is
    /// none, or it was opened later than the record at hand. Uses r0 to r5.
    pub(crate) fn enclosing_record(&mut self, of: PointId, none: Label) -> i16 {
        let in_slot = self.layout.points[of].in_slot;
        let base = if self.layout.points[of].by_state {
            self.asm.load(8, R0, SLOT, in_slot);
            self.asm.jump_if_imm(Jump::Eq, R0, 0, none);
            self.lookup(MapId::State(of), KeyAt::Slot(in_slot));
            self.asm.jump_if_imm(Jump::Eq, R0, 0, none);
            self.asm.mov(R2, R0);
            0
        } else {
            self.asm.mov(R2, SLOT);
            in_slot
        };
        self.asm.load(8, R0, R2, base + record::START);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, none);
        self.asm.load(8, R1, RECORD, record::START);
        self.asm.jump_if(Jump::Gt, R0, R1, none);
        base
    }

    /// Whether calls of functions, or other events, may look for the record of `of`.
    pub(crate) fn encloses_calls(&self, of: PointId) -> bool {
        let looks = |id: PointId| self.plan.points[id].used && self.looks_for(id, of);
        (0..self.plan.points.len()).any(|id| looks(id) && self.plan.points[id].within.contains(&of))
    }

    /// Whether an event of the point has to look for the record of `of` that encloses it: it is not in the slot, or it is not
    /// certain to have begun before.
    pub(crate) fn looks_for(&self, point: PointId, of: PointId) -> bool {
        self.plan.points[point].comes_anywhere() || self.plan.points[of].template == Template::Sequence
    }

    /// `r0` = a word of the open record of `of`, absent if there is none; says that it may be.
    pub(crate) fn enclosing_word(&mut self, of: PointId, at: i16) -> bool {
        let (none, end) = (self.asm.label(), self.asm.label());
        if self.puts_aside(of) {
            self.enclosing_aside(of, at, none);
            self.asm.jump(end);
            self.asm.place(none);
            self.absent();
            self.asm.place(end);
            return true;
        }
        let base = self.enclosing_record(of, none);
        self.asm.load(8, R0, R2, base + at);
        self.asm.jump(end);
        self.asm.place(none);
        self.absent();
        self.asm.place(end);
        true
    }
}
