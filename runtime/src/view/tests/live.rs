//! The live view: its bytes, and what they leave on a terminal.

use insta::assert_snapshot;

use super::terminal::Terminal;
use super::*;
use crate::view::Renderer;

fn live(width: usize, height: usize) -> Options {
    Options { live: true, width, height, color: false }
}

/// A small table of `rows` rows at a second.
fn counts(name: &str, second: u64, rows: i64) -> Table {
    let rows = (0..rows).map(|row| vec![int(row), int(row * 1_000 + second as i64)]).collect();
    let mut table = table(name, vec![column("layer", Quantity::Number)], vec![column("n", Quantity::Number)], rows);
    table.at_ns = second * 1_000_000_000;
    table
}

fn screen(options: Options, before: &str, records: &[Record]) -> Terminal {
    let mut terminal = Terminal::new(options.width, options.height);
    terminal.feed(before);
    terminal.feed(&shown(Format::Table, options, records));
    terminal
}

#[test]
fn a_block_goes_over_the_one_before() {
    let records = [counts("ops", 1, 2), counts("ops", 2, 2), counts("ops", 3, 1)].map(Record::Table);
    assert_snapshot!(visible(&shown(Format::Table, live(80, 24), &records)), @r#"
    ␛[2Kops  at 1.00 s
    ␛[2Klayer      n
    ␛[2K    0      1
    ␛[2K    1  1,001
    ␛[4A␍␛[2Kops  at 2.00 s
    ␛[2Klayer      n
    ␛[2K    0      2
    ␛[2K    1  1,002
    ␛[4A␍␛[2Kops  at 3.00 s
    ␛[2Klayer  n
    ␛[2K    0  3
    ␛[J
    "#);
    assert_snapshot!(screen(live(80, 24), "$ profinfer ops.pi\n", &records).all(), @r#"
    $ profinfer ops.pi
    ops  at 3.00 s
    layer  n
        0  3
    "#);
}

#[test]
fn tables_stand_below_each_other_and_messages_above() {
    let hist = Table { view: ViewKind::Hist, at_ns: 2_000_000_000, ..layers() };
    let records = [
        message(Level::Info, "attached", "pid 7"),
        Record::Table(counts("ops", 1, 2)),
        Record::Table(counts("steps", 1, 1)),
        message(Level::Warning, "lost", "pid 7 is gone"),
        Record::Table(counts("ops", 2, 1)),
        Record::Table(hist),
        Record::Table(Table { view: ViewKind::Json, ..counts("raw", 2, 1) }),
    ];
    assert_snapshot!(screen(live(64, 40), "", &records).all(), @r#"
    note: pid 7
    warning: pid 7 is gone
    {"type":"table","v":1,"name":"raw","at_ns":2000000000,"keys":["l
    ayer"],"rows":[{"layer":0,"n":2}]}
    ops  at 2.00 s
    layer  n
        0  2

    steps  at 1.00 s
    layer  n
        0  1

    ggml_op  at 2.00 s
    p  layer 0, count() 1,323
      [1.05 ms, 2.10 ms)  1,234 ███████████████████████████████████
      [2.10 ms, 4.19 ms)     80 ██▎
      [4.19 ms, 8.39 ms)
      [8.39 ms, 16.8 ms)
      [16.8 ms, 33.6 ms)      9 ▎
      total 1,323, mean from 1.22 ms to 2.44 ms

    p  layer -, count() 2
      [ 512 ns, 1.02 µs)  1 ███████████████████████████████████████
               ⋮
      [33.6 ms, 67.1 ms)  1 ███████████████████████████████████████
      total 2, mean from 16.8 ms to 33.6 ms
    "#);
}

#[test]
fn one_table_twice_at_a_time_has_two_places() {
    let mut records = Vec::new();
    for second in 1..4 {
        for rows in [2, 1] {
            records.push(Record::Table(counts("ops", second, rows)));
        }
    }
    assert_snapshot!(screen(live(80, 24), "", &records).all(), @r#"
    ops  at 3.00 s
    layer      n
        0      3
        1  1,003

    ops  at 3.00 s
    layer  n
        0  3
    "#);
}

#[test]
fn a_block_taller_than_the_screen_is_cut_until_the_end() {
    let mut records: Vec<Record> = (1..9).map(|second| Record::Table(counts("ops", second, 30))).collect();
    let terminal = screen(live(80, 8), "$ profinfer ops.pi\n", &records);
    assert_snapshot!(terminal.all(), @r#"
    $ profinfer ops.pi
    ops  at 8.00 s
    layer       n
        0       8
        1   1,008
        2   2,008
        3   3,008
    … 26 more lines, in full at the end
    "#);
    assert_eq!(terminal.scrolled(), 1, "redrawing fills no scrollback");

    records.push(Record::End(silent_end()));
    let all = screen(live(80, 8), "$ profinfer ops.pi\n", &records).all();
    assert_eq!(all.matches("at 8.00 s").count(), 1);
    assert!(all.starts_with("$ profinfer ops.pi\nops  at 8.00 s\n"), "{all}");
    assert!(all.contains("\n   29  29,008\n\nended    after 12.3 s"), "{all}");
    assert!(!all.contains("more lines"), "{all}");
}

/// The renderer as a run drives it: an old block, then tables that the end shows, then the end.
#[test]
fn tables_of_the_end_are_drawn_once() {
    let mut renderer = renderer(Format::Table, live(80, 24));
    let mut terminal = Terminal::new(80, 24);
    let mut draw = |renderer: &mut dyn Renderer, record: &Record| {
        let mut out = Vec::new();
        renderer.record(record, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        terminal.feed(&text);
        text
    };
    draw(&mut *renderer, &Record::Table(counts("ops", 1, 3)));
    renderer.ending();
    assert_eq!(draw(&mut *renderer, &Record::Table(counts("ops", 2, 2))), "");
    assert_eq!(draw(&mut *renderer, &Record::Table(counts("steps", 2, 1))), "");
    let raw = Table { view: ViewKind::Json, ..counts("raw", 2, 0) };
    assert!(draw(&mut *renderer, &Record::Table(raw)).contains("\"raw\""), "text for programs waits for nothing");
    let last = draw(&mut *renderer, &Record::End(silent_end()));
    assert_eq!((last.matches("at 2.00 s").count(), last.contains("\x1b[A")), (2, false), "{}", visible(&last));
    let all = terminal.all();
    assert!(
        all.contains("\nops  at 2.00 s\n") && all.contains("\nsteps  at 2.00 s\n") && !all.contains("1.00 s"),
        "{all}"
    );
    assert!(all.starts_with("{\"type\""), "{all}");
}

#[test]
fn wide_text_and_narrow_screens_do_not_lose_count() {
    let rows = |n: i64| vec![vec![text("世界世界世界世界世界世界"), int(i64::MAX - n)], vec![text("é\u{301}"), int(n)]];
    for width in [7, 10, 13, 24, 30, 80] {
        let records: Vec<Record> = (1..6)
            .map(|n| {
                let columns = vec![column("a rather long name of a column", Quantity::Number)];
                let mut table = table("ops", vec![column("name", Quantity::Text)], columns, rows(n));
                table.at_ns = n as u64 * 1_000_000_000;
                Record::Table(table)
            })
            .collect();
        let terminal = screen(live(width, 30), "$ first\n", &records);
        let last = screen(live(width, 30), "$ first\n", &records[4..]);
        assert_eq!(terminal.all(), last.all(), "at {width} columns an old block shows through");
        assert_eq!(terminal.scrolled(), 0);
    }
}

#[test]
fn the_smallest_screens_hold() {
    for (width, height) in [(20, 2), (20, 3), (3, 2), (1, 2)] {
        let records: Vec<Record> = (1..9).map(|second| Record::Table(counts("ops", second, 30))).collect();
        // The model panics if the cursor is sent above the screen.
        let terminal = screen(live(width, height), "", &records);
        assert_eq!(terminal.scrolled(), 0, "{width} by {height}");
    }
}

#[test]
fn text_of_the_target_moves_no_cursor() {
    let attack = "\x1b[9A\x1b]0;pwned\x07\r\n\u{9b}2J\u{202e}";
    let mut table = counts(attack, 1, 1);
    table.keys[0].quantity = Quantity::Text;
    table.rows[0].keys[0] = text(attack);
    let records = [Record::Table(table), message(Level::Warning, "lost", attack)];
    assert_snapshot!(screen(live(80, 24), "$ first\n", &records).all(), @r#"
    $ first
    warning: \u{1b}[9A\u{1b}]0;pwned\u{7}\u{d}\u{a}\u{9b}2J\u{202e}
    \u{1b}[9A\u{1b}]0;pwned\u{7}\u{d}\u{a}\u{9b}2J\u{202e}  at 1.00 s
    layer                                                   n
    \u{1b}[9A\u{1b}]0;pwned\u{7}\u{d}\u{a}\u{9b}2J\u{202e}  1
    "#);
}

#[test]
fn after_a_resize_the_block_begins_anew() {
    let mut renderer = renderer(Format::Table, live(80, 24));
    let mut terminal = Terminal::new(80, 24);
    let mut draw = |renderer: &mut dyn Renderer, second| {
        let mut out = Vec::new();
        renderer.record(&Record::Table(counts("ops", second, 1)), &mut out).unwrap();
        terminal.feed(std::str::from_utf8(&out).unwrap());
    };
    draw(&mut *renderer, 1);
    renderer.resize(60, 10);
    draw(&mut *renderer, 2);
    draw(&mut *renderer, 3);
    assert_snapshot!(terminal.all(), @r#"
    ops  at 1.00 s
    layer  n
        0  1
    ops  at 3.00 s
    layer  n
        0  3
    "#);
}

#[test]
fn nothing_but_lines_is_erased() {
    let records: Vec<Record> = (1..4)
        .map(|second| Record::Table(counts("ops", second, second as i64)))
        .chain([message(Level::Info, "x", "y"), Record::End(silent_end())])
        .collect();
    let out = shown(Format::Table, live(80, 24), &records);
    for forbidden in ["\x1b[2J", "\x1b[3J", "\x1bc", "\x1b[?1049h", "\x1b[H"] {
        assert!(!out.contains(forbidden), "{}", visible(&out));
    }
}

#[test]
fn without_live_blocks_are_appended() {
    let records = [counts("ops", 1, 1), counts("ops", 2, 1)].map(Record::Table);
    assert_snapshot!(shown(Format::Table, Options { live: false, ..live(80, 24) }, &records), @r#"
    ops  at 1.00 s
    layer  n
        0  1

    ops  at 2.00 s
    layer  n
        0  2
    "#);
}
