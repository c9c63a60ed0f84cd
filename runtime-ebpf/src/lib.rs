//! The kernel half of a Plan: program templates, map layouts, the eBPF builder.
//!
//! Invariant: makes instructions, opens no descriptor. What it builds passes the kernel's verifier, within the sizes
//! that `docs/limits.md` names.

pub mod asm;
pub mod btf;
pub mod counting;
pub mod elf;
mod emit;
pub mod insn;
pub mod layout;
pub mod listing;
pub mod nominal;
pub mod object;
pub mod target;
mod together;
pub mod watch;

pub use object::{Action, MapKind, MapSpec, Object, Program, SiteSpec};
pub use target::{Arch, TargetFacts};
