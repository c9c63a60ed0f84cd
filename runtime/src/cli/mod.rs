//! The command line: what is meant, and the exit codes.
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | all went well |
//! | 1 | the script has errors |
//! | 2 | the command line is wrong |
//! | 3 | the target is wrong: no such process, no engine, another layout |
//! | 4 | the kernel or the rights do not allow it |
//! | 5 | with `--strict`: something was lost |
//! | 6 | the output cannot be written: a full disk, say; a pipe that was closed is no fault |
//! | 126, 127 | the command behind `--` cannot be run, is not found |
//! | other | with a command behind `--`: its own exit code (128 + n if signal n ended it) |

mod args;
mod build;
mod check;
mod chosen;
mod destination;
mod doctor;
mod explain;
mod files;
mod list;
mod look;
mod output;
mod page;
mod plan;
mod record;
mod replay;
mod run;
mod say;
mod script;
mod sites;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

pub use args::{Args, Command, Format};
use say::fail;

/// Exit codes of profinfer itself.
pub mod exit {
    /// The script has errors.
    pub const SCRIPT: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 2;
    /// The target is wrong.
    pub const TARGET: u8 = 3;
    /// The kernel or the rights do not allow it.
    pub const KERNEL: u8 = 4;
    /// Something was lost, under `--strict`.
    pub const LOSSES: u8 = 5;
    /// The output cannot be written.
    pub const OUTPUT: u8 = 6;
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(e) if e.use_stderr() => {
            let _unread = e.print();
            return ExitCode::from(exit::USAGE);
        }
        // Help, or the version.
        Err(e) => return ExitCode::from(flushed(e.print())),
    };
    let code = match &args.command {
        Some(Command::Check(a)) => check::run(a),
        Some(Command::Plan(a)) => plan::run(a),
        Some(Command::Build(a)) => build::run(a),
        Some(Command::List(a)) => list::run(a),
        Some(Command::Doctor(a)) => doctor::run(a),
        Some(Command::Explain(a)) => explain::run(&a.code),
        Some(Command::Record(a)) => record::run(a),
        Some(Command::Replay(a)) => replay::run(a),
        None => run::run(&args.run),
    };
    ExitCode::from(code)
}

/// Prints the help of the command line.
fn print_help() -> u8 {
    flushed(Args::command().print_long_help())
}

/// The exit code of something that was printed on stdout.
fn flushed(result: io::Result<()>) -> u8 {
    say::printed(result.and_then(|()| io::stdout().flush())).err().unwrap_or(0)
}
