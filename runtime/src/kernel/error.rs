//! What can go wrong between profinfer and the kernel, each with what to do about it.

use std::{fmt, io, path::PathBuf};

use super::rights::Rights;

/// Lines of a verifier log that the error's text shows; the value keeps all of it.
const SHOWN_LOG_LINES: usize = 12;

/// A request that the kernel did not fulfil.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// This process may not do it (`EPERM`, `EACCES`).
    #[error("not allowed to {action} `{subject}` ({source}): {}", rights.advice())]
    Denied {
        /// What was tried.
        action: Action,
        /// The map, program, path or event it was tried on.
        subject: String,
        /// The rights of this process when it was refused.
        rights: Box<Rights>,
        /// The kernel's word.
        source: io::Error,
    },
    /// The verifier read the program and said no.
    #[error(
        "the kernel's verifier refuses program `{name}` ({}); the end of its log:\n{}",
        io::Error::from_raw_os_error(*errno),
        tail(log)
    )]
    Verifier {
        /// The program.
        name: String,
        /// What `bpf(2)` returned.
        errno: i32,
        /// The whole log, or its last 16 MiB.
        log: String,
    },
    /// The kernel said no for another reason.
    #[error("cannot {action} `{subject}`: {source}{}", Hint(*hint))]
    Refused {
        /// What was tried.
        action: Action,
        /// The map, program, path or event it was tried on.
        subject: String,
        /// What usually causes this, where it is known.
        hint: Option<&'static str>,
        /// The kernel's word.
        source: io::Error,
    },
    /// A request that no kernel would take, found before it was asked.
    #[error("`{subject}`: {problem}, {given} given and {wanted} wanted")]
    Spec {
        /// The map or program.
        subject: String,
        /// What does not fit.
        problem: &'static str,
        /// What was given.
        given: u64,
        /// What would fit.
        wanted: u64,
    },
    /// There is no such tracepoint.
    #[error(
        "this kernel has no tracepoint `{category}:{name}`; those it has are in /sys/kernel/tracing/events/{category}"
    )]
    Tracepoint {
        /// The folder in tracefs.
        category: String,
        /// The name in it.
        name: String,
    },
    /// A file of the kernel could not be read or did not hold what it always holds.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The ring buffer could not be mapped.
    #[error("cannot map ring buffer `{name}`: {source}")]
    Ring {
        /// The map.
        name: String,
        /// Why.
        source: aya::maps::MapError,
    },
}

/// What was asked of the kernel; its text goes behind "cannot".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Make a map.
    CreateMap,
    /// Read from a map.
    ReadMap,
    /// Write into a map, or delete from it.
    WriteMap,
    /// Map an array's memory into this process.
    ShareMap,
    /// Load a program.
    Load,
    /// Load type information.
    LoadBtf,
    /// Attach to user code.
    AttachUprobes,
    /// Attach to a tracepoint.
    AttachTracepoint,
    /// Sample CPUs.
    AttachSample,
    /// Count an event of the CPU or of the kernel.
    Count,
    /// Read what was counted.
    ReadCount,
    /// Read what the kernel says about one of its objects.
    Inspect,
    /// List the kernel's BPF objects.
    List,
    /// Measure the run time of programs.
    EnableStats,
    /// Open tracefs.
    OpenTracefs,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CreateMap => "make map",
            Self::ReadMap => "read map",
            Self::WriteMap => "write map",
            Self::ShareMap => "map the memory of",
            Self::Load => "load program",
            Self::LoadBtf => "load type information of",
            Self::AttachUprobes => "attach to code of",
            Self::AttachTracepoint => "attach to tracepoint",
            Self::AttachSample => "attach to sampling event",
            Self::Count => "count",
            Self::ReadCount => "read the counter of",
            Self::Inspect => "inspect",
            Self::List => "list",
            Self::EnableStats => "enable",
            Self::OpenTracefs => "open",
        })
    }
}

impl KernelError {
    /// The kernel's error number, where the kernel gave one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Denied { source, .. } | Self::Refused { source, .. } | Self::File { source, .. } => {
                source.raw_os_error()
            }
            Self::Verifier { errno, .. } => Some(*errno),
            Self::Spec { .. } | Self::Tracepoint { .. } | Self::Ring { .. } => None,
        }
    }

    /// The same error, said of what the user knows the subject as.
    #[must_use]
    pub fn about(mut self, known_as: impl fmt::Display) -> Self {
        if let Self::Denied { subject, .. } | Self::Refused { subject, .. } | Self::Spec { subject, .. } = &mut self {
            *subject = known_as.to_string();
        }
        self
    }

    /// Sorts what the kernel returned into denied and refused.
    pub(super) fn new(action: Action, subject: impl Into<String>, source: io::Error) -> Self {
        Self::hinted(action, subject, None, source)
    }

    /// As [`KernelError::new`], with what usually causes it.
    pub(super) fn hinted(
        action: Action,
        subject: impl Into<String>,
        hint: Option<&'static str>,
        source: io::Error,
    ) -> Self {
        let subject = subject.into();
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                Self::Denied { action, subject, rights: Box::new(Rights::of_this_process()), source }
            }
            _ => Self::Refused { action, subject, hint, source },
        }
    }
}

/// `; hint`, or nothing.
struct Hint(Option<&'static str>);

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

/// The last lines of a log.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.is_empty()).collect();
    let from = lines.len().saturating_sub(SHOWN_LOG_LINES);
    lines[from..].iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
