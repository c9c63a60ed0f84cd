//! JSON lines, the contract with other programs; `docs/json.md` says what each field means.

use std::collections::BTreeMap;
use std::io;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::ser::{CharEscape, CompactFormatter, Formatter};

use super::escape::is_hidden;
use super::{Renderer, emit, names, print, value};
use crate::record::{AtEvents, Bucket, End, Gauge, Level, Message, Part, Print, Quantity, Record, Slice, Table, Value};

/// The version of the contract. A field that is added does not change it; one that goes or changes its meaning does.
const VERSION: u32 = 1;

/// One object a line.
pub(super) struct Json;

impl Renderer for Json {
    fn record(&mut self, record: &Record, out: &mut dyn io::Write) -> io::Result<()> {
        if matches!(record, Record::Begin(_)) {
            return Ok(());
        }
        emit(out, &line(record)?)
    }
}

/// A record as one line.
pub(super) fn line(record: &Record) -> io::Result<Vec<u8>> {
    let mut text = to_json(&Line(record))?;
    text.push(b'\n');
    Ok(text)
}

/// A histogram as it stands in a JSON row.
pub(super) fn histogram(buckets: &[Bucket], quantity: Quantity) -> io::Result<String> {
    String::from_utf8(to_json(&Histogram(buckets, quantity))?).map_err(io::Error::other)
}

/// A curve as it stands in a JSON row.
pub(super) fn curve(shares: &[f64]) -> io::Result<String> {
    String::from_utf8(to_json(&shares)?).map_err(io::Error::other)
}

pub(super) fn to_json(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, Harmless(CompactFormatter)))?;
    Ok(text)
}

/// Compact, with all that could steer a terminal as `\uXXXX`: a parser reads the same text.
struct Harmless(CompactFormatter);

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_hidden(*c)) {
            out.write_all(&rest.as_bytes()[..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = &rest[at + c.len_utf8()..];
        }
        out.write_all(rest.as_bytes())
    }

    fn write_char_escape<W: ?Sized + io::Write>(&mut self, out: &mut W, escape: CharEscape) -> io::Result<()> {
        self.0.write_char_escape(out, escape)
    }
}

struct Line<'a>(&'a Record);

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let kind = match self.0 {
            Record::Table(_) => "table",
            Record::Print(_) => "print",
            Record::Begin(_) => "begin",
            Record::Slice(_) => "slice",
            Record::Gauge(_) => "gauge",
            Record::Message(_) => "message",
            Record::End(_) => "end",
        };
        map.serialize_entry("type", kind)?;
        map.serialize_entry("v", &VERSION)?;
        match self.0 {
            Record::Table(table) => table_fields(table, &mut map)?,
            Record::Print(print) => print_fields(print, &mut map)?,
            Record::Begin(_) => {}
            Record::Slice(slice) => slice_fields(slice, &mut map)?,
            Record::Gauge(gauge) => gauge_fields(gauge, &mut map)?,
            Record::Message(message) => message_fields(message, &mut map)?,
            Record::End(end) => end_fields(end, &mut map)?,
        }
        map.end()
    }
}

fn table_fields<M: SerializeMap>(table: &Table, map: &mut M) -> Result<(), M::Error> {
    let names = names::unique(table, &[]);
    let (keys, _) = names.split_at(table.keys.len());
    map.serialize_entry("name", &table.name)?;
    map.serialize_entry("at_ns", &table.at_ns)?;
    map.serialize_entry("keys", keys)?;
    map.serialize_entry("rows", &Rows { table, names: &names })?;
    if table.cut > 0 {
        map.serialize_entry("cut", &table.cut)?;
    }
    if !table.dropped.is_empty() {
        map.serialize_entry("dropped", &table.dropped)?;
    }
    Ok(())
}

fn print_fields<M: SerializeMap>(print: &Print, map: &mut M) -> Result<(), M::Error> {
    map.serialize_entry("name", &print.name)?;
    map.serialize_entry("point", &print.point)?;
    map.serialize_entry("at_ns", &print.at_ns)?;
    map.serialize_entry("text", &print::raw(print))?;
    map.serialize_entry("values", &Details(&print::values(print)))
}

fn slice_fields<M: SerializeMap>(slice: &Slice, map: &mut M) -> Result<(), M::Error> {
    map.serialize_entry("name", &slice.name)?;
    map.serialize_entry("point", &slice.point)?;
    map.serialize_entry("at_ns", &slice.at_ns)?;
    map.serialize_entry("begin_ns", &slice.begin_ns)?;
    map.serialize_entry("dur_ns", &(slice.end_ns - slice.begin_ns))?;
    map.serialize_entry("pid", &slice.process.pid)?;
    map.serialize_entry("tid", &slice.tid)?;
    map.serialize_entry("track", &track(&slice.track))?;
    map.serialize_entry("label", &print::text(&slice.label))?;
    map.serialize_entry("details", &Details(&print::details(slice)))?;
    if !slice.parts.is_empty() {
        #[derive(serde::Serialize)]
        struct Piece<'a> {
            label: &'a str,
            begin_ns: i64,
            dur_ns: i64,
        }
        let parts =
            slice.parts.iter().map(|p| Piece { label: &p.label, begin_ns: p.begin_ns, dur_ns: p.end_ns - p.begin_ns });
        map.serialize_entry("parts", &parts.collect::<Vec<_>>())?;
    }
    Ok(())
}

fn gauge_fields<M: SerializeMap>(gauge: &Gauge, map: &mut M) -> Result<(), M::Error> {
    map.serialize_entry("name", &gauge.name)?;
    map.serialize_entry("point", &gauge.point)?;
    map.serialize_entry("at_ns", &gauge.at_ns)?;
    map.serialize_entry("pid", &gauge.process.pid)?;
    map.serialize_entry("track", &track(&gauge.track))?;
    map.serialize_entry("label", &print::text(&gauge.label))?;
    map.serialize_entry("value", &Cell { value: &gauge.value, quantity: gauge.quantity })
}

fn track(parts: &[Part]) -> Option<String> {
    (!parts.is_empty()).then(|| print::text(parts))
}

/// Values by their names, as an object.
pub(super) struct Details<'a>(pub(super) &'a [(String, &'a Value, Quantity)]);

impl Serialize for Details<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.0.iter().map(|(name, value, quantity)| (name.as_str(), Cell { value, quantity: *quantity }));
        Fields(fields).serialize(serializer)
    }
}

fn message_fields<M: SerializeMap>(message: &Message, map: &mut M) -> Result<(), M::Error> {
    let level = match message.level {
        Level::Info => "info",
        Level::Warning => "warning",
    };
    map.serialize_entry("level", level)?;
    map.serialize_entry("kind", message.kind)?;
    map.serialize_entry("text", &message.text)
}

fn end_fields<M: SerializeMap>(end: &End, map: &mut M) -> Result<(), M::Error> {
    map.serialize_entry("duration_ns", &end.duration_ns)?;
    map.serialize_entry("hits", &end.hits)?;
    map.serialize_entry("dropped", &end.dropped)?;
    map.serialize_entry("open", &end.open)?;
    map.serialize_entry("silent", &end.silent.iter().map(|silent| silent.point.as_str()).collect::<Vec<_>>())?;
    map.serialize_entry("reason", &end.reason)?;
    map.serialize_entry("kernel_bytes", &end.kernel_bytes)?;
    map.serialize_entry("layout", &end.layout)?;
    let reasons: BTreeMap<&str, &str> =
        end.silent.iter().map(|silent| (silent.point.as_str(), silent.reason.as_str())).collect();
    map.serialize_entry("silent_reasons", &reasons)?;
    if !end.counted.is_empty() {
        map.serialize_entry("counted", &end.counted)?;
        map.serialize_entry("shared", &end.shared)?;
    }
    if let Some(cost) = &end.cost {
        map.serialize_entry("cost", cost)?;
    }
    if let Some(kept) = &end.kept {
        map.serialize_entry("budget", kept)?;
    }
    if let Some(why) = &end.no_cost {
        map.serialize_entry("no_cost", why)?;
    }
    if !end.at_events.is_empty() {
        #[derive(serde::Serialize)]
        struct Done<'a> {
            name: &'a str,
            point: &'a str,
            done: u64,
            lost: u64,
        }
        let done = end.at_events.iter().map(|AtEvents { name, point, done, lost, .. }| Done {
            name,
            point,
            done: *done,
            lost: *lost,
        });
        map.serialize_entry("at_events", &done.collect::<Vec<_>>())?;
    }
    Ok(())
}

struct Rows<'a> {
    table: &'a Table,
    names: &'a [String],
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let columns = || self.table.keys.iter().chain(&self.table.columns);
        serializer.collect_seq(self.table.rows.iter().map(|row| {
            let values = row.keys.iter().chain(&row.cells);
            Fields(
                self.names
                    .iter()
                    .zip(columns().zip(values))
                    .map(|(name, (column, value))| (name.as_str(), Cell { value, quantity: column.quantity })),
            )
        }))
    }
}

/// An object of the fields that an iterator gives.
struct Fields<I>(I);

impl<'a, I: Iterator<Item = (&'a str, Cell<'a>)> + Clone> Serialize for Fields<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.clone())
    }
}

pub(super) struct Cell<'a> {
    pub(super) value: &'a Value,
    pub(super) quantity: Quantity,
}

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Absent => serializer.serialize_none(),
            Value::Int(n) if self.quantity == Quantity::Address => serializer.serialize_str(&value::address(*n)),
            Value::Int(n) => serializer.serialize_i64(*n),
            Value::Float(x) if x.is_finite() => serializer.serialize_f64(*x),
            Value::Float(_) => serializer.serialize_none(),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Bool(truth) => serializer.serialize_bool(*truth),
            Value::Hist(buckets) => Histogram(buckets, self.quantity).serialize(serializer),
            Value::Curve(shares) => shares.serialize(serializer),
        }
    }
}

struct Histogram<'a>(&'a [Bucket], Quantity);

impl Serialize for Histogram<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        #[serde(untagged)]
        enum Bound {
            Whole(i64),
            Ratio(f64),
        }
        #[derive(serde::Serialize)]
        struct Bounds {
            lo: Option<Bound>,
            hi: Option<Bound>,
            n: u64,
        }
        let bound = |n| match self.1 {
            Quantity::HistRatio => Bound::Ratio(value::ratio_bound(n)),
            _ => Bound::Whole(n),
        };
        let mut buckets = serializer.serialize_seq(Some(self.0.len()))?;
        for Bucket { lo, hi, n } in self.0.iter().copied() {
            let lo = (lo != i64::MIN).then(|| bound(lo));
            let hi = (hi != i64::MAX).then(|| bound(hi));
            buckets.serialize_element(&Bounds { lo, hi, n })?;
        }
        buckets.end()
    }
}
