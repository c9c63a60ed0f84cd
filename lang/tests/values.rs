//! Values given outside of scripts, numbers, and the two renderers.

use profinfer_lang::ast::{ExprKind, Number, Unit};
use profinfer_lang::source::SourceMap;
use profinfer_lang::{parse, parse_value, print, render};

fn value(text: &str) -> String {
    match parse_value(text) {
        Ok(expr) => print::expression(&expr),
        Err(fault) => fault.code.to_owned(),
    }
}

#[test]
fn values_are_numbers_strings_truth_or_words() {
    for (text, expected) in [
        ("20", "20"),
        (" 1.5ms ", "1500000ns"),
        ("-5", "(neg 5)"),
        ("4KiB", "4096B"),
        ("99hz", "99hz"),
        ("0.5", "0.5"),
        ("true", "true"),
        ("\"a b\"", "\"a b\""),
        ("decode", "decode"),
        ("end", "end"),
        ("", "PI0126"),
        ("a b", "PI0126"),
        ("1 + 2", "PI0126"),
        ("5m", "PI0007"),
        ("\"open", "PI0004"),
        ("99999999999999999999", "PI0008"),
        ("\"\\q\"", "PI0006"),
    ] {
        assert_eq!(value(text), expected, "{text:?}");
    }
}

#[test]
fn numbers_are_exact() {
    let number = |text: &str| match parse_value(text).map(|e| e.kind) {
        Ok(ExprKind::Number(n)) => Some(n),
        _ => None,
    };
    assert_eq!(number("9223372036854775807"), Some(Number::Int(i64::MAX, Unit::None)));
    assert_eq!(number("9223372036854775808"), None);
    assert_eq!(number("0x7fffffffffffffff"), Some(Number::Int(i64::MAX, Unit::None)));
    assert_eq!(number("0x8000000000000000"), None);
    assert_eq!(number("0.1s"), Some(Number::Int(100_000_000, Unit::Duration)));
    assert_eq!(number("0.000000001s"), Some(Number::Int(1, Unit::Duration)));
    assert_eq!(number("0.0000000001s"), None);
    assert_eq!(number("1.10MB"), Some(Number::Int(1_100_000, Unit::Bytes)));
    assert_eq!(number("1e3ms"), Some(Number::Int(1_000_000_000, Unit::Duration)));
    assert_eq!(number("1e18"), Some(Number::Int(1_000_000_000_000_000_000, Unit::None)));
    assert_eq!(number("1e19"), None);
    assert_eq!(number("1e400"), None);
    assert_eq!(number("1e-2"), Some(Number::Ratio(0.01)));
    assert_eq!(number("1.5e1"), Some(Number::Int(15, Unit::None)));
    assert_eq!(number("0e99999999999999999999"), Some(Number::Int(0, Unit::None)));
    assert_eq!(number("0.33333333333333333333333333333333"), Some(Number::Ratio(1.0 / 3.0)));
}

#[test]
fn a_missing_parenthesis_reads_like_the_reference() {
    let mut sources = SourceMap::new();
    let file = sources.add("bare.pi", "on ggml_op where dur > 1ms < hist(dur) >");
    let found = parse(&sources, file).diagnostics;
    let expected = "\
error[PI0102]: a `where` condition must be in parentheses
  ┌─ bare.pi:1:12
1 │ on ggml_op where dur > 1ms < hist(dur) >
  │            ^ expected `(` here
  = help: `<` opens a body, so comparisons live only inside `( )`
";
    assert_eq!(render::human(&found, &sources, false), expected);
    let colored = render::human(&found, &sources, true);
    assert!(colored.contains("\u{1b}[") && colored.lines().count() == expected.lines().count(), "{colored}");
}

#[test]
fn json_has_one_object_a_line() {
    let mut sources = SourceMap::new();
    let file = sources.add("two.pi", "on é where (a) < >\nlet x = 1_0\n");
    let json = render::json(&parse(&sources, file).diagnostics, &sources);
    let file = sources.add("bad.pi", "on x where a < count() >");
    let more = render::json(&parse(&sources, file).diagnostics, &sources);
    assert_eq!(
        json + &more,
        concat!(
            r#"{"type":"diagnostic","v":1,"code":"PI0002","severity":"error","message":"unexpected character `é`","#,
            r#""file":"two.pi","line":1,"column":4,"labels":[{"file":"two.pi","line":1,"column":4,"end_line":1,"end_column":5,"#,
            r#""text":"has no place here","primary":true}],"#,
            r#""help":["names hold the letters a to z, digits and `_`; other text is a string"]}"#,
            "\n",
            r#"{"type":"diagnostic","v":1,"code":"PI0009","severity":"error","message":"`1_0` is not a number","#,
            r#""file":"two.pi","line":2,"column":9,"labels":[{"file":"two.pi","line":2,"column":9,"end_line":2,"end_column":12,"#,
            r#""text":"digits are written without `_`","primary":true}],"#,
            r#""help":["write `10`, or use a unit or an exponent: `1ms`, `4KiB`, `1e6`"]}"#,
            "\n",
            r#"{"type":"diagnostic","v":1,"code":"PI0102","severity":"error","#,
            r#""message":"a `where` condition must be in parentheses","file":"bad.pi","line":1,"column":6,"#,
            r#""labels":[{"file":"bad.pi","line":1,"column":6,"end_line":1,"end_column":7,"text":"expected `(` here","primary":true}],"#,
            r#""help":["`<` opens a body, so comparisons live only inside `( )`"]}"#,
            "\n",
        )
    );
}

#[test]
fn a_script_cannot_move_the_cursor() {
    let mut sources = SourceMap::new();
    let file = sources.add("a\u{1b}[2J.pi", "let x = \"\u{1b}[2J\u{202e}\r\u{9b}\" \u{1b} +\n");
    let found = parse(&sources, file).diagnostics;
    let text = render::human(&found, &sources, false);
    assert!(!text.contains(['\u{1b}', '\u{202e}', '\r', '\u{9b}']), "{text:?}");
}

#[test]
fn places_leave_out_blanks_and_comments_behind() {
    let mut sources = SourceMap::new();
    let file = sources.add("s.pi", "let x = a + b // why\n\nlet y = f( a /* c */ ) /* d */\n");
    let items = parse(&sources, file).program.items;
    assert_eq!(
        items.iter().map(|i| sources.text(i.span)).collect::<Vec<_>>(),
        ["let x = a + b", "let y = f( a /* c */ )"]
    );
}

#[test]
fn endless_lines_are_not_shown() {
    let mut sources = SourceMap::new();
    let file = sources.add("long.pi", format!("let x = {}'", "1 + ".repeat(10_000)));
    let text = render::human(&parse(&sources, file).diagnostics, &sources, false);
    assert!(
        text.starts_with("error[PI0002]: unexpected character `'`\n  ┌─ long.pi:1:40009: has no place here\n"),
        "{text:.300}"
    );
    assert!(text.len() < 400);
}
