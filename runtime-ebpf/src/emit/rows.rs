//! The template `rows`: a loop over a matrix in the target's memory, an event per element.

use profinfer_compiler::plan::FIXED_ONE;
use profinfer_compiler::typed::PointId;

use super::Emit;
use crate::asm::{Alu, Jump, Label};
use crate::insn::{R0, R1, R2, R3, R4, RECORD};
use crate::layout::{ABSENT, PointCounter};

/// Rows and columns that a matrix may have; one that has more is not what it should be, and counts as a failed read.
const MAX_ELEMENTS: [i32; 2] = [1 << 16, 1 << 12];

impl Emit<'_> {
    /// Every element of the matrix is an event; `numbers` are the captures that say how many rows and columns it has. If
    /// these are no numbers of a matrix, `fail` is where to go on.
    pub(crate) fn elements(&mut self, point: PointId, numbers: [usize; 2], fail: Label) {
        let at = numbers.map(|i| self.layout.points[point].captures[i]);
        let (turn, advance, lost, done) = (self.asm.label(), self.asm.label(), self.asm.label(), self.asm.label());
        let enough = self.asm.label();
        for (at, most) in at.into_iter().zip(MAX_ELEMENTS) {
            // Absent is less than 0.
            self.asm.load(8, R0, RECORD, at);
            self.asm.jump_if_imm(Jump::SLt, R0, 0, fail);
            self.asm.jump_if_imm(Jump::SGt, R0, most, fail);
            self.asm.jump_if_imm(Jump::Eq, R0, 0, done);
        }
        // In the record, not on the stack: of a number in a map the verifier knows nothing, so that each turn of the loop
        // is the same to it.
        let [row, column] = self.layout.points[point].element;
        self.asm.store_imm(RECORD, row, 0);
        self.asm.store_imm(RECORD, column, 0);
        self.asm.place(turn);
        self.asm.may_goto(enough);
        self.asm.load(8, R0, RECORD, row);
        self.asm.load(8, R1, RECORD, at[0]);
        self.asm.jump_if(Jump::Ge, R0, R1, done);
        self.failed = lost;
        self.count_point(point, PointCounter::Events);
        self.tell(point);
        self.asm.jump(advance);
        self.asm.place(lost);
        self.count_point(point, PointCounter::FailedRead);
        self.asm.place(advance);
        self.asm.load(8, R0, RECORD, column);
        self.asm.alu_imm(Alu::Add, R0, 1);
        self.asm.store(RECORD, column, R0);
        self.asm.load(8, R1, RECORD, at[1]);
        self.asm.jump_if(Jump::Lt, R0, R1, turn);
        self.asm.store_imm(RECORD, column, 0);
        self.asm.load(8, R0, RECORD, row);
        self.asm.alu_imm(Alu::Add, R0, 1);
        self.asm.store(RECORD, row, R0);
        self.asm.jump(turn);
        // The kernel has ended the loop: the rest is not counted, and that is.
        self.asm.place(enough);
        self.count_point(point, PointCounter::FailedRead);
        self.asm.place(done);
    }

    /// `r0` = the fixed-point number (32 bits behind the point) of the single-precision float whose bits are in r0, cut
    /// towards zero. What is no number or too large for it is absent. Uses r1 to r4.
    pub(crate) fn fixed_point(&mut self) {
        let (absent, positive, right, scaled, end) =
            (self.asm.label(), self.asm.label(), self.asm.label(), self.asm.label(), self.asm.label());
        self.asm.mov(R4, R0);
        // r1 the exponent, r2 the fraction with its leading one.
        self.asm.mov(R1, R0);
        self.asm.alu_imm(Alu::Rsh, R1, FRACTION_BITS);
        self.asm.alu_imm(Alu::And, R1, 0xff);
        self.asm.mov(R2, R0);
        self.asm.alu_imm(Alu::And, R2, (1 << FRACTION_BITS) - 1);
        self.asm.alu_imm(Alu::Or, R2, 1 << FRACTION_BITS);
        // The number is r2 · 2^(r1 - 150), so as a fixed-point number r2 · 2^(r1 - 118).
        let shift = EXPONENT_BIAS + FRACTION_BITS - FIXED_ONE.ilog2() as i32;
        self.asm.jump_if_imm(Jump::Gt, R1, shift + 39, absent);
        self.asm.jump_if_imm(Jump::Lt, R1, shift, right);
        self.asm.alu_imm(Alu::Sub, R1, shift);
        self.asm.alu(Alu::Lsh, R2, R1);
        self.asm.jump(scaled);
        self.asm.place(right);
        self.asm.load_imm(R3, i64::from(shift));
        self.asm.alu(Alu::Sub, R3, R1);
        let small = self.asm.label();
        self.asm.jump_if_imm(Jump::Gt, R3, FRACTION_BITS, small);
        self.asm.alu(Alu::Rsh, R2, R3);
        self.asm.jump(scaled);
        self.asm.place(small);
        self.asm.load_imm(R2, 0);
        self.asm.place(scaled);
        self.asm.mov(R0, R2);
        self.asm.alu_imm(Alu::Rsh, R4, 31);
        self.asm.jump_if_imm(Jump::Eq, R4, 0, positive);
        self.asm.alu_imm(Alu::Neg, R0, 0);
        self.asm.place(positive);
        self.asm.jump(end);
        self.asm.place(absent);
        self.asm.load_imm(R0, ABSENT);
        self.asm.place(end);
    }
}

/// Bits of a single-precision float's fraction.
const FRACTION_BITS: i32 = 23;
/// What is added to a single-precision float's exponent.
const EXPONENT_BIAS: i32 = 127;
