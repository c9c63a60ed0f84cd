//! No script and no description panics, hangs or exhausts the stack.

mod common;

use std::time::{Duration, Instant};

use profinfer_compiler::catalogue::Catalogue;
use profinfer_compiler::{compile, print};
use profinfer_lang::source::SourceMap;
use profinfer_lang::{parse, render};

/// What takes longer grows faster than the script.
const LIMIT: Duration = Duration::from_secs(10);

/// Parses, compiles, prints; whether there was a plan.
fn survive(catalogue: &Catalogue, text: &str) -> bool {
    let mut sources = SourceMap::new();
    let file = sources.add("any.pi", text);
    let parsed = parse(&sources, file);
    let start = Instant::now();
    // What could be read is compiled even where the rest is broken: it must not panic either.
    let settings: &[_] = if text.contains("param rows: int") { &[("rows".to_owned(), "5".to_owned())] } else { &[] };
    let result = compile(&parsed.program, &sources, catalogue, settings);
    assert!(start.elapsed() < LIMIT, "{:?} for {text:.200}", start.elapsed());
    match result {
        Ok(compiled) => {
            assert!(print::plan(&compiled.plan).starts_with("engine "));
            true
        }
        Err(errors) => {
            assert!(!errors.is_empty(), "{text}");
            for d in &errors {
                assert!(d.code.starts_with("PI0"), "{:?}", d);
                for label in &d.labels {
                    assert!(text.get(label.span.range()).is_some(), "{} is at no place of {text}", d.code);
                }
            }
            assert!(!render::human(&errors, &sources, false).is_empty());
            false
        }
    }
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

fn scripts() -> Vec<String> {
    let mut all = Vec::new();
    for folder in ["tests/plan", "tests/err"] {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut paths: Vec<_> =
            std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()).collect();
        paths.sort();
        let texts = paths.iter().filter(|p| p.extension().is_some_and(|e| e == "pi"));
        all.extend(texts.map(|p| std::fs::read_to_string(p).expect("a script")));
    }
    all
}

/// The words of a text and what stands between them.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'$';
    for (i, pair) in text.as_bytes().windows(2).enumerate() {
        if !(is_word(pair[0]) && is_word(pair[1])) && text.is_char_boundary(i + 1) {
            pieces.push(&text[start..=i]);
            start = i + 1;
        }
    }
    pieces.push(&text[start..]);
    pieces
}

/// Replaces, drops, doubles and swaps words, mostly by words of other scripts: much of it still parses.
#[test]
fn mutated_scripts_survive() {
    let catalogue = common::ggml();
    let scripts = scripts();
    let vocabulary: Vec<&str> = scripts.iter().flat_map(|s| pieces(s)).filter(|p| !p.trim().is_empty()).collect();
    let extra = [
        "9223372036854775807",
        "-",
        "0",
        "0.5",
        "1ms",
        "4KiB",
        "99hz",
        "absent",
        "true",
        "name",
        "src0",
        "ne",
        "[0]",
        "(layer)",
        "dur",
        "self",
        "ggml_op",
        "llama_ubatch.",
        "\"*\"",
        "not ",
        "$top",
        "pid",
        "time",
        "comm",
    ];
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut plans = 0;
    for round in 0..3000 {
        let mut words: Vec<&str> = pieces(&scripts[round % scripts.len()]);
        for _ in 0..=random.below(3) {
            let at = random.below(words.len());
            match random.below(5) {
                0 => words[at] = "",
                1 => words.insert(at, vocabulary[random.below(vocabulary.len())]),
                2 => {
                    let other = random.below(words.len());
                    words.swap(at, other);
                }
                3 => words[at] = extra[random.below(extra.len())],
                _ => words[at] = vocabulary[random.below(vocabulary.len())],
            }
        }
        plans += usize::from(survive(&catalogue, &words.concat()));
    }
    assert!(plans > 200, "{plans} of the mutations compiled: they are too wild to test much");
}

#[test]
fn mutated_descriptions_survive() {
    let text = profinfer_scripts::ENGINES[0].text;
    let script = "on ggml_op(MUL_MAT) where (layer = 3) < count(), sum(dur) by op, part, phase, fused, ne[0] >\n\
                  on llama_decode < avg(interval), sum(n_tokens) by phase >\non llama_ubatch < hist(ttft), sum(rest) >";
    let words = pieces(text);
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut read = 0;
    for _ in 0..400 {
        let mut words = words.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(words.len());
            let other = random.below(words.len());
            match random.below(4) {
                0 => words[at] = "",
                1 => words.swap(at, other),
                2 => words[at] = words[other],
                _ => words[at] = ["9223372036854775807", "18446744073709551615", "ptr", "dur", "0", "-1"][other % 6],
            }
        }
        let mut sources = SourceMap::new();
        let file = sources.add("e.pi", words.concat());
        let parsed = parse(&sources, file);
        if let Ok(catalogue) = Catalogue::read(&parsed.program) {
            read += 1;
            survive(&catalogue, script);
        }
    }
    assert!(read > 50, "{read} of the descriptions could be read");
}

#[test]
fn definitions_within_definitions_have_a_limit() {
    let catalogue = common::ggml();
    let chain = |n: usize, each: &dyn Fn(usize) -> String, last: &str| {
        let mut text = String::new();
        (1..n).for_each(|i| text.push_str(&each(i)));
        format!("{text}on ggml_op < sum({last}) >\n")
    };
    // Each doubles what the one before comes to.
    let doubling = |i: usize| match i {
        1 => "fn f1(x) = x + x\n".to_owned(),
        _ => format!("fn f{i}(x) = f{0}(x) + f{0}(x)\n", i - 1),
    };
    assert!(survive(&catalogue, &chain(6, &doubling, "f5(dur)")));
    assert!(!survive(&catalogue, &chain(60, &doubling, "f59(dur)")));
    let nested = format!("fn d(x) = x + x\non ggml_op < sum({}dur{}) >", "d(".repeat(60), ")".repeat(60));
    assert!(!survive(&catalogue, &nested));
    let texts = |i: usize| match i {
        1 => "let t1 = concat(\"a\", \"b\")\n".to_owned(),
        _ => format!("let t{i} = concat(t{0}, t{0})\n", i - 1),
    };
    assert!(!survive(&catalogue, &format!("{}on ggml_op < count() by t59 >", chain(60, &texts, "dur"))));
    let longer = |i: usize| match i {
        1 => "let t1 = concat(\"a\")\n".to_owned(),
        _ => format!("let t{i} = concat(t{})\n", i - 1),
    };
    assert!(!survive(&catalogue, &chain(5000, &longer, "t4999")));
    for circle in ["fn f(x) = f(x)", "fn f(x) = g(x)\nfn g(x) = 1 + f(x)", "fn f(x) = if(x > 1ms, f(x), x)"] {
        let outcome = common::compile(&format!("{circle}\non ggml_op < sum(f(dur)) >"));
        assert_eq!(outcome.codes(), ["PI0211"], "{}", outcome.text());
    }
}

#[test]
fn long_and_deep_expressions_compile() {
    let catalogue = common::ggml();
    let sum = "dur + ".repeat(150) + "dur";
    let all = "dur > 1ms and ".repeat(150) + "dur > 1ms";
    let any = "dur > 1ms or ".repeat(150) + "op = ADD";
    let deep = format!("{}dur{}", "(1us + ".repeat(55), ")".repeat(55));
    for text in [
        format!("on ggml_op < sum({sum}) >"),
        format!("on ggml_op where ({all}) < count() >"),
        format!("on ggml_op where ({any}) < count() >"),
        format!("on ggml_op < sum({deep}) >"),
        format!("on ggml_op < count(){} >", ", sum(dur) + sum(nth * 1ns)"),
        format!("on ggml_op < {}sum(dur) >", "sum(dur) + ".repeat(150)),
    ] {
        assert!(survive(&catalogue, &text), "{text:.100}");
    }
    // As deep as they may be, each of these ends with a plan or a fault.
    let calls =
        [("first(", ")"), ("if(dur > 1ms, ", ", 1ms)"), ("first(absent, if(has(dur), ", ", absent))"), ("-(", ")")];
    for (open, close) in calls {
        survive(&catalogue, &format!("on ggml_op < sum({}dur{}) >", open.repeat(30), close.repeat(30)));
        survive(&catalogue, &format!("on ggml_op < sum({}dur{}) >", open.repeat(61), close.repeat(61)));
    }
    for n in [20, 60, 120, 1000] {
        let fns: String = (1..n).map(|i| format!("fn f{i}(x) = first(if(has(x), f{}(x), x), x)\n", i - 1)).collect();
        survive(&catalogue, &format!("fn f0(x) = x\n{fns}on ggml_op < sum(f{}(dur)) >", n - 1));
    }
    let many: String =
        (0..300).map(|i| format!("on ggml_op(layer = {i}) < count(), sum(dur) by op into t{i} >\n")).collect();
    assert!(survive(&catalogue, &many));
}

/// The number of names tried grows with the number of tables, not faster: thousands of tables are named at once.
#[test]
fn thousands_of_tables_without_a_name_are_numbered() {
    let clause = |n: usize| match n {
        // Names that are taken are passed over, also one given to another point's table.
        0 => "on ggml_op < count() into ggml_op_7 >\n".to_owned(),
        1 => "on ggml_graph < count() into ggml_op_1000 >\n".to_owned(),
        n if n % 3 == 0 => "on ggml_graph < count() >\n".to_owned(),
        _ => "on ggml_op < count() >\n".to_owned(),
    };
    let shows = |n: usize| format!("show ggml_graph_{}; clear ggml_op_{}", n % 900 + 2, n % 900 + 2);
    let text: String = (0..3000).map(clause).collect();
    let end: Vec<String> = (0..1000).map(shows).collect();
    let start = Instant::now();
    let plan = common::compile(&format!("{text}end < {} >", end.join("; "))).compiled().plan;
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
    let names: std::collections::HashSet<&str> = plan.tables.iter().map(|t| t.name.as_str()).collect();
    assert_eq!((names.len(), plan.tables.len()), (3000, 3000), "each has a name of its own");
    let of = |base: &str| names.iter().filter(|n| n.starts_with(base)).count();
    assert_eq!((of("ggml_graph"), of("ggml_op")), (999, 2001));
    for name in ["ggml_graph", "ggml_graph_2", "ggml_graph_999", "ggml_op", "ggml_op_2", "ggml_op_8", "ggml_op_2001"] {
        assert!(names.contains(name), "{name}");
    }
    let cleared = plan.tables.iter().filter(|t| t.cleared).count();
    assert_eq!(cleared, 900);
}
