//! CSV.

use insta::assert_snapshot;

use super::*;
use crate::view::aside;

fn csv(records: &[Record]) -> String {
    shown(Format::Csv, Options::default(), records)
}

#[test]
fn the_documented_example_is_what_is_written() {
    assert_eq!(super::json::documented("csv").concat(), csv(&super::json::example()));
}

#[test]
fn one_table_again_and_again_has_one_head() {
    let mut ops = ops();
    ops.rows.truncate(1);
    let next = Table { at_ns: 2_000_000_000, ..ops.clone() };
    assert_snapshot!(csv(&[Record::Table(ops), Record::Table(next)]), @r#"
    table,at_ns,op,backend,calls,total,share(dur),gbps
    ops,1000000000,MUL_MAT,CPU,12345,979400000,0.9794,12340000000.0
    ops,2000000000,MUL_MAT,CPU,12345,979400000,0.9794,12340000000.0
    "#);
}

#[test]
fn another_table_has_another_head_behind_an_empty_line() {
    let [mut first, mut second] = [ops(), layers()];
    first.rows.truncate(1);
    second.rows.truncate(1);
    let [first, second] = [Record::Table(first), Record::Table(second)];
    assert_snapshot!(csv(&[first.clone(), second, first]), @r#"
    table,at_ns,op,backend,calls,total,share(dur),gbps
    ops,1000000000,MUL_MAT,CPU,12345,979400000,0.9794,12340000000.0

    table,at_ns,layer,count(),p
    ggml_op,1000000000,0,1323,"[{""lo"":1048576,""hi"":2097152,""n"":1234},{""lo"":2097152,""hi"":4194304,""n"":80},{""lo"":16777216,""hi"":33554432,""n"":9}]"

    table,at_ns,op,backend,calls,total,share(dur),gbps
    ops,1000000000,MUL_MAT,CPU,12345,979400000,0.9794,12340000000.0
    "#);
}

#[test]
fn values() {
    use Quantity::{Address, Bool, Duration, Number, Text};
    let keys = vec![column("table", Text), column("t", Text), column("a", Address), column("b", Bool)];
    let columns = vec![column("avg(dur)", Duration), column("max(x), y", Number)];
    let rows = vec![
        vec![text("=cmd|' /C calc'!A0"), text("a,\"b\"\n"), int(0x1000), Value::Bool(false), real(0.1), int(-3)],
        vec![text(""), Value::Absent, Value::Absent, Value::Absent, real(f64::NAN), real(1e300)],
    ];
    assert_snapshot!(csv(&[Record::Table(table("t", keys, columns, rows))]), @r#"
    table,at_ns,table_2,t,a,b,avg(dur),"max(x), y"
    t,1000000000,'=cmd|' /C calc'!A0,"a,""b""\u{a}",0x1000,false,0.1,-3
    t,1000000000,"",,,,,1e300
    "#);
}

#[test]
fn what_has_no_place_is_left_for_standard_error() {
    let mut table = ops();
    table.cut = 3;
    table.dropped.insert("table_full".to_owned(), 9);
    let records = [message(Level::Warning, "lost", "pid 7 is gone"), Record::Table(table), Record::End(silent_end())];
    assert_eq!(csv(&[records[0].clone(), records[2].clone()]), "");
    let asides: String = records.iter().map(|record| aside(record, Options::default())).collect();
    assert_snapshot!(asides, @r#"
    warning: pid 7 is gone
    ops: … 3 more rows
    ops: dropped: table_full 9
    ended    after 12.3 s: target exited
    events   ggml_op 1,234,567, ggml_work 4,938,268, llama_ubatch 1,024,
             moe_route 0
    lost     failed_read 2, ring_full 1,234
    open     2 steps cut by the end
    silent   moe_route: no tensor is called ffn_moe_topk-N: the model has no
             experts, or this build names them otherwise
    layout   checked
    kernel   1.25 MiB of memory for maps
    "#);
    assert_eq!(aside(&Record::Table(ops()), Options::default()), "");
}
