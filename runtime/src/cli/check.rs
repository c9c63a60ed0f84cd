//! `profinfer check`: what is wrong with a script, measuring nothing.

use profinfer_lang::render;

use super::args::CheckArgs;
use super::{exit, say, script};

/// Checks a script; the exit code.
pub(super) fn run(args: &CheckArgs) -> u8 {
    match try_run(args) {
        Ok(code) | Err(code) => code,
    }
}

fn try_run(args: &CheckArgs) -> Result<u8, u8> {
    let source = script::read(&args.source)?;
    let engines = script::engines(args.source.engine.as_deref())?;
    let (diagnostics, broken) = match source.compile(&engines[0], &args.source.params, args.source.allow_reads) {
        Ok((plan, warnings)) => {
            script::fits(&plan, &source)?;
            (warnings, false)
        }
        Err(errors) => (errors, true),
    };
    if args.json {
        say::out(&render::json(&diagnostics, &source.sources))?;
    } else {
        script::print(&diagnostics, &source.sources, args.source.color);
        if !broken {
            say::out(&format!("{}: fine\n", source.sources.files()[0].name))?;
        }
    }
    Ok(if broken { exit::SCRIPT } else { 0 })
}
