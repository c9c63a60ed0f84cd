//! JSON lines. The examples of `docs/json.md` are compared with what is written here.

use serde_json::{Value as Json, json};

use super::*;
use crate::record::{AtEvents, What};

fn lines(records: &[Record]) -> Vec<Json> {
    let out = shown(Format::Json, Options::default(), records);
    assert!(out.ends_with('\n'));
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The records of the documentation's example.
pub(super) fn example() -> Vec<Record> {
    let mut ops = ops();
    ops.cut = 23;
    ops.dropped.insert("table_full".to_owned(), 5);
    let mut layers = layers();
    layers.at_ns = 12_345_678_901;
    layers.rows.truncate(1);
    vec![
        message(Level::Info, "attached", "llama-server (pid 1234), llama.cpp since 2025-02, 14 sites"),
        Record::Table(ops),
        Record::Table(layers),
        Record::Print(prints::slow()),
        Record::End(example_end()),
    ]
}

/// An end after events were printed.
fn example_end() -> End {
    let of = |name: &str, what, done, lost| {
        let (name, point) = (name.to_owned(), "ggml_op".to_owned());
        AtEvents { name, point, what, done, lost }
    };
    End { at_events: vec![of("print", What::Printed, 1, 1234)], ..silent_end() }
}

/// The code blocks of the documentation in a language.
pub(super) fn documented(language: &str) -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/json.md");
    let page = std::fs::read_to_string(path).unwrap();
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).map(|rest| rest.split_once("```").unwrap().0.to_owned()).collect()
}

#[test]
fn the_documented_example_is_what_is_written() {
    assert_eq!(documented("jsonl").concat(), shown(Format::Json, Options::default(), &example()));
}

#[test]
fn every_field_is_documented() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/json.md")).unwrap();
    for line in lines(&example()) {
        for field in line.as_object().unwrap().keys() {
            assert!(page.contains(&format!("| `{field}` |")), "docs/json.md says nothing of {field}");
        }
    }
}

#[test]
fn values() {
    use Quantity::{Address, Bool, Number, Share, Text};
    let keys = vec![column("a", Address), column("b", Bool), column("t", Text)];
    let columns = vec![column("x", Share), column("y", Number), column("z", Number)];
    let rows = vec![
        vec![int(0x1000), Value::Bool(true), text("a\"b\n\u{202e}"), real(f64::NAN), real(f64::INFINITY), real(0.1)],
        vec![int(-1), Value::Absent, text(""), Value::Absent, int(i64::MIN), real(3.0)],
    ];
    let line = &lines(&[Record::Table(table("t", keys, columns, rows))])[0];
    assert_eq!(
        line["rows"],
        json!([
            {"a": "0x1000", "b": true, "t": "a\"b\n\u{202e}", "x": null, "y": null, "z": 0.1},
            {"a": "0xffffffffffffffff", "b": null, "t": "", "x": null, "y": i64::MIN, "z": 3.0},
        ])
    );
}

#[test]
fn open_bounds_are_null() {
    let row = vec![hist(&[(i64::MIN, 0, 3), (0, 1, 2), (1 << 62, i64::MAX, u64::MAX)])];
    let line = &lines(&[Record::Table(table("t", vec![], vec![column("h", Quantity::HistNumber)], vec![row]))])[0];
    assert_eq!(
        line["rows"][0]["h"],
        json!([
            {"lo": null, "hi": 0, "n": 3},
            {"lo": 0, "hi": 1, "n": 2},
            {"lo": 1i64 << 62, "hi": null, "n": u64::MAX},
        ])
    );
}

#[test]
fn a_table_says_what_is_missing_only_if_something_is() {
    let line = &lines(&[Record::Table(ops())])[0];
    assert_eq!(line.get("cut"), None);
    assert_eq!(line.get("dropped"), None);
    assert_eq!(line["rows"][2]["gbps"], Json::Null);
}

#[test]
fn text_that_steers_terminals_is_escaped_and_reads_back_the_same() {
    let name = "\x1b[31m\u{9b}\u{202e}\u{e0041}\u{7f}\"\\ é 世";
    let record = Record::Table(table(name, vec![], vec![], vec![]));
    let out = shown(Format::Json, Options::default(), std::slice::from_ref(&record));
    assert!(out.contains(r#""\u001b[31m\u009b\u202e\udb40\udc41\u007f\"\\ é 世""#), "{out}");
    assert_eq!(lines(&[record])[0]["name"], name);
}

#[test]
fn a_view_of_the_script_does_not_break_the_lines() {
    let table = Table { view: ViewKind::Csv, ..ops() };
    assert_eq!(lines(&[Record::Table(table)])[0]["type"], "table");
}
