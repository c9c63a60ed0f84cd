//! The parts of an event: a loop when it begins, that puts together what belongs to one row; and the loop over the rows of a
//! span when it ends, with an event for each.
//!
//! What a row's parts come to lies in a map, by thread and row, with the time at which its event began: what has another
//! time is left from an event before. Its words are copied into the record for the row at hand.

use profinfer_compiler::typed::{PartHow, PointId};

use super::value::KeyAt;
use super::{Emit, Phase};
use crate::asm::{Alu, Jump, Label};
use crate::insn::{FP, NOW, R0, R1, R2, R3, RECORD};
use crate::layout::{MapId, PointCounter, part, record};

/// Parts and rows that an event may have; what has more is not what it should be, and counts as a failed read.
const MAX_PARTS: i32 = 1 << 16;

impl Emit<'_> {
    /// Puts together what the parts of an event come to, before it is read what else is wanted of it. Where the kernel has
    /// no loops, there are no parts.
    pub(crate) fn gather_parts(&mut self, point: PointId, start: usize) {
        let plan = self.plan;
        let Some(parts) = &plan.points[point].parts else { return };
        let Some(lies) = self.layout.points[point].parts.clone() else { return };
        for (_, at) in parts.gathered.iter().zip(&lies.gathered).filter(|(g, _)| !g.how.is_of_row()) {
            self.asm.store_imm(RECORD, *at, 0);
        }
        if !self.target.loops {
            return;
        }
        let phase = Phase::Open { start, stored: 0 };
        let failed = self.failed;
        let (turn, done) = (self.asm.label(), self.asm.label());
        let nullable = self.number(&parts.number, point, phase);
        self.skip_absent(nullable, failed);
        self.asm.jump_if_imm(Jump::SLt, R0, 0, failed);
        self.asm.jump_if_imm(Jump::SGt, R0, MAX_PARTS, failed);
        // In the record, not on the stack: of a number in a map the verifier knows nothing.
        self.asm.store(RECORD, lies.number, R0);
        self.asm.store_imm(RECORD, lies.index, 0);
        let key = self.asm.alloc(16);
        let (value, row) = (self.asm.alloc(8), self.asm.alloc(8));
        self.asm.place(turn);
        self.asm.may_goto(failed);
        self.asm.load(8, R0, RECORD, lies.index);
        self.asm.load(8, R1, RECORD, lies.number);
        self.asm.jump_if(Jump::SGe, R0, R1, done);
        let nullable = self.number(&parts.row, point, phase);
        self.skip_absent(nullable, failed);
        self.asm.store(FP, key + 8, R0);
        self.asm.load(8, R0, FP, self.pid_tgid);
        self.asm.store(FP, key, R0);
        self.row_of_parts(point, key, failed);
        self.asm.store(FP, row, R0);
        self.asm.load(8, R1, R0, part::COUNT);
        self.asm.alu_imm(Alu::Add, R1, 1);
        self.asm.store(R0, part::COUNT, R1);
        for (i, (g, at)) in parts.gathered.iter().zip(&lies.gathered).enumerate() {
            let next = self.asm.label();
            if let Some(of) = &g.value {
                let nullable = self.number(of, point, phase);
                if matches!(g.how, PartHow::Sum | PartHow::All) {
                    self.skip_absent(nullable, next);
                }
                self.asm.store(FP, value, R0);
            }
            let slot = part::VALUES + 8 * i as i16;
            self.asm.load(8, R3, FP, row);
            self.asm.load(8, R1, R3, part::COUNT);
            match g.how {
                PartHow::Count => {}
                PartHow::Lone => {
                    let second = self.asm.label();
                    self.asm.load(8, R2, RECORD, *at);
                    self.asm.jump_if_imm(Jump::Ne, R1, 1, second);
                    self.asm.alu_imm(Alu::Add, R2, 1);
                    self.asm.place(second);
                    let more = self.asm.label();
                    self.asm.jump_if_imm(Jump::Ne, R1, 2, more);
                    self.asm.alu_imm(Alu::Sub, R2, 1);
                    self.asm.place(more);
                    self.asm.store(RECORD, *at, R2);
                }
                PartHow::First => {
                    self.asm.jump_if_imm(Jump::Ne, R1, 1, next);
                    self.asm.load(8, R0, FP, value);
                    self.asm.store(R3, slot, R0);
                }
                PartHow::Last => {
                    self.asm.load(8, R0, FP, value);
                    self.asm.store(R3, slot, R0);
                }
                PartHow::Sum => {
                    self.asm.load(8, R0, FP, value);
                    self.asm.load(8, R1, R3, slot);
                    self.asm.alu(Alu::Add, R0, R1);
                    self.asm.store(R3, slot, R0);
                }
                PartHow::All => {
                    self.asm.load(8, R0, FP, value);
                    self.asm.load(8, R1, RECORD, *at);
                    self.asm.alu(Alu::Add, R0, R1);
                    self.asm.store(RECORD, *at, R0);
                }
            }
            self.asm.place(next);
        }
        self.asm.load(8, R0, RECORD, lies.index);
        self.asm.alu_imm(Alu::Add, R0, 1);
        self.asm.store(RECORD, lies.index, R0);
        self.asm.jump(turn);
        self.asm.place(done);
        self.asm.release(8);
        self.asm.release(8);
        self.asm.release(16);
    }

    /// `r0` = what is kept of the row whose key is on the stack, begun anew if it is left from an event before.
    fn row_of_parts(&mut self, point: PointId, key: i16, without: Label) {
        let same = self.asm.label();
        self.lookup_or_begin(MapId::Parts(point), KeyAt::Stack(key), without);
        self.asm.load(8, R1, R0, part::EVENT);
        self.asm.jump_if(Jump::Eq, R1, NOW, same);
        self.asm.store(R0, part::EVENT, NOW);
        self.asm.store_imm(R0, part::COUNT, 0);
        let gathered = self.plan.points[point].parts.as_ref().map_or(0, |p| p.gathered.len());
        for i in 0..gathered as i16 {
            self.asm.store_imm(R0, part::VALUES + 8 * i, 0);
        }
        self.asm.place(same);
    }

    /// The span at hand ends: every row is an event. r8 is its record, r9 the time.
    pub(crate) fn close_rows(&mut self, point: PointId, number: usize) {
        let at = self.layout.points[point].captures[number];
        let [row, _] = self.layout.points[point].element;
        let (turn, advance, lost, done) = (self.asm.label(), self.asm.label(), self.asm.label(), self.asm.label());
        let now = self.asm.alloc(8);
        self.asm.store(FP, now, NOW);
        self.asm.load(8, R1, RECORD, record::START);
        self.asm.mov(R0, NOW);
        self.asm.alu(Alu::Sub, R0, R1);
        self.asm.store(FP, self.dur, R0);
        let wrong = self.asm.label();
        self.asm.load(8, R0, RECORD, at);
        self.asm.jump_if_imm(Jump::SLt, R0, 0, wrong);
        self.asm.jump_if_imm(Jump::SGt, R0, MAX_PARTS, wrong);
        self.asm.store_imm(RECORD, row, 0);
        self.asm.place(turn);
        self.asm.may_goto(wrong);
        self.asm.load(8, R0, RECORD, row);
        self.asm.load(8, R1, RECORD, at);
        self.asm.jump_if(Jump::SGe, R0, R1, done);
        self.failed = lost;
        self.parts_of_row(point, advance);
        // What is known of a series at an event's start is known by row only now.
        self.asm.load(8, NOW, RECORD, record::START);
        self.open_series(point);
        self.asm.load(8, NOW, FP, now);
        self.close_series(point);
        self.count_point(point, PointCounter::Events);
        self.tell(point);
        self.asm.jump(advance);
        self.asm.place(lost);
        self.count_point(point, PointCounter::FailedRead);
        self.asm.place(advance);
        self.asm.load(8, NOW, FP, now);
        self.asm.load(8, R0, RECORD, row);
        self.asm.alu_imm(Alu::Add, R0, 1);
        self.asm.store(RECORD, row, R0);
        self.asm.jump(turn);
        self.asm.place(wrong);
        self.count_point(point, PointCounter::FailedRead);
        self.asm.place(done);
        self.asm.release(8);
    }

    /// Copies what the parts of the row at hand come to into the record; a row without parts goes to `none`.
    fn parts_of_row(&mut self, point: PointId, none: Label) {
        let plan = self.plan;
        let Some(parts) = &plan.points[point].parts else { return };
        let Some(lies) = self.layout.points[point].parts.clone() else { return };
        let key = self.asm.alloc(16);
        self.asm.load(8, R0, FP, self.pid_tgid);
        self.asm.store(FP, key, R0);
        self.asm.load(8, R0, RECORD, self.layout.points[point].element[0]);
        self.asm.store(FP, key + 8, R0);
        self.lookup(MapId::Parts(point), KeyAt::Stack(key));
        self.asm.jump_if_imm(Jump::Eq, R0, 0, none);
        self.asm.load(8, R1, R0, part::EVENT);
        self.asm.load(8, R2, RECORD, record::START);
        self.asm.jump_if(Jump::Ne, R1, R2, none);
        for (i, (g, at)) in parts.gathered.iter().zip(&lies.gathered).enumerate() {
            if g.how.is_of_row() {
                let from = if g.how == PartHow::Count { part::COUNT } else { part::VALUES + 8 * i as i16 };
                self.asm.load(8, R1, R0, from);
                self.asm.store(RECORD, *at, R1);
            }
        }
        self.asm.release(16);
    }
}
