//! The events of a recording as Parquet files, one for each point.

use std::io::ErrorKind;
use std::path::PathBuf;

use crate::cli::args::{Format, ReplayArgs};
use crate::cli::destination::Destination;
use crate::cli::{exit, fail, say, sheets};
use crate::recording::parquet::{ExportError, export};
use crate::recording::reader::Recording;
use crate::view::escape::escape;

/// Writes them; the exit code.
pub(super) fn run(recording: &mut Recording, args: &ReplayArgs) -> Result<u8, u8> {
    if let Some(format) = args.format.filter(|format| *format != Format::Parquet) {
        let text = format!(
            "--events writes Parquet; for {} have a script print them: -e 'on {} < print(\"{{dur}}\") >' -f {0}",
            format.name(),
            recording.head.streams.first().map_or("ggml_op", |stream| stream.point.as_str()),
        );
        return Err(fail(exit::USAGE, text));
    }
    let name = args.recording.display().to_string();
    let points: Vec<String> = recording.head.streams.iter().map(|stream| stream.point.clone()).collect();
    let names: Vec<&str> = points.iter().map(String::as_str).collect();
    let files = sheets::files(&names, args.output.as_deref(), "the recording has events of")
        .map_err(|e| fail(exit::USAGE, e))?;
    let open = |file: &Option<PathBuf>| Destination::open(Format::Parquet, file.as_deref());
    let mut outs: Vec<Destination> =
        files.iter().map(open).collect::<Result<_, _>>().map_err(|e| fail(exit::USAGE, e))?;
    let place = |i: usize| files[i].as_ref().map_or_else(|| "stdout".to_owned(), |file| file.display().to_string());
    let unwritten = |i: usize, e: std::io::Error| match e.kind() {
        // Whoever closes a pipe has read enough.
        ErrorKind::BrokenPipe => 0,
        _ => fail(exit::OUTPUT, format!("cannot write {}: {e}", escape(&place(i)))),
    };
    let done = export(recording, &mut outs).map_err(|e| match e {
        ExportError::Read(e) => fail(exit::TARGET, format!("cannot read {}: {e}", escape(&name))),
        ExportError::Write(i, e) => unwritten(i, e),
    })?;
    for (i, out) in outs.iter_mut().enumerate() {
        out.finish().map_err(|e| unwritten(i, e))?;
        if !args.quiet {
            let text = format!("profinfer: {} events of {} are in {}\n", done.events[i], points[i], place(i));
            say::err(&crate::view::escape::escape_lines(&text));
        }
    }
    if let Some(damage) = &recording.damage {
        let events: u64 = done.events.iter().sum();
        say::err(&format!("profinfer: {}: {damage}; what is written are the {events} events before\n", escape(&name)));
    }
    Ok(if args.strict && done.losses {
        fail(exit::LOSSES, "something was lost, or the recording is not whole (--strict)")
    } else {
        0
    })
}
