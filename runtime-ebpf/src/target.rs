//! What the emitted code has to know of the target: its processor, the numbers of words, which points it has.

use std::collections::HashMap;

use profinfer_compiler::counter::Counter;
use profinfer_compiler::pattern::Pattern;
use profinfer_compiler::typed::{Place, PointId};

/// The processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is its own name")]
pub enum Arch {
    X86_64,
    Aarch64,
}

impl Arch {
    /// Offset in `struct pt_regs` of integer argument `n` at a function's entry; none past those in registers.
    pub fn argument(self, n: usize) -> Option<i16> {
        match self {
            Self::X86_64 => [112, 104, 96, 88, 72, 64].get(n).copied(),
            Self::Aarch64 => (n < 8).then_some(n as i16 * 8),
        }
    }

    /// Offset in `struct pt_regs` of the stack pointer.
    pub fn stack_pointer(self) -> i16 {
        match self {
            Self::X86_64 => 152,
            Self::Aarch64 => 248,
        }
    }

    /// Bytes of the registers that a program of a software event begins its context with.
    pub fn event_registers(self) -> i16 {
        match self {
            Self::X86_64 => 168,
            Self::Aarch64 => 272,
        }
    }

    /// Offset in the kernel's `struct pt_regs` of the number of the system call that a thread is in, and its bytes; it is
    /// negative where it is in none.
    pub fn system_call(self) -> (i32, u8) {
        match self {
            Self::X86_64 => (120, 8),
            Self::Aarch64 => (280, 4),
        }
    }

    /// Numbers of system calls by what they wait for: futex, nanosleep, sched_yield.
    pub fn waiting_calls(self) -> [&'static [i32]; 3] {
        match self {
            Self::X86_64 => [&[202, 449, 455], &[35, 230], &[24]],
            Self::Aarch64 => [&[98, 449, 455], &[101, 115], &[124]],
        }
    }

    /// Offset in `struct pt_regs` of the number that a function returns.
    pub fn returned(self) -> i16 {
        match self {
            Self::X86_64 => 80,
            Self::Aarch64 => 0,
        }
    }

    /// Bytes that a call puts on the stack.
    pub(crate) fn return_address_on_stack(self) -> i32 {
        match self {
            Self::X86_64 => 8,
            Self::Aarch64 => 0,
        }
    }

    /// The processor profinfer itself was built for.
    pub fn host() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 }
    }
}

/// Offset of the flags register in x86-64's `struct pt_regs`.
pub(crate) const X86_FLAGS: i16 = 144;

/// The cookie of a link: the process in the low half; above it, for a conditional jump out of a function, the condition
/// under which it is taken, and where a script names functions, which of them it is.
pub mod cookie {
    /// Bits of the flags register of which one must be set.
    pub const FLAG_BITS: i32 = 0xfff;
    /// Or the sign flag differs from the overflow flag.
    pub const SIGNS_DIFFER: i32 = 1 << 12;
    /// The opposite is meant.
    pub const NEGATED: i32 = 1 << 13;
    /// There is a condition.
    pub const CONDITION: i32 = 1 << 14;
    /// The function goes on in another one here: what it returns is not known yet.
    pub const GOES_ON: i32 = 1 << 15;
    /// How far up the upper half lies.
    pub const HIGH: i32 = 32;
    /// How far up the number of the function lies.
    pub const FUNCTION_SHIFT: i32 = 48;
    /// Functions of one point at most.
    pub const MAX_FUNCTIONS: usize = 1 << 16;

    /// A cookie with the number of a function, and whether that goes on in another one there.
    pub fn of_function(cookie: u64, function: u16, goes_on: bool) -> u64 {
        let goes_on = if goes_on { (GOES_ON as u64) << HIGH } else { 0 };
        cookie | goes_on | u64::from(function) << FUNCTION_SHIFT
    }

    /// The cookie of a site that always counts.
    pub fn plain(tgid: u32) -> u64 {
        u64::from(tgid)
    }

    /// The cookie of a conditional jump.
    pub fn conditional(tgid: u32, any_set: u32, signs_differ: bool, negated: bool) -> u64 {
        let mut high = CONDITION | (any_set as i32 & FLAG_BITS);
        if signs_differ {
            high |= SIGNS_DIFFER;
        }
        if negated {
            high |= NEGATED;
        }
        u64::from(tgid) | (high as u64) << 32
    }
}

/// What is known of a target.
#[derive(Debug, Clone)]
pub struct TargetFacts {
    /// Its processor.
    pub arch: Arch,
    /// The PID namespace that process numbers are to be read in (device and inode of `/proc/self/ns/pid`), where
    /// profinfer runs in one of its own.
    pub pid_namespace: Option<(u64, u64)>,
    /// Words of enums in the order of their numbers (number, word).
    pub enums: HashMap<String, Vec<(i64, String)>>,
    /// Offsets of the fields of its structs, in bytes.
    pub structs: HashMap<String, HashMap<String, u64>>,
    /// Points that it has.
    pub available: Vec<bool>,
    /// Starts of each point that it has.
    pub starts: Vec<Vec<bool>>,
    /// Points whose mark it has.
    pub marks: Vec<bool>,
    /// Counters that the machine lacks.
    pub lacks_counters: Vec<Counter>,
    /// Whether the kernel bounds loops (Linux 6.9).
    pub loops: bool,
    /// Whether the kernel runs a program in the process alone that its link is for (Linux 6.10), and the program need not ask.
    pub by_process: bool,
    /// Offsets of what is read of the kernel's own tracepoints, by `category:name.field`.
    pub trace_fields: HashMap<String, u16>,
    /// Call stacks that were looked up, by the process (high half) and their number: frames, innermost first.
    pub stacks: HashMap<i64, String>,
}

/// What points of the kernel read of tracepoints, and where it is on Linux 6.18.
pub const TRACE_FIELDS: [(&str, &str, &str, u16); 4] = [
    ("block", "block_bio_queue", "dev", 8),
    ("block", "block_bio_queue", "sector", 16),
    ("block", "block_bio_queue", "nr_sector", 24),
    ("block", "block_bio_queue", "rwbs", 28),
];

impl TargetFacts {
    /// Bytes from a pointer to a place behind it; none if the target's struct lacks the field.
    pub fn offset(&self, place: &Place) -> Option<i64> {
        match &place.field {
            None => Some(place.offset),
            Some((of, field)) => self.structs.get(of)?.get(field).map(|at| *at as i64 + place.offset),
        }
    }

    /// The number of a word, if the target has it.
    pub fn number(&self, of: &str, word: &str) -> Option<i64> {
        self.enums.get(of)?.iter().find(|(_, w)| w == word).map(|(n, _)| *n)
    }

    /// The word of a number.
    pub fn word(&self, of: &str, number: i64) -> Option<&str> {
        self.enums.get(of)?.iter().find(|(n, _)| *n == number).map(|(_, w)| w.as_str())
    }

    /// The numbers whose words match one of a pattern's alternatives; negation is left to the caller.
    pub fn numbers(&self, of: &str, pattern: &Pattern) -> Vec<i64> {
        let positive = Pattern { negated: false, alts: pattern.alts.clone() };
        let words = self.enums.get(of).map_or(&[][..], Vec::as_slice);
        words.iter().filter(|(_, w)| positive.matches_text(w)).map(|(n, _)| *n).collect()
    }

    /// Where a field of one of the kernel's own tracepoints is: `block:block_bio_queue.dev`.
    pub fn trace_field(&self, name: &str) -> i16 {
        self.trace_fields.get(name).map_or(0, |at| at.cast_signed())
    }

    /// Whether the target has the mark of a point.
    pub fn has_mark(&self, point: PointId) -> bool {
        self.marks.get(point).copied().unwrap_or(false)
    }

    /// Whether the machine has a counter.
    pub fn has_counter(&self, counter: Counter) -> bool {
        !self.lacks_counters.contains(&counter)
    }

    /// Whether the target has a point.
    pub fn has(&self, point: PointId) -> bool {
        self.available.get(point).copied().unwrap_or(false)
    }
}
