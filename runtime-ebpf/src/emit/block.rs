//! Blocks: fields of one struct that are read together, since a read of the target's memory costs about the same for 4
//! bytes as for 90.

use profinfer_compiler::plan::{CaptureValue, Expr};
use profinfer_compiler::typed::PointId;
use profinfer_compiler::types::Mem;

use super::{Emit, Phase};
use crate::asm::{Alu, Jump};
use crate::insn::{FP, R0, R1, R2, R3, helper};

/// The most bytes that are read at once for the sake of a few.
const MAX_BYTES: i64 = 96;
/// The most structs behind pointers of a struct that are read in blocks: the stack is small.
const MAX_POINTERS: usize = 2;
/// From as many fields on a struct behind a pointer is read in a block.
const FEW: usize = 4;

/// Bytes of a struct, copied to the stack.
#[derive(Debug)]
pub(crate) struct Block {
    /// The struct: an argument, or a pointer found behind one.
    base: Expr,
    /// Where on the stack the pointer is, if it may be null; nothing is copied then.
    pointer: Option<i16>,
    from: i64,
    to: i64,
    /// Where they are on the stack.
    at: i16,
}

/// A field that was copied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Copied {
    /// Where it is on the stack.
    pub(crate) at: i16,
    /// Where the pointer to its struct is, which is null if there is none.
    pub(crate) pointer: Option<i16>,
}

/// A field that is read: its struct, first byte, one past the last.
type Field<'e> = (&'e Expr, i64, i64);

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

    /// Copies the fields that `reads` loads from the structs behind arguments, and behind pointers there, where one read can
    /// serve several.
    pub(crate) fn read_blocks(&mut self, reads: &[&Expr], point: PointId, start: usize) {
        let mut loads: Vec<Field<'_>> = Vec::new();
        for e in reads {
            self.collect(e, point, &mut loads);
        }
        let mut args: Vec<&Expr> = loads.iter().map(|(base, ..)| *base).filter(|b| matches!(b, Expr::Arg(_))).collect();
        args.sort_by_key(|arg| name(arg));
        args.dedup();
        args.retain(|arg| {
            let has = self.plan.points[point].starts[start].args.iter().any(|a| a.name == name(arg));
            has && !self.blocks.iter().any(|b| b.base == **arg)
        });
        for arg in &args {
            for (from, to) in blocks_of(&fields(&loads, arg), 2) {
                self.read_block(arg, (from, to), None, point, start);
            }
        }
        let mut pointers: Vec<(&Expr, usize)> = Vec::new();
        for (base, ..) in loads.iter().filter(|(base, ..)| !matches!(base, Expr::Arg(_))) {
            match pointers.iter_mut().find(|(known, _)| known == base) {
                Some((_, uses)) => *uses += 1,
                None => pointers.push((base, 1)),
            }
        }
        // Those that are asked for most, of arguments that this start has.
        pointers.sort_by_key(|(_, uses)| std::cmp::Reverse(*uses));
        // A script of its own may follow a pointer only where something else says that it leads somewhere.
        let most = if self.plan.points[point].of_script { 0 } else { MAX_POINTERS };
        let room = most.saturating_sub(self.blocks.iter().filter(|b| b.pointer.is_some()).count());
        let of_args = |base: &Expr| matches!(base, Expr::Load { base, .. } if args.contains(&&**base));
        let chosen = pointers.into_iter().filter(|(base, _)| of_args(base)).filter_map(|(base, _)| {
            let block = blocks_of(&fields(&loads, base), FEW).into_iter().next()?;
            Some((base, block))
        });
        for (base, block) in chosen.take(room).collect::<Vec<_>>() {
            let place = self.asm.alloc(8);
            self.read_block(base, block, Some(place), point, start);
        }
    }

    fn read_block(&mut self, base: &Expr, (from, to): (i64, i64), pointer: Option<i16>, point: PointId, start: usize) {
        let at = self.asm.alloc((to - from) as u32);
        let (none, end) = (self.asm.label(), self.asm.label());
        match pointer {
            None => {
                self.number(base, point, Phase::Open { start, stored: 0 });
            }
            Some(place) => {
                self.address(base, point, Phase::Open { start, stored: 0 }, none);
                self.asm.store(FP, place, R0);
            }
        }
        self.asm.mov(R3, R0);
        if from != 0 {
            self.asm.alu_imm(Alu::Add, R3, from as i32);
        }
        self.asm.stack_address(R1, at);
        self.asm.load_imm(R2, to - from);
        self.asm.call(helper::PROBE_READ_USER);
        let failed = self.failed;
        self.asm.jump_if_imm(Jump::Ne, R0, 0, failed);
        if let Some(place) = pointer {
            self.asm.jump(end);
            self.asm.place(none);
            self.asm.store_imm(FP, place, 0);
        } else {
            self.asm.place(none);
        }
        self.asm.place(end);
        self.blocks.push(Block { base: base.clone(), pointer, from, to, at });
    }

    /// Where on the stack a field is, if it has been copied.
    pub(crate) fn in_block(&self, base: &Expr, offset: i64, mem: Mem) -> Option<Copied> {
        let end = offset + i64::from(mem.size);
        let block = self.blocks.iter().find(|b| b.base == *base && b.from <= offset && end <= b.to)?;
        // The verifier takes aligned loads of the stack only.
        let aligned = (offset - block.from) % i64::from(mem.size) == 0;
        aligned.then_some(Copied { at: block.at + (offset - block.from) as i16, pointer: block.pointer })
    }

    /// Loads at fixed places of structs that are arguments or stand behind a pointer of one.
    fn collect<'e>(&self, e: &'e Expr, point: PointId, into: &mut Vec<Field<'e>>) {
        if self.same_for_all(e, point).is_some() {
            return;
        }
        match e {
            Expr::Load { base, place, index, mem } => {
                let is_near = matches!(&**base, Expr::Arg(_))
                    || matches!(&**base, Expr::Load { base: of, index: None, .. } if matches!(**of, Expr::Arg(_)));
                if let (true, None, Some(offset)) = (is_near, index, self.target.offset(place)) {
                    into.push((base, offset, offset + i64::from(mem.size)));
                }
                self.collect(base, point, into);
                if let Some((index, _)) = index {
                    self.collect(index, point, into);
                }
            }
            Expr::Neg(a) | Expr::Not(a) | Expr::Has(a) | Expr::Matches(a, _, _) => self.collect(a, point, into),
            Expr::Arith(_, ab) | Expr::Cmp(_, ab) | Expr::And(ab) | Expr::Or(ab) => {
                ab.iter().for_each(|e| self.collect(e, point, into));
            }
            Expr::If(c) => c.iter().for_each(|e| self.collect(e, point, into)),
            Expr::First(all) => all.iter().for_each(|e| self.collect(e, point, into)),
            _ => {}
        }
    }
}

/// The name of an argument.
fn name(arg: &Expr) -> &str {
    if let Expr::Arg(name) = arg { name } else { "" }
}

/// The fields of a struct that are read, in order, each once.
fn fields(loads: &[Field<'_>], base: &Expr) -> Vec<(i64, i64)> {
    let mut fields: Vec<(i64, i64)> = loads.iter().filter(|(b, ..)| *b == base).map(|(_, f, t)| (*f, *t)).collect();
    fields.sort_unstable();
    fields.dedup();
    fields
}

/// First byte and one past the last of blocks that hold at least `few` of these fields each.
fn blocks_of(fields: &[(i64, i64)], few: usize) -> Vec<(i64, i64)> {
    let mut blocks: Vec<(i64, i64, usize)> = Vec::new();
    for (from, to) in fields {
        match blocks.last_mut() {
            Some((first, last, number)) if to - *first <= MAX_BYTES => {
                *last = (*last).max(*to);
                *number += 1;
            }
            _ => blocks.push((from.div_euclid(8) * 8, *to, 1)),
        }
    }
    blocks.into_iter().filter(|(_, _, number)| *number >= few).map(|(from, to, _)| (from, to)).collect()
}
