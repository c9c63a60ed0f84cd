//! What is to be known of one instruction of 64-bit Arm: where it leads, what it overwrites, what the kernel does with a probe
//! on it. Each is a word of four bytes, and the tables are those of the architecture's manual ("top-level A64 encodings").

use yaxpeax_arch::{Decoder as _, U8Reader};
use yaxpeax_arm::armv8::a64::InstDecoder;

use super::super::CostClass;

/// The register number that is the stack pointer or none, as the instruction says.
const SP: u32 = 31;
/// The link register.
const LINK: u32 = 30;

/// An instruction and its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Insn {
    pub(super) word: u32,
    pub(super) at: u64,
}

/// Where it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// To the next one.
    Next,
    /// There.
    Jump(u64),
    /// There, or to the next one.
    Branch(u64),
    /// There, and maybe back.
    Call(u64),
    /// Where a register says, and maybe back.
    CallRegister,
    /// Where this register says.
    JumpRegister(u32),
    /// To the caller.
    Return,
    /// Nowhere: it is no instruction, or one that never goes on.
    Stop,
}

/// What the kernel (`arch/arm64/kernel/probes`) does with a probe on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// It does what the instruction does.
    Simulated(CostClass),
    /// It has a copy of it executed, and takes a second trap behind that.
    Stepped,
    /// It takes no probe, or one would do harm.
    Refused(&'static str),
}

/// What it overwrites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Writes {
    /// Bit n is `xn`; some that stay as they are may be among them.
    pub(super) registers: u32,
    /// The stack pointer.
    pub(super) sp: bool,
}

impl Insn {
    fn is(self, mask: u32, value: u32) -> bool {
        self.word & mask == value
    }

    /// The bits `low..low + count`.
    fn bits(self, low: u32, count: u32) -> u32 {
        self.word >> low & ((1 << count) - 1)
    }

    /// The address that lies so many instructions away as the signed number in these bits says.
    fn target(self, low: u32, count: u32) -> u64 {
        let unused = 32 - count;
        let distance = (self.bits(low, count) << unused).cast_signed() >> unused;
        self.at.wrapping_add_signed(i64::from(distance) * 4)
    }

    fn is_return_signed(self) -> bool {
        self.is(0xffff_fbff, 0xd65f_0bff) // retaa, retab
    }

    fn is_exclusive(self) -> bool {
        self.is(0x3f80_0000, 0x0800_0000)
    }

    fn is_copy(self) -> bool {
        self.is(0x3b20_0c00, 0x1900_0400) // cpy…, set…
    }

    fn is_hint(self) -> bool {
        self.is(0xffff_f01f, 0xd503_201f)
    }

    /// Where it leads.
    pub(super) fn flow(self) -> Flow {
        let register = self.bits(5, 5);
        match self.word {
            w if w >> 16 == 0 => Flow::Stop, // udf
            w if w >> 26 == 0b00_0101 => Flow::Jump(self.target(0, 26)),
            w if w >> 26 == 0b10_0101 => Flow::Call(self.target(0, 26)),
            w if w & 0xff00_0000 == 0x5400_0000 => Flow::Branch(self.target(5, 19)), // b.cond, bc.cond
            w if w & 0x7e00_0000 == 0x3400_0000 => Flow::Branch(self.target(5, 19)), // cbz, cbnz
            w if w & 0x7e00_0000 == 0x3600_0000 => Flow::Branch(self.target(5, 14)), // tbz, tbnz
            w if w & 0xfe00_0000 == 0xd600_0000 => match self.bits(21, 4) {
                0b0000 | 0b1000 => Flow::JumpRegister(register),
                0b0001 | 0b1001 => Flow::CallRegister,
                0b0010 => Flow::Return,
                _ => Flow::Stop,
            },
            // brk, hlt; svc and its like go on.
            w if w & 0xff00_0000 == 0xd400_0000 && self.bits(21, 3) != 0 => Flow::Stop,
            _ => Flow::Next,
        }
    }

    /// What the kernel does with a probe on it.
    pub(super) fn class(self) -> Class {
        let plain_register = self.is(0xffff_fc1f, 0xd61f_0000) || self.is(0xffff_fc1f, 0xd63f_0000);
        match self.flow() {
            Flow::Stop => return Class::Refused("it is no instruction that goes on"),
            Flow::Branch(_) if self.is(0xff00_0010, 0x5400_0010) => {
                return Class::Refused("it is a consistent conditional branch, which kernels step in the wrong place");
            }
            Flow::JumpRegister(_) | Flow::CallRegister if !plain_register => {
                return Class::Refused("it is a branch to a signed address");
            }
            Flow::Return if !self.is(0xffff_fc1f, 0xd65f_0000) => {
                return Class::Refused("it is a return to a signed address");
            }
            Flow::Next => {}
            _ => return Class::Simulated(CostClass::Branch),
        }
        if self.is(0x1f00_0000, 0x1000_0000) {
            return Class::Simulated(CostClass::Address); // adr, adrp
        }
        if self.is_exclusive() {
            return Class::Refused("exclusive loads and stores cannot be stepped");
        }
        if self.is(0x3b00_0000, 0x1800_0000) {
            return Class::Refused("it loads from beside itself");
        }
        if self.is_copy() {
            return Class::Refused("it is a part of a copy of memory");
        }
        if self.is_hint() {
            // Others wait, or check a signature and may fault.
            return match self.bits(5, 7) {
                0 => Class::Simulated(CostClass::Nop),
                7 | 8 | 10 | 24..=27 | 32 | 34 | 36 | 38 => Class::Stepped,
                _ => Class::Refused("it is a hint that kernels do not step"),
            };
        }
        if self.is(0xff00_0000, 0xd400_0000) || self.is(0xfff0_0000, 0xd510_0000) || self.is(0xfff8_f01f, 0xd500_401f) {
            return Class::Refused("it is an instruction of the system");
        }
        Class::Stepped
    }

    /// What it overwrites; `None` where that is not known.
    pub(super) fn writes(self) -> Option<Writes> {
        let (d, n) = (self.bits(0, 5), self.bits(5, 5));
        let one = |register: u32| Writes { registers: 1 << register & !(1 << SP), sp: false };
        let or_sp = |register: u32| Writes { sp: register == SP, ..one(register) };
        let is_vector = self.bits(26, 1) == 1;
        let nothing = Writes::default();
        Some(match self.bits(25, 4) {
            // Immediates.
            0b1000 | 0b1001 => match self.bits(23, 3) {
                0b010 if self.bits(29, 1) == 1 => one(d),    // adds, subs
                0b100 if self.bits(29, 2) == 0b11 => one(d), // ands
                0b010..=0b100 => or_sp(d),
                _ => one(d),
            },
            // Branches and the system.
            0b1010 | 0b1011 => match self.flow() {
                Flow::Call(_) | Flow::CallRegister => one(LINK),
                Flow::Next if self.is_hint() => Writes { registers: 1 << LINK | 1 << 17 | 1 << 16, sp: false },
                Flow::Next if self.is(0xfff0_0000, 0xd530_0000) => one(d), // mrs
                Flow::Next if self.is(0xffff_f01f, 0xd503_301f) => nothing, // barriers
                Flow::Next => return None,
                _ => nothing,
            },
            // Registers.
            0b0101 | 0b1101 => {
                let is_extended = self.is(0x3fe0_0000, 0x0b20_0000);
                if is_extended || self.is(0xffe0_fc00, 0x9ac0_1000) { or_sp(d) } else { one(d) }
            }
            // Vectors: a few move numbers to general registers.
            0b0111 | 0b1111 => one(d),
            // Loads and stores.
            0b0100 | 0b0110 | 0b1100 | 0b1110 => return self.memory_writes(one(d), or_sp(n), is_vector),
            _ => return None,
        })
    }

    fn memory_writes(self, data: Writes, base: Writes, is_vector: bool) -> Option<Writes> {
        let and = |a: Writes, b: Writes| Writes { registers: a.registers | b.registers, sp: a.sp || b.sp };
        let when = |holds: bool, writes: Writes| if holds { writes } else { Writes::default() };
        let is_load = self.bits(22, 1) == 1;
        match self.bits(28, 2) {
            0b00 if is_vector => Some(base),
            // Exclusive and ordered ones, compare-and-swap: what comes of it may be in any of three.
            0b00 => {
                let others = 1 << self.bits(16, 5) | 1 << self.bits(10, 5);
                Some(Writes { registers: (data.registers | others) & !(1 << SP), sp: false })
            }
            0b01 if self.bits(24, 1) == 0 => Some(when(!is_vector, data)),
            0b01 => None,
            0b10 => {
                let second = Writes { registers: 1 << self.bits(10, 5) & !(1 << SP), sp: false };
                let loaded = when(is_load && !is_vector, and(data, second));
                Some(and(loaded, when(self.bits(23, 1) == 1, base)))
            }
            _ => {
                let loaded = when(!is_vector && self.bits(22, 2) != 0, data);
                let kind = self.bits(10, 2);
                match (self.bits(24, 1), self.bits(21, 1)) {
                    (1, _) => Some(loaded),
                    (_, 0) => Some(and(loaded, when(kind & 1 == 1, base))),
                    (_, _) if kind == 0b10 => Some(loaded),
                    (_, _) if kind & 1 == 1 => Some(and(data, base)),
                    _ => None, // atomics
                }
            }
        }
    }

    /// It makes room on the stack.
    pub(super) fn grows_stack(self) -> bool {
        let subtracts = self.is(0xff80_03ff, 0xd100_03ff) || self.is(0xffe0_03ff, 0xcb20_03ff);
        // stp, str with the new address written to sp before.
        let pushes =
            self.is(0x3bc0_0000, 0x2980_0000) || self.is(0x3be0_0c00, 0x3800_0c00) && self.bits(22, 2) & 1 == 0;
        subtracts && self.bits(0, 5) == SP || pushes && self.bits(5, 5) == SP
    }

    /// It adds two registers, one of them extended or shifted.
    pub(super) fn adds_registers(self) -> bool {
        self.is(0xff20_0000, 0x8b00_0000) || self.is(0xffe0_0000, 0x8b20_0000)
    }

    /// It loads a word of eight bytes whose number is in a register.
    pub(super) fn loads_by_index(self) -> bool {
        self.is(0xffe0_1c00, 0xf860_1800)
    }

    /// Between it and a store that goes with it, any trap makes that fail.
    pub(super) fn begins_exclusive(self) -> bool {
        self.is_exclusive() && self.bits(22, 1) == 1
    }

    /// Its text; of a branch with the address that it leads to.
    pub(super) fn text(self) -> String {
        let named = |name: &str, target: u64| format!("{name} {target:#x}");
        match self.flow() {
            Flow::Jump(target) => return named("b", target),
            Flow::Call(target) => return named("bl", target),
            Flow::Return if self.is_return_signed() => {
                return if self.bits(10, 1) == 0 { "retaa" } else { "retab" }.to_owned();
            }
            _ => {}
        }
        match self.word {
            0xd503_241f => return "bti".to_owned(),
            0xd503_245f => return "bti c".to_owned(),
            0xd503_249f => return "bti j".to_owned(),
            0xd503_24df => return "bti jc".to_owned(),
            _ => {}
        }
        let bytes = self.word.to_le_bytes();
        let text = match InstDecoder::default().decode(&mut U8Reader::new(&bytes)) {
            Ok(instruction) => instruction.to_string(),
            Err(_) => return format!(".inst {:#010x}", self.word),
        };
        // It has places relative to the instruction, behind a dollar sign.
        match (text.split_once('$'), self.place()) {
            (Some((before, _)), Some(place)) => format!("{before}{place:#x}"),
            _ => text,
        }
    }

    /// The address that stands in a branch, `adr` or `adrp`.
    fn place(self) -> Option<u64> {
        match self.flow() {
            Flow::Jump(target) | Flow::Branch(target) | Flow::Call(target) => Some(target),
            Flow::Next if self.is(0x1f00_0000, 0x1000_0000) => {
                let number = self.bits(5, 19) << 2 | self.bits(29, 2);
                let distance = i64::from((number << 11).cast_signed() >> 11);
                Some(match self.bits(31, 1) {
                    0 => self.at.wrapping_add_signed(distance),
                    _ => (self.at & !0xfff).wrapping_add_signed(distance * 4096),
                })
            }
            _ => None,
        }
    }
}

/// The instructions of a piece of code.
pub(super) fn insns(code: &[u8], vaddr: u64) -> Vec<Insn> {
    let (words, _) = code.as_chunks::<4>();
    words.iter().zip((vaddr..).step_by(4)).map(|(word, at)| Insn { word: u32::from_le_bytes(*word), at }).collect()
}
