//! Golden output of every format, from records such as the stock scripts make.

mod cost;
mod counters;
mod csv;
mod graph;
mod heatmap;
mod html;
mod json;
mod live;
mod plain;
mod prints;
mod terminal;
mod text;

use std::collections::BTreeMap;

use super::{Format, Options, renderer};
use crate::record::{Bucket, Column, End, Level, Message, Quantity, Record, Row, Silent, Table, Value, ViewKind};

/// A column without an error bound.
pub(super) fn column(name: &str, quantity: Quantity) -> Column {
    Column { name: name.to_owned(), quantity, error: None }
}

/// A table whose rows are the keys and cells in one list each.
pub(super) fn table(name: &str, keys: Vec<Column>, columns: Vec<Column>, rows: Vec<Vec<Value>>) -> Table {
    let split = keys.len();
    let rows = rows
        .into_iter()
        .map(|mut row| {
            let cells = row.split_off(split);
            Row { keys: row, cells }
        })
        .collect();
    Table {
        name: name.to_owned(),
        at_ns: 1_000_000_000,
        view: ViewKind::Table,
        keys,
        columns,
        rows,
        cut: 0,
        dropped: BTreeMap::new(),
        to: None,
    }
}

fn int(n: i64) -> Value {
    Value::Int(n)
}

fn real(x: f64) -> Value {
    Value::Float(x)
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn hist(buckets: &[(i64, i64, u64)]) -> Value {
    Value::Hist(buckets.iter().map(|&(lo, hi, n)| Bucket { lo, hi, n }).collect())
}

/// `on ggml_op < calls = count(), total = sum(dur), share(dur), gbps = sum(bytes) / sum(dur) by op, backend into ops >`
fn ops() -> Table {
    use Quantity::{BytesPerSecond, Duration, Number, Share, Text};
    table(
        "ops",
        vec![column("op", Text), column("backend", Text)],
        vec![
            column("calls", Number),
            column("total", Duration),
            column("share(dur)", Share),
            column("gbps", BytesPerSecond),
        ],
        vec![
            vec![text("MUL_MAT"), text("CPU"), int(12_345), int(979_400_000), real(0.9794), real(12.34e9)],
            vec![text("SOFT_MAX"), text("CPU"), int(960), int(12_031_000), real(0.012_031), real(812e6)],
            vec![text("GET_ROWS"), text("CPU"), int(32), int(8_569), real(0.000_008_569), Value::Absent],
        ],
    )
}

/// `on ggml_op < count(), p = hist(dur) by layer >`
fn layers() -> Table {
    table(
        "ggml_op",
        vec![column("layer", Quantity::Number)],
        vec![column("count()", Quantity::Number), column("p", Quantity::HistDuration)],
        vec![
            vec![int(0), int(1_323), hist(&[(1 << 20, 1 << 21, 1_234), (1 << 21, 1 << 22, 80), (1 << 24, 1 << 25, 9)])],
            vec![Value::Absent, int(2), hist(&[(512, 1_024, 1), (1 << 25, 1 << 26, 1)])],
        ],
    )
}

fn silent_end() -> End {
    End {
        at_events: vec![],
        duration_ns: 12_345_678_901,
        reason: "target exited".to_owned(),
        hits: BTreeMap::from([
            ("ggml_op".to_owned(), 1_234_567),
            ("ggml_work".to_owned(), 4_938_268),
            ("llama_ubatch".to_owned(), 1_024),
            ("moe_route".to_owned(), 0),
        ]),
        dropped: BTreeMap::from([("ring_full".to_owned(), 1_234), ("failed_read".to_owned(), 2)]),
        open: 2,
        silent: vec![Silent {
            point: "moe_route".to_owned(),
            reason: "no tensor is called ffn_moe_topk-N: the model has no experts, or this build names them otherwise"
                .to_owned(),
        }],
        kernel_bytes: 1_310_720,
        layout: "checked".to_owned(),
        ..End::default()
    }
}

fn message(level: Level, kind: &'static str, text: &str) -> Record {
    Record::Message(Message { level, kind, text: text.to_owned() })
}

/// What a format makes of records.
fn shown(format: Format, options: Options, records: &[Record]) -> String {
    let mut renderer = renderer(format, options);
    let mut out = Vec::new();
    for record in records {
        renderer.record(record, &mut out).unwrap();
    }
    String::from_utf8(out).unwrap()
}

/// What people see of a table, 80 columns wide and without colour.
fn drawn(table: Table) -> String {
    shown(Format::Table, Options::default(), &[Record::Table(table)])
}

/// Every byte that is not plain text, readable.
fn visible(text: &str) -> String {
    text.replace('\x1b', "␛").replace('\r', "␍")
}

#[test]
fn what_the_pipe_says_is_passed_up() {
    struct Broken;
    impl std::io::Write for Broken {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let live = Options { live: true, ..Options::default() };
    let formats = [Format::Table, Format::Json, Format::Csv].map(|format| (format, Options::default()));
    for (format, options) in formats.into_iter().chain([(Format::Table, live)]) {
        let error = renderer(format, options).record(&Record::Table(ops()), &mut Broken).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe, "{format:?}");
    }
}

#[test]
fn each_record_is_one_write_and_one_flush() {
    #[derive(Default)]
    struct Calls(Vec<&'static str>);
    impl std::io::Write for Calls {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.push("write");
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            self.0.push("flush");
            Ok(())
        }
    }
    for format in [Format::Table, Format::Json, Format::Csv] {
        let mut calls = Calls::default();
        renderer(format, Options::default()).record(&Record::Table(ops()), &mut calls).unwrap();
        assert_eq!(calls.0, ["write", "flush"], "{format:?}");
    }
}
