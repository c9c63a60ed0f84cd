//! At which instruction to probe. The place is worth ten times what the program does there: an instruction that the
//! kernel emulates costs a tenth of one that it has to single-step.
//!
//! Everything here is pure: from bytes and an address to sites.

mod aarch64;
mod x86;

use std::fmt;

use super::Arch;

/// An instruction to probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Its address as in the file, before relocation.
    pub vaddr: u64,
    /// Bytes from the start of the function, modulo 2⁶⁴ (a cold part may lie before it).
    pub at: u64,
    /// Bytes into the file; what a uprobe wants. 0 until a module fills it in.
    pub file_offset: u64,
    /// Its text as the GNU assembler has it.
    pub instruction: String,
    /// What a probe on it costs.
    pub cost: CostClass,
    /// The stack pointer still has the value it had at the entry, as return and session probes need it.
    pub stack_intact: bool,
    /// For a conditional jump out of the function: the function is left only if this holds when the probe fires.
    pub taken_if: Option<FlagTest>,
    /// The function goes on in another one from there, which returns in its place.
    pub goes_on: bool,
    /// Why this one, for the user.
    pub why: String,
}

/// Which instruction of a function is probed when it is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SiteChoice {
    /// The cheapest one; see [`entry_site`].
    #[default]
    Cheapest,
    /// The first one, as other tools do: for comparison.
    Entry,
}

/// What the kernel has to do for a hit, cheapest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CostClass {
    /// The exact five-byte nop, which newest kernels turn into a call. Never chosen: they have bugs there that crash
    /// forked children and break leaf functions.
    Nop5,
    /// Another nop, emulated.
    Nop,
    /// `push` of a register, emulated.
    Push,
    /// A direct jump or call, emulated.
    Branch,
    /// An address computed from where the instruction stands (`adr`, `adrp` of 64-bit Arm), emulated.
    Address,
    /// Anything else: executed out of line in single-step mode, which is a second trap.
    Step,
}

impl CostClass {
    /// About how many nanoseconds a hit costs with an empty program, and in words. Measured on Linux 6.18 in a virtual
    /// machine, where a single step costs more than on hardware; the ranking holds everywhere.
    #[must_use]
    pub fn ns(self) -> (u32, &'static str) {
        match self {
            Self::Nop5 => (183, "about 0.2 µs (five-byte nop)"),
            Self::Nop => (400, "about 0.4 µs (nop, emulated)"),
            Self::Push => (404, "about 0.4 µs (push, emulated)"),
            Self::Branch => (440, "about 0.4 µs (jump or call, emulated)"),
            Self::Address => (440, "about 0.4 µs (address, emulated)"),
            Self::Step => (4200, "about 4 µs (single-stepped)"),
        }
    }
}

impl fmt::Display for CostClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nop5 => "five-byte nop",
            Self::Nop => "nop",
            Self::Push => "push",
            Self::Branch => "branch",
            Self::Address => "address",
            Self::Step => "single step",
        })
    }
}

/// A condition on the x86 flags register: `((flags & any_set) != 0 || signs_differ && SF != OF) != negated`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlagTest {
    /// Bits of the flags register of which at least one must be set.
    pub any_set: u32,
    /// Or the sign flag (bit 7) differs from the overflow flag (bit 11).
    pub signs_differ: bool,
    /// The opposite is meant.
    pub negated: bool,
}

impl FlagTest {
    /// The condition holds for this value of the flags register.
    #[must_use]
    pub fn holds(self, flags: u64) -> bool {
        let signs_differ = (flags >> 7 ^ flags >> 11) & 1 == 1;
        (flags & u64::from(self.any_set) != 0 || self.signs_differ && signs_differ) != self.negated
    }
}

/// Why a function cannot be probed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SiteError {
    /// There is no code.
    #[error("the function at {vaddr:#x} has no code in the file")]
    NoCode {
        /// Its address.
        vaddr: u64,
    },
    /// The bytes are no instructions.
    #[error(
        "no instruction can be made out at {vaddr:#x}, {at:#x} bytes into the function, so its exits are not known"
    )]
    Undecodable {
        /// Address of the first byte not understood.
        vaddr: u64,
        /// Bytes from the start of the function.
        at: u64,
    },
    /// Every instruction that could be probed is one that the kernel refuses.
    #[error("the kernel refuses a probe on `{instruction}` at {vaddr:#x} ({reason}), and no other instruction will do")]
    Refused {
        /// Address of the instruction.
        vaddr: u64,
        /// Its text.
        instruction: String,
        /// Why it is refused.
        reason: &'static str,
    },
}

/// The cheapest instruction that is executed once for every call of the function, before any argument that the program
/// reads is overwritten. Bit n of `args_used` says that it reads integer argument n (counted from 0).
///
/// From the entry on it walks straight on, to the first instruction that the kernel emulates: a nop (but not the exact
/// five-byte one), a push, a jump, a call. It does not get past a jump, a call or a return, an instruction that other
/// code of the function branches to, or one that overwrites a used argument. Where a `switch` leads cannot be seen, so
/// in a function with an indirect jump an instruction past the entry is only taken if a push or another growth of the
/// stack follows it or is it: no compiler runs that twice. If nothing emulated is found it is the entry itself, or
/// the next one that the kernel accepts. Where a function jumps back to its very start (a tail call of itself), that
/// counts as a call.
///
/// # Errors
/// [`SiteError::NoCode`], [`SiteError::Undecodable`] for the entry, [`SiteError::Refused`].
pub fn entry_site(arch: Arch, code: &[u8], vaddr: u64, args_used: u8) -> Result<Site, SiteError> {
    match arch {
        Arch::X86_64 => x86::entry_site(code, vaddr, args_used),
        Arch::Aarch64 => aarch64::entry_site(code, vaddr, args_used),
    }
}

/// The first instruction of a function, whatever it costs.
///
/// # Errors
/// As [`entry_site`].
pub fn first_site(arch: Arch, code: &[u8], vaddr: u64) -> Result<Site, SiteError> {
    let length = match arch {
        Arch::X86_64 => x86::first_length(code, vaddr),
        Arch::Aarch64 => 4,
    };
    let site = entry_site(arch, code.get(..length).unwrap_or(code), vaddr, 0)?;
    Ok(Site { why: "the entry, as was asked for".to_owned(), ..site })
}

/// Every instruction by which the function is left: returns, and jumps to somewhere else (tail calls), in address
/// order. `cold` is its part moved away as unlikely, with its address: jumps there and back are inside. Empty for a
/// function that never returns.
///
/// A probe on such an instruction is an ordinary one. Unlike a return probe it changes nothing on the stack, so it
/// survives C++ exceptions (which it does not see) and stacks that move. At a conditional jump the probe fires whether
/// the jump is taken or not: see [`Site::taken_if`]. On x86 a `ret` is single-stepped, see [`CostClass::Step`].
///
/// Told apart by how the target is computed: an indirect jump through a table of the function itself (`switch`, marked
/// `notrack` in CET builds) is no exit, any other is.
///
/// # Errors
/// [`SiteError::NoCode`]; [`SiteError::Undecodable`] for any byte of it; [`SiteError::Refused`] if one exit cannot be
/// probed.
pub fn return_sites(arch: Arch, code: &[u8], vaddr: u64, cold: Option<(&[u8], u64)>) -> Result<Vec<Site>, SiteError> {
    match arch {
        Arch::X86_64 => x86::return_sites(code, vaddr, cold),
        Arch::Aarch64 => aarch64::return_sites(code, vaddr, cold),
    }
}

/// The instruction behind a call, which the caller goes on at: `code` is the function around it, the call lies at `call`, and
/// what follows it at `next`. None if no instruction begins there, or none follows in this function. x86-64 only.
///
/// # Errors
/// [`SiteError::Refused`] if neither that instruction can be probed nor one that certainly follows it.
pub(super) fn behind_call(code: &[u8], vaddr: u64, call: u64, next: u64) -> Result<Option<Site>, SiteError> {
    x86::behind_call(code, vaddr, call, next)
}

/// Where the direct jumps go that leave this code, wherever that is: other functions, or a part of it moved away.
pub(super) fn outward_jumps(arch: Arch, code: &[u8], vaddr: u64) -> Vec<u64> {
    match arch {
        Arch::X86_64 => x86::outward_jumps(code, vaddr),
        Arch::Aarch64 => aarch64::outward_jumps(code, vaddr),
    }
}
