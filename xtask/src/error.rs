//! What can go wrong before a test has run, each with its cure.

use std::io;
use std::path::PathBuf;

use thiserror::Error as ThisError;

/// Why a task could not be done.
#[derive(Debug, ThisError)]
pub(crate) enum Error {
    /// A program is missing and cannot be installed from here.
    #[error("{program} is missing: {cure}")]
    Missing { program: &'static str, cure: String },
    /// A program could not be started.
    #[error("`{command}` could not be started: {source}")]
    Start { command: String, source: io::Error },
    /// A program failed; it has said why on stderr.
    #[error("`{command}` failed with {status}; what it said is above")]
    Failed { command: String, status: std::process::ExitStatus },
    /// A file or folder could not be used.
    #[error("{path}: {source}", path = path.display())]
    File { path: PathBuf, source: io::Error },
    /// There is no engine to fetch for this machine.
    #[error("no engine is pinned for {0} machines, only for x86_64 ones")]
    Machine(&'static str),
    /// What was fetched lacks what it was fetched for.
    #[error("{path} is not in what was fetched: remove {folder} and try again", path = path.display(), folder = folder.display())]
    Incomplete { path: PathBuf, folder: PathBuf },
    /// Something could not be measured.
    #[error("{0}")]
    Bench(#[from] crate::bench::Failure),
    /// Probes need root.
    #[error("probes need root, and there is no sudo: run `{0}` as root")]
    Root(&'static str),
}

/// Names the path that an operation on a file failed for.
pub(crate) fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
    let path = path.into();
    move |source| Error::File { path, source }
}
