//! The format for people: decides which drawing a record gets, and puts an empty line between blocks.

use std::io;

use super::graph::{self, Graphs};
use super::line::{Line, paint};
use super::table::is_histogram;
use super::{Options, Renderer, csv, curve, emit, flame, footer, heatmap, hist, json, print, table, text};
use crate::record::{Record, Table, ViewKind};

/// Appends blocks.
pub(super) struct Plain {
    options: Options,
    /// The last thing written; nothing at first.
    last: Option<Last>,
    graphs: Graphs,
}

/// What was written last.
#[derive(PartialEq, Eq)]
enum Last {
    Line,
    Block,
}

impl Plain {
    pub(super) fn new(options: Options) -> Self {
        Self { options, last: None, graphs: Graphs::default() }
    }
}

impl Renderer for Plain {
    fn record(&mut self, record: &Record, out: &mut dyn io::Write) -> io::Result<()> {
        if let Record::Node(node) = record {
            self.graphs.add(node);
        }
        if matches!(record, Record::Begin(_) | Record::Slice(_) | Record::Gauge(_) | Record::Node(_)) {
            return Ok(());
        }
        let is_line = matches!(record, Record::Message(_) | Record::Print(_));
        let now = if is_line { Last::Line } else { Last::Block };
        let mut text = Vec::new();
        // A row of messages and events has no empty lines in it.
        if self.last.as_ref().is_some_and(|last| *last == Last::Block || now == Last::Block) {
            text.push(b'\n');
        }
        self.last = Some(now);
        match record {
            Record::Table(table) => match for_programs(table)? {
                Some(lines) => text.extend(lines),
                None => text.extend(paint(&block(table, self.options), self.options.color).into_bytes()),
            },
            Record::Print(print) => text.extend(print::line(print).into_bytes().into_iter().chain([b'\n'])),
            Record::Message(message) => {
                text.extend(paint(&[footer::message(message)], self.options.color).into_bytes());
            }
            Record::Node(_) => {}
            Record::End(end) => {
                let mut graphs = graph::lines(&self.graphs.finish(end));
                if !graphs.is_empty() {
                    graphs.push(Line::default());
                }
                let mut lines = graphs;
                lines.extend(footer::lines(end, self.options.width));
                lines.extend(footer::timeline(end, self.options.width));
                text.extend(paint(&lines, self.options.color).into_bytes());
            }
            Record::Begin(_) | Record::Slice(_) | Record::Gauge(_) => {}
        }
        emit(out, &text)
    }

    fn resize(&mut self, width: usize, height: usize) {
        (self.options.width, self.options.height) = (width, height);
    }
}

/// A table that the script wants as JSON or CSV whatever the run's format is.
pub(super) fn for_programs(table: &Table) -> io::Result<Option<Vec<u8>>> {
    Ok(match table.view {
        ViewKind::Json => Some(json::line(&Record::Table(table.clone()))?),
        ViewKind::Csv => Some(csv::Csv::default().table(table)?.into_bytes()),
        ViewKind::Table | ViewKind::Hist | ViewKind::Heatmap | ViewKind::Flame | ViewKind::Text => None,
    })
}

/// A table for people: title, rows or picture, histograms, what is missing.
pub(super) fn block(table: &Table, options: Options) -> Vec<Line> {
    if table.view == ViewKind::Heatmap
        && let Some(picture) = heatmap::body(table, options.width, options.color)
    {
        let mut lines = vec![table::title(table)];
        lines.extend(picture);
        lines.extend(table::notes(table, options.width));
        return lines;
    }
    if table.view == ViewKind::Flame {
        let mut lines = vec![table::title(table)];
        lines.extend(flame::body(table, options.width));
        lines.extend(table::notes(table, options.width));
        return lines;
    }
    if table.view == ViewKind::Text {
        let mut lines = vec![table::title(table)];
        lines.extend(text::body(table, options.width));
        lines.extend(table::notes(table, options.width));
        return lines;
    }
    if table.view == ViewKind::Hist && !table.rows.is_empty() && table.columns.iter().any(curve::is_curve) {
        let mut lines = vec![table::title(table)];
        let blocks = options.color || options.live;
        lines.extend(curve::body(table, options.width, blocks));
        if table.columns.iter().any(is_histogram) {
            lines.push(Line::default());
            lines.extend(hist::body(table, options.width, blocks, false));
        }
        lines.extend(table::notes(table, options.width));
        return lines;
    }
    let histograms = table.columns.iter().any(is_histogram);
    let others = table.columns.iter().any(|column| !is_histogram(column));
    // Rows of nothing but keys would say what the titles of the histograms say.
    let rows = !histograms || (others && table.view != ViewKind::Hist) || table.rows.is_empty();
    let mut lines = vec![table::title(table)];
    if rows {
        lines.extend(table::body(table, options.width));
    }
    if histograms && !table.rows.is_empty() {
        if rows {
            lines.push(Line::default());
        }
        lines.extend(hist::body(table, options.width, options.color || options.live, !rows));
    }
    lines.extend(table::notes(table, options.width));
    lines
}
