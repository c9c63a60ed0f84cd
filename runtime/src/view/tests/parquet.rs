//! Parquet, read back.

use arrow_schema::DataType;
use serde_json::{Value as Json, json};

use super::prints::slow;
use super::*;
use crate::record::{Part, Print};
use crate::sheet::tests::File;
use crate::view::{Parquet, Renderer as _, parquet};

/// The file of some records, of which the first table or print says what is in it.
fn file(records: &[Record]) -> File {
    let head = records.iter().find(|r| matches!(r, Record::Table(_) | Record::Print(_))).unwrap();
    let (mut view, mut bytes) = (Parquet::like(head).unwrap(), Vec::new());
    for record in records {
        view.record(record, &mut bytes).unwrap();
    }
    File::read(&bytes)
}

#[test]
fn a_table_shown_again_and_again_is_one_file() {
    let mut next = Table { at_ns: 2_000_000_000, cut: 3, ..ops() };
    next.rows.truncate(1);
    next.dropped.insert("table_full".to_owned(), 9);
    let said = message(Level::Info, "attached", "llama-server (pid 1234)");
    let file = file(&[said, Record::Table(ops()), Record::Table(next), Record::End(silent_end())]);
    let units: Vec<_> = file.columns.iter().map(|(name, ty, unit, _)| (name.as_str(), ty, unit.as_deref())).collect();
    use DataType::{Float64, Int64, Utf8};
    let expected = [
        ("at_ns", &Int64, Some("ns")),
        ("op", &Utf8, None),
        ("backend", &Utf8, None),
        ("calls", &Int64, None),
        ("total", &Int64, Some("ns")),
        ("share(dur)", &Float64, Some("share of one")),
        ("gbps", &Float64, Some("bytes per second")),
    ];
    assert_eq!(units, expected);
    assert_eq!(
        file.rows[0],
        json!([1_000_000_000, "MUL_MAT", "CPU", 12_345, 979_400_000, 0.9794, 12.34e9]).as_array().unwrap()[..]
    );
    assert_eq!(file.column("at_ns"), [1_000_000_000, 1_000_000_000, 1_000_000_000, 2_000_000_000]);
    assert_eq!(file.column("gbps"), [json!(12.34e9), json!(812e6), Json::Null, json!(12.34e9)]);
    let about = &file.about;
    assert_eq!((&about["type"], &about["name"], &about["cut"]), (&json!("table"), &json!("ops"), &json!(3)));
    assert_eq!(about["dropped"], json!({"table_full": 9}));
    assert_eq!(about["messages"][0]["text"], "llama-server (pid 1234)");
    assert_eq!(about["end"]["dropped"], json!({"failed_read": 2, "ring_full": 1234}));
    assert_eq!(about["columns"][1], json!({"name": "op", "role": "key", "unit": null, "error": null}));
    assert_eq!(about["columns"][4], json!({"name": "total", "role": "column", "unit": "ns", "error": null}));
}

#[test]
fn histograms_are_lists_of_buckets() {
    let file = file(&[Record::Table(layers()), Record::End(silent_end())]);
    assert_eq!(file.column("layer"), [json!(0), Json::Null]);
    assert_eq!(file.column("p")[1], json!([{"lo": 512, "hi": 1024, "n": 1}, {"lo": 1 << 25, "hi": 1 << 26, "n": 1}]));
    assert_eq!(file.columns[3].2.as_deref(), Some("ns"), "the unit of the bounds");
}

/// A mean may be whole in all rows: its type is that of means.
#[test]
fn the_type_of_a_column_does_not_hang_on_its_values() {
    use Quantity::{Address, Bool, Duration, Text};
    let keys = vec![column("a", Address), column("b", Bool), column("AT", Text)];
    let columns = vec![column("avg(dur)", Duration), column("sum(dur)", Duration)];
    let row = |a, b: bool, avg| vec![int(a), Value::Bool(b), text("x"), avg, int(7)];
    let whole = table("t", keys.clone(), columns.clone(), vec![row(-1, true, int(2))]);
    let broken = table("t", keys, columns, vec![row(1, false, real(2.5))]);
    for (table, a, avg) in [(whole, json!(u64::MAX), 2.0), (broken, json!(1), 2.5)] {
        let file = File::read(&parquet(&table).unwrap());
        assert_eq!((file.ty("avg(dur)"), file.ty("sum(dur)")), (DataType::Float64, DataType::Int64));
        assert_eq!((file.ty("a"), file.ty("b")), (DataType::UInt64, DataType::Boolean));
        assert_eq!((file.column("a"), file.column("avg(dur)")), (vec![a], vec![json!(avg)]));
    }
}

#[test]
fn names_and_texts_of_the_target_stay_what_they_are() {
    use Quantity::{Number, Text};
    let evil = "\x1b[2J\n'\"=cmd,\u{202e}; drop table t; --";
    let keys = vec![column("at_ns", Text), column(evil, Text), column("", Text)];
    let rows = vec![vec![text(evil), text(""), text("NULL"), int(1), int(2)]];
    let file =
        File::read(&parquet(&table(evil, keys, vec![column("a.b", Number), column("a.b", Number)], rows)).unwrap());
    let names: Vec<&str> = file.columns.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["at_ns", "at_ns_2", evil, "", "a.b", "a.b_2"]);
    assert_eq!(file.rows, [json!([1_000_000_000, evil, "", "NULL", 1, 2]).as_array().unwrap().clone()]);
    assert_eq!(file.about["name"], evil);
}

#[test]
fn a_print_is_a_row_of_its_values_and_its_text() {
    let mut again = slow();
    again.parts.push(Part::Value { name: "text".into(), quantity: Quantity::Number, value: real(0.5), whole: false });
    let head = Print { at_ns: 7, ..again.clone() };
    let file_of = |prints: &[Print]| {
        let (mut view, mut bytes) = (Parquet::like(&Record::Print(head.clone())).unwrap(), Vec::new());
        for print in prints {
            view.record(&Record::Print(print.clone()), &mut bytes).unwrap();
        }
        view.record(&Record::End(silent_end()), &mut bytes).unwrap();
        File::read(&bytes)
    };
    let one = file_of(&[again]);
    let names: Vec<&str> = one.columns.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["at_ns", "name", "dur", "layer", "text_2", "text"]);
    let row = json!([1_234_567, "ffn_out-3", 1_234_567, null, 0.5, "slow: ffn_out-3 1.23 ms, layer -0.500"]);
    assert_eq!(one.rows, [row.as_array().unwrap().clone()]);
    // Without a single event it is a table all the same.
    let none = file_of(&[]);
    assert_eq!((none.columns, none.rows.len()), (one.columns, 0));
}

#[test]
fn a_file_that_cannot_be_written_says_so_at_its_end() {
    struct Broken;
    impl std::io::Write for Broken {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut view = Parquet::like(&Record::Table(ops())).unwrap();
    let mut write = |record| view.record(&record, &mut Broken);
    let error = write(Record::Table(ops())).and_then(|()| write(Record::End(silent_end()))).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    assert!(Parquet::like(&Record::End(silent_end())).is_err());
}
