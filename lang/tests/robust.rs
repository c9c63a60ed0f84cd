//! No text panics, hangs or exhausts the stack.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use profinfer_lang::parse::{MAX_FAULTS, MAX_NESTING};
use profinfer_lang::source::SourceMap;
use profinfer_lang::{Parsed, parse, parse_value, print, render};

const SCRIPTS: [&str; 8] = [
    include_str!("ok/examples.pi"),
    include_str!("ok/head.pi"),
    include_str!("ok/definitions.pi"),
    include_str!("ok/clauses.pi"),
    include_str!("ok/points.pi"),
    include_str!("ok/expressions.pi"),
    include_str!("ok/engine.pi"),
    include_str!("err/clauses.pi"),
];

/// What takes longer grows faster than the text; a whole megabyte takes a second or two without optimization.
const LIMIT: Duration = Duration::from_secs(30);

/// Parses and renders; a place outside of the text, or a text that takes too long, fails the test.
fn survive(text: &str) -> Parsed {
    let mut sources = SourceMap::new();
    let file = sources.add("any.pi", text);
    let start = Instant::now();
    let parsed = parse(&sources, file);
    let took = start.elapsed();
    assert!(took < LIMIT, "{took:?} for {} bytes: {:.80}", text.len(), text);
    for diagnostic in &parsed.diagnostics {
        assert!(!diagnostic.labels.is_empty(), "{} has no place", diagnostic.code);
        for label in &diagnostic.labels {
            assert!(
                text.get(label.span.range()).is_some(),
                "{}: {:?} is no place of {text:?}",
                diagnostic.code,
                label.span
            );
        }
    }
    let text = render::human(&parsed.diagnostics, &sources, false);
    assert_eq!(text.matches("error[PI0").count(), parsed.diagnostics.len(), "{text}");
    let json = render::json(&parsed.diagnostics, &sources);
    for (line, diagnostic) in json.lines().zip(&parsed.diagnostics) {
        let record: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(record["code"], diagnostic.code);
    }
    parsed
}

fn codes(parsed: &Parsed) -> Vec<&str> {
    parsed.diagnostics.iter().map(|d| d.code).collect()
}

/// xorshift64*: the same numbers on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }
}

#[test]
fn every_prefix_survives() {
    for script in &SCRIPTS[..5] {
        for end in (0..=script.len()).filter(|n| script.is_char_boundary(*n)) {
            survive(&script[..end]);
        }
    }
}

#[test]
fn mutations_survive() {
    let pieces = [
        "<",
        ">",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ";",
        ":",
        "=",
        "==",
        "&&",
        "||",
        "!",
        "?",
        "*",
        "..",
        ".",
        "-",
        "@",
        "$",
        "\"",
        "\\",
        "/*",
        "*/",
        "//",
        "///",
        "//!",
        "#!",
        "on ",
        "by ",
        "into ",
        "where ",
        "show ",
        "end",
        "every 1s ",
        "\n",
        "\non x < count() >\n",
        "9",
        "0x",
        "1e",
        "5m",
        "ä",
        "\u{202e}",
        "\0",
        "\u{feff}",
        "\u{1b}[2J",
        "not ",
        " and ",
        "|",
    ];
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..3000 {
        let mut chars: Vec<char> = SCRIPTS[round % SCRIPTS.len()].chars().collect();
        for _ in 0..=random.below(4) {
            let at = random.below(chars.len());
            match random.below(4) {
                0 => {
                    chars.remove(at);
                }
                1 => {
                    let to = (at + random.below(40)).min(chars.len());
                    chars.drain(at..to);
                }
                2 => {
                    let from = random.below(chars.len());
                    let moved: Vec<char> = chars[from..(from + random.below(30)).min(chars.len())].to_vec();
                    chars.splice(at..at, moved);
                }
                _ => {
                    chars.splice(at..at, pieces[random.below(pieces.len())].chars());
                }
            }
            if chars.is_empty() {
                break;
            }
        }
        let text: String = chars.into_iter().collect();
        let parsed = survive(&text);
        let _ = print::tree_with_spans(&parsed.program);
        let _ = parse_value(&text[..text.char_indices().nth(12).map_or(text.len(), |c| c.0)]);
    }
}

#[test]
fn deep_brackets_meet_the_limit() {
    for (open, close) in [("(", ")"), ("[", "]"), ("{", "}"), ("<", ">"), ("f(", ")"), ("a[", "]")] {
        let text = format!("let x = {}1{}", open.repeat(10_000), close.repeat(10_000));
        assert_eq!(codes(&survive(&text)), ["PI0003"], "{open}");
        survive(&format!("let x = {}", open.repeat(10_000)));
    }
}

#[test]
fn brackets_up_to_the_limit_are_fine() {
    let nested = |n: usize| format!("let x = {}1{}", "(".repeat(n), ")".repeat(n));
    assert_eq!(codes(&survive(&nested(MAX_NESTING))), Vec::<&str>::new());
    assert_eq!(codes(&survive(&nested(MAX_NESTING + 1))), ["PI0003"]);
}

#[test]
fn long_chains_meet_the_limit() {
    let long = |piece: &str| piece.repeat(100_000);
    for text in [
        format!("let x = {}1", long("- ")),
        format!("let x = ({}1)", long("not ")),
        format!("let x = a{}", long("+ a")),
        format!("let x = (a{})", long(" and a")),
        format!("let x = a{}", long(".b")),
        format!("let x = a{}", long("[0]")),
    ] {
        assert_eq!(codes(&survive(&text)), ["PI0003"], "{:.20}", text);
    }
    assert_eq!(codes(&survive(&format!("on x({}A) < count() >", long("!")))), ["PI0003"]);
}

#[test]
fn nested_calculations_are_read_once() {
    for (open, close) in
        [("a+(", ")"), ("f(", ")"), ("f(1, k=", ")"), ("a[", "]"), ("if(a = ", ", b, c)"), ("(a = !", ")")]
    {
        for whole in [true, false] {
            let close = if whole { close.repeat(60) } else { String::new() };
            let start = Instant::now();
            survive(&format!("on x < sum({}a{close}) >", open.repeat(60)));
            assert!(start.elapsed() < Duration::from_secs(5), "{open} {whole}: {:?}", start.elapsed());
        }
    }
}

#[test]
fn large_texts_are_read_in_time() {
    let mut good = String::new();
    while good.len() < 500_000 {
        let n = good.len();
        let _ = writeln!(
            good,
            "/// Number {n}.\non ggml_op(layer = {n}) where (dur > 1ms) < count(), sum(dur) by op into t{n} >"
        );
    }
    let parsed = survive(&good);
    assert!(parsed.is_ok() && parsed.program.items.len() > 4_000);

    for piece in [
        "'",
        "\"",
        "on ",
        "/// x\n",
        "<",
        ">",
        "/*",
        "( ",
        "on x < >\n",
        "let x = \n",
        "a ",
        "\n",
        "1 ",
        "end\n",
        "} x\n",
    ] {
        let parsed = survive(&piece.repeat((1 << 20) / piece.len()));
        assert!(parsed.diagnostics.len() <= MAX_FAULTS);
        assert_eq!(parsed.is_ok(), piece == "\n");
    }
    assert_eq!(codes(&survive(&"\n".repeat((1 << 20) + 1))), ["PI0001"]);
}

#[test]
fn a_broken_item_hides_no_good_one() {
    let parsed = survive("on a < count() >\non b < count( >\non c < count() >\nlet x = 1\nlet y =\nlet z = 3\n");
    assert_eq!(codes(&parsed), ["PI0115", "PI0117"]);
    assert_eq!(parsed.program.items.len(), 4);
}
