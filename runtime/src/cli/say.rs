//! What is said beside a report: texts on stdout, words on stderr, where either may be full or closed.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use super::exit;
use crate::view::escape::escape_lines;

/// Says something on stderr. If that cannot be written to there is nobody left to tell.
pub(super) fn err(text: &str) {
    let _unread = io::stderr().lock().write_all(text.as_bytes());
}

/// Says what is wrong on stderr, where names of processes and files may hold anything, and gives back the code to exit with.
pub(super) fn fail(code: u8, what: impl Display) -> u8 {
    err(&format!("profinfer: {}\n", escape_lines(&what.to_string())));
    code
}

/// Prints a text on stdout, in one piece.
///
/// # Errors
/// As [`printed`].
pub(super) fn out(text: &str) -> Result<(), u8> {
    let mut stdout = io::stdout().lock();
    printed(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// What became of a text that was printed. Whoever closes a pipe has read enough, which is no fault.
///
/// # Errors
/// The code to exit with, after saying why it could not be printed.
pub(super) fn printed(result: io::Result<()>) -> Result<(), u8> {
    match result {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(fail(exit::OUTPUT, format!("cannot write to stdout: {e}"))),
        Ok(()) | Err(_) => Ok(()),
    }
}
