//! Counters of the CPU and of the kernel: fields of every point whose events take time on a thread.

use std::fmt;

use crate::catalogue::Point;
use crate::types::Type;

/// A counter of what a thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Counter {
    /// CPU cycles.
    Cycles,
    /// Instructions that were completed.
    Instructions,
    /// Look-ups in the last cache before memory that missed.
    LlcMisses,
    /// Look-ups in the last cache before memory.
    LlcRefs,
    /// Branches that were predicted wrongly.
    BranchMisses,
    /// Cycles in which nothing was completed, the back end being busy or waiting for memory.
    StalledBackend,
    /// An event of the processor by its own number.
    Pmu(u64),
    /// Time on a CPU, in ns.
    TaskClock,
    /// Page faults, those that need no disk included.
    PageFaults,
    /// Page faults that had to wait for a disk.
    MajorFaults,
    /// How often the thread was taken off its CPU.
    CtxSwitches,
    /// How often the thread went on on another CPU.
    Migrations,
}

impl Counter {
    /// Those that have a word of their own, hardware first.
    pub const NAMED: [Self; 11] = [
        Self::Cycles,
        Self::Instructions,
        Self::LlcMisses,
        Self::LlcRefs,
        Self::BranchMisses,
        Self::StalledBackend,
        Self::TaskClock,
        Self::PageFaults,
        Self::MajorFaults,
        Self::CtxSwitches,
        Self::Migrations,
    ];

    /// The one that a field of that name is.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|c| c.word() == word)
    }

    /// Its word; `pmu` for those that have none of their own.
    pub fn word(self) -> &'static str {
        match self {
            Self::Cycles => "cycles",
            Self::Instructions => "instructions",
            Self::LlcMisses => "llc_misses",
            Self::LlcRefs => "llc_refs",
            Self::BranchMisses => "branch_misses",
            Self::StalledBackend => "stalled_backend",
            Self::Pmu(_) => "pmu",
            Self::TaskClock => "task_clock",
            Self::PageFaults => "page_faults",
            Self::MajorFaults => "major_faults",
            Self::CtxSwitches => "ctx_switches",
            Self::Migrations => "migrations",
        }
    }

    /// What it is, as a sentence for lists.
    pub fn about(self) -> &'static str {
        match self {
            Self::Cycles => "CPU cycles.",
            Self::Instructions => "Instructions that were completed.",
            Self::LlcMisses => "Look-ups in the last cache before memory that missed.",
            Self::LlcRefs => "Look-ups in the last cache before memory.",
            Self::BranchMisses => "Branches that were predicted wrongly.",
            Self::StalledBackend => "Cycles in which the back end had nothing to complete.",
            Self::Pmu(_) => "An event of the processor by its own number: `pmu(0xc0)`.",
            Self::TaskClock => "Time on a CPU.",
            Self::PageFaults => "Page faults, those without a disk included.",
            Self::MajorFaults => "Page faults that waited for a disk.",
            Self::CtxSwitches => "Times the thread was taken off its CPU.",
            Self::Migrations => "Times the thread went on on another CPU.",
        }
    }

    /// Whether the processor counts it: a machine may lack it, and has places for a few at a time only.
    pub fn is_hardware(self) -> bool {
        !matches!(self, Self::TaskClock | Self::PageFaults | Self::MajorFaults | Self::CtxSwitches | Self::Migrations)
    }

    /// The type of its values.
    pub fn ty(self) -> Type {
        if self == Self::TaskClock { Type::Duration } else { Type::Int }
    }

    /// Whether events of a point have counters: each is on one thread, and takes time.
    pub fn is_of(point: &Point) -> bool {
        point.template.lasts() && point.each.is_empty()
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pmu(number) => write!(f, "pmu({number:#x})"),
            _ => f.write_str(self.word()),
        }
    }
}
