//! Renderers of the record stream, one file per format.
//!
//! A renderer sees records and nothing else: no map, no descriptor, no clock. The same records give the same bytes, so
//! a recorded run replays exactly, and every format is tested without a kernel.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `plain` | the format for people: which of the following files draws a record |
//! | `table`, `hist`, `footer` | rows and columns, histograms, the end of a run |
//! | `heat`, `heatmap` | a table as a picture: what stands where; as coloured or shaded characters |
//! | `stacks`, `flame` | a table as stacks of frames; as indented lines with bars |
//! | `flame_svg`, `folded`, `pprof` | the same as a picture, as lines for tools, as a profile |
//! | `text` | rows as paragraphs |
//! | `print` | an event by itself |
//! | `live` | the same, drawn in place on a terminal |
//! | `json`, `csv` | the formats for programs; `docs/json.md` is their contract |
//! | `html` | a page with a table or a heatmap, for a file |
//! | `value` | a value as text: three digits, a unit |
//! | `line`, `escape`, `names` | styled lines of a known width, text of the target made harmless, unique column names |

mod csv;
mod curve;
pub(crate) mod escape;
mod flame;
mod flame_svg;
mod folded;
mod footer;
mod heat;
mod heatmap;
mod hist;
mod html;
mod json;
mod line;
mod live;
mod names;
mod plain;
mod pprof;
mod print;
mod stacks;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod value;

use std::io;

use crate::record::{Print, Quantity, Record, Value};

/// The format of a run's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// Tables and histograms for people.
    #[default]
    Table,
    /// One JSON object a line.
    Json,
    /// Comma-separated values.
    Csv,
    /// A page for each table; nothing else has a place in it.
    Html,
    /// A flame graph as a picture for each table; nothing else has a place in it, as in the two that follow.
    Flame,
    /// Collapsed stacks.
    Folded,
    /// A profile as pprof reads it.
    Pprof,
}

/// How the format for people is drawn; the formats for programs take no notice of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Colours, and block characters in histograms. Neither `NO_COLOR` nor the terminal is looked at here.
    pub color: bool,
    /// Columns of the terminal; 0 for no limit.
    pub width: usize,
    /// Lines of the terminal; 0 for no limit. Only looked at with `live`.
    pub height: usize,
    /// A table shown again is drawn over the one before. Nobody else may write to that terminal meanwhile.
    pub live: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { color: false, width: 80, height: 24, live: false }
    }
}

/// Turns records into bytes.
pub trait Renderer {
    /// Writes one record in one piece and flushes.
    ///
    /// # Errors
    /// What `out` says, a broken pipe included.
    fn record(&mut self, record: &Record, out: &mut dyn io::Write) -> io::Result<()>;

    /// The terminal has a new size, in columns and lines. What is on it stays; the next block is drawn below.
    fn resize(&mut self, _width: usize, _height: usize) {}

    /// What comes from here on belongs to the end of the run and can be shown with its last record.
    fn ending(&mut self) {}
}

/// The renderer of a format.
///
/// [`Table::to`](crate::record::Table::to) is not looked at: the caller gives such a table to another renderer, with
/// the file as `out`.
#[must_use]
pub fn renderer(format: Format, options: Options) -> Box<dyn Renderer> {
    match format {
        Format::Table if options.live => Box::new(live::Live::new(options)),
        Format::Table => Box::new(plain::Plain::new(options)),
        Format::Json => Box::new(json::Json),
        Format::Csv => Box::new(csv::Csv::default()),
        Format::Html => Box::new(html::Html),
        Format::Flame => Box::new(flame_svg::FlameSvg),
        Format::Folded => Box::new(folded::Folded),
        Format::Pprof => Box::new(pprof::Pprof),
    }
}

/// What CSV has no place for, as lines of text for standard error: messages, the end, and what a table left out.
/// Empty if there is nothing to say.
#[must_use]
pub fn aside(record: &Record, options: Options) -> String {
    let lines = match record {
        Record::Table(table) => {
            let mut lines = table::notes(table, options.width);
            for line in &mut lines {
                line.insert(line::Style::Head, format!("{}: ", escape::escape(&table.name)));
            }
            lines
        }
        Record::Message(message) => vec![footer::message(message)],
        Record::Print(_) => Vec::new(),
        Record::End(end) => footer::lines(end, options.width),
    };
    line::paint(&lines, options.color)
}

/// An event by itself as a line of text, without its end.
#[must_use]
pub fn told(print: &Print) -> String {
    print::line(print)
}

/// A value as a table shows it, for a text.
pub(crate) fn shown(value: &Value, quantity: Quantity) -> String {
    value::cell(value, quantity).to_string()
}

/// Writes in one piece, so that a reader never sees half a record for long.
fn emit(out: &mut dyn io::Write, text: &[u8]) -> io::Result<()> {
    out.write_all(text)?;
    out.flush()
}
