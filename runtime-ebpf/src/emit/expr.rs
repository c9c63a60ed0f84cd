//! Numbers: expressions to code that leaves the value in r0.

use profinfer_compiler::pattern::{Alt, Pattern};
use profinfer_compiler::plan::{CaptureValue, Expr, FIXED_ONE, Gate};
use profinfer_compiler::typed::{CallValue, PointId};
use profinfer_compiler::types::{ArithOp, CmpOp, Mem};

use super::block::Copied;
use super::{Emit, Phase};
use crate::asm::{Alu, Jump, Label};
use crate::insn::{CTX, FP, R0, R1, R2, R3, RECORD, SLOT, helper};
use crate::layout::{ABSENT, record};

/// Whether a value can be [`ABSENT`].
pub(crate) type Nullable = bool;

impl Emit<'_> {
    /// `r0 = e`; says whether it may be absent. Uses r0 to r5.
    pub(crate) fn number(&mut self, e: &Expr, point: PointId, phase: Phase) -> Nullable {
        if let Phase::Open { stored, .. } = phase
            && let Some(i) = self.stored_capture(e, point, stored)
        {
            let at = self.layout.points[point].captures[i];
            self.asm.load(8, R0, RECORD, at);
            return true;
        }
        if let Some(at) = self.same_for_all(e, point) {
            self.asm.load(8, R0, RECORD, at);
            return false;
        }
        match e {
            Expr::Const(n) => {
                self.asm.load_imm(R0, *n);
                false
            }
            Expr::Absent => self.absent(),
            Expr::Word(of, word) => match self.target.number(of, word) {
                Some(n) => {
                    self.asm.load_imm(R0, n);
                    false
                }
                None => self.absent(),
            },
            Expr::Arg(name) => self.argument(name, point, phase),
            Expr::Load { base, place, index, mem } => {
                let index = index.as_ref().map(|(i, scale)| (&**i, *scale));
                match self.target.offset(place) {
                    Some(offset) => match self.in_block(base, offset, *mem).filter(|_| index.is_none()) {
                        Some(copied) => self.copied(copied, *mem),
                        None => self.memory(base, offset, index, *mem, point, phase),
                    },
                    None => self.absent(),
                }
            }
            Expr::Capture(of, i) => self.record_word(*of, self.layout.points[*of].captures[*i], point),
            Expr::Accum(of, i) => self.record_word(*of, self.layout.points[*of].accums[*i], point),
            Expr::Series(of, i) => self.record_word(*of, self.layout.points[*of].series[*i], point),
            Expr::Part(of, i) => {
                let at = self.layout.points[*of].parts.as_ref().map_or(0, |lies| lies.gathered[*i]);
                self.record_word(*of, at, point)
            }
            Expr::PartIndex => {
                let at = self.layout.points[point].parts.as_ref().map_or(0, |lies| lies.index);
                self.asm.load(8, R0, RECORD, at);
                false
            }
            Expr::Start(of) => self.record_word(*of, record::START, point),
            Expr::Dur => {
                self.asm.load(8, R0, FP, self.dur);
                false
            }
            Expr::UntilMark => {
                self.until_mark(point);
                true
            }
            Expr::Element(i) => {
                self.asm.load(8, R0, RECORD, self.layout.points[point].element[*i]);
                false
            }
            Expr::Float32(bits) => {
                let end = self.asm.label();
                let nullable = self.number(bits, point, phase);
                self.skip_absent(nullable, end);
                self.fixed_point();
                self.asm.place(end);
                true
            }
            Expr::Call(CallValue::Returned(mem)) if self.plan.points[point].called.is_none() => {
                self.asm.load(8, R0, CTX, self.target.arch.returned());
                self.extend(*mem);
                false
            }
            Expr::Call(value) => self.call_value(*value, phase),
            Expr::Counter(i) => self.counted(*i, point),
            Expr::Steps(of, parts, whole) => {
                self.steps_of(of, (*parts, *whole), point, phase);
                true
            }
            Expr::Stack => self.stack(),
            Expr::Pid => {
                self.asm.load(8, R0, FP, self.pid_tgid);
                self.asm.alu_imm(Alu::Rsh, R0, 32);
                false
            }
            Expr::Tid => {
                // The step of a thread of a team may be ended by another one.
                match self.layout.points[point].team {
                    Some(team) => self.asm.load(8, R0, RECORD, team.thread),
                    None => self.asm.load(8, R0, FP, self.pid_tgid),
                }
                self.asm.alu_imm(Alu::Lsh, R0, 32);
                self.asm.alu_imm(Alu::Rsh, R0, 32);
                false
            }
            Expr::Cpu => {
                match self.layout.points[point].team {
                    Some(team) => self.asm.load(8, R0, RECORD, team.cpu),
                    None => self.asm.call(helper::GET_SMP_PROCESSOR_ID),
                }
                false
            }
            Expr::Neg(a) => {
                let nullable = self.number(a, point, phase);
                let end = self.asm.label();
                self.skip_absent(nullable, end);
                self.asm.alu_imm(Alu::Neg, R0, 0);
                self.asm.place(end);
                nullable
            }
            Expr::Not(a) => {
                let nullable = self.number(a, point, phase);
                self.truth(nullable);
                let (one, end) = (self.asm.label(), self.asm.label());
                self.asm.jump_if_imm(Jump::Eq, R0, 0, one);
                self.asm.load_imm(R0, 0);
                self.asm.jump(end);
                self.asm.place(one);
                self.asm.load_imm(R0, 1);
                self.asm.place(end);
                false
            }
            Expr::Has(a) => {
                let nullable = self.number(a, point, phase);
                if nullable {
                    let end = self.asm.label();
                    self.asm.load_imm(R1, ABSENT);
                    self.asm.mov(R2, R0);
                    self.asm.load_imm(R0, 0);
                    self.asm.jump_if(Jump::Eq, R2, R1, end);
                    self.asm.load_imm(R0, 1);
                    self.asm.place(end);
                } else {
                    self.asm.load_imm(R0, 1);
                }
                false
            }
            Expr::Arith(op, ab) => {
                let end = self.asm.label();
                let nullable = self.pair(ab, point, phase, end);
                self.arithmetic(*op);
                self.asm.place(end);
                nullable || matches!(op, ArithOp::Div | ArithOp::Rem)
            }
            Expr::Cmp(op, ab) => {
                let (absent, yes, end) = (self.asm.label(), self.asm.label(), self.asm.label());
                self.pair(ab, point, phase, absent);
                self.asm.jump_if(comparison(*op), R0, R1, yes);
                self.asm.place(absent);
                self.asm.load_imm(R0, 0);
                self.asm.jump(end);
                self.asm.place(yes);
                self.asm.load_imm(R0, 1);
                self.asm.place(end);
                false
            }
            Expr::And(ab) | Expr::Or(ab) => {
                let decided = self.asm.label();
                let nullable = self.number(&ab[0], point, phase);
                self.truth(nullable);
                let stop = if matches!(e, Expr::And(_)) { Jump::Eq } else { Jump::Ne };
                self.asm.jump_if_imm(stop, R0, 0, decided);
                let nullable = self.number(&ab[1], point, phase);
                self.truth(nullable);
                self.asm.place(decided);
                false
            }
            Expr::If(c) if chained(c).is_some() => {
                let end = self.asm.label();
                let nullable = self.choice(c, point, phase, end);
                self.asm.place(end);
                nullable
            }
            Expr::If(c) => {
                let (otherwise, end) = (self.asm.label(), self.asm.label());
                let nullable = self.number(&c[0], point, phase);
                self.truth(nullable);
                self.asm.jump_if_imm(Jump::Eq, R0, 0, otherwise);
                let a = self.number(&c[1], point, phase);
                self.asm.jump(end);
                self.asm.place(otherwise);
                let b = self.number(&c[2], point, phase);
                self.asm.place(end);
                a || b
            }
            Expr::First(all) => {
                let end = self.asm.label();
                let mut nullable = true;
                for e in all {
                    nullable = self.number(e, point, phase);
                    if !nullable {
                        break;
                    }
                    self.asm.load_imm(R1, ABSENT);
                    self.asm.jump_if(Jump::Ne, R0, R1, end);
                }
                if all.is_empty() {
                    self.absent();
                }
                self.asm.place(end);
                nullable
            }
            Expr::Matches(a, of, pattern) => {
                let nullable = self.number(a, point, phase);
                self.matches(nullable, of.as_deref(), pattern);
                false
            }
        }
    }

    /// `r0` = a field that was copied to the stack.
    fn copied(&mut self, copied: Copied, mem: Mem) -> Nullable {
        let (there, end) = (self.asm.label(), self.asm.label());
        if let Some(pointer) = copied.pointer {
            self.asm.load(8, R0, FP, pointer);
            self.asm.jump_if_imm(Jump::Ne, R0, 0, there);
            self.absent();
            self.asm.jump(end);
        }
        self.asm.place(there);
        self.asm.load(mem.size, R0, FP, copied.at);
        if mem.signed {
            self.extend(mem);
        }
        self.asm.place(end);
        copied.pointer.is_some()
    }

    /// `r0` = the value of the first of several cases, of one number, that matches: the number is read once.
    fn choice(&mut self, cases: &[Expr; 3], point: PointId, phase: Phase, end: Label) -> Nullable {
        let number = self.asm.alloc(8);
        let mut known = None;
        let (mut case, mut nullable) = (cases, false);
        while let [Expr::Matches(of, words, pattern), then, otherwise] = case {
            match known {
                None => {
                    let maybe = self.number(of, point, phase);
                    self.asm.store(FP, number, R0);
                    known = Some(maybe);
                }
                Some(_) => self.asm.load(8, R0, FP, number),
            }
            let next = self.asm.label();
            self.matches(known.unwrap_or(true), words.as_deref(), pattern);
            self.asm.jump_if_imm(Jump::Eq, R0, 0, next);
            nullable |= self.number(then, point, phase);
            self.asm.jump(end);
            self.asm.place(next);
            match otherwise {
                Expr::If(rest) if matches!(&rest[0], Expr::Matches(other, ..) if other == of) => case = rest,
                last => {
                    self.asm.release(8);
                    return self.number(last, point, phase) || nullable;
                }
            }
        }
        self.asm.release(8);
        nullable
    }

    /// `r0` = how many steps of `parts / whole` a fixed-point number has, rounded down; absent if that does not fit.
    fn steps_of(&mut self, of: &Expr, (parts, whole): (i64, i64), point: PointId, phase: Phase) {
        let (large, down, end) = (self.asm.label(), self.asm.label(), self.asm.label());
        let nullable = self.number(of, point, phase);
        self.skip_absent(nullable, end);
        let step = parts.saturating_mul(FIXED_ONE);
        let most = (i64::MAX - step) / whole;
        self.asm.load_imm(R1, most);
        self.asm.jump_if(Jump::SGt, R0, R1, large);
        self.asm.load_imm(R1, -most);
        self.asm.jump_if(Jump::SLt, R0, R1, large);
        self.asm.load_imm(R1, whole);
        self.asm.alu(Alu::Mul, R0, R1);
        self.asm.load_imm(R1, step);
        self.asm.jump_if_imm(Jump::SGe, R0, 0, down);
        // Rounded towards zero it would be one too many.
        self.asm.alu(Alu::Sub, R0, R1);
        self.asm.alu_imm(Alu::Add, R0, 1);
        self.asm.place(down);
        self.asm.alu(Alu::SDiv, R0, R1);
        self.asm.jump(end);
        self.asm.place(large);
        self.absent();
        self.asm.place(end);
    }

    pub(crate) fn absent(&mut self) -> Nullable {
        self.asm.load_imm(R0, ABSENT);
        true
    }

    /// Whether a capture of the record already holds `e`.
    fn stored_capture(&self, e: &Expr, point: PointId, stored: usize) -> Option<usize> {
        if matches!(e, Expr::Const(_) | Expr::Absent | Expr::Word(..) | Expr::Arg(_)) {
            return None;
        }
        let captures = &self.plan.points[point].captures;
        captures[..stored].iter().position(|c| matches!(&c.value, CaptureValue::Number(x) if x == e))
    }

    /// `r0` = an argument of the start. Uses r0 alone, in the target's functions.
    pub(crate) fn argument(&mut self, name: &str, point: PointId, phase: Phase) -> Nullable {
        let Phase::Open { start, .. } = phase else { return self.absent() };
        if self.plan.points[point].template.is_kernel() {
            return self.kernel_argument(name, point, start);
        }
        let args = &self.plan.points[point].starts[start].args;
        if let Some((_, at)) = self.kept.iter().find(|(kept, _)| kept == name)
            && args.iter().any(|a| a.name == name)
        {
            self.asm.load(8, R0, FP, *at);
            return false;
        }
        let arg = args.iter().find(|a| a.name == name);
        let register = arg.and_then(|a| Some((a.mem, self.target.arch.argument(a.position)?)));
        let Some((mem, register)) = register else { return self.absent() };
        self.asm.load(8, R0, CTX, register);
        self.extend(mem);
        false
    }

    /// Cuts r0 to a number of that form.
    pub(crate) fn extend(&mut self, mem: Mem) {
        if mem.size < 8 {
            let bits = 64 - 8 * i32::from(mem.size);
            self.asm.alu_imm(Alu::Lsh, R0, bits);
            self.asm.alu_imm(if mem.signed { Alu::Arsh } else { Alu::Rsh }, R0, bits);
        }
    }

    fn memory(
        &mut self,
        base: &Expr,
        offset: i64,
        index: Option<(&Expr, u32)>,
        mem: Mem,
        point: PointId,
        phase: Phase,
    ) -> Nullable {
        let end = self.asm.label();
        let mut nullable = false;
        let place = self.asm.alloc(8);
        if let Some((index, scale)) = index {
            let maybe = self.number(index, point, phase);
            nullable |= maybe;
            self.skip_absent(maybe, end);
            self.asm.alu_imm(Alu::Mul, R0, scale as i32);
            self.asm.store(FP, place, R0);
        }
        nullable |= self.address(base, point, phase, end);
        self.asm.mov(R3, R0);
        if index.is_some() {
            self.asm.load(8, R1, FP, place);
            self.asm.alu(Alu::Add, R3, R1);
        }
        if offset != 0 {
            self.asm.alu_imm(Alu::Add, R3, offset as i32);
        }
        self.asm.stack_address(R1, place);
        self.asm.load_imm(R2, i64::from(mem.size));
        self.asm.call(helper::PROBE_READ_USER);
        let failed = self.failed;
        self.asm.jump_if_imm(Jump::Ne, R0, 0, failed);
        self.asm.load(mem.size, R0, FP, place);
        if mem.signed {
            self.extend(mem);
        }
        self.asm.release(8);
        self.asm.place(end);
        nullable
    }

    /// `r0` = a pointer that is not null; if it is null or absent, r0 is absent and `without` is where to go on.
    pub(crate) fn address(&mut self, base: &Expr, point: PointId, phase: Phase, without: Label) -> Nullable {
        let nullable = self.number(base, point, phase);
        if matches!(base, Expr::Arg(_)) && !nullable {
            return false;
        }
        let there = self.asm.label();
        self.skip_absent(nullable, without);
        self.asm.jump_if_imm(Jump::Ne, R0, 0, there);
        self.asm.load_imm(R0, ABSENT);
        self.asm.jump(without);
        self.asm.place(there);
        true
    }

    /// A word of the open record of `of`: the record at hand, or one that encloses it, absent if there is none.
    fn record_word(&mut self, of: PointId, at: i16, point: PointId) -> Nullable {
        if of == point {
            self.asm.load(8, R0, RECORD, at);
            return true;
        }
        if !self.target.has(of) {
            return self.absent();
        }
        if self.looks_for(point, of) {
            return self.enclosing_word(of, at);
        }
        let base = self.layout.points[of].in_slot;
        let (open, end) = (self.asm.label(), self.asm.label());
        self.asm.load(8, R0, SLOT, base + record::START);
        self.asm.jump_if_imm(Jump::Ne, R0, 0, open);
        self.absent();
        self.asm.jump(end);
        self.asm.place(open);
        self.asm.load(8, R0, SLOT, base + at);
        self.asm.place(end);
        // An operator is always inside its graph, but the graph may be outside of any step.
        let certain = self.plan.points[point].gate == Gate::Inside(of) && at == record::START;
        !certain
    }

    /// Goes to `to` if r0 is absent. Uses r1.
    pub(crate) fn skip_absent(&mut self, nullable: Nullable, to: Label) {
        if nullable {
            self.asm.load_imm(R1, ABSENT);
            self.asm.jump_if(Jump::Eq, R0, R1, to);
        }
    }

    /// Absent is false.
    pub(crate) fn truth(&mut self, nullable: Nullable) {
        if nullable {
            let end = self.asm.label();
            self.asm.load_imm(R1, ABSENT);
            self.asm.jump_if(Jump::Ne, R0, R1, end);
            self.asm.load_imm(R0, 0);
            self.asm.place(end);
        }
    }

    /// `r0 = a`, `r1 = b`; if one is absent, r0 is absent and `absent` is where to go on.
    fn pair(&mut self, ab: &[Expr; 2], point: PointId, phase: Phase, absent: Label) -> Nullable {
        let a = self.number(&ab[0], point, phase);
        self.skip_absent(a, absent);
        if let Expr::Const(n) = ab[1] {
            self.asm.load_imm(R1, n);
            return a;
        }
        let place = self.asm.alloc(8);
        self.asm.store(FP, place, R0);
        let b = self.number(&ab[1], point, phase);
        self.skip_absent(b, absent);
        self.asm.mov(R1, R0);
        self.asm.load(8, R0, FP, place);
        self.asm.release(8);
        a || b
    }

    fn arithmetic(&mut self, op: ArithOp) {
        let alu = match op {
            ArithOp::Add => Alu::Add,
            ArithOp::Sub => Alu::Sub,
            ArithOp::Mul => Alu::Mul,
            ArithOp::Div => Alu::SDiv,
            ArithOp::Rem => Alu::SMod,
        };
        if matches!(op, ArithOp::Div | ArithOp::Rem) {
            let (fine, end) = (self.asm.label(), self.asm.label());
            self.asm.jump_if_imm(Jump::Ne, R1, 0, fine);
            self.absent();
            self.asm.jump(end);
            self.asm.place(fine);
            self.asm.alu(alu, R0, R1);
            self.asm.place(end);
        } else {
            self.asm.alu(alu, R0, R1);
        }
    }

    fn matches(&mut self, nullable: Nullable, of: Option<&str>, pattern: &Pattern) {
        let (no, yes, end) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.skip_absent(nullable, no);
        let (hit, miss) = if pattern.negated { (no, yes) } else { (yes, no) };
        let ranges: Vec<(i64, i64)> = match of {
            Some(of) => self.target.numbers(of, pattern).into_iter().map(|n| (n, n)).collect(),
            None => pattern
                .alts
                .iter()
                .filter_map(|a| match a {
                    Alt::Range(lo, hi) => Some((*lo, *hi)),
                    Alt::Glob(_) => None,
                })
                .collect(),
        };
        for (lo, hi) in ranges {
            if lo == hi {
                match i32::try_from(lo) {
                    Ok(n) => self.asm.jump_if_imm(Jump::Eq, R0, n, hit),
                    Err(_) => {
                        self.asm.load_imm(R1, lo);
                        self.asm.jump_if(Jump::Eq, R0, R1, hit);
                    }
                }
                continue;
            }
            let next = self.asm.label();
            self.asm.load_imm(R1, lo);
            self.asm.jump_if(Jump::SLt, R0, R1, next);
            self.asm.load_imm(R1, hi);
            self.asm.jump_if(Jump::SLe, R0, R1, hit);
            self.asm.place(next);
        }
        self.asm.jump(miss);
        self.asm.place(yes);
        self.asm.load_imm(R0, 1);
        self.asm.jump(end);
        self.asm.place(no);
        self.asm.load_imm(R0, 0);
        self.asm.place(end);
    }
}

/// The number that this case and the next one are both about.
fn chained(case: &[Expr; 3]) -> Option<&Expr> {
    match case {
        [Expr::Matches(of, ..), _, Expr::If(next)] => match &next[0] {
            Expr::Matches(other, ..) if other == of => Some(of),
            _ => None,
        },
        _ => None,
    }
}

fn comparison(op: CmpOp) -> Jump {
    match op {
        CmpOp::Eq => Jump::Eq,
        CmpOp::Ne => Jump::Ne,
        CmpOp::Lt => Jump::SLt,
        CmpOp::Le => Jump::SLe,
        CmpOp::Gt => Jump::SGt,
        CmpOp::Ge => Jump::SGe,
    }
}
