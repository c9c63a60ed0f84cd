//! What lies at an address of a process: its file, the offset in it, and the tensor. User space keeps the ranges of each
//! process in order; a program searches among them by halves.

use profinfer_compiler::typed::PointId;

use super::Emit;
use super::value::KeyAt;
use crate::asm::{Alu, Jump};
use crate::insn::{FP, R0, R1, R2, R3};
use crate::layout::{ABSENT, MapId, range};

/// Arguments that are found among the ranges.
pub(crate) const RANGED: [&str; 3] = ["file", "tensor", "offset"];

/// Halvings until one entry of [`range::MAX`] is left.
const HALVINGS: u32 = range::MAX.ilog2() + 1;

impl Emit<'_> {
    /// Keeps `file`, `tensor` and `offset` of the argument `address`, as far as the script asks for them.
    pub(crate) fn range_of_address(&mut self, point: PointId) {
        let plan = self.plan;
        let wanted = |name: &str| plan.points[point].reads(name, &plan.tables, point);
        if !RANGED.iter().any(|name| wanted(name)) {
            return;
        }
        let address = self.place_of("address").unwrap_or_default();
        self.asm.load_imm(R0, ABSENT);
        RANGED.into_iter().for_each(|name| self.keep(name));
        let (done, found) = (self.asm.label(), self.asm.label());
        let (first, number, key) = (self.asm.alloc(8), self.asm.alloc(8), self.asm.alloc(8));
        self.asm.load(8, R0, FP, self.pid_tgid);
        self.asm.alu_imm(Alu::Rsh, R0, 32);
        self.asm.store(FP, key, R0);
        self.lookup(MapId::Targets, KeyAt::Stack(key));
        self.asm.jump_if_imm(Jump::Eq, R0, 0, done);
        self.asm.load(8, R1, R0, 0);
        self.asm.mov(R2, R1);
        self.asm.alu_imm(Alu::Rsh, R1, 32);
        self.asm.store(FP, first, R1);
        self.asm.alu_imm(Alu::Lsh, R2, 32);
        self.asm.alu_imm(Alu::Rsh, R2, 32);
        self.asm.store(FP, number, R2);
        self.asm.jump_if_imm(Jump::Eq, R2, 0, done);
        for _ in 0..HALVINGS {
            let (lower, next) = (self.asm.label(), self.asm.label());
            self.asm.load(8, R0, FP, number);
            self.asm.alu_imm(Alu::Rsh, R0, 1);
            self.asm.jump_if_imm(Jump::Eq, R0, 0, found);
            self.asm.load(8, R1, FP, first);
            self.asm.alu(Alu::Add, R0, R1);
            self.asm.store(FP, key, R0);
            self.lookup(MapId::Ranges, KeyAt::Stack(key));
            self.asm.jump_if_imm(Jump::Eq, R0, 0, done);
            self.asm.load(8, R1, R0, range::START);
            self.asm.load(8, R2, FP, address);
            self.asm.load(8, R0, FP, number);
            self.asm.mov(R3, R0);
            self.asm.alu_imm(Alu::Rsh, R3, 1);
            self.asm.jump_if(Jump::Gt, R1, R2, lower);
            self.asm.alu(Alu::Sub, R0, R3);
            self.asm.store(FP, number, R0);
            self.asm.load(8, R1, FP, first);
            self.asm.alu(Alu::Add, R1, R3);
            self.asm.store(FP, first, R1);
            self.asm.jump(next);
            self.asm.place(lower);
            self.asm.store(FP, number, R3);
            self.asm.place(next);
        }
        self.asm.place(found);
        self.asm.load(8, R0, FP, first);
        self.asm.store(FP, key, R0);
        self.lookup(MapId::Ranges, KeyAt::Stack(key));
        self.asm.jump_if_imm(Jump::Eq, R0, 0, done);
        self.asm.mov(R3, R0);
        self.asm.load(8, R1, R3, range::START);
        self.asm.load(8, R2, FP, address);
        self.asm.jump_if(Jump::Gt, R1, R2, done);
        self.asm.load(4, R0, R3, range::FILE);
        self.asm.jump_if_imm(Jump::Eq, R0, range::NONE as i32, done);
        self.keep("file");
        self.asm.load(8, R0, R3, range::DELTA);
        self.asm.alu(Alu::Add, R0, R2);
        self.keep("offset");
        self.asm.load(4, R0, R3, range::TENSOR);
        self.asm.jump_if_imm(Jump::Eq, R0, range::NONE as i32, done);
        self.keep("tensor");
        self.asm.place(done);
        self.asm.release(24);
    }
}
