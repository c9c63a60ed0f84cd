//! Replays of recordings made by hand: what is absent, when timers fire, what ends a run.

use std::collections::HashMap;
use std::io::{self, Cursor};
use std::path::Path;

use profinfer_compiler::recording::recording;
use profinfer_compiler::{Compiled, Leaves};
use profinfer_ebpf::layout::{ABSENT, ABSENT_TEXT};

use super::*;
use crate::engine::{Description, descriptions};
use crate::record::{Table, Value as Cell};
use crate::recording::about::Begin;
use crate::recording::block::{BlockWriter, Kind};
use crate::recording::events::{Encoder, Raw};
use crate::script::Script;

pub(crate) const START: u64 = 1_000_000_000_000;
const MS: u64 = 1_000_000;

fn description() -> Description {
    descriptions().unwrap().remove(0)
}

fn compiled(text: &str) -> Compiled {
    Script::parse("x.pi", text).compile_leaves(&description(), (&[], true), Leaves::Fields).unwrap()
}

/// A field of an event.
pub(crate) enum Is<'t> {
    Number(i64),
    Word(&'t str),
    Text(&'t str),
    Absent,
}

/// An event: how many ms after the beginning it ended, and those of its fields that matter.
pub(crate) type Made<'t> = (&'t str, u64, Vec<(&'t str, Is<'t>)>);

/// A recording of a script with these events.
fn recorded(text: &str, events: &[Made<'_>], ended_ms: u64) -> Recording {
    Recording::new(Box::new(Cursor::new(recorded_bytes(text, events, ended_ms))), "it").unwrap()
}

/// The file of such a recording.
pub(crate) fn recorded_bytes(text: &str, events: &[Made<'_>], ended_ms: u64) -> Vec<u8> {
    let made = recording(&compiled(text));
    let facts = nominal::facts(&made.plan, Arch::host());
    let head = Head { streams: made.streams.iter().map(Into::into).collect(), ..Head::default() };
    let mut out = BlockWriter::new(Vec::new()).unwrap();
    out.block(Kind::Head, &head.put()).unwrap();
    out.block(Kind::Begin, &Begin { monotonic_ns: START, unix_ns: 0 }.put()).unwrap();
    let events: Vec<(usize, Vec<u8>)> = events
        .iter()
        .map(|(point, ms, fields)| {
            let stream = head.streams.iter().position(|s| s.point == *point).unwrap();
            let mut bytes = (7u64 << 32).to_ne_bytes().to_vec();
            bytes.extend((START + ms * MS).to_ne_bytes());
            for field in &head.streams[stream].fields {
                let end = bytes.len() + field.bytes();
                match fields.iter().find(|(name, _)| *name == field.text) {
                    Some((_, Is::Number(n))) => bytes.extend(n.to_ne_bytes()),
                    Some((_, Is::Word(word))) => bytes.extend(facts.number("ggml_op", word).unwrap().to_ne_bytes()),
                    Some((_, Is::Text(text))) => bytes.extend(text.as_bytes()),
                    Some((_, Is::Absent)) | None if field.text_bytes.is_some() => bytes.push(ABSENT_TEXT),
                    Some((_, Is::Absent)) => bytes.extend(ABSENT.to_ne_bytes()),
                    None => bytes.extend(0i64.to_ne_bytes()),
                }
                bytes.resize(end, 0);
            }
            (stream, bytes)
        })
        .collect();
    let raw = events.iter().map(|(stream, event)| Raw { stream: *stream, source: 0, event });
    out.block(Kind::Events, &Encoder::new(&head.streams).block(raw)).unwrap();
    let (stopped_ns, wall_ns) = (ended_ms * MS, ended_ms * MS);
    out.block(Kind::End, &Ended { stopped_ns, wall_ns, ..Ended::default() }.put()).unwrap();
    out.into_inner()
}

#[derive(Default)]
struct Kept(Vec<Record>);

impl Sink for Kept {
    fn record(&mut self, record: &Record) -> io::Result<()> {
        self.0.push(record.clone());
        Ok(())
    }
}

fn replayed(text: &str, recording: &mut Recording, is_same: bool) -> Vec<Record> {
    let compiled = compiled(text);
    let mut kept = Kept::default();
    let replay = Replay::new(&compiled.plan, &recording.head, is_same).unwrap();
    replay.go(recording, &mut kept).unwrap();
    assert_eq!(recording.damage, None);
    kept.0
}

fn tables(records: &[Record]) -> Vec<&Table> {
    records.iter().filter_map(|r| if let Record::Table(t) = r { Some(t) } else { None }).collect()
}

/// Rows as text: keys and cells.
fn rows(table: &Table) -> Vec<String> {
    let cell = |value: &Cell| match value {
        Cell::Absent => "-".to_owned(),
        Cell::Int(n) => n.to_string(),
        Cell::Text(text) => text.clone(),
        Cell::Bool(b) => b.to_string(),
        other => format!("{other:?}"),
    };
    table.rows.iter().map(|r| r.keys.iter().chain(&r.cells).map(cell).collect::<Vec<_>>().join(" ")).collect()
}

fn op(ms: u64, word: &'static str, dur: i64) -> Made<'static> {
    ("ggml_op", ms, vec![("op", Is::Word(word)), ("dur", Is::Number(dur))])
}

#[test]
fn conditions_and_sums_are_those_of_the_language() {
    let text = "on ggml_op where (dur > 10 * 1ns and op != ADD) < n = count(), s = sum(dur), l = min(dur), m = max(dur) by op >
                on ggml_op(MUL_*) < n = count() into products >";
    let events =
        [op(1, "MUL_MAT", 10), op(2, "MUL_MAT", 11), op(3, "ADD", 99), op(4, "MUL_MAT", 30), op(5, "ROPE", 12)];
    let records = replayed(text, &mut recorded(text, &events, 9), true);
    let tables = tables(&records);
    assert_eq!(rows(tables[0]), ["MUL_MAT 2 41 11 30", "ROPE 1 12 12 12"]);
    assert_eq!(rows(tables[1]), ["3"]);
}

#[test]
fn what_is_absent_is_left_out_and_a_key_of_its_own() {
    let text =
        "on ggml_op < n = count(), s = sum(src2.ne[0]), l = min(src2.ne[0]), more = sum(src2.ne[0] + 1) by layer >
                on ggml_op where (src2.ne[0] != 3) < n = count() into unequal >
                on ggml_op where (not (src2.ne[0] = 3)) < n = count() into reversed >";
    let event = |ms, name, ne| ("ggml_op", ms, vec![("name", Is::Text(name)), ("src2.ne[0]", ne)]);
    let events = [
        event(1, "Qcur-4", Is::Number(3)),
        event(2, "Qcur-4", Is::Absent),
        event(3, "Qcur-4", Is::Number(5)),
        event(4, "norm", Is::Absent),
    ];
    let records = replayed(text, &mut recorded(text, &events, 9), true);
    let tables = tables(&records);
    assert_eq!(rows(tables[0]), ["4 3 8 3 10", "- 1 - - -"]);
    assert_eq!((rows(tables[1]), rows(tables[2])), (vec!["1".to_owned()], vec!["3".to_owned()]));
}

#[test]
fn timers_fire_at_their_times() {
    let text = "on ggml_op < n = count() into t > every 10ms < show t; clear t > end < show t >";
    let events = [op(3, "ADD", 1), op(10, "ADD", 1), op(11, "ADD", 1), op(35, "ADD", 1)];
    let records = replayed(text, &mut recorded(text, &events, 38), true);
    let shown: Vec<_> = tables(&records).iter().map(|t| (t.at_ns / MS, rows(t).join(""))).collect();
    let row = |at, n: &str| (at, n.to_owned());
    // The one that ends as a timer fires is before it.
    assert_eq!(shown, [row(10, "2"), row(20, "1"), row(30, ""), row(38, "1")]);
}

#[test]
fn an_exit_leaves_out_what_began_after_it() {
    let text = "on ggml_op < n = count() > after 10ms < exit >";
    // The second began before, and ended after.
    let events = [op(3, "ADD", 1), op(12, "ADD", 5 * MS as i64), op(13, "ADD", 1)];
    let records = replayed(text, &mut recorded(text, &events, 20), false);
    assert_eq!(rows(tables(&records)[0]), ["2"]);
    // Of the recording's own script all count: it has ended the recording.
    let records = replayed(text, &mut recorded(text, &events, 20), true);
    assert_eq!(rows(tables(&records)[0]), ["3"]);
}

#[test]
fn what_is_printed_comes_in_the_order_of_its_times() {
    let text = "on ggml_op < print(\"{op} {dur}\") >";
    let events = [op(2, "ADD", 7), op(1, "MUL", 8), op(40, "ROPE", 9)];
    let records = replayed(text, &mut recorded(text, &events, 50), true);
    let times: Vec<u64> =
        records.iter().filter_map(|r| if let Record::Print(p) = r { Some(p.at_ns / MS) } else { None }).collect();
    assert_eq!(times, [1, 2, 40]);
}

#[test]
fn what_was_not_recorded_is_named() {
    let events = [op(1, "ADD", 1)];
    let recording = recorded("on ggml_op < count() by op >", &events, 2);
    let said = |text: &str| {
        let compiled = compiled(text);
        Replay::new(&compiled.plan, &recording.head, false).err().map(|e| e.to_string()).unwrap_or_default()
    };
    assert_eq!(said("on ggml_op where (dur > 1ms) < sum(dur), max(dur) by op, tid, pid >"), "");
    let lacks = said("on ggml_op < sum(src0.ne[1]) by op, name >");
    assert!(
        lacks.starts_with("the recording lacks `src0.ne[1]`, `name` of ggml_op")
            || lacks.starts_with("the recording lacks `name`, `src0.ne[1]` of ggml_op"),
        "{lacks}"
    );
    assert!(said("on llama_ubatch < count() >").contains("no events of llama_ubatch, only those of ggml_op"));
}

/// All that profinfer brings can be recorded, and what is recorded is enough for it.
#[test]
fn every_stock_script_finds_what_it_reads_in_its_own_recording() {
    let mut streams = HashMap::new();
    for script in profinfer_scripts::SCRIPTS {
        let read = Script::read(Path::new(script.path)).unwrap();
        for leaves in [Leaves::Fields, Leaves::Both] {
            let compiled = read.compile_leaves(&description(), (&[], true), leaves).unwrap();
            let made = recording(&compiled);
            let head = Head { streams: made.streams.iter().map(Into::into).collect(), ..Head::default() };
            let again = read.compile_leaves(&description(), (&[], true), Leaves::Fields).unwrap();
            assert!(bind(&again.plan, &head).is_ok(), "{}", script.path);
            streams.insert((script.path, leaves == Leaves::Both), head.streams);
        }
        // What is recorded does not hang on whether the tables are filled as well.
        assert_eq!(streams[&(script.path, false)], streams[&(script.path, true)], "{}", script.path);
    }
}
