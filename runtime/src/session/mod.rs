//! A run: from a plan and processes to records.
//!
//! - `files` recognises the engine among the files of a process.
//! - `calls` finds the functions that a script names.
//! - `sites` finds in them what a plan needs: words of enums, layouts, instructions to probe.
//! - `instance` holds maps and programs of one plan on one engine file, and the links to its processes.
//! - `check` holds the engine's layout against the first events.
//! - `counters` are those of the processor and the kernel that a plan asks for.
//! - `events` are those at which something is done, `stream` keeps rows of tables whose events come one by one.
//! - `rows` reads a table out of the kernel and merges instances.
//! - `stream`, `caches` keep what events that are sent one by one add up to.
//! - `numbers` computes columns.
//! - `names` finds processes by name.
//! - `watch` learns of code that is loaded later, and of processes that begin.
//! - `run` is the loop: timers, signals, ends.

pub mod all_steps;
pub mod budget;
pub mod caches;
pub mod calls;
pub mod check;
pub mod cost;
pub mod counters;
pub mod events;
pub mod files;
mod guardian;
pub mod instance;
mod kernel_events;
pub mod names;
pub mod numbers;
mod ranges;
pub mod rows;
pub mod run;
pub mod sites;
mod stacks;
pub mod stream;
pub mod watch;

use crate::kernel::KernelError;
use crate::target::TargetError;

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant says what it is")]
pub enum SessionError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error(transparent)]
    Build(#[from] profinfer_ebpf::asm::BuildError),
    #[error("no engine is to be seen in process {pid} ({comm}): {why}")]
    NoEngine { pid: u32, comm: String, why: String },
    #[error(
        "no process is called {names} (--wait waits for one; names are those of `ps -e`, or of the program's file)"
    )]
    NoName { names: String },
    #[error(
        "no engine is to be seen in any of the {number} processes called {names} (--wait waits for one to load it)"
    )]
    NoEngineNamed { names: String, number: usize },
    #[error(
        "{number} processes are called {names}, and at most {limit} are observed at once: give a longer name, or some with --pid"
    )]
    TooMany { names: String, number: usize, limit: usize },
    #[error("process {pid} ({comm}) ended while it was being attached to")]
    Gone { pid: u32, comm: String },
    #[error("process {pid} ({comm}) has no `{point}`: {why}")]
    NoPoint { pid: u32, comm: String, point: String, why: String },
    #[error("`{symbol}` in {path} cannot be probed: {why}")]
    NoSite { symbol: String, path: String, why: String },
    #[error(
        "the engine in {path} is laid out differently from what {engine} describes ({message}: {what}): nothing it \
         says can be trusted, so nothing is shown; the build needs a description of its own (docs/engines.md)"
    )]
    Layout { path: String, engine: String, message: String, what: String },
    #[error(
        "no `{field}` on this machine: {why} (count task_clock, page_faults, ctx_switches …, mark the point with `?` to have \
         it absent, or leave it out; `profinfer doctor` says which there are)"
    )]
    NoCounter { field: String, why: Box<KernelError> },
    #[error(
        "--max-overhead leaves out whole steps, and the engine of {who} has none: `{point}` is not to be seen in it"
    )]
    NoStepsOf { who: String, point: String },
    #[error("--max-overhead leaves out whole steps, and the engine's description has no `{point}` by itself")]
    NoStepsIn { point: String },
    #[error("--max-overhead needs to know what a hit costs: {why}")]
    NoCost { why: String },
    #[error("cannot {action}: {source}")]
    Io { action: &'static str, source: std::io::Error },
}

impl SessionError {
    /// Whether it is the fault of one process.
    pub fn is_of_target(&self) -> bool {
        matches!(self, Self::Target(_) | Self::NoPoint { .. } | Self::NoSite { .. } | Self::NoStepsOf { .. })
    }

    /// What it comes to, whichever process it is about.
    pub fn reason(&self) -> String {
        match self {
            Self::NoPoint { point, why, .. } => format!("{point}: {why}"),
            other => other.to_string(),
        }
    }

    /// The exit code: 3 for the target's fault, 4 for the kernel's.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Kernel(_) | Self::Build(_) | Self::Io { .. } | Self::NoCounter { .. } | Self::NoCost { .. } => 4,
            Self::Target(e) => e.exit_code().map_or(3, |code| code as u8),
            _ => 3,
        }
    }
}
