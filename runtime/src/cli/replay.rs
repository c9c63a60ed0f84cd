//! `profinfer replay FILE`: tables of a recording, and `--info`: what is in it.

use std::io::ErrorKind;

use profinfer_compiler::Leaves;

use super::args::{Format, ReplayArgs};
use super::chosen::chosen;
use super::files::{Files, fault};
use super::output::Output;
use super::{exit, fail, say, script};
use crate::engine::{self, Description};
use crate::recording::head::Head;
use crate::recording::reader::Recording;
use crate::replay::{Replay, ReplayError};
use crate::script::Script;
use crate::view::escape::escape;

mod info;

/// Replays; the exit code.
pub(super) fn run(args: &ReplayArgs) -> u8 {
    match try_run(args) {
        Ok(code) | Err(code) => code,
    }
}

fn try_run(args: &ReplayArgs) -> Result<u8, u8> {
    let name = args.recording.display();
    let mut recording = Recording::open(&args.recording).map_err(|e| fail(exit::TARGET, e))?;
    if args.info {
        return info::run(&mut recording, &args.recording);
    }
    let own = args.source.script.is_none() && args.source.execute.is_none();
    let head = &recording.head;
    let engines = engines(args, head)?;
    let mut source = args.source.clone();
    let read = if own { Script::recorded(&head.script, &head.imports) } else { script::read(&args.source)? };
    if own {
        // Those that are given now count before those that were given then.
        source.params =
            head.params.iter().filter(|(n, _)| !args.source.params.iter().any(|(m, _)| m == n)).cloned().collect();
        source.params.extend(args.source.params.iter().cloned());
    }
    // Nothing is read of any process.
    source.allow_reads = true;
    let compiled = script::compile_leaves(&source, &read, &engines[0], Leaves::Fields)?;
    let is_same = own && source.params == head.params;
    let file = read.sources.files()[0].name.clone();
    let to = args.output.as_deref();
    let format = Format::wanted(args.format, to);
    let only = chosen(format, &compiled.plan, args.quiet).map_err(|e| fail(exit::USAGE, e))?;
    let output = Output::new(format, to, only, (args.source.color, args.quiet)).map_err(|e| fail(exit::USAGE, e))?;
    let mut output = Files::new(output, &compiled.plan, &args.output_dir)?;
    let replay = Replay::new(&compiled.plan, head, is_same).map_err(|e| fail(exit::SCRIPT, format!("{file}: {e}")))?;
    if compiled.plan.asks_ceilings() && head.ceilings.is_empty() && !args.quiet {
        say::err("profinfer: what the machine can do at most was not recorded: columns with ceiling(…) are absent\n");
    }
    let done = match replay.go(&mut recording, &mut output) {
        Ok(done) => done,
        Err(ReplayError::Output(e)) if e.kind() == ErrorKind::BrokenPipe => return Ok(0),
        Err(ReplayError::Output(e)) => {
            let to = args.output.as_ref().map_or_else(|| "to stdout".to_owned(), |path| path.display().to_string());
            let what = fault(&e).map_or_else(|| format!("cannot write {to}: {e}"), ToString::to_string);
            return Err(fail(exit::OUTPUT, what));
        }
        Err(e) => return Err(fail(exit::TARGET, format!("{name}: {e}"))),
    };
    if let Some(damage) = &recording.damage {
        say::err(&format!(
            "profinfer: {}: {damage}; what is shown is made of the {} events before\n",
            escape(&name.to_string()),
            done.events
        ));
    }
    Ok(if args.strict && done.losses {
        fail(exit::LOSSES, "something was lost, or the recording is not whole (--strict)")
    } else {
        0
    })
}

/// The engine description that was recorded with, or the one that is named now.
fn engines(args: &ReplayArgs, head: &Head) -> Result<Vec<Description>, u8> {
    match (&args.source.engine, &head.engine) {
        (None, Some(text)) => {
            engine::from_text(&text.name, &text.text).map(|d| vec![d]).map_err(|e| fail(exit::SCRIPT, e))
        }
        (named, _) => script::engines(named.as_deref()),
    }
}
