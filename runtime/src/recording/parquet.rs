//! Events of a recording as Parquet: a file for each point, a row for each event. `docs/parquet.md` is the contract.
//!
//! Events go from block to row group as they come: of a recording of any length no more is kept than that.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Write};

use profinfer_compiler::plan::FIXED_ONE;
use profinfer_ebpf::layout::ABSENT;
use serde_json::{Value as Json, json};

use super::about::{Begin, Ended, Process, Source};
use super::events::{Event, Value};
use super::head::{Field, Head};
use super::reader::{Recording, Told};
use crate::sheet::{Cell, Head as Column, Kind, Sheet, VERSION, unique};

/// Columns that each file begins with: the end of the event since counting began, and as a time of the calendar (UTC); the
/// process.
const FIRST: [&str; 3] = ["at_ns", "ended", "pid"];
/// What is recorded of a process is in one of those already.
const PROCESS: &str = "pid";

/// Events that wait at most for what a call stack is, of each point: one that is never told must not keep all others.
const MAX_WAITING: usize = 65_536;

/// Why events are not written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The recording cannot be read.
    #[error("cannot read the recording: {0}")]
    Read(#[from] io::Error),
    /// The file of the point of that number cannot be written.
    #[error("{1}")]
    Write(usize, #[source] io::Error),
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exported {
    /// Events by point.
    pub events: Vec<u64>,
    /// Something had been lost when it was recorded, or the recording is not whole.
    pub losses: bool,
}

/// Writes the events of each point to its own `outs`, in the order in which they were recorded.
///
/// # Errors
/// [`ExportError`]. What is damaged is no error: what is before it is written, and the file tells of it.
pub fn export(recording: &mut Recording, outs: &mut [impl Write]) -> Result<Exported, ExportError> {
    let points = recording.head.streams.iter().enumerate();
    let points = points.map(|(i, stream)| Point::new(&stream.fields).map_err(|e| ExportError::Write(i, e)));
    let mut export =
        Export { points: points.collect::<Result<_, _>>()?, begin: Begin::default(), sources: HashMap::new() };
    let (mut processes, mut ended) = (Vec::new(), None);
    recording.read(&mut |told| {
        match told {
            Told::Begin(begin) => export.begin = begin,
            Told::Source(source) => export.source(source, outs)?,
            Told::Process(process) => processes.push(process),
            Told::Event(event) => export.event(event, outs)?,
            Told::End(end) => ended = Some(*end),
        }
        Ok::<(), ExportError>(())
    })?;
    export.rest(outs)?;
    let events = export.points.iter().map(|point| point.events).collect();
    let (begin, damage) = (export.begin, recording.damage.as_ref().map(ToString::to_string));
    for (i, (point, out)) in export.points.into_iter().zip(outs).enumerate() {
        let known = Known { begin, processes: &processes, ended: ended.as_ref(), damage: damage.as_deref() };
        let about = known.about(&recording.head, i, &point);
        point.sheet.finish(&about, out).map_err(|e| ExportError::Write(i, e))?;
    }
    let lost = |e: &Ended| !e.end.dropped.is_empty() || e.streams.iter().any(|(_, lost)| *lost > 0);
    Ok(Exported { events, losses: damage.is_some() || ended.as_ref().is_none_or(lost) })
}

/// What is being written.
struct Export {
    points: Vec<Point>,
    begin: Begin,
    /// What numbers stand for, by source.
    sources: HashMap<u64, Words>,
}

/// What numbers of a source stand for.
#[derive(Default)]
struct Words {
    enums: HashMap<String, HashMap<i64, String>>,
    stacks: HashMap<i64, String>,
}

/// A file of the events of a point.
struct Point {
    /// Of each field what it is; none if it is in another column already.
    fields: Vec<Option<What>>,
    columns: Vec<Column>,
    sheet: Sheet,
    events: u64,
    /// Events that wait for what their call stacks are: a recording tells that a moment later. None overtakes another.
    waiting: Vec<Event>,
}

/// What the numbers of a field are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Number,
    Duration,
    Bytes,
    Ratio,
    Bool,
    Address,
    Stack,
    Text,
    /// Numbers of words of the enum of this name.
    Word(String),
}

impl What {
    /// By the type that stands in the recording.
    fn of(field: &Field) -> Self {
        if field.text_bytes.is_some() {
            return Self::Text;
        }
        match field.ty.as_str() {
            "a duration" => Self::Duration,
            "a size in bytes" => Self::Bytes,
            "a ratio" => Self::Ratio,
            "a truth value" => Self::Bool,
            "a call stack" => Self::Stack,
            "an address" => Self::Address,
            ty if ty.starts_with("a pointer") => Self::Address,
            ty => ty.strip_prefix("a word of ").map_or(Self::Number, |name| Self::Word(name.to_owned())),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Number | Self::Duration | Self::Bytes => Kind::Int,
            Self::Ratio => Kind::Real,
            Self::Bool => Kind::Bool,
            Self::Address => Kind::Unsigned,
            Self::Stack => Kind::Stack,
            Self::Text | Self::Word(_) => Kind::Word,
        }
    }

    fn unit(&self) -> Option<&'static str> {
        match self {
            Self::Duration => Some("ns"),
            Self::Bytes => Some("bytes"),
            Self::Address => Some("address"),
            _ => None,
        }
    }
}

/// A value as it is shown.
enum Shown<'e> {
    Cell(Cell<'e>),
    Text(Cow<'e, str>),
}

impl Shown<'_> {
    fn cell(&self) -> Cell<'_> {
        match self {
            Self::Cell(cell) => *cell,
            Self::Text(text) => Cell::Text(text),
        }
    }
}

impl Point {
    fn new(fields: &[Field]) -> io::Result<Self> {
        let what = |field: &Field| (field.identity != PROCESS).then(|| What::of(field));
        let all: Vec<Option<What>> = fields.iter().map(what).collect();
        let shown = || fields.iter().zip(&all).filter_map(|(field, what)| Some((field, what.as_ref()?)));
        let names = unique(FIRST.into_iter().chain(shown().map(|(field, _)| field.text.as_str())));
        let (first, rest) = names.split_at(FIRST.len());
        let first = first.iter().zip([(Kind::Int, Some("ns")), (Kind::Time, Some("ns")), (Kind::Int, None)]);
        let first = first.map(|(name, (kind, unit))| Column::required(name, kind, unit));
        let rest = rest.iter().zip(shown()).map(|(name, (_, what))| Column::new(name, what.kind(), what.unit()));
        let columns: Vec<Column> = first.chain(rest).collect();
        Ok(Self { sheet: Sheet::new(&columns)?, fields: all, columns, events: 0, waiting: Vec::new() })
    }
}

impl Export {
    fn source(&mut self, source: Source, outs: &mut [impl Write]) -> Result<(), ExportError> {
        let words = self.sources.entry(source.number).or_default();
        // An enum that is told again is another one now.
        words.enums.extend(source.enums.into_iter().map(|(name, all)| (name, all.into_iter().collect())));
        words.stacks.extend(source.stacks);
        for stream in 0..self.points.len() {
            let mut waiting = std::mem::take(&mut self.points[stream].waiting).into_iter().peekable();
            while let Some(event) = waiting.next_if(|event| self.knows(event)) {
                self.write(&event, outs)?;
            }
            self.points[stream].waiting = waiting.collect();
        }
        Ok(())
    }

    fn event(&mut self, event: Event, outs: &mut [impl Write]) -> Result<(), ExportError> {
        let knows = self.knows(&event);
        match self.points.get_mut(event.stream) {
            Some(point) if !knows || !point.waiting.is_empty() => {
                point.waiting.push(event);
                if point.waiting.len() > MAX_WAITING { self.rest(outs) } else { Ok(()) }
            }
            _ => self.write(&event, outs),
        }
    }

    /// Writes what is waiting, whatever is known of it.
    fn rest(&mut self, outs: &mut [impl Write]) -> Result<(), ExportError> {
        for stream in 0..self.points.len() {
            for event in std::mem::take(&mut self.points[stream].waiting) {
                self.write(&event, outs)?;
            }
        }
        Ok(())
    }

    /// Whether it is known what all call stacks of an event are.
    fn knows(&self, event: &Event) -> bool {
        let Some(point) = self.points.get(event.stream) else { return true };
        let words = self.sources.get(&event.source);
        point.fields.iter().zip(&event.values).all(|(what, value)| match (what, value) {
            (Some(What::Stack), Value::Number(n)) => {
                *n == ABSENT || words.is_some_and(|words| words.stacks.contains_key(n))
            }
            _ => true,
        })
    }

    fn write(&mut self, event: &Event, outs: &mut [impl Write]) -> Result<(), ExportError> {
        let (Some(point), Some(out)) = (self.points.get_mut(event.stream), outs.get_mut(event.stream)) else {
            return Ok(());
        };
        point.events += 1;
        let none = Words::default();
        let words = self.sources.get(&event.source).unwrap_or(&none);
        let at = event.time.wrapping_sub(self.begin.monotonic_ns).cast_signed();
        let ended = self.begin.unix_ns.cast_signed().wrapping_add(at);
        let values = point.fields.iter().zip(&event.values);
        let shown: Vec<Shown<'_>> =
            values.filter_map(|(what, value)| Some(words.shown(what.as_ref()?, value))).collect();
        let first = [Cell::Int(at), Cell::Int(ended), Cell::Int(i64::from(event.pid))];
        let row = first.into_iter().chain(shown.iter().map(Shown::cell));
        point.sheet.row(row, out).map_err(|e| ExportError::Write(event.stream, e))
    }
}

impl Words {
    /// A value of the kernel as a script has it: words for numbers, ratios as such.
    fn shown<'e>(&'e self, what: &What, value: &'e Value) -> Shown<'e> {
        let n = match value {
            Value::Text(None) => return Shown::Cell(Cell::Absent),
            Value::Text(Some(text)) => return Shown::Text(String::from_utf8_lossy(text)),
            Value::Number(n) => *n,
        };
        let text = |text: &'e String| Shown::Cell(Cell::Text(text));
        match what {
            _ if n == ABSENT => Shown::Cell(Cell::Absent),
            What::Address if n == 0 => Shown::Cell(Cell::Absent),
            What::Number | What::Duration | What::Bytes | What::Address => Shown::Cell(Cell::Int(n)),
            What::Bool => Shown::Cell(Cell::Bool(n != 0)),
            What::Ratio => Shown::Cell(Cell::Real(n as f64 / FIXED_ONE as f64)),
            What::Stack => self.stacks.get(&n).map_or(Shown::Cell(Cell::Absent), text),
            What::Word(of) => match self.enums.get(of).and_then(|words| words.get(&n)) {
                Some(word) => text(word),
                None => Shown::Text(Cow::Owned(n.to_string())),
            },
            What::Text => Shown::Cell(Cell::Absent),
        }
    }
}

/// What is known of a recording once it was read.
struct Known<'r> {
    begin: Begin,
    processes: &'r [Process],
    ended: Option<&'r Ended>,
    damage: Option<&'r str>,
}

impl Known<'_> {
    /// What the file of a point tells of it.
    fn about(&self, head: &Head, stream: usize, point: &Point) -> Json {
        let recorded = &head.streams[stream];
        let fields = recorded.fields.iter().zip(&point.fields).filter(|(_, what)| what.is_some());
        let types = FIRST.iter().map(|_| Json::Null).chain(fields.map(|(f, _)| json!([f.ty, f.identity])));
        let columns = point.columns.iter().zip(types);
        let columns = columns.map(|(c, of)| json!({ "name": c.name, "unit": c.unit, "type": of[0], "reads": of[1] }));
        let processes = self.processes.iter().map(|p| {
            let file = |(path, build_id, sites): &(String, String, u64)| {
                json!({ "path": path, "build_id": build_id, "sites": sites })
            };
            let files: Vec<Json> = p.files.iter().map(file).collect();
            json!({ "pid": p.pid, "name": p.who, "engine": p.engine, "files": files })
        });
        let params: serde_json::Map<String, Json> =
            head.params.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({
            "v": VERSION,
            "type": "events",
            "name": recorded.point,
            "template": recorded.template,
            "profinfer": head.version,
            "kernel": head.kernel,
            "script": { "name": head.script.name, "text": head.script.text, "params": params },
            "processes": processes.collect::<Vec<_>>(),
            "columns": columns.collect::<Vec<_>>(),
            "begun_unix_ns": self.begin.unix_ns,
            "begun_monotonic_ns": self.begin.monotonic_ns,
            "duration_ns": self.ended.map(|e| e.wall_ns),
            "reason": self.ended.map(|e| &e.end.reason),
            "events": point.events,
            "lost": self.ended.and_then(|e| e.streams.get(stream)).map(|(_, lost)| lost),
            "dropped": self.ended.map(|e| &e.end.dropped),
            "whole": self.damage.is_none(),
            "damage": self.damage,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use arrow_schema::{DataType, TimeUnit};

    use super::*;
    use crate::record::End;
    use crate::recording::block::{BlockWriter, Kind as Block};
    use crate::recording::events::{Encoder, Raw};
    use crate::recording::head::{Recorded, Text};
    use crate::sheet::tests::File;

    const UNIX: u64 = 1_764_500_000_000_000_000;

    fn head() -> Head {
        let field = |text: &str, ty: &str, identity: &str, text_bytes| Field {
            text: text.into(),
            ty: ty.into(),
            identity: identity.into(),
            text_bytes,
        };
        let number = |text: &str, ty: &str| field(text, ty, text, None);
        let fields = vec![
            number("tid", "a number"),
            number("dur", "a duration"),
            field("name", "text", "t.text 16", Some(16)),
            number("pid", "a number"),
            number("op", "a word of ggml_op"),
            number("bytes", "a size in bytes"),
            number("weight", "a ratio"),
            number("big", "a truth value"),
            number("stack(user)", "a call stack"),
            number("data", "an address"),
            field("at_ns", "a number", "x.at_ns", None),
        ];
        let other = Recorded { point: "q".into(), template: "enter".into(), fields: vec![number("tid", "a number")] };
        Head {
            version: "0.1.0".into(),
            kernel: "6.18".into(),
            script: Text { name: "x.pi".into(), text: "on p < count() by op >".into() },
            params: vec![("top".into(), "5".into())],
            streams: vec![Recorded { point: "p".into(), template: "span".into(), fields }, other],
            ..Head::default()
        }
    }

    fn event(time: u64, name: &[u8; 16], numbers: [i64; 10]) -> Vec<u8> {
        let word = |n: i64| n.to_ne_bytes();
        let mut bytes = [(7u64 << 32).to_ne_bytes(), time.to_ne_bytes()].concat();
        bytes.extend(numbers[..2].iter().copied().flat_map(word));
        bytes.extend(name);
        bytes.extend(numbers[2..].iter().copied().flat_map(word));
        bytes
    }

    /// A recording, whole or cut off before its end.
    fn recording(whole: bool) -> Recording {
        let head = head();
        let mut out = BlockWriter::new(Vec::new()).unwrap();
        let mut encoder = Encoder::new(&head.streams);
        out.block(Block::Head, &head.put()).unwrap();
        out.block(Block::Begin, &Begin { monotonic_ns: 1_000, unix_ns: UNIX }.put()).unwrap();
        let source = Source {
            enums: vec![("ggml_op".into(), vec![(2, "ADD".into())])],
            stacks: vec![(5, "main;f".into())],
            ..Source::default()
        };
        out.block(Block::Source, &source.put()).unwrap();
        let process = Process { pid: 7, who: "p (pid 7)".into(), ..Process::default() };
        out.block(Block::Process, &process.put()).unwrap();
        let mut absent = [ABSENT; 10];
        absent[0] = 70;
        let mut no_name = [0; 16];
        no_name[0] = profinfer_ebpf::layout::ABSENT_TEXT;
        let events = [
            event(1_500, b"bad\xff\n\0\0\0\0\0\0\0\0\0\0\0", [70, 40, 7, 2, 4096, 1 << 31, 1, 5, -1, 3]),
            event(1_400, &no_name, absent),
            event(1_600, b"Qcur-12\0\0\0\0\0\0\0\0\0", [71, i64::MAX, 7, 99, 0, 0, 0, 6, 0, 0]),
        ];
        let raw = events.iter().map(|event| Raw { stream: 0, source: 0, event });
        out.block(Block::Events, &encoder.block(raw)).unwrap();
        if whole {
            let end = End { reason: "exit".into(), dropped: [("ring_full".to_owned(), 4)].into(), ..End::default() };
            let ended = Ended { end, stopped_ns: 800, wall_ns: 900, streams: vec![(3, 4), (0, 0)] };
            out.block(Block::End, &ended.put()).unwrap();
        }
        Recording::new(Box::new(Cursor::new(out.into_inner())), "it").unwrap()
    }

    fn exported(whole: bool) -> (Exported, [File; 2]) {
        let mut outs = [Vec::new(), Vec::new()];
        let done = export(&mut recording(whole), &mut outs).unwrap();
        (done, outs.map(|bytes| File::read(&bytes)))
    }

    #[test]
    fn events_are_rows_of_typed_columns() {
        let (done, [p, q]) = exported(true);
        assert_eq!(done, Exported { events: vec![3, 0], losses: true });
        let word = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let types: Vec<_> =
            p.columns.iter().map(|(n, ty, unit, null)| (n.as_str(), ty, unit.as_deref(), *null)).collect();
        assert_eq!(
            types[..10],
            [
                ("at_ns", &DataType::Int64, Some("ns"), false),
                ("ended", &DataType::Timestamp(TimeUnit::Nanosecond, None), Some("ns"), false),
                ("pid", &DataType::Int64, None, false),
                ("tid", &DataType::Int64, None, true),
                ("dur", &DataType::Int64, Some("ns"), true),
                ("name", &word, None, true),
                ("op", &word, None, true),
                ("bytes", &DataType::Int64, Some("bytes"), true),
                ("weight", &DataType::Float64, None, true),
                ("big", &DataType::Boolean, None, true),
            ]
        );
        assert_eq!(
            types[11..],
            [("data", &DataType::UInt64, Some("address"), true), ("at_ns_2", &DataType::Int64, None, true)]
        );
        let first =
            json!([500, UNIX + 500, 7, 70, 40, "bad\u{fffd}\n", "ADD", 4096, 0.5, true, ["main", "f"], u64::MAX, 3]);
        let second = json!([400, UNIX + 400, 7, 70, null, null, null, null, null, null, null, null, null]);
        // A number without a word, a stack that nothing is known of, and no address.
        let third = json!([600, UNIX + 600, 7, 71, i64::MAX, "Qcur-12", "99", 0, 0.0, false, null, null, 0]);
        let rows: Vec<Json> = p.rows.iter().map(|row| json!(row)).collect();
        assert_eq!(rows, [first, second, third]);
        assert_eq!((q.columns.len(), q.rows.len()), (4, 0), "a point without events has a file, too");
        let about = &p.about;
        for (at, expected) in [
            ("/type", json!("events")),
            ("/name", json!("p")),
            ("/script/text", json!("on p < count() by op >")),
            ("/script/params/top", json!("5")),
            ("/processes/0/name", json!("p (pid 7)")),
            ("/columns/6", json!({"name": "op", "unit": null, "type": "a word of ggml_op", "reads": "op"})),
            ("/begun_unix_ns", json!(UNIX)),
            ("/events", json!(3)),
            ("/lost", json!(4)),
            ("/dropped", json!({"ring_full": 4})),
            ("/whole", json!(true)),
        ] {
            assert_eq!(about.pointer(at), Some(&expected), "{at}");
        }
    }

    #[test]
    fn of_a_recording_that_was_cut_off_all_before_is_there() {
        let (done, [p, _]) = exported(false);
        assert_eq!(done, Exported { events: vec![3, 0], losses: true });
        assert_eq!(p.rows, exported(true).1[0].rows);
        assert_eq!((&p.about["whole"], &p.about["lost"]), (&json!(false), &Json::Null));
        assert!(p.about["damage"].as_str().is_some_and(|text| !text.is_empty()));
    }

    #[test]
    fn the_file_that_cannot_be_written_is_told() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = export(&mut recording(true), &mut [Full, Full]).unwrap_err();
        assert!(matches!(&error, ExportError::Write(0, e) if e.kind() == io::ErrorKind::StorageFull), "{error:?}");
    }
}
