//! `cargo xtask bench`: what profinfer costs, beside bpftrace and beside empty programs.

mod blocks;
mod bootstrap;
mod data;
mod failure;
mod floor;
mod schedule;
mod tool;

use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use profinfer_tests::engine::Model;
use profinfer_tests::system::is_root;

pub(crate) use failure::Failure;

use self::blocks::{Amount, Bench, Build, Tool, model_name};
use self::data::{Results, Slowdown};
use self::floor::Source;
use crate::error::Error;
use crate::fetch::{Item, fetch};
use crate::{build, tools};

const TASK: &str = "cargo xtask bench";

/// Options of the bench.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only measurements whose name has this in it; may be given several times. `--list` shows the names.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Shows the names of all measurements, and measures nothing.
    #[arg(long)]
    list: bool,
    /// Few and short ones, to see that everything works: no numbers to be used. Written to `target/bench`.
    #[arg(long)]
    quick: bool,
    /// Blocks of a generation, for each tool.
    #[arg(long, default_value_t = 40)]
    blocks: usize,
    /// Tokens of a block.
    #[arg(long, default_value_t = 64)]
    tokens: usize,
    /// Threads that the engines compute with.
    #[arg(long, default_value_t = 2)]
    threads: u32,
}

const BY_OP: Source = Source::Text("on ggml_op < sum(dur) by op >");

/// The tools, by their names in results.
fn all_tools() -> Vec<(&'static str, Tool)> {
    let stock = |name| Tool::Profinfer(Source::Stock(name));
    vec![
        ("ops.pi", stock("ops.pi")),
        ("threads.pi", stock("threads.pi")),
        ("sum(dur) by op", Tool::Profinfer(BY_OP)),
        ("tokens.pi", stock("tokens.pi")),
        ("graphs.pi", stock("graphs.pi")),
        ("empty at ops.pi", Tool::Empty(Source::Stock("ops.pi"))),
        ("empty at threads.pi", Tool::Empty(Source::Stock("threads.pi"))),
        ("bpftrace operators", Tool::BpftraceOperators),
        ("bpftrace barriers", Tool::BpftraceBarriers),
    ]
}

/// A measurement of a tool on an engine.
fn slowdown_name(build: Build, model: Model, tool: &str) -> String {
    format!("slowdown/{}/{}/{tool}", build.name(), model_name(model))
}

/// Runs the bench.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    if !is_root() {
        return Err(Error::Root(TASK));
    }
    tools::compiler()?;
    tools::bpftrace()?;
    let cache = fetch(&[Item::Model, Item::Moe, Item::LlamaCpp, Item::NodeLlamaCpp])?;
    let binary = build::released()?;
    let folder = tempfile::tempdir().map_err(crate::error::at("a temporary folder"))?;
    let begin = Instant::now();
    let wanted = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| name.contains(only.as_str()));
    let amount = match arguments.quick {
        true => Amount { blocks: 8, tokens: 16, dropped: 4, threads: arguments.threads },
        false => Amount { blocks: arguments.blocks, tokens: arguments.tokens, dropped: 8, threads: arguments.threads },
    };
    let mut results = Results::default();
    for build in [Build::Plain, Build::Cet] {
        for model in [Model::Dense, Model::Moe] {
            let these: Vec<_> =
                all_tools().into_iter().filter(|(name, _)| wanted(&slowdown_name(build, model, name))).collect();
            if these.is_empty() {
                continue;
            }
            let engine = blocks::start(&cache, build, model, amount, folder.path());
            let mut bench = Bench::new(engine, &binary, folder.path())?;
            for (name, tool) in these {
                let measured = bench.measure(&tool, amount)?;
                let slowdown = Slowdown {
                    engine: build.name().to_owned(),
                    model: model_name(model).to_owned(),
                    tool: name.to_owned(),
                    ..measured
                };
                let e = slowdown.relative();
                eprintln!(
                    "{:>5.0} s  {}: {:+.2} % ({:+.2} to {:+.2}) of {:.2} ms, {:.0} hits a token, {:?}",
                    begin.elapsed().as_secs_f64(),
                    slowdown_name(build, model, name),
                    e.median * 100.0,
                    e.low * 100.0,
                    e.high * 100.0,
                    slowdown.base_us() / 1e3,
                    slowdown.hits,
                    slowdown.by_cost
                );
                results.slowdown.push(slowdown);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
