//! The mark of a sequence: a site that splits the work of an open step from its waiting.

use profinfer_compiler::typed::PointId;

use super::Emit;
use super::value::KeyAt;
use crate::asm::{Alu, Jump, Label};
use crate::insn::{NOW, R0, R1, RECORD, SLOT};
use crate::layout::{AsideLayout, MapId, record};

impl Emit<'_> {
    /// The thread comes to the mark of the point: the time is kept in its open step, over that of an earlier hit.
    ///
    /// A mark knows neither pool nor number of the thread, so the step is the one that the thread began last.
    pub(crate) fn mark(&mut self, point: PointId) {
        let Some(at) = self.layout.points[point].mark else { return };
        let end = self.asm.label();
        let in_slot = self.layout.points[point].in_slot;
        self.thread_slot(end, false);
        self.asm.load(8, R0, SLOT, in_slot);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, end);
        if self.puts_aside(point) {
            self.now();
            self.last_aside(point, R1, end);
            self.asm.store(R1, self.aside(point).events + AsideLayout::MARK, NOW);
            self.mark_reached(point, end);
            self.asm.place(end);
            return;
        }
        self.lookup(MapId::State(point), KeyAt::Slot(in_slot));
        self.asm.jump_if_imm(Jump::Eq, R0, 0, end);
        self.asm.mov(RECORD, R0);
        self.asm.load(8, R0, RECORD, record::START);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, end);
        self.now();
        self.asm.store(RECORD, at, NOW);
        self.mark_counts(point);
        self.mark_reached(point, end);
        self.asm.place(end);
    }

    /// That the mark was ever reached is told once: a word that all threads write to would be a bottleneck.
    fn mark_reached(&mut self, point: PointId, end: Label) {
        let word = self.layout.mark_counter(point);
        self.asm.load_map_value(R0, MapId::Counters, word * 8);
        self.asm.load(8, R1, R0, 0);
        self.asm.jump_if_imm(Jump::Ne, R1, 0, end);
        self.asm.store_imm(R0, 0, 1);
    }

    /// `r0` = the time from the start of the step at hand to its last mark; absent if there was none.
    pub(crate) fn until_mark(&mut self, point: PointId) {
        let at = self.layout.points[point].mark.filter(|_| self.target.has_mark(point));
        let Some(at) = at else {
            self.absent();
            return;
        };
        let (none, end) = (self.asm.label(), self.asm.label());
        self.asm.load(8, R0, RECORD, at);
        self.asm.jump_if_imm(Jump::Eq, R0, 0, none);
        self.asm.load(8, R1, RECORD, record::START);
        self.asm.alu(Alu::Sub, R0, R1);
        self.asm.jump(end);
        self.asm.place(none);
        self.absent();
        self.asm.place(end);
    }
}
