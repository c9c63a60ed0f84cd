//! Where records go: the renderer's output, and messages to stderr.

use std::io::{self, Write};
use std::path::Path;

use profinfer_compiler::plan::Plan;

use super::args::{Color, Format};
use super::destination::{Destination, DestinationError};
use super::say;
use super::script::{stderr_color, wants_color};
use super::sheets::Sheets;
use crate::record::{Level, Record};
use crate::session::run::Sink;
use crate::view::escape::escape;
use crate::view::{self, Options, Renderer};

/// Columns of an output that is no terminal.
const PIPE_WIDTH: usize = 80;

/// The output of what a plan shows: to a file, to stdout, or into a folder.
///
/// # Errors
/// A file cannot be made, the format is none for a terminal, or there are more tables than a file of that format can hold.
pub(super) fn output(
    format: Format,
    (plan, to): (&Plan, Option<&Path>),
    color: Color,
    quiet: bool,
) -> Result<Box<dyn Sink>, DestinationError> {
    Ok(match format {
        Format::Parquet => Box::new(Sheets::new(plan, to, color, quiet)?),
        Format::Table | Format::Json | Format::Csv => Box::new(Output::new(format, to, color, quiet)?),
    })
}

/// The output of a run as one text.
struct Output {
    renderer: Box<dyn Renderer>,
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
    fn new(format: Format, file: Option<&Path>, color: Color, quiet: bool) -> Result<Output, DestinationError> {
        let out = Destination::open(format, file)?;
        let terminal = out.terminal;
        let (width, height) = if terminal { size() } else { (PIPE_WIDTH, 0) };
        let options = Options { color: wants_color(color, terminal), width, height, live: terminal };
        let view = match format {
            Format::Json => view::Format::Json,
            Format::Csv => view::Format::Csv,
            // The other one goes to `Sheets`.
            Format::Table | Format::Parquet => view::Format::Table,
        };
        Ok(Output { renderer: view::renderer(view, options), out, format, quiet, color })
    }
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
        if self.format == Format::Csv && matches!(record, Record::Message(_)) {
            return Ok(());
        }
        self.renderer.record(record, &mut self.out)?;
        // Nothing comes behind the end.
        if matches!(record, Record::End(_)) { self.out.finish() } else { self.out.flush() }
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
