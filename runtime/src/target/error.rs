//! What can go wrong with a target. Every text names the thing and, where there is one, the cure.

use std::io;
use std::path::PathBuf;

/// Why a process, a file it maps, or a command to start cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// There is no such process (any more).
    #[error("there is no process {pid}; `pgrep -a NAME` finds the right number")]
    NoSuchProcess {
        /// The number that was asked for.
        pid: u32,
    },
    /// The number is that of a thread.
    #[error("{pid} is a thread of process {tgid}; use {tgid}, all its threads are observed")]
    IsThread {
        /// The number that was asked for.
        pid: u32,
        /// The process that the thread belongs to.
        tgid: u32,
    },
    /// The process is a thread of the kernel, which maps no files.
    #[error("{pid} ({comm}) is a kernel thread; only processes that run a program can be observed")]
    KernelThread {
        /// The number that was asked for.
        pid: u32,
        /// Its name.
        comm: String,
    },
    /// The process has ended and waits for its parent to notice.
    #[error("process {pid} ({comm}) has ended already (zombie): its parent has not collected it yet")]
    Zombie {
        /// The number that was asked for.
        pid: u32,
        /// Its name.
        comm: String,
    },
    /// The process may not be looked at.
    #[error("process {pid} may not be read ({path}); run as root, or with CAP_SYS_PTRACE")]
    NotPermitted {
        /// The process.
        pid: u32,
        /// What was refused.
        path: PathBuf,
    },
    /// A file below `/proc` cannot be read.
    #[error("cannot read {path}: {source}")]
    Proc {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file below `/proc` does not look as it should.
    #[error("{path} has a line that is not understood: {line:?}")]
    ProcFormat {
        /// The file.
        path: PathBuf,
        /// The line.
        line: String,
    },
    /// A process descriptor cannot be had.
    #[error("cannot open a descriptor for process {pid}: {source}; it takes Linux 5.3 or later")]
    PidFd {
        /// The process.
        pid: u32,
        /// The system's reason.
        source: io::Error,
    },
    /// A file that is mapped cannot be opened.
    #[error("cannot open {path}, which process {pid} has mapped: {source}")]
    OpenMapped {
        /// The process.
        pid: u32,
        /// The file as the process sees it.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file cannot be opened or mapped.
    #[error("cannot open {path}: {source}")]
    OpenFile {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is no ELF file.
    #[error("{path} is not an ELF file")]
    NotElf {
        /// The file.
        path: PathBuf,
    },
    /// The file is an ELF file of a kind that is not supported.
    #[error("{path} is an ELF file for {found}; supported are 64-bit little-endian x86_64 and aarch64")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is for.
        found: String,
    },
    /// The file is an ELF file that is damaged.
    #[error("{path} is a damaged ELF file: {source}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: object::read::Error,
    },
    /// No command was given.
    #[error("there is no command to start; write it after `--`")]
    NoCommand,
    /// The command to start is not to be found.
    #[error("command not found: {command}; give its full path, or check PATH")]
    CommandNotFound {
        /// The command.
        command: String,
        /// What a shell would exit with: 127.
        exit_code: i32,
    },
    /// The command to start cannot be executed.
    #[error("cannot execute {command}: {source}")]
    CommandNotExecutable {
        /// The command.
        command: String,
        /// What a shell would exit with: 126.
        exit_code: i32,
        /// The system's reason.
        source: io::Error,
    },
    /// The command ended before it could be held.
    #[error("{command} ended before its first instruction ({status})")]
    EndedEarly {
        /// The command.
        command: String,
        /// How it ended, in words.
        status: std::process::ExitStatus,
    },
    /// Holding or releasing the started command failed.
    #[error("cannot {action} process {pid}: {source}")]
    Hold {
        /// `hold`, `release`, `resume` or `wait for`.
        action: &'static str,
        /// The process.
        pid: u32,
        /// The system's reason.
        source: io::Error,
    },
}

impl TargetError {
    /// The exit code that a shell would give for this error: 127 or 126 for a command that cannot be started.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::CommandNotFound { exit_code, .. } | Self::CommandNotExecutable { exit_code, .. } => Some(*exit_code),
            _ => None,
        }
    }
}
