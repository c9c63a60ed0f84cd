//! Heatmaps for people: a cell of one or two characters, coloured or shaded, labels along both sides, the scale beneath.

use unicode_width::UnicodeWidthChar;

use super::heat::{Axis, Heat, Picture, Place, step};
use super::line::{Flow, HEAT, Line, Style, cut_middle, width};
use super::table::heading;
use super::value;
use crate::record::Table;

/// Shades where there is no colour, ascending. A blank is no number.
const SHADES: [char; 5] = ['·', '░', '▒', '▓', '█'];
/// Widest cell of a column with a short name.
const WIDEST: usize = 12;
/// Most lines of a name that is written downwards.
const TALLEST: usize = 12;
/// Spaces between labels and cells.
const GAP: usize = 2;
/// What a name above the cells is not cut below, however few they are.
const LEAST: usize = 12;

/// The pictures without the table's title; none if it has nothing to draw.
pub(super) fn body(table: &Table, limit: usize, color: bool) -> Option<Vec<Line>> {
    let heat = Heat::of(table)?;
    let labels: Vec<String> = (0..heat.rows.places.len()).map(|at| heat.rows.label(at)).collect();
    let mut label = labels.iter().map(|l| width(l)).chain([width(&heading(heat.rows.head))]).max().unwrap_or(0);
    if limit > 0 {
        label = label.min((limit / 3).max(4));
    }
    let indent = label + GAP;
    let room = if limit == 0 { usize::MAX } else { limit.saturating_sub(indent).max(1) };
    let grid = Grid::new(&heat.columns, room);
    let mut lines = Vec::new();
    for picture in &heat.pictures {
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        lines.extend(title(picture, limit));
        lines.extend(head(&heat, &grid, label));
        for (at, text) in labels.iter().enumerate() {
            let mut line = Line::default();
            let text = cut_middle(text, label);
            line.gap(if heat.rows.is_numeric() { label - width(&text) } else { 0 });
            if heat.rows.places[at] == Place::Gap {
                line.gap(label.saturating_sub(1));
                line.push(Style::Dim, "⋮");
            } else {
                line.push(Style::Key, text);
                line.pad_to(indent);
                cells(&mut line, &heat, picture, &grid, at, color);
            }
            lines.push(line);
        }
    }
    lines.extend(legend(table, &heat, limit, color));
    lines.extend(remarks(table, &grid, limit));
    Some(lines)
}

/// How the columns are drawn.
struct Grid {
    /// Characters there are beside the labels of the rows.
    room: usize,
    /// The columns of each cell.
    cells: Vec<std::ops::Range<usize>>,
    /// Characters of a cell.
    wide: usize,
    /// Columns in a cell.
    merged: usize,
    /// Columns that found no room.
    left: usize,
    names: Names,
}

/// How columns are named.
enum Names {
    /// Above the cell, as many as fit.
    Ticks(Vec<String>),
    /// Each above its cell.
    Beside(Vec<String>),
    /// Downwards.
    Down(Vec<String>),
}

impl Grid {
    /// Characters of a row.
    fn width(&self) -> usize {
        self.wide * self.cells.len()
    }

    fn new(axis: &Axis<'_>, room: usize) -> Self {
        let n = axis.places.len();
        let merged = match n.div_ceil(room) {
            0 | 1 => 1,
            _ if !axis.is_whole() => 1,
            parts => parts.next_power_of_two(),
        };
        let cells: Vec<_> = (0..n).step_by(merged).map(|at| at..(at + merged).min(n)).take(room).collect();
        let left = n - cells.last().map_or(0, |c| c.end);
        let wide = if cells.len() <= room / 2 { 2 } else { 1 };
        let labels: Vec<String> = cells.iter().map(|c| axis.label(c.start)).collect();
        let longest = labels.iter().map(|l| width(l)).max().unwrap_or(0);
        if axis.is_numeric() {
            let names = Names::Ticks(ticks(axis, &cells, &labels, wide));
            return Self { room, cells, wide, merged, left, names };
        }
        if longest < WIDEST && cells.len().saturating_mul(longest + 1) <= room {
            let wide = wide.max(longest + 1);
            return Self { room, cells, wide, merged, left, names: Names::Beside(labels) };
        }
        Self { room, cells, wide, merged, left, names: Names::Down(labels) }
    }
}

/// The labels of numbers that have room: those of a round step, the first one, and the first behind a gap.
fn ticks(axis: &Axis<'_>, cells: &[std::ops::Range<usize>], labels: &[String], wide: usize) -> Vec<String> {
    let longest = labels.iter().map(|l| width(l)).max().unwrap_or(0);
    let merged = cells.first().map_or(1, std::ops::Range::len) as i64;
    let mut steps = (0..18).flat_map(|e| [1, 2, 5].map(|m| m * 10i64.pow(e)));
    let step = steps.find(|s| longest < wide * *s as usize).unwrap_or(1);
    let first = axis.int(0).unwrap_or(0);
    let mut before_gap = true;
    let named = cells.iter().zip(labels).map(|(cell, label)| {
        let is_round = match axis.int(cell.start) {
            Some(n) if merged == 1 => n % step == 0,
            // Cells of several columns begin at round numbers only by chance.
            Some(n) => (n - first) / merged % step == 0,
            None => true,
        };
        let named = before_gap || is_round;
        before_gap = axis.places[cell.start] == Place::Gap;
        if named { label.clone() } else { String::new() }
    });
    named.collect()
}

/// The keys behind the second: which picture it is.
fn title(picture: &Picture<'_>, limit: usize) -> Vec<Line> {
    if picture.further.is_empty() {
        return Vec::new();
    }
    let mut flow = Flow::new(Line::default(), 0, limit);
    for (head, value) in &picture.further {
        let mut line = Line::of(Style::Dim, heading(head));
        line.gap(1);
        line.push(Style::Key, value::key(value, head.quantity).to_string());
        flow.item(", ", line);
    }
    flow.finish()
}

/// The names of both keys and of the columns.
fn head(heat: &Heat<'_>, grid: &Grid, label: usize) -> Vec<Line> {
    let indent = label + GAP;
    let mut above = Line::default();
    above.gap(indent);
    above.push(Style::Head, cut_middle(&heading(heat.columns.head), grid.room.min(grid.width().max(LEAST))));
    let mut lines = vec![above];
    let named = match &grid.names {
        Names::Ticks(labels) | Names::Beside(labels) => vec![along(labels, grid)],
        Names::Down(labels) => down(labels, grid.wide),
    };
    let last = named.len().saturating_sub(1);
    for (at, text) in named.into_iter().enumerate() {
        let mut line = Line::default();
        if at == last {
            let name = cut_middle(&heading(heat.rows.head), label);
            line.gap(if heat.rows.is_numeric() { label - width(&name) } else { 0 });
            line.push(Style::Head, name);
        }
        line.pad_to(indent);
        line.push(Style::Key, text.trim_end());
        lines.push(line);
    }
    lines
}

/// Labels above their cells, those that have room.
fn along(labels: &[String], grid: &Grid) -> String {
    let mut text = String::new();
    for (at, label) in labels.iter().enumerate().filter(|(_, label)| !label.is_empty()) {
        let (used, begin) = (width(&text), at * grid.wide);
        let has_room = used == 0 || used < begin;
        if has_room && begin + width(label) <= grid.room {
            text.push_str(&" ".repeat(begin - used));
            text.push_str(label);
        }
    }
    text
}

/// Labels written downwards, all ending on the last line.
fn down(labels: &[String], wide: usize) -> Vec<String> {
    let labels: Vec<Vec<char>> = labels.iter().map(|label| cut_middle(label, TALLEST).chars().collect()).collect();
    let height = labels.iter().map(Vec::len).max().unwrap_or(0);
    (0..height)
        .map(|line| {
            let mut text = String::new();
            for label in &labels {
                let c = (line + label.len()).checked_sub(height).map_or(' ', |at| label[at]);
                let c = if c.width().is_none_or(|w| w == 0 || w > wide) { '?' } else { c };
                text.push(c);
                text.push_str(&" ".repeat(wide - c.width().unwrap_or(1)));
            }
            text
        })
        .collect()
}

/// The cells of a row.
fn cells(line: &mut Line, heat: &Heat<'_>, picture: &Picture<'_>, grid: &Grid, row: usize, color: bool) {
    for cell in &grid.cells {
        if heat.columns.places[cell.start] == Place::Gap {
            line.push(Style::Dim, "⋯");
            line.gap(grid.wide - 1);
        } else {
            match picture.largest(row, cell.clone()) {
                Some(x) => shade(line, heat.scale.fraction(x), grid.wide, color),
                None => line.gap(grid.wide),
            }
        }
    }
}

/// A cell of a number that lies so far up the scale.
fn shade(line: &mut Line, fraction: f64, wide: usize, color: bool) {
    if color {
        line.push(Style::Heat(step(fraction, HEAT.len()) as u8), " ".repeat(wide));
    } else {
        line.push(Style::Plain, String::from_iter(std::iter::repeat_n(SHADES[step(fraction, SHADES.len())], wide)));
    }
}

/// What the colours mean.
fn legend(table: &Table, heat: &Heat<'_>, limit: usize, color: bool) -> Vec<Line> {
    let Some(column) = table.columns.first() else { return Vec::new() };
    let bound = |x: f64| heat.bound(x, column.quantity).to_string();
    let mut scale = Line::of(Style::Plain, bound(heat.scale.lo));
    if heat.scale.lo < heat.scale.hi {
        scale.gap(1);
        let steps = if color { HEAT.len() } else { SHADES.len() };
        (0..steps).for_each(|n| shade(&mut scale, (n as f64 + 0.5) / steps as f64, 2, color));
        scale.gap(1);
        scale.push(Style::Plain, bound(heat.scale.hi));
    } else {
        scale.gap(1);
        shade(&mut scale, 1.0, 2, color);
    }
    let mut flow = Flow::new(Line::default(), 0, limit);
    flow.item("", Line::of(Style::Head, heading(column)));
    flow.item("  ", scale);
    flow.item(", ", Line::of(Style::Dim, "blank: nothing"));
    flow.finish()
}

/// What the picture does not show.
fn remarks(table: &Table, grid: &Grid, limit: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut say = |text: &str| {
        let mut flow = Flow::new(Line::default(), 0, limit);
        flow.words(Style::Dim, text);
        lines.extend(flow.finish());
    };
    if grid.merged > 1 {
        say(&format!("a cell is the largest of {} columns", grid.merged));
    }
    if grid.left > 0 {
        let columns = if grid.left == 1 { "column" } else { "columns" };
        say(&format!("… {} more {columns} to the right; a file has them all: to \"NAME.html\"", grid.left));
    }
    let others: Vec<String> = table.columns.iter().skip(1).map(heading).collect();
    if !others.is_empty() {
        say(&format!("not shown: {}", others.join(", ")));
    }
    lines
}
