//! Rows and columns: keys on the left, numbers to the right, units scaled value by value, at most `width` wide.

use super::escape::escape;
use super::line::{Flow, Line, Style, cut_middle, width};
use super::value::{self, Figure};
use crate::record::{Column, Quantity, Row, Table, Value};

/// Spaces between columns.
const GAP: usize = 2;
/// What a text is not cut below, in columns.
const SHORTEST: usize = 8;
/// Widest and narrowest bar beside a share, in columns.
const BAR: std::ops::RangeInclusive<usize> = 5..=20;

/// The line above a table or its histograms: the name, and when it was shown.
pub(super) fn title(table: &Table) -> Line {
    let mut line = Line::of(Style::Head, escape(&table.name));
    if table.at_ns > 0 {
        line.gap(GAP);
        line.push(Style::Dim, format!("at {}", value::duration(table.at_ns)));
    }
    line
}

/// The table without its histograms and without title; nothing if it has neither rows nor columns to show.
pub(super) fn body(table: &Table, limit: usize) -> Vec<Line> {
    if table.rows.is_empty() {
        return vec![Line::of(Style::Dim, "no events")];
    }
    let mut columns: Vec<Shown> = Vec::new();
    for (at, key) in table.keys.iter().enumerate() {
        columns.push(Shown::new(key, true, table.rows.iter().map(|row| row.keys.get(at)), limit));
    }
    let keys = columns.len();
    for (at, column) in table.columns.iter().enumerate().filter(|(_, column)| !is_histogram(column)) {
        columns.push(Shown::new(column, false, table.rows.iter().map(|row| row.cells.get(at)), limit));
    }
    shrink(&mut columns, limit);
    let (keys, columns) = columns.split_at(keys);
    let bands = bands(keys, columns, limit);
    let bar = if bands.len() == 1 { bar_width(keys, columns, limit) } else { None };
    let mut lines = Vec::new();
    for band in bands {
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        let shown: Vec<&Shown> = keys.iter().chain(band).collect();
        lines.push(head(&shown, bar));
        lines.extend((0..table.rows.len()).map(|row| line(&shown, row, bar)));
    }
    lines
}

/// What is said beneath: the rows that were cut off, and the counts that did not get in.
pub(super) fn notes(table: &Table, limit: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    if table.cut > 0 {
        let rows = if table.cut == 1 { "row" } else { "rows" };
        let text = format!("… {} more {rows}", value::grouped(table.cut.into()));
        lines.push(Line::of(Style::Dim, text));
    }
    if !table.dropped.is_empty() {
        let label = Line::of(Style::Warn, "dropped:");
        let mut flow = Flow::new(label, 9, limit);
        for (cause, n) in &table.dropped {
            flow.item(", ", Line::of(Style::Warn, format!("{} {}", escape(cause), value::grouped((*n).into()))));
        }
        lines.extend(flow.finish());
    }
    lines
}

/// The keys of a row on one line: `op MUL_MAT, layer 3`.
pub(super) fn row_keys(table: &Table, row: &Row) -> Vec<Line> {
    let pairs = table.keys.iter().zip(&row.keys);
    pairs
        .map(|(column, key)| {
            let mut line = Line::of(Style::Dim, escape(&column.name));
            line.gap(1);
            line.push(Style::Key, value::key(key, column.quantity).to_string());
            line
        })
        .collect()
}

/// The name of a column with the error bound of its values.
pub(super) fn heading(column: &Column) -> String {
    let name = escape(&column.name);
    column.error.map_or_else(|| name.clone().into_owned(), |error| format!("{name} {error}"))
}

/// Whether a column's values are histograms.
pub(super) fn is_histogram(column: &Column) -> bool {
    matches!(column.quantity, Quantity::HistDuration | Quantity::HistBytes | Quantity::HistNumber | Quantity::HistRatio)
}

/// A column in print.
struct Shown {
    head: String,
    key: bool,
    /// Text goes to the left and may be cut.
    text: bool,
    cells: Vec<Figure>,
    /// Each cell's share, where the column is one.
    shares: Option<Vec<f64>>,
    /// Columns for units, with the space before them.
    unit: usize,
    /// Columns of the widest cell.
    widest: usize,
    /// Columns that it gets.
    width: usize,
}

impl Shown {
    fn new<'a>(
        column: &Column,
        key: bool,
        values: impl Iterator<Item = Option<&'a Value>> + Clone,
        limit: usize,
    ) -> Self {
        let values = values.map(|value| value.unwrap_or(&Value::Absent));
        let text = matches!(column.quantity, Quantity::Text | Quantity::Stack | Quantity::Bool);
        let print = if key { value::key } else { value::cell };
        let mut cells: Vec<Figure> = values.clone().map(|value| print(value, column.quantity)).collect();
        if limit > 0 && text {
            // No text gets more than the whole line: what follows need not walk through megabytes.
            cells.iter_mut().for_each(|cell| cell.number = cut_middle(&cell.number, limit));
        }
        let shares = (column.quantity == Quantity::Share).then(|| values.map(fraction).collect());
        let unit =
            cells.iter().map(|cell| width(cell.unit)).max().map_or(0, |wide| if wide > 0 { wide + 1 } else { 0 });
        let widest = cells.iter().map(|cell| width(&cell.number)).max().unwrap_or(0) + unit;
        let head = heading(column);
        let wide = widest.max(width(&head));
        Self { head, key, text, cells, shares, unit, widest, width: wide }
    }

    /// How narrow it may get.
    fn least(&self) -> usize {
        if self.text { SHORTEST } else { self.widest.max(SHORTEST) }
    }
}

/// Takes columns from texts, the widest first, until the row fits: from keys, then cells, then the heads of numbers.
fn shrink(columns: &mut [Shown], limit: usize) {
    if limit == 0 {
        return;
    }
    let before: Vec<usize> = columns.iter().map(|column| column.width).collect();
    let may: [fn(&Shown) -> bool; 3] = [|c| c.key && c.text, |c| c.text, |_| true];
    if may.iter().any(|may| shrink_some(columns, limit, *may)) {
        return;
    }
    // It takes several bands anyway, so nothing is cut but texts that would leave no room beside them.
    let texts = columns.iter().filter(|column| column.text).count().max(1);
    for (column, width) in columns.iter_mut().zip(before) {
        column.width = if column.text { width.min((limit / 3 / texts).max(SHORTEST)) } else { width };
    }
}

/// Takes from those that may be narrower; says whether the row fits now.
fn shrink_some(columns: &mut [Shown], limit: usize, may: fn(&Shown) -> bool) -> bool {
    while total(columns.iter()) > limit {
        let widest = columns.iter_mut().filter(|c| may(c) && c.width > c.least()).max_by_key(|c| c.width);
        let Some(column) = widest else { return false };
        column.width -= 1;
    }
    true
}

/// Columns that a row takes.
fn total<'a>(columns: impl Iterator<Item = &'a Shown>) -> usize {
    columns.map(|column| column.width + GAP).sum::<usize>().saturating_sub(GAP)
}

/// Cuts the columns into groups that fit beside the keys; numbers are never cut, so one alone may be too wide.
fn bands<'a>(keys: &[Shown], columns: &'a [Shown], limit: usize) -> Vec<&'a [Shown]> {
    let mut bands = Vec::new();
    let mut rest = columns;
    while !rest.is_empty() {
        let fits = |&n: &usize| total(keys.iter().chain(&rest[..n])) <= limit;
        let n = if limit == 0 { rest.len() } else { (1..=rest.len()).rev().find(fits).unwrap_or(1) };
        let (band, after) = rest.split_at(n);
        bands.push(band);
        rest = after;
    }
    if bands.is_empty() && !keys.is_empty() {
        bands.push(columns);
    }
    bands
}

/// Columns for the bar beside each share, if there is room.
fn bar_width(keys: &[Shown], columns: &[Shown], limit: usize) -> Option<usize> {
    let bars = columns.iter().filter(|column| column.shares.is_some()).count();
    if bars == 0 {
        return None;
    }
    let room = if limit == 0 { usize::MAX } else { limit.saturating_sub(total(keys.iter().chain(columns))) };
    let wide = (room / bars).saturating_sub(1).min(*BAR.end());
    BAR.contains(&wide).then_some(wide)
}

/// The line of the names.
fn head(columns: &[&Shown], bar: Option<usize>) -> Line {
    let mut line = Line::default();
    let mut at = 0;
    for column in columns {
        let text = cut_middle(&column.head, column.width);
        line.pad_to(if column.text { at } else { at + column.width - width(&text) });
        line.push(Style::Head, text);
        at += column.width + GAP + column.bar(bar);
    }
    line
}

/// The line of a row.
fn line(columns: &[&Shown], row: usize, bar: Option<usize>) -> Line {
    let mut line = Line::default();
    let mut at = 0;
    for column in columns {
        if let Some(cell) = column.cells.get(row) {
            let style = match () {
                () if cell.number == "-" => Style::Dim,
                () if column.key => Style::Key,
                () => Style::Plain,
            };
            if column.text {
                line.pad_to(at);
                line.push(style, cut_middle(&cell.number, column.width));
            } else {
                line.pad_to((at + column.width).saturating_sub(column.unit + width(&cell.number)));
                line.push(style, cell.number.as_str());
                line.gap(1);
                line.push(Style::Dim, cell.unit);
                line.pad_to(at + column.width);
            }
        }
        if let (Some(wide), Some(shares)) = (bar, &column.shares) {
            line.pad_to(at + column.width + 1);
            line.push(Style::Dim, value::bar(shares.get(row).copied().unwrap_or(0.0), wide));
        }
        at += column.width + GAP + column.bar(bar);
    }
    line
}

impl Shown {
    /// Columns that its bar takes, with the space before it.
    fn bar(&self, bar: Option<usize>) -> usize {
        if self.shares.is_some() { bar.map_or(0, |wide| wide + 1) } else { 0 }
    }
}

/// A share as the bar shows it.
fn fraction(value: &Value) -> f64 {
    match value {
        Value::Float(x) => *x,
        Value::Int(n) => *n as f64,
        _ => 0.0,
    }
}
