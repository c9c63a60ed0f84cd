//! Tables drawn in place: each block over the one before, on a terminal that nobody else writes to.
//!
//! The block is the latest of every table shown, one panel each. It is redrawn by going up over its own lines and erasing
//! them, so nothing above it is touched: the scrollback stays as it is. Messages go above the block and stay there. At
//! the end the block is written whole, however long it is; tables that only the end shows are drawn with it.

use std::io;

use super::graph::{self, Graphs};
use super::line::{Line, Style, paint};
use super::{Options, Renderer, emit, footer, plain, print, value};
use crate::record::{Record, Table, ViewKind};

/// Redraws in place.
pub(super) struct Live {
    options: Options,
    panels: Vec<Panel>,
    /// Lines of the block that is on the terminal, all of them right above the cursor.
    drawn: usize,
    /// Tables wait for the end, to be drawn once and not once each.
    ending: bool,
    graphs: Graphs,
}

/// The latest of a table.
struct Panel {
    table: Table,
    /// Which one of those that show the same table in the same view at the same time.
    turn: usize,
}

impl Live {
    pub(super) fn new(options: Options) -> Self {
        Self { options, panels: Vec::new(), drawn: 0, ending: false, graphs: Graphs::default() }
    }

    /// Puts a table in place of its predecessor.
    fn put(&mut self, table: &Table) {
        let same = |panel: &Panel| panel.table.name == table.name && panel.table.view == table.view;
        let now = self.panels.iter().filter(|panel| same(panel) && panel.table.at_ns == table.at_ns).count();
        match self.panels.iter_mut().find(|panel| same(panel) && panel.turn == now) {
            Some(panel) => panel.table = table.clone(),
            None => self.panels.push(Panel { table: table.clone(), turn: now }),
        }
    }

    /// All panels, an empty line between two.
    fn block(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        for panel in &self.panels {
            if !lines.is_empty() {
                lines.push(Line::default());
            }
            lines.extend(plain::block(&panel.table, self.options));
        }
        // A line of the block is a line of the terminal, else going up by as many would miss the first.
        lines.into_iter().flat_map(|line| line.broken(self.options.width)).collect()
    }

    /// As much of the block as the terminal shows; the cursor's own line is below it. Nothing where the end will draw it.
    fn visible(&self) -> Vec<Line> {
        if self.ending {
            return Vec::new();
        }
        let mut lines = self.block();
        let room = match self.options.height {
            0 => usize::MAX,
            height => height.saturating_sub(1).max(1),
        };
        if lines.len() > room {
            let hidden = lines.len() - (room - 1);
            lines.truncate(room - 1);
            let text = format!("… {} more lines, in full at the end", value::grouped(hidden as i128));
            lines.extend(Line::of(Style::Dim, text).broken(self.options.width).into_iter().next());
        }
        lines
    }

    /// Goes up to the first line of the block.
    fn up(&self) -> String {
        if self.drawn == 0 { String::new() } else { format!("\x1b[{}A\r", self.drawn) }
    }

    /// The bytes that put `above` and then the block over the block that is there.
    fn redraw(&mut self, above: &[u8], block: &[Line]) -> Vec<u8> {
        let mut text = self.up().into_bytes();
        if !above.is_empty() {
            text.extend(b"\x1b[J");
            text.extend(above);
        }
        for line in block {
            text.extend(b"\x1b[2K");
            text.extend(paint(std::slice::from_ref(line), self.options.color).into_bytes());
        }
        if block.len() < self.drawn {
            text.extend(b"\x1b[J");
        }
        self.drawn = block.len();
        text
    }
}

impl Renderer for Live {
    fn record(&mut self, record: &Record, out: &mut dyn io::Write) -> io::Result<()> {
        let text = match record {
            Record::Table(table)
                if matches!(table.view, ViewKind::Table | ViewKind::Hist | ViewKind::Heatmap | ViewKind::Flame) =>
            {
                self.put(table);
                if self.ending {
                    return Ok(());
                }
                let block = self.visible();
                self.redraw(&[], &block)
            }
            Record::Table(table) => {
                let above = plain::for_programs(table)?.unwrap_or_default();
                let block = self.visible();
                self.redraw(&above, &block)
            }
            Record::Print(print) => {
                let above = print::line(print) + "\n";
                let block = self.visible();
                self.redraw(above.as_bytes(), &block)
            }
            Record::Begin(_) | Record::Slice(_) | Record::Gauge(_) => return Ok(()),
            Record::Node(node) => {
                self.graphs.add(node);
                return Ok(());
            }
            Record::Message(message) => {
                let above = paint(&[footer::message(message)], self.options.color);
                let block = self.visible();
                self.redraw(above.as_bytes(), &block)
            }
            Record::End(end) => {
                let mut block = self.block();
                if !block.is_empty() {
                    block.push(Line::default());
                }
                let graphs = graph::lines(&self.graphs.finish(end));
                if !graphs.is_empty() {
                    block.extend(graphs);
                    block.push(Line::default());
                }
                block.extend(footer::lines(end, self.options.width));
                block.extend(footer::timeline(end, self.options.width));
                let text = self.redraw(&[], &block);
                // It stays; whatever comes goes below.
                self.drawn = 0;
                self.panels.clear();
                self.ending = false;
                text
            }
        };
        emit(out, &text)
    }

    fn resize(&mut self, width: usize, height: usize) {
        (self.options.width, self.options.height) = (width, height);
        // The terminal has broken the lines anew, so there is no knowing how far up the block begins.
        self.drawn = 0;
    }

    fn ending(&mut self) {
        self.ending = true;
    }
}
