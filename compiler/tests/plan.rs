//! Scripts beside their plans: `plan/x.pi` and `plan/x.plan`.
//!
//! `UPDATE_GOLDEN=1 cargo test -p profinfer-compiler --test plan` writes the expected files anew; read their difference.

mod common;

use std::path::{Path, PathBuf};

use profinfer_compiler::print;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plan")
}

fn scripts() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).expect("the folder of scripts");
    let mut scripts: Vec<PathBuf> =
        entries.map(|e| e.expect("an entry").path()).filter(|p| p.extension().is_some_and(|e| e == "pi")).collect();
    scripts.sort();
    scripts
}

/// Compares with, or writes, `golden`; a difference is added to `differing`.
fn compare(golden: &Path, text: &str, differing: &mut String) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, text).expect("a golden file that can be written");
        return;
    }
    let expected = std::fs::read_to_string(golden).unwrap_or_default();
    if expected != text {
        differing.push_str(&format!("--- {} expected\n{expected}+++ found\n{text}\n", golden.display()));
    }
}

#[test]
fn scripts_have_their_plans() {
    let mut differing = String::new();
    assert!(scripts().len() >= 12);
    for script in scripts() {
        let text = std::fs::read_to_string(&script).expect("a script");
        let plan = common::compile(&text).compiled().plan;
        compare(&script.with_extension("plan"), &print::plan(&plan), &mut differing);
    }
    assert!(differing.is_empty(), "{differing}");
}

#[test]
fn stock_scripts_have_their_plans() {
    let mut differing = String::new();
    for script in profinfer_scripts::SCRIPTS.iter().filter(|s| s.text.contains('<')) {
        let plan = common::compile(script.text).compiled().plan;
        let name = format!("stock_{}", script.path.replace('/', "_").replace(".pi", ".plan"));
        compare(&folder().join(name), &print::plan(&plan), &mut differing);
    }
    assert!(differing.is_empty(), "{differing}");
}

#[test]
fn plans_fit_a_terminal_and_do_not_change_from_run_to_run() {
    for script in scripts() {
        let text = std::fs::read_to_string(&script).expect("a script");
        let print = || print::plan(&common::compile(&text).compiled().plan);
        let first = print();
        assert_eq!(first, print(), "{}", script.display());
        let longest_symbol = 120;
        for line in first.lines() {
            let is_symbol = line.split(' ').any(|w| w.len() > 60);
            assert!(is_symbol || line.chars().count() <= longest_symbol, "{}: {line}", script.display());
        }
    }
}

#[test]
fn lines_are_broken_between_words_at_the_width_asked_for() {
    let plan = common::compile("on ggml_op where (layer = 3) < count(), sum(dur) by op, part >").compiled().plan;
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let usual = print::plan(&plan);
    assert_eq!(usual, print::plan_within(&plan, 80));
    for width in [40, 80, 120, 10_000] {
        let text = print::plan_within(&plan, width);
        assert_eq!(words(&text), words(&usual), "{width} columns change no word");
        // Heads are not broken, and a word that never fits stands alone behind the word of its line.
        for line in text.lines().filter(|l| l.starts_with(' ') && l.chars().count() > width) {
            assert_eq!(line[13..].split_whitespace().count(), 1, "{width}: {line:?}");
        }
    }
    let lines = |width| print::plan_within(&plan, width).lines().count();
    assert!(lines(40) > lines(80) && lines(80) > lines(10_000));
}
