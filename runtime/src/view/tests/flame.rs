//! Flame graphs: as text on terminals of several widths, as a picture, as lines for tools, as a profile.

use std::io::Read as _;

use insta::assert_snapshot;

use super::*;
use crate::view::Format;

fn flame(keys: &[(&str, Quantity)], column: (&str, Quantity), rows: Vec<Vec<Value>>) -> Table {
    let keys = keys.iter().map(|(name, quantity)| super::column(name, *quantity)).collect();
    Table { view: ViewKind::Flame, ..table("flame", keys, vec![super::column(column.0, column.1)], rows) }
}

/// `sum(dur) by phase, part, layer, op`, with what is outside of layers and what is in no operator.
fn token(layers: i64) -> Table {
    use Quantity::{Duration, Number, Text};
    let mut rows = Vec::new();
    for layer in 0..layers {
        for (part, op, time) in [
            ("attention", "MUL_MAT", 7_000),
            ("attention", "ROPE", 900),
            ("ffn", "MUL_MAT", 12_345),
            ("norm", "ADD", 40),
        ] {
            rows.push(vec![text("decode"), text(part), int(layer), text(op), int(time * 1_000 + layer)]);
        }
    }
    rows.push(vec![text("decode"), text("head"), Value::Absent, text("MUL_MAT"), int(48_000_000)]);
    rows.push(vec![text("decode"), text("(not in an operator)"), Value::Absent, Value::Absent, int(4_321_000)]);
    flame(&[("phase", Text), ("part", Text), ("layer", Number), ("op", Text)], ("sum(dur)", Duration), rows)
}

/// `count() by thread = comm, stack(user)`
fn samples() -> Table {
    let rows = [
        ("python3", "_start;main;outer;innermost", 90),
        ("python3", "_start;main;outer", 5),
        ("python3", "_start;main;operator new(unsigned long)", 4),
        ("worker", "clone3;start_thread;work", 42),
    ];
    let rows = rows.map(|(comm, stack, n)| vec![text(comm), text(stack), int(n)]).to_vec();
    flame(&[("thread", Quantity::Text), ("stack(user)", Quantity::Stack)], ("count()", Quantity::Number), rows)
}

/// Names that would be taken for something else.
fn evil() -> Table {
    let names =
        ["a;b", "x 12", "# no remark", "\x1b[2J\n", "</text><script>alert('1')</script>", "\u{ffff}\u{202e}\"&", ""];
    let rows = names.iter().enumerate().map(|(n, name)| vec![text(name), int(1), int(1 << n)]).collect();
    flame(&[("op", Quantity::Text), ("layer", Quantity::Number)], ("n", Quantity::Number), rows)
}

fn bytes(format: Format, table: &Table) -> Vec<u8> {
    let mut out = Vec::new();
    renderer(format, Options::default()).record(&Record::Table(table.clone()), &mut out).unwrap();
    out
}

fn lines(table: &Table) -> String {
    String::from_utf8(bytes(Format::Folded, table)).unwrap()
}

fn wide(table: &Table, width: usize, color: bool) -> String {
    let options = Options { width, color, ..Options::default() };
    visible(&shown(Format::Table, options, &[Record::Table(table.clone())]))
}

#[test]
fn frames_lie_in_frames() {
    assert_snapshot!(drawn(token(2)), @r#"
    flame  at 1.00 s
    phase › part › layer › op  sum(dur)   share
    decode                      92.9 ms   100 % ████████████████████████
      head › MUL_MAT            48.0 ms  51.7 % ████████████▍
      ffn                       24.7 ms  26.6 % ██████▍
        layer=1 › MUL_MAT       12.3 ms  13.3 % ███▎
        layer=0 › MUL_MAT       12.3 ms  13.3 % ███▎
      attention                 15.8 ms  17.0 % ████▏
        layer=1                 7.90 ms  8.50 % ██
          MUL_MAT               7.00 ms  7.54 % █▊
          ROPE                   900 µs  0.97 % ▎
        layer=0                 7.90 ms  8.50 % ██
          MUL_MAT               7.00 ms  7.54 % █▊
          ROPE                   900 µs  0.97 % ▎
      (not in an operator)      4.32 ms  4.65 % █▏
      norm                      80.0 µs  0.09 % ▏
    14 of 16 frames; a file has them all: to "NAME.svg"
    "#);
}

#[test]
fn the_widest_are_drawn_and_the_rest_is_counted() {
    let text = drawn(token(30));
    assert!(text.lines().count() < 50, "{text}");
    assert_snapshot!(text, @r#"
    flame  at 1.00 s
    phase › part › layer › op  sum(dur)   share
    decode                       661 ms   100 % ████████████████████████
      ffn                        370 ms  56.0 % █████████████▌
        layer=29 › MUL_MAT      12.3 ms  1.87 % ▌
        layer=28 › MUL_MAT      12.3 ms  1.87 % ▌
        layer=27 › MUL_MAT      12.3 ms  1.87 % ▌
        layer=26 › MUL_MAT      12.3 ms  1.87 % ▌
        layer=25 › MUL_MAT      12.3 ms  1.87 % ▌
        layer=24 › MUL_MAT      12.3 ms  1.87 % ▌
        … 24 more                296 ms  44.8 % ██████████▊
      attention                  237 ms  35.9 % ████████▋
        layer=29                7.90 ms  1.20 % ▎
          MUL_MAT               7.00 ms  1.06 % ▎
        layer=28                7.90 ms  1.20 % ▎
          MUL_MAT               7.00 ms  1.06 % ▎
        layer=27                7.90 ms  1.20 % ▎
          MUL_MAT               7.00 ms  1.06 % ▎
        layer=26                7.90 ms  1.20 % ▎
          MUL_MAT               7.00 ms  1.06 % ▎
        layer=25                7.90 ms  1.20 % ▎
          MUL_MAT               7.00 ms  1.06 % ▎
        layer=24                7.90 ms  1.20 % ▎
          MUL_MAT               7.00 ms  1.06 % ▎
        … 24 more                190 ms  28.7 % ██████▉
      head › MUL_MAT            48.0 ms  7.26 % █▊
      (not in an operator)      4.32 ms  0.65 % ▏
      norm                      1.20 ms  0.18 % ▏
    24 of 156 frames; a file has them all: to "NAME.svg"
    "#);
}

#[test]
fn calls_are_frames() {
    assert_snapshot!(drawn(samples()), @r#"
    flame  at 1.00 s
    thread › stack(user)                     count()   share
    all                                          141   100 % ███████████████████████
      python3 › _start › main                     99  70.2 % ████████████████▏
        outer                                     95  67.4 % ███████████████▌
          innermost                               90  63.8 % ██████████████▋
        operator new(unsigned long)                4  2.84 % ▋
      worker › clone3 › start_thread › work       42  29.8 % ██████▉
    "#);
}

#[test]
fn colours_are_those_of_tables() {
    assert_snapshot!(wide(&samples(), 60, true), @r#"
    ␛[1mflame␛[0m  ␛[2mat 1.00 s␛[0m
    ␛[1mthread › stack(user)␛[0m                   ␛[1mcount()␛[0m   ␛[1mshare␛[0m
    ␛[36mall␛[0m                                        141   100 ␛[2m%␛[0m ␛[2m█████␛[0m
      ␛[36mpython3 › _start › main␛[0m                   99  70.2 ␛[2m%␛[0m ␛[2m███▌␛[0m
        ␛[36mouter␛[0m                                   95  67.4 ␛[2m%␛[0m ␛[2m███▍␛[0m
          ␛[36minnermost␛[0m                             90  63.8 ␛[2m%␛[0m ␛[2m███▎␛[0m
        ␛[36moperator new(unsigned long)␛[0m              4  2.84 ␛[2m%␛[0m ␛[2m▏␛[0m
      ␛[36mworker › clone3 ›…art_thread › work␛[0m       42  29.8 ␛[2m%␛[0m ␛[2m█▌␛[0m
    "#);
}

#[test]
fn any_width_is_kept() {
    let deep = (0..127).map(|n| format!("function_number_{n}")).collect::<Vec<_>>();
    let rows = (0..127).map(|n| vec![text(&deep[..=n].join(";")), int(n as i64 + 1)]).collect();
    let deep = flame(&[("stack(user)", Quantity::Stack)], ("count()", Quantity::Number), rows);
    for width in [40, 60, 80, 200] {
        for table in [token(1), token(40), samples(), evil(), deep.clone()] {
            for line in wide(&table, width, false).lines() {
                assert!(crate::view::line::width(line) <= width, "{line:?} is wider than {width}");
            }
        }
    }
}

#[test]
fn what_is_not_drawn_is_told() {
    let keys = [("op", Quantity::Text)];
    let mut table = flame(
        &keys,
        ("n", Quantity::Number),
        vec![
            vec![text("a"), int(5)],
            vec![text("b"), int(-3)],
            vec![text("c"), real(0.5)],
            vec![text("d"), int(0)],
            vec![text("e"), Value::Absent],
            vec![Value::Absent, int(2)],
        ],
    );
    table.columns.push(column("max(dur)", Quantity::Duration));
    table.cut = 7;
    table.dropped.insert("table_full".to_owned(), 3);
    assert_snapshot!(drawn(table.clone()), @r#"
    flame  at 1.00 s
    op   n   share
    all  7   100 % ████████████████████████
    a    5  71.4 % █████████████████▏
    -    2  28.6 % ██████▉
    2 rows below zero are left out
    not shown: max(dur)
    … 7 more rows
    dropped: table_full 3
    "#);
    assert_snapshot!(lines(&table), @r#"
    - 2
    a 5
    "#);
    let svg = String::from_utf8(bytes(Format::Flame, &table)).unwrap();
    let told = "n 7 by op, at 1.00 s; 2 rows below zero are left out; … 7 more rows; dropped: table_full 3";
    assert!(svg.contains(told), "{svg}");
    assert_snapshot!(drawn(flame(&keys, ("n", Quantity::Number), vec![])), @r#"
    flame  at 1.00 s
    no events
    "#);
    assert_eq!(lines(&flame(&keys, ("n", Quantity::Number), vec![])), "");
}

#[test]
fn too_much_for_any_format_is_an_error_and_no_wrong_number() {
    let rows = vec![vec![text("a"), int(i64::MAX)], vec![text("b"), int(1)]];
    let table = flame(&[("op", Quantity::Text)], ("n", Quantity::Number), rows);
    for format in [Format::Folded, Format::Flame, Format::Pprof] {
        let error = renderer(format, Options::default()).record(&Record::Table(table.clone()), &mut Vec::new());
        assert!(error.unwrap_err().to_string().contains("more than 9,223,372,036,854,775,807"));
    }
    assert!(drawn(table).contains("its widths add up to more than"));
}

#[test]
fn lines_of_stacks() {
    assert_snapshot!(lines(&token(2)), @r#"
    decode;(not in an operator) 4321000
    decode;attention;layer=0;MUL_MAT 7000000
    decode;attention;layer=0;ROPE 900000
    decode;attention;layer=1;MUL_MAT 7000001
    decode;attention;layer=1;ROPE 900001
    decode;ffn;layer=0;MUL_MAT 12345000
    decode;ffn;layer=1;MUL_MAT 12345001
    decode;head;MUL_MAT 48000000
    decode;norm;layer=0;ADD 40000
    decode;norm;layer=1;ADD 40001
    "#);
    assert_snapshot!(lines(&samples()), @r#"
    python3;_start;main;operator new(unsigned long) 4
    python3;_start;main;outer 5
    python3;_start;main;outer;innermost 90
    worker;clone3;start_thread;work 42
    "#);
}

#[test]
fn no_name_is_more_than_a_frame() {
    let text = lines(&evil());
    assert_snapshot!(text, @r#"
    "";layer=1 64
    </text><script>alert('1')</script>;layer=1 16
    \u{1b}[2J\u{a};layer=1 8
    \u{23} no remark;layer=1 4
    \u{ffff}\u{202e}"&;layer=1 32
    a\u{3b}b;layer=1 1
    x\u{20}12;layer=1 2
    "#);
    for line in text.lines() {
        let (stack, _) = line.rsplit_once(' ').unwrap();
        assert_eq!(stack.split(';').count(), 2, "{line}");
        assert!(!line.starts_with('#'), "{line}");
    }
}

#[test]
fn layers_stand_in_the_order_of_their_numbers() {
    let text = lines(&token(12));
    let layers = text.lines().filter(|line| line.contains(";ffn;"));
    let numbers: Vec<usize> =
        layers.map(|line| line.split("layer=").nth(1).unwrap().split(';').next().unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, (0..12).collect::<Vec<_>>());
}

/// Every frame of a picture: name, number as it is shown, exact width.
fn frames(svg: &str) -> Vec<(String, u64)> {
    let of = |part: &str| -> Option<(String, u64)> {
        let title = part.split("</title>").next()?;
        let width = part.split("fg:w=\"").nth(1)?.split('"').next()?;
        Some((title.to_owned(), width.parse().ok()?))
    };
    svg.split("<g><title>").skip(1).map(|part| of(part).unwrap()).collect()
}

#[test]
fn a_picture_has_every_frame_once() {
    let svg = String::from_utf8(bytes(Format::Flame, &token(12))).unwrap();
    let frames = frames(&svg);
    // The whole, decode, five parts of it, three of them with 12 layers, in these 4 operators, and one below the head.
    assert_eq!(frames.len(), 1 + 1 + 5 + 3 * 12 + 4 * 12 + 1, "{frames:#?}");
    let total = 12 * (7_000 + 900 + 12_345 + 40) * 1_000 + 4 * (0..12).sum::<u64>() + 52_321_000;
    let width = |name: &str| -> u64 { frames.iter().filter(|f| f.0.starts_with(name)).map(|f| f.1).sum() };
    assert_eq!([width("all ("), width("decode ("), width("head (")], [total, total, 48_000_000]);
    assert_eq!(width("attention ("), 12 * 7_900_000 + 2 * (0..12).sum::<u64>());
    assert_eq!(width("layer=11 ("), 7_000_000 + 900_000 + 12_345_000 + 40_000 + 4 * 11);
    assert!(svg.contains("<title>head (48,000 µs, 16.23%)</title>"), "{frames:#?}");
    assert!(svg.contains("sum(dur) 296 ms by phase, part, layer, op, at 1.00 s"), "{svg}");
}

#[test]
fn the_same_table_is_the_same_bytes() {
    for table in [token(30), samples(), evil()] {
        for format in [Format::Flame, Format::Folded, Format::Pprof] {
            assert_eq!(bytes(format, &table), bytes(format, &table), "{format:?}");
        }
    }
}

#[test]
fn a_picture_has_no_markup_of_the_target() {
    let mut table = evil();
    table.name = "<b>\x1b]0;x\u{ffff}".to_owned();
    for table in [table.clone(), Table { rows: vec![], ..table }] {
        let svg = String::from_utf8(bytes(Format::Flame, &table)).unwrap();
        assert!(!svg.contains("<script>alert") && !svg.contains("<b>"), "{svg}");
        assert!(!svg.contains(['\x1b', '\u{202e}', '\u{ffff}']), "{svg}");
        assert!(svg.contains("&lt;b&gt;"), "{svg}");
    }
}

/// A message's fields, as the wire format has them: number, and bytes or a number.
fn fields(mut message: &[u8]) -> Vec<(u64, Vec<u8>, u64)> {
    fn int(bytes: &mut &[u8]) -> u64 {
        let (mut n, mut shift) = (0, 0);
        loop {
            let (first, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            n |= u64::from(first & 0x7f) << shift;
            shift += 7;
            if first & 0x80 == 0 {
                return n;
            }
        }
    }
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = int(&mut message);
        match key & 7 {
            0 => found.push((key >> 3, vec![], int(&mut message))),
            2 => {
                let length = int(&mut message) as usize;
                let (bytes, rest) = message.split_at(length);
                found.push((key >> 3, bytes.to_vec(), 0));
                message = rest;
            }
            kind => panic!("wire type {kind}"),
        }
    }
    found
}

#[test]
fn a_profile_is_what_pprof_describes() {
    let mut profile = Vec::new();
    flate2::read::GzDecoder::new(&bytes(Format::Pprof, &samples())[..]).read_to_end(&mut profile).unwrap();
    let profile = fields(&profile);
    let all = |number: u64| profile.iter().filter(move |f| f.0 == number);
    let texts: Vec<String> = all(6).map(|f| String::from_utf8(f.1.clone()).unwrap()).collect();
    assert_eq!(texts[0], "");
    let kind = fields(&all(1).next().unwrap().1);
    assert_eq!([0, 1].map(|at| texts[kind[at].2 as usize].as_str()), ["count()", "count"]);
    let names: Vec<String> = all(5).map(|f| texts[fields(&f.1)[1].2 as usize].clone()).collect();
    let mut stacks = Vec::new();
    for sample in all(2) {
        let sample = fields(&sample.1);
        // Both are packed lists of small numbers: a byte each.
        let mut calls: Vec<&str> = sample[0].1.iter().map(|id| names[usize::from(*id) - 1].as_str()).collect();
        calls.reverse();
        stacks.push((calls.join(";"), sample[1].1.clone()));
    }
    assert_eq!(
        stacks,
        [
            ("python3;_start;main;operator new(unsigned long)".to_owned(), vec![4]),
            ("python3;_start;main;outer".to_owned(), vec![5]),
            ("python3;_start;main;outer;innermost".to_owned(), vec![90]),
            ("worker;clone3;start_thread;work".to_owned(), vec![42]),
        ]
    );
    assert_eq!(all(10).next().unwrap().2, 1_000_000_000, "how long it was counted");
}

#[test]
fn for_programs_a_flame_graph_is_the_table() {
    for format in [Format::Json, Format::Csv, Format::Html] {
        let plain = Table { view: ViewKind::Table, ..token(2) };
        let of = |table| shown(format, Options::default(), &[Record::Table(table)]);
        assert_eq!(of(token(2)), of(plain));
    }
}

#[test]
fn it_is_redrawn_in_place() {
    let options = Options { live: true, ..Options::default() };
    let text = shown(Format::Table, options, &[Record::Table(samples()), Record::Table(samples())]);
    assert_eq!(text.matches("\x1b[2K").count(), text.lines().count());
    assert!(text.contains("A\r"), "it goes up: {text:?}");
}
