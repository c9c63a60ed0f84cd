//! Scripts beside what is said of them: `err/x.pi` and `err/x.txt`.
//!
//! `UPDATE_GOLDEN=1 cargo test -p profinfer-compiler --test diagnostics` writes the expected files anew.

mod common;

use std::path::{Path, PathBuf};

use profinfer_lang::render::line_column;

fn script(name: &str) -> (PathBuf, common::Outcome) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/err").join(name);
    let outcome = common::compile(&std::fs::read_to_string(&path).expect("a script"));
    (path, outcome)
}

/// The lines of the faults' places, none twice in a row.
fn lines(outcome: &common::Outcome) -> Vec<usize> {
    let text = &outcome.sources.files()[0].text;
    let errors = outcome.result.as_ref().expect_err("it has faults");
    let mut lines: Vec<usize> = errors.iter().map(|d| line_column(text, d.labels[0].span.start as usize).0).collect();
    lines.dedup();
    lines
}

#[test]
fn bad_scripts_are_explained() {
    let mut differing = String::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/err");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("the folder of scripts")
        .map(|e| e.expect("an entry").file_name().into_string().expect("a plain name"))
        .filter(|n| n.ends_with(".pi"))
        .collect();
    names.sort();
    assert!(names.len() >= 4);
    for name in names {
        let (path, outcome) = script(&name);
        let golden = path.with_extension("txt");
        let text = outcome.text();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &text).expect("a golden file that can be written");
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        if expected != text {
            differing.push_str(&format!("--- {name} expected\n{expected}+++ found\n{text}\n"));
        }
    }
    assert!(differing.is_empty(), "{differing}");
}

/// Twelve mistakes, each told once, and nothing that follows from them: neither what `$budget` and `page` are compared
/// with, nor the tables `first` and `second`, which are there but for their faults.
#[test]
fn all_faults_of_a_file_are_told_once() {
    let (_, outcome) = script("ten_mistakes.pi");
    let expected = [
        "PI0208", // 40 is no duration
        "PI0302", // bytes and time
        "PI0201", // ggml_opp
        "PI0207", // MULMAT
        "PI0308", // layer = "x"
        "PI0301", // dur > 10
        "PI0301", // op > 3
        "PI0307", // sum(op)
        "PI0310", // calls
        "PI0202", // layr
        "PI0303", // count() as a key
        "PI0204", // third
    ];
    assert_eq!(outcome.codes(), expected, "{}", outcome.text());
}

#[test]
fn each_trap_has_one_diagnostic_with_a_cure() {
    let (_, outcome) = script("traps.pi");
    let lines = lines(&outcome);
    let count = outcome.sources.files()[0].text.lines().count();
    assert_eq!(lines, (1..=count).collect::<Vec<_>>(), "{}", outcome.text());
    for d in outcome.result.expect_err("faults") {
        assert!(!d.help.is_empty() || d.labels.len() > 1, "{}: {} has no cure", d.code, d.message);
    }
}

#[test]
fn other_operators_of_and_are_told_by_the_parser() {
    let mut sources = profinfer_lang::source::SourceMap::new();
    let file = sources.add("test.pi", "on ggml_op where (dur > 1ms && op = ADD) < count() >");
    let found = profinfer_lang::parse(&sources, file).diagnostics;
    assert_eq!(found.iter().map(|d| d.code).collect::<Vec<_>>(), ["PI0107"]);
    assert!(found[0].help.iter().any(|h| h.contains("and")), "{found:?}");
}

#[test]
fn faults_within_definitions_are_told_where_they_are_used() {
    let outcome = common::compile("fn late(x) = (x > 10)\non ggml_op where (late(dur)) < count() by layer_of(dur) >\n");
    assert_eq!(outcome.codes(), ["PI0301", "PI0306"], "{}", outcome.text());
    let text = &outcome.sources.files()[0].text;
    let errors = outcome.result.expect_err("two faults");
    for (d, place) in errors.iter().zip(["late(dur)", "layer_of(dur)"]) {
        assert_eq!(text.get(d.labels[0].span.range()), Some(place));
    }
}

#[test]
fn what_hangs_on_something_broken_is_not_told() {
    for (script, expected) in [
        ("probe slow = llama_ubatc\non slow < count() into t >\nend < show t >", vec!["PI0201"]),
        ("probe slow = llama_ubatc\non slow < count() >\nend < show slow >", vec!["PI0201"]),
        ("probe slow = llama_ubatch { let x = nope }\non slow(x = 3) where (x > 3) < sum(x) by x >", vec!["PI0202"]),
        (
            "agg two(x, x) = count(), sum(x)\non ggml_op < two(dur) by op into t >\nend < show t sort two(dur) >",
            vec!["PI0205"],
        ),
        ("import \"./lib.pi\" as lib\non lib.slow < lib.f(dur), sum(lib.g(dur)) by lib.c >", vec!["PI0215"]),
        ("import std.nothing\non nothing.slow < count() >", vec!["PI0215"]),
        (
            "import std.latency\non latency.slow < latency.nope(dur), sum(latency.nope(dur)) by latency.c >",
            vec!["PI0216", "PI0216", "PI0216", "PI0216"],
        ),
        ("param x: nothing = 3\nlet y = $x + 1\non ggml_op where (nth > y) < sum(nth * y) >", vec!["PI0208"]),
        ("on ggml_opp < count() >\nend < show ggml_op >", vec!["PI0201"]),
        ("on ggml_op < nope(dur) >\nend < show ggml_op sort nope(dur) >", vec!["PI0206"]),
        ("on ggml_op < nope(dur) into a >\non ggml_graph < count() into a >", vec!["PI0206"]),
    ] {
        let outcome = common::compile(script);
        assert_eq!(outcome.codes(), expected, "{}", outcome.text());
    }
}

#[test]
fn warnings_point_at_the_word() {
    let text =
        "on ggml_op(VIEW | ADD) < count() >\non ggml_op(op = RESHAPE) < count() >\non ggml_op(!VIEW) < count() >";
    let compiled = common::compile(text).compiled();
    let places: Vec<_> = compiled.warnings.iter().map(|d| (d.code, &text[d.labels[0].span.range()])).collect();
    assert_eq!(places, [("PI0318", "VIEW"), ("PI0318", "RESHAPE")]);
}
