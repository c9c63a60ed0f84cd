//! From the script's arguments to a plan, with diagnostics on stderr.

use std::io::{IsTerminal, stderr};
use std::path::Path;

use profinfer_compiler::params;
use profinfer_compiler::plan::Plan;
use profinfer_compiler::{Compiled, Leaves};
use profinfer_ebpf::{Arch, Object, TargetFacts, nominal};
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::source::SourceMap;

use super::args::{Color, ScriptArgs};
use super::{exit, fail, say};
use crate::engine::{Description, descriptions, from_file};
use crate::script::Script;
use crate::view::escape::escape_lines;

/// Whether to colour what goes to stderr.
pub(super) fn stderr_color(color: Color) -> bool {
    wants_color(color, stderr().is_terminal())
}

/// Whether to colour an output that is a terminal or not. `NO_COLOR` is honoured.
pub(super) fn wants_color(color: Color, terminal: bool) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
                || std::env::var_os("TERM").is_some_and(|t| t == "dumb");
            terminal && !plain
        }
    }
}

/// Reads the script; the exit code if there is none or it cannot be read.
pub(super) fn read(args: &ScriptArgs) -> Result<Script, u8> {
    match (&args.script, &args.execute) {
        (_, Some(text)) => Ok(Script::parse("<-e>", text)),
        (Some(path), None) => Script::read(path).map_err(|e| fail(exit::SCRIPT, e)),
        (None, None) => Err(fail(exit::USAGE, "no script: give a file or -e 'on … < … >' (profinfer --help)")),
    }
}

/// The built-in engine descriptions, or the one that was named.
pub(super) fn engines(named: Option<&Path>) -> Result<Vec<Description>, u8> {
    let all = match named {
        Some(path) => from_file(path).map(|d| vec![d]),
        None => descriptions(),
    };
    let all = all.map_err(|e| fail(exit::SCRIPT, e))?;
    if all.is_empty() { Err(fail(exit::TARGET, "no engine description is built in")) } else { Ok(all) }
}

/// Prints diagnostics for people.
pub(super) fn print(diagnostics: &[Diagnostic], sources: &SourceMap, color: Color) {
    if !diagnostics.is_empty() {
        say::err(&profinfer_lang::render::human(diagnostics, sources, stderr_color(color)));
    }
}

/// Compiles the script, printing warnings or all its errors.
pub(super) fn compile(args: &ScriptArgs, script: &Script, engine: &Description) -> Result<Plan, u8> {
    match script.compile(engine, &args.params, args.allow_reads) {
        Ok((plan, warnings)) => {
            print(&warnings, &script.sources, args.color);
            fits(&plan, script)?;
            Ok(plan)
        }
        Err(errors) => {
            print(&errors, &script.sources, args.color);
            Err(exit::SCRIPT)
        }
    }
}

/// As [`compile`], with tables made of such leaves. Whether the kernel can hold it is not asked.
pub(super) fn compile_leaves(
    args: &ScriptArgs,
    script: &Script,
    engine: &Description,
    leaves: Leaves,
) -> Result<Compiled, u8> {
    match script.compile_leaves(engine, (&args.params, args.allow_reads), leaves) {
        Ok(compiled) => {
            print(&compiled.warnings, &script.sources, args.color);
            Ok(compiled)
        }
        Err(errors) => {
            print(&errors, &script.sources, args.color);
            Err(exit::SCRIPT)
        }
    }
}

/// What the kernel cannot hold is said here, before anything is looked at: it hangs on the script alone.
pub(super) fn fits(plan: &Plan, script: &Script) -> Result<(), u8> {
    let built = Object::build(plan, &nominal::facts(plan, Arch::host()));
    let name = &script.sources.files()[0].name;
    built.map(drop).map_err(|e| say::fail(exit::SCRIPT, format_args!("{name}: {e}")))
}

/// Maps and programs of a plan for a target.
pub(super) fn object(plan: &Plan, facts: &TargetFacts) -> Result<Object, u8> {
    Object::build(plan, facts).map_err(|e| say::fail(exit::SCRIPT, e))
}

/// Prints the help of a script: its `//!` lines and its parameters. The exit code.
pub(super) fn help(args: &ScriptArgs) -> Result<u8, u8> {
    let script = read(args)?;
    let mut text: String = script.linked.program.doc.iter().map(|line| format!("{line}\n")).collect();
    let declared = params::declared(&script.linked.program, &|e| script.sources.text(e.span).to_owned());
    if declared.is_empty() {
        text.push_str("\nThe script has no parameters.\n");
    } else {
        text.push_str("\nParameters (-P name=value):\n");
        for p in &declared {
            let default = p.default.as_ref().map_or_else(|| "must be given".to_owned(), |d| format!("default {d}"));
            let head = format!("{}: {}", p.name, p.ty);
            text.push_str(&format!("  {head:<24} {} ({default})\n", p.help));
        }
    }
    say::out(&escape_lines(&text))?;
    print(&script.found(), &script.sources, args.color);
    Ok(if script.is_broken() { exit::SCRIPT } else { 0 })
}
