//! Parquet, a table or a `print` in each file; `docs/parquet.md` is its contract.
//!
//! A file is of use only when it is whole: its last record is the end.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Value as Json, json};

use super::{Renderer, json, names, print};
use crate::record::{Level, Message, Print, Quantity, Record, Table, Value};
use crate::sheet::{Cell, Head, Kind, Sheet, VERSION, unique};

/// The column that each file begins with: ns since counting began.
const AT: &str = "at_ns";
/// The column that holds what a `print` says.
const TEXT: &str = "text";

/// A file of the rows of one table, however often it is shown, or of the events of one `print`.
pub struct Parquet {
    /// None once it is finished.
    sheet: Option<Sheet>,
    /// What is known of all rows.
    kind: &'static str,
    name: String,
    columns: Vec<Json>,
    messages: Vec<Json>,
    /// What the last `show` left out, and what it lacked.
    cut: u64,
    dropped: BTreeMap<String, u64>,
}

impl Parquet {
    /// A file for records that are like this table or print, which itself is not put into it.
    ///
    /// # Errors
    /// It is neither, or its columns are none that a file can have.
    pub fn like(record: &Record) -> io::Result<Self> {
        let (kind, name, heads, columns) = match record {
            Record::Table(table) => {
                let heads = heads(table);
                let roles =
                    ["at"].into_iter().chain(table.keys.iter().map(|_| "key")).chain(["column"].into_iter().cycle());
                let errors = [None].into_iter().chain(table.keys.iter().chain(&table.columns).map(|c| c.error));
                let columns = heads.iter().zip(roles).zip(errors).map(|((head, role), error)| about(head, role, error));
                ("table", &table.name, heads.clone(), columns.collect())
            }
            Record::Print(print) => {
                let heads = heads_of_print(print);
                let last = heads.len() - 1;
                let role = |i| {
                    if i == 0 {
                        "at"
                    } else if i == last {
                        "text"
                    } else {
                        "value"
                    }
                };
                let columns = heads.iter().enumerate().map(|(i, head)| about(head, role(i), None)).collect();
                ("print", &print.name, heads, columns)
            }
            Record::Message(_) | Record::End(_) => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a table nor a print"));
            }
        };
        Ok(Self {
            sheet: Some(Sheet::new(&heads)?),
            kind,
            name: name.clone(),
            columns,
            messages: Vec::new(),
            cut: 0,
            dropped: BTreeMap::new(),
        })
    }

    fn table(&mut self, table: &Table, out: &mut dyn io::Write) -> io::Result<()> {
        (self.cut, self.dropped) = (table.cut, table.dropped.clone());
        let Some(sheet) = &mut self.sheet else { return Ok(()) };
        for row in &table.rows {
            let cells = row.keys.iter().chain(&row.cells).map(cell);
            sheet.row([at(table.at_ns)].into_iter().chain(cells), out)?;
        }
        Ok(())
    }

    fn print(&mut self, print: &Print, out: &mut dyn io::Write) -> io::Result<()> {
        let Some(sheet) = &mut self.sheet else { return Ok(()) };
        let (values, text) = (print::values(print), print::raw(print));
        let cells = values.iter().map(|(_, value, _)| cell(value));
        sheet.row([at(print.at_ns)].into_iter().chain(cells).chain([Cell::Text(&text)]), out)
    }

    fn finish(&mut self, end: Json, out: &mut dyn io::Write) -> io::Result<()> {
        let Some(sheet) = self.sheet.take() else { return Ok(()) };
        let about = json!({
            "v": VERSION,
            "type": self.kind,
            "name": self.name,
            "profinfer": env!("CARGO_PKG_VERSION"),
            "columns": self.columns,
            "cut": self.cut,
            "dropped": self.dropped,
            "messages": self.messages,
            "end": end,
        });
        sheet.finish(&about, out)
    }
}

impl Renderer for Parquet {
    fn record(&mut self, record: &Record, out: &mut dyn io::Write) -> io::Result<()> {
        match record {
            Record::Table(table) => self.table(table, out),
            Record::Print(print) => self.print(print, out),
            Record::Message(message) => {
                self.messages.push(said(message));
                Ok(())
            }
            Record::End(_) => {
                let end = serde_json::from_slice(&json::line(record)?)?;
                self.finish(end, out)
            }
        }
    }
}

/// The file of a table that is shown once.
///
/// # Errors
/// Its columns are none that a file can have.
pub fn parquet(table: &Table) -> io::Result<Vec<u8>> {
    let record = Record::Table(table.clone());
    let (mut file, mut bytes) = (Parquet::like(&record)?, Vec::new());
    file.table(table, &mut bytes)?;
    file.finish(Json::Null, &mut bytes)?;
    Ok(bytes)
}

fn heads(table: &Table) -> Vec<Head> {
    let names = names::unique(table, &[AT]);
    let columns = table.keys.iter().chain(&table.columns);
    let heads = names.iter().zip(columns).map(|(name, c)| Head::new(name, kind(c.quantity, c.whole), unit(c.quantity)));
    [Head::required(AT, Kind::Int, Some("ns"))].into_iter().chain(heads).collect()
}

fn heads_of_print(print: &Print) -> Vec<Head> {
    let values = print::values(print);
    let names = unique([AT, TEXT].into_iter().chain(values.iter().map(|(name, ..)| name.as_str())));
    // As the values, in their order.
    let wholes = print::wholes(print);
    let heads = values.iter().zip(&names[2..]).zip(wholes);
    let heads = heads.map(|(((_, _, quantity), name), whole)| Head::new(name, kind(*quantity, whole), unit(*quantity)));
    let text = Head::required(TEXT, Kind::Text, None);
    [Head::required(AT, Kind::Int, Some("ns"))].into_iter().chain(heads).chain([text]).collect()
}

/// What stands in a column, which does not hang on what values it happens to have.
fn kind(quantity: Quantity, whole: bool) -> Kind {
    match quantity {
        Quantity::Number | Quantity::Duration | Quantity::Bytes if whole => Kind::Int,
        Quantity::Number | Quantity::Duration | Quantity::Bytes => Kind::Real,
        Quantity::PerSecond | Quantity::BytesPerSecond | Quantity::Share => Kind::Real,
        Quantity::Address => Kind::Unsigned,
        Quantity::HitRates => Kind::Curve,
        Quantity::Text => Kind::Text,
        Quantity::Bool => Kind::Bool,
        Quantity::HistDuration | Quantity::HistBytes | Quantity::HistNumber => Kind::Hist,
        Quantity::HistRatio => Kind::RealHist,
    }
}

/// The unit of the numbers in a column, of a histogram that of its bounds.
fn unit(quantity: Quantity) -> Option<&'static str> {
    Some(match quantity {
        Quantity::Duration | Quantity::HistDuration => "ns",
        Quantity::Bytes | Quantity::HistBytes => "bytes",
        Quantity::PerSecond => "per second",
        Quantity::BytesPerSecond => "bytes per second",
        Quantity::Share | Quantity::HitRates => "share of one",
        Quantity::Address => "address",
        Quantity::Number | Quantity::Text | Quantity::Bool | Quantity::HistNumber | Quantity::HistRatio => return None,
    })
}

fn about(head: &Head, role: &str, error: Option<&str>) -> Json {
    json!({ "name": head.name, "role": role, "unit": head.unit, "error": error })
}

fn said(message: &Message) -> Json {
    let level = match message.level {
        Level::Info => "info",
        Level::Warning => "warning",
    };
    json!({ "level": level, "kind": message.kind, "text": message.text })
}

fn at(ns: u64) -> Cell<'static> {
    Cell::Int(i64::try_from(ns).unwrap_or(i64::MAX))
}

fn cell(value: &Value) -> Cell<'_> {
    match value {
        Value::Absent => Cell::Absent,
        Value::Int(n) => Cell::Int(*n),
        Value::Float(x) => Cell::Real(*x),
        Value::Text(text) => Cell::Text(text),
        Value::Bool(truth) => Cell::Bool(*truth),
        Value::Hist(buckets) => Cell::Hist(buckets),
        Value::Curve(shares) => Cell::Curve(shares),
    }
}
