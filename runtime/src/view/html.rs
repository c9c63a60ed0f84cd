//! A page that needs nothing else: a table, or a heatmap with every value behind the pointer.
//!
//! Whatever comes from the target is text and never markup: see [`markup`]. The page has no script, and a policy that keeps
//! a browser from running or loading any.

use std::fmt::Write as _;
use std::io;

use super::escape::escape;
use super::heat::{Axis, Heat, Picture, Place, along, number};
use super::line::{Line, paint};
use super::table::{heading, is_histogram};
use super::{Renderer, emit, hist, table, value};
use crate::record::{Quantity, Record, Row, Table, Value, ViewKind};

/// What the colours of a heatmap run through, evenly spaced, from the lowest number to the highest. Each step is as much
/// lighter than the one before as it looks.
const RAMP: [[u8; 3]; 10] = [
    [0x44, 0x01, 0x54],
    [0x48, 0x28, 0x78],
    [0x3e, 0x49, 0x89],
    [0x31, 0x68, 0x8e],
    [0x26, 0x82, 0x8e],
    [0x1f, 0x9e, 0x89],
    [0x35, 0xb7, 0x79],
    [0x6e, 0xce, 0x58],
    [0xb5, 0xde, 0x2b],
    [0xfd, 0xe7, 0x25],
];

/// The style of every page.
const STYLE: &str = "\
:root{color-scheme:light dark;--faint:#777}
body{font:14px/1.4 system-ui,sans-serif;margin:2em}
h1{font-size:1.3em}h2{font-size:1em;font-weight:normal}
.faint{color:var(--faint)}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
.rows th,.rows td{padding:.15em .8em;text-align:left;border-bottom:1px solid #8884}
.rows .n{text-align:right}
.heat th{font-weight:normal;font-size:11px;padding:0 .4em;white-space:nowrap}
.heat thead th.c{writing-mode:vertical-rl;transform:rotate(180deg);padding:.3em 0;text-align:left}
.heat tbody th{text-align:right}
.heat td{min-width:14px;height:14px;padding:0}
.heat td.g{text-align:center;color:var(--faint)}
.ramp{display:inline-block;width:12em;height:1em;vertical-align:middle;margin:0 .5em}
pre{line-height:1.2}";

/// A page for each table.
pub(super) struct Html;

impl Renderer for Html {
    fn record(&mut self, record: &Record, out: &mut dyn io::Write) -> io::Result<()> {
        match record {
            Record::Table(table) => emit(out, page(table).as_bytes()),
            _ => Ok(()),
        }
    }
}

fn page(table: &Table) -> String {
    let name = markup(&escape(&table.name));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{name}</title>\n<style>\n{STYLE}\n</style>\n\
         <h1>{name} <span class=\"faint\">at {}</span></h1>\n",
        value::duration(table.at_ns)
    );
    match Heat::of(table).filter(|_| table.view == ViewKind::Heatmap) {
        Some(heat) => pictures(&mut page, table, &heat),
        None => rows(&mut page, table),
    }
    for line in table::notes(table, 0) {
        line_of(&mut page, &line);
    }
    page.push_str("</html>\n");
    page
}

/// Text as HTML shows it: no character of it is markup, in an attribute in double quotes neither. What the target says
/// comes here through `escape`, so that none is hidden either.
pub(super) fn markup(escaped: &str) -> String {
    let mut safe = String::with_capacity(escaped.len());
    for c in escaped.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// A line that the terminal has too.
fn plain(line: &Line) -> String {
    markup(paint(std::slice::from_ref(line), false).trim_end())
}

fn line_of(page: &mut String, line: &Line) {
    // Writing into a string cannot fail, here and below.
    let _ = writeln!(page, "<p class=\"faint\">{}</p>", plain(line));
}

fn rows(page: &mut String, table: &Table) {
    if table.rows.is_empty() {
        page.push_str("<p class=\"faint\">no events</p>\n");
        return;
    }
    let is_number = |q: Quantity| !matches!(q, Quantity::Text | Quantity::Stack | Quantity::Bool);
    let class = |q: Quantity| if is_number(q) { " class=\"n\"" } else { "" };
    let shown: Vec<usize> = (0..table.columns.len()).filter(|c| !is_histogram(&table.columns[*c])).collect();
    page.push_str("<table class=\"rows\">\n<thead><tr>");
    for column in table.keys.iter().chain(shown.iter().map(|c| &table.columns[*c])) {
        let _ = write!(page, "<th{}>{}</th>", class(column.quantity), markup(&heading(column)));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        page.push_str("<tr>");
        for (column, key) in table.keys.iter().zip(&row.keys) {
            let figure = value::key(key, column.quantity).to_string();
            let _ = write!(page, "<td{}>{}</td>", class(column.quantity), markup(&figure));
        }
        for (column, cell) in shown.iter().filter_map(|c| Some((&table.columns[*c], row.cells.get(*c)?))) {
            let figure = value::cell(cell, column.quantity).to_string();
            let _ = write!(page, "<td{}>{}</td>", class(column.quantity), markup(&figure));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n</table>\n");
    if shown.len() < table.columns.len() {
        let drawn: Vec<String> = hist::body(table, 0, true, false).iter().map(plain).collect();
        let _ = writeln!(page, "<pre>{}</pre>", drawn.join("\n"));
    }
}

fn pictures(page: &mut String, table: &Table, heat: &Heat<'_>) {
    if let Some(column) = table.columns.first() {
        let [lo, hi] = [heat.scale.lo, heat.scale.hi].map(|x| markup(&heat.bound(x, column.quantity).to_string()));
        let stops: Vec<String> = RAMP.iter().map(|c| hex(*c)).collect();
        let _ = writeln!(
            page,
            "<p>{}: {lo}<span class=\"ramp\" style=\"background:linear-gradient(to right,{})\"></span>{hi} \
             <span class=\"faint\">(blank: nothing)</span></p>",
            markup(&heading(column)),
            stops.join(",")
        );
    }
    for picture in &heat.pictures {
        if !picture.further.is_empty() {
            let further = picture.further.iter();
            let keys: Vec<String> =
                further.map(|(head, v)| format!("{} {}", heading(head), value::key(v, head.quantity))).collect();
            let _ = writeln!(page, "<h2>{}</h2>", markup(&keys.join(", ")));
        }
        drawing(page, table, heat, picture);
    }
}

fn drawing(page: &mut String, table: &Table, heat: &Heat<'_>, picture: &Picture<'_>) {
    let axes = format!("{} \\ {}", heading(heat.rows.head), heading(heat.columns.head));
    let _ = write!(page, "<table class=\"heat\">\n<thead><tr><th>{}</th>", markup(&axes));
    for at in 0..heat.columns.places.len() {
        let _ = write!(page, "<th class=\"c\">{}</th>", label(&heat.columns, at));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for row in 0..heat.rows.places.len() {
        let _ = write!(page, "<tr><th>{}</th>", label(&heat.rows, row));
        for column in 0..heat.columns.places.len() {
            let is_gap = heat.rows.places[row] == Place::Gap || heat.columns.places[column] == Place::Gap;
            match picture.row(row, column) {
                _ if is_gap => page.push_str("<td class=\"g\">⋯</td>"),
                Some(found) => {
                    let color = number(found).map(|x| hex(color(heat.scale.fraction(x))));
                    let style = color.map(|c| format!(" style=\"background:{c}\"")).unwrap_or_default();
                    let _ = write!(page, "<td{style} title=\"{}\"></td>", markup(&tip(table, found)));
                }
                None => page.push_str("<td></td>"),
            }
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n</table>\n");
}

fn label(axis: &Axis<'_>, at: usize) -> String {
    if axis.places[at] == Place::Gap { "⋯".to_owned() } else { markup(&axis.label(at)) }
}

/// What a cell stands for, in full.
fn tip(table: &Table, row: &Row) -> String {
    let keys = table.keys.iter().zip(&row.keys).map(|(c, v)| format!("{} {}", heading(c), value::key(v, c.quantity)));
    let cells = table.columns.iter().zip(&row.cells).filter(|(_, v)| !matches!(v, Value::Hist(_)));
    let cells = cells.map(|(c, v)| format!("{} {}", heading(c), value::cell(v, c.quantity)));
    format!("{}: {}", keys.collect::<Vec<_>>().join(", "), cells.collect::<Vec<_>>().join(", "))
}

/// The colour so far up the scale.
fn color(fraction: f64) -> [u8; 3] {
    along(&RAMP, fraction)
}

fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_markup() {
        assert_eq!(markup("<script>alert('x')</script>"), "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;");
        assert_eq!(markup("\" onload=\"x&y"), "&quot; onload=&quot;x&amp;y");
    }

    #[test]
    fn colours_run_from_end_to_end() {
        assert_eq!([0.0, 1.0, 0.5].map(|f| hex(color(f))), ["#440154", "#fde725", "#23908c"]);
    }
}
