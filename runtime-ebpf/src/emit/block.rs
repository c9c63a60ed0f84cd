//! Blocks: fields of one struct that are read together, since a read of the target's memory costs about the same for 4
//! bytes as for 90.

use profinfer_compiler::plan::{CaptureValue, Expr};
use profinfer_compiler::typed::PointId;
use profinfer_compiler::types::Mem;

use super::{Emit, Phase};
use crate::asm::{Alu, Jump};
use crate::insn::{R0, R1, R2, R3, helper};

/// The most bytes that are read at once for the sake of a few.
const MAX_BYTES: i64 = 96;

/// Bytes of the struct behind an argument, copied to the stack.
#[derive(Debug)]
pub(crate) struct Block {
    arg: String,
    from: i64,
    to: i64,
    /// Where they are on the stack.
    at: i16,
}

impl<'p> Emit<'p> {
    /// What is read when an event of the point begins.
    pub(crate) fn open_reads(&self, point: PointId) -> Vec<&'p Expr> {
        let plan = self.plan;
        let p = &plan.points[point];
        let captures = p.captures.iter().filter_map(|c| match &c.value {
            CaptureValue::Number(e) => Some(e),
            _ => None,
        });
        let parts = p.parts.iter().flat_map(|parts| {
            [&parts.number, &parts.row].into_iter().chain(parts.gathered.iter().filter_map(|g| g.value.as_ref()))
        });
        let conditions = plan.tables.iter().filter(move |t| t.point == point).flat_map(|t| &t.open);
        captures.chain(parts).chain(conditions).collect()
    }

    /// Copies the fields that `reads` loads from the structs behind arguments, where one read can serve several.
    pub(crate) fn read_blocks(&mut self, reads: &[&Expr], point: PointId, start: usize) {
        let mut loads: Vec<(String, i64, i64)> = Vec::new();
        for e in reads {
            self.collect(e, &mut loads);
        }
        let mut args: Vec<String> = loads.iter().map(|(arg, ..)| arg.clone()).collect();
        args.sort();
        args.dedup();
        for arg in args {
            let has = self.plan.points[point].starts[start].args.iter().any(|a| a.name == arg);
            if !has || self.blocks.iter().any(|b| b.arg == arg) {
                continue;
            }
            let mut fields: Vec<(i64, i64)> =
                loads.iter().filter(|(a, ..)| *a == arg).map(|(_, f, t)| (*f, *t)).collect();
            fields.sort_unstable();
            fields.dedup();
            let from = fields.iter().map(|f| f.0).min().unwrap_or(0).div_euclid(8) * 8;
            let to = fields.iter().map(|f| f.1).max().unwrap_or(0);
            if fields.len() < 2 || to - from > MAX_BYTES {
                continue;
            }
            let at = self.asm.alloc((to - from) as u32);
            self.number(&Expr::Arg(arg.clone()), point, Phase::Open { start, stored: 0 });
            self.asm.mov(R3, R0);
            if from != 0 {
                self.asm.alu_imm(Alu::Add, R3, from as i32);
            }
            self.asm.stack_address(R1, at);
            self.asm.load_imm(R2, to - from);
            self.asm.call(helper::PROBE_READ_USER);
            let failed = self.failed;
            self.asm.jump_if_imm(Jump::Ne, R0, 0, failed);
            self.blocks.push(Block { arg, from, to, at });
        }
    }

    /// Where on the stack a field is, if it has been copied.
    pub(crate) fn in_block(&self, base: &Expr, offset: i64, mem: Mem) -> Option<i16> {
        let Expr::Arg(name) = base else { return None };
        let end = offset + i64::from(mem.size);
        let block = self.blocks.iter().find(|b| b.arg == *name && b.from <= offset && end <= b.to)?;
        // The verifier takes aligned loads of the stack only.
        let aligned = (offset - block.from) % i64::from(mem.size) == 0;
        aligned.then_some(block.at + (offset - block.from) as i16)
    }

    /// Constant loads behind arguments: argument, first byte, one past the last.
    fn collect(&self, e: &Expr, into: &mut Vec<(String, i64, i64)>) {
        match e {
            Expr::Load { base, place, index, mem } => {
                if let (Expr::Arg(name), None, Some(offset)) = (&**base, index, self.target.offset(place)) {
                    into.push((name.clone(), offset, offset + i64::from(mem.size)));
                }
                self.collect(base, into);
                if let Some((index, _)) = index {
                    self.collect(index, into);
                }
            }
            Expr::Neg(a) | Expr::Not(a) | Expr::Has(a) | Expr::Matches(a, _, _) => self.collect(a, into),
            Expr::Arith(_, ab) | Expr::Cmp(_, ab) | Expr::And(ab) | Expr::Or(ab) => {
                ab.iter().for_each(|e| self.collect(e, into));
            }
            Expr::If(c) => c.iter().for_each(|e| self.collect(e, into)),
            Expr::First(all) => all.iter().for_each(|e| self.collect(e, into)),
            _ => {}
        }
    }
}
