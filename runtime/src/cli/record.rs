//! `profinfer record SCRIPT -o FILE --pid N`: events to a file.

use std::io::{self, ErrorKind};

use profinfer_compiler::plan::Plan;
use profinfer_compiler::recording::{Recording, event_bytes, recording};
use profinfer_compiler::{Compiled, Leaves};

use super::args::{Format, RecordArgs, RunArgs};
use super::chosen::chosen;
use super::files::Files;
use super::output::{Output, Said};
use super::run::{Recorded, observe};
use super::{exit, fail, script};
use crate::ceilings::Ceilings;
use crate::engine::Description;
use crate::record::Record;
use crate::recording::head::{Head, Text};
use crate::recording::writer::{Place, Recorder, WriteError};
use crate::script::Script;
use crate::session::run::Sink;

/// Bytes of an event at most: what `print` may have, too.
const MAX_EVENT: u32 = 4096 + 16;

/// Records; the exit code.
pub(super) fn run(args: &RecordArgs) -> u8 {
    match try_run(args) {
        Ok(code) | Err(code) => code,
    }
}

fn try_run(args: &RecordArgs) -> Result<u8, u8> {
    let read = script::read(&args.source)?;
    let engines = script::engines(args.source.engine.as_deref())?;
    let leaves = if args.show { Leaves::Both } else { Leaves::Fields };
    let compiled = script::compile_leaves(&args.source, &read, &engines[0], leaves)?;
    let name = &read.sources.files()[0].name;
    let Recording { plan, streams } = recording(&compiled);
    for stream in &streams {
        let bytes = event_bytes(&plan.tables[stream.table]);
        if bytes > MAX_EVENT {
            let text = format!(
                "{name}: an event of {} would take {bytes} bytes, the most is {MAX_EVENT}: use fewer names (64 bytes each) in the \
                 clauses on it",
                stream.point
            );
            return Err(fail(exit::SCRIPT, text));
        }
    }
    script::fits(&plan, &read)?;
    let place = if args.output.as_os_str() == "-" { Place::Stdout } else { Place::File(args.output.clone()) };
    if args.show && place == Place::Stdout {
        return Err(fail(exit::USAGE, "--show and -o - do not go together: both would write to stdout"));
    }
    let run = RunArgs {
        source: args.source.clone(),
        pids: args.pids.clone(),
        names: args.names.clone(),
        follow: args.follow,
        format: Some(args.format),
        output: None,
        output_dir: args.output_dir.clone(),
        duration: args.duration,
        wait: args.wait,
        sites: args.sites,
        strict: args.strict,
        quiet: args.quiet,
        // Every event is wanted.
        max_overhead: None,
        help: false,
        command: args.command.clone(),
    };
    let machine = place == Place::Stdout || args.format != Format::Table;
    observe(&run, (&plan, &engines), machine, || {
        let tables: Vec<usize> = streams.iter().map(|s| s.table).collect();
        let head = head(args, (&read, &compiled), &engines[0], streams.iter().map(Into::into).collect())?;
        let recorder = Recorder::new(place.clone(), head, &tables).map_err(|e| match e {
            // Whoever closes a pipe has read enough.
            WriteError::Make { source, .. } if source.kind() == ErrorKind::BrokenPipe => 0,
            e => fail(exit::OUTPUT, e),
        })?;
        Ok((sink(args, &plan)?, Some(Recorded { recorder, to: place.to_string() })))
    })
}

/// Where tables and messages go.
fn sink(args: &RecordArgs, plan: &Plan) -> Result<Box<dyn Sink>, u8> {
    if !args.show {
        return Ok(Box::new(Said::new(args.source.color, args.quiet)));
    }
    let only = chosen(args.format, plan, args.quiet).map_err(|e| fail(exit::USAGE, e))?;
    let how = (args.source.color, args.quiet);
    let output = Output::new(args.format, None, only, how).map_err(|e| fail(exit::OUTPUT, e))?;
    Ok(Box::new(Shown(Files::new(output, plan, &args.output_dir)?)))
}

/// The output of a recording that shows its tables.
struct Shown(Files<Output>);

impl Sink for Shown {
    fn record(&mut self, record: &Record) -> io::Result<()> {
        self.0.record(record)
    }

    fn resized(&mut self) {
        self.0.resized();
    }

    fn ending(&mut self) {
        self.0.ending();
    }
}

fn head(
    args: &RecordArgs,
    (script, compiled): (&Script, &Compiled),
    engine: &Description,
    streams: Vec<crate::recording::head::Recorded>,
) -> Result<Head, u8> {
    let file = &script.sources.files()[0];
    let described = match &args.source.engine {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|e| fail(exit::SCRIPT, format!("cannot read {}: {e}", path.display())))?;
            Some(Text { name: engine.path.display().to_string(), text })
        }
        None => None,
    };
    let asks = compiled.plan.asks_ceilings();
    let ceilings = if asks { Ceilings::of_this_machine() } else { Ceilings::default() };
    Ok(Head {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        script: Text { name: file.name.clone(), text: file.text.clone() },
        imports: script.imports.clone(),
        params: args.source.params.clone(),
        engine: described,
        allows_reads: args.source.allow_reads,
        with_tables: args.show,
        ceilings: if asks { serde_json::to_string(&ceilings).unwrap_or_default() } else { String::new() },
        streams,
    })
}
