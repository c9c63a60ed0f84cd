//! Where records go: the renderer's output, and messages to stderr.

use std::io::{self, Write};
use std::path::Path;

use profinfer_compiler::plan::{Each, Plan};

use super::args::{Color, Format};
use super::destination::{Destination, DestinationError};
use super::script::{stderr_color, wants_color};
use super::{exit, fail, say};
use crate::record::{Level, Record};
use crate::session::run::Sink;
use crate::view::escape::escape;
use crate::view::{self, Options, Renderer};

/// Columns of an output that is no terminal.
const PIPE_WIDTH: usize = 80;

/// The output of a run.
pub(super) struct Output {
    renderer: Box<dyn Renderer>,
    /// What a timeline has no place for, as text.
    beside: Option<Box<dyn Renderer>>,
    out: Destination,
    format: Format,
    quiet: bool,
    color: Color,
}

impl Output {
    /// Writes to a file, or to stdout.
    ///
    /// # Errors
    /// The file cannot be made, or the format is none for a terminal.
    pub(super) fn new(
        format: Format,
        file: Option<&Path>,
        color: Color,
        quiet: bool,
    ) -> Result<Output, DestinationError> {
        let out = Destination::open(format, file)?;
        let terminal = out.terminal;
        let (width, height) = if terminal { size() } else { (PIPE_WIDTH, 0) };
        let options = Options { color: wants_color(color, terminal), width, height, live: terminal };
        let view = match format {
            Format::Table => view::Format::Table,
            Format::Json => view::Format::Json,
            Format::Csv => view::Format::Csv,
            Format::Perfetto => view::Format::Perfetto,
            Format::Trace => view::Format::Chrome,
        };
        let beside = format.is_timeline().then(|| {
            let options = Options { color: stderr_color(color), width: PIPE_WIDTH, height: 0, live: false };
            view::renderer(view::Format::Table, options)
        });
        Ok(Output { renderer: view::renderer(view, options), beside, out, format, quiet, color })
    }
}

/// Whether a script makes anything that the format shows; the exit code if not.
pub(super) fn suits(format: Format, plan: &Plan) -> Result<(), u8> {
    let is_of_timeline = |each: &Option<Each>| matches!(each, Some(Each::Slice(_) | Each::Gauge(_)));
    if !format.is_timeline() || plan.tables.iter().any(|t| is_of_timeline(&t.each)) {
        return Ok(());
    }
    let text = "shows slices and gauges, and the script has none: take timeline.pi, or add `on ggml_op < slice(op) >`";
    Err(fail(exit::USAGE, format!("the format {} {text}", format.name())))
}

impl Sink for Output {
    fn record(&mut self, record: &Record) -> io::Result<()> {
        let is_table = self.format == Format::Table;
        if let Record::Message(m) = record {
            if self.quiet && m.level == Level::Info {
                return Ok(());
            }
            // On a terminal the renderer places it above what it redraws.
            if !(is_table && self.out.terminal) {
                say::err(&format!("profinfer: {}\n", escape(&m.text)));
            }
            if is_table && !self.out.terminal {
                return Ok(());
            }
        } else if self.format == Format::Csv && !self.quiet {
            let options = Options { color: stderr_color(self.color), width: PIPE_WIDTH, height: 0, live: false };
            say::err(&view::aside(record, options));
        }
        if let Some(beside) = self.beside.as_mut().filter(|_| !self.quiet) {
            let mut text = Vec::new();
            match record {
                Record::Table(_) | Record::Print(_) => beside.record(record, &mut text)?,
                Record::End(_) => {
                    let options =
                        Options { color: stderr_color(self.color), width: PIPE_WIDTH, height: 0, live: false };
                    text.extend(view::aside(record, options).into_bytes());
                }
                _ => {}
            }
            say::err(&String::from_utf8_lossy(&text));
        }
        if self.format == Format::Csv && matches!(record, Record::Message(_)) {
            return Ok(());
        }
        self.renderer.record(record, &mut self.out)?;
        // Nothing comes behind the end.
        match record {
            Record::End(_) => self.out.finish(),
            // A trace is read when it is whole, and has many records.
            _ if self.format.is_timeline() => Ok(()),
            _ => self.out.flush(),
        }
    }

    fn resized(&mut self) {
        if self.out.terminal {
            let (width, height) = size();
            self.renderer.resize(width, height);
        }
    }

    fn ending(&mut self) {
        self.renderer.ending();
    }
}

/// An output that has no tables: what is to be said goes to stderr.
pub(super) struct Said {
    color: Color,
    quiet: bool,
}

impl Said {
    /// With these colours; unless it is to be quiet.
    pub(super) fn new(color: Color, quiet: bool) -> Self {
        Self { color, quiet }
    }
}

impl Sink for Said {
    fn record(&mut self, record: &Record) -> io::Result<()> {
        match record {
            Record::Message(m) if self.quiet && m.level == Level::Info => {}
            Record::Message(m) => say::err(&format!("profinfer: {}\n", escape(&m.text))),
            _ if self.quiet => {}
            record => {
                let options = Options { color: stderr_color(self.color), width: PIPE_WIDTH, height: 0, live: false };
                say::err(&view::aside(record, options));
            }
        }
        Ok(())
    }
}

/// Columns and lines of the terminal.
fn size() -> (usize, usize) {
    terminal_size::terminal_size().map_or((PIPE_WIDTH, 24), |(w, h)| (usize::from(w.0), usize::from(h.0)))
}
