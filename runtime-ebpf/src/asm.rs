//! The builder: emits instructions, resolves labels, hands out stack slots.

use std::collections::HashMap;

use crate::insn::{FP, Insn, Reg};
use crate::layout::MapId;

/// A place to jump to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label(usize);

/// A reference to a map that the loader fills in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloc {
    /// Index of the first of the two slots.
    pub at: usize,
    /// Which map.
    pub map: MapId,
    /// Byte offset into the map's only value, or none for the map itself.
    pub value: Option<u32>,
}

/// Arithmetic operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is its own symbol")]
pub enum Alu {
    Add,
    Sub,
    Mul,
    And,
    Or,
    Lsh,
    Rsh,
    Arsh,
    SDiv,
    SMod,
    Neg,
}

/// Comparisons of jumps. The signed ones have an S.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is its own symbol")]
pub enum Jump {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
    SGt,
    SGe,
    SLt,
    SLe,
}

impl Jump {
    fn op(self) -> u8 {
        match self {
            Self::Eq => 0x10,
            Self::Gt => 0x20,
            Self::Ge => 0x30,
            Self::Ne => 0x50,
            Self::SGt => 0x60,
            Self::SGe => 0x70,
            Self::Lt => 0xa0,
            Self::Le => 0xb0,
            Self::SLt => 0xc0,
            Self::SLe => 0xd0,
        }
    }
}

/// Builds one program.
#[derive(Debug, Default)]
pub struct Asm {
    insns: Vec<Insn>,
    relocs: Vec<Reloc>,
    labels: Vec<Option<usize>>,
    fixups: Vec<(usize, Label)>,
    /// Bytes of stack handed out and not given back.
    stack: i16,
    deepest: i16,
}

/// A program that does not fit what the kernel takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The kernel gives a program 512 bytes of stack.
    #[error(
        "the program needs {0} bytes of stack, the kernel gives 512: use fewer keys, or expressions nested less deeply"
    )]
    Stack(i16),
    /// A jump reaches ±32,767 instructions.
    #[error("the program has {0} instructions, too many for its jumps: use fewer clauses")]
    TooLong(usize),
    /// A point may have 64 tables.
    #[error("{0} tables on one point, 64 is the limit: split the script")]
    TooManyTables(usize),
    /// A program may name 64 maps.
    #[error(
        "the tables on {point} need {maps} maps in one program, the kernel allows {limit}: use fewer tables, or fewer \
             hist and quantile columns"
    )]
    TooManyMaps {
        /// The point.
        point: String,
        /// Maps needed.
        maps: usize,
        /// Maps allowed.
        limit: usize,
    },
    /// A row of a table is larger than an instruction can reach into.
    #[error("a row of table `{table}` takes {bytes} bytes, {} is the limit: use fewer hist columns", i16::MAX)]
    Row {
        /// The table.
        table: String,
        /// Bytes of its row.
        bytes: u32,
    },
    /// What is kept of an open event is larger than an instruction can reach into.
    #[error(
        "what is kept of an open {point} takes {bytes} bytes, and all points of a thread have {}: use fewer fields",
        i16::MAX
    )]
    Record {
        /// The point.
        point: String,
        /// Bytes of its record.
        bytes: u32,
    },
}

/// A finished program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// Its instructions, map references still open.
    pub insns: Vec<Insn>,
    /// Where the map references are.
    pub relocs: Vec<Reloc>,
}

/// `BPF_JMP | BPF_JCOND`
pub(crate) const MAY_GOTO: u8 = 0xe5;

impl Code {
    /// Number of different maps it names.
    #[must_use]
    pub fn maps(&self) -> usize {
        self.relocs.iter().map(|r| r.map).collect::<std::collections::BTreeSet<_>>().len()
    }
}

impl Asm {
    /// An empty program.
    pub fn new() -> Self {
        Self::default()
    }

    /// The finished program, without the code that nothing reaches: the verifier refuses it.
    ///
    /// # Errors
    /// [`BuildError`] if the stack or a jump is out of bounds.
    pub fn finish(self) -> Result<Code, BuildError> {
        if self.deepest > 512 {
            return Err(BuildError::Stack(self.deepest));
        }
        let targets: HashMap<usize, usize> =
            self.fixups.iter().map(|(at, label)| (*at, self.labels[label.0].unwrap_or(*at + 1))).collect();
        let reached = self.reached(&targets);
        // Where each instruction stands once the others are gone.
        let mut places = Vec::with_capacity(self.insns.len() + 1);
        let mut insns = Vec::new();
        for (insn, reached) in self.insns.iter().zip(&reached) {
            places.push(insns.len());
            if *reached {
                insns.push(*insn);
            }
        }
        places.push(insns.len());
        for (at, target) in targets.into_iter().filter(|(at, _)| reached[*at]) {
            let distance = places[target] as i64 - places[at] as i64 - 1;
            insns[places[at]].off = i16::try_from(distance).map_err(|_| BuildError::TooLong(self.insns.len()))?;
        }
        let relocs =
            self.relocs.into_iter().filter(|r| reached[r.at]).map(|r| Reloc { at: places[r.at], ..r }).collect();
        Ok(Code { insns, relocs })
    }

    fn reached(&self, targets: &HashMap<usize, usize>) -> Vec<bool> {
        let mut reached = vec![false; self.insns.len()];
        let mut open = vec![0];
        while let Some(at) = open.pop() {
            if at >= reached.len() || reached[at] {
                continue;
            }
            reached[at] = true;
            let insn = self.insns[at];
            if let Some(target) = targets.get(&at) {
                open.push(*target);
            }
            match insn.code {
                // An exit, or a jump without a condition.
                0x95 | 0x05 => {}
                // A load that takes two slots.
                0x18 => {
                    reached[at + 1] = true;
                    open.push(at + 2);
                }
                _ => open.push(at + 1),
            }
        }
        reached
    }

    /// `bytes` of stack, 8-aligned, as an offset from the frame pointer.
    pub fn alloc(&mut self, bytes: u32) -> i16 {
        self.stack = self.stack.saturating_add(bytes.next_multiple_of(8) as i16);
        self.deepest = self.deepest.max(self.stack);
        -self.stack
    }

    /// Gives back the stack handed out last.
    pub fn release(&mut self, bytes: u32) {
        self.stack -= bytes.next_multiple_of(8) as i16;
    }

    /// How much of the stack is handed out.
    pub fn stack(&self) -> i16 {
        self.stack
    }

    /// Gives back all of the stack that was handed out since it was so much.
    pub fn release_to(&mut self, stack: i16) {
        self.stack = stack;
    }

    /// A new label, not yet placed.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Places a label here.
    pub fn place(&mut self, label: Label) {
        self.labels[label.0] = Some(self.insns.len());
    }

    fn emit(&mut self, code: u8, dst: Reg, src: Reg, off: i16, imm: i32) {
        self.insns.push(Insn { code, regs: dst.0 | src.0 << 4, off, imm });
    }

    /// `dst = src`
    pub fn mov(&mut self, dst: Reg, src: Reg) {
        if dst != src {
            self.emit(0xbf, dst, src, 0, 0);
        }
    }

    /// `dst = imm`, sign-extended where it fits, else by two slots.
    pub fn load_imm(&mut self, dst: Reg, imm: i64) {
        match i32::try_from(imm) {
            Ok(imm) => self.emit(0xb7, dst, Reg(0), 0, imm),
            Err(_) => {
                self.emit(0x18, dst, Reg(0), 0, imm as i32);
                self.emit(0, Reg(0), Reg(0), 0, (imm >> 32) as i32);
            }
        }
    }

    /// `dst` = the map.
    pub fn load_map(&mut self, dst: Reg, map: MapId) {
        self.relocs.push(Reloc { at: self.insns.len(), map, value: None });
        self.emit(0x18, dst, Reg(1), 0, 0);
        self.emit(0, Reg(0), Reg(0), 0, 0);
    }

    /// `dst` = address of byte `offset` of the only value of an array map.
    pub fn load_map_value(&mut self, dst: Reg, map: MapId, offset: u32) {
        self.relocs.push(Reloc { at: self.insns.len(), map, value: Some(offset) });
        self.emit(0x18, dst, Reg(2), 0, 0);
        self.emit(0, Reg(0), Reg(0), 0, offset as i32);
    }

    /// `dst op= src`, 64 bits.
    pub fn alu(&mut self, op: Alu, dst: Reg, src: Reg) {
        let (code, off) = alu_code(op);
        self.emit(0x0f | code, dst, src, off, 0);
    }

    /// `dst op= imm`, 64 bits.
    pub fn alu_imm(&mut self, op: Alu, dst: Reg, imm: i32) {
        let (code, off) = alu_code(op);
        self.emit(0x07 | code, dst, Reg(0), off, imm);
    }

    /// `dst = *(size *)(src + off)`, zero-extended; size 1, 2, 4 or 8.
    pub fn load(&mut self, size: u8, dst: Reg, src: Reg, off: i16) {
        self.emit(0x61 | size_code(size), dst, src, off, 0);
    }

    /// `*(u64 *)(dst + off) = src`
    pub fn store(&mut self, dst: Reg, off: i16, src: Reg) {
        self.emit(0x7b, dst, src, off, 0);
    }

    /// `*(u64 *)(dst + off) = imm`
    pub fn store_imm(&mut self, dst: Reg, off: i16, imm: i32) {
        self.emit(0x7a, dst, Reg(0), off, imm);
    }

    /// `*(u8 *)(dst + off) = imm`
    pub fn store_byte(&mut self, dst: Reg, off: i16, imm: i32) {
        self.emit(0x72, dst, Reg(0), off, imm);
    }

    /// `lock *(u64 *)(dst + off) += src`
    pub fn atomic_add(&mut self, dst: Reg, off: i16, src: Reg) {
        self.emit(0xdb, dst, src, off, 0);
    }

    /// `src = atomic_fetch_add(*(u64 *)(dst + off), src)`
    pub fn atomic_fetch_add(&mut self, dst: Reg, off: i16, src: Reg) {
        self.emit(0xdb, dst, src, off, 0x01);
    }

    /// `r0 = cmpxchg(*(u64 *)(dst + off), r0, src)`
    pub fn cmpxchg(&mut self, dst: Reg, off: i16, src: Reg) {
        self.emit(0xdb, dst, src, off, 0xf1);
    }

    /// Jumps.
    pub fn jump(&mut self, to: Label) {
        self.fixups.push((self.insns.len(), to));
        self.emit(0x05, Reg(0), Reg(0), 0, 0);
    }

    /// Jumps if `a op b`, 64 bits.
    pub fn jump_if(&mut self, op: Jump, a: Reg, b: Reg, to: Label) {
        self.fixups.push((self.insns.len(), to));
        self.emit(0x0d | op.op(), a, b, 0, 0);
    }

    /// Jumps if `a op imm`, 64 bits, the immediate sign-extended.
    pub fn jump_if_imm(&mut self, op: Jump, a: Reg, imm: i32, to: Label) {
        self.fixups.push((self.insns.len(), to));
        self.emit(0x05 | op.op(), a, Reg(0), 0, imm);
    }

    /// Goes on, unless the kernel has had enough of a loop (some millions of rounds, or a quarter of a second): then jumps.
    /// With it a loop needs no bound that the verifier could follow. Since Linux 6.9.
    pub fn may_goto(&mut self, to: Label) {
        self.fixups.push((self.insns.len(), to));
        self.emit(MAY_GOTO, Reg(0), Reg(0), 0, 0);
    }

    /// Calls a helper.
    pub fn call(&mut self, helper: i32) {
        self.emit(0x85, Reg(0), Reg(0), 0, helper);
    }

    /// `return 0`
    pub fn exit(&mut self) {
        self.emit(0xb7, Reg(0), Reg(0), 0, 0);
        self.emit(0x95, Reg(0), Reg(0), 0, 0);
    }

    /// `dst = fp + off`
    pub fn stack_address(&mut self, dst: Reg, off: i16) {
        self.mov(dst, FP);
        self.alu_imm(Alu::Add, dst, i32::from(off));
    }
}

fn alu_code(op: Alu) -> (u8, i16) {
    match op {
        Alu::Add => (0x00, 0),
        Alu::Sub => (0x10, 0),
        Alu::Mul => (0x20, 0),
        Alu::SDiv => (0x30, 1),
        Alu::Or => (0x40, 0),
        Alu::And => (0x50, 0),
        Alu::Lsh => (0x60, 0),
        Alu::Rsh => (0x70, 0),
        Alu::Neg => (0x80, 0),
        Alu::SMod => (0x90, 1),
        Alu::Arsh => (0xc0, 0),
    }
}

fn size_code(size: u8) -> u8 {
    match size {
        1 => 0x10,
        2 => 0x08,
        4 => 0x00,
        _ => 0x18,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insn::{R0, R1};

    #[test]
    fn unreachable_code_is_left_out_and_jumps_still_meet_their_labels() {
        let mut asm = Asm::new();
        let (dead, end) = (asm.label(), asm.label());
        asm.load_imm(R0, 7);
        asm.jump_if_imm(Jump::Eq, R0, 7, end);
        asm.exit();
        asm.place(dead);
        asm.load_map(R1, MapId::Counters);
        asm.load_imm(R1, i64::MAX);
        asm.jump(end);
        asm.place(end);
        asm.exit();
        let code = asm.finish().unwrap();
        // r0 = 7; if r0 == 7 goto +2; r0 = 0; exit; r0 = 0; exit
        assert_eq!(code.insns.len(), 6);
        assert_eq!(code.insns[1].off, 2);
        assert!(code.relocs.is_empty());
    }
}
