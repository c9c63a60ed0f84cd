//! Events by themselves, and histograms with bounds of their own, in each format.

use insta::assert_snapshot;

use super::terminal::Terminal;
use super::*;
use crate::record::{AtEvents, Part, Print, What};

fn value(name: &str, quantity: Quantity, value: Value) -> Part {
    Part::Value { name: name.to_owned(), quantity, value, whole: true }
}

/// As `print("slow: {name} {dur}, {layer} {{{op}}} {dur}")` makes it.
pub(super) fn slow() -> Print {
    Print {
        name: "print".to_owned(),
        point: "ggml_op".to_owned(),
        at_ns: 1_234_567,
        parts: vec![
            Part::Text("slow: ".to_owned()),
            value("name", Quantity::Text, text("ffn_out-3")),
            Part::Text(" ".to_owned()),
            value("dur", Quantity::Duration, int(1_234_567)),
            Part::Text(", layer ".to_owned()),
            value("layer", Quantity::Number, Value::Absent),
        ],
    }
}

fn evil() -> Print {
    let name = value("name", Quantity::Text, text("\x1b[2J\n=cmd,\u{202e}x"));
    Print { parts: vec![name, Part::Text("\x1b!".to_owned()), value("name", Quantity::Number, int(12_345))], ..slow() }
}

#[test]
fn an_event_is_a_line() {
    let records = [
        message(Level::Info, "attached", "pid 7"),
        Record::Print(slow()),
        Record::Print(evil()),
        Record::Table(ops()),
        Record::Print(slow()),
    ];
    let out = shown(Format::Table, Options::default(), &records);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[1], "slow: ffn_out-3 1.23 ms, layer -");
    assert_eq!(lines[2], "\\u{1b}[2J\\u{a}=cmd,\\u{202e}x\\u{1b}!12345", "nothing of the target's steers the terminal");
    assert_eq!(lines[3], "", "a table stands apart");
    assert_eq!(lines.last(), Some(&"slow: ffn_out-3 1.23 ms, layer -"));
}

#[test]
fn events_stand_above_what_is_redrawn() {
    let options = Options { live: true, width: 60, height: 24, color: false };
    let mut terminal = Terminal::new(60, 24);
    let mut small = layers();
    small.rows.truncate(1);
    let later = Table { at_ns: 2_000_000_000, ..small.clone() };
    let records = [Record::Table(small), Record::Print(slow()), Record::Table(later), Record::Print(slow())];
    terminal.feed(&shown(Format::Table, options, &records));
    let all = terminal.all();
    let places: Vec<usize> = all.lines().enumerate().filter(|(_, l)| l.starts_with("slow:")).map(|(i, _)| i).collect();
    assert_eq!(places, [0, 1], "{all}");
    assert_eq!(all.matches("ggml_op  at 2.00 s").count(), 1, "{all}");
}

#[test]
fn programs_get_the_text_and_the_values() {
    let out = shown(Format::Json, Options::default(), &[Record::Print(slow()), Record::Print(evil())]);
    assert_snapshot!(out, @r#"
    {"type":"print","v":1,"name":"print","point":"ggml_op","at_ns":1234567,"text":"slow: ffn_out-3 1.23 ms, layer -","values":{"name":"ffn_out-3","dur":1234567,"layer":null}}
    {"type":"print","v":1,"name":"print","point":"ggml_op","at_ns":1234567,"text":"\u001b[2J\n=cmd,\u202ex\u001b!12345","values":{"name":"\u001b[2J\n=cmd,\u202ex","name_2":12345}}
    "#);
    let out =
        shown(Format::Csv, Options::default(), &[Record::Print(slow()), Record::Print(slow()), Record::Print(evil())]);
    assert_snapshot!(out, @r#"
    table,at_ns,name,dur,layer,text
    print,1234567,ffn_out-3,1234567,,"slow: ffn_out-3 1.23 ms, layer -"
    print,1234567,ffn_out-3,1234567,,"slow: ffn_out-3 1.23 ms, layer -"

    table,at_ns,name,name_2,text
    print,1234567,"\u{1b}[2J\u{a}=cmd,\u{202e}x",12345,"\u{1b}[2J\u{a}=cmd,\u{202e}x\u{1b}!12345"
    "#);
}

#[test]
fn the_end_says_what_was_lost_of_each_clause() {
    let of = |name: &str, what, lost| AtEvents {
        name: name.to_owned(),
        point: "ggml_op".to_owned(),
        what,
        done: 1234,
        lost,
    };
    let end = End { at_events: vec![of("print", What::Printed, 5678), of("actions", What::Done, 0)], ..silent_end() };
    let out = shown(Format::Table, Options::default(), &[Record::End(end.clone())]);
    assert!(out.contains("at each  ggml_op 1,234 printed (print), 5,678 lost, more than could be told"), "{out}");
    assert!(out.contains("         ggml_op 1,234 done (actions)\n"), "{out}");
    let json = shown(Format::Json, Options::default(), &[Record::End(end)]);
    let clauses = r#""at_events":[{"name":"print","point":"ggml_op","done":1234,"lost":5678},{"name":"actions","point":"ggml_op","done":1234,"lost":0}]"#;
    assert!(json.contains(clauses), "{json}");
}

/// Below and above the range, and decimal bounds of ratios that the kernel has in units of 2⁻³².
#[test]
fn even_buckets_have_bounds_on_one_side_too() {
    let one = 1i64 << 32;
    let tenth = |n: i64| (one * n + 9) / 10;
    let columns = vec![column("dur", Quantity::HistDuration), column("w", Quantity::HistRatio)];
    let durs = hist(&[(i64::MIN, 1000, 1), (1000, 2000, 2), (3000, i64::MAX, 3)]);
    let weights = hist(&[(i64::MIN, 0, 1), (tenth(1), tenth(2), 2), (tenth(2), tenth(3), 4), (one, i64::MAX, 8)]);
    let table = Record::Table(table("t", vec![], columns, vec![vec![durs, weights]]));
    let json = shown(Format::Json, Options::default(), std::slice::from_ref(&table));
    for part in [
        r#""dur":[{"lo":null,"hi":1000,"n":1},{"lo":1000,"hi":2000,"n":2},{"lo":3000,"hi":null,"n":3}]"#,
        r#""w":[{"lo":null,"hi":0.0,"n":1},{"lo":0.1,"hi":0.2,"n":2},{"lo":0.2,"hi":0.3,"n":4},{"lo":1.0,"hi":null,"n":8}]"#,
    ] {
        assert!(json.contains(part), "{json}");
    }
    let csv = shown(Format::Csv, Options::default(), std::slice::from_ref(&table));
    assert!(csv.contains(r#"{""lo"":0.1,""hi"":0.2,""n"":2}"#), "{csv}");
    assert_snapshot!(shown(Format::Table, Options::default(), &[table]), @r#"
    t  at 1.00 s
    dur
      below 1.00 µs       1 |@@@@@@@@@@@@@@@@@                                 |
      [1.00 µs, 2.00 µs)  2 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@                 |
      [2.00 µs, 3.00 µs)    |                                                  |
      3.00 µs and more    3 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|
      total 6

    w
      negative        1 |@@@@@@                                            |
             ⋮
      [0.100, 0.200)  2 |@@@@@@@@@@@@@                                     |
      [0.200, 0.300)  4 |@@@@@@@@@@@@@@@@@@@@@@@@@                         |
             ⋮
      1.00 and more   8 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|
      total 15
    "#);
}
