//! `cargo xtask`: gets what the demo and the tests need, and runs them.

mod bench;
mod build;
mod command;
mod demo;
mod error;
mod fetch;
mod root;
mod test;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::Error;
use crate::fetch::Item;

/// Set-up, demo and tests of profinfer.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Generates text with a real engine and a real model under profinfer and shows where every token's time went.
    Demo(demo::Arguments),
    /// Runs every test; needs root, or sudo.
    Test(test::Arguments),
    /// Measures what profinfer costs, beside bpftrace and empty programs, and writes `docs/performance.md`; needs root, or sudo.
    Bench(bench::Arguments),
    /// Fetches the engines and the models into the cache folder, and nothing else.
    Fetch,
}

fn run(task: Task) -> Result<ExitCode, Error> {
    match task {
        Task::Demo(arguments) => demo::run(&arguments),
        Task::Test(arguments) => test::run(&arguments),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Fetch => {
            let cache = fetch::fetch(&Item::ALL)?;
            println!("{}", cache.root().display());
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
