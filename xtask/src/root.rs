//! Probes need root: what runs under sudo, and only that.

use std::path::Path;
use std::process::Command;

use profinfer_tests::system::is_root;

use crate::command::answer;
use crate::error::Error;

/// `program`, under sudo if we are not root. `task` is what to run as root where there is no sudo.
///
/// # Errors
/// If we are not root and there is no sudo.
pub(crate) fn command(program: &Path, task: &'static str) -> Result<Command, Error> {
    let Some(prefix) = prefix(task)? else { return Ok(Command::new(program)) };
    let mut words = prefix.split(' ');
    let mut command = Command::new(words.next().unwrap_or("sudo"));
    command.args(words).arg(program);
    eprintln!("xtask: probes need root, asking sudo");
    Ok(command)
}

/// What to put before a command that needs root; nothing if we are.
///
/// # Errors
/// If we are not root and there is no sudo.
pub(crate) fn prefix(task: &'static str) -> Result<Option<&'static str>, Error> {
    match is_root() {
        true => Ok(None),
        false if answer("sudo", &["--version"]).is_some() => Ok(Some("sudo -E")),
        false => Err(Error::Root(task)),
    }
}
