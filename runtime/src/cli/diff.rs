//! `profinfer diff BEFORE AFTER`: what changed from one recording to another.

use std::io::ErrorKind;
use std::path::PathBuf;

use super::args::{DiffArgs, Format};
use super::output::Output;
use super::{exit, fail};
use crate::diff::{DiffError, Options, diff, report};
use crate::record::{End, Record};
use crate::session::run::Sink;

/// Compares; the exit code.
pub(super) fn run(args: &DiffArgs) -> u8 {
    match try_run(args) {
        Ok(code) | Err(code) => code,
    }
}

fn try_run(args: &DiffArgs) -> Result<u8, u8> {
    let (pairs, rest) = args.recordings.as_chunks::<2>();
    if let [odd] = rest {
        let odd = odd.display();
        return Err(fail(
            exit::USAGE,
            format!("{odd} has no other recording to be compared with: name pairs, BEFORE AFTER"),
        ));
    }
    let pairs: Vec<[PathBuf; 2]> = pairs.to_vec();
    let options = Options { by: args.by.clone(), least: args.least };
    let found = diff(&pairs, &options).map_err(|e| fail(code(&e), e))?;
    let report = report(&found, args.top);
    let to = args.output.as_deref();
    let format = Format::wanted(args.format, to);
    if !matches!(format, Format::Table | Format::Json | Format::Csv) {
        return Err(fail(exit::USAGE, format!("a comparison is no {}: use table, json or csv", format.name())));
    }
    let mut output = Output::new(format, to, None, (args.color, args.quiet)).map_err(|e| fail(exit::USAGE, e))?;
    let mut records = report.records;
    if format == Format::Json {
        // What reads lines waits for it. For people there is nothing in it.
        records.push(Record::End(End { reason: "compared".to_owned(), layout: "none".to_owned(), ..End::default() }));
    }
    for record in &records {
        match output.record(record) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::BrokenPipe => break,
            Err(e) => {
                let to = args.output.as_ref().map_or_else(|| "to stdout".to_owned(), |path| path.display().to_string());
                return Err(fail(exit::OUTPUT, format!("cannot write {to}: {e}")));
            }
        }
    }
    Ok(if args.fail_on_change && report.has_changes { exit::CHANGED } else { 0 })
}

fn code(error: &DiffError) -> u8 {
    match error {
        DiffError::Keys { .. } | DiffError::Script { .. } | DiffError::Lacking { .. } => exit::SCRIPT,
        DiffError::Pipe => exit::USAGE,
        DiffError::Description(_) => exit::SCRIPT,
        _ => exit::TARGET,
    }
}
