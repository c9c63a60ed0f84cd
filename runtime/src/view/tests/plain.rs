//! The format for people.

use insta::assert_snapshot;

use super::*;
use crate::view::{aside, line};

#[test]
fn rows_and_columns() {
    assert_snapshot!(drawn(ops()), @r#"
    ops  at 1.00 s
    op        backend   calls    total  share(dur)                            gbps
    MUL_MAT   CPU      12,345   979 ms      97.9 % ███████████████████▋  12.3 GB/s
    SOFT_MAX  CPU         960  12.0 ms      1.20 % ▎                      812 MB/s
    GET_ROWS  CPU          32  8.57 µs     <0.01 % ▏                        -
    "#);
}

#[test]
fn there_is_no_bar_without_room_for_it() {
    let options = Options { width: 60, ..Options::default() };
    assert_snapshot!(shown(Format::Table, options, &[Record::Table(ops())]), @r#"
    ops  at 1.00 s
    op        backend   calls    total  share(dur)       gbps
    MUL_MAT   CPU      12,345   979 ms      97.9 %  12.3 GB/s
    SOFT_MAX  CPU         960  12.0 ms      1.20 %   812 MB/s
    GET_ROWS  CPU          32  8.57 µs     <0.01 %     -
    "#);
}

#[test]
fn colours() {
    let options = Options { color: true, ..Options::default() };
    let mut table = ops();
    table.dropped.insert("table_full".to_owned(), 3);
    assert_snapshot!(visible(&shown(Format::Table, options, &[Record::Table(table)])), @r#"
    ␛[1mops␛[0m  ␛[2mat 1.00 s␛[0m
    ␛[1mop␛[0m        ␛[1mbackend␛[0m   ␛[1mcalls␛[0m    ␛[1mtotal␛[0m  ␛[1mshare(dur)␛[0m                            ␛[1mgbps␛[0m
    ␛[36mMUL_MAT␛[0m   ␛[36mCPU␛[0m      12,345   979 ␛[2mms␛[0m      97.9 ␛[2m%␛[0m ␛[2m███████████████████▋␛[0m  12.3 ␛[2mGB/s␛[0m
    ␛[36mSOFT_MAX␛[0m  ␛[36mCPU␛[0m         960  12.0 ␛[2mms␛[0m      1.20 ␛[2m%␛[0m ␛[2m▎␛[0m                      812 ␛[2mMB/s␛[0m
    ␛[36mGET_ROWS␛[0m  ␛[36mCPU␛[0m          32  8.57 ␛[2mµs␛[0m     <0.01 ␛[2m%␛[0m ␛[2m▏␛[0m                        ␛[2m-␛[0m
    ␛[33mdropped:␛[0m ␛[33mtable_full 3␛[0m
    "#);
}

#[test]
fn what_is_missing_is_said_beneath() {
    let mut table = ops();
    table.cut = 1_023;
    table.dropped = BTreeMap::from([("failed_read".to_owned(), 2), ("table_full".to_owned(), 12_345)]);
    assert_snapshot!(drawn(table), @r#"
    ops  at 1.00 s
    op        backend   calls    total  share(dur)                            gbps
    MUL_MAT   CPU      12,345   979 ms      97.9 % ███████████████████▋  12.3 GB/s
    SOFT_MAX  CPU         960  12.0 ms      1.20 % ▎                      812 MB/s
    GET_ROWS  CPU          32  8.57 µs     <0.01 % ▏                        -
    … 1,023 more rows
    dropped: failed_read 2, table_full 12,345
    "#);
}

#[test]
fn a_table_without_rows() {
    let mut table = table("stalls", vec![column("op", Quantity::Text)], vec![column("n", Quantity::Number)], vec![]);
    table.dropped.insert("failed_read".to_owned(), 7);
    assert_snapshot!(drawn(table), @r#"
    stalls  at 1.00 s
    no events
    dropped: failed_read 7
    "#);
}

#[test]
fn a_table_without_keys_and_bounds_of_error() {
    let p50 = Column { error: Some("±1.6 %"), ..column("p50", Quantity::Duration) };
    let p99 = Column { error: Some("±1.6 %"), ..column("p99", Quantity::Duration) };
    let columns = vec![column("count()", Quantity::Number), column("avg(dur)", Quantity::Duration), p50, p99];
    let rows = vec![vec![int(1_234), real(23_456_789.5), int(21_800_000), int(2_113_929_216)]];
    assert_snapshot!(drawn(table("llama_ubatch", vec![], columns, rows)), @r#"
    llama_ubatch  at 1.00 s
    count()  avg(dur)  p50 ±1.6 %  p99 ±1.6 %
      1,234   23.5 ms     21.8 ms      2.11 s
    "#);
}

#[test]
fn keys_of_all_kinds() {
    use Quantity::{Address, Bool, Bytes, Duration, Number, Text};
    let keys = vec![
        column("layer", Number),
        column("bucket(dur, 1ms)", Duration),
        column("size", Bytes),
        column("address", Address),
        column("major", Bool),
        column("file", Text),
    ];
    let rows = vec![
        vec![int(0), int(5_000_000), int(4096), int(0x7f12_3456_7000), Value::Bool(true), text("model.gguf"), int(3)],
        vec![int(12), int(12_000_000), int(5000), int(0x1000), Value::Bool(false), text(""), int(123_456)],
        std::iter::repeat_n(Value::Absent, 6).chain([int(1)]).collect(),
    ];
    assert_snapshot!(drawn(table("page_fault", keys, vec![column("count()", Number)], rows)), @r#"
    page_fault  at 1.00 s
    layer  bucket(dur, 1ms)      size         address  major  file        count()
        0              5 ms     4 KiB  0x7f1234567000  true   model.gguf        3
       12             12 ms  5000 B            0x1000  false  ""          123,456
        -              -        -                   -  -      -                 1
    "#);
}

#[test]
fn keys_give_way_before_numbers() {
    use Quantity::{Bytes, Duration, Number, Text};
    let keys = vec![column("name", Text), column("src0.name", Text)];
    let columns = vec![
        column("count()", Number),
        column("sum(dur)", Duration),
        column("max(dur)", Duration),
        column("sum(bytes)", Bytes),
    ];
    let rows = vec![
        vec![
            text("ffn_moe_weighted_by_a_rather_long_name-0"),
            text("blk.0.ffn_gate_exps.weight (reshaped) (transposed)"),
            int(1_234_567),
            int(1_234_567_890),
            int(1_234_567),
            int(123_456_789),
        ],
        vec![text("短い名前と長い名前と世界"), text("x"), int(1), int(1), int(1), int(1)],
    ];
    let drawn = drawn(table("ggml_op", keys, columns, rows));
    assert!(drawn.lines().all(|line| line::width(line) <= 80), "{drawn}");
    assert_snapshot!(drawn, @r#"
    ggml_op  at 1.00 s
    name                src0.name            count()  sum(dur)  max(dur)  sum(bytes)
    ffn_moe_w…g_name-0  blk.0.ff…nsposed)  1,234,567   1.23 s    1.23 ms     118 MiB
    短い名前…前と世界   x                          1      1 ns      1 ns       1 B
    "#);
}

#[test]
fn more_numbers_than_fit_go_below_with_the_keys_again() {
    use Quantity::{Duration, Number, Text};
    let names = ["count()", "sum(dur)", "avg(dur)", "min(dur)", "max(dur)", "sum(wait)", "avg(wait)", "max(wait)"];
    let columns: Vec<Column> =
        names.iter().map(|name| column(name, if *name == "count()" { Number } else { Duration })).collect();
    let row = |op: &str, by: i64| {
        let cells = (0..8).map(|at| int(by * 10_i64.pow(at) + 12_345));
        [text(op)].into_iter().chain(cells).collect()
    };
    let table = table("work", vec![column("op", Text)], columns, vec![row("MUL_MAT", 7), row("ADD", 1)]);
    let drawn = drawn(table);
    assert!(drawn.lines().all(|line| line::width(line) <= 80), "{drawn}");
    assert_snapshot!(drawn, @r#"
    work  at 1.00 s
    op       count()  sum(dur)  avg(dur)  min(dur)  max(dur)  sum(wait)  avg(wait)
    MUL_MAT   12,352   12.4 µs   13.0 µs   19.3 µs   82.3 µs     712 µs    7.01 ms
    ADD       12,346   12.4 µs   12.4 µs   13.3 µs   22.3 µs     112 µs    1.01 ms

    op       max(wait)
    MUL_MAT    70.0 ms
    ADD        10.0 ms
    "#);
}

#[test]
fn no_limit_cuts_nothing() {
    let long = "blk.0.".repeat(40);
    let table = table(
        "t",
        vec![column("name", Quantity::Text)],
        vec![column("n", Quantity::Number)],
        vec![vec![text(&long), int(1)]],
    );
    let options = Options { width: 0, ..Options::default() };
    assert!(shown(Format::Table, options, &[Record::Table(table)]).contains(&long));
}

#[test]
fn text_of_the_target_never_reaches_the_terminal_raw() {
    // Clears the screen, sets the title, rings, goes back over what was printed, turns the direction, forges a line.
    let attack = "\x1b[2J\x1b]0;pwned\x07\rok\u{9b}1A\u{202e}txt\u{2028}\nwarning: all is well\u{200b}\u{7f}";
    let mut table = table(
        attack,
        vec![column(attack, Quantity::Text)],
        vec![column("n", Quantity::Number)],
        vec![vec![text(attack), int(1)], vec![int(1), text(attack)]],
    );
    table.columns.push(column(attack, Quantity::HistNumber));
    table.rows[0].cells.push(hist(&[(1, 2, 1)]));
    table.dropped.insert(attack.to_owned(), 1);
    let end = End {
        reason: attack.to_owned(),
        hits: BTreeMap::from([(attack.to_owned(), 1)]),
        dropped: BTreeMap::from([(attack.to_owned(), 1)]),
        silent: vec![Silent { point: attack.to_owned(), reason: attack.to_owned() }],
        layout: attack.to_owned(),
        ..End::default()
    };
    let records = [Record::Table(table), message(Level::Warning, "lost", attack), Record::End(end)];
    for width in [0, 20, 80, 1000] {
        for format in [Format::Table, Format::Json, Format::Csv] {
            let options = Options { width, ..Options::default() };
            let mut out = shown(format, options, &records);
            records.iter().for_each(|record| out += &aside(record, options));
            let raw: Vec<char> = out.chars().filter(|c| *c != '\n' && crate::view::escape::is_hidden(*c)).collect();
            assert!(raw.is_empty(), "{format:?} {width}: {raw:?}");
            assert!(out.lines().all(|line| !line.starts_with("warning: all")), "{format:?} {width}: a forged line");
        }
    }
}

#[test]
fn a_histogram_with_other_columns_stands_below_the_table() {
    assert_snapshot!(drawn(layers()), @r#"
    ggml_op  at 1.00 s
    layer  count()
        0    1,323
        -        2

    p  layer 0
      [1.05 ms, 2.10 ms)  1,234 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|
      [2.10 ms, 4.19 ms)     80 |@@@                                              |
      [4.19 ms, 8.39 ms)        |                                                 |
      [8.39 ms, 16.8 ms)        |                                                 |
      [16.8 ms, 33.6 ms)      9 |@                                                |
      total 1,323, mean from 1.22 ms to 2.44 ms

    p  layer -
      [ 512 ns, 1.02 µs)  1 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|
               ⋮
      [33.6 ms, 67.1 ms)  1 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|
      total 2, mean from 16.8 ms to 33.6 ms
    "#);
}

#[test]
fn as_hist_draws_only_histograms() {
    let table = Table { view: ViewKind::Hist, ..layers() };
    let options = Options { color: true, ..Options::default() };
    let blocks = shown(Format::Table, options, &[Record::Table(table)]);
    let mut plain = String::new();
    let mut rest = blocks.as_str();
    while let Some((before, after)) = rest.split_once('\x1b') {
        plain += before;
        rest = after.split_once('m').unwrap().1;
    }
    plain += rest;
    assert_snapshot!(plain, @r#"
    ggml_op  at 1.00 s
    p  layer 0, count() 1,323
      [1.05 ms, 2.10 ms)  1,234 ███████████████████████████████████████████████████
      [2.10 ms, 4.19 ms)     80 ███▎
      [4.19 ms, 8.39 ms)
      [8.39 ms, 16.8 ms)
      [16.8 ms, 33.6 ms)      9 ▍
      total 1,323, mean from 1.22 ms to 2.44 ms

    p  layer -, count() 2
      [ 512 ns, 1.02 µs)  1 ████████████████████████████████████████████████████
               ⋮
      [33.6 ms, 67.1 ms)  1 ████████████████████████████████████████████████████
      total 2, mean from 16.8 ms to 33.6 ms
    "#);
}

#[test]
fn buckets_with_names() {
    let columns = vec![column("hist(gap(token))", Quantity::HistNumber), column("lhist(bytes)", Quantity::HistBytes)];
    let row = vec![
        hist(&[(i64::MIN, 0, 3), (0, 1, 12), (2, 4, 1), (1 << 20, 1 << 21, 100_000)]),
        hist(&[(i64::MIN, 1_000_000, 1), (1_001_000, 1_002_000, 7), (2_000_000, i64::MAX, 2)]),
    ];
    assert_snapshot!(drawn(table("experts", vec![], columns, vec![row])), @r#"
    experts  at 1.00 s
    hist(gap(token))
      negative                  3 |@                                              |
      zero                     12 |@                                              |
      [      1,       2)          |                                               |
      [      2,       4)        1 |@                                              |
               ⋮
      [1048576, 2097152)  100,000 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|
      total 100,016

    lhist(bytes)
      below 977 KiB       1 |@@@@@@@                                           |
      [977 KiB, 978 KiB)    |                                                  |
      [978 KiB, 979 KiB)  7 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|
               ⋮
      1.91 MiB and more   2 |@@@@@@@@@@@@@@                                    |
      total 10
    "#);
}

#[test]
fn hit_rates_by_the_size_of_a_cache() {
    let columns = vec![
        column("routed", Quantity::Number),
        column("lru", Quantity::HitRates),
        column("pinned", Quantity::HitRates),
    ];
    let rates = |rates: &[f64]| Value::Curve(rates.to_vec());
    let row = vec![Value::Int(2020), rates(&[0.0901, 0.5, 0.886]), rates(&[0.308, 1.0])];
    let mut table = table("caches", vec![], columns, vec![row, vec![Value::Int(0), rates(&[]), Value::Absent]]);
    assert_snapshot!(drawn(table.clone()), @r"
    caches  at 1.00 s
    routed                              lru               pinned
     2,020  1: 9.01 %, 2: 50.0 %, 3: 88.6 %  1: 30.8 %, 2: 100 %
         0                                -                    -
    ");
    table.view = ViewKind::Hist;
    assert_snapshot!(drawn(table), @r"
    caches  at 1.00 s
      routed 2,020
      entries  lru                                pinned
            1   9.01 % @@                          30.8 % @@@@@@@@
            2   50.0 % @@@@@@@@@@@@@                100 % @@@@@@@@@@@@@@@@@@@@@@@@@
            3   88.6 % @@@@@@@@@@@@@@@@@@@@@@       100 % @@@@@@@@@@@@@@@@@@@@@@@@@

      routed 0
      no values
    ");
}

#[test]
fn a_histogram_without_values() {
    let mut table = layers();
    table.columns.remove(0);
    table.rows.truncate(1);
    table.rows[0].cells = vec![hist(&[])];
    assert_snapshot!(drawn(table), @r#"
    ggml_op  at 1.00 s
    p  layer 0
    no values
    "#);
}

#[test]
fn a_whole_run() {
    let records = [
        message(Level::Info, "attached", "llama-server (pid 1234), llama.cpp since 2025-02, 14 sites"),
        message(Level::Warning, "unchecked", "the layout is unchecked until the first event"),
        Record::Table(ops()),
        message(Level::Warning, "lost", "pid 1234 has exited"),
        Record::End(silent_end()),
    ];
    assert_snapshot!(shown(Format::Table, Options::default(), &records), @r#"
    note: llama-server (pid 1234), llama.cpp since 2025-02, 14 sites
    warning: the layout is unchecked until the first event

    ops  at 1.00 s
    op        backend   calls    total  share(dur)                            gbps
    MUL_MAT   CPU      12,345   979 ms      97.9 % ███████████████████▋  12.3 GB/s
    SOFT_MAX  CPU         960  12.0 ms      1.20 % ▎                      812 MB/s
    GET_ROWS  CPU          32  8.57 µs     <0.01 % ▏                        -

    warning: pid 1234 has exited

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
}

#[test]
fn the_end_of_a_run_in_which_nothing_happened() {
    let end = End {
        duration_ns: 2_000_000_000,
        reason: "interrupt".to_owned(),
        layout: "unchecked".to_owned(),
        ..End::default()
    };
    assert_snapshot!(shown(Format::Table, Options::default(), &[Record::End(end)]), @r#"
    ended    after 2.00 s: interrupt
    events   none
    lost     nothing
    open     no step was cut by the end
    layout   unchecked
    kernel   0 B of memory for maps
    "#);
}

#[test]
fn a_table_as_json_or_csv_whatever_the_format() {
    let mut json = ops();
    json.rows.truncate(1);
    let csv = Table { view: ViewKind::Csv, ..json.clone() };
    json.view = ViewKind::Json;
    assert_snapshot!(shown(Format::Table, Options::default(), &[Record::Table(json), Record::Table(csv)]), @r#"
    {"type":"table","v":1,"name":"ops","at_ns":1000000000,"keys":["op","backend"],"rows":[{"op":"MUL_MAT","backend":"CPU","calls":12345,"total":979400000,"share(dur)":0.9794,"gbps":12340000000.0}]}

    table,at_ns,op,backend,calls,total,share(dur),gbps
    ops,1000000000,MUL_MAT,CPU,12345,979400000,0.9794,12340000000.0
    "#);
}
