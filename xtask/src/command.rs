//! Running other programs: no stdin, their words on our stderr, failure is an error that names the command.

use std::io;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use crate::error::Error;

/// The command as a line, for messages.
pub(crate) fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Runs a command whose whole output goes to stderr.
pub(crate) fn run(command: &mut Command) -> Result<(), Error> {
    let stderr = io::stderr().as_fd().try_clone_to_owned();
    command.stdin(Stdio::null()).stdout(stderr.map_or_else(|_| Stdio::null(), Stdio::from));
    let status = command.status().map_err(|source| Error::Start { command: line(command), source })?;
    if status.success() { Ok(()) } else { Err(Error::Failed { command: line(command), status }) }
}

/// stdout of a command, or none if it is missing or fails.
pub(crate) fn answer(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
