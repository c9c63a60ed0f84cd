//! The `profinfer` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    profinfer::cli::main()
}
