//! Files, read back with the crate's reader.

use std::io::Write as _;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampNanosecondType, UInt64Type};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value as Json, json};

use super::*;
use crate::record::Bucket;

/// What is in a file.
pub(crate) struct File {
    /// Columns: name, type, unit, whether a cell may be absent.
    pub(crate) columns: Vec<(String, DataType, Option<String>, bool)>,
    /// Rows, as JSON.
    pub(crate) rows: Vec<Vec<Json>>,
    /// What it tells of itself.
    pub(crate) about: Json,
    /// Its row groups.
    pub(crate) groups: usize,
}

impl File {
    /// Reads a whole file.
    pub(crate) fn read(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let about = reader.metadata().file_metadata().key_value_metadata().unwrap();
        let about = about.iter().find(|pair| pair.key == ABOUT).and_then(|pair| pair.value.as_ref()).unwrap();
        let about = serde_json::from_str(about).unwrap();
        let columns = reader
            .schema()
            .fields()
            .iter()
            .map(|f| (f.name().clone(), f.data_type().clone(), f.metadata().get("unit").cloned(), f.is_nullable()));
        let (columns, groups) = (columns.collect(), reader.metadata().num_row_groups());
        let mut rows = Vec::new();
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            rows.extend((0..batch.num_rows()).map(|i| batch.columns().iter().map(|c| json_of(c, i)).collect()));
        }
        File { columns, rows, about, groups }
    }

    /// The cells of a column.
    pub(crate) fn column(&self, name: &str) -> Vec<Json> {
        let at = self.columns.iter().position(|(n, ..)| n == name).unwrap_or_else(|| panic!("no column {name}"));
        self.rows.iter().map(|row| row[at].clone()).collect()
    }

    pub(crate) fn ty(&self, name: &str) -> DataType {
        self.columns.iter().find(|(n, ..)| n == name).unwrap().1.clone()
    }
}

fn json_of(array: &ArrayRef, i: usize) -> Json {
    if array.is_null(i) {
        return Json::Null;
    }
    match array.data_type() {
        DataType::Int64 => json!(array.as_primitive::<Int64Type>().value(i)),
        DataType::UInt64 => json!(array.as_primitive::<UInt64Type>().value(i)),
        DataType::Float64 => json!(array.as_primitive::<Float64Type>().value(i)),
        DataType::Timestamp(TimeUnit::Nanosecond, None) => {
            json!(array.as_primitive::<TimestampNanosecondType>().value(i))
        }
        DataType::Boolean => json!(array.as_boolean().value(i)),
        DataType::Utf8 => json!(array.as_string::<i32>().value(i)),
        DataType::Dictionary(..) => {
            let words = array.as_dictionary::<Int32Type>();
            json_of(words.values(), words.keys().value(i) as usize)
        }
        DataType::List(_) => {
            let all = array.as_list::<i32>().value(i);
            (0..all.len()).map(|i| json_of(&all, i)).collect()
        }
        DataType::Struct(fields) => {
            let parts = array.as_struct();
            let parts = fields.iter().zip(parts.columns());
            Json::Object(parts.map(|(field, part)| (field.name().clone(), json_of(part, i))).collect())
        }
        other => panic!("no column is of {other}"),
    }
}

#[test]
fn every_kind_of_cell_comes_out_as_it_went_in() {
    let buckets = [Bucket { lo: i64::MIN, hi: 0, n: 1 }, Bucket { lo: 1 << 32, hi: i64::MAX, n: u64::MAX }];
    let cases = [
        (Kind::Int, vec![Cell::Int(i64::MIN), Cell::Int(i64::MAX)], json!([i64::MIN, i64::MAX])),
        (Kind::Unsigned, vec![Cell::Int(-1), Cell::Int(1)], json!([u64::MAX, 1])),
        (Kind::Real, vec![Cell::Real(0.1), Cell::Int(3)], json!([0.1, 3.0])),
        (Kind::Real, vec![Cell::Real(f64::NAN), Cell::Real(f64::INFINITY)], json!([null, null])),
        (Kind::Text, vec![Cell::Text(""), Cell::Text("\0a\n\u{202e}=1")], json!(["", "\0a\n\u{202e}=1"])),
        (Kind::Word, vec![Cell::Text("ADD"), Cell::Text("ADD")], json!(["ADD", "ADD"])),
        (Kind::Bool, vec![Cell::Bool(true), Cell::Int(0)], json!([true, false])),
        (
            Kind::Time,
            vec![Cell::Int(0), Cell::Int(1_764_500_000_123_456_789)],
            json!([0, 1_764_500_000_123_456_789i64]),
        ),
        (Kind::Stack, vec![Cell::Text("main;f"), Cell::Text("main")], json!([["main", "f"], ["main"]])),
        (
            Kind::Hist,
            vec![Cell::Hist(&buckets), Cell::Hist(&[])],
            json!([[{"lo": null, "hi": 0, "n": 1}, {"lo": 1i64 << 32, "hi": null, "n": u64::MAX}], []]),
        ),
        (
            Kind::RealHist,
            vec![Cell::Hist(&buckets), Cell::Hist(&[])],
            json!([[{"lo": null, "hi": 0.0, "n": 1}, {"lo": 1.0, "hi": null, "n": u64::MAX}], []]),
        ),
        (Kind::Curve, vec![Cell::Curve(&[0.5, 1.0]), Cell::Curve(&[])], json!([[0.5, 1.0], []])),
    ];
    for (kind, cells, expected) in cases {
        let mut sheet = Sheet::new(&[Head::new("c", kind, Some("ns"))]).unwrap();
        let mut bytes = Vec::new();
        for cell in cells.into_iter().chain([Cell::Absent]) {
            sheet.row([cell], &mut bytes).unwrap();
        }
        sheet.finish(&json!({"v": 1}), &mut bytes).unwrap();
        let file = File::read(&bytes);
        let mut cells = file.column("c");
        assert_eq!(cells.pop(), Some(Json::Null), "{kind:?}");
        assert_eq!(Json::Array(cells), expected, "{kind:?}");
        assert_eq!(file.columns[0].2.as_deref(), Some("ns"), "{kind:?}");
        assert_eq!(file.about, json!({"v": 1}));
    }
}

/// No number is bent so that it fits.
#[test]
fn what_is_none_of_its_column_is_an_error_that_names_it() {
    let mut sheet = Sheet::new(&[Head::new("a", Kind::Int, None), Head::new("n per b", Kind::Int, None)]).unwrap();
    let error = sheet.row([Cell::Int(1), Cell::Real(0.5)], &mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("\"n per b\"") && error.contains("0.5"), "{error}");
}

#[test]
fn a_long_file_leaves_memory_as_it_grows() {
    let heads = [Head::required("at_ns", Kind::Int, Some("ns")), Head::new("name", Kind::Text, None)];
    let mut sheet = Sheet::new(&heads).unwrap();
    let (mut bytes, mut most) = (Vec::new(), 0);
    let rows = 400_000i64;
    for i in 0..rows {
        // Digits in no order: texts that cannot be packed.
        let part = |of: i64| format!("{:020}", (5 * i + of).cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let text: String = (0..5).map(part).collect();
        sheet.row([Cell::Int(i), Cell::Text(&text)], &mut bytes).unwrap();
        most = most.max(sheet.writer.memory_size() + sheet.writer.inner().len());
    }
    let before_the_end = bytes.len();
    sheet.finish(&json!({}), &mut bytes).unwrap();
    assert!(most < 2 * GROUP_BYTES, "{most} bytes were kept");
    assert!(before_the_end > bytes.len() / 2, "{before_the_end} of {} bytes before the end", bytes.len());
    let file = File::read(&bytes);
    assert!(file.groups > 1, "{} row groups", file.groups);
    assert_eq!(file.column("at_ns"), (0..rows).map(|i| json!(i)).collect::<Vec<_>>());
}

#[test]
fn names_of_files_are_plain_and_each_its_own() {
    let names = ["ggml_op", "Ggml_Op", "span(\"libc:malloc\", size: u64)", "../x", "", "…", "sched:sched_switch"];
    let expected = ["ggml_op", "Ggml_Op_2", "span_libc_malloc_size_u64", "_x", "_", "__2", "sched_sched_switch"];
    assert_eq!(file_names(&names), expected);
    assert!(file_names(&["x".repeat(5000).as_str()])[0].len() < 250);
    assert_eq!(unique(["a", "a", "a_2", "a"]), ["a", "a_2", "a_2_2", "a_3"]);
}
