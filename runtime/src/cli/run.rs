//! `profinfer SCRIPT --pid N`, `profinfer SCRIPT -- COMMAND`.

use std::io::{self, ErrorKind};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use profinfer_compiler::plan::Plan;

use super::args::{Format, RunArgs};
use super::chosen::chosen;
use super::files::{Files, fault};
use super::output::Output;
use super::{exit, fail, print_help, script};
use crate::engine::Description;
use crate::kernel::{Linux, Rights};
use crate::recording::writer::Recorder;
use crate::session::SessionError;
use crate::session::budget::Budget;
use crate::session::names::Names;
use crate::session::run::{Run, RunError, Settings, Sink, Subject};
use crate::target::{Held, LaunchOptions, Process};

/// Runs a script; the exit code.
pub(super) fn run(args: &RunArgs) -> u8 {
    match try_run(args) {
        Ok(code) | Err(code) => code,
    }
}

fn try_run(args: &RunArgs) -> Result<u8, u8> {
    let has_script = args.source.script.is_some() || args.source.execute.is_some();
    if args.help {
        return if has_script { script::help(&args.source) } else { Ok(print_help()) };
    }
    let nothing = !has_script && args.pids.is_empty() && args.names.is_empty() && args.command.is_empty();
    if nothing {
        print_help();
        return Err(exit::USAGE);
    }
    let source = script::read(&args.source)?;
    let engines = script::engines(args.source.engine.as_deref())?;
    let plan = script::compile(&args.source, &source, &engines[0])?;
    let file = args.output.as_deref();
    let format = Format::wanted(args.format, file);
    let only = chosen(format, &plan, args.quiet).map_err(|e| fail(exit::USAGE, e))?;
    let machine = format != Format::Table && file.is_none_or(|file| file.as_os_str() == "-");
    observe(args, (&plan, &engines), machine, || {
        let how = (args.source.color, args.quiet);
        let output = Output::new(format, file, only, how).map_err(|e| fail(exit::USAGE, e))?;
        Ok((Box::new(Files::new(output, &plan, &args.output_dir)?), None))
    })
}

/// A recording that is made, and where it goes.
pub(super) struct Recorded {
    /// What takes events.
    pub(super) recorder: Recorder,
    /// What messages call the place.
    pub(super) to: String,
}

/// What is to take records, and a recording.
type Outputs = (Box<dyn Sink>, Option<Recorded>);

/// Observes what the arguments say. `outputs` are made when nothing else stands against it; `machine` says that a program reads
/// stdout, so that a command must not write there.
pub(super) fn observe(
    args: &RunArgs,
    (plan, engines): (&Plan, &[Description]),
    machine: bool,
    outputs: impl FnOnce() -> Result<Outputs, u8>,
) -> Result<u8, u8> {
    let given =
        [("--pid", !args.pids.is_empty()), ("--name", !args.names.is_empty()), ("a command", !args.command.is_empty())];
    match given.iter().filter(|(_, given)| *given).map(|(what, _)| *what).collect::<Vec<_>>()[..] {
        [] => return Err(fail(exit::USAGE, "observe what? give --pid N, --name NAME, or a command behind `--`")),
        [_] => {}
        [one, "a command"] => {
            return Err(fail(exit::USAGE, format!("{one} and a command behind `--` do not go together")));
        }
        _ => {
            return Err(fail(
                exit::USAGE,
                "--pid, --name and a command behind `--` do not go together: give one of them",
            ));
        }
    }
    if args.names.iter().any(String::is_empty) {
        return Err(fail(exit::USAGE, "--name takes the name of a program, for example --name 'llama-*'"));
    }
    if args.max_overhead.is_some() {
        Budget::suits(plan).map_err(|e| fail(exit::USAGE, e))?;
    }
    let rights = Rights::of_this_process();
    if !rights.can_bpf() {
        return Err(fail(exit::KERNEL, rights.advice()));
    }
    let subject = subject(args, machine)?;
    let (mut output, recorded) = outputs()?;
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| fail(exit::KERNEL, format!("cannot start: {e}")))?;
    let kernel = Linux::new();
    let settings = Settings {
        duration: args.duration,
        wait: args.wait,
        follow: args.follow,
        sites: args.sites.choice(),
        max_overhead: args.max_overhead,
    };
    let mut run = Run::new(plan, engines, &kernel, settings);
    let to = recorded.as_ref().map(|r| r.to.clone());
    if let Some(recorded) = recorded {
        run.record_to(recorded.recorder);
    }
    match tokio.block_on(run.go(subject, &mut *output)) {
        Ok(outcome) => Ok(match outcome.status {
            Some(status) if !status.success() => passed_on(status),
            _ if args.strict && outcome.losses => {
                fail(exit::LOSSES, "something was lost (--strict): see the end of the report")
            }
            _ => 0,
        }),
        Err(RunError::Output(e)) => {
            let unfinished = run.recorder().map(Recorder::unfinished);
            let code = output_failed(args, (&e, to, unfinished), run.command_runs());
            // The command has nothing to do with who reads our output: it goes on, and its failure is what counts.
            match tokio.block_on(run.command_ended()) {
                Ok(Some(status)) if !status.success() => Ok(passed_on(status)),
                _ => Ok(code),
            }
        }
        Err(RunError::Session(e)) => {
            // What was read of memory that lies otherwise is nothing.
            if let (SessionError::Layout { .. }, Some(recorder)) = (&e, run.take_recorder()) {
                recorder.discard();
            }
            let code = fail(e.exit_code(), e);
            // The command is not ours to end.
            let _ended = tokio.block_on(run.command_ended());
            Err(code)
        }
    }
}

/// Says why the output cannot be written; the exit code. Whoever closes a pipe has read enough, which is no fault.
fn output_failed(
    args: &RunArgs,
    (error, recording, unfinished): (&io::Error, Option<String>, Option<String>),
    command_runs: bool,
) -> u8 {
    if error.kind() == ErrorKind::BrokenPipe {
        return 0;
    }
    let file = args.output.as_ref().filter(|path| path.as_os_str() != "-");
    let to = file.map(|path| path.display().to_string()).or(recording);
    let to = to.unwrap_or_else(|| "to stdout".to_owned());
    let kept = unfinished.filter(|_| error.kind() != ErrorKind::BrokenPipe);
    let kept = kept.map_or_else(String::new, |path| format!("; what was recorded until then is in {path}"));
    let command = if command_runs { "; the command goes on, and is no longer observed" } else { "" };
    let what = fault(error).map_or_else(|| format!("cannot write {to}: {error}"), ToString::to_string);
    fail(exit::OUTPUT, format!("{what}{kept}{command}"))
}

fn subject(args: &RunArgs, machine: bool) -> Result<Subject, u8> {
    if !args.command.is_empty() {
        let options = LaunchOptions { stdout_to_stderr: machine, keep_root: false };
        return match Held::spawn(&args.command, options) {
            Ok(held) => Ok(Subject::Command(held)),
            Err(e) => Err(fail(e.exit_code().map_or(exit::TARGET, |c| c as u8), e)),
        };
    }
    if !args.names.is_empty() {
        return Ok(Subject::Named(Names::new(args.names.clone())));
    }
    let mut pids = args.pids.clone();
    pids.sort_unstable();
    pids.dedup();
    let mut processes = Vec::new();
    for pid in pids {
        if pid == std::process::id() {
            return Err(fail(exit::TARGET, "profinfer cannot observe itself"));
        }
        processes.push(Process::open(pid).map_err(|e| fail(exit::TARGET, e))?);
    }
    Ok(Subject::Processes(processes))
}

/// The exit code of a command: its own, or 128 + n if signal n ended it.
fn passed_on(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code as u8,
        (None, Some(signal)) => 128u8.wrapping_add(signal as u8),
        (None, None) => exit::TARGET,
    }
}
