//! `cargo xtask demo`: text from a real engine, and where the time of every token went.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::Args;
use profinfer_tests::engine::{Kind, command};

use crate::command::line;
use crate::error::Error;
use crate::fetch::{Item, fetch};
use crate::{build, root};

/// Options of the demo.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Tokens to generate.
    #[arg(long, short = 'n', default_value_t = 64)]
    tokens: u32,
    /// The prompt.
    #[arg(long)]
    prompt: Option<String>,
    /// Another script than the demo's own.
    #[arg(long, value_name = "FILE.pi")]
    script: Option<PathBuf>,
    /// Generate with node-llama-cpp instead of xllamacpp.
    #[arg(long)]
    node: bool,
}

/// Runs the demo.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let (kind, item) = match arguments.node {
        true => (Kind::Node, Item::NodeLlamaCpp),
        false => (Kind::Xllamacpp, Item::Xllamacpp),
    };
    let cache = fetch(&[Item::Model, item])?;
    let binary = build::profinfer()?;
    let mut options: Vec<OsString> = vec!["-n".into(), arguments.tokens.to_string().into()];
    if let Some(prompt) = &arguments.prompt {
        options.extend(["--prompt".into(), prompt.into()]);
    }
    let engine = command(&cache, kind, None, &options);
    let mut profinfer = root::command(&binary, "cargo xtask demo")?;
    profinfer.arg(arguments.script.clone().unwrap_or_else(|| build::workspace().join("xtask/demo.pi")));
    profinfer.arg("--").arg(engine.get_program()).args(engine.get_args());
    eprintln!("xtask: {}", line(&engine));
    exit(&mut profinfer)
}

/// Runs a command to its end and passes its exit code on.
fn exit(command: &mut Command) -> Result<ExitCode, Error> {
    let status = command.status().map_err(|source| Error::Start { command: line(command), source })?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
