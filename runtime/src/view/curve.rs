//! Hit rates by the size of a cache: a line per size with the rate and a bar for each column.

use super::line::{Flow, Line, Style, width};
use super::table::{heading, is_histogram, row_keys};
use super::value;
use crate::record::{Column, Quantity, Row, Table, Value};

/// Widest bar, in columns.
const WIDEST: usize = 40;
/// Columns that a rate takes: `99.99 %` at most, and `100 %`.
const RATE: usize = 7;
/// What the sizes are.
const ENTRIES: &str = "entries";

/// Whether a column's values are rates by size.
pub(super) fn is_curve(column: &Column) -> bool {
    column.quantity == Quantity::HitRates
}

fn is_number(column: &Column) -> bool {
    !is_curve(column) && !is_histogram(column)
}

/// The rates of all rows, without the table's title; an empty line between two of them. `blocks` draws bars of block
/// characters, else of `@`.
pub(super) fn body(table: &Table, limit: usize, blocks: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    for row in &table.rows {
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        if !table.keys.is_empty() || table.columns.iter().any(is_number) {
            lines.extend(title(table, row, limit));
        }
        lines.extend(draw(table, row, limit, blocks));
    }
    lines
}

/// The row's keys and its columns that are numbers.
fn title(table: &Table, row: &Row, limit: usize) -> Vec<Line> {
    let mut flow = Flow::new(Line::default(), 2, limit);
    let numbers = table.columns.iter().zip(&row.cells).filter(|(column, _)| is_number(column));
    let numbers = numbers.map(|(column, cell)| {
        let mut line = Line::of(Style::Dim, heading(column));
        line.gap(1);
        line.push(Style::Plain, value::cell(cell, column.quantity).to_string());
        line
    });
    for item in row_keys(table, row).into_iter().chain(numbers) {
        flow.item(", ", item);
    }
    flow.finish()
}

fn draw(table: &Table, row: &Row, limit: usize, blocks: bool) -> Vec<Line> {
    let curves: Vec<(&Column, &[f64])> = table
        .columns
        .iter()
        .zip(&row.cells)
        .filter_map(|(column, cell)| match cell {
            Value::Curve(rates) => Some((column, &rates[..])),
            _ => None,
        })
        .collect();
    let sizes = curves.iter().map(|(_, rates)| rates.len()).max().unwrap_or(0);
    if sizes == 0 {
        let mut line = Line::default();
        line.gap(2);
        line.push(Style::Dim, "no values");
        return vec![line];
    }
    let indent = ENTRIES.len() + 2;
    let each = if limit == 0 { WIDEST } else { limit.saturating_sub(indent) / curves.len().max(1) };
    let room = each.saturating_sub(RATE + 3).clamp(6, WIDEST);
    let begin = |at: usize| indent + 2 + at * (RATE + 3 + room);
    let mut head = Line::default();
    head.gap(2);
    head.push(Style::Head, ENTRIES);
    for (at, (column, _)) in curves.iter().enumerate() {
        head.pad_to(begin(at));
        head.push(Style::Head, heading(column));
    }
    let mut lines = vec![head];
    for size in 1..=sizes {
        let mut line = Line::default();
        let number = size.to_string();
        line.pad_to(2 + ENTRIES.len() - number.len());
        line.push(Style::Plain, number);
        for (at, (column, rates)) in curves.iter().enumerate() {
            // A cache that holds all that ever came hits no more when it is larger.
            let Some(rate) = rates.get(size - 1).or(rates.last()) else { continue };
            let figure = value::cell(&Value::Float(*rate), column.quantity).to_string();
            line.pad_to(begin(at) + RATE.saturating_sub(width(&figure)));
            line.push(Style::Plain, figure);
            line.gap(1);
            if blocks {
                line.push(Style::Key, value::bar(*rate, room));
            } else {
                line.push(Style::Plain, "@".repeat((rate * room as f64).round() as usize));
            }
        }
        lines.push(line);
    }
    lines
}
