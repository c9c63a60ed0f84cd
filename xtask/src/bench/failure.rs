//! What can go wrong while something is measured.

use std::path::PathBuf;

use profinfer::engine::DescriptionError;
use profinfer::kernel::KernelError;
use profinfer::script::ScriptError;
use profinfer::session::SessionError;
use profinfer::target::TargetError;
use thiserror::Error;

/// Why a measurement could not be made.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// A tool ended before it was attached.
    #[error("`{command}` ended before it had attached; it said: {said}")]
    NotAttached { command: String, said: String },
    /// A tool did not end when it was told to.
    #[error("`{command}` does not end {seconds} s after Ctrl-C; it was killed")]
    DoesNotEnd { command: String, seconds: u64 },
    /// A script that is measured has errors.
    #[error("the script {name} does not compile: run `profinfer check` on it")]
    Script { name: String },
    /// A stock script cannot be read.
    #[error(transparent)]
    Read(#[from] ScriptError),
    /// The built-in engine descriptions have errors.
    #[error(transparent)]
    Description(#[from] DescriptionError),
    /// The engine is not recognised.
    #[error("process {pid} has no engine that profinfer knows")]
    NoEngine { pid: u32 },
    /// A process cannot be looked at.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Functions of an engine cannot be found.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Programs cannot be built.
    #[error(transparent)]
    Build(#[from] profinfer_ebpf::asm::BuildError),
    /// The kernel refuses something.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The program that is probed gave no sensible answer.
    #[error("the probed program answered {line:?} to {asked:?}")]
    Answer { asked: String, line: String },
    /// The raw numbers of an earlier run cannot be read.
    #[error("{path} is not what this version of the bench writes ({source}): remove it and measure again", path = path.display())]
    Raw { path: PathBuf, source: serde_json::Error },
    /// A plot could not be drawn.
    #[error("the plot {name} could not be drawn: {why}")]
    Plot { name: &'static str, why: String },
    /// There is no measurement of that name.
    #[error("there is no measurement {name:?}: {known}")]
    Only { name: String, known: String },
    /// A file could not be used.
    #[error("{path}: {source}", path = path.display())]
    File { path: PathBuf, source: std::io::Error },
}

/// Names the path that an operation on a file failed for.
pub(super) fn at(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Failure {
    let path = path.into();
    move |source| Failure::File { path, source }
}
