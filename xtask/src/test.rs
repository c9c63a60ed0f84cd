//! `cargo xtask test`: every test of the workspace, with what they need, and a summary that cannot be misread.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::process::{ExitCode, Stdio};
use std::time::Instant;

use clap::Args;

use crate::command::line;
use crate::error::Error;
use crate::fetch::{Item, fetch};
use crate::{build, root, tools};

const TASK: &str = "cargo xtask test";

/// Options of the tests.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Leave out the tests that run an engine: for a quick look while editing, never for a verdict.
    #[arg(long)]
    quick: bool,
    /// Arguments of `cargo test`, such as `-p profinfer-lang` or, after another `--`, a test's name.
    #[arg(last = true)]
    cargo: Vec<OsString>,
}

/// What the tests printed, added up.
#[derive(Debug, Default)]
struct Tally {
    programs: u32,
    passed: u32,
    failed: Vec<String>,
    ignored: u32,
}

/// Runs the tests.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let begin = Instant::now();
    tools::compiler()?;
    tools::bpftool()?;
    let prefix = root::prefix(TASK)?;
    let mut cargo = build::cargo();
    cargo.args(["test", "--no-fail-fast"]);
    // Arguments of cargo's own come before those of the test programs.
    let own = arguments.cargo.iter().position(|word| word == "--").unwrap_or(arguments.cargo.len());
    let (own, of_tests) = arguments.cargo.split_at(own);
    if own.is_empty() {
        cargo.arg("--workspace");
    }
    cargo.args(own).arg("--").args(of_tests.get(1..).unwrap_or_default());
    if arguments.quick {
        cargo.args([
            "--skip",
            "engine_xllamacpp::",
            "--skip",
            "engine_node::",
            "--skip",
            "engine_llama_cpp_",
            "--skip",
            "engine_node_vulkan_",
        ]);
    } else {
        cargo.env("PROFINFER_ENGINES", fetch(&Item::ALL)?.root());
    }
    cargo.env("PROFINFER_BIN", build::profinfer()?);
    if let Some(prefix) = prefix {
        // Only the tests themselves run as root, so that what is built belongs to the user.
        let target = format!("CARGO_TARGET_{}_UNKNOWN_LINUX_GNU_RUNNER", std::env::consts::ARCH.to_uppercase());
        cargo.env(target, prefix);
    }
    cargo.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = cargo.spawn().map_err(|source| Error::Start { command: line(&cargo), source })?;
    let mut tally = Tally::default();
    if let Some(stdout) = child.stdout.take() {
        for text in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Nobody may be reading any more; the tests are still to be counted.
            let _ = writeln!(std::io::stdout(), "{text}");
            tally.read(&text);
        }
    }
    let status = child.wait().map_err(|source| Error::Start { command: line(&cargo), source })?;
    let Tally { programs, passed, failed, ignored } = &tally;
    println!();
    for name in failed {
        println!("FAILED {name}");
    }
    let verdict = if status.success() && failed.is_empty() { "passed" } else { "FAILED" };
    println!(
        "{verdict}: {passed} passed, {} failed, {ignored} ignored in {programs} test programs, {:.0} s{}",
        failed.len(),
        begin.elapsed().as_secs_f64(),
        if arguments.quick { " (without the tests that run an engine)" } else { "" },
    );
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Tally {
    /// Reads a line of libtest: `test NAME ... FAILED`, or
    /// `test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; …`.
    fn read(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            self.programs += 1;
            for part in result.split([';', '.']) {
                match part.trim().split_once(' ') {
                    Some((n, "passed")) => self.passed += n.parse().unwrap_or(0),
                    Some((n, "ignored")) => self.ignored += n.parse().unwrap_or(0),
                    _ => {}
                }
            }
        } else if let Some(name) = line.strip_prefix("test ").and_then(|l| l.strip_suffix(" ... FAILED")) {
            self.failed.push(name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn the_tally_adds_up_what_libtest_prints() {
        let mut tally = Tally::default();
        let printed = "running 3 tests\ntest a::b ... ok\ntest c ... FAILED\ntest d - should panic ... ok\n\
            test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 7 filtered out; finished in 0.00s\n\
            test result: ok. 10 passed; 0 failed; 4 ignored; 0 measured; 0 filtered out; finished in 1.50s";
        printed.lines().for_each(|line| tally.read(line));
        assert_eq!((tally.programs, tally.passed, tally.ignored), (2, 12, 4));
        assert_eq!(tally.failed, ["c"]);
    }
}
