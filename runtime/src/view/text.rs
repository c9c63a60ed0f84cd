//! `as text`: a paragraph for each row. Texts are wrapped, what is absent is left out.

use unicode_width::UnicodeWidthStr;

use super::escape::escape;
use super::line::{Line, Style};
use super::value;
use crate::record::{Column, Row, Table, Value};

/// In front of what belongs to a row.
const INDENT: usize = 2;
/// Columns to wrap at where there is no limit.
const WIDTH: usize = 100;

/// The rows of a table as paragraphs.
pub(super) fn body(table: &Table, limit: usize) -> Vec<Line> {
    if table.rows.is_empty() {
        return vec![Line::of(Style::Dim, "no events")];
    }
    let width = if limit == 0 { WIDTH } else { limit };
    table.rows.iter().flat_map(|row| paragraph(table, row, width)).collect()
}

fn paragraph(table: &Table, row: &Row, width: usize) -> Vec<Line> {
    let mut head = Line::default();
    for (key, of) in row.keys.iter().zip(&table.keys) {
        head.push(Style::Key, value::key(key, of.quantity).to_string());
        head.gap(INDENT);
    }
    let mut lines = if row.keys.is_empty() { Vec::new() } else { vec![head] };
    for (cell, of) in row.cells.iter().zip(&table.columns) {
        match cell {
            Value::Absent | Value::Hist(_) => {}
            Value::Text(text) => lines.extend(wrapped(text, width)),
            _ => lines.push(number(cell, of)),
        }
    }
    lines
}

fn number(cell: &Value, of: &Column) -> Line {
    let mut line = Line::of(Style::Plain, " ".repeat(INDENT));
    line.push(Style::Dim, format!("{}: ", escape(&of.name)));
    line.push(Style::Plain, value::cell(cell, of.quantity).to_string());
    line
}

/// A text in lines, broken between words.
fn wrapped(text: &str, width: usize) -> Vec<Line> {
    let room = width.saturating_sub(INDENT).max(20);
    let mut lines: Vec<String> = Vec::new();
    for word in escape(text).split(' ').filter(|w| !w.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.into_iter().map(|line| Line::of(Style::Plain, format!("{}{line}", " ".repeat(INDENT)))).collect()
}
