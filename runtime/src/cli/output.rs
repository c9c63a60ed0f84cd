//! Where records go: the renderer's output, and messages to stderr.

use std::io::{self, Write};
use std::path::Path;

use super::args::{Color, Format};
use super::destination::{Destination, DestinationError};
use super::say;
use super::script::{stderr_color, wants_color};
use crate::record::{Level, Record, Table};
use crate::session::run::Sink;
use crate::view::escape::escape;
use crate::view::{self, Options, Renderer};

/// Columns of an output that is no terminal.
const PIPE_WIDTH: usize = 80;

/// The output of a run.
pub(super) struct Output {
    renderer: Box<dyn Renderer>,
    out: Destination,
    format: Format,
    /// The only table that goes into it, and that as it was shown last.
    only: Option<(String, Option<Table>)>,
    quiet: bool,
    color: Color,
}

impl Output {
    /// Writes to a file, or to stdout; of the table of the name `only` alone, if there is one.
    ///
    /// # Errors
    /// The file cannot be made, or the format is none for a terminal.
    pub(super) fn new(
        format: Format,
        file: Option<&Path>,
        only: Option<String>,
        (color, quiet): (Color, bool),
    ) -> Result<Output, DestinationError> {
        let out = Destination::open(format, file)?;
        let terminal = out.terminal;
        let (width, height) = if terminal { size() } else { (PIPE_WIDTH, 0) };
        let options = Options { color: wants_color(color, terminal), width, height, live: terminal };
        let view = match format {
            Format::Table => view::Format::Table,
            Format::Json => view::Format::Json,
            Format::Csv => view::Format::Csv,
            Format::Flame => view::Format::Flame,
            Format::Folded => view::Format::Folded,
            Format::Pprof => view::Format::Pprof,
        };
        let only = only.map(|name| (name, None));
        Ok(Output { renderer: view::renderer(view, options), out, format, only, quiet, color })
    }

    /// Keeps the one table until the end, when it is written.
    fn keep(&mut self, record: &Record) -> io::Result<()> {
        let Some((name, latest)) = &mut self.only else { return Ok(()) };
        match record {
            Record::Table(table) if table.name == *name => *latest = Some(table.clone()),
            Record::Table(_) | Record::Message(_) => {}
            Record::Print(print) => say::err(&format!("{}\n", view::told(print))),
            Record::End(_) => {
                let Some(table) = latest.take() else {
                    return Err(io::Error::other(format!("{name} was never shown")));
                };
                self.renderer.record(&Record::Table(table), &mut self.out)?;
                self.out.finish()?;
            }
        }
        Ok(())
    }
}

impl Sink for Output {
    fn record(&mut self, record: &Record) -> io::Result<()> {
        let is_table = self.format == Format::Table;
        // What has no place in the format goes to stderr.
        let is_bare = self.format == Format::Csv || self.only.is_some();
        let is_other = |table: &Table| self.only.as_ref().is_some_and(|(name, _)| *name != table.name);
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
        } else if is_bare && !self.quiet && !matches!(record, Record::Table(t) if is_other(t)) {
            let options = Options { color: stderr_color(self.color), width: PIPE_WIDTH, height: 0, live: false };
            say::err(&view::aside(record, options));
        }
        if is_bare && matches!(record, Record::Message(_)) {
            return Ok(());
        }
        if self.only.is_some() {
            return self.keep(record);
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
