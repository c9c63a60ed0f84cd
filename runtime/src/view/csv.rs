//! CSV after RFC 4180, with a line feed as line end; `docs/json.md` says what stands where.
//!
//! Messages, the end, and the counts that a table left out have no place here: [`aside`](super::aside) gives them as
//! text for standard error.

use std::io;

use super::escape::escape;
use super::{Renderer, emit, json, names, print, value};
use crate::record::{Gauge, Part, Print, Quantity, Record, Slice, Table, Value};

/// Columns that each table begins with.
const FIRST: [&str; 2] = ["table", "at_ns"];

/// Tables below each other, a head line where the columns change.
#[derive(Default)]
pub(super) struct Csv {
    /// Name and head of the table before.
    before: Option<(String, String)>,
}

impl Renderer for Csv {
    fn record(&mut self, record: &Record, out: &mut dyn io::Write) -> io::Result<()> {
        match record {
            Record::Table(table) => emit(out, self.table(table)?.as_bytes()),
            Record::Print(print) => emit(out, self.print(print)?.as_bytes()),
            Record::Slice(slice) => emit(out, self.slice(slice)?.as_bytes()),
            Record::Gauge(gauge) => emit(out, self.gauge(gauge)?.as_bytes()),
            Record::Message(_) | Record::Begin(_) | Record::End(_) => Ok(()),
        }
    }
}

impl Csv {
    /// An event as a row of a table that is called as its `print`.
    fn print(&mut self, print: &Print) -> io::Result<String> {
        let values = print::values(print);
        let names = FIRST.iter().copied().chain(values.iter().map(|(name, ..)| name.as_str())).chain(["text"]);
        let head = record(names.map(field));
        let mut text = self.head(&print.name, head);
        let cells = values.iter().map(|(_, value, quantity)| cell(value, *quantity)).collect::<io::Result<Vec<_>>>()?;
        let first = [field(&print.name), print.at_ns.to_string()];
        let all = first.into_iter().chain(cells).chain([field(&print::raw(print))]);
        text.push_str(&record(all));
        Ok(text)
    }

    /// An event of a timeline as a row of a table that is called as its `slice`.
    fn slice(&mut self, slice: &Slice) -> io::Result<String> {
        const COLUMNS: [&str; 6] = ["begin_ns", "dur_ns", "pid", "tid", "track", "label"];
        let details = print::details(slice);
        let names = FIRST.into_iter().chain(COLUMNS).chain(details.iter().map(|(name, ..)| name.as_str()));
        let head = record(names.map(field));
        let mut text = self.head(&slice.name, head);
        let first = [
            field(&slice.name),
            slice.at_ns.to_string(),
            slice.begin_ns.to_string(),
            (slice.end_ns - slice.begin_ns).to_string(),
            slice.process.pid.to_string(),
            slice.tid.to_string(),
            track(&slice.track),
            field(&print::text(&slice.label)),
        ];
        let cells =
            details.iter().map(|(_, value, quantity)| cell(value, *quantity)).collect::<io::Result<Vec<_>>>()?;
        text.push_str(&record(first.into_iter().chain(cells)));
        Ok(text)
    }

    /// A number of a timeline as a row of a table that is called as its `gauge`.
    fn gauge(&mut self, gauge: &Gauge) -> io::Result<String> {
        let head = record(FIRST.into_iter().chain(["pid", "track", "label", "value"]).map(field));
        let mut text = self.head(&gauge.name, head);
        let cells = [
            field(&gauge.name),
            gauge.at_ns.to_string(),
            gauge.process.pid.to_string(),
            track(&gauge.track),
            field(&print::text(&gauge.label)),
            cell(&gauge.value, gauge.quantity)?,
        ];
        text.push_str(&record(cells.into_iter()));
        Ok(text)
    }

    /// The head line of a table, unless it is that of the one before; behind an empty line if another one is.
    fn head(&mut self, name: &str, head: String) -> String {
        let mut text = String::new();
        let now = (name.to_owned(), head);
        if self.before.as_ref() != Some(&now) {
            if self.before.is_some() {
                text.push('\n');
            }
            text.push_str(&now.1);
            self.before = Some(now);
        }
        text
    }

    /// A table as lines, behind an empty one if another table stands before it.
    pub(super) fn table(&mut self, table: &Table) -> io::Result<String> {
        let names = names::unique(table, &FIRST);
        let head = record(FIRST.iter().map(|name| field(name)).chain(names.iter().map(|name| field(name))));
        let mut text = self.head(&table.name, head);
        for row in &table.rows {
            let first = [field(&table.name), table.at_ns.to_string()];
            let columns = table.keys.iter().chain(&table.columns);
            let cells = columns.zip(row.keys.iter().chain(&row.cells));
            let cells = cells.map(|(column, value)| cell(value, column.quantity)).collect::<io::Result<Vec<_>>>()?;
            text.push_str(&record(first.into_iter().chain(cells)));
        }
        Ok(text)
    }
}

/// The name of a track; nothing for the thread's, or the process itself.
fn track(parts: &[Part]) -> String {
    if parts.is_empty() { String::new() } else { field(&print::text(parts)) }
}

fn record(fields: impl Iterator<Item = String>) -> String {
    fields.collect::<Vec<_>>().join(",") + "\n"
}

fn cell(value: &Value, quantity: Quantity) -> io::Result<String> {
    Ok(match value {
        Value::Absent => String::new(),
        Value::Int(n) if quantity == Quantity::Address => value::address(*n),
        Value::Int(n) => n.to_string(),
        // Debug prints what reads back as the same number, with an exponent where it is long.
        Value::Float(x) if x.is_finite() => format!("{x:?}"),
        Value::Float(_) => String::new(),
        Value::Text(text) => field(text),
        Value::Bool(truth) => truth.to_string(),
        Value::Hist(buckets) => quoted(&json::histogram(buckets, quantity)?),
        Value::Curve(shares) => quoted(&json::curve(shares)?),
    })
}

/// A text: control characters escaped, no formula for a spreadsheet, in quotes where it needs them.
fn field(text: &str) -> String {
    let text = escape(text);
    let formula = text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    // A leading apostrophe is doubled, so that one taken off always gives the text back.
    let text = if formula || text.starts_with('\'') { format!("'{text}") } else { text.into_owned() };
    // Quotes also tell an empty text from one that is absent, and keep spaces at the ends.
    let plain = !text.is_empty() && text.trim() == text && !text.contains([',', '"', '\n', '\r']);
    if plain { text } else { quoted(&text) }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_where_they_must_be() {
        assert_eq!(field("plain text"), "plain text");
        assert_eq!(field("a,b"), "\"a,b\"");
        assert_eq!(field("say \"x\""), "\"say \"\"x\"\"\"");
        assert_eq!(field(""), "\"\"");
        assert_eq!(field(" x"), "\" x\"");
        assert_eq!(field("two\nlines\x1b[1m"), "two\\u{a}lines\\u{1b}[1m");
    }

    #[test]
    fn no_text_is_a_formula() {
        assert_eq!(field("=1+1"), "'=1+1");
        assert_eq!(field("=HYPERLINK(\"http://x\",\"y\")"), "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\"");
        for text in ["+1", "-1", "@SUM(A1)", "  =1", "＝1"] {
            assert!(field(text).trim_matches('"').starts_with('\''), "{text}");
        }
        assert_eq!(field("\t=1"), "\\u{9}=1", "a tab is no longer one");
        assert_eq!(field("'quoted"), "''quoted");
        assert_eq!(cell(&Value::Int(-5), Quantity::Number).unwrap(), "-5", "numbers stay numbers");
    }
}
